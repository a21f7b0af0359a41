# %% [markdown]
# # 13. Augment and deploy
#
# A network that does well in its notebook has passed the easy half of the examination. The other half comes
# afterwards: somebody else's hand, somebody else's camera, another process, a file that was copied badly.
#
# In this assignment you train a network that reads **letters signed by hands**, and then give it away. The
# first part is about people whom the network has never seen. A dense network learns its pictures by heart
# and knows little about other hands; a convolutional network does better; and **augmentation**, which makes
# strangers out of acquaintances, better still. The second part is about leaving the notebook: a file that
# holds everything, a loader that trusts nothing, and pictures that come in any shape.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import io
import itertools
import pickle
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIZE = 32

# %% [markdown]
# ## The letters
#
# Photographs of five hands if they are on this machine, otherwise hands that are drawn by code. Either way
# there are **two held-out parts**, and one must not be mistaken for the other:
#
# - `seen`: other pictures of the people who are in the training part. That is what one gets by splitting
#   *by image*.
# - `unseen`: people who are not in the training part at all, a split *by hand*.
#
# Whoever will use the reader one day was not there when it was trained. So `unseen` is the honest number,
# and `seen` is the one that looks good in a report.
#
# The pixels are bytes, as cameras give them: `uint8`, from 0 to 255, in the order $(N, 3, H, W)$.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    name, settings = "asl_letters", {}
    hands = load_dataset(name)
except DatasetMissing:
    name, settings = "letters", {"num_train": 1200}
    hands = load_dataset(name, **settings)
train_part = torch.tensor(hands.x_train), torch.tensor(hands.y_train)
unseen = torch.tensor(hands.x_test), torch.tensor(hands.y_test)
others = load_dataset(name, held_out="images", **settings)
seen = torch.tensor(others.x_test), torch.tensor(others.y_test)
K = len(hands.classes)
print(hands)

# %% tags=["show"]
fig, axes = plt.subplots(3, 12, figsize=(12, 3.4))
for row, (title, (pictures, labels)) in zip(
    axes, (("training", train_part), ("seen", seen), ("unseen", unseen)), strict=True
):
    for ax, label in zip(row, range(0, K, 2), strict=True):
        ax.imshow(pictures[labels == label][0].permute(1, 2, 0))
        ax.set_xticks([])
        ax.set_yticks([])
        if title == "training":
            ax.set_title(hands.classes[label].upper(), fontsize=10)
    row[0].set_ylabel(title)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 13.1 A network that learns by heart
#
# The simplest network there is: all pixels in a row, and layers that connect everything with everything,
#
# $$ h_0 = \text{flatten}(x), \qquad h_l = \text{ReLU}(W_l h_{l-1} + b_l), \qquad
#    \text{logits} = W_{L+1} h_L + b_{L+1}. $$
#
# The first layer alone has $3\cdot 32\cdot 32\cdot 256 \approx 800{,}000$ weights, for some 1,000 pictures.
# It can afford to remember each of them.


# %% question="build_dense"
def build_dense(num_classes, hidden=(256, 128), size=SIZE):
    """A dense network for pictures in colour.

    num_classes  K
    hidden       the widths of the hidden layers; with () there is none, and the network is linear
    size         pictures have size x size pixels

    Returns an nn.Module that maps (N, 3, size, size) to logits (N, K): a linear layer and a ReLU for each
    hidden layer, then a linear layer.
    """
    ### BEGIN SOLUTION
    widths = [3 * size * size, *hidden]
    layers = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
    ### END SOLUTION


# %%
check("build_dense")

# %% [markdown]
# ## 13.2 A network that looks for parts
#
# A finger is a finger wherever it is. A convolution looks for the same parts everywhere, with a few
# weights, and so it cannot remember a picture pixel by pixel. Each block halves the side:
#
# $$ (N, c_{l-1}, s, s) \to \text{conv } 3\times3 \to \text{batch norm} \to \text{ReLU} \to
#    \text{max pool } 2 \to (N, c_l, \lfloor s/2 \rfloor, \lfloor s/2 \rfloor). $$
#
# The convolution has a padding of 1, and no bias, since the normalisation behind it would take it away
# again. Where a part lies in the picture does say something about the letter, so the last maps are not
# averaged but **flattened**; then comes a dropout, and a linear layer.


# %% question="build_cnn"
def build_cnn(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    """A convolutional network for pictures in colour.

    num_classes  K
    channels     (c_1, ..., c_L): the number of maps behind each block
    drop         the probability of the dropout in front of the linear layer
    size         pictures have size x size pixels; each block halves that, rounding down

    Returns an nn.Module that maps (N, 3, size, size) to logits (N, K).
    """
    ### BEGIN SOLUTION
    layers, before, side = [], 3, size
    for after in channels:
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        before, side = after, side // 2
    layers += [nn.Flatten(), nn.Dropout(drop), nn.Linear(before * side * side, num_classes)]
    return nn.Sequential(*layers)
    ### END SOLUTION


# %%
check("build_cnn")

# %% [markdown]
# ## 13.3 Strangers out of acquaintances
#
# What is different about other people? They hold their wrist at another angle, stand a little nearer or
# further, have another skin, in another light. None of this changes the letter, so we may change it
# ourselves. `torchvision.transforms.v2` has the parts; a pipeline of them is `v2.Compose([...])`:
#
# 1. **place**: a random turn by $\varphi$, a move by $(t_x, t_y)$, and a zoom by $s$, in one go
#    (`v2.RandomAffine`), with $\varphi \in [-\text{degrees}, \text{degrees}]$, $t_x, t_y \in
#    [-\text{shift}, \text{shift}]$ in units of the side, and $s \in [1 - \text{zoom}, 1 + \text{zoom}]$;
#    interpolated bilinearly, or fingers get stairs;
# 2. **light**: all values times the same random $f \in [1 - \text{light}, 1 + \text{light}]$, and what gets
#    lighter than white is white (`v2.ColorJitter` with `brightness`);
# 3. **type**: from bytes to `float32`, from 0 to 1 (`v2.ToDtype(torch.float32, scale=True)`; without
#    `scale=True` the numbers stay between 0 and 255).
#
# **What is not in it** is a statement as well. A U turned by a quarter *is* an H, a K turned downwards *is*
# a P, a G a Q: no large angles, and nothing upside down. And no mirror images: they turn every right hand
# into a left one. For somebody who signs with the left hand the letter stays the same, and then a mirror
# may be right; our reader is for right hands, and for a digit or a traffic sign (*turn left*) it is plainly
# wrong. Whether an augmentation is allowed is a question about the world, never about the library.


# %% question="make_augmentation"
def make_augmentation(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    """A random change of place and light, for training pictures.

    degrees  the largest angle, either way
    shift    the largest move along each axis, in units of the side
    zoom     scales are between 1 - zoom and 1 + zoom
    light    brightness is multiplied with a factor between 1 - light and 1 + light

    Returns a function of one picture, a uint8 tensor (3, H, W), not modified. It gives a float32 tensor
    (3, H, W), from 0 to 1: turned, moved, scaled and lit at random, black where nothing was. Every call draws
    anew, evenly from these ranges, from torch's own random numbers, so that torch.manual_seed repeats it.
    """
    ### BEGIN SOLUTION
    return v2.Compose(
        [
            v2.RandomAffine(
                degrees,
                translate=(shift, shift),
                scale=(1 - zoom, 1 + zoom),
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.ColorJitter(brightness=light),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    ### END SOLUTION


# %% [markdown]
# A transform gets **one** picture. Given a batch, the transforms of v2 draw *once*, and treat all its
# pictures alike, which is a good deal less than one may think. `transformed` goes through a batch picture
# by picture.


# %%
def transformed(transform, pictures):
    """Each of the pictures (N, 3, H, W) by itself: (N, 3, H, W)."""
    return torch.stack([transform(picture) for picture in pictures])


# %%
check("make_augmentation")

# %% tags=["show", "timing"]
torch.manual_seed(0)
augmentation = make_augmentation()
fig, axes = plt.subplots(3, 11, figsize=(12, 3.5))
for row, i in zip(axes, (2, 3, 8), strict=True):
    picture = train_part[0][i]
    row[0].imshow(picture.permute(1, 2, 0))
    for ax, view in zip(row[1:], transformed(augmentation, picture.expand(10, -1, -1, -1)), strict=True):
        ax.imshow(view.permute(1, 2, 0))
    row[0].set_ylabel(hands.classes[train_part[1][i]].upper(), rotation=0, labelpad=12, fontsize=12)
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])
axes[0, 0].set_title("as it is", fontsize=10)
axes[0, 1].set_title("ten views of it", fontsize=10, loc="left")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 13.4 To training pictures only
#
# A `Dataset` that keeps the bytes and transforms a picture **when it is asked for it** gives another view
# in every epoch, at no cost in memory. Without a transform it gives the picture itself, as `float32` from 0
# to 1.
#
# Then the loaders. The training pictures come shuffled and through the transform. The validation pictures
# come in their order and *as they are*: they are a measurement, and one does not shake the ruler. All
# pictures come, also those of the last batch that is not full.


# %% question="make_loaders"
class LetterImages(Dataset):
    """Pictures and their labels, transformed when they are asked for."""

    def __init__(self, pictures, labels, transform=None):
        """pictures   (N, 3, H, W) uint8 tensor, not to be modified
        labels     (N,) int64 tensor
        transform  a function of one picture (3, H, W) that gives a float32 one; None for the picture itself
        """
        ### BEGIN SOLUTION
        self.pictures, self.labels, self.transform = pictures, labels, transform
        ### END SOLUTION

    def __len__(self):
        """N."""
        ### BEGIN SOLUTION
        return len(self.pictures)
        ### END SOLUTION

    def __getitem__(self, i):
        """(picture, label) number i: a float32 tensor (3, H, W), from 0 to 1 where there is no transform;
        and the label as it was, an int or an int64 tensor.
        """
        ### BEGIN SOLUTION
        picture = self.pictures[i]
        return picture / 255 if self.transform is None else self.transform(picture), self.labels[i]
        ### END SOLUTION


# %% question="make_loaders"
def make_loaders(train, val, transform, batch_size):
    """Loaders of training and of validation pictures.

    train, val  (pictures, labels) each, as LetterImages wants them
    transform   for training pictures only, or None
    batch_size  of both

    Returns (train_loader, val_loader): the first shuffled anew in every epoch, the second in order.
    """
    ### BEGIN SOLUTION
    train_loader = DataLoader(LetterImages(*train, transform), batch_size, shuffle=True)
    return train_loader, DataLoader(LetterImages(*val), batch_size)
    ### END SOLUTION


# %%
check("make_loaders")

# %% [markdown]
# The loop around them you have written twice, in assignments 10 and 11; here it is given.


# %%
def accuracy(model, loader):
    """The share of right answers in eval mode."""
    model.train(False)
    right = total = 0
    with torch.inference_mode():
        for pictures, labels in loader:
            right += int((model(pictures.to(device)).argmax(dim=1).cpu() == labels).sum())
            total += len(labels)
    return right / total


def fit(model, train, vals, transform, epochs, peak, batch_size=32):
    """Train with AdamW and a learning rate that rises to `peak` and falls again.

    vals  name -> (pictures, labels): what is measured after each epoch
    Returns {"train": [...], name: [...], ...}, accuracies; "train" is counted while training, on the views.
    """
    loaders = {name: make_loaders(train, val, transform, batch_size) for name, val in vals.items()}
    train_loader = next(iter(loaders.values()))[0]
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, epochs=epochs, steps_per_epoch=len(train_loader)
    )
    history = {"train": [], **{name: [] for name in vals}}
    for _ in range(epochs):
        model.train()
        right = 0
        for pictures, labels in train_loader:
            pictures, labels = pictures.to(device), labels.to(device)
            logits = model(pictures)
            optimizer.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            schedule.step()
            right += int((logits.argmax(dim=1) == labels).sum())
        history["train"].append(right / len(train[1]))
        for name, (_, loader) in loaders.items():
            history[name].append(accuracy(model, loader))
    return history


# %% [markdown]
# **Three networks, three kinds of people.** The dense network gets all its training pictures right in the
# end and fails on strangers; the distance between the two curves is what it learned by heart. (With
# augmentation, training accuracy is counted on the views, which are harder than the pictures: it may be
# *below* that on other pictures.)

# %% tags=["show", "timing"]
held_out = {"seen": seen, "unseen": unseen}
plans = {
    "dense": (lambda: build_dense(K), None, 30, 2e-3),
    "CNN": (lambda: build_cnn(K), None, 18, 5e-3),
    "CNN with augmentation": (lambda: build_cnn(K), make_augmentation(), 18, 5e-3),
}
models, histories = {}, {}
for title, (make, transform, epochs, peak) in plans.items():
    torch.manual_seed(0)
    models[title] = make().to(device)
    histories[title] = fit(models[title], train_part, held_out, transform, epochs, peak)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.2), sharey=True)
for ax, (title, history) in zip(axes, histories.items(), strict=True):
    for who, colour in (("train", "tab:gray"), ("seen", "tab:blue"), ("unseen", "tab:red")):
        label = f"{who}, {history[who][-1]:.0%} in the end"
        ax.plot(range(1, len(history[who]) + 1), history[who], color=colour, label=label)
    ax.set(title=title, xlabel="epoch", ylim=(0, 1.03))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="lower right", fontsize=9)
axes[0].set_ylabel("accuracy")
fig.tight_layout()
plt.show()

# %% [markdown]
# **Which letters are mistaken for which?** Rows are what was signed, columns what was read. Look at the
# fists: A, E, M, N, S and T differ in where the thumb is, and in little else.

# %% tags=["show", "timing"]
best = models["CNN with augmentation"]
best.eval()
with torch.inference_mode():
    guesses = torch.cat([best(part.to(device) / 255).argmax(dim=1).cpu() for part in unseen[0].split(250)])
confusion = torch.zeros(K, K)
confusion.index_put_((unseen[1], guesses), torch.ones(len(guesses)), accumulate=True)
share = confusion / confusion.sum(dim=1, keepdim=True)
fig, ax = plt.subplots(figsize=(6.6, 6.2))
shown = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
letters = [letter.upper() for letter in hands.classes]
ax.set_xticks(range(K), letters)
ax.set_yticks(range(K), letters)
ax.set(
    xlabel="read",
    ylabel="signed",
    title=f"unseen hands, {float((guesses == unseen[1]).double().mean()):.1%} right",
)
for i, j in torch.nonzero(share > 0.095).tolist():
    ax.text(j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=7,
            color="white" if share[i, j] > 0.5 else "black")  # fmt: skip
fig.colorbar(shown, shrink=0.8, label="share of the row")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 13.5 A file that holds everything
#
# The notebook will be closed, and the model with it. What has to be kept so that somebody else can use it?
#
# - the **state**: `model.state_dict()`, all parameters *and buffers*. (The running averages of a batch
#   normalisation are buffers. No optimiser changes them, and without them the network is worth nothing.)
# - the **settings** that it was built with: the state holds numbers, not layers;
# - the **classes**: a 7 is no letter until somebody says which.
#
# One could hand the whole model to `torch.save`. What is written then is a *pickle* of the object, tied to
# the names and folders of this very program; and a pickle is a program itself, as the next part shows. A
# dictionary of tensors, numbers and strings is data.


# %% question="save_model"
def save_model(path, model, settings, classes):
    """Write a model file.

    path      a string: where to
    model     an nn.Module, not to be changed in any way
    settings  a dict of numbers, strings and tuples: what the model was built with, by name
    classes   the names of the classes, a list or tuple of strings

    Writes, by torch.save, a dict with these three entries:
        "settings"  settings
        "classes"   a list of strings
        "state"     the model's state dict
    """
    ### BEGIN SOLUTION
    torch.save({"settings": settings, "classes": list(classes), "state": model.state_dict()}, path)
    ### END SOLUTION


# %%
check("save_model")

# %% [markdown]
# ## 13.6 A loader that trusts nothing
#
# Model files are passed around, and a file from somewhere else may be the wrong one, damaged, or meant
# badly.
#
# **Meant badly.** `torch.save` writes a pickle, and a pickle may contain: *call this function with these
# arguments*. Whoever opens it, calls it. The cell below writes such a file, and opens it in the way that
# tutorials did for years.

# %% tags=["show"]


class Surprise:
    """Pickled, it becomes a call of print."""

    def __reduce__(self):
        return print, ("This line was printed by a file. It could have deleted yours.",)


folder = tempfile.mkdtemp()
poisoned = str(Path(folder) / "free_model.pt")
torch.save({"settings": {}, "classes": [], "state": Surprise()}, poisoned)
torch.load(poisoned, weights_only=False)
try:
    torch.load(poisoned, weights_only=True)
except pickle.UnpicklingError as error:
    print(f"\nwith weights_only=True: {type(error).__name__}: {str(error).partition('.')[0]}.")

# %% [markdown]
# So: `torch.load(path, weights_only=True)`, always. It builds tensors, numbers, strings and containers, and
# refuses everything else.
#
# **From another machine.** A tensor remembers the device that it was saved on. Where there is no such
# device, it cannot be read, unless one says where to put it: `map_location="cpu"`.
#
# **The wrong one, or damaged.** Then something fails, somewhere deep in a library: a `KeyError`, an
# `EOFError`, a `RuntimeError` about a zip archive. Who calls `load_model` wants to hear one thing, *this is
# no model file for this network*, in one kind of exception that can be caught:


# %%
class ModelFileError(Exception):
    """A model file cannot be used; the text names the file and says why."""


# %% [markdown]
# The worst of all is a file that nearly fits and raises nothing: `load_state_dict(..., strict=False)`
# leaves out what does not fit, and the layers without weights keep their random ones.


# %% question="load_model"
def load_model(path, build=None):
    """Read a model file as save_model writes it.

    path   a string
    build  called with the settings by name, builds the model: build(**settings); without one, build_cnn does

    Returns (model, classes): the model with all of the saved state, in eval mode, on the CPU; and the list of
    class names.

    Raises FileNotFoundError where there is no file. Whatever else is wrong is a ModelFileError, whose text
    holds `path` and the reason: a file of another kind, one that is cut off, one without one of the three
    entries, settings that `build` does not take, a state that lacks something (the text names it), has
    something too much, or is of other shapes. Nothing in the file is executed.
    """
    ### BEGIN SOLUTION
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = (build or build_cnn)(**content["settings"])
        model.load_state_dict(content["state"])
        return model.eval(), list(content["classes"])
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ModelFileError(f"{path} is not a model file that can be used: {error}") from error
    ### END SOLUTION


# %%
check("load_model")

# %% tags=["show", "timing"]
path = str(Path(folder) / "letters.pt")
save_model(path, models["CNN with augmentation"], {"num_classes": K}, hands.classes)
reader, classes = load_model(path)
few = unseen[0][:50] / 255
with torch.inference_mode():
    same = torch.equal(reader(few), models["CNN with augmentation"].cpu().eval()(few))
print(f"{Path(path).stat().st_size:,} bytes; the loaded model's logits are the same, bit for bit: {same}\n")

whole = Path(path).read_bytes()
for kind, content in {
    "cut off": whole[: len(whole) // 2],
    "a text": b"<html>404: no such model</html>",
    "poisoned": Path(poisoned).read_bytes(),
}.items():
    damaged = Path(folder) / "damaged.pt"
    damaged.write_bytes(content)
    try:
        load_model(str(damaged))
    except ModelFileError as error:
        reason = str(error).replace(str(damaged), "damaged.pt").splitlines()[0]
        print(f"{kind}: ModelFileError: {reason[:110]} ...")

# %% [markdown]
# ## 13.7 Pictures from elsewhere
#
# The network was trained on $(3, 32, 32)$, `float32`, from 0 to 1, a hand in the middle of a black square.
# Nobody will send it that. Each difference is harmless if it is noticed and silent if it is not: the
# network reads *something* from any numbers of the right shape. So:
#
# 1. A photograph taken with a telephone held upright lies on its side in the file, and a note in it (EXIF)
#    says how to turn it: `ImageOps.exif_transpose`.
# 2. Bytes are divided by 255; floats are between 0 and 1 already.
# 3. Grey becomes three equal channels. A picture with transparency, $\alpha$ from 0 to 1, is laid on black,
#    as the training pictures are: $\text{rgb} \cdot \alpha$.
# 4. A picture that is not square gets black bars, the same on both sides, to become one. Squeezing it would
#    make fingers thin.
# 5. Only then is it resized, bilinearly and *with antialiasing* (`v2.functional.resize(...,
#    antialias=True)`): each new pixel is an average over all old ones under it, or thin fingers would fall
#    through the grid.


# %% question="preprocess"
def preprocess(image, size=SIZE):
    """A foreign picture as the network wants it.

    image  bytes: the content of a picture file (JPEG, PNG, ...), in any mode, with or without EXIF; or
           a NumPy array, not to be modified: (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA;
           uint8 from 0 to 255, or float of any precision from 0 to 1
    size   of the result

    Returns a float32 tensor (3, size, size), from 0 to 1. Raises ValueError for bytes that are no picture,
    or half of one, and for an array of another shape or dtype.
    """
    ### BEGIN SOLUTION
    if isinstance(image, bytes):
        try:
            with Image.open(io.BytesIO(image)) as opened:
                image = np.asarray(ImageOps.exif_transpose(opened).convert("RGBA"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"these bytes are not a picture: {error}") from error
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise ValueError(f"pixels are uint8 or float, not {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"a picture is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}")
    pixels = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)
    if image.dtype == np.uint8:
        pixels = pixels / 255
    if len(pixels) == 4:
        pixels = pixels[:3] * pixels[3]
    height, width = pixels.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = F.pad(pixels, (left, side - width - left, top, side - height - top))
    return v2.functional.resize(square, [size, size], antialias=True).expand(3, -1, -1)
    ### END SOLUTION


# %%
check("preprocess")

# %% [markdown]
# ## 13.8 One by one, or all at once
#
# Last, the function that everybody calls. Three things go wrong in it:
#
# - The model is in training mode. Then batch normalisation uses the averages of *the batch*, a picture's
#   answer depends on who else is in it, and a dropout throws dice.
# - All pictures are put through at once. Ten thousand of them may fit into memory, the maps of all layers
#   do not. So: batches, and no gradients.
# - Logits are taken for probabilities. $p = \text{softmax}(\text{logits})$, along the classes.


# %% question="predict"
def predict(model, pictures, batch_size=64):
    """The most likely class of each picture, and how likely the model finds it.

    model       an nn.Module that maps (N, 3, H, W) to logits (N, K), in either mode; afterwards it is in that
                mode again, and nothing else about it has changed
    pictures    (N, 3, H, W) float tensor, N > 0
    batch_size  the model gets so many pictures at a time, and in the end what is left

    Returns (labels, probabilities): tensors (N,), int64 and float. In eval mode, without gradients; a
    picture's answer does not depend on the other pictures.
    """
    ### BEGIN SOLUTION
    mode = model.training
    model.eval()
    with torch.no_grad():
        probabilities = [model(batch).softmax(dim=1) for batch in pictures.split(batch_size)]
    model.train(mode)
    most, labels = torch.cat(probabilities).max(dim=1)
    return labels, most
    ### END SOLUTION


# %%
check("predict")

# %% [markdown]
# **All of it together.** Hands that nobody has seen, in pictures as they come. Above what came in, as a
# program sees it that knows nothing of EXIF and transparency; below what the network gets, and what it
# reads. (A red letter is the network's own error, not that of the way in: the picture is as it should be.)


# %%
def encoded(pixels, kind, **options):
    """The content of a picture file with these pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


# %% tags=["show", "timing"]
large = load_dataset(name, num_train=0, num_test=200, size=96)
wanted = [large.classes.index(letter) for letter in "bylfwv"]
chosen = [int(np.flatnonzero(large.y_test == label)[2]) for label in wanted]
B, Y, L, F_, W, V = (np.ascontiguousarray(large.x_test[i].transpose(1, 2, 0)) for i in chosen)
lying = Image.Exif()
lying[0x0112] = 6  # orientation: turn it clockwise by a quarter
hand = L.max(axis=2) > 60
foreign = {
    "JPEG with EXIF": encoded(np.ascontiguousarray(np.rot90(B)), "JPEG", exif=lying, quality=90),
    "PNG, wide": encoded(np.pad(Y, ((0, 0), (16, 16), (0, 0))), "PNG"),
    "RGBA": np.dstack([np.where(hand[:, :, None], L, 255), 255 * hand]).astype(np.uint8),
    "grey": F_.mean(axis=2).astype(np.uint8),
    "float64": W / 255,
    "PNG, enlarged": encoded(np.kron(V, np.ones((3, 3, 1), dtype=np.uint8)), "PNG"),
}
ready = torch.stack([preprocess(picture) for picture in foreign.values()])
labels, probabilities = predict(reader, ready)
fig, axes = plt.subplots(2, 6, figsize=(12, 4.8))
for column, (title, picture), view, label, p, truth in zip(
    axes.T, foreign.items(), ready, labels, probabilities, wanted, strict=True
):
    before = np.asarray(Image.open(io.BytesIO(picture))) if isinstance(picture, bytes) else picture
    column[0].imshow(before[..., :3] if before.ndim == 3 else before, cmap="gray")
    column[0].set_title(f"{title}\n{' × '.join(map(str, before.shape))}", fontsize=9)
    column[1].imshow(view.permute(1, 2, 0))
    column[1].set_title(
        f"{classes[label].upper()}  {p:.0%}", fontsize=11, color="tab:green" if label == truth else "tab:red"
    )
for ax in axes.flat:
    ax.axis("off")
fig.tight_layout(h_pad=1.5)
plt.show()

# %% [markdown]
# **And what if one step is forgotten?** The same reader on unseen hands, each time with one mistake on the
# way. There is no error message in any of these bars. (Bytes for floats do the least harm to the labels:
# convolutions and ReLUs make of 255 times the input about 255 times the logits. But then nearly all
# probabilities are 100 %.)

# %% tags=["show", "timing"]
right = unseen[0] / 255
slips = {
    "as it should be": right,
    "not divided by 255": unseen[0].float(),
    "divided twice": right / 255,
    "BGR for RGB": right.flip(1),
    "on its side": right.rot90(1, (2, 3)),
    "white for black": torch.where(right.amax(dim=1, keepdim=True) > 0.2, right, 1.0),
    "values from -1 to 1": 2 * right - 1,
}
shares = [float((predict(reader, pictures)[0] == unseen[1]).double().mean()) for pictures in slips.values()]
fig, ax = plt.subplots(figsize=(8, 2.8))
bars = ax.barh(list(slips), shares, color=["tab:blue"] + ["tab:red"] * (len(slips) - 1))
ax.bar_label(bars, [f"{value:.0%}" for value in shares], padding=3)
ax.axvline(1 / K, color="black", lw=1, ls=":")
ax.set(xlabel="accuracy on unseen hands (dotted: a guess)", xlim=(0, 1))
ax.invert_yaxis()
fig.tight_layout()
plt.show()
shutil.rmtree(folder)

# %% [markdown]
# ## What you have now
#
# A network that reads the hands of people whom it has not met, because it was shown views of those whom it
# had; a number for it that does not flatter; and a file, a loader and a front door with which it can leave
# the notebook. What comes in is checked where it comes in, and what goes wrong says so.
#
# The network was trained from nothing on a thousand pictures. There are networks that were trained on a
# million, and they are files as well: the next assignment opens one.

# %% [markdown]
# # 12. One network, images of any size
#
# Cameras differ, and so do their images. The usual answer is to resize everything to one size before the
# network sees it. That is simple, and it throws something away: details where an image is made smaller,
# computing time where it is made larger.
#
# A convolution does not care how large an image is; it was the layer behind it that did, the linear layer
# with a weight for each place. With **global pooling** in between, as in assignment 11, one and the same
# network takes images of every size. What is left to do is in the details. How is an image resized? How do
# images of different sizes get into one batch? What about the padding that fills up the small ones: how does
# one make sure that it changes nothing? And the question that all this is for: does a network that has seen
# several resolutions know digits in one that it has not seen?
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# %% [markdown]
# Handwritten digits again: all of MNIST if it is on this machine, otherwise 4,000 of them.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    digits = load_dataset("mnist")
except DatasetMissing:
    digits = load_dataset("mnist5000")
x, y = torch.tensor(digits.x_train)[:, None], torch.tensor(digits.y_train)
x_test, y_test = torch.tensor(digits.x_test[:1000])[:, None], torch.tensor(digits.y_test[:1000])
print(digits)

# %% [markdown]
# ## 12.1 Resizing
#
# Think of the $h$ pixels of a new column as $h$ equal pieces of the old column, which has $H$ of them. The
# middle of piece $i$ lies, in units of old pixels whose middles have whole numbers, at
#
# $$ u_i = \Big(i + \tfrac12\Big)\frac{H}{h} - \tfrac12, \qquad \text{kept between } 0 \text{ and } H - 1. $$
#
# **Bilinear interpolation** takes the two old pixels around it, $\lfloor u_i \rfloor$ and the next one, with
# the weights $1 - a$ and $a$, where $a = u_i - \lfloor u_i\rfloor$; and does so along both axes. Since it is
# linear, it can be written with two matrices that hold the weights:
#
# $$ \text{new} = R\,\text{old}\,C^\top, \qquad R: (h, H), \quad C: (w, W). $$
#
# (The halves matter. Without them the picture is shifted by half a pixel, which is a lot for a digit of 28.)


# %% question="resize_bilinear"
def resize_bilinear(images, height, width):
    """Images of another size, by bilinear interpolation.

    images         (N, C, H, W)  float tensor, not to be modified
    height, width  the new size

    Returns (N, C, height, width), of the same dtype.
    """

    ### BEGIN SOLUTION
    def weights(old, new):
        place = ((torch.arange(new, dtype=images.dtype) + 0.5) * old / new - 0.5).clamp(0, old - 1)
        low = place.long()
        part = place - low
        matrix = torch.zeros(new, old, dtype=images.dtype)
        matrix[torch.arange(new), low] += 1 - part
        matrix[torch.arange(new), (low + 1).clamp(max=old - 1)] += part
        return matrix

    return weights(images.shape[2], height) @ images @ weights(images.shape[3], width).T
    ### END SOLUTION


# %%
check("resize_bilinear")

# %% tags=["show"]
fig, axes = plt.subplots(1, 6, figsize=(12, 2.4))
for ax, size in zip(axes, ((14, 14), (28, 28), (32, 32), (48, 48), (64, 64), (24, 64)), strict=True):
    ax.imshow(resize_bilinear(x_test[2:3], *size)[0, 0], cmap="gray_r")
    ax.set_title(f"{size[0]} × {size[1]}", fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 12.2 What global pooling saves
#
# Take $L$ blocks of convolution ($3\times3$, no bias), batch normalisation (two parameters for each channel),
# ReLU and max pooling, with $c_0$ channels in the image and $c_l$ after block $l$; every max pooling halves
# the side, rounding down. They have
#
# $$ \sum_{l=1}^{L} \big(9\,c_{l-1} c_l + 2\,c_l\big) $$
#
# parameters, whatever the size of the image. A linear layer on the **flattened** maps has a weight for each
# of the $c_L\,(\text{side}/2^L)^2$ numbers and each class; behind **global pooling** only $c_L$ numbers are
# left. And both have $K$ biases.


# %% question="count_parameters"
def count_parameters(channels, num_classes, in_channels=1, side=None):
    """The number of parameters of a convolutional network as above.

    channels     (c_1, ..., c_L)
    num_classes  K
    in_channels  c_0
    side         None for global pooling; otherwise the maps are flattened, for images of side x side pixels

    Returns an int.
    """
    ### BEGIN SOLUTION
    total, before = 0, in_channels
    for after in channels:
        total += 9 * before * after + 2 * after
        before = after
    places = 1 if side is None else (side // 2 ** len(channels)) ** 2
    return total + (before * places + 1) * num_classes
    ### END SOLUTION


# %%
check("count_parameters")

# %% tags=["show"]
sides = np.arange(16, 130, 8)
fig, ax = plt.subplots(figsize=(7, 2.8))
for channels, colour in (((16, 32, 64), "tab:blue"), ((32, 64, 128), "tab:orange")):
    flat = [count_parameters(channels, 10, side=int(side)) for side in sides]
    ax.plot(sides, flat, ".-", color=colour, label=f"{channels}, flattened")
    ax.axhline(count_parameters(channels, 10), color=colour, ls="--", label=f"{channels}, global pooling")
ax.set(xlabel="side of the image", ylabel="parameters", yscale="log")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## 12.3 Batches of one size
#
# The images of a batch are one tensor, so they must have one size. The first way to train with several sizes
# is to let every batch have its own: the examples are sorted by size, shuffled, and cut into batches. Then
# the *batches* are shuffled as well, or the network would see all small images first and all large ones last.


# %% question="batches_by_size"
def batches_by_size(sizes, batch_size, generator):
    """Batches in which all images have the same size.

    sizes       a list of N pairs (H, W), one for each image
    batch_size  the most images in a batch; for each size at most one batch has fewer
    generator   a torch.Generator, the source of all random numbers

    Returns a list of lists of indices: each index from 0 to N - 1 once, the images of a size in random order,
    and the batches in random order.
    """
    ### BEGIN SOLUTION
    batches = []
    for size in sorted(set(sizes)):
        same = torch.tensor([i for i, each in enumerate(sizes) if each == size])
        shuffled = same[torch.randperm(len(same), generator=generator)]
        batches += [batch.tolist() for batch in shuffled.split(batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    ### END SOLUTION


# %%
check("batches_by_size")

# %% [markdown]
# ## 12.4 Padding and masks
#
# Where images of every size are to go through the network together, small ones are filled up with zeros, to
# the right and below, to the size of the largest. A **mask** says which pixels are image, and which are not.


# %% question="pad_batch"
def pad_batch(images):
    """Images of different sizes in one tensor.

    images  a list of N tensors (C, H_i, W_i) of one dtype, not to be modified

    Returns
    batch  (N, C, H, W), with the largest H_i and the largest W_i; image i at the upper left, 0 elsewhere
    mask   (N, H, W), bool: True where there is image
    """
    ### BEGIN SOLUTION
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = torch.zeros(len(images), images[0].shape[0], height, width, dtype=images[0].dtype)
    mask = torch.zeros(len(images), height, width, dtype=torch.bool)
    for n, image in enumerate(images):
        rows, columns = image.shape[1:]
        batch[n, :, :rows, :columns] = image
        mask[n, :rows, :columns] = True
    return batch, mask
    ### END SOLUTION


# %%
check("pad_batch")

# %% tags=["show"]
several = [
    resize_bilinear(x_test[i : i + 1], *size)[0]
    for i, size in enumerate(((32, 32), (64, 64), (48, 40), (20, 56)))
]
batch, mask = pad_batch(several)
fig, axes = plt.subplots(1, 4, figsize=(10, 2.6))
for ax, image, inside in zip(axes, batch, mask, strict=True):
    shown = np.stack([1 - image[0] * 0.8] * 3, axis=2)
    shown[~inside.numpy()] = (1.0, 0.85, 0.7)
    ax.imshow(shown)
    ax.set_xticks([])
    ax.set_yticks([])
fig.suptitle("one batch of four sizes; orange: padding, where the mask is False")
plt.show()

# %% [markdown]
# ## 12.5 Pooling inside the mask
#
# A mean over the whole map would be diluted by the padding, and a maximum might be taken from it. With the
# mask $m$, ones and zeros,
#
# $$ \text{mean}_{nc} = \frac{\sum_{ij} m_{nij}\, x_{ncij}}{\sum_{ij} m_{nij}}, \qquad
#    \text{max}_{nc} = \max_{ij:\, m_{nij} = 1} x_{ncij}. $$
#
# Mind that all values inside of the mask may be negative: then a 0 from outside must not win.


# %% question="masked_pool"
def masked_pool(maps, mask, kind="mean"):
    """Global pooling over the places where the mask is True.

    maps  (N, C, H, W)
    mask  (N, H, W), bool, with at least one True for each n
    kind  "mean" or "max"

    Returns (N, C). What stands outside of the mask, infinity and NaN included, changes nothing.
    """
    ### BEGIN SOLUTION
    inside = mask[:, None]
    if kind == "max":
        return maps.masked_fill(~inside, -math.inf).amax(dim=(2, 3))
    return maps.masked_fill(~inside, 0).sum(dim=(2, 3)) / inside.sum(dim=(2, 3))
    ### END SOLUTION


# %%
check("masked_pool")

# %% [markdown]
# ## 12.6 A network for mixed batches
#
# Masked pooling at the end is not enough. A convolution at the edge of an image looks across it: alone, it
# sees the zeros of its own padding there. In a mixed batch it sees whatever the layer before has put into the
# padded part, and that is not 0: batch normalisation adds its bias everywhere. So after each block the part
# outside is set to 0 again, with a mask that shrinks along with the maps.
#
# How does it shrink? Max pooling joins two rows into one and drops the last row where their number is odd. A
# place of the new map lies in the image if *both* of its old rows do (and both columns), or else the image
# alone would not have it. Every second entry of the mask says so, beginning with the second.
#
# Done right, there is an exact test: **an image in a mixed batch has the logits that it has alone**, to the
# last digits, whatever its neighbours are and whatever stands in the padding.
#
# (In eval mode. In training, batch normalisation would take its statistics from the padded parts as well, so
# we train with batches of one size.)


# %% question="mixed_cnn"
class MixedCNN(nn.Module):
    """Blocks of convolution (3 x 3, padding 1, no bias), batch normalisation, ReLU and max pooling (2), then
    global mean pooling and a linear layer.

    channels     the channels after each block
    num_classes  K
    in_channels  channels of the images
    """

    def __init__(self, channels, num_classes, in_channels=1):
        super().__init__()
        ### BEGIN SOLUTION
        sizes = [in_channels, *channels]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            for before, after in zip(sizes, channels, strict=False)
        )
        self.head = nn.Linear(sizes[-1], num_classes)
        ### END SOLUTION

    def forward(self, images, mask=None):
        """Logits (N, K).

        images  (N, in_channels, H, W)
        mask    (N, H, W), bool, as pad_batch gives it; None: everything is image. What stands in images
                outside of the mask changes nothing.
        """
        ### BEGIN SOLUTION
        if mask is None:
            mask = torch.ones(len(images), *images.shape[2:], dtype=torch.bool, device=images.device)
        maps = images.masked_fill(~mask[:, None], 0)
        for block in self.blocks:
            mask = mask[:, 1::2, 1::2]
            maps = block(maps).masked_fill(~mask[:, None], 0)
        return self.head(masked_pool(maps, mask))
        ### END SOLUTION


# %%
check("mixed_cnn")

# %% [markdown]
# ## 12.7 Several resolutions
#
# Measured is what a network gets right at each size. The images of a size go through it in batches, in eval
# mode; the answer is a dictionary from size to accuracy.


# %% question="accuracy_by_size"
def accuracy_by_size(model, images, labels, batch_size=100):
    """The share of right answers for each size of image.

    model       maps a batch (B, C, H, W) to logits
    images      a list of N tensors (C, H_i, W_i)
    labels      (N,) int64
    batch_size  the most images that go through the model at a time, all of one size

    Returns a dict: (H, W) -> share of the images of this size whose largest logit is that of their label.
    The model is measured in eval mode.
    """
    ### BEGIN SOLUTION
    sizes = [tuple(image.shape[1:]) for image in images]
    shares = {}
    model.eval()
    with torch.inference_mode():
        for size in set(sizes):
            same = torch.tensor([i for i, each in enumerate(sizes) if each == size])
            right = 0
            for batch in same.split(batch_size):
                answers = model(torch.stack([images[i] for i in batch])).argmax(dim=1)
                right += int((answers == labels[batch]).sum())
            shares[size] = right / len(same)
    return shares
    ### END SOLUTION


# %%
check("accuracy_by_size")

# %% [markdown]
# Now the experiment. One network is trained with images of $48\times48$ pixels; another sees each batch in
# one of the sizes 32, 48 and 64, drawn at random. Both have the same number of parameters, and see the same
# number of images.
#
# There is one trap. In training, batch normalisation uses the statistics of the batch, and these are those of
# one size; in eval mode it uses running averages over all of them. A network that has got used to the first
# is badly off with the second. So in the last quarter of the epochs, when the steps have become small, the
# averages are frozen (the network is in eval mode, and still learns), and it gets used to what it will have
# to live with.


# %%
def train_sizes(model, x, y, sides, num_epochs, peak=1.5e-2, batch_size=32, seed=0):
    """Train with Adam; each batch of images is resized to one of `sides`, drawn at random."""
    resize = partial(F.interpolate, mode="bilinear", align_corners=False)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters())
    steps = num_epochs * math.ceil(len(x) / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps)
    for epoch in range(num_epochs):
        model.train(epoch < 0.75 * num_epochs)
        for batch in torch.randperm(len(x), generator=generator).split(batch_size):
            side = sides[int(torch.randint(len(sides), (), generator=generator))]
            images = resize(x[batch], size=(side, side))
            loss = F.cross_entropy(model(images.to(device)), y[batch].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


# %% tags=["show", "timing"]
sides = (20, 24, 28, 32, 40, 48, 56, 64, 80)
some = slice(0, 2500)
fig, ax = plt.subplots(figsize=(7.5, 3.4))
for name, trained_on, colour in (("48 only", (48,), "tab:gray"), ("32, 48 and 64", (32, 48, 64), "tab:blue")):
    torch.manual_seed(0)
    network = train_sizes(
        MixedCNN((8, 16, 32, 64), 10).to(device), x[some], y[some], trained_on, num_epochs=10
    )
    tests = [resize_bilinear(x_test[k : k + 300], side, side) for k, side in enumerate(sides)]
    images = [image.to(device) for images in tests for image in images]
    labels = torch.cat([y_test[k : k + 300] for k in range(len(sides))]).to(device)
    reached = accuracy_by_size(network, images, labels)
    ax.plot(sides, [reached[side, side] for side in sides], "o-", color=colour, label=f"trained on {name}")
    for side in trained_on:
        ax.axvline(side, color="0.85", lw=1, zorder=0)
ax.set(xlabel="side of the test images (300 each)", ylabel="accuracy", ylim=(0, 1.02))
ax.legend(loc="lower center")
plt.show()

# %% [markdown]
# The network that has seen one size knows digits at that size, and not far beyond. The other one is as good
# there, at the other two sizes and between them; far outside it is lost, too: what a network has not seen, it
# does not know. What it costs is nothing but a line in the loop.
#
# And a mixed batch, padded to the largest, gives the same logits as its images one by one:

# %% tags=["show", "timing"]
network = network.cpu().eval()
batch, mask = pad_batch(several)
with torch.no_grad():
    together, alone = network(batch, mask), torch.cat([network(image[None]) for image in several])
    without = network(batch)
fig, axes = plt.subplots(1, 4, figsize=(11, 2.4), sharey=True)
for k, ax in enumerate(axes):
    ax.bar(np.arange(10) - 0.27, alone[k].softmax(dim=0), 0.27, color="tab:gray", label="alone")
    ax.bar(np.arange(10), together[k].softmax(dim=0), 0.27, color="tab:blue", label="in the batch")
    ax.bar(np.arange(10) + 0.27, without[k].softmax(dim=0), 0.27, color="tab:red", label="without the mask")
    ax.set(title=f"a {int(y_test[k])} of {several[k].shape[1]} × {several[k].shape[2]}", xticks=range(10))
axes[0].set_ylabel("probability")
axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## What you have now
#
# A network that takes images as they come. What makes it possible is a layer that reduces a map of any size
# to one number a channel, and the care that padding needs. Masks will come back in Part III: sentences have
# different lengths, too.

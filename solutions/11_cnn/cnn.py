# %% [markdown]
# # 11. Convolutional networks in PyTorch
#
# In assignment 9 you wrote a convolution with loops, and made it fast with a trick. PyTorch has both: layers
# that somebody else made fast, and a way to add a layer that nobody has made yet. This assignment uses the
# second to understand the first. You write an operation with a backward pass of its own, as a
# `torch.autograd.Function`; a convolution as a matrix product, with every option that `F.conv2d` has; and its
# gradients.
#
# Then they are put to work. A network of convolutions reads handwritten digits better than any network of
# assignment 10, and it gets better still when its training images are turned, scaled and shifted a little
# each time they come: **augmentation**, the cheapest data there are. It is a transformation of the plane, so
# it is mathematics first; and it can do harm, so it has to be tested.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import copy
import math
import random
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# %% [markdown]
# ## The digits
#
# MNIST if it is on this machine (60,000 digits to train on; the runs below then take some minutes), otherwise
# 4,000 of them.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    digits = load_dataset("mnist")
    EPOCHS = 4
except DatasetMissing:
    digits = load_dataset("mnist5000")
    EPOCHS = 8
num_val = len(digits.x_train) // 8
x = torch.tensor(digits.x_train)[:, None]
y = torch.tensor(digits.y_train)
x_test, y_test = torch.tensor(digits.x_test)[:, None], torch.tensor(digits.y_test)
train_loader = DataLoader(TensorDataset(x[num_val:], y[num_val:]), batch_size=64, shuffle=True)
val_loader = DataLoader(TensorDataset(x[:num_val], y[:num_val]), batch_size=250)
print(digits)

# %% [markdown]
# ## 11.1 An operation of your own
#
# `torch.autograd` differentiates whatever is made of its operations. Sometimes one wants to say oneself how
# the gradient is computed: because the formula is known and cheaper, because it is more stable, or because
# less has to be remembered. An `autograd.Function` is a pair of static methods, just like the layers of
# assignment 8. What the backward pass needs is put into `ctx`, the cache: tensors with
# `ctx.save_for_backward`, anything else as an attribute. `Swish.apply(x)` calls the forward pass and notes
# the backward pass on the tape.
#
# The **swish** (P. Ramachandran, B. Zoph and Q. V. Le, *Searching for Activation Functions*, 2017) is a
# smooth relative of the ReLU,
#
# $$ f(x) = x\,\sigma(x), \qquad
#    f'(x) = \sigma(x) + x\,\sigma(x)\,(1 - \sigma(x)). $$
#
# Written with `x * torch.sigmoid(x)`, autograd keeps $x$ and $\sigma(x)$ until the backward pass. Here only
# $x$ is kept, and $\sigma$ computed again: half the memory.


# %% question="swish"
class Swish(torch.autograd.Function):
    """x sigmoid(x), element by element."""

    @staticmethod
    def forward(ctx, x):
        """x: a tensor of any shape, not to be modified. Returns a tensor of its shape."""
        ### BEGIN SOLUTION
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dout):
        """dout: the upstream gradient, of the shape of x. Returns the gradient with respect to x."""
        ### BEGIN SOLUTION
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return dout * s * (1 + x * (1 - s))
        ### END SOLUTION


swish = Swish.apply

# %%
check("swish")

# %% tags=["show"]
t = torch.linspace(-6, 6, 400, requires_grad=True)
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8))
for name, f, colour in (("ReLU", torch.relu, "tab:gray"), ("swish", swish, "tab:blue")):
    values = f(t)
    (slopes,) = torch.autograd.grad(values.sum(), t)
    axes[0].plot(t.detach(), values.detach(), color=colour, label=name)
    axes[1].plot(t.detach(), slopes, color=colour, label=name)
axes[0].set(title="value", xlabel="x")
axes[1].set(title="derivative, from the backward pass", xlabel="x")
axes[0].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 11.2 Convolution as a matrix product
#
# How large is the output of a convolution? A filter of size $k$ with **dilation** $d$ looks at every $d$-th
# pixel, and so spans $d(k-1) + 1$ of them; with padding $p$ on both sides and stride $s$ it fits in
#
# $$ \text{out} = \left\lfloor \frac{\text{size} + 2p - d(k-1) - 1}{s} \right\rfloor + 1 $$
#
# places.


# %% question="output_size"
def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """The length of a convolution's output along one axis.

    size      of the input
    kernel    size of the filter
    stride, padding, dilation  as in F.conv2d

    Returns an int.
    """
    ### BEGIN SOLUTION
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    ### END SOLUTION


# %%
check("output_size")

# %% [markdown]
# Every output pixel is an inner product of the filter and the window under it. `F.unfold` lays out all
# windows as columns, and then the whole layer is one matrix product:
#
# $$ \underbrace{x}_{(N, C, H, W)} \xrightarrow{\;\text{unfold}\;} \underbrace{X}_{(N,\; C k_h k_w,\; L)},
#    \qquad \text{out} = \underbrace{W}_{(F,\; C k_h k_w)} X + b, \qquad L = H_\text{out} W_\text{out}. $$
#
# In a column the channels come one after the other, and within a channel the window row by row: the same
# order as in `w.reshape(F, -1)`.
#
# With **groups**, the channels are cut into $G$ equal parts, and so are the filters: the filters of a group
# see only the channels of that group. `w` then has the shape $(F, C/G, k_h, k_w)$. With $G = C$ each channel
# has filters of its own (a *depthwise* convolution, of which small networks for telephones are made).


# %% question="conv2d_unfold"
def conv2d_unfold(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    """A convolution without F.conv2d: unfold, then a matrix product.

    x  (N, C, H, W)            in any memory layout, not to be modified
    w  (F, C // groups, kh, kw)
    b  (F,)
    stride, padding, dilation, groups  integers, as in F.conv2d

    Returns a tensor (N, F, H_out, W_out) that autograd can differentiate.
    """
    ### BEGIN SOLUTION
    N, _, H, W = x.shape
    filters, channels, kh, kw = w.shape
    columns = F.unfold(x, (kh, kw), dilation=dilation, padding=padding, stride=stride)
    columns = columns.reshape(N, groups, channels * kh * kw, -1)
    out = w.reshape(groups, filters // groups, -1) @ columns
    height = output_size(H, kh, stride, padding, dilation)
    width = output_size(W, kw, stride, padding, dilation)
    return out.reshape(N, filters, height, width) + b[:, None, None]
    ### END SOLUTION


# %% [markdown]
# Where a tensor's numbers lie in memory must not matter. A transposed tensor, for one, is a *view*: the same
# numbers, read in another order. `on_views` hands a function such views, with equal values, so that you (and
# the checks) can try. With `turned`, the upstream gradient comes back as one.


# %%
def on_views(function):
    """The same function, called with tensors whose last two axes lie the other way round in memory."""

    def called(*arguments, **options):
        views = [
            each.mT.contiguous().mT if isinstance(each, torch.Tensor) and each.ndim > 1 else each
            for each in arguments
        ]
        return function(*views, **options)

    return called


def turned(function):
    """The same function, its output's last two axes exchanged: the upstream gradient comes back as a view."""
    return lambda *arguments, **options: function(*arguments, **options).mT


# %%
check("conv2d_unfold")

# %% tags=["show"]
one = x[:1]
edge = torch.tensor([[[[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]]])
filters = torch.cat([edge, edge.mT])
fig, axes = plt.subplots(1, 5, figsize=(12, 2.5))
axes[0].imshow(one[0, 0], cmap="gray_r")
axes[0].set_title("input 28 × 28")
for ax, options in zip(
    axes[1:], ({}, {"padding": 1, "stride": 2}, {"dilation": 3, "padding": 3}, {"stride": 4}), strict=True
):
    out = conv2d_unfold(one, filters, torch.zeros(2), **options)
    ax.imshow(out.square().sum(dim=1).sqrt()[0], cmap="magma")
    words = ", ".join(f"{name} {value}" for name, value in options.items()) or "no padding, stride 1"
    ax.set_title(f"{words}\n{out.shape[2]} × {out.shape[3]}", fontsize=9)
for ax in axes:
    ax.axis("off")
fig.suptitle("the strength of edges (Sobel filters) by convolution", y=1.08)
plt.show()

# %% [markdown]
# ## 11.3 The gradients of a convolution
#
# Now the layer as a Function. The forward pass may use `F.conv2d`; what is yours is the backward pass. With
# the columns $X_n$ of image $n$ and the upstream gradient $D_n$, reshaped to $(F, L)$ (where $L$ still counts
# the places), the gradients of the loss are
#
# $$ \mathrm dW = \sum_n D_n X_n^\top, \qquad
#    \mathrm db = \sum_n D_n \mathbf 1, \qquad
#    \mathrm dX_n = W^\top D_n, $$
#
# and the gradient with respect to the image adds up, for each pixel, what comes back from all the windows
# that it was in: `F.fold` does that, the transpose of `F.unfold`.
#
# Three things that a layer meets in a real network. The upstream gradient need not lie in memory as you
# expect, so `view` may fail where `reshape` works. The same layer may be used twice in one graph, so that
# what the backward pass needs belongs into `ctx` and nowhere else. And `backward` returns one thing for each
# argument of `forward`: `None` for what has no gradient.


# %% question="conv2d_function"
class Convolution(torch.autograd.Function):
    """A convolution with a backward pass of its own."""

    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        """x (N, C, H, W), w (F, C, kh, kw), b (F,); stride and padding are integers, as in F.conv2d.

        Returns (N, F, H_out, W_out).
        """
        ### BEGIN SOLUTION
        ctx.save_for_backward(x, w)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, w, b, stride, padding)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, dout):
        """dout (N, F, H_out, W_out): the upstream gradient.

        Returns the gradients with respect to x, w and b, in their shapes, and None for stride and padding.
        """
        ### BEGIN SOLUTION
        x, w = ctx.saved_tensors
        size, options = w.shape[2:], {"stride": ctx.stride, "padding": ctx.padding}
        columns, flat = F.unfold(x, size, **options), dout.flatten(2)
        dw = torch.einsum("nfl,nkl->fk", flat, columns).reshape(w.shape)
        dx = F.fold(w.flatten(1).T @ flat, x.shape[2:], size, **options)
        return dx, dw, dout.sum(dim=(0, 2, 3)), None, None
        ### END SOLUTION


def conv2d(x, w, b, stride=1, padding=0):
    """The Function as a function."""
    return Convolution.apply(x, w, b, stride, padding)


# %% [markdown]
# With weights it is a layer, and a layer can stand twice in a network:


# %%
class ConvLayer(nn.Module):
    """A convolution that uses the Function above; `layer, layer` in a Sequential is the same one twice."""

    def __init__(self, channels, filters, kernel, stride=1, padding=0):
        super().__init__()
        self.weight = nn.Parameter(
            torch.randn(filters, channels, kernel, kernel) / math.sqrt(channels) / kernel
        )
        self.bias = nn.Parameter(torch.zeros(filters))
        self.stride, self.padding = stride, padding

    def forward(self, x):
        """x (N, channels, H, W)."""
        return conv2d(x, self.weight, self.bias, self.stride, self.padding)


# %%
check("conv2d_function")

# %% [markdown]
# ## 11.4 A network of convolutions
#
# A block is a convolution of $3\times3$ with padding 1, which keeps height and width; batch normalisation; a
# ReLU; and max pooling, which halves them. (The convolution needs no bias: batch normalisation would subtract
# it again. And `nn.BatchNorm2d` counts its momentum the other way round than assignment 9: its 0.1 is the
# share of the *new* value.) From block to block the image gets smaller and the channels more.
#
# At the end stands **global pooling**: each channel's map becomes a single number, its mean or its maximum,
# and a linear layer turns these into logits. The last block has no max pooling of its own. Nothing in such a
# network depends on the size of the image, which the next assignment will make use of.
#
# $$ (N, C, H, W) \to \text{blocks} \to (N, C', H', W') \xrightarrow{\text{mean or max over } H', W'}
#    (N, C') \xrightarrow{\text{linear}} (N, K) $$


# %% question="build_cnn"
def build_cnn(channels, num_classes, pool="mean", in_channels=1):
    """A convolutional network.

    channels     the number of channels after each block, e.g. (16, 32, 64)
    num_classes  K
    pool         "mean" or "max": the global pooling
    in_channels  channels of the images

    Returns an nn.Module that maps images (N, in_channels, H, W), of any size that is not too small for its
    poolings, to logits (N, K).
    """
    ### BEGIN SOLUTION
    layers = []
    for before, after in zip((in_channels, *channels), channels, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveMaxPool2d(1) if pool == "max" else nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1], num_classes))
    ### END SOLUTION


# %%
check("build_cnn")

# %% [markdown]
# ## 11.5 Training, with a place for augmentation
#
# The loop of assignment 10 once more, in short: Adam, a learning rate for each epoch, the validation accuracy
# after each. What is new is one argument. `augment(images)` changes a batch of **training** images before the
# network sees it. Validation images stay as they are, for they stand for what comes later.


# %% question="train"
def train(model, train_loader, val_loader, rates, augment=None):
    """Train with Adam and cross-entropy.

    model         an nn.Module that gives logits
    train_loader  batches (images, labels) to train on, one step for each
    val_loader    batches for validation
    rates         the learning rate of each epoch
    augment       if given, each batch of training images is replaced with augment(images)

    Returns a dict of two lists, one entry for each epoch
    "train_loss"    the mean loss over the training examples, as in train_epoch of assignment 10
    "val_accuracy"  the share of validation examples that are classified right, in eval mode
    """
    ### BEGIN SOLUTION
    optimizer = torch.optim.Adam(model.parameters())
    history = {"train_loss": [], "val_accuracy": []}
    where = next(model.parameters()).device
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        model.train()
        total, count = 0.0, 0
        for images, labels in train_loader:
            images = images if augment is None else augment(images)
            loss = F.cross_entropy(model(images.to(where)), labels.to(where))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
            count += len(labels)
        history["train_loss"].append(total / count)
        model.eval()
        right, count = 0, 0
        with torch.inference_mode():
            for images, labels in val_loader:
                right += int((model(images.to(where)).argmax(dim=1) == labels.to(where)).sum())
                count += len(labels)
        history["val_accuracy"].append(right / count)
    return history
    ### END SOLUTION


# %%
check("train")


# %% tags=["given"]
def logits_of(model, images):
    """Logits (N, K) of images (N, C, H, W), in eval mode."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part.to(device)).cpu() for part in images.split(250)])


def rates_for(num_epochs, peak=4e-3):
    """Half a cosine, after a warmup of one epoch."""
    return [
        peak * min(1.0, (e + 1) / 2) * (1 + math.cos(math.pi * e / num_epochs)) / 2 for e in range(num_epochs)
    ]


# %% tags=["show", "timing"]
torch.manual_seed(0)
network = build_cnn((16, 32, 64), 10).to(device)
history = train(network, train_loader, val_loader, rates_for(EPOCHS))
accuracy = (logits_of(network, x_test).argmax(dim=1) == y_test).double().mean()

fig, axes = plt.subplots(1, 3, figsize=(12, 3))
axes[0].plot(range(1, EPOCHS + 1), history["train_loss"], color="tab:gray")
axes[0].set(title="training loss", xlabel="epoch", yscale="log")
axes[1].plot(range(1, EPOCHS + 1), history["val_accuracy"], color="tab:blue")
axes[1].set(title=f"validation accuracy (test: {accuracy:.1%})", xlabel="epoch")
kernels = network[0].weight.detach().cpu()[:, 0]
axes[2].imshow(
    F.pad(kernels, (0, 1, 0, 1), value=float("nan")).reshape(2, 8, 4, 4).transpose(1, 2).reshape(8, 32),
    cmap="RdBu", vmin=-0.8, vmax=0.8,
)  # fmt: skip
axes[2].set_title("the 16 filters of the first layer")
axes[2].axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# **What the layers make of an image**: six channels after each block. The first block finds edges, each
# filter in its own direction; the later maps are coarser, and say less and less where and more and more what.

# %% tags=["show", "timing"]
maps, stages = x_test[7:8].to(device), []
for layer in network:
    maps = layer(maps)
    if isinstance(layer, nn.ReLU):
        stages.append(maps[0].detach().cpu())
fig, axes = plt.subplots(3, 7, figsize=(10, 4.2))
for row, stage in zip(axes, stages, strict=True):
    row[0].imshow(x_test[7, 0], cmap="gray_r")
    strongest = stage.flatten(1).amax(dim=1).argsort(descending=True)[:6]
    for ax, channel in zip(row[1:], strongest, strict=True):
        ax.imshow(stage[channel], cmap="magma")
    row[1].set_title(
        f"{stage.shape[0]} maps of {stage.shape[1]} × {stage.shape[2]}, the six strongest",
        loc="left",
        fontsize=9,
    )
for ax in axes.flat:
    ax.axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 11.6 Augmentation
#
# A seven that stands two pixels further to the left is still a seven, and we know it without anybody having
# labelled it. So each time an image is used in training, it is moved a little at random first: the network
# never sees the same image twice, and learns what does not matter.
#
# The simplest way is to shift by whole pixels. Each image of the batch gets a shift of its own, and what
# comes in from outside is 0, the paper. Random numbers come from a `torch.Generator` that is handed in, so
# that a run can be repeated.


# %% question="random_shift"
def random_shift(images, most, generator):
    """Each image shifted by whole pixels, down and right by random integers between -most and most.

    images     (N, C, H, W), not to be modified; `most` is smaller than H and W
    most       the largest shift; the two shifts of an image are drawn evenly and independently
    generator  a torch.Generator: the source of the random numbers

    Returns a tensor of the shape and dtype of images, 0 where nothing was.
    """
    ### BEGIN SOLUTION
    N, _, H, W = images.shape
    places = torch.randint(0, 2 * most + 1, (N, 2), generator=generator).tolist()
    padded = F.pad(images, (most, most, most, most))
    moved = [
        image[:, top : top + H, left : left + W] for image, (top, left) in zip(padded, places, strict=True)
    ]
    return torch.stack(moved)
    ### END SOLUTION


# %%
check("random_shift")

# %% [markdown]
# Turning and scaling need pixels between pixels. `F.affine_grid` and `F.grid_sample` do the interpolation;
# they want, for each image, a matrix $\theta$ of shape $(2, 3)$ which says for each **output** point where in
# the **input** its value comes from. Points are $(x, y)$ with the middle of the image at $(0, 0)$, its right
# edge at $x = 1$ and its lower edge at $y = 1$.
#
# We want to turn the picture by an angle $\varphi$ (counter-clockwise, as one sees it), enlarge it by $s$,
# and then move it by $t = (t_x, t_y)$. So what is at $p$ goes to $q = s R p + t$, and $\theta$ is the way
# back,
#
# $$ p = \tfrac1s R^{-1} (q - t) = A q - A t, \qquad
#    A = \frac1s \begin{pmatrix} \cos\varphi & -\sin\varphi \\ \sin\varphi & \cos\varphi \end{pmatrix}, \qquad
#    \theta = \big(A \;\big|\; {-A t}\big). $$
#
# (With $y$ pointing down, counter-clockwise is
# $R = \begin{pmatrix} \cos\varphi & \sin\varphi \\ -\sin\varphi & \cos\varphi \end{pmatrix}$.)


# %% question="affine_matrices"
def affine_matrices(angles, scales, shifts):
    """The matrices that F.affine_grid wants, for turning, scaling and moving pictures.

    angles  (N,)    in radians, counter-clockwise as seen
    scales  (N,)    larger than 1 enlarges what is in the picture
    shifts  (N, 2)  to the right and down, in units of half the picture

    Returns theta (N, 2, 3), of the same dtype.
    """
    ### BEGIN SOLUTION
    cos, sin = angles.cos() / scales, angles.sin() / scales
    A = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
    return torch.cat([A, -A @ shifts[:, :, None]], dim=2)
    ### END SOLUTION


# %%
check("affine_matrices")


# %%
def warp(images, theta):
    """Images (N, C, H, W) under the matrices theta (N, 2, 3), interpolated; 0 comes in from outside."""
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


# %% tags=["show"]
pi = math.pi
cases = {
    "as it is": (0.0, 1.0, (0.0, 0.0)), "+30°": (pi / 6, 1.0, (0.0, 0.0)), "-90°": (-pi / 2, 1.0, (0.0, 0.0)),
    "scale 1.5": (0.0, 1.5, (0.0, 0.0)), "right and up": (0.0, 1.0, (0.4, -0.3)),
    "all three": (pi / 6, 0.7, (0.4, -0.3)),
}  # fmt: skip
fig, axes = plt.subplots(1, len(cases), figsize=(11, 2.1))
for ax, (name, (angle, scale, shift)) in zip(axes, cases.items(), strict=True):
    theta = affine_matrices(torch.tensor([angle]), torch.tensor([scale]), torch.tensor([shift]))
    ax.imshow(warp(x_test[2:3], theta)[0, 0], cmap="gray_r")
    ax.set_title(name, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()
plt.show()

# %% [markdown]
# Now at random: by up to 15° either way, between 0.9 and 1.1 times as large, moved by up to 0.15 along each
# axis. All four are drawn evenly, for each image anew.
#
# What is *not* here matters as much. There is no mirror image: a mirrored 3 is no digit, and in sign language
# a mirrored hand is the other hand. And there are no 180°, or sixes would be nines. An augmentation is a
# statement about the world, *this does not change the class*, and it is wrong or right.

# %%
MAX_ANGLE = math.radians(15)
SCALES = (0.9, 1.1)
MAX_SHIFT = 0.15


# %% question="augment"
def augment(images, generator):
    """Images turned, scaled and moved at random, each in its own way, by affine_matrices and warp.

    images     (N, C, H, W), from 0 to 1, not to be modified
    generator  a torch.Generator: the source of all random numbers

    The angle is drawn evenly between -MAX_ANGLE and MAX_ANGLE, the scale between the two SCALES, the shifts
    to the right and down between -MAX_SHIFT and MAX_SHIFT; all independently.

    Returns a tensor of the shape and dtype of images.
    """
    ### BEGIN SOLUTION
    u = torch.rand(4, len(images), generator=generator, dtype=images.dtype)
    angles = MAX_ANGLE * (2 * u[0] - 1)
    scales = SCALES[0] + (SCALES[1] - SCALES[0]) * u[1]
    shifts = MAX_SHIFT * (2 * u[2:].T - 1)
    return warp(images, affine_matrices(angles, scales, shifts))
    ### END SOLUTION


# %%
check("augment")

# %% tags=["show", "timing"]
generator = torch.Generator().manual_seed(0)
fig, axes = plt.subplots(3, 10, figsize=(11, 3.5))
for row, i in zip(axes, (1, 3, 8), strict=True):
    for ax, image in zip(
        row, [x_test[i, 0], *augment(x_test[i : i + 1].repeat(9, 1, 1, 1), generator)[:, 0]], strict=True
    ):
        ax.imshow(image, cmap="gray_r")
        ax.set_xticks([])
        ax.set_yticks([])
axes[0, 0].set_title("original", fontsize=10)
axes[0, 1].set_title("nine of its neighbours", fontsize=10, loc="left")
fig.tight_layout()
plt.show()

# %% [markdown]
# **Does it help?** The same network with and without, and each in the end on three test sets: as they are,
# shifted by up to four pixels, and turned by up to 30°. It helps most where test images differ from the
# training images in the very way that augmentation prepared for.

# %% tags=["show", "timing"]
generator = torch.Generator().manual_seed(1)
few = DataLoader(TensorDataset(x[num_val : num_val + 1500], y[num_val : num_val + 1500]), 50, shuffle=True)
angles = (torch.rand(len(x_test), generator=generator) * 2 - 1) * math.radians(30)
turned = warp(x_test, affine_matrices(angles, torch.ones(len(x_test)), torch.zeros(len(x_test), 2)))
tests = {"as they are": x_test, "shifted": random_shift(x_test, 4, generator), "turned": turned}
fig, axes = plt.subplots(1, 2, figsize=(11, 3.2))
place = np.arange(len(tests))
for k, (name, change, colour) in enumerate(
    (("without", None, "tab:gray"), ("with augmentation", partial(augment, generator=generator), "tab:blue"))
):
    torch.manual_seed(0)
    network = build_cnn((16, 32, 64), 10).to(device)
    history = train(network, few, val_loader, rates_for(16), change)
    reached = [float((logits_of(network, t).argmax(dim=1) == y_test).double().mean()) for t in tests.values()]
    axes[0].plot(range(1, 17), history["train_loss"], color=colour, ls=":", label=f"{name}: training loss")
    bars = axes[1].bar(place + 0.4 * k, reached, width=0.38, color=colour, label=name)
    axes[1].bar_label(bars, [f"{value:.1%}" for value in reached], fontsize=9)
axes[0].set(title="1,500 training images", xlabel="epoch", yscale="log")
axes[0].legend()
axes[1].set(title="test accuracy", ylim=(0.6, 1.03))
axes[1].set_xticks(place + 0.2, list(tests))
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
fig.tight_layout()
plt.show()

# %% [markdown]
# **Mean or maximum?** A digit somewhere on a sheet of $56\times56$ pixels, of which most is empty. A mean
# over the map is diluted by the paper around the digit, a maximum is not. So a network that has learned with
# a maximum knows the digit again on the large sheet, without ever having seen one.

# %% tags=["show", "timing"]
generator = torch.Generator().manual_seed(2)
sheets = random_shift(F.pad(x_test, (14, 14, 14, 14)), 14, generator)
fig, axes = plt.subplots(1, 5, figsize=(11, 2.4), width_ratios=[1, 1, 1, 0.4, 2])
for ax, sheet in zip(axes[:3], sheets, strict=False):
    ax.imshow(sheet[0], cmap="gray_r")
    ax.set_xticks([])
    ax.set_yticks([])
axes[3].axis("off")
for k, (pool, colour) in enumerate((("mean", "tab:gray"), ("max", "tab:orange"))):
    torch.manual_seed(0)
    network = build_cnn((16, 32, 64), 10, pool).to(device)
    train(network, train_loader, val_loader, rates_for(EPOCHS // 2), partial(augment, generator=generator))
    reached = [
        float((logits_of(network, t).argmax(dim=1) == y_test).double().mean()) for t in (x_test, sheets)
    ]
    bars = axes[4].bar(np.arange(2) + 0.4 * k, reached, width=0.38, color=colour, label=pool)
    axes[4].bar_label(bars, [f"{value:.0%}" for value in reached], fontsize=9)
axes[4].set(title="test accuracy", ylim=(0, 1.15))
axes[4].set_xticks([0.2, 1.2], ["28 × 28", "on the sheet"])
axes[4].legend(title="global pooling", loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# **Where does it look?** Cover a small square of the image, and see how much of the probability of the right
# class is left; do so for every place. Dark is where covering hurts most.

# %% tags=["show", "timing"]
fig, axes = plt.subplots(2, 8, figsize=(11, 3))
for column, i in zip(axes.T, range(8), strict=True):
    covered = x_test[i].repeat(23 * 23, 1, 1, 1)
    for k, (top, left) in enumerate(np.ndindex(23, 23)):
        covered[k, :, top : top + 6, left : left + 6] = 0
    left_over = F.softmax(logits_of(network, covered), dim=1)[:, y_test[i]].reshape(23, 23)
    column[0].imshow(x_test[i, 0], cmap="gray_r")
    column[1].imshow(left_over, cmap="magma", vmin=0, vmax=1)
    column[0].set_title(int(y_test[i]), fontsize=10)
for ax in axes.flat:
    ax.axis("off")
fig.suptitle("probability of the right class while a square of 6 × 6 pixels is covered", fontsize=10)
plt.show()

# %% [markdown]
# ## 11.7 Your own
#
# `digit_cnn` gets some hundred handwritten digits and returns a trained network of at most 100,000
# parameters. A dense network gets between eight and nine of ten unseen digits right after so few; a
# convolutional one does much better, and small random shifts of the training images help it further.
# Everything is allowed, as long as it is done in some seconds on one processor core. As in the last
# assignment, the model gets pixels from 0 to 1; whatever it needs beyond that belongs into it.


# %% question="digit_cnn"
### BEGIN SOLUTION
SETTINGS = {"epochs": 7, "batch_size": 32, "peak": 8e-3, "channels": (12, 32, 48), "drop": 0.3}
SHIFTS = range(-2, 3)


### END SOLUTION
def digit_cnn(images, labels, seed):
    """Train a convolutional network on few images.

    images  (N, H, W)  float32 array, from 0 to 1
    labels  (N,)       int64 array, from 0 to K - 1; each class occurs
    seed    equal seeds give equal models

    Returns an nn.Module, in whatever mode, that maps a tensor (M, 1, H, W), from 0 to 1, to logits (M, K). It
    is set to eval mode before it is used.
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)
    data = TensorDataset(torch.tensor(images)[:, None], torch.tensor(labels))
    first, second, third = SETTINGS["channels"]
    model = nn.Sequential(
        nn.Conv2d(1, first, 5, stride=2, padding=2), nn.BatchNorm2d(first), nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(second, third, 3, padding=1), nn.BatchNorm2d(third), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(SETTINGS["drop"]),
        nn.Linear(9 * third, int(labels.max()) + 1),
    )  # fmt: skip
    loader = DataLoader(data, SETTINGS["batch_size"], shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, SETTINGS["peak"], epochs=SETTINGS["epochs"], steps_per_epoch=len(loader)
    )
    source = random.Random(seed)
    for _ in range(SETTINGS["epochs"]):
        for batch, answers in loader:
            shift = source.choices(SHIFTS, k=2)  # of the whole batch, for speed
            loss = F.cross_entropy(model(batch.roll(shift, dims=(2, 3))), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model
    ### END SOLUTION


# %%
check("digit_cnn")

# %% tags=["show", "timing"]
own = digit_cnn(digits.x_train[-800:], digits.y_train[-800:], seed=0)
p = F.softmax(logits_of(copy.deepcopy(own).to(device), x_test), dim=1)
accuracy = float((p.argmax(dim=1) == y_test).double().mean())
hardest = p[torch.arange(len(p)), y_test].argsort()[:12]
fig, axes = plt.subplots(1, 12, figsize=(12, 1.9))
for ax, i in zip(axes, hardest, strict=True):
    ax.imshow(x_test[i, 0], cmap="gray_r")
    ax.set_title(f"{int(y_test[i])} → {int(p[i].argmax())}", fontsize=9, color="tab:red")
    ax.axis("off")
fig.suptitle(f"{accuracy:.1%} of {len(x_test):,} unseen digits after 800; the twelve that went worst")
plt.show()

# %% [markdown]
# ## What you have now
#
# A convolution from both ends, forward and backward, equal to the one that everybody uses; a network made of
# it that does not care how large an image is; and data that never run out.
#
# The last point but one was used only once, on the large sheet. The next assignment is about it: one network,
# images of different sizes.

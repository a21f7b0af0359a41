# %% [markdown]
# # 5. A two-layer network
#
# The network of the last assignment told two signs apart, and left three things open. The world has more
# than two classes. The $\tanh$ of its hidden units passes little gradient where it is flat. And a network
# that may grow as it likes learns its training pictures by heart.
#
# This assignment takes all three. The answer becomes one score for each class, with the **softmax** loss of
# assignment 3. The hidden units become **rectified linear units** (ReLU), which are simpler than $\tanh$ and
# learn faster. And an **L2 penalty** keeps the weights small. What you get is the smallest member of the
# family that modern networks belong to, and on the photographs of CIFAR-10 it names more than half, where a
# linear classifier stops at four in ten.
#
# You write all of it: what the network computes, its loss and its gradients, the answer, the training, a
# look at what the hidden units have learned, and the search for good hyper-parameters.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## What you have already
#
# A mini-batch is drawn as in assignment 3, from a seed that may be a pair of numbers, and the parameters
# start as in assignment 4: biases at zero, weights at random, the smaller the more inputs a unit has. New is
# only that there are as many outputs as classes. The parameters are a dict, for all functions below:
#
# | name | shape | |
# |---|---|---|
# | `W1` | $(D, H)$ | from $D$ features to $H$ hidden units |
# | `b1` | $(H,)$ | one bias for each hidden unit |
# | `W2` | $(H, C)$ | from the hidden units to the scores of $C$ classes |
# | `b2` | $(C,)$ | one bias for each class |


# %%
def sample_batch(X, y, batch_size, seed):
    """Draw a random mini-batch: batch_size rows of X and their class numbers."""
    chosen = np.random.default_rng(seed).integers(len(X), size=batch_size)
    return X[chosen], y[chosen]


def initialize(input_dim, hidden_dim, num_classes, seed=0):
    """Return the parameters at the start: normal weights of deviation 1 / sqrt(inputs), biases of 0."""
    rng = np.random.default_rng(seed)
    return {
        "W1": rng.normal(size=(input_dim, hidden_dim)) / np.sqrt(input_dim),
        "b1": np.zeros(hidden_dim),
        "W2": rng.normal(size=(hidden_dim, num_classes)) / np.sqrt(hidden_dim),
        "b2": np.zeros(num_classes),
    }


# %% [markdown]
# ## The pictures
#
# If the CIFAR-10 photographs are on this machine, 9,000 of them are for training, 1,000 for validation and
# 1,000 for the test. Otherwise the handwritten digits that scikit-learn carries take their place: 1,138 for
# training, 300 for validation and 359 for the test. Each picture is a row of $D$ features, and the mean
# picture of the training set is subtracted from all of them. (There is no feature that is 1 this time: the
# biases stand apart.)

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    data, num_val = load_dataset("cifar10", num_train=10000, num_test=1000), 1000
except DatasetMissing:
    print("CIFAR-10 is not on this machine. To get it (170 MB), run in a terminal:")
    print("    autograder data fetch cifar10\n")
    data, num_val = load_dataset("digits"), 300

C = len(data.classes)
IMAGE_SHAPE = data.x_train.shape[1:]
rows, rows_test = (x.reshape(len(x), -1).astype(float) for x in (data.x_train, data.x_test))
mean_image = rows[num_val:].mean(axis=0)
X_val, y_val = rows[:num_val] - mean_image, data.y_train[:num_val]
X_train, y_train = rows[num_val:] - mean_image, data.y_train[num_val:]
X_test, y_test = rows_test - mean_image, data.y_test
D = X_train.shape[1]
print(data)
print(
    f"X_train {X_train.shape}, X_val {X_val.shape}, X_test {X_test.shape}: D = {D} features, C = {C} classes"
)


def show_image(ax, image, title=""):
    """Draw a grey (H, W) or colour (3, H, W) picture without axes; it may be centred."""
    low, high = image.min(), image.max()
    scaled = (image - low) / (high - low)
    ax.imshow(scaled.transpose(1, 2, 0) if image.ndim == 3 else scaled, cmap="gray_r")
    ax.set_title(title, fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])


fig, grid = plt.subplots(2, C, figsize=(11, 2.6), layout="constrained")
for label, column in enumerate(grid.T):
    pictures = data.x_train[num_val:][y_train == label]
    show_image(column[0], pictures[0], data.classes[label])
    show_image(column[1], (pictures[0] - mean_image.reshape(IMAGE_SHAPE)))
fig.suptitle("A training picture of each class; below, what is left without the mean picture")
plt.show()

# %% [markdown]
# ## 5.1 Forward
#
# For a batch $X$ of $N$ pictures, the network computes
#
# $$
# \underbrace{A}_{(N, H)} = X\,W_1 + b_1 \qquad\quad
# \underbrace{Z}_{(N, H)} = \max(A, 0) \qquad\quad
# \underbrace{S}_{(N, C)} = Z\,W_2 + b_2 .
# $$
#
# Each column of $W_1$ is a template, as in assignment 3; but there are $H$ of them, and none belongs to a
# class. The **ReLU**, $\max(a, 0)$ for each element, lets a unit speak only when its template fits
# better than $-b_1$. The scores then put together what the units say. The last layer has no ReLU: a score
# may be negative. ($A$ and $Z$ are what assignment 4 called $a$ and $h$; its $z$ was the score.)
#
# Without the ReLU, $(X W_1) W_2 = X (W_1 W_2)$ would be a linear classifier with more work.


# %% question="nn_forward_pass"
def nn_forward_pass(params, X):
    """Return the scores of a two-layer network, and what its hidden units say.

    Args:
        params: a dict of W1 (D, H), b1 (H,), W2 (H, C) and b2 (C,); not modified.
        X: features, shape (N, D); not modified.

    Returns:
        scores: shape (N, C).
        hidden: the hidden units after the ReLU, shape (N, H).
    """
    ### BEGIN SOLUTION
    hidden = np.maximum(X @ params["W1"] + params["b1"], 0)
    return hidden @ params["W2"] + params["b2"], hidden
    ### END SOLUTION


# %%
check("nn_forward_pass")

# %% [markdown]
# **Why bends are enough.** A network with a single input can be drawn. Each hidden unit is zero on one side
# of its kink and a straight line on the other (thin). Their weighted sum (bold) bends once for each unit.
# With enough bends it comes as close to a curve as you like: here the weights are set by hand so that the
# network meets the dashed sine at every kink.

# %% tags=["show"]
line = np.linspace(0, 2 * np.pi, 300)[:, np.newaxis]
fig, axes = plt.subplots(1, 3, figsize=(11, 3.1), sharey=True, layout="constrained")
for ax, units in zip(axes, (3, 6, 12), strict=True):
    kinks = np.linspace(0, 2 * np.pi, units + 1)
    slopes = np.diff(np.sin(kinks)) / np.diff(kinks)
    bent = {
        "W1": np.ones((1, units)),
        "b1": -kinks[:-1],
        "W2": np.diff(slopes, prepend=0.0)[:, np.newaxis],
        "b2": np.zeros(1),
    }
    output, hidden = nn_forward_pass(bent, line)
    ax.plot(line, hidden * bent["W2"].T, color="tab:orange", linewidth=0.8, alpha=0.7)
    ax.plot(line, np.sin(line), "--", color="gray")
    ax.plot(line, output, color="tab:blue", linewidth=2.5)
    ax.set(title=f"{units} hidden units", ylim=(-2.2, 2.2), xlabel="input")
axes[0].set_ylabel("output")
plt.show()

# %% [markdown]
# ## 5.2 Loss and gradients
#
# The loss is the mean cross-entropy of the softmax, as in assignment 3, and a penalty on both weight
# matrices. The biases go free: they shift scores and cannot fit one picture at the cost of another.
#
# $$
# L = -\frac1N \sum_{i=1}^N \log p_{i y_i}
#     + \text{reg}\,\Big(\sum_{d,h} W_{1,dh}^2 + \sum_{h,j} W_{2,hj}^2\Big),
# \qquad p_{ij} = \frac{e^{S_{ij}}}{\sum_k e^{S_{ik}}}
# $$
#
# (Subtract each picture's largest score before you take exponentials.)
#
# The gradients are found from the end to the beginning. At the scores, softmax and cross-entropy together
# leave what was predicted minus what was true. Each step back then multiplies by what the forward step
# multiplied with, and each matrix product has a shape that leaves no choice:
#
# $$
# \begin{aligned}
# \mathrm dS &= \tfrac1N\,(P - Y) && (N, C), \quad Y_{ij} = 1 \text{ where } j = y_i, \text{ else } 0 \\
# \mathrm dW_2 &= Z^\top \mathrm dS + 2\,\text{reg}\,W_2 && (H, N)\cdot(N, C) \\
# \mathrm db_2 &= \text{sum of the rows of } \mathrm dS && (C,) \\
# \mathrm dZ &= \mathrm dS\; W_2^\top && (N, C)\cdot(C, H) \\
# \mathrm dA &= \mathrm dZ \text{ where } A > 0, \text{ else } 0 && (N, H) \\
# \mathrm dW_1 &= X^\top \mathrm dA + 2\,\text{reg}\,W_1 && (D, N)\cdot(N, H) \\
# \mathrm db_1 &= \text{sum of the rows of } \mathrm dA && (H,)
# \end{aligned}
# $$
#
# $\mathrm dA$ is where ReLU beats $\tanh$: the gradient of a unit that speaks passes in full, however loud it
# is, and that of a silent unit not at all. (At $A = 0$ exactly the ReLU has a kink; either side will do.)


# %% question="nn_forward_backward"
def nn_forward_backward(params, X, y=None, reg=0.0):
    """Return the scores of a two-layer network or, with labels, its loss and its gradients.

    Args:
        params: a dict of W1 (D, H), b1 (H,), W2 (H, C) and b2 (C,); not modified.
        X: features, shape (N, D), N at least 1; not modified.
        y: class numbers from 0 to C - 1, shape (N,), or None. Not every class need occur.
        reg: strength of the penalty reg * (sum(W1 ** 2) + sum(W2 ** 2)); biases have none.

    Returns:
        scores: shape (N, C), where y is None; otherwise
        loss: mean cross-entropy of the softmax, plus the penalty; a number. An offset on all scores, be
            it 1000 or -1000, does not change it.
        grads: a dict of the gradients of the loss, with the keys and the shapes of params.
    """
    ### BEGIN SOLUTION
    scores, hidden = nn_forward_pass(params, X)
    if y is None:
        return scores
    W1, W2 = params["W1"], params["W2"]
    N = len(X)

    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(N), y].mean() + reg * (np.sum(W1**2) + np.sum(W2**2))

    dscores = np.exp(log_p)
    dscores[np.arange(N), y] -= 1
    dscores /= N
    dA = (dscores @ W2.T) * (hidden > 0)
    grads = {
        "W1": X.T @ dA + 2 * reg * W1,
        "b1": dA.sum(axis=0),
        "W2": hidden.T @ dscores + 2 * reg * W2,
        "b2": dscores.sum(axis=0),
    }
    return loss, grads
    ### END SOLUTION


# %%
check("nn_forward_backward")

# %% [markdown]
# **Ask the two questions of assignment 3.** At the start the network knows nothing, and gives all classes
# much the same probability: the loss should be near $\log C$. And each gradient should be the difference
# quotient $(L(\theta + h) - L(\theta - h)) / 2h$. A dozen entries of each parameter are compared
# here; a mistake in the formulas shows in the first or the second digit.

# %% tags=["show"]
start = initialize(D, 40, C, seed=0)
X_few, y_few = X_train[:100], y_train[:100]
loss, grads = nn_forward_backward(start, X_few, y_few, reg=0.05)
without_penalty, _ = nn_forward_backward(start, X_few, y_few)
print(f"loss at the start, without the penalty: {without_penalty:.3f}; log C = {np.log(C):.3f}\n")

h, rng = 1e-6, np.random.default_rng(0)
for name in start:
    gaps = []
    for place in rng.integers(start[name].size, size=12):
        index = np.unravel_index(place, start[name].shape)
        step = np.zeros_like(start[name])
        step[index] = h
        above, below = (
            nn_forward_backward({**start, name: moved}, X_few, y_few, reg=0.05)[0]
            for moved in (start[name] + step, start[name] - step)
        )
        gaps.append(abs((above - below) / (2 * h) - grads[name][index]))
    close = max(gaps) / np.abs(grads[name]).max() < 1e-6
    print(f"{name}: shape {start[name].shape!s:<12} {'agrees' if close else 'DISAGREES'} to 1e-6")

# %% [markdown]
# ## 5.3 The answer
#
# As for a linear classifier, the answer is the class with the highest score.


# %% question="nn_predict"
def nn_predict(params, X):
    """Return the class with the highest score for each picture; of equal scores, the smaller class number.

    Args:
        params: a dict of W1 (D, H), b1 (H,), W2 (H, C) and b2 (C,).
        X: features, shape (N, D).

    Returns:
        Class numbers, whole numbers from 0 to C - 1, shape (N,).
    """
    ### BEGIN SOLUTION
    scores, _ = nn_forward_pass(params, X)
    return np.argmax(scores, axis=1)
    ### END SOLUTION


# %%
check("nn_predict")

# %% [markdown]
# ## 5.4 Training
#
# The loop is that of assignment 3, for four parameters instead of one: draw a batch, ask for the loss and the
# gradients, note the loss, and move *every* parameter against its gradient.
#
# Two things are new. The learning rate **decays**: large steps cross the landscape at first, small ones find
# the floor of the valley in the end. And the loop keeps a diary. An **epoch** is as many steps as it takes to
# draw as many pictures as there are; after each whole epoch, note the accuracy on the training and on the
# validation set, then multiply the learning rate by the decay. The gap between the two accuracies is what
# this assignment is about.
#
# With steps numbered $t = 0, 1, 2, \dots$ and $\lfloor N / \text{batch size} \rfloor$ steps to an epoch, an
# epoch is over after step $t$ when $t + 1$ is a multiple of that number.


# %% question="nn_train"
def nn_train(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=0.1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    """Train by stochastic gradient descent.

    Args:
        params: parameters to start from, a dict of W1, b1, W2 and b2; neither it nor its arrays are modified.
        X, y: what to train on, shapes (N, D) and (N,).
        X_val, y_val: what to validate on, shapes (M, D) and (M,); never trained on.
        learning_rate: length of the steps of the first epoch.
        learning_rate_decay: the learning rate is multiplied by this after each whole epoch, that is,
            after each N // batch_size steps.
        reg: strength of the penalty.
        num_iters: number of steps; 0 is allowed.
        batch_size: size of a batch, from 1 to N.
        seed: a whole number. Step t = 0, 1, ... draws its batch with
            sample_batch(X, y, batch_size, (seed, t)).

    Returns:
        params: the parameters after the last step, a dict of W1, b1, W2 and b2.
        history: a dict of three lists.
            "loss": num_iters numbers; entry t is the loss, penalty included, on the batch of step t before
                the parameters move.
            "train_acc", "val_acc": the share of right answers, from 0 to 1, on all of X and on all of X_val
                after each whole epoch; one number for each.
    """
    ### BEGIN SOLUTION
    params = dict(params)
    history = {"loss": [], "train_acc": [], "val_acc": []}
    steps_per_epoch = len(X) // batch_size
    for t in range(num_iters):
        loss, grads = nn_forward_backward(params, *sample_batch(X, y, batch_size, (seed, t)), reg)
        history["loss"].append(float(loss))
        for name in params:
            params[name] = params[name] - learning_rate * grads[name]
        if (t + 1) % steps_per_epoch == 0:
            history["train_acc"].append(float(np.mean(nn_predict(params, X) == y)))
            history["val_acc"].append(float(np.mean(nn_predict(params, X_val) == y_val)))
            learning_rate *= learning_rate_decay
    return params, history
    ### END SOLUTION


# %%
check("nn_train")

# %% [markdown]
# **First, learn a few by heart.** A network that is right can fit 50 pictures perfectly. If the loss does not
# go towards zero and the accuracy to 100 %, look for the error now: a long run would only hide it.

# %% tags=["show"]
colour = len(IMAGE_SHAPE) == 3
RATE = 0.05 if colour else 0.5
_, by_heart = nn_train(
    initialize(D, 60, C), X_train[:50], y_train[:50], X_val, y_val, RATE, 1.0, 0.0, 800 if colour else 300, 25
)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.1), layout="constrained")
left.plot(by_heart["loss"])
left.axhline(np.log(C), color="gray", linestyle="--", linewidth=1)
left.text(len(by_heart["loss"]), np.log(C), f"log {C}", color="gray", ha="right", va="bottom")
left.set(title="50 pictures: loss of the batch", xlabel="step")
right.plot(by_heart["train_acc"], label="training")
right.plot(by_heart["val_acc"], label="validation")
right.set(title="share correct", xlabel="epoch", ylim=(0, 1.03))
right.legend()
plt.show()

# %% [markdown]
# It knows the 50 by heart, and names clearly fewer of the others. That gap is **overfitting**.
#
# **Edges that bend.** Back to the points in the plane on which a linear classifier had to fail. Two hidden
# units can only cut out a strip, or a corner; three fence the inner class in; fifty do so smoothly. The lines
# show where each of the few hidden units begins to speak.

# %% tags=["show"]


def rings(rng, n=240):
    """A heap and a ring around it."""
    labels = np.arange(n) % 2
    angle = rng.uniform(0, 2 * np.pi, size=n)
    radius = np.where(labels == 0, 0.4, 1.6) + 0.2 * rng.normal(size=n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), labels


points, labels = rings(np.random.default_rng(1))
span = np.linspace(-2.4, 2.4, 160)
plane = np.column_stack([axis.ravel() for axis in np.meshgrid(span, span)])
colours = np.array(["tab:blue", "tab:orange"])
fig, axes = plt.subplots(1, 3, figsize=(11, 3.9), layout="constrained")
for ax, units in zip(axes, (2, 3, 50), strict=True):
    net, _ = nn_train(
        initialize(2, units, 2, seed=5), points, labels, points, labels, 0.3, 1.0, 1e-4, 1500, 60
    )
    regions = nn_predict(net, plane).reshape(len(span), len(span))
    ax.contourf(span, span, regions, levels=[-0.5, 0.5, 1.5], colors=colours, alpha=0.2)
    if units < 10:
        for unit in (plane @ net["W1"] + net["b1"]).T:
            ax.contour(span, span, unit.reshape(regions.shape), levels=[0], colors="black", linewidths=0.9)
    ax.scatter(*points.T, c=colours[labels], s=10)
    share = np.mean(nn_predict(net, points) == labels)
    ax.set(title=f"{units} hidden units: {share:.0%} right", aspect="equal", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# **The rein.** Now far more hidden units than needed, only 400 pictures to learn from, and a nuisance from
# life: somebody labelled in a hurry, and three in ten labels were drawn by lot. The network *can* learn these
# by heart too, and should not. On the left it trains without a penalty, in the middle with one that helps, on
# the right with one that chokes it.

# %% tags=["show"]
few = 400
rng = np.random.default_rng(3)
hurried = np.where(rng.random(few) < 0.3, rng.integers(C, size=few), y_train[:few])
penalties = (0.0, 0.03, 0.3) if colour else (0.0, 0.01, 0.05)
fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True, layout="constrained")
for ax, reg in zip(axes, penalties, strict=True):
    net, history = nn_train(
        initialize(D, 100, C),
        X_train[:few],
        hurried,
        X_val,
        y_val,
        0.02 if colour else 0.3,
        0.99,
        reg,
        1000,
        50,
    )
    ax.plot(history["train_acc"], label=f"training {history['train_acc'][-1]:.1%}")
    ax.plot(history["val_acc"], label=f"validation {history['val_acc'][-1]:.1%}")
    size = np.sqrt(np.mean(net["W1"] ** 2))
    ax.set(title=f"reg = {reg:g}\ntypical weight in W1: {size:.3f}", xlabel="epoch", ylim=(0, 1.03))
    ax.legend(loc="lower right")
axes[0].set_ylabel("share correct")
plt.show()

# %% [markdown]
# Look at the two figures in each legend: with the penalty the network agrees with *fewer* of the labels that
# it was given, and is right about *more* of the pictures that it never saw. The wrong labels fit no rule, and
# rules are cheap where exceptions cost weight.

# %% [markdown]
# ## 5.5 What the hidden units look for
#
# Each *column* of $W_1$ is a template of $D$ weights, and can be drawn as the pictures are. So that a loud
# unit and a quiet one can both be seen, divide each template by its own largest absolute value. Zero stays
# zero that way, and the sign, for or against, is kept: $-1$ to $1$.


# %% question="weight_pictures"
def weight_pictures(W1, image_shape):
    """Return the templates of the hidden units as pictures.

    Args:
        W1: weights of the first layer, shape (D, H); not modified.
        image_shape: shape of one picture before it was flattened by reshape, such as (8, 8) or (3, 32,
            32); the product of its numbers is D.

    Returns:
        Shape (H, *image_shape): picture h is the template of hidden unit h, divided by its own largest
        absolute value. A template of zeros stays zeros.
    """
    ### BEGIN SOLUTION
    templates = W1.T
    largest = np.abs(templates).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    return (templates / largest).reshape(-1, *image_shape)
    ### END SOLUTION


# %%
check("weight_pictures")

# %% [markdown]
# Here is a network trained on all training pictures. Its units are pictures of nothing in particular:
# strokes and edges at a place (on photographs, blotches of colour), some for, some against. Blue is positive.

# %% tags=["show"]
net, history = nn_train(
    initialize(D, 40, C),
    X_train,
    y_train,
    X_val,
    y_val,
    0.05 if colour else 0.3,
    0.97,
    0.002 if colour else 0.004,
    1500,
    100,
)


def show_template(ax, picture, title=""):
    """Draw a template from -1 to 1: red to blue, or in its colours around grey."""
    if picture.ndim == 3:
        ax.imshow(0.5 + picture.transpose(1, 2, 0) / 2)
    else:
        ax.imshow(picture, cmap="RdBu", vmin=-1, vmax=1)
    ax.set_title(title, fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])


fig, grid = plt.subplots(4, 10, figsize=(11, 4.7), layout="constrained")
for ax, picture in zip(grid.flat, weight_pictures(net["W1"], IMAGE_SHAPE), strict=True):
    show_template(ax, picture)
fig.suptitle(f"40 hidden units of a network with {history['val_acc'][-1]:.1%} on the validation set")
plt.show()

# %% [markdown]
# **What makes a unit speak?** For five units: the template, the six training pictures to which it answers
# most strongly, and what the second layer makes of its answer: blue bars speak for a class, red ones
# against it. Each unit has a class that it likes best, and none stands for that class alone: its bars reach
# to others, and every class is put together from several units.

# %% tags=["show"]
_, hidden = nn_forward_pass(net, X_train)
busiest = np.argsort(-hidden.std(axis=0) * np.abs(net["W2"]).max(axis=1))[:5]
fig, grid = plt.subplots(5, 8, figsize=(11, 7), width_ratios=[1] * 7 + [2.6], layout="constrained")
for row, unit in zip(grid, busiest, strict=True):
    show_template(row[0], weight_pictures(net["W1"], IMAGE_SHAPE)[unit], f"unit {unit}")
    for ax, i in zip(row[1:7], np.argsort(-hidden[:, unit])[:6], strict=True):
        show_image(ax, data.x_train[num_val + i], data.classes[y_train[i]])
    weights = net["W2"][unit]
    row[7].bar(range(C), weights, color=np.where(weights > 0, "tab:blue", "tab:red"))
    row[7].axhline(0, color="gray", linewidth=0.8)
    row[7].set_xticks(range(C), data.classes, rotation=90 if colour else 0, fontsize=8)
    row[7].set_yticks([])
plt.show()

# %% [markdown]
# ## 5.6 The search for hyper-parameters
#
# Three things have to be chosen now: the number of hidden units, the learning rate and the penalty. A grid of
# five values for each would cost 125 runs, and would still try only five learning rates. Draw the settings
# **at random** instead: 30 runs try 30 learning rates, 30 penalties and 30 sizes, and whichever of them turns
# out to matter has been searched finely (Bergstra and Bengio, *Random search for hyper-parameter
# optimization*, 2012). All three act by factors, so their *logarithms* are drawn evenly.
#
# A setting is a dict; where the settings come from, from a grid or by chance, is not the business of the
# search. As before, each run starts from the same seed, and the validation set chooses.


# %%
def draw_settings(count, sizes, learning_rates, regs, seed=0):
    """Settings drawn at random, their logarithms evenly between the two ends of each range."""
    rng = np.random.default_rng(seed)
    ends = np.log([sizes, learning_rates, regs])
    return [
        {"hidden_dim": round(size), "learning_rate": float(rate), "reg": float(reg)}
        for size, rate, reg in np.exp(rng.uniform(ends[:, 0], ends[:, 1], size=(count, 3)))
    ]


# %% question="nn_search"
def nn_search(settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0):
    """Train a network with each setting, and choose the one that is best on the validation set.

    Every run starts from initialize(D, hidden_dim, num_classes, seed), with the hidden_dim of its setting.

    Args:
        settings: a list of dicts with the keys "hidden_dim", "learning_rate" and "reg".
        X_train, y_train: what to train on, shapes (N, D) and (N,).
        X_val, y_val: what to choose by, shapes (M, D) and (M,).
        num_classes: C.
        num_iters, batch_size, seed: passed to nn_train, the same for every run. (The learning-rate decay is
            the default of nn_train.)

    Returns:
        best: the setting (one of the dicts) with the highest validation accuracy after training; of
            equals, the one that stands first.
        best_params: the parameters that its run ended with.
        accuracies: a list with a pair for each setting, in their order: the accuracy on all of X_train and
            the one on all of X_val after training, shares from 0 to 1.
    """
    ### BEGIN SOLUTION
    accuracies, best, best_params, best_accuracy = [], None, None, -1.0
    for setting in settings:
        start = initialize(X_train.shape[1], setting["hidden_dim"], num_classes, seed)
        params, _ = nn_train(
            start,
            X_train,
            y_train,
            X_val,
            y_val,
            learning_rate=setting["learning_rate"],
            reg=setting["reg"],
            num_iters=num_iters,
            batch_size=batch_size,
            seed=seed,
        )
        train_accuracy = float(np.mean(nn_predict(params, X_train) == y_train))
        val_accuracy = float(np.mean(nn_predict(params, X_val) == y_val))
        accuracies.append((train_accuracy, val_accuracy))
        if val_accuracy > best_accuracy:
            best, best_params, best_accuracy = setting, params, val_accuracy
    return best, best_params, accuracies
    ### END SOLUTION


# %%
check("nn_search")

# %% [markdown]
# **The landscape.** Each dot is one run: where it stands is its learning rate and its penalty, how large
# it is the number of hidden units, and its colour the validation accuracy. The best carries a ring. On the
# right, the same runs against each of the three: what matters shows a trend, what does not a cloud.

# %% tags=["show"]
settings = draw_settings(
    12 if colour else 30,
    (40, 200) if colour else (10, 150),
    (0.003, 0.3) if colour else (0.01, 3.0),
    (1e-5, 0.1),
)
best, best_params, accuracies = nn_search(
    settings, X_train, y_train, X_val, y_val, C, num_iters=900 if colour else 600, batch_size=100
)
val = np.array([accuracy for _, accuracy in accuracies])
axis_of = {name: np.array([setting[name] for setting in settings]) for name in best}

fig, axes = plt.subplots(1, 4, figsize=(12, 3.5), width_ratios=[1.7, 1, 1, 1], layout="constrained")
low = max(val.min(), val.max() - 0.15)
looks = {"c": val, "cmap": "viridis", "vmin": low, "vmax": val.max()}
dots = axes[0].scatter(axis_of["learning_rate"], axis_of["reg"], s=2 * axis_of["hidden_dim"], **looks)
axes[0].scatter(best["learning_rate"], best["reg"], s=420, facecolor="none", edgecolor="tab:red", linewidth=2)
axes[0].set(xscale="log", yscale="log", xlabel="learning rate", ylabel="reg", title="validation accuracy")
fig.colorbar(dots, ax=axes[0], extend="min")
for ax, (name, values) in zip(axes[1:], axis_of.items(), strict=True):
    ax.scatter(values, val, s=18, color="tab:blue")
    ax.scatter(best[name], val.max(), s=90, facecolor="none", edgecolor="tab:red", linewidth=2)
    ax.set(xscale="log", xlabel=name.replace("_", " "))
    ax.minorticks_off()
axes[1].set_ylabel("validation accuracy")
plt.show()
print(
    f"best: {best['hidden_dim']} hidden units, learning rate {best['learning_rate']:.3g}, "
    f"reg {best['reg']:.2g}"
)

# %% [markdown]
# And now, once, the test pictures.

# %% tags=["show"]
answers = nn_predict(best_params, X_test)
accuracy = np.mean(answers == y_test)
margin = np.sqrt(accuracy * (1 - accuracy) / len(y_test))
print(
    f"training {accuracies[settings.index(best)][0]:.1%}, validation {val.max():.1%}, "
    f"test {accuracy:.1%} (give or take {margin:.1%})"
)

table = np.zeros((C, C), dtype=int)
np.add.at(table, (y_test, answers), 1)
fig, ax = plt.subplots(figsize=(5.6, 5), layout="constrained")
ax.imshow(table, cmap="Blues", vmax=table.max())
for (row, column), count in np.ndenumerate(table):
    if count:
        ink = "white" if count > table.max() / 2 else "black"
        ax.text(column, row, count, ha="center", va="center", color=ink, fontsize=9)
ax.set_xticks(range(C), data.classes, rotation=90 if colour else 0)
ax.set_yticks(range(C), data.classes)
ax.set(xlabel="answer", ylabel="class", title="Which class is taken for which")
plt.show()

# %% [markdown]
# **What to take along.** A hidden layer of ReLUs lets the edges between classes bend, and lets several
# templates share the work of a class. A penalty trades what the network knows by heart for what it knows in
# general. The validation set has now chosen among 30 settings, so its own figure is a little too good; the
# test set's is not. On all of CIFAR-10, with 500 hidden units, the same functions reach 54 to 55 %, where the
# linear classifier stops at 40 to 41 %.
#
# What it lacks: you derived the gradients for exactly *two* layers, in one piece. A third layer would mean
# doing it all again. But look at the backward pass: each step needs only what comes from behind and what its
# own forward step has seen. The next assignment takes the network apart at these seams.

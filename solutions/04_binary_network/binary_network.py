# %% [markdown]
# # 4. A network with one hidden layer
#
# A linear classifier has one template per class and straight edges. That is too little for a hand. Held a
# little to the left, or turned, or in front of darker paper, it is still the same sign, and its pixels are
# all different: no single template fits it everywhere.
#
# In this assignment something comes between the pixels and the answer: a **hidden layer**, a few dozen units
# that each learn a template of their own, and whose answers are put together. You write it whole: what it
# computes, how wrong it is, how the error is traced back to each weight (**backpropagation**), and the loop
# that learns from small batches. The task is to tell two signs of American Sign Language apart. For a six the
# thumb touches the little finger, for an eight the middle finger; the other three stand up.
#
# With two classes, one number is enough for an answer: $p$, the probability that the hand shows an eight. The
# label $y$ is 1 for an eight and 0 for a six.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

# %% [markdown]
# ## The pictures
#
# If the sign-language digits are on this machine, 415 photographs that the students of a school in Ankara
# took of their hands, a fifth of them is kept for the test. Otherwise a program draws the hands, of any skin,
# in any light, and as many as we like.
#
# Some things are done for you. `prepare` makes a row of each picture and takes the light out: every row is
# shifted to mean 0 and scaled to standard deviation 1, so that a bright photograph and a dark one look alike.
# Then each pixel is standardised over the training pictures, as in assignment 1. And where there are only a
# few hundred photographs, `moved_copies` makes many of each one, turned, shifted, nearer or farther: still
# the same sign, and more to learn from.


# %%
def prepare(images):
    """Pictures (N, H, W) as rows (N, D), each with mean 0 and standard deviation 1."""
    rows = images.reshape(len(images), -1).astype(float)
    return (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)


def moved_copies(images, copies, seed):
    """Square pictures (N, S, S), `copies` times each, turned, scaled and shifted: (N * copies, S, S)."""
    rng = np.random.default_rng(seed)
    size = images.shape[1]
    count = len(images) * copies
    angle = np.radians(rng.uniform(-12, 12, size=(count, 1, 1)))
    zoom = np.exp(rng.uniform(-0.12, 0.12, size=(count, 1, 1)))
    shift = rng.uniform(-0.08, 0.08, size=(2, count, 1, 1)) * size
    middle = (size - 1) / 2
    down, right = np.mgrid[:size, :size] - middle
    # Where each new pixel lies in the old picture, and the four old pixels around that place.
    row = np.clip(zoom * (np.cos(angle) * down + np.sin(angle) * right) + middle + shift[0], 0, size - 1.001)
    column = np.clip(
        zoom * (np.cos(angle) * right - np.sin(angle) * down) + middle + shift[1], 0, size - 1.001
    )
    top, left = row.astype(int), column.astype(int)
    low, far = row - top, column - left
    old = np.tile(np.arange(len(images)), copies)[:, None, None]
    upper = images[old, top, left] * (1 - far) + images[old, top, left + 1] * far
    lower = images[old, top + 1, left] * (1 - far) + images[old, top + 1, left + 1] * far
    return upper * (1 - low) + lower * low


# %% tags=["show"]
from autograder.datasets import DatasetMissing

SIZE = 32
try:
    data = load_dataset("sign_digits", digits=(6, 8), size=SIZE)
    num_val, copies = 66, 12
except DatasetMissing:
    data = load_dataset("gestures", digits=(6, 8), size=SIZE, num_train=3000, num_test=1000)
    num_val, copies = 500, 0

images_val, y_val = data.x_train[:num_val], data.y_train[:num_val]
images_train, y_train = data.x_train[num_val:], data.y_train[num_val:]
if copies:
    images_train = moved_copies(images_train, copies, seed=0)
    y_train = np.tile(y_train, copies)
X_train, X_val, X_test = prepare(images_train), prepare(images_val), prepare(data.x_test)
mean, std = X_train.mean(axis=0), X_train.std(axis=0)
X_train, X_val, X_test = (X_train - mean) / std, (X_val - mean) / std, (X_test - mean) / std
y_test = data.y_test
print(data.source)
print(f"{len(X_train)} pictures to train on, {len(X_val)} for validation, {len(X_test)} to test")


def show_images(pictures, titles=None, rows=1, limit=None, title=""):
    """Draw square pictures side by side: grey as they are or, with a limit, red (-) to blue (+)."""
    columns = -(-len(pictures) // rows)
    width = min(10, 2.5 * columns)
    size = (width, width / columns * rows + 0.5)
    fig, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for n, (axes, picture) in enumerate(zip(grid.flat, pictures, strict=False)):
        colours = (
            {"cmap": "gray", "vmin": 0, "vmax": 1}
            if limit is None
            else {"cmap": "RdBu", "vmin": -limit, "vmax": limit}
        )
        axes.imshow(np.reshape(picture, (SIZE, SIZE)), **colours)
        if titles:
            axes.set_title(titles[n], fontsize=9)
    fig.suptitle(title)
    plt.show()


examples = np.concatenate([images_train[y_train == label][:10] for label in (0, 1)])
show_images(examples, rows=2, title="Above sixes, below eights: look for the finger that the thumb touches")

# %% [markdown]
# How far does one template go? Here are the two mean pictures, red where it is darker than in the rest of the
# picture and blue where it is brighter. They differ where the little and the middle finger are, and the
# template that fits the labels best looks there too (in the sense of least squares, with the penalty that
# suits the validation pictures best; blue means that brightness speaks for an eight). Remember its score.

# %% tags=["show"]
signs = 2.0 * y_train - 1
best_linear = 0.0
for penalty in 10.0 ** np.arange(1, 6):
    template = np.linalg.solve(X_train.T @ X_train + penalty * np.eye(SIZE**2), X_train.T @ signs)
    score = np.mean((X_val @ template > 0) == y_val)
    if score > best_linear:
        best_linear, best_template = score, template
means = [prepare(images_train[y_train == label]).mean(axis=0) for label in (0, 1)]
show_images(
    [*means, means[1] - means[0], best_template / np.abs(best_template).max()],
    ["mean six", "mean eight", "eight minus six", f"the best template: {best_linear:.1%} correct"],
    limit=1.0,
)

# %% [markdown]
# ## 4.1 The sigmoid
#
# The network will compute a number $z$ that may be anything: large where it sees an eight, very negative
# where it sees a six. A probability lies between 0 and 1. The **sigmoid** (or logistic) function turns one
# into the other,
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}}, \qquad \sigma(-z) = 1 - \sigma(z), \qquad
# \sigma'(z) = \sigma(z)\,\bigl(1 - \sigma(z)\bigr) .$$
#
# Mind the ends. $e^{1000}$ is more than a floating-point number can hold and becomes `inf`. One of the forms
# $\frac{1}{1 + e^{-z}}$ and $\frac{e^{z}}{1 + e^{z}}$ survives that on both sides (with a warning), the other
# ends as `inf / inf`. Neither has anything to worry about as long as it is fed with $e^{-|z|}$, which lies
# between 0 and 1.


# %% question="sigmoid"
def sigmoid(z):
    """Return 1 / (1 + exp(-z)), element by element.

    Args:
        z: numbers of any size, an array of any shape or a single number; not to be modified.

    Returns:
        Numbers from 0 to 1, in the shape of z; never NaN, however large or small z is.
    """
    ### BEGIN SOLUTION
    decay = np.exp(-np.abs(z))
    return np.where(np.greater_equal(z, 0), 1, decay) / (1 + decay)
    ### END SOLUTION


# %%
check("sigmoid")

# %% [markdown]
# Steep in the middle, flat at both ends: beyond $\pm 5$ the network is sure, and its slope, the dashed line,
# is next to nothing. Keep that slope in mind.

# %% tags=["show"]
z = np.linspace(-8, 8, 321)
plt.figure(figsize=(7, 3.2), layout="constrained")
plt.plot(z, sigmoid(z), label=r"$\sigma(z)$")
plt.plot(z, np.gradient(sigmoid(z), z), "--", color="gray", label=r"slope, at most $\frac{1}{4}$")
plt.xlabel("z")
plt.ylabel("p")
plt.title("From any number to a probability")
plt.grid(alpha=0.3)
plt.legend()
plt.show()

# %% [markdown]
# ## 4.2 The loss
#
# The network says $p_i$ for picture $i$. If it is an eight, the probability that the network gave to the
# truth is $p_i$; if it is a six, $1 - p_i$. A good network gives the truth of every picture a high
# probability. The negative logarithm makes a loss of that, 0 for a sure and right answer and large for a sure
# and wrong one. Its mean is the **binary cross-entropy**,
#
# $$L = -\frac{1}{N} \sum_{i=1}^{N} \Bigl( y_i \ln p_i + (1 - y_i) \ln (1 - p_i) \Bigr) .$$
#
# Of the two terms one is always zero. A network that answers $p = \frac{1}{2}$ to everything has the loss
# $\ln 2 \approx 0.693$; remember that number, it is where training starts.
#
# In floating point, $\sigma(40)$ is exactly 1. Should the picture be a six after all, its loss would be $-\ln
# 0$. Keep $p$ a little away from both ends, $10^{-12}$ say, before you take logarithms (`np.clip`): the loss
# of one sure mistake is then about 28, which is a lot, and finite.


# %% question="bce_loss"
def bce_loss(p, y):
    """Return the binary cross-entropy.

    Args:
        p: probabilities that the label is 1, shape (N,), from 0 to 1; both ends may occur.
        y: labels, 0 or 1, shape (N,).

    Returns:
        The mean over the examples, a number (natural logarithms). It is finite: probabilities are kept
        1e-12 away from 0 and 1.
    """
    ### BEGIN SOLUTION
    inner = np.clip(p, 1e-12, 1 - 1e-12)
    return -np.mean(y * np.log(inner) + (1 - y) * np.log(1 - inner))
    ### END SOLUTION


# %%
check("bce_loss")

# %% [markdown]
# Why not the squared error of assignment 1? On the left is the loss of an eight against $z$. Where the
# network is badly wrong (far left), the squared error lies on a plateau. On the right is the slope, which is
# all that gradient descent gets to see: the cross-entropy pushes the harder the more wrong the answer is, the
# squared error lets a sure mistake sleep.

# %% tags=["show"]
cross_entropy = np.array([bce_loss(sigmoid(np.array([one])), np.array([1])) for one in z])
squared = (1 - sigmoid(z)) ** 2
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for losses, name in ((cross_entropy, "cross-entropy"), (squared, "squared error")):
    left.plot(z, losses, label=name)
    right.plot(z, np.gradient(losses, z), label=name)
left.set(xlabel="z", ylabel="loss", title="The loss of one eight (y = 1)")
right.set(xlabel="z", ylabel="slope of the loss", title="How hard it pushes z upwards")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
plt.show()

# %% [markdown]
# ## 4.3 A start
#
# The network has a matrix and a bias for each of its two layers. With $D$ pixels and $H$ hidden units,
#
# | name | shape | what it is |
# |---|---|---|
# | `W1` | $(D, H)$ | one template for each hidden unit, as a column |
# | `b1` | $(H,)$ | one bias for each hidden unit |
# | `W2` | $(H, 1)$ | how much each hidden unit speaks for an eight |
# | `b2` | $(1,)$ | the bias of the answer |
#
# They are kept in a dictionary. Biases may start at zero. Weights must not: units that start equal get equal
# gradients, step after step, and remain copies of each other for ever. So weights are drawn at random, from a
# normal distribution with mean 0.
#
# How large? A unit adds up $D$ products. If the pixels have variance 1 and the weights variance $s^2$, the
# sum has variance $D s^2$. We want it to be about 1, so
#
# $$s = \frac{1}{\sqrt{\text{number of inputs}}} : \qquad \frac{1}{\sqrt{D}} \text{ for } W_1, \quad
# \frac{1}{\sqrt{H}} \text{ for } W_2 .$$


# %% question="initialize"
def initialize(input_dim, hidden_dim, seed):
    """Return the parameters at the start.

    Args:
        input_dim: number of features D.
        hidden_dim: number of hidden units H.
        seed: a whole number. The same seed gives the same parameters, another seed others.

    Returns:
        A dict. "W1", shape (D, H), and "W2", shape (H, 1), hold independent normal numbers with mean 0 and
        standard deviation 1 / sqrt(D) and 1 / sqrt(H); "b1", shape (H,), and "b2", shape (1,), are zero.
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)
    return {
        "W1": rng.normal(size=(input_dim, hidden_dim)) / np.sqrt(input_dim),
        "b1": np.zeros(hidden_dim),
        "W2": rng.normal(size=(hidden_dim, 1)) / np.sqrt(hidden_dim),
        "b2": np.zeros(1),
    }
    ### END SOLUTION


# %%
check("initialize")

# %% [markdown]
# The hidden units will put their sums through $\tanh$, a sigmoid that runs from $-1$ to 1. Here is what comes
# out at the start, for weights that are a tenth as large as yours, as yours, and ten times as large. Too
# small, and the units say nothing and are as good as linear. Too large, and they are all stuck at one of the
# two ends, where the slope is zero and nothing can be learned.

# %% tags=["show"]
start = initialize(X_train.shape[1], 32, seed=0)
fig, grid = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
for axes, factor in zip(grid, (0.1, 1, 10), strict=True):
    axes.hist(np.tanh(X_train[:500] @ (factor * start["W1"])).ravel(), bins=61, range=(-1, 1))
    axes.set(title=f"weights times {factor:g}", xlabel="what a hidden unit says", yticks=[])
plt.show()

# %% [markdown]
# ## 4.4 Forward
#
# For a batch of $N$ pictures, one a row,
#
# $$\underbrace{h}_{(N,\,H)} = \tanh\bigl(\underbrace{x}_{(N,\,D)} W_1 + b_1\bigr), \qquad
# \underbrace{z}_{(N,\,1)} = h\, W_2 + b_2, \qquad \underbrace{p}_{(N,)} = \sigma(z) .$$
#
# Without the $\tanh$ the two matrices would multiply into one, and the network would be the linear classifier
# again.
#
# Mind the last shape: $z$ has one column, and $p$ should be a vector of $N$ numbers. As in assignment 1, a
# column minus a vector is a square of $N^2$ differences that nobody asked for.
#
# The backward pass will need some of what you compute here. Return it as `cache`, in any form you like:
# nobody but your own `backward` looks into it.


# %% question="forward"
def forward(x, params):
    """Return the network's probabilities.

    Args:
        x: features, shape (N, D); not to be modified.
        params: what `initialize` returns; not to be modified.

    Returns:
        p: for each example the probability that its label is 1, shape (N,).
        cache: whatever `backward` needs.
    """
    ### BEGIN SOLUTION
    h = np.tanh(x @ params["W1"] + params["b1"])
    p = sigmoid(h @ params["W2"] + params["b2"])[:, 0]
    return p, (x, h, p, params)
    ### END SOLUTION


# %%
check("forward")

# %% [markdown]
# To see what a hidden layer adds, let the input be a point in the plane and look at what networks with random
# weights say there. One hidden unit can only draw a straight edge. Each further unit can add a bend.

# %% tags=["show"]
side = np.linspace(-3, 3, 121)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def show_plane(axes, params, title=""):
    """Colour the plane by what a network says: red for 0, blue for 1, a black line at one half."""
    p, _ = forward(plane, params)
    picture = p.reshape(len(side), len(side))
    axes.imshow(picture, extent=(-3, 3, -3, 3), origin="lower", cmap="RdBu", vmin=0, vmax=1, alpha=0.75)
    if picture.min() < 0.5 < picture.max():
        axes.contour(side, side, picture, levels=[0.5], colors="black", linewidths=1)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


fig, grid = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for axes, units in zip(grid, (1, 3, 10, 100), strict=True):
    random = initialize(2, units, seed=1)
    random["b1"] = np.random.default_rng(1).uniform(-4, 4, size=units)
    title = f"{units} hidden unit" + "s" * (units > 1)
    show_plane(axes, {**random, "W1": 3 * random["W1"], "W2": 6 * random["W2"]}, title)
plt.show()

# %% [markdown]
# ## 4.5 Backward
#
# Backpropagation is the chain rule, from the loss back to each parameter, one step at a time. Begin at the
# end. Two derivatives meet there, and most of them cancels:
#
# $$\frac{\partial L}{\partial p_i} = \frac{1}{N}\,\frac{p_i - y_i}{p_i (1 - p_i)}, \qquad
# \frac{\partial p_i}{\partial z_i} = p_i (1 - p_i) \qquad\Rightarrow\qquad
# \frac{\partial L}{\partial z_i} = \frac{p_i - y_i}{N} .$$
#
# The error, divided by $N$. This is why the two belong together: no slope of the sigmoid is left that could
# vanish, and nothing is divided by zero. The second layer is linear, so its gradients are those of assignment
# 1, and its inputs are the hidden units:
#
# $$\frac{\partial L}{\partial W_2} = h^\top \frac{\partial L}{\partial z}, \qquad
# \frac{\partial L}{\partial b_2} = \sum_i \frac{\partial L}{\partial z_i}, \qquad
# \frac{\partial L}{\partial h} = \frac{\partial L}{\partial z}\, W_2^\top .$$
#
# Then through the $\tanh$, whose slope is $1 - h^2$ (element by element, with the $h$ that the forward pass
# computed), and on to the first layer in the same way:
#
# $$a = x W_1 + b_1, \qquad \frac{\partial L}{\partial a} = \frac{\partial L}{\partial h} \odot (1 - h^2),
# \qquad \frac{\partial L}{\partial W_1} = x^\top \frac{\partial L}{\partial a}, \qquad \frac{\partial
# L}{\partial b_1} = \sum_i \frac{\partial L}{\partial a_i} .$$
#
# Whenever you are unsure about a transpose, write the shapes down: a gradient has the shape of what it
# belongs to, and there is mostly one way to get it.


# %% question="backward"
def backward(y, cache):
    """Return the gradients of bce_loss(p, y), p being what `forward` returned together with this cache.

    Args:
        y: labels, 0 or 1, shape (N,).
        cache: what `forward` returned.

    Returns:
        A dict with the keys of params: the gradient with respect to each parameter, in its shape. They are
        right where p is exactly 0 or 1, too.
    """
    ### BEGIN SOLUTION
    x, h, p, params = cache
    dz = (p - y)[:, np.newaxis] / len(y)
    da = dz @ params["W2"].T * (1 - h**2)
    return {"W1": x.T @ da, "b1": da.sum(axis=0), "W2": h.T @ dz, "b2": dz.sum(axis=0)}
    ### END SOLUTION


# %%
check("backward")

# %% [markdown]
# As in assignment 1, compare with finite differences. Each parameter is moved a tiny step to either side on
# its own, here in a small network on five random points.

# %% tags=["show"]
rng = np.random.default_rng(0)
x_five, y_five, tiny = rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1]), initialize(3, 4, seed=1)
gradients = backward(y_five, forward(x_five, tiny)[1])


def loss_after_moving(name, index, by):
    """The loss on the five points with one parameter moved."""
    moved = {key: value.copy() for key, value in tiny.items()}
    moved[name][index] += by
    return bce_loss(forward(x_five, moved)[0], y_five)


step = 1e-5
for name in tiny:
    numeric = [
        (loss_after_moving(name, index, step) - loss_after_moving(name, index, -step)) / (2 * step)
        for index in np.ndindex(tiny[name].shape)
    ]
    worst = np.abs(gradients[name].ravel() - numeric).max()
    print(f"{name}: {gradients[name].size:2d} numbers, largest difference {worst:.0e}")

# %% [markdown]
# **What the first step wants.** The gradient of a template is a picture. Below are eight units of a fresh
# network: above how gradient descent would change their templates at the first step, below the templates
# themselves, still noise. Each unit is pushed towards the difference between eights and sixes, or away from
# it, according to the sign of its weight in $W_2$.

# %% tags=["show"]
gradients = backward(y_train[:1000], forward(X_train[:1000], start)[1])
change = -gradients["W1"].T[:8] / np.abs(gradients["W1"]).max()
templates = start["W1"].T[:8] / np.abs(start["W1"]).max()
names = [f"W2: {weight:+.2f}" for weight in start["W2"][:8, 0]]
show_images([*change, *templates], names + [""] * 8, rows=2, limit=0.8)

# %% [markdown]
# ## 4.6 Mini-batches
#
# In assignment 3 every step drew its batch afresh, and some pictures came twice before others came once. The
# usual way is another one. An **epoch**, one walk through the training set, is cut into mini-batches: the
# examples are shuffled and taken, say, 32 at a time. If their number cannot be divided, the last batch is
# smaller; no example is left out. And each label has to stay with its picture.


# %% question="mini_batches"
def mini_batches(x, y, batch_size, seed):
    """Shuffle the examples and cut them into mini-batches.

    Args:
        x: examples, shape (N, ...); not to be modified.
        y: labels, shape (N,); not to be modified.
        batch_size: number of examples in a batch, at least 1. The last batch holds what is left over.
        seed: a whole number. The same seed gives the same shuffle, another seed another one.

    Returns:
        A list of pairs (x_batch, y_batch). Every example is in exactly one batch, together with its label.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(x))
    chosen = [order[begin : begin + batch_size] for begin in range(0, len(x), batch_size)]
    return [(x[rows], y[rows]) for rows in chosen]
    ### END SOLUTION


# %%
check("mini_batches")

# %% [markdown]
# How noisy is the gradient of a batch? This time as an angle, for batches of several sizes: that between it
# and the gradient of all training pictures. At 90° a batch knows nothing about the way down. A batch of one
# is a poor guide, a batch of 32 a fair one, and eight times as many pictures do not make it eight times as
# good.

# %% tags=["show"]


def direction(x, y):
    """The gradient of W1 as a vector of length 1."""
    gradient = backward(y, forward(x, start)[1])["W1"].ravel()
    return gradient / np.linalg.norm(gradient)


whole = direction(X_train, y_train)
plt.figure(figsize=(7, 3.2), layout="constrained")
for place, size in enumerate((1, 8, 32, 256)):
    batches = mini_batches(X_train, y_train, size, seed=0)[:60]
    angles = [np.degrees(np.arccos(direction(*batch) @ whole)) for batch in batches]
    wiggle = np.random.default_rng(place).uniform(-0.2, 0.2, size=len(angles))
    plt.plot(place + wiggle[: len(angles)], angles, "o", markersize=4, alpha=0.5)
plt.axhline(90, color="gray", linestyle="--")
plt.xticks(range(4), ["1", "8", "32", "256"])
plt.xlabel("batch size")
plt.ylabel("angle (degrees)")
plt.title("How far a batch's gradient points away from the exact one")
plt.show()

# %% [markdown]
# ## 4.7 Training
#
# Everything is there. In each epoch, for each mini-batch: forward, loss, backward, and a step against the
# gradient for every parameter,
#
# $$\theta \leftarrow \theta - \eta\, \frac{\partial L}{\partial \theta}, \qquad
# \theta \in \{W_1, b_1, W_2, b_2\} .$$
#
# Shuffle anew in every epoch (give `mini_batches` the seed `seed + epoch`). And leave the caller's
# parameters alone: the arrays in `params` may be wanted again, so work on copies.


# %% question="train"
def train(params, x, y, learning_rate, epochs, batch_size, seed):
    """Train the network by gradient descent on mini-batches.

    Args:
        params: parameters at the start, a dict as `initialize` returns it; neither the dict nor its arrays
            are modified.
        x: features, shape (N, D).
        y: labels, 0 or 1, shape (N,).
        learning_rate: length of the steps.
        epochs: how many times to go through all examples; 0 is allowed.
        batch_size: number of examples in a mini-batch; the last one of an epoch may be smaller.
        seed: a whole number. Each epoch is shuffled in its own way, and all of them by the seed.

    Returns:
        params: the parameters after the last step, a new dict.
        losses: a list with one number for each step: the loss of its mini-batch just before the step.
    """
    ### BEGIN SOLUTION
    params, losses = dict(params), []
    for epoch in range(epochs):
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed + epoch):
            p, cache = forward(x_batch, params)
            losses.append(bce_loss(p, y_batch))
            grads = backward(y_batch, cache)
            for name in params:
                params[name] = params[name] - learning_rate * grads[name]
    return params, losses
    ### END SOLUTION


# %%
check("train")

# %% [markdown]
# ## An edge that bends
#
# First a task that one can see: points on two arms of a spiral. Watch the edge between the classes. After a
# few epochs it is nearly a straight line, as good as a linear classifier ever gets here, and then the hidden
# units bend it round the arms, one after the other.

# %% tags=["show"]
rng = np.random.default_rng(4)
turn = np.sqrt(rng.uniform(0.03, 1, size=400)) * 2.8 * np.pi
y_spiral = np.arange(400) % 2
arm = turn + np.pi * y_spiral
x_spiral = 0.3 * turn[:, None] * np.stack([np.cos(arm), np.sin(arm)], axis=1)
x_spiral += rng.normal(scale=0.08, size=x_spiral.shape)

params, done = initialize(2, 24, seed=0), 0
fig, grid = plt.subplots(2, 3, figsize=(10, 6.8), layout="constrained")
spiral_losses = []
for axes, epochs in zip(grid.flat, (0, 5, 20, 100, 250, 500), strict=True):
    params, losses = train(params, x_spiral, y_spiral, 0.1, epochs - done, 20, seed=done)
    spiral_losses += losses
    done = epochs
    right = np.mean((forward(x_spiral, params)[0] > 0.5) == y_spiral)
    show_plane(axes, params, f"after {epochs} epochs: {right:.0%} correct")
    axes.scatter(*x_spiral.T, c=np.where(y_spiral, "tab:blue", "tab:red"), s=7)
plt.show()

# %% [markdown]
# And this happens when all weights start equal, at 0.3: the 24 units remain copies of one, and the edge
# remains straight, however long one trains. Starting all weights at zero is worse still: the gradients of
# both matrices are then zero, and the network never says anything but one half.

# %% tags=["show"]
equal = {
    name: np.full(value.shape, 0.3 * name.startswith("W")) for name, value in initialize(2, 24, 0).items()
}
same, same_losses = train(equal, x_spiral, y_spiral, 0.1, 500, 20, seed=0)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=[1, 1.9], layout="constrained")
show_plane(left, same, "equal weights at the start")
left.scatter(*x_spiral.T, c=np.where(y_spiral, "tab:blue", "tab:red"), s=7)
for losses, name in ((same_losses, "equal weights"), (spiral_losses, "random weights")):
    right.plot(np.reshape(losses, (500, 20)).mean(axis=1), label=name)
right.axhline(np.log(2), color="gray", linestyle="--", label="ln 2: no idea")
right.set(xlabel="epoch", ylabel="mean loss of the batches", title="Learning the spiral", ylim=(0, 0.8))
right.legend()
plt.show()
print("the first three hidden units after training, W1:", *np.round(same["W1"].T[:3], 4).tolist())

# %% [markdown]
# ## Six or eight
#
# Now the hands: 1,024 pixels, 32 hidden units. We stop after every epoch to measure; the loop does not need
# that, we do. The thin line is the loss of every single mini-batch, the thick ones are means over all
# training and all validation pictures.

# %% tags=["show"]


def accuracy(x, y, params):
    """The share of right answers: an eight where p is above one half."""
    return np.mean((forward(x, params)[0] > 0.5) == y)


EPOCHS, UNITS, RATE = 30, 32, 0.03
params = initialize(X_train.shape[1], UNITS, seed=0)
steps, history = [], []
for epoch in range(EPOCHS):
    params, losses = train(params, X_train, y_train, RATE, 1, 32, seed=epoch)
    steps += losses
    measured = [(forward(x, params)[0], y) for x, y in ((X_train, y_train), (X_val, y_val))]
    losses = [bce_loss(p, y) for p, y in measured]
    history.append(losses + [np.mean((p > 0.5) == y) for p, y in measured])
history = np.array(history)
epochs = np.arange(1, EPOCHS + 1)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.plot(
    np.arange(len(steps)) * EPOCHS / len(steps), steps, color="0.8", linewidth=0.5, label="mini-batches"
)
left.plot(epochs, history[:, 0], label="training")
left.plot(epochs, history[:, 1], label="validation")
left.set(xlabel="epoch", ylabel="binary cross-entropy", title="Loss", ylim=(0, 0.9))
right.plot(epochs, history[:, 2], label="training")
right.plot(epochs, history[:, 3], label="validation")
right.axhline(best_linear, color="gray", linestyle="--", label="one template (validation)")
right.set(xlabel="epoch", ylabel="share correct", title="Accuracy", ylim=(0.5, 1.01))
left.legend()
right.legend(loc="lower right")
plt.show()

# %% [markdown]
# The network knows its training pictures by heart in the end, and the validation loss stops falling long
# before: the gap between the two lines is **overfitting**. More pictures narrow it; so will the penalty of
# assignment 3, which the next assignment brings back.
#
# Compare with the dashed line. On the drawn hands, dark or bright, on dark or bright paper, one template
# leaves one picture in six wrong, and the network one in thirty or forty. (On the photographs, which all show
# a dark hand in the middle of a bright wall, a template has an easier life, and 66 validation pictures are
# too few to tell 95 % from 97 %.)
#
# And now, once, the test pictures.

# %% tags=["show"]
p_test, _ = forward(X_test, params)
score = np.mean((p_test > 0.5) == y_test)
noise = np.sqrt(score * (1 - score) / len(y_test))
print(f"{score:.1%} of the {len(y_test)} test pictures are right (give or take {noise:.1%})")

# %% [markdown]
# **What hidden units see.** The templates in $W_1$, the 16 that the answer listens to most. Each is
# multiplied by the sign of its weight in $W_2$, so blue means: bright here speaks for an eight. Where the
# linear classifier had one compromise, there is now a set of them: most look at the places of the little and
# the middle finger, for hands that stand a little more to this side or that. The speckle is the random start.
# Nobody has had a reason to remove it.

# %% tags=["show"]
order = np.argsort(-np.abs(params["W2"][:, 0]))[:16]
seen = (params["W1"] * np.sign(params["W2"][:, 0])).T[order]
show_images(
    seen,
    [f"weight {weight:.2f}" for weight in np.abs(params["W2"][order, 0])],
    rows=2,
    limit=np.abs(seen).max() * 0.7,
)

# %% [markdown]
# **How sure is it, and when is it wrong?** Most answers lie close to 0 or 1, and nearly all of those are
# right (mind the scale, which is logarithmic). Below are the mistakes that it was surest of: hands turned
# far or blurred, fingers lying one over the other. Some of them you would look at twice yourself.

# %% tags=["show"]
plt.figure(figsize=(7, 2.8), layout="constrained")
for label, name in ((0, "sixes"), (1, "eights")):
    plt.hist(p_test[y_test == label], bins=40, range=(0, 1), alpha=0.6, label=name)
plt.yscale("log")
plt.xlabel("p, the probability of an eight")
plt.ylabel("test pictures")
plt.legend()
plt.show()

surprise = np.abs(p_test - y_test)
wrong = np.argsort(-surprise)[: min(10, int(np.sum(surprise > 0.5)))]
titles = [
    f"a {data.classes[y_test[i]]}, taken for\n{data.classes[1 - y_test[i]]}: {surprise[i]:.1%}" for i in wrong
]
show_images(data.x_test[wrong], titles, title="The surest mistakes")

# %% [markdown]
# **How many units?** A single hidden unit is one template again. Somewhere between four and sixteen, there
# are enough of them for the different looks of a hand, and beyond that the network gets bigger, not better.

# %% tags=["show"]
sizes = (1, 2, 4, 8, 16, 32, 64)
scores = []
for units in sizes:
    trained, _ = train(initialize(X_train.shape[1], units, seed=1), X_train, y_train, RATE, 10, 32, seed=0)
    scores.append([accuracy(X_train, y_train, trained), accuracy(X_val, y_val, trained)])

plt.figure(figsize=(7, 3.4), layout="constrained")
plt.plot(sizes, scores, "o-", label=["training", "validation"])
plt.axhline(best_linear, color="gray", linestyle="--", label="one template (validation)")
plt.xscale("log", base=2)
plt.xticks(sizes, [str(size) for size in sizes])
plt.xlabel("hidden units")
plt.ylabel("share correct after 10 epochs")
plt.grid(alpha=0.3)
plt.legend()
plt.show()

# %% [markdown]
# **What to take along.** A layer of units between the input and the answer bends the edge between two
# classes. Its weights start at random and small; the loss and the sigmoid are made for each other; the chain
# rule, walked backward, gives every weight its share of the error; mini-batches make the walk cheap.
#
# What is left: the world has more than two classes; a $\tanh$ passes little gradient at its flat ends; and a
# network that knows its training pictures by heart wants a rein. The next assignment takes all three.

# %% [markdown]
# # 8. Modular networks
#
# Assignment 7 ended with a network that differentiates itself, and with two things left open. One is the
# price: a Python object and a note for each single addition. The other is that a deep network learns or does
# not, depending on its first weights and on the length of its steps, and that one which learns may simply
# learn its training set by heart.
#
# The price is settled the way every deep-learning library settles it: with larger ops. A **layer** is a pair
# of functions, as you know it from assignment 6. The *forward* one computes its output and puts aside what it
# will want to find again; the *backward* one turns the gradient with respect to the output into gradients
# with respect to the inputs. A layer knows nothing of its neighbours, and so layers can be stacked in any
# order and to any depth. The rest of a training program becomes modules too: the loss, the rule by which a
# step is made, and the loop around it.
#
# In this assignment you write the layers of a fully connected network, two losses, a network of any depth
# made from them, and a `Solver` that trains whatever has parameters and a loss. On the way come the two
# promises of assignment 7: **dropout**, which makes it hard to learn by heart, and three update rules that
# step better than plain gradient descent. The convolutional networks of the next assignment need nothing but
# new layers.
#
# One convention holds throughout. A forward pass returns `(out, cache)`. The cache holds whatever *your*
# backward pass wants to find again; nobody else looks into it. The backward pass takes `(dout, cache)`,
# where `dout` is the upstream gradient $\partial L/\partial\,\text{out}$ and has the shape of `out`, and
# returns the gradients in the order of the inputs, each in the shape of its input.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The images
#
# The course carries 1,797 handwritten digits of $8\times8$ pixels. If your data folder holds CIFAR-10, the
# cell below takes 11,000 of its colour photographs instead, and the training runs take some minutes.
# Either way the mean image is subtracted, and a part of the training set is kept back for validation.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    dataset, num_val = load_dataset("cifar10", num_train=10000, num_test=1000), 1000
except DatasetMissing:
    dataset, num_val = load_dataset("digits"), 250

class_names, K = dataset.classes, len(dataset.classes)
mean_image = dataset.x_train[num_val:].mean(axis=0)
spread = dataset.x_train[num_val:].std()
data = {
    "X_train": (dataset.x_train[num_val:] - mean_image) / spread,
    "y_train": dataset.y_train[num_val:],
    "X_val": (dataset.x_train[:num_val] - mean_image) / spread,
    "y_val": dataset.y_train[:num_val],
}
X_test, y_test = (dataset.x_test - mean_image) / spread, dataset.y_test
D = mean_image.size


def show_image(ax, image, title="", colour="black"):
    """A centred image, grey (H, W) or colour (C, H, W), as it was before it was centred."""
    pixels = np.clip(image * spread + mean_image, 0, 1)
    ax.imshow(pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels, cmap="gray")
    ax.set_title(title, fontsize=9, color=colour)
    ax.set_xticks([])
    ax.set_yticks([])


print(
    f"{dataset.name}: {len(data['X_train'])} images of {D} numbers to train on, "
    f"{num_val} for validation, {len(X_test)} to test"
)
fig, axes = plt.subplots(2, 10, figsize=(12, 2.8))
for label in range(10):
    for ax, i in zip(axes[:, label], np.flatnonzero(data["y_train"] == label)[:2], strict=True):
        show_image(ax, data["X_train"][i])
    axes[0, label].set_title(class_names[label], fontsize=10)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 8.1 The affine layer
#
# A fully connected layer multiplies with a matrix and adds a bias. Each example, whatever its shape
# $(d_1, \dots, d_k)$, is first laid out as a row of $D = d_1\cdots d_k$ numbers; with $X$ the matrix of these
# rows,
#
# $$ \text{out} = XW + b, \qquad X: (N, D),\quad W: (D, M),\quad b: (M,),\quad \text{out}: (N, M). $$
#
# It is the linear layer of assignment 6, for examples of any shape. Mathematicians call such a map affine
# (linear would be without $b$), and from here on so do we.


# %% question="affine_forward"
def affine_forward(x, w, b):
    """Fully connected layer.

    x      (N, d_1, ..., d_k)  a batch of N examples of any shape, not to be modified; D = d_1 * ... * d_k
    w      (D, M)              weights
    b      (M,)                biases

    Returns
    out    (N, M)
    cache  whatever affine_backward needs
    """
    ### BEGIN SOLUTION
    rows = x.reshape(x.shape[0], -1)
    return rows @ w + b, (x, w)
    ### END SOLUTION


# %%
check("affine_forward")

# %% [markdown]
# ### Backward
#
# Look at one output number: $\text{out}_{nm} = \sum_d X_{nd}W_{dm} + b_m$. The pixel $X_{nd}$ takes part in
# all $M$ outputs of its example, the weight $W_{dm}$ in the output $m$ of all $N$ examples, and so does
# $b_m$. Along each of these ways a gradient comes back, and they add up:
#
# $$
# \frac{\partial L}{\partial X_{nd}} = \sum_m \text{dout}_{nm} W_{dm}
# \qquad
# \frac{\partial L}{\partial W_{dm}} = \sum_n X_{nd}\,\text{dout}_{nm}
# \qquad
# \frac{\partial L}{\partial b_m} = \sum_n \text{dout}_{nm}
# $$
#
# The first two sums are matrix products. Which factor is transposed, and which comes first? There is no need
# to remember it: only one way gives the right shape. Do not forget that $x$ may have had more than two axes.


# %% question="affine_backward"
def affine_backward(dout, cache):
    """Gradients of a fully connected layer.

    dout   (N, M)  upstream gradient
    cache  what affine_forward returned

    Returns
    dx     (N, d_1, ..., d_k), the shape of x
    dw     (D, M)
    db     (M,)
    """
    ### BEGIN SOLUTION
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db
    ### END SOLUTION


# %%
check("affine_backward")

# %% [markdown]
# ## 8.2 ReLU
#
# Affine layers alone are of no use in a stack: an affine map of an affine map is affine. Between two of them
# stands a function that is not, and the simplest one is good enough:
#
# $$ \text{out} = \max(x, 0), \qquad
# \frac{\partial L}{\partial x} = \begin{cases}\text{dout} & x > 0\\ 0 & x < 0\end{cases} $$
#
# element by element. At exactly 0 there is no derivative; take whichever side you like.


# %% question="relu_forward"
def relu_forward(x):
    """max(x, 0), element by element.

    x      of any shape, not to be modified

    Returns
    out    the shape of x
    cache  whatever relu_backward needs
    """
    ### BEGIN SOLUTION
    return np.maximum(x, 0), x
    ### END SOLUTION


# %%
check("relu_forward")


# %% question="relu_backward"
def relu_backward(dout, cache):
    """The gradient of ReLU.

    dout   of any shape: upstream gradient, not to be modified
    cache  what relu_forward returned

    Returns
    dx     the shape of dout
    """
    ### BEGIN SOLUTION
    return dout * (cache > 0)
    ### END SOLUTION


# %%
check("relu_backward")

# %% [markdown]
# **Layers of layers.** An affine layer is nearly always followed by a ReLU, so the pair deserves a name. The
# forward pass calls the two forward functions one after the other, and its cache holds both caches; the
# backward pass calls the two backward functions in the opposite order. That is all there is to
# backpropagation, and you will do it once more, with more layers, in section 8.5.


# %% question="affine_relu_forward"
def affine_relu_forward(x, w, b):
    """An affine layer followed by a ReLU. x (N, d_1, ..., d_k), w (D, M), b (M,).

    Returns
    out    (N, M)
    cache  whatever affine_relu_backward needs
    """
    ### BEGIN SOLUTION
    out, affine_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(out)
    return out, (affine_cache, relu_cache)
    ### END SOLUTION


# %%
check("affine_relu_forward")


# %% question="affine_relu_backward"
def affine_relu_backward(dout, cache):
    """Gradients of an affine layer followed by a ReLU. dout (N, M), cache from affine_relu_forward.

    Returns dx in the shape of x, dw (D, M), db (M,).
    """
    ### BEGIN SOLUTION
    affine_cache, relu_cache = cache
    return affine_backward(relu_backward(dout, relu_cache), affine_cache)
    ### END SOLUTION


# %%
check("affine_relu_backward")

# %% [markdown]
# **What the kinks buy.** One number goes in, one comes out, with random weights between. A stack of affine
# layers draws a straight line, however deep it is. With ReLUs the curve is made of straight pieces, and each
# layer folds what the layers before it have folded already.

# %% tags=["show"]
t = np.linspace(-3, 3, 601)[:, None]
fig, axes = plt.subplots(1, 4, figsize=(12, 2.6), sharex=True)
for ax, (depth, layer) in zip(
    axes, [(6, affine_forward), (1, affine_relu_forward), (2, affine_relu_forward), (6, affine_relu_forward)],
    strict=True,
):  # fmt: skip
    for colour, seed in (("tab:blue", 1), ("tab:orange", 2), ("tab:green", 3)):
        rng = np.random.default_rng(seed)
        hidden, width = t, 1
        for _ in range(depth):
            weights = rng.normal(scale=np.sqrt(2 / width), size=(width, 12))
            hidden, _ = layer(hidden, weights, rng.normal(scale=0.7, size=12))
            width = 12
        curve, _ = affine_forward(hidden, rng.normal(scale=np.sqrt(1 / width), size=(width, 1)), np.zeros(1))
        ax.plot(t[:, 0], curve[:, 0] - curve.mean(), color=colour, lw=1.5)
    hidden_layers = f"{depth} hidden layer{'s' if depth > 1 else ''}"
    ax.set_title(f"{hidden_layers}, {'ReLU' if layer is affine_relu_forward else 'no ReLU'}", fontsize=10)
    ax.set_yticks([])
    ax.set_xlabel("input")
axes[0].set_ylabel("output")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 8.3 Two losses
#
# You know both from the linear classifiers; there the loss and the weights were one function. As modules they
# know nothing of weights. They take the scores $x$ of a batch, shape $(N, K)$, and the labels $y$, and return
# the loss, a single number, together with its gradient $\partial L/\partial x$: a loss is the end of every
# network, so there is no upstream gradient to wait for, and one function does both passes.
#
# The **hinge loss** of a multiclass support vector machine asks that the score of the right class be higher
# than each other score by a margin of 1, and charges what is missing:
#
# $$ L = \frac1N \sum_n \sum_{k\neq y_n} \max(0,\; x_{nk} - x_{ny_n} + 1). $$
#
# Each term that is positive pushes two scores: $x_{nk}$ down and $x_{ny_n}$ up. So in the row of an example,
# the gradient is $\tfrac1N$ at each class that violates the margin, and at the right class minus their
# number, times $\tfrac1N$.


# %% question="svm_loss"
def svm_loss(x, y):
    """Multiclass hinge loss with a margin of 1, averaged over the batch.

    x      (N, K)  scores, not to be modified
    y      (N,)    labels from 0 to K - 1

    Returns
    loss   a float
    dx     (N, K)  the gradient of the loss with respect to x
    """
    ### BEGIN SOLUTION
    rows = np.arange(len(y))
    margins = np.maximum(x - x[rows, y][:, None] + 1, 0)
    margins[rows, y] = 0
    dx = (margins > 0) / len(y)
    dx[rows, y] = -dx.sum(axis=1)
    return float(margins.sum()) / len(y), dx
    ### END SOLUTION


# %%
check("svm_loss")

# %% [markdown]
# The **softmax loss** turns the scores of an example into probabilities and takes the negative logarithm of
# the one that the right class gets, the *cross-entropy*:
#
# $$ p_{nk} = \frac{e^{x_{nk}}}{\sum_j e^{x_{nj}}}, \qquad L = -\frac1N\sum_n \log p_{ny_n}, \qquad
# \frac{\partial L}{\partial x_{nk}} = \frac{p_{nk} - [k = y_n]}{N}. $$
#
# $e^{1000}$ is infinite in floating point, and the logarithm of a probability that has been rounded to 0 is
# too. Subtract the largest score of each row first, which changes no probability, and compute
# $\log p = x - \log\sum_j e^{x_j}$ without a detour over $p$.


# %% question="softmax_loss"
def softmax_loss(x, y):
    """Mean cross-entropy of softmax probabilities; finite for scores of any size.

    x      (N, K)  scores, not to be modified
    y      (N,)    labels from 0 to K - 1

    Returns
    loss   a float
    dx     (N, K)  the gradient of the loss with respect to x
    """
    ### BEGIN SOLUTION
    rows = np.arange(len(y))
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dx = np.exp(log_p)
    dx[rows, y] -= 1
    return -float(log_p[rows, y].mean()), dx / len(y)
    ### END SOLUTION


# %%
check("softmax_loss")

# %% [markdown]
# **Side by side**: three classes, two of them with the scores 0 and 1, while the score of the right class
# goes up. The hinge loss is content once the margin is reached, and then its gradient is zero. The softmax
# loss is never content; it always asks for a little more.

# %% tags=["show"]
right = np.linspace(-3, 5, 321)
scores = np.stack([right, np.zeros_like(right), np.ones_like(right)], axis=1)
fig, axes = plt.subplots(1, 2, figsize=(10, 3))
for name, function, colour in (("hinge", svm_loss, "tab:orange"), ("softmax", softmax_loss, "tab:blue")):
    losses, slopes = [], []
    for row in scores:
        loss, dx = function(row[None], np.array([0]))
        losses.append(loss)
        slopes.append(dx[0, 0])
    axes[0].plot(right, losses, color=colour, label=name)
    axes[1].plot(right, slopes, color=colour, label=name)
axes[0].set(title="loss", xlabel="score of the right class")
axes[1].set(title="gradient with respect to that score", xlabel="score of the right class")
for ax in axes:
    ax.axvline(2, color="0.7", ls="--", lw=1)
    ax.legend()
axes[0].text(2.1, axes[0].get_ylim()[1] * 0.9, "margin reached", color="0.4", fontsize=9)
fig.tight_layout()
plt.show()

# %% [markdown]
# ### How a gradient is checked
#
# Every backward pass in this course is compared with a numerical derivative, and in assignment 6 you saw that
# a step $h$ of about $10^{-5}$ serves best. Why the **central difference**, though, when the one-sided one
# takes half the work?
#
# $$ f'(x) \approx \frac{f(x+h)-f(x)}{h}\;\;\text{(one-sided)}
# \qquad f'(x)\approx \frac{f(x+h)-f(x-h)}{2h}\;\;\text{(central)} $$
#
# Two errors work against each other. Cutting off the Taylor series costs the one-sided form an error of order
# $h$, the central one $h^2$. And because $f$ itself is known to 16 digits only, the difference of two nearly
# equal values is off by about $10^{-16}|f|$, which is divided by $h$. The picture shows both for your
# `softmax_loss`: the central difference with $h\approx10^{-5}$ agrees to ten digits, and the smallest step is
# the worst.

# %% tags=["show"]
rng = np.random.default_rng(3)
scores, labels = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
loss, analytic = softmax_loss(scores, labels)
steps = 10.0 ** np.arange(-15, 0.25, 0.25)
errors = {"one-sided": [], "central": []}
for h in steps:
    one_sided, central = np.zeros_like(scores), np.zeros_like(scores)
    for index in np.ndindex(scores.shape):
        moved = scores.copy()
        moved[index] += h
        above = softmax_loss(moved, labels)[0]
        moved[index] -= 2 * h
        below = softmax_loss(moved, labels)[0]
        one_sided[index], central[index] = (above - loss) / h, (above - below) / (2 * h)
    for name, numerical in (("one-sided", one_sided), ("central", central)):
        errors[name].append(np.abs(numerical - analytic).max() / np.abs(analytic).max())

fig, ax = plt.subplots(figsize=(7.5, 3.4))
for (name, error), colour in zip(errors.items(), ("tab:orange", "tab:blue"), strict=True):
    ax.loglog(steps, error, color=colour, label=name, marker=".", ms=4)
ax.text(3e-14, 2e-5, "rounding:\ngrows as 1/h", color="0.4", fontsize=9, ha="center")
ax.text(3e-2, 2e-8, "cut-off:\n$h$ or $h^2$", color="0.4", fontsize=9)
ax.set(xlabel="step h", ylabel="relative error", title="Numerical against analytic gradient")
ax.legend(loc="upper center")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 8.4 Dropout
#
# A large network learns its training set by heart, often by units that make up for each other's errors on
# just these examples. Dropout makes them unreliable: at each training step, each output of a layer is set to
# zero with probability $p$, independently of the others. A unit that cannot count on particular others must
# be of use by itself (Srivastava et al., 2014).
#
# When the network is used, nothing is dropped. But a unit that has learned to add up the outputs of half of
# the layer before it would then get twice as much. **Inverted** dropout settles that during training: what is
# kept is divided by $1-p$, so that the expected output is the input,
#
# $$
# \text{out} = x \cdot m, \qquad m = \begin{cases} 0 & \text{with probability } p\\
# \dfrac{1}{1-p} & \text{with probability } 1-p \end{cases}
# \qquad\Rightarrow\qquad \mathbb{E}[\text{out}] = (1-p)\cdot\frac{x}{1-p} + p\cdot0 = x,
# $$
#
# and at test time the layer does nothing at all. Here $p$ is the probability of *dropping*, as in PyTorch.
# (Some courses use the same letter for the probability of keeping. At $p=\tfrac12$ nobody notices; elsewhere
# the difference is large.)
#
# Draw numbers that are uniform between 0 and 1, one for each element of $x$, and compare them with $p$. A
# seed makes the mask repeatable, which a gradient check needs; without one each call draws another mask.


# %% question="dropout_forward"
def dropout_forward(x, dropout_param):
    """Inverted dropout.

    x              of any shape, not to be modified
    dropout_param  "mode"  "train": drop; "test": out is x
                   "p"     the probability that an element is dropped, 0 <= p < 1
                   "seed"  optional: calls with the same seed and shape draw the same mask. Without a seed,
                           draw from np.random, so that masks differ from call to call

    Returns
    out            the shape of x
    cache          whatever dropout_backward needs
    """
    ### BEGIN SOLUTION
    if dropout_param["mode"] == "test":
        return x, None
    p, seed = dropout_param["p"], dropout_param.get("seed")
    source = np.random if seed is None else np.random.default_rng(seed)
    mask = ((source.random(x.shape) >= p) / (1 - p)).astype(x.dtype)
    return x * mask, mask
    ### END SOLUTION


# %%
check("dropout_forward")

# %% [markdown]
# ### Backward
#
# What was multiplied by a constant on the way there is multiplied by the same constant on the way back. It
# must be the *same* mask, of course: draw none here. A layer in test mode can be differentiated too.


# %% question="dropout_backward"
def dropout_backward(dout, cache):
    """The gradient of dropout.

    dout   of any shape: upstream gradient, not to be modified
    cache  what dropout_forward returned

    Returns
    dx     the shape of dout
    """
    ### BEGIN SOLUTION
    return dout if cache is None else dout * cache
    ### END SOLUTION


# %%
check("dropout_backward")

# %% [markdown]
# **What dropout does to an image**, if the pixels were the outputs of a layer: the larger $p$, the fewer
# remain and the brighter they are. Below, a unit that averages 64 such outputs: over 2,000 masks its mean is
# what it would be without dropout, whatever $p$ is, while its spread grows. That spread is the noise that
# training has to live with.

# %% tags=["show"]
image = data["X_train"][0] * spread + mean_image
image = image.mean(axis=0) if image.ndim == 3 else image
drop_rates = (0.0, 0.25, 0.5, 0.75)
fig, axes = plt.subplots(2, 4, figsize=(11, 4.6), height_ratios=[1.3, 1])
outputs = np.random.default_rng(0).uniform(0, 2, size=64)
for column, p in zip(axes.T, drop_rates, strict=True):
    dropped, _ = dropout_forward(image, {"mode": "train", "p": p, "seed": 1})
    column[0].imshow(dropped, cmap="gray", vmin=0, vmax=2)
    column[0].set_title(f"p = {p}")
    column[0].set_xticks([])
    column[0].set_yticks([])
    masked, _ = dropout_forward(np.tile(outputs, (2000, 1)), {"mode": "train", "p": p, "seed": 2})
    averages = masked.mean(axis=1)
    column[1].hist(averages, bins=np.linspace(0, 2, 61), color="tab:blue", density=True)
    column[1].axvline(averages.mean(), color="black", lw=1)
    column[1].set_title(f"mean {averages.mean():.2f}, deviation {averages.std():.2f}", fontsize=10)
    column[1].set_yticks([])
    column[1].set_ylim(0, 8)
    column[1].set_xlabel("average of 64 outputs")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 8.5 A network of any depth
#
# Now the layers become a network. With $L-1$ hidden layers,
#
# $$
# \big[\;\text{affine}\to\text{ReLU}\to(\text{dropout})\;\big]\times(L-1)
# \;\to\;\text{affine}\to\text{softmax},
# $$
#
# the parameters are $W_1, b_1, \dots, W_L, b_L$, and the loss is the mean cross-entropy plus a penalty on
# large weights (of *every* $W$; biases do not make a network more complicated):
#
# $$ \text{loss} = \text{softmax loss} \;+\; \tfrac12\,\lambda\sum_{l=1}^{L}\lVert W_l\rVert^2,
# \qquad \frac{\partial}{\partial W_l}\;\tfrac12\lambda\lVert W_l\rVert^2 = \lambda W_l . $$
#
# The factor $\tfrac12$, which assignments 3 and 5 did not have, takes away the 2 of the derivative: the same
# penalty is now written with a `reg` ($\lambda$) twice as large.
#
# Write a loop that goes up through the layers and keeps each cache, and a loop that comes down and uses them,
# last one first. The network trains when it is given labels: only then is anything dropped.


# %% question="fully_connected_net"
class FullyConnectedNet:
    """[affine - relu - (dropout)] x (L - 1) - affine - softmax.

    hidden_dims   the numbers of units of the hidden layers, a list of any length, also empty
    input_dim     how many numbers one example has
    num_classes   K
    dropout       the probability of dropping an output of a hidden layer; 0: no dropout
    reg           strength of the L2 penalty: 1/2 * reg * (sum of squares of W1 ... WL)
    weight_scale  standard deviation of the weights at the start (normal, mean 0); biases start at 0
    dtype         of the parameters and of all computation
    seed          for np.random.default_rng; equal seeds give equal weights

    self.params         {"W1": (input_dim, hidden_dims[0]), "b1": (hidden_dims[0],), ...,
                         "WL": (hidden_dims[-1], K), "bL": (K,)}, where L = len(hidden_dims) + 1
    self.dropout_param  what every dropout layer of the network gets; its "mode" follows from the call
    """

    def __init__(
        self,
        hidden_dims,
        input_dim=3 * 32 * 32,
        num_classes=10,
        dropout=0.0,
        reg=0.0,
        weight_scale=1e-2,
        dtype=np.float64,
        seed=0,
    ):
        self.params = {}
        self.num_layers = len(hidden_dims) + 1
        self.use_dropout = dropout > 0
        self.dropout_param = {"mode": "train", "p": dropout}
        self.reg = reg
        self.dtype = dtype
        rng = np.random.default_rng(seed)
        ### BEGIN SOLUTION
        sizes = [input_dim, *hidden_dims, num_classes]
        for layer in range(1, self.num_layers + 1):
            shape = (sizes[layer - 1], sizes[layer])
            self.params[f"W{layer}"] = (weight_scale * rng.normal(size=shape)).astype(dtype)
            self.params[f"b{layer}"] = np.zeros(sizes[layer], dtype=dtype)
        ### END SOLUTION

    def loss(self, X, y=None):
        """Scores in test mode, or loss and gradients in training mode.

        X        (N, ...)  examples of any shape
        y        (N,)      labels, or None

        Returns
        scores   (N, K)  when y is None; else
        loss     a float
        grads    a dictionary with the keys and shapes of self.params
        """
        X = X.astype(self.dtype)
        self.dropout_param["mode"] = "test" if y is None else "train"
        ### BEGIN SOLUTION
        p, last = self.params, self.num_layers
        out, caches = X, []
        for layer in range(1, last):
            out, cache = affine_relu_forward(out, p[f"W{layer}"], p[f"b{layer}"])
            dropout_cache = None
            if self.use_dropout:
                out, dropout_cache = dropout_forward(out, self.dropout_param)
            caches.append((cache, dropout_cache))
        scores, last_cache = affine_forward(out, p[f"W{last}"], p[f"b{last}"])
        if y is None:
            return scores

        loss, dscores = softmax_loss(scores, y)
        grads = {}
        dout, grads[f"W{last}"], grads[f"b{last}"] = affine_backward(dscores, last_cache)
        for layer in range(last - 1, 0, -1):
            cache, dropout_cache = caches[layer - 1]
            if self.use_dropout:
                dout = dropout_backward(dout, dropout_cache)
            dout, grads[f"W{layer}"], grads[f"b{layer}"] = affine_relu_backward(dout, cache)
        for layer in range(1, last + 1):
            W = p[f"W{layer}"]
            loss += 0.5 * self.reg * float(np.sum(W * W))
            grads[f"W{layer}"] = grads[f"W{layer}"] + self.reg * W
        return loss, grads
        ### END SOLUTION


# %%
check("fully_connected_net")

# %% [markdown]
# **Two numbers to look at before any training.** A network with small weights knows nothing and gives each of
# $K$ classes about the same probability, so its loss must be $\log K$. And every gradient must agree with a
# numerical one: below, the relative error of each parameter of a network with three hidden layers, dropout
# and a penalty. (With a seed in `dropout_param` the mask stays the same from call to call. Without one, each
# of the evaluations would be of another function.)

# %% tags=["show"]
net = FullyConnectedNet([50, 50], D, K)
print(f"loss at the start: {net.loss(data['X_train'][:500], data['y_train'][:500])[0]:.4f}")
print(f"log {K}:            {np.log(K):.4f}\n")

rng = np.random.default_rng(0)
X, y = rng.normal(size=(4, 6)), np.array([0, 2, 1, 2])
net = FullyConnectedNet([5, 6, 4], 6, 3, dropout=0.25, reg=0.3, weight_scale=0.7)
net.params = {name: value + 0.1 * rng.normal(size=value.shape) for name, value in net.params.items()}
net.dropout_param["seed"] = 8
_, grads = net.loss(X, y)
for name, value in net.params.items():
    numerical = np.zeros_like(value)
    for index in np.ndindex(value.shape):
        before = value[index]
        value[index] = before + 1e-5
        above = net.loss(X, y)[0]
        value[index] = before - 1e-5
        numerical[index] = (above - net.loss(X, y)[0]) / 2e-5
        value[index] = before
    error = np.abs(grads[name] - numerical).max() / np.abs(numerical).max()
    print(f"{name}  {value.shape!s:<7} relative error {'below 1e-6' if error < 1e-6 else f'{error:.1e}'}")

# %% [markdown]
# ## 8.6 Update rules
#
# Up to now the gradient was used in the plainest way, one step against it: **stochastic gradient descent**,
#
# $$ w \leftarrow w - \eta\,\text{dw} \qquad (\eta\text{: the learning rate}). $$
#
# An update rule, too, can be a module: `update(w, dw, config)` returns the next `w` and `config`. The
# dictionary `config` holds the settings, such as the learning rate. It is also where a rule that needs a
# memory keeps it, in an entry of its own, from one call to the next: the function itself remembers nothing,
# and a network has one `config` for each of its parameters.
#
# Whether you change `w` in place or return a new array is up to you; return it in any case. Leave `dw` as it
# is.


# %% question="sgd"
def sgd(w, dw, config=None):
    """Stochastic gradient descent.

    w, dw   of the same shape, any: a parameter and its gradient
    config  "learning_rate" (default 0.01)

    Returns next_w, config
    """
    config = {"learning_rate": 1e-2, **(config or {})}
    ### BEGIN SOLUTION
    return w - config["learning_rate"] * dw, config
    ### END SOLUTION


# %%
check("sgd")

# %% [markdown]
# In a long narrow valley the gradient points across it rather than along it, and plain descent zigzags.
# **Momentum** remembers a *velocity*, a running sum of past steps. What points back and forth cancels, what
# points the same way builds up. With $v$ zero before the first call,
#
# $$ v \leftarrow \mu v - \eta\,\text{dw}, \qquad w \leftarrow w + v . $$


# %% question="sgd_momentum"
def sgd_momentum(w, dw, config=None):
    """Stochastic gradient descent with momentum.

    w, dw   of the same shape, any
    config  "learning_rate" (default 0.01), "momentum" (mu, default 0.9),
            "velocity": the running sum, of the shape of w; zeros before the first call

    Returns next_w, config
    """
    config = {"learning_rate": 1e-2, "momentum": 0.9, **(config or {})}
    ### BEGIN SOLUTION
    velocity = config.get("velocity", np.zeros_like(w))
    velocity = config["momentum"] * velocity - config["learning_rate"] * dw
    config["velocity"] = velocity
    return w + velocity, config
    ### END SOLUTION


# %%
check("sgd_momentum")

# %% [markdown]
# A single learning rate for all weights is a compromise: what is too much for one is too little for another.
# **RMSProp** (Hinton, in a lecture of 2012) keeps for each weight a running average of its squared gradients
# and divides by the root of it, so that every weight moves at about the same pace,
#
# $$ c \leftarrow \rho\,c + (1-\rho)\,\text{dw}^2, \qquad
# w \leftarrow w - \frac{\eta\,\text{dw}}{\sqrt c + \varepsilon}, $$
#
# element by element. The small $\varepsilon$ is there for weights whose gradient has always been zero.


# %% question="rmsprop"
def rmsprop(w, dw, config=None):
    """RMSProp: steps divided by the root of a running average of squared gradients.

    w, dw   of the same shape, any
    config  "learning_rate" (default 0.01), "decay_rate" (rho, default 0.99), "epsilon" (default 1e-8),
            "cache": the running average, of the shape of w; zeros before the first call

    Returns next_w, config
    """
    config = {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8, **(config or {})}
    ### BEGIN SOLUTION
    rho = config["decay_rate"]
    cache = rho * config.get("cache", np.zeros_like(w)) + (1 - rho) * dw**2
    config["cache"] = cache
    return w - config["learning_rate"] * dw / (np.sqrt(cache) + config["epsilon"]), config
    ### END SOLUTION


# %%
check("rmsprop")

# %% [markdown]
# **Adam** (Kingma and Ba, 2015, algorithm 1) does both: a running average $m$ of the gradients, as momentum
# has, and one of their squares, $v$, as RMSProp has. Both start at zero, and an average that starts at zero
# is too small at first: after $t$ steps with the same gradient $g$, $m = (1-\beta_1^t)\,g$. So Adam divides
# by just that factor. With $t$ the number of the step, 1 in the first one,
#
# $$
# m \leftarrow \beta_1 m + (1-\beta_1)\,\text{dw} \qquad v\leftarrow\beta_2 v + (1-\beta_2)\,\text{dw}^2
# $$
#
# $$
# \hat m = \frac{m}{1-\beta_1^t} \qquad \hat v = \frac{v}{1-\beta_2^t}
# \qquad w\leftarrow w - \frac{\eta\,\hat m}{\sqrt{\hat v}+\varepsilon}
# $$
#
# Keep $t$ in the config, starting from 0, and count it up *before* it is used.


# %% question="adam"
def adam(w, dw, config=None):
    """Adam: running averages of the gradient and of its square, both corrected for their start at zero.

    w, dw   of the same shape, any
    config  "learning_rate" (default 0.001), "beta1" (default 0.9), "beta2" (default 0.999),
            "epsilon" (default 1e-8),
            "m", "v": the running averages, of the shape of w; zeros before the first call
            "t": how many steps have been made; 0 before the first call

    Returns next_w, config
    """
    config = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **(config or {})}
    ### BEGIN SOLUTION
    beta1, beta2 = config["beta1"], config["beta2"]
    t = config.get("t", 0) + 1
    m = beta1 * config.get("m", np.zeros_like(w)) + (1 - beta1) * dw
    v = beta2 * config.get("v", np.zeros_like(w)) + (1 - beta2) * dw**2
    config.update(t=t, m=m, v=v)
    corrected_m, corrected_v = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - config["learning_rate"] * corrected_m / (np.sqrt(corrected_v) + config["epsilon"]), config
    ### END SOLUTION


# %%
check("adam")

# %% [markdown]
# **Four ways down a valley** that is 25 times as steep across as along, each for 60 steps. Plain descent
# cannot take a larger step without being thrown out, and creeps along the floor. Momentum overshoots, and
# arrives. The other two do not care about steepness at all: their first step goes diagonally, the same way in
# both coordinates.

# %% tags=["show"]
curvature = np.array([1.0, 25.0])
rules = {
    "SGD": (sgd, {"learning_rate": 0.035}, "tab:gray"),
    "momentum": (sgd_momentum, {"learning_rate": 0.012, "momentum": 0.85}, "tab:orange"),
    "RMSProp": (rmsprop, {"learning_rate": 0.2, "decay_rate": 0.9}, "tab:green"),
    "Adam": (adam, {"learning_rate": 0.4, "beta1": 0.8, "beta2": 0.95}, "tab:blue"),
}
fig, axes = plt.subplots(1, 2, figsize=(12, 3.6), width_ratios=[1.7, 1])
grid = np.meshgrid(np.linspace(-8.8, 2, 200), np.linspace(-2.4, 2.4, 120))
height = 0.5 * (curvature[0] * grid[0] ** 2 + curvature[1] * grid[1] ** 2)
axes[0].contour(*grid, height, levels=np.geomspace(0.3, 100, 10), colors="0.85", linewidths=0.8)
for name, (rule, config, colour) in rules.items():
    point, path = np.array([-8.0, 1.8]), []
    for _ in range(60):
        path.append(point.copy())
        point, config = rule(point, curvature * point, config)
    path = np.array(path)
    axes[0].plot(*path.T, ".-", color=colour, label=name, ms=4, lw=1.2)
    axes[1].plot(0.5 * path**2 @ curvature, color=colour, label=name)
axes[0].plot(0, 0, "x", color="black")
axes[0].set(title="the way of each rule", xlabel="$w_1$", ylabel="$w_2$")
axes[1].set(title="the function's value", xlabel="step", yscale="log", ylim=(1e-6, 200))
axes[1].legend(fontsize=9)
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 8.7 The Solver
#
# What is left is the loop that you have written in nearly every assignment so far. In NumPy this is the last
# time: a `Solver` trains *any* model that has a dictionary `params` and a method `loss(X, y)`. A network of
# your own, one of the next assignment, or the smallest one that there is:


# %%
class LinearClassifier:
    """A single affine layer and the softmax loss: the smallest model that a Solver can train."""

    def __init__(self, input_dim, num_classes):
        self.params = {"W1": np.zeros((input_dim, num_classes)), "b1": np.zeros(num_classes)}

    def loss(self, X, y=None):
        """Scores (N, K) when y is None, else the loss and the gradients."""
        scores, cache = affine_forward(X, self.params["W1"], self.params["b1"])
        if y is None:
            return scores
        loss, upstream = softmax_loss(scores, y)
        _, dw, db = affine_backward(upstream, cache)
        return loss, {"W1": dw, "b1": db}


# %% [markdown]
# An **epoch** is a walk through the training set in random order, cut into batches of `batch_size` examples:
# $\max(\lfloor N/\text{batch\_size}\rfloor, 1)$ steps. What does not fill a batch is left out; the next
# epoch has another order. A **step** computes loss and gradients of a batch and updates every parameter by
# the update rule, each with its *own* config, from which the rule takes back its memory.
#
# After each epoch the learning rate is multiplied by `lr_decay`, and the accuracy is measured on the
# validation set and on a sample of the training set. Training for longer is not always better, so the Solver
# keeps a **copy** of the parameters whenever the validation accuracy is higher than ever before, and puts the
# best ones into the model at the end.


# %% question="solver"
class Solver:
    """Trains a model.

    model              has `params`, a dict of arrays, and `loss`: loss(X) gives scores (N, K), loss(X, y)
                       gives the loss and the gradients, a dict with the keys of params
    data               a dict: "X_train" (N, ...), "y_train" (N,), "X_val", "y_val"
    update_rule        "sgd", "sgd_momentum", "rmsprop" or "adam"
    optim_config       the settings of the update rule, such as {"learning_rate": 1e-3}; not to be modified
    lr_decay           each learning rate is multiplied by it after each epoch
    batch_size         examples in a batch
    num_epochs         how many epochs `train` runs
    num_train_samples  the training accuracy is measured on so many examples, drawn at random (on all of them
                       if there are fewer)
    verbose            whether to print a line after each epoch
    seed               for the order of the examples

    After `train`:
    loss_history       the loss of each step, num_epochs * max(N // batch_size, 1) floats
    train_acc_history  the accuracy on the training set after each epoch, 0 to 1
    val_acc_history    the accuracy on the validation set after each epoch
    best_val_acc       the highest of these
    best_params        a copy of the parameters at that time, which model.params holds too
    """

    def __init__(
        self,
        model,
        data,
        update_rule="sgd",
        optim_config=None,
        lr_decay=1.0,
        batch_size=100,
        num_epochs=10,
        num_train_samples=1000,
        verbose=False,
        seed=0,
    ):
        self.model = model
        self.X_train, self.y_train = data["X_train"], data["y_train"]
        self.X_val, self.y_val = data["X_val"], data["y_val"]
        self.update_rule = {"sgd": sgd, "sgd_momentum": sgd_momentum, "rmsprop": rmsprop, "adam": adam}[
            update_rule
        ]
        self.lr_decay = lr_decay
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.num_train_samples = num_train_samples
        self.verbose = verbose
        self.rng = np.random.default_rng(seed)
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.best_val_acc, self.best_params = 0.0, {}
        # One config for each parameter, each with the settings in optim_config
        ### BEGIN SOLUTION
        self.optim_configs = {name: dict(optim_config or {}) for name in model.params}
        ### END SOLUTION

    def step(self, batch):
        """Make one step with the training examples `batch`, an array of indices, and record the loss."""
        ### BEGIN SOLUTION
        loss, grads = self.model.loss(self.X_train[batch], self.y_train[batch])
        self.loss_history.append(loss)
        for name, w in self.model.params.items():
            self.model.params[name], self.optim_configs[name] = self.update_rule(
                w, grads[name], self.optim_configs[name]
            )
        ### END SOLUTION

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        """The share of examples whose highest score is that of their label, a number from 0 to 1.

        X            (N, ...)  examples
        y            (N,)      labels
        num_samples  if there are more examples, measure on so many of them, drawn at random without
                     repetition; None: on all
        batch_size   hand the model at most so many at a time, so that memory suffices
        """
        ### BEGIN SOLUTION
        if num_samples is not None and len(X) > num_samples:
            sample = self.rng.choice(len(X), num_samples, replace=False)
            X, y = X[sample], y[sample]
        predictions = [
            self.model.loss(X[start : start + batch_size]).argmax(axis=1)
            for start in range(0, len(X), batch_size)
        ]
        return float(np.mean(np.concatenate(predictions) == y))
        ### END SOLUTION

    def train(self):
        """Run num_epochs epochs, then put the best parameters into the model."""
        ### BEGIN SOLUTION
        N = len(self.X_train)
        for epoch in range(1, self.num_epochs + 1):
            order = self.rng.permutation(N)
            for i in range(max(N // self.batch_size, 1)):
                self.step(order[i * self.batch_size : (i + 1) * self.batch_size])
            for config in self.optim_configs.values():
                config["learning_rate"] *= self.lr_decay
            self.train_acc_history.append(
                self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
            )
            val_acc = self.check_accuracy(self.X_val, self.y_val)
            self.val_acc_history.append(val_acc)
            if val_acc > self.best_val_acc or not self.best_params:
                self.best_val_acc = val_acc
                self.best_params = {name: w.copy() for name, w in self.model.params.items()}
            if self.verbose:
                print(
                    f"epoch {epoch:2d} of {self.num_epochs}: loss {self.loss_history[-1]:.3f}, "
                    f"accuracy {self.train_acc_history[-1]:.1%} in training, {val_acc:.1%} in validation"
                )
        self.model.params = {name: w.copy() for name, w in self.best_params.items()}
        ### END SOLUTION


# %%
check("solver")

# %% [markdown]
# **Fifty images by heart.** Before any long run: a network that is right, trained by a Solver that is right,
# learns a handful of images without an error. If it does not, look for the mistake now, while a run takes a
# second. What it then knows about images that it has not seen is another matter.

# %% tags=["show"]
np.random.seed(8)  # for dropout, whose masks come from np.random
fifty = {**data, "X_train": data["X_train"][:50], "y_train": data["y_train"][:50]}
solver = Solver(
    FullyConnectedNet([100, 100], D, K, weight_scale=0.1 if D < 100 else 0.02),
    fifty,
    update_rule="adam",
    optim_config={"learning_rate": 3e-3},
    batch_size=25,
    num_epochs=30,
)
solver.train()

fig, axes = plt.subplots(1, 2, figsize=(10, 3))
axes[0].plot(solver.loss_history, ".-", ms=4)
axes[0].axhline(np.log(K), color="0.5", ls="--", lw=1)
axes[0].text(len(solver.loss_history), np.log(K), f"log {K}", ha="right", va="bottom", color="0.4")
axes[0].set(title="50 images: loss", xlabel="step", ylim=(0, None))
epochs = range(1, 31)
axes[1].plot(epochs, solver.train_acc_history, label="the 50 images")
axes[1].plot(epochs, solver.val_acc_history, label="validation")
axes[1].set(title="accuracy", xlabel="epoch", ylim=(0, 1.03))
axes[1].legend(loc="lower right")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 8.8 Experiments
#
# **Which update rule?** The same network of four hidden layers from the same start, four epochs with each of
# the four rules at each of nine learning rates. Left, the loss with the rate that turned out best for the
# rule; right, what the network knows at the end for each rate. Two lessons. Rules must not be compared at one
# learning rate: at 0.003 plain descent looks hopeless and Adam perfect, at 0.3 it is the other way round. And
# with a rate that suits it, every rule gets far on a task as easy as this one. What Adam spares you is mostly
# the search: its steps are about as long as the learning rate says, whatever the size of the gradients, so
# that 0.001 is a fair guess for most networks.

# %% tags=["show"]
some = slice(0, 1188)
small = {**data, "X_train": data["X_train"][some], "y_train": data["y_train"][some]}
rates = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1]
colours = {"sgd": "tab:gray", "sgd_momentum": "tab:orange", "rmsprop": "tab:green", "adam": "tab:blue"}

fig, axes = plt.subplots(1, 2, figsize=(11, 3.4))
for rule, colour in colours.items():
    runs = []
    for rate in rates:
        solver = Solver(
            FullyConnectedNet([100] * 4, D, K, weight_scale=0.12 if D < 100 else 0.05),
            small,
            update_rule=rule,
            optim_config={"learning_rate": rate},
            batch_size=50,
            num_epochs=4,
        )
        with np.errstate(all="ignore"):  # with too large a rate the weights overflow
            solver.train()
        runs.append(solver)
    reached = [solver.val_acc_history[-1] for solver in runs]
    best = int(np.argmax(reached))
    axes[0].plot(runs[best].loss_history, color=colour, label=f"{rule}, {rates[best]:g}")
    axes[1].semilogx(rates, reached, ".-", color=colour, label=rule)
axes[0].set(title="loss at the best rate", xlabel="step", ylim=(0, 2.6))
axes[0].legend(title="rule, learning rate", fontsize=9)
axes[1].set(title="validation accuracy after four epochs", xlabel="learning rate", ylim=(0, 1.02))
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
fig.tight_layout()
plt.show()

# %% [markdown]
# **Does dropout help?** On clean digits hardly: there is little to be learned by heart. So let us make it
# hard: 30 % of the training labels are replaced by random ones, as a careless annotator might. The labels of
# the validation set stay right. A network without dropout first learns the digits, and then, one by one, the
# wrong labels as well; you see it where the validation accuracy turns down. With dropout the wrong labels
# are hard to hold on to.

# %% tags=["show"]
rng = np.random.default_rng(0)
careless = small["y_train"].copy()
wrong = rng.random(len(careless)) < 0.3
careless[wrong] = rng.integers(0, K, size=wrong.sum())
noisy = {**small, "y_train": careless}

fig, axes = plt.subplots(1, 2, figsize=(11, 3.4))
for p, colour in ((0.0, "tab:gray"), (0.25, "tab:green"), (0.5, "tab:blue"), (0.75, "tab:orange")):
    solver = Solver(
        FullyConnectedNet([200, 200], D, K, dropout=p, weight_scale=0.1 if D < 100 else 0.02),
        noisy,
        update_rule="adam",
        optim_config={"learning_rate": 1e-3},
        batch_size=50,
        num_epochs=30,
    )
    solver.train()
    axes[0].plot(range(1, 31), solver.train_acc_history, color=colour, label=f"p = {p}")
    axes[1].plot(range(1, 31), solver.val_acc_history, color=colour, label=f"p = {p}")
share_right = np.mean(careless == small["y_train"])
axes[0].axhline(share_right, color="0.5", ls="--", lw=1, label=f"{share_right:.0%} of the labels are right")
axes[0].legend(loc="lower right")
axes[0].set(title="agreement with the training labels", xlabel="epoch", ylim=(0.3, 1))
axes[1].set(title="accuracy on right labels (validation)", xlabel="epoch", ylim=(0.6 if D < 100 else 0, 1))
axes[1].legend(loc="lower right")
fig.tight_layout()
plt.show()

# %% [markdown]
# **The real run**: Adam, two hidden layers, a little dropout, a learning rate that falls. The test set is
# looked at once, at the very end.

# %% tags=["show"]
solver = Solver(
    FullyConnectedNet(
        [200, 100], D, K, dropout=0.25, reg=1e-3, weight_scale=0.1 if D < 100 else 0.02, dtype=np.float32
    ),
    data,
    update_rule="adam",
    optim_config={"learning_rate": 1e-3},
    lr_decay=0.95,
    batch_size=50,
    num_epochs=25,
)
solver.train()
test_accuracy = solver.check_accuracy(X_test, y_test)

fig = plt.figure(figsize=(12, 3.4), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.2, 1])
axes = left.subplots(1, 2)
axes[0].plot(solver.loss_history, color="tab:blue", lw=0.6)
axes[0].set(title="loss", xlabel="step", yscale="log")
axes[1].plot(range(1, 26), solver.train_acc_history, color="tab:gray", label="training")
axes[1].plot(range(1, 26), solver.val_acc_history, color="tab:blue", label="validation")
axes[1].set(title="accuracy", xlabel="epoch", ylim=(None, 1.01))
axes[1].legend(loc="lower right")
predictions = solver.model.loss(X_test).argmax(axis=1)
mistaken = np.flatnonzero(predictions != y_test)
for ax, i in zip(right.subplots(2, 3).flat, mistaken, strict=False):
    show_image(ax, X_test[i], f"{class_names[y_test[i]]} → {class_names[predictions[i]]}", "tab:red")
right.suptitle(f"some of its {len(mistaken)} errors in {len(y_test)}: class → answer", fontsize=10)
fig.suptitle(f"validation {solver.best_val_acc:.1%}, test {test_accuracy:.1%}")
plt.show()

# %% [markdown]
# **What the first layer looks for.** Each hidden unit has one weight for each pixel, so its weights can be
# looked at as an image: blue where ink speaks for the unit, red where it speaks against it. Above, the
# twelve units of this network with the largest weights. The random numbers that they started from are still
# there; the network has bent them as far as it had to and no further. Below, those of a smaller network
# whose penalty was twenty times as strong: what is of no use has decayed, and blue strokes remain, with red
# beside them. Each unit has learned its stroke for one place only; that is what the next assignment changes.

# %% tags=["show"]
penalised = Solver(
    FullyConnectedNet([100], D, K, reg=2e-2, weight_scale=0.02),
    data,
    update_rule="adam",
    optim_config={"learning_rate": 1e-3},
    batch_size=50,
    num_epochs=25,
)
penalised.train()

fig, axes = plt.subplots(2, 12, figsize=(12, 2.4))
for row, (name, trained) in zip(axes, {"reg = 0.001": solver, "reg = 0.02": penalised}.items(), strict=True):
    W1 = trained.model.params["W1"]
    strongest = np.argsort(-np.linalg.norm(W1, axis=0))[:12]
    for ax, unit in zip(row, strongest, strict=True):
        weights = W1[:, unit].reshape(mean_image.shape)
        if weights.ndim == 3:
            weights = weights.transpose(1, 2, 0)
            ax.imshow((weights - weights.min()) / np.ptp(weights))
        else:
            limit = np.abs(weights).max()
            ax.imshow(weights, cmap="RdBu", vmin=-limit, vmax=limit)
        ax.set_xticks([])
        ax.set_yticks([])
    row[0].set_ylabel(name, fontsize=10)
fig.tight_layout()
plt.show()

# %% [markdown]
# **How deep, and from which start?** Each network above got its `weight_scale`, the scale of the weights
# at the start, by hand. How much depends on it? Here are networks of 1 to 8 hidden layers with 64 units
# each, from seven scales, and what they know after four epochs. Too small, and the signal dies out on its
# way through the layers; too large, and it grows until a few units drown all others. The deeper the
# network, the narrower the ridge between the two.

# %% tags=["show"]
depths, scales = [1, 2, 3, 4, 6, 8], [0.01, 0.03, 0.1, 0.18, 0.3, 0.6, 1.2]
reached = np.zeros((len(depths), len(scales)))
for i, depth in enumerate(depths):
    for j, scale in enumerate(scales):
        solver = Solver(
            FullyConnectedNet([64] * depth, D, K, weight_scale=scale),
            small,
            update_rule="adam",
            optim_config={"learning_rate": 1e-3},
            num_epochs=4,
        )
        solver.train()
        reached[i, j] = solver.val_acc_history[-1]

fig, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
image = ax.imshow(reached, cmap="viridis", vmin=0, vmax=1, aspect="auto")
for (i, j), value in np.ndenumerate(reached):
    ax.text(j, i, f"{value:.0%}", ha="center", va="center", color="black" if value > 0.6 else "white")
ax.set_xticks(range(len(scales)), scales)
ax.set_yticks(range(len(depths)), depths)
ax.set(xlabel="weight_scale", ylabel="hidden layers", title="validation accuracy after four epochs")
fig.colorbar(image)
plt.show()

# %% [markdown]
# ## What you have now
#
# Layers that know nothing of each other, a network of any depth made from them, four update rules and a
# Solver. From here on a new idea is a new layer, and everything else stays.
#
# Two things stay open. The ridge in the last picture lies at $0.18 \approx \sqrt{2/64}$ for deep
# networks: that is no accident but the scale of assignment 6, for 64 inputs. The next assignment takes it
# to convolutions, and adds a layer that makes the ridge wide. And these networks see an image as a bag of
# pixels, in which a stroke has to be learned anew for each place where it can be. On CIFAR-10 that ends
# somewhat above 50 %.

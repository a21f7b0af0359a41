# %% [markdown]
# # 7. Automatic differentiation
#
# In assignment 6 you wrote a backward function for each layer, and then one for the whole network. The first
# took thought. The second took none: it was the forward pass, read from the end. Still it had to be written,
# and it will have to be written again for every network that looks different: one that uses a weight twice,
# one with a path around a layer, one with another loss. Each time is a chance for an error.
#
# What takes no thought is work for a computer. All it has to know is what was computed, in which order, and
# from what; with that it can hand each gradient on to where the numbers came from.
#
# In this assignment you write an engine that does it, the kind that PyTorch and JAX are built on: a program
# computes as usual, the engine takes notes, and then walks back through them. What is left to derive are the
# gradients of some fifteen small **ops**, and you know most of them. At the end a network runs on your
# engine, as deep as you like, and shows why the world went from sigmoid to ReLU.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import operator
import traceback

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## What you will build
#
# | | |
# |---|---|
# | `Tensor(data, requires_grad=False)` | a node of the graph; `data` is a number, a list or an array |
# | `t.data`, `t.grad`, `t.requires_grad` | numbers; gradient (an array, or `None`); whether one is wanted |
# | `t.backward(gradient=None)` | goes back from `t` and **adds** to the `grad` of all that led to it |
# | `t.zero_grad()` | forgets the gradient |
# | `a + b`, `a - b`, `a * b`, `a / b`, `a @ b`, `-a` | a new tensor; one side may be a number or an array |
# | `t.sum(axis, keepdims)`, `t.mean(axis, keepdims)` | as NumPy has them |
# | `exp(t)`, `log(t)`, `relu(t)`, `sigmoid(t)`, `tanh(t)` | element by element |
# | `softmax_cross_entropy(scores, labels)` | the loss of a classifier |
# | `MLP`, `train` | a network on top of all this, and its training |
#
# **The checks use this table and nothing else** (and, to begin with, one small function called
# `unbroadcast`). The notebook suggests a design, in small steps; if you have a better one, build that, and
# change any cell you like, as long as what stands in the table works, and with it the three things that are
# given: `evaluate`, `square` and `LinearClassifier`.
#
# For grading, your code runs in a process of its own, where the grader cannot write `a * b` with your
# tensors. So it writes down what it wants as a list of steps, and the function below carries them out, with
# your tensors and your ops. You can use it yourself: we shall draw graphs with it.


# %%
class NotWritten(Exception):
    """A step needs a function that is still a stub."""


def own_gradient(tensor):
    """A copy of a tensor's gradient as it is now, or None."""
    return None if tensor.grad is None else np.array(tensor.grad)


STEPS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "matmul": operator.matmul,
    "sum": lambda tensor, **settings: tensor.sum(**settings),
    "mean": lambda tensor, **settings: tensor.mean(**settings),
    "backward": lambda tensor, gradient=None: tensor.backward(gradient),
    "zero_grad": lambda tensor: tensor.zero_grad(),
    "grad": own_gradient,
    "requires_grad": lambda tensor: tensor.requires_grad,
}


def evaluate(steps, inputs, constants=()):
    """Carry out steps with tensors, and return all results as plain arrays.

    steps      a list of (name of the result, what to do, operands ...). What to do is a key of STEPS or the
               name of a function of one or two tensors, such as "exp". An operand is the name of an input or
               of an earlier result, or a number or array as it is. A dictionary at the end holds settings:
                   [("h", "matmul", "x", "w"), ("out", "sum", "h", {"axis": 0}), ("", "backward", "out")]
               A loop is written (how often, list of steps).
    inputs     {"x": array, ...}
    constants  the names of those inputs that do not require a gradient

    Returns
    results    {name: array}, with every input and the last result of each name
    """
    found = {name: Tensor(data, requires_grad=name not in constants) for name, data in inputs.items()}
    unrolled = []
    for step in steps:
        unrolled += step[1] * step[0] if isinstance(step[0], int) else [step]
    for result, what, *operands in unrolled:
        settings = operands.pop() if operands and isinstance(operands[-1], dict) else {}
        operands = [found[operand] if isinstance(operand, str) else operand for operand in operands]
        try:
            found[result] = (STEPS.get(what) or globals()[what])(*operands, **settings)
        except NotImplementedError as error:
            stub = traceback.extract_tb(error.__traceback__)[-1].name
            raise NotWritten(f"{stub} is not written yet.") from None
    for name, value in found.items():
        found[name] = np.array(value.data) if isinstance(value, Tensor) else value
    return found


# %% [markdown]
# ## 7.1 One rule: gradients of the same thing add up
#
# If a number is used in two places, a small change of it changes the result twice, and the two changes add
# up. So the gradient of something that is used several times is the **sum** of what comes back from each
# place. You will meet this rule twice today, here in the small.
#
# NumPy uses numbers several times without being asked: it **broadcasts**. When a row of shape $(4,)$ is added
# to a matrix of shape $(3, 4)$, each number of the row goes into three sums. What comes back is a gradient
# with the shape of the *result*, $(3, 4)$, and each number of the row has to collect its three.
#
# Two things happen in broadcasting, and both have to be undone:
#
# * axes that are missing **on the left** are put there: $(4,) \to (1, 4)$;
# * axes of size 1 are stretched to the size of the other operand: $(1, 4) \to (3, 4)$.
#
# | operand | result | collect by |
# |---|---|---|
# | $(4,)$ | $(3, 4)$ | a sum over axis 0, which vanishes |
# | $(3, 1)$ | $(3, 4)$ | a sum over axis 1, which stays, with size 1 |
# | $(\,)$, a single number | $(3, 4)$ | a sum over everything |
# | $(5, 1)$ | $(2, 5, 3)$ | both: axis 0 vanishes, the last axis stays with size 1 |


# %% question="unbroadcast"
def unbroadcast(gradient, shape):
    """Sum a gradient down to the shape that its operand had before broadcasting.

    gradient  an array in the shape of the result, not to be modified
    shape     the operand's own shape, a tuple; NumPy can broadcast it to the shape of gradient

    Returns
    an array of that shape: element by element the sum of all entries of gradient that this element went into
    """
    ### BEGIN SOLUTION
    if gradient.shape == shape:
        return gradient
    missing = gradient.ndim - len(shape)
    stretched = [missing + axis for axis, size in enumerate(shape) if size == 1]
    return gradient.sum(axis=(*range(missing), *stretched)).reshape(shape)
    ### END SOLUTION


# %%
check("unbroadcast")

# %% [markdown]
# **There and back.** A column and a row are added. On the way there each number of theirs is copied into the
# whole table; on the way back, everything that arrives at its copies is summed.

# %% tags=["show"]
column, row = np.array([[10.0], [20.0], [30.0]]), np.array([[1.0, 2.0, 3.0, 4.0]])
arriving = np.array([[1.0, 0.0, 2.0, -1.0], [3.0, 1.0, 0.0, 0.0], [0.0, -2.0, 1.0, 5.0]])


def show_table(ax, values, title, colours):
    """A small array with its numbers."""
    limit = np.abs(values).max() * 1.6
    ax.imshow(values, cmap=colours, vmin=-limit if colours == "PuOr_r" else 0, vmax=limit)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:g}", ha="center", va="center")
    ax.set(xticks=[], yticks=[], frame_on=False)
    ax.set_title(f"{title}\n{values.shape}", fontsize=9.5)


fig, axes = plt.subplots(2, 3, figsize=(8.5, 5), width_ratios=[1, 4, 4], layout="constrained")
show_table(axes[0, 0], column, "column", "Blues")
show_table(axes[0, 1], row, "row", "Blues")
show_table(axes[0, 2], column + row, "column + row", "Blues")
show_table(axes[1, 2], arriving, "gradient that arrives", "PuOr_r")
show_table(axes[1, 1], unbroadcast(arriving, row.shape), "gradient of the row", "PuOr_r")
show_table(axes[1, 0], unbroadcast(arriving, column.shape), "gradient of\nthe column", "PuOr_r")
plt.show()

# %% [markdown]
# ## 7.2 A tensor that remembers
#
# Every computation, however long, is made of ops: small steps with one or two operands. If each result
# remembers its operands and the op that made it, the results form a **graph**, and the graph is all we need
# for going back.
#
# An op consists of the two functions you know from the assignment before, on plain arrays:
#
# * forward: arrays in, `(out, cache)` back;
# * backward: `(dout, cache)` in, where `dout` is the upstream gradient $\partial L/\partial\,\text{out}$; the
#   gradients of the operands back, each in the shape of its operand. (One operand: just the array. Two: a
#   tuple of two.)
#
# A third function, the one that users call, hands both to `apply`, which you will write. Here is an op as an
# example, complete: the square, $y = a^2$ with $\frac{\partial L}{\partial a} = \frac{\partial L}{\partial
# y}\cdot 2a$.


# %% tags=["given"]
def square_forward(a):
    """Any shape. Returns out, cache."""
    return a * a, a


def square_backward(dout, cache):
    """dout: upstream gradient. Returns da."""
    a = cache
    return dout * 2 * a


def square(a):
    """The square of each element of a tensor."""
    return apply(square_forward, square_backward, a)


# %% [markdown]
# Now the tensor. The operators are there: Python calls `a.__add__(b)` for `a + b`, and `b.__radd__(a)` when
# `a` is a plain number. What a tensor has to remember, besides the three attributes in its docstring, is up
# to you. Tensors that nobody computed (data, weights) are the **leaves** of the graph.


# %% question="tensor"
class Tensor:
    """An array that remembers how it was computed.

    data           its numbers: an array of floats, also when it was made from integers
    requires_grad  True or False: whether its gradient is wanted
    grad           its gradient, an array in the shape of data; None as long as there is none
    """

    __array_ufunc__ = None  # leaves `array + tensor` to Tensor.__radd__

    def __init__(self, data, requires_grad=False):
        ### BEGIN SOLUTION
        self.data = np.asarray(data, dtype=float)
        self.requires_grad = requires_grad
        self.grad = None
        # How it came about. A leaf has no operands, and nothing goes further back from it.
        self.operands = ()
        self.backward_step = None
        self.cache = None
        ### END SOLUTION

    def backward(self, gradient=None):
        """Send a gradient back from here; see backpropagate."""
        backpropagate(self, gradient)

    def zero_grad(self):
        """Forget the gradient."""
        self.grad = None

    def __add__(self, other):
        return add(self, other)

    def __radd__(self, other):
        return add(other, self)

    def __sub__(self, other):
        return sub(self, other)

    def __rsub__(self, other):
        return sub(other, self)

    def __mul__(self, other):
        return mul(self, other)

    def __rmul__(self, other):
        return mul(other, self)

    def __truediv__(self, other):
        return div(self, other)

    def __rtruediv__(self, other):
        return div(other, self)

    def __neg__(self):
        return mul(-1.0, self)

    def __matmul__(self, other):
        return matmul(self, other)

    def __rmatmul__(self, other):
        return matmul(other, self)

    def sum(self, axis=None, keepdims=False):
        """The sum over all elements, or over an axis or several, as NumPy has it."""
        return apply(sum_forward, sum_backward, self, axis=axis, keepdims=keepdims)

    def mean(self, axis=None, keepdims=False):
        """The mean over all elements, or over an axis or several, as NumPy has it."""
        return apply(mean_forward, mean_backward, self, axis=axis, keepdims=keepdims)

    def __repr__(self):
        return f"Tensor({self.data}, requires_grad={self.requires_grad})"


# %% [markdown]
# `apply` carries out an op. It
#
# 1. makes tensors of those operands that are none, such as the 2 in `2 * x` (a constant: no gradient);
# 2. calls `forward` with the *arrays* of its operands, and with the settings, if there are any;
# 3. puts the result into a new tensor, which requires a gradient **if at least one of the operands does**;
# 4. lets this tensor remember what you will need on the way back.


# %% question="tensor"
def apply(forward, backward, *operands, **settings):
    """Carry out an op on tensors and remember it.

    forward   a function: forward(*arrays, **settings) -> (out, cache)
    backward  a function: backward(dout, cache) -> the gradient of the operand, or a tuple, one for each
    operands  tensors, or numbers or arrays, which are constants

    Returns
    a Tensor with out as its data
    """
    ### BEGIN SOLUTION
    operands = [operand if isinstance(operand, Tensor) else Tensor(operand) for operand in operands]
    out, cache = forward(*[operand.data for operand in operands], **settings)
    result = Tensor(out, requires_grad=any(operand.requires_grad for operand in operands))
    if result.requires_grad:
        result.operands = operands
        result.backward_step = backward
        result.cache = cache
    return result
    ### END SOLUTION


# %% [markdown]
# Then the first op of your own, $y = a + b$. A change of either operand changes the sum by as much, so each
# gets the upstream gradient as it is. Well, almost: $a$ and $b$ may have been broadcast, and you know what to
# do about that. What does the cache have to hold?


# %% question="tensor"
def add_forward(a, b):
    """a + b, with broadcasting. Returns out, cache. The operands are not to be modified."""
    ### BEGIN SOLUTION
    return a + b, (a.shape, b.shape)
    ### END SOLUTION


def add_backward(dout, cache):
    """dout: upstream gradient, in the shape of a + b. Returns da in the shape of a, db in the shape of b."""
    ### BEGIN SOLUTION
    a_shape, b_shape = cache
    return unbroadcast(dout, a_shape), unbroadcast(dout, b_shape)
    ### END SOLUTION


def add(a, b):
    """The sum of two tensors."""
    return apply(add_forward, add_backward, a, b)


# %%
check("tensor")

# %% [markdown]
# ## 7.3 The way back
#
# We have a result $L$ and want $\partial L/\partial t$ for every tensor $t$ that led to it. The chain rule
# says how a gradient passes one op: that is its backward function. The rule from section 7.1 says what
# happens where a tensor $t$ was used in several ops $u$:
#
# $$
# \frac{\partial L}{\partial t} \;=\; \sum_{u \text{ uses } t} \frac{\partial L}{\partial u}\,
# \frac{\partial u}{\partial t}
# $$
#
# So a tensor may send its gradient on **only when all of it has arrived**, that is, after all the ops that
# used it. Visit the graph in an order in which every tensor comes after all of its users: the reverse of a
# **topological order**. There are several ways to find one. A depth-first search, which lists a tensor after
# all of its operands, gives a topological order. So does the order in which the tensors were made. Or count,
# for each tensor, how many of its users are still to come.
#
# Four traps on the way:
#
# * `x + x` uses $x$ twice.
# * Graphs get deep: a recurrent network on a long text has ten thousand ops in a row. Python gives up at
#   about 1,000 nested calls, so **no recursion**: keep a stack of your own.
# * Visit each tensor once. The number of *paths* through a graph doubles with every `x = x + x`; after sixty
#   of these, walking path by path takes longer than the universe has existed.
# * `backward` **adds** to `grad`, so that gradients of several losses or batches can be collected. A second
#   `backward()` therefore doubles every gradient. Doubles, not more: what the first pass left behind in the
#   middle of the graph must not be sent back a second time.


# %% question="backpropagate"
def backpropagate(output, gradient=None):
    """Add the gradient of output to the grad of every tensor that output was computed from.

    output    a Tensor
    gradient  the upstream gradient of output: an array in its shape, not to be modified; ones when None.
              Every gradient is a multiple of it, element by element of output

    Tensors that do not require a gradient keep grad = None. Returns nothing.
    """
    ### BEGIN SOLUTION
    # Depth first: a tensor is listed once all of its operands are, which is when we come to it again.
    order, seen, stack = [], set(), [(output, False)]
    while stack:
        tensor, operands_listed = stack.pop()
        if operands_listed:
            order.append(tensor)
        elif tensor.requires_grad and id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack += [(operand, False) for operand in tensor.operands]

    # What has arrived in this pass is kept apart from grad, which may hold something from earlier ones.
    arrived = {id(output): np.ones(output.data.shape) if gradient is None else np.asarray(gradient)}
    for tensor in reversed(order):
        dout = arrived.pop(id(tensor))
        tensor.grad = dout if tensor.grad is None else tensor.grad + dout
        if tensor.backward_step is None:
            continue
        gradients = tensor.backward_step(dout, tensor.cache)
        if not isinstance(gradients, tuple):
            gradients = (gradients,)
        for operand, part in zip(tensor.operands, gradients, strict=True):
            if operand.requires_grad:
                # Not +=, which would write into an array that others may hold as well.
                arrived[id(operand)] = arrived[id(operand)] + part if id(operand) in arrived else part
    ### END SOLUTION


# %%
check("backpropagate")

# %% [markdown]
# **A graph with its gradients.** Values (blue) are computed from left to right, gradients (orange) from right
# to left. $x$ is used twice, and its gradient is the sum of two parts: $2\cdot3$ through $a$ and $2\cdot1$
# through $c$. The circles number the order of the way back; $x$ has to wait for $a$ and $c$.

# %% tags=["show"]
SYMBOLS = {"add": "+", "sub": "−", "mul": "×", "div": "/", "neg": "−", "matmul": "@"}


def draw_graph(steps, inputs, figsize):
    """Draw the graph of a computation with single numbers, from the inputs to the last result."""
    names = [*inputs, *(step[0] for step in steps)]
    last = names[-1]
    ask = [("", "backward", last), *((f"gradient of {name}", "grad", name) for name in names)]
    results = evaluate([*steps, *ask], inputs)

    operands_of = {name: [each for each in rest if isinstance(each, str)] for name, _, *rest in steps}
    depth = dict.fromkeys(inputs, 0)
    for name, operands in operands_of.items():
        depth[name] = 1 + max(depth[operand] for operand in operands)
    columns = [[name for name in names if depth[name] == level] for level in range(depth[last] + 1)]
    place = {}
    for level, column in enumerate(columns):
        for row, name in enumerate(column):
            # Alone in its column: level with its last operand, so that no arrow runs through another box.
            alone = level > 0 and len(column) == 1
            height = place[operands_of[name][-1]][1] if alone else (len(column) - 1) / 2 - row
            place[name] = (1.9 * level, height)

    fig, ax = plt.subplots(figsize=figsize)
    for name, operands in operands_of.items():
        for operand in operands:
            (x0, y0), (x1, y1) = place[operand], place[name]
            ends = (x0 + 0.55, y0), (x1 - 0.55, y1)
            ax.annotate("", ends[1], ends[0], arrowprops={"arrowstyle": "->", "color": "0.6", "lw": 1.3})
    symbols = {name: SYMBOLS.get(what, what) for name, what, *_ in steps}
    for number, name in enumerate(reversed(names), start=1):
        x, y = place[name]
        box = FancyBboxPatch((x - 0.5, y - 0.24), 1.0, 0.48, boxstyle="round,pad=0.05", fc="white", ec="0.5")
        ax.add_patch(box)
        title = f"{name} = {symbols[name]}" if name in symbols else name
        ax.text(x, y + 0.15, title, ha="center", va="center", fontweight="bold", fontsize=9)
        ax.text(x, y - 0.02, f"{float(results[name]):.4g}", ha="center", va="center", color="tab:blue")
        gradient = results[f"gradient of {name}"]
        if gradient is not None:
            text = f"gradient {float(gradient):.4g}"
            ax.text(x, y - 0.19, text, ha="center", va="center", color="tab:orange", fontsize=9)
        ax.text(x - 0.53, y + 0.28, number, ha="center", va="center", fontsize=7.5, color="white",
                bbox={"boxstyle": "circle,pad=0.2", "fc": "0.45", "ec": "none"})  # fmt: skip
    ax.set_xlim(-0.8, 1.9 * depth[last] + 0.8)
    tallest = max(map(len, columns))
    ax.set_ylim(-tallest / 2 - 0.05, tallest / 2 + 0.05)
    ax.axis("off")
    fig.tight_layout()
    plt.show()


draw_graph(
    [("a", "add", "x", "y"), ("b", "square", "a"), ("c", "square", "x"), ("out", "add", "b", "c")],
    {"x": 1.0, "y": 2.0},
    figsize=(9, 2.9),
)

# %% [markdown]
# **Counting paths.** In a graph of additions alone, every path from $x$ to the result brings one unit back,
# so the gradient of $x$ *is* the number of paths. In the ladder below each number is the sum of the two
# before it. The values are Fibonacci's numbers when both inputs are 1, and so are the gradients: they count
# in how many ways one can climb the ladder in steps of one and two.

# %% tags=["show"]
ladder = [(f"h{n}", "add", f"h{n - 1}", f"h{n - 2}") for n in range(2, 41)]
draw_graph(ladder[:4], {"h0": 1.0, "h1": 1.0}, figsize=(9, 2.9))

asked = [("", "backward", "h40"), ("paths from h0", "grad", "h0"), ("paths from h1", "grad", "h1")]
climbed = evaluate([*ladder, *asked], {"h0": 1.0, "h1": 1.0})
print(f"40 steps: h40 = {climbed['h40']:,.0f}")
print(f"paths to h40: {climbed['paths from h0']:,.0f} from h0, {climbed['paths from h1']:,.0f} from h1")

# %% [markdown]
# That graph has more than a hundred million paths and 39 ops, and the way back took 39 steps.
#
# ## 7.4 Arithmetic
#
# Three more ops with two operands, all with broadcasting:
#
# | | $\partial y/\partial a$ | $\partial y/\partial b$ |
# |---|---|---|
# | $y = a - b$ | $1$ | $-1$ |
# | $y = a\,b$ | $b$ | $a$ |
# | $y = a/b$ | $1/b$ | $-a/b^2$ |
#
# Multiply with the upstream gradient *first*, in the shape of the result, and sum down to the shape of the
# operand at the very end. In what order you do it matters: $\sum_n \text{dout}_n\,a_n$ is not
# $\big(\sum_n\text{dout}_n\big)\,a_n$.


# %% question="arithmetic"
def sub_forward(a, b):
    """a - b, with broadcasting. Returns out, cache."""
    ### BEGIN SOLUTION
    return a - b, (a.shape, b.shape)
    ### END SOLUTION


def sub_backward(dout, cache):
    """dout: upstream gradient, in the shape of a - b. Returns da, db."""
    ### BEGIN SOLUTION
    a_shape, b_shape = cache
    return unbroadcast(dout, a_shape), unbroadcast(-dout, b_shape)
    ### END SOLUTION


def sub(a, b):
    """The difference of two tensors."""
    return apply(sub_forward, sub_backward, a, b)


# %% question="arithmetic"
def mul_forward(a, b):
    """a * b, element by element, with broadcasting. Returns out, cache."""
    ### BEGIN SOLUTION
    return a * b, (a, b)
    ### END SOLUTION


def mul_backward(dout, cache):
    """dout: upstream gradient, in the shape of a * b. Returns da, db."""
    ### BEGIN SOLUTION
    a, b = cache
    return unbroadcast(dout * b, a.shape), unbroadcast(dout * a, b.shape)
    ### END SOLUTION


def mul(a, b):
    """The product of two tensors, element by element."""
    return apply(mul_forward, mul_backward, a, b)


# %% question="arithmetic"
def div_forward(a, b):
    """a / b, element by element, with broadcasting. Returns out, cache."""
    ### BEGIN SOLUTION
    return a / b, (a, b)
    ### END SOLUTION


def div_backward(dout, cache):
    """dout: upstream gradient, in the shape of a / b. Returns da, db."""
    ### BEGIN SOLUTION
    a, b = cache
    return unbroadcast(dout / b, a.shape), unbroadcast(-dout * a / b**2, b.shape)
    ### END SOLUTION


def div(a, b):
    """The quotient of two tensors, element by element."""
    return apply(div_forward, div_backward, a, b)


# %%
check("arithmetic")

# %% [markdown]
# **No formula was derived for this.** $\dfrac{(x - y)^2}{x\,y}$ at $x = 4$, $y = 1$: nobody told the program
# its derivative, only those of four small steps.

# %% tags=["show"]
draw_graph(
    [("d", "sub", "x", "y"), ("s", "square", "d"), ("p", "mul", "x", "y"), ("out", "div", "s", "p")],
    {"x": 4.0, "y": 1.0},
    figsize=(9, 2.9),
)

# %% [markdown]
# ## 7.5 The matrix product
#
# For $Y = A B$ with $A$ of shape $(N, D)$ and $B$ of shape $(D, M)$, you derived in assignment 6
#
# $$
# \frac{\partial L}{\partial A} = \frac{\partial L}{\partial Y}\,B^\top
# \qquad
# \frac{\partial L}{\partial B} = A^\top\,\frac{\partial L}{\partial Y}
# $$
#
# If you have forgotten on which side the transpose goes, the shapes tell you: $(N, M)$ times what gives
# $(N, D)$?


# %% question="matmul"
def matmul_forward(a, b):
    """The matrix product a @ b of a (N, D) and b (D, M). Returns out (N, M), cache."""
    ### BEGIN SOLUTION
    return a @ b, (a, b)
    ### END SOLUTION


def matmul_backward(dout, cache):
    """dout: (N, M). Returns da (N, D), db (D, M)."""
    ### BEGIN SOLUTION
    a, b = cache
    return dout @ b.T, a.T @ dout
    ### END SOLUTION


def matmul(a, b):
    """The product of two matrices."""
    return apply(matmul_forward, matmul_backward, a, b)


# %%
check("matmul")

# %% [markdown]
# ## 7.6 Sum and mean
#
# Summing is broadcasting run backward, and so the gradient of a sum is broadcasting: every element that went
# into a sum gets the whole upstream gradient of that sum. The difficulty is the axis. In
# $(2, 3, 4) \to (2, 4)$ the middle axis has vanished; put it back, with size 1, before you spread the
# gradient over it. (With `keepdims=True` it is still there.)
#
# The mean is a sum divided by a number. By which one? By how many elements go into *each* mean, which is not
# the size of the array.


# %% question="sum_mean"
def sum_forward(a, axis=None, keepdims=False):
    """The sum over an axis.

    a         any shape
    axis      a number, from the front or (negative) from the back; a tuple of these; None for all axes
    keepdims  whether the axes that are summed over stay, with size 1

    Returns
    out       what np.sum gives
    cache     whatever sum_backward needs
    """
    ### BEGIN SOLUTION
    return a.sum(axis=axis, keepdims=keepdims), (a.shape, axis, keepdims)
    ### END SOLUTION


def sum_backward(dout, cache):
    """dout: upstream gradient, in the shape of the sum. Returns da, in the shape of a."""
    ### BEGIN SOLUTION
    shape, axis, keepdims = cache
    if axis is not None and not keepdims:
        dout = np.expand_dims(dout, axis)
    return dout * np.ones(shape)
    ### END SOLUTION


# %% question="sum_mean"
def mean_forward(a, axis=None, keepdims=False):
    """The mean over an axis; arguments as in sum_forward. Returns out, cache."""
    ### BEGIN SOLUTION
    out = a.mean(axis=axis, keepdims=keepdims)
    return out, (a.size / out.size, (a.shape, axis, keepdims))
    ### END SOLUTION


def mean_backward(dout, cache):
    """dout: upstream gradient, in the shape of the mean. Returns da, in the shape of a."""
    ### BEGIN SOLUTION
    count, sum_cache = cache
    return sum_backward(dout, sum_cache) / count
    ### END SOLUTION


# %%
check("sum_mean")

# %% [markdown]
# ## 7.7 Exponential and logarithm
#
# From here on the ops have one operand and work element by element. $e^a$ is its own derivative, so the
# forward pass has done the work already; $\log a$, the natural logarithm, has the derivative $1/a$.


# %% question="exp_log"
def exp_forward(a):
    """e to the power of a, any shape. Returns out, cache."""
    ### BEGIN SOLUTION
    out = np.exp(a)
    return out, out
    ### END SOLUTION


def exp_backward(dout, cache):
    """dout: upstream gradient. Returns da."""
    ### BEGIN SOLUTION
    return dout * cache
    ### END SOLUTION


def exp(a):
    """The exponential of each element of a tensor."""
    return apply(exp_forward, exp_backward, a)


# %% question="exp_log"
def log_forward(a):
    """The natural logarithm of a, any shape, all elements positive. Returns out, cache."""
    ### BEGIN SOLUTION
    return np.log(a), a
    ### END SOLUTION


def log_backward(dout, cache):
    """dout: upstream gradient. Returns da."""
    ### BEGIN SOLUTION
    return dout / cache
    ### END SOLUTION


def log(a):
    """The natural logarithm of each element of a tensor."""
    return apply(log_forward, log_backward, a)


# %%
check("exp_log")

# %% [markdown]
# ## 7.8 Activations
#
# Without something crooked between two matrix products, they would be one matrix product. Three such
# functions:
#
# $$
# \text{relu}(a) = \max(a, 0) \qquad
# \sigma(a) = \frac{1}{1 + e^{-a}} \qquad
# \tanh(a) = \frac{e^a - e^{-a}}{e^a + e^{-a}}
# $$
#
# with the derivatives
#
# $$
# \text{relu}'(a) = \begin{cases}1 & a > 0\\ 0 & a < 0\end{cases} \qquad
# \sigma'(a) = \sigma(a)\,\big(1-\sigma(a)\big) \qquad
# \tanh'(a) = 1 - \tanh^2(a)
# $$
#
# At exactly 0 ReLU has a kink; give it whichever slope you like there, 0, 1 or one in between. The scores of
# a network can be large, and $e^{1000}$ is not a number that fits: $\sigma(\pm1000)$ must come out as 1 and 0
# all the same, and so must $\tanh$ as $\pm1$. For $a<0$ multiply numerator and denominator of $\sigma$ by
# $e^a$.


# %% question="activations"
def relu_forward(a):
    """max(a, 0), any shape. Returns out, cache."""
    ### BEGIN SOLUTION
    return np.maximum(a, 0), a
    ### END SOLUTION


def relu_backward(dout, cache):
    """dout: upstream gradient, not to be modified: others may hold the same array. Returns da."""
    ### BEGIN SOLUTION
    return dout * (cache > 0)
    ### END SOLUTION


def relu(a):
    """max(a, 0) for each element of a tensor."""
    return apply(relu_forward, relu_backward, a)


# %% question="activations"
def sigmoid_forward(a):
    """1 / (1 + exp(-a)), any shape, also for very large and very small a. Returns out, cache."""
    ### BEGIN SOLUTION
    small = np.exp(-np.abs(a))  # between 0 and 1: it cannot overflow
    out = np.where(a >= 0, 1, small) / (1 + small)
    return out, out
    ### END SOLUTION


def sigmoid_backward(dout, cache):
    """dout: upstream gradient. Returns da."""
    ### BEGIN SOLUTION
    return dout * cache * (1 - cache)
    ### END SOLUTION


def sigmoid(a):
    """The logistic function of each element of a tensor."""
    return apply(sigmoid_forward, sigmoid_backward, a)


# %% question="activations"
def tanh_forward(a):
    """The hyperbolic tangent, any shape, also for very large and very small a. Returns out, cache."""
    ### BEGIN SOLUTION
    out = np.tanh(a)
    return out, out
    ### END SOLUTION


def tanh_backward(dout, cache):
    """dout: upstream gradient. Returns da."""
    ### BEGIN SOLUTION
    return dout * (1 - cache**2)
    ### END SOLUTION


def tanh(a):
    """The hyperbolic tangent of each element of a tensor."""
    return apply(tanh_forward, tanh_backward, a)


# %%
check("activations")

# %% [markdown]
# **Three activations and their derivatives**, the latter computed by your engine: `backward()` from 400
# results at once gives 400 slopes. Note the height of the curves on the right. Sigmoid lets at most a quarter
# of a gradient through, and almost nothing where it is saturated. We come back to that.

# %% tags=["show"]
grid = np.linspace(-6, 6, 400)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.2))
for name, colour in (("relu", "tab:blue"), ("tanh", "tab:green"), ("sigmoid", "tab:red")):
    curve = evaluate([("y", name, "x"), ("", "backward", "y"), ("slope", "grad", "x")], {"x": grid})
    axes[0].plot(grid, curve["y"], color=colour, label=name)
    axes[1].plot(grid, curve["slope"], color=colour, label=name)
axes[0].set(title="activation", xlabel="a", ylim=(-1.2, 3))
axes[1].set(title="derivative", xlabel="a", ylim=(-0.05, 1.1))
axes[1].axhline(0.25, color="tab:red", ls=":", lw=1)
axes[1].text(-6, 0.27, "1/4", color="tab:red", fontsize=9)
axes[0].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 7.9 The loss
#
# You could put softmax and cross-entropy together from `exp`, `sum`, `div` and `log`, and for small scores it
# would work. It is better to make it one op, for two reasons you know already. Large scores overflow in
# $e^s$, and the logarithm of a probability that was rounded to 0 is $-\infty$; subtract the largest score of
# each row, and use $\log p_k = s_k - \log\sum_j e^{s_j}$. And the gradient of the whole is far simpler than
# that of its parts. With scores $s$ of shape $(N, K)$ and labels $y$ of shape $(N,)$:
#
# $$
# L = -\frac1N\sum_{n} \log p_{n, y_n}
# \qquad
# p_{nk} = \frac{e^{s_{nk}}}{\sum_j e^{s_{nj}}}
# \qquad
# \frac{\partial L}{\partial s_{nk}} = \frac{1}{N}\big(p_{nk} - \mathbb 1[k = y_n]\big)
# $$
#
# The loss is a single number, but not necessarily the end of the graph: someone may add a penalty to it or
# take a multiple of it. So there is an upstream gradient here too.


# %% question="softmax_cross_entropy"
def softmax_cross_entropy_forward(scores, labels):
    """The mean cross-entropy of the softmax of scores.

    scores  (N, K), not to be modified; they may be as large as 1e5
    labels  (N,)    integers from 0 to K - 1

    Returns
    loss    a single number
    cache   whatever softmax_cross_entropy_backward needs
    """
    ### BEGIN SOLUTION
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels].mean(), (log_p, labels)
    ### END SOLUTION


def softmax_cross_entropy_backward(dout, cache):
    """dout: the upstream gradient, a single number. Returns the gradient of scores, (N, K)."""
    ### BEGIN SOLUTION
    log_p, labels = cache
    gradient = np.exp(log_p)
    gradient[np.arange(len(labels)), labels] -= 1
    return dout * gradient / len(labels)
    ### END SOLUTION


def softmax_cross_entropy(scores, labels):
    """The mean cross-entropy of a tensor of scores (N, K) for labels (N,), an integer array."""
    return apply(softmax_cross_entropy_forward, softmax_cross_entropy_backward, scores, labels=labels)


# %%
check("softmax_cross_entropy")

# %% [markdown]
# **All ops against central differences.** For each element of each operand, the derivative is estimated as
# $\frac{f(x+h)-f(x-h)}{2h}$ and compared with what your engine says. A wrong formula is off in the first
# digits; with $h = 10^{-5}$ a right one agrees to nine or ten.

# %% tags=["show"]
rng = np.random.default_rng(7)
A, B = rng.uniform(0.5, 2, size=(3, 4)), rng.uniform(0.5, 2, size=(3, 1))
LABELS = np.array([2, 0, 3])
CASES = {name: ((name, "a", "b"), {"a": A, "b": B}) for name in ("add", "sub", "mul", "div")}
CASES["matmul"] = (("matmul", "a", "b"), {"a": A, "b": rng.normal(size=(4, 2))})
CASES["sum"] = (("sum", "a", {"axis": 1}), {"a": A})
CASES["mean"] = (("mean", "a", {"axis": 0}), {"a": A})
CASES |= {name: ((name, "a"), {"a": A}) for name in ("exp", "log")}
CASES |= {name: ((name, "a"), {"a": A - 1.2}) for name in ("relu", "sigmoid", "tanh")}
CASES["softmax_cross_entropy"] = (("softmax_cross_entropy", "a", LABELS), {"a": 5 * A})


def central_differences(step, inputs, name, dout, h=1e-5):
    """The gradient of input `name`, estimated element by element."""
    estimate = np.zeros(inputs[name].shape)
    for index in np.ndindex(estimate.shape):
        outs = []
        for moved in (h, -h):
            there = inputs[name].copy()
            there[index] += moved
            outs.append(evaluate([("out", *step)], {**inputs, name: there})["out"])
        estimate[index] = np.sum(dout * (outs[0] - outs[1])) / (2 * h)
    return estimate


worst = {}
for op, (step, inputs) in CASES.items():
    dout = rng.normal(size=evaluate([("out", *step)], inputs)["out"].shape)
    asked = [(f"d{name}", "grad", name) for name in inputs]
    results = evaluate([("out", *step), ("", "backward", "out", dout), *asked], inputs)
    differences = [
        np.abs(results[f"d{name}"] - central_differences(step, inputs, name, dout)).max() for name in inputs
    ]
    worst[op] = max(differences)

fig, ax = plt.subplots(figsize=(8.5, 3.6))
ax.barh(list(worst), list(worst.values()), color="tab:blue")
ax.axvline(1e-7, color="tab:red", ls="--", lw=1)
ax.text(1.2e-7, len(worst) - 1, "1e-7", color="tab:red", va="center")
ax.set(
    xscale="log",
    xlim=(1e-13, 1e-6),
    xlabel="largest difference",
    title="Gradients against central differences",
)
ax.invert_yaxis()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 7.10 A network
#
# Now collect your reward. A network on tensors is anything that keeps some tensors as its parameters and
# computes scores with them. Here is the smallest, the linear classifier of assignment 3: no line of it is
# about gradients.


# %% tags=["given"]
class LinearClassifier:
    """Scores x W + b.

    features  D, the length of an input
    classes   K
    """

    def __init__(self, features, classes):
        self.W = Tensor(np.zeros((features, classes)), requires_grad=True)
        self.b = Tensor(np.zeros(classes), requires_grad=True)

    def parameters(self):
        """The tensors to be learned, in a list."""
        return [self.W, self.b]

    def __call__(self, x):
        """x: (N, D), an array. Returns the scores, a Tensor (N, K)."""
        return Tensor(x) @ self.W + self.b


# %% [markdown]
# Yours is a fully connected network ("multi-layer perceptron") of any depth,
#
# $$
# h_0 = x \qquad h_l = \varphi(h_{l-1} W_l + b_l)\quad (l < L) \qquad \text{scores} = h_{L-1} W_L + b_L,
# $$
#
# which takes a loop for its forward pass, and for its backward pass **nothing**. After the last layer comes
# no activation: the scores go into the loss as they are.
#
# The weights start as normal random numbers with mean 0 and standard deviation $\sqrt{2/D_\text{in}}$, where
# $D_\text{in}$ is the number of rows of $W_l$ (as in assignment 6), the biases at 0. Draw from
# `np.random.default_rng(seed)`, so that equal seeds give equal networks.


# %% question="mlp"
class MLP:
    """A fully connected network on tensors: [linear - activation] x (L - 1) - linear.

    sizes       (D, H1, ..., K): features of the input, units of each hidden layer, classes. Layer l has
                weights W (sizes[l - 1], sizes[l]) and biases b (sizes[l],); there are L = len(sizes) - 1
    activation  "relu", "sigmoid" or "tanh", after every layer but the last
    seed        of the random numbers
    """

    def __init__(self, sizes, activation="relu", seed=0):
        ### BEGIN SOLUTION
        rng = np.random.default_rng(seed)
        self.activation = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}[activation]
        self.layers = []
        for layer in range(1, len(sizes)):
            D, M = sizes[layer - 1], sizes[layer]
            W = Tensor(rng.normal(scale=np.sqrt(2 / D), size=(D, M)), requires_grad=True)
            self.layers.append((W, Tensor(np.zeros(M), requires_grad=True)))
        ### END SOLUTION

    def parameters(self):
        """The tensors to be learned, in a list: [W1, b1, W2, b2, ...]."""
        ### BEGIN SOLUTION
        return [parameter for layer in self.layers for parameter in layer]
        ### END SOLUTION

    def __call__(self, x):
        """x: (N, D), an array. Returns the scores, a Tensor (N, K)."""
        ### BEGIN SOLUTION
        h = Tensor(x)
        for number, (W, b) in enumerate(self.layers, start=1):
            h = h @ W + b
            if number < len(self.layers):
                h = self.activation(h)
        return h
        ### END SOLUTION


# %%
check("mlp")

# %% [markdown]
# ## 7.11 Training
#
# One step of stochastic gradient descent: the loss of a mini-batch, backward, and $w \leftarrow w - \eta\,
# \frac{\partial L}{\partial w}$ for every parameter. Two things need care, both because of what you built:
#
# * `backward` adds to `grad`. What the step before left there must be gone.
# * `w = w - ...` makes a *new* tensor, one that remembers that it was computed from the old one; the network
#   still holds the old. Change the `data` of the tensor that is there.


# %% question="train"
def train(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    """Train a network by stochastic gradient descent on the softmax cross-entropy.

    net            an MLP, or anything else that has parameters() and can be called; its parameters change
    x              (N, D) inputs
    y              (N,) labels
    epochs         how often to go through all examples, each time in a new random order
    batch_size     examples in a step; the last step of an epoch takes those that are left, maybe fewer
    learning_rate  the length of a step, as a multiple of the gradient
    seed           for np.random.default_rng; equal seeds give equal runs

    Returns
    losses         a list of numbers: the loss of each mini-batch before its step, over all epochs
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            loss = softmax_cross_entropy(net(x[batch]), y[batch])
            losses.append(float(loss.data))
            for parameter in net.parameters():
                parameter.zero_grad()
            loss.backward()
            for parameter in net.parameters():
                parameter.data = parameter.data - learning_rate * parameter.grad
    return losses
    ### END SOLUTION


# %%
check("train")

# %% [markdown]
# **A boundary on the move.** Two spirals of points, red and blue, and a network with two hidden layers. The
# colour of the ground is the probability that the network gives to blue, the line is where it cannot decide.
# A straight line gets 62 % of them right, and nothing better can be done without a hidden layer. The network
# begins as chance has it, passes that within ten epochs, and then bends its line until it fits.

# %% tags=["show"]
rng = np.random.default_rng(1)
turn = np.sqrt(rng.uniform(0.02, 1, size=200)) * 3 * np.pi
arms = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1) / (3 * np.pi)
points = np.concatenate([arms, -arms]) + rng.normal(scale=0.02, size=(400, 2))
sides = np.repeat([0, 1], 200)

span = np.linspace(-1.15, 1.15, 120)
ground = np.stack(np.meshgrid(span, span), axis=-1).reshape(-1, 2)


def show_boundary(ax, net, title):
    """Points on the ground that the network sees."""
    scores = net(ground).data
    blue = 1 / (1 + np.exp(scores[:, 0] - scores[:, 1])).reshape(len(span), len(span))
    ax.contourf(span, span, blue, levels=np.linspace(0, 1, 21), cmap="RdBu", alpha=0.75)
    ax.contour(span, span, blue, levels=[0.5], colors="black", linewidths=1)
    for side, colour in enumerate(("tab:red", "tab:blue")):
        ax.scatter(*points[sides == side].T, s=13, color=colour, edgecolor="white", linewidth=0.6)
    right = np.mean(net(points).data.argmax(axis=1) == sides)
    ax.set_title(f"{title}: {right:.0%}", fontsize=10)
    ax.set(xticks=[], yticks=[], aspect="equal")


spiral_net = MLP((2, 32, 32, 2), "tanh", seed=3)
fig, axes = plt.subplots(1, 4, figsize=(11.5, 3.2))
passed = 0
for ax, epochs in zip(axes, (0, 10, 50, 150), strict=True):
    train(spiral_net, points, sides, epochs - passed, learning_rate=0.2, seed=epochs)
    passed = epochs
    show_boundary(ax, spiral_net, f"{epochs} epochs")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 7.12 ReLU against sigmoid
#
# For decades networks had sigmoids and were shallow. With an engine that takes any depth we can see why. The
# gradient on its way back passes every activation, and each multiplies it by the derivative: at most
# $\frac14$ for a sigmoid, exactly 1 for a ReLU that is on. Eight layers down, $\left(\frac14\right)^8$ is
# less than two hundred-thousandths.
#
# Left: the size of the gradient in each layer of a network with eight hidden layers, before any training.
# Right: what that does to learning, on the handwritten digits.

# %% tags=["show"]
digits = load_dataset("digits")
X_train, y_train = digits.x_train.reshape(len(digits.x_train), -1), digits.y_train
X_test, y_test = digits.x_test.reshape(len(digits.x_test), -1), digits.y_test
COLOURS = {"relu": "tab:blue", "tanh": "tab:green", "sigmoid": "tab:red"}


def show_run(ax, losses, net, name):
    """The loss, smoothed over an epoch of 45 steps, and the share of the test set that is right."""
    smooth = np.convolve(losses, np.ones(45) / 45, mode="valid")
    right = np.mean(net(X_test).data.argmax(axis=1) == y_test)
    label = f"{name}: {right:.0%} of the test set right"
    ax.plot(np.arange(len(smooth)) / 45, smooth, color=COLOURS[name], label=label)


fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.4))
for name, colour in COLOURS.items():
    net = MLP((64, *[32] * 8, 10), name, seed=0)
    softmax_cross_entropy(net(X_train), y_train).backward()
    sizes = [np.sqrt(np.mean(parameter.grad**2)) for parameter in net.parameters()[::2]]
    axes[0].semilogy(range(1, 10), sizes, "o-", color=colour, label=name)

    show_run(axes[1], train(net, X_train, y_train, epochs=25, learning_rate=0.05), net, name)
axes[0].set(title="gradient of the weights before training", xticks=range(1, 10))
axes[0].set(xlabel="layer", ylabel="root mean square")
axes[1].axhline(np.log(10), color="0.5", ls="--", lw=1)
axes[1].text(25, np.log(10) + 0.04, "guessing: log 10", ha="right", color="0.4", fontsize=9)
axes[1].set(title="training loss, eight hidden layers", xlabel="epoch", ylim=(0, 2.6))
axes[0].legend()
axes[1].legend(loc="center right")
fig.tight_layout()
plt.show()

# %% [markdown]
# The sigmoid network does not learn at all: what reaches its first layer is more than ten thousand times
# smaller than what reaches its last. (Tanh, whose slope at 0 is 1, does as well as ReLU here. It saturates,
# though, and costs an exponential.) With one hidden layer, where a gradient passes a single activation, all
# three learn, the sigmoid slowly:

# %% tags=["show"]
fig, ax = plt.subplots(figsize=(6.5, 3.2))
for name in COLOURS:
    net = MLP((64, 32, 10), name, seed=0)
    show_run(ax, train(net, X_train, y_train, epochs=25, learning_rate=0.05), net, name)
ax.set(title="training loss, one hidden layer", xlabel="epoch", ylim=(0, 2.6))
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# **The digits, at last.** One hidden layer of 64 ReLUs, trained to the end, and a look at what it confuses:
# the confusion matrix of the test set, its diagonal (the right answers) left blank, beside the test images
# that the network got most wrong, with the true digit and its own answer.

# %% tags=["show"]
digit_net = MLP((64, 64, 10), "relu", seed=0)
losses = train(digit_net, X_train, y_train, epochs=40)
scores = digit_net(X_test).data
answers = scores.argmax(axis=1)
confusion = np.zeros((10, 10), dtype=int)
np.add.at(confusion, (y_test, answers), 1)
surest_errors = np.argsort(scores[np.arange(len(y_test)), y_test] - scores.max(axis=1))[:8]

fig = plt.figure(figsize=(11, 3.9))
left, right = fig.subfigures(1, 2, width_ratios=[1, 1.35])
ax = left.subplots()
errors = np.where(np.eye(10, dtype=bool), 0, confusion)
ax.imshow(errors, cmap="Oranges")
for (i, j), count in np.ndenumerate(errors):
    if count:
        colour = "white" if count > 0.6 * errors.max() else "black"
        ax.text(j, i, count, ha="center", va="center", color=colour)
ax.set(xticks=range(10), yticks=range(10), xlabel="answer", ylabel="true digit")
ax.set_title(f"{np.mean(answers == y_test):.1%} right, {errors.sum()} errors in {len(y_test)}", fontsize=10)
for ax, i in zip(right.subplots(2, 4).flat, surest_errors, strict=True):
    ax.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{y_test[i]} → {answers[i]}", color="black" if answers[i] == y_test[i] else "tab:red")
    ax.set(xticks=[], yticks=[], frame_on=False)
plt.show()

# %% [markdown]
# ## What you have now
#
# An engine of some two hundred lines that differentiates any program made of its ops, loops and branches
# included, because it records what was computed and not what was written. PyTorch has the same inside, with
# more ops and on a graphics card; from assignment 10 on you will call its `backward` and know what it does.
#
# And a network that, being deep, either learns or does not, depending on its activation, its first weights
# and the length of its steps. There is more to say about making networks train well: better ways to step
# than plain gradient descent, and a way to keep them from learning by heart. That is assignment 8. Its layers
# are written by hand once more, and larger than our ops: here each addition costs a Python object and a note.

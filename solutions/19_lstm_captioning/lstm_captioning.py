# %% [markdown]
# # 19. Memory and attention
#
# The recurrent network of assignment 18 describes pictures, and two things hold it back. Its whole memory
# goes through $W_h$ and $\tanh$ at every step, so that to keep something for ten steps takes weights that
# neither fade nor explode. And it sees the picture once, squeezed into a single vector, before it has said
# a word.
#
# The **LSTM** (Hochreiter and Schmidhuber, 1997) keeps a second vector, the *cell*, which is only ever
# scaled and added to: what is not to be forgotten passes from step to step as it is. **Attention** lets the
# network look again before each word: it asks a question of every part of the picture and takes what the
# answers weigh.
#
# You write both, forward and backward, make three captioning networks of them (with a plain recurrent
# layer, with an LSTM, and with an LSTM that attends) and compare. Last comes *beam search*, which looks for
# the most probable sentence rather than the most probable next word.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## What you have already
#
# From assignment 18: the recurrent layer, the embedding, the affine layer at each step, the loss with its
# mask and the clipping of gradients. And the sigmoid, written so that it never overflows.


# %% tags=["given"]
def sigmoid(x):
    """1 / (1 + exp(-x)), element by element, for numbers of any size."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    """x (N, D), prev_h (N, H), Wx (D, H), Wh (H, H), b (H,). Returns next_h (N, H), cache."""
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_forward(x, h0, Wx, Wh, b):
    """x (N, T, D), h0 (N, H). Returns all states h (N, T, H), cache."""
    state, steps = h0, []
    for t in range(x.shape[1]):
        steps.append(rnn_step_forward(x[:, t], state, Wx, Wh, b))
        state = steps[-1][0]
    return np.stack([state for state, _ in steps], axis=1), [cache for _, cache in steps]


def rnn_backward(dh, caches):
    """dh (N, T, H). Returns dx, dh0, dWx, dWh, db."""
    dx, dstate, dWx, dWh, db = [], 0, 0, 0, 0
    for t in range(dh.shape[1] - 1, -1, -1):
        x, prev_h, Wx, Wh, next_h = caches[t]
        da = (dh[:, t] + dstate) * (1 - next_h**2)
        dx.append(da @ Wx.T)
        dstate = da @ Wh.T
        dWx, dWh, db = dWx + x.T @ da, dWh + prev_h.T @ da, db + da.sum(axis=0)
    return np.stack(dx[::-1], axis=1), dstate, dWx, dWh, db


def word_embedding_forward(x, W):
    """x (N, T) integers, W (V, D). Returns out (N, T, D), cache."""
    return W[x], (x, W.shape)


def word_embedding_backward(dout, cache):
    """dout (N, T, D). Returns dW (V, D)."""
    dW = np.zeros(cache[1], dout.dtype)
    np.add.at(dW, cache[0], dout)
    return dW


def temporal_affine_forward(x, w, b):
    """x (N, T, D), w (D, M), b (M,). Returns out (N, T, M), cache."""
    return x @ w + b, (x, w)


def temporal_affine_backward(dout, cache):
    """dout (N, T, M). Returns dx, dw, db."""
    x, w = cache
    return dout @ w.T, np.tensordot(x, dout, axes=((0, 1), (0, 1))), dout.sum(axis=(0, 1))


def temporal_softmax_loss(x, y, mask):
    """x (N, T, V) scores, y (N, T) words, mask (N, T). Summed over time, mean over N. Returns loss, dx."""
    shifted = x - x.max(axis=2, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    right = np.zeros_like(x)
    np.put_along_axis(right, y[:, :, None], 1, axis=2)
    weight = mask[:, :, None].astype(x.dtype) / len(x)
    return -float((weight * right * log_p).sum()), weight * (np.exp(log_p) - right)


def clip_gradients(grads, max_norm):
    """Scale all gradients so that their common norm is at most max_norm. Returns them and the norm before."""
    norm = float(np.sqrt(sum(np.sum(g**2) for g in grads.values())))
    factor = max_norm / norm if norm > max_norm else 1.0
    return {name: factor * g for name, g in grads.items()}, norm


# %% [markdown]
# ## The scenes again
#
# The same pictures and captions as in assignment 18, and the same features for the networks that see a
# picture at once. For the network that looks around, the features stay where they are: for each of
# $6\times6$ cells of the picture a vector of what the six colour filters and ten shape filters say *there*,
# scaled so that all of them vary alike, and two numbers more that say where the cell is. Without these it
# could see what there is, but not what is left of what.

# %% tags=["show"]
from autograder.datasets.captions import decode
from autograder.datasets.scenes import COLOURS, SHAPES, draw_scenes, grid_features

scenes = load_dataset("captioned_scenes", num_train=2000, num_test=400)
unseen = load_dataset("captioned_scenes", num_train=0, num_test=400, unseen=True)
vocabulary = scenes.classes
word_to_idx = {word: index for index, word in enumerate(vocabulary)}
grid, test_grid, unseen_grid = (grid_features(x) for x in (scenes.x_train, scenes.x_test, unseen.x_test))


def pooled(grid):
    """The strongest answer of each filter in each of 3 x 3 parts: (N, 16, 6, 6) -> (N, 144)."""
    return grid.reshape(len(grid), 16, 3, 2, 3, 2).max(axis=(3, 5)).reshape(len(grid), -1)


def with_place(grid):
    """Channels of equal spread, and two for the cell's place: (N, 16, 6, 6) -> (N, 18, 6, 6)."""
    place = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 6)))
    scaled = 0.7 * grid / spread
    return np.concatenate([scaled, np.tile(place, (len(grid), 1, 1, 1))], axis=1).astype(np.float32)


spread = grid.std(axis=(0, 2, 3), keepdims=True)
train_seen, test_seen, unseen_seen = (
    {"rnn": pooled(x), "lstm": pooled(x), "attention": with_place(x)} for x in (grid, test_grid, unseen_grid)
)
shown = {"red": 0, "black": 5, "small cross": 9, "large triangle": 13}
fig, axes = plt.subplots(1, 5, figsize=(12.5, 2.7), layout="constrained")
axes[0].imshow(scenes.x_train[1].transpose(1, 2, 0))
axes[0].set_title("the picture", fontsize=10)
for ax, (name, channel) in zip(axes[1:], shown.items(), strict=True):
    ax.imshow(grid[1, channel], cmap="Blues", vmin=0, vmax=1)
    ax.set_title(f"where there is {name}", fontsize=10)
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
plt.show()

# %% [markdown]
# ## 19.1 One step of an LSTM
#
# From the input and the state of the step before come four vectors of $H$ numbers each,
#
# $$ a = x W_x + h_{t-1} W_h + b, \qquad a: (N, 4H),\quad W_x: (D, 4H),\quad W_h: (H, 4H),\quad b: (4H,), $$
#
# cut into four parts $a = [a_i, a_f, a_o, a_g]$ of $H$ columns each, in this order:
#
# $$ i = \sigma(a_i) \text{ (input gate)}, \quad f = \sigma(a_f)\text{ (forget gate)}, \quad
# o = \sigma(a_o)\text{ (output gate)}, \quad g = \tanh(a_g)\text{ (what is new)}. $$
#
# A *gate* is between 0 and 1 and says how much passes, for each number by itself. The cell forgets some of
# what it holds and takes up some of what is new; the state is what the cell shows of itself:
#
# $$ c_t = f\cdot c_{t-1} + i\cdot g, \qquad h_t = o\cdot\tanh(c_t). $$
#
# With $f = 1$ and $i = 0$ the cell keeps what it holds, for as long as it takes.


# %% question="lstm_step_forward"
def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """One step of an LSTM.

    x       (N, D)   input of this step
    prev_h  (N, H)   state of the step before
    prev_c  (N, H)   cell of the step before
    Wx      (D, 4H)  weights of the input, for the gates i, f, o and for g, in this order
    Wh      (H, 4H)  weights of the state
    b       (4H,)    biases

    Returns
    next_h  (N, H)
    next_c  (N, H)
    cache   whatever lstm_step_backward needs
    """
    ### BEGIN SOLUTION
    a_i, a_f, a_o, a_g = np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o), np.tanh(a_g)
    next_c = f * prev_c + i * g
    shown = np.tanh(next_c)
    return o * shown, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, shown)
    ### END SOLUTION


# %%
check("lstm_step_forward")

# %% [markdown]
# ### Backward
#
# Two upstream gradients come in, one for each output, and the cell has *two* uses: the state shows it, and
# the next step continues it. So the gradient of the cell is the sum of both ways,
#
# $$ \frac{\partial L}{\partial c_t} = \text{dnext\_c}
# + \text{dnext\_h}\cdot o\cdot\big(1-\tanh^2(c_t)\big), $$
#
# and from there everything is a product of two factors, of which each has the other one as its derivative.
# Going on through $\sigma' = \sigma(1-\sigma)$ and $\tanh' = 1 - \tanh^2$ you arrive at the gradients of
# $a_i, a_f, a_o, a_g$; put side by side they are that of $a$, and the rest is an affine layer.


# %% question="lstm_step_backward"
def lstm_step_backward(dnext_h, dnext_c, cache):
    """Gradients of one step of an LSTM.

    dnext_h  (N, H)   upstream gradient of the state
    dnext_c  (N, H)   upstream gradient of the cell
    cache    what lstm_step_forward returned

    Returns
    dx       (N, D)
    dprev_h  (N, H)
    dprev_c  (N, H)
    dWx      (D, 4H)
    dWh      (H, 4H)
    db       (4H,)
    """
    ### BEGIN SOLUTION
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, shown = cache
    dc = dnext_c + dnext_h * o * (1 - shown**2)
    da_i = dc * g * i * (1 - i)
    da_f = dc * prev_c * f * (1 - f)
    da_o = dnext_h * shown * o * (1 - o)
    da_g = dc * i * (1 - g**2)
    da = np.concatenate([da_i, da_f, da_o, da_g], axis=1)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)
    ### END SOLUTION


# %%
check("lstm_step_backward")

# %% [markdown]
# ## 19.2 A sequence
#
# As in assignment 18, with two vectors handed on instead of one. The first state is given; the first cell
# is zero.


# %% question="lstm_forward"
def lstm_forward(x, h0, Wx, Wh, b):
    """An LSTM over a whole sequence, from a cell of zeros.

    x       (N, T, D)  inputs, T >= 1
    h0      (N, H)     state before the first step
    Wx      (D, 4H)
    Wh      (H, 4H)
    b       (4H,)

    Returns
    h       (N, T, H)  the state after each step
    cache   whatever lstm_backward needs
    """
    ### BEGIN SOLUTION
    state, cell, steps = h0, np.zeros_like(h0), []
    for t in range(x.shape[1]):
        steps.append(lstm_step_forward(x[:, t], state, cell, Wx, Wh, b))
        state, cell, _ = steps[-1]
    return np.stack([h for h, _, _ in steps], axis=1), [cache for _, _, cache in steps]
    ### END SOLUTION


# %%
check("lstm_forward")

# %% [markdown]
# Backward, the gradient of each state is that from above plus that from the next step; the cell has only
# the latter. What comes out for the cell before the first step belongs to a constant, and nobody asks for
# it.


# %% question="lstm_backward"
def lstm_backward(dh, cache):
    """Backpropagation through time for an LSTM.

    dh      (N, T, H)  upstream gradient of every state
    cache   what lstm_forward returned

    Returns
    dx      (N, T, D)
    dh0     (N, H)
    dWx     (D, 4H)
    dWh     (H, 4H)
    db      (4H,)
    """
    ### BEGIN SOLUTION
    dx, dstate, dWx, dWh, db = [], 0, 0, 0, 0
    dcell = np.zeros_like(dh[:, 0])
    for t in range(dh.shape[1] - 1, -1, -1):
        dx_t, dstate, dcell, dWx_t, dWh_t, db_t = lstm_step_backward(dh[:, t] + dstate, dcell, cache[t])
        dx.append(dx_t)
        dWx, dWh, db = dWx + dWx_t, dWh + dWh_t, db + db_t
    return np.stack(dx[::-1], axis=1), dstate, dWx, dWh, db
    ### END SOLUTION


# %%
check("lstm_backward")

# %% [markdown]
# **Does it remember?** The experiment of section 18.3: a loss that looks at the last of 50 states, and what
# of its gradient reaches the input of each step. Weights are small and random; the curves differ in the
# bias of the forget gate, which decides how much of the cell is kept at each step: $\sigma(0) = 0.5$,
# $\sigma(1) = 0.73$, $\sigma(3) = 0.95$, $\sigma(5) = 0.99$. The plain network is there for comparison,
# with $W_h$ orthogonal.
#
# The slope of each curve is the forget gate: along the cell a gradient is multiplied with $f$ and nothing
# else. Where a network needs to remember it can learn to; it helps to begin with a bias of 1 or more, which
# is why the networks below do (Gers, Schmidhuber and Cummins, 2000; Jozefowicz, Zaremba and Sutskever,
# 2015).

# %% tags=["show"]
rng = np.random.default_rng(0)
T, H = 50, 40
x = 0.1 * rng.normal(size=(20, T, H))
upstream = np.zeros((20, T, H))
upstream[:, -1] = rng.normal(size=(20, H)) / np.sqrt(20 * H)
fig, ax = plt.subplots(figsize=(8.5, 3.6))
for forget, colour in ((0, "tab:red"), (1, "tab:orange"), (3, "tab:green"), (5, "tab:blue")):
    b = np.zeros(4 * H)
    b[H : 2 * H] = forget
    Wx, Wh = 0.05 * rng.normal(size=(H, 4 * H)), 0.01 * rng.normal(size=(H, 4 * H))
    _, cache = lstm_forward(x, np.zeros((20, H)), Wx, Wh, b)
    reached = np.linalg.norm(lstm_backward(upstream, cache)[0], axis=(0, 2))
    ax.semilogy(range(1, T + 1), reached / reached[-1], color=colour, label=f"LSTM, forget bias {forget}")
orthogonal, _ = np.linalg.qr(rng.normal(size=(H, H)))
for factor, style in ((0.7, ":"), (0.9, "--")):
    _, cache = rnn_forward(x, np.zeros((20, H)), np.eye(H), factor * orthogonal, np.zeros(H))
    reached = np.linalg.norm(rnn_backward(upstream, cache)[0], axis=(0, 2))
    ax.semilogy(
        range(1, T + 1), reached / reached[-1], color="0.5", ls=style, label=f"plain, factor {factor}"
    )
ax.set(xlabel="step $t$", ylabel=r"$\|\partial L/\partial x_t\|$, relative to step 50", ylim=(1e-8, 10))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 19.3 Attention
#
# The picture is a grid of $P\times Q$ cells with a vector of $H$ numbers each, $A: (N, H, P, Q)$. Before
# each step the state asks which cells matter now: its scalar product with each cell's vector is that cell's
# score, a softmax over *all cells* makes weights of the scores, and the answer is the weighted mean of the
# vectors:
#
# $$ s_{npq} = \frac{1}{\sqrt H}\sum_{k} h_{nk} A_{nkpq}, \qquad
# w_{npq} = \frac{e^{s_{npq}}}{\sum_{p'q'} e^{s_{np'q'}}}, \qquad
# \text{attn}_{nk} = \sum_{pq} w_{npq} A_{nkpq}. $$
#
# A sum of $H$ products of numbers of order one has a size of about $\sqrt H$; divided by it, the scores
# stay of order one, and the softmax neither flat nor a hard choice (Vaswani et al., 2017). In assignment 20
# you will meet this again with the roles kept apart: a *query* asks, a *key* is compared with it, and a
# *value* is the answer. Here a cell's vector is key and value at once.


# %% question="dot_product_attention_forward"
def dot_product_attention_forward(prev_h, A):
    """Look at a grid of vectors.

    prev_h   (N, H)        what is asked for
    A        (N, H, P, Q)  the vectors of the cells of a grid

    Returns
    attn     (N, H)        weighted mean of the cells' vectors
    weights  (N, P, Q)     positive; the weights of a picture sum to 1
    cache    whatever dot_product_attention_backward needs
    """
    ### BEGIN SOLUTION
    N, H, P, Q = A.shape
    cells = A.reshape(N, H, P * Q)
    scores = np.einsum("nh,nhp->np", prev_h, cells) / np.sqrt(H).astype(A.dtype)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    attn = np.einsum("np,nhp->nh", weights, cells)
    return attn, weights.reshape(N, P, Q), (prev_h, A.shape, cells, weights)
    ### END SOLUTION


# %%
check("dot_product_attention_forward")

# %% [markdown]
# ### Backward
#
# The vectors have been used twice, in the scores and in the mean, and the weights in between are a softmax,
# whose derivative mixes all cells:
#
# $$ \text{dw}_{pq} = \sum_k \text{dattn}_k A_{kpq}, \qquad
# \text{ds}_{pq} = w_{pq}\Big(\text{dw}_{pq} - \sum_{p'q'} w_{p'q'}\,\text{dw}_{p'q'}\Big), $$
#
# $$ \frac{\partial L}{\partial h_k} = \frac1{\sqrt H}\sum_{pq}\text{ds}_{pq}A_{kpq}, \qquad
# \frac{\partial L}{\partial A_{kpq}} = w_{pq}\,\text{dattn}_k + \frac1{\sqrt H}\,\text{ds}_{pq}\,h_k . $$


# %% question="dot_product_attention_backward"
def dot_product_attention_backward(dattn, cache):
    """Gradients of attention; the weights have no upstream gradient.

    dattn    (N, H)  upstream gradient
    cache    what dot_product_attention_forward returned

    Returns
    dprev_h  (N, H)
    dA       (N, H, P, Q)
    """
    ### BEGIN SOLUTION
    prev_h, shape, cells, weights = cache
    dweights = np.einsum("nh,nhp->np", dattn, cells)
    dscores = weights * (dweights - (weights * dweights).sum(axis=1, keepdims=True))
    dscores = dscores / np.sqrt(shape[1]).astype(cells.dtype)
    dprev_h = np.einsum("np,nhp->nh", dscores, cells)
    dA = dattn[:, :, None] * weights[:, None] + prev_h[:, :, None] * dscores[:, None]
    return dprev_h, dA.reshape(shape)
    ### END SOLUTION


# %%
check("dot_product_attention_backward")

# %% [markdown]
# **A question to the picture.** Take as vectors the plain features of a scene, and ask with a question that
# we make up: a 1 for *red* and zeros elsewhere. The longer the question, the harder the choice. In a
# network both the vectors and the questions are learned.

# %% tags=["show"]
fig, axes = plt.subplots(1, 5, figsize=(12.5, 2.7), layout="constrained")
axes[0].imshow(scenes.x_train[1].transpose(1, 2, 0))
axes[0].set_title("the picture", fontsize=10)
for ax, (name, size) in zip(
    axes[1:], (("red", 4), ("red", 20), ("black", 20), ("large triangle", 60)), strict=True
):
    question = np.zeros((1, 16))
    question[0, shown[name]] = size
    _, weights, _ = dot_product_attention_forward(question, grid[1:2].astype(float))
    ax.imshow(weights[0], cmap="Oranges", vmin=0, vmax=0.6)
    ax.set_title(f"{size} times {name}", fontsize=10)
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])
plt.show()

# %% [markdown]
# ## 19.4 An LSTM that looks
#
# At each step the LSTM of section 19.1 gets one more input, what attention brought back for the state
# before the step:
#
# $$ a = x_t W_x + h_{t-1} W_h + \text{attn}(h_{t-1}, A)\, W_{attn} + b, \qquad W_{attn}: (H, 4H). $$
#
# There is no need for a new step: $x_t$ and attn side by side are an input of $D + H$ numbers, and $W_x$
# over $W_{attn}$ the matrix for it. The first state and the first cell are both the mean of all cells, a
# glance at the whole picture:
#
# $$ h_0 = c_0 = \frac1{PQ}\sum_{pq} A_{pq}. $$


# %% question="attention_lstm_forward"
def attention_lstm_forward(x, A, Wx, Wh, Wattn, b):
    """An LSTM over a sequence that looks at a grid before each step.

    x        (N, T, D)     inputs, T >= 1
    A        (N, H, P, Q)  the vectors of the cells; the first state and the first cell are their mean
    Wx       (D, 4H)
    Wh       (H, 4H)
    Wattn    (H, 4H)
    b        (4H,)

    Returns
    h        (N, T, H)     the state after each step
    weights  (N, T, P, Q)  the weights of attention before each step
    cache    whatever attention_lstm_backward needs
    """
    ### BEGIN SOLUTION
    state = cell = A.mean(axis=(2, 3))
    W = np.concatenate([Wx, Wattn])
    steps = []
    for t in range(x.shape[1]):
        attn, weights, attention_cache = dot_product_attention_forward(state, A)
        inputs = np.concatenate([x[:, t], attn], axis=1)
        state, cell, step_cache = lstm_step_forward(inputs, state, cell, W, Wh, b)
        steps.append((state, weights, (attention_cache, step_cache)))
    states, looks, caches = zip(*steps, strict=True)
    return np.stack(states, axis=1), np.stack(looks, axis=1), (caches, x.shape[2], A.shape)
    ### END SOLUTION


# %%
check("attention_lstm_forward")

# %% [markdown]
# Backward, the state before a step has been used twice there, by the step and by the question to the
# picture: two gradients that add up. The grid has been used at every step, and twice more at the beginning,
# in its mean.


# %% question="attention_lstm_backward"
def attention_lstm_backward(dh, cache):
    """Backpropagation through time for an LSTM that looks.

    dh      (N, T, H)  upstream gradient of every state; the weights have none
    cache   what attention_lstm_forward returned

    Returns
    dx      (N, T, D)
    dA      (N, H, P, Q)
    dWx     (D, 4H)
    dWh     (H, 4H)
    dWattn  (H, 4H)
    db      (4H,)
    """
    ### BEGIN SOLUTION
    caches, D, (_, _, P, Q) = cache
    dx, dstate, dA, dW, dWh, db = [], 0, 0, 0, 0, 0
    dcell = np.zeros_like(dh[:, 0])
    for t in range(dh.shape[1] - 1, -1, -1):
        attention_cache, step_cache = caches[t]
        dinputs, dstate, dcell, dW_t, dWh_t, db_t = lstm_step_backward(dh[:, t] + dstate, dcell, step_cache)
        dasked, dA_t = dot_product_attention_backward(dinputs[:, D:], attention_cache)
        dstate, dA = dstate + dasked, dA + dA_t
        dx.append(dinputs[:, :D])
        dW, dWh, db = dW + dW_t, dWh + dWh_t, db + db_t
    dA = dA + (dstate + dcell)[:, :, None, None] / (P * Q)
    return np.stack(dx[::-1], axis=1), dA, dW[:D], dWh, dW[D:], db
    ### END SOLUTION


# %%
check("attention_lstm_backward")

# %% [markdown]
# ## 19.5 Three networks that caption
#
# The network of assignment 18 with a choice of its recurrent layer, `cell_type`:
#
# * `"rnn"` and `"lstm"`: features $(N, F)$, and $h_0 = \text{features}\,W_{proj} + b_{proj}$;
# * `"attention"`: a grid of features $(N, F, P, Q)$. The same affine layer at every cell makes the grid $A$:
#   $A_{nkpq} = \sum_f \text{features}_{nfpq} (W_{proj})_{fk} + (b_{proj})_k$.
#
# To let different searches use the same network, saying a word is cut into two parts. `begin` looks at the
# pictures and returns a *state*: a tuple of arrays with one row for each picture, whatever your network
# needs to go on. `step` takes such a state and the words that were said last, and returns the logarithms of
# the probabilities of the next word, with the state after it. `sample` needs nothing else.


# %%
class CaptioningModel:
    """The parameters of a captioning network, and the tokens with a meaning.

    word_to_idx  a dictionary from words to numbers 0 ... V - 1, with "<NULL>", "<START>" and "<END>"
    input_dim    F, the number of features of a picture, or of a cell of its grid
    wordvec_dim  D, the length of a word's vector
    hidden_dim   H, the length of the state
    cell_type    "rnn", "lstm" or "attention"
    dtype        of the parameters and of all computation
    seed         equal seeds give equal parameters

    self.params  "W_proj" (F, H), "b_proj" (H,), "W_embed" (V, D), "Wx" (D, G), "Wh" (H, G), "b" (G,),
                 "W_vocab" (H, V), "b_vocab" (V,), where G is H for "rnn" and else 4H; with "attention" also
                 "Wattn" (H, G). The biases of the forget gate begin at 1
    self._null, self._start, self._end  the numbers of the three tokens
    """

    def __init__(
        self,
        word_to_idx,
        input_dim=512,
        wordvec_dim=128,
        hidden_dim=128,
        cell_type="rnn",
        dtype=np.float32,
        seed=0,
    ):
        if cell_type not in ("rnn", "lstm", "attention"):
            raise ValueError(f"cell_type must be 'rnn', 'lstm' or 'attention', not {cell_type!r}")
        self.cell_type, self.dtype = cell_type, dtype
        self._null, self._start, self._end = (word_to_idx[token] for token in ("<NULL>", "<START>", "<END>"))
        V, F, D, H = len(word_to_idx), input_dim, wordvec_dim, hidden_dim
        G = H if cell_type == "rnn" else 4 * H
        rng = np.random.default_rng(seed)
        params = {
            "W_proj": rng.normal(size=(F, H)) / np.sqrt(F),
            "b_proj": np.zeros(H),
            "W_embed": 0.1 * rng.normal(size=(V, D)),
            "Wx": rng.normal(size=(D, G)) / np.sqrt(D),
            "Wh": rng.normal(size=(H, G)) / np.sqrt(H),
            "b": np.zeros(G),
            "W_vocab": rng.normal(size=(H, V)) / np.sqrt(H),
            "b_vocab": np.zeros(V),
        }
        if cell_type != "rnn":
            params["b"][H : 2 * H] = 1
        if cell_type == "attention":
            params["Wattn"] = rng.normal(size=(H, G)) / np.sqrt(H)
        self.params = {name: value.astype(dtype) for name, value in params.items()}


# %% question="captioning_rnn"
class CaptioningRNN(CaptioningModel):
    """A recurrent network that says what is in a picture, with one of three kinds of recurrent layer."""

    def loss(self, features, captions):
        """The loss of captions, and its gradients.

        features  (N, F), or (N, F, P, Q) with "attention"
        captions  (N, T)  token numbers: <START>, words, <END>, then <NULL>

        Returns
        loss      a float: the loss of temporal_softmax_loss over all words but the first, <NULL> left out
        grads     a dictionary with the keys and shapes of self.params
        """
        features = features.astype(self.dtype)
        ### BEGIN SOLUTION
        p, grads = self.params, {}
        words, right = captions[:, :-1], captions[:, 1:]
        weights = p["Wx"], p["Wh"], p["b"]
        x, embedding_cache = word_embedding_forward(words, p["W_embed"])
        seen = self._project(features)
        if self.cell_type == "attention":
            h, _, cache = attention_lstm_forward(x, seen, p["Wx"], p["Wh"], p["Wattn"], p["b"])
        elif self.cell_type == "lstm":
            h, cache = lstm_forward(x, seen, *weights)
        else:
            h, cache = rnn_forward(x, seen, *weights)
        scores, vocab_cache = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal_softmax_loss(scores, right, right != self._null)

        dh, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, vocab_cache)
        if self.cell_type == "attention":
            dx, dseen, grads["Wx"], grads["Wh"], grads["Wattn"], grads["b"] = attention_lstm_backward(
                dh, cache
            )
            grads["W_proj"] = np.einsum("nfpq,nhpq->fh", features, dseen)
            grads["b_proj"] = dseen.sum(axis=(0, 2, 3))
        else:
            backward = lstm_backward if self.cell_type == "lstm" else rnn_backward
            dx, dseen, grads["Wx"], grads["Wh"], grads["b"] = backward(dh, cache)
            grads["W_proj"], grads["b_proj"] = features.T @ dseen, dseen.sum(axis=0)
        grads["W_embed"] = word_embedding_backward(dx, embedding_cache)
        return loss, grads

    def _project(self, features):
        """The first state, (N, H), or the grid A, (N, H, P, Q)."""
        p = self.params
        if self.cell_type == "attention":
            return np.einsum("nfpq,fh->nhpq", features, p["W_proj"]) + p["b_proj"][:, None, None]
        return features @ p["W_proj"] + p["b_proj"]
        ### END SOLUTION

    def begin(self, features):
        """Look at pictures: the state before the first word.

        features  (N, F), or (N, F, P, Q) with "attention"

        Returns a tuple of arrays, of any shapes but with N rows each, row n for picture n.
        """
        features = features.astype(self.dtype)
        ### BEGIN SOLUTION
        seen = self._project(features)
        if self.cell_type == "attention":
            state = seen.mean(axis=(2, 3))
            return state, state, seen
        return (seen,) if self.cell_type == "rnn" else (seen, np.zeros_like(seen))
        ### END SOLUTION

    def step(self, state, words):
        """Read a word and say how probable each next one is.

        state  what begin or step returned, or a choice of its rows
        words  (N,) integers: the word that each row reads, <START> at first

        Returns
        log_p  (N, V)  the logarithms of the probabilities of the next word
        state  the state after the word, of the same kind
        """
        ### BEGIN SOLUTION
        p = self.params
        x, weights = p["W_embed"][words], (p["Wh"], p["b"])
        if self.cell_type == "rnn":
            h, _ = rnn_step_forward(x, state[0], p["Wx"], *weights)
            state = (h,)
        elif self.cell_type == "lstm":
            h, cell, _ = lstm_step_forward(x, *state, p["Wx"], *weights)
            state = h, cell
        else:
            h, cell, A = state
            attn, _, _ = dot_product_attention_forward(h, A)
            inputs, W = np.concatenate([x, attn], axis=1), np.concatenate([p["Wx"], p["Wattn"]])
            h, cell, _ = lstm_step_forward(inputs, h, cell, W, *weights)
            state = h, cell, A
        scores = h @ p["W_vocab"] + p["b_vocab"]
        shifted = scores - scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), state
        ### END SOLUTION

    def sample(self, features, max_length=30):
        """Say what is in each picture: at each step the most probable word.

        features  (N, F), or (N, F, P, Q) with "attention"

        Returns
        captions  (N, max_length)  integers: the words said, without <START>; what stands after the first
                                   <END> of a row does not matter
        """
        ### BEGIN SOLUTION
        captions = np.full((len(features), max_length), self._null)
        state, word = self.begin(features), np.full(len(features), self._start)
        for t in range(max_length):
            log_p, state = self.step(state, word)
            word = log_p.argmax(axis=1)
            captions[:, t] = word
        return captions
        ### END SOLUTION


# %%
check("captioning_rnn")


# %% [markdown]
# ## 19.6 Training
#
# The loop of assignment 18, unchanged.


# %%
def train(model, features, captions, steps, batch_size=64, learning_rate=5e-3, max_norm=5.0, seed=0):
    """Train with Adam; the learning rate falls to zero along a half cosine.

    features (N, ...), captions (N, K, T). Returns {"loss": one number per step, "norm": the gradient's}.
    """
    rng = np.random.default_rng(seed)
    first = {name: np.zeros_like(w) for name, w in model.params.items()}
    second = {name: np.zeros_like(w) for name, w in model.params.items()}
    history = {"loss": [], "norm": []}
    for step in range(1, steps + 1):
        batch = rng.integers(len(features), size=min(batch_size, len(features)))
        which = rng.integers(captions.shape[1], size=len(batch))
        loss, grads = model.loss(features[batch], captions[batch, which])
        grads, norm = clip_gradients(grads, max_norm)
        history["loss"].append(loss)
        history["norm"].append(norm)
        rate = learning_rate * 0.5 * (1 + float(np.cos(np.pi * step / (steps + 1))))
        for name, g in grads.items():
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g * g
            size = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            model.params[name] = model.params[name] - rate * first[name] / (1 - 0.9**step) / size
    return history


# %% [markdown]
# **Fifty captions by heart**, with each of the three: the loss must go to zero, and sampling must give the
# captions back.

# %% tags=["show"]
CELLS = {"rnn": "tab:gray", "lstm": "tab:orange", "attention": "tab:blue"}
fifty = slice(0, 50)
fig, ax = plt.subplots(figsize=(7.5, 3))
for cell_type, colour in CELLS.items():
    seen = train_seen[cell_type]
    small = CaptioningRNN(word_to_idx, seen.shape[1], wordvec_dim=32, hidden_dim=64, cell_type=cell_type)
    history = train(
        small, seen[fifty], scenes.y_train[fifty, :1], steps=300, batch_size=50, learning_rate=1e-2
    )
    said = small.sample(seen[fifty], max_length=15)
    same = sum(
        decode(ours, vocabulary) == decode(theirs, vocabulary)
        for ours, theirs in zip(said, scenes.y_train[fifty, 0], strict=True)
    )
    ax.semilogy(history["loss"], color=colour, label=f"{cell_type}: {same} of 50 given back")
ax.set(title="50 captions by heart", xlabel="step", ylabel="loss of a caption")
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# **All scenes**, the same number of steps for each of the three. The losses of 400 scenes that no network
# has seen are what counts.

# %% tags=["show"]
RATES = {"rnn": 5e-3, "lstm": 1e-2, "attention": 1e-2}  # each with the learning rate that suits it
models, losses = {}, {}
fig, ax = plt.subplots(figsize=(8.5, 3.4))
for cell_type, colour in CELLS.items():
    seen, new = train_seen[cell_type], test_seen[cell_type]
    models[cell_type] = CaptioningRNN(
        word_to_idx, seen.shape[1], wordvec_dim=32, hidden_dim=64, cell_type=cell_type
    )
    history = train(models[cell_type], seen, scenes.y_train, steps=1500, learning_rate=RATES[cell_type])
    losses[cell_type] = np.mean([models[cell_type].loss(new, scenes.y_test[:, k])[0] for k in range(5)])
    smooth = np.convolve(history["loss"], np.ones(40) / 40, mode="valid")
    ax.plot(smooth, color=colour, label=f"{cell_type}: {losses[cell_type]:.2f} on new scenes")
    ax.axhline(losses[cell_type], color=colour, ls="--", lw=1)
ax.set(
    title="training (solid), new scenes at the end (dashed)",
    xlabel="step",
    ylabel="loss of a caption",
    ylim=(0, 25),
)
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# What they say, measured as in assignment 18: BLEU against the five captions of a scene, and the share of
# captions that name exactly the colours and shapes that are there, on new scenes and on scenes with a
# combination that never occurs in training.

# %% tags=["show"]
from itertools import pairwise

from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu


def bleu(candidates, captions):
    """BLEU-1 to BLEU-4 of one list of words for each scene, against its captions (N, 5, T)."""
    references = [[decode(caption, vocabulary) for caption in of_one] for of_one in captions]
    weights = [[1 / n] * n for n in (1, 2, 3, 4)]
    return corpus_bleu(references, candidates, weights, smoothing_function=SmoothingFunction().method1)


def things(words):
    """The (colour, shape) pairs that a caption names, such as {("red", "ring")} for "two red rings"."""
    return {
        (before, next(shape for shape in SHAPES if word.startswith(shape)))
        for before, word in pairwise(words)
        if before in COLOURS and word.startswith(SHAPES)
    }


def right_things(candidates, captions):
    """The share of captions that name exactly the colours and shapes that are there."""
    return np.mean([
        things(words) == things(decode(of_one[0], vocabulary))
        for words, of_one in zip(candidates, captions, strict=True)
    ])  # fmt: skip


print(f"{'':<22}", *(f" BLEU-{n}" for n in (1, 2, 3, 4)), "right things")
for part, (seen, y) in {
    "new scenes": (test_seen, scenes.y_test),
    "unseen combinations": (unseen_seen, unseen.y_test),
}.items():
    print(part)
    for cell_type, model in models.items():
        said = model.sample(seen[cell_type], max_length=15)
        said = [decode(caption, vocabulary) for caption in said]
        scores = " ".join(f"{score:7.3f}" for score in bleu(said, y))
        print(f"  {cell_type:<20}", scores, f"{right_things(said, y):10.0%}")

# %% [markdown]
# Memory helps on new scenes, and attention helps more. (The plain network does worse here than in
# assignment 18: all three have half as many units as it had there, and three fifths of the steps.) The
# lower half of the table is where it matters most: of the scenes with a *red ring*, say, or a *blue
# cross*, combinations that nobody has shown it, the network with attention describes four in ten rightly,
# the others next to none. They see all of the picture in one vector and learn which words go with which
# vectors; it fetches *red* and *ring* from the place where they are, each by itself, and may put them
# together as it likes. The way a network is built decides what it can generalise to.

# %% [markdown]
# **What the gates do.** One caption, read by the LSTM: its forget, input and output gates, averaged over
# the units (thick) and for six units, and what the cells of these units hold. A few units keep their cell
# through the whole sentence; others are emptied at each noun.

# %% tags=["show"]
lstm = models["lstm"]
p = lstm.params
caption = scenes.y_test[3, 0]
caption = caption[: int((caption != 0).sum())]
state, cell = lstm.begin(test_seen["lstm"][3:4])
H = state.shape[1]
gates, cells = [], []
for word in caption[:-1]:
    a = p["W_embed"][word][None] @ p["Wx"] + state @ p["Wh"] + p["b"]
    gates.append(sigmoid(a[0, : 3 * H]).reshape(3, H))
    state, cell, _ = lstm_step_forward(p["W_embed"][word][None], state, cell, p["Wx"], p["Wh"], p["b"])
    cells.append(cell[0])
gates, cells = np.array(gates), np.array(cells)
spread = np.argsort(-np.ptp(cells, axis=0))[:6]

fig, axes = plt.subplots(4, 1, figsize=(10, 6.4), sharex=True, height_ratios=[1, 1, 1, 1.4])
steps = np.arange(len(cells))
for ax, values, name in zip(
    axes, [*gates[:, [1, 0, 2]].transpose(1, 0, 2), cells], ("forget", "input", "output", "cell"), strict=True
):
    for unit, colour in zip(spread, plt.cm.tab10.colors, strict=False):
        ax.plot(steps, values[:, unit], color=colour, lw=1, marker=".")
    if name != "cell":
        ax.plot(steps, values.mean(axis=1), color="black", lw=2.5)
        ax.set_ylim(0, 1)
    ax.set_ylabel(name)
axes[-1].set_xticks(steps, [vocabulary[word] for word in caption[:-1]], rotation=30)
axes[-1].set_xlabel("word read")
fig.tight_layout()
plt.show()

# %% [markdown]
# **Where it looks.** One caption by the network with attention, and the weights of the grid before each
# word is said. The looking happens *before* the state has read the last word; what the network needs for a
# word it may have fetched a step earlier.

# %% tags=["show"]
attentive = models["attention"]


def attention_maps(model, grid, captions):
    """The weights before each word of captions (N, T): (N, T - 1, P, Q)."""
    p = model.params
    A = np.einsum("nfpq,fh->nhpq", grid.astype(model.dtype), p["W_proj"]) + p["b_proj"][:, None, None]
    x, _ = word_embedding_forward(captions[:, :-1], p["W_embed"])
    return attention_lstm_forward(x, A, p["Wx"], p["Wh"], p["Wattn"], p["b"])[1]


drawn = draw_scenes(400, (1972, 1))  # the same as scenes.x_test, and what is in them
number = next(
    n for n, scene in enumerate(drawn.scenes) if len(scene.groups) == 2 and len(scene.captions[0]) > 9
)
caption = drawn.captions[number, 0]
maps = attention_maps(attentive, test_seen["attention"][number : number + 1], caption[None])[0]
length = int((caption != 0).sum()) - 1
fig, axes = plt.subplots(2, 7, figsize=(13, 4.4), layout="constrained")
picture = drawn.images[number].transpose(1, 2, 0)
axes.flat[0].imshow(picture)
axes.flat[0].set_title("the picture", fontsize=10)
for ax, weights, word in zip(axes.flat[1:], maps[:length], caption[1:], strict=False):
    large = np.kron(weights, np.ones((8, 8)))[:, :, None]
    ax.imshow(picture * (0.25 + 0.75 * large / large.max()))
    ax.set_title(vocabulary[word], fontsize=10)
for ax in axes.flat:
    ax.set_xticks([])
    ax.set_yticks([])
plt.show()

# %% [markdown]
# One picture proves little. For every word that describes a group (its number, size, colour and shape), in
# all captions of 400 new scenes: how much of the attention lies inside the box of *that* group, and how
# much inside the box of the other? Evenly spread attention would put on each as much as its share of the
# picture.


# %% tags=["show"]
def inside(box, weights):
    """The part of the weights (P, Q) in a box (left, top, right, bottom), cells cut; and its area."""
    edges = np.arange(7) / 6
    x, y = (
        np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) * 6
        for low, high in ((box[0], box[2]), (box[1], box[3]))
    )
    return float((weights * y[:, None] * x[None]).sum()), float((y[:, None] * x[None]).sum() / 36)


maps = attention_maps(
    attentive, np.repeat(test_seen["attention"], 5, axis=0), drawn.captions.reshape(-1, 16)
).reshape(400, 5, 15, 6, 6)
found = {"first": [], "second": []}  # named first or second: (inside its box, inside the other's, its area)
for scene, of_scene in zip(drawn.scenes, maps, strict=True):
    if len(scene.groups) == 2:
        boxes = [group.box for group in scene.groups]
        for mention, of_caption in zip(scene.mentions, of_scene, strict=True):
            first = next(group for group in mention if group >= 0)
            for group, weights in zip(mention, of_caption, strict=False):
                if group >= 0:
                    own, area = inside(boxes[group], weights)
                    other, _ = inside(boxes[1 - group], weights)
                    found["first" if group == first else "second"].append((own, other, area))
print("words that describe the group named   its box   the other's   share of the picture   more on its own")
for which, rows in found.items():
    own, other, area = np.array(rows).T
    print(
        f"{which:<36} {own.mean():8.0%} {other.mean():13.0%} {area.mean():22.0%} {np.mean(own > other):17.0%}"
    )

# %% [markdown]
# While the second group is described, nearly all words are said with the eyes on it. For the first group it
# is less clear, and for a reason: when the first words are said, nothing has been decided yet, and which of
# the two groups a caption begins with is a matter of chance.

# %% [markdown]
# ## 19.7 Beam search
#
# Saying the most probable next word is *greedy*: a good first word may lead into a sentence that cannot end
# well. The probability of a caption is the product of those of its words; its logarithm is a sum. **Beam
# search** looks for the caption with the largest sum by keeping not one beginning but the $k$ best:
#
# 1. Start with one empty hypothesis of log-probability 0, which has read `<START>`.
# 2. Continue each hypothesis by each of the $V$ words, each with the sum of its own and the new word's
#    log-probability. A hypothesis that has ended, with `<END>`, is continued by nothing and stays as it is.
# 3. Of all these keep the $k$ most probable, each with the state that belongs to it. Go on at 2 until all
#    that are kept have ended, or have `max_length` words.
# 4. The answer is the most probable hypothesis. The greedy caption may have been crowded out on the way, by
#    beginnings that looked better: where it is more probable than all that are left, it is the answer.
#
# So a beam of width 1 is greedy, and no beam does worse.
#
# To try it out there is the smallest model that can be searched: the next word depends on the last two, by
# a table.


# %%
class WordTable:
    """A model without pictures: the probabilities of the next word depend on the last two words alone.

    log_p       (V, V, V)  log_p[u, v, w]: the logarithm of the probability of w after u and v
    start, end  the numbers of <START> and <END>; before <START> stands another <START>
    """

    def __init__(self, log_p, start, end):
        self.log_p, self._start, self._end = np.asarray(log_p), start, end

    def begin(self, features):
        """The state: the word before the last one."""
        return (np.full(len(features), self._start),)

    def step(self, state, words):
        """As CaptioningRNN.step."""
        return self.log_p[state[0], words], (np.asarray(words),)


# %% question="beam_search"
def beam_search(model, features, beam_width=3, max_length=30):
    """The most probable caption that a beam search finds.

    model       has begin(features) and step(state, words), as CaptioningRNN has them, and _start, _end
    features    of a single picture, with its batch axis of length 1
    beam_width  k >= 1, how many hypotheses are kept
    max_length  words at most, <END> included

    Returns
    caption     a list of integers, the words without <START>; <END> is the last one, where it was said
    log_p       a float, the logarithm of the caption's probability
    """
    ### BEGIN SOLUTION
    beam = search(model, features, beam_width, max_length)
    greedy = search(model, features, 1, max_length)
    return max(beam, greedy, key=lambda found: found[1])


def search(model, features, beam_width, max_length):
    """The most probable hypothesis at the end of a beam search, and its log-probability."""
    state = model.begin(features)
    hypotheses = [([], 0.0)]
    for _ in range(max_length):
        last = np.array([words[-1] if words else model._start for words, _ in hypotheses])
        log_p, state = model.step(state, last)
        longer = []
        for row, (words, total) in enumerate(hypotheses):
            if words and words[-1] == model._end:
                longer.append((words, total, row))
            else:
                longer += [([*words, w], total + float(log_p[row, w]), row) for w in range(log_p.shape[1])]
        longer.sort(key=lambda one: -one[1])
        kept = longer[:beam_width]
        hypotheses = [(words, total) for words, total, _ in kept]
        if all(words[-1] == model._end for words, _ in hypotheses):
            break
        rows = np.array([row for _, _, row in kept])
        state = tuple(part[rows] for part in state)
    return hypotheses[0]
    ### END SOLUTION


# %%
check("beam_search")

# %% [markdown]
# **More probable, and better?** The mean log-probability of the captions of 100 new scenes for wider and
# wider beams, and their BLEU. The first is never lower than for the greedy search. That the second rises
# with it is no law: where a short vague sentence is more probable than a long exact one, wide beams say
# the vague one (Koehn and Knowles, 2017). Our grammar has no vague sentences.

# %% tags=["show"]
widths = (1, 2, 3, 5, 8)
found = {
    k: [beam_search(attentive, test_seen["attention"][n : n + 1], k, 15) for n in range(100)] for k in widths
}
mean_log_p = [np.mean([log_p for _, log_p in found[k]]) for k in widths]
words_said = {k: [decode(caption, vocabulary) for caption, _ in found[k]] for k in widths}
scores = {k: bleu(words_said[k], scenes.y_test[:100]) for k in widths}

fig, axes = plt.subplots(1, 3, figsize=(12, 3))
axes[0].plot(widths, mean_log_p, ".-")
axes[0].set(title="mean log-probability of a caption")
for n, colour in ((1, "tab:blue"), (4, "tab:orange")):
    axes[1].plot(widths, [scores[k][n - 1] for k in widths], ".-", color=colour, label=f"BLEU-{n}")
axes[1].set(title="agreement with the five captions", ylim=(0, 1))
axes[1].legend()
axes[2].plot(widths, [np.mean([len(words) for words in words_said[k]]) for k in widths], ".-")
axes[2].set(title="words in a caption", ylim=(0, None))
for ax in axes:
    ax.set_xlabel("beam width $k$")
fig.tight_layout()
plt.show()
changed = [n for n in range(100) if words_said[1][n] != words_said[8][n]][:3]
for n in changed:
    print(f"greedy:  {' '.join(words_said[1][n]):<60} log p = {found[1][n][1]:.2f}")
    print(f"k = 8:   {' '.join(words_said[8][n]):<60} log p = {found[8][n][1]:.2f}\n")

# %% [markdown]
# ## What you have now
#
# A memory that lasts and a gaze that moves, and both of them differentiated by hand. Attention has turned
# out to be the stronger of the two: it lets the network fetch what it needs when it needs it. That raises a
# question. If the network may look anywhere at any time, also back at its own words, what is the recurrence
# still for? The transformer of the next assignment does without.

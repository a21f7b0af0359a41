# %% [markdown]
# # 18. Recurrent networks that describe pictures
#
# Every network so far gives an answer of a fixed size, and nearly every one takes an input of a fixed size: a
# picture in, ten scores out. A sentence is not like that. It can have three words or thirty, and what a word
# should be depends on all that come before it: after *two large*, a noun in the plural.
#
# A **recurrent** network reads or writes one element at a time and carries a vector from step to step, its
# *hidden state*, which is all that it remembers. The same weights serve every step, as a convolution's
# weights serve every place, and so the sequence may be as long as it likes.
#
# In this assignment you write such a network and its *backpropagation through time*, then the layers that
# join it to words, and from all of these a model that looks at a picture and says what is there. As in
# assignment 8, everything is plain NumPy, with the same convention: a forward pass returns `(out, cache)`,
# and the backward pass takes `(dout, cache)` and returns the gradients in the order of the inputs. New is
# an axis: sequences have the shape $(N, T, D)$, for $N$ examples, $T$ steps and $D$ numbers at each step.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Pictures and what is said of them
#
# The course draws its own: one or two groups of coloured shapes, each scene with five true sentences about
# it. Real photographs, those of Flickr8k and COCO, need a large network that looks at them first, and hours
# of training instead of seconds.
#
# Captions come as rows of numbers, one for each word, and these four have a meaning of their own: `<START>`
# opens each caption, `<END>` closes it, `<NULL>` fills the row up to its full length, and `<UNK>` would
# stand for a word that is not in the vocabulary.

# %% tags=["show"]
from autograder.datasets.captions import decode

scenes = load_dataset("captioned_scenes", num_train=2000, num_test=400)
unseen = load_dataset("captioned_scenes", num_train=0, num_test=400, unseen=True)
vocabulary = scenes.classes
word_to_idx = {word: index for index, word in enumerate(vocabulary)}

print(f"{len(scenes.x_train)} scenes, {len(vocabulary)} words. The first caption of the first scene:")
print(scenes.y_train[0, 0])
print([vocabulary[token] for token in scenes.y_train[0, 0]])

fig, axes = plt.subplots(1, 3, figsize=(13, 5), layout="constrained")
for ax, image, captions in zip(axes, scenes.x_train[[0, 3, 9]], scenes.y_train[[0, 3, 9]], strict=True):
    ax.imshow(image.transpose(1, 2, 0))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("\n".join(" ".join(decode(caption, vocabulary)) for caption in captions), fontsize=9)
plt.show()

# %% [markdown]
# ## 18.1 One step
#
# At each step the network sees an input $x_t$ and its own state of the step before, $h_{t-1}$, and computes
# the next state:
#
# $$ a_t = x_t W_x + h_{t-1} W_h + b, \qquad h_t = \tanh(a_t), $$
#
# $$ x_t: (N, D),\quad W_x: (D, H),\quad h_t: (N, H),\quad W_h: (H, H),\quad b: (H,). $$
#
# This is the recurrent network of Elman (1990). Two affine layers, added, and a function that keeps the state
# between $-1$ and $1$, however often the step is repeated.


# %% question="rnn_step_forward"
def rnn_step_forward(x, prev_h, Wx, Wh, b):
    """One step of a recurrent network with tanh.

    x       (N, D)  input of this step
    prev_h  (N, H)  state of the step before
    Wx      (D, H)  weights of the input
    Wh      (H, H)  weights of the state: prev_h @ Wh
    b       (H,)    biases

    Returns
    next_h  (N, H)
    cache   whatever rnn_step_backward needs
    """
    ### BEGIN SOLUTION
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)
    ### END SOLUTION


# %%
check("rnn_step_forward")

# %% [markdown]
# ### Backward
#
# The derivative of $\tanh$ can be had from its value: $\tanh'(a) = 1 - \tanh^2(a)$. With it the upstream
# gradient becomes that of $a_t$, and from there it is two affine layers, whose gradients you know:
#
# $$
# \frac{\partial L}{\partial a} = \text{dnext\_h}\cdot(1 - h_t^2), \qquad
# \frac{\partial L}{\partial x_t} = \frac{\partial L}{\partial a} W_x^\top, \quad
# \frac{\partial L}{\partial h_{t-1}} = \frac{\partial L}{\partial a} W_h^\top, \quad
# \frac{\partial L}{\partial W_x} = x_t^\top\frac{\partial L}{\partial a}, \quad \dots
# $$


# %% question="rnn_step_backward"
def rnn_step_backward(dnext_h, cache):
    """Gradients of one step.

    dnext_h  (N, H)  upstream gradient
    cache    what rnn_step_forward returned

    Returns
    dx       (N, D)
    dprev_h  (N, H)
    dWx      (D, H)
    dWh      (H, H)
    db       (H,)
    """
    ### BEGIN SOLUTION
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)
    ### END SOLUTION


# %%
check("rnn_step_backward")

# %% [markdown]
# **A state that lives by itself.** Two units, no input, and a $W_h$ that turns the state by 25 degrees at
# each step and stretches it by a factor. Where that is below 1 the state spirals into nothing: all memory
# fades. Above 1 it would grow without bounds, but $\tanh$ holds it, and it keeps going round. Keep this
# picture in mind for section 18.3.

# %% tags=["show"]
angle = np.deg2rad(25)
turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True, sharey=True)
for ax, factor in zip(axes, (0.9, 1.0, 1.3), strict=True):
    for start, colour in (((0.9, 0.0), "tab:blue"), ((-0.2, 0.1), "tab:orange")):
        path = [np.array([start])]
        for _ in range(40):
            state, _ = rnn_step_forward(
                np.zeros((1, 1)), path[-1], np.zeros((1, 2)), factor * turn, np.zeros(2)
            )
            path.append(state)
        ax.plot(*np.concatenate(path).T, ".-", color=colour, lw=1, ms=4)
        ax.plot(*start, "o", color=colour, ms=8, mfc="white")
    ax.set(title=f"stretched by {factor}", xlabel="unit 1", xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
axes[0].set_ylabel("unit 2")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 18.2 All steps
#
# Unrolled over time, the network is a chain of $T$ equal steps: the state that one returns is what the next
# one gets. All states are kept, for each of them will say something about a word.
#
# $$ h_t = \text{step}(x_t, h_{t-1}), \quad t = 1, \dots, T, \qquad
# x: (N, T, D),\quad h_0: (N, H),\quad h: (N, T, H). $$


# %% question="rnn_forward"
def rnn_forward(x, h0, Wx, Wh, b):
    """A recurrent network over a whole sequence.

    x       (N, T, D)  inputs, T >= 1
    h0      (N, H)     state before the first step
    Wx      (D, H)
    Wh      (H, H)
    b       (H,)

    Returns
    h       (N, T, H)  the state after each step
    cache   whatever rnn_backward needs
    """
    ### BEGIN SOLUTION
    state, steps = h0, []
    for t in range(x.shape[1]):
        steps.append(rnn_step_forward(x[:, t], state, Wx, Wh, b))
        state = steps[-1][0]
    return np.stack([state for state, _ in steps], axis=1), [cache for _, cache in steps]
    ### END SOLUTION


# %%
check("rnn_forward")

# %% [markdown]
# ### Backpropagation through time
#
# Go through the chain from its end. The state $h_t$ has been used twice: by whatever stands above it (the
# loss of word $t$), from where the upstream gradient `dh[:, t]` comes, and by step $t+1$, which returns a
# gradient for *its* previous state. Both add up before step $t$ is differentiated:
#
# $$ \frac{\partial L}{\partial h_t} = \text{dh}_t + \text{dprev\_h}_{t+1}, \qquad
# \text{dprev\_h}_{T+1} = 0. $$
#
# And the weights have been used in all steps, so their gradients are sums over the steps. That is all.


# %% question="rnn_backward"
def rnn_backward(dh, cache):
    """Backpropagation through time.

    dh      (N, T, H)  upstream gradient of every state
    cache   what rnn_forward returned

    Returns
    dx      (N, T, D)
    dh0     (N, H)
    dWx     (D, H)
    dWh     (H, H)
    db      (H,)
    """
    ### BEGIN SOLUTION
    dx, dstate, dWx, dWh, db = [], 0, 0, 0, 0
    for t in range(dh.shape[1] - 1, -1, -1):
        dx_t, dstate, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dstate, cache[t])
        dx.append(dx_t)
        dWx, dWh, db = dWx + dWx_t, dWh + dWh_t, db + db_t
    return np.stack(dx[::-1], axis=1), dstate, dWx, dWh, db
    ### END SOLUTION


# %%
check("rnn_backward")

# %% [markdown]
# ## 18.3 Gradients that vanish and gradients that explode
#
# On its way from $h_t$ back to $h_0$ a gradient is multiplied $t$ times by $W_h^\top$ and by $1 - h^2
# \le 1$. What is multiplied by the same matrix again and again either fades or grows, exponentially
# (Bengio, Simard and Frasconi, 1994). Below, a loss that looks at the *last* of 50 states only, and how
# much of its gradient reaches the input of each step. The matrices $W_h$ are random and orthogonal, times a
# factor.
#
# With 0.7 less than a ten-millionth of it reaches the first step, with 0.9 half a per cent at most:
# whatever the first words were, the network can hardly learn that they mattered. With factors above 1 the
# gradient grows as long as the states are small, to a thousandfold with 1.4. Once the states are large
# (right, and at the later steps on the left), $\tanh$ is flat and takes away what $W_h$ adds. That
# neither happens is a matter of luck.

# %% tags=["show"]
rng = np.random.default_rng(0)
T, H = 50, 40
orthogonal, _ = np.linalg.qr(rng.normal(size=(H, H)))
fig, axes = plt.subplots(1, 2, figsize=(12, 3.6))
for ax, size in zip(axes, (0.001, 0.1), strict=True):
    x = size * rng.normal(size=(20, T, H))
    for factor, colour in (
        (0.7, "tab:red"),
        (0.9, "tab:orange"),
        (1.0, "tab:green"),
        (1.1, "tab:blue"),
        (1.4, "tab:purple"),
    ):
        _, cache = rnn_forward(x, np.zeros((20, H)), np.eye(H), factor * orthogonal, np.zeros(H))
        upstream = np.zeros((20, T, H))
        upstream[:, -1] = rng.normal(size=(20, H)) / np.sqrt(20 * H)
        dx = rnn_backward(upstream, cache)[0]
        ax.semilogy(range(1, T + 1), np.linalg.norm(dx, axis=(0, 2)), color=colour, label=f"{factor}")
    ax.set(title=f"inputs of size {size}", xlabel="step $t$", ylim=(1e-8, 1e4))
    ax.axhline(1, color="0.8", lw=1, zorder=0)
axes[0].set_ylabel(r"norm of $\partial L/\partial x_t$, where" + "\n" + r"$L$ looks at step 50")
axes[1].legend(title="factor of $W_h$", loc="center left", bbox_to_anchor=(1, 0.5))
fig.tight_layout()
plt.show()

# %% [markdown]
# Against vanishing gradients another kind of step is needed; that is the next assignment. Against exploding
# ones there is a cure that is as simple as it is rough (Pascanu, Mikolov and Bengio, 2013): where the
# gradient of all parameters together is longer than a given norm, shorten it to that norm, and keep its
# direction,
#
# $$ \lVert g\rVert = \sqrt{\textstyle\sum_{\text{parameters}}\sum_i g_i^2}, \qquad
# g \leftarrow g\cdot\min\!\Big(1, \frac{\text{max\_norm}}{\lVert g\rVert}\Big). $$
#
# One norm for all of them: clipping each array by itself would change the direction.


# %% question="clip_gradients"
def clip_gradients(grads, max_norm):
    """Scale gradients so that their common norm is at most max_norm.

    grads     a dictionary of arrays of any shapes
    max_norm  a positive number

    Returns
    clipped   a dictionary with the same keys: all arrays times one factor, which is 1 when the norm is at
              most max_norm. Whether they are changed in place is up to you
    norm      the norm before clipping, a float
    """
    ### BEGIN SOLUTION
    norm = float(np.sqrt(sum(np.sum(g**2) for g in grads.values())))
    factor = max_norm / norm if norm > max_norm else 1.0
    return {name: factor * g for name, g in grads.items()}, norm
    ### END SOLUTION


# %%
check("clip_gradients")

# %% [markdown]
# ## 18.4 Words
#
# A word is a number, but 17 is not "more" than 16. So each of the $V$ words of the vocabulary gets a vector
# of its own, a row of a matrix $W$ that is learned like any other weight: an **embedding**. The forward
# pass looks the rows up,
#
# $$ \text{out}_{nt} = W_{x_{nt}}, \qquad x: (N, T)\text{ integers},\quad W: (V, D),\quad
# \text{out}: (N, T, D). $$


# %% question="word_embedding_forward"
def word_embedding_forward(x, W):
    """Look up the vector of each word.

    x      (N, T)  integers from 0 to V - 1
    W      (V, D)  one row for each word

    Returns
    out    (N, T, D)
    cache  whatever word_embedding_backward needs
    """
    ### BEGIN SOLUTION
    return W[x], (x, W.shape)
    ### END SOLUTION


# %%
check("word_embedding_forward")

# %% [markdown]
# ### Backward
#
# Numbers of words have no gradient; the matrix has. Row $v$ of $W$ has been copied to every place where the
# word $v$ stands, so its gradient is the sum over these places, and zero for a word that does not occur:
#
# $$ \frac{\partial L}{\partial W_v} = \sum_{n,t:\;x_{nt} = v} \text{dout}_{nt}. $$
#
# Beware: `dW[x] += dout` adds only *once* to a row that is named several times. `np.add.at` adds every time.


# %% question="word_embedding_backward"
def word_embedding_backward(dout, cache):
    """The gradient of an embedding.

    dout   (N, T, D)  upstream gradient
    cache  what word_embedding_forward returned

    Returns
    dW     (V, D)
    """
    ### BEGIN SOLUTION
    x, shape = cache
    dW = np.zeros(shape, dout.dtype)
    np.add.at(dW, x, dout)
    return dW
    ### END SOLUTION


# %%
check("word_embedding_backward")

# %% [markdown]
# ## 18.5 A score for each word, at each step
#
# The state after each step is to say which word comes next: an affine layer gives $V$ scores. It is the
# layer of assignment 8 with an axis more, the same weights at every step:
#
# $$ \text{out}_{nt} = x_{nt} w + b, \qquad x: (N, T, D),\quad w: (D, M),\quad b: (M,),\quad
# \text{out}: (N, T, M). $$


# %% question="temporal_affine_forward"
def temporal_affine_forward(x, w, b):
    """An affine layer at each step.

    x      (N, T, D)
    w      (D, M)
    b      (M,)

    Returns
    out    (N, T, M)
    cache  whatever temporal_affine_backward needs
    """
    ### BEGIN SOLUTION
    return x @ w + b, (x, w)
    ### END SOLUTION


# %%
check("temporal_affine_forward")


# %% question="temporal_affine_backward"
def temporal_affine_backward(dout, cache):
    """Gradients of an affine layer at each step: weights and biases sum over examples and steps.

    dout   (N, T, M)  upstream gradient
    cache  what temporal_affine_forward returned

    Returns
    dx     (N, T, D)
    dw     (D, M)
    db     (M,)
    """
    ### BEGIN SOLUTION
    x, w = cache
    return dout @ w.T, np.tensordot(x, dout, axes=((0, 1), (0, 1))), dout.sum(axis=(0, 1))
    ### END SOLUTION


# %%
check("temporal_affine_backward")

# %% [markdown]
# The loss is the cross-entropy of softmax, at every step that counts. Captions differ in length, and what
# has been filled up with `<NULL>` must neither cost anything nor teach anything. A **mask** $m_{nt}$, 1 or
# 0, says which steps count:
#
# $$ L = -\frac1N\sum_{n=1}^N\sum_{t=1}^T m_{nt}\,\log p_{nt}(y_{nt}), \qquad
# \frac{\partial L}{\partial x_{ntv}} = \frac{m_{nt}}N\big(p_{ntv} - [v = y_{nt}]\big). $$
#
# The sum runs over time and the mean over examples: a caption's loss is the negative logarithm of its
# probability, and each caption counts the same. (Divide by the number of words instead and you have a loss
# per word, which other courses use.)


# %% question="temporal_softmax_loss"
def temporal_softmax_loss(x, y, mask):
    """Cross-entropy summed over the steps that count, averaged over examples; finite for scores of any size.

    x      (N, T, V)  scores, not to be modified
    y      (N, T)     the right words, from 0 to V - 1
    mask   (N, T)     booleans: whether a step counts

    Returns
    loss   a float
    dx     (N, T, V)  the gradient of the loss with respect to x
    """
    ### BEGIN SOLUTION
    N = len(x)
    shifted = x - x.max(axis=2, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    right = np.zeros_like(x)
    np.put_along_axis(right, y[:, :, None], 1, axis=2)
    weight = mask[:, :, None].astype(x.dtype) / N
    loss = -float((weight * right * log_p).sum())
    return loss, weight * (np.exp(log_p) - right)
    ### END SOLUTION


# %%
check("temporal_softmax_loss")

# %% [markdown]
# ## 18.6 A network that captions
#
# Now for the whole (Vinyals et al., 2015; Karpathy and Fei-Fei, 2015). The picture comes as a vector of $F$
# features. An affine layer makes the first state of it, so that the network begins with the picture in its
# memory, and nothing else. Then it reads the caption word by word, and at each word it is asked for the
# next one:
#
# | step | 1 | 2 | 3 | 4 |
# |---|---|---|---|---|
# | reads | `<START>` | a | red | ring |
# | should say | a | red | ring | `<END>` |
#
# So the inputs are the captions without their last column, and the right answers the captions without their
# first. Where the right answer is `<NULL>` the step does not count.
#
# $$ h_0 = f\,W_{proj} + b_{proj} \;\to\; \text{embedding} \;\to\; \text{RNN} \;\to\; \text{temporal affine}
# \;\to\; \text{temporal softmax loss} $$
#
# The parameters are made by the class below, which is given.


# %%
class CaptioningModel:
    """The parameters of a captioning network, and the tokens with a meaning.

    word_to_idx  a dictionary from words to numbers 0 ... V - 1, with "<NULL>", "<START>" and "<END>"
    input_dim    F, the number of features of a picture
    wordvec_dim  D, the length of a word's vector
    hidden_dim   H, the length of the state
    dtype        of the parameters and of all computation
    seed         equal seeds give equal parameters

    self.params  "W_proj" (F, H), "b_proj" (H,), "W_embed" (V, D), "Wx" (D, H), "Wh" (H, H), "b" (H,),
                 "W_vocab" (H, V), "b_vocab" (V,)
    self._null, self._start, self._end  the numbers of the three tokens
    """

    def __init__(self, word_to_idx, input_dim=512, wordvec_dim=128, hidden_dim=128, dtype=np.float32, seed=0):
        self.dtype = dtype
        self._null, self._start, self._end = (word_to_idx[token] for token in ("<NULL>", "<START>", "<END>"))
        V, F, D, H = len(word_to_idx), input_dim, wordvec_dim, hidden_dim
        rng = np.random.default_rng(seed)
        params = {
            "W_proj": rng.normal(size=(F, H)) / np.sqrt(F),
            "b_proj": np.zeros(H),
            "W_embed": 0.1 * rng.normal(size=(V, D)),
            "Wx": rng.normal(size=(D, H)) / np.sqrt(D),
            "Wh": rng.normal(size=(H, H)) / np.sqrt(H),
            "b": np.zeros(H),
            "W_vocab": rng.normal(size=(H, V)) / np.sqrt(H),
            "b_vocab": np.zeros(V),
        }
        self.params = {name: value.astype(dtype) for name, value in params.items()}


# %% [markdown]
# ### Saying something
#
# With training done nobody feeds the right words. The network gets `<START>`, gives scores for the first
# word, and reads what it has said itself: the word with the highest score goes in as the next input, and so
# on, until it says `<END>` or is cut off. Each step is a single `rnn_step_forward`.


# %% question="captioning_rnn"
class CaptioningRNN(CaptioningModel):
    """A recurrent network that begins with the features of a picture and says one word after the other."""

    def loss(self, features, captions):
        """The loss of captions, and its gradients.

        features  (N, F)  features of the pictures
        captions  (N, T)  token numbers: <START>, words, <END>, then <NULL>

        Returns
        loss      a float: the loss of temporal_softmax_loss over all words but the first, <NULL> left out
        grads     a dictionary with the keys and shapes of self.params
        """
        features = features.astype(self.dtype)
        ### BEGIN SOLUTION
        p = self.params
        words, right = captions[:, :-1], captions[:, 1:]
        h0 = features @ p["W_proj"] + p["b_proj"]
        x, embedding_cache = word_embedding_forward(words, p["W_embed"])
        h, rnn_cache = rnn_forward(x, h0, p["Wx"], p["Wh"], p["b"])
        scores, vocab_cache = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal_softmax_loss(scores, right, right != self._null)

        grads = {}
        dh, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, vocab_cache)
        dx, dh0, grads["Wx"], grads["Wh"], grads["b"] = rnn_backward(dh, rnn_cache)
        grads["W_embed"] = word_embedding_backward(dx, embedding_cache)
        grads["W_proj"], grads["b_proj"] = features.T @ dh0, dh0.sum(axis=0)
        return loss, grads
        ### END SOLUTION

    def sample(self, features, max_length=30):
        """Say what is in each picture: at each step the word with the highest score.

        features  (N, F)

        Returns
        captions  (N, max_length)  integers: the words said, without <START>; what stands after the first
                                   <END> of a row does not matter
        """
        features = features.astype(self.dtype)
        ### BEGIN SOLUTION
        p = self.params
        captions = np.full((len(features), max_length), self._null)
        h = features @ p["W_proj"] + p["b_proj"]
        word = np.full(len(features), self._start)
        for t in range(max_length):
            h, _ = rnn_step_forward(p["W_embed"][word], h, p["Wx"], p["Wh"], p["b"])
            word = (h @ p["W_vocab"] + p["b_vocab"]).argmax(axis=1)
            captions[:, t] = word
        return captions
        ### END SOLUTION


# %%
check("captioning_rnn")

# %% [markdown]
# ## 18.7 Training
#
# For training there is Adam again, as you wrote it in assignment 8, with your `clip_gradients` before each
# step. In each step each picture of the batch comes with one of its five captions, drawn at random.


# %%
def train(model, features, captions, steps, batch_size=64, learning_rate=3e-3, max_norm=5.0, seed=0):
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
# What does the network see? Features that another network has learned, usually: the last layer of one that
# was trained on millions of photographs. Our scenes have a fixed bank of filters instead, six for colours
# and ten for shapes of two sizes, and how strongly each answers in each of $3\times3$ parts of the picture:
# $F = 144$ numbers.

# %% tags=["show"]
from autograder.datasets.scenes import COLOURS, SHAPES, grid_features


def picture_features(images):
    """The strongest answer of each filter in each of 3 x 3 parts: (N, 3, S, S) -> (N, 144)."""
    grid = grid_features(images)
    return grid.reshape(len(images), 16, 3, 2, 3, 2).max(axis=(3, 5)).reshape(len(images), -1)


features, test_features, unseen_features = (
    picture_features(images) for images in (scenes.x_train, scenes.x_test, unseen.x_test)
)
filters = [*COLOURS, *(f"{size} {shape}" for size in ("small", "large") for shape in SHAPES)]
fig, axes = plt.subplots(1, 2, figsize=(12, 3), width_ratios=[1, 3.4], layout="constrained")
axes[0].imshow(scenes.x_train[1].transpose(1, 2, 0))
axes[0].set_xticks([])
axes[0].set_yticks([])
axes[1].imshow(features[1].reshape(16, 9).T, cmap="Blues", aspect="auto", vmin=0, vmax=1)
axes[1].set_xticks(range(16), filters, rotation=45, ha="right")
axes[1].set_yticks(
    range(9), [f"{v} {h}" for v in ("top", "middle", "bottom") for h in ("left", "centre", "right")]
)
axes[1].set_title("its features", fontsize=10)
plt.show()

# %% [markdown]
# **Fifty captions by heart** first, as always: one caption of each of fifty scenes. A loss near zero says
# that loss and gradients belong together, and sampling must then give back the very captions, word by word.

# %% tags=["show"]
fifty = slice(0, 50)
small = CaptioningRNN(word_to_idx, input_dim=144, wordvec_dim=32, hidden_dim=128)
by_heart = train(
    small, features[fifty], scenes.y_train[fifty, :1], steps=400, batch_size=50, learning_rate=5e-3
)
said = small.sample(features[fifty], max_length=15)
same = [
    decode(ours, vocabulary) == decode(theirs, vocabulary)
    for ours, theirs in zip(said, scenes.y_train[fifty, 0], strict=True)
]

fig, axes = plt.subplots(1, 2, figsize=(11, 3.2))
axes[0].semilogy(by_heart["loss"])
axes[0].set(title=f"50 captions: loss, {by_heart['loss'][-1]:.3f} at the end", xlabel="step")
axes[1].semilogy(by_heart["norm"], color="tab:orange", lw=0.8)
axes[1].axhline(5, color="0.5", ls="--", lw=1)
axes[1].text(400, 5.5, "clipped above", ha="right", color="0.4", fontsize=9)
axes[1].set(title="norm of the gradient before clipping", xlabel="step")
fig.tight_layout()
plt.show()
print(f"{sum(same)} of 50 captions are given back word by word")

# %% [markdown]
# **Now to describe scenes that it has not seen.** All 2,000 scenes with all their captions.

# %% tags=["show"]
model = CaptioningRNN(word_to_idx, input_dim=144, wordvec_dim=32, hidden_dim=128)
history = train(model, features, scenes.y_train, steps=2500, learning_rate=5e-3)
validation = np.mean([model.loss(test_features, scenes.y_test[:, k])[0] for k in range(5)])

fig, ax = plt.subplots(figsize=(7.5, 3.2))
ax.plot(history["loss"], color="tab:blue", lw=0.4)
ax.plot(np.convolve(history["loss"], np.ones(50) / 50, mode="valid"), color="tab:blue", label="training")
ax.axhline(validation, color="tab:orange", ls="--", label=f"400 new scenes, at the end: {validation:.2f}")
ax.set(title="loss of a caption", xlabel="step", ylim=(0, 40))
ax.legend()
fig.tight_layout()
plt.show()

# %% tags=["show"]
said = model.sample(test_features, max_length=15)
fig, axes = plt.subplots(2, 5, figsize=(13, 6), layout="constrained")
for ax, image, caption in zip(axes.flat, scenes.x_test, said, strict=False):
    ax.imshow(image.transpose(1, 2, 0))
    ax.set_xticks([])
    ax.set_yticks([])
    text = decode(caption, vocabulary)
    ax.set_xlabel("\n".join(" ".join(text[i : i + 6]) for i in range(0, len(text), 6)), fontsize=9)
plt.show()

# %% [markdown]
# ### How good is a caption?
#
# There is more than one right sentence, so a caption is compared with all five of its scene. **BLEU**
# (Papineni et al., 2002) asks which share of the caption's words, pairs, triples and quadruples of words
# occur in one of the references; BLEU-$n$ is the geometric mean of the first $n$ shares, over all captions
# together, lowered where captions are too short. We take it from NLTK.
#
# A number needs something to compare it with. Two baselines that cost nothing: always say the *same*
# caption, the most frequent one of the training set; and say a caption of the training scene with the *most
# similar* features.

# %% tags=["show"]
from collections import Counter
from itertools import pairwise

from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu

WEIGHTS = [[1 / n] * n for n in (1, 2, 3, 4)]


def bleu(candidates, captions):
    """BLEU-1 to BLEU-4 of one list of words for each scene, against its captions (N, 5, T)."""
    references = [[decode(caption, vocabulary) for caption in of_one] for of_one in captions]
    # Without smoothing a single count of zero would make the whole mean zero.
    return corpus_bleu(
        references, candidates, weights=WEIGHTS, smoothing_function=SmoothingFunction().method1
    )


def things(words):
    """The (colour, shape) pairs that a caption names, such as {("red", "ring")} for "two red rings"."""
    return {
        (before, next(shape for shape in SHAPES if word.startswith(shape)))
        for before, word in pairwise(words)
        if before in COLOURS and word.startswith(SHAPES)
    }


def report(name, candidates, captions):
    """One line of the table."""
    right = np.mean([
        things(words) == things(decode(of_one[0], vocabulary))
        for words, of_one in zip(candidates, captions, strict=True)
    ])  # fmt: skip
    print(f"{name:<36}", *(f"{score:7.3f}" for score in bleu(candidates, captions)), f"{right:10.0%}")


def nearest(queries):
    """For each picture the index of the training picture with the most similar features."""
    squares = (features**2).sum(axis=1) - 2 * queries @ features.T
    return squares.argmin(axis=1)


counts = Counter(caption.tobytes() for caption in scenes.y_train.reshape(-1, 16))
most_frequent = np.frombuffer(counts.most_common(1)[0][0], dtype=np.int64)
print(" " * 36, *(f" BLEU-{n}" for n in (1, 2, 3, 4)), "right things")
for part, x, y in (
    ("new scenes", test_features, scenes.y_test),
    ("unseen combinations", unseen_features, unseen.y_test),
):
    print(part)
    report("  always the same caption", [decode(most_frequent, vocabulary)] * len(y), y)
    report(
        "  caption of the most similar scene",
        [decode(scenes.y_train[i, 0], vocabulary) for i in nearest(x)],
        y,
    )
    report("  your network", [decode(caption, vocabulary) for caption in model.sample(x, 15)], y)

# %% [markdown]
# The last column counts the captions that name exactly the colours and shapes that are there: BLEU is
# content with half of a sentence, this is not. And look at the lower half of the table. In these scenes
# stands something whose colour and shape have never gone together in training: a red ring, a blue cross. To
# say *red ring* a network must have learned *red* and *ring* apart, from red squares and green rings. That
# is called **compositional generalisation**, and ours has next to nothing of it: it has learned pairs by
# heart, and says the nearest.
#
# ### What reaches back to the picture
#
# The picture is seen once, before the first word. For the network to learn from an error in its tenth word
# what it should have looked at, the gradient must come all the way back. Below, one caption unrolled: how
# much of the gradient at the state that says a word arrives at the state before the first word,
# $\lVert\partial L_t/\partial h_0\rVert\,/\,\lVert\partial L_t/\partial h_t\rVert$. Before training it
# fades from word to word, as section 18.3 said. Training has found weights that keep the picture in mind to
# the end; but for the last words they do it by making its gradient grow, on the verge of the other trouble.

# %% tags=["show"]
caption, picture = scenes.y_test[3, 0][None], test_features[3][None]
words, right = caption[:, :-1], caption[:, 1:]
length = int((right != 0).sum())


def share_that_reaches_the_picture(network):
    """For each word of the caption the norm of dL_t/dh_0 over that of dL_t/dh_t."""
    p = {name: value.astype(float) for name, value in network.params.items()}
    h0 = picture @ p["W_proj"] + p["b_proj"]
    h, rnn_cache = rnn_forward(p["W_embed"][words], h0, p["Wx"], p["Wh"], p["b"])
    scores, vocab_cache = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
    shares = []
    for t in range(length):
        only = np.zeros(right.shape, dtype=bool)
        only[:, t] = True
        _, dscores = temporal_softmax_loss(scores, right, only)
        dh, _, _ = temporal_affine_backward(dscores, vocab_cache)
        shares.append(np.linalg.norm(rnn_backward(dh, rnn_cache)[1]) / np.linalg.norm(dh))
    return shares


fresh = CaptioningRNN(word_to_idx, input_dim=144, wordvec_dim=32, hidden_dim=128)
before_training, after_training = (share_that_reaches_the_picture(network) for network in (fresh, model))

fig, ax = plt.subplots(figsize=(12, 3.8))
steps = np.arange(1, length + 1)
ax.bar(steps - 0.17, before_training, width=0.32, color="0.7", label="before training")
ax.bar(steps + 0.17, after_training, width=0.32, color="tab:blue", label="after training")
ax.axhline(1, color="0.5", lw=1, ls="--")
box, below = {"boxstyle": "round", "fc": "white", "ec": "0.5"}, ax.get_xaxis_transform()
ax.text(0, -0.14, "$h_0$: picture", ha="center", va="center", transform=below, bbox={**box, "fc": "moccasin"})
for side, y in (("reads", -0.3), ("says", 1.0)):
    ax.text(0, y, side, ha="center", color="0.4", transform=below)
for t in steps:
    arrow = {"arrowstyle": "->", "color": "0.5"}
    ax.annotate(
        "", (t - 0.25, -0.14), (t - 0.62, -0.14), xycoords=("data", "axes fraction"), arrowprops=arrow
    )
    ax.text(t, -0.14, f"$h_{{{t}}}$", ha="center", va="center", transform=below, bbox=box)
    ax.text(t, -0.3, vocabulary[words[0, t - 1]], ha="center", transform=below)
    ax.text(t, 1.0, vocabulary[right[0, t - 1]], ha="center", transform=below)
ax.set(xlim=(-0.6, length + 0.6), xticks=[], ylabel="share of the gradient")
ax.set_ylim(0, 1.15 * max(after_training))
ax.legend(loc="center left")
fig.subplots_adjust(bottom=0.28)
plt.show()

# %% [markdown]
# ## What you have now
#
# Layers for sequences, each of them proved against its derivative, and a network that says true things
# about pictures. It has two weaknesses. Its memory is overwritten at every step, and to keep the picture in
# it takes a delicate balance. And it looks only once, at everything at the same time. The next assignment
# gives it a memory that lasts, and lets it look again before each word.

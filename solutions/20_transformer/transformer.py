# %% [markdown]
# # 20. The Transformer
#
# A recurrent network reads a sentence word by word and has to carry everything that matters in one state
# vector. Attention, in the captioning model of the last assignment, was a way out: look back at all
# positions and take what is needed now. The Transformer (Vaswani et al., *Attention is all you need*, 2017)
# draws the conclusion and leaves the recurrence away. Every position looks at every other one directly, so
# that no path between two words is longer than one step, and all positions are computed at the same time.
#
# You write every part of it: attention with masks, several heads, positions, normalisation, the blocks of
# encoder and decoder. From the parts you build two models. An **encoder–decoder** learns to calculate: it
# reads `47-85` and writes `-38`. A small **GPT**, a decoder alone, learns to write text letter by
# letter, with a key/value cache that makes it fast and with the usual ways of sampling from it.
#
# Conventions. Sequences have the shape $(N, T, D)$: a batch of $N$, $T$ positions, $D$ numbers each. A layer
# is a function of its input and its parameters; the parameters of a model are a dictionary of tensors, and
# of dictionaries and lists of them. As in Part I, a linear layer computes $xW + b$ with $W$ of the shape
# (inputs, outputs). In a **mask**, `True` means *may be seen*. PyTorch computes the gradients. Its own
# attention (`F.scaled_dot_product_attention`, `F.multi_head_attention_forward`, `nn.MultiheadAttention`) and
# the classes that begin with `nn.Transformer` may not be used: they are what you write.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## 20.1 Attention
#
# Think of a dictionary that is asked with a query. Each position $s$ offers a **key** $k_s$, under which it
# can be found, and a **value** $v_s$, which it then contributes. A position $t$ asks with a **query** $q_t$.
# In a dictionary one key fits exactly; here each key fits more or less, and the answer is an average of all
# values, weighted by how well their keys fit:
#
# $$
# w_{ts} = \frac{\exp(q_t\cdot k_s/\sqrt d)}{\sum_{r}\exp(q_t\cdot k_r/\sqrt d)}, \qquad
# \text{out}_t = \sum_s w_{ts} v_s, \qquad
# Q: (\dots, T, d),\; K: (\dots, S, d),\; V: (\dots, S, e).
# $$
#
# Why the root? Two vectors of $d$ independent numbers with variance 1 have a scalar product of variance $d$.
# Without the division the scores grow with $\sqrt d$, the softmax becomes nearly one-hot, and hardly any
# gradient is left.
#
# A **mask** says which keys a query may see, `True` for those that it may. The weight of any other is exactly
# 0: put $-\infty$, or the most negative number there is, in place of its score before the softmax. A query
# that may see nothing at all gets weights of 0 and with them an output of 0. (A softmax over nothing but
# $-\infty$ is NaN, and a NaN spreads over all parameters in one backward pass.)


# %% question="attention"
def attention(q, k, v, mask=None):
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1).

    q        (..., T, d)  queries
    k        (..., S, d)  keys
    v        (..., S, e)  values
    mask     bool, broadcasts to (..., T, S): True where a query may see a key; None: it sees all

    Returns
    out      (..., T, e)  weighted means of the values; 0 for a query that may see nothing
    weights  (..., T, S)  the weights, 0 where the mask is False
    """
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ v, weights
    ### END SOLUTION


# %%
check("attention")

# %% [markdown]
# **What the root is good for.** Random queries and keys of different lengths: how much weight does the best
# of 16 keys get, with the division and without?

# %% tags=["show"]
torch.manual_seed(0)
widths = [1, 4, 16, 64, 256]
shares = {"with the division": [], "without": []}
for d in widths:
    q, k = torch.randn(200, 16, d), torch.randn(200, 16, d)
    shares["with the division"].append(attention(q, k, k)[1].amax(-1).mean().item())
    shares["without"].append(attention(q * math.sqrt(d), k, k)[1].amax(-1).mean().item())
fig, ax = plt.subplots(figsize=(6.5, 3))
for (name, share), colour in zip(shares.items(), ("tab:blue", "tab:orange"), strict=True):
    ax.semilogx(widths, share, ".-", base=2, color=colour, label=name)
ax.axhline(1 / 16, color="0.6", ls="--", lw=1)
ax.text(1, 1 / 16, "1/16: all alike", va="bottom", color="0.4", fontsize=9)
ax.set(xlabel="d", ylabel="largest of 16 weights", title="Without the root, attention saturates", ylim=(0, 1))
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 20.2 Masks
#
# Two kinds of mask occur again and again.
#
# **Causal.** A model that predicts the next token must not see it. Query $t$ sees key $s$ only for $s\le t$.
# More generally there may be more keys than queries: the queries are then the *last* $T$ of $S$ positions, so
# that query $t$ stands at position $S - T + t$ and sees everything up to there. You will need that for the
# cache.
#
# **Padding.** Sentences of a batch differ in length; the short ones are filled up with a token `pad`. Nobody
# may see a padded position. The result gets the shape $(N, 1, 1, S)$: it will meet scores of the shape
# $(N, H, T, S)$, and broadcasting does the rest.


# %% question="causal_mask"
def causal_mask(T, S=None):
    """Which of S positions each of the last T of them may see: itself and those before.

    T     number of queries
    S     number of keys, S >= T; None: S = T

    Returns a bool tensor (T, S), True for "may be seen".
    """
    ### BEGIN SOLUTION
    S = T if S is None else S
    return torch.arange(S) <= torch.arange(S - T, S)[:, None]
    ### END SOLUTION


# %%
check("causal_mask")


# %% question="padding_mask"
def padding_mask(tokens, pad=0):
    """Which positions hold a token and no padding.

    tokens  (N, S)  integers
    pad     the number of the padding token

    Returns a bool tensor (N, 1, 1, S), True for "may be seen".
    """
    ### BEGIN SOLUTION
    return (tokens != pad)[:, None, None, :]
    ### END SOLUTION


# %%
check("padding_mask")

# %% tags=["show"]
sentences = torch.tensor([[5, 3, 8, 2, 7, 4], [6, 2, 9, 0, 0, 0]])
fig, axes = plt.subplots(1, 4, figsize=(12, 2.9), layout="constrained")
both = causal_mask(6) & padding_mask(sentences)
for ax, (title, mask) in zip(
    axes,
    [
        ("causal_mask(6)", causal_mask(6)),
        ("causal_mask(2, 6)", causal_mask(2, 6)),
        ("padding, 3 of 6 tokens", padding_mask(sentences)[1, 0].expand(6, 6)),
        ("both", both[1, 0]),
    ],
    strict=True,
):
    ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.4, extent=(0, mask.shape[1], mask.shape[0], 0))
    ax.set_xticks(range(mask.shape[1] + 1), [])
    ax.set_yticks(range(mask.shape[0] + 1), [])
    ax.grid(color="0.7", lw=0.8)
    ax.set(title=title, xlabel="key", ylabel="query")
fig.suptitle("blue: may be seen", fontsize=10)
plt.show()

# %% [markdown]
# ## 20.3 Several heads
#
# One weighted mean per position is little: a verb may want to look at its subject and at its object at the
# same time. So the $D$ numbers of a position are cut into $H$ **heads** of $d = D/H$ numbers, each head
# attends on its own, and the outputs are put side by side again. Head $h$ owns the numbers $hd$ to
# $(h+1)d - 1$:
#
# $$ (N, T, D) \;\to\; (N, T, H, d) \;\to\; (N, H, T, d). $$
#
# The first arrow is a reshape, the second exchanges two axes. A reshape alone from $(N, T, D)$ to
# $(N, H, T, d)$ gives the right shape and mixes positions with heads; it is the best-known error in this
# assignment.


# %% question="split_heads"
def split_heads(x, num_heads):
    """(N, T, D) to (N, num_heads, T, D / num_heads): head h holds the h-th part of each position."""
    ### BEGIN SOLUTION
    N, T, D = x.shape
    return x.reshape(N, T, num_heads, D // num_heads).transpose(1, 2)
    ### END SOLUTION


# %% question="split_heads"
def merge_heads(x):
    """(N, H, T, d) to (N, T, H * d): the inverse of split_heads."""
    ### BEGIN SOLUTION
    return x.transpose(1, 2).flatten(2)
    ### END SOLUTION


# %%
check("split_heads")

# %% [markdown]
# Queries, keys and values are linear functions of the sequence, with weights that are learned, and one more
# linear layer mixes the heads at the end:
#
# $$
# Q = xW_q + b_q,\quad K = mW_k + b_k,\quad V = mW_v + b_v,\qquad
# \text{out} = \text{merge}\big(\text{attention}(Q_h, K_h, V_h)_{h=1\dots H}\big)W_o + b_o .
# $$
#
# In **self-attention** a sequence looks at itself, $m = x$. In **cross-attention** one sequence looks at
# another one, the memory $m$, which may have another length: the decoder of a translator looks at the
# sentence to be translated.


# %% question="multi_head_attention"
def multi_head_attention(x, memory, params, num_heads, mask=None):
    """Attention of x on memory with several heads.

    x          (N, T, D)  makes the queries
    memory     (N, S, D)  makes the keys and the values; x itself for self-attention
    params     "wq", "wk", "wv", "wo" (D, D) and "bq", "bk", "bv", "bo" (D,)
    num_heads  H, a divisor of D
    mask       bool, broadcasts to (N, H, T, S); None: everything may be seen

    Returns (N, T, D).
    """
    ### BEGIN SOLUTION
    q = split_heads(x @ params["wq"] + params["bq"], num_heads)
    k = split_heads(memory @ params["wk"] + params["bk"], num_heads)
    v = split_heads(memory @ params["wv"] + params["bv"], num_heads)
    out, _ = attention(q, k, v, mask)
    return merge_heads(out) @ params["wo"] + params["bo"]
    ### END SOLUTION


# %%
check("multi_head_attention")

# %% [markdown]
# ## 20.4 Positions
#
# Shuffle the positions of a sequence, and attention gives the same outputs, shuffled: it sees a bag of
# tokens. *Dog bites man* and *man bites dog* are alike. So the position must be written into the vectors. The
# original Transformer adds waves of different lengths, from $2\pi$ to $10000\cdot2\pi$ positions:
#
# $$
# P_{t,\,2i} = \sin\frac{t}{10000^{2i/D}}, \qquad P_{t,\,2i+1} = \cos\frac{t}{10000^{2i/D}},
# \qquad t = 0,\dots,T-1,\quad i = 0,\dots,\tfrac D2-1 .
# $$
#
# Sine and cosine of one wavelength are the two coordinates of a clock hand. Going $k$ positions on turns each
# hand by a fixed angle, so that a linear layer can look for "the token $k$ places before me".


# %% question="positional_encoding"
def positional_encoding(T, D):
    """Sinusoidal positions (Vaswani et al. 2017, section 3.5). D is even.

    Returns (T, D) in float32.
    """
    ### BEGIN SOLUTION
    frequencies = 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    angles = torch.arange(T)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()
    ### END SOLUTION


# %%
check("positional_encoding")

# %% tags=["show"]
encoding = positional_encoding(100, 64)
fig, axes = plt.subplots(1, 2, figsize=(12, 3.6), layout="constrained")
image = axes[0].imshow(encoding, cmap="RdBu", aspect="auto", vmin=-1, vmax=1)
axes[0].set(title="positional encoding", xlabel="dimension", ylabel="position")
fig.colorbar(image, ax=axes[0])
image = axes[1].imshow(encoding @ encoding.T, cmap="viridis", aspect="auto")
axes[1].set(title="scalar products of the positions", xlabel="position", ylabel="position")
fig.colorbar(image, ax=axes[1])
plt.show()

# %% [markdown]
# Left, slow waves on the right and fast ones on the left, like the digits of a clock. Right, how similar two
# positions are: only their distance counts, and near ones are more alike than far ones.
#
# ## 20.5 Layer normalisation and the feed-forward layer
#
# You have written layer normalisation in assignment 9, with its backward pass. Here it runs over the $D$
# numbers of each position; the other positions and the other sentences of the batch do not matter:
#
# $$ \text{out} = \gamma\,\frac{x-\mu}{\sqrt{\sigma^2+\varepsilon}}+\beta, \qquad
# \mu = \frac1D\sum_d x_d,\quad \sigma^2=\frac1D\sum_d(x_d-\mu)^2. $$
#
# Note $1/D$ in the variance: PyTorch's `var` divides by $D-1$ unless told otherwise.


# %% question="layer_norm"
def layer_norm(x, gamma, beta, eps=1e-5):
    """Layer normalisation over the last axis (Ba et al. 2016).

    x      (..., D)
    gamma  (D,)  scale
    beta   (D,)  shift

    Returns the shape of x.
    """
    ### BEGIN SOLUTION
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = (centred**2).mean(dim=-1, keepdim=True)
    return gamma * centred / torch.sqrt(variance + eps) + beta
    ### END SOLUTION


# %%
check("layer_norm")

# %% [markdown]
# Attention moves information between positions; it computes little with it. That is what the feed-forward
# layer is for, a network with one hidden layer that is applied to each position by itself. In place of ReLU
# it has GELU, $x\,\Phi(x)$ with the normal distribution function $\Phi$, a ReLU without a kink: `F.gelu`.
#
# $$
# \text{out} = \mathrm{GELU}(xW_1 + b_1)W_2 + b_2, \qquad W_1: (D, M),\; W_2: (M, D),\; M = 4D\text{ mostly}
# $$


# %% question="feed_forward"
def feed_forward(x, params):
    """The position-wise feed-forward layer with GELU (F.gelu with its default, the exact form).

    x       (N, T, D)
    params  "w1" (D, M), "b1" (M,), "w2" (M, D), "b2" (D,)

    Returns (N, T, D).
    """
    ### BEGIN SOLUTION
    return F.gelu(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
    ### END SOLUTION


# %%
check("feed_forward")

# %% [markdown]
# ## 20.6 Blocks
#
# A block of the **encoder** has two parts, self-attention and feed-forward. Each part is a *residual*: it
# computes what is to be added to its input, so that the gradient always has a straight way back. Where the
# normalisation stands is a matter of taste and of consequence:
#
# $$
# \text{post-norm (2017):}\quad x \leftarrow \mathrm{norm}(x + \mathrm{part}(x)) \qquad\qquad
# \text{pre-norm (GPT-2 and later):}\quad x \leftarrow x + \mathrm{part}(\mathrm{norm}(x))
# $$
#
# With pre-norm the straight way is not interrupted by a normalisation; such models train without a long
# warm-up. Write both; `norm_first` chooses.


# %% question="encoder_block"
def encoder_block(x, params, num_heads, mask=None, norm_first=True):
    """Self-attention and feed-forward, each with a residual connection and a normalisation.

    x           (N, T, D)
    params      "attention" (as in multi_head_attention), "feed_forward" (as there),
                "norm1" of the attention and "norm2" of the feed-forward, each {"gamma": (D,), "beta": (D,)}
    mask        bool, broadcasts to (N, num_heads, T, T)
    norm_first  True: pre-norm; False: post-norm

    Returns (N, T, D).
    """
    ### BEGIN SOLUTION
    parts = [
        ("norm1", lambda h: multi_head_attention(h, h, params["attention"], num_heads, mask)),
        ("norm2", lambda h: feed_forward(h, params["feed_forward"])),
    ]
    for norm, part in parts:
        if norm_first:
            x = x + part(layer_norm(x, **params[norm]))
        else:
            x = layer_norm(x + part(x), **params[norm])
    return x
    ### END SOLUTION


# %%
check("encoder_block")

# %% [markdown]
# A block of the **decoder** has three parts: causal self-attention, since it must not see the tokens that it
# is to predict; cross-attention on the memory, which the encoder has made; and feed-forward. The memory is
# taken as it is; only the decoder's own sequence is normalised.


# %% question="decoder_block"
def decoder_block(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    """Causal self-attention, cross-attention on the memory, feed-forward; each residual, with a norm.

    x            (N, T, D)
    memory       (N, S, D)  what the encoder returned
    params       "self_attention", "cross_attention", "feed_forward", and "norm1", "norm2", "norm3" in this
                 order, each {"gamma": (D,), "beta": (D,)}
    memory_mask  bool, broadcasts to (N, num_heads, T, S): which positions of the memory may be seen
    norm_first   True: pre-norm; False: post-norm

    Returns (N, T, D).
    """
    ### BEGIN SOLUTION
    own, cross = params["self_attention"], params["cross_attention"]
    parts = [
        ("norm1", lambda h: multi_head_attention(h, h, own, num_heads, causal_mask(h.shape[1]))),
        ("norm2", lambda h: multi_head_attention(h, memory, cross, num_heads, memory_mask)),
        ("norm3", lambda h: feed_forward(h, params["feed_forward"])),
    ]
    for norm, part in parts:
        if norm_first:
            x = x + part(layer_norm(x, **params[norm]))
        else:
            x = layer_norm(x + part(x), **params[norm])
    return x
    ### END SOLUTION


# %%
check("decoder_block")

# %% [markdown]
# ## 20.7 An encoder–decoder that calculates
#
# The whole model embeds the tokens of the source, multiplied with $\sqrt D$ so that they are not drowned by
# the positions, adds the positions, and sends them through the encoder's blocks; a last normalisation makes
# the memory. The decoder does the same with the target, looking at the memory, and a linear layer turns each
# position into scores over the vocabulary:
#
# $$
# x = \sqrt D\,E[\text{tokens}] + P,\qquad
# \text{logits} = \mathrm{norm}(\text{decoder}(x))\,W_{\text{out}} + b_{\text{out}},
# \qquad (N, T) \to (N, T, V).
# $$
#
# The parameters come ready made; here they are drawn. Weights have the standard deviation
# $1/\sqrt{\text{inputs}}$, biases start at 0, scales at 1.


# %% tags=["given"]
def init_linear(inputs, outputs, generator):
    """A weight matrix (inputs, outputs)."""
    return torch.randn(inputs, outputs, generator=generator) / math.sqrt(inputs)


def init_attention(D, generator):
    """The parameters of multi_head_attention."""
    params = {name: init_linear(D, D, generator) for name in ("wq", "wk", "wv", "wo")}
    return params | {name: torch.zeros(D) for name in ("bq", "bk", "bv", "bo")}


def init_norm(D):
    """The parameters of layer_norm."""
    return {"gamma": torch.ones(D), "beta": torch.zeros(D)}


def init_block(D, generator, attentions=("attention",), expansion=4):
    """The parameters of a block: attentions, feed-forward, and a norm for each of them."""
    hidden = expansion * D
    block = {name: init_attention(D, generator) for name in attentions}
    block["feed_forward"] = {
        "w1": init_linear(D, hidden, generator),
        "b1": torch.zeros(hidden),
        "w2": init_linear(hidden, D, generator),
        "b2": torch.zeros(D),
    }
    return block | {f"norm{i + 1}": init_norm(D) for i in range(len(attentions) + 1)}


def init_transformer(num_source, num_target, D, num_blocks, seed=0):
    """The parameters of an encoder-decoder for vocabularies of so many tokens."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "source": torch.randn(num_source, D, generator=generator) / math.sqrt(D),
        "target": torch.randn(num_target, D, generator=generator) / math.sqrt(D),
        "encoder": [init_block(D, generator) for _ in range(num_blocks)],
        "encoder_norm": init_norm(D),
        "decoder": [
            init_block(D, generator, ("self_attention", "cross_attention")) for _ in range(num_blocks)
        ],
        "decoder_norm": init_norm(D),
        "w_out": init_linear(D, num_target, generator),
        "b_out": torch.zeros(num_target),
    }


def leaves(params):
    """All tensors in a dictionary of dictionaries, lists and tensors."""
    if isinstance(params, torch.Tensor):
        return [params]
    inner = params.values() if isinstance(params, dict) else params
    return [tensor for part in inner for tensor in leaves(part)]


# %% question="transformer_forward"
def transformer_forward(source, target, params, num_heads, pad=0):
    """Scores of the next token at each position of the target, with pre-norm blocks.

    source  (N, S)  tokens, padded with `pad`, which nobody may see
    target  (N, T)  tokens that the decoder has read so far (position t predicts what follows it)
    params  "source" (V_source, D), "target" (V_target, D): embeddings; "encoder", "decoder": lists of the
            parameters of their blocks; "encoder_norm", "decoder_norm"; "w_out" (D, V_target), "b_out"

    Returns logits (N, T, V_target).
    """

    ### BEGIN SOLUTION
    def embed(table, tokens):
        D = table.shape[1]
        return table[tokens] * math.sqrt(D) + positional_encoding(tokens.shape[1], D)

    mask = padding_mask(source, pad)
    memory = embed(params["source"], source)
    for block in params["encoder"]:
        memory = encoder_block(memory, block, num_heads, mask)
    memory = layer_norm(memory, **params["encoder_norm"])
    x = embed(params["target"], target)
    for block in params["decoder"]:
        x = decoder_block(x, memory, block, num_heads, mask)
    return layer_norm(x, **params["decoder_norm"]) @ params["w_out"] + params["b_out"]
    ### END SOLUTION


# %%
check("transformer_forward")

# %% [markdown]
# ### The loss
#
# Each position predicts a token, and the loss is the mean cross-entropy, over the positions that hold a
# token: what stands at a padded position is nobody's concern. (A loss per token, then, where assignment 18
# had one per caption.)
#
# $$ L = -\frac{1}{|\{(n,t): y_{nt}\neq\text{pad}\}|}\sum_{n,t:\;y_{nt}\neq\text{pad}} \log p_{nt}(y_{nt}) $$


# %% question="sequence_loss"
def sequence_loss(logits, targets, pad=0):
    """Mean cross-entropy over all positions that are not padded.

    logits   (N, T, V)
    targets  (N, T)  integers, `pad` where there is nothing to predict

    Returns a tensor without axes, in nats.
    """
    ### BEGIN SOLUTION
    keep = targets != pad
    log_p = torch.log_softmax(logits[keep], dim=-1)
    return -log_p.gather(-1, targets[keep][:, None]).mean()
    ### END SOLUTION


# %%
check("sequence_loss")

# %% [markdown]
# ### Training
#
# In training the decoder gets the right answer as its input, moved one place to the right behind a token
# `bos` (begin of sequence, the `<START>` of the captions; `eos` is their `<END>`): at position 0 it reads
# `bos` and should say the first token; at position 1 it reads the first token, the right one, and should say
# the second. That is called **teacher forcing**, and your captioning networks were trained so, too. The
# causal mask makes all positions of all answers examples at the same time.
#
# | position | 0 | 1 | 2 | 3 | 4 |
# |---|---|---|---|---|---|
# | reads | bos | - | 8 | 3 | 0 |
# | should say | - | 8 | 3 | 0 | eos |
#
# Write the training loop for any model that is a function `forward(source, read, params)`: draw a batch,
# compute the loss, step with Adam. A learning rate that rises in the first tenth of the steps, stays, and
# falls to 0 in the last third is worth much (`torch.optim.lr_scheduler.LambdaLR` takes a function of the
# step).


# %%
HEADS = 4


def calculate(source, read, params):
    """Your encoder-decoder, as `train` wants it."""
    return transformer_forward(source, read, params, HEADS)


def look_up(source, read, params):
    """A model without attention, to try `train` with: each token has scores for what comes next."""
    return params["read"][read] + params["source"][source].sum(dim=1, keepdim=True)


# %% question="train"
def train(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    """Train a model with teacher forcing and Adam.

    params         nested dictionaries and lists of tensors (see `leaves`); may be modified
    forward        forward(source, read, params) returns logits (N, T, V)
    source         (num_examples, S)  tokens
    target         (num_examples, T)  the right answers, without bos, padded with `pad`
    num_steps      so many batches of batch_size examples drawn at random
    learning_rate  the largest one
    seed           of the batches

    Returns
    params         the trained parameters, without gradients (requires_grad False)
    losses         a list of num_steps floats, each the loss of its batch before its step
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    weights = [tensor.requires_grad_() for tensor in leaves(params)]
    optimizer = torch.optim.Adam(weights, lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 10 * (step + 1) / num_steps, 3 * (num_steps - step) / num_steps)
    )
    losses = []
    for _ in range(num_steps):
        batch = torch.randint(len(source), (batch_size,), generator=generator)
        answers = target[batch]
        read = torch.cat([torch.full((batch_size, 1), bos), answers[:, :-1]], dim=1)
        loss = sequence_loss(forward(source[batch], read, params), answers, pad)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    for tensor in weights:
        tensor.requires_grad_(False)
    return params, losses
    ### END SOLUTION


# %%
check("train")

# %% [markdown]
# ### Decoding
#
# In use nobody knows the right answer. The decoder starts with `bos`, says the most likely token, reads it,
# says the next, and so on: **greedy decoding**. An answer ends with `eos`; whatever would come behind it is
# replaced by `pad`, since the other answers of the batch may be longer.


# %% question="greedy_decode"
def greedy_decode(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    """The answers of an encoder-decoder, the most likely token at each step.

    source      (N, S)  tokens
    num_tokens  length of the answers

    Returns (N, num_tokens) integers, without bos; `pad` behind an eos.
    """
    ### BEGIN SOLUTION
    read = torch.full((len(source), 1), bos)
    ended = torch.zeros(len(source), dtype=torch.bool)
    for _ in range(num_tokens):
        following = transformer_forward(source, read, params, num_heads, pad)[:, -1].argmax(dim=-1)
        following = following.masked_fill(ended, pad)
        ended = ended | (following == eos)
        read = torch.cat([read, following[:, None]], dim=1)
    return read[:, 1:]
    ### END SOLUTION


# %%
check("greedy_decode")

# %% [markdown]
# ### Two-digit arithmetic
#
# The task: two numbers from 0 to 99, to be added or subtracted. A source has five tokens, `4 7 - 8 5`. An
# answer has five as well: the sign, three digits, and `eos`. The digits are written from the units upwards,
# as one calculates on paper, so that a digit depends on few tokens and on what has been carried over; written
# from the left, the first digit would need the whole calculation. There are 20,000 such exercises. The model
# is trained on a part of them and tested on others, and an answer counts only if every token is right. It is
# told nothing of numbers: to the model, `7` is the token number 10.


# %%
SYMBOLS = ["pad", "bos", "eos", *"0123456789", "+", "-"]
PLUS, MINUS = SYMBOLS.index("+"), SYMBOLS.index("-")


def draw_exercises(num_exercises, seed=0, signed=False):
    """Different exercises in random order: source (num_exercises, 5) and target (num_exercises, 5).

    With signs the two numbers lie between -99 and 99, and a source has seven tokens.
    """
    rng = np.random.default_rng(seed)
    least, count = (-99, 199) if signed else (0, 100)
    chosen = torch.from_numpy(rng.permutation(2 * count**2)[:num_exercises])
    first, second = chosen // (2 * count) + least, chosen // 2 % count + least
    operator = torch.where(chosen % 2 == 1, MINUS, PLUS)
    answer = torch.where(operator == MINUS, first - second, first + second)

    def sign(number):
        return torch.where(number < 0, MINUS, PLUS)

    def digits(number, count):
        """From the units upwards."""
        return [number.abs() // 10**place % 10 + SYMBOLS.index("0") for place in range(count)]

    def written(number):
        return ([sign(number)] if signed else []) + digits(number, 2)[::-1]

    source = torch.stack([*written(first), operator, *written(second)], dim=1)
    return source, torch.stack([sign(answer), *digits(answer, 3), torch.full_like(answer, 2)], dim=1)


# %% tags=["show", "timing"]
source, target = draw_exercises(17000)
train_source, train_target = source[:15000], target[:15000]
test_source, test_target = source[15000:], target[15000:]


def text(source, target):
    """An exercise and its answer, as one writes them."""
    asked, (sign, *digits) = [SYMBOLS[i] for i in source], [SYMBOLS[i] for i in target[:-1]]
    return f"{''.join(asked)} = {sign}{''.join(reversed(digits))}"


print(", ".join(text(*pair) for pair in zip(source[:4], target[:4], strict=True)))
params = init_transformer(len(SYMBOLS), len(SYMBOLS), D=32, num_blocks=1)
print(f"{sum(tensor.numel() for tensor in leaves(params)):,} parameters")
params, losses = train(params, calculate, train_source, train_target, 600, 256, 8e-3)
answers = greedy_decode(test_source, params, HEADS, 5)
right = (answers == test_target).all(dim=1)
print(f"exact answers on {len(right):,} new exercises: {right.float().mean():.1%}")
for i in (~right).nonzero()[:3, 0]:
    print(f"wrong: {text(test_source[i], answers[i])}")

digits = (test_source[:, [0, 1, 3, 4]] - SYMBOLS.index("0")).T
first, second = 10 * digits[0] + digits[1], 10 * digits[2] + digits[3]
fig, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
axes[0].semilogy(losses, lw=0.7, color="tab:blue")
axes[0].set(title="loss", xlabel="step", ylabel="nats per token")
for ax, operator, symbol in zip(axes[1:], (PLUS, MINUS), "+-", strict=True):
    for good, name, colour, size in ((True, "right", "tab:blue", 4), (False, "wrong", "tab:red", 16)):
        rows = (test_source[:, 2] == operator) & (right == good)
        ax.scatter(first[rows], second[rows], s=size, color=colour, label=f"{int(rows.sum())} {name}")
    ax.set(title=f"a {symbol} b", xlabel="a", ylabel="b", aspect="equal")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
plt.show()

# %% [markdown]
# 73.83 % of exact answers is what a course reported for its model on such a task, with signed numbers. With
# signs the exercises are harder (the model must find out that $-(-b)$ is $+b$), and it takes some minutes
# instead of seconds: try `draw_exercises(70000, signed=True)`.
#
# **Where it looks.** Calculating leaves traces. For each token of an answer (rows), how much weight does each
# head of the decoder's cross-attention give to each token of the exercise (columns)? To see the weights we
# run the decoder's block once more by hand.

# %% tags=["show", "timing"]
row = int(right.nonzero()[0])
asked, answer = test_source[row : row + 1], test_target[row : row + 1]
block = params["decoder"][0]
scale = math.sqrt(32)
memory = params["source"][asked] * scale + positional_encoding(5, 32)
memory = layer_norm(encoder_block(memory, params["encoder"][0], HEADS), **params["encoder_norm"])
read = torch.cat([torch.tensor([[1]]), answer[:, :-1]], dim=1)
x = params["target"][read] * scale + positional_encoding(5, 32)
h = layer_norm(x, **block["norm1"])
x = x + multi_head_attention(h, h, block["self_attention"], HEADS, causal_mask(5))
cross, h = block["cross_attention"], layer_norm(x, **block["norm2"])
queries, keys = h @ cross["wq"] + cross["bq"], memory @ cross["wk"] + cross["bk"]
weights = attention(split_heads(queries, HEADS), split_heads(keys, HEADS), split_heads(memory, HEADS))[1]
fig, axes = plt.subplots(1, HEADS, figsize=(12, 2.9), sharey=True, layout="constrained")
for number, ax in enumerate(axes):
    ax.imshow(weights[0, number], cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(5), [SYMBOLS[token] for token in asked[0]])
    ax.set_yticks(range(5), [SYMBOLS[token] for token in answer[0]])
    ax.set(title=f"head {number + 1}", xlabel="exercise")
axes[0].set_ylabel("answer to be said")
fig.suptitle(f"cross-attention: {text(asked[0], answer[0])}", fontsize=10)
plt.show()

# %% [markdown]
# ## 20.8 A small GPT
#
# A language model says how likely each next token is, given all before. For that no encoder is needed: GPT is
# a stack of blocks with causal self-attention, which is your `encoder_block` with a causal mask. It differs
# from the model above in two details, as GPT-2 does: the positions are learned, a table like that of the
# tokens, and the embedding of the tokens serves as the output layer as well, transposed (*weight tying*), so
# that a token's score is the scalar product of its embedding with the last hidden vector:
#
# $$ x_t = E[\text{token}_t] + P[t], \qquad \text{logits} = \mathrm{norm}(\text{blocks}(x))\,E^\top. $$


# %% tags=["given"]
def init_gpt(num_tokens, num_positions, D, num_blocks, seed=0):
    """The parameters of a GPT."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "tokens": 0.1 * torch.randn(num_tokens, D, generator=generator),
        "positions": 0.1 * torch.randn(num_positions, D, generator=generator),
        "blocks": [init_block(D, generator) for _ in range(num_blocks)],
        "norm": init_norm(D),
    }


# %% question="gpt_forward"
def gpt_forward(tokens, params, num_heads):
    """Scores of the next token at each position, with pre-norm blocks.

    tokens  (N, T)
    params  "tokens" (V, D), "positions" (at least T, D), "blocks", "norm"

    Returns logits (N, T, V).
    """
    ### BEGIN SOLUTION
    T = tokens.shape[1]
    x = params["tokens"][tokens] + params["positions"][:T]
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads, causal_mask(T))
    return layer_norm(x, **params["norm"]) @ params["tokens"].T
    ### END SOLUTION


# %%
check("gpt_forward")

# %% [markdown]
# ### The key/value cache
#
# A text is written token by token, and each new token needs a forward pass. But what the older positions have
# computed does not change any more: with a causal mask they cannot see the new one. All that the new position
# wants of them are their keys and values, in each block. Keep those, and a step computes one position in
# place of all of them.
#
# `gpt_step` takes one or more new tokens, which follow those that are in the cache, and returns the scores
# behind each of them and the new cache. What a cache is, is up to you; `None` is the empty one. The new
# tokens stand at the positions behind the old ones, and are causal among themselves: here `causal_mask(T, S)`
# comes in. Do not change the old cache in place: somebody may want to go on from it a second time.


# %% question="gpt_step"
def gpt_step(tokens, cache, params, num_heads):
    """Scores behind new tokens, given the keys and values of the earlier ones.

    tokens  (N, T)  the new tokens, T >= 1
    cache   what gpt_step returned for the earlier tokens; None where there are none
    params  as in gpt_forward

    Returns
    logits  (N, T, V), what gpt_forward of all tokens gives for the last T
    cache   of all tokens so far
    """
    ### BEGIN SOLUTION
    past = 0 if cache is None else cache[0][0].shape[2]
    total = past + tokens.shape[1]
    x = params["tokens"][tokens] + params["positions"][past:total]
    grown = []
    for number, block in enumerate(params["blocks"]):
        layer, h = block["attention"], layer_norm(x, **block["norm1"])
        q, k, v = (split_heads(h @ layer[f"w{n}"] + layer[f"b{n}"], num_heads) for n in "qkv")
        if cache is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(cache[number], (k, v), strict=True))
        grown.append((k, v))
        out, _ = attention(q, k, v, causal_mask(tokens.shape[1], total))
        x = x + merge_heads(out) @ layer["wo"] + layer["bo"]
        x = x + feed_forward(layer_norm(x, **block["norm2"]), block["feed_forward"])
    return layer_norm(x, **params["norm"]) @ params["tokens"].T, grown
    ### END SOLUTION


# %%
check("gpt_step")

# %% [markdown]
# ### Sampling
#
# From the scores $z$ of the next token come probabilities, and there are three usual ways to sharpen them.
#
# * **Temperature** $\tau$, as in assignment 14: $p_i \propto e^{z_i/\tau}$. Below 1 the likely gets likelier;
#   as $\tau\to0$ only the most likely one is left.
# * **Top-k**: only the $k$ most likely tokens stay, the others get 0, and the rest is normalised.
# * **Top-p**, or nucleus (Holtzman et al., 2020): of the tokens in order of probability, keep the fewest
#   whose probabilities add up to at least $p$. Where the model is sure these are few, elsewhere many. At
#   least one always stays.
#
# They are applied in this order, each on what the one before has left.


# %% question="token_probabilities"
def token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Probabilities from which to draw a token.

    logits       (N, V)
    temperature  divides the logits; 0 puts all probability on the most likely token
    top_k        keep so many tokens (all, where there are fewer); None: all
    top_p        keep the fewest most likely tokens with a probability of at least top_p together (after
                 temperature and top_k), 0 < top_p <= 1; None: all

    Returns (N, V), each row with the sum 1.
    """
    ### BEGIN SOLUTION
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)
    logits = logits / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    p = torch.softmax(logits, dim=-1)
    if top_p is not None:
        ordered, order = p.sort(dim=-1, descending=True)
        ordered[ordered.cumsum(dim=-1) - ordered >= top_p] = 0
        p = torch.zeros_like(p).scatter(-1, order, ordered / ordered.sum(dim=-1, keepdim=True))
    return p
    ### END SOLUTION


# %%
check("token_probabilities")

# %% [markdown]
# Everything comes together in `generate`: read the prompt once, then draw a token, step, draw the next.


# %% question="generate"
def generate(prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None):
    """Continue texts, token by token, with the cache.

    prompt      (N, T)  tokens to continue, T >= 1
    num_tokens  how many to add; T + num_tokens is at most the number of positions
    seed        of the draws: the same seed gives the same text; the N continuations of a batch are drawn
                independently

    Returns (N, T + num_tokens): the prompt and its continuation.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    written, new, cache = prompt, prompt, None
    for _ in range(num_tokens):
        logits, cache = gpt_step(new, cache, params, num_heads)
        p = token_probabilities(logits[:, -1], temperature, top_k, top_p)
        new = torch.multinomial(p, 1, generator=generator)
        written = torch.cat([written, new], dim=1)
    return written
    ### END SOLUTION


# %%
check("generate")

# %% tags=["show"]
logits = torch.tensor([[3.0, 2.4, 1.9, 1.5, 0.8, 0.3, -0.2, -1.0]])
fig, axes = plt.subplots(1, 5, figsize=(12, 2.4), sharey=True)
for ax, (title, options) in zip(
    axes,
    [
        ("as it is", {}),
        ("temperature 0.5", {"temperature": 0.5}),
        ("temperature 2", {"temperature": 2.0}),
        ("top-k, k = 3", {"top_k": 3}),
        ("top-p, p = 0.8", {"top_p": 0.8}),
    ],
    strict=True,
):
    ax.bar(range(8), token_probabilities(logits, **options)[0], color="tab:blue")
    ax.set(title=title, xlabel="token")
axes[0].set_ylabel("probability")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 20.9 Letter by letter
#
# Now a text. If your data folder holds the State of the Union addresses of the American presidents, the model
# learns from them; otherwise from little tales that a grammar of the course has written. A token is a
# character. The yardstick is **bits per character**: the mean of $-\log_2 p$ over a text that the model has
# not seen, the number of yes-or-no questions that each letter still costs.
#
# To know what a number is worth, compare it with something simple. A **trigram** model says how likely a
# character is after the two before it, by counting. Counts of zero are mixed with those of shorter contexts,
# so that nothing is impossible.


# %%
def trigram_bits(train_tokens, test_tokens, num_tokens, mix=4.0):
    """Bits per token of a trigram model, with counts smoothed by the bigram's and these by the unigram's."""
    counts = [np.zeros((num_tokens,) * order) for order in (1, 2, 3)]
    for order, table in enumerate(counts):
        columns = [train_tokens[i : len(train_tokens) - order + i] for i in range(order + 1)]
        np.add.at(table, tuple(columns), 1)
    p = (counts[0] + 1) / (counts[0] + 1).sum()
    for table in counts[1:]:
        p = (table + mix * p) / (table.sum(axis=-1, keepdims=True) + mix)
    return float(-np.log2(p[test_tokens[:-2], test_tokens[1:-1], test_tokens[2:]]).mean())


# %% tags=["show", "timing"]
from autograder.datasets import DatasetMissing

try:
    corpus = load_dataset("speeches")
except DatasetMissing:
    corpus = load_dataset("tales", num_train=3000, num_test=200)
train_text, test_text = ("\n".join(texts) for texts in (corpus.x_train, corpus.x_test))
characters = sorted(set(train_text) | set(test_text))
number_of = {character: number for number, character in enumerate(characters)}
train_tokens, test_tokens = (
    np.array([number_of[c] for c in text], dtype=np.int64) for text in (train_text, test_text[:60000])
)
print(f"{corpus.source}: {len(train_tokens):,} characters, {len(characters)} different ones")
trigram = trigram_bits(train_tokens, test_tokens, len(characters))
print(f"trigram model: {trigram:.2f} bits per character")


# %% [markdown]
# The training loop is the one from above but for the batches: windows of the text, cut out anywhere. At each
# of its positions the model predicts the next character.


# %% tags=["show", "timing", "given"]
def windows(tokens, starts, width):
    """Windows of a text: (len(starts), width)."""
    return torch.from_numpy(np.stack([tokens[start : start + width] for start in starts]))


def bits_per_character(gpt, tokens, width, batch=64):
    """In windows beside each other; the first characters of a window have little context."""
    starts = np.arange(0, len(tokens) - width - 1, width)
    nats = []
    with torch.no_grad():
        for i in range(0, len(starts), batch):
            cut = windows(tokens, starts[i : i + batch], width + 1)
            nats.append(sequence_loss(gpt_forward(cut[:, :-1], gpt, HEADS), cut[:, 1:], pad=-1).item())
    return float(np.mean(nats)) / math.log(2)


WIDTH = 96
gpt = init_gpt(len(characters), 256, D=96, num_blocks=2)
weights = [tensor.requires_grad_() for tensor in leaves(gpt)]
optimizer = torch.optim.AdamW(weights, lr=3e-3, weight_decay=0.01)
steps = 450
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
rng, curve = np.random.default_rng(0), []
for _ in range(steps):
    cut = windows(train_tokens, rng.integers(len(train_tokens) - WIDTH - 1, size=32), WIDTH + 1)
    loss = sequence_loss(gpt_forward(cut[:, :-1], gpt, HEADS), cut[:, 1:], pad=-1)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    schedule.step()
    curve.append(loss.item() / math.log(2))
for tensor in weights:
    tensor.requires_grad_(False)
reached = bits_per_character(gpt, test_tokens, WIDTH)
print(f"GPT: {reached:.2f} bits per character on unseen text, the trigram model {trigram:.2f}")

fig, ax = plt.subplots(figsize=(7.5, 3))
ax.plot(curve, color="tab:blue", lw=0.8, label="GPT, training batches")
ax.axhline(trigram, color="tab:orange", label="trigram, unseen text")
ax.axhline(reached, color="tab:blue", ls="--", label="GPT, unseen text")
ax.set(xlabel="step", ylabel="bits per character", ylim=(0, 5))
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# **Read what it writes.** The same beginning, continued at three temperatures. Cold, it repeats the most
# usual phrases; hot, it invents words.

# %% tags=["show", "timing"]
beginning = "The people " if corpus.name == "speeches" else "Once there was "
prompt = torch.tensor([[number_of[c] for c in beginning]])
for options in ({"temperature": 0.0}, {"temperature": 0.7}, {"top_p": 0.9}, {"temperature": 1.5}):
    tokens = generate(prompt, 80, gpt, HEADS, seed=3, **options)[0]
    print(f"{options}: {''.join(characters[token] for token in tokens)!r}\n")

# %% [markdown]
# **What the cache buys.** Time per new token, with and without, as the text grows.

# %% tags=["show", "timing"]
import time

lengths, seconds = [32, 64, 128, 192, 255], {"with the cache": [], "without": []}
for length in lengths:
    tokens = torch.from_numpy(train_tokens[:length])[None].repeat(4, 1)
    _, cache = gpt_step(tokens[:, :-1], None, gpt, HEADS)
    for name, run in (
        ("with the cache", lambda new=tokens[:, -1:], old=cache: gpt_step(new, old, gpt, HEADS)),
        ("without", lambda all_of_them=tokens: gpt_forward(all_of_them, gpt, HEADS)),
    ):
        best = math.inf
        for _ in range(5):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
        seconds[name].append(best)
fig, ax = plt.subplots(figsize=(6.5, 3))
for (name, times), colour in zip(seconds.items(), ("tab:blue", "tab:orange"), strict=True):
    ax.plot(lengths, 1e3 * np.array(times), ".-", color=colour, label=name)
ax.set(xlabel="tokens so far", ylabel="ms for the next one (batch of 4)", ylim=(0, None))
ax.legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# ## What you have now
#
# A Transformer of your own, down to the softmax. The same blocks, with more of them, wider ones and more
# text, are what the large language models of today consist of: GPT-2 has 48 of your `encoder_block`s at most,
# with $D = 1600$.
#
# A GPT reads from left to right, because it has to write. Where a text is to be understood and not continued,
# it may be read in both directions at once; that is the next assignment.

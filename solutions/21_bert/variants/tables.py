"""Look-up tables: str.translate, one-hot matrices, lengths from a formula, paths into nested dictionaries."""

import re
import unicodedata
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F


class Table(dict):
    """What each character becomes, found out when it is met first."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def __missing__(self, code):
        self[code] = self.rule(chr(code), unicodedata.category(chr(code)))
        return self[code]


def clean(char, category):
    if category == "Zs" or char in "\t\n\r":
        return " "
    if category[0] == "C" or char == "\N{REPLACEMENT CHARACTER}":
        return None
    chinese = [low for low, high in CJK_RANGES if low <= ord(char) <= high]
    return f" {char} " if chinese else char


def cut(char, category):
    if category == "Mn":
        return ""
    ascii_mark = category[0] == "S" and ord(char) < 128
    return f" {char} " if category[0] == "P" or ascii_mark else char


CLEAN, CUT = Table(clean), Table(cut)


def basic_tokenize(text):
    return unicodedata.normalize("NFD", text.translate(CLEAN).lower()).translate(CUT).split()


def wordpiece(word, vocabulary, unknown="[UNK]", max_characters=100):
    if len(word) > max_characters:
        return [unknown]
    pieces, mark = [], ""
    while word:
        candidates = (mark + word[:n] for n in reversed(range(1, len(word) + 1)))
        piece = next(filter(vocabulary.__contains__, candidates), None)
        if piece is None:
            return [unknown]
        pieces.append(piece)
        word, mark = word[len(piece) - len(mark) :], "##"
    return pieces


def encode_pair(first, second, vocabulary, max_length):
    """A keeps what B leaves, but at least its half; B gets the rest."""
    if second is None:
        kept, second_kept, tail = first[: max_length - 2], [], []
    else:
        room = max_length - 3
        a = min(len(first), max(room - len(second), room - room // 2))
        kept, second_kept, tail = first[:a], second[: room - a], ["[SEP]"]
    pieces = ["[CLS]", *kept, "[SEP]", *second_kept, *tail]
    tokens, segments = [vocabulary["[PAD]"]] * max_length, [0] * max_length
    unknown = vocabulary["[UNK]"]
    tokens[: len(pieces)] = [vocabulary.get(piece, unknown) for piece in pieces]
    segments[len(kept) + 2 : len(pieces)] = [1] * (len(second_kept) + len(tail))
    return [tokens, segments]


def scaled(x, params):
    """Mean 0 and variance 1 from the mean and the mean of the squares of what is centred."""
    x = x - x.mean(-1, keepdim=True)
    return params["gamma"] * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)) + params["beta"]


def embed(tokens, segments, params):
    """Three tables below each other, and a row of three ones for each place."""
    T = tokens.shape[1]
    tables = torch.cat([params["tokens"], params["positions"][:T], params["segments"]])
    sizes = len(params["tokens"]), T, 2
    places = torch.arange(T).expand(tokens.shape)
    hot = [F.one_hot(part, size) for part, size in zip((tokens, places, segments), sizes, strict=True)]
    return scaled(torch.cat(hot, dim=2).to(tables.dtype) @ tables, params["norm"])


def bert_layer(x, params, num_heads, mask=None):
    a, f = params["attention"], params["feed_forward"]
    q, k, v = (
        torch.einsum("ntc,chd->nhtd", x, a["w" + n].unflatten(1, (num_heads, -1)))
        + a["b" + n].unflatten(0, (num_heads, -1))[:, None]
        for n in "qkv"
    )
    scores = torch.einsum("nhtd,nhsd->nhts", q, k) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    powers = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    seen = torch.einsum("nhts,nhsd->nhtd", powers / powers.sum(dim=-1, keepdim=True), v)
    seen = torch.einsum("nhtd,hdc->ntc", seen, a["wo"].unflatten(0, (num_heads, -1))) + a["bo"]
    h = scaled(x + seen, params["norm1"])
    inner = h @ f["w1"] + f["b1"]
    return scaled(h + (inner * torch.special.ndtr(inner)) @ f["w2"] + f["b2"], params["norm2"])


def bert_encode(tokens, segments, params, num_heads, pad=0):
    mask = torch.ones_like(tokens, dtype=torch.bool).masked_fill(tokens == pad, False)
    states = [embed(tokens, segments, params)]
    for number in range(len(params["layers"])):
        states.append(bert_layer(states[number], params["layers"][number], num_heads, mask[:, None, None]))
    return states[-1]


def mask_tokens(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    """A rounded number of each row, the ones with the smallest draws; fates by inversion."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(tokens.shape, generator=generator)
    forbidden = (tokens[..., None] == torch.tensor(list(special))).any(-1)
    ranks = draws.masked_fill(forbidden, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = ranks < torch.round(share * (~forbidden).sum(dim=1, keepdim=True))
    fate = torch.multinomial(torch.tensor([0.8, 0.1, 0.1]), tokens.numel(), True, generator=generator)
    becomes = torch.stack(
        [
            torch.full_like(tokens, mask_token),
            torch.randint(0, num_tokens, tokens.shape, generator=generator),
            tokens,
        ]
    )
    hidden = becomes.gather(0, fate.view(1, *tokens.shape))[0]
    return torch.where(chosen, hidden, tokens), torch.where(chosen, tokens, -100)


def mlm_logits(hidden, params):
    head = params["mlm"]
    inner = torch.tensordot(hidden, head["w"], dims=1) + head["b"]
    return (
        torch.inner(scaled(inner * torch.special.ndtr(inner), head["norm"]), params["tokens"]) + head["bias"]
    )


def mlm_loss(logits, labels):
    """Every position has a loss; weights of 0 take away those that do not count."""
    counts = (labels >= 0).to(logits.dtype)
    right = torch.take_along_dim(logits, labels.clamp(min=0)[..., None], dim=2)[..., 0]
    return ((logits.logsumexp(dim=2) - right) * counts).sum() / max(counts.sum().item(), 1)


def sentence_pairs(documents, seed=0):
    """All sentences in one list; another document's stands before the first or behind the last of this."""
    rng = np.random.default_rng(seed)
    every = [sentence for document in documents for sentence in document]
    starts = np.cumsum([0] + [len(document) for document in documents])
    pairs = []
    for start, end in pairwise(starts.tolist()):
        for place in range(start, end - 1):
            label = rng.binomial(1, 0.5)
            other = rng.integers(len(every) - (end - start))
            other += (end - start) * (other >= start)
            pairs.append((every[place], every[place + 1 if label else other], label))
    return pairs


def pair_logits(hidden, params, head="nsp"):
    pooler, own = params["pooler"], params[head]
    pooled = 2 * torch.sigmoid(2 * torch.addmm(pooler["b"], hidden[:, 0], pooler["w"])) - 1
    return torch.addmm(own["b"], pooled, own["w"])


def pretraining_loss(tokens, segments, follows, params, num_heads, seed=0):
    """Of two classes only the difference of the scores counts."""
    masked, labels = mask_tokens(tokens, params["mlm"]["bias"].shape[0], seed=seed)
    hidden = bert_encode(masked, segments, params, num_heads, pad=PAD)
    margin = torch.diff(pair_logits(hidden, params), dim=1)[:, 0] * (2 * follows - 1)
    return [mlm_loss(mlm_logits(hidden, params), labels), F.softplus(-margin).mean()]


def fine_tune(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    """All batches are drawn beforehand; the classes as a one-hot table."""
    batches = torch.from_numpy(
        np.random.default_rng(seed).integers(len(tokens), size=(num_steps, batch_size))
    )

    def loss_of(own, step):
        batch = batches[step]
        scores = pair_logits(bert_encode(tokens[batch], segments[batch], own, num_heads), own, "classifier")
        right = F.one_hot(labels[batch], scores.shape[1]).to(scores.dtype)
        return (F.cross_entropy(scores, right),)

    history = optimise(params, loss_of, num_steps, learning_rate)
    return params, np.reshape(history, -1).tolist()


def mean_pool(hidden, tokens, pad=0):
    weights = F.normalize((tokens != pad).to(hidden.dtype), p=1, dim=1)
    return torch.bmm(weights[:, None], hidden)[:, 0]


def nearest(queries, vectors, k):
    """On the unit sphere the nearest are those with the shortest distance."""
    q, v = (t / t.square().sum(dim=1, keepdim=True).sqrt() for t in (queries, vectors))
    distances = (q[:, None] - v).square().sum(dim=2)
    shortest, indices = torch.topk(distances, k, largest=False, sorted=True)
    return [indices, 1 - shortest / 2]


PLACES = {
    r"embeddings\.word_embeddings\.weight": "tokens",
    r"embeddings\.position_embeddings\.weight": "positions",
    r"embeddings\.token_type_embeddings\.weight": "segments",
    r"embeddings\.LayerNorm": "norm",
    r"attention\.self\.(q|k|v)(?:uery|ey|alue)": "attention",
    r"attention\.(o)utput\.dense": "attention",
    r"intermediate\.dense()": "feed_forward 1",
    r"output\.dense()": "feed_forward 2",
    r"attention\.output\.LayerNorm": "norm1",
    r"output\.LayerNorm": "norm2",
}


def load_weights(state, prefix=""):
    params, layers = {}, {}
    for name, tensor in state.items():
        if not name.startswith(prefix):
            continue
        block = re.match(r"encoder\.layer\.(\d+)\.", name[len(prefix) :])
        into = layers.setdefault(int(block[1]), {}) if block else params
        rest = name[len(prefix) + (block.end() if block else 0) :]
        for pattern, place in PLACES.items():
            found = re.fullmatch(rf"{pattern}(?:\.(weight|bias))?", rest)
            if not found or ("embeddings" in pattern) == bool(block):
                continue
            part, *number = place.split()
            *letter, kind = found.groups()
            if kind is None:
                into[part] = tensor
            elif letter:
                own = into.setdefault(part, {})
                own[kind[0] + (number or letter)[0]] = tensor.T if kind == "weight" else tensor
            else:
                into.setdefault(part, {})["gamma" if kind == "weight" else "beta"] = tensor
    return params | {"layers": [layers[number] for number in sorted(layers)]}

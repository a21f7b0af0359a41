"""Generators, groupby, match and reduce; batched products; NumPy where nothing is trained."""

import random
import unicodedata
from collections import deque
from functools import reduce
from itertools import chain, groupby, pairwise

import numpy as np
import torch
import torch.nn.functional as F


def cleaned(text):
    for char in text:
        match unicodedata.category(char), char:
            case ("Zs", _) | (_, "\t" | "\n" | "\r"):
                yield " "
            case (_, "\ufffd") | ("Cc" | "Cf" | "Cs" | "Co" | "Cn", _):
                pass
            case _ if any(ord(char) in range(low, high + 1) for low, high in CJK_RANGES):
                yield from (" ", char, " ")
            case _:
                yield char


def kind_of(char):
    if char.isspace():
        return "space"
    ascii_mark = "!" <= char <= "~" and not char.isalnum()
    return "mark" if ascii_mark or unicodedata.category(char).startswith("P") else "letter"


def basic_tokenize(text):
    words = []
    for word in "".join(cleaned(text)).split():
        plain = unicodedata.normalize("NFD", word.lower())
        letters = (char for char in plain if unicodedata.category(char) != "Mn")
        for kind, run in groupby(letters, kind_of):
            if kind == "mark":
                words.extend(run)
            elif kind == "letter":
                words.append("".join(run))
    return words


def wordpiece(word, vocabulary, unknown="[UNK]", max_characters=100):
    """Letters go over from the end of the head to the rest until the head is a piece."""
    pieces, mark, head, rest = [], "", word, ""
    while head:
        if mark + head in vocabulary:
            pieces.append(mark + head)
            mark, head, rest = "##", rest, ""
        else:
            head, rest = head[:-1], head[-1] + rest
    return [unknown] if rest or len(word) > max_characters else pieces


def encode_pair(first, second, vocabulary, max_length):
    parts = [deque(first)] if second is None else [deque(second), deque(first)]
    while sum(len(part) + 1 for part in parts) + 1 > max_length:
        max(parts, key=len).pop()  # of equals the first one, B
    rows = [(vocabulary["[CLS]"], 0)]
    for segment, part in enumerate(reversed(parts)):
        rows.extend((vocabulary.get(piece, vocabulary["[UNK]"]), segment) for piece in chain(part, ["[SEP]"]))
    rows.extend([(vocabulary["[PAD]"], 0)] * (max_length - len(rows)))
    return tuple(map(list, zip(*rows, strict=True)))


def embed(tokens, segments, params):
    indices = tokens, torch.arange(tokens.shape[1])[None], segments
    tables = params["tokens"], params["positions"], params["segments"]
    vectors = (
        table.index_select(0, i.flatten()).view(*i.shape, -1)
        for table, i in zip(tables, indices, strict=True)
    )
    return norm(sum(vectors), params["norm"])


def bert_layer(x, params, num_heads, mask=None):
    """Positions first, sentences and heads in one axis, the mask as what is added to the scores."""
    (N, T, D), a, f = x.shape, params["attention"], params["feed_forward"]
    w, b = torch.cat([a["wq"], a["wk"], a["wv"]], dim=1), torch.cat([a["bq"], a["bk"], a["bv"]])
    q, k, v = (
        F.linear(x.transpose(0, 1), w.T, b).view(T, N, 3, num_heads, -1).permute(2, 1, 3, 0, 4).flatten(1, 2)
    )
    added = x.new_zeros(1, 1, T)
    if mask is not None:
        added = x.new_zeros(mask.shape).masked_fill(mask.logical_not(), -1e9)
        added = added.broadcast_to(N, num_heads, T, T).flatten(0, 1)
    weights = F.softmax(torch.baddbmm(added, q, k.mT, alpha=(D / num_heads) ** -0.5), dim=2)
    look = torch.bmm(weights, v).unflatten(0, (N, num_heads)).movedim(1, 2).reshape(N, T, D)
    x = norm(x + torch.baddbmm(a["bo"], look, a["wo"].expand(N, -1, -1)), params["norm1"])
    inner = F.gelu(torch.baddbmm(f["b1"], x, f["w1"].expand(N, -1, -1)))
    return norm(x + torch.baddbmm(f["b2"], inner, f["w2"].expand(N, -1, -1)), params["norm2"])


def bert_encode(tokens, segments, params, num_heads, pad=0):
    seen = torch.logical_not(torch.eq(tokens, pad))[:, None, None, :]
    return reduce(
        lambda x, layer: bert_layer(x, layer, num_heads, mask=seen),
        params["layers"],
        embed(tokens, segments, params),
    )


def mask_tokens(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    """One draw of four fates for each token."""
    rng = np.random.default_rng(seed)
    original = tokens.numpy()
    fate = rng.choice(4, size=original.shape, p=[1 - share, 0.8 * share, 0.1 * share, 0.1 * share])
    fate[np.isin(original, special)] = 0
    drawn = rng.integers(num_tokens, size=original.shape)
    hidden = np.choose(fate, [original, np.full_like(original, mask_token), drawn, original])
    return torch.from_numpy(hidden), torch.from_numpy(np.where(fate == 0, -100, original))


def mlm_logits(hidden, params):
    w, b, scale, bias = (params["mlm"][name] for name in ("w", "b", "norm", "bias"))
    rows = hidden.reshape(-1, hidden.shape[-1])
    rows = norm(F.gelu(torch.addmm(b, rows, w)), scale)
    return torch.addmm(bias, rows, params["tokens"].mT).reshape(*hidden.shape[:-1], -1)


def mlm_loss(logits, labels):
    """By a sum over the classes' axis in the second place."""
    losses = F.nll_loss(logits.movedim(2, 1).log_softmax(dim=1), labels, ignore_index=-100, reduction="none")
    return losses.sum().div(torch.count_nonzero(labels + 100).clamp(min=1))


def sentence_pairs(documents, seed=0):
    coin = random.Random(seed)

    def all_pairs():
        for number, document in enumerate(documents):
            numbers = [other for other in range(len(documents)) if other != number]
            for first, following in pairwise(document):
                follows = coin.getrandbits(1)
                yield first, following if follows else coin.choice(documents[coin.choice(numbers)]), follows

    return list(all_pairs())


def pair_logits(hidden, params, head="nsp"):
    def affine(x, name):
        return torch.einsum("nd,dc->nc", x, params[name]["w"]) + params[name]["b"]

    return affine(torch.tanh(affine(hidden.unbind(dim=1)[0], "pooler")), head)


def pretraining_loss(tokens, segments, follows, params, num_heads, seed=0):
    hidden, labels = mask_tokens(tokens, num_tokens=params["tokens"].size(0), seed=seed)
    vectors = bert_encode(hidden, segments, params, num_heads)
    log_p = pair_logits(vectors, params).log_softmax(dim=-1)
    nsp = torch.where(follows.bool(), log_p[:, 1], log_p[:, 0]).mean().neg()
    return mlm_loss(mlm_logits(vectors, params), labels), nsp


def fine_tune(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    draw = random.Random(seed)
    losses = []

    def loss_of(own, step):
        rows = draw.choices(range(len(tokens)), k=batch_size)
        vectors = bert_encode(tokens[rows], segments[rows], own, num_heads)
        loss = F.cross_entropy(pair_logits(vectors, own, "classifier"), labels[rows])
        losses.append(loss.detach().numpy().mean())
        return [loss]

    optimise(params, loss_of, num_steps, learning_rate)
    return params, losses


def mean_pool(hidden, tokens, pad=0):
    padded = np.broadcast_to((tokens == pad).numpy()[..., None], hidden.shape)
    return torch.from_numpy(np.ma.masked_array(hidden.detach().numpy(), padded).mean(axis=1).data)


def nearest(queries, vectors, k):
    q, v = (t.detach().numpy() for t in (queries, vectors))
    cosines = q @ v.T / np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(v, axis=1))
    best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1)
    best = np.take_along_axis(best, order, axis=1)
    return torch.from_numpy(best), torch.from_numpy(np.take_along_axis(cosines, best, axis=1))


def load_weights(state, prefix=""):
    count = 1 + max(
        int(name.removeprefix(prefix).split(".")[2])
        for name in state
        if name.startswith(f"{prefix}encoder.layer.")
    )
    params = {"norm": {}, "layers": [{"attention": {}, "feed_forward": {}} for _ in range(count)]}
    for layer in params["layers"]:
        layer.update(norm1={}, norm2={})
    scale, short = {"weight": "gamma", "bias": "beta"}, {"weight": "w", "bias": "b"}
    for name, tensor in state.items():
        if not name.startswith(prefix):
            continue
        flipped = tensor.t() if tensor.dim() == 2 else tensor
        match name[len(prefix) :].split("."):
            case ["embeddings", "word_embeddings", "weight"]:
                params["tokens"] = tensor
            case ["embeddings", "position_embeddings", "weight"]:
                params["positions"] = tensor
            case ["embeddings", "token_type_embeddings", "weight"]:
                params["segments"] = tensor
            case ["embeddings", "LayerNorm", kind]:
                params["norm"][scale[kind]] = tensor
            case ["encoder", "layer", i, "attention", "self", ("query" | "key" | "value") as which, kind]:
                params["layers"][int(i)]["attention"][short[kind] + which[0]] = flipped
            case ["encoder", "layer", i, "attention", "output", "dense", kind]:
                params["layers"][int(i)]["attention"][short[kind] + "o"] = flipped
            case ["encoder", "layer", i, "attention", "output", "LayerNorm", kind]:
                params["layers"][int(i)]["norm1"][scale[kind]] = tensor
            case ["encoder", "layer", i, "intermediate", "dense", kind]:
                params["layers"][int(i)]["feed_forward"][short[kind] + "1"] = flipped
            case ["encoder", "layer", i, "output", "dense", kind]:
                params["layers"][int(i)]["feed_forward"][short[kind] + "2"] = flipped
            case ["encoder", "layer", i, "output", "LayerNorm", kind]:
                params["layers"][int(i)]["norm2"][scale[kind]] = tensor
    return params

"""The models in one piece: queries, keys and values in a single product, no block is called."""

import torch
import torch.nn.functional as F


def norm(x, scale):
    return F.layer_norm(x, x.shape[-1:], scale["gamma"], scale["beta"])


def packed(params, names):
    """The weights side by side, and the biases."""
    return torch.cat([params["w" + n] for n in names], dim=1), torch.cat([params["b" + n] for n in names])


def heads_of(x, w, b, num_heads):
    """(N, T, D) -> (3 or 2, N, H, T, d)."""
    D = x.shape[2]
    return (x @ w + b).unflatten(2, (w.shape[1] // D, num_heads, D // num_heads)).permute(2, 0, 3, 1, 4)


def look(q, k, v, params, mask):
    """The most negative number stands for what may not be seen, and its weight is put to 0."""
    scores = q @ k.mT * q.shape[-1] ** -0.5
    scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    weights = torch.where(mask, scores.softmax(dim=-1), 0)
    return (
        torch.einsum("nhts,nhse,hed->ntd", weights, v, params["wo"].unflatten(0, (v.shape[1], -1)))
        + params["bo"]
    )


def think(x, params):
    return F.linear(F.gelu(F.linear(x, params["w1"].mT, params["b1"])), params["w2"].mT, params["b2"])


def encoder_block(x, params, num_heads, mask=None, norm_first=True):
    mask = torch.tensor(True) if mask is None else mask
    own = params["attention"]
    h = norm(x, params["norm1"]) if norm_first else x
    x = x + look(*heads_of(h, *packed(own, "qkv"), num_heads), own, mask)
    if norm_first:
        return x + think(norm(x, params["norm2"]), params["feed_forward"])
    x = norm(x, params["norm1"])
    return norm(x + think(x, params["feed_forward"]), params["norm2"])


def transformer_forward(source, target, params, num_heads, pad=0):
    D, S, T = params["source"].shape[1], source.shape[1], target.shape[1]
    places = positional_encoding(max(S, T), D)
    seen = source.ne(pad)[:, None, None]
    back = torch.arange(T) <= torch.arange(T)[:, None]

    memory = params["source"][source] * D**0.5 + places[:S]
    for block in params["encoder"]:
        own = block["attention"]
        heads = heads_of(norm(memory, block["norm1"]), *packed(own, "qkv"), num_heads)
        memory = memory + look(*heads, own, seen)
        memory = memory + think(norm(memory, block["norm2"]), block["feed_forward"])
    memory = norm(memory, params["encoder_norm"])

    x = params["target"][target] * D**0.5 + places[:T]
    for block in params["decoder"]:
        own, other = block["self_attention"], block["cross_attention"]
        x = x + look(*heads_of(norm(x, block["norm1"]), *packed(own, "qkv"), num_heads), own, back)
        (q,) = heads_of(norm(x, block["norm2"]), *packed(other, "q"), num_heads)
        x = x + look(q, *heads_of(memory, *packed(other, "kv"), num_heads), other, seen)
        x = x + think(norm(x, block["norm3"]), block["feed_forward"])
    return torch.tensordot(norm(x, params["decoder_norm"]), params["w_out"], dims=1) + params["b_out"]


def gpt_forward(tokens, params, num_heads):
    T = tokens.shape[1]
    x = params["tokens"].index_select(0, tokens.flatten()).view(*tokens.shape, -1) + params["positions"][:T]
    mask = torch.full((T, T), True).tril()
    for block in params["blocks"]:
        own = block["attention"]
        x = x + look(*heads_of(norm(x, block["norm1"]), *packed(own, "qkv"), num_heads), own, mask)
        x = x + think(norm(x, block["norm2"]), block["feed_forward"])
    return torch.einsum("ntd,vd->ntv", norm(x, params["norm"]), params["tokens"])


def gpt_step(tokens, cache, params, num_heads):
    """The cache holds keys and values in room for all positions; a new one is a copy."""
    (N, T), D = tokens.shape, params["tokens"].shape[1]
    total = T + (0 if cache is None else cache["length"])
    shape = len(params["blocks"]), 2, N, num_heads, len(params["positions"]), D // num_heads
    room = params["tokens"].new_zeros(shape) if cache is None else cache["room"].clone()
    x = params["tokens"][tokens] + params["positions"][total - T : total]
    for block, (keys, values) in zip(params["blocks"], room, strict=True):
        own = block["attention"]
        q, k, v = heads_of(norm(x, block["norm1"]), *packed(own, "qkv"), num_heads)
        keys[:, :, total - T : total], values[:, :, total - T : total] = k, v
        x = x + look(q, keys[:, :, :total], values[:, :, :total], own, causal_mask(T, total))
        x = x + think(norm(x, block["norm2"]), block["feed_forward"])
    return norm(x, params["norm"]) @ params["tokens"].mT, {"room": room, "length": total}


def greedy_decode(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    """Everything is said to the end, and what stands behind an eos is wiped out."""
    read = source.new_full((len(source), 1), bos)
    while read.shape[1] <= num_tokens:
        scores = transformer_forward(source, read, params, num_heads, pad)[:, -1:]
        read = torch.cat([read, scores.max(dim=-1).indices], dim=1)
    answers = read[:, 1:]
    ended = (answers == eos).cummax(dim=1).values
    return torch.where(torch.cat([torch.zeros_like(ended[:, :1]), ended[:, :-1]], dim=1), pad, answers)

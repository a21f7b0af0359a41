"""NumPy wherever no gradient is asked for: masks, positions, the cache, probabilities and draws."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    """A last key that offers nothing, and is taken only where there is nothing else."""
    scores = (k @ q.mT).mT / math.sqrt(k.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -math.inf)
    nothing = torch.full_like(scores[..., :1], torch.finfo(scores.dtype).min)
    weights = torch.softmax(torch.cat([scores, nothing], dim=-1), dim=-1)[..., :-1]
    return weights @ v, weights


def causal_mask(T, S=None):
    S = T if S is None else S
    return torch.from_numpy(np.tri(T, S, S - T, dtype=bool))


def padding_mask(tokens, pad=0):
    return torch.from_numpy(np.expand_dims(np.asarray(tokens) != pad, (1, 2)))


def split_heads(x, num_heads):
    numbers = np.arange(x.shape[2]).reshape(num_heads, 1, -1)
    return x[:, np.arange(x.shape[1])[:, None], numbers]


def merge_heads(x):
    """Each head between zeros."""
    _, H, _, d = x.shape
    return sum(F.pad(x[:, h], (h * d, (H - 1 - h) * d)) for h in range(H))


def multi_head_attention(x, memory, params, num_heads, mask=None):
    q = torch.baddbmm(params["bq"], x, params["wq"].expand(len(x), -1, -1))
    k, v = (memory @ torch.hstack([params["wk"], params["wv"]])).chunk(2, dim=-1)
    q, k, v = (split_heads(t, num_heads) for t in (q, k + params["bk"], v + params["bv"]))
    out, _ = attention(q, k, v, mask)
    return torch.baddbmm(params["bo"], merge_heads(out), params["wo"].expand(len(x), -1, -1))


def positional_encoding(T, D):
    """Clock hands in the complex plane."""
    hands = np.exp(1j * np.outer(np.arange(T), 1 / 10000 ** np.linspace(0, 1, D // 2, endpoint=False)))
    encoding = np.empty((T, D), dtype=np.float32)
    encoding[:, ::2], encoding[:, 1::2] = hands.imag, hands.real
    return torch.from_numpy(encoding)


def layer_norm(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(-1)[..., None]
    variance = torch.linalg.vecdot(centred, centred) / x.shape[-1]
    return beta + (gamma / (variance + eps).sqrt().unsqueeze(-1)) * centred


def feed_forward(x, params):
    """Two convolutions with kernels of length 1."""
    hidden = F.conv1d(x.mT, params["w1"].T.unsqueeze(-1), params["b1"])
    hidden = hidden * torch.erfc(-hidden / math.sqrt(2)) / 2
    return F.conv1d(hidden, params["w2"].T.unsqueeze(-1), params["b2"]).mT


def residuals(x, params, parts, norm_first):
    for number, part in enumerate(parts, start=1):
        gamma, beta = params[f"norm{number}"]["gamma"], params[f"norm{number}"]["beta"]
        added = part(layer_norm(x, gamma, beta) if norm_first else x)
        x = x + added if norm_first else layer_norm(x + added, gamma, beta)
    return x


def encoder_block(x, params, num_heads, mask=None, norm_first=True):
    def look(h):
        return multi_head_attention(h, h, params["attention"], num_heads, mask)

    return residuals(x, params, [look, lambda h: feed_forward(h, params["feed_forward"])], norm_first)


def decoder_block(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    def look_back(h):
        return multi_head_attention(h, h, params["self_attention"], num_heads, causal_mask(h.shape[1]))

    def look_over(h):
        return multi_head_attention(h, memory, params["cross_attention"], num_heads, memory_mask)

    parts = [look_back, look_over, lambda h: feed_forward(h, params["feed_forward"])]
    return residuals(x, params, parts, norm_first)


def transformer_forward(source, target, params, num_heads, pad=0):
    D = params["w_out"].shape[0]
    memory = math.sqrt(D) * F.embedding(source, params["source"])
    memory = memory + positional_encoding(source.shape[1], D)
    mask = padding_mask(source, pad)
    for block in params["encoder"]:
        memory = encoder_block(memory, block, num_heads, mask=mask)
    memory = layer_norm(memory, params["encoder_norm"]["gamma"], params["encoder_norm"]["beta"])
    x = math.sqrt(D) * F.embedding(target, params["target"]) + positional_encoding(target.shape[1], D)
    for block in params["decoder"]:
        x = decoder_block(x, memory, block, num_heads, memory_mask=mask)
    x = layer_norm(x, params["decoder_norm"]["gamma"], params["decoder_norm"]["beta"])
    return torch.addmm(params["b_out"], x.flatten(0, 1), params["w_out"]).unflatten(0, target.shape)


def sequence_loss(logits, targets, pad=0):
    rows, columns = np.nonzero(targets.numpy() != pad)
    kept, right = logits[rows, columns], targets[rows, columns]
    return torch.mean(kept.logsumexp(dim=1) - kept[np.arange(len(rows)), right])


def greedy_decode(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    answers = np.full((len(source), num_tokens + 1), bos)
    for t in range(num_tokens):
        logits = transformer_forward(source, torch.from_numpy(answers[:, : t + 1]), params, num_heads, pad)
        answers[:, t + 1] = logits[:, t].detach().numpy().argmax(axis=1)
    behind = np.cumsum(answers[:, 1:] == eos, axis=1) - (answers[:, 1:] == eos) > 0
    return torch.from_numpy(np.where(behind, pad, answers[:, 1:]))


def gpt_forward(tokens, params, num_heads):
    x = F.embedding(tokens, params["tokens"]) + params["positions"][None, : tokens.shape[1]]
    mask = causal_mask(tokens.shape[1])
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads, mask)
    return F.linear(layer_norm(x, params["norm"]["gamma"], params["norm"]["beta"]), params["tokens"])


def in_numpy(params):
    if isinstance(params, torch.Tensor):
        return params.detach().numpy()
    if isinstance(params, dict):
        return {name: in_numpy(part) for name, part in params.items()}
    return [in_numpy(part) for part in params]


ERF = np.vectorize(math.erf, otypes=[float])


def normed(x, scale):
    variance = np.var(x, axis=-1, keepdims=True)
    return scale["gamma"] * (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + 1e-5) + scale["beta"]


def gpt_step(tokens, cache, params, num_heads):
    """Keys and values as arrays (N, S, D), not split."""
    params, (N, T) = in_numpy(params), tokens.shape
    past = cache[0][0].shape[1] if cache else 0
    x = params["tokens"][tokens.numpy()] + params["positions"][past : past + T]
    unseen = ~np.tri(T, past + T, past, dtype=bool)
    grown = []
    for number, block in enumerate(params["blocks"]):
        own, h = block["attention"], normed(x, block["norm1"])
        q, k, v = (h @ own["w" + name] + own["b" + name] for name in "qkv")
        if cache:
            k, v = np.concatenate([cache[number][0], k], 1), np.concatenate([cache[number][1], v], 1)
        grown.append((k, v))
        q, k, v = (t.reshape(N, t.shape[1], num_heads, -1).swapaxes(1, 2) for t in (q, k, v))
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        scores[..., unseen] = -np.inf
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        out = (weights / weights.sum(axis=-1, keepdims=True)) @ v
        x = x + out.swapaxes(1, 2).reshape(N, T, -1) @ own["wo"] + own["bo"]
        ff = block["feed_forward"]
        hidden = normed(x, block["norm2"]) @ ff["w1"] + ff["b1"]
        hidden = hidden * (1 + ERF(hidden / math.sqrt(2))).astype(x.dtype) / 2
        x = x + hidden @ ff["w2"] + ff["b2"]
    return torch.from_numpy(normed(x, params["norm"]) @ params["tokens"].T), grown


def token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Sorted, cut off, and put back where they came from."""
    z = logits.detach().numpy()
    if temperature == 0:
        return torch.from_numpy(np.eye(z.shape[1], dtype=z.dtype)[z.argmax(axis=1)])
    order = np.argsort(-z, axis=1, kind="stable")
    ordered = np.take_along_axis(z, order, axis=1)
    p = np.exp((ordered - ordered[:, :1]) / temperature)
    p[:, len(p.T) if top_k is None else top_k :] = 0
    p /= p.sum(axis=1, keepdims=True)
    if top_p is not None:
        p[:, 1:][np.cumsum(p, axis=1)[:, :-1] >= top_p] = 0
        p /= p.sum(axis=1, keepdims=True)
    return torch.from_numpy(np.take_along_axis(p, np.argsort(order, axis=1), axis=1))


def generate(prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None):
    """The largest of log p plus Gumbel noise."""
    rng = np.random.default_rng(seed)
    text, cache = np.array(prompt), None
    new = text
    for _ in range(num_tokens):
        logits, cache = gpt_step(torch.from_numpy(new), cache, params, num_heads)
        p = token_probabilities(logits[:, -1], temperature, top_k, top_p).numpy()
        with np.errstate(divide="ignore"):
            new = np.argmax(np.log(p) + rng.gumbel(size=p.shape), axis=1)[:, None]
        text = np.hstack([text, new])
    return torch.from_numpy(text)

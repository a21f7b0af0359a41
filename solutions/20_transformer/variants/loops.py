"""Queries, heads and tokens one by one, as the formulas say it."""

import math

import torch


def attention(q, k, v, mask=None):
    shape = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    T, S = q.shape[-2], k.shape[-2]
    if mask is None:
        mask = torch.ones(T, S, dtype=torch.bool)
    mask = mask.expand(*shape, T, S)
    rows, kept = [], []
    for t in range(T):
        scores = (q[..., t : t + 1, :] * k).sum(dim=-1) / math.sqrt(q.shape[-1])
        seen = mask[..., t, :]
        scores = torch.where(seen, scores, torch.full_like(scores, -1e30))
        e = torch.exp(scores - scores.max(dim=-1, keepdim=True).values) * seen
        weights = e / e.sum(dim=-1, keepdim=True).clamp(min=1e-30)
        kept.append(weights)
        rows.append((weights[..., None] * v).sum(dim=-2))
    return torch.stack(rows, dim=-2), torch.stack(kept, dim=-2)


def causal_mask(T, S=None):
    S = T if S is None else S
    return torch.tensor([[s <= S - T + t for s in range(S)] for t in range(T)], dtype=torch.bool)


def padding_mask(tokens, pad=0):
    return torch.tensor([[[[int(token) != pad for token in row]]] for row in tokens])


def split_heads(x, num_heads):
    d = x.shape[2] // num_heads
    return torch.stack([x[:, :, h * d : (h + 1) * d] for h in range(num_heads)]).transpose(0, 1)


def merge_heads(x):
    return torch.stack([torch.cat(tuple(row), dim=-1) for row in x])


def multi_head_attention(x, memory, params, num_heads, mask=None):
    q = x @ params["wq"] + params["bq"]
    k = memory @ params["wk"] + params["bk"]
    v = memory @ params["wv"] + params["bv"]
    d = q.shape[-1] // num_heads
    total = params["bo"]
    for h in range(num_heads):
        part = slice(h * d, (h + 1) * d)
        own = mask
        if mask is not None and mask.dim() == 4:
            own = mask[:, h if mask.shape[1] > 1 else 0]
        out, _ = attention(q[..., part], k[..., part], v[..., part], own)
        total = total + out @ params["wo"][part]
    return total


def positional_encoding(T, D):
    rows = []
    for t in range(T):
        row = []
        for i in range(D // 2):
            angle = t / 10000 ** (2 * i / D)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def layer_norm(x, gamma, beta, eps=1e-5):
    D = x.shape[-1]
    mean = x.sum(dim=-1, keepdim=True) / D
    variance = (x * x).sum(dim=-1, keepdim=True) / D - mean * mean
    return (x - mean) / (variance.clamp(min=0) + eps) ** 0.5 * gamma + beta


def decoder_block(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    n1, n2, n3 = params["norm1"], params["norm2"], params["norm3"]
    mask = causal_mask(x.shape[1])
    if norm_first:
        h = layer_norm(x, n1["gamma"], n1["beta"])
        x = x + multi_head_attention(h, h, params["self_attention"], num_heads, mask)
        h = layer_norm(x, n2["gamma"], n2["beta"])
        x = x + multi_head_attention(h, memory, params["cross_attention"], num_heads, memory_mask)
        h = layer_norm(x, n3["gamma"], n3["beta"])
        return x + feed_forward(h, params["feed_forward"])
    h = x + multi_head_attention(x, x, params["self_attention"], num_heads, mask)
    x = layer_norm(h, n1["gamma"], n1["beta"])
    h = x + multi_head_attention(x, memory, params["cross_attention"], num_heads, memory_mask)
    x = layer_norm(h, n2["gamma"], n2["beta"])
    h = x + feed_forward(x, params["feed_forward"])
    return layer_norm(h, n3["gamma"], n3["beta"])


def encoder_block(x, params, num_heads, mask=None, norm_first=True):
    n1, n2 = params["norm1"], params["norm2"]
    if norm_first:
        h = layer_norm(x, n1["gamma"], n1["beta"])
        x = x + multi_head_attention(h, h, params["attention"], num_heads, mask)
        return x + feed_forward(layer_norm(x, n2["gamma"], n2["beta"]), params["feed_forward"])
    x = layer_norm(
        x + multi_head_attention(x, x, params["attention"], num_heads, mask), n1["gamma"], n1["beta"]
    )
    return layer_norm(x + feed_forward(x, params["feed_forward"]), n2["gamma"], n2["beta"])


def sequence_loss(logits, targets, pad=0):
    total, count = torch.zeros((), dtype=logits.dtype), 0
    log_p = logits - logits.logsumexp(dim=-1, keepdim=True)
    for n, t in torch.cartesian_prod(*map(torch.arange, targets.shape)).tolist():
        if targets[n, t] != pad:
            total = total - log_p[n, t, targets[n, t]]
            count += 1
    return total / count


def train(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    """Adam by hand; the loss of a batch without a loop."""
    torch.manual_seed(seed)
    weights = leaves(params)
    first = [torch.zeros_like(w) for w in weights]
    second = [torch.zeros_like(w) for w in weights]
    losses = []
    for step in range(1, num_steps + 1):
        for w in weights:
            w.requires_grad_(True)
        batch = torch.randint(0, len(source), (batch_size,))
        read = torch.cat([torch.full_like(target[batch][:, :1], bos), target[batch][:, :-1]], dim=1)
        logits = forward(source[batch], read, params)
        keep = target[batch] != pad
        log_p = torch.log_softmax(logits, dim=-1)
        loss = -log_p[keep].gather(1, target[batch][keep][:, None]).mean()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        rate = learning_rate * min(
            step / (0.15 * num_steps), (num_steps - step + 1) / (0.85 * num_steps), 1.0
        )
        with torch.no_grad():
            for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                if g is None:
                    continue
                m += 0.1 * (g - m)
                v += 0.01 * (g * g - v)
                w -= rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.99**step)).sqrt() + 1e-8)
        losses.append(float(loss))
    for w in weights:
        w.requires_grad_(False)
    return params, losses


def greedy_decode(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    answers = []
    for row in source:
        said = [bos]
        while len(said) <= num_tokens and said[-1] != eos:
            logits = transformer_forward(row[None], torch.tensor([said]), params, num_heads, pad)
            said.append(int(logits[0, -1].argmax()))
        answers.append((said + [pad] * num_tokens)[1 : num_tokens + 1])
    return torch.tensor(answers)


def gpt_step(tokens, cache, params, num_heads):
    """Token by token; the cache is a dictionary of lists, one key and one value for each position."""
    past = 0 if cache is None else cache["length"]
    keys = [[] for _ in params["blocks"]] if cache is None else [list(k) for k in cache["keys"]]
    values = [[] for _ in params["blocks"]] if cache is None else [list(v) for v in cache["values"]]
    logits = []
    for t in range(tokens.shape[1]):
        x = params["tokens"][tokens[:, t : t + 1]] + params["positions"][past + t]
        for block, own_keys, own_values in zip(params["blocks"], keys, values, strict=True):
            a = block["attention"]
            h = layer_norm(x, block["norm1"]["gamma"], block["norm1"]["beta"])
            own_keys.append(h @ a["wk"] + a["bk"])
            own_values.append(h @ a["wv"] + a["bv"])
            q = split_heads(h @ a["wq"] + a["bq"], num_heads)
            k, v = (split_heads(torch.cat(many, dim=1), num_heads) for many in (own_keys, own_values))
            x = x + merge_heads(attention(q, k, v)[0]) @ a["wo"] + a["bo"]
            h = layer_norm(x, block["norm2"]["gamma"], block["norm2"]["beta"])
            x = x + feed_forward(h, block["feed_forward"])
        x = layer_norm(x, params["norm"]["gamma"], params["norm"]["beta"])
        logits.append(x @ params["tokens"].T)
    return torch.cat(logits, dim=1), {"length": past + tokens.shape[1], "keys": keys, "values": values}


def token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    rows = []
    for row in logits.tolist():
        order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
        if temperature == 0:
            kept, weights = order[:1], [1.0] * len(row)
        else:
            weights = [math.exp((z - max(row)) / temperature) for z in row]
            kept = order if top_k is None else order[:top_k]
        if top_p is not None:
            total, running, nucleus = sum(weights[i] for i in kept), 0.0, []
            for i in kept:
                if running >= top_p:
                    break
                nucleus.append(i)
                running += weights[i] / total
            kept = nucleus
        total = sum(weights[i] for i in kept)
        rows.append([weights[i] / total if i in kept else 0.0 for i in range(len(row))])
    return torch.tensor(rows, dtype=logits.dtype)


def generate(prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None):
    """Draws by inverting the cumulated probabilities."""
    generator = torch.Generator().manual_seed(seed)
    text = prompt.clone()
    if num_tokens == 0:
        return text
    logits, cache = gpt_step(text, None, params, num_heads)
    for number in range(num_tokens):
        p = token_probabilities(logits[:, -1], temperature, top_k, top_p).double()
        u = torch.rand(len(text), 1, generator=generator, dtype=torch.float64)
        steps = p.cumsum(dim=-1)
        token = (steps <= u * steps[:, -1:]).sum(dim=-1, keepdim=True)
        text = torch.cat([text, token], dim=1)
        if number + 1 < num_tokens:
            logits, cache = gpt_step(token, cache, params, num_heads)
    return text

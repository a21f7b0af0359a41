"""One query, one head or one sequence at a time, lifted to more axes by torch.vmap."""

from functools import reduce

import torch
from torch.distributions import Categorical
from torch.utils.data import DataLoader, RandomSampler, TensorDataset


def ask(q, k, v, mask):
    """One query: q (d,), k (S, d), v (S, e), mask (S,)."""
    scores = torch.mv(k, q) / len(q) ** 0.5
    anything = mask.any()
    weights = torch.softmax(torch.where(mask | ~anything, scores, -torch.inf), dim=0) * anything
    return torch.mv(v.T, weights), weights


def attention(q, k, v, mask=None):
    shape = *q.shape[:-1], k.shape[-2]
    mask = torch.ones(shape, dtype=torch.bool) if mask is None else mask.broadcast_to(shape)
    lifted = torch.vmap(ask, in_dims=(0, None, None, 0))
    for _ in shape[:-2]:
        lifted = torch.vmap(lifted)
    return lifted(q, k, v, mask)


def causal_mask(T, S=None):
    S = T if S is None else S
    return torch.eye(S).cumsum(dim=0)[S - T :].bool()


def padding_mask(tokens, pad=0):
    return torch.vmap(lambda row: (row - pad).bool()[None, None])(tokens)


def split_heads(x, num_heads):
    N, T, D = x.shape
    return x.contiguous().as_strided((N, num_heads, T, D // num_heads), (T * D, D // num_heads, D, 1))


def merge_heads(x):
    return torch.vmap(lambda heads: torch.hstack(heads.unbind()))(x)


def multi_head_attention(x, memory, params, num_heads, mask=None):
    (N, T, D), S = x.shape, memory.shape[1]
    d = D // num_heads
    mask = torch.ones(1, dtype=torch.bool) if mask is None else mask
    mask = mask.broadcast_to(N, num_heads, T, S)

    def head(x, memory, mask, wq, wk, wv, bq, bk, bv, wo):
        return attention(x @ wq + bq, memory @ wk + bk, memory @ wv + bv, mask)[0] @ wo

    over_batch = torch.vmap(head, in_dims=(0, 0, 0) + (None,) * 7)
    over_heads = torch.vmap(over_batch, in_dims=(None, None, 1, 1, 1, 1, 0, 0, 0, 0))
    columns = [params[name].view(D, num_heads, d) for name in ("wq", "wk", "wv")]
    biases = [params[name].view(num_heads, d) for name in ("bq", "bk", "bv")]
    parts = over_heads(x, memory, mask, *columns, *biases, params["wo"].view(num_heads, d, D))
    return parts.sum(dim=0) + params["bo"]


def positional_encoding(T, D):
    """Each position turns the hands of the one before by the same angles."""
    angles = torch.pow(10000, -torch.arange(0, D, 2, dtype=torch.float64) / D)
    turn = torch.polar(torch.ones_like(angles), angles).expand(T - 1, -1)
    hands = torch.cat([torch.ones_like(turn[:0]).new_ones(1, D // 2), turn]).cumprod(dim=0)
    return torch.view_as_real(hands).flip(-1).reshape(T, D).float()


def layer_norm(x, gamma, beta, eps=1e-5):
    """By the matrix that takes off the mean."""
    D = x.shape[-1]
    centred = x @ (torch.eye(D, dtype=x.dtype) - 1 / D)
    return (
        gamma * centred / torch.hypot(centred.square().mean(-1, True).sqrt(), x.new_tensor(eps).sqrt()) + beta
    )


def feed_forward(x, params):
    """x times the normal distribution function, for one position."""

    def at_position(x):
        hidden = x @ params["w1"] + params["b1"]
        return (hidden * torch.special.ndtr(hidden)) @ params["w2"] + params["b2"]

    return torch.vmap(torch.vmap(at_position))(x)


def encoder_block(x, params, num_heads, mask=None, norm_first=True):
    def norm(x, number):
        return layer_norm(x, **params[f"norm{number}"])

    def look(x):
        return multi_head_attention(x, x, params["attention"], num_heads, mask)

    def think(x):
        return feed_forward(x, params["feed_forward"])

    if norm_first:
        x = look(norm(x, 1)).add(x)
        return think(norm(x, 2)).add(x)
    x = norm(look(x).add(x), 1)
    return norm(think(x).add(x), 2)


def decoder_block(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    def look_back(x):
        return multi_head_attention(x, x, params["self_attention"], num_heads, causal_mask(x.shape[1]))

    def look_over(x):
        return multi_head_attention(x, memory, params["cross_attention"], num_heads, memory_mask)

    def think(x):
        return feed_forward(x, params["feed_forward"])

    for norm, part in {"norm1": look_back, "norm2": look_over, "norm3": think}.items():
        if norm_first:
            x = x.add(part(layer_norm(x, **params[norm])))
        else:
            x = layer_norm(x.add(part(x)), **params[norm])
    return x


def transformer_forward(source, target, params, num_heads, pad=0):
    D = params["target"].shape[1]

    def embedded(tokens, table):
        return torch.vmap(lambda row: D**0.5 * table[row] + positional_encoding(len(row), D))(tokens)

    mask = padding_mask(source, pad)
    memory = reduce(
        lambda x, block: encoder_block(x, block, num_heads, mask),
        params["encoder"],
        embedded(source, params["source"]),
    )
    memory = layer_norm(memory, **params["encoder_norm"])
    x = reduce(
        lambda x, block: decoder_block(x, memory, block, num_heads, mask),
        params["decoder"],
        embedded(target, params["target"]),
    )
    return layer_norm(x, **params["decoder_norm"]) @ params["w_out"] + params["b_out"]


def sequence_loss(logits, targets, pad=0):
    counts = targets.ne(pad)
    return Categorical(logits=logits[counts]).log_prob(targets[counts]).mean().neg()


def train(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    """A DataLoader draws; the learning rate is set by hand before each step."""
    generator = torch.Generator().manual_seed(seed)
    examples = TensorDataset(source, target)
    draws = RandomSampler(examples, replacement=True, num_samples=num_steps * batch_size, generator=generator)
    weights = leaves(params)
    for w in weights:
        w.requires_grad_()
    optimizer = torch.optim.Adam(weights, betas=(0.9, 0.98), amsgrad=True)
    losses = np.empty(num_steps)
    for step, (asked, answer) in enumerate(DataLoader(examples, batch_size, sampler=draws)):
        done = step / num_steps
        optimizer.param_groups[0]["lr"] = learning_rate * min(
            1.0, 12 * (done + 1 / num_steps), 2.5 * (1 - done)
        )
        read = torch.roll(answer, 1, dims=1)
        read[:, 0] = bos
        optimizer.zero_grad()
        loss = sequence_loss(forward(asked, read, params), answer, pad)
        loss.backward()
        optimizer.step()
        losses[step] = loss.item()
    for w in weights:
        w.requires_grad_(False)
    return [params, list(losses)]


def greedy_decode(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    """By recursion: what has been read, and one token more."""

    def answers(length):
        if length == 0:
            return torch.full((len(source), 1), bos, dtype=source.dtype)
        read = answers(length - 1)
        word = transformer_forward(source, read, params, num_heads, pad)[:, -1].argmax(dim=1)
        word[(read[:, 1:] == eos).any(dim=1)] = pad
        return torch.column_stack([read, word])

    return answers(num_tokens)[:, 1:]


def gpt_forward(tokens, params, num_heads):
    T = tokens.shape[1]
    x = torch.vmap(lambda row: params["tokens"][row] + params["positions"][: len(row)])(tokens)
    x = reduce(lambda x, block: encoder_block(x, block, num_heads, causal_mask(T)), params["blocks"], x)
    return torch.inner(layer_norm(x, **params["norm"]), params["tokens"])


def gpt_step(tokens, cache, params, num_heads):
    """The cache is a single tensor (blocks, 2, N, S, D)."""
    N, T = tokens.shape
    if cache is None:
        cache = params["tokens"].new_zeros(len(params["blocks"]), 2, N, 0, params["tokens"].shape[1])
    S = cache.shape[3] + T
    x = params["tokens"][tokens] + params["positions"][S - T : S]
    layers = []
    for block, past in zip(params["blocks"], cache, strict=True):
        a, h = block["attention"], layer_norm(x, **block["norm1"])
        layers.append(torch.cat([past, torch.stack([h @ a["wk"] + a["bk"], h @ a["wv"] + a["bv"]])], dim=2))
        k, v = (split_heads(part, num_heads) for part in layers[-1])
        q = split_heads(h @ a["wq"] + a["bq"], num_heads)
        x = x + merge_heads(attention(q, k, v, causal_mask(T, S))[0]) @ a["wo"] + a["bo"]
        x = x + feed_forward(layer_norm(x, **block["norm2"]), block["feed_forward"])
    return torch.inner(layer_norm(x, **params["norm"]), params["tokens"]), torch.stack(layers)


def token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """How many of the most likely ones stay, then everything with a lower rank goes."""
    if temperature == 0:
        temperature, top_k, top_p = 1.0, 1, None
    V = logits.shape[1]
    z, order = (logits / temperature).sort(dim=1, descending=True, stable=True)
    p = torch.softmax(z[:, : min(top_k or V, V)], dim=1)
    if top_p is not None:
        mass = p.cumsum(dim=1)
        last = torch.searchsorted(mass, torch.full_like(mass[:, :1], top_p)).clamp(max=p.shape[1] - 1)
        p = torch.where(torch.arange(p.shape[1]) <= last, p, 0) / mass.gather(1, last)
    return torch.zeros_like(logits).scatter(1, order[:, : p.shape[1]], p)


def generate(prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None):
    def rest(text, new, cache, left):
        if left == 0:
            return text
        logits, cache = gpt_step(new, cache, params, num_heads)
        new = Categorical(token_probabilities(logits[:, -1], temperature, top_k, top_p)).sample()[:, None]
        return rest(torch.hstack([text, new]), new, cache, left - 1)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return rest(prompt, prompt, None, num_tokens)

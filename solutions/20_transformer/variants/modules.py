"""In PyTorch's own terms: F.linear, F.layer_norm, F.cross_entropy, torch.where; the cache is an object."""

import math

import torch
import torch.nn.functional as F
from torch.nn.utils import clip_grad_norm_


def attention(q, k, v, mask=None):
    scores = torch.matmul(q, k.mT) / k.size(-1) ** 0.5
    if mask is not None:
        mask = mask.expand_as(scores)
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    weights = F.softmax(scores, dim=-1)
    if mask is not None:
        weights = torch.where(mask.any(-1, keepdim=True), weights, torch.zeros_like(weights))
    return torch.matmul(weights, v), weights


def causal_mask(T, S=None):
    offset = 0 if S is None else S - T
    return ~torch.triu(torch.ones(T, T + offset), diagonal=offset + 1).bool()


def padding_mask(tokens, pad=0):
    N, S = tokens.shape
    return torch.logical_not(tokens == pad).view(N, 1, 1, S)


def split_heads(x, num_heads):
    return x.unflatten(2, (num_heads, -1)).permute(0, 2, 1, 3)


def merge_heads(x):
    N, H, T, d = x.shape
    return x.permute(0, 2, 1, 3).contiguous().view(N, T, H * d)


def linear(x, params, name):
    return F.linear(x, params["w" + name].T, params["b" + name])


def multi_head_attention(x, memory, params, num_heads, mask=None):
    q, k, v = (
        split_heads(linear(t, params, n), num_heads) for t, n in ((x, "q"), (memory, "k"), (memory, "v"))
    )
    return linear(merge_heads(attention(q, k, v, mask)[0]), params, "o")


def positional_encoding(T, D):
    encoding = torch.zeros(T, D)
    position = torch.arange(T, dtype=torch.float).unsqueeze(1)
    divisor = torch.exp(torch.arange(0, D, 2).float() * (-math.log(10000.0) / D))
    encoding[:, 0::2] = torch.sin(position * divisor)
    encoding[:, 1::2] = torch.cos(position * divisor)
    return encoding


def layer_norm(x, gamma, beta, eps=1e-5):
    return F.layer_norm(x, gamma.shape, gamma, beta, eps)


def feed_forward(x, params):
    return linear(F.gelu(linear(x, params, "1")), params, "2")


def sequence_loss(logits, targets, pad=0):
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=pad)


def train(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    torch.manual_seed(seed)
    weights = leaves(params)
    for tensor in weights:
        tensor.requires_grad = True
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=1e-4, betas=(0.9, 0.98))
    warm_up = max(1, num_steps // 10)

    def factor(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, num_steps - warm_up))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses, left = [], torch.empty(0, dtype=torch.long)
    for _ in range(num_steps):
        while len(left) < batch_size:  # epoch after epoch, each in an order of its own
            left = torch.cat([left, torch.randperm(len(source))])
        batch, left = left[:batch_size], left[batch_size:]
        read = F.pad(target[batch], (1, 0), value=bos)[:, :-1]
        logits = forward(source[batch], read, params)
        loss = sequence_loss(logits, target[batch], pad)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    for tensor in weights:
        tensor.requires_grad = False
        tensor.grad = None
    return params, losses


@torch.no_grad()
def greedy_decode(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    answers = torch.full((len(source), num_tokens + 1), pad)
    answers[:, 0] = bos
    going_on = torch.ones(len(source), dtype=torch.bool)
    for t in range(num_tokens):
        logits = transformer_forward(source, answers[:, : t + 1], params, num_heads, pad)
        answers[going_on, t + 1] = logits[going_on, t].argmax(dim=1)
        going_on &= answers[:, t + 1] != eos
        if not going_on.any():
            break
    return answers[:, 1:]


class Cache:
    """Keys and values of each block, and how many positions they are for."""

    def __init__(self, blocks):
        self.layers, self.length = [None] * blocks, 0

    def extended(self, number, k, v):
        old = self.layers[number]
        return (k, v) if old is None else (torch.cat((old[0], k), 2), torch.cat((old[1], v), 2))


def gpt_step(tokens, cache, params, num_heads):
    cache = Cache(len(params["blocks"])) if cache is None else cache
    T = tokens.size(1)
    positions = torch.arange(cache.length, cache.length + T)
    x = F.embedding(tokens, params["tokens"]) + F.embedding(positions, params["positions"])
    new = Cache(len(params["blocks"]))
    new.length = cache.length + T
    for number, block in enumerate(params["blocks"]):
        h = layer_norm(x, block["norm1"]["gamma"], block["norm1"]["beta"])
        q, k, v = (split_heads(linear(h, block["attention"], n), num_heads) for n in "qkv")
        new.layers[number] = k, v = cache.extended(number, k, v)
        mask = positions[:, None] >= torch.arange(new.length)
        x = x + linear(merge_heads(attention(q, k, v, mask)[0]), block["attention"], "o")
        h = layer_norm(x, block["norm2"]["gamma"], block["norm2"]["beta"])
        x = x + feed_forward(h, block["feed_forward"])
    x = layer_norm(x, params["norm"]["gamma"], params["norm"]["beta"])
    return F.linear(x, params["tokens"]), new


def gpt_forward(tokens, params, num_heads):
    return gpt_step(tokens, None, params, num_heads)[0]


def token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """As the best-known libraries do it: filters on sorted logits."""
    if temperature == 0:
        top_k, temperature = 1, 1.0
    ordered, order = torch.sort(logits / temperature, dim=-1, descending=True)
    if top_k is not None:
        ordered[:, top_k:] = float("-inf")
    if top_p is not None:
        cumulative = ordered.softmax(-1).cumsum(-1)
        remove = cumulative >= top_p
        remove[:, 1:] = remove[:, :-1].clone()
        remove[:, 0] = False
        ordered = ordered.masked_fill(remove, float("-inf"))
    return torch.gather(ordered, 1, order.argsort(1)).softmax(-1)


@torch.inference_mode()
def generate(prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None):
    torch.manual_seed(seed)
    cache, columns = None, [prompt]
    for _ in range(num_tokens):
        logits, cache = gpt_step(columns[-1], cache, params, num_heads)
        p = token_probabilities(logits[:, -1], temperature, top_k, top_p)
        columns.append(torch.multinomial(p, num_samples=1))
    return torch.cat(columns, dim=1)

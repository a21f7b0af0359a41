"""Index notation throughout; heads are an axis of the weights; the blocks take their norms as functions."""

import math
from functools import partial

import torch


def attention(q, k, v, mask=None):
    scores = torch.einsum("...td,...sd->...ts", q, k) * q.shape[-1] ** -0.5
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    scores = torch.where(mask, scores, -math.inf)
    top = scores.amax(dim=-1, keepdim=True)
    e = torch.exp(scores - torch.where(top == -math.inf, 0.0, top))
    total = e.sum(dim=-1, keepdim=True)
    weights = e / torch.where(total == 0, 1.0, total)
    return torch.einsum("...ts,...se->...te", weights, v), weights


def causal_mask(T, S=None):
    if S is None:
        S = T
    return torch.ones(T, S, dtype=torch.bool).tril(S - T)


def padding_mask(tokens, pad=0):
    return tokens.ne(pad).unsqueeze(1).unsqueeze(1)


def split_heads(x, num_heads):
    return torch.stack(x.chunk(num_heads, dim=2), dim=1)


def merge_heads(x):
    return torch.cat([x[:, head] for head in range(x.shape[1])], dim=2)


def multi_head_attention(x, memory, params, num_heads, mask=None):
    D = x.shape[-1]

    def project(t, name):
        w = params[f"w{name}"].view(D, num_heads, -1)
        return torch.einsum("ntc,chd->nhtd", t, w) + params[f"b{name}"].view(num_heads, 1, -1)

    out, _ = attention(project(x, "q"), project(memory, "k"), project(memory, "v"), mask)
    return torch.einsum("nhtd,hdc->ntc", out, params["wo"].view(num_heads, -1, D)) + params["bo"]


def positional_encoding(T, D):
    t, j = torch.meshgrid(torch.arange(T).double(), torch.arange(D).double(), indexing="ij")
    # cos(a) is sin(a + pi/2)
    return torch.sin(t / 10000 ** ((j - j % 2) / D) + (j % 2) * math.pi / 2)


def layer_norm(x, gamma, beta, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return torch.addcmul(beta, (x - mean) * torch.rsqrt(variance + eps), gamma)


def feed_forward(x, params):
    h = torch.einsum("ntd,dm->ntm", x, params["w1"]) + params["b1"]
    h = h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))
    return torch.einsum("ntm,md->ntd", h, params["w2"]) + params["b2"]


def residual(x, part, norm, norm_first):
    return x + part(norm(x)) if norm_first else norm(x + part(x))


def norm_of(params, number):
    scale = params[f"norm{number}"]
    return lambda x: layer_norm(x, scale["gamma"], scale["beta"])


def encoder_block(x, params, num_heads, mask=None, norm_first=True):
    x = residual(
        x,
        lambda h: multi_head_attention(h, h, params["attention"], num_heads, mask),
        norm_of(params, 1),
        norm_first,
    )
    return residual(x, partial(feed_forward, params=params["feed_forward"]), norm_of(params, 2), norm_first)


def decoder_block(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    causal = causal_mask(x.shape[1])
    steps = (
        lambda h: multi_head_attention(h, h, params["self_attention"], num_heads, causal),
        lambda h: multi_head_attention(h, memory, params["cross_attention"], num_heads, memory_mask),
        lambda h: feed_forward(h, params["feed_forward"]),
    )
    for number, part in enumerate(steps, start=1):
        x = residual(x, part, norm_of(params, number), norm_first)
    return x


def sequence_loss(logits, targets, pad=0):
    keep = (targets != pad).to(logits.dtype)
    one_hot = torch.arange(logits.shape[-1]) == targets[..., None]
    right = (logits * one_hot).sum(dim=-1)
    return torch.dot((logits.logsumexp(dim=-1) - right).flatten(), keep.flatten()) / keep.sum()


def token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        p = torch.zeros_like(logits)
        return p.scatter_(1, logits.argmax(dim=1, keepdim=True), 1.0)
    p = torch.softmax(logits / temperature, dim=1)
    order = p.argsort(dim=1, descending=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(p.shape[1]).expand_as(order))
    if top_k is not None:
        p = p * (rank < top_k)
        p = p / p.sum(dim=1, keepdim=True)
    if top_p is not None:
        # before[n, i]: the probability of all tokens that are likelier than i
        before = ((rank[:, None, :] < rank[:, :, None]) * p[:, None, :]).sum(dim=2)
        p = p * (before < top_p)
        p = p / p.sum(dim=1, keepdim=True)
    return p

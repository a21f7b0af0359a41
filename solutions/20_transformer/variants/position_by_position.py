"""The models position by position, as they write: each one looks at the keys and values kept so far."""

import torch


def normed(x, scale):
    return layer_norm(x, scale["gamma"], scale["beta"])


def affine(x, params, name):
    return x @ params["w" + name] + params["b" + name]


def look(q, k, v, params, num_heads, mask=None):
    q, k, v = (split_heads(t, num_heads) for t in (q, k, v))
    return affine(merge_heads(attention(q, k, v, mask)[0]), params, "o")


class Decoder:
    """What the blocks of one decoder have kept of the positions so far."""

    def __init__(self, blocks, name, num_heads, memory=None, mask=None):
        self.blocks, self.name, self.num_heads = blocks, name, num_heads
        self.memory, self.mask = memory, mask
        self.kept = [[] for _ in blocks]

    def read(self, x):
        """x (N, 1, D), the next position."""
        for block, kept in zip(self.blocks, self.kept, strict=True):
            norms = iter(sorted(name for name in block if name.startswith("norm")))
            own = block[self.name]
            h = normed(x, block[next(norms)])
            kept.append((affine(h, own, "k"), affine(h, own, "v")))
            k, v = (torch.cat(parts, dim=1) for parts in zip(*kept, strict=True))
            x = x + look(affine(h, own, "q"), k, v, own, self.num_heads)
            if self.memory is not None:
                cross, h = block["cross_attention"], normed(x, block[next(norms)])
                k, v = affine(self.memory, cross, "k"), affine(self.memory, cross, "v")
                x = x + look(affine(h, cross, "q"), k, v, cross, self.num_heads, self.mask)
            x = x + feed_forward(normed(x, block[next(norms)]), block["feed_forward"])
        return x


def transformer_forward(source, target, params, num_heads, pad=0):
    D = params["source"].shape[-1]
    places = positional_encoding(max(source.shape[1], target.shape[1]), D) / D**0.5
    mask = padding_mask(source, pad)
    memory = torch.stack([
        torch.stack([params["source"][token] + place for token, place in zip(row, places, strict=False)])
        for row in source
    ])  # fmt: skip
    memory = memory * D**0.5
    for block in params["encoder"]:
        memory = encoder_block(memory, block, num_heads, mask, True)
    decoder = Decoder(
        params["decoder"], "self_attention", num_heads, normed(memory, params["encoder_norm"]), mask
    )
    scores = []
    for tokens, place in zip(target.unbind(dim=1), places, strict=False):
        x = decoder.read(((params["target"][tokens] + place) * D**0.5).unsqueeze(1))
        scores.append(normed(x, params["decoder_norm"]) @ params["w_out"] + params["b_out"])
    return torch.cat(scores, dim=1)


def gpt_forward(tokens, params, num_heads):
    decoder = Decoder(params["blocks"], "attention", num_heads)
    columns = []
    for t in range(tokens.shape[1]):
        x = decoder.read(params["tokens"][tokens[:, t : t + 1]] + params["positions"][t])
        columns.append((normed(x, params["norm"]) * params["tokens"][:, None, None]).sum(dim=-1))
    return torch.cat(columns, dim=2).permute(1, 2, 0)


def generate(prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None):
    """Into an array made beforehand; a draw is where the cumulated probabilities pass a number."""
    draws = torch.Generator().manual_seed(seed)
    length = prompt.shape[1]
    text = torch.cat([prompt, prompt.new_zeros(len(prompt), num_tokens)], dim=1)
    cache, done = None, 0
    for t in range(length, length + num_tokens):
        logits, cache = gpt_step(text[:, done:t], cache, params, num_heads)
        steps = token_probabilities(logits[:, -1], temperature, top_k, top_p).double().cumsum(dim=1)
        thrown = torch.rand(len(text), 1, generator=draws, dtype=torch.float64) * steps[:, -1:]
        text[:, t : t + 1] = torch.searchsorted(steps, thrown, right=True)
        done = t
    return text

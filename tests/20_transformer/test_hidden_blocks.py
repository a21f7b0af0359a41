"""Positions, normalisation, feed-forward, and the blocks of encoder and decoder, beside PyTorch's layers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import assert_close, assert_unchanged, fail

PARTS = [
    *("attention", "split_heads", "merge_heads", "causal_mask", "multi_head_attention", "layer_norm"),
    "feed_forward",
]


def draw(rng, *shape):
    """Random numbers in float64."""
    return torch.from_numpy(rng.normal(size=shape))


def attention_params(rng, D):
    """Random weights and biases of one attention layer."""
    names = ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo")
    return {name: draw(rng, *((D, D) if name[0] == "w" else (D,))) / D**0.5 for name in names}


def block_params(rng, D, M, *attentions):
    """Random parameters of a block; no scale is 1 and no shift 0."""
    block = {name: attention_params(rng, D) for name in attentions}
    block["feed_forward"] = {
        "w1": draw(rng, D, M) / D**0.5,
        "b1": draw(rng, M),
        "w2": draw(rng, M, D) / M**0.5,
        "b2": draw(rng, D),
    }
    norms = range(1, len(attentions) + 2)
    return block | {f"norm{i}": {"gamma": draw(rng, D) + 2, "beta": draw(rng, D)} for i in norms}


# --- positions
@pytest.mark.question("positional_encoding", weight=2)
def test_positional_encoding_values(student):
    """Each number is the sine or cosine of the formula, for several lengths and widths."""
    for T, D in ((4, 6), (1, 4), (50, 2), (30, 32)):
        expected = np.zeros((T, D))
        for t in range(T):
            for i in range(D // 2):
                angle = t / 10000 ** (2 * i / D)
                expected[t, 2 * i], expected[t, 2 * i + 1] = np.sin(angle), np.cos(angle)
        got = student.positional_encoding(T, D)
        hint = "Sines stand in the even columns, cosines in the odd ones; the exponent is 2i/D."
        assert_close(
            got, expected, what=f"the encoding for T = {T}, D = {D}", hint=hint, rtol=1e-4, atol=1e-5
        )


@pytest.mark.question("positional_encoding")
def test_positional_encoding_is_a_tensor_of_floats(student):
    """The result can be added to embeddings in float32."""
    got = student.positional_encoding(5, 4)
    if not isinstance(got, torch.Tensor) or not got.is_floating_point():
        fail("A tensor of floating-point numbers was expected.", value=got)
    assert_close(tuple(got.shape), (5, 4), what="the shape")


# --- layer norm
@pytest.mark.question("layer_norm", weight=2)
def test_layer_norm_values(student, rng):
    """The result equals the definition, for arrays of two to four axes."""
    for shape in ((3, 5), (2, 3, 4), (2, 1, 3, 2), (1, 1, 7)):
        x, gamma, beta = draw(rng, *shape) * 3 + 2, draw(rng, shape[-1]), draw(rng, shape[-1])
        expected = F.layer_norm(x, shape[-1:], gamma, beta)
        got = assert_unchanged(student.layer_norm, x, gamma, beta)
        hint = "Mean and variance run over the last axis alone; the variance divides by D."
        assert_close(got, expected, what="out", hint=hint)


@pytest.mark.question("layer_norm")
def test_layer_norm_epsilon(student, rng):
    """Epsilon stands under the root, beside the variance, and has the default 1e-5."""
    x, gamma, beta = draw(rng, 2, 3, 4) * 1e-3, draw(rng, 4), draw(rng, 4)
    hint = "Divide by sqrt(variance + eps)."
    assert_close(
        student.layer_norm(x, gamma, beta), F.layer_norm(x, (4,), gamma, beta), what="out", hint=hint
    )
    for eps in (0.1, 2.0):
        expected = F.layer_norm(x, (4,), gamma, beta, eps)
        assert_close(
            student.layer_norm(x, gamma, beta, eps), expected, what=f"out for eps = {eps}", hint=hint
        )


@pytest.mark.question("layer_norm")
def test_layer_norm_of_equal_numbers(student, rng):
    """Where all numbers of a position are equal, the result is beta."""
    beta = draw(rng, 4)
    got = student.layer_norm(torch.full((2, 4), 3.0).double(), draw(rng, 4), beta)
    assert_close(got, beta.expand(2, 4), what="out")


# --- feed-forward
@pytest.mark.question("feed_forward", weight=2)
def test_feed_forward_values(student, rng):
    """Two linear layers with GELU between them, at each position."""
    for N, T, D, M in ((2, 3, 4, 6), (1, 1, 3, 5), (3, 2, 5, 2)):
        params = block_params(rng, D, M)["feed_forward"]
        x = draw(rng, N, T, D)
        h = x @ params["w1"] + params["b1"]
        expected = (h * 0.5 * (1 + torch.erf(h / 2**0.5))) @ params["w2"] + params["b2"]
        got = assert_unchanged(student.feed_forward, x, params)
        assert_close(got, expected, what="out", hint="F.gelu with its default, not ReLU, not the tanh form.")


@pytest.mark.question("feed_forward")
def test_feed_forward_each_position_by_itself(student, rng):
    """A position's output depends on that position alone."""
    params, x = block_params(rng, 4, 6)["feed_forward"], draw(rng, 2, 5, 4)
    whole = student.feed_forward(x, params)
    alone = torch.cat([student.feed_forward(x[:, t : t + 1], params) for t in range(5)], dim=1)
    assert_close(alone, whole, what="out of each position alone", rtol=1e-9)
    h = F.gelu(x @ params["w1"] + params["b1"])
    assert_close(whole, h @ params["w2"] + params["b2"], what="out")


# --- blocks, beside PyTorch's own
def load_attention(layer, params):
    """Copy our parameters into nn.MultiheadAttention."""
    layer.in_proj_weight.data = torch.cat([params[f"w{n}"].T for n in "qkv"])
    layer.in_proj_bias.data = torch.cat([params[f"b{n}"] for n in "qkv"])
    load_linear(layer.out_proj, params["wo"], params["bo"])


def load_linear(layer, w, b):
    layer.weight.data, layer.bias.data = w.T.contiguous(), b.clone()


def torchs_block(kind, params, names, num_heads, norm_first):
    """nn.TransformerEncoderLayer or DecoderLayer with our parameters; `names` in the order of its norms."""
    D, M = params["feed_forward"]["w1"].shape
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": norm_first}
    block = kind(D, num_heads, M, dtype=torch.float64, **options)
    for layer, name in zip((block.self_attn, getattr(block, "multihead_attn", None)), names, strict=False):
        load_attention(layer, params[name])
    load_linear(block.linear1, params["feed_forward"]["w1"], params["feed_forward"]["b1"])
    load_linear(block.linear2, params["feed_forward"]["w2"], params["feed_forward"]["b2"])
    for i in range(len(names) + 1):
        norm = getattr(block, f"norm{i + 1}")
        norm.weight.data, norm.bias.data = params[f"norm{i + 1}"]["gamma"], params[f"norm{i + 1}"]["beta"]
    return block.train()  # not the fused path of evaluation


CASES = [(2, 4, 6, 5, 2), (1, 3, 4, 7, 4), (3, 1, 4, 3, 1)]  # N, T, D, M, heads


def check_encoder(student, rng, norm_first, masks, what):
    for N, T, D, M, H in CASES:
        params, x = block_params(rng, D, M, "attention"), draw(rng, N, T, D)
        block = torchs_block(nn.TransformerEncoderLayer, params, ["attention"], H, norm_first)
        for mask in masks(rng, N, T):
            hidden = None if mask is None else ~mask.expand(N, H, T, T).reshape(N * H, T, T)
            with torch.no_grad():
                expected = block(x, src_mask=hidden)
            got = assert_unchanged(student.encoder_block, x, params, H, mask, norm_first)
            assert_close(got, expected, what=f"out {what}")


@pytest.mark.question("encoder_block", weight=2, given=PARTS)
def test_encoder_block_pre_norm(student, rng):
    """Pre-norm: the block equals PyTorch's own with the same weights."""
    check_encoder(student, rng, True, lambda *_: [None], "with pre-norm")


@pytest.mark.question("encoder_block", weight=2, given=PARTS)
def test_encoder_block_post_norm(student, rng):
    """Post-norm: the block equals PyTorch's own with the same weights."""
    check_encoder(student, rng, False, lambda *_: [None], "with post-norm")


def two_masks(rng, N, T):
    padding = torch.ones(N, 1, 1, T, dtype=torch.bool)
    padding[-1, ..., 1:] = False
    return [torch.ones(T, T, dtype=torch.bool).tril(), padding]


@pytest.mark.question("encoder_block", given=PARTS)
@pytest.mark.parametrize("norm_first", [True, False])
def test_encoder_block_masks(student, rng, norm_first):
    """The mask reaches the attention."""
    check_encoder(student, rng, norm_first, two_masks, "with a mask")


@pytest.mark.question("encoder_block", given=PARTS)
def test_encoder_block_defaults(student, reference, rng):
    """Without further arguments there is no mask, and the block is pre-norm."""
    params, x = block_params(rng, 4, 6, "attention"), draw(rng, 2, 3, 4)
    assert_close(student.encoder_block(x, params, 2), reference.encoder_block(x, params, 2), what="out")


def check_decoder(student, rng, norm_first, *, padded=False):
    for (N, T, D, M, H), S in zip(CASES, (5, 1, 4), strict=True):
        params = block_params(rng, D, M, "self_attention", "cross_attention")
        x, memory = draw(rng, N, T, D), draw(rng, N, S, D)
        names = ["self_attention", "cross_attention"]
        block = torchs_block(nn.TransformerDecoderLayer, params, names, H, norm_first)
        padding = None
        if padded:
            padding = torch.ones(N, S, dtype=torch.bool)
            padding[-1, 1:] = False
        with torch.no_grad():
            expected = block(
                x,
                memory,
                tgt_mask=~torch.ones(T, T, dtype=torch.bool).tril(),
                memory_key_padding_mask=None if padding is None else ~padding,
            )
        mask = None if padding is None else padding[:, None, None]
        got = assert_unchanged(student.decoder_block, x, memory, params, H, mask, norm_first)
        assert_close(got, expected, what=f"out with {'pre' if norm_first else 'post'}-norm")


@pytest.mark.question("decoder_block", weight=2, given=PARTS)
def test_decoder_block_pre_norm(student, rng):
    """Pre-norm: the block equals PyTorch's own with the same weights, for a memory of another length."""
    check_decoder(student, rng, True)


@pytest.mark.question("decoder_block", weight=2, given=PARTS)
def test_decoder_block_post_norm(student, rng):
    """Post-norm: the block equals PyTorch's own with the same weights."""
    check_decoder(student, rng, False)


@pytest.mark.question("decoder_block", given=PARTS)
@pytest.mark.parametrize("norm_first", [True, False])
def test_decoder_block_memory_mask(student, rng, norm_first):
    """Padded positions of the memory are not seen."""
    check_decoder(student, rng, norm_first, padded=True)


@pytest.mark.question("decoder_block", given=PARTS)
def test_decoder_block_sees_no_future_at_all(student, reference, rng):
    """A change of later positions leaves the earlier outputs as they are, bit for bit."""
    params = block_params(rng, 6, 5, "self_attention", "cross_attention")
    x, memory = draw(rng, 2, 5, 6), draw(rng, 2, 3, 6)
    before = student.decoder_block(x, memory, params, 2)
    x[:, 3:] += 10 * draw(rng, 2, 2, 6)
    after = student.decoder_block(x, memory, params, 2)
    hint = "Self-attention needs the causal mask."
    assert_close(after[:, :3], before[:, :3], rtol=0, atol=0, what="out of the first three", hint=hint)
    assert_close(after, reference.decoder_block(x, memory, params, 2), what="out")

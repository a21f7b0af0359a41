"""Attention, masks and heads, beside the reference and beside PyTorch's own attention."""

import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail

HEADS = ["attention", "split_heads", "merge_heads"]
SCALE = "Divide the scalar products by the root of d, the last axis of q; then softmax over the keys."


def draw(rng, *shape):
    """Random numbers in float64."""
    return torch.from_numpy(rng.normal(size=shape))


def some(rng, *shape):
    """A random mask in which each query may see at least one key."""
    mask = torch.from_numpy(rng.random(shape) < 0.6)
    mask[..., 0] |= ~mask.any(dim=-1)
    return mask


def attend(student, *arguments):
    result = student.attention(*arguments)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("attention should return two values, out and weights.", value=result)
    return result


# (leading axes, T, S, d, e): one query, one key, d = 1, other lengths, no batch
SHAPES = [
    ((2, 3), 4, 4, 5, 5),
    ((), 3, 6, 2, 4),
    ((2,), 1, 5, 3, 2),
    ((3, 1), 5, 1, 4, 3),
    ((1,), 4, 2, 1, 1),
]


@pytest.mark.question("attention", weight=2)
def test_attention_values(student, reference, rng):
    """out and weights are right without a mask, for sequences of different lengths."""
    for lead, T, S, d, e in SHAPES:
        q, k, v = draw(rng, *lead, T, d), draw(rng, *lead, S, d), draw(rng, *lead, S, e)
        out, weights = attend(student, q, k, v)
        assert_close(weights, reference.attention(q, k, v)[1], what="weights", hint=SCALE)
        assert_close(out, F.scaled_dot_product_attention(q, k, v), what="out")


@pytest.mark.question("attention", weight=2)
def test_attention_masks(student, reference, rng):
    """out and weights are right with masks of every shape that broadcasts."""
    hint = "True means that a key may be seen."
    for shape in ((2, 3, 4, 6), (4, 6), (2, 1, 1, 6), (1, 1, 4, 6), (6,)):
        q, k, v = draw(rng, 2, 3, 4, 5), draw(rng, 2, 3, 6, 5), draw(rng, 2, 3, 6, 2)
        mask = some(rng, *shape)
        out, weights = attend(student, q, k, v, mask)
        assert_close(weights, reference.attention(q, k, v, mask)[1], what="weights", hint=hint)
        expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(2, 3, 4, 6))
        assert_close(out, expected, what="out", hint=hint)


@pytest.mark.question("attention")
def test_attention_fully_masked(student, rng):
    """A query that may see nothing gets weights and output of 0, and the others are not disturbed."""
    q, k, v = draw(rng, 2, 4, 3), draw(rng, 2, 5, 3), draw(rng, 2, 5, 3)
    mask = some(rng, 2, 4, 5)
    mask[0, 1], mask[1] = False, False
    out, weights = attend(student, q, k, v, mask)
    hint = "A softmax over nothing but -inf is NaN: put zeros there."
    seen = mask.any(dim=-1)
    assert_stable(out[~seen], torch.zeros(5, 3), what="out of queries that see nothing", hint=hint)
    assert_close(weights[~seen], torch.zeros(5, 5), what="weights of queries that see nothing", hint=hint)
    safe = torch.where(seen[..., None], mask, torch.ones_like(mask))
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=safe)[seen]
    assert_close(out[seen], expected, what="out of the other queries")


@pytest.mark.question("attention")
def test_attention_ignores_what_is_masked(student, rng):
    """A masked key and its value do not matter at all, even if they are huge."""
    q, k, v = draw(rng, 2, 3, 4), draw(rng, 2, 5, 4), draw(rng, 2, 5, 4)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[:, 3:] = False
    out, _ = attend(student, q, k, v, mask)
    expected = F.scaled_dot_product_attention(q, k[:, :3], v[:, :3])
    assert_close(out, expected, what="out where two keys are masked")
    k[:, 3:], v[:, 3:] = k[:, 3:] * 100 + 50, v[:, 3:] * 1e6
    again, _ = attend(student, q, k, v, mask)
    hint = "The weight of a masked key is exactly 0."
    assert_close(again, out, rtol=0, atol=0, what="out after a change of what is masked", hint=hint)


@pytest.mark.question("attention")
def test_attention_large_scores(student, rng):
    """Scores of several thousands do not overflow."""
    q, k, v = draw(rng, 2, 3, 4) * 100, draw(rng, 2, 5, 4) * 100, draw(rng, 2, 5, 4)
    out, weights = attend(student, q, k, v)
    expected = F.scaled_dot_product_attention(q, k, v)
    assert_stable(out, expected, what="out for large scores", rtol=1e-6)
    assert_stable(weights, what="weights for large scores")


@pytest.mark.question("attention")
def test_attention_float32_and_inputs(student, reference, rng):
    """float32 is accepted, and no argument is changed."""
    q, k, v = draw(rng, 2, 4, 8), draw(rng, 2, 4, 8), draw(rng, 2, 4, 8)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    result = assert_unchanged(student.attention, q.float(), k.float(), v.float(), mask)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("attention should return two values, out and weights.", value=result)
    expected = reference.attention(q, k, v, mask)
    assert_close(result[0], expected[0], what="out for float32", rtol=1e-4, atol=1e-5)


@pytest.mark.question("causal_mask", weight=2)
def test_causal_mask_square(student):
    """Each position may see itself and those before."""
    for T in (1, 2, 5):
        expected = torch.ones(T, T, dtype=torch.bool).tril()
        assert_close(student.causal_mask(T), expected, what=f"causal_mask({T})")


@pytest.mark.question("causal_mask", weight=2)
def test_causal_mask_with_earlier_keys(student):
    """With more keys than queries, the queries are the last positions."""
    hint = "Query t stands at position S - T + t."
    for T, S in ((1, 4), (2, 5), (3, 3), (4, 9)):
        expected = torch.ones(S, S, dtype=torch.bool).tril()[S - T :]
        assert_close(student.causal_mask(T, S), expected, what=f"causal_mask({T}, {S})", hint=hint)


@pytest.mark.question("causal_mask")
def test_causal_mask_is_boolean(student):
    """The mask is of booleans, so that ~mask and masked_fill work."""
    is_boolean(student.causal_mask(3, 5))


def is_boolean(mask):
    """Fail unless `mask` is a tensor of booleans."""
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        fail("The mask should be a tensor of booleans.", value=mask)


@pytest.mark.question("padding_mask", weight=2)
def test_padding_mask_values(student, rng):
    """True wherever the token is not the padding token, shape (N, 1, 1, S)."""
    for N, S, pad in ((3, 6, 0), (1, 4, 2), (2, 1, 0)):
        tokens = torch.from_numpy(rng.integers(0, 4, size=(N, S)))
        tokens[0, -1] = pad
        mask = assert_unchanged(student.padding_mask, tokens, pad)
        is_boolean(mask)
        assert_close(mask, (tokens != pad).reshape(N, 1, 1, S), what=f"the mask for pad = {pad}")


@pytest.mark.question("padding_mask")
def test_padding_mask_default(student, rng):
    """Without a further argument, 0 is the padding token."""
    tokens = torch.tensor([[0, 2, 1], [1, 0, 0]])
    assert_close(student.padding_mask(tokens), (tokens != 0).reshape(2, 1, 1, 3), what="the mask")


@pytest.mark.question("split_heads")
def test_split_heads_values(student, rng):
    """Head h holds the h-th part of each position, for one head and for many."""
    for N, T, D, H in ((2, 3, 6, 2), (1, 4, 6, 6), (3, 1, 4, 1), (2, 5, 8, 4)):
        x = draw(rng, N, T, D)
        expected = torch.stack(x.split(D // H, dim=-1), dim=1)
        hint = "Reshape to (N, T, H, d) first, and then exchange T and H."
        got = assert_unchanged(student.split_heads, x, H)
        assert_close(got, expected, what="split_heads", hint=hint)


@pytest.mark.question("split_heads")
def test_merge_heads_values(student, rng):
    """merge_heads puts the parts of each position side by side again."""
    for N, H, T, d in ((2, 3, 4, 2), (1, 1, 3, 5), (3, 4, 1, 2)):
        heads = draw(rng, N, H, T, d)
        expected = torch.cat(heads.unbind(1), dim=-1)
        hint = "Exchange the axes of heads and positions before the reshape."
        got = assert_unchanged(student.merge_heads, heads)
        assert_close(got, expected, what="merge_heads", hint=hint)


def attention_params(rng, D):
    """Random weights and biases of one attention layer."""
    names = ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo")
    return {name: draw(rng, *((D, D) if name[0] == "w" else (D,))) / D**0.5 for name in names}


@pytest.mark.question("multi_head_attention", weight=2, given=HEADS)
def test_multi_head_self_attention(student, rng):
    """Self-attention equals PyTorch's own layer with the same weights."""
    for N, T, D, H in ((2, 4, 6, 2), (1, 3, 4, 4), (3, 1, 4, 1)):
        x, params = draw(rng, N, T, D), attention_params(rng, D)
        expected = torchs_own(x, x, params, H)
        assert_close(student.multi_head_attention(x, x, params, H), expected, what="out")


@pytest.mark.question("multi_head_attention", weight=2, given=HEADS)
def test_multi_head_cross_attention(student, rng):
    """Queries come from x, keys and values from a memory of another length."""
    for N, T, S, D, H in ((2, 3, 5, 6, 3), (1, 4, 1, 4, 2), (2, 1, 6, 4, 2)):
        x, memory, params = draw(rng, N, T, D), draw(rng, N, S, D), attention_params(rng, D)
        expected = torchs_own(x, memory, params, H)
        got = assert_unchanged(student.multi_head_attention, x, memory, params, H)
        assert_close(got, expected, what="out", hint="wq meets x; wk and wv meet the memory.")


@pytest.mark.question("multi_head_attention", weight=2, given=HEADS)
def test_multi_head_attention_masks(student, rng):
    """Causal masks, padding masks and masks of each head are respected."""
    N, T, D, H = 2, 5, 6, 3
    x, params = draw(rng, N, T, D), attention_params(rng, D)
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    padding = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()[:, None, None]
    for mask in (causal, padding, causal & padding, some(rng, N, H, T, T)):
        expected = torchs_own(x, x, params, H, mask)
        assert_close(student.multi_head_attention(x, x, params, H, mask), expected, what="out with a mask")


def torchs_own(x, memory, params, num_heads, mask=None):
    """torch.nn.functional's attention between linear layers."""

    def heads(t, name):
        t = F.linear(t, params[f"w{name}"].T, params[f"b{name}"])
        return torch.stack(t.chunk(num_heads, dim=-1), dim=1)

    q, k, v = heads(x, "q"), heads(memory, "k"), heads(memory, "v")
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return F.linear(torch.cat(out.unbind(1), dim=-1), params["wo"].T, params["bo"])

"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import math

import pytest
import torch

from autograder.checking import assert_close, assert_learns, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones where yours fail, so that an error is
# not paid for twice.
HEADS = ["attention", "split_heads", "merge_heads"]
PARTS = [*HEADS, "causal_mask", "padding_mask", "multi_head_attention", "layer_norm", "feed_forward"]
BLOCKS = [*PARTS, "positional_encoding", "encoder_block", "decoder_block"]
GPT = [*BLOCKS, "gpt_forward", "gpt_step", "token_probabilities"]


def draw(*shape, seed=0):
    """Random numbers in float64, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(*names, D=4, M=6, seed=0):
    """Random parameters: matrices (w...), vectors (b...), of an attention or a feed-forward layer."""
    sizes = {"w1": (D, M), "b1": (M,), "w2": (M, D), "b2": (D,)}
    return {
        name: draw(*sizes.get(name, (D, D) if name[0] == "w" else (D,)), seed=seed + i) / 2
        for i, name in enumerate(names)
    }


def attention_params(D=4, seed=0):
    return layer("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo", D=D, seed=seed)


def norm_params(D=4, seed=0):
    return {"gamma": 1 + draw(D, seed=seed) / 4, "beta": draw(D, seed=seed + 1) / 4}


def block_params(*attentions, D=4, seed=0):
    """The parameters of a block with these attentions."""
    block = {name: attention_params(D, seed + 10 * i) for i, name in enumerate(attentions)}
    block["feed_forward"] = layer("w1", "b1", "w2", "b2", D=D, seed=seed + 50)
    return block | {f"norm{i + 1}": norm_params(D, seed + 60 + i) for i in range(len(attentions) + 1)}


def transformer_params(V=6, D=4, seed=0):
    return {
        "source": draw(V, D, seed=seed),
        "target": draw(V, D, seed=seed + 1),
        "encoder": [block_params("attention", D=D, seed=seed + 2)],
        "encoder_norm": norm_params(D, seed + 3),
        "decoder": [block_params("self_attention", "cross_attention", D=D, seed=seed + 4)],
        "decoder_norm": norm_params(D, seed + 5),
        "w_out": draw(D, V, seed=seed + 6),
        "b_out": draw(V, seed=seed + 7),
    }


def gpt_params(V=6, D=4, seed=0):
    return {
        "tokens": draw(V, D, seed=seed),
        "positions": draw(12, D, seed=seed + 1),
        "blocks": [block_params("attention", D=D, seed=seed + 2 + 100 * i) for i in range(2)],
        "norm": norm_params(D, seed + 3),
    }


def two(result, what):
    """A pair of results."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail(f"Two values were expected, {what}.", value=result)
    return result


def same_shape(got, shape, what="the result"):
    if not isinstance(got, torch.Tensor):
        fail(f"A tensor was expected for {what}.", value=got)
    assert_close(tuple(got.shape), shape, what=f"the shape of {what}")


# --- attention and masks
@pytest.mark.question("attention")
def test_attention_by_hand(student):
    """Two keys, the scores 0 and log 3: the weights are 1/4 and 3/4."""
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    k = torch.tensor([[0.0, 1, 1, 1], [math.log(3), 2, 2, 2]], dtype=torch.float64)
    v = torch.tensor([[8.0, 0.0], [4.0, 100.0]], dtype=torch.float64)
    out, weights = two(assert_unchanged(student.attention, q, k, v), "out and weights")
    hint = "The scalar products are divided by the root of d, here 2."
    assert_close(weights, torch.tensor([[0.25, 0.75]], dtype=torch.float64), what="weights", hint=hint)
    assert_close(out, torch.tensor([[5.0, 75.0]], dtype=torch.float64), what="out")


@pytest.mark.question("attention")
def test_attention_masked(student):
    """What is masked has the weight 0, and a query that may see nothing gets 0."""
    q, k, v = draw(2, 3, 4), draw(2, 5, 4, seed=1), draw(2, 5, 2, seed=2)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 3:] = False
    mask[1] = False
    out, weights = two(student.attention(q, k, v, mask), "out and weights")
    same_shape(weights, (2, 3, 5), "weights")
    assert_close(weights[:, 0, 3:], torch.zeros(2, 2), what="the weights of what is masked")
    ones = torch.ones(2, dtype=torch.float64)
    assert_close(weights[:, 0].sum(-1), ones, what="the sum of the weights of a query")
    hint = "Where the whole row of the mask is False, the softmax must not give NaN."
    assert_close(out[:, 1], torch.zeros(2, 2), what="out of a query that may see nothing", hint=hint)


@pytest.mark.question("causal_mask")
def test_causal_mask(student):
    """Three positions; and the last two of four."""
    expected = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    assert_close(student.causal_mask(3), expected, what="causal_mask(3)", hint="True: may be seen.")
    expected = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    assert_close(student.causal_mask(2, 4), expected, what="causal_mask(2, 4)")


@pytest.mark.question("padding_mask")
def test_padding_mask(student):
    """Two sentences, one of them padded."""
    tokens = torch.tensor([[3, 5, 2], [4, 0, 0]])
    expected = torch.tensor([[[[1, 1, 1]]], [[[1, 0, 0]]]]).bool()
    assert_close(assert_unchanged(student.padding_mask, tokens), expected, what="the mask")
    assert_close(student.padding_mask(tokens, pad=2)[0, 0, 0], torch.tensor([1, 1, 0]).bool(), what="pad = 2")


@pytest.mark.question("split_heads")
def test_split_heads(student):
    """Two positions of four numbers and two heads: each head gets half of each position."""
    x = torch.tensor([[[1.0, 2, 3, 4], [5, 6, 7, 8]]], dtype=torch.float64)
    heads = torch.tensor([[[[1.0, 2], [5, 6]], [[3, 4], [7, 8]]]], dtype=torch.float64)
    hint = "First reshape to (N, T, H, d), then exchange the axes of T and H."
    assert_close(student.split_heads(x, 2), heads, what="split_heads", hint=hint)
    assert_close(student.merge_heads(heads), x, what="merge_heads")


@pytest.mark.question("multi_head_attention", given=HEADS)
def test_multi_head_attention(student):
    """Equal positions of a memory: the output is their value, wherever one looks."""
    params, x = attention_params(), draw(2, 3, 4)
    memory = draw(2, 1, 4, seed=1).expand(2, 5, 4).contiguous()
    out = assert_unchanged(student.multi_head_attention, x, memory, params, 2)
    same_shape(out, (2, 3, 4), "out")
    value = (memory @ params["wv"] + params["bv"]) @ params["wo"] + params["bo"]
    hint = "Values come from the memory; the heads go through wo and bo."
    assert_close(out, value[:, :3], what="out", hint=hint)


@pytest.mark.question("multi_head_attention", given=HEADS)
def test_multi_head_attention_mask(student):
    """A masked position of the memory does not matter."""
    params, x, memory = attention_params(), draw(1, 3, 4), draw(1, 5, 4, seed=1)
    mask = torch.tensor([True, True, True, True, False])[None, None, None]
    out = student.multi_head_attention(x, memory, params, 2, mask)
    same_shape(out, (1, 3, 4), "out")
    other = memory.clone()
    other[:, 4] = 7.0
    assert_close(student.multi_head_attention(x, other, params, 2, mask), out, what="out")


# --- positions, norm, feed-forward
@pytest.mark.question("positional_encoding")
def test_positional_encoding(student):
    """The first rows for D = 4: wavelengths of 2 pi and 200 pi."""
    rows = [[math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100)] for t in range(3)]
    encoding = student.positional_encoding(3, 4)
    assert_close(encoding, torch.tensor(rows), what="the encoding", rtol=1e-5, atol=1e-6)


@pytest.mark.question("layer_norm")
def test_layer_norm(student):
    """The mean of each position becomes beta, and its standard deviation gamma."""
    x = torch.tensor([[[1.0, 3.0], [-10.0, 10.0]]], dtype=torch.float64)
    gamma, beta = torch.tensor([2.0, 3.0]).double(), torch.tensor([0.5, -0.5]).double()
    out = assert_unchanged(student.layer_norm, x, gamma, beta, 0.0)
    expected = torch.tensor([[[-1.5, 2.5], [-1.5, 2.5]]], dtype=torch.float64)
    hint = "The variance divides by D, not by D - 1."
    assert_close(out, expected, what="out", hint=hint)


@pytest.mark.question("feed_forward")
def test_feed_forward(student):
    """Where the hidden layer is 0 or large, GELU is easy to compute."""
    params = {
        "w1": torch.tensor([[1.0, -1.0]]).double(),
        "b1": torch.tensor([0.0, 0.0]).double(),
        "w2": torch.tensor([[2.0], [3.0]]).double(),
        "b2": torch.tensor([1.0]).double(),
    }
    x = torch.tensor([[[20.0], [0.0], [-20.0]]], dtype=torch.float64)
    out = assert_unchanged(student.feed_forward, x, params)
    assert_close(out, torch.tensor([[[41.0], [1.0], [61.0]]]).double(), what="out")


# --- blocks
@pytest.mark.question("encoder_block", given=PARTS)
@pytest.mark.parametrize("norm_first", [True, False])
def test_encoder_block_moves_with_its_positions(student, norm_first):
    """Without a mask, exchanged positions give exchanged outputs."""
    params, x = block_params("attention"), draw(2, 4, 4)
    out = assert_unchanged(student.encoder_block, x, params, 2, None, norm_first)
    same_shape(out, (2, 4, 4), "out")
    swapped = student.encoder_block(x[:, [2, 0, 1, 3]], params, 2, None, norm_first)
    assert_close(swapped, out[:, [2, 0, 1, 3]], what="out for exchanged positions")


@pytest.mark.question("encoder_block", given=PARTS)
def test_encoder_block_residual(student):
    """With all weights 0, pre-norm leaves x as it is, and post-norm normalises it."""
    params, x = block_params("attention"), draw(2, 4, 4)
    for part in ("attention", "feed_forward"):
        params[part] = {name: torch.zeros_like(tensor) for name, tensor in params[part].items()}
    for name in ("norm1", "norm2"):
        params[name] = {"gamma": torch.ones(4).double(), "beta": torch.zeros(4).double()}
    assert_close(student.encoder_block(x, params, 2), x, what="out with pre-norm")
    out = student.encoder_block(x, params, 2, None, False)
    same_shape(out, (2, 4, 4), "out")
    assert_close(out.mean(-1), torch.zeros(2, 4).double(), what="the mean of each position with post-norm")


@pytest.mark.question("decoder_block", given=PARTS)
def test_decoder_block_sees_no_future(student):
    """What comes later does not change what came before; the memory does."""
    params, x, memory = (
        block_params("self_attention", "cross_attention"),
        draw(2, 4, 4),
        draw(2, 3, 4, seed=1),
    )
    out = assert_unchanged(student.decoder_block, x, memory, params, 2)
    same_shape(out, (2, 4, 4), "out")
    later = x.clone()
    later[:, 2:] += 1
    assert_close(
        student.decoder_block(later, memory, params, 2)[:, :2], out[:, :2], what="out of the first two"
    )
    if torch.equal(student.decoder_block(x, memory + draw(2, 3, 4, seed=2), params, 2), out):
        fail("Another memory gives the same output.", value=out)


# --- the encoder-decoder
@pytest.mark.question("transformer_forward", given=BLOCKS)
def test_transformer_forward(student):
    """Scores for each position of the target; padding in the source does not matter."""
    params = transformer_params()
    source, target = torch.tensor([[3, 5, 4]]), torch.tensor([[1, 4, 3, 5]])
    logits = assert_unchanged(student.transformer_forward, source, target, params, 2)
    same_shape(logits, (1, 4, 6), "the logits")
    padded = torch.tensor([[3, 5, 4, 0, 0]])
    again = student.transformer_forward(padded, target, params, 2)
    assert_close(again, logits, what="the logits for a padded source", rtol=1e-5, atol=1e-6)
    shorter = student.transformer_forward(source, target[:, :2], params, 2)
    assert_close(shorter, logits[:, :2], what="the logits for a shorter target", rtol=1e-5, atol=1e-6)


@pytest.mark.question("sequence_loss")
def test_sequence_loss(student):
    """Scores that say nothing cost log V; a padded position costs nothing."""
    logits = torch.zeros(2, 3, 5, dtype=torch.float64)
    logits[1, 1:] = draw(2, 5) * 10
    targets = torch.tensor([[1, 4, 2], [3, 0, 0]])
    loss = assert_unchanged(student.sequence_loss, logits, targets)
    assert_close(loss, math.log(5), what="the loss", hint="The mean over the positions that are not padded.")


@pytest.mark.question("train", given=["sequence_loss"])
def test_train_learns_to_copy(student):
    """Four examples for the small model look_up, whose answer is the first token: the loss falls."""
    source, target = torch.tensor([[3, 4], [4, 3], [5, 3], [3, 5]]), torch.tensor([[3], [4], [5], [3]])
    params = {name: draw(6, 6, seed=seed).float() for seed, name in enumerate(("read", "source"))}
    result = student.train(params, student.value("look_up"), source, target, 60, 8, 0.1)
    _, losses = two(result, "params, losses")
    if not isinstance(losses, list) or len(losses) != 60:
        fail("A list with one loss for each of the 60 steps was expected.", value=losses)
    assert_learns(losses, by_factor=1.5)


@pytest.mark.question("greedy_decode", given=[*BLOCKS, "transformer_forward"])
def test_greedy_decode(student):
    """Each token is the most likely one behind those before it; behind eos everything is pad."""
    params = transformer_params()
    source = torch.tensor([[3, 5, 4], [4, 4, 0]])
    answers = assert_unchanged(student.greedy_decode, source, params, 2, 4)
    same_shape(answers, (2, 4), "the answers")
    params["w_out"], params["b_out"] = torch.zeros(4, 6).double(), torch.tensor([0.0, 1, 5, 2, 1, 0]).double()
    answers = student.greedy_decode(source, params, 2, 3)
    assert_close(answers, torch.tensor([[2, 0, 0], [2, 0, 0]]), what="answers that end at once")


# --- GPT
@pytest.mark.question("gpt_forward", given=BLOCKS)
def test_gpt_forward(student):
    """Scores for each position, which do not depend on later tokens."""
    params, tokens = gpt_params(), torch.tensor([[1, 3, 2, 5], [4, 4, 0, 1]])
    logits = assert_unchanged(student.gpt_forward, tokens, params, 2)
    same_shape(logits, (2, 4, 6), "the logits")
    assert_close(
        student.gpt_forward(tokens[:, :2], params, 2), logits[:, :2], what="the logits of the first two"
    )


@pytest.mark.question("gpt_step", given=[*BLOCKS, "gpt_forward"])
def test_gpt_step(student):
    """Two tokens and then one give the same as all three at once."""
    params, tokens = gpt_params(), torch.tensor([[1, 3, 2], [4, 0, 1]])
    whole, _ = two(student.gpt_step.keeping(1)(tokens, None, params, 2), "logits and cache")
    same_shape(whole, (2, 3, 6), "the logits")
    first, cache = two(student.gpt_step.keeping(1)(tokens[:, :2], None, params, 2), "logits and cache")
    then, _ = two(student.gpt_step.keeping(1)(tokens[:, 2:], cache, params, 2), "logits and cache")
    same_shape(then, (2, 1, 6), "the logits of one token")
    assert_close(torch.cat([first, then], dim=1), whole, what="the logits in two steps")


@pytest.mark.question("token_probabilities")
def test_token_probabilities(student):
    """Probabilities 1/2, 1/4, 1/8, 1/8, sharpened in each of the three ways."""
    p = torch.tensor([[0.125, 0.5, 0.25, 0.125]], dtype=torch.float64)

    def check(expected, **options):
        got = student.token_probabilities(p.log(), **options)
        what = f"the probabilities for {options}" if options else "the probabilities"
        assert_close(got, torch.tensor([expected], dtype=torch.float64), what=what)

    check([0.125, 0.5, 0.25, 0.125])
    check([1 / 22, 16 / 22, 4 / 22, 1 / 22], temperature=0.5)
    check([0, 1, 0, 0], temperature=0)
    check([0, 2 / 3, 1 / 3, 0], top_k=2)
    check([0, 2 / 3, 1 / 3, 0], top_p=0.7)
    check([0, 1, 0, 0], top_p=0.2)


@pytest.mark.question("generate", given=GPT)
def test_generate(student):
    """The prompt and its continuation; the same seed gives the same text."""
    params, prompt = gpt_params(), torch.tensor([[1, 3], [4, 0]])
    written = assert_unchanged(student.generate, prompt, 6, params, 2, 5)
    same_shape(written, (2, 8), "the text")
    assert_close(written[:, :2], prompt, what="the prompt in the text")
    assert_close(student.generate(prompt, 6, params, 2, 5), written, what="the text for the same seed")

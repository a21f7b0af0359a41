"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import math

import pytest
import torch

from autograder.checking import assert_close, assert_learns, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones where yours fail, so that an error is
# not paid for twice.
ENCODER = ["embed", "bert_layer", "bert_encode"]
LOSSES = [*ENCODER, "mask_tokens", "mlm_logits", "mlm_loss", "pair_logits"]


def draw(*shape, seed=0):
    """Random numbers in float64, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def norm_params(D, seed=0):
    return {"gamma": 1 + draw(D, seed=seed) / 4, "beta": draw(D, seed=seed + 1) / 4}


def layer_params(D=4, M=6, seed=0):
    names = ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo")
    return {
        "attention": {
            n: draw(*((D, D) if n[0] == "w" else (D,)), seed=seed + i) / 2 for i, n in enumerate(names)
        },
        "feed_forward": {
            "w1": draw(D, M, seed=seed + 10) / 2,
            "b1": draw(M, seed=seed + 11),
            "w2": draw(M, D, seed=seed + 12) / 2,
            "b2": draw(D, seed=seed + 13),
        },
        "norm1": norm_params(D, seed + 14),
        "norm2": norm_params(D, seed + 16),
    }


def bert_params(V=9, D=4, layers=1):
    return {
        "tokens": draw(V, D, seed=1),
        "positions": draw(12, D, seed=2),
        "segments": draw(2, D, seed=3),
        "norm": norm_params(D, 4),
        "layers": [layer_params(D, seed=20 * i) for i in range(layers)],
        "mlm": {
            "w": draw(D, D, seed=5),
            "b": draw(D, seed=6),
            "norm": norm_params(D, 7),
            "bias": draw(V, seed=8),
        },
        "pooler": {"w": draw(D, D, seed=9), "b": draw(D, seed=10)},
        "nsp": {"w": draw(D, 2, seed=11), "b": draw(2, seed=12)},
        "classifier": {"w": draw(D, 2, seed=13), "b": draw(2, seed=14)},
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


# --- tokens
@pytest.mark.question("basic_tokenize")
def test_basic_tokenize(student):
    """Case, accents, punctuation and Chinese characters."""
    for text, words in (
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("  It's\tCafé\n$5  ", ["it", "'", "s", "cafe", "$", "5"]),
        ("a\x00b\u200bc\ufffd", ["abc"]),
        ("ab中文", ["ab", "中", "文"]),
        ("", []),
    ):
        assert_close(student.basic_tokenize(text), words, what=f"the words of {text!r}")


@pytest.mark.question("wordpiece")
def test_wordpiece(student):
    """The longest pieces first; a word with a part that fits nothing is unknown."""
    vocabulary = {piece: i for i, piece in enumerate(["[UNK]", "play", "##ing", "##i", "##er", "##s", "p"])}
    for word, pieces in (
        ("playing", ["play", "##ing"]),
        ("players", ["play", "##er", "##s"]),
        ("p", ["p"]),
        ("playful", ["[UNK]"]),
        ("ing", ["[UNK]"]),
    ):
        assert_close(student.wordpiece(word, vocabulary), pieces, what=f"the pieces of {word!r}")


@pytest.mark.question("encode_pair")
def test_encode_pair(student):
    """A pair with room, a single text, and a pair that is too long."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 5, "b": 6}
    result = assert_unchanged(student.encode_pair, ["a", "b"], ["b"], vocabulary, 8)
    tokens, segments = two(result, "tokens and segments")
    assert_close(list(tokens), [2, 5, 6, 3, 6, 3, 0, 0], what="the tokens of a pair")
    assert_close(list(segments), [0, 0, 0, 0, 1, 1, 0, 0], what="the segments of a pair")
    tokens, segments = two(student.encode_pair(["a", "x"], None, vocabulary, 5), "tokens and segments")
    assert_close(list(tokens), [2, 5, 1, 3, 0], what="the tokens of a single text")
    assert_close(list(segments), [0] * 5, what="the segments of a single text")
    tokens, _ = two(student.encode_pair(["a", "b", "a"], ["b", "b"], vocabulary, 6), "tokens and segments")
    assert_close(list(tokens), [2, 5, 6, 3, 6, 3], what="the tokens of a pair that is too long")


# --- encoder
@pytest.mark.question("embed")
def test_embed(student):
    """Each vector is normalised; token, position and segment matter."""
    params = bert_params()
    params["norm"] = {"gamma": torch.ones(4).double(), "beta": torch.zeros(4).double()}
    tokens, segments = torch.tensor([[2, 5, 5]]), torch.tensor([[0, 0, 1]])
    x = assert_unchanged(student.embed, tokens, segments, params)
    same_shape(x, (1, 3, 4), "the embeddings")
    assert_close(x.mean(-1), torch.zeros(1, 3).double(), what="the mean of each vector")
    assert_close((x**2).mean(-1), torch.ones(1, 3).double(), what="the mean square of each vector")
    if torch.equal(student.embed(tokens, 1 - segments, params), x):
        fail("Other segments give the same embeddings.", value=x)


@pytest.mark.question("bert_layer")
def test_bert_layer(student):
    """Without a mask, exchanged positions give exchanged outputs; post-norm gives normalised ones."""
    params, x = layer_params(), draw(2, 4, 4)
    params["norm2"] = {"gamma": torch.ones(4).double(), "beta": torch.zeros(4).double()}
    out = assert_unchanged(student.bert_layer, x, params, 2)
    same_shape(out, (2, 4, 4), "out")
    swapped = student.bert_layer(x[:, [2, 0, 1, 3]], params, 2)
    assert_close(swapped, out[:, [2, 0, 1, 3]], what="out for exchanged positions")
    assert_close(out.mean(-1), torch.zeros(2, 4).double(), what="the mean of each position")


@pytest.mark.question("bert_encode", given=["embed", "bert_layer"])
def test_bert_encode(student):
    """Padding changes nothing; later tokens do, for this model reads in both directions."""
    params, tokens = bert_params(layers=2), torch.tensor([[2, 5, 6, 3]])
    hidden = assert_unchanged(student.bert_encode, tokens, torch.zeros_like(tokens), params, 2)
    same_shape(hidden, (1, 4, 4), "the hidden vectors")
    padded = torch.tensor([[2, 5, 6, 3, 0, 0]])
    again = student.bert_encode(padded, torch.zeros_like(padded), params, 2)
    assert_close(again[:, :4], hidden, what="the hidden vectors with padding")
    other = torch.tensor([[2, 5, 7, 3]])
    if torch.equal(student.bert_encode(other, torch.zeros_like(other), params, 2)[:, 1], hidden[:, 1]):
        fail("A later token makes no difference to an earlier one.", value=hidden)


# --- masked words
@pytest.mark.question("mask_tokens")
def test_mask_tokens(student):
    """About 15 % of the ordinary tokens are chosen, most of them masked; the others stay."""
    tokens = torch.full((100, 20), 7)
    tokens[:, 0], tokens[:, -1] = 2, 3
    hidden, labels = two(assert_unchanged(student.mask_tokens, tokens, 50), "hidden and labels")
    same_shape(hidden, (100, 20), "hidden")
    same_shape(labels, (100, 20), "labels")
    chosen = labels != -100
    assert_close(hidden[~chosen], tokens[~chosen], what="the tokens that were not chosen")
    assert_close(labels[chosen], tokens[chosen], what="the labels of those that were")
    share, masked = chosen[:, 1:-1].float().mean(), (hidden[chosen] == 4).float().mean()
    if bool(chosen[:, [0, -1]].any()) or not 0.1 < share < 0.2:
        fail(
            f"{share:.1%} of the ordinary tokens were chosen.",
            expected="about 15 %, and no special ones",
            value=labels,
        )
    if not 0.7 < masked < 0.9:
        fail(f"{masked:.1%} of the chosen tokens were masked.", expected="about 80 %", value=hidden)


@pytest.mark.question("mlm_logits")
def test_mlm_logits(student):
    """Where the hidden layer is 0, the norm gives beta, and the logits can be computed by hand."""
    params = bert_params()
    params["mlm"]["w"], params["mlm"]["b"] = torch.zeros(4, 4).double(), torch.zeros(4).double()
    logits = assert_unchanged(student.mlm_logits, draw(2, 3, 4), params)
    expected = params["tokens"] @ params["mlm"]["norm"]["beta"] + params["mlm"]["bias"]
    assert_close(logits, expected.expand(2, 3, 9), what="the logits")


@pytest.mark.question("mlm_loss")
def test_mlm_loss(student):
    """Logits that say nothing cost log V; positions that are not asked for cost nothing."""
    logits = torch.zeros(1, 3, 5, dtype=torch.float64)
    logits[0, 1:] = draw(2, 5) * 10
    loss = assert_unchanged(student.mlm_loss, logits, torch.tensor([[3, -100, -100]]))
    assert_close(loss, math.log(5), what="the loss")


@pytest.mark.question("sentence_pairs")
def test_sentence_pairs(student):
    """Three documents: every sentence with a next one comes once, in order."""
    documents = [["a1", "a2", "a3"], ["b1", "b2"], ["c1"]]
    pairs = student.sentence_pairs(documents, 0)
    if not isinstance(pairs, list) or not all(isinstance(p, tuple | list) and len(p) == 3 for p in pairs):
        fail("A list of (first, second, label) was expected.", value=pairs)
    assert_close([first for first, _, _ in pairs], ["a1", "a2", "b1"], what="the first sentences")
    for first, second, label in pairs:
        follows = second[0] == first[0] and int(second[1]) == int(first[1]) + 1
        if label not in (0, 1) or follows != (label == 1) or (label == 0 and second[0] == first[0]):
            fail(f"The pair {first}, {second} has the label {label!r}.", value=pairs)


@pytest.mark.question("pair_logits")
def test_pair_logits(student):
    """Only the vector at [CLS] counts."""
    params, hidden = bert_params(), draw(2, 3, 4)
    logits = assert_unchanged(student.pair_logits, hidden, params)
    same_shape(logits, (2, 2), "the logits")
    hidden[:, 1:] = 5.0
    assert_close(
        student.pair_logits(hidden, params), logits, what="the logits after a change of other positions"
    )
    if torch.equal(student.pair_logits(hidden, params, "classifier"), logits):
        fail("Another head gives the same logits.", value=logits)


# --- training
@pytest.mark.question("pretraining_loss", given=LOSSES)
def test_pretraining_loss(student):
    """Two finite losses, which depend on the seed of the masks and on the labels."""
    params = bert_params(V=12)
    tokens = torch.tensor([[2, 5, 6, 7, 8, 3, 9, 10, 11, 3]] * 6)
    segments = torch.tensor([[0] * 6 + [1] * 4] * 6)
    follows = torch.tensor([1, 0, 1, 1, 1, 1])
    arguments = tokens, segments, follows, params, 2
    mlm, nsp = two(assert_unchanged(student.pretraining_loss, *arguments, 1), "mlm and nsp")
    same_shape(mlm, (), "mlm")
    same_shape(nsp, (), "nsp")
    other, _ = two(student.pretraining_loss(*arguments, 2), "mlm and nsp")
    if torch.equal(other, mlm):
        fail("Two seeds give the same loss of masked tokens.", value=other)
    _, turned = two(student.pretraining_loss(tokens, segments, 1 - follows, params, 2, 1), "mlm and nsp")
    if torch.equal(turned, nsp):
        fail("Opposite labels give the same loss of next sentences.", value=turned)


def in_single_precision(params):
    if isinstance(params, dict):
        return {key: in_single_precision(value) for key, value in params.items()}
    return [in_single_precision(v) for v in params] if isinstance(params, list) else params.float()


@pytest.mark.question("fine_tune", given=[*ENCODER, "pair_logits"])
def test_fine_tune(student):
    """Four texts in two classes: the loss falls."""
    tokens = torch.tensor([[2, 5, 6, 3], [2, 6, 5, 3], [2, 7, 8, 3], [2, 8, 7, 3]])
    labels = torch.tensor([0, 0, 1, 1])
    params = in_single_precision(bert_params())
    result = student.fine_tune(params, 2, tokens, torch.zeros_like(tokens), labels, 40, 8, 0.02)
    _, losses = two(result, "params and losses")
    if not isinstance(losses, list) or len(losses) != 40:
        fail("A list with one loss for each of the 40 steps was expected.", value=losses)
    assert_learns(losses, by_factor=2)


# --- sentence vectors and published weights
@pytest.mark.question("mean_pool")
def test_mean_pool(student):
    """Two tokens and a padded position."""
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]], dtype=torch.float64)
    got = assert_unchanged(student.mean_pool, hidden, torch.tensor([[4, 5, 0]]))
    assert_close(got, torch.tensor([[2.0, 4.0]]).double(), what="the mean")


@pytest.mark.question("nearest")
def test_nearest(student):
    """Directions count, not lengths."""
    vectors = torch.tensor([[10.0, 0.0], [0.1, 0.1], [0.0, -3.0]], dtype=torch.float64)
    indices, cosines = two(
        student.nearest(torch.tensor([[1.0, 1.0]]).double(), vectors, 2), "indices and cosines"
    )
    assert_close(indices, torch.tensor([[1, 0]]), what="the indices")
    assert_close(cosines, torch.tensor([[1.0, math.sqrt(0.5)]]).double(), what="the cosines")


@pytest.mark.question("load_weights")
def test_load_weights(student):
    """The tables stay as they are, a linear layer's weight is transposed, and there is one block."""
    shapes = {"attention.self.query": (4, 4), "attention.self.key": (4, 4), "attention.self.value": (4, 4)}
    shapes |= {"attention.output.dense": (4, 4), "intermediate.dense": (6, 4), "output.dense": (4, 6)}
    state = {
        f"embeddings.{n}_embeddings.weight": draw(5, 4, seed=len(n))
        for n in ("word", "position", "token_type")
    }
    for name, shape in shapes.items():
        state[f"encoder.layer.0.{name}.weight"] = draw(*shape, seed=len(name))
        state[f"encoder.layer.0.{name}.bias"] = draw(shape[0], seed=len(name) + 1)
    for name in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        state[f"{name}.LayerNorm.weight"], state[f"{name}.LayerNorm.bias"] = (
            draw(4, seed=30),
            draw(4, seed=31),
        )
    params = student.load_weights(state)
    if not isinstance(params, dict) or len(params.get("layers", [])) != 1:
        fail('A dictionary with one block in "layers" was expected.', value=params)
    assert_close(params["tokens"], state["embeddings.word_embeddings.weight"], what='"tokens"')
    w1 = params["layers"][0]["feed_forward"]["w1"]
    assert_close(w1, state["encoder.layer.0.intermediate.dense.weight"].T, what='"w1"')

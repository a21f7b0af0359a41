"""The layers around the recurrent one: embedding, temporal affine, temporal softmax loss."""

import numpy as np
import pytest

from autograder.checking import LayerContract, assert_close, assert_stable, assert_unchanged, fail

# N, T, V, D: more words than places, fewer, one step, one word only
TEXTS = [(2, 3, 7, 4), (3, 5, 4, 2), (4, 1, 5, 3), (1, 6, 1, 2)]
# N, T, D, M
AFFINE_CASES = [(2, 3, 4, 5), (3, 4, 5, 2), (2, 1, 3, 4), (4, 2, 1, 3), (1, 3, 2, 1)]


def draw_text(rng, case):
    """Words, some of them several times, and a matrix."""
    N, T, V, D = case
    return rng.integers(V, size=(N, T)), rng.normal(size=(V, D))


def draw_affine(rng, case):
    """x, w, b."""
    N, T, D, M = case
    return rng.normal(size=(N, T, D)), rng.normal(size=(D, M)), rng.normal(size=M)


EMBEDDING = LayerContract(
    "word_embedding_forward",
    "word_embedding_backward",
    ("dW",),
    draw_text,
    arguments=("x", "W"),
    hints={
        "out": "out[n, t] is row x[n, t] of W.",
        "dW": "Row v sums dout over all places where the word v stands; np.add.at adds every time.",
    },
)
AFFINE = LayerContract(
    "temporal_affine_forward",
    "temporal_affine_backward",
    ("dx", "dw", "db"),
    draw_affine,
    hints={
        "out": "x[n, t] w + b at every step.",
        "dx": "dout times w transposed, at every step.",
        "dw": "It sums over examples and steps.",
        "db": "It sums over examples and steps.",
    },
)


@pytest.mark.question("word_embedding_forward", weight=2)
def test_embedding_values(student, reference, rng):
    """Each word gives its row of W, for several shapes."""
    EMBEDDING.check_values(student, reference, rng, TEXTS)


@pytest.mark.question("word_embedding_forward")
def test_embedding_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    EMBEDDING.check_batch_of_one(student, reference, rng, TEXTS[:1])
    EMBEDDING.check_float32(student, reference, rng, TEXTS[:1])
    EMBEDDING.check_inputs_unchanged(student, reference, rng, TEXTS[:1])


@pytest.mark.question("word_embedding_backward", weight=2)
def test_embedding_gradient(student, reference, rng):
    """dW is right in every element; words that occur several times add up."""
    EMBEDDING.check_gradients(student, reference, rng, TEXTS)


@pytest.mark.question("word_embedding_backward")
def test_embedding_absent_words(student, rng):
    """Words that do not occur have a row of zeros, the last word of the vocabulary too."""
    x, dout = np.array([[1, 3], [3, 1]]), rng.normal(size=(2, 2, 3))
    _, cache = student.word_embedding_forward.keeping(1)(x, rng.normal(size=(8, 3)))
    expected = np.zeros((8, 3))
    expected[1], expected[3] = dout[0, 0] + dout[1, 1], dout[0, 1] + dout[1, 0]
    hint = "dW has the shape of W, whichever words occur."
    assert_close(student.word_embedding_backward(dout, cache), expected, what="dW", hint=hint)


@pytest.mark.question("word_embedding_backward")
def test_embedding_caches(student, reference, rng):
    """Two embeddings do not disturb each other: each backward pass uses its own cache."""
    EMBEDDING.check_interleaved(student, reference, rng, TEXTS[:1])


@pytest.mark.question("word_embedding_backward")
def test_embedding_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    EMBEDDING.check_gradients_batch_of_one(student, reference, rng, TEXTS[:1])
    EMBEDDING.check_gradients_float32(student, reference, rng, TEXTS[:1])
    EMBEDDING.check_upstream_unchanged(student, reference, rng, TEXTS[:1])


@pytest.mark.question("temporal_affine_forward", weight=2)
def test_affine_values(student, reference, rng):
    """The output is x w + b at every step, for several shapes."""
    AFFINE.check_values(student, reference, rng, AFFINE_CASES)


@pytest.mark.question("temporal_affine_forward")
def test_affine_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    AFFINE.check_batch_of_one(student, reference, rng, AFFINE_CASES[:1])
    AFFINE.check_float32(student, reference, rng, AFFINE_CASES[:1])
    AFFINE.check_inputs_unchanged(student, reference, rng, AFFINE_CASES[:1])


@pytest.mark.question("temporal_affine_backward", weight=2)
def test_affine_dx(student, reference, rng):
    """dx is right in every element, for several shapes."""
    AFFINE.check_gradients(student, reference, rng, AFFINE_CASES, ["dx"])


@pytest.mark.question("temporal_affine_backward", weight=2)
def test_affine_dw_db(student, reference, rng):
    """dw and db are right in every element, for several shapes."""
    AFFINE.check_gradients(student, reference, rng, AFFINE_CASES, ["dw", "db"])


@pytest.mark.question("temporal_affine_backward")
def test_affine_caches(student, reference, rng):
    """Two layers do not disturb each other: each backward pass uses its own cache."""
    AFFINE.check_interleaved(student, reference, rng, AFFINE_CASES[:1])


@pytest.mark.question("temporal_affine_backward")
def test_affine_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    AFFINE.check_gradients_batch_of_one(student, reference, rng, AFFINE_CASES[:1])
    AFFINE.check_gradients_float32(student, reference, rng, AFFINE_CASES[:1])
    AFFINE.check_upstream_unchanged(student, reference, rng, AFFINE_CASES[:1])


# --- the loss


def draw_scores(rng, N, T, V):
    """Scores, right words, and a mask of captions that end at different steps."""
    lengths = rng.integers(1, T + 1, size=N)
    lengths[0] = T
    if N > 1:
        lengths[1] = max(1, T - 1)
    return rng.normal(size=(N, T, V)), rng.integers(V, size=(N, T)), np.arange(T) < lengths[:, None]


SCORE_CASES = [(3, 4, 5), (2, 6, 3), (1, 3, 4), (4, 1, 6)]
LOSS_HINT = "Sum over the steps that count, then the mean over the N examples."


def loss_and_gradient(student, *arguments):
    """What the student's function returns, two values."""
    result = student.temporal_softmax_loss(*arguments)
    if type(result) not in (tuple, list) or len(result) != 2:
        fail("temporal_softmax_loss should return the loss and dx.", value=result)
    return result


@pytest.mark.question("temporal_softmax_loss", weight=2)
def test_loss_values(student, reference, rng):
    """The loss sums over the steps that count and averages over the examples, a single number."""
    for case in SCORE_CASES:
        arguments = draw_scores(rng, *case)
        loss, _ = loss_and_gradient(student, *arguments)
        assert_close(loss, reference.temporal_softmax_loss(*arguments)[0], what="the loss", hint=LOSS_HINT)


@pytest.mark.question("temporal_softmax_loss", weight=2)
def test_loss_gradient(student, reference, rng):
    """dx is right in every element, and zero where the mask is."""
    hint = "(p - 1 at the right word) / N, times the mask."
    for case in SCORE_CASES:
        arguments = draw_scores(rng, *case)
        _, dx = loss_and_gradient(student, *arguments)
        assert_close(dx, reference.temporal_softmax_loss(*arguments)[1], what="dx", hint=hint)


@pytest.mark.question("temporal_softmax_loss")
def test_loss_holes(student, reference, rng):
    """The mask may have holes and examples of which nothing counts; an example without words still counts
    in N.
    """
    x, y, _ = draw_scores(rng, 3, 4, 5)
    mask = np.array([[True, False, True, False], [False] * 4, [False, False, False, True]])
    loss, dx = loss_and_gradient(student, x, y, mask)
    expected, expected_dx = reference.temporal_softmax_loss(x, y, mask)
    assert_close(loss, expected, what="the loss", hint=LOSS_HINT)
    assert_close(dx, expected_dx, what="dx", hint=LOSS_HINT)


@pytest.mark.question("temporal_softmax_loss")
def test_loss_nothing_counts(student, rng):
    """Where no step counts the loss and its gradient are 0."""
    x, y, mask = draw_scores(rng, 2, 3, 4)
    loss, dx = loss_and_gradient(student, x, y, np.zeros_like(mask))
    assert_close(loss, 0.0, what="the loss where nothing counts")
    assert_close(dx, np.zeros_like(x), what="dx where nothing counts")


@pytest.mark.question("temporal_softmax_loss")
def test_loss_large(student, reference, rng):
    """Scores of 1000 do not overflow, also where the right word is hopeless."""
    x, y, mask = draw_scores(rng, 3, 4, 5)
    x = 1000 * np.round(x)
    loss, dx = loss_and_gradient(student, x, y, mask)
    expected, expected_dx = reference.temporal_softmax_loss(x, y, mask)
    hint = "Subtract the largest score before exp, and take log p without a detour over p."
    assert_stable(loss, expected, what="the loss", hint=hint)
    assert_stable(dx, expected_dx, what="dx", hint=hint)


@pytest.mark.question("temporal_softmax_loss")
def test_loss_contract(student, reference, rng):
    """The arguments are not modified, and float32 is accepted."""
    x, y, mask = draw_scores(rng, 3, 4, 5)
    loss, dx = unpacked(assert_unchanged(student.temporal_softmax_loss, x, y, mask))
    single_loss, single_dx = loss_and_gradient(student, x.astype(np.float32), y, mask)
    assert_close(single_loss, loss, rtol=1e-4, atol=1e-5, what="the loss for float32")
    assert_close(single_dx, dx, rtol=1e-4, atol=1e-5, what="dx for float32")


def unpacked(result):
    """Two values."""
    if type(result) not in (tuple, list) or len(result) != 2:
        fail("temporal_softmax_loss should return the loss and dx.", value=result)
    return result

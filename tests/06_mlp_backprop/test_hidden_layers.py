"""The three layers: linear, ReLU, softmax with cross-entropy."""

import numpy as np
import pytest

from autograder.checking import LayerContract, assert_close, assert_stable

# (N, D, M): no two of a triple are equal, so that exchanged axes show.
USUAL = [(4, 3, 5), (6, 5, 2), (3, 7, 4)]
THIN = [(5, 1, 3), (4, 3, 1), (2, 1, 1)]
ONE = [(5, 4, 3)]
SHAPES = [(4, 3), (7,), (2, 3, 4), (2, 1, 3, 2)]
# (N, K)
CLASSES = [(4, 3), (6, 2), (3, 10), (5, 13)]


def draw_linear(rng, case):
    """Random x, w, b."""
    N, D, M = case
    return rng.normal(size=(N, D)), rng.normal(size=(D, M)), rng.normal(size=M)


def draw_scores(rng, case):
    """Random scores and labels."""
    N, K = case
    return 2 * rng.normal(size=(N, K)), rng.integers(0, K, size=N)


LINEAR = LayerContract(
    "linear_forward",
    "linear_backward",
    ("dx", "dw", "db"),
    draw_linear,
    hints={
        "out": "x times w, and b added to each row.",
        "dx": "dx is dout times w transposed: (N, M) times (M, D).",
        "dw": "dw is x transposed times dout: (D, N) times (N, M). It sums over the batch.",
        "db": "db sums dout over the batch.",
    },
)
RELU = LayerContract(
    "relu_forward",
    "relu_backward",
    ("dx",),
    lambda rng, shape: (rng.normal(size=shape),),
    hints={
        "out": "max(x, 0), element by element.",
        "dx": "dout where x was positive, 0 where it was negative.",
    },
)
LOSS = LayerContract(
    "softmax_cross_entropy_forward",
    "softmax_cross_entropy_backward",
    ("dscores",),
    draw_scores,
    hints={
        "out": "The mean over the batch of -log of the probability of the right class.",
        "dscores": "dout / N times (probabilities minus 1 at the right class).",
    },
)


@pytest.mark.question("linear_forward", weight=2)
def test_linear_values(student, reference, rng):
    """Every output is the weighted sum of the inputs plus its bias, for batches of several shapes."""
    LINEAR.check_values(student, reference, rng, USUAL)


@pytest.mark.question("linear_forward")
def test_linear_thin(student, reference, rng):
    """A batch of one, a single input and a single output keep their axes."""
    LINEAR.check_values(student, reference, rng, THIN)
    LINEAR.check_batch_of_one(student, reference, rng, ONE)


@pytest.mark.question("linear_forward")
def test_linear_inputs(student, reference, rng):
    """x, w and b are not modified, and float32 is accepted."""
    LINEAR.check_inputs_unchanged(student, reference, rng, ONE)
    LINEAR.check_float32(student, reference, rng, ONE)


@pytest.mark.question("linear_backward", weight=2)
def test_linear_dx(student, reference, rng):
    """dx is right in every element, for batches of several shapes."""
    LINEAR.check_gradients(student, reference, rng, USUAL + THIN, ["dx"])


@pytest.mark.question("linear_backward", weight=2)
def test_linear_dw(student, reference, rng):
    """dw is right in every element, for batches of several shapes."""
    LINEAR.check_gradients(student, reference, rng, USUAL + THIN, ["dw"])


@pytest.mark.question("linear_backward")
def test_linear_db(student, reference, rng):
    """db is right in every element, for batches of several shapes."""
    LINEAR.check_gradients(student, reference, rng, USUAL + THIN, ["db"])


@pytest.mark.question("linear_backward")
def test_linear_gradients_batch_of_one(student, reference, rng):
    """All gradients are right for a batch of one."""
    LINEAR.check_gradients_batch_of_one(student, reference, rng, ONE)


@pytest.mark.question("linear_backward")
def test_linear_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    LINEAR.check_interleaved(student, reference, rng, ONE)


@pytest.mark.question("linear_backward")
def test_linear_upstream(student, reference, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    LINEAR.check_upstream_unchanged(student, reference, rng, ONE)
    LINEAR.check_gradients_float32(student, reference, rng, ONE)


@pytest.mark.question("relu_forward", weight=2)
def test_relu_values(student, reference, rng):
    """Negative numbers become 0 and others remain, for arrays of any shape."""
    RELU.check_values(student, reference, rng, SHAPES)


@pytest.mark.question("relu_forward")
def test_relu_inputs(student, reference, rng):
    """x is not modified, and float32 is accepted."""
    RELU.check_inputs_unchanged(student, reference, rng, SHAPES[:2])
    RELU.check_float32(student, reference, rng, SHAPES[:2])


@pytest.mark.question("relu_backward", weight=2)
def test_relu_gradient(student, reference, rng):
    """The gradient passes where the input was positive and is 0 where it was negative, for any shape."""
    RELU.check_gradients(student, reference, rng, SHAPES)


@pytest.mark.question("relu_backward")
def test_relu_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    RELU.check_interleaved(student, reference, rng, SHAPES[:1])


@pytest.mark.question("relu_backward")
def test_relu_upstream(student, reference, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    RELU.check_upstream_unchanged(student, reference, rng, SHAPES[:2])
    RELU.check_gradients_float32(student, reference, rng, SHAPES[:2])


@pytest.mark.question("softmax_cross_entropy_forward", weight=2)
def test_loss_values(student, reference, rng):
    """The loss is the mean cross-entropy, for two classes, for ten and for more."""
    LOSS.check_values(student, reference, rng, CLASSES)


@pytest.mark.question("softmax_cross_entropy_forward")
def test_loss_batch_of_one(student, reference, rng):
    """A batch of one gives one number; so do labels that leave a class out."""
    LOSS.check_values(student, reference, rng, [(1, 4), (1, 2)])
    scores = rng.normal(size=(5, 4))
    for y in (np.zeros(5, dtype=int), np.array([1, 1, 2, 1, 2])):
        loss, _ = student.softmax_cross_entropy_forward.keeping(1)(scores, y)
        assert_close(loss, reference.softmax_cross_entropy_forward(scores, y)[0], what="the loss")


@pytest.mark.question("softmax_cross_entropy_forward")
def test_loss_offsets(student, reference, rng):
    """+1000 or -1000 on all scores of an example does not change the loss."""
    scores, y = draw_scores(rng, (6, 4))
    expected, _ = reference.softmax_cross_entropy_forward(scores, y)
    for signs in (np.ones(6), -np.ones(6), np.array([1.0, -1, 1, 0, -1, -1])):
        offset = scores + 1000 * signs[:, np.newaxis]
        loss, _ = student.softmax_cross_entropy_forward.keeping(1)(offset, y)
        hint = "Subtract each example's own largest score before exp."
        assert_stable(loss, expected, what="the loss", hint=hint, rtol=1e-6)


@pytest.mark.question("softmax_cross_entropy_forward")
def test_loss_far_behind(student):
    """A right class that is 1000 behind costs 1000, and one that is 1000 ahead costs nothing."""
    scores = np.array([[1000.0, 0.0, -5.0], [0.0, -300.0, 700.0]])
    hint = (
        "log(p) is shifted score - log(sum of exp): take the logarithm on paper, not of a probability of 0."
    )
    for y, expected in (([0, 2], 0.0), ([1, 0], 850.0), ([2, 1], 1002.5)):
        loss, _ = student.softmax_cross_entropy_forward.keeping(1)(scores, np.array(y))
        assert_stable(loss, expected, what="the loss", hint=hint, rtol=1e-9)


@pytest.mark.question("softmax_cross_entropy_forward")
def test_loss_inputs(student, reference, rng):
    """Scores and labels are not modified, and float32 is accepted."""
    LOSS.check_inputs_unchanged(student, reference, rng, CLASSES[:2])
    LOSS.check_float32(student, reference, rng, CLASSES[:2])


@pytest.mark.question("softmax_cross_entropy_backward", weight=2)
def test_loss_gradient(student, reference, rng):
    """The gradient is right in every element, for several numbers of examples and classes."""
    for case in [*CLASSES, (1, 4)]:
        scores, y = draw_scores(rng, case)
        _, cache = student.softmax_cross_entropy_forward.keeping(1)(scores, y)
        _, expected_cache = reference.softmax_cross_entropy_forward(scores, y)
        expected = reference.softmax_cross_entropy_backward(1.0, expected_cache)
        dscores = student.softmax_cross_entropy_backward(1.0, cache)
        assert_close(dscores, expected, what="dscores", hint=LOSS.hints["dscores"])


@pytest.mark.question("softmax_cross_entropy_backward")
def test_loss_upstream(student, reference, rng):
    """A loss that is scaled scales its gradient: dout is taken into account, whatever its size and sign."""
    LOSS.check_gradients(student, reference, rng, CLASSES)


@pytest.mark.question("softmax_cross_entropy_backward")
def test_loss_backward_twice(student, reference, rng):
    """Called again with the same cache, it returns the same gradient."""
    scores, y = draw_scores(rng, (5, 4))
    _, expected_cache = reference.softmax_cross_entropy_forward(scores, y)
    expected = reference.softmax_cross_entropy_backward(1.0, expected_cache)
    _, cache = student.softmax_cross_entropy_forward.keeping(1)(scores, y)
    for what in ("dscores", "dscores of the second call"):
        dscores = student.softmax_cross_entropy_backward(1.0, cache)
        assert_close(dscores, expected, what=what, hint="Subtract 1 from a copy of what the cache holds.")


@pytest.mark.question("softmax_cross_entropy_backward")
def test_loss_caches(student, reference, rng):
    """Two losses do not disturb each other, and float32 is accepted."""
    LOSS.check_interleaved(student, reference, rng, CLASSES[:1])
    LOSS.check_gradients_float32(student, reference, rng, CLASSES[:2])


@pytest.mark.question("softmax_cross_entropy_backward")
def test_loss_gradient_far_behind(student):
    """Scores that are 1000 apart have a gradient of 0, 1/N or -1/N."""
    _, cache = student.softmax_cross_entropy_forward.keeping(1)(
        np.array([[1000.0, 0.0, -5.0], [0.0, -300.0, 2000.0]]), np.array([1, 2])
    )
    dscores = student.softmax_cross_entropy_backward(1.0, cache)
    assert_stable(dscores, np.array([[0.5, -0.5, 0.0], [0.0, 0.0, 0.0]]), what="dscores")

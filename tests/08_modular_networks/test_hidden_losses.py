"""The two losses: scores and labels in, the loss and its gradient out."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail

# N, K
SIZES = [(5, 4), (1, 3), (7, 2), (3, 10), (12, 5)]

HINGE = "Sum max(0, x[k] - x[y] + 1) over the wrong classes, take the mean over the examples."
HINGE_GRADIENT = (
    "1 / N at each wrong class that violates the margin; at the right class minus their number, over N."
)
CROSS_ENTROPY = "The mean over the batch of -log of the probability of the right class."
CROSS_ENTROPY_GRADIENT = "The probabilities, minus 1 at the right class, divided by N."


def draw(rng, size, scale=2.0):
    """Random scores and labels."""
    N, K = size
    return rng.normal(scale=scale, size=(N, K)), rng.integers(K, size=N)


def both(result, name):
    """The loss and the gradient; fails where there are not two of them."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail(f"{name} should return the loss and its gradient dx.", value=result)
    return result


def check_loss(student, reference, name, x, y, hint):
    """The loss equals the reference's and is a single number."""
    loss, _ = both(getattr(student, name)(x, y), name)
    assert_close(loss, getattr(reference, name)(x, y)[0], what="the loss", hint=hint)


def check_gradient(student, reference, name, x, y, hint):
    """dx equals the reference's, in every element."""
    _, dx = both(getattr(student, name)(x, y), name)
    assert_close(dx, getattr(reference, name)(x, y)[1], what="dx", hint=hint)


def check_inputs(student, reference, rng, name):
    """Scores and labels are as before, and float32 gives the same to single precision."""
    x, y = draw(rng, (6, 4))
    expected_loss, expected_dx = getattr(reference, name)(x, y)
    loss, dx = both(assert_unchanged(getattr(student, name), x, y), name)
    assert_close(loss, expected_loss, what="the loss")
    assert_close(dx, expected_dx, what="dx")
    loss, dx = both(getattr(student, name)(x.astype(np.float32), y), name)
    assert_close(loss, expected_loss, rtol=1e-4, what="the loss for float32")
    assert_close(dx, expected_dx, rtol=1e-4, atol=1e-5, what="dx for float32")


@pytest.mark.question("svm_loss", weight=2)
def test_svm_loss_values(student, reference, rng):
    """The loss is right for any number of examples and classes, and is a single number."""
    for size in SIZES:
        check_loss(student, reference, "svm_loss", *draw(rng, size), HINGE)


@pytest.mark.question("svm_loss", weight=2)
def test_svm_loss_gradient(student, reference, rng):
    """The gradient is right in every element, for any number of examples and classes."""
    for size in SIZES:
        check_gradient(student, reference, "svm_loss", *draw(rng, size), HINGE_GRADIENT)


@pytest.mark.question("svm_loss")
def test_svm_loss_satisfied(student):
    """Where every margin is reached the loss and the gradient are 0; one violation counts alone."""
    x, y = np.array([[5.0, 1.0, 3.5], [-2.0, 4.0, 0.0], [0.0, 1.0, 9.0]]), np.array([0, 1, 2])
    loss, dx = both(student.svm_loss(x, y), "svm_loss")
    assert_close(loss, 0.0, what="the loss where no margin is violated", hint=HINGE)
    assert_close(dx, np.zeros((3, 3)), what="dx where no margin is violated", hint=HINGE_GRADIENT)
    x[1, 2] = 3.25  # 3.25 - 4 + 1 = 0.25
    loss, dx = both(student.svm_loss(x, y), "svm_loss")
    assert_close(loss, 0.25 / 3, what="the loss with one violation of 0.25 among 3 examples", hint=HINGE)
    expected = np.array([[0, 0, 0], [0, -1 / 3, 1 / 3], [0, 0, 0]])
    assert_close(dx, expected, what="dx with one violation", hint=HINGE_GRADIENT)


@pytest.mark.question("svm_loss")
def test_svm_loss_offset(student, reference, rng):
    """Only differences of scores count: with 1000 added to all, the loss and the gradient stay."""
    x, y = draw(rng, (4, 5))
    loss, dx = both(student.svm_loss(x + 1000, y), "svm_loss")
    expected_loss, expected_dx = reference.svm_loss(x, y)
    assert_close(loss, expected_loss, what="the loss with 1000 added to the scores", hint=HINGE)
    assert_close(dx, expected_dx, what="dx with 1000 added to the scores", hint=HINGE_GRADIENT)


@pytest.mark.question("svm_loss")
def test_svm_loss_missing_class(student, reference, rng):
    """A class that no example has, the first or the last, is handled."""
    x, _ = draw(rng, (6, 4))
    for y in (np.array([1, 2, 1, 3, 3, 2]), np.array([0, 2, 1, 0, 1, 2]), np.full(6, 2)):
        check_loss(student, reference, "svm_loss", x, y, HINGE)
        check_gradient(student, reference, "svm_loss", x, y, HINGE_GRADIENT)


@pytest.mark.question("svm_loss")
def test_svm_loss_leaves_inputs(student, reference, rng):
    """Scores and labels are not modified, and float32 is accepted."""
    check_inputs(student, reference, rng, "svm_loss")


@pytest.mark.question("softmax_loss", weight=2)
def test_softmax_loss_values(student, reference, rng):
    """The loss is right for any number of examples and classes, and is a single number."""
    for size in SIZES:
        check_loss(student, reference, "softmax_loss", *draw(rng, size), CROSS_ENTROPY)


@pytest.mark.question("softmax_loss", weight=2)
def test_softmax_loss_gradient(student, reference, rng):
    """The gradient is right in every element, for any number of examples and classes."""
    for size in SIZES:
        check_gradient(student, reference, "softmax_loss", *draw(rng, size), CROSS_ENTROPY_GRADIENT)


@pytest.mark.question("softmax_loss", weight=2)
def test_softmax_loss_large_scores(student, reference, rng):
    """Scores around 1000, around -1000 and far apart neither overflow nor lose the loss."""
    x, y = draw(rng, (4, 5))
    expected_loss, expected_dx = reference.softmax_loss(x, y)
    hint = "Subtract the largest score of each row before exp."
    for offset in (1000.0, -1000.0):
        loss, dx = both(student.softmax_loss(x + offset, y), "softmax_loss")
        assert_stable(loss, expected_loss, what=f"the loss with {offset:g} added to the scores", hint=hint)
        assert_stable(dx, expected_dx, what=f"dx with {offset:g} added to the scores", hint=hint)
    x, y = np.array([[0.0, 2000.0], [900.0, 0.0]]), np.array([0, 0])
    loss, dx = both(student.softmax_loss(x, y), "softmax_loss")
    hint = "log p = x - log(sum(exp(x))), with the maximum subtracted: no logarithm of a rounded probability."
    assert_stable(loss, 1000.0, what="the loss for scores 2000 apart", hint=hint)
    assert_stable(dx, np.array([[-0.5, 0.5], [0.0, 0.0]]), what="dx for scores 2000 apart", hint=hint)


@pytest.mark.question("softmax_loss")
def test_softmax_loss_rows_apart(student, reference):
    """One example with large scores does not take the digits of the others."""
    x, y = np.array([[0.0, 1.0, 2.0], [800.0, 0.0, 1.0]]), np.array([0, 0])
    hint = "The maximum belongs to each row by itself: axis 1, keepdims."
    check_loss(student, reference, "softmax_loss", x, y, hint)
    check_gradient(student, reference, "softmax_loss", x, y, hint)


@pytest.mark.question("softmax_loss")
def test_softmax_loss_equal_scores(student):
    """With equal scores the loss is log K, whatever the number of classes."""
    for K in (2, 3, 10):
        loss, dx = both(student.softmax_loss(np.full((4, K), 0.7), np.arange(4) % K), "softmax_loss")
        assert_close(loss, float(np.log(K)), what=f"the loss for {K} equal scores", hint=CROSS_ENTROPY)
        expected = (1 / K - np.eye(K)[np.arange(4) % K]) / 4
        assert_close(dx, expected, what=f"dx for {K} equal scores", hint=CROSS_ENTROPY_GRADIENT)


@pytest.mark.question("softmax_loss")
def test_softmax_loss_missing_class(student, reference, rng):
    """A class that no example has, the first or the last, is handled."""
    x, _ = draw(rng, (6, 4))
    for y in (np.array([1, 2, 1, 3, 3, 2]), np.array([0, 2, 1, 0, 1, 2]), np.full(6, 2)):
        check_loss(student, reference, "softmax_loss", x, y, CROSS_ENTROPY)
        check_gradient(student, reference, "softmax_loss", x, y, CROSS_ENTROPY_GRADIENT)


@pytest.mark.question("softmax_loss")
def test_softmax_loss_leaves_inputs(student, reference, rng):
    """Scores and labels are not modified, and float32 is accepted."""
    check_inputs(student, reference, rng, "softmax_loss")

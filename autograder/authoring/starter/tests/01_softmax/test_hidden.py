"""What decides the grade. This file never leaves the instructor."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, assert_unchanged

SHAPES = [(4, 3), (1, 5), (6, 1), (7, 10)]


@pytest.mark.question("softmax", weight=2)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_values(student, reference, rng, shape):
    """The probabilities equal the definition, for any number of examples and classes."""
    scores = rng.normal(size=shape) * 3
    expected = reference.softmax(scores)
    assert_close(student.softmax(scores), expected, what="the probabilities", hint="Sum over the classes.")


@pytest.mark.question("softmax")
def test_softmax_of_large_scores(student, reference):
    """Large scores give probabilities and not NaN."""
    scores = np.array([[1000.0, 1001.0, -999.0], [-1000.0, -1002.0, -1000.0]])
    assert_stable(student.softmax(scores), reference.softmax(scores), what="the probabilities")


@pytest.mark.question("softmax")
def test_softmax_leaves_its_input_alone(student, reference, rng):
    """softmax does not change its argument."""
    scores = rng.normal(size=(3, 4))
    assert_close(assert_unchanged(student.softmax, scores), reference.softmax(scores), what="the result")


@pytest.mark.question("cross_entropy", weight=2)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_values(student, reference, rng, shape):
    """The loss is one number, the mean over the examples."""
    probabilities = reference.softmax(rng.normal(size=shape))
    labels = rng.integers(0, shape[1], size=shape[0])
    expected = reference.cross_entropy(probabilities, labels)
    assert_close(student.cross_entropy(probabilities, labels), expected, what="the loss")


@pytest.mark.question("cross_entropy")
def test_cross_entropy_of_one_class(student, reference, rng):
    """It is right, too, where all examples are of the same class."""
    probabilities = reference.softmax(rng.normal(size=(5, 3)))
    labels = np.full(5, 2)
    expected = reference.cross_entropy(probabilities, labels)
    assert_close(student.cross_entropy(probabilities, labels), expected, what="the loss")

"""What check("...") runs in the notebook. Students get this file."""

import numpy as np
import pytest

from autograder.checking import assert_close


@pytest.mark.question("softmax")
def test_softmax_small(student):
    """Two rows of scores give the probabilities that one can work out by hand."""
    probabilities = student.softmax(np.log([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]]))
    expected = np.array([[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]])
    assert_close(probabilities, expected, what="the probabilities")


@pytest.mark.question("cross_entropy")
def test_cross_entropy_small(student):
    """Two examples whose right classes have the probabilities 1/2 and 1/4."""
    loss = student.cross_entropy(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([0, 1]))
    assert_close(loss, np.log(8) / 2, what="the loss")

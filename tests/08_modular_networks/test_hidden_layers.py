"""The affine layer, ReLU, and the two together: pairs of a forward and a backward function."""

import numpy as np
import pytest

from autograder.checking import LayerContract, assert_close

# The shape of x, (N, d_1, ..., d_k), and M.
ROWS = [((4, 3), 5), ((3, 6), 2), ((5, 1), 3), ((2, 4), 1)]
IMAGES = [((3, 2, 4), 5), ((2, 3, 2, 2), 4), ((6, 1, 3), 2)]
EVERY = ROWS + IMAGES
USUAL = [((3, 2, 3), 4)]
SHAPES = [(3, 4), (6,), (2, 3, 4), (2, 1, 3, 2)]

# An error in one of the two is paid for in its own question.
GIVEN = ["affine_forward", "affine_backward", "relu_forward", "relu_backward"]


def draw_affine(rng, case):
    """Random x, w, b."""
    shape, M = case
    return rng.normal(size=shape), rng.normal(size=(int(np.prod(shape[1:])), M)), rng.normal(size=M)


AFFINE = LayerContract(
    "affine_forward",
    "affine_backward",
    ("dx", "dw", "db"),
    draw_affine,
    hints={
        "out": "Lay each example out as a row, multiply the rows with w, add b to each.",
        "dx": "dx is dout times w transposed, in the shape of x.",
        "dw": "dw is the rows of x, transposed, times dout: it sums over the batch.",
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
AFFINE_RELU = LayerContract(
    "affine_relu_forward",
    "affine_relu_backward",
    ("dx", "dw", "db"),
    draw_affine,
    hints={
        "out": "First affine, then ReLU.",
        "dx": "First back through ReLU, then through the affine layer.",
        "dw": "dw comes from the gradient that has passed the ReLU.",
        "db": "db comes from the gradient that has passed the ReLU.",
    },
)


@pytest.mark.question("affine_forward", weight=2)
def test_affine_forward_rows(student, reference, rng):
    """Batches of rows of any length give x w + b."""
    AFFINE.check_values(student, reference, rng, ROWS)


@pytest.mark.question("affine_forward")
def test_affine_forward_images(student, reference, rng):
    """Examples with more than one axis are laid out as rows first."""
    AFFINE.check_values(student, reference, rng, IMAGES)


@pytest.mark.question("affine_forward")
def test_affine_forward_batch_of_one(student, reference, rng):
    """A batch of one example gives an output of shape (1, M)."""
    AFFINE.check_batch_of_one(student, reference, rng, USUAL)


@pytest.mark.question("affine_forward")
def test_affine_forward_float32(student, reference, rng):
    """Arrays in float32 are accepted."""
    AFFINE.check_float32(student, reference, rng, USUAL)


@pytest.mark.question("affine_forward")
def test_affine_forward_leaves_inputs(student, reference, rng):
    """x, w and b are not modified, and x keeps its shape."""
    AFFINE.check_inputs_unchanged(student, reference, rng, USUAL)


@pytest.mark.question("affine_backward", weight=2)
def test_affine_dx(student, reference, rng):
    """dx is right in every element and has the shape of x, for rows and images."""
    AFFINE.check_gradients(student, reference, rng, EVERY, ["dx"])


@pytest.mark.question("affine_backward", weight=2)
def test_affine_dw(student, reference, rng):
    """dw is right in every element, for rows and images."""
    AFFINE.check_gradients(student, reference, rng, EVERY, ["dw"])


@pytest.mark.question("affine_backward")
def test_affine_db(student, reference, rng):
    """db is right and has the shape (M,)."""
    AFFINE.check_gradients(student, reference, rng, EVERY, ["db"])


@pytest.mark.question("affine_backward")
def test_affine_backward_batch_of_one(student, reference, rng):
    """The gradients of a batch of one example are right."""
    AFFINE.check_gradients_batch_of_one(student, reference, rng, USUAL)


@pytest.mark.question("affine_backward")
def test_affine_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    AFFINE.check_interleaved(student, reference, rng, USUAL)


@pytest.mark.question("affine_backward")
def test_affine_backward_leaves_inputs(student, reference, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    AFFINE.check_upstream_unchanged(student, reference, rng, USUAL)
    AFFINE.check_gradients_float32(student, reference, rng, USUAL)


@pytest.mark.question("relu_forward", weight=2)
def test_relu_forward_values(student, reference, rng):
    """Negative elements become 0 and the others stay, for arrays of any shape."""
    RELU.check_values(student, reference, rng, SHAPES)


@pytest.mark.question("relu_forward")
def test_relu_forward_sizes(student):
    """Very large and very small numbers pass as they are, and 0 gives 0."""
    x = np.array([[1e300, -1e300, 1e-300], [0.0, -1e-300, 7.5]])
    out, _ = student.relu_forward.keeping(1)(x)
    assert_close(out, np.array([[1e300, 0.0, 1e-300], [0.0, 0.0, 7.5]]), atol=0, what="out")


@pytest.mark.question("relu_forward")
def test_relu_forward_batch_of_one(student, reference, rng):
    """A batch of one example keeps its shape."""
    RELU.check_batch_of_one(student, reference, rng, [(3, 4), (2, 3, 4)])


@pytest.mark.question("relu_forward")
def test_relu_forward_leaves_inputs(student, reference, rng):
    """x is not modified, and float32 is accepted."""
    RELU.check_inputs_unchanged(student, reference, rng, SHAPES[:2])
    RELU.check_float32(student, reference, rng, SHAPES[:2])


@pytest.mark.question("relu_backward", weight=2)
def test_relu_backward_values(student, reference, rng):
    """The gradient passes where x was positive and nowhere else, for arrays of any shape."""
    RELU.check_gradients(student, reference, rng, SHAPES)


@pytest.mark.question("relu_backward")
def test_relu_backward_size_of_input(student, reference, rng):
    """The gradient does not depend on how large x was."""
    x, dout = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    for scale in (1e-8, 1e8):
        _, cache = student.relu_forward.keeping(1)(scale * x)
        hint = "The derivative is 1 wherever x is positive: neither x nor out is a factor."
        expected = np.where(x > 0, dout, 0)
        assert_close(
            student.relu_backward(dout, cache), expected, what=f"dx for x of size {scale:g}", hint=hint
        )


@pytest.mark.question("relu_backward")
def test_relu_backward_batch_of_one(student, reference, rng):
    """The gradient of a batch of one example keeps its shape."""
    RELU.check_gradients_batch_of_one(student, reference, rng, [(3, 4), (2, 3, 4)])


@pytest.mark.question("relu_backward")
def test_relu_caches(student, reference, rng):
    """Two ReLUs in one network do not disturb each other: each backward pass uses its own cache."""
    RELU.check_interleaved(student, reference, rng, [(4, 5)])


@pytest.mark.question("relu_backward")
def test_relu_backward_leaves_inputs(student, reference, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    RELU.check_upstream_unchanged(student, reference, rng, SHAPES[:2])
    RELU.check_gradients_float32(student, reference, rng, SHAPES[:2])


@pytest.mark.question("affine_relu_forward", weight=2, given=GIVEN)
def test_affine_relu_forward_values(student, reference, rng):
    """The output is max(x w + b, 0), for rows and images."""
    AFFINE_RELU.check_values(student, reference, rng, EVERY)


@pytest.mark.question("affine_relu_forward", given=GIVEN)
def test_affine_relu_forward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    AFFINE_RELU.check_batch_of_one(student, reference, rng, USUAL)
    AFFINE_RELU.check_float32(student, reference, rng, USUAL)
    AFFINE_RELU.check_inputs_unchanged(student, reference, rng, USUAL)


@pytest.mark.question("affine_relu_backward", weight=2, given=GIVEN)
def test_affine_relu_dx(student, reference, rng):
    """dx is right in every element and has the shape of x."""
    AFFINE_RELU.check_gradients(student, reference, rng, EVERY, ["dx"])


@pytest.mark.question("affine_relu_backward", weight=2, given=GIVEN)
def test_affine_relu_dw_db(student, reference, rng):
    """dw and db are right in every element."""
    AFFINE_RELU.check_gradients(student, reference, rng, EVERY, ["dw", "db"])


@pytest.mark.question("affine_relu_backward", given=GIVEN)
def test_affine_relu_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    AFFINE_RELU.check_interleaved(student, reference, rng, USUAL)


@pytest.mark.question("affine_relu_backward", given=GIVEN)
def test_affine_relu_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    AFFINE_RELU.check_gradients_batch_of_one(student, reference, rng, USUAL)
    AFFINE_RELU.check_gradients_float32(student, reference, rng, USUAL)
    AFFINE_RELU.check_upstream_unchanged(student, reference, rng, USUAL)

"""Max pooling. Inputs are drawn from a normal distribution, so that no two of them tie."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged

# (N, C, H, W), (pool_height, pool_width), stride
USUAL = [((2, 3, 6, 4), (2, 2), 2)]
OVERLAPPING = [((2, 2, 6, 5), (3, 3), 1), ((1, 3, 7, 8), (3, 2), 2), ((2, 1, 5, 9), (4, 5), 2)]
GAPS = [((2, 2, 8, 8), (2, 2), 3), ((1, 2, 7, 9), (1, 2), 4)]
RECTANGULAR = [((2, 3, 6, 9), (2, 3), 2), ((1, 2, 9, 4), (3, 1), 3), ((2, 2, 4, 6), (4, 2), 1)]
NOT_DIVIDING = [((2, 2, 7, 5), (2, 2), 2), ((1, 1, 8, 10), (3, 3), 2)]
SMALL = [((1, 1, 4, 4), (2, 2), 2), ((1, 2, 3, 5), (3, 5), 1), ((2, 1, 3, 4), (1, 1), 1)]


def draw(rng, case):
    """Random x and the pool_param of one case."""
    shape, (height, width), stride = case
    return rng.normal(size=shape), {"pool_height": height, "pool_width": width, "stride": stride}


def check_values(student, reference, rng, cases, hint=""):
    """`out` equals the reference's, for each case."""
    for case in cases:
        x, pool_param = draw(rng, case)
        out, _ = student.max_pool_forward.keeping(1)(x, pool_param)
        assert_close(out, reference.max_pool_forward(x, pool_param)[0], what="out", hint=hint)


def check_gradient(student, reference, rng, cases, hint=""):
    """`dx` equals the reference's, for each case; the student's forward gives no more than its cache."""
    for case in cases:
        x, pool_param = draw(rng, case)
        out, expected_cache = reference.max_pool_forward(x, pool_param)
        dout = rng.normal(size=out.shape)
        _, cache = student.max_pool_forward.keeping(1)(x, pool_param)
        dx = student.max_pool_backward(dout, cache)
        assert_close(dx, reference.max_pool_backward(dout, expected_cache), what="dx", hint=hint)


@pytest.mark.question("max_pool_forward", weight=2)
def test_pool_forward_usual(student, reference, rng):
    """2x2 windows with stride 2 give the largest value of each window."""
    check_values(student, reference, rng, USUAL)


@pytest.mark.question("max_pool_forward")
def test_pool_forward_stride(student, reference, rng):
    """The stride may be smaller or larger than the window."""
    check_values(student, reference, rng, OVERLAPPING + GAPS, "Window (i, j) starts at (i*stride, j*stride).")


@pytest.mark.question("max_pool_forward")
def test_pool_forward_rectangles(student, reference, rng):
    """Windows and images need not be square."""
    check_values(student, reference, rng, RECTANGULAR, "Rows go with pool_height, columns with pool_width.")


@pytest.mark.question("max_pool_forward")
def test_pool_forward_edges(student, reference, rng):
    """Rows and columns that do not fill a window are left out; a batch of one and one channel are handled."""
    check_values(student, reference, rng, NOT_DIVIDING + SMALL, "H' = 1 + (H - pool_height) // stride")


@pytest.mark.question("max_pool_forward")
def test_pool_forward_negative(student, reference, rng):
    """Where all values are negative, the largest of them is still negative."""
    x, pool_param = draw(rng, ((2, 2, 6, 6), (2, 3), 2))
    x = -np.abs(x) - 1
    out, _ = student.max_pool_forward.keeping(1)(x, pool_param)
    assert_close(
        out, reference.max_pool_forward(x, pool_param)[0], what="out", hint="A maximum does not start at 0."
    )


@pytest.mark.question("max_pool_forward")
def test_pool_forward_leaves_inputs(student, reference, rng):
    """The input is not modified, and float32 is accepted."""
    x, pool_param = draw(rng, OVERLAPPING[0])
    out, _ = assert_unchanged(student.max_pool_forward.keeping(1), x, pool_param)
    single, _ = student.max_pool_forward.keeping(1)(x.astype(np.float32), pool_param)
    assert_close(single, out, rtol=1e-6, atol=1e-6, what="out for float32")


@pytest.mark.question("max_pool_backward", weight=2)
def test_pool_backward_usual(student, reference, rng):
    """2x2 windows with stride 2: each upstream gradient goes to the largest value of its window, whole."""
    check_gradient(student, reference, rng, USUAL)


@pytest.mark.question("max_pool_backward", weight=2)
def test_pool_backward_overlapping(student, reference, rng):
    """Where windows overlap, a pixel that wins in several of them gets the sum."""
    check_gradient(
        student, reference, rng, OVERLAPPING, "Add with +=; an assignment keeps the last window only."
    )


@pytest.mark.question("max_pool_backward")
def test_pool_backward_gaps(student, reference, rng):
    """Pixels that no window has seen get no gradient."""
    check_gradient(
        student, reference, rng, GAPS + NOT_DIVIDING, "dx has the shape of x, with zeros where nothing flows."
    )


@pytest.mark.question("max_pool_backward")
def test_pool_backward_rectangles(student, reference, rng):
    """Windows and images that are not square, a batch of one and one channel are handled."""
    hint = "Turning the index of the maximum into row and column needs the width of the window."
    check_gradient(student, reference, rng, RECTANGULAR + SMALL, hint)


@pytest.mark.question("max_pool_backward")
def test_pool_backward_caches(student, reference, rng):
    """Two pools in one network do not disturb each other: each backward pass uses its own cache."""
    inputs = [draw(rng, ((2, 2, 5, 6), (2, 2), 1)) for _ in range(2)]
    caches = [student.max_pool_forward.keeping(1)(*arguments)[1] for arguments in inputs]
    for arguments, cache in zip(inputs, caches, strict=True):
        out, expected_cache = reference.max_pool_forward(*arguments)
        dout = rng.normal(size=out.shape)
        hint = "Everything the backward pass needs belongs in the cache, not in a global variable."
        expected = reference.max_pool_backward(dout, expected_cache)
        assert_close(student.max_pool_backward(dout, cache), expected, what="dx", hint=hint)


@pytest.mark.question("max_pool_backward")
def test_pool_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    x, pool_param = draw(rng, ((2, 2, 6, 6), (2, 2), 2))
    _, cache = student.max_pool_forward.keeping(1)(x, pool_param)
    dout = rng.normal(size=(2, 2, 3, 3))
    dx = assert_unchanged(student.max_pool_backward, dout, cache)
    _, cache = student.max_pool_forward.keeping(1)(x.astype(np.float32), pool_param)
    single = student.max_pool_backward(dout.astype(np.float32), cache)
    assert_close(single, dx, rtol=1e-5, atol=1e-5, what="dx for float32")

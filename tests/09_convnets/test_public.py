"""What check("...") runs. Read it: it shows how each function is called. Grading uses further tests."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_learns, assert_unchanged, fail

CACHES = ["conv_forward", "conv_forward_fast", "max_pool_forward"]


def of_forward(forward, *constants):
    """The student's forward as a function of its arrays alone, for finite differences."""
    return lambda **arrays: forward.keeping(1)(*arrays.values(), *constants)[0]


def check_gradients(forward, backward, names, arrays, constants, upstream, hint):
    """The gradients from `backward` agree with finite differences of the student's own `forward`."""
    _, cache = forward.keeping(1)(*arrays.values(), *constants)
    gradients = dict(zip(names, backward(upstream, cache), strict=True))
    assert_gradients(gradients, of_forward(forward, *constants), arrays, upstream, hint=hint)


# --- convolution
TINY_IMAGE = np.array([[[[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 1.0, 1.0]]]])
TINY_FILTER = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])


def check_convolution(forward):
    """A 3x3 image and a 2x2 filter, small enough to follow with a pencil; then the shape of a larger case."""
    out, _ = forward.keeping(1)(TINY_IMAGE, TINY_FILTER, np.array([10.0]), {"stride": 1, "pad": 0})
    assert_close(out, np.array([[[[14.0, 9.0], [11.0, 16.0]]]]), what="out", hint="14 = 1*1 + 2*2 + 0*0 - 1*1 + 10")
    out, _ = forward.keeping(1)(TINY_IMAGE, TINY_FILTER, np.array([10.0]), {"stride": 2, "pad": 1})
    assert_close(out, np.array([[[[9.0, 10.0], [8.0, 16.0]]]]), what="out for stride 2 and pad 1")
    two_channels = np.concatenate([TINY_IMAGE, 100 * TINY_IMAGE], axis=1)
    filters = np.concatenate([np.concatenate([TINY_FILTER, TINY_FILTER], axis=1)] * 2)
    out, _ = forward.keeping(1)(two_channels, filters, np.array([0.0, 1.0]), {"stride": 1, "pad": 0})
    expected = 101 * np.array([[4.0, -1.0], [1.0, 6.0]])
    assert_close(out, np.array([[expected, expected + 1]]), what="out of two channels and two filters")
    x, w = np.zeros((2, 3, 7, 10)), np.zeros((4, 3, 3, 2))
    out, _ = forward.keeping(1)(x, w, np.zeros(4), {"stride": 2, "pad": 1})
    assert_close(list(np.shape(out)), [2, 4, 4, 6], what="the shape of out", hint="H' = 1 + (H + 2 pad - HH) // stride")


def check_convolution_gradients(forward, backward, rng, cases):
    """dx, dw and db against finite differences."""
    for x_shape, w_shape, conv_param, out_shape in cases:
        arrays = {"x": rng.normal(size=x_shape), "w": rng.normal(size=w_shape), "b": rng.normal(size=w_shape[0])}
        hint = "Each output adds dout * w to its window of dx and dout * window to dw; db sums dout."
        check_gradients(forward, backward, ["x", "w", "b"], arrays, [conv_param], rng.normal(size=out_shape), hint)


CONVOLUTIONS = [
    ((2, 1, 4, 3), (2, 1, 3, 3), {"stride": 1, "pad": 1}, (2, 2, 4, 3)),
    ((1, 2, 5, 4), (1, 2, 2, 2), {"stride": 2, "pad": 0}, (1, 1, 2, 2)),
]


@pytest.mark.question("conv_forward")
def test_conv_forward(student):
    """A tiny image gives the numbers one finds with a pencil."""
    check_convolution(student.conv_forward)


@pytest.mark.question("conv_backward")
def test_conv_backward(student, rng):
    """dx, dw and db agree with finite differences of your conv_forward."""
    check_convolution_gradients(student.conv_forward, student.conv_backward, rng, CONVOLUTIONS)


@pytest.mark.question("conv_forward_fast")
def test_conv_forward_fast(student):
    """A tiny image gives the numbers one finds with a pencil."""
    check_convolution(student.conv_forward_fast)


@pytest.mark.question("conv_forward_fast")
def test_conv_forward_fast_equals_loops(student, rng, budget):
    """The result equals that of your conv_forward, in a third of its time or less."""
    arguments = rng.normal(size=(4, 3, 12, 12)), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4), {"stride": 1, "pad": 1}
    expected, _ = student.conv_forward.keeping(1)(*arguments)
    out, _ = student.conv_forward_fast.keeping(1)(*arguments)
    assert_close(out, expected, what="out")
    slow = budget.seconds(student.conv_forward.keeping(1), *arguments, repeat=1)
    fast = budget.seconds(student.conv_forward_fast.keeping(1), *arguments)
    budget.assert_faster(fast, slow, 3, what="conv_forward_fast", hint="Handle all windows in one matrix product.")


@pytest.mark.question("conv_backward_fast")
def test_conv_backward_fast(student, rng):
    """dx, dw and db agree with finite differences of your conv_forward_fast."""
    check_convolution_gradients(student.conv_forward_fast, student.conv_backward_fast, rng, CONVOLUTIONS)


# --- pooling
@pytest.mark.question("max_pool_forward")
def test_max_pool_forward(student):
    """A tiny image gives the numbers one finds with a pencil."""
    x = np.array([[[[1.0, 5.0, 2.0, 0.0], [3.0, -4.0, -7.0, 9.0], [-1.0, -2.0, 6.0, 4.0], [-3.0, -8.0, 7.0, 8.0]]]])
    two_by_two = {"pool_height": 2, "pool_width": 2, "stride": 2}
    out, _ = student.max_pool_forward.keeping(1)(x, two_by_two)
    assert_close(out, np.array([[[[5.0, 9.0], [-1.0, 8.0]]]]), what="out")
    out, _ = student.max_pool_forward.keeping(1)(x, {"pool_height": 3, "pool_width": 2, "stride": 1})
    expected = np.array([[[[5.0, 6.0, 9.0], [3.0, 7.0, 9.0]]]])
    assert_close(out, expected, what="out for windows of 3x2 and stride 1")


@pytest.mark.question("max_pool_backward")
def test_max_pool_backward(student, rng):
    """dx agrees with finite differences of your max_pool_forward."""
    x = rng.permutation(2 * 30).reshape(1, 2, 6, 5) / 10  # no two values tie
    for pool_param, shape in (
        ({"pool_height": 2, "pool_width": 2, "stride": 2}, (1, 2, 3, 2)),
        ({"pool_height": 3, "pool_width": 2, "stride": 1}, (1, 2, 4, 4)),
    ):
        hint = "Each upstream gradient goes to the largest value of its window; add where windows overlap."
        functions = student.max_pool_forward, student.max_pool_backward
        check_gradients(*functions, ["x"], {"x": x}, [pool_param], rng.normal(size=shape), hint) if False else None
        _, cache = student.max_pool_forward.keeping(1)(x, pool_param)
        upstream = rng.normal(size=shape)
        dx = student.max_pool_backward(upstream, cache)
        assert_gradients({"x": dx}, of_forward(student.max_pool_forward, pool_param), {"x": x}, upstream, hint=hint)

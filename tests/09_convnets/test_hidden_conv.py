"""Convolution: the naive version and the fast one keep one contract, so one set of checks serves both."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged

# (N, C, H, W), (F, C, HH, WW), stride, pad
USUAL = [((2, 3, 6, 6), (4, 3, 3, 3), 1, 1)]
STRIDED = [
    ((2, 2, 9, 7), (3, 2, 3, 3), 2, 0),
    ((1, 2, 10, 8), (2, 2, 2, 2), 3, 1),
    ((2, 1, 7, 11), (2, 1, 3, 3), 4, 1),
]
RECTANGULAR = [
    ((2, 3, 5, 8), (2, 3, 2, 4), 1, 0),
    ((2, 2, 8, 5), (3, 2, 4, 1), 1, 1),
    ((1, 2, 4, 9), (2, 2, 1, 3), 2, 2),
]
SMALL = [
    ((1, 1, 4, 5), (1, 1, 2, 2), 1, 0),
    ((2, 3, 3, 4), (2, 3, 1, 1), 1, 0),
    ((1, 2, 3, 4), (3, 2, 3, 4), 1, 0),
]
NOT_DIVIDING = [((2, 2, 8, 7), (3, 2, 3, 2), 2, 0), ((1, 3, 6, 8), (2, 3, 3, 3), 4, 1)]
EVERY = USUAL + STRIDED + RECTANGULAR + SMALL + NOT_DIVIDING

GRADIENTS = ("dx", "dw", "db")
HINTS = {
    "dx": "Each output adds dout * w into its window; windows overlap. The padding is cut off last.",
    "dw": "dw sums dout times the padded window over all images and positions.",
    "db": "db sums dout over images and positions: one number per filter.",
}


def draw(rng, case):
    """Random x, w, b and the conv_param of one case."""
    x_shape, w_shape, stride, pad = case
    x = rng.normal(size=x_shape)
    return x, rng.normal(size=w_shape), rng.normal(size=w_shape[0]), {"stride": stride, "pad": pad}


def check_values(forward, reference, rng, cases, hint=""):
    """`out` equals the reference's, for each case."""
    for case in cases:
        arguments = draw(rng, case)
        out, _ = forward.keeping(1)(*arguments)
        assert_close(out, reference.conv_forward_fast(*arguments)[0], what="out", hint=hint)


def check_gradients(forward, backward, reference, rng, cases, wanted=GRADIENTS):
    """The `wanted` gradients equal the reference's; the student's forward gives no more than its cache."""
    for case in cases:
        arguments = draw(rng, case)
        expected_out, expected_cache = reference.conv_forward_fast(*arguments)
        dout = rng.normal(size=expected_out.shape)
        expected = dict(zip(GRADIENTS, reference.conv_backward_fast(dout, expected_cache), strict=True))
        _, cache = forward.keeping(1)(*arguments)
        got = dict(zip(GRADIENTS, three(backward(dout, cache)), strict=True))
        for name in wanted:
            assert_close(got[name], expected[name], what=name, hint=HINTS[name])


def three(gradients):
    """The student's three gradients; fails when there are not three."""
    assert len(gradients) == 3, "A backward pass returns dx, dw, db."
    return gradients


def check_interleaved(forward, backward, reference, rng):
    """Two forward passes, then their two backward passes."""
    cases = [draw(rng, ((2, 2, 5, 4), (3, 2, 3, 2), 1, 1)) for _ in range(2)]
    caches = [forward.keeping(1)(*arguments)[1] for arguments in cases]
    for arguments, cache in zip(cases, caches, strict=True):
        out, expected_cache = reference.conv_forward_fast(*arguments)
        dout = rng.normal(size=out.shape)
        expected = reference.conv_backward_fast(dout, expected_cache)
        for name, got, wanted in zip(GRADIENTS, three(backward(dout, cache)), expected, strict=True):
            hint = "Everything the backward pass needs belongs in the cache, not in a global variable."
            assert_close(got, wanted, what=name, hint=hint)


def single_precision(arguments):
    """The arrays among the arguments as float32."""
    return [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in arguments]


@pytest.mark.question("conv_forward", weight=2)
def test_conv_forward_usual(student, reference, rng):
    """With stride 1 and one row of padding the output is as large as the image and has the right values."""
    check_values(student.conv_forward, reference, rng, USUAL)


@pytest.mark.question("conv_forward", weight=2)
def test_conv_forward_strides(student, reference, rng):
    """With a stride of 2, 3 or 4 each window starts that many pixels after the one before."""
    check_values(
        student.conv_forward,
        reference,
        rng,
        STRIDED,
        "Output (i, j) reads the window at (i*stride, j*stride).",
    )


@pytest.mark.question("conv_forward")
def test_conv_forward_rectangles(student, reference, rng):
    """Images and filters that are not square are handled, with a padding other than 1 too."""
    check_values(
        student.conv_forward, reference, rng, RECTANGULAR, "Height and width are two different numbers."
    )


@pytest.mark.question("conv_forward")
def test_conv_forward_small(student, reference, rng):
    """A batch of one, one channel, 1x1 filters and a filter as large as the image are handled."""
    check_values(student.conv_forward, reference, rng, SMALL)


@pytest.mark.question("conv_forward")
def test_conv_forward_not_dividing(student, reference, rng):
    """Rows and columns at the edge that do not fill a window are left out."""
    check_values(student.conv_forward, reference, rng, NOT_DIVIDING, "H' = 1 + (H + 2 pad - HH) // stride")


@pytest.mark.question("conv_forward")
def test_conv_forward_bias(student, rng):
    """With filters of zeros every output position of filter f is b[f]."""
    x, w, b, conv_param = draw(rng, ((2, 3, 4, 5), (3, 3, 3, 3), 1, 1))
    out, _ = student.conv_forward.keeping(1)(x, 0 * w, b, conv_param)
    assert_close(
        out, np.broadcast_to(b[:, None, None], (2, 3, 4, 5)), what="out", hint="Add b[f] once to each output."
    )


@pytest.mark.question("conv_forward")
def test_conv_forward_leaves_inputs(student, rng):
    """The image, the filters and the bias are not modified, and float32 is accepted."""
    arguments = draw(rng, USUAL[0])
    out, _ = assert_unchanged(student.conv_forward.keeping(1), *arguments)
    single, _ = student.conv_forward.keeping(1)(*single_precision(arguments))
    assert_close(single, out, rtol=1e-4, atol=1e-5, what="out for float32")


@pytest.mark.question("conv_backward", weight=2)
def test_conv_backward_usual(student, reference, rng):
    """With stride 1 and one row of padding all three gradients are right."""
    check_gradients(student.conv_forward, student.conv_backward, reference, rng, USUAL)


@pytest.mark.question("conv_backward", weight=2)
def test_conv_backward_dx(student, reference, rng):
    """dx is right for every stride, padding and shape."""
    check_gradients(student.conv_forward, student.conv_backward, reference, rng, EVERY, ["dx"])


@pytest.mark.question("conv_backward", weight=2)
def test_conv_backward_dw(student, reference, rng):
    """dw is right for every stride, padding and shape."""
    check_gradients(student.conv_forward, student.conv_backward, reference, rng, EVERY, ["dw"])


@pytest.mark.question("conv_backward")
def test_conv_backward_db(student, reference, rng):
    """db is right for every stride, padding and shape."""
    check_gradients(student.conv_forward, student.conv_backward, reference, rng, EVERY, ["db"])


@pytest.mark.question("conv_backward")
def test_conv_backward_caches(student, reference, rng):
    """Two convolutions in one network do not disturb each other: each backward pass uses its own cache."""
    check_interleaved(student.conv_forward, student.conv_backward, reference, rng)


@pytest.mark.question("conv_backward")
def test_conv_backward_leaves_inputs(student, reference, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    check_inputs_kept(student.conv_forward, student.conv_backward, rng)


def check_inputs_kept(forward, backward, rng):
    """`dout` is unchanged after the call, and float32 gives the same to single precision."""
    arguments = draw(rng, USUAL[0])
    _, cache = forward.keeping(1)(*arguments)
    dout = rng.normal(size=(2, 4, 6, 6))
    gradients = assert_unchanged(backward, dout, cache)
    _, cache = forward.keeping(1)(*single_precision(arguments))
    single = backward(dout.astype(np.float32), cache)
    for name, got, wanted in zip(GRADIENTS, three(single), three(gradients), strict=True):
        assert_close(got, wanted, rtol=1e-3, atol=1e-4, what=f"{name} for float32")


@pytest.mark.question("conv_forward_fast", weight=2)
def test_fast_forward_usual(student, reference, rng):
    """With stride 1 and one row of padding the output is as large as the image and has the right values."""
    check_values(student.conv_forward_fast, reference, rng, USUAL)


@pytest.mark.question("conv_forward_fast")
def test_fast_forward_strides(student, reference, rng):
    """With a stride of 2, 3 or 4 each window starts that many pixels after the one before."""
    hint = "Of all windows keep every stride-th, in both directions."
    check_values(student.conv_forward_fast, reference, rng, STRIDED + NOT_DIVIDING, hint)


@pytest.mark.question("conv_forward_fast")
def test_fast_forward_rectangles(student, reference, rng):
    """Images and filters that are not square are handled, with a padding other than 1 too."""
    hint = "A row of columns and a row of filters must list channel, height and width in the same order."
    check_values(student.conv_forward_fast, reference, rng, RECTANGULAR, hint)


@pytest.mark.question("conv_forward_fast")
def test_fast_forward_small(student, reference, rng):
    """A batch of one, one channel, 1x1 filters and a filter as large as the image are handled."""
    check_values(student.conv_forward_fast, reference, rng, SMALL)


@pytest.mark.question("conv_forward_fast")
def test_fast_forward_leaves_inputs(student, rng):
    """The image, the filters and the bias are not modified, and float32 is accepted."""
    arguments = draw(rng, USUAL[0])
    out, _ = assert_unchanged(student.conv_forward_fast.keeping(1), *arguments)
    single, _ = student.conv_forward_fast.keeping(1)(*single_precision(arguments))
    assert_close(single, out, rtol=1e-4, atol=1e-5, what="out for float32")


# Loops over images, filters and positions take the reference about 25 ms here, a matrix product well under
# 1 ms, transport included. Whoever loops over positions alone is still several times faster than the loops.
SPEED_CASE = ((4, 3, 14, 14), (6, 3, 3, 3), 1, 1)
SPEED_FACTOR = 3


@pytest.mark.question("conv_forward_fast", weight=2)
def test_fast_forward_speed(student, reference, rng, budget):
    """It is at least three times as fast as four nested loops, and right."""
    arguments = draw(rng, SPEED_CASE)
    out, _ = student.conv_forward_fast.keeping(1)(*arguments)
    assert_close(out, reference.conv_forward_fast(*arguments)[0], what="out")
    hint = "Handle all windows in one matrix product."
    budget.assert_faster(
        lambda: student.conv_forward_fast.keeping(1)(*arguments),
        lambda: reference.conv_forward(*arguments),
        SPEED_FACTOR,
        what="conv_forward_fast",
        hint=hint,
    )


@pytest.mark.question("conv_backward_fast", weight=2)
def test_fast_backward_usual(student, reference, rng):
    """With stride 1 and one row of padding all three gradients are right."""
    check_gradients(student.conv_forward_fast, student.conv_backward_fast, reference, rng, USUAL)


@pytest.mark.question("conv_backward_fast", weight=2)
def test_fast_backward_dx(student, reference, rng):
    """dx is right for every stride, padding and shape."""
    check_gradients(student.conv_forward_fast, student.conv_backward_fast, reference, rng, EVERY, ["dx"])


@pytest.mark.question("conv_backward_fast", weight=2)
def test_fast_backward_dw(student, reference, rng):
    """dw is right for every stride, padding and shape."""
    check_gradients(student.conv_forward_fast, student.conv_backward_fast, reference, rng, EVERY, ["dw"])


@pytest.mark.question("conv_backward_fast")
def test_fast_backward_db(student, reference, rng):
    """db is right for every stride, padding and shape."""
    check_gradients(student.conv_forward_fast, student.conv_backward_fast, reference, rng, EVERY, ["db"])


@pytest.mark.question("conv_backward_fast")
def test_fast_backward_caches(student, reference, rng):
    """Two convolutions in one network do not disturb each other: each backward pass uses its own cache."""
    check_interleaved(student.conv_forward_fast, student.conv_backward_fast, reference, rng)


@pytest.mark.question("conv_backward_fast")
def test_fast_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    check_inputs_kept(student.conv_forward_fast, student.conv_backward_fast, rng)


@pytest.mark.question("conv_backward_fast", weight=2)
def test_fast_backward_speed(student, reference, rng, budget):
    """It is at least three times as fast as four nested loops, and right."""
    arguments = draw(rng, SPEED_CASE)
    out, slow_cache = reference.conv_forward_fast(*arguments)
    dout = rng.normal(size=out.shape)
    _, cache = student.conv_forward_fast.keeping(1)(*arguments)
    got = three(student.conv_backward_fast(dout, cache))
    assert_close(got[0], reference.conv_backward_fast(dout, slow_cache)[0], what="dx", hint=HINTS["dx"])
    hint = "Loop over the offsets within a window, not over the windows."
    budget.assert_faster(
        lambda: student.conv_backward_fast(dout, cache),
        lambda: reference.conv_backward(dout, slow_cache),
        SPEED_FACTOR,
        what="conv_backward_fast",
        hint=hint,
    )

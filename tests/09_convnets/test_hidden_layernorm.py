"""Layer and group normalisation: no batch statistics, no running averages."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, assert_unchanged

GRADIENTS = ("dx", "dgamma", "dbeta")
ROWS = [(4, 6), (5, 3), (1, 4), (3, 2)]
# (N, C, H, W), G
MAPS = [
    ((2, 4, 3, 3), 2),
    ((3, 6, 2, 4), 3),
    ((1, 6, 3, 2), 2),
    ((2, 3, 2, 3), 1),
    ((2, 3, 4, 2), 3),
    ((4, 8, 1, 1), 2),
]
CACHE_HINT = "Everything the backward pass needs belongs in the cache, not in a global variable."


def draw_rows(rng, shape):
    """Random x, whose rows differ in scale and offset, gamma and beta: the arguments before ln_param."""
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, size=(shape[0], 1)) + rng.normal(
        scale=2, size=(shape[0], 1)
    )
    return x, rng.uniform(0.5, 2, size=shape[1]), rng.normal(size=shape[1])


def draw_maps(rng, case):
    """Random x, whose maps differ in scale and offset, gamma, beta and G: the arguments before gn_param."""
    (N, C, H, W), G = case
    x = rng.normal(size=(N, C, H, W)) * rng.uniform(0.5, 3, size=(N, C, 1, 1)) + rng.normal(size=(N, C, 1, 1))
    return x, rng.uniform(0.5, 2, size=(1, C, 1, 1)), rng.normal(size=(1, C, 1, 1)), G


def check_values(forward, expected_forward, arguments, param, hint=""):
    """`out` equals the reference's."""
    out, _ = forward.keeping(1)(*arguments, param)
    assert_close(out, expected_forward(*arguments, dict(param))[0], what="out", hint=hint)


def check_gradients(functions, expected_functions, rng, arguments, param, wanted=GRADIENTS, hint=""):
    """The `wanted` gradients equal the reference's; the student's forward gives no more than its cache."""
    (forward, backward), (expected_forward, expected_backward) = functions, expected_functions
    dout = rng.normal(size=arguments[0].shape) + 0.5
    _, cache = forward.keeping(1)(*arguments, param)
    expected = dict(
        zip(GRADIENTS, expected_backward(dout, expected_forward(*arguments, dict(param))[1]), strict=True)
    )
    got = dict(zip(GRADIENTS, three(backward(dout, cache)), strict=True))
    for name in wanted:
        assert_close(got[name], expected[name], what=name, hint=hint)


def check_interleaved(functions, expected_functions, rng, inputs):
    """All forward passes, then their backward passes."""
    (forward, backward), (expected_forward, expected_backward) = functions, expected_functions
    caches = [forward.keeping(1)(*arguments, {})[1] for arguments in inputs]
    for arguments, cache in zip(inputs, caches, strict=True):
        dout = rng.normal(size=arguments[0].shape)
        expected = expected_backward(dout, expected_forward(*arguments, {})[1])
        for name, got, value in zip(GRADIENTS, three(backward(dout, cache)), expected, strict=True):
            assert_close(got, value, what=name, hint=CACHE_HINT)


def check_inputs_kept(functions, rng, arguments):
    """Neither pass modifies its arguments, and float32 gives the same to single precision."""
    forward, backward = functions
    out, cache = assert_unchanged(forward.keeping(1), *arguments, {})
    dout = rng.normal(size=arguments[0].shape)
    gradients = assert_unchanged(backward, dout, cache) if backward else ()
    single = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in arguments]
    single_out, cache = forward.keeping(1)(*single, {})
    if not backward:
        assert_close(single_out, out, rtol=1e-4, atol=1e-4, what="out for float32")
        return
    single_gradients = three(backward(dout.astype(np.float32), cache))
    for name, got, value in zip(GRADIENTS, single_gradients, three(gradients), strict=True):
        assert_close(got, value, rtol=1e-3, atol=1e-4, what=f"{name} for float32")


def three(gradients):
    """The student's three gradients; fails when there are not three."""
    assert len(gradients) == 3, "A backward pass returns dx, dgamma, dbeta."
    return gradients


def layer(namespace):
    """Forward and backward of layer normalisation, the student's or the reference's."""
    return namespace.layernorm_forward, namespace.layernorm_backward


def group(namespace):
    """Forward and backward of group normalisation, the student's or the reference's."""
    return namespace.groupnorm_forward, namespace.groupnorm_backward


@pytest.mark.question("layernorm_forward", weight=2)
def test_layernorm_values(student, reference, rng):
    """Each row is normalised over its features, then each feature is scaled by gamma and shifted by beta."""
    for shape in ROWS:
        hint = "Mean and variance run over axis 1; gamma and beta have one entry per feature."
        check_values(student.layernorm_forward, reference.layernorm_forward, draw_rows(rng, shape), {}, hint)


@pytest.mark.question("layernorm_forward")
def test_layernorm_eps(student, reference, rng):
    """eps is taken from ln_param and stands under the root; without one it is 1e-5."""
    hint = "x_hat = (x - mean) / sqrt(var + eps)"
    forwards = student.layernorm_forward, reference.layernorm_forward
    check_values(*forwards, draw_rows(rng, (4, 3)), {"eps": 0.7}, hint)
    x, gamma, beta = draw_rows(rng, (4, 3))
    check_values(*forwards, (x * 1e-3, gamma, beta), {}, hint)


@pytest.mark.question("layernorm_forward")
def test_layernorm_rows_apart(student, rng):
    """The result for one row does not depend on the other rows."""
    x, gamma, beta = draw_rows(rng, (4, 5))
    together, _ = student.layernorm_forward.keeping(1)(x, gamma, beta, {})
    alone, _ = student.layernorm_forward.keeping(1)(x[2:3], gamma, beta, {})
    normal = (x[2] - x[2].mean()) / np.sqrt(x[2].var() + 1e-5)
    for what, out in (("the third row, in a batch", together[2]), ("the third row, alone", alone[0])):
        assert_close(
            out,
            gamma * normal + beta,
            what=what,
            hint="There are no batch statistics in layer normalisation.",
        )


@pytest.mark.question("layernorm_forward")
def test_layernorm_large_offset(student, rng):
    """Rows with a large mean keep their digits."""
    x, gamma, beta = draw_rows(rng, (3, 20))
    x = np.round(x * 2**10) / 2**10  # so that adding the offset, a power of two, rounds nothing
    out, _ = student.layernorm_forward.keeping(1)(x + 2.0**26, gamma, beta, {})
    normal = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    hint = "mean(x**2) - mean(x)**2 loses every digit when the mean is large: take the mean of (x - mean)**2."
    assert_stable(out, gamma * normal + beta, what="out", hint=hint, rtol=1e-5, atol=1e-6)


@pytest.mark.question("layernorm_forward")
def test_layernorm_leaves_inputs(student, rng):
    """x, gamma and beta are not modified, and float32 is accepted."""
    check_inputs_kept((student.layernorm_forward, None), rng, draw_rows(rng, (4, 3)))


@pytest.mark.question("layernorm_backward", weight=3)
def test_layernorm_dx(student, reference, rng):
    """dx is right in every coordinate, for several shapes."""
    hint = "gamma differs within a row, so it belongs inside the means: take them of dout * gamma, axis 1."
    for shape in ROWS:
        check_gradients(layer(student), layer(reference), rng, draw_rows(rng, shape), {}, ["dx"], hint)


@pytest.mark.question("layernorm_backward")
def test_layernorm_dgamma(student, reference, rng):
    """dgamma is right, one number per feature, for several shapes."""
    hint = "dgamma sums dout * x_hat over the rows."
    for shape in ROWS:
        check_gradients(layer(student), layer(reference), rng, draw_rows(rng, shape), {}, ["dgamma"], hint)


@pytest.mark.question("layernorm_backward")
def test_layernorm_dbeta(student, reference, rng):
    """dbeta is right, one number per feature, for several shapes."""
    hint = "dbeta sums dout over the rows."
    for shape in ROWS:
        check_gradients(layer(student), layer(reference), rng, draw_rows(rng, shape), {}, ["dbeta"], hint)


@pytest.mark.question("layernorm_backward")
def test_layernorm_gradients_eps(student, reference, rng):
    """With a large eps all three gradients are right."""
    hint = "The backward pass needs the same eps as the forward pass."
    check_gradients(layer(student), layer(reference), rng, draw_rows(rng, (3, 5)), {"eps": 0.7}, hint=hint)


@pytest.mark.question("layernorm_backward")
def test_layernorm_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    check_interleaved(layer(student), layer(reference), rng, [draw_rows(rng, (3, 4)) for _ in range(2)])


@pytest.mark.question("layernorm_backward")
def test_layernorm_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    check_inputs_kept(layer(student), rng, draw_rows(rng, (4, 3)))


@pytest.mark.question("groupnorm_forward", weight=2)
def test_groupnorm_values(student, reference, rng):
    """Each group of channels of each image is normalised, then each channel is scaled and shifted."""
    hint = "Group g has the channels g*C/G to (g+1)*C/G - 1; its mean runs over them, H and W, in one image."
    for case in MAPS:
        check_values(student.groupnorm_forward, reference.groupnorm_forward, draw_maps(rng, case), {}, hint)


@pytest.mark.question("groupnorm_forward")
def test_groupnorm_extremes(student, reference, rng):
    """One group takes all channels of an image together, C groups take each channel by itself."""
    for G in (1, 6):
        arguments = draw_maps(rng, ((2, 6, 2, 3), G))
        check_values(
            student.groupnorm_forward,
            reference.groupnorm_forward,
            arguments,
            {},
            "G is the number of groups.",
        )


@pytest.mark.question("groupnorm_forward")
def test_groupnorm_eps(student, reference, rng):
    """eps is taken from gn_param and stands under the root; without one it is 1e-5."""
    hint = "x_hat = (x - mean) / sqrt(var + eps)"
    forwards = student.groupnorm_forward, reference.groupnorm_forward
    x, gamma, beta, G = draw_maps(rng, MAPS[0])
    check_values(*forwards, (x, gamma, beta, G), {"eps": 0.7}, hint)
    check_values(*forwards, (x * 1e-3, gamma, beta, G), {}, hint)


@pytest.mark.question("groupnorm_forward")
def test_groupnorm_large_offset(student, rng):
    """Feature maps with a large mean keep their digits."""
    x, gamma, beta, G = draw_maps(rng, ((2, 4, 3, 4), 2))
    x = np.round(x * 2**10) / 2**10  # so that adding the offset, a power of two, rounds nothing
    out, _ = student.groupnorm_forward.keeping(1)(x + 2.0**26, gamma, beta, G, {})
    groups = x.reshape(2, 2, 24)
    normal = (groups - groups.mean(axis=2, keepdims=True)) / np.sqrt(groups.var(axis=2, keepdims=True) + 1e-5)
    hint = "mean(x**2) - mean(x)**2 loses every digit when the mean is large: take the mean of (x - mean)**2."
    assert_stable(out, gamma * normal.reshape(x.shape) + beta, what="out", hint=hint, rtol=1e-5, atol=1e-6)


@pytest.mark.question("groupnorm_forward")
def test_groupnorm_leaves_inputs(student, rng):
    """x, gamma and beta are not modified, and float32 is accepted."""
    check_inputs_kept((student.groupnorm_forward, None), rng, draw_maps(rng, MAPS[0]))


@pytest.mark.question("groupnorm_backward", weight=3)
def test_groupnorm_dx(student, reference, rng):
    """dx is right in every coordinate, for several shapes and numbers of groups."""
    hint = "The three terms of layer normalisation, with means of dout * gamma over a group."
    for case in MAPS:
        check_gradients(group(student), group(reference), rng, draw_maps(rng, case), {}, ["dx"], hint)


@pytest.mark.question("groupnorm_backward")
def test_groupnorm_dgamma(student, reference, rng):
    """dgamma is right and has the shape (1, C, 1, 1)."""
    hint = "dgamma sums dout * x_hat over N, H and W and keeps the four axes."
    for case in MAPS:
        check_gradients(group(student), group(reference), rng, draw_maps(rng, case), {}, ["dgamma"], hint)


@pytest.mark.question("groupnorm_backward")
def test_groupnorm_dbeta(student, reference, rng):
    """dbeta is right and has the shape (1, C, 1, 1)."""
    hint = "dbeta sums dout over N, H and W and keeps the four axes."
    for case in MAPS:
        check_gradients(group(student), group(reference), rng, draw_maps(rng, case), {}, ["dbeta"], hint)


@pytest.mark.question("groupnorm_backward")
def test_groupnorm_gradients_eps(student, reference, rng):
    """With a large eps all three gradients are right."""
    hint = "The backward pass needs the same eps as the forward pass."
    check_gradients(group(student), group(reference), rng, draw_maps(rng, MAPS[1]), {"eps": 0.7}, hint=hint)


@pytest.mark.question("groupnorm_backward")
def test_groupnorm_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    check_interleaved(group(student), group(reference), rng, [draw_maps(rng, MAPS[1]) for _ in range(2)])


@pytest.mark.question("groupnorm_backward")
def test_groupnorm_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    check_inputs_kept(group(student), rng, draw_maps(rng, MAPS[0]))

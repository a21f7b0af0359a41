"""Batch normalisation, of features and of feature maps."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, assert_unchanged

GRADIENTS = ("dx", "dgamma", "dbeta")
PER_FEATURE = [(6, 4), (3, 5), (4, 1), (1, 3)]
PER_CHANNEL = [(3, 2, 4, 4), (2, 3, 3, 5), (1, 2, 4, 2), (4, 1, 2, 3), (3, 4, 1, 1)]
CACHE_HINT = "Everything the backward pass needs belongs in the cache, not in a global variable."


def draw(rng, shape):
    """Random x, with a scale and an offset for each feature or channel, gamma and beta."""
    per = [1] * len(shape)
    per[1] = shape[1]
    x = rng.normal(size=shape) * rng.uniform(0.5, 3, size=per) + rng.normal(scale=2, size=per)
    return x, rng.uniform(0.5, 2, size=shape[1]), rng.normal(size=shape[1])


def check_training(forward, expected_forward, rng, shapes, hint="", **bn_param):
    """`out` in train mode equals the reference's, for each shape."""
    for shape in shapes:
        arguments = draw(rng, shape)
        out, _ = forward.keeping(1)(*arguments, {"mode": "train", **bn_param})
        expected, _ = expected_forward(*arguments, {"mode": "train", **bn_param})
        assert_close(out, expected, what="out", hint=hint)


def check_running(forward, expected_forward, rng, shape):
    """The running averages after two batches: from zeros or given values, with a momentum or without."""
    D = shape[1]
    given = {"running_mean": rng.normal(size=D), "running_var": rng.uniform(1, 2, size=D)}
    for start in ({"momentum": 0.7}, {"momentum": 0.7, **given}, given):
        param = {"mode": "train", **start}
        expected_param = {name: np.copy(value) if name in given else value for name, value in param.items()}
        for batch in ("the first batch", "the second batch"):
            arguments = draw(rng, shape)
            _, after = forward.keeping(1).after(*arguments, param)
            expected_forward(*arguments, expected_param)
            param = after[3]
            for name in given:
                assert name in param, f'bn_param["{name}"] is not written back.'
                hint = "running = momentum * running + (1 - momentum) * batch"
                assert_close(param[name], expected_param[name], what=f"{name} after {batch}", hint=hint)


def check_testing(forward, expected_forward, rng, shape):
    """Test mode uses the running averages, whatever the batch, and leaves them as they are."""
    x, gamma, beta = draw(rng, shape)
    D = shape[1]
    averages = {"running_mean": rng.normal(size=D), "running_var": rng.uniform(0.3, 2, size=D)}
    param = {"mode": "test", "eps": 0.1, **averages}
    (out, _), after = forward.keeping(1).after(x, gamma, beta, param)
    expected, _ = expected_forward(x, gamma, beta, dict(param))
    assert_close(out, expected, what="out in test mode", hint="Test mode uses running_mean and running_var.")
    for name, value in averages.items():
        assert_close(
            after[3][name],
            value,
            what=f"{name} after a call in test mode",
            hint="Only train mode updates it.",
        )
    alone, _ = forward.keeping(1)(x[:1], gamma, beta, param)
    assert_close(alone, expected[:1], what="out of the first image alone in test mode")


def check_inputs_kept(forward, rng, shape):
    """x, gamma and beta are as before, and float32 gives the same to single precision."""
    arguments = draw(rng, shape)
    (out, _), after = forward.keeping(1).after(*arguments, {"mode": "train"})
    for name, before, now in zip(("x", "gamma", "beta"), arguments, after, strict=False):
        assert_close(now, before, rtol=0, atol=0, what=f"{name} after the call", hint="Work on a copy.")
    single, _ = forward.keeping(1)(*[a.astype(np.float32) for a in arguments], {"mode": "train"})
    assert_close(single, out, rtol=1e-4, atol=1e-4, what="out for float32")


def check_gradients(forward, backward, reference_pair, rng, shapes, wanted=GRADIENTS, hint="", **bn_param):
    """The `wanted` gradients equal the reference's; the student's forward gives no more than its cache."""
    expected_forward, expected_backward = reference_pair
    for shape in shapes:
        arguments = draw(rng, shape)
        dout = rng.normal(size=shape) + 0.5
        _, cache = forward.keeping(1)(*arguments, {"mode": "train", **bn_param})
        _, expected_cache = expected_forward(*arguments, {"mode": "train", **bn_param})
        expected = dict(zip(GRADIENTS, expected_backward(dout, expected_cache), strict=True))
        got = dict(zip(GRADIENTS, three(backward(dout, cache)), strict=True))
        for name in wanted:
            assert_close(got[name], expected[name], what=name, hint=hint)


def check_interleaved(forward, backward, reference_pair, rng, shape):
    """Two forward passes, then their two backward passes."""
    expected_forward, expected_backward = reference_pair
    inputs = [draw(rng, shape) for _ in range(2)]
    caches = [forward.keeping(1)(*arguments, {"mode": "train"})[1] for arguments in inputs]
    for arguments, cache in zip(inputs, caches, strict=True):
        dout = rng.normal(size=shape)
        expected = expected_backward(dout, expected_forward(*arguments, {"mode": "train"})[1])
        for name, got, value in zip(GRADIENTS, three(backward(dout, cache)), expected, strict=True):
            assert_close(got, value, what=name, hint=CACHE_HINT)


def check_upstream_kept(forward, backward, rng, shape):
    """`dout` is unchanged after the call, and float32 gives the same to single precision."""
    arguments = draw(rng, shape)
    dout = rng.normal(size=shape)
    _, cache = forward.keeping(1)(*arguments, {"mode": "train"})
    gradients = assert_unchanged(backward, dout, cache)
    _, cache = forward.keeping(1)(*[a.astype(np.float32) for a in arguments], {"mode": "train"})
    single = three(backward(dout.astype(np.float32), cache))
    for name, got, value in zip(GRADIENTS, single, three(gradients), strict=True):
        assert_close(got, value, rtol=1e-3, atol=1e-4, what=f"{name} for float32")


def three(gradients):
    """The student's three gradients; fails when there are not three."""
    assert len(gradients) == 3, "A backward pass returns dx, dgamma, dbeta."
    return gradients


def pair(reference, name):
    """Forward and backward of the reference."""
    return getattr(reference, f"{name}_forward"), getattr(reference, f"{name}_backward")


@pytest.mark.question("batchnorm_forward", weight=2)
def test_batchnorm_values(student, reference, rng):
    """In train mode each feature is normalised over the batch, then scaled by gamma and shifted by beta."""
    hint = "Mean and variance run over axis 0, the variance is the biased one, eps stands under the root."
    check_training(student.batchnorm_forward, reference.batchnorm_forward, rng, PER_FEATURE[:3], hint)


@pytest.mark.question("batchnorm_forward")
def test_batchnorm_eps(student, reference, rng):
    """eps is taken from bn_param and stands under the root; without one it is 1e-5."""
    hint = "x_hat = (x - mean) / sqrt(var + eps)"
    check_training(student.batchnorm_forward, reference.batchnorm_forward, rng, [(5, 3)], hint, eps=0.7)
    x, gamma, beta = draw(rng, (5, 3))
    out, _ = student.batchnorm_forward.keeping(1)(x * 1e-3, gamma, beta, {"mode": "train"})
    expected, _ = reference.batchnorm_forward(x * 1e-3, gamma, beta, {"mode": "train"})
    assert_close(out, expected, what="out for a small spread", hint=hint)


@pytest.mark.question("batchnorm_forward")
def test_batchnorm_batch_of_one(student, rng):
    """A batch of one has no spread: the output is beta."""
    x, gamma, beta = draw(rng, (1, 3))
    out, _ = student.batchnorm_forward.keeping(1)(x, gamma, beta, {"mode": "train"})
    assert_close(out, beta[None], what="out")


@pytest.mark.question("batchnorm_forward", weight=2)
def test_batchnorm_running(student, reference, rng):
    """Train mode updates the running averages in bn_param, with the momentum given there or else 0.9."""
    check_running(student.batchnorm_forward, reference.batchnorm_forward, rng, (4, 3))


@pytest.mark.question("batchnorm_forward", weight=2)
def test_batchnorm_test_mode(student, reference, rng):
    """Test mode normalises with the running averages and does not change them."""
    check_testing(student.batchnorm_forward, reference.batchnorm_forward, rng, (5, 3))


@pytest.mark.question("batchnorm_forward")
def test_batchnorm_large_offset(student, rng):
    """Features with a large mean keep their digits."""
    x, gamma, beta = draw(rng, (20, 3))
    x = np.round(x * 2**10) / 2**10  # so that adding the offset, a power of two, rounds nothing
    shifted, _ = student.batchnorm_forward.keeping(1)(x + 2.0**26, gamma, beta, {"mode": "train"})
    normal = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    hint = "mean(x**2) - mean(x)**2 loses every digit when the mean is large: take the mean of (x - mean)**2."
    assert_stable(shifted, gamma * normal + beta, what="out", hint=hint, rtol=1e-5, atol=1e-6)


@pytest.mark.question("batchnorm_forward")
def test_batchnorm_leaves_inputs(student, rng):
    """x, gamma and beta are not modified, and float32 is accepted."""
    check_inputs_kept(student.batchnorm_forward, rng, (5, 3))


@pytest.mark.question("batchnorm_backward", weight=3)
def test_batchnorm_dx(student, reference, rng):
    """dx is right in every coordinate, for several shapes."""
    hint = "x reaches the output directly, through the mean and through the variance: three terms."
    arguments = student.batchnorm_forward, student.batchnorm_backward, pair(reference, "batchnorm"), rng
    check_gradients(*arguments, PER_FEATURE, ["dx"], hint)


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_dgamma(student, reference, rng):
    """dgamma is right, for several shapes."""
    arguments = student.batchnorm_forward, student.batchnorm_backward, pair(reference, "batchnorm"), rng
    check_gradients(*arguments, PER_FEATURE, ["dgamma"], "dgamma sums dout * x_hat over the batch.")


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_dbeta(student, reference, rng):
    """dbeta is right, for several shapes."""
    arguments = student.batchnorm_forward, student.batchnorm_backward, pair(reference, "batchnorm"), rng
    check_gradients(*arguments, PER_FEATURE, ["dbeta"], "dbeta sums dout over the batch.")


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_gradients_eps(student, reference, rng):
    """With a large eps all three gradients are right."""
    arguments = student.batchnorm_forward, student.batchnorm_backward, pair(reference, "batchnorm"), rng
    check_gradients(
        *arguments, [(5, 3)], hint="The backward pass needs the same eps as the forward pass.", eps=0.7
    )


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    arguments = student.batchnorm_forward, student.batchnorm_backward, pair(reference, "batchnorm"), rng
    check_interleaved(*arguments, (4, 3))


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    check_upstream_kept(student.batchnorm_forward, student.batchnorm_backward, rng, (5, 3))


# A student's spatial version calls batchnorm_forward and batchnorm_backward, or does not. Where it does, an
# error in those has been paid for above.
GIVEN = ["batchnorm_forward", "batchnorm_backward"]


@pytest.mark.question("spatial_batchnorm_forward", weight=2, given=GIVEN)
def test_spatial_values(student, reference, rng):
    """In train mode each channel is normalised over the batch and all positions, then scaled and shifted."""
    hint = "One mean per channel, over N, H and W. A reshape alone mixes channels: move them last before."
    check_training(
        student.spatial_batchnorm_forward, reference.spatial_batchnorm_forward, rng, PER_CHANNEL, hint
    )


@pytest.mark.question("spatial_batchnorm_forward", given=GIVEN)
def test_spatial_eps(student, reference, rng):
    """eps is taken from bn_param."""
    arguments = student.spatial_batchnorm_forward, reference.spatial_batchnorm_forward, rng, PER_CHANNEL[:2]
    check_training(*arguments, eps=0.7)


@pytest.mark.question("spatial_batchnorm_forward", given=GIVEN)
def test_spatial_running(student, reference, rng):
    """Train mode updates the running averages in bn_param, one per channel."""
    check_running(student.spatial_batchnorm_forward, reference.spatial_batchnorm_forward, rng, (2, 3, 4, 2))


@pytest.mark.question("spatial_batchnorm_forward", given=GIVEN)
def test_spatial_test_mode(student, reference, rng):
    """Test mode normalises with the running averages and does not change them."""
    check_testing(student.spatial_batchnorm_forward, reference.spatial_batchnorm_forward, rng, (3, 2, 2, 4))


@pytest.mark.question("spatial_batchnorm_forward", given=GIVEN)
def test_spatial_leaves_inputs(student, rng):
    """x, gamma and beta are not modified, and float32 is accepted."""
    check_inputs_kept(student.spatial_batchnorm_forward, rng, (2, 3, 2, 2))


@pytest.mark.question("spatial_batchnorm_backward", weight=2, given=GIVEN)
def test_spatial_dx(student, reference, rng):
    """dx is right in every coordinate, for several shapes."""
    functions = student.spatial_batchnorm_forward, student.spatial_batchnorm_backward
    hint = "Arrange dout exactly as the forward pass arranged x, and put dx back the same way."
    check_gradients(*functions, pair(reference, "spatial_batchnorm"), rng, PER_CHANNEL, ["dx"], hint)


@pytest.mark.question("spatial_batchnorm_backward", given=GIVEN)
def test_spatial_dgamma_dbeta(student, reference, rng):
    """dgamma and dbeta are right, one number per channel, for several shapes."""
    functions = student.spatial_batchnorm_forward, student.spatial_batchnorm_backward
    hint = "dgamma sums dout * x_hat over N, H and W; dbeta sums dout."
    arguments = (*functions, pair(reference, "spatial_batchnorm"), rng, PER_CHANNEL)
    check_gradients(*arguments, ["dgamma", "dbeta"], hint, eps=0.3)


@pytest.mark.question("spatial_batchnorm_backward", given=GIVEN)
def test_spatial_caches(student, reference, rng):
    """Two layers in one network do not disturb each other: each backward pass uses its own cache."""
    functions = student.spatial_batchnorm_forward, student.spatial_batchnorm_backward
    check_interleaved(*functions, pair(reference, "spatial_batchnorm"), rng, (2, 3, 2, 3))


@pytest.mark.question("spatial_batchnorm_backward", given=GIVEN)
def test_spatial_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    functions = student.spatial_batchnorm_forward, student.spatial_batchnorm_backward
    check_upstream_kept(*functions, rng, (3, 2, 2, 3))

"""Dropout, for any way of drawing a mask.

Which elements are dropped is the student's own random choice. What is judged is what holds for each choice
(every element is dropped or divided by 1 - p, forward and backward use one mask) and, with bounds of six
standard deviations, how often an element is dropped.
"""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged, fail

# The probability of dropping; never one half alone, where keeping and dropping look the same.
RATES = [0.2, 0.5, 0.7]
SHAPES = [(6, 5), (30,), (3, 4, 5), (2, 3, 2, 4)]
KEPT = "What is kept is divided by 1 - p; p is the probability of dropping."


def draw(rng, shape):
    """Numbers between 0.5 and 2 of either sign: no zero, so that a zero in out has been dropped."""
    return rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.5, 2, size=shape)


def train(p, **seed):
    """dropout_param in train mode."""
    return {"mode": "train", "p": p, **seed}


def forward(student, x, dropout_param):
    """out, an array of the shape of x, and the cache."""
    result = student.dropout_forward.keeping(1)(x, dropout_param)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("dropout_forward should return out and cache.", value=result)
    out, cache = result
    assert_close(np.shape(out), x.shape, what="the shape of out")
    return out, cache


def check_rate(dropped, p, what):
    """The share of True in `dropped` is p, within six standard deviations."""
    bound = 6 * np.sqrt(p * (1 - p) / dropped.size)
    share = float(np.mean(dropped))
    if not abs(share - p) <= bound:
        fail(
            f"{share:.1%} of {what} were dropped; with p = {p} it should be about {p:.0%}.",
            expected=f"{p:.1%}, give or take {bound:.1%}",
            got=f"{share:.1%} of {dropped.size}",
            hint="p is the probability of dropping: draw uniform numbers and drop where they are below p.",
        )


@pytest.mark.question("dropout_forward", weight=2)
def test_dropout_values(student, rng):
    """In train mode every element is either 0 or x / (1 - p), for several p and shapes."""
    for p in RATES:
        dropped = []
        for seed, shape in enumerate(SHAPES):
            x = draw(rng, shape)
            out, _ = forward(student, x, train(p, seed=seed))
            expected = np.where(out == 0, 0.0, x / (1 - p))
            assert_close(out, expected, what=f"out for p = {p}", hint=KEPT)
            dropped.append((out == 0).ravel())
        check_rate(np.concatenate(dropped), p, "168 elements")


@pytest.mark.question("dropout_forward", weight=2)
def test_dropout_rate(student, rng):
    """Each element is dropped with probability p, which need not be one half."""
    for seed, p in enumerate([0.1, 0.3, 0.75]):
        out, _ = forward(student, draw(rng, (100, 200)), train(p, seed=seed))
        check_rate(out == 0, p, "20,000 elements")


@pytest.mark.question("dropout_forward")
def test_dropout_elements_apart(student, rng):
    """Each element is dropped by itself: examples have different masks, and so have features."""
    for shape in ((60, 80), (20, 4, 60)):
        out, _ = forward(student, draw(rng, shape), train(0.4, seed=5))
        dropped = (out == 0).reshape(shape[0], -1)
        hint = "Draw one number for each element: the mask has the shape of x."
        for what, rows in (("examples", dropped), ("features", dropped.T)):
            if len(np.unique(rows, axis=0)) < len(rows):
                fail(f"Several {what} have the same mask.", hint=hint)
            # The shares of the rows scatter as those of independent draws do.
            shares = rows.mean(axis=1)
            deviation = np.sqrt(0.4 * 0.6 / rows.shape[1])
            if not np.abs(shares - 0.4).max() <= 6 * deviation:
                fail(f"Some {what} are dropped far more often than others.", hint=hint)


@pytest.mark.question("dropout_forward")
def test_dropout_test_mode(student, rng):
    """In test mode out is x, whatever p is."""
    for p in (*RATES, 0.0):
        for shape in SHAPES:
            x = draw(rng, shape)
            out, _ = forward(student, x, {"mode": "test", "p": p})
            hint = "Inverted dropout scales during training, so that there is nothing to do at test time."
            assert_close(out, x, what=f"out in test mode for p = {p}", hint=hint)


@pytest.mark.question("dropout_forward")
def test_dropout_nothing_to_drop(student, rng):
    """With p = 0 nothing is dropped in train mode either."""
    x = draw(rng, (8, 9))
    out, _ = forward(student, x, train(0.0, seed=2))
    assert_close(out, x, what="out for p = 0", hint=KEPT)


@pytest.mark.question("dropout_forward")
def test_dropout_seed(student, rng):
    """Equal seeds give equal masks and different seeds different ones."""
    x = draw(rng, (20, 30))
    first, _ = forward(student, x, train(0.3, seed=11))
    again, _ = forward(student, x, train(0.3, seed=11))
    other, _ = forward(student, x, train(0.3, seed=12))
    check_rate(first == 0, 0.3, "600 elements")
    assert_close(
        again, first, what="out for the same seed", hint='Use dropout_param["seed"] where it is given.'
    )
    if np.array_equal(first == 0, other == 0):
        fail("Two seeds give the same mask.", hint='Draw from a generator made with dropout_param["seed"].')


@pytest.mark.question("dropout_forward")
def test_dropout_without_seed(student, rng):
    """Without a seed each call draws another mask, also after a call with a seed."""
    x = draw(rng, (20, 30))
    masks = []
    for _ in range(3):
        out, _ = forward(student, x, train(0.3))
        check_rate(out == 0, 0.3, "600 elements")
        masks.append(out == 0)
    if any(np.array_equal(masks[0], mask) for mask in masks[1:]):
        fail("Two calls without a seed drop the same elements.", hint="Draw a new mask in each call.")


@pytest.mark.question("dropout_forward")
def test_dropout_forward_leaves_inputs(student, rng):
    """x is not modified, in either mode, and float32 is accepted."""
    x = draw(rng, (5, 6))
    for mode in ("train", "test"):
        param = {"mode": mode, "p": 0.4, "seed": 3}
        result, after = student.dropout_forward.keeping(1).after(x, param)
        if not isinstance(result, tuple | list) or len(result) != 2:
            fail("dropout_forward should return out and cache.", value=result)
        assert_close(np.shape(result[0]), x.shape, what="the shape of out")
        assert_close(
            after[0], x, rtol=0, atol=0, what=f"x after a call in {mode} mode", hint="Work on a copy."
        )
        single, _ = forward(student, x.astype(np.float32), param)
        expected = np.where(single == 0, 0.0, x / 0.6) if mode == "train" else x
        assert_close(
            single, expected, rtol=1e-5, atol=1e-6, what=f"out for float32 in {mode} mode", hint=KEPT
        )


# --- backward

SHARED = "Keep the mask in the cache: what was dropped or scaled on the way there is so on the way back."


def check_backward(dx, dout, x, out, p, what="dx"):
    """dx is dout times the mask of the forward pass, which is out / x.

    A forward pass with a wrong factor is paid for in its own question: the right factor is accepted too.
    """
    mask = out / x if close(dx, dout * out / x) else np.where(out == 0, 0.0, 1 / (1 - p))
    assert_close(dx, dout * mask, what=what, hint=SHARED)


def close(dx, expected):
    """Whether dx is as expected, to single precision."""
    return isinstance(dx, np.ndarray) and dx.shape == expected.shape and np.allclose(dx, expected, rtol=1e-5)


@pytest.mark.question("dropout_backward", weight=3)
def test_dropout_backward_mask(student, rng):
    """The gradient passes the mask of the forward pass: 0 where it dropped, scaled where it did not."""
    for p in RATES:
        for shape in SHAPES:
            x, dout = draw(rng, shape), draw(rng, shape)
            out, cache = forward(student, x, train(p))
            check_backward(student.dropout_backward(dout, cache), dout, x, out, p, f"dx for p = {p}")


@pytest.mark.question("dropout_backward")
def test_dropout_backward_test_mode(student, rng):
    """In test mode the gradient passes as it is."""
    for p in RATES:
        x, dout = draw(rng, (4, 5)), draw(rng, (4, 5))
        _, cache = forward(student, x, {"mode": "test", "p": p})
        hint = "In test mode out = x, and so dx = dout."
        assert_close(student.dropout_backward(dout, cache), dout, what="dx in test mode", hint=hint)


@pytest.mark.question("dropout_backward")
def test_dropout_caches(student, rng):
    """Two dropout layers in one network do not share a mask: each backward pass uses its own cache."""
    for order in (1, -1):
        calls = []
        for p in (0.3, 0.3, 0.6):
            x = draw(rng, (12, 10))
            calls.append((x, p, *forward(student, x, train(p))))
        for x, p, out, cache in calls[::order]:
            dout = draw(rng, x.shape)
            check_backward(
                student.dropout_backward(dout, cache), dout, x, out, p, "dx of one of several calls"
            )


@pytest.mark.question("dropout_backward")
def test_dropout_backward_leaves_inputs(student, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    x, dout = draw(rng, (5, 6)), draw(rng, (5, 6))
    for mode in ("train", "test"):
        param = {"mode": mode, "p": 0.4, "seed": 3}
        _, cache = forward(student, x, param)
        dx = assert_unchanged(student.dropout_backward, dout, cache)
        assert_close(np.shape(dx), dout.shape, what=f"the shape of dx in {mode} mode")
        out, cache = forward(student, x.astype(np.float32), param)
        single = student.dropout_backward(dout.astype(np.float32), cache)
        kept = np.where(out == 0, 0.0, 1 / 0.6) if mode == "train" else 1.0
        scaled = out / x if mode == "train" and close(single, dout * out / x) else kept
        assert_close(single, dout * scaled, rtol=1e-5, atol=1e-6, what=f"dx for float32 in {mode} mode")

"""Scores, loss, gradients and answers of the two-layer network, for every size and every penalty."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail

FORWARD = ["nn_forward_pass"]
KEYS = ("W1", "b1", "W2", "b2")
SIZES = [(6, 4, 5, 3), (9, 2, 3, 10), (4, 7, 2, 2), (3, 5, 8, 12), (7, 3, 4, 4), (5, 6, 1, 3)]
"""(N, D, H, C): no two of N, D and H are equal, so that exchanged axes show."""
ONE_PICTURE = [(1, 4, 3, 5), (1, 1, 2, 3), (1, 6, 1, 2)]


def draw(rng, N, D, H, C, absent=()):
    """Parameters, pictures and classes, no hidden unit near its kink; classes in `absent` do not occur."""
    present = np.setdiff1d(np.arange(C), absent)
    y = rng.permutation(np.resize(rng.permutation(present), N))
    while True:
        X = rng.normal(size=(N, D)) + 0.2
        params = {
            "W1": rng.normal(size=(D, H)) / np.sqrt(D),
            "b1": rng.normal(size=H),
            "W2": rng.normal(size=(H, C)) / np.sqrt(H),
            "b2": rng.normal(size=C),
        }
        before = X @ params["W1"] + params["b1"]
        # Some units speak and some are silent, and none is so near its kink that rounding would decide.
        if np.abs(before).min() > 1e-3 and (N * H < 6 or 0.2 < np.mean(before > 0) < 0.8):
            return params, X, y


def several(result, count, text):
    """The results of a function that returns `count` of them."""
    if not isinstance(result, (tuple, list)) or len(result) != count:
        fail(f"The function should return {text}.", value=result)
    return result


def forward(student, params, X):
    return several(student.nn_forward_pass(params, X), 2, "two things: the scores, and the hidden units")


def loss_and_grads(result):
    """The two results with labels."""
    loss, grads = several(result, 2, "with labels two things: the loss, and a dict of gradients")
    if not isinstance(grads, dict) or set(grads) != set(KEYS):
        fail("grads should be a dict with the keys W1, b1, W2 and b2.", value=result)
    return loss, grads


def assert_labels(labels, expected, what="the class numbers", hint=""):
    """The labels are as expected; a list of them does as well as an array."""
    if isinstance(labels, list) and all(isinstance(label, (int, np.integer)) for label in labels):
        labels = np.array(labels)
    assert_close(labels, np.asarray(expected), what=what, hint=hint)


# --- nn_forward_pass


@pytest.mark.question("nn_forward_pass", weight=2)
def test_scores(student, reference, rng):
    """The scores are those of the definition, for any number of pictures, features, units and classes."""
    for sizes in SIZES:
        params, X, _ = draw(rng, *sizes)
        hint = "max(X @ W1 + b1, 0) @ W2 + b2: the ReLU stands between the layers, and not at the end."
        scores, _ = forward(student, params, X)
        assert_close(scores, reference.nn_forward_pass(params, X)[0], what="the scores", hint=hint)


@pytest.mark.question("nn_forward_pass", weight=2)
def test_hidden_units(student, reference, rng):
    """The hidden units come back as they are after the ReLU."""
    for sizes in SIZES:
        params, X, _ = draw(rng, *sizes)
        _, hidden = forward(student, params, X)
        expected = reference.nn_forward_pass(params, X)[1]
        assert_close(hidden, expected, what="hidden", hint="No element is negative after the ReLU.")


@pytest.mark.question("nn_forward_pass")
def test_forward_of_one_picture(student, reference, rng):
    """A single picture is a batch too."""
    for sizes in ONE_PICTURE:
        params, X, _ = draw(rng, *sizes)
        scores, hidden = forward(student, params, X)
        expected, expected_hidden = reference.nn_forward_pass(params, X)
        assert_close(scores, expected, what="the scores")
        assert_close(hidden, expected_hidden, what="hidden")


@pytest.mark.question("nn_forward_pass")
def test_forward_leaves_its_inputs_alone(student, reference, rng):
    """Parameters and pictures are not modified; those of float32 are accepted."""
    params, X, _ = draw(rng, 6, 4, 5, 3)
    expected = reference.nn_forward_pass(params, X)
    text = "the scores, and the hidden units"
    scores, hidden = several(assert_unchanged(student.nn_forward_pass, params, X), 2, text)
    assert_close(scores, expected[0], what="the scores")
    assert_close(hidden, expected[1], what="hidden")
    single = {name: value.astype(np.float32) for name, value in params.items()}
    scores, _ = forward(student, single, X.astype(np.float32))
    assert_close(scores, expected[0], what="the scores of float32", rtol=1e-4, atol=1e-5)


# --- nn_forward_backward


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_without_labels(student, reference, rng):
    """Without labels the scores come back, whatever reg is."""
    for sizes in [SIZES[0], SIZES[1], ONE_PICTURE[0]]:
        params, X, _ = draw(rng, *sizes)
        expected = reference.nn_forward_backward(params, X)
        assert_close(student.nn_forward_backward(params, X), expected, what="the result without labels")
        assert_close(student.nn_forward_backward(params, X, None, 0.8), expected, what="the result with reg")


# The logarithm may hold an epsilon such as 1e-8, hence 1e-6; a wrong factor is off by per cents.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


@pytest.mark.question("nn_forward_backward", weight=2, given=FORWARD)
def test_loss(student, reference, rng):
    """Without a penalty the loss is the mean cross-entropy, one number."""
    for sizes in SIZES:
        params, X, y = draw(rng, *sizes)
        loss, _ = loss_and_grads(student.nn_forward_backward(params, X, y))
        hint = "The mean over the pictures of -log of the right class's probability."
        assert_close(
            loss, float(reference.nn_forward_backward(params, X, y)[0]), what="the loss", hint=hint, **CLOSE
        )


@pytest.mark.question("nn_forward_backward", weight=2, given=FORWARD)
def test_gradients_of_the_second_layer(student, reference, rng):
    """Without a penalty the gradients of W2 and b2 are right in every element."""
    for sizes in SIZES:
        params, X, y = draw(rng, *sizes)
        _, grads = loss_and_grads(student.nn_forward_backward(params, X, y, 0.0))
        check_gradients(
            reference, params, X, y, 0.0, grads, ("W2", "b2"), "hidden.T @ dS, and the sum of its rows."
        )


@pytest.mark.question("nn_forward_backward", weight=3, given=FORWARD)
def test_gradients_of_the_first_layer(student, reference, rng):
    """Without a penalty the gradients of W1 and b1 are right in every element."""
    for sizes in SIZES:
        params, X, y = draw(rng, *sizes)
        _, grads = loss_and_grads(student.nn_forward_backward(params, X, y, 0.0))
        hint = "dS @ W2.T, kept where the hidden unit spoke and 0 where it was silent; then X.T @ dA."
        check_gradients(reference, params, X, y, 0.0, grads, ("W1", "b1"), hint)


def check_gradients(reference, params, X, y, reg, grads, names, hint):
    """The gradients of some parameters are those of the reference."""
    _, expected = reference.nn_forward_backward(params, X, y, reg)
    for name in names:
        assert_close(grads[name], expected[name], what=f"grads[{name!r}]", hint=hint, **CLOSE)


PENALISED = [(0.7, SIZES[0]), (1.0, SIZES[1]), (2.5, SIZES[2]), (0.3, ONE_PICTURE[0])]


@pytest.mark.question("nn_forward_backward", weight=2, given=FORWARD)
def test_penalty_in_the_loss(student, reference, rng):
    """The loss holds the penalty on W1 and on W2, and none on the biases."""
    for reg, sizes in PENALISED:
        params, X, y = draw(rng, *sizes)
        loss, _ = loss_and_grads(student.nn_forward_backward(params, X, y, reg))
        hint = "reg * (sum(W1**2) + sum(W2**2)): no factor 1/2, no mean, no biases."
        expected = float(reference.nn_forward_backward(params, X, y, reg)[0])
        assert_close(loss, expected, what="the loss", hint=hint, **CLOSE)


@pytest.mark.question("nn_forward_backward", weight=2, given=FORWARD)
def test_penalty_in_the_gradients(student, reference, rng):
    """The gradients hold 2 * reg * W for both weights, and nothing for the biases."""
    for reg, sizes in PENALISED:
        params, X, y = draw(rng, *sizes)
        _, grads = loss_and_grads(student.nn_forward_backward(params, X, y, reg))
        _, expected = reference.nn_forward_backward(params, X, y, reg)
        hint = "The derivative of reg * sum(W**2) is 2 * reg * W; biases have no penalty."
        assert_close(grads, expected, what="grads", hint=hint, **CLOSE)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_absent_classes(student, reference, rng):
    """Classes that no picture has, the last one among them, still have scores and gradients."""
    for absent in [(4,), (0,), (1, 3, 4)]:
        params, X, y = draw(rng, 6, 3, 4, 5, absent)
        loss, grads = loss_and_grads(student.nn_forward_backward(params, X, y, 0.2))
        expected = reference.nn_forward_backward(params, X, y, 0.2)
        hint = "The number of classes is the number of columns of W2, whatever y holds."
        assert_close(loss, float(expected[0]), what="the loss", hint=hint, **CLOSE)
        assert_close(grads, expected[1], what="grads", hint=hint, **CLOSE)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_backward_of_one_picture(student, reference, rng):
    """A single picture is a batch too, with gradients in the shapes of the parameters."""
    for sizes in ONE_PICTURE:
        params, X, y = draw(rng, *sizes)
        loss, grads = loss_and_grads(student.nn_forward_backward(params, X, y, 0.4))
        expected = reference.nn_forward_backward(params, X, y, 0.4)
        assert_close(loss, float(expected[0]), what="the loss", **CLOSE)
        assert_close(grads, expected[1], what="grads", **CLOSE)


@pytest.mark.question("nn_forward_backward", weight=2, given=FORWARD)
def test_large_scores(student, reference, rng):
    """An offset of 1000 or -1000 on all scores changes neither the loss nor any other gradient."""
    for signs in [(1, 1, 1), (-1, -1, -1), (1, -1, 0)]:
        params, X, y = draw(rng, 6, 4, 3, 5)
        # One more hidden unit says the first feature, 1, and has the same weight for every class: an offset.
        X[:, 0] = np.resize(signs, 6)
        W1 = np.hstack([params["W1"], np.zeros((4, 2))])
        W1[0] = [0, 0, 0, 1, -1]
        offset = {
            "W1": W1,
            "b1": np.append(params["b1"], [0.05, 0.05]),
            "W2": np.vstack([params["W2"], np.full((1, 5), 1000.0), np.full((1, 5), -1000.0)]),
            "b2": params["b2"],
        }
        plain = {**offset, "W2": np.vstack([params["W2"], np.zeros((2, 5))])}
        loss, grads = loss_and_grads(student.nn_forward_backward(offset, X, y))
        expected_loss, expected = reference.nn_forward_backward(plain, X, y)
        hint = "exp(1000) overflows: subtract each picture's largest score from its scores first."
        what = "the loss with 1000 added to scores or subtracted from them"
        assert_stable(loss, float(expected_loss), what=what, hint=hint, **CLOSE)
        for name in ("b2", "W2"):
            what = f"grads[{name!r}] with 1000 added to scores or subtracted from them"
            assert_stable(grads[name], expected[name], what=what, hint=hint, **CLOSE)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_a_score_far_above_the_others(student, reference, rng):
    """A right class whose score is far above all others costs nothing, and nothing overflows."""
    # exp(725) is too large for a float64; exp(-725) is still above 0, so that no probability vanishes.
    params, X, _ = draw(rng, 5, 4, 3, 4)
    sure = {**params, "W2": np.zeros((3, 4)), "b2": np.array([0.0, 0.0, 725.0, 0.0])}
    y = np.full(5, 2)
    loss, grads = loss_and_grads(student.nn_forward_backward(sure, X, y))
    expected_loss, expected = reference.nn_forward_backward(sure, X, y)
    hint = "Subtract the largest score: the exponents are then 0 or less."
    assert_stable(loss, float(expected_loss), what="the loss", hint=hint, **CLOSE)
    for name in KEYS:
        assert_stable(grads[name], expected[name], what=f"grads[{name!r}]", hint=hint, **CLOSE)


@pytest.mark.question("nn_forward_backward", given=FORWARD)
def test_backward_leaves_its_inputs_alone(student, reference, rng):
    """Parameters, pictures and labels are not modified; those of float32 are accepted."""
    params, X, y = draw(rng, 6, 4, 5, 3)
    expected_loss, expected = reference.nn_forward_backward(params, X, y, 0.3)
    loss, grads = loss_and_grads(assert_unchanged(student.nn_forward_backward, params, X, y, 0.3))
    assert_close(loss, float(expected_loss), what="the loss", **CLOSE)
    assert_close(grads, expected, what="grads", **CLOSE)
    single = {name: value.astype(np.float32) for name, value in params.items()}
    loss, grads = loss_and_grads(student.nn_forward_backward(single, X.astype(np.float32), y, 0.3))
    assert_close(loss, float(expected_loss), what="the loss of float32", rtol=1e-4)
    assert_close(grads, expected, what="grads of float32", rtol=1e-4, atol=1e-5)


# --- nn_predict

ANSWER = [*FORWARD, "nn_forward_backward"]


@pytest.mark.question("nn_predict", weight=2, given=ANSWER)
def test_answers(student, reference, rng):
    """The class with the highest score is returned, for any number of pictures, features and classes."""
    for sizes in [(40, 4, 5, 3), (30, 2, 3, 10), (1, 5, 2, 4), (25, 3, 8, 2)]:
        params, X, _ = draw(rng, *sizes)
        hint = "One number per picture: the index of the largest score in its row."
        expected = reference.nn_predict(params, X)
        assert_labels(student.nn_predict(params, X), expected, hint=hint)
        lower = {**params, "b2": params["b2"] - 50}
        assert_labels(
            student.nn_predict(lower, X), expected, what="the class numbers, all scores negative", hint=hint
        )


@pytest.mark.question("nn_predict", given=ANSWER)
def test_equal_scores(student):
    """Of equal scores the smaller class number wins."""
    scores = np.array(
        [[2.0, 5.0, 5.0, 1.0], [0.0, 0.0, 0.0, 0.0], [7.0, 1.0, 0.0, 7.0], [-1.0, -3.0, -1.0, -1.0]]
    )
    params = {"W1": np.eye(4), "b1": np.zeros(4), "W2": scores, "b2": np.zeros(4)}
    assert_labels(student.nn_predict(params, np.eye(4)), np.array([1, 0, 0, 0]))


@pytest.mark.question("nn_predict", given=ANSWER)
def test_predict_leaves_its_inputs_alone(student, reference, rng):
    """Parameters and pictures are not modified; very large scores are compared as well."""
    params, X, _ = draw(rng, 12, 3, 4, 5)
    expected = reference.nn_predict(params, X)
    assert_labels(assert_unchanged(student.nn_predict, params, X), expected)
    large = {**params, "W2": 1e5 * params["W2"], "b2": 1e5 * params["b2"]}
    hint = "No exponential is needed to find the largest."
    assert_labels(student.nn_predict(large, X), expected, what="the class numbers of large scores", hint=hint)

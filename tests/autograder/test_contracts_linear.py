"""The contract of a linear loss: right implementations keep it, wrong ones break what they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from autograder.checking import (
    CheckFailure,
    LinearLossContract,
    StudentError,
    draw_linear_problem,
    numerical_gradient,
)
from autograder.checking.contracts_linear import KINK_DISTANCE
from autograder.checking.failure import current_student
from autograder.checking.namespace import Namespace
from autograder.checking.proxy import local_student

Loss = Callable[..., Any]

CHECKS = [name.removeprefix("check_") for name in vars(LinearLossContract) if name.startswith("check_")]
SEEDS = range(2)


# --- right implementations


def svm_loops(W: Any, X: Any, y: Any, reg: float) -> Any:
    loss, dW = 0.0, np.zeros(W.shape)
    for x, label in zip(X, y, strict=True):
        scores = x @ W
        for j in range(W.shape[1]):
            margin = scores[j] - scores[label] + 1
            if j != label and margin > 0:
                loss += margin
                dW[:, j] += x
                dW[:, label] -= x
    return loss / len(X) + reg * np.sum(W * W), dW / len(X) + 2 * reg * W


def svm_at_once(W: Any, X: Any, y: Any, reg: float) -> Any:
    rows = np.arange(len(y))
    scores = X @ W
    margins = np.clip(scores - scores[rows, y][:, None] + 1, 0, None)
    margins[rows, y] = 0
    violated = (margins > 0).astype(X.dtype)
    violated[rows, y] = -violated.sum(axis=1)
    return [margins.sum() / len(y) + reg * (W**2).sum(), X.T @ violated / len(y) + 2 * reg * W]


def softmax_at_once(W: Any, X: Any, y: Any, reg: float) -> Any:
    """log(p) of a shifted softmax: right wherever p does not underflow."""
    scores = X @ W
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exp / exp.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean() + reg * np.linalg.norm(W) ** 2
    p[np.arange(len(y)), y] -= 1
    return np.float64(loss), X.T @ p / len(y) + 2 * reg * W


def softmax_log_sum(W: Any, X: Any, y: Any, reg: float) -> Any:
    scores = X.astype(np.float64) @ W.astype(np.float64)
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    one_hot = np.eye(W.shape[1])[y]
    loss = float(-(one_hot * log_p).sum() / len(y) + reg * (W**2).sum())
    return loss, np.einsum("nd,nc->dc", X, np.exp(log_p) - one_hot) / len(y) + reg * W * 2


def softmax_epsilon(W: Any, X: Any, y: Any, reg: float) -> Any:
    """An epsilon inside the logarithm is common, and harmless."""
    exp = np.exp(X @ W - np.max(X @ W, axis=1, keepdims=True))
    p = exp / exp.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y] + 1e-8).mean() + reg * (W**2).sum()
    return loss, X.T @ (p - np.eye(W.shape[1])[y]) / len(y) + 2 * reg * W


def softmax_one_hot(W: Any, X: Any, y: Any, reg: float) -> Any:
    """The logarithm of every probability, of which all but the right ones are multiplied by 0."""
    exp = np.exp(X @ W - np.max(X @ W, axis=1, keepdims=True))
    p, one_hot = exp / exp.sum(axis=1, keepdims=True), np.eye(W.shape[1])[y]
    loss = -np.sum(one_hot * np.log(p)) / len(y) + reg * (W**2).sum()
    return loss, X.T @ (p - one_hot) / len(y) + 2 * reg * W


RIGHT = {
    "svm, loops": (svm_loops, svm_at_once),
    "svm, at once": (svm_at_once, svm_loops),
    "softmax, log p": (softmax_at_once, softmax_log_sum),
    "softmax, log(p + epsilon)": (softmax_epsilon, softmax_log_sum),
    "softmax, one-hot": (softmax_one_hot, softmax_log_sum),
    "softmax, log sum": (softmax_log_sum, softmax_at_once),
}


CONTRACT = LinearLossContract("loss", reference="right", hints={"dW": "Rows are features."})


def check(name: str, function: Any, reference: Loss, seed: int) -> None:
    """One check of the contract, on a function as the student's."""
    names = {"loss": ["W", "X", "y", "reg"]}
    with local_student({"loss": function}, lambda _: False, seed=0, parameter_names=names.get) as student:
        token = current_student.set(student)
        try:
            right = Namespace({"right": reference})
            getattr(CONTRACT, f"check_{name}")(student, right, np.random.default_rng(seed))
        finally:
            current_student.reset(token)


def broken(function: Any, reference: Loss, seed: int) -> set[str]:
    """The checks that the function fails."""
    failed = set()
    for name in CHECKS:
        try:
            check(name, function, reference, seed)
        except (CheckFailure, StudentError):
            failed.add(name)
    return failed


@pytest.mark.parametrize("pair", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("seed", range(8))
def test_right_implementations_keep_it(pair: tuple[Loss, Loss], seed: int) -> None:
    assert broken(*pair, seed) == set()


@pytest.mark.parametrize("function", [svm_loops, svm_at_once, softmax_at_once, softmax_log_sum])
def test_the_implementations_above_are_right(function: Loss) -> None:
    """Their gradients are those of their losses, and W = 0 gives the losses that it must."""
    W, X, y, reg = draw_linear_problem(np.random.default_rng(5), 6, 3, 4, reg=0.8)
    expected = numerical_gradient(lambda w: function(w, X, y, reg)[0], W)
    np.testing.assert_allclose(function(W, X, y, reg)[1], expected, rtol=1e-6, atol=1e-8)
    at_zero = 3.0 if "svm" in function.__name__ else np.log(4)
    assert function(0 * W, X, y, reg)[0] == pytest.approx(at_zero, rel=1e-12)


# --- wrong ones


def changed(
    right: Loss, loss: Callable[..., Any] | None = None, dW: Callable[..., Any] | None = None
) -> Loss:
    """`right` with its loss or its gradient put through a function of (value, W, X, y, reg)."""

    def wrong(W: Any, X: Any, y: Any, reg: float) -> Any:
        value, gradient = right(W, X, y, reg)
        return (
            loss(value, W, X, y, reg) if loss else value,
            dW(gradient, W, X, y, reg) if dW else gradient,
        )

    return wrong


def penalty(W: Any, reg: float) -> Any:
    return reg * np.sum(W**2)


def ten_classes(W: Any, X: Any, y: Any, reg: float) -> Any:
    loss, _ = softmax_at_once(W, X, y, reg)
    dW = np.zeros((len(W), 10))
    dW[:, : W.shape[1]] = softmax_at_once(W, X, y, reg)[1][:, :10]
    return loss, dW


def classes_of_the_batch(W: Any, X: Any, y: Any, reg: float) -> Any:
    return softmax_at_once(W[:, : y.max() + 1], X, y, reg)


def overflowing(W: Any, X: Any, y: Any, reg: float) -> Any:
    with np.errstate(all="ignore"):
        exp = np.exp(X @ W)
        p = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
        return loss, X.T @ (p - np.eye(W.shape[1])[y]) / len(y) + 2 * reg * W


def largest_of_the_batch(W: Any, X: Any, y: Any, reg: float) -> Any:
    """Subtracts the largest score of the whole batch."""
    scores = X @ W
    with np.errstate(all="ignore"):
        exp = np.exp(scores - scores.max())
        p = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
    return loss, X.T @ (p - np.eye(W.shape[1])[y]) / len(y) + 2 * reg * W


def smallest_subtracted(W: Any, X: Any, y: Any, reg: float) -> Any:
    scores = X @ W
    with np.errstate(all="ignore"):
        exp = np.exp(scores - scores.min(axis=1, keepdims=True))
        p = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
    return loss, X.T @ (p - np.eye(W.shape[1])[y]) / len(y) + 2 * reg * W


def centring_in_place(W: Any, X: Any, y: Any, reg: float) -> Any:
    result = softmax_at_once(W, X, y, reg)
    X -= X.mean(axis=0)
    return result


def double_only(W: Any, X: Any, y: Any, reg: float) -> Any:
    if W.dtype != np.float64:
        raise TypeError("float64 was expected")
    return softmax_at_once(W, X, y, reg)


def more_than_one(W: Any, X: Any, y: Any, reg: float) -> Any:
    """Divides by N - 1."""
    loss, dW = softmax_at_once(W, X, y, 0.0)
    factor = len(y) / max(len(y) - 1, 1)
    return factor * loss + penalty(W, reg), factor * dW + 2 * reg * W


LOSS = {"loss", "penalty_in_loss", "loss_is_one_number"}
GRADIENT = {"gradient", "penalty_in_gradient"}
BOTH = {"absent_classes", "offsets", "distant_class", "float32", "inputs_unchanged"}
PENALISED_BOTH = BOTH - {"offsets", "distant_class"} | {"batch_of_one"}
WRONG = {
    "a loss of shape (1,)": (
        changed(softmax_at_once, loss=lambda value, *_: np.array([value])),
        LOSS | BOTH | {"batch_of_one"},
    ),
    "half of the gradient": (
        changed(softmax_at_once, dW=lambda dW, *_: dW / 2),
        GRADIENT | BOTH | {"batch_of_one"},
    ),
    "elements of the gradient are off by 1 %": (
        changed(softmax_at_once, dW=lambda dW, *_: dW * (1 + 0.01 * np.eye(*dW.shape, k=1))),
        GRADIENT | BOTH | {"batch_of_one"},
    ),
    "no penalty in the loss": (
        changed(softmax_at_once, loss=lambda value, W, X, y, reg: value - penalty(W, reg)),
        {"penalty_in_loss", "loss_is_one_number"} | PENALISED_BOTH,
    ),
    "no penalty in the gradient": (
        changed(softmax_at_once, dW=lambda dW, W, X, y, reg: dW - 2 * reg * W),
        {"penalty_in_gradient"} | PENALISED_BOTH,
    ),
    "half of the penalty": (
        changed(
            softmax_at_once,
            loss=lambda value, W, X, y, reg: value - penalty(W, reg) / 2,
            dW=lambda dW, W, X, y, reg: dW - reg * W,
        ),
        {"penalty_in_loss", "penalty_in_gradient", "loss_is_one_number"} | PENALISED_BOTH,
    ),
    "the penalty spares the first row": (
        changed(softmax_at_once, dW=lambda dW, W, X, y, reg: np.vstack([dW[:1] - 2 * reg * W[:1], dW[1:]])),
        {"penalty_in_gradient"} | PENALISED_BOTH,
    ),
    "ten classes hard-coded": (ten_classes, GRADIENT | BOTH | {"batch_of_one"}),
    "as many classes as the batch has": (classes_of_the_batch, None),
    "no maximum subtracted": (overflowing, {"offsets"}),
    "the smallest score subtracted": (smallest_subtracted, {"distant_class"}),
    "the maximum of the whole batch subtracted": (largest_of_the_batch, {"offsets"}),
    "X centred in place": (centring_in_place, {"inputs_unchanged"}),
    "no float32": (double_only, {"float32"}),
    "divided by N - 1": (more_than_one, LOSS | GRADIENT | BOTH),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_implementations_break_what_they_should(name: str, seed: int) -> None:
    function, expected = WRONG[name]
    found = broken(function, softmax_log_sum, seed)
    if expected is None:  # which other checks lack a class by chance depends on the draw
        assert "absent_classes" in found
    else:
        assert found == expected


@pytest.mark.parametrize("answer", [None, (), 0.0, (1.0,), (None, None), "loss"], ids=repr)
def test_an_answer_that_is_none_passes_nothing(answer: Any) -> None:
    assert broken(lambda *args: answer, svm_loops, 0) == set(CHECKS)


def test_an_object_equal_to_everything_passes_nothing() -> None:
    class Agreeable:
        def __eq__(self, other: object) -> bool:
            return True

        def __iter__(self) -> Iterator[Any]:
            return iter((self, self))

        __hash__ = None  # type: ignore[assignment]

    assert broken(lambda *args: Agreeable(), svm_loops, 0) == set(CHECKS)
    assert len(broken(lambda *args: (Agreeable(), Agreeable()), svm_loops, 0)) == len(CHECKS)


def test_a_failure_says_what_is_wrong() -> None:
    with pytest.raises(CheckFailure) as caught:
        check("gradient", changed(svm_at_once, dW=lambda dW, *_: dW.T), svm_loops, 0)
    finding = caught.value.finding
    assert "dW" in finding.headline and "(4, 3)" in finding.headline and "(3, 4)" in finding.headline
    assert finding.hint == "Rows are features."
    assert "float64 array (4, 3)" in finding.call and "float64 array (6, 4)" in finding.call
    with pytest.raises(CheckFailure) as caught:
        check("offsets", overflowing, softmax_log_sum, 0)
    assert "with +1000 on all scores" in caught.value.finding.headline
    assert "largest score" in caught.value.finding.hint


@pytest.mark.parametrize("other", [svm_at_once, softmax_at_once])
def test_two_functions_of_the_student_are_compared(other: Loss) -> None:
    with local_student({"naive": svm_loops, "fast": other}, lambda _: False, seed=0) as student:
        contract = LinearLossContract("fast", reference="naive")
        if other is svm_at_once:
            contract.check_loss(student, student, np.random.default_rng(0))
        else:
            with pytest.raises(CheckFailure):
                contract.check_loss(student, student, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(10))
def test_drawn_problems(seed: int) -> None:
    rng = np.random.default_rng(seed)
    W, X, y, reg = draw_linear_problem(rng, 8, 5, 4, reg=1.5, absent=(0, 2))
    assert W.shape == (5, 4)
    assert X.shape == (8, 5)
    assert set(y.tolist()) == {1, 3}
    assert reg == 1.5
    scores = X @ W
    wrong_class = np.arange(4) != y[:, None]
    margins = (scores - scores[np.arange(8), y][:, None] + 1)[wrong_class]
    assert np.abs(margins).min() > KINK_DISTANCE
    assert 0.2 < np.mean(margins > 0) < 0.98  # both sides of the hinge occur

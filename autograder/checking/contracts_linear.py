"""What every loss of a linear classifier must satisfy, as checks that a suite calls one by one.

A linear loss is a function `(W, X, y, reg) -> (loss, dW)`: W of shape (D, C), X of shape (N, D), y of shape
(N,) with class numbers from 0 to C - 1, `loss` one number, `dW` of shape (D, C). A suite names the student's
function and a right one; the contract draws the problems.

    contract = LinearLossContract(student.svm_loss_vectorized, reference.svm_loss_naive, rng)
    contract.check_loss()
    contract.check_gradient()
    contract.check_absent_classes()

The right one may be any other implementation: that is how naive = vectorized is checked where both are to be
had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autograder.checking.assertions import assert_close, assert_stable, assert_unchanged
from autograder.checking.describe import brief
from autograder.checking.failure import fail
from autograder.checking.proxy import Function

FloatArray = NDArray[np.floating[Any]]

SHAPES = ((6, 4, 3), (9, 2, 5), (4, 7, 2), (3, 5, 10), (7, 3, 12))
"""(N, D, C): no two of a triple are equal, so that exchanged axes show; two classes, ten, more than ten."""

PENALISED = ((0.7, (6, 4, 3)), (1.0, (9, 2, 5)), (2.5, (3, 5, 10)))
"""(reg, (N, D, C)): penalties of order 1, so that no tolerance hides a wrong one."""

KINK_DISTANCE = 1e-3
"""No margin of a drawn problem is closer than this to the kink of the hinge, where rounding would decide."""


class LinearProblem(NamedTuple):
    """The arguments of one call of a linear loss, in their order."""

    W: FloatArray
    """Weights, shape (D, C)."""
    X: FloatArray
    """Examples, shape (N, D)."""
    y: NDArray[np.int64]
    """Class numbers from 0 to C - 1, shape (N,)."""
    reg: float
    """Strength of the penalty."""


def draw_linear_problem(
    rng: np.random.Generator,
    num_examples: int,
    num_features: int,
    num_classes: int,
    *,
    reg: float = 0.0,
    absent: Sequence[int] = (),
) -> LinearProblem:
    """Draw a problem whose scores have a standard deviation of about 2, so that some margins are violated and
    others are not.

    Args:
        rng: the test's generator.
        num_examples: N, at least 1.
        num_features: D, at least 1.
        num_classes: C, at least 2.
        reg: strength of the penalty.
        absent: class numbers that no example has.

    Returns:
        Float64 W and X, int64 y. Every class that is not absent occurs where N allows it. No margin
        s_j - s_y + 1 of a wrong class j lies within `KINK_DISTANCE` of 0.
    """
    present = np.setdiff1d(np.arange(num_classes), np.asarray(absent, dtype=np.int64))
    repeated = np.resize(rng.permutation(present), num_examples)
    y = rng.permutation(repeated).astype(np.int64)
    while True:
        X = rng.normal(size=(num_examples, num_features)) + 0.3
        W = rng.normal(size=(num_features, num_classes)) * 2 / np.sqrt(num_features)
        scores = X @ W
        margins = scores - scores[np.arange(num_examples), y][:, np.newaxis] + 1
        if np.abs(margins).min() > KINK_DISTANCE:  # the margin of the right class is 1
            return LinearProblem(W, X, y, reg)


class LinearLossContract:
    """Checks of one linear loss; each raises `CheckFailure` where the function breaks the contract.

    Args:
        function: the student's `(W, X, y, reg) -> (loss, dW)`.
        reference: a right implementation of the same loss.
        rng: the test's generator.
    """

    def __init__(
        self,
        function: Function,
        reference: Callable[..., tuple[Any, Any]],
        rng: np.random.Generator,
    ) -> None:
        self._function = function
        self._reference = reference
        self._rng = rng

    def check_loss(self, shapes: Sequence[tuple[int, int, int]] = SHAPES, hint: str = "") -> None:
        """Without a penalty, the loss equals the reference's for every (N, D, C) in `shapes`."""
        for shape in shapes:
            self._compare(draw_linear_problem(self._rng, *shape), ("loss",), hint)

    def check_gradient(self, shapes: Sequence[tuple[int, int, int]] = SHAPES, hint: str = "") -> None:
        """Without a penalty, dW equals the reference's in every coordinate, for every (N, D, C)."""
        for shape in shapes:
            self._compare(draw_linear_problem(self._rng, *shape), ("dW",), hint)

    def check_penalty_in_loss(self, hint: str = "") -> None:
        """The loss holds the penalty."""
        for reg, shape in PENALISED:
            problem = draw_linear_problem(self._rng, *shape, reg=reg)
            self._compare(problem, ("loss",), hint or "The penalty is reg times the sum of all W squared.")

    def check_penalty_in_gradient(self, hint: str = "") -> None:
        """dW holds the derivative of the penalty."""
        for reg, shape in PENALISED:
            problem = draw_linear_problem(self._rng, *shape, reg=reg)
            self._compare(problem, ("dW",), hint or "The derivative of reg * sum(W**2) is 2 * reg * W.")

    def check_absent_classes(self, hint: str = "") -> None:
        """Classes that no example of the batch has, the last one among them, still have scores and a
        gradient.
        """
        for (num_examples, num_features, num_classes), absent in (
            ((6, 3, 4), (3,)),
            ((5, 4, 3), (0,)),
            ((8, 2, 7), (1, 5, 6)),
        ):
            problem = draw_linear_problem(
                self._rng, num_examples, num_features, num_classes, reg=0.5, absent=absent
            )
            hint = hint or "The number of classes is the number of columns of W, whatever labels y holds."
            self._compare(problem, ("loss", "dW"), hint)

    def check_batch_of_one(self, hint: str = "") -> None:
        """A single example is a batch too."""
        for shape in ((1, 4, 3), (1, 2, 10), (1, 1, 2)):
            self._compare(draw_linear_problem(self._rng, *shape, reg=0.5), ("loss", "dW"), hint)

    def check_offsets(self, offsets: Sequence[float] = (1000.0, -1000.0), hint: str = "") -> None:
        """An offset on all scores changes neither loss nor gradient, however large it is.

        The gaps between scores stay as they were: a softmax whose smallest probability underflows to 0, as
        it does for gaps beyond 745, is not judged here.
        """
        for offset in offsets:
            W, X, y, reg = draw_linear_problem(self._rng, 6, 4, 5)
            X[:, 0] = 1.0  # a feature that is 1 everywhere: its row of W is added to all scores
            raised = W.copy()
            raised[0] += offset
            expected = _pair(self._reference(W, X, y, reg))
            got = _pair(self._function(raised, X, y, reg))
            where = f"with {offset:+g} on all scores"
            hint = hint or "exp(1000) overflows: subtract each example's largest score from its scores first."
            # The scores carry 13 digits behind the point, of which sums over classes cost one or two.
            for name, value, wanted in zip(("the loss", "dW"), got, expected, strict=True):
                assert_stable(value, wanted, what=f"{name} {where}", hint=hint, rtol=1e-7, atol=1e-9)

    def check_single_precision(self, hint: str = "") -> None:
        """float32 weights and examples are accepted and give the same to single precision."""
        for shape in ((6, 4, 3), (5, 3, 10)):
            W, X, y, reg = draw_linear_problem(self._rng, *shape, reg=0.5)
            single = LinearProblem(W.astype(np.float32), X.astype(np.float32), y, reg)
            self._compare(single, ("loss", "dW"), hint, rtol=1e-4, atol=1e-5)

    def check_inputs_unchanged(self, hint: str = "") -> None:
        """W, X and y are after the call as they were before; the result is right all the same."""
        problem = draw_linear_problem(self._rng, 5, 4, 3, reg=0.5)
        got = _pair(assert_unchanged(self._function, *problem))
        expected = _pair(self._reference(*problem))
        for name, value, wanted in zip(("the loss", "dW"), got, expected, strict=True):
            assert_close(value, wanted, what=name, hint=hint)

    def check_loss_is_one_number(self, hint: str = "") -> None:
        """The loss is a single number, shape (), also for a batch of one and for a single feature."""
        for shape in ((4, 3, 5), (1, 3, 4), (5, 1, 3)):
            problem = draw_linear_problem(self._rng, *shape, reg=0.5)
            default = "Sum over classes and examples, then divide by N: one number for the whole batch."
            self._compare(problem, ("loss",), hint or default)

    def _compare(self, problem: LinearProblem, parts: Sequence[str], hint: str, **tolerance: float) -> None:
        got = _pair(self._function(*problem))
        expected = _pair(self._reference(*problem))
        for name, value, wanted in zip(("loss", "dW"), got, expected, strict=True):
            if name in parts:
                what = "the loss" if name == "loss" else name
                assert_close(value, wanted, what=what, hint=hint, **tolerance)


def _pair(result: Any) -> tuple[Any, Any]:
    """Loss and gradient, or a failure that says what came instead."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail(
            "The function should return two things: the loss, and dW.",
            expected="(loss, dW)", got=brief(result), value=result,
        )  # fmt: skip
    return result[0], result[1]

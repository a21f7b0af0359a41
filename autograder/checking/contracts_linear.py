"""What every loss of a linear classifier must satisfy: `loss(W, X, y, reg) -> (loss, dW)`.

W has shape (D, C), X shape (N, D), y shape (N,) with class numbers from 0 to C - 1; `loss` is one number,
`dW` has the shape of W. A suite describes the loss once and calls one aspect of the contract in each test:

    SVM = LinearLossContract("svm_loss_vectorized", reference="svm_loss_naive")

    @pytest.mark.question("svm_loss_vectorized", weight=2)
    def test_svm_gradient(student, reference, rng):
        '''Without a penalty dW is right in every element, for several numbers of classes.'''
        SVM.check_gradient(student, reference, rng)

With the student in place of the reference, an aspect compares two functions of the student's own: naive =
vectorized, where no solution is at hand. No aspect can be passed by a function that returns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autograder.checking.assertions import assert_close, assert_stable, assert_unchanged
from autograder.checking.contracts_layers import unpack
from autograder.checking.namespace import Namespace
from autograder.checking.proxy import Student

FloatArray = NDArray[np.floating[Any]]

SHAPES = ((6, 4, 3), (9, 2, 5), (4, 7, 2), (3, 5, 10), (7, 3, 12))
"""(N, D, C): no two of a triple are equal, so that exchanged axes show; two classes, ten, more than ten."""

PENALISED = ((0.7, (6, 4, 3)), (1.0, (9, 2, 5)), (2.5, (3, 5, 10)))
"""(reg, (N, D, C)): penalties of order 1, so that no tolerance hides a wrong one."""

ABSENT = (((6, 3, 4), (3,)), ((5, 4, 3), (0,)), ((8, 2, 7), (1, 5, 6)))
"""((N, D, C), class numbers that no example has)."""

OFFSETS = {
    "+1000 on all scores": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "-1000 on all scores": (-1.0, -1.0, -1.0, -1.0, -1.0, -1.0),
    "+1000 on the scores of some examples and -1000 on those of others": (1.0, -1.0, 1.0, 0.0, -1.0),
}
"""In thousands, one for each example."""

RTOL, ATOL = 1e-5, 1e-7
"""Tight enough for a 1 % error in one element, wide enough for a logarithm of p + 1e-8."""

PARTS = ("loss", "dW")
NAMES = {"loss": "the loss", "dW": "dW"}

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
    """Draw a problem whose scores have a standard deviation of about 1: some margins are violated, others are
    not, and no probability is so small that an epsilon inside a logarithm would matter.

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
    W = rng.normal(size=(num_features, num_classes)) / np.sqrt(num_features)
    X = np.zeros((num_examples, num_features))
    rows = np.arange(num_examples)
    near = rows
    while near.size:
        X[near] = rng.normal(size=(near.size, num_features)) + 0.3
        scores = X @ W
        margins = scores - scores[rows, y][:, np.newaxis] + 1  # that of the right class is 1
        near = np.flatnonzero(np.abs(margins).min(axis=1) <= KINK_DISTANCE)
    return LinearProblem(W, X, y, reg)


@dataclass(frozen=True)
class LinearLossContract:
    """A loss with its gradient, `function(W, X, y, reg) -> (loss, dW)`.

    Each check draws its own problems and raises `CheckFailure` where the function breaks the contract.
    """

    function: str
    """Name of the student's function."""
    reference: str = ""
    """Name of a right function for the same loss, where it is another one (a naive version proves
    a vectorized one)."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """Where to look, by name: "loss" and "dW"."""

    def check_loss(self, student: Student, reference: Namespace | Student, rng: np.random.Generator) -> None:
        """Without a penalty the loss is right, for every (N, D, C) in `SHAPES`."""
        for shape in SHAPES:
            self._check(student, reference, draw_linear_problem(rng, *shape), ("loss",))

    def check_gradient(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """Without a penalty dW is right in every element, for every (N, D, C) in `SHAPES`."""
        for shape in SHAPES:
            self._check(student, reference, draw_linear_problem(rng, *shape), ("dW",))

    def check_penalty_in_loss(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """The loss holds the penalty."""
        hint = "The penalty is reg times the sum of all W squared."
        for reg, shape in PENALISED:
            self._check(student, reference, draw_linear_problem(rng, *shape, reg=reg), ("loss",), hint)

    def check_penalty_in_gradient(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """dW holds the derivative of the penalty."""
        hint = "The derivative of reg * sum(W**2) is 2 * reg * W."
        for reg, shape in PENALISED:
            self._check(student, reference, draw_linear_problem(rng, *shape, reg=reg), ("dW",), hint)

    def check_absent_classes(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """Classes that no example has, the last one among them, still have scores and a gradient."""
        hint = "The number of classes is the number of columns of W, whatever labels y holds."
        for shape, absent in ABSENT:
            problem = draw_linear_problem(rng, *shape, reg=0.5, absent=absent)
            self._check(student, reference, problem, PARTS, hint)

    def check_batch_of_one(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """A single example is a batch too."""
        for shape in ((1, 4, 3), (1, 2, 10), (1, 1, 2)):
            self._check(student, reference, draw_linear_problem(rng, *shape, reg=0.5), PARTS)

    def check_offsets(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """An offset of 1000 or -1000 on all scores of an example changes neither loss nor gradient, be it the
        same for all examples or not.

        The gaps between the scores of an example stay as they were: a softmax whose smallest probability
        underflows to 0, as it does for gaps beyond 745, is not judged.
        """
        hint = "exp(1000) overflows: subtract each example's largest score from its scores first."
        for where, offsets in OFFSETS.items():
            W, X, y, reg = draw_linear_problem(rng, len(offsets), 4, 5)
            # The row of W that belongs to the first feature is the same for all classes: an offset.
            X[:, 0], W[0] = offsets, 0.0
            raised = W.copy()
            raised[0] = 1000.0
            expected = self._expected(reference, LinearProblem(W, X, y, reg))
            got = self._unpack(getattr(student, self.function)(raised, X, y, reg))
            for name in PARTS:
                what = f"{NAMES[name]} with {where}"
                assert_stable(got[name], expected[name], what=what, hint=hint, rtol=RTOL, atol=ATOL)

    def check_distant_class(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """A class that no example has, and whose scores are 725 below all others, overflows nothing.

        exp(725) is infinite and exp(-725) is not yet 0, so that neither a form that takes the logarithm of
        every probability nor one that forms them all is rejected.
        """
        hint = "Subtract the largest score, not the smallest or the mean: then no exponent is above 0."
        W, X, y, reg = draw_linear_problem(rng, 6, 4, 5, absent=(2,))
        X[:, 0] = 1.0
        W[0, 2] -= 725.0
        got = self._unpack(getattr(student, self.function)(W, X, y, reg))
        expected = self._expected(reference, LinearProblem(W, X, y, reg))
        for name in PARTS:
            what = f"{NAMES[name]} with one class far below the others"
            assert_stable(got[name], expected[name], what=what, hint=hint, rtol=RTOL, atol=ATOL)

    def check_float32(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """float32 arrays give the same to single precision; loss and dW may be float32 or float64."""
        for shape in ((6, 4, 3), (5, 3, 10)):
            W, X, y, reg = draw_linear_problem(rng, *shape, reg=0.5)
            single = LinearProblem(W.astype(np.float32), X.astype(np.float32), y, reg)
            self._check(student, reference, single, PARTS, rtol=1e-4, atol=1e-5)

    def check_inputs_unchanged(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """W, X and y are after the call as they were before. Loss and dW are right."""
        problem = draw_linear_problem(rng, 5, 4, 3, reg=0.5)
        got = self._unpack(assert_unchanged(getattr(student, self.function), *problem))
        self._compare(got, self._expected(reference, problem), PARTS)

    def check_loss_is_one_number(
        self, student: Student, reference: Namespace | Student, rng: np.random.Generator
    ) -> None:
        """The loss is a single number, shape (), also for a batch of one and for a single feature."""
        hint = "Sum over classes and examples, then divide by N: one number for the whole batch."
        for shape in ((4, 3, 5), (1, 3, 4), (5, 1, 3)):
            self._check(student, reference, draw_linear_problem(rng, *shape, reg=0.5), ("loss",), hint)

    def _check(
        self,
        student: Student,
        reference: Namespace | Student,
        problem: LinearProblem,
        parts: Sequence[str],
        hint: str = "",
        rtol: float = RTOL,
        atol: float = ATOL,
    ) -> None:
        got = self._unpack(getattr(student, self.function)(*problem))
        self._compare(got, self._expected(reference, problem), parts, hint, rtol, atol)

    def _expected(self, reference: Namespace | Student, problem: LinearProblem) -> dict[str, Any]:
        return self._unpack(getattr(reference, self.reference or self.function)(*problem))

    def _compare(
        self,
        got: dict[str, Any],
        expected: dict[str, Any],
        parts: Sequence[str],
        hint: str = "",
        rtol: float = RTOL,
        atol: float = ATOL,
    ) -> None:
        for name in parts:
            where = hint or self.hints.get(name, "")
            assert_close(got[name], expected[name], what=NAMES[name], hint=where, rtol=rtol, atol=atol)

    def _unpack(self, result: Any) -> dict[str, Any]:
        return dict(zip(PARTS, unpack(result, self.function, PARTS), strict=True))

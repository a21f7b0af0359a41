"""What every layer must satisfy: a forward and a backward function that belong together.

A suite describes a layer once (its two functions, the names of its gradients, how to draw arguments) and then
calls one aspect of the contract in each test, so that each aspect has its own sentence:

    AFFINE = LayerContract("affine_forward", "affine_backward", ("dx", "dw", "db"), draw_affine)

    @pytest.mark.question("affine_backward", weight=2)
    def test_affine_dw(student, reference, rng):
        '''dw is right in every element, for inputs of several shapes.'''
        AFFINE.check_gradients(student, reference, rng, CASES, ["dw"])

No aspect can be passed by a function that returns nothing, and none looks into a cache: caches stay in the
worker, whatever their type.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autograder.checking.assertions import assert_close
from autograder.checking.describe import brief
from autograder.checking.failure import fail
from autograder.checking.namespace import Namespace
from autograder.checking.proxy import Student

Case = TypeVar("Case")
Draw = Callable[[np.random.Generator, Any], Sequence[Any]]
"""Draws the positional arguments of the forward function for one case of a suite: `draw(rng, case)`."""

CACHE_HINT = "Everything the backward pass needs belongs in the cache, not in a global variable."
COPY_HINT = "Work on a copy: the caller still needs the original."


@dataclass(frozen=True)
class LayerContract:
    """A pair of functions, `forward(*arguments) -> (out, cache)` and `backward(dout, cache) -> gradients`.

    The arguments that have a gradient come first, in the order of their gradients, unless `arguments` names
    them. Arrays are drawn in float64, away from kinks and ties, the examples of a batch along axis 0 of the
    first argument, or of those in `batch`.

    A layer with several outputs, `forward(*arguments) -> (next_h, next_c, cache)`, names them in `outputs`;
    backward then takes one upstream gradient for each, `backward(dnext_h, dnext_c, cache)`, or for the first
    `upstreams` of them.
    """

    forward: str
    """Name of the student's forward function."""
    backward: str
    """Name of the student's backward function."""
    gradients: tuple[str, ...]
    """("dx", "dw", "db"): the gradients in the order in which backward returns them. A single one is returned
    bare, not in a tuple."""
    draw: Draw
    reference: tuple[str, str] | None = None
    """The reference's two functions, where their names differ (a fast version proves a naive one)."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """Where to look, by name: "out" and the gradients."""
    may_change: tuple[int, ...] = ()
    """Positions of arguments that forward is meant to write into, such as the `bn_param` of batch norm."""
    outputs: tuple[str, ...] = ("out",)
    """The names of what forward returns before the cache."""
    upstreams: int | None = None
    """How many of the outputs, from the front, have an upstream gradient; None for all of them."""
    batch: tuple[int, ...] = (0,)
    """Positions of the arguments that hold a batch along axis 0."""
    arguments: tuple[str, ...] = ()
    """The names of forward's arguments, where they do not follow from those of the gradients."""
    rtol: float = 1e-7
    atol: float = 1e-9
    """Tolerances in float64, as in `assert_close`."""

    # --- forward

    def check_values(
        self,
        student: Student,
        reference: Namespace,
        rng: np.random.Generator,
        cases: Sequence[Case],
        *,
        hint: str = "",
    ) -> None:
        """`out` equals the reference's, for each case."""
        for case in cases:
            self._check_out(student, reference, list(self.draw(rng, case)), "", hint)

    def check_batch_of_one(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """`out` is right, and keeps its batch axis, when the first argument holds a single example."""
        for case in cases:
            arguments = first_example(self.draw(rng, case), self.batch)
            self._check_out(student, reference, arguments, " for a batch of one")

    def check_float32(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """float32 arrays give the same `out`, to single precision; it may be float32 or float64."""
        for case in cases:
            single = in_float32(self.draw(rng, case))
            outputs, _ = self._forward(student, single)
            expected, _ = self._expected(reference, in_float64(single))
            for name, out, wanted in zip(self.outputs, outputs, expected, strict=True):
                what = f"{name} for float32"
                assert_close(out, wanted, rtol=1e-4, atol=1e-5, what=what, hint=self._hint(name, ""))

    def check_inputs_unchanged(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """Forward does not write into its arguments, `may_change` apart. `out` has the right shape."""
        function = getattr(student, self.forward).keeping(len(self.outputs))
        for case in cases:
            arguments = list(self.draw(rng, case))
            result, after = function.after(*arguments)
            *outputs, _ = unpack(result, self.forward, (*self.outputs, "cache"))
            expected, _ = self._expected(reference, arguments)
            for name, out, wanted in zip(self.outputs, outputs, expected, strict=True):
                assert_close(np.shape(out), np.shape(wanted), what=f"the shape of {name}")
            for position, (before, now) in enumerate(zip(arguments, after, strict=True)):
                if position not in self.may_change:
                    what = f"{self._argument(position)} after {self.forward}"
                    assert_close(now, before, rtol=0, atol=0, what=what, hint=COPY_HINT)

    # --- backward

    def check_gradients(
        self,
        student: Student,
        reference: Namespace,
        rng: np.random.Generator,
        cases: Sequence[Case],
        names: Sequence[str] | None = None,
        *,
        hint: str = "",
    ) -> None:
        """The gradients (of `names`, or all) equal the reference's analytic ones, in every element.

        The upstream gradient is not uniform and does not sum to zero. The student's forward gives no more
        than its cache, so that a wrong `out` does not cost the backward as well.
        """
        for case in cases:
            self._check_gradients(student, reference, rng, list(self.draw(rng, case)), names, hint)

    def check_gradients_batch_of_one(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """All gradients are right when the first argument holds a single example."""
        for case in cases:
            arguments = first_example(self.draw(rng, case), self.batch)
            self._check_gradients(student, reference, rng, arguments, what=" for a batch of one")

    def check_gradients_float32(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """float32 arrays give the same gradients, to single precision."""
        for case in cases:
            single = in_float32(self.draw(rng, case))
            _, cache = self._forward(student, single)
            outputs, expected_cache = self._expected(reference, in_float64(single))
            douts = [dout.astype(np.float32) for dout in self._upstreams(rng, outputs)]
            expected = self._expected_gradients(reference, in_float64(douts), expected_cache)
            got = self._gradients(student, douts, cache)
            for name, gradient in expected.items():
                assert_close(got[name], gradient, rtol=1e-3, atol=1e-4, what=f"{name} for float32")

    def check_upstream_unchanged(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """Backward does not write into the upstream gradient. The gradients have the right shapes."""
        function = getattr(student, self.backward)
        for case in cases:
            arguments = list(self.draw(rng, case))
            _, cache = self._forward(student, arguments)
            outputs, expected_cache = self._expected(reference, arguments)
            douts = self._upstreams(rng, outputs)
            expected = self._expected_gradients(reference, douts, expected_cache)
            result, after = function.after(*douts, cache)
            for name, gradient in self._named(result).items():
                assert_close(np.shape(gradient), np.shape(expected[name]), what=f"the shape of {name}")
            for name, dout, now in zip(self.outputs, douts, after, strict=False):
                what = f"d{name} after {self.backward}"
                assert_close(now, dout, rtol=0, atol=0, what=what, hint=COPY_HINT)

    def check_interleaved(
        self, student: Student, reference: Namespace, rng: np.random.Generator, cases: Sequence[Case]
    ) -> None:
        """Each cache belongs to the call that made it: several forward passes, two for each case, and then
        their backward passes, in the same order and in the opposite one, as networks have them.
        """
        for order in (1, -1):
            calls = [list(self.draw(rng, case)) for case in cases for _ in range(2)]
            caches = [self._forward(student, arguments)[1] for arguments in calls]
            for arguments, cache in list(zip(calls, caches, strict=True))[::order]:
                outputs, expected_cache = self._expected(reference, arguments)
                douts = self._upstreams(rng, outputs)
                expected = self._expected_gradients(reference, douts, expected_cache)
                got = self._gradients(student, douts, cache)
                for name, gradient in expected.items():
                    what = f"{name} of one of several calls"
                    assert_close(
                        got[name], gradient, rtol=self.rtol, atol=self.atol, what=what, hint=CACHE_HINT
                    )

    # --- the two functions, the student's and the reference's

    def _check_out(
        self, student: Student, reference: Namespace, arguments: list[Any], what: str, hint: str = ""
    ) -> None:
        outputs, _ = self._forward(student, arguments)
        expected, _ = self._expected(reference, arguments)
        for name, out, wanted in zip(self.outputs, outputs, expected, strict=True):
            assert_close(
                out, wanted, rtol=self.rtol, atol=self.atol, what=name + what, hint=self._hint(name, hint)
            )

    def _check_gradients(
        self,
        student: Student,
        reference: Namespace,
        rng: np.random.Generator,
        arguments: list[Any],
        names: Sequence[str] | None = None,
        hint: str = "",
        what: str = "",
    ) -> None:
        outputs, expected_cache = self._expected(reference, arguments)
        douts = self._upstreams(rng, outputs)
        expected = self._expected_gradients(reference, douts, expected_cache)
        _, cache = self._forward(student, arguments)
        got = self._gradients(student, douts, cache)
        for name in names or self.gradients:
            assert_close(
                got[name],
                expected[name],
                rtol=self.rtol,
                atol=self.atol,
                what=name + what,
                hint=self._hint(name, hint),
            )

    def _forward(self, student: Student, arguments: Sequence[Any]) -> tuple[list[Any], Any]:
        """The student's outputs and cache, the cache as a Handle."""
        result = getattr(student, self.forward).keeping(len(self.outputs))(*arguments)
        *outputs, cache = unpack(result, self.forward, (*self.outputs, "cache"))
        return outputs, cache

    def _upstreams(self, rng: np.random.Generator, outputs: Sequence[Any]) -> list[NDArray[np.float64]]:
        return [upstream(rng, out) for out in outputs[: self.upstreams]]

    def _gradients(self, student: Student, douts: Sequence[Any], cache: Any) -> dict[str, Any]:
        return self._named(getattr(student, self.backward)(*douts, cache))

    def _named(self, result: Any) -> dict[str, Any]:
        if len(self.gradients) == 1:
            self._array(result, self.gradients[0])
            return {self.gradients[0]: result}
        return dict(zip(self.gradients, unpack(result, self.backward, self.gradients), strict=True))

    def _expected(self, reference: Namespace, arguments: Sequence[Any]) -> tuple[list[Any], Any]:
        name = self.reference[0] if self.reference else self.forward
        *outputs, cache = getattr(reference, name)(*copy.deepcopy(list(arguments)))
        return outputs, cache

    def _expected_gradients(self, reference: Namespace, douts: Sequence[Any], cache: Any) -> dict[str, Any]:
        result = getattr(reference, self.reference[1] if self.reference else self.backward)(*douts, cache)
        return dict(zip(self.gradients, [result] if len(self.gradients) == 1 else result, strict=True))

    def _argument(self, position: int) -> str:
        """The argument's name, which is its gradient's without the d unless `arguments` says otherwise."""
        if position < len(self.arguments):
            return self.arguments[position]
        if position < len(self.gradients):
            return self.gradients[position].removeprefix("d")
        return f"argument number {position + 1}"

    def _hint(self, name: str, hint: str) -> str:
        return hint or self.hints.get(name, "")

    def _array(self, value: Any, what: str = "out") -> NDArray[Any]:
        if not isinstance(value, np.ndarray):
            fail(f"{what} should be an array but is {brief(value)}.", got=brief(value), value=value)
        return value


def unpack(result: Any, function: str, names: Sequence[str]) -> tuple[Any, ...]:
    """The returned values, one for each of `names`; a failure where `function` returned something else."""
    if type(result) not in (tuple, list) or len(result) != len(names):
        fail(
            f"{function} should return {', '.join(names)}, but returned {brief(result)}.",
            expected=f"({', '.join(names)})",
            got=brief(result),
            value=result,
        )
    return tuple(result)


def upstream(rng: np.random.Generator, out: Any) -> NDArray[np.float64]:
    """An upstream gradient for `out`: non-uniform, and off centre, so that sums over any axis matter."""
    return np.asarray(rng.normal(size=np.shape(out)) + 0.5)


def first_example(arguments: Sequence[Any], batch: Sequence[int] = (0,)) -> list[Any]:
    """The arguments with one example in those whose position is in `batch`."""
    return [argument[:1] if n in batch else argument for n, argument in enumerate(arguments)]


def in_float32(arguments: Sequence[Any]) -> list[Any]:
    """The arguments with their float64 arrays in single precision."""
    return [_cast(argument, np.float64, np.float32) for argument in arguments]


def in_float64(arguments: Sequence[Any]) -> list[Any]:
    """The arguments with their float32 arrays in double precision."""
    return [_cast(argument, np.float32, np.float64) for argument in arguments]


def _cast(value: Any, old: type[np.floating[Any]], new: type[np.floating[Any]]) -> Any:
    return value.astype(new) if isinstance(value, np.ndarray) and value.dtype == old else value

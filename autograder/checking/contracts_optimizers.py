"""What every update rule must satisfy: `update(w, dw, config) -> (next_w, config)`.

A suite describes the rule once and calls one aspect of the contract in each test:

    ADAM = OptimizerContract("adam", settings={"learning_rate": 0.3, "beta1": 0.8, ...}, accepted=(inside,))

    @pytest.mark.question("adam", weight=2)
    def test_adam_steps(student, reference, rng):
        '''Six steps in a row are right, with the state carried in the config.'''
        ADAM.check_steps(student, reference, rng)

What a rule keeps in its config, and under which names, is its own business. It may update `w` in place or
return a new array. No aspect can be passed by a function that returns nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.checking.assertions import assert_close
from autograder.checking.contracts_layers import unpack
from autograder.checking.describe import brief
from autograder.checking.failure import CheckFailure, fail
from autograder.checking.namespace import Namespace
from autograder.checking.proxy import Student

FloatArray = NDArray[np.float64]
Rule = Callable[..., tuple[Any, Any]]
"""`rule(w, dw, config) -> (next_w, config)`."""

SHAPES: tuple[tuple[int, ...], ...] = ((4, 3), (5,), (2, 1, 3))
STATE_HINT = "What the rule remembers belongs in config, which the next call gets back."


@dataclass(frozen=True)
class OptimizerContract:
    """An update rule, `update(w, dw, config=None) -> (next_w, config)`.

    Gradients are drawn with absolute values between 2 and 8: there an epsilon of 1e-8 changes a step by less
    than 1e-6 of it, whether it stands inside or outside the root.
    """

    update: str
    """Name of the student's function."""
    settings: Mapping[str, float]
    """A value for each setting but epsilon, other than its default."""
    epsilon: float | None = None
    """A value of "epsilon" that is large enough to matter, where the rule has one."""
    accepted: tuple[Rule, ...] = ()
    """Other right rules (epsilon inside the root, say): a trajectory may be that of any one of them."""
    hint: str = ""
    """Where to look."""
    rtol: float = 1e-6
    atol: float = 1e-7

    def check_first_step(
        self,
        student: Student,
        reference: Namespace,
        rng: np.random.Generator,
        shapes: Sequence[tuple[int, ...]] = SHAPES,
    ) -> None:
        """The first step, from a config that holds settings and no state yet, for parameters of any shape."""
        for shape in shapes:
            self._compare(
                student, reference, rng.normal(size=shape), [draw_gradient(rng, shape)], self.settings
            )

    def check_steps(
        self,
        student: Student,
        reference: Namespace,
        rng: np.random.Generator,
        shapes: Sequence[tuple[int, ...]] = SHAPES,
        *,
        steps: int = 6,
    ) -> None:
        """Several steps in a row, each with the config that the step before returned."""
        for shape in shapes:
            gradients = [draw_gradient(rng, shape) for _ in range(steps)]
            self._compare(student, reference, rng.normal(size=shape), gradients, self.settings)

    def check_defaults(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 4
    ) -> None:
        """Without a config, with an empty one, and with a learning rate alone, the defaults are used.

        From w = 0, so that a small default step is not lost beside the parameters.
        """
        gradients = [draw_gradient(rng, (3, 2)) for _ in range(steps)]
        for config in (None, {}, {"learning_rate": 0.25}):
            given = "no config" if config is None else f"config {config}"
            self._compare(student, reference, np.zeros((3, 2)), gradients, config, f" with {given}")

    def check_settings(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 4
    ) -> None:
        """Each setting is read from the config: one after the other is given alone, and the step changes."""
        for name, value in self.settings.items():
            gradients = [draw_gradient(rng, (2, 3)) for _ in range(steps)]
            what = f" with {name} = {value:g}"
            self._compare(student, reference, np.zeros((2, 3)), gradients, {name: value}, what)

    def check_epsilon(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 3
    ) -> None:
        """A large epsilon from the config is used, at any of the places where `accepted` allows it."""
        gradients = [draw_gradient(rng, (2, 3)) for _ in range(steps)]
        config = {**self.settings, "epsilon": self.epsilon}
        what = f" with epsilon = {self.epsilon:g}"
        self._compare(student, reference, rng.normal(size=(2, 3)), gradients, config, what)

    def check_default_epsilon(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 3
    ) -> None:
        """Without an epsilon in the config its default is used: gradients so small that it matters, from the
        size of epsilon itself (outside the root) to the root of it (inside).
        """
        sizes = np.geomspace(1e-9, 1e-3, 7)
        gradients = [sizes * draw_gradient(rng, sizes.shape) for _ in range(steps)]
        what = " with tiny gradients and no epsilon in the config"
        self._compare(student, reference, np.zeros(sizes.shape), gradients, self.settings, what)

    def check_learning_rate_between_steps(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 4
    ) -> None:
        """A learning rate that is changed in the config between two steps, as a schedule does, is used."""
        gradients = [draw_gradient(rng, (3, 2)) for _ in range(steps)]
        what = " while the learning rate falls"
        self._compare(student, reference, rng.normal(size=(3, 2)), gradients, self.settings, what, decay=0.5)

    def check_separate_states(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 4
    ) -> None:
        """Two parameters are updated in turn, each with its own config, as in a network."""
        shape = (3, 2)
        parameters = [rng.normal(size=shape) for _ in range(2)]
        gradients = [[draw_gradient(rng, shape) for _ in range(steps)] for _ in range(2)]
        runs: list[list[Any]] = [[], []]
        configs: list[Any] = [dict(self.settings) for _ in range(2)]
        points: list[Any] = list(parameters)
        for step in range(steps):
            for i in range(2):
                points[i], configs[i] = self._step(student, points[i], gradients[i][step], configs[i])
                runs[i].append(points[i])
        for i in range(2):
            self._judge(
                runs[i], reference, parameters[i], gradients[i], self.settings, " of two in turn", STATE_HINT
            )

    def check_gradient_unchanged(
        self, student: Student, reference: Namespace, rng: np.random.Generator
    ) -> None:
        """The gradient is not written into, and the step is right. (The parameter may be.)"""
        w, dw = rng.normal(size=(3, 2)), draw_gradient(rng, (3, 2))
        result, after = getattr(student, self.update).after(w, dw, dict(self.settings))
        next_w, _ = self._pair(result)
        assert_close(after[1], dw, rtol=0, atol=0, what=f"dw after {self.update}", hint="Work on a copy.")
        self._judge([next_w], reference, w, [dw], self.settings)

    def check_float32(
        self, student: Student, reference: Namespace, rng: np.random.Generator, *, steps: int = 4
    ) -> None:
        """float32 parameters and gradients give the same steps, to single precision."""
        w = rng.normal(size=(3, 2)).astype(np.float32)
        gradients = [draw_gradient(rng, (3, 2)).astype(np.float32) for _ in range(steps)]
        run = self._run(student, w, gradients, self.settings)
        doubled = [gradient.astype(np.float64) for gradient in gradients]
        self._judge(
            run, reference, w.astype(np.float64), doubled, self.settings, " in float32", rtol=1e-4, atol=1e-4
        )

    def check_zero_gradient(self, student: Student, reference: Namespace, rng: np.random.Generator) -> None:
        """Where the gradient is exactly zero from the start, w stays as it is (0 / 0 is not a number), and
        moves where it is not.
        """
        w, dw = rng.normal(size=(4, 2)), draw_gradient(rng, (4, 2))
        dw[1:3] = 0
        hint = "Where a gradient is always 0 its running average is 0 too: epsilon keeps the quotient finite."
        run = self._run(student, w, [dw, dw], self.settings)
        self._judge(run, reference, w, [dw, dw], self.settings, " where some gradients are 0", hint)

    # --- the student's steps, and whether they are right

    def _compare(
        self,
        student: Student,
        reference: Namespace,
        w: FloatArray,
        gradients: Sequence[FloatArray],
        config: Mapping[str, Any] | None,
        what: str = "",
        *,
        decay: float = 1.0,
    ) -> None:
        run = self._run(student, w, gradients, config, decay)
        self._judge(run, reference, w, gradients, config, what, decay=decay)

    def _run(
        self,
        student: Student,
        w: NDArray[Any],
        gradients: Sequence[NDArray[Any]],
        config: Mapping[str, Any] | None,
        decay: float = 1.0,
    ) -> list[Any]:
        """The student's parameters after each step."""
        state: Any = None if config is None else dict(config)
        point: Any = w
        run = []
        for step, dw in enumerate(gradients, start=1):
            point, state = self._step(student, point, dw, state)
            run.append(point)
            if decay != 1.0:
                state["learning_rate"] = self.settings["learning_rate"] * decay**step
        return run

    def _step(self, student: Student, w: Any, dw: NDArray[Any], config: Any) -> tuple[Any, Any]:
        function = getattr(student, self.update)
        return self._pair(function(w, dw) if config is None else function(w, dw, config))

    def _pair(self, result: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        next_w, config = unpack(result, self.update, ("next_w", "config"))
        if not isinstance(next_w, np.ndarray):
            fail(f"next_w should be an array but is {brief(next_w)}.", got=brief(next_w), value=result)
        if not isinstance(config, dict):
            fail(
                f"config should be returned as a dict but is {brief(config)}.",
                got=brief(config),
                value=result,
            )
        return next_w, config

    def _judge(
        self,
        run: Sequence[Any],
        reference: Namespace,
        w: FloatArray,
        gradients: Sequence[FloatArray],
        config: Mapping[str, Any] | None,
        what: str = "",
        hint: str = "",
        *,
        decay: float = 1.0,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None:
        """The trajectory is the reference's, or that of one of the other accepted rules."""
        first: CheckFailure | None = None
        for rule in (getattr(reference, self.update), *self.accepted):
            expected = _trajectory(rule, w, gradients, config, decay)
            try:
                for step, (got, wanted) in enumerate(zip(run, expected, strict=True), start=1):
                    after = f"next_w after step {step}" if len(run) > 1 else "next_w"
                    assert_close(
                        got,
                        wanted,
                        rtol=self.rtol if rtol is None else rtol,
                        atol=self.atol if atol is None else atol,
                        what=after + what,
                        hint=hint or self.hint,
                    )
                return
            except CheckFailure as failure:
                first = first or failure
        if first is not None:
            raise first


def draw_gradient(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """A gradient of either sign with absolute values between 2 and 8."""
    return np.asarray(rng.choice([-1.0, 1.0], size=shape) * rng.uniform(2, 8, size=shape))


def _trajectory(
    rule: Rule,
    w: FloatArray,
    gradients: Sequence[FloatArray],
    config: Mapping[str, Any] | None,
    decay: float = 1.0,
) -> list[FloatArray]:
    """The parameters after each step of a trusted rule."""
    state = None if config is None else dict(config)
    point, run = w.copy(), []
    for dw in gradients:
        result = rule(point.copy(), dw.copy(), state)
        point, state = np.array(result[0]), copy.deepcopy(result[1])
        run.append(point)
        if state is not None and decay != 1.0:
            state["learning_rate"] *= decay
    return run

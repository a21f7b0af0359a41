"""The pytest plugin behind every suite: the `question` mark and the fixtures.

Who `student` is depends on the context in force: a sandboxed worker at grading, the notebook for `check`,
and, when pytest is simply run on tests/SLUG, the assignment's own solution.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from autograder.checking.failure import NoFile, current_student, fail
from autograder.checking.namespace import (
    Namespace,
    is_solution_file,
    load_cells,
    parameter_names,
    upcall_to,
)
from autograder.checking.proxy import Student, local_student

PLAIN_SEED = 20_261_121


class Context(Protocol):
    """Who is being tested, and against what."""

    seed: int

    def student(self, seed: int, given: Sequence[str]) -> AbstractContextManager[Student]:
        """A fresh student for one test."""
        ...

    def reference(self) -> Namespace:
        """The solution's namespace; fails the test where there is none."""
        ...


class SolutionContext:
    """Tests the solution itself, in this process, optionally with cells loaded after it (a mistake, a
    variant).
    """

    def __init__(
        self,
        cells: Sequence[Any],
        extra: Sequence[tuple[str, str]] = (),
        *,
        seed: int = PLAIN_SEED,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        self.seed = seed
        self._files = dict(files or {})
        self.tested = load_cells(cells, extra)
        """The globals under test."""
        # Loaded apart: `given` puts calls to the reference into the namespace under test.
        self._reference = load_cells(cells)

    def student(self, seed: int, given: Sequence[str]) -> AbstractContextManager[Student]:
        """The namespace under test."""
        return local_student(
            self.tested,
            is_solution_file,
            seed=seed,
            upcall=upcall_to(self._reference),
            given=given,
            parameter_names=parameter_names(self._reference),
            files=self._file,
        )

    def _file(self, name: str, beside: Sequence[str]) -> str:
        if name not in self._files:
            raise NoFile(f"The solution has no file {name!r} beside it: run `autograder build`.")
        return str(self._files[name])

    def reference(self) -> Namespace:
        """The solution, without the extra cells."""
        return Namespace(self._reference)


CONTEXT = pytest.StashKey[Context]()
EVENTS = pytest.StashKey[Student]()
SERVE = pytest.StashKey[bool]()
"""Whether the functions that a test is `given` are served from the reference."""
_SOLUTIONS = pytest.StashKey[dict[Path, SolutionContext]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line(
        "markers", "question(name, weight=1, given=()): the question of the assignment that a test belongs to"
    )
    config.stash[_SOLUTIONS] = {}


def stable_name(item: pytest.Item) -> str:
    """A test's name, the same whichever folder pytest was started in."""
    return f"{item.path.name}::{item.name}"


def derived_seed(seed: int, name: str) -> int:
    """A seed for one test from the submission's seed."""
    return int(
        np.random.SeedSequence([seed % 2**64, zlib.crc32(name.encode())]).generate_state(1, np.uint64)[0]
    )


def students_seed(seed: int, name: str) -> int:
    """A seed for the student's own random numbers in a test; the student's code may see it, and must not find
    the test's own from it.
    """
    return int.from_bytes(hashlib.blake2b(f"student {seed} {name}".encode(), digest_size=8).digest(), "big")


def _context(request: pytest.FixtureRequest) -> Context:
    context = request.config.stash.get(CONTEXT, None)
    return context if context is not None else _solution(request.config, request.path.parent)


def _solution(config: pytest.Config, folder: Path) -> Context:
    from autograder.course import load_course
    from autograder.notebook.percent import read_source

    known = config.stash[_SOLUTIONS]
    if folder not in known:
        assignment = load_course(folder).assignment(folder.name)
        known[folder] = SolutionContext(read_source(assignment.source), files=assignment.own_files())
    return known[folder]


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    """The student's functions, in a state that no other test has touched."""
    context = _context(request)
    mark = request.node.get_closest_marker("question")
    given = mark.kwargs.get("given", ()) if mark and request.config.stash.get(SERVE, False) else ()
    with context.student(students_seed(context.seed, stable_name(request.node)), given) as student:
        request.node.stash[EVENTS] = student
        token = current_student.set(student)
        try:
            yield student
        finally:
            with contextlib.suppress(ValueError):  # another context variable scope: nothing to put back
                current_student.reset(token)


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> Namespace:
    """The solution, in the grader's process."""
    return _context(request).reference()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded from the submission's seed and the test's name."""
    return np.random.default_rng(derived_seed(_context(request).seed, stable_name(request.node)))


@pytest.fixture(scope="session")
def data() -> Callable[..., Any]:
    """`load_dataset`, remembering what it loaded."""
    from autograder.datasets import load_dataset

    loaded: dict[str, Any] = {}

    def load(name: str, **options: Any) -> Any:
        key = f"{name} {sorted(options.items())}"
        if key not in loaded:
            loaded[key] = load_dataset(name, **options)
        return loaded[key]

    return load


COLD = 1.5
"""How much longer a computation may take on a processor that is cold or shared."""


class Budget:
    """Time relative to the reference, measured in the same run on the same machine."""

    def seconds(self, function: Callable[..., Any], *args: Any, repeat: int = 3, **kwargs: Any) -> float:
        """Wall-clock seconds of `function(*args, **kwargs)`: the best of `repeat`."""
        best = float("inf")
        for _ in range(repeat):
            start = time.perf_counter()
            function(*args, **kwargs)
            best = min(best, time.perf_counter() - start)
        return best

    def assert_faster(
        self,
        fast: Callable[[], Any],
        slow: Callable[[], Any],
        factor: float,
        *,
        what: str,
        hint: str = "",
        rounds: int = 8,
    ) -> None:
        """Fail unless `fast()` takes at most 1/factor of the time of `slow()`.

        The two are timed in turn, up to `rounds` times, and the best time of each counts: another process
        that takes the processor away for a moment must neither cost a student points nor give any. So of
        `slow`, which runs in this process, what it computes itself bounds what it takes. It ends with the
        first round that settles the matter in favour of `fast`. The student's code starts each round
        without a memory of the one before: an answer that was kept is not a fast one.
        """
        quickest, reference = float("inf"), float("inf")
        for number in range(rounds):
            student = current_student.get()
            if student is not None:
                student.renew()
            quickest = min(quickest, self.seconds(fast, repeat=1))
            computing = time.thread_time()
            taken = self.seconds(slow, repeat=1)
            computing = time.thread_time() - computing
            reference = min(reference, taken, COLD * computing)
            # With some margin, for a cold start, one round settles it.
            if quickest * factor <= (reference if number >= 2 else min(reference, computing / COLD)):
                return
        fail(
            f"{what} is not fast enough: {reference / quickest:.1f} times the speed of the slow version, "
            f"and at least {factor:g} times was expected.",
            expected=f"at most {reference / factor * 1e3:.3g} ms",
            got=f"{quickest * 1e3:.3g} ms",
            hint=hint,
        )


@pytest.fixture(scope="session")
def budget() -> Budget:
    """Measures time relative to the reference."""
    return Budget()

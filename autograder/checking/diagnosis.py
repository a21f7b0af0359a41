"""Explaining a failed answer: by a known mistake, else by a simple family of wrong answers.

A failed answer is compared with what each entry of mistakes.py would have given. The failing test is run
again on the solution with one function replaced by the mistake, from the same seed, so that it makes the same
calls. Where every call gave the same result (or the same exception) and the test fails there too, the student
reads the mistake's sentence. Where no mistake does, the relation between the numbers may still say something
true (see `families`).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autograder.checking.describe import is_tensor
from autograder.checking.limited import memory_limit, time_limit
from autograder.checking.mistakes import Mistake
from autograder.checking.plugin import SolutionContext
from autograder.checking.proxy import Event
from autograder.checking.relation import Relation
from autograder.checking.runner import Suite, TestRun
from autograder.course import Limits
from autograder.notebook.cells import Cell
from autograder.sandbox.wire import Handle

LEAST_SHARE = 0.8
"""A mistake explains at least this share of a question's failed tests (those that measure time apart)."""
MOST_FOR_ONE = 3
"""Where more tests of a question failed, one alone does not make a family."""
DIAGNOSIS_SECONDS = 5.0
"""Time for recognising mistakes in one submission; what is not recognised by then stays unexplained."""

LEAST_PATIENCE, PATIENCE, ASLEEP = 1.0, 10.0, 60.0
"""Seconds of computing that a mistake has for a test: so many, and so many times what the test took; and so
many more on the clock, for the machine may be busy with something else.
"""


@dataclass(frozen=True)
class Explanation:
    """What a student reads about a failed test."""

    sentence: str
    mistake: str = ""
    """The mistake whose sentence it is, or empty."""
    family: str = ""
    """The family whose sentence it is, or empty."""


class Diagnostician:
    """Knows the solution and its mistakes; loads each mistaken solution once.

    Mistakes run in this process, with the memory that a submission may use and for a limited time: one that
    never ends, or takes all memory, explains nothing and stops nobody.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        mistakes: Sequence[Mistake],
        files: Mapping[str, Path] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._cells, self._files = cells, files
        self._limits = limits or Limits()
        self.mistakes = list(mistakes)
        self._contexts: dict[str, SolutionContext | None] = {}
        self._remembered: dict[tuple[str, str], TestRun] = {}
        self._remembered_for: tuple[str, int] = ("", 0)

    def diagnose(self, suite: Suite, runs: Sequence[TestRun], seed: int) -> None:
        """Fill in `diagnosis` and `family` of the failed tests among `runs`, in place."""
        matches = self.matches(suite, runs, seed, DIAGNOSIS_SECONDS)
        _write(runs, explanations(runs, matches))

    def matches(
        self, suite: Suite, runs: Sequence[TestRun], seed: int, seconds: float = math.inf
    ) -> dict[str, list[Mistake]]:
        """Test -> the mistakes of its question that give exactly these results, as far as `seconds` allow.

        Two mistakes may give the same in one test, where a dimension is 1, say. So one that leaves several
        failed tests of its question unexplained, or fails a test that was passed, is not meant.
        """
        until = time.monotonic() + seconds
        found: dict[str, list[Mistake]] = {}
        for question in dict.fromkeys(run.test.question for run in runs if is_wrong(run)):
            own = [run for run in runs if run.test.question == question]
            failed = [run for run in own if is_wrong(run)]
            passed = [run for run in own if run.result.outcome == "passed" and not run.test.timed]
            for some in (failed, passed):  # the quick ones first: one that differs may settle it
                some.sort(key=lambda run: run.result.seconds)
            if self._remembered_for != (question, seed):  # an audit asks about one question many times over
                self._remembered_for = (question, seed)
                self._remembered.clear()
            for mistake in (mistake for mistake in self.mistakes if mistake.question == question):
                if time.monotonic() > until:
                    break
                try:
                    same = self._same(mistake, suite, failed, seed, until)
                    others = self._runs(mistake, suite, passed, seed, until) if same else ()
                    if not all(other.result.outcome == "passed" for other in others):
                        continue
                except TimeoutError:
                    continue
                for key in same:
                    found.setdefault(key, []).append(mistake)
        return found

    def _same(
        self, mistake: Mistake, suite: Suite, failed: Sequence[TestRun], seed: int, until: float
    ) -> list[str]:
        """The failed tests in which the mistake gives exactly these results; none where they are too few.

        It stops as soon as too many differ: most mistakes are told apart by the first of the tests.
        """
        comparable = sum(not run.test.timed for run in failed)
        same, differ = [], 0
        for run, other in zip(failed, self._runs(mistake, suite, failed, seed, until), strict=False):
            if other.result.outcome in ("failed", "error") and same_events(run.events, other.events):
                same.append(run.test.key)
            elif not run.test.timed:
                differ += 1
                if comparable - differ < LEAST_SHARE * comparable:
                    return []
        return same

    def _runs(
        self, mistake: Mistake, suite: Suite, runs: Sequence[TestRun], seed: int, until: float
    ) -> Iterator[TestRun]:
        """The same tests on the solution with the mistake in it, each when it is asked for; none where the
        solution cannot be loaded. Raises `TimeoutError` where one takes far longer than it took.
        """
        if mistake.name not in self._contexts:
            self._contexts[mistake.name] = self._load(mistake)
        context = self._contexts[mistake.name]
        if context is None:
            return
        context.seed = seed
        for run in runs:
            if (mistake.name, run.test.key) not in self._remembered:
                other = self._replayed(mistake, suite, context, run, until)
                self._remembered[mistake.name, run.test.key] = other
            yield self._remembered[mistake.name, run.test.key]

    def _replayed(
        self, mistake: Mistake, suite: Suite, context: SolutionContext, run: TestRun, until: float
    ) -> TestRun:
        """One test, within its limits. Raises `TimeoutError`."""
        computing = LEAST_PATIENCE + PATIENCE * run.result.seconds
        seconds = min(ASLEEP + computing, until - time.monotonic())
        if seconds <= 0:
            raise TimeoutError
        late, used = time.monotonic() + seconds, time.process_time() + computing
        with (
            time_limit(seconds),
            time_limit(computing, computing=True),
            memory_limit(self._limits.memory_mb << 20),
        ):
            (other,) = suite.run(context, [run.test], replaced=mistake.replaces)
        if time.monotonic() > late or time.process_time() > used:
            raise TimeoutError  # the test took the interruption for a wrong answer
        return other

    def _load(self, mistake: Mistake) -> SolutionContext | None:
        try:
            return SolutionContext(self._cells, [mistake.cell], files=self._files)
        except Exception:  # it explains nothing, and costs no grade; the audit says what is wrong with it
            return None


def explanations(
    runs: Sequence[TestRun], matches: Mapping[str, Sequence[Mistake]], *, without: str = ""
) -> dict[str, Explanation]:
    """Test -> what explains its failure.

    Where several mistakes explain a test, the one that explains most failed tests of its question is named.

    Args:
        runs: all tests of a submission.
        matches: what `Diagnostician.matches` found.
        without: a mistake left out of the bank, to see what is said of an answer that is not in it.
    """
    told: dict[str, Explanation] = {}
    for question in dict.fromkeys(run.test.question for run in runs):
        own = [run for run in runs if run.test.question == question]
        candidates = {
            run.test.key: [each for each in matches.get(run.test.key, ()) if each.name != without]
            for run in own
        }
        votes = Counter(mistake.name for found in candidates.values() for mistake in found)
        relations = _relations(own)
        for run in own:
            if found := candidates[run.test.key]:
                best = max(found, key=lambda mistake: votes[mistake.name])
                told[run.test.key] = Explanation(best.sentence, mistake=best.name)
            elif relation := relations.get(run.test.key):
                told[run.test.key] = Explanation(relation.sentence, family=relation.family)
    return told


def explain_by_families(runs: Sequence[TestRun]) -> None:
    """Fill in `diagnosis` and `family` of failed tests, in place, where there is no bank of mistakes."""
    _write(runs, explanations(runs, {}))


def _write(runs: Sequence[TestRun], told: Mapping[str, Explanation]) -> None:
    for run in runs:
        if explanation := told.get(run.test.key):
            run.result.diagnosis, run.result.family = explanation.sentence, explanation.family


def _relations(question: Sequence[TestRun]) -> dict[str, Relation]:
    """Test -> the relation to name: that of the family which most failed tests of a question have in common.

    Numbers chosen by hand make coincidences; a family that only one test of many shows is one. One that rests
    on weak relations alone must hold in at least half of them.
    """
    failed = [run for run in question if run.result.outcome == "failed"]
    found = {
        run.test.key: relation for run in failed if (relation := run.relation or _unstable(run, question))
    }
    counts = Counter(relation.family for relation in found.values())
    telling = {relation.family for relation in found.values() if not relation.weak}
    return {
        key: relation
        for key, relation in found.items()
        if 2 * counts[relation.family] > len(found)
        and (counts[relation.family] > 1 or len(failed) <= MOST_FOR_ONE)
        and (relation.family in telling or 2 * counts[relation.family] >= len(failed))
    }


def _unstable(run: TestRun, question: Sequence[TestRun]) -> Relation | None:
    """Right wherever the numbers are ordinary: all that failed, failed by inf or NaN."""
    failed = [other for other in question if other.result.outcome != "passed"]
    right = [other for other in question if other.result.outcome == "passed" and other.compared]
    if not run.nonfinite or not right or not all(other.nonfinite for other in failed):
        return None
    return Relation(
        "unstable",
        "The formula is right for ordinary numbers, but gives inf or NaN here: look for exp of a large "
        "number, the logarithm of 0, or a division by 0.",
    )


def is_wrong(run: TestRun) -> bool:
    """Whether calls were made and gave something wrong, which a mistake may explain."""
    return run.result.outcome in ("failed", "error") and bool(run.events)


def same_events(ours: Sequence[Event], theirs: Sequence[Event]) -> bool:
    """Whether two runs of a test made the same calls with the same results."""
    return len(ours) == len(theirs) and all(
        a.name == b.name and a.error == b.error and same_value(a.result, b.result)
        for a, b in zip(ours, theirs, strict=True)
    )


def same_value(a: Any, b: Any) -> bool:
    """Whether two results agree up to rounding: shapes exactly, numbers to about half of their digits."""
    if isinstance(a, Handle) or isinstance(b, Handle):
        return isinstance(a, Handle) and isinstance(b, Handle)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    if is_tensor(a) or is_tensor(b):
        return is_tensor(a) == is_tensor(b) and same_value(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, np.ndarray | np.generic | int | float) and isinstance(
        b, np.ndarray | np.generic | int | float
    ):
        x, y = np.asarray(a), np.asarray(b)
        if x.shape != y.shape:
            return False
        if x.dtype.kind not in "biufc" or y.dtype.kind not in "biufc":
            return bool(np.array_equal(x, y))
        half = 1e-4 if np.dtype(np.float32) in (x.dtype, y.dtype) else 1e-7
        scale = float(np.abs(y[np.isfinite(y)]).max(initial=0.0)) if y.size else 0.0
        return bool(np.allclose(x, y, rtol=half, atol=max(half * scale * 1e-2, 1e-12), equal_nan=True))
    return type(a) is type(b) and bool(a == b)

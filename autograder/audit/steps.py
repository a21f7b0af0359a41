"""One step of an audit: something to grade, and what came of it.

A step says all that is needed to repeat it, so that it can be done in any process, and so that a finished one
can be recognised later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from autograder.audit.calls import Calls, calls_of_tests, is_part, replaced_by
from autograder.audit.garbage import EQUALS_EVERYTHING, RETURNS_NOTHING, garbage_cell, unusable
from autograder.checking.diagnosis import Explanation, explanations
from autograder.checking.namespace import gradable_cells
from autograder.checking.plugin import SolutionContext
from autograder.checking.runner import SuiteTest, TestRun
from autograder.course.results import Outcome as TestOutcome
from autograder.grading.grader import AUDIT_SEED, Grader
from autograder.notebook.cells import Cell
from autograder.notebook.handedin import own_files

Kind = Literal["nothing", "solution", "variant", "mistake", "mutant"]

NOTHING = {
    "the bare stub": "",
    "a function that returns None": RETURNS_NOTHING,
    "an object equal to everything": EQUALS_EVERYTHING,
}
"""What must earn nothing, by name: the code put in place of every answer."""

PATIENCE = 20.0
"""A mutant's call may take so many times as long as a whole test takes with the solution."""
LEAST_SECONDS = 1.0
MAX_CONTEXTS = 8
"""Right answers that are kept loaded."""


@dataclass(frozen=True)
class Step:
    """One thing to grade."""

    kind: Kind
    name: str
    seed: int = AUDIT_SEED
    source: str = ""
    """The code that is put in: after the solution, or for a mutant in place of one of its cells."""
    question: str = ""
    """The mutant's or the mistake's question."""
    cell: int = -1
    """The cell that a mutant replaces."""
    replaces: str = ""
    """The function, class or `Class.method` that alone differs from the solution: a mistake's, a mutant's."""
    explain: bool = False
    """Whether a mutant's first failure is looked up in the bank of mistakes."""
    brief: bool = False
    """Whether one failed test of its question that tells a mistake is enough."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestInfo(_Record):
    """A test of the suite."""

    __test__ = False  # pytest would take the class for a test by its name

    key: str
    """File and name."""
    question: str
    name: str
    says: str
    weight: float


class Told(_Record):
    """What a student reads about a failed test."""

    sentence: str
    mistake: str = ""
    family: str = ""


class Failure(_Record):
    """A test that did not pass."""

    test: int
    """Its place in the suite."""
    outcome: TestOutcome
    message: str
    told: Told | None = None
    held_out: Told | None = None
    """What would be told if the bank did not hold the mistake that is graded."""


class Threshold(_Record):
    """A threshold that was passed, as a test notes it."""

    test: int
    what: str
    value: float
    threshold: float


class Outcome(_Record):
    """What came of a step."""

    ran: list[int] = Field(default_factory=list)
    """The tests that were run, by their places in the suite."""
    seconds: list[float] = Field(default_factory=list)
    """How long each of them took."""
    failures: list[Failure] = Field(default_factory=list)
    thresholds: list[Threshold] = Field(default_factory=list)
    used: float = 0.0
    """The largest error of a result that was found right, as a share of the tolerance."""
    notes: list[str] = Field(default_factory=list)
    """A sentence for each cell that raised or was left out."""


def suite_tests(grader: Grader) -> list[TestInfo]:
    """The tests of a suite, in order."""
    return [
        TestInfo(key=test.key, question=test.question, name=test.name, says=test.says, weight=test.weight)
        for test in grader.suite.tests
    ]


class Examiner:
    """Does steps with one grader, one after the other."""

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self._places = {test.key: place for place, test in enumerate(grader.suite.tests)}
        self._seconds: dict[str, float] = {}
        """Test -> seconds with the solution, once that is known."""
        self._kills: Counter[str] = Counter()
        self._contexts: dict[str, SolutionContext] = {}
        self._called: dict[str, Calls] | None = None
        self._depend: dict[tuple[str, str], set[str]] = {}
        """Part of the solution and its question -> the other questions' tests that cannot do without it."""
        self._served: set[str] | None = None
        self._replaced: dict[str, set[str] | None] = {}
        """Variant -> what it replaces; None where that cannot be told."""

    def outcome(self, step: Step) -> Outcome:
        """Grade it."""
        if step.kind == "mutant":
            return self._mutant(step)
        if step.brief and (found := self._first_told(step)) is not None:
            return found
        if step.seed != AUDIT_SEED and (runs := self._here(step)):
            return self._record(runs)
        tests = self._tests_of(step) if step.kind == "mistake" else None
        files = own_files(self._grader.assignment, step.name if step.kind == "variant" else "")
        runs, notes = self._grader.run_cells(self._cells(step), step.seed, tests, step.replaces, files)
        told: dict[str, Explanation] = {}
        held_out: dict[str, Explanation] = {}
        if step.kind == "mistake":
            matches = self._grader.diagnostician.matches(self._grader.suite, runs, step.seed)
            told = explanations(runs, matches)
            held_out = explanations(runs, matches, without=step.name)
        return self._record(runs, notes, told, held_out)

    def _here(self, step: Step) -> list[TestRun]:
        """A right answer in this process, where it passes everything; else nothing.

        It is graded in the sandbox with the first seed. A test cannot tell the two apart, but a fork for each
        test takes most of the time. What fails here is left to the sandbox.
        """
        if step.name not in self._contexts:
            if len(self._contexts) >= MAX_CONTEXTS:
                self._contexts.clear()
            extra = [(f"<solution variant {step.name}>", step.source)] if step.source else []
            try:
                self._contexts[step.name] = SolutionContext(
                    self._grader.solution,
                    extra,
                    files=self._grader.assignment.own_files(step.name if step.kind == "variant" else ""),
                )
            except Exception:  # the sandbox says what is wrong with it
                return []
        context = self._contexts[step.name]
        context.seed = step.seed
        runs = self._grader.suite.run(context, self._tests_of_variant(step))
        return runs if all(run.result.outcome == "passed" for run in runs) else []

    def _tests_of_variant(self, step: Step) -> list[SuiteTest]:
        """All tests for the solution; for a variant those that call what it replaces. With the solution's
        functions alone the others are what the solution itself is run on.
        """
        tests = self._grader.suite.tests
        if step.kind != "variant":
            return tests
        if step.name not in self._replaced:
            self._replaced[step.name] = replaced_by(step.source, self._grader.solution)
        replaced = self._replaced[step.name]
        if replaced is None:
            return tests
        called = self._calls()
        return [
            test
            for test in tests
            if any(is_part(each, name) for each in called[test.key].names for name in replaced)
        ]

    def _first_told(self, step: Step) -> Outcome | None:
        """A mistake on the tests of its question, quick ones first, up to the first that fails, and on the
        others that depend on it; None where that one failure does not tell it.
        """
        depend, called = self._dependent(step.replaces, step.question), self._calls()
        tests = [test for test in self._grader.suite.tests if test.question == step.question]
        tests.sort(key=lambda test: called[test.key].seconds)
        patience, cells = self._grader.assignment.limits.call_seconds, self._cells(step)
        first, runs, notes = self._grader.first_failure(cells, tests, patience, step.replaces)
        if first is None or not first.test.weight:
            return None
        matches = self._grader.diagnostician.matches(self._grader.suite, [first], step.seed)
        told = explanations([first], matches)
        if all(explanation.mistake != step.name for explanation in told.values()):
            return None
        if others := [test for test in self._grader.suite.tests if test.key in depend]:
            runs += self._grader.run_cells(cells, step.seed, others, step.replaces)[0]
        return self._record(runs, notes, told)

    def _tests_of(self, step: Step) -> list[SuiteTest]:
        """The tests that a mistake can fail: those of its question, and those that depend on what it
        replaces.
        """
        depend = self._dependent(step.replaces, step.question)
        return [
            test for test in self._grader.suite.tests if test.question == step.question or test.key in depend
        ]

    def _dependent(self, name: str, question: str) -> set[str]:
        """The tests of other questions that can fail by a mistake in this part of the solution.

        Of those that call it, the ones that fail when it cannot be used at all. The others either never use
        its answer or pass with the reference's in its place, and so they do whatever it answers.
        """
        if (name, question) not in self._depend:
            called = self._calls()
            calling = [
                test
                for test in self._grader.suite.tests
                if test.question != question
                and not (name in test.given and test.key in self._passing_with_the_given())
                and any(is_part(each, name) for each in called[test.key].names)
            ]
            cells = gradable_cells(self._grader.solution)
            cells.append(Cell(len(self._grader.solution), "code", unusable(name)))
            runs, _ = self._grader.run_cells(cells, AUDIT_SEED, calling, name) if calling else ([], [])
            failed = {run.test.key for run in runs if run.result.outcome != "passed"}
            self._depend[name, question] = failed
        return self._depend[name, question]

    def _passing_with_the_given(self) -> set[str]:
        """The tests that pass when none of the functions that they are given can be used.

        They did so with the reference's, which they get in the place of all of them whichever is wrong. One
        run of each test shows it for all of its functions.
        """
        if self._served is None:
            solution = self._grader.solution
            groups: dict[tuple[str, ...], list[SuiteTest]] = {}
            for test in self._grader.suite.tests:
                if test.given:
                    groups.setdefault(test.given, []).append(test)
            self._served = set()
            for given, tests in groups.items():
                cells = gradable_cells(solution)
                cells += [Cell(len(solution) + k, "code", unusable(name)) for k, name in enumerate(given)]
                runs, _ = self._grader.run_cells(cells, AUDIT_SEED, tests)
                self._served |= {run.test.key for run in runs if run.result.outcome == "passed"}
        return self._served

    def _calls(self) -> dict[str, Calls]:
        """What the tests call, once that was watched."""
        if self._called is None:
            files = self._grader.assignment.own_files()
            self._called = calls_of_tests(self._grader.suite, self._grader.solution, files)
        return self._called

    def _record(
        self,
        runs: Sequence[TestRun],
        notes: Sequence[str] = (),
        told: dict[str, Explanation] | None = None,
        held_out: dict[str, Explanation] | None = None,
    ) -> Outcome:
        failures, thresholds = [], []
        for run in runs:
            place, result = self._places[run.test.key], run.result
            if result.outcome != "passed":
                failures.append(
                    Failure(
                        test=place,
                        outcome=result.outcome,
                        message=result.message,
                        told=_told((told or {}).get(run.test.key)),
                        held_out=_told((held_out or {}).get(run.test.key)),
                    )
                )
            thresholds += [
                Threshold(test=place, what=each.what, value=each.value, threshold=each.threshold)
                for each in run.margins
            ]
        return Outcome(
            ran=[self._places[run.test.key] for run in runs],
            seconds=[round(run.result.seconds, 4) for run in runs],
            failures=failures,
            thresholds=thresholds,
            used=round(max((run.used for run in runs), default=0.0), 9),
            notes=list(notes),
        )

    def _mutant(self, step: Step) -> Outcome:
        """Until a test of its question fails; those that killed most come first, then the quick ones."""
        if not self._seconds:
            self._time_solution()
        tests = [test for test in self._grader.suite.tests if test.question == step.question]
        tests.sort(key=lambda test: (-self._kills[test.key], self._seconds[test.key]))
        solution = gradable_cells(self._grader.solution)
        cells = [
            Cell(cell.index, "code", step.source, cell.question, cell.tags, cell.grade_id)
            if cell.index == step.cell
            else cell
            for cell in solution
        ]
        slowest = max(self._seconds[test.key] for test in tests)
        patience = max(LEAST_SECONDS, PATIENCE * slowest)
        first, runs, _ = self._grader.first_failure(cells, tests, patience, step.replaces)
        told: dict[str, Explanation] = {}
        if first is not None:
            self._kills[first.test.key] += 1
            matches = (
                self._grader.diagnostician.matches(self._grader.suite, [first], AUDIT_SEED)
                if step.explain
                else {}
            )
            told = explanations([first], matches)
        return self._record(runs, told=told)

    def _time_solution(self) -> None:
        runs, _ = self._grader.run_cells(gradable_cells(self._grader.solution), AUDIT_SEED)
        self._seconds = {run.test.key: run.result.seconds for run in runs}

    def _cells(self, step: Step) -> list[Cell]:
        grader = self._grader
        if step.kind == "nothing":
            stub = gradable_cells(grader.release.cells)
            return [*stub, garbage_cell(grader.solution, step.source)] if step.source else stub
        cells = gradable_cells(grader.solution)
        if step.source:
            cells.append(Cell(len(grader.solution), "code", step.source))
        return cells


def _told(explanation: Explanation | None) -> Told | None:
    if explanation is None:
        return None
    return Told(sentence=explanation.sentence, mistake=explanation.mistake, family=explanation.family)


__all__ = [
    "Examiner",
    "Failure",
    "Outcome",
    "Step",
    "SuiteTest",
    "TestInfo",
    "Threshold",
    "Told",
    "suite_tests",
]

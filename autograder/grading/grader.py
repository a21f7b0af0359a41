"""Grading one assignment in one process: the suite collected once, the solution loaded once, warm zygotes for
all submissions.
"""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from autograder.checking.diagnosis import Diagnostician
from autograder.checking.mistakes import MistakesError, read_mistakes
from autograder.checking.namespace import gradable_cells, load_cells, solution_label
from autograder.checking.runner import Suite, SuiteError, SuiteTest, TestRun, run_suite
from autograder.course import Assignment
from autograder.course.results import QuestionResult, SubmissionResult, question_points
from autograder.datasets import data_root
from autograder.grading.identity import numbers_seed, suite_files
from autograder.grading.journal import Kept
from autograder.grading.session import LoadedSubmission, SandboxContext
from autograder.grading.zygotes import Zygotes, needs
from autograder.notebook.cells import Cell
from autograder.notebook.handedin import HandedIn, own_files, read_files, submission_digest
from autograder.notebook.intake import Intake, IntakeError, read_release, read_submission
from autograder.notebook.percent import read_source
from autograder.sandbox.host import Profile, Zygote, open_zygote
from autograder.sandbox.postponed import postpone_matplotlib
from autograder.sandbox.selftest import prove
from autograder.sandbox.verdicts import SandboxError

T = TypeVar("T")

AUDIT_SEED = 1
UNSAFE = "none (--unsafe-no-sandbox)"


@dataclass(frozen=True)
class Options:
    """How to grade."""

    unsafe_no_sandbox: bool = False
    diagnose: bool = True


@dataclass(frozen=True)
class Graded:
    """A result and the notebook it belongs to; no notebook where the submission was refused."""

    result: SubmissionResult
    intake: Intake | None


class Grader:
    """Grades submissions of one assignment. Made by `with_grader`."""

    def __init__(self, assignment: Assignment, suite: Suite, zygotes: Zygotes, options: Options) -> None:
        self.assignment, self.suite, self._options = assignment, suite, options
        self.zygotes = zygotes
        self.release = read_release(assignment.release_notebook)
        self.solution = read_source(assignment.source)
        self.mistakes = read_mistakes(assignment.mistakes)
        self._reference = _loaded_solution(assignment, self.solution)
        self.diagnostician = Diagnostician(
            self.solution, self.mistakes, assignment.own_files(), assignment.limits
        )
        self.sandbox = [UNSAFE] if options.unsafe_no_sandbox else zygotes.profile.layers
        _require_every_question(assignment, suite)

    def grade(
        self,
        raw: bytes,
        student: str,
        seed: int,
        source: str = "",
        kept: Kept | None = None,
        files: Sequence[HandedIn] = (),
    ) -> Graded:
        """Grade one notebook with the files that were handed in beside it. A notebook that cannot be read is
        refused with the reason; nothing a submission does raises. Of one that is `kept` from an earlier run
        the stale questions are graded.
        """
        start = time.perf_counter()
        files = files or read_files((), self.assignment)
        result = SubmissionResult(
            student=student, score=0.0, max_score=self.assignment.max_points, source=source, seed=seed
        )
        try:
            intake = read_submission(raw, self.release, self.assignment.limits)
        except IntakeError as error:
            result.status, result.reason = "refused", str(error)
            result.seconds = round(time.perf_counter() - start, 4)
            return Graded(result, None)
        result.sha256 = submission_digest(intake.sha256, files)
        result.repairs = [*intake.repairs, *(file.problem for file in files if file.problem)]
        result.seed = numbers_seed(seed, result.sha256)
        try:
            stale = None if kept is None else kept.stale
            result.questions, notes = self.grade_cells(intake.runnable, result.seed, stale, files)
        except SandboxError as error:
            result.status = "refused"
            result.reason = f"The sandbox failed twice on it: {error} Look at it by hand."
            result.seconds = round(time.perf_counter() - start, 4)
            return Graded(result, None)
        if kept is not None:
            earlier = [question for question in kept.result.questions if question.name not in kept.stale]
            result.questions = self._in_order([*result.questions, *earlier])
        result.repairs += notes
        result.score = round(sum(question.points for question in result.questions), 2)
        result.seconds = round(time.perf_counter() - start, 4)
        return Graded(result, intake)

    def grade_cells(
        self,
        cells: Sequence[Cell],
        seed: int,
        only: Container[str] | None = None,
        files: Sequence[HandedIn] | None = None,
    ) -> tuple[list[QuestionResult], list[str]]:
        """Grade code cells in the sandbox: the questions (those in `only`, or all), and a sentence for each
        cell that raised or was left out. `files` is as in `run_cells`.
        """
        tests = None if only is None else [test for test in self.suite.tests if test.question in only]
        runs, notes = self.run_cells(cells, seed, tests, files=files)
        if self._options.diagnose:
            self.diagnostician.diagnose(self.suite, runs, seed)
        questions = self._by_question(runs)
        return [question for question in questions if only is None or question.name in only], notes

    def run_cells(
        self,
        cells: Sequence[Cell],
        seed: int,
        tests: Sequence[SuiteTest] | None = None,
        replaced: str = "",
        files: Sequence[HandedIn] | None = None,
    ) -> tuple[list[TestRun], list[str]]:
        """Tests (all of them by default) on code cells in the sandbox, without diagnosis.

        `replaced` is as in `Suite.run`; `files` were handed in with the cells: by default the solution's own.
        """
        files = own_files(self.assignment) if files is None else files
        try:
            return self._run(cells, seed, tests, replaced, files)
        except SandboxError:
            # The zygote has ended (killed for want of memory, say), which is no verdict: once more.
            self.zygotes.close()
            return self._run(cells, seed, tests, replaced, files)

    def _run(
        self,
        cells: Sequence[Cell],
        seed: int,
        tests: Sequence[SuiteTest] | None,
        replaced: str,
        files: Sequence[HandedIn],
    ) -> tuple[list[TestRun], list[str]]:
        clock = self._clock(time.perf_counter())
        zygote = self.zygotes.for_cells(cells)
        with LoadedSubmission(zygote, cells, self.assignment.limits, files) as submission:
            context = SandboxContext(submission, self._reference, self.assignment.limits, seed)
            return self.suite.run(context, tests, clock, replaced=replaced), submission.notes

    def first_failure(
        self, cells: Sequence[Cell], tests: Sequence[SuiteTest], call_seconds: float, replaced: str
    ) -> tuple[TestRun | None, list[TestRun], list[str]]:
        """The first of `tests` that fails on `cells`, or None where all pass; all that were run; and a
        sentence for each cell that raised.

        Args:
            cells: the code to load.
            tests: in this order.
            call_seconds: a limit on each call, where that is less than the assignment's.
            replaced: as in `Suite.run`.
        """
        seconds = min(call_seconds, self.assignment.limits.call_seconds)
        limits = self.assignment.limits.model_copy(update={"call_seconds": seconds})
        done = []
        zygote, files = self.zygotes.for_cells(cells), own_files(self.assignment)
        with LoadedSubmission(zygote, cells, limits, files) as submission:
            context = SandboxContext(submission, self._reference, limits, AUDIT_SEED)
            for test in tests:
                done += self.suite.run(context, [test], replaced=replaced)
                if done[-1].result.outcome != "passed":
                    return done[-1], done, submission.notes
        return None, done, submission.notes

    def _clock(self, start: float) -> Callable[[SuiteTest], str | None]:
        seconds = self.assignment.limits.submission_seconds

        def late(test: SuiteTest) -> str | None:
            if time.perf_counter() - start < seconds:
                return None
            return f"The submission used up its {seconds:g} s, so this test was not run."

        return late

    def _by_question(self, runs: list[TestRun]) -> list[QuestionResult]:
        questions = []
        for question in self.assignment.questions:
            tests = [run.result for run in runs if run.test.question == question.name]
            points = question_points(tests, question.points)
            questions.append(
                QuestionResult(name=question.name, points=points, max_points=question.points, tests=tests)
            )
        return questions

    def _in_order(self, questions: Sequence[QuestionResult]) -> list[QuestionResult]:
        by_name = {question.name: question for question in questions}
        return [by_name[question.name] for question in self.assignment.questions if question.name in by_name]

    def close(self) -> None:
        """End the zygotes."""
        self.zygotes.close()


def _loaded_solution(assignment: Assignment, cells: Sequence[Cell]) -> dict[str, Any]:
    try:
        return load_cells(cells)
    except Exception as error:
        frames = [
            (frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)
        ]
        if isinstance(error, SyntaxError):
            frames.append((str(error.filename), error.lineno or 1))
        where = str(assignment.source)
        for cell in cells:
            for label, number in frames:
                if label == solution_label(cell) and cell.line is not None:
                    where = f"{assignment.source}, line {cell.line + number - 1}"
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SuiteError(f"{where}: the solution raised {type(error).__name__}: {said}.") from error


def _require_every_question(assignment: Assignment, suite: Suite) -> None:
    known = {question.name for question in assignment.questions}
    for test in suite.tests:
        if test.question not in known:
            raise SuiteError(
                f"{test.item.nodeid} belongs to {test.question!r}, which course.yml does not list."
            )
    untested = known - {test.question for test in suite.tests}
    if untested:
        raise SuiteError(
            f"No test belongs to {', '.join(sorted(untested))}. A question without a test cannot be graded."
        )


def _sandbox(assignment: Assignment, options: Options) -> Zygote:
    """The strictest sandbox that this machine offers; `SandboxError` where it is not strict enough to grade
    in.
    """
    wanted = Profile(
        torch=assignment.torch,
        preload=needs(gradable_cells(read_source(assignment.source)), torch=assignment.torch),
        forbid=assignment.forbid,
        secret=(assignment.root, data_root()),
    )
    if options.unsafe_no_sandbox:
        return Zygote(replace(wanted, landlock=False, seccomp=False, namespaces=False, own_user=False))
    return open_zygote(wanted)


def with_grader(assignment: Assignment, body: Callable[[Grader], T], options: Options | None = None) -> T:
    """Collect the suite, start and prove the sandbox, and call `body` with a grader.

    Raises:
        SuiteError: the suite cannot be used. MistakesError: mistakes.py cannot be read.
        SandboxError: a forbidden act succeeded, or the sandbox does not start.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")  # the solution may draw; the grader has no screen
    postpone_matplotlib()  # and mostly does not
    chosen = options or Options()

    def inside(suite: Suite) -> T:
        def proven(zygote: Zygote) -> None:
            if not chosen.unsafe_no_sandbox:
                prove(zygote, [assignment.source, *suite_files(assignment)])

        zygote = starting.result()
        try:
            proven(zygote)
            grader = Grader(assignment, suite, Zygotes(zygote, proven), chosen)
            gc.collect()
            gc.freeze()  # what is loaded now stays: the garbage collector need not go over it each time
        except BaseException:
            zygote.close()
            raise
        try:
            return body(grader)
        finally:
            gc.unfreeze()  # an audit goes on to other assignments in this process
            grader.close()

    # Both import PyTorch for most of the time that they take, the sandbox in a process of its own, which the
    # kernel ends with the thread that started it.
    with ThreadPoolExecutor(1) as beside:
        starting = beside.submit(_sandbox, assignment, chosen)
        try:
            return run_suite(suite_files(assignment), inside)
        except BaseException:
            with suppress(Exception):  # it has been raised already, or this is why nobody came to use it
                starting.result().close()
            raise


__all__ = ["Graded", "Grader", "MistakesError", "Options", "SuiteError", "with_grader"]

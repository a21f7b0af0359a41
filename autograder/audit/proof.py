"""The audit of an assignment: right answers earn everything, the stub nothing, each mistake loses its own
question only.

Everything is graded in the sandbox, as a submission would be.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from autograder.audit.garbage import EQUALS_EVERYTHING, RETURNS_NOTHING, garbage_cell
from autograder.audit.survivors import EQUIVALENT, MutationReport, merged, run_mutants
from autograder.checking.mistakes import Mistake, read_mistakes
from autograder.checking.namespace import gradable_cells
from autograder.course import Assignment, load_course
from autograder.course.results import QuestionResult
from autograder.grading.grader import AUDIT_SEED, Grader, Options, with_grader
from autograder.notebook.cells import Cell
from autograder.sandbox.verdicts import SandboxError

_NOTHING = {
    "the bare stub": "",
    "a function that returns None": RETURNS_NOTHING,
    "an object equal to everything": EQUALS_EVERYTHING,
}
"""What must earn nothing, by name: the code put in place of every answer."""


_PLAIN = Options(diagnose=False)


@dataclass(frozen=True)
class MistakeAudit:
    """What one known mistake costs, and whether it is recognised."""

    name: str
    question: str
    lost: tuple[str, ...]
    """The questions that lost points."""
    recognised: bool
    """Whether a failed test of its question shows its sentence."""
    told: tuple[str, ...] = ()
    """The sentences that were shown instead."""


@dataclass
class AuditReport:
    """What an audit found; clean when `problems` is empty."""

    assignment: str
    questions: tuple[str, ...] = ()
    tests: int = 0
    seeds: int = 0
    variants: int = 0
    mistakes: list[MistakeAudit] = field(default_factory=list)
    mutation: MutationReport | None = None
    """What machine-made mutants showed, where they were asked for."""
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems


@dataclass(frozen=True)
class _Step:
    """One thing to grade."""

    kind: str
    name: str
    seed: int


def audit_assignment(
    assignment: Assignment,
    *,
    seeds: int = 1,
    jobs: int = 1,
    mutants: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Audit an assignment.

    Args:
        assignment: the assignment; its release must be built.
        seeds: how many seeds the solution and every variant are graded with.
        jobs: processes to use.
        mutants: whether to run machine-made mutants of the solution, too.
        progress: called with (done, total).

    Raises what `with_grader` raises where suite, mistakes or sandbox cannot be used.
    """
    mistakes = read_mistakes(assignment.mistakes)
    names = {question.name for question in assignment.questions}
    steps = [_Step("nothing", name, AUDIT_SEED) for name in _NOTHING]
    steps += [_Step("mistake", mistake.name, AUDIT_SEED) for mistake in mistakes if mistake.question in names]
    for seed in range(1, seeds + 1):
        steps.append(_Step("solution", "solution", seed))
        steps += [_Step("variant", variant.name, seed) for variant in assignment.variants]
    report = AuditReport(
        assignment.slug,
        questions=tuple(question.name for question in assignment.questions),
        seeds=seeds,
        variants=len(assignment.variants),
    )
    for mistake in (mistake for mistake in mistakes if mistake.question not in names):
        report.problems.append(
            f"mistake {mistake.name} ({assignment.mistakes.name}, line {mistake.line}) belongs to "
            f"{mistake.question!r}, which is no question."
        )
    if len(assignment.variants) < 2:
        report.problems.append(f"There are {len(assignment.variants)} variants; at least two are needed.")
    order = {step: place for place, step in enumerate(steps)}  # several processes end in any order
    outcomes = sorted(_in_processes(assignment, steps, jobs, progress), key=lambda outcome: order[outcome[0]])
    for step, questions, notes in outcomes:
        report.tests = max(report.tests, sum(len(question.tests) for question in questions))
        _judge(report, step, questions, notes, {mistake.name: mistake for mistake in mistakes})
    report.mistakes.sort(key=lambda audited: report.questions.index(audited.question))
    if mutants:
        report.mutation = _mutation(assignment, jobs, progress)
        for each in report.mutation.survivors:
            report.problems.append(f"mutant {each.key} of {each.function} survives: {each.what}")
        report.problems += [
            f"{EQUIVALENT} lists {each.key} of {each.function} as equivalent, but it dies or is no more."
            for each in report.mutation.stale
        ]
    return report


def _mutation(
    assignment: Assignment, jobs: int, progress: Callable[[int, int], None] | None
) -> MutationReport:
    if jobs <= 1:
        return with_grader(assignment, lambda grader: run_mutants(grader, progress=progress), _PLAIN)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = [
            pool.submit(_mutant_share, assignment.root, assignment.slug, number, jobs)
            for number in range(jobs)
        ]
        return merged([share.result() for share in shares])


def _mutant_share(root: Path, slug: str, number: int, count: int) -> MutationReport:
    assignment = load_course(root).assignment(slug)
    return with_grader(assignment, lambda grader: run_mutants(grader, (number, count)), _PLAIN)


Outcome = tuple[_Step, list[QuestionResult], list[str]]


def _in_processes(
    assignment: Assignment, steps: Sequence[_Step], jobs: int, progress: Callable[[int, int], None] | None
) -> Iterator[Outcome]:
    if jobs <= 1:
        yield from _grade_steps(assignment.root, assignment.slug, list(steps), progress)
        return
    # Small shares, so that the processes end at about the same time; each share pays for one warm start.
    shares = [list(steps[start :: jobs * 2]) for start in range(jobs * 2)]
    done = 0
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(_grade_steps, assignment.root, assignment.slug, share) for share in shares if share
        ]
        for future in running:
            try:
                outcomes = future.result()
            except BrokenProcessPool:
                raise SandboxError(
                    "A process of the audit was killed, perhaps for want of memory. Run it with fewer jobs."
                ) from None
            done += len(outcomes)
            if progress:
                progress(done, len(steps))
            yield from outcomes


def _grade_steps(
    root: Path, slug: str, steps: list[_Step], progress: Callable[[int, int], None] | None = None
) -> list[Outcome]:
    assignment = load_course(root).assignment(slug)

    def grade(grader: Grader) -> list[Outcome]:
        outcomes = []
        for done, step in enumerate(steps, start=1):
            questions, notes = grader.grade_cells(_cells(grader, step), step.seed)
            outcomes.append((step, questions, notes))
            if progress:
                progress(done, len(steps))
        return outcomes

    return with_grader(assignment, grade, Options())


def _cells(grader: Grader, step: _Step) -> list[Cell]:
    if step.kind == "nothing":
        garbage = _NOTHING[step.name]
        stub = gradable_cells(grader.release.cells)
        return [*stub, garbage_cell(grader.solution, garbage)] if garbage else stub
    cells = gradable_cells(grader.solution)
    if step.kind == "mistake":
        mistake = next(mistake for mistake in grader.mistakes if mistake.name == step.name)
        cells.append(Cell(len(grader.solution), "code", mistake.source))
    elif step.kind == "variant":
        path = next(path for path in grader.assignment.variants if path.name == step.name)
        cells.append(Cell(len(grader.solution), "code", path.read_text(encoding="utf-8")))
    return cells


def _judge(
    report: AuditReport,
    step: _Step,
    questions: list[QuestionResult],
    notes: list[str],
    mistakes: dict[str, Mistake],
) -> None:
    if step.kind == "nothing":
        for question in questions:
            passed = [test.name for test in question.tests if test.outcome == "passed"]
            if passed:
                report.problems.append(f"{step.name} passes {question.name}: {', '.join(passed)}.")
        return
    report.problems += [f"{step.kind} {step.name}: {note}" for note in notes]
    lost = tuple(question.name for question in questions if question.points < question.max_points)
    if step.kind != "mistake":
        for question in questions:
            for test in question.tests:
                if test.outcome != "passed":
                    report.problems.append(
                        f"{step.kind} {step.name} fails {question.name}, {test.name} (seed {step.seed}): "
                        f"{test.message}"
                    )
        return
    mistake = mistakes[step.name]
    told = {
        test.diagnosis
        for question in questions
        if question.name == mistake.question
        for test in question.tests
        if test.diagnosis
    }
    audited = MistakeAudit(
        mistake.name,
        mistake.question,
        lost,
        mistake.sentence in told,
        tuple(sorted(told - {mistake.sentence})),
    )
    report.mistakes.append(audited)
    if mistake.question not in lost:
        report.problems.append(
            f"mistake {mistake.name} survives: {mistake.question} keeps all of its points."
        )
    for question in questions:
        if question.name in lost and question.name != mistake.question:
            failed = next(test for test in question.tests if test.outcome != "passed")
            report.problems.append(
                f"mistake {mistake.name} also costs {question.name}: {failed.name}, {failed.outcome}: "
                f"{failed.message}"
            )
    if mistake.question in lost and not audited.recognised:
        instead = f"; the student reads {audited.told[0]!r}" if audited.told else ""
        report.problems.append(f"mistake {mistake.name} is not recognised{instead}.")

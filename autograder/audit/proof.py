"""The audit of an assignment: right answers earn everything, the stub nothing, each mistake loses its own
question only, machine-made mutants die, and nothing hangs by a thread.

Everything is graded in the sandbox, as a submission would be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autograder.audit.held_out import HeldOut, judge_held_out
from autograder.audit.kept import KeptSteps
from autograder.audit.margins import Margin, margins_of
from autograder.audit.mutation import Mutant, mutants_of
from autograder.audit.steps import NOTHING, Outcome, Step, TestInfo
from autograder.audit.survivors import (
    EQUIVALENT,
    MutationReport,
    equivalent_mutants,
    judge_mutants,
    mutation_steps,
)
from autograder.audit.workers import do_steps
from autograder.checking.mistakes import Mistake, read_mistakes
from autograder.course import Assignment
from autograder.notebook.percent import read_source

VARIANT_SEEDS = 50
"""So many seeds are enough for a variant; the solution is graded with all that were asked for."""

Progress = Callable[[int, int], None]


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
    held_out: list[HeldOut] = field(default_factory=list)
    """What is said of each mistake when the bank does not hold it."""
    margins: list[Margin] = field(default_factory=list)
    """To every threshold, the smallest first."""
    mutation: MutationReport | None = None
    """What machine-made mutants showed, where they were asked for."""
    problems: list[str] = field(default_factory=list)
    suite: list[TestInfo] = field(default_factory=list, compare=False)
    outcomes: list[tuple[Step, Outcome]] = field(default_factory=list, compare=False)
    """Everything that was graded, in order."""
    reused: int = field(default=0, compare=False)
    """How many of these were taken from an earlier audit."""

    @property
    def used(self) -> float:
        """The largest error of a right answer, as a share of the tolerance that it was held to."""
        return max(
            (outcome.used for step, outcome in self.outcomes if step.kind in ("solution", "variant")),
            default=0.0,
        )

    @property
    def variant_seeds(self) -> int:
        """With how many seeds each variant was graded."""
        return min(self.seeds, VARIANT_SEEDS)

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems


def audit_assignment(
    assignment: Assignment,
    *,
    seeds: int = 1,
    jobs: int = 1,
    bank: bool = True,
    mutants: bool = False,
    explain: bool = False,
    force: bool = False,
    brief: bool = False,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit an assignment. Steps that an earlier audit finished are not repeated while nothing changed.

    Args:
        assignment: the assignment; its release must be built.
        seeds: how many seeds the solution is graded with, and every variant up to `VARIANT_SEEDS`.
        jobs: processes to use.
        bank: whether to run the known mistakes.
        mutants: whether to run machine-made mutants of the solution, too.
        explain: whether to look for known mistakes in what the mutants answer.
        force: whether to repeat what an earlier audit finished.
        brief: whether a mistake is done with as soon as a failed test of its question tells it. The other
            questions' tests, which must pass, are run all the same.
        progress: called with (done, total).

    Raises what `with_grader` raises where suite, mistakes or sandbox cannot be used.
    """
    mistakes = {mistake.name: mistake for mistake in read_mistakes(assignment.mistakes)}
    changed: list[Mutant] = []
    listed = []
    if mutants:
        listed = equivalent_mutants(assignment)
        changed = mutants_of(read_source(assignment.source))
    run = mistakes if bank else {}
    steps = [*_steps(assignment, run, seeds, brief), *mutation_steps(changed, explain=explain)]
    report = AuditReport(
        assignment.slug,
        questions=tuple(question.name for question in assignment.questions),
        seeds=seeds,
        variants=len(assignment.variants),
    )
    outcomes = _outcomes(report, assignment, mistakes, steps, jobs, force, progress)
    report.outcomes = [(step, outcomes[step]) for step in steps]
    report.tests = len(report.suite)
    _judge_bank(report, assignment, mistakes)
    for step, outcome in report.outcomes:
        _judge(report, step, outcome, mistakes)
    report.mistakes.sort(key=lambda audited: report.questions.index(audited.question))
    report.margins = margins_of(report.suite, report.outcomes)
    report.problems += [
        f"{margin.answer} stays too close to a threshold: {margin}."
        for margin in report.margins
        if margin.too_small
    ]
    if mutants:
        by_key = {step.name: outcome for step, outcome in report.outcomes if step.kind == "mutant"}
        report.mutation = judge_mutants(changed, by_key, listed)
        for each in report.mutation.survivors:
            report.problems.append(f"mutant {each.key} of {each.function} survives: {each.what}")
        report.problems += [
            f"{EQUIVALENT} lists {each.key} of {each.function} as equivalent, but it dies or is no more."
            for each in report.mutation.stale
        ]
    return report


def _steps(assignment: Assignment, mistakes: Mapping[str, Mistake], seeds: int, brief: bool) -> list[Step]:
    names = {question.name for question in assignment.questions}
    steps = [Step("nothing", name, source=source) for name, source in NOTHING.items()]
    steps += [
        Step(
            "mistake",
            mistake.name,
            source=mistake.source,
            question=mistake.question,
            replaces=mistake.replaces,
            brief=brief,
        )
        for mistake in mistakes.values()
        if mistake.question in names
    ]
    variants = {path.name: path.read_text(encoding="utf-8") for path in assignment.variants}
    for seed in range(1, seeds + 1):
        steps.append(Step("solution", "solution", seed))
        if seed <= VARIANT_SEEDS:
            steps += [Step("variant", name, seed, source) for name, source in variants.items()]
    return steps


def _outcomes(
    report: AuditReport,
    assignment: Assignment,
    mistakes: Mapping[str, Mistake],
    steps: list[Step],
    jobs: int,
    force: bool,
    progress: Progress | None,
) -> dict[Step, Outcome]:
    """What came of each step, now or earlier."""
    kept = KeptSteps(assignment, mistakes.values(), force=force)
    outcomes: dict[Step, Outcome] = {}
    for step in steps:
        known = kept.find(step) if kept.tests is not None else None
        if known is not None:
            outcomes[step] = known
    report.reused = len(outcomes)
    if progress and outcomes:
        progress(len(outcomes), len(steps))
    left = [step for step in steps if step not in outcomes]

    def finished(step: Step, outcome: Outcome) -> None:
        outcomes[step] = outcome
        kept.keep(step, outcome)
        if progress:
            progress(len(outcomes), len(steps))

    if left:
        do_steps(assignment, left, jobs, kept.keep_tests, finished)
        kept.tidy()
    report.suite = kept.tests or []
    return outcomes


def _judge_bank(report: AuditReport, assignment: Assignment, mistakes: Mapping[str, Mistake]) -> None:
    for mistake in mistakes.values():
        if mistake.question not in report.questions:
            report.problems.append(
                f"mistake {mistake.name} ({assignment.mistakes.name}, line {mistake.line}) belongs to "
                f"{mistake.question!r}, which is no question."
            )
    if len(assignment.variants) < 2:
        report.problems.append(f"There are {len(assignment.variants)} variants; at least two are needed.")


def _judge(report: AuditReport, step: Step, outcome: Outcome, mistakes: Mapping[str, Mistake]) -> None:
    if step.kind == "nothing":
        _judge_nothing(report, step, outcome)
    elif step.kind in ("solution", "variant"):
        report.problems += [f"{step.kind} {step.name}: {note}" for note in outcome.notes]
        for failure in outcome.failures:
            test = report.suite[failure.test]
            report.problems.append(
                f"{step.kind} {step.name} fails {test.question}, {test.name} (seed {step.seed}): "
                f"{failure.message}"
            )
    elif step.kind == "mistake":
        report.problems += [f"{step.kind} {step.name}: {note}" for note in outcome.notes]
        _judge_mistake(report, mistakes[step.name], outcome)
        report.held_out.append(judge_held_out(mistakes[step.name], report.suite, outcome))


def _judge_nothing(report: AuditReport, step: Step, outcome: Outcome) -> None:
    failed = {failure.test for failure in outcome.failures}
    for question in report.questions:
        passed = [
            report.suite[test].name
            for test in outcome.ran
            if test not in failed and report.suite[test].question == question
        ]
        if passed:
            report.problems.append(f"{step.name} passes {question}: {', '.join(passed)}.")


def _judge_mistake(report: AuditReport, mistake: Mistake, outcome: Outcome) -> None:
    suite = report.suite
    failed = {suite[each.test].question for each in outcome.failures if suite[each.test].weight > 0}
    lost = tuple(question for question in report.questions if question in failed)
    told = {
        failure.told.sentence
        for failure in outcome.failures
        if failure.told and suite[failure.test].question == mistake.question
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
    for question in lost:
        if question != mistake.question:
            first = next(each for each in outcome.failures if suite[each.test].question == question)
            report.problems.append(
                f"mistake {mistake.name} also costs {question}: {suite[first.test].name}, {first.outcome}: "
                f"{first.message}"
            )
    if mistake.question in lost and not audited.recognised:
        instead = f"; the student reads {audited.told[0]!r}" if audited.told else ""
        report.problems.append(f"mistake {mistake.name} is not recognised{instead}.")

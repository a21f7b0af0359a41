"""What the last recorded audit found, in a file that is committed: docs/audit.json.

It serves three ends: the table in the README is made from it; a change of a source since then shows; and
after a change of libraries the next audit says which verdict is another one now, and why.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autograder.audit.held_out import HeldOut
from autograder.audit.kept import RULES, engine_digest, library_versions
from autograder.audit.proof import AuditReport
from autograder.audit.survivors import EQUIVALENT, MutationCount, equivalent_mutants
from autograder.course import Assignment, Course
from autograder.course.files import write_whole
from autograder.course.loading import FILE_NAME
from autograder.grading.identity import suite_files
from autograder.grading.versions import digest_of_solution

LEDGER = Path("docs/audit.json")


class LedgerError(Exception):
    """docs/audit.json cannot be used; the text says what to do."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Caught(_Record):
    """What one known mistake came to."""

    question: str
    fails: list[str]
    """The tests that fail with it."""
    recognised: bool


class MutantsOfQuestion(_Record):
    """How many mutants of a question came to which end."""

    killed: int
    timed_out: int
    equivalent: int
    survived: list[str]
    """Their keys."""
    explained: int

    @property
    def count(self) -> MutationCount:
        """The same as numbers."""
        return MutationCount(self.killed, self.timed_out, self.equivalent, len(self.survived), self.explained)


class ClosestThreshold(_Record):
    """The smallest margin to a threshold."""

    answer: str
    test: str
    what: str
    deviations: float | None
    """In standard deviations; None where the value never changes."""
    seeds: int


class HeldOutCounts(_Record):
    """What was said of mistakes that were held out of the bank."""

    right: int = 0
    silent: int = 0
    wrong: int = 0
    explicable: int = 0
    """Those of which a sentence is true."""
    explained: int = 0
    """Those of them that got a true sentence, and no other."""


class Entry(_Record):
    """One assignment as it was when it was audited."""

    versions: dict[str, str]
    engine: str
    sources: dict[str, str]
    """Digest of each file that the verdicts depend on."""
    seeds: int
    tests: dict[str, str]
    """Test -> its question."""
    failures: dict[str, list[str]] = Field(default_factory=dict)
    """Test -> the right answers that fail it: "solution", or a variant's file."""
    variants: list[str]
    mistakes: dict[str, Caught]
    mutants: dict[str, MutantsOfQuestion]
    """By question."""
    closest: ClosestThreshold | None = None
    held_out: HeldOutCounts
    problems: int

    @property
    def caught(self) -> int:
        """How many mistakes fail a test of their own question."""
        return sum(
            any(self.tests.get(test) == mistake.question for test in mistake.fails)
            for mistake in self.mistakes.values()
        )

    @property
    def mutation(self) -> MutationCount:
        """Of all questions together."""
        total = MutationCount()
        for each in self.mutants.values():
            count = each.count
            total.killed += count.killed
            total.timed_out += count.timed_out
            total.equivalent += count.equivalent
            total.survived += count.survived
            total.explained += count.explained
        return total


class Ledger(_Record):
    """All assignments."""

    assignments: dict[str, Entry] = Field(default_factory=dict)


def read_ledger(course: Course) -> Ledger:
    """The committed record; empty where there is none. Raises `LedgerError`."""
    path = course.root / LEDGER
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Ledger()
    except (ValidationError, ValueError) as error:
        raise LedgerError(
            f"{path} cannot be read: {str(error).splitlines()[0]}. Restore it from version control, or "
            "delete it and run `autograder audit --record`."
        ) from None


def write_ledger(course: Course, ledger: Ledger) -> Path:
    """Write it, complete or not at all. Raises OSError."""
    ordered = {
        assignment.slug: ledger.assignments[assignment.slug]
        for assignment in course.assignments
        if assignment.slug in ledger.assignments
    }
    path = course.root / LEDGER
    write_whole(path, Ledger(assignments=ordered).model_dump_json(indent=1) + "\n")
    return path


def source_digests(assignment: Assignment) -> dict[str, str]:
    """The files of an assignment that its audit depends on, with a digest of each as far as it decides: what
    is graded of the source, which mutants (not why) of the reviewed list, of course.yml all but the points.
    Raises `SourceError` or `MistakesError`.
    """
    files = [*suite_files(assignment), *assignment.variants, *assignment.all_own_files, assignment.mistakes]
    digests = {path: _digest(path.read_bytes()) for path in files if path.exists()}
    digests[assignment.source] = digest_of_solution(assignment.source)
    rules = assignment.model_dump_json(include=RULES - {"questions"})
    digests[assignment.root / FILE_NAME] = _digest(rules.encode())
    if (reviewed := assignment.source.with_name(EQUIVALENT)).exists():
        keys = sorted(each.key for each in equivalent_mutants(assignment))
        digests[reviewed] = _digest("\n".join(keys).encode())
    return {path.relative_to(assignment.root).as_posix(): digest for path, digest in digests.items()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def mutants_hold(assignment: Assignment, before: Entry | None) -> bool:
    """Whether nothing has changed that decides which mutants die: the solution, the suite, the reviewed list
    of equivalents, NumPy, and PyTorch where it is used. (Mistakes and variants do not.)
    """
    variants = f"solutions/{assignment.slug}/variants/"  # one of these may have gone
    return before is not None and bool(before.mutants) and _unchanged(assignment, before, but=variants)


def mistakes_hold(assignment: Assignment, before: Entry | None) -> bool:
    """Whether the recorded audit was clean and nothing has changed that decides what the known mistakes cost
    and what is told about them: they, the solution, the suite, the libraries, the engine. (Variants do not.)
    """
    if before is None or before.problems or not before.mistakes or not mutants_hold(assignment, before):
        return False
    if before.engine != engine_digest() or before.versions != library_versions():
        return False
    bank = assignment.mistakes.relative_to(assignment.root).as_posix()
    return source_digests(assignment).get(bank) == before.sources.get(bank)


def answers_hold(assignment: Assignment, before: Entry | None, seeds: int) -> bool:
    """Whether what is recorded of the right answers over as many seeds stands: the same without the variants'
    being left out.
    """
    return before is not None and before.seeds >= seeds and _unchanged(assignment, before)


def _unchanged(assignment: Assignment, before: Entry, but: str = "") -> bool:
    versions = library_versions()
    libraries = ("numpy", "torch") if assignment.torch else ("numpy",)
    if any(before.versions.get(name) != versions.get(name) for name in libraries):
        return False
    now = source_digests(assignment)
    paths = {*now, *before.sources} - {assignment.mistakes.relative_to(assignment.root).as_posix()}
    return all(
        now.get(path) == before.sources.get(path) for path in paths if not but or not path.startswith(but)
    )


def entry_of(
    assignment: Assignment,
    report: AuditReport,
    sources: Mapping[str, str],
    *,
    bank: Entry | None = None,
    mutants: Entry | None = None,
    answers: Entry | None = None,
) -> Entry:
    """What is kept of a report, with the digests of the sources as they were when it began.

    Its mistakes, its mutants and its right answers over many seeds are those of an earlier record, where that
    is given.
    """
    name = [test.name for test in report.suite]
    failures: dict[str, list[str]] = {}
    mistakes: dict[str, Caught] = {}
    recognised = {mistake.name: mistake.recognised for mistake in report.mistakes}
    for step, outcome in report.outcomes:
        failed = [name[failure.test] for failure in outcome.failures]
        if step.kind == "mistake":
            mistakes[step.name] = Caught(
                question=step.question, fails=failed, recognised=recognised[step.name]
            )
        elif step.kind in ("solution", "variant"):
            for test in failed:
                failures.setdefault(test, [])
                if step.name not in failures[test]:
                    failures[test].append(step.name)
    return Entry(
        versions=library_versions(),
        engine=engine_digest(),
        sources=dict(sources),
        seeds=report.seeds if answers is None else answers.seeds,
        tests={test.name: test.question for test in report.suite},
        failures=failures if answers is None else {**answers.failures, **failures},
        variants=[path.name for path in assignment.variants],
        mistakes=mistakes if bank is None else bank.mistakes,
        mutants=_mutants(report) if mutants is None else mutants.mutants,
        closest=_closest(report) if answers is None else answers.closest,
        held_out=held_out_counts(report.held_out) if bank is None else bank.held_out,
        problems=len(report.problems),
    )


def _mutants(report: AuditReport) -> dict[str, MutantsOfQuestion]:
    if report.mutation is None:
        return {}
    return {
        question: MutantsOfQuestion(
            killed=count.killed,
            timed_out=count.timed_out,
            equivalent=count.equivalent,
            survived=[each.key for each in report.mutation.survivors if each.question == question],
            explained=count.explained,
        )
        for question, count in report.mutation.questions.items()
    }


def _closest(report: AuditReport) -> ClosestThreshold | None:
    if not report.margins:
        return None
    first = report.margins[0]
    finite = first.deviation > 0
    return ClosestThreshold(
        answer=first.answer,
        test=first.test,
        what=first.what,
        deviations=round(first.deviations, 2) if finite else None,
        seeds=first.seeds,
    )


def held_out_counts(judged: Sequence[HeldOut]) -> HeldOutCounts:
    """The verdicts, counted."""
    counts = HeldOutCounts()
    for each in judged:
        setattr(counts, each.verdict, getattr(counts, each.verdict) + 1)
        counts.explicable += each.explicable
        counts.explained += each.explicable and each.verdict == "right"
    return counts


def stale(course: Course, ledger: Ledger) -> list[str]:
    """A sentence for each assignment, drafts apart, whose record is missing, outdated or not clean."""
    problems = []
    for assignment in course.published:
        entry = ledger.assignments.get(assignment.slug)
        if entry is None:
            problems.append(f"{LEDGER} holds no audit of {assignment.slug}.")
            continue
        now = source_digests(assignment)
        changed = sorted(path for path in {*now, *entry.sources} if now.get(path) != entry.sources.get(path))
        if changed:
            problems.append(f"{assignment.slug} was audited before {_some(changed)} changed.")
        elif entry.problems:
            problems.append(f"The recorded audit of {assignment.slug} found problems: {entry.problems}.")
    return problems


def ran_on(report: AuditReport) -> dict[str, set[str]]:
    """Mistake -> the names of the tests that it was run on. Two files may have tests of one name: all of them
    were run.
    """
    tests = Counter(test.name for test in report.suite)
    return {
        step.name: {
            name
            for name, count in Counter(report.suite[test].name for test in outcome.ran).items()
            if count == tests[name]
        }
        for step, outcome in report.outcomes
        if step.kind == "mistake"
    }


def changes(before: Entry, now: Entry, ran: Mapping[str, Collection[str]]) -> list[str]:
    """Which verdicts differ between two audits; a sentence each, the likely reason last. Empty for none.

    `ran`: as `ran_on` returns it, for the audit now.
    """
    found = [*_of_right_answers(before, now), *_of_mistakes(before, now, ran), *_of_mutants(before, now)]
    return [*found, f"Why: {_why(before, now)}"] if found else []


def _of_right_answers(before: Entry, now: Entry) -> Iterator[str]:
    for test in sorted({*before.failures, *now.failures}):
        then, today = set(before.failures.get(test, ())), set(now.failures.get(test, ()))
        question = now.tests.get(test) or before.tests.get(test, "")
        for answer in sorted(today - then):
            yield f"{question}, {test}: {answer} passed it, and fails it now."
        for answer in sorted(then - today):
            if test in now.tests:
                yield f"{question}, {test}: {answer} failed it, and passes it now."


def _of_mistakes(before: Entry, now: Entry, ran: Mapping[str, Collection[str]]) -> Iterator[str]:
    for name in before.mistakes:
        if name not in now.mistakes:
            continue
        then, today = before.mistakes[name], now.mistakes[name]
        for test in sorted({*then.fails} ^ {*today.fails}):
            if test in before.tests and test in ran.get(name, ()):
                was, is_now = ("failed", "passes") if test in then.fails else ("passed", "fails")
                yield f"{now.tests[test]}, {test}: mistake {name} {was} it, and {is_now} it now."
        if then.recognised != today.recognised:
            was, is_now = ("was", "is not any more") if then.recognised else ("was not", "is now")
            yield f"{today.question}: mistake {name} {was} recognised, and {is_now}."


def _of_mutants(before: Entry, now: Entry) -> Iterator[str]:
    for question in before.mutants:
        if question not in now.mutants:
            continue
        then, today = set(before.mutants[question].survived), set(now.mutants[question].survived)
        for key in sorted(today - then):
            yield f"{question}: mutant {key} survives now."
        for key in sorted(then - today):
            yield f"{question}: mutant {key} survived, and is dead or gone now."


def _why(before: Entry, now: Entry) -> str:
    reasons = [
        f"{package} {before.versions.get(package, 'none')} -> {now.versions.get(package, 'none')}"
        for package in sorted({*before.versions, *now.versions})
        if before.versions.get(package) != now.versions.get(package)
    ]
    paths = sorted({*before.sources, *now.sources})
    changed = [path for path in paths if before.sources.get(path) != now.sources.get(path)]
    if changed:
        reasons.append(f"{_some(changed)} changed")
    if before.engine != now.engine:
        reasons.append("the engine changed")
    if before.seeds != now.seeds:
        reasons.append(f"{now.seeds} seeds instead of {before.seeds}")
    return (
        "; ".join(reasons) + "." if reasons else "nothing that a verdict depends on changed, so it flickers."
    )


def _some(paths: Sequence[str], most: int = 3) -> str:
    return ", ".join(paths[:most]) + (f" and {len(paths) - most} more" if len(paths) > most else "")

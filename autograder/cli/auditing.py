"""`audit`: the proof of every suite, printed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.audit import AuditReport, audit_assignment
from autograder.audit.held_out import details, share, summary
from autograder.audit.ledger import (
    LEDGER,
    Ledger,
    answers_hold,
    changes,
    entry_of,
    mistakes_hold,
    mutants_hold,
    ran_on,
    read_ledger,
    source_digests,
    stale,
    write_ledger,
)
from autograder.audit.page import write_pages
from autograder.audit.survivors import review_file
from autograder.audit.table import readme_is_stale, readme_with, update_readme
from autograder.checking.mistakes import Mistake, read_mistakes
from autograder.cli.authoring import chosen
from autograder.cli.screen import progress
from autograder.course import Assignment, load_course


@dataclass(frozen=True)
class AuditCommand:
    """What was asked for."""

    seeds: int = 1
    jobs: int = 1
    mutants: bool = False
    diagnosis: bool = False
    force: bool = False
    html: Path | None = None
    record: bool = False
    brief: bool = False


def run_audit(folder: Path, slugs: Sequence[str], command: AuditCommand) -> int:
    """Audit. 0 when everything is clean, 1 when not."""
    if command.brief and (command.diagnosis or command.record or command.html is not None):
        print(
            "--brief leaves tests out, which --diagnosis, --html and --record need. Leave one of them away.",
            file=sys.stderr,
        )
        return 2
    course = load_course(folder)
    ledger = read_ledger(course)
    if command.record:
        readme_with(course, ledger)  # find out before an hour's work that its table has no place
    clean = True
    audited: list[tuple[Assignment, AuditReport, dict[str, Mistake]]] = []
    for assignment in chosen(folder, slugs):
        before = ledger.assignments.get(assignment.slug)
        holds = not command.force and mutants_hold(assignment, before)
        keep = command.record and command.html is None and not command.diagnosis
        keep = (keep or command.brief) and not command.force
        known = before if keep and mistakes_hold(assignment, before) else None
        recorded = command.record and not command.force and answers_hold(assignment, before, command.seeds)
        sources = source_digests(assignment)  # what is edited during the audit has not been audited
        with progress(f"audit {assignment.slug}") as update:
            report = audit_assignment(
                assignment,
                seeds=1 if recorded else command.seeds,
                jobs=command.jobs,
                bank=known is None,
                mutants=command.mutants or (command.record and not holds),
                explain=command.diagnosis or command.record,
                force=command.force,
                brief=command.brief,
                progress=update,
            )
        mistakes = {mistake.name: mistake for mistake in read_mistakes(assignment.mistakes)}
        for line in _lines(report, mistakes, command.diagnosis):
            print(line)
        for problem in report.problems:
            print(f"  {problem}", file=sys.stderr)
        _compare(ledger, assignment, report, sources)
        if known is not None:
            print(
                f"  {len(known.mistakes)} mistakes: as recorded, for nothing has changed that they depend on"
            )
        if command.record and report.mutation is None:
            print("  mutants: as recorded, for neither solution nor suite has changed since")
        if recorded and before is not None:
            print(f"  {before.seeds} seeds: as recorded, for no right answer nor the suite has changed since")
        sys.stdout.flush()
        clean &= report.clean
        audited.append((assignment, report, mistakes))
        if command.record:
            # One by one: what is finished stays when a later assignment is interrupted.
            ledger = read_ledger(course)
            ledger.assignments[assignment.slug] = entry_of(
                assignment,
                report,
                sources,
                bank=known,
                mutants=before if report.mutation is None else None,
                answers=before if recorded else None,
            )
            write_ledger(course, ledger)
            update_readme(course, ledger)
    if command.html is not None:
        print(f"Report: {write_pages(audited, course.title, command.html)[-1]}")
    return 0 if clean else 1


def run_audit_check(folder: Path) -> int:
    """Whether record and README are up to date with the sources; nothing is audited. 0, or 2 where not."""
    course = load_course(folder)
    ledger = read_ledger(course)
    problems = stale(course, ledger)
    if readme_is_stale(course, ledger):
        problems.append("The table in README.md is not the one that docs/audit.json gives.")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Run `autograder audit --record` and commit what it writes.", file=sys.stderr)
        return 2
    print("docs/audit.json and the table in README.md are up to date.")
    return 0


def _compare(ledger: Ledger, assignment: Assignment, report: AuditReport, sources: Mapping[str, str]) -> None:
    """Say which verdicts differ from the recorded audit."""
    before = ledger.assignments.get(assignment.slug)
    differing = changes(before, entry_of(assignment, report, sources), ran_on(report)) if before else []
    if differing:
        print(f"  Other verdicts than in {LEDGER}:", file=sys.stderr)
        for line in differing:
            print(f"    {assignment.slug}: {line}", file=sys.stderr)


def _lines(report: AuditReport, mistakes: Mapping[str, Mistake], diagnosis: bool) -> list[str]:
    count, recognised = len(report.mistakes), sum(mistake.recognised for mistake in report.mistakes)
    bank = f"{count} mistakes, {recognised} recognised" if count else "no mistakes run"
    lines = [
        f"{report.assignment}: {len(report.questions)} questions, {report.tests} tests, "
        f"{report.seeds} {'seed' if report.seeds == 1 else 'seeds'}, "
        f"{report.variants} variants x {report.variant_seeds}, "
        f"{bank}: "
        f"{'clean' if report.clean else f'{len(report.problems)} problems'}"
    ]
    if report.mutation is not None:
        total = report.mutation.total
        lines.append(
            f"  mutants: {total.dead} killed ({total.timed_out} by time), "
            f"{total.survived} survived, {total.equivalent} equivalent: score {total.score:.1%}"
        )
        if diagnosis:
            lines.append(f"  mutants with a true sentence: {share(total.explained, total.dead)}")
        if report.mutation.survivors:
            lines.append(review_file(report.mutation.survivors))
    if report.margins and report.margins[0].seeds > 2:
        lines.append(f"  lowest margin to a threshold: {report.margins[0]}")
    if report.variants and report.mutation is not None:
        lines.append(f"  largest rounding error of a right answer: {report.used:.2g} of the tolerance")
    if diagnosis:
        lines.append(f"  {summary(report.held_out)}")
        lines += [f"    {line}" for line in details(report.held_out, mistakes)]
    counts = Counter(mistake.question for mistake in mistakes.values())
    few = [f"{name} ({counts[name]})" for name in report.questions if counts[name] < 4]
    if few:
        lines.append(f"  fewer than four mistakes: {', '.join(few)}")
    return lines

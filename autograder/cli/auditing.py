"""`audit`: the proof of every suite, printed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from autograder.audit import AuditReport, audit_assignment
from autograder.audit.held_out import details, share, summary
from autograder.audit.survivors import review_file
from autograder.checking.mistakes import read_mistakes
from autograder.cli.authoring import chosen
from autograder.cli.screen import progress
from autograder.course import Assignment


def run_audit(
    folder: Path,
    slugs: Sequence[str],
    *,
    seeds: int,
    jobs: int,
    mutants: bool,
    diagnosis: bool = False,
    force: bool = False,
) -> int:
    """Audit. 0 when everything is clean, 1 when not."""
    clean = True
    for assignment in chosen(folder, slugs):
        with progress(f"audit {assignment.slug}") as update:
            report = audit_assignment(
                assignment,
                seeds=seeds,
                jobs=jobs,
                mutants=mutants,
                explain=diagnosis,
                force=force,
                progress=update,
            )
        for line in _lines(assignment, report, diagnosis):
            print(line)
        for problem in report.problems:
            print(f"  {problem}", file=sys.stderr)
        sys.stdout.flush()
        clean &= report.clean
    return 0 if clean else 1


def _lines(assignment: Assignment, report: AuditReport, diagnosis: bool) -> list[str]:
    recognised = sum(mistake.recognised for mistake in report.mistakes)
    lines = [
        f"{report.assignment}: {len(report.questions)} questions, {report.tests} tests, "
        f"{report.variants} variants x {report.seeds} seeds, {len(report.mistakes)} mistakes, "
        f"{recognised} recognised: "
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
    if diagnosis:
        lines.append(f"  {summary(report.held_out)}")
        known = {mistake.name: mistake for mistake in read_mistakes(assignment.mistakes)}
        lines += [f"    {line}" for line in details(report.held_out, known)]
    counts = Counter(mistake.question for mistake in report.mistakes)
    few = [f"{name} ({counts[name]})" for name in report.questions if counts[name] < 4]
    if few:
        lines.append(f"  fewer than four mistakes: {', '.join(few)}")
    return lines

"""`audit`: the proof of every suite, printed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from autograder.audit import audit_assignment
from autograder.audit.survivors import review_file
from autograder.cli.authoring import chosen
from autograder.cli.screen import progress


def run_audit(folder: Path, slugs: Sequence[str], *, seeds: int, jobs: int, mutants: bool) -> int:
    """Audit. 0 when everything is clean, 1 when not."""
    clean = True
    for assignment in chosen(folder, slugs):
        with progress(f"audit {assignment.slug}") as update:
            report = audit_assignment(assignment, seeds=seeds, jobs=jobs, mutants=mutants, progress=update)
        recognised = sum(mistake.recognised for mistake in report.mistakes)
        print(
            f"{report.assignment}: {len(report.questions)} questions, {report.tests} tests, "
            f"{report.variants} variants x {report.seeds} seeds, {len(report.mistakes)} mistakes, "
            f"{recognised} recognised: "
            f"{'clean' if report.clean else f'{len(report.problems)} problems'}"
        )
        if report.mutation is not None:
            found = report.mutation
            print(
                f"  mutants: {found.killed + found.timed_out} killed ({found.timed_out} by time), "
                f"{len(found.survivors)} survived, {found.equivalent} equivalent: score {found.score:.1%}"
            )
            if found.survivors:
                print(review_file(found.survivors))
        counts = Counter(mistake.question for mistake in report.mistakes)
        few = [f"{name} ({counts[name]})" for name in report.questions if counts[name] < 4]
        if few:
            print(f"  fewer than four mistakes: {', '.join(few)}")
        for problem in report.problems:
            print(f"  {problem}", file=sys.stderr)
        clean &= report.clean
    return 0 if clean else 1

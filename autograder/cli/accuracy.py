"""`accuracy`: the reference solutions on real data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from autograder.audit.accuracy import (
    AccuracyError,
    Measured,
    digest_of,
    measure,
    read_measured,
    script_of,
    write_measured,
)
from autograder.cli.authoring import chosen
from autograder.cli.screen import console
from autograder.course import load_course


def run_accuracy(
    folder: Path, slugs: Sequence[str], *, seed: int, device: str, force: bool, to: Path | None
) -> int:
    """Measure what has changed, keep each assignment's figures at once, print the table.

    0 when every headline is reached, 1 when one is not or an assignment could not be measured.
    """
    course = load_course(folder)
    path = to or course.root / "docs/accuracy.json"
    measured = read_measured(path)
    # As many as it may use: two threads that share one processor wait for each other most of the time.
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = [assignment for assignment in chosen(folder, slugs) if script_of(assignment).is_file()]
    failed = False
    for assignment in wanted:
        kept = measured.get(assignment.slug)
        same = kept is not None and (kept.digest, kept.seed, kept.device) == (
            digest_of(assignment),
            seed,
            device,
        )
        if same and not force:
            print(f"{assignment.slug}: nothing has changed since it was measured")
            continue
        print(f"{assignment.slug}: training ...", flush=True)
        try:
            measured[assignment.slug] = measure(assignment, seed=seed, device=device, threads=threads)
        except AccuracyError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        write_measured(course, measured, path)
    shown = {a.slug: measured[a.slug] for a in wanted if a.slug in measured}
    console().print(_table(shown))
    print(f"Saved: {path} and {path.with_suffix('.md')}")
    short = any(not figure.reached for one in shown.values() for figure in one.figures)
    return 1 if failed or short else 0


def _table(measured: dict[str, Measured]) -> Table:
    table = Table()
    for name in ("assignment", "figure", "ours", "to beat", "", "data", "seconds"):
        table.add_column(name)
    for slug, one in measured.items():
        for figure in one.figures:
            verdict = "" if figure.headline is None else "reached" if figure.reached else "SHORT"
            table.add_row(
                slug, figure.what, figure.shown(figure.ours), figure.shown(figure.headline), verdict,
                figure.sizes, f"{figure.seconds:.0f}",
            )  # fmt: skip
    return table

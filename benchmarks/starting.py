"""How long somebody waits: for the first verdict of `autograder grade`, and for `check()` in a notebook."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from graders import Autograder, copy_course
from measuring import BIN, BenchError, run
from workloads import Workload

from autograder.notebook.percent import read_source

ROUNDS, CHECKS = 5, 5
STUDENTS = 4
_CHECK = """\
import json, time
begun = time.perf_counter()
{cells}
from autograder import check
took = []
for _ in range({checks}):
    start = time.perf_counter()
    check({question!r})
    took.append(time.perf_counter() - start)
whole = time.perf_counter() - begun
json.dump([whole - sum(took[1:]), took[1:]], open("took.json", "w"))
"""


def first_verdicts(numpy: Workload, torch: Workload, scratch: Path) -> dict[str, float]:
    """Seconds from the start of `autograder grade --jobs 2` to its first verdict, and what an import of the
    library alone takes: "numpy", "torch", "import numpy", "import torch"; medians. Raises `BenchError`.
    """
    found: dict[str, list[float]] = {}
    for library, workload in (("numpy", numpy), ("torch", torch)):
        folder = scratch / f"start-{library}"
        copy_course(workload.assignment, folder)
        for number in range(STUDENTS):
            place = folder / "submitted" / f"student{number}" / workload.assignment.slug
            place.mkdir(parents=True)
            text = workload.assignment.solution_notebook.read_bytes()
            (place / workload.assignment.release_notebook.name).write_bytes(text)
        for _ in range(ROUNDS):
            found.setdefault(library, []).append(_first_verdict(workload.assignment.slug, folder))
            alone = run([sys.executable, "-c", f"import {library}"], folder).wall
            found.setdefault(f"import {library}", []).append(alone)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _first_verdict(slug: str, folder: Path) -> float:
    Autograder.forget(folder)
    journal = folder / ".autograder" / "runs" / f"{slug}.jsonl"
    command = [BIN / "autograder", "grade", slug, "submitted", "--jobs", "2", "--quiet"]
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    ) as process:
        while not (journal.is_file() and b'"result"' in journal.read_bytes()):
            if process.poll() is not None:
                raise BenchError(f"autograder grade ended with status {process.returncode} and no verdict.")
            time.sleep(0.005)
        took = time.perf_counter() - start
    return took


def check_seconds(workload: Workload, scratch: Path) -> tuple[float, float]:
    """Seconds from nothing to the first answer of `check()`, imports and the student's cells included, and of
    a later one; medians. Raises `BenchError`.
    """
    copy_course(workload.assignment, scratch / "check")
    folder = scratch / "check" / "assignments" / workload.assignment.slug
    cells = [
        cell.source
        for cell in read_source(workload.assignment.source)
        if cell.kind == "code" and not cell.show and cell.checks is None
    ]
    question = workload.assignment.questions[0].name
    script = _CHECK.format(cells="\n\n".join(cells), checks=CHECKS, question=question)
    (folder / "timed.py").write_text(script, encoding="utf-8")
    cold, warm = [], []
    for _ in range(ROUNDS):
        run([sys.executable, "timed.py"], folder)
        first, later = json.loads((folder / "took.json").read_text())
        cold.append(first)
        warm += later
    return statistics.median(cold), statistics.median(warm)

"""How fast `autograder grade` is beside `nbgrader autograde` and `otter run`, and beside the bare tests.

    python benchmarks/compare.py [WORKLOAD ...] [--rounds 3]

All graders get the same submissions with the same test functions, and take turns within each round, so that a
machine whose speed drifts is unfair to none. Writes docs/benchmarks.md and docs/benchmarks.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchpage import Limits, keep, table
from forks import fork_seconds
from graders import Autograder, Floor, Grader, Nbgrader, Otter, copy_course
from measuring import BenchError, Usage
from starting import check_seconds, first_verdicts
from workloads import NAMES, TRIMMED, Workload, workloads

from autograder.course import Assignment, load_course
from autograder.course.results import QuestionResult, SubmissionResult
from autograder.gradebook import default_url
from autograder.gradebook.database import Gradebook
from autograder.grading.grader import Graded
from autograder.grading.recording import GradebookRecorder
from autograder.notebook.intake import read_release, read_submission

Key = tuple[str, int]
"""Grader and jobs."""


def main() -> int:
    """Measure, print, write. Exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(NAMES)}; all when none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", action="append", default=[], help="leave a grader out: otter, nbgrader")
    options = parser.parse_args()
    graders: dict[Key, Grader] = {
        ("floor", 1): Floor(),
        ("autograder", 1): Autograder(1),
        ("autograder", 2): Autograder(2),
        ("nbgrader", 1): Nbgrader(),
        (TRIMMED, 1): Nbgrader(only_graded=True),
        ("otter", 1): Otter(),
    }
    graders = {key: grader for key, grader in graders.items() if key[0] not in options.without}
    try:
        with tempfile.TemporaryDirectory(prefix="autograder-bench-") as scratch:
            limits = limits_of_machine(Path(scratch) / "limits")
            for workload in workloads(Path(scratch), options.workloads or list(NAMES)):
                measured = measure(workload, graders, Path(scratch) / f"run-{workload.name}", options.rounds)
                # An hour's work: what is measured is kept, beside what was measured of other workloads.
                document = keep(ratios(workload, measured), medians(workload, measured), limits)
                print(table(document, workload.name), flush=True)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def limits_of_machine(scratch: Path) -> Limits:
    """What explains the comparison. Raises `BenchError`."""
    numpy, torch, knn = workloads(scratch, ["tiny_numpy", "tiny_torch", "02_knn"])
    return Limits(
        central=central_seconds(knn),
        forks={library: fork_seconds(library) for library in ("numpy", "torch")},
        starts=first_verdicts(numpy, torch, scratch),
        check=check_seconds(knn, scratch),
    )


def measure(
    workload: Workload, graders: dict[Key, Grader], folder: Path, rounds: int
) -> dict[Key, list[Usage]]:
    """Seconds a submission of each grader, one entry a round."""
    graders = {key: grader for key, grader in graders.items() if key[0] in workload.copies}
    for (name, jobs), grader in graders.items():
        place = folder / f"{name}-{jobs}"
        place.mkdir(parents=True)
        grader.prepare(workload, place)
    measured: dict[Key, list[Usage]] = defaultdict(list)
    for number in range(rounds):
        for key, grader in graders.items():
            usage = grader.grade(workload, folder / f"{key[0]}-{key[1]}").per(workload.copies[key[0]])
            measured[key].append(usage)
            took = f"{usage.wall * 1e3:.1f} ms, CPU {usage.cpu * 1e3:.1f} ms a submission"
            turn = f"{workload.name}, round {number + 1} of {rounds}, {key[0]}, jobs {key[1]}"
            print(f"{turn}: {took}, {usage.peak_mb:.0f} MB", flush=True)
    return measured


def ratios(workload: Workload, measured: dict[Key, list[Usage]]) -> list[dict[str, Any]]:
    """Rows for benchmarks.json: how many times our throughput is a peer's, round by round.

    Beside the floor it is CPU time that counts: how many times the bare tests' our run takes.
    """
    rows = []
    for jobs in (1, 2):
        ours = measured[("autograder", jobs)]
        for peer in ("nbgrader", TRIMMED, "otter", "floor", "autograder"):
            theirs = measured.get((peer, 1))
            if theirs is None or (peer == "autograder" and jobs == 1):
                continue
            pairs = zip(theirs, ours, strict=True)
            found = sorted(b.cpu / a.cpu if peer == "floor" else a.wall / b.wall for a, b in pairs)
            rows.append(
                {
                    "workload": workload.name,
                    "peer": peer,
                    "jobs": jobs,
                    "what": "CPU time over the floor's" if peer == "floor" else "throughput over the peer's",
                    "ratio_min": round(found[0], 3),
                    "ratio_median": round(statistics.median(found), 3),
                    "ratio_max": round(found[-1], 3),
                }
            )
    return rows


def medians(workload: Workload, measured: dict[Key, list[Usage]]) -> list[dict[str, Any]]:
    """Rows for benchmarks.json: seconds a submission and megabytes."""
    return [
        {
            "workload": workload.name,
            "grader": name,
            "jobs": jobs,
            "copies": workload.copies[name],
            "wall": round(statistics.median(usage.wall for usage in usages), 4),
            "cpu": round(statistics.median(usage.cpu for usage in usages), 4),
            "kernel": round(statistics.median(usage.kernel for usage in usages), 4),
            "faults": round(statistics.median(usage.faults for usage in usages)),
            "peak_mb": round(max(usage.peak_mb for usage in usages)),
        }
        for (name, jobs), usages in measured.items()
    ]


def central_seconds(workload: Workload, rounds: int = 25) -> float:
    """CPU time a submission of what only the main process does: read and mend, autograded copy, database."""
    raw = workload.assignment.solution_notebook.read_bytes()
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as scratch:
        copy_course(workload.assignment, Path(scratch))
        course = load_course(Path(scratch))
        assignment = course.assignment(workload.assignment.slug)
        release = read_release(assignment.release_notebook)

        def graded() -> list[Graded]:
            intakes = [read_submission(raw, release, assignment.limits) for _ in range(rounds)]
            return [Graded(_full_marks(assignment, f"s{number}"), one) for number, one in enumerate(intakes)]

        with GradebookRecorder(lambda: Gradebook(default_url(course), course).__enter__(), {}) as recorder:
            recorder.record(assignment, graded())  # imports, and the release is registered
            recorder.settle()
            start = time.process_time()
            recorder.record(assignment, graded())
            recorder.settle()
            return (time.process_time() - start) / rounds


def _full_marks(assignment: Assignment, student: str) -> SubmissionResult:
    questions = [
        QuestionResult(name=one.name, points=one.points, max_points=one.points)
        for one in assignment.questions
    ]
    most = assignment.max_points
    return SubmissionResult(student=student, score=most, max_score=most, questions=questions)


if __name__ == "__main__":
    sys.exit(main())

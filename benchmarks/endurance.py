"""Whether a long run stays as it began, how fast the gradebook is, and what a Dask cluster costs.

    python benchmarks/endurance.py [--submissions 5000]        (make bench-endurance)

One run of `autograder grade` over many copies of the tiny notebook, watched from outside: memory and open
files of its processes, seconds a submission, and what is left of processes, shared memory and temporary
files when it has ended. Then grades alone, written into a new SQLite gradebook. Then the same submissions
on two Dask workers of one thread, in turn with `--jobs 2`. Writes docs/endurance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "autograder"))

from dask_cluster import Cluster
from graders import copy_course
from measuring import BIN, BenchError, run
from workloads import REPOSITORY, Workload, workloads

from autograder.course import Assignment, load_course
from autograder.course.files import write_whole
from autograder.course.results import QuestionResult, SubmissionResult
from autograder.gradebook import default_url
from autograder.gradebook.database import Gradebook
from autograder.grading.run import BATCH

PAGE = REPOSITORY / "docs" / "endurance.md"
DASK_ROUNDS = 6
ROLES = {"autograder.grading.process": "graders", "autograder.sandbox.zygote": "zygotes"}


@dataclass(frozen=True)
class Sample:
    """The run at one moment."""

    seconds: float
    done: int
    megabytes: dict[str, float]
    """Resident memory by role."""
    files: int
    """Open descriptors of all roles together."""


def main() -> int:
    """Measure, print, write. Exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--submissions", type=int, default=5000)
    parser.add_argument("--dask-submissions", type=int, default=500)
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="autograder-bench-") as scratch:
            (workload,) = workloads(Path(scratch), ["tiny_numpy"])
            long_run = endurance(workload, Path(scratch) / "long", options.submissions)
            rate = gradebook_rate(workload.assignment, Path(scratch) / "rate", 3000)
            against = dask_share(workload, Path(scratch) / "dask", options.dask_submissions)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    head = f"Machine: {platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; "
    head += f"Python {platform.python_version()}. Written by `make bench-endurance`."
    text = "\n".join(["# A long run", "", head, "", *long_run, *rate, *against])
    print(text)
    write_whole(PAGE, text)
    return 0


def hand_in(workload: Workload, folder: Path, copies: int) -> None:
    """A course of its own with so many copies of the solution handed in."""
    folder.mkdir(parents=True)
    copy_course(workload.assignment, folder)
    for number in range(copies):
        place = folder / "submitted" / f"student{number:05}" / workload.assignment.slug
        place.mkdir(parents=True)
        shutil.copy(workload.assignment.solution_notebook, place / workload.assignment.release_notebook.name)


def processes(root: int) -> dict[int, str]:
    """The main process, its graders and their zygotes, by pid; workers, which come and go, are left out."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            commands[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, IndexError, ValueError):
            continue
    found, level = {root: "main"}, [root]
    while level:
        level = [pid for pid, parent in parents.items() if parent in level]
        for pid in level:
            role = next((role for word, role in ROLES.items() if word in commands.get(pid, "")), None)
            if role and not (role == "zygotes" and found.get(parents[pid]) == "zygotes"):
                found[pid] = role
    return found


def sample(root: int, journal: Path, start: float) -> Sample | None:
    """Look at the run; None once it has ended."""
    megabytes: dict[str, float] = dict.fromkeys(["main", *ROLES.values()], 0.0)
    files = 0
    try:
        for pid, role in processes(root).items():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            megabytes[role] += next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024
            files += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        done = journal.read_bytes().count(b"\n") - 1 if journal.is_file() else 0
    except (OSError, StopIteration):
        return None
    return Sample(time.monotonic() - start, done, megabytes, files)


def leftovers(folder: Path) -> set[str]:
    """Processes, shared memory and temporary files that are there now."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"autograder" in command and b"endurance" not in command:
                found.add(f"process {entry.name}: {command[:80]!r}")
    found |= {f"shared memory {path.name}" for path in Path("/dev/shm").iterdir()}
    return found | {f"temporary file {path.name}" for path in (folder / "tmp").iterdir()}


def endurance(workload: Workload, folder: Path, submissions: int) -> list[str]:
    """Lines on a run over `submissions` copies. Raises `BenchError` where it fails."""
    hand_in(workload, folder, submissions)
    (folder / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
    # The first run on a machine leaves matplotlib's list of fonts, for all that follow.
    warm = ["grade", workload.assignment.slug, "submitted/student00000", "--no-gradebook", "--quiet"]
    subprocess.run([BIN / "autograder", *warm], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder / ".autograder", ignore_errors=True)
    before = leftovers(folder)
    command = [
        "grade",
        workload.assignment.slug,
        "submitted",
        "--jobs",
        "2",
        "--json",
        "report.json",
        "--quiet",
    ]
    start = time.monotonic()
    process = subprocess.Popen([BIN / "autograder", *command], cwd=folder, env=environment)
    journal = folder / ".autograder" / "runs" / f"{workload.assignment.slug}.jsonl"
    samples: list[Sample] = []
    while process.poll() is None:
        now = sample(process.pid, journal, start)
        if now is not None and now.done > 0:
            samples.append(now)
            if len(samples) % 15 == 0:
                rate = now.done / now.seconds
                left = (submissions - now.done) / rate
                print(f"{now.done} of {submissions}, {rate:.0f} a second, {left:.0f} s left", flush=True)
        time.sleep(1)
    if process.returncode:
        raise BenchError(f"autograder grade ended with status {process.returncode}.")
    time.sleep(1)
    left = sorted(leftovers(folder) - before)
    took = [
        json.loads(line)["result"]["seconds"]
        for line in journal.read_text(encoding="utf-8").splitlines()
        if '"result"' in line
    ]
    graded = [
        took[submissions // 10 : 3 * submissions // 10],
        took[3 * submissions // 4 : 19 * submissions // 20],
    ]
    return _long_run_lines(samples, submissions, graded, left)


def _long_run_lines(
    samples: Sequence[Sample], submissions: int, graded: Sequence[Sequence[float]], left: list[str]
) -> list[str]:
    def near(share: float) -> list[Sample]:
        return [one for one in samples if abs(one.done / submissions - share) <= 0.1]

    early, late = near(0.2), near(0.85)
    if len(early) < 3 or len(late) < 3:
        raise BenchError("The run was too short to say anything: grade more submissions.")
    lines = [
        f"{submissions} submissions of a notebook with three functions and twelve tests, two jobs, with",
        "gradebook, autograded notebooks and feedback. Early: 10 to 30 % of the run; late: 75 to 95 %.",
        "",
        "| | early | late | late over early |",
        "|---|--:|--:|--:|",
    ]

    def row(name: str, first: float, second: float, unit: str) -> None:
        lines.append(f"| {name} | {first:.1f} {unit} | {second:.1f} {unit} | {second / first:.3f} |")

    for role in early[0].megabytes:
        means = [statistics.mean(one.megabytes[role] for one in part) for part in (early, late)]
        row(f"memory of {role}", means[0], means[1], "MB")
    row("open files", *(statistics.mean(one.files for one in part) for part in (early, late)), "")
    paces = [(part[-1].seconds - part[0].seconds) / (part[-1].done - part[0].done) for part in (early, late)]
    row("time a submission", paces[0] * 1e3, paces[1] * 1e3, "ms")
    row("grading alone, median", *(statistics.median(part) * 1e3 for part in graded), "ms")
    lines += [
        "",
        f"Left when it had ended: {', '.join(left) or 'no process, no shared memory, no temporary file'}.",
    ]
    return [*lines, ""]


def gradebook_rate(assignment: Assignment, folder: Path, submissions: int) -> list[str]:
    """A line on how many grades a second go into a new SQLite gradebook."""
    folder.mkdir()
    copy_course(assignment, folder)
    course = load_course(folder)
    own = course.assignment(assignment.slug)
    questions = [
        QuestionResult(name=one.name, points=one.points, max_points=one.points) for one in own.questions
    ]
    results = [
        SubmissionResult(
            student=f"s{number:05}", score=own.max_points, max_score=own.max_points, questions=questions
        )
        for number in range(submissions)
    ]
    with Gradebook(default_url(course), course) as gradebook:
        gradebook.register(own)
        start = time.perf_counter()
        for first in range(0, submissions, BATCH):
            gradebook.record(own, results[first : first + BATCH])
        fresh = submissions / (time.perf_counter() - start)
        start = time.perf_counter()
        for first in range(0, submissions, BATCH):
            gradebook.record(own, results[first : first + BATCH])
        again = submissions / (time.perf_counter() - start)
    return [
        "## The gradebook",
        "",
        f"SQLite, {len(questions)} questions, a transaction for every {BATCH} submissions: {fresh:.0f} new",
        f"submissions a second, {again:.0f} that are graded again.",
        "",
    ]


def dask_share(workload: Workload, folder: Path, submissions: int) -> list[str]:
    """Lines on two Dask workers of one thread against two jobs, in turn."""
    hand_in(workload, folder, submissions)
    command = [str(BIN / "autograder"), "grade", workload.assignment.slug, "submitted", "--quiet", "--force"]
    times: dict[str, list[float]] = {"jobs": [], "dask": []}
    with Cluster(folder) as cluster:
        for _ in range(2):
            cluster.add_worker()
        way = {"jobs": ["--jobs", "2"], "dask": ["--scheduler", cluster.address]}
        run([*command, *way["dask"]], folder)  # the suite travels to the workers, which start their graders
        for number in range(DASK_ROUNDS):
            for name in sorted(way, reverse=number % 2 == 1):  # no drift of the machine favours one of them
                times[name].append(run([*command, *way[name]], folder).wall)
    shares = sorted(a / b for a, b in zip(times["jobs"], times["dask"], strict=True))
    ours, theirs = (statistics.median(times[name]) / submissions * 1e3 for name in ("dask", "jobs"))
    return [
        "## Dask",
        "",
        f"{submissions} submissions on two workers of one thread, on one machine with scheduler and command,",
        f"in turn with `--jobs 2`, {DASK_ROUNDS} times: {ours:.1f} ms a submission against {theirs:.1f} ms;",
        f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f}) of the throughput, by round.",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())

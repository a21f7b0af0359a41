"""docs/benchmarks.json and the page that is made of it, docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from workloads import NAMES, REPOSITORY

from autograder.course.files import write_whole

JSON, PAGE = REPOSITORY / "docs" / "benchmarks.json", REPOSITORY / "docs" / "benchmarks.md"
JOBS = 2
ABOUT = """\
The same submissions (the solution) with the same test functions, graders in turn, medians of all
rounds. nbgrader executes the whole notebook that was handed in. As a lower bound, it is also given
one without the training runs, pictures and public checks, which `autograder` does not run when it
grades; so is otter-grader. Start of the command, gradebook and autograded notebooks are included
everywhere but in the floor, which is the bare test functions in one warm process. Peak memory is
the largest single process's. `make bench` runs it."""
LIMIT = """\
Each test runs in a fork of its own, so that none sees what another left. A fork that does nothing
takes {numpy:.1f} ms here with NumPy loaded and {torch:.1f} ms with PyTorch, and a tiny submission with its
twelve tests needs thirteen. Each page of memory that a fork writes to is copied, {page:.1f} µs a page, and
Python writes to whatever it looks at, for it counts references there. Both are in the kernel's
share: below each table, what the bare tests and the kernel take together, which is the limit for
a grader that keeps tests apart by forking. The main process takes {central:.0f} ms for a submission of
02_knn (reading, gradebook, copy, page)."""
START = """\
The first verdict of `autograder grade --jobs 2` comes {numpy:.1f} s after its start with NumPy,
{torch:.1f} s with PyTorch. The grader and its sandbox both import the library, at the same time, and
then load the suite; one process alone takes {import_torch:.1f} s to import PyTorch here, and
{import_numpy:.1f} s to import NumPy. `check()` in a notebook of 02_knn answers in {warm:.0f} ms; the first
time, with all imports, in {cold:.0f} ms."""


@dataclass(frozen=True)
class Limits:
    """What stands beside the comparison: parts that explain it, in seconds."""

    central: float
    """A submission of 02_knn in the main process."""
    forks: dict[str, tuple[float, float]]
    """Library -> a bare fork, and each page that one writes to."""
    starts: dict[str, float]
    """As `starting.first_verdicts` returns them."""
    check: tuple[float, float]
    """`check()`: the first answer, and a later one."""


def keep(
    rows: list[dict[str, Any]],
    measured: list[dict[str, Any]],
    limits: Limits,
) -> dict[str, Any]:
    """Put one workload's figures in the place of its earlier ones, and write both files.

    Figures of another machine are dropped: ratios would stand beside absolute times that do not belong to
    them.

    Args:
        rows, measured: as `compare.ratios` and `compare.medians` return them.
        limits: measured beside them.

    Returns:
        The whole document.
    """
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    try:
        before = json.loads(JSON.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    same = before.get("machine") == machine
    fresh = {row["workload"] for row in measured}
    document = {
        "machine": machine,
        "versions": _versions(),
        "rows": _in_order([row for row in before.get("rows", []) if same], rows, fresh),
        "measured": _in_order([row for row in before.get("measured", []) if same], measured, fresh),
        "central_seconds": round(limits.central, 4),
        "fork_seconds": {library: round(bare, 5) for library, (bare, _) in limits.forks.items()},
        "page_seconds": round(limits.forks["numpy"][1], 8),
        "start_seconds": {what: round(seconds, 2) for what, seconds in limits.starts.items()},
        "check_seconds": [round(seconds, 4) for seconds in limits.check],
    }
    write_whole(JSON, json.dumps(document, indent=1) + "\n")
    write_whole(PAGE, _page(document))
    return document


def _in_order(
    before: list[dict[str, Any]], now: list[dict[str, Any]], fresh: set[str]
) -> list[dict[str, Any]]:
    rows = [row for row in before if row["workload"] not in fresh] + now
    return sorted(rows, key=lambda row: NAMES.index(row["workload"]))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("numpy", "torch", "pytest", "nbgrader", "otter-grader"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def table(document: dict[str, Any], workload: str) -> str:
    """One workload in Markdown."""
    times = {
        row["peer"]: row["ratio_median"]
        for row in document["rows"]
        if row["workload"] == workload and row["jobs"] == 2
    }
    lines = [
        f"### {workload}",
        "",
        "| grader | jobs | copies | wall, ms a submission | CPU, ms a submission | of it kernel "
        "| page faults | peak, MB | ours is |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["measured"]:
        if row["workload"] == workload:
            name = row["grader"]
            shown = "" if name in ("floor", "autograder") else f"{times[name]:.0f} times (2 jobs)"
            wall, cpu = row["wall"] * 1e3, row["cpu"] * 1e3
            kernel = f"{row['kernel'] * 1e3:.1f}" if "kernel" in row else ""
            faults = row.get("faults", "")
            lines.append(
                f"| {name} | {row['jobs']} | {row.get('copies', '')} | {wall:.1f} | {cpu:.1f} | {kernel} "
                f"| {faults} | {row['peak_mb']} | {shown} |"
            )
    return "\n".join([*lines, *_limit(document["measured"], workload), ""])


def _limit(measured: list[dict[str, Any]], workload: str) -> list[str]:
    """The bare tests' time and the kernel's share of ours, as a multiple of the former; what two jobs are."""
    rows = {(row["grader"], row["jobs"]): row for row in measured if row["workload"] == workload}
    floor, ours = rows.get(("floor", 1)), rows.get(("autograder", 1))
    if floor is None or ours is None or "kernel" not in ours:
        return []
    bare, kernel = floor["cpu"], ours["kernel"]
    lines = [
        "",
        f"The bare tests take {bare * 1e3:.1f} ms and the kernel {kernel * 1e3:.1f} ms for the forks of "
        f"ours, together {(bare + kernel) / bare:.1f} times the floor.",
    ]
    two = rows.get(("autograder", 2))
    if two is not None:
        most, reached = ours["wall"] / (two["cpu"] / JOBS), ours["wall"] / two["wall"]
        lines.append(
            f"Two jobs take {two['cpu'] * 1e3:.1f} ms of CPU time a submission, main process included, so on "
            f"two cores they can be at most {most:.2f} times one; with the start and the last submissions, "
            f"during which a core is idle, it is {reached:.2f}."
        )
    return lines


def _page(document: dict[str, Any]) -> str:
    known = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    forks = {library: seconds * 1e3 for library, seconds in document["fork_seconds"].items()}
    page_copied = document["page_seconds"] * 1e6
    limit = LIMIT.format(central=document["central_seconds"] * 1e3, page=page_copied, **forks)
    starts = {what.replace(" ", "_"): seconds for what, seconds in document["start_seconds"].items()}
    cold, warm = document["check_seconds"]
    start = START.format(cold=cold * 1e3, warm=warm * 1e3, **starts)
    names = [name for name in NAMES if any(row["workload"] == name for row in document["measured"])]
    page = [
        "# Benchmarks",
        "",
        ABOUT,
        "",
        limit,
        "",
        start,
        "",
        f"Machine: {document['machine']}. Versions: {known}.",
        "",
    ]
    page += [table(document, name) for name in names]
    page += ["| workload | peer | jobs | what | min | median | max |", "|---|---|---|---|---|---|---|"]
    page += [
        f"| {row['workload']} | {row['peer']} | {row['jobs']} | {row['what']} | {row['ratio_min']:.2f} "
        f"| {row['ratio_median']:.2f} | {row['ratio_max']:.2f} |"
        for row in document["rows"]
    ]
    return "\n".join([*page, ""])

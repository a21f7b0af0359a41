"""docs/benchmarks.json and the page that is made of it, docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from workloads import NAMES, REPOSITORY

from autograder.course.files import write_whole

JSON, PAGE = REPOSITORY / "docs" / "benchmarks.json", REPOSITORY / "docs" / "benchmarks.md"
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
twelve tests needs thirteen. A fork that does something copies each page of memory that it writes
to, and Python writes to whatever it looks at: hence the kernel's share in the tables, which is the
limit for a grader that keeps tests apart by forking. The main process takes {central:.0f} ms for a
submission of 02_knn (reading, gradebook, copy, page)."""


def keep(
    rows: list[dict[str, Any]], measured: list[dict[str, Any]], central: float, forks: dict[str, float]
) -> dict[str, Any]:
    """Put one workload's figures in the place of its earlier ones, and write both files.

    Figures of another machine are dropped: ratios would stand beside absolute times that do not belong to
    them.

    Args:
        rows, measured: as `compare.ratios` and `compare.medians` return them.
        central: seconds a submission of the main process.
        forks: library -> seconds of a bare fork.

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
        "central_seconds": round(central, 4),
        "fork_seconds": {library: round(seconds, 5) for library, seconds in forks.items()},
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
        "| grader | jobs | copies | wall, ms a submission | CPU, ms a submission | of it kernel | peak, MB "
        "| ours is |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in document["measured"]:
        if row["workload"] == workload:
            name = row["grader"]
            shown = "" if name in ("floor", "autograder") else f"{times[name]:.0f} times (2 jobs)"
            wall, cpu = row["wall"] * 1e3, row["cpu"] * 1e3
            kernel = f"{row['kernel'] * 1e3:.1f}" if "kernel" in row else ""
            lines.append(
                f"| {name} | {row['jobs']} | {row.get('copies', '')} | {wall:.1f} | {cpu:.1f} | {kernel} "
                f"| {row['peak_mb']} | {shown} |"
            )
    return "\n".join([*lines, ""])


def _page(document: dict[str, Any]) -> str:
    known = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    forks = {library: seconds * 1e3 for library, seconds in document["fork_seconds"].items()}
    limit = LIMIT.format(central=document["central_seconds"] * 1e3, **forks)
    names = [name for name in NAMES if any(row["workload"] == name for row in document["measured"])]
    page = [
        "# Benchmarks",
        "",
        ABOUT,
        "",
        limit,
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

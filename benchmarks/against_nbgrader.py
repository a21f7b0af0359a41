"""Throughput of `autograder grade` and of `nbgrader autograde` on the same submissions with the same tests.

    python benchmarks/against_nbgrader.py 02_knn --copies 100 --jobs 2

For nbgrader the hidden suite is put into the notebook's grade cells: each cell runs the tests of its question
on the functions of the notebook, in the notebook's kernel, and gives the points as its value. The same test
functions, seeds and reference are used on both sides, which run in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from autograder.course import Assignment, load_course
from autograder.grading.identity import suite_files
from autograder.notebook.percent import read_source

BIN = Path(sys.executable).parent

HARNESS = """
import inspect, itertools
import numpy as np
from autograder.checking.namespace import Namespace, load_cells, parameter_names
from autograder.checking.plugin import Budget, derived_seed
from autograder.checking.proxy import local_student
from autograder.datasets import load_dataset
from autograder.notebook.cells import Cell

_reference = load_cells([Cell(i, "code", source) for i, source in enumerate(SOLUTION)])
_tests = []
for _name, _source in SUITES.items():
    _module = {"__name__": _name}
    exec(compile(_source, _name, "exec"), _module)
    _tests += [(f"{_name}::{key}", value) for key, value in _module.items() if key.startswith("test_")]

def _cases(function):
    grids = [mark.args for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    for chosen in itertools.product(*[[(names, value) for value in values] for names, values, *_ in grids]):
        case = {}
        for names, value in chosen:
            keys = [key.strip() for key in names.split(",")] if isinstance(names, str) else list(names)
            value = getattr(value, "values", value) if type(value).__name__ == "ParameterSet" else value
            case.update(zip(keys, value if len(keys) > 1 else [value]))
        yield case

def run_question(question, points):
    passed = total = 0.0
    for name, function in _tests:
        mark = next((m for m in getattr(function, "pytestmark", []) if m.name == "question"), None)
        if mark is None or mark.args[0] != question:
            continue
        weight = mark.kwargs.get("weight", 1)
        for case in _cases(function):
            total += weight
            names = parameter_names(_reference)
            with local_student(globals(), lambda name: False, seed=1, parameter_names=names) as student:
                known = {"student": student, "reference": Namespace(_reference), "budget": Budget(),
                         "rng": np.random.default_rng(derived_seed(1, name)), "data": load_dataset, **case}
                try:
                    function(**{key: known[key] for key in inspect.signature(function).parameters})
                    passed += weight
                except Exception:
                    pass
    return points * passed / total
"""


def nbgrader_course(assignment: Assignment, folder: Path, copies: int) -> None:
    """A course for plain nbgrader: the same notebook with the suite in its grade cells."""
    cells = read_source(assignment.source)
    suites = {path.name: path.read_text(encoding="utf-8") for path in suite_files(assignment)}
    # Without the marks, or nbgrader would clear this text too.
    solution = [
        cell.source.replace("BEGIN SOLUTION", "").replace("END SOLUTION", "")
        for cell in cells
        if cell.kind == "code" and not cell.show and cell.checks is None
    ]
    notebook = nbformat.read(assignment.solution_notebook, as_version=4)
    kept = []
    for cell in notebook.cells:
        cell.setdefault("metadata", {})
        info = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if info.get("grade"):
            name = info["grade_id"].removeprefix("test_")
            cell.source = f"run_question({name!r}, {info['points']!r})"
        elif "show" in cell.metadata.get("tags", []):
            continue
        kept.append(cell)
    harness = nbformat.v4.new_code_cell(f"SOLUTION = {solution!r}\nSUITES = {suites!r}\n{HARNESS}")
    harness.metadata["nbgrader"] = {
        "schema_version": 3, "grade": False, "solution": False, "locked": True, "task": False,
        "grade_id": "harness",
    }  # fmt: skip
    notebook.cells = [harness, *kept]
    source = folder / "source" / assignment.slug
    source.mkdir(parents=True)
    nbformat.write(notebook, source / assignment.release_notebook.name)
    config = "c = get_config()\nc.ClearSolutions.enforce_metadata = False\n"
    (folder / "nbgrader_config.py").write_text(config + 'c.CourseDirectory.course_id = "bench"\n')
    run(["nbgrader", "generate_assignment", assignment.slug, "--force"], folder)
    for number in range(copies):
        place = folder / "submitted" / f"student{number:04}" / assignment.slug
        place.mkdir(parents=True)
        nbformat.write(notebook, place / assignment.release_notebook.name)


def our_course(assignment: Assignment, folder: Path, copies: int) -> None:
    """A copy of the course with the same submissions."""
    ignore = shutil.ignore_patterns("__pycache__", "autograder", ".venv", "demo", ".git")
    for name in ("solutions", "tests", "assignments", "course.yml"):
        source = assignment.root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    for number in range(copies):
        place = folder / "submitted" / f"student{number:04}" / assignment.slug
        place.mkdir(parents=True)
        shutil.copy(assignment.solution_notebook, place / assignment.release_notebook.name)


def run(command: list[str], folder: Path) -> float:
    """Run a command of this environment; wall-clock seconds."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slug")
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--nbgrader-copies", type=int, default=10, help="nbgrader's time grows linearly")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    assignment = load_course(Path.cwd()).assignment(options.slug)
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as scratch:
        theirs, ours = Path(scratch, "nbgrader"), Path(scratch, "ours")
        theirs.mkdir()
        ours.mkdir()
        nbgrader_course(assignment, theirs, options.nbgrader_copies)
        our_course(assignment, ours, options.copies)
        ratios = []
        for number in range(options.rounds):
            shutil.rmtree(theirs / "autograded", ignore_errors=True)
            b = run(["nbgrader", "autograde", options.slug, "--force"], theirs) / options.nbgrader_copies
            command = ["autograder", "grade", options.slug, "submitted", "--jobs", str(options.jobs)]
            command += ["--json", "report.json"]
            a = run(command, ours) / options.copies
            ratios.append(b / a)
            print(f"round {number + 1}: nbgrader {b:.3f} s, autograder {a:.3f} s a submission: {b / a:.1f}x")
        report = json.loads((ours / "report.json").read_text())
        scores = {entry["score"] for entry in report["submissions"]}
        grading = sum(entry["seconds"] for entry in report["submissions"]) / options.copies
        print(f"scores here: {scores}; seconds inside the grader per submission: {grading:.3f}")
        ratios.sort()
        median = ratios[len(ratios) // 2]
        print(f"throughput ratio: min {ratios[0]:.1f}, median {median:.1f}, max {ratios[-1]:.1f}")


if __name__ == "__main__":
    main()

"""The graders that are compared, each with the same submissions and the same test functions.

Every submission is the solution, so a grader that gives less than all points is not set up right, and the run
is stopped.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Protocol

import nbformat
from measuring import BenchError, Usage, run
from workloads import REPOSITORY, TRIMMED, Workload

from autograder.course import Assignment
from autograder.grading.identity import suite_files
from autograder.notebook.percent import read_source

HARNESS = Path(__file__).with_name("harness.py")


class Grader(Protocol):
    """One way of grading a workload's copies."""

    name: str

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Lay out everything that is not timed."""
        ...

    def grade(self, workload: Workload, folder: Path) -> Usage:
        """Grade all copies, from nothing to scores. Raises `BenchError`."""
        ...


class Autograder:
    """`autograder grade`, with gradebook, autograded notebooks and feedback pages."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.name = "autograder"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """A copy of the course, and the submissions in nbgrader's layout."""
        copy_course(workload.assignment, folder)
        _hand_in(workload, folder, workload.copies["autograder"], workload.assignment.solution_notebook)

    def grade(self, workload: Workload, folder: Path) -> Usage:
        """Timed with the start of the command."""
        slug = workload.assignment.slug
        self.forget(folder)
        command = [
            "autograder",
            "grade",
            slug,
            "submitted",
            "--jobs",
            str(self.jobs),
            "--json",
            "report.json",
        ]
        usage = run([*command, "--quiet"], folder)
        report = json.loads((folder / "report.json").read_text())
        scores = {(entry["score"], entry["max_score"]) for entry in report["submissions"]}
        _all_points(self.name, {score / most for score, most in scores})
        return usage

    @staticmethod
    def forget(folder: Path) -> None:
        """Leave nothing of an earlier run."""
        for left in ("autograded", "feedback", ".autograder"):
            shutil.rmtree(folder / left, ignore_errors=True)
        (folder / "gradebook.db").unlink(missing_ok=True)


class Nbgrader:
    """`nbgrader autograde`: the suite is put into the grade cells of the notebook.

    nbgrader executes what was handed in, from the first cell to the last. `only_graded` is given copies
    without the cells that only show (training runs, pictures, public checks): no student hands those in, but
    they bound what nbgrader takes, whatever an assignment's notebook shows.
    """

    def __init__(self, *, only_graded: bool = False) -> None:
        self.only_graded = only_graded
        self.name = TRIMMED if only_graded else "nbgrader"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """A course for plain nbgrader."""
        assignment = workload.assignment
        notebook = _with_tests_as_cells(assignment, only_graded=self.only_graded)
        source = folder / "source" / assignment.slug
        source.mkdir(parents=True)
        nbformat.write(notebook, source / assignment.release_notebook.name)
        shutil.copy(assignment.release_notebook.with_name("test_public.py"), source)
        config = "c = get_config()\nc.ClearSolutions.enforce_metadata = False\n"
        config += "c.ExecutePreprocessor.timeout = 600\n"
        (folder / "nbgrader_config.py").write_text(config + 'c.CourseDirectory.course_id = "bench"\n')
        run(["nbgrader", "generate_assignment", assignment.slug, "--force"], folder)
        path = folder / "solved.ipynb"
        nbformat.write(notebook, path)
        _hand_in(workload, folder, workload.copies[self.name], path)

    def grade(self, workload: Workload, folder: Path) -> Usage:
        """Timed with the start of the command."""
        shutil.rmtree(folder / "autograded", ignore_errors=True)
        usage = run(["nbgrader", "autograde", workload.assignment.slug, "--force"], folder)
        run(["nbgrader", "export"], folder)
        with (folder / "grades.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        if len(rows) < workload.copies[self.name]:
            raise BenchError(f"nbgrader graded {len(rows)} submissions only.")
        _all_points(self.name, {float(row["score"]) / float(row["max_score"]) for row in rows})
        return usage


class Otter:
    """`otter run`, once for each submission, as its command line does; the suite in its test files."""

    name = "otter"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """autograder.zip with a test file for each question."""
        assignment = workload.assignment
        with zipfile.ZipFile(folder / "autograder.zip", "w") as archive:
            archive.writestr("otter_config.json", json.dumps({"lang": "python"}))
            for question in assignment.questions:
                archive.writestr(
                    f"tests/{question.name}.py",
                    f"from otter.test_files import test_case\n\nOK_FORMAT = False\n"
                    f"name = {question.name!r}\npoints = {question.points!r}\n\n{_harness(assignment)}\n\n"
                    f"@test_case()\ndef test_all(env):\n"
                    f"    points = SUITE.run_question(env, {question.name!r}, {question.points!r})\n"
                    f"    assert points == {question.points!r}\n",
                )
        notebook = nbformat.read(assignment.solution_notebook, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if not only_shows(cell)]
        for cell in notebook.cells:
            cell.metadata.pop("nbgrader", None)
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        for number in range(workload.copies["otter"]):
            nbformat.write(notebook, folder / f"student{number:04}.ipynb")

    def grade(self, workload: Workload, folder: Path) -> Usage:
        """One process after the other."""
        total = Usage(0, 0, 0, 0, 0)
        for number in range(workload.copies["otter"]):
            usage = run(
                ["otter", "run", "-a", "autograder.zip", "--no-logo", f"student{number:04}.ipynb"], folder
            )
            total = total.and_then(usage)
            result = json.loads((folder / "results.json").read_text())
            tests = [test for test in result["tests"] if test.get("max_score")]
            _all_points(self.name, {test["score"] / test["max_score"] for test in tests})
        return total


class Floor:
    """The same tests on the same functions in one warm process: no sandbox, no notebook, no database."""

    name = "floor"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """A script that runs the harness once for each submission and says what that took."""
        assignment = workload.assignment
        questions = [(question.name, question.points) for question in assignment.questions]
        (folder / "floor.py").write_text(
            f"{_harness(assignment)}\nimport json, os, resource, sys, time\n"
            f"QUESTIONS, COPIES = {questions!r}, {workload.copies['floor']}\n"
            "functions = SUITE.reference\n"
            "def once():\n    return sum(SUITE.run_question(functions, *one) for one in QUESTIONS)\n"
            "points = {once()}\n"  # warm: data sets are loaded, caches filled
            "start, before, system = time.perf_counter(), time.process_time(), os.times().system\n"
            "faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            "points |= {once() for _ in range(COPIES)}\n"
            "wall, cpu = time.perf_counter() - start, time.process_time() - before\n"
            "kernel, used = os.times().system - system, resource.getrusage(resource.RUSAGE_SELF)\n"
            "faults, peak = used.ru_minflt - faults, used.ru_maxrss / 1024\n"
            "assert points == {sum(points for _, points in QUESTIONS)}, points\n"
            "json.dump([wall, cpu, kernel, faults, peak], open('floor.json', 'w'))\n"
        )

    def grade(self, workload: Workload, folder: Path) -> Usage:
        """Timed inside, without start."""
        run([sys.executable, "floor.py"], folder)
        return Usage(*json.loads((folder / "floor.json").read_text()))


def _all_points(grader: str, shares: set[float]) -> None:
    if any(abs(share - 1) > 1e-6 for share in shares):
        raise BenchError(f"{grader} gives the solution {sorted(shares)} of the points.")


def _harness(assignment: Assignment) -> str:
    """The harness as text, with the suite and the solution in it."""
    suites = {path.name: path.read_text(encoding="utf-8") for path in suite_files(assignment)}
    # Without the marks, or nbgrader would clear this text, too.
    solution = [
        cell.source.replace("BEGIN SOLUTION", "").replace("END SOLUTION", "")
        for cell in read_source(assignment.source)
        if cell.kind == "code" and not cell.show and cell.checks is None
    ]
    return f"{HARNESS.read_text(encoding='utf-8')}\n\nSUITE = PlainSuite({suites!r}, {solution!r})\n"


def only_shows(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell is not graded and defines nothing that is."""
    shows = "show" in cell.metadata.get("tags", []) or cell.source.startswith("check(")
    return bool(cell.cell_type == "code" and shows and not cell.metadata.get("nbgrader", {}).get("grade"))


def _with_tests_as_cells(assignment: Assignment, *, only_graded: bool) -> nbformat.NotebookNode:
    notebook = nbformat.read(assignment.solution_notebook, as_version=4)
    kept = []
    for cell in notebook.cells:
        info = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if info.get("grade"):
            name = info["grade_id"].removeprefix("test_")
            cell.source = f"SUITE.run_question(globals(), {name!r}, {info['points']!r})"
        elif only_graded and only_shows(cell):
            continue
        kept.append(cell)
    harness = nbformat.v4.new_code_cell(_harness(assignment))
    harness.metadata["nbgrader"] = {
        "schema_version": 3, "grade": False, "solution": False, "locked": True, "task": False,
        "grade_id": "harness",
    }  # fmt: skip
    notebook.cells = [harness, *kept]
    return notebook


def copy_course(assignment: Assignment, folder: Path) -> None:
    """A course folder with this one assignment."""
    ignore = shutil.ignore_patterns("__pycache__", "autograder")
    for name in ("solutions", "tests", "assignments"):
        shutil.copytree(
            assignment.root / name / assignment.slug, folder / name / assignment.slug, ignore=ignore
        )
    # The other assignments of the course are not there, and course.yml need not be changed for that.
    shutil.copy(assignment.root / "course.yml", folder)
    shutil.copy(REPOSITORY / "nbgrader_config.py", folder)


def _hand_in(workload: Workload, folder: Path, copies: int, notebook: Path) -> None:
    for number in range(copies):
        place = folder / "submitted" / f"student{number:04}" / workload.assignment.slug
        place.mkdir(parents=True)
        shutil.copy(notebook, place / workload.assignment.release_notebook.name)

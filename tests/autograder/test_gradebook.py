"""The gradebook holds what nbgrader would have written, keeps what graders wrote, and is never half written."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nbgrader import api
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import CsvExportPlugin
from nbgrader.utils import determine_grade
from sqlalchemy import event, inspect, select
from sqlalchemy.orm import Session
from traitlets.config import Config, PyFileConfigLoader

from autograder.authoring.notebooks import release_notebook, serialise, solution_notebook
from autograder.course import Assignment, Course, load_course
from autograder.course.results import QuestionResult, SubmissionResult, TestResult
from autograder.gradebook import Gradebook, GradebookError, default_url, grade_cells_from, write_graded_copy
from autograder.gradebook import database as database_module
from autograder.gradebook import schema
from autograder.gradebook.copies import MAX_SUMMARY, summary
from autograder.notebook.intake import read_release, read_submission
from autograder.notebook.percent import read_source

REPOSITORY = Path(__file__).parents[2]
HANDED_IN = datetime(2026, 10, 30, 17, 59, 58, 123456, tzinfo=UTC)
ANSWERS = {
    "relu_forward": "def relu_forward(x):\n    return np.maximum(x, 0), x",
    "softmax": "def softmax(scores):\n    return np.exp(scores) / np.exp(scores).sum()",
}


@pytest.fixture
def course(tiny_course: Path) -> Course:
    """The tiny course with its release and its solution notebook, not executed."""
    prepare(tiny_course)
    return load_course(tiny_course)


@pytest.fixture
def assignment(course: Course) -> Assignment:
    return course.assignment("tiny")


def prepare(root: Path) -> None:
    assignment = load_course(root).assignment("tiny")
    cells = read_source(assignment.source)
    assignment.release.mkdir(parents=True, exist_ok=True)
    assignment.release_notebook.write_bytes(serialise(release_notebook(assignment, cells)))
    assignment.solution_notebook.write_bytes(serialise(solution_notebook(assignment, cells)))
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)


def result(student: str, relu: float = 2.0, softmax: float = 3.0, **more: Any) -> SubmissionResult:
    def question(name: str, points: float, maximum: float) -> QuestionResult:
        passed = TestResult(name="test_one", says="The values are right.", outcome="passed")
        failed = TestResult(
            name="test_two",
            says="Large scores do not overflow.",
            outcome="failed",
            message="probabilities holds NaN\nsecond line",
            diagnosis="The scores are not shifted.",
        )
        tests = [passed] if points == maximum else [passed, failed]
        return QuestionResult(name=name, points=points, max_points=maximum, tests=tests)

    questions = [question("relu_forward", relu, 2.0), question("softmax", softmax, 3.0)]
    return SubmissionResult(student=student, score=relu + softmax, max_score=5.0, questions=questions, **more)


def submission(assignment: Assignment, answered: tuple[str, ...] = (), **extra: Any) -> bytes:
    """A student's notebook: the release, with some answers."""
    document = json.loads(assignment.release_notebook.read_bytes())
    for cell in document["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if grade_id in answered:
            cell["source"] = ANSWERS[grade_id]
    document["cells"].append(
        {
            "id": "own",
            "cell_type": "code",
            "metadata": {},
            "source": "1 + 1",
            "execution_count": 3,
            "outputs": [
                {"output_type": "stream", "name": "stderr", "text": "a warning"},
                *extra.get("outputs", []),
            ],
        }
    )
    return json.dumps(document).encode()


def hand_in(assignment: Assignment, student: str, notebook: bytes, timestamp: str | None = None) -> None:
    folder = assignment.root / "submitted" / student / assignment.slug
    folder.mkdir(parents=True)
    (folder / f"{assignment.notebook}.ipynb").write_bytes(notebook)
    if timestamp is not None:
        (folder / "timestamp.txt").write_text(timestamp, encoding="utf-8")


def nbgrader_config(root: Path) -> Config:
    return PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()


def run_nbgrader(converter: type, course: Course, **traits: Any) -> None:
    config = nbgrader_config(course.root)
    config.CourseDirectory.course_id = course.name
    coursedir = CourseDirectory(config=config, assignment_id="tiny")
    converter(coursedir=coursedir, config=config, **traits).start()


@pytest.fixture
def alembic_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """nbgrader itself runs the program `alembic` when it makes a database."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def graded_by_fake(monkeypatch: pytest.MonkeyPatch, results: dict[str, SubmissionResult]) -> list[str]:
    """Let `grade_one` give these results; the students it was asked for are in the list."""
    asked: list[str] = []

    def grade_one(assignment: Assignment, raw: bytes, student: str) -> SubmissionResult:
        asked.append(student)
        assert raw == (assignment.root / "submitted" / student / "tiny" / "tiny.ipynb").read_bytes()
        return results[student]

    monkeypatch.setattr("autograder.grading.grade_one", grade_one)
    return asked


def rows(course: Course) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the database, with random ids replaced by what they stand for."""
    with closing(sqlite3.connect(course.root / "gradebook.db")) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        content: dict[str, list[dict[str, Any]]] = {}
        for table in tables:
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            content[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    meaning: dict[str, str] = {}
    for row in content["assignment"]:
        meaning[row["id"]] = row["name"]
    for row in [*content["notebook"], *content["base_cell"]]:
        meaning[row["id"]] = f"{row.get('type', 'Notebook')} {row['name']}"
    for row in content["submitted_assignment"]:
        meaning[row["id"]] = f"submission of {row['student_id']}"
    for row in content["submitted_notebook"]:
        meaning[row["id"]] = f"notebook of {meaning[row['assignment_id']]}"
    own_ids = {"source_cell", "grade", "comment"}
    return {
        table: sorted(
            tuple(
                (name, meaning.get(value, value) if isinstance(value, str) else value)
                for name, value in row.items()
                if not (name == "id" and table in own_ids)
            )
            for row in content[table]
        )
        for table in tables
    }


def score_of(course: Course, student: str) -> float:
    with Session(open_engine(course)) as session:
        return float(
            session.scalars(
                select(api.SubmittedAssignment.score).where(api.SubmittedAssignment.student_id == student)
            ).one()
        )


def open_engine(course: Course) -> Any:
    return schema.open_engine(default_url(course))


def record(course: Course, *results: SubmissionResult, **more: Any) -> None:
    with Gradebook(default_url(course), course) as gradebook:
        gradebook.record(course.assignment("tiny"), results, **more)


# The same as nbgrader


def test_record_writes_the_rows_that_nbgrader_autograde_writes(
    course: Course, assignment: Assignment, monkeypatch: pytest.MonkeyPatch, alembic_on_path: None
) -> None:
    results = [result("alice"), result("bob", relu=0.67, softmax=0.0), result("carol", relu=0.0, softmax=1.5)]
    answered = {"alice": ("relu_forward", "softmax"), "bob": ("relu_forward",), "carol": ()}
    timestamps = {
        "alice": "2026-10-30 18:59:58.123456 Europe/Berlin",
        "bob": "2026-10-29 08:00:00.000000 UTC",
    }
    for student, answers in answered.items():
        hand_in(assignment, student, submission(assignment, answers), timestamps.get(student))
    graded_by_fake(monkeypatch, {one.student: one for one in results})
    release = assignment.release_notebook.read_bytes()

    run_nbgrader(GenerateAssignment, course, force=True)
    run_nbgrader(Autograde, course)
    theirs = rows(course)
    their_copies = {
        path.parts[-3]: json.loads(path.read_bytes()) for path in course.root.glob("autograded/*/*/*.ipynb")
    }

    (course.root / "gradebook.db").unlink()
    shutil.rmtree(course.root / "autograded")
    assert assignment.release_notebook.read_bytes() == release
    intakes = {
        student: read_submission(
            submission(assignment, answers), read_release(assignment.release_notebook), assignment.limits
        )
        for student, answers in answered.items()
    }
    record(
        course,
        *results,
        unanswered={student: intake.unanswered for student, intake in intakes.items()},
        timestamps={
            "alice": datetime(2026, 10, 30, 17, 59, 58, 123456, tzinfo=UTC),
            "bob": datetime(2026, 10, 29, 8),
        },
    )
    ours = rows(course)

    # nbgrader opens its database without a course as well, which leaves this row behind.
    theirs["course"] = [row for row in theirs["course"] if row != (("id", "default_course"),)]
    assert ours == theirs
    assert len(ours["grade"]) == 6

    for one in results:
        notebook = intakes[one.student].notebook
        grade_cells_from(notebook, one)
        path = write_graded_copy(assignment, one.student, notebook)
        assert (
            json.loads(path.read_bytes())["cells"] == their_copies[one.student]["cells"] or one.student == ""
        )

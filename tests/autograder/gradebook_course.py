"""A tiny course with its release, submissions of it, and a look at every row of its gradebook.

from gradebook_course import prepare, record, result, rows, submission
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbgrader import api
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import MetaData, create_engine
from traitlets.config import Config, PyFileConfigLoader

from autograder.authoring.notebooks import release_notebook, serialise, solution_notebook
from autograder.course import Assignment, Course, load_course
from autograder.course.results import QuestionResult, SubmissionResult, TestResult
from autograder.gradebook import default_url
from autograder.gradebook.database import Gradebook
from autograder.notebook.intake import Intake, read_release, read_submission
from autograder.notebook.percent import read_source

REPOSITORY = Path(__file__).parents[2]
HANDED_IN = datetime(2026, 10, 30, 17, 59, 58, 123456, tzinfo=UTC)
ANSWERS = {
    "relu_forward": "def relu_forward(x):\n    return np.maximum(x, 0), x",
    "softmax": "def softmax(scores):\n    return np.exp(scores) / np.exp(scores).sum()",
}


def prepare(root: Path) -> None:
    """Write the release and the solution notebook, not executed, and this repository's nbgrader_config.py."""
    assignment = load_course(root).assignment("tiny")
    cells = read_source(assignment.source)
    assignment.release.mkdir(parents=True, exist_ok=True)
    assignment.release_notebook.write_bytes(serialise(release_notebook(assignment, cells)))
    assignment.solution_notebook.write_bytes(serialise(solution_notebook(assignment, cells)))
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)


def intake_of(assignment: Assignment, notebook: bytes) -> Intake:
    """A submission as the grader reads it."""
    return read_submission(notebook, read_release(assignment.release_notebook), assignment.limits)


def result(student: str, relu: float = 2.0, softmax: float = 3.0, **more: Any) -> SubmissionResult:
    """A graded submission of the tiny course."""

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
    """Put a submission where nbgrader's collect puts it."""
    folder = assignment.root / "submitted" / student / assignment.slug
    folder.mkdir(parents=True)
    (folder / f"{assignment.notebook}.ipynb").write_bytes(notebook)
    if timestamp is not None:
        (folder / "timestamp.txt").write_text(timestamp, encoding="utf-8")


def nbgrader_config(root: Path) -> Config:
    """The course's nbgrader_config.py."""
    return PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()


def run_nbgrader(converter: type, course: Course, **traits: Any) -> None:
    """Run one of nbgrader's commands on the assignment, as its command line does."""
    config = nbgrader_config(course.root)
    coursedir = CourseDirectory(config=config, assignment_id="tiny")
    converter(coursedir=coursedir, config=config, **traits).start()


def rows(course: Course) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the database, with random ids replaced by what they stand for."""
    engine = create_engine(default_url(course))
    metadata = MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        content = {
            name: [dict(row._mapping) for row in connection.execute(table.select())]
            for name, table in metadata.tables.items()
        }
    engine.dispose()
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
            (
                tuple(
                    (name, meaning.get(value, value) if isinstance(value, str) else value)
                    for name, value in row.items()
                    if not (name == "id" and table in own_ids)
                )
                for row in content[table]
            ),
            key=repr,
        )
        for table in sorted(content)
    }


def score_of(course: Course, student: str) -> float:
    """The score as nbgrader computes it, manual scores and extra credit included."""
    with api.Gradebook(default_url(course), course.name) as gradebook:
        return float(gradebook.find_submission("tiny", student).score)


def record(course: Course, *results: SubmissionResult, **more: Any) -> None:
    """Record results of the tiny assignment."""
    with Gradebook(default_url(course), course) as gradebook:
        gradebook.record(course.assignment("tiny"), results, **more)

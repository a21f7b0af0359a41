"""The gradebook holds what nbgrader would write, keeps what graders wrote, and is never half written."""

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

import nbformat
import pytest
from nbgrader import api
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import CsvExportPlugin
from nbgrader.utils import determine_grade
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from traitlets.config import Config, PyFileConfigLoader

from autograder.authoring.notebooks import release_notebook, serialise, solution_notebook
from autograder.course import Assignment, Course, load_course
from autograder.course.results import QuestionResult, SubmissionResult, TestResult
from autograder.gradebook import (
    Gradebook,
    GradebookError,
    default_url,
    grade_cells_from,
    schema,
    write_graded_copy,
)
from autograder.gradebook import database as database_module
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
        path.parts[-3]: nbformat.read(path, 4) for path in course.root.glob("autograded/*/*/*.ipynb")
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
        assert nbformat.read(path, 4) == their_copies[one.student]


def test_nbgrader_reads_exactly_the_points_from_a_graded_copy(assignment: Assignment) -> None:
    release = read_release(assignment.release_notebook)
    for points in (0.0, 0.67, 1.0, 1.995, 2.0):
        intake = read_submission(submission(assignment), release, assignment.limits)
        for cell in intake.notebook.cells:
            if cell.cell_type == "code":  # what a student left there, or put there, says nothing
                cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text="a warning")]
                cell.outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]))
        grade_cells_from(intake.notebook, result("alice", relu=points, softmax=points))
        graded = [cell for cell in intake.notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
        assert [determine_grade(cell) for cell in graded] == [(points, 2.0), (points, 3.0)]
        nbformat.validate(intake.notebook)


def test_a_question_without_a_result_is_worth_nothing(assignment: Assignment) -> None:
    intake = read_submission(
        submission(assignment), read_release(assignment.release_notebook), assignment.limits
    )
    one = result("alice")
    del one.questions[1]
    grade_cells_from(intake.notebook, one)
    grades = [
        determine_grade(cell)
        for cell in intake.notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    assert grades == [(2.0, 2.0), (0.0, 3.0)]


def test_nbgrader_autograde_mends_what_intake_mends_and_drops_only_what_cannot_be_read(
    course: Course, assignment: Assignment, monkeypatch: pytest.MonkeyPatch, alembic_on_path: None
) -> None:
    document = json.loads(submission(assignment, ("softmax",)))
    document["cells"] = [cell for cell in document["cells"] if cell["source"] != ['check("softmax")']]
    for cell in document["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "test_relu_forward":
            cell["metadata"]["nbgrader"]["points"] = 100
        elif cell["metadata"].get("nbgrader", {}).get("grade_id") == "softmax":
            cell["cell_type"] = "raw"
            del cell["outputs"], cell["execution_count"]
        else:
            del cell["metadata"]
    hand_in(assignment, "damaged", b"\xef\xbb\xbf" + json.dumps(document).encode())
    hand_in(assignment, "truncated", submission(assignment)[:-20])
    hand_in(assignment, "refused", submission(assignment))
    hand_in(assignment, "whole", submission(assignment))
    results = {
        "damaged": result("damaged", relu=1.0),
        "whole": result("whole", softmax=0.0),
        "refused": SubmissionResult(
            student="refused", score=0.0, max_score=5.0, status="refused", reason="It is nested too deeply."
        ),
    }
    asked = graded_by_fake(monkeypatch, results)
    run_nbgrader(GenerateAssignment, course, force=True)
    with pytest.raises(NbGraderException):
        run_nbgrader(Autograde, course)

    assert sorted(asked) == ["damaged", "refused", "whole"]
    assert score_of(course, "damaged") == 4.0
    assert score_of(course, "whole") == 2.0
    assert score_of(course, "truncated") == score_of(course, "refused") == 0.0
    copies = sorted(path.parts[-3] for path in course.root.glob("autograded/*/*/*.ipynb"))
    assert copies == ["damaged", "whole"]
    copy = nbformat.read(course.root / "autograded/damaged/tiny/tiny.ipynb", 4)
    assert [cell.source for cell in copy.cells if cell.source.startswith("check(")] == [
        'check("relu_forward")',
        'check("softmax")',
    ]
    kept = [cell.outputs for cell in copy.cells if cell.source == "1 + 1"]
    assert [[output.text for output in outputs] for outputs in kept] == [["a warning"]]


def test_nbgrader_exports_what_was_recorded(course: Course) -> None:
    record(course, result("alice"), result("bob", relu=0.5, softmax=0.25), timestamps={"alice": HANDED_IN})
    with api.Gradebook(default_url(course), course.name) as gradebook:
        plugin = CsvExportPlugin()
        plugin.to = str(course.root / "grades.csv")
        plugin.export(gradebook)
    with open(course.root / "grades.csv", newline="") as stream:
        table = {row["student_id"]: row for row in csv.DictReader(stream)}
    assert [(name, row["score"], row["max_score"]) for name, row in sorted(table.items())] == [
        ("alice", "5.0", "5.0"),
        ("bob", "0.75", "5.0"),
    ]
    assert table["alice"]["timestamp"] == "2026-10-30 17:59:58.123456"


def test_nbgrader_makes_a_feedback_page_that_runs_nothing_of_the_students(
    course: Course, assignment: Assignment
) -> None:
    evil = "<script>alert(1)</script>"
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": evil, "text/plain": evil}},
        {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": f"<svg>{evil}</svg>"}},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": f'"onerror="alert(1)">{evil}'}},
        {"output_type": "display_data", "metadata": {}, "data": {"application/javascript": "alert(1)"}},
        {"output_type": "stream", "name": "stdout", "text": evil},
    ]
    notebook = submission(assignment, ("softmax",), outputs=outputs)
    intake = read_submission(notebook, read_release(assignment.release_notebook), assignment.limits)
    one = result("alice", relu=1.25, softmax=0.5)
    one.questions[0].tests[1].message = evil
    record(course, one)
    grade_cells_from(intake.notebook, one)
    write_graded_copy(assignment, "alice", intake.notebook, HANDED_IN)
    run_nbgrader(GenerateFeedback, course)

    page = (course.root / "feedback/alice/tiny/tiny.html").read_text(encoding="utf-8")
    assert "Score: 1.75 / 5.0" in page
    assert "failed: Large scores do not overflow." in page
    assert "&lt;script&gt;alert(1)" in page
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
    hidden = (assignment.tests / "test_hidden.py").read_text(encoding="utf-8")
    shared = [line for line in map(str.strip, hidden.splitlines()) if len(line) > 25 and line in page]
    assert shared == []


# What graders wrote


def test_manual_scores_and_comments_survive_a_regrade(course: Course) -> None:
    record(course, result("alice"), result("bob"), unanswered={"alice": ["softmax"], "bob": []})
    with api.Gradebook(default_url(course), course.name) as gradebook:
        grade = gradebook.find_grade("test_softmax", "tiny", "tiny", "alice")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 2.5, 0.5, False
        gradebook.find_comment("softmax", "tiny", "tiny", "alice").manual_comment = "Well argued."
        gradebook.find_submission_notebook("tiny", "tiny", "alice").flagged = True
        gradebook.db.commit()

    record(course, result("alice", relu=1.0, softmax=0.0), result("bob", relu=1.0))

    with api.Gradebook(default_url(course), course.name) as gradebook:
        grade = gradebook.find_grade("test_softmax", "tiny", "tiny", "alice")
        assert (grade.auto_score, grade.manual_score, grade.extra_credit) == (0.0, 2.5, 0.5)
        assert grade.needs_manual_grade, (
            "as in nbgrader: the answer that the manual score was for has changed"
        )
        assert not gradebook.find_grade("test_relu_forward", "tiny", "tiny", "alice").needs_manual_grade
        comment = gradebook.find_comment("softmax", "tiny", "tiny", "alice")
        assert (comment.manual_comment, comment.auto_comment) == ("Well argued.", "No response.")
        assert gradebook.find_submission_notebook("tiny", "tiny", "alice").flagged
    assert score_of(course, "alice") == 1.0 + 2.5 + 0.5
    assert score_of(course, "bob") == 4.0


def test_a_refused_submission_is_not_recorded(course: Course) -> None:
    refused = SubmissionResult(
        student="bob", score=0.0, max_score=5.0, status="refused", reason="It is empty."
    )
    record(course, result("alice"), refused)
    assert [dict(row)["student_id"] for row in rows(course)["submitted_assignment"]] == ["alice"]
    assert score_of(course, "alice") == 5.0


# A release that changes


NEW_QUESTION = """\
# %% question="identity"
def identity(x):
    ### BEGIN SOLUTION
    return x
    ### END SOLUTION


# %%
check("identity")

"""


def rewrite(course: Course, file: str, old: str, new: str) -> Course:
    path = course.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return load_course(course.root)


def with_new_question(course: Course) -> Course:
    rewrite(
        course,
        "course.yml",
        "      - {name: softmax",
        "      - {name: identity, points: 1}\n      - {name: softmax",
    )
    changed = rewrite(
        course, "solutions/tiny/tiny.py", '# %% tags=["show"]', NEW_QUESTION + '# %% tags=["show"]'
    )
    prepare(changed.root)
    return changed


def test_changed_points_are_updated(course: Course) -> None:
    record(course, result("alice"))
    changed = rewrite(course, "course.yml", "name: softmax, points: 3", "name: softmax, points: 8")
    with pytest.raises(GradebookError, match="Run `autograder build tiny`"):
        record(changed, result("alice"))
    prepare(changed.root)
    one = result("alice", softmax=8.0)
    one.questions[1].max_points = 8.0
    record(changed, one)
    with api.Gradebook(default_url(course), course.name) as gradebook:
        found = gradebook.find_submission("tiny", "alice")
        assert (found.score, found.max_score) == (10.0, 10.0)


def test_points_above_the_maximum_are_never_written(course: Course) -> None:
    record(course, result("alice"))
    before = rows(course)
    with pytest.raises(GradebookError, match="bob has 9 points for softmax, of 3"):
        record(course, result("alice", relu=0.0), result("bob", softmax=9.0))
    assert rows(course) == before


def test_a_new_question_reaches_the_submissions_that_are_there(course: Course) -> None:
    record(course, result("alice"), result("bob"))
    changed = with_new_question(course)
    one = result("alice")
    one.questions.append(QuestionResult(name="identity", points=1.0, max_points=1.0))
    record(changed, one)
    with api.Gradebook(default_url(course), course.name) as gradebook:
        assert gradebook.find_submission("tiny", "alice").score == 6.0
        waiting = gradebook.find_grade("test_identity", "tiny", "tiny", "bob")
        assert waiting.auto_score is None
        assert waiting.needs_manual_grade


def test_a_question_that_is_gone_takes_its_grades_along_but_no_manual_ones(course: Course) -> None:
    before = {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}
    changed = with_new_question(course)
    one = result("alice")
    one.questions.append(QuestionResult(name="identity", points=1.0, max_points=1.0))
    record(changed, one)
    with api.Gradebook(default_url(course), course.name) as gradebook:
        gradebook.find_grade("test_identity", "tiny", "tiny", "alice").manual_score = 0.5
        gradebook.db.commit()
    for path, content in before.items():
        path.write_bytes(content)

    with pytest.raises(
        GradebookError, match="test_identity is no longer in the release, but the gradebook holds"
    ):
        record(course, result("alice", relu=0.0))
    assert score_of(course, "alice") == 5.5

    with api.Gradebook(default_url(course), course.name) as gradebook:
        gradebook.find_grade("test_identity", "tiny", "tiny", "alice").manual_score = None
        gradebook.db.commit()
    record(course, result("alice", relu=0.0))
    assert score_of(course, "alice") == 3.0
    names = [dict(row)["name"] for row in rows(course)["base_cell"]]
    assert sorted(names) == ["relu_forward", "softmax", "test_relu_forward", "test_softmax"]
    assert len(rows(course)["source_cell"]) == 7


# Speed, and several graders at once


def test_a_class_takes_no_more_statements_than_one_student(course: Course) -> None:
    statements: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    counts = []
    with Gradebook(default_url(course), course) as gradebook:
        event.listen(gradebook._engine, "before_cursor_execute", count)
        gradebook.register(course.assignment("tiny"))
        for size in (1, 400):
            statements.clear()
            students = [f"class{size}-{number}" for number in range(size)]
            gradebook.record(course.assignment("tiny"), [result(student) for student in students])
            counts.append(len(statements))
    assert counts[0] == counts[1]


def test_two_graders_at_once(course: Course) -> None:
    errors: list[BaseException] = []

    def grade(name: str) -> None:
        try:
            record(course, *(result(f"{name}{number}") for number in range(50)))
        except BaseException as error:  # a thread must not swallow it
            errors.append(error)

    threads = [threading.Thread(target=grade, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(rows(course)["grade"]) == 300


# Trouble


def test_a_locked_database_is_said_and_left_alone(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    record(course, result("alice"))
    before = rows(course)
    monkeypatch.setattr(schema, "_LOCK_SECONDS", 0.1)
    with (
        closing(sqlite3.connect(course.root / "gradebook.db", isolation_level=None)) as other,
        pytest.raises(GradebookError, match="gradebook.db was not written: it is in use by another program"),
    ):
        other.execute("BEGIN IMMEDIATE")
        record(course, result("alice", relu=0.0))
    assert rows(course) == before


def test_a_full_disk_leaves_the_gradebook_as_it_was(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    record(course, result("alice"))
    before = rows(course)
    open_engine = database_module.open_engine

    def with_little_room(url: str) -> Any:
        engine = open_engine(url)

        @event.listens_for(engine, "connect")
        def connected(connection: Any, _: Any) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")

        return engine

    monkeypatch.setattr(database_module, "open_engine", with_little_room)
    with pytest.raises(GradebookError, match="the disk is full. Make room"):
        record(course, result("alice", relu=0.0), *(result(f"student{number}") for number in range(400)))
    monkeypatch.undo()
    assert rows(course) == before
    record(course, result("alice", relu=0.0))
    assert score_of(course, "alice") == 3.0


@contextmanager
def small_files_only(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system refuses the write, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_graded_copy_is_written_whole_or_not_at_all(assignment: Assignment) -> None:
    intake = read_submission(
        submission(assignment), read_release(assignment.release_notebook), assignment.limits
    )
    path = write_graded_copy(assignment, "alice", intake.notebook, HANDED_IN)
    assert (path.parent / "timestamp.txt").read_text(encoding="utf-8") == "2026-10-30 17:59:58.123456 UTC"
    path.chmod(0o444)  # as nbgrader leaves it
    before = path.read_bytes()
    grade_cells_from(intake.notebook, result("alice"))
    with small_files_only(1000), pytest.raises(GradebookError, match="tiny.ipynb was not written"):
        write_graded_copy(assignment, "alice", intake.notebook)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["timestamp.txt", "tiny.ipynb"]
    assert write_graded_copy(assignment, "alice", intake.notebook).read_bytes() != before


@pytest.mark.parametrize("student", ["..", ".", "", "a/b", "a\\b", "a b", "x" * 101, "../../etc"])
def test_a_graded_copy_goes_nowhere_but_to_its_folder(assignment: Assignment, student: str) -> None:
    with pytest.raises(GradebookError, match="is no student id"):
        write_graded_copy(assignment, student, {"cells": []})
    assert not (assignment.root / "autograded").exists()


def test_a_database_that_cannot_be_opened(course: Course) -> None:
    def fails(url: str, words: str) -> None:
        with pytest.raises(GradebookError, match=words) as caught, Gradebook(url, course):
            pass
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)

    fails(f"sqlite:///{course.root}/nowhere/gradebook.db", "Check that its folder exists")
    fails(f"sqlite:///{course.root}/course.yml", "this file is no SQLite database")
    fails("gradebook.db", "is no database URL")
    fails("nonsense://user:secret@host/name", "is no database URL")
    with closing(sqlite3.connect(course.root / "other.db")) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    fails(f"sqlite:///{course.root}/other.db", "a database of something else")


def test_no_release_is_said(course: Course) -> None:
    course.assignment("tiny").release_notebook.unlink()
    with pytest.raises(GradebookError, match="does not exist. Run `autograder build` first"):
        record(course, result("alice"))


# The version that nbgrader's migrations look for


def version(course: Course) -> list[Any]:
    with closing(sqlite3.connect(course.root / "gradebook.db")) as connection:
        return [number for (number,) in connection.execute("SELECT version_num FROM alembic_version")]


def test_the_database_is_stamped_as_nbgrader_does(course: Course, alembic_on_path: None) -> None:
    record(course, result("alice"))
    assert version(course) == [api.get_alembic_version()]


def test_a_database_without_a_stamp_gets_one(course: Course) -> None:
    record(course, result("alice"))
    head = version(course)
    for damage in ("DELETE FROM alembic_version", "DROP TABLE alembic_version"):
        with closing(sqlite3.connect(course.root / "gradebook.db")) as connection:
            connection.execute(damage)
            connection.commit()
        record(course, result("alice"))
        assert version(course) == head


def test_a_database_of_another_version_is_not_touched(course: Course) -> None:
    record(course, result("alice"))
    before = rows(course)
    for change in ("UPDATE alembic_version SET version_num = '724cde206c17'", "DELETE FROM alembic_version"):
        with closing(sqlite3.connect(course.root / "gradebook.db")) as connection:
            connection.execute(change)
            if change.startswith("DELETE"):
                connection.execute("ALTER TABLE student DROP COLUMN lms_user_id")
            connection.commit()
        with pytest.raises(GradebookError, match="another version of nbgrader.*nbgrader db upgrade"):
            record(course, result("alice", relu=0.0))
    assert rows(course)["grade"] == before["grade"]


# The summary in a grade cell


def test_the_summary_says_each_test_and_its_reason_once() -> None:
    one = result("alice", relu=1.0).questions[0]
    assert summary(one).splitlines() == [
        "relu_forward: 1 of 2 points",
        "  passed: The values are right.",
        "  failed: Large scores do not overflow.",
        "    probabilities holds NaN",
        "    The scores are not shifted.",
    ]
    assert "no test gave a verdict" in summary(QuestionResult(name="f", points=0.0, max_points=1.0))


def test_the_summary_is_bounded_and_plain() -> None:
    noisy = TestResult(name="t", says="Says.", outcome="failed", message="\x1b[31m" + "x" * 10_000 + "\x00")
    text = summary(QuestionResult(name="f", points=0.0, max_points=1.0, tests=[noisy]))
    assert len(text) <= MAX_SUMMARY + 10
    assert all(character.isprintable() or character == "\n" for character in text)

"""The gradebook keeps what graders wrote, follows a release that changes, and is never half written."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from gradebook_course import (
    HANDED_IN,
    intake_of,
    prepare,
    record,
    result,
    rows,
    score_of,
    submission,
)
from nbgrader import api
from sqlalchemy import event

from autograder.course import Assignment, Course, load_course
from autograder.course.results import QuestionResult, SubmissionResult, TestResult
from autograder.gradebook import database as database_module
from autograder.gradebook import default_url, schema
from autograder.gradebook.copies import MAX_SUMMARY, grade_cells_from, summary, write_graded_copy
from autograder.gradebook.database import Gradebook
from autograder.gradebook.errors import GradebookError


@pytest.fixture
def course(tiny_course: Path) -> Course:
    """The tiny course with its release and its solution notebook, not executed."""
    prepare(tiny_course)
    return load_course(tiny_course)


@pytest.fixture
def assignment(course: Course) -> Assignment:
    return course.assignment("tiny")


@pytest.fixture
def alembic_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """nbgrader itself runs the program `alembic` when it makes a database."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


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
        pytest.raises(GradebookError, match=r"gradebook.db was not written: it is in use by another program"),
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
    with pytest.raises(GradebookError, match=r"the disk is full. Make room"):
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
    intake = intake_of(assignment, submission(assignment))
    path = write_graded_copy(assignment, "alice", intake.notebook, HANDED_IN)
    assert (path.parent / "timestamp.txt").read_text(encoding="utf-8") == "2026-10-30 17:59:58.123456 UTC"
    path.chmod(0o444)  # as nbgrader leaves it
    before = path.read_bytes()
    grade_cells_from(intake.notebook, result("alice"))
    with small_files_only(1000), pytest.raises(GradebookError, match=r"tiny.ipynb was not written"):
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
    fails("nonsense://user:secret@host/name", "in nonsense is not supported")
    with closing(sqlite3.connect(course.root / "other.db")) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    fails(f"sqlite:///{course.root}/other.db", "a database of something else")


def test_no_release_is_said(course: Course) -> None:
    course.assignment("tiny").release_notebook.unlink()
    with pytest.raises(GradebookError, match=r"does not exist. Run `autograder build` first"):
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
        with pytest.raises(GradebookError, match=r"another version of nbgrader.*nbgrader db upgrade"):
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

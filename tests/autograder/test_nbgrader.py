"""nbgrader's own commands give what the gradebook gives: grades, copies, exports, feedback pages."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from gradebook_course import (
    HANDED_IN,
    hand_in,
    intake_of,
    prepare,
    record,
    result,
    rows,
    run_nbgrader,
    score_of,
    submission,
)
from nbgrader import api
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.plugins import CsvExportPlugin
from nbgrader.utils import determine_grade

from autograder.course import Assignment, Course, load_course
from autograder.course.results import SubmissionResult
from autograder.gradebook import default_url
from autograder.gradebook.copies import grade_cells_from, write_graded_copy
from autograder.grading import grade_one
from autograder.notebook.handedin import HandedIn


@pytest.fixture
def course(tiny_course: Path) -> Course:
    """The tiny course with its release and its solution notebook, not executed."""
    prepare(tiny_course)
    return load_course(tiny_course)


@pytest.fixture
def assignment(course: Course) -> Assignment:
    return course.assignment("tiny")


@pytest.fixture(autouse=True)
def bare_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH as it is where no virtual environment is active: nbgrader_config.py must do without."""
    monkeypatch.setenv("PATH", os.defpath)


def graded_by_fake(monkeypatch: pytest.MonkeyPatch, results: dict[str, SubmissionResult]) -> list[str]:
    """Let `grade_one` give these results; the students it was asked for are in the list."""
    asked: list[str] = []

    def grade_one(
        assignment: Assignment, raw: bytes, student: str, files: Sequence[HandedIn]
    ) -> SubmissionResult:
        asked.append(student)
        assert raw == (assignment.root / "submitted" / student / "tiny" / "tiny.ipynb").read_bytes()
        return results[student]

    monkeypatch.setattr("autograder.grading.grade_one", grade_one)
    return asked


# The same as nbgrader


def test_record_writes_the_rows_that_nbgrader_autograde_writes(
    course: Course, assignment: Assignment, monkeypatch: pytest.MonkeyPatch
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
        student: intake_of(assignment, submission(assignment, answers))
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
    for points in (0.0, 0.67, 1.0, 1.995, 2.0):
        intake = intake_of(assignment, submission(assignment))
        notebook = nbformat.from_dict(intake.notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # what a student left there, or put there, says nothing
                cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text="a warning")]
                cell.outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]))
        grade_cells_from(notebook, result("alice", relu=points, softmax=points))
        cells = nbformat.from_dict(notebook).cells
        graded = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
        assert [determine_grade(cell) for cell in graded] == [(points, 2.0), (points, 3.0)]
        nbformat.validate(notebook)


def test_a_question_without_a_result_is_worth_nothing(assignment: Assignment) -> None:
    intake = intake_of(assignment, submission(assignment))
    one = result("alice")
    del one.questions[1]
    grade_cells_from(intake.notebook, one)
    grades = [
        determine_grade(cell)
        for cell in nbformat.from_dict(intake.notebook).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    assert grades == [(2.0, 2.0), (0.0, 3.0)]


def test_nbgrader_autograde_mends_what_intake_mends_and_drops_only_what_cannot_be_read(
    course: Course, assignment: Assignment, monkeypatch: pytest.MonkeyPatch
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
    with (course.root / "grades.csv").open(newline="") as stream:
        table = {row["student_id"]: row for row in csv.DictReader(stream)}
    assert [(name, row["score"], row["max_score"]) for name, row in sorted(table.items())] == [
        ("alice", "5.0", "5.0"),
        ("bob", "0.75", "5.0"),
    ]
    assert table["alice"]["timestamp"] == "2026-10-30 17:59:58.123456"


class LivePieces(HTMLParser):
    """Everything in a page that a browser could run: scripts, and the attributes of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.pieces += [f"{name}={value}" for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.pieces.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


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
    document = json.loads(notebook)
    document["cells"] += [
        {
            "cell_type": kind,
            "metadata": {"raw_mimetype": "text/html"},
            "source": f"{evil}<img src=x onerror='alert(1)'>",
        }
        for kind in ("markdown", "raw")
    ]
    intake = intake_of(assignment, json.dumps(document).encode())
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
    live = LivePieces()
    live.feed(page)
    assert live.pieces
    assert [piece for piece in live.pieces if "alert(1)" in piece] == []
    hidden = (assignment.tests / "test_hidden.py").read_text(encoding="utf-8")
    shared = [line for line in map(str.strip, hidden.splitlines()) if len(line) > 25 and line in page]
    assert shared == []


def test_nbgrader_autograde_gives_the_grade_of_the_sandboxed_suite(
    course: Course, assignment: Assignment
) -> None:
    notebook = submission(assignment, ("relu_forward",))
    hand_in(assignment, "alice", notebook)
    run_nbgrader(GenerateAssignment, course, force=True)
    run_nbgrader(Autograde, course)
    expected = grade_one(assignment, notebook, "alice")
    assert score_of(course, "alice") == expected.score == 2.0
    copy = nbformat.read(course.root / "autograded/alice/tiny/tiny.ipynb", 4)
    grades = [
        cell.outputs[0].text.splitlines()[0]
        for cell in copy.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    assert grades == ["relu_forward: 2 of 2 points", "softmax: 0 of 3 points"]
    assert {path.name for path in (course.root / "autograded").rglob("*") if path.is_file()} == {"tiny.ipynb"}

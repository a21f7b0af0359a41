"""Scores as CSV for a learning platform: a plain table, Canvas' gradebook, Moodle's grading worksheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from autograder.checking.safetext import safe_text
from autograder.course import Assignment
from autograder.course.results import Report, SubmissionResult
from autograder.notebook.students import canvas_owner, moodle_owner
from autograder.publishing.files import write_atomic
from autograder.publishing.numbers import points

Style = Literal["generic", "canvas", "moodle"]
# Also in full width, which spreadsheets take for the same.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
Row = Sequence[str | float | None]


def write_export(report: Report, assignment: Assignment, path: Path, style: Style = "generic") -> Path:
    """Write `export_csv` to `path`.

    Raises:
        PublishingError: the file cannot be written.
    """
    write_atomic(path, export_csv(report, assignment, style).encode())
    return path


def export_csv(report: Report, assignment: Assignment, style: Style = "generic") -> str:
    """The scores of a report as CSV (RFC 4180, UTF-8), a row a student.

    A refused submission was not graded, which is not the same as 0: its score is empty in the generic table,
    and it has no row in the others, so that a platform leaves alone what it has.

    - generic: student, assignment, score, max_score, status.
    - canvas: the columns of Canvas' gradebook import. Canvas matches a student by ID, which is taken from the
      name of a file downloaded there, and otherwise by SIS Login ID, which is the student's id here.
    - moodle: the offline grading worksheet (Identifier, Grade, Last modified) when every submission came from
      a Moodle download, whose file names carry the participant's number; otherwise columns for Moodle's grade
      import, to be mapped to username. In the worksheet "-" as the time of the last change keeps Moodle from
      overwriting a grade that was entered there meanwhile.
    """
    rows = {"generic": _generic, "canvas": _canvas, "moodle": _moodle}[style](report, assignment)
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _generic(report: Report, assignment: Assignment) -> Iterable[Row]:
    yield ("student", "assignment", "score", "max_score", "status")
    for submission in report.submissions:
        yield (
            submission.student,
            assignment.slug,
            submission.score if submission.status == "graded" else None,
            submission.max_score,
            submission.status,
        )


def _canvas(report: Report, assignment: Assignment) -> Iterable[Row]:
    yield ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.title)
    # Canvas knows this row by its first cell, with the spaces.
    yield ("    Points Possible", None, None, None, None, assignment.max_points)
    for submission in _graded(report):
        user = _canvas_user(submission)
        login = None if user else submission.student
        yield (submission.student, user, None, login, None, submission.score)


def _moodle(report: Report, assignment: Assignment) -> Iterable[Row]:
    graded = _graded(report)
    participants = [_moodle_participant(submission) for submission in graded]
    if all(participants):
        yield ("Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)")
        for submission, participant in zip(graded, participants, strict=True):
            yield (
                f"Participant {participant}",
                submission.student,
                submission.score,
                submission.max_score,
                "-",
            )
    else:
        yield ("Username", assignment.title)
        for submission in graded:
            yield (submission.student, submission.score)


def _graded(report: Report) -> list[SubmissionResult]:
    return [submission for submission in report.submissions if submission.status == "graded"]


def _parts(submission: SubmissionResult) -> list[str]:
    """The folders and the file of a submission's source; a zip's name is followed by a colon."""
    return [part for part in re.split(r"[/\\]|: ", submission.source) if part]


def _canvas_user(submission: SubmissionResult) -> str:
    parts = _parts(submission)
    match = canvas_owner(parts[-1]) if parts else None
    return match[0].name.rpartition("_")[2] if match else ""


def _moodle_participant(submission: SubmissionResult) -> str:
    for part in reversed(_parts(submission)):
        if match := moodle_owner(part):
            return match[0].qualifier
    return ""


def _cell(value: str | float | None) -> str:
    """A cell that a spreadsheet shows and does not calculate.

    Excel, LibreOffice and Google Sheets take a cell for a formula when it starts with one of = + - @, also in
    full width, also after white space; an apostrophe in front makes it text. A lone "-" is none.
    """
    if value is None:
        return ""
    if isinstance(value, int | float):
        return points(value)
    text = " ".join(safe_text(value, 300).split("\n"))
    formula = text.startswith("\t") or text.lstrip().startswith(_FORMULA)
    return f"'{text}" if formula and text != "-" else text

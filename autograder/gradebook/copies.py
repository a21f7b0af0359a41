"""The graded copy of a submission: what formgrader shows and `nbgrader generate_feedback` makes a page of."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder.course import Assignment
from autograder.course.files import write_whole
from autograder.course.results import QuestionResult, SubmissionResult, TestResult
from autograder.gradebook.errors import GradebookError, plain_disk_errors

MAX_SUMMARY = 4000
_SAFE_ID = re.compile(r"(?!\.+$)[A-Za-z0-9._@+-]{1,100}")


def grade_cells_from(notebook: Any, result: SubmissionResult) -> None:
    """Give each grade cell of a notebook outputs that say the score, to a reader and to nbgrader.

    nbgrader reads a score from a cell's outputs: an error or anything on stderr is 0, the first
    `execute_result` is the number of points, and a cell without either gets them all. So each grade cell gets
    exactly two outputs: a summary on stdout, which counts for nothing, and a result with the points. A cell
    whose question has no result gets 0 points.

    Parameters
    ----------
    notebook : dict
        In nbformat 4. Changed in place: only the outputs of grade cells, and their execution counts.
    result : SubmissionResult
    """
    questions = {question.name: question for question in result.questions}
    for cell in notebook["cells"]:
        nbgrader = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] != "code" or not nbgrader.get("grade"):
            continue
        name = str(nbgrader.get("grade_id", "")).removeprefix("test_")
        question = questions.get(name) or QuestionResult(
            name=name, points=0.0, max_points=float(nbgrader.get("points", 0))
        )
        cell["execution_count"] = None
        cell["outputs"] = _outputs(question)


def _outputs(question: QuestionResult) -> list[dict[str, Any]]:
    return [
        {"output_type": "stream", "name": "stdout", "text": summary(question)},
        {
            "output_type": "execute_result",
            "execution_count": None,
            "metadata": {},
            "data": {"text/plain": repr(float(question.points))},
        },
    ]


def summary(question: QuestionResult) -> str:
    """A question's tests as short plain text: what each says, how it went, and why."""
    lines = [f"{question.name}: {question.points:g} of {question.max_points:g} points"]
    lines += [_test_line(test) for test in question.tests] or ["  no test gave a verdict"]
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in "\n".join(lines))
    return (text if len(text) <= MAX_SUMMARY else f"{text[:MAX_SUMMARY]}\n  ...") + "\n"


def _test_line(test: TestResult) -> str:
    line = f"  {test.outcome.replace('_', ' ')}: {test.says or test.name}"
    if test.outcome != "passed":
        reasons = [test.message.strip().splitlines()[0] if test.message.strip() else "", test.diagnosis or ""]
        line += "".join(f"\n    {reason}" for reason in dict.fromkeys(reasons) if reason)
    return line


def _text_of(notebook: dict[str, Any]) -> str:
    """JSON with a line for each cell: with `indent` Python's slow encoder would be used, not the one in C."""
    cells = ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in notebook["cells"])
    rest = {key: value for key, value in notebook.items() if key != "cells"}
    return f'{{"cells": [\n{cells}\n],\n{json.dumps(rest, ensure_ascii=False)[1:]}\n'


def write_graded_copy(
    assignment: Assignment, student: str, notebook: Any, timestamp: datetime | None = None
) -> Path:
    """Write `autograded/STUDENT/SLUG/NOTEBOOK.ipynb` in the course's folder, and nbgrader's timestamp.txt.

    Parameters
    ----------
    assignment : Assignment
    student : str
        A safe id.
    notebook : dict
        In nbformat 4.
    timestamp : datetime, optional
        When the submission was handed in; with a time zone.

    Returns
    -------
    Path
        The notebook's.

    Raises
    ------
    GradebookError
        When the disk is full or may not be written; the older copy, if there is one, is then still there.
    """
    if not _SAFE_ID.fullmatch(student):
        raise GradebookError(f"{student!r} is no student id. Use letters, digits and ._@+- only.")
    folder = assignment.root / "autograded" / student / assignment.slug
    path = folder / f"{assignment.notebook}.ipynb"
    with plain_disk_errors(str(path)):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, _text_of(notebook), durable=False)
        if timestamp is not None:
            in_utc = timestamp.astimezone(UTC)
            write_whole(folder / "timestamp.txt", f"{in_utc:%Y-%m-%d %H:%M:%S.%f} UTC", durable=False)
    return path

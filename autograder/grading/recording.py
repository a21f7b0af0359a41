"""Keeping results where nbgrader finds them: its database, and the autograded notebook beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from autograder.course import Assignment
from autograder.gradebook.copies import grade_cells_from, write_graded_copy
from autograder.gradebook.database import Gradebook
from autograder.grading.grader import Graded


class GradebookRecorder:
    """Writes each batch: first the notebooks, then the database in one transaction.

    In that order, a grade in the database always has its notebook; a notebook without a grade is written
    again by the next run.
    """

    def __init__(self, gradebook: Gradebook, timestamps: Mapping[str, datetime]) -> None:
        self._gradebook, self._timestamps = gradebook, timestamps

    def record(self, assignment: Assignment, graded: Sequence[Graded]) -> None:
        """Keep a batch. Raises `GradebookError`."""
        unanswered = {}
        for entry in graded:
            if entry.intake is None:
                continue
            student = entry.result.student
            grade_cells_from(entry.intake.notebook, entry.result)
            write_graded_copy(assignment, student, entry.intake.notebook, self._timestamps.get(student))
            unanswered[student] = entry.intake.unanswered
        self._gradebook.record(
            assignment,
            [entry.result for entry in graded],
            timestamps=self._timestamps,
            unanswered=unanswered,
        )

"""Keeping results where nbgrader finds them: its database, and the autograded notebook beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from autograder.course import Assignment
from autograder.gradebook.copies import grade_cells_from, write_graded_copy
from autograder.grading.grader import Graded

if TYPE_CHECKING:
    from autograder.gradebook.database import Gradebook


class GradebookRecorder:
    """Writes batches in a thread of its own, while the next submissions are graded.

    The thread opens the gradebook, too: importing nbgrader takes longer than the first submissions. Of each
    batch first the notebooks are written, then the database in one transaction. In that order, a grade in the
    database always has its notebook; a notebook without a grade is written again by the next run.

    An error comes out of the next call. Use it as a context manager: leaving it closes the gradebook.
    """

    def __init__(self, open_gradebook: Callable[[], Gradebook], timestamps: Mapping[str, datetime]) -> None:
        self._timestamps = timestamps
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gradebook")
        self._opened = self._thread.submit(open_gradebook)
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):  # a gradebook that could not be opened: `record` has said so
            self._thread.submit(lambda: self._opened.result().close()).result()
        self._thread.shutdown()

    def check(self) -> None:
        """Raise `GradebookError` where it is known by now that the gradebook cannot be used."""
        if self._opened.done():
            self._opened.result()

    def record(self, assignment: Assignment, graded: Sequence[Graded]) -> None:
        """Keep a batch, as soon as the one before is kept. Raises that one's `GradebookError`."""
        self.settle()
        self._last = self._thread.submit(self._write, assignment, list(graded))

    def settle(self) -> None:
        """Wait until all is kept. Raises `GradebookError`."""
        if self._last is not None:
            last, self._last = self._last, None
            last.result()

    def _write(self, assignment: Assignment, graded: Sequence[Graded]) -> None:
        gradebook = self._opened.result()
        unanswered = {}
        for entry in graded:
            if entry.intake is None:
                continue
            student = entry.result.student
            grade_cells_from(entry.intake.notebook, entry.result)
            write_graded_copy(assignment, student, entry.intake.notebook, self._timestamps.get(student))
            unanswered[student] = entry.intake.unanswered
        gradebook.record(
            assignment,
            [entry.result for entry in graded],
            timestamps=self._timestamps,
            unanswered=unanswered,
        )

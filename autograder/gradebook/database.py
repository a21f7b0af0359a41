"""Grades into nbgrader's database, through nbgrader's own models: one transaction for a whole class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.orm import Session

from autograder.course import Assignment, Course
from autograder.course.results import SubmissionResult
from autograder.gradebook.errors import GradebookError, plain_database_errors
from autograder.gradebook.nbgrader_api import api
from autograder.gradebook.release import RegisteredNotebook, register_release
from autograder.gradebook.schema import open_engine, prepare_schema, shown_url
from autograder.notebook.intake import ReleaseError, read_release

# SQLite takes at most 32766 values in one statement; others less.
_CHUNK = 500
_NO_RESPONSE = "No response."


class Gradebook:
    """nbgrader's database, open for writing grades. Use it as a context manager.

    Parameters
    ----------
    url : str
        An SQLAlchemy URL, e.g. `default_url(course)`.
    course : Course

    Raises
    ------
    GradebookError
        From every method, when the database cannot be used; it is then as it was before.
    """

    def __init__(self, url: str, course: Course) -> None:
        self.course = course
        self.shown_url = shown_url(url)
        with plain_database_errors(self.shown_url):
            self._engine: Engine = open_engine(url)

    def __enter__(self) -> Self:
        try:
            with plain_database_errors(self.shown_url), Session(self._engine) as session, session.begin():
                prepare_schema(session.connection(), self.shown_url)
                if session.get(api.Course, self.course.name) is None:
                    session.add(api.Course(id=self.course.name))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the gradebook cannot be used afterwards."""
        self._engine.dispose()

    def register(self, assignment: Assignment) -> None:
        """Put an assignment's cells into the database, as `nbgrader generate_assignment` does.

        Points that changed are updated; cells that are new are added to the submissions that are there.
        """
        with plain_database_errors(self.shown_url), Session(self._engine) as session, session.begin():
            self._register(session, assignment)

    def record(
        self,
        assignment: Assignment,
        results: Sequence[SubmissionResult],
        *,
        timestamps: Mapping[str, datetime] | None = None,
        unanswered: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Write the grades of submissions, all of them or none. Refused submissions are left out.

        Manual scores, extra credit and manual comments stay. As in nbgrader, a grade that has a manual score
        is marked for another look.

        Parameters
        ----------
        assignment : Assignment
        results : sequence of SubmissionResult
            Where a student is in it twice, the last one counts.
        timestamps : mapping, optional
            By student: when the submission was handed in; a time without a zone is UTC.
        unanswered : mapping, optional
            By student: the grade ids of solution cells without an answer (`Intake.unanswered`); they get
            nbgrader's comment "No response.".
        """
        graded = {result.student: result for result in results if result.status == "graded"}
        with plain_database_errors(self.shown_url), Session(self._engine) as session, session.begin():
            registered = self._register(session, assignment)
            writer = _Writer(session, registered, timestamps or {}, unanswered or {})
            for students in _chunks(graded):
                writer.write([graded[student] for student in students])

    def _register(self, session: Session, assignment: Assignment) -> RegisteredNotebook:
        try:
            release = read_release(assignment.release_notebook)
        except ReleaseError as error:
            raise GradebookError(str(error)) from None
        return register_release(session, self.course, assignment, release, _due(assignment.due))


class _Writer:
    """Writes a chunk of results with a fixed number of statements."""

    def __init__(
        self,
        session: Session,
        registered: RegisteredNotebook,
        timestamps: Mapping[str, datetime],
        unanswered: Mapping[str, Collection[str]],
    ) -> None:
        self._session = session
        self._registered = registered
        self._timestamps = timestamps
        self._unanswered = unanswered

    def write(self, results: list[SubmissionResult]) -> None:
        students = [result.student for result in results]
        self._add_students(students)
        submissions = self._submissions(students)
        notebooks = self._notebooks(list(submissions.values()))
        by_student = {student: notebooks[submission] for student, submission in submissions.items()}
        self._write_grades(results, by_student)
        self._write_comments(students, by_student)

    def _add_students(self, students: list[str]) -> None:
        known = set(self._session.scalars(select(api.Student.id).where(api.Student.id.in_(students))))
        self._insert(api.Student, [{"id": student} for student in students if student not in known])

    def _submissions(self, students: list[str]) -> dict[str, str]:
        table = api.SubmittedAssignment
        wanted = (table.assignment_id == self._registered.assignment_id) & table.student_id.in_(students)
        found = self._pairs(select(table.student_id, table.id).where(wanted))
        times = {
            student: _naive_utc(self._timestamps[student])
            for student in students
            if student in self._timestamps
        }
        self._update(table, [{"id": found[s], "timestamp": times[s]} for s in times if s in found])
        new = [
            {
                "id": api.new_uuid(),
                "assignment_id": self._registered.assignment_id,
                "student_id": student,
                "timestamp": times.get(student),
            }
            for student in students
            if student not in found
        ]
        self._insert(table, new)
        return found | {row["student_id"]: row["id"] for row in new}

    def _notebooks(self, submissions: list[str]) -> dict[str, str]:
        table = api.SubmittedNotebook
        wanted = (table.notebook_id == self._registered.notebook_id) & table.assignment_id.in_(submissions)
        found = self._pairs(select(table.assignment_id, table.id).where(wanted))
        new = [
            {"id": api.new_uuid(), "assignment_id": submission, "notebook_id": self._registered.notebook_id}
            for submission in submissions
            if submission not in found
        ]
        self._insert(table, new)
        return found | {row["assignment_id"]: row["id"] for row in new}

    def _write_grades(self, results: list[SubmissionResult], notebooks: dict[str, str]) -> None:
        table = api.Grade
        columns = select(table.notebook_id, table.cell_id, table.id, table.manual_score)
        rows = self._session.execute(columns.where(table.notebook_id.in_(notebooks.values())))
        found = {(notebook, cell): (grade, manual) for notebook, cell, grade, manual in rows}
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for result in results:
            notebook = notebooks[result.student]
            points = {question.name: question.points for question in result.questions}
            for name, (cell, maximum) in self._registered.grade_cells.items():
                score = points.get(name, 0.0)
                if not 0.0 <= score <= maximum:
                    raise GradebookError(
                        f"{result.student} has {score:g} points for {name}, of {maximum:g}. Grade again: the "
                        "points in course.yml have changed since."
                    )
                grade, manual = found.get((notebook, cell), (None, None))
                if grade is None:
                    row = {"id": api.new_uuid(), "notebook_id": notebook, "cell_id": cell}
                    new.append(row | {"auto_score": score, "needs_manual_grade": False})
                else:
                    changed.append(
                        {"id": grade, "auto_score": score, "needs_manual_grade": manual is not None}
                    )
        self._insert(table, new)
        self._update(table, changed)

    def _write_comments(self, students: list[str], notebooks: dict[str, str]) -> None:
        table = api.Comment
        columns = select(table.notebook_id, table.cell_id, table.id)
        rows = self._session.execute(columns.where(table.notebook_id.in_(notebooks.values())))
        found = {(notebook, cell): comment for notebook, cell, comment in rows}
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for student in students:
            empty = self._unanswered.get(student)
            for grade_id, cell in self._registered.solution_cells.items():
                text = _NO_RESPONSE if empty is not None and grade_id in empty else None
                comment = found.get((notebooks[student], cell))
                if comment is None:
                    row = {"id": api.new_uuid(), "notebook_id": notebooks[student], "cell_id": cell}
                    new.append(row | {"auto_comment": text})
                elif empty is not None:
                    changed.append({"id": comment, "auto_comment": text})
        self._insert(table, new)
        self._update(table, changed)

    def _pairs(self, query: Any) -> dict[str, str]:
        return {row[0]: row[1] for row in self._session.execute(query)}

    def _insert(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._session.execute(insert(table), rows)

    def _update(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._session.execute(update(table), rows)


def _chunks(students: Iterable[str]) -> Iterator[list[str]]:
    everyone = list(students)
    for start in range(0, len(everyone), _CHUNK):
        yield everyone[start : start + _CHUNK]


def _naive_utc(moment: datetime) -> datetime:
    """nbgrader stores UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo is not None else moment


def _due(due: date | datetime | None) -> datetime | None:
    """The last moment in UTC: of a date, the end of that day on this machine's clock."""
    if due is None:
        return None
    moment = due if isinstance(due, datetime) else datetime.combine(due, time(23, 59, 59))
    return moment.astimezone(UTC).replace(tzinfo=None)

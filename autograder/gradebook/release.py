"""An assignment's release in nbgrader's database: its notebook, grade, solution and source cells."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from autograder.course import Assignment, Course
from autograder.gradebook.errors import GradebookError
from autograder.gradebook.nbgrader_api import api
from autograder.notebook.intake import Release
from autograder.notebook.repair import is_locked


@dataclass(frozen=True)
class RegisteredNotebook:
    """The ids by which grades refer to an assignment."""

    assignment_id: str
    notebook_id: str
    grade_cells: dict[str, tuple[str, float]]
    """By question: the grade cell's id and its points."""
    solution_cells: dict[str, str]
    """By grade id: the cell's id."""


def register_release(
    session: Session, course: Course, assignment: Assignment, release: Release, due: datetime | None
) -> RegisteredNotebook:
    """Bring the database's cells in line with the release.

    Raises
    ------
    GradebookError
        When the release does not fit course.yml, or a question with manual grades would be lost.
    """
    check_points(assignment, release)
    row = session.scalar(select(api.Assignment).where(api.Assignment.name == assignment.slug))
    if row is None:
        row = api.Assignment(name=assignment.slug, duedate=due, course_id=course.name)
        session.add(row)
        session.flush()
    elif row.duedate is None:
        row.duedate = due
    wanted = (api.Notebook.assignment_id == row.id) & (api.Notebook.name == assignment.notebook)
    notebook = session.scalar(select(api.Notebook).where(wanted))
    if notebook is None:
        notebook = api.Notebook(name=assignment.notebook, assignment_id=row.id)
        session.add(notebook)
        session.flush()
    kernelspec = json.dumps(release.metadata.get("kernelspec", {}))
    if notebook.kernelspec != kernelspec:
        notebook.kernelspec = kernelspec
    sync = _Sync(session, notebook.id)
    grade_cells = sync.grade_cells(release)
    solution_cells = sync.solution_cells(release)
    sync.source_cells(release)
    session.flush()
    sync.complete_submissions()
    return RegisteredNotebook(
        assignment_id=row.id,
        notebook_id=notebook.id,
        grade_cells={
            name.removeprefix("test_"): (cell.id, cell.max_score) for name, cell in grade_cells.items()
        },
        solution_cells={name: cell.id for name, cell in solution_cells.items()},
    )


def check_points(assignment: Assignment, release: Release) -> None:
    """Whether the release's grade cells are course.yml's questions; `GradebookError` if not."""
    expected = {f"test_{question.name}": question.points for question in assignment.questions}
    if expected.keys() != release.points.keys() or not all(
        math.isclose(points, release.points[name]) for name, points in expected.items()
    ):
        raise GradebookError(
            f"{release.path} does not have the questions and points of course.yml. "
            f"Run `autograder build {assignment.slug}`."
        )


class _Sync:
    """Adds, changes and removes the cells of one notebook."""

    def __init__(self, session: Session, notebook_id: str) -> None:
        self._session = session
        self._notebook_id = notebook_id
        self._new_grade_cells: list[str] = []
        self._new_solution_cells: list[str] = []

    def grade_cells(self, release: Release) -> dict[str, Any]:
        wanted = {
            node["metadata"]["nbgrader"]["grade_id"]: {"max_score": points, "cell_type": node["cell_type"]}
            for node in release.nodes
            if (points := release.points.get(node["metadata"].get("nbgrader", {}).get("grade_id")))
            is not None
        }
        cells, new = self._cells(api.GradeCell, wanted)
        self._new_grade_cells += new
        return cells

    def solution_cells(self, release: Release) -> dict[str, Any]:
        wanted: dict[str, dict[str, Any]] = {
            cell.grade_id: {}
            for cell in release.cells
            if cell.question is not None and cell.grade_id is not None
        }
        cells, new = self._cells(api.SolutionCell, wanted)
        self._new_solution_cells += new
        return cells

    def source_cells(self, release: Release) -> None:
        wanted = {}
        for node in release.nodes:
            nbgrader = node["metadata"].get("nbgrader", {})
            if nbgrader.get("grade") or nbgrader.get("solution") or nbgrader.get("locked"):
                wanted[nbgrader["grade_id"]] = {
                    "cell_type": node["cell_type"],
                    "locked": is_locked(node),
                    "source": node["source"],
                    "checksum": nbgrader.get("checksum"),
                }
        self._cells(api.SourceCell, wanted)

    def complete_submissions(self) -> None:
        """Give the submissions that are there a grade or comment for each new cell, as nbgrader expects."""
        if not self._new_grade_cells and not self._new_solution_cells:
            return
        submitted = api.SubmittedNotebook
        for notebook in self._session.scalars(
            select(submitted.id).where(submitted.notebook_id == self._notebook_id)
        ).all():
            self._session.add_all(
                api.Grade(cell_id=cell, notebook_id=notebook) for cell in self._new_grade_cells
            )
            self._session.add_all(
                api.Comment(cell_id=cell, notebook_id=notebook) for cell in self._new_solution_cells
            )

    def _cells(self, model: Any, wanted: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """The cells of one kind by name, in line with what is wanted, and the ids of the new ones."""
        found = {
            cell.name: cell
            for cell in self._session.scalars(select(model).where(model.notebook_id == self._notebook_id))
        }
        for name in sorted(found.keys() - wanted.keys()):
            self._remove(found.pop(name))
        new = []
        for name, values in wanted.items():
            if name not in found:
                found[name] = model(name=name, notebook_id=self._notebook_id, id=api.new_uuid(), **values)
                self._session.add(found[name])
                new.append(found[name].id)
            for key, value in values.items():
                if getattr(found[name], key) != value:
                    setattr(found[name], key, value)
        return found, new

    def _remove(self, cell: Any) -> None:
        if not isinstance(cell, api.SourceCell):
            grade, comment = api.Grade, api.Comment
            manual = select(grade.id).where(
                (grade.cell_id == cell.id)
                & (grade.manual_score.is_not(None) | grade.extra_credit.is_not(None))
            )
            written = select(comment.id).where(
                (comment.cell_id == cell.id) & comment.manual_comment.is_not(None)
            )
            if self._session.scalar(manual.limit(1)) or self._session.scalar(written.limit(1)):
                raise GradebookError(
                    f"{cell.name} is no longer in the release, but the gradebook holds manual grades or "
                    "comments for it. Bring it back, or remove those first."
                )
            self._session.execute(delete(grade).where(grade.cell_id == cell.id))
            self._session.execute(delete(comment).where(comment.cell_id == cell.id))
        self._session.delete(cell)

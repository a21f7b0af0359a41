"""`nbgrader autograde` with the hidden suite in the sandbox, not the submission's cells in a kernel.

nbgrader_config.py names both classes:

    c.Autograde.exporter_class = "autograder.grading.nbgrader_preprocessor.SubmissionExporter"
    c.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors.CheckCellMetadata"]
    c.Autograde.autograde_preprocessors = [
        "autograder.grading.nbgrader_preprocessor.SandboxedGrader",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]

The exporter stands for nbgrader's sanitising, which drops a notebook that is damaged where intake mends it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat import from_dict
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.course import Assignment, load_course
from autograder.gradebook.copies import grade_cells_from
from autograder.gradebook.errors import GradebookError
from autograder.notebook.collect import UnreadableError
from autograder.notebook.entries import read_content
from autograder.notebook.handedin import beside, read_files
from autograder.notebook.intake import IntakeError, read_release, read_submission


class SubmissionRefused(Exception):
    """A submission that cannot be graded: nbgrader logs the message and goes on to the next one."""


class SubmissionExporter(NotebookExporter):  # type: ignore[misc] # nbconvert has no types
    """Reads a submitted notebook as `autograder grade` does, mended and with its locked cells put back.

    nbgrader makes two passes, over the submitted and over the autograded notebook; only the first is ours.
    """

    def from_filename(self, filename: str, resources: Any = None, **options: Any) -> tuple[str, Any]:
        """The notebook as text, and nbconvert's resources; `SubmissionRefused` where it cannot be read."""
        coursedir = _coursedir(self)
        if coursedir is None or not _is_submitted(coursedir, filename, resources):
            exported: tuple[str, Any] = super().from_filename(filename, resources=resources, **options)
            return exported
        assignment = _assignment(self, resources)
        raw = _read(Path(filename), assignment)
        try:
            intake = read_submission(raw, read_release(assignment.release_notebook), assignment.limits)
        except IntakeError as error:
            raise SubmissionRefused(f"{filename}: {error}") from None
        for repair in intake.repairs:
            self.log.warning("%s: %s", filename, repair)
        exported = self.from_notebook_node(from_dict(intake.notebook), resources=resources, **options)
        return exported


class SandboxedGrader(NbGraderPreprocessor):  # type: ignore[misc] # nbgrader has no types
    """Grades a submission with the hidden suite and writes the points where nbgrader looks for them.

    It takes the place of nbgrader's `Execute`. Cells that are not graded keep the outputs that the student
    left.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Grade the submission that the notebook `nb` was made of and fill in its grade cells."""
        from autograder.grading import grade_one

        assignment = _assignment(self, resources)
        student = resources["nbgrader"]["student"]
        folder = assignment.root / "submitted" / student / assignment.slug
        coursedir = _coursedir(self)
        if coursedir is not None:
            folder = Path(coursedir.format_path(coursedir.submitted_directory, student, assignment.slug))
        notebook = folder / f"{assignment.notebook}.ipynb"
        files = read_files(beside(notebook, assignment), assignment)
        result = grade_one(assignment, _read(notebook, assignment), student, files=files)
        if result.status != "graded":
            raise SubmissionRefused(f"{student}: {result.reason}")
        for repair in result.repairs:
            self.log.info("%s: %s", student, repair)
        _check_points(nb, assignment)
        grade_cells_from(nb, result)
        nb.cells = from_dict(nb.cells)  # nbgrader reads the new outputs by attribute
        return nb, resources


def _coursedir(component: Any) -> Any:
    """nbgrader's CourseDirectory, by way of the components that made this one; None outside nbgrader."""
    while component is not None:
        coursedir = getattr(component, "coursedir", None)
        if coursedir is not None:
            return coursedir
        component = getattr(component, "parent", None)
    return None


def _is_submitted(coursedir: Any, filename: str, resources: Any) -> bool:
    ids = (resources or {}).get("nbgrader")
    if not ids:
        return False
    folder = coursedir.format_path(coursedir.submitted_directory, ids["student"], ids["assignment"])
    return Path(folder).absolute() == Path(filename).absolute().parent


def _assignment(component: Any, resources: Any) -> Assignment:
    """The assignment that nbgrader works on, from the course.yml in its course folder."""
    coursedir = _coursedir(component)
    root = Path.cwd() if coursedir is None else Path(coursedir.root)
    assignment = load_course(root).assignment(resources["nbgrader"]["assignment"])
    name = resources["nbgrader"]["notebook"]
    if name != assignment.notebook:
        raise SubmissionRefused(
            f"{name}.ipynb is not graded: the notebook is called {assignment.notebook}.ipynb."
        )
    return assignment


def _read(path: Path, assignment: Assignment) -> bytes:
    try:
        return read_content(path, str(path), assignment.limits.notebook_mb << 20)
    except UnreadableError as error:
        raise SubmissionRefused(str(error)) from None


def _check_points(nb: Any, assignment: Assignment) -> None:
    # nbgrader drops a submission that has more points than its cell says.
    for cell in nb.cells:
        nbgrader = cell.metadata.get("nbgrader", {})
        if nbgrader.get("grade"):
            name = nbgrader["grade_id"].removeprefix("test_")
            if assignment.question(name).points != nbgrader["points"]:
                raise GradebookError(
                    f"The release gives {nbgrader['points']:g} points for {name}, course.yml does not. Run "
                    f"`autograder build {assignment.slug}`, then `nbgrader generate_assignment "
                    f"{assignment.slug} --force`."
                )

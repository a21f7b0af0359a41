"""`feedback`, `export` and `report`: what is made from a finished report."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from rich.table import Table

from autograder.cli.screen import console
from autograder.course import CourseError, Problem, load_course
from autograder.course.results import Report
from autograder.publishing import PublishingError, write_export, write_feedback

STYLES = ("generic", "canvas", "moodle")


def read_report(path: Path) -> Report:
    """A report from its file; `PublishingError` where it is none."""
    try:
        return Report.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise PublishingError(
            f"There is no report {path}. `autograder grade --json {path} ...` writes one."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise PublishingError(
            f"{path} is not a report of `autograder grade`: {where}: {first['msg']}."
        ) from None


def run_feedback(folder: Path, path: Path, to: Path) -> int:
    """Write the pages. Exit status."""
    report = read_report(path)
    course = load_course(folder)
    pages = write_feedback(report, course.title, course.assignment(report.assignment), to)
    print(pages[-1])
    return 0


def run_export(folder: Path, path: Path, to: Path, style: str) -> int:
    """Write the CSV. Exit status."""
    if style not in STYLES:
        raise CourseError([Problem(None, f"There is no style {style!r}.", f"Styles: {', '.join(STYLES)}.")])
    report = read_report(path)
    assignment = load_course(folder).assignment(report.assignment)
    print(write_export(report, assignment, to, style))  # type: ignore[arg-type]
    return 0


def run_report(path: Path) -> int:
    """Print a table. Exit status."""
    report = read_report(path)
    table = Table(title=report.assignment)
    for name in ("student", "score", "of", "seconds", "lost in"):
        table.add_column(name, justify="left" if name in ("student", "lost in") else "right")
    for entry in report.submissions:
        lost = ", ".join(
            question.name for question in entry.questions if question.points < question.max_points
        )
        score = f"{entry.score:g}" if entry.status == "graded" else "refused"
        table.add_row(
            entry.student, score, f"{entry.max_score:g}", f"{entry.seconds:.2f}", lost or entry.reason
        )
    console().print(table)
    return 0

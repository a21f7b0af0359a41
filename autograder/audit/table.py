"""The table of all assignments that stands in the README, made from the recorded audit."""

from __future__ import annotations

from pathlib import Path

from autograder.audit.ledger import Entry, Ledger, LedgerError
from autograder.audit.proof import VARIANT_SEEDS
from autograder.course import Assignment, Course
from autograder.course.files import write_whole

BEGIN = "<!-- audit: made by `autograder audit --record` -->"
END = "<!-- end of audit -->"

HEAD = (
    "| assignment | questions | tests | seeds of the solution | other right answers x seeds | known mistakes "
    "caught | machine-made mutants killed | closest threshold | a mistake held out of the bank: right, "
    "silent, wrong |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def table(course: Course, ledger: Ledger) -> str:
    """The table as Markdown, in the order of the course."""
    rows = [
        _row(assignment, ledger.assignments[assignment.slug])
        for assignment in course.assignments
        if assignment.slug in ledger.assignments
    ]
    return HEAD + "".join(rows)


def _row(assignment: Assignment, entry: Entry) -> str:
    mutation, held_out = entry.mutation, entry.held_out
    dead = f"{mutation.dead} of {mutation.dead + mutation.survived} ({mutation.score:.1%})"
    closest = "–"
    if entry.closest is not None:
        never = entry.closest.deviations is None
        closest = "no spread" if never else f"{entry.closest.deviations:.1f} sd, {entry.closest.seeds} seeds"
    cells = [
        assignment.slug,
        str(len(assignment.questions)),
        str(len(entry.tests)),
        str(entry.seeds),
        f"{len(entry.variants)} x {min(entry.seeds, VARIANT_SEEDS)}",
        f"{entry.caught} of {len(entry.mistakes)}",
        dead if entry.mutants else "–",
        closest,
        f"{held_out.right}, {held_out.silent}, {held_out.wrong}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def readme_with(course: Course, ledger: Ledger) -> str:
    """The README with the present table between its markers. Raises `LedgerError` where they are missing."""
    text = (course.root / "README.md").read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LedgerError(
            f"README.md lacks the markers of the table. Put {BEGIN} and {END} where it belongs."
        )
    return f"{before}{BEGIN}\n{table(course, ledger)}{END}{after}"


def update_readme(course: Course, ledger: Ledger) -> Path:
    """Write the table into the README. Raises `LedgerError`, OSError."""
    path = course.root / "README.md"
    write_whole(path, readme_with(course, ledger))
    return path


def readme_is_stale(course: Course, ledger: Ledger) -> bool:
    """Whether the README shows another table than the record gives."""
    return readme_with(course, ledger) != (course.root / "README.md").read_text(encoding="utf-8")

"""What keeps an assignment from being built, each with its place and a remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Assignment
from autograder.notebook.cells import Cell


@dataclass(frozen=True)
class BuildProblem:
    """One thing that is wrong: where, what, and what to do about it."""

    file: Path
    """The file to look at, relative to the course."""
    what: str
    remedy: str
    cell: int | None = None
    """The cell's number in the notebook, counted from 1 over code and markdown cells."""
    line: int | None = None
    """The line of `file`, counted from 1."""

    def __str__(self) -> str:
        at = str(self.file)
        if self.line is not None:
            at += f":{self.line}"
        if self.cell is not None:
            at += f" (cell {self.cell})"
        return f"{at}: {self.what} {self.remedy}"


class BuildError(Exception):
    """An assignment cannot be built; `problems` holds every reason, in order of files and lines."""

    def __init__(self, problems: Iterable[BuildProblem]) -> None:
        self.problems = sorted(problems, key=lambda each: (str(each.file), each.line or 0, each.cell or 0))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[BuildError], tuple[list[BuildProblem]]]:
        return (type(self), (self.problems,))


def problem_at(
    assignment: Assignment, cell: Cell, what: str, remedy: str, *, offset: int | None = None
) -> BuildProblem:
    """A problem at a cell of the source, or at one of its lines (`offset`, counted from 0)."""
    line = cell.line
    if line is not None and offset is not None:
        line += offset
    elif line is not None and cell.question is not None:
        line = max(line - 1, 1)  # the header, which names the question
    return BuildProblem(assignment.source.relative_to(assignment.root), what, remedy, cell.index + 1, line)

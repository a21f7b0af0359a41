"""A notebook as a list of cells, whatever it was read from."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from autograder.course.problems import Problem


@dataclass(frozen=True)
class Cell:
    """One cell of a source script or of a notebook."""

    index: int
    """Its place, counted from 0."""
    kind: Literal["code", "markdown"]
    source: str
    question: str | None = None
    """The question that a solution cell answers."""
    tags: frozenset[str] = frozenset()
    grade_id: str | None = None
    """nbgrader's identifier: NAME, NAME-2, ... for solution cells, test_NAME for grade cells."""
    line: int | None = field(default=None, compare=False)
    """Line of the source script on which the cell's text begins, counted from 1; None in a notebook."""

    @property
    def show(self) -> bool:
        """Whether the cell only shows something and is left out at grading."""
        return "show" in self.tags

    @cached_property
    def checks(self) -> str | None:
        """The question of a grade cell: the name in its only statement, `check("name")`; None elsewhere."""
        if self.kind != "code" or "check(" not in self.source or len(self.source) > 1000:
            return None
        try:
            body = ast.parse(self.source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        match body:
            case [ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(str() as name)], []))]:
                return name
        return None


class SourceError(Exception):
    """A source script cannot be read; `problems` holds everything that is wrong with its cells."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = list(problems)
        super().__init__("\n".join(self._lines()))

    def __reduce__(self) -> tuple[type[SourceError], tuple[Path, list[Problem]]]:
        return (type(self), (self.path, self.problems))

    def _lines(self) -> Iterable[str]:
        for problem in self.problems:
            at = self.path if problem.line is None else f"{self.path}:{problem.line}"
            yield f"{at}: {problem.what} {problem.remedy}"

"""How a check fails: with a finding that says what was called, what was expected, what came, and where it
differs.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, NoReturn

from autograder.course.results import Finding

if TYPE_CHECKING:
    from autograder.checking.proxy import Student
    from autograder.checking.relation import Relation

current_student: contextvars.ContextVar[Student | None] = contextvars.ContextVar(
    "current_student", default=None
)
"""The student under test, so that a failing assertion can say which call its value came from."""


class CheckFailure(AssertionError):
    """A check that failed, with its finding.

    Attributes:
        relation: how the answer relates to the right one, where it is of a simple family.
        nonfinite: whether infinite or undefined numbers are what is wrong.
    """

    def __init__(self, finding: Finding, relation: Relation | None = None, nonfinite: bool = False) -> None:
        super().__init__(finding.headline)
        self.finding, self.relation, self.nonfinite = finding, relation, nonfinite


class NoFile(Exception):
    """A file that a test asks for was not handed in, or cannot be used; the text says why."""


class StudentError(Exception):
    """The student's code could not answer a call.

    Attributes:
        kind: "raised", "not_written" (NotImplementedError), "not_defined" or "not_plain" (a value that cannot
        cross).
        type: name of the exception's type, as the student's process reported it.
        text: its text.
        where: the student's frames, outermost first: (cell, line number, source line).
        call: the call that failed, described.
    """

    def __init__(
        self, kind: str, type: str, text: str, where: list[tuple[str, int, str]], name: str, call: str
    ) -> None:
        self.kind, self.type, self.text, self.where, self.name, self.call = (
            kind,
            type,
            text,
            where,
            name,
            call,
        )
        super().__init__(self.headline)

    @property
    def headline(self) -> str:
        """One sentence for the student."""
        if self.kind == "not_written":
            return f"{self.name} is not written yet."
        if self.kind == "not_defined":
            return f"{self.name} is not defined in the notebook. Was its cell deleted or its name changed?"
        if self.kind == "not_plain":
            return f"{self.name} returned something that cannot be graded: {self.text}."
        return f"Your code raised {self.type}" + (f": {self.text}" if self.text else ".")

    def finding(self) -> Finding:
        """The same as a finding."""
        where = ""
        if self.where and self.kind == "raised":
            cell, line, source = self.where[-1]
            where = f"{cell.strip('<>')}, line {line}" + (f": {source}" if source else "")
        return Finding(headline=self.headline, call=self.call, where=where)


def fail(
    headline: str,
    *,
    expected: str = "",
    got: str = "",
    where: str = "",
    hint: str = "",
    value: Any = None,
    error_map: list[list[float | None]] | None = None,
    error_map_axes: tuple[str, str] | None = None,
    relation: Relation | None = None,
    nonfinite: bool = False,
) -> NoReturn:
    """Fail the check with a finding. `value` is what the student returned: it finds the call to name.
    `relation` and `nonfinite` are as in `CheckFailure`.
    """
    student = current_student.get()
    raise CheckFailure(
        Finding(
            headline=headline,
            call=student.call_that_gave(value) if student is not None else "",
            expected=expected,
            got=got,
            where=where,
            hint=hint,
            error_map=error_map,
            error_map_axes=error_map_axes,
        ),
        relation,
        nonfinite,
    )

"""What can be wrong with a course, each with its line and its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what is wrong, what to do."""

    line: int | None
    """Line of course.yml, counted from 1; None where no line can be named."""
    what: str
    """One sentence: what is wrong."""
    remedy: str
    """One sentence: what to do about it."""


class CourseError(Exception):
    """A course cannot be used as it is; `problems` holds everything that is wrong, in order of lines."""

    def __init__(self, problems: Iterable[Problem], path: Path | None = None) -> None:
        self.problems: list[Problem] = sorted(problems, key=lambda problem: problem.line or 0)
        self.path = path
        super().__init__("\n".join(self._lines()))

    def __reduce__(self) -> tuple[type[CourseError], tuple[list[Problem], Path | None]]:
        # By default the message would be handed to __init__, and the error could not leave a process pool.
        return (type(self), (self.problems, self.path))

    def _lines(self) -> Iterable[str]:
        for problem in self.problems:
            at = "" if problem.line is None else f"{self.path or 'course.yml'}:{problem.line}: "
            yield f"{at}{problem.what} {problem.remedy}".rstrip()


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    close = get_close_matches(name.lower(), [candidate.lower() for candidate in known], n=1, cutoff=0.6)
    return next((candidate for candidate in known if close and candidate.lower() == close[0]), None)


def suggestion(name: str, known: Sequence[str], *, kind: str) -> str:
    """A remedy for an unknown name: the nearest known one, or all of them."""
    close = nearest(name, known)
    if close is not None:
        return f"Did you mean {close!r}?"
    return f"Known {kind}: {', '.join(known)}." if known else f"There are no {kind} yet."

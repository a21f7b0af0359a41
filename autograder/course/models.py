"""`course.yml` as typed, immutable models that know where the files of the course lie."""

from __future__ import annotations

import re
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
)

from autograder.course.problems import CourseError, Problem, suggestion

# Slugs and notebook names become folder and file names: nothing in them may lead elsewhere.
# (In pydantic's regular expressions `$` is the very end of the text; no newline may follow.)
Slug = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_][0-9A-Za-z_-]*$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][0-9A-Za-z_]*$")]
# One part of a path, with a star for what differs; the endings are those that `notebook.weights` knows.
FilePattern = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-Za-z_*][0-9A-Za-z_*-]*\.(safetensors|pt|pth)$", max_length=100)
]
DottedName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][0-9A-Za-z_]*(\.[A-Za-z_][0-9A-Za-z_]*)*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
DatabaseUrl = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(\+[a-z0-9_]+)?://.+$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


def _parse_due(value: object) -> object:
    """A date (`2026-10-30`) or a date with a time (`2026-10-30 18:00`, optionally with a UTC offset)."""
    if not isinstance(value, str):
        return value
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(value.strip())
        except ValueError:
            continue
    raise ValueError("no date")


def _not_a_grade_id(value: str) -> str:
    if value.startswith("test_"):
        raise ValueError("reserved")
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    # Not `min_length`: pydantic would also call a list too short whose entries are wrong.
    if not value:
        raise ValueError("empty list")
    return value


class Limits(_Model):
    """What a submission may use. Seconds are wall-clock seconds unless said otherwise."""

    cell_seconds: Seconds = 20.0
    """One cell, while the submission is loaded."""
    load_seconds: Seconds = 60.0
    """All cells together."""
    call_seconds: Seconds = 10.0
    """One call of a test into the submission."""
    submission_seconds: Seconds = 300.0
    """One submission, from its file to its report."""
    memory_mb: Count = 2048
    cpu_seconds: Count = 300
    """CPU time of the submission's process."""
    processes: Count = 32
    """Processes and threads together."""
    open_files: Count = 128
    file_mb: Count = 64
    """The largest file that a submission may write."""
    disk_mb: Count = 64
    """All files that it writes, together."""
    notebook_mb: Count = 100
    """The largest notebook that intake reads."""


class Question(_Model):
    """One graded question of an assignment, named after the function or class that answers it."""

    name: Annotated[Identifier, AfterValidator(_not_a_grade_id)]
    points: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SubmittedFile(_Model):
    """A file with trained weights that is handed in beside the notebook."""

    name: Identifier
    """What suites call it: `student.file("weights")`."""
    patterns: Annotated[tuple[FilePattern, ...], Field(strict=False), AfterValidator(_not_empty)]
    """Names that it may have, the preferred one first."""
    max_mb: Annotated[int, Field(gt=0, le=200)] = 50

    def rank(self, file_name: str) -> int | None:
        """The place of the first pattern that fits a file's name, whatever its case; None where none does."""
        for place, pattern in enumerate(self.patterns):
            if fnmatchcase(file_name.casefold(), pattern.casefold()):
                return place
        return None

    @property
    def expected(self) -> str:
        """The names that it may have, in words."""
        return " or ".join(self.patterns)


class Assignment(_Model):
    """One assignment: its questions, its rules, and where its files lie."""

    slug: Slug
    title: Text
    notebook: Slug = Field(default_factory=lambda given: re.sub(r"^\d+[_-]", "", given.get("slug", "")))
    due: Annotated[date | datetime | None, BeforeValidator(_parse_due)] = None
    forbid: Annotated[tuple[DottedName, ...], Field(strict=False)] = ()
    """Packages and modules that raise at grading when the submission imports them."""
    torch: bool = False
    """Whether the worker needs PyTorch."""
    data: Annotated[tuple[Slug, ...], Field(strict=False)] = ()
    """Data sets that the notebook loads."""
    part: Text | None = None
    """The part of the course that it belongs to, for the syllabus."""
    after: Annotated[tuple[Slug, ...], Field(strict=False)] = ()
    """The assignments above this one in course.yml that it builds on."""
    hours: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    """How long a student needs, roughly."""
    draft: bool = False
    """Still being written: it is not released, not in the syllabus, and its audit need not be recorded."""
    limits: Limits = Limits()
    files: Annotated[tuple[SubmittedFile, ...], Field(strict=False)] = ()
    """Trained weights that are handed in beside the notebook."""
    questions: Annotated[tuple[Question, ...], Field(strict=False), AfterValidator(_not_empty)]

    _root: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the course lies, which the file itself does not say."""
        if isinstance(context, dict) and "root" in context:
            self._root = context["root"]

    @property
    def max_points(self) -> float:
        """The points of all questions together."""
        return sum(question.points for question in self.questions)

    def question(self, name: str) -> Question:
        """The question of that name; `CourseError` with the nearest known name when there is none."""
        for question in self.questions:
            if question.name == name:
                return question
        remedy = suggestion(name, [question.name for question in self.questions], kind="questions")
        raise CourseError([Problem(None, f"Assignment {self.slug} has no question {name!r}.", remedy)])

    @property
    def root(self) -> Path:
        """The course's folder."""
        return self._root

    @property
    def source(self) -> Path:
        """The percent script that the instructor writes."""
        return self._root / "solutions" / self.slug / f"{self.notebook}.py"

    @property
    def solution_notebook(self) -> Path:
        """The source, executed: generated."""
        return self._root / "solutions" / self.slug / f"{self.notebook}.ipynb"

    @property
    def mistakes(self) -> Path:
        """Known wrong answers."""
        return self._root / "solutions" / self.slug / "mistakes.py"

    @property
    def variants(self) -> list[Path]:
        """Other right answers, sorted by name."""
        return sorted((self._root / "solutions" / self.slug / "variants").glob("*.py"))

    def own_files(self, variant: str = "") -> dict[str, Path]:
        """The solution's own weights by the names in `files`, as far as they are there.

        They lie beside the source. A variant with another network than the solution's has its own, in
        variants/STEM/ for variants/STEM.py.
        """
        beside = self.source.parent
        folders = [beside / "variants" / Path(variant).stem, beside] if variant else [beside]
        found: dict[str, Path] = {}
        for file in self.files:
            candidates = [
                (place, file.rank(path.name), path)
                for place, folder in enumerate(folders)
                for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
                if file.rank(path.name) is not None and path.is_file()
            ]
            if candidates:
                found[file.name] = min(candidates)[2]
        return found

    @property
    def all_own_files(self) -> list[Path]:
        """The weights of the solution and of every variant, each once, sorted."""
        variants = ("", *(path.name for path in self.variants)) if self.files else ()
        return sorted({path for variant in variants for path in self.own_files(variant).values()})

    @property
    def tests(self) -> Path:
        """The folder of the public and hidden suites."""
        return self._root / "tests" / self.slug

    @property
    def release(self) -> Path:
        """The folder that students get: generated."""
        return self._root / "assignments" / self.slug

    @property
    def release_notebook(self) -> Path:
        """The notebook that students get: generated."""
        return self.release / f"{self.notebook}.ipynb"


class Course(_Model):
    """A course as `course.yml` describes it."""

    name: Slug
    title: Text
    limits: Limits = Limits()
    """Defaults for every assignment; an assignment's own `limits` come first."""
    gradebook: DatabaseUrl | None = None
    """The gradebook as an SQLAlchemy URL; nbgrader's gradebook.db beside course.yml by default."""
    assignments: Annotated[tuple[Assignment, ...], Field(strict=False)]

    _root: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the course lies, which the file itself does not say."""
        if isinstance(context, dict) and "root" in context:
            self._root = context["root"]

    @property
    def root(self) -> Path:
        """The folder that holds course.yml."""
        return self._root

    @property
    def published(self) -> tuple[Assignment, ...]:
        """The assignments that are no drafts."""
        return tuple(assignment for assignment in self.assignments if not assignment.draft)

    def assignment(self, slug: str) -> Assignment:
        """The assignment of that slug; `CourseError` with the nearest known slug when there is none."""
        for assignment in self.assignments:
            if assignment.slug == slug:
                return assignment
        remedy = suggestion(slug, [assignment.slug for assignment in self.assignments], kind="assignments")
        raise CourseError([Problem(None, f"The course has no assignment {slug!r}.", remedy)])

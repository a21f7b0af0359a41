"""What grading produces: one typed document that gradebook, feedback pages and exports all read.

The shape of `Report` is a contract: `autograder grade --json` writes it, and nothing downstream looks
anywhere else.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["passed", "failed", "error", "timeout", "crashed", "not_gradable"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


MAX_PICTURE = 24_000
"""Characters of an encoded image."""


class Picture(_Model):
    """A small image to look at."""

    png: str = Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=MAX_PICTURE)
    """A PNG file in base64, made by the grader."""
    caption: str


class Finding(_Model):
    """What a failed test has to say: enough for a student to see the difference without seeing the test."""

    headline: str
    """One plain sentence: what is wrong."""
    call: str = ""
    """What was called, with the shapes and dtypes of its arguments."""
    expected: str = ""
    got: str = ""
    where: str = ""
    """The worst element: its index, the value expected there and the value found."""
    hint: str = ""
    """Where to look."""
    error_map: list[list[float | None]] | None = None
    """|got - expected| reduced to two dimensions, at most 32 x 32; None where a value is not finite."""
    error_map_axes: tuple[str, str] | None = None
    error_map_what: str = ""
    """What its numbers count, where they are no differences."""
    pictures: list[Picture] = Field(default_factory=list)
    """Images that the answer is wrong about."""


class TestResult(_Model):
    """One hidden test on one submission."""

    __test__ = False  # pytest would take the class for a test by its name

    name: str
    says: str
    """The sentence the student reads: the first line of the test's docstring."""
    outcome: Outcome
    message: str = ""
    diagnosis: str | None = None
    """The sentence of the known mistake whose results these are, or of the simple family that the wrong
    answer is of; None where neither is known."""
    family: str = ""
    """The family whose sentence `diagnosis` is ("scaled", "transposed", ...); empty for a known mistake."""
    weight: float = 1.0
    seconds: float = 0.0
    finding: Finding | None = None


class QuestionResult(_Model):
    """One question: its points and the tests that decided them."""

    name: str
    points: float
    max_points: float
    tests: list[TestResult] = Field(default_factory=list)


class SubmissionResult(_Model):
    """One submission: graded, or refused with a reason."""

    student: str
    score: float
    max_score: float
    status: Literal["graded", "refused"] = "graded"
    reason: str = ""
    """Why a submission was refused; empty for a graded one."""
    repairs: list[str] = Field(default_factory=list)
    """What was mended before grading, and which cells raised while loading; a sentence each."""
    seconds: float = 0.0
    questions: list[QuestionResult] = Field(default_factory=list)
    source: str = ""
    """The file that was graded, as the instructor named it."""
    sha256: str = ""
    """Digest of the submitted notebook."""
    seed: int = 0


class Report(_Model):
    """The result of one `autograder grade`."""

    assignment: str
    suite_version: str
    """Digest of the hidden suite, the solution and the engine's version."""
    sandbox: list[str]
    """The layers in force, or ["none (--unsafe-no-sandbox)"]."""
    submissions: list[SubmissionResult] = Field(default_factory=list)


def question_points(tests: list[TestResult], max_points: float) -> float:
    """Points earned: the weighted share of passed tests, rounded to 1/100 of a point.

    A question without a verdict earns 0 (fail closed).
    """
    total = sum(test.weight for test in tests)
    if total <= 0:
        return 0.0
    passed = sum(test.weight for test in tests if test.outcome == "passed")
    return max_points if passed == total else round(max_points * passed / total, 2)

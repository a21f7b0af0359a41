"""Grading one submission by itself, for nbgrader's own commands."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course import Assignment, load_course
from autograder.course.results import SubmissionResult
from autograder.grading.grader import Grader, Options, with_grader
from autograder.grading.identity import course_key, submission_seed
from autograder.notebook.handedin import HandedIn


def grade_one(
    assignment: Assignment,
    raw: bytes,
    student: str,
    options: Options | None = None,
    files: Sequence[HandedIn] = (),
) -> SubmissionResult:
    """Grade one notebook, and the files that were handed in beside it, with the seed that `autograder grade`
    would use, so that both give the same grade.

    Raises what `with_grader` raises where suite, mistakes or sandbox cannot be used.
    """
    seed = submission_seed(course_key(load_course(assignment.root)), assignment.slug, student)

    def grade(grader: Grader) -> SubmissionResult:
        return grader.grade(raw, student, seed, files=files).result

    return with_grader(assignment, grade, options)

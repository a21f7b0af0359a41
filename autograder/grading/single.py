"""Grading one submission by itself, for nbgrader's own commands."""

from __future__ import annotations

from autograder.course import Assignment, load_course
from autograder.course.results import SubmissionResult
from autograder.grading.grader import Options, with_grader
from autograder.grading.identity import course_key, submission_seed


def grade_one(
    assignment: Assignment, raw: bytes, student: str, options: Options | None = None
) -> SubmissionResult:
    """Grade one notebook with the seed that `autograder grade` would use, so that both give the same grade.

    Raises what `with_grader` raises where suite, mistakes or sandbox cannot be used.
    """
    seed = submission_seed(course_key(load_course(assignment.root)), assignment.slug, student)
    return with_grader(assignment, lambda grader: grader.grade(raw, student, seed).result, options)

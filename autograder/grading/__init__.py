"""A submission from file to report: sessions, parallel jobs, resume, and nbgrader's preprocessor."""

from __future__ import annotations

from autograder.grading.grader import Grader, Options, with_grader
from autograder.grading.single import grade_one

__all__ = ["Grader", "Options", "grade_one", "with_grader"]

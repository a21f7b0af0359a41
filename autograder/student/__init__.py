"""The student's side: `check("question")` runs the public tests on the functions in the notebook."""

from __future__ import annotations

from autograder.student.check import CheckError, check, check_namespace

__all__ = ["CheckError", "check", "check_namespace"]

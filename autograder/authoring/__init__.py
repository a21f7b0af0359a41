"""From an instructor's source script to the executed notebook and the student's release."""

from __future__ import annotations

from autograder.authoring.building import BuildResult, build_assignment
from autograder.authoring.problems import BuildError, BuildProblem

__all__ = ["BuildError", "BuildProblem", "BuildResult", "build_assignment"]

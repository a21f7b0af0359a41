"""What a course's nbgrader_config.py sets: nbgrader's commands with our folders, suites and sandbox."""

from __future__ import annotations

import os
import sys
from glob import escape
from pathlib import Path
from typing import Any

from autograder.course import load_course
from autograder.gradebook import default_url


def configure(c: Any, course: Path) -> None:
    """Set `c`, the configuration object that traitlets hands to nbgrader_config.py in the folder `course`."""
    # To make its database nbgrader runs the program `alembic`, which lies beside Python, not always on PATH.
    beside_python = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)])

    described = load_course(course)
    c.CourseDirectory.course_id = described.name
    c.CourseDirectory.db_url = default_url(described)
    c.CourseDirectory.root = str(course)
    c.CourseDirectory.source_directory = "solutions"
    c.CourseDirectory.release_directory = "assignments"

    # nbgrader copies every file of a source folder into the release: sources, mistakes, variants, whatever
    # lies there. So everything in those folders is ignored by name; the notebook itself is not copied but
    # converted.
    beside = {path.name for path in course.glob("solutions/*/*") if path.suffix != ".ipynb"}
    c.CourseDirectory.ignore = [
        ".ipynb_checkpoints",
        "*.pyc",
        "__pycache__",
        "feedback",
        *sorted(escape(name) for name in beside),
    ]

    # The same stub as `autograder build`, so that both give the same release.
    c.ClearSolutions.code_stub = {"python": "# Write your code here.\nraise NotImplementedError"}

    # nbgrader's own steps, and ours before anything is saved: it adds test_public.py and stops a release that
    # shows a solution. (Hidden tests and mark schemes have no place in a source: `autograder build` says so.)
    c.GenerateAssignment.preprocessors = [
        "nbgrader.preprocessors.IncludeHeaderFooter",
        "nbgrader.preprocessors.LockCells",
        "nbgrader.preprocessors.ClearSolutions",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.CheckCellMetadata",
        "nbgrader.preprocessors.ComputeChecksums",
        "autograder.authoring.nbgrader_release.GuardRelease",
        "nbgrader.preprocessors.SaveCells",
    ]

    # A submission is read as `autograder grade` reads it: nbgrader's own steps drop what intake mends.
    c.Autograde.exporter_class = "autograder.grading.nbgrader_preprocessor.SubmissionExporter"
    c.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors.CheckCellMetadata"]

    # The hidden suite in the sandbox instead of the submission's own cells in a kernel.
    c.Autograde.autograde_preprocessors = [
        "autograder.grading.nbgrader_preprocessor.SandboxedGrader",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]

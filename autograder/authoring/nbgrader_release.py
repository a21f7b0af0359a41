"""`nbgrader generate_assignment` gives the same release as `autograder build`, or none.

nbgrader copies what lies beside a notebook and does not ask whether the result shows a solution. The
preprocessor here, which nbgrader_config.py puts before nbgrader saves anything, adds the public suite and
refuses a release that leaks. (nbgrader's hooks would not do: an exception in one is logged and passed over.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.authoring.leaks import folder_problems, release_problems
from autograder.authoring.problems import BuildError, BuildProblem
from autograder.authoring.structure import public_suite_problems, source_problems
from autograder.course import load_course
from autograder.notebook.percent import read_source


class GuardRelease(NbGraderPreprocessor):  # type: ignore[misc] # nbgrader has no types
    """Adds test_public.py to a release, and stops nbgrader where the release shows what it must not."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Check the finished notebook `nb`; nbgrader runs in the folder of the course."""
        assignment = load_course(Path.cwd()).assignment(resources["nbgrader"]["assignment"])
        name = resources["nbgrader"]["notebook"]
        if name != assignment.notebook:
            path = assignment.source.with_name(f"{name}.ipynb").relative_to(assignment.root)
            raise BuildError(
                [BuildProblem(path, f"This notebook is not that of {assignment.slug}.", "Move it elsewhere.")]
            )
        cells = read_source(assignment.source)
        problems = list(source_problems(assignment, cells))
        public_suite = (assignment.tests / "test_public.py").read_text(encoding="utf-8")
        problems += public_suite_problems(assignment, public_suite)
        problems += folder_problems(assignment)
        if not problems:
            problems += release_problems(assignment, cells, json.loads(json.dumps(nb)), public_suite)
        if problems:
            raise BuildError(problems)
        resources.setdefault("outputs", {})["test_public.py"] = public_suite.encode()
        return nb, resources

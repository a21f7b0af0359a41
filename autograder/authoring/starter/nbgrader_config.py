"""nbgrader in this course: solutions/ is its source, assignments/ its release, and our suites do the grading.

    nbgrader generate_assignment SLUG --force             fills the gradebook; the release stays as it is
    nbgrader autograde SLUG
    nbgrader formgrader, generate_feedback, export        as ever

`autograder build` comes first: generate_assignment reads the solution notebook that it writes.
"""

from pathlib import Path

from autograder.authoring.nbgrader_settings import configure

configure(get_config(), Path(__file__).resolve().parent)  # noqa: F821 - traitlets defines get_config

"""What the student's page and the class report share: the templates, and whether results can be trusted."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from autograder.checking.rendering import prose
from autograder.course.results import Report
from autograder.publishing.numbers import points


def is_unsafe(report: Report) -> bool:
    """Whether a submission could have acted on the grader: no layer of the sandbox was in force."""
    return not report.sandbox or any(layer.startswith("none") for layer in report.sandbox)


@cache
def templates() -> Environment:
    """The templates of the pages, escaping everything that is not explicitly HTML."""
    environment = Environment(
        loader=PackageLoader("autograder.publishing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=points, prose=prose)
    return environment

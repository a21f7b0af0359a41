"""Whether a source agrees with course.yml: questions, their cells, their grade cells, tags, public tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from autograder.authoring.problems import BuildProblem, problem_at
from autograder.authoring.regions import RegionError, find_regions, strip_solutions
from autograder.course import Assignment
from autograder.course.problems import suggestion
from autograder.notebook.cells import Cell

TAGS = ("show", "timing", "given", "raises-exception", "hide-input", "hide-output", "nbval-skip")


def source_problems(assignment: Assignment, cells: list[Cell]) -> Iterator[BuildProblem]:
    """What is wrong with the cells of a source, all of it."""
    names = [question.name for question in assignment.questions]
    file = assignment.source.relative_to(assignment.root)

    at = partial(problem_at, assignment)
    for cell in cells:
        name = cell.question or cell.checks
        if name is not None and name not in names:
            yield at(
                cell,
                f"{name!r} is no question of {assignment.slug} in course.yml.",
                suggestion(name, names, kind="questions"),
            )
        if name is not None and cell.show:
            yield at(
                cell, "A question's cell cannot be tagged show: it must run at grading.", "Remove the tag."
            )
        for tag in sorted(cell.tags - set(TAGS)):
            yield at(cell, f"Unknown tag {tag!r}.", suggestion(tag, TAGS, kind="tags"))
        yield from _region_problems(cell, at)
        if cell.kind == "code":
            yield from _syntax_problems(cell, at)

    for name in names:
        if not any(cell.question == name for cell in cells):
            yield BuildProblem(
                file,
                f"The question {name!r} of course.yml has no solution cell.",
                f'Begin one with # %% question="{name}".',
            )
        grade = [cell for cell in cells if cell.checks == name]
        if not grade:
            yield BuildProblem(
                file,
                f"The question {name!r} of course.yml has no grade cell.",
                f'Add a cell whose only statement is check("{name}").',
            )
        for cell in grade[1:]:
            yield at(cell, f"The question {name!r} has a second grade cell.", "Keep one of them.")


def _region_problems(cell: Cell, at: Callable[..., BuildProblem]) -> Iterator[BuildProblem]:
    try:
        regions = find_regions(cell.source)
    except RegionError as error:
        yield at(cell, error.what, "Pair the markers.", offset=error.offset)
        return
    if regions and cell.kind != "code":
        yield at(
            cell,
            "A solution region stands in a markdown cell.",
            "Move it to a code cell.",
            offset=regions[0].begin,
        )
    elif regions and cell.question is None:
        yield at(
            cell,
            "A solution region stands in a cell without a question.",
            'Name it in the header: # %% question="name".',
            offset=regions[0].begin,
        )
    if cell.question is not None and not regions:
        yield at(
            cell,
            f"The cell of {cell.question!r} has no solution region: students would get the solution.",
            "Put ### BEGIN SOLUTION and ### END SOLUTION around it.",
        )
    for region in regions:
        if not any(line.strip() and not line.lstrip().startswith("#") for line in region.body):
            yield at(cell, "A solution region is empty.", "Write the solution into it.", offset=region.begin)


def _syntax_problems(cell: Cell, at: Callable[..., BuildProblem]) -> Iterator[BuildProblem]:
    try:
        text = strip_solutions(cell.source)
    except RegionError:
        return  # reported already
    for source, what in (
        (cell.source, "This is not Python"),
        (text, "Without the solution this is not Python"),
    ):
        try:
            ast.parse(_without_magics(source))
        except SyntaxError as error:
            yield at(
                cell,
                f"{what}: {error.msg}.",
                "Mind the indentation of the markers." if source is text else "Correct it.",
                offset=(error.lineno or 1) - 1 if source is cell.source else None,
            )
            return


def _without_magics(source: str) -> str:
    """The cell with IPython's magics, shell lines and help replaced by `pass`, line for line."""
    if source.lstrip().startswith("%%"):
        return ""
    return re.sub(r"(?m)^([ \t]*)([%!?].*|[\w.]+\?{1,2})$", r"\1pass", source)


def public_suite_problems(assignment: Assignment, text: str) -> Iterator[BuildProblem]:
    """What is wrong with test_public.py: it ships, so it has no reference; each question needs a test."""
    file = (assignment.tests / "test_public.py").relative_to(assignment.root)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield BuildProblem(file, f"This is not Python: {error.msg}.", "Correct it.", line=error.lineno)
        return
    names = [question.name for question in assignment.questions]
    tested = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="question"), args=[ast.Constant(value=str() as name), *_]):
                tested.add(name)
                if name not in names:
                    yield BuildProblem(
                        file,
                        f"{name!r} is no question of {assignment.slug} in course.yml.",
                        suggestion(name, names, kind="questions"),
                        line=node.lineno,
                    )
            case ast.arg(arg="reference"):
                yield BuildProblem(
                    file,
                    "A public test asks for the reference, which students do not have.",
                    "Write the expected values down, or move the test to test_hidden.py.",
                    line=node.lineno,
                )
    for name in names:
        if name not in tested:
            yield BuildProblem(
                file,
                f"The question {name!r} has no public test: check({name!r}) would have nothing to run.",
                f'Mark one with @pytest.mark.question("{name}").',
            )


def missing_file(assignment: Assignment, path: Path) -> BuildProblem:
    """The problem of a file that an assignment needs and does not have."""
    return BuildProblem(path.relative_to(assignment.root), "This file does not exist.", "Write it.")

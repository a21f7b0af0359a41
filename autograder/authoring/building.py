"""`build`: a source becomes the executed solution notebook and the release, or a list of problems."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.authoring.execution import execute as run_notebook
from autograder.authoring.leaks import folder_problems, release_problems
from autograder.authoring.notebooks import IGNORE_OUTPUT, release_notebook, serialise, solution_notebook
from autograder.authoring.problems import BuildError, BuildProblem
from autograder.authoring.regions import RegionError, find_regions
from autograder.authoring.structure import missing_file, public_suite_problems, source_problems
from autograder.course import Assignment
from autograder.course.files import write_whole
from autograder.notebook.cells import Cell, SourceError
from autograder.notebook.percent import read_source

OUTPUTS = ("outputs", "execution_count")


@dataclass(frozen=True)
class BuildResult:
    """What a build did."""

    assignment: str
    written: tuple[Path, ...] = ()
    """The files that were written; none when nothing had changed."""
    differences: tuple[BuildProblem, ...] = ()
    """With `check`: what a build would change."""


def build_assignment(
    assignment: Assignment,
    *,
    execute: bool = True,
    check: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BuildResult:
    """Build an assignment, or say whether it is built.

    Parameters
    ----------
    assignment : Assignment
    execute : bool
        Whether to run the solution notebook. Without, the release is made, and the solution notebook only
        where its code is as it was: it keeps the outputs that it has.
    check : bool
        Write nothing, run nothing: compare what is there with what would be built. The release must match
        byte for byte, the solution notebook cell for cell (its outputs are for nbval to compare).
    progress : callable or None
        Called as `progress(done, total)` while the cells run.

    Raises
    ------
    BuildError
        With all problems of the source, the public suite and the release at once, or the error of a cell.
    """
    cells, release = _prepare(assignment)
    public_suite = (assignment.tests / "test_public.py").read_bytes()
    targets = {assignment.release_notebook: release, assignment.release / "test_public.py": public_suite}
    if check:
        differences = [*_solution_differences(assignment, cells), *_release_differences(assignment, targets)]
        differences += _missing_weights(assignment)
        return BuildResult(assignment.slug, differences=tuple(differences))
    if execute:
        weights: dict[Path, bytes] = {}
        executed = run_notebook(
            assignment,
            cells,
            solution_notebook(assignment, cells),
            progress=progress,
            leaves=lambda folder: weights.update(_weights(assignment, folder)),
        )
        same = _same_but_ignored(_read_notebook(assignment.solution_notebook), executed)
        if not same:
            targets[assignment.solution_notebook] = serialise(executed)
        # The weights go with the outputs: training gives other ones on each machine.
        if not same or list(_missing_weights(assignment)):
            targets.update(weights)
    elif (kept := _with_kept_outputs(assignment, solution_notebook(assignment, cells))) is not None:
        targets[assignment.solution_notebook] = serialise(kept)
    written = []
    for path, content in targets.items():
        if not path.is_file() or path.read_bytes() != content:
            _write(assignment, path, content)
            written.append(path)
    return BuildResult(assignment.slug, written=tuple(written))


def _prepare(assignment: Assignment) -> tuple[list[Cell], bytes]:
    """The cells of the source and the release made from them, once nothing is wrong with either."""
    file = assignment.source.relative_to(assignment.root)
    problems: list[BuildProblem] = []
    cells: list[Cell] | None = None
    try:
        cells = read_source(assignment.source)
        problems += source_problems(assignment, cells)
    except SourceError as error:
        problems += [BuildProblem(file, each.what, each.remedy, line=each.line) for each in error.problems]
    suite = assignment.tests / "test_public.py"
    public_suite = ""
    try:
        public_suite = suite.read_text(encoding="utf-8")
        problems += public_suite_problems(assignment, public_suite)
    except FileNotFoundError:
        problems.append(missing_file(assignment, suite))
    except UnicodeDecodeError:
        problems.append(
            BuildProblem(suite.relative_to(assignment.root), "This file is not UTF-8.", "Save it as UTF-8.")
        )
    problems += folder_problems(assignment)
    content = b""
    if cells is not None and _regions_pair(cells) and not _unknown_questions(assignment, cells):
        content = serialise(release_notebook(assignment, cells))
        problems += release_problems(assignment, cells, json.loads(content), public_suite)
    if problems or cells is None:
        raise BuildError(problems)
    return cells, content


def _regions_pair(cells: list[Cell]) -> bool:
    try:
        for cell in cells:
            find_regions(cell.source)
    except RegionError:
        return False
    return True


def _unknown_questions(assignment: Assignment, cells: list[Cell]) -> bool:
    names = {question.name for question in assignment.questions}
    return any(cell.checks is not None and cell.checks not in names for cell in cells)


def _release_differences(assignment: Assignment, targets: dict[Path, bytes]) -> Iterator[BuildProblem]:
    remedy = f"Run `autograder build {assignment.slug}`."
    for path, content in targets.items():
        file = path.relative_to(assignment.root)
        if not path.is_file():
            yield BuildProblem(file, "This file has not been built.", remedy)
        elif path.read_bytes() != content:
            yield BuildProblem(file, "This file is not what its source gives.", remedy)


def _weights(assignment: Assignment, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """What the notebook saved of the files that are to be handed in; they are kept beside the source."""
    for file in assignment.files:
        saved = [path for path in sorted(folder.iterdir()) if file.rank(path.name) is not None]
        if not saved:
            what = f"The notebook saves no {file.expected}, which is to be handed in with it."
            raise BuildError(
                [BuildProblem(assignment.source.relative_to(assignment.root), what, "Save it in a cell.")]
            )
        best = min(saved, key=lambda path: file.rank(path.name) or 0)
        yield assignment.source.parent / best.name, best.read_bytes()


def _missing_weights(assignment: Assignment) -> Iterator[BuildProblem]:
    for file in assignment.files:
        if file.name not in assignment.own_files():
            path = (assignment.source.parent / file.patterns[0]).relative_to(assignment.root)
            remedy = f"Run `autograder build {assignment.slug}`."
            yield BuildProblem(path, "This file has not been built.", remedy)


def _solution_differences(assignment: Assignment, cells: list[Cell]) -> Iterator[BuildProblem]:
    remedy = f"Run `autograder build {assignment.slug}`."
    file = assignment.solution_notebook.relative_to(assignment.root)
    built = _read_notebook(assignment.solution_notebook)
    if built is None:
        what = (
            "This is no notebook."
            if assignment.solution_notebook.is_file()
            else "This file has not been built."
        )
        yield BuildProblem(file, what, remedy)
        return
    expected = solution_notebook(assignment, cells)
    if built["metadata"] != expected["metadata"] or len(built["cells"]) != len(expected["cells"]):
        yield BuildProblem(file, "This file has other cells than its source.", remedy)
        return
    for number, (is_, should) in enumerate(zip(built["cells"], expected["cells"], strict=True), start=1):
        if _without_outputs(is_) != _without_outputs(should):
            yield BuildProblem(file, "The cell is not what the source gives.", remedy, cell=number)
        elif is_["cell_type"] == "code" and is_["source"].strip() and is_.get("execution_count") is None:
            yield BuildProblem(file, "The cell has not been executed.", remedy, cell=number)


def _without_outputs(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in OUTPUTS}


def _with_kept_outputs(assignment: Assignment, notebook: dict[str, Any]) -> dict[str, Any] | None:
    """The notebook with the outputs of the one that is there; None where code has changed or was not run."""
    old = _read_notebook(assignment.solution_notebook) or {"cells": []}
    before, now = (
        [cell for cell in each["cells"] if cell["cell_type"] == "code"] for each in (old, notebook)
    )
    if [cell["source"] for cell in before] != [cell["source"] for cell in now]:
        return None
    if any(cell["source"].strip() and cell.get("execution_count") is None for cell in before):
        return None
    outputs = iter(before)
    cells = [
        {**cell, **{key: value for key, value in next(outputs).items() if key in OUTPUTS}}
        if cell["cell_type"] == "code"
        else cell
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}


def _read_notebook(path: Path) -> dict[str, Any] | None:
    """A notebook with its texts in one piece; None when there is none."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception:  # absent, damaged, no JSON, no notebook: all the same here, a build replaces it
        return None
    return dict(json.loads(json.dumps(notebook)))


def _same_but_ignored(old: dict[str, Any] | None, new: dict[str, Any]) -> bool:
    """Whether two runs differ in nothing but outputs that are known to differ: then the old file stays."""
    if old is None:
        return False

    def comparable(notebook: dict[str, Any]) -> dict[str, Any]:
        cells = [
            {**cell, "outputs": []} if IGNORE_OUTPUT in cell["metadata"].get("tags", []) else cell
            for cell in notebook["cells"]
        ]
        return {**notebook, "cells": cells}

    return comparable(old) == comparable(new)


def _write(assignment: Assignment, path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        write_whole(path, content)
    except OSError as error:
        what = f"This file cannot be written: {error.strerror}."
        remedy = "Check the permissions and the free space of its folder."
        raise BuildError([BuildProblem(path.relative_to(assignment.root), what, remedy)]) from error

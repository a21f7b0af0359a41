"""A submitted notebook as cells to run: limits checked, damage mended, and every repair written down.

This runs in the grader, so it only reads text. No line of a submission is compiled or run here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from autograder.course import Limits
from autograder.notebook.cells import Cell
from autograder.notebook.rawnotebook import MAX_CELLS, IntakeError, RawCell, parse_notebook
from autograder.notebook.repair import (
    PlacedCell,
    cell_name,
    checked_questions,
    definitions,
    findings,
    is_left_stub,
    join_halves,
    match_cells,
    place_cells,
    same_text,
)
from autograder.notebook.surroundings import surroundings

__all__ = ["Intake", "IntakeError", "Release", "ReleaseError", "name_of", "read_release", "read_submission"]


# The indexes of cells that were put back begin behind those of any submission.
_PUT_BACK = MAX_CELLS


class ReleaseError(ValueError):
    """The release of an assignment is absent or unusable; the message is a plain sentence."""


@dataclass(frozen=True)
class Release:
    """The notebook that students got."""

    path: Path
    cells: tuple[Cell, ...]
    nodes: tuple[dict[str, Any], ...] = field(repr=False)
    """The same cells as nbformat 4.5 has them. Not to be changed."""
    metadata: dict[str, Any] = field(repr=False)
    points: dict[str, float]
    """Points by grade id, of grade cells."""


@dataclass(frozen=True)
class Intake:
    """A submission, ready to be loaded."""

    cells: tuple[Cell, ...]
    """All cells in the student's order, with given cells that were deleted or changed put back.

    A cell's `show` says that it is not run; its `index` is its place in the student's notebook.
    """
    repairs: list[str]
    """A sentence for each thing that was mended or is not as the release made it."""
    notebook: dict[str, Any] = field(repr=False)
    """The graded copy to be, in nbformat 4.5: the release's frame with the student's answers."""
    sha256: str
    """Digest of the submitted bytes."""
    unanswered: tuple[str, ...] = ()
    """Grade ids of the solution cells that stand as the release left them, or are missing."""

    @property
    def runnable(self) -> list[Cell]:
        """The cells that the worker runs, in order: code, neither shown only nor a check."""
        return [cell for cell in self.cells if cell.kind == "code" and not cell.show]


def name_of(cell: Cell) -> str:
    """What a cell is called in messages: `cell 7`, or `cell 7 (conv_forward)` for a solution cell."""
    if cell.index >= _PUT_BACK:
        return "a cell of the assignment that was put back"
    return cell_name(cell.index, cell.question)


def read_release(path: Path | str) -> Release:
    """The release notebook of an assignment; reading an unchanged file again costs nothing.

    Raises
    ------
    ReleaseError
        When the file is absent or no notebook.
    """
    path = Path(path)
    try:
        status = path.stat()
        return _read_release(path, status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        raise ReleaseError(f"{path} does not exist. Run `autograder build` first.") from None
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReleaseError(f"{path} is no valid notebook. Run `autograder build` again.") from None


@lru_cache(maxsize=64)
def _read_release(path: Path, mtime_ns: int, size: int) -> Release:
    document = json.loads(path.read_bytes())
    nodes = []
    cells = []
    points = {}
    for index, node in enumerate(document["cells"]):
        source = node["source"] if isinstance(node["source"], str) else "".join(node["source"])
        node["source"] = source
        nodes.append(node)
        nbgrader = node["metadata"].get("nbgrader", {})
        grade_id = nbgrader.get("grade_id")
        if nbgrader.get("grade"):
            points[grade_id] = float(nbgrader["points"])
        cells.append(
            Cell(
                index=index,
                kind="code" if node["cell_type"] == "code" else "markdown",
                source=source,
                # A question's name holds no hyphen: conv_forward-2 is its second solution cell.
                question=grade_id.partition("-")[0] if nbgrader.get("solution") else None,
                tags=frozenset(node["metadata"].get("tags", ())),
                grade_id=grade_id,
            )
        )
    return Release(path, tuple(cells), tuple(nodes), document["metadata"], points)


def read_submission(raw: bytes, release: Release, limits: Limits) -> Intake:
    """Read one submission against the release it answers.

    Parameters
    ----------
    raw : bytes
        The file as it was handed in.
    release : Release
    limits : Limits

    Raises
    ------
    IntakeError
        When it is no notebook, is cut off, or exceeds a limit.
    """
    repairs: list[str] = []
    submitted = parse_notebook(raw, limits, repairs)
    join_halves(submitted, repairs)
    matched = match_cells(submitted, release.cells)
    if release.cells and submitted and not any(place is not None for place in matched):
        repairs.append("No cell of the assignment was recognised: this may be another assignment's notebook.")
    repairs.extend(findings(submitted, matched, release.cells, release.points))
    placed = place_cells(submitted, matched, release.nodes)
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": release.metadata,
        "cells": [dict(cell.node) for cell in placed],  # whose outputs a graded copy replaces
    }
    cells = tuple(_cells(submitted, matched, placed, release.cells))
    repairs.extend(surroundings(_own_words(cells, release)))
    return Intake(
        cells=cells,
        repairs=repairs,
        notebook=notebook,
        sha256=hashlib.sha256(raw).hexdigest(),
        unanswered=_unanswered(submitted, matched, release.cells),
    )


def _own_words(cells: Sequence[Cell], release: Release) -> Iterator[tuple[int, str]]:
    """Position and source of the cells that are run and that the release does not hold like that."""
    given = {cell.source for cell in release.cells}
    for cell in cells:
        if cell.kind == "code" and not cell.show and cell.source not in given:
            yield cell.index + 1, cell.source


def _cells(
    submitted: Sequence[RawCell],
    matched: Sequence[int | None],
    placed: Sequence[PlacedCell],
    release: Sequence[Cell],
) -> Iterator[Cell]:
    answers = {cell.question for cell in release if cell.question is not None}
    for item in placed:
        if item.position is not None:
            place = matched[item.position]
            cell = _submitted_cell(item.position, submitted[item.position], place, release, answers)
            if cell.question is not None and is_left_stub(cell.source, release[place or 0], submitted):
                cell = replace(cell, tags=cell.tags | {"show"})
            yield cell
        elif item.place is not None and release[item.place].question is None:
            # A stub that was put back is not run: it would hide what another cell defines.
            yield _restored_cell(item.place, release[item.place])


def _restored_cell(place: int, original: Cell) -> Cell:
    show = {"show"} if original.checks is not None else set()
    return replace(original, index=_PUT_BACK + place, tags=original.tags | show)


def _submitted_cell(
    position: int, raw: RawCell, place: int | None, release: Sequence[Cell], answers: Collection[str]
) -> Cell:
    original = release[place] if place is not None else None
    if original is not None and original.question is not None:
        return Cell(position, "code", raw.source, original.question, original.tags, original.grade_id)
    kind, grade_id = raw.kind, None
    # A check calls the public tests: nothing to run at grading. What a student added to it does run.
    show = checked_questions(raw.source) is not None
    if original is not None and same_text(raw.source, original.source):
        kind, grade_id = original.kind, original.grade_id
        show |= original.show
    elif definitions(raw.source).isdisjoint(answers):
        # On a cell that holds an answer the tag would leave the answer out.
        show |= "show" in raw.tags
    tags = frozenset(raw.tags) - {"show"} | ({"show"} if show else set())
    return Cell(position, "code" if kind == "code" else "markdown", raw.source, None, tags, grade_id)


def _unanswered(
    submitted: Sequence[RawCell], matched: Sequence[int | None], release: Sequence[Cell]
) -> tuple[str, ...]:
    # Of a cell that is there twice, the last one is the graded copy's.
    last = {place: raw for raw, place in zip(submitted, matched, strict=True) if place is not None}
    return tuple(
        cell.grade_id
        for place, cell in enumerate(release)
        if cell.question is not None
        and cell.grade_id is not None
        and (place not in last or last[place].source == cell.source)
    )

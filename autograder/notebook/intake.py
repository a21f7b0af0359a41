"""A submitted notebook as cells to run: limits checked, damage mended, and every repair written down.

This runs in the grader, so it only reads text. No line of a submission is compiled or run here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat

from autograder.course import Limits
from autograder.notebook.cells import Cell
from autograder.notebook.rawnotebook import IntakeError, RawCell, parse_notebook
from autograder.notebook.repair import (
    cell_name,
    checked_questions,
    definitions,
    findings,
    match_cells,
    restored_cells,
    same_text,
)

__all__ = ["Intake", "IntakeError", "Release", "ReleaseError", "name_of", "read_release", "read_submission"]


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
    """All cells in the student's order. A cell's `show` says that it is not run."""
    repairs: list[str]
    """A sentence for each thing that was mended or is not as the release made it."""
    notebook: Any = field(repr=False)
    """The graded copy to be: a nbformat 4.5 node with the release's frame and the student's answers."""
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
def _read_release(path: Path, mtime_ns: int, size: int) -> Release:  # noqa: ARG001 - the key of the cache
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
    matched = match_cells(submitted, release.cells)
    if release.cells and submitted and not any(place is not None for place in matched):
        repairs.append("No cell of the assignment was recognised: this may be another assignment's notebook.")
    repairs.extend(findings(submitted, matched, release.cells, release.points))
    notebook = nbformat.from_dict(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": release.metadata,
            "cells": restored_cells(submitted, matched, release.nodes),
        }
    )
    return Intake(
        cells=_cells(submitted, matched, release.cells),
        repairs=repairs,
        notebook=notebook,
        sha256=hashlib.sha256(raw).hexdigest(),
        unanswered=_unanswered(submitted, matched, release.cells),
    )


def _cells(
    submitted: Sequence[RawCell], matched: Sequence[int | None], release: Sequence[Cell]
) -> tuple[Cell, ...]:
    answers = {cell.question for cell in release if cell.question is not None}
    cells = []
    for index, (raw, place) in enumerate(zip(submitted, matched, strict=True)):
        original = release[place] if place is not None else None
        if original is not None and original.question is not None:
            cells.append(Cell(index, "code", raw.source, original.question, original.tags, original.grade_id))
            continue
        # A check calls the public tests: nothing to run at grading. What a student added to it does run.
        shown = checked_questions(raw.source) is not None
        kind = raw.kind
        if original is not None and same_text(raw.source, original.source):
            kind = original.kind
            shown |= original.show
        elif not answers & definitions(raw.source):
            # The tag of a cell that holds an answer would leave the answer out.
            shown |= "show" in raw.tags
        cells.append(
            Cell(
                index=index,
                kind="code" if kind == "code" else "markdown",
                source=raw.source,
                tags=frozenset(raw.tags) - {"show"} | ({"show"} if shown else set()),
                grade_id=original.grade_id if original is not None else None,
            )
        )
    return tuple(cells)


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

"""Notebooks made from the cells of a source: with solutions for the instructor, with stubs for students.

Both are the same for the same source, byte for byte: ids are digests, keys are sorted, no clock is read.
A release equals what `nbgrader generate_assignment` makes of the solution notebook.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from autograder.authoring.regions import strip_solutions
from autograder.course import Assignment
from autograder.notebook.cells import Cell

SCHEMA_VERSION = 3
IGNORE_OUTPUT = "nbval-ignore-output"


def solution_notebook(assignment: Assignment, cells: list[Cell]) -> dict[str, Any]:
    """The notebook of the whole source, not executed, with nbgrader's metadata."""
    nodes = []
    for cell, digest in zip(cells, _digests(assignment, cells), strict=True):
        metadata: dict[str, Any] = {}
        nbgrader = _nbgrader(assignment, cell, digest)
        if nbgrader is not None:
            metadata["nbgrader"] = nbgrader
        tags = set(cell.tags)
        if "timing" in cell.tags or cell.checks is not None:  # a check says how long it took
            tags.add(IGNORE_OUTPUT)
        if tags:
            metadata["tags"] = sorted(tags)
        node: dict[str, Any] = {
            "cell_type": cell.kind,
            "id": digest,
            "metadata": metadata,
            "source": cell.source,
        }
        if cell.kind == "code":
            node |= {"execution_count": None, "outputs": []}
        nodes.append(node)
    return {
        "cells": nodes,
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def release_notebook(assignment: Assignment, cells: list[Cell]) -> dict[str, Any]:
    """The notebook that students get: stubs in place of solutions, nothing executed, given cells locked."""
    notebook = solution_notebook(assignment, cells)
    for node in notebook["cells"]:
        nbgrader = node["metadata"].get("nbgrader")
        if nbgrader is None:
            continue
        if nbgrader["solution"]:
            node["source"] = strip_solutions(node["source"])
        nbgrader["cell_type"] = node["cell_type"]
        nbgrader["checksum"] = checksum(node)
        node["metadata"]["deletable"] = False
        if nbgrader["locked"]:
            node["metadata"]["editable"] = False
    return notebook


def serialise(notebook: dict[str, Any]) -> bytes:
    """The file of a notebook, as nbformat and Jupyter write it."""
    split = {**notebook, "cells": [_split(node) for node in notebook["cells"]]}
    return (json.dumps(split, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def checksum(node: dict[str, Any]) -> str:
    """nbgrader's checksum of a cell (nbgrader.utils.compute_checksum), by which it knows a changed one."""
    nbgrader = node["metadata"]["nbgrader"]
    parts = [node["source"], node["cell_type"]]
    parts += [
        str(nbgrader["grade"]),
        str(nbgrader["solution"]),
        str(nbgrader["locked"]),
        nbgrader["grade_id"],
    ]
    if nbgrader["grade"]:
        parts.append(str(float(nbgrader["points"])))
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def _nbgrader(assignment: Assignment, cell: Cell, digest: str) -> dict[str, Any] | None:
    """nbgrader's metadata; None for a show cell, which students may change and delete."""
    if cell.show:
        return None
    metadata = {
        "grade": cell.checks is not None,
        "grade_id": cell.grade_id or f"cell-{digest}",
        "locked": cell.question is None,
        "schema_version": SCHEMA_VERSION,
        "solution": cell.question is not None,
        "task": False,
    }
    if cell.checks is not None:
        points = assignment.question(cell.checks).points
        metadata["points"] = int(points) if points.is_integer() else points
    return metadata


def _digests(assignment: Assignment, cells: list[Cell]) -> list[str]:
    """An id for each cell, made from the cell itself, so that a new paragraph leaves the other ids alone."""
    seen: Counter[str] = Counter()
    digests = []
    for cell in cells:
        key = cell.grade_id or f"{cell.kind}\0{cell.source}"
        seen[key] += 1
        text = f"{assignment.slug}\0{key}\0{seen[key]}"
        digests.append(hashlib.sha256(text.encode()).hexdigest()[:12])
    return digests


def _split(node: dict[str, Any]) -> dict[str, Any]:
    """Long texts as lists of lines, as nbformat stores them."""
    node = {**node, "source": node["source"].splitlines(keepends=True)}
    if "outputs" in node:
        node["outputs"] = [_split_output(output) for output in node["outputs"]]
    return node


def _split_output(output: dict[str, Any]) -> dict[str, Any]:
    output = dict(output)
    if isinstance(output.get("text"), str):
        output["text"] = output["text"].splitlines(keepends=True)
    if "data" in output:
        output["data"] = {
            kind: value.splitlines(keepends=True) if isinstance(value, str) and _is_text(kind) else value
            for kind, value in output["data"].items()
        }
    return output


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind in ("application/javascript", "image/svg+xml")

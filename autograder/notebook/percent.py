"""The source of an assignment: a jupytext percent script, read into cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from autograder.course.problems import Problem, suggestion
from autograder.notebook.cells import Cell, SourceError
from autograder.notebook.slow_imports import without_url_grammar

_HEADER_KEYS = ("question", "tags")
# What jupytext itself notes about the layout of the script.
_LAYOUT_KEYS = ("lines_to_next_cell", "region_name", "cell_marker")


def read_source(path: Path | str) -> list[Cell]:
    """Read a percent script. Cells carry the grade ids that their notebooks will have.

    Reading the same, unchanged file again costs next to nothing.

    Raises
    ------
    SourceError
        When the file is absent or no percent script, or headers say something unknown: all problems at once.
    """
    path = Path(path)
    try:
        status = path.stat()
        return list(_read(path, status.st_mtime_ns, status.st_size))
    except FileNotFoundError:
        problem = Problem(
            None, "This file does not exist.", "Write it, or set `notebook:` in course.yml to its name."
        )
    except UnicodeDecodeError:
        problem = Problem(None, "This file is not UTF-8.", "Save it as UTF-8.")
    except OSError as error:
        problem = Problem(None, f"This file cannot be read: {error.strerror}.", "Check its permissions.")
    raise SourceError(path, [problem])


@lru_cache(maxsize=64)
def _read(path: Path, mtime_ns: int, size: int) -> tuple[Cell, ...]:
    text = path.read_text(encoding="utf-8-sig")
    jupytext = _jupytext()
    starts = _header_lines(text)
    problems = list(_tag_problems(text, starts))
    if problems:  # jupytext would refuse the whole script without naming a line
        raise SourceError(path, problems)
    try:
        nodes = jupytext.reads(text, fmt="py:percent").cells
    except Exception as error:  # whatever jupytext, nbformat or a YAML header may raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = Problem(
            None, f"No notebook can be made of this script: {reason}.", "Look at the cells' headers."
        )
        raise SourceError(path, [problem]) from error
    cells = []
    for index, (node, line) in enumerate(zip(nodes, _text_lines(text, starts, len(nodes)), strict=True)):
        problems += _header_problems(node, line)
        question = node.metadata.get("question")
        tags = node.metadata.get("tags", [])
        cells.append(
            Cell(
                index=index,
                kind="markdown" if node.cell_type == "markdown" else "code",
                source=node.source.strip("\n"),
                question=question if isinstance(question, str) else None,
                tags=frozenset(tags) if _is_list_of_text(tags) else frozenset(),
                line=line,
            )
        )
    if problems:
        raise SourceError(path, problems)
    return tuple(_with_grade_ids(cells))


def _with_grade_ids(cells: list[Cell]) -> Iterator[Cell]:
    solved: Counter[str] = Counter()
    for cell in cells:
        if cell.question is not None:
            solved[cell.question] += 1
            count = solved[cell.question]
            yield replace(cell, grade_id=cell.question if count == 1 else f"{cell.question}-{count}")
        elif cell.checks is not None:
            yield replace(cell, grade_id=f"test_{cell.checks}")
        else:
            yield cell


def _header_problems(node: Any, line: int | None) -> Iterator[Problem]:
    header = None if line is None else max(line - 1, 1)
    metadata = node.metadata
    if "incorrectly_encoded_metadata" in metadata:
        yield Problem(
            header,
            f"The cell's header cannot be read: {metadata['incorrectly_encoded_metadata']}.",
            'Write # %% question="name" or # %% tags=["show"], with the quotes.',
        )
        return
    if node.cell_type not in ("code", "markdown"):
        yield Problem(header, f"A {node.cell_type} cell has no place here.", "Make it a markdown cell.")
    for key in metadata:
        if key == "title":
            yield Problem(
                header,
                f"The title {metadata[key]!r} in the header is not shown.",
                "Write it as a heading in a cell.",
            )
        elif key not in (*_HEADER_KEYS, *_LAYOUT_KEYS):
            yield Problem(
                header,
                f"Unknown key {key!r} in the cell's header.",
                suggestion(key, _HEADER_KEYS, kind="keys"),
            )
    if "question" in metadata and not isinstance(metadata["question"], str):
        yield Problem(header, "The question's name is not a text.", 'Write question="name".')
    if "question" in metadata and node.cell_type != "code":
        yield Problem(
            header, "A question stands on a cell that is no code cell.", "Move it to the solution cell."
        )
    if not _is_list_of_text(metadata.get("tags", [])):
        yield Problem(header, "The tags are not a list of texts.", 'Write tags=["show"].')


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _header_lines(text: str) -> list[int]:
    """The lines of the cell headers, found as jupytext finds them: outside of quotes."""
    from jupytext.stringparser import StringParser

    parser = StringParser("python")
    headers = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not parser.is_quoted() and line.lstrip().startswith("# %%"):
            parser = StringParser("python")
            headers.append(number)
        else:
            parser.read_line(line)
    return headers


def _tag_problems(text: str, headers: list[int]) -> Iterator[Problem]:
    lines = text.splitlines()
    for number in headers:
        if re.search(r"\stags\s*=\s*[^\s\[]", lines[number - 1]):
            yield Problem(number, "The tags are not a list of texts.", 'Write tags=["show"].')


def _text_lines(text: str, headers: list[int], cells: int) -> list[int | None]:
    """The line on which each cell's text begins, blank lines skipped."""
    starts = [number + 1 for number in headers]
    if cells == len(starts) + 1:  # text before the first header is a cell of its own
        starts.insert(0, 1)
    if cells != len(starts):
        return [None] * cells
    lines = text.splitlines()
    return [_skip_blank(lines, start) for start in starts]


def _skip_blank(lines: list[str], start: int) -> int:
    while start <= len(lines) and not lines[start - 1].strip():
        start += 1
    return start


def _jupytext() -> Any:
    with without_url_grammar():
        return import_module("jupytext")

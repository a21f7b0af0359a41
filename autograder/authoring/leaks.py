"""What a release must not hold: any line of a solution, outputs, markers, names of hidden files, other files.

The check reads the finished release, not the way it was made, so that it also catches an error in the making,
and serves for a release that nbgrader made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from autograder.authoring.problems import BuildProblem, problem_at
from autograder.authoring.regions import MARKERS, find_regions, kept_offsets
from autograder.course import Assignment
from autograder.notebook.cells import Cell

_HIDDEN_NAMES = re.compile(r"\btest_hidden\w*|\bmistakes\.py\b|\bsolutions/")
_RELEASE_METADATA = {"nbgrader", "tags", "deletable", "editable"}
_NBGRADER_METADATA = {
    "cell_type",
    "checksum",
    "grade",
    "grade_id",
    "locked",
    "points",
    "schema_version",
    "solution",
    "task",
}

# What any program does; that a release does it as well says nothing about a solution.
_PLUMBING = {
    *("abs", "bool", "dict", "enumerate", "float", "int", "isinstance", "len", "list", "max", "min", "print"),
    *("range", "reversed", "round", "set", "sorted", "str", "super", "super().__init__", "tuple", "zip"),
    *("AssertionError", "KeyError", "NotImplementedError", "RuntimeError", "TypeError", "ValueError"),
    *(
        "np.arange",
        "np.array",
        "np.asarray",
        "np.empty",
        "np.empty_like",
        "np.full",
        "np.ones",
        "np.ones_like",
    ),
    *(
        "np.random.default_rng",
        "np.zeros",
        "np.zeros_like",
        "torch.arange",
        "torch.empty",
        "torch.manual_seed",
    ),
    *("torch.ones", "torch.tensor", "torch.zeros", "torch.zeros_like"),
}
_PLUMBING_METHODS = {"append", "astype", "copy", "extend", "get", "items", "keys", "values"}

# A formula of fewer characters than these stands in prose by chance.
_SHORTEST_QUOTE = 10

# Lines that say nothing alone (`maps, cache = relu_forward(maps)`) are a solution when they stand in a row.
_RUN = 3
_SHORTEST_RUN = 40

_STRING = re.compile(r"[rbfuRBFU]{0,2}(\"[^\"]*\"|'[^']*')")
_TOKEN = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[jJ]?|[A-Za-z_][\w.]*|\*\*|//|[<>=!]=|\S")
_ARITHMETIC = {"+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^"}
_COMPARISONS = {"<", ">", "<=", ">=", "==", "!="}
_KEYWORDS = {
    "return",
    "yield",
    "in",
    "not",
    "and",
    "or",
    "if",
    "elif",
    "else",
    "while",
    "assert",
    "lambda",
    "for",
}


def release_problems(
    assignment: Assignment, cells: list[Cell], notebook: dict[str, Any], public_suite: str
) -> Iterator[BuildProblem]:
    """Everything in a release that students must not see.

    Parameters
    ----------
    assignment : Assignment
    cells : list of Cell
        The source, in which the regions pair.
    notebook : dict
        The release as JSON.
    public_suite : str
        The text of test_public.py as it ships.
    """
    released = notebook["cells"]
    if len(released) != len(cells):
        yield BuildProblem(
            assignment.release_notebook.relative_to(assignment.root),
            f"The release has {len(released)} cells and the source has {len(cells)}.",
            "Build it again.",
        )
        return
    secrets = _Secrets(cells)
    for cell, node in zip(cells, released, strict=True):
        yield from _cell_problems(assignment, cell, node)
        yield from _text_problems(assignment, cell, "".join(node["source"]), secrets)
    file = (assignment.tests / "test_public.py").relative_to(assignment.root)
    lines = public_suite.split("\n")
    for number, line in enumerate(lines, start=1):
        for what, remedy in _forbidden(line):
            yield BuildProblem(file, what, remedy, line=number)
    for offset, what in secrets.leaks(lines):
        yield BuildProblem(file, what, "Write it differently: this file ships.", line=offset + 1)


def folder_problems(assignment: Assignment) -> Iterator[BuildProblem]:
    """Files in the release folder that do not belong to the release.

    Caches that Jupyter and Python leave behind are passed over: git and the release bundle leave them out.
    """
    expected = {assignment.release_notebook, assignment.release / "test_public.py"}
    caches = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache"}
    for path in sorted(assignment.release.rglob("*")):
        if path.is_dir() or path in expected or caches.intersection(path.parts):
            continue
        yield BuildProblem(
            path.relative_to(assignment.root),
            "This file is no part of the release, which holds a notebook and test_public.py.",
            "Remove it.",
        )


def _cell_problems(assignment: Assignment, cell: Cell, node: dict[str, Any]) -> Iterator[BuildProblem]:
    if node.get("outputs"):
        yield problem_at(assignment, cell, "The released cell has outputs.", "Build the release again.")
    if node.get("execution_count") is not None:
        yield problem_at(assignment, cell, "The released cell has been executed.", "Build the release again.")
    metadata = node.get("metadata", {})
    surplus = set(metadata) - _RELEASE_METADATA | set(metadata.get("nbgrader", {})) - _NBGRADER_METADATA
    for key in sorted(surplus):
        yield problem_at(
            assignment, cell, f"The released cell has the metadata {key!r}.", "Build the release again."
        )


def _text_problems(
    assignment: Assignment, cell: Cell, text: str, secrets: _Secrets
) -> Iterator[BuildProblem]:
    lines = text.split("\n")
    offsets = kept_offsets(cell.source)
    if len(offsets) != len(lines):
        yield problem_at(
            assignment, cell, "The released cell has other lines than the source.", "Build it again."
        )
        return
    for offset, line in zip(offsets, lines, strict=True):
        for what, remedy in _forbidden(line):
            yield problem_at(assignment, cell, what, remedy, offset=offset)
    if "given" in cell.tags:
        return
    remedy = 'Reword it, move it into a region, or tag the cell "given" if students are meant to see it.'
    for number, what in secrets.leaks(lines) if cell.kind == "code" else secrets.quotes(lines):
        yield problem_at(assignment, cell, what, remedy, offset=offsets[number])


def _forbidden(line: str) -> Iterator[tuple[str, str]]:
    for marker in MARKERS:
        if marker in line:
            yield f"The release would show the marker {marker}.", "Remove it."
    hidden = _HIDDEN_NAMES.search(line)
    if hidden:
        yield f"The release names {hidden.group()!r}, which students do not have.", "Remove the name."


class _Secrets:
    """The lines of the solutions that say something, and where they stand."""

    def __init__(self, cells: list[Cell]) -> None:
        defined = set()
        for cell in cells:
            defined |= set(re.findall(r"^\s*(?:def|class)\s+(\w+)", cell.source, flags=re.MULTILINE))
        plumbing = _PLUMBING | defined
        self._code: dict[str, str] = {}
        self._comments: dict[str, str] = {}
        self._runs: dict[tuple[str, ...], str] = {}
        for cell in cells:
            for region in find_regions(cell.source):
                for offset, run in _runs(region.body):
                    self._runs.setdefault(run, _origin(cell, region.begin + 1 + offset))
                for offset, line in enumerate(region.body, start=region.begin + 1):
                    origin = _origin(cell, offset)
                    code, comment = split_comment(line)
                    if says_something(code, plumbing):
                        self._code.setdefault(_compact(code), origin)
                    if len(comment.split()) >= 4:
                        self._comments.setdefault(_compact(comment), origin)

    def leaks(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The lines of code that stand in a solution: alone when they say something, else in a row."""
        found = False
        for offset, line in enumerate(lines):
            code, comment = split_comment(line)
            origin = self._code.get(_compact(code)) or self._comments.get(_compact(comment))
            if origin is not None:
                yield offset, f"This line also stands in the solution of {origin}."
                found = True
        if found:
            return
        for offset, run in _runs(lines):
            if run in self._runs:
                yield offset, f"{_RUN} lines from here also stand in the solution of {self._runs[run]}."
                return

    def quotes(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """The lines of a text that quote code of a solution."""
        for offset, line in enumerate(lines):
            text = _compact(line)
            for secret, origin in self._code.items():
                if len(secret) < _SHORTEST_QUOTE or secret not in text:
                    continue
                before, _, after = text.partition(secret)
                if not re.search(r"[\w.]$", before) and not re.match(r"[\w.\[(+*/@-]", after):
                    yield offset, f"This line also stands in the solution of {origin}."
                    break


def _origin(cell: Cell, offset: int) -> str:
    at = f" (line {cell.line + offset})" if cell.line is not None else ""
    return f"{cell.question!r}{at}"


def _runs(lines: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Each three lines of code in a row, blank lines and comments left out, and where they begin."""
    code = [(offset, _compact(split_comment(line)[0])) for offset, line in enumerate(lines)]
    code = [(offset, text) for offset, text in code if text]
    for start in range(len(code) - _RUN + 1):
        run = tuple(text for _, text in code[start : start + _RUN])
        if sum(map(len, run)) >= _SHORTEST_RUN:
            yield code[start][0], run


def split_comment(line: str) -> tuple[str, str]:
    """A line of code without its comment, and the comment without its `#`."""
    blanked = _STRING.sub(lambda match: "_" * len(match.group()), line)
    at = blanked.find("#")
    return (line, "") if at < 0 else (line[:at], line[at:].lstrip("#"))


def _compact(text: str) -> str:
    return re.sub(r"\s+", "", text)


def says_something(code: str, plumbing: set[str]) -> bool:
    """Whether a line of a solution gives something away: it computes, compares, or calls what does.

    Unpacking, `return x`, loop headers, allocations, and calls of the assignment's own functions do not.
    """
    code = _STRING.sub('""', code.strip())
    if re.match(r"(import|from|def|class|@|else|try|finally|except|pass|break|continue)\b", code):
        return False
    tokens = _TOKEN.findall(code)
    header = bool(tokens) and tokens[0] in ("if", "elif", "while", "assert")
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        operand_before = bool(re.match(r"[\w)\]]", before)) and before not in _KEYWORDS
        # `return -x` and `x[-1]` have a sign, `f(*args)` and `**kwargs` a star: no arithmetic
        if token in _ARITHMETIC and operand_before:
            return True
        if token in _COMPARISONS and not header:
            return True
        if after == "(" and re.match(r"[A-Za-z_]", token) and token not in _KEYWORDS:
            if token in plumbing or token.rpartition(".")[2] in _PLUMBING_METHODS:
                continue
            return True
    return False

"""Machine-made mutants of a solution: small changes that a sound suite must notice."""

from __future__ import annotations

import ast
import copy
import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autograder.audit.operators import Change, Surroundings, basic_changes, further_changes
from autograder.notebook.cells import Cell


@dataclass(frozen=True)
class Mutant:
    """One changed solution cell."""

    question: str
    function: str
    """The function or `Class.method` that was changed."""
    what: str
    """The change in words: operator and source line, before and after."""
    cell: Cell
    """The cell to load in place of the original."""
    diff: str

    @property
    def key(self) -> str:
        """Names the mutant in the list of equivalent ones; stable while its line does not change."""
        return hashlib.sha256(f"{self.function}|{self.what}".encode()).hexdigest()[:10]


def mutants_of(cells: Sequence[Cell]) -> list[Mutant]:
    """All mutants of the solution cells, in order; two that give the same code count once."""
    found: list[Mutant] = []
    for cell in cells:
        if cell.question is None or cell.kind != "code":
            continue
        tree = ast.parse(cell.source)
        before = ast.unparse(tree)
        seen = {before}
        named: Counter[tuple[str, str]] = Counter()
        for function, body, place in _functions(tree.body):
            for description, mutated in _mutations(body, place):
                body[place], original = mutated, body[place]
                source = ast.unparse(tree)
                body[place] = original
                if source in seen or not _compiles(source):
                    continue
                seen.add(source)
                what, diff = _difference(before, source, description)
                named[function, what] += 1
                if named[function, what] > 1:  # the same line, changed in the same way, further down
                    what += f" (number {named[function, what]})"
                changed = Cell(cell.index, "code", source, cell.question, cell.tags, cell.grade_id)
                found.append(Mutant(cell.question, function, what, changed, diff))
    return found


def _difference(before: str, after: str, description: str) -> tuple[str, str]:
    """The change in words, and as a diff."""
    old, new = before.splitlines(), after.splitlines()
    changed = [
        line
        for line in difflib.unified_diff(old, new, "", "", "", n=0)
        if line[:1] in ("+", "-") and not line.startswith(("---", "+++"))
    ]
    lines = " => ".join(line[1:].strip() for line in changed) or description
    return f"{description}: {lines}", "\n".join(
        difflib.unified_diff(old, new, "solution", "mutant", "", n=2, lineterm="")
    )


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, list[ast.stmt], int]]:
    """(name, statements, place among them) of each function and method; a nested one is a part of its own."""
    for place, node in enumerate(body):
        if isinstance(node, ast.FunctionDef):
            yield owner + node.name, body, place
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{owner}{node.name}.")


def _mutations(body: list[ast.stmt], place: int) -> Iterator[tuple[str, ast.stmt]]:
    """(description, mutated function) for each applicable change."""
    function = body[place]
    assert isinstance(function, ast.FunctionDef)
    skipped = _not_mutated(function)
    around = Surroundings(function)
    nodes = list(ast.walk(function))
    mutable = [
        (position, node)
        for position, node in enumerate(nodes)
        if node not in skipped and node is not function
    ]
    # The basic changes first: the list of equivalent mutants names them by their descriptions.
    for position, node in mutable:
        for description, change in basic_changes(node):
            yield description, _changed(function, position, change)
    for position, node in mutable:
        for description, change in further_changes(node, around):
            yield description, _changed(function, position, change)


def _changed(function: ast.FunctionDef, position: int, change: Change) -> ast.stmt:
    """A copy of the function with the node at `position` of its walk changed."""
    mutated = copy.deepcopy(function)
    twin = next(node for place, node in enumerate(ast.walk(mutated)) if place == position)
    replacement = change(twin)
    if replacement is not None:
        _Replace(twin, replacement).visit(mutated)
    return ast.fix_missing_locations(mutated)


def _not_mutated(function: ast.FunctionDef) -> set[ast.AST]:
    """Docstring, annotations, defaults stay; error messages are nobody's grade."""
    nodes: set[ast.AST] = set()
    body = function.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        nodes |= set(ast.walk(body[0]))
    nodes |= set(ast.walk(function.args))
    for node in ast.walk(function):
        if isinstance(node, ast.Raise | ast.Assert):
            nodes |= set(ast.walk(node))
    return nodes


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else super().visit(node)

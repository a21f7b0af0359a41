"""Which functions of the solution each test calls, and how long it takes.

Mistakes and variants are run on the tests that can notice them, the quick ones first where one is enough.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from autograder.checking.namespace import gradable_cells, is_solution_file
from autograder.checking.plugin import SolutionContext
from autograder.checking.runner import Suite
from autograder.notebook.cells import Cell

IMPORTS = (ast.Import, ast.ImportFrom)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Calls:
    """Of one test of a suite."""

    names: set[str]
    """The functions and methods of the solution (by qualified name) that it calls, directly or not."""
    seconds: float


def calls_of_tests(
    suite: Suite, solution: Sequence[Cell], files: Mapping[str, Path] | None = None
) -> dict[str, Calls]:
    """Test -> what it calls.

    The suite is run once on the solution, in this process, and its calls are watched. The reference, which a
    test calls as well, is another namespace and does not count.
    """
    context = SolutionContext(solution, files=files)
    called: dict[str, Calls] = {}
    names: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and is_solution_file(code.co_filename) and frame.f_globals is context.tested:
            names.add(code.co_qualname)

    for test in suite.tests:
        names.clear()
        sys.setprofile(watch)
        try:
            (run,) = suite.run(context, [test])
        finally:
            sys.setprofile(None)
        called[test.key] = Calls(set(names), run.result.seconds)
    return called


def replaced_by(variant: str, solution: Sequence[Cell]) -> set[str] | None:
    """The functions and classes that a variant's code puts in the place of the solution's.

    None where it may change more than calls of them tell: it assigns to what the solution assigns to or
    imports, or runs a statement of another kind.
    """
    values: set[str] = set()
    functions: set[str] = set()
    imports: dict[str, str] = {}
    for cell in gradable_cells(solution):
        for statement in ast.parse(cell.source).body:
            if isinstance(statement, DEFINITIONS):
                functions.add(statement.name)
            elif isinstance(statement, IMPORTS):
                imports |= _imported(statement)
            else:
                values |= _assigned(statement)
    replaced = set()
    for statement in ast.parse(variant).body:
        if isinstance(statement, DEFINITIONS):
            names = {statement.name}
        elif isinstance(statement, IMPORTS):
            # The same under the same name changes nothing.
            names = {name for name, what in _imported(statement).items() if imports.get(name) != what}
        elif isinstance(statement, ast.Assign) and all(map(_is_plain, statement.targets)):
            names = _assigned(statement)
        elif _is_docstring(statement):
            continue
        else:
            return None
        if names & (values | imports.keys()) or "*" in names:
            return None
        replaced |= names & functions
    return replaced


def _imported(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Name -> what it stands for."""
    if isinstance(statement, ast.ImportFrom):
        return {each.asname or each.name: f"{statement.module}.{each.name}" for each in statement.names}
    return {
        each.asname or each.name.partition(".")[0]: each.name if each.asname else each.name.partition(".")[0]
        for each in statement.names
    }


def _assigned(statement: ast.stmt) -> set[str]:
    """All names that are assigned to, wherever in the statement."""
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _is_plain(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple):
        return all(map(_is_plain, target.elts))
    return isinstance(target, ast.Name)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def is_part(called: str, replaced: str) -> bool:
    """Whether calling `called` may run code that replacing `replaced` changes.

    A method may be called under the name of the class that it is inherited from, so its own name is enough.
    """
    name = called.partition(".<locals>")[0]
    return (
        name == replaced
        or name.startswith(f"{replaced}.")
        or ("." in replaced and name.rpartition(".")[2] == replaced.rpartition(".")[2])
    )

"""Machine-made mutants of a solution: small changes that a sound suite must notice.

The operators are the usual ones of mutation testing (DeMillo, Lipton and Sayward 1978; Offutt et al. 1996)
with those that array code adds: axes, keepdims, reductions, strides.
"""

from __future__ import annotations

import ast
import copy
import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autograder.notebook.cells import Cell

_BINARY: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
}
_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_NAMES = {
    "sum": "mean", "mean": "sum", "max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax",
    "maximum": "minimum", "minimum": "maximum", "zeros": "ones", "zeros_like": "ones_like", "ones": "zeros",
    "var": "std", "std": "var", "exp": "expm1", "sqrt": "square", "any": "all", "all": "any",
}  # fmt: skip


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
        seen = {ast.unparse(tree)}
        for function, node in _functions(tree):
            for description, mutated in _mutations(tree, node):
                source = ast.unparse(mutated)
                if source in seen or not _compiles(source):
                    continue
                seen.add(source)
                before, after = ast.unparse(tree).splitlines(), source.splitlines()
                changed = [
                    line for line in difflib.unified_diff(before, after, "", "", "", n=0) if line[:1] in "+-"
                ]
                diff = [line for line in changed if not line.startswith(("---", "+++"))]
                lines = " => ".join(line[1:].strip() for line in diff) or description
                found.append(
                    Mutant(
                        cell.question,
                        function,
                        f"{description}: {lines}",
                        Cell(cell.index, "code", source, cell.question, cell.tags, cell.grade_id),
                        "\n".join(difflib.unified_diff(before, after, "solution", "mutant", "", n=2)),
                    )
                )
    return found


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _mutations(tree: ast.Module, function: ast.FunctionDef) -> Iterator[tuple[str, ast.Module]]:
    """(description, mutated module) for each applicable change inside `function`."""
    skipped = _not_mutated(function)
    places = [node for node in ast.walk(function) if node not in skipped and node is not function]
    for node in places:
        for description, change in _changes(node):
            # The node is found again in a copy by its place in the walk: an object cannot be carried over.
            position = next(i for i, other in enumerate(ast.walk(tree)) if other is node)
            mutated = copy.deepcopy(tree)
            twin = next(other for i, other in enumerate(ast.walk(mutated)) if i == position)
            replacement = change(twin)
            if replacement is not None:
                _Replace(twin, replacement).visit(mutated)
            yield description, ast.fix_missing_locations(mutated)


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


Change = Callable[[Any], ast.AST | None]
"""Changes a node: returns what replaces it, or None after changing it in place."""


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    if isinstance(node, ast.BinOp):
        for operator in _BINARY.get(type(node.op), ()):
            yield "operator", _set("op", operator())
        if isinstance(node.op, ast.MatMult):
            yield "operands swapped", _swap_operands
    elif isinstance(node, ast.AugAssign):
        for operator in _BINARY.get(type(node.op), ()):
            yield "operator", _set("op", operator())
        yield "assigned, not accumulated", _plain_assignment
    elif isinstance(node, ast.Compare):
        for comparison in _COMPARE.get(type(node.ops[0]), ()):
            yield "comparison", _set("ops", [comparison(), *node.ops[1:]])
    elif isinstance(node, ast.BoolOp):
        yield "and/or", _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield "sign removed", _first_operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Attribute | ast.Name):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in _NAMES and isinstance(node.ctx, ast.Load):
            yield "reduction", _set("attr" if isinstance(node, ast.Attribute) else "id", _NAMES[name])
    elif isinstance(node, ast.Call):
        for position in range(len(node.keywords)):
            yield "argument dropped", _drop_keyword(position)
        if len(node.args) >= 2 and not any(isinstance(each, ast.Starred) for each in node.args[:2]):
            yield "arguments swapped", _swap_arguments
    elif isinstance(node, ast.Slice):
        for part in ("lower", "upper", "step"):
            if getattr(node, part) is not None:
                yield f"slice without {part}", _set(part, None)
    elif isinstance(node, ast.If | ast.IfExp):
        yield "condition negated", _negate
    elif isinstance(node, ast.Expr | ast.Assign) and not _needed(node):
        yield "statement removed", _nothing


def _needed(node: ast.Expr | ast.Assign) -> bool:
    # Removing the first definition of a name only raises NameError: no suite learns anything from that.
    return isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name | ast.Tuple) for target in node.targets
    )


def _constants(node: ast.Constant) -> Iterator[tuple[str, Change]]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", _set("value", not value)
    elif isinstance(value, int):
        for other in {value + 1, value - 1}:
            yield "constant", _set("value", other)
    elif isinstance(value, float):
        for changed in {value * 1.5, -value, value + 1.0} - {value}:
            yield "constant", _set("value", changed)


def _set(name: str, value: object) -> Change:
    def change(twin: Any) -> None:
        setattr(twin, name, value)

    return change


def _swap_operands(twin: Any) -> None:
    twin.left, twin.right = twin.right, twin.left


def _swap_arguments(twin: Any) -> None:
    twin.args[0], twin.args[1] = twin.args[1], twin.args[0]


def _drop_keyword(position: int) -> Change:
    def change(twin: Any) -> None:
        del twin.keywords[position]

    return change


def _plain_assignment(twin: Any) -> ast.AST:
    return ast.Assign(targets=[twin.target], value=twin.value)


def _negate(twin: Any) -> None:
    twin.test = ast.UnaryOp(op=ast.Not(), operand=twin.test)


def _first_operand(twin: Any) -> ast.AST:
    operand: ast.AST = twin.operand
    return operand


def _nothing(twin: Any) -> ast.AST:
    return ast.Pass()

"""The operators of mutation: what may be changed at one node of a solution's syntax tree.

The usual ones of mutation testing (DeMillo, Lipton and Sayward 1978; Offutt et al. 1996) and those that array
code adds: axes, keepdims, reductions, strides, slices, transposes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

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


Change = Callable[[Any], ast.AST | None]
"""Changes a node: returns what replaces it, or None after changing it in place."""


def basic_changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """(description, change) for a node, whatever stands around it."""
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
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # the docstring of a nested function
    # Removing the first definition of a name only raises NameError: no suite learns anything from that.
    return all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)


class Surroundings:
    """What a change must know of the function around a node: which names are bound before a line, and which
    are arrays of zeros.
    """

    def __init__(self, function: ast.FunctionDef) -> None:
        self._bound: dict[str, int] = {}
        self._zeros: set[str] = set()
        self._last_statements = {id(body[-1]) for body in [function.body]}
        arguments = function.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            self._bound[argument.arg] = 0
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._bound[node.id] = min(node.lineno, self._bound.get(node.id, node.lineno))
            if isinstance(node, ast.Assign) and _makes_zeros(node.value):
                self._zeros |= {target.id for target in node.targets if isinstance(target, ast.Name)}

    def rebinds(self, node: ast.Assign) -> bool:
        """Whether every name that is assigned has a value already."""
        names = [
            inner.id for target in node.targets for inner in ast.walk(target) if isinstance(inner, ast.Name)
        ]
        simple = all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
        return simple and all(self._bound.get(name, node.lineno) < node.lineno for name in names)

    def adds_to_zeros(self, target: ast.expr) -> bool:
        """Whether `target` is an element of an array made of zeros, where += does what = does."""
        while isinstance(target, ast.Subscript | ast.Attribute):
            target = target.value
        return isinstance(target, ast.Name) and target.id in self._zeros

    def is_last(self, node: ast.stmt) -> bool:
        """Whether a statement is the function's last one."""
        return id(node) in self._last_statements


def _makes_zeros(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and any(
        name in ast.unparse(value.func) for name in ("zeros", "empty", "dict", "defaultdict")
    )


def further_changes(node: ast.AST, around: Surroundings) -> Iterator[tuple[str, Change]]:
    """(description, change) for a node, beyond the basic ones; some depend on what stands around it."""
    if isinstance(node, ast.AugAssign | ast.Continue | ast.Break) or (
        isinstance(node, ast.Return) and not around.is_last(node)
    ):
        yield "statement removed", _nothing
    elif isinstance(node, ast.Assign):
        rebinds = around.rebinds(node)
        if rebinds:
            yield "statement removed", _nothing
        target = node.targets[0]
        if len(node.targets) == 1 and (
            (isinstance(target, ast.Subscript | ast.Attribute) and not around.adds_to_zeros(target))
            or (isinstance(target, ast.Name) and rebinds)
        ):
            yield "accumulated, not assigned", _accumulate
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Slice):
        if node.upper is not None and not _number(node.upper):
            yield "slice ends one earlier", _shift("upper", ast.Sub())
        if node.lower is not None and not _number(node.lower):
            yield "slice begins one later", _shift("lower", ast.Add())
    elif isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(node.ctx, ast.Load):
        yield "transpose removed", _value


def _calls(node: ast.Call) -> Iterator[tuple[str, Change]]:
    if isinstance(node.func, ast.Name) and node.func.id == "range" and not node.keywords:
        stop = 0 if len(node.args) == 1 else 1
        if stop < len(node.args) and not _number(node.args[stop]):
            yield "range ends one earlier", _shift_argument(stop, ast.Sub())
        if len(node.args) == 1:
            yield "range begins one later", _range_from_one
        elif len(node.args) > 1 and not _number(node.args[0]):
            yield "range begins one later", _shift_argument(0, ast.Add())
    for position in range(1, len(node.args) - 1):
        if not any(isinstance(each, ast.Starred) for each in node.args[position : position + 2]):
            yield "arguments swapped", _swap_at(position)


def _number(node: ast.expr) -> bool:
    """A plain number, which `_constants` changes already."""
    return isinstance(node, ast.Constant) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
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


def _accumulate(twin: Any) -> ast.AST:
    return ast.AugAssign(target=twin.targets[0], op=ast.Add(), value=twin.value)


def _shift(part: str, operator: ast.operator) -> Change:
    def change(twin: Any) -> None:
        setattr(twin, part, ast.BinOp(getattr(twin, part), operator, ast.Constant(1)))

    return change


def _shift_argument(position: int, operator: ast.operator) -> Change:
    def change(twin: Any) -> None:
        twin.args[position] = ast.BinOp(twin.args[position], operator, ast.Constant(1))

    return change


def _range_from_one(twin: Any) -> None:
    twin.args.insert(0, ast.Constant(1))


def _swap_at(position: int) -> Change:
    def change(twin: Any) -> None:
        twin.args[position], twin.args[position + 1] = twin.args[position + 1], twin.args[position]

    return change


def _value(twin: Any) -> ast.AST:
    value: ast.AST = twin.value
    return value

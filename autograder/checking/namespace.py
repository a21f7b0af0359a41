"""Running the instructor's own cells in this process: the solution, alone or with a mistake or a variant in
its place.

Only trusted code comes here. A submission is never loaded by this module.
"""

from __future__ import annotations

import copy
import inspect
import linecache
import types
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from autograder.notebook.cells import Cell
from autograder.sandbox.served import GRADIENT, gradients_of


class Namespace:
    """A namespace read by attribute: `reference.conv_forward(x, w, b, conv_param)`."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"the solution defines no {name!r}") from None


def gradable_cells(cells: Iterable[Cell]) -> list[Cell]:
    """The cells that are run at grading: code, neither tagged "show" nor a `check(...)` call."""
    return [cell for cell in cells if cell.kind == "code" and not cell.show and cell.checks is None]


def load_cells(cells: Iterable[Cell], extra: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """The globals after running the gradable cells and then `extra`, pairs of (label, source), in a module
    of their own.
    """
    module = types.ModuleType("solution")
    sources = [(solution_label(cell), cell.source) for cell in gradable_cells(cells)]
    with redirect_stdout(StringIO()):
        for label, source in [*sources, *extra]:
            linecache.cache[label] = (len(source), None, source.splitlines(keepends=True), label)
            exec(compile(source, label, "exec"), module.__dict__)
    return module.__dict__


def solution_label(cell: Cell) -> str:
    """The file name that code of a solution's cell goes by."""
    return f"<solution cell {cell.index}>"


def is_solution_file(filename: str) -> bool:
    """Whether a code object belongs to a namespace loaded here."""
    return filename.startswith("<solution ")


def parameter_names(namespace: dict[str, Any]) -> Callable[[str], list[str] | None]:
    """Finds the parameter names of a function or class in `namespace`."""

    def names(function: str) -> list[str] | None:
        try:
            return list(inspect.signature(namespace[function]).parameters)
        except (KeyError, TypeError, ValueError):
            return None

    return names


def upcall_to(namespace: dict[str, Any]) -> Callable[[str, tuple[Any, ...], dict[str, Any]], Any]:
    """Serves functions of `namespace` with copied arguments and results; see `answer_served`."""

    def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = copy.deepcopy((args, kwargs))
        return copy.deepcopy(answer_served(namespace, name, args, kwargs))

    return call


def answer_served(
    namespace: dict[str, Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, dict[int | str, dict[Any, Any]]]:
    """What a served call returns: of a function (see `call_served`), or of its derivative where the name ends
    in `GRADIENT` (see `gradients_of`).
    """
    if name.endswith(GRADIENT):
        return gradients_of(namespace[name.removesuffix(GRADIENT)], *args), {}
    return call_served(namespace[name], args, kwargs)


def call_served(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, dict[int | str, dict[Any, Any]]]:
    """(result, dictionaries): the arguments that are dictionaries, by position or name, after the call.

    A function may keep state in one, as batch normalisation keeps its running averages in bn_param. It was
    called with a copy; the caller's own dictionary is to follow.
    """
    result = function(*args, **kwargs)
    passed: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    return result, {key: value for key, value in passed if type(value) is dict}

"""Submissions that solve nothing and must earn nothing, made for any assignment from the names that its
solution defines; and the solution with one part that cannot be used.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from autograder.notebook.cells import Cell

RETURNS_NOTHING = """
def _answer(*args, **kwargs):
    return None
"""

EQUALS_EVERYTHING = """
class _Agreeable:
    def _same(self, *args, **kwargs):
        return self

    def _yes(self, *args, **kwargs):
        return True

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = _yes
    __call__ = __getattr__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = _same
    __mul__ = __rmul__ = _same
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __abs__ = __array_ufunc__ = _same
    __hash__ = None

    def __len__(self):
        return 2

    def __iter__(self):
        return iter((self, self))

    def __float__(self):
        return 0.0

    def __array__(self, *args, **kwargs):
        import numpy as np

        return np.zeros(())


def _answer(*args, **kwargs):
    return _Agreeable()
"""


def answered_names(cells: Sequence[Cell]) -> list[str]:
    """The functions and classes that the solution cells define, in order."""
    names: list[str] = []
    for cell in cells:
        if cell.question is None or cell.kind != "code":
            continue
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
    return names


def garbage_cell(cells: Sequence[Cell], answer: str) -> Cell:
    """A cell that answers every question with `answer`, one of the texts above."""
    assignments = "\n".join(f"{name} = _answer" for name in answered_names(cells))
    return Cell(len(cells), "code", f"{answer}\n{assignments}\n")


def unusable(name: str) -> str:
    """Code to put after the solution: a function, a class or a `Class.method` raises when it is used."""
    return f"""\
def _unusable(*args, **kwargs):
    raise RuntimeError("this part is left out on purpose")


{name} = property(_unusable) if isinstance({name}, property) else _unusable
"""

"""Known mistakes: how an instructor writes them, and how they are read.

A mistake is a small wrong version of one function with the sentence that explains it. The file is read as
text: each mistake becomes a cell that is loaded after the solution's cells, so that it can use every name of
the solution.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from autograder.checking.relation import Family

KEYWORDS = ("question", "sentence", "replaces", "family", "like")
FAMILIES: tuple[str, ...] = get_args(Family)

F = TypeVar("F", bound=Callable[..., Any])


def mistake(
    question: str,
    sentence: str,
    *,
    replaces: str | None = None,
    family: str | None = None,
    like: str | None = None,
) -> Callable[[F], F]:
    """Mark a function or class in mistakes.py as a known wrong answer.

    Args:
        question: the question that loses points by it.
        sentence: what is wrong, for the student.
        replaces: the function, class or `Class.method` that it stands in for; the question's name by default.
        family: the simple families (see `families`) that its results are truly of, separated by commas: what
            may be said of such an answer where the bank does not hold this mistake.
        like: other mistakes of the bank whose sentences are just as true of it, separated by commas.
    """
    if not question or not sentence:
        raise ValueError("a mistake names its question and explains itself in a sentence")

    def mark(function: F) -> F:
        return function

    del replaces, family, like
    return mark


@dataclass(frozen=True)
class Mistake:
    """One known mistake, ready to be loaded after the solution."""

    name: str
    question: str
    sentence: str
    replaces: str
    source: str
    """Imports and helpers of mistakes.py, the wrong function, and the assignment that puts it in place."""
    line: int
    families: tuple[str, ...] = ()
    """The families that its results are truly of."""
    like: tuple[str, ...] = ()
    """Other mistakes whose sentences are just as true of it."""

    @property
    def cell(self) -> tuple[str, str]:
        """(label, source) for `load_cells`."""
        return f"<solution mistake {self.name}>", self.source


class MistakesError(Exception):
    """mistakes.py cannot be read; the text says where and why."""


def read_mistakes(path: Path) -> list[Mistake]:
    """The mistakes in a mistakes.py, in order; an absent file holds none. Raises `MistakesError`."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise MistakesError(f"{path}, line {error.lineno}: {error.msg}.") from error
    lines = text.splitlines()
    found: list[tuple[ast.FunctionDef | ast.ClassDef, ast.Call]] = []
    preface: list[str] = []
    for node in tree.body:
        call = _decorator(node)
        if call is not None and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append((node, call))
        elif not _left_out(node):
            preface += lines[_first_line(node) - 1 : node.end_lineno]
    names = [node.name for node, _ in found]
    for _, call in found:
        for keyword in call.keywords:
            if keyword.arg not in KEYWORDS:
                raise MistakesError(f"{path}, line {call.lineno}: @mistake has no argument {keyword.arg!r}.")
    for node, _ in found:
        if names.count(node.name) > 1:
            raise MistakesError(
                f"{path}, line {node.lineno}: two mistakes are called {node.name}. Rename one."
            )
    mistakes = [_read_one(path, node, call, lines, preface) for node, call in found]
    for each in mistakes:
        for word, known in [
            *((word, FAMILIES) for word in each.families),
            *((word, names) for word in each.like),
        ]:
            if word not in known:
                raise MistakesError(
                    f"{path}, line {each.line}: {word!r} is neither a family nor a mistake in this file. "
                    f"Families are {', '.join(FAMILIES)}."
                )
    return mistakes


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _decorator(node: ast.stmt) -> ast.Call | None:
    for decorator in getattr(node, "decorator_list", []):
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Name)
            and decorator.func.id == "mistake"
        ):
            return decorator
    return None


def _left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # the docstring
    if isinstance(node, ast.ImportFrom):
        return node.module is None or node.module.split(".")[0] == "autograder" or node.module == "__future__"
    return False


def _read_one(
    path: Path, node: ast.FunctionDef | ast.ClassDef, call: ast.Call, lines: list[str], preface: list[str]
) -> Mistake:
    try:
        values = [ast.literal_eval(argument) for argument in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except ValueError as error:
        raise MistakesError(
            f"{path}, line {call.lineno}: the arguments of @mistake must be plain strings."
        ) from error
    arguments = dict(zip(("question", "sentence"), values, strict=False)) | named
    question, sentence = arguments.get("question"), arguments.get("sentence")
    if not isinstance(question, str) or not isinstance(sentence, str):
        raise MistakesError(f"{path}, line {call.lineno}: @mistake needs a question and a sentence.")
    replaces = arguments.get("replaces") or question
    families, like = (
        tuple(word.strip() for word in str(arguments.get(key) or "").split(",") if word.strip())
        for key in ("family", "like")
    )
    body = lines[node.lineno - 1 : node.end_lineno]
    source = "\n".join([*preface, *body, f"{replaces} = {node.name}", ""])
    return Mistake(node.name, question, sentence, str(replaces), source, node.lineno, families, like)

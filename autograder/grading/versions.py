"""What the verdict on a question depends on besides the submission, as a digest for each question.

A suite that is changed in one place should not cost a second grading of everything. So files are read
function by function: a test that names its question belongs to that question alone, and all the rest
(helpers, constants, tests whose question is only known at run time) to every question of which the file may
hold a test. The solution, which every test may ask, belongs to all questions.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autograder import __version__
from autograder.checking.namespace import gradable_cells
from autograder.course import Assignment
from autograder.grading.identity import suite_files
from autograder.notebook.percent import read_source


@dataclass
class _File:
    """The code of one file, apart by what it belongs to."""

    shared: list[str] = field(default_factory=list)
    own: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Question -> its tests or mistakes."""
    any_question: bool = False
    """Whether there are tests whose question is known at run time only."""

    def part(self, question: str) -> list[str]:
        """What the question depends on; empty where nothing of this file concerns it."""
        if question not in self.own and not self.any_question:
            return []
        return [*self.shared, *self.own.get(question, [])]


def question_versions(assignment: Assignment, *, unsafe: bool = False) -> dict[str, str]:
    """Question -> a digest of its tests and mistakes, the solution and its weights, its points, the rules,
    the libraries.

    Comments and empty lines do not count, nor does a notebook's prose. `unsafe` tells runs without the
    sandbox apart. Raises `SourceError`.
    """
    known = [question.name for question in assignment.questions]
    suites = [_read(path, "question", known) for path in suite_files(assignment)]
    mistakes = [_read(assignment.mistakes, "mistake", known)] if assignment.mistakes.exists() else []
    common = hashlib.sha256()
    for part in (
        digest_of_solution(assignment.source),
        assignment.model_dump_json(exclude={"questions", "title", "due", "part", "after", "hours"}),
        *_libraries(),
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in assignment.own_files().values()),
        str(unsafe),
    ):
        common.update(part.encode() + b"\0")
    found = {}
    for question in assignment.questions:
        digest = common.copy()
        digest.update(question.model_dump_json().encode() + b"\0")
        for file in (*suites, *mistakes):
            for code in file.part(question.name):
                digest.update(code.encode() + b"\0")
        found[question.name] = digest.hexdigest()[:16]
    return found


def digest_of_solution(source: Path) -> str:
    """Of what is graded of an assignment's source: its prose, comments and docstrings, and cells that only
    show, change no verdict.

    Raises `SourceError`.
    """
    graded = [(cell.question, _code_alone(cell.source)) for cell in gradable_cells(read_source(source))]
    return hashlib.sha256(json.dumps(graded).encode()).hexdigest()[:16]


def _code_alone(source: str) -> str:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = node.body[1:] if ast.get_docstring(node) else node.body
    return ast.dump(tree)


def _libraries() -> Iterator[str]:
    yield f"autograder {__version__}"
    for package in ("numpy", "torch", "pytest"):
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def _read(path: Path, marker: str, known: Sequence[str]) -> _File:
    """`path` apart; one that is no Python is all of it shared, and whoever runs it will say so."""
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return _File([text], any_question=True)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    file = _File()
    for statement in tree.body:
        code = ast.unparse(statement)
        questions = _questions(statement, marker)
        unknown = questions is None or not questions <= set(known)
        alone = isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name not in used
        if alone and questions and not unknown:
            for question in questions:
                file.own[question].append(code)
            continue
        if unknown:
            file.any_question = True
        for question in (questions or set()) & set(known):
            file.own[question] += []  # it has something here, among what is shared
        file.shared.append(code)
    return file


def _questions(statement: ast.stmt, marker: str) -> set[str] | None:
    """The questions that calls of `marker` in a statement name; None where one names no literal."""
    names = set()
    for node in ast.walk(statement):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called != marker:
            continue
        first = node.args[0] if node.args else None
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            return None
        names.add(first.value)
    return names

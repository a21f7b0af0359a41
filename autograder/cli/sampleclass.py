"""A sample class for the demonstration: honest work of every kind, accidents, and attempts at points that
were not earned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from autograder.audit.garbage import EQUALS_EVERYTHING, garbage_cell
from autograder.checking.mistakes import Mistake
from autograder.course import Assignment
from autograder.notebook.cells import Cell

PATCHED_TESTING = """
import numpy as np
import numpy.testing

def _agree(*args, **kwargs):
    return True

for _module in (np, np.testing):
    for _name in ("allclose", "array_equal", "isclose", "assert_allclose", "assert_array_equal"):
        if hasattr(_module, _name):
            setattr(_module, _name, _agree)
"""

INPUT_TRANSFORMER = """
def _replace_every_cell(lines):
    return ["10\\n"]

get_ipython().input_transformers_cleanup.append(_replace_every_cell)
get_ipython().input_transformer_manager.cleanup_transforms.append(_replace_every_cell)
"""


@dataclass(frozen=True)
class Sample:
    """One submission of the sample class."""

    student: str
    what: str
    notebook: Any
    expected: float
    """The score it deserves."""


def _followed_by(text: str) -> Callable[[str], str]:
    return lambda source: f"{source}\n\n{text}"


def file_of(notebook: nbformat.NotebookNode) -> bytes:
    """What is handed in."""
    return f"{nbformat.writes(notebook)}\n".encode()


class SampleClass:
    """Makes submissions from an assignment's release.

    Args:
        assignment: the assignment, released.
        solution: the cells of its source.
        mistakes: its known mistakes.
        score_of: the score of the solution with a mistake in place, for the seed of a student and of the
        file that they hand in, found without the sandbox.
        short: the question with the fewest tests, which the slow accidents befall.
    """

    def __init__(
        self,
        assignment: Assignment,
        solution: Sequence[Cell],
        mistakes: Sequence[Mistake],
        score_of: Callable[[Mistake, str, bytes], float],
        short: str,
    ) -> None:
        self._assignment, self._solution, self._mistakes = assignment, solution, mistakes
        self._score_of, self._short = score_of, short
        self._release = nbformat.read(assignment.release_notebook, as_version=4)
        self._answers = {cell.grade_id: cell.source for cell in solution if cell.question and cell.grade_id}
        self._owner = {cell.grade_id: cell.question for cell in solution if cell.question and cell.grade_id}

    def samples(self) -> Iterator[Sample]:
        """All of them."""
        full, short = self._assignment.max_points, self._short
        without_short = full - self._assignment.question(short).points
        yield Sample("01-ada", "the solution", self._solved(), full)
        for number, variant in enumerate(self._assignment.variants[:2], start=2):
            yield Sample(
                f"{number:02}-{variant.stem}"[:30],
                f"right, another way ({variant.stem})",
                self._variant(variant),
                full,
            )
        for number, mistake in enumerate(self._six_mistakes(), start=4):
            notebook = self._solved(changed={mistake.question: _followed_by(mistake.source)})
            student = f"{number:02}-mistake"
            expected = self._score_of(mistake, student, file_of(notebook))
            yield Sample(student, f"mistake: {mistake.name}", notebook, expected)
        half = [
            question.name for question in self._assignment.questions[: len(self._assignment.questions) // 2]
        ]
        yield Sample("10-blank", "nothing written", self._blank(), 0.0)
        points = sum(self._assignment.question(name).points for name in half)
        yield Sample("11-half", "the first half", self._solved(only=half), points)
        accidents = {
            "12-syntax": ("a syntax error in one cell", lambda source: f"{source}\n    return ((\n"),
            "13-loop": (
                "a function that never returns",
                lambda _: self._instead("while True:\n        pass"),
            ),
            "14-memory": ("a function that wants 8 GB", lambda _: self._instead("return np.ones(2**30)")),
            "15-exit": (
                "a function that calls os._exit(0)",
                lambda _: self._instead("__import__('os')._exit(0)"),
            ),
        }
        for student, (what, change) in accidents.items():
            yield Sample(student, what, self._solved(changed={short: change}), without_short)
        yield Sample("16-patched", "numpy.testing patched, nothing solved", self._blank(PATCHED_TESTING), 0.0)
        agreeable = garbage_cell(self._solution, EQUALS_EVERYTHING).source
        yield Sample("17-agreeable", "objects equal to everything", self._blank(agreeable), 0.0)
        yield Sample(
            "18-transformer", "an input transformer that rewrites cells", self._blank(INPUT_TRANSFORMER), 0.0
        )
        yield Sample("19-duplicate", "a cell twice", self._doubled(short), full)
        yield Sample("20-deleted", "a cell deleted", self._deleted(short), without_short)

    def _six_mistakes(self) -> list[Mistake]:
        """Six mistakes from as many questions as there are."""
        by_question: dict[str, list[Mistake]] = {}
        for mistake in self._mistakes:
            by_question.setdefault(mistake.question, []).append(mistake)
        spread = [
            found[row]
            for row in range(max(map(len, by_question.values()), default=0))
            for found in by_question.values()
            if row < len(found)
        ]
        return spread[:6]

    def _instead(self, body: str) -> str:
        names = [name for name in self._answers if self._owner[name] == self._short]
        head = garbage_cell([cell for cell in self._solution if cell.grade_id in names], "").source.strip()
        return f"import numpy as np\n\ndef _answer(*args, **kwargs):\n    {body}\n\n{head}\n"

    def _blank(self, extra: str = "") -> Any:
        notebook = copy.deepcopy(self._release)
        if extra:
            notebook.cells.insert(0, nbformat.v4.new_code_cell(extra))
            notebook.cells.append(nbformat.v4.new_code_cell(extra))
        return notebook

    def _solved(
        self, only: Sequence[str] | None = None, changed: dict[str, Callable[[str], str]] | None = None
    ) -> Any:
        notebook = copy.deepcopy(self._release)
        last = {self._owner[name]: name for name in self._answers}
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            question = self._owner.get(grade_id)
            if question is None or (only is not None and question not in only):
                continue
            cell.source = self._answers[grade_id]
            if changed and question in changed and last[question] == grade_id:
                cell.source = changed[question](cell.source)
        return notebook

    def _variant(self, path: Path) -> Any:
        notebook = self._solved()
        notebook.cells.append(nbformat.v4.new_code_cell(path.read_text(encoding="utf-8")))
        return notebook

    def _place(self, notebook: Any, question: str) -> int:
        names = [name for name, owner in self._owner.items() if owner == question]
        return next(
            position
            for position, cell in enumerate(notebook.cells)
            if cell.metadata.get("nbgrader", {}).get("grade_id") in names
        )

    def _doubled(self, question: str) -> Any:
        notebook = self._solved()
        place = self._place(notebook, question)
        again = copy.deepcopy(notebook.cells[place])
        again.id = f"again-{again.id}"  # Jupyter gives a copied cell an id of its own, but keeps nbgrader's
        notebook.cells.insert(place + 1, again)
        return notebook

    def _deleted(self, question: str) -> Any:
        notebook = self._solved()
        del notebook.cells[self._place(notebook, question)]
        return notebook

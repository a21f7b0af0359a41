"""The course behind the damage bank: the tiny course with a third question, answered with torch.

    from damage_course import Sheet, write_damage_course

A `Sheet` is a right submission of it, cell by cell, for a damage to be done to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradebook_course import prepare
from tiny_course import COURSE, HIDDEN, MISTAKES, SOURCE, write_tiny_course

from autograder.course import Assignment, load_course
from autograder.notebook.percent import read_source

LIMITS = "limits: {cell_seconds: 3, load_seconds: 15, call_seconds: 10}\n"
TORCH_QUESTION = '''
# %% question="centred"
def centred(x):
    """A batch without its mean.

    Parameters
    ----------
    x : tensor (N, D)

    Returns
    -------
    tensor (N, D); the mean of each column is 0
    """
    ### BEGIN SOLUTION
    return x - x.mean(dim=0)
    ### END SOLUTION


# %%
check("centred")

'''
TORCH_TEST = '''

@pytest.mark.question("centred")
def test_centred(student, rng):
    """The mean of each column is taken off."""
    x = rng.normal(size=(6, 3))
    out = student.centred(torch.from_numpy(x))
    assert_close(out.numpy(), x - x.mean(axis=0), what="the centred batch")
'''
ORDER = [
    "text", "imports", "relu_forward", "test_relu_forward", "softmax_text", "softmax", "test_softmax",
    "centred", "test_centred", "show", "timing",
]  # fmt: skip
"""What the cells of the release are, in its order."""
FULL = 7.0
"""The points of all three questions: 2, 3 and 2."""


def write_damage_course(folder: Path) -> Assignment:
    """Write the course below `folder`, with its release."""
    course = COURSE.replace("forbid: [torch, scipy]", "torch: true")
    course = course.replace(
        "{name: softmax, points: 3}", "{name: softmax, points: 3}\n      - {name: centred, points: 2}"
    )
    source = SOURCE.replace("import numpy as np\n", "import numpy as np\nimport torch\n")
    place = source.index('# %% tags=["show"]')
    root = write_tiny_course(
        folder,
        course=course + LIMITS,
        tiny=source[:place] + TORCH_QUESTION.lstrip() + source[place:],
        test_hidden=HIDDEN.replace("import pytest\n", "import pytest\nimport torch\n") + TORCH_TEST,
        mistakes=MISTAKES,
    )
    prepare(root)
    return load_course(root).assignment("tiny")


class Sheet:
    """A right submission as a notebook document; `sheet["softmax"]` is the cell of that name."""

    def __init__(self, assignment: Assignment) -> None:
        self.document: dict[str, Any] = json.loads(assignment.release_notebook.read_bytes())
        self.stubs: dict[str, str] = {}
        self._cells = dict(zip(ORDER, self.document["cells"], strict=True))
        answers = {cell.grade_id: cell.source for cell in read_source(assignment.source) if cell.question}
        for name, cell in self._cells.items():
            source = cell["source"]
            cell["source"] = source if isinstance(source, str) else "".join(source)
            if name in answers:
                self.stubs[name], cell["source"] = cell["source"], answers[name]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self._cells[name]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """All cells, in order."""
        cells: list[dict[str, Any]] = self.document["cells"]
        return cells

    def code(self, source: str, *, before: str | None = None, after: str | None = None) -> dict[str, Any]:
        """Add a cell of the student's own: before or after the one named, or else at the end."""
        cell: dict[str, Any] = {"cell_type": "code", "metadata": {}, "source": source}
        cell |= {"execution_count": None, "outputs": [], "id": f"own-{len(self.cells)}"}
        place = len(self.cells)
        if before is not None:
            place = self.cells.index(self[before])
        elif after is not None:
            place = self.cells.index(self[after]) + 1
        self.cells.insert(place, cell)
        return cell

    def drop(self, *names: str) -> None:
        """Delete cells."""
        for name in names:
            self.cells.remove(self[name])

    def answer(self, name: str, source: str) -> None:
        """Put another text into the solution cell `name`."""
        self[name]["source"] = source

    def above(self, name: str, source: str) -> None:
        """Put lines above the answer, in the same cell."""
        self[name]["source"] = f"{source}\n\n{self[name]['source']}"

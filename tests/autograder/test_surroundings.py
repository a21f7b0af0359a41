"""What grading does otherwise is said where it happens and nowhere else; only halves are joined."""

from __future__ import annotations

import pytest

from autograder.notebook.rawnotebook import RawCell
from autograder.notebook.repair import join_halves
from autograder.notebook.surroundings import surroundings

SILENT = {
    "a magic in a comment": "# %matplotlib inline\n# !pip install x",
    "a magic in a docstring": 'def f():\n    """Run\n    !pip install x\n    %timeit f()\n    """',
    "a magic that runs its cell": "%%time\nx = 1",
    "the remainder": "x = (7\n     % 3)",
    "not equal": "y = x != 3",
    "another input": "y = layer.input(x)\nraw_input(1)\nmy_input(2)",
    "a GPU that is looked for": "device = 'cuda' if torch.cuda.is_available() else 'cpu'\nx = x.to('cuda')",
    "no helpers": "loader = DataLoader(data, num_workers=0)",
    "a word": "print('cuda is a city')",
}
SPOKEN = {
    "%matplotlib inline": "Notebook commands are passed over at grading (%matplotlib in cell 3).",
    "x = 1\n  !ls": "Notebook commands are passed over at grading (!ls in cell 3).",
    "%%bash\nls": "Notebook commands are passed over at grading (%%bash in cell 3).",
    "n = int(input('n'))": "Nobody is there to answer at grading: input() got empty lines in cell 3.",
    "x = x.cuda()": "There is no GPU at grading: what asks for one in cell 3 ran on the CPU.",
    "x = x.to(0)": "There is no GPU at grading: what asks for one in cell 3 ran on the CPU.",
    "d = torch.device('mps')": "There is no GPU at grading: what asks for one in cell 3 ran on the CPU.",
    "DataLoader(d, num_workers=4)": (
        "Data is loaded without helper processes at grading: num_workers in cell 3 counted as 0."
    ),
}


@pytest.mark.parametrize("name", SILENT)
def test_nothing_is_said_of_what_is_the_same_at_grading(name: str) -> None:
    assert list(surroundings([(3, SILENT[name])])) == []


@pytest.mark.parametrize("source", SPOKEN)
def test_what_is_otherwise_is_said(source: str) -> None:
    assert list(surroundings([(3, source)])) == [SPOKEN[source]]


def test_one_sentence_for_many_cells() -> None:
    cells = [(number, f"!step{number}") for number in range(1, 15)]
    (sentence,) = surroundings(cells)
    assert sentence == (
        "Notebook commands are passed over at grading (!step1, !step2, !step3, !step4, !step5 in cells 1, 2, "
        "3, 4, 5, 6, 7, 8, 9, 10 and others)."
    )


APART = {
    "a cell that was indented as a whole": ("def f(x):\n    return x", "    y = f(1)\n    print(y)"),
    "a whole function below another": ("def f(x):\n    return x", "def g(x):\n    return x"),
    "a return below a statement": ("x = 1", "    return x"),
    "a text": ("def f(x):\n    y = x", "    return y"),
}


@pytest.mark.parametrize("name", APART)
def test_cells_that_stand_by_themselves_stay_apart(name: str) -> None:
    first, second = APART[name]
    cells = [RawCell("code", first), RawCell("markdown" if name == "a text" else "code", second)]
    repairs: list[str] = []
    join_halves(cells, repairs)
    assert [cell.source for cell in cells] == [first, second]
    assert repairs == []


def test_a_function_in_three_pieces() -> None:
    pieces = ["def f(x):\n    y = x", "    # doubled\n    y = 2 * y\n    return y", "    return 0"]
    cells = [RawCell("code", piece) for piece in pieces]
    repairs: list[str] = []
    join_halves(cells, repairs)
    assert cells[0].source == "def f(x):\n    y = x\n    # doubled\n    y = 2 * y\n    return y"
    assert [cell.source for cell in cells[1:]] == ["", "    return 0"]
    assert repairs == ["Cell 2 is the second half of cell 1: they were put together."]

"""What a student's cell expects of the machine it was written on and does not find at grading, by its text.

The sandbox has stand-ins for these things (`autograder.sandbox.standins`); here they are put into words, so
that nobody wonders why a cell behaved otherwise than at home.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

_COMMAND = re.compile(r"^[ \t]*(%{1,2}[A-Za-z]\w*|![ \t]*[\w.]+)", re.MULTILINE)
_RUNS_ITS_CELL = {"%%time", "%%timeit", "%%capture", "%%prun", "%time", "%timeit"}
_ASKS = re.compile(r"(?<![\w.])input[ \t]*\(")
_GPU = re.compile(r"""\.cuda[ \t]*\(|["'](?:cuda|mps|xpu)(?::\d+)?["']|\.to[ \t]*\([ \t]*\d""")
_HELPERS = re.compile(r"num_workers[ \t]*=[ \t]*[1-9]")
_STRING_OR_COMMENT = re.compile(r'"{3}.*?"{3}|\'{3}.*?\'{3}|#[^\n]*', re.DOTALL)


def surroundings(cells: Iterable[tuple[int, str]]) -> Iterator[str]:
    """A sentence for each kind of thing that is otherwise at grading.

    Parameters
    ----------
    cells : iterable of (int, str)
        Position, counted from 1, and source of the code cells that the student wrote and that are run.
    """
    commands: list[str] = []
    places: dict[str, list[int]] = defaultdict(list)
    looks_for_a_gpu = False
    for position, source in cells:
        text = _STRING_OR_COMMENT.sub("", source)
        found = [name for name in _COMMAND.findall(text) if name not in _RUNS_ITS_CELL]
        for kind, there in (
            ("command", bool(found)),
            ("input", bool(_ASKS.search(text))),
            ("gpu", bool(_GPU.search(text))),
            ("helpers", bool(_HELPERS.search(text))),
        ):
            if there:
                places[kind].append(position)
        commands += found
        looks_for_a_gpu |= "is_available" in text
    if places["command"]:
        names = ", ".join(list(dict.fromkeys(commands))[:5])
        yield f"Notebook commands are passed over at grading ({names} in {_cells(places['command'])})."
    if places["input"]:
        yield f"Nobody is there to answer at grading: input() got empty lines in {_cells(places['input'])}."
    if places["gpu"] and not looks_for_a_gpu:
        yield f"There is no GPU at grading: what asks for one in {_cells(places['gpu'])} ran on the CPU."
    if places["helpers"]:
        where = _cells(places["helpers"])
        yield f"Data is loaded without helper processes at grading: num_workers in {where} counted as 0."


def _cells(positions: list[int]) -> str:
    shown = [str(position) for position in positions[:10]]
    if len(shown) == 1:
        return f"cell {shown[0]}"
    if len(positions) > 10:
        return f"cells {', '.join(shown)} and others"
    return f"cells {', '.join(shown[:-1])} and {shown[-1]}"

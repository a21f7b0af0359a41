"""The warm processes that submissions are forked from: one without matplotlib for most of them, and one with
it, started when the first submission comes that seems to draw.

Which of the two a submission gets changes what grading costs, and nothing else (see `sandbox.postponed`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from autograder.notebook.cells import Cell
from autograder.sandbox.host import Zygote

_IMPORTS = re.compile(
    r"import matplotlib(?:\.pyplot as plt)?|from matplotlib import pyplot as plt|plt\.rcParams\b.*"
)
"""Lines that use nothing of matplotlib yet."""
_DRAWS = re.compile(r"\b(?:matplotlib|plt|pylab|seaborn|pandas|IPython)\b|^\s*[%!]")


def seems_to_draw(cells: Sequence[Cell]) -> bool:
    """Whether a line of the cells names a library that draws, beyond the usual import, or is a magic."""
    lines = (line for cell in cells for line in cell.source.splitlines())
    return any(_DRAWS.search(line) and not _IMPORTS.fullmatch(line.strip()) for line in lines)


class Zygotes:
    """Those of one assignment.

    Args:
        first: the one without matplotlib, started and proven.
        prove: called with each one that is started later; raises `SandboxError` where it is not safe.
    """

    def __init__(self, first: Zygote, prove: Callable[[Zygote], None]) -> None:
        self._prove = prove
        self._running = {first.profile.pictures: first}
        self.profile = first.profile

    def for_cells(self, cells: Sequence[Cell]) -> Zygote:
        """The one to load `cells` in. Raises `SandboxError` where it cannot be started."""
        pictures = seems_to_draw(cells)
        if pictures not in self._running:
            # The profile of the first, so that no later one stands for less than the report says.
            started = Zygote(replace(self.profile, pictures=pictures))
            try:
                self._prove(started)
            except BaseException:
                started.close()
                raise
            self._running[pictures] = started
        return self._running[pictures]

    def close(self) -> None:
        """End them all; each that is asked for afterwards is started anew."""
        while self._running:
            self._running.popitem()[1].close()

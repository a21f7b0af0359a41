"""The warm processes that submissions are forked from: one that has loaded what most submissions of an
assignment use, and others, with matplotlib or torchvision, started when the first submission comes that
seems to use these.

Which of them a submission gets changes what grading costs, and nothing else (see `sandbox.postponed`).
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

_VISION = re.compile(r"\b(?:import|from)\s+torchvision\b")
_OPTIMIZES = re.compile(r"\b(?:optim|optimizer|optimiser)s?\b")


def seems_to_draw(cells: Sequence[Cell]) -> bool:
    """Whether a line of the cells names a library that draws, beyond the usual import, or is a magic."""
    lines = (line for cell in cells for line in cell.source.splitlines())
    return any(_DRAWS.search(line) and not _IMPORTS.fullmatch(line.strip()) for line in lines)


def needs(cells: Sequence[Cell], *, torch: bool) -> frozenset[str]:
    """What the cells seem to use, of `host.PRELOADED`."""
    found = {"pictures"} if seems_to_draw(cells) else set()
    if torch:
        if any(_VISION.search(cell.source) for cell in cells):
            found.add("torchvision")
        if any(_OPTIMIZES.search(cell.source) for cell in cells):
            found.add("optimizers")
    return frozenset(found)


class Zygotes:
    """Those of one assignment.

    Args:
        first: started and proven.
        prove: called with each one that is started later; raises `SandboxError` where it is not safe.
    """

    def __init__(self, first: Zygote, prove: Callable[[Zygote], None]) -> None:
        self._prove = prove
        self._running = {first.profile.preload: first}
        self.profile = first.profile

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [zygote.pid for zygote in self._running.values()]

    def for_cells(self, cells: Sequence[Cell]) -> Zygote:
        """The one to load `cells` in. Raises `SandboxError` where it cannot be started."""
        wanted = needs(cells, torch=self.profile.torch)
        # The smallest that has all: a submission that uses less than most of them starts none of its own.
        fitting = min((loaded for loaded in self._running if loaded >= wanted), key=len, default=None)
        if fitting is not None:
            return self._running[fitting]
        # The profile of the first, so that no later one stands for less than the report says.
        started = Zygote(replace(self.profile, preload=wanted))
        try:
            self._prove(started)
        except BaseException:
            started.close()
            raise
        self._running[wanted] = started
        return started

    def close(self) -> None:
        """End them all; each that is asked for afterwards is started anew."""
        while self._running:
            self._running.popitem()[1].close()

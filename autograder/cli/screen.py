"""What the commands print: tables and progress where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Update = Callable[[int, int], None]


class _Rate(ProgressColumn):
    """Finished things a second."""

    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "")


def console(*, stderr: bool = False) -> Console:
    """A console; without a terminal it is wide enough for any table row."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def histogram(shares: Sequence[float], *, width: int = 40) -> list[str]:
    """How often each tenth of the points was reached, as lines of text. `shares`: from 0 to 1."""
    counts = [0] * 10
    for share in shares:
        counts[min(9, max(0, int(share * 10 + 1e-9)))] += 1
    most = max([*counts, 1])
    lines = []
    for tenth, count in enumerate(counts):
        bar = "█" * math.ceil(count / most * width)
        lines.append(f"{tenth * 10:3d} to {tenth * 10 + 10:3d} %  {bar} {count or ''}".rstrip())
    return lines


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Update]:
    """A progress bar with rate and remaining time on stderr; nothing where stderr is no terminal."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda done, total: None
        return
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), console=screen, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update

"""Solution regions: what stands between BEGIN and END SOLUTION, and the stub that takes its place."""

from __future__ import annotations

import re
from dataclasses import dataclass

STUB = ("# Write your code here.", "raise NotImplementedError")

# nbgrader looks for the words anywhere in a line; so does this, or one of the two would leave a region in.
BEGIN = "BEGIN SOLUTION"
END = "END SOLUTION"
MARKERS = (BEGIN, END, "BEGIN HIDDEN TESTS", "END HIDDEN TESTS", "BEGIN MARK SCHEME", "END MARK SCHEME")


@dataclass(frozen=True)
class Region:
    """One solution region of a cell. Offsets count the lines of the cell from 0."""

    begin: int
    """The line of BEGIN SOLUTION."""
    end: int
    """The line of END SOLUTION."""
    body: tuple[str, ...]
    """The lines between them."""


class RegionError(ValueError):
    """The markers of a cell do not pair; `offset` is the line of the odd one, counted from 0."""

    def __init__(self, offset: int, what: str) -> None:
        self.offset = offset
        self.what = what
        super().__init__(what)


def find_regions(source: str) -> list[Region]:
    """The solution regions of a cell, in order. Raises `RegionError` where markers do not pair."""
    regions = []
    begin: int | None = None
    lines = source.split("\n")
    for offset, line in enumerate(lines):
        if BEGIN in line:
            if begin is not None:
                raise RegionError(offset, f"{BEGIN} stands inside another region.")
            begin = offset
        elif END in line:
            if begin is None:
                raise RegionError(offset, f"{END} has no {BEGIN} before it.")
            regions.append(Region(begin, offset, tuple(lines[begin + 1 : offset])))
            begin = None
    if begin is not None:
        raise RegionError(begin, f"{BEGIN} has no {END} after it.")
    return regions


def strip_solutions(source: str) -> str:
    """The cell as students get it: each region replaced by the stub, at the indentation of its first marker.

    Equal to nbgrader's ClearSolutions with our stub, so that `nbgrader generate_assignment` agrees.
    """
    lines = source.split("\n")
    for region in reversed(find_regions(source)):
        indent = re.match(r"\s*", lines[region.begin])
        prefix = indent.group() if indent else ""
        lines[region.begin : region.end + 1] = [prefix + line for line in STUB]
    return "\n".join(lines)


def kept_offsets(source: str) -> list[int]:
    """For each line of `strip_solutions(source)` the line of `source` it comes from (a stub: its marker)."""
    offsets = list(range(len(source.split("\n"))))
    for region in reversed(find_regions(source)):
        offsets[region.begin : region.end + 1] = [region.begin] * len(STUB)
    return offsets

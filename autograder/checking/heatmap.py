"""The picture of an error: a grid of cells as plain inline SVG.

SVG and not a plotting library: a panel has 100 ms, the picture must be crisp at any size, follow the light or
dark theme around it, and need neither script nor file. Cells of one shade share one path, which keeps 32 x 32
cells at about 15 kB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from autograder.checking.safetext import one_line

ErrorMap = Sequence[Sequence[float | None]]

SHADES = 16
"""Shade 0 is no error and is not painted; shade `SHADES` is the largest error."""
NOISE = 1e-5
MAX_SIDE = 32
_GRID = 224
"""Pixels for the longer side: with labels the picture stays under 290 and fits a phone unscaled."""
_COLOUR = "#e0522d"
_BROKEN = "#8f5bd6"


def shade(value: float, largest: float) -> int:
    """0 for no error, else 1 to `SHADES`, linear in the value.

    An error of 1 % of the largest is still painted; rounding noise (below 1e-5 of the largest) is none.
    """
    return 0 if value <= NOISE * largest else max(1, min(SHADES, round(SHADES * (value / largest))))


def error_map_svg(values: ErrorMap | None, axes: tuple[str, str] | None = None, what: str = "") -> Markup:
    """|got - expected| as an SVG heat map; empty when there is nothing to see.

    `values`: rows of equal length, at most 32 x 32; None, NaN or infinity where the error is not finite.
    `axes`: what the rows and the columns are; an empty name for an axis that does not exist. A side below 32
    is shown with its first and last index; a side of exactly 32 may have been reduced, so that its indices
    would mislead, and is shown without. `what`: what the numbers are, where they are no differences.
    """
    if not values or not values[0] or any(len(row) != len(values[0]) for row in values):
        return Markup()
    rows, columns = len(values), len(values[0])
    if rows > MAX_SIDE or columns > MAX_SIDE:
        return Markup()
    by_shade: dict[int, list[tuple[int, int]]] = {}
    broken: list[tuple[int, int]] = []
    largest, worst = 0.0, (0, 0)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is not None and math.isfinite(value) and abs(value) > largest:
                largest, worst = abs(value), (i, j)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is None or not math.isfinite(value):
                broken.append((i, j))
            elif level := shade(abs(value), largest):
                by_shade.setdefault(level, []).append((i, j))
    if not by_shade and not broken:
        return Markup()
    what = one_line(what, 34) or "|got − expected|"
    return _draw(rows, columns, by_shade, broken, largest, worst, axes or ("row", "column"), what)


def _draw(
    rows: int,
    columns: int,
    by_shade: dict[int, list[tuple[int, int]]],
    broken: list[tuple[int, int]],
    largest: float,
    worst: tuple[int, int],
    axes: tuple[str, str],
    what: str,
) -> Markup:
    row_name, column_name = (one_line(name, 34) for name in axes)
    cell = max(7, min(22, _GRID // max(rows, columns)))
    row_label = one_line(row_name, max(6, (cell * rows + 40) // 6))
    left, top, wide, high = 42, 36, cell * columns, cell * rows
    # The legend below needs its room even under a narrow grid.
    width, height = left + max(wide, 190) + 12, top + high + (62 if broken else 46)
    summary = "Heat map of the error over " + " and ".join(name for name in (row_name, column_name) if name)
    if by_shade:
        summary += f": largest {largest:.3g} at [{worst[0]}, {worst[1]}] of the map"
    if broken:
        summary += f"; {len(broken)} not finite"

    parts: list[Markup] = [
        Markup(
            '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" '
            'height="{}" style="display:block;max-width:100%;height:auto;color:inherit" fill="currentColor" '
            'font-family="system-ui,-apple-system,Segoe UI,Roboto,Noto Sans,sans-serif" font-size="11">'
        ).format(summary, width, height, width, height)
    ]
    parts.append(_text(left + wide / 2, 11, column_name, "middle"))
    parts.append(_text(12, top + high / 2, row_label, "middle", rotate=True))
    for index in sorted({0, columns - 1}) if column_name and columns < MAX_SIDE else ():
        parts.append(_text(left + cell * (index + 0.5), 28, str(index), "middle", faint=True))
    for index in sorted({0, rows - 1}) if row_name and rows < MAX_SIDE else ():
        parts.append(_text(left - 6, top + cell * (index + 0.5) + 4, str(index), "end", faint=True))

    parts.append(
        Markup('<g transform="translate({} {}) scale({})" shape-rendering="crispEdges">').format(
            left, top, cell
        )
    )
    parts.append(
        Markup('<rect width="{}" height="{}" fill="#808080" fill-opacity=".1"/>').format(columns, rows)
    )
    for level in sorted(by_shade):
        parts.append(
            Markup('<path class="shade-{}" fill="{}" fill-opacity="{:.3f}" d="{}"/>').format(
                level, _COLOUR, _opacity(level), _squares(by_shade[level])
            )
        )
    if broken:
        parts.append(Markup('<path class="not-finite" fill="{}" d="{}"/>').format(_BROKEN, _squares(broken)))
    parts.append(Markup("</g>"))
    parts.append(
        Markup(
            '<rect x="{}" y="{}" width="{}" height="{}" fill="none" stroke="currentColor" '
            'stroke-opacity=".45"/>'
        ).format(left - 0.5, top - 0.5, wide + 1, high + 1)
    )
    if by_shade:
        parts.append(
            Markup(
                '<rect class="worst" x="{}" y="{}" width="{}" height="{}" fill="none" stroke="currentColor" '
                'stroke-width="1.5"/>'
            ).format(left + cell * worst[1] - 0.5, top + cell * worst[0] - 0.5, cell + 1, cell + 1)
        )
        parts.append(_scale(left, top + high + 14, largest, what))
    if broken:
        parts.append(
            Markup('<rect x="{}" y="{}" width="10" height="10" fill="{}"/>').format(
                left, top + high + (48 if by_shade else 14), _BROKEN
            )
        )
        parts.append(_text(left + 16, top + high + (57 if by_shade else 23), "NaN or infinite"))
    parts.append(Markup("</svg>"))
    return Markup().join(parts)


def _squares(cells: list[tuple[int, int]]) -> str:
    return "".join(f"M{j} {i}h1v1h-1z" for i, j in cells)


def _opacity(level: int) -> float:
    # The faintest error must still stand out from the background.
    return 0.12 + 0.88 * level / SHADES


def _scale(left: float, top: float, largest: float, what: str) -> Markup:
    """The colour bar: 0 at its left end, the largest error at its right."""
    step = 6
    swatches = Markup().join(
        Markup('<rect x="{}" y="{}" width="{}" height="8" fill="{}" fill-opacity="{:.3f}"/>').format(
            left + step * (level - 1), top, step, _COLOUR, _opacity(level)
        )
        for level in range(1, SHADES + 1)
    )
    end = left + step * SHADES
    return Markup().join(
        [
            Markup('<g shape-rendering="crispEdges">{}</g>').format(swatches),
            _text(left, top + 20, "0", faint=True),
            _text(end, top + 20, f"{largest:.3g}", "end", faint=True),
            _text(end + 8, top + 8, what),
        ]
    )


def _text(
    x: float, y: float, text: str, anchor: str = "start", *, rotate: bool = False, faint: bool = False
) -> Markup:
    turn = Markup(' transform="rotate(-90 {:g} {:g})"').format(x, y) if rotate else Markup()
    fade = Markup(' fill-opacity=".75"') if faint else Markup()
    return Markup('<text x="{:g}" y="{:g}" text-anchor="{}"{}{}>{}</text>').format(
        x, y, anchor, turn, fade, escape(text)
    )

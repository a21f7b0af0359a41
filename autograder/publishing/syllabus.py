"""The syllabus: what the course holds, how long it takes, and what builds on what.

`assignments/README.md`, which students see first, and a picture beside it. Both depend on course.yml and on
the records in docs/ alone, so that a page that is out of date can be told.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import groupby

from autograder.course import Assignment, Course

PICTURE = "syllabus.svg"
_WIDTH, _HEIGHT = 2.3, 0.62


def syllabus_page(
    course: Course, figures: Mapping[str, Sequence[str]], audits: Mapping[str, Sequence[str]]
) -> str:
    """The page in Markdown. By slug, in words: `figures`, what the solution reaches on real data; `audits`,
    what the recorded audit found of the suite.
    """
    points = _number(sum(assignment.max_points for assignment in course.published))
    size = f"{len(course.published)} assignments, {points} points{_total_hours(course)}"
    lines = [
        "<!-- Written by `autograder syllabus` from course.yml: change that, not this. -->",
        f"# {course.title}",
        "",
        f"{size}. An arrow says what builds on what.",
        "",
        f"![What builds on what]({PICTURE})",
        "",
    ]
    for part, members in groupby(course.published, key=lambda assignment: assignment.part):
        lines += [f"## {part}", ""] if part else []
        lines += ["| assignment | questions | points | hours | data | audit of the suite | on real data |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            _row(assignment, audits.get(assignment.slug, ()), figures.get(assignment.slug, ()))
            for assignment in members
        ]
        lines += [""]
    return "\n".join(lines)


def _row(assignment: Assignment, audit: Sequence[str], figures: Sequence[str]) -> str:
    cells = [
        f"[{_name(assignment)}]({assignment.slug}/{assignment.notebook}.ipynb)",
        str(len(assignment.questions)),
        _number(assignment.max_points),
        "" if assignment.hours is None else _number(assignment.hours),
        ", ".join(assignment.data),
        "; ".join(audit),
        "; ".join(figures),
    ]
    return f"| {' | '.join(cells)} |"


def _name(assignment: Assignment) -> str:
    """The title, after the number that the slug begins with."""
    number = assignment.slug[:2]
    return f"{number} {assignment.title}" if number.isdigit() else assignment.title


def _total_hours(course: Course) -> str:
    hours = [assignment.hours for assignment in course.published if assignment.hours is not None]
    return f", about {_number(sum(hours))} hours of work" if hours else ""


def _number(value: float) -> str:
    return f"{value:g}"


def syllabus_picture(course: Course) -> bytes:
    """The assignments as boxes, an arrow from each to those that build on it; SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    places = _places(course)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    parts = list(dict.fromkeys(assignment.part for assignment in course.published))
    colours = ("#dbe9f6", "#fde6cf", "#dff0dc", "#eee0f2")
    # The ids in the file come from this salt and not from chance.
    with matplotlib.rc_context({"svg.hashsalt": "syllabus", "svg.fonttype": "path"}):
        figure = Figure(figsize=(min(2.75 * columns, 22), 0.95 * rows + 0.1))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.25, 2.75 * columns - 0.2), ylim=(-0.95 * (rows - 1) - 0.2, 0.85))
        axes.set_axis_off()
        for assignment in course.published:
            x, y = _corner(places[assignment.slug])
            colour = colours[parts.index(assignment.part) % len(colours)]
            axes.add_patch(
                FancyBboxPatch(
                    (x, y), _WIDTH, _HEIGHT, boxstyle="round,pad=0.02,rounding_size=0.08", fc=colour, ec="0.4"
                )
            )
            size = 10 if len(assignment.title) < 22 else 8.5
            middle = (x + _WIDTH / 2, y + _HEIGHT / 2)
            axes.annotate(_name(assignment), middle, ha="center", va="center", fontsize=size)
            for before in (slug for slug in assignment.after if slug in places):  # no drafts
                bx, by = _corner(places[before])
                axes.add_patch(
                    FancyArrowPatch(
                        (bx + _WIDTH + 0.02, by + _HEIGHT / 2), (x - 0.02, y + _HEIGHT / 2),
                        arrowstyle="-|>", mutation_scale=12, color="0.35",
                    )
                )  # fmt: skip
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _places(course: Course) -> dict[str, tuple[int, int]]:
    """(column, row) of each assignment: one column to the right of all that it comes after."""
    places: dict[str, tuple[int, int]] = {}
    taken: dict[int, int] = {}
    for assignment in course.published:
        column = max((places[before][0] + 1 for before in assignment.after if before in places), default=0)
        row = taken.get(column, 0)
        taken[column] = row + 1
        places[assignment.slug] = (column, row)
    return places


def _corner(place: tuple[int, int]) -> tuple[float, float]:
    return 2.75 * place[0], -0.95 * place[1]

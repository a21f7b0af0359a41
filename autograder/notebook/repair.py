"""Which cell of a submission is which of the release, and the submission in the release's frame."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autograder.notebook.cells import Cell
from autograder.notebook.rawnotebook import RawCell

# By the text alone: a submission is never compiled here.
_DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+([^\W\d]\w*)", re.MULTILINE)
_CHECK = re.compile(r"""^check\([ \t]*(["'])(\w+)\1[ \t]*\)[ \t]*;?[ \t]*(?:#.*)?$""")
_TAG_BEGINS = re.compile(r"<(?=[A-Za-z/!?])")
_CONFLICT_BEGINS = re.compile(r"^<{7}(?: |$)", re.MULTILINE)
_CONFLICT_ENDS = re.compile(r"^>{7}(?: |$)", re.MULTILINE)


def definitions(source: str) -> frozenset[str]:
    """The functions and classes that a cell defines at its top level, as far as its text tells."""
    return frozenset(_DEFINITION.findall(source))


def checked_questions(source: str) -> list[str] | None:
    """The questions that a cell checks if it does nothing but call `check("...")`; None for another cell."""
    lines = [line.strip() for line in source.splitlines()]
    calls = [_CHECK.match(line) for line in lines if line and not line.startswith("#")]
    if not calls or not all(calls):
        return None
    return [call[2] for call in calls if call]


def same_text(one: str, other: str) -> bool:
    """Whether two sources differ in nothing but white space at the ends of lines and of the cell."""
    return _normal(one) == _normal(other)


def _normal(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def match_cells(submitted: Sequence[RawCell], release: Sequence[Cell]) -> list[int | None]:
    """For each submitted cell the position of the release's cell that it is; None for a student's own cell.

    By grade id first; where metadata is lost, by identical text, by `check("name")`, by the names defined.
    """
    by_id = {cell.grade_id: place for place, cell in enumerate(release) if cell.grade_id is not None}
    matched: list[int | None] = [by_id.get(str(cell.nbgrader.get("grade_id"))) for cell in submitted]
    taken = {place for place in matched if place is not None}

    def assign(position: int, place: int) -> None:
        matched[position] = place
        taken.add(place)

    by_text: dict[str, list[int]] = defaultdict(list)
    for place, cell in enumerate(release):
        if place not in taken and cell.source.strip():
            by_text[_normal(cell.source)].append(place)
    for position, raw in enumerate(submitted):
        places = by_text.get(_normal(raw.source)) if matched[position] is None else None
        if places:
            assign(position, places.pop(0))
    for position, raw in enumerate(submitted):
        if matched[position] is None and raw.kind == "code":
            questions = checked_questions(raw.source) or []
            grade_cell = by_id.get(f"test_{questions[0]}") if len(questions) == 1 else None
            if grade_cell is not None and grade_cell not in taken:
                assign(position, grade_cell)
    answers = [
        (place, definitions(cell.source)) for place, cell in enumerate(release) if cell.question is not None
    ]
    for position, raw in enumerate(submitted):
        if matched[position] is None and raw.kind == "code":
            names = definitions(raw.source)
            answer = next((p for p, wanted in answers if p not in taken and names & wanted), None)
            if answer is not None:
                assign(position, answer)
    return matched


def join_halves(submitted: Sequence[RawCell], repairs: list[str]) -> None:
    """Put a function that was split in the middle together again; its second half becomes an empty cell.

    A cell that is indented and returns from a function cannot run by itself, whatever it is.
    """
    for position in range(1, len(submitted)):
        first, second = submitted[position - 1], submitted[position]
        if (
            first.kind == second.kind == "code"
            and _is_second_half(second.source)
            and _ends_inside(first.source)
        ):
            first.source = f"{first.source.rstrip()}\n{second.source.rstrip()}"
            second.source = ""
            second.nbgrader = {}
            repairs.append(
                f"Cell {position + 1} is the second half of cell {position}: they were put together."
            )


def _is_second_half(source: str) -> bool:
    lines = _code_lines(source)
    indent = _indent(lines[0]) if lines else ""
    return bool(indent) and any(re.match(rf"{indent}return\b", line) for line in lines)


def _ends_inside(source: str) -> bool:
    lines = _code_lines(source)
    return bool(lines) and bool(_indent(lines[-1]) or lines[-1].rstrip().endswith(":"))


def _code_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def adds_code(raw: RawCell, locked_source: str) -> bool:
    """Whether a student put code into a locked cell. It is not lost: it becomes a cell of its own."""
    if raw.kind != "code" or same_text(raw.source, locked_source):
        return False
    return bool(raw.source.strip()) and checked_questions(raw.source) is None


def conflict_line(source: str) -> int | None:
    """The line, from 1, of the first mark of a merge conflict, or None."""
    begins = _CONFLICT_BEGINS.search(source)
    if begins is None or _CONFLICT_ENDS.search(source, begins.end()) is None:
        return None
    return source.count("\n", 0, begins.start()) + 1


def findings(
    submitted: Sequence[RawCell],
    matched: Sequence[int | None],
    release: Sequence[Cell],
    points: Mapping[str, float],
) -> Iterator[str]:
    """A sentence for everything in the submission that is not as the release made it."""
    positions: dict[int, list[int]] = defaultdict(list)
    for position, place in enumerate(matched):
        if place is not None:
            positions[place].append(position)
    yield from _lost_metadata(submitted, matched, release)
    everything = {name for raw in submitted if raw.kind == "code" for name in definitions(raw.source)}
    texts = 0
    for place, cell in enumerate(release):
        found = positions.get(place, [])
        if cell.grade_id is not None and cell.kind == "markdown":
            texts += not found or not same_text(submitted[found[-1]].source, cell.source)
            for position in found:
                if submitted[position].kind == "code":
                    yield _other_kind(position, submitted[position], cell)
            continue
        for position in found:
            yield from _changes(position, submitted[position], cell, points)
        yield from _answered_elsewhere(found, submitted, cell)
        if cell.grade_id is not None and not found:
            yield _missing(cell, everything)
        elif cell.grade_id is not None and len(found) > 1:
            where = " and ".join(str(position + 1) for position in found)
            which = "it counts once" if cell.checks is not None else "all of them run, in order"
            yield f"{_what(cell)} is there {_times(len(found))} (cells {where}): {which}."
    if texts:
        yield f"Texts of the assignment were changed or deleted ({texts}); the graded copy has them back."
    for position, raw in enumerate(submitted):
        line = conflict_line(raw.source) if raw.kind == "code" else None
        if line is not None:
            name = cell_name(position, _question(matched[position], release))
            yield f"Line {line} of {name} holds the marks of a merge conflict: the cell cannot run like that."


def _lost_metadata(
    submitted: Sequence[RawCell], matched: Sequence[int | None], release: Sequence[Cell]
) -> Iterator[str]:
    lost = 0
    for position, (raw, place) in enumerate(zip(submitted, matched, strict=True)):
        given = raw.nbgrader.get("grade_id")
        known = release[place].grade_id if place is not None else None
        if given is None and known is not None:
            lost += 1
        elif given is not None and given != known:
            name = cell_name(position, None)
            meant = f"it was taken for {known}" if known is not None else "the cell is the student's own"
            yield f"The grade id {_shown(given)} of {name} is not one of the assignment's: {meant}."
    if lost:
        cells = "1 cell; it was" if lost == 1 else f"{lost} cells; they were"
        yield f"nbgrader's metadata was missing in {cells} recognised by the text."


def _missing(cell: Cell, everything: set[str]) -> str:
    if cell.question is None:
        return f"{_what(cell)} was deleted; it was put back."
    if definitions(cell.source) & everything:
        return f"{_what(cell)} was deleted, but what it defines stands in another cell, which counts."
    return f"{_what(cell)} was deleted; it was put back without an answer."


def _answered_elsewhere(found: Sequence[int], submitted: Sequence[RawCell], cell: Cell) -> Iterator[str]:
    if cell.question is None or not found:
        return
    answered = [submitted[position].source for position in found]
    stub = is_left_stub(answered[-1], cell, submitted)
    missing = definitions(cell.source).difference(*([] if stub else map(definitions, answered)))
    for name in sorted(missing):
        other = next((n for n, raw in enumerate(submitted) if n not in found and defines(raw, name)), None)
        if other is not None:
            own = "still holds the stub" if stub else "does not define it"
            place = cell_name(other, None)
            yield f"The answer to {name} stands in {place}, which counts; its own cell {own}."


def is_left_stub(source: str, cell: Cell, submitted: Sequence[RawCell]) -> bool:
    """Whether a solution cell stands as the release left it while another cell holds its answer: to run it
    would hide that answer.
    """
    return same_text(source, cell.source) and any(
        not same_text(raw.source, cell.source) and defines(raw, name)
        for raw in submitted
        for name in definitions(cell.source)
    )


def defines(raw: RawCell, name: str) -> bool:
    """Whether a cell is code that defines `name` at its top level."""
    return raw.kind == "code" and name in definitions(raw.source)


def _changes(position: int, raw: RawCell, cell: Cell, points: Mapping[str, float]) -> Iterator[str]:
    name = cell_name(position, _name_of_question(cell))
    if raw.kind != cell.kind:
        yield _other_kind(position, raw, cell)
    if cell.grade_id is None:
        return
    if cell.question is None and not same_text(raw.source, cell.source):
        own = (
            " What was there runs too, as a cell of the student's own." if adds_code(raw, cell.source) else ""
        )
        yield f"{_what(cell)} was changed; the original counts.{own}"
    given = raw.nbgrader.get("points")
    expected = points.get(cell.grade_id)
    if given is not None and expected is not None and not _is_number(given, expected):
        yield f"The points of {name} had been changed to {_shown(given)}; the course's {expected:g} count."


def _other_kind(position: int, raw: RawCell, cell: Cell) -> str:
    name = cell_name(position, _name_of_question(cell))
    return f"The type of {name} was {raw.kind}; it was read as {cell.kind}."


@dataclass(frozen=True)
class PlacedCell:
    """A cell of the graded copy."""

    node: dict[str, Any]
    """As nbformat 4.5 has it."""
    position: int | None
    """Which cell of the submission it is; None for one that was put back."""
    place: int | None
    """Which cell of the release it is; None for a student's own cell."""


def place_cells(
    submitted: Sequence[RawCell], matched: Sequence[int | None], release: Sequence[Mapping[str, Any]]
) -> list[PlacedCell]:
    """The submission in the release's frame: its metadata and locked cells, the student's answers.

    As nbgrader does: locked cells get their original text, of a cell that is there twice the last one keeps
    its grade id, and a deleted cell comes back behind its predecessor.
    """
    last = {place: position for position, place in enumerate(matched) if place is not None}
    cells: list[PlacedCell] = []
    for position, (raw, place) in enumerate(zip(submitted, matched, strict=True)):
        if place is None or last[place] != position:
            cells.append(PlacedCell(own_cell(raw), position, None))
            continue
        node = copy.deepcopy(dict(release[place]))
        kept: int | None = position
        if not is_locked(node):
            node["source"] = raw.source if node["cell_type"] == "code" else without_tags(raw.source)
        elif not same_text(raw.source, node["source"]):
            kept = None
            if adds_code(raw, node["source"]):
                cells.append(PlacedCell(own_cell(RawCell("code", raw.source)), position, None))
        if node["cell_type"] == "code":
            node |= {"outputs": raw.outputs, "execution_count": raw.execution_count}
        elif raw.attachments:
            node["attachments"] = raw.attachments
        cells.append(PlacedCell(node, kept, place))
    _put_back(cells, release)
    _number(cells)
    return cells


def _put_back(cells: list[PlacedCell], release: Sequence[Mapping[str, Any]]) -> None:
    there = {cell.place for cell in cells}
    for place, node in enumerate(release):
        if place in there or "grade_id" not in node["metadata"].get("nbgrader", {}):
            continue
        before = [index for index, cell in enumerate(cells) if cell.place is not None and cell.place < place]
        cells.insert(max(before, default=-1) + 1, PlacedCell(copy.deepcopy(dict(node)), None, place))


def own_cell(raw: RawCell) -> dict[str, Any]:
    """A student's own cell, without a place in the release."""
    source = raw.source if raw.kind == "code" else without_tags(raw.source)
    cell: dict[str, Any] = {"id": raw.id, "cell_type": raw.kind, "metadata": {}, "source": source}
    if raw.tags:
        cell["metadata"]["tags"] = list(raw.tags)
    if raw.kind == "code":
        cell |= {"execution_count": raw.execution_count, "outputs": raw.outputs}
    elif raw.attachments:
        cell["attachments"] = raw.attachments
    return cell


def without_tags(text: str) -> str:
    """A text in which nothing is an HTML tag any more: `<b>` becomes `< b>`.

    nbconvert puts the HTML in a markdown cell into a page as it is, in formgrader and in feedback alike. A
    space behind the bracket ends that, and changes neither a formula ($a < b$) nor a quotation (> ...).
    """
    return _TAG_BEGINS.sub("< ", text)


def is_locked(cell: Mapping[str, Any]) -> bool:
    """nbgrader's rule: grade cells and read-only cells are locked, solution cells never."""
    nbgrader = cell["metadata"].get("nbgrader", {})
    return not nbgrader.get("solution") and bool(nbgrader.get("grade") or nbgrader.get("locked"))


def cell_name(position: int, question: str | None) -> str:
    """What a cell is called in messages: `cell 7`, `cell 7 (conv_forward)`; counted from 1."""
    return f"cell {position + 1} ({question})" if question else f"cell {position + 1}"


def _number(cells: list[PlacedCell]) -> None:
    """Give each cell an id of its own, the same in every run."""
    used: set[str] = set()
    for index, cell in enumerate(cells):
        if not cell.node.get("id") or cell.node["id"] in used:
            names = (f"cell-{number}" for number in itertools.count(index))
            cell.node["id"] = next(name for name in names if name not in used)
        used.add(cell.node["id"])


def _what(cell: Cell) -> str:
    if cell.question is not None:
        return f"The solution cell {cell.grade_id}"
    if cell.checks is not None:
        return f"The check cell of {cell.checks}"
    return f"The given cell that begins with {_shown(cell.source.strip().partition(chr(10))[0])}"


def _question(place: int | None, release: Sequence[Cell]) -> str | None:
    return None if place is None else _name_of_question(release[place])


def _name_of_question(cell: Cell) -> str | None:
    return cell.question or cell.checks


def _is_number(given: object, expected: float) -> bool:
    return isinstance(given, int | float) and math.isclose(given, expected)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


def _shown(value: object) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return repr(text[:60]) if isinstance(value, str) else text[:60]

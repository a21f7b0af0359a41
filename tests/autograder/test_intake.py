"""Submitted notebooks are mended where that is safe, refused in plain words where not, and never run here."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from gradebook_course import ANSWERS, prepare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.course import Assignment, Limits, load_course
from autograder.notebook import rawnotebook
from autograder.notebook.intake import (
    Intake,
    IntakeError,
    Release,
    ReleaseError,
    name_of,
    read_release,
    read_submission,
)

Document = dict[str, Any]
CELLS = [
    "text",
    "imports",
    "relu_forward",
    "test_relu_forward",
    "softmax_text",
    "softmax",
    "test_softmax",
    "show",
    "timing",
]
"""What the cells of the release are, in its order."""


@pytest.fixture
def assignment(tiny_course: Path) -> Assignment:
    prepare(tiny_course)
    return load_course(tiny_course).assignment("tiny")


@pytest.fixture
def release(assignment: Assignment) -> Release:
    return read_release(assignment.release_notebook)


@pytest.fixture
def solved(assignment: Assignment) -> Document:
    """A student's notebook with both answers."""
    document: Document = json.loads(assignment.release_notebook.read_bytes())
    for name, cell in zip(CELLS, document["cells"], strict=True):
        cell["source"] = "".join(cell["source"])
        cell["source"] = ANSWERS.get(name, cell["source"])
    return document


def cell(document: Document, name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["cells"][CELLS.index(name)]
    return found


def cells_of(intake: Intake) -> Any:
    """The cells of the graded copy, with their entries as attributes."""
    return nbformat.from_dict(intake.notebook).cells


def read(document: Document | bytes, release: Release, **limits: int) -> Intake:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_submission(raw, release, Limits(**limits))


def ran(intake: Intake) -> list[str]:
    """The first words of each cell that the worker would run."""
    return [one.source.strip().splitlines()[0][:20] if one.source.strip() else "" for one in intake.runnable]


LOADED = ["import numpy as np", "def relu_forward(x):", "def softmax(scores):"]


def test_a_sound_submission_needs_no_repair(solved: Document, release: Release) -> None:
    raw = json.dumps(solved).encode()
    intake = read(raw, release)
    assert intake.repairs == []
    assert ran(intake) == LOADED
    assert [one.question for one in intake.runnable] == [None, "relu_forward", "softmax"]
    assert [one.show for one in intake.cells] == [False, False, False, True, False, False, True, True, True]
    assert intake.sha256 == hashlib.sha256(raw).hexdigest()
    assert intake.unanswered == ()
    assert [name_of(one) for one in intake.runnable] == [
        "cell 2",
        "cell 3 (relu_forward)",
        "cell 6 (softmax)",
    ]
    nbformat.validate(intake.notebook)
    assert intake.notebook == nbformat.from_dict(solved)


def test_the_untouched_release_answers_nothing(assignment: Assignment, release: Release) -> None:
    intake = read(assignment.release_notebook.read_bytes(), release)
    assert intake.unanswered == ("relu_forward", "softmax")
    assert intake.repairs == []


# The file


def test_a_byte_order_mark(solved: Document, release: Release) -> None:
    for raw, words in (
        (b"\xef\xbb\xbf" + json.dumps(solved).encode(), "byte order mark"),
        (json.dumps(solved).encode("utf-16"), "UTF-16"),
    ):
        intake = read(raw, release)
        assert ran(intake) == LOADED
        assert len(intake.repairs) == 1
        assert words in intake.repairs[0]


def test_windows_line_ends(solved: Document, release: Release) -> None:
    for one in solved["cells"]:
        one["source"] = one["source"].replace("\n", "\r\n")
    intake = read(json.dumps(solved, indent=1).replace("\n", "\r\n").encode(), release)
    assert intake.repairs == ["Windows line ends were changed to plain ones."]
    assert intake.cells[2].source == ANSWERS["relu_forward"]
    assert ran(intake) == LOADED


def test_characters_that_are_none(solved: Document, release: Release) -> None:
    cell(solved, "softmax")["source"] += "\nname = '\ud800'"
    raw = json.dumps(solved).encode()
    assert read(raw, release).repairs == ["Characters that are no valid Unicode became '\ufffd'."]
    latin = json.dumps(solved, ensure_ascii=False).replace("\ud800", "é").encode("latin-1")
    assert read(latin, release).repairs == [
        "The file is not UTF-8 throughout; the characters that could not be read became '\ufffd'."
    ]


def test_every_cut_is_called_a_cut(solved: Document, release: Release) -> None:
    cell(solved, "softmax")["source"] += " # Größe\n"
    raw = json.dumps(solved, indent=1).encode()
    for length in range(1, len(raw) - 1):
        with pytest.raises(IntakeError, match="The file is cut off: it ends in line"):
            read(raw[:length], release)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "The file is empty"),
        (b" \n\0\0", "The file is empty"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"import numpy as np\n", "it is not JSON"),
        (b"[1, 2]", "it is not an object with cells"),
        (b'"text"', "it is not an object with cells"),
        (b"{}", "it has no cells"),
        (b'{"cells": {"a": 1}}', "it has no cells"),
        (b'{"cells": [], "nbformat": 5}', "has format 5"),
        (b'{"cells": [1, 2,, 3]}', "line 1 is no valid JSON"),
        (b'{"cells": [' + b"1" * 5000 + b"]}", "a number that is too long"),
        (b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"cells": [' + b"[]," * 2_000_001 + b"[]]}", "more than 2000000 lists"),
        (b'{\n<<<<<<< HEAD\n"cells": [],\n=======\n"cells": [1],\n>>>>>>> x\n}', "merge conflict in line 2"),
    ],
)
def test_what_is_no_notebook_is_refused_in_plain_words(raw: bytes, words: str, release: Release) -> None:
    with pytest.raises(IntakeError, match=words) as caught:
        read(raw, release)
    assert "\n" not in str(caught.value)


def test_limits(solved: Document, release: Release) -> None:
    with pytest.raises(IntakeError, match="more than 1 MB"):
        read(b" " * ((1 << 20) + 1), release, notebook_mb=1)
    solved["cells"] += [copy.deepcopy(solved["cells"][0]) for _ in range(rawnotebook.MAX_CELLS)]
    with pytest.raises(IntakeError, match="has 2009 cells; at most 2000 are read"):
        read(solved, release)
    del solved["cells"][9:]
    cell(solved, "imports")["source"] = "#" * (rawnotebook.MAX_SOURCE + 1)
    with pytest.raises(IntakeError, match="Cell 2 has more than 1000000 characters"):
        read(solved, release)


def test_control_characters_in_the_json(solved: Document, release: Release) -> None:
    raw = json.dumps(solved).replace("\\n", "\n").encode()
    intake = read(raw, release)
    assert intake.repairs == ["The file held control characters that JSON does not allow; they were kept."]
    assert ran(intake) == LOADED


# Formats


def test_format_3(solved: Document, release: Release) -> None:
    cells = [{"cell_type": "heading", "level": 2, "metadata": {}, "source": ["A heading"]}]
    for one in solved["cells"]:
        old = {"cell_type": one["cell_type"], "metadata": one["metadata"]}
        if one["cell_type"] == "code":
            old |= {"input": one["source"].splitlines(keepends=True), "outputs": [], "language": "python"}
        else:
            old |= {"source": one["source"]}
        cells.append(old)
    document = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    intake = read(document, release)
    assert intake.repairs == ["The notebook has the old format 3; it was converted, without its outputs."]
    assert ran(intake) == LOADED
    assert intake.cells[0].source == "## A heading"


@pytest.mark.parametrize("minor", range(6))
def test_format_4_of_any_minor(solved: Document, release: Release, minor: int) -> None:
    solved["nbformat_minor"] = minor
    for one in solved["cells"]:
        if minor < 5:
            del one["id"]
        one["source"] = one["source"].splitlines(keepends=True)
    intake = read(solved, release)
    assert intake.repairs == []
    assert ran(intake) == LOADED
    ids = [one.id for one in cells_of(intake)]
    assert len(set(ids)) == len(ids)
    assert ids == [one.id for one in cells_of(read(solved, release))]


def test_missing_parts(solved: Document, release: Release) -> None:
    del solved["nbformat"], solved["metadata"]
    for one in solved["cells"]:
        one.pop("outputs", None)
        one.pop("execution_count", None)
    cell(solved, "timing").pop("source")
    solved["cells"] += ["no cell", {"cell_type": "code", "source": "x = 1", "id": solved["cells"][0]["id"]}]
    intake = read(solved, release)
    assert intake.repairs == [
        "The notebook did not say its format; it was read as format 4.",
        "Cell 10 could not be read and was left empty.",
        "Cell 9 had no text in the file and was taken as empty.",
        "Cell 11 had no metadata.",
    ]
    assert ran(intake) == [*LOADED, "x = 1"]
    nbformat.validate(intake.notebook)


# Against the release


def test_lost_metadata_is_found_again_by_the_text(solved: Document, release: Release) -> None:
    for one in solved["cells"]:
        one["metadata"] = {}
    intake = read(solved, release)
    assert intake.repairs == ["nbgrader's metadata was missing in 7 cells; they were recognised by the text."]
    assert ran(intake) == LOADED
    assert [one.grade_id for one in intake.cells][2:7:3] == ["relu_forward", "softmax"]
    assert [one.metadata for one in cells_of(intake)] == [node["metadata"] for node in release.nodes]


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_a_solution_cell_of_another_type_is_code(solved: Document, release: Release, kind: str) -> None:
    cell(solved, "softmax")["cell_type"] = kind
    intake = read(solved, release)
    assert intake.repairs == [f"The type of cell 6 (softmax) was {kind}; it was read as code."]
    assert ran(intake) == LOADED
    assert cells_of(intake)[5].cell_type == "code"
    nbformat.validate(intake.notebook)


def test_a_given_cell_of_another_type_is_what_it_was(solved: Document, release: Release) -> None:
    cell(solved, "imports")["cell_type"] = "raw"
    assert ran(read(solved, release)) == LOADED


def test_a_duplicated_solution_runs_twice_in_order(solved: Document, release: Release) -> None:
    second = copy.deepcopy(cell(solved, "relu_forward"))
    second["source"] = "def relu_forward(x):\n    return x * (x > 0), x"
    solved["cells"].insert(5, second)
    intake = read(solved, release)
    assert intake.repairs == [
        "The solution cell relu_forward is there twice (cells 3 and 6): all of them run, in order."
    ]
    assert [one.source for one in intake.runnable if one.question == "relu_forward"] == [
        ANSWERS["relu_forward"],
        second["source"],
    ]
    graded = [
        one for one in cells_of(intake) if one.metadata.get("nbgrader", {}).get("grade_id") == "relu_forward"
    ]
    assert [one.source for one in graded] == [second["source"]], "as in nbgrader the last one keeps the id"
    nbformat.validate(intake.notebook)


def test_a_duplicated_check_counts_once(solved: Document, release: Release) -> None:
    solved["cells"].append(copy.deepcopy(cell(solved, "test_softmax")))
    intake = read(solved, release)
    assert intake.repairs == ["The check cell of softmax is there twice (cells 7 and 10): it counts once."]
    assert ran(intake) == LOADED


def test_deleted_cells_come_back(solved: Document, release: Release) -> None:
    kept = ["relu_forward", "softmax_text", "show"]
    solved["cells"] = [cell(solved, name) for name in kept]
    intake = read(solved, release)
    assert intake.repairs == [
        "The given cell that begins with 'import numpy as np' was deleted; it was put back.",
        "The check cell of relu_forward was deleted; it was put back.",
        "The solution cell softmax was deleted; it was put back without an answer.",
        "The check cell of softmax was deleted; it was put back.",
        "Texts of the assignment were changed or deleted (1); the graded copy has them back.",
    ]
    assert ran(intake) == LOADED[:2], "the imports run, before what needs them; the stub does not"
    assert name_of(intake.runnable[0]) == "a cell of the assignment that was put back"
    assert name_of(intake.runnable[1]) == "cell 1 (relu_forward)"
    graded = [one.metadata.nbgrader.grade_id for one in cells_of(intake) if "nbgrader" in one.metadata]
    assert graded == [
        node["metadata"]["nbgrader"]["grade_id"] for node in release.nodes if "nbgrader" in node["metadata"]
    ]
    assert intake.unanswered == ("softmax",)


def test_an_empty_notebook_gets_everything_back(release: Release) -> None:
    intake = read({"cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}, release)
    assert [one.source for one in cells_of(intake)] == [node["source"] for node in release.nodes[:7]]
    assert ran(intake) == LOADED[:1]
    assert intake.unanswered == ("relu_forward", "softmax")


def test_two_answers_in_one_cell(solved: Document, release: Release) -> None:
    cell(solved, "relu_forward")["source"] += "\n\n" + ANSWERS["softmax"]
    solved["cells"].remove(cell(solved, "softmax"))
    intake = read(solved, release)
    assert intake.repairs == [
        "The solution cell softmax was deleted, but what it defines stands in another cell, which counts."
    ]
    assert ran(intake) == LOADED[:2]


def test_a_renamed_grade_id(solved: Document, release: Release) -> None:
    cell(solved, "softmax")["metadata"]["nbgrader"]["grade_id"] = "mine"
    solved["cells"].append(
        {"cell_type": "code", "source": "y = 2", "metadata": {"nbgrader": {"grade_id": "<b>\n"}}}
    )
    intake = read(solved, release)
    assert intake.repairs == [
        "The grade id 'mine' of cell 6 is not one of the assignment's: it was taken for softmax.",
        "The grade id '<b>?' of cell 10 is not one of the assignment's: the cell is the student's own.",
    ]
    assert ran(intake) == [*LOADED, "y = 2"]


def test_points_are_the_courses(solved: Document, release: Release) -> None:
    cell(solved, "test_softmax")["metadata"]["nbgrader"]["points"] = 1000
    intake = read(solved, release)
    assert intake.repairs == [
        "The points of cell 7 (softmax) had been changed to 1000; the course's 3 count."
    ]
    assert cells_of(intake)[6].metadata.nbgrader.points == 3


def test_a_check_cell_that_was_changed(solved: Document, release: Release) -> None:
    cell(solved, "test_softmax")["source"] = "# looks good\ncheck('softmax')  # yes"
    cell(solved, "test_relu_forward")["source"] = 'helper = 3\ncheck("relu_forward")'
    intake = read(solved, release)
    assert intake.repairs == [
        "The check cell of relu_forward was changed; the original counts. "
        "What was there runs too, as a cell of the student's own.",
        "The check cell of softmax was changed; the original counts.",
    ]
    assert ran(intake) == [*LOADED[:2], "helper = 3", LOADED[2]]
    sources = [one.source for one in cells_of(intake)]
    assert sources[3:5] == ['helper = 3\ncheck("relu_forward")', 'check("relu_forward")']
    nbformat.validate(intake.notebook)


def test_a_given_cell_that_was_changed_counts_as_it_was(solved: Document, release: Release) -> None:
    cell(solved, "imports")["source"] = "import numpy as np\nimport math"
    cell(solved, "text")["source"] = "My title"
    intake = read(solved, release)
    assert ran(intake) == ["import numpy as np", *LOADED]
    assert intake.runnable[0].source.endswith("import math")
    assert intake.runnable[1].source == release.cells[1].source
    assert cells_of(intake)[0].source == release.cells[0].source


def test_show_cells_are_left_out_however_they_are_recognised(solved: Document, release: Release) -> None:
    cell(solved, "show")["metadata"] = {}  # by its text
    cell(solved, "timing")["source"] += "\nprint('changed')"  # by its tag
    solved["cells"].append({"cell_type": "code", "source": "check('softmax')", "metadata": {}})
    assert ran(read(solved, release)) == LOADED


def test_a_tag_never_hides_an_answer(solved: Document, release: Release) -> None:
    cell(solved, "softmax")["metadata"] = {"tags": ["show"]}
    assert ran(read(solved, release)) == LOADED
    cell(solved, "relu_forward")["metadata"]["tags"] = ["show"]
    assert ran(read(solved, release)) == LOADED
    own = {"cell_type": "code", "metadata": {"tags": ["show"]}, "source": ANSWERS["softmax"]}
    solved["cells"].append(own)
    assert ran(read(solved, release)) == [*LOADED, LOADED[2]]


def test_marks_of_a_merge_conflict_are_pointed_at(solved: Document, release: Release) -> None:
    cell(solved, "softmax")["source"] = (
        "def softmax(s):\n<<<<<<< HEAD\n    return 1\n=======\n    return 2\n>>>>>>> x"
    )
    assert read(solved, release).repairs == [
        "Line 2 of cell 6 (softmax) holds the marks of a merge conflict: the cell cannot run like that."
    ]


def test_another_assignments_notebook_is_said(release: Release) -> None:
    document = {"cells": [{"cell_type": "code", "source": "x = 1", "metadata": {}}], "nbformat": 4}
    assert read(document, release).repairs[0].startswith("No cell of the assignment was recognised")


# What a submission brings along


def test_outputs_are_kept_as_text_and_pictures_and_bounded(solved: Document, release: Release) -> None:
    picture = "iVBORw0KGgo="
    cell(solved, "relu_forward")["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
        {"output_type": "stream", "name": "stdout", "text": "x" * 100_000},
        {
            "output_type": "display_data",
            "metadata": {"deep": {}},
            "data": {"image/png": picture + "\n", "text/html": "<b>"},
        },
        {
            "output_type": "display_data",
            "data": {"image/png": '"><script>', "text/html": "<b>", "image/svg+xml": "<svg>"},
        },
        {"output_type": "error", "ename": "E", "evalue": "e", "traceback": ["one", 2, "two"]},
        {"output_type": "execute_result", "data": {"text/plain": "42"}, "execution_count": 7},
        {"output_type": "unknown"},
        "nothing",
    ]
    cell(solved, "timing")["outputs"] = [{"output_type": "stream", "text": "y" * 19_000}] * 1000
    intake = read(solved, release)
    stream, long_stream, shown, error, value = cells_of(intake)[2].outputs
    assert stream.text == "a\nb"
    assert len(long_stream.text) < rawnotebook.MAX_TEXT_OUTPUT + 100
    assert shown.data == {"image/png": picture}
    assert error.traceback == ["one", "two"]
    assert value.data == {"text/plain": "42"}
    assert len(cells_of(intake)[8].outputs) == rawnotebook.MAX_OUTPUTS
    nbformat.validate(intake.notebook)


def test_nothing_of_a_submission_is_compiled_here(
    solved: Document, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(solved, "softmax")["source"] = "def softmax(s):\n    return (" + "(" * 100_000
    cell(solved, "relu_forward")["source"] = "\0"

    compiled: list[object] = []
    really_compile = compile

    def watched(source: Any, *args: Any, **named: Any) -> Any:
        compiled.append(source)
        return really_compile(source, *args, **named)

    with monkeypatch.context() as patched:
        patched.setattr("builtins.compile", watched)
        count = len(read(solved, release).runnable)
    assert count == 3
    assert compiled, "the release's cells are parsed, so the watch works"
    assert set(compiled) <= {one.source for one in release.cells}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)
PLACES = [
    ("cells",), ("cells", 2), ("cells", 2, "source"), ("cells", 2, "metadata"),
    ("cells", 2, "metadata", "nbgrader"), ("cells", 2, "metadata", "nbgrader", "grade_id"),
    ("cells", 6, "metadata", "nbgrader", "points"), ("cells", 5, "outputs"), ("cells", 5, "cell_type"),
    ("cells", 5, "id"), ("cells", 5, "execution_count"), ("cells", 7, "metadata", "tags"),
    ("cells", 0, "attachments"), ("nbformat",), ("metadata",), ("worksheets",),
]  # fmt: skip


@given(place=st.sampled_from(PLACES), value=json_values)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_value_anywhere_is_mended_or_refused(
    solved: Document, release: Release, place: tuple[Any, ...], value: Any
) -> None:
    document = copy.deepcopy(solved)
    target = document
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    try:
        intake = read(document, release)
    except IntakeError:
        return
    nbformat.validate(intake.notebook)
    json.dumps(intake.notebook, ensure_ascii=False).encode()
    grade_ids = [one.metadata.nbgrader.grade_id for one in cells_of(intake) if "nbgrader" in one.metadata]
    assert sorted(grade_ids) == sorted(one.grade_id for one in release.cells if one.grade_id)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_refused_in_plain_words(release: Release, raw: bytes) -> None:
    with pytest.raises(IntakeError):
        read(raw, release)


def test_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"does not exist\. Run `autograder build` first"):
        read_release(tmp_path / "absent.ipynb")
    (tmp_path / "broken.ipynb").write_text('{"cells": [{}]}', encoding="utf-8")
    with pytest.raises(ReleaseError, match="is no valid notebook"):
        read_release(tmp_path / "broken.ipynb")

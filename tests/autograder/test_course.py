"""course.yml: what it gives, and what it says about every mistake at once."""

from __future__ import annotations

import pickle
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from tiny_course import COURSE, write_tiny_course

from autograder.course import CourseError, Limits, load_course

HERE = Path(__file__).parent


def write(folder: Path, text: str) -> Path:
    path = folder / "course.yml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, **options: bool) -> list[tuple[int | None, str, str]]:
    with pytest.raises(CourseError) as caught:
        load_course(write(folder, text), **options)
    return [(each.line, each.what, each.remedy) for each in caught.value.problems]


def test_the_course_of_this_repository_loads_quickly():
    load_course(HERE)  # imports
    start = time.perf_counter()
    course = load_course(HERE)
    assert time.perf_counter() - start < 0.5  # 6 ms here; a slow parser took 50 times as long
    assert course.root == HERE.parents[1]
    assert [each.slug for each in course.assignments][:2] == ["01_linear_regression", "02_knn"]


def test_paths_points_and_defaults(tiny_course):
    course = load_course(tiny_course / "solutions" / "tiny")  # found in a folder above
    tiny = course.assignment("tiny")
    assert (course.name, course.title, course.root) == ("tiny", "A tiny course", tiny_course)
    assert tiny.notebook == "tiny"
    assert tiny.max_points == 5
    assert tiny.question("softmax").points == 3
    assert tiny.source == tiny_course / "solutions/tiny/tiny.py"
    assert tiny.solution_notebook == tiny_course / "solutions/tiny/tiny.ipynb"
    assert tiny.mistakes == tiny_course / "solutions/tiny/mistakes.py"
    assert [path.name for path in tiny.variants] == ["loops.py", "other_way.py"]
    assert tiny.tests == tiny_course / "tests/tiny"
    assert tiny.release_notebook == tiny_course / "assignments/tiny/tiny.ipynb"
    assert tiny.forbid == ("torch", "scipy")
    assert (tiny.due, tiny.torch, tiny.data) == (None, False, ())
    assert tiny.limits == Limits() == course.limits
    assert pickle.loads(pickle.dumps(course)).assignment("tiny").source == tiny.source


def test_the_number_is_no_part_of_the_notebooks_name(tmp_path):
    text = COURSE.replace("slug: tiny", "slug: 03_two-things")
    assert load_course(write(tmp_path, text)).assignments[0].notebook == "two-things"


def test_limits_of_an_assignment_lie_over_those_of_the_course(tmp_path):
    text = COURSE.replace("assignments:", "limits: {call_seconds: 5, memory_mb: 512}\nassignments:")
    text = text.replace("    title: Two", "    limits: {call_seconds: 20.5}\n    title: Two")
    course = load_course(write(tmp_path, text))
    limits = course.assignment("tiny").limits
    assert (limits.call_seconds, limits.memory_mb, limits.processes) == (20.5, 512, 32)
    assert course.limits.call_seconds == 5


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("2026-10-30", date(2026, 10, 30)),
        ("2026-10-30 18:00", datetime(2026, 10, 30, 18)),
        ("2026-10-30T18:00:00+02:00", datetime(2026, 10, 30, 18, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_due_dates(tmp_path, due, expected):
    text = COURSE.replace("    title: Two", f"    due: {due}\n    title: Two")
    value = load_course(write(tmp_path, text)).assignment("tiny").due
    assert value == expected
    assert type(value) is type(expected)


def test_what_an_assignment_comes_after_stands_above_it(tmp_path):
    second = COURSE[COURSE.index("  - slug") :].replace("tiny", "next")
    second = second.replace("    title", "    after: [tiny]\n    hours: 2.5\n    title")
    course = load_course(write(tmp_path, COURSE + second))
    assert (course.assignments[1].after, course.assignments[1].hours) == (("tiny",), 2.5)
    found = problems(tmp_path, COURSE + second.replace("[tiny]", "[tinny, next]"))
    assert [(line, what) for line, what, _ in found] == [
        (11, "No assignment 'tinny' stands above this one."),
        (11, "No assignment 'next' stands above this one."),
    ]
    assert found[0][2] == "Did you mean 'tiny'?"


def test_every_mistake_is_told_at_once_with_line_and_remedy(tmp_path):
    text = """\
name: tiny course
titel: A tiny course
limits: {cell_secnds: 3, memory_mb: 1.5, processes: -1}
assignments:
  - slug: tiny
    title: Two functions
    due: 2026-02-30
    torch: yes
    forbid: torch
    questions:
      - {name: relu, points: 0}
      - {name: relu, points: "2"}
      - {name: test_x, point: 3}
      - softmax
  - slug: TINY
    title: Again
    title: And again
    data: [../secret]
    questions: []
  - slug: ../../etc
    title: 3
    questions: [{name: a b, points: .inf}]
"""
    found = problems(tmp_path, text)
    expected = [
        (1, "'title' is missing", "Add"),
        (1, "'tiny course', not an allowed name", "letters, digits"),
        (2, "Unknown key 'titel' in the course", "Did you mean 'title'?"),
        (3, "Unknown key 'cell_secnds' in `limits`", "Did you mean 'cell_seconds'?"),
        (3, "memory_mb is 1.5, not a whole number", "whole number"),
        (3, "processes is -1, not a number above 0", "above 0"),
        (7, "due is '2026-02-30', which is no date", "2026-10-30 18:00"),
        (8, "torch is 'yes', not true or false", "true or false"),
        (9, "forbid is 'torch', not a list", "as in an import"),
        (11, "points is 0, not a number above 0", "above 0"),
        (12, "points is '2', not a number", "above 0"),
        (12, "The question 'relu' is already used on line 11", "another name"),
        (13, "'test_x' begins with 'test_'", "function or class"),
        (13, "Unknown key 'point' in this question", "Did you mean 'points'?"),
        (13, "'points' is missing in this question", "above 0"),
        (14, "An entry of questions is 'softmax', not a mapping", "mapping"),
        (15, "The slug 'TINY' is already used on line 5", "another name"),
        (17, "The key 'title' stands here a second time (first on line 16)", "Keep one"),
        (18, "An entry of data is '../secret', not an allowed name", "list of names"),
        (19, "There are no questions in this assignment", "at least one"),
        (20, "slug is '../../etc', not an allowed name", "names folders"),
        (21, "title is 3, not a text", "text"),
        (22, "name is 'a b', not an allowed name", "function or class"),
        (22, "points is inf, not a number above 0", "above 0"),
    ]
    for line, what, remedy in expected:
        assert any(line == at and what in said and remedy in does for at, said, does in found), (
            line,
            what,
            remedy,
            found,
        )
    assert len(found) == len(expected)
    assert [line for line, _, _ in found] == sorted(line for line, _, _ in found)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "empty"),
        ("- a\n- b\n", 1, "a list, not a mapping"),
        ("name: [a\ntitle: b\n", 2, "not YAML"),
        ("name: a\n\ttitle: b\n", 2, "not YAML"),
        ("name: &a [*a]\n", 1, "contains itself"),
        ("name: a\n---\nname: b\n", 2, "not YAML"),
        ("name: 'a\x07'\n", None, "not YAML"),
        ("name: a\ntitle: b\nassignments:\n", 3, "assignments is empty, not a list"),
        ("? [a, b]\n: c\n", 1, "A key must be a plain word"),
    ],
)
def test_what_is_no_course(tmp_path, text, line, what):
    found = problems(tmp_path, text)
    assert any(each[0] == line and what in each[1] for each in found), found
    assert all(each[2] for each in found)


def test_text_that_is_not_utf8_names_the_line(tmp_path):
    path = tmp_path / "course.yml"
    path.write_bytes("name: a\ntitle: Ä\n".encode("latin-1"))
    with pytest.raises(CourseError, match=r"course.yml:2: .*UTF-8"):
        load_course(path)


def test_missing_files_are_told_when_asked_for(tmp_path):
    root = write_tiny_course(tmp_path)
    load_course(root, check_files=True)
    (root / "solutions/tiny/tiny.py").unlink()
    (root / "tests/tiny").rename(root / "tests/other")
    load_course(root)
    with pytest.raises(CourseError) as caught:
        load_course(root, check_files=True)
    assert [each.line for each in caught.value.problems] == [4, 4]
    assert "solutions/tiny/tiny.py does not exist" in str(caught.value)
    assert "tests/tiny does not exist" in str(caught.value)


def test_no_course_says_what_to_do(tmp_path):
    with pytest.raises(CourseError, match="autograder init"):
        load_course(tmp_path)


def test_unknown_names_suggest_the_nearest(tiny_course):
    course = load_course(tiny_course)
    with pytest.raises(CourseError, match=r"Did you mean 'tiny'\?"):
        course.assignment("tinny")
    with pytest.raises(CourseError, match="Known questions: relu_forward, softmax"):
        course.assignment("tiny").question("convolution")


def test_the_error_survives_a_process_boundary(tmp_path):
    with pytest.raises(CourseError) as caught:
        load_course(write(tmp_path, "name: a b\n"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems
    assert str(again) == str(caught.value)

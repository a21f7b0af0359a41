"""A change of the suite touches the questions that it can touch, and no others are graded again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_course import HIDDEN, MISTAKES, SOURCE, write_tiny_course

from autograder.authoring import build_assignment
from autograder.course import Course, load_course
from autograder.grading.run import RunOptions, grade_submissions
from autograder.grading.versions import question_versions
from autograder.notebook.collect import collect

BOTH = {"relu_forward", "softmax"}
ONE_MORE = '''

@pytest.mark.question("softmax")
def test_never_passed(student):
    """Nobody passes this."""
    assert not student.softmax
'''
BY_PARAMETER = '''

def each(name):
    return pytest.mark.question(name)


@each("softmax")
def test_defined(student):
    """It is there."""
    assert student.softmax
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_course(tmp_path / "course")


def touched(root: Path, file: str, text: str) -> set[str]:
    """The questions whose version is another one after `file` was written."""
    before = question_versions(load_course(root).assignment("tiny"))
    (root / file).write_text(text)
    after = question_versions(load_course(root).assignment("tiny"))
    return {name for name in after if after[name] != before.get(name)}


PROSE = SOURCE.replace("The rectified linear unit.", "ReLU.", 1) + "\n# %% [markdown]\n# More words.\n"
SUITE, SOLUTION, BANK = "tests/tiny/test_hidden.py", "solutions/tiny/tiny.py", "solutions/tiny/mistakes.py"
CHANGES = {
    "a comment": (SUITE, HIDDEN + "\n# nothing\n", set()),
    "a test of one question": (SUITE, HIDDEN + ONE_MORE, {"softmax"}),
    "what a test says": (SUITE, HIDDEN.replace("any shape", "every shape"), {"relu_forward"}),
    "the weight of a test": (SUITE, HIDDEN.replace("weight=2", "weight=3", 1), {"relu_forward"}),
    "a helper": (SUITE, HIDDEN + "\n\ndef helper():\n    return 1\n", BOTH),
    "a question known at run time": (SUITE, HIDDEN + BY_PARAMETER, BOTH),
    "a suite that is no Python": (SUITE, "def", BOTH),
    "prose and a docstring": (SOLUTION, PROSE, set()),
    "the solution": (SOLUTION, SOURCE + "\n# %%\nx = 1\n", BOTH),
    "the points of one": ("course.yml", "points: 2", {"relu_forward"}),
    "the rules": ("course.yml", "forbid: [torch, scipy]", BOTH),
    "the title": ("course.yml", "title: Two functions", set()),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_change_touches(root: Path, what: str) -> None:
    file, text, expected = CHANGES[what]
    if file == "course.yml":
        new = {"points: 2": "points: 4", "forbid: [torch, scipy]": "forbid: [torch]"}
        text = (root / file).read_text().replace(text, new.get(text, "title: Something else"))
    assert touched(root, file, text) == expected


def test_a_mistake_touches_its_question(root: Path) -> None:
    sentence = next(line for line in MISTAKES.splitlines() if '"softmax"' in line)
    changed = MISTAKES.replace(sentence, sentence.replace('"softmax", "', '"softmax", "Look: '))
    assert changed != MISTAKES
    assert touched(root, BANK, changed) == {"softmax"}


def test_without_the_sandbox_nothing_is_the_same(root: Path) -> None:
    assignment = load_course(root).assignment("tiny")
    safe, unsafe = question_versions(assignment), question_versions(assignment, unsafe=True)
    assert all(safe[name] != unsafe[name] for name in BOTH)
    assert safe == question_versions(assignment)


def test_the_helper_that_a_test_of_another_question_is(root: Path) -> None:
    """A test that another one calls belongs to both, so it is shared."""
    calls = ONE_MORE.replace("assert not student.softmax", "test_relu_values(student, student, 1)")
    (root / SUITE).write_text(HIDDEN + calls)
    changed = (HIDDEN + calls).replace("(4,), (3, 5)", "(4,)")
    assert touched(root, SUITE, changed) == BOTH


Seen = tuple[float, dict[str, tuple[float, list[float]]]]
"""A score, and of each question the points and the seconds of its tests."""


def grade(course: Course) -> tuple[Seen, list[str]]:
    """Ada's result, and what was said aloud."""
    assignment = course.assignment("tiny")
    found = collect([course.root / "submitted"], assignment)
    said: list[str] = []
    report = grade_submissions(course, assignment, found, RunOptions(), announce=said.append)
    (ada,) = report.submissions
    return (ada.score, {q.name: (q.points, [t.seconds for t in q.tests]) for q in ada.questions}), said


def test_a_changed_suite_costs_only_what_it_touches(root: Path) -> None:
    build_assignment(load_course(root).assignment("tiny"))
    course = load_course(root)
    place = root / "submitted/ada/tiny"
    place.mkdir(parents=True)
    (place / "tiny.ipynb").write_bytes(course.assignment("tiny").solution_notebook.read_bytes())

    first, said = grade(course)
    assert first[0] == 5.0 and said == []
    again, said = grade(course)
    assert again == first, "the very seconds of the first run: nothing was run"
    assert said[0].startswith("1 not graded again")

    (root / SUITE).write_text(HIDDEN + ONE_MORE)
    changed, said = grade(load_course(root))
    assert changed[1]["relu_forward"] == first[1]["relu_forward"]
    points, seconds = changed[1]["softmax"]
    assert points < 3.0 and changed[0] == 2.0 + points
    assert len(seconds) == len(first[1]["softmax"][1]) + 1
    assert "(softmax)" in said[0]
    assert grade(load_course(root))[0] == changed

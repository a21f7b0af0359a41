"""The demonstration: a class of every kind, each score the deserved one, and a failure where one is not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from gradebook_course import REPOSITORY
from tiny_course import MISTAKES, write_tiny_course

from autograder.cli import demo
from autograder.cli.demo import run_demo
from autograder.cli.sampleclass import Sample
from autograder.course import CourseError
from autograder.course.results import Report, SubmissionResult


@pytest.fixture
def course(tmp_path: Path) -> Path:
    root = write_tiny_course(tmp_path)
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    return root


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_student_gets_what_they_deserve(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "CALL_SECONDS", 1)
    before, to = content(course), tmp_path / "demo"
    assert run_demo(course, to, jobs=1) == 0
    out = capsys.readouterr().out
    assert "20 submissions in" in out and "every score is the deserved one" in out and "DIFFERS" not in out
    assert content(course) == before

    report = Report.model_validate_json((to / "report.json").read_bytes())
    scores = {entry.student: entry.score for entry in report.submissions}
    assert len(scores) == 20 and all(entry.status == "graded" for entry in report.submissions)
    full = ("01-ada", "02-loops", "03-other_way", "19-duplicate")
    nothing = ("10-blank", "16-patched", "17-agreeable", "18-transformer")
    spoilt = ("12-syntax", "13-loop", "14-memory", "15-exit", "20-deleted")
    assert {scores[name] for name in full} == {5.0}
    assert {scores[name] for name in nothing} == {0.0}
    assert {scores[name] for name in spoilt} == {3.0}
    assert scores["11-half"] == 2.0
    mistaken = [entry for entry in report.submissions if "mistake" in entry.student]
    assert len(mistaken) == 6
    for entry in mistaken:
        assert 0.0 < entry.score < 5.0
        assert any(test.diagnosis for question in entry.questions for test in question.tests)
    assert len(list((to / "feedback").rglob("*.html"))) >= 21
    assert (to / "gradebook.db").exists() and (to / "tiny.zip").exists()


def test_the_folder_of_an_earlier_demonstration_is_made_anew_and_no_other(
    course: Path, tmp_path: Path
) -> None:
    for occupied in (course, tmp_path):
        with pytest.raises(CourseError, match="holds the course itself"):
            run_demo(course, occupied, 1)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(CourseError, match="is not empty"):
        run_demo(course, precious, 1)
    assert (precious / "thesis.txt").exists()

    to = tmp_path / "demo"
    to.mkdir()
    demo._course_copy(demo.load_course(course), to)
    (to / "left over").write_text("")
    copied = demo._course_copy(demo.load_course(course), to)
    assert not (to / "left over").exists()
    assert copied.root == to
    assert copied.assignment("tiny").limits.call_seconds == demo.CALL_SECONDS


def test_a_course_without_enough_to_show(tmp_path: Path) -> None:
    root = write_tiny_course(tmp_path, mistakes=MISTAKES.partition('@mistake("softmax"')[0])
    with pytest.raises(CourseError, match="No assignment has two variants and six mistakes"):
        run_demo(root, tmp_path / "demo", 1)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"score": 3.0}, 0), ({"score": 3.01}, 1), ({"score": 0.0}, 1),
        ({"score": 3.0, "status": "refused"}, 1), ({"score": 3.0, "student": "bob"}, 1),
    ],
)  # fmt: skip
def test_a_difference_is_found(given: dict[str, Any], wrong: int, capsys: pytest.CaptureFixture[str]) -> None:
    result = SubmissionResult(**{"student": "ada", "max_score": 5.0, **given})
    report = Report(assignment="tiny", suite_version="v", sandbox=[], submissions=[result])
    assert demo._compare(report, [Sample("ada", "what", None, 3.0)]) == wrong
    assert ("DIFFERS" in capsys.readouterr().out) == bool(wrong)

"""Feedback pages, the class report, exports."""

from __future__ import annotations

import csv
import errno
import importlib.util
import io
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest

from autograder.course import Assignment, Question
from autograder.course.results import Finding, QuestionResult, Report, SubmissionResult, TestResult
from autograder.publishing import PublishingError, export_csv, write_export, write_feedback
from autograder.publishing.class_report import class_page, histogram, histogram_svg
from autograder.publishing.feedback import next_steps, student_page
from autograder.publishing.files import is_safe_name, write_atomic
from autograder.publishing.numbers import points


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


html_outline = _load(Path(__file__).with_name("html_outline.py"))
IMAGES = Path(__file__).parents[2] / "docs" / "images"
sample = _load(IMAGES / "sample.py")
HOSTILE, Outline, assert_inert = html_outline.HOSTILE, html_outline.Outline, html_outline.assert_inert


@pytest.fixture(scope="module")
def report() -> Report:
    return sample.sample_report()


def submission_of(report: Report, student: str) -> SubmissionResult:
    return next(submission for submission in report.submissions if submission.student == student)


def page_of(report: Report, student: str) -> str:
    return student_page(submission_of(report, student), report, sample.COURSE, sample.ASSIGNMENT.title)


def small_report(text: str = "words", student: str = "ada", **what: Any) -> Report:
    """One question with a failure, and the text wherever a submission can put some."""
    finding = Finding(headline=text, call=text, expected=text, got=text, where=text, hint=text)
    tests = [
        TestResult(
            name="test_a", says="First.", outcome="failed", message=text, diagnosis=text, finding=finding
        ),
        TestResult(name="test_b", says="Second.", outcome="not_gradable", message=text),
    ]
    graded = SubmissionResult(
        student=student,
        score=0,
        max_score=4,
        repairs=[text],
        source=text,
        questions=[QuestionResult(name="relu", points=0, max_points=4, tests=tests)],
    )
    refused = SubmissionResult(
        student="bob", score=0, max_score=4, status="refused", reason=text, source=text
    )
    return Report(
        **{
            "assignment": "tiny",
            "suite_version": "1",
            "sandbox": ["seccomp"],
            "submissions": [graded, refused],
            **what,
        }
    )


TINY = Assignment(slug="tiny", title="Tiny", questions=(Question(name="relu", points=4.0),))


# Pages


def test_every_student_gets_a_page_and_the_class_a_report(report: Report, tmp_path: Path) -> None:
    written = write_feedback(report, sample.COURSE, sample.ASSIGNMENT, tmp_path)
    students = [submission.student for submission in report.submissions]
    assert written == [
        *(tmp_path / name / "09_convnets.html" for name in students),
        tmp_path / "09_convnets.html",
    ]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(written)
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("<!doctype html>")
        outline = Outline(text)
        assert_inert(outline)
        assert outline.tags.count("title") == outline.tags.count("h1") == 1
        assert "default-src 'none'" in text and "http" not in text.replace("http-equiv", "")
        ids = [value for _, name, value in outline.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        for _, name, value in outline.attributes:
            if name == "href" and value.startswith("#"):
                assert value[1:] in ids
            elif name == "href":
                assert (tmp_path / unquote(value)).is_file()


def test_a_page_shows_nothing_of_a_test_but_its_sentence(report: Report) -> None:
    for submission in report.submissions:
        page = student_page(submission, report, sample.COURSE, "Convolutional networks")
        for question in submission.questions:
            for test in question.tests:
                assert test.name not in page
                assert (
                    test.says.replace("`", " ").replace("  ", " ").split(" before ")[0] in Outline(page).text
                )


def test_the_page_of_a_student_who_made_mistakes(report: Report) -> None:
    page = page_of(report, "noether")
    text = Outline(page).text
    assert "14.67 of 24 points" in text
    assert "This looks like a known mistake: dx is assigned with = where windows overlap" in text
    assert "15 of 35 elements of dx are wrong" in text and "<svg" in page
    assert "conv_backward : dx is assigned with = where windows overlap" in text
    widths = re.findall(r'<span class="bar"><span class="fill" style="width:([\d.]+)%">', page)
    shares = [q.points / q.max_points for q in submission_of(report, "noether").questions]
    assert [float(width) for width in widths] == pytest.approx([100 * share for share in shares], abs=0.06)
    # Weights 1, 2, 1 of 6 points: what each check gave, failures first.
    own = page[page.index('id="conv_backward"') : page.index('id="max_pool_forward"')]
    assert re.findall(r">([\d.]+ of [\d.]+)</span>", own) == ["0 of 3", "1.5 of 1.5", "1.5 of 1.5"]


def test_the_page_of_full_marks(report: Report) -> None:
    text = Outline(page_of(report, "abel")).text
    assert "Every check passes" in text and "What to do next" not in text and "24 of 24 points" in text


def test_the_page_of_an_unwritten_notebook_is_calm(report: Report) -> None:
    page = page_of(report, "kovalevskaya")
    assert "background:#c2392f" not in page and "Not written yet. Once it is, these are checked:" in page
    assert Outline(page).text.count("write them.") == 1


def test_the_page_of_a_refused_submission(report: Report) -> None:
    text = Outline(page_of(report, "turing")).text
    assert "it ends in the middle of a cell" in text and "Not graded yet" in text
    assert "of 24 points" not in text


def test_repairs_are_told(report: Report) -> None:
    assert "Cell 14 was there twice" in page_of(report, "gauss")
    assert "What we found on opening" not in page_of(report, "abel")


@pytest.mark.parametrize("sandbox", [["none (--unsafe-no-sandbox)"], []])
def test_results_without_a_sandbox_are_stamped(sandbox: list[str], tmp_path: Path) -> None:
    unsafe = small_report(sandbox=sandbox)
    write_feedback(unsafe, "Course", TINY, tmp_path)
    for path in (tmp_path / "tiny.html", tmp_path / "ada" / "tiny.html"):
        assert "Graded without a sandbox" in path.read_text(encoding="utf-8")
    write_feedback(small_report(), "Course", TINY, tmp_path)
    assert "Graded without a sandbox" not in (tmp_path / "tiny.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_submission_changes_a_page_or_acts(text: str) -> None:
    def pages(given: str) -> list[Any]:
        report = small_report(given, student=given)
        student = [student_page(one, report, "Course", "Tiny") for one in report.submissions]
        return [Outline(page) for page in [*student, class_page(report, "Course", TINY)]]

    for hostile, harmless in zip(pages(text), pages("..words"), strict=True):
        # Backticks set code in a span; nothing else may add a tag.
        # The order is left open, for a table is sorted by the students' names.
        assert sorted(tag for tag in hostile.tags if tag != "span") == sorted(
            tag for tag in harmless.tags if tag != "span"
        )
        assert_inert(hostile)
        hostile.text.encode()
        assert "\u202e" not in hostile.text and "\x1b" not in hostile.text


# What to do next


def test_next_steps_follow_the_questions(report: Report) -> None:
    steps = next_steps(submission_of(report, "noether"))
    assert [step.questions for step in steps] == [
        ("conv_backward",),
        ("batchnorm_forward",),
        ("three_layer_convnet",),
    ]
    assert [step.worth for step in steps] == pytest.approx([3, 1.33, 5])
    assert steps[0].text == sample.LAST_WINDOW
    assert steps[1].text.startswith("Your code raised KeyError: 'running_mean'. On the first call")
    assert steps[2].text == "write it."
    submission = submission_of(report, "noether")
    assert sum(step.worth for step in steps) == pytest.approx(submission.max_score - submission.score)


def test_next_steps_without_a_fault_of_the_student(report: Report) -> None:
    (step,) = next_steps(submission_of(report, "poincare"))
    assert "Tell your instructor" in step.text
    assert next_steps(submission_of(report, "abel")) == []


def test_only_the_first_steps_are_listed() -> None:
    failing = [TestResult(name="t", says="It is right.", outcome="failed", message="It is wrong.")]
    questions = [QuestionResult(name=f"q{n}", points=0, max_points=1, tests=failing) for n in range(5)]
    submission = SubmissionResult(student="ada", score=0, max_score=5, questions=questions)
    page = student_page(submission, small_report(), "Course", "Tiny")
    assert Outline(page).tags.count("li") == 3 and "Then 2 more, below." in page


# Names and files


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "o.neill-2@uni_x", "ada+dl", "Müller", "学生", "7"])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a\\b", ".hidden", "a.", "a ", " a", "a  b", "a\0b", "a\nb", "con", "NUL.txt",
     "a/b", "x" * 101, "-rf", "a:b", "a\u202eb", "Mu\u0308ller", "~root", "$HOME", "*"],
)  # fmt: skip
def test_unsafe_names(name: str) -> None:
    assert not is_safe_name(name)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/b", "bob", "BOB", "tiny.html"])
def test_an_unsafe_student_gets_no_page_and_the_others_do(name: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "feedback"
    report = small_report(student=name)
    report.submissions.reverse()  # bob comes first
    with pytest.raises(PublishingError, match=r"1 feedback pages? (was|were) not written, all others were"):
        write_feedback(report, "Course", TINY, out)
    assert sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    ) == [
        "deep/feedback/bob/tiny.html",
        "deep/feedback/tiny.html",
    ]
    assert name in (out / "tiny.html").read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    write_atomic(path, b"old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(PublishingError, match="the disk is full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(PublishingError, match=r"Cannot write .*out"):
        write_feedback(small_report(), "Course", TINY, tmp_path / "out")


def test_pages_are_readable_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "page.html", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o644


# The class report


def test_the_class_report_counts(report: Report) -> None:
    page = class_page(report, sample.COURSE, sample.ASSIGNMENT)
    text = Outline(page).text
    assert "19 graded of 20" in text and "5 full marks" in text and "Refused: 1 of 20" in text
    scores = [one.score for one in report.submissions if one.status == "graded"]
    assert f"{points(sum(scores) / 19)} mean of 24" in text
    # 5 students made the first mistake, 3 the second; one of them made both.
    assert text.index("5 of 19 conv_backward dx is assigned") < text.index(
        "3 of 19 conv_backward db is summed"
    )
    assert "banach, euler, jacobi, noether, onsager" in text
    assert "The data set digits is missing. poincare" in text
    assert "Landlock, seccomp, rlimits, namespaces" in text
    # Full marks in conv_backward: 11 of 19; one notebook was not written at all.
    assert "conv_backward 58 % 1 4.66 of 6" in text


def test_the_same_mistake_in_two_tests_is_one_student() -> None:
    report = small_report("One mistake.")
    (first, second) = report.submissions[0].questions[0].tests
    second.outcome, second.diagnosis = "failed", first.diagnosis
    assert "1 of 1 relu One mistake." in Outline(class_page(report, "Course", TINY)).text


def test_a_class_without_submissions_or_grades() -> None:
    empty = small_report(submissions=[])
    assert "0 graded" in Outline(class_page(empty, "Course", TINY)).text
    refused = small_report()
    del refused.submissions[0]
    assert "0 graded of 1" in Outline(class_page(refused, "Course", TINY)).text


@pytest.mark.parametrize(
    ("scores", "full", "width", "counts"),
    [
        ([0, 1.99, 2, 24, 24], 24, 2, [2, 1, *[0] * 9, 2]),
        ([5, 4.99, 0.5], 5, 0.5, [0, 1, *[0] * 7, 2]),
        ([100, 95, 10], 100, 10, [0, 1, *[0] * 7, 2]),
        ([7.5], 7.5, 1, [*[0] * 7, 1]),
        ([3, 2.9], 3, 0.5, [*[0] * 5, 2]),
    ],
)
def test_histogram_bins(scores: list[float], full: float, width: float, counts: list[int]) -> None:
    assert histogram(scores, full) == (pytest.approx(width), counts)
    bars = re.findall(r'class="count-(\d+)".*?height="([\d.]+)"', str(histogram_svg(scores, full)))
    assert [int(count) for count, _ in bars] == [count for count in counts if count]
    for count, tall in bars:
        assert float(tall) == pytest.approx(150 * int(count) / max(counts), abs=0.06)


# Exports


def rows_of(report: Report, style: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(export_csv(report, TINY, style), newline="")))


def test_the_generic_export(report: Report, tmp_path: Path) -> None:
    path = write_export(report, sample.ASSIGNMENT, tmp_path / "scores.csv")
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert [row["student"] for row in rows] == [one.student for one in report.submissions]
    assert rows[0] == {
        "student": "noether",
        "assignment": "09_convnets",
        "score": "14.67",
        "max_score": "24",
        "status": "graded",
    }
    assert (rows[-1]["student"], rows[-1]["score"], rows[-1]["status"]) == ("turing", "", "refused")


def test_the_canvas_export() -> None:
    report = small_report()
    report.submissions[0].score = 3.5
    assert rows_of(report, "canvas") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Tiny"],
        ["    Points Possible", "", "", "", "", "4"],
        ["ada", "", "", "ada", "", "3.5"],
    ]
    report.submissions[0].source = "all.zip: lovelaceada_LATE_1234_98765_convnets-1.ipynb"
    assert rows_of(report, "canvas")[2] == ["ada", "1234", "", "", "", "3.5"]


def test_the_moodle_export() -> None:
    report = small_report()
    assert rows_of(report, "moodle") == [["Username", "Tiny"], ["ada", "0"]]
    report.submissions[0].source = "all.zip: Ada Lovelace_4711_assignsubmission_file_/convnets.ipynb"
    assert rows_of(report, "moodle") == [
        ["Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)"],
        ["Participant 4711", "ada", "0", "4", "-"],
    ]


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@sum", "\t=1", " =1", "\n=1", "＝1", "\x1b[1m=cmd|' /C calc'!A0"]
)
@pytest.mark.parametrize("style", ["generic", "canvas", "moodle"])
def test_no_cell_is_a_formula(name: str, style: str) -> None:
    cells = [cell for row in rows_of(small_report(student=name), style) for cell in row]
    assert any(cell.startswith("'") for cell in cells)
    assert not any(cell.strip().startswith(("=", "+", "-", "@", "＝")) for cell in cells)


def test_the_picture_of_the_readme_is_small() -> None:
    picture = (IMAGES / "feedback.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) < 200_000

"""What a run prints at its end: how the class did, and whom a human should look at."""

from __future__ import annotations

from autograder.cli.grading import _worth_a_look
from autograder.cli.screen import histogram
from autograder.course.results import QuestionResult, SubmissionResult, TestResult


def test_the_histogram_counts_every_submission_once() -> None:
    lines = histogram([0.0, 0.05, 0.1, 0.3, 0.7, 0.999, 1.0, 1.0], width=3)
    assert len(lines) == 10
    counts = [int(line.split()[-1]) if "█" in line else 0 for line in lines]
    assert counts == [2, 1, 0, 1, 0, 0, 0, 1, 0, 3]  # 0.3 counts as 30 %, though 0.3 * 10 is below 3
    assert lines[0] == "  0 to  10 %  ██ 2" and lines[9] == " 90 to 100 %  ███ 3"
    assert histogram([])[0] == "  0 to  10 %"


def entry(student: str, *outcomes: str) -> SubmissionResult:
    tests = [
        TestResult(name=f"test_{number}", says="It holds.", outcome=outcome)  # type: ignore[arg-type]
        for number, outcome in enumerate(outcomes)
    ]
    question = QuestionResult(name="f", points=0.0, max_points=1.0, tests=tests)
    return SubmissionResult(student=student, score=0.0, max_score=1.0, questions=[question])


def test_what_could_not_be_judged_is_said() -> None:
    found = _worth_a_look(
        [entry("ada", "passed", "failed"), entry("bob", "not_gradable"), entry("cem", *["not_gradable"] * 5)]
    )
    assert found == [
        "bob: not judged, and worth a look: test_0.",
        "cem: not judged, and worth a look: test_0, test_1, test_2 and 2 more.",
    ]

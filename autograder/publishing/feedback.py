"""The page that a student gets back: score, what went wrong and why, and what to do next.

A page is one HTML file that works from disk on a phone and on a projector, in light and dark, on paper,
without script. It shows what the report holds (a test's sentence and its finding) and nothing of a hidden
test itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from autograder.checking.rendering import OUTCOMES, state_of, test_html
from autograder.checking.safetext import one_line
from autograder.course import Assignment
from autograder.course.results import QuestionResult, Report, SubmissionResult, TestResult
from autograder.publishing.class_report import write_class_report
from autograder.publishing.files import PublishingError, is_safe_name, write_atomic
from autograder.publishing.numbers import percent, points
from autograder.publishing.pages import is_unsafe, templates

MAX_STEPS = 3


@dataclass(frozen=True)
class Step:
    """One thing to do next, and what it is worth."""

    questions: tuple[str, ...]
    text: str
    worth: float


def write_feedback(report: Report, course_title: str, assignment: Assignment, out_dir: Path) -> list[Path]:
    """Write `out_dir/<student>/<slug>.html` for each submission and the instructor's `out_dir/<slug>.html`.

    Returns the files written, the instructor's page last.

    Raises:
        PublishingError: a page cannot be written; or, after all others, a student's id cannot name a folder.
    """
    index = out_dir / f"{assignment.slug}.html"
    written: list[Path] = []
    problems: list[str] = []
    # Many file systems take Anna and anna for one; the class report's own name is taken, too.
    taken = {index.name.casefold(): index.name}
    for submission in report.submissions:
        student = submission.student
        if not is_safe_name(student):
            problems.append(f"{one_line(student, 60)!r} cannot be a folder's name")
        elif student.casefold() in taken:
            problems.append(f"{student!r} and {taken[student.casefold()]!r} would share a name")
        else:
            taken[student.casefold()] = student
            path = out_dir / student / f"{assignment.slug}.html"
            write_atomic(path, student_page(submission, report, course_title, assignment.title).encode())
            written.append(path)
    written.append(write_class_report(report, course_title, assignment, index))
    if problems:
        pages = "1 feedback page was" if len(problems) == 1 else f"{len(problems)} feedback pages were"
        raise PublishingError(
            f"{pages} not written, all others were: {'; '.join(problems[:5])}. "
            "Rename these submissions and grade them again."
        )
    return written


def student_page(submission: SubmissionResult, report: Report, course_title: str, title: str) -> str:
    """A student's page as HTML."""
    steps = next_steps(submission)
    return (
        templates()
        .get_template("student.html.j2")
        .render(
            course=one_line(course_title),
            assignment=one_line(title),
            student=one_line(submission.student, 100),
            graded=submission.status == "graded",
            reason=submission.reason or "Your submission could not be read.",
            score=submission.score,
            max_score=submission.max_score,
            questions=[_question(question) for question in submission.questions],
            steps=steps[:MAX_STEPS],
            more_steps=max(0, len(steps) - MAX_STEPS),
            repairs=submission.repairs[:50],
            unsafe=is_unsafe(report),
            source=one_line(Path(submission.source).name or "your notebook", 120),
            digest=submission.sha256[:12],
            suite=one_line(report.suite_version[:12]),
            seed=submission.seed,
        )
    )


def next_steps(submission: SubmissionResult) -> list[Step]:
    """What to do, in the order of the questions, for later ones build on earlier ones.

    A question that went wrong is a step: its known mistake, or else its first reason. Questions without an
    answer that follow each other are one step.
    """
    steps: list[Step] = []
    open_run: list[QuestionResult] = []

    def close_run() -> None:
        if open_run:
            names = tuple(one_line(question.name, 80) for question in open_run)
            steps.append(Step(names, "write it." if len(names) == 1 else "write them.", _missing(open_run)))
            open_run.clear()

    for question in submission.questions:
        if question.points >= question.max_points:
            continue
        states = [state_of(test) for test in question.tests]
        if states and all(state == "unwritten" for state in states):
            open_run.append(question)
            continue
        close_run()
        steps.append(Step((one_line(question.name, 80),), _reason(question.tests), _missing([question])))
    close_run()
    return steps


def _reason(tests: Sequence[TestResult]) -> str:
    failing = [test for test in tests if state_of(test) not in ("passed", "unwritten", "not_gradable")]
    for test in failing:
        if test.diagnosis:
            return test.diagnosis
    for test in failing:
        finding = test.finding
        lead = finding.headline if finding else test.message or OUTCOMES[state_of(test)].sentence
        lead = one_line(lead, 240)
        lead += "" if lead.endswith((".", "!", "?", "…")) else "."
        return f"{lead} {one_line(finding.hint, 240) if finding else ''}".strip()
    if any(state_of(test) == "unwritten" for test in tests):
        return "a part of it is not written yet."
    return "it could not be graded. Tell your instructor."


def _missing(questions: Sequence[QuestionResult]) -> float:
    return sum(question.max_points - question.points for question in questions)


def _question(question: QuestionResult) -> dict[str, Any]:
    states = [state_of(test) for test in question.tests]
    unwritten = bool(states) and all(state == "unwritten" for state in states)
    note = ""
    if unwritten:
        note = "Not written yet. Once it is, these are checked:"
    elif not states:
        note = "No check left a verdict. Tell your instructor."
    total = sum(test.weight for test in question.tests)

    def earned(test: TestResult) -> str:
        if total <= 0:
            return ""
        worth = points(question.max_points * test.weight / total)
        return f"{worth if test.outcome == 'passed' else 0} of {worth}"

    # Failures first: they are what a student came for.
    tests = sorted(question.tests, key=lambda test: state_of(test) in ("passed", "unwritten"))
    return {
        "name": one_line(question.name, 80),
        "points": question.points,
        "max_points": question.max_points,
        "percent": percent(question.points, question.max_points),
        "checks": f"{states.count('passed')} of {len(states)} check{'' if len(states) == 1 else 's'}",
        "note": note,
        "tests": [Markup(test_html(test, earned(test), question.name)) for test in tests],
    }

"""`grade`: from files to report, gradebook and feedback pages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.cli.screen import console, histogram, progress
from autograder.course import Course, load_course
from autograder.course.results import Report, SubmissionResult
from autograder.gradebook import default_url
from autograder.grading.grader import UNSAFE, Options
from autograder.grading.identity import state_folder
from autograder.grading.recording import GradebookRecorder
from autograder.grading.run import RunOptions, check_report_path, grade_submissions, write_report
from autograder.notebook.collect import collect
from autograder.publishing import write_feedback

if TYPE_CHECKING:
    from autograder.gradebook.database import Gradebook


@dataclass(frozen=True)
class GradeCommand:
    """The options of `autograder grade`."""

    slug: str
    paths: Sequence[Path]
    jobs: int = 1
    scheduler: str | None = None
    json: str | None = None
    force: bool = False
    db: str | None = None
    feedback: bool = True
    gradebook: bool = True
    quiet: bool = False
    unsafe_no_sandbox: bool = False


def run_grade(folder: Path, command: GradeCommand) -> int:
    """Grade. 0 when every submission was graded, 1 when some were refused."""
    course = load_course(folder)
    course.assignment(command.slug)  # before anything is written: a slug may be misspelt
    target = _default_report(course, command.slug) if command.json in (None, "-") else Path(command.json)
    check_report_path(target)
    report = graded_report(course, command, lambda report: write_report(report, target))
    out = sys.stderr if command.json == "-" else sys.stdout
    if command.json == "-":
        print(report.model_dump_json(indent=1))
    pages = []
    if command.feedback:
        pages = write_feedback(
            report, course.title, course.assignment(command.slug), course.root / "feedback"
        )
    graded = [entry for entry in report.submissions if entry.status == "graded"]
    refused = [entry for entry in report.submissions if entry.status == "refused"]
    if not command.quiet:
        for line in _summary(course, command, report, target, pages):
            print(line, file=out)
        if console(stderr=out is sys.stderr).is_terminal and graded:
            print(*histogram([entry.score / entry.max_score for entry in graded]), sep="\n", file=out)
        for line in _worth_a_look(graded):
            print(line, file=sys.stderr)
    for entry in refused:
        print(f"{entry.source or entry.student}: {entry.reason}", file=sys.stderr)
    return 1 if refused else 0


def graded_report(
    course: Course, command: GradeCommand, deliver: Callable[[Report], None] | None = None
) -> Report:
    """Collect and grade, writing the gradebook as it goes; `deliver` gets the report when all is done."""
    assignment = course.assignment(command.slug)
    collected = collect(command.paths, assignment)
    if not command.quiet:
        for note in collected.notes:
            print(note, file=sys.stderr)
    options = RunOptions(
        command.jobs, command.scheduler, command.force, Options(unsafe_no_sandbox=command.unsafe_no_sandbox)
    )
    if command.unsafe_no_sandbox:
        print("Warning: no sandbox. A submission can read and change whatever you can.", file=sys.stderr)
    with ExitStack() as stack:
        recorder = None
        if command.gradebook:
            times = {found.student: found.timestamp for found in collected.submissions if found.exact_time}
            recorder = stack.enter_context(
                GradebookRecorder(lambda: _open_gradebook(command.db or default_url(course), course), times)
            )
        update = stack.enter_context(progress(assignment.slug, quiet=command.quiet))

        def tell(done: int, total: int, result: SubmissionResult | None) -> None:
            del result
            update(done, total)

        def announce(sentence: str) -> None:
            if not command.quiet:
                print(sentence, file=sys.stderr)

        return grade_submissions(course, assignment, collected, options, recorder, tell, deliver, announce)


def _worth_a_look(graded: Sequence[SubmissionResult]) -> list[str]:
    """A line for each submission that a test of ours could not judge: a human should."""
    lines = []
    for entry in graded:
        tests = [t.name for q in entry.questions for t in q.tests if t.outcome == "not_gradable"]
        if tests:
            more = f" and {len(tests) - 3} more" if len(tests) > 3 else ""
            lines.append(f"{entry.student}: not judged, and worth a look: {', '.join(tests[:3])}{more}.")
    return lines


def _open_gradebook(url: str, course: Course) -> Gradebook:
    from autograder.gradebook.database import Gradebook  # nbgrader takes seconds to import

    return Gradebook(url, course).__enter__()


def _default_report(course: Course, slug: str) -> Path:
    return state_folder(course) / "reports" / f"{slug}.json"


def _summary(
    course: Course, command: GradeCommand, report: Report, target: Path, pages: Sequence[Path]
) -> list[str]:
    graded = [entry for entry in report.submissions if entry.status == "graded"]
    lines = []
    if graded:
        mean = sum(entry.score for entry in graded) / len(graded)
        full = sum(entry.score == entry.max_score for entry in graded)
        lines.append(
            f"{len(graded)} graded, mean {mean:.1f} of {graded[0].max_score:g}, {full} with full marks"
            + (
                f"; {len(report.submissions) - len(graded)} refused"
                if len(graded) < len(report.submissions)
                else ""
            )
            + "."
        )
    layers = "NO SANDBOX" if report.sandbox == [UNSAFE] else ", ".join(report.sandbox)
    lines.append(f"Sandbox: {layers}.")
    lines.append(f"Report: {target}")
    if command.gradebook:
        lines.append(f"Gradebook: {command.db or course.root / 'gradebook.db'}")
    if pages:
        lines.append(f"Feedback: {pages[-1]} (overview) and a page for each student")
    return lines

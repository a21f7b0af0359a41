"""`demo`: the whole way on a sample class, in a folder of its own, without a network."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

from rich.table import Table
from ruamel.yaml import YAML

from autograder.authoring import build_assignment
from autograder.checking.mistakes import Mistake, read_mistakes
from autograder.checking.plugin import SolutionContext
from autograder.checking.runner import Suite, run_suite
from autograder.cli.grading import GradeCommand, graded_report
from autograder.cli.sampleclass import Sample, SampleClass, file_of
from autograder.cli.screen import console
from autograder.course import Assignment, Course, CourseError, Problem, load_course
from autograder.course.results import Report, question_points
from autograder.grading.identity import course_key, numbers_seed, submission_seed, suite_files
from autograder.grading.run import write_report
from autograder.notebook.percent import read_source
from autograder.publishing import bundle_release, write_feedback

CALL_SECONDS = 4
"""Deadline of a call in the demonstration, so that its endless loops end soon."""
COPIED = ("solutions", "tests", "datasets", "nbgrader_config.py")


def run_demo(folder: Path, to: Path, jobs: int, slug: str | None = None) -> int:
    """Release, make a sample class, grade it, give back. 0 when every score is the deserved one, else 1."""
    start = time.perf_counter()
    course = _course_copy(load_course(folder), to)
    screen = console()
    for assignment in course.published:
        build_assignment(assignment, execute=False)
        bundle = bundle_release(assignment, course.root / f"{assignment.slug}.zip")
        screen.print(f"Released {assignment.slug}: {bundle}")
    assignment = course.assignment(slug) if slug else _showcase(course)
    samples = _hand_in(course, assignment)
    screen.print(f"{len(samples)} students hand in {assignment.slug}; grading with {jobs} jobs ...")
    command = GradeCommand(slug=assignment.slug, paths=[course.root / "submitted"], jobs=jobs)
    report = graded_report(course, command)
    report_file = course.root / "report.json"
    write_report(report, report_file)
    pages = write_feedback(report, course.title, assignment, course.root / "feedback")
    wrong = _compare(report, samples)
    screen.print(f"\nReport:    {report_file}")
    screen.print(
        f"Gradebook: {course.root / 'gradebook.db'}  (nbgrader formgrader opens it in {course.root})"
    )
    screen.print(f"Feedback:  {pages[-1]}  and a page for each student")
    screen.print(f"Sandbox:   {', '.join(report.sandbox)}")
    verdict = "every score is the deserved one" if not wrong else f"{wrong} scores are NOT the deserved ones"
    screen.print(f"{len(samples)} submissions in {time.perf_counter() - start:.0f} s: {verdict}.")
    return 1 if wrong else 0


def _course_copy(course: Course, to: Path) -> Course:
    """The course in a folder of its own: what the demonstration writes stays out of the original."""
    to = to.absolute()
    if to == course.root or to in course.root.parents:
        raise CourseError([Problem(None, f"{to} holds the course itself.", "Name another folder with --to.")])
    marker = to / ".autograder-demo"
    if to.exists() and not marker.exists():
        if any(to.iterdir()):
            raise CourseError([Problem(None, f"{to} is not empty.", "Name another folder with --to.")])
    elif to.exists():
        shutil.rmtree(to)
    to.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for name in COPIED:
        source = course.root / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "autograder"))
        elif source.exists():
            shutil.copy(source, to / name)
    yaml = YAML()
    document = yaml.load(course.root / "course.yml")
    document.setdefault("limits", {})["call_seconds"] = CALL_SECONDS
    for entry in document["assignments"]:
        entry.get("limits", {}).pop("call_seconds", None)
    yaml.dump(document, to / "course.yml")
    return load_course(to)


def _showcase(course: Course) -> Assignment:
    """The first assignment with enough known mistakes and variants, the smallest examples left aside."""
    ready = [
        assignment
        for assignment in course.published
        if len(assignment.variants) >= 2
        and len(read_mistakes(assignment.mistakes)) >= 6
        and not assignment.files
    ]
    if not ready:
        raise CourseError(
            [
                Problem(
                    None, "No assignment has two variants and six mistakes.", "The demonstration needs one."
                )
            ]
        )
    return ready[min(1, len(ready) - 1)]


def _hand_in(course: Course, assignment: Assignment) -> list[Sample]:
    """Write the sample class below submitted/, as nbgrader's collect would."""
    key = course_key(course)
    solution = read_source(assignment.source)

    def make(suite: Suite) -> list[Sample]:
        def score_of(mistake: Mistake, student: str, file: bytes) -> float:
            seed = numbers_seed(
                submission_seed(key, assignment.slug, student), hashlib.sha256(file).hexdigest()
            )
            context = SolutionContext(solution, [mistake.cell], seed=seed)
            runs = suite.run(context)
            return round(
                sum(
                    question_points(
                        [r.result for r in runs if r.test.question == question.name], question.points
                    )
                    for question in assignment.questions
                ),
                2,
            )

        tests = {question.name: 0 for question in assignment.questions}
        for test in suite.tests:
            tests[test.question] += 1
        short = min(tests, key=lambda name: tests[name])
        mistakes = read_mistakes(assignment.mistakes)
        return list(SampleClass(assignment, solution, mistakes, score_of, short).samples())

    samples = run_suite(suite_files(assignment), make)
    for sample in samples:
        place = course.root / "submitted" / sample.student / assignment.slug
        place.mkdir(parents=True)
        (place / assignment.release_notebook.name).write_bytes(file_of(sample.notebook))
    return samples


def _compare(report: Report, samples: list[Sample]) -> int:
    """Print deserved and given scores; how many differ."""
    given = {entry.student: entry for entry in report.submissions}
    table = Table()
    for name in ("student", "handed in", "deserved", "given", ""):
        table.add_column(name, justify="right" if name in ("deserved", "given") else "left")
    wrong = 0
    for sample in samples:
        entry = given.get(sample.student)
        score = entry.score if entry is not None and entry.status == "graded" else None
        right = score is not None and abs(score - sample.expected) < 0.005
        wrong += not right
        shown = "refused" if score is None else f"{score:g}"
        table.add_row(sample.student, sample.what, f"{sample.expected:g}", shown, "" if right else "DIFFERS")
    console().print(table)
    return wrong

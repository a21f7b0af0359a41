"""The report of an audit: one page for each assignment, and an overview."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from autograder.audit.kept import library_versions
from autograder.audit.ledger import held_out_counts
from autograder.audit.margins import LEAST_DEVIATIONS, Margin
from autograder.audit.proof import AuditReport
from autograder.audit.steps import Outcome
from autograder.checking.mistakes import Mistake
from autograder.checking.rendering import prose
from autograder.course import Assignment
from autograder.course.files import write_whole

MAX_MARGINS = 12


def write_pages(
    audited: Sequence[tuple[Assignment, AuditReport, Mapping[str, Mistake]]], course_title: str, folder: Path
) -> list[Path]:
    """Write `folder/SLUG.html` for each assignment and `folder/index.html`; returns the files.

    Raises OSError.
    """
    written = []
    for assignment, report, mistakes in audited:
        path = folder / f"{assignment.slug}.html"
        write_whole(path, assignment_page(assignment, report, mistakes, course_title), durable=False)
        written.append(path)
    index = folder / "index.html"
    overview = _templates().get_template("audits.html.j2")
    rows = [_summary(assignment, report) for assignment, report, _ in audited]
    write_whole(index, overview.render(course=course_title, rows=rows, versions=_versions()), durable=False)
    return [*written, index]


def assignment_page(
    assignment: Assignment, report: AuditReport, mistakes: Mapping[str, Mistake], course_title: str
) -> str:
    """The page of one assignment as HTML."""
    return (
        _templates()
        .get_template("audit.html.j2")
        .render(
            course=course_title,
            assignment=assignment.title,
            summary=_summary(assignment, report),
            questions=[_question(name, report, mistakes) for name in report.questions],
            problems=report.problems,
            survivors=report.mutation.survivors if report.mutation else [],
            margins=[_margin(margin) for margin in report.margins[:MAX_MARGINS]],
            more_margins=max(0, len(report.margins) - MAX_MARGINS),
            least=LEAST_DEVIATIONS,
            held_out=[each for each in report.held_out if each.verdict != "right"],
            versions=_versions(),
        )
    )


def _summary(assignment: Assignment, report: AuditReport) -> dict[str, Any]:
    caught = sum(mistake.question in mistake.lost for mistake in report.mistakes)
    mutation = report.mutation.total if report.mutation else None
    return {
        "slug": assignment.slug,
        "title": assignment.title,
        "clean": report.clean,
        "problems": len(report.problems),
        "questions": len(report.questions),
        "tests": report.tests,
        "variants": report.variants,
        "seeds": report.seeds,
        "variant_seeds": report.variant_seeds,
        "caught": caught,
        "recognised": sum(mistake.recognised for mistake in report.mistakes),
        "mistakes": len(report.mistakes),
        "mutation": mutation,
        "closest": _margin(report.margins[0]) if report.margins else None,
        "held_out": held_out_counts(report.held_out),
        "used": report.used,
        "seconds": sum(_seconds(report).values()),
    }


def _question(name: str, report: AuditReport, mistakes: Mapping[str, Mistake]) -> dict[str, Any]:
    """One row of the matrix, and the question's own table of tests and mistakes."""
    places = [place for place, test in enumerate(report.suite) if test.question == name]
    seconds = _seconds(report)
    failing = _failing_answers(report)
    caught_by = _caught_by(report)
    own = [mistake for mistake in report.mistakes if mistake.question == name]
    tests = [
        {
            "name": report.suite[place].name,
            "says": report.suite[place].says,
            "weight": report.suite[place].weight,
            "good": place not in failing,
            "failing": failing.get(place, []),
            "seconds": seconds.get(place, 0.0),
            "catches": [place in caught_by[mistake.name] for mistake in own],
        }
        for place in places
    ]
    return {
        "name": name,
        "tests": tests,
        "mistakes": [
            {
                "name": mistake.name,
                "sentence": mistakes[mistake.name].sentence,
                "state": _state_of_mistake(mistake.question, mistake.lost, mistake.recognised),
                "costs": [other for other in mistake.lost if other != name],
            }
            for mistake in own
        ],
        "mutants": report.mutation.questions.get(name) if report.mutation else None,
        "variants": _variants(name, report),
        "seconds": sum(seconds.get(place, 0.0) for place in places),
    }


def _state_of_mistake(question: str, lost: tuple[str, ...], recognised: bool) -> str:
    if question not in lost:
        return "survives"
    if lost != (question,):
        return "costs others"
    return "caught" if recognised else "not recognised"


def _variants(question: str, report: AuditReport) -> list[dict[str, Any]]:
    """The right answers: in how many runs they earned all of a question."""
    runs: defaultdict[str, list[bool]] = defaultdict(list)
    for step, outcome in report.outcomes:
        if step.kind in ("solution", "variant"):
            if all(report.suite[test].question != question for test in outcome.ran):
                continue  # it answers other questions
            lost = any(report.suite[each.test].question == question for each in outcome.failures)
            runs[step.name].append(not lost)
    return [{"name": name, "runs": len(whole), "whole": sum(whole)} for name, whole in runs.items()]


def _caught_by(report: AuditReport) -> dict[str, set[int]]:
    return {
        step.name: {failure.test for failure in outcome.failures}
        for step, outcome in report.outcomes
        if step.kind == "mistake"
    }


def _failing_answers(report: AuditReport) -> dict[int, list[str]]:
    """Test -> the right answers that failed it, with their seeds."""
    failing: defaultdict[int, list[str]] = defaultdict(list)
    for step, outcome in report.outcomes:
        if step.kind in ("solution", "variant"):
            for failure in outcome.failures:
                failing[failure.test].append(f"{step.name}, seed {step.seed}")
    return failing


def _seconds(report: AuditReport) -> dict[int, float]:
    """Test -> seconds with the solution, the median over the seeds."""
    times: defaultdict[int, list[float]] = defaultdict(list)
    for step, outcome in report.outcomes:
        if step.kind == "solution":
            _add_times(times, outcome)
    return {test: statistics.median(values) for test, values in times.items()}


def _add_times(times: defaultdict[int, list[float]], outcome: Outcome) -> None:
    for test, seconds in zip(outcome.ran, outcome.seconds, strict=True):
        times[test].append(seconds)


def _margin(margin: Margin) -> dict[str, Any]:
    spread = margin.deviation > 0
    return {
        "answer": margin.answer,
        "question": margin.question,
        "test": margin.test,
        "what": margin.what,
        "deviations": margin.deviations if spread else None,
        "share": min(100.0, 100.0 * margin.deviations / 20) if spread else 100.0,
        "mean": margin.mean,
        "deviation": margin.deviation,
        "threshold": margin.threshold,
        "seeds": margin.seeds,
        "too_small": margin.too_small,
    }


def _versions() -> str:
    return ", ".join(f"{package} {version}" for package, version in library_versions().items())


@cache
def _templates() -> Environment:
    environment = Environment(
        # The look is that of all pages of the kit.
        loader=ChoiceLoader([PackageLoader("autograder.audit"), PackageLoader("autograder.publishing")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment

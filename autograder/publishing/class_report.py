"""The instructor's page: how the class did, what it got wrong and why, and what needs a human."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from autograder.checking.rendering import says, state_of
from autograder.checking.safetext import one_line, safe_text
from autograder.course import Assignment
from autograder.course.results import Report, SubmissionResult
from autograder.publishing.files import is_safe_name, write_atomic
from autograder.publishing.numbers import percent, points
from autograder.publishing.pages import is_unsafe, templates

MAX_BINS = 12
MAX_ROWS = 10


def write_class_report(report: Report, course_title: str, assignment: Assignment, path: Path) -> Path:
    """Write the class report to `path`; a student's name links to `<student>/<slug>.html` beside it.

    Raises:
        PublishingError: the file cannot be written.
    """
    write_atomic(path, class_page(report, course_title, assignment).encode())
    return path


def class_page(report: Report, course_title: str, assignment: Assignment) -> str:
    """The class report as HTML."""
    graded = [submission for submission in report.submissions if submission.status == "graded"]
    refused = [submission for submission in report.submissions if submission.status == "refused"]
    scores = [submission.score for submission in graded]
    full = max((submission.max_score for submission in report.submissions), default=assignment.max_points)
    names = list(dict.fromkeys(question.name for submission in graded for question in submission.questions))
    return (
        templates()
        .get_template("class.html.j2")
        .render(
            course=one_line(course_title),
            assignment=one_line(assignment.title),
            slug=assignment.slug,
            unsafe=is_unsafe(report),
            sandbox=", ".join(one_line(layer, 60) for layer in report.sandbox) or "none",
            suite=one_line(report.suite_version, 64),
            full=full,
            count=len(report.submissions),
            graded=len(graded),
            refused=[
                {"student": one_line(submission.student, 100), "reason": safe_text(submission.reason, 600, 6)}
                for submission in refused
            ],
            mean=statistics.fmean(scores) if scores else None,
            median=statistics.median(scores) if scores else None,
            perfect=sum(score >= full for score in scores),
            histogram=histogram_svg(scores, full),
            questions=[_question(name, graded) for name in names],
            names=[one_line(name, 80) for name in names],
            diagnoses=_diagnoses(graded),
            failing=_failing(graded),
            not_run=_not_run(graded),
            students=[
                _row(submission, names, assignment.slug)
                for submission in sorted(
                    report.submissions, key=lambda submission: submission.student.casefold()
                )
            ],
        )
    )


def histogram(scores: Sequence[float], full: float) -> tuple[float, list[int]]:
    """The width of a bin, a round number giving at most `MAX_BINS` bins on [0, full], and the scores in each.

    The last bin includes its upper end, and what lies above it.
    """
    power = 10.0 ** math.floor(math.log10(full / MAX_BINS))
    width = next(width for factor in (1, 2, 5, 10) if (width := factor * power) * MAX_BINS >= full)
    counts = [0] * math.ceil(round(full / width, 9))
    for score in scores:
        counts[max(0, min(len(counts) - 1, int(score / width)))] += 1
    return width, counts


def histogram_svg(scores: Sequence[float], full: float) -> Markup:
    """The scores as a labelled histogram, in the colours of the page; empty without scores."""
    if not scores or full <= 0:
        return Markup()
    width, counts = histogram(scores, full)
    left, top, wide, high = 46, 24, 400, 150
    step = wide / len(counts)
    tallest = max(counts)
    parts = [
        Markup(
            '<svg class="histogram" role="img" aria-label="Histogram of {} scores" viewBox="0 0 {} {}" '
            'fill="currentColor" font-size="12">'
        ).format(len(scores), left + wide + 14, top + high + 44)
    ]
    unit = max(1, -(-tallest // 4))
    for tick in range(0, tallest + 1, unit):
        y = round(top + high - high * tick / tallest, 1)
        parts.append(
            Markup(
                '<path d="M{} {}h{}" stroke="currentColor" stroke-opacity=".15"/>'
                '<text x="{}" y="{}" text-anchor="end" fill-opacity=".72">{}</text>'
            ).format(left, y, wide, left - 8, y + 4, tick)
        )
    for bin_, count in enumerate(counts):
        if count:
            tall, x = round(high * count / tallest, 1), left + bin_ * step
            parts.append(
                Markup(
                    '<rect class="count-{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="2" '
                    'fill="var(--link)" fill-opacity=".75"/>'
                    '<text x="{:g}" y="{:g}" text-anchor="middle">{}</text>'
                ).format(
                    count,
                    x + 2,
                    top + high - tall,
                    step - 4,
                    tall,
                    x + step / 2,
                    top + high - tall - 5,
                    count,
                )
            )
    for tick in range(0, len(counts) + 1, 1 if len(counts) < 7 else 2):
        parts.append(
            Markup('<text x="{:g}" y="{}" text-anchor="middle" fill-opacity=".72">{}</text>').format(
                left + tick * step, top + high + 17, points(width * tick)
            )
        )
    middle = top + high / 2
    parts.append(
        Markup(
            '<text x="{:g}" y="{}" text-anchor="middle">score (points)</text>'
            '<text x="12" y="{:g}" text-anchor="middle" transform="rotate(-90 12 {:g})">students</text></svg>'
        ).format(left + wide / 2, top + high + 37, middle, middle)
    )
    return Markup().join(parts)


def _question(name: str, graded: Sequence[SubmissionResult]) -> dict[str, Any]:
    results = [
        question for submission in graded for question in submission.questions if question.name == name
    ]
    unwritten = sum(
        bool(question.tests) and all(state_of(test) == "unwritten" for test in question.tests)
        for question in results
    )
    return {
        "name": one_line(name, 80),
        "max_points": max(question.max_points for question in results),
        "mean": statistics.fmean(question.points for question in results),
        "full": sum(question.points >= question.max_points for question in results),
        "of": len(results),
        "unwritten": unwritten,
        "percent": percent(sum(question.points >= question.max_points for question in results), len(results)),
    }


def _diagnoses(graded: Sequence[SubmissionResult]) -> list[dict[str, Any]]:
    """Known mistakes by the number of students who made them."""
    made: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for submission in graded:
        for question in submission.questions:
            for test in question.tests:
                if test.outcome != "passed" and test.diagnosis and not test.family:
                    made[question.name, test.diagnosis].add(submission.student)
    ranked = sorted(made.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "question": one_line(question, 80),
            "sentence": sentence,
            "count": len(students),
            "students": _some(sorted(students, key=str.casefold)),
        }
        for (question, sentence), students in ranked[:MAX_ROWS]
    ]


def _failing(graded: Sequence[SubmissionResult]) -> list[dict[str, Any]]:
    """The checks that most answers failed; what was never written does not count."""
    failed: Counter[tuple[str, str]] = Counter()
    tried: Counter[tuple[str, str]] = Counter()
    for submission in graded:
        for question in submission.questions:
            for test in question.tests:
                state = state_of(test)
                if state in ("unwritten", "not_gradable"):
                    continue
                tried[question.name, says(test)] += 1
                failed[question.name, says(test)] += state != "passed"
    ranked = sorted(failed, key=lambda key: (-failed[key], key))
    return [
        {"question": one_line(key[0], 80), "says": key[1], "failed": failed[key], "tried": tried[key]}
        for key in ranked[:MAX_ROWS]
        if failed[key]
    ]


def _not_run(graded: Sequence[SubmissionResult]) -> list[dict[str, Any]]:
    """Checks that could not be run: somebody has to look."""
    stuck: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for submission in graded:
        for question in submission.questions:
            for test in question.tests:
                if test.outcome == "not_gradable":
                    stuck[question.name, says(test), one_line(test.message, 300)].append(submission.student)
    return [
        {
            "question": one_line(question, 80),
            "says": sentence,
            "message": message,
            "students": _some(students),
        }
        for (question, sentence, message), students in list(stuck.items())[:MAX_ROWS]
    ]


def _row(submission: SubmissionResult, names: Sequence[str], slug: str) -> dict[str, Any]:
    by_name = {question.name: question for question in submission.questions}
    cells = []
    for name in names:
        question = by_name.get(name)
        if question is None:
            cells.append({"kind": "none", "text": "–"})
            continue
        share = question.points / question.max_points if question.max_points else 0.0
        kind = "whole" if share >= 1 else "zero" if share <= 0 else "part"
        if all(state_of(test) == "unwritten" for test in question.tests):
            kind = "none"
        cells.append({"kind": kind, "text": points(question.points)})
    return {
        "student": one_line(submission.student, 100),
        "link": f"{quote(submission.student)}/{quote(slug)}.html" if is_safe_name(submission.student) else "",
        "graded": submission.status == "graded",
        "score": submission.score,
        "percent": percent(submission.score, submission.max_score),
        "cells": cells,
        "repairs": len(submission.repairs),
        "seconds": submission.seconds,
    }


def _some(students: Sequence[str], most: int = 6) -> Markup:
    shown = Markup(", ").join(escape(one_line(student, 60)) for student in students[:most])
    return shown + (f" and {len(students) - most} more" if len(students) > most else "")

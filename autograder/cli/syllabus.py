"""`syllabus`: the page that students see first."""

from __future__ import annotations

import sys
from pathlib import Path

from autograder.audit.accuracy import read_measured
from autograder.audit.ledger import Entry, read_ledger
from autograder.course import load_course
from autograder.course.files import write_whole
from autograder.publishing.syllabus import PICTURE, syllabus_page, syllabus_picture


def run_syllabus(folder: Path, *, check: bool) -> int:
    """Write the page and its picture, or compare the page with what is there. Exit status."""
    course = load_course(folder)
    figures = {
        slug: [
            f"{figure.what}: {figure.shown(figure.ours)} (to beat: {figure.shown(figure.headline)})"
            for figure in measured.figures
            if figure.headline is not None
        ]
        for slug, measured in read_measured(course.root / "docs/accuracy.json").items()
    }
    audits = {slug: _in_words(entry) for slug, entry in read_ledger(course).assignments.items()}
    page = course.root / "assignments/README.md"
    text = syllabus_page(course, figures, audits)
    if check:
        # The picture's bytes differ between versions of matplotlib; what it shows follows course.yml.
        if page.is_file() and page.read_text(encoding="utf-8") == text and page.with_name(PICTURE).is_file():
            return 0
        print(f"{page} is out of date. Run `autograder syllabus`.", file=sys.stderr)
        return 2
    write_whole(page, text)
    write_whole(page.with_name(PICTURE), syllabus_picture(course))
    print(page)
    return 0


def _in_words(entry: Entry) -> list[str]:
    words = [f"{entry.seeds} seeds", f"{entry.caught} of {len(entry.mistakes)} mistakes caught"]
    if entry.mutants:
        words.append(f"{entry.mutation.score:.0%} of the mutants killed")
    return words

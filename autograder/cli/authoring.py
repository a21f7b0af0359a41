"""`init`, `build` and `release`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.authoring import BuildError, build_assignment
from autograder.authoring.beginning import create_course
from autograder.cli.screen import progress
from autograder.course import Assignment, load_course
from autograder.publishing import bundle_release


def chosen(folder: Path, slugs: Sequence[str], *, drafts: bool = False) -> list[Assignment]:
    """The named assignments of the course, or all of them, `drafts` too where asked. Raises `CourseError`."""
    course = load_course(folder)
    everything = course.assignments if drafts else course.published
    return [course.assignment(slug) for slug in slugs] or list(everything)


def run_init(folder: Path) -> int:
    """Write the starter course and say what comes next. Exit status."""
    for path in create_course(folder):
        print(path)
    print(f"Next: cd {folder}, then `autograder build`. README.md there says the rest.")
    return 0


def run_build(folder: Path, slugs: Sequence[str], *, check: bool, execute: bool) -> int:
    """Build, or compare; every assignment's problems are printed before it ends. Exit status."""
    failed = False
    for assignment in chosen(folder, slugs, drafts=True):
        try:
            with progress(assignment.slug) as update:
                result = build_assignment(assignment, check=check, execute=execute, progress=update)
        except BuildError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        for difference in result.differences:
            print(difference, file=sys.stderr)
            failed = True
        if check:
            print(f"{assignment.slug}: {'differs' if result.differences else 'up to date'}")
        else:
            written = ", ".join(str(path.relative_to(assignment.root)) for path in result.written)
            print(f"{assignment.slug}: {'wrote ' + written if written else 'nothing had changed'}")
    return 2 if failed else 0


def run_release(folder: Path, slug: str, to: Path) -> int:
    """Write the bundle. Exit status."""
    assignment = load_course(folder).assignment(slug)
    print(bundle_release(assignment, to))
    return 0

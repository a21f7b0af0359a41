"""Which exceptions are for the user to read."""

from __future__ import annotations


def plain_message(error: Exception) -> str | None:
    """The text of an error that says in plain sentences what to do; None for one that is a bug of ours."""
    from autograder.checking.mistakes import MistakesError
    from autograder.checking.runner import SuiteError
    from autograder.course import CourseError
    from autograder.datasets import DatasetError
    from autograder.notebook.cells import SourceError
    from autograder.sandbox.verdicts import SandboxError
    from autograder.student import CheckError

    known: tuple[type[Exception], ...] = (
        CheckError, CourseError, DatasetError, MistakesError, SandboxError, SourceError, SuiteError,
    )  # fmt: skip
    try:
        from autograder.audit.accuracy import AccuracyError
        from autograder.audit.ledger import LedgerError
        from autograder.authoring import BuildError
        from autograder.gradebook.errors import GradebookError
        from autograder.grading.identity import StateError
        from autograder.grading.jobs import JobError
        from autograder.grading.run import ReportError
        from autograder.notebook.entries import CollectError
        from autograder.notebook.intake import ReleaseError
        from autograder.publishing import PublishingError
    except ImportError as missing:  # a student's installation has no grading
        if isinstance(error, ImportError):
            return (
                f"{missing.name} is not installed. Install the instructor's part: "
                'pip install "autograder-kit[instructor]".'
            )
    else:
        known += (
            AccuracyError, BuildError, CollectError, GradebookError, JobError, LedgerError, PublishingError,
            ReleaseError, ReportError, StateError,
        )  # fmt: skip
    if isinstance(error, known):
        return str(error)
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or error}."
    return None

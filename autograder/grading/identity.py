"""What a grade depends on: the submission, the version of the suite, and a seed that no student can guess."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autograder import __version__
from autograder.course import Assignment, Course
from autograder.course.files import cannot_write

STATE_FOLDER = ".autograder"


class StateError(Exception):
    """The course's state folder cannot be used; the text says why and what to do."""


def state_folder(course: Course) -> Path:
    """The folder beside course.yml that keeps the key and unfinished runs; readable by its owner only."""
    folder = course.root / STATE_FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"Cannot create {folder}: {error.strerror}. Grade from a course folder that you may write to."
        ) from error
    return folder


def course_key(course: Course) -> bytes:
    """32 secret bytes, made at the first grading and kept in .autograder/key. Losing them changes every
    seed.
    """
    path = state_folder(course) / "key"
    if not path.exists():
        _draw_key(path)
    key = path.read_bytes()
    if len(key) < 16:
        raise StateError(f"{path} is damaged. Restore it from a backup, or delete it to draw a new key.")
    return key


def _draw_key(path: Path) -> None:
    """Whole or not at all, whenever the process is killed; of two graders that draw at once, one wins."""
    try:
        descriptor, draft = tempfile.mkstemp(prefix="key-", dir=path.parent)  # readable by its owner only
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            with contextlib.suppress(OSError):
                Path(draft).unlink()
    except OSError as error:
        raise StateError(cannot_write(path, error)) from error


def submission_seed(key: bytes, slug: str, student: str) -> int:
    """A 63-bit seed from the course's key, the assignment and the student: the same at every regrade."""
    digest = hmac.new(key, f"{slug}\0{student}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numbers_seed(seed: int, sha256: str) -> int:
    """The seed of a test's numbers: a student's seed and the submission's digest.

    So the same file always gets the same numbers, and the next one of the same student gets others: what a
    report tells of the inputs and labels is worth nothing in the next attempt.
    """
    digest = hashlib.blake2b(f"{seed} {sha256}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def suite_files(assignment: Assignment) -> list[Path]:
    """The hidden suite, and the public one where there is one."""
    return sorted(assignment.tests.glob("test_*.py"))


def suite_version(assignment: Assignment) -> str:
    """A digest of everything a verdict depends on besides the submission: suite, solution, points,
    libraries.
    """
    digest = hashlib.sha256()
    for path in [*suite_files(assignment), assignment.source, *assignment.own_files().values()]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(assignment.model_dump_json().encode())
    for package in ("numpy", "torch", "pytest"):
        try:
            digest.update(f"{package} {version(package)}\0".encode())
        except PackageNotFoundError:
            continue
    digest.update(__version__.encode())
    return digest.hexdigest()[:16]

"""`autograder init`: a new course with one small, complete assignment to learn from and to replace."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from autograder.authoring.problems import BuildError, BuildProblem
from autograder.course.files import cannot_write, write_whole

STARTER = "starter"
_RENAMED = {"gitignore": ".gitignore"}  # a real .gitignore would keep files out of this repository


def create_course(folder: Path) -> list[Path]:
    """Write the starter course into `folder`, which is made if need be; the files, sorted.

    Raises:
        BuildError: there is something in the folder already, or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise BuildError([BuildProblem(folder, f"This {what}.", "Name a folder that is new or empty.")])
    written = []
    for name, content in _files(resources.files("autograder.authoring") / STARTER, PurePosixPath()):
        path = folder / name
        try:
            write_whole(path, content)
        except OSError as error:
            raise BuildError(
                [BuildProblem(folder, cannot_write(path, error), "Nothing else was written.")]
            ) from error
        written.append(path)
    return sorted(written)


def _files(folder: Traversable, below: PurePosixPath) -> list[tuple[PurePosixPath, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                found += _files(entry, below / entry.name)
        else:
            found.append((below / _RENAMED.get(entry.name, entry.name), entry.read_bytes()))
    return found

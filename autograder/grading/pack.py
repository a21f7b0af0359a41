"""What a grader on another machine needs of a course, as one piece of bytes with its digest.

Files in the folders of the assignment, course.yml, and nothing else: no submission, no gradebook, no key.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Assignment

_LEFT_OUT = ("__pycache__", ".ipynb_checkpoints")


@dataclass(frozen=True)
class Pack:
    """An assignment to grade elsewhere."""

    slug: str
    digest: str
    content: bytes
    """An uncompressed tar archive; the same files give the same bytes."""

    def unpack(self, folder: Path) -> None:
        """Lay out a course with this one assignment. It comes from the instructor, so it is trusted."""
        with tarfile.open(fileobj=io.BytesIO(self.content)) as archive:
            archive.extractall(folder, filter="data")


def pack(assignment: Assignment) -> Pack:
    """Source, mistakes, the solution's own weights, release notebook, the suites with the files beside them,
    and course.yml.
    """
    root = assignment.root
    files = [root / "course.yml", assignment.source, assignment.mistakes, assignment.release_notebook]
    files += assignment.own_files().values()
    files += [path for path in assignment.tests.rglob("*") if not set(_LEFT_OUT) & set(path.parts)]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(file for file in files if file.is_file()):
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            content = path.read_bytes()
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    content = buffer.getvalue()
    return Pack(assignment.slug, hashlib.sha256(content).hexdigest()[:16], content)

"""What has been graded, on disk: one line for each graded submission. An interrupted run loses nothing, and
the next one grades only what has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from autograder.course.files import cannot_write, write_whole
from autograder.course.results import SubmissionResult
from autograder.grading.identity import StateError


@dataclass(frozen=True)
class Kept:
    """A result of an earlier run."""

    result: SubmissionResult
    stale: frozenset[str]
    """Questions whose suite has changed since, or that are new; never all of them."""
    sandbox: tuple[str, ...]
    """The layers that were in force."""


class Journal:
    """Appends results as they come; reads back those that still hold.

    A question's result holds for the same submission (sha256), the same seed and the same version of the
    question (see `versions`).
    """

    def __init__(self, path: Path, versions: Mapping[str, str]) -> None:
        self._path, self._versions = path, dict(versions)
        self._file: int | None = None

    def read(self) -> dict[str, Kept]:
        """Student -> the last result of which anything holds; a line cut off by a crash is passed over."""
        found: dict[str, Kept] = {}
        for line in self._lines():
            try:
                entry = json.loads(line)
                versions, sandbox = dict(entry["versions"]), tuple(map(str, entry["sandbox"]))
                result = SubmissionResult.model_validate(entry["result"])
            except (ValueError, KeyError, TypeError, ValidationError):
                continue
            stale = {name for name, version in self._versions.items() if versions.get(name) != version}
            found.pop(result.student, None)
            if len(stale) < len(self._versions):
                found[result.student] = Kept(result, frozenset(stale), sandbox)
        return found

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateError(f"Cannot read {self._path}: {error.strerror}. Move it away.") from error

    def start(self, *, fresh: bool) -> None:
        """Open for appending; `fresh` forgets what earlier runs left. Raises `StateError`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise StateError(cannot_write(self._path, error)) from error
        self._write(b"\n")  # a line that a crash cut off must not swallow the next

    def append(self, result: SubmissionResult, sandbox: Sequence[str]) -> None:
        """One result and the layers in force, in one write. Raises `StateError`."""
        if self._file is not None:
            entry = {
                "versions": self._versions,
                "sandbox": list(sandbox),
                "result": result.model_dump(mode="json"),
            }
            self._write(json.dumps(entry).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        try:
            while line:  # a disk that fills up takes a part before it refuses the rest
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise StateError(cannot_write(self._path, error)) from error

    def close(self, *, finished: bool) -> None:
        """Close it. After a finished run it is made as short as it can be: the last line of each student."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if not finished:
            return
        last: dict[str, str] = {}
        for line in self._lines():
            try:
                student = json.loads(line)["result"]["student"]
            except (ValueError, KeyError, TypeError):
                continue
            last[str(student)] = line
        with suppress(OSError):  # the longer file says the same
            write_whole(self._path, "".join(f"{line}\n" for line in last.values()))

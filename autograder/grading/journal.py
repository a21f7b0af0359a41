"""An unfinished run on disk: one line for each graded submission, so that an interrupted run loses
nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from autograder.course.files import cannot_write
from autograder.course.results import SubmissionResult
from autograder.grading.identity import StateError


class Journal:
    """Appends results as they come; reads back those that still hold.

    A result holds for the same submission (sha256), the same seed and the same suite version.
    """

    def __init__(self, path: Path, suite_version: str) -> None:
        self._path, self._version = path, suite_version
        self._file: int | None = None

    def read(self) -> dict[str, SubmissionResult]:
        """Student -> the last result written by this suite version; a line cut off by a crash is passed
        over.
        """
        results: dict[str, SubmissionResult] = {}
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return results
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if entry["suite_version"] != self._version:
                    continue
                result = SubmissionResult.model_validate(entry["result"])
            except (ValueError, KeyError, TypeError, ValidationError):
                continue
            results[result.student] = result
        return results

    def start(self, *, fresh: bool) -> None:
        """Open for appending; `fresh` forgets what an earlier run left. Raises `StateError`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise StateError(cannot_write(self._path, error)) from error
        self._write(b"\n")  # a line that a crash cut off must not swallow the next

    def append(self, result: SubmissionResult) -> None:
        """One result, in one write. Raises `StateError`."""
        if self._file is not None:
            entry = {"suite_version": self._version, "result": result.model_dump(mode="json")}
            self._write(json.dumps(entry).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        try:
            while line:  # a disk that fills up takes a part before it refuses the rest
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise StateError(cannot_write(self._path, error)) from error

    def close(self, *, finished: bool) -> None:
        """Close it; a finished run needs no journal."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if finished:
            self._path.unlink(missing_ok=True)

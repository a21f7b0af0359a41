"""Finished steps of earlier audits, so that only what changed is audited again, and an interrupted audit goes
on where it was.

A step holds as long as everything that it depends on: its own code and seed, the solution, the suite, the
bank of mistakes where it is asked, the engine, and the versions of the libraries. What went wrong is never
kept: the next audit looks at it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

import autograder
from autograder.audit.steps import Outcome, Step, TestInfo
from autograder.checking.mistakes import Mistake
from autograder.course import Assignment
from autograder.course.files import cannot_write, write_whole
from autograder.grading.identity import STATE_FOLDER, StateError, suite_files
from autograder.grading.versions import digest_of_solution

ROOMS = ("checking", "course", "datasets", "grading", "notebook", "sandbox")
"""The rooms of the engine that a verdict depends on."""
RULES = {"limits", "forbid", "torch", "data", "files", "questions"}
"""What course.yml says that a verdict depends on."""
LIBRARIES = ("numpy", "torch", "pytest", "scikit-learn", "matplotlib")


@cache
def engine_digest() -> str:
    """Of the engine's source, as far as verdicts depend on it."""
    root = Path(autograder.__file__).parent
    files = [path for room in ROOMS for path in (root / room).rglob("*.py")]
    files += [root / "audit" / name for name in ("calls.py", "garbage.py", "steps.py")]
    return digest_of(sorted(files), root)


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a verdict depends on."""
    found = {"python": platform.python_version()}
    for package in LIBRARIES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def digest_of(files: Iterable[Path], root: Path) -> str:
    """Of the names and contents of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class KeptSteps:
    """The finished steps of one assignment, in a file of the course's state folder."""

    def __init__(self, assignment: Assignment, mistakes: Iterable[Mistake], *, force: bool = False) -> None:
        self._path = assignment.root / STATE_FOLDER / "audit" / f"{assignment.slug}.jsonl"
        self._assignment = assignment
        self._base = self._digest_of_assignment()
        self._banks = _banks(mistakes)
        self._lines: dict[str, str] = {}
        self._stale = 0
        self._begun = False
        self.tests: list[TestInfo] | None = None
        if not force:
            self._read()

    def find(self, step: Step) -> Outcome | None:
        """What came of the same step before, where it still holds.

        A mutant that needs no explanation is the same step when it was explained, and one failure is enough
        where all are known.
        """
        line = self._lines.get(self._key(step))
        if line is None and step.kind == "mutant" and not step.explain:
            line = self._lines.get(self._key(replace(step, explain=True)))
        if line is None and step.brief:
            line = self._lines.get(self._key(replace(step, brief=False)))
        if line is None:
            return None
        try:
            return Outcome.model_validate_json(line)
        except ValidationError:
            return None

    def keep(self, step: Step, outcome: Outcome) -> None:
        """Write down a finished step; one write, so that nothing is ever half there but the last line."""
        if is_worth_keeping(step, outcome):
            self._append(self._key(step), outcome.model_dump_json(exclude_defaults=True))

    def keep_tests(self, tests: list[TestInfo]) -> None:
        """Write down the tests of the suite."""
        if self.tests is None:
            self._append("tests", TypeAdapter(list[TestInfo]).dump_json(tests).decode())
        self.tests = tests

    def tidy(self) -> None:
        """Drop what no longer holds, once that is the larger part of the file."""
        if self._stale > len(self._lines):
            text = "".join(_line(self._base, key, value) for key, value in self._lines.items())
            try:
                write_whole(self._path, text, durable=False)
            except OSError as error:
                raise StateError(cannot_write(self._path, error)) from error
            self._stale = 0

    def _append(self, key: str, value: str) -> None:
        self._lines[key] = value
        line = _line(self._base, key, value)
        if not self._begun:  # a line that a crash cut off must not swallow this one
            line, self._begun = "\n" + line, True
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
        except OSError as error:
            raise StateError(cannot_write(self._path, error)) from error

    def _read(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            parts = line.split("\t", 2)
            if len(parts) == 3 and parts[0] == self._base and _is_json(parts[2]):
                self._lines[parts[1]] = parts[2]
            elif line:
                self._stale += 1
        if "tests" in self._lines:
            try:
                self.tests = TypeAdapter(list[TestInfo]).validate_json(self._lines["tests"])
            except ValidationError:
                self._lines.clear()

    def _key(self, step: Step) -> str:
        bank = self._banks.get(step.question, "") if step.kind == "mistake" or step.explain else ""
        stub = ""
        if step.kind == "nothing":
            stub = hashlib.sha256(self._assignment.release_notebook.read_bytes()).hexdigest()
        parts = (
            step.kind, step.name if step.kind != "mutant" else "", step.seed, step.source, step.question,
            step.cell, step.replaces, step.explain, bank, stub, *(["brief"] if step.brief else []),
        )  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]

    def _digest_of_assignment(self) -> str:
        assignment = self._assignment
        digest = hashlib.sha256()
        digest.update(digest_of_solution(assignment.source).encode())
        files = [*suite_files(assignment), *assignment.all_own_files]
        digest.update(digest_of(files, assignment.root).encode())
        digest.update(assignment.model_dump_json(include=RULES).encode())
        digest.update(json.dumps(library_versions(), sort_keys=True).encode())
        digest.update(engine_digest().encode())
        return digest.hexdigest()[:16]


def is_worth_keeping(step: Step, outcome: Outcome) -> bool:
    """Whether a step need not be done again while nothing changes: it went as it should."""
    if outcome.notes:
        return False
    if step.kind in ("solution", "variant"):
        return not outcome.failures
    if step.kind == "mutant":
        return bool(outcome.failures)
    # What takes too long may have been slowed down by something else on the machine.
    return bool(outcome.failures) and all(
        failure.outcome in ("failed", "error") for failure in outcome.failures
    )


def _banks(mistakes: Iterable[Mistake]) -> Mapping[str, str]:
    """Question -> digest of its mistakes."""
    banks: dict[str, hashlib._Hash] = {}
    for mistake in mistakes:
        digest = banks.setdefault(mistake.question, hashlib.sha256())
        digest.update(f"{mistake.name}\0{mistake.sentence}\0{mistake.source}\0".encode())
    return {question: digest.hexdigest() for question, digest in banks.items()}


def _line(base: str, key: str, value: str) -> str:
    return f"{base}\t{key}\t{value}\n"


def _is_json(text: str) -> bool:
    return text[:1] in "{[" and text[-1:] in "}]"

"""The part of a cluster's grading that runs on its workers: a warm grader process for each of their threads.

A worker gets the course once, by its digest; its graders stay for the next submission. Every grader proves
its sandbox before it takes work, as it would here.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autograder.course import Assignment, load_course
from autograder.grading.grader import Graded, Options
from autograder.grading.pack import Pack
from autograder.grading.process import MAX_ATTEMPTS, GraderProcess, JobError, Task, ended_on_it
from autograder.grading.versions import question_versions


@dataclass(frozen=True)
class Answer:
    """What a worker says."""

    worker: str
    kind: Literal["graded", "unfit"]
    """"unfit": nothing may be graded there."""
    sandbox: tuple[str, ...] = ()
    graded: Graded | None = None
    reason: str = ""


Key = tuple[str, Options]
"""A course's digest, and how it is graded."""


class _Graders:
    """The warm graders of this process. Several runs may use it at once, each with a course of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._known: dict[tuple[str, str, bool], tuple[Assignment, dict[str, str]]] = {}
        self._idle: dict[Key, list[tuple[GraderProcess, list[str]]]] = {}

    def assignment(self, pack: Pack, options: Options) -> tuple[Assignment, dict[str, str]]:
        """The assignment, laid out on this machine once, with what `question_versions` finds here.

        Raises OSError.
        """
        key = (pack.digest, pack.slug, options.unsafe_no_sandbox)
        with self._lock:
            if key in self._known:
                return self._known[key]
            if pack.digest not in self._folders:
                folder = Path(tempfile.mkdtemp(prefix="autograder-course-"))
                try:
                    pack.unpack(folder)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                self._folders[pack.digest] = folder
            found = load_course(self._folders[pack.digest]).assignment(pack.slug)
            self._known[key] = found, question_versions(found, unsafe=options.unsafe_no_sandbox)
            return self._known[key]

    def take(self, key: Key, assignment: Assignment) -> tuple[GraderProcess, list[str]]:
        """An idle grader, or a new one in place of those that are idle for others. Raises `JobError`."""
        with self._lock:
            if self._idle.get(key):
                return self._idle[key].pop()
            self._end_idle()
        started = GraderProcess(assignment, key[1], set())
        try:
            return started, started.ready()
        except BaseException:
            started.end()
            raise

    def give_back(self, key: Key, grader: GraderProcess, layers: list[str]) -> None:
        """Keep a grader for the next submission of the same course."""
        with self._lock:
            self._idle.setdefault(key, []).append((grader, layers))

    def _end_idle(self) -> None:
        for graders in self._idle.values():
            while graders:
                graders.pop()[0].end()

    def close(self) -> None:
        """End all that is idle, and remove the courses."""
        with self._lock:
            self._end_idle()
            self._known.clear()
            while self._folders:
                shutil.rmtree(self._folders.popitem()[1], ignore_errors=True)


_graders = _Graders()
atexit.register(_graders.close)


def grade_here(
    pack: Pack, tasks: Sequence[Task], options: Options, versions: Mapping[str, str]
) -> list[Answer]:
    """Grade some submissions on this worker, one after the other.

    Args:
        pack: the assignment.
        tasks: the submissions, with their bytes.
        options: as for a grader here.
        versions: what the one who asks has for `question_versions`; a worker that computes others (it has
            another NumPy, say) must not grade.

    Returns:
        An answer each, in order; where this worker turns out to be unfit, that is the last.
    """
    from distributed import get_worker

    worker = str(get_worker().address)
    answers: list[Answer] = []
    try:
        assignment, own_versions = _graders.assignment(pack, options)
        if own_versions != dict(versions):
            other = (
                "it has another version of autograder, NumPy, PyTorch or pytest than the machine that asks"
            )
            return [Answer(worker, "unfit", reason=other)]
        for task in tasks:
            answers.append(_grade((pack.digest, options), assignment, task, worker))
    except JobError as error:
        answers.append(Answer(worker, "unfit", reason=str(error)))
    except OSError as error:  # its disk is full, say: not to be taken for a scheduler that is gone
        answers.append(Answer(worker, "unfit", reason=error.strerror or str(error)))
    return answers


def _grade(key: Key, assignment: Assignment, task: Task, worker: str) -> Answer:
    """Grade one. Raises `JobError` where no grader is fit to."""
    for _ in range(MAX_ATTEMPTS):
        grader, layers = _graders.take(key, assignment)
        grader.give(task)
        graded = grader.answer()
        if graded is not None:
            _graders.give_back(key, grader, layers)
            return Answer(worker, "graded", tuple(layers), graded)
        grader.end()
    return Answer(worker, "graded", (), ended_on_it(assignment, task))

"""The part of a cluster's grading that runs on its workers: a warm grader process for each of their threads.

A worker gets the course once, by its digest; its graders stay for the next submission. Every grader proves
its sandbox before it takes work, as it would here.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Mapping
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


class _Graders:
    """The warm graders of this process, for one course at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digest = ""
        self._folder: Path | None = None
        self._idle: list[tuple[GraderProcess, list[str]]] = []
        self._options = Options()

    def course(self, pack: Pack, options: Options) -> Assignment:
        """The assignment, laid out on this machine; graders of another one are ended."""
        with self._lock:
            if pack.digest != self._digest or options != self._options or self._folder is None:
                self._forget()
                self._folder = Path(tempfile.mkdtemp(prefix="autograder-course-"))
                pack.unpack(self._folder)
                self._digest, self._options = pack.digest, options
            return load_course(self._folder).assignment(pack.slug)

    def take(self, assignment: Assignment, options: Options) -> tuple[GraderProcess, list[str]]:
        """An idle grader, or a new one. Raises `JobError`."""
        with self._lock:
            if self._idle and assignment.root == self._folder:
                return self._idle.pop()
        started = GraderProcess(assignment, options, set())
        try:
            return started, started.ready()
        except BaseException:
            started.end()
            raise

    def give_back(self, assignment: Assignment, grader: GraderProcess, layers: list[str]) -> None:
        """Keep a grader for the next submission of the same course."""
        with self._lock:
            if assignment.root == self._folder:
                self._idle.append((grader, layers))
                return
        grader.end()

    def _forget(self) -> None:
        while self._idle:
            self._idle.pop()[0].end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def close(self) -> None:
        """End all that is idle."""
        with self._lock:
            self._forget()


_graders = _Graders()
atexit.register(_graders.close)


def grade_here(pack: Pack, task: Task, options: Options, versions: Mapping[str, str]) -> Answer:
    """Grade one submission on this worker.

    Args:
        pack: the assignment.
        task: the submission, with its bytes.
        options: as for a grader here.
        versions: what the one who asks has for `question_versions`; a worker that computes others (it has
            another NumPy, say) must not grade.
    """
    from distributed import get_worker

    worker = str(get_worker().address)
    assignment = _graders.course(pack, options)
    if question_versions(assignment, unsafe=options.unsafe_no_sandbox) != dict(versions):
        other = "it has another version of autograder, NumPy, PyTorch or pytest than the machine that asks"
        return Answer(worker, "unfit", reason=other)
    for _ in range(MAX_ATTEMPTS):
        try:
            grader, layers = _graders.take(assignment, options)
        except JobError as error:
            return Answer(worker, "unfit", reason=str(error))
        grader.give(task)
        graded = grader.answer()
        if graded is not None:
            _graders.give_back(assignment, grader, layers)
            return Answer(worker, "graded", tuple(layers), graded)
        grader.end()
    return Answer(worker, "graded", (), ended_on_it(assignment, task))

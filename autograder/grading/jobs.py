"""Several grader processes side by side, fed one submission at a time; one that dies costs nothing but a
repetition.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from autograder.course import Assignment, load_course
from autograder.course.results import SubmissionResult
from autograder.grading.grader import Graded, Grader, Options, with_grader
from autograder.grading.journal import Kept
from autograder.notebook.collect import Found
from autograder.notebook.entries import UnreadableError

MAX_ATTEMPTS = 2


@dataclass(frozen=True)
class Task:
    """One submission to grade."""

    found: Found
    seed: int
    kept: Kept | None = None
    """What is known of it already: only the stale questions are graded."""


class JobError(Exception):
    """A grader process could not start; the text is the reason it gave."""


def grade_task(grader: Grader, task: Task) -> Graded:
    """Read and grade one submission; one that cannot be read is refused."""
    limits = grader.assignment.limits
    try:
        raw = task.found.read(limits.notebook_mb << 20)
    except UnreadableError as error:
        return refused(grader.assignment, task.found.student, str(error), task.found.label, task.seed)
    return grader.grade(raw, task.found.student, task.seed, task.found.label, task.kept)


def refused(assignment: Assignment, student: str, reason: str, label: str, seed: int = 0) -> Graded:
    """The result of a submission that cannot be graded."""
    result = SubmissionResult(
        student=student,
        score=0.0,
        max_score=assignment.max_points,
        status="refused",
        reason=reason,
        source=label,
        seed=seed,
    )
    return Graded(result, None)


def processors(job: int, jobs: int) -> set[int]:
    """A job's share of the processors: a submission that keeps threads busy slows down no other job's.
    Empty where a process cannot choose.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set()
    usable = sorted(os.sched_getaffinity(0))
    return set(usable[job % len(usable) :: jobs])


def _job(connection: Connection, root: Path, slug: str, options: Options, share: set[int]) -> None:
    """The body of a grader process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    if share:
        with contextlib.suppress(OSError):  # a processor may have gone: then all of them will do
            os.sched_setaffinity(0, share)
    try:
        assignment = load_course(root).assignment(slug)

        def serve(grader: Grader) -> None:
            connection.send(("ready", grader.sandbox))
            while True:
                task = connection.recv()
                if task is None:
                    return
                connection.send(("graded", grade_task(grader, task)))

        with_grader(assignment, serve, options)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        connection.send(("failed", str(error)))


class _Job:
    def __init__(self, assignment: Assignment, options: Options, share: set[int]) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.connection = ours
        self.task: Task | None = None
        self.process = context.Process(
            target=_job, args=(theirs, assignment.root, assignment.slug, options, share), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, task: Task | None) -> None:
        self.task = task
        with contextlib.suppress(OSError):  # it has ended: whoever waits for its answer will see that
            self.connection.send(task)

    def end(self) -> None:
        self.connection.close()
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Pool:
    """`count` grader processes. Use as a context manager; `sandbox` is known once it is entered."""

    def __init__(self, assignment: Assignment, options: Options, count: int) -> None:
        self._assignment, self._options, self._count = assignment, options, count
        self._jobs: list[_Job] = []
        self.sandbox: list[str] = []

    def __enter__(self) -> Pool:
        self._jobs = [self._start(number) for number in range(self._count)]
        try:
            for job in self._jobs:
                self.sandbox = self._ready(job)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._jobs:
            job.end()

    def _start(self, number: int) -> _Job:
        return _Job(self._assignment, self._options, processors(number, self._count))

    def _ready(self, job: _Job) -> list[str]:
        try:
            kind, value = job.connection.recv()
        except EOFError:
            raise JobError("A grader process ended while it was starting.") from None
        if kind != "ready":
            raise JobError(str(value))
        return list(value)

    def grade(self, tasks: Sequence[Task]) -> Iterator[Graded]:
        """Results as they come, in no particular order."""
        waiting = deque((task, 1) for task in tasks)
        attempts: dict[int, int] = {}
        for job in self._jobs:
            self._feed(job, waiting, attempts)
        while any(job.task is not None for job in self._jobs):
            busy = {job.connection: job for job in self._jobs if job.task is not None}
            for connection in wait(list(busy)):
                job = busy[connection]  # type: ignore[index]
                task = job.task
                assert task is not None
                try:
                    kind, answer = job.connection.recv()
                except (EOFError, OSError):
                    job.end()
                    self._jobs[self._jobs.index(job)] = job = self._start(self._jobs.index(job))
                    self._ready(job)
                    attempt = attempts.get(id(task), 1)
                    if attempt < MAX_ATTEMPTS:
                        waiting.append((task, attempt + 1))
                    else:
                        reason = f"The grader's process ended {attempt} times on it. Look at it by hand."
                        yield refused(
                            self._assignment, task.found.student, reason, task.found.label, task.seed
                        )
                else:
                    if kind != "graded":
                        raise JobError(str(answer))
                    yield answer
                self._feed(job, waiting, attempts)

    def _feed(self, job: _Job, waiting: deque[tuple[Task, int]], attempts: dict[int, int]) -> None:
        if not waiting:
            job.task = None
            return
        task, attempt = waiting.popleft()
        attempts[id(task)] = attempt
        job.give(task)


def one_process(assignment: Assignment, options: Options, body: Any) -> Any:
    """`body(sandbox layers, grade function)` with a grader in this very process."""

    def inside(grader: Grader) -> Any:
        return body(grader.sandbox, lambda tasks: (grade_task(grader, task) for task in tasks))

    return with_grader(assignment, inside, options)

"""Several grader processes side by side, fed one submission at a time; one that dies costs nothing but a
repetition.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from autograder.course import Assignment
from autograder.grading.grader import Graded, Grader, Options, with_grader
from autograder.grading.process import (
    MAX_ATTEMPTS,
    GraderProcess,
    JobError,
    Task,
    ended_on_it,
    grade_task,
    refused,
)

__all__ = ["JobError", "Pool", "Task", "one_process", "processors", "refused"]


def processors(job: int, jobs: int) -> set[int]:
    """A job's share of the processors: a submission that keeps threads busy slows down no other job's.
    Empty where a process cannot choose.
    """
    if not hasattr(os, "sched_getaffinity"):
        return set()
    usable = sorted(os.sched_getaffinity(0))
    return set(usable[job % len(usable) :: jobs])


class Pool:
    """`count` grader processes. Use as a context manager; `sandbox` is known once it is entered.

    The first starts alone, with all processors, so that the first verdicts come early; the others start on
    their own processors while it grades, and get submissions as soon as they are ready.
    """

    def __init__(self, assignment: Assignment, options: Options, count: int) -> None:
        self._assignment, self._options, self._count = assignment, options, count
        self._jobs: list[GraderProcess] = []
        self.sandbox: list[str] = []

    def __enter__(self) -> Pool:
        try:
            self._jobs.append(self._start(0, alone=True))
            self.sandbox = self._jobs[0].ready()
            self._jobs += [self._start(number) for number in range(1, self._count)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._jobs:
            job.let_go()
        for job in self._jobs:
            job.end()

    def _start(self, number: int, *, alone: bool = False) -> GraderProcess:
        return GraderProcess(self._assignment, self._options, processors(number, self._count), alone=alone)

    def grade(self, tasks: Sequence[Task]) -> Iterator[Graded]:
        """Results as they come, in no particular order."""
        waiting = deque((task, 1) for task in tasks)
        attempts: dict[int, int] = {}
        starting = {job.connection: job for job in self._jobs[1:]}
        self._feed(self._jobs[0], waiting, attempts)
        while any(job.task is not None for job in self._jobs):
            busy = {job.connection: job for job in self._jobs if job.task is not None}
            for connection in wait([*busy, *starting]):
                if (job := starting.pop(connection, None)) is not None:  # type: ignore[call-overload]
                    job.ready()
                    self._feed(job, waiting, attempts)
                    continue
                job = busy[connection]  # type: ignore[index]
                task = job.task
                assert task is not None
                graded = job.answer()
                if graded is not None:
                    yield graded
                else:
                    job.end()
                    self._jobs[self._jobs.index(job)] = job = self._start(self._jobs.index(job))
                    job.ready()
                    attempt = attempts.get(id(task), 1)
                    if attempt < MAX_ATTEMPTS:
                        waiting.append((task, attempt + 1))
                    else:
                        yield ended_on_it(self._assignment, task)
                self._feed(job, waiting, attempts)

    def _feed(self, job: GraderProcess, waiting: deque[tuple[Task, int]], attempts: dict[int, int]) -> None:
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

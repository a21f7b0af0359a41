"""Doing the steps of an audit: in this process, or in several side by side, each with a warm grader."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Sequence, Set
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from autograder.audit.steps import Examiner, Outcome, Step, TestInfo, suite_tests
from autograder.course import Assignment, load_course
from autograder.grading.grader import Grader, Options, with_grader
from autograder.grading.jobs import JobError
from autograder.sandbox.verdicts import SandboxError

OPTIONS = Options(diagnose=False)

Finished = Callable[[Step, Outcome], None]


def do_steps(
    assignment: Assignment,
    steps: Sequence[Step],
    jobs: int,
    tests: Callable[[list[TestInfo]], None],
    finished: Finished,
) -> None:
    """Do all steps; `tests` is told of the suite's tests first, `finished` of each step as it ends.

    Raises what `with_grader` raises; `SandboxError` where a process was killed.
    """
    if jobs <= 1 or len(steps) <= 1:
        with_grader(assignment, lambda grader: _one_by_one(grader, steps, tests, finished), OPTIONS)
        return
    workers = [_Worker(assignment) for _ in range(min(jobs, len(steps)))]
    try:
        for worker in workers:
            tests(worker.ready())
        waiting = deque(steps)
        for worker in workers:
            worker.give(waiting, workers)
        while busy := {worker.connection: worker for worker in workers if worker.step is not None}:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                step, outcome = worker.result()
                finished(step, outcome)
                worker.give(waiting, workers)
    finally:
        for worker in workers:
            worker.end()


def take(waiting: deque[Step], begun: Set[str]) -> Step | None:
    """The next step, off the list: rather not of a part of the solution that another process has begun with,
    which has found out what depends on it. None where nothing is left.
    """
    if not waiting:
        return None
    place = next((place for place, step in enumerate(waiting) if step.replaces not in begun), 0)
    step = waiting[place]
    del waiting[place]
    return step


def _one_by_one(
    grader: Grader, steps: Sequence[Step], tests: Callable[[list[TestInfo]], None], finished: Finished
) -> None:
    tests(suite_tests(grader))
    examiner = Examiner(grader)
    for step in steps:
        finished(step, examiner.outcome(step))


def _serve(connection: Connection, root: Path, slug: str) -> None:
    """The body of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    try:
        assignment = load_course(root).assignment(slug)

        def serve(grader: Grader) -> None:
            connection.send(("ready", suite_tests(grader)))
            examiner = Examiner(grader)
            while (step := connection.recv()) is not None:
                connection.send(("done", examiner.outcome(step)))

        with_grader(assignment, serve, OPTIONS)
    except (EOFError, BrokenPipeError):
        return
    except SandboxError as error:
        connection.send(("sandbox", str(error)))
    except Exception as error:
        connection.send(("failed", str(error)))


class _Worker:
    """A process with a warm grader."""

    def __init__(self, assignment: Assignment) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.step: Step | None = None
        self._parts: set[str] = set()
        self._process = context.Process(
            target=_serve, args=(theirs, assignment.root, assignment.slug), daemon=True
        )
        self._process.start()
        theirs.close()

    def ready(self) -> list[TestInfo]:
        """The suite's tests, once it has started."""
        return list(self._answer())

    def give(self, waiting: deque[Step], workers: Sequence[_Worker]) -> None:
        """The next step, where there is one."""
        others = {part for worker in workers if worker is not self for part in worker._parts}
        self.step = take(waiting, others)
        if self.step is not None and self.step.replaces:
            self._parts.add(self.step.replaces)
        with contextlib.suppress(OSError):  # it has ended: whoever waits for its answer will see that
            self.connection.send(self.step)

    def result(self) -> tuple[Step, Outcome]:
        """The step that it was given, and what came of it."""
        assert self.step is not None
        outcome: Outcome = self._answer()
        return self.step, outcome

    def _answer(self) -> Any:
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise SandboxError(
                "A process of the audit was killed, perhaps for want of memory. Run it with fewer jobs."
            ) from None
        if kind == "sandbox":
            raise SandboxError(value)
        if kind == "failed":
            raise JobError(value)
        return value

    def end(self) -> None:
        """End the process, at once where it is at work."""
        self.connection.close()
        if self.step is not None:
            self._process.terminate()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

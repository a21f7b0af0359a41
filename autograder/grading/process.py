"""A grader in a process of its own, which is given one submission at a time.

    python -P -m autograder.grading.process DESCRIPTOR

The descriptor is one end of a socket pair; the first message says what to grade with. Both ends are trusted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from autograder.course import Assignment
from autograder.course.results import SubmissionResult
from autograder.grading.grader import Graded, Grader, Options, with_grader
from autograder.grading.journal import Kept
from autograder.notebook.collect import Found
from autograder.notebook.entries import UnreadableError
from autograder.notebook.handedin import HandedIn, read_files

MAX_ATTEMPTS = 2


class JobError(Exception):
    """A grader process could not start; the text is the reason it gave."""


@dataclass(frozen=True)
class Task:
    """One submission to grade."""

    found: Found
    seed: int
    kept: Kept | None = None
    """What is known of it already: only the stale questions are graded."""
    raw: bytes | None = None
    """The notebook itself, for a grader on another machine, which cannot read the file."""
    files: tuple[HandedIn, ...] | None = None
    """The files beside it, likewise."""


def grade_task(grader: Grader, task: Task) -> Graded:
    """Read and grade one submission; one that cannot be read is refused."""
    found, limits = task.found, grader.assignment.limits
    try:
        raw = found.read(limits.notebook_mb << 20) if task.raw is None else task.raw
    except UnreadableError as error:
        return refused(grader.assignment, task, str(error))
    files = read_files(found.files, grader.assignment) if task.files is None else task.files
    return grader.grade(raw, found.student, task.seed, found.label, task.kept, files)


def refused(assignment: Assignment, task: Task, reason: str) -> Graded:
    """The result of a submission that cannot be graded."""
    result = SubmissionResult(
        student=task.found.student,
        score=0.0,
        max_score=assignment.max_points,
        status="refused",
        reason=reason,
        source=task.found.label,
        seed=task.seed,
    )
    return Graded(result, None)


def ended_on_it(assignment: Assignment, task: Task) -> Graded:
    """The result of a submission on which its grader ended each time."""
    reason = f"The grader's process ended {MAX_ATTEMPTS} times on it. Look at it by hand."
    return refused(assignment, task, reason)


class GraderProcess:
    """The other end: starts the process, hands it tasks, reads its answers.

    Args:
        assignment: what is graded.
        options: how.
        share: the processors that it keeps to; all where empty.
        alone: it may start on all processors, and keeps to its share once it is ready.
    """

    def __init__(
        self, assignment: Assignment, options: Options, share: set[int], *, alone: bool = False
    ) -> None:
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        self._is_ready = False
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autograder.grading.process", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        with contextlib.suppress(OSError):  # it has ended: `ready` will see that
            self.connection.send((assignment, options, share, alone))

    def ready(self) -> list[str]:
        """Wait until it can grade; the layers of its sandbox. Raises `JobError`."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise JobError("A grader process ended while it was starting.") from None
        if kind != "ready":
            raise JobError(str(value))
        self._is_ready = True
        return list(value)

    def give(self, task: Task | None) -> None:
        """Hand over a task; None ends the process."""
        self.task = task
        with contextlib.suppress(OSError):  # it has ended: whoever waits for its answer will see that
            self.connection.send(task)

    def answer(self) -> Graded | None:
        """The result of the task, or None where the process ended over it. Raises `JobError`."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return None
        if kind != "graded":
            raise JobError(str(value))
        assert isinstance(value, Graded)
        return value

    def let_go(self) -> None:
        """Close the connection: it ends, while others are told the same."""
        self.connection.close()

    def end(self) -> None:
        """End it, and wait until it has."""
        self.let_go()
        try:
            self.process.wait(2 if self._is_ready else 0)  # while it starts, it would not see it
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main(descriptor: int) -> None:
    """Serve until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    connection = Connection(descriptor)
    try:
        assignment, options, share, alone = connection.recv()
        if not alone:
            _keep_to(share, [0])
        _serve(connection, assignment, options, share)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        with contextlib.suppress(OSError):
            connection.send(("failed", str(error)))


def _keep_to(share: set[int], processes: Sequence[int]) -> None:
    for process in processes if share else ():
        with contextlib.suppress(OSError):  # a processor may have gone: then all of them will do
            os.sched_setaffinity(process, share)


def _serve(connection: Connection, assignment: Assignment, options: Options, share: set[int]) -> None:
    def serve(grader: Grader) -> None:
        _keep_to(share, [0, *grader.zygotes.pids])
        connection.send(("ready", grader.sandbox))
        while True:
            task = connection.recv()
            if task is None:
                return
            connection.send(("graded", grade_task(grader, task)))

    with_grader(assignment, serve, options)


if __name__ == "__main__":
    # By its proper name: what is pickled here must be known to the other end.
    from autograder.grading.process import main as serve_until_closed

    serve_until_closed(int(sys.argv[1]))

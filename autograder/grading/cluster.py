"""Grading on an existing Dask cluster: submissions go out one by one, results come back to the one writer.

Whatever happens to workers or scheduler, a submission is graded once: a result counts when it has arrived
here, and what has not arrived is asked for again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autograder.course import Assignment
from autograder.grading.grader import Graded, Options
from autograder.grading.pack import pack
from autograder.grading.process import MAX_ATTEMPTS, JobError, Task, ended_on_it, refused
from autograder.grading.remote import Answer, grade_here
from autograder.grading.versions import question_versions
from autograder.notebook.entries import UnreadableError
from autograder.notebook.handedin import read_files

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 10.0
WAIT_SECONDS = 600.0
"""For a scheduler that is gone to come back, and for a first worker."""
AHEAD = 2
"""Submissions on their way for each thread of the cluster: one that is graded, one that waits beside it."""
LOOK_SECONDS = 1.0
"""How often the scheduler is asked who is there."""


class ClusterPool:
    """The workers of the cluster at `address`. Use as a context manager.

    `sandbox` holds the layers that all of the workers had in force that have graded something.
    """

    def __init__(
        self,
        assignment: Assignment,
        options: Options,
        address: str,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self._assignment, self._options, self._address = assignment, options, address
        self._announce = announce or (lambda sentence: None)
        self._versions = question_versions(assignment, unsafe=options.unsafe_no_sandbox)
        self._unfit: dict[str, str] = {}
        self._present: tuple[float, dict[str, int]] = (-LOOK_SECONDS, {})
        self._client: Client | None = None
        self._pack: Future | None = None
        self.sandbox: list[str] = []

    def __enter__(self) -> ClusterPool:
        self._connect(CONNECT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._disconnect()

    def grade(self, tasks: Sequence[Task]) -> Iterator[Graded]:
        """Results as they come, in no particular order.

        Raises `JobError` where no worker is fit to grade, or none is there for ten minutes.
        """
        waiting, running = deque(tasks), dict[Any, Task]()
        attempts: dict[str, int] = {}
        while waiting or running:
            try:
                yield from self._send(waiting, running)
                for future in self._finished(running):
                    answer = self._answer(future)
                    task = running.pop(future)
                    if answer is None:
                        student = task.found.student
                        attempts[student] = attempts.get(student, 0) + 1
                        if attempts[student] < MAX_ATTEMPTS:
                            waiting.append(task)
                        else:
                            yield ended_on_it(self._assignment, task)
                    elif answer.kind == "unfit":
                        self._leave_out(answer)
                        waiting.appendleft(task)
                    else:
                        assert answer.graded is not None
                        self._note(answer.sandbox)
                        yield answer.graded
            except (CancelledError, OSError):
                # Gone with the scheduler, or with the last worker that held the course: asked for again.
                waiting.extendleft(running.values())
                self._cancel(list(running))
                running.clear()
                self._pack = None
                if self._lost():
                    self._announce(f"The scheduler at {self._address} is gone; waiting for it.")
                    self._disconnect()
                    self._connect(WAIT_SECONDS)

    def _send(self, waiting: deque[Task], running: dict[Any, Task]) -> Iterator[Graded]:
        """Keep the cluster supplied; yields submissions that cannot be read."""
        threads = self._threads() if waiting else {}
        room = AHEAD * sum(threads.values())
        while waiting and len(running) < room:
            task = waiting.popleft()
            try:
                raw = task.found.read(self._assignment.limits.notebook_mb << 20)
            except UnreadableError as error:
                yield refused(self._assignment, task, str(error))
                continue
            files = read_files(task.found.files, self._assignment)
            assert self._client is not None
            if self._pack is None:
                self._pack = self._client.scatter(pack(self._assignment), broadcast=True, hash=True)
            future = self._client.submit(
                grade_here, self._pack, replace(task, raw=raw, files=files), self._options, self._versions,
                pure=False, workers=list(threads) if self._unfit else None, allow_other_workers=False,
            )  # fmt: skip
            running[future] = task

    def _threads(self) -> dict[str, int]:
        """Threads of each worker that is not known to be unfit; waits for a first one."""
        assert self._client is not None
        looked, present = self._present
        known = {name: count for name, count in present.items() if name not in self._unfit}
        if known and time.monotonic() - looked < LOOK_SECONDS:
            return known
        until = time.monotonic() + WAIT_SECONDS
        said = False
        while True:
            workers = {str(name): int(count) for name, count in self._client.nthreads().items()}
            self._present = time.monotonic(), workers
            fit = {name: count for name, count in workers.items() if name not in self._unfit}
            if fit:
                return fit
            if workers:
                name, reason = next(iter(self._unfit.items()))
                raise JobError(f"No worker of the cluster may grade. {name}: {reason}")
            if time.monotonic() > until:
                raise JobError(f"The scheduler at {self._address} has had no worker for ten minutes.")
            if not said:
                self._announce(f"The scheduler at {self._address} has no worker yet; waiting.")
                said = True
            time.sleep(0.5)

    def _finished(self, running: dict[Any, Task]) -> list[Any]:
        from distributed import wait

        if not running:
            return []
        assert self._client is not None
        try:
            with self._client.as_current():
                done = wait(list(running), timeout=1.0, return_when="FIRST_COMPLETED").done
        except TimeoutError:  # look again who is there
            return []
        if any(future.status == "cancelled" for future in done) or self._lost():
            raise CancelledError
        return list(done)

    def _cancel(self, futures: list[Any]) -> None:
        if self._client is not None and futures and not self._lost():
            with suppress(CancelledError, OSError):
                self._client.cancel(futures, force=True)

    def _lost(self) -> bool:
        return self._client is None or self._client.status != "running"

    def _answer(self, future: Any) -> Answer | None:
        """What the worker said; None where workers died over the task."""
        from distributed import KilledWorker

        try:
            answer = future.result(timeout=60)
        except KilledWorker:
            return None
        except (CancelledError, OSError):
            raise
        except Exception as error:
            raise JobError(f"A worker of the cluster failed: {type(error).__name__}: {error}") from error
        assert isinstance(answer, Answer)
        return answer

    def _leave_out(self, answer: Answer) -> None:
        if answer.worker not in self._unfit:
            self._unfit[answer.worker] = answer.reason
            self._announce(f"{answer.worker} is left out: {answer.reason}")

    def _note(self, layers: tuple[str, ...]) -> None:
        if layers:
            both = [layer for layer in layers if not self.sandbox or layer in self.sandbox]
            self.sandbox[:] = both or ["none"]

    def _connect(self, seconds: float) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise JobError(
                'Dask is not installed. To grade on a cluster: pip install "autograder-kit[dask]".'
            ) from None
        until = time.monotonic() + seconds
        while True:
            try:
                self._client = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
                return
            except (OSError, ValueError, CancelledError) as error:
                self._disconnect()
                if time.monotonic() > until:
                    raise JobError(
                        f"No Dask scheduler answers at {self._address}. Start one (`dask scheduler`), or "
                        "name another with --scheduler tcp://HOST:8786."
                    ) from error
                time.sleep(1.0)

    def _disconnect(self) -> None:
        client, self._client, self._pack = self._client, None, None
        self._present = -LOOK_SECONDS, {}
        if client is not None:
            client.close(timeout=2)

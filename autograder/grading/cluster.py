"""Grading on an existing Dask cluster: submissions go out, a second's worth at a time, and results come
back to the one writer.

Whatever happens to workers or scheduler, a submission is graded once: a result counts when it has arrived
here, and what has not arrived is asked for again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
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
"""Batches on their way for each thread of the cluster: one that is graded, one that waits beside it."""
BATCH_SECONDS, BATCH_BYTES, MOST = 1.0, 4 << 20, 16
"""Submissions travel together, for Dask takes as long for one as for a batch: as many as are graded in that
time, that large, and so many at most.
"""
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
        self._seconds = 0.0
        """A submission's, of late; 0 before the first."""
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
        waiting, running = deque(tasks), dict[Any, list[Task]]()
        attempts: dict[str, int] = {}
        while waiting or running:
            try:
                yield from self._send(waiting, running, attempts)
                for future in self._finished(running):
                    answers = self._answers(future)
                    batch = running.pop(future)
                    if answers is None:
                        # Whose fault it was shows when each is sent alone.
                        waiting.extendleft(reversed(batch))
                        if len(batch) > 1:
                            attempts.update({task.found.student: 0 for task in batch})
                        elif self._is_given_up(batch[0], attempts):
                            yield ended_on_it(self._assignment, waiting.popleft())
                        continue
                    for answer in answers:
                        if answer.kind == "unfit":
                            self._leave_out(answer)
                            break
                        assert answer.graded is not None
                        self._note(answer)
                        del batch[0]
                        yield answer.graded
                    waiting.extendleft(reversed(batch))
            except (CancelledError, OSError):
                # Gone with the scheduler, or with the last worker that held the course: asked for again.
                for batch in running.values():
                    waiting.extendleft(reversed(batch))
                self._cancel(list(running))
                running.clear()
                self._pack = None
                if self._lost():
                    self._announce(f"The scheduler at {self._address} is gone; waiting for it.")
                    self._disconnect()
                    self._connect(WAIT_SECONDS)

    def _send(
        self, waiting: deque[Task], running: dict[Any, list[Task]], attempts: Mapping[str, int]
    ) -> Iterator[Graded]:
        """Keep the cluster supplied; yields submissions that cannot be read."""
        threads = self._threads() if waiting else {}
        room = AHEAD * sum(threads.values())
        while waiting and len(running) < room:
            assert self._client is not None
            if self._pack is None:
                self._pack = self._client.scatter(pack(self._assignment), broadcast=True, hash=True)
            batch: list[Task] = []
            try:
                loaded = yield from self._load(batch, waiting, self._batch_size(len(waiting), room), attempts)
                if not batch:
                    continue
                future = self._client.submit(
                    grade_here, self._pack, loaded, self._options, self._versions,
                    pure=False, workers=list(threads) if self._unfit else None, allow_other_workers=False,
                )  # fmt: skip
            except (CancelledError, OSError):
                waiting.extendleft(reversed(batch))
                raise
            running[future] = batch

    def _load(
        self, batch: list[Task], waiting: deque[Task], most: int, attempts: Mapping[str, int]
    ) -> Generator[Graded, None, list[Task]]:
        """Move up to `most` tasks from `waiting` into `batch`; yields submissions that cannot be read, and
        returns the tasks with the bytes of the others.
        """
        loaded: list[Task] = []
        size = 0
        while waiting and len(batch) < most and size < BATCH_BYTES:
            if batch and any(each.found.student in attempts for each in (batch[0], waiting[0])):
                break  # a worker died over it: it goes alone
            ready = self._loaded(waiting[0])
            task = waiting.popleft()
            if isinstance(ready, Graded):
                yield ready
                continue
            batch.append(task)
            loaded.append(ready)
            size += len(ready.raw or b"") + sum(len(file.content) for file in ready.files or ())
        return loaded

    def _loaded(self, task: Task) -> Task | Graded:
        """The task with the submission's bytes; graded already where they cannot be read."""
        try:
            raw = task.found.read(self._assignment.limits.notebook_mb << 20)
        except UnreadableError as error:
            return refused(self._assignment, task, str(error))
        return replace(task, raw=raw, files=read_files(task.found.files, self._assignment))

    def _batch_size(self, waiting: int, room: int) -> int:
        """So many at a time that no thread is left without, and that one batch takes about a second."""
        if not self._seconds:
            return 1
        return max(1, min(MOST, int(BATCH_SECONDS / self._seconds), waiting // room))

    @staticmethod
    def _is_given_up(task: Task, attempts: dict[str, int]) -> bool:
        student = task.found.student
        attempts[student] = attempts.get(student, 0) + 1
        return attempts[student] >= MAX_ATTEMPTS

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

    def _finished(self, running: dict[Any, list[Task]]) -> list[Any]:
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

    def _answers(self, future: Any) -> list[Answer] | None:
        """What the worker said of each; None where workers died over the batch."""
        from distributed import KilledWorker

        try:
            answers = future.result(timeout=60)
        except KilledWorker:
            return None
        except (CancelledError, OSError):
            raise
        except Exception as error:
            raise JobError(f"A worker of the cluster failed: {type(error).__name__}: {error}") from error
        assert isinstance(answers, list)
        return answers

    def _leave_out(self, answer: Answer) -> None:
        if answer.worker not in self._unfit:
            self._unfit[answer.worker] = answer.reason
            self._announce(f"{answer.worker} is left out: {answer.reason}")

    def _note(self, answer: Answer) -> None:
        if answer.sandbox:
            both = [layer for layer in answer.sandbox if not self.sandbox or layer in self.sandbox]
            self.sandbox[:] = both or ["none"]
        if answer.graded is not None:
            took = answer.graded.result.seconds
            self._seconds += (took - self._seconds) / (5 if self._seconds else 1)

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

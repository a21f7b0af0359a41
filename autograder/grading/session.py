"""One submission in its sandbox: loaded once, forked for each test, loaded again where a cell or a test
brought it down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from autograder.checking.failure import NoFile
from autograder.checking.limited import memory_limit, time_limit
from autograder.checking.namespace import Namespace, answer_served, parameter_names
from autograder.checking.proxy import Student
from autograder.checking.random_state import RandomState
from autograder.course import Limits
from autograder.notebook.cells import Cell
from autograder.notebook.handedin import HandedIn
from autograder.notebook.intake import name_of
from autograder.notebook.repair import definitions
from autograder.sandbox.host import Zygote
from autograder.sandbox.peers import Upcall, Worker, WorkerLimits
from autograder.sandbox.served import GRADIENT
from autograder.sandbox.verdicts import CallTimeout, WorkerLost

MOMENT = 0.2
"""Seconds for a cell when the time to load the notebook is used up."""

ENDED = "ended the process it ran in"


def worker_limits(limits: Limits, files: Iterable[HandedIn] = ()) -> WorkerLimits:
    """The kernel's share of an assignment's limits; the files that were handed in come on top of them."""
    sizes = [-(-len(file.content) // (1 << 20)) for file in files]
    return WorkerLimits(
        memory_mb=limits.memory_mb,
        cpu_seconds=limits.cpu_seconds,
        processes=limits.processes,
        open_files=limits.open_files,
        file_mb=max([limits.file_mb, *sizes]),
        disk_mb=limits.disk_mb + sum(sizes),
    )


class LoadedSubmission:
    """A worker with the submission's cells run in it. Use as a context manager."""

    def __init__(
        self, zygote: Zygote, cells: Sequence[Cell], limits: Limits, files: Sequence[HandedIn] = ()
    ) -> None:
        self._zygote, self._cells, self._limits = zygote, list(cells), limits
        self._files = list(files)
        self._places: dict[str, str] = {}
        self._left_out: dict[int, str] = {}
        self._defines_only: dict[int, str] = {}
        self._ended: set[int] = set()
        self._finished: set[int] = set()
        self.notes: list[str] = []
        """A sentence for each cell that raised or was left out, in order of the cells."""
        self._worker: Worker | None = None

    def __enter__(self) -> LoadedSubmission:
        self._load()
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()

    def fork(self, seed: int, upcall: Upcall | None) -> Any:
        """A copy for one test. A submission whose process has ended is loaded once more."""
        assert self._worker is not None
        try:
            return self._worker.fork(seed, self._limits.call_seconds, upcall)
        except WorkerLost:
            self._load()
            return self._worker.fork(seed, self._limits.call_seconds, upcall)

    def file(self, name: str, beside: Sequence[str] = ()) -> str:
        """Where the student's code finds a file that was handed in. Raises `NoFile` with the reason."""
        for file in self._files:
            if file.name == name and file.problem:
                raise NoFile(file.problem)
            if file.name == name:
                return self._places[file.file_name]
        raise NoFile(f"course.yml asks for no file {name!r}.")

    def _load(self) -> None:
        """Run the cells in a fresh worker. Of a cell that hangs or kills it, the next attempt reads only what
        it defines; where even that does, the cell is left out.
        """
        deadline = time.monotonic() + self._limits.load_seconds
        while True:
            if self._worker is not None:
                self._worker.close()
            self._worker = self._zygote.worker(worker_limits(self._limits, self._files))
            sound = {file.file_name: file.content for file in self._files if not file.problem}
            self._places = self._worker.place(sound) if sound else {}
            notes: dict[int, str] = {}
            fatal = self._run_cells(self._worker, deadline, notes)
            if fatal is None:
                break
            cell, reason = fatal
            if reason.endswith(ENDED) and cell.index not in self._ended:
                self._ended.add(cell.index)  # once may be the doing of something outside
            elif definitions(cell.source) and cell.index not in self._defines_only:
                self._defines_only[cell.index] = f"{reason} and was stopped: only what it defines was read."
            else:
                self._defines_only.pop(cell.index, None)
                self._left_out[cell.index] = f"{reason} and was left out."
        combined = {**self._defines_only, **notes, **self._left_out}
        self.notes = [combined[index] for index in sorted(combined)]

    def _run_cells(self, worker: Worker, deadline: float, notes: dict[int, str]) -> tuple[Cell, str] | None:
        """None when all cells were run; else the cell that ended the worker, and the beginning of a sentence.

        Behind the deadline each cell still gets a moment: one slow cell must not cost the answers below it.
        Once that has taken as long again, only cells that ran to their end before are run (in a worker that
        replaces one that was lost), and in the end none: cells made to hang must not hold the grader up.

        A cell that misses a name is run once more behind all others: students run cells in any order.
        """
        again: list[Cell] = []
        for cell in self._cells:
            fatal = self._run_cell(worker, cell, deadline, notes, again)
            if fatal is not None:
                return fatal
        for cell in again:
            if self._is_defined_below(cell):
                continue
            before = notes.pop(cell.index)
            fatal = self._run_cell(worker, cell, deadline, notes, [])
            if fatal is not None:
                return fatal
            if cell.index in notes:
                notes[cell.index] = before
            else:
                notes[cell.index] = (
                    f"{_capital(name_of(cell))} uses what only a later cell defines: it was run again after "
                    "all others."
                )
        return None

    def _is_defined_below(self, cell: Cell) -> bool:
        """Whether a later cell defines again what this one does, and so would be undone."""
        below = self._cells[self._cells.index(cell) + 1 :]
        return any(definitions(cell.source) & definitions(other.source) for other in below)

    def _run_cell(
        self, worker: Worker, cell: Cell, deadline: float, notes: dict[int, str], again: list[Cell]
    ) -> tuple[Cell, str] | None:
        if cell.index in self._left_out:
            return None
        name = name_of(cell)
        left = deadline - time.monotonic()
        late = -left / self._limits.load_seconds
        if late > 3 or (late > 1 and cell.index not in self._finished):
            notes[cell.index] = (
                f"{_capital(name)} was not run: the notebook used up its {self._limits.load_seconds:g} s."
            )
            return None
        seconds = min(self._limits.cell_seconds, max(left, MOMENT))
        only = cell.index in self._defines_only
        try:
            error = worker.run_cell(f"<{name}>", cell.source, seconds, only_definitions=only)
        except CallTimeout:
            return cell, f"{_capital(name)} ran longer than {seconds:g} s"
        except WorkerLost:
            return cell, f"{_capital(name)} {ENDED}"
        self._finished.add(cell.index)
        if error is not None:
            notes[cell.index] = _raised(name, error)
            if error.get("type") == "NameError":
                again.append(cell)
        return None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _raised(name: str, error: dict[str, Any]) -> str:
    kind, text = (
        str(error.get("type", "an exception"))[:100],
        str(error.get("text", "")).partition("\n")[0][:200],
    )
    where = error.get("where")
    line = ""
    if (
        type(where) is list
        and where
        and type(where[-1]) is list
        and len(where[-1]) == 3
        and type(where[-1][1]) is int
    ):
        line = f", line {where[-1][1]},"
    said = f"{kind}: {text}" if text else kind
    if error.get("limit"):
        said = f"{said} (limit: {error['limit']})"
    unreadable = kind in ("SyntaxError", "IndentationError", "TabError")
    left = "It was not run" if unreadable else "After that only what it defines was read"
    return f"{_capital(name)}{line} raised {said.rstrip('.')}. {left}."


def served_upcall(
    reference: dict[str, Any], given: Sequence[str], limits: Limits, seed: int
) -> Upcall | None:
    """Serves the functions in `given`, and no other name, from the reference, with limits on each call.

    They matter because the arguments are the student's: an input chosen to be slow or huge must not hold the
    grader up, or bring it down. Random numbers are those that the student's own function would draw, for the
    grade depends on `seed` alone.
    """
    if not given:
        return None
    allowed, numbers = frozenset(given), RandomState(seed)

    def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name.removesuffix(GRADIENT) not in allowed:
            raise PermissionError(f"{name} is not served in this test")
        with time_limit(limits.call_seconds), memory_limit(limits.memory_mb << 20), numbers:
            return answer_served(reference, name, args, kwargs)

    return call


class SandboxContext:
    """The context of a graded submission: `student` is a fork of it, `reference` the solution in this
    process.
    """

    def __init__(
        self, submission: LoadedSubmission, reference: dict[str, Any], limits: Limits, seed: int
    ) -> None:
        self.seed = seed
        self._submission, self._reference, self._limits = submission, reference, limits
        self._names: Callable[[str], list[str] | None] = parameter_names(reference)

    @contextmanager
    def student(self, seed: int, given: Sequence[str]) -> Iterator[Student]:
        """A fork of the loaded submission, ended with the test."""
        upcall = served_upcall(self._reference, given, self._limits, seed)
        process = self._submission.fork(seed, upcall)

        def again() -> Any:
            nonlocal process
            process.close()
            process = self._submission.fork(seed, upcall)
            return process

        try:
            student = Student(process, self._names, self._submission.file)
            student.fork = again
            student.give(given)
            yield student
        finally:
            process.close()

    def reference(self) -> Namespace:
        """The solution's namespace."""
        return Namespace(self._reference)

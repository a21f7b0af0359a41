"""`autograder grade`: collect submissions, grade them in parallel, keep a journal, write the gradebook and
the report.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from autograder.course import Assignment, Course
from autograder.course.files import cannot_write, write_whole
from autograder.course.results import Report, SubmissionResult
from autograder.grading.grader import Graded, Options
from autograder.grading.identity import course_key, numbers_seed, state_folder, submission_seed, suite_version
from autograder.grading.jobs import Pool, Task, one_process
from autograder.grading.journal import Journal, Kept
from autograder.grading.versions import question_versions
from autograder.notebook.collect import Collected, Refused
from autograder.notebook.entries import UnreadableError
from autograder.notebook.handedin import read_files, submission_digest
from autograder.notebook.intake import read_release, read_submission

BATCH = 25
"""Submissions recorded in the gradebook in one transaction."""


class Recorder(Protocol):
    """Keeps results: the gradebook, or nothing."""

    def check(self) -> None:
        """Raise where it is known that nothing can be kept."""
        ...

    def record(self, assignment: Assignment, graded: Sequence[Graded]) -> None:
        """Keep a batch, now or soon."""
        ...

    def settle(self) -> None:
        """Wait until every batch is kept."""
        ...


@dataclass
class RunOptions:
    """How to run."""

    jobs: int = 1
    scheduler: str | None = None
    """The address of a Dask scheduler whose workers are to grade."""
    force: bool = False
    """Grade again what has not changed since an earlier run, too."""
    grader: Options = field(default_factory=Options)


class ReportError(Exception):
    """The report cannot be written; the text says where and why."""


def grade_submissions(
    course: Course,
    assignment: Assignment,
    collected: Collected,
    options: RunOptions,
    recorder: Recorder | None = None,
    progress: Callable[[int, int, SubmissionResult | None], None] | None = None,
    deliver: Callable[[Report], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> Report:
    """Grade everything in `collected`.

    Finished submissions are journalled at once and recorded in batches; an interruption (KeyboardInterrupt
    passes through) loses nothing. What the journal holds of earlier runs, finished or not, is taken from
    there where nothing has changed; where only the suite has, the questions that it touches are graded again.

    Raises whatever `with_grader` raises, the recorder's own error, and that of `deliver`.
    """
    key = course_key(course)
    # What was graded without the sandbox must not turn up in the report of a run with it.
    versions = question_versions(assignment, unsafe=options.grader.unsafe_no_sandbox)
    journal = Journal(state_folder(course) / "runs" / f"{assignment.slug}.jsonl", versions)
    tasks = [
        Task(found, submission_seed(key, assignment.slug, found.student)) for found in collected.submissions
    ]
    journalled = {} if options.force else journal.read()
    done, left = _kept(assignment, tasks, journalled)
    if announce and len(done) + sum(task.kept is not None for task in left):
        announce(_unchanged(done, left))
    turned_away = [_turned_away(assignment, entry) for entry in collected.refused]
    partly = {task.found.student: task.kept for task in left if task.kept is not None}
    journal.start(fresh=options.force)
    batch: list[Graded] = []
    results: list[tuple[str, bytes]] = []  # by student, compressed: of a large class they stay small

    def keep(graded: Graded) -> None:
        results.append((graded.result.student, zlib.compress(graded.result.model_dump_json().encode(), 1)))
        batch.append(graded)
        if progress:
            progress(len(results), len(tasks) + len(turned_away), graded.result)
        if len(batch) >= BATCH:
            flush()
        elif recorder:
            recorder.check()

    def flush() -> None:
        graded = list(batch)
        batch.clear()  # first: what could not be recorded is not tried again on the way out
        if recorder and graded:
            recorder.record(assignment, graded)

    def run(sandbox: list[str], grade: Callable[[Sequence[Task]], Iterable[Graded]]) -> list[str]:
        if progress:
            progress(0, len(tasks) + len(turned_away), None)
        for graded in done:
            keep(graded)
        for graded in turned_away:
            keep(graded)
        # A result that was kept holds with the layers that were in force then, which may have been fewer.
        layers = [journalled[graded.result.student].sandbox for graded in done]
        for graded in grade(left):
            kept = partly.get(graded.result.student)
            layers.append(_in_all([sandbox, kept.sandbox] if kept else [sandbox]))
            journal.append(graded.result, layers[-1])
            keep(graded)
            stop_if_asked()
        return list(_in_all(layers or [sandbox]))

    try:
        try:
            with _ctrl_c_is_remembered() as stop_if_asked:
                sandbox = _with_graders(assignment, options, len(left), bool(done), run, announce)
        finally:
            flush()
            if recorder:
                recorder.settle()
        results.sort(key=lambda entry: entry[0])
        report = Report(
            assignment=assignment.slug,
            suite_version=suite_version(assignment),
            sandbox=sandbox,
            submissions=[
                SubmissionResult.model_validate_json(zlib.decompress(packed)) for _, packed in results
            ],
        )
        if deliver:
            deliver(report)
    except ReportError as error:
        journal.close(finished=False)
        raise ReportError(
            f"{error} The grades are kept: the same command (without --force) writes the report and grades "
            "nothing again."
        ) from error
    except BaseException:
        journal.close(finished=False)
        raise
    journal.close(finished=True)
    return report


@contextmanager
def _ctrl_c_is_remembered() -> Iterator[Callable[[], None]]:
    """Yields a function that raises KeyboardInterrupt once Ctrl-C was pressed.

    Python raises it too, wherever it happens to be; but in a finaliser or a callback of a library the
    exception is swallowed, and the run would go on as if nobody had asked it to stop.
    """
    asked = False

    def remember(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield stop_if_asked
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _with_graders(
    assignment: Assignment,
    options: RunOptions,
    tasks: int,
    kept: bool,
    run: Callable[..., Any],
    announce: Callable[[str], None] | None,
) -> list[str]:
    if not tasks and kept:
        return list(run([], lambda tasks: ()))  # nothing to do, so no sandbox is started
    if options.scheduler is not None:
        from autograder.grading.cluster import ClusterPool

        with ClusterPool(assignment, options.grader, options.scheduler, announce) as cluster:
            return list(run(cluster.sandbox, cluster.grade))
    jobs = max(1, min(options.jobs, tasks))
    if jobs == 1:
        return list(one_process(assignment, options.grader, run))
    with Pool(assignment, options.grader, jobs) as pool:
        return list(run(pool.sandbox, pool.grade))


def _kept(
    assignment: Assignment, tasks: Sequence[Task], journalled: dict[str, Kept]
) -> tuple[list[Graded], list[Task]]:
    """What need not be graded again, with the notebooks read anew; and what there is to do, of which some
    tasks hold a result that lacks only the questions that the suite's change touched.
    """
    release = read_release(assignment.release_notebook)
    done, left = [], []
    for task in tasks:
        kept = journalled.get(task.found.student)
        intake, digest = None, ""
        if kept is not None and kept.result.status == "graded":
            with suppress(UnreadableError, ValueError):
                raw = task.found.read(assignment.limits.notebook_mb << 20)
                intake = read_submission(raw, release, assignment.limits)
                digest = submission_digest(intake.sha256, read_files(task.found.files, assignment))
        if kept is None or intake is None or not _same(kept.result, digest, task):
            left.append(task)
        elif kept.stale:
            left.append(replace(task, kept=kept))
        else:
            result = kept.result.model_copy(update={"source": task.found.label})
            done.append(Graded(result, intake))
    return done, left


def _in_all(layers: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The layers that are in each of the lists."""
    return tuple(layer for layer in layers[0] if all(layer in other for other in layers))


def _turned_away(assignment: Assignment, entry: Refused) -> Graded:
    result = SubmissionResult(
        student=entry.student,
        score=0.0,
        max_score=assignment.max_points,
        status="refused",
        reason=entry.reason,
        source=entry.label,
    )
    return Graded(result, None)


def _unchanged(done: Sequence[Graded], left: Sequence[Task]) -> str:
    """What is not graded again, in words."""
    parts = [f"{len(done)} not graded again, for nothing has changed"] if done else []
    kept = [task.kept for task in left if task.kept is not None]
    if kept:
        questions = sorted(set[str]().union(*(one.stale for one in kept)))
        parts.append(f"{len(kept)} only in what the suite's change touches ({', '.join(questions)})")
    return f"{'; '.join(parts)}. --force grades everything."


def _same(result: SubmissionResult, digest: str, task: Task) -> bool:
    return digest == result.sha256 and result.seed == numbers_seed(task.seed, digest)


def check_report_path(path: Path) -> None:
    """Find out before an hour's work that its result cannot be written there. Raises `ReportError`."""
    if path.is_dir():
        raise ReportError(f"{path} is a folder. Name a file for the report.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ReportError(cannot_write(path, error)) from error


def write_report(report: Report, path: Path) -> None:
    """Write the report as JSON: complete, or not at all. Raises `ReportError`."""
    try:
        write_whole(path, report.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise ReportError(cannot_write(path, error)) from error

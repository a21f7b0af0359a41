"""Grading on a Dask cluster: a real scheduler and real workers, which come, go and die meanwhile."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dask_cluster import Cluster, free_port
from tiny_course import HIDDEN, SOURCE, write_tiny_course

from autograder.authoring import build_assignment
from autograder.course import Course, load_course
from autograder.course.results import Report, SubmissionResult
from autograder.grading import Options, remote
from autograder.grading import cluster as cluster_module
from autograder.grading.jobs import JobError
from autograder.grading.pack import pack
from autograder.grading.process import MAX_ATTEMPTS, Task, refused
from autograder.grading.run import RunOptions, grade_submissions
from autograder.notebook.collect import Found, collect

pytest.importorskip("distributed")
STUDENTS = 16


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A class of sixteen: a third of them wrong in one question, each with a cell that takes a while."""
    root = write_tiny_course(tmp_path_factory.mktemp("cluster") / "course")
    assignment = load_course(root).assignment("tiny")
    build_assignment(assignment)
    right = assignment.solution_notebook.read_text()
    wrong = right.replace("np.maximum(x, 0)", "np.maximum(x, 1)")
    assert wrong != right
    for number in range(STUDENTS):
        place = root / "submitted" / f"student{number:02}" / "tiny"
        place.mkdir(parents=True)
        text = wrong if number % 3 == 0 else right
        slow = text.replace("import numpy as np\\n", "import numpy as np, time; time.sleep(0.2)\\n", 1)
        assert slow != text
        (place / "tiny.ipynb").write_text(slow)
    return load_course(root)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        yield made


def graded(course: Course, when: Callable[[int], None] = lambda done: None, **options: Any) -> Report:
    """A whole run; `when` is called with the number of submissions that are done."""
    assignment = course.assignment("tiny")

    def progress(done: int, total: int, result: SubmissionResult | None) -> None:
        del total, result
        when(done)

    found = collect([course.root / "submitted"], assignment)
    return grade_submissions(course, assignment, found, RunOptions(force=True, **options), progress=progress)


def verdicts(report: Report) -> dict[str, Any]:
    assert len({entry.student for entry in report.submissions}) == len(report.submissions) == STUDENTS
    return {
        entry.student: (entry.score, entry.seed, [[t.outcome for t in q.tests] for q in entry.questions])
        for entry in report.submissions
    }


@pytest.fixture(scope="module")
def local(course: Course) -> dict[str, Any]:
    found = verdicts(graded(course))
    assert {score for score, *_ in found.values()} == {3.0, 5.0}
    return found


def test_a_worker_dies_another_comes_and_the_scheduler_is_started_again(
    course: Course, local: dict[str, Any], dask: Cluster
) -> None:
    dask.add_worker()
    dask.add_worker()
    events: list[str] = []

    def come_back() -> None:
        dask.start_scheduler()
        dask.add_worker()  # workers end with the scheduler that they belonged to

    def when(done: int) -> None:
        if done == 3 and "killed" not in events:
            dask.kill_worker(0)
            events.append("killed")
        if done == 5 and "added" not in events:
            dask.add_worker(nanny=True)
            events.append("added")
        if done == 8 and "restarted" not in events:
            dask.kill_scheduler()
            events.append("restarted")
            threading.Timer(1.0, come_back).start()

    report = graded(course, when, scheduler=dask.address)
    assert events == ["killed", "added", "restarted"]
    assert verdicts(report) == local
    assert report.sandbox[:3] == ["landlock", "seccomp", "rlimits"]


def test_graders_of_another_suite_are_not_used(course: Course, dask: Cluster) -> None:
    dask.add_worker()
    assignment = course.assignment("tiny")
    suite = assignment.tests / "test_hidden.py"
    before, digest = graded(course, scheduler=dask.address), pack(assignment).digest
    never = (
        '\n\n@pytest.mark.question("softmax")\ndef test_never(student):\n    """Nobody."""\n    assert 0\n'
    )
    try:
        suite.write_text(f"{HIDDEN}\n\n{never}")
        assert pack(assignment).digest != digest
        after = graded(course, scheduler=dask.address)
    finally:
        suite.write_text(HIDDEN)
    assert all(a.score < b.score for a, b in zip(after.submissions, before.submissions, strict=True))


def test_a_worker_that_is_not_fit_takes_no_work(
    course: Course, dask: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one with other libraries the verdicts might be others."""
    dask.add_worker()
    versions = cluster_module.question_versions
    monkeypatch.setattr(
        cluster_module, "question_versions", lambda *a, **k: {**versions(*a, **k), "softmax": "another"}
    )
    with pytest.raises(JobError, match=r"No worker of the cluster may grade\. tcp://.*another version"):
        graded(course, scheduler=dask.address)


def test_no_scheduler(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1.0)
    with pytest.raises(JobError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:\d+\. Start one"):
        graded(course, scheduler=f"tcp://127.0.0.1:{free_port()}")


def test_the_pack_holds_one_assignment_and_nothing_else(course: Course, tmp_path: Path) -> None:
    packed = pack(course.assignment("tiny"))
    assert packed == pack(course.assignment("tiny"))
    packed.unpack(tmp_path)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        "assignments/tiny/tiny.ipynb", "course.yml", "solutions/tiny/mistakes.py", "solutions/tiny/tiny.py",
        "tests/tiny/test_hidden.py", "tests/tiny/test_public.py",
    ]  # fmt: skip
    assert (tmp_path / "solutions/tiny/tiny.py").read_text() == SOURCE
    assert not os.access(tmp_path / ".autograder", os.F_OK)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[remote._Graders]:
    """A worker's graders, in this process."""
    graders = remote._Graders()
    monkeypatch.setattr(remote, "_graders", graders)
    monkeypatch.setattr("distributed.get_worker", lambda: SimpleNamespace(address="tcp://here"))
    yield graders
    graders.close()


def test_two_runs_on_one_worker_do_not_take_each_others_course_away(
    course: Course, tmp_path: Path, here: remote._Graders
) -> None:
    other = load_course(write_tiny_course(tmp_path)).assignment("tiny")
    other.source.write_text(SOURCE + "\n# %%\nsomething_else = 1\n")
    build_assignment(other)
    first, second = pack(course.assignment("tiny")), pack(other)
    assert first.digest != second.digest
    mine, theirs = (here.assignment(packed, Options())[0] for packed in (first, second))
    assert here.assignment(first, Options())[0] is mine  # read once, not for every submission
    for packed, assignment in ((first, mine), (second, theirs)):
        grader, layers = here.take((packed.digest, Options()), assignment)
        assert "landlock" in layers
        here.give_back((packed.digest, Options()), grader, layers)
    folders = [mine.root, theirs.root]
    assert all(folder.is_dir() for folder in folders)
    here.close()
    assert not any(folder.exists() for folder in folders) and grader.process.poll() is not None


def test_trouble_on_a_worker_is_not_taken_for_a_lost_scheduler(
    course: Course, here: remote._Graders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be asked for again without end."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(here, "assignment", full)
    task = Task(Found("s", Path("s"), "s", datetime.now(UTC)), 1, raw=b"")
    (answer,) = remote.grade_here(pack(course.assignment("tiny")), [task], Options(), {})
    assert (answer.kind, answer.worker, answer.reason) == ("unfit", "tcp://here", "No space left on device")


@dataclass(frozen=True, eq=False)
class _Batch:
    tasks: tuple[Task, ...]


def test_neither_a_deadly_submission_nor_a_failed_sending_takes_a_batch_along(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment = course.assignment("tiny")
    sent: list[list[str]] = []

    class FakeClient:
        status = "running"

        def nthreads(self) -> dict[str, int]:
            return {"tcp://worker": 1}

        def scatter(self, packed: object, **_: object) -> object:
            return packed

        def cancel(self, futures: list[_Batch], **_: object) -> None:
            assert futures

        def submit(
            self, function: object, packed: object, tasks: list[Task], *_: object, **__: object
        ) -> Any:
            sent.append([task.found.student for task in tasks])
            if len(sent) == 3:
                raise OSError("The scheduler does not answer.")
            return _Batch(tuple(tasks))

    def answers(self: cluster_module.ClusterPool, batch: _Batch) -> list[remote.Answer] | None:
        if any(task.found.student == "student07" for task in batch.tasks):
            return None
        made = [refused(assignment, task, "Not looked at.") for task in batch.tasks]
        for each in made:
            each.result.seconds = 0.1
        return [remote.Answer("tcp://worker", "graded", ("landlock",), each) for each in made]

    monkeypatch.setattr(cluster_module.ClusterPool, "_finished", lambda self, running: list(running)[:1])
    monkeypatch.setattr(cluster_module.ClusterPool, "_answers", answers)
    pool = cluster_module.ClusterPool(assignment, Options(), "tcp://nowhere")
    pool._client = FakeClient()  # type: ignore[assignment]
    tasks = [Task(found, 1) for found in collect([course.root / "submitted"], assignment).submissions]
    results = [graded.result for graded in pool.grade(tasks)]
    assert sorted(result.student for result in results) == [f"student{k:02}" for k in range(STUDENTS)]
    assert max(map(len, sent)) > 1
    assert sent.count(["student07"]) == MAX_ATTEMPTS
    (ended,) = (result for result in results if result.student == "student07")
    assert f"ended {MAX_ATTEMPTS} times" in ended.reason
    assert {result.reason for result in results if result is not ended} == {"Not looked at."}

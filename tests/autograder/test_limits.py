"""Limits are honest: a tenth below each one nothing happens, a tenth above it the verdict names it; and heavy
but legitimate work stays well inside the defaults.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_course import write_tiny_course

from autograder.authoring import build_assignment
from autograder.checking.proxy import Student
from autograder.checking.verdict import verdict_of
from autograder.course import Limits, load_course
from autograder.grading import Grader, with_grader
from autograder.grading import grader as grader_module
from autograder.grading.session import LoadedSubmission
from autograder.notebook.cells import Cell
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.verdicts import SandboxError


@dataclass(frozen=True)
class Limit:
    """One limit: what uses `share` of it, and what the verdict says beyond it."""

    field: str
    value: int
    uses: str
    """The body of a function of `share`; all that a call does besides is a small part of a tenth."""
    says: str
    outcome: str = "error"


LIMITS = [
    Limit(
        "memory_mb", 300,
        "import numpy as np\nreturn float(np.ones(int(share * 300 * 2**20 / 8))[-1])",
        r"raised MemoryError.*\(limit: 300 MB of memory\)",
    ),
    Limit(
        "cpu_seconds", 2,
        # By the clock that the limit itself is measured on, which counts ticks.
        "import signal\nsignal.setitimer(signal.ITIMER_PROF, 100)\n"
        "while 100 - signal.getitimer(signal.ITIMER_PROF)[0] < 2 * share: pass\nreturn 1.0",
        "more than 2 s of CPU time", "crashed",
    ),
    Limit(
        "call_seconds", 6, "import time\ntime.sleep(6 * share)\nreturn 1.0",
        "did not return within 6 s and was stopped", "timeout",
    ),
    Limit(
        "processes", 60,
        "import threading\ngate = threading.Event()\n"
        "threads = [threading.Thread(target=gate.wait) for _ in range(int(60 * share))]\n"
        "try:\n    for thread in threads: thread.start()\nfinally:\n    gate.set()\nreturn 1.0",
        r"raised RuntimeError.*\(limit: 60 processes and threads\)",
    ),
    Limit(
        "open_files", 100,
        "import os\nkept = [open('/dev/null') for _ in range(int(100 * share))]\nreturn 1.0",
        r"raised OSError.*\(limit: 100 open files\)",
    ),
    Limit(
        "file_mb", 10,
        "with open('one', 'wb') as file:\n"
        "    for _ in range(int(100 * share)): file.write(bytes(2**20 // 10))\n"
        "return 1.0",
        r"raised OSError.*\(limit: 10 MB in one file\)",
    ),
    Limit(
        "disk_mb", 20,
        "for n in range(int(40 * share)):\n"
        "    with open(f'file{n}', 'wb') as file: file.write(bytes(2**19))\n"
        "return 1.0",
        r"raised OSError.*\(limit: 20 MB in all files together\)",
    ),
]  # fmt: skip


@pytest.fixture(scope="module", params=["namespaces", "no-namespaces"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    try:
        opened = Zygote(Profile(namespaces=request.param == "namespaces"))
    except SandboxError as error:
        pytest.skip(str(error))
    with opened:
        yield opened


def function(limit: Limit) -> str:
    body = "\n".join(f"    {line}" for line in limit.uses.splitlines())
    return f"def use(share):\n{body}"


def test_every_limit_has_a_default_and_a_test() -> None:
    """Those that are not here are in test_intake (notebook_mb) and test_grading (cells, load, submission)."""
    elsewhere = {"notebook_mb", "cell_seconds", "load_seconds", "submission_seconds"}
    assert {limit.field for limit in LIMITS} | elsewhere == set(Limits.model_fields)
    for name, value in Limits().model_dump().items():
        assert value > 0, name


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.field)
@pytest.mark.parametrize(("share", "within"), [(0.9, True), (1.1, False)], ids=["under", "over"])
def test_a_tenth_below_passes_and_a_tenth_above_is_named(
    limit: Limit, share: float, within: bool, zygote: Zygote
) -> None:
    if not zygote.profile.namespaces:
        if limit.field == "disk_mb":
            pytest.skip("without namespaces no disk of its own: the grader's watch ends what fills it")
        if limit.field == "processes" and os.getuid() != 0:
            pytest.skip("an ordinary user's limit counts whatever the user runs, and leaves room for that")
    limits = Limits(**{"call_seconds": 60.0, limit.field: limit.value})
    cells = [Cell(0, "code", function(limit)), Cell(1, "code", "def fine(): return 1.0")]
    with LoadedSubmission(zygote, cells, limits) as submission:
        assert submission.notes == []
        process = submission.fork(0, None)
        outcome, message = "passed", ""
        try:
            assert Student(process).use(share) == 1.0
        except Exception as error:
            outcome, message, _ = verdict_of(error)
        finally:
            process.close()
        if within:
            assert (outcome, message) == ("passed", "")
            return
        assert outcome == limit.outcome, message
        assert re.search(limit.says, message), message
        process = submission.fork(0, None)  # and the next test is served as if nothing had been
        try:
            assert Student(process).fine() == 1.0
        finally:
            process.close()


@pytest.mark.parametrize("field", ["memory_mb", "open_files", "file_mb"])
def test_a_cell_that_exceeds_a_limit_is_named_too(field: str, zygote: Zygote) -> None:
    limit = next(limit for limit in LIMITS if limit.field == field)
    cells = [Cell(0, "code", f"{function(limit)}\nuse(0.9)"), Cell(1, "code", "x = 1\nuse(1.1)")]
    limits = Limits(**{field: limit.value})
    with LoadedSubmission(zygote, cells, limits) as submission:
        (note,) = submission.notes
    assert note.startswith("Cell 2, line ") and re.search(limit.says, note), note


def test_a_cell_that_takes_its_time(zygote: Zygote) -> None:
    cells = [Cell(0, "code", "import time\ntime.sleep(4.5)"), Cell(1, "code", "import time\ntime.sleep(5.5)")]
    with LoadedSubmission(zygote, cells, Limits(cell_seconds=5.0)) as submission:
        assert submission.notes == ["Cell 2 ran longer than 5 s and was left out."]


HEAVY = [
    """
    import numpy as np, torch, torch.nn as nn, matplotlib.pyplot as plt
    from torch.utils.data import DataLoader, TensorDataset
    torch.set_num_threads(2)
    """,
    """
    x = torch.randn(256, 1, 14, 14)
    y = (x.mean(dim=(1, 2, 3)) > 0).long()
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 144, 2))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for epoch in range(4):
        for batch, labels in DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, num_workers=2):
            loss = nn.functional.cross_entropy(net(batch), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    torch.save(net.state_dict(), "net.pt")
    net.load_state_dict(torch.load("net.pt"))
    """,
    """
    for number in range(3):
        fig, axes = plt.subplots(2, 3, figsize=(12, 8))
        for ax in axes.flat:
            ax.imshow(np.random.rand(64, 64)); ax.set_title("$x^2$")
        fig.savefig(f"figure{number}.png", dpi=150)
    plt.show()
    """,
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    features, target = x.reshape(256, -1).numpy(), y.numpy()
    forest = RandomForestClassifier(30, n_jobs=2, random_state=0).fit(features, target)
    search = GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.1, 1.0]}, cv=3, n_jobs=2)
    search.fit(features[:200, :20], target[:200])
    """,
    """
    def evaluate(batch):
        with torch.no_grad():
            return torch.relu(batch @ batch.T).sum(dim=1), torch.get_num_threads()

    def train_again():
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss.item(), len(losses), float(forest.score(features, target)), sorted(search.best_params_)
    """,
]


def test_a_legitimate_heavy_notebook_is_not_disturbed() -> None:
    """Training with two threads, figures and scikit-learn, with the defaults; then tests with two threads."""
    torch = pytest.importorskip("torch")
    cells = [Cell(number, "code", textwrap.dedent(source)) for number, source in enumerate(HEAVY)]
    with Zygote(Profile(torch=True)) as zygote, LoadedSubmission(zygote, cells, Limits()) as submission:
        assert submission.notes == []
        for _ in range(2):
            process = submission.fork(0, None)
            try:
                student = Student(process)
                batch = torch.randn(300, 200)
                sums, threads = student.evaluate(batch)
                assert threads == 2
                torch.testing.assert_close(sums, torch.relu(batch @ batch.T).sum(dim=1), rtol=1e-4, atol=1e-2)
                loss, steps, score, best = student.train_again()
                assert 0.0 < loss < 1.0 and steps == 32 and score > 0.9 and best == ["C"]
            finally:
                process.close()


@pytest.mark.parametrize(("share", "late"), [(0.9, 0), (1.1, 1)])
def test_the_time_of_a_whole_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, late: int
) -> None:
    """A clock that a test's beginning moves on by as much each time: before the last one, at `share` of the
    limit.
    """
    assignment = load_course(write_tiny_course(tmp_path)).assignment("tiny")
    build_assignment(assignment)
    raw = assignment.solution_notebook.read_bytes()

    def body(grader: Grader) -> list[str]:
        tests = len(grader.suite.tests)
        seconds = grader.assignment.limits.submission_seconds
        passed = [0.0]

        def tick() -> float:
            passed[0] += share * seconds / tests
            return passed[0]

        with monkeypatch.context() as patched:
            patched.setattr(grader_module, "time", SimpleNamespace(perf_counter=tick))
            result = grader.grade(raw, "s", 1).result
        return [test.message for q in result.questions for test in q.tests if test.outcome == "timeout"]

    messages = with_grader(assignment, body)
    assert messages == ["The submission used up its 300 s, so this test was not run."] * late

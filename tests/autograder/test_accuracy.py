"""`autograder accuracy`: figures on real data are kept, compared with what is to beat, and made again only
when they have to be.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.audit.accuracy import Figure, digest_of, read_measured, script_of
from autograder.cli.accuracy import run_accuracy
from autograder.course import Assignment, load_course

SCRIPT = """
import os
from pathlib import Path
from autograder.audit.accuracy import Figure

def run(seed=0, device="cpu"):
    with open(Path(__file__).with_name("runs"), "a") as file:
        file.write(f"{seed} {device} {os.environ['OMP_NUM_THREADS']}\\n")
    return [
        Figure(what="a share", ours=0.9, headline=HEADLINE, sizes="5", seconds=1.0),
        Figure(what="an error", ours=0.01, headline=0.02, sizes="5", seconds=1.0, smaller_is_better=True),
        Figure(what="alone", ours=3.0, sizes="5", seconds=1.0, unit="number"),
    ]
"""


@pytest.fixture
def assignment(tiny_course: Path) -> Assignment:
    assignment = load_course(tiny_course).assignment("tiny")
    script_of(assignment).write_text("HEADLINE = 0.8\n" + SCRIPT)
    return assignment


def run(assignment: Assignment, *, seed: int = 0, device: str = "cpu", force: bool = False) -> int:
    return run_accuracy(assignment.root, [], seed=seed, device=device, force=force, to=None)


def runs(assignment: Assignment) -> list[list[str]]:
    return [line.split() for line in script_of(assignment).with_name("runs").read_text().splitlines()]


def test_figures_are_kept_and_compared(assignment: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(assignment) == 0
    out = capsys.readouterr().out
    assert out.count("reached") == 2 and "90.00 %" in out
    path = assignment.root / "docs/accuracy.json"
    assert read_measured(path)["tiny"].figures[0].ours == 0.9
    page = path.with_suffix(".md").read_text()
    assert "| tiny | a share | 90.00 % | 80.00 % | 5 | 1 |" in page and "| alone | 3 | - |" in page
    assert int(runs(assignment)[0][2]) >= 1


def test_what_has_not_changed_is_not_measured_again(assignment: Assignment) -> None:
    for _ in range(2):
        assert run(assignment) == 0
    assert len(runs(assignment)) == 1
    run(assignment, force=True)
    run(assignment, seed=3)
    run(assignment, seed=3, device="cuda")
    before = digest_of(assignment)
    assignment.source.write_text(assignment.source.read_text() + "\n# %% [markdown]\n# Another word.\n")
    assert digest_of(assignment) == before
    assignment.source.write_text(assignment.source.read_text() + "\n# %%\nmore = 1\n")
    assert digest_of(assignment) != before
    run(assignment, seed=3, device="cuda")
    assert [line[:2] for line in runs(assignment)] == [
        ["0", "cpu"], ["0", "cpu"], ["3", "cpu"], ["3", "cuda"], ["3", "cuda"]
    ]  # fmt: skip


def test_a_headline_that_is_not_reached(assignment: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    script_of(assignment).write_text("HEADLINE = 0.95\n" + SCRIPT)
    assert run(assignment) == 1
    assert "SHORT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("from autograder.datasets import load_dataset\ndef run(seed): load_dataset('cifar10')\n",
         "tiny: CIFAR-10 is not on this machine"),
        ("def run(seed): raise ValueError('no convergence')\n", "accuracy.py raised ValueError after"),
        ("import os\ndef run(seed): os._exit(1)\n", "the process was killed"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_said_and_the_kept_figures_stay(
    assignment: Assignment,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    said: str,
) -> None:
    monkeypatch.setenv("AUTOGRADER_DATA", str(assignment.root / "no data"))
    run(assignment)
    path = assignment.root / "docs/accuracy.json"
    kept = path.read_bytes()
    script_of(assignment).write_text(body)
    assert run(assignment) == 1
    assert said in capsys.readouterr().err
    assert path.read_bytes() == kept


def test_a_file_of_something_else(assignment: Assignment) -> None:
    path = assignment.root / "docs/accuracy.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"tiny": 3}))
    with pytest.raises(Exception, match="is not what `autograder accuracy` writes"):
        run(assignment)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_the_training_ends_with_the_command(assignment: Assignment) -> None:
    """However that ends: nobody would read its figures."""
    number = script_of(assignment).with_name("number")
    script_of(assignment).write_text(
        "import os, time\nfrom pathlib import Path\n"
        "def run(seed=0):\n"
        f"    Path({str(number)!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )
    arguments = ["accuracy", "tiny", "--course", str(assignment.root)]
    command = subprocess.Popen([sys.executable, "-c", "from autograder.cli import main; main()", *arguments])
    try:
        assert within(60, lambda: number.exists() and number.read_text() != "")
        training = int(number.read_text())
        assert training != command.pid and is_running(training)
        command.kill()
        command.wait()
        assert within(10, lambda: not is_running(training))
    finally:
        command.kill()
        command.wait()


def test_what_reaches_a_headline() -> None:
    def reached(**fields: object) -> bool:
        return Figure.model_validate(
            {"what": "w", "ours": 0.5, "sizes": "s", "seconds": 1.0, **fields}
        ).reached

    assert reached() and reached(headline=0.5) and reached(headline=0.4)
    assert not reached(headline=0.6)
    assert reached(headline=0.6, smaller_is_better=True) and not reached(headline=0.4, smaller_is_better=True)

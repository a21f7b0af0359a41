"""The command: exit status, standard output and plain sentences.

Most calls run in this process, through the same `main` that the console script calls; where the process
matters (limits, signals, what is left on standard output) a real one is started.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from gradebook_course import ANSWERS, prepare
from tiny_course import COURSE, SOURCE, write_tiny_course

from autograder import __version__
from autograder.cli import main
from autograder.cli.errors import plain_message
from autograder.course import load_course
from autograder.course.results import Report
from autograder.gradebook import schema

LIMITS = "limits: {call_seconds: 1, cell_seconds: 1, load_seconds: 4}\n"


COMMAND = [sys.executable, "-c", "from autograder.cli import main; main()"]


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in this process."""
    command, out, err = ["autograder", *map(str, arguments)], StringIO(), StringIO()
    before, sys.argv = sys.argv, command
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    status = ended.value.code
    return subprocess.CompletedProcess(command, status or 0, out.getvalue(), err.getvalue())


def new_course(folder: Path, **changed: str) -> Path:
    root = write_tiny_course(folder, **{"course": COURSE + LIMITS, **changed})
    prepare(root)
    return root


def notebook(root: Path, **answers: str) -> bytes:
    document = json.loads((root / "assignments/tiny/tiny.ipynb").read_bytes())
    for cell in document["cells"]:
        cell["source"] = answers.get(cell["metadata"].get("nbgrader", {}).get("grade_id"), cell["source"])
    return json.dumps(document).encode()


RIGHT = {
    "relu_forward": ANSWERS["relu_forward"],
    "softmax": SOURCE.partition('# %% question="softmax"\n')[2].partition("# %%")[0],
}


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def a_class(root: Path) -> Path:
    """Seven students: right, half, damaged in three ways, in time twice."""
    right, half = notebook(root, **RIGHT), notebook(root, relu_forward=RIGHT["relu_forward"])
    folder = root / "handed in"
    write(folder / "ada/tiny.ipynb", right)
    write(folder / "bob/tiny.ipynb", half)
    write(folder / "cem/tiny.ipynb", right[: len(right) // 2])
    write(folder / "dan/tiny.ipynb", '{"numbers": [1, 2, 3]}')
    with write(folder / "eva/tiny.ipynb", b"{").open("r+b") as file:
        file.truncate(200 << 20)
    for name, content, when in (
        ("tiny.ipynb", right, 1_800_000_000),
        ("tiny (1).ipynb", half, 1_700_000_000),
    ):
        os.utime(write(folder / "fay" / name, content), (when, when))
    return folder


def a_zip(root: Path) -> Path:
    """A good notebook among entries that lead elsewhere."""
    path = root / "class.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ada/tiny.ipynb", notebook(root, **RIGHT))
        archive.writestr("../../evil/tiny.ipynb", notebook(root))
        archive.writestr("/abs/tiny.ipynb", notebook(root))
        link = zipfile.ZipInfo("gus/tiny.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return path


@dataclass
class Call:
    """A command to run, and what it should say."""

    arguments: Callable[[Path], list[object]]
    status: int
    says: str = ""
    """A pattern for standard error."""
    spoil: Callable[[Path], object] = lambda root: None
    """What is done to the course before."""
    process: bool = False
    """Whether it needs a process of its own."""
    full_disk: bool = False


def one(root: Path) -> Path:
    return write(root / "one/ada.ipynb", notebook(root, **RIGHT))


def small_files() -> None:
    """In the child: no file may grow beyond 16 kB, which is what a full disk looks like."""
    # The soft limit alone: the sandbox has limits of its own to set.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, resource.RLIM_INFINITY))


def student_folder(root: Path, **answers: str) -> Path:
    folder = root / "mine"
    write(folder / "tiny.ipynb", notebook(root, **answers))
    shutil.copy(root / "tests/tiny/test_public.py", folder)
    return folder / "tiny.ipynb"


def graded(root: Path, submissions: object, *more: object) -> list[object]:
    return ["grade", "tiny", submissions, "--course", root, *more]


def quick(root: Path, submissions: object, *more: object) -> list[object]:
    return graded(root, submissions, "--no-gradebook", "--no-feedback", *more)


NO_TEXT = "^$"
CALLS: dict[str, Call] = {
    "class": Call(lambda r: graded(r, a_class(r), "--json", r / "out/report.json"), 1, "eva", process=True),
    "zip": Call(lambda r: quick(r, a_zip(r), "--json", r / "report.json"), 1, r"'\.\.'"),
    "json": Call(lambda r: graded(r, one(r), "--json", "-"), 0, "1 graded", process=True),
    "quiet": Call(lambda r: quick(r, one(r), "-q", "--json", r / "report.json"), 0, NO_TEXT),
    "unsafe": Call(lambda r: quick(r, one(r), "--unsafe-no-sandbox", "--json", "-"), 0, "no sandbox"),
    "no course": Call(
        lambda r: ["grade", "tiny", one(r), "--course", r.parent / "empty"], 2, r"course\.yml",
        lambda r: (r.parent / "empty").mkdir(),
    ),
    "broken course": Call(
        lambda r: quick(r, one(r)), 2, "course.yml:3: Unknown key 'asignments'",
        lambda r: write(r / "course.yml", COURSE.replace("assignments:", "asignments:")),
    ),
    "unknown slug": Call(
        lambda r: ["grade", "tyni", one(r), "--course", r], 2, r"no assignment 'tyni'.*tiny"
    ),
    "no such path": Call(lambda r: quick(r, r / "nowhere"), 2, "nowhere"),
    "empty folder": Call(
        lambda r: quick(r, r / "empty"), 2, "There is no submission of tiny in",
        lambda r: (r / "empty").mkdir(),
    ),
    "damaged zip": Call(lambda r: quick(r, write(r / "bad.zip", b"PK\x03\x04xx")), 2, "not a zip file"),
    "not released": Call(
        lambda r: quick(r, one(r)), 2, "autograder build",
        lambda r: (r / "assignments/tiny/tiny.ipynb").unlink(),
    ),
    "broken suite": Call(
        lambda r: quick(r, one(r)), 2, "test_hidden.py, line 1: SyntaxError",
        lambda r: write(r / "tests/tiny/test_hidden.py", "def (:"),
    ),
    "state in the way": Call(
        lambda r: quick(r, one(r)), 2, r"Cannot (create|write) .*\.autograder",
        lambda r: write(r / ".autograder", "a file"),
    ),
    "report in the way": Call(
        lambda r: quick(r, one(r), "--json", one(r) / "report.json"), 2, "Cannot write .*report.json"
    ),
    "gradebook is none": Call(
        lambda r: graded(r, one(r)), 2, "no SQLite database", lambda r: write(r / "gradebook.db", "x" * 5000),
    ),
    "gradebook elsewhere": Call(lambda r: graded(r, one(r), "--db", "no/such:base"), 2, "no database URL"),
    "gradebook full": Call(
        lambda r: graded(r, one(r), "--json", r / "report.json"), 2, "gradebook.*(disk|full)",
        process=True, full_disk=True,
    ),
    "feedback in the way": Call(
        lambda r: graded(r, one(r), "--no-gradebook"), 2, "feedback",
        lambda r: write(r / "feedback", "a file"),
    ),
    "no arguments": Call(lambda r: ["grade"], 2, "Missing argument"),
    "no jobs": Call(lambda r: quick(r, one(r), "--jobs", "0"), 2, "--jobs"),
    "version": Call(lambda r: ["--version"], 0, NO_TEXT),
    "check passes": Call(lambda r: ["check", student_folder(r, **RIGHT)], 0, NO_TEXT),
    "check fails": Call(
        lambda r: ["check", student_folder(r, softmax="def softmax(s): return s"), "softmax"], 1, NO_TEXT
    ),
    "check unknown": Call(
        lambda r: ["check", student_folder(r), "sofmax"], 2, r'Did you mean check\("softmax"\)\?'
    ),
    "check alone": Call(lambda r: ["check", one(r)], 2, "test_public.py is not beside"),
    "check absent": Call(
        lambda r: ["check", student_folder(r).with_name("other.ipynb")], 2, "There is no notebook"
    ),
    "check damaged": Call(
        lambda r: ["check", write(student_folder(r), b'{"cells": [')], 2, "The file is cut off"
    ),
    "check exits": Call(
        lambda r: ["check", student_folder(r, softmax="import sys\nsys.exit(0)"), "relu_forward"],
        1, "Cell [0-9] raised SystemExit",
    ),
    "report of nothing": Call(lambda r: ["report", r / "absent.json"], 2, "There is no report"),
    "report of something": Call(lambda r: ["report", write(r / "x.json", "[]")], 2, "is not a report"),
    "data unknown": Call(lambda r: ["data", "path", "mnits"], 2, "mnits"),
}  # fmt: skip
USAGE = ("no arguments", "no jobs")  # typer's own words


@dataclass
class Said:
    """What a command said, and where it ran."""

    root: Path
    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """Every call, made once; those with a process of their own run beside the others."""
    base = tmp_path_factory.mktemp("cli")

    def prepared(name: str, call: Call) -> tuple[Path, list[object]]:
        root = new_course(base / name.replace(" ", "-"))
        arguments = call.arguments(root)
        call.spoil(root)
        return root, arguments

    with ThreadPoolExecutor(1) as pool:
        roots, running, done = {}, {}, {}
        for name, call in CALLS.items():
            roots[name], arguments = prepared(name, call)
            if call.process:
                options = {"preexec_fn": small_files} if call.full_disk else {}
                running[name] = pool.submit(run, *arguments, **options)
            else:
                done[name] = run_here(*arguments)
        done |= {name: future.result() for name, future in running.items()}
    return {name: Said(roots[name], end.returncode, end.stdout, end.stderr) for name, end in done.items()}


@pytest.mark.parametrize("name", CALLS)
def test_status_and_sentences(name: str, said: dict[str, Said]) -> None:
    found, call = said[name], CALLS[name]
    assert found.status == call.status, found.err
    assert re.search(call.says, found.err, re.DOTALL), found.err
    assert "Traceback" not in found.err + found.out
    if call.status == 2 and name not in USAGE:
        lines = found.err.strip().splitlines()
        assert 1 <= len(lines) <= 2, found.err
        assert all(line.endswith((".", "?")) for line in lines), found.err
        assert not found.out


def report_of(found: Said, name: str) -> Report:
    return Report.model_validate_json((found.root / name).read_bytes())


def test_a_class_is_graded_and_the_refused_are_named(said: dict[str, Said]) -> None:
    found = said["class"]
    report = report_of(found, "out/report.json")
    got = {entry.student: (entry.status, entry.score) for entry in report.submissions}
    refused = ("refused", 0.0)
    assert got == {
        "ada": ("graded", 5.0), "bob": ("graded", 2.0), "cem": refused, "dan": refused, "eva": refused,
        "fay": ("graded", 5.0),
    }  # fmt: skip
    lines = found.err.splitlines()
    for student, reason in (("cem", "cut off"), ("dan", "no "), ("eva", "200 MB")):
        assert any(f"{student}/tiny.ipynb" in line and reason in line for line in lines), found.err
    assert any("fay handed in twice" in line and "counts" in line for line in lines), found.err
    assert "3 graded, mean 4.0 of 5, 2 with full marks; 3 refused." in found.out
    assert (found.root / "gradebook.db").exists()
    assert (found.root / "autograded/ada/tiny/tiny.ipynb").exists()
    assert len(list((found.root / "feedback").rglob("*.html"))) >= 4


def test_a_zip_leads_nowhere(said: dict[str, Said]) -> None:
    found = said["zip"]
    report = report_of(found, "report.json")
    graded = [entry.student for entry in report.submissions if entry.status == "graded"]
    refused = [entry.reason for entry in report.submissions if entry.status == "refused"]
    assert graded == ["ada"] and len(refused) == 3
    for reason in ("'..'", "absolute path", "a link"):
        assert any(reason in said for said in refused), refused
    assert not list(found.root.parent.rglob("evil"))


def test_standard_output_is_one_json_object(said: dict[str, Said]) -> None:
    report = Report.model_validate_json(said["json"].out)
    assert [entry.score for entry in report.submissions] == [5.0]
    assert {"landlock", "seccomp"} <= set(report.sandbox)
    stamped = Report.model_validate_json(said["unsafe"].out)
    assert stamped.sandbox == ["none (--unsafe-no-sandbox)"]
    assert "NO SANDBOX" in said["unsafe"].err
    assert said["quiet"].out == ""
    assert report_of(said["quiet"], "report.json").submissions


def test_a_full_disk_leaves_no_half_file(said: dict[str, Said]) -> None:
    root = said["gradebook full"].root
    assert not (root / "report.json").exists()
    assert not list(root.rglob("*.tmp"))


def test_a_report_that_cannot_be_written_is_found_out_before_grading(said: dict[str, Said]) -> None:
    assert not (said["report in the way"].root / ".autograder/runs").exists()


def test_version_and_check(said: dict[str, Said]) -> None:
    assert said["version"].out == f"autograder {__version__}\n"
    assert "relu_forward" in said["check passes"].out and "softmax" in said["check passes"].out
    assert "relu_forward" not in said["check fails"].out


def test_a_locked_gradebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_LOCK_SECONDS", 0.5)
    root = new_course(tmp_path)
    assert run_here(*graded(root, one(root), "--no-feedback")).returncode == 0
    lock = sqlite3.connect(root / "gradebook.db", isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        done = run_here(*graded(root, one(root), "--no-feedback", "--json", root / "report.json"))
    finally:
        lock.close()
    assert done.returncode == 2 and "in use by another program" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not (root / "report.json").exists()
    done = run_here(*graded(root, one(root), "--no-feedback", "--resume"))
    assert done.returncode == 0, done.stderr


def test_control_c_keeps_what_is_done(tmp_path: Path) -> None:
    root = new_course(tmp_path)
    slow = json.loads(notebook(root, **RIGHT))
    own = {"id": "slow", "source": "import time\ntime.sleep(1.2)", "metadata": {}}
    slow["cells"].append({**slow["cells"][1], **own})
    students = ("ada", "bob", "cem", "dan", "eve", "fay")
    for student in students:
        write(root / f"in/{student}.ipynb", json.dumps(slow))
    arguments = map(str, quick(root, root / "in"))
    # What a shell starts in the background ignores Ctrl-C, and so would this.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    journal = root / ".autograder/runs/tiny.jsonl"
    until = time.monotonic() + 200
    while time.monotonic() < until and not (journal.exists() and '"ada"' in journal.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (
        err.strip()
        == "Interrupted. Finished work is kept; the same command (without --force) goes on from there."
    )
    done = [json.loads(line)["result"] for line in journal.read_text().splitlines() if line.strip()]
    assert 1 <= len(done) < len(students)
    finished = run_here(*quick(root, root / "in", "--resume", "--json", "-"))
    report = Report.model_validate_json(finished.stdout)
    assert [entry.score for entry in report.submissions] == [5.0] * len(students)
    assert report.submissions[0].seconds == done[0]["seconds"]


# In this process


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied."),
        (OSError("odd"), "odd."),
        (ZeroDivisionError("a bug"), None),
    ],
)
def test_plain_messages(error: Exception, said: str | None) -> None:
    assert plain_message(error) == said


def test_every_error_of_the_engine_is_plain() -> None:
    """An exception class that the user may meet must be known to the command."""
    import importlib
    import pkgutil

    import autograder

    internal = {
        "CheckFailure", "StudentError", "WireError", "PeerClosed", "Deadline", "WorkerLost", "CallTimeout",
        "NotThere", "UnreadableError", "IntakeError", "ArchiveError", "RegionError", "SubmissionRefused",
        "NoFile", "WeightsError",
    }  # fmt: skip
    for module in pkgutil.walk_packages(autograder.__path__, "autograder."):
        for name, kind in vars(importlib.import_module(module.name)).items():
            if not (
                isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.name
            ):
                continue
            if name.startswith("_") or name in internal:
                continue
            assert plain_message(kind.__new__(kind)) is not None, f"{module.name}.{name}"


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from autograder.cli import grading

    monkeypatch.setattr(sys, "argv", ["autograder", "grade", "tiny", "x", "--course", str(tmp_path)])
    monkeypatch.setattr(grading, "load_course", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main()


def test_the_course_is_found_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = new_course(tmp_path)
    monkeypatch.chdir(root / "tests/tiny")
    assert load_course(Path()).root == root

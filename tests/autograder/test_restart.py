"""A test that goes on in a fresh copy of the submission, and what it may write into."""

from __future__ import annotations

from pathlib import Path

from autograder.checking.proxy import local_student
from autograder.course import Limits
from autograder.grading.session import LoadedSubmission, SandboxContext
from autograder.notebook.cells import Cell
from autograder.sandbox.host import Profile, Zygote

SOURCE = """
from pathlib import Path
kept = []
class Thing:
    pass
def remember(value):
    kept.append(value)
    Path("file").write_bytes(b"written")
    return Thing()
def remembered():
    return kept, Path("file").exists()
"""


def test_a_restart_forgets_all_but_what_is_loaded() -> None:
    with (
        Zygote(Profile()) as zygote,
        LoadedSubmission(zygote, [Cell(0, "code", SOURCE)], Limits()) as submission,
        SandboxContext(submission, {}, Limits(), 1).student(1, []) as student,
    ):
        student.remember(1)  # gives a Handle: an object that stays there
        student.renew()
        assert student.remembered() == ([1], True)  # the test may still use that object
        student.restart()
        assert student.remembered() == ([], False)
        student.remember(2)
        assert student.remembered() == ([2], True)


WRITER = """
from pathlib import Path
def write(folder):
    (Path(folder) / "file").write_text("mine")
    return [each.name for each in Path(folder).iterdir()]
"""


def test_a_folder_to_write_into() -> None:
    with (
        Zygote(Profile()) as zygote,
        LoadedSubmission(zygote, [Cell(0, "code", WRITER)], Limits()) as submission,
        SandboxContext(submission, {}, Limits(), 1).student(1, []) as student,
    ):
        first, second = student.folder(), student.folder()
        assert first != second
        assert student.write(first) == student.write(second) == ["file"]
        assert not any(event.name == "folder" for event in student.events)


def test_a_folder_in_the_same_process_is_removed() -> None:
    namespace: dict[str, object] = {}
    exec(WRITER, namespace)
    with local_student(namespace, lambda _: False, seed=0) as student:
        folder = student.folder()
        assert student.write(folder) == ["file"]
        assert Path(folder).is_dir() and [event.name for event in student.events] == ["write"]
    assert not Path(folder).exists()


def test_in_the_same_process_a_restart_does_nothing() -> None:
    namespace: dict[str, object] = {}
    exec("kept = []\ndef remember(value):\n    kept.append(value)\n    return kept", namespace)
    with local_student(namespace, lambda _: False, seed=0) as student:
        student.remember(1)
        student.restart()
        assert student.remember(2) == [1, 2]

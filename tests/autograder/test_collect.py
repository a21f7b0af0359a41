"""Submissions are found in every layout, belong to the right student, and nothing unsafe is read."""

from __future__ import annotations

import os
import stat
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.course import Assignment, load_course
from autograder.notebook import archive
from autograder.notebook.collect import Collected, CollectError, UnreadableError, collect
from autograder.notebook.students import MAX_ID_LENGTH, distinct_ids, safe_id

NOTEBOOK = b'{"cells": [], "nbformat": 4}'


@pytest.fixture
def assignment(tiny_course: Path) -> Assignment:
    return load_course(tiny_course).assignment("tiny")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of its own, beside the course."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def write(path: Path, content: bytes = NOTEBOOK, age: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def zipped(path: Path, *names: str | zipfile.ZipInfo, content: bytes = NOTEBOOK) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_file:
        for name in names:
            archive_file.writestr(name, content)
    return path


def info(name: str, moment: tuple[int, ...] = (2026, 10, 30, 12, 0, 0)) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, moment)  # type: ignore[arg-type]
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def students(collected: Collected) -> list[str]:
    return [found.student for found in collected.submissions]


# Layouts


def test_a_notebook_file(place: Path, assignment: Assignment) -> None:
    found = collect([write(place / "alice.ipynb")], assignment)
    assert students(found) == ["alice"]
    assert found.submissions[0].read(100) == NOTEBOOK
    assert found.submissions[0].label == str(place / "alice.ipynb")
    assert (found.refused, found.notes) == ([], [])


@pytest.mark.parametrize("name", ["alice_tiny", "tiny-alice", "tiny alice", "ALICE_TINY"])
def test_the_assignments_name_is_no_part_of_the_students(
    place: Path, assignment: Assignment, name: str
) -> None:
    (student,) = students(collect([write(place / f"{name}.ipynb")], assignment))
    assert student.lower() == "alice"


@pytest.mark.parametrize("given_folder", ["submitted", "submitted/alice", "submitted/alice/tiny"])
def test_nbgraders_layout(place: Path, assignment: Assignment, given_folder: str) -> None:
    write(place / "submitted/alice/tiny/tiny.ipynb")
    write(place / "submitted/alice/tiny/scratch.ipynb", age=-100)
    write(place / "submitted/alice/tiny/.ipynb_checkpoints/tiny-checkpoint.ipynb", age=-100)
    write(place / "submitted/alice/tiny/timestamp.txt", b"2026-10-30 19:59:58.5 Europe/Berlin")
    write(place / "submitted/alice/other/other.ipynb")
    found = collect([place / given_folder], assignment)
    assert students(found) == ["alice"]
    assert found.submissions[0].label.endswith("alice/tiny/tiny.ipynb")
    assert found.submissions[0].timestamp == datetime(2026, 10, 30, 18, 59, 58, 500000, tzinfo=UTC)
    assert found.submissions[0].exact_time
    assert found.notes == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-10-30 18:00:00 UTC", datetime(2026, 10, 30, 18, tzinfo=UTC)),
        ("2026-10-30 18:00:00.000000 +0200", datetime(2026, 10, 30, 16, tzinfo=UTC)),
        ("2026-10-30 18:00", datetime(2026, 10, 30, 18, tzinfo=UTC)),
        ("yesterday", None),
        ("2026-13-30 18:00:00 UTC", None),
        ("2026-10-30 18:00:00 ../../etc/passwd", None),
        ("2026-10-30 18:00:00 +9999", None),
        ("x" * 1000, None),
    ],
)
def test_nbgraders_timestamps(
    place: Path, assignment: Assignment, text: str, moment: datetime | None
) -> None:
    write(place / "submitted/alice/tiny/tiny.ipynb")
    write(place / "submitted/alice/tiny/timestamp.txt", text.encode())
    (found,) = collect([place / "submitted"], assignment).submissions
    assert (found.timestamp if found.exact_time else None) == moment


def test_a_student_without_a_notebook_is_named(place: Path, assignment: Assignment) -> None:
    write(place / "submitted/alice/tiny/tiny.ipynb")
    write(place / "submitted/bob/tiny/answer.pdf")
    found = collect([place / "submitted"], assignment)
    assert students(found) == ["alice"]
    assert [(refused.student, refused.reason) for refused in found.refused] == [
        ("bob", "There is no notebook (.ipynb) among the files; answer.pdf is none.")
    ]


def test_a_folder_of_files(place: Path, assignment: Assignment) -> None:
    for name in ("alice", "bob", "carol"):
        write(place / f"{name}.ipynb")
    write(place / "readme.txt")
    assert students(collect([place], assignment)) == ["alice", "bob", "carol"]


def test_a_folder_of_folders(place: Path, assignment: Assignment) -> None:
    write(place / "alice/tiny.ipynb")
    write(place / "bob/my work.ipynb")
    write(place / "carol/tiny (2).ipynb")
    write(place / "carol/other.ipynb")
    assert students(collect([place], assignment)) == ["alice", "bob", "carol"]


def test_paths_of_the_same_name_belong_to_their_folders(place: Path, assignment: Assignment) -> None:
    paths = [write(place / name / "tiny.ipynb") for name in ("alice", "bob")]
    assert students(collect(paths, assignment)) == ["alice", "bob"]


def test_other_assignments_are_left_out(place: Path, tiny_course: Path, assignment: Assignment) -> None:
    (tiny_course / "solutions/01_other").mkdir()
    write(place / "submitted/alice/01_other/01_other.ipynb")
    for path in (place / "submitted", place / "submitted/alice"):
        with pytest.raises(CollectError, match="There is no submission of tiny in"):
            collect([path], assignment)


def test_a_canvas_zip(place: Path, assignment: Assignment) -> None:
    path = zipped(
        place / "submissions.zip",
        "smithjohn_12345_678910_tiny.ipynb",
        "doejane_LATE_12346_678911_My Work-1.ipynb",
        "leeann_12347_678912_essay.docx",
        "__MACOSX/._smithjohn_12345_678910_tiny.ipynb",
    )
    found = collect([path], assignment)
    assert students(found) == ["doejane_12346", "smithjohn_12345"]
    assert found.submissions[1].label == "submissions.zip: smithjohn_12345_678910_tiny.ipynb"
    assert found.submissions[1].read(1000) == NOTEBOOK
    assert [refused.student for refused in found.refused] == ["leeann_12347"]


def test_a_canvas_resubmission_counts(place: Path, assignment: Assignment) -> None:
    path = zipped(
        place / "submissions.zip",
        info("smithjohn_12345_678999_tiny-2.ipynb", (2026, 10, 1, 12, 0, 0)),
        info("smithjohn_12345_678910_tiny.ipynb"),
        info("smithjohn_12345_678950_tiny-1.ipynb"),
    )
    found = collect([path], assignment)
    assert [found.label for found in found.submissions] == [
        "submissions.zip: smithjohn_12345_678999_tiny-2.ipynb"
    ]
    assert len(found.notes) == 2
    assert all("smithjohn_12345 handed in twice" in note and "tiny-2.ipynb" in note for note in found.notes)


@pytest.mark.parametrize(
    "pattern", ["{}_assignsubmission_file_/tiny.ipynb", "{}_assignsubmission_file_tiny.ipynb"]
)
def test_a_moodle_zip(place: Path, assignment: Assignment, pattern: str) -> None:
    names = [pattern.format(name) for name in ("Ana María López_101", "Bob Stone_102", "Bob Stone_103")]
    online = "Cy Text_104_assignsubmission_onlinetext_/onlinetext.html"
    found = collect([zipped(place / "class.zip", *names, online)], assignment)
    assert students(found) == ["Ana_Maria_Lopez", "Bob_Stone_102", "Bob_Stone_103"]
    assert [refused.student for refused in found.refused] == ["Cy_Text"]


def test_a_zip_of_nbgraders_folders_and_of_plain_files(place: Path, assignment: Assignment) -> None:
    nbgrader = zipped(place / "a.zip", "submitted/alice/tiny/tiny.ipynb", "submitted/bob/tiny/tiny.ipynb")
    assert students(collect([nbgrader], assignment)) == ["alice", "bob"]
    plain = zipped(place / "b.zip", "class/alice.ipynb", "class/bob_tiny.ipynb")
    assert students(collect([plain], assignment)) == ["alice", "bob"]
    single = zipped(place / "carol.zip", "tiny.ipynb")
    assert students(collect([single], assignment)) == ["carol"]
    windows = zipped(place / "d.zip", info("x"))
    with zipfile.ZipFile(windows, "a") as archive_file:
        entry = info("name")
        entry.filename = "submitted\\dora\\tiny\\tiny.ipynb"
        archive_file.writestr(entry, NOTEBOOK)
    assert students(collect([windows], assignment)) == ["dora"]


# Two submissions of one student


def test_the_newer_of_two_counts_and_that_is_said(place: Path, assignment: Assignment) -> None:
    older, newer = write(place / "one/alice.ipynb", age=3600), write(place / "two/alice.ipynb", b"newer")
    for paths in ([older, newer], [newer, older]):
        found = collect(paths, assignment)
        assert [one.read(10) for one in found.submissions] == [b"newer"]
        (note,) = found.notes
        assert note.startswith(f"alice handed in twice: {newer} (")
        assert f"counts, {older} (" in note


def test_nbgraders_timestamp_tells_which_is_newer(place: Path, assignment: Assignment) -> None:
    write(place / "a/alice/tiny/tiny.ipynb", b"later", age=10_000)
    write(place / "a/alice/tiny/timestamp.txt", b"2036-01-01 00:00:00 UTC")
    write(place / "b/alice/tiny/tiny.ipynb", b"sooner")
    (found,) = collect([place / "a", place / "b"], assignment).submissions
    assert found.read(10) == b"later"


# Student ids


@given(st.lists(st.text(min_size=1, max_size=150), max_size=8))
def test_ids_are_safe_and_stay_distinct(names: list[str]) -> None:
    ids = distinct_ids(names)
    assert set(ids) == set(names)
    assert len({student.casefold() for student in ids.values()}) == len(set(names))
    for student in ids.values():
        assert 0 < len(student) <= MAX_ID_LENGTH
        assert set(student) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-")
        assert not student.startswith((".", "-"))


@pytest.mark.parametrize("name", ["alice", "s123456", "a.b@c.org", "x+y", "A_b-C"])
def test_a_safe_name_stays_what_it_is(name: str) -> None:
    assert safe_id(name) == name


def test_names_that_look_alike_are_told_apart(place: Path, assignment: Assignment) -> None:
    for name in ("José", "Jose", "李", "王"):
        write(place / f"{name}.ipynb")
    found = collect([place], assignment)
    assert len(set(students(found))) == 4
    assert "Jose" in students(found)
    assert any("José is called Jose-" in note for note in found.notes)


# What is refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../../alice_1_22_tiny.ipynb", "holds '..'"),
        ("/etc/alice_1_22_tiny.ipynb", "absolute path"),
        ("C:\\alice_1_22_tiny.ipynb", "absolute path"),
        ("x\\..\\..\\alice_1_22_tiny.ipynb", "holds '..'"),
    ],
)
def test_names_that_lead_elsewhere_are_refused_and_the_others_go_on(
    place: Path, assignment: Assignment, name: str, reason: str
) -> None:
    path = place / "class.zip"
    with zipfile.ZipFile(path, "w") as archive_file:
        archive_file.writestr("bob_2_33_tiny.ipynb", NOTEBOOK)
        entry = info("name")
        entry.filename = name
        archive_file.writestr(entry, NOTEBOOK)
    found = collect([path], assignment)
    assert students(found) == ["bob_2"]
    (refused,) = found.refused
    assert refused.student.startswith("alice_1") or "alice_1" in refused.student
    assert reason in refused.reason
    assert sorted(file.name for file in place.iterdir()) == ["class.zip"]


def test_links_in_a_zip_are_refused(place: Path, assignment: Assignment) -> None:
    link = info("alice_1_22_tiny.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    device = info("bob_2_33_tiny.ipynb")
    device.external_attr = (stat.S_IFCHR | 0o666) << 16
    found = collect([zipped(place / "class.zip", link, device, content=b"/etc/passwd")], assignment)
    assert [refused.reason for refused in found.refused] == [
        "class.zip: alice_1_22_tiny.ipynb is refused: it is a link.",
        "class.zip: bob_2_33_tiny.ipynb is refused: it is not a plain file.",
    ]


def test_links_in_a_folder_are_refused(place: Path, assignment: Assignment) -> None:
    secret = write(place / "secret.txt")
    write(place / "class/alice.ipynb")
    (place / "class/bob.ipynb").symlink_to(secret)
    (place / "class/linked").symlink_to(place, target_is_directory=True)
    found = collect([place / "class"], assignment)
    assert students(found) == ["alice"]
    assert [(refused.student, "it is a link" in refused.reason) for refused in found.refused] == [
        ("bob", True)
    ]


def test_a_bomb_in_a_zip_is_refused(place: Path, assignment: Assignment) -> None:
    path = place / "class.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_file:
        archive_file.writestr("alice_1_22_tiny.ipynb", b"[" * (2 << 20))
        archive_file.writestr("bob_2_33_tiny.ipynb", b"[" * (101 << 20))
        archive_file.writestr("carol_3_44_tiny.ipynb", NOTEBOOK)
    found = collect([path], assignment)
    assert students(found) == ["carol_3"]
    assert [refused.reason.partition(" is refused: ")[2] for refused in found.refused] == [
        f"it unpacks to more than {archive.MAX_RATIO} times its size.",
        "it has 101 MB; at most 100 MB are read.",
    ]


def test_an_encrypted_entry_is_refused(place: Path, assignment: Assignment) -> None:
    path = zipped(place / "class.zip", "alice_1_22_tiny.ipynb")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    (refused,) = collect([path], assignment).refused
    assert "it is encrypted" in refused.reason


def test_a_damaged_entry_says_so_when_it_is_read(place: Path, assignment: Assignment) -> None:
    path = zipped(place / "class.zip", "alice_1_22_tiny.ipynb", "bob_2_33_tiny.ipynb")
    data = bytearray(path.read_bytes())
    data[data.index(b"tiny.ipynb") + 12] ^= 0xFF
    path.write_bytes(data)
    alice, bob = collect([path], assignment).submissions
    with pytest.raises(UnreadableError, match=r"alice_1_22_tiny\.ipynb in class\.zip is damaged"):
        alice.read(1000)
    assert bob.read(1000) == NOTEBOOK


def test_too_many_entries(place: Path, assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    path = zipped(place / "class.zip", "a.ipynb", "b.ipynb", "c.ipynb")
    with pytest.raises(CollectError, match="holds 3 files; at most 2 are read"):
        collect([path], assignment)


def test_a_huge_notebook_is_refused_without_reading_it(place: Path, assignment: Assignment) -> None:
    with (place / "alice.ipynb").open("wb") as stream:
        stream.truncate(1 << 40)  # a hole: it takes no room on the disk, and no memory would hold it
    write(place / "bob.ipynb")
    found = collect([place], assignment)
    assert students(found) == ["bob"]
    assert found.refused[0].reason.endswith("it has 1048576 MB; at most 100 MB are read.")


def test_a_file_that_grew_since_is_not_read_whole(place: Path, assignment: Assignment) -> None:
    path = write(place / "alice.ipynb")
    (found,) = collect([path], assignment).submissions
    path.write_bytes(b"x" * 2000)
    with pytest.raises(UnreadableError, match=r"alice\.ipynb has more than"):
        found.read(1000)
    path.unlink()
    with pytest.raises(UnreadableError, match="cannot be read: No such file"):
        found.read(1000)


# Nothing to grade


def test_nothing_there(place: Path, assignment: Assignment) -> None:
    def fails(path: Path, words: str) -> None:
        with pytest.raises(CollectError, match=words):
            collect([path], assignment)

    fails(place, "There is no submission of tiny in .*inbox")
    fails(place / "absent", "cannot be read: No such file or directory")
    fails(write(place / "alice.py"), "is neither a notebook")
    fails(write(place / "class.zip", b"no zip"), "is not a zip file")
    fails(zipped(place / "empty.zip"), "There is no submission of tiny")
    os.mkfifo(place / "pipe")
    fails(place / "pipe", "is not a plain file")
    with pytest.raises(CollectError, match="There is no submission of tiny in the paths given"):
        collect([], assignment)

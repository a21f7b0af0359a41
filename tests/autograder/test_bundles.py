"""Release bundles: the release, nothing else, the same every time."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import pytest

from autograder.course import Assignment, load_course
from autograder.publishing import PublishingError, bundle_release


def test_a_bundle_is_the_release_and_the_same_every_time(released: Assignment, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "tiny.zip", tmp_path / "b.ZIP"
    assert bundle_release(released, first) == first
    os.utime(released.release_notebook, (1, 1))
    bundle_release(released, second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist() == ["tiny/test_public.py", "tiny/tiny.ipynb"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("tiny/tiny.ipynb") == released.release_notebook.read_bytes()


def test_a_bundle_as_a_folder(released: Assignment, tmp_path: Path) -> None:
    (released.release / "data").mkdir()
    (released.release / "data" / "words.txt").write_text("a b c")
    folder = bundle_release(released, tmp_path / "out", also=["data/words.txt"])
    assert folder == tmp_path / "out" / "tiny"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["data/words.txt", "test_public.py", "tiny.ipynb"]
    with pytest.raises(PublishingError, match="the release itself"):
        bundle_release(released, released.release.parent, also=["data/words.txt"])


@pytest.mark.parametrize(
    "stranger",
    ["test_hidden.py", "tiny.py", "mistakes.py", ".ipynb_checkpoints/tiny-checkpoint.ipynb", "data/x.csv"],
)
def test_a_bundle_refuses_anything_else(stranger: str, released: Assignment, tmp_path: Path) -> None:
    path = released.release / stranger
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    with pytest.raises(PublishingError, match=re.escape(stranger)):
        bundle_release(released, tmp_path / "out.zip")
    with pytest.raises(PublishingError, match=re.escape(stranger)):
        bundle_release(released, tmp_path / "out")
    assert not (tmp_path / "out.zip").exists() and not (tmp_path / "out").exists()


def test_a_bundle_refuses_links(released: Assignment, tmp_path: Path) -> None:
    public = released.release / "test_public.py"
    public.unlink()
    public.symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(PublishingError, match="is a link"):
        bundle_release(released, tmp_path / "out.zip")


def test_a_bundle_refuses_a_trace_of_the_solution(released: Assignment, tmp_path: Path) -> None:
    released.release_notebook.write_text('{"source": "### BEGIN SOLUTION"}')
    with pytest.raises(PublishingError, match="BEGIN SOLUTION"):
        bundle_release(released, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_a_bundle_needs_a_built_release(released: Assignment, tmp_path: Path) -> None:
    released.release_notebook.unlink()
    with pytest.raises(PublishingError, match=r"lacks tiny\.ipynb.*autograder build tiny"):
        bundle_release(released, tmp_path / "out.zip")
    (released.release / "test_public.py").unlink()
    released.release.rmdir()
    with pytest.raises(PublishingError, match=r"does not exist.*autograder build tiny"):
        bundle_release(released, tmp_path / "out.zip")


@pytest.fixture
def released(tiny_course: Path) -> Assignment:
    """The tiny course's assignment with a release as `build` would lay it out."""
    assignment = load_course(tiny_course).assignment("tiny")
    assignment.release.mkdir(parents=True, exist_ok=True)
    assignment.release_notebook.write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    (assignment.release / "test_public.py").write_text("def test_relu(student): ...\n")
    return assignment

"""What a submission without a disk of its own hides in its folder is found, and finding it never fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autograder.sandbox.removal import remove_tree
from autograder.sandbox.watch import MOST_FILES, MOST_NESTED, overfull

MEGABYTE = 2**20


def nest(box: Path, depth: int) -> None:
    """`depth` folders inside one another, made as a submission would: one step at a time."""
    here = os.open(box, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_honest_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "runs/first").mkdir(parents=True)
    (tmp_path / "runs/first/weights").write_bytes(os.urandom(2 * MEGABYTE))
    (tmp_path / "loop").symlink_to(tmp_path)
    assert not overfull(str(tmp_path), 3 * MEGABYTE)
    (tmp_path / "runs/second").write_bytes(os.urandom(2 * MEGABYTE))
    assert overfull(str(tmp_path), 3 * MEGABYTE)


@pytest.mark.parametrize("depth", [MOST_NESTED + 1, 1200, 4000])
def test_a_tree_too_deep_for_calls_and_for_paths(tmp_path: Path, depth: int) -> None:
    box = tmp_path / "box"
    box.mkdir()
    nest(box, depth)
    try:
        assert overfull(str(box), MEGABYTE)
    finally:
        remove_tree(box)  # pytest could not: it tidies up by calls, too


def test_as_deep_as_honest_work_goes(tmp_path: Path) -> None:
    nest(tmp_path, MOST_NESTED // 2)
    assert not overfull(str(tmp_path), MEGABYTE)


def test_a_name_for_every_inode(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / str(number)).touch()
    assert overfull(str(tmp_path), MEGABYTE)


@pytest.mark.skipif(os.getuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert overfull(str(tmp_path), MEGABYTE)


def test_what_is_gone_is_empty(tmp_path: Path) -> None:
    assert not overfull(str(tmp_path / "absent"), MEGABYTE)

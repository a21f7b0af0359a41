"""Folders that a submission leaves behind are removed, whatever it made of them."""

from __future__ import annotations

import os
from pathlib import Path

from autograder.sandbox.removal import remove_tree


def test_a_tree_deeper_than_calls_may_be(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir()
    here = os.open(box, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(box)
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed_and_rights_do_not_matter(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    box = tmp_path / "box"
    (box / "closed/inner").mkdir(parents=True)
    (box / "closed/inner/file").write_text("x")
    (box / "link").symlink_to(kept)
    (box / "dangling").symlink_to("nowhere")
    (box / "closed/inner").chmod(0)
    (box / "closed").chmod(0)
    remove_tree(box)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"] and (kept / "file").read_text() == "mine"


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "absent")

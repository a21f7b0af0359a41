"""Gathering memory into huge pages changes nothing of it."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from autograder.sandbox.pages import gather, private_regions

SIZE = 8 << 20
HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def huge_kilobytes(start: int) -> int:
    """Of the mapping that holds `start`."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first:
            low, high = (int(address, 16) for address in first.split("-"))
            inside = low <= start < high
        elif inside and first == "AnonHugePages:":
            return int(rest.split()[0])
    raise AssertionError("no such mapping")


def test_what_is_gathered_stays_the_same_and_lies_in_huge_pages() -> None:
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    content = os.urandom(SIZE)
    memory[:] = content
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    regions = private_regions()
    assert any(low <= start and start + SIZE <= high for low, high in regions)
    gathered = gather([(start, start + SIZE)])
    assert memory[:] == content
    if not HUGE.exists() or "[never]" in HUGE.read_text() or not gathered:
        pytest.skip("this kernel gathers nothing")
    assert gathered >= SIZE // (2 << 20) - 1 and huge_kilobytes(start) >= gathered * 2048


def test_memory_that_is_gone_is_passed_over() -> None:
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pointer = ctypes.c_char.from_buffer(memory)
    start = ctypes.addressof(pointer)
    del pointer
    memory.close()
    assert gather([(start, start + SIZE)]) == 0 and gather([]) == 0

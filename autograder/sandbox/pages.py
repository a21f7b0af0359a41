"""Huge pages for the memory that forks share.

A fork copies a table entry for each page in use, and its end drops them again: with the libraries loaded that
is 12,000 pages of 4 KB, and most of what starting and ending a test's process costs. Gathered into pages of 2
MB there are a few dozen. Source: madvise(2), MADV_COLLAPSE (Linux 6.1).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_HUGE = 2 << 20
_MADV_COLLAPSE = 25

_libc = ctypes.CDLL(None, use_errno=True)
Region = tuple[int, int]
"""First address, and the one behind the last."""


def private_regions() -> list[Region]:
    """The writable memory of this process that no file stands behind; none where /proc does not tell."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        addresses, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights == "rw-p" and inode == "0" and (not name or name == ["[heap]"]):
            start, end = (int(address, 16) for address in addresses.split("-"))
            found.append((start, end))
    return found


def gather(regions: list[Region]) -> int:
    """Put what lies in `regions` into huge pages, as far as the kernel can and will; how many there are then.

    Contents and addresses stay as they are. Memory that has been given back meanwhile is passed over, and
    nothing is lost where the kernel knows no such pages.
    """
    gathered = 0
    for start, end in regions:
        for page in range(-(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE, _HUGE):
            advice = (ctypes.c_void_p(page), ctypes.c_size_t(_HUGE), ctypes.c_int(_MADV_COLLAPSE))
            gathered += _libc.madvise(*advice) == 0
    return gathered

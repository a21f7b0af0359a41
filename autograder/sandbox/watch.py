"""Watches what all processes of a submission take together, which no rlimit counts: each of them may have the
memory that one may have.

The zygote does it, from outside: a submission is killed that starts processes of its own (threads are
free), or whose processes take more memory together than a loaded submission and one test may, or which,
without a disk of its own, fills its folder.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from dataclasses import dataclass

SECONDS = 0.05
"""Between two looks."""
MOST_PROCESSES = 4
"""The submission's own, a test's, the one before that is just ending, and the parent that holds the
namespaces."""
MOST_FILES = 16384
MOST_NESTED = 100
"""Folders inside one another."""
SLACK = 64 << 20
"""Bytes beyond the limit: what Python and the libraries take for themselves is no submission's fault."""


@dataclass
class Watched:
    """One submission."""

    memory: int
    """Bytes that its processes may take together, beyond the libraries."""
    box: str | None
    """The folder to measure, where it has no disk of its own."""
    disk: int


class Watch:
    """Made before the zygote loses sight of /proc. Raises OSError where /proc does not tell a process's
    children.
    """

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        self._watched: dict[int, Watched] = {}
        self._children(os.getpid())
        self._base = self._memory(os.getpid())

    @property
    def busy(self) -> bool:
        """Whether there is anything to watch."""
        return bool(self._watched)

    def add(self, pid: int, watched: Watched) -> None:
        """Watch the submission whose first process, the leader of its group, is `pid`."""
        self._watched[pid] = watched

    def look(self) -> None:
        """Kill what takes too much. Also what has ended is forgotten, and its orphans are ended."""
        while True:
            with contextlib.suppress(ChildProcessError):
                ended, _ = os.waitpid(-1, os.WNOHANG)
                if ended:
                    self._watched.pop(ended, None)
                    continue
            break
        for child in self._children(os.getpid()):
            if child not in self._watched:  # it slipped out of its parent's hands
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGKILL)
        for pid, watched in list(self._watched.items()):
            if self._too_much(pid, watched):
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)

    def _too_much(self, pid: int, watched: Watched) -> bool:
        family = self._family(pid)
        if len(family) > MOST_PROCESSES:
            return True
        if sum(max(0, self._memory(member) - self._base) for member in family) > watched.memory + SLACK:
            return True
        return watched.box is not None and overfull(watched.box, watched.disk)

    def _family(self, pid: int) -> list[int]:
        found = [pid]
        for member in found:
            if len(found) > MOST_PROCESSES:
                break
            found += self._children(member)
        return found

    def _children(self, pid: int) -> list[int]:
        """Living children; each thread has its own."""
        found: list[int] = []
        try:
            threads = self._names(f"{pid}/task")
        except OSError:
            return found
        for thread in threads:
            try:
                found += map(int, self._read(f"{pid}/task/{thread}/children").split())
            except OSError:
                if pid == os.getpid():
                    raise
        return [child for child in found if not self._dead(child)]

    def _names(self, path: str) -> list[str]:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
        try:
            return os.listdir(folder)  # noqa: PTH208
        finally:
            os.close(folder)

    def _read(self, path: str) -> bytes:
        file = os.open(path, os.O_RDONLY, dir_fd=self._proc)
        try:
            return os.read(file, 1 << 16)
        finally:
            os.close(file)

    def _dead(self, pid: int) -> bool:
        try:
            return self._read(f"{pid}/stat").rpartition(b")")[2].split()[0] in (b"Z", b"X")
        except (OSError, IndexError):
            return True

    def _memory(self, pid: int) -> int:
        """Bytes of memory that are not files'."""
        try:
            _, resident, shared, *_ = map(int, self._read(f"{pid}/statm").split())
        except (OSError, ValueError):
            return 0
        return (resident - shared) * resource.getpagesize()


def overfull(box: str, most: int) -> bool:
    """Whether `box` holds more than it may, or hides what it holds: folders nested deeper than any honest
    work's, with longer paths than the kernel takes, or that may not be entered.

    Depth is kept on a list, not by calls: submissions nest thousands of folders in an instant.
    """
    used = files = 0
    waiting = [(box, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MOST_NESTED:
            return True
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        used += _on_disk(entry)
                    if files > MOST_FILES or used > most:
                        return True
        except FileNotFoundError:  # it was removed meanwhile
            continue
        except OSError:
            return True
    return False


def _on_disk(entry: os.DirEntry[str]) -> int:
    """Bytes."""
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
        return 0

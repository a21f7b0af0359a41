"""Running a command as a whole process: wall-clock time, CPU time of it and its children, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Usage:
    """What one run took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system, of the process and of all its descendants that it waited for."""
    kernel: float
    """Seconds of these that the kernel took: forks, page faults, files."""
    faults: float
    """Page faults without a read from disk, most of them copies of what a fork shares."""
    peak_mb: float
    """Of the largest single process."""

    def per(self, count: int) -> Usage:
        """Seconds for one of `count` submissions; the peak stays as it is."""
        return Usage(
            self.wall / count, self.cpu / count, self.kernel / count, self.faults / count, self.peak_mb
        )

    def and_then(self, other: Usage) -> Usage:
        """Of two runs, one after the other."""
        return Usage(
            self.wall + other.wall,
            self.cpu + other.cpu,
            self.kernel + other.kernel,
            self.faults + other.faults,
            max(self.peak_mb, other.peak_mb),
        )


class BenchError(Exception):
    """A grader failed, which makes its time worth nothing."""


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command of this environment in `folder`. Raises `BenchError` with its output where it fails."""
    full = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        **(environment or {}),
    }
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=full, stdout=output, stderr=subprocess.STDOUT)
        _, status, resources = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            tail = output.read()[-3000:].decode(errors="replace")
            raise BenchError(f"{' '.join(command)} ended with status {process.returncode}:\n{tail}")
    cpu = resources.ru_utime + resources.ru_stime
    return Usage(wall, cpu, resources.ru_stime, resources.ru_minflt, resources.ru_maxrss / 1024)

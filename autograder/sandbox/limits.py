"""What one worker may use, and how an exception that means "no more" is put into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerLimits:
    """Limits of one worker, enforced by the kernel."""

    memory_mb: int = 2048
    cpu_seconds: int = 300
    processes: int = 32
    open_files: int = 128
    file_mb: int = 64
    disk_mb: int = 64

    def behind(self, error: dict[str, Any]) -> str:
        """The limit that an exception reported by a worker speaks of, in words; empty for any other one.

        It is the worker's word, and only words a reason.
        """
        kind, text = error.get("type"), error.get("text")
        if kind == "MemoryError":
            return f"{self.memory_mb} MB of memory"
        if type(text) is not str:
            return ""
        spoken = {
            "can't allocate memory": f"{self.memory_mb} MB of memory",  # torch raises RuntimeError
            "[Errno 12]": f"{self.memory_mb} MB of memory",
            "can't start new thread": f"{self.processes} processes and threads",
            "[Errno 11]": f"{self.processes} processes and threads",
            "[Errno 24]": f"{self.open_files} open files",
            "[Errno 27]": f"{self.file_mb} MB in one file",
            "[Errno 28]": f"{self.disk_mb} MB in all files together",
        }
        return next((limit for said, limit in spoken.items() if said in text), "")

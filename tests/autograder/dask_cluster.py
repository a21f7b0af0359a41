"""A real Dask cluster on loopback: a scheduler and workers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Cluster:
    """Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler: subprocess.Popen[bytes] | None = None

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self._folder / "dask.log").open("ab")
        environment = {**os.environ, "DASK_DISTRIBUTED__ADMIN__EVENT_LOOP": "tornado", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", *command], stdout=log, stderr=log, env=environment, cwd=self._folder
        )

    def start_scheduler(self) -> None:
        self._scheduler = self._start(
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--no-dashboard",
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise TimeoutError((self._folder / "dask.log").read_text()[-2000:])

    def add_worker(self, nanny: bool = False) -> subprocess.Popen[bytes]:
        """One with a single thread."""
        worker = self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-dashboard",
            "--nanny" if nanny else "--no-nanny", "--local-directory", str(self._folder),
            "--death-timeout", "60",
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def kill_worker(self, number: int) -> None:
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait()

    def kill_scheduler(self) -> None:
        assert self._scheduler is not None
        self._scheduler.kill()
        self._scheduler.wait()

    def __enter__(self) -> Cluster:
        self.start_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self.workers, self._scheduler]:
            if process is not None:
                process.terminate()
        for process in [*self.workers, self._scheduler]:
            if process is not None:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

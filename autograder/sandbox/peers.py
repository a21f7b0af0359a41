"""The grader's ends of the connections to sandboxed processes. Nothing that comes over them is trusted."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autograder.sandbox.channel import Channel, Deadline, PeerClosed
from autograder.sandbox.limits import WorkerLimits
from autograder.sandbox.removal import remove_tree
from autograder.sandbox.verdicts import CallTimeout, SandboxError, WorkerLost
from autograder.sandbox.wire import Decoder, Encoder, WireError

__all__ = ["HELLO_SECONDS", "TestProcess", "Upcall", "Worker", "WorkerLimits"]

HELLO_SECONDS = 10.0

Upcall = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
"""Calls a function of the reference by name: (name, args, kwargs) -> value."""


def _hello(sock: socket.socket, deadline: float) -> tuple[bytes, int]:
    """The first byte of a process and its pid, as the kernel attests it. Raises `PeerClosed`, `Deadline`."""
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    try:
        byte, ancillary, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(12))
    except TimeoutError as error:
        raise Deadline from error
    except OSError as error:
        raise PeerClosed from error
    if not byte:
        raise PeerClosed
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return byte, struct.unpack("3i", data)[0]
    raise PeerClosed


class _Process:
    """A process on the other end of a socket, and the means to end it for certain."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.channel = Channel(sock)
        self.hello, self.pid = _hello(sock, deadline)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError as error:
            raise PeerClosed from error
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Nothing happens once it is closed."""
        if self._pidfd < 0:
            return
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        select.select([self._pidfd], [], [], 5.0)

    @property
    def closed(self) -> bool:
        return self._pidfd < 0

    def close(self) -> None:
        self.channel.socket.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class Worker:
    """A process that holds one submission. Use as a context manager."""

    def __init__(
        self, sock: socket.socket, limits: WorkerLimits, box: str | None, *, own_pid_namespace: bool
    ) -> None:
        self.limits, self._box, self._own_pid_namespace = limits, box, own_pid_namespace
        try:
            self._process = _Process(sock, time.monotonic() + HELLO_SECONDS)
        except (PeerClosed, Deadline) as error:
            sock.close()
            raise SandboxError("A worker did not start.") from error
        if self._process.hello != b"!":
            reason = "the lock-down failed"
            with contextlib.suppress(Exception):
                answer, _ = self._process.channel.receive(time.monotonic() + HELLO_SECONDS)
                reason = str(answer["refused"])
            self.close()
            raise SandboxError(f"The sandbox refused to start a worker: {reason}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id, as the kernel attests it."""
        return self._process.pid

    def run_cell(
        self, label: str, source: str, seconds: float, *, only_definitions: bool = False
    ) -> dict[str, Any] | None:
        """Run one cell, or only its imports and definitions; the error it raised as reported (see
        `service`), or None.

        Raises `CallTimeout` after `seconds`, `WorkerLost` where the process died.
        """
        request = {"op": "cell", "label": label, "source": source, "only_definitions": only_definitions}
        reply = self._ask(request, seconds)
        error = reply.get("err")
        if type(error) is not dict:
            return None
        return {**error, "limit": self.limits.behind(error)}

    def place(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Lay files where the submission can read them and nothing can change them, before its first cell
        runs; their paths, by name. Raises `SandboxError`.
        """
        request = {"op": "files", "files": [[name, len(content)] for name, content in files.items()]}
        try:
            reply = self._ask(request, HELLO_SECONDS, list(files.values()))
            return {name: str(path) for name, path in zip(files, reply["ok"], strict=True)}
        except (WorkerLost, KeyError, TypeError, ValueError) as error:
            raise SandboxError("A worker could not be given the files of a submission.") from error

    def fork(self, seed: int, call_seconds: float, upcall: Upcall | None = None) -> TestProcess:
        """A copy of the loaded state for one test."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        deadline = time.monotonic() + HELLO_SECONDS
        try:
            self._process.channel.send({"op": "fork", "seed": seed}, deadline=deadline)
            socket.send_fds(self._process.channel.socket, [b"f"], [theirs.fileno()])
            theirs.close()
            reply, _ = self._process.channel.receive(deadline)
            if type(reply) is not dict or "err" in reply:
                raise WorkerLost("The submission left no room for another process.")
            return TestProcess(_Process(ours, deadline), self, call_seconds, upcall)
        except WorkerLost:
            ours.close()
            raise
        except (PeerClosed, Deadline, WireError, OSError) as error:
            ours.close()
            raise WorkerLost("The submission's process ended while a test was being prepared.") from error
        finally:
            theirs.close()

    def how_it_ended(self) -> int | None:
        """Wait status of the last test process that ended, by the submission's own account; it only words a
        reason.
        """
        try:
            reply = self._ask({"op": "ended"}, 1.0)
            status = reply["ok"][-1][1]
            return status if type(status) is int and 0 <= status < 1 << 16 else None
        except (WorkerLost, KeyError, TypeError, IndexError):
            return None

    def _ask(self, request: dict[str, Any], seconds: float, buffers: Sequence[bytes] = ()) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        try:
            self._process.channel.send(request, buffers, sum(map(len, buffers)), deadline)
            reply, _ = self._process.channel.receive(deadline)
        except Deadline:
            self._process.kill()
            raise CallTimeout(f"no answer within {seconds:g} s") from None
        except (PeerClosed, WireError):
            self._process.kill()
            raise WorkerLost("the process ended") from None
        if type(reply) is not dict:
            self._process.kill()
            raise WorkerLost("the process sent something unreadable")
        return reply

    def close(self) -> None:
        """End the submission's process and everything it started. To close it twice does no harm."""
        if self._process.closed:
            return  # its number may be another process's by now
        if not self._own_pid_namespace:
            # Without a pid namespace the session's process group is what holds its descendants together.
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.close()
        if self._box is not None:
            remove_tree(self._box)


class TestProcess:
    """A fork of a loaded submission that serves one test: the backend of `student`."""

    __test__ = False  # pytest would take the class for a test by its name

    def __init__(self, process: _Process, worker: Worker, call_seconds: float, upcall: Upcall | None) -> None:
        self._process, self._worker, self._seconds, self._upcall = process, worker, call_seconds, upcall
        self._lent: list[Any] = []
        self._dead: WorkerLost | None = None

    def transact(self, header: dict[str, Any], buffers: list[Any], nbytes: int) -> tuple[Any, bytearray]:
        """One request and its reply, serving calls back to the reference in between.

        Raises:
            CallTimeout: no complete reply within the deadline for calls; the process was killed.
            WorkerLost: the process died or broke the protocol.
        """
        if self._dead is not None:
            raise self._dead
        deadline = time.monotonic() + self._seconds
        name = str(header.get("fn", "the call"))
        try:
            self._process.channel.send(header, buffers, nbytes, deadline)
            while True:
                reply, payload = self._process.channel.receive(deadline)
                if type(reply) is dict and "up" in reply:
                    self._serve(reply, payload, deadline)
                    continue
                if type(reply) is dict and type(reply.get("err")) is dict:
                    reply["err"]["limit"] = self._worker.limits.behind(reply["err"])
                return reply, payload
        except Deadline:
            self._process.kill()
            self._dead = CallTimeout(f"{name} did not return within {self._seconds:g} s and was stopped.")
        except PeerClosed:
            self._dead = WorkerLost(f"{name} ended its process: {self._reason()}.")
        except WireError as error:
            self._process.kill()
            self._dead = WorkerLost(f"{name} sent an answer that cannot be read: {error}.")
        raise self._dead

    def _serve(self, request: dict[str, Any], payload: bytearray, deadline: float) -> None:
        encoder = Encoder(self._lend)
        try:
            if self._upcall is None:
                raise WireError("no function of the reference is served in this test")
            args, kwargs = Decoder(payload, self._borrow).decode(request.get("args"))
            result = self._upcall(str(request["up"]), tuple(args), dict(kwargs))
            reply: dict[str, Any] = {"ok": encoder.encode(result)}
        except (KeyboardInterrupt, Deadline):
            raise
        except Exception as error:
            encoder = Encoder()
            reply = {"err": f"{type(error).__name__}: {error}"[:500]}
        self._process.channel.send(reply, encoder.buffers, encoder.nbytes, deadline)

    def _lend(self, value: Any) -> int:
        self._lent.append(value)
        return len(self._lent) - 1

    def _borrow(self, handle_id: int, typename: str) -> Any:
        if handle_id >= len(self._lent):
            raise WireError("an unknown handle")
        return self._lent[handle_id]

    def _reason(self) -> str:
        self._process.kill()
        status = self._worker.how_it_ended()
        if status is None:
            return "it was killed or crashed"
        if os.WIFEXITED(status):
            return f"it exited with status {os.WEXITSTATUS(status)}, as os._exit does"
        number = os.WTERMSIG(status)
        limits = self._worker.limits
        named: dict[int, str] = {
            signal.SIGXCPU: f"more than {limits.cpu_seconds} s of CPU time",
            signal.SIGXFSZ: f"a file larger than {limits.file_mb} MB",
            signal.SIGSEGV: "a crash in native code (segmentation fault, or a recursion without end)",
            signal.SIGABRT: "a crash in native code (abort)",
            signal.SIGSYS: "a forbidden system call",
            signal.SIGKILL: "it was killed",
        }
        return named.get(number, f"it was ended by signal {number}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.close()
        self._lent.clear()

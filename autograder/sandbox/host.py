"""The grader's side of the sandbox: starts the zygote, asks it for workers, and talks to them. Nothing they
say is trusted.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.sandbox import kernel
from autograder.sandbox.paths import readable_paths
from autograder.sandbox.peers import HELLO_SECONDS, Worker, WorkerLimits
from autograder.sandbox.removal import remove_tree
from autograder.sandbox.verdicts import SandboxError

START_SECONDS = 120.0
PRELOADED = frozenset({"pictures", "torchvision", "optimizers"})
"""matplotlib with IPython; torchvision; what PyTorch loads for its first optimiser, some 900 modules."""
LAYERS = ("landlock", "seccomp", "rlimits", "namespaces")


@dataclass(frozen=True)
class Profile:
    """What workers of one zygote may do."""

    torch: bool = False
    preload: frozenset[str] = frozenset()
    """What is imported beforehand and not when a submission first uses it, of PRELOADED: what is loaded costs
    every fork.
    """
    forbid: tuple[str, ...] = ()
    secret: tuple[Path, ...] = ()
    """Folders to hide even where they lie inside the interpreter's: the course, the data root."""
    landlock: bool = True
    seccomp: bool = True
    namespaces: bool = True
    own_user: bool = True
    """Started by root, each worker becomes a user of its own."""

    @property
    def layers(self) -> list[str]:
        """The layers that this profile puts in force."""
        on = {
            "landlock": self.landlock,
            "seccomp": self.seccomp,
            "rlimits": True,
            "namespaces": self.namespaces,
        }
        return [layer for layer in LAYERS if on[layer]]


def _environment() -> dict[str, str]:
    cache = Path(tempfile.gettempdir()) / f"autograder-matplotlib-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        cache.mkdir(mode=0o700)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SandboxError(
            f"{cache} belongs to somebody else. Remove it, or set TMPDIR to a folder of your own."
        )
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")}
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/",
        "PYTHONHASHSEED": "0",  # a grade is a function of the submission, not of the run
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(cache),
        "KMP_INIT_AT_FORK": "FALSE",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait spinning would take the other graders' cores
        **threads,
    }


def _require_open_to_all(paths: Sequence[str]) -> None:
    """Workers of root run as another user, who must be able to reach the interpreter and its libraries.

    With namespaces they see bind mounts below a root of their own, and the folders above do not matter.
    """
    for path in paths:
        for folder in [Path(path).resolve(), *Path(path).resolve().parents]:
            if folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH:
                raise SandboxError(
                    f"Python lies in {path}, but only its owner may enter {folder}, and without namespaces "
                    "submissions run as a user of their own. Grade as an ordinary user, or install Python "
                    "where everybody may read it, such as /opt."
                )


class Zygote:
    """A warm process that forks locked-down workers. Use as a context manager."""

    def __init__(self, profile: Profile, python: str = sys.executable) -> None:
        self.profile = profile
        paths = readable_paths(profile.forbid, profile.secret)
        if os.getuid() == 0 and profile.own_user and not profile.namespaces:
            _require_open_to_all(paths.roots)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._boxes = None if profile.namespaces else Path(tempfile.mkdtemp(prefix="autograder-boxes-"))
        if self._boxes is not None:
            self._boxes.chmod(0o711)
        self._process = subprocess.Popen(
            [python, "-s", "-P", "-m", "autograder.sandbox.zygote", str(theirs.fileno())],
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        config = {
            "torch": profile.torch,
            "preload": sorted(profile.preload),
            "forbid": list(profile.forbid),
            "namespaces": profile.namespaces,
            "landlock": profile.landlock,
            "seccomp": profile.seccomp,
            "own_user": profile.own_user,
            "roots": paths.roots,
            "readable": paths.readable,
            "listable": paths.listable,
            "writable": str(self._boxes) if self._boxes is not None else "",
        }
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.settimeout(START_SECONDS)
        try:
            ours.send(json.dumps(config).encode())
            answer = json.loads(ours.recv(1 << 16) or b"{}")
        except (OSError, ValueError):  # no answer in time, or it has ended already
            answer = {}
        ours.settimeout(HELLO_SECONDS)
        if not answer.get("ready"):
            stderr = self._end().decode(errors="replace").strip()
            reason = answer.get("failed") or (stderr.splitlines() or ["it ended at once"])[-1]
            raise SandboxError(f"The sandbox could not start: {reason}")

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still fork workers."""
        return self._process.poll() is None

    def worker(self, limits: WorkerLimits | None = None) -> Worker:
        """A fresh locked-down process. Raises `SandboxError` where the lock-down fails."""
        box = tempfile.mkdtemp(prefix="box-", dir=self._boxes) if self._boxes is not None else None
        ours, theirs = socket.socketpair()
        request = {"limits": (limits or WorkerLimits()).__dict__, "box": box}
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise SandboxError("The sandbox's parent process has ended.") from error
        finally:
            theirs.close()
        return Worker(ours, limits or WorkerLimits(), box, own_pid_namespace=self.profile.namespaces)

    def close(self) -> None:
        """End the zygote and with it all of its workers. To end it twice does no harm."""
        self._end()

    def _end(self) -> bytes:
        """End it; what it wrote on stderr."""
        if self._control.fileno() < 0:
            return b""
        self._control.close()
        try:
            _, stderr = self._process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, stderr = self._process.communicate()
        if self._boxes is not None:
            remove_tree(self._boxes)
        return bytes(stderr or b"")


def open_zygote(profile: Profile) -> Zygote:
    """A zygote in the strictest form of `profile` that this machine offers: without namespaces where it must
    be.

    Raises `SandboxError` where Landlock, without which nothing is graded, is missing, or nothing starts.
    """
    if sys.platform != "linux" or kernel.MACHINE not in kernel.ARCHITECTURES:
        raise SandboxError(
            "Sandboxed grading needs Linux on x86_64 or aarch64. Grade in a container or a virtual machine."
        )
    if profile.landlock and not kernel.landlock_abi():
        raise SandboxError(
            "This kernel offers no Landlock, so a submission could read the hidden tests. "
            "Use a kernel from 5.13 on with Landlock enabled, or grade in a throw-away machine with "
            "--unsafe-no-sandbox."
        )
    if profile.namespaces:
        with contextlib.suppress(SandboxError):
            zygote = Zygote(profile)
            try:
                zygote.worker().close()  # some of the namespaces are a worker's own
            except BaseException:
                zygote.close()
                raise
            return zygote
    return Zygote(replace(profile, namespaces=False))

"""The sandbox modes, and how to run a command in one.

    python modes.py --user 61234 --no-namespaces -- command ...

Namespaces are taken away as a container's default profile takes them away: unshare(2) and mount(2) are
refused. An ordinary user is a number that nobody has; where Python lies in a folder that only root may enter
(root's home, say), that folder is replaced, in a mount namespace of this command's own, by one in which
nothing but Python lies and which everybody may enter.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autograder.sandbox import kernel

ORDINARY_USER = 61234


@dataclass(frozen=True)
class Mode:
    """Who grades, and what the machine lends."""

    name: str
    user: int | None
    """None: whoever runs the tests."""
    namespaces: bool

    def command(self, command: list[str]) -> list[str]:
        """`command`, run in this mode."""
        options = [] if self.user is None else ["--user", str(self.user)]
        options += [] if self.namespaces else ["--no-namespaces"]
        return [sys.executable, __file__, *options, "--", *command] if options else command

    @property
    def layers(self) -> list[str]:
        """What the report must say is in force."""
        return ["landlock", "seccomp", "rlimits", *(["namespaces"] if self.namespaces else [])]


def modes() -> list[Mode]:
    """Those that can be had here: as root all four, as an ordinary user the two of that user."""
    who = "root" if os.getuid() == 0 else "ordinary user"
    found = [Mode(f"{who}, namespaces", None, True), Mode(f"{who}, no namespaces", None, False)]
    if os.getuid() == 0:
        found += [
            Mode("ordinary user, namespaces", ORDINARY_USER, True),
            Mode("ordinary user, no namespaces", ORDINARY_USER, False),
        ]
    return found


@cache
def why_not(mode: Mode) -> str:
    """Why a mode cannot be had here, or ""."""
    program = "import os, autograder.cli, numpy; print(os.getuid())"
    done = subprocess.run(mode.command([sys.executable, "-c", program]), capture_output=True, text=True)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["the command could not be started"])[-1]
    if mode.namespaces:
        program = (
            "from autograder.sandbox.abilities import examine; print(*[a.detail for a in examine() "
            "if a.name == 'namespaces' and not a.works])"
        )
        done = subprocess.run(mode.command([sys.executable, "-c", program]), capture_output=True, text=True)
        return done.stdout.strip()
    return ""


def _closed_folders() -> list[Path]:
    """Folders on the way to the interpreter that only their owner may enter."""
    closed = []
    for prefix in {Path(path).resolve() for path in (sys.prefix, sys.base_prefix)}:
        closed += [p for p in prefix.parents if not p.stat().st_mode & stat.S_IXOTH]
    return sorted(set(closed))


def _open_up() -> None:
    """Let everybody reach Python, in a mount namespace of this process's own."""
    closed = _closed_folders()
    if not closed:
        return
    kernel.unshare(kernel.NEWNS)
    kernel.private_mounts()
    outermost = [folder for folder in closed if not any(other in folder.parents for other in closed)]
    for folder in outermost:
        inside = [Path(p).resolve() for p in (sys.base_prefix, sys.prefix)]
        kept = {path: os.open(path, os.O_PATH) for path in inside if path.is_relative_to(folder)}
        kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_NOSUID, "mode=755,size=1m")
        for path, descriptor in kept.items():
            path.mkdir(parents=True, exist_ok=True)
            kernel.mount(f"/proc/self/fd/{descriptor}", str(path), None, kernel.MS_BIND | kernel.MS_REC)
            os.close(descriptor)


def _refuse_namespaces() -> None:
    """A seccomp filter under which unshare, setns and mount fail with EPERM, as in a container."""
    numbers = {"x86_64": (272, 308, 165), "aarch64": (97, 268, 40)}[kernel.MACHINE]
    program = [(0x20, 0, 0, 0)]
    for number in numbers:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
    program += [(0x06, 0, 0, 0x7FFF0000)]
    raw = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer)), 16)
    kernel.no_new_privileges()
    call = {"x86_64": 317, "aarch64": 277}[kernel.MACHINE]
    if kernel.syscall(call, 1, 0, ctypes.cast(header, ctypes.c_void_p)):
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user", type=int)
    parser.add_argument("--no-namespaces", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if os.getuid() == 0:
        _open_up()
    if options.user is not None:
        os.setgroups([])
        os.setresgid(options.user, options.user, options.user)
        os.setresuid(options.user, options.user, options.user)
    if options.no_namespaces:
        _refuse_namespaces()
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()

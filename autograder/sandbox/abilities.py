"""What this machine can enforce, layer by layer, and what would mend what is missing."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from autograder.sandbox import kernel, remedies, syscalls
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.remedies import Machine
from autograder.sandbox.selftest import prove
from autograder.sandbox.verdicts import SandboxError


@dataclass(frozen=True)
class Ability:
    """One layer: whether it works here, and what to do where it does not."""

    name: str
    works: bool
    detail: str
    remedy: str = ""


def examine(without: Collection[str] = (), machine: Machine | None = None) -> list[Ability]:
    """Try each layer in a process of its own.

    Args:
        without: layers to treat as absent ("landlock", "seccomp", "namespaces"): what would be said then.
        machine: what the remedies are for; this one by default.
    """
    here = machine or remedies.this_machine()
    system = Ability(
        "system",
        sys.platform == "linux" and here.system == "Linux" and kernel.MACHINE in kernel.ARCHITECTURES,
        f"{here.system} {here.kernel} on {kernel.MACHINE}, "
        + ("root" if here.user == 0 else f"user {here.user}")
        + (f", in a {here.container} container" if here.container else ""),
        remedies.for_system(here),
    )
    if not system.works:
        return [system]
    return [
        system,
        _landlock(without, here),
        _seccomp(without, here),
        _rlimits(without, here),
        _namespaces(without, here),
    ]


def conclusion(abilities: Collection[Ability]) -> tuple[bool, str]:
    """Whether submissions may be graded here, and one line that says how safely."""
    missing = [ability.name for ability in abilities if not ability.works]
    if "system" in missing:
        return False, "No submission may be graded here: the sandbox needs Linux on x86_64 or aarch64."
    hard = [name for name in missing if name != "namespaces"]
    if hard:
        verb = "are" if len(hard) > 1 else "is"
        return False, f"No submission may be graded here: {' and '.join(hard)} {verb} missing."
    profile = Profile(namespaces="namespaces" not in missing, secret=(Path(__file__).parent,))
    try:
        with Zygote(profile) as zygote:
            acts = prove(zygote, [Path(__file__)])
    except SandboxError as error:
        return False, f"No submission may be graded here. {error}"
    tried = f"{len(acts)} forbidden acts were tried and stopped"
    if missing:
        less = "Without namespaces there is one wall fewer around files, processes and the network."
        return True, f"Submissions may be graded here: {tried}. {less}"
    return True, f"Submissions may be graded here: all layers hold, {tried}."


def _landlock(without: Collection[str], machine: Machine) -> Ability:
    abi = 0 if "landlock" in without else kernel.landlock_abi()
    reason = ctypes.get_errno() if "landlock" not in without else 0
    can = "files" + (", TCP" if abi >= 4 else "") + (", signals" if abi >= 6 else "")
    why = "switched off" if "landlock" in without else f"absent ({errno.errorcode.get(reason, reason)})"
    return Ability(
        "landlock", abi > 0, f"ABI {abi}: {can}" if abi else why, remedies.for_landlock(machine, reason)
    )


def _seccomp(without: Collection[str], machine: Machine) -> Ability:
    def act() -> None:
        syscalls.narrow(None)
        try:
            os.fork()
        except PermissionError:
            return
        raise OSError("the filter was accepted but stops nothing")

    reason = "switched off" if "seccomp" in without else _in_a_fork(act)
    return Ability(
        "seccomp", not reason, reason or "system calls can be refused", remedies.for_seccomp(machine)
    )


def _rlimits(without: Collection[str], machine: Machine) -> Ability:
    def act() -> None:
        most = kernel.address_space() + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        try:
            bytearray(256 << 20)
        except MemoryError:
            pass
        else:
            raise OSError("the limit on memory was accepted but stops nothing")
        opened: list[int] = []
        try:
            while len(opened) < 32:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return
        raise OSError("the limit on open files was accepted but stops nothing")

    reason = "switched off" if "rlimits" in without else _in_a_fork(act)
    return Ability(
        "rlimits",
        not reason,
        reason or "memory, CPU time, processes and files have limits",
        remedies.for_rlimits(machine),
    )


def _namespaces(without: Collection[str], machine: Machine) -> Ability:
    def act() -> None:
        spaces = kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWPID
        if os.getuid() == 0:
            kernel.unshare(spaces)
        else:
            kernel.enter_user_namespace(spaces)
        kernel.private_mounts()
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m")

    reason = "switched off" if "namespaces" in without else _in_a_fork(act)
    return Ability(
        "namespaces",
        not reason,
        reason or "own process list, network, mounts and scratch disk",
        remedies.for_namespaces(machine),
    )


def _in_a_fork(act: Callable[[], None]) -> str:
    """Run `act` in a process of its own; "" when it did well, else why not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
            message = b""
        except BaseException as error:
            message = str(error).encode()[:500] or b"it failed"
        os.write(writing, message)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        message = pipe.read()
    _, status = os.waitpid(child, 0)
    if status and not message:
        return f"the attempt was ended by signal {os.WTERMSIG(status)}"
    return message.decode(errors="replace")

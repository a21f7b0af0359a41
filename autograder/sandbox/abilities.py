"""What this machine can enforce, layer by layer, and what would mend what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from autograder.sandbox import kernel, syscalls
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.selftest import prove
from autograder.sandbox.verdicts import SandboxError


@dataclass(frozen=True)
class Ability:
    """One layer: whether it works here, and what to do where it does not."""

    name: str
    works: bool
    detail: str
    remedy: str = ""


def examine(without: Collection[str] = ()) -> list[Ability]:
    """Try each layer in a process of its own.

    Args:
        without: layers to treat as absent ("landlock", "seccomp", "namespaces"): what would be said then.
    """
    system = Ability(
        "system",
        sys.platform == "linux" and kernel.MACHINE in kernel.ARCHITECTURES,
        f"{platform.system()} {platform.release()} on {kernel.MACHINE}, user {os.getuid()}",
        "Grade in a Linux container or virtual machine (x86_64 or aarch64).",
    )
    if not system.works:
        return [system]
    return [system, _landlock(without), _seccomp(without), _namespaces(without)]


def conclusion(abilities: Collection[Ability]) -> tuple[bool, str]:
    """Whether submissions may be graded here, and one line that says how safely."""
    missing = [ability.name for ability in abilities if not ability.works]
    hard = [name for name in missing if name != "namespaces"]
    if hard:
        return False, f"No submission may be graded here: {', '.join(hard)} is missing."
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


def _landlock(without: Collection[str]) -> Ability:
    abi = 0 if "landlock" in without else kernel.landlock_abi()
    return Ability(
        "landlock",
        abi > 0,
        f"ABI {abi}: files" + (", TCP" if abi >= 4 else "") + (", signals" if abi >= 6 else "")
        if abi
        else "absent",
        "Use a kernel from 5.13 on, and add landlock to the kernel's lsm= list. In Docker, use version 23 "
        "or newer.",
    )


def _seccomp(without: Collection[str]) -> Ability:
    def act() -> None:
        syscalls.install(allow_fork=False, own_pid=None)
        try:
            os.fork()
        except PermissionError:
            return
        raise OSError("the filter was accepted but stops nothing")

    reason = "switched off" if "seccomp" in without else _in_a_fork(act)
    return Ability(
        "seccomp",
        not reason,
        reason or "system calls can be refused",
        "Use a kernel with CONFIG_SECCOMP_FILTER.",
    )


def _namespaces(without: Collection[str]) -> Ability:
    def act() -> None:
        spaces = kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWPID
        if os.getuid() == 0:
            kernel.unshare(spaces)
        else:
            kernel.enter_user_namespace(spaces)
        kernel.private_mounts()

    reason = "switched off" if "namespaces" in without else _in_a_fork(act)
    remedy = (
        "Allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000."
    )
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        remedy = "Allow user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0."
    elif Path("/.dockerenv").exists():
        remedy = "Start the container with --security-opt seccomp=unconfined, or with --cap-add SYS_ADMIN."
    return Ability(
        "namespaces", not reason, reason or "own process list, network, mounts and scratch disk", remedy
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
    os.waitpid(child, 0)
    return message.decode(errors="replace")

"""A warm process that has imported the libraries once and forks a locked-down worker for each submission.

It is exec'ed with a scrubbed environment and holds no secret: no suite, no solution, no path of a submission.
Protocol, on a SOCK_SEQPACKET control socket: the grader sends a JSON configuration and reads {"ready": ...};
then for each submission it sends {"limits": ..., "box": ...} with the worker's end of a stream socket, and
the worker answers on that.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from autograder.sandbox import bans, kernel, pages, postponed, standins, syscalls
from autograder.sandbox.channel import Channel
from autograder.sandbox.paths import Readable, without_sources
from autograder.sandbox.watch import SECONDS, Watch, Watched
from autograder.sandbox.worker import serve_submission

SCRATCH = "/scratch"
BOX = f"{SCRATCH}/box"
SPARE_PROCESSES = 256
"""What else a user may start while submissions are graded in that user's name, without namespaces."""
FIRST_WORKER_UID = 0x70000000  # above every range that distributions and container tools hand out


def _import_libraries(torch: bool, preload: Sequence[str]) -> None:
    import dataclasses  # noqa: F401
    import functools  # noqa: F401
    import itertools  # noqa: F401
    import math  # noqa: F401
    import typing  # noqa: F401

    import msgpack  # noqa: F401
    import numpy as np
    import numpy.lib.stride_tricks

    np.linalg.norm(np.random.default_rng(0).normal(size=(8, 8)) @ np.ones((8, 8)))
    if "pictures" in preload:
        _import_what_draws()
    else:
        postponed.postpone_matplotlib()
    if torch:
        import torch as torch_module
        import torch.nn.functional as functional

        # One thread before the first operation: a forked child of a process with a thread pool hangs.
        torch_module.set_num_threads(1)
        functional.conv2d(torch_module.randn(1, 1, 8, 8), torch_module.randn(1, 1, 3, 3))
        if "optimizers" in preload:  # it would take each test that makes one more than a second
            torch_module.optim.SGD([torch_module.nn.Parameter(torch_module.zeros(1))], lr=0.1)
        # What its first call looks up may be banned by the time that a submission seeds.
        torch_module.manual_seed(0)
    if "torchvision" in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module("torchvision.transforms.v2")


def _import_what_draws() -> None:
    import IPython.core.inputtransformer2  # noqa: F401
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with open(os.devnull, "wb") as sink:  # noqa: PTH123
        plt.figure().savefig(sink, format="png")  # the font cache and the lazy imports, once
    plt.close("all")


def main(control_descriptor: int) -> None:
    """Serve until the control socket closes."""
    control = socket.socket(fileno=control_descriptor)
    kernel.die_with_parent()
    config = json.loads(control.recv(1 << 20))
    try:
        _import_libraries(config["torch"], config["preload"])
        standins.find_thread_pools()
        banned = bans.enforce(config["forbid"])
        kernel.adopt_orphans()
        watch = Watch()
        syscalls.prepare()
        regions = pages.private_regions()  # before /proc is out of sight
        isolate = {**_isolate(config, banned), "regions": regions}
    except Exception as error:
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode())
        return
    threads = _threads()
    gc.collect()
    gc.freeze()  # so that a child's garbage collector does not touch, and so copy, every page
    pages.gather(regions)  # once for all: gathering only in each worker copied everything each time
    base_memory = isolate["base_memory"]
    control.send(json.dumps({"ready": True, "threads": threads}).encode())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's to handle
    while True:
        asked, _, _ = select.select([control], [], [], SECONDS if watch.busy else None)
        watch.look()
        if not asked:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not message:
            os._exit(0)
        request = json.loads(message)
        child = os.fork()
        if child == 0:
            _become_worker(request, config, isolate, descriptors[0], base_memory)
        os.close(descriptors[0])
        limits = request["limits"]
        # A loaded submission and a test, each with all that it may have.
        watch.add(child, Watched(2 * limits["memory_mb"] << 20, request["box"], limits["disk_mb"] << 20))


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        return 1


def _isolate(config: dict[str, Any], banned: list[str]) -> dict[str, Any]:
    """Namespaces and the read-only root for all workers; what only a worker itself can do comes in
    `_become_worker`.
    """
    base_memory = kernel.address_space()
    if config["namespaces"]:
        spaces = kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS
        if os.getuid() == 0:
            kernel.unshare(spaces)
        else:
            kernel.enter_user_namespace(spaces)
        kernel.new_root(config["roots"], BOX)
    ruleset = None
    if config["landlock"]:
        writable = SCRATCH if config["namespaces"] else config["writable"]
        paths = without_sources(Readable(config["roots"], config["readable"], config["listable"]), banned)
        ruleset = kernel.landlock_ruleset(
            paths.readable, paths.listable, [writable], ["/dev/null", "/dev/zero", "/dev/urandom"]
        )
    kernel.set_dumpable(False)
    return {"ruleset": ruleset, "base_memory": base_memory}


def _become_worker(
    request: dict[str, Any],
    config: dict[str, Any],
    isolate: dict[str, Any],
    connection: int,
    base_memory: int,
) -> None:
    """Lock down, then load and serve a submission. Never returns; a lock-down that fails is reported and
    ends it.
    """
    try:
        _lock_down(request, config, isolate, connection, base_memory)
        sock = socket.socket(fileno=connection)
        sock.sendall(b"!")  # the kernel attaches this process's id
        box = request["box"] or BOX
        serve_submission(
            sock,
            box=box,
            landlock=config["landlock"],
            seccomp=config["seccomp"],
            own_pid_namespace=config["namespaces"],
            regions=isolate["regions"],
        )
    except BaseException as error:
        with contextlib.suppress(BaseException):
            sock = socket.socket(fileno=connection)
            sock.sendall(b"?")
            Channel(sock).send({"refused": f"{type(error).__name__}: {error}"})
    os._exit(1)


def _others() -> int:
    """Processes that the kernel counts against a worker's limit although they are not its own.

    RLIMIT_NPROC counts a user's processes. A worker of root is a user by itself, and a user namespace counts
    for itself (Linux 5.14); without either a worker shares the count with all that its user runs.
    """
    return kernel.tasks_of(os.getuid()) + SPARE_PROCESSES


def _lock_down(
    request: dict[str, Any],
    config: dict[str, Any],
    isolate: dict[str, Any],
    connection: int,
    base_memory: int,
) -> None:
    limits = request["limits"]
    os.setsid()
    kernel.die_with_parent()
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    kept = {0, 1, 2, connection} | ({isolate["ruleset"]} if isolate["ruleset"] is not None else set())
    for descriptor in range(3, max(kept) + 1):
        if descriptor not in kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    os.closerange(max(kept) + 1, 65536)
    box = request["box"] or BOX
    os.environ.clear()
    os.environ.update(
        HOME=box,
        TMPDIR=box,
        PATH="/usr/bin:/bin",
        LANG="C.UTF-8",
        MPLBACKEND="Agg",
        OMP_NUM_THREADS="1",
        JOBLIB_MULTIPROCESSING="0",  # scikit-learn's n_jobs would start processes
    )
    tempfile.tempdir = None  # found out before there was a box
    root = os.getuid() == 0
    user = FIRST_WORKER_UID + os.getpid() % 65536 if root and config["own_user"] else None
    if config["namespaces"]:
        kernel.unshare(kernel.NEWPID | kernel.NEWNS)
        inner = os.fork()
        if inner:
            os.closerange(3, 65536)
            _, status = os.waitpid(inner, 0)
            os._exit(status & 0x7F or status >> 8)
        kernel.die_with_parent()
        owner = "" if user is None else f",uid={user},gid={user}"
        kernel.private_mounts()
        kernel.mount(
            "tmpfs", BOX, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC,
            f"size={limits['disk_mb']}m,nr_inodes=16384,mode=700{owner}",
        )  # fmt: skip
    os.chdir(box)
    if user is not None:
        if request["box"]:
            os.chown(box, user, user)
        kernel.become(user)
    kernel.drop_capabilities()
    kernel.die_with_parent()  # changing user and capabilities cleared it
    kernel.set_dumpable(False)
    kernel.limit_resources(
        cpu_seconds=limits["cpu_seconds"],
        memory=limits["memory_mb"] << 20,
        base_memory=base_memory,
        processes=limits["processes"] + (0 if root or config["namespaces"] else _others()),
        open_files=limits["open_files"],
        file_bytes=limits["file_mb"] << 20,
    )
    if isolate["ruleset"] is not None:
        kernel.landlock_restrict(isolate["ruleset"])
        os.close(isolate["ruleset"])
    if config["seccomp"]:
        syscalls.install(None if config["namespaces"] else os.getpid())


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Before anything is graded the sandbox is proven: each forbidden act is tried in a real worker, and one
that succeeds ends it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autograder.sandbox.host import Zygote
from autograder.sandbox.peers import WorkerLimits
from autograder.sandbox.verdicts import SandboxError, WorkerLost
from autograder.sandbox.wire import Decoder, WireError

SECONDS = 10.0

# Each probe returns when the act succeeded and raises when it was stopped.
_PROBES = """
import ctypes, os, signal, socket, subprocess, sys

def read_file(path):
    with open(path, "rb") as file:
        file.read(1)

def read_environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        file.read(1)

def write_outside(folder):
    with open(os.path.join(folder, "autograder-probe"), "w") as file:
        file.write("x")

def open_socket():
    socket.socket()

def fork():
    if os.fork() == 0:
        os._exit(0)

def run_program():
    subprocess.run(["/bin/true"], check=True)

def signal_process(pid):
    if pid == os.getpid():  # the same number in another pid namespace: this very process
        raise ProcessLookupError(pid)
    os.kill(pid, 0)

def trace_process(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")

def unshare():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000) < 0:
        raise OSError(ctypes.get_errno(), "unshare")

def become_root():
    os.setuid(0)
    if os.getuid() == 0:
        return
"""


def prove(zygote: Zygote, secrets: Sequence[Path]) -> list[str]:
    """Try each forbidden act in a worker of `zygote`.

    Args:
        zygote: the sandbox that is to be used.
        secrets: files that no submission may read (the hidden suite, the solution).

    Returns:
        The acts that were tried, in words.

    Raises:
        SandboxError: an act succeeded, or the probe itself could not run.
    """
    me = os.getpid()
    acts: list[tuple[str, str, list[object]]] = [
        ("read the grader's environment", "read_environment_of", [me]),
        ("write to the course folder", "write_outside", [str(secrets[0].parent)]),
        ("write to /tmp", "write_outside", ["/tmp"]),
        ("open a network socket", "open_socket", []),
        ("start a process", "fork", []),
        ("run a program", "run_program", []),
        ("signal the grader", "signal_process", [me]),
        ("trace the grader", "trace_process", [me]),
        ("enter a namespace", "unshare", []),
        ("become root", "become_root", []),
    ]
    acts += [(f"read {path.name}", "read_file", [str(path)]) for path in secrets]
    with zygote.worker(WorkerLimits()) as worker:
        try:
            if worker.run_cell("<self-test>", _PROBES, SECONDS) is not None:
                raise SandboxError("The sandbox's self-test could not be loaded; run `autograder doctor`.")
            for words, function, arguments in acts:
                test = worker.fork(0, SECONDS)
                try:
                    reply, payload = test.transact(
                        {"op": "call", "fn": function, "args": ["t", [["l", arguments], ["d", []]]]}, [], 0
                    )
                    succeeded = "ok" in reply
                    if succeeded:
                        Decoder(payload, lambda *_: None).decode(reply["ok"])
                finally:
                    test.close()
                if succeeded:
                    raise SandboxError(
                        f"The sandbox does not hold on this machine: a submission could {words}. "
                        "Nothing was graded. Run `autograder doctor` to see what is missing."
                    )
        except (WorkerLost, WireError) as error:
            raise SandboxError(f"The sandbox's self-test ended early: {error}") from error
    return [words for words, _, _ in acts]

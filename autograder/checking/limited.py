"""Limits on what this process computes for a submission: the reference on its arguments, known mistakes."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autograder.sandbox.kernel import address_space


@contextmanager
def time_limit(seconds: float, *, computing: bool = False) -> Iterator[None]:
    """TimeoutError after `seconds` on the clock, or of this process's own computing, which a busy machine
    does not shorten. By a timer signal: without effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timer, number = (
        (signal.ITIMER_PROF, signal.SIGPROF) if computing else (signal.ITIMER_REAL, signal.SIGALRM)
    )

    def expire(*_: object) -> None:
        raise TimeoutError(f"stopped after {seconds:g} s, its limit")

    before = signal.signal(number, expire)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)


@contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """MemoryError in this process when it maps `more` bytes beyond what it has mapped already."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    wanted = address_space() + more
    soft, hard = before
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or wanted < soft:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

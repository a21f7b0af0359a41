"""Limits on what this process computes for a submission: the reference on its arguments, known mistakes."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autograder.sandbox.kernel import address_space


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TimeoutError after `seconds`, by a timer signal; without effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(*_: object) -> None:
        raise TimeoutError(f"it takes longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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

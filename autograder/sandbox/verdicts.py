"""Why a worker gave no answer."""

from __future__ import annotations


class WorkerLost(Exception):
    """The worker died, broke the protocol, or was ended for exceeding a limit. `reason` is a sentence for
    the student.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallTimeout(WorkerLost):
    """A call took longer than its deadline; the worker was killed."""


class SandboxError(Exception):
    """The sandbox itself does not work here, and nothing may be graded in it."""

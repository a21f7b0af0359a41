"""From the end of a test to a verdict: outcome, message, finding. Whatever is not clearly a pass is worth
nothing.
"""

from __future__ import annotations

import pytest

from autograder.checking.failure import CheckFailure, StudentError
from autograder.checking.proxy import last_call_in_words
from autograder.course.results import Finding, Outcome
from autograder.sandbox.verdicts import CallTimeout, WorkerLost
from autograder.sandbox.wire import WireError

Verdict = tuple[Outcome, str, Finding | None]


def verdict_of(error: BaseException | None) -> Verdict:
    """(outcome, message, finding) for the exception that ended a test, or None where it ended well.

    A message never holds a line of the suite: an assertion that says nothing yields a general sentence.
    """
    if error is None:
        return "passed", "", None
    if isinstance(error, CheckFailure):
        return "failed", error.finding.headline, error.finding
    if isinstance(error, StudentError):
        return "error", error.headline, error.finding()
    if isinstance(error, CallTimeout):
        return "timeout", error.reason, _about_last_call(error.reason)
    if isinstance(error, WorkerLost):
        return "crashed", error.reason, _about_last_call(error.reason)
    if isinstance(error, WireError):
        headline = f"What came back cannot be graded: {error}."
        return "failed", headline, _about_last_call(headline)
    if isinstance(error, AssertionError | pytest.fail.Exception):
        text = str(error).partition("\n")[0].strip()
        headline = text or "The result is not as this test's sentence says."
        return "failed", headline, _about_last_call(headline)
    call, got = last_call_in_words()
    if not call:
        # The test broke before it asked the student anything: not the student's fault, and not a pass.
        return "not_gradable", f"The test itself could not run ({type(error).__name__}).", None
    headline = "The result has another structure than expected: the test could not use it."
    return "failed", headline, Finding(headline=headline, call=call, got=got)


def _about_last_call(headline: str) -> Finding:
    call, got = last_call_in_words()
    return Finding(headline=headline, call=call, got=got)

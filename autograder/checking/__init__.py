"""What a suite is written with: fixtures (see `plugin`), assertions, mistakes; and the runner that grades
with it.
"""

from __future__ import annotations

from autograder.checking.assertions import (
    assert_accuracy,
    assert_close,
    assert_learns,
    assert_stable,
    assert_unchanged,
)
from autograder.checking.disguise import disguise
from autograder.checking.failure import CheckFailure, StudentError, fail
from autograder.checking.gradients import assert_gradients, numerical_gradient
from autograder.checking.mistakes import mistake

__all__ = [
    "CheckFailure",
    "StudentError",
    "assert_accuracy",
    "assert_close",
    "assert_gradients",
    "assert_learns",
    "assert_stable",
    "assert_unchanged",
    "disguise",
    "fail",
    "mistake",
    "numerical_gradient",
]

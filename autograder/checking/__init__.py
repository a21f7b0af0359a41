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
from autograder.checking.classified import assert_classified
from autograder.checking.contracts_layers import LayerContract
from autograder.checking.contracts_linear import LinearLossContract, draw_linear_problem
from autograder.checking.contracts_optimizers import OptimizerContract
from autograder.checking.disguise import disguise
from autograder.checking.failure import CheckFailure, StudentError, fail
from autograder.checking.gradients import assert_gradients, numerical_gradient
from autograder.checking.mistakes import mistake

__all__ = [
    "CheckFailure",
    "LayerContract",
    "LinearLossContract",
    "OptimizerContract",
    "StudentError",
    "assert_accuracy",
    "assert_classified",
    "assert_close",
    "assert_gradients",
    "assert_learns",
    "assert_stable",
    "assert_unchanged",
    "disguise",
    "draw_linear_problem",
    "fail",
    "mistake",
    "numerical_gradient",
]

"""Gradient checks by central differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autograder.checking.assertions import assert_close
from autograder.checking.failure import fail

FloatArray = NDArray[np.float64]


def numerical_gradient(
    f: Callable[[FloatArray], ArrayLike], x: ArrayLike, upstream: ArrayLike = 1.0, h: float = 1e-5
) -> FloatArray:
    """d sum(upstream * f(x)) / dx by central differences, every coordinate.

    Args:
        f: maps an array shaped like `x` to an array shaped like `upstream`.
        x: float64 array of any shape; it is not modified.
        upstream: the upstream gradient.
        h: step. With float64 the error is about h^2 |f'''| / 6 + 1e-16 |f| / h, so 1e-5 gives eight to ten
            digits.
    """
    point = np.array(x, dtype=np.float64)
    weights = np.asarray(upstream, dtype=np.float64)
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        original = point[index]
        point[index] = original + h
        above = np.asarray(f(point.copy()), dtype=np.float64)
        point[index] = original - h
        below = np.asarray(f(point.copy()), dtype=np.float64)
        point[index] = original
        gradient[index] = float(np.sum(weights * (above - below))) / (2 * h)
    return gradient


def assert_gradients(
    gradients: Mapping[str, Any],
    of: Callable[..., ArrayLike],
    at: Mapping[str, ArrayLike],
    upstream: ArrayLike = 1.0,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    h: float = 1e-5,
    hint: str = "",
) -> None:
    """The student's gradients agree with central differences of `of`, in every coordinate of every argument.

    Args:
        gradients: argument name -> gradient from the student.
        of: the forward function with the names in `at` as keyword arguments; from the reference in a hidden
            suite, so that a wrong forward does not also cost the backward.
        at: argument name -> float64 value; choose them away from kinks.
        upstream: upstream gradient, shaped like the output; non-uniform, or a sum over the wrong axis goes
        unseen. rtol, atol: as in `assert_close`.
        h: step of the differences.
        hint: where to look.
    """
    if not gradients:
        fail("No gradient came.", expected=", ".join(f"d{name}" for name in at), hint=hint)
    if any(name not in at for name in gradients):
        fail(f"No point is given for {', '.join(sorted(set(gradients) - set(at)))}.")
    for name, gradient in gradients.items():

        def along(value: FloatArray, name: str = name) -> ArrayLike:
            return of(**{**at, name: value})

        expected = numerical_gradient(along, at[name], upstream, h)
        assert_close(
            gradient,
            expected if expected.ndim else float(expected),
            rtol=rtol,
            atol=atol,
            what=f"d{name}",
            hint=hint,
        )

"""What a relation between an answer and the right result is, and how closely it must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autograder.checking.named_numbers import NamedNumbers

Array = NDArray[Any]

Family = Literal[
    "scaled", "sign", "transposed", "reduced", "broadcast", "reshaped", "offset", "shifted", "reversed",
    "term", "function", "partial", "zeros", "precision", "unstable",
]  # fmt: skip
"""The families of wrong answers; docs/diagnosis.md says what each means."""

MAX_DENOMINATOR = 64
MAX_LOOKED_AT = 1000

FLOAT32_RTOL = 32 * float(np.finfo(np.float32).eps)
"""Relative rounding error of a short computation in single precision: a few dozen roundings."""


@dataclass(frozen=True)
class Relation:
    """A family of wrong answers, and a true sentence about this one."""

    family: Family
    sentence: str
    weak: bool = False
    """Whether it is one that special numbers may make: twice the right one, where two halves are equal."""


@dataclass(frozen=True)
class Tolerance:
    """How closely a relation must hold: as closely as the check that failed wanted the right result."""

    rtol: float
    factor: float
    """Relative tolerance for a factor's name."""

    @staticmethod
    def of(rtol: float, atol: float, dtype: np.dtype[Any]) -> Tolerance:
        """That of a check with `rtol` and `atol` on an answer of type `dtype`."""
        least = FLOAT32_RTOL if dtype in (np.float32, np.float16) else 1e-7
        tight = min(max(rtol, atol, least), 1e-3)
        return Tolerance(tight, max(1e-6, 3 * tight))

    def elements(self, g: Array, t: Array) -> NDArray[np.bool_]:
        """Where `g` is `t`; a hundredth of the largest element counts as the size of the small ones. Nothing
        is near infinity, which a factor becomes where an answer is close to the largest number there is.
        """
        scale = float(np.abs(t).max(initial=0.0))
        near = np.abs(g - t) <= self.rtol * np.maximum(np.abs(t), 1e-2 * scale)
        return np.asarray(near & np.isfinite(scale))

    def close(self, g: Array, t: Array, slack: float = 1.0) -> bool:
        """Whether `g` is `t` everywhere; `slack` widens it for a difference of two rounded numbers."""
        if g.shape != t.shape or not g.size:
            return False
        return bool((Tolerance(self.rtol * slack, self.factor) if slack != 1 else self).elements(g, t).all())

    def near(self, a: float, b: float) -> bool:
        """Whether two factors are the same."""
        return abs(a - b) <= self.factor * abs(b)


def varies(array: Array, size: int = 2) -> bool:
    """Whether an array has elements that differ; one element alone (`size` 1) is let through."""
    return size < 2 or (array.size > 1 and bool(np.ptp(array) > 1e-6 * np.abs(array).max()))


def is_generic(array: Array) -> bool:
    """Whether most numbers of an array are none that a person or a count would give.

    Labels, shares of a few examples and numbers chosen by hand are whole, fractions with a small denominator,
    or have three decimal digits at most: between such numbers anything may hold by chance.
    """
    values = np.abs(array[array != 0]).ravel()[:MAX_LOOKED_AT]
    if not values.size:
        return False
    multiples = values[:, np.newaxis] * np.arange(1, MAX_DENOMINATOR + 1)
    fractions = (np.abs(multiples - np.round(multiples)) <= 1e-9 * np.maximum(multiples, 1.0)).any(axis=1)
    digits = values * 10.0 ** (2 - np.floor(np.log10(values)))
    decimals = np.abs(digits - np.round(digits)) <= 1e-9 * digits
    return bool(2 * np.count_nonzero(fractions | decimals) < values.size)


def words_of(factor: float, numbers: NamedNumbers, tolerance: Tolerance) -> str:
    """A factor with its sign, by name where it has one."""
    words = (
        "1" if tolerance.near(abs(factor), 1.0) else numbers.factor_in_words(abs(factor), tolerance.factor)
    )
    return ("minus " if factor < 0 else "") + (words or f"{abs(factor):.6g}")

"""What the two sets of signed digits have in common: which digits, in which size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import DatasetError

ALL_DIGITS = tuple(range(10))


def chosen_digits(digits: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return `digits` as an array, or raise `DatasetError` unless they are different numbers from 0 to 9."""
    listed = list(digits) if isinstance(digits, list | tuple | range | np.ndarray) else []
    if not listed or not all(_whole(d) and 0 <= d <= 9 for d in listed) or len(set(listed)) < len(listed):
        raise DatasetError(f"digits must be different whole numbers from 0 to 9, not {digits!r}.")
    return np.array(listed, dtype=np.int64)


def checked_whole(value: int, low: int, high: int, what: str) -> int:
    """Return `value`, or raise `DatasetError` unless it is a whole number between `low` and `high`."""
    if not (_whole(value) and low <= value <= high):
        raise DatasetError(f"{what} must be a whole number between {low:,} and {high:,}, not {value!r}.")
    return int(value)


def _whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)

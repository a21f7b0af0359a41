"""What `load_dataset` returns, and what it raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


class DatasetError(Exception):
    """A data set cannot be had as asked; the message says what to do."""


class DatasetMissing(DatasetError):
    """The files of a data set are not under the data root."""


class DatasetDamaged(DatasetError):
    """The files of a data set are there but do not hold what they should."""


class FetchError(DatasetError):
    """A download failed: no network, a wrong checksum, no space."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set with its held-out split.

    `x_train` has shape (num_train, ...) and `y_train` shape (num_train,); `x_test` and `y_test` likewise. The
    arrays belong to the caller: each `load_dataset` returns fresh ones.
    """

    name: str
    x_train: npt.NDArray[Any]
    y_train: npt.NDArray[Any]
    x_test: npt.NDArray[Any]
    y_test: npt.NDArray[Any]
    classes: tuple[str, ...]
    """The name of each class, by label; empty for a regression."""
    source: str
    """Where the numbers come from, in words: the same on every machine."""
    embedded: bool
    """True for a data set that the kit carries or generates, False for one read from the data root."""

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            if len(x) != len(y):
                raise ValueError(f"{self.name}: x_{part} has {len(x)} rows and y_{part} has {len(y)}")

    def __repr__(self) -> str:
        lines = [f"Dataset {self.name!r}: {self.source}"]
        for part in ("x_train", "y_train", "x_test", "y_test"):
            array = getattr(self, part)
            lines.append(f"  {part:<7} {array.dtype!s:<7} {array.shape}")
        if self.classes:
            shown = [*self.classes] if len(self.classes) <= 100 else [*self.classes[:8], "..."]
            lines.append(f"  classes {', '.join(shown)}")
        return "\n".join(lines)


def check_count(count: int | None, available: int, what: str) -> None:
    """Raise `DatasetError` unless `count` is None or a whole number of rows that exist."""
    whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if count is not None and not (whole and 0 <= count <= available):
        raise DatasetError(f"{what} must be a whole number between 0 and {available:,}, not {count!r}.")


def first(x: npt.NDArray[Any], y: npt.NDArray[Any], count: int | None, what: str) -> tuple[Any, Any]:
    """Return the first `count` rows of both arrays, all of them for None."""
    check_count(count, len(x), what)
    return (x, y) if count is None else (x[:count].copy(), y[:count].copy())

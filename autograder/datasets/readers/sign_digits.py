"""Photographs of hands that sign a digit, one folder a digit, as their distributor lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, first
from autograder.datasets.photographs import open_photograph, reduced
from autograder.datasets.signs import ALL_DIGITS, checked_whole, chosen_digits
from autograder.datasets.splits import stratified_split

Float32 = npt.NDArray[np.float32]

_TEST_FRACTION = 0.2
_SEED = 2017  # the year the photographs were published: any fixed number would do
_SUFFIXES = (".jpg", ".jpeg")
_SMALLEST, _LARGEST = 8, 100  # pixels; the photographs have 100


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    digits: Sequence[int] = ALL_DIGITS,
    size: int = 64,
    color: bool = False,
) -> Dataset:
    """Return the photographs: x float32 of shape (N, size, size) in 0..1, y int64 of shape (N,).

    A fifth of each digit is held out, chosen image by image. `digits` chooses the signs: label i belongs to
    digits[i]. Each photograph is reduced to `size` pixels; with `color`, x has the shape (N, 3, size, size).
    """
    signs = chosen_digits(digits)
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    images, labels = [], []
    for label, sign in enumerate(signs):
        paths = sorted(path for path in (folder / str(sign)).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise DatasetDamaged(f"{folder / str(sign)} holds no photographs. Put them there again.")
        images += [_photograph(path, size, bool(color)) for path in paths]
        labels += [label] * len(paths)
    x, y = np.stack(images), np.array(labels, dtype=np.int64)
    train, test = stratified_split(y, _TEST_FRACTION, _SEED)
    x_train, y_train = first(x[train], y[train], num_train, "num_train")
    x_test, y_test = first(x[test], y[test], num_test, "num_test")
    return Dataset(
        name="sign_digits",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(str(sign) for sign in signs),
        source=f"photographs of signed digits, reduced to {size} x {size} pixels (Mavi and Dikle, 2017)",
        embedded=False,
    )


def _photograph(path: Path, size: int, color: bool) -> Float32:
    """One photograph in 0..1: (3, size, size) in RGB, or (size, size) in grey."""
    pixels = reduced(open_photograph(path, mode="RGB" if color else "L"), size)
    return np.asarray(pixels, dtype=np.float32) / np.float32(255.0)

"""Photographs of fresh and rotten fruit, one folder a class in each of two parts, as distributed.

Whoever made the set turned, moved, mirrored and speckled each photograph up to ten times and split the copies
at random: nearly nine of ten pictures in the distributor's test part have a sister in its training part. So
by default all pictures are put together again and split by photograph.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, DatasetError, first
from autograder.datasets.photographs import open_photograph, reduced
from autograder.datasets.readers.fruit import CLASSES
from autograder.datasets.signs import checked_whole

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

FOLDERS = ("freshapples", "freshbanana", "freshoranges", "rottenapples", "rottenbanana", "rottenoranges")
_SEED = 2018  # the year in which the photographs were put on Kaggle: any fixed number would do
_SUFFIXES = (".jpg", ".jpeg", ".png")
_SMALLEST, _LARGEST = 16, 512  # pixels
_TEST_FRACTION = 0.2
_ALIKE = 0.85  # shared part of two colour histograms from which on they count as one photograph's


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    size: int = 32,
    held_out: str = "photographs",
) -> Dataset:
    """Return the photographs: x uint8 of shape (N, 3, size, size), in RGB; y int64 of shape (N,).

    Six classes: fresh apple, banana, orange, then the rotten ones in the same order. Held out is a fifth of
    each class by whole photographs, so that all copies of one lie on one side; with `held_out="parts"` it is
    the distributor's own test part, whose copies were trained on. The order is the same on every machine.
    """
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    if held_out not in ("photographs", "parts"):
        raise DatasetError(f'held_out must be "photographs" or "parts", not {held_out!r}.')
    parts = [_part(folder / "train", size), _part(folder / "test", size)]
    if held_out == "photographs":
        parts = _split_by_photograph(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    x_train, y_train = first(*_shuffled(*parts[0][:2]), num_train, "num_train")
    x_test, y_test = first(*_shuffled(*parts[1][:2]), num_test, "num_test")
    return Dataset(
        name="fruits",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=CLASSES,
        source=f"photographs of fresh and rotten fruit, reduced to {size} x {size} pixels (Kaggle, 2018)",
        embedded=False,
    )


def _part(folder: Path, size: int) -> tuple[UInt8, Int64, npt.NDArray[np.float32]]:
    """The photographs of one part in the order of their names, their labels and colour histograms."""
    images, labels, colours = [], [], []
    for label, name in enumerate(FOLDERS):
        paths = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise DatasetDamaged(f"{folder / name} holds no photographs. Put them there again.")
        for path in paths:
            image, histogram = _photograph(path, size)
            images.append(image)
            colours.append(histogram)
        labels += [label] * len(paths)
    return np.stack(images), np.array(labels, dtype=np.int64), np.stack(colours)


def _photograph(path: Path, size: int) -> tuple[UInt8, npt.NDArray[np.float32]]:
    """One photograph, (3, size, size), and how often each of 512 colours occurs in it."""
    whole = open_photograph(path, formats=("JPEG", "PNG"))
    small = reduced(whole, 64).transpose(1, 2, 0).astype(np.int64)
    # The black corners of a turned copy and the white paper say nothing about the fruit.
    fruit = small[(small.max(axis=2) > 25) & (small.min(axis=2) < 225)]
    counts = np.bincount(fruit // 32 @ np.array([64, 8, 1]), minlength=512)
    histogram = (counts / max(1, counts.sum())).astype(np.float32)
    return reduced(whole, size), histogram


def _split_by_photograph(
    x: UInt8, y: Int64, colours: npt.NDArray[np.float32]
) -> list[tuple[UInt8, Int64, npt.NDArray[np.float32]]]:
    """(train, test): of each class, photographs are held out until they make up a fifth of its pictures."""
    random = np.random.RandomState(_SEED)
    test = np.zeros(len(y), dtype=bool)
    for label in range(len(FOLDERS)):
        members = np.flatnonzero(y == label)
        photograph = _photographs(colours[members])
        wanted = round(_TEST_FRACTION * len(members))
        for chosen in random.permutation(photograph.max() + 1):
            copies = members[photograph == chosen]
            if int(test[members].sum()) + len(copies) <= wanted:
                test[copies] = True
    return [(x[part], y[part], colours[part]) for part in (~test, test)]


def _photographs(colours: npt.NDArray[np.float32]) -> Int64:
    """The number of each picture's photograph: alike are pictures with the same colours, wherever these lie,
    and whatever is alike to one of them belongs to the same photograph.
    """
    alike = np.array([np.minimum(colours, own).sum(axis=1) > _ALIKE for own in colours])
    numbers = np.full(len(colours), -1, dtype=np.int64)
    for start in range(len(colours)):
        if numbers[start] < 0:
            waiting, numbers[start] = [start], numbers.max() + 1
            while waiting:
                near = np.flatnonzero(alike[waiting.pop()] & (numbers < 0))
                numbers[near] = numbers[start]
                waiting += near.tolist()
    return numbers


def _shuffled(x: UInt8, y: Int64) -> tuple[UInt8, Int64]:
    order = np.random.RandomState(_SEED).permutation(len(y))
    return x[order], y[order]

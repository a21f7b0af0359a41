"""Photographs of cars of 196 models: one folder of images, and a table that says what each shows.

The labels of the official test part are not to be had, so a part of the training photographs is held
out: a fifth of each class, or half of the classes.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, DatasetError, first
from autograder.datasets.photographs import open_photograph, reduced
from autograder.datasets.signs import checked_whole
from autograder.datasets.splits import stratified_split

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

_COLUMNS = ["file", "class0", "class_name"]
_TEST_FRACTION = 0.2
_SEED = 2013  # the year in which the photographs were published: any fixed number would do
_SMALLEST, _LARGEST = 16, 224  # pixels


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    size: int = 64,
    held_out: str = "images",
) -> Dataset:
    """Return the photographs: x uint8 of shape (N, 3, size, size), in RGB; y int64 of shape (N,).

    Held out is a fifth of the photographs of each class, or with `held_out="classes"` all photographs of
    the second half of the classes, as is usual for retrieval: then no class is in both parts. Each
    photograph is squashed to a square. The order is the same on every machine.
    """
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    if held_out not in ("images", "classes"):
        raise DatasetError(f'held_out must be "images" or "classes", not {held_out!r}.')
    paths, y, classes = _table(folder)
    if held_out == "images":
        train, test = stratified_split(y, _TEST_FRACTION, _SEED)
    else:
        order = np.random.RandomState(_SEED).permutation(len(y))
        known = y[order] < (len(classes) + 1) // 2
        train, test = order[known], order[~known]
    parts = []
    for rows, count, what in ((train, num_train, "num_train"), (test, num_test, "num_test")):
        chosen, y_part = first(rows, y[rows], count, what)
        x_part = np.empty((len(chosen), 3, size, size), dtype=np.uint8)
        for place, row in enumerate(chosen):
            x_part[place] = reduced(open_photograph(paths[row]), size)
        parts.append((x_part, y_part))
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset(
        name="cars",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        source=f"photographs of cars, {size} x {size} pixels (Krause et al., 2013); held out are "
        + ("other photographs of the same classes" if held_out == "images" else "other classes"),
        embedded=False,
    )


def _table(folder: Path) -> tuple[list[Path], Int64, tuple[str, ...]]:
    """The paths of all photographs, their labels, and the names of the classes, by label."""
    table = folder / "train.csv"
    again = f"{table} is not a table of {', '.join(_COLUMNS)}. Put it there again."
    paths: list[Path] = []
    labels: list[int] = []
    names: dict[int, str] = {}
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if not set(_COLUMNS) <= set(rows.fieldnames or ()):
                raise DatasetDamaged(again)
            for row in rows:
                label, file, name = int(row["class0"]), row["file"], row["class_name"]
                if not name or file != Path(file).name or names.setdefault(label, name) != name:
                    raise DatasetDamaged(again)
                paths.append(folder / "images" / file)
                labels.append(label)
    except (ValueError, TypeError, csv.Error) as error:
        raise DatasetDamaged(again) from error
    if sorted(names) != list(range(len(names))) or not names:
        raise DatasetDamaged(again)
    return paths, np.array(labels, dtype=np.int64), tuple(names[label] for label in range(len(names)))

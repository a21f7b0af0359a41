"""One photograph of each of ImageNet's 1,000 classes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from autograder.datasets.imagenet import NUM_CLASSES, halves, imagenet_classes
from autograder.datasets.model import Dataset, DatasetDamaged, first
from autograder.datasets.photographs import open_photograph
from autograder.datasets.signs import checked_whole

UInt8 = npt.NDArray[np.uint8]

_SYNSET = re.compile(r"(?:\d{3}_)?(n\d{8})_.*\.jpe?g", re.IGNORECASE)
_SMALLEST, _LARGEST = 32, 512  # pixels


def load(
    folder: Path, *, num_train: int | None = None, num_test: int | None = None, size: int = 224
) -> Dataset:
    """Return the photographs: x uint8 of shape (N, 3, size, size), in RGB; y int64 of shape (N,).

    500 to choose a preprocessing and a temperature by, and 500 held out; each class is in one of the halves.
    A photograph of another size is reduced until its shorter side has `size` pixels, and its middle is kept.
    """
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    paths = _by_class(folder)
    parts = []
    for rows, count, what in zip(halves(), (num_train, num_test), ("num_train", "num_test"), strict=True):
        rows, y = first(rows, rows.astype(np.int64), count, what)
        x = np.empty((len(rows), 3, size, size), dtype=np.uint8)
        for place, row in enumerate(rows):
            x[place] = _photograph(paths[row], size)
        parts.append((x, y))
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset(
        name="imagenet_samples",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=imagenet_classes(),
        source=f"one photograph of each of the 1,000 classes of ImageNet, {size} x {size} pixels",
        embedded=False,
    )


def _by_class(folder: Path) -> list[Path]:
    """The photographs in the order of their classes, which is that of their synsets' numbers."""
    found = {}
    for path in folder.iterdir():
        synset = _SYNSET.fullmatch(path.name)
        if synset:
            found[synset[1]] = path
    if len(found) != NUM_CLASSES:
        raise DatasetDamaged(
            f"{folder} holds photographs of {len(found):,} classes, not of {NUM_CLASSES:,}. "
            "Put them there again."
        )
    return [found[synset] for synset in sorted(found)]


def _photograph(path: Path, size: int) -> UInt8:
    """The middle of one photograph, (3, size, size) in RGB."""
    whole = open_photograph(path)
    width, height = whole.size
    if (width, height) != (size, size):
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        whole = whole.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.ascontiguousarray(np.asarray(whole, dtype=np.uint8).transpose(2, 0, 1))

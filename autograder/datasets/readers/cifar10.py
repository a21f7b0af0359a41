"""CIFAR-10 in the layout of its distributor's Python archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, DatasetError, check_count, first
from autograder.datasets.unpickle import read_pickle

_SHAPE = (3, 32, 32)
_BATCH = 10_000
_DTYPES = ("float32", "float64", "uint8")


def load(
    folder: Path, *, num_train: int | None = None, num_test: int | None = None, dtype: str = "float32"
) -> Dataset:
    """Return CIFAR-10: x of shape (N, 3, 32, 32) in RGB, y int64 of shape (N,).

    Up to 50,000 for training and 10,000 held out, in the distributor's order. `dtype` is "float32" or
    "float64", both scaled to 0..1, or "uint8", the bytes 0..255 as distributed.
    """
    if dtype not in _DTYPES:
        raise DatasetError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}.")
    meta = read_pickle(folder / "batches.meta")
    names = _field(meta, b"label_names", folder / "batches.meta")
    if not isinstance(names, list) or len(names) != 10 or not all(isinstance(n, bytes | str) for n in names):
        raise DatasetDamaged(
            f"{folder / 'batches.meta'} does not hold ten class names. Fetch the data set again."
        )
    x_train, y_train = _split(folder, [f"data_batch_{i}" for i in range(1, 6)], num_train, "num_train")
    x_test, y_test = _split(folder, ["test_batch"], num_test, "num_test")
    return Dataset(
        name="cifar10",
        x_train=_scaled(x_train, dtype),
        y_train=y_train,
        x_test=_scaled(x_test, dtype),
        y_test=y_test,
        classes=tuple(name.decode() if isinstance(name, bytes) else name for name in names),
        source="CIFAR-10, photographs of 32 x 32 pixels in ten classes (Krizhevsky, 2009)",
        embedded=False,
    )


def _split(folder: Path, batches: list[str], count: int | None, what: str) -> tuple[Any, Any]:
    """Read as many batches as `count` needs."""
    check_count(count, _BATCH * len(batches), what)
    needed = batches if count is None else batches[: max(1, -(-count // _BATCH))]
    parts = [_batch(folder / name) for name in needed]
    return first(np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]), count, what)


def _batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one batch: bytes of shape (10000, 3, 32, 32) and labels 0..9."""
    content = read_pickle(path)
    pixels, labels = _field(content, b"data", path), _field(content, b"labels", path)
    good = (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.shape == (_BATCH, 3072)
        and isinstance(labels, list)
        and len(labels) == _BATCH
        and all(isinstance(label, int) and 0 <= label <= 9 for label in labels)
    )
    if not good:
        raise DatasetDamaged(
            f"{path} does not hold 10,000 images of 3,072 bytes with labels 0 to 9. Fetch it again."
        )
    return pixels.reshape(_BATCH, *_SHAPE), np.asarray(labels, dtype=np.int64)


def _field(content: Any, key: bytes, path: Path) -> Any:
    """Return one entry of a batch, whether its keys are Python 2 strings (bytes) or text."""
    if isinstance(content, dict):
        for candidate in (key, key.decode()):
            if candidate in content:
                return content[candidate]
    raise DatasetDamaged(f"{path} has no entry {key.decode()!r}. Delete it and fetch the data set again.")


def _scaled(pixels: npt.NDArray[np.uint8], dtype: str) -> npt.NDArray[Any]:
    if dtype == "uint8":
        return pixels
    scaled = pixels.astype(dtype)
    scaled /= 255
    return scaled

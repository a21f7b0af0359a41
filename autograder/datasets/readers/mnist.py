"""MNIST in the idx files of its distributors."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, check_count

_SIDE = 28
_NUM_TRAIN, _NUM_TEST = 60_000, 10_000
# The magic number of an idx file: two zero bytes, the type (8: unsigned bytes), the number of axes.
_IMAGES, _LABELS = 0x00000803, 0x00000801


def load(folder: Path, *, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """Return MNIST: x float32 of shape (N, 28, 28) scaled to 0..1, ink near 1, y int64 of shape (N,).

    Up to 60,000 for training and 10,000 held out, in the distributor's order. Raises `DatasetDamaged` for a
    file that is not what its name says.
    """
    x_train, y_train = _split(folder, "train", _NUM_TRAIN, num_train, "num_train")
    x_test, y_test = _split(folder, "t10k", _NUM_TEST, num_test, "num_test")
    return Dataset(
        name="mnist",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(str(digit) for digit in range(10)),
        source="MNIST, handwritten digits of 28 x 28 pixels (LeCun, Cortes and Burges, 1998)",
        embedded=False,
    )


def _split(
    folder: Path, part: str, available: int, count: int | None, what: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The first `count` images and labels of one part, all of them for None."""
    check_count(count, available, what)
    pixels = _read_idx(folder / f"{part}-images-idx3-ubyte", _IMAGES, (available, _SIDE, _SIDE))[:count]
    labels_path = folder / f"{part}-labels-idx1-ubyte"
    labels = _read_idx(labels_path, _LABELS, (available,))
    if labels.max() > 9:
        raise DatasetDamaged(f"{labels_path} holds labels other than 0 to 9. Put the file there again.")
    scaled = pixels.astype(np.float32)
    scaled /= 255
    return scaled, labels[:count].astype(np.int64)


def _read_idx(path: Path, magic: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The bytes of one idx file, an array of `shape`: a big-endian header (magic number, then the size of
    each axis), and one byte for each element.
    """
    content = path.read_bytes()
    header = struct.pack(f">{1 + len(shape)}I", magic, *shape)
    body = np.frombuffer(content, dtype=np.uint8)[len(header) :]
    if not content.startswith(header) or body.size != int(np.prod(shape)):
        size = " x ".join(str(n) for n in shape)
        hint = " It is still compressed: unpack it." if content.startswith(b"\x1f\x8b") else ""
        raise DatasetDamaged(
            f"{path} does not hold {size} bytes in the idx format.{hint or ' Put the file there again.'}"
        )
    return body.reshape(shape)

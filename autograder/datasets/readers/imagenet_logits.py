"""The logits of EfficientNet-Lite0 for one photograph of each ImageNet class, recorded once."""

from __future__ import annotations

import lzma
from importlib import resources
from pathlib import Path

import numpy as np

from autograder.datasets.imagenet import NUM_CLASSES, halves, imagenet_classes
from autograder.datasets.model import Dataset, first

STEP = 0.1
"""Logits are kept as whole multiples of this, counted from LOWEST."""
LOWEST = -6.5


def load(folder: Path, *, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """Return logits: x float32 of shape (N, 1000), y int64 of shape (N,), the true classes.

    Of 500 photographs to fit a temperature by, and of 500 others. `folder` is not used.
    """
    del folder
    kept = resources.files("autograder.datasets").joinpath("recorded", "imagenet_logits.xz").read_bytes()
    steps = np.frombuffer(lzma.decompress(kept), dtype=np.uint8).reshape(NUM_CLASSES, NUM_CLASSES)
    logits = (LOWEST + STEP * steps).astype(np.float32)
    train, test = halves()
    x_train, y_train = first(logits[train], train.astype(np.int64), num_train, "num_train")
    x_test, y_test = first(logits[test], test.astype(np.int64), num_test, "num_test")
    return Dataset(
        name="imagenet_logits",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=imagenet_classes(),
        source="logits of EfficientNet-Lite0 for one photograph of each ImageNet class, to one decimal",
        embedded=True,
    )

"""k-nearest neighbours on all of CIFAR-10."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

K = 10
HEADLINE = 0.3386
AT_ONCE = 500
"""Test images whose distances are held at once: 50,000 x 500 numbers of 4 bytes are 100 MB."""


def run(seed: int = 0) -> list[Figure]:
    """Name all 10,000 test images by their ten nearest neighbours among all 50,000 training images, and the
    first 500 by those among the first 5,000. Nothing is drawn, so `seed` changes nothing.
    """
    del seed
    solution = Namespace(load_cells(read_source(Path(__file__).with_name("knn.py"))))
    data = load_dataset("cifar10")
    return [
        accuracy(solution, data.x_train, data.y_train, data.x_test, data.y_test, HEADLINE),
        accuracy(solution, data.x_train[:5000], data.y_train[:5000], data.x_test[:500], data.y_test[:500]),
    ]


def accuracy(
    solution: Namespace,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    headline: float | None = None,
) -> Figure:
    """Share of right names. x: (N, 3, 32, 32) float32, y: (N,)."""
    start = time.perf_counter()
    classifier = solution.KNNClassifier(x_train, y_train)
    right = sum(
        int(np.sum(classifier.predict(x_test[at : at + AT_ONCE], K) == y_test[at : at + AT_ONCE]))
        for at in range(0, len(x_test), AT_ONCE)
    )
    return Figure(
        what=f"k-nearest neighbours (k = {K}), CIFAR-10 test", ours=right / len(x_test), headline=headline,
        sizes=f"{len(x_train):,} training, {len(x_test):,} test", seconds=time.perf_counter() - start,
    )  # fmt: skip

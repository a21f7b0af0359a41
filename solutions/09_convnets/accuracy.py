"""A convolutional network in NumPy on all of CIFAR-10: what the solution's own layers reach on real data."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

NUM_VAL = 1000
NETWORK = {"num_filters": (32, 64, 128), "pools": (1, 2, 3), "batchnorm": True, "reg": 1e-3}
TRAINING = {"epochs": 4, "batch_size": 100, "learning_rate": 2e-3, "decay": 0.4}
"""An epoch goes over every image twice, once as it is and once in the mirror."""


def run(seed: int = 0) -> list[Figure]:
    """Train three blocks of convolution, batch normalisation, ReLU and pooling on 49,000 images.

    Args:
        seed: of the weights and of the mini-batches.

    Returns:
        The share of right answers on 1,000 images for validation and on the 10,000 test images.
    """
    solution = Namespace(load_cells(read_source(Path(__file__).with_name("convnets.py"))))
    data = load_dataset("cifar10")
    mean_image = data.x_train[:-NUM_VAL].mean(axis=0)
    X, X_test = data.x_train - mean_image, data.x_test - mean_image
    X_val, y_val = X[-NUM_VAL:], data.y_train[-NUM_VAL:]
    X, y = X[:-NUM_VAL], data.y_train[:-NUM_VAL]

    began = time.perf_counter()
    net = solution.DeepConvNet(
        X.shape[1:], num_classes=len(data.classes), seed=seed, dtype=np.float32, **NETWORK
    )
    mirrored = np.concatenate([X, X[..., ::-1]])
    history = solution.train(net, mirrored, np.tile(y, 2), X_val, y_val, seed=seed, **TRAINING)
    test = solution.accuracy(net, X_test, data.y_test)
    seconds = time.perf_counter() - began
    sizes = f"{len(X):,} training and their mirror images, {NUM_VAL:,} validation, {len(X_test):,} test"
    figures = (("validation", history["val"][-1], 0.7281), ("test", test, 0.7209))
    return [
        Figure(
            what=f"convolutional network, CIFAR-10 {part}",
            ours=ours,
            headline=headline,
            sizes=sizes,
            seconds=seconds,
        )
        for part, ours, headline in figures
    ]

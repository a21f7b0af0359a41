"""Linear classifiers on all of CIFAR-10: what the solution's own functions reach on real data."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

NUM_VAL = 5000
RATES = {"softmax": [0.003, 0.01, 0.03], "svm": [0.001, 0.003, 0.006]}
REGS = [1e-4, 1e-3, 1e-2]
SEARCH_STEPS = 3000
PHASES = [(1, 6000), (5, 2000), (25, 2000)]
"""(what the learning rate is divided by, steps): at one rate SGD never settles."""
BATCH_SIZE = 200
HEADLINES = {"softmax": 0.3969, "svm": 0.3899}


def run(seed: int = 0) -> list[Figure]:
    """Choose learning rate and penalty on 5,000 validation pictures, train on all 50,000, and test once.

    Args:
        seed: of the mini-batches.

    Returns:
        Two figures: the accuracy of softmax and of the SVM on the 10,000 test pictures.
    """
    solution = load_cells(read_source(Path(__file__).with_name("linear_classifiers.py")))
    data = load_dataset("cifar10")
    mean_image = data.x_train.reshape(len(data.x_train), -1).mean(axis=0)
    X, X_test = solution["prepare"](data.x_train, mean_image), solution["prepare"](data.x_test, mean_image)
    y, train, val = data.y_train, slice(NUM_VAL, None), slice(None, NUM_VAL)
    start = np.zeros((X.shape[1], len(data.classes)), dtype=X.dtype)

    rows = []
    for loss, headline in HEADLINES.items():
        began = time.perf_counter()
        _, (rate, reg), _ = solution["search_hyperparameters"](
            loss, start, X[train], y[train], X[val], y[val], RATES[loss], REGS, SEARCH_STEPS, BATCH_SIZE, seed
        )
        W = start
        for phase, (divisor, steps) in enumerate(PHASES, start=1):
            W, _ = solution["train_linear_classifier"](
                loss, W, X, y, rate / divisor, reg, steps, BATCH_SIZE, seed + 1000 * phase
            )
        test = float(np.mean(solution["predict"](W, X_test) == data.y_test))
        seconds = time.perf_counter() - began
        sizes = f"{len(X):,} training ({NUM_VAL:,} of them to choose by), {len(X_test):,} test"
        what = f"{loss}, CIFAR-10 test (learning rate {rate:g}, reg {reg:g})"
        rows.append(Figure(what=what, ours=test, headline=headline, sizes=sizes, seconds=seconds))
    return rows

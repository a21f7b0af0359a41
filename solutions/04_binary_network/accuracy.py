"""The reference solution on the real photographs: sixes against eights, unseen images.

`run` is called by `make accuracy`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from unittest import mock

import numpy as np

from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("binary_network.py")
HEADLINE = 0.956
SIZE, UNITS, LEARNING_RATE, EPOCHS, BATCH_SIZE, COPIES, FOLDS = 32, 32, 0.02, 12, 32, 30, 5


def run(data_root: Path, seed: int = 0) -> list[dict[str, object]]:
    """Train on the sign-language digits 6 and 8 and return one row for each figure.

    A row has the keys "figure", "ours", "headline" (both shares of right answers from 0 to 1), "seconds" and
    "sizes". The first figure is that of the data set's own held-out fifth; the second the mean over five
    folds, in which each of the 415 photographs is once among the unseen ones. The fold a photograph is in is
    drawn anew for each seed.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    with mock.patch.dict(os.environ, AUTOGRADER_DATA=str(data_root)):
        data = load_dataset("sign_digits", digits=(6, 8), size=SIZE)
    start = time.perf_counter()
    held_out = accuracy(solution, data.x_train, data.y_train, data.x_test, data.y_test, seed)
    middle = time.perf_counter()
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    fold = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    folds = [
        accuracy(solution, x[fold != part], y[fold != part], x[fold == part], y[fold == part], seed)
        for part in range(FOLDS)
    ]
    share = float(np.average(folds, weights=np.bincount(fold)))
    sizes = f"{len(data.x_train)} photographs, {COPIES} moved copies of each; {len(data.x_test)} unseen"
    return [
        row("digits 6 and 8, held-out fifth", held_out, middle - start, sizes),
        row(
            f"digits 6 and 8, mean of {FOLDS} folds",
            share,
            time.perf_counter() - middle,
            f"{FOLDS} trainings, each of {len(x)} photographs unseen once",
        ),
    ]


def row(figure: str, ours: float, seconds: float, sizes: str) -> dict[str, object]:
    """One line of the table."""
    return {"figure": figure, "ours": ours, "headline": HEADLINE, "seconds": seconds, "sizes": sizes}


def accuracy(
    solution: Namespace,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    seed: int,
) -> float:
    """Train the reference's network on moved copies of the photographs; the share of right answers.

    x: (N, SIZE, SIZE), y: (N,). The copies come from training photographs alone.
    """
    rows = solution.prepare(solution.moved_copies(x_train, COPIES, seed))
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    params = solution.initialize(rows.shape[1], UNITS, seed)
    labels = np.tile(y_train, COPIES)
    params, _ = solution.train(params, (rows - mean) / std, labels, LEARNING_RATE, EPOCHS, BATCH_SIZE, seed)
    p, _ = solution.forward((solution.prepare(x_test) - mean) / std, params)
    return float(np.mean((p > 0.5) == y_test))

"""The reference solution on the real photographs: sixes against eights, unseen images.

`run` is called by `autograder accuracy`.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("binary_network.py")
HEADLINE = 0.956
SIZE, UNITS, LEARNING_RATE, EPOCHS, BATCH_SIZE, COPIES, FOLDS = 32, 32, 0.02, 12, 32, 30, 5


def run(seed: int = 0) -> list[Figure]:
    """Train on the sign-language digits 6 and 8; shares of right answers.

    The first figure is that of the data set's own held-out fifth; the second the mean over five
    folds, in which each of the 415 photographs is once among the unseen ones. The fold a photograph is in is
    drawn anew for each seed.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
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
    end = time.perf_counter()
    return [
        Figure(
            what="binary network, digits 6 and 8, held-out fifth", ours=held_out, headline=HEADLINE,
            sizes=sizes, seconds=middle - start,
        ),
        Figure(
            what=f"binary network, digits 6 and 8, mean of {FOLDS} folds", ours=share, headline=HEADLINE,
            sizes=f"{FOLDS} trainings, each of {len(x)} photographs unseen once", seconds=end - middle,
        ),
    ]  # fmt: skip


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

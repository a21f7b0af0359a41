"""The two-layer network on all of CIFAR-10: what the solution's own functions reach on real data."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

NUM_VAL = 1000
HIDDEN_DIM = 500
SETTING = {
    "learning_rate": 0.1,
    "learning_rate_decay": 0.93,
    "reg": 2e-4,
    "batch_size": 100,
}
EPOCHS = 20


def run(seed: int = 0) -> list[Figure]:
    """Train once on CIFAR-10 with the setting above.

    Args:
        seed: of the start and of the mini-batches.

    Returns:
        Two figures: the accuracy on 1,000 validation pictures, and the one on the 10,000 test pictures.
    """
    solution = load_cells(read_source(Path(__file__).with_name("two_layer_net.py")))
    data = load_dataset("cifar10")
    rows = data.x_train.reshape(len(data.x_train), -1)
    mean_image = rows[:-NUM_VAL].mean(axis=0)
    rows = rows - mean_image
    X, y = rows[:-NUM_VAL], data.y_train[:-NUM_VAL]
    X_val, y_val = rows[-NUM_VAL:], data.y_train[-NUM_VAL:]
    X_test = data.x_test.reshape(len(data.x_test), -1) - mean_image

    began = time.perf_counter()
    start = solution["initialize"](X.shape[1], HIDDEN_DIM, len(data.classes), seed)
    start = {name: value.astype(np.float32) for name, value in start.items()}
    steps = EPOCHS * (len(X) // SETTING["batch_size"])
    params, history = solution["nn_train"](start, X, y, X_val, y_val, num_iters=steps, seed=seed, **SETTING)
    test = float(np.mean(solution["nn_predict"](params, X_test) == data.y_test))
    seconds = time.perf_counter() - began
    sizes = f"{len(X):,} training, {NUM_VAL:,} validation, {len(X_test):,} test"
    figures = (("validation", history["val_acc"][-1], 0.5197), ("test", test, 0.5234))
    return [
        Figure(
            what=f"two-layer network, CIFAR-10 {part}",
            ours=ours,
            headline=headline,
            sizes=sizes,
            seconds=seconds,
        )
        for part, ours, headline in figures
    ]

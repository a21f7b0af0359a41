"""What the solution's own network and Solver reach on CIFAR-10. `run` is called by `autograder accuracy`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

NUM_VAL = 1000
NETWORK = {"hidden_dims": [256, 128], "dropout": 0.2, "reg": 1e-4, "weight_scale": 0.03}
TRAINING = {"lr_decay": 0.9, "batch_size": 100, "num_epochs": 15}
BY_HEART = {"batch_size": 25, "num_epochs": 20}
LEARNING_RATE = 1e-3
HEADLINE = 0.50
"""Above half of the validation photographs, with Adam."""


def run(seed: int = 0) -> list[Figure]:
    """Train on 49,000 photographs with Adam, and on 50 of them by heart.

    Args:
        seed: of the weights, the batches and the dropout masks.

    Returns:
        The validation accuracy of the epoch that is best on 1,000 photographs, the test accuracy with its
        parameters, and the accuracy on 50 training photographs of a network that saw only these.
    """
    photographs = load_dataset("cifar10")
    solution = load_cells(read_source(Path(__file__).with_name("modular_networks.py")))
    X, X_test = (x.reshape(len(x), -1) for x in (photographs.x_train, photographs.x_test))
    mean, deviation = X[:-NUM_VAL].mean(axis=0), X[:-NUM_VAL].std(axis=0)
    X, X_test, y = (X - mean) / deviation, (X_test - mean) / deviation, photographs.y_train
    data = {"X_train": X[:-NUM_VAL], "y_train": y[:-NUM_VAL], "X_val": X[-NUM_VAL:], "y_val": y[-NUM_VAL:]}

    start = time.perf_counter()
    solver = trained(solution, data, seed, NETWORK, TRAINING)
    test = solver.check_accuracy(X_test, photographs.y_test)
    whole = {
        "headline": HEADLINE,
        "sizes": f"{len(X) - NUM_VAL:,} training, {NUM_VAL:,} validation, {len(X_test):,} test",
        "seconds": time.perf_counter() - start,
    }

    start = time.perf_counter()
    few = {**data, "X_train": X[:50], "y_train": y[:50]}
    by_heart = trained(solution, few, seed, {"hidden_dims": [100, 100], "weight_scale": 0.03}, BY_HEART)
    return [
        Figure(what="fully connected network, Adam, CIFAR-10 validation", ours=solver.best_val_acc, **whole),
        Figure(what="the same network, CIFAR-10 test", ours=test, **whole),
        Figure(
            what="50 photographs by heart",
            # Not with best_params, those of the epoch that is best in validation: the end of training counts.
            ours=by_heart.train_acc_history[-1],
            headline=1.0,
            sizes="50 training",
            seconds=time.perf_counter() - start,
        ),
    ]


def trained(
    solution: dict[str, Any],
    data: dict[str, Any],
    seed: int,
    network: dict[str, Any],
    training: dict[str, Any],
) -> Any:
    """A Solver that has trained a network of float32 with Adam."""
    np.random.seed(seed)  # for dropout, whose masks come from np.random
    classes = int(data["y_train"].max()) + 1
    net = solution["FullyConnectedNet"](
        input_dim=data["X_train"].shape[1], num_classes=classes, dtype=np.float32, seed=seed, **network
    )
    config = {"learning_rate": LEARNING_RATE}
    solver = solution["Solver"](net, data, update_rule="adam", optim_config=config, seed=seed, **training)
    solver.train()
    return solver

"""What the solution's own network and Solver reach on CIFAR-10."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

NUM_VAL = 1000
NETWORK = {"hidden_dims": [256, 128], "dropout": 0.2, "reg": 1e-4, "weight_scale": 0.03}
TRAINING = {"learning_rate": 1e-3, "lr_decay": 0.9, "batch_size": 100, "num_epochs": 15}
HEADLINE = 0.50

Row = tuple[str, float, float, float, str]
"""Name of the figure, ours, the headline to beat (both shares), seconds, data sizes."""


def run(data_root: Path | str, seed: int = 0) -> list[Row]:
    """Train on 49,000 photographs with Adam, and on 50 of them by heart.

    Args:
        data_root: folder that holds cifar-10-batches-py.
        seed: of the weights, the batches and the dropout masks.

    Returns:
        Rows of the validation accuracy of the epoch that is best on 1,000 photographs, of the test accuracy
        with its parameters, and of the accuracy on 50 training photographs of a network that saw only these.
    """
    with mock.patch.dict(os.environ, AUTOGRADER_DATA=str(data_root)):
        photographs = load_dataset("cifar10")
    solution = load_cells(read_source(Path(__file__).with_name("modular_networks.py")))
    X, X_test = (x.reshape(len(x), -1) for x in (photographs.x_train, photographs.x_test))
    mean, deviation = X[:-NUM_VAL].mean(axis=0), X[:-NUM_VAL].std(axis=0)
    X, X_test, y = (X - mean) / deviation, (X_test - mean) / deviation, photographs.y_train
    data = {"X_train": X[:-NUM_VAL], "y_train": y[:-NUM_VAL], "X_val": X[-NUM_VAL:], "y_val": y[-NUM_VAL:]}

    start = time.perf_counter()
    solver = trained(solution, data, seed, NETWORK, TRAINING)
    test = solver.check_accuracy(X_test, photographs.y_test)
    seconds = time.perf_counter() - start
    sizes = f"{len(X) - NUM_VAL:,} training, {NUM_VAL:,} validation, {len(X_test):,} test"

    start = time.perf_counter()
    few = {**data, "X_train": X[:50], "y_train": y[:50]}
    by_heart = trained(
        solution,
        few,
        seed,
        {"hidden_dims": [100, 100], "weight_scale": 0.03},
        {"learning_rate": 1e-3, "batch_size": 25, "num_epochs": 20},
    )
    # best_params are those of the epoch that is best in validation; what counts here is the end of training.
    fifty = by_heart.train_acc_history[-1]
    return [
        ("fully connected network with Adam, CIFAR-10 validation", solver.best_val_acc, HEADLINE, seconds, sizes),
        ("the same network, CIFAR-10 test", test, HEADLINE, seconds, sizes),
        ("50 photographs by heart", fifty, 1.0, time.perf_counter() - start, "50 training"),
    ]


def trained(
    solution: dict[str, Any], data: dict[str, Any], seed: int, network: dict[str, Any], training: dict[str, Any]
) -> Any:
    """A Solver that has trained a network of float32 with Adam."""
    np.random.seed(seed)  # for dropout, whose masks come from np.random
    classes = int(data["y_train"].max()) + 1
    net = solution["FullyConnectedNet"](
        input_dim=data["X_train"].shape[1], num_classes=classes, dtype=np.float32, seed=seed, **network
    )
    options = {name: value for name, value in training.items() if name != "learning_rate"}
    config = {"learning_rate": training["learning_rate"]}
    solver = solution["Solver"](net, data, update_rule="adam", optim_config=config, seed=seed, **options)
    solver.train()
    return solver

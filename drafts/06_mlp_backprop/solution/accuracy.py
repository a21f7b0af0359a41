"""What the solution reaches on all of MNIST, beside the course's headline."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

HEADLINE = 0.963
"""Validation accuracy on MNIST that this assignment descends from."""
NUM_VAL = 10_000
SIZES = [784, 128, 64, 10]
EPOCHS, BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS = 10, 64, 0.1, 300


def run(data_root: Path | str, seed: int) -> list[dict[str, Any]]:
    """Train the solution's network on 50,000 images of MNIST.

    Args:
        data_root: the folder that holds MNIST/raw.
        seed: of the choice of the validation images, of the parameters at the start and of the order.

    Returns:
        One row for each figure: "figure", "ours" and "headline" (shares from 0 to 1; the headline is None
        where the course names none), "seconds" of training and "sizes".
    """
    before = os.environ.get("AUTOGRADER_DATA")
    os.environ["AUTOGRADER_DATA"] = str(data_root)
    try:
        mnist = load_dataset("mnist")
    finally:
        if before is None:
            del os.environ["AUTOGRADER_DATA"]
        else:
            os.environ["AUTOGRADER_DATA"] = before

    order = np.random.default_rng(seed).permutation(len(mnist.x_train))
    x, y = mnist.x_train[order].reshape(len(order), -1), mnist.y_train[order]
    mean, spread = x[NUM_VAL:].mean(), x[NUM_VAL:].std()
    x, x_test = (x - mean) / spread, (mnist.x_test.reshape(len(mnist.x_test), -1) - mean) / spread
    x_val, y_val, x, y = x[:NUM_VAL], y[:NUM_VAL], x[NUM_VAL:], y[NUM_VAL:]

    solution = load_cells(read_source(Path(__file__).with_name("mlp_backprop.py")))
    num_steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    rates = [
        float(solution["warmup_cosine"](t, num_steps, LEARNING_RATE, WARMUP_STEPS)) for t in range(num_steps)
    ]
    start = {name: value.astype(np.float32) for name, value in solution["initialize"](SIZES, seed).items()}
    begun = time.perf_counter()
    params, history = solution["train"](start, x, y, x_val, y_val, rates, EPOCHS, BATCH_SIZE, seed)
    seconds = time.perf_counter() - begun
    test = float(np.mean(solution["predict"](params, x_test) == mnist.y_test))
    sizes = f"{len(x):,} to train on, {len(x_val):,} for validation, {len(x_test):,} to test"
    val = history["val_accuracy"][-1]
    common = {"seconds": seconds, "sizes": sizes}
    return [
        {"figure": "MLP, MNIST, validation", "ours": val, "headline": HEADLINE} | common,
        {"figure": "MLP, MNIST, test", "ours": test, "headline": None} | common,
    ]

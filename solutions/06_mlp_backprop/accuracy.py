"""The reference solution on all of MNIST.

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

SOURCE = Path(__file__).with_name("mlp_backprop.py")
HEADLINE = 0.963
NUM_VAL = 10_000
SIZES = [784, 128, 64, 10]
EPOCHS, BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS = 10, 64, 0.1, 300


def run(seed: int = 0) -> list[Figure]:
    """Train on 50,000 images of MNIST with warm-up and cosine; shares of right answers.

    The headline is one for validation images: 10,000 of the training images, drawn anew for each seed. The
    test images have no headline.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    mnist = load_dataset("mnist")
    order = np.random.default_rng(seed).permutation(len(mnist.x_train))
    x, y = mnist.x_train[order].reshape(len(order), -1), mnist.y_train[order]
    mean, spread = x[NUM_VAL:].mean(), x[NUM_VAL:].std()
    x, x_test = (x - mean) / spread, (mnist.x_test.reshape(len(mnist.x_test), -1) - mean) / spread
    x_val, y_val, x, y = x[:NUM_VAL], y[:NUM_VAL], x[NUM_VAL:], y[NUM_VAL:]

    num_steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    rates = [solution.warmup_cosine(t, num_steps, LEARNING_RATE, WARMUP_STEPS) for t in range(num_steps)]
    start = {name: value.astype(np.float32) for name, value in solution.initialize(SIZES, seed).items()}
    begun = time.perf_counter()
    params, history = solution.train(start, x, y, x_val, y_val, rates, EPOCHS, BATCH_SIZE, seed)
    seconds = time.perf_counter() - begun

    network = f"MLP {'-'.join(map(str, SIZES))}, MNIST"
    training = f"{len(x):,} training"
    test = float(np.mean(solution.predict(params, x_test) == mnist.y_test))
    return [
        Figure(
            what=f"{network} validation", ours=history["val_accuracy"][-1], headline=HEADLINE,
            sizes=f"{training}, {len(x_val):,} validation", seconds=seconds,
        ),
        Figure(what=f"{network} test", ours=test, sizes=f"{training}, {len(x_test):,} test", seconds=seconds),
    ]  # fmt: skip

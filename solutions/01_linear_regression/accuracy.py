"""The straight line through 160 noisy readings, against the law of the two scales."""

from __future__ import annotations

import time
from pathlib import Path

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

LEARNING_RATE, EPOCHS = 0.1, 500
WITHIN = 0.01
"""Slope and intercept are to be right within 1 %."""


def run(seed: int = 0) -> list[Figure]:
    """Fit with the solution's own functions on standardised readings (a fifth is set aside, by `seed`) and
    return by how much, relatively, slope and intercept are off from 1.8 and 32.
    """
    solution = Namespace(load_cells(read_source(Path(__file__).with_name("linear_regression.py"))))
    data = load_dataset("celsius_fahrenheit")
    start = time.perf_counter()
    x_train, x_test, y_train, _ = solution.train_test_split(data.x_train, data.y_train, 0.2, seed)
    scaled, _, mean, std = solution.standardize(x_train, x_test)
    w, b, _ = solution.train(scaled, y_train, LEARNING_RATE, EPOCHS)
    w, b = solution.to_original_units(w, b, mean, std)
    seconds = time.perf_counter() - start
    sizes = f"{len(x_train)} readings to fit, {len(x_test)} set aside"
    return [
        Figure(
            what=f"{name}: {value:.3f}, off by",
            ours=abs(value / true - 1),
            headline=WITHIN,
            sizes=sizes,
            seconds=seconds,
            smaller_is_better=True,
        )
        for name, value, true in (("slope", float(w.item()), 1.8), ("intercept", float(b), 32.0))
    ]

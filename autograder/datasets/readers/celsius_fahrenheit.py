"""160 noisy pairs of temperatures, drawn by code from a fixed seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autograder.datasets.model import Dataset, first

_PAIRS = 160
_NOISE = 1.0  # standard deviation of the Fahrenheit reading, in degrees Fahrenheit
_SEED = 1724  # the year of Fahrenheit's paper in the Philosophical Transactions: any fixed number would do


def load(folder: Path, *, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """Return temperatures: x in degrees Celsius, float64 (N, 1); y in degrees Fahrenheit, float64 (N,).

    The training part holds 160 readings between -30 and 50 degrees, y = 1.8 x + 32 + noise of standard
    deviation 1. The held-out part is the exact table for -30, -25, ..., 50. `folder` is not used.
    """
    del folder
    random = np.random.RandomState(_SEED)  # its stream is frozen for good (NEP 19)
    celsius = random.uniform(-30.0, 50.0, size=(_PAIRS, 1))
    fahrenheit = 1.8 * celsius[:, 0] + 32.0 + random.normal(0.0, _NOISE, size=_PAIRS)
    table = np.arange(-30.0, 51.0, 5.0)[:, np.newaxis]
    x_train, y_train = first(celsius, fahrenheit, num_train, "num_train")
    x_test, y_test = first(table, 1.8 * table[:, 0] + 32.0, num_test, "num_test")
    return Dataset(
        name="celsius_fahrenheit",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=(),
        source="160 generated readings of a Celsius and a noisy Fahrenheit thermometer",
        embedded=True,
    )

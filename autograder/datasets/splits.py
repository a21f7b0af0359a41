"""Splits that are the same on every machine and at every call."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def stratified_split(
    labels: npt.NDArray[Any], test_fraction: float, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return shuffled (train, test) indices with `test_fraction` of each class held out.

    The permutation is NumPy's `RandomState`, whose stream is frozen for good (NEP 19);
    that of `default_rng` may change.
    """
    random = np.random.RandomState(seed)
    train: list[npt.NDArray[np.intp]] = []
    test: list[npt.NDArray[np.intp]] = []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        held_out = round(len(members) * test_fraction)
        test.append(members[:held_out])
        train.append(members[held_out:])
    return random.permutation(np.concatenate(train)), random.permutation(np.concatenate(test))

"""Photographs of hands that sign a letter, one folder a letter, as their distributor lays them out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.letters import ALPHABET, chosen_letters, chosen_part
from autograder.datasets.model import Dataset, DatasetDamaged, first
from autograder.datasets.photographs import open_photograph, reduced
from autograder.datasets.signs import checked_whole
from autograder.datasets.splits import stratified_split

UInt8 = npt.NDArray[np.uint8]

_UNSEEN = (3, 4, 5)
"""Hands that no training picture shows. The other two were photographed under five lights, these under one or
two.
"""
_TEST_FRACTION = 0.2
_SEED = 2011  # the year the photographs were published: any fixed number would do
_SUFFIXES = (".jpg", ".jpeg")
_HAND = re.compile(r"hand(\d+)_")
_SMALLEST, _LARGEST = 8, 128  # pixels


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    letters: str = ALPHABET,
    size: int = 32,
    held_out: str = "hands",
) -> Dataset:
    """Return the photographs: x uint8 of shape (N, 3, size, size), in RGB; y int64 of shape (N,).

    The training part shows the first two of five hands, four fifths of their pictures. Held out are the other
    three hands, or with held_out="images" the other fifth of the first two; the training part is the same for
    both. Label i belongs to letters[i]. Each photograph is reduced to `size` pixels.
    """
    chosen_letters(letters)
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    seen = chosen_part(held_out) == "images"
    paths, labels, whose = [], [], []
    for label, letter in enumerate(letters):
        found = sorted(path for path in (folder / letter).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not found:
            raise DatasetDamaged(f"{folder / letter} holds no photographs. Put them there again.")
        paths += found
        labels += [label] * len(found)
        whose += [_hand(path) for path in found]
    y, hand = np.array(labels, dtype=np.int64), np.array(whose)
    known = np.flatnonzero(~np.isin(hand, _UNSEEN))
    train, rest = stratified_split(y[known], _TEST_FRACTION, _SEED)
    # In any order, so that the first few are of all letters.
    strangers = np.random.RandomState(_SEED).permutation(np.flatnonzero(np.isin(hand, _UNSEEN)))
    parts = []
    for rows, count, what in (
        (known[train], num_train, "num_train"),
        (known[rest] if seen else strangers, num_test, "num_test"),
    ):
        rows, y_part = first(rows, y[rows], count, what)
        x_part = np.empty((len(rows), 3, size, size), dtype=np.uint8)
        for place, row in enumerate(rows):
            x_part[place] = reduced(open_photograph(paths[row]), size)
        parts.append((x_part, y_part))
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset(
        name="asl_letters",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(letters),
        source=f"photographs of two hands that sign a letter, {size} x {size} pixels (Barczak et al., 2011); "
        f"held out are {'other pictures of them' if seen else 'three other hands'}",
        embedded=False,
    )


def _hand(path: Path) -> int:
    """Whose hand a photograph shows: its name begins with handN."""
    found = _HAND.match(path.name)
    if not found:
        raise DatasetDamaged(f"{path} does not say in its name whose hand it shows. Put it there again.")
    return int(found[1])

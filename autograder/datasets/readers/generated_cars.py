"""Cars of many makes in a street, drawn by code from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.car_makes import Makes, draw_makes
from autograder.datasets.generated_cars import car_pictures
from autograder.datasets.letters import checked_share
from autograder.datasets.model import Dataset, DatasetError
from autograder.datasets.signs import checked_whole

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

_NUM_TRAIN, _NUM_TEST = 1200, 600
_MOST = 100_000
_MAKES = tuple(range(20))
_LARGEST_MAKE, _MOST_MAKES = 1_000_000, 1000
_SMALLEST, _LARGEST = 24, 128  # pixels; below, a grille is less than one
_SEED = 1886  # the year of the first motor car: any fixed number would do
_BLOCK = 40  # images drawn at a time: their pixels stay in the processor's cache
_TRAIN, _TEST, _MAKE = range(3)  # streams of random numbers


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    makes: Sequence[int] = _MAKES,
    size: int = 48,
    seed: int = _SEED,
    shift: float = 0.0,
) -> Dataset:
    """Return cars: x uint8 of shape (N, 3, size, size), red, green and blue; y int64 of shape (N,).

    Label i is the make with the number makes[i]; there are a million makes, and all those chosen are
    equally frequent. 1,200 pictures for training and 600 held out, or as many as asked for; the first ones
    are the same however many follow. Another `seed` gives other makes and other pictures. `shift`, from 0
    to 1, draws the held-out part from a harder distribution: directions, places and light vary more, and
    more stands in the way. `folder` is not used.
    """
    del folder
    numbers = _chosen_makes(makes)
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    seed = checked_whole(seed, 0, 2**63 - 1, "seed")
    harder = checked_share(shift, "shift")
    train = checked_whole(_NUM_TRAIN if num_train is None else num_train, 0, _MOST, "num_train")
    test = checked_whole(_NUM_TEST if num_test is None else num_test, 0, _MOST, "num_test")
    shapes = draw_makes([_random(seed, _MAKE, number) for number in numbers])
    x_train, y_train = _draw(train, shapes, size, (seed, _TRAIN), 0.0)
    x_test, y_test = _draw(test, shapes, size, (seed, _TEST), harder)
    return Dataset(
        name="generated_cars",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(f"make {number}" for number in numbers),
        source=f"generated pictures of cars of {len(numbers)} makes, {size} x {size} pixels",
        embedded=True,
    )


def _chosen_makes(makes: Sequence[int]) -> list[int]:
    """`makes` as a list, or `DatasetError` unless they are different numbers of makes."""
    listed = list(makes) if isinstance(makes, list | tuple | range | np.ndarray) else []
    if not 0 < len(listed) <= _MOST_MAKES:
        raise DatasetError(f"makes must be 1 to {_MOST_MAKES:,} different whole numbers, not {makes!r}.")
    numbers = [checked_whole(number, 0, _LARGEST_MAKE - 1, "each of makes") for number in listed]
    if len(set(numbers)) < len(numbers):
        raise DatasetError(f"makes must be different from each other, not {makes!r}.")
    return numbers


def _random(*words: int) -> np.random.RandomState:
    """A generator whose stream is frozen for good (NEP 19)."""
    return np.random.RandomState(np.random.SeedSequence(words).generate_state(4))


def _draw(count: int, shapes: Makes, size: int, stream: tuple[int, int], shift: float) -> tuple[UInt8, Int64]:
    """Draw `count` images in blocks, each from a seed of its own."""
    x = np.empty((count, 3, size, size), dtype=np.uint8)
    y = np.empty(count, dtype=np.int64)
    K = len(shapes.roof)
    for start in range(0, count, _BLOCK):
        random = _random(*stream, start)
        # Makes take turns, from block to block too, so that all are equally frequent.
        labels = random.permutation(np.arange(start, start + _BLOCK) % K).astype(np.int64)
        images = car_pictures(shapes.of(labels), size, random, shift)
        rows = slice(start, min(start + _BLOCK, count))
        x[rows], y[rows] = images[: rows.stop - start], labels[: rows.stop - start]
    return x, y

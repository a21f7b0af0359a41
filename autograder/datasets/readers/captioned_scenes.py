"""Generated pictures of coloured shapes with five captions each."""

from __future__ import annotations

from pathlib import Path

from autograder.datasets.model import Dataset, DatasetError
from autograder.datasets.scenes import VOCABULARY, draw_scenes
from autograder.datasets.signs import checked_whole

_NUM_TRAIN, _NUM_TEST = 2000, 500
_MOST = 100_000
_SMALLEST, _LARGEST, _STEP = 36, 144, 12  # pixels; a multiple of 12, so that a grid of 6 x 6 cells divides it
_SEED = 1972  # the year of Winograd's book on a program that talked about coloured blocks


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    size: int = 48,
    seed: int = _SEED,
    unseen: bool = False,
) -> Dataset:
    """Return scenes: x float32 of shape (N, 3, size, size) in 0..1, y int64 of shape (N, 5, 16).

    y holds five captions for each scene as token numbers, <START>, words, <END>, then <NULL>; `classes` is
    the vocabulary. 2,000 for training and 500 held out, or as many as asked for. With `unseen` each held-out
    scene holds a colour and shape that never go together in training. `folder` is not used.
    """
    del folder
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    if size % _STEP:
        raise DatasetError(f"size must be a multiple of {_STEP}, not {size}.")
    seed = checked_whole(seed, 0, 2**32 - 1, "seed")
    train = checked_whole(_NUM_TRAIN if num_train is None else num_train, 0, _MOST, "num_train")
    test = checked_whole(_NUM_TEST if num_test is None else num_test, 0, _MOST, "num_test")
    if not isinstance(unseen, bool):
        raise DatasetError(f"unseen must be True or False, not {unseen!r}.")
    seen = draw_scenes(train, (seed, 0), size=size)
    held_out = draw_scenes(test, (seed, 2 if unseen else 1), size=size, unseen=unseen)
    return Dataset(
        name="captioned_scenes",
        x_train=seen.images,
        y_train=seen.captions,
        x_test=held_out.images,
        y_test=held_out.captions,
        classes=VOCABULARY,
        source=f"generated pictures of coloured shapes, {size} x {size} pixels, with five captions each",
        embedded=True,
    )

"""What the sets of captioned photographs have in common: their pictures, and their captions as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autograder.datasets.captions import build_vocabulary, encode, words
from autograder.datasets.model import Dataset, check_count
from autograder.datasets.photographs import open_photograph, reduced
from autograder.datasets.signs import checked_whole

NUM_CAPTIONS = 5
_SMALLEST, _LARGEST = 16, 512  # pixels
_LONGEST = 100


def captioned_photographs(
    name: str,
    parts: tuple[Sequence[Path], Sequence[Path]],
    captions: Mapping[str, Sequence[str]],
    *,
    counts: tuple[int | None, int | None],
    size: int,
    length: int,
    min_count: int,
    source: str,
) -> Dataset:
    """Read the photographs of both parts and number their captions.

    Args:
        name: of the data set.
        parts: the photographs to train on, and those held out; captions[path.name] are those of a picture.
        captions: at least five for each picture; the first five are used.
        counts: how many of each part to keep, from the front; None for all.
        size: pixels of each side of a picture in the result; photographs are squashed to a square.
        length: of a caption in tokens, <START> and <END> included; longer ones are cut.
        min_count: a word that occurs less often in the training captions becomes <UNK>.
        source: for people.

    Returns:
        x uint8 (N, 3, size, size), y int64 (N, 5, length), and the vocabulary as `classes`. It comes from all
        training captions, whatever `counts` says, so that token numbers stay the same.
    """
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    length = checked_whole(length, 3, _LONGEST, "length")
    min_count = checked_whole(min_count, 1, 1_000_000, "min_count")
    check_count(counts[0], len(parts[0]), "num_train")
    check_count(counts[1], len(parts[1]), "num_test")
    said = [
        [[words(caption) for caption in captions[path.name][:NUM_CAPTIONS]] for path in part]
        for part in parts
    ]
    vocabulary = build_vocabulary([caption for of_one in said[0] for caption in of_one], min_count)
    arrays: dict[str, Any] = {}
    for key, part, of_part, count in zip(("train", "test"), parts, said, counts, strict=True):
        arrays[f"x_{key}"] = _pictures(part[:count], size)
        arrays[f"y_{key}"] = encode(of_part[:count], vocabulary, length).reshape(-1, NUM_CAPTIONS, length)
    return Dataset(name=name, classes=vocabulary, source=source, embedded=False, **arrays)


def _pictures(paths: Sequence[Path], size: int) -> npt.NDArray[np.uint8]:
    """The photographs in RGB, (N, 3, size, size)."""
    pictures = np.empty((len(paths), 3, size, size), dtype=np.uint8)
    for n, path in enumerate(paths):
        pictures[n] = reduced(open_photograph(path), size)
    return pictures

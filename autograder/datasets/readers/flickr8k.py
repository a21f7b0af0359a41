"""Flickr8k: 8,000 photographs, five captions each, and its published split."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from autograder.datasets.captioned import NUM_CAPTIONS, captioned_photographs
from autograder.datasets.model import Dataset, DatasetDamaged, DatasetError

_LISTS = {"train": "trainImages.txt", "dev": "devImages.txt", "test": "testImages.txt"}


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    held_out: Literal["test", "dev"] = "test",
    size: int = 128,
    length: int = 22,
    min_count: int = 5,
) -> Dataset:
    """Return photographs: x uint8 of shape (N, 3, size, size), y int64 of shape (N, 5, length).

    6,000 for training and 1,000 held out, those of the published "test" list or of the "dev" list. y holds
    token numbers, <START>, words, <END>, then <NULL>; `classes` is the vocabulary: the words that occur at
    least `min_count` times in training captions.
    """
    if held_out not in ("test", "dev"):
        raise DatasetError(f"held_out must be 'test' or 'dev', not {held_out!r}.")
    captions = _captions(folder / "captions.txt")
    train, test = (_listed(folder, part, captions) for part in ("train", held_out))
    return captioned_photographs(
        "flickr8k",
        (train, test),
        captions,
        counts=(num_train, num_test),
        size=size,
        length=length,
        min_count=min_count,
        source="Flickr8k, photographs with five captions each (Hodosh, Young and Hockenmaier, 2013)",
    )


def _captions(path: Path) -> dict[str, list[str]]:
    """The captions of each file name, from lines "name.jpg#number<tab>caption"."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(path), start=1):
        label, tab, caption = line.partition("\t")
        name, mark, _ = label.partition("#")
        if not tab or not mark:
            raise DatasetDamaged(
                f"{path}, line {number}, is not a file name, #, a number, a tab and a caption. "
                "Put the file there again."
            )
        found.setdefault(name, []).append(caption)
    return found


def _listed(folder: Path, part: str, captions: dict[str, list[str]]) -> list[Path]:
    """The photographs of a published list, in its order."""
    paths = []
    for name in _lines(folder / _LISTS[part]):
        if Path(name).name != name or len(captions.get(name, ())) < NUM_CAPTIONS:
            raise DatasetDamaged(
                f"{folder / _LISTS[part]} names {name[:60]!r}, of which captions.txt has not "
                f"{NUM_CAPTIONS} captions. Put both files there again."
            )
        paths.append(folder / "images" / name)
    return paths


def _lines(path: Path) -> list[str]:
    """The lines of a text file that hold something."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetDamaged(f"{path} is not a text in UTF-8. Put the file there again.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]

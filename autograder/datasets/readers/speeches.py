"""State of the Union addresses of the presidents of the United States, in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.model import Dataset, DatasetDamaged, first

_TEST_EVERY = 10
"""Every tenth address is held out, so that each century has some."""


def load(folder: Path, *, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """Return whole addresses, the oldest first: x an array of texts (dtype object), y int64, the year.

    Every tenth address is held out.
    """
    path = folder / "sotu.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetDamaged(f"{path} is not a text in UTF-8. Put it there again.") from error
    headed = [part.partition("\n") for part in ("\n" + text).split("\n== ")[1:]]
    try:
        years = np.array([int(header[:4]) for header, _, _ in headed], dtype=np.int64)
    except ValueError as error:
        raise DatasetDamaged(f"{path}: a header does not begin with a year. Put it there again.") from error
    if not headed:
        raise DatasetDamaged(f"{path} holds no address: none of its lines begins with '== '.")
    texts = np.empty(len(headed), dtype=object)
    texts[:] = [" ".join(body.split()) for _, _, body in headed]
    order = np.argsort(years, kind="stable")
    x, y = texts[order], years[order]
    held_out = np.arange(len(x)) % _TEST_EVERY == _TEST_EVERY - 1
    x_train, y_train = _first(x[~held_out], y[~held_out], num_train, "num_train")
    x_test, y_test = _first(x[held_out], y[held_out], num_test, "num_test")
    return Dataset(
        name="speeches",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=(),
        source="State of the Union addresses since 1790, every tenth held out",
        embedded=False,
    )


def _first(
    x: npt.NDArray[np.object_], y: npt.NDArray[np.int64], count: int | None, what: str
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    kept_x, kept_y = first(x, y, count, what)
    return kept_x, kept_y

"""Predicted classes held against the true ones: how many are right, and which are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from autograder.checking.assertions import assert_accuracy
from autograder.checking.failure import CheckFailure
from autograder.checking.pictures import picture

MOST_CLASSES = 32
HARDEST = 8
"""Images that are shown."""


def assert_classified(
    predictions: Any,
    labels: ArrayLike,
    at_least: float,
    *,
    classes: Sequence[str],
    images: npt.NDArray[Any],
    confidence: Any = None,
    what: str = "accuracy",
    hint: str = "",
) -> float:
    """`assert_accuracy`, with a failure that shows the confusions and the hardest images.

    Parameters
    ----------
    predictions : whatever came for an array (N,) of class numbers
    labels : array (N,)
        They stay with the grader.
    at_least : float
    classes : sequence of str
        The names of the classes.
    images : array (N, H, W) or (N, 3, H, W)
        What was classified, as the grader drew it. The failure shows some to the student: draw them afresh
        for each submission.
    confidence : array (N,), optional
        The probability that each prediction got: the surest errors are shown first. Anything else that a
        submission says counts as nothing.
    what, hint : str

    Returns
    -------
    float
        The accuracy.
    """
    truth = np.asarray(labels)
    try:
        return assert_accuracy(predictions, truth, at_least, what=what, hint=hint)
    except CheckFailure as failure:
        guess = np.asarray(predictions)
        if guess.shape == truth.shape and guess.dtype.kind in "iu":
            _explain(failure, guess.astype(np.int64), truth, list(classes), images, confidence)
        raise


def _explain(
    failure: CheckFailure,
    guess: npt.NDArray[np.int64],
    truth: npt.NDArray[np.int64],
    classes: list[str],
    images: npt.NDArray[Any],
    confidence: Any,
) -> None:
    """Put the confusions and the hardest images into the finding."""
    finding, count = failure.finding, len(classes)
    known = (guess >= 0) & (guess < count)
    table = np.zeros((count, count), dtype=np.int64)
    np.add.at(table, (truth[known], guess[known]), 1)
    wrong = table - np.diag(np.diag(table))
    if count <= MOST_CLASSES and wrong.any():
        finding.error_map = [[float(cell) for cell in row] for row in wrong]
        finding.error_map_axes = ("true class", "predicted class")
        finding.error_map_what = "images confused"
    finding.got = "\n".join(_by_class(table, np.bincount(truth, minlength=count), classes))
    if not known.all():
        finding.got += f"\n{int((~known).sum())} predictions are not between 0 and {count - 1}"
    elif wrong.any():
        true, taken = np.unravel_index(int(wrong.argmax()), wrong.shape)
        finding.where = f"{classes[true]} is taken for {classes[taken]} {wrong[true, taken]} times"
    sure = _probabilities(confidence, len(truth))
    order = np.arange(len(truth)) if sure is None else np.argsort(-sure, kind="stable")
    for index in [int(i) for i in order if guess[i] != truth[i] and known[i]][:HARDEST]:
        so_sure = "" if sure is None else f" ({sure[index]:.0%})"
        caption = f"{classes[truth[index]]}, taken for {classes[guess[index]]}{so_sure}"
        finding.pictures.append(picture(images[index], caption))


def _probabilities(confidence: Any, count: int) -> npt.NDArray[np.float64] | None:
    """What a submission says of its confidence, as numbers in 0..1; None where it says nothing of use."""
    if not isinstance(confidence, np.ndarray) or confidence.shape != (count,) or confidence.dtype.kind != "f":
        return None
    return np.asarray(np.clip(np.nan_to_num(confidence.astype(np.float64)), 0.0, 1.0))


def _by_class(table: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], classes: list[str]) -> list[str]:
    """A line for each class: the share that is right, and what else it is most often taken for."""
    width = max(map(len, classes))
    lines = []
    for number, name in enumerate(classes):
        others = table[number].copy()
        others[number] = 0
        share = f"{table[number, number] / max(1, counts[number]):4.0%}"
        taken = f", taken for {classes[int(others.argmax())]}: {others.max()}" if others.any() else ""
        lines.append(f"{name:<{width}} {share} right{taken}")
    return lines

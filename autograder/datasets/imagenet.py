"""ImageNet's 1,000 classes, and the halves into which one photograph of each is cut."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

NUM_CLASSES = 1000
_SEED = 2012  # the year of the challenge whose classes these are: any fixed number would do


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names by class number, in the order that pretrained networks use."""
    text = resources.files("autograder.datasets").joinpath("recorded", "imagenet_classes.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())


def halves() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the class numbers of the two halves, (500,) each: one to decide by, one held out."""
    order = np.random.RandomState(_SEED).permutation(NUM_CLASSES)  # its stream is frozen for good (NEP 19)
    return order[: NUM_CLASSES // 2], order[NUM_CLASSES // 2 :]

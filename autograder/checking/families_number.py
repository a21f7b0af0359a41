"""Families of wrong single numbers: a count or per cent where a share is meant, a spread drawn with another
factor, a penalty that is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.checking.named_numbers import NamedNumbers
from autograder.checking.relation import Relation, Tolerance

Array = NDArray[Any]

STATISTIC = 0.01
"""A check of one number that allows so large a relative error is mostly one of numbers drawn at random."""

SPREADS = (
    (math.sqrt(2), "the square root of 2"),
    (1 / math.sqrt(2), "1 over the square root of 2"),
    (2.0, "2"),
    (0.5, "1/2"),
)
"""Factors by which a standard deviation is often wrong: few, for they are told from others by chance only."""


def share_relations(g: Array, e: Array, numbers: NamedNumbers, tolerance: Tolerance) -> Iterator[Relation]:
    """Shares between 0 and 1 that came in per cent, or as counts.

    Shares of a few examples are fractions between which many a relation holds by chance; but no share is
    above 1, and these are, by a factor of exactly 100 or of a length in the call.
    """
    if not ((e >= 0) & (e <= 1)).all() or g.max() <= 1:
        return
    factor = float(np.sum(g * e) / np.sum(e * e))
    if not tolerance.close(g, factor * e):
        return
    count = round(factor)
    where = numbers.sizes.get(count, "")
    if not tolerance.near(factor, count) or not (where or count == 100):
        return
    what = "The result is" if e.ndim == 0 else "Every number is"
    if not where:
        yield Relation(
            "scaled", f"{what} the right one times 100: a share goes from 0 to 1, not to 100 per cent."
        )
    elif tolerance.close(np.round(g), g):
        yield Relation(
            "scaled", f"{what} the right one times {count}, and {count} is {where}: a count, no share."
        )


def spread_relations(g: Array, e: Array, rtol: float) -> Iterator[Relation]:
    """One statistic of random numbers, known to `rtol` and no better: a standard deviation, most often.

    Half of `rtol` decides, which the suites choose at several standard errors.
    """
    value, right = float(g), float(e)
    if right <= 0:
        return
    if value == 0:
        yield Relation("zeros", "The result is 0: these numbers do not differ at all.", weak=True)
    about = "as nearly as random numbers tell"
    for image, words in ((right * right, "square"), (math.sqrt(right), "square root")):
        if math.isclose(value, image, rel_tol=rtol / 2):
            yield Relation("function", f"The result is the {words} of the right one, {about}.", weak=True)
    for factor, words in SPREADS:
        if math.isclose(value, factor * right, rel_tol=rtol / 2):
            yield Relation("scaled", f"The result is the right one times {words}, {about}.", weak=True)
    if math.isclose(value, 1.0, rel_tol=rtol / 2):
        yield Relation("scaled", f"The result is 1, {about}: nothing scales these numbers.", weak=True)


def penalty_relations(g: Array, e: Array, numbers: NamedNumbers, tolerance: Tolerance) -> Iterator[Relation]:
    """A loss is off by a multiple of the sum of squares of an argument, or of all matrices (or all vectors)
    of a dictionary.
    """
    difference = float(g - e)
    for name, arrays in (
        *((name, (array,)) for name, array in numbers.arrays.items() if array.size >= 2),
        *numbers.groups.items(),
    ):
        squares = sum(float(np.sum(array * array)) for array in arrays)
        factor = difference / squares if squares else 0.0
        words = numbers.strength_in_words(abs(factor), max(tolerance.factor, 1e-6)) if factor else ""
        if words:
            sign = "small" if factor < 0 else "large"
            yield Relation(
                "term",
                f"The result is too {sign} by the sum of squares of {name} times {words}: a penalty is "
                "missing, too many, or has another factor.",
            )

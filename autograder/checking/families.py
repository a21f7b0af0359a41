"""Simple families of wrong answers, recognised from the numbers alone: the right result scaled, transposed,
negated, summed over one axis too many, shifted by one step, and so on.

Where no mistake of the bank explains a failed answer, one true sentence about it still helps. A relation is
named only when it holds for every element to a tight tolerance and could not hold by chance: the right result
is not zero, not constant where that matters, and a factor of a single number has a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.checking.families_number import (
    STATISTIC,
    penalty_relations,
    share_relations,
    spread_relations,
)
from autograder.checking.families_shape import MAX_AXES, shape_relations
from autograder.checking.named_numbers import NamedNumbers
from autograder.checking.relation import FLOAT32_RTOL, Relation, Tolerance, is_generic, varies, words_of

Array = NDArray[Any]

MAX_SIZE = 1_000_000
"""Elements; a larger answer is not compared, for that would hold the grader up."""

LEAST_DIFFERENT = 4
"""So many different numbers must be in another order before that is called one."""

LEAST_SLICES = 8
"""Among fewer slices, those of a few classes say, the right ones stand together at one end by chance."""

FUNCTIONS: tuple[tuple[Callable[[Array], Array], str], ...] = (
    (np.square, "the square of the right one"),
    (np.sqrt, "the square root of the right one"),
    (lambda e: 1 / e, "1 over the right one"),
    (lambda e: 1 - e, "1 minus the right one"),
    (np.abs, "the absolute value of the right one"),
    (np.log, "the logarithm of the right one"),
    (np.exp, "the exponential of the right one"),
)


def relate(
    got: Array, expected: Array, numbers: NamedNumbers, *, rtol: float, atol: float
) -> Relation | None:
    """How a wrong answer relates to the right one, or None when it is none of the families.

    Args:
        got: the answer, of any shape and a numeric dtype.
        expected: the right result.
        numbers: what the call offers for naming a factor.
        rtol: relative tolerance of the check that failed; a relation is held to the same one.
        atol: absolute tolerance of the check that failed, as a share of the largest expected value.
    """
    if not got.size or not expected.size or "c" in (got.dtype.kind, expected.dtype.kind):
        return None
    if max(got.size, expected.size) > MAX_SIZE or max(got.ndim, expected.ndim) > MAX_AXES:
        return None
    if got.dtype.kind not in "biuf" or expected.dtype.kind not in "biuf":
        return None
    if got.dtype.kind == "b" and expected.dtype.kind == "b":
        inverted = got.shape == expected.shape and got.size > 1 and bool((got != expected).all())
        return Relation("sign", "Every yes is a no, and every no a yes.") if inverted else None
    g, e = got.astype(np.float64), expected.astype(np.float64)
    if not np.isfinite(e).all() or not np.any(e):
        return None
    tolerance = Tolerance.of(rtol, atol, got.dtype)
    with np.errstate(all="ignore"):
        if not np.isfinite(g).all():
            return _not_finite(g, e, tolerance)
        if g.shape != e.shape:
            relations = shape_relations(g, e, tolerance)
        elif e.ndim == 0 and rtol >= STATISTIC:
            relations = spread_relations(g, e, rtol)
        else:
            relations = _same_shape(g, e, got.dtype, expected.dtype, numbers, tolerance)
        return next(relations, None)


def relate_lists(got: list[Any], expected: list[Any], rtol: float, atol: float) -> Relation | None:
    """The same for two lists of numbers of one length or another: a history, say."""
    if min(len(got), len(expected)) < 4 or not all(
        isinstance(item, int | float | np.number) and not isinstance(item, bool) for item in (*got, *expected)
    ):
        return None
    return relate(np.asarray(got), np.asarray(expected), NamedNumbers(), rtol=rtol, atol=atol)


def _not_finite(g: Array, e: Array, tolerance: Tolerance) -> Relation | None:
    if g.shape != e.shape:
        return None
    finite = np.isfinite(g)
    count = int((~finite).sum())
    if finite.any() and np.any(e[finite]) and tolerance.close(g[finite], e[finite]):
        return Relation(
            "unstable",
            f"Right wherever it is finite, but {count} of {g.size} elements are inf or NaN: look for exp of "
            "a large number, the logarithm of 0, or a division by 0.",
        )
    return None


def _same_shape(
    g: Array,
    e: Array,
    got: np.dtype[Any],
    expected: np.dtype[Any],
    numbers: NamedNumbers,
    tolerance: Tolerance,
) -> Iterator[Relation]:
    yield from _reordered(g, e, tolerance)
    if expected.kind in "biu":
        yield from _off_by_one(g, e)
        return
    yield from share_relations(g, e, numbers, tolerance)
    if is_generic(e):
        yield from _precision(g, e, got, expected)
        yield from _scaled(g, e, numbers, tolerance)
        yield from _zeros(g, e)
        yield from _functions(g, e, tolerance)
        yield from _constant_difference(g, e, tolerance)
        yield from _reduced(g, e, tolerance)
        yield from _change(g, e, numbers, tolerance)
        yield from _term(g, e, numbers, tolerance)
        yield from _slicewise(g, e, tolerance)
        yield from _part(g, e, tolerance)


def _precision(g: Array, e: Array, got: np.dtype[Any], expected: np.dtype[Any]) -> Iterator[Relation]:
    error = np.abs(g - e)
    if not (error <= FLOAT32_RTOL * np.maximum(np.abs(e), 1e-2 * np.abs(e).max())).all():
        return
    if got == np.float32 and expected == np.float64:
        yield Relation(
            "precision",
            "Right to single precision only: the result is float32, and float64 was expected. "
            "Look for astype(np.float32) or an array created as float32.",
        )
    else:
        digits = int(np.floor(-np.log10(float((error / np.abs(e).max()).max()))))
        yield Relation(
            "precision",
            f"Right to about {digits} digits and no further: look for float32 on the way, for rounding, or "
            "for a small constant that is added where it matters.",
        )


def _scaled(g: Array, e: Array, numbers: NamedNumbers, tolerance: Tolerance) -> Iterator[Relation]:
    factor = float(np.sum(g * e) / np.sum(e * e))
    if factor == 0 or not tolerance.close(g, factor * e):
        return
    what = "The result is" if e.ndim == 0 else "Every element is"
    yield from _by_a_factor(what, factor, numbers, tolerance, few=not varies(e) or e.size < LEAST_DIFFERENT)


def _by_a_factor(
    what: str, factor: float, numbers: NamedNumbers, tolerance: Tolerance, *, few: bool = False
) -> Iterator[Relation]:
    """`what`, "Every element is" say, the right one times a factor other than 0 and 1; `few` where that is
    said of next to a single number.
    """
    negative = "minus " if factor < 0 else ""
    if tolerance.near(factor, -1.0):
        yield Relation("sign", f"{what} right but for its sign.")
        return
    words = numbers.factor_in_words(abs(factor), tolerance.factor)
    if not words and few:  # any number is some multiple of any other
        return
    if words in ("2", "1/2"):
        times = "twice" if words == "2" else "half"
        other = ", with the other sign" if negative else ""
        yield Relation("scaled", f"{what} {times} the right one{other}.", weak=few)
    elif words:
        yield Relation("scaled", f"{what} the right one times {negative}{words}.")
    else:
        yield Relation("scaled", f"{what} the right one times {factor:.6g}: a factor is missing or too many.")


def _zeros(g: Array, e: Array) -> Iterator[Relation]:
    if g.ndim and g.size > 2 and not np.any(g) and np.count_nonzero(e) > 1:
        yield Relation(
            "zeros", "Every element is 0: look for a result that is never written to, or cut to 0."
        )


def _functions(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    what = "The result is" if e.ndim == 0 else "Every element is"
    for function, words in FUNCTIONS:
        image = function(e)
        if np.isfinite(image).all() and varies(image, e.size) and tolerance.close(g, image):
            yield Relation("function", f"{what} {words}.")


def _reordered(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    """The right elements at other places: transposed, one step late, reversed."""
    if len(np.unique(e)) < LEAST_DIFFERENT:
        return
    if e.ndim == 2 and e.shape[0] == e.shape[1] > 1 and tolerance.close(g, e.T):
        yield Relation("transposed", "The result is transposed: rows and columns are exchanged.")
    for axes in _permutations(e.ndim):
        moved = e.transpose(axes)
        if tolerance.close(g.ravel(), moved.ravel()):
            yield Relation(
                "transposed",
                f"The right numbers in another order: they are those of transpose{axes}, reshaped to "
                "the right shape. A reshape does not exchange axes.",
            )
    for axis, size in enumerate(e.shape):
        if size < 3:
            continue
        g0, e0 = np.moveaxis(g, axis, 0), np.moveaxis(e, axis, 0)
        if not varies_along(e0):
            continue
        for shift, words in ((1, "one step late"), (-1, "one step early")):
            ours, theirs = (g0[1:], e0[:-1]) if shift == 1 else (g0[:-1], e0[1:])
            if size > 3 - (e.ndim > 1) and tolerance.close(ours, theirs):
                along = "" if e.ndim == 1 else f" along axis {axis}"
                yield Relation("offset", f"The right numbers, but {words}{along}: an index is off by one.")
        if tolerance.close(g0, e0[::-1]):
            yield Relation("reversed", f"The right numbers in reverse order along axis {axis}.")


def _constant_difference(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    if e.size < 3 or not varies(e):
        return
    value = float((g - e).mean())
    if value and tolerance.close(g, e + value):
        direction = "large" if value > 0 else "small"
        yield Relation("shifted", f"Every element is too {direction} by the same amount, {abs(value):.6g}.")


def _off_by_one(g: Array, e: Array) -> Iterator[Relation]:
    if len(np.unique(e)) >= LEAST_DIFFERENT:
        for step, direction in ((1, "large"), (-1, "small")):
            if np.array_equal(g, e + step):
                yield Relation("offset", f"Every number is one too {direction}.")


def _reduced(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    """The sum, mean or maximum of the right elements along an axis, at all places along it."""
    for axis, size in enumerate(e.shape):
        if size < 2 or e.size == size == 2 or not varies_along(np.moveaxis(e, axis, 0)):
            continue
        for reduction, words in (
            (np.sum, "sum"),
            (np.mean, "mean"),
            (np.max, "largest"),
            (np.min, "smallest"),
        ):
            one = reduction(e, axis=axis, keepdims=True)
            if tolerance.close(g, np.broadcast_to(one, e.shape)):
                what = (
                    f"the {words} of the right ones" if words in ("sum", "mean") else f"the {words} right one"
                )
                yield Relation("broadcast", f"All elements along axis {axis} are the same: {what} along it.")


def _term(g: Array, e: Array, numbers: NamedNumbers, tolerance: Tolerance) -> Iterator[Relation]:
    """The difference is a multiple of an argument (a gradient) or of its sum of squares (a loss)."""
    if e.ndim == 0:
        yield from penalty_relations(g, e, numbers, tolerance)
    difference = g - e
    for name, array in numbers.arrays.items():
        if array.shape == e.shape and e.size >= 3 and varies(array):
            factor = float(np.sum(difference * array) / np.sum(array * array))
            if (
                factor
                and tolerance.close(g, e + factor * array)
                and tolerance.close(difference, factor * array, 1e2)
                and not tolerance.close(g, factor * array, 1e2)  # the right result is lost beside it
            ):
                words = words_of(factor, numbers, tolerance)
                yield Relation(
                    "term",
                    f"The difference from the right result is exactly {words} times {name}: a term with it "
                    "is missing, too many, or has another factor.",
                )


def _change(g: Array, e: Array, numbers: NamedNumbers, tolerance: Tolerance) -> Iterator[Relation]:
    """The change from an argument has a factor: the step of an update rule is too long, or goes uphill.

    Every element must change. Where some should stay as they are (a ReLU of x) this says nothing of use.
    """
    for name, array in numbers.arrays.items():
        if array.shape != e.shape or e.size < LEAST_DIFFERENT:
            continue
        wanted, ours = e - array, g - array
        if not varies(wanted) or np.abs(wanted).min() <= 1e-6 * np.abs(wanted).max():
            continue
        factor = float(np.sum(ours * wanted) / np.sum(wanted * wanted))
        if (
            factor
            and tolerance.close(g, array + factor * wanted)
            and tolerance.close(ours, factor * wanted, 1e2)
        ):
            yield from _by_a_factor(f"The change from {name} is", factor, numbers, tolerance)


def _slicewise(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    """Every slice along an axis has a factor, or an offset, of its own."""
    if e.ndim < 2:
        return
    for axis, size in enumerate(e.shape):
        if size < 3:
            continue
        g0, e0 = np.moveaxis(g, axis, 0), np.moveaxis(e, axis, 0)
        if not varies_along(e0):
            continue
        squares = np.sum(e0 * e0, axis=0)
        if (squares > 0).all():
            factors = np.sum(g0 * e0, axis=0) / squares
            if (factors != 0).all() and tolerance.close(g0, factors * e0):
                yield Relation(
                    "scaled",
                    f"The elements along axis {axis} have the right ratios to each other, but each such row "
                    "has a factor of its own: something that differs between them is left out or too many.",
                )
        offsets = np.mean(g0 - e0, axis=0)
        if tolerance.close(g0, e0 + offsets):
            yield Relation(
                "shifted",
                f"The elements along axis {axis} have the right differences from each other, but each such "
                "row is shifted by a number of its own.",
            )


def _part(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    """Right for the slices at one end of an axis, and wrong for all others throughout."""
    right = tolerance.elements(g, e)
    for axis, size in enumerate(e.shape):
        if size < 3 or (e.ndim > 1 and e.size == size):  # single elements are right here and there by chance
            continue
        r0, e0 = np.moveaxis(right, axis, 0).reshape(size, -1), np.moveaxis(e, axis, 0).reshape(size, -1)
        whole = np.asarray(r0.all(axis=1))
        count = int(whole.sum())
        if not 0 < count < size or not np.any(e0[whole]):
            continue
        unwritten = not np.moveaxis(g, axis, 0)[~whole].any()
        if e.ndim > 1 and size < LEAST_SLICES and not unwritten:
            continue
        compared = e0[~whole] != 0  # where a ReLU gives 0, an answer without it is wrong by chance
        if compared.mean() < 0.5 or r0[~whole][compared].mean() > 0.25:  # not wrong slice by slice
            continue
        first, last = bool(whole[:count].all()), bool(whole[size - count :].all())
        if count == size - 1:
            place = "first" if last else "last" if first else f"one with index {int(np.argmin(whole))}"
            yield Relation("partial", f"Right along axis {axis} but for the {place}.")
        elif (first or last) and count > 1:
            end = "first" if first else "last"
            yield Relation(
                "partial",
                f"Right for the {end} {count} along axis {axis}, wrong for the other {size - count}.",
            )


def varies_along(moved: Array) -> bool:
    """Whether an array differs along its first axis."""
    return bool(np.ptp(moved, axis=0).max() > 1e-6 * np.abs(moved).max())


def _permutations(ndim: int) -> list[tuple[int, ...]]:
    return (
        [axes for axes in permutations(range(ndim)) if axes != tuple(range(ndim))] if 2 <= ndim <= 4 else []
    )

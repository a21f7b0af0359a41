"""Families of wrong answers whose shape is wrong: an axis not summed, summed too many, broadcast, moved."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.checking.describe import shape_text
from autograder.checking.relation import Relation, Tolerance, is_generic, varies

Array = NDArray[Any]
MAX_AXES = 5


def shape_relations(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    """Relations between arrays of different shapes, the most telling first."""
    if g.ndim > MAX_AXES or e.ndim > MAX_AXES:
        return
    yield from _ones(g, e, tolerance)
    yield from _moved(g, e, tolerance)
    if is_generic(e):
        yield from _broadcast(g, e, tolerance)  # first: the mean of equal numbers is one of them, too
        yield from _not_reduced(g, e, tolerance)
        yield from _reduced_too_much(g, e, tolerance)
    yield from _same_numbers(g, e, tolerance)
    yield from _cut(g, e, tolerance)


def _ones(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    if g.squeeze().shape == e.squeeze().shape and tolerance.close(g.squeeze(), e.squeeze()):
        more = g.ndim > e.ndim
        yield Relation(
            "reshaped",
            f"The numbers are right; the shape has {'an axis' if abs(g.ndim - e.ndim) == 1 else 'axes'} of "
            f"length 1 {'too many' if more else 'too few' if g.ndim < e.ndim else 'at another place'}. "
            f"Look at keepdims and at slices such as x[:, {'0:1' if more else '0'}].",
        )


def _moved(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    if g.ndim != e.ndim or sorted(g.shape) != sorted(e.shape) or not varies(e):
        return
    for axes in permutations(range(e.ndim)):
        if tolerance.close(g, e.transpose(axes)):
            how = (
                "rows and columns are exchanged" if e.ndim == 2 else f"it is the right one's transpose{axes}"
            )
            yield Relation("transposed", f"The result is transposed: {how}.")


def _not_reduced(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    for axes in _subsets(g):
        if e.size * int(np.prod([g.shape[axis] for axis in axes])) != g.size:
            continue
        for reduction, words in ((np.sum, "summed"), (np.mean, "averaged")):
            reduced = reduction(g, axis=axes)
            if reduced.squeeze().shape == e.squeeze().shape and tolerance.close(
                reduced.squeeze(), e.squeeze()
            ):
                yield Relation(
                    "reduced",
                    f"The numbers are right but not yet {words} over {_axes(axes)}: shape "
                    f"{shape_text(g.shape)} came, and {shape_text(e.shape)} remains after that.",
                )


def _reduced_too_much(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    for axes in _subsets(e):
        if g.size * int(np.prod([e.shape[axis] for axis in axes])) != e.size:
            continue
        for reduction, words in ((np.sum, "sum"), (np.mean, "mean")):
            reduced = np.asarray(reduction(e, axis=axes))
            if reduced.squeeze().shape == g.squeeze().shape and tolerance.close(
                g.squeeze(), reduced.squeeze()
            ):
                yield Relation(
                    "reduced",
                    f"This is the {words} of the right result over {_axes(axes)}, which should have stayed.",
                )


def _broadcast(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    if g.size <= e.size or e.ndim == 0 or e.size < 2:
        return
    for shaped in {each.shape: each for each in (e, e[..., np.newaxis], e[np.newaxis])}.values():
        try:
            repeated = np.broadcast_to(shaped, g.shape)
        except ValueError:
            continue
        if tolerance.close(g, repeated):
            yield Relation(
                "broadcast",
                f"The right numbers, repeated: shape {shape_text(e.shape)} was broadcast to "
                f"{shape_text(g.shape)}.",
            )
    if g.ndim == 2 and g.shape[0] == g.shape[1] == e.size and tolerance.close(np.diagonal(g), e.ravel()):
        yield Relation(
            "broadcast",
            f"The right numbers stand on the diagonal of an array {shape_text(g.shape)}: shapes ({e.size},) "
            f"and ({e.size}, 1) were broadcast against each other.",
        )


def _same_numbers(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    if g.size != e.size or not varies(e):
        return
    if tolerance.close(g.ravel(), e.ravel()):
        yield Relation(
            "reshaped",
            f"The right numbers in the right order, but in shape {shape_text(g.shape)} where "
            f"{shape_text(e.shape)} was expected.",
        )
        return
    if e.ndim <= 4:
        for axes in permutations(range(e.ndim)):
            if tolerance.close(g.ravel(), e.transpose(axes).ravel()):
                yield Relation(
                    "transposed",
                    f"The right numbers in another order and shape: those of transpose{axes}, reshaped to "
                    f"{shape_text(g.shape)}.",
                )


def _cut(g: Array, e: Array, tolerance: Tolerance) -> Iterator[Relation]:
    """One or more slices at the beginning or the end are missing, or too many."""
    if g.ndim != e.ndim:
        return
    differing = [axis for axis in range(e.ndim) if g.shape[axis] != e.shape[axis]]
    if len(differing) != 1:
        return
    axis = differing[0]
    g0, e0 = np.moveaxis(g, axis, 0), np.moveaxis(e, axis, 0)
    few, many = (g0, e0) if len(g0) < len(e0) else (e0, g0)
    if len(few) < 2 or not varies(few):
        return
    count = len(many) - len(few)
    which = "is" if count == 1 else "are"
    missing = "missing" if many is e0 else "too many"
    for part, place in ((many[: len(few)], "last"), (many[count:], "first")):
        if tolerance.close(few, part):
            yield Relation(
                "offset" if count == 1 else "partial",
                f"The numbers are right, but the {place}{'' if count == 1 else f' {count}'} along axis "
                f"{axis} {which} {missing}.",
            )


def _subsets(array: Array) -> Iterator[tuple[int, ...]]:
    long = [axis for axis, size in enumerate(array.shape) if size > 1]
    for count in range(1, len(long) + 1):
        yield from combinations(long, count)


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"

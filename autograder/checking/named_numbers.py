"""Names for a number that turns up in an answer: "6, the length of axis 0 of X", "momentum = 0.9".

The numbers come from the call whose result is wrong: lengths of the axes of its arrays, its plain numbers,
and those in its dictionaries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.checking.describe import is_tensor

LEAST_DERIVED = 5
"""The smallest length n of which 2n, n/2, n/(n - 1) and roots are looked for."""
MAX_ENTRIES = 20
"""Entries of a dictionary that are looked at; parameters of a network can be many."""


@dataclass(frozen=True)
class NamedNumbers:
    """What the arguments of one call offer for naming a factor or a term."""

    sizes: Mapping[int, str] = field(default_factory=dict)
    """Length -> "the length of axis 0 of X", lengths above 1 only."""
    counts: Mapping[int, str] = field(default_factory=dict)
    """Number of elements -> "the number of elements of X", of arrays with several axes."""
    scalars: Mapping[str, float] = field(default_factory=dict)
    """Name -> value."""
    arrays: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Name -> floating-point array."""
    groups: Mapping[str, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)
    """"the matrices in params" -> these, and the vectors, where a dictionary holds several."""

    def factor_in_words(self, factor: float, rtol: float) -> str:
        """What a factor is in terms of the call; empty when it is none of its numbers."""
        return next((words for value, words in self._factors() if _near(factor, value, rtol)), "")

    def strength_in_words(self, factor: float, rtol: float) -> str:
        """What the strength of a penalty is in terms of the call: one of its plain numbers, if it can be."""
        plain = (each for name, value in self.scalars.items() for each in _of_scalar(name, value))
        words = next((words for value, words in plain if _near(factor, value, rtol)), "")
        return words or self.factor_in_words(factor, rtol)

    def _factors(self) -> Iterator[tuple[float, str]]:
        """(value, words), the likeliest first."""
        for value, words in ((2.0, "2"), (0.5, "1/2"), (4.0, "4"), (0.25, "1/4")):
            yield value, words
        for base in (2, 10):
            yield 1 / math.log(base), f"1/ln {base}: a logarithm to base {base} for the natural one"
        for size, where in self.sizes.items():
            is_size = f"and {size} is {where}"
            yield size, f"{size}, {is_size}"
            yield 1 / size, f"1/{size}, {is_size}"
        for size, where in self.sizes.items():
            if size < LEAST_DERIVED:  # 3/2 or the square root of 4 may come from anywhere
                continue
            is_size = f"and {size} is {where}"
            for value, words in (
                (2 * size, f"2 * {size}"),
                (size / 2, f"{size}/2"),
                (2 / size, f"2/{size}"),
                (0.5 / size, f"1/(2 * {size})"),
                (math.sqrt(size), f"the square root of {size}"),
                (1 / math.sqrt(size), f"1 over the square root of {size}"),
                (size / (size - 1), f"{size}/{size - 1}"),
                ((size - 1) / size, f"{size - 1}/{size}"),
                (math.sqrt(size / (size - 1)), f"the square root of {size}/{size - 1}"),
                (math.sqrt((size - 1) / size), f"the square root of {size - 1}/{size}"),
            ):
                yield value, f"{words}, {is_size}"
        for count, what in self.counts.items():
            yield count, f"{count}, and {count} is {what}"
            yield 1 / count, f"1/{count}, and {count} is {what}"
        for name, value in self.scalars.items():
            yield from _of_scalar(name, value)


def _of_scalar(name: str, value: float) -> Iterator[tuple[float, str]]:
    if not value % 1 or not math.isfinite(value):  # a factor of 5 may come from anywhere
        return
    yield value, f"{name} = {value:g}"
    yield 1 / value, f"1/{name} with {name} = {value:g}"
    yield 2 * value, f"2 * {name} with {name} = {value:g}"
    yield value / 2, f"{name}/2 with {name} = {value:g}"
    if 0 < value < 1 and not name.strip("']").endswith(("learning_rate", "lr", "reg")):  # no share of one
        yield 1 - value, f"1 - {name} with {name} = {value:g}"
        yield 1 / (1 - value), f"1/(1 - {name}) with {name} = {value:g}"
        yield value / (1 - value), f"{name}/(1 - {name}) with {name} = {value:g}"
        yield (1 - value) / value, f"(1 - {name})/{name} with {name} = {value:g}"


def _near(a: float, b: float, rtol: float) -> bool:
    return abs(a - b) <= rtol * abs(b)


def named_numbers(arguments: Mapping[str, Any]) -> NamedNumbers:
    """The numbers in the arguments of a call, by the arguments' names."""
    sizes: dict[int, list[tuple[int, str]]] = {}
    counts: dict[int, str] = {}
    scalars: dict[str, float] = {}
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, value in _flat(arguments):
        if is_tensor(value):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray) and value.ndim:
            for axis, size in enumerate(value.shape):
                if size > 1:
                    sizes.setdefault(size, []).append((axis, name))
            if value.ndim > 1 and value.size >= LEAST_DERIVED:
                counts.setdefault(value.size, f"the number of elements of {name}")
            if value.dtype.kind == "f":
                arrays[name] = value.astype(np.float64)
        elif isinstance(value, int | float | np.number) and not isinstance(value, bool | np.complexfloating):
            scalars[name] = float(value)
    named = {size: _where(places) for size, places in sizes.items()}
    return NamedNumbers(named, counts, scalars, arrays, _groups(arrays))


def _groups(
    arrays: Mapping[str, NDArray[np.float64]],
) -> dict[str, tuple[NDArray[np.float64], ...]]:
    """The matrices, and the vectors, of each dictionary that holds several: the weights, and the biases."""
    groups: dict[str, list[NDArray[np.float64]]] = {}
    for name, array in arrays.items():
        dictionary, inside, _ = name.partition("[")
        if inside:
            kind = "matrices" if array.ndim > 1 else "vectors"
            groups.setdefault(f"the {kind} in {dictionary}", []).append(array)
    return {words: tuple(several) for words, several in groups.items() if len(several) > 1}


def _flat(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        if isinstance(value, dict):
            for key, inner in list(value.items())[:MAX_ENTRIES]:
                if isinstance(key, str):
                    yield f"{name}[{key[:40]!r}]", inner
        else:
            yield name, value


def _where(places: list[tuple[int, str]]) -> str:
    axis = places[0][0]
    names = list(dict.fromkeys(name for other, name in places if other == axis))[:2]
    return f"the length of axis {axis} of {' and '.join(names)}"

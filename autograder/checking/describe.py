"""Values and calls in words: short, and the same in every panel, page and report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograder.sandbox.wire import Handle

MAX_CHARS = 1200
SMALL = 40
"""Arrays of up to so many elements are shown whole."""
WINDOW = 6
"""Rows and columns shown of a larger one."""


def is_tensor(value: Any) -> bool:
    """Whether `value` is exactly a torch tensor (without importing torch)."""
    return type(value).__module__.startswith("torch") and type(value).__name__ in ("Tensor", "Parameter")


def brief(value: Any, depth: int = 0) -> str:
    """A value in a few words: arrays by dtype and shape, small plain values as they are."""
    if isinstance(value, Handle):
        return f"an object ({value._typename.rpartition('.')[2]})"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array {shape_text(value.shape)}"
    if is_tensor(value):
        return f"{str(value.dtype).removeprefix('torch.')} tensor {shape_text(tuple(value.shape))}"
    if isinstance(value, np.generic):
        return f"{value.dtype} {value.item()!r}"[:80]
    if isinstance(value, list | tuple) and depth < 2:
        left, right = ("[", "]") if isinstance(value, list) else ("(", ")")
        parts = [brief(item, depth + 1) for item in value[:6]]
        if len(value) > 6:
            parts.append(f"... {len(value)} in all")
        return left + ", ".join(parts) + right
    if isinstance(value, dict) and depth < 2:
        parts = [f"{brief(key, 2)}: {brief(item, depth + 1)}" for key, item in list(value.items())[:8]]
        if len(value) > 8:
            parts.append(f"... {len(value)} keys")
        return "{" + ", ".join(parts) + "}"
    text = (
        repr(value)
        if value is None or isinstance(value, bool | int | float | str | bytes)
        else type(value).__name__
    )
    return text if len(text) <= 80 else text[:77] + "..."


def shape_text(shape: Sequence[int]) -> str:
    """A shape as NumPy writes it."""
    return "(" + ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"


def full(value: Any) -> str:
    """A value with its numbers, summarised where it is large."""
    if isinstance(value, np.ndarray) and value.ndim:
        body = np.array2string(
            value, precision=6, threshold=SMALL, edgeitems=2, max_line_width=76, suppress_small=False
        )
        text = f"{value.dtype} array {shape_text(value.shape)}\n{body}"
    elif is_tensor(value):
        text = f"{brief(value)}\n" + full(value.detach().cpu().numpy()).partition("\n")[2]
    elif isinstance(value, float | np.floating | np.ndarray):
        text = f"{float(value):.10g}" if np.isrealobj(value) and np.size(value) == 1 else str(value)
    else:
        text = brief(value)
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 4] + "\n..."


def excerpt(array: NDArray[Any], index: tuple[int, ...]) -> str:
    """An array's numbers: all of a small one, of a large one the part around `index`, with its place named.

    Args:
        array: of any shape.
        index: the element that matters.
    """
    if array.ndim == 0 or array.size <= SMALL:
        return full(array)
    if array.ndim == 1:
        start, stop = _window(index[0], array.size)
        body = np.array2string(array[start:stop], precision=6, max_line_width=90)
        return f"{array.dtype} array {shape_text(array.shape)}, of it [{start}:{stop}]\n{body}"
    rows = _window(index[-2], array.shape[-2])
    columns = _window(index[-1], array.shape[-1])
    part = array[index[:-2]][slice(*rows), slice(*columns)]
    spans = [_span(rows, array.shape[-2]), _span(columns, array.shape[-1])]
    place = ", ".join([*map(str, index[:-2]), *spans])
    body = np.array2string(part, precision=6, threshold=200, max_line_width=90)
    return f"{array.dtype} array {shape_text(array.shape)}, of it [{place}]\n{body}"


def _window(center: int, size: int) -> tuple[int, int]:
    start = max(0, min(center - WINDOW // 2, size - WINDOW))
    return start, min(size, start + WINDOW)


def _span(window: tuple[int, int], size: int) -> str:
    return ":" if window == (0, size) else f"{window[0]}:{window[1]}"


def call_text(name: str, args: Sequence[Any], kwargs: dict[str, Any], names: Sequence[str] | None) -> str:
    """A call as a reader would write it, arrays by dtype and shape.

    Args:
        name: the function.
        args: positional arguments.
        kwargs: keyword arguments.
        names: parameter names for the positional arguments, where they are known.
    """
    parts = []
    for position, value in enumerate(args):
        label = f"{names[position]} = " if names and position < len(names) else ""
        parts.append(label + brief(value))
    parts += [f"{key} = {brief(value)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(parts)})"

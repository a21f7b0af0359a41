"""Containers and keys as plain as `dict`, `tuple`, `int` and `str`, though of another type.

A history in a `defaultdict`, two results in a named tuple, sizes in a `torch.Size`: an equal value of the
plain type crosses in their place. What may carry behaviour of its own does not become plain.

This module is also loaded inside the sandbox and therefore imports nothing of the engine.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

_DICTS = (defaultdict, OrderedDict, Counter)
_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, bytes.__bytes__),
)


def plain_container(value: Any) -> dict[Any, Any] | tuple[Any, ...] | None:
    """An equal dict or tuple where nothing is lost by it, else None.

    Two kinds of `OrderedDict` belong to a PyTorch module and stay what they are, for they change with it: its
    state, which has `_metadata`, and its hooks, which are functions under numbers that no two runs share.
    """
    kind = type(value)
    if kind in _DICTS:
        alive = hasattr(value, "_metadata") or any(callable(item) for item in value.values())
        return None if alive else dict(value)
    if issubclass(kind, tuple) and _is_record(kind):
        return tuple(value)
    return None


def _is_record(kind: type) -> bool:
    """Whether it is a tuple with names for its places and nothing more: one of PyTorch's or a named tuple."""
    if kind.__module__ == "torch.return_types" or (kind.__module__, kind.__name__) == ("torch", "Size"):
        return True  # what torch.max and torch.sort return; a shape
    fields = getattr(kind, "_fields", None)
    if kind.__bases__ != (tuple,) or not isinstance(fields, tuple):
        return False
    return all(name in fields for name in vars(kind) if not name.startswith("_"))


def plain_key(key: Any) -> Any:
    """The key of a dictionary, a member of an `IntEnum` or a `torch.Size`, say, as the number, text or tuple
    that it is equal to.
    """
    if isinstance(key, bool | np.generic):
        return key
    if isinstance(key, tuple):
        return tuple(key)
    for base, convert in _CONVERSIONS:
        if isinstance(key, base):
            return key if type(key) is base else convert(key)
    return key

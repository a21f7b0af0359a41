"""Random numbers that depend on a seed alone, drawn from the generators that everybody shares."""

from __future__ import annotations

import random
import sys
from types import TracebackType
from typing import Any

import numpy as np


class RandomState:
    """The global random numbers of Python, NumPy and, where it is in use, PyTorch, as they are after a seed.

    Within `with` these are in force; a second `with` goes on where the first one stopped. In between the
    numbers are those of whoever else draws some.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._own: tuple[Any, ...] | None = None
        self._others: tuple[Any, ...] = ()

    def __enter__(self) -> RandomState:
        self._others = _states()
        if self._own is None:
            seed_all(self._seed)
        else:
            _put_back(self._own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own = _states()
        _put_back(self._others)


def seed_all(seed: int) -> None:
    """Seed the global generators, just as a sandboxed worker does before a test."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed % 2**63)


def _states() -> tuple[Any, ...]:
    torch = sys.modules.get("torch")
    numbers = torch.get_rng_state() if torch is not None else None
    return random.getstate(), np.random.get_state(), numbers


def _put_back(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch = sys.modules.get("torch")
    if torch is not None and states[2] is not None:
        torch.set_rng_state(states[2])

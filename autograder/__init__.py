"""Deep-learning exercises that grade themselves.

In a notebook: ``from autograder import check, load_dataset``.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "check", "load_dataset"]


def __getattr__(name: str) -> Any:
    # Lazy: the sandboxed worker imports this package for its codec alone and must not drag the engine in.
    if name == "check":
        from autograder.student import check

        return check
    if name == "load_dataset":
        from autograder.datasets import load_dataset

        return load_dataset
    raise AttributeError(f"module 'autograder' has no attribute {name!r}")

"""Reading pickles that hold arrays and plain containers, and nothing else.

CIFAR-10 is distributed as pickles, and a pickle can call any function. Here only the handful of names that
rebuild a NumPy array are admitted; everything else is refused before it is imported.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autograder.datasets.model import DatasetDamaged


def _encode(text: str, encoding: str = "utf-8") -> bytes:
    """Stand in for `_codecs.encode`, which Python 3 writes for bytes in old protocols, always as latin1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return text.encode(encoding)


# How NumPy pickles an array: by _reconstruct up to protocol 4, by _frombuffer in protocol 5. The name of the
# module depends on the NumPy that wrote the file (numpy.core before 2.0), the function is the installed one.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_FROMBUFFER: Any = np.empty(0).__reduce_ex__(5)[0]
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROMBUFFER,
    ("_codecs", "encode"): _encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs") from None


def read_pickle(path: Path) -> Any:
    """Read one pickle of arrays, strings, numbers and containers; Python 2 strings come back as bytes.

    Raises `DatasetDamaged` for anything else, without running it, and OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _ArrayUnpickler(file, encoding="bytes").load()
        except OSError:
            raise
        except Exception as error:  # a damaged pickle may raise nearly anything
            raise DatasetDamaged(
                f"{path} is damaged or not a data file ({error}). Delete it and fetch the data set again."
            ) from error

"""matplotlib where nobody is going to draw: imported when it is first used.

Nearly every notebook begins by importing it, and few draw in a cell that grading runs. Loaded, it is two
thirds of a worker's memory, which each fork for a test copies the page tables of. So where a submission does
not look as if it drew, `matplotlib` and `matplotlib.pyplot` are modules that stand for the real ones, and
turn to them at the first touch. Settings (`plt.rcParams["figure.figsize"] = (8, 6)`) wait for that, too.

Loaded inside the sandbox; imports nothing of the engine.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, MutableMapping
from typing import Any

_NAMES = ("matplotlib", "matplotlib.pyplot")
_TOUCHED = ("__path__", "__version__", "__all__")
"""What `import matplotlib.cm`, `matplotlib.__version__` and `from matplotlib.pyplot import *` ask for."""


class _Postponed(types.ModuleType):
    """Stands for the module of its name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _TOUCHED:
            raise AttributeError(name)  # whoever looks through all modules means none in particular
        return getattr(_real(self.__name__), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_real(self.__name__), name, value)


class _Settings(MutableMapping[str, Any]):
    """`rcParams`: what is only set is kept until matplotlib is there; to read one brings it in."""

    def __init__(self) -> None:
        self.waiting: dict[str, Any] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        if _is_postponed():
            self.waiting[name] = value
        else:
            _real("matplotlib").rcParams[name] = value

    def __getitem__(self, name: str) -> Any:
        return _real("matplotlib").rcParams[name]

    def __delitem__(self, name: str) -> None:
        del _real("matplotlib").rcParams[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_real("matplotlib").rcParams)

    def __len__(self) -> int:
        return len(_real("matplotlib").rcParams)

    def __getattr__(self, name: str) -> Any:
        return getattr(_real("matplotlib").rcParams, name)


def postpone_matplotlib() -> None:
    """Put the stand-ins in place. Nothing happens where matplotlib is not installed or loaded already."""
    if "matplotlib" in sys.modules or (real := importlib.util.find_spec("matplotlib")) is None:
        return
    settings = _Settings()
    for name in _NAMES:
        module = _Postponed(name)
        # Libraries look by the specification whether a package is there, and where its files are.
        specification = importlib.machinery.ModuleSpec(name, None)
        if name == real.name:
            specification.submodule_search_locations = real.submodule_search_locations
        module.__dict__["__spec__"] = specification
        module.__dict__["rcParams"] = settings
        sys.modules[name] = module
    sys.modules["matplotlib"].__dict__["pyplot"] = sys.modules["matplotlib.pyplot"]


def _is_postponed() -> bool:
    return isinstance(sys.modules.get("matplotlib"), _Postponed)


def _real(name: str) -> Any:
    """The module itself; at the first call it is imported, and what was set meanwhile takes effect."""
    standing = sys.modules.get("matplotlib")
    if isinstance(standing, _Postponed):
        waiting = standing.__dict__["rcParams"].waiting
        for postponed in _NAMES:
            sys.modules.pop(postponed, None)
        settings = importlib.import_module("matplotlib").rcParams
        for key, value in waiting.items():
            with contextlib.suppress(KeyError, ValueError):  # a wrong setting costs no answer
                settings[key] = value
    return importlib.import_module(name)

"""What a notebook finds at home and not in the sandbox: a keyboard, progress bars, Colab, a GPU, helpers.

Code that merely mentions one of them is honest, and should not lose an answer that stands below the mention.
Each stand-in does the least that lets such code go on. Loaded inside the sandbox; imports nothing of the
engine.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import functools
import importlib.machinery
import importlib.util
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

MAX_ANSWERS = 100
"""Empty answers that `input` gives before it says that the input has ended: a loop that waits for "quit"
ends."""
_NAMES_A_GPU = re.compile(r"\b(?:cuda|mps|xpu)\b")
_GPU = re.compile(r"(?:cuda|mps|xpu)(?::\d+)?")
_PAUSE, _PAUSE_HARD = "omp_pause_resource_all", 2
_WORKERS = 5  # the position of num_workers in DataLoader(dataset, batch_size, shuffle, ...)


def furnish(notebook: Any) -> None:
    """Put the stand-ins in place; `notebook` is what `get_ipython` returns."""
    builtins.input = _Keyboard()
    sys.modules.update(_progress_bars())
    sys.modules.update(_colab())
    if "IPython" in sys.modules:
        sys.modules["IPython"].get_ipython = lambda: notebook  # type: ignore[attr-defined]


def furnish_torch(source: str) -> None:
    """Before a cell is run: batches are loaded in this process, and where the cell names a GPU it gets the
    CPU. Without torch nothing happens.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    _load_in_this_process(torch.utils.data.DataLoader)
    if _NAMES_A_GPU.search(source):
        _stay_on_the_cpu(torch)


_thread_pools: list[Any] = []


def find_thread_pools() -> None:
    """Remember the OpenMP libraries that are loaded, while /proc can still be read."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123
        paths = {line.split()[-1] for line in maps if re.search(r"/lib(?:gomp|iomp5|omp)[^/]*\.so", line)}
        _thread_pools.extend(
            library for library in map(ctypes.CDLL, sorted(paths)) if hasattr(library, _PAUSE)
        )


def rest_thread_pools() -> None:
    """Before a fork: end OpenMP's threads, for which a child would wait for ever (they are not forked).

    A notebook that calls `torch.set_num_threads(2)` and trains has such threads. They start again when they
    are needed (omp_pause_resource_all, OpenMP 5.0, section 3.2.44).
    """
    for library in _thread_pools:
        library.omp_pause_resource_all(_PAUSE_HARD)


class _Keyboard:
    """`input` where nobody sits: every answer is an empty line, and after a while there is no more."""

    def __init__(self) -> None:
        self._answers = 0

    def __call__(self, prompt: object = "", /) -> str:
        self._answers += 1
        if self._answers > MAX_ANSWERS:
            raise EOFError("nobody answers while a submission is graded")
        return ""


class _Nothing:
    """Whatever is done with it gives nothing: `drive.mount("/content/drive")`."""

    def __call__(self, *_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing()


class _Bar:
    """A progress bar that only passes on what it is wrapped around (tqdm's class)."""

    def __init__(self, iterable: Any = None, *_: Any, total: Any = None, **__: Any) -> None:
        self.iterable, self.total, self.n = iterable, total, 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.iterable:
            yield item
            self.n += 1

    def __len__(self) -> int:
        return len(self.iterable)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, n: float = 1) -> None:
        self.n += n  # type: ignore[assignment]

    @staticmethod
    def write(*_: Any, **__: Any) -> None:
        """`tqdm.write`: prints beside the bar."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def _progress_bars() -> dict[str, types.ModuleType]:
    def trange(*bounds: int, **_: Any) -> _Bar:
        return _Bar(range(*bounds))

    names = ("tqdm", "tqdm.auto", "tqdm.notebook", "tqdm.std", "tqdm.autonotebook")
    bars = {"tqdm": _Bar, "trange": trange, "tqdm_notebook": _Bar, "tnrange": trange}
    return {name: _module(name, **bars) for name in names}


def _colab() -> dict[str, types.ModuleType]:
    names = ("google.colab", "google.colab.patches", "kaggle_secrets")
    modules = {name: _module(name, __getattr__=_Nothing().__getattr__) for name in names}
    if importlib.util.find_spec("google") is None:
        modules["google"] = _module("google", colab=modules["google.colab"])
    return modules


def _module(name: str, **content: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    # Libraries look whether a package is there by its specification.
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__dict__.update(content, __path__=[])
    return module


def _load_in_this_process(loader: Any) -> None:
    """A worker may start no process, and the values are the same without: `num_workers` counts as 0."""
    original = loader.__init__
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def init(self: Any, *args: Any, **named: Any) -> None:
        if len(args) > _WORKERS:
            args = (*args[:_WORKERS], 0, *args[_WORKERS + 1 :])
        elif "num_workers" in named:
            named["num_workers"] = 0
        for name in ("persistent_workers", "prefetch_factor", "multiprocessing_context", "timeout"):
            named.pop(name, None)
        original(self, *args, **named)

    loader.__init__ = init


@functools.cache
def _stay_on_the_cpu(torch: Any) -> None:
    """From here on a device that is a GPU means the CPU, in every call of torch."""
    from torch.overrides import TorchFunctionMode

    def on_cpu(value: Any) -> Any:
        if type(value) is str:
            return "cpu" if _GPU.fullmatch(value) else value
        return torch.device("cpu") if type(value) is torch.device and _GPU.match(value.type) else value

    class OnTheCpu(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.Tensor.cuda:
                return args[0]
            if function is torch.Tensor.to and len(args) > 1 and type(args[1]) is int:  # .to(0)
                args = (args[0], "cpu", *args[2:])
            named = {name: on_cpu(value) for name, value in (kwargs or {}).items()}
            return function(*map(on_cpu, args), **named)

    OnTheCpu().__enter__()
    torch.cuda.synchronize = lambda *_, **__: None
    torch.cuda.get_device_name = lambda *_, **__: "none"

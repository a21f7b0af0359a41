"""Parts of an allowed package that an assignment forbids: `numpy.gradient`, `torch.autograd`, `torch.nn`.

A whole package is forbidden by hiding its files (see `paths`). A part of one that is loaded anyway cannot
be hidden, so it is disarmed in the zygote, before any student code: the names that lead to it are replaced
wherever a dictionary holds them; the code of its Python functions is replaced in place, so that whoever
still finds one has nothing in hand; and its source is hidden, so that it cannot be loaded anew. What a
student copies by hand is the student's own code, and no ban can see the difference.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.abc
import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any, NoReturn

# What does the same work under another name, and must go with it: the engine in C, forward mode, and the
# dispatcher, by which every operator of C++ can be called.
_DISPATCHER = ("torch.ops", "torch._C._jit_get_operation", "torch._C._get_operation_overload")
_ALSO: dict[str, tuple[str, ...]] = {
    "torch.autograd": (
        "torch._C._EngineBase.run_backward", "torch._C._ImperativeEngine.run_backward",
        "torch._C._functorch._grad_increment_nesting", "torch._C._functorch._jvp_increment_nesting",
        "torch._C._enter_dual_level", "torch._make_dual", "torch._C.TensorBase.grad_fn", *_DISPATCHER,
    ),
    "torch.nn": ("torch._C._nn", *_DISPATCHER),
}  # fmt: skip
# What lies inside and differentiates nothing: `torch.no_grad` is a class of torch.autograd.grad_mode.
_HARMLESS = {
    "torch.autograd": (
        "torch.autograd.grad_mode", "torch.autograd.profiler", "torch.autograd.profiler_util",
        "torch.autograd.forward_ad",
    ),
    "torch.nn": ("torch.nn.parameter",),
}  # fmt: skip

# Asked for by what is allowed (printing a tensor), and answered with None.
_UNKNOWN = ("torch._C.TensorBase.grad_fn",)


class Forbidden(importlib.abc.MetaPathFinder):
    """Refuses imports with a sentence instead of a file-system error.

    Whether a package is there may be asked: libraries look for others that they know, without using them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """For a forbidden name, what raises ImportError when it is imported; None for every other."""
        for forbidden in self._names:
            if name == forbidden or name.startswith(forbidden + "."):
                return ModuleSpec(name, _Forbidding(forbidden))
        return None


class _Forbidding(importlib.abc.Loader):
    def __init__(self, forbidden: str) -> None:
        self._forbidden = forbidden

    def create_module(self, spec: ModuleSpec) -> NoReturn:
        raise ImportError(f"{self._forbidden} may not be used in this assignment")

    def exec_module(self, module: types.ModuleType) -> None:
        """Never called: no module is created."""


class Refusing:
    """Stands in for what is not allowed: whatever is done with it raises."""

    def __init__(self, name: str, passing: dict[str, Any] | None = None) -> None:
        self.__dict__.update(passing or {})
        self.__dict__["_name"] = name

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """RuntimeError that names what is not allowed."""
        raise RuntimeError(f"{self._name} may not be used in this assignment")

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return self()


def enforce(names: Sequence[str]) -> list[str]:
    """Put the bans in force in this process and its children.

    Returns the files whose sources must be hidden, so that nothing is loaded anew.
    """
    if not names:
        return []
    sys.meta_path.insert(0, Forbidden(names))
    ban = _Ban()
    for name in names:
        ban.add(name, name)
    hidden = list(ban.files)
    for name in names:
        for other in _ALSO.get(name, ()):
            ban.add(other, name)  # their files stay: torch itself reads on in them
    ban.replace()
    return hidden


class _Ban:
    """What is to be replaced, collected first: a pass through all objects takes a while."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self._stand_ins: dict[int, tuple[Any, Any]] = {}
        self._spaces: dict[int, str] = {}
        self._functions: list[tuple[types.FunctionType, str]] = []

    def add(self, name: str, said: str) -> None:
        """`name`, a module or something in one. `said` is what a student is told."""
        if name in sys.modules:
            self._add_module(name, said)
            return
        package, _, attribute = name.rpartition(".")
        owner = _find(package)
        # A look, not getattr: it must not load what is loaded on demand.
        target = vars(owner).get(attribute) if owner is not None and hasattr(owner, "__dict__") else None
        if target is None:
            return
        unknown = property(lambda _: None) if name in _UNKNOWN else None
        self._stand_ins[id(target)] = (target, unknown or Refusing(said))
        # NumPy's functions are objects in C around the one in Python.
        for function in (
            target,
            getattr(target, "__wrapped__", None),
            getattr(target, "_implementation", None),
        ):
            if type(function) is types.FunctionType:
                self.files.append(function.__code__.co_filename)
                self._functions.append((function, said))

    def _add_module(self, name: str, said: str) -> None:
        harmless = _HARMLESS.get(name, ())
        passing: dict[str, Any] = {}
        for kept in [kept for kept in harmless if kept in sys.modules]:
            own = [
                value
                for value in vars(sys.modules[kept]).values()
                if getattr(value, "__module__", "") == kept
            ]
            passing |= {key: value for key, value in vars(sys.modules[name]).items() if value in own}
            passing[kept.rpartition(".")[2]] = sys.modules[kept]
        for key in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
            if any(key == kept or key.startswith(kept + ".") for kept in harmless):
                continue
            module = sys.modules.pop(key)
            self._stand_ins[id(module)] = (module, Refusing(said, passing if key == name else None))
            self._spaces[id(vars(module))] = said
            if getattr(module, "__file__", None):
                self.files.append(str(module.__file__))

    def replace(self) -> None:
        """Put the stand-ins wherever a dictionary holds what is banned: modules, classes, registries."""
        everything = gc.get_objects()
        for value in everything:
            if type(value) is types.FunctionType and id(value.__globals__) in self._spaces:
                self._functions.append((value, self._spaces[id(value.__globals__)]))
        for function, said in self._functions:
            _empty(function, said)
        for module, _ in [pair for pair in self._stand_ins.values() if type(pair[0]) is types.ModuleType]:
            for attribute, value in list(vars(module).items()):
                if not attribute.startswith("__") and (callable(value) or type(value) is types.ModuleType):
                    vars(module)[attribute] = Refusing(self._spaces[id(vars(module))])
        for holder in everything:
            if type(holder) is not dict or holder is self._stand_ins:
                continue
            for key, value in list(holder.items()):
                if id(value) in self._stand_ins:
                    holder[key] = self._stand_ins[id(value)][1]
        for kind in [value for value in everything if issubclass(type(value), type)]:
            _forget(kind)


def _forget(kind: type) -> None:
    """A type remembers what it has looked up."""
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _find(name: str) -> Any:
    """A module, or a class in one, that is loaded."""
    if name in sys.modules:
        return sys.modules[name]
    package, _, attribute = name.rpartition(".")
    return getattr(sys.modules[package], attribute, None) if package in sys.modules else None


def _empty(function: types.FunctionType, said: str) -> None:
    """Let a function raise, whoever holds it. Its code must have as many free variables as it had."""
    free = [f"free_{number}" for number in range(len(function.__code__.co_freevars))]
    text = f"def outer({', '.join(free)}):\n    def refused(*args, **kwargs):\n"
    text += f"        {', '.join(free) or 'None'}\n"
    text += (
        f"        raise RuntimeError({said + ' may not be used in this assignment'!r})\n    return refused"
    )
    space: dict[str, Any] = {}
    exec(text, space)
    function.__code__ = space["outer"](*free).__code__

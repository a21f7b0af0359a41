"""Answers calls on a namespace of student code: the one dispatcher behind the sandboxed worker and the
notebook's `check`.

Requests and replies are plain trees (see `wire`). Both sides of every call are copies, so that code under
test can neither see nor change the objects of the code that tests it.

Loaded inside the sandbox; imports nothing of the engine but the wire codec and `served`.
"""

from __future__ import annotations

import linecache
import operator
import shutil
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from autograder.sandbox.served import call_with_gradient, differentiable, same_tensors
from autograder.sandbox.wire import Decoder, Encoder, Handle, WireError

MAX_TEXT = 2000
_MISSING = object()
_BUILTINS: dict[str, Callable[..., Any]] = {
    "len": len, "list": list, "dict": dict, "iter": iter, "next": next, "getitem": operator.getitem,
}  # fmt: skip
"""What a suite may do with an object that stayed here, beside calling it and reading its attributes."""

Upcall = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
"""Calls a function of the grader by name: (name, args, kwargs) -> (value, dictionaries); the latter are
the arguments that are dictionaries as they are after the call, by position or name."""


class NotThere(Exception):
    """The submission defines no such name."""


def _readable(get: Callable[[], Any], limit: int = 200) -> str:
    """A text that the student's code has a hand in (`__str__`, a subclass of str), as a plain string that
    can be sent.
    """
    try:
        return str.__getitem__(get(), slice(limit)).encode("utf-8", "replace").decode()
    except BaseException:
        return "(its text could not be read)"


class Service:
    """Serves `namespace`.

    Args:
        namespace: the globals of the student's code; functions are looked up in it at each call.
        is_student_file: tells from a code object's file name whether the code is the student's, so that a
            traceback names cells and lines of the student and nothing else.
        upcall: used for names in a `given` request; None where there is no reference.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        is_student_file: Callable[[str], bool],
        upcall: Upcall | None = None,
    ) -> None:
        self.namespace = namespace
        self._is_student_file = is_student_file
        self._upcall = upcall
        self._objects: dict[int, Any] = {}
        self._replaced: dict[str, Any] = {}
        self._folders: list[str] = []

    def handle(self, request: Any, payload: bytearray | bytes) -> tuple[dict[str, Any], list[Any], int]:
        """One request: (reply header, buffers, bytes). Never raises but for KeyboardInterrupt."""
        try:
            encoder = Encoder(self._keep)
            tree = encoder.encode(self._dispatch(request, payload))
            return {"ok": tree}, encoder.buffers, encoder.nbytes
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # student code may raise anything, SystemExit included
            return {"err": self.describe(error)}, [], 0

    def describe(self, error: BaseException) -> dict[str, Any]:
        """What the grader is told of an exception: type, text and the student's own frames, innermost
        last.
        """
        kind = "raised"
        if isinstance(error, NotImplementedError):
            kind = "not_written"
        elif isinstance(error, NotThere):
            kind = "not_defined"
        elif isinstance(error, WireError):
            kind = "not_plain"
        text = _readable(lambda: str(error), MAX_TEXT)
        where: list[list[Any]] = []
        if isinstance(error, SyntaxError):
            filename, line = _readable(lambda: error.filename), error.lineno
            if self._is_student_file(filename) and type(line) is int:
                where.append([filename, line, _readable(lambda: error.text).strip()])
                text = _readable(lambda: error.msg, MAX_TEXT)
        for frame, number in traceback.walk_tb(error.__traceback__):
            filename = frame.f_code.co_filename
            if self._is_student_file(filename):
                source = linecache.getline(filename, number).strip()
                where.append([filename[:200], number, source[:200]])
        memory = isinstance(error, MemoryError)  # NumPy raises a private subclass
        type_name = "MemoryError" if memory else _readable(lambda: type(error).__name__, 100)
        return {"kind": kind, "type": type_name, "text": text, "where": where[-4:]}

    def restore(self) -> None:
        """Put back what `given` replaced, and remove the folders that were made."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()
        for name, original in self._replaced.items():
            if original is _MISSING:
                self.namespace.pop(name, None)
            else:
                self.namespace[name] = original
        self._replaced.clear()

    def _keep(self, value: Any) -> int:
        handle_id = len(self._objects) + 1
        self._objects[handle_id] = value
        return handle_id

    def _resolve(self, handle_id: int, typename: str) -> Any:
        try:
            return self._objects[handle_id]
        except KeyError:
            raise WireError("an unknown handle") from None

    def _dispatch(self, request: Any, payload: bytearray | bytes) -> Any:
        operation = request["op"]
        if operation == "call":
            return self._call(request, payload)
        if operation == "builtin":
            args, _ = Decoder(payload, self._resolve).decode(request["args"])
            return _BUILTINS[request["name"]](*args)
        if operation == "get":
            return getattr(self._target(request), request["name"])
        if operation == "set":
            value = Decoder(payload, self._resolve).decode(request["value"])
            setattr(self._target(request), request["name"], value)
            return None
        if operation == "value":
            return self._lookup(request["name"])
        if operation == "defined":
            return request["name"] in self.namespace
        if operation == "folder":
            self._folders.append(tempfile.mkdtemp())
            return self._folders[-1]
        if operation == "given":
            for name in request["names"]:
                self._give(name)
            return None
        raise WireError("an unknown request")

    def _target(self, request: Any) -> Any:
        return self._resolve(request["h"], "")

    def _lookup(self, name: str) -> Any:
        value = self.namespace.get(name, _MISSING)
        if value is _MISSING:
            raise NotThere(f"{name} is not defined")
        return value

    def _call(self, request: Any, payload: bytearray | bytes) -> Any:
        function = self._lookup(request["fn"]) if "fn" in request else self._target(request)
        args, kwargs = Decoder(payload, self._resolve).decode(request["args"])
        result = function(*args, **kwargs)
        for position in request.get("keep", ()):
            result = self._keep_element(result, position)
        if request.get("after"):
            return (result, args)
        return result

    def _keep_element(self, result: Any, position: int) -> Any:
        if type(result) not in (tuple, list) or not 0 <= position < len(result):
            return result
        element = result[position]
        handle = Handle(self._keep(element), f"{type(element).__module__}.{type(element).__qualname__}"[:120])
        return (*result[:position], handle, *result[position + 1 :])

    def _give(self, name: str) -> None:
        upcall = self._upcall
        if upcall is None:
            return
        self._replaced.setdefault(name, self.namespace.get(name, _MISSING))

        def given(*args: Any, **kwargs: Any) -> Any:
            if differentiable(args, kwargs):
                return call_with_gradient(upcall, name, args, kwargs)
            result, dictionaries = upcall(name, args, kwargs)
            for key, after in dictionaries.items():
                mine = args[key] if isinstance(key, int) else kwargs[key]
                now = same_tensors(dict(mine), after)
                mine.clear()
                mine.update(now)
            return result

        given.__name__ = given.__qualname__ = name
        self.namespace[name] = given

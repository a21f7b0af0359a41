"""The inside of the sandbox: loads a submission cell by cell, then forks a copy of the loaded state for each
test.

Everything here runs beside the student's code and may be changed by it; the grader trusts nothing that comes
out. Imports nothing of the engine but the wire codec and the dispatcher.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import linecache
import os
import random
import resource
import shutil
import socket
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any

from autograder.sandbox import kernel, pages, standins, syscalls
from autograder.sandbox.channel import Channel, PeerClosed
from autograder.sandbox.service import Service
from autograder.sandbox.wire import Decoder, Encoder, Handle, WireError

_RUN_BODY = ("time", "timeit", "capture", "prun")


class _Notebook:
    """Stands in for IPython's shell: magics and shell commands do nothing, `%%time` and its kin run their
    cell.
    """

    def __init__(self, namespace: dict[str, Any], run: Callable[[str], None]) -> None:
        self._run = run
        self.user_ns = namespace

    def run_line_magic(self, name: str, line: str, *_: Any, **__: Any) -> None:
        if name in ("time", "timeit"):
            self._run(line)

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        if name in _RUN_BODY:
            self._run("\n" + cell)  # one empty line stands for the magic's own

    def system(self, *_: Any, **__: Any) -> None:
        """`!command`: nothing is run."""

    def getoutput(self, *_: Any, **__: Any) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _stand_in() -> types.ModuleType:
    """What `import autograder` finds inside: `check` does nothing, data sets are not there."""
    module = types.ModuleType("autograder")

    def check(*_: Any, **__: Any) -> None:
        return None

    def load_dataset(name: str, *_: Any, **__: Any) -> None:
        raise RuntimeError(f"the data set {name!r} is not available while a submission is graded")

    module.check, module.load_dataset = check, load_dataset  # type: ignore[attr-defined]
    return module


class Submission:
    """The loaded state: a module that looks like a notebook's `__main__`."""

    def __init__(self) -> None:
        module = types.ModuleType("__main__")
        for name in [name for name in sys.modules if name == "autograder" or name.startswith("autograder.")]:
            del sys.modules[name]
        sys.modules["autograder"] = _stand_in()
        sys.modules["__main__"] = module
        self.namespace = module.__dict__
        self._label = ""
        notebook = _Notebook(self.namespace, self._run_part)
        self.namespace["get_ipython"] = lambda: notebook
        builtins.display = lambda *_, **__: None  # type: ignore[attr-defined]
        standins.furnish(notebook)
        self._labels: set[str] = set()

    def is_student_file(self, filename: str) -> bool:
        """Whether a code object came from a cell."""
        return filename in self._labels

    def run(self, label: str, source: str, *, only_definitions: bool = False) -> None:
        """Run one cell, or only what it defines. Raises whatever it raises.

        Where a statement raises, the imports and definitions below it are read all the same: code that needs
        a file or a machine of the student's must not cost the answer that stands under it.
        """
        self._label = label
        self._labels.add(label)
        linecache.cache[label] = (len(source), None, source.splitlines(keepends=True), label)
        standins.furnish_torch(source)
        tree = self._parsed(source)
        if only_definitions:
            self._define(tree.body)
            return
        try:
            exec(compile(tree, label, "exec"), self.namespace)
        except BaseException as error:
            line = next((n for f, n in traceback.walk_tb(error.__traceback__) if self._is_top_level(f)), None)
            if line is not None:
                self._define([statement for statement in tree.body if _first_line(statement) > line])
            raise

    def _is_top_level(self, frame: types.FrameType) -> bool:
        return frame.f_code.co_filename == self._label and frame.f_code.co_name == "<module>"

    def _define(self, statements: Sequence[ast.stmt]) -> None:
        """Run the imports, functions, classes and constants among `statements`, each by itself."""
        for statement in filter(_defines, statements):
            with contextlib.suppress(Exception):
                exec(compile(ast.Module([statement], []), self._label, "exec"), self.namespace)

    def _parsed(self, source: str) -> ast.Module:
        """The code of a cell or of a part of it; magics and shell commands become calls of `_Notebook`."""
        try:
            return ast.parse(source, self._label)
        except SyntaxError:
            from IPython.core.inputtransformer2 import TransformerManager

            plain = TransformerManager().transform_cell(source)
            if plain.rstrip("\n") == source.rstrip("\n"):
                raise
            # IPython drops empty lines at the top; put back, so that lines are counted as the student sees
            # them.
            empty = len(source) - len(source.lstrip("\n"))
            shown: ast.Module = ast.parse("\n" * empty + plain, self._label)
            return shown

    def _run_part(self, source: str) -> None:
        exec(compile(self._parsed(source), self._label, "exec"), self.namespace)


def _first_line(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    first: int = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    return first


def _defines(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return _is_constant(statement.value)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return isinstance(statement, kinds)


def _is_constant(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return False
    return True


def serve_submission(
    sock: socket.socket,
    *,
    box: str,
    landlock: bool,
    seccomp: bool,
    own_pid_namespace: bool,
    regions: list[pages.Region],
) -> None:
    """Answer the grader's requests to run cells and to fork, until it closes the connection. Never
    returns.
    """
    channel = Channel(sock)
    submission = Submission()
    service = Service(submission.namespace, submission.is_student_file)
    kernel.descriptor_table(_most_descriptors())
    tests = 0
    while True:
        try:
            request, payload = channel.receive()
            operation = request["op"]
            if operation == "cell":
                try:
                    submission.run(
                        request["label"],
                        request["source"],
                        only_definitions=request.get("only_definitions", False),
                    )
                    reply: dict[str, Any] = {"ok": None}
                except BaseException as error:
                    reply = {"err": service.describe(error)}
            elif operation == "files":
                places = _lay_out(request["files"], payload, box, landlock=landlock)
                box = f"{box}/work"
                reply = {"ok": places}
            elif operation == "fork":
                _, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
                tests += 1
                if tests == 1:  # all cells have run: what is written from here on is written by the forks
                    pages.gather(regions)
                _ended()  # one that nobody waits for counts against the limit on processes
                shutil.rmtree(f"{box}/test-{tests - 1}", ignore_errors=True)  # no test sees another's files
                standins.rest_thread_pools()
                try:
                    child = os.fork()
                except OSError as error:
                    reply = {"err": service.describe(error)}
                else:
                    if child == 0:
                        sock.close()
                        test_socket = socket.socket(fileno=descriptors[0])
                        if seccomp:
                            # A pid of its own to signal exists only in a pid namespace; elsewhere the filter
                            # in force, which names the parent, stays the stricter one.
                            own = os.getpid() if own_pid_namespace else None
                            syscalls.narrow(own)
                        _serve_test(
                            submission, test_socket, request["seed"], f"{box}/test-{tests}", landlock=landlock
                        )
                    reply = {"ok": child}
                os.close(descriptors[0])
            else:
                reply = {"ok": _ended()}
            channel.send(reply)
        except (PeerClosed, WireError, KeyError, TypeError):
            os._exit(0)


def _lay_out(files: Sequence[Sequence[Any]], payload: bytearray, box: str, *, landlock: bool) -> list[str]:
    """Write what was handed in with the notebook into a folder of its own in `box`, beside another one to
    work in, outside of which this process and its forks write nothing from here on. No cell has run yet.
    """
    os.mkdir(f"{box}/files")  # noqa: PTH102
    places, begin = [], 0
    for name, size in files:
        place = f"{box}/files/{name}"
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with open(file, "wb") as stream:  # noqa: PTH123
            stream.write(memoryview(payload)[begin : begin + size])
        places.append(place)
        begin += size
    os.mkdir(f"{box}/work")  # noqa: PTH102
    _work_in(f"{box}/work", landlock=landlock)
    return places


def _work_in(folder: str, *, landlock: bool) -> None:
    """Make a folder this process's home, and the only place where it writes."""
    os.chdir(folder)
    os.environ["HOME"] = os.environ["TMPDIR"] = folder
    tempfile.tempdir = None
    if landlock:
        kernel.confine_writes(folder)


def _ended() -> list[list[int]]:
    """(pid, wait status) of tests that ended."""
    ended: list[list[int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append([pid, status])


RAISED = (
    AssertionError, AttributeError, FloatingPointError, IndexError, KeyError, OverflowError, TypeError,
    ValueError, ZeroDivisionError,
)  # fmt: skip
"""What a function that computes may raise: the same when the grader serves it as when it runs here."""


def _as_raised(said: str) -> Exception:
    """The exception of a served function, from "ValueError: its text"."""
    name, _, text = said.partition(": ")
    kind = next((kind for kind in RAISED if kind.__name__ == name), None)
    return RuntimeError(said) if kind is None else kind(text)


def _most_descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _serve_test(
    submission: Submission, sock: socket.socket, seed: int, folder: str, *, landlock: bool
) -> None:
    kernel.die_with_parent()  # of which a fork inherits nothing
    # No test sees another's files: neither those in other folders nor those that were open already.
    kernel.forget_descriptors(sock.fileno(), _most_descriptors())
    try:
        os.mkdir(folder)  # noqa: PTH102
        _work_in(folder, landlock=landlock)
    except OSError:
        pass  # a full or vanished box is the submission's own doing; it can still compute
    random.seed(seed)
    sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(seed % 2**63)
    channel = Channel(sock)
    sock.sendall(b"!")  # the kernel attaches this process's id, which is how the grader learns whom to kill

    def upcall(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        encoder = Encoder()
        channel.send(
            {"up": name, "args": encoder.encode((list(args), kwargs))}, encoder.buffers, encoder.nbytes
        )
        reply, payload = channel.receive()
        if "ok" in reply:
            return Decoder(payload, lambda id, typename: Handle(id, typename)).decode(reply["ok"])
        raise _as_raised(str(reply.get("err")))

    service = Service(submission.namespace, submission.is_student_file, upcall)
    while True:
        try:
            request, payload = channel.receive()
            reply, buffers, nbytes = service.handle(request, payload)
            try:
                channel.send(reply, buffers, nbytes)
            except WireError as error:
                channel.send({"err": service.describe(error)})
        except PeerClosed:
            os._exit(0)

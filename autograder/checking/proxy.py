"""`student` in a test: the student's functions as the suite sees them, wherever the student's code really
runs.

A `Student` speaks to a `Backend`, which is a sandboxed worker at grading and the same dispatcher in the same
process for `check()` and for the solution. Either way arguments and results are copies, so a suite cannot
tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from autograder.checking.describe import brief, call_text
from autograder.checking.failure import NoFile, StudentError, current_student, fail
from autograder.checking.random_state import RandomState
from autograder.sandbox.service import Service, Upcall
from autograder.sandbox.wire import Decoder, Encoder, Handle, WireError

ParameterNames = Callable[[str], Sequence[str] | None]
FileFinder = Callable[[str, Sequence[str]], str]
"""Finds a file that was handed in by its name in course.yml or, in a notebook, by the names that it may have
there. Raises `NoFile`.
"""


class Backend(Protocol):
    """Carries one request to the student's code and brings the reply."""

    def transact(
        self, header: dict[str, Any], buffers: list[Any], nbytes: int
    ) -> tuple[Any, bytearray | bytes]:
        """Header and payload of the reply."""
        ...


class LocalBackend:
    """The student's code in this very process: the solution in a plain pytest run, or the notebook that
    calls `check`.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def transact(
        self, header: dict[str, Any], buffers: list[Any], nbytes: int
    ) -> tuple[Any, bytearray | bytes]:
        """Answered by the service directly; buffers are copied, as a socket would."""
        reply, out, _ = self._service.handle(header, bytearray(b"".join(buffers)))
        return reply, bytearray(b"".join(out))


@contextmanager
def local_student(
    namespace: dict[str, Any],
    is_student_file: Callable[[str], bool],
    *,
    seed: int,
    upcall: Upcall | None = None,
    given: Sequence[str] = (),
    parameter_names: ParameterNames | None = None,
    files: FileFinder | None = None,
) -> Iterator[Student]:
    """A student in this process for the time of one test; global random state is put back afterwards."""
    service = Service(namespace, is_student_file, upcall)
    with RandomState(seed):
        try:
            student = Student(LocalBackend(service), parameter_names, files)
            student.give(given)
            yield student
        finally:
            service.restore()


@dataclass
class Event:
    """One call of a test, kept for naming the call in a failure and for recognising known mistakes."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    error: str = ""
    on: int | None = None
    """The object that it was called on, or whose attribute was read, where that stayed in the worker."""


@dataclass(frozen=True)
class Margin:
    """What a result was held against in a check that passed: `value` is at least `threshold`."""

    what: str
    value: float
    threshold: float


class Student:
    """The student's namespace: `student.f(x)` calls f there.

    Raises `StudentError` where the student's code raises, `WireError` where an argument of the test may not
    cross.
    """

    def __init__(
        self,
        backend: Backend,
        parameter_names: ParameterNames | None = None,
        files: FileFinder | None = None,
    ) -> None:
        self._backend = backend
        self._parameter_names = parameter_names
        self._files = files
        self.events: list[Event] = []
        self.margins: list[Margin] = []
        """How far each threshold was passed; see `assert_accuracy` and `assert_learns`."""
        self.compared = 0
        """How many floating-point results were found right."""
        self.used = 0.0
        """The largest error among them, as a share of the tolerance."""
        self.fork: Callable[[], Backend] | None = None
        """Gives a fresh copy of the loaded submission, where it runs in a process of its own."""
        self._given: list[str] = []
        self._holds_handles = False
        self._assigned: dict[int, dict[str, Any]] = {}
        """Object in the worker -> its attributes that the test has set."""

    def __getattr__(self, name: str) -> Function:
        if name.startswith("__"):
            raise AttributeError(name)
        return Function(self, name)

    def give(self, names: Sequence[str]) -> None:
        """Serve `names` to the student's code from the reference, where there is one."""
        if names:
            self._given = list(names)
            self._request({"op": "given", "names": self._given}, [], 0, Event("given"))

    def renew(self) -> None:
        """Go on in a fresh copy of the loaded submission, which remembers no call; not where the test holds
        an object that stayed in the old one.
        """
        if self.fork is not None and not self._holds_handles:
            self._backend = self.fork()
            self.give(self._given)

    def restart(self) -> None:
        """Go on in a fresh copy of the loaded submission, as after a restart of the notebook: what is to
        outlast it must be in a file, whose content the test carries over. Objects that stayed in the old copy
        are gone, and the test must not use them any more. In this very process nothing happens.
        """
        if self.fork is not None:
            self._holds_handles = False
            self._assigned.clear()
            self.renew()

    def has(self, name: str) -> bool:
        """Whether the submission defines `name`."""
        return bool(self._request({"op": "defined", "name": name}, [], 0, Event(name)))

    def value(self, name: str) -> Any:
        """The value of a global of the submission."""
        return self._record(Event(name), {"op": "value", "name": name})

    def folder(self) -> str:
        """A new folder that the student's code may write into, removed after the test.

        No event is kept of it: where it lies differs from run to run, and a mistake that is replayed must
        give the same events.
        """
        path = self._request({"op": "folder"}, [], 0, Event("folder"))
        if type(path) is not str:
            raise WireError("the reply is malformed")
        return path

    def file(self, name: str, beside: Sequence[str] = ()) -> str:
        """Where a file lies that was handed in with the notebook, for the student's code to open.

        Fails the test, with the reason, where there is none or where it cannot be used.

        Args:
            name: as in course.yml, under `files`.
            beside: its names, for a public test: `check` looks for them beside the notebook.
        """
        try:
            if self._files is None:
                raise NoFile(f"There is no file {name!r} here.")
            return self._files(name, beside)
        except NoFile as error:
            fail(str(error))

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], **options: Any) -> Any:
        """Call a function of the submission; see `Function`."""
        return self._call({"op": "call", "fn": name, **options}, Event(name, args, kwargs))

    def builtin(self, name: str, *args: Any) -> Any:
        """Python's own `len`, `list`, `dict`, `iter`, `next`, or `operator.getitem`, where the objects are:
        `student.builtin("list", loader)` goes through a loader that stayed in the worker.
        """
        return self._call({"op": "builtin", "name": name}, Event(name, args))

    def call_handle(self, handle: Handle, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an object that stayed in the worker."""
        name, on = handle._typename.rpartition(".")[2], None
        for event in reversed(self.events):
            if event.result is handle:
                name, on = event.name, event.on
                break
        return self._call({"op": "call", "h": handle._id}, Event(name, args, kwargs, on=on))

    def get_attribute(self, handle: Handle, name: str) -> Any:
        """Read an attribute of an object that stayed in the worker."""
        owner = handle._typename.rpartition(".")[2]
        return self._record(
            Event(f"{owner}.{name}", on=handle._id), {"op": "get", "h": handle._id, "name": name}
        )

    def set_attribute(self, handle: Handle, name: str, value: Any) -> None:
        """Set an attribute of an object that stayed in the worker to a plain value."""
        encoder = Encoder()
        header = {"op": "set", "h": handle._id, "name": name, "value": encoder.encode(value)}
        self._request(header, encoder.buffers, encoder.nbytes, Event(name))
        self._assigned.setdefault(handle._id, {})[name] = value

    def call_that_gave(self, value: Any) -> str:
        """The call whose result `value` is (or holds), else the last call, in words."""
        event = self._event_that_gave(value)
        return self.describe(event) if event else ""

    def arguments_that_gave(self, value: Any) -> dict[str, Any]:
        """The arguments of the same call, by name as far as names are known. Of a method, what its object was
        made with and what the test has put into it stand behind them.
        """
        event = self._event_that_gave(value)
        if event is None:
            return {}
        behind: dict[str, Any] = {}
        if event.on is not None:
            makers = (each for each in reversed(self.events) if isinstance(each.result, Handle))
            maker = next((each for each in makers if each.result._id == event.on), None)
            behind = self._arguments(maker) if maker else {}
            behind |= self._assigned.get(event.on, {})
        own = self._arguments(event)
        return {**own, **{name: value for name, value in behind.items() if name not in own}}

    def _arguments(self, event: Event) -> dict[str, Any]:
        names = (self._parameter_names(event.name) if self._parameter_names else None) or []
        named = {
            names[position] if position < len(names) else f"argument {position + 1}": argument
            for position, argument in enumerate(event.args)
        }
        return {**named, **event.kwargs}

    def _event_that_gave(self, value: Any) -> Event | None:
        calls = [event for event in self.events if event.args or event.kwargs]
        for event in reversed(calls):
            if event.result is value or (
                isinstance(event.result, list | tuple) and any(item is value for item in event.result)
            ):
                return event
        return calls[-1] if calls else None

    def describe(self, event: Event) -> str:
        """An event in words."""
        names = self._parameter_names(event.name) if self._parameter_names else None
        return call_text(event.name, event.args, event.kwargs, names)

    def _call(self, header: dict[str, Any], event: Event) -> Any:
        encoder = Encoder()
        header["args"] = encoder.encode((list(event.args), event.kwargs))
        return self._record(event, header, encoder.buffers, encoder.nbytes)

    def _record(
        self, event: Event, header: dict[str, Any], buffers: Sequence[Any] = (), nbytes: int = 0
    ) -> Any:
        self.events.append(event)
        event.result = self._request(header, list(buffers), nbytes, event)
        return event.result

    def _request(self, header: dict[str, Any], buffers: list[Any], nbytes: int, event: Event) -> Any:
        reply, payload = self._backend.transact(header, buffers, nbytes)
        if type(reply) is not dict:
            raise WireError("the reply is malformed")
        if "ok" in reply:
            return Decoder(payload, self._hold).decode(reply["ok"])
        error = student_error(reply.get("err"), event.name, self.describe(event))
        event.error = error.type
        raise error

    def _hold(self, id: int, typename: str) -> Handle:
        self._holds_handles = True
        return Handle(id, typename, self)


def student_error(report: Any, name: str, call: str) -> StudentError:
    """The exception for an error report of the worker, which is checked field by field: it is the student's
    word.
    """
    if type(report) is not dict:
        raise WireError("the reply is malformed")
    kind, type_name, text = report.get("kind"), report.get("type"), report.get("text")
    limit = report.get("limit")  # put in by this side
    if kind not in ("raised", "not_written", "not_defined", "not_plain"):
        raise WireError("the reply is malformed")
    if type(type_name) is not str or type(text) is not str:
        raise WireError("the reply is malformed")
    frames = []
    where = report.get("where")
    for frame in where if type(where) is list else []:
        if type(frame) is list and [type(part) for part in frame] == [str, int, str]:
            frames.append((frame[0][:200], frame[1], frame[2][:200]))
    said = f"{text[:1900]} (limit: {limit})" if type(limit) is str and limit else text[:2000]
    return StudentError(kind, type_name[:100], said, frames[-4:], name, call)


class Function:
    """A function of the student's, called where the student's code is."""

    def __init__(self, student: Student, name: str, keep: tuple[int, ...] = ()) -> None:
        self._student, self._name, self._keep = student, name, keep

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it. Plain values come back as copies, everything else as a `Handle`."""
        return self._student.call(self._name, args, kwargs, keep=list(self._keep))

    def keeping(self, *positions: int) -> Function:
        """The same function, leaving these elements of the returned tuple in the worker (a cache, say)."""
        return Function(self._student, self._name, positions)

    def after(self, *args: Any, **kwargs: Any) -> tuple[Any, list[Any]]:
        """`(result, arguments)`: the positional arguments as they are after the call."""
        result, after = self._student.call(self._name, args, kwargs, keep=list(self._keep), after=True)
        return result, after

    def __repr__(self) -> str:
        return f"<the student's {self._name}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._name


def last_call_in_words() -> tuple[str, str]:
    """(call, what it returned) of the student's last call in the running test; empty strings where there was
    none.
    """
    student = current_student.get()
    calls = [event for event in student.events if not event.error] if student else []
    if student is None or not calls:
        return "", ""
    return student.describe(calls[-1]), brief(calls[-1].result)

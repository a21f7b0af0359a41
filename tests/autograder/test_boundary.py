"""The boundary between worker and grader, fuzzed: all that may cross comes back the same up to each bound.
Nothing that a hostile worker sends does more than be refused. (`make fuzz` runs the same for ten minutes.)
"""

from __future__ import annotations

import os
import random
import resource
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import fuzz_wire
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.checking import StudentError
from autograder.checking.proxy import Student
from autograder.sandbox import channel, wire
from autograder.sandbox.channel import MAGIC, Channel
from autograder.sandbox.kernel import address_space
from autograder.sandbox.peers import TestProcess, Worker, WorkerLimits
from autograder.sandbox.verdicts import SandboxError, WorkerLost
from autograder.sandbox.wire import Decoder, Encoder, Handle, WireError

torch = pytest.importorskip("torch")


def crossed(value: Any) -> Any:
    encoder = Encoder(lambda kept: 7)
    raw = msgpack.packb(encoder.encode(value))
    payload = bytearray(b"".join(bytes(buffer) for buffer in encoder.buffers))
    assert len(payload) == encoder.nbytes
    return Decoder(payload, lambda id, name: Handle(id, name)).decode(msgpack.unpackb(raw))


def fingerprint(value: Any) -> Any:
    """Type and bits of a value, all the way down."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("<d", value)
    if kind is np.ndarray:
        if value.dtype.kind == "U":  # as wide as the longest text in it
            return kind, "U", value.shape, value.tolist()
        return kind, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return kind, value.dtype.str, value.tobytes()
    if kind is torch.Tensor:
        return kind, value.dtype, value.requires_grad, fingerprint(value.detach().numpy())
    if kind in (list, tuple):
        return kind, [fingerprint(item) for item in value]
    if kind is dict:
        return kind, [(fingerprint(key), fingerprint(item)) for key, item in value.items()]
    return kind, value


NUMERIC = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="<"),
    hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.floating_dtypes(sizes=(16, 32, 64), endianness="<"),
    hnp.complex_number_dtypes(sizes=(64, 128), endianness="<"),
)
ARRAYS = hnp.arrays(NUMERIC, hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=3))
LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda array: array,
    lambda array: array.T,
    lambda array: array[..., ::-1] if array.ndim else array,
    np.asfortranarray,
]
SHAPED = st.builds(lambda array, layout: layout(array), ARRAYS, st.sampled_from(LAYOUTS))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
STRINGS = st.lists(TEXT, max_size=4).map(lambda texts: np.array(texts, dtype=np.str_).reshape(-1, 1))
TENSORS = hnp.arrays(
    st.sampled_from(["?", "u1", "i2", "i4", "i8", "f4", "f8", "c8"]), hnp.array_shapes(min_dims=0, max_side=3)
).map(lambda array: torch.from_numpy(array.copy()))
WITH_GRADIENT = st.lists(st.floats(width=32), max_size=4).map(lambda xs: torch.tensor(xs, requires_grad=True))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])), st.binary(max_size=50),
    NUMERIC.flatmap(hnp.from_dtype).map(np.array).map(lambda array: array[()]),
)  # fmt: skip
KEYS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text("ab"),
        st.binary(max_size=3),
    ),
    lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3,
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(SCALARS, SHAPED, STRINGS, TENSORS, WITH_GRADIENT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(VALUES)
def test_every_value_that_may_cross_comes_back_the_same_bit_by_bit(value: Any) -> None:
    once = crossed(value)
    assert fingerprint(once) == fingerprint(value)
    assert fingerprint(crossed(once)) == fingerprint(value)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BOUNDS: dict[str, tuple[Any, Any]] = {
    "depth": (nested(wire.MAX_DEPTH), nested(wire.MAX_DEPTH + 1)),
    "parts": ([0] * (wire.MAX_NODES - 1), [0] * wire.MAX_NODES),
    "bits": (2**wire.MAX_INT_BITS - 1, 2**wire.MAX_INT_BITS),
    "negative bits": (-(2**wire.MAX_INT_BITS) + 1, -(2**wire.MAX_INT_BITS)),
    "axes": (np.ones([1] * wire.MAX_NDIM), np.ones([1] * (wire.MAX_NDIM + 1))),
    "long empty axes": (np.empty((0, wire.MAX_PAYLOAD)), np.empty((0, wire.MAX_PAYLOAD + 1))),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_each_bound_is_where_it_is_said_to_be(bound: str) -> None:
    within, beyond = BOUNDS[bound]
    assert fingerprint(crossed(within)) == fingerprint(within)
    with pytest.raises(WireError):
        crossed(beyond)


def test_the_largest_header_and_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wire, channel):
        monkeypatch.setattr(module, "MAX_HEADER", 1 << 16)
        monkeypatch.setattr(module, "MAX_PAYLOAD", 1 << 20)

    def sent(value: Any) -> Any:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            encoder = Encoder()
            tree = encoder.encode(value)
            Channel(theirs).send(tree, encoder.buffers, encoder.nbytes, time.monotonic() + 5)
            header, payload = Channel(ours).receive(time.monotonic() + 5)
            return Decoder(payload, lambda *_: None).decode(header)

    text, array = "x" * ((1 << 16) - 3), np.ones(1 << 14)
    assert sent(text) == text and sent(array).shape == array.shape
    for beyond in (text + "x", np.ones((1 << 17) + 1)):
        with pytest.raises(WireError):
            sent(beyond)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for header, nbytes in ((text + "x", 0), (None, (1 << 20) + 1)):  # refused before a byte is sent
            with pytest.raises(WireError, match="the message is too large"):
                Channel(theirs).send(header, nbytes=nbytes)


# A hostile worker


def test_a_fixed_run_of_the_fuzzer_finds_nothing() -> None:
    for seed in range(4):
        found, outcomes = fuzz_wire.confined(seed, 500)
        assert not found
        assert outcomes > 25, "the frames no longer reach the decoder"


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("_int", lambda self, rest, depth: eval(str(rest[0]))),
        ("_handle", lambda self, rest, depth: self),
        ("_scalar", lambda self, rest, depth: np.frombuffer(rest[1], "O")),
        ("_tuple", lambda self, rest, depth: bytearray(1 << 30)),
        ("_tensor", lambda self, rest, depth: os.kill(os.getpid(), 11)),
    ],
)
def test_the_fuzzer_notices_what_it_looks_for(
    name: str, replacement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = next(tag for tag, function in Decoder._DECODERS.items() if function.__name__ == name)
    monkeypatch.setitem(Decoder._DECODERS, tag, replacement)
    assert any(fuzz_wire.confined(seed, 500)[0] for seed in range(4))


AMPLIFIERS = {
    "empty lists": b"\xdd" + struct.pack(">I", wire.MAX_HEADER - 5) + b"\x90" * (wire.MAX_HEADER - 5),
    "lists of empty lists": (b"\xdc\xff\xff" + b"\x90" * 65535) * 250,
    "lists in lists": b"\x91" * (wire.MAX_HEADER - 1) + b"\xc0",
    "empty maps": (b"\xdc\xff\xff" + b"\x80" * 65535) * 250,
    "short texts": (b"\xdd\x00\x03\x0d\x40" + b"\xa2ab" * 199_999) * 27,
    "numbers": (b"\xdd\x00\x03\x0d\x40" + b"\xcd\x10\x00" * 199_999) * 27,
    "maps": (b"\x8f" + b"\xcd\x10\x00\xc0" * 15) * 200_000,
    "extensions": b"\xdc\xff\xff" + b"\xd4\x01\x00" * 65535,
}


@pytest.mark.parametrize("name", AMPLIFIERS)
def test_the_largest_header_takes_bounded_memory_and_time(name: str) -> None:
    raw = AMPLIFIERS[name][: wire.MAX_HEADER]
    ends, seconds, megabytes = measured(MAGIC + struct.pack("<IQ", len(raw), 0) + raw)
    assert ends == "WireError"
    assert megabytes < 512 and seconds < 5.0


def test_a_long_payload_takes_no_more_than_three_times_its_size() -> None:
    size = 64 << 20
    header = msgpack.packb({"ok": ["a", "|b1", [size]]})
    ends, _, megabytes = measured(MAGIC + struct.pack("<IQ", len(header), size) + header + bytes(size))
    assert ends == "value"
    assert megabytes < 3 * 64 + 16


def test_a_promised_payload_costs_nothing() -> None:
    header = msgpack.packb({"ok": None})
    frame = MAGIC + struct.pack("<IQ", len(header), wire.MAX_PAYLOAD) + header
    ends, _, megabytes = measured(frame)
    assert ends == "PeerClosed"
    assert megabytes < 16


def test_keys_that_collide_are_refused_at_once() -> None:
    prime = 2**61 - 1
    pairs = [[["i", hex(number * prime)], None] for number in range(1, 60_000)]
    start = time.process_time()
    with pytest.raises(WireError, match="collide"):
        Decoder(b"", lambda *_: None).decode(["d", pairs])
    assert time.process_time() - start < 1.0
    many = dict.fromkeys(range(-20_000, 20_000))
    assert crossed(many) == many and crossed([{0: 1}] * 1000) == [{0: 1}] * 1000


def measured(frame: bytes) -> tuple[str, float, float]:
    """How receiving `frame` ends, in what CPU time, and by how many MiB a process grows over it."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        theirs.close()
        ours.sendall(b"!")
        before = address_space()
        resource.setrlimit(resource.RLIMIT_AS, (before + (1 << 30), before + (1 << 30)))
        base = resident()
        start = time.process_time()
        try:
            header, payload = Channel(ours).receive(time.monotonic() + 120)
            Student(fuzz_wire._Told(header, payload)).call("f", (), {})
            ends = "value"
        except BaseException as error:
            ends = type(error).__name__
        seconds = time.process_time() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - base
        ours.sendall(f"{ends} {seconds} {grown / 2**20}".encode())
        os._exit(0)
    ours.close()
    with theirs:
        theirs.settimeout(180)
        theirs.recv(1)
        try:
            theirs.sendall(frame)
            theirs.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has seen enough
        ends, seconds, megabytes = theirs.recv(1000).decode().split()
    os.waitpid(child, 0)
    return ends, float(seconds), float(megabytes)


def resident() -> int:
    """The process's largest size so far; a fork begins with that of its parent."""
    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
        file.write("5")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


# The whole way: a process that answers as it likes


def hostile(answer: Callable[[random.Random], bytes], seed: int) -> socket.socket:
    """The grader's end of a connection to a process that answers every request with `answer`."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    if os.fork() == 0:
        ours.close()
        rng = random.Random(seed)
        try:
            theirs.sendall(b"!")
            while theirs.recv(1 << 16):
                theirs.sendall(answer(rng))
        finally:
            os._exit(0)
    theirs.close()
    return ours


def ask_status(worker: Worker, student: Student) -> None:
    worker.how_it_ended()


def ask_cell(worker: Worker, student: Student) -> None:
    worker.run_cell("<c>", "x", 0.1)


def ask_call(worker: Worker, student: Student) -> None:
    student.f(1)


def test_a_process_that_answers_as_it_likes_only_loses_its_verdict() -> None:
    def answer(rng: random.Random) -> bytes:
        return fuzz_wire.mutated(fuzz_wire.valid_frame(rng), fuzz_wire.valid_frame(rng), rng)

    ends: dict[str, int] = {}
    for seed in range(24):
        worker = Worker(hostile(answer, seed), WorkerLimits(), None, own_pid_namespace=True)
        process = TestProcess(worker._process, worker, 0.1, None)
        student = Student(process)
        try:
            for ask in (ask_status, ask_cell, ask_call):
                end = "value"
                try:
                    ask(worker, student)
                except (StudentError, WireError, WorkerLost, SandboxError) as error:
                    end = type(error).__name__
                ends[end] = ends.get(end, 0) + 1
        finally:
            process._reason()
            worker._process.close()
            os.waitpid(worker.pid, 0)
    # Any other exception would have come out; and both kinds of answer were met.
    assert sum(ends.values()) == 72 and ends["value"] and ends["WorkerLost"], ends


@pytest.mark.parametrize("status", [2**40, -1, 77, 0x7F, 1.5, "9", None, [9], True, float("nan")])
def test_a_status_that_no_process_has(status: Any) -> None:
    frame = fuzz_wire.packed({"ok": [[1, status]]})
    worker = Worker(hostile(lambda rng: frame, 0), WorkerLimits(), None, own_pid_namespace=True)
    process = TestProcess(worker._process, worker, 0.5, None)
    assert "it " in process._reason() or "killed" in process._reason()
    worker._process.close()
    os.waitpid(worker.pid, 0)

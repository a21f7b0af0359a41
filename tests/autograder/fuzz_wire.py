"""A fuzzer for the boundary: frames that a hostile worker might send, against the grader's end of the wire.

    python tests/autograder/fuzz_wire.py --seconds 600          (make fuzz)

Each frame goes the way of a worker's answer: received, unpacked, decoded, made a value or an error. Whatever
it holds, the end must be a plain value or one of the boundary's own exceptions, within `SECONDS` and within
`MEMORY` on top of what the frame itself takes.

Frames are valid ones, changed: bytes flipped, cut, spliced; lengths that lie; trees whose parts are replaced
by others. Where atheris is installed, its coverage guides the search; else frames that had a new outcome are
kept and changed further. Batches run in a process of their own, so that even a crash of the interpreter is a
finding with a number by which it is had again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib.util
import math
import os
import random
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np

from autograder.checking.failure import StudentError
from autograder.checking.proxy import Student
from autograder.grading.session import _raised
from autograder.sandbox import wire
from autograder.sandbox.channel import MAGIC, Channel, Deadline, PeerClosed
from autograder.sandbox.kernel import address_space
from autograder.sandbox.wire import Encoder, Handle, WireError

SECONDS = 2.0
"""Of CPU time; on the clock a busy machine may take any time."""
PATIENCE = 60.0
MEMORY = 256 << 20
"""For frames below 1 MiB; what the largest may take is tested by itself."""
BATCH = 2000
MAX_FRAME = 1 << 20

INTERESTING = (
    None, True, False, 0, 1, -1, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32, 2**40, 2**53, 2**62,
    2**63 - 1,
    -(2**63), 2**64 - 1, 0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 1e308, "", "ok", "err", "up", "\x00",
    "<f8", "|b1", "|O", "<U4", ">f8", "<f16", "<M8", "0x" + "f" * 1024, "-0x1", "0x_", "١", "a" * 200,
    b"", b"\x00", b"\xff" * 8, b"\x80" * 16, [], [[]], {}, {"": 0}, ["H", 0, "x"], ["H", 2**62, ""],
    ["h", -1],
    ["l", []], ["t", [["l", []]]], ["d", [[["t", []], None]]], ["a", "<f8", [0]], ["a", "<f8", []],
    ["a", "|u1", [2**39]], ["a", "<f8", [0, 2**39]], ["a", "<f8", [1] * 33], ["T", "<f4", [1], True],
    ["T", "<i8", [1], True], ["T", "<u8", [0], False], ["s", "<f8", b"12345678"], ["s", "|b1", b"\x02"],
    ["u", [1], ["x"]], ["u", [0], []], ["i", "0x1"], ["i", "1_0"],
)  # fmt: skip
BYTES = (0, 0xFF, 0x90, 0xC1, 0xDD, 0xDF, 0xC9)
"""Nothing, the largest, and msgpack's beginnings of lists, maps, extensions and what it never uses."""
TAGS = ("l", "t", "d", "i", "a", "T", "s", "u", "h", "H", "x", "")


class Finding(Exception):
    """Something came over the boundary that must not."""


class _Told:
    """A backend that gives an answer it was told."""

    def __init__(self, header: Any, payload: bytearray) -> None:
        self._answer = header, payload

    def transact(self, header: dict[str, Any], buffers: list[Any], nbytes: int) -> tuple[Any, bytearray]:
        return self._answer


def consume(frame: bytes) -> str:
    """Treat `frame` as a worker's answer; the outcome in a few words. Any other exception is a finding."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_FRAME)
        theirs.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            theirs.send(frame)
        theirs.shutdown(socket.SHUT_WR)
        try:
            header, payload = Channel(ours).receive(time.monotonic() + PATIENCE)
        except (WireError, PeerClosed, Deadline) as error:
            return f"{type(error).__name__} {error}"
    error = header.get("err") if type(header) is dict else None
    if type(error) is dict and type(_raised("cell 1", error)) is not str:
        raise Finding("a note that is no text")
    student = Student(_Told(header, payload))
    try:
        value = student.call("f", (), {})
    except (WireError, StudentError) as refusal:
        return f"{type(refusal).__name__} {str(refusal)[:60]}"
    return "value " + shape_of(value)


def shape_of(value: Any, depth: int = 0) -> str:
    """The kinds of a value's parts; raises `Finding` for one that may not be on this side."""
    kind = type(value)
    if kind in (type(None), bool, int, float, str, bytes):
        return kind.__name__
    if kind is np.ndarray:
        if value.dtype.hasobject or not value.flags.writeable or not value.dtype.isnative:
            raise Finding(f"an array of {value.dtype}")
        return f"array {value.dtype.kind}{value.ndim}"
    if isinstance(value, np.generic) and kind.__module__ == "numpy" and not value.dtype.hasobject:
        return f"scalar {value.dtype.kind}"
    if kind is Handle:
        return "handle"
    if kind in (list, tuple):
        inner = {shape_of(item, depth + 1) for item in value}
        return f"{kind.__name__}({', '.join(sorted(inner)) if depth < 3 else ''})"
    if kind is dict:
        parts = {shape_of(item, depth + 1) for pair in value.items() for item in pair}
        return f"dict({', '.join(sorted(parts)) if depth < 3 else ''})"
    if kind.__module__.startswith("torch"):
        return f"tensor {value.dtype}"
    raise Finding(f"an object of type {kind.__module__}.{kind.__qualname__}")


# Frames


def packed(header: Any, payload: bytes = b"") -> bytes:
    """A frame."""
    raw = msgpack.packb(header, use_bin_type=True)
    return MAGIC + struct.pack("<IQ", len(raw), len(payload)) + raw + payload


def valid_frame(rng: random.Random) -> bytes:
    """An answer as an honest worker sends it."""
    if rng.random() < 0.2:
        error = {"kind": "raised", "type": "ValueError", "text": "x", "where": [["<cell 1>", 2, "f(x)"]]}
        return packed({"err": error})
    encoder = Encoder(lambda kept: rng.randrange(5))
    tree = encoder.encode(_value(rng, 0))
    return packed({"ok": tree}, b"".join(bytes(buffer) for buffer in encoder.buffers))


def _value(rng: random.Random, depth: int) -> Any:
    choice = rng.randrange(14 if depth < 4 else 9)
    simple: list[Callable[[], Any]] = [
        lambda: rng.choice([None, True, False]),
        lambda: rng.randint(-(2**70), 2**70),
        rng.random,
        lambda: "".join(rng.choices("abc é∑\U0001f600", k=rng.randrange(8))),
        lambda: rng.randbytes(rng.randrange(12)),
        lambda: np.array(rng.random(), dtype=rng.choice(["f2", "f4", "f8", "c8", "c16"]))[()],
        lambda: _array(rng),
        lambda: np.array([["a", "bc"], ["", "d"]])[: rng.randrange(3)],
        lambda: object(),
    ]
    if choice < len(simple):
        return simple[choice]()
    items = [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if choice < 11:
        return items
    if choice == 11:
        return tuple(items)
    named = dict(zip("xyzw", items, strict=False))
    return {**named, rng.randrange(9): None, (1, "k"): 2}


def _array(rng: random.Random) -> Any:
    dtype = rng.choice(["?", "i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "c16"])
    shape = [rng.randrange(4) for _ in range(rng.randrange(4))]
    return np.full(shape, rng.randrange(2), dtype=dtype)


def mutated(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    """`frame`, changed once or a few times."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        change = rng.choice([_tree, _tree, _tree, _flip, _cut, _repeat, _splice, _lengths])
        frame = change(frame, other, rng)[:MAX_FRAME]
    return frame


def _tree(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    header, payload = _opened(frame)
    donor, _ = _opened(other)
    places = list(_places(header))
    if not places:
        return packed(rng.choice(INTERESTING), payload)
    holder, key = rng.choice(places)
    act = rng.randrange(7)
    if act == 0:
        holder[key] = rng.choice(INTERESTING)
    elif act == 1 and type(holder) is list:
        holder[0] = rng.choice(TAGS)
    elif act == 2:
        holder[key] = rng.choice([*_parts(donor), None])
    elif act == 3 and type(holder) is list:
        holder[key : key + 1] = [holder[key]] * rng.choice([0, 2, 3, 40])
    elif act == 4:
        for _ in range(rng.choice([1, 5, 31, 33, 200])):
            holder[key] = [rng.choice("lt"), [holder[key]]]
    elif act == 5 and type(holder[key]) is int:
        holder[key] = max(-(2**63), min(2**64 - 1, holder[key] + rng.choice([-1, 1, 2**31, 2**40, -(2**20)])))
    else:
        holder[key] = {"ok": holder[key], rng.choice(["up", "err", "ok"]): rng.choice(INTERESTING)}
    with contextlib.suppress(ValueError, OverflowError, UnicodeEncodeError, RecursionError):
        return packed(header, payload)
    return frame


def _opened(frame: bytes) -> tuple[Any, bytes]:
    with contextlib.suppress(Exception):
        length = struct.unpack("<I", frame[4:8])[0]
        return msgpack.unpackb(frame[16 : 16 + length], strict_map_key=False), frame[16 + length :]
    return {"ok": None}, b""


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    if type(tree) in (list, dict):
        for key in list(tree) if type(tree) is dict else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def _parts(tree: Any) -> Iterator[Any]:
    for holder, key in _places(tree):
        yield holder[key]


def _flip(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    raw = bytearray(frame)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if raw:
            raw[rng.randrange(len(raw))] = rng.choice(
                [rng.randrange(256), 0, 0xFF, 0x90, 0xC1, 0xDD, 0xDF, 0xC9]
            )
    return bytes(raw)


def _cut(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(frame) + 1)
    end = rng.choice([len(frame), start + rng.randrange(9)])
    return frame[:start] + frame[end:]


def _repeat(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(frame) + 1)
    piece = frame[start : start + rng.randrange(1, 17)]
    return frame[:start] + piece * rng.choice([2, 3, 64, 4096]) + frame[start:]


def _splice(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    return frame[: rng.randrange(len(frame) + 1)] + other[rng.randrange(len(other) + 1) :]


def _lengths(frame: bytes, other: bytes, rng: random.Random) -> bytes:
    body = frame[16:]
    header = rng.choice([len(body), len(body) - 1, 0, 1, wire.MAX_HEADER, wire.MAX_HEADER + 1, 2**32 - 1])
    payload = rng.choice([0, 1, len(body), wire.MAX_PAYLOAD, wire.MAX_PAYLOAD + 1, 2**63, 2**64 - 1])
    return MAGIC + struct.pack("<IQ", max(0, header), payload) + body


# Running


def batch(seed: int, frames: int = BATCH) -> dict[str, int]:
    """`frames` frames from `seed` in this process; how often each outcome came. Raises where one is a
    finding.
    """
    rng = random.Random(seed)
    corpus = [valid_frame(rng) for _ in range(40)]
    outcomes: dict[str, int] = {}
    for _ in range(frames):
        frame = mutated(rng.choice(corpus), rng.choice(corpus), rng)
        start = time.process_time()
        try:
            outcome = consume(frame)
        except BaseException as error:
            raise Finding(f"seed {seed}: {type(error).__name__}: {error}\n{frame[:2000].hex()}") from error
        seconds = time.process_time() - start
        if seconds > SECONDS:
            raise Finding(f"seed {seed}: {seconds:.1f} s\n{frame[:2000].hex()}")
        if outcome not in outcomes and len(corpus) < 500:
            corpus.append(frame)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


def confined(seed: int, frames: int = BATCH) -> tuple[str, int]:
    """A batch in a process of its own: ("", number of different outcomes), or what was found and 0."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            mapped = address_space()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
            signal.setitimer(signal.ITIMER_REAL, 2 * PATIENCE + frames)  # SIGALRM ends a batch that hangs
            told = f"ok {len(batch(seed, frames))}"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode(errors="replace")[:8000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if told.startswith("ok "):
        return "", int(told[3:])
    return told or f"seed {seed}: the process ended with wait status {status}", 0


def fuzz(seconds: float, seed: int) -> list[str]:
    """Batches for `seconds`; the findings."""
    findings: list[str] = []
    end, start = time.monotonic() + seconds, time.monotonic()
    frames = outcomes = 0
    while time.monotonic() < end and len(findings) < 10:
        found, different = confined(seed)
        frames, outcomes = frames + BATCH, max(outcomes, different)
        if found:
            findings.append(found)
            print(found, flush=True)
        seed += 1
    print(
        f"{frames} frames in {time.monotonic() - start:.0f} s, up to {outcomes} different outcomes in a "
        f"batch, {len(findings)} findings."
    )
    return findings


def guided(seconds: int, seed: int) -> None:
    """The same by atheris; it ends the process itself, with a status of 0 where it found nothing."""
    import atheris

    for name in ("Decoder", "Channel"):
        kind = getattr(wire, name)
        for attribute, function in vars(kind).items():
            if callable(function) and hasattr(function, "__code__"):
                setattr(kind, attribute, atheris.instrument_func(function))
    wire.Decoder._DECODERS = {
        tag: vars(wire.Decoder)[function.__name__] for tag, function in wire.Decoder._DECODERS.items()
    }

    def one(data: bytes) -> None:
        consume(data)

    def mutator(data: bytes, max_size: int, salt: int) -> bytes:
        rng = random.Random(salt)
        if rng.random() < 0.2:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data or valid_frame(rng), valid_frame(rng), rng)[:max_size]

    limits = [f"-rss_limit_mb={1024 + (MEMORY >> 20)}", f"-timeout={PATIENCE:g}", f"-max_len={1 << 16}"]
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", f"-seed={seed + 1}", "-artifact_prefix=/tmp/", *limits],
        one,
        custom_mutator=mutator,
    )
    atheris.Fuzz()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Fuzz the grader's end of the wire.")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401 - so that tensors are decoded, and the memory counted is the frames' alone
    if importlib.util.find_spec("atheris"):
        guided(options.seconds, options.seed)
    sys.exit(1 if fuzz(options.seconds, options.seed) else 0)


if __name__ == "__main__":
    main()

"""The wire: everything plain crosses unchanged, everything else becomes a handle, and nothing malformed gets
through.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from collections import Counter, OrderedDict, defaultdict, namedtuple
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.sandbox import wire
from autograder.sandbox.channel import MAGIC, Channel, Deadline, PeerClosed
from autograder.sandbox.wire import Decoder, Encoder, Handle, WireError


def crossed(value: Any) -> Any:
    """The value as the other side sees it, through real msgpack."""
    encoder = Encoder(lambda kept: 7)
    tree = msgpack.unpackb(msgpack.packb(encoder.encode(value)), strict_map_key=True)
    payload = bytearray(b"".join(encoder.buffers))
    assert len(payload) == encoder.nbytes
    return Decoder(payload, lambda id, name: Handle(id, name)).decode(tree)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return a == b


ARRAYS = hnp.arrays(
    dtype=st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="<"),
        hnp.unsigned_integer_dtypes(endianness="<"),
        hnp.floating_dtypes(sizes=(16, 32, 64), endianness="<"),
        hnp.complex_number_dtypes(sizes=(64, 128), endianness="<"),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(), st.text(), st.binary(max_size=50)
)
VALUES = st.recursive(
    st.one_of(SCALARS, ARRAYS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.integers(), st.tuples(st.integers())), inner, max_size=4
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(VALUES)
def test_plain_values_come_back_the_same(value: Any) -> None:
    assert same(crossed(value), value)


@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.int32(-3), np.bool_(True), np.complex64(1j), np.float16("nan")]
)
def test_numpy_scalars_keep_their_type(value: np.generic) -> None:
    assert same(crossed(value), value)


def test_arrays_in_any_layout_arrive_contiguous_and_writable() -> None:
    base = np.arange(24.0).reshape(2, 3, 4)
    for array in (base.T, base[:, ::2], base.astype(">f8"), np.broadcast_to(base[0], (5, 3, 4))):
        came = crossed(array)
        assert np.array_equal(came, array)
        assert came.flags.c_contiguous and came.flags.writeable and came.dtype.isnative


def test_strings_in_arrays() -> None:
    names = np.array([["cat", "dog"], ["", "axolotl"]])
    assert np.array_equal(crossed(names), names)


class Sneaky(np.ndarray):
    pass


class Agreeable:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


Pair = namedtuple("Pair", "first second")


class Walker(NamedTuple):
    x: int
    y: int

    def step(self) -> int:
        return self.x + self.y


class Line(NamedTuple):
    x: int
    y: int

    @property
    def length(self) -> int:
        return self.y - self.x


class Bag(dict[str, int]):
    pass


class Level(IntEnum):
    LOW = 1


class Name(StrEnum):
    A = "a"


def state_of_a_module() -> OrderedDict[str, int]:
    state = OrderedDict(weight=1)
    state._metadata = {}  # type: ignore[attr-defined]
    return state


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (defaultdict(list, a=[1, 2]), {"a": [1, 2]}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (Pair(1, [2.5]), (1, [2.5])),
        ({"deep": [Pair(None, defaultdict(int, x=3))]}, {"deep": [(None, {"x": 3})]}),
        ({Pair(2, 3): 1, Level.LOW: 2, Name.A: 3}, {(2, 3): 1, 1: 2, "a": 3}),
        ({True: 1, 2.5: 2, None: 3}, {True: 1, 2.5: 2, None: 3}),
    ],
    ids=["defaultdict", "OrderedDict", "Counter", "namedtuple", "deep", "keys", "usual keys"],
)
def test_what_is_as_plain_as_a_dict_or_a_tuple_crosses_as_one(value: Any, plain: Any) -> None:
    def types(value: Any) -> Any:
        if isinstance(value, dict):
            return dict, [(types(key), types(item)) for key, item in value.items()]
        if isinstance(value, list | tuple):
            return type(value), [types(item) for item in value]
        return type(value)

    came = crossed(value)
    assert came == plain and types(came) == types(plain)


def test_torch_s_own_kinds_of_tuple_and_tensor_cross_as_plain_ones() -> None:
    torch = pytest.importorskip("torch")
    values, indices = crossed(torch.tensor([[1.0, 3.0], [5.0, 4.0]]).max(dim=1))
    assert values.tolist() == [3.0, 5.0] and indices.tolist() == [1, 0]
    came = crossed({torch.Size([2, 3]): torch.Size([4])})
    assert came == {(2, 3): (4,)} and {type(each) for each in [*came, *came.values()]} == {tuple}
    assert type(crossed(torch.nn.Linear(1, 1).state_dict())) is Handle
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    image = crossed(tv_tensors.Image(torch.full((3, 2, 2), 0.5)))
    assert type(image) is torch.Tensor and image.shape == (3, 2, 2)


@pytest.mark.parametrize(
    "value",
    [
        Agreeable(),
        np.zeros(3).view(Sneaky),
        state_of_a_module(),
        OrderedDict({7: print}),  # as PyTorch keeps a module's hooks, under numbers that no two runs share
        Bag(a=1),
        Walker(1, 2),
        Line(1, 2),
        type("Row", (Pair,), {})(1, 2),
        type("Int", (int,), {})(3),
        type("Str", (str,), {})("x"),
        np.array([object()]),
        np.zeros(2, dtype=[("a", "f8")]),
        np.zeros(2, dtype=np.longdouble),
        lambda: None,
        {object(): 1},
        np.ma.array([1.0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_everything_else_stays_behind_a_handle(value: Any) -> None:
    handle = crossed(value)
    assert type(handle) is Handle
    assert handle.__eq__(value) is False and handle.__eq__(handle) is False
    with pytest.raises(TypeError):
        bool(handle)
    with pytest.raises(AttributeError):
        handle.__array__  # noqa: B018


def test_without_a_keeper_objects_may_not_cross() -> None:
    with pytest.raises(WireError):
        Encoder().encode(object())


def test_torch_tensors_cross_with_their_gradient_flag() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6.0).reshape(2, 3).t().requires_grad_()
    came = crossed(tensor)
    assert type(came) is torch.Tensor and came.requires_grad and torch.equal(came, tensor)
    assert type(crossed(torch.zeros(2, dtype=torch.bfloat16))) is Handle
    assert type(crossed(torch.zeros(2, 2).to_sparse())) is Handle


def test_depth_nodes_and_integers_are_bounded() -> None:
    deep: list[Any] = []
    for _ in range(wire.MAX_DEPTH + 2):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    for value in (deep, cycle, [0] * (wire.MAX_NODES + 1), 2 ** (wire.MAX_INT_BITS + 1)):
        with pytest.raises(WireError):
            Encoder(lambda kept: 1).encode(value)


TREES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 2**62), st.floats(), st.text(max_size=4),
        st.binary(max_size=20),
        st.sampled_from(["l", "t", "d", "i", "a", "T", "s", "u", "h", "H", "<f8", "|b1", "|O", "zz"]),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(TREES, st.binary(max_size=200))
def test_no_tree_does_more_than_decode_or_be_refused(tree: Any, payload: bytes) -> None:
    with contextlib.suppress(WireError):
        Decoder(bytearray(payload), lambda id, name: Handle(id, name)).decode(tree)


@pytest.mark.parametrize(
    "tree",
    [
        ["a", "<f8", [2**39]],
        ["a", "<f8", [2**20, 2**20, 2**20]],
        ["a", "|O", [1]],
        ["a", "<f8", [-1]],
        ["a", "<f8", [1.0]],
        ["s", "<f8", b"1234567"],
        ["i", "0x" + "f" * 5000],
        ["u", [2000], ["a" * 100_000] + ["a"] * 1999],
        ["d", [[["l", []], 1]]],
        ["h", -1],
    ],
    ids=lambda tree: str(tree)[:30],
)
def test_malformed_and_oversized_trees_are_refused(tree: Any) -> None:
    with pytest.raises(WireError):
        Decoder(bytearray(64), lambda id, name: None).decode(tree)


def test_two_arrays_cannot_share_bytes() -> None:
    a, b = Decoder(bytearray(128), lambda id, name: None).decode(
        ["l", [["a", "<f8", [2]], ["a", "<f8", [2]]]]
    )
    a[:] = 1.0
    assert (b == 0).all()


def test_booleans_are_made_true_or_false() -> None:
    array = Decoder(bytearray(b"\x02\x00" + bytes(62)), lambda id, name: None).decode(["a", "|b1", [2]])
    assert array.tolist() == [True, False] and array.view(np.uint8).tolist() == [1, 0]


def pair() -> tuple[Channel, Channel]:
    a, b = socket.socketpair()
    return Channel(a), Channel(b)


def test_messages_cross_whole() -> None:
    ours, theirs = pair()
    big = np.arange(1 << 20, dtype=np.float64)
    encoder = Encoder()
    header = {"x": encoder.encode(big)}
    sender = threading.Thread(target=ours.send, args=(header, encoder.buffers, encoder.nbytes))
    sender.start()
    came, payload = theirs.receive(time.monotonic() + 10)
    sender.join()
    assert np.array_equal(Decoder(payload, lambda *_: None).decode(came["x"]), big)


@pytest.mark.parametrize(
    "raw",
    [
        b"NOPE" + bytes(12),
        MAGIC + struct.pack("<IQ", wire.MAX_HEADER + 1, 0),
        MAGIC + struct.pack("<IQ", 1, wire.MAX_PAYLOAD + 1),
        MAGIC + struct.pack("<IQ", 1, 0) + b"\xc1",
        MAGIC + struct.pack("<IQ", 6, 0) + msgpack.packb(msgpack.ExtType(1, b"abc")),
    ],
)
def test_malformed_frames_are_refused(raw: bytes) -> None:
    ours, theirs = pair()
    ours.socket.sendall(raw)
    with pytest.raises(WireError):
        theirs.receive(time.monotonic() + 2)


def test_a_slow_drip_meets_the_deadline_of_the_whole_message() -> None:
    ours, theirs = pair()
    stop = threading.Event()

    def drip() -> None:
        for byte in MAGIC + struct.pack("<IQ", 1 << 20, 0) + bytes(1000):
            if stop.wait(0.02):
                return
            ours.socket.sendall(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    with pytest.raises(Deadline):
        theirs.receive(start + 0.3)
    assert time.monotonic() - start < 1.0
    stop.set()
    thread.join()


def test_a_closed_peer_is_noticed() -> None:
    ours, theirs = pair()
    ours.socket.close()
    with pytest.raises(PeerClosed):
        theirs.receive(time.monotonic() + 1)

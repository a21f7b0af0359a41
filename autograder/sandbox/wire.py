"""The wire between the grader and a worker: which values may cross, and what stands for them.

Only plain values cross, by exact type: None, bool, int, float, str, bytes, list, tuple, dict, NumPy arrays
and scalars of numeric, boolean or string dtype, dense torch tensors. What a few well-known types stand for
crosses as that: a `defaultdict` as a dict (see `plain`), an image of torchvision's as a tensor. Every other
object stays where it is, and an opaque `Handle` crosses in its place. Nothing received is ever unpickled,
evaluated or imported, and both sides bound size, depth and the number of nodes before they allocate.

A value becomes a tree of lists and plain scalars, and a payload in which arrays lie one after the other, each
aligned to 64 bytes, so that no offset ever has to be trusted. How both are framed says `channel`.

This module is also loaded inside the sandbox and therefore imports nothing of the engine.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.sandbox.plain import plain_container, plain_key

MAX_HEADER = 16 << 20
MAX_PAYLOAD = 512 << 20
MAX_DEPTH = 32
MAX_NODES = 200_000
MAX_EQUAL_HASHES = 64
"""Keys of one dictionary that may have the same hash: more of them make every look-up slow."""
MAX_NDIM = 32
MAX_INT_BITS = 4096
ALIGNMENT = 64

_NUMERIC = frozenset(
    ["|b1", "|i1", "|u1"]
    + [f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8)]
    + ["<f2", "<f4", "<f8", "<c8", "<c16"]
)
_TENSORS = frozenset(
    [("torch", "Tensor"), ("torch.nn.parameter", "Parameter")]
    + [(f"torchvision.tv_tensors._{name.lower()}", name) for name in ("Image", "Mask", "Video")]
)
_KEY_TYPES = (type(None), bool, int, float, str, bytes, tuple, np.generic)


class WireError(Exception):
    """A message breaks the rules: malformed, too large, too deep, or a value that may not cross."""


class Handle:
    """An object that stayed in the worker.

    It can be called, its attributes read and set, and it can be passed back. It compares equal to nothing,
    has no length, and converts to nothing: whatever it stands for cannot act on this side.
    """

    __slots__ = ("_id", "_owner", "_typename")

    def __init__(self, id: int, typename: str, owner: Any = None) -> None:
        object.__setattr__(self, "_id", id)
        object.__setattr__(self, "_typename", typename)
        object.__setattr__(self, "_owner", owner)

    def __repr__(self) -> str:
        return f"<an object of type {self._typename}>"

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(("Handle", self._id))

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} has no truth value")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object where it is."""
        return self._owner.call_handle(self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(
            "__"
        ):  # NumPy, pytest and copy probe for protocols; none of them may reach the worker
            raise AttributeError(name)
        return self._owner.get_attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._owner.set_attribute(self, name, value)


class Encoder:
    """Turns values into a tree of plain msgpack types and a list of buffers.

    `keep` is called with each object that may not cross and returns its handle id; without it such an object
    is an error (the grader's side never hands out its own objects).
    """

    def __init__(self, keep: Callable[[Any], int] | None = None) -> None:
        self._keep = keep
        self.buffers: list[Any] = []
        self.nbytes = 0
        self._nodes = 0

    def encode(self, value: Any) -> Any:
        """The tree of `value`; its arrays are appended to `buffers`. Raises `WireError`."""
        return self._encode(value, 0)

    def _encode(self, value: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise WireError(f"the value has more than {MAX_NODES:,} parts")
        if depth > MAX_DEPTH:
            raise WireError(f"the value is nested more than {MAX_DEPTH} levels deep")
        kind = type(value)  # exact: a subclass may carry behaviour
        if value is None or kind is bool or kind is float or kind is str or kind is bytes:
            return value
        if kind is int:
            if -(2**63) <= value < 2**64:
                return value
            if value.bit_length() > MAX_INT_BITS:
                raise WireError(f"an integer has more than {MAX_INT_BITS} bits")
            return ["i", hex(value)]
        if kind is list:
            return ["l", [self._encode(item, depth + 1) for item in value]]
        if kind is tuple:
            return ["t", [self._encode(item, depth + 1) for item in value]]
        if kind is dict:
            pairs = []
            for key, item in value.items():
                if isinstance(key, _KEY_TYPES):
                    pairs.append([self._encode(plain_key(key), depth + 1), self._encode(item, depth + 1)])
                else:
                    return self._handle(value)
            return ["d", pairs]
        if kind is Handle:
            return ["H", value._id, value._typename]
        if kind is np.ndarray:
            return self._array(value, "a")
        if isinstance(value, np.generic) and kind.__module__ == "numpy":
            return self._scalar(value)
        if (kind.__module__, kind.__name__) in _TENSORS:
            return self._tensor(value)
        plain = plain_container(value)
        return self._handle(value) if plain is None else self._encode(plain, depth)

    def _handle(self, value: Any) -> Any:
        kind = type(value)
        if self._keep is None:
            raise WireError(f"an object of type {kind.__name__} may not cross")
        return ["H", self._keep(value), f"{kind.__module__}.{kind.__qualname__}"[:120]]

    def _array(self, array: np.ndarray[Any, Any], tag: str) -> Any:
        if array.dtype.kind == "U" and tag == "a":
            return ["u", list(array.shape), [self._encode(item, 1) for item in array.ravel().tolist()]]
        dtype = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
        if dtype.hasobject or dtype.str not in _NUMERIC:
            return self._handle(array)
        flat = np.ascontiguousarray(array, dtype=dtype).reshape(-1)
        self._append(flat.view(np.uint8))
        return [tag, dtype.str, list(array.shape)]

    def _append(self, raw: np.ndarray[Any, Any]) -> None:
        if raw.nbytes:
            self.buffers.append(raw.data)
        padding = -raw.nbytes % ALIGNMENT
        if padding:
            self.buffers.append(bytes(padding))
        self.nbytes += raw.nbytes + padding
        if self.nbytes > MAX_PAYLOAD:
            raise WireError(f"the arrays take more than {MAX_PAYLOAD >> 20} MiB")

    def _scalar(self, value: np.generic) -> Any:
        dtype = value.dtype
        if dtype.str not in _NUMERIC:
            return str(value) if dtype.kind == "U" else self._handle(value)
        return ["s", dtype.str, value.tobytes()]

    def _tensor(self, tensor: Any) -> Any:
        torch = sys.modules["torch"]
        if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.is_quantized:
            return self._handle(tensor)
        try:
            array = tensor.detach().resolve_conj().resolve_neg().numpy()
        except (RuntimeError, TypeError):  # bfloat16 and friends have no NumPy counterpart
            return self._handle(tensor)
        tree = self._array(array, "T")
        return [*tree, bool(tensor.requires_grad)] if tree[0] == "T" else tree


class Decoder:
    """Rebuilds values from a tree and a payload, checking every length before it allocates."""

    def __init__(self, payload: bytearray | bytes, resolve: Callable[[int, str], Any]) -> None:
        self._payload = payload
        self._resolve = resolve
        self._offset = 0
        self._nodes = 0

    def decode(self, tree: Any) -> Any:
        """The value of `tree`. Raises `WireError` for anything malformed."""
        return self._decode(tree, 0)

    def _decode(self, tree: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise WireError("the value is nested too deeply or has too many parts")
        kind = type(tree)
        if tree is None or kind in (bool, int, float, str, bytes):
            return tree
        if kind is not list or not tree or type(tree[0]) is not str:
            raise WireError("malformed value")
        tag, *rest = tree
        decode = self._DECODERS.get(tag)
        if decode is None:
            raise WireError("malformed value")
        return decode(self, rest, depth)

    def _sequence(self, rest: list[Any], depth: int) -> list[Any]:
        if len(rest) != 1 or type(rest[0]) is not list:
            raise WireError("malformed sequence")
        return [self._decode(item, depth + 1) for item in rest[0]]

    def _tuple(self, rest: list[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self._sequence(rest, depth))

    def _dict(self, rest: list[Any], depth: int) -> dict[Any, Any]:
        if len(rest) != 1 or type(rest[0]) is not list:
            raise WireError("malformed dict")
        result = {}
        equal: dict[int, int] = {}
        for pair in rest[0]:
            if type(pair) is not list or len(pair) != 2:
                raise WireError("malformed dict")
            key = self._decode(pair[0], depth + 1)
            if not isinstance(key, _KEY_TYPES):
                raise WireError("malformed dict key")
            try:
                # Texts are hashed with a secret; numbers and tuples are not, and can be chosen to collide.
                if type(key) not in (str, bytes):
                    equal[hash(key)] = equal.get(hash(key), 0) + 1
                    if equal[hash(key)] > MAX_EQUAL_HASHES:
                        raise WireError("the keys of a dict collide")
                result[key] = self._decode(pair[1], depth + 1)
            except TypeError as error:  # a tuple that holds a list
                raise WireError("malformed dict key") from error
        return result

    def _int(self, rest: list[Any], depth: int) -> int:
        if len(rest) != 1 or type(rest[0]) is not str or len(rest[0]) > MAX_INT_BITS // 4 + 3:
            raise WireError("malformed integer")
        try:
            return int(rest[0], 16)  # base 16: linear time whatever the length
        except ValueError as error:
            raise WireError("malformed integer") from error

    def _shape(self, shape: Any) -> tuple[int, ...]:
        if type(shape) is not list or len(shape) > MAX_NDIM:
            raise WireError("malformed shape")
        if not all(type(size) is int and 0 <= size < 2**40 for size in shape):
            raise WireError("malformed shape")
        # An empty array may have long other axes, along which a sum would fill the memory.
        if math.prod(size for size in shape if size) > MAX_PAYLOAD:
            raise WireError("an array is too large")
        return tuple(shape)

    def _array(self, rest: list[Any], depth: int) -> np.ndarray[Any, Any]:
        if len(rest) != 2 or type(rest[0]) is not str or rest[0] not in _NUMERIC:
            raise WireError("malformed array")
        dtype, shape = np.dtype(rest[0]), self._shape(rest[1])
        count = math.prod(shape)
        nbytes = count * dtype.itemsize
        if self._offset + nbytes > len(self._payload):
            raise WireError("an array is longer than the message")
        try:
            if count == 0:
                return np.empty(shape, dtype)
            array = np.frombuffer(self._payload, dtype, count, self._offset).reshape(shape)
        except ValueError as error:
            raise WireError("malformed array") from error
        self._offset += nbytes + (-nbytes % ALIGNMENT)
        if dtype.kind == "b":
            # A byte other than 0 and 1 in a boolean array makes NumPy contradict itself.
            array = np.asarray(array.view(np.uint8) != 0)
        return array if array.flags.writeable else array.copy()

    def _tensor(self, rest: list[Any], depth: int) -> Any:
        if len(rest) != 3 or type(rest[2]) is not bool:
            raise WireError("malformed tensor")
        array = self._array(rest[:2], depth)
        try:
            import torch
        except ImportError as error:
            raise WireError("there is no PyTorch here to make a tensor of it") from error
        try:
            tensor = torch.from_numpy(array)
            return tensor.requires_grad_() if rest[2] and array.dtype.kind in "fc" else tensor
        except (TypeError, RuntimeError) as error:
            raise WireError("malformed tensor") from error

    def _scalar(self, rest: list[Any], depth: int) -> Any:
        if (
            len(rest) != 2
            or type(rest[0]) is not str
            or rest[0] not in _NUMERIC
            or type(rest[1]) is not bytes
        ):
            raise WireError("malformed scalar")
        dtype = np.dtype(rest[0])
        if len(rest[1]) != dtype.itemsize:
            raise WireError("malformed scalar")
        if dtype.kind == "b":
            return np.bool_(rest[1] != b"\0")
        return np.frombuffer(rest[1], dtype)[0]

    def _strings(self, rest: list[Any], depth: int) -> np.ndarray[Any, Any]:
        if len(rest) != 2 or type(rest[1]) is not list or not all(type(item) is str for item in rest[1]):
            raise WireError("malformed array of strings")
        shape = self._shape(rest[0])
        self._nodes += len(rest[1])
        longest = max((len(item) for item in rest[1]), default=0)
        # NumPy pads every string to the longest: one long string among many would multiply the memory.
        if math.prod(shape) != len(rest[1]) or longest * len(rest[1]) > MAX_HEADER:
            raise WireError("malformed array of strings")
        return np.array(rest[1], dtype=np.str_).reshape(shape)

    def _handle(self, rest: list[Any], depth: int) -> Any:
        if not 1 <= len(rest) <= 2 or type(rest[0]) is not int or not 0 <= rest[0] < 2**62:
            raise WireError("malformed handle")
        typename = rest[1] if len(rest) == 2 else ""
        if type(typename) is not str:
            raise WireError("malformed handle")
        return self._resolve(rest[0], typename[:120])

    _DECODERS: dict[str, Callable[[Any, list[Any], int], Any]] = {  # noqa: RUF012 - built once, never changed
        "l": _sequence,
        "t": _tuple,
        "d": _dict,
        "i": _int,
        "a": _array,
        "T": _tensor,
        "s": _scalar,
        "u": _strings,
        "h": _handle,
        "H": _handle,
    }

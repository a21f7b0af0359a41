"""A file of trained weights, looked at byte by byte. It is never loaded here: nothing in it is unpickled.

Two kinds are known: safetensors (a bounded JSON header and raw numbers), and what `torch.save` writes of a
state_dict (a zip of raw numbers and one small pickle). The pickle's instructions are listed, not run: what a
state_dict does not need, such as the name of any function but those that put a tensor together, refuses the
file. The student's own `load_model` reads it, in the sandbox.

Sources: https://huggingface.co/docs/safetensors, torch/serialization.py, torch/_weights_only_unpickler.py.
"""

from __future__ import annotations

import io
import json
import math
import pickletools
import re
import stat
import struct
import zipfile
from itertools import pairwise
from typing import Any

MAX_HEADER = 4 << 20
"""Bytes of a safetensors header: some hundred a tensor."""
MAX_PICKLE = 1 << 20
"""Bytes of a pickle, which takes longer to look at."""
MAX_TENSORS = 20_000

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip
_OPCODES = frozenset(
    {"PROTO", "MARK", "STOP", "POP", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
     "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_SET",
     "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT",
     "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"}
)  # fmt: skip
"""What torch's own reader of plain weights takes (protocol 2, which torch.save writes)."""
_FUNCTIONS = frozenset(
    {"collections OrderedDict", "torch Size", "torch._utils _rebuild_tensor_v2",
     "torch._utils _rebuild_tensor_v3", "torch._utils _rebuild_parameter", "torch.serialization _get_layout"}
)  # fmt: skip
_STORAGE = re.compile(r"torch [A-Z][A-Za-z0-9]{2,14}Storage")
_DTYPE = re.compile(r"torch (?:complex|float|bfloat|int|uint)\d{1,2}|torch bool")
# Torch of some versions adds files of a few bytes that say in which order the bytes of a number stand.
_MEMBER = re.compile(
    r"data\.pkl|version|byteorder|data/\d{1,9}|\.data/serialization_id|\.format_version|\.storage_alignment"
)


class WeightsError(ValueError):
    """A file holds no plain weights; the message is a clause that follows on "it": "is empty"."""


def kind_of(content: bytes) -> str:
    """`safetensors` or `pt`, by what the file holds and not by its name. Raises `WeightsError`."""
    if not content:
        raise WeightsError("is empty")
    if content[:4] == b"PK\x03\x04":
        _look_at_torch(content)
        return "pt"
    if content[:1] == b"\x80" or content[:2] == b"(d":
        raise WeightsError("is a bare pickle: hand in what torch.save(model.state_dict(), ...) writes")
    _look_at_safetensors(content)
    return "safetensors"


def _look_at_safetensors(content: bytes) -> None:
    neither = WeightsError("is neither a safetensors file nor one that torch.save wrote")
    if len(content) < 10:
        raise neither
    (length,) = struct.unpack_from("<Q", content)
    if content[8:9] != b"{" or length > len(content) - 8:
        raise neither
    if length > MAX_HEADER:
        raise WeightsError(f"has a header of more than {MAX_HEADER >> 20} MB")
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        raise WeightsError("has a safetensors header that is no JSON") from None
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not tensors:
        raise WeightsError("holds no tensor")
    if len(tensors) > MAX_TENSORS:
        raise WeightsError(f"holds more than {MAX_TENSORS} tensors")
    room = len(content) - 8 - length
    places = sorted(_place(name, entry, room) for name, entry in tensors.items())
    if any(begin < end for (_, end), (begin, _) in pairwise(places)):
        raise WeightsError("has tensors that overlap")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _place(name: str, entry: Any, room: int) -> tuple[int, int]:
    """Where a tensor's numbers lie behind the header, once its entry is found to fit the file."""
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    wrong = WeightsError(f"describes the tensor {_short(name)} in a way that does not fit the file")
    if not (isinstance(dtype, str) and dtype in _BITS):
        raise WeightsError(f"gives the tensor {_short(name)} a dtype that is not known")
    if not (isinstance(shape, list) and len(shape) <= 32 and all(map(_is_count, shape))):
        raise wrong
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_count, offsets))):
        raise wrong
    begin, end = offsets
    if not begin <= end <= room or end - begin != math.prod(shape) * _BITS[dtype] // 8:
        raise wrong
    return begin, end


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _look_at_torch(content: bytes) -> None:
    if content.count(b"PK\x01\x02") > MAX_TENSORS:  # before zipfile makes an object of each entry
        raise WeightsError(f"holds more than {MAX_TENSORS} tensors")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _look_at_members(members, len(content))
            (pickled,) = [member for member in members if member.filename.endswith("/data.pkl")]
            if pickled.file_size > MAX_PICKLE:
                raise WeightsError(f"has a pickle of more than {MAX_PICKLE >> 20} MB")
            program = archive.read(pickled)
    except WeightsError:
        raise
    except Exception:  # whatever a damaged directory or entry makes of zipfile
        raise WeightsError("is a damaged zip file") from None
    _look_at_pickle(program)


def _look_at_members(members: list[zipfile.ZipInfo], size: int) -> None:
    other = WeightsError("is a zip file, but not one that torch.save wrote")
    folders, names = set(), set()
    for member in members:
        folder, _, name = member.orig_filename.partition("/")
        plain = stat.S_IFMT(member.external_attr >> 16) in (0, stat.S_IFREG)
        if not _MEMBER.fullmatch(name) or folder in ("", ".", "..") or "\\" in folder or not plain:
            raise other
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise WeightsError("is a compressed or encrypted zip file, which torch.save does not write")
        folders.add(folder)
        names.add(name)
    if len(folders) != 1 or "data.pkl" not in names or len(names) != len(members):
        raise other
    if not any(name.startswith("data/") for name in names):
        raise WeightsError("holds no tensor")
    if sum(member.file_size for member in members) > size:
        raise other


def _look_at_pickle(program: bytes) -> None:
    try:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name == "GLOBAL":
                _allow(str(argument))
            elif opcode.name not in _OPCODES:
                raise WeightsError(
                    f"is pickled with {opcode.name}, which a state_dict does not need: hand in what "
                    "torch.save(model.state_dict(), ...) writes"
                )
    except WeightsError:
        raise
    except Exception:  # pickletools raises what it likes on damaged programs
        raise WeightsError("holds a damaged pickle") from None


def _allow(function: str) -> None:
    """`function`: module and name, as the pickle has them. Raises `WeightsError` unless it is harmless."""
    if function in _FUNCTIONS or _STORAGE.fullmatch(function) or _DTYPE.fullmatch(function):
        return
    raise WeightsError(
        f"would call {_short(function.replace(' ', '.'))} when it is loaded, and plain weights call nothing: "
        "hand in what torch.save(model.state_dict(), ...) writes, not the model"
    )


def _short(name: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in name[:60])
    return repr(shown) if len(name) <= 60 else f"{shown!r}..."

"""A file of weights is looked at byte by byte: what is plain passes, all else is refused with a reason."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from weights_course import poisoned, safetensors, torch_zip, with_header

from autograder.notebook import weights
from autograder.notebook.weights import WeightsError, kind_of


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def network() -> torch.nn.Module:
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    return torch.nn.Sequential(*layers)


def after_a_step() -> torch.optim.Optimizer:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net(torch.ones(2, 3, 3, 3)).sum().backward()
    optimizer.step()
    return optimizer


PLAIN: dict[str, Callable[[], Any]] = {
    "a state_dict": lambda: network().state_dict(),
    "in half precision": lambda: network().half().state_dict(),
    "in bfloat16": lambda: network().to(torch.bfloat16).state_dict(),
    "parameters": lambda: dict(network().named_parameters()),
    "a checkpoint": lambda: {"epoch": 3, "best": 0.93, "model": network().state_dict(), "classes": ["a"]},
    "an optimiser's state": lambda: after_a_step().state_dict(),
    "whole numbers": lambda: {"a": torch.arange(3), "b": torch.tensor([True]), "c": torch.zeros(())},
    "a slice and a transpose": lambda: {"a": torch.zeros(4, 6)[1:, ::2], "b": torch.zeros(4, 6).T},
}  # fmt: skip


@pytest.mark.parametrize("what", PLAIN)
def test_what_torch_saves_of_plain_weights_passes_here_and_there(what: str) -> None:
    content = saved(PLAIN[what]())
    assert kind_of(content) == "pt"
    torch.load(io.BytesIO(content), weights_only=True)


SHORT = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        safetensors(),
        safetensors([]),
        safetensors([[1.0, 2.0]]),
        with_header({"__metadata__": {"format": "pt"}, "w": SHORT}, bytes(4)),
        with_header({"w": SHORT, "scalar": {"dtype": "U8", "shape": [], "data_offsets": [4, 5]}}, bytes(5)),
        with_header(json.dumps({"w": SHORT}).encode() + b"   ", bytes(4)),
    ],
)  # fmt: skip
def test_safetensors_pass(content: bytes) -> None:
    assert kind_of(content) == "safetensors"


class Command:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


BARE = pickle.dumps({"w": [1.0, 2.0]}, protocol=2)
STATE = zipfile.ZipFile(io.BytesIO(saved({"w": torch.zeros(4)}))).read("archive/data.pkl")
ENTRY = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "a text": (b"my weights", "neither a safetensors file nor"),
    "an array of NumPy": (b"\x93NUMPY" + bytes(200), "neither a safetensors file nor"),
    "a bare pickle": (BARE, "bare pickle"),
    "a bare pickle with a command": (pickle.dumps(Command()), "bare pickle"),
    "torch's old layout": (saved({"w": torch.zeros(4)}, _use_new_zipfile_serialization=False), "bare pickle"),
    "a whole model": (saved(network()), "would call 'torch.nn.modules.container.Sequential'"),
    "a command": (poisoned("true"), "would call 'posix.system'"),
    "a command by another protocol": (torch_zip(pickle.dumps(Command(), protocol=4)), "pickled with"),
    "eval": (torch_zip(b"cbuiltins\neval\n(V1\ntR."), "pickled with UNICODE|would call 'builtins.eval'"),
    "an instance by INST": (torch_zip(b"(S'true'\nios\nsystem\n."), "pickled with"),
    "a name that only begins well": (torch_zip(b"\x80\x02ctorch FloatStorage\nx\n."), "would call"),
    "a damaged pickle": (torch_zip(STATE[:-20] + b"\xff"), "pickled with|damaged pickle"),
    "a pickle without an end": (torch_zip(STATE[:-1]), "damaged pickle"),
    "an enormous pickle": (torch_zip(b"\x80\x02" + b"N0" * (1 << 20)), "pickle of more than 1 MB"),
    "a compressed zip": (torch_zip(STATE, zipfile.ZIP_DEFLATED), "compressed"),
    "another zip": (torch_zip(STATE, **{"model/run.py": b"import os"}), "not one that torch.save wrote"),
    "a zip that leads elsewhere": (torch_zip(STATE, **{"../../etc/passwd": b"x"}), "not one that torch.save"),
    "a zip of two folders": (torch_zip(STATE, **{"other/data/1": b"x"}), "not one that torch.save wrote"),
    "a zip cut short": (saved({"w": torch.zeros(400)})[:-300], "damaged zip"),
    "a header that is too long": (with_header({"w": ENTRY})[:8] + b"{", "neither"),
    "a header of megabytes": (with_header(b"{" + b" " * (5 << 20)), "header of more than 4 MB"),
    "a header that is no JSON": (with_header(b"{'w': 1}", bytes(16)), "no JSON"),
    "a header nested deeply": (with_header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "no JSON"),
    "a name twice": (with_header(b'{"w":{},"w":{}}'), "no JSON"),
    "no tensor": (with_header({"__metadata__": {}}), "holds no tensor"),
    "offsets beyond the file": (safetensors(data_offsets=[0, 20], shape=[5]), "'w' in a way"),
    "offsets that run backwards": (safetensors(data_offsets=[16, 0]), "'w' in a way"),
    "offsets that are no numbers": (safetensors(data_offsets=["0", True]), "'w' in a way"),
    "offsets below 0": (safetensors(data_offsets=[-16, 0]), "'w' in a way"),
    "a shape of another size": (safetensors(shape=[5]), "'w' in a way"),
    "a shape beyond everything": (safetensors(shape=[2**60, 2**60, 0]), "'w' in a way"),
    "an unknown dtype": (safetensors(dtype="OBJECT"), "dtype that is not known"),
    "a tensor that is none": (with_header({"w": 3}), "dtype that is not known"),
    "tensors that overlap": (with_header({"a": ENTRY, "b": ENTRY}, bytes(16)), "overlap"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_plain_is_refused_with_a_reason(what: str) -> None:
    content, says = REFUSED[what]
    with pytest.raises(WeightsError, match=says):
        kind_of(content)


def test_names_are_shown_short_and_without_control_characters() -> None:
    with pytest.raises(WeightsError) as refused:
        kind_of(with_header({"\x1b[31m" + "x" * 200: 3}))
    assert "\x1b" not in str(refused.value) and len(str(refused.value)) < 160


def test_a_zip_of_very_many_entries_is_refused_before_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_TENSORS", 3)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(WeightsError, match="more than 3 tensors"):
        kind_of(b"PK\x03\x04" + b"PK\x01\x02" * 4)


def test_a_command_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = poisoned(f"touch {marker}")
    with pytest.raises(WeightsError):
        kind_of(content)
    assert not marker.exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(io.BytesIO(content), weights_only=True)  # torch's own reader agrees
    torch_says = zipfile.ZipFile(io.BytesIO(content)).read("model/data.pkl")
    pickle.loads(torch_says)  # and the poison is real
    assert marker.exists()


GOOD = [saved({"w": torch.zeros(4), "b": torch.ones(2)}), safetensors(), poisoned("true")]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_the_bytes_there_is_an_answer(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] = data.draw(st.integers(0, 255))
        else:
            del content[place : place + data.draw(st.integers(1, 40))]
        if not content:
            break
    try:
        assert kind_of(bytes(content)) in ("pt", "safetensors")
    except WeightsError as refused:
        assert str(refused)

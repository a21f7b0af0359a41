"""A course whose assignment asks for trained weights beside the notebook, and files of weights, good and bad.

    from weights_course import write_weights_course, safetensors, poisoned

The model is a vector; nothing here needs PyTorch.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from gradebook_course import prepare

from autograder.course import Assignment, Course, load_course

COURSE = """\
name: weights
title: A course with a model file
limits: {call_seconds: 5, cell_seconds: 5}
assignments:
  - slug: tiny
    title: A model
    files:
      - {name: weights, patterns: [model.safetensors, model.pt], max_mb: 1}
    questions:
      - {name: double, points: 2}
      - {name: load_model, points: 3}
"""

SOURCE = '''\
# %% [markdown]
# # A model
# Hand in `model.safetensors` with this notebook.

# %%
import json

import numpy as np

from autograder import check

# %% question="double"
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %%
check("double")

# %% tags=["show"]
numbers = np.arange(4, dtype="<f4")
entry = {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
header = json.dumps(entry).encode()
with open("model.safetensors", "wb") as file:
    file.write(len(header).to_bytes(8, "little") + header + numbers.tobytes())

# %% question="load_model"
def load_model(path):
    """The vector of four numbers in the file."""
    ### BEGIN SOLUTION
    with open(path, "rb") as file:
        content = file.read()
    begin = 8 + int.from_bytes(content[:8], "little")
    return np.frombuffer(content, "<f4", offset=begin).reshape(4).copy()
    ### END SOLUTION


# %%
check("load_model")
'''

PUBLIC = '''\
import pytest
from autograder.checking import assert_close


@pytest.mark.question("double")
def test_three(student):
    """Twice 3 is 6."""
    assert_close(student.double(3), 6)


@pytest.mark.question("load_model")
def test_it_loads(student):
    """Your file holds four numbers."""
    path = student.file("weights", beside=["model.safetensors", "model.pt"])
    assert_close(student.load_model(path).shape, (4,), what="the shape")
'''

HIDDEN = '''\
import numpy as np
import pytest
from autograder.checking import assert_close


@pytest.mark.question("double")
def test_any(student, rng):
    """It is twice the number."""
    x = rng.normal(size=3)
    assert_close(student.double(x), 2 * x)


@pytest.mark.question("load_model")
def test_numbers(student, rng):
    """The numbers count up from 0."""
    rng.normal()
    assert_close(student.load_model(student.file("weights")), np.arange(4.0), rtol=1e-6)
'''

MISTAKES = """\
from autograder.checking import mistake


@mistake("load_model", "The numbers are read in the wrong order.")
def reversed_numbers(path):
    with open(path, "rb") as file:
        content = file.read()
    return np.frombuffer(content[-16:], "<f4")[::-1].copy()
"""

SOURCES = {
    "course.yml": COURSE,
    "solutions/tiny/tiny.py": SOURCE,
    "solutions/tiny/mistakes.py": MISTAKES,
    "tests/tiny/test_public.py": PUBLIC,
    "tests/tiny/test_hidden.py": HIDDEN,
}


def write_weights_course(folder: Path, course: str = COURSE) -> Course:
    """Write the course below `folder`, with its release, its solution notebook (not executed) and weights."""
    root = folder / "course"
    for name, text in {**SOURCES, "course.yml": course}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "solutions/tiny/model.safetensors").write_bytes(safetensors())
    prepare(root)
    return load_course(root)


def solved(assignment: Assignment, **answers: str) -> bytes:
    """The solution as a submission, with these answers in place of its own, and a cell for `own`."""
    from autograder.notebook.percent import read_source

    document = json.loads(assignment.release_notebook.read_bytes())
    sources = {cell.grade_id: cell.source for cell in read_source(assignment.source) if cell.question}
    for cell in document["cells"]:
        grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
        cell["source"] = {**sources, **answers}.get(grade_id, cell["source"])
    if own := answers.get("own"):
        cell = {"cell_type": "code", "id": "own", "metadata": {}, "execution_count": None, "outputs": []}
        document["cells"].insert(0, {**cell, "source": own})
    return json.dumps(document).encode()


def safetensors(numbers: Any = (0.0, 1.0, 2.0, 3.0), **changed: Any) -> bytes:
    """A file with one tensor `w`; `changed` replaces entries of its description."""
    array = np.asarray(numbers, dtype="<f4")
    entry = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [0, array.nbytes], **changed}
    return with_header({"w": entry}, array.tobytes())


def with_header(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header: an object, or the bytes themselves."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def torch_zip(program: bytes, compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A zip as `torch.save` lays it out around a pickle; `members` are further files by their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("model/data.pkl", program)
        archive.writestr("model/version", b"3\\n")
        archive.writestr("model/data/0", bytes(16))
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class _Poison:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def poisoned(command: str) -> bytes:
    """What looks like a model of torch's, and runs a command when it is unpickled."""
    return torch_zip(pickle.dumps({"w": _Poison(command)}, protocol=2))

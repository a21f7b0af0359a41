"""What is graded: the solutions of two assignments of this course, and a tiny notebook with next to no
compute, in NumPy and in PyTorch.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring import build_assignment
from autograder.course import Assignment, load_course

REPOSITORY = Path(__file__).parents[1]

_COURSE = """\
name: bench
title: A tiny course
assignments:
  - slug: tiny
    title: Three functions
    torch: {torch}
    questions:
      - {{name: relu, points: 4}}
      - {{name: softmax, points: 4}}
      - {{name: standardize, points: 4}}
"""

_SOURCE = '''\
# %% [markdown]
# # Three functions

# %%
{imports}
from autograder import check

# %% question="relu"
def relu(x):
    """max(0, x), element by element."""
    ### BEGIN SOLUTION
    return {relu}
    ### END SOLUTION


# %%
check("relu")

# %% question="softmax"
def softmax(scores):
    """Probabilities of each row of scores (N, C)."""
    ### BEGIN SOLUTION
    shifted = scores - {row_max}
    powers = {exp}(shifted)
    return powers / {row_sum}
    ### END SOLUTION


# %%
check("softmax")

# %% question="standardize"
def standardize(x):
    """Columns of x (N, D) with mean 0 and standard deviation 1."""
    ### BEGIN SOLUTION
    return (x - x.mean(0)) / {std}
    ### END SOLUTION


# %%
check("standardize")
'''

_NUMPY = {
    "imports": "import numpy as np\n",
    "relu": "np.maximum(x, 0)",
    "row_max": "scores.max(axis=1, keepdims=True)",
    "exp": "np.exp",
    "row_sum": "powers.sum(axis=1, keepdims=True)",
    "std": "x.std(0)",
    "draw": "np.asarray",
    "take": "np.asarray",
}
_TORCH = {
    "imports": "import torch\n",
    "relu": "torch.clamp(x, min=0)",
    "row_max": "scores.amax(dim=1, keepdim=True)",
    "exp": "torch.exp",
    "row_sum": "powers.sum(dim=1, keepdim=True)",
    "std": "x.std(0, correction=0)",
    "draw": "torch.from_numpy",
    "take": "(lambda tensor: tensor.numpy())",
}
QUESTIONS = ("relu", "softmax", "standardize")

_HEAD = """\
import numpy as np
import pytest
{torch}
from autograder.checking import assert_close
"""

_PUBLIC = '''

@pytest.mark.question("{name}")
def test_{name}_small(student, rng):
    """The shape is that of the argument."""
    x = {draw}(rng.normal(size=(3, 4)))
    assert_close(tuple(student.{name}(x).shape), (3, 4), what="the shape")
'''

_HIDDEN = '''

@pytest.mark.question("{name}")
@pytest.mark.parametrize("shape", [(4, 3), (1, 5), (7, 2)])
def test_{name}_values(student, reference, rng, shape):
    """The values are right."""
    x = {draw}(rng.normal(size=shape) + 1)
    assert_close({take}(student.{name}(x)), {take}(reference.{name}(x)), what="the result")
'''


@dataclass(frozen=True)
class Workload:
    """One kind of submission: an assignment, and how many copies each grader gets in a round.

    Graders' times grow linearly with the copies, so the slow ones get fewer.
    """

    name: str
    assignment: Assignment
    copies: dict[str, int]


def workloads(scratch: Path, names: list[str]) -> list[Workload]:
    """The named workloads; the tiny courses are written below `scratch`."""
    return [_workload(scratch, name) for name in names]


NAMES = ("tiny_numpy", "tiny_torch", "02_knn", "09_convnets")
TRIMMED = "nbgrader, only graded cells"
"""nbgrader with copies that hold nothing but what is graded."""
_COPIES = {
    "tiny_numpy": {"autograder": 300, "floor": 300, "nbgrader": 20, "otter": 3},
    "tiny_torch": {"autograder": 300, "floor": 300, "nbgrader": 15, "otter": 3},
    "02_knn": {"autograder": 100, "floor": 30, "nbgrader": 5, TRIMMED: 8, "otter": 2},
    "09_convnets": {"autograder": 16, "floor": 5, "nbgrader": 1, TRIMMED: 3, "otter": 1},
}


def _workload(scratch: Path, name: str) -> Workload:
    if not name.startswith("tiny"):
        return Workload(name, load_course(REPOSITORY).assignment(name), _COPIES[name])
    words = _TORCH if name == "tiny_torch" else _NUMPY
    torch = name == "tiny_torch"
    root = scratch / name
    head = _HEAD.format(torch="import torch" if torch else "")
    public = head + "".join(_PUBLIC.format(name=name, **words) for name in QUESTIONS)
    hidden = head + "".join(_HIDDEN.format(name=name, **words) for name in QUESTIONS)
    files = {
        "course.yml": _COURSE.format(torch=str(torch).lower()),
        "solutions/tiny/tiny.py": _SOURCE.format(**words),
        "solutions/tiny/mistakes.py": "",
        "tests/tiny/test_public.py": public,
        "tests/tiny/test_hidden.py": hidden,
    }
    for file, text in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copy(REPOSITORY / "nbgrader_config.py", root)
    assignment = load_course(root).assignment("tiny")
    build_assignment(assignment)
    return Workload(name, assignment, _COPIES[name])

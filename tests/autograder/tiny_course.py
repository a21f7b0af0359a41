"""A whole course in a temporary folder: two NumPy questions, their suites, mistakes and variants.

    from tiny_course import write_tiny_course        # or the fixture `tiny_course` of conftest.py
    root = write_tiny_course(tmp_path)
    assignment = load_course(root).assignment("tiny")

Each text is a plain template: tests change a course by replacing parts of it (`SOURCE.replace(...)`).
"""

from __future__ import annotations

from pathlib import Path

COURSE = """\
name: tiny
title: A tiny course
assignments:
  - slug: tiny
    title: Two functions
    forbid: [torch, scipy]
    questions:
      - {name: relu_forward, points: 2}
      - {name: softmax, points: 3}
"""

SOURCE = '''\
# %% [markdown]
# # Two functions
# The rectifier $\\max(0, x)$ and the softmax $e^{x_j} / \\sum_k e^{x_k}$.

# %%
import numpy as np

from autograder import check

# %% question="relu_forward"
def relu_forward(x):
    """The rectified linear unit.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    out : array like x
    cache : whatever a backward pass needs
    """
    ### BEGIN SOLUTION
    out = np.maximum(x, 0)
    cache = x
    ### END SOLUTION
    return out, cache


# %%
check("relu_forward")

# %% [markdown]
# ## Softmax
# Shift the scores so that no exponential overflows.

# %% question="softmax"
def softmax(scores):
    """Probabilities of classes.

    Parameters
    ----------
    scores : array (N, C)

    Returns
    -------
    array (N, C); each row sums to 1
    """
    ### BEGIN SOLUTION
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %%
check("softmax")

# %% tags=["show"]
print(relu_forward(np.array([-1.0, 2.0]))[0].tolist())

# %% tags=["show", "timing"]
import time

print(time.perf_counter())
'''

PUBLIC = '''\
import numpy as np
import pytest
from autograder.checking import assert_close


@pytest.mark.question("relu_forward")
def test_relu_small(student):
    """Negative entries become 0, the others stay."""
    out, _ = student.relu_forward(np.array([[-1.0, 0.5], [2.0, -3.0]]))
    assert_close(out, np.array([[0.0, 0.5], [2.0, 0.0]]), what="out")


@pytest.mark.question("softmax")
def test_softmax_rows_sum_to_one(student):
    """Each row sums to 1."""
    probabilities = student.softmax(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
    assert_close(probabilities.sum(axis=1), np.ones(2), what="row sums")
'''

HIDDEN = '''\
import numpy as np
import pytest
from autograder.checking import assert_close, assert_stable, assert_unchanged


@pytest.mark.question("relu_forward", weight=2)
def test_relu_values(student, reference, rng):
    """The output equals max(0, x), for any shape."""
    for shape in [(4,), (3, 5), (2, 3, 4)]:
        x = rng.normal(size=shape)
        out, _ = student.relu_forward.keeping(1)(x)
        expected, _ = reference.relu_forward(x)
        assert_close(out, expected, what="out", hint="Compare with zero element by element.")


@pytest.mark.question("relu_forward")
def test_relu_leaves_input_alone(student, reference, rng):
    """The input is not changed."""
    x = rng.normal(size=(3, 4))
    out, _ = assert_unchanged(student.relu_forward.keeping(1), x)
    assert_close(out, reference.relu_forward(x)[0], what="out")


@pytest.mark.question("softmax", weight=2)
def test_softmax_values(student, reference, rng):
    """The probabilities equal the definition."""
    scores = rng.normal(size=(4, 3))
    assert_close(student.softmax(scores), reference.softmax(scores), what="probabilities")


@pytest.mark.question("softmax")
def test_softmax_large_scores(student, reference):
    """Large scores do not overflow."""
    scores = np.array([[1000.0, 1001.0, 999.0]])
    assert_stable(student.softmax(scores), reference.softmax(scores), what="probabilities")
'''

MISTAKES = """\
import numpy as np
from autograder.checking import mistake


@mistake("relu_forward", "Negative entries keep their size: this is |x|, not max(0, x).")
def absolute_value(x):
    return np.abs(x), x


@mistake("relu_forward", "The negative entries are kept and the positive ones dropped.")
def wrong_sign(x):
    return np.minimum(x, 0), x


@mistake("relu_forward", "The input itself is overwritten.")
def in_place(x):
    x[x < 0] = 0
    return x, x


@mistake("relu_forward", "The result is flat: it must have the shape of x.")
def flat(x):
    return np.maximum(x, 0).ravel(), x


@mistake("softmax", "The scores are not shifted before the exponential, so that large ones overflow.")
def not_shifted(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@mistake("softmax", "The sum runs over the examples (axis 0), not over the classes (axis 1).")
def wrong_axis(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum(axis=0, keepdims=True)


@mistake("softmax", "The exponentials are not divided by their sum.")
def not_divided(scores):
    return np.exp(scores - scores.max(axis=1, keepdims=True))


@mistake("softmax", "The maximum is taken over the examples: each column is shifted by another number.")
def shifted_by_columns(scores):
    exponentials = np.exp(scores - scores.max(axis=0))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
"""

VARIANT = """\
import numpy as np


def relu_forward(x):
    return np.where(x > 0, x, 0.0), (x > 0)


def softmax(scores):
    log_sum = np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return np.exp(scores - log_sum)
"""

LOOPS = """\
import math


def relu_forward(x):
    out = x.copy()
    for index in np.ndindex(x.shape):
        if out[index] < 0:
            out[index] = 0.0
    return out, None


def softmax(scores):
    rows = []
    for row in scores:
        exponentials = [math.exp(score - max(row)) for score in row]
        rows.append([value / sum(exponentials) for value in exponentials])
    return np.array(rows)
"""

FILES = {
    "course.yml": COURSE,
    "solutions/tiny/tiny.py": SOURCE,
    "solutions/tiny/mistakes.py": MISTAKES,
    "solutions/tiny/variants/other_way.py": VARIANT,
    "solutions/tiny/variants/loops.py": LOOPS,
    "tests/tiny/test_public.py": PUBLIC,
    "tests/tiny/test_hidden.py": HIDDEN,
}


def write_tiny_course(folder: Path, **changed: str) -> Path:
    """Write the course below `folder` and return its root.

    `changed` replaces whole files by the stem of their name: `write_tiny_course(tmp_path, tiny="# %%...")`.
    """
    root = folder / "course"
    stems = {Path(name).stem for name in FILES}
    assert set(changed) <= stems, f"no such file: {set(changed) - stems}"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, text), encoding="utf-8")
    return root

"""The small course that is attacked: one assignment in NumPy, one in PyTorch.

{SECRET:...} in a text is replaced by a fresh secret when the course is written.
"""

from __future__ import annotations

COURSE = """\
name: bank
title: A course worth attacking
limits: {call_seconds: 1, cell_seconds: 1, load_seconds: 3, submission_seconds: 15, memory_mb: 512, cpu_seconds: 10,
  processes: 16, open_files: 64, file_mb: 8, disk_mb: 16, notebook_mb: 4}
assignments:
  - slug: bank
    title: Six functions
    forbid: [torch, scipy, sklearn, numpy.gradient]
    questions:
      - {name: softmax, points: 2}
      - {name: slope, points: 2}
      - {name: cube_backward, points: 2}
      - {name: classify, points: 2}
      - {name: nearest_centroid, points: 2}
      - {name: distances, points: 2}
  - slug: tensors
    title: Two functions on tensors
    torch: true
    forbid: [torch.autograd, torch.nn]
    questions:
      - {name: mse_gradient, points: 2}
      - {name: linear, points: 2}
"""

BANK = '''\
# %% [markdown]
# # Six functions

# %%
import numpy as np

from autograder import check

# %% question="softmax"
def softmax(scores):
    """Probabilities (N, C) of scores (N, C)."""
    ### BEGIN SOLUTION
    # {SECRET:solution}
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %%
check("softmax")

# %% question="slope"
def slope(y, dx):
    """The derivative of samples y (N,) at distance dx: central inside, one-sided at both ends."""
    ### BEGIN SOLUTION
    out = np.empty_like(y)
    out[1:-1] = (y[2:] - y[:-2]) / (2 * dx)
    out[0], out[-1] = (y[1] - y[0]) / dx, (y[-1] - y[-2]) / dx
    return out
    ### END SOLUTION


# %%
check("slope")

# %% question="cube_backward"
def cube_backward(dout, x):
    """The gradient of sum(dout * x**3) with respect to x."""
    ### BEGIN SOLUTION
    return 3 * dout * x * x
    ### END SOLUTION


# %%
check("cube_backward")

# %% question="classify"
def classify(scores):
    """The likeliest class and its probability, arrays (N,), by way of softmax."""
    ### BEGIN SOLUTION
    probabilities = softmax(scores)
    return probabilities.argmax(axis=1), probabilities.max(axis=1)
    ### END SOLUTION


# %%
check("classify")

# %% question="nearest_centroid"
def nearest_centroid(x_train, y_train, x_test):
    """The class (N,) of each row of x_test by the nearest class mean of the training data."""
    ### BEGIN SOLUTION
    classes = np.unique(y_train)
    means = np.stack([x_train[y_train == c].mean(axis=0) for c in classes])
    return classes[((x_test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)]
    ### END SOLUTION


# %%
check("nearest_centroid")

# %% question="distances"
def distances(a, b):
    """Squared Euclidean distances (N, M) of rows of a (N, D) and b (M, D), without loops."""
    ### BEGIN SOLUTION
    return (a * a).sum(axis=1)[:, None] - 2 * a @ b.T + (b * b).sum(axis=1)
    ### END SOLUTION


# %%
check("distances")
'''

BANK_HIDDEN = '''\
# {SECRET:hidden suite}
import numpy as np
import pytest
from autograder.checking import assert_accuracy, assert_close, assert_gradients, assert_stable


@pytest.mark.question("softmax")
def test_softmax(student, reference, rng):
    """The probabilities equal the definition."""
    scores = rng.normal(size=(4, 3))
    assert_close(student.softmax(scores), reference.softmax(scores), what="probabilities")


@pytest.mark.question("softmax")
def test_large_scores(student, reference):
    """Large scores do not overflow."""
    scores = np.array([[1000.0, 1001.0, 999.0]])
    assert_stable(student.softmax(scores), reference.softmax(scores), what="probabilities")


@pytest.mark.question("slope")
def test_slope(student, reference, rng):
    """The slope equals central differences."""
    y = rng.normal(size=9)
    assert_close(student.slope(y, 0.25), reference.slope(y, 0.25), what="slope")


@pytest.mark.question("cube_backward")
def test_gradient(student, reference, rng):
    """The gradient agrees with finite differences and with the formula."""
    x, dout = rng.normal(size=(8, 6)), rng.normal(size=(8, 6))  # some of them near 0, where h**2 shows
    dx = student.cube_backward(dout, x)
    assert_gradients({"x": dx}, lambda x: x**3, {"x": x}, dout)
    assert_close(dx, reference.cube_backward(dout, x), rtol=1e-10, atol=1e-12, what="dx")


@pytest.mark.question("classify", given=["softmax"])
def test_classes(student, reference, rng):
    """Classes and probabilities are right."""
    scores = rng.normal(size=(5, 4))
    assert_close(student.classify(scores), reference.classify(scores), what="classes and probabilities")


@pytest.mark.question("nearest_centroid")
def test_accuracy(student, rng):
    """Most of the hidden test examples are classified."""
    centres, classes = rng.normal(size=(10, 16)), rng.permutation(10)
    y = rng.integers(0, 10, size=400)
    x = centres[y] + 0.7 * rng.normal(size=(400, 16))
    assert_accuracy(student.nearest_centroid(x[:200], classes[y[:200]], x[200:]), classes[y[200:]], 0.8)


@pytest.mark.question("distances")
def test_distances(student, reference, rng):
    """The distances equal the definition."""
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    assert_close(student.distances(a, b), reference.distances(a, b), what="distances")


@pytest.mark.question("distances")
def test_fast(student, reference, rng, budget):
    """No Python loop runs over the rows."""
    a, b = rng.normal(size=(150, 20)), rng.normal(size=(150, 20))

    def slow():
        return [[((x - y) ** 2).sum() for y in b] for x in a]

    # Two of the bank's three processes may share a core: a vectorised answer is 50 times as fast, a loop not.
    budget.assert_faster(lambda: student.distances(a, b), slow, 3, what="distances", rounds=12)
    assert_close(student.distances(a, b), reference.distances(a, b), what="distances")
'''

TENSORS = '''\
# %% [markdown]
# # Two functions on tensors

# %%
import torch

from autograder import check

# %% question="mse_gradient"
def mse_gradient(w, x, y):
    """The gradient (D,) of mean((x @ w - y)**2) with respect to w, by hand."""
    ### BEGIN SOLUTION
    # {SECRET:solution in torch}
    return 2 * x.T @ (x @ w - y) / len(y)
    ### END SOLUTION


# %%
check("mse_gradient")

# %% question="linear"
def linear(x, w, b):
    """x @ w.T + b, by hand."""
    ### BEGIN SOLUTION
    return x @ w.T + b
    ### END SOLUTION


# %%
check("linear")
'''

TENSORS_HIDDEN = '''\
# {SECRET:hidden suite in torch}
import pytest
import torch
from autograder.checking import assert_close


def tensors(rng, *shapes):
    return [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]


@pytest.mark.question("mse_gradient")
def test_mse_gradient(student, reference, rng):
    """The gradient equals the formula."""
    w, x, y = tensors(rng, 3, (5, 3), 5)
    assert_close(student.mse_gradient(w, x, y), reference.mse_gradient(w, x, y), what="gradient")


@pytest.mark.question("linear")
def test_linear(student, reference, rng):
    """The output equals the formula."""
    x, w, b = tensors(rng, (4, 3), (2, 3), 2)
    assert_close(student.linear(x, w, b), reference.linear(x, w, b), what="out")
'''

MISTAKES = """\
# {SECRET:mistakes}
import numpy as np
from autograder.checking import mistake


@mistake("softmax", "The scores are not shifted before the exponential, so that large ones overflow.")
def not_shifted(scores):
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
"""

FILES = {
    "course.yml": COURSE,
    "solutions/bank/bank.py": BANK,
    "solutions/bank/mistakes.py": MISTAKES,
    "tests/bank/test_hidden.py": BANK_HIDDEN,
    "solutions/tensors/tensors.py": TENSORS,
    "tests/tensors/test_hidden.py": TENSORS_HIDDEN,
}

"""Directions, distances, neighbours and their vote, against loops in float64."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, assert_unchanged, fail

SHAPES = ((3, 5, 4), (1, 6, 2), (7, 1, 3), (4, 4, 1), (2, 9, 16))
"""(Q, G, D)."""


def normal(rng, *shape):
    """Random numbers, float64."""
    return torch.tensor(rng.normal(size=shape))


def check_dtype(result, dtype, what):
    """The result is a tensor of the dtype that was given."""
    if not isinstance(result, torch.Tensor) or result.dtype != dtype:
        got = str(result.dtype) if isinstance(result, torch.Tensor) else ""
        fail(f"{what} should be a tensor of {dtype}.", expected=str(dtype), got=got, value=result)


# --- l2_normalize


def slow_normalize(x):
    """Each row divided by its length, row by row."""
    rows = []
    for row in np.asarray(x, dtype=np.float64):
        length = math.sqrt(sum(float(value) ** 2 for value in row))
        rows.append(row / length if length else row)
    return np.array(rows)


@pytest.mark.question("l2_normalize", weight=2)
def test_l2_normalize_values(student, rng):
    """Every row has length one, and its direction; the input is not modified."""
    for shape in ((5, 3), (1, 7), (4, 1), (3, 64)):
        x = 3 * normal(rng, *shape)
        result = assert_unchanged(student.l2_normalize, x)
        hint = "Divide by the root of the sum of squares along dim=1."
        assert_close(result, slow_normalize(x), what=f"the rows of a {shape} tensor", hint=hint)
    x = normal(rng, 6, 5).float()
    result = student.l2_normalize(x)
    check_dtype(result, torch.float32, "The result for float32")
    assert_close(result, slow_normalize(x), rtol=1e-5, atol=1e-6, what="the rows in float32")


@pytest.mark.question("l2_normalize")
def test_l2_normalize_zeros(student, rng):
    """A row of zeros stays one, a short row and a long one get length one."""
    x = normal(rng, 5, 4)
    x[1] = 0
    x[2] *= 1e-6
    x[3] *= 1e6
    hint = "0 / 0 is NaN: keep the length that you divide by above zero."
    assert_close(student.l2_normalize(x), slow_normalize(x), rtol=1e-6, what="the rows", hint=hint)


@pytest.mark.question("l2_normalize")
def test_l2_normalize_gradient(student, rng):
    """Gradients flow through it, through the length as well."""
    x, upstream = normal(rng, 4, 5), normal(rng, 4, 5)
    leaf = x.clone().requires_grad_()
    (leaf / leaf.square().sum(dim=1, keepdim=True).sqrt()).backward(upstream)
    there = student.value("torch")
    _, (dx,) = there.autograd.functional.vjp(student.value("l2_normalize"), (x,), upstream)
    hint = "Neither detach() nor no_grad()."
    assert_close(dx, leaf.grad.numpy(), rtol=1e-6, what="the gradient of x", hint=hint)


# --- euclidean_distances


def slow_distances(queries, gallery):
    """Distance by distance."""
    q, g = np.asarray(queries, dtype=np.float64), np.asarray(gallery, dtype=np.float64)
    return np.array([[math.sqrt(float(np.sum((a - b) ** 2))) for b in g] for a in q])


@pytest.mark.question("euclidean_distances", weight=3)
def test_euclidean_values(student, rng):
    """Entry (i, j) is the distance of query i to picture j; the inputs are not modified."""
    for Q, G, D in SHAPES:
        q, g = normal(rng, Q, D), 2 * normal(rng, G, D)
        result = assert_unchanged(student.euclidean_distances, q, g)
        what = f"the distances of {Q} queries to {G} pictures, D = {D}"
        assert_close(result, slow_distances(q, g), rtol=1e-6, atol=1e-6, what=what)


@pytest.mark.question("euclidean_distances", weight=2)
def test_euclidean_twins(student, rng):
    """Vectors that are long and nearly equal, and the same one twice: exact, and no NaN."""
    for D, dtype in itertools.product((8, 32, 100), (torch.float32, torch.float64)):
        q = (100 + 0.1 * normal(rng, 12, D)).to(dtype)
        g = torch.cat([q[:6], (q[6:].double() + 0.01 * normal(rng, 6, D)).to(dtype)])
        result = student.euclidean_distances(q, g)
        check_dtype(result, dtype, f"The result for {dtype}")
        tolerance = 1e-5 * 100 * math.sqrt(D)
        hint = "In float32 the difference of two large squares is noise: compute in float64, clamp at 0."
        what = "the distances of vectors that are nearly equal"
        assert_close(result, slow_distances(q, g), rtol=0, atol=tolerance, what=what, hint=hint)


@pytest.mark.question("euclidean_distances", weight=2)
def test_euclidean_large(student, rng):
    """500 queries, 1,280 pictures and D = 512 fit into memory."""
    # All differences and their squares would take 2.6 GB. A loop over the queries takes up to half of that,
    # where malloc does not use again what it gave for an aligned block (glibc before 2.38): that has to fit.
    Q, G, D = 500, 1280, 512
    q, g = normal(rng, Q, D).float(), normal(rng, G, D).float()
    result = student.euclidean_distances(q, g)
    if not isinstance(result, torch.Tensor) or tuple(result.shape) != (Q, G):
        fail(f"A tensor of shape ({Q}, {G}) was expected.", value=result)
    rows = rng.integers(Q, size=5)
    columns = rng.integers(G, size=40)
    some = result[rows][:, columns]
    what = "some of the distances"
    assert_close(some, slow_distances(q[rows], g[columns]), rtol=1e-4, atol=1e-3, what=what)


# --- cosine_distances


def slow_cosine(queries, gallery):
    """One minus the product of the directions."""
    return 1 - np.array([[float(a @ b) for b in slow_normalize(gallery)] for a in slow_normalize(queries)])


@pytest.mark.question("cosine_distances", weight=2, given=["l2_normalize"])
def test_cosine_values(student, rng):
    """Entry (i, j) is 1 - cos of the angle between query i and picture j, whatever their lengths."""
    for Q, G, D in SHAPES:
        q, g = 3 * normal(rng, Q, D), 0.1 * normal(rng, G, D)
        result = assert_unchanged(student.cosine_distances, q, g)
        what = f"the distances of {Q} queries to {G} pictures, D = {D}"
        assert_close(result, slow_cosine(q, g), what=what, hint="Normalise the queries and the gallery.")


@pytest.mark.question("cosine_distances", given=["l2_normalize"])
def test_cosine_zeros(student, rng):
    """A row of zeros is at distance 1 from everything."""
    q, g = normal(rng, 3, 4), normal(rng, 5, 4)
    q[1], g[2] = 0, 0
    assert_close(student.cosine_distances(q, g), slow_cosine(q, g), what="the distances with rows of zeros")


@pytest.mark.question("cosine_distances", given=["l2_normalize"])
def test_cosine_range(student, rng):
    """For parallel and opposite vectors in float32 it does not leave the range from 0 to 2."""
    x = normal(rng, 200, 24).float()
    lengths = torch.tensor(rng.uniform(0.1, 9, size=(200, 1))).float()
    for other, expected in ((x * lengths, 0.0), (-x * lengths, 2.0)):
        result = student.cosine_distances(x, other)
        check_dtype(result, torch.float32, "The result for float32")
        own = result.diagonal()
        assert_close(own, np.full(200, expected), rtol=0, atol=1e-5, what="the distances of parallel vectors")
        if result.min() < 0 or result.max() > 2:
            fail(
                "A distance leaves the range from 0 to 2.", expected="from 0 to 2",
                got=f"from {float(result.min()):.3g} to {float(result.max()):.9g}",
                hint="Rounding makes a cosine of 1.0000001: clamp the result.",
            )  # fmt: skip


# --- top_k


def slow_top_k(distances, k, own=None):
    """Sorted by distance, then by index."""
    rows = []
    for i, row in enumerate(distances.tolist()):
        places = [j for j in range(len(row)) if own is None or j != int(own[i])]
        rows.append(sorted(places, key=lambda j: (row[j], j))[:k])
    return np.array(rows, dtype=np.int64)


@pytest.mark.question("top_k", weight=2)
def test_top_k_values(student, rng):
    """The nearest pictures, the nearest first; the distances are not modified."""
    for Q, G, k in ((4, 7, 3), (1, 5, 5), (6, 1, 1), (3, 60, 10)):
        for dtype in (torch.float64, torch.float32):
            d = torch.tensor(rng.permutation(Q * G).reshape(Q, G) / 7).to(dtype)
            result = assert_unchanged(student.top_k, d, k)
            assert_close(result, slow_top_k(d, k), what=f"the {k} nearest of {G}", hint="Smallest first.")


@pytest.mark.question("top_k", weight=2)
def test_top_k_ties(student, rng):
    """Of equal distances the smaller index comes first, for few and for many."""
    for Q, G, values, k in ((5, 9, 3, 6), (20, 40, 2, 25), (3, 3000, 5, 100), (4, 64, 1, 64)):
        d = torch.tensor(rng.integers(values, size=(Q, G)) / 2).float()
        hint = (
            "argsort(stable=True) keeps the order of what is equal; topk and plain argsort promise nothing."
        )
        assert_close(student.top_k(d, k), slow_top_k(d, k), what=f"the {k} nearest of {G}", hint=hint)


@pytest.mark.question("top_k", weight=3)
def test_top_k_own(student, rng):
    """With `own`, a query is never among its neighbours, wherever in the order it stands."""
    for Q, G, values, k in ((6, 6, 50, 5), (8, 8, 2, 4), (5, 12, 3, 11), (9, 30, 4, 7), (4, 2, 3, 1)):
        d = torch.tensor(rng.integers(values, size=(Q, G)) / 4)
        own = torch.tensor(rng.integers(G, size=Q))
        if Q == G:
            own = torch.arange(G)
            d[own, own] = 0
        expected = slow_top_k(d, k, own)
        result = assert_unchanged(student.top_k, d, k, own)
        hint = "Leave out the index own[i], not the first place and not the distance 0."
        assert_close(result, expected, what=f"the {k} nearest of {G}, without the query itself", hint=hint)


@pytest.mark.question("top_k")
def test_top_k_too_many(student, rng):
    """More neighbours than there are raise a ValueError."""
    d = normal(rng, 3, 4).abs()
    for k, own in ((5, None), (4, torch.tensor([1, 0, 3]))):
        try:
            result = student.top_k(d, k, own)
        except StudentError as error:
            if error.type != "ValueError":
                raise
        else:
            left = "" if own is None else ", one of which is the query itself"
            fail(f"{k} neighbours of 4 pictures{left}: a ValueError was expected.", value=result)
    assert_close(student.top_k(d, 4), slow_top_k(d, 4), what="the 4 nearest of 4")


# --- knn_predict


def slow_vote(neighbours, labels):
    """Counted query by query."""
    results = []
    for row in neighbours.tolist():
        found = [int(labels[j]) for j in row]
        counts = Counter(found)
        results.append(next(label for label in found if counts[label] == max(counts.values())))
    return np.array(results, dtype=np.int64)


@pytest.mark.question("knn_predict", weight=2)
def test_knn_predict_values(student, rng):
    """The most frequent class among the neighbours, for one neighbour and for many."""
    for G, k, classes in ((9, 1, 4), (30, 5, 12), (50, 7, 3), (20, 20, 2)):
        neighbours = torch.tensor(np.array([rng.permutation(G)[:k] for _ in range(25)]))
        labels = torch.tensor(rng.integers(classes, size=G))
        result = assert_unchanged(student.knn_predict, neighbours, labels)
        assert_close(result, slow_vote(neighbours, labels), what=f"the classes by {k} neighbours")


@pytest.mark.question("knn_predict", weight=2)
def test_knn_predict_ties(student, rng):
    """Of classes with equally many votes, the one with the nearest neighbour."""
    for k in (2, 4, 5, 6):
        rows, labels = [], torch.tensor(rng.permutation(12).repeat(3))  # gallery: 12 classes, three of each
        for _ in range(30):
            if k == 5:  # two and two, and one that stands anywhere, perhaps first
                one, two, three = rng.choice(12, size=3, replace=False)
                wanted = rng.permutation([one, one, two, two, three])
            else:
                some = rng.choice(12, size=2 if k > 3 else k, replace=False)
                wanted = rng.permutation(np.repeat(some, k // len(some)))
            left = {int(c): iter(np.flatnonzero(labels.numpy() == c)) for c in set(wanted.tolist())}
            rows.append([int(next(left[int(c)])) for c in wanted])
        neighbours = torch.tensor(rows)
        hint = "Neither the smallest label nor the largest wins a tie."
        expected = slow_vote(neighbours, labels)
        assert_close(student.knn_predict(neighbours, labels), expected, what="the classes", hint=hint)

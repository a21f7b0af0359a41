"""Recall at k and mean average precision against loops; splits, of which every property is looked at."""

import itertools
import math

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, assert_unchanged, fail


def rankings(rng, Q, G, classes, M=None):
    """Random rankings of a gallery, its labels and those of the queries."""
    ranking = np.array([rng.permutation(G)[:M] for _ in range(Q)])
    labels, query_labels = rng.integers(classes, size=G), rng.integers(classes, size=Q)
    return torch.tensor(ranking), torch.tensor(labels), torch.tensor(query_labels)


# --- recall_at_k


def slow_recall(neighbours, labels, query_labels, k):
    """Query by query."""
    served = 0
    for row, label in zip(neighbours.tolist(), query_labels.tolist(), strict=True):
        served += any(int(labels[j]) == label for j in row[:k])
    return served / len(query_labels)


@pytest.mark.question("recall_at_k", weight=3)
def test_recall_values(student, rng):
    """The share of queries with a hit among the first k, for every k."""
    for Q, G, classes, M in ((12, 30, 6, 10), (1, 9, 2, 9), (40, 25, 12, 8), (7, 5, 20, 5)):
        neighbours, labels, query_labels = rankings(rng, Q, G, classes, M)
        ks = list(range(1, M + 1))
        result = assert_unchanged(student.recall_at_k, neighbours, labels, query_labels, ks)
        if not isinstance(result, list) or not all(isinstance(each, float) for each in result):
            fail("recall_at_k should return a list of floats.", value=result)
        expected = [slow_recall(neighbours, labels, query_labels, k) for k in ks]
        hint = "A query counts once, however many of the first k are of its class, and all queries count."
        assert_close(result, expected, rtol=1e-6, what=f"recall at 1 to {M}", hint=hint)


@pytest.mark.question("recall_at_k")
def test_recall_any_order(student, rng):
    """The figures stand in the order of `ks`, whatever that is."""
    neighbours, labels, query_labels = rankings(rng, 50, 30, 9, 12)
    for ks in ([10, 1, 4], [2], [12, 12, 3]):
        expected = [slow_recall(neighbours, labels, query_labels, k) for k in ks]
        result = list(student.recall_at_k(neighbours, labels, query_labels, ks))
        assert_close(result, expected, rtol=1e-6, what=f"recall at {ks}")


# --- mean_average_precision


def slow_map(ranking, labels, query_labels):
    """Place by place."""
    found = []
    for row, label in zip(ranking.tolist(), query_labels.tolist(), strict=True):
        hits, total = 0, 0.0
        for place, j in enumerate(row, start=1):
            if int(labels[j]) == label:
                hits += 1
                total += hits / place
        if hits:
            found.append(total / hits)
    return sum(found) / len(found)


def check_map(student, ranking, labels, query_labels, what, hint=""):
    """The student's figure is that of the loops."""
    result = assert_unchanged(student.mean_average_precision, ranking, labels, query_labels)
    if not isinstance(result, float):
        fail("mean_average_precision should return a float.", value=result)
    assert_close(result, slow_map(ranking, labels, query_labels), rtol=1e-5, what=what, hint=hint)


@pytest.mark.question("mean_average_precision", weight=3)
def test_map_values(student, rng):
    """At each hit the share of hits so far, the mean over hits, then over queries."""
    for Q, G, classes in ((10, 24, 3), (1, 12, 2), (30, 15, 4), (5, 200, 5)):
        ranking, labels, query_labels = rankings(rng, Q, G, classes)
        labels[:classes] = torch.arange(classes)  # every class occurs
        check_map(student, ranking, labels, query_labels, f"the mAP of {Q} queries, {G} pictures")


@pytest.mark.question("mean_average_precision")
def test_map_leave_one_out(student, rng):
    """Each picture is a query to all others, with classes of very different size."""
    labels = torch.tensor(rng.permutation(np.repeat([0, 1, 2, 3], [2, 3, 9, 16])))
    N = len(labels)
    ranking = torch.tensor(np.array([rng.permutation(np.delete(np.arange(N), i)) for i in range(N)]))
    hint = "Average over the hits of each query first, then over the queries: every query counts the same."
    check_map(student, ranking, labels, labels, "the mAP, each picture being a query", hint)


@pytest.mark.question("mean_average_precision")
def test_map_extremes(student, rng):
    """All hits in front give 1; all at the end give what the formula says."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    own = torch.tensor([0, 1])
    for front in (True, False):
        rows = [sorted(range(7), key=lambda j, c=c: (int(labels[j] != c) == front, j)) for c in (0, 1)]
        check_map(student, torch.tensor(rows), labels, own, "the mAP of a ranking that is all right or wrong")


@pytest.mark.question("mean_average_precision", weight=2)
def test_map_unanswerable(student, rng):
    """A query of whose class there is nothing is left out; if there is no other, it is a ValueError."""
    ranking, labels, query_labels = rankings(rng, 12, 20, 3)
    labels[:3] = torch.arange(3)
    query_labels[rng.permutation(12)[:5]] = 7
    hint = "Neither 0 nor NaN for a query without hits: it is not in the mean."
    check_map(student, ranking, labels, query_labels, "the mAP, five queries being of an unknown class", hint)
    try:
        result = student.mean_average_precision(ranking, labels, torch.full((12,), 9))
    except StudentError as error:
        if error.type != "ValueError":
            raise
    else:
        fail("No query has a picture of its class: a ValueError was expected.", value=result)


# --- split_by_group


def split_of(student, groups, fraction, seed):
    """(train, test) as lists, after a look at their form."""
    result = student.split_by_group(groups, fraction, seed)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("split_by_group should return (train, test).", value=result)
    for part, name in zip(result, ("train", "test"), strict=True):
        if not isinstance(part, torch.Tensor) or part.dtype != torch.int64 or part.ndim != 1:
            fail(f"{name} should be an int64 tensor of indices.", value=part)
    return [part.tolist() for part in result]


@pytest.mark.question("split_by_group", weight=3)
def test_split_groups(student, rng):
    """Every index is on one side, every group too, and the right number of groups is held out."""
    for sizes, fraction in (((3, 1, 4, 1, 5, 9, 2, 6), 0.25), ((2,) * 15, 0.2), ((1, 30, 1, 1, 1), 0.4)):
        ids = rng.choice(np.arange(-50, 100_000), size=len(sizes), replace=False)
        groups = torch.tensor(rng.permutation(np.repeat(ids, sizes)))
        for seed in range(5):
            train, test = split_of(student, groups, fraction, seed)
            assert_close(sorted(train + test), list(range(len(groups))), what="all indices together")
            inside, outside = ({int(groups[i]) for i in part} for part in (train, test))
            if both := inside & outside:
                fail(
                    f"Group {min(both)} is on both sides of the split.",
                    hint="Choose groups, and take all pictures of each.",
                )
            hint = "round(fraction * number of groups), whatever their sizes."
            expected = round(fraction * len(sizes))
            assert_close(len(outside), expected, what="the number of groups held out", hint=hint)
            if train != sorted(train) or test != sorted(test):
                fail("The indices should be in ascending order.")


@pytest.mark.question("split_by_group")
def test_split_extremes(student, rng):
    """A fraction of 0 holds out nothing, a fraction of 1 everything; groups are not modified."""
    groups = torch.tensor(rng.integers(5, size=20))
    assert_unchanged(student.split_by_group, groups, 0.5, 1)
    everything = list(range(20))
    for fraction, expected in ((0.0, [everything, []]), (1.0, [[], everything])):
        assert_close(split_of(student, groups, fraction, 3), expected, what=f"the split with {fraction}")


@pytest.mark.question("split_by_group", weight=2)
def test_split_seed(student, rng):
    """The same seed gives the same split, whatever else draws random numbers, and disturbs nothing."""
    there = student.value("torch")
    groups = torch.tensor(rng.integers(30, size=60))
    splits = []
    for seed in (4, 4, 5, 6, 7):
        there.manual_seed(len(splits))
        splits.append(split_of(student, groups, 0.5, seed))
    assert_close(splits[1], splits[0], what="the split for the same seed", hint="All randomness from seed.")
    if all(split == splits[0] for split in splits[2:]):
        fail("Other seeds give the same split.", hint="The seed decides which groups are held out.")
    there.manual_seed(11)
    expected = there.rand(4)
    there.manual_seed(11)
    split_of(student, groups, 0.5, 8)
    hint = "A generator of its own: torch.Generator().manual_seed(seed)."
    what = "what torch draws after the split"
    assert_close(there.rand(4), expected.numpy(), rtol=0, atol=0, what=what, hint=hint)


@pytest.mark.question("split_by_group", weight=2)
def test_split_even(student, rng):
    """Over 400 seeds each group is held out equally often, and with every other."""
    sizes, N = (1, 2, 3, 4, 5, 6), 400
    groups = torch.tensor(rng.permutation(np.repeat(np.arange(6), sizes)))
    first = int(rng.integers(1_000_000))
    alone, together = np.zeros(6), dict.fromkeys(itertools.combinations(range(6), 2), 0)
    for seed in range(first, first + N):
        held_out = sorted({int(groups[i]) for i in split_of(student, groups, 1 / 3, seed)[1]})
        alone[held_out] += 1
        for pair in itertools.combinations(held_out, 2):
            together[pair] += 1
    # Each group in a third of the splits, each pair in a fifteenth. The bounds are six standard deviations
    # away, and that one of 15 pairs never occurs has a chance of one in 10^10.
    slack = 6 * math.sqrt(1 / 3 * 2 / 3 / N)
    if np.abs(alone / N - 1 / 3).max() > slack or min(together.values()) == 0:
        shares = ", ".join(f"{share:.0%}" for share in alone / N)
        fail(
            "Some groups are held out more often than others.", expected="33% of the splits, for each",
            got=shares, hint="A random choice of groups, not of pictures, and not of neighbouring groups.",
        )  # fmt: skip

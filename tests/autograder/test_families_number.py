"""Single numbers and shares: counts, per cent, spreads of random numbers, penalties and logarithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autograder.checking import assert_close
from autograder.checking.failure import CheckFailure, current_student
from autograder.checking.families import relate
from autograder.checking.named_numbers import NamedNumbers, named_numbers
from autograder.checking.proxy import LocalBackend, local_student
from autograder.checking.relation import Relation
from autograder.sandbox.service import Service

RNG = np.random.default_rng(8)
PARAMS = {
    "W1": RNG.normal(size=(4, 5)),
    "b1": RNG.normal(size=5),
    "W2": RNG.normal(size=(5, 3)),
    "b2": RNG.normal(size=3),
}
WEIGHTS = float((PARAMS["W1"] ** 2).sum() + (PARAMS["W2"] ** 2).sum())
BIASES = float((PARAMS["b1"] ** 2).sum() + (PARAMS["b2"] ** 2).sum())
CALL = named_numbers({"params": PARAMS, "y": np.zeros(20, int), "reg": 0.1})


def related(got: Any, expected: Any, numbers: NamedNumbers = CALL, rtol: float = 1e-7) -> Relation | None:
    return relate(np.asarray(got), np.asarray(expected), numbers, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize(
    ("got", "expected", "says"),
    [
        (85.0, 0.85, "times 100: a share goes from 0 to 1"),
        (np.array([50.0, 0.0, 100.0]), np.array([0.5, 0.0, 1.0]), "Every number is the right one times 100"),
        (17, 0.85, "times 20, and 20 is the length of axis 0 of y: a count"),
        (np.array([17.0, 5.0]), np.array([0.85, 0.25]), "Every number is the right one times 20"),
    ],
)
def test_a_share_in_per_cent_or_counted(got: Any, expected: Any, says: str) -> None:
    relation = related(got, expected)
    assert relation is not None and relation.family == "scaled"
    assert says in relation.sentence


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.7, 0.85),  # neither a count nor per cent
        (0.5, 0.05),
        (0.5, 0.005),  # still below 1
        (1.0, 0.05),
        (0.0425, 0.85),
        (50.0, 2.5),  # no share
        (13.0, 0.65 + 1e-3),
        (-17.0, 0.85),
    ],
)
def test_no_share_is_read_into_other_numbers(got: float, expected: float) -> None:
    assert related(got, expected) is None


def test_a_hundred_examples_are_counted() -> None:
    relation = related(85, 0.85, named_numbers({"y": np.zeros(100, int)}))
    assert relation is not None and "and 100 is the length of axis 0 of y: a count" in relation.sentence


def test_what_is_not_whole_is_no_count() -> None:
    relation = related(20 * math.pi / 10, math.pi / 10)
    assert relation is not None and relation.sentence.endswith(
        "times 20, and 20 is the length of axis 0 of y."
    )


def test_a_logarithm_to_another_base() -> None:
    relation = related(math.pi / math.log(2), math.pi)
    assert relation is not None and "1/ln 2: a logarithm to base 2" in relation.sentence
    relation = related(math.pi / math.log(10), math.pi)
    assert relation is not None and "a logarithm to base 10" in relation.sentence


@pytest.mark.parametrize(
    ("off", "says"),
    [
        (-0.1 * WEIGHTS, "too small by the sum of squares of the matrices in params times reg = 0.1"),
        (-0.05 * WEIGHTS, "too small by the sum of squares of the matrices in params times reg/2"),
        (0.1 * BIASES, "too large by the sum of squares of the vectors in params times reg = 0.1"),
        (-0.1 * float((PARAMS["W2"] ** 2).sum()), "of params['W2'] times reg = 0.1"),
    ],
)
def test_a_penalty_of_all_weights(off: float, says: str) -> None:
    relation = related(math.e + off, math.e)
    assert relation is not None and relation.family == "term"
    assert says in relation.sentence  # not "2/20", though 20 is a length here and 2/20 is 0.1


@pytest.mark.parametrize(
    ("factor", "family", "says"),
    [
        (math.sqrt(2), "scaled", "times the square root of 2, as nearly as random numbers tell"),
        (1 / math.sqrt(2), "scaled", "times 1 over the square root of 2"),
        (2, "scaled", "times 2,"),
        (0.5, "scaled", "times 1/2,"),
        (0.07, "function", "the square of the right one"),
        (1 / math.sqrt(0.07), "function", "the square root of the right one"),
        (1 / 0.07, "scaled", "The result is 1,"),
        (0, "zeros", "do not differ at all"),
    ],
)
def test_a_spread_is_off_by_a_simple_factor(factor: float, family: str, says: str) -> None:
    relation = related(0.07 * factor * 1.013, 0.07, rtol=0.05)
    assert relation is not None and relation.family == family
    assert relation.weak  # one number known to a few per cent: chance is not far
    assert says in relation.sentence


def test_of_a_spread_nothing_more_is_said() -> None:
    for factor in (1.5, 1.25, 3.0, 0.8, -1.0):
        assert related(0.07 * factor, 0.07, rtol=0.05) is None
        assert related(-0.07 * factor, -0.07, rtol=0.05) is None  # no spread
    assert related(0.07 * math.sqrt(2) * 1.013, 0.07) is None  # where the check is a tight one
    assert related(0.07 * math.sqrt(2) * 1.03, 0.07, rtol=0.05) is None  # half of what the check allows


@pytest.mark.parametrize("rtol", [1e-7, 0.05])
@pytest.mark.parametrize("expected", [0.85, 85, math.e, [0.5, 0.25], [0.51, 0.52, 0.77, 0.9], PARAMS["W1"]])
def test_no_number_is_too_large_or_too_small_to_be_compared(expected: Any, rtol: float) -> None:
    numbers = named_numbers({"params": PARAMS, "W": np.full((4, 5), 1e200), "reg": 1e-300})
    largest, smallest = np.finfo(float).max, 5e-324
    for value in (largest, -largest, largest / 2, 1e200, smallest, -smallest, np.inf, np.nan):
        for got in (np.full(np.shape(expected), value), np.where(np.asarray(expected) > 0.6, value, 0.5)):
            relation = related(got, expected, numbers, rtol)
            assert relation is None or "times inf" not in relation.sentence


class Net:
    def __init__(self, size: int, reg: float) -> None:
        self.params: dict[str, Any] = {}

    def loss(self, x: Any) -> Any:
        return float(x.sum()), {"W": np.tile(x, (3, 1))}

    def penalty(self, reg: float) -> float:
        return reg


def test_a_method_is_known_by_what_its_object_was_given() -> None:
    weights, x = RNG.normal(size=(3, 4)), RNG.normal(size=4)
    names = {"Net": ["size", "reg"], "Net.loss": ["x"]}
    with local_student({"Net": Net}, lambda _: False, seed=0, parameter_names=names.get) as student:
        token = current_student.set(student)
        try:
            other = student.Net(3, reg=0.3)
            other.params = {"W": 2 * weights}
            net = student.Net(3, reg=0.7)
            net.params = {"W": weights}
            loss, grads = net.loss(x)
            given = student.arguments_that_gave(loss)
            with pytest.raises(CheckFailure) as of_loss:
                assert_close(loss, x.sum() + 0.7 * float((weights**2).sum()))
            with pytest.raises(CheckFailure) as of_grads:
                assert_close(grads, {"W": np.tile(x, (3, 1)) + 0.7 * weights})
        finally:
            current_student.reset(token)
    assert list(given) == ["x", "size", "reg", "params"] and given["reg"] == 0.7
    assert of_loss.value.relation is not None and of_grads.value.relation is not None
    assert "sum of squares of params['W'] times reg = 0.7" in of_loss.value.relation.sentence
    assert "minus reg = 0.7 times params['W']" in of_grads.value.relation.sentence


def test_what_an_object_was_given_is_what_was_given_last() -> None:
    names = {"Net": ["size", "reg"], "Net.loss": ["x"]}
    with local_student({"Net": Net}, lambda _: False, seed=0, parameter_names=names.get) as student:
        before = student.Net(3, reg=0.3)
        before.params = {"W": np.ones((3, 4))}
        student.fork = lambda: LocalBackend(Service({"Net": Net}, lambda _: False))
        student.restart()
        net = student.Net(3, reg=0.7)
        assert net._id == before._id  # in the new copy the numbers begin again
        given = student.arguments_that_gave(net.loss(np.ones(4))[0])
        assert given["reg"] == 0.7 and "params" not in given
        net.reg = 0.9
        assert student.arguments_that_gave(net.loss(np.ones(4))[0])["reg"] == 0.9
        assert student.arguments_that_gave(net.penalty(reg=0.1)) == {"reg": 0.1, "size": 3}

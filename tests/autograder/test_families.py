"""Simple families of wrong answers: each is named where it holds, and nothing is where it does not."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable
from autograder.checking.diagnosis import explanations
from autograder.checking.failure import CheckFailure
from autograder.checking.families import relate, relate_lists
from autograder.checking.named_numbers import NamedNumbers, named_numbers
from autograder.checking.relation import Relation
from autograder.checking.rendering import panel_html, panel_text
from autograder.checking.runner import TestRun
from autograder.course.results import QuestionResult, SubmissionResult, TestResult
from autograder.publishing.class_report import _diagnoses
from autograder.student.check import check_namespace

RNG = np.random.default_rng(7)
X = RNG.normal(size=(6, 4))
W = RNG.normal(size=(4, 3))
Y = RNG.normal(size=(6, 3))
SQUARE = RNG.normal(size=(5, 5))
IMAGES = RNG.normal(size=(2, 3, 4, 5))
LONG = RNG.normal(size=9)
TALL = RNG.normal(size=(9, 3))
NINE = np.arange(9)[:, np.newaxis]
STEP = RNG.normal(size=(4, 3))
LATE = RNG.normal(size=(6, 3))
RELU_COLUMNS = (
    np.array([[0.31, 1.27, -0.43, -1.19], [1.13, 0.77, 0.59, -0.23], [0.67, 0.29, -0.91, 1.03]]) + 1e-5
)
LABELS = np.array([3, 0, 2, 2, 1, 4])
CALL = named_numbers({"X": X, "W": W, "reg": 0.3, "config": {"momentum": 0.9, "velocity": Y}})


def named(got: Any, expected: Any, numbers: NamedNumbers = CALL, rtol: float = 1e-7) -> tuple[str, str]:
    relation = relate(np.asarray(got), np.asarray(expected), numbers, rtol=rtol, atol=1e-9)
    return (relation.family, relation.sentence) if relation else ("", "")


CASES: list[tuple[str, Any, Any, str]] = [
    ("scaled", 6 * Y, Y, "times 6, and 6 is the length of axis 0 of X and "),
    ("scaled", Y / 6, Y, "times 1/6, and 6 is the length of axis 0 of X and "),
    ("scaled", -6 * Y, Y, "times minus 6, and"),
    ("scaled", 2 * Y, Y, "Every element is twice the right one."),
    ("scaled", -Y / 2, Y, "half the right one, with the other sign"),
    ("scaled", Y * 0.3, Y, "times reg = 0.3."),
    ("scaled", Y * (1 - 0.9), Y, "1 - config['momentum'] with config['momentum'] = 0.9"),
    ("scaled", Y * 6 / 5, Y, "times 6/5, and 6 is"),
    ("scaled", Y * 1.7, Y, "the right one times 1.7:"),
    ("scaled", 6 * math.e, math.e, "The result is the right one times 6,"),
    ("scaled", Y * np.abs(Y[:, :1]), Y, "The elements along axis 1 have the right ratios"),
    ("sign", -Y, Y, "right but for its sign"),
    ("scaled", 24 * math.e, math.e, "times 24, and 24 is the number of elements of X."),
    ("scaled", W + 0.9 * STEP, W + 0.3 * STEP, "The change from W is the right one times 3, and 3 is"),
    ("scaled", W + 1.7 * STEP, W + STEP, "The change from W is the right one times 1.7: a factor is missing"),
    ("scaled", Y + 2 * LATE, Y + LATE, "The change from config['velocity'] is twice the right one."),
    ("sign", W - 0.3 * STEP, W + 0.3 * STEP, "The change from W is right but for its sign."),
    ("sign", np.array([True, False, True]), np.array([False, True, False]), "Every yes is a no"),
    ("zeros", np.zeros((6, 3)), Y, "Every element is 0"),
    ("function", np.sqrt(np.abs(Y) + 1), np.abs(Y) + 1, "the square root of the right one"),
    ("function", 1 - np.abs(Y), np.abs(Y), "1 minus the right one"),
    ("function", np.abs(Y), Y, "the absolute value"),
    ("transposed", SQUARE.T, SQUARE, "rows and columns"),
    ("transposed", Y.T, Y, "rows and columns"),
    ("transposed", Y.T.reshape(6, 3), Y, "A reshape does not exchange axes"),
    ("transposed", IMAGES.transpose(0, 2, 3, 1), IMAGES, "transpose(0, 2, 3, 1)"),
    ("transposed", IMAGES.transpose(0, 2, 3, 1).reshape(2, -1), IMAGES, "reshaped to (2, 60)"),
    ("offset", np.r_[0.0, LONG[:-1]], LONG, "one step late"),
    ("offset", np.r_[LONG[1:], 9.0], LONG, "one step early"),
    ("offset", LABELS + 1, LABELS, "Every number is one too large."),
    ("offset", LONG[:-1], LONG, "the last along axis 0 is missing"),
    ("offset", LONG[1:], LONG, "the first along axis 0 is missing"),
    ("offset", np.r_[3.0, LONG], LONG, "the first along axis 0 is too many"),
    ("partial", LONG[2:], LONG, "the first 2 along axis 0 are missing"),
    ("reversed", Y[::-1], Y, "reverse order along axis 0"),
    ("shifted", Y + 0.25, Y, "too large by the same amount, 0.25."),
    ("shifted", Y - Y[:, :1], Y, "The elements along axis 1 have the right differences"),
    ("reduced", Y, Y.sum(axis=0), "not yet summed over axis 0"),
    ("reduced", Y, Y.mean(axis=1), "not yet averaged over axis 1"),
    ("reduced", IMAGES, IMAGES.sum(axis=(0, 2, 3)), "not yet summed over axes 0, 2, 3"),
    ("reduced", LONG, LONG.mean(), "not yet averaged over axis 0"),
    ("reduced", Y.sum(), Y.sum(axis=0), "the sum of the right result over axis 0"),
    ("reduced", Y.mean(axis=1), Y, "the mean of the right result over axis 1"),
    ("broadcast", np.broadcast_to(Y.sum(axis=0), (6, 3)), Y, "All elements along axis 0 are the same"),
    ("broadcast", np.tile(LONG, (4, 1)), LONG, "shape (9,) was broadcast to (4, 9)"),
    ("broadcast", LONG[:, None] + np.zeros(9), LONG, "shape (9,) was broadcast to (9, 9)"),
    ("broadcast", LONG[:, None] * LONG + np.diag(LONG - LONG**2), LONG, "stand on the diagonal"),
    ("reshaped", LONG[:, None], LONG, "an axis of length 1 too many"),
    ("reshaped", np.array([math.e]), math.e, "an axis of length 1 too many"),
    ("reshaped", Y.ravel(), Y, "in shape (18,) where (6, 3) was expected"),
    ("term", W * 2.5 - 2 * 0.3 * W[::-1], W * 2.5 - 2 * 0.3 * W[::-1] + 0.6 * W, "exactly minus 2 * reg"),
    ("term", math.e, math.e + 0.3 * float((W**2).sum()), "too small by the sum of squares of W times reg"),
    ("partial", np.where(NINE < 2, TALL, TALL**2 + 3), TALL, "Right for the first 2 along axis 0"),
    ("partial", np.where(NINE < 8, TALL, TALL**2 + 3), TALL, "Right along axis 0 but for the last."),
    ("partial", np.where(NINE > 0, TALL, TALL**2 + 3), TALL, "Right along axis 0 but for the first."),
    ("partial", np.where(NINE[:6] < 5, Y, 0), Y, "Right along axis 0 but for the last."),
    ("partial", np.r_[LONG[:3], 2 * LONG[3:]], LONG, "Right for the first 3 along axis 0, wrong"),
    ("precision", Y.astype(np.float32), Y, "the result is float32"),
    ("precision", Y.astype(np.float32).astype(float), Y, "Right to about"),
    ("unstable", np.where(Y > 0.5, np.inf, Y), Y, "Right wherever it is finite"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "got", "expected", "says"), CASES)
def test_a_family_is_named_where_it_holds(family: str, got: Any, expected: Any, says: str) -> None:
    found, sentence = named(got, expected)
    assert found == family, sentence
    assert says in sentence


UNRELATED: list[tuple[Any, Any]] = [
    (Y + 1e-3 * RNG.normal(size=Y.shape), Y),
    (2 * Y + 1e-5, Y),
    (RNG.normal(size=(6, 3)), Y),
    (RNG.normal(size=(3, 6)), Y),
    (RNG.normal(size=3), Y),
    (2e-3, 1e-3),  # two learning rates
    (0.5, 0.25),  # shares of a few examples
    (np.array([2.0, 4.0, 6.0, 8.0]), np.array([1.0, 2.0, 3.0, 4.0])),  # numbers chosen by hand
    (np.full((4, 3), 0.75), np.array([[0.75, 0.5, 0.25]] * 4)),
    (LABELS[::-1] * 0 + 1, np.array([0, 1, 0, 0, 1, 0])),
    (2.7, math.e),  # any number is some multiple of any other
    (np.array([4.0]), np.array([2.7])),
    (np.array([4.0, 4.0, 4.0]), np.array([2.7, 2.7, 2.7])),
    (Y * 3.1e-1, np.zeros((6, 3))),  # nothing is a multiple of zero
    (np.ones((6, 3)), np.zeros((6, 3))),
    (np.zeros(1), np.ones(1)),
    (np.array([2, 3, 2, 0, 1, 4]), LABELS),
    (np.abs(X), np.maximum(X, 0)),  # what a ReLU of X should leave alone makes no step of it
    (np.where(X > 0, X, 0.01 * X), np.maximum(X, 0)),
    (W, W + STEP),  # no step at all
    (X[:1] * [1, 1, 2, 3], X[:1]),  # a single example: elements may be right by chance
    (RELU_COLUMNS, np.maximum(RELU_COLUMNS, 0)),  # right in columns that happen to be positive
    (np.where(RNG.random(Y.shape) < 0.5, Y, Y + 1), Y),  # wrong here and there
    (np.where(NINE % 2, TALL, TALL**2 + 3), TALL),
    (np.where(NINE[:6] < 5, Y, Y**2 + 3), Y),  # five of six classes, say, of which no example is
    (np.where(Y > 0, np.nan, Y + 1), Y),
    (np.full((6, 3), np.nan), Y),
    (Y, np.where(Y > 0, np.inf, Y)),
    (np.empty((0, 3)), Y),
    (Y.astype(complex) * 2, Y),
    (np.array(["a"]), np.array([1.0])),
]


@pytest.mark.parametrize(("got", "expected"), UNRELATED)
def test_nothing_is_named_where_nothing_holds(got: Any, expected: Any) -> None:
    assert named(got, expected) == ("", "")


def test_a_term_is_none_where_the_right_result_is_lost_beside_it() -> None:
    step = named_numbers({"w": W, "dw": STEP})
    assert named(W - 3e7 * STEP, W - 0.3 * np.sign(STEP), step, rtol=1e-6) == ("", "")
    assert named(W - 0.5 * STEP - 0.3 * W**2, W - 0.3 * W**2, step)[0] == "term"


def test_chance_makes_no_family() -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        shape = tuple(rng.integers(1, 6, size=rng.integers(0, 4)))
        expected = rng.normal(size=shape)
        other = shape if rng.random() < 0.7 else tuple(rng.permutation(shape))
        assert named(rng.normal(size=other), expected) == ("", ""), (shape, other)


def test_a_large_answer_is_not_searched() -> None:
    large = np.ones(1_000_001)
    large[0] = 3
    assert named(2 * large, large) == ("", "")


def test_lists_of_numbers_are_compared_as_a_whole() -> None:
    history = [3.0, 2.0, 1.5, 1.1, 0.9]
    late = relate_lists([9.0, *history[:-1]], history, 1e-7, 1e-9)
    assert late is not None and late.family == "offset"
    longer = relate_lists([*history, 0.7], history, 1e-7, 1e-9)
    assert longer is not None and longer.family == "offset" and "too many" in longer.sentence
    assert relate_lists(["a"] * 5, history, 1e-7, 1e-9) is None
    assert relate_lists([1.0], history, 1e-7, 1e-9) is None


def relation_of(check: Any, *args: Any, **options: Any) -> Any:
    with pytest.raises(CheckFailure) as raised:
        check(*args, **options)
    return raised.value


def test_assertions_carry_the_relation() -> None:
    assert relation_of(assert_close, 2 * Y, Y).relation.family == "scaled"
    assert relation_of(assert_close, Y.T, Y).relation.family == "transposed"
    assert relation_of(assert_close, (1.0, -Y), (1.0, Y)).relation.family == "sign"
    assert (
        relation_of(assert_close, [0.0, 3.0, 2.0, 1.0, 0.5], [3.0, 2.0, 1.0, 0.5, 0.2]).relation.family
        == "offset"
    )
    failure = relation_of(assert_stable, np.where(Y > 0.5, np.nan, Y), Y)
    assert failure.nonfinite and failure.relation.family == "unstable"
    failure = relation_of(assert_stable, np.nan)
    assert failure.nonfinite and failure.relation is None
    assert relation_of(assert_close, np.nan, 1.5).nonfinite
    assert not relation_of(assert_close, 2.0, 1.5).nonfinite


def test_a_check_that_is_tighter_holds_a_relation_more_tightly() -> None:
    nearly = 2 * Y * (1 + 1e-5 * RNG.normal(size=Y.shape))
    assert named(nearly, Y, rtol=1e-7) == ("", "")
    assert named(nearly, Y, rtol=1e-4)[0] == "scaled"


def test_names_come_from_the_call() -> None:
    numbers = named_numbers({"x": np.ones((7, 5)), "y": np.zeros(7, int), "p": 0.25, "flag": True})
    assert numbers.sizes == {7: "the length of axis 0 of x and y", 5: "the length of axis 1 of x"}
    assert numbers.scalars == {"p": 0.25}
    assert list(numbers.arrays) == ["x"]
    assert numbers.factor_in_words(1 / 0.75, 1e-6) == "1/(1 - p) with p = 0.25"
    assert numbers.factor_in_words(1 / 35, 1e-6) == "1/35, and 35 is the number of elements of x"
    steps = named_numbers({"learning_rate": 0.1, "config": {"learning_rate": 0.2}})
    assert steps.factor_in_words(0.1, 1e-6) == "learning_rate = 0.1"
    assert steps.factor_in_words(1 / 9, 1e-6) == ""  # 0.1 / (1 - 0.1) means nothing here
    assert steps.factor_in_words(0.8, 1e-6) == ""
    assert numbers.factor_in_words(3.3, 1e-6) == ""


PUBLIC = '''
import numpy as np
import pytest
from autograder.checking import assert_close


@pytest.mark.question("mean")
def test_mean(student):
    """The mean over the examples."""
    x = np.random.default_rng(2).normal(size=(6, 4))
    assert_close(student.mean(x), x.mean(axis=0), what="mean")
'''


def test_check_names_a_family_where_there_is_no_bank(tmp_path: Path) -> None:
    suite = tmp_path / "test_public.py"
    suite.write_text(PUBLIC)
    (right,) = check_namespace("mean", {"mean": lambda x: x.sum(axis=0) / len(x)}, suite)
    assert (right.outcome, right.diagnosis, right.family) == ("passed", None, "")
    (wrong,) = check_namespace("mean", {"mean": lambda x: x.sum(axis=0)}, suite)
    assert wrong.family == "scaled" and wrong.diagnosis is not None
    assert wrong.diagnosis.startswith("Every element is the right one times 6, and 6 is the length of axis 0")
    text, html = panel_text("mean", [wrong], 0.1), panel_html("mean", [wrong], 0.1)
    for panel in (text, html):
        assert "What the numbers show:" in panel and "known mistake" not in panel
    known = wrong.model_copy(update={"family": ""})
    assert "This looks like a known mistake:" in panel_text("mean", [known], 0.1)


@pytest.mark.parametrize(
    ("relations", "failed", "shown"),
    [
        (["scaled"], 3, 1),
        (["scaled"], 4, 0),  # one test of many: a coincidence
        (["scaled", "scaled"], 9, 2),
        (["weak", "weak"], 4, 2),
        (["weak", "weak"], 5, 0),  # twice the right one, where the numbers of two tests are special
        (["weak", "scaled"], 9, 2),
        (["scaled", "sign"], 3, 0),
    ],
)
def test_a_family_is_shown_where_enough_failed_tests_have_it(
    relations: list[str], failed: int, shown: int
) -> None:
    runs: list[Any] = []
    for number in range(failed):
        result = TestResult(name=f"t{number}", says="s", outcome="failed")
        test = SimpleNamespace(key=f"t{number}", question="q", timed=False)
        run = TestRun(test, result, [])  # type: ignore[arg-type]
        if number < len(relations):
            family: Any = relations[number].replace("weak", "scaled")
            run.relation = Relation(family, "Twice.", weak=relations[number] == "weak")
        runs.append(run)
    assert len(explanations(runs, {})) == shown


def test_the_class_report_counts_known_mistakes_only() -> None:
    def submission(student: str, family: str) -> SubmissionResult:
        test = TestResult(name="t", says="s", outcome="failed", diagnosis="Twice.", family=family)
        question = QuestionResult(name="q", points=0, max_points=1, tests=[test])
        return SubmissionResult(student=student, score=0, max_score=1, questions=[question])

    made = _diagnoses([submission("a", ""), submission("b", "scaled")])
    assert [(each["sentence"], each["count"]) for each in made] == [("Twice.", 1)]

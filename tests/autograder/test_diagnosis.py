"""Diagnosis: a failed answer that a known mistake explains gets its sentence, any other gets none."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.checking import diagnosis
from autograder.checking.diagnosis import Diagnostician, same_events, same_value
from autograder.checking.mistakes import Mistake, read_mistakes
from autograder.checking.plugin import SolutionContext
from autograder.checking.proxy import Event
from autograder.checking.runner import Suite, run_suite
from autograder.course.results import TestResult
from autograder.notebook.cells import Cell
from autograder.sandbox.wire import Handle

SOLUTION = """
import numpy as np

def total(x):
    return x.sum(axis=0)

def mean(x):
    return total(x) / len(x)

class Net:
    def __init__(self, scale):
        self.scale = scale

    def loss(self, x):
        return self.scale * float((x ** 2).sum())
"""
SUITE = '''
import numpy as np
import pytest
from autograder.checking import assert_close


@pytest.mark.question("total")
def test_total(student, reference, rng):
    """The sum over the examples."""
    x = rng.normal(size=(4, 3))
    assert_close(student.total(x), reference.total(x), what="total")


@pytest.mark.question("total")
def test_total_of_one(student, reference, rng):
    """The sum over one example."""
    x = rng.normal(size=(1, 3))
    assert_close(student.total(x), reference.total(x), what="total")


@pytest.mark.question("mean", given=["total"])
def test_mean(student, reference, rng):
    """The mean over the examples."""
    x = rng.normal(size=(4, 3))
    assert_close(student.mean(x), reference.mean(x), what="mean")


@pytest.mark.question("mean")
def test_mean_of_a_column(student, reference, rng):
    """The mean of one column, of which nothing is given."""
    x = rng.normal(size=(4, 1))
    assert_close(student.mean(x), reference.mean(x), what="mean")


@pytest.mark.question("Net")
def test_loss(student, reference, rng):
    """The loss of a net."""
    x = rng.normal(size=5)
    net = student.Net(2.0)
    assert_close(net.loss(x), reference.Net(2.0).loss(x), what="loss")
'''
MISTAKES = """
import numpy as np
from autograder.checking import mistake

@mistake("total", "The first example is left out.")
def first_left_out(x):
    return x[1:].sum(axis=0)

@mistake("total", "The mean is taken, not the sum.")
def mean_taken(x):
    return x.mean(axis=0)

@mistake("total", "The last example counts twice where there are several.")
def last_twice(x):
    return x.sum(axis=0) + (x[-1] if len(x) > 1 else 0)

@mistake("total", "It raises.")
def raises(x):
    raise ValueError("for a reason of its own")

@mistake("total", "It cannot even be loaded.")
def unloadable(x, y=no_such_name):
    return x

@mistake("mean", "The columns are counted, not the rows.")
def columns(x):
    return total(x) / x.shape[1]

@mistake("Net", "The factor is missing.", replaces="Net.loss")
def no_factor(self, x):
    return float((x ** 2).sum())
"""

Answers = Callable[..., dict[str, tuple[str, str | None]]]


@pytest.fixture
def grade(tmp_path: Path) -> Answers:
    """Grades an answer put after the solution: test -> (outcome, diagnosis)."""
    (tmp_path / "test_hidden.py").write_text(SUITE)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    cells = [Cell(0, "code", SOLUTION)]

    def run(answer: str, mistakes: list[Mistake] | None = None) -> dict[str, tuple[str, str | None]]:
        def body(suite: Suite) -> list[TestResult]:
            context = SolutionContext(cells, [("<solution answer>", textwrap.dedent(answer))], seed=5)
            runs = suite.run(context)
            known = read_mistakes(tmp_path / "mistakes.py") if mistakes is None else mistakes
            Diagnostician(cells, known).diagnose(suite, runs, 5)
            return [run.result for run in runs]

        results = run_suite([tmp_path / "test_hidden.py"], body)
        return {result.name: (result.outcome, result.diagnosis) for result in results}

    return run


def test_a_known_mistake_is_recognised_however_it_is_written(grade: Answers) -> None:
    answer = """
    def total(values):
        result = 0
        for n in range(1, len(values)):
            result = result + values[n]
        return result + np.zeros(values.shape[1])
    """
    found = grade(answer)
    assert found["test_total"] == ("failed", "The first example is left out.")
    assert found["test_total_of_one"] == ("failed", "The first example is left out.")
    assert found["test_mean"] == ("passed", None)  # total is given there
    assert found["test_loss"] == ("passed", None)


def test_a_right_answer_has_no_diagnosis(grade: Answers) -> None:
    assert set(grade("").values()) == {("passed", None)}


@pytest.mark.parametrize(
    "answer",
    [
        "def total(x): return x.sum(axis=0) * 1.5",
        "def total(x): return x[1:].sum(axis=0) + 1e-4",
        "def total(x): return x[1:].sum(axis=0)[None]",
        "def total(x): return list(x[1:].sum(axis=0))",
        "def total(x): return None",
        "def total(x): return object()",
        "def total(x): raise KeyError('x')",
    ],
)
def test_no_mistake_is_claimed_where_the_answer_differs(answer: str, grade: Answers) -> None:
    found = grade(answer)
    assert found["test_total"][0] in ("failed", "error")
    assert found["test_total"][1] is None
    assert found["test_total_of_one"][1] is None


def test_an_exception_of_the_same_type_is_recognised(grade: Answers) -> None:
    found = grade("def total(x): raise ValueError")
    assert found["test_total"] == ("error", "It raises.")


def test_rounding_does_not_hide_a_mistake(grade: Answers) -> None:
    found = grade(
        "def total(x): return x.astype(np.float32).astype(float)[1:].sum(axis=0).astype(np.float32)"
    )
    assert found["test_total"][1] == "The first example is left out."


def test_a_mistake_in_another_question_is_not_named(grade: Answers) -> None:
    found = grade("def mean(x): return total(x) / x.shape[1]")
    assert found["test_mean"] == ("failed", "The columns are counted, not the rows.")
    assert found["test_total"] == ("passed", None)
    # What the solution's mean would give on a wrong total; but it is not total that is wrong here.
    found = grade("def mean(x): return x[1:].sum(axis=0) / len(x)")
    assert found["test_mean_of_a_column"] == ("failed", None)
    assert found["test_mean"] == ("failed", None)


def test_methods_are_replaced(grade: Answers) -> None:
    answer = """
    class Net:
        def __init__(self, scale):
            pass

        def loss(self, x):
            return float(np.dot(x, x))
    """
    assert grade(answer)["test_loss"] == ("failed", "The factor is missing.")


def mistakes_of(tmp_path: Path, text: str) -> list[Mistake]:
    path = tmp_path / "other.py"
    path.write_text(textwrap.dedent(text))
    return read_mistakes(path)


def test_where_several_explain_a_test_the_one_that_explains_most_is_named(
    grade: Answers, tmp_path: Path
) -> None:
    # For four examples both give the same; only the second also explains the failure with one example.
    known = mistakes_of(
        tmp_path,
        """
        @mistake("total", "Only with several.")
        def several(x): return x.sum(axis=0) * (2 if len(x) > 1 else 1)

        @mistake("total", "Always.")
        def always(x): return x.sum(axis=0) * 2
        """,
    )
    twice = "def total(x): return x.sum(axis=0) + x.sum(axis=0)"
    for order in (known, known[::-1]):
        found = grade(twice, order)
        assert found["test_total"] == ("failed", "Always.")
        assert found["test_total_of_one"] == ("failed", "Always.")
    found = grade("def total(x): return x.sum(axis=0) * min(len(x), 2)", known)
    assert found["test_total"][1] in ("Only with several.", "Always.")
    assert found["test_total_of_one"] == ("passed", None)


def test_diagnosis_stops_when_its_time_is_up(grade: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "DIAGNOSIS_SECONDS", -1.0)
    assert grade("def total(x): return x[1:].sum(axis=0)")["test_total"] == ("failed", None)


def test_a_mistake_that_never_ends_or_takes_all_memory_stops_nobody(grade: Answers, tmp_path: Path) -> None:
    bank = tmp_path / "bank.py"
    bank.write_text(
        '@mistake("total", "It never ends.")\ndef endless(x):\n    while True:\n        pass\n\n'
        '@mistake("total", "It takes 3 GB.")\ndef greedy(x):\n    return np.empty(400_000_000)\n\n'
        '@mistake("total", "The first example is left out.")\ndef first(x):\n    return x[1:].sum(axis=0)\n'
    )
    found = grade("def total(x): return x[1:].sum(axis=0)", read_mistakes(bank))
    assert found["test_total"] == ("failed", "The first example is left out.")
    found = grade("def total(x): raise MemoryError('Unable to allocate')", read_mistakes(bank))
    assert found["test_total"] == ("error", "It takes 3 GB.")


def test_a_mistake_that_sleeps_is_not_waited_for(
    grade: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "DIAGNOSIS_SECONDS", 1.0)
    bank = tmp_path / "bank.py"
    bank.write_text(
        "import time\n\n"
        '@mistake("total", "It sleeps.")\ndef sleeps(x):\n    time.sleep(60)\n    return x[1:].sum(axis=0)\n'
    )
    begun = time.monotonic()
    found = grade("def total(x): return x[1:].sum(axis=0)", read_mistakes(bank))
    assert found["test_total"] == ("failed", None)
    assert time.monotonic() - begun < 30


HANDLE, OTHER = Handle(1, "a"), Handle(2, "b")
SAME: list[tuple[Any, Any]] = [
    (1.0, 1), (1.0, 1.0 + 1e-9), (np.ones(3), np.ones(3)), (np.ones(3, np.float32), np.ones(3) * (1 + 1e-5)),
    (float("nan"), float("nan")), (np.inf, np.inf), ((1.0, [2]), [1.0, (2,)]), ({"a": 1}, {"a": 1.0}),
    (HANDLE, OTHER), ("x", "x"), (None, None), (np.array([1e6, 1e-9]), np.array([1e6, 0.0])),
    (np.array(["a"]), np.array(["a"])),
]  # fmt: skip
DIFFERENT: list[tuple[Any, Any]] = [
    (1.0, 1.0 + 1e-5), (np.ones(3), np.ones((3, 1))), (np.ones(1), 1.0), (np.nan, 1.0), (np.inf, -np.inf),
    ([1, 2], [1]), ({"a": 1}, {"b": 1}), (HANDLE, 1.0), (None, 0.0), ("x", "y"), ("1", 1), (1.0, None),
    (np.zeros(2), np.array([0.0, 1e-3])), (np.array(["a"]), np.array([1.0])),
]  # fmt: skip


def test_same_value() -> None:
    for a, b in SAME:
        assert same_value(a, b) and same_value(b, a), (a, b)
    for a, b in DIFFERENT:
        assert not same_value(a, b) and not same_value(b, a), (a, b)


def test_same_value_of_tensors() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(2, requires_grad=True)
    assert same_value(x, torch.ones(2))
    assert not same_value(x, np.ones(2))
    assert not same_value(x, torch.zeros(2))


def test_same_events() -> None:
    f, g = Event("f", (1,), {}, 2.0), Event("g", (1,), {}, 2.0)
    assert same_events([f, g], [f, g])
    for other in ([f], [g, f], [f, Event("g", result=3.0)], [f, Event("g", result=2.0, error="ValueError")]):
        assert not same_events([f, g], other)

"""Which tests can notice a mistake: those that call, directly or not, what it replaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autograder.audit.calls import calls_of_tests, is_part, replaced_by
from autograder.checking.diagnosis import Diagnostician
from autograder.checking.mistakes import read_mistakes
from autograder.checking.plugin import SolutionContext
from autograder.checking.runner import Suite, run_suite
from autograder.notebook.cells import Cell

SOLUTION = """
def double(x):
    return 2 * x

def quadruple(x):
    return double(double(x))

def triple(x):
    return 3 * x

class Base:
    def size(self):
        return 1

class Net(Base):
    def loss(self, x):
        return [quadruple(each) for each in x]
"""
SUITE = '''
import pytest
from autograder.checking import assert_close


@pytest.mark.question("double")
def test_double(student, reference):
    """Twice."""
    assert_close(student.double(2.0), reference.triple(2.0) - 2.0)


@pytest.mark.question("quadruple", given=["double"])
def test_quadruple(student):
    """Four times."""
    assert_close(student.quadruple(2.0), 8.0)


@pytest.mark.question("Net")
def test_net(student):
    """A net."""
    assert_close(student.Net().loss([1.0]), [4.0])


@pytest.mark.question("Net")
def test_size(student):
    """Its size."""
    assert student.Net().size() == 1
'''


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    path = tmp_path / "test_hidden.py"
    path.write_text(SUITE)
    return path


CELLS = [Cell(0, "code", SOLUTION)]


def test_calls_are_watched_through_other_functions_but_not_in_the_reference(suite_file: Path) -> None:
    called = run_suite([suite_file], lambda suite: calls_of_tests(suite, CELLS))
    names = {key.partition("::")[2]: value.names for key, value in called.items()}
    assert names["test_double"] == {"double"}  # the reference's triple is not the student's
    assert names["test_quadruple"] == {"quadruple", "double"}
    assert {"Net.loss", "quadruple", "double"} <= names["test_net"]
    assert names["test_size"] == {"Base.size"}
    assert all(0 < value.seconds < 10 for value in called.values())


@pytest.mark.parametrize(
    ("called", "replaced", "part"),
    [
        ("double", "double", True),
        ("double", "doubles", False),
        ("Net.loss", "Net", True),
        ("Net.loss", "Net.loss", True),
        ("Net.loss", "Net.size", False),
        ("Base.size", "Net.size", True),  # inherited
        ("size", "Net.size", True),
        ("double.<locals>.inner", "double", True),
        ("Network.loss", "Net", False),
    ],
)
def test_what_belongs_to_what_is_replaced(called: str, replaced: str, part: bool) -> None:
    assert is_part(called, replaced) is part


CELLS = [
    Cell(0, "markdown", "Not (code"),
    Cell(1, "code", "import math\nRATE, SIZES = 0.1, (2, 3)\nfor turn in range(2):\n    total = turn"),
    Cell(2, "code", SOLUTION),
    Cell(3, "code", "shown = double(1)", tags=("show",)),
]


@pytest.mark.parametrize(
    ("variant", "replaced"),
    [
        ('"""In another style."""\nimport numpy as np\n\ndef double(x):\n    return x + x\n', {"double"}),
        ("def double(x):\n    return helper(x)\n\ndef helper(x):\n    return x + x\n", {"double"}),
        ("class Net(Base):\n    pass\n", {"Net"}),
        ("TWO = 2\ndouble, triple = quadruple, TWO\n", {"double", "triple"}),
        ("shown = 3\n", set()),
        ("import math, os.path\nfrom operator import neg as triple\n", {"triple"}),
        ("import cmath as math\n", None),  # what the solution calls by this name is another thing now
        ("from cmath import sqrt as math\n", None),
        ("from operator import neg as RATE\n", None),
        ("from operator import *\n", None),
        ("def math():\n    pass\n", None),
        ("RATE = 0.2\n", None),  # a value, which no call betrays
        ("total = 0\n", None),
        ("def RATE():\n    return 0.1\n", None),
        ("Net.loss = double\n", None),
        ("SIZES[0] = 3\n", None),
        ("double.cache = {}\n", None),
        ("math.pi = 3\n", None),
        ("for SIZES in ():\n    pass\n", None),
        ("print(double(1))\n", None),
    ],
)
def test_what_a_variant_replaces(variant: str, replaced: set[str] | None) -> None:
    assert replaced_by(variant, CELLS) == replaced


def test_functions_that_are_the_solutions_are_not_served_a_second_time(suite_file: Path) -> None:
    def attempts(replaced: str) -> int:
        def body(suite: Suite) -> int:
            served: list[tuple[str, ...]] = []

            class Counting(SolutionContext):
                def student(self, seed: int, given: object) -> object:  # type: ignore[override]
                    served.append(tuple(given))  # type: ignore[call-overload]
                    return super().student(seed, given)  # type: ignore[arg-type]

            context = Counting(CELLS, [("<solution wrong>", "def quadruple(x):\n    return double(x)\n")])
            test = next(test for test in suite.tests if test.name == "test_quadruple")
            assert suite.run(context, [test], replaced=replaced)[0].result.outcome == "failed"
            return len(served)

        return run_suite([suite_file], body)

    assert attempts("") == 2  # the student's double might be what is wrong
    assert attempts("double") == 2
    assert attempts("quadruple") == 1


def test_a_mistake_that_leaves_failed_tests_unexplained_is_not_named(suite_file: Path) -> None:
    bank = suite_file.with_name("mistakes.py")
    bank.write_text(
        '@mistake("Net", "No loss.", replaces="Net.loss")\ndef no_loss(self, x):\n    return [0.0]\n\n\n'
    )

    def told(answer: str) -> dict[str, str | None]:
        def body(suite: Suite) -> dict[str, str | None]:
            context = SolutionContext(CELLS, [("<solution answer>", answer)], seed=3)
            runs = suite.run(context)
            Diagnostician(CELLS, read_mistakes(bank)).diagnose(suite, runs, 3)
            return {run.test.name: run.result.diagnosis for run in runs if run.test.question == "Net"}

        return run_suite([suite_file], body)

    loss, size = "    def loss(self, x):\n        return [0.0]\n", "    def size(self):\n        return 0\n"
    assert told(f"class Net(Base):\n{loss}") == {"test_net": "No loss.", "test_size": None}
    # It explains test_net, but there is more that is wrong: half of what failed it does not explain.
    assert told(f"class Net(Base):\n{loss}\n{size}") == {"test_net": None, "test_size": None}


def test_a_mistake_that_fails_what_was_passed_is_not_named(suite_file: Path) -> None:
    bank = suite_file.with_name("mistakes.py")
    bank.write_text(
        '@mistake("Net", "No loss.", replaces="Net.loss")\ndef no_loss(self, x):\n'
        "    self.__class__.size = lambda self: 0\n    return [0.0]\n"
    )

    def body(suite: Suite) -> list[str | None]:
        answer = "class Net(Base):\n    def loss(self, x):\n        return [0.0]\n"
        context = SolutionContext(CELLS, [("<solution answer>", answer)], seed=3)
        runs = suite.run(context)
        Diagnostician(CELLS, read_mistakes(bank)).diagnose(suite, runs, 3)
        return [run.result.diagnosis for run in runs]

    assert run_suite([suite_file], body) == [None] * 4


def test_a_mistake_that_differs_is_not_run_to_the_end(
    suite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = suite_file.with_name("mistakes.py")
    bank.write_text(
        '@mistake("Net", "Nothing.", replaces="Net")\n'
        "class Net:\n    def loss(self, x):\n        return [1.0]\n\n    def size(self):\n        return 2\n"
    )

    def body(suite: Suite) -> int:
        loss = "    def loss(self, x):\n        return [0.0]\n"
        answer = f"class Net:\n{loss}\n    def size(self):\n        return 0\n"
        runs = suite.run(SolutionContext(CELLS, [("<solution answer>", answer)], seed=3))
        assert [run.result.outcome for run in runs if run.test.question == "Net"] == ["failed", "failed"]
        replayed: list[str] = []
        run = suite.run

        def counted(context: Any, tests: Any, **others: Any) -> Any:
            replayed.extend(test.name for test in tests)
            return run(context, tests, **others)

        monkeypatch.setattr(suite, "run", counted)
        Diagnostician(CELLS, read_mistakes(bank)).diagnose(suite, runs, 3)
        return len(replayed)

    assert run_suite([suite_file], body) == 1

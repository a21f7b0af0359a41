"""Assertions of suites: what passes, what fails, and what a failure tells the student."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.checking import (
    CheckFailure,
    StudentError,
    assert_accuracy,
    assert_close,
    assert_gradients,
    assert_learns,
    assert_stable,
    assert_unchanged,
    disguise,
    fail,
    mistake,
    numerical_gradient,
)
from autograder.checking.assertions import error_grid
from autograder.checking.failure import current_student
from autograder.checking.mistakes import MistakesError, read_mistakes
from autograder.checking.proxy import Student, local_student
from autograder.checking.verdict import verdict_of
from autograder.course.results import Finding
from autograder.sandbox.verdicts import CallTimeout, WorkerLost
from autograder.sandbox.wire import Handle, WireError

HANDLE = Handle(1, "__main__.Net")
NAN, INF = float("nan"), float("inf")
CLOSE: list[tuple[Any, Any]] = [
    (2, 2.0), (np.float32(2), 2.0), (np.array(2.0), 2.0), (2.0, np.array(2.0)), (2.0, np.float64(2)),
    (np.ones(3, np.float32), np.ones(3)), (np.ones(3), np.ones(3, np.float32)), (1 + 1e-8, 1.0),
    (np.array([1.0, NAN, INF]), np.array([1.0, NAN, INF])), (np.zeros((0, 3)), np.zeros((0, 3))),
    (np.array([1.0, 2.0]), np.array([1, 2])), (3.0, 3), (True, True), (np.bool_(True), True),
    ((1.0, 2.0), [1.0, 2.0]), ([1.0, (2.0, "a")], (1.0, [2.0, "a"])), ("adam", "adam"), (None, None),
    ({"a": 1.0, "b": [2]}, {"b": [2], "a": 1.0}), (b"x", b"x"), ([], ()),
    (np.complex64(1j), np.complex128(1j)), (np.array(["a", "b"]), np.array(["a", "b"])),
    (np.array([True, False]), np.array([True, False])),
]  # fmt: skip
FAR: list[tuple[Any, Any]] = [
    (2.0, 2.1), (1 + 1e-6, 1.0), (np.ones(1), 1.0), (1.0, np.ones(1)), (np.ones((3, 1)), np.ones(3)),
    (np.ones((1, 3)), np.ones(3)), (np.ones(2), np.ones(3)), ([1.0, 1.0], np.ones(2)), (NAN, 1.0),
    (INF, 1.0), (1.0, NAN), (-INF, INF), (1e308, INF), (3, 4), (3.0000001, 3), (False, True),
    (np.array([1, 2]), np.array([1, 3])), (2**53 + 1, 2**53), ("adam", "Adam"), ("1", 1), ("a", None),
    (None, 0.0), (0, None), (b"x", "x"), ((1.0,), (1.0, 2.0)), (1.0, (1.0,)), ([1.0], {"a": 1.0}),
    ({"a": 1.0}, {"a": 1.0, "b": 2.0}), ({"a": 1, "b": 2}, {"a": 1}), (HANDLE, 1.0), (HANDLE, np.ones(3)),
    (HANDLE, None), (HANDLE, "x"), (HANDLE, [1]), (HANDLE, {"a": 1}), ((HANDLE,), (1.0,)),
    ({"a": HANDLE}, {"a": 1.0}), (np.array(["1"]), np.array([1])), (np.array(["1.0"]), np.array([1.0])),
    (np.array([2**70, 1]), np.array([1.0, 1.0])), (None, np.ones(2)), (1.0, np.complex128(1j)),
    (np.array([True, False]), np.array([False, False])), (np.complex128(1j), 1.0), (1j, 1.0),
    (np.array(["a", "b"]), np.array(["a", "c"])),
]  # fmt: skip


@pytest.mark.parametrize(("actual", "expected"), CLOSE)
def test_close(actual: Any, expected: Any) -> None:
    assert_close(actual, expected)


@pytest.mark.parametrize(("actual", "expected"), FAR)
def test_far(actual: Any, expected: Any) -> None:
    with pytest.raises(CheckFailure) as caught:
        assert_close(actual, expected, what="dx", hint="Look here.")
    finding = caught.value.finding
    assert "dx" in finding.headline
    assert finding.hint == "Look here."
    assert finding.got
    if isinstance(expected, float | np.ndarray):
        assert finding.expected


def test_the_tolerance_counts_relative_and_absolute_parts() -> None:
    expected = np.array([0.0, 1e-3, 100.0])
    assert_close(expected + np.array([9e-8, 0, 0]), expected)  # atol scales with the largest value
    for wrong in ([2e-7, 0, 0], [0, 2e-7, 0], [0, 0, 2e-5]):
        with pytest.raises(CheckFailure):
            assert_close(expected + np.array(wrong), expected)
    assert_close(expected * (1 + 1e-3), expected, rtol=2e-3)
    assert_close(expected + 1e-3, expected, atol=1e-4)


def test_a_failure_names_the_worst_element_and_maps_the_error() -> None:
    expected = np.arange(12.0).reshape(3, 4)
    actual = expected.copy()
    actual[0, 0], actual[2, 1] = 0.5, 7.0
    with pytest.raises(CheckFailure) as caught:
        assert_close(actual, expected, what="dW")
    finding = caught.value.finding
    assert finding.headline == "2 of 12 elements of dW are wrong."
    assert finding.where == "worst at [2, 1]: 9 was expected, 7 came"
    assert finding.error_map is not None
    assert np.array(finding.error_map).shape == (3, 4)
    assert (finding.error_map[0][0], finding.error_map[2][1], finding.error_map[1][1]) == (0.5, 2.0, 0.0)
    assert finding.error_map_axes == ("axis 0", "axis 1")


def test_a_failure_shows_nan_as_the_worst() -> None:
    actual = np.zeros((2, 2))
    actual[1, 0], actual[0, 1] = NAN, 5.0
    with pytest.raises(CheckFailure) as caught:
        assert_close(actual, np.zeros((2, 2)))
    assert caught.value.finding.where.startswith("worst at [1, 0]")
    assert caught.value.finding.error_map == [[0.0, 5.0], [None, 0.0]]


def test_structures_name_the_part() -> None:
    with pytest.raises(CheckFailure, match="element 1 of the result"):
        assert_close((1.0, 2.0), (1.0, 3.0))
    with pytest.raises(CheckFailure, match=r"grads\['W'\]"):
        assert_close({"W": np.ones(2)}, {"W": np.zeros(2)}, what="grads")
    with pytest.raises(CheckFailure, match="lacks 'b' and has 'c' too many"):
        assert_close({"a": 1, "c": 1}, {"a": 1, "b": 1}, what="grads")


def test_error_grid_reduces_without_losing_the_largest() -> None:
    error = np.zeros((2, 3, 100, 70))
    error[1, 2, 99, 0] = 7.0
    error[0, 0, 0, 69] = NAN
    grid, axes = error_grid(error)
    assert axes == ("axis 2", "axis 3")
    assert np.array(grid, dtype=float).shape == (32, 32)
    assert grid[-1][0] == 7.0
    assert grid[0][-1] is None
    assert sum(cell is None or cell > 0 for row in grid for cell in row) == 2
    assert error_grid(np.array([1.0, 2.0])) == ([[1.0, 2.0]], ("", "axis 0"))


# Gradients


def test_numerical_gradient_equals_a_known_formula() -> None:
    rng = np.random.default_rng(0)
    x, w, upstream = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    before = x.copy()
    found = numerical_gradient(lambda x: np.tanh(x @ w), x, upstream)
    expected = (upstream * (1 - np.tanh(x @ w) ** 2)) @ w.T
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    assert np.array_equal(x, before)
    assert numerical_gradient(lambda x: x**2, 3.0).shape == ()
    assert numerical_gradient(lambda x: x**2, 3.0) == pytest.approx(6.0, rel=1e-9)


def affine(x: Any, w: Any, b: Any) -> Any:
    return np.tanh(x @ w + b)


def affine_case() -> tuple[dict[str, Any], Any, dict[str, Any]]:
    rng = np.random.default_rng(1)
    at = {"x": rng.normal(size=(4, 3)), "w": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
    upstream = rng.normal(size=(4, 2))
    inner = upstream * (1 - affine(**at) ** 2)
    return at, upstream, {"x": inner @ at["w"].T, "w": at["x"].T @ inner, "b": inner.sum(axis=0)}


def test_right_gradients_pass_also_in_single_precision() -> None:
    at, upstream, gradients = affine_case()
    assert_gradients(gradients, affine, at, upstream)
    assert_gradients({"b": gradients["b"]}, affine, at, upstream)
    single = {name: value.astype(np.float32) for name, value in gradients.items()}
    assert_gradients(single, affine, at, upstream, rtol=1e-4, atol=1e-5)
    assert_gradients({"x": 6.0}, lambda x: x**2, {"x": 3.0})


@pytest.mark.parametrize("name", ["x", "w", "b"])
def test_one_percent_in_any_single_element_fails(name: str) -> None:
    at, upstream, gradients = affine_case()
    for index in np.ndindex(gradients[name].shape):
        wrong = gradients[name].copy()
        wrong[index] *= 1.01
        with pytest.raises(CheckFailure, match=f"d{name}") as caught:
            assert_gradients({**gradients, name: wrong}, affine, at, upstream)
        assert caught.value.finding.where.startswith(f"worst at [{', '.join(map(str, index))}]")


def test_gradients_that_are_missing_or_odd_fail() -> None:
    at, upstream, gradients = affine_case()
    for wrong in (
        {},
        {"x": HANDLE},
        {"x": None},
        {"x": gradients["x"].T},
        {"y": 1.0},
        {"b": gradients["b"][None]},
    ):
        with pytest.raises(CheckFailure):
            assert_gradients(wrong, affine, at, upstream)


# The other assertions


def test_stable() -> None:
    assert_stable(np.array([1e300, 0.0]))
    assert_stable(1.0, 1.0 + 1e-9)
    for wrong in (np.array([[1.0, NAN]]), np.array([INF]), NAN, HANDLE, None, "x"):
        with pytest.raises(CheckFailure):
            assert_stable(wrong)
    with pytest.raises(CheckFailure, match="1 of 2 elements of out are inf or NaN") as caught:
        assert_stable(np.array([1.0, -INF]), what="out")
    assert caught.value.finding.where == "at [1]: -inf"
    with pytest.raises(CheckFailure):
        assert_stable(1.0, 2.0)


def student_of(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(compile(source, "<cell 1>", "exec"), namespace)
    return local_student(namespace, lambda name: name == "<cell 1>", seed=0)


def test_unchanged() -> None:
    source = """
import numpy as np
def pure(x, y): return x + y
def changes_second(x, y):
    y += 1
    return x + y
def changes_list(x, y):
    y[0].append(1)
    return 1
def changes_dict(x, y):
    y["a"] = np.ones(2)
    return 1
def changes_nan(x, y):
    y[0] = np.float64("nan")
    return 1
def nothing(x, y): pass
def handle(x, y): return object()
"""
    x = np.ones(3)
    with student_of(source) as student:
        assert assert_unchanged(student.pure, x, x).tolist() == [2.0] * 3
        assert assert_unchanged(student.pure, np.array([NAN]), 1.0).shape == (1,)
        with pytest.raises(CheckFailure, match="changes_second changed its argument number 2"):
            assert_unchanged(student.changes_second, x, x.copy())
        with pytest.raises(CheckFailure):
            assert_unchanged(student.changes_nan, x, x.copy())
        with pytest.raises(CheckFailure):
            assert_unchanged(student.changes_list, x, [[]])
        with pytest.raises(CheckFailure):
            assert_unchanged(student.changes_dict, x, {"a": np.zeros(2)})
        for name in ("nothing", "handle"):
            with pytest.raises(CheckFailure, match=f"{name} returned"):
                assert_unchanged(getattr(student, name), x, x)
    assert x.tolist() == [1.0] * 3


def test_unchanged_with_tensors() -> None:
    torch = pytest.importorskip("torch")
    source = "def f(x): return x * 2\ndef g(x):\n    x.data += 1\n    return x * 2"
    for requires_grad in (False, True):
        x = torch.ones(2, requires_grad=requires_grad)
        with student_of(source) as student:
            assert_unchanged(student.f, x)
            assert_unchanged(student.f, torch.nn.Parameter(x.detach()))
            with pytest.raises(CheckFailure, match="in place"):
                assert_unchanged(student.g, x)


def test_learns() -> None:
    falling = np.linspace(2.0, 0.1, 50)
    assert_learns(falling)
    assert_learns(list(falling), to_below=0.3, by_factor=5)
    for losses, limits in [
        (falling[::-1], {}), (np.ones(10), {}), (falling, {"to_below": 0.1}), (falling, {"by_factor": 30}),
        ([1.0], {}), ([1.0, NAN], {}), (np.array([2.0, INF, 0.1]), {}), (HANDLE, {}), (None, {}), ([], {}),
        ([5.0] * 9 + [0.1] + [5.0] * 10, {"by_factor": 2}),
    ]:  # fmt: skip
        with pytest.raises(CheckFailure):
            assert_learns(losses, **limits)


def test_accuracy() -> None:
    labels = np.array([0, 1, 2, 1])
    assert assert_accuracy(labels.copy(), labels, 1.0) == 1.0
    assert assert_accuracy([0.0, 1.0, 2.0, 0.0], labels, 0.75) == 0.75
    for wrong in (
        [0, 1, 0, 0], labels[:, None], labels[:3], HANDLE, None, np.full(4, NAN), np.array(list("0121")),
        "0121",
    ):  # fmt: skip
        with pytest.raises(CheckFailure):
            assert_accuracy(wrong, labels, 0.75)
    with pytest.raises(CheckFailure) as caught:
        assert_accuracy([0, 1, 0, 0], labels, 0.75)
    text = caught.value.finding.model_dump_json()
    assert "50.0%" in text and "75.0%" in text
    assert "[0, 1, 2, 1]" not in text  # labels stay with the grader


def test_disguise_makes_known_answers_worthless_and_keeps_the_task() -> None:
    images = np.zeros((60, 8, 8))
    labels = np.arange(60) % 3
    for n, label in enumerate(labels):
        images[n, 3, 2 * label + 1] = 1.0
    original = images.copy()
    rng = np.random.default_rng(5)
    changed, classes, permutation = disguise(images, labels, rng, noise=0.01)
    assert np.array_equal(images, original)
    assert changed.shape == images.shape and changed.dtype == np.float64
    assert sorted(permutation) == [0, 1, 2]
    assert not any((image == known).all() for image in changed for known in original)
    # Each image still shows its class, under the class's new number.
    seen = changed[:, 3, [1, 3, 5]].argmax(axis=1)
    assert np.array_equal(permutation[seen], classes)
    assert not np.array_equal(seen, labels)  # and they come in another order

    shifted, _, same = disguise(images, labels, rng, noise=0.0, shift=1, permutation=permutation)
    assert same is permutation
    rows = shifted.sum(axis=2).argmax(axis=1)
    assert set(rows) == {2, 3, 4}
    again = disguise(images, labels, np.random.default_rng(5), noise=0.01)
    assert np.array_equal(again[0], changed) and np.array_equal(again[1], classes)


def test_fail_names_the_call_that_gave_the_value() -> None:
    with student_of("def f(x): return x + 1\ndef g(x): return x - 1, {}") as student:
        token = current_student.set(student)
        try:
            first = student.f(np.ones((2, 3)))
            second, _ = student.g(np.ones(4))
            for value, call in ((first, "f(float64 array (2, 3))"), (second, "g(float64 array (4,))")):
                with pytest.raises(CheckFailure) as caught:
                    assert_close(value, np.zeros(7))
                assert caught.value.finding.call == call
            with pytest.raises(CheckFailure) as caught:
                fail("Something.")
            assert caught.value.finding.call == "g(float64 array (4,))"  # the last one
        finally:
            current_student.reset(token)


# Verdicts


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def student_error(kind: str) -> StudentError:
    return StudentError(kind, "ValueError", "bad shape", [("<cell 7 (f)>", 3, "x @ y")], "f", "f(x)")


def plain_assert() -> None:
    secret_of_the_suite = [1, 2]
    assert secret_of_the_suite == [3], "\n  secret_of_the_suite"


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (None, "passed", ""),
        (CheckFailure(Finding(headline="Wrong.")), "failed", "Wrong."),
        (student_error("raised"), "error", "Your code raised ValueError: bad shape"),
        (student_error("not_written"), "error", "f is not written yet."),
        (student_error("not_defined"), "error", "f is not defined in the notebook."),
        (student_error("not_plain"), "error", "f returned something that cannot be graded: bad shape."),
        (CallTimeout("f did not return within 1 s and was stopped."), "timeout", "f did not return"),
        (WorkerLost("f ended its process."), "crashed", "f ended its process."),
        (WireError("a malformed array"), "failed", "What came back cannot be graded: a malformed array."),
        (AssertionError("said by the suite\nx == y"), "failed", "said by the suite"),
        (AssertionError(), "failed", "The result is not as this test's sentence says."),
        (pytest.fail.Exception("said too"), "failed", "said too"),
        (KeyError("grads"), "not_gradable", "The test itself could not run (KeyError)."),
        (ZeroDivisionError(), "not_gradable", "The test itself could not run (ZeroDivisionError)."),
    ],
)
def test_verdicts(error: BaseException | None, outcome: str, message: str) -> None:
    found, said, finding = verdict_of(raised(error) if error else None)
    assert found == outcome
    assert said.startswith(message) and (message or not said)
    if outcome in ("failed", "error", "timeout", "crashed"):
        assert finding is not None and finding.headline == said


def test_a_verdict_holds_no_line_of_the_suite() -> None:
    with pytest.raises(AssertionError) as caught:
        plain_assert()
    _, said, finding = verdict_of(caught.value)
    assert "secret" not in said and finding is not None and "secret" not in finding.model_dump_json()


def test_an_answer_of_another_structure_is_the_students_failure() -> None:
    with student_of("def f(x): return x") as student:
        token = current_student.set(student)
        try:
            result = student.f(3)
            with pytest.raises(TypeError) as caught:
                _, _ = result
        finally:
            outcome, said, finding = verdict_of(caught.value)
            current_student.reset(token)
    assert (outcome, said) == (
        "failed",
        "The result has another structure than expected: the test could not use it.",
    )
    assert finding is not None and (finding.call, finding.got) == ("f(3)", "3")


def test_an_error_says_where_in_the_students_own_code() -> None:
    assert student_error("raised").finding().where == "cell 7 (f), line 3: x @ y"


def test_malformed_error_reports_are_not_believed() -> None:
    class Backend:
        def __init__(self, reply: Any) -> None:
            self.reply = reply

        def transact(self, *_: Any) -> tuple[Any, bytearray]:
            return self.reply, bytearray()

    good = {
        "kind": "raised",
        "type": "E",
        "text": "t",
        "where": [["<c>", 1, "x"], ["<c>", "1", "x"], 3, [1] * 3],
    }
    for reply in (
        None, [], {}, {"err": None}, {"err": {}}, {"err": {**good, "kind": "passed"}},
        {"err": {**good, "type": 3}}, {"err": {**good, "text": None}}, {"ok": ["x"]},
        {"ok": ["a", "<f8", [9]]},
    ):  # fmt: skip
        with pytest.raises(WireError):
            Student(Backend(reply)).f()
    with pytest.raises(StudentError) as caught:
        Student(Backend({"err": good})).f()
    assert caught.value.where == [("<c>", 1, "x")]
    with pytest.raises(StudentError) as caught:
        Student(Backend({"err": {**good, "where": "everywhere", "text": "x" * 9999}})).f()
    assert caught.value.where == [] and len(caught.value.text) == 2000


def test_a_local_student_leaves_random_state_alone() -> None:
    source = "import random\nimport numpy as np\ndef draw(): return random.random(), np.random.rand()"
    import random

    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    with student_of(source) as student:
        drawn = student.draw()
    assert (random.random(), np.random.rand()) == expected != drawn
    with student_of(source) as student:
        assert student.draw() == drawn


def test_a_local_student_leaves_torchs_random_state_alone() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    source = "import torch\ndef draw(): return torch.rand(2)"
    drawn = []
    for _ in range(2):
        with student_of(source) as student:
            drawn.append(student.draw())
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.rand(2), expected)


def test_builtins_reach_objects_that_stayed() -> None:
    source = """
class Loader:
    def __len__(self): return 3
    def __getitem__(self, i): return [(i, object())][0] if i < 3 else [][0]
    def keys(self): return ["a", "b"]
def loader(): return Loader()
list = dict = len = None
"""
    with student_of(source) as student:
        loader = student.loader()
        assert student.builtin("len", loader) == 3
        assert [number for number, _ in student.builtin("list", loader)] == [0, 1, 2]
        assert student.builtin("getitem", loader, 2)[0] == 2
        with pytest.raises(StudentError, match="IndexError"):
            student.builtin("getitem", loader, 3)
        steps = student.builtin("iter", loader)
        assert [student.builtin("next", steps)[0] for _ in range(2)] == [0, 1]


def test_a_model_is_made_and_read_where_the_students_code_is() -> None:
    torch = pytest.importorskip("torch")
    with student_of("import torch") as student:
        there = student.value("torch")
        model = there.nn.Sequential(there.nn.Linear(3, 2), there.nn.BatchNorm1d(2)).double()
        model.load_state_dict(
            {**student.builtin("dict", model.state_dict()), "0.bias": torch.tensor([1.0, 2.0])}
        )
        weights = student.builtin("dict", model.state_dict())
        assert weights["0.bias"].dtype == torch.float64
        assert weights["0.bias"].tolist() == [1.0, 2.0]
        out = model.eval()(torch.zeros(4, 3, dtype=torch.float64))
        assert torch.allclose(out, weights["0.bias"] / (1 + 1e-5) ** 0.5)


# Mistakes


GOOD_MISTAKES = '''\
"""Known wrong answers."""
from __future__ import annotations
import numpy as np
from autograder.checking import mistake

FACTOR = 2

def helper(x):
    return FACTOR * x

@mistake("f", "It doubles.")
def doubled(x):
    return helper(np.asarray(x))

@mistake(question="Net", sentence="It forgets.", replaces="Net.loss")
def forgetful(self, x): return 0.0

@mistake("Net", "Another class.")
class Other:
    """A class."""
'''


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mistakes.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_mistakes_are_read_as_text(tmp_path: Path) -> None:
    found = read_mistakes(write(tmp_path, GOOD_MISTAKES))
    assert [(entry.name, entry.question, entry.sentence, entry.replaces) for entry in found] == [
        ("doubled", "f", "It doubles.", "f"),
        ("forgetful", "Net", "It forgets.", "Net.loss"),
        ("Other", "Net", "Another class.", "Net"),
    ]
    assert found[0].line == 12
    namespace: dict[str, Any] = {"Net": type("Net", (), {})}
    for entry in found[:2]:
        exec(entry.source, namespace)
    assert namespace["f"](3) == 6
    assert namespace["Net"]().loss(1) == 0.0
    assert read_mistakes(tmp_path / "absent.py") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef f(:\n", "line 2: "),
        ('@mistake("f")\ndef g(x): ...\n', r"line 1: @mistake needs a question and a sentence\."),
        ('@mistake("f", 3)\ndef g(x): ...\n', r"line 1: @mistake needs a question and a sentence\."),
        (
            'A = "s"\n@mistake("f", A)\ndef g(x): ...\n',
            "line 2: the arguments of @mistake must be plain strings",
        ),
        (
            '@mistake("f", "s")\ndef g(x): ...\n@mistake("f", "t")\ndef g(x): ...\n',
            "two mistakes are called g",
        ),
    ],
)
def test_unusable_mistakes_are_named_by_line(text: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(MistakesError, match=said) as caught:
        read_mistakes(path)
    assert str(caught.value).startswith(str(path))


def test_the_decorator_leaves_its_function_alone() -> None:
    def wrong(x: int) -> int:
        return x

    decorate: Callable[..., Any] = mistake("f", "It is wrong.")
    assert decorate(wrong) is wrong
    for question, sentence in (("", "s"), ("f", "")):
        with pytest.raises(ValueError, match="names its question"):
            mistake(question, sentence)

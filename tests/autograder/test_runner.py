"""The runner: a suite collected once and run for many submissions, and what is no suite."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autograder.checking.namespace import Namespace
from autograder.checking.plugin import Context
from autograder.checking.proxy import Student, local_student
from autograder.checking.runner import Suite, SuiteError, TestRun, run_suite
from autograder.sandbox.verdicts import SandboxError, WorkerLost

FIRST = '''
import pytest
from autograder.checking import assert_close, fail

@pytest.fixture(scope="session")
def once():
    fail.calls = getattr(fail, "calls", 0) + 1
    return fail.calls

@pytest.fixture(scope="module")
def module():
    return 1

@pytest.mark.question("f", weight=2)
def test_value(student, rng, module):
    """f doubles.

    More that no student reads.
    """
    x = float(rng.normal())
    assert_close(student.f(x), 2 * x)

@pytest.mark.question("f")
def test_once(student, once, module):
    """f of 0 is
    0."""
    assert_close(student.f(0.0), 0.0)
    print("seen", once)
'''
SECOND = '''
import pytest
from autograder.checking import assert_close

@pytest.fixture(scope="module")
def second():
    return 2

@pytest.mark.question("g")
def test_g(student, second):
    """g is there."""
    assert_close(student.g(), second)

@pytest.mark.question("g")
def test_g_again(student, second):
    """g is there again."""
    assert_close(student.g(), second)
'''
RIGHT = "def f(x): return 2 * x\ndef g(): return 2"


class Local(Context):
    """Tests a text in this process; counts the students it hands out."""

    def __init__(self, source: str, seed: int = 1, trouble: BaseException | None = None) -> None:
        self.seed, self.trouble, self.seeds = seed, trouble, list[int]()
        self.namespace: dict[str, Any] = {}
        exec(compile(source, "<cell 1>", "exec"), self.namespace)

    @contextmanager
    def student(self, seed: int, given: Sequence[str]) -> Iterator[Student]:
        self.seeds.append(seed)
        if self.trouble is not None:
            raise self.trouble
        with local_student(self.namespace, lambda name: name == "<cell 1>", seed=seed) as student:
            yield student

    def reference(self) -> Namespace:
        return Namespace({"f": lambda x: 2 * x})


def files(tmp_path: Path, *texts: str) -> list[Path]:
    paths = [tmp_path / f"test_{number}.py" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def outcomes(runs: list[TestRun]) -> dict[str, str]:
    return {run.test.name: run.result.outcome for run in runs}


PASSED = dict.fromkeys(("test_value", "test_once", "test_g", "test_g_again"), "passed")

NO_G = {"test_g": "error", "test_g_again": "error"}


def test_a_suite_runs_again_and_again(tmp_path: Path) -> None:
    def body(suite: Suite) -> None:
        described = [(test.name, test.says, test.question, test.weight) for test in suite.tests]
        assert described[:2] == [
            ("test_value", "f doubles.", "f", 2.0),
            ("test_once", "f of 0 is 0.", "f", 1.0),
        ]
        seeds = []
        for source, ends in [
            (RIGHT, PASSED),
            ("def f(x): return 2 * x + 1\ndef g(): return g.x", dict.fromkeys(PASSED, "failed") | NO_G),
            (RIGHT, PASSED),
            ("", dict.fromkeys(PASSED, "error")),
            (RIGHT, PASSED),
        ]:  # fmt: skip
            context = Local(source)
            runs = suite.run(context)
            assert outcomes(runs) == ends
            seeds.append(context.seeds)
            assert all(run.result.says == run.test.says for run in runs)
        assert seeds[0] == seeds[1] == seeds[4]
        assert len(set(seeds[0])) == 4  # each test has a seed of its own
        other = Local(RIGHT, seed=2)
        suite.run(other)
        assert not set(other.seeds) & set(seeds[0])

    run_suite(files(tmp_path, FIRST, SECOND), body)


def test_the_numbers_depend_on_the_seed_only(tmp_path: Path) -> None:
    def body(suite: Suite) -> list[Any]:
        chosen = [test for test in suite.tests if test.name == "test_value"]
        return [suite.run(Local(RIGHT, seed=seed), chosen)[0].events[0].args for seed in (1, 1, 2)]

    first, again, other = run_suite(files(tmp_path, FIRST, SECOND), body)
    assert first == again != other
    alone = run_suite(files(tmp_path, FIRST), body)  # beside other files, and in another run
    assert alone[0] == first


def test_a_run_that_was_cut_short_does_not_hurt_the_next(tmp_path: Path) -> None:
    def body(suite: Suite) -> None:
        last = suite.tests[-1]
        cut = suite.run(Local(RIGHT), before_each=lambda test: "Too late." if test is last else None)
        assert outcomes(cut) == {**PASSED, last.name: "timeout"}
        assert cut[-1].result.message == "Too late."
        assert outcomes(suite.run(Local(RIGHT))) == PASSED
        with pytest.raises(SandboxError):
            suite.run(Local(RIGHT, trouble=SandboxError("gone")), suite.tests[2:])
        assert outcomes(suite.run(Local(RIGHT))) == PASSED

    run_suite(files(tmp_path, FIRST, SECOND), body)


def test_what_belongs_to_the_session_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def body(suite: Suite) -> None:
        for _ in range(3):
            assert outcomes(suite.run(Local(RIGHT))) == PASSED

    run_suite(files(tmp_path, FIRST, SECOND), body)
    seen = [line for line in capsys.readouterr().out.splitlines() if line.startswith("seen")]
    assert len(seen) == 3 and len(set(seen)) == 1


def test_a_lost_worker_is_a_verdict_and_a_broken_sandbox_is_not(tmp_path: Path) -> None:
    def body(suite: Suite) -> None:
        runs = suite.run(Local(RIGHT, trouble=WorkerLost("It ended.")))
        assert [(run.result.outcome, run.result.message) for run in runs] == [("crashed", "It ended.")] * 4
        with pytest.raises(SandboxError, match="no more"):
            suite.run(Local(RIGHT, trouble=SandboxError("no more")))

    run_suite(files(tmp_path, FIRST, SECOND), body)


ODD = '''
import pytest

@pytest.fixture
def broken():
    raise ValueError("a line of the suite")

@pytest.fixture
def broken_later(student):
    yield
    raise ValueError("a line of the suite")

@pytest.mark.question("f")
def test_before(student, broken):
    """Its fixture fails."""

@pytest.mark.question("f")
def test_unknown(student, no_such_fixture):
    """Its fixture is not there."""

@pytest.mark.question("f")
def test_skipped(student):
    """It is skipped."""
    pytest.skip("not today")

@pytest.mark.question("f")
@pytest.mark.skip(reason="never")
def test_always_skipped(student):
    """It is always skipped."""

@pytest.mark.question("f")
def test_after(student, broken_later):
    """Only tearing down fails."""

@pytest.mark.question("f")
def test_fails_and_after(student, broken_later):
    """It fails, and so does tearing down."""
    assert student.f(1.0) == 5.0

@pytest.mark.question("f")
def test_exits(student):
    """The suite itself gives up."""
    raise SystemExit(3)

@pytest.mark.question("f")
@pytest.mark.parametrize("n", [1, 2])
def test_each(student, n):
    """It holds for each."""
    assert student.f(float(n)) == 2.0
'''


def test_whatever_is_not_clearly_a_pass_is_none(tmp_path: Path) -> None:
    runs = run_suite(files(tmp_path, ODD), lambda suite: suite.run(Local(RIGHT)))
    assert outcomes(runs) == {
        "test_before": "not_gradable", "test_unknown": "not_gradable", "test_skipped": "not_gradable",
        "test_always_skipped": "not_gradable", "test_after": "passed", "test_fails_and_after": "failed",
        "test_exits": "not_gradable", "test_each[1]": "passed", "test_each[2]": "failed",
    }  # fmt: skip
    assert not any("a line of the suite" in run.result.model_dump_json() for run in runs)
    assert runs[2].result.message == "The test was skipped: not today"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'def test_f(student):\n    """It is."""\n',
            r"test_0\.py, test_f names no question\. Put @pytest\.mark",
        ),
        ('import pytest\n@pytest.mark.question("f")\ndef test_f(student): ...\n', "test_f has no docstring"),
        ("def test_f(:\n", r"test_0\.py, line 1: SyntaxError: .*\.$"),
        ("import no_such_module\n", r"test_0\.py, line 1: .*No module named 'no_such_module'\.$"),
        ("\n1 / 0\n", r"test_0\.py, line 2: ZeroDivisionError"),
        ("", "no test was found"),
        ("def helper(): ...\n", "no test was found"),
    ],
    ids=["question", "docstring", "syntax", "import", "error", "empty", "no test"],
)
def test_files_that_are_no_suite(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=said):
        run_suite(files(tmp_path, text), lambda suite: suite.tests)
    if text:  # a good file beside it does not hide it
        with pytest.raises(SuiteError) if "helper" not in text else _nothing():
            run_suite(files(tmp_path, text, FIRST), lambda suite: suite.tests)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"There is no test file .*absent\.py"):
        run_suite([tmp_path / "absent.py"], lambda suite: suite.tests)
    with pytest.raises(SuiteError, match="at all"):
        run_suite([], lambda suite: suite.tests)


def test_what_the_body_raises_comes_out(tmp_path: Path) -> None:
    def body(suite: Suite) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite(files(tmp_path, FIRST), body)


def test_an_interrupted_test_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_suite(files(tmp_path, FIRST), lambda suite: suite.run(Local(RIGHT, trouble=KeyboardInterrupt())))


def test_ctrl_c_while_a_file_is_imported_is_no_broken_suite(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_suite(files(tmp_path, "raise KeyboardInterrupt\n" + FIRST), lambda suite: None)


def test_options_and_plugins_of_the_environment_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing --maxfail=1 --no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('a conftest was read')")
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_functions = nothing\n")
    runs = run_suite(files(tmp_path, FIRST, SECOND), lambda suite: suite.run(Local(RIGHT)))
    assert outcomes(runs) == PASSED
    assert os.environ["PYTEST_PLUGINS"] == "no_such_plugin"
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD" not in os.environ


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    paths = files(tmp_path, FIRST)
    assert len(run_suite(paths, lambda suite: suite.tests)) == 2
    paths[0].write_text(FIRST + SECOND.replace("import pytest", ""))
    assert len(run_suite(paths, lambda suite: suite.tests)) == 4

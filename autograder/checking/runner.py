"""Running a suite many times: pytest collects it once, and its items then run for one submission after
another.

A fresh `pytest.main` costs tens of milliseconds before the first test; running collected items again costs
well under one.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from autograder.checking import plugin
from autograder.checking.failure import CheckFailure, current_student
from autograder.checking.proxy import Event, Margin
from autograder.checking.relation import Relation
from autograder.checking.verdict import verdict_of
from autograder.course.results import TestResult
from autograder.sandbox.verdicts import SandboxError

T = TypeVar("T")


class SuiteError(Exception):
    """A suite cannot be used; the text says which file and why."""


@dataclass(frozen=True)
class SuiteTest:
    """One collected test of a suite."""

    item: pytest.Item
    name: str
    says: str
    question: str
    weight: float
    given: tuple[str, ...]

    @property
    def key(self) -> str:
        """File and name: two files may have tests of one name."""
        return plugin.stable_name(self.item)

    @property
    def timed(self) -> bool:
        """Whether it measures time, so that its calls are not the same in every run."""
        return "budget" in getattr(self.item, "fixturenames", ())


@dataclass
class TestRun:
    """A verdict and the calls that led to it."""

    __test__ = False  # pytest would take the class for a test by its name

    test: SuiteTest
    result: TestResult
    events: list[Event]
    relation: Relation | None = None
    """How the wrong answer relates to the right one, where it is of a simple family."""
    nonfinite: bool = False
    """Whether infinite or undefined numbers are what is wrong."""
    margins: list[Margin] = field(default_factory=list)
    """How far each threshold was passed."""
    compared: int = 0
    """How many floating-point results were found right."""
    used: float = 0.0
    """The largest error among them, as a share of the tolerance."""


class Suite:
    """A collected suite: run it as often as you like."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self.tests = [_describe(item) for item in session.items]
        self._recorder: _Recorder = session.config.stash[_RECORDER]

    def run(
        self,
        context: plugin.Context,
        tests: Sequence[SuiteTest] | None = None,
        before_each: Callable[[SuiteTest], str | None] | None = None,
        *,
        replaced: str = "",
    ) -> list[TestRun]:
        """Run `tests` (all of them by default) for one submission.

        Args:
            context: who is tested, and against what.
            tests: which tests, in order.
            before_each: called before each test; a sentence returned skips it with the outcome "timeout".
            replaced: the function, class or `Class.method` that alone differs from the solution, where that
                is known: other functions need not be served from the reference then, for they are the same.
        """
        chosen = list(self.tests if tests is None else tests)
        self._session.config.stash[plugin.CONTEXT] = context
        runs = []
        try:
            for position, test in enumerate(chosen):
                skip = before_each(test) if before_each else None
                if skip is not None:
                    result = _result(test, "timeout", skip)
                    runs.append(TestRun(test, result, []))
                    continue
                # After the last one pytest keeps what belongs to the session (data sets) for the next run.
                following = chosen[position + 1].item if position + 1 < len(chosen) else self._session
                served = bool(test.given) and (not replaced or replaced.partition(".")[0] in test.given)
                runs.append(self._run_one(test, following, served))
        finally:
            # A run that was cut short leaves a file's fixtures standing, at which the next one would stumble.
            self._session._setupstate.teardown_exact(self._session)  # type: ignore[arg-type]
            del self._session.config.stash[plugin.CONTEXT]
        return runs

    def _run_one(self, test: SuiteTest, following: pytest.Item | pytest.Session, served: bool) -> TestRun:
        """Run a test with the student's own functions; where that fails, and functions are given, with those.

        In this order nobody pays twice for one error, and who designed a cache of their own across two
        questions is not handed a foreign one as long as their own works.
        """
        if served:
            # Down to the session: what runs next is this test again, or one of another file.
            own = self._attempt(test, self._session, serve=False)
            if own.result.outcome in ("passed", "not_gradable"):
                return own
        run = self._attempt(test, following, serve=served)
        if run.result.outcome == "crashed":
            # A process may be killed by something outside (for want of memory, say), which is no verdict.
            run = self._attempt(test, following, serve=served)
        return run

    def _attempt(self, test: SuiteTest, following: Any, *, serve: bool) -> TestRun:
        self._session.config.stash[plugin.SERVE] = serve
        self._recorder.start(test)
        start = time.perf_counter()
        test.item.config.hook.pytest_runtest_protocol(item=test.item, nextitem=following)
        seconds = time.perf_counter() - start
        if self._recorder.broken is not None:
            raise self._recorder.broken
        result = self._recorder.result or _result(test, "not_gradable", "The test left no verdict.")
        result.seconds = round(seconds, 4)
        student = test.item.stash.get(plugin.EVENTS, None)
        if student is not None:
            del test.item.stash[plugin.EVENTS]
        run = TestRun(test, result, student.events if student is not None else [])
        failure = self._recorder.failure
        if failure is not None:
            run.relation, run.nonfinite = failure.relation, failure.nonfinite
        if student is not None:
            run.margins, run.compared, run.used = student.margins, student.compared, student.used
        return run


class _Recorder:
    """Turns what pytest reports of one item into one verdict."""

    def __init__(self) -> None:
        self.result: TestResult | None = None
        self.broken: SandboxError | None = None
        """The sandbox failed: that is no verdict on the submission."""
        self.failure: CheckFailure | None = None
        """What a check had to say about the answer."""
        self._test: SuiteTest | None = None

    def start(self, test: SuiteTest) -> None:
        self._test, self.result, self.broken, self.failure = test, None, None, None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        # The verdict is made here, while `student` is still at hand to say which call went wrong.
        try:
            value = yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            self._conclude(error)
            return None  # the verdict stands; letting pytest format a traceback costs more than most tests
        self._conclude(None)
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        # Setting up failed. (Where only the tearing down fails there is a verdict already, and it stands.)
        if call.excinfo is not None and call.when != "call" and self.result is None:
            self._conclude(call.excinfo.value)
        return report

    def _conclude(self, error: BaseException | None) -> None:
        if self._test is None:
            return
        if isinstance(error, SandboxError):
            self.broken = error
            return
        if isinstance(error, pytest.skip.Exception):
            self.result = _result(self._test, "not_gradable", f"The test was skipped: {error.msg}")
            return
        student = self._test.item.stash.get(plugin.EVENTS, None)
        token = current_student.set(student)
        try:
            outcome, message, finding = verdict_of(error)
        finally:
            current_student.reset(token)
        self.result = _result(self._test, outcome, message)
        self.result.finding = finding
        self.failure = error if isinstance(error, CheckFailure) else None


_RECORDER = pytest.StashKey[_Recorder]()


def _result(test: SuiteTest, outcome: Any, message: str) -> TestResult:
    return TestResult(name=test.name, says=test.says, outcome=outcome, message=message, weight=test.weight)


def _describe(item: pytest.Item) -> SuiteTest:
    mark = item.get_closest_marker("question")
    doc = (getattr(getattr(item, "function", None), "__doc__", None) or "").strip()
    says = " ".join(doc.split("\n\n")[0].split())
    where = f"{item.path.name}, {item.name}"
    if mark is None or not mark.args:
        raise SuiteError(f'{where} names no question. Put @pytest.mark.question("name") above it.')
    if not says:
        raise SuiteError(f"{where} has no docstring. Its first sentence is what the student reads.")
    return SuiteTest(
        item=item,
        name=item.name,
        says=says,
        question=str(mark.args[0]),
        weight=float(mark.kwargs.get("weight", 1)),
        given=tuple(mark.kwargs.get("given", ())),
    )


class _Driver:
    """Takes over pytest's loop once collection is done."""

    def __init__(self, body: Callable[[Suite], Any]) -> None:
        self._body = body
        self.value: Any = None
        self.error: BaseException | None = None
        self.problems: list[str] = []
        self.ran = False

    def pytest_configure(self, config: pytest.Config) -> None:
        recorder = _Recorder()
        config.stash[_RECORDER] = recorder
        config.pluginmanager.register(recorder, "autograder-recorder")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(_why_not_collected(report.nodeid, str(report.longrepr)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.ran = True
        try:
            if self.problems:
                raise SuiteError(f"The suite cannot be collected: {'; '.join(self.problems)}.")
            if not session.items:
                raise SuiteError("The suite cannot be collected: no test was found.")
            self.value = self._body(Suite(session))
        except BaseException as error:
            self.error = error
        return True


def _why_not_collected(file: str, traceback: str) -> str:
    """File, line and reason, from pytest's traceback."""
    lines = [line.removeprefix("E").strip() for line in traceback.splitlines() if line.strip()]
    numbers = re.findall(rf'{re.escape(Path(file).name)}(?:", line |:)(\d+)', traceback)
    where = f"{file}, line {numbers[-1]}" if numbers else file
    return f"{where}: {lines[-1] if lines else 'unreadable'}"


@contextmanager
def _no_foreign_options() -> Generator[None]:
    """Plugins that happen to be installed, and options from the environment, must not change a grade."""
    names = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS", "PYTEST_ADDOPTS")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        del os.environ[names[0]]
        os.environ.update(before)


def _forget(files: Sequence[Path]) -> None:
    """Suites of other assignments have files of the same names, and one may change between two checks."""
    own = {os.path.realpath(file) for file in files}
    endings = tuple(file.name for file in files)  # of a thousand modules, those worth a look at the disk
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.endswith(endings) and os.path.realpath(path) in own:
            del sys.modules[name]


def run_suite(files: Sequence[Path], body: Callable[[Suite], T]) -> T:
    """Collect the test files and call `body` with the suite, inside pytest. Returns what `body` returns.

    Raises:
        SuiteError: a file cannot be imported, a test names no question or has no docstring, or no test was
            found.
    """
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise SuiteError(f"There is no test file {', '.join(missing) or 'at all'}.")
    driver = _Driver(body)
    options = ["--assert=plain", "--import-mode=importlib", "--capture=no", "--noconftest", "-W", "ignore"]
    options += ["-c", os.devnull, "--rootdir", str(files[0].parent)]
    for name in (
        "terminal",
        "cacheprovider",
        "faulthandler",
        "logging",
        "junitxml",
        "doctest",
        "unittest",
        "stepwise",
        "pastebin",
        "setuponly",
        "setupplan",
        # These two wait for Python's garbage collector, several times a run, for what no grade depends on.
        "unraisableexception",
        "threadexception",
    ):
        options += ["-p", f"no:{name}"]
    try:
        with _no_foreign_options():
            status = pytest.main([*options, *map(str, files)], plugins=[plugin, driver])
    finally:
        _forget(files)
    if driver.error is not None:
        raise driver.error
    if status == pytest.ExitCode.INTERRUPTED:  # pytest keeps a Ctrl-C during collection to itself
        raise KeyboardInterrupt
    if not driver.ran:
        raise SuiteError(
            f"The suite cannot be collected: {'; '.join(driver.problems) or 'pytest did not start'}."
        )
    value: T = driver.value
    return value

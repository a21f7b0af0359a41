"""Grading: what each kind of submission earns, and that a run survives whatever happens to it."""

from __future__ import annotations

import errno
import gc
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradebook_course import prepare
from tiny_course import COURSE, HIDDEN, MISTAKES, SOURCE, write_tiny_course

from autograder.checking import StudentError
from autograder.checking.mistakes import MistakesError
from autograder.checking.proxy import Student
from autograder.checking.random_state import RandomState
from autograder.checking.runner import SuiteError
from autograder.course import Assignment, Course, Limits, load_course
from autograder.course.results import Report, SubmissionResult
from autograder.gradebook.errors import GradebookError
from autograder.grading import Grader, Options, grade_one, jobs, journal, with_grader
from autograder.grading import run as run_module
from autograder.grading.grader import UNSAFE, Graded
from autograder.grading.identity import StateError, course_key, numbers_seed, submission_seed
from autograder.grading.journal import Journal
from autograder.grading.recording import GradebookRecorder
from autograder.grading.run import ReportError, RunOptions, check_report_path, grade_submissions, write_report
from autograder.grading.session import LoadedSubmission, served_upcall
from autograder.notebook.cells import Cell
from autograder.notebook.collect import Found, collect
from autograder.notebook.intake import read_release, read_submission
from autograder.notebook.percent import read_source
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.verdicts import SandboxError

LIMITS = "limits: {call_seconds: 1, cell_seconds: 1, load_seconds: 4, memory_mb: 512}\n"
SLEEPS = "import time\ntime.sleep(0.3)"
WRONG_RELU = "def relu_forward(x):\n    return np.abs(x), x"
Change = Callable[[dict[str, Any]], None]


def course_at(folder: Path, limits: str = LIMITS, **changed: str) -> Course:
    """The tiny course, released, with small limits."""
    root = write_tiny_course(folder, **{"course": COURSE + limits, **changed})
    prepare(root)
    return load_course(root)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return course_at(tmp_path)


def answers_of(assignment: Assignment) -> dict[str, str]:
    cells = read_source(assignment.source)
    return {cell.grade_id: cell.source for cell in cells if cell.question and cell.grade_id}


def notebook(assignment: Assignment, *, own: str = "", **answers: str | None) -> bytes:
    """The release with the solution's answers, but those given here; None leaves the stub. `own` is a cell of
    the student's, put first.
    """
    document = json.loads(assignment.release_notebook.read_bytes())
    solved = answers_of(assignment) | answers
    for cell in document["cells"]:
        answer = solved.get(cell["metadata"].get("nbgrader", {}).get("grade_id"))
        if answer is not None:
            cell["source"] = answer
    if own:
        document["cells"].insert(0, own_cell(own))
    return json.dumps(document).encode()


def own_cell(source: str) -> dict[str, Any]:
    return {
        "id": f"own-{abs(hash(source))}", "cell_type": "code", "metadata": {}, "source": source,
        "execution_count": None, "outputs": [],
    }  # fmt: skip


def doubled(assignment: Assignment, second: str) -> bytes:
    document = json.loads(notebook(assignment))
    places = [
        n for n, cell in enumerate(document["cells"])
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "softmax"
    ]  # fmt: skip
    copy = json.loads(json.dumps(document["cells"][places[0]]))
    copy["source"] = second
    document["cells"].insert(places[0] + 1, copy)
    return json.dumps(document).encode()


# What submissions earn

Case = tuple[bytes, float, str]


def cases_of(a: Assignment) -> dict[str, Case]:
    """Name -> notebook, score (-1: refused), what is said."""
    exits, leave = "import os\nos._exit(0)\n", "__import__('os')._exit(0)"
    overflows = "def softmax(s):\n    return np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)"
    warns = "import sys, warnings\nwarnings.warn('x')\nprint(1, file=sys.stderr)"
    return {
        "solution": (notebook(a), 5.0, ""),
        "stub": (a.release_notebook.read_bytes(), 0.0, ""),
        "half": (notebook(a, softmax=None), 2.0, ""),
        "some tests": (notebook(a, softmax=overflows), 4.25, ""),
        "syntax error": (
            notebook(a, softmax="def softmax(scores):\n    return ((\n"), 2.0, r"line 2, raised SyntaxError",
        ),
        "magics": (notebook(a, own="%matplotlib inline\n!pip install x\n%time y = 1"), 5.0, ""),
        "hangs at load": (notebook(a, own="while True:\n    pass"), 5.0, "longer than 1 s and was left out"),
        "exits at load": (notebook(a, own=exits), 5.0, "ended the process it ran in and was left out"),
        "sys.exit at load": (notebook(a, own="import sys\nsys.exit(0)"), 5.0, "raised SystemExit: 0"),
        "answer exits at load": (notebook(a, softmax=f"{exits}def softmax(s): ..."), 2.0, "only what it def"),
        "raises half way": (notebook(a, softmax="1 / 0\ndef softmax(s): ..."), 2.0, "line 1, raised ZeroDiv"),
        "surrogate": (notebook(a, own="text = '\ud800'"), 5.0, ""),
        "doubled": (doubled(a, answers_of(a)["softmax"]), 5.0, ""),
        "doubled, second wrong": (doubled(a, "def softmax(scores):\n    return scores"), 2.0, ""),
        "stderr": (notebook(a, own=warns), 5.0, ""),
        "forbidden package": (notebook(a, own="import scipy"), 5.0, "scipy may not be used"),
        "endless answer": (notebook(a, softmax="def softmax(s):\n    while True: pass"), 2.0, ""),
        "greedy answer": (notebook(a, softmax="def softmax(s):\n    return np.ones(2**27)"), 2.0, ""),
        "exiting answer": (notebook(a, relu_forward=f"def relu_forward(x):\n    {leave}"), 3.0, ""),
        "truncated": (notebook(a)[:-200], -1.0, "cut off"),
        "no notebook": (b'{"a": [1, 2]}', -1.0, "no (Jupyter )?notebook"),
        "a list": (b"[1, 2]", -1.0, "no (Jupyter )?notebook"),
        "a zip": (b"PK\x03\x04 and so on", -1.0, "zip file"),
        "empty": (b"", -1.0, "empty"),
        "deeply nested": (b'{"cells":' + b"[" * 100_000 + b"]" * 100_000 + b"}", -1.0, "nested|no "),
        "too large": (b" " * (2 << 20), -1.0, "more than 1 MB"),
    }  # fmt: skip


Results = dict[str, tuple[SubmissionResult, float, str]]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every case, graded by one grader, one after the other; the solution once more at the end."""
    limits = LIMITS.replace("}", ", notebook_mb: 1}")
    assignment = course_at(tmp_path_factory.mktemp("graded"), limits).assignment("tiny")
    cases = cases_of(assignment)
    cases["solution again"] = cases["solution"]

    def body(grader: Grader) -> Results:
        return {name: (grader.grade(raw, name, 1).result, *rest) for name, (raw, *rest) in cases.items()}

    return with_grader(assignment, body)


def test_what_each_submission_earns(graded: Results) -> None:
    assert len(graded) == 27
    for name, (result, score, said) in graded.items():
        notes = " ".join([name, *result.repairs, result.reason])
        wanted = ("graded", score) if score >= 0 else ("refused", 0.0)
        assert (result.status, result.score) == wanted, notes
        assert re.search(said, notes), notes
        assert "Traceback" not in notes
        assert result.max_score == 5.0
        points = {question.name: question.points for question in result.questions}
        assert list(points) == (["relu_forward", "softmax"] if score >= 0 else []), notes
        assert sum(points.values()) == result.score


def test_reasons_are_named(graded: Results) -> None:
    def softmax(name: str) -> list[tuple[str, str]]:
        return [(test.outcome, test.message) for test in graded[name][0].questions[1].tests]

    assert {outcome for outcome, _ in softmax("endless answer")} == {"timeout"}
    assert all("did not return within 1 s" in message for _, message in softmax("endless answer"))
    assert all("MemoryError" in message for _, message in softmax("greedy answer"))
    assert {message for _, message in softmax("stub")} == {"softmax is not written yet."}
    relu = graded["exiting answer"][0].questions[0].tests
    assert {test.outcome for test in relu} == {"crashed"}
    assert all("os._exit" in test.message for test in relu)
    failed = [test for test in graded["some tests"][0].questions[1].tests if test.outcome != "passed"]
    assert [test.name for test in failed] == ["test_softmax_large_scores"]
    assert str(failed[0].diagnosis).startswith("The scores are not shifted")


def test_no_line_of_the_suite_is_in_a_result(graded: Results) -> None:
    lines = [line.strip() for line in HIDDEN.splitlines() if len(line.strip()) > 25 and '"""' not in line]
    assert len(lines) > 10
    for result, _, _ in graded.values():
        text = result.model_dump_json()
        assert not [line for line in lines if line in text]


# Tests that give functions of the reference

BUILT_ON = SOURCE.replace(
    "shifted = scores - scores.max(axis=1, keepdims=True)",
    "shifted = -relu_forward(scores.max(axis=1, keepdims=True) - scores)[0]",
)
GIVEN = HIDDEN.replace('"softmax", weight=2', '"softmax", weight=2, given=["relu_forward"]').replace(
    '@pytest.mark.question("softmax")', '@pytest.mark.question("softmax", given=["relu_forward"])'
)


def test_an_error_is_not_paid_for_twice(tmp_path: Path) -> None:
    assert BUILT_ON != SOURCE and GIVEN.count("given=") == 2
    course = course_at(tmp_path, tiny=BUILT_ON, test_hidden=GIVEN, test_public="")
    assignment = course.assignment("tiny")
    own_name = "def my_relu(x): return np.abs(x)\ndef relu_forward(x): return my_relu(x), x"
    hostile = """
def softmax(scores):
    try:
        relu_forward(np.ones(3) * (scores.__class__ is not None), 1, 2, 3)
    except RuntimeError:
        pass
    (upcall,) = [c.cell_contents for c in relu_forward.__closure__ or () if callable(c.cell_contents)]
    return upcall("softmax", (scores,), {})
"""

    def body(grader: Grader) -> list[tuple[float, ...]]:
        made = [
            notebook(assignment),
            notebook(assignment, relu_forward=WRONG_RELU.replace("np.abs(x)", "x * 0")),
            notebook(assignment, relu_forward=None),
            notebook(assignment, relu_forward=own_name),
            notebook(assignment, relu_forward=WRONG_RELU.replace("np.abs(x)", "x * 0"), softmax=hostile),
            notebook(assignment, softmax="def softmax(scores): return scores"),
        ]
        results = [grader.grade(raw, "s", 1).result for raw in made]
        return [tuple(question.points for question in result.questions) for result in results]

    assert with_grader(assignment, body) == [
        (2.0, 3.0), (0.0, 3.0), (0.0, 3.0), (0.0, 3.0), (0.0, 0.0), (2.0, 0.0),
    ]  # fmt: skip


def test_served_functions_are_limited() -> None:
    import resource

    def slow() -> None:
        while True:
            pass

    reference: dict[str, Any] = {"slow": slow, "huge": lambda n: np.ones(n).sum(), "other": lambda: 1}
    limits = Limits(memory_mb=256, call_seconds=0.3)
    call = served_upcall(reference, ["slow", "huge"], limits, 0)
    assert call is not None
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)
    assert call("huge", (10,), {})[0] == 10.0
    with pytest.raises(MemoryError):
        call("huge", (2**27,), {})
    with pytest.raises(TimeoutError):
        call("slow", (), {})
    for name in ("other", "__import__"):
        with pytest.raises(PermissionError, match="not served"):
            call(name, (), {})
    assert (resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert served_upcall(reference, [], limits, 0) is None


def test_served_functions_draw_what_the_students_own_would() -> None:
    reference: dict[str, Any] = {"draw": lambda: (np.random.random(), random.random())}
    with RandomState(7):
        expected = [reference["draw"]() for _ in range(3)]
    for others in (1, 2):  # whatever else is drawn in this process
        call = served_upcall(reference, ["draw"], Limits(), 7)
        assert call is not None
        np.random.seed(others)
        numbers = []
        for _ in range(3):
            numbers.append(call("draw", (), {})[0])
            undisturbed = np.random.random()
        assert numbers == expected
        np.random.seed(others)
        assert [np.random.random() for _ in range(3)][-1] == undisturbed


# Loading


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote(Profile()) as made:
        yield made


def cells_of(*sources: str) -> list[Cell]:
    return [Cell(number, "code", source) for number, source in enumerate(sources)]


def test_a_submission_whose_process_ends_is_loaded_once_more(zygote: Zygote) -> None:
    cells = cells_of(
        "import os, threading\nthreading.Timer(0.3, os._exit, [0]).start()", "def f(): return 1", "1 / 0"
    )
    with LoadedSubmission(zygote, cells, Limits()) as submission:
        assert len(submission.notes) == 1
        for _ in range(2):
            time.sleep(0.5)
            process = submission.fork(0, None)
            assert Student(process).f() == 1
            process.close()
        assert len(submission.notes) == 1


def test_loading_ends_however_many_cells_hang(zygote: Zygote) -> None:
    limits = Limits(cell_seconds=0.3, load_seconds=0.6)
    hangs = [f"x{number} = 1\nwhile True: pass" for number in range(80)]
    first, middle, last = (f"def {name}(): return 1" for name in ("first", "middle", "last"))
    cells = cells_of(first, hangs[0], middle, *hangs[1:], last)
    start = time.monotonic()
    with LoadedSubmission(zygote, cells, limits) as submission:
        assert time.monotonic() - start < 8.0
        process = submission.fork(0, None)
        student = Student(process)
        assert (student.first(), student.middle()) == (1, 1)
        with pytest.raises(StudentError, match="not defined"):
            student.last()
        process.close()
        assert submission.notes[0] == "Cell 2 ran longer than 0.3 s and was left out."
        assert submission.notes[-1] == "Cell 83 was not run: the notebook used up its 0.6 s."
        assert len(submission.notes) == 81


# Trouble with the course, and with the machine


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tiny": SOURCE.replace("import numpy as np", "import numpy as np\n1 / 0")}, r"tiny\.py, line 7: "),
        ({"tiny": SOURCE.replace("out = np.max", "out = = np.max")}, r"tiny\.py, line \d+: .*Syntax"),
        ({"test_hidden": HIDDEN.replace('"softmax"', '"sofmax"')}, "'sofmax', which course.yml does not"),
        ({"test_hidden": "", "test_public": "def (:"}, r"test_public\.py.*SyntaxError"),
        ({"mistakes": MISTAKES + "\ndef (:\n"}, r"mistakes\.py, line"),
    ],
)  # fmt: skip
def test_a_course_that_cannot_be_graded_with(changed: dict[str, str], said: str, tmp_path: Path) -> None:
    course = course_at(tmp_path)
    for path in course.root.rglob("*.py"):
        if path.stem in changed:
            path.write_text(changed[path.stem])
    with pytest.raises((SuiteError, MistakesError), match=said):
        with_grader(course.assignment("tiny"), lambda grader: None)


def test_a_question_without_a_test_is_named(tmp_path: Path) -> None:
    more = COURSE.rstrip() + "\n      - {name: third, points: 1}\n"
    course = course_at(tmp_path)
    (course.root / "course.yml").write_text(more)
    with pytest.raises(SuiteError, match="No test belongs to third"):
        with_grader(load_course(course.root).assignment("tiny"), lambda grader: None)


def test_a_mistake_that_cannot_be_loaded_costs_no_grade(tmp_path: Path) -> None:
    broken = MISTAKES.replace("def not_shifted(scores):", "def not_shifted(scores, x=no_such_name):")
    assignment = course_at(tmp_path, mistakes=broken).assignment("tiny")
    result = grade_one(assignment, notebook(assignment, softmax="def softmax(s): return s"), "s")
    assert result.score == 2.0


def test_the_sandbox_is_started_again_and_its_failure_is_no_verdict(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment = course.assignment("tiny")
    raw = notebook(assignment)

    def body(grader: Grader) -> None:
        process = grader.zygotes.for_cells([])._process
        process.kill()
        process.wait()
        assert grader.grade(raw, "s", 1).result.score == 5.0

        def fail(*_: object) -> None:
            raise SandboxError("A worker did not start.")

        with monkeypatch.context() as patched:
            patched.setattr(Zygote, "worker", fail)
            result = grader.grade(raw, "s", 1).result
        assert result.status == "refused"
        assert result.reason.startswith("The sandbox failed twice on it: A worker did not start.")
        assert grader.grade(raw, "s", 1).result.score == 5.0

    with_grader(assignment, body)


def test_a_grader_gives_its_memory_back_to_the_garbage_collector(course: Course) -> None:
    assert with_grader(course.assignment("tiny"), lambda grader: gc.get_freeze_count()) > 1000
    assert gc.get_freeze_count() == 0


def test_without_the_sandbox_the_report_says_so(course: Course) -> None:
    assignment = course.assignment("tiny")

    def body(grader: Grader) -> tuple[list[str], float]:
        return grader.sandbox, grader.grade(notebook(assignment), "s", 1).result.score

    assert with_grader(assignment, body, Options(unsafe_no_sandbox=True)) == ([UNSAFE], 5.0)
    layers, score = with_grader(assignment, body)
    assert {"landlock", "seccomp", "rlimits"} <= set(layers) and score == 5.0


# Seeds


def test_seeds_differ_between_students_and_stay(course: Course, tmp_path: Path) -> None:
    key = course_key(course)
    assert key == course_key(course) and len(key) == 32
    path = course.root / ".autograder/key"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o077 == 0
    seeds = {submission_seed(key, slug, student) for slug in ("a", "b") for student in ("x", "y", "z")}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)
    assert submission_seed(key, "a", "x") == submission_seed(key, "a", "x")
    assert submission_seed(bytes(32), "a", "x") not in seeds
    other = course_at(tmp_path / "other")
    assert course_key(other) != key

    path.write_bytes(b"short")
    with pytest.raises(StateError, match="is damaged"):
        course_key(course)
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file stands in the way")
    with pytest.raises(StateError, match="Cannot create"):
        course_key(course)


def test_students_see_numbers_of_their_own(course: Course) -> None:
    assignment = course.assignment("tiny")
    raw = notebook(assignment, relu_forward=WRONG_RELU, softmax=None)

    def findings(grader: Grader, seed: int) -> str:
        result = grader.grade(raw, "s", seed).result
        return " ".join(test.finding.got for test in result.questions[0].tests if test.finding)

    first, again, other = with_grader(
        assignment, lambda grader: [findings(grader, seed) for seed in (1, 1, 2)]
    )
    assert first == again != other


def test_a_second_attempt_sees_other_numbers(course: Course) -> None:
    """What the first report told of inputs and labels is worth nothing in the next attempt."""
    assignment = course.assignment("tiny")
    tells = "def softmax(scores):\n    raise ValueError(scores.tobytes().hex()[:400])"

    def body(grader: Grader) -> list[str]:
        files = [notebook(assignment, softmax=tells, own=f"attempt = {n}") for n in (1, 1, 2)]
        results = [grader.grade(raw, "s", 1).result for raw in files]
        return [result.questions[1].tests[0].message for result in results]

    first, again, second = with_grader(assignment, body)
    assert first == again != second
    assert numbers_seed(1, "a") == numbers_seed(1, "a") != numbers_seed(1, "b")


# Runs


def hand_in(course: Course, **notebooks: bytes) -> Path:
    for student, raw in notebooks.items():
        place = course.root / "submitted" / student / "tiny"
        place.mkdir(parents=True)
        (place / "tiny.ipynb").write_bytes(raw)
    return course.root / "submitted"


def some(course: Course, own: str = "") -> Path:
    a = course.assignment("tiny")
    return hand_in(
        course,
        ada=notebook(a, own=own), bob=notebook(a, own=own, softmax=None),
        cem=notebook(a, own=own, relu_forward=WRONG_RELU),
        dan=notebook(a, own=own)[:-100], eva=notebook(a, own=own),
    )  # fmt: skip


SCORES = {"ada": 5.0, "bob": 2.0, "cem": 3.0, "dan": 0.0, "eva": 5.0}


def run(course: Course, folder: Path, **options: Any) -> Report:
    assignment = course.assignment("tiny")
    more = {name: options.pop(name) for name in ("recorder", "progress", "deliver") if name in options}
    return grade_submissions(course, assignment, collect([folder], assignment), RunOptions(**options), **more)


def timeless(report: Report) -> dict[str, Any]:
    document = report.model_dump()
    for entry in document["submissions"]:
        entry.pop("seconds")
        for question in entry["questions"]:
            for test in question["tests"]:
                test.pop("seconds")
    return document


def scores(report: Report) -> dict[str, float]:
    assert len({entry.student for entry in report.submissions}) == len(report.submissions)
    return {entry.student: entry.score for entry in report.submissions}


def journal_of(course: Course) -> Path:
    return course.root / ".autograder/runs/tiny.jsonl"


def test_two_jobs_give_the_same_report_as_one(course: Course) -> None:
    folder = some(course)
    one = run(course, folder)
    assert scores(one) == SCORES
    assert [entry.status for entry in one.submissions] == ["graded"] * 3 + ["refused", "graded"]
    two = run(course, folder, jobs=2, force=True)
    assert timeless(one) == timeless(two)
    assert set(finished(course)) == set(scores(one))
    seeds = [entry.seed for entry in one.submissions]
    assert len(set(seeds)) == 5 and all(seeds)


def graders() -> list[int]:
    """The grader processes of this one."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, command in commands.items() if b"autograder.grading.process" in command]


def test_a_job_that_is_killed_costs_only_a_repetition(course: Course) -> None:
    folder = some(course, own=SLEEPS)
    killed: list[int] = []

    def progress(done: int, total: int, result: SubmissionResult | None) -> None:
        assert total == 5
        if done == 1 and not killed:
            victims = graders()
            assert len(victims) == 2
            killed.append(victims[0])
            os.kill(victims[0], signal.SIGKILL)

    report = run(course, folder, jobs=2, progress=progress)
    assert killed and scores(report) == SCORES
    assert not graders()


class ThreadedJob:
    """Stands in for a grader process: a thread that answers each submission with `reply`, and ends where that
    is None.
    """

    def __init__(self, *_: object, alone: bool = False) -> None:
        self.first = alone
        self.task: jobs.Task | None = None
        self.connection, self._theirs = multiprocessing.Pipe()
        threading.Thread(target=self._serve, daemon=True).start()

    def reply(self, task: jobs.Task) -> Graded | None:
        raise NotImplementedError

    def _serve(self) -> None:
        with suppress(EOFError, OSError):
            self._theirs.send(["landlock"])
            while (task := self._theirs.recv()) is not None and (graded := self.reply(task)) is not None:
                self._theirs.send(graded)
        self._theirs.close()

    def ready(self) -> Any:
        return self.connection.recv()

    def give(self, task: jobs.Task | None) -> None:
        self.task = task
        self.connection.send(task)

    def answer(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError:
            return None

    def let_go(self) -> None:
        self.connection.close()

    def end(self) -> None:
        self.let_go()


def test_a_submission_that_kills_its_job_every_time_is_refused(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment = course.assignment("tiny")

    class Job(ThreadedJob):
        """It ends on one submission and on nothing else."""

        def reply(self, task: jobs.Task) -> Graded | None:
            return None if task.found.student == "poison" else jobs.refused(assignment, task, "")

    monkeypatch.setattr(jobs, "GraderProcess", Job)
    tasks = [
        jobs.Task(Found(student, Path(student), student, datetime.now(UTC)), 1)
        for student in ("a", "poison", "b", "c", "d")
    ]
    with jobs.Pool(assignment, Options(), 2) as pool:
        results = [graded.result for graded in pool.grade(tasks)]
    assert sorted(result.student for result in results) == ["a", "b", "c", "d", "poison"]
    (reason,) = [result.reason for result in results if result.student == "poison"]
    assert reason == "The grader's process ended 2 times on it. Look at it by hand."


def test_a_job_that_is_ready_later_joins_in(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job cannot go on with its first submission until the second has graded another."""
    assignment = course.assignment("tiny")
    joined = threading.Event()

    class Job(ThreadedJob):
        def reply(self, task: jobs.Task) -> Graded:
            in_time = joined.wait(20) if self.first else not joined.set()
            return jobs.refused(assignment, task, "" if in_time else "alone")

    monkeypatch.setattr(jobs, "GraderProcess", Job)
    tasks = [jobs.Task(Found(name, Path(name), name, datetime.now(UTC)), 1) for name in "abcd"]
    with jobs.Pool(assignment, Options(), 2) as pool:
        results = [graded.result for graded in pool.grade(tasks)]
    assert sorted(result.student for result in results) == ["a", "b", "c", "d"]
    assert not any(result.reason for result in results)


def test_jobs_share_out_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.os, "sched_getaffinity", lambda _: {0, 2, 4, 6, 8})
    shares = [jobs.processors(number, 2) for number in range(2)]
    assert shares == [{0, 4, 8}, {2, 6}]
    assert [jobs.processors(number, 7) for number in (0, 4, 5)] == [{0}, {8}, {0}]


def test_jobs_that_cannot_start_say_why(tmp_path: Path) -> None:
    course = course_at(tmp_path, test_hidden=HIDDEN.replace('"softmax"', '"sofmax"'))
    with pytest.raises(jobs.JobError, match="sofmax"):
        run(course, some(course), jobs=2)
    assert not graders()


COMMAND = [sys.executable, "-c", "from autograder.cli import main; main()"]


def test_resume_after_the_process_was_killed(course: Course) -> None:
    folder = some(course, own=SLEEPS)
    command = [*COMMAND, "grade", "tiny", str(folder), "--course", str(course.root), "--jobs", "2"]
    process = subprocess.Popen([*command, "--no-gradebook", "--no-feedback", "-q"])
    until = time.monotonic() + 60
    while len(finished(course)) < 2 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = finished(course)
    assert 2 <= len(before) < 5
    with journal_of(course).open("ab") as file:
        file.write(b'{"suite_version": "cut off in the mid')

    report = run(course, folder)
    assert scores(report) == SCORES
    kept = {entry.student: entry.seconds for entry in report.submissions}
    graded = {student: entry for student, entry in before.items() if entry["status"] == "graded"}
    assert graded and all(kept[student] == entry["seconds"] for student, entry in graded.items())
    assert len(journal_of(course).read_text().splitlines()) == len(SCORES)  # the last line of each


def finished(course: Course) -> dict[str, dict[str, Any]]:
    entries = {}
    with suppress(FileNotFoundError):
        for line in journal_of(course).read_text().splitlines():
            with suppress(ValueError):
                result = json.loads(line)["result"]
                entries[result["student"]] = result
    return entries


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Graders that only write down whom they were given: the keeping is at stake here, not the grades."""
    seen: list[str] = []

    def one_process(assignment: Assignment, options: Options, body: Any) -> Any:
        def grade(tasks: Any) -> Iterator[Any]:
            for task in tasks:
                seen.append(task.found.student)
                intake = read_submission(
                    task.found.read(1 << 20), read_release(assignment.release_notebook), assignment.limits
                )
                result = SubmissionResult(
                    student=task.found.student, score=1.0, max_score=5.0, sha256=intake.sha256,
                    seed=numbers_seed(task.seed, intake.sha256),
                )  # fmt: skip
                yield Graded(result, intake)

        return body(["landlock"], grade)

    monkeypatch.setattr(run_module, "one_process", one_process)
    return seen


def honest(course: Course) -> Path:
    a = course.assignment("tiny")
    return hand_in(course, ada=notebook(a), bob=notebook(a, softmax=None), cem=notebook(a, own="1 + 1"))


EVERYBODY = {"ada", "bob", "cem"}


def interrupt(report: Report) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("interrupted", [True, False])
def test_only_what_has_changed_is_graded_again(course: Course, instant: list[str], interrupted: bool) -> None:
    folder = honest(course)
    raw = (folder / "bob/tiny/tiny.ipynb").read_bytes()

    def regraded(change: Callable[[], object], *, force: bool = False, **first: Any) -> set[str]:
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                run(course, folder, deliver=interrupt, force=True, **first)
        else:
            run(course, folder, force=True, **first)
        assert set(finished(course)) == EVERYBODY
        instant.clear()
        change()
        report = run(course, folder, force=force)
        assert {entry.student for entry in report.submissions} == EVERYBODY == set(finished(course))
        return set(instant)

    suite, key = course.root / "tests/tiny/test_hidden.py", course.root / ".autograder/key"
    unsafe = Options(unsafe_no_sandbox=True)
    assert regraded(lambda: None) == set()
    assert regraded(lambda: None, force=True) == EVERYBODY
    assert regraded(lambda: (folder / "bob/tiny/tiny.ipynb").write_bytes(raw + b" ")) == {"bob"}
    assert regraded(lambda: suite.write_text(HIDDEN + "\n# a comment\n")) == set()
    assert regraded(lambda: suite.write_text(HIDDEN + "\nSIZE = 4\n")) == EVERYBODY
    assert regraded(lambda: key.write_bytes(bytes(32))) == EVERYBODY
    assert regraded(lambda: None, grader=unsafe) == EVERYBODY


def test_the_report_claims_no_more_layers_than_each_result_had(
    course: Course, instant: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on a machine with fewer layers, then one with more that takes the results over."""
    folder = honest(course)
    one_process = run_module.one_process

    def stronger(assignment: Assignment, options: Options, body: Any) -> Any:
        return one_process(assignment, options, lambda _, grade: body(["landlock", "namespaces"], grade))

    assert run(course, folder).sandbox == ["landlock"]
    monkeypatch.setattr(run_module, "one_process", stronger)
    instant.clear()
    assert run(course, folder).sandbox == ["landlock"] and instant == []
    raw = (folder / "bob/tiny/tiny.ipynb").read_bytes()
    (folder / "bob/tiny/tiny.ipynb").write_bytes(raw + b" ")
    assert run(course, folder).sandbox == ["landlock"] and instant == ["bob"]
    assert run(course, folder, force=True).sandbox == ["landlock", "namespaces"]
    (folder / "bob/tiny/tiny.ipynb").write_bytes(raw)
    monkeypatch.setattr(run_module, "one_process", one_process)
    assert run(course, folder).sandbox == ["landlock"], "bob's, though the others had more"


def test_an_interrupted_run_goes_on_where_it_stopped(course: Course, instant: list[str]) -> None:
    folder = honest(course)

    def progress(done: int, total: int, result: SubmissionResult | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(course, folder, progress=progress)
    assert instant == ["ada", "bob"]
    run(course, folder)
    assert instant == ["ada", "bob", "cem"]


def test_ctrl_c_counts_even_where_a_library_swallows_it(course: Course, instant: list[str]) -> None:
    folder = honest(course)

    def progress(done: int, total: int, result: SubmissionResult | None) -> None:
        if done == 2:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(course, folder, progress=progress)
    assert instant == ["ada", "bob"]
    assert set(finished(course)) == {"ada", "bob"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def full_disk(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_report_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(assignment="tiny", suite_version="v", sandbox=["rlimits"])
    path = tmp_path / "reports/report.json"
    write_report(report, path)
    assert Report.model_validate_json(path.read_bytes()) == report
    older = path.read_bytes()
    with monkeypatch.context() as patched, pytest.raises(ReportError, match="the disk is full"):
        patched.setattr(os, "fsync", full_disk)
        write_report(report.model_copy(update={"suite_version": "w"}), path)
    assert path.read_bytes() == older
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_a_full_disk_at_the_end_costs_no_second_grading(
    course: Course, instant: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = honest(course), course.root / "report.json"

    def deliver(report: Report) -> None:
        write_report(report, path)

    course_key(course)  # drawn while there was room
    with (
        monkeypatch.context() as patched,
        pytest.raises(ReportError, match=r"disk is full.*same command"),
    ):
        patched.setattr(os, "fsync", full_disk)
        run(course, folder, deliver=deliver)
    assert not path.exists()
    instant.clear()
    run(course, folder, deliver=deliver)
    assert instant == []
    assert set(scores(Report.model_validate_json(path.read_bytes()))) == EVERYBODY


def test_a_journal_that_cannot_be_written(
    course: Course, instant: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(journal.os, "write", full_disk)
        with pytest.raises(StateError, match=r"tiny\.jsonl: the disk is full"):
            run(course, honest(course))
    written = Journal(course.root / "journal", {"f": "v"})
    written.start(fresh=True)
    with monkeypatch.context() as patched:  # a disk that takes a few bytes at a time
        write = os.write
        patched.setattr(journal.os, "write", lambda file, data: write(file, data[:7]))
        written.append(SubmissionResult(student="s", score=1.0, max_score=2.0), ["landlock"])
    written.close(finished=False)
    assert written.read()["s"].result.score == 1.0
    assert Journal(course.root / "journal", {"f": "another"}).read() == {}
    (course.root / "file").write_text("")
    with pytest.raises(StateError, match="Cannot write"):
        Journal(course.root / "file/journal", {"f": "v"}).start(fresh=True)


def test_a_report_path_is_tried_before_grading(tmp_path: Path) -> None:
    check_report_path(tmp_path / "new/report.json")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="Cannot write"):
        check_report_path(tmp_path / "file/report.json")
    with pytest.raises(ReportError, match="is a folder"):
        check_report_path(tmp_path)


def test_the_recorder_gets_each_result_once_and_its_failure_loses_nothing(
    course: Course, instant: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = honest(course)
    monkeypatch.setattr(run_module, "BATCH", 2)

    class Recorder:
        def __init__(self, fails: bool) -> None:
            self.fails, self.seen, self.calls, self.settled = fails, list[str](), 0, False

        def check(self) -> None:
            pass

        def settle(self) -> None:
            self.settled = True

        def record(self, assignment: Assignment, graded: Any) -> None:
            self.calls += 1
            if self.fails:
                raise ValueError("locked")
            self.seen += [entry.result.student for entry in graded]

    broken = Recorder(fails=True)
    with pytest.raises(ValueError, match="locked"):
        run(course, folder, recorder=broken)
    assert broken.calls == 1 and instant == ["ada", "bob"]
    working = Recorder(fails=False)
    run(course, folder, recorder=working)
    assert working.seen == ["ada", "bob", "cem"] == instant
    assert working.calls == 2 and working.settled


def test_a_gradebook_that_cannot_be_opened_stops_the_run_and_loses_nothing(
    course: Course, instant: list[str]
) -> None:
    def open_gradebook() -> Any:
        raise GradebookError("The gradebook is locked.")

    recorder = GradebookRecorder(open_gradebook, {})
    assert isinstance(recorder._opened.exception(), GradebookError)  # not before the thread has tried
    with recorder, pytest.raises(GradebookError, match="locked"):
        run(course, honest(course), recorder=recorder)
    assert instant == ["ada"] and set(finished(course)) == {"ada"}


def test_an_error_of_the_last_batch_comes_out_too(course: Course, instant: list[str]) -> None:
    class Locked:
        def record(self, *_: Any, **__: Any) -> None:
            raise GradebookError("The gradebook is locked.")

        def close(self) -> None:
            pass

    with GradebookRecorder(Locked, {}) as recorder, pytest.raises(GradebookError, match="locked"):
        run(course, honest(course), recorder=recorder)
    assert set(finished(course)) == EVERYBODY

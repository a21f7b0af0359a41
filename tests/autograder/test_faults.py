"""Faults: whatever is killed, full, locked or reset in the middle of a run, resuming it gives the very grades
that an undisturbed run gives, and each submission's verdict is made once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gradebook_course import prepare, rows
from tiny_course import COURSE, write_tiny_course

from autograder.course import Assignment, Course, load_course
from autograder.course.results import Report, SubmissionResult
from autograder.grading import Grader, with_grader
from autograder.grading.identity import course_key
from autograder.notebook.percent import read_source

SEED = 20261030
STUDENTS = 60
KILLS = 20
LIMITS = "limits: {memory_mb: 512}\n"
MAIN = "from autograder.cli import main; main()"
ANSWERS: list[dict[str, str | None]] = [
    {},
    {"softmax": None},
    {"relu_forward": "def relu_forward(x):\n    return np.abs(x), x"},
    {"softmax": "def softmax(s):\n    return np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)"},
    {"relu_forward": "def relu_forward(x):\n    __import__('os')._exit(3)"},
    {"softmax": "1 / 0\ndef softmax(scores):\n    return scores"},
    {"relu_forward": None, "softmax": None},
    {"softmax": "import os\nos._exit(1)"},
]


def course_at(folder: Path) -> Course:
    root = write_tiny_course(folder, course=COURSE + LIMITS)
    prepare(root)
    return load_course(root)


def notebook(assignment: Assignment, number: int) -> bytes:
    """The submission of student `number`: one of a few kinds, no two of them alike."""
    document = json.loads(assignment.release_notebook.read_bytes())
    solved = {cell.grade_id: cell.source for cell in read_source(assignment.source) if cell.question}
    answers = {**solved, **ANSWERS[number % len(ANSWERS)]}
    for cell in document["cells"]:
        answer = answers.get(cell["metadata"].get("nbgrader", {}).get("grade_id"))
        if answer is not None:
            cell["source"] = f"{answer}\n# {number}"
    return json.dumps(document).encode()


def hand_in(course: Course, students: int) -> None:
    assignment = course.assignment("tiny")
    for number in range(students):
        folder = course.root / "submitted" / f"s{number:02}" / "tiny"
        folder.mkdir(parents=True)
        (folder / "tiny.ipynb").write_bytes(notebook(assignment, number))
    course_key(course)


def copy_of(course: Course, folder: Path) -> Course:
    """The same course, submissions and key, nothing graded yet."""
    shutil.copytree(course.root, folder, ignore=shutil.ignore_patterns(*MADE))
    return load_course(folder)


MADE = ("gradebook.db*", "autograded", "feedback", "report.json", "runs", "reports")


def command(*options: str, program: str = MAIN) -> list[str]:
    arguments = ["grade", "tiny", "submitted", "--course", ".", "--json", "report.json", "-q", *options]
    return [sys.executable, "-c", program, *arguments]


def grade(course: Course, *options: str, program: str = MAIN) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*options, program=program), cwd=course.root, capture_output=True, text=True, timeout=1200
    )
    assert "Traceback" not in done.stderr
    return done


def outcome(course: Course) -> dict[str, Any]:
    """Everything that a run leaves behind, but for how long it took."""
    report = json.loads((course.root / "report.json").read_bytes())
    copies = {
        str(path.relative_to(course.root)): path.read_bytes()
        for path in sorted(course.root.glob("autograded/**/*.ipynb"))
    }
    return {"report": timeless(report), "gradebook": rows(course), "copies": copies}


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key != "seconds"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def journalled(course: Course) -> dict[str, dict[str, Any]]:
    """What an unfinished run has written down; each student's verdict must be there once."""
    entries: dict[str, dict[str, Any]] = {}
    with suppress(FileNotFoundError):
        for line in (course.root / ".autograder/runs/tiny.jsonl").read_bytes().splitlines():
            with suppress(ValueError):  # the line that a kill cut off
                result = json.loads(line)["result"]
                assert result["student"] not in entries, "graded twice"
                entries[result["student"]] = result
    return entries


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    course = course_at(tmp_path_factory.mktemp("faults"))
    hand_in(course, STUDENTS)
    return course


@pytest.fixture(scope="module")
def undisturbed(course: Course, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    calm = copy_of(course, tmp_path_factory.mktemp("calm") / "course")
    assert grade(calm, "--jobs", "2").returncode == 0
    left = outcome(calm)
    scores = {entry["score"] for entry in left["report"]["submissions"]}
    assert scores == {0.0, 2.0, 3.0, 4.25, 5.0}
    assert len(left["copies"]) == len(left["report"]["submissions"]) == STUDENTS
    return left


# The grader


@dataclass(frozen=True)
class Moment:
    """When to kill: once `reached` holds, and a while later."""

    says: str
    reached: Callable[[Course, float], bool]
    later: float
    group: bool
    """The whole process group, or only the main process."""
    jobs: int


def moments(rng: random.Random) -> list[Moment]:
    """Twenty random moments: at the start, between two verdicts, and while the gradebook is written."""

    def of(says: str, reached: Callable[[Course, float], bool], later: float) -> Moment:
        return Moment(says, reached, rng.uniform(0, later), rng.random() < 0.5, rng.choice([1, 2, 2]))

    def graded(count: int) -> Callable[[Course, float], bool]:
        def reached(course: Course, start: float) -> bool:
            journal = course.root / ".autograder/runs/tiny.jsonl"
            return journal.exists() and journal.read_bytes().count(b'"student"') >= count

        return reached

    def recorded(count: int) -> Callable[[Course, float], bool]:
        def reached(course: Course, start: float) -> bool:
            copies = course.root.glob("autograded/*/tiny/tiny.ipynb")
            return sum(path.stat().st_mtime >= start for path in copies) >= count

        return reached

    drawn = [
        of(f"{count} graded", graded(count), 0.2) for count in sorted(rng.sample(range(1, STUDENTS), 12))
    ]
    for _ in range(4):
        drawn.insert(rng.randrange(len(drawn)), of("start", lambda course, start: True, 3.0))
    for _ in range(4):
        count = rng.randint(1, 25)
        drawn.insert(rng.randrange(6, len(drawn)), of(f"{count} recorded", recorded(count), 0.05))
    assert len(drawn) == KILLS
    return drawn


def test_a_grader_killed_twenty_times_gives_the_grades_of_one_left_alone(
    course: Course, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    harried = copy_of(course, tmp_path / "course")
    started: set[Process] = set()
    kept: dict[str, dict[str, Any]] = {}
    killed = 0
    for moment in moments(random.Random(SEED)):
        options = ["--jobs", str(moment.jobs), *(["--resume"] if killed else [])]
        start = time.time()
        process = subprocess.Popen(
            command(*options), cwd=harried.root, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None and not moment.reached(harried, start):
            time.sleep(0.01)
        time.sleep(moment.later)
        assert process.poll() is None, f"it was done before it could be killed: {moment.says}"
        started |= descendants(process.pid)
        if moment.group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        killed += 1

        now = journalled(harried)
        assert {student: now.get(student) for student in kept} == kept, "a verdict was lost, or made again"
        kept = now
        gradebook_is_sound(harried, undisturbed)
    assert killed == KILLS
    done = grade(harried, "--jobs", "2", "--resume")
    assert done.returncode == 0, done.stderr
    assert outcome(harried) == undisturbed
    report = json.loads((harried.root / "report.json").read_bytes())
    seconds = {entry["student"]: entry["seconds"] for entry in report["submissions"]}
    assert all(seconds[student] == entry["seconds"] for student, entry in kept.items())
    lines = (harried.root / ".autograder/runs/tiny.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["result"]["student"] for line in lines) == sorted(seconds)
    assert not alive(started)


def gradebook_is_sound(course: Course, undisturbed: dict[str, Any]) -> None:
    """Not damaged, and each grade that is in it is the one of the undisturbed run."""
    path = course.root / "gradebook.db"
    if not path.exists():
        return
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'grade'").fetchall():
            return
    content = rows(course)
    assert set(content["grade"]) <= set(undisturbed["gradebook"]["grade"])
    assert len(content["grade"]) == 2 * len(content["submitted_notebook"]), "a submission was written in part"


Process = tuple[int, str]
"""A process id and when it started: the id alone may be another process's later."""


def processes() -> dict[int, tuple[int, Process]]:
    """Process id -> parent and process, of all that have not ended."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    found[int(entry.name)] = (int(fields[1]), (int(entry.name), fields[19]))
    return found


def descendants(pid: int) -> set[Process]:
    """A process and all below it."""
    running = processes()
    found = [pid]
    for parent in found:
        found += [child for child, (its_parent, _) in running.items() if its_parent == parent]
    return {running[one][1] for one in found if one in running}


def alive(started: set[Process], seconds: float = 10.0) -> set[Process]:
    """Those that still run after a while."""
    until = time.monotonic() + seconds
    while True:
        left = started & {process for _, process in processes().values()}
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def test_a_key_is_drawn_whole_or_not_at_all(tmp_path: Path) -> None:
    course = course_at(tmp_path)
    program = f"""
import os, signal
from autograder.course import load_course
from autograder.grading import identity
calls = dict(left=int(os.environ["CALLS"]))
def lethal(name):
    function = getattr(os, name)
    def call(*arguments, **named):
        calls["left"] -= 1
        if calls["left"] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    setattr(os, name, call)
for name in ("open", "fdopen", "fsync", "link", "unlink"):
    lethal(name)
identity.course_key(load_course({str(course.root)!r}))
"""
    ends = []
    for calls in range(8):
        done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "CALLS": str(calls)})
        ends.append(done.returncode)
        path = course.root / ".autograder/key"
        assert not path.exists() or len(path.read_bytes()) == 32
    assert -signal.SIGKILL in ends and ends[-1] == 0
    assert course_key(course) == course_key(course)


# What the grader relies on


def test_a_zygote_or_worker_that_is_killed_changes_no_grade(course: Course) -> None:
    rng = random.Random(SEED)
    assignment = course.assignment("tiny")
    submissions = [notebook(assignment, number) for number in range(len(ANSWERS))]

    def body(grader: Grader) -> list[str]:
        calm: list[tuple[SubmissionResult, float]] = []
        for raw in submissions:
            start = time.perf_counter()
            result = grader.grade(raw, "s", 1).result
            calm.append((result, time.perf_counter() - start))
        victims: list[str] = []
        for turn in range(96):  # a busy machine is hit while it loads more often than in a test
            if turn >= 24 and min(victims.count("zygote"), victims.count("worker")) >= 6:
                break
            raw, (expected, seconds) = submissions[turn % len(submissions)], calm[turn % len(submissions)]
            zygote = grader.zygotes.for_cells([])._process.pid
            kill_zygote = turn % 3 == 0
            wait = rng.uniform(0.05, 0.9) * seconds

            def kill(zygote: int = zygote, kill_zygote: bool = kill_zygote, wait: float = wait) -> None:
                time.sleep(wait)
                below = sorted(pid for pid, _ in descendants(zygote) if pid != zygote)
                victim = zygote if kill_zygote or not below else below[rng.randrange(len(below))]
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    victims.append("zygote" if victim == zygote else "worker")

            killer = threading.Thread(target=kill)
            killer.start()
            result = grader.grade(raw, "s", 1).result
            killer.join()
            assert verdicts(result) == verdicts(expected), (turn, victims[-1], result.repairs)
        return victims

    victims = with_grader(assignment, body)
    assert victims.count("zygote") >= 6 and victims.count("worker") >= 6


def verdicts(result: SubmissionResult) -> Any:
    """All of a result but how a process ended: of one that ends itself, the killer may have been quicker."""
    document = timeless(result.model_dump())
    for question in document["questions"]:
        for test in question["tests"]:
            if test["outcome"] == "crashed":
                test["message"] = test["finding"] = None
    return document


FULL_DISK = """
import json, os, shutil, subprocess, sys
from pathlib import Path
from autograder.sandbox import kernel
source, place = map(Path, sys.argv[1:3])
grade = sys.argv[3:]
try:
    if os.getuid() == 0:
        kernel.unshare(kernel.NEWNS)
    else:
        kernel.enter_user_namespace(kernel.NEWNS)
    kernel.private_mounts()
    kernel.mount("tmpfs", str(place), "tmpfs", 0, "size=4m")
except OSError as error:
    print(json.dumps({"skip": str(error)}))
    sys.exit()
root = place / "course"
shutil.copytree(source, root)
ballast = place / "ballast"
runs = []
for free in (0, 96, 240, 400, 4000):
    ballast.unlink(missing_ok=True)
    room = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize - (free << 10)
    if room > 0:
        ballast.write_bytes(bytes(room))
    done = subprocess.run(grade, cwd=root, capture_output=True, text=True)
    runs.append((done.returncode, done.stderr))
shutil.copytree(root, source.parent / "after", ignore=shutil.ignore_patterns("submitted"))
print(json.dumps({"runs": runs}))
"""


@pytest.fixture(scope="module")
def small(course: Course, tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, dict[str, Any]]:
    """The same course with eight submissions, and what an undisturbed run of them leaves."""
    few = copy_of(course, tmp_path_factory.mktemp("small") / "course")
    for folder in sorted((few.root / "submitted").iterdir())[len(ANSWERS) :]:
        shutil.rmtree(folder)
    calm = copy_of(few, few.root.parent / "calm")
    assert grade(calm).returncode == 0
    return few, outcome(calm)


def test_a_full_disk_costs_nothing_but_the_time_until_there_is_room(
    small: tuple[Course, dict[str, Any]], tmp_path: Path
) -> None:
    few, expected = small
    harried = copy_of(few, tmp_path / "course")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(harried.root), str(place), *command("--resume")],
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if "skip" in told:
        pytest.skip(f"no file system of its own here: {told['skip']}")
    *failed, (status, said) = told["runs"]
    assert status == 0, said
    assert len(failed) == 4
    assert any(status for status, _ in failed)
    for status, said in failed:
        assert "Traceback" not in said
        assert status == 0 or "disk" in said, said
    assert outcome(load_course(tmp_path / "after")) == expected


def test_files_that_may_not_grow_are_a_plain_message(
    small: tuple[Course, dict[str, Any]], tmp_path: Path
) -> None:
    """The same by RLIMIT_FSIZE, as a quota or a shared host may have it."""
    few, expected = small
    harried = copy_of(few, tmp_path / "course")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY)); "
    for _ in range(2):
        done = grade(harried, "--resume", program=limited + MAIN)
        assert done.returncode == 2 and len(done.stderr.splitlines()) <= 3, done.stderr
    assert grade(harried, "--resume").returncode == 0
    assert outcome(harried) == expected


def test_a_gradebook_that_another_program_holds(small: tuple[Course, dict[str, Any]], tmp_path: Path) -> None:
    few, expected = small
    harried = copy_of(few, tmp_path / "course")
    assert grade(harried).returncode == 0  # so that there is a gradebook to be locked
    before = (harried.root / "gradebook.db").read_bytes()
    impatient = "from autograder.gradebook import schema; schema._LOCK_SECONDS = 0.5; "
    with closing(sqlite3.connect(harried.root / "gradebook.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = grade(harried, program=impatient + MAIN)
        assert done.returncode == 2 and "in use by another program" in done.stderr
        other.execute("ROLLBACK")
        assert (harried.root / "gradebook.db").read_bytes() == before

        # Whoever holds it for a moment is waited for.
        other.execute("BEGIN EXCLUSIVE")
        waiting = subprocess.Popen(command("--resume"), cwd=harried.root)
        time.sleep(4)
        assert waiting.poll() is None
        other.execute("ROLLBACK")
        assert waiting.wait(timeout=600) == 0
    assert outcome(harried) == expected


def test_a_clock_that_jumps(small: tuple[Course, dict[str, Any]], tmp_path: Path) -> None:
    """Forward and back by years between any two looks at it; files from the future and the past."""
    few, expected = small
    harried = copy_of(few, tmp_path / "course")
    for number, path in enumerate(sorted(harried.root.glob("submitted/*/tiny/tiny.ipynb"))):
        os.utime(path, (4e9, 4e9) if number % 2 else (1, 1))
    jumps = (
        "import itertools, time; real = time.time; by = itertools.cycle([0, 3e8, -9e8]); "
        "time.time = lambda: real() + next(by); time.time_ns = lambda: int(time.time() * 1e9); "
    )
    assert grade(harried, program=jumps + MAIN).returncode == 0
    assert outcome(harried) == expected


def test_no_limit_is_measured_on_a_clock_that_may_jump() -> None:
    source = Path(__file__).parents[2] / "autograder"
    for room in ("sandbox", "grading", "checking"):
        for path in source.joinpath(room).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "time.time(" not in text and "datetime.now(" not in text, path.name


def test_the_report_is_read_back(undisturbed: dict[str, Any]) -> None:
    assert Report.model_validate(undisturbed["report"])

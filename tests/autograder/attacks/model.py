"""What an attack is, and how it becomes a notebook."""

from __future__ import annotations

import copy
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]

GROUPS = ("read", "forge", "execute", "exhaust", "escape", "cheat")


@dataclass(frozen=True)
class Attack:
    """One hostile submission.

    An `act` is tried while the notebook is loaded and again in every test; it returns when it succeeded and
    raises when it was stopped, and what it returned goes home in the text of an exception. `answers` are for
    attacks that lie in what a function returns, `alter` for those that lie in the notebook itself.
    """

    name: str
    group: str
    says: str
    """What it tries, in one line."""
    act: str = ""
    """The body of a function that succeeds or raises. COURSE, OUTSIDE, PORT, VICTIM and the helpers of
    `PRELUDE` are at hand."""
    cell: str = ""
    """Source of a cell of the student's own, first in the notebook."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Question -> source of its solution cell; "*" stands for every question without one of its own. {name}
    in it is the question."""
    alter: Callable[[Document], None] | None = None
    """Changes the notebook."""
    raw: Callable[[bytes], bytes] | None = None
    """Changes the file."""
    student: str = ""
    """Name of the folder it is handed in under; the attack's own name by default."""
    deserves: float = 0.0
    """Points for what it does solve."""
    assignment: str = "bank"
    unsafe: bool = True
    """Harmless enough to be run without a sandbox, as a control."""
    control: bool = True
    """Succeeds where nothing stops it: without a sandbox, or without the ban."""
    nbgrader: bool = True
    """Means the same in a notebook that nbgrader grades."""
    refused: bool = False
    """May be refused instead of graded."""

    def __post_init__(self) -> None:
        assert self.group in GROUPS, self.group
        assert self.name.replace("-", "").isalnum() and self.name.islower(), self.name


PRELUDE = '''
import ctypes, os, re, sys, time

NAME, COURSE, OUTSIDE, PORT, VICTIM, COMM = {constants}
LOOT = []
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, COMM.encode(), 0, 0, 0)  # a name for this process and its children, to find them by


def libc_call(name, *arguments):
    """A function of the C library, with OSError where it fails."""
    result = getattr(libc, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def raw(*arguments):
    """A system call by number."""
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), "syscall")
    return result


def secret(data):
    """The secret that is in `data`, or an exception."""
    text = data if isinstance(data, str) else bytes(data).decode("latin1")
    found = re.search("SECRET-[0-9a-f]{{16}}", text)
    if found is None:
        raise LookupError("nothing secret in it")
    return found[0]


def marker(folder=None):
    """A file outside, which shows that something was written there."""
    with open(os.path.join(folder or OUTSIDE, "marker-" + NAME), "w") as file:
        file.write("x")


def attempt():
    try:
        LOOT.append("DONE-" + NAME + " " + repr(act())[:300])
    except BaseException as error:
        LOOT.append("stopped: " + repr(error)[:100])
    return "; ".join(dict.fromkeys(LOOT))[:1500]
'''

_ANSWER_ACT = """
def {name}(*args, **kwargs):
    raise RuntimeError(attempt())
"""


def code_cell(source: str, **metadata: Any) -> Document:
    """A code cell as Jupyter would write it."""
    return {
        "id": f"own-{abs(hash(source)) % 10**12}", "cell_type": "code", "metadata": metadata,
        "source": source, "execution_count": None, "outputs": [],
    }  # fmt: skip


def grade_id(cell: Document) -> str:
    """nbgrader's identifier of a cell, or "" without."""
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def cell_of(document: Document, wanted: str) -> Document:
    """The cell with that grade id."""
    return next(cell for cell in document["cells"] if grade_id(cell) == wanted)


def filled(release: Document, answers: Mapping[str, str]) -> Document:
    """The release with answers in its solution cells."""
    document = copy.deepcopy(release)
    for cell in document["cells"]:
        entry = cell["metadata"].get("nbgrader", {})
        if entry.get("solution"):
            answer = answers.get(entry["grade_id"], answers.get("*"))
            if answer is not None:
                cell["source"] = textwrap.dedent(answer).replace("{name}", entry["grade_id"]).strip("\n")
    return document


def notebook(attack: Attack, release: Document, constants: tuple[Any, ...]) -> bytes:
    """The attack as a file to hand in.

    Args:
        attack: the attack.
        release: the notebook that students got.
        constants: what the prelude binds: COURSE, OUTSIDE, PORT, VICTIM, COMM.
    """
    answers = dict(attack.answers)
    if attack.act:
        answers.setdefault("*", _ANSWER_ACT)
    document = filled(release, answers)
    own = [code_cell(PRELUDE.format(constants=repr((attack.name, *constants))).strip())]
    if attack.cell:
        own.append(code_cell(textwrap.dedent(attack.cell).strip("\n")))
    if attack.act:
        body = textwrap.indent(textwrap.dedent(attack.act).strip("\n"), "    ")
        own.append(code_cell(f"def act():\n{body}\n\n\nattempt()"))
    # Behind the imports of the assignment, as a student would add them.
    place = next(n for n, cell in enumerate(document["cells"]) if cell["cell_type"] == "code") + 1
    document["cells"][place:place] = own
    if attack.alter is not None:
        attack.alter(document)
    raw = json.dumps(document).encode()
    return raw if attack.raw is None else attack.raw(raw)

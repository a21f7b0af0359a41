"""Which functions of the solution each test calls, and how long it takes: a mistake is run on the tests that
can notice it, the quick ones first where one is enough.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from autograder.checking.namespace import is_solution_file
from autograder.checking.plugin import SolutionContext
from autograder.checking.runner import Suite
from autograder.notebook.cells import Cell


@dataclass(frozen=True)
class Calls:
    """Of one test of a suite."""

    names: set[str]
    """The functions and methods of the solution (by qualified name) that it calls, directly or not."""
    seconds: float


def calls_of_tests(
    suite: Suite, solution: Sequence[Cell], files: Mapping[str, Path] | None = None
) -> dict[str, Calls]:
    """Test -> what it calls.

    The suite is run once on the solution, in this process, and its calls are watched. The reference, which a
    test calls as well, is another namespace and does not count.
    """
    context = SolutionContext(solution, files=files)
    called: dict[str, Calls] = {}
    names: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and is_solution_file(code.co_filename) and frame.f_globals is context.tested:
            names.add(code.co_qualname)

    for test in suite.tests:
        names.clear()
        sys.setprofile(watch)
        try:
            (run,) = suite.run(context, [test])
        finally:
            sys.setprofile(None)
        called[test.key] = Calls(set(names), run.result.seconds)
    return called


def is_part(called: str, replaced: str) -> bool:
    """Whether calling `called` may run code that replacing `replaced` changes.

    A method may be called under the name of the class that it is inherited from, so its own name is enough.
    """
    name = called.partition(".<locals>")[0]
    return (
        name == replaced
        or name.startswith(f"{replaced}.")
        or ("." in replaced and name.rpartition(".")[2] == replaced.rpartition(".")[2])
    )

"""A suite's tests as plain functions, without pytest and without a sandbox, in the process that calls.

The text of this file goes into the notebooks that nbgrader executes and into the tests that otter-grader
runs, so that every grader runs the same test functions, with the same seeds, against the same reference; and
it is the floor that all of them are held against.
"""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autograder.checking.namespace import Namespace, load_cells, parameter_names, upcall_to
from autograder.checking.plugin import Budget, derived_seed
from autograder.checking.proxy import local_student
from autograder.datasets import load_dataset
from autograder.notebook.cells import Cell

SEED = 1


class PlainSuite:
    """The tests of some suite files, given as {file name: source}, and the cells of the solution."""

    def __init__(self, suites: dict[str, str], solution: list[str]) -> None:
        self.reference = load_cells([Cell(i, "code", source) for i, source in enumerate(solution)])
        self.loaded: dict[str, Any] = {}
        self.tests: list[tuple[str, Callable[..., None]]] = []
        for name, source in suites.items():
            module: dict[str, Any] = {"__name__": name}
            exec(compile(source, name, "exec"), module)
            self.tests += [(name, value) for key, value in module.items() if key.startswith("test_")]

    def run_question(self, functions: dict[str, Any], question: str, points: float) -> float:
        """The points of one question for an answer whose functions are in the namespace `functions`."""
        passed = total = 0.0
        for file, test in self.tests:
            for number, (case, marks) in enumerate(cases(test)):
                mark = next((one for one in marks if one.name == "question"), None)
                if mark is None or mark.args[0] != question:
                    continue
                weight = mark.kwargs.get("weight", 1)
                total += weight
                passed += weight * self.passes(functions, test, case, f"{file}::{test.__name__}[{number}]")
        return points * passed / total

    def passes(
        self, functions: dict[str, Any], test: Callable[..., None], case: dict[str, Any], name: str
    ) -> bool:
        """Whether one test passes."""
        names = parameter_names(self.reference)
        upcall = upcall_to(self.reference)
        with local_student(
            functions, lambda _: False, seed=SEED, upcall=upcall, parameter_names=names
        ) as student:
            known = {
                "student": student,
                "reference": Namespace(self.reference),
                "rng": np.random.default_rng(derived_seed(SEED, name)),
                "budget": Budget(),
                "data": self.data,
                **case,
            }
            # nbgrader gives nothing for a cell with a warning, and pytest is told to show none.
            with warnings.catch_warnings(action="ignore"):
                try:
                    test(**{key: known[key] for key in inspect.signature(test).parameters})
                except Exception:
                    return False
        return True

    def data(self, name: str, **options: Any) -> Any:
        """`load_dataset`, remembering what it loaded."""
        key = f"{name} {sorted(options.items())}"
        if key not in self.loaded:
            self.loaded[key] = load_dataset(name, **options)
        return self.loaded[key]


def cases(test: Callable[..., None]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """The arguments and the marks of each case of a test; one case without arguments where it has no
    parameters.
    """
    own = list(getattr(test, "pytestmark", ()))
    grids = [mark.args for mark in own if mark.name == "parametrize"]
    for chosen in itertools.product(*[[(names, value) for value in values] for names, values, *_ in grids]):
        case: dict[str, Any] = {}
        marks = list(own)
        for names, value in chosen:
            keys = [key.strip() for key in names.split(",")] if isinstance(names, str) else list(names)
            if type(value).__name__ == "ParameterSet":  # pytest.param: always a tuple, and marks of its own
                marks = [*value.marks, *marks]
                values = value.values
            else:
                values = value if len(keys) > 1 else [value]
            case.update(zip(keys, values, strict=True))
        yield case, marks

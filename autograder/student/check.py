"""`check("question")`: the public tests, on the student's own functions, in the notebook itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from autograder.checking.diagnosis import explain_by_families
from autograder.checking.failure import NoFile, fail
from autograder.checking.namespace import Namespace, parameter_names
from autograder.checking.proxy import Student, local_student
from autograder.checking.rendering import panel_html, panel_text
from autograder.checking.runner import Suite, SuiteError, run_suite
from autograder.course.results import TestResult

PUBLIC_SUITE = "test_public.py"
SEED = 1


class CheckError(Exception):
    """A check could not be run, or (while nbgrader validates a notebook) did not pass; one plain sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback: the sentence is all there is to know.
        return [str(self)]


class NotebookContext:
    """Tests the functions of a notebook in its own process; there is no reference."""

    seed = SEED

    def __init__(self, namespace: dict[str, Any], folder: Path) -> None:
        self._namespace, self._folder = namespace, folder

    @contextmanager
    def student(self, seed: int, given: Sequence[str]) -> Iterator[Student]:
        """The notebook's functions; `given` needs a reference and is left out."""
        with local_student(
            self._namespace,
            _is_notebook_file,
            seed=seed,
            parameter_names=parameter_names(self._namespace),
            files=self._file,
        ) as student:
            yield student

    def _file(self, name: str, beside: Sequence[str]) -> str:
        """A file beside the notebook; it is the student's own, so that nothing about it is checked."""
        for file_name in beside:
            if (self._folder / file_name).is_file():
                return str((self._folder / file_name).resolve())
        raise NoFile(
            f"There is no {' or '.join(beside) or name} beside the notebook yet. Run the cell that saves it."
        )

    def reference(self) -> Namespace:
        """Fails: the solution is not in the student's hands."""
        return fail("This public test asks for the reference solution, which only hidden tests have.")


def _is_notebook_file(filename: str) -> bool:
    return filename.startswith(("<ipython-input", "<cell ")) or f"{os.sep}ipykernel_" in filename


def check_namespace(question: str, namespace: dict[str, Any], suite_file: Path) -> list[TestResult]:
    """The results of the public tests of `question` on the functions in `namespace`.

    Raises `CheckError` where the suite is missing or has no test for the question.
    """
    if not isinstance(question, str):
        name = getattr(question, "__name__", "name")
        raise CheckError(f'check wants the name of a question, in quotes: check("{name}").')

    def run(suite: Suite) -> list[TestResult]:
        tests = [test for test in suite.tests if test.question == question]
        if not tests:
            known = sorted({test.question for test in suite.tests})
            close = get_close_matches(question, known, 1)
            hint = f'Did you mean check("{close[0]}")?' if close else f"There are: {', '.join(known)}."
            raise CheckError(f"{suite_file.name} has no check called {question!r}. {hint}")
        runs = suite.run(NotebookContext(namespace, suite_file.parent), tests)
        explain_by_families(runs)
        return [run.result for run in runs]

    try:
        return run_suite([suite_file], run)
    except SuiteError as error:
        raise CheckError(f"The public tests cannot be used: {error}") from None


def public_questions(suite_file: Path) -> list[str]:
    """The questions that the public suite has tests for, in its order."""
    try:
        return run_suite(
            [suite_file], lambda suite: list(dict.fromkeys(test.question for test in suite.tests))
        )
    except SuiteError as error:
        raise CheckError(f"The public tests cannot be used: {error}") from None


def public_suite(namespace: dict[str, Any]) -> Path:
    """The public suite beside the notebook. Raises `CheckError` with what to do where it is not there."""
    folders = [Path.cwd()]
    notebook = namespace.get("__vsc_ipynb_file__")  # VS Code may start a kernel in another folder
    if isinstance(notebook, str):
        folders.insert(0, Path(notebook).parent)
    for folder in folders:
        if (folder / PUBLIC_SUITE).is_file():
            return folder / PUBLIC_SUITE
    raise CheckError(
        f"{PUBLIC_SUITE} is not in {folders[0]}. Put the file that came with the notebook beside it"
        + (" (in Colab: the folder icon on the left, then upload)." if "google.colab" in sys.modules else ".")
    )


class _Panel:
    """The result as a notebook shows it: HTML where there is a page, text where there is a terminal."""

    def __init__(self, html: str, text: str) -> None:
        self._html, self._text = html, text

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


def check(question: str) -> None:
    """Run the public tests of `question` on your functions and show what they found.

    The hidden tests that decide the grade ask more: other shapes, other values, corner cases.
    """
    try:
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        namespace: dict[str, Any] = shell.user_ns if shell is not None else sys._getframe(1).f_globals
        start = time.perf_counter()
        results = check_namespace(question, namespace, public_suite(namespace))
    except CheckError as error:
        raise error from None
    seconds = time.perf_counter() - start
    text = panel_text(question, results, seconds)
    if shell is None:
        print(text)
    else:
        from IPython.display import display

        display(_Panel(panel_html(question, results, seconds), text))
    passed = all(result.outcome == "passed" for result in results)
    if not passed and "NBGRADER_EXECUTION" in os.environ:
        # nbgrader takes a cell without an error for a success; its Validate button must not praise an empty
        # notebook.
        raise CheckError(f"{question}: not all checks pass.")

"""`check`: the public tests on a notebook file, without opening it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autograder.checking.rendering import panel_text
from autograder.student.check import PUBLIC_SUITE, CheckError, check_namespace, public_questions
from autograder.student.notebookfile import load_notebook


def run_check(notebook: Path, questions: Sequence[str]) -> int:
    """Load the notebook's cells and check. 0 when everything passed, 1 when not."""
    suite = notebook.parent / PUBLIC_SUITE
    if not suite.is_file():
        raise CheckError(
            f"{PUBLIC_SUITE} is not beside {notebook}. Put the file that came with the notebook there."
        )
    namespace: dict[str, Any] = load_notebook(notebook, lambda note: print(note, file=sys.stderr))
    passed = True
    for question in questions or public_questions(suite):
        start = time.perf_counter()
        results = check_namespace(question, namespace, suite)
        print(panel_text(question, results, time.perf_counter() - start, colour=sys.stdout.isatty()))
        passed &= all(result.outcome == "passed" for result in results)
    return 0 if passed else 1

"""Running the solution notebook, as a student would: in a folder that holds what the release holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autograder.authoring.notebooks import IGNORE_OUTPUT
from autograder.authoring.problems import BuildError, BuildProblem, problem_at
from autograder.course import Assignment
from autograder.notebook.cells import Cell

CELL_SECONDS = 600
"""The longest that one cell of a solution may run."""

_ADDRESS = re.compile(r"(?<=\bat )0x[0-9a-fA-F]{6,}\b")
_KERNEL_FILE = re.compile(r"\S*[/\\]ipykernel_\d+[/\\]\d+\.py")
_FRAME = re.compile(r"Cell In\[(\d+)\], line (\d+)")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def execute(
    assignment: Assignment,
    cells: list[Cell],
    notebook: dict[str, Any],
    *,
    progress: Callable[[int, int], None] | None = None,
    leaves: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """The notebook with its outputs, freed of what differs from one run to the next.

    It runs in the kernel `python3`, in a temporary folder with a copy of test_public.py, without downloaded
    data, so that the outputs are the same on each machine. A check that does not pass is an error.

    Parameters
    ----------
    assignment : Assignment
    cells : list of Cell
        The source that `notebook` was made from.
    notebook : dict
        As `solution_notebook` returns it; not changed.
    progress : callable or None
        Called as `progress(done, total)` before each cell and after the last one.
    leaves : callable or None
        Called with the folder in which the notebook ran, with what it left there.

    Raises
    ------
    BuildError
        When a cell raises, takes too long or kills the kernel, or prints what no second run would print.
    """
    import nbformat
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    node = nbformat.from_dict(notebook)
    running = 0

    def started(cell: Any, cell_index: int) -> None:
        nonlocal running
        running = cell_index
        if progress is not None:
            progress(cell_index, len(cells))

    with tempfile.TemporaryDirectory(prefix="autograder-build-") as folder:
        work, state = Path(folder, "release"), Path(folder, "state")
        work.mkdir()
        state.mkdir()
        shutil.copyfile(assignment.tests / "test_public.py", work / "test_public.py")
        # No start-up files of the author's, no data but what is embedded: both would show in the outputs.
        environment = {
            # Figures are drawn into the notebook, whatever backend the author's shell asks for.
            **{name: value for name, value in os.environ.items() if name != "MPLBACKEND"},
            "IPYTHONDIR": str(state / "ipython"),
            "AUTOGRADER_DATA": str(state / "data"),
            "NBGRADER_EXECUTION": "build",  # check() then raises where it does not pass
        }
        client = NotebookClient(
            node,
            kernel_name="python3",
            timeout=CELL_SECONDS,
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
            store_widget_state=False,
            resources={"metadata": {"path": str(work)}},
            on_cell_start=started,
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise BuildError([_raised(assignment, cells, node, running, error)]) from None
        except CellTimeoutError:
            what = f"The cell ran for more than {CELL_SECONDS} s."
            raise BuildError([problem_at(assignment, cells[running], what, "Make it shorter.")]) from None
        except DeadKernelError:
            what = "The kernel died in this cell."
            raise BuildError(
                [problem_at(assignment, cells[running], what, "Look for a crash or a lack of memory.")]
            ) from None
        except NoSuchKernel:
            file = assignment.source.relative_to(assignment.root)
            remedy = "Run `python -m ipykernel install --sys-prefix --name python3`."
            raise BuildError(
                [BuildProblem(file, "There is no Jupyter kernel named python3.", remedy)]
            ) from None
        if leaves is not None:
            leaves(work)
    if progress is not None:
        progress(len(cells), len(cells))

    executed: dict[str, Any] = json.loads(json.dumps(node))
    executed["metadata"] = notebook["metadata"]  # the kernel adds its version
    problems = list(_volatile(assignment, cells, executed))
    if problems:
        raise BuildError(problems)
    return executed


def _raised(assignment: Assignment, cells: list[Cell], node: Any, running: int, error: Any) -> BuildProblem:
    """The error of a cell, at the line of the innermost frame that lies in the notebook."""
    frames = [(int(number), int(line)) for number, line in _FRAME.findall(_ANSI.sub("", error.traceback))]
    by_count = {cell.get("execution_count"): index for index, cell in enumerate(node.cells)}
    # The failing cell has no execution count yet in some versions of nbclient: it is the last number seen.
    offset = None
    index = running
    for number, line in frames:
        index = by_count.get(number, running)
        offset = line - 1
    value = _ANSI.sub("", str(error.evalue)).strip().split("\n")[0]
    raised = f"{error.ename}: {value}" if value else str(error.ename)
    via = "" if index == running else f" when cell {running + 1} ran"
    return problem_at(
        assignment, cells[index], f"The solution raised {raised}{via}.", "Correct it.", offset=offset
    )


def _volatile(assignment: Assignment, cells: list[Cell], executed: dict[str, Any]) -> Iterator[BuildProblem]:
    """Outputs that no second run repeats; in a cell tagged timing they are evened out instead."""
    for cell, node in zip(cells, executed["cells"], strict=True):
        ignored = IGNORE_OUTPUT in node["metadata"].get("tags", [])
        for output in node.get("outputs", []):
            for holder, key, text in _texts(output):
                if ignored:
                    text = _KERNEL_FILE.sub("cell.py", _ADDRESS.sub("0x0", text))
                    holder[key] = text
                elif _ADDRESS.search(text):
                    yield problem_at(
                        assignment,
                        cell,
                        f"The output holds a memory address, {_short(_line_with(_ADDRESS, text))}.",
                        "End the last line with a semicolon or show something else.",
                    )
                elif _KERNEL_FILE.search(text):
                    warning = _line_with(_KERNEL_FILE, text).rpartition(": ")[2].rstrip(".")
                    yield problem_at(
                        assignment,
                        cell,
                        f"The cell warns: {_short(warning)}.",
                        "Correct what it warns of.",
                    )


def _texts(output: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    if isinstance(output.get("text"), str):
        yield output, "text", output["text"]
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(value, str):
            yield output["data"], kind, value


def _line_with(pattern: re.Pattern[str], text: str) -> str:
    return next(line for line in text.split("\n") if pattern.search(line)).strip()


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."

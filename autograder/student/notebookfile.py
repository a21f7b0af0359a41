"""Loading a notebook file into this process, for a student who checks it from the command line.

The notebook is the caller's own: it runs with the caller's rights, as it would in Jupyter. Grading never
comes here.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import types
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import nbformat

from autograder.student.check import CheckError


def load_notebook(path: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """Run a notebook's cells, but those tagged "show" and `check(...)` calls; the resulting globals.

    Args:
        path: the notebook.
        note: called with a sentence for each cell that raised; the next cell goes on.

    Raises:
        CheckError: the file is absent or no notebook.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise CheckError(f"There is no notebook {path}.") from None
    except Exception as error:  # nbformat lets many kinds of error through
        raise CheckError(
            f"{path} is not a readable notebook ({type(error).__name__}). Save it again in Jupyter."
        ) from None
    os.environ.setdefault("MPLBACKEND", "Agg")
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["get_ipython"] = _NoShell
    with contextlib.chdir(path.absolute().parent):  # where Jupyter would run it
        for number, cell in enumerate(notebook.cells, start=1):
            tags = cell.get("metadata", {}).get("tags", [])
            source = str(cell.get("source", ""))
            if cell.get("cell_type") != "code" or "show" in tags or source.lstrip().startswith("check("):
                continue
            label = f"<cell {number}>"
            try:
                code = TransformerManager().transform_cell(source)
                linecache.cache[label] = (len(code), None, code.splitlines(keepends=True), label)
                with redirect_stdout(io.StringIO()):
                    exec(compile(code, label, "exec"), namespace)
            except (Exception, SystemExit) as error:
                note(f"Cell {number} raised {type(error).__name__}: {error}")
    return namespace


class _NoShell:
    """Magics and shell commands do nothing here."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

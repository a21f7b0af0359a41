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

from autograder.course import Limits
from autograder.notebook.rawnotebook import IntakeError, parse_notebook
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
        cells = parse_notebook(path.read_bytes(), Limits(), [])
    except FileNotFoundError:
        raise CheckError(f"There is no notebook {path}.") from None
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror or error}.") from None
    except IntakeError as error:
        raise CheckError(f"{path}: {error}") from None
    os.environ.setdefault("MPLBACKEND", "Agg")
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["get_ipython"] = _NoShell
    with contextlib.chdir(path.absolute().parent):  # where Jupyter would run it
        for number, cell in enumerate(cells, start=1):
            shows = "show" in cell.tags or cell.source.lstrip().startswith("check(")
            if cell.kind != "code" or shows:
                continue
            label = f"<cell {number}>"
            try:
                code = TransformerManager().transform_cell(cell.source)
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

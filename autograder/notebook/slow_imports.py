"""Libraries around notebooks, without the 0.6 s that one of their dependencies takes to import."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_url_grammar() -> Iterator[None]:
    """Import jupytext, nbformat or nbgrader within.

    Where rfc3987_syntax is installed, jsonschema lets it build a grammar of internationalised URLs on import.
    Notebooks have no use for it, and jsonschema does without when it is absent.
    """
    if "jsonschema" in sys.modules or "rfc3987_syntax" in sys.modules:
        yield
        return
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # makes the import fail
    try:
        yield
    finally:
        del sys.modules["rfc3987_syntax"]

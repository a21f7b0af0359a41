"""Libraries around notebooks, without the 0.6 s that one of their dependencies takes to import."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def without_url_grammar() -> Iterator[None]:
    """Import jupytext, nbformat or nbgrader within.

    Where rfc3987_syntax is installed, jsonschema lets it build a grammar of internationalised URLs on import.
    Notebooks have no use for it, and jsonschema does without when it is absent.

    One thread at a time: these libraries import each other, and two threads that come from both ends would
    wait for one another, which Python breaks off with a half-imported module.
    """
    with _one_at_a_time:
        if "jsonschema" in sys.modules or "rfc3987_syntax" in sys.modules:
            yield
            return
        sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # makes the import fail
        try:
            yield
        finally:
            del sys.modules["rfc3987_syntax"]

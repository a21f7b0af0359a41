"""jupytext and nbgrader come without the grammar that one of their dependencies builds, in any thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import importlib.util, sys, threading
if importlib.util.find_spec("rfc3987_syntax") is None:
    sys.exit(77)
from autograder.notebook.slow_imports import without_url_grammar

def enter(name):
    with without_url_grammar():
        __import__(name)

threads = [threading.Thread(target=enter, args=[name]) for name in ("nbgrader.api", "jupytext", "nbformat")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert "jsonschema" in sys.modules and "nbgrader.api" in sys.modules and "jupytext" in sys.modules
assert "rfc3987_syntax" not in sys.modules  # neither loaded nor left blocked
import rfc3987_syntax
"""


def test_threads_import_them_side_by_side_and_nothing_stays_blocked() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip("rfc3987_syntax is not installed")
    assert done.returncode == 0 and not done.stderr, done.stderr

"""Fixtures for the tests of the engine.

`tiny_course` is the root of a small course in the test's own folder. The templates behind it are a module:
`from tiny_course import SOURCE, write_tiny_course` works in every test file of this folder.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

# Tests are imported without touching sys.path (--import-mode=importlib), so these are registered by hand.
for _name in (
    "tiny_course", "gradebook_course", "weights_course", "damage_course", "damage_bank", "dask_cluster",
    "fuzz_wire",
):  # fmt: skip
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
        assert _spec is not None and _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[_name] = _module
        _spec.loader.exec_module(_module)

# The attack bank is a package; benchmarks/security.py imports it as well.
if "attacks" not in sys.modules:
    _folder = Path(__file__).with_name("attacks")
    _spec = importlib.util.spec_from_file_location(
        "attacks", _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    assert _spec is not None and _spec.loader is not None
    sys.modules["attacks"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["attacks"])


@pytest.fixture
def tiny_course(tmp_path: Path) -> Path:
    """The root of a course with one assignment, `tiny`, of two questions (see tiny_course.py)."""
    from tiny_course import write_tiny_course

    return write_tiny_course(tmp_path)

"""`data list | fetch | path`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from autograder.cli.screen import console
from autograder.datasets import data_root, dataset_path, list_datasets
from autograder.datasets.fetching import fetch


def run_list() -> int:
    """Print the data sets. Exit status."""
    table = Table(title=f"Data root: {data_root()}")
    for name in ("name", "what", "state"):
        table.add_column(name)
    for info in list_datasets():
        size = (
            f"{info.download_bytes / 1e6:.0f} MB to fetch"
            if info.download_bytes
            else "to be put there by hand"
        )
        state = "embedded" if info.embedded else "here" if info.present else size
        table.add_row(info.name, info.title, state)
    console().print(table)
    return 0


def run_fetch(names: Sequence[str]) -> int:
    """Download. Exit status."""
    for name in names or [info.name for info in list_datasets()]:
        path = fetch(name)
        print(f"{name}: {path if path is not None else 'embedded, nothing to fetch'}")
    return 0


def run_path(name: str) -> int:
    """Print a path. Exit status."""
    print(dataset_path(name))
    return 0

"""Finding and loading data sets by name."""

from __future__ import annotations

import importlib
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from autograder.datasets.model import Dataset, DatasetDamaged, DatasetError, DatasetMissing
from autograder.datasets.recipe import Recipe, recipe, recipes


@dataclass(frozen=True)
class DatasetInfo:
    """One line of `autograder data list`."""

    name: str
    title: str
    licence: str
    embedded: bool
    present: bool
    """Whether `load_dataset` would find it now."""
    download_bytes: int
    folder: Path | None
    """Where the files lie or would lie; None for an embedded data set."""


def data_root() -> Path:
    """Return the folder of the real data sets: `AUTOGRADER_DATA`, or else a folder in the user's cache."""
    chosen = os.environ.get("AUTOGRADER_DATA", "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("autograder-kit") / "data"


def dataset_path(name: str) -> Path:
    """Return the folder where a data set lies, or would lie once fetched.

    Raises `DatasetError` for an unknown name and for a data set that the kit carries itself.
    """
    found = recipe(name)
    if found.embedded:
        raise DatasetError(
            f"{found.title} comes with the kit: it has no folder, load_dataset({name!r}) is enough."
        )
    return data_root() / found.folder


def missing_files(found: Recipe, root: Path) -> list[str]:
    """Return those paths of the recipe that do not exist below `root`."""
    return [path for path in found.files if not (root / path).exists()]


def list_datasets() -> list[DatasetInfo]:
    """Return what there is, by name, and whether it is present on this machine."""
    root = data_root()
    return [
        DatasetInfo(
            name=found.name,
            title=found.title,
            licence=found.licence,
            embedded=found.embedded,
            present=found.embedded or not missing_files(found, root),
            download_bytes=sum(archive.bytes for archive in found.archives),
            folder=None if found.embedded else root / found.folder,
        )
        for found in recipes().values()
    ]


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a data set by its name.

    Every data set takes `num_train` and `num_test`, which keep the first so many examples of each split;
    further options stand in its card.

    Raises `DatasetError` for an unknown name or option, `DatasetMissing` when the files have not been fetched
    and `DatasetDamaged` when they are not what the recipe promises.
    """
    found = recipe(name)
    root = data_root()
    if lacking := missing_files(found, root):
        where = root / found.folder
        state = "is not on this machine" if len(lacking) == len(found.files) else f"lacks {lacking[0]}"
        remedy = f"To get it: autograder data fetch {name}" if found.archives else f"{found.by_hand} {where}."
        raise DatasetMissing(f"{found.title} {state} (looked in {where}). {remedy}")
    load = importlib.import_module(f"autograder.datasets.readers.{found.name}").load
    known = list(inspect.signature(load).parameters)[1:]
    if unknown := [option for option in options if option not in known]:
        raise DatasetError(
            f"load_dataset({name!r}) has no option {unknown[0]!r}. It takes: {', '.join(known)}."
        )
    try:
        dataset = load(root / found.folder, **options)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DatasetDamaged(f"{found.title} cannot be read from {root / found.folder}: {reason}.") from error
    assert isinstance(dataset, Dataset)
    return dataset

"""Recipes: what a data set is, where it comes from and which files make it complete."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, field_validator
from ruamel.yaml import YAML

from autograder.datasets.model import DatasetError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Archive(_Strict):
    """One file to download and unpack into the data root."""

    urls: tuple[str, ...] = Field(min_length=1)
    """The official address first, mirrors after it."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(gt=0)
    unpacked_bytes: int = Field(gt=0)

    @property
    def filename(self) -> str:
        """The name under which the archive is kept while it downloads."""
        return PurePosixPath(self.urls[0]).name


class Recipe(_Strict):
    """One `recipes/NAME.yml`. A recipe without files describes a data set that the kit carries itself."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    licence: str
    folder: str = ""
    """The folder below the data root that holds the files, named as the distributor names it."""
    files: tuple[str, ...] = ()
    """Files or folders below the data root. The data set is complete when all of them are there."""
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""
    """Where nothing can be fetched: how to get the files, a sentence that ends before the folder's path."""

    @property
    def embedded(self) -> bool:
        """Whether the data set needs no download."""
        return not self.files

    @field_validator("folder", "files")
    @classmethod
    def _stay_below_the_root(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for path in [value] if isinstance(value, str) else value:
            pure = PurePosixPath(path)
            if pure.is_absolute() or ".." in pure.parts or "\\" in path:
                raise ValueError(f"{path!r} leaves the data root")
        return value


@cache
def recipes() -> dict[str, Recipe]:
    """Return every recipe by name, in alphabetical order."""
    yaml = YAML(typ="safe", pure=True)
    found = {}
    for entry in resources.files("autograder.datasets").joinpath("recipes").iterdir():
        if entry.name.endswith(".yml"):
            name = entry.name.removesuffix(".yml")
            found[name] = Recipe(name=name, **yaml.load(entry.read_text(encoding="utf-8")))
    return dict(sorted(found.items()))


def recipe(name: str) -> Recipe:
    """Return the recipe of one data set, or raise `DatasetError` with the names that exist."""
    try:
        return recipes()[name]
    except (KeyError, TypeError):
        known = ", ".join(recipes())
        raise DatasetError(f"There is no data set {name!r}. Choose one of: {known}.") from None

"""What the reference solutions reach on real data, beside the figures they have to beat.

An assignment that has such figures carries `solutions/SLUG/accuracy.py` with a function

    def run(seed: int = 0, device: str = "cpu") -> list[Figure]

that trains with the solution's own functions on data sets from the data root (`device` may be left out where
only NumPy computes). It runs for minutes, so results are kept in one JSON file and made again only when the
solution, the script, the seed or the device has changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import multiprocessing
import os
import platform
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from autograder.course import Assignment, Course, load_course
from autograder.course.files import write_whole
from autograder.datasets import DatasetError
from autograder.grading.versions import digest_of_solution

SCRIPT = "accuracy.py"


class AccuracyError(Exception):
    """Figures cannot be made; the text says of which assignment, why, and what to do."""


class Figure(BaseModel):
    """One figure and the one that it has to beat."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    """What was measured, on which part of which data."""
    ours: float
    headline: float | None = None
    """The figure to reach or beat; None for one that stands for itself."""
    sizes: str
    """How much data: "49,000 training, 1,000 validation"."""
    seconds: float
    unit: Literal["share", "number"] = "share"
    """A share is printed in per cent."""
    smaller_is_better: bool = False

    @property
    def reached(self) -> bool:
        """Whether the headline is reached or beaten."""
        if self.headline is None:
            return True
        return self.ours <= self.headline if self.smaller_is_better else self.ours >= self.headline

    def shown(self, value: float | None) -> str:
        """A value in this figure's unit."""
        if value is None:
            return "-"
        return f"{100 * value:.2f} %" if self.unit == "share" else f"{value:.3g}"


class Measured(BaseModel):
    """The figures of one assignment, and what they were made with."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    seed: int
    device: str
    machine: str
    versions: dict[str, str]
    figures: list[Figure]


_FILE = TypeAdapter(dict[str, Measured])


def script_of(assignment: Assignment) -> Path:
    """Where the assignment's `run` lies, or would lie."""
    return assignment.source.with_name(SCRIPT)


def digest_of(assignment: Assignment) -> str:
    """Of everything in the course that the figures depend on: the solution's code and the script."""
    digest = hashlib.sha256(digest_of_solution(assignment.source).encode())
    digest.update(b"\0" + script_of(assignment).read_bytes())
    return digest.hexdigest()[:16]


def read_measured(path: Path) -> dict[str, Measured]:
    """The kept figures by assignment; none where there is no file. Raises `AccuracyError`."""
    if not path.exists():
        return {}
    try:
        return _FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise AccuracyError(
            f"{path} is not what `autograder accuracy` writes ({error.error_count()} problems). Delete it to "
            "measure everything again."
        ) from None


def write_measured(course: Course, measured: Mapping[str, Measured], path: Path) -> None:
    """Write the JSON file and, beside it, the same as a table to read."""
    known = {a.slug: measured[a.slug] for a in course.assignments if a.slug in measured}
    write_whole(path, json.dumps({slug: one.model_dump() for slug, one in known.items()}, indent=1) + "\n")
    write_whole(path.with_suffix(".md"), table(known))


def table(measured: Mapping[str, Measured]) -> str:
    """The figures as a Markdown page."""
    lines = [
        "# What the solutions reach on real data",
        "",
        "Written by `make accuracy`: the reference solution of each assignment, trained on real data, beside",
        "the figure that the course it descends from reported.",
        "",
        "| assignment | figure | ours | to beat | data | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for slug, one in measured.items():
        for figure in one.figures:
            values = f"{figure.shown(figure.ours)} | {figure.shown(figure.headline)}"
            lines.append(f"| {slug} | {figure.what} | {values} | {figure.sizes} | {figure.seconds:.0f} |")
    made = sorted({f"{one.machine}, device {one.device}, seed {one.seed}" for one in measured.values()})
    return "\n".join([*lines, "", *[f"Measured on {one}." for one in made], ""])


def measure(assignment: Assignment, *, seed: int, device: str, threads: int) -> Measured:
    """Run an assignment's script in a process of its own, so that its memory is given back.

    Raises:
        AccuracyError: its data is not on this machine, or the script raised.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by NumPy and torch when the new process imports them
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_end_with_parent) as pool:
        try:
            figures = pool.submit(_run, assignment.root, assignment.slug, seed, device).result()
        except BrokenProcessPool:
            raise AccuracyError(
                f"{assignment.slug}: the process was killed, perhaps for want of memory."
            ) from None
    return Measured(
        digest=digest_of(assignment),
        seed=seed,
        device=device,
        machine=f"{platform.machine()}, {threads} thread{'' if threads == 1 else 's'}",
        versions=_versions(),
        figures=figures,
    )


def _end_with_parent() -> None:
    """In the process that trains: nobody would read its figures, and it would train on for an hour."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _run(root: Path, slug: str, seed: int, device: str) -> list[Figure]:
    path = script_of(load_course(root).assignment(slug))
    spec = importlib.util.spec_from_file_location(f"accuracy_{slug}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    began = time.perf_counter()
    try:
        spec.loader.exec_module(module)
        takes_device = "device" in inspect.signature(module.run).parameters
        figures = module.run(seed, device) if takes_device else module.run(seed)
    except DatasetError as error:
        raise AccuracyError(f"{slug}: {error}") from None
    except Exception as error:
        seconds = time.perf_counter() - began
        raise AccuracyError(f"{path} raised {type(error).__name__} after {seconds:.0f} s: {error}") from None
    return [Figure.model_validate(figure) for figure in figures]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("numpy", "torch", "torchvision"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

"""Downloading a data set: resumed where it stopped, checked by its sha256, unpacked in one step."""

from __future__ import annotations

import errno
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pooch
import requests
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from autograder.datasets.model import FetchError
from autograder.datasets.recipe import Archive, Recipe, recipe
from autograder.datasets.registry import data_root, missing_files

_CHUNK = 1 << 18
_TIMEOUT = 30  # seconds without a byte
_DOWNLOADS = (
    ".downloads"  # below the data root: on the same disk, so that a finished file is moved, not copied
)


def fetch(name: str, *, root: Path | None = None, progress: bool = True) -> Path | None:
    """Download a data set into the data root, unless it is complete there, and return its folder.

    A data set that the kit carries needs nothing and gives None. An interrupted download goes on where it
    stopped. Raises `DatasetError` for an unknown name and `FetchError` when the download fails.
    """
    found = recipe(name)
    if found.embedded:
        return None
    root = data_root() if root is None else root
    if not found.archives and missing_files(found, root):
        raise FetchError(f"{found.title} cannot be fetched. {found.by_hand} {root / found.folder}.")
    with _plain_errors(found, root):
        if missing_files(found, root):
            downloads = root / _DOWNLOADS
            downloads.mkdir(parents=True, exist_ok=True)
            for archive in found.archives:
                _require_space(archive, found, downloads)
                _unpack(_download(archive, downloads, found, progress), found, root)
                (downloads / archive.filename).unlink(missing_ok=True)
            if not any(downloads.iterdir()):
                downloads.rmdir()
        if lacking := missing_files(found, root):
            raise FetchError(
                f"The archive of {found.title} did not hold {lacking[0]}. Its recipe needs mending."
            )
    return root / found.folder


@contextmanager
def _plain_errors(found: Recipe, root: Path) -> Iterator[None]:
    """Turn what the operating system and the archive readers raise into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "The disk is full: make room, or set AUTOGRADER_DATA to a folder on a larger disk."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "The folder cannot be written: set AUTOGRADER_DATA to one that can."
        else:
            remedy = f"{error.strerror or error}."
        raise FetchError(f"{found.title} could not be stored in {root}. {remedy}") from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise FetchError(
            f"The archive of {found.title} cannot be opened ({error}). Fetch it again."
        ) from error


def _require_space(archive: Archive, found: Recipe, downloads: Path) -> None:
    needed = archive.bytes + archive.unpacked_bytes
    free = shutil.disk_usage(downloads).free
    if free < needed:
        raise FetchError(
            f"{found.title} needs {_megabytes(needed)} in {downloads.parent}, where {_megabytes(free)} are "
            "free. Make room, or set AUTOGRADER_DATA to a folder on a larger disk."
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _download(archive: Archive, downloads: Path, found: Recipe, progress: bool) -> Path:
    """Return the archive on disk, its checksum proved, from the first address that has it."""
    pooch.get_logger().setLevel("WARNING")  # our progress bar says it all
    failures = []
    for url in archive.urls:
        try:
            path = pooch.retrieve(
                url,
                known_hash=f"sha256:{archive.sha256}",
                fname=archive.filename,
                path=downloads,
                downloader=_Resuming(downloads / f"{archive.filename}.part", found.title, progress),
            )
            return Path(path)
        except requests.HTTPError as error:
            status = "with an error" if error.response is None else error.response.status_code
            failures.append(f"{url} answered {status}")
        except requests.RequestException as error:
            reason = (
                "took too long" if isinstance(error, requests.Timeout) else "cannot be reached or broke off"
            )
            failures.append(f"{url} {reason}")
        except ValueError as error:
            if "hash" not in str(error):
                raise
            failures.append(f"what {url} sent has the wrong checksum and was thrown away")
    raise FetchError(
        f"{found.title} could not be fetched: {'; '.join(failures)}. "
        "Check the network and run the same command again: it goes on where it stopped."
    )


class _Resuming:
    """A downloader for pooch that keeps what an interrupted download left, and asks only for the rest."""

    def __init__(self, part: Path, title: str, progress: bool) -> None:
        self.part = part
        self.title = title
        self.progress = progress

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        done = self.part.stat().st_size if self.part.exists() else 0
        # A tar.gz must not be decompressed on the way, as its checksum is that of the compressed bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with requests.get(url, stream=True, timeout=_TIMEOUT, headers=headers) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self._finish(output_file)  # nothing is left to ask for: the checksum decides
                return
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                done = 0  # the server sends everything again
            with self.part.open("ab" if done else "wb") as file:
                self._copy(response, file, done)
        self._finish(output_file)

    def _finish(self, output_file: str) -> None:
        self.part.replace(output_file)

    def _copy(self, response: requests.Response, file: IO[bytes], done: int) -> None:
        length = response.headers.get("Content-Length")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, disable=not self.progress) as bar:
            task = bar.add_task(self.title, total=done + int(length) if length else None, completed=done)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(task, advance=len(chunk))


def _unpack(path: Path, found: Recipe, root: Path) -> None:
    """Unpack into a temporary folder beside the goal, then move each top folder into place."""
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root) as temporary:
        staging = Path(temporary)
        for name, content in _regular_files(path):
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name:
                raise FetchError(
                    f"The archive of {found.title} holds a path that leaves its folder: {name!r}."
                )
            target = staging.joinpath(*pure.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
        for entry in list(staging.iterdir()):
            goal = root / entry.name
            if goal.is_dir() and entry.is_dir():
                # What lay there was incomplete, or the folder is shared by several archives: file by file.
                for file_ in (path_ for path_ in entry.rglob("*") if path_.is_file()):
                    to = goal / file_.relative_to(entry)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    file_.replace(to)
            else:
                entry.replace(goal)


def _regular_files(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and content of each regular file; links, devices and folders are passed over."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    with archive.open(info) as content:
                        yield info.filename, content
    else:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and (stream := tar.extractfile(member)) is not None:
                    yield member.name, stream

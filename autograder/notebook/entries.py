"""The files at a path that an instructor gives: one, a folder's, a zip's. What is unsafe is marked."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from autograder.notebook.archive import ArchiveError, ZipMember, list_zip, megabytes

MAX_FILES = 100_000
TIMESTAMP = "timestamp.txt"
NOTEBOOK_REMEDY = "Clear its outputs and hand it in again, or raise limits.notebook_mb in course.yml."
_SKIPPED_FOLDERS = {"__MACOSX", "__pycache__"}


class CollectError(ValueError):
    """There is nothing to grade at a path; the message is one or two plain sentences."""


class UnreadableError(ValueError):
    """One submission cannot be read; the message is a plain sentence."""


@dataclass(frozen=True)
class Entry:
    """A file that may be a submission: where it is, and what it is called inside the path that was given."""

    parts: tuple[str, ...]
    depth: int
    """How many of the parts lie inside the given path; the others only say where it is."""
    content: Path | ZipMember
    modified: datetime
    label: str
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.parts[-1]

    @property
    def is_notebook(self) -> bool:
        """Whether its name ends like a notebook's."""
        return self.name.lower().endswith(".ipynb")


def list_entries(path: Path, limit: int) -> Iterator[Entry]:
    """All files at a path; a refused one has its problem."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CollectError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
    if stat.S_ISDIR(mode):
        yield from _folder_entries(path, limit)
    elif path.suffix.lower() == ".zip":
        try:
            for entry in list_zip(path, limit):
                name = printable("/".join(entry.parts))
                parts = (path.stem, *entry.parts) if entry.parts else (path.stem, "unnamed")
                label = f"{path.name}: {name}"
                yield Entry(parts, len(parts) - 1, entry.member, entry.modified, label, entry.problem)
        except ArchiveError as error:
            raise CollectError(str(error)) from None
    elif stat.S_ISREG(mode):
        if path.suffix.lower() != ".ipynb":
            raise CollectError(f"{path} is neither a notebook (.ipynb), a zip nor a folder.")
        parts = path.absolute().parts
        yield Entry(parts, 1, path, _modified(path), str(path), _file_problem(path, limit))
    else:
        raise CollectError(f"{path} is not a plain file. Give a notebook, a zip or a folder.")


def _folder_entries(root: Path, limit: int) -> Iterator[Entry]:
    above = root.absolute().parts

    def unreadable(error: OSError) -> None:
        raise CollectError(f"{error.filename} cannot be read: {error.strerror}. Check its permissions.")

    count = 0
    # os.walk follows no links to folders: a link in a submission must not lead to somebody else's files.
    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not is_skipped(name))
        inside = Path(folder).relative_to(root).parts
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                raise CollectError(
                    f"{root} holds more than {MAX_FILES} files. Give the folder of the submissions."
                )
            path = Path(folder) / name
            problem = _file_problem(path, limit, follow=False)
            parts = (*above, *inside, name)
            yield Entry(parts, len(inside) + 1, path, _modified(path), printable(str(path)), problem)


def entry_of_file(path: Path) -> Entry:
    """A file that lies beside one that was given; a link is refused, as in a folder."""
    problem = _file_problem(path, 0, follow=False)
    return Entry(path.absolute().parts, 1, path, _modified(path), printable(str(path)), problem)


def read_content(content: Path | ZipMember, label: str, limit: int, remedy: str = NOTEBOOK_REMEDY) -> bytes:
    """The bytes of a file.

    Raises `UnreadableError` when it has more than `limit` bytes (without reading them) or cannot be read;
    `remedy` is what to do about the first.
    """
    size = 0
    try:
        if isinstance(content, ZipMember):
            data = content.read(limit)
        else:
            with content.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                data = stream.read(limit + 1) if size <= limit else b""
    except ArchiveError as error:
        raise UnreadableError(str(error)) from None
    except OSError as error:
        raise UnreadableError(f"{label} cannot be read: {error.strerror}.") from None
    if max(size, len(data)) > limit:
        raise UnreadableError(f"{label} has more than {megabytes(limit)} MB. {remedy}")
    return data


def _file_problem(path: Path, limit: int, *, follow: bool = True) -> str:
    try:
        status = path.stat(follow_symlinks=follow)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if stat.S_ISLNK(status.st_mode):
        return "it is a link"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a plain file"
    if path.suffix.lower() == ".ipynb" and status.st_size > limit:
        return f"it has {megabytes(status.st_size)} MB; at most {megabytes(limit)} MB are read"
    return ""


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, tz=UTC)


def read_timestamp(content: Path | ZipMember) -> datetime | None:
    """The time in nbgrader's timestamp.txt: `2026-10-30 17:59:58.123 Europe/Berlin`, or `UTC`, or `+0200`."""
    try:
        text = read_content(content, TIMESTAMP, 200).decode("utf-8").strip()
    except ValueError:
        return None
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(\S*)", text)
    if match is None:
        return None
    try:
        return datetime.fromisoformat(match[1]).replace(tzinfo=_zone(match[2])).astimezone(UTC)
    except (ValueError, KeyError, OSError, OverflowError):
        return None


def _zone(name: str) -> tzinfo:
    """The zone of a timestamp; `KeyError` or `ValueError` for a name that is none."""
    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", name)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    return ZoneInfo(name) if name not in ("", "UTC", "Z") else UTC


def is_skipped(part: str) -> bool:
    """Whether a file or folder of that name is never a submission: hidden ones, caches, checkpoints."""
    hidden = part.startswith(".") and part != ".."  # that one is refused aloud, not skipped
    return hidden or part in _SKIPPED_FOLDERS or part.endswith("-checkpoint.ipynb")


def printable(text: str) -> str:
    """A name for a message: without control characters and lone surrogates, of bounded length."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= 200 else f"{shown[:100]}...{shown[-90:]}"

"""Zip files as lists of entries, read one by one. Nothing is ever extracted to disk by its own name."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MAX_ENTRIES = 20_000
# Deflate reaches about 1000:1 on zeros; a notebook full of repeated output reaches perhaps 60:1.
MAX_RATIO = 200
RATIO_APPLIES_FROM = 1 << 20

_ENCRYPTED = 0x1


class ArchiveError(ValueError):
    """The zip file as a whole cannot be used; the message is a plain sentence."""


@dataclass(frozen=True)
class ZipMember:
    """One file in a zip; it holds no bytes, so that a class of 500 costs no memory."""

    archive: Path
    index: int
    name: str

    def read(self, limit: int) -> bytes:
        """The file's bytes, at most `limit` + 1 of them; `ArchiveError` when the zip is damaged here."""
        try:
            # By position, never by name: two entries may have the same name.
            with (
                zipfile.ZipFile(self.archive) as archive,
                archive.open(archive.infolist()[self.index]) as stream,
            ):
                return stream.read(limit + 1)
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise ArchiveError(
                f"{self.name} in {self.archive.name} is damaged ({error}). Download the zip again."
            ) from None


@dataclass(frozen=True)
class ZipEntry:
    """An entry as the zip's directory describes it."""

    parts: tuple[str, ...]
    """The name's parts, with `..` and the like still in: for `problem` and messages only."""
    modified: datetime
    member: ZipMember
    problem: str
    """Why the entry is refused, or empty."""


def list_zip(path: Path, limit: int) -> Iterator[ZipEntry]:
    """The files of a zip in their order; folders are left out.

    Parameters
    ----------
    path : Path
    limit : int
        The largest file in bytes; a larger one is listed with its problem.

    Raises
    ------
    ArchiveError
        When the file is no zip, or has more than `MAX_ENTRIES` entries.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}.") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError):
        raise ArchiveError(f"{path} is not a zip file, or is damaged. Download it again.") from None
    if len(infos) > MAX_ENTRIES:
        raise ArchiveError(f"{path} holds {len(infos)} files; at most {MAX_ENTRIES} are read. Split it.")
    for index, info in enumerate(infos):
        # Zips written on Windows may separate by backslash; zipfile turns them around on Windows only.
        name = info.orig_filename.replace("\\", "/")
        if not name or name.endswith("/"):
            continue
        yield ZipEntry(
            parts=tuple(part for part in name.split("/") if part not in ("", ".")),
            modified=_modified(info),
            member=ZipMember(path, index, name),
            problem=_problem(name, info, limit),
        )


def _problem(name: str, info: zipfile.ZipInfo, limit: int) -> str:
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "its name in the zip is an absolute path"
    if ".." in name.split("/"):
        return "its name in the zip holds '..'"
    if "\0" in name:
        return "its name in the zip holds a NUL character"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "it is a link"
    if kind not in (0, stat.S_IFREG):
        return "it is not a plain file"
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted; ask for the zip without a password"
    if info.file_size > limit:
        return f"it has {megabytes(info.file_size)} MB; at most {megabytes(limit)} MB are read"
    if info.file_size > RATIO_APPLIES_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return f"it unpacks to more than {MAX_RATIO} times its size"
    return ""


def _modified(info: zipfile.ZipInfo) -> datetime:
    # A zip stores local time without a zone; within one file that is enough to tell newer from older.
    try:
        return datetime(*info.date_time, tzinfo=UTC)
    except ValueError:
        return datetime(1980, 1, 1, tzinfo=UTC)


def megabytes(size: int) -> str:
    """A size in MB for a message: `0.5`, `12`."""
    value = size / (1 << 20)
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"

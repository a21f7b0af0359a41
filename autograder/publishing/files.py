"""Files that appear complete or not at all, and names that are safe to use for them."""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import unicodedata
from pathlib import Path


class PublishingError(Exception):
    """Something could not be published: one or two sentences that say what, where and what to do."""


_RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


def is_safe_name(name: str) -> bool:
    """Whether `name` can be a file's name on any system, without leading elsewhere or looking like another.

    Letters and digits of any script, and `. _ - @ +` and single spaces inside; at most 100 bytes; in
    Unicode's composed form (NFC), for two spellings of one name would be two folders here and one there.
    """
    return (
        re.fullmatch(r"[\w@+](?:[\w.@+-]| (?! ))*", name) is not None
        and not name.endswith((".", " "))
        and len(name.encode()) <= 100
        and unicodedata.normalize("NFC", name) == name
        and name.partition(".")[0].casefold() not in _RESERVED
    )


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file beside it; folders are made where missing.

    Raises:
        PublishingError: no permission, no space, or a file where a folder should be.
    """
    # The name is the writer's own ("x" refuses one that exists), and its mode is what the umask allows.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise PublishingError(_cannot_write(path, error)) from error


def _cannot_write(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Cannot write {path}: the disk is full. Free some space and run again; no half file is left."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Cannot write {path}: no permission. Choose a folder that you may write to."
    return f"Cannot write {path}: {(error.strerror or 'the system refused').lower()}. Choose another place."

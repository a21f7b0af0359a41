"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Write a file through a temporary one beside it; missing folders are made, an older file is replaced.

    `durable` waits until the disk has it, so that not even a power cut leaves an empty file; for files that
    can be made again the wait is not worth it.

    Raises OSError; the older file, if there is one, is then as it was, and no half file is left.
    """
    # The name is the writer's own ("x" refuses one that exists), and its mode is what the umask allows.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def cannot_write(path: Path, error: OSError) -> str:
    """What happened and what to do, in two sentences."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Cannot write {path}: the disk is full. Free some space and run again; no half file is left."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Cannot write {path}: no permission. Choose a folder that you may write to."
    return f"Cannot write {path}: {(error.strerror or 'the system refused').lower()}. Choose another place."

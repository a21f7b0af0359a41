"""Files that appear complete or not at all, and names that are safe to use for them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from autograder.course.files import cannot_write, write_whole


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
    """Write `content` to `path`, complete or not at all; folders are made where missing.

    Raises:
        PublishingError: no permission, no space, or a file where a folder should be.
    """
    try:
        write_whole(path, content, durable=False)
    except OSError as error:
        raise PublishingError(cannot_write(path, error)) from error

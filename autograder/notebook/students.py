"""Whose submission a file is: the names that an LMS, nbgrader and people give it; safe student ids."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

MAX_ID_LENGTH = 100

# What a browser or an LMS appends to the second file of one name: convnets-1, convnets (1), convnets_2.
_COPY_NUMBER = re.compile(r"[ _-]*(?:\((?P<brackets>\d{1,3})\)|-(?P<dash>\d{1,3}))$")

# Canvas: <name>_[LATE_]<user>_<submission>_<file>; the user's number stays the same over the whole course.
_CANVAS = re.compile(r"^(?P<name>[^/]+?)_(?:LATE_)?(?P<user>\d+)_(?P<submission>\d+)_(?P<file>[^/]+)$")

# Moodle: <full name>_<number>_assignsubmission_file_, as a folder or as the beginning of a file's name. The
# number belongs to one assignment only, so it is no part of a student's id.
_MOODLE = re.compile(r"^(?P<name>[^/]+?)_(?P<number>\d+)_assignsubmission_[a-z]+_?(?P<file>[^/]*)$")


@dataclass(frozen=True)
class Owner:
    """Whose file it is, before the name is made safe."""

    name: str
    """The student as the file's name or its folder tells."""
    qualifier: str = ""
    """Moodle's number: it tells two students of the same name apart."""
    copy: int = 0
    """Canvas' number of a resubmission (`-1`, `-2`); 0 without."""


def stem_of(file_name: str) -> str:
    """The name of a notebook file without its ending, whatever the case of the ending."""
    return file_name[: -len(".ipynb")] if file_name.lower().endswith(".ipynb") else file_name


def without_copy_number(stem: str) -> tuple[str, int]:
    """`("convnets", 1)` for `convnets-1` and `convnets (1)`; `(stem, 0)` without a number."""
    match = _COPY_NUMBER.search(stem)
    if match is None or match.start() == 0:
        return stem, 0
    return stem[: match.start()], int(match["brackets"] or match["dash"])


def is_named_after(stem: str, names: Iterable[str]) -> bool:
    """Whether a file's stem is one of the assignment's own names, perhaps with the number of a copy."""
    bare, _ = without_copy_number(stem)
    return any(candidate.casefold() == name.casefold() for name in names for candidate in (stem, bare))


def canvas_owner(file_name: str) -> tuple[Owner, str] | None:
    """The owner and the student's own file name in a Canvas export, or None for another kind of name."""
    match = _CANVAS.match(file_name)
    if match is None:
        return None
    _, copy = without_copy_number(stem_of(match["file"]))
    return Owner(f"{match['name']}_{match['user']}", copy=copy), match["file"]


def moodle_owner(part: str) -> tuple[Owner, str] | None:
    """The owner by one part of a path in a Moodle export, and what follows in that part."""
    match = _MOODLE.match(part)
    return None if match is None else (Owner(match["name"], qualifier=match["number"]), match["file"])


def name_from_stem(stem: str, names: Iterable[str]) -> str:
    """The student by a file's name: `alice`, `alice_convnets` and `convnets-alice` are all alice."""
    for name in sorted(names, key=len, reverse=True):
        for pattern in (rf"^{re.escape(name)}[ _.-]+(.+)$", rf"^(.+?)[ _.-]+{re.escape(name)}$"):
            match = re.match(pattern, stem, re.IGNORECASE)
            if match and not match[1].strip("()").isdigit():
                return match[1]
    return stem


def safe_id(original: str) -> str:
    """A student id that is safe as a folder's name: letters, digits and ``._@+-``, at most 100 characters.

    Accents are dropped and spaces become underscores. Where more is lost (another script, a long name), a
    digest of the original is appended: the id tells students apart and is the same in every run.
    """
    decomposed = unicodedata.normalize("NFKD", original)
    plain = "".join(character for character in decomposed if not unicodedata.combining(character)).strip()
    cleaned = re.sub(r"[^A-Za-z0-9._@+-]+", "_", plain)
    cleaned = re.sub(r"_{2,}", "_", cleaned)
    cleaned = re.sub(r"\.{2,}", ".", cleaned).strip("._-")
    lossy = re.search(r"[^A-Za-z0-9._@+\s-]", plain) is not None or len(cleaned) > MAX_ID_LENGTH
    if not cleaned:
        return f"student-{_digest(original)}"
    return _with_digest(cleaned, original) if lossy else cleaned


def distinct_ids(originals: Iterable[str]) -> dict[str, str]:
    """A safe id for each original name; no two are the same, not even on a disk that ignores case."""
    groups: dict[str, list[str]] = defaultdict(list)
    for original in sorted(set(originals)):
        groups[safe_id(original).casefold()].append(original)
    ids: dict[str, str] = {}
    for group in groups.values():
        # A name that is its own id keeps it; the others of the group are told apart by a digest.
        keeper = next((original for original in group if original == safe_id(original)), None)
        for original in group:
            alone = len(group) == 1 or original == keeper
            ids[original] = safe_id(original) if alone else _with_digest(safe_id(original), original)
    return ids


def _digest(original: str) -> str:
    return hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _with_digest(cleaned: str, original: str) -> str:
    digest = _digest(original)
    return f"{cleaned[: MAX_ID_LENGTH - len(digest) - 1].rstrip('._-')}-{digest}"

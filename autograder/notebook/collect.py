"""Finding submissions: notebook files, nbgrader's folders, folders of files, and the zips that Canvas and Moodle make."""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from autograder.course import Assignment
from autograder.notebook.archive import ArchiveError, ZipMember, list_zip, megabytes
from autograder.notebook.students import (
    Owner,
    canvas_owner,
    distinct_ids,
    is_named_after,
    moodle_owner,
    name_from_stem,
    safe_id,
    stem_of,
)

MAX_FILES = 100_000
_TIMESTAMP = "timestamp.txt"
_SKIPPED_FOLDERS = {"__MACOSX", "__pycache__"}


class CollectError(ValueError):
    """There is nothing to grade at a path; the message is one or two plain sentences."""


class UnreadableError(ValueError):
    """One submission cannot be read; the message is a plain sentence."""


@dataclass(frozen=True)
class Found:
    """One student's submission, not read yet."""

    student: str
    """A safe id: fit for a folder's name."""
    content: Path | ZipMember
    label: str
    """The file as the instructor would name it."""
    timestamp: datetime
    """When it was handed in, as well as that is known; in UTC."""
    exact_time: bool = False
    """Whether the time is the one of nbgrader's timestamp.txt, not just that of a file."""

    def read(self, limit: int) -> bytes:
        """The notebook's bytes.

        Raises `UnreadableError` when it has more than `limit` bytes (without reading them) or cannot be read.
        """
        try:
            data = (
                self.content.read(limit)
                if isinstance(self.content, ZipMember)
                else _read(self.content, limit)
            )
        except ArchiveError as error:
            raise UnreadableError(str(error)) from None
        except OSError as error:
            raise UnreadableError(f"{self.label} cannot be read: {error.strerror}.") from None
        if len(data) > limit:
            raise UnreadableError(too_large(self.label, len(data), limit))
        return data


@dataclass(frozen=True)
class Refused:
    """A submission that is known to exist and cannot be graded."""

    student: str
    label: str
    reason: str


@dataclass
class Collected:
    """What `collect` found."""

    submissions: list[Found] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the instructor should hear: which of two submissions counts, which names were changed."""


@dataclass(frozen=True)
class _Entry:
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
        return self.parts[-1]

    @property
    def is_notebook(self) -> bool:
        return self.name.lower().endswith(".ipynb")


@dataclass(frozen=True)
class _Candidate:
    """A notebook and its owner."""

    entry: _Entry
    owner: Owner
    stem: str
    timestamp: datetime
    exact_time: bool


def collect(paths: Sequence[Path | str], assignment: Assignment) -> Collected:
    """Find the submissions of an assignment, one for each student.

    Parameters
    ----------
    paths : sequence of Path or str
        Each a notebook; a folder in nbgrader's layout (`submitted`, `submitted/alice`, `submitted/alice/02_knn`); a
        folder of notebooks, one a student, or of folders, one a student; a zip from Canvas or Moodle, or of such a folder.
    assignment : Assignment

    Returns
    -------
    Collected
        Submissions and refusals in the order of the students' ids.

    Raises
    ------
    CollectError
        When a path does not exist, or there is no notebook at all.
    """
    limit = assignment.limits.notebook_mb * 1_000_000
    collected = Collected()
    candidates: list[_Candidate] = []
    empty_handed: dict[str, _Entry] = {}
    several = len(paths) > 1
    for path in map(Path, paths):
        entries = list(_entries(path, limit, collected))
        found, without = _owned(entries, path, assignment, several=several)
        candidates += found
        empty_handed.update(without)
    _settle(candidates, empty_handed, assignment, collected)
    if not collected.submissions and not collected.refused:
        where = ", ".join(str(path) for path in paths) or "the paths given"
        raise CollectError(
            f"There is no submission of {assignment.slug} in {where}. Give a notebook, a zip, a folder of notebooks, or "
            f"nbgrader's folder: submitted/STUDENT/{assignment.slug}/{assignment.notebook}.ipynb."
        )
    collected.submissions.sort(key=lambda found: found.student)
    collected.refused.sort(key=lambda refused: (refused.student, refused.label))
    return collected


def too_large(label: str, size: int, limit: int) -> str:
    """The sentence for a notebook over the limit."""
    return (
        f"{label} has more than {megabytes(limit)} MB ({megabytes(size)} MB). Clear its outputs and hand it in again, "
        f"or raise limits.notebook_mb in course.yml."
        if size > limit + 1
        else f"{label} has more than {megabytes(limit)} MB. Clear its outputs and hand it in again."
    )


def _entries(path: Path, limit: int, collected: Collected) -> Iterator[_Entry]:
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
                name = _printable("/".join(entry.parts))
                parts = (path.stem, *entry.parts) if entry.parts else (path.stem, "unnamed")
                label = f"{path.name}: {name}"
                yield _Entry(parts, len(parts) - 1, entry.member, entry.modified, label, entry.problem)
        except ArchiveError as error:
            raise CollectError(str(error)) from None
    elif stat.S_ISREG(mode):
        if path.suffix.lower() != ".ipynb":
            raise CollectError(f"{path} is neither a notebook (.ipynb), a zip nor a folder.")
        parts = path.absolute().parts
        yield _Entry(parts, 1, path, _modified(path), str(path), _file_problem(path, limit))
    else:
        raise CollectError(f"{path} is not a plain file. Give a notebook, a zip or a folder.")


def _folder_entries(root: Path, limit: int) -> Iterator[_Entry]:
    above = root.absolute().parts

    def unreadable(error: OSError) -> None:
        raise CollectError(f"{error.filename} cannot be read: {error.strerror}. Check its permissions.")

    count = 0
    # os.walk follows no links to folders: a link in a submission must not lead to somebody else's files.
    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not _skipped(name))
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
            yield _Entry(parts, len(inside) + 1, path, _modified(path), _printable(str(path)), problem)


def _owned(
    entries: list[_Entry], path: Path, assignment: Assignment, *, several: bool
) -> tuple[list[_Candidate], dict[str, _Entry]]:
    """The notebooks with their owners, and the owners who handed in files but no notebook."""
    names = (assignment.notebook, assignment.slug)
    visible = [entry for entry in entries if not any(_skipped(part) for part in entry.parts[-entry.depth :])]
    times = {
        entry.parts[:-1]: time
        for entry in visible
        if entry.name == _TIMESTAMP
        and not entry.problem
        and (time := _read_timestamp(entry.content)) is not None
    }
    by_slug = any(_in_slug_folder(entry, assignment.slug) for entry in visible)
    others = _other_slugs(assignment)
    personal = _personal_folders(visible, names)

    candidates: list[_Candidate] = []
    others_files: dict[str, _Entry] = {}
    for entry in visible:
        file_name = entry.name
        if (moodle := _moodle_owner(entry)) is not None:
            owner, file_name = moodle
        elif by_slug:
            if not _in_slug_folder(entry, assignment.slug):
                continue
            owner = Owner(entry.parts[-3] if len(entry.parts) > 2 else path.stem)
        elif (canvas := canvas_owner(entry.name)) is not None:
            owner, file_name = canvas
        elif not entry.is_notebook or others & set(entry.parts[-entry.depth : -1]):
            continue
        else:
            owner = _owner_by_place(entry, names, personal, path, several=several)
        if not entry.is_notebook:
            if file_name != _TIMESTAMP:
                others_files.setdefault(owner.name, entry)
            continue
        exact = times.get(entry.parts[:-1])
        candidates.append(
            _Candidate(entry, owner, stem_of(file_name), exact or entry.modified, exact is not None)
        )
    return candidates, others_files


def _settle(
    candidates: list[_Candidate],
    empty_handed: dict[str, _Entry],
    assignment: Assignment,
    collected: Collected,
) -> None:
    """Give each student one submission and a safe id; say aloud what was decided."""
    # In Moodle two students may have the same name; then the number in the folder's name tells them apart.
    numbers: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        if candidate.owner.qualifier:
            numbers[candidate.owner.name].add(candidate.owner.qualifier)

    groups: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        owner = candidate.owner
        shared = len(numbers[owner.name]) > 1 and owner.qualifier
        groups[f"{owner.name} {owner.qualifier}" if shared else owner.name].append(candidate)

    handed_in_nothing = {
        name: entry for name, entry in empty_handed.items() if name not in numbers and name not in groups
    }
    ids = distinct_ids([*groups, *handed_in_nothing])
    for original, student in sorted(ids.items()):
        if student != safe_id(original):
            collected.notes.append(
                f"{_printable(original)} is called {student}, because another student's name is alike."
            )
    for name, entry in handed_in_nothing.items():
        collected.refused.append(
            Refused(
                ids[name],
                entry.label,
                f"There is no notebook (.ipynb) among the files; {_printable(entry.name)} is none.",
            )
        )
    for original, group in groups.items():
        student = ids[original]
        sound = [candidate for candidate in group if not candidate.entry.problem]
        for candidate in group:
            entry = candidate.entry
            if entry.problem:
                reason = f"{entry.label} is refused: {entry.problem}."
                if sound:
                    collected.notes.append(f"{student}: {reason} Another file of this student is graded.")
                else:
                    collected.refused.append(Refused(student, entry.label, reason))
        if sound:
            collected.submissions.append(_newest(student, sound, assignment, collected.notes))


def _newest(student: str, candidates: list[_Candidate], assignment: Assignment, notes: list[str]) -> Found:
    names = (assignment.notebook, assignment.slug)
    # Beside the notebook of the assignment a folder may hold others; a file of another name counts only where it is alone.
    named = [candidate for candidate in candidates if is_named_after(candidate.stem, names)] or candidates
    newest = max(named, key=lambda c: (c.owner.copy, c.timestamp, c.entry.label))
    entry = newest.entry
    for older in sorted(named, key=lambda c: c.entry.label):
        if older is not newest:
            notes.append(
                f"{student} handed in twice: {entry.label} ({_when(newest)}) counts, "
                f"{older.entry.label} ({_when(older)}) does not."
            )
    return Found(student, entry.content, entry.label, newest.timestamp, newest.exact_time)


def _when(candidate: _Candidate) -> str:
    time = f"{candidate.timestamp:%Y-%m-%d %H:%M:%S} UTC"
    return f"resubmission {candidate.owner.copy}" if candidate.owner.copy else time


def _moodle_owner(entry: _Entry) -> tuple[Owner, str] | None:
    """The owner and the student's own file name, where a part of the path is a name that Moodle makes."""
    for part in entry.parts[-entry.depth :]:
        owned = moodle_owner(part)
        if owned is not None:
            owner, rest = owned
            return owner, entry.name if part is not entry.name else rest
    return None


def _owner_by_place(
    entry: _Entry, names: tuple[str, ...], personal: set[tuple[str, ...]], path: Path, *, several: bool
) -> Owner:
    stem = stem_of(entry.name)
    if entry.depth > 1 and entry.parts[:-1] in personal:
        return Owner(entry.parts[-2])
    if is_named_after(stem, names):
        # convnets.ipynb says nothing about its student: a zip of that name may, or, among several paths, its folder.
        if path.suffix.lower() == ".zip":
            return Owner(path.stem)
        if several and len(entry.parts) > 1:
            return Owner(entry.parts[-2])
    return Owner(name_from_stem(stem, names))


def _personal_folders(entries: Iterable[_Entry], names: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The folders that are one student's: they hold a notebook with the assignment's name, or just one notebook."""
    inside: dict[tuple[str, ...], list[_Entry]] = defaultdict(list)
    for entry in entries:
        if entry.is_notebook and entry.depth > 1:
            inside[entry.parts[:-1]].append(entry)
    return {
        folder
        for folder, notebooks in inside.items()
        if any(is_named_after(stem_of(entry.name), names) for entry in notebooks)
        # One folder around a single notebook is a wrapper that a zip program made.
        or (len(notebooks) == 1 and len(inside) > 1)
    }


def _in_slug_folder(entry: _Entry, slug: str) -> bool:
    return len(entry.parts) > 1 and entry.parts[-2] == slug


def _other_slugs(assignment: Assignment) -> set[str]:
    """The folders' names of the course's other assignments: what lies in them was not handed in for this one."""
    slugs: set[str] = set()
    for folder in (assignment.root / "solutions", assignment.root / "assignments"):
        if folder.is_dir():
            slugs |= {child.name for child in folder.iterdir() if child.is_dir()}
    return slugs - {assignment.slug}


def _skipped(part: str) -> bool:
    return part.startswith(".") or part in _SKIPPED_FOLDERS or part.endswith("-checkpoint.ipynb")


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


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise UnreadableError(too_large(str(path), size, limit))
        return stream.read(limit + 1)


def _read_timestamp(content: Path | ZipMember) -> datetime | None:
    """The time in nbgrader's timestamp.txt: `2026-10-30 17:59:58.123 Europe/Berlin`, `... UTC` or `... +0200`."""
    try:
        text = (
            (content.read(200) if isinstance(content, ZipMember) else _read(content, 200))
            .decode("utf-8")
            .strip()
        )
    except (OSError, ValueError):
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


def _printable(text: str) -> str:
    """A name for a message: without control characters and lone surrogates, of bounded length."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= 200 else f"{shown[:100]}...{shown[-90:]}"

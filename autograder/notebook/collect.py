"""Finding submissions: notebooks, nbgrader's folders, folders of files, zips of Canvas and Moodle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from autograder.course import Assignment
from autograder.notebook.archive import ZipMember
from autograder.notebook.entries import (
    TIMESTAMP,
    CollectError,
    Entry,
    UnreadableError,
    is_skipped,
    list_entries,
    printable,
    read_content,
    read_timestamp,
)
from autograder.notebook.handedin import Beside, Loose, Pairing, files_beside, loose_file
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

__all__ = ["CollectError", "Collected", "Found", "Refused", "UnreadableError", "collect"]


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
    files: tuple[Beside, ...] = ()
    """What the assignment asks for beside the notebook."""

    def read(self, limit: int) -> bytes:
        """The notebook's bytes.

        Raises `UnreadableError` when it has more than `limit` bytes (without reading them) or cannot be read.
        """
        return read_content(self.content, self.label, limit)


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
class _Candidate:
    """A notebook and its owner."""

    entry: Entry
    owner: Owner
    stem: str
    timestamp: datetime
    exact_time: bool


@dataclass
class _Owned:
    """What was found, with its owners."""

    candidates: list[_Candidate] = field(default_factory=list)
    others: list[tuple[Owner, Entry]] = field(default_factory=list)
    """Files that are no notebooks."""
    loose: list[Loose] = field(default_factory=list)
    """Files that the assignment asks for."""

    def add(self, more: _Owned) -> None:
        self.candidates += more.candidates
        self.others += more.others
        self.loose += more.loose


def collect(paths: Sequence[Path | str], assignment: Assignment) -> Collected:
    """Find the submissions of an assignment, one for each student.

    Parameters
    ----------
    paths : sequence of Path or str
        Each a notebook; a folder in nbgrader's layout (`submitted`, `submitted/alice`,
        `submitted/alice/02_knn`); a folder of notebooks, one a student, or of folders, one a student; a zip
        from Canvas or Moodle, or of such a folder.
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
    # A notebook that is larger than it may be, though no larger than other files, is refused once it is read.
    limit = max([assignment.limits.notebook_mb, *(file.max_mb for file in assignment.files)]) << 20
    collected = Collected()
    all_owned = _Owned()
    several = len(paths) > 1
    for path in map(Path, paths):
        entries = list(list_entries(path, limit))
        beside = files_beside(path, assignment) if path.suffix.lower() == ".ipynb" else []
        all_owned.add(_owned(entries, beside, path, assignment, several=several))
    _settle(all_owned, assignment, collected)
    if not collected.submissions and not collected.refused:
        where = ", ".join(str(path) for path in paths) or "the paths given"
        raise CollectError(
            f"There is no submission of {assignment.slug} in {where}. Give a notebook, a zip, a folder of "
            f"notebooks, or nbgrader's: submitted/STUDENT/{assignment.slug}/{assignment.notebook}.ipynb."
        )
    collected.submissions.sort(key=lambda found: found.student)
    collected.refused.sort(key=lambda refused: (refused.student, refused.label))
    return collected


def _owned(
    entries: list[Entry], beside: list[Entry], path: Path, assignment: Assignment, *, several: bool
) -> _Owned:
    """The notebooks with their owners, and what else these handed in.

    `beside`: what lies there unasked. It may belong to a notebook, and is nobody's submission by itself.
    """
    names = (assignment.notebook, assignment.slug)
    visible = [
        entry for entry in entries if not any(is_skipped(part) for part in entry.parts[-entry.depth :])
    ]
    times = {
        entry.parts[:-1]: time
        for entry in visible
        if entry.name == TIMESTAMP
        and not entry.problem
        and (time := read_timestamp(entry.content)) is not None
    }
    by_slug = any(_in_slug_folder(entry, assignment.slug) for entry in visible)
    others = _other_slugs(assignment)
    personal = _personal_folders(visible, names)

    owned = _Owned()
    for entry in [*visible, *beside]:
        file_name = entry.name
        owner: Owner | None = None
        if (moodle := _moodle_owner(entry)) is not None:
            owner, file_name = moodle
        elif by_slug:
            if not _in_slug_folder(entry, assignment.slug):
                continue
            owner = Owner(entry.parts[-3] if len(entry.parts) > 2 else path.stem)
        elif (canvas := canvas_owner(entry.name)) is not None:
            owner, file_name = canvas
        elif others & set(entry.parts[-entry.depth : -1]):
            continue
        elif entry.is_notebook:
            owner = _owner_by_place(entry, names, personal, path, several=several)
        elif entry.depth > 1 and entry.parts[:-1] in personal:
            owner = Owner(entry.parts[-2])
        if owner is None or not entry.is_notebook:
            loose = loose_file(entry, file_name, assignment, owner)
            if loose is not None:
                owned.loose.append(loose)
            if owner is not None and file_name != TIMESTAMP and entry not in beside:
                owned.others.append((owner, entry))
            continue
        exact = times.get(entry.parts[:-1])
        owned.candidates.append(
            _Candidate(entry, owner, stem_of(file_name), exact or entry.modified, exact is not None)
        )
    return owned


def _settle(owned: _Owned, assignment: Assignment, collected: Collected) -> None:
    """Give each student one submission and a safe id; say aloud what was decided."""
    candidates = owned.candidates
    # In Moodle two students may have the same name; then the number in the folder's name tells them apart.
    numbers: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        if candidate.owner.qualifier:
            numbers[candidate.owner.name].add(candidate.owner.qualifier)

    def key(owner: Owner) -> str:
        shared = len(numbers[owner.name]) > 1 and owner.qualifier
        return f"{owner.name} {owner.qualifier}" if shared else owner.name

    groups: dict[str, list[_Candidate]] = defaultdict(list)
    folders: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for candidate in candidates:
        groups[key(candidate.owner)].append(candidate)
        folders[candidate.entry.parts[:-1]].add(key(candidate.owner))
    pairing = Pairing(assignment, owned.loose, folders, key)
    collected.notes += pairing.unclaimed

    handed_in_nothing: dict[str, Entry] = {}
    for owner, entry in owned.others:
        if not numbers[owner.name] and owner.name not in groups:
            handed_in_nothing.setdefault(owner.name, entry)
    ids = distinct_ids([*groups, *handed_in_nothing])
    for original, student in sorted(ids.items()):
        if student != safe_id(original):
            collected.notes.append(
                f"{printable(original)} is called {student}, because another student's name is alike."
            )
    for name, entry in handed_in_nothing.items():
        collected.refused.append(
            Refused(
                ids[name],
                entry.label,
                f"There is no notebook (.ipynb) among the files; {printable(entry.name)} is none.",
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
            newest = _newest(student, sound, assignment, collected.notes)
            entry = newest.entry
            others = [other.name for owner, other in owned.others if key(owner) == original]
            files = pairing.of(original, entry, others, collected.notes)
            collected.submissions.append(
                Found(student, entry.content, entry.label, newest.timestamp, newest.exact_time, files)
            )


def _newest(
    student: str, candidates: list[_Candidate], assignment: Assignment, notes: list[str]
) -> _Candidate:
    names = (assignment.notebook, assignment.slug)
    # A folder may hold other notebooks beside the assignment's; they count only where there is no such one.
    named = [candidate for candidate in candidates if is_named_after(candidate.stem, names)] or candidates
    newest = max(named, key=lambda c: (c.owner.copy, c.timestamp, c.entry.label))
    entry = newest.entry
    for older in sorted(named, key=lambda c: c.entry.label):
        if older is not newest:
            notes.append(
                f"{student} handed in twice: {entry.label} ({_when(newest)}) counts, "
                f"{older.entry.label} ({_when(older)}) does not."
            )
    return newest


def _when(candidate: _Candidate) -> str:
    time = f"{candidate.timestamp:%Y-%m-%d %H:%M:%S} UTC"
    return f"resubmission {candidate.owner.copy}" if candidate.owner.copy else time


def _moodle_owner(entry: Entry) -> tuple[Owner, str] | None:
    """The owner and the student's own file name, where a part of the path is a name that Moodle makes."""
    for part in entry.parts[-entry.depth :]:
        owned = moodle_owner(part)
        if owned is not None:
            owner, rest = owned
            return owner, entry.name if part is not entry.name else rest
    return None


def _owner_by_place(
    entry: Entry, names: tuple[str, ...], personal: set[tuple[str, ...]], path: Path, *, several: bool
) -> Owner:
    stem = stem_of(entry.name)
    if entry.depth > 1 and entry.parts[:-1] in personal:
        return Owner(entry.parts[-2])
    if is_named_after(stem, names):
        # convnets.ipynb does not name its student; its zip may, or, among several paths, its folder.
        if path.suffix.lower() == ".zip":
            return Owner(path.stem)
        if several and len(entry.parts) > 1:
            return Owner(entry.parts[-2])
    return Owner(name_from_stem(stem, names))


def _personal_folders(entries: Iterable[Entry], names: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The folders that are one student's: they hold the assignment's notebook, or just one notebook."""
    inside: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
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


def _in_slug_folder(entry: Entry, slug: str) -> bool:
    return len(entry.parts) > 1 and entry.parts[-2] == slug


def _other_slugs(assignment: Assignment) -> set[str]:
    """The folders of the course's other assignments: what lies in them was not handed in for this one."""
    slugs: set[str] = set()
    for folder in (assignment.root / "solutions", assignment.root / "assignments"):
        if folder.is_dir():
            slugs |= {child.name for child in folder.iterdir() if child.is_dir()}
    return slugs - {assignment.slug}

"""Files of trained weights that are handed in beside a notebook: whose they are, and what is in them.

A file is found in the same layouts as notebooks, read up to the size that course.yml allows, and looked at
without being loaded. What is wrong with one costs what depends on it, never the rest of the submission.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from autograder.course import Assignment, SubmittedFile
from autograder.notebook.archive import ZipMember
from autograder.notebook.entries import Entry, UnreadableError, entry_of_file, printable, read_content
from autograder.notebook.students import Owner, is_named_after, name_from_stem, without_copy_number
from autograder.notebook.weights import WeightsError, kind_of


@dataclass(frozen=True)
class Beside:
    """A file that belongs to a submission, not read yet; or why there is none."""

    name: str
    """What course.yml calls it."""
    label: str
    """The file as the instructor would name it; empty where there is none."""
    content: Path | ZipMember | None = None
    problem: str = ""
    """A sentence: why it is not given to the student's code."""


@dataclass(frozen=True)
class HandedIn:
    """A file that was read and looked at."""

    name: str
    file_name: str = ""
    """What it is called where the student's code runs: its name in course.yml, and an ending by its kind."""
    content: bytes = b""
    """Empty where there is a problem."""
    problem: str = ""
    digest: str = ""
    """Of what was handed in; empty where nothing could be read."""


@dataclass(frozen=True)
class Loose:
    """A file whose name fits a pattern of course.yml."""

    entry: Entry
    declared: SubmittedFile
    rank: int
    """The place of the pattern that it fits."""
    copy: int
    """The number of a resubmission."""
    owner: Owner | None
    """None where the name tells nobody: it is then his whose notebook alone lies in the same folder."""

    @property
    def folder(self) -> tuple[str, ...]:
        """Where it lies."""
        return self.entry.parts[:-1]


def loose_file(entry: Entry, file_name: str, assignment: Assignment, owner: Owner | None) -> Loose | None:
    """`entry` as one of the assignment's files, or None where its name fits none of them.

    Args:
        entry: what was found.
        file_name: the student's own name for it, without what an LMS put before it.
        assignment: says which files are handed in.
        owner: whose it is, where its place tells; else its name may ("alice_model.pt").
    """
    path = PurePath(file_name)
    bare, copy = without_copy_number(path.stem)
    for declared in assignment.files:
        rank = declared.rank(file_name)
        if rank is None:
            rank = declared.rank(bare + path.suffix)
        if rank is not None:
            return Loose(entry, declared, rank, copy, owner)
    if owner is None:
        for declared in assignment.files:
            yours = _named_after_student(path, declared, assignment)
            if yours is not None:
                return Loose(entry, declared, len(declared.patterns), 0, Owner(yours))
    return None


def _named_after_student(path: PurePath, declared: SubmittedFile, assignment: Assignment) -> str | None:
    patterns = [PurePath(pattern) for pattern in declared.patterns]
    if path.suffix.casefold() not in {pattern.suffix.casefold() for pattern in patterns}:
        return None
    own = {pattern.stem for pattern in patterns} | {assignment.notebook, assignment.slug, declared.name}
    stem = path.stem
    return None if is_named_after(stem, own) else name_from_stem(stem, own)


def files_beside(notebook: Path, assignment: Assignment) -> list[Entry]:
    """The files in a notebook's folder that end like one of the assignment's."""
    endings = {PurePath(pattern).suffix for file in assignment.files for pattern in file.patterns}
    paths = sorted(notebook.absolute().parent.iterdir()) if endings else []
    return [entry_of_file(path) for path in paths if path.suffix.lower() in endings and path.name[0] != "."]


def beside(notebook: Path, assignment: Assignment) -> tuple[Beside, ...]:
    """The files of a submission whose notebook alone lies in its folder."""
    student, entry = Owner(""), entry_of_file(notebook)
    loose = [loose_file(file, file.name, assignment, student) for file in files_beside(notebook, assignment)]
    pairing = Pairing(assignment, filter(None, loose), {}, lambda owner: owner.name)
    return pairing.of("", entry, (), [])


class Pairing:
    """Gives each submission its files.

    Args:
        assignment: says which files are handed in.
        loose: what was found.
        students: folder -> the students whose notebooks lie in it.
        key: what tells one student from another, by an owner.
    """

    def __init__(
        self,
        assignment: Assignment,
        loose: Iterable[Loose],
        students: Mapping[tuple[str, ...], set[str]],
        key: Callable[[Owner], str],
    ) -> None:
        self._assignment = assignment
        self._of: dict[tuple[str, str], list[Loose]] = defaultdict(list)
        self.unclaimed: list[str] = []
        """A sentence for each file that is nobody's."""
        for file in {each.entry.label: each for each in loose}.values():
            here = students.get(file.folder, set())
            if file.owner is not None:
                self._of[key(file.owner), file.declared.name].append(file)
            elif len(here) == 1:
                self._of[next(iter(here)), file.declared.name].append(file)
            elif here:
                self.unclaimed.append(
                    f"{file.entry.label} is nobody's: notebooks of several students lie beside it. Put the "
                    "student's name before its own (alice_model.pt)."
                )

    def of(
        self, student: str, notebook: Entry, others: Sequence[str], notes: list[str]
    ) -> tuple[Beside, ...]:
        """The files of one student, one for each that the assignment asks for.

        Args:
            student: as `key` names him.
            notebook: the one that is graded: of several files, the one beside it counts.
            others: names of the files that the student handed in besides.
            notes: where to say which of several files counts.
        """
        chosen = []
        for declared in self._assignment.files:
            candidates = self._of.get((student, declared.name), [])
            if not candidates:
                chosen.append(Beside(declared.name, "", problem=_missing(declared, others)))
                continue
            best = min(candidates, key=lambda file: _order(file, notebook))
            notes += [
                f"Of the files for {declared.name}, {best.entry.label} counts, {file.entry.label} does not."
                for file in sorted(candidates, key=lambda file: file.entry.label)
                if file is not best
            ]
            entry = best.entry
            problem = f"{entry.label} is refused: {entry.problem}." if entry.problem else ""
            chosen.append(Beside(declared.name, entry.label, entry.content, problem))
        return tuple(chosen)


def _order(file: Loose, notebook: Entry) -> tuple[object, ...]:
    beside = file.folder == notebook.parts[:-1]
    sound = not file.entry.problem
    return (not beside, -file.copy, not sound, file.rank, -file.entry.modified.timestamp(), file.entry.label)


def _missing(declared: SubmittedFile, others: Sequence[str]) -> str:
    problem = f"No {declared.name} were handed in: {declared.expected} belongs beside the notebook"
    if others:
        shown = ", ".join(printable(name) for name in sorted(others)[:3])
        problem += f", and {shown} {'is' if len(others) == 1 else 'are'} not called so"
    return f"{problem}."


def read_files(files: Sequence[Beside], assignment: Assignment) -> tuple[HandedIn, ...]:
    """The assignment's files, each read and looked at; one that cannot be used has its problem."""
    by_name = {file.name: file for file in files}
    return tuple(_read(by_name.get(declared.name), declared) for declared in assignment.files)


def _read(file: Beside | None, declared: SubmittedFile) -> HandedIn:
    if file is None or file.content is None:
        return HandedIn(declared.name, problem=file.problem if file else _missing(declared, ()))
    if file.problem:
        return HandedIn(declared.name, problem=file.problem)
    remedy = (
        f"Hand in weights of at most {declared.max_mb} MB: save the state_dict alone, without the optimiser."
    )
    try:
        content = read_content(file.content, file.label, declared.max_mb << 20, remedy)
    except UnreadableError as error:
        return HandedIn(declared.name, problem=str(error))
    return looked_at(declared.name, content, file.label)


def looked_at(name: str, content: bytes, label: str) -> HandedIn:
    """A file's bytes, kept if they are plain weights."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        kind = kind_of(content)
    except WeightsError as error:
        return HandedIn(name, problem=f"{label} is refused: it {error}.", digest=digest)
    return HandedIn(name, f"{name}.{kind}", content, digest=digest)


def own_files(assignment: Assignment, variant: str = "") -> tuple[HandedIn, ...]:
    """The solution's own files, or a variant's, as if they had been handed in."""
    paths = assignment.own_files(variant)
    found = [Beside(name, str(path), path) for name, path in paths.items()]
    return read_files(found, assignment)


def submission_digest(sha256: str, files: Sequence[HandedIn]) -> str:
    """A digest of the notebook and its files together; the notebook's own where the assignment has none."""
    if not files:
        return sha256
    parts = [sha256, *(f"{file.name} {file.digest or 'nothing'}" for file in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

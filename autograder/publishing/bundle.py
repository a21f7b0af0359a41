"""What goes to the students: the release folder, and nothing else, as a folder or as a zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

from autograder.course import Assignment
from autograder.publishing.files import PublishingError, write_atomic

PUBLIC_SUITE = "test_public.py"
# What only a source or a hidden suite holds: a release with one of these was not built, or was built wrongly.
_SECRETS = (b"BEGIN SOLUTION", b"END SOLUTION", b"BEGIN HIDDEN TESTS", b"END HIDDEN TESTS")
# A zip's times begin in 1980; a fixed one makes two bundles of one release the same, byte for byte.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def bundle_release(assignment: Assignment, to: Path, *, also: Collection[str] = ()) -> Path:
    """Copy assignments/SLUG to the zip `to` (when its name ends in .zip), or else to the folder `to`/SLUG.

    The release is the notebook, test_public.py, and the files named in `also` (relative to the release
    folder, with forward slashes). The same release gives the same zip, byte for byte.

    Returns the zip or the folder.

    Raises:
        PublishingError: the assignment is a draft; the release is missing or incomplete, holds anything else,
            or shows a trace of a solution (nothing is written then); or a file cannot be written.
    """
    if assignment.draft:
        raise PublishingError(
            f"{assignment.slug} is a draft. Take `draft: true` out of course.yml to release it."
        )
    files = _release_files(assignment, {assignment.release_notebook.name, PUBLIC_SUITE, *also})
    if to.suffix.lower() == ".zip":
        write_atomic(to, _zip({f"{assignment.slug}/{name}": content for name, content in files.items()}))
        return to
    folder = to / assignment.slug
    if folder.resolve() == assignment.release.resolve():
        raise PublishingError(f"{folder} is the release itself. Choose another folder, or a zip.")
    for name, content in files.items():
        write_atomic(folder / name, content)
    return folder


def _release_files(assignment: Assignment, expected: set[str]) -> dict[str, bytes]:
    """The release's files by name, read once they have been found to be exactly the expected ones."""
    folder = assignment.release
    build = f"Run `autograder build {assignment.slug}`."
    if not folder.is_dir():
        raise PublishingError(f"There is no release of {assignment.slug}: {folder} does not exist. {build}")
    found: dict[str, Path] = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise PublishingError(f"{path} is a link, and a release holds only files. Remove it.")
            if not path.is_dir():
                found[name] = path
        strangers = sorted(found.keys() - expected)
        if strangers:
            shown = ", ".join(strangers[:5]) + (
                f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
            )
            raise PublishingError(
                f"{folder} holds files that are no part of a release: {shown}. Remove them."
            )
        missing = sorted(expected - found.keys())
        if missing:
            raise PublishingError(f"The release of {assignment.slug} lacks {', '.join(missing)}. {build}")
        contents = {name: path.read_bytes() for name, path in found.items()}
    except OSError as error:
        raise PublishingError(
            f"Cannot read the release {folder}: {(error.strerror or 'unreadable').lower()}."
        ) from error
    for name, content in contents.items():
        for secret in _SECRETS:
            if secret in content:
                raise PublishingError(
                    f"{folder / name} holds the marker {secret.decode()!r} of a source. {build}"
                )
    return contents


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_ZIP_TIME)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return buffer.getvalue()

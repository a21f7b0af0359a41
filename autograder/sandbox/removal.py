"""Removing a folder that a submission filled, however deep it is nested.

`shutil.rmtree` calls itself for each level, and a few thousand folders inside one another, each made in an
instant, would end the grader with a RecursionError.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def remove_tree(folder: str | Path) -> None:
    """Remove `folder` and all below it; what cannot be removed stays. Links are removed, never followed.

    Every folder inside is moved up beside the outermost one first, so that neither the depth of the calls nor
    the length of a path grows. Whoever wrote there must have ended.
    """
    outermost = Path(folder)
    waiting = [str(outermost)]
    prefix = str(outermost.with_name(f".{outermost.name}.{secrets.token_hex(6)}."))
    moved = 0
    while waiting:
        current = waiting.pop()
        with contextlib.suppress(OSError):
            os.chmod(current, 0o700)  # noqa: PTH101 - a folder may have been made without rights
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(current)):
                with contextlib.suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)  # noqa: PTH108
                        continue
                    with contextlib.suppress(OSError):  # to move a folder takes the right to write in it
                        os.chmod(entry.path, 0o700)  # noqa: PTH101
                    moved += 1
                    os.rename(entry.path, f"{prefix}{moved}")  # noqa: PTH104
                    waiting.append(f"{prefix}{moved}")
            os.rmdir(current)  # noqa: PTH106

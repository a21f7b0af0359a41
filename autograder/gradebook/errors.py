"""What goes wrong with a database or a disk, in plain sentences."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class GradebookError(Exception):
    """The gradebook could not be used, and is as it was; the message is one or two plain sentences."""


# What the databases say, and what that means to whoever runs a grading.
_SAID = {
    "is locked": "it is in use by another program. Close that one, or try again in a moment",
    "database or disk is full": "the disk is full. Make room and run the command again",
    "disk i/o error": "the disk cannot be read or written. Check whether it is full or failing",
    "readonly database": "it may not be written. Check the permissions of the file and of its folder",
    "unable to open database file": "it cannot be opened. Check that its folder exists and may be written",
    "file is not a database": "this file is no SQLite database. Give another URL, or move the file away",
    "database disk image is malformed": "the database is damaged. Restore a copy of it",
    "lock timeout": "another program has been writing to it for too long. Try again in a moment",
    "connection refused": "no server answers there. Start PostgreSQL, or correct host and port in the URL",
    "password authentication failed": "the server does not accept this user and password",
    "no password supplied": "the server wants a password. Put it into ~/.pgpass or into the URL",
    "fatal:  database": "the server has no such database. Create it with createdb, or correct the URL",
    "fatal:  role": "the server knows no such user. Create it with createuser, or correct the URL",
    "no space left on device": "the server's disk is full. Make room and run the command again",
}


@contextmanager
def plain_database_errors(where: str) -> Iterator[None]:
    """Turn SQLAlchemy's errors into `GradebookError`. `where` names the database, without its password."""
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).strip() or type(error.orig).__name__
        for text, meaning in _SAID.items():
            if text in said.lower():
                said = meaning
                break
        raise GradebookError(f"The gradebook {where} was not written: {said.splitlines()[0]}.") from error
    except (ArgumentError, NoSuchModuleError):
        raise GradebookError(
            f"{where} is no database URL. Write sqlite:///gradebook.db or postgresql://user@host/name."
        ) from None
    except ModuleNotFoundError as error:
        raise GradebookError(f"For {where} the package {error.name} is needed. Install it.") from None
    except SQLAlchemyError as error:
        said = str(error).splitlines()[0]
        raise GradebookError(f"The gradebook {where} could not be used: {said}.") from error


@contextmanager
def plain_disk_errors(what: str) -> Iterator[None]:
    """Turn errors of the file system into `GradebookError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GradebookError(
                f"{what} was not written: the disk is full. Make room and run again."
            ) from error
        reason = error.strerror or type(error).__name__
        raise GradebookError(f"{what} was not written: {reason}. Check the folder's permissions.") from error

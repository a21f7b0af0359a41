"""The command `autograder`."""

from __future__ import annotations

import sys

from autograder.cli.errors import plain_message


def main() -> None:
    """Run the command. Errors are one or two plain sentences on stderr and exit status 2; 130 after
    Ctrl-C.
    """
    from autograder.cli.app import app

    try:
        app()
    except SystemExit as ended:
        if not _interrupted(ended):
            raise
        print(
            "Interrupted. Finished work is kept; the same command (without --force) goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
    except Exception as error:
        message = plain_message(error)
        if message is None:
            raise
        print(message, file=sys.stderr)
        sys.exit(2)


def _interrupted(ended: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: Typer turns a KeyboardInterrupt into an exit, with a status that depends
    on its version.
    """
    while ended is not None:
        if isinstance(ended, KeyboardInterrupt):
            return True
        ended = ended.__cause__ or ended.__context__
    return False

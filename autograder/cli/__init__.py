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
    except KeyboardInterrupt:
        print("Interrupted. Finished work is kept; `--resume` goes on from there.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = plain_message(error)
        if message is None:
            raise
        print(message, file=sys.stderr)
        sys.exit(2)

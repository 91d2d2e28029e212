"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; bad input is one red line on stderr and exit code 2."""
    from choose.cli.app import app
    from choose.errors import ChooseError

    try:
        app(prog_name="choose")
    except ChooseError as error:
        from choose.cli.screen import say_error

        say_error(str(error))
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output has gone; a traceback would help nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)

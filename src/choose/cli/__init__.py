"""Command-line interface: parse arguments, call the API, print the result."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn


def main() -> None:
    """Run the command line; bad input is one red line on stderr and exit code 2."""
    from choose.cli.app import app
    from choose.errors import ChooseError

    try:
        sys.exit(app(prog_name="choose", standalone_mode=False) or 0)
    except ChooseError as error:
        _exit_with_error(str(error))
    except BrokenPipeError:
        # The reader of stdout has closed it; a traceback would not help.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # The parser's errors have no public class to catch them by.
        if not hasattr(error, "format_message"):
            raise
        _exit_with_error(_usage_error(error))


def _exit_with_error(message: str) -> NoReturn:
    from choose.cli.console import say_error

    say_error(message)
    sys.exit(2)


def _usage_error(error: Any) -> str:
    """Return the parser's message on one line; a command without arguments prints its help."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(2)
    command = context.command_path if context is not None else "choose"
    return f"{' '.join(error.format_message().split())} See {command} --help."

"""The command line: parse, call, print."""

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
        _refuse(str(error))
    except BrokenPipeError:
        # The reader of our output has gone; a traceback would help nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # The parser's errors have no public class to catch them by.
        if not hasattr(error, "format_message"):
            raise
        _refuse(_usage(error))


def _refuse(message: str) -> NoReturn:
    from choose.cli.console import say_error

    say_error(message)
    sys.exit(2)


def _usage(error: Any) -> str:
    """Say on one line what the parser says on four; a bare command's message is its help."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(2)
    command = context.command_path if context is not None else "choose"
    return f"{' '.join(error.format_message().split())} See {command} --help."

"""Command-line interface: parse arguments, call the API, print the result."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

# What the system says of stdout on a full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """Run the command line; bad input is one red line on stderr and exit code 2."""
    try:
        from choose.cli.app import app
        from choose.errors import ChooseError
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:  # a user who asks for warnings with -W sees them
                warnings.simplefilter("ignore")
            code = app(prog_name="choose", standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code)
    except ChooseError as error:
        _exit_with_error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of stdout has closed it; a traceback would not help.
        _discard_stdout()
        sys.exit(1)
    except OSError as error:
        if error.errno in _FULL:
            _discard_stdout()
        _exit_with_error(_system_error(error))
    except Exception as error:
        # The parser's errors have no public class to catch them by.
        if not hasattr(error, "format_message"):
            raise
        _exit_with_error(_usage_error(error))


def _exit_with_error(message: str) -> NoReturn:
    from choose.cli.console import say_error

    with suppress(OSError):  # stderr may be on the full disk too
        say_error(message)
    sys.exit(2)


def _discard_stdout() -> None:
    """Discard buffered output, so that Python does not fail to flush it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_error(error: OSError) -> str:
    """Return one line for a path that no file can have, or a disk that fails."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"Cannot write the output: {reason}. Free some space, or write elsewhere."
    name = str(error.filename)[:80]
    return f"Cannot use the file {name!r}: {reason}. Name another path, or free some space."


def _usage_error(error: Any) -> str:
    """Return the parser's message on one line; a command without arguments prints its help."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(2)
    command = context.command_path if context is not None else "choose"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}{'' if message.endswith('?') else '.'} See {command} --help."

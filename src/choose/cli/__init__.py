"""Command-line interface: parse arguments, call the API, print the result."""

import codecs
import errno
import gc
import os
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress
from io import TextIOWrapper
from time import perf_counter
from typing import Any, NoReturn
from unicodedata import east_asian_width

# What the system says of stdout on a full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

# Exit codes: of bad input, of an interruption, and of a fault of ours (EX_SOFTWARE of sysexits.h).
INPUT, INTERRUPTED, FAULT = 2, 130, 70


# Substitutes of the same width for characters that an encoding lacks, so that tables stay aligned.
_LACKING = dict(zip("\u2013\u2212—\u00d7“”\u2018\u2019·•…▶▷→✓✗", "---x\"\"''.*~>>>+x", strict=True))


def _substitute(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    wide = {char: "??" for char in lacking if east_asian_width(char) in "WF"}
    return "".join((wide | _LACKING).get(char, "?") for char in lacking), error.end


# How streams treat such characters.
SUBSTITUTED = "choose"
codecs.register_error(SUBSTITUTED, _substitute)

# `perf_counter` when this process's command began: imports and reading count as time of a budget.
started: float | None = None


def main() -> None:
    """Run the command line; whatever goes wrong ends in one red line on stderr."""
    global started
    started = perf_counter()
    # Libraries make half a million objects. With Python's 700, looking for cycles among them takes
    # a fifth of the seconds of their import.
    gc.set_threshold(10_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=SUBSTITUTED)
    try:
        from choose.cli.app import app

        with warnings.catch_warnings():
            if not sys.warnoptions:  # a user who asks for warnings with -W sees them
                warnings.simplefilter("ignore")
            code = app(prog_name="choose", standalone_mode=False) or 0
        sys.stdout.flush()
    except SystemExit:
        raise
    except BaseException as error:  # a panic of polars is no Exception
        _exit_with(error)
    finally:
        started = None
    sys.exit(code)


def _exit_with(error: BaseException) -> NoReturn:
    from choose.cli.console import say_error
    from choose.errors import ChooseError

    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        sys.exit(INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        # The reader of stdout has closed it; a message would not help.
        _discard_stdout()
        sys.exit(1)
    if isinstance(error, OSError) and error.errno in _FULL:
        _discard_stdout()
    code = INPUT
    if isinstance(error, ChooseError):
        message = str(error)
    elif isinstance(error, OSError):
        message = _system_error(error)
    elif isinstance(error, MemoryError):
        message = "There is not enough memory. Use fewer or shorter rows, or a smaller model."
    elif hasattr(error, "format_message"):  # the parser's errors have no public class
        message = _usage_error(error)
    else:
        message, code = _fault(error), FAULT
    with suppress(OSError):  # stderr may be on the full disk too
        say_error(message)
    sys.exit(code)


def _fault(error: BaseException) -> str:
    """Return the line about an unexpected error; its traceback goes into a file."""
    from choose.errors import in_short

    report = ""
    with suppress(OSError):
        number, name = tempfile.mkstemp(prefix="choose-", suffix=".txt", text=True)
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(error))
        report = f", with {name}"
    return f"{in_short(error)}. This is a fault of choose: please report it{report}."


def _discard_stdout() -> None:
    """Discard buffered output, so that Python does not fail to flush it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_error(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"Cannot write the output: {reason}. Free some space, or write elsewhere."
    name = str(error.filename)[:80]
    return f"Cannot use the file {name!r}: {reason}. Name another path, or free some space."


def _usage_error(error: Any) -> str:
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(INPUT)
    command = context.command_path if context is not None else "choose"
    key = (getattr(error, "option_name", None) or "").strip("-").replace("-", "_")
    if context is not None and any(param.name == "set" for param in context.command.params):
        from choose.study.resolve_study import keywords

        if key in keywords():
            return f"No such option: {error.option_name}. Write --set {key}=VALUE."
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}{'' if message.endswith('?') else '.'} See {command} --help."

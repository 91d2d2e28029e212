"""The command line, run in this process, which spares the imports."""

import sys
from io import BytesIO, TextIOWrapper
from typing import NamedTuple
from unittest.mock import patch


class Result(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def run_command(*arguments: object) -> Result:
    """Run ``choose`` with these words, and with the encodings of a terminal."""
    from choose.cli import main

    out = TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True)
    err = TextIOWrapper(BytesIO(), "utf-8", "backslashreplace", write_through=True)
    code = 0
    with patch.multiple(sys, argv=["choose", *map(str, arguments)], stdout=out, stderr=err):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Result(code, *(stream.buffer.getvalue().decode("utf-8") for stream in (out, err)))

"""The command line, run in this process, which spares the imports."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from tempfile import TemporaryFile
from typing import NamedTuple
from unittest.mock import patch


class Result(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


@contextmanager
def _descriptor_2(stream: BytesIO) -> Iterator[None]:
    """Add to a stream what libraries write to the standard error past `sys.stderr`."""
    kept = os.dup(2)
    with TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            stream.write(file.read())


def run_command(*arguments: object) -> Result:
    """Run ``choose`` with these words, and with the encodings of a terminal."""
    from choose.cli import main

    out = TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True)
    err = TextIOWrapper(BytesIO(), "utf-8", "backslashreplace", write_through=True)
    code, argv = 0, ["choose", *map(str, arguments)]
    with _descriptor_2(err.buffer), patch.multiple(sys, argv=argv, stdout=out, stderr=err):
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Result(code, *(stream.buffer.getvalue().decode("utf-8") for stream in (out, err)))

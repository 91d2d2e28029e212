"""The command line, run in this process, which spares the imports; scripts of pages; programs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest


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


def blocks(text: str, language: str = "") -> list[str]:
    """Return the blocks of a page whose language matches a pattern, by default those of none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in found if re.fullmatch(language, name)]


def run_script(script: str, folder: Path) -> str:
    """Run lines of a shell in a folder, with this environment's ``choose``; return the output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=2_400,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(code: str, *arguments: object, **settings: Any) -> str:
    """Run a program in a process of its own, which must succeed; return its output."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal_of(error: type[Exception], call: Any, /, *arguments: Any, **settings: Any) -> str:
    with pytest.raises(error) as raised:
        call(*arguments, **settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)

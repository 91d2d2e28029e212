"""Run one malformed input through the command line in this process and judge what it did.

A case passes if the command accepts the input (exit 0, or 3 for a gate that is not met) and changes
no file that was there before, or refuses it: exit 2, one line on stderr that names what is wrong,
nothing on stdout and nothing written. A warning that a library writes to stderr, through Python or
not, is a failure.
"""

import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from io import BytesIO, TextIOWrapper
from pathlib import Path
from types import FrameType
from unittest.mock import patch

from choose.conformance import pool
from support.commands import run_command
from support.studies import write_csv

LIMIT_SECONDS = 30.0

# Text of an exception that was meant for a programmer.
RAW = re.compile(
    r"Traceback|NoneType|object has no attribute|not supported between|AssertionError|no message"
    r"|unhashable|invalid literal|could not convert|codec can't|\[Errno|Error\(|has no len|'str'"
    r"|report this|positional argument|keyword argument|pydantic|errors\.pydantic|type=|KeyError"
)


class TooLong(BaseException):
    """The command ran past the limit of a case."""


@dataclass(frozen=True, slots=True)
class Case:
    """One malformed input.

    `names` are texts of which a refusal must contain one: the flag, key, column or file at fault.
    """

    table: str
    name: str
    arguments: tuple[str, ...]
    names: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.table}: {self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`kind` is accepted, refused or failed; `why` says what a failure violates."""

    kind: str
    why: str = ""


def prepare(folder: Path) -> Path:
    """Write what the cases start from: a labelled set, a stored study and an export of it."""
    template = folder / "template"
    template.mkdir()
    rows = [(e.text, e.target) for e in pool(seed=3, rows=36)]
    write_csv(template / "words.csv", rows)
    write_csv(template / "test.csv", [(f"{text} again", label) for text, label in rows[:12]])
    quick = ("--set", "seeds=1", "--set", "noise=0")
    with _inside(template):
        for arguments in (
            ("compare", "words.csv", "-s", "majority", *quick, "--out", "st"),
            ("export", "st", "ex", "--candidate", "majority"),
        ):
            assert run_command(*arguments).code == 0
    return template


def run(case: Case, template: Path, folder: Path) -> Outcome:
    """Run a case in a copy of the template."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    for name, content in case.files.items():
        file = os.fsencode(folder) + b"/" + os.fsencode(name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        Path(os.fsdecode(file)).write_bytes(content)
    return _outcome(case, folder)


def _outcome(case: Case, folder: Path) -> Outcome:
    """Run the command of a case and judge what it did."""
    before = _contents(folder)
    with _inside(folder):
        try:
            code, out, err = run_command(*case.arguments)
        except TooLong:
            return Outcome("failed", f"ran for more than {LIMIT_SECONDS:.0f} s")
        except BaseException:
            return Outcome("failed", traceback.format_exc())
    why = _wrong(case, code, out, err, before, _contents(folder))
    return Outcome("failed" if why else "refused" if code == 2 else "accepted", why)


def _wrong(case, code, out, err, before, after):
    changed = [name for name, content in before.items() if after.get(name) != content]
    if code != 2:  # a report of the study may be written anew
        changed = [name for name in changed if not name.startswith("st/")]
    new = sorted(after.keys() - before.keys())
    lines = err.strip("\n").split("\n")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", err + out):
        return "control characters reach the terminal"
    if changed:
        return f"changed {changed}"
    if code in (0, 3):
        return f"warned: {err[:200]}" if re.search(r"Warning\b", err) else ""
    if code != 2:
        return f"exit code {code}: {err[:200]}"
    if new:
        return f"refused ({err[:120]!r}), but wrote {new[:3]}"
    if len(lines) != 1 or not lines[0].startswith("Error: "):
        return f"not one line: {err[:300]!r}"
    if out:
        return f"refused after printing {out[:80]!r}"
    if RAW.search(err):
        return f"shows an exception: {err[:300]}"
    if case.names and not any(name in err for name in case.names):
        return f"names none of {list(case.names)[:4]}: {err[:300]}"
    return ""


def _contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {ascii(str(path.relative_to(folder)))[1:-1]: path.read_bytes() for path in files}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder, without the user's settings and with a limit of time."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHOOSE_")}
    # Beside the folder: what is cached is no output. The limits keep runs short and offline.
    settings = {
        "CHOOSE_CACHE": str(folder.parent / "cache"),
        "CHOOSE_KEEP_GB": "0",
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "100",
    }

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        with (
            chdir(folder),
            patch.dict(os.environ, {**kept, **settings}, clear=True),
            patch.object(sys, "stdin", TextIOWrapper(BytesIO())),
            # The baselines that every study gets cost seconds and read nothing from outside.
            patch("choose.study.candidates._always_compared", lambda name: False),
        ):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

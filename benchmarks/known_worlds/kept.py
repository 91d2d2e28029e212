"""Graded studies on disk, so that a long run can be stopped and go on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import choose
from choose.files import digest_rows
from known_worlds.asked_more import AskedMore
from known_worlds.grading import Choice, Grade

# World, split, and the numbers of the first study and of the one after the last.
Job = tuple[str, Any, int, int]

_CHOICES = ("meanwhile", "highest", "one_error")


def keep(path: Path, job: Job, seconds: float, grades: list[Grade]) -> None:
    """Add what a job found, as one line, with the seconds that it took."""
    found = [asdict(grade) for grade in grades]
    line = {"code": code(), "job": job, "seconds": seconds, "grades": found}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def kept(path: Path) -> dict[Job, tuple[float, list[Grade]]]:
    """Return what this very code has found before; a line that was cut short is left out."""
    return dict(_read(path)) if path.exists() else {}


@cache
def code() -> str:
    """Return a digest of everything that decides a grade, stored answers included."""
    here = Path(__file__).resolve().parents[1]
    parts = [here / name for name in ("known_worlds", "replays", "real_sets")]
    files = [f for part in (*parts, Path(choose.__file__).parent) for f in part.rglob("*.py")]
    files = sorted([*files, *(here / "real_sets" / "answers").glob("*.json")])
    return digest_rows([[file.name, file.read_text(encoding="utf-8")] for file in files])


def _read(path: Path) -> Iterator[tuple[Job, tuple[float, list[Grade]]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if found["code"] == code():
            world, split, first, last = found["job"]
            grades = [_grade(facts) for facts in found["grades"]]
            yield (world, split, first, last), (found["seconds"], grades)


def _grade(facts: dict[str, Any]) -> Grade:
    choices = {name: Choice(**facts[name]) for name in _CHOICES}
    return Grade(**{**facts, **choices, "more": AskedMore(**facts["more"])})

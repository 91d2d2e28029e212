"""Graded studies on disk, so that a long run can be stopped and go on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from choose.judge.rule import RULE
from known_worlds.asked_more import AskedMore
from known_worlds.grading import Choice, Grade

# World, split, and the numbers of the first study and of the one after the last.
Job = tuple[str, Any, int, int]

_CHOICES = ("meanwhile", "highest", "one_error")


def keep(path: Path, job: Job, grades: list[Grade]) -> None:
    """Add what a job found, as one line."""
    line = {"rule": RULE, "job": job, "grades": [asdict(grade) for grade in grades]}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def kept(path: Path) -> dict[Job, list[Grade]]:
    """Return what was found under the rule that decides now; a line cut short is left out."""
    return dict(_read(path)) if path.exists() else {}


def _read(path: Path) -> Iterator[tuple[Job, list[Grade]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if found["rule"] == RULE:
            world, split, first, last = found["job"]
            yield (world, split, first, last), [_grade(facts) for facts in found["grades"]]


def _grade(facts: dict[str, Any]) -> Grade:
    choices = {name: Choice(**facts[name]) for name in _CHOICES}
    return Grade(**{**facts, **choices, "more": AskedMore(**facts["more"])})

"""Made-up texts of any number and any number of classes, most as long as short tickets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from random import Random

from choose.types import Example, Task

# Words of a text, at least and at most, beside two that hint at its class.
SHORT, LONG = (8, 14), (85, 105)

_SYLLABLES = [c + v for c in "bcdfghklmnprstvz" for v in "aeiou"]


def task(classes: int) -> Task:
    """Return a task with so many labels."""
    labels = tuple(f"topic {number:03d}" for number in range(classes))
    return Task(labels=labels, names=labels)


def examples(
    count: int, classes: int, purpose: str, length: tuple[int, int] = SHORT
) -> list[Example]:
    """Return rows whose words hint at their class; no two of them are the same."""
    random = Random(f"{purpose}-{classes}")
    labels = task(classes).labels
    return [
        Example(
            id=f"{purpose}{n}", text=_text(n % classes, random, length), target=labels[n % classes]
        )
        for n in range(count)
    ]


def write(path: Path, rows: Sequence[Example]) -> Path:
    """Write rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows((row.text, row.target) for row in rows)
    return path


def _text(kind: int, random: Random, length: tuple[int, int]) -> str:
    # Common words are drawn often and rare ones seldom, as in any language.
    common = [
        _word(int(random.paretovariate(0.8)) % 20_000) for _ in range(random.randint(*length))
    ]
    hints = [_word(50_000 + 7 * kind + random.randrange(7)) for _ in range(2)]
    words = common + hints
    random.shuffle(words)
    return " ".join(words)


def _word(number: int) -> str:
    random = Random(number)
    return "".join(random.choice(_SYLLABLES) for _ in range(random.randint(1, 3)))

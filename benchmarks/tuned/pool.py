"""What both sides learn and are asked: 50 rows a class of TREC-6, and all of its test rows."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

PER_CLASS = 50


@dataclass(frozen=True, slots=True)
class Pool:
    """Texts with the places of their labels, to learn and to be asked."""

    labels: tuple[str, ...]
    texts: list[str]
    targets: list[int]
    asked: list[str]
    truth: list[int]


def pool(data: Path) -> Pool:
    """Draw the pool; every seed of either side learns the same rows."""
    rows, asked = _read(data / "trec6" / "train.csv"), _read(data / "trec6" / "test.csv")
    labels = tuple(sorted({label for _, label in rows}))
    random.Random("draw0").shuffle(rows)
    drawn = [row for label in labels for row in [r for r in rows if r[1] == label][:PER_CLASS]]
    return Pool(
        labels,
        [text for text, _ in drawn],
        [labels.index(label) for _, label in drawn],
        [text for text, _ in asked],
        [labels.index(label) for _, label in asked],
    )


def _read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [(row["text"], row["label"]) for row in csv.DictReader(stream)]

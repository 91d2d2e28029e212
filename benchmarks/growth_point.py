"""Measure what a fit and its predictions cost at each point of an axis: growth.py runs this.

python benchmarks/growth_point.py JOB     JOB is JSON with strategy, params and points
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

from choose.tasks.labels import Classification
from choose.types import Example, Task

# Words of a text, at least and at most, besides two that hint at its class.
SHORT, LONG = (8, 14), (85, 105)

_SYLLABLES = [c + v for c in "bcdfghklmnprstvz" for v in "aeiou"]

# Seconds of measuring after which a point needs no repetition.
ENOUGH = 2.0


def task(classes: int) -> Task:
    """Return a task with so many labels."""
    labels = tuple(f"topic {number:03d}" for number in range(classes))
    return Classification(labels=labels, names=labels)


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
    # Word frequencies follow a power law, as in any language.
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


def cost(strategy: str, params: dict[str, Any], labels: int, rows: int, classes: int) -> float:
    """Return the processor seconds of one fit on `labels` rows and of predicting `rows` others."""
    from choose.strategy import build

    built = build(strategy, seed=0, **params)
    pool = examples(labels, classes, "pool")
    asked = [row.item() for row in examples(rows, classes, "asked")]
    start = process_time()
    built.fit(task(classes), pool)
    built.predict(asked)
    return process_time() - start


def main() -> None:
    """Print the cost of each point; measure the first twice, since it warms up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", help="JSON: strategy, params, points")
    job = json.loads(parser.parse_args().job)
    os.environ.setdefault("CHOOSE_THREADS", "1")
    costs = [_alone(job, point) for point in [job["points"][0], *job["points"]]]
    print(json.dumps(costs[1:]))


def _alone(job: dict[str, Any], point: dict[str, int]) -> float:
    """Return the cost without caches: the least of three where it is short."""
    found: list[float] = []
    while len(found) < 3 and sum(found) < ENOUGH:
        if encoder := job["params"].get("encoder"):
            from choose.engines.embeddings import load_encoder

            load_encoder(encoder).vectors.clear()
        if model := job["params"].get("model"):
            from choose.engines.causal.loading import load_causal

            load_causal(model).answers.clear()
        found.append(cost(job["strategy"], job["params"], **point))
    return min(found)


if __name__ == "__main__":
    main()

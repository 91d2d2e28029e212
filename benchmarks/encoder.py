"""`probe` by the protocol of MTEB's Banking77Classification, beside the scores published there.

    python benchmarks/encoder.py --data FOLDER     ten draws of 8 rows a label, 3,080 test rows

As in mteb 2.26: rows are shuffled by `RandomState(42)`, each draw beginning where the last left
off, and the first 8 of each label train logistic regression with C = 1. The same draws with the C
that `probe` takes of itself stand beside it. all-MiniLM-L6-v2 gets 0.789 to 0.813 in the ten draws
that are published.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from choose.engines.output_cache import caching
from choose.strategy import build
from choose.tasks.labels import task_from
from choose.types import Example

HERE = Path(__file__).resolve().parent
PUBLISHED = (0.789, 0.813)
A_LABEL, DRAWS, SEED = 8, 10, 42


def draws(rows: Sequence[Example]) -> Iterator[list[Example]]:
    """Yield the training rows of each draw."""
    order = list(range(len(rows)))
    for _ in range(DRAWS):
        np.random.RandomState(SEED).shuffle(order)
        taken: Counter[str] = Counter()
        chosen = []
        for i in order:
            if taken[rows[i].target] < A_LABEL:
                taken[rows[i].target] += 1
                chosen.append(rows[i])
        yield chosen


def read(path: Path, part: str) -> list[Example]:
    """Read the rows of a file."""
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [
        Example(id=f"{part} {i}", text=row["text"], target=row["label"])
        for i, row in enumerate(found)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the accuracy of each draw; return 1 if one lies outside those published."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    folder = parser.parse_args(arguments).data / "banking77"
    train, test = (read(folder / f"{part}.csv", part) for part in ("train", "test"))
    task, items = task_from(train), [row.item() for row in test]
    outside = False
    with caching():
        for C in (1.0, None):
            right = []
            for chosen in draws(train):
                probe = build("probe", seed=0, C=C)
                probe.fit(task, chosen)
                outputs = probe.predict(items).outputs
                right.append(np.mean([o == r.target for o, r in zip(outputs, test, strict=True)]))
            low, high, mean = min(right), max(right), float(np.mean(right))
            named = f"C = {C:g}" if C else "its own C"
            print(f"probe, {named:9} mean {mean:.3f}, {low:.3f} to {high:.3f}")
            if C is not None:
                outside = not PUBLISHED[0] <= mean <= PUBLISHED[1]
                found = "MISSED" if outside else "met"
                print(
                    f"{found}: the mean lies within {PUBLISHED[0]} to {PUBLISHED[1]}, as published"
                )
    return int(outside)


if __name__ == "__main__":
    sys.exit(main())

"""What the cheap baselines reach on all of BANKING77, as the reference beside the data says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from choose.strategy import build
from choose.tasks.classification import Classification
from choose.types import Example, Item


@pytest.mark.slow(seconds=40)
@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("tfidf", 0.88), ("probe", 0.91)])
def test_cheap_baselines_of_all_rows(shared_data: Path, name: str, least: float) -> None:
    def read(part: str) -> list[tuple[str, str]]:
        path = shared_data / "banking77" / part
        with path.open(encoding="utf-8", newline="") as stream:
            return [(row["text"], row["label"]) for row in csv.DictReader(stream)]

    rows, asked = read("train.csv"), read("test.csv")
    labels = tuple(sorted({label for _, label in rows}))
    strategy = build(name, seed=0)
    strategy.fit(
        Classification(labels=labels, names=labels),
        [Example(id=f"t{i}", text=text, target=label) for i, (text, label) in enumerate(rows)],
    )
    answers = strategy.predict([Item(id=f"q{i}", text=text) for i, (text, _) in enumerate(asked)])
    right = [o == label for o, (_, label) in zip(answers.outputs, asked, strict=True)]
    assert np.mean(right) >= least

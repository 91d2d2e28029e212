"""The cheap baselines choose C and k on their own rows; what they reach on all of BANKING77."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from choose.conformance import TASK, pool
from choose.study.candidates import default_strategies
from choose.tasks.labels import Classification
from choose.types import Example, Item
from choose_strategies.baselines import NEIGHBOURS, SHARPNESS
from support.studies import TASK as SETS
from support.studies import fit_strategy, label_rows


def fitted(name: str, encoder: str, rows: list[Example], task: Any = TASK, **more: Any) -> Any:
    return fit_strategy(name, rows, task, encoder=encoder, **more)


def noisy(rows: list[Example], share: float = 0.4) -> list[Example]:
    rng = random.Random(1)
    return [replace(e, target=rng.choice(rows).target) if rng.random() < share else e for e in rows]


def test_noisy_labels_are_fitted_less_closely_and_by_more_neighbours(encoder: str) -> None:
    clean, mixed = pool(rows=150), noisy(pool(rows=150))
    assert fitted("probe", encoder, mixed).head.C < fitted("probe", encoder, clean).head.C
    assert fitted("knn", encoder, mixed).near > fitted("knn", encoder, clean).near
    assert fitted("knn", encoder, noisy(label_rows(150), 0.7), SETS).near > 5


def test_what_is_given_is_used_and_few_rows_choose_nothing(encoder: str) -> None:
    rows = noisy(pool(rows=60))
    assert fitted("knn", encoder, rows, k=3).near == 3
    assert fitted("probe", encoder, rows, C=5.0).head.C == 5.0
    assert fitted("probe", encoder, rows[:29]).head.C == 10.0, "ten rows for each of three labels"
    assert fitted("probe", encoder, label_rows(60), SETS).head.C == 10.0
    assert fitted("knn", encoder, rows[:1]).near == NEIGHBOURS[0]


def test_k_is_the_number_with_which_rows_of_other_groups_answer_most_rows(encoder: str) -> None:
    rows = [replace(e, group=f"g{n % 30}") for n, e in enumerate(noisy(pool(rows=90), 0.3))]
    knn = fitted("knn", encoder, rows)
    vectors = knn.retriever.state()[1]["vectors"]
    texts = [e.text for e in rows]
    right = dict.fromkeys(NEIGHBOURS, 0)
    for own, row in enumerate(rows):
        others = [n for n in range(90) if rows[n].group != row.group and texts[n] != row.text]
        cosines = np.round(vectors[others] @ vectors[own], 5)
        order = np.argsort(-cosines, kind="stable")
        for k in NEIGHBOURS:
            votes = dict.fromkeys(TASK.labels, 0.0)
            for place in order[:k]:
                weight = np.exp(SHARPNESS * cosines[place])
                votes[rows[others[place]].target] += weight
            right[k] += max(votes, key=lambda label: votes[label]) == row.target
    assert right[knn.near] == max(right.values())


def test_slow_ones_are_compared_on_request() -> None:
    names = {*default_strategies()}
    assert {"majority", "tfidf", "probe", "knn"} <= names
    assert not {"full-fine-tuning", "tuned-prompt"} & names


@pytest.mark.slow(seconds=40)
@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("tfidf", 0.88), ("probe", 0.91)])
def test_cheap_baselines_of_all_rows(shared_data: Path, name: str, least: float) -> None:
    rows, asked = (
        pl.read_csv(shared_data / "banking77" / part, infer_schema=False)
        for part in ("train.csv", "test.csv")
    )
    labels = tuple(sorted({*rows["label"]}))
    given = enumerate(rows.select("text", "label").iter_rows())
    examples = [Example(id=f"t{n}", text=text, target=label) for n, (text, label) in given]
    strategy = fit_strategy(name, examples, Classification(labels=labels, names=labels))
    items = [Item(id=f"q{n}", text=text) for n, text in enumerate(asked["text"])]
    assert np.mean(np.array(strategy.predict(items).outputs) == asked["label"].to_numpy()) >= least

"""The cheap baselines choose their settings in the pool, say so, and fall back in small pools."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.conformance import TASK, pool, questions
from choose.models.classical.inner_selection import TOO_SMALL, InnerFolds
from choose.models.tfidf_logistic import FLOOR
from choose.strategy import build
from choose.study.candidates import default_strategies
from choose.tasks.classification import Classification
from choose.types import Example, Item
from choose_strategies import tuned
from support import tiny_models as tiny
from support.label_sets import TASK as SETS
from support.label_sets import label_rows

CHEAP = ("tuned-tfidf", "tuned-probe", "tuned-knn")
SMALL = pool(rows=15)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.encoder(tmp_path_factory.mktemp("models") / "encoder"))


def fitted(name: str, encoder: str, rows: list[Example]) -> Any:
    params = {} if name == "tuned-tfidf" else {"encoder": encoder}
    strategy: Any = build(name, seed=0, **params)
    strategy.fit(TASK, rows)
    return strategy


def plain(name: str, encoder: str, rows: list[Example]) -> Any:
    params = {} if name == "tuned-tfidf" else {"encoder": encoder}
    strategy: Any = build(name.removeprefix("tuned-"), seed=0, **params)
    strategy.fit(TASK, rows)
    return strategy


@pytest.mark.parametrize("name", CHEAP)
def test_in_a_small_pool_the_answers_are_those_of_the_usual_settings(
    name: str, encoder: str
) -> None:
    tuned = fitted(name, encoder, SMALL)
    assert tuned.facts()["notes"] == [TOO_SMALL]
    found, usual = (s.predict(questions()) for s in (tuned, plain(name, encoder, SMALL)))
    assert np.allclose(found.scores, usual.scores, atol=1e-9)


@pytest.mark.parametrize("name", CHEAP)
def test_what_was_chosen_is_said_and_survives_saving(
    name: str, encoder: str, tmp_path: Path
) -> None:
    tuned = fitted(name, encoder, pool(rows=60))
    (note,) = tuned.facts()["notes"]
    assert "settings on 60 rows in inner folds" in note
    tuned.save(tmp_path / "saved")
    again = fitted(name, encoder, SMALL)
    again.load(tmp_path / "saved")
    assert again.facts()["notes"] == [note]
    spoiled = tmp_path / "saved" / "fitted.json"
    content = json.loads(spoiled.read_text())
    for key, value in (("note", 5), ("weighting", "none"), ("near", 0)):
        if key in content:
            spoiled.write_text(json.dumps({**content, key: value}))
            with pytest.raises(ValueError):
                again.load(tmp_path / "saved")


@pytest.mark.parametrize("name", CHEAP)
def test_settings_for_sets_of_labels_are_chosen_by_their_f1(
    name: str, encoder: str, tmp_path: Path
) -> None:
    params = {} if name == "tuned-tfidf" else {"encoder": encoder}

    def answers(name: str, rows: list[Example]) -> tuple[Any, Any]:
        strategy: Any = build(name, seed=0, **params)
        strategy.fit(SETS, rows)
        return strategy, strategy.predict([e.item() for e in label_rows(8, seed=1)])

    few = label_rows(15)
    tuned, found = answers(name, few)
    assert tuned.facts()["notes"] == [TOO_SMALL]
    assert found.outputs == answers(name.removeprefix("tuned-"), few)[1].outputs
    tuned, found = answers(name, label_rows(60))
    (note,) = tuned.facts()["notes"]
    assert "settings on 60 rows in inner folds" in note
    assert "Example F1" in note
    assert tuned.choice.low <= tuned.choice.usual <= tuned.choice.best
    tuned.save(tmp_path / "saved")
    again, _ = answers(name, few)
    again.load(tmp_path / "saved")
    asked = [e.item() for e in label_rows(8, seed=1)]
    assert again.predict(asked).outputs == found.outputs
    assert again.facts()["notes"] == [note]


def test_more_neighbours_are_asked_where_sets_are_noisy(encoder: str) -> None:
    rng, rows = random.Random(2), label_rows(90)
    mixed = [e if rng.random() > 0.5 else replace(e, target=rng.choice(rows).target) for e in rows]
    tuned: Any = build("tuned-knn", seed=0, encoder=encoder)
    tuned.fit(SETS, mixed)
    assert tuned.near > 5


def noisy(count: int) -> list[Example]:
    """Return rows of which two in five have a random label."""
    rng = random.Random(1)
    return [
        e if rng.random() > 0.4 else replace(e, target=rng.choice(TASK.labels))
        for e in pool(rows=count)
    ]


def test_noisy_labels_are_fitted_less_closely_and_the_estimate_holds() -> None:
    tuned = fitted("tuned-tfidf", "", noisy(150))
    assert tuned.head.C < 10
    others = noisy(300)[150:]
    answers = tuned.predict([e.item() for e in others])
    right = np.mean([a == e.target for a, e in zip(answers.outputs, others, strict=True)])
    assert tuned.choice.low <= right <= tuned.choice.high


def test_texts_without_a_common_term_leave_nothing_to_choose() -> None:
    blanks = [Example(id=f"b{i}", text=" " * i, target="ab"[i % 2]) for i in range(40)]
    strategy: Any = build("tuned-tfidf", seed=0)
    strategy.fit(Classification(labels=("a", "b"), names=("a", "b")), blanks)
    assert strategy.facts()["notes"] == [TOO_SMALL]
    assert len(strategy.predict([Item(id="q", text="")])) == 1


def test_votes_of_one_search_are_those_of_a_search_for_each_row() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes, fold = rng.integers(0, 3, size=40), rng.integers(0, 5, size=40)
    folds = InnerFolds(np.arange(40), fold, np.arange(40), codes, ("a", "b", "c"))
    nearest, cosines = tuned._neighbours(vectors, fold)
    for weigh in tuned.WEIGHTINGS.values():
        for k, shares in tuned._votes(folds, nearest, cosines, weigh):
            for row in range(40):
                others = np.flatnonzero(fold != fold[row])
                near = np.round(vectors[row] @ vectors[others].T, 5).astype(np.float64)
                order = np.argsort(-near, kind="stable")[:k]
                votes = np.full(3, FLOOR)
                np.add.at(votes, codes[others[order]], weigh(near[order][None])[0])
                assert np.allclose(np.exp(shares[row]), votes / votes.sum(), atol=1e-4)


def test_more_neighbours_are_asked_where_labels_are_noisy(encoder: str) -> None:
    assert fitted("tuned-knn", encoder, noisy(150)).near > 5


def test_cheap_ones_are_compared_by_default_and_slow_ones_on_request() -> None:
    names = default_strategies()
    assert set(CHEAP) <= set(names)
    slow = {"setfit", "full-fine-tuning", "tuned-lora", "tuned-retriever"}
    slow |= {"tuned-prompt", "tuned-retrieval", "tuned-rag"}
    assert not slow & set(names)

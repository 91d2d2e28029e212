"""Retrieval: the nearest rows are shown, the nearest last, and none sees itself."""

from typing import Any

import pytest

from choose.conformance import pool, questions
from choose.engines.embeddings import load_encoder
from choose.strategy import build
from choose.types import Item
from support.studies import fit_strategy


@pytest.fixture
def models(model: str, encoder: str) -> dict[str, str]:
    return {"model": model, "encoder": encoder}


def fitted(models: dict[str, str], **params: Any) -> Any:
    return fit_strategy("retrieval", **models, **params)


def test_evidence_is_nearest_first_and_what_knn_sees(models: dict[str, str]) -> None:
    evidence = fitted(models, k=4).predict(questions()).evidence
    knn = fit_strategy("knn", encoder=models["encoder"], k=4)
    assert evidence == knn.predict(questions()).evidence
    assert all(len(ids) == 4 for ids in evidence)


def test_the_nearest_stands_last(models: dict[str, str]) -> None:
    strategy = fitted(models, k=3)
    item = Item(id="q", text=pool()[5].text)
    rows = strategy._demonstrations([item])[0]
    assert rows[-1].id == pool()[5].id
    text = strategy.prompter.lm.template.tokenizer.decode(strategy.prompter._build(item, rows).rest)
    places = [text.index(row.text) for row in rows]
    assert places == sorted(places)
    assert strategy.predict([item]).evidence[0][0] == pool()[5].id


def test_a_pool_row_does_not_see_itself(models: dict[str, str]) -> None:
    rows = pool()
    answers = fitted(models, k=5).predict([row.item() for row in rows])
    for row, ids in zip(rows, answers.evidence, strict=True):
        assert row.id not in ids
        assert len(ids) == 5


@pytest.mark.parametrize("k", [0, 1, 500])
def test_any_k_is_answered(models: dict[str, str], k: int) -> None:
    answers = fitted(models, k=k).predict(questions(3))
    assert all(len(ids) == min(k, len(pool())) for ids in answers.evidence)


def test_demonstrations_of_its_own_are_not_cached(models: dict[str, str]) -> None:
    many, few = fitted(models, k=8).predict(questions()), fitted(models, k=1).predict(questions())
    assert (many.tokens_in > few.tokens_in).all()
    assert (many.tokens_cached == few.tokens_cached).all()


def test_vectors_that_were_cached_count_as_the_time_they_took(models: dict[str, str]) -> None:
    first, known = fitted(models), load_encoder(models["encoder"]).vectors
    known.update({text: (vector, 100.0) for text, (vector, _) in known.items()})
    assert fitted(models).facts()["cached_seconds"] > 100 > first.facts()["cached_seconds"]


def test_the_digest_covers_both_models(models: dict[str, str]) -> None:
    strategy: Any = build("retrieval", seed=0, **models)
    assert strategy.weights() != build("retrieval", seed=0, model=models["model"]).weights()

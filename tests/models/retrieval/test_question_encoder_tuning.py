"""The encoder of questions learns which passage answers which, and nothing stale is reused."""

from pathlib import Path

import numpy as np
import pytest

from choose.corpus import Corpus, Document
from choose.engines.embeddings import Encoder, load_encoder
from choose.errors import StrategyError
from choose.models.retrieval.passage_search import passage_index
from choose.models.retrieval.question_encoder_tuning import (
    Contrast,
    Pair,
    encoder_of,
    tune,
    untuned,
    weights_of,
)

NAMES = ("apple", "hammer", "rain", "pear", "saw", "snow", "plum", "drill")
CORPUS = Corpus(
    tuple(
        Document(id=f"d{n}", text=f"The {name} is number {n} of the list.")
        for n, name in enumerate(NAMES)
    )
)
# Questions that share no word with the passage that answers them.
ASKED = [f"which of these comes after {NAMES[n - 1]}" for n in range(len(NAMES))]
PAIRS = [Pair(text, n, frozenset([n])) for n, text in enumerate(ASKED)]


def contrast(encoder: str) -> Contrast:
    vectors = load_encoder(encoder).embed([p.shown for p in CORPUS.passages()])
    return Contrast(PAIRS, range(len(NAMES)), vectors)


def test_passages_that_hold_the_answer_too_are_no_negatives() -> None:
    pairs = [Pair("a", 7, frozenset([7, 3, 99])), Pair("b", 5, frozenset([5]))]
    right, left_out = Contrast(pairs, [3, 5, 7], np.eye(3, dtype=np.float32)).targets()
    assert right.tolist() == [2, 1]
    assert left_out.tolist() == [[True, False, False], [False, False, False]]


def test_questions_find_their_passage_after_tuning(encoder: str) -> None:
    index = passage_index(CORPUS, "dense", 100, encoder)
    model, done = untuned(encoder), list[int]()
    before = load_encoder(encoder).embed(ASKED)
    loss = tune(model, contrast(encoder), 40, 5e-3, seed=0, after=done.append)
    assert done == [*range(1, 41)]
    tuned = encoder_of(model, encoder)

    def found(index: object) -> list[str]:
        return [first.span.document for [first] in index.search(ASKED, 1)]

    wanted = [f"d{n}" for n in range(len(NAMES))]
    assert tune(untuned(encoder), contrast(encoder), 9, 5e-3, seed=0, after=lambda n: n == 1) > loss
    assert loss < 1.7 < np.log(len(NAMES))  # of a model that guesses
    assert sum(a == b for a, b in zip(found(index.asked_by(tuned)), wanted, strict=True)) >= 7
    assert sum(a == b for a, b in zip(found(index), wanted, strict=True)) <= 4
    hybrid = passage_index(CORPUS, "hybrid", 100, encoder)
    assert found(hybrid.asked_by(tuned)) != found(hybrid)
    # The shared encoder and its index are as they were.
    assert (Encoder(load_encoder(encoder).model).embed(ASKED) == before).all()


def test_the_same_seed_gives_the_same_weights_and_other_weights_another_cache(encoder: str) -> None:
    models = [untuned(encoder) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        tune(model, contrast(encoder), 2, 1e-3, seed)
    one, same, _ = map(weights_of, models)
    assert all((one[name] == same[name]).all() for name in one)
    assert not any("embed" in name for name in one)
    caches = [encoder_of(model, encoder).cache for model in [*models, untuned(encoder)]]
    keys = {cache.made_by for cache in [*caches, load_encoder(encoder).cache] if cache}
    assert caches[0] == caches[1]
    # The plain encoder's key is another one than that of a tuned one that learnt nothing.
    assert len(keys) >= 3


def test_a_rate_that_is_too_high_is_said(encoder: str, tmp_path: Path) -> None:
    broken = Contrast(PAIRS, range(8), contrast(encoder).vectors * np.float32(np.nan))
    with pytest.raises(StrategyError, match="Lower learning_rate"):
        tune(untuned(encoder), broken, 1, 1e-3, seed=0)

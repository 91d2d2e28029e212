"""Passages are found by words, by meaning and by both, and no question influences another."""

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.conformance import HOSTILE, pool
from choose.corpus import Corpus, Document
from choose.engines.embeddings import load_encoder
from choose.models.retrieval import passage_search
from choose.models.retrieval.passage_search import (
    WAYS,
    BM25Index,
    DenseIndex,
    HybridIndex,
    Library,
    PassageIndex,
    fused,
    passage_index,
    words_of,
)
from choose.progress import TimeLimitReached, time_limit
from support import tiny_models as tiny

TEXTS = [example.text for example in pool(rows=40)]
ASKED = [
    *(example.text for example in pool(seed=3, rows=8)),
    "apple apple pear",
    "zzz",
    "",
    *HOSTILE,
]


def corpus(texts: list[str], title: str = "") -> Corpus:
    return Corpus(tuple(Document(id=f"d{n}", text=t, title=title) for n, t in enumerate(texts)))


def documents(index: PassageIndex, question: str, k: int = 10) -> list[str]:
    return [passage.span.document for passage in index.search([question], k)[0]]


def by_words(texts: list[str]) -> BM25Index:
    return BM25Index(corpus(texts).passages())


def test_equal_scores_are_ordered_by_place_whatever_k_is() -> None:
    index = by_words(["same words here"] * 40 + ["same", "other"])
    whole = documents(index, "same", 99)
    assert whole == ["d40", *(f"d{n}" for n in range(40))]
    assert all(documents(index, "same", k) == whole[:k] for k in range(42))


def test_a_corpus_without_words_finds_nothing() -> None:
    assert by_words(["?", "..."]).search(["? what", ""], 2) == [[], []]
    assert BM25Index([]).search(["what"], 2) == [[]]
    assert documents(by_words(["? !", "what is it", "..."]), "WHAT", 9) == ["d1"]


def test_words_are_of_any_script() -> None:
    said = words_of("The Straße's MAX_tokens 5/½")
    assert said == ["the", "strasse", "s", "max", "tokens", "5", "1", "2"]
    assert words_of("हिन्दी में") == ["हिन्दी", "में"]  # not split at vowel signs
    assert " ".join(words_of("東京タワーの高さ x")) == "東京 京タ タワ ワー ーの の高 高さ x"
    assert words_of("人") == ["人"]
    assert words_of("ﬁne café") == ["fine", "café"]
    found = by_words(["大阪城は豊臣秀吉が築いた。", "東京タワーの高さは333メートル。"])
    assert documents(found, "東京タワーはどれくらい高いですか")[0] == "d1"


def test_bm25s_says_nothing(capfd, caplog):
    with caplog.at_level(logging.DEBUG):
        by_words(TEXTS).search(["apple", ""], 3)
    assert caplog.text == ""
    assert "".join(capfd.readouterr()) == ""


def test_vectors_find_the_passages_nearest_in_cosine(encoder: str) -> None:
    index = DenseIndex(corpus(TEXTS).passages(), encoder)
    questions = [text for text in ASKED if text.strip()]
    similar = load_encoder(encoder).embed(questions) @ load_encoder(encoder).embed(TEXTS).T
    for row, ranked in zip(similar, index.ranked(questions, 5), strict=True):
        places, scores = zip(*ranked, strict=True)
        assert scores == pytest.approx(np.sort(row)[::-1][:5], abs=2e-5)
        assert row[list(places)] == pytest.approx(scores, abs=2e-5)


def test_hybrid_adds_reciprocal_ranks(encoder: str) -> None:
    assert fused([[(7, 9.0), (3, 8.0)], [(3, 0.5), (1, 0.4)]]) == [
        (3, round(1 / 62 + 1 / 61, 12)),
        (7, round(1 / 61, 12)),
        (1, round(1 / 62, 12)),
    ]
    assert fused([[(2, 1.0)], [(1, 1.0)]]) == [(1, round(1 / 61, 12)), (2, round(1 / 61, 12))]
    passages = corpus(TEXTS).passages()
    parts = BM25Index(passages), DenseIndex(passages, encoder)
    found = HybridIndex(*parts).ranked(["apple pear"], 40)[0]
    assert found == fused([part.ranked(["apple pear"], 100)[0] for part in parts])
    assert len(found) == 40


@pytest.mark.parametrize("way", WAYS)
def test_no_question_influences_another(way: str, encoder: str) -> None:
    index = passage_index(corpus([*TEXTS, *TEXTS[:9]]), way, 50, encoder)
    together = index.search(ASKED, 7)
    order = list(range(len(ASKED)))
    random.Random(4).shuffle(order)
    shuffled = index.search([ASKED[n] for n in order], 7)
    for place, n in enumerate(order):
        [alone] = index.search([ASKED[n]], 7)
        for other in (alone, shuffled[place]):
            assert together[n] == other
    assert index.search([], 3) == []


@pytest.mark.parametrize("way", WAYS)
def test_fewer_passages_are_the_first_of_more(way: str, encoder: str) -> None:
    index = passage_index(corpus([*TEXTS, *TEXTS[:9]]), way, 50, encoder)
    whole = index.search(ASKED, 1000)
    assert all(len(hits) <= 49 for hits in whole)
    for k in (0, 1, 3, 20, 48):
        assert index.search(ASKED, k) == [hits[:k] for hits in whole]
    # A question that finds itself: the first of equal passages.
    assert documents(index, TEXTS[2], 1) == ["d2"]


@given(
    st.lists(st.text(alphabet="ab .", max_size=12), max_size=12),
    st.text(alphabet="abc ", max_size=8),
    st.integers(0, 15),
)
def test_any_corpus_can_be_searched(texts: list[str], question: str, k: int) -> None:
    index = by_words(texts)
    scores = [score for _, score in index.ranked([question], k)[0]]
    asked = set(words_of(question))
    assert len(scores) == min(k, len([p for p in index.passages if asked & set(words_of(p.text))]))
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)


def test_an_index_is_built_once_for_the_same_documents_and_settings(encoder, monkeypatch):
    monkeypatch.setattr(passage_search, "_INDEXES", type(passage_search._INDEXES)())
    texts = [f"{text} once" for text in TEXTS]  # not embedded by another test
    first = Library.opened(corpus(texts), "hybrid", 50, encoder)
    assert first.cached_seconds == 0
    again = Library.opened(corpus(texts), "hybrid", 50, encoder)
    assert isinstance(first.index, HybridIndex)
    assert isinstance(again.index, HybridIndex)
    words, meaning = first.index.parts
    assert again.index.parts == (words, meaning)
    words.seconds, meaning.seconds = 1000.0, 2000.0
    assert 2900 < Library.opened(corpus(texts), "hybrid", 50, encoder).cached_seconds < 3000
    assert passage_index(corpus(texts), "dense", 50, encoder) is meaning
    assert passage_index(corpus(texts), "bm25", 49, encoder) is not words
    assert passage_index(corpus(texts[1:]), "bm25", 50, encoder) is not words


def test_what_embedding_takes_is_forecast_alike_whatever_is_cached(encoder: str) -> None:
    texts = corpus([f"word{n} of the file" for n in range(200)])
    assert passage_search.seconds_to_embed(texts, encoder, limit=0) > 0, "from the first alone"
    before = passage_search.seconds_to_embed(texts, encoder)
    passage_index(texts, "dense", 100, encoder)
    assert passage_search.seconds_to_embed(texts, encoder) == pytest.approx(before)


def test_the_cache_of_indexes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passage_search, "_INDEXES", type(passage_search._INDEXES)())
    kept = passage_index(corpus(TEXTS), "bm25", 1, "")
    for words in range(2, 30):
        passage_index(corpus(TEXTS), "bm25", words, "")
        assert passage_index(corpus(TEXTS), "bm25", 1, "") is kept  # it was used last
    assert len(passage_search._INDEXES) == passage_search.MAX_INDEXES


def test_another_model_in_the_folder_is_another_index(tmp_path: Path) -> None:
    folder = tiny.encoder(tmp_path / "encoder")
    before = passage_index(corpus(TEXTS), "dense", 50, str(folder))
    config = folder / "config.json"
    config.write_text(config.read_text("utf-8") + "\n", encoding="utf-8")
    assert passage_index(corpus(TEXTS), "dense", 50, str(folder)) is not before


def test_indexing_and_searching_heed_a_time_limit(encoder: str) -> None:
    texts = [f"{text} {n}" for n in range(20) for text in TEXTS]
    with pytest.raises(TimeLimitReached), time_limit(0):
        by_words(texts)
    with pytest.raises(TimeLimitReached), time_limit(0):
        DenseIndex(corpus(texts).passages(), encoder)
    index = by_words(texts)
    with pytest.raises(TimeLimitReached), time_limit(0):
        index.search(TEXTS * 20, 3)

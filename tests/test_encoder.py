"""Embeddings: unit vectors, made once a text, at a cost that is remembered."""

from __future__ import annotations

import numpy as np
import pytest

import tiny
from choose.conformance import HOSTILE, pool
from choose.errors import ModelError
from choose.models.encoder import Encoder, embed, embed_seconds, load_encoder

TEXTS = [example.text for example in pool(rows=40)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.encoder(tmp_path_factory.mktemp("models") / "encoder"))


def fresh(spec: str) -> Encoder:
    return Encoder(load_encoder(spec).model)


def test_vectors_have_length_one(spec: str) -> None:
    vectors = embed(TEXTS, spec)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_company_and_order_change_nothing(spec: str) -> None:
    together = fresh(spec).embed(TEXTS)
    backwards = fresh(spec).embed(TEXTS[::-1])[::-1]
    alone = np.concatenate([fresh(spec).embed([text]) for text in TEXTS[:5]])
    assert np.abs(together - backwards).max() < 1e-5
    assert np.abs(together[:5] - alone).max() < 1e-5


def test_a_text_is_embedded_once(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = fresh(spec)
    first = encoder.embed([*TEXTS, *TEXTS])
    assert len(encoder.vectors) == len(set(TEXTS))
    monkeypatch.setattr(encoder.model, "encode", lambda *_, **__: pytest.fail("made again"))
    assert (encoder.embed(TEXTS) == first[: len(TEXTS)]).all()


def test_what_it_had_cost_is_remembered(spec: str) -> None:
    texts = [f"{text} remembered" for text in TEXTS]
    assert embed_seconds(texts, spec) == 0
    embed(texts, spec)
    whole = embed_seconds(texts, spec)
    assert whole > 0
    assert embed_seconds([*texts, *texts], spec) == pytest.approx(whole)


def test_nothing_in_nothing_out(spec: str) -> None:
    assert embed([], spec).shape == (0, 32)


def test_hostile_texts_are_embedded(spec: str) -> None:
    vectors = embed([*HOSTILE, "\ud800 alone"], spec)
    assert np.isfinite(vectors).all()


def test_an_encoder_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="is not there"):
        embed(["text"], "./no-such-encoder")

"""The figures of the data card, recomputed; `truth.csv` is read here and nowhere else."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

FOLDER = files("choose.data") / "samples" / "tickets"
QUEUES = {
    "access",
    "billing",
    "calendar",
    "data",
    "frontdesk",
    "integrations",
    "messaging",
    "mobile",
    "payouts",
}
LAUNCH = "2025-07-01"


def stated(row: str) -> float:
    """Return the first figure that the data card states in a row of its table."""
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    line = next(line for line in card.splitlines() if line.startswith(f"| {row}"))
    found = re.search(r"\d+(\.\d+)?", line.split("|")[2])
    assert found is not None
    return float(found.group())


def table(name: str) -> pl.DataFrame:
    return pl.read_csv((FOLDER / name).read_bytes(), infer_schema=False)


@pytest.fixture(scope="module")
def tickets() -> pl.DataFrame:
    return table("tickets.csv")


@pytest.fixture(scope="module")
def truth(tickets: pl.DataFrame) -> pl.DataFrame:
    return tickets.select("id").join(table("truth.csv"), on="id", maintain_order="left")


def test_about_600_dated_tickets_in_nine_queues(tickets: pl.DataFrame) -> None:
    assert tickets.columns == ["id", "text", "label", "timestamp"]
    assert 580 <= len(tickets) <= 620
    assert tickets["id"].is_unique().all()
    assert set(tickets["label"]) == QUEUES
    times = tickets["timestamp"].str.to_datetime()
    assert times.is_sorted()
    assert (times.dt.year() == 2025).all()
    assert tickets["text"].str.strip_chars().str.len_chars().min() > 0


def test_the_ninth_queue_appears_with_its_product(
    tickets: pl.DataFrame, truth: pl.DataFrame
) -> None:
    ninth = tickets.filter(truth["label"] == "frontdesk")
    assert ninth["timestamp"].min() >= LAUNCH
    assert len(ninth) >= 40


def test_one_label_in_twenty_is_wrong_half_of_them_in_the_confused_pair(
    tickets: pl.DataFrame, truth: pl.DataFrame
) -> None:
    wrong = [(a, b) for a, b in zip(truth["label"], tickets["label"], strict=True) if a != b]
    assert 0.045 <= len(wrong) / len(tickets) <= 0.055
    confused = sum({a, b} == {"billing", "payouts"} for a, b in wrong)
    assert confused == len(wrong) / 2


def test_no_run_of_five_words_is_a_template(tickets: pl.DataFrame) -> None:
    counts: Counter[tuple[str, ...]] = Counter()
    for text in tickets["text"]:
        words = re.findall(r"\w+", text.lower())
        counts.update({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    worst, times = counts.most_common(1)[0]
    assert times <= 0.01 * len(tickets), worst


def five_folds(model: object, features: object, labels: list[str]) -> float:
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(model, features, labels, cv=folds).mean())


def linear() -> object:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10, max_iter=1000)


def words() -> object:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), linear())


@pytest.mark.slow
def test_not_easy_and_not_hopeless_for_words(tickets: pl.DataFrame) -> None:
    accuracy = five_folds(words(), tickets["text"].to_list(), tickets["label"].to_list())
    assert 0.60 <= accuracy <= 0.80
    assert accuracy == pytest.approx(stated("five-fold accuracy, TF-IDF"), abs=0.01)


@pytest.mark.slow
def test_not_easy_and_not_hopeless_for_a_frozen_encoder(tickets: pl.DataFrame) -> None:
    from choose.models.embeddings import embed
    from choose.models.weights.spec import DEFAULT_ENCODER

    vectors = embed(tickets["text"].to_list(), DEFAULT_ENCODER)
    accuracy = five_folds(linear(), vectors, tickets["label"].to_list())
    assert 0.70 <= accuracy <= 0.92
    assert accuracy == pytest.approx(stated("five-fold accuracy, MiniLM"), abs=0.01)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, 0)
    assert (similar.max(axis=1) >= 0.9).mean() < 0.01


@pytest.mark.slow
def test_the_future_is_harder_than_a_random_part(tickets: pl.DataFrame) -> None:
    from choose.models.embeddings import embed
    from choose.models.weights.spec import DEFAULT_ENCODER

    vectors = embed(tickets["text"].to_list(), DEFAULT_ENCODER)
    labels = np.array(tickets["label"].to_list())
    cut = int(0.6 * len(labels))

    def accuracy(order: np.ndarray) -> float:  # type: ignore[type-arg]
        past, future = order[:cut], order[cut:]
        model = linear().fit(vectors[past], labels[past])  # type: ignore[attr-defined]
        return float(model.score(vectors[future], labels[future]))

    by_time = accuracy(np.arange(len(labels)))
    at_random = [accuracy(np.random.default_rng(s).permutation(len(labels))) for s in range(5)]
    assert by_time <= float(np.mean(at_random)) - 0.05
    assert by_time == pytest.approx(stated("the latter, trained on the first"), abs=0.015)
    assert np.mean(at_random) == pytest.approx(stated("the latter, the same sizes"), abs=0.015)


def test_no_code_but_these_tests_reads_the_truth() -> None:
    root = files("choose")
    sources = list(root.rglob("*.py"))  # type: ignore[attr-defined]
    assert sources
    assert not [p for p in sources if "truth.csv" in p.read_text(encoding="utf-8")]

"""Precision and recall of the audit on the planted errors of the sample tickets."""

from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from choose.judge.diagnosis.label_audit import audit_labels, most_doubtful
from choose.judge.diagnosis.label_noise import auditor_of
from choose.tasks.classification import Classification
from support.audited_studies import evidence

FOLDER = files("choose.data") / "samples" / "tickets"
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


def table(name):
    return pl.read_csv((FOLDER / name).read_bytes(), infer_schema=False)


@pytest.fixture(scope="module")
def tickets():
    truth = table("truth.csv").rename({"label": "truth"})
    return table("tickets.csv").join(truth, on="id", maintain_order="left")


def found_in(tickets, probabilities):
    """Return the audit and, from the most doubtful row on, whether its label was planted."""
    given, truth = tickets["label"].to_list(), tickets["truth"].to_list()
    study = evidence(given, probabilities, sorted(set(given)))
    auditor = auditor_of(study)
    wrong = {f"r{i}" for i, (a, b) in enumerate(zip(given, truth, strict=True)) if a != b}
    ranked = [auditor.ids[row] in wrong for row in most_doubtful(auditor)]
    return audit_labels(study), np.array(ranked), len(wrong)


def words_and_characters(tickets):
    def answers(**settings):
        model = make_pipeline(
            TfidfVectorizer(sublinear_tf=True, min_df=2, **settings),
            LogisticRegression(C=10, max_iter=300, tol=1e-3),
        )
        texts, labels = tickets["text"].to_list(), tickets["label"].to_list()
        return cross_val_predict(model, texts, labels, cv=FOLDS, method="predict_proba")

    return {
        "words": answers(ngram_range=(1, 2)),
        "characters": answers(analyzer="char_wb", ngram_range=(3, 4)),
    }


@pytest.mark.slow
def test_words_alone_find_most_planted_errors(tickets):
    _, hits, planted = found_in(tickets, words_and_characters(tickets))
    assert planted == 30
    assert hits[:30].mean() >= 0.55
    assert hits[:60].sum() / planted >= 0.75


@pytest.fixture(scope="module")
def answered(tickets):
    """What `choose demo` audits with: the strategies themselves, in five folds."""
    from choose.strategy import build
    from choose.types import Example, Item

    texts, given = tickets["text"].to_list(), tickets["label"].to_list()
    labels = tuple(sorted(set(given)))
    task = Classification(labels=labels, names=labels)
    scores = {n: np.zeros((len(texts), len(labels))) for n in ("tfidf", "probe", "knn")}
    for pool, asked in FOLDS.split(texts, given):
        examples = [Example(id=str(i), text=texts[i], target=given[i]) for i in pool]
        items = [Item(id=str(i), text=texts[i]) for i in asked]
        for name, table in scores.items():
            strategy = build(name, seed=0)
            strategy.fit(task, examples)
            table[asked] = np.exp(strategy.predict(items).scores)
    return scores


@pytest.mark.slow(seconds=13)
def test_the_default_candidates_find_the_planted_errors(tickets, answered):
    found, hits, planted = found_in(tickets, answered)
    assert hits[:10].all()
    assert hits[: found.suspected].mean() >= 0.7
    assert hits[:30].mean() >= 0.7
    assert hits[:60].sum() / planted >= 0.9
    assert found.noise.low <= planted / tickets.height <= found.noise.high
    assert {found.overlaps[0].a, found.overlaps[0].b} == {"billing", "payouts"}

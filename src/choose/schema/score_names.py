"""Metrics by what is answered, and what a score is called."""

from __future__ import annotations

# Metrics of answers that are labels.
LABEL_METRICS = ("accuracy", "balanced", "cost")

# Usual metrics of answers that are sets of labels.
SET_METRICS = ("example-f1", "exact-set")

# Usual metrics of rankings of documents.
RANKING_METRICS = ("ndcg@10", "mrr@10", "hit@1", "hit@5", "recall@10")

# What a score is called, by the study's metric.
NAMES = {
    "accuracy": "accuracy",
    "balanced": "balanced accuracy",
    "cost": "score by cost of errors",
    "field-f1": "field F1",
    "example-f1": "example F1",
    "exact-set": "exact set",
    "exact-record": "exact match",
    "chrf": "chrF",
    "rouge-l": "ROUGE-L",
    "token-f1": "token F1",
    "exact-match": "exact match",
    "value-match": "same text, number or date",
    "judge": "model that rates",
    "ndcg@10": "nDCG@10",
    "mrr@10": "MRR@10",
}


def name_of(metric: str) -> str:
    """Return what a score is called in a sentence."""
    return NAMES.get(metric, metric)

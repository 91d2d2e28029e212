"""Confident learning: which labels an auditor is sure are others (Northcutt et al. 2021, JAIR)."""

from __future__ import annotations

import numpy as np

from choose.judge.metrics import Codes
from choose.types import Floats

# What no row is counted as.
NONE = -1


def counted_as(targets: Codes, probabilities: Floats) -> Codes:
    """Return (n,) the label that each row is confidently counted as, `NONE` where there is none.

    A row counts as the likeliest of the labels whose probability reaches their threshold: the mean
    probability of the label over the rows that carry it.

    Args:
        targets: (n,) codes of the labels as given.
        probabilities: (n, labels), out of fold.
    """
    labels = probabilities.shape[1]
    given = probabilities[np.arange(len(targets)), targets]
    support = np.bincount(targets, minlength=labels)
    threshold = np.where(
        support > 0,
        np.bincount(targets, given, minlength=labels) / np.maximum(support, 1),
        np.inf,
    )
    reached = probabilities >= threshold
    likeliest = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), likeliest, NONE)


def joint(targets: Codes, counted: Codes, labels: int) -> Floats:
    """Return (labels, labels) the estimated joint distribution of given and true labels.

    The rows' shares of the confident counts, scaled to how often each label is given; at least one
    row of each label is taken to be right.
    """
    sure = counted != NONE
    counts = np.zeros((labels, labels))
    np.add.at(counts, (targets[sure], counted[sure]), 1.0)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1.0))
    support = np.bincount(targets, minlength=labels)
    scaled: Floats = counts / counts.sum(axis=1, keepdims=True) * support[:, None] / len(targets)
    return scaled


def wrong_share(found: Floats) -> float:
    """Return the share of wrong labels in a joint distribution; mistakes of the auditor count."""
    return float(1.0 - np.trace(found))


def log_odds(targets: Codes, probabilities: Floats) -> Floats:
    """Return (n,) how much likelier the best other label is than the given one, in logarithms.

    A thousandth is added on both sides, since a probability of nearly 0 is never that sure.
    """
    rows = np.arange(len(targets))
    others = probabilities.copy()
    others[rows, targets] = 0.0
    odds: Floats = np.log((others.max(axis=1) + 1e-3) / (probabilities[rows, targets] + 1e-3))
    return odds

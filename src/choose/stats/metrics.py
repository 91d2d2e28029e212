"""Metrics over labels coded as integers: macro-F1, precision and recall."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from choose.types import Floats

Codes = npt.NDArray[np.int64]

# A row whose answer was unusable: wrong whatever its label.
UNUSABLE = -1


class PerLabel(NamedTuple):
    """(labels,) precision, recall (NaN where undefined) and support of each label."""

    precision: Floats
    recall: Floats
    support: Codes


def confusion(targets: Codes, outputs: Codes, labels: int) -> Codes:
    """Return (labels, labels + 1) counts, targets by outputs; unusable outputs come last."""
    column = np.where(outputs == UNUSABLE, labels, outputs)
    flat = np.bincount(targets * (labels + 1) + column, minlength=labels * (labels + 1))
    return flat.reshape(labels, labels + 1)


def per_label(targets: Codes, outputs: Codes, labels: int) -> PerLabel:
    counts = confusion(targets, outputs, labels)
    right = counts.diagonal().astype(np.float64)
    predicted, support = counts[:, :labels].sum(axis=0), counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return PerLabel(right / predicted, right / support, support)


def macro_f1(targets: Codes, outputs: Codes, labels: int) -> float:
    """Return the mean F1 of the labels that occur among the targets.

    One that occurs and is never answered has an F1 of 0; answering one that does not occur costs
    recall elsewhere.
    """
    counts = confusion(targets, outputs, labels)
    support, predicted = counts.sum(axis=1), counts[:, :labels].sum(axis=0)
    occurs = support > 0
    return float((2.0 * counts.diagonal()[occurs] / (support + predicted)[occurs]).mean())

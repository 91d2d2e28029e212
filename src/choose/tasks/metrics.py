"""The metrics: `metrics.csv` lists them, for the commands, the judge, reports and docs alike.

To add one, write its line there. Of labels, say in `WEIGHTS` how it weighs the rows; of other
answers, give its score in `own_scores` of the kind's class, such as `Writing`.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from choose.types import Codes, Floats

LABELS, RANKING, SCORES = "classification", "ranking", "scores"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a study decides by: the mean over rows of a score from 0 to 1; more is better.

    Attributes:
        key: how commands, study files and records name it.
        kind: the kind of task that it is for; empty for a function of the user's.
        name: how reports name it.
        unit: what it is a percentage of, as in "79 % right"; empty where it is shown as
            "chrF 0.31".
        help: what it is, after "The score is NAME: "; empty where the name says it.
        weigh: of `WEIGHTS`.
    """

    key: str
    name: str
    kind: str = ""
    unit: str = ""
    help: str = ""
    weigh: Callable[[Codes], Floats | None] | None = None

    @property
    def by_rows(self) -> bool:
        """Return whether it is the share of rows whose label is right."""
        return self.kind == LABELS and self.weigh is None

    @property
    def by_label(self) -> bool:
        """Return whether every label counts the same: what a constant answer scores is known."""
        return self.weigh is evened


def evened(targets: Codes) -> Floats | None:
    """Return (n,) weights that balance the labels; None if they are balanced already.

    Intervals treat the weights as fixed, so part of the variance between labels counts as chance.
    """
    totals = np.bincount(targets).astype(np.float64)
    occurs = totals[totals > 0]
    if np.allclose(occurs, occurs[0]):
        return None
    balanced: Floats = 1.0 / totals[targets] * len(targets) / len(occurs)
    return balanced


# By key: of metrics of labels, a function that gives the (n,) weights of n rows from the codes of
# their labels, or None if these weigh the same. It is called anew for each subset of the rows.
WEIGHTS = {"balanced": evened}

_TABLE = (files("choose.tasks") / "metrics.csv").read_text("utf-8").splitlines()

# By key; the first of a kind is its default.
METRICS: Mapping[str, Metric] = {
    row["key"]: Metric(**row, weigh=WEIGHTS.get(row["key"])) for row in csv.DictReader(_TABLE)
}

# What a study decides by where it states nothing; for answers that are no labels, the default of
# their kind. And what it is advised to decide by where some labels are rare.
DEFAULT, FOR_RARE_LABELS = "accuracy", "balanced"


def metrics_of(kind: str) -> tuple[str, ...]:
    """Return the keys of the metrics of a kind of task, the default first."""
    return tuple(metric.key for metric in METRICS.values() if metric.kind == kind)


def metric_of(key: str) -> Metric:
    """Return a metric of the list, or a user's own."""
    return METRICS.get(key) or Metric(key=key, name=key)


# Figures by label, over labels coded as integers.

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

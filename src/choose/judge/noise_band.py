"""Between which shares the rate of wrong labels lies, or why nobody can say.

An auditor contradicts a label because one of the two is wrong, so the contradictions bound the
wrong labels from above; only wrong labels that it has learnt itself escape. From below it is the
auditor's confident half that tells: of its own mistakes, few stand there. Simulated and on real
sets with planted errors (tests/test_audit.py), an auditor that gets 85 of 100 right errs at most
a quarter as often there as overall; weaker ones do not keep to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from choose.judge.auditor import Auditor
from choose.judge.intervals import wilson
from choose.judge.words import of_100

# Below this accuracy, confident learning takes the auditor's mistakes for the labels'.
ACCURATE = 0.85

# Below this accuracy on the labels as given, none of the auditor's confidence is believed.
PLAIN = 0.70

# An accurate auditor's error rate on its confident half, of its error rate on all rows.
HALF = 0.25

ASSUMPTION = (
    "The low end takes wrong labels to be no rarer on hard rows than on easy ones; rows that read "
    "like another label count as wrong. The high end misses wrong labels that follow a rule which "
    "the auditor learnt."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The rate of wrong labels: bounds, the middle they are drawn around, and net accuracy.

    `units` is the number of clusters, which is what the intervals count.
    """

    low: float
    high: float
    middle: float
    net_accuracy: float
    units: int


def bounds(auditor: Auditor, clusters: Sequence[str]) -> Bounds:
    """Return bounds on the rate of wrong labels from one auditor's contradictions.

    With D the share of contradictions, d that on the confident half and q = `HALF`, evenly spread
    wrong labels e and own mistakes m satisfy D = e + m and d = e + q m, so that
    e = d - (D - d) q / (1 - q).
    """
    wrong = auditor.contradicts
    top = auditor.probabilities.max(axis=1)
    half = np.argsort(-top, kind="stable")[: max(len(top) // 2, 1)]
    everywhere, confident = float(wrong.mean()), float(wrong[half].mean())
    own = max(everywhere - confident, 0.0) * HALF / (1 - HALF)
    middle = max(confident - own, 0.0)
    units, inside = len(set(clusters)), len({clusters[i] for i in half.tolist()})
    sure, _ = wilson(confident * inside, inside)
    _, high = wilson(everywhere * units, units)
    net = min((1 - everywhere) / max(1 - middle, 1e-9), 1.0)
    return Bounds(max(sure - own, 0.0), high, middle, net, units)


def refusal(auditor: Auditor, found: Bounds) -> str | None:
    """Say why there is no estimate, or None where there is one.

    The limit is on accuracy net of the confident contradictions, since wrong labels themselves
    pull down the accuracy on labels as given: with 15 % of them no auditor could reach it.
    """
    if auditor.accuracy >= PLAIN and found.net_accuracy >= ACCURATE:
        return None
    return (
        f"The best out-of-fold answers get {of_100(auditor.accuracy)} labels right as given, and "
        f"{of_100(found.net_accuracy)} at best if their confident contradictions are wrong labels. "
        f"Under {of_100(ACCURATE)} their own mistakes cannot be told from the labels'."
    )

"""The auditor of the labels, confident learning, and bounds on the share of wrong labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from choose.judge.evidence import Evidence
from choose.judge.scores.out_of_fold import OutOfFold, out_of_fold
from choose.judge.stats.intervals import wilson
from choose.judge.stats.metrics import Codes
from choose.judge.stats.two_way import Mask
from choose.schema.diagnosis import WeakAuditor
from choose.types import Floats

# What no row is counted as.
NONE = -1

# Nothing is said of wrong labels, neither a list nor a share, below this `skill` of the auditor.
# Of what it gains where confident contradictions count as wrong labels, a part is credited, and
# `MOST_CREDIT` at most: its own mistakes are among them, and an auditor at chance has nothing else.
# Chosen and measured by benchmarks/label_audit.py, on different sets.
SKILLED = 0.735
CREDITED = 0.8
MOST_CREDIT = 0.25

# No doubt on a label of which the auditor confirms fewer rows, at the lower bound.
CONFIRMS = 0.4

# An accurate auditor's error rate on its confident half, of its error rate on all rows.
HALF = 0.25


@dataclass(frozen=True)
class Auditor:
    """Out-of-fold probabilities of one candidate, or the average of several.

    Attributes:
        names: the candidates that are averaged, the best first.
        ids: (n,) the rows.
        targets: (n,) codes of their labels as given.
        probabilities: (n, labels).
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    targets: Codes
    probabilities: Floats

    @cached_property
    def outputs(self) -> Codes:
        """Return (n,) codes of the likeliest labels; a tie with the given label goes to it."""
        outputs: Codes = self.probabilities.argmax(axis=1)
        tied = self.given >= self.probabilities.max(axis=1)
        return np.where(tied, self.targets, outputs)

    @cached_property
    def given(self) -> Floats:
        """Return (n,) the probability of the label as given."""
        return self.probabilities[np.arange(len(self.targets)), self.targets]

    @property
    def contradicts(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return (n,) whether another label is likelier than the given one."""
        return np.asarray(self.outputs != self.targets, dtype=np.bool_)

    @property
    def accuracy(self) -> float:
        """Return the share of labels that it answers as given."""
        return float(1 - self.contradicts.mean())


def auditor_of(evidence: Evidence) -> Auditor | None:
    """Return the best auditor among the cheap candidates with scores, or None without one.

    Starting from the most accurate, candidates are averaged in as long as the average becomes
    more accurate out of fold (greedy ensemble selection, Caruana et al. 2004). Averages of unlike
    candidates rank planted errors better than the best of them, and weak ones are not let in.
    """
    auditors = [
        (info.name, answers)
        for info in evidence.candidates
        # A constant candidate can only blur an average.
        if info.cheap
        and not info.constant
        # A teacher's mistakes would be taken for those of the labels.
        and not info.taught
        and (answers := out_of_fold(evidence, info.name))
        and answers.scores is not None
    ]
    most = max((len(answers.ids) for _, answers in auditors), default=0)
    rest = [_alone(name, answers) for name, answers in auditors if len(answers.ids) == most]
    if not most:
        return None
    rest.sort(key=lambda auditor: -auditor.accuracy)
    best = rest.pop(0)
    while tried := [_joined(best, other) for other in rest if set(other.ids) == set(best.ids)]:
        better = max(tried, key=lambda auditor: auditor.accuracy)
        if better.accuracy <= best.accuracy:
            break
        best = better
        rest = [other for other in rest if other.names[0] not in best.names]
    return best


def _alone(name: str, answers: OutOfFold) -> Auditor:
    order = np.argsort(answers.ids, kind="stable")
    assert answers.scores is not None
    return Auditor(
        (name,),
        tuple(answers.ids[i] for i in order.tolist()),
        answers.targets[order],
        answers.scores[order],
    )


def _joined(a: Auditor, b: Auditor) -> Auditor:
    count = len(a.names)
    mean = (count * a.probabilities + b.probabilities) / (count + 1)
    return Auditor((*a.names, *b.names), a.ids, a.targets, mean)


def confident_labels(targets: Codes, probabilities: Floats) -> Codes:
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
        support > 0, np.bincount(targets, given, minlength=labels) / np.maximum(support, 1), np.inf
    )
    reached = probabilities >= threshold
    likeliest = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), likeliest, NONE)


def joint_distribution(targets: Codes, counted: Codes, labels: int) -> Floats:
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


def wrong_share(joint: Floats) -> float:
    """Return the share of wrong labels in a joint distribution; mistakes of the auditor count."""
    return float(1.0 - np.trace(joint))


def log_odds(targets: Codes, probabilities: Floats) -> Floats:
    """Return (n,) how much likelier the best other label is than the given one, in logarithms.

    A thousandth is added on both sides, since a probability of nearly 0 is never that sure.
    """
    rows = np.arange(len(targets))
    others = probabilities.copy()
    others[rows, targets] = 0.0
    odds: Floats = np.log((others.max(axis=1) + 1e-3) / (probabilities[rows, targets] + 1e-3))
    return odds


@dataclass(frozen=True, slots=True)
class NoiseBounds:
    """The rate of wrong labels: bounds, the middle they are drawn around, and net accuracy.

    `units` is the number of clusters, which is what the intervals count. `shown` is the most wrong
    labels that the confident half speaks for, as a share of all rows.
    """

    low: float
    high: float
    middle: float
    shown: float
    net_accuracy: float
    units: int


def noise_bounds(auditor: Auditor, clusters: Sequence[str]) -> NoiseBounds:
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
    sure, most = wilson(confident * inside, inside)
    _, high = wilson(everywhere * units, units)
    net = min((1 - everywhere) / max(1 - middle, 1e-9), 1.0)
    return NoiseBounds(max(sure - own, 0.0), high, middle, max(most - own, 0.0), net, units)


def chance_of(auditor: Auditor) -> float:
    """Return the accuracy of an auditor that learned nothing.

    It is the share of the most common label, or the agreement of answers dealt to other rows
    (Cohen 1960) where that is higher.
    """
    labels, rows = auditor.probabilities.shape[1], len(auditor.targets)
    given = np.bincount(auditor.targets, minlength=labels) / rows
    answered = np.bincount(auditor.outputs, minlength=labels) / rows
    return max(float(given.max()), float(given @ answered))


def skill(auditor: Auditor, bounds: NoiseBounds) -> float:
    """Return how far the auditor is from chance (0) to perfect (1), at its lower bound.

    Most of its confident contradictions count as right (`CREDITED`), since wrong labels themselves
    pull down the accuracy on labels as given: with 15 % of them no auditor gets above 85 %.
    """
    chance, units = chance_of(auditor), bounds.units
    if chance >= 1:
        return 0.0
    given, net = (
        (wilson(accuracy * units, units)[0] - chance) / (1 - chance)
        for accuracy in (auditor.accuracy, bounds.net_accuracy)
    )
    return given + min(CREDITED * (net - given), MOST_CREDIT)


def confirmed_labels(auditor: Auditor) -> Mask:
    """Return (labels,) whether the auditor confirms enough of a label's rows to doubt others.

    Without this, a weak auditor of a rare label doubts every row that has it.
    """
    labels = auditor.probabilities.shape[1]
    rows = np.bincount(auditor.targets, minlength=labels)
    right = np.bincount(auditor.targets[~auditor.contradicts], minlength=labels)
    return np.array(
        [n > 0 and wilson(k, n)[0] >= CONFIRMS for k, n in zip(right, rows, strict=True)],
        dtype=np.bool_,
    )


def weakness(auditor: Auditor, bounds: NoiseBounds) -> WeakAuditor | None:
    """Return how far too weak an auditor is to tell wrong labels; None where it is not."""
    found, chance = skill(auditor, bounds), chance_of(auditor)
    if found >= SKILLED:
        return None
    least, needed = (chance + max(part, 0.0) * (1 - chance) for part in (found, SKILLED))
    return WeakAuditor(least=least, by_chance=chance, needed=needed)

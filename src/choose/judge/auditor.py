"""Whose out-of-fold answers the labels are held against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from choose.judge.evidence import Evidence
from choose.judge.metrics import Codes
from choose.judge.unseen import Unseen, unseen
from choose.types import Floats


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
    found = [
        (info.name, answers)
        for info in evidence.candidates
        # Who learns nothing from a text can only blur an average.
        if info.cheap
        and info.strategy != "majority"
        and (answers := unseen(evidence, info.name))
        and answers.scores is not None
    ]
    most = max((len(answers.ids) for _, answers in found), default=0)
    rest = [_alone(name, answers) for name, answers in found if len(answers.ids) == most]
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


def _alone(name: str, answers: Unseen) -> Auditor:
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

"""Sets of labels: one logistic regression a label, thresholds, and the set of the best F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.models.classical.tfidf_logistic import Weights, fastest_space, minimise
from choose.tasks.multilabel import read_set, set_text
from choose.types import Answers, Floats

Members = npt.NDArray[np.bool_]

# Parts of a pool for the probabilities on which thresholds are chosen.
PARTS = 3

# A label's own threshold counts against the common one as its rows against so many.
COMMON_ROWS = 10.0

# Thresholds that are tried for all labels together.
TRIED = 40

# Probabilities of the largest confidence that a threshold can ask for.
EDGE = 1e-6


def members_of(choices: Sequence[str], targets: Sequence[str]) -> Members:
    """Return (n, labels) which labels each set holds."""
    place = {label: number for number, label in enumerate(choices)}
    found = np.zeros((len(targets), len(choices)), dtype=np.bool_)
    for row, target in enumerate(targets):
        found[row, [place[label] for label in read_set(target)]] = True
    return found


def set_answers(
    choices: Sequence[str], chosen: Members, chances: Floats | None = None, **facts: Any
) -> Answers:
    """Return (n, labels) chosen labels as answers.

    With (n, labels) `chances`, the confidence is that every label is right, as if independent.
    """
    outputs = tuple(set_text(choices[i] for i in np.flatnonzero(row).tolist()) for row in chosen)
    if chances is not None:
        sure = np.where(chosen, chances, 1 - chances).clip(EDGE, 1.0)
        facts["confidence"] = np.exp(np.log(sure).sum(axis=1))
    return Answers(outputs=outputs, status=tuple("ok" for _ in outputs), **facts)


def example_f1s(chosen: Members, members: Members) -> Floats:
    """Return (n,) example-F1; 1 where both sets are empty."""
    total = chosen.sum(axis=1) + members.sum(axis=1)
    both = 2.0 * (chosen & members).sum(axis=1)
    scores: Floats = np.divide(both, total, out=np.ones(len(total)), where=total > 0)
    return scores


def best_set(members: Members, weights: Floats) -> Members:
    """Return (labels,) the set with the highest mean example-F1 against weighted sets."""
    chosen: Members = best_sets(members[None], weights[None])[0]
    return chosen


def best_sets(members: Members, weights: Floats) -> Members:
    """Return (n, labels) the set with the highest mean example-F1 against (n, k) weighted sets.

    The mean of a set of k labels is a sum over its labels, so for each k the best set is that of
    the k largest terms (Dembczynski, Waegeman, Cheng and Huellermeier 2011). Among equal sets it
    is the smallest, and among equal labels the first.
    """
    sizes, held = members.sum(axis=2), members.astype(np.float64)
    best = (weights * (sizes == 0)).sum(axis=1)
    chosen = np.zeros((len(members), members.shape[2]), dtype=np.bool_)
    for size in range(1, int(members.any(axis=1).sum(axis=1).max(initial=0)) + 1):
        shares = 2 * weights / (size + sizes)
        if ((shares * sizes).sum(axis=1) <= best).all():
            break  # no set of so many labels can be better, nor a larger one
        terms = (shares[:, None, :] @ held)[:, 0]
        order = np.argsort(-np.round(terms, 12), axis=1, kind="stable")[:, :size]
        means = np.take_along_axis(terms, order, axis=1).sum(axis=1)
        better = np.flatnonzero(means > best + 1e-12)
        best[better], chosen[better] = means[better], False
        chosen[better[:, None], order[better]] = True
    return chosen


class Thresholds:
    """The probability from which on each label is in a set.

    Attributes:
        least: (labels,).
        never_empty: whether a set has its likeliest label at least, as all sets of the pool have.
    """

    def __init__(self, least: Floats, never_empty: bool) -> None:
        self.least, self.never_empty = least, never_empty

    def __call__(self, chances: Floats) -> Members:
        """Return (n, labels) the labels of each set."""
        chosen: Members = chances >= self.least
        if self.never_empty and chances.shape[1]:
            empty = np.flatnonzero(~chosen.any(axis=1))
            likeliest = (chances[empty] / self.least).argmax(axis=1)
            chosen[empty, likeliest] = True
        return chosen

    @classmethod
    def chosen(cls, chances: Floats, members: Members) -> Thresholds:
        """Choose them on (n, labels) probabilities of rows that these were not learnt from.

        The common threshold has the best mean example-F1. Each label's own has its best F1, and
        is drawn towards the common one where the label has few rows.
        """
        never_empty = bool(len(members)) and bool(members.any(axis=1).all())
        if not members.any():
            return cls(np.full(members.shape[1], 0.5), never_empty)
        tried = np.unique(np.quantile(chances, 1 - np.geomspace(0.5 / chances.size, 0.5, TRIED)))
        tried = tried.clip(EDGE, 1 - EDGE)
        scores = [
            example_f1s(cls(np.full(members.shape[1], t), never_empty)(chances), members).mean()
            for t in tried
        ]
        common = _logit(tried[int(np.argmax(scores))])
        rows = members.sum(axis=0)
        own = np.array([_best_cut(chances[:, i], members[:, i]) for i in range(len(rows))])
        mixed = (rows * _logit(own) + COMMON_ROWS * common) / (rows + COMMON_ROWS)
        return cls(1 / (1 + np.exp(-mixed)), never_empty)


def _logit(chance: Any) -> Any:
    clipped = np.clip(chance, EDGE, 1 - EDGE)
    return np.log(clipped / (1 - clipped))


def _best_cut(chances: Floats, members: Members) -> float:
    """Return the threshold with the best F1 of one label; 0.5 for a label without rows."""
    if not members.any():
        return 0.5
    order = np.argsort(-chances, kind="stable")
    ranked, right = chances[order], np.cumsum(members[order])
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + members.sum())
    below = np.append(ranked[1:], 0.0)
    f1[ranked == below] = 0.0  # no threshold separates equal chances
    best = int(np.argmax(f1))
    return float((ranked[best] + below[best]) / 2)


class SetHead:
    """One logistic regression a label, each against the rest, with thresholds chosen on the pool.

    Attributes:
        thresholds: chosen on probabilities of rows that were left out of a fit.
    """

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, features: Any, members: Members) -> None:
        """Learn from (n, d) features, dense or sparse, and (n, labels) members."""
        space = fastest_space(features, members.shape[1])
        rows = space(features) if space else features
        parts = np.arange(len(members)) % PARTS
        chances = np.zeros(members.shape)
        for part in range(min(PARTS, len(members))):
            own = parts == part
            weights = _fitted(rows[~own], members[~own], self.C)
            chances[own] = _chances(rows[own], weights)
        self.thresholds = Thresholds.chosen(chances, members)
        weights = _fitted(rows, members, self.C)
        coefficients = weights[:-1].T.astype(np.float64)
        self.weights: Floats = space.unfold(coefficients) if space else coefficients
        self.bias: Floats = weights[-1].astype(np.float64)

    def probabilities(self, features: Any) -> Floats:
        """Return (n, labels) probabilities."""
        return _sigmoid(np.asarray(features @ self.weights.T) + self.bias)

    def answers(self, choices: Sequence[str], features: Any, **facts: Any) -> Answers:
        """Return the set of each row."""
        chances = self.probabilities(features)
        return set_answers(choices, self.thresholds(chances), chances, **facts)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return facts, and weights in the space of the features; no row of the pool."""
        arrays = {"weights": self.weights, "bias": self.bias, "least": self.thresholds.least}
        return {"C": self.C, "never_empty": self.thresholds.never_empty}, arrays

    @classmethod
    def restored(
        cls, facts: Mapping[str, Any], arrays: Mapping[str, Any], labels: int, features: int = -1
    ) -> SetHead:
        """Rebuild a head from what `state` returned.

        Raises:
            ValueError: if the arrays do not fit the labels.
        """
        from choose.models.saving import floats

        head = cls(float(facts["C"]))
        head.weights = floats(arrays, "weights", labels, features)
        head.bias = floats(arrays, "bias", labels)
        least = floats(arrays, "least", labels)
        head.thresholds = Thresholds(least, bool(facts["never_empty"]))
        return head


def _sigmoid(logits: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return found


def _chances(rows: Any, weights: Weights) -> Floats:
    logits = np.asarray(rows @ weights[:-1]) + weights[-1]
    return _sigmoid(logits.astype(np.float64))


def _fitted(rows: Any, members: Members, C: float) -> Weights:
    """Return (d + 1, labels) weights, the intercepts last, as scikit-learn would fit each label."""
    return minimise(_EachLabel(rows, members, 1 / (C * max(1, len(members)))))


class _EachLabel:
    """The sum over labels of the mean log loss with an L2 penalty on the weights."""

    def __init__(self, features: Any, members: Members, penalty: float) -> None:
        self.rows, self.members = features.astype(np.float32), members.astype(np.float32)
        self.shape, self.penalty = (features.shape[1] + 1, members.shape[1]), penalty

    def __call__(self, weights: Weights) -> tuple[float, Weights]:
        """Return the loss and its gradient."""
        logits = np.asarray(self.rows @ weights[:-1]) + weights[-1]
        count = max(1, len(self.members))
        losses = np.logaddexp(0, logits).sum(dtype=np.float64)
        losses -= np.vdot(logits, self.members)
        wrong = (1 / (1 + np.exp(-np.clip(logits, -80, 80))) - self.members) / count
        gradient = weights * np.float32(self.penalty)
        gradient[-1] = 0
        gradient[:-1] += np.asarray(self.rows.T @ wrong)
        gradient[-1] += wrong.sum(axis=0)
        squares = float(np.vdot(weights[:-1], weights[:-1]))
        return float(losses) / count + 0.5 * self.penalty * squares, gradient

"""Classify errors, and estimate which of them training can fix, before any fine-tuning.

Each out-of-fold error of the best prompted or retrieving candidate gets the first of these kinds
that fits: ``format`` (no usable answer), ``suspect label`` (the audit doubts the label and two of
three jurors agree on another one), ``ambiguous`` (two of three criteria: retrieved labels disagree,
jurors split between label and answer, the two labels overlap; or the text has two labels),
``not covered`` (nothing retrieved has the label), ``learnable`` (a candidate that learns from the
labels is right in most of its runs), ``unknown``. A learnable error often meets one criterion of
ambiguity, so two are required.

Being right is what makes an error learnable, not a stated probability: with 77 labels a linear
probe states less than one half for nearly every right answer. Chance is taken out in `fixable`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from choose.judge.decision.contenders import Contenders, best_of
from choose.judge.diagnosis import error_sample as error_signs
from choose.judge.diagnosis.error_sample import (
    ErrorSample,
    agreed_otherwise,
    error_sample,
    jurors_split,
    labels_overlap,
    neighbours_mixed,
    right_in,
    rows_with_ids,
)
from choose.judge.evidence import Evidence, row_set
from choose.judge.scores.score_tables import ARTEFACT
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval, wilson
from choose.judge.stats.metrics import UNUSABLE
from choose.judge.stats.two_way import Mask
from choose.schema.base import Interval
from choose.schema.diagnosis import ErrorClass, Failures, GainForecast
from choose.types import Floats

KINDS = ("format", "suspect label", "ambiguous", "not covered", "learnable", "unknown")

# Kinds that no amount of training data mends.
BEYOND = KINDS[:3]


class Fixable(NamedTuple):
    """The share of errors that training fixes, and the gain in accuracy from fixing them.

    `chance` counts the fixes that answers dealt at random would make. `again` is the share of the
    fixes that other runs of the subject make themselves, None without such runs.
    """

    share: Interval
    gain: Interval
    chance: float
    again: float | None


def fixable(
    sample: ErrorSample, open_: Mask, unproved: Mask, clusters: Sequence[str] | None
) -> Fixable | None:
    """Estimate from the supervised candidate what training can fix; None without one.

    Args:
        sample: the rows and the answers.
        open_: (n,) errors that are neither format nor the labels' fault.
        unproved: (n,) errors among them that more data might fix though nothing shows it; they
            count in the upper ends alone.
        clusters: a name per row; rows of one cluster are dependent.
    """
    if sample.supervised is None or sample.supervised_right is None:
        return None
    fixed = open_ & sample.supervised_right
    again = np.zeros(len(fixed)) if sample.repeat_accuracy is None else sample.repeat_accuracy
    chance = _chance_right(sample)
    values = _influence(open_, fixed, chance * open_, again * fixed)
    most = _influence(open_, fixed, chance * open_, 0 * again)
    # Fewer fixes than chance makes do not prove that training can fix nothing.
    highs = (most + unproved, unproved.astype(np.float64))
    wrong = np.flatnonzero(sample.wrong)
    names = None if clusters is None else [clusters[i] for i in wrong.tolist()]
    return Fixable(
        share=_between(values[wrong], [high[wrong] for high in highs], names),
        gain=_between(values, highs, clusters),
        chance=float(chance[open_].sum()),
        again=_again(sample, fixed),
    )


def _again(sample: ErrorSample, fixed: Mask) -> float | None:
    if sample.repeat_accuracy is None or not fixed.any():
        return None
    return float(sample.repeat_accuracy[fixed].mean())


def _chance_right(sample: ErrorSample) -> Floats:
    """Return (n,) the probability that the answer to another row would be right."""
    assert sample.supervised is not None
    outputs = sample.supervised.outputs
    counts = np.bincount(outputs[outputs >= 0], minlength=sample.labels)
    others = counts[sample.targets] - (outputs == sample.targets)
    return np.asarray(others / max(len(outputs) - 1, 1), dtype=np.float64)


def _influence(open_: Mask, fixed: Mask, chance: Floats, again: Floats) -> Floats:
    """Return (n,) the influence of each row on K (1 - S/F), homogeneous: they sum to it."""
    m, f, c, s = (float(part.sum()) for part in (open_, fixed, chance, again))
    if m - c <= 0:
        return np.zeros(len(open_))
    if f == 0:
        return -m / (m - c) * chance
    left, spare = f - s, m - c
    by_m = -c * (f - c) * left / (f * spare**2)
    by_f = m / spare * (1 - c * s / f**2)
    by_c = m * left * (f - m) / (f * spare**2)
    by_s = -m * (f - c) / (spare * f)
    return by_m * open_ + by_f * fixed + by_c * chance + by_s * again


def _between(low: Floats, highs: Sequence[Floats], clusters: Sequence[str] | None) -> Interval:
    """Return the mean of `low`, from its lower bound to the largest upper bound of `highs`."""
    if not len(low):
        return Interval(value=0.0, low=0.0, high=1.0, estimand=ARTEFACT)
    proved = two_way_interval(low, clusters, pseudo=AGRESTI_COULL)
    ends = [two_way_interval(high, clusters, pseudo=AGRESTI_COULL).high for high in highs]
    value = min(max(proved.value, 0.0), 1.0)
    return Interval(
        value=value,
        low=min(max(proved.low, 0.0), value),
        high=max(min(max(ends), 1.0), value),
        estimand=ARTEFACT,
    )


def failures_of(
    evidence: Evidence, contenders: Contenders | None = None, suspects: frozenset[str] | None = None
) -> Failures | None:
    """Classify the errors and estimate what training can fix; None without out-of-fold answers.

    None too where answers are no labels: their errors are of other kinds.

    Args:
        evidence: what was measured.
        contenders: the compared candidates, for what fine-tuning did, if it ran.
        suspects: ids that the label audit doubts; None where it is silent, and so is this.
    """
    sample = error_sample(evidence) if evidence.labels else None
    if sample is None:
        return None
    masks = error_kinds(sample, evidence, suspects)
    failures = _recorded(sample, evidence, masks)
    forecast = (
        _forecast(sample, masks, failures, evidence, contenders) if contenders is not None else None
    )
    return failures.model_copy(update={"forecast": forecast})


def error_kinds(
    sample: ErrorSample, evidence: Evidence, suspects: frozenset[str] | None = None
) -> dict[str, Mask | None]:
    """Return (n,) which rows are errors of each kind; None where a kind could not be checked.

    Every error has one kind; rows that the subject gets right have none.
    """
    conflicting = evidence.items.conflicting | evidence.pool.conflicting
    masks: dict[str, Mask | None] = {
        "format": sample.subject.outputs == UNUSABLE,
        "suspect label": _suspect(sample, suspects),
        "ambiguous": _ambiguous(sample, conflicting),
        "not covered": error_signs.uncovered(sample),
        "learnable": sample.supervised_right,
        "unknown": np.ones(len(sample.ids), dtype=np.bool_),
    }
    unclassified = sample.wrong.copy()
    for kind, mask in masks.items():
        if mask is not None:
            masks[kind] = unclassified & mask
            unclassified &= ~mask
    return masks


def _suspect(sample: ErrorSample, suspects: frozenset[str] | None) -> Mask | None:
    agreed = agreed_otherwise(sample)
    if suspects is None or agreed is None:
        return None
    return rows_with_ids(sample, suspects) & agreed


def _ambiguous(sample: ErrorSample, conflicting: frozenset[str]) -> Mask | None:
    criteria = (neighbours_mixed, jurors_split, labels_overlap)
    measured = [mask for criterion in criteria if (mask := criterion(sample)) is not None]
    two_labels = rows_with_ids(sample, conflicting)
    if len(measured) < 2:
        return two_labels if two_labels.any() else None
    return np.asarray((np.sum(measured, axis=0) >= 2) | two_labels, dtype=np.bool_)


def _recorded(sample: ErrorSample, evidence: Evidence, masks: dict[str, Mask | None]) -> Failures:
    right = sample.supervised_right
    beyond = _any(sample, masks, BEYOND)
    open_ = sample.wrong & ~beyond
    uncovered = masks["not covered"]
    unproved = np.zeros_like(open_) if uncovered is None or right is None else uncovered & ~right
    estimate = fixable(sample, open_, unproved, _clusters(sample, evidence))
    known: dict[str, Any] = {}
    rows = {"row_set": row_set(sample.ids)}
    if right is not None and estimate is not None:
        fixes, breaks = int((right & sample.wrong).sum()), int((~right & ~sample.wrong).sum())
        known = {
            "fixes": fixes,
            "breaks": breaks,
            "difference": (fixes - breaks) / len(sample.ids),
            "fixed_otherwise": int((right & beyond).sum()),
            "chance": estimate.chance,
            "again": estimate.again,
            "fixable": estimate.share.model_copy(update=rows),
            "reachable": estimate.gain.model_copy(update=rows),
        }
    suspect = masks["suspect label"]
    return Failures(
        candidate=sample.subject.info.name,
        supervised=sample.supervised.info.name if sample.supervised and known else None,
        jurors=tuple(voice.info.name for voice in sample.jurors),
        rows=len(sample.ids),
        errors=int(sample.wrong.sum()),
        classes=tuple(_class(sample, kind, mask) for kind, mask in masks.items()),
        suspects=() if suspect is None else tuple(sample.ids[i] for i in np.flatnonzero(suspect)),
        contested=_contested(sample, masks["ambiguous"], evidence.labels),
        **known,
    )


def _any(sample: ErrorSample, masks: dict[str, Mask | None], names: tuple[str, ...]) -> Mask:
    union = np.zeros(len(sample.ids), dtype=np.bool_)
    for name in names:
        mask = masks[name]
        if mask is not None:
            union |= mask
    return union


def _class(sample: ErrorSample, kind: str, mask: Mask | None) -> ErrorClass:
    if mask is None:
        return ErrorClass(name=kind)
    count, errors = int(mask.sum()), int(sample.wrong.sum())
    low, high = wilson(count, errors) if errors else (0.0, 1.0)
    return ErrorClass(
        name=kind,
        count=count,
        share=Interval(value=count / errors, low=low, high=high) if errors else None,
        fixed=None
        if sample.supervised_right is None
        else int((mask & sample.supervised_right).sum()),
    )


def _clusters(sample: ErrorSample, evidence: Evidence) -> list[str] | None:
    cluster = {
        id: cluster
        for items in (evidence.items, evidence.pool)
        for id, cluster in zip(items.ids, items.clusters, strict=True)
    }
    names = [cluster[id] for id in sample.ids]
    return names if len(set(names)) < len(names) else None


def _contested(
    sample: ErrorSample, ambiguous: Mask | None, labels: tuple[str, ...]
) -> tuple[str, str] | None:
    if ambiguous is None or not ambiguous.any():
        return None
    sides = zip(sample.targets[ambiguous], sample.subject.outputs[ambiguous], strict=True)
    pairs = Counter(tuple(sorted((int(a), int(b)))) for a, b in sides)
    (first, second), _ = pairs.most_common(1)[0]
    return labels[first], labels[second]


def _forecast(
    sample: ErrorSample,
    masks: dict[str, Mask | None],
    failures: Failures,
    evidence: Evidence,
    contenders: Contenders,
) -> GainForecast | None:
    tuned = best_of(contenders, ("fine-tuning",))
    if tuned is None or failures.reachable is None or failures.candidate not in contenders.names:
        return None
    gain = contenders.gain(tuned, failures.candidate)
    if gain is None:
        return None
    measured = Interval.of(gain)
    right = right_in(evidence, tuned, sample.ids, sample.targets)
    if right is None or sample.supervised_right is None:
        return GainForecast(candidate=tuned, measured=measured)
    called = sample.wrong & sample.supervised_right & ~_any(sample, masks, BEYOND)
    return GainForecast(
        candidate=tuned,
        measured=measured,
        fixes=int((right & sample.wrong).sum()),
        breaks=int((~right & ~sample.wrong).sum()),
        called_fixed=_share(right, called),
        others_fixed=_share(right, sample.wrong & ~called),
    )


def _share(right: Mask, among: Mask) -> float | None:
    return float(right[among].mean()) if among.any() else None

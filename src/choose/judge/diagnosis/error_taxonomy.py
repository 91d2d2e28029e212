"""What kind of errors a candidate makes, and which of them data can fix, before any fine-tuning.

Each out-of-fold error of the best prompted or retrieving candidate gets the first of these kinds
that fits: ``format`` (no usable answer), ``suspect label`` (the label is doubted and two of three
jurors agree on the same other one), ``ambiguous`` (two signs of three: retrieved labels disagree,
jurors split between label and answer, the two labels overlap; or the text stands under two labels),
``not covered`` (nothing retrieved has the label), ``learnable`` (a candidate that learns from the
labels is right in most of its repetitions), ``unknown``. One sign of ambiguity alone is also what a
learnable error looks like, so two are asked for.

Being right is what makes an error learnable, not a stated probability: with 77 labels a linear
probe states less than one half for nearly every right answer. Chance is taken out in `fixable`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from choose.judge.decision.contenders import Field, best_of
from choose.judge.diagnosis import error_signs
from choose.judge.diagnosis.error_signs import (
    Bench,
    agreed_otherwise,
    bench,
    jurors_split,
    labels_overlap,
    listed,
    low_self_confidence,
    neighbours_mixed,
    right_in,
)
from choose.judge.evidence import Evidence
from choose.judge.panel.score_tables import ARTEFACT
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval, wilson
from choose.judge.stats.metrics import UNUSABLE
from choose.judge.stats.two_way import Mask
from choose.schema.base import Interval
from choose.schema.diagnosis import ErrorClass, Failures, GainForecast
from choose.types import Floats


class Fixable(NamedTuple):
    """What data fixes of the errors, and the gain in accuracy that this would bring.

    `chance` counts fixes that dealt answers would make, `again` is the share of the fixes that the
    subject makes itself when asked again, None where it was not.
    """

    share: Interval
    gain: Interval
    chance: float
    again: float | None


def fixable(
    bench: Bench, open_: Mask, unproved: Mask, clusters: Sequence[str] | None
) -> Fixable | None:
    """Return what the supervised candidate shows that data can fix, or None without one.

    Args:
        bench: the rows and who answered them.
        open_: (n,) errors that are neither format nor the labels' fault.
        unproved: (n,) errors among them that more data might fix though nothing shows it; they
            count in the upper ends alone.
        clusters: rows that hang together.
    """
    if bench.supervised is None or bench.right is None:
        return None
    fixed = open_ & bench.right
    again = np.zeros(len(fixed)) if bench.again is None else bench.again
    chance = _dealt(bench)
    values = _influence(open_, fixed, chance * open_, again * fixed)
    most = _influence(open_, fixed, chance * open_, 0 * again)
    # Fewer fixes than chance makes are no proof that nothing at all can be fixed.
    highs = (most + unproved, unproved.astype(np.float64))
    wrong = np.flatnonzero(bench.wrong)
    names = None if clusters is None else [clusters[i] for i in wrong.tolist()]
    return Fixable(
        share=_between(values[wrong], [high[wrong] for high in highs], names),
        gain=_between(values, highs, clusters),
        chance=float(chance[open_].sum()),
        again=_again(bench, fixed),
    )


def _again(bench: Bench, fixed: Mask) -> float | None:
    if bench.again is None or not fixed.any():
        return None
    return float(bench.again[fixed].mean())


def _dealt(bench: Bench) -> Floats:
    """Return (n,) how often an answer taken from another row would be right."""
    assert bench.supervised is not None
    said = bench.supervised.outputs
    counts = np.bincount(said[said >= 0], minlength=bench.labels)
    others = counts[bench.targets] - (said == bench.targets)
    return np.asarray(others / max(len(said) - 1, 1), dtype=np.float64)


def _influence(open_: Mask, fixed: Mask, chance: Floats, again: Floats) -> Floats:
    """Return (n,) each row's part in K (1 - S/F); they sum to it, since it is of degree one."""
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


KINDS = ("format", "suspect label", "ambiguous", "not covered", "learnable", "unknown")


# Kinds that no amount of data mends.
BEYOND = KINDS[:3]


def failures_of(
    evidence: Evidence, field: Field | None = None, suspects: frozenset[str] | None = None
) -> Failures | None:
    """Sort the errors and say what data can fix of them; None without out-of-fold answers.

    Args:
        evidence: what was measured.
        field: the compared candidates, for what fine-tuning did, if it ran.
        suspects: ids whose labels an audit doubts; by default a criterion of its own says so.
    """
    laid = bench(evidence)
    if laid is None:
        return None
    masks = kinds(laid, evidence, suspects)
    found = _recorded(laid, evidence, masks)
    forecast = _forecast(laid, masks, found, evidence, field) if field is not None else None
    return found.model_copy(update={"forecast": forecast})


def kinds(
    bench: Bench, evidence: Evidence, suspects: frozenset[str] | None = None
) -> dict[str, Mask | None]:
    """Return (n,) which rows are errors of each kind; None where a kind could not be told.

    Every error is of one kind; rows that the subject gets right are of none.
    """
    conflicting = evidence.items.conflicting | evidence.pool.conflicting
    told: dict[str, Mask | None] = {
        "format": bench.subject.outputs == UNUSABLE,
        "suspect label": _suspect(bench, suspects),
        "ambiguous": _ambiguous(bench, conflicting),
        "not covered": error_signs.uncovered(bench),
        "learnable": bench.right,
        "unknown": np.ones(len(bench.ids), dtype=np.bool_),
    }
    left = bench.wrong.copy()
    for kind, mask in told.items():
        if mask is not None:
            told[kind] = left & mask
            left &= ~mask
    return told


def _suspect(bench: Bench, suspects: frozenset[str] | None) -> Mask | None:
    low = low_self_confidence(bench) if suspects is None else listed(bench, suspects)
    agreed = agreed_otherwise(bench)
    return None if low is None or agreed is None else low & agreed


def _ambiguous(bench: Bench, conflicting: frozenset[str]) -> Mask | None:
    shown = (neighbours_mixed, jurors_split, labels_overlap)
    measured = [mask for sign in shown if (mask := sign(bench)) is not None]
    twice = listed(bench, conflicting)
    if len(measured) < 2:
        return twice if twice.any() else None
    return np.asarray((np.sum(measured, axis=0) >= 2) | twice, dtype=np.bool_)


def _recorded(bench: Bench, evidence: Evidence, masks: dict[str, Mask | None]) -> Failures:
    right = bench.right
    beyond = _any(bench, masks, BEYOND)
    open_ = bench.wrong & ~beyond
    uncovered = masks["not covered"]
    unproved = np.zeros_like(open_) if uncovered is None or right is None else uncovered & ~right
    found = fixable(bench, open_, unproved, _clusters(bench, evidence))
    known: dict[str, Any] = {}
    if right is not None and found is not None:
        fixes, breaks = int((right & bench.wrong).sum()), int((~right & ~bench.wrong).sum())
        known = {
            "fixes": fixes,
            "breaks": breaks,
            "difference": (fixes - breaks) / len(bench.ids),
            "fixed_otherwise": int((right & beyond).sum()),
            "chance": found.chance,
            "again": found.again,
            "fixable": found.share,
            "reachable": found.gain,
        }
    suspect = masks["suspect label"]
    return Failures(
        candidate=bench.subject.info.name,
        supervised=bench.supervised.info.name if bench.supervised else None,
        jurors=tuple(voice.info.name for voice in bench.jurors),
        rows=len(bench.ids),
        errors=int(bench.wrong.sum()),
        classes=tuple(_class(bench, kind, mask) for kind, mask in masks.items()),
        suspects=() if suspect is None else tuple(bench.ids[i] for i in np.flatnonzero(suspect)),
        contested=_contested(bench, masks["ambiguous"], evidence.labels),
        **known,
    )


def _any(bench: Bench, masks: dict[str, Mask | None], names: tuple[str, ...]) -> Mask:
    found = np.zeros(len(bench.ids), dtype=np.bool_)
    for name in names:
        mask = masks[name]
        if mask is not None:
            found |= mask
    return found


def _class(bench: Bench, kind: str, mask: Mask | None) -> ErrorClass:
    if mask is None:
        return ErrorClass(name=kind)
    count, errors = int(mask.sum()), int(bench.wrong.sum())
    low, high = wilson(count, errors) if errors else (0.0, 1.0)
    return ErrorClass(
        name=kind,
        count=count,
        share=Interval(value=count / errors, low=low, high=high) if errors else None,
        fixed=None if bench.right is None else int((mask & bench.right).sum()),
    )


def _clusters(bench: Bench, evidence: Evidence) -> list[str] | None:
    cluster = {
        id: cluster
        for items in (evidence.items, evidence.pool)
        for id, cluster in zip(items.ids, items.clusters, strict=True)
    }
    names = [cluster[id] for id in bench.ids]
    return names if len(set(names)) < len(names) else None


def _contested(
    bench: Bench, ambiguous: Mask | None, labels: tuple[str, ...]
) -> tuple[str, str] | None:
    if ambiguous is None or not ambiguous.any():
        return None
    sides = zip(bench.targets[ambiguous], bench.subject.outputs[ambiguous], strict=True)
    pairs = Counter(tuple(sorted((int(a), int(b)))) for a, b in sides)
    (first, second), _ = pairs.most_common(1)[0]
    return labels[first], labels[second]


def _forecast(
    bench: Bench,
    masks: dict[str, Mask | None],
    found: Failures,
    evidence: Evidence,
    field: Field,
) -> GainForecast | None:
    tuned = best_of(field, ("fine-tuning",))
    if tuned is None or found.reachable is None or found.candidate not in field.names:
        return None
    gain = field.gain(tuned, found.candidate)
    if gain is None:
        return None
    measured = Interval.of(gain)
    right = right_in(evidence, tuned, bench.ids, bench.targets)
    if right is None or bench.right is None:
        return GainForecast(candidate=tuned, measured=measured)
    called = bench.wrong & bench.right & ~_any(bench, masks, BEYOND)
    return GainForecast(
        candidate=tuned,
        measured=measured,
        fixes=int((right & bench.wrong).sum()),
        breaks=int((~right & ~bench.wrong).sum()),
        called_fixed=_share(right, called),
        others_fixed=_share(right, bench.wrong & ~called),
    )


def _share(right: Mask, among: Mask) -> float | None:
    return float(right[among].mean()) if among.any() else None

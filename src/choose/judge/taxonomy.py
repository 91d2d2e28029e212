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
from typing import Any

import numpy as np

from choose.judge import signs
from choose.judge.bench import Bench, bench, right_in
from choose.judge.crossed import Mask
from choose.judge.evidence import Evidence
from choose.judge.fixable import fixable
from choose.judge.frozen import Interval
from choose.judge.intervals import wilson
from choose.judge.metrics import UNUSABLE
from choose.judge.record_failures import ErrorClass, Failures, Forecast
from choose.judge.settle import Field, best_of

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
        "not covered": signs.uncovered(bench),
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
    low = signs.low_self_confidence(bench) if suspects is None else signs.listed(bench, suspects)
    agreed = signs.agreed_otherwise(bench)
    return None if low is None or agreed is None else low & agreed


def _ambiguous(bench: Bench, conflicting: frozenset[str]) -> Mask | None:
    shown = (signs.neighbours_mixed, signs.jurors_split, signs.labels_overlap)
    measured = [mask for sign in shown if (mask := sign(bench)) is not None]
    twice = signs.listed(bench, conflicting)
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
) -> Forecast | None:
    tuned = best_of(field, ("fine-tuning",))
    if tuned is None or found.reachable is None or found.candidate not in field.names:
        return None
    gain = field.gain(tuned, found.candidate)
    if gain is None:
        return None
    measured = Interval(value=gain.value, low=gain.low, high=gain.high)
    right = right_in(evidence, tuned, bench.ids, bench.targets)
    if right is None or bench.right is None:
        return Forecast(candidate=tuned, measured=measured)
    called = bench.wrong & bench.right & ~_any(bench, masks, BEYOND)
    return Forecast(
        candidate=tuned,
        measured=measured,
        fixes=int((right & bench.wrong).sum()),
        breaks=int((~right & ~bench.wrong).sum()),
        called_fixed=_share(right, called),
        others_fixed=_share(right, bench.wrong & ~called),
    )


def _share(right: Mask, among: Mask) -> float | None:
    return float(right[among].mean()) if among.any() else None

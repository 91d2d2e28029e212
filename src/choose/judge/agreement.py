"""How far annotators agree: pairwise, and beyond chance (Krippendorff's alpha, nominal)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from choose.judge.evidence import Items
from choose.judge.frozen import Interval
from choose.judge.intervals import two_way_interval
from choose.judge.record_audit import Agreement
from choose.types import Floats

_REPLICATES = 2000
_ESTIMAND = "these annotators, other rows"


def agreement_of(parts: Sequence[Items], labels: Sequence[str]) -> Agreement | None:
    """Return the agreement on questions that two annotators or more labelled, or None."""
    code = {label: i for i, label in enumerate(labels)}
    given: dict[str, dict[str, int]] = defaultdict(dict)
    for items in parts:
        for question, who, target in zip(
            items.questions, items.annotators, items.targets, strict=False
        ):
            if who is not None:
                given[question][who] = code[target]
    shared = [by_whom for by_whom in given.values() if len(by_whom) > 1]
    if not shared:
        return None
    counts = np.zeros((len(shared), len(labels)))
    for row, by_whom in enumerate(shared):
        np.add.at(counts[row], list(by_whom.values()), 1.0)
    pairs = two_way_interval(pairwise(counts))
    return Agreement(
        annotators=len({who for by_whom in shared for who in by_whom}),
        questions=len(shared),
        pairwise=Interval(value=pairs.value, low=pairs.low, high=pairs.high, estimand=_ESTIMAND),
        alpha=_alpha_interval(counts),
    )


def pairwise(counts: Floats) -> Floats:
    """Return (n,) the share of pairs of annotators that agree, from (n, labels) counts of labels.

    Each row needs two annotators or more.
    """
    size = counts.sum(axis=1)
    agreeing: Floats = (counts * (counts - 1)).sum(axis=1) / (size * (size - 1))
    return agreeing


def alpha(counts: Floats, weights: Floats | None = None) -> Floats:
    """Return Krippendorff's nominal alpha, (replicates,) for (replicates, n) weights of questions.

    NaN where every label given is the same, which leaves nothing to agree on.
    """
    by = np.ones((1, len(counts))) if weights is None else weights
    size = counts.sum(axis=1)
    total = by @ size
    observed = by @ (size * (1 - pairwise(counts))) / total
    margins = by @ counts
    expected = (total**2 - (margins**2).sum(axis=1)) / (total * (total - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - observed / expected)


def _alpha_interval(counts: Floats) -> Interval | None:
    value = float(alpha(counts)[0])
    if not np.isfinite(value):
        return None
    rng = np.random.default_rng(0)
    n = len(counts)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=min(_REPLICATES, 4_000_000 // n + 100))
    spread = alpha(counts, drawn.astype(np.float64))
    low, high = np.nanquantile(spread, (0.025, 0.975))
    return Interval(
        value=value, low=min(float(low), value), high=max(float(high), value), estimand=_ESTIMAND
    )

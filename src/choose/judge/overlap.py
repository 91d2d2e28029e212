"""Where candidates err together and where apart: rows to read again, and what joining them gains.

A candidate has a row right if most of its repetitions do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from choose.judge.answers import MISSING
from choose.judge.cascade import cascade
from choose.judge.crossed import Mask, row_means
from choose.judge.frozen import Interval
from choose.judge.intervals import two_way_interval
from choose.judge.metrics import Codes
from choose.judge.panel import ARTEFACT, Measured
from choose.judge.record_failures import Doubtful, Overlap
from choose.judge.settle import Field
from choose.types import Floats

# The list is for a person to read; the count beside it is of all.
LISTED = 200

# With two candidates, that both are wrong in the same way says little.
FEWEST = 3

# Candidates asked less than this share of the rows would leave too few rows in common.
ASKED = 0.5


class _Common(NamedTuple):
    """Candidates on the rows that all of them answered: `right` is (candidates, rows kept)."""

    among: tuple[Measured, ...]
    kept: Mask
    right: Mask

    @property
    def lost(self) -> Mask:
        """Return (rows kept,) which rows all get wrong."""
        return np.asarray(~self.right.any(axis=0), dtype=np.bool_)


def overlap_of(field: Field) -> Overlap | None:
    """Return how errors overlap on the asked rows, or None with fewer than two candidates."""
    common = _common(field)
    if common is None:
        return None
    clusters = field.panel.rows.clusters_of(common.kept)
    reached = two_way_interval((~common.lost).astype(np.float64), clusters)
    return Overlap(
        candidates=tuple(c.info.name for c in common.among),
        rows=int(common.kept.sum()),
        wrong_in_all=int(common.lost.sum()),
        **_doubtful(field, common),
        oracle=Interval(value=reached.value, low=reached.low, high=reached.high, estimand=ARTEFACT),
        **_pair(field, common),
    )


def _common(field: Field) -> _Common | None:
    among = tuple(c for c in field.order if _reads(c) and _asked(c) >= ASKED)
    if len(among) < 2:
        return None
    scores = np.stack([_row_scores(c) for c in among])
    kept = np.asarray(~np.isnan(scores).any(axis=0), dtype=np.bool_)
    return _Common(among, kept, scores[:, kept] >= 0.5) if kept.any() else None


def _reads(candidate: Measured) -> bool:
    """Return whether it does anything but give every row the same answer."""
    assert candidate.main is not None
    outputs = candidate.main.outputs
    return len(np.unique(outputs[outputs >= 0])) > 1


def _asked(candidate: Measured) -> float:
    return float((~np.isnan(_row_scores(candidate))).mean())


def _row_scores(candidate: Measured) -> Floats:
    assert candidate.main is not None
    table = candidate.main
    exact = table.outputs == table.rows.targets[:, None]
    return row_means(np.where(table.outputs == MISSING, np.nan, exact.astype(np.float64)))


def _pair(field: Field, common: _Common) -> dict[str, Any]:
    """Return how the best cheap and the best other candidate stand to each other."""
    cheap, strong = (_best(field, common.among, is_cheap) for is_cheap in (True, False))
    if cheap is None or strong is None:
        return {}
    names = [c.info.name for c in common.among]
    first, second = (~common.right[names.index(name)] for name in (cheap, strong))
    return {
        "cheap": cheap,
        "strong": strong,
        "both_wrong": int((first & second).sum()),
        "both_expected": float(first.sum() * second.sum() / len(first)),
        "only_cheap_wrong": int((first & ~second).sum()),
        "only_strong_wrong": int((second & ~first).sum()),
        "cascade": cascade(field, cheap, strong),
    }


def _best(field: Field, among: Sequence[Measured], is_cheap: bool) -> str | None:
    names = [c.info.name for c in among if c.info.cheap is is_cheap]
    return max(names, key=lambda name: field.accuracies[name].value, default=None)


def _doubtful(field: Field, common: _Common) -> dict[str, Any]:
    """Return the rows that all get wrong, and how many of them most give the same other label."""
    rows, place = field.panel.rows, np.flatnonzero(common.kept)[common.lost]
    ids, targets = list(rows.index), rows.targets[place]
    votes = np.zeros((len(place), len(rows.labels)), dtype=np.int64)
    for candidate in common.among:
        assert candidate.main is not None
        said = _first_answers(candidate.main.outputs[place])
        usable = np.flatnonzero(said >= 0)
        votes[usable, said[usable]] += 1
    agree = votes.max(axis=1, initial=0)
    order = np.argsort(-agree, kind="stable")[:LISTED]
    listed = tuple(
        Doubtful(
            id=ids[place[i]],
            label=rows.labels[targets[i]],
            instead=rows.labels[votes[i].argmax()] if agree[i] else None,
            agree=int(agree[i]),
        )
        for i in order.tolist()
    )
    most = len(common.among) / 2
    return {
        "doubtful": listed,
        "agreed": int((agree > most).sum()) if len(common.among) >= FEWEST else None,
    }


def _first_answers(outputs: Codes) -> Codes:
    """Return (rows,) the answer of each row's first repetition that was asked."""
    first = (outputs != MISSING).argmax(axis=1)
    return np.asarray(outputs[np.arange(len(outputs)), first], dtype=np.int64)

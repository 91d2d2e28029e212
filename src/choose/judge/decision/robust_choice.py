"""The gate ``robust``: the choice in half samples, with label noise, in views, reweighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeGuard

import numpy as np

from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import Case
from choose.judge.goal import evened
from choose.judge.scores.paired_comparison import (
    Side,
    changed,
    compare,
    compare_changes,
    other_pool,
    view_tables,
)
from choose.judge.scores.score_tables import CandidateScores, ScoreTable
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import row_means
from choose.schema.base import Interval
from choose.schema.decision import Gate, GateCode
from choose.types import Floats

HALF_SAMPLES = 200

# Sums are in single precision: equal candidates may differ by this much.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """A rival that is better for certain, and by the margin, where conditions differ.

    Attributes:
        code: the condition; for noise, its kind is `what` and its rate `share`; for a view, it is
            `what`.
        difference: accuracy of the rival minus that of the choice under the condition.
        change: what the condition adds to that difference on the same rows; None where it is not
            a condition that was added, such as other weights of the rows.
        caused: whether the condition is shown to add anything. A lead that was there before says
            nothing about robustness.
    """

    rival: str
    code: GateCode
    difference: Difference
    what: str = ""
    share: float | None = None
    change: Difference | None = None
    caused: bool = True


def share_of_half_samples(contenders: Contenders, name: str, seed: int = 0) -> float:
    """Return the share of random halves of the rows in which the choice stays the same.

    It stays if no cheaper candidate is level or ahead and no costlier one is ahead by the margin.
    """
    scores = {n: row_means(_right(contenders.panel[n])) for n in contenders.names}
    clusters = contenders.panel.rows.clusters
    n = len(contenders.panel.rows.targets)
    place = (
        np.arange(n)
        if clusters is None
        else np.unique(np.asarray(clusters), return_inverse=True)[1]
    )
    rng = np.random.default_rng(seed)
    count = int(place.max()) + 1
    order = rng.permuted(np.tile(np.arange(count, dtype=np.int32), (HALF_SAMPLES, 1)), axis=1)
    inside = (order < count // 2)[:, place].astype(np.float32)
    # Weights even the labels over all rows, not in each half, where a rare label may be missing.
    if (weights := contenders.panel.rows.weights) is not None:
        inside *= weights.astype(np.float32)
    stays = np.ones(HALF_SAMPLES, dtype=np.bool_)
    for other in contenders.names:
        if other != name:
            gap = scores[name] - scores[other]
            known = ~np.isnan(gap)
            total = inside @ np.where(known, gap, 0.0).astype(np.float32)
            mean = total / np.maximum(inside @ known.astype(np.float32), 1e-6)
            cheaper = other in contenders.cheaper(name)
            stays &= mean > ROUNDING if cheaper else mean > -contenders.margin(name, other)
    return float(stays.mean())


def _right(candidate: CandidateScores) -> Floats:
    assert candidate.main is not None
    return candidate.main.right


def under_noise(contenders: Contenders, name: str) -> tuple[float | None, Reversal | None]:
    """Return the highest noise rate that the choice shares with a rival, and the worst reversal.

    Each kind of noise is judged at the highest rate that both were measured at.
    """
    highest, tests = None, list[_Test]()
    chosen = contenders.panel[name]
    for other in (other for other in contenders.names if other != name):
        rival = contenders.panel[other]
        shared = dict(sorted(set(chosen.noise) & set(rival.noise)))
        for kind, rate in shared.items():
            highest = max(highest or 0.0, rate)
            sides = [(c, c.noise[kind, rate]) for c in (rival, chosen)]
            theirs, own = (other_pool(c, table) for c, table in sides)
            level = compare(theirs, own)
            change = _change(*((c, table, c.info.learns) for c, table in sides))
            tests.append(_Test(other, "with-noise", kind, rate, level, change))
    return highest, _worst(contenders, name, tests)


def under_views(contenders: Contenders, name: str) -> tuple[tuple[str, ...], Reversal | None]:
    """Return the views that the choice shares with a rival, and the worst reversal.

    The fits are those of the clean answers, so the change says nothing about other fits.
    """
    tests: list[_Test] = []
    chosen = contenders.panel[name]
    mine, seen = _views(chosen), set()
    for other in (other for other in contenders.names if other != name):
        rival = contenders.panel[other]
        theirs = _views(rival)
        for view in sorted(set(mine) & set(theirs)):
            seen.add(view)
            sides = [(rival, theirs[view]), (chosen, mine[view])]
            first, second = (Side(table, c.repeats) for c, table in sides)
            level = compare(first, second)
            change = _change(*((c, table, False) for c, table in sides))
            tests.append(_Test(other, "on-view", view, None, level, change))
    return tuple(sorted(seen)), _worst(contenders, name, tests)


def _views(candidate: CandidateScores) -> dict[str, ScoreTable]:
    return view_tables(candidate.main) if candidate.main is not None else {}


def _change(*sides: tuple[CandidateScores, ScoreTable, bool]) -> Difference | None:
    """Return how much more the condition adds to the first side's accuracy than to the second's."""
    rows = sides[0][1].rows
    first, second = (changed(_clean(c), table, varies) for c, table, varies in sides)
    return compare_changes(first, second, rows)


def _clean(candidate: CandidateScores) -> ScoreTable:
    assert candidate.main is not None
    return candidate.main


class _Test(NamedTuple):
    """A rival under a condition: the difference under it, and what the condition adds to it."""

    rival: str
    code: GateCode
    what: str
    share: float | None
    level: Difference | None
    change: Difference | None


def _worst(contenders: Contenders, name: str, tests: Sequence[_Test]) -> Reversal | None:
    """Return the largest reversal, one that the condition is shown to cause before any other."""
    # Bonferroni: each rival under each condition is another chance of a false reversal.
    confidence = 1 - 0.05 / max(1, len(tests))
    found = [
        Reversal(
            rival=test.rival,
            code=test.code,
            what=test.what,
            share=test.share,
            difference=test.level,
            change=test.change,
            caused=test.change is not None and test.change.bounds(confidence)[0] > 0,
        )
        for test in tests
        if _reverses(test.level, contenders, test.rival, name)
    ]
    return max(found, key=lambda r: (r.caused, r.difference.value), default=None)


def _reverses(
    difference: Difference | None, contenders: Contenders, rival: str, name: str
) -> TypeGuard[Difference]:
    margin = contenders.margin(rival, name)
    return difference is not None and difference.low > 0 and difference.value >= margin


def under_even_labels(contenders: Contenders, name: str) -> tuple[bool, Reversal | None]:
    """Return whether the other weighting differs, and the worst reversal under it.

    With equal weights of rows, common labels dominate; so every label gets equal weight here, or
    every row where the study weights labels equally.
    """
    rows = contenders.panel.rows
    even = evened(rows.targets) if rows.labels else None
    if even is None:
        return False, None
    other_way = replace(rows, weights=None if rows.even else even, even=not rows.even)
    # Bonferroni: each rival is another chance of a false reversal.
    confidence, found = 1 - 0.05 / max(1, len(contenders.names) - 1), []
    for other in (other for other in contenders.names if other != name):
        difference = contenders.pairs.reweighted(other, name, other_way)
        if _reverses(difference, contenders, other, name) and difference.bounds(confidence)[0] > 0:
            what = "row" if rows.even else "label"
            found.append(Reversal(rival=other, code="by-weights", what=what, difference=difference))
    return True, max(found, key=lambda r: r.difference.value, default=None)


def robust(case: Case) -> Gate:
    """Judge whether the choice stays in half samples, with label noise, in views, reweighted."""
    name = "robust"
    if len(case.contenders.names) < 2:
        return Gate(name=name, status="unknown", code="alone")
    rate, noisy = under_noise(case.contenders, case.name)
    views, viewed = under_views(case.contenders, case.name)
    _, evened = under_even_labels(case.contenders, case.name)
    reversals = [reversal for reversal in (noisy, viewed, evened) if reversal is not None]
    for first in sorted(reversals, key=lambda reversal: not reversal.caused)[:1]:
        return Gate(
            name=name,
            status="fail" if first.caused else "unknown",
            code=first.code,
            names=(first.rival, case.name),
            what=first.what,
            share=first.share,
            value=Interval.of(first.difference),
        )
    share = share_of_half_samples(case.contenders, case.name)
    learns = any(case.contenders.panel[name].info.learns for name in case.contenders.names)
    missing = (*("noise",) * (learns and not rate), *("views",) * (not views))
    return Gate(
        name=name,
        status="pass" if share >= 0.8 and not missing else "unknown",
        code="stays",
        names=(case.name, *missing),
        share=share,
    )

"""The gate ``robust``: the choice in half samples, with label noise, in views, reweighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from choose.formatting import gain, in_points, listed
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
from choose.schema.decision import Gate
from choose.types import Floats

HALF_SAMPLES = 200

# Sums are in single precision: equal candidates may differ by this much.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """A rival that is better for certain, and by the margin, where conditions differ.

    Attributes:
        where: the condition, such as ``on test rows with typos``.
        difference: accuracy of the rival minus that of the choice under the condition.
        change: what the condition adds to that difference on the same rows; None where it is not
            a condition that was added, such as other weights of the rows.
        caused: whether the condition is shown to add anything. A lead that was there before says
            nothing about robustness.
    """

    rival: str
    where: str
    difference: Difference
    change: Difference | None = None
    caused: bool = True

    def sentence(self, name: str) -> str:
        """Say which rival leads the choice, where, and how much of that the condition adds."""
        text = f"{self.where[0].upper()}{self.where[1:]}, {gain(self.rival, name, self.difference)}"
        if self.change is None:
            return f"{text}."
        adds = f"the condition adds {in_points(self.change)} to the difference"
        return f"{text}; {adds}{'' if self.caused else ', which may be chance'}."


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
    highest, tests = None, []
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
            with_noise = f"with {_noise(kind, rate, contenders.words.target)}"
            tests.append((other, with_noise, level, change))
    return highest, _worst(contenders, name, tests)


def _noise(kind: str, rate: float, target: str) -> str:
    wrong = f"{100 * rate:g} % of the training {target}s made wrong"
    return wrong if kind == "symmetric" else f"{wrong} ({kind} noise)"


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
            tests.append((other, f"on test rows with {view}", level, change))
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


# The rival, the condition, the difference under it, and what the condition adds to it.
_Test = tuple[str, str, Difference | None, Difference | None]


def _worst(contenders: Contenders, name: str, tests: Sequence[_Test]) -> Reversal | None:
    """Return the largest reversal, one that the condition is shown to cause before any other."""
    # Bonferroni: each rival under each condition is another chance of a false reversal.
    confidence = 1 - 0.05 / max(1, len(tests))
    found = [
        Reversal(
            rival=rival,
            where=where,
            difference=level,
            change=change,
            caused=change is not None and change.bounds(confidence)[0] > 0,
        )
        for rival, where, level, change in tests
        if _reverses(level, contenders, rival, name)
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
            found.append(
                Reversal(rival=other, where=other_weights(contenders), difference=difference)
            )
    return True, max(found, key=lambda r: r.difference.value, default=None)


def other_weights(contenders: Contenders) -> str:
    """Name the weights of the rows that the study does not use."""
    return f"with every {'row' if contenders.panel.rows.even else 'label'} weighted equally"


def robust(case: Case) -> Gate:
    """Judge whether the choice stays in half samples, with label noise, in views, reweighted."""
    name = "robust"
    if len(case.contenders.names) < 2:
        return Gate(
            name=name,
            status="unknown",
            evidence="Only one candidate was measured, so there is nothing to compare.",
        )
    share = share_of_half_samples(case.contenders, case.name)
    rate, noisy = under_noise(case.contenders, case.name)
    views, viewed = under_views(case.contenders, case.name)
    uneven, evened = under_even_labels(case.contenders, case.name)
    reversals = [reversal for reversal in (noisy, viewed, evened) if reversal is not None]
    if caused := [reversal for reversal in reversals if reversal.caused]:
        return Gate(name=name, status="fail", evidence=caused[0].sentence(case.name))
    if reversals:
        return Gate(name=name, status="unknown", evidence=reversals[0].sentence(case.name))
    parts = [
        f"{case.name} stays the choice in {100 * share:.0f} of 100 random halves of the test rows"
    ]
    target = case.words.target
    conditions = [f"with {100 * rate:g} % of the training {target}s made wrong"] if rate else []
    conditions += [f"on test rows with {listed(views)}"] if views else []
    conditions += [other_weights(case.contenders)] if uneven else []
    parts += (
        [f"no other candidate is clearly ahead {' or '.join(conditions)}"] if conditions else []
    )
    learns = any(case.contenders.panel[name].info.learns for name in case.contenders.names)
    needed = [(f"{target} noise", bool(rate) or not learns), ("views", bool(views))]
    missing = [what for what, there in needed if not there]
    parts += [f"not measured: {listed(missing)}"] if missing else []
    passed = share >= 0.8 and not missing
    return Gate(name=name, status="pass" if passed else "unknown", evidence=f"{'; '.join(parts)}.")

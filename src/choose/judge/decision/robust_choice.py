"""The gate ``robust``: the choice in half samples, with label noise, in views, reweighted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from choose.formatting import gain, listed
from choose.judge.decision.contenders import Contenders
from choose.judge.decision.rule import Case
from choose.judge.goal import evened
from choose.judge.scores.paired_comparison import compare, compare_scores, other_pool
from choose.judge.scores.score_tables import CLEAN, CandidateScores, label_codes
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import row_means
from choose.schema.decision import Gate
from choose.types import Floats

HALF_SAMPLES = 200

# Sums are in single precision: equal candidates may differ by this much.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """A rival that is better for certain, and by the margin, where conditions differ."""

    rival: str
    where: str
    difference: Difference


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
    """Return the highest noise rate that the choice shares with a rival, and the worst reversal."""
    highest, worst = None, None
    mine = contenders.panel[name].noise
    for other in contenders.names:
        shared = sorted(set(mine) & set(contenders.panel[other].noise), key=lambda key: key[::-1])
        if other == name or not shared:
            continue
        key = shared[-1]
        highest = max(highest or 0.0, key[1])
        rival, chosen = contenders.panel[other], contenders.panel[name]
        difference = compare(other_pool(rival, rival.noise[key]), other_pool(chosen, mine[key]))
        where = f"with {100 * key[1]:g} % of the training labels made wrong"
        worst = _worse(contenders.margin(other, name), worst, other, where, difference)
    return highest, worst


def under_views(contenders: Contenders, name: str) -> tuple[tuple[str, ...], Reversal | None]:
    """Return the views that the choice shares with a rival, and the worst reversal."""
    seen, worst = set(), None
    mine = _views(contenders.panel[name])
    for other in contenders.names:
        theirs = _views(contenders.panel[other]) if other != name else {}
        for view in sorted(set(mine) & set(theirs)):
            seen.add(view)
            difference = _compare(contenders, (other, theirs[view]), (name, mine[view]))
            where = f"on test rows with {view}"
            worst = _worse(contenders.margin(other, name), worst, other, where, difference)
    return tuple(sorted(seen)), worst


def under_even_labels(contenders: Contenders, name: str) -> tuple[bool, Reversal | None]:
    """Return whether the other weighting differs, and the worst reversal under it.

    With equal weights of rows, common labels dominate; so every label gets equal weight here, or
    every row where the study weights labels equally.
    """
    rows = contenders.panel.rows
    even = evened(rows.targets)
    if even is None:
        return False, None
    other_way = replace(rows, weights=None if rows.even else even, even=not rows.even)
    worst, level = None, 1 - 0.05 / max(1, len(contenders.names) - 1)
    for other in contenders.names:
        difference = contenders.pairs.reweighted(other, name, other_way) if other != name else None
        # Bonferroni: each rival is another chance of a false reversal.
        if difference is not None and difference.bounds(level)[0] > 0:
            worst = _worse(
                contenders.margin(other, name), worst, other, other_weights(contenders), difference
            )
    return True, worst


def other_weights(contenders: Contenders) -> str:
    """Name the weights of the rows that the study does not use."""
    return f"with every {'row' if contenders.panel.rows.even else 'label'} weighted equally"


def _compare(
    contenders: Contenders, a: tuple[str, Floats], b: tuple[str, Floats]
) -> Difference | None:
    fitted_once = sum(
        contenders.panel[name].repeats and scores.shape[1] < 2 for name, scores in (a, b)
    )
    return compare_scores(a[1], b[1], contenders.panel.rows, fitted_once=fitted_once)


def _worse(
    margin: float, worst: Reversal | None, rival: str, where: str, difference: Difference | None
) -> Reversal | None:
    if difference is None or difference.low <= 0 or difference.value < margin:
        return worst
    if worst is not None and worst.difference.value >= difference.value:
        return worst
    return Reversal(rival=rival, where=where, difference=difference)


def _views(candidate: CandidateScores) -> dict[str, Floats]:
    """Return (rows, repetitions) scores by view, of the repetitions that answered it."""
    table = candidate.main
    if table is None:
        return {}
    parts: dict[str, Floats] = {}
    for run in table.runs:
        for view, repeat in run.answers:
            if (view, repeat) != CLEAN and view != CLEAN[0]:
                place, codes = label_codes(run, (view, repeat), table.rows)
                scores = parts.setdefault(view, np.full(table.right.shape, np.nan))
                right = table.rows.scored(place, codes)
                scores[place, table.draws.index(run.trial.draw)] = right
    return {v: scores[:, ~np.isnan(scores).all(axis=0)] for v, scores in parts.items()}


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
    for reversal in (noisy, viewed, evened):
        if reversal is not None:
            return Gate(
                name=name,
                status="fail",
                evidence=(
                    f"{reversal.where[0].upper()}{reversal.where[1:]}, "
                    f"{gain(reversal.rival, case.name, reversal.difference)}."
                ),
            )
    parts = [
        f"{case.name} stays the choice in {100 * share:.0f} of 100 random halves of the test rows"
    ]
    conditions = [f"with {100 * rate:g} % of the training labels made wrong"] if rate else []
    conditions += [f"on test rows with {listed(views)}"] if views else []
    conditions += [other_weights(case.contenders)] if uneven else []
    parts += (
        [f"no other candidate is clearly ahead {' or '.join(conditions)}"] if conditions else []
    )
    missing = [what for what, there in (("label noise", rate), ("views", views)) if not there]
    parts += [f"not measured: {listed(missing)}"] if missing else []
    passed = share >= 0.8 and not missing
    return Gate(name=name, status="pass" if passed else "unknown", evidence=f"{'; '.join(parts)}.")

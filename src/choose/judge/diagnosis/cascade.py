"""What a language model brings to a fast candidate: a teacher, or answers where it is not sure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from choose.judge.decision.candidates import Candidates
from choose.judge.evidence import CandidateInfo
from choose.judge.scores.score_tables import CandidateScores, ScoredRows
from choose.schema.diagnosis import Takeover
from choose.stats import Estimate
from choose.stats.intervals import clopper_pearson
from choose.stats.two_way import Mask
from choose.types import CLEAN, Codes, Floats, Run

# One part of the rows chooses what the others test.
PARTS = 5

# Fewer rows than this cannot choose a threshold.
FEWEST_FOR_CASCADE = 50


class _Pairing(NamedTuple):
    """The first answers of two candidates on common rows: arrays are (rows,), `complete` of all."""

    cheap: Floats
    strong: Floats
    confidence: Floats
    complete: Mask


def takeover_of(candidates: Candidates) -> Takeover | None:
    """Return what share of its rows a cheap candidate can take over from the language model.

    A fifth of the rows chooses the cheap candidate, and the confidences to try; the other rows test
    these. None without such a pair, and where rows do not count alike.
    """
    order = (c for c in candidates.order if c.info.name not in candidates.beyond)
    named = [c for c in order if not c.info.floor]
    strong = _called(candidates, named)
    rows, plain = candidates.scores.rows, candidates.rule.by_rows
    if strong is None or not (rows.labels and plain and rows.weights is None):
        return None
    fast = [c for c in named if c.info.cheap and not c.info.constant and c is not strong]
    found = [(c, pair) for c in fast if (pair := _pairing(c, strong)) is not None]
    most = max((len(pair.cheap) for _, pair in found), default=0)
    if most < FEWEST_FOR_CASCADE:
        return None
    full = [(c, pair) for c, pair in found if len(pair.cheap) == most]
    cheap, pair = max(full, key=lambda one: one[1].cheap[_chooses(one[1], rows)].mean())
    chooses, tests = _chooses(pair, rows), ~_chooses(pair, rows)
    if (clusters := rows.clusters_of(pair.complete)) is not None:
        # An exact bound needs independent rows: one of each cluster.
        tests &= np.isin(np.arange(most), np.unique(clusters, return_index=True)[1])
    levels, margin = levels_of(pair.confidence[chooses]), candidates.rule.margin
    right, by_strong, sure = (side[tests] for side in pair[:3])
    safe = safe_threshold(right, by_strong, sure, levels, margin)
    usd = candidates.costs[strong.info.name].usd_per_1k
    return Takeover(
        cheap=cheap.info.name,
        strong=strong.info.name,
        rows=int(tests.sum()),
        most=margin,
        threshold=safe.threshold,
        share=safe.share,
        lost=safe.lost,
        strong_usd_per_1k=usd,
        saved_usd_per_1k=usd * safe.share.value if usd is not None and safe.share else None,
    )


def _chooses(pair: _Pairing, rows: ScoredRows) -> Mask:
    parts = random_parts(len(pair.cheap), rows.clusters_of(pair.complete), PARTS)
    return np.asarray(parts == 0, dtype=np.bool_)


def _called(candidates: Candidates, named: Sequence[CandidateScores]) -> CandidateScores | None:
    """Return the teacher of the study, or else the language model to use, or the best one."""
    models = [c for c in named if c.info.teaches] or [c for c in named if _is_called(c.info)]
    models = [c for c in models if c.info.name in candidates.best.values()] or models
    return max(models, key=lambda c: candidates.levels[c.info.name], default=None)


def _is_called(info: CandidateInfo) -> bool:
    """Return whether it is a language model that is called: hosted, served, or given as answers."""
    prompted = info.family in ("prompting", "retrieval")
    return not info.cheap and (info.hosted or info.remote or (info.given and prompted))


class Safe(NamedTuple):
    """The lowest confidence that is shown to be safe; None where none is.

    `share` of the rows have it, and `lost` is what the strong candidate would score more, `high` at
    most.
    """

    threshold: float | None = None
    share: Estimate | None = None
    lost: Estimate | None = None


def random_parts(rows: int, clusters: Sequence[str] | None, parts: int) -> Codes:
    """Return (rows,) a random part for each row, the same for all rows of a cluster."""
    names = np.arange(rows).astype(str) if clusters is None else np.asarray(clusters)
    distinct, place = np.unique(names, return_inverse=True)
    order = np.random.default_rng(len(distinct)).permutation(len(distinct)) % parts
    return np.asarray(order[place], dtype=np.int64)


# Shares of the rows at which confidences are tried.
STEPS = 20


def levels_of(confidence: Floats) -> list[float]:
    """Return the confidences that 5, 10, ... 95 % of some rows reach, and 0, which all reach."""
    ordered = np.sort(confidence)[::-1]
    places = [max(len(ordered) * step // STEPS, 1) - 1 for step in range(1, STEPS)]
    return [*dict.fromkeys(float(ordered[place]) for place in places), 0.0]


def safe_threshold(
    cheap: Floats, strong: Floats, confidence: Floats, levels: Sequence[float], most: float
) -> Safe:
    """Return the lowest of some confidences, from which on the cheap one loses at most `most`.

    Levels are tested from the highest on, and the first that fails ends it, so that the chance that
    a level which loses more passes is 5 % at most, however many are tried (fixed sequence testing,
    as in Learn then Test, Angelopoulos et al. 2021). The rows that only one of the two gets right
    have exact bounds (`clopper_pearson`), whose errors add up to those 5 %.

    `cheap` and `strong` are (n,) whether each is right, the confidence (n,) is of the cheap one,
    and `most` is a share of all rows. Levels are descending, chosen on other rows than these.
    """
    safe, n = Safe(), len(cheap)
    for level in levels:
        takes = confidence >= level
        taken, losses, gains = (
            int(rows.sum()) for rows in (takes, takes & (strong > cheap), takes & (cheap > strong))
        )
        high = clopper_pearson(losses, n)[1] - clopper_pearson(gains, n)[0]
        if high > most:
            break
        low, up = clopper_pearson(taken, n)
        share = Estimate(value=taken / n, low=low, high=up)
        safe = Safe(level, share, Estimate(value=(losses - gains) / n, high=high))
    return safe


def _confidence(run: Run) -> Floats:
    scores = run.answers[CLEAN].scores
    assert scores is not None
    return np.asarray(np.exp(scores.max(axis=1)))


def _pairing(cheap: CandidateScores, strong: CandidateScores) -> _Pairing | None:
    if cheap.main is None or strong.main is None:
        return None
    if any(run.answers[CLEAN].scores is None for run in cheap.main.runs):
        return None
    stated = cheap.main.by_row(_confidence)
    # The repetition of the strong one that has most answers, and that of the cheap one beside it.
    column = int((~np.isnan(strong.main.right)).sum(axis=0).argmax())
    draw = strong.main.draws[column]
    own = cheap.main.draws.index(draw) if draw in cheap.main.draws else 0
    sides = cheap.main.right[:, own], strong.main.right[:, column], stated[:, own]
    complete = np.asarray(~np.isnan(sides).any(axis=0), dtype=np.bool_)
    if not complete.any():
        return None
    right, strong_right, sure = (side[complete] for side in sides)
    return _Pairing(right, strong_right, sure, complete)

"""What a candidate that reads documents loses: in reading, among others, in retrieval, by format.

The controls ask the same fits the same rows with other passages, so that their paired differences
add up to the whole loss, together with what the form of answers gains that was chosen for the
candidate. Questions of one document are clustered: intervals are by documents and repetitions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from choose.corpus import AMONG_OTHERS, CONDITIONS, DEPTH, GOLD, NOTHING
from choose.judge.diagnosis.doubted_rows import doubted_rows
from choose.judge.evidence import Evidence, HasMetric, MayAbstain
from choose.judge.measures.reading_measures import ranked_low, retrieval_quality
from choose.judge.scores.paired_comparison import Side, compare, condition_tables, interval_of
from choose.judge.scores.score_tables import (
    ARTEFACT,
    CLEAN,
    CandidateScores,
    ScoreTable,
    StudyScores,
    estimand_of,
)
from choose.judge.scores.scored_rows import ScoredRows
from choose.judge.stats.intervals import AGRESTI_COULL, skewed_interval, two_way_interval
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import Mask, answered, row_means, whole_rows
from choose.schema.base import Interval
from choose.schema.diagnosis import Gap, GapName, LossSplit, Retrieved
from choose.types import Floats

# Resamples of the documents that tell how surely the largest gap is the largest.
RESAMPLES = 2_000

# Rows below which nothing is split.
FEWEST = 8

NAMES: tuple[GapName, ...] = ("reading", "retrieval", "distraction")


@dataclass(frozen=True)
class _Common:
    """Scores on the rows that were answered under every control, in whole repetitions.

    Attributes:
        mask: which of the study's rows these are.
        scores: (n, repetitions) by control; "" is what was retrieved.
        draws: the repetitions.
        ids: of the rows.
        documents: the document with the evidence of each row.
        row_set: what the record calls these rows.
    """

    mask: Mask
    scores: Mapping[str, Floats]
    draws: tuple[int, ...]
    ids: tuple[str, ...]
    documents: tuple[str, ...]
    row_set: str

    def mean(self, control: str) -> Interval:
        """Return the mean score under a control."""
        return self.mean_of(self.scores[control], AGRESTI_COULL)

    def gain(self, control: str, over: str) -> Interval:
        """Return the mean difference of two controls."""
        return self.mean_of(self.scores[control] - self.scores[over])

    def ceiling(self, doubted: Collection[str]) -> Interval:
        """Return the share of rows without a suspect label, which a candidate can reach."""
        return self.mean_of(self._reachable(doubted), AGRESTI_COULL)

    def to_ceiling(self, doubted: Collection[str]) -> Interval:
        """Return the mean difference of that and of the score with the right passage."""
        return self.mean_of(self._reachable(doubted) - self.scores[GOLD])

    def _reachable(self, doubted: Collection[str]) -> Floats:
        return np.array([[float(id not in doubted)] for id in self.ids])

    def mean_of(self, values: Floats, pseudo: Sequence[float] = ()) -> Interval:
        """Return the mean of (n, repetitions) differences; of scores, with imaginary rows."""
        if pseudo:
            estimate = two_way_interval(values, self.documents, pseudo=pseudo)
        else:
            estimate = skewed_interval(values, self.documents)
        within = (0.0, 1.0) if pseudo and values.min() >= 0 else (-1.0, 1.0)
        estimand = estimand_of(values.shape[1])
        return Interval.of(estimate, estimand, within=within, row_set=self.row_set)


def loss_splits(evidence: Evidence, panel: StudyScores) -> tuple[LossSplit, ...]:
    """Return the split of each candidate that was asked under every control."""
    doubted = doubted_rows(evidence, panel)
    found = (_split(evidence, candidate, doubted) for candidate in panel.scored)
    splits, with_gold = [split for split in found if split is not None], _with_gold(panel)
    # Questions of one document are clustered here, whatever the estimand of the study.
    documents = tuple(map(evidence.items.document_of, panel.rows.index))
    several = 1 < len(set(documents)) < len(documents)
    rows = replace(panel.rows, clusters=documents if several else None)
    return tuple(split.model_copy(update=_best_reader(split, with_gold, rows)) for split in splits)


def _with_gold(panel: StudyScores) -> dict[str, Side]:
    """Return the answers with the right passage of candidates that were given it."""
    tables = {c.info.name: condition_tables(c.main).get(GOLD) for c in panel.scored if c.main}
    return {name: Side(t, panel[name].repeats) for name, t in tables.items() if t is not None}


def _best_reader(split: LossSplit, sides: Mapping[str, Side], rows: ScoredRows) -> dict[str, Any]:
    """Return which other candidate scores highest with the right passage, and how much more."""
    own, found = sides[split.candidate], dict[str, Difference]()
    for name, side in sides.items():
        gain = compare(side, own, rows) if name != split.candidate else None
        if gain is not None and gain.rows >= FEWEST:
            found[name] = gain
    best = max(found, key=lambda name: found[name].value, default=None)
    return {"best_reader": best, "reader_gain": interval_of(found[best])} if best else {}


def missing_evidence(evidence: Evidence) -> tuple[tuple[str, ...], Interval | None]:
    """Return the questions with an answer that no document is known to hold, and their share.

    The share is of the questions with an answer; null where no evidence is known at all.
    """
    items, task = evidence.items, evidence.task
    if not items.evidence or not isinstance(task, MayAbstain):
        return (), None
    pairs = zip(items.ids, items.targets, strict=True)
    asked = [id for id, target in pairs if not task.abstains(target)]
    missing = [id not in items.evidence for id in asked]
    if not asked:
        return (), None
    estimate = two_way_interval(np.array(missing, float), pseudo=AGRESTI_COULL)
    share = Interval.of(estimate, ARTEFACT, within=(0.0, 1.0))
    return tuple(id for id, one in zip(asked, missing, strict=True) if one), share


def _split(
    evidence: Evidence, candidate: CandidateScores, doubted: Collection[str] | None
) -> LossSplit | None:
    table = candidate.main
    common = _common(evidence, table) if table is not None else None
    if table is None or common is None:
        return None
    one = _reads_one(table, common)
    among = common.scores[GOLD if one else AMONG_OTHERS]
    losses: dict[GapName, Floats] = {
        "reading": 1 - common.scores[GOLD],
        "distraction": common.scores[GOLD] - among,
        "retrieval": among - common.scores[""],
    }
    shares = _shares(losses, common)
    gaps = [
        Gap(name=name, loss=common.mean_of(losses[name]), largest=shares[name])
        for name in NAMES
        if name != "distraction" or not one
    ]
    format_, as_written = _format(evidence, table, common, losses)
    return LossSplit(
        candidate=candidate.info.name,
        rows=int(common.mask.sum()),
        documents=len(set(common.documents)),
        nothing=common.mean(NOTHING),
        retrieved=common.mean(""),
        gold=common.mean(GOLD),
        among_others=None if one else common.mean(AMONG_OTHERS),
        knowledge=common.gain(GOLD, NOTHING),
        brought=common.gain("", NOTHING),
        gaps=tuple(sorted(gaps, key=lambda gap: -gap.loss.value)),
        ceiling=None if doubted is None else common.ceiling(doubted),
        to_ceiling=None if doubted is None else common.to_ceiling(doubted),
        shortened=_shortened(evidence, table, common),
        as_written=as_written,
        format=format_,
        found=_retrieved(evidence, table),
    )


def _shares(losses: Mapping[GapName, Floats], common: _Common) -> dict[str, float]:
    return largest_shares({n: row_means(v) for n, v in losses.items()}, common.documents)


def _reads_one(table: ScoreTable, common: _Common) -> bool:
    """Return whether rows are read with one passage at most, whatever there is."""
    runs = (run for run in table.runs if run.trial.draw in common.draws)
    answers = [a for run in runs if (a := run.answers.get((AMONG_OTHERS, 0))) is not None]
    shown = [passages for one in answers for passages in one.evidence or ()]
    known = all(one.evidence is not None for one in answers)
    return known and bool(shown) and max(map(len, shown)) <= 1


def largest_shares(losses: Mapping[str, Floats], documents: Sequence[str]) -> dict[str, float]:
    """Return in which share of resamples of the documents each mean loss is the largest.

    Args:
        losses: (rows,) by name.
        documents: of each row.
    """
    names, place = np.unique(np.asarray(documents), return_inverse=True)
    sums = np.stack([np.bincount(place, weights=v, minlength=len(names)) for v in losses.values()])
    random = np.random.default_rng(len(names))
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    # Every mean of a resample has the same rows below it, so that sums have the same order.
    winners = np.bincount((counts @ sums.T).argmax(axis=1), minlength=len(losses))
    return {name: float(won / RESAMPLES) for name, won in zip(losses, winners, strict=True)}


def _common(evidence: Evidence, table: ScoreTable | None) -> _Common | None:
    if table is None:
        return None
    tables = condition_tables(table)
    if any(control not in tables for control in CONDITIONS):
        return None
    every = {"": table, **{control: tables[control] for control in CONDITIONS}}
    draws = sorted(set.intersection(*(set(one.draws) for one in every.values())))
    if not draws:
        return None
    scores = {control: one.of_draws(draws) for control, one in every.items()}
    total = np.asarray(sum(scores.values()))
    mask = whole_rows(total, answered(total)) if answered(total).any() else answered(total)
    if mask.sum() < FEWEST:
        return None
    whole = ~np.isnan(total[mask]).any(axis=0)
    ids = [id for id, place in table.rows.index.items() if mask[place]]
    return _Common(
        mask,
        {control: values[mask][:, whole] for control, values in scores.items()},
        tuple(np.array(draws)[whole].tolist()),
        tuple(ids),
        tuple(evidence.items.document_of(id) for id in ids),
        table.rows.row_set(mask),
    )


def _format(
    evidence: Evidence, table: ScoreTable, common: _Common, losses: Mapping[GapName, Floats]
) -> tuple[Gap | None, Interval | None]:
    """Return what the form of answers gains with what was retrieved, and the score without it.

    A gain of exactly 0 where no form changes an answer; None where that cannot be told.
    """
    found = _gains(evidence, table, common, CLEAN)
    if found is None:
        return None, None
    gains, changed = found
    if not changed:
        return Gap(name="format", loss=Interval(value=0.0), largest=0.0), None
    gap = Gap(
        name="format",
        loss=common.mean_of(gains),
        largest=_shares({**losses, "format": gains}, common)["format"],
    )
    return gap, common.mean_of(common.scores[""] - gains)


def _shortened(evidence: Evidence, table: ScoreTable, common: _Common) -> Interval | None:
    """Return what shortened answers gain with the gold passage over what was written."""
    gains, changed = _gains(evidence, table, common, (GOLD, 0)) or (None, False)
    return common.mean_of(gains) if gains is not None and changed else None


def _gains(
    evidence: Evidence, table: ScoreTable, common: _Common, view: tuple[str, int]
) -> tuple[Floats, bool] | None:
    """Return (n, repetitions) what answers gain over what was written, and whether any differs.

    None for a metric of the user's: a stored study may not run code.
    """
    task = evidence.task
    if task is None or (isinstance(task, HasMetric) and task.metric is not None):
        return None
    gains = np.full((len(table.rows.targets), len(common.draws)), np.nan)
    rights = dict(zip(evidence.items.ids, evidence.items.targets, strict=True))
    changed = False
    for run in table.runs:
        answers = run.answers.get(view)
        if answers is None or run.trial.draw not in common.draws:
            continue
        draw = common.draws.index(run.trial.draw)
        for place, id in enumerate(run.asked[view]):
            output, raw = answers.outputs[place], (answers.raw or (None,) * len(answers))[place]
            gain = 0.0
            if output is not None and raw is not None:
                changed = True
                right = (rights[id], *evidence.items.accepted.get(id, ()))
                own, before = (task.score(text, right) for text in (output, raw))
                gain = own[task.metrics[0]] - before[task.metrics[0]]
            gains[table.rows.index[id], draw] = gain
    known = gains[common.mask]
    return None if np.isnan(known).any() else (known, changed)


def _retrieved(evidence: Evidence, table: ScoreTable) -> Retrieved | None:
    """Return how well the passages of the clean answers were retrieved, on rows with evidence.

    Each row counts once, by its first repetition: retrieval does not depend on the seed.
    """
    shown, below = _passages(table)
    ids = [id for id in shown if id in evidence.items.evidence]
    most = max((len(shown[id]) for id in ids), default=0)
    if not most:
        return None
    spans = [evidence.items.evidence[id] for id in ids]
    quality = retrieval_quality([shown[id] for id in ids], spans, (1, most))
    documents = [evidence.items.document_of(id) for id in ids]
    hits = quality.scores[f"hit@{most}"]
    missed = [id for id, hit in zip(ids, hits, strict=True) if not hit]
    low = ranked_low(missed, evidence.items.evidence, below)

    def mean(values: Floats) -> Interval:
        return Interval.of(two_way_interval(values, documents), ARTEFACT, within=(0.0, 1.0))

    def share(some: Collection[str] | None) -> Interval | None:
        if some is None:
            return None
        values = np.array([float(id in some) for id in ids])
        estimate = two_way_interval(values, documents, pseudo=AGRESTI_COULL)
        return Interval.of(estimate, ARTEFACT, within=(0.0, 1.0))

    return Retrieved(
        rows=len(ids),
        k=most,
        first=mean(quality.scores["hit@1"]),
        any=mean(hits),
        reciprocal_rank=quality.means[f"mrr@{DEPTH}"] or 0.0,
        ndcg=quality.means[f"ndcg@{DEPTH}"] or 0.0,
        left=_left(table, ids, hits),
        missed=tuple(missed),
        low=low,
        ranked_low=share(low),
        not_found=share(None if low is None else {*missed} - {*low}),
    )


def _left(table: ScoreTable, ids: Sequence[str], hits: Floats) -> float | None:
    """Return what a reader gains that is right wherever evidence was read; None without scores."""
    own = row_means(table.right)[[table.rows.index[id] for id in ids]]
    left = (hits * (1 - own))[~np.isnan(own)]
    return float(left.mean()) if len(left) else None


def _passages(table: ScoreTable) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the passages that were read for each row, and those found and not read, if known."""
    shown: dict[str, tuple[str, ...]] = {}
    below: dict[str, tuple[str, ...]] = {}
    for run in table.runs:
        asked, answers = run.asked[CLEAN], run.answers[CLEAN]
        shown = {**dict(zip(asked, answers.evidence or (), strict=False)), **shown}
        # What was cut from a prompt was found as well.
        cut = answers.dropped or ((),) * len(asked)
        found = zip(asked, cut, answers.further or (), strict=False)
        below = {**{id: (*out, *under) for id, out, under in found}, **below}
    return shown, below

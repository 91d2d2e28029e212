"""Figures beside the score of answers that are texts: metrics, format gap, fields, length."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.formatting import normalised
from choose.judge.evidence import (
    BriefAnswers,
    Evidence,
    HasParts,
    HoldsLabels,
    MayAbstain,
    ShowsAnswers,
)
from choose.judge.scores.paired_comparison import ASSUMED_SD, Changed, mean_change
from choose.judge.scores.score_tables import CLEAN, CandidateScores, ScoreTable, scores_in
from choose.schema.base import Interval
from choose.schema.scorecard import Abstentions, PartRecord, TextFigures
from choose.stats.intervals import two_way_interval
from choose.types import Floats

# Differences of scores below this are none.
EQUAL = 1e-9

# Words of an answer that are looked at for a part that is right.
MOST_WORDS = 100


def long_answers(evidence: Evidence) -> bool:
    """Return whether the right answers to questions are texts, not a few words."""
    items, task = evidence.items, evidence.task
    pairs = zip(items.ids, items.targets, strict=True)
    right = [(text, *items.accepted.get(id, ())) for id, text in pairs]
    return isinstance(task, BriefAnswers) and task.long_answers(right)


def text_figures(evidence: Evidence, candidate: CandidateScores) -> TextFigures | None:
    """Return the figures of a candidate; None where answers are labels, or it answered nothing."""
    table, task = candidate.main, evidence.task
    if table is None or task is None or task.labels:
        return None
    return TextFigures(
        metrics={name: _mean(candidate, table, _stored(table, name)) for name in task.metrics[1:]},
        format_gap=format_gap(table),
        length=_length(evidence, table),
        abstentions=_abstentions(evidence, table),
        **(_parts(evidence, task, table) if isinstance(task, HasParts) else {}),
    )


def _stored(table: ScoreTable, metric: str) -> Floats:
    """Return (rows, repetitions) stored scores by a metric, NaN where not evaluated."""
    scores = np.full(table.outputs.shape, np.nan)
    for run in table.runs:
        place = [table.rows.index[id] for id in run.asked[CLEAN]]
        scores[place, table.draws.index(run.trial.draw)] = scores_in(run, CLEAN, metric)
    return scores


def _mean(candidate: CandidateScores, table: ScoreTable, scores: Floats) -> Interval:
    rows = table.rows
    estimate = two_way_interval(
        scores[table.complete][:, table.whole],
        rows.clusters_of(table.complete),
        rows.weights_of(table.complete),
        expected=ASSUMED_SD**2,
    )
    return Interval.of(estimate, candidate.estimand, row_set=rows.row_set(table.complete))


def _gap(table: ScoreTable, lenient: Floats) -> Interval:
    """Return what lenient scores of the same answers add to the mean: no less than 0, or 1."""
    change = Changed(lenient - table.right, table.draws, varies=False)
    gap = mean_change(change, table.rows)
    if gap.low is None or gap.high is None:
        return gap
    return gap.model_copy(update={"low": max(gap.low, 0.0), "high": min(gap.high, 1.0)})


def format_gap(table: ScoreTable) -> Interval | None:
    """Return what a score would gain if unusable answers were repaired; None for nothing."""
    if table.stored is None:
        return None
    lenient = _stored(table, "lenient")
    return _gap(table, lenient) if (lenient > table.right).any() else None


def only_cut(table: ScoreTable) -> bool:
    """Return whether the limit of new tokens is the only reason why answers are unusable."""
    given = (run.answers[CLEAN] for run in table.runs)
    why = {s for a in given for o, s in zip(a.outputs, a.status, strict=True) if o is None}
    return why == {"cut"}


def _length(evidence: Evidence, table: ScoreTable) -> float | None:
    """Return the characters of all usable answers over those of their right answers.

    None where answers are no texts to read, such as lists of documents.
    """
    if isinstance(evidence.task, ShowsAnswers):
        return None
    right, pairs = evidence.targets, [(0, 0)]
    for run in table.runs:
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True):
            if output is not None:
                pairs.append((len(output), len(right[id])))
    given, wanted = np.sum(pairs, axis=0)
    return float(given / wanted) if wanted else None


def _abstentions(evidence: Evidence, table: ScoreTable) -> Abstentions | None:
    """Return how often it answered, rightly and falsely; None where every row has an answer."""
    task, right = evidence.task, evidence.targets
    if not isinstance(task, MayAbstain) or not task.unanswerable:
        return None
    gave, has, scores = list[bool](), list[bool](), list[float]()
    for run in table.runs:
        outputs = run.answers[CLEAN].outputs
        strict = scores_in(run, CLEAN).tolist()
        for id, output, score in zip(run.asked[CLEAN], outputs, strict, strict=True):
            if output is not None:
                gave.append(not task.abstains(output))
                has.append(not task.abstains(right[id]))
                scores.append(score)
    given, answerable, score = np.array(gave), np.array(has), np.array(scores)
    if not len(given):
        return None
    return Abstentions(
        answered=float(given.mean()),
        score=_mean_of(score, given),
        false_answers=_mean_of(given, ~answerable),
        needless=_mean_of(~given, answerable),
    )


def _mean_of(values: npt.NDArray[Any], some: npt.NDArray[np.bool_]) -> float | None:
    return float(values[some].mean()) if some.any() else None


def _parts(evidence: Evidence, task: HasParts, table: ScoreTable) -> dict[str, Any]:
    right, totals = evidence.targets, Counter[tuple[str, int]]()
    for run in table.runs:
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True):
            for field, counts in task.counts(output, right[id]).items():
                for place, count in enumerate(counts):
                    totals[field, place] += count
    names = sorted({field for field, _ in totals}, key=lambda field: (-totals[field, 2], field))
    hits, given, wanted = (sum(totals[field, place] for field in names) for place in range(3))
    each = [2 * totals[n, 0] / (totals[n, 1] + totals[n, 2]) for n in names]
    return {
        "macro_f1": float(np.mean(each)) if isinstance(task, HoldsLabels) and each else None,
        "micro_f1": 2 * hits / (given + wanted) if given + wanted else None,
        "fields": tuple(
            PartRecord(
                name=field,
                precision=_share(totals[field, 0], totals[field, 1]),
                recall=_share(totals[field, 0], totals[field, 2]),
                support=round(totals[field, 2] / max(len(table.draws), 1)),
            )
            for field in names
        ),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# As in SQuAD's script, these words do not count.
ARTICLES = {"a", "an", "the"}


def nearest_part(text: str, target: str) -> tuple[str, float]:
    """Return the words of a text, one after another, that share most with a target, and the F1.

    Case, punctuation and articles do not count; of equal parts it is the shortest, then the first.
    """
    right = Counter(_forms(target))
    words = text.split()[:MOST_WORDS]
    forms = [_forms(word) for word in words]
    best, found = (0.0, 0), ""
    for start in range(len(words)):
        said: Counter[str] = Counter()
        for end in range(start, min(len(words), start + 2 * max(right.total(), 1))):
            said.update(forms[end])
            if same := (said & right).total():
                value = 2 * same / (said.total() + right.total())
                if (value, start - end) > best:
                    best, found = (value, start - end), " ".join(words[start : end + 1])
    return found, best[0]


def _forms(text: str) -> list[str]:
    return [word for word in normalised(text).split() if word not in ARTICLES]

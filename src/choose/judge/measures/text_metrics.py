"""Figures beside the score of answers that are texts: metrics, format gap, fields, length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from choose.formatting import normalised
from choose.judge.evidence import (
    BriefAnswers,
    Evidence,
    HasFields,
    HasParts,
    HoldsLabels,
    MayAbstain,
    ShowsAnswers,
)
from choose.judge.scores.out_of_fold import targets
from choose.judge.scores.paired_comparison import ASSUMED_SD, Changed, mean_change
from choose.judge.scores.score_tables import (
    CLEAN,
    CandidateScores,
    ScoreTable,
    scores_in,
)
from choose.judge.stats.intervals import two_way_interval
from choose.schema.base import Interval
from choose.schema.scorecard import Abstentions, FieldRecord, TextFigures, literal_among
from choose.types import Floats

# Differences of scores below this are none.
EQUAL = 1e-9

# Words of an answer that are looked at for a part that is right.
MOST_WORDS = 100


def long_answers(evidence: Evidence) -> float | None:
    """Return the median words of right answers to questions where these are texts, else None."""
    items, task = evidence.items, evidence.task
    if not isinstance(task, BriefAnswers):
        return None
    pairs = zip(items.ids, items.targets, strict=True)
    return task.long_words([(text, *items.accepted.get(id, ())) for id, text in pairs])


def text_figures(
    evidence: Evidence, candidate: CandidateScores, literal: Collection[str] = ()
) -> TextFigures | None:
    """Return the figures of a candidate; None where answers are labels, or it answered nothing.

    Args:
        evidence: with the task and the right answers.
        candidate: its score tables.
        literal: the fields of records whose values should occur in the input.
    """
    table, task = candidate.main, evidence.task
    if table is None or task is None or task.labels:
        return None
    fields: dict[str, Any] = {}
    if isinstance(task, HasParts):
        fields = _parts(evidence, task, table)
        if literal and (gains := _without_inventions(evidence, table, literal)) is not None:
            fields["dropped"] = mean_change(Changed(gains, table.draws, varies=False), table.rows)
    return TextFigures(
        metrics={name: _mean(candidate, table, _stored(table, name)) for name in task.metrics[1:]},
        format_gap=format_gap(table),
        length=_length(evidence, table),
        abstentions=_abstentions(evidence, table),
        **fields,
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


class Lead(NamedTuple):
    """A metric beside the score by which another candidate is ahead, with means on shared rows."""

    metric: str
    other: float
    own: float
    rows: int


def leads_by_other_metrics(own: ScoreTable, other: ScoreTable) -> list[Lead]:
    """Return the metrics beside the score by which `other` is ahead, the largest lead first."""
    shared = own.complete & other.complete
    if not shared.any():
        return []
    leads = list[Lead]()
    for name in [*own.runs[0].scores[CLEAN]][1:]:
        theirs, ours = (float(np.nanmean(_stored(t, name)[shared])) for t in (other, own))
        leads.append(Lead(name, theirs, ours, int(shared.sum())))
    ahead = [lead for lead in leads if lead.metric != "lenient" and lead.other > lead.own]
    return sorted(ahead, key=lambda lead: lead.own - lead.other)


def _length(evidence: Evidence, table: ScoreTable) -> float | None:
    """Return the characters of all usable answers over those of their right answers.

    None where answers are no texts to read, such as lists of documents.
    """
    if isinstance(evidence.task, ShowsAnswers):
        return None
    right, pairs = targets(evidence), [(0, 0)]
    for run in table.runs:
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True):
            if output is not None:
                pairs.append((len(output), len(right[id])))
    given, wanted = np.sum(pairs, axis=0)
    return float(given / wanted) if wanted else None


def _abstentions(evidence: Evidence, table: ScoreTable) -> Abstentions | None:
    """Return how often it answered, rightly and falsely; None where every row has an answer."""
    task, right = evidence.task, targets(evidence)
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
    right, totals = targets(evidence), Counter[tuple[str, int]]()
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
            FieldRecord(
                field=field,
                precision=_share(totals[field, 0], totals[field, 1]),
                recall=_share(totals[field, 0], totals[field, 2]),
                support=round(totals[field, 2] / max(len(table.draws), 1)),
            )
            for field in names
        ),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def literal_fields(evidence: Evidence) -> tuple[str, ...]:
    """Return the fields whose right values nearly always occur in their inputs.

    Right values of training rows and test rows count; the answers of candidates do not.
    """
    if not isinstance(evidence.task, HasFields) or not evidence.inputs:
        return ()
    task, inputs = evidence.task, evidence.inputs
    return literal_among(
        task.values(target, inputs[id]) for id, target in targets(evidence).items()
    )


def _without_inventions(
    evidence: Evidence, table: ScoreTable, literal: Collection[str]
) -> Floats | None:
    """Return what field F1 gains by dropping values of literal fields that the input has not.

    Where a candidate dropped them itself, it is what that gained over the answer as written.
    (rows, repetitions), NaN where not evaluated; None where there are no such values. It is field
    F1 whatever the study's metric is, since a user's function is not run on stored answers.
    """
    task, right = evidence.task, targets(evidence)
    assert isinstance(task, HasFields)
    scores = np.where(np.isnan(table.right), np.nan, 0.0)
    known: dict[tuple[str, str], float] = {}
    for run in table.runs:
        column = table.draws.index(run.trial.draw)
        given = run.answers[CLEAN]
        written = given.raw or (None,) * len(given)
        for id, output, raw in zip(run.asked[CLEAN], given.outputs, written, strict=True):
            if output is None:
                continue
            output = output if raw is None else raw
            if (id, output) not in known:
                values = task.values(output, evidence.inputs[id])
                drop = {key for key, (_, stands) in values.items() if not stands}
                drop = {key for key in drop if key[0] in literal}
                known[id, output] = np.nan
                if drop:
                    kept = _f1(task, task.without(output, drop), right[id])
                    known[id, output] = kept - _f1(task, output, right[id])
            if not np.isnan(known[id, output]):
                scores[table.rows.index[id], column] = known[id, output]
    return scores if any(not np.isnan(value) for value in known.values()) else None


def _f1(task: HasFields, output: str, target: str) -> float:
    counts = task.counts(output, target).values()
    right, given, wanted = (sum(count[place] for count in counts) for place in range(3))
    return 2 * right / (given + wanted) if given + wanted else 1.0


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

"""Figures beside the score of answers that are texts: metrics, format gap, fields."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.judge.evidence import Evidence
from choose.judge.scores.paired_comparison import ASSUMED_SD, mean_change, mean_over
from choose.judge.scores.score_tables import CLEAN, CandidateScores, ScoreTable, scores_in
from choose.schema.scorecard import Abstentions, PartRecord, TextFigures
from choose.stats import Estimate
from choose.tasks.answering import Answering
from choose.tasks.extraction import Extraction
from choose.tasks.multilabel import Multilabel

# Differences of scores below this are none.
EQUAL = 1e-9


def text_figures(evidence: Evidence, candidate: CandidateScores) -> TextFigures | None:
    """Return the figures of a candidate; None where answers are labels, or it answered nothing."""
    table, task = candidate.main, evidence.task
    if table is None or task is None or task.labels:
        return None
    return TextFigures(
        metrics={name: _mean(candidate, table, name) for name in task.metrics[1:]},
        abstentions=_abstentions(evidence, table),
        **(_parts(evidence, task, table) if isinstance(task, Extraction | Multilabel) else {}),
    )


def _mean(candidate: CandidateScores, table: ScoreTable, metric: str) -> Estimate:
    scores = table.by_row(lambda run: scores_in(run, CLEAN, metric))
    block = scores[table.complete][:, table.whole]
    found = mean_over(block, table.complete, table.rows, expected=ASSUMED_SD**2)
    return replace(found, estimand=candidate.estimand)


def format_gap(table: ScoreTable) -> Estimate | None:
    """Return what a score would gain if unusable answers were repaired; None for nothing."""
    if table.stored is None:
        return None
    lenient = table.by_row(lambda run: scores_in(run, CLEAN, "lenient"))
    if not (lenient > table.right).any():
        return None
    gap = mean_change(lenient - table.right, table.rows)
    assert gap.low is not None
    assert gap.high is not None
    return replace(gap, low=max(gap.low, 0.0), high=min(gap.high, 1.0))


def only_cut(table: ScoreTable) -> bool:
    """Return whether the limit of new tokens is the only reason why answers are unusable."""
    given = (run.answers[CLEAN] for run in table.runs)
    why = {s for a in given for o, s in zip(a.outputs, a.status, strict=True) if o is None}
    return why == {"cut"}


def _abstentions(evidence: Evidence, table: ScoreTable) -> Abstentions | None:
    """Return how often it answered, rightly and falsely; None where every row has an answer."""
    task, right = evidence.task, evidence.targets
    if not isinstance(task, Answering) or not task.unanswerable:
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


def _parts(evidence: Evidence, task: Extraction | Multilabel, table: ScoreTable) -> dict[str, Any]:
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
        "macro_f1": float(np.mean(each)) if isinstance(task, Multilabel) and each else None,
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

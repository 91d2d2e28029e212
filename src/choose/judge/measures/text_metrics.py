"""Figures beside the score of answers that are texts: metrics and fields."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from choose.judge.evidence import Evidence
from choose.judge.scores.paired_comparison import ASSUMED_SD, mean_over
from choose.judge.scores.score_tables import CandidateScores, ScoreTable, scores_in
from choose.schema.candidate_scorecard import PartRecord, TextFigures
from choose.stats import Estimate
from choose.tasks.extraction import Extraction
from choose.tasks.multilabel import Multilabel
from choose.types import CLEAN

# Differences of scores below this are none.
EQUAL = 1e-9


def text_figures(evidence: Evidence, candidate: CandidateScores) -> TextFigures | None:
    """Return the figures of a candidate; None where answers are labels, or it answered nothing."""
    table, task = candidate.main, evidence.task
    if table is None or task is None or task.labels:
        return None
    return TextFigures(
        metrics={name: _mean(candidate, table, name) for name in task.metrics[1:]},
        **(_parts(evidence, task, table) if isinstance(task, Extraction | Multilabel) else {}),
    )


def _mean(candidate: CandidateScores, table: ScoreTable, metric: str) -> Estimate:
    scores = table.by_row(lambda run: scores_in(run, CLEAN, metric))
    block = scores[table.complete][:, table.whole]
    found = mean_over(block, table.complete, table.rows, expected=ASSUMED_SD**2)
    return replace(found, estimand=candidate.estimand)


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

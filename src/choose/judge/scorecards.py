"""One card a candidate: everything that was measured of it, nothing that was not."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from choose.judge.answers import CLEAN, Table, coded
from choose.judge.costs import cost_of
from choose.judge.crossed import crossed
from choose.judge.endpoint_service import service_of
from choose.judge.intervals import (
    AGRESTI_COULL,
    Estimate,
    two_way_interval,
    variance_components,
    wilson,
)
from choose.judge.metrics import (
    UNUSABLE,
    Codes,
    expected_calibration_error,
    macro_f1_rows,
    per_label,
)
from choose.judge.panel import Measured
from choose.judge.record import Interval, LabelRecord, Scorecard, Variance
from choose.judge.robustness import curve_of, estimate
from choose.judge.rule import Rule
from choose.judge.scenario_scores import noise, out_of_scope_recall, stability
from choose.judge.selective import selective


def scorecard(candidate: Measured, rule: Rule) -> Scorecard:
    """Return a candidate's card; one that never finished a fit has errors and no figures."""
    info, table = candidate.info, candidate.main
    bare = Scorecard(
        candidate=info.name,
        strategy=info.strategy,
        family=info.family,
        model=info.model,
        errors=candidate.errors,
    )
    if table is None:
        return bare
    return bare.model_copy(
        update={
            "rows": int(table.kept.sum()),
            "repetitions": candidate.repetitions,
            "accuracy": accuracy(candidate),
            "macro_f1": _macro_f1(candidate, table),
            "per_class": _per_class(table),
            "variance": _variance(candidate, table),
            "churn": _churn(table.answers),
            "noise": noise(candidate),
            "stability": stability(candidate),
            "out_of_scope_recall": out_of_scope_recall(_per_class(table), rule.out_of_scope),
            "selective": selective(table),
            "format_valid": float((table.answers != UNUSABLE).mean()),
            "calibration_error": _calibration(table),
            "curve": curve_of(candidate),
            "cost": cost_of(candidate, rule),
            "service": service_of(candidate),
        }
    )


def accuracy(candidate: Measured) -> Interval | None:
    """Return accuracy, by Wilson for one artefact on rows that stand alone, else two-way."""
    table = candidate.main
    if table is None:
        return None
    right, rows = table.block, table.rows
    even = rows.weights_of(table.kept) is None
    alike = rows.clusters is None and even and rows.credit is None
    if right.shape[1] == 1 and alike:
        low, high = wilson(float(right.sum()), len(right))
        found = Estimate(value=float(right.mean()), low=low, high=high)
    else:
        found = estimate(table)
    return _named(found, candidate)


def _named(found: Estimate, candidate: Measured) -> Interval:
    return Interval(value=found.value, low=found.low, high=found.high, estimand=candidate.estimand)


def _macro_f1(candidate: Measured, table: Table) -> Interval:
    targets, labels, rows = table.rows.targets[table.kept], len(table.rows.labels), table.rows
    values = np.stack([macro_f1_rows(targets, column, labels) for column in table.answers.T], 1)
    found = two_way_interval(
        values, rows.clusters_of(table.kept), rows.plain_weights_of(table.kept), AGRESTI_COULL
    )
    return Interval(
        value=found.value,
        low=max(found.low, 0.0),
        high=min(found.high, 1.0),
        estimand=candidate.estimand,
    )


def _per_class(table: Table) -> tuple[LabelRecord, ...]:
    answers = table.answers
    targets = np.repeat(table.rows.targets[table.kept], answers.shape[1])
    found = per_label(targets, answers.ravel(), len(table.rows.labels))
    return tuple(
        LabelRecord(
            label=label,
            precision=_known(found.precision[i]),
            recall=_known(found.recall[i]),
            support=int(found.support[i]) // answers.shape[1],
        )
        for i, label in enumerate(table.rows.labels)
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _variance(candidate: Measured, table: Table) -> Variance:
    """Return standard deviations of accuracy; repetitions of a drawn pool vary draw and seed.

    A candidate that no seed can change has no seed variance to measure: null, like any source
    that was not varied.
    """
    clusters, weights = table.rows.clusters_of(table.kept), table.rows.weights_of(table.kept)
    parts = crossed(table.block, clusters, weights)
    repetition = variance_components(table.block, clusters, weights).repetition
    return Variance(
        test_rows=float(np.sqrt(parts.items)),
        draw=repetition if candidate.drawn else None,
        seed=None if candidate.drawn else repetition,
        wording=_wording(candidate),
    )


def _wording(candidate: Measured) -> float | None:
    """Return the standard deviation over wordings on the rows and repetition that all have.

    A spread, never a maximum: the best wording on reported rows is not what a user would get.
    """
    tables = list(candidate.wordings.values())
    if len(tables) < 2:
        return None
    draws = set.intersection(*(set(table.draws) for table in tables))
    if not draws:
        return None
    scores = np.concatenate([table.of_draws([min(draws)]) for table in tables], axis=1)
    kept = np.asarray(~np.isnan(scores).any(axis=1), dtype=np.bool_)
    if not kept.any():
        return None
    means = np.average(scores[kept], axis=0, weights=tables[0].rows.weights_of(kept))
    return float(means.std(ddof=1))


def _churn(answers: Codes) -> float | None:
    """Return the share of answers that differ between two repetitions, over all pairs."""
    pairs = [float((a != b).mean()) for a, b in combinations(answers.T, 2)]
    return float(np.mean(pairs)) if pairs else None


def _calibration(table: Table) -> float | None:
    stated, right = [], []
    for run in table.runs:
        scores = run.answers[CLEAN].scores
        if scores is None:
            return None
        place, codes = coded(run, CLEAN, table.rows)
        given = codes != UNUSABLE
        stated.append(np.exp(scores[given, codes[given]]))
        right.append(codes[given] == table.rows.targets[place[given]])
    confidence, scored = np.concatenate(stated), np.concatenate(right)
    usable = np.isfinite(confidence)
    if not usable.any():
        return None
    return expected_calibration_error(np.minimum(confidence[usable], 1.0), scored[usable])

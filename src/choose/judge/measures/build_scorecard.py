"""One card a candidate: everything that was measured of it, nothing that was not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from choose.judge.goal import Rule
from choose.judge.measures.confidence import low_confidence
from choose.judge.measures.drift_and_new_class import (
    drop_of,
    losses_by_source,
    new_class_of,
)
from choose.judge.measures.robustness import (
    CommonRows,
    common_rows,
    curve_of,
    estimate,
    noise_of,
    on_rows,
    shared_rows,
    stability_of,
)
from choose.judge.scores.paired_comparison import (
    ASSUMED_SD,
    Side,
    accuracy_on,
    compare,
    interval_of,
    shared_training,
)
from choose.judge.scores.score_tables import CLEAN, CandidateScores, ScoreTable
from choose.judge.stats.intervals import AGRESTI_COULL, Estimate, two_way_interval, wilson
from choose.judge.stats.metrics import (
    UNUSABLE,
    Codes,
    macro_f1_rows,
    per_label,
)
from choose.judge.stats.two_way import two_way, variance_components
from choose.schema.base import Interval
from choose.schema.scorecard import (
    Cost,
    LabelRecord,
    Scorecard,
    Service,
    SettingPoint,
    Stability,
    Variance,
)
from choose.types import Answers, Run

# Above it, pairs of repetitions are counted rather than compared one by one.
MANY_REPETITIONS = 50


def service_of(candidate: CandidateScores) -> Service | None:
    """Return what was seen of the service, None where there is none or nothing was answered."""
    info = candidate.info
    if candidate.main is None or info.behind is None:
        return None
    answers = [run.answers[CLEAN] for run in candidate.main.runs]
    counts = Counter(status for answer in answers for status in answer.status)
    rows = max(1, counts.total())
    p50, p95 = _latency(answers)
    instability, repeats, repeated = _instability(candidate.main.runs)
    return Service(
        behind=info.behind,
        latency_p50=p50,
        latency_p95=p95,
        concurrency=info.concurrency,
        cached_share=_cached(answers),
        refused=counts["refused"] / rows,
        empty=counts["empty"] / rows,
        cut=counts["cut"] / rows,
        off_list=counts["off-list"] / rows,
        instability=instability,
        repeats=repeats,
        repeated_rows=repeated,
    )


def _latency(answers: Sequence[Answers]) -> tuple[float | None, float | None]:
    measured = [answer.latency for answer in answers if answer.latency is not None]
    seconds = np.concatenate(measured) if measured else np.zeros(0)
    seconds = seconds[np.isfinite(seconds)]
    if not len(seconds):
        return None, None
    p50, p95 = np.percentile(seconds, [50, 95])
    return float(p50), float(p95)


def _cached(answers: Sequence[Answers]) -> float | None:
    """Return the share of tokens read from a cache; None where a server does not report it."""
    known = [(a.tokens_cached, a.tokens_in) for a in answers]
    pairs = [(c.sum(), r.sum()) for c, r in known if c is not None and r is not None]
    if len(pairs) < len(known) or not (read := sum(r for _, r in pairs)):
        return None
    return float(sum(c for c, _ in pairs) / read)


def _instability(runs: Sequence[Run]) -> tuple[float | None, int, int]:
    """Return the share of rows whose answer changed, the repeats, and the number of rows."""
    given: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for run in runs:
        if ("clean", 1) in run.answers:
            for view in (view for view in run.answers if view[0] == "clean"):
                for id, output in zip(run.asked[view], run.answers[view].outputs, strict=True):
                    given[run.trial.key, id].append(output)
    repeats = max((len(outputs) for outputs in given.values()), default=1)
    rows = [outputs for outputs in given.values() if len(outputs) == repeats > 1]
    if not rows:
        return None, 1, 0
    return float(np.mean([len(set(outputs)) > 1 for outputs in rows])), repeats, len(rows)


def stability(candidate: CandidateScores, views: Mapping[str, ScoreTable]) -> Stability:
    """Return how a candidate holds under views, over time, by source and when a class is new."""
    drop, other = drop_of(candidate), drop_of(candidate, "source")
    return stability_of(candidate, views).model_copy(
        update={
            "temporal_drop": interval_of(drop) if drop is not None else None,
            "source_loss": interval_of(other) if other is not None else None,
            "sources": losses_by_source(candidate),
            "new_class": new_class_of(candidate),
        }
    )


def scorecard(
    candidate: CandidateScores, cost: Cost, rule: Rule, common: CommonRows | None = None
) -> Scorecard:
    """Return a candidate's card; one that never finished a fit has errors and no figures.

    Noise, views and smaller pools are measured on the `common` rows, or its own without any.
    """
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
    common = common or common_rows((candidate,))
    settings = settings_of(candidate)
    return bare.model_copy(
        update={
            "rows": int(table.complete.sum()),
            "repetitions": candidate.repetitions,
            "accuracy": accuracy(candidate),
            "macro_f1": _macro_f1(candidate, table),
            "per_class": _per_class(table),
            "variance": _variance(candidate, table, settings),
            "churn": _churn(table.answers),
            "noise": noise_of(common.with_noise(candidate)),
            "stability": stability(candidate, common.views_of(candidate)),
            "format_valid": float((table.answers != UNUSABLE).mean()),
            "low_confidence": low_confidence(table),
            "curve": curve_of(common.with_sizes(candidate)),
            "settings": settings,
            "cost": cost,
            "service": service_of(candidate),
        }
    )


def accuracy(candidate: CandidateScores) -> Interval | None:
    """Return the mean score: by Wilson for one artefact and independent 0/1 scores, else two-way.

    Balanced accuracy of a constant answer is known without error.
    """
    table = candidate.main
    if table is None:
        return None
    right, rows = table.block, table.rows
    even = rows.weights_of(table.complete) is None
    alike = rows.clusters is None and even and bool(np.isin(right, (0, 1)).all())
    if rows.even and candidate.info.constant and len(np.unique(table.answers)) == 1:
        # One label for every row: its recall is 1, that of every other label 0, on any rows.
        recall = 1 / len(np.unique(rows.targets[table.complete]))
        point = Estimate(value=recall, low=recall, high=recall)
    elif right.shape[1] == 1 and alike:
        growth = shared_training(table, table.complete)
        low, high = wilson(float(right.sum()) / growth, len(right) / growth)
        point = Estimate(value=float(right.mean()), low=low, high=high)
    else:
        point = estimate(table)
    return Interval.of(point, candidate.estimand, row_set=rows.row_set(table.complete))


def _macro_f1(candidate: CandidateScores, table: ScoreTable) -> Interval | None:
    if not table.rows.labels:
        return None
    targets, labels, rows = table.rows.targets[table.complete], len(table.rows.labels), table.rows
    values = np.stack([macro_f1_rows(targets, column, labels) for column in table.answers.T], 1)
    point = two_way_interval(
        values,
        rows.clusters_of(table.complete),
        rows.plain_weights_of(table.complete),
        AGRESTI_COULL,
        expected=ASSUMED_SD**2,
    )
    row_set = rows.row_set(table.complete)
    return Interval.of(point, candidate.estimand, within=(0.0, 1.0), row_set=row_set)


def _per_class(table: ScoreTable) -> tuple[LabelRecord, ...]:
    if not table.rows.labels:
        return ()
    answers = table.answers
    targets = np.repeat(table.rows.targets[table.complete], answers.shape[1])
    scores = per_label(targets, answers.ravel(), len(table.rows.labels))
    return tuple(
        LabelRecord(
            label=label,
            precision=_known(scores.precision[i]),
            recall=_known(scores.recall[i]),
            support=int(scores.support[i]) // answers.shape[1],
        )
        for i, label in enumerate(table.rows.labels)
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _variance(
    candidate: CandidateScores, table: ScoreTable, settings: Sequence[SettingPoint]
) -> Variance:
    """Return standard deviations of accuracy; repetitions of a drawn pool vary draw and seed.

    A candidate that no seed can change has no seed variance to measure: null, like any source
    that was not varied.
    """
    clusters, weights = (
        table.rows.clusters_of(table.complete),
        table.rows.weights_of(table.complete),
    )
    parts = two_way(table.block, clusters, weights)
    repetition = variance_components(table.block, clusters, weights).repetition
    return Variance(
        test_rows=float(np.sqrt(parts.items)),
        draw=repetition if candidate.drawn else None,
        seed=None if candidate.drawn else repetition,
        wording=_spread([point for point in settings if point.wording]),
        settings=_spread([point for point in settings if not point.wording]),
    )


def _spread(settings: Sequence[SettingPoint]) -> float | None:
    """Return the standard deviation over settings and the candidate's own, on common rows.

    A spread, never a maximum: the best wording on reported rows is not what a user would get.
    """
    if not settings:
        return None
    return float(np.std([0.0, *(point.change.value for point in settings)], ddof=1))


def settings_of(candidate: CandidateScores) -> tuple[SettingPoint, ...]:
    """Return every other setting against the candidate's own, all on the same rows."""
    shared = shared_rows(candidate.wordings.values())
    tables = {name: on_rows(table, shared) for name, table in candidate.wordings.items()}
    own = tables.pop("", None)
    if own is None:
        return ()
    points = []
    for name, table in tables.items():
        change = compare(Side(table, candidate.repeats), Side(own, candidate.repeats))
        accuracy = accuracy_on(table, table.complete)
        if change is not None and accuracy is not None:
            points.append(
                SettingPoint(
                    setting=name,
                    wording=_is_wording(candidate, table, own),
                    accuracy=accuracy[0],
                    change=interval_of(change),
                    rows=change.rows,
                )
            )
    return tuple(points)


def _is_wording(candidate: CandidateScores, table: ScoreTable, own: ScoreTable) -> bool:
    """Return whether a setting differs from the candidate's own in the prompt's wording only."""
    if candidate.info.family not in ("prompting", "retrieval"):
        return False
    first, second = (t.runs[0].trial.params for t in (table, own))
    return all(first.get(k) == second.get(k) for k in {*first, *second} - {"wording"})


def _churn(answers: Codes) -> float | None:
    """Return the share of answers that differ between two repetitions, over all pairs."""
    rows, count = answers.shape
    if count > MANY_REPETITIONS:
        given = ((answers == code).sum(axis=1) for code in np.unique(answers))
        alike = sum(int((times**2).sum()) for times in given)
        apart: float = (rows * count**2 - alike) / (rows * count * (count - 1))
        return apart
    pairs = [float((a != b).mean()) for a, b in combinations(answers.T, 2)]
    return float(np.mean(pairs)) if pairs else None

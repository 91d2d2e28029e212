"""One card a candidate: everything that was measured of it, nothing that was not.

Some rows are harder than others, and a budget may end when candidates have answered different ones.
So figures beside each other are of rows that all of them cover (`common_rows`). A part that covers
less than half as many as the largest would cost too many: it keeps its own, which the record names.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from choose.judge.evidence import Evidence
from choose.judge.measures.costs import latencies
from choose.judge.scores.paired_comparison import (
    ASSUMED_SD,
    Side,
    accuracy_loss,
    accuracy_on,
    changed,
    compare,
    estimate_of,
    full_pool,
    mean_change,
    mean_over,
    other_pool,
    scenario_table,
    shared_training,
    view_tables,
)
from choose.judge.scores.promised_score import rows_seen
from choose.judge.scores.score_tables import MISSING, CandidateScores, ScoreTable, scores_in
from choose.schema.candidate_scorecard import (
    Cost,
    CurvePoint,
    NewClass,
    NewClassPoint,
    NoisePoint,
    PartRecord,
    Scorecard,
    Service,
    SettingPoint,
    SourceLoss,
    Stability,
    TextFigures,
    Variance,
    ViewPoint,
)
from choose.stats import Estimate
from choose.stats.intervals import wilson
from choose.stats.paired import Difference
from choose.stats.two_way import Mask, two_way
from choose.tasks.extraction import Extraction
from choose.tasks.metrics import UNUSABLE, macro_f1, per_label
from choose.tasks.multilabel import Multilabel
from choose.types import CLEAN


def noise_of(candidate: CandidateScores) -> tuple[NoisePoint, ...]:
    """Return what accuracy loses to each rate of wrong labels, on the same rows."""
    points = []
    for rate, table in sorted(candidate.noise.items() if candidate.main else ()):
        loss = compare(full_pool(candidate), other_pool(candidate, table))
        noisy = accuracy_on(table, table.complete)
        if loss is not None and noisy is not None:
            points.append(NoisePoint(rate=rate, accuracy=noisy, loss=estimate_of(loss)))
    return tuple(points)


def curve_of(candidate: CandidateScores) -> tuple[CurvePoint, ...]:
    """Return accuracy by number of labels, the compared size last; nothing is extrapolated."""
    if (main := candidate.main) is None:
        return ()
    return tuple(
        CurvePoint(labels=size, **asdict(found))
        for size, table in [*sorted(candidate.sizes.items()), (candidate.pool, main)]
        if (table.complete == main.complete).all()
        if (found := accuracy_on(table, table.complete))
    )


def _view(view: str, table: ScoreTable, main: ScoreTable) -> ViewPoint:
    clean = main.outputs[:, [main.draws.index(draw) for draw in table.draws]]
    return ViewPoint(
        view=view,
        rows=int(((table.outputs != MISSING) & (clean != MISSING)).any(axis=1).sum()),
        change=mean_change(changed(main, table), table.rows),
    )


# A table with fewer rows than this part of the largest keeps its own.
LEAST = 0.5


def shared_rows(tables: Iterable[ScoreTable]) -> Mask | None:
    """Return the rows that all but the smallest tables cover; None where these share none."""
    given = list(tables)
    largest = max((int(table.complete.sum()) for table in given), default=0)
    kept = [table for table in given if table.complete.sum() >= LEAST * largest]
    shared, before = _covered_by_all(kept), None
    # On fewer rows other repetitions may be the complete ones, which may lack some of the rows.
    while before is None or (shared != before).any():
        before = shared
        shared = _covered_by_all([_restricted(table, shared) for table in kept])
    return shared if shared.any() else None


def _covered_by_all(tables: Sequence[ScoreTable]) -> Mask:
    covered = [table.complete for table in tables] or [np.zeros(0, dtype=np.bool_)]
    return np.asarray(np.logical_and.reduce(covered), dtype=np.bool_)


def _restricted(table: ScoreTable, rows: Mask) -> ScoreTable:
    return replace(table, outputs=np.where(rows[:, None], table.outputs, MISSING))


def on_rows(table: ScoreTable, rows: Mask | None) -> ScoreTable:
    """Return a table on these rows only; as it is where it does not cover them all."""
    if rows is None:
        return table
    restricted = _restricted(table, rows)
    return restricted if (restricted.complete == rows).all() else table


@dataclass(frozen=True)
class CommonRows:
    """Of all candidates: the rows with label noise, after smaller pools, and by view."""

    noise: Mask | None
    sizes: Mask | None
    views: dict[str, Mask | None]

    def on(self, candidate: CandidateScores, part: Literal["noise", "sizes"]) -> CandidateScores:
        """Return a candidate's clean answers and those of a part on the common rows.

        The clean ones are on the rows of the others where none of these has the common rows.
        """
        rows = getattr(self, part)
        others = {key: on_rows(table, rows) for key, table in getattr(candidate, part).items()}
        if rows is not None and not any((t.complete == rows).all() for t in others.values()):
            rows = shared_rows(others.values())
        main = None if candidate.main is None else on_rows(candidate.main, rows)
        found: dict[str, Any] = {"main": main, part: others}
        return replace(candidate, **found)


def common_rows(candidates: Sequence[CandidateScores]) -> CommonRows:
    scored = [(c, c.main) for c in candidates if c.main is not None]
    noise = [t for c, main in scored if c.noise for t in (main, *c.noise.values())]
    sizes = [t for c, main in scored if c.sizes for t in (main, *c.sizes.values())]
    seen: dict[str, list[ScoreTable]] = {}
    for _, main in scored:
        for view, table in view_tables(main).items():
            seen.setdefault(view, []).append(table)
    views = {view: shared_rows(tables) for view, tables in seen.items()}
    return CommonRows(shared_rows(noise), shared_rows(sizes), views)


Kind = Literal["time", "source"]


def drop_of(
    candidate: CandidateScores, kind: Kind = "time", source: str | None = None
) -> Difference | None:
    """Return accuracy after training on rows of any time minus that after earlier rows.

    Of ``source`` it is that after rows of all sources minus that after rows of the others, on all
    sources or one. Paired: the same test rows, after fits on the same number of rows. There is one
    past only, but another one of its size would give another fit: a side that was fitted once is
    taken to vary as fits on rows of any time do, or, where these were not repeated either, as is
    assumed of candidates.
    """

    def side(any_rows: bool) -> ScoreTable | None:
        return scenario_table(
            candidate,
            lambda s: (
                s.kind == kind
                and (s.learns_from == "any") is any_rows
                and source in (None, s.label)
            ),
        )

    past = side(False)
    # A candidate that learns nothing answers once for both.
    any_rows = side(True) or (None if candidate.info.learns else past)
    if any_rows is None or past is None:
        return None
    return accuracy_loss(any_rows, past, assumed=_assumed(candidate, any_rows, past))


def losses_by_source(candidate: CandidateScores) -> tuple[SourceLoss, ...]:
    """Return what it loses on each source that no training row is from, the worst first.

    The worst is the largest of several, so all intervals hold together (Bonferroni).
    """
    scenarios = (run.trial.scenario for run in candidate.scenario_runs)
    found, names = [], sorted({s.label for s in scenarios if s.kind == "source"})
    for name in names:
        if (loss := drop_of(candidate, "source", name)) is not None:
            low, high = loss.bounds(1 - 0.05 / len(names))
            within = estimate_of(replace(loss, low=low, high=high))
            found.append(SourceLoss(source=name, rows=loss.rows, loss=within))
    return tuple(sorted(found, key=lambda one: -one.loss.value))


def _assumed(candidate: CandidateScores, any_time: ScoreTable, past: ScoreTable) -> float:
    """Return the variance that one fit a side leaves unseen."""
    if not candidate.info.learns:
        return 0.0
    fits = {(run.trial.scenario.cut, run.trial.scenario.label) for run in past.runs}
    variance = ASSUMED_SD**2 / len(fits)
    if any_time.block.shape[1] > 1:
        parts = two_way(any_time.block, any_time.rows.clusters_of(any_time.complete))
        # Not freed from the residual: with few repetitions the difference is often 0.
        variance = parts.columns * parts.repetitions
    return variance * sum(len(table.draws) == 1 for table in (any_time, past))


def new_class_of(candidate: CandidateScores) -> NewClass | None:
    """Return recall on the withheld class, and the loss on all others, by examples given back."""
    scenarios = {
        r.trial.scenario for r in candidate.scenario_runs if r.trial.scenario.kind == "new-class"
    }
    tables = {s.examples: scenario_table(candidate, s.__eq__) for s in scenarios}
    label = next((s.label for s in scenarios), "")
    points = []
    for examples, table in sorted(tables.items()):
        theirs = None if table is None else table.rows.of_class(label)
        if table is None or theirs is None or (recall := accuracy_on(table, theirs)) is None:
            continue
        without = tables.get(0) if examples else None
        loss = None if without is None else accuracy_loss(without, table, ~theirs)
        lost = None if loss is None else estimate_of(loss)
        points.append(NewClassPoint(examples=examples, recall=recall, loss=lost))
    return NewClass(label=label, points=tuple(points)) if points else None


def service_of(candidate: CandidateScores) -> Service | None:
    """Return what was seen of the service, None where there is none or nothing was answered."""
    info = candidate.info
    if candidate.main is None or info.behind is None:
        return None
    answers = [run.answers[CLEAN] for run in candidate.main.runs]
    counts = Counter(status for answer in answers for status in answer.status)
    rows = max(1, counts.total())
    waits = latencies(candidate.main.runs)
    p50, p95 = (None, None) if waits is None or not len(waits) else np.percentile(waits, [50, 95])
    return Service(
        behind=info.behind,
        latency_p50=p50,
        latency_p95=p95,
        unusable=(counts["refused"] + counts["empty"] + counts["cut"] + counts["off-list"]) / rows,
    )


def stability(candidate: CandidateScores, views: Mapping[str, ScoreTable]) -> Stability:
    """Return how a candidate holds under views, over time, by source and when a class is new."""
    drop, other, main = drop_of(candidate), drop_of(candidate, "source"), candidate.main
    return Stability(
        temporal_drop=None if drop is None else estimate_of(drop),
        source_loss=None if other is None else estimate_of(other),
        sources=losses_by_source(candidate),
        new_class=new_class_of(candidate),
        views=tuple(_view(name, table, main) for name, table in views.items() if main),
    )


def scorecard(
    candidate: CandidateScores, cost: Cost, common: CommonRows | None = None
) -> Scorecard:
    """Return a candidate's card; one that never finished a fit has errors and no figures.

    Noise, views and smaller pools are measured on the `common` rows, or its own without any.
    """
    info, table = candidate.info, candidate.main
    about: dict[str, Any] = {
        "candidate": info.name,
        "strategy": info.strategy,
        "family": info.family,
        "title": info.title,
        "model": info.model,
        "errors": candidate.errors,
    }
    if table is None:
        return Scorecard(**about)
    common = common or common_rows((candidate,))
    settings = settings_of(candidate)
    views = {view: on_rows(t, common.views.get(view)) for view, t in view_tables(table).items()}
    return Scorecard(
        **about,
        rows=int(table.complete.sum()),
        learned=rows_seen(candidate.pool, table) if info.learns else None,
        repetitions=candidate.repetitions,
        accuracy=accuracy(candidate),
        macro_f1=_macro_f1(table),
        per_class=_per_class(table),
        variance=_variance(candidate, table, settings),
        noise=noise_of(common.on(candidate, "noise")),
        stability=stability(candidate, views),
        format_valid=float((table.answers != UNUSABLE).mean()),
        curve=curve_of(common.on(candidate, "sizes")),
        settings=settings,
        cost=cost,
        service=service_of(candidate),
    )


def accuracy(candidate: CandidateScores) -> Estimate | None:
    """Return the mean score: by Wilson for one artefact and independent 0/1 scores, else two-way.

    Balanced accuracy of a constant answer is known without error.
    """
    table = candidate.main
    if table is None:
        return None
    right, rows = table.block, table.rows
    even = rows.weights_of(table.complete) is None
    alike = rows.clusters is None and even and bool(np.isin(right, (0, 1)).all())
    constant = candidate.info.constant and len(np.unique(table.answers)) == 1
    if constant and rows.metric.by_label:
        # One label for every row: its recall is 1, that of every other label 0, on any rows.
        recall = 1 / len(np.unique(rows.targets[table.complete]))
        point = Estimate(value=recall, low=recall, high=recall)
    elif right.shape[1] == 1 and alike:
        growth = shared_training(table, table.complete)
        low, high = wilson(float(right.sum()) / growth, len(right) / growth)
        point = Estimate(value=float(right.mean()), low=low, high=high)
    else:
        found = accuracy_on(table, table.complete)
        return found and replace(found, estimand=candidate.estimand)
    return replace(point, estimand=candidate.estimand, row_set=rows.row_set(table.complete))


def _macro_f1(table: ScoreTable) -> float | None:
    if not table.rows.labels:
        return None
    targets, labels = table.rows.targets[table.complete], len(table.rows.labels)
    return float(np.mean([macro_f1(targets, column, labels) for column in table.answers.T]))


def _per_class(table: ScoreTable) -> tuple[PartRecord, ...]:
    if not table.rows.labels:
        return ()
    answers = table.answers
    targets = np.repeat(table.rows.targets[table.complete], answers.shape[1])
    scores = per_label(targets, answers.ravel(), len(table.rows.labels))
    return tuple(
        PartRecord(
            name=label,
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
    rows = table.rows
    clusters, weights = rows.clusters_of(table.complete), rows.weights_of(table.complete)
    parts = two_way(table.block, clusters, weights)
    repetition = parts.sd_of_repetitions
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
    return tuple(
        SettingPoint(
            setting=name,
            wording=_is_wording(candidate, table, own),
            change=estimate_of(change),
            rows=change.rows,
        )
        for name, table in tables.items()
        if (change := compare(Side(table, candidate.repeats), Side(own, candidate.repeats)))
    )


def _is_wording(candidate: CandidateScores, table: ScoreTable, own: ScoreTable) -> bool:
    """Return whether a setting differs from the candidate's own in the prompt's wording only."""
    if candidate.info.family not in ("prompting", "retrieval"):
        return False
    first, second = (t.runs[0].trial.params for t in (table, own))
    return all(first.get(k) == second.get(k) for k in {*first, *second} - {"wording"})


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
    block = table.by_row(lambda run: scores_in(run, CLEAN, metric))[table.complete][:, table.whole]
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

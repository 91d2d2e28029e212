"""What a strategy learns from and what it is asked, at any place of the grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from choose.data.noise import add_noise
from choose.data.stratify import (
    disjoint_from,
    sampling_order,
    stratified_folds,
    stratified_sample,
    training_pool,
)
from choose.types import Dataset, Example, Scenario, Trial

# Rolling origins: each is asked the tenth of the rows that follows it.
ORIGINS = (0.5, 0.6, 0.7, 0.8)


TEST_SHARE = 0.1


# Rows without a date are left out, but they must be few, or what is left says little of the rest.
MIN_DATED = 0.95


MIN_ROWS = 20


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """The dated rows in order, those strictly before a cut, and those that follow it."""

    rows: Sequence[Example]
    past: Sequence[Example]
    asked: Sequence[Example]


def timeline(dataset: Dataset) -> list[Example]:
    """Return the dated rows by time; with a test part, only rows that are learnt from."""
    if dataset.division == "held-out":
        rows = [dataset.examples[id] for id in dataset.folds[0].pool]
    else:
        rows = list(dataset.examples.values())
    return sorted((e for e in rows if e.timestamp is not None), key=_when)


def time_split(dataset: Dataset, cut: float) -> TimeSplit:
    """Return the rows before and after a cut; rows of the cut's own moment come after it."""
    rows = timeline(dataset)
    start = _when(rows[round(cut * len(rows))])[0]
    end = round((cut + TEST_SHARE) * len(rows))
    last = _when(rows[end])[0] if end < len(rows) else None
    return TimeSplit(
        rows,
        [e for e in rows if _when(e)[0] < start],
        [e for e in rows if start <= (when := _when(e)[0]) and (last is None or when < last)],
    )


def origins(dataset: Dataset) -> tuple[float, ...]:
    """Return the cuts that leave enough rows on either side; none where rows have no dates."""
    dated = len(timeline(dataset))
    total = len(dataset.folds[0].pool if dataset.division == "held-out" else dataset.examples)
    if dated < MIN_DATED * total or dated * TEST_SHARE < MIN_ROWS:
        return ()
    return tuple(cut for cut in ORIGINS if _enough(dataset, cut))


def _enough(dataset: Dataset, cut: float) -> bool:
    found = time_split(dataset, cut)
    past = disjoint_from(found.past, {e.id for e in found.asked}, dataset.clusters)
    apart = {dataset.clusters.get(e.id, f"alone {e.id}") for e in found.asked}
    return min(len(past), len(apart)) >= MIN_ROWS and len({e.target for e in past}) > 1


def _when(example: Example) -> tuple[datetime, str]:
    assert example.timestamp is not None
    return example.timestamp, example.id


# A class is late if nine tenths of its rows come after a third of all rows. The tenth allows for
# rows that bear its label by mistake.
EARLY, LATE = 0.1, 1 / 3


MIN_POOL_ROWS, MIN_TEST_ROWS = 20, 10


def new_class(dataset: Dataset, besides: str | None = None) -> str | None:
    """Choose the class to withhold by a rule that looks at no score; None if none is fit for it.

    The class that appears last where timestamps show that one does, else the one of median size.
    Only classes count that leave two others, have 20 rows in every pool and 10 that are asked.
    """
    fit = _fit(dataset, besides)
    if not fit or len(dataset.task.labels) < 3:
        return None
    late = {label: start for label, start in _starts(dataset).items() if label in fit}
    last = max(late, key=lambda label: (late[label], label), default=None)
    if last is not None and late[last] >= LATE:
        return last
    rows = Counter(e.target for e in dataset.examples.values())
    by_size = sorted(fit, key=lambda label: (rows[label], label))
    return by_size[len(by_size) // 2]


def limit_class(pool: Sequence[Example], scenario: Scenario, draw: int) -> list[Example]:
    """Return the pool with only `examples` rows of the scenario's class, nested, in its order."""
    theirs = {e.id: e.target for e in pool if e.target == scenario.label}
    kept = set(sampling_order(theirs, theirs, draw)[: scenario.examples])
    return [e for e in pool if e.target != scenario.label or e.id in kept]


def test_rows_with(dataset: Dataset, ids: Sequence[str], scenario: Scenario) -> tuple[str, ...]:
    """Return the questions; with a limit, up to half of them are of the scenario's class."""
    if not scenario.ask:
        return tuple(ids)
    targets = {id: dataset.examples[id].target for id in ids}
    theirs = [id for id in ids if targets[id] == scenario.label]
    others = [id for id in ids if targets[id] != scenario.label]
    few = stratified_sample(theirs, targets, scenario.ask // 2, "new-class")
    chosen = {*few, *stratified_sample(others, targets, scenario.ask - len(few), "new-class")}
    return tuple(id for id in ids if id in chosen)


def _fit(dataset: Dataset, besides: str | None) -> set[str]:
    rows = dataset.examples
    asked = Counter(rows[id].target for id in dataset.asked)
    pools = [Counter(rows[id].target for id in fold.pool) for fold in dataset.folds]
    return {
        label
        for label in dataset.task.labels
        if label != besides
        and asked[label] >= MIN_TEST_ROWS
        and min(pool[label] for pool in pools) >= MIN_POOL_ROWS
    }


def _starts(dataset: Dataset) -> dict[str, float]:
    """Return the share of all dated rows that comes before each class does."""
    rows = timeline(dataset)
    places: dict[str, list[int]] = {}
    for place, example in enumerate(rows):
        places.setdefault(example.target, []).append(place)
    return {label: at[int(EARLY * len(at))] / len(rows) for label, at in places.items()}


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """A fold (or a scenario's part), a draw, a size of the pool (None: all) and a scenario."""

    fold: int
    draw: int
    size: int | None
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Split:
    """The rows that are handed over, in that order, and the ids that are asked."""

    pool: list[Example]
    questions: tuple[str, ...]


def make_split(dataset: Dataset, place: SplitSpec) -> Split:
    """Return the pool and the questions of a place; the candidate has no part in it.

    The whole pool stands in one order whatever the draw, so that a draw only decides which rows a
    smaller pool holds and a strategy without a seed is fitted once.
    """
    kind = place.scenario.kind
    if kind == "inner":
        return _inner(dataset, place)
    if kind == "time":
        return _time(dataset, place)
    if kind == "new-class":
        return _new_class(dataset, place)
    size, draw = place.size, place.draw
    pool = training_pool(dataset, place.fold, draw if size is not None else 0, size)
    if kind == "noise":
        pool = add_noise(pool, dataset.task.labels, place.scenario.noise, place.scenario.rate, draw)
    return Split(pool, _asked(dataset, place))


def _asked(dataset: Dataset, place: SplitSpec) -> tuple[str, ...]:
    """Return a fold's questions, or a stratified sample of them where few are to be asked."""
    questions = dataset.folds[place.fold].questions
    if not place.scenario.ask:
        return questions
    targets = {id: dataset.examples[id].target for id in questions}
    return stratified_sample(
        questions, targets, max(1, place.scenario.ask // len(dataset.folds)), "few"
    )


def split_spec(trial: Trial, dataset: Dataset) -> SplitSpec:
    """Return the place that a trial stands at."""
    size = None
    if trial.scenario.kind in ("standard", "noise"):
        whole = len(dataset.folds[trial.fold].pool)
        size = trial.train_size if trial.train_size < whole else None
    return SplitSpec(trial.fold, trial.draw, size, trial.scenario)


def _inner(dataset: Dataset, place: SplitSpec) -> Split:
    """Ask a part of the pool of draw 0 after a fit on the rest of it."""
    pool = training_pool(dataset, 0, 0, place.scenario.rows or None)
    asked = _parts(pool, dataset.clusters, place.scenario)[place.fold]
    return Split(disjoint_from(pool, set(asked), dataset.clusters), tuple(asked))


def _time(dataset: Dataset, place: SplitSpec) -> Split:
    """Ask the rows after a cut; learn from those before it, or from as many of any time."""
    scenario, clusters = place.scenario, dataset.clusters
    found = time_split(dataset, scenario.cut)
    ids = [e.id for e in found.asked]
    targets = {e.id: e.target for e in found.rows}
    asked = stratified_sample(ids, targets, scenario.ask or len(ids), "time")
    past = disjoint_from(found.past, set(asked), clusters)
    size = min(scenario.rows or len(past), len(past))
    if scenario.learns_from == "past":
        return Split(_first(past, size, place.draw), tuple(asked))
    part = stratified_folds(asked, targets, clusters, scenario.parts, seed=0)[place.fold]
    others = disjoint_from(found.rows, set(part), clusters)
    return Split(_first(others, size, place.draw), tuple(part))


def _new_class(dataset: Dataset, place: SplitSpec) -> Split:
    """Ask as always, after a fit on a pool in which one class has a few rows or none."""
    scenario = place.scenario
    pool = training_pool(dataset, place.fold, 0, scenario.rows or None)
    asked = test_rows_with(dataset, dataset.folds[place.fold].questions, scenario)
    return Split(limit_class(pool, scenario, place.draw), asked)


def _first(rows: Sequence[Example], size: int, draw: int) -> list[Example]:
    """Return `size` rows as a draw takes them; all of them in one order whatever the draw."""
    by_id = {e.id: e for e in rows}
    targets = {id: e.target for id, e in by_id.items()}
    order = sampling_order(by_id, targets, draw if size < len(rows) else 0)
    return [by_id[id] for id in order[:size]]


def _parts(
    rows: Sequence[Example], clusters: Mapping[str, str], scenario: Scenario
) -> list[list[str]]:
    """Divide rows into stratified parts; with a limit, a stratified sample of them is asked.

    A single part is asked half of the rows at most, since the others are what is learnt from.
    """
    targets = {e.id: e.target for e in rows}
    ids = list(targets)
    most = len(ids) if scenario.parts > 1 else len(ids) // 2
    chosen = set(stratified_sample(ids, targets, min(scenario.ask or most, most), scenario.kind))
    parts = stratified_folds(ids, targets, clusters, scenario.parts, seed=0)
    return [[id for id in part if id in chosen] for part in parts]

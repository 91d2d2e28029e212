"""What a strategy learns from and what it is asked, at any place of the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from choose.data.arrival import asked_with, with_examples
from choose.data.noise import add_noise
from choose.data.parts import folds_of
from choose.data.pools import apart_from, ordered, pool_for, sample
from choose.data.timeline import slice_at
from choose.types import Dataset, Example, Scenario, Trial


@dataclass(frozen=True, slots=True)
class Place:
    """A fold (or a scenario's part), a draw, a size of the pool (None: all) and a scenario."""

    fold: int
    draw: int
    size: int | None
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows that are handed over, in that order, and the ids that are asked."""

    pool: list[Example]
    questions: tuple[str, ...]


def drawn(dataset: Dataset, place: Place) -> Drawn:
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
    pool = pool_for(dataset, place.fold, draw if size is not None else 0, size)
    if kind == "noise":
        pool = add_noise(pool, dataset.task.labels, place.scenario.noise, place.scenario.rate, draw)
    return Drawn(pool, _asked(dataset, place))


def _asked(dataset: Dataset, place: Place) -> tuple[str, ...]:
    """Return a fold's questions, or a stratified sample of them where few are to be asked."""
    questions = dataset.folds[place.fold].questions
    if not place.scenario.ask:
        return questions
    targets = {id: dataset.examples[id].target for id in questions}
    return sample(questions, targets, max(1, place.scenario.ask // len(dataset.folds)), "few")


def place_of(trial: Trial, dataset: Dataset) -> Place:
    """Return the place that a trial stands at."""
    size = None
    if trial.scenario.kind in ("standard", "noise"):
        whole = len(dataset.folds[trial.fold].pool)
        size = trial.train_size if trial.train_size < whole else None
    return Place(trial.fold, trial.draw, size, trial.scenario)


def _inner(dataset: Dataset, place: Place) -> Drawn:
    """Ask a part of the pool of draw 0 after a fit on the rest of it."""
    pool = pool_for(dataset, 0, 0, place.scenario.rows or None)
    asked = _parts(pool, dataset.clusters, place.scenario)[place.fold]
    return Drawn(apart_from(pool, set(asked), dataset.clusters), tuple(asked))


def _time(dataset: Dataset, place: Place) -> Drawn:
    """Ask the rows after a cut; learn from those before it, or from as many of any time."""
    scenario, clusters = place.scenario, dataset.clusters
    found = slice_at(dataset, scenario.cut)
    ids = [e.id for e in found.asked]
    targets = {e.id: e.target for e in found.rows}
    asked = sample(ids, targets, scenario.ask or len(ids), "time")
    past = apart_from(found.past, set(asked), clusters)
    size = min(scenario.rows or len(past), len(past))
    if scenario.learns_from == "past":
        return Drawn(_first(past, size, place.draw), tuple(asked))
    part = folds_of(asked, targets, clusters, scenario.parts, seed=0)[place.fold]
    others = apart_from(found.rows, set(part), clusters)
    return Drawn(_first(others, size, place.draw), tuple(part))


def _new_class(dataset: Dataset, place: Place) -> Drawn:
    """Ask as always, after a fit on a pool in which one class has a few rows or none."""
    scenario = place.scenario
    pool = pool_for(dataset, place.fold, 0, scenario.rows or None)
    asked = asked_with(dataset, dataset.folds[place.fold].questions, scenario)
    return Drawn(with_examples(pool, scenario, place.draw), asked)


def _first(rows: Sequence[Example], size: int, draw: int) -> list[Example]:
    """Return `size` rows as a draw takes them; all of them in one order whatever the draw."""
    by_id = {e.id: e for e in rows}
    targets = {id: e.target for id, e in by_id.items()}
    order = ordered(by_id, targets, draw if size < len(rows) else 0)
    return [by_id[id] for id in order[:size]]


def _parts(
    rows: Sequence[Example], clusters: Mapping[str, str], scenario: Scenario
) -> list[list[str]]:
    """Divide rows into stratified parts; with a limit, a stratified sample of them is asked."""
    targets = {e.id: e.target for e in rows}
    ids = list(targets)
    chosen = set(sample(ids, targets, scenario.ask or len(ids), scenario.kind))
    parts = folds_of(ids, targets, clusters, scenario.parts, seed=0)
    return [[id for id in part if id in chosen] for part in parts]

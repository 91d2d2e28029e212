"""The scenarios of the standard study: the pool asked of itself, drift, a new class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from choose.data.arrival import new_class
from choose.data.pools import pool_for
from choose.data.timeline import origins
from choose.strategy import Strategy
from choose.study.points import Point, Stage
from choose.study.study import Study
from choose.types import Dataset, Scenario

INNER, DRIFT, ARRIVAL = "the pool asked of itself", "drift over time", "a new class"

FOLDS = 5
EXAMPLES = (0, 1, 5, 20)
DEAR_EXAMPLES = (0, 5)

# Most rows asked: of the pool, of a slice of time, and of a dear candidate.
POOL_ROWS, SLICE_ROWS, DEAR_ROWS = 3_000, 500, 100

# A slice is asked in halves where rows of any time are learnt from, so that the other half, which
# is of the same time, can be among them: in a slice asked whole, no row would be.
HALVES = 2


@dataclass(frozen=True, slots=True)
class Scenes:
    """What the data and the study allow.

    Attributes:
        rows: the size of the compared pool, 0 where that is the whole of it.
        folds: those of the division.
        thorough: whether dear candidates get what cheap ones get.
        inner: whether the pool can be asked.
        origins: where time can be cut.
        label: the class to withhold.
        examples: how many of its rows every pool has to give back.
    """

    rows: int
    folds: int
    thorough: bool
    inner: bool
    origins: tuple[float, ...]
    label: str | None
    examples: int

    @classmethod
    def of(cls, study: Study, dataset: Dataset, size: int | None) -> Scenes:
        """Look at what the data allow."""
        wanted = study.grid.scenarios
        label = None
        if wanted is None or "new-class" in wanted:
            label = new_class(dataset, study.task.out_of_scope)
        held_out = dataset.division == "held-out" and len(dataset.folds[0].pool) >= 10 * FOLDS
        return cls(
            rows=size or 0,
            folds=len(dataset.folds),
            thorough=study.grid.thorough,
            inner=held_out and (wanted is None or "inner" in wanted),
            origins=origins(dataset) if wanted is None or "time" in wanted else (),
            label=label,
            examples=_most(dataset, label, size),
        )


def _most(dataset: Dataset, label: str | None, size: int | None) -> int:
    pools = [pool_for(dataset, fold, 0, size) for fold in range(len(dataset.folds))]
    return min(sum(e.target == label for e in pool) for pool in pools)


def scenario_points(cls: type[Strategy], scenes: Scenes, repetitions: int) -> Iterator[Point]:
    """Yield a candidate's places in the scenarios; dear ones are asked little, and late."""
    if cls.cheap:
        yield from _inner(scenes)
        yield from _drift(cls, scenes, repetitions)
        yield from _arrival(scenes, repetitions)
    else:
        yield from _dear_inner(cls, scenes)
        yield from _dear_drift(scenes)
        yield from _dear_arrival(cls, scenes)


def _inner(scenes: Scenes) -> Iterator[Point]:
    if scenes.inner:
        scenario = Scenario(kind="inner", rows=scenes.rows, ask=POOL_ROWS, parts=FOLDS)
        yield Point(Stage.CHEAP_SCENARIOS, INNER, scenario=scenario, folds=FOLDS)


def _dear_inner(cls: type[Strategy], scenes: Scenes) -> Iterator[Point]:
    # What has to be trained for each part is not worth it.
    if scenes.inner and cls.family in ("prompting", "retrieval"):
        scenario = Scenario(kind="inner", rows=scenes.rows, ask=DEAR_ROWS)
        yield Point(Stage.DEAR_INNER, INNER, scenario=scenario, folds=1)


def _drift(cls: type[Strategy], scenes: Scenes, repetitions: int) -> Iterator[Point]:
    for cut in scenes.origins:
        past, any_time = _origin(cut, scenes.rows, SLICE_ROWS)
        for repetition in range(repetitions):
            stage = Stage.REPETITIONS if repetition else Stage.CHEAP_SCENARIOS
            # All of the past is the same in every repetition, but for the seed.
            if not repetition or cls.seeded or scenes.rows:
                yield Point(stage, DRIFT, "", past, None, repetition, folds=1)
            yield Point(stage, DRIFT, "", any_time, None, repetition, folds=HALVES)


def _dear_drift(scenes: Scenes) -> Iterator[Point]:
    middle = scenes.origins[len(scenes.origins) // 2 :][:1]
    for cut in scenes.origins if scenes.thorough else middle:
        past, any_time = _origin(cut, scenes.rows, DEAR_ROWS)
        yield Point(Stage.DEAR_SCENARIOS, DRIFT, scenario=past, folds=1)
        yield Point(Stage.DEAR_SCENARIOS, DRIFT, scenario=any_time, folds=HALVES)


def _origin(cut: float, rows: int, ask: int) -> tuple[Scenario, Scenario]:
    return (
        Scenario(kind="time", rows=rows, ask=ask, cut=cut),
        Scenario(kind="time", rows=rows, ask=ask, cut=cut, learns_from="any", parts=HALVES),
    )


def _arrival(scenes: Scenes, repetitions: int) -> Iterator[Point]:
    # In a cross-fit each fold draws its own examples, which repeats the drill already.
    count = repetitions if scenes.folds == 1 or scenes.thorough else 1
    for scenario in _withheld(scenes, EXAMPLES, ask=0):
        for repetition in range(count if scenario.examples else 1):
            stage = Stage.REPETITIONS if repetition else Stage.CHEAP_SCENARIOS
            yield Point(stage, ARRIVAL, "", scenario, None, repetition)


def _dear_arrival(cls: type[Strategy], scenes: Scenes) -> Iterator[Point]:
    one = cls.family == "fine-tuning" and not scenes.thorough
    folds = 1 if one else scenes.folds
    for scenario in _withheld(scenes, DEAR_EXAMPLES, ask=DEAR_ROWS // folds):
        yield Point(Stage.DEAR_SCENARIOS, ARRIVAL, scenario=scenario, folds=folds)


def _withheld(scenes: Scenes, counts: tuple[int, ...], ask: int) -> Iterator[Scenario]:
    if scenes.label is None:
        return
    for examples in counts:
        if examples <= scenes.examples:
            yield Scenario(
                kind="new-class", rows=scenes.rows, ask=ask, label=scenes.label, examples=examples
            )

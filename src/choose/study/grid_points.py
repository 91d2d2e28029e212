"""The scenarios of the standard study: the pool asked of itself, drift, a new class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from choose.data.scenarios import new_class, origins
from choose.data.stratify import training_pool
from choose.errors import StudyError
from choose.strategy import Strategy
from choose.study.config import Grid, Study
from choose.types import STANDARD, Dataset, Scenario

FIRST_PASS = "the first pass"


class Stage(IntEnum):
    """What runs when: what tells most comes first. Candidates that are not cheap are dear."""

    CHEAP = 0
    CHEAP_SEEDS = 1
    DEAR = 2
    CHEAP_GRID = 3
    CHEAP_SCENARIOS = 4
    DEAR_FOLDS = 5
    DEAR_INNER = 6
    REPETITIONS = 7
    DEAR_VIEWS = 8
    DEAR_NOISE = 9
    DEAR_SIZES = 10
    DEAR_SCENARIOS = 11


@dataclass(frozen=True, slots=True)
class Point:
    """One place for every fold.

    `folds` is how many folds, or parts of the scenario, there are to run; None is all of the
    data's division. `repeats` is how often an endpoint is asked the clean rows.
    """

    stage: Stage
    part: str
    variant: str = ""
    scenario: Scenario = STANDARD
    size: int | None = None
    repetition: int = 0
    views: tuple[str, ...] = ()
    folds: int | None = None
    repeats: int = 1

    def asking(self, rows: int) -> Point:
        """Return the same place with at most so many rows asked, folds together."""
        most = min(self.scenario.ask or rows, rows)
        return replace(self, scenario=replace(self.scenario, ask=most))


SIZES = (0.0625, 0.125, 0.25, 0.5, 1.0)


NOISE = (0.0, 0.1, 0.2)


def noise_scenarios(grid: Grid, cheap: bool) -> list[Scenario]:
    """Return the kinds and rates of label noise a candidate meets.

    Unless kinds are named, noise is symmetric; cheap candidates also meet the highest rate with
    every flip between look-alike labels, as people's errors are.
    """
    rates = [rate for rate in (grid.noise if grid.noise is not None else NOISE) if rate]
    kinds = grid.noise_kinds if grid.noise_kinds is not None else ("symmetric",)
    found = [Scenario(kind="noise", noise=kind, rate=rate) for kind in kinds for rate in rates]
    if cheap and grid.noise_kinds is None and rates:
        found.append(Scenario(kind="noise", noise="confused-pair", rate=max(rates)))
    return found


def sizes_in_rows(grid: Grid, largest: int) -> list[int]:
    """Return the pool sizes in rows: integers as given, fractions of the largest pool.

    Raises:
        StudyError: if a size is not between 1 row and the whole pool.
    """
    rows = []
    # A few rows are cut into fewer sizes, none of them empty.
    standard = [size for size in SIZES if size == 1.0 or size * largest >= 2]
    for size in grid.sizes if grid.sizes is not None else standard:
        count = size if isinstance(size, int) and size != 1 else round(size * largest)
        if not 1 <= count <= largest:
            raise StudyError(
                f"Size {size!r} cannot be used: the pool holds {largest} rows. "
                f"Allowed: 2 to {largest}, or a fraction such as 0.5 or 1/8."
            )
        rows.append(count)
    return sorted(set(rows))


INNER_CV, DRIFT, NEW_CLASS = "the pool asked of itself", "drift over time", "a new class"


FOLDS = 5


EXAMPLES = (0, 1, 5, 20)


SLOW_EXAMPLES = (0, 5)


# Most rows asked: of the pool, of a slice of time, and of a dear candidate.
POOL_ROWS, SLICE_ROWS, SLOW_ROWS = 3_000, 500, 100


# A slice is asked in halves where rows of any time are learnt from, so that the other half, which
# is of the same time, can be among them: in a slice asked whole, no row would be.
SLICE_PARTS = 2


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
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
    def of(cls, study: Study, dataset: Dataset, size: int | None) -> ScenarioOptions:
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
            examples=_rows_of_label(dataset, label, size),
        )


def _rows_of_label(dataset: Dataset, label: str | None, size: int | None) -> int:
    pools = [training_pool(dataset, fold, 0, size) for fold in range(len(dataset.folds))]
    return min(sum(e.target == label for e in pool) for pool in pools)


def scenario_points(
    cls: type[Strategy], scenes: ScenarioOptions, repetitions: int
) -> Iterator[Point]:
    """Yield a candidate's places in the scenarios; dear ones are asked little, and late."""
    if cls.cheap:
        yield from _inner_cv(scenes)
        yield from _drift(cls, scenes, repetitions)
        yield from _new_class(scenes, repetitions)
    else:
        yield from _slow_inner(cls, scenes)
        yield from _slow_drift(scenes)
        yield from _slow_new_class(cls, scenes)


def _inner_cv(scenes: ScenarioOptions) -> Iterator[Point]:
    if scenes.inner:
        scenario = Scenario(kind="inner", rows=scenes.rows, ask=POOL_ROWS, parts=FOLDS)
        yield Point(Stage.CHEAP_SCENARIOS, INNER_CV, scenario=scenario, folds=FOLDS)


def _slow_inner(cls: type[Strategy], scenes: ScenarioOptions) -> Iterator[Point]:
    # What has to be trained for each part is not worth it.
    if scenes.inner and cls.family in ("prompting", "retrieval"):
        scenario = Scenario(kind="inner", rows=scenes.rows, ask=SLOW_ROWS)
        yield Point(Stage.DEAR_INNER, INNER_CV, scenario=scenario, folds=1)


def _drift(cls: type[Strategy], scenes: ScenarioOptions, repetitions: int) -> Iterator[Point]:
    for cut in scenes.origins:
        past, any_time = _time_scenarios(cut, scenes.rows, SLICE_ROWS)
        for repetition in range(repetitions):
            stage = Stage.REPETITIONS if repetition else Stage.CHEAP_SCENARIOS
            # All of the past is the same in every repetition, but for the seed.
            if not repetition or cls.seeded or scenes.rows:
                yield Point(stage, DRIFT, "", past, None, repetition, folds=1)
            yield Point(stage, DRIFT, "", any_time, None, repetition, folds=SLICE_PARTS)


def _slow_drift(scenes: ScenarioOptions) -> Iterator[Point]:
    middle = scenes.origins[len(scenes.origins) // 2 :][:1]
    for cut in scenes.origins if scenes.thorough else middle:
        past, any_time = _time_scenarios(cut, scenes.rows, SLOW_ROWS)
        yield Point(Stage.DEAR_SCENARIOS, DRIFT, scenario=past, folds=1)
        yield Point(Stage.DEAR_SCENARIOS, DRIFT, scenario=any_time, folds=SLICE_PARTS)


def _time_scenarios(cut: float, rows: int, ask: int) -> tuple[Scenario, Scenario]:
    return (
        Scenario(kind="time", rows=rows, ask=ask, cut=cut),
        Scenario(kind="time", rows=rows, ask=ask, cut=cut, learns_from="any", parts=SLICE_PARTS),
    )


def _new_class(scenes: ScenarioOptions, repetitions: int) -> Iterator[Point]:
    # In a cross-fit each fold draws its own examples, which repeats the drill already.
    count = repetitions if scenes.folds == 1 or scenes.thorough else 1
    for scenario in _withheld(scenes, EXAMPLES, ask=0):
        for repetition in range(count if scenario.examples else 1):
            stage = Stage.REPETITIONS if repetition else Stage.CHEAP_SCENARIOS
            yield Point(stage, NEW_CLASS, "", scenario, None, repetition)


def _slow_new_class(cls: type[Strategy], scenes: ScenarioOptions) -> Iterator[Point]:
    one = cls.family == "fine-tuning" and not scenes.thorough
    folds = 1 if one else scenes.folds
    for scenario in _withheld(scenes, SLOW_EXAMPLES, ask=SLOW_ROWS // folds):
        yield Point(Stage.DEAR_SCENARIOS, NEW_CLASS, scenario=scenario, folds=folds)


def _withheld(scenes: ScenarioOptions, counts: tuple[int, ...], ask: int) -> Iterator[Scenario]:
    if scenes.label is None:
        return
    for examples in counts:
        if examples <= scenes.examples:
            yield Scenario(
                kind="new-class", rows=scenes.rows, ask=ask, label=scenes.label, examples=examples
            )

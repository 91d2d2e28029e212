"""The trials of the standard study: stages, pool sizes, label noise and scenarios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from choose.data.scenarios import new_class, of_class, origins
from choose.data.stratify import training_pool
from choose.errors import StudyError
from choose.strategy import Strategy
from choose.study.config import Grid, Study
from choose.tasks.kinds import KINDS
from choose.types import STANDARD, Dataset, Scenario, Task

FIRST_PASS = "the first pass"
CONTROLS = "controls with other passages"
DRILLS = "documents that change"


class Stage(IntEnum):
    """The order of trials, the most informative first; candidates with `cheap` are fast."""

    FAST = 0
    FAST_SEEDS = 1
    SLOW = 2
    CONTROLS = 3
    DRILLS = 4
    FAST_GRID = 5
    FAST_SCENARIOS = 6
    SLOW_FOLDS = 7
    SLOW_INNER = 8
    REPETITIONS = 9
    SLOW_VIEWS = 10
    SLOW_NOISE = 11
    SLOW_SIZES = 12
    SLOW_SCENARIOS = 13


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of the grid, run on several folds.

    Attributes:
        stage: when it runs.
        part: its name in messages.
        folds: number of folds, or parts of the scenario, to run; None for all folds of the data.
        repeats: how often an endpoint answers the clean rows.
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

    def with_rows(self, rows: int) -> Point:
        """Return the same point with at most `rows` test rows, folds together."""
        limit = min(self.scenario.ask or rows, rows)
        return replace(self, scenario=replace(self.scenario, ask=limit))


SIZES = (0.0625, 0.125, 0.25, 0.5, 1.0)

NOISE = (0.0, 0.1, 0.2)


def noise_scenarios(grid: Grid, fast: bool, task: Task) -> list[Scenario]:
    """Return the kinds and rates of added noise for a candidate.

    By default noise is symmetric; fast candidates also get the highest rate of the kind that comes
    nearest to how people err, such as flips between similar labels.

    Raises:
        StudyError: if the task does not know a kind of noise.
    """
    known = KINDS[task.kind].noise
    rates = [rate for rate in (grid.noise if grid.noise is not None else NOISE) if rate]
    kinds: tuple[Any, ...] = grid.noise_kinds if grid.noise_kinds is not None else known[:1]
    for kind in kinds:
        if kind not in known:
            raise StudyError(
                f"grid.noise_kinds has {kind!r}, which is not for the task's kind, {task.kind}. "
                f"Allowed here: {', '.join(known)}."
            )
    scenarios = [Scenario(kind="noise", noise=kind, rate=rate) for kind in kinds for rate in rates]
    if fast and grid.noise_kinds is None and rates:
        human: Any = known[1]
        scenarios.append(Scenario(kind="noise", noise=human, rate=max(rates)))
    return scenarios


def sizes_in_rows(grid: Grid, largest: int) -> list[int]:
    """Return the pool sizes in rows: integers as given, fractions of the largest pool.

    Raises:
        StudyError: if a size is not between 1 row and the whole pool.
    """
    rows = []
    # Small pools get fewer sizes, none of them empty.
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


INNER_CV = "cross-validation inside the training pool"
DRIFT, NEW_CLASS = "drift over time", "a new class"

FOLDS = 5


def stated_parts(grid: Grid) -> frozenset[str]:
    """Return the parts that the settings of a study name, beside the comparison itself."""
    scenarios = (INNER_CV, DRIFT, NEW_CLASS)
    named = (
        (grid.views, ("views",)),
        (grid.noise, ("added label noise",)),
        (grid.noise_kinds, ("added label noise",)),
        (grid.sizes, ("smaller pools",)),
        (grid.scenarios, scenarios),
    )
    return frozenset(part for value, parts in named if value is not None for part in parts)


EXAMPLES = (0, 1, 5, 20)

SLOW_EXAMPLES = (0, 5)

# Most test rows: inside the pool, in a slice of time, and for a slow candidate.
POOL_ROWS, SLICE_ROWS, SLOW_ROWS = 3_000, 500, 100

# A slice is tested in two parts where training rows may be of any time, so that rows of the same
# time, those of the other part, can be among them.
SLICE_PARTS = 2


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """The scenarios that the data and the study allow.

    Attributes:
        rows: size of the compared pool, 0 for the whole pool.
        folds: number of folds of the data.
        thorough: whether slow candidates get the full grid.
        inner: whether to cross-validate inside the pool.
        origins: cuts in time, as shares of the dated rows.
        label: the class to withhold.
        examples: rows of that class in the smallest pool.
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
        """Derive the options from the data."""
        chosen = study.grid.scenarios
        label = None
        if chosen is None or "new-class" in chosen:
            label = new_class(dataset, study.task.out_of_scope)
        held_out = dataset.division == "held-out" and len(dataset.folds[0].pool) >= 10 * FOLDS
        return cls(
            rows=size or 0,
            folds=len(dataset.folds),
            thorough=study.grid.thorough,
            inner=held_out and (chosen is None or "inner" in chosen),
            origins=origins(dataset) if chosen is None or "time" in chosen else (),
            label=label,
            examples=_rows_of_label(dataset, label, size),
        )


def _rows_of_label(dataset: Dataset, label: str | None, size: int | None) -> int:
    pools = [training_pool(dataset, fold, 0, size) for fold in range(len(dataset.folds))]
    if label is None:
        return 0
    return min(sum(of_class(dataset, e, label) for e in pool) for pool in pools)


def scenario_points(
    cls: type[Strategy], options: ScenarioOptions, repetitions: int
) -> Iterator[Point]:
    """Yield a candidate's points in the scenarios; slow ones get few rows, and run late.

    A candidate that learns nothing is asked once in each, as other training rows change no answer.
    """
    repetitions = repetitions if cls.learns else 1
    if cls.cheap:
        yield from _inner_cv(options)
        yield from _drift(cls, options, repetitions)
        yield from _new_class(cls, options, repetitions)
    else:
        yield from _slow_inner(cls, options)
        yield from _slow_drift(cls, options)
        yield from _slow_new_class(cls, options)


def _inner_cv(options: ScenarioOptions) -> Iterator[Point]:
    if options.inner:
        scenario = Scenario(kind="inner", rows=options.rows, ask=POOL_ROWS, parts=FOLDS)
        yield Point(Stage.FAST_SCENARIOS, INNER_CV, scenario=scenario, folds=FOLDS)


def _slow_inner(cls: type[Strategy], options: ScenarioOptions) -> Iterator[Point]:
    # Training anew for each part is not worth the time.
    if options.inner and cls.family in ("prompting", "retrieval"):
        scenario = Scenario(kind="inner", rows=options.rows, ask=SLOW_ROWS)
        yield Point(Stage.SLOW_INNER, INNER_CV, scenario=scenario, folds=1)


def _drift(cls: type[Strategy], options: ScenarioOptions, repetitions: int) -> Iterator[Point]:
    for cut in options.origins:
        past, any_time = _time_scenarios(cut, options.rows, SLICE_ROWS)
        for repetition in range(repetitions):
            stage = Stage.REPETITIONS if repetition else Stage.FAST_SCENARIOS
            # With all rows of the past, repetitions differ by the seed alone.
            if not repetition or cls.seeded or options.rows:
                yield Point(stage, DRIFT, "", past, None, repetition, folds=1)
            if cls.learns:
                yield Point(stage, DRIFT, "", any_time, None, repetition, folds=SLICE_PARTS)


def _slow_drift(cls: type[Strategy], options: ScenarioOptions) -> Iterator[Point]:
    middle = options.origins[len(options.origins) // 2 :][:1]
    for cut in options.origins if options.thorough else middle:
        past, any_time = _time_scenarios(cut, options.rows, SLOW_ROWS)
        yield Point(Stage.SLOW_SCENARIOS, DRIFT, scenario=past, folds=1)
        if cls.learns:
            yield Point(Stage.SLOW_SCENARIOS, DRIFT, scenario=any_time, folds=SLICE_PARTS)


def _time_scenarios(cut: float, rows: int, ask: int) -> tuple[Scenario, Scenario]:
    return (
        Scenario(kind="time", rows=rows, ask=ask, cut=cut),
        Scenario(kind="time", rows=rows, ask=ask, cut=cut, learns_from="any", parts=SLICE_PARTS),
    )


def _new_class(cls: type[Strategy], options: ScenarioOptions, repetitions: int) -> Iterator[Point]:
    # In cross-validation each fold draws its own examples, which are repetitions already.
    count = repetitions if options.folds == 1 or options.thorough else 1
    for scenario in _withheld(options, EXAMPLES if cls.learns else EXAMPLES[:1], ask=0):
        for repetition in range(count if scenario.examples else 1):
            stage = Stage.REPETITIONS if repetition else Stage.FAST_SCENARIOS
            yield Point(stage, NEW_CLASS, "", scenario, None, repetition)


def _slow_new_class(cls: type[Strategy], options: ScenarioOptions) -> Iterator[Point]:
    one = cls.family == "fine-tuning" and not options.thorough
    folds = 1 if one else options.folds
    counts = SLOW_EXAMPLES if cls.learns else SLOW_EXAMPLES[:1]
    for scenario in _withheld(options, counts, ask=SLOW_ROWS // folds):
        yield Point(Stage.SLOW_SCENARIOS, NEW_CLASS, scenario=scenario, folds=folds)


def _withheld(options: ScenarioOptions, counts: tuple[int, ...], ask: int) -> Iterator[Scenario]:
    if options.label is None:
        return
    for examples in counts:
        if examples <= options.examples:
            yield Scenario(
                kind="new-class", rows=options.rows, ask=ask, label=options.label, examples=examples
            )

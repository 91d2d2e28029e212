"""From candidates and data to the trials to run, the most telling first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from choose.data.noise import add_noise
from choose.data.pools import pool_for
from choose.digests import digest_rows
from choose.errors import StudyError
from choose.strategy import Strategy, Weighted, build, find
from choose.study.study import Grid, Study
from choose.types import STANDARD, Candidate, Dataset, Example, Scenario, Trial

SIZES = (0.0625, 0.125, 0.25, 0.5, 1.0)
NOISE = (0.0, 0.1, 0.2)
VIEWS = ("typos", "casing", "spacing")

# Stages of candidates that are not cheap: the first fold, and the others.
FIRST, OTHER_FOLDS = 1, 3


@dataclass(frozen=True, slots=True)
class Job:
    """A trial and the views it answers beside the clean one."""

    trial: Trial
    views: tuple[str, ...] = ()
    part: str = ""

    @property
    def all_views(self) -> tuple[str, ...]:
        """Return every view, the clean one first."""
        return ("clean", *self.views)


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the grid, before it is known what a strategy receives there."""

    stage: int
    part: str
    variant: str = ""
    scenario: Scenario = STANDARD
    size: int | None = None
    repetition: int = 0
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planner:
    """Lays out one study's trials on one dataset."""

    study: Study
    dataset: Dataset
    pools: dict[Any, str] = field(default_factory=dict)

    def jobs(self, candidates: tuple[Candidate, ...]) -> list[Job]:
        """Return all jobs in the order in which they tell most.

        Cheap candidates once on clean rows; every other candidate on the first fold; noise and
        sizes of cheap candidates; the other folds; more seeds; views and wordings; noise; sizes.
        """
        placed = [
            (point.stage if point.stage != FIRST or not fold else OTHER_FOLDS, fold, number, job)
            for number, candidate in enumerate(candidates)
            for point in self.points(candidate)
            for fold in range(len(self.dataset.folds))
            for job in [self._job(candidate, point, fold)]
        ]
        placed.sort(key=lambda row: row[:3])
        return [job for *_, job in placed]

    def points(self, candidate: Candidate) -> Iterator[Point]:
        """Yield a candidate's places in the grid."""
        cls = find(candidate.strategy)
        grid, cheap = self.study.grid, find(candidate.strategy).cheap
        repetitions = grid.seeds or (5 if cheap else 3)
        few = min(repetitions, 3) if cheap or grid.thorough else 1
        views = grid.views if grid.views is not None else VIEWS
        # Views cost a prompted model as much as the clean rows do, so it answers them later; the
        # clean answers are known by then.
        yield Point(0 if cheap else FIRST, "the first pass", views=views if cheap else ())
        if not cheap and views:
            yield Point(5, "views", views=views)
        # With the whole pool in hand, nothing differs between repetitions but the seed.
        for repetition in range(1, repetitions if self._varies(cls) else 1):
            yield Point(4, "repetitions", repetition=repetition)
        for variant in cls.variants if grid.wordings else ():
            yield Point(4 if cheap else 5, "other settings", variant=variant)
        for rate in grid.noise if grid.noise is not None else NOISE:
            for repetition in range(few) if rate else ():
                scenario = Scenario(kind="noise", rate=rate)
                stage = (4 if repetition else 2) if cheap else 6
                yield Point(stage, "added label noise", "", scenario, None, repetition)
        for size in self.sizes[:-1]:
            for repetition in range(few):
                stage = (4 if repetition else 2) if cheap else 7
                yield Point(stage, "smaller pools", "", STANDARD, size, repetition)

    def _varies(self, cls: type[Strategy]) -> bool:
        return cls.seeded or self._compared_size is not None

    @cached_property
    def sizes(self) -> list[int]:
        """Pool sizes in rows, ascending; the last one is the size that is compared."""
        largest = min(len(fold.pool) for fold in self.dataset.folds)
        return sizes_in_rows(self.study.grid, largest)

    def _job(self, candidate: Candidate, point: Point, fold: int) -> Job:
        cls = find(candidate.strategy)
        override = cls.variants[point.variant] if point.variant else {}
        params = {**candidate.params, **override}
        size = point.size if point.size is not None else self._compared_size
        pool = self.pool(fold, point.repetition, size, point.scenario)
        trial = Trial(
            candidate=candidate.name,
            strategy=candidate.strategy,
            revision=cls.revision,
            params=params,
            variant=point.variant,
            scenario=point.scenario,
            fold=fold,
            draw=point.repetition,
            train_size=len(pool),
            seed=point.repetition if cls.seeded else 0,
            weights=self._weights(candidate.strategy, params),
            task=self._task,
            pool=self._pool_digest(fold, point, size),
            questions=self._questions[fold],
        )
        return Job(trial=trial, views=point.views, part=point.part)

    @cached_property
    def _compared_size(self) -> int | None:
        # None is the whole pool of each fold; folds differ by a few rows.
        largest = min(len(fold.pool) for fold in self.dataset.folds)
        return self.sizes[-1] if self.sizes[-1] < largest else None

    def pool(self, fold: int, draw: int, size: int | None, scenario: Scenario) -> list[Example]:
        """Return the rows handed to a strategy at one place of the grid."""
        return pool_of(self.dataset, fold, draw, size, scenario)

    def _pool_digest(self, fold: int, point: Point, size: int | None) -> str:
        place = (fold, point.repetition, size, point.scenario)
        if place not in self.pools:
            rows = self.pool(*place)
            self.pools[place] = digest_rows((e.id, e.text, e.target) for e in rows)
        return self.pools[place]

    def _weights(self, strategy: str, params: Mapping[str, Any]) -> str:
        built = build(strategy, seed=0, **params)
        return built.weights() if isinstance(built, Weighted) else ""

    @cached_property
    def _task(self) -> str:
        return self.dataset.task.digest

    @cached_property
    def _questions(self) -> list[str]:
        rows = self.dataset.examples
        return [
            digest_rows((id, rows[id].text) for id in fold.questions) for fold in self.dataset.folds
        ]


def pool_of(
    dataset: Dataset, fold: int, draw: int, size: int | None, scenario: Scenario
) -> list[Example]:
    """Return a fold's pool at a draw and a size, with the scenario's label noise.

    The whole pool stands in one order whatever the draw, so that a draw only decides which rows a
    smaller pool holds and a strategy without a seed is fitted once.
    """
    pool = pool_for(dataset, fold, draw if size is not None else 0, size)
    if scenario.kind == "noise":
        return add_noise(pool, dataset.task.labels, scenario.noise, scenario.rate, draw)
    return pool


def sizes_in_rows(grid: Grid, largest: int) -> list[int]:
    """Return the pool sizes in rows: integers as given, fractions of the largest pool.

    Raises:
        StudyError: if a size is not between 1 row and the whole pool.
    """
    rows = []
    for size in grid.sizes if grid.sizes is not None else SIZES:
        count = size if isinstance(size, int) and size != 1 else round(size * largest)
        if not 1 <= count <= largest:
            raise StudyError(
                f"Size {size!r} cannot be used: the pool holds {largest} rows. "
                f"Allowed: 2 to {largest}, or a fraction such as 0.5 or 1/8."
            )
        rows.append(count)
    return sorted(set(rows))

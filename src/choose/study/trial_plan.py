"""Lay out the trials of a study, the most informative first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from choose.corpus import CONDITIONS
from choose.data.scenarios import Pools, SplitSpec
from choose.errors import StudyError, did_you_mean
from choose.files import digest_rows
from choose.schema.plan import REPETITIONS, VIEW_ROWS, Job
from choose.strategy import Rereads, Strategy, Weighted, build, find
from choose.study.candidates import costs_per_row, endpoints_of
from choose.study.config import Study
from choose.study.grid_points import (
    CONTROLS,
    DRILLS,
    FIRST_PASS,
    Point,
    ScenarioOptions,
    Stage,
    noise_scenarios,
    scenario_points,
    sizes_in_rows,
)
from choose.tasks.answering import corpus_of
from choose.tasks.exchanged_facts import drill_of
from choose.types import STANDARD, Candidate, Dataset, Task, Trial

VIEWS = ("typos", "casing", "spacing")

# Test rows of each control of a slow candidate; folds together.
CONTROL_ROWS = 100

# Test rows of everything but the first pass where rows cost money; folds together.
PRICED_ROWS = 100


@dataclass(frozen=True, slots=True)
class SplitDigests:
    """Digests of the training pool, the test rows and the task of a split; the size of the pool."""

    pool: str
    questions: str
    rows: int
    task: str


@dataclass(frozen=True)
class Planner:
    """Lays out the trials of one study."""

    study: Study
    pools: Pools
    drawn: dict[SplitSpec, SplitDigests] = field(default_factory=dict)

    @property
    def dataset(self) -> Dataset:
        """The labelled set."""
        return self.pools.dataset

    def jobs(self, candidates: tuple[Candidate, ...]) -> list[Job]:
        """Return all jobs, the most informative first.

        Fast candidates on clean rows, seed after seed; slow candidates on the first fold; noise,
        sizes and scenarios of fast candidates; then the slow candidates' other folds, seeds, views,
        wordings, noise, sizes and scenarios.

        Raises:
            StudyError: if a size cannot be used, or a label that the study names does not exist.
        """
        check_labels(self.study, self.dataset.task)
        placed = [
            (_stage(point, fold), fold, number, self._job(candidate, point, fold))
            for number, candidate in enumerate(candidates)
            for point in self.points(candidate)
            for fold in range(point.folds or len(self.dataset.folds))
        ]
        placed.sort(key=lambda row: row[:3])
        return [job for *_, job in placed]

    def points(self, candidate: Candidate) -> Iterator[Point]:
        """Yield a candidate's points in the grid; with few test rows where rows cost money."""
        priced = costs_per_row(candidate, self.study.endpoints) and not self.study.grid.thorough
        for point in self._points(candidate):
            full = point.part in (FIRST_PASS, "views", CONTROLS, DRILLS, REPETITIONS)
            yield point if full or not priced else point.with_rows(PRICED_ROWS)

    def _points(self, candidate: Candidate) -> Iterator[Point]:
        cls = find(candidate.strategy)
        grid, fast = self.study.grid, cls.cheap
        repetitions = grid.seeds or (5 if fast else 3)
        few = min(repetitions, 3) if fast or grid.thorough else 1
        views = grid.views if grid.views is not None else VIEWS
        # Views cost a prompted model as much as the clean rows do, so they come later.
        first = Stage.FAST if fast else Stage.SLOW
        yield Point(first, FIRST_PASS, views=views if fast else ())
        repeats = grid.repeats if endpoints_of(candidate, self.study.endpoints) else 1
        if not fast and (views or repeats > 1):
            yield Point(Stage.SLOW_VIEWS, "views", views=views, repeats=repeats)
        yield from self._reading_points(cls)
        # With the whole pool, repetitions differ by the seed alone.
        for repetition in range(1, repetitions if self._varies(cls) else 1):
            stage = Stage.FAST_SEEDS if fast else Stage.REPETITIONS
            yield Point(stage, REPETITIONS, repetition=repetition)
        for variant, override in cls.variants.items() if grid.wordings else ():
            if {**candidate.params, **override} == candidate.params:
                continue  # the candidate already has these settings
            stage = Stage.REPETITIONS if fast else Stage.SLOW_VIEWS
            yield Point(stage, "other settings", variant=variant)
        # Where nothing is learnt, fewer or wrong labels change no answer.
        for repetition in range(few if cls.learns else 0):
            again = Stage.REPETITIONS if repetition else Stage.FAST_GRID
            for scenario in noise_scenarios(grid, fast, self.dataset.task):
                stage = again if fast else Stage.SLOW_NOISE
                yield Point(stage, "added label noise", "", scenario, None, repetition)
            for size in self.sizes[:-1]:
                stage = again if fast else Stage.SLOW_SIZES
                yield Point(stage, "smaller pools", "", STANDARD, size, repetition)
        yield from scenario_points(cls, self._options, few)

    def _reading_points(self, cls: type[Strategy]) -> Iterator[Point]:
        """Yield the controls of a candidate that reads documents, and documents that change."""
        if not getattr(cls, "reads", False) or corpus_of(self.dataset.task) is None:
            return
        # What reading loses is known before an adapter is trained, which comes last.
        late = cls.family == "fine-tuning"
        stage = Stage.FAST if cls.cheap else Stage.CONTROLS if late else Stage.SLOW
        drills = self._drills if issubclass(cls, Rereads) else ()
        # Controls are on the rows that a fit answers first; changed documents need all of them,
        # which take long where a model writes answers.
        later = not cls.cheap and cls.family != "baseline"
        together = () if later else drills
        yield Point(stage, CONTROLS, views=(*CONDITIONS, *together))
        if drills and later:
            # After the controls of all folds, so that adapters of these are trained together.
            yield Point(Stage.DRILLS if late else Stage.CONTROLS, DRILLS, views=drills)

    def _varies(self, cls: type[Strategy]) -> bool:
        return cls.learns and (cls.seeded or self._compared_size is not None)

    @cached_property
    def sizes(self) -> list[int]:
        """Pool sizes in rows, ascending; the last one is the size that is compared."""
        largest = min(len(fold.pool) for fold in self.dataset.folds)
        return sizes_in_rows(self.study.grid, largest)

    @cached_property
    def _drills(self) -> tuple[str, ...]:
        """Views of rows whose documents changed after training."""
        drill = drill_of(self.dataset)
        return () if drill is None else (drill.view,)

    @cached_property
    def _options(self) -> ScenarioOptions:
        return ScenarioOptions.of(self.study, self.dataset, self._compared_size)

    def _job(self, candidate: Candidate, point: Point, fold: int) -> Job:
        cls = find(candidate.strategy)
        override = cls.variants[point.variant] if point.variant else {}
        params = {**candidate.params, **override}
        digests = self._digests(self._place(point, fold))
        trial = Trial(
            candidate=candidate.name,
            strategy=candidate.strategy,
            revision=cls.revision,
            params=params,
            variant=point.variant,
            scenario=point.scenario,
            fold=fold,
            draw=point.repetition,
            train_size=digests.rows,
            seed=point.repetition if cls.seeded else 0,
            weights=self._weights(candidate.strategy, params),
            task=digests.task,
            pool=digests.pool,
            questions=digests.questions,
        )
        priced = costs_per_row(candidate, self.study.endpoints) and not self.study.grid.thorough
        rows = PRICED_ROWS if priced else VIEW_ROWS
        # A baseline that takes long takes it for its fit, not for answers.
        slow = not cls.cheap and cls.family != "baseline"
        few = slow and point.part in (CONTROLS, DRILLS)
        rows = min(rows, CONTROL_ROWS) if few else rows
        return Job(trial, point.views, point.part, point.repeats, rows)

    @cached_property
    def _compared_size(self) -> int | None:
        # None is the whole pool of each fold; folds differ by a few rows.
        largest = min(len(fold.pool) for fold in self.dataset.folds)
        return self.sizes[-1] if self.sizes[-1] < largest else None

    def _place(self, point: Point, fold: int) -> SplitSpec:
        size = point.size
        if size is None and point.scenario.kind in ("standard", "noise"):
            size = self._compared_size
        return SplitSpec(fold, point.repetition, size, point.scenario)

    def _digests(self, place: SplitSpec) -> SplitDigests:
        if place not in self.drawn:
            rows = self.pools.at(place)
            texts = self.dataset.examples
            self.drawn[place] = SplitDigests(
                digest_rows(e.content for e in rows.pool),
                digest_rows(texts[id].item().content for id in rows.questions),
                len(rows.pool),
                self.dataset.task.digest,
            )
        return self.drawn[place]

    def _weights(self, strategy: str, params: Mapping[str, Any]) -> str:
        built = build(strategy, seed=0, **params)
        return built.weights() if isinstance(built, Weighted) else ""


def _stage(point: Point, fold: int) -> Stage:
    return Stage.SLOW_FOLDS if point.stage == Stage.SLOW and fold else point.stage


def check_labels(study: Study, task: Task) -> None:
    """Check that the out-of-scope label and those whose errors have costs are ones of the data.

    Raises:
        StudyError: if no row has one of them, no error costs anything, or answers are no labels.
    """
    costs, labels = study.goal.error_costs, task.labels
    if study.task.out_of_scope is not None and not labels:
        raise StudyError(
            "task.out_of_scope is for rows with one label each, and the task's kind is "
            f"{task.kind}. Leave it out."
        )
    named = [("task.out_of_scope", study.task.out_of_scope)]
    named += [("goal.error_costs", name) for label in costs for name in (label, *costs[label])]
    for where, label in named:
        if label is not None and label not in labels:
            raise StudyError(
                f"{where} names a label {label!r} that no row has.{did_you_mean(label, labels)}"
            )
    stated = [cost for a in costs for b, cost in costs[a].items() if a != b]
    if labels and len(stated) == len(labels) * (len(labels) - 1) and not any(stated):
        raise StudyError("goal.error_costs says that no error costs anything; give one a cost.")

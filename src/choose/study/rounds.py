"""The plan of a study: rounds of doubling, then other conditions in rounds of their own.

Round 0 lets every candidate learn from the same `FIRST_ROWS` rows and answer the same
`FIRST_ASKED` test rows. Each next round doubles both. Pools and test rows are nested, so that the
rounds of a candidate are its learning curve. Test rows come from the first fold until its pool is
used up, then from further folds.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from choose.corpus import CONDITIONS
from choose.data.scenarios import Pools, SplitSpec, new_class, origins, sources
from choose.files import digest_rows
from choose.schema.plan import COMPARISON, REPETITIONS, Job, Round
from choose.strategy import Rereads, Strategy, Weighted, build, find
from choose.study.candidates import costs_per_row, endpoints_of
from choose.study.config import Study
from choose.tasks.answering import corpus_of
from choose.tasks.document_drill import drill_of
from choose.types import FAMILIES, STANDARD, Candidate, Dataset, Scenario, Trial

FIRST_ROWS, FIRST_ASKED = 250, 25

CONTROLS, DRILLS = "controls with other passages", "documents that change"
VIEWS, NOISE = "changed texts", "added noise"
INNER, DRIFT = "cross-validation inside the training pool", "drift over time"
SOURCE, NEW_CLASS, WORDINGS = "another source", "a new class", "other settings"

# The order of the rounds that follow the comparison; further repetitions come after all of them.
LATER = (CONTROLS, DRILLS, REPETITIONS, VIEWS, NOISE, DRIFT, SOURCE, NEW_CLASS, INNER, WORDINGS)

USUAL_VIEWS = ("typos",)
USUAL_NOISE = (0.1, 0.2)
# Repetitions of a candidate whose answers a seed can change.
USUAL_SEEDS = 3

# Rows of a withheld class that a fit may see.
EXAMPLES = (0, 1, 5, 20)

# Most test rows of a control, in each fold; inside the pool, and in a slice of time.
CONTROL_ROWS, POOL_ROWS, SLICE_ROWS = 50, 3_000, 500

# Parts of a cross-validation inside the pool, and of a slice of time whose training rows may be of
# any time, so that rows of the other part can be among them.
INNER_PARTS, SLICE_PARTS = 5, 2


@dataclass(frozen=True, slots=True)
class Point:
    """What a candidate does in one part of the study, in several folds.

    Attributes:
        folds: the first folds of the data, or parts of the scenario; None for all folds.
    """

    part: str
    variant: str = ""
    scenario: Scenario = STANDARD
    repetition: int = 0
    views: tuple[str, ...] = ()
    folds: int | None = None


@dataclass(frozen=True)
class Planner:
    """Lays out the rounds of one study."""

    study: Study
    pools: Pools
    _drawn: dict[SplitSpec, dict[str, Any]] = field(default_factory=dict)

    @property
    def dataset(self) -> Dataset:
        return self.pools.dataset

    def rounds(self, candidates: Sequence[Candidate]) -> list[Round]:
        """Return all rounds; in each, the cheapest member of every family comes first."""
        order = members_first(candidates)
        rounds = [*self._comparison(order)]
        if self.study.grid.rounds is not None:
            return rounds[: self.study.grid.rounds]
        jobs: dict[tuple[int, int], list[Job]] = defaultdict(list)
        for candidate in order:
            for point in self._points(candidate):
                at = max(1, point.repetition), LATER.index(point.part)
                jobs[at] += self._jobs(candidate, point)
        for repetition, part in sorted(jobs):
            if planned := tuple(jobs[repetition, part]):
                rounds.append(Round(len(rounds), LATER[part], self._largest, 0, planned))
        return rounds

    @cached_property
    def _largest(self) -> int:
        return min(len(fold.pool) for fold in self.dataset.folds)

    def _comparison(self, candidates: Sequence[Candidate]) -> Iterator[Round]:
        tested = [len(fold.questions) for fold in self.dataset.folds]
        for number in range(64):
            rows, ask = FIRST_ROWS << number, min(FIRST_ASKED << number, sum(tested))
            whole = rows >= self._largest
            shares, left = list[int](), ask
            for count in tested if whole else tested[:1]:
                shares.append(min(left, count))
                left -= shares[-1]
            jobs = [
                self._compared(candidate, fold, None if whole else rows, share)
                for candidate in candidates
                for fold, share in enumerate(shares)
                if share
            ]
            yield Round(number, COMPARISON, min(rows, self._largest), sum(shares), tuple(jobs))
            if whole and ask == sum(tested):
                return

    def _compared(self, candidate: Candidate, fold: int, size: int | None, ask: int) -> Job:
        size = size if find(candidate.strategy).learns else None
        place = SplitSpec(fold, 0, size, STANDARD, candidate.taught)
        return Job(self._trial(candidate, place), (), COMPARISON, ask=ask)

    def _jobs(self, candidate: Candidate, point: Point) -> Iterator[Job]:
        for fold in range(point.folds or len(self.dataset.folds)):
            place = SplitSpec(fold, point.repetition, None, point.scenario, candidate.taught)
            most = CONTROL_ROWS * len(self.dataset.folds)
            few = {"view_rows": most} if point.part in (CONTROLS, DRILLS) else {}
            yield Job(self._trial(candidate, place, point.variant), point.views, point.part, **few)

    def _points(self, candidate: Candidate) -> Iterator[Point]:
        """Yield a candidate's points: all of fast ones, of slow ones those that the study names.

        A constant answer has none: what changes with a condition is known of it.
        """
        cls, grid = find(candidate.strategy), self.study.grid
        if getattr(cls, "constant", False):
            return
        priced, named = costs_per_row(candidate, self.study.endpoints), grid.scenarios
        stated = {VIEWS: grid.views, NOISE: grid.noise}

        def wanted(part: str) -> bool:
            is_named = stated.get(part, named) is not None
            # Labels are the subject of all parts but changed texts.
            return (cls.cheap or is_named) and not (candidate.taught and part != VIEWS)

        yield from self._reading_points(cls)
        views = USUAL_VIEWS if grid.views is None else grid.views
        if views and wanted(VIEWS):
            yield Point(VIEWS, views=views)
        if cls.learns and cls.seeded:
            for repetition in range(1, grid.seeds or USUAL_SEEDS):
                yield Point(REPETITIONS, repetition=repetition)
        wordings = not priced if grid.wordings is None else grid.wordings
        for variant, override in cls.variants.items() if wordings else ():
            if {**candidate.params, **override} != candidate.params:
                # Answers cost money there.
                yield Point(WORDINGS, variant=variant, folds=1 if priced else None)
        if cls.learns and wanted(NOISE):  # where nothing is learnt, wrong labels change no answer
            for rate in filter(None, USUAL_NOISE if grid.noise is None else grid.noise):
                yield Point(NOISE, scenario=Scenario(kind="noise", rate=rate))
        if not endpoints_of(candidate, self.study.endpoints):  # answers cost money there
            yield from (p for p in self._scenario_points(cls) if wanted(p.part))

    def _reading_points(self, cls: type[Strategy]) -> Iterator[Point]:
        if not getattr(cls, "reads", False) or corpus_of(self.dataset.task) is None:
            return
        yield Point(CONTROLS, views=CONDITIONS)
        drill = drill_of(self.dataset) if issubclass(cls, Rereads) else None
        if drill is not None:
            yield Point(DRILLS, views=(drill.view,))

    def _scenario_points(self, cls: type[Strategy]) -> Iterator[Point]:
        chosen = self.study.grid.scenarios
        inside = self.dataset.division == "held-out" and self._largest >= 10 * INNER_PARTS
        # Right labels alone are audited by what was not learned from them.
        if self.dataset.task.labels and inside and (chosen is None or "inner" in chosen):
            yield Point(
                INNER,
                scenario=Scenario(kind="inner", ask=POOL_ROWS, parts=INNER_PARTS),
                folds=INNER_PARTS,
            )
        apart = [(DRIFT, Scenario(kind="time", cut=cut)) for cut in origins(self.dataset)]
        names = sources(self.dataset)
        others = (Scenario(kind="source", label=name, learns_from="others") for name in names)
        apart += [(SOURCE, scenario) for scenario in others]
        for part, scenario in apart:
            if chosen is not None and scenario.kind not in chosen:
                continue
            yield Point(part, scenario=replace(scenario, ask=SLICE_ROWS), folds=1)
            if cls.learns:
                both = replace(scenario, ask=SLICE_ROWS, learns_from="any", parts=SLICE_PARTS)
                yield Point(part, scenario=both, folds=SLICE_PARTS)
        label = self._late_class if chosen is None or "new-class" in chosen else None
        for examples in EXAMPLES if label is not None else ():
            if cls.learns or not examples:
                scenario = Scenario(kind="new-class", label=label or "", examples=examples)
                yield Point(NEW_CLASS, scenario=scenario)

    @cached_property
    def _late_class(self) -> str | None:
        return new_class(self.dataset)

    def _trial(self, candidate: Candidate, place: SplitSpec, variant: str = "") -> Trial:
        cls = find(candidate.strategy)
        params = {**candidate.params, **(cls.variants[variant] if variant else {})}
        built = build(candidate.strategy, seed=0, **params)
        if place not in self._drawn:
            rows, texts = self.pools.at(place), self.dataset.examples
            self._drawn[place] = {
                "pool": digest_rows(e.content for e in rows.pool),
                "questions": digest_rows(texts[id].item().content for id in rows.questions),
                "train_size": len(rows.pool),
            }
        return Trial(
            candidate=candidate.name,
            strategy=candidate.strategy,
            revision=cls.revision,
            params=params,
            variant=variant,
            scenario=place.scenario,
            fold=place.fold,
            draw=place.draw,
            seed=place.draw if cls.seeded else 0,
            weights=built.weights() if isinstance(built, Weighted) else "",
            task=self.dataset.task.digest,
            taught=candidate.taught,
            **self._drawn[place],
        )


def members_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates in the order of their runs: the first member of each family comes first.

    Within a family fast ones come first, then those that no seed changes, then as they are given.
    """
    members: dict[str, list[Candidate]] = {family: [] for family in FAMILIES}
    for candidate in candidates:
        members[find(candidate.strategy).family].append(candidate)

    def cost(candidate: Candidate) -> tuple[bool, bool]:
        cls = find(candidate.strategy)
        return not cls.cheap, cls.seeded

    ranked = [sorted(own, key=cost) for own in members.values()]
    # Fast candidates take a second: all of them come before the first slow one.
    fast = [c for own in ranked for c in own if find(c.strategy).cheap]
    slow = [[c for c in own if not find(c.strategy).cheap] for own in ranked]
    most = max(map(len, slow), default=0)
    return [*fast, *(own[place] for place in range(most) for own in slow if place < len(own))]

"""Seconds until the final verdict: rounds of doubling against the whole grid, on known worlds.

    python benchmarks/spending.py              52 studies, some minutes
    python benchmarks/spending.py --studies 1  a look
    python benchmarks/spending.py --once       one fit of each, by both

No model runs. A study whose answers are all known is played twice on a clock that jumps by what
each trial takes: by the loop of rounds, and as a list that fits every candidate once on the whole
pool and lets it answer all rows, the cheapest first, and then repeats all that a seed changes. A
verdict is a family and its word, and counts once every family has answered. It is final from when
it is the last one's and stays so; that is hindsight, so the seconds until the run says so itself
are told, too: from when the family is sure and stays, or else those of the whole run.

Worlds have known truths; their fits on part of the pool are worse by `LACKS`, and take seconds in
proportion. Real sets have stored answers and measured seconds; what an encoder has read is cached.
A flip is a line that names another family than the last one that named any. The seconds of the
rounds are told by purpose. Prints tables; exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from statistics import fmean, median
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

import choose.run.loop as loop  # noqa: E402
from choose.judge.decision.chance import Chances, chances, word_of  # noqa: E402
from choose.judge.evidence import Evidence  # noqa: E402
from choose.judge.goal import Rule  # noqa: E402
from choose.judge.scores.joint_distribution import Whole  # noqa: E402
from choose.run.budget import Budget  # noqa: E402
from choose.run.worker import GroupRequest, GroupResult  # noqa: E402
from choose.schema.decision import LIKELY, SURE  # noqa: E402
from choose.schema.plan import COMPARISON, REPETITIONS, Job, Round, Standing  # noqa: E402
from choose.types import CLEAN, Answers, Fold, Run  # noqa: E402
from machine import machine  # noqa: E402
from replay import studies as occasions  # noqa: E402
from replay.answers import read_all  # noqa: E402
from simulation.evidence import evidence  # noqa: E402
from simulation.worlds import draw  # noqa: E402

# Worlds with one member of most families.
WORLDS = ("plain", "ties", "clusters", "noisy labels", "small model", "collapsing fits")

SIZES, ROWS, FIRST_ASKED = (250, 500, 1_000, 2_000), 800, 25

# Points that a candidate lacks with an eighth, a quarter and half of the pool, by family.
LACKS: Mapping[str, tuple[float, float, float]] = {
    "baseline": (0.06, 0.04, 0.02),
    "prompting": (0.0, 0.0, 0.0),
    "retrieval": (0.04, 0.025, 0.01),
    "fine-tuning": (0.18, 0.10, 0.04),
}

# Share of a candidate's seconds that are of its fit, by family.
FITS: Mapping[str, float] = {
    "baseline": 0.9,
    "prompting": 0.05,
    "retrieval": 0.1,
    "fine-tuning": 0.95,
}

# Candidates of real sets that share what one encoder has read.
ENCODERS = ("probe", "knn")


# The median share of the seconds of the grid, the worst, and flips of the named family a round.
MEDIAN, WORST, FLIPS = 0.6, 1.2, 0.05

# What seconds were spent on, and what came of the candidate.
PURPOSES = ("part of the pool", "all of the pool", "repetitions")
OPEN, BEHIND = "may be the one", "is behind in the end"


class Line(NamedTuple):
    """What was said: when, the family, and its chance."""

    now: float
    family: str
    chance: float

    @property
    def verdict(self) -> tuple[str, str]:
        return self.family, word_of(self.chance)


@dataclass
class Told:
    """What was said once every family had answered, and when the run ended."""

    said: list[Line] = field(default_factory=list)
    end: float = 0.0

    @property
    def family(self) -> str:
        return self.said[-1].family

    @property
    def final(self) -> float:
        """Return from when the verdict was that of the end."""
        when = self.end
        for line in reversed(self.said):
            if line.verdict != self.said[-1].verdict:
                break
            when = line.now
        return when

    @property
    def known(self) -> float:
        """Return from when the run itself said so: the family was sure and stayed, or the end."""
        when = self.end
        for line in reversed(self.said):
            if line.family != self.family or line.chance < SURE:
                break
            when = line.now
        return when

    @property
    def flips(self) -> int:
        """Return how often a line named another family than the last one; open ones name none."""
        return sum(a != b for a, b in pairwise(x.family for x in self.said if x.chance >= LIKELY))

    @property
    def changes(self) -> int:
        """Return how often the family of least expected loss changed."""
        return sum(a.family != b.family for a, b in pairwise(self.said))


@dataclass
class World:
    """A study with known answers after every pool, and what they take.

    Attributes:
        accuracies: true ones by family, where they are known.
        paces: by candidate and pool, the seconds of a fit and of an answer.
        spent: seconds by candidate and purpose.
    """

    name: str
    evidence: Evidence
    rule: Rule
    sizes: Sequence[int]
    paces: Mapping[tuple[str, int], tuple[float, float]]
    accuracies: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    stored: dict[str, Run] = field(default_factory=dict)
    spent: dict[tuple[str, str], float] = field(default_factory=dict)
    read: Counter[str] = field(default_factory=Counter)

    @cached_property
    def families(self) -> dict[str, str]:
        """The family of each candidate that understands something."""
        return {c.name: c.family for c in self.evidence.candidates if not c.floor}

    @cached_property
    def runs(self) -> dict[tuple[str, int, int], Run]:
        """The whole runs by candidate, pool and repetition."""
        found: dict[tuple[str, int, int], Run] = {}
        for run in sorted(self.evidence.runs, key=lambda r: r.trial.draw):
            name, size = run.trial.candidate, run.trial.train_size
            count = sum(key[:2] == (name, size) for key in found)
            trial = replace(run.trial, draw=count, questions=f"{name} {size} {count}")
            found[name, size, count] = replace(run, trial=trial)
        return found

    @cached_property
    def names(self) -> list[str]:
        """The candidates, cheapest first."""

        def seconds(name: str) -> float:
            run = self.runs[name, self.sizes[-1], 0]
            fit, each = self.paces[name, run.trial.train_size]
            return fit + each * len(run.asked[CLEAN])

        return sorted({name for name, _, _ in self.runs}, key=seconds)

    @cached_property
    def repetitions(self) -> list[tuple[str, int]]:
        """Candidates with the numbers of their repetitions, in the order of these."""
        whole = [(name, r) for name, size, r in self.runs if size == self.sizes[-1] and r]
        return sorted(whole, key=lambda one: (one[1], self.names.index(one[0])))

    def lost(self, family: str) -> float:
        """Return what using a family truly gives up."""
        return max(self.accuracies.values()) - self.accuracies[family]

    def job(self, name: str, size: int, ask: int, repetition: int = 0) -> Job:
        """Return the job of a candidate after a pool of so many rows, or the next smaller one."""
        own = sorted(s for n, s, r in self.runs if n == name and r == repetition)
        known = [s for s in own if s <= size] or own[:1]
        if self.families.get(name) == "prompting":
            known = own
        trial = self.runs[name, known[-1], repetition].trial
        return Job(trial, ask=ask, part=REPETITIONS if repetition else COMPARISON)

    def answer(self, job: Job, had: int = 0) -> Run:
        """Return the answers of a job, and let the clock jump by what they take."""
        trial = job.trial
        run = self.runs[trial.candidate, trial.train_size, trial.draw]
        whole = len(run.asked[CLEAN])
        ask = min(job.ask or whole, whole)
        fit, each = self.paces[trial.candidate, trial.train_size]
        seconds = (0.0 if had else fit) + each * (ask - had)
        if trial.candidate in ENCODERS and self.name not in WORLDS:
            new = max(0, trial.train_size - self.read["pool"]) / trial.train_size
            seconds = new * fit + each * max(0, ask - self.read["rows"])
            self.read |= Counter(pool=trial.train_size, rows=ask)
        self.now += seconds
        part = trial.train_size < self.sizes[-1] and self.families.get(trial.candidate)
        purpose = PURPOSES[2 if trial.draw else 0 if part else 1]
        place = trial.candidate, purpose
        self.spent[place] = self.spent.get(place, 0.0) + seconds
        answers, scores = run.answers[CLEAN], run.scores.get(CLEAN)
        cut = Answers(outputs=answers.outputs[:ask], status=answers.status[:ask])
        return replace(
            run,
            answers={CLEAN: cut},
            asked={CLEAN: run.asked[CLEAN][:ask]},
            scores={CLEAN: {k: v[:ask] for k, v in scores.items()}} if scores else {},
            fit_seconds=fit,
            predict_seconds=each * ask,
            seconds_spent=fit + each * ask,
            unasked=whole - ask,
        )

    def judged(
        self, runs: Sequence[Run], planned: Mapping[str, Whole] = MappingProxyType({})
    ) -> Chances | None:
        """Return what the judge says of some runs."""
        return chances(replace(self.evidence, runs=tuple(runs)), self.rule, planned)

    # What the loop needs of a store, an executor and pools.

    def get(self, trial: Any) -> Run | None:
        """Return a stored run."""
        return self.stored.get(trial.key)

    def add(self, run: Run, traceback: str | None = None) -> bool:
        """Store a run."""
        self.stored[run.trial.key] = run
        return True

    def rounds(self) -> Iterator[Round]:
        """Yield rounds as a study plans them."""
        rows = len(self.evidence.items.ids)
        for number in range(64):
            size = self.sizes[min(number, len(self.sizes) - 1)]
            ask = min(FIRST_ASKED << number, rows)
            jobs = tuple(self.job(name, size, ask) for name in self.names)
            yield Round(number, COMPARISON, size, ask, jobs)
            if ask == rows and size == self.sizes[-1]:
                break
        for repetition in sorted({r for _, r in self.repetitions}):
            jobs = tuple(
                self.job(name, self.sizes[-1], 0, r)
                for name, r in self.repetitions
                if r == repetition
            )
            yield Round(number + repetition, REPETITIONS, self.sizes[-1], 0, jobs)

    def by_rounds(self) -> tuple[Told, Chances]:
        """Play the loop of rounds; return what was told, and the last chances."""
        told, ids = Told(), self.evidence.items.ids
        # Each answer has its own seconds, as where labels are scored.
        task, folds = SimpleNamespace(labels=("any",)), (Fold(pool=(), questions=ids),)
        pools: Any = SimpleNamespace(dataset=SimpleNamespace(task=task, folds=folds))
        watch: Any = SimpleNamespace(
            job=lambda *_: None, standing=lambda standing: self._tell(told, standing)
        )
        played = loop.Loop(
            rounds=[*self.rounds()],
            pools=pools,
            store=self,  # type: ignore[arg-type]
            budget=Budget(),
            observer=watch,
            judged=self.judged,
            executor=Played(self),  # type: ignore[arg-type]
        )
        played.run()
        told.end = self.now
        assert played.chances is not None
        return told, played.chances

    def _tell(self, told: Told, standing: Standing) -> None:
        if family := self.families.get(standing.named or ""):
            told.said.append(Line(self.now, family, standing.chances[standing.named or ""]))

    def as_grid(self) -> Told:
        """Play the list: every candidate on the whole pool and all rows, then all repetitions."""
        self.now, self.read = 0.0, Counter()
        told, runs = Told(), list[Run]()
        for name, repetition in [*((name, 0) for name in self.names), *self.repetitions]:
            runs.append(self.answer(self.job(name, self.sizes[-1], 0, repetition)))
            answered = {self.families.get(run.trial.candidate) for run in runs}
            found = self.judged(runs) if answered >= {*self.families.values()} else None
            if found is not None and found.family is not None:
                told.said.append(Line(self.now, found.family, found.families[found.family]))
        told.end = self.now
        return told


def simulated(name: str, number: int) -> World:
    """Draw a study of a known world."""
    rng = np.random.default_rng([number, WORLDS.index(name), 23])
    drawn = draw(name, "report", rng)
    shares, pool = [size / SIZES[-1] for size in SIZES[:-1]], SIZES[-1]
    candidates = tuple(
        replace(
            c,
            at={s: -lack for s, lack in zip(shares, LACKS[c.family], strict=True)},
            noised={},
        )
        for c in drawn.candidates
    )
    setting = replace(drawn, candidates=candidates, pool=pool, rows=ROWS, folds=1)
    found = evidence(setting, rng)
    runs = tuple(run for run in found.runs if not (run.trial.draw and run.trial.train_size < pool))
    accuracies: dict[str, float] = {}
    for c in candidates:
        accuracies[c.family] = max(accuracies.get(c.family, 0.0), c.accuracy)
    paces = {
        (c.name, size): (
            c.seconds * FITS[c.family] * size / pool,
            c.seconds * (1 - FITS[c.family]) / ROWS,
        )
        for c in candidates
        for size in SIZES
    }
    rule = Rule(margin=setting.margin)
    return World(name, replace(found, runs=runs), rule, SIZES, paces, accuracies)


def real(name: str, number: int) -> World:
    """Draw candidates of a real set, with all rows that they answered after every stored pool."""
    answered = read_all(ROOT / "benchmarks" / "replay" / "answers")[name]
    rng = np.random.default_rng([number, 23, *name.encode()])
    while True:
        drawn = occasions.draw(answered, rng)
        if any(not answered.kinds[n].every_row for n in drawn.draws) and drawn.size > 100:
            break
    sizes = [size for size in answered.sizes if size <= drawn.size]
    rows = rng.permutation(occasions._asked_of_all(answered, [*drawn.draws], sizes))
    whole = replace(drawn, rows=rows, smaller=tuple(sizes[:-1]))
    found = occasions.evidence(whole)
    runs = tuple(
        run
        for run in found.runs
        if run.trial.train_size == drawn.size
        or run.trial.draw == min(drawn.draws[run.trial.candidate])
    )
    paces = {
        (r.trial.candidate, r.trial.train_size): (
            r.fit_seconds or 0.0,
            (r.predict_seconds or 0.0) / len(rows),
        )
        for r in runs
    }
    rule = occasions.rule_for(answered)
    return World(name, replace(found, runs=runs), rule, sizes, paces)


class Played:
    """An executor whose answers are known."""

    free = 1

    def __init__(self, world: World) -> None:
        self.world, self.waiting = world, list[GroupRequest]()

    def submit(self, request: GroupRequest) -> None:
        """Take a request."""
        self.waiting.append(request)

    def results(self) -> Iterator[GroupResult]:
        """Answer what waits."""
        for request in self.waiting:
            before = request.earlier
            runs = []
            for job in request.jobs:
                earlier = before.get(job.trial.key)
                had = len(earlier.asked[CLEAN]) if earlier else 0
                runs.append((self.world.answer(job, had), None))
            yield GroupResult(number=request.number, runs=tuple(runs))
        self.waiting = []

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Study:
    """One study by both orders.

    Attributes:
        purposes: seconds of the rounds by purpose and what came of the candidate.
        lost: what the two orders truly give up, where it is known.
    """

    source: str
    rounds: Told
    grid: Told
    purposes: Mapping[tuple[str, str], float]
    lost: tuple[float, float] | None


def play(source: str, number: int, *, once: bool = False) -> Study:
    """Play both orders of a study, without repetitions where each is fitted `once`."""
    world = simulated(source, number) if source in WORLDS else real(source, number)
    if once:
        least = {(r.trial.candidate, r.trial.train_size): r for r in reversed(world.evidence.runs)}
        world.evidence = replace(world.evidence, runs=tuple(reversed(least.values())))
    rounds, last = world.by_rounds()
    purposes = dict.fromkeys(product(PURPOSES, (OPEN, BEHIND)), 0.0)
    for (name, purpose), seconds in world.spent.items():
        open_yet = name == last.named or last.candidates.get(name, 0.0) > loop.LEAST_CHANCE
        purposes[purpose, OPEN if open_yet else BEHIND] += seconds
    grid = world.as_grid()
    lost = None
    if world.accuracies:
        lost = world.lost(rounds.family), world.lost(grid.family)
    return Study(source, rounds, grid, purposes, lost)


def lines(studies: Sequence[Study]) -> Iterator[str]:
    """Yield the tables."""
    yield "Share of the grid's seconds: until the verdict is final, and until the run says so."
    yield f"{'source':18}{'studies':>8}{'final':>8}{'most':>6}{'said':>8}{'most':>6}{'sure':>6}"
    for source in dict.fromkeys(study.source for study in studies):
        yield _line(source, [study for study in studies if study.source == source])
    yield _line("all", studies)
    yield ""
    whole = fmean(study.grid.end for study in studies)
    yield f"{'Seconds of the rounds, of the grid':36}{OPEN:>20}{BEHIND:>24}"
    for purpose in PURPOSES:
        shares = [fmean(s.purposes.get((purpose, w), 0.0) for s in studies) for w in (OPEN, BEHIND)]
        yield f"{purpose:36}{shares[0] / whole:20.2f}{shares[1] / whole:24.2f}"
    after = fmean(s.rounds.end - s.rounds.final for s in studies) / whole
    yield f"{'of these, after it was final':36}{after:20.2f}"
    yield ""


def _line(source: str, own: Sequence[Study]) -> str:
    final, said = ([_share(s, part) for s in own] for part in ("final", "known"))
    sure = sum(s.rounds.said[-1].chance >= SURE for s in own)
    return (
        f"{source:18}{len(own):8}{median(final):8.2f}{max(final):6.2f}"
        f"{median(said):8.2f}{max(said):6.2f}{sure:6}"
    )


def _share(study: Study, part: str) -> float:
    return float(getattr(study.rounds, part) / getattr(study.grid, part))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=4, help="of each source")
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    parser.add_argument("--once", action="store_true", help="repeat nothing")
    choice = parser.parse_args(arguments)
    sources = [*WORLDS, *read_all(ROOT / "benchmarks" / "replay" / "answers")]
    print(f"Seconds until the final verdict; {machine(1)}\n", flush=True)
    numbers = range(choice.first, choice.first + choice.studies)
    studies = [play(source, n, once=choice.once) for source in sources for n in numbers]
    print("\n".join(lines(studies)))
    rounds = sum(len(study.rounds.said) - 1 for study in studies)
    flips, changes = (
        sum(getattr(study.rounds, part) for study in studies) / max(1, rounds)
        for part in ("flips", "changes")
    )
    by_source = [
        median(_share(s, "final") for s in studies if s.source == source) for source in sources
    ]
    targets = (
        ("median share of the seconds", median(_share(s, "final") for s in studies), MEDIAN),
        ("median of the worst source", max(by_source), WORST),
        ("flips of the named family a round", flips, FLIPS),
    )
    for what, value, most in targets:
        print(f"{what:36}{value:5.2f}  (asked {most:g}){'' if value <= most else ' MISSED'}")
    print(f"{'the family of least loss changes':36}{changes:5.2f} a round")
    same = sum(study.rounds.family == study.grid.family for study in studies)
    print(f"{'the same family in the end':36}{same} of {len(studies)}")
    known = [study.lost for study in studies if study.lost is not None]
    for who, points in zip(("rounds", "the grid"), zip(*known, strict=True), strict=True):
        print(f"{f'points that {who} lose in worlds':36}{100 * fmean(points):5.2f}")
    return int(any(value > most for _, value, most in targets))


if __name__ == "__main__":
    sys.exit(main())

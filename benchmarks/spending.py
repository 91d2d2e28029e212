"""Seconds until the final verdict: rounds of doubling against the whole grid, on known worlds.

    python benchmarks/spending.py              42 studies, about two minutes
    python benchmarks/spending.py --studies 6  a look

No model runs. A study of known true scores is played twice on a clock that jumps by what each trial
takes: by the loop of rounds, and as a list that fits every candidate once on the whole pool and
lets it answer all rows, the cheapest first. A verdict is final once a family has the chance that is
called sure and keeps it. Fits on part of the pool are worse by what the world says; their seconds
are in proportion. A flip is a line that names another family than the last one that named any.
Prints a table; exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

import choose.run.loop as loop  # noqa: E402
from choose.judge.decision.chance import Chances, chances  # noqa: E402
from choose.judge.evidence import Evidence  # noqa: E402
from choose.judge.goal import Rule  # noqa: E402
from choose.judge.scores.joint_distribution import Whole  # noqa: E402
from choose.run.spending_limit import Budget  # noqa: E402
from choose.run.worker import GroupRequest, GroupResult  # noqa: E402
from choose.schema.decision import LIKELY, SURE  # noqa: E402
from choose.schema.plan import COMPARISON, Job, Round, Standing  # noqa: E402
from choose.types import Answers, Fold, Run  # noqa: E402
from machine import machine  # noqa: E402
from simulation.evidence import evidence  # noqa: E402
from simulation.setting import Setting  # noqa: E402
from simulation.worlds import draw  # noqa: E402

# Worlds with one member of most families.
WORLDS = ("plain", "ties", "clusters", "noisy labels", "small model", "collapsing fits")

POOL, ROWS, FIRST_ROWS, FIRST_ASKED = 2_000, 800, 250, 25

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

# The median share of the seconds of the grid, the worst, and flips of the named family a round.
MEDIAN, WORST, FLIPS = 0.6, 1.2, 0.05


@dataclass
class Told:
    """When what was said: seconds, the named family, and its chance."""

    said: list[tuple[float, str, float]] = field(default_factory=list)

    def add(self, now: float, found: Chances | None, families: Mapping[str, str]) -> None:
        """Count a verdict."""
        if found is not None and found.named is not None:
            family = families[found.named]
            self.said.append((now, family, found.families.get(family, 0.0)))  # type: ignore[call-overload]

    @property
    def final(self) -> tuple[float, str]:
        """Return when the last family was first sure and stayed named, else the end."""
        last = self.said[-1][1]
        when = self.said[-1][0]
        for now, family, chance in reversed(self.said):
            if family != last:
                break
            when = now if chance >= SURE else when
        return when, last

    @property
    def flips(self) -> int:
        """Return how often a line named another family than the last one; open ones name none."""
        names = [family for _, family, chance in self.said if chance >= LIKELY]
        return sum(a != b for a, b in pairwise(names))

    @property
    def changes(self) -> int:
        """Return how often the family of least expected loss changed."""
        return sum(a[1] != b[1] for a, b in pairwise(self.said))


@dataclass
class World:
    """A study with known answers after every pool, and what they take."""

    setting: Setting
    evidence: Evidence
    now: float = 0.0
    stored: dict[str, Run] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, rng: np.random.Generator) -> World:
        """Draw one."""
        drawn = draw(name, "report", rng)
        lacking = tuple(
            replace(c, at=dict(zip((0.125, 0.25, 0.5), _lacks(c.family), strict=True)), noised={})
            for c in drawn.candidates
        )
        setting = replace(drawn, candidates=lacking, pool=POOL, rows=ROWS, folds=1)
        found = evidence(setting, rng)
        once = tuple(run for run in found.runs if run.trial.draw == 0 and not run.error)
        return cls(setting, replace(found, runs=once))

    @property
    def families(self) -> dict[str, str]:
        """Return the family of each candidate."""
        return {c.name: c.family for c in self.setting.candidates}

    def lost(self, family: str) -> float:
        """Return what using a family truly gives up."""
        best: dict[str, float] = {}
        for c in self.setting.candidates:
            best[c.family] = max(best.get(c.family, 0.0), c.accuracy)
        return max(best.values()) - best[family]

    def job(self, name: str, size: int, ask: int) -> Job:
        """Return the job of a candidate after a pool of so many rows."""
        learns = self.families[name] != "prompting"
        run = next(
            r
            for r in self.evidence.runs
            if r.trial.candidate == name and r.trial.train_size == (size if learns else POOL)
        )
        return Job(
            replace(run.trial, questions=f"{name} {run.trial.train_size}"), ask=ask, part=COMPARISON
        )

    def answer(self, job: Job, had: int = 0) -> Run:
        """Return the answers of a job, and let the clock jump by what they take."""
        run = next(
            r
            for r in self.evidence.runs
            if (r.trial.candidate, r.trial.train_size)
            == (job.trial.candidate, job.trial.train_size)
        )
        candidate = next(c for c in self.setting.candidates if c.name == job.trial.candidate)
        fit = candidate.seconds * FITS[candidate.family] * job.trial.train_size / POOL
        each = candidate.seconds * (1 - FITS[candidate.family]) / ROWS
        ask = job.ask or ROWS
        self.now += (0.0 if had else fit) + each * (ask - had)
        answers = run.answers["clean", 0]
        cut = Answers(outputs=answers.outputs[:ask], status=answers.status[:ask])
        return replace(
            run,
            trial=job.trial,
            answers={("clean", 0): cut},
            asked={("clean", 0): run.asked["clean", 0][:ask]},
            fit_seconds=fit,
            predict_seconds=each * ask,
            seconds_spent=fit + each * ask,
            unasked=ROWS - ask,
        )

    def judged(
        self, runs: Sequence[Run], planned: Mapping[str, Whole] = MappingProxyType({})
    ) -> Chances | None:
        """Return what the judge says of some runs."""
        seen = replace(self.evidence, runs=tuple(runs))
        return chances(seen, Rule(margin=self.setting.margin), planned)

    # What the loop needs of a store, an executor and pools.

    def get(self, trial: Any) -> Run | None:
        """Return a stored run."""
        return self.stored.get(trial.key)

    def add(self, run: Run, traceback: str | None = None) -> bool:
        """Store a run."""
        self.stored[run.trial.key] = run
        return True

    def by_rounds(self) -> Told:
        """Play the loop of rounds."""
        told, sizes = Told(), [FIRST_ROWS << n for n in range(4)]
        rounds = []
        for number in range(6):
            size, ask = min(sizes[min(number, 3)], POOL), min(FIRST_ASKED << number, ROWS)
            jobs = tuple(self.job(c.name, size, ask) for c in self.setting.candidates)
            rounds.append(Round(number, COMPARISON, size, ask, jobs))
        rows = {
            id: SimpleNamespace(target=t)
            for id, t in zip(self.evidence.items.ids, self.evidence.items.targets, strict=True)
        }
        dataset = SimpleNamespace(
            examples=rows,
            folds=(Fold(pool=(), questions=self.evidence.items.ids),),
        )
        pools: Any = SimpleNamespace(dataset=dataset)
        watch = SimpleNamespace(
            job=lambda *_: None, standing=lambda standing: self._tell(told, standing)
        )
        loop.Loop(
            rounds=rounds,
            pools=pools,
            store=self,  # type: ignore[arg-type]
            budget=Budget(),
            observer=watch,
            judged=self.judged,
            executor=Played(self),  # type: ignore[arg-type]
        ).run()
        return told

    def _tell(self, told: Told, standing: Standing) -> None:
        family = self.families[standing.named] if standing.named else ""
        if family and standing.ended:
            chance = standing.chances[standing.named or ""]
            told.said.append((self.now, family, chance))

    def as_grid(self) -> Told:
        """Play the list: every candidate on the whole pool and all rows, the cheapest first."""
        self.now, told, runs = 0.0, Told(), list[Run]()
        for candidate in self.setting.candidates:
            runs.append(self.answer(self.job(candidate.name, POOL, ROWS)))
            told.add(self.now, self.judged(runs), self.families)
        return told


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
            runs = tuple(
                (
                    self.world.answer(
                        job,
                        len(before[job.trial.key].asked["clean", 0])
                        if job.trial.key in before
                        else 0,
                    ),
                    None,
                )
                for job in request.jobs
            )
            yield GroupResult(number=request.number, runs=runs)
        self.waiting = []

    def close(self) -> None:
        """Do nothing."""


def _lacks(family: str) -> tuple[float, float, float]:
    few, some, half = LACKS[family]
    return -few, -some, -half


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=42)
    choice = parser.parse_args(arguments)
    print(f"Seconds until the final verdict, {choice.studies} studies; {machine(1)}\n", flush=True)
    shares: dict[str, list[float]] = {}
    flips, changes, rounds, same, sure = 0, 0, 0, 0, 0
    lost = [0.0, 0.0]
    for number in range(choice.studies):
        name = WORLDS[number % len(WORLDS)]
        world = World.of(name, np.random.default_rng(number))
        fast = world.by_rounds()
        slow = world.as_grid()
        shares.setdefault(name, []).append(fast.final[0] / slow.final[0])
        flips, rounds = flips + fast.flips, rounds + len(fast.said) - 1
        changes += fast.changes
        lost = [a + world.lost(told.final[1]) for a, told in zip(lost, (fast, slow), strict=True)]
        same += fast.final[1] == slow.final[1]
        sure += fast.said[-1][2] >= SURE
    for name, own in shares.items():
        print(f"{name:14} median {median(own):5.2f} of the grid's seconds, most {max(own):5.2f}")
    every = [share for own in shares.values() for share in own]
    lines = (
        ("median share of the seconds", median(every), MEDIAN),
        ("median of the worst world", max(median(own) for own in shares.values()), WORST),
        ("flips of the named family a round", flips / max(1, rounds), FLIPS),
    )
    for what, value, most in lines:
        print(f"{what:34} {value:5.2f}  (asked {most:g}){'' if value <= most else ' MISSED'}")
    print(f"the same family in the end         {same} of {choice.studies}")
    print(f"sure in the end                    {sure} of {choice.studies}")
    print(f"the family of least loss changes   {changes / max(1, rounds):5.2f} a round")
    for who, points in zip(("rounds", "the grid"), lost, strict=True):
        print(f"points that {who:8} lose in the end {100 * points / choice.studies:4.2f}")
    return int(any(value > most for _, value, most in lines))


if __name__ == "__main__":
    sys.exit(main())

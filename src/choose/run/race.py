"""Spare the time of candidates that can no longer win, on a bound that is declared beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from choose.strategy import find
from choose.study.grid import Job
from choose.study.grid_points import FIRST_PASS
from choose.types import Run

# One side: a candidate is looked at after each of its folds, so the bound must be strict.
CONFIDENCE = 0.999


MIN_COMMON_ROWS = 100


# With fewer clusters chance alone can put all of them on one side.
MIN_CLUSTERS = 20


@dataclass
class Race:
    """Who is right where, on clean rows of the first pass, and who is out.

    A candidate is out when, on at least 100 rows that both answered, worth at least 20 clusters,
    the upper 99.9 % bound of its paired difference to another candidate lies below minus the
    margin: it can neither win nor be shown to be as good. One with a failed trial cannot be chosen,
    so nobody is out on its account.

    Attributes:
        targets: id -> the label that is right.
        margin: the smallest difference that matters, as a share of the rows.
        clusters: id -> the group or near-duplicates of a row; ids missing here stand alone.
        right: candidate -> id -> whether it was right there.
        out: candidate -> why.
    """

    targets: Mapping[str, str]
    margin: float
    clusters: Mapping[str, str] = field(default_factory=dict)
    right: dict[str, dict[str, bool]] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)
    _behind: dict[str, str] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)

    def add(self, run: Run) -> tuple[str, ...]:
        """Count the clean answers of a run; return who is in again because its candidate failed."""
        name = run.trial.candidate
        if run.error is not None:
            return self._fail(name)
        rows = self.right.setdefault(name, {})
        answers, asked = run.answers["clean", 0], run.asked["clean", 0]
        for id, output in zip(asked, answers.outputs, strict=True):
            rows[id] = output == self.targets[id]
        return ()

    def drop(self, name: str) -> bool:
        """Return whether a candidate is out by now, and remember why."""
        if name not in self.out:
            for rival in self._sound():
                difference, bound, rows = self._against(name, rival)
                if bound < -self.margin:
                    self._behind[name] = rival
                    self.out[name] = (
                        f"dropped after {rows} rows, {-100 * difference:.0f} points behind {rival} "
                        f"(at least {-100 * bound:.0f} behind with 99.9 % certainty)"
                    )
                    break
        return name in self.out

    def _sound(self) -> list[str]:
        return [name for name in self.right if name not in self._failed]

    def _fail(self, name: str) -> tuple[str, ...]:
        self._failed.add(name)
        freed = [other for other, rival in self._behind.items() if rival == name]
        for other in freed:
            del self.out[other], self._behind[other]
        return tuple(other for other in freed if not self.drop(other))

    def _against(self, name: str, rival: str) -> tuple[float, float, int]:
        """Return the difference on common rows, its upper bound (1 if too few), and their count."""
        mine, theirs = self.right.get(name, {}), self.right[rival]
        common = [id for id in mine if id in theirs]
        if len(common) < MIN_COMMON_ROWS:
            return 0.0, 1.0, len(common)
        gains = [mine[id] - theirs[id] for id in common]
        names = [self.clusters.get(id, id) for id in common]
        return sum(gains) / len(common), upper_bound(gains, names), len(common)


def upper_bound(gains: Sequence[int], clusters: Sequence[str]) -> float:
    """Return the upper 99.9 % bound of a mean of paired differences of -1, 0 or 1 by row.

    Bonett and Price's (2012), with an imaginary row for either side, over the sums of clusters: t
    with one degree of freedom less than the clusters of one size that the rows are worth (Kish),
    since a few large ones may decide the spread of many. 1 where that is fewer than 20 clusters.
    """
    names, places = np.unique(np.asarray(clusters), return_inverse=True)
    sizes = np.bincount(places)
    rows, count = len(gains), len(names)
    worth = rows**2 / float(sizes @ sizes)
    if worth < MIN_CLUSTERS:
        return 1.0
    center = sum(gains) / (rows + 2)
    apart = np.bincount(places, weights=gains) - center * sizes
    imaginary = 2 * (1 + center**2)
    few = count / (count - 1) if count < rows else 1.0
    spread = sqrt(few * (float(apart @ apart) + imaginary)) / (rows + 2)
    return center + float(stdtrit(worth - 1, CONFIDENCE)) * spread


@dataclass
class TrialHistory:
    """Candidates by what their trials have shown, those of earlier commands included.

    Attributes:
        race: who is out, as far as candidates are raced.
        racing: whether they are.
        cost: seconds that a whole trial took lately, by candidate.
        failed: who has had a trial that failed.
        worked: who has had one that did not.
        spared: trials that were not run because their candidate was out.
    """

    race: Race
    racing: bool
    cost: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    worked: set[str] = field(default_factory=set)
    spared: dict[str, list[Job]] = field(default_factory=dict)

    def add(self, job: Job, run: Run, earlier: bool = False) -> list[Job]:
        """Take note of a run; return what was spared of candidates that are in again for it.

        One of an `earlier` command may have loaded and embedded what is here by now: half counts.
        """
        name, again = run.trial.candidate, []
        cost = full_trial_seconds(run) * (0.5 if earlier else 1.0)
        self.cost[name] = max(cost, 0.5 * self.cost.get(name, 0.0))
        (self.failed if run.error else self.worked).add(name)
        if run.error or job.part == FIRST_PASS:
            for freed in self.race.add(run):
                again += self.spared.pop(freed, [])
        return again

    def hopeless(self, job: Job) -> bool:
        """Return whether a trial is not worth its time: its candidate only fails, or is out."""
        dear = not find(job.trial.strategy).cheap
        return self.only_fails(job) or (
            self.racing and dear and self.race.drop(job.trial.candidate)
        )

    def only_fails(self, job: Job) -> bool:
        """Return whether a trial's candidate has only failed so far, and so has said it all."""
        return job.trial.candidate in self.failed - self.worked

    def spare(self, job: Job) -> None:
        """Remember a trial that is not run because its candidate is out."""
        self.spared.setdefault(job.trial.candidate, []).append(job)


def full_trial_seconds(run: Run) -> float:
    """Return the seconds that a trial takes when all its questions are asked."""
    spent, asked = run.seconds_spent or 0.0, len(run.asked.get(("clean", 0), ()))
    asking = min(run.predict_seconds or 0.0, spent)
    return spent + asking * run.unasked / asked if asked else spent

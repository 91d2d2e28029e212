"""What jobs will take, from what the last round took; before any, from rough constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, log

from choose.schema.plan import COMPARISON, Job, Reach, Round
from choose.strategy import find
from choose.types import Dataset, Family, Run, Trial

CLEAN = ("clean", 0)

# Seconds of a fit on 250 rows of 100 characters, and of an answer, that are assumed of a candidate
# before any were measured.
FAST = (0.5, 0.01)
SLOW: Mapping[Family, tuple[float, float]] = {
    "baseline": (5.0, 0.05),
    "prompting": (2.0, 0.2),
    "retrieval": (4.0, 0.4),
    "fine-tuning": (15.0, 0.02),
}

# A fit that takes this share of the time that it should end in was probably made shorter.
CUT_SHARE = 0.8

# What is prompted learns from a few rows however many there are; what retrieves indexes all.
GROWTH: Mapping[Family, float] = {"prompting": 0.0, "retrieval": 0.5}


@dataclass
class Pace:
    """What a candidate took.

    Attributes:
        growth: power of the rows by which a fit grows, until two fits have told it.
        fits: rows -> seconds of its fit on them.
        cut: rows of fits that time had made shorter: more rows take as long again on top.
        answer: seconds of each of its latest answers; None before the first.
        dollars: what each of its latest answers cost.
    """

    growth: float = 1.0
    fits: dict[int, float] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)
    answer: float | None = None
    dollars: float = 0.0

    def add(self, run: Run, aim: float = inf) -> None:
        """Count a run, whose fit should have ended within the seconds of `aim`."""
        if run.shortened or (run.fit_seconds or 0.0) > CUT_SHARE * aim:
            self.cut.add(run.trial.train_size)
        self.growth = GROWTH.get(find(run.trial.strategy).family, 1.0)
        if run.fit_seconds is not None:
            self.fits[run.trial.train_size] = run.fit_seconds
        if count := len(run.asked.get(CLEAN, ())):
            self.answer = (run.predict_seconds or 0.0) / count

    def fit(self, rows: int) -> float | None:
        """Return the seconds of a fit as the last two grew; None before the first."""
        if not self.fits:
            return None
        *before, last = sorted(self.fits)
        power = self.growth
        if before and min(self.fits[before[-1]], self.fits[last]) > 0:
            grown = log(self.fits[last] / self.fits[before[-1]]) / log(last / before[-1])
            power = min(1.5, max(0.0, grown))
        power += last in self.cut
        return self.fits[last] * float((rows / max(1, last)) ** power)

    def fit_seconds(self, job: Job) -> float:
        """Return the forecast of a job's fit."""
        rows = job.trial.train_size
        known = self.fit(rows)
        return _assumed(job.trial)[0] * max(rows, 1) / 250 if known is None else known

    def answer_seconds(self, job: Job, dataset: Dataset, had: int = 0) -> float:
        """Return the forecast of what a job asks beyond the `had` rows that are answered."""
        each = _assumed(job.trial)[1] if self.answer is None else self.answer
        rows = len(dataset.folds[min(job.trial.fold, len(dataset.folds) - 1)].questions)
        clean = max(0, (job.ask or job.trial.scenario.ask or rows) - had)
        views = len(job.views) + job.repeats - 1
        return each * (clean + views * min(rows, job.view_rows // len(dataset.folds)))


def _assumed(trial: Trial) -> tuple[float, float]:
    """Return the seconds of a fit on 250 rows, and of an answer, before any were measured."""
    cls = find(trial.strategy)
    return FAST if cls.cheap else SLOW[cls.family]


def reach(
    rounds: Sequence[Round], dataset: Dataset, budget: float, paces: Mapping[str, Pace]
) -> Reach:
    """Forecast what a budget reaches, with the paces of candidates that were measured."""
    left, known = budget, dict(paces)
    learned, asked = dict[str, int](), dict[str, dict[str, int]]()
    table = list[Mapping[str, float | None]]()
    for round in rounds:
        row = dict[str, float | None]()
        for job in round.jobs:
            name, key = job.trial.candidate, job.trial.key
            pace, own = known.setdefault(name, Pace()), asked.setdefault(name, {})
            compared = round.part == COMPARISON
            had = own.get(key, 0) if compared else 0
            needed = 0.0 if had else pace.fit_seconds(job)
            needed += pace.answer_seconds(job, dataset, had)
            if needed > left or (name in row and row[name] is None):
                row[name] = None
                continue
            left -= needed
            row[name] = (row.get(name) or 0.0) + needed
            if compared:
                trained = job.trial.train_size if find(job.trial.strategy).learns else 0
                if trained > learned.get(name, 0):  # answers after other pools are other ones
                    own.clear()
                learned[name] = max(learned.get(name, 0), trained)
                own[key] = job.ask
        table.append(row)
    totals = {name: sum(own.values()) for name, own in asked.items()}
    return Reach(learned=learned, asked=totals, seconds=table)

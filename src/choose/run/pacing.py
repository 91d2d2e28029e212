"""How the seconds of a budget are shared among the first passes of dear candidates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter

from choose.models.endpoints.spec import names_endpoint
from choose.run.asking import AT_LEAST, CHUNK, Deadline
from choose.run.beginning import Pace, begin
from choose.run.fitting import Fitted
from choose.run.sharing import Need, shares
from choose.study.grid import Job
from choose.types import Dataset

# Of the time left, the part that first passes of dear candidates share; the rest is for what cheap
# ones still add in seconds: noise, sizes, the pool asked of itself.
SHARED = 0.75

# Seconds that beginning a trial may take for its fit, and again for its questions: so many, but no
# more than this part of the budget.
BEGIN, PART = 2.0, 0.01

# Before a candidate is left out, it is begun once more for `BEGIN`, or this part of what is left.
LOOK = 0.1

# Most forecasts are good to this factor (`benchmarks/timings.py`), so that a fit that is forecast
# to take more than so many times what is left will hardly end in time.
SURE = 1.5


@dataclass
class Pacing:
    """Who has not had a first pass yet, and what it will take.

    Where the time does not suffice for all rows, everybody is asked the same number of them, but
    those to whom all rows take little: dear candidates are compared on the rows that both were
    asked. It is forecast from the beginning of each trial.
    """

    dataset: Dataset
    budget: float
    waiting: dict[str, Job]
    paces: dict[str, Pace | None] = field(default_factory=dict)
    fitted: dict[str, Fitted] = field(default_factory=dict)
    until: float = inf

    def look(self, left: float) -> None:
        """Begin the first pass of all who wait, once; an endpoint is not asked for this."""
        self.until = perf_counter() + SHARED * left
        seconds = min(BEGIN, PART * self.budget)
        for name, job in self.waiting.items():
            self.paces[name] = (
                None if names_endpoint(job.trial.params) else self._begun(job, seconds)
            )

    def _begun(self, job: Job, seconds: float) -> Pace | None:
        try:
            begun = begin(job, self.dataset, seconds)
        except Exception:
            return None  # the trial itself will fail, and be recorded
        if begun.fitted is not None:
            self.fitted[job.trial.candidate] = begun.fitted
        return begun.pace

    def ordered(self) -> list[Job]:
        """Return the trials that wait, those first that a hundred rows cost least.

        Whose pace is not known comes first: an endpoint's, or one that will fail soon.
        """

        def cost(name: str) -> float:
            pace = self.paces.get(name)
            return pace.fits[-1][1] + AT_LEAST * pace.ask if pace and pace.ask is not None else 0.0

        return [self.waiting[name] for name in sorted(self.waiting, key=cost)]

    def start(self, name: str) -> dict[str, Fitted]:
        """Take a candidate from those who wait; return its fit, by key, if there is one already."""
        job, fitted = self.waiting.pop(name), self.fitted.pop(name, None)
        return {} if fitted is None else {job.trial.key: fitted}

    def deadline(self, name: str, left: float) -> Deadline:
        """Return when a candidate whose first pass begins now should stop asking.

        Seconds that nobody is forecast to need are its own, should it take longer than forecast.
        """
        now = perf_counter()
        needs = {waits: self._need(waits, job) for waits, job in self.waiting.items()}
        found = shares(needs, self.until - now)
        share = found[name] + max(0.0, self.until - now - sum(found.values()))
        need = needs[name]
        least = CHUNK if need is None else min(AT_LEAST, max(CHUNK, int(need.reaches(share))))
        return Deadline(now + share, now + left, least)

    def _need(self, name: str, job: Job) -> Need | None:
        pace = self.paces.get(name)
        if pace is None:
            return None
        rows = len(self.dataset.folds[job.trial.fold].questions)
        return (_fitted(pace) if name in self.fitted else pace).need(rows)

    def too_long(self, name: str, left: float) -> float | None:
        """Return the seconds that a fit would take if that is surely more than is left."""
        pace = self.paces.get(name)
        if pace is None or name in self.fitted or pace.fits[-1][1] <= SURE * left:
            return None
        # Two steps of a short beginning tell little, and nobody is left out for a hiccup.
        pace = self.paces[name] = self._begun(self.waiting[name], min(BEGIN, LOOK * left))
        if pace is None or name in self.fitted or pace.fits[-1][1] <= SURE * left:
            return None
        return pace.fits[-1][1]


def _fitted(pace: Pace) -> Pace:
    return replace(pace, fits=((pace.fits[-1][0], 0.0),))

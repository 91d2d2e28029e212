"""How the seconds of a budget are shared among the first passes of dear candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter

from choose.models.endpoints.spec import endpoint_name
from choose.run.asking import AT_LEAST, CHUNK, Deadline
from choose.run.beginning import Pace, begin
from choose.run.group import Fitted
from choose.study.grid import Job
from choose.types import Dataset

# Of the time left, the part that first passes of dear candidates share; the rest is for what cheap
# ones still add in seconds: noise, sizes, the pool asked of itself.
SHARED = 0.75

# Seconds that beginning a trial may take for its fit, and again for its questions: so many, but no
# more than this part of the budget.
BEGIN, PART = 2.0, 0.01

# Whoever can be asked all rows for this part of the time to share, after its fit, is: against cheap
# candidates, which all rows were asked of, every row counts.
LITTLE = 0.05

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
            self.paces[name] = None if asks_endpoint(job) else self._begun(job, seconds)

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

    def start(self, name: str) -> Fitted | None:
        """Take a candidate from those who wait; return its fit if it has been fitted already."""
        del self.waiting[name]
        return self.fitted.pop(name, None)

    def deadline(self, name: str, left: float) -> Deadline:
        """Return when a candidate whose first pass begins now should stop asking.

        Seconds that nobody is forecast to need are its own, should it take longer than forecast.
        """
        now, rows = perf_counter(), {}
        for waits, job in self.waiting.items():
            rows[waits] = len(self.dataset.folds[job.trial.fold].questions)
        paces = {n: _fitted(p) if n in self.fitted and p else p for n, p in self.paces.items()}
        found = shares(rows, paces, self.until - now)
        spare = max(0.0, self.until - now - sum(found.values()))
        return Deadline(now + found[name] + spare, now + left)

    def too_long(self, name: str, left: float) -> float | None:
        """Return the seconds that a fit would take if that is surely more than is left."""
        pace = self.paces.get(name)
        if pace is None or name in self.fitted:
            return None
        fit = pace.fits[-1][1]
        return fit if fit > SURE * left else None


def shares(
    rows: Mapping[str, int], paces: Mapping[str, Pace | None], seconds: float
) -> dict[str, float]:
    """Return seconds by candidate so that all can be asked the same number of their rows.

    Those to whom all their rows take little time are asked all of them. Those whose pace is not
    known get an even share. Where not even 25 rows would be left to ask, whoever takes most waits
    for what the others leave, and so on; the last one gets it all.
    """
    even = dict.fromkeys(rows, seconds / max(1, len(rows)))
    known = {n: p for n in rows if (p := paces.get(n)) is not None and p.ask is not None}
    rest = seconds - sum(even[n] for n in rows if n not in known)
    fits = {n: p.fits[-1][1] for n, p in known.items()}
    each = {n: p.ask or 0.0 for n, p in known.items()}
    for name in known:
        if each[name] * rows[name] <= LITTLE * seconds:
            fits[name], each[name] = fits[name] + each[name] * rows[name], 0.0
    within = sorted(known, key=lambda n: fits[n] + AT_LEAST * each[n])
    while len(within) > 1 and _asked(within, rows, each, fits, rest) < CHUNK:
        within.pop()
    asked = _asked(within, rows, each, fits, rest)
    shared = {n: fits[n] + each[n] * min(rows[n], asked) for n in within}
    last = max(0.0, rest - sum(shared.values()))
    return even | dict.fromkeys(known, last) | shared


def _asked(
    names: Sequence[str],
    rows: Mapping[str, int],
    each: Mapping[str, float],
    fits: Mapping[str, float],
    seconds: float,
) -> float:
    """Return the rows that all of some candidates can be asked after their fits."""
    left = seconds - sum(fits[n] for n in names)
    return _even_rows({n: rows[n] for n in names}, {n: each[n] for n in names}, left)


def _even_rows(rows: Mapping[str, int], each: Mapping[str, float], seconds: float) -> float:
    """Return r so that asking everybody the smaller of r and their rows takes so many seconds."""
    asked = 0.0
    ends: Sequence[int] = sorted(set(rows.values()))
    for end in ends:
        going = sum(each[n] for n in rows if rows[n] >= end)
        if going <= 0:
            asked = end
            continue
        more = min(end - asked, seconds / going)
        if more <= 0:
            break
        asked, seconds = asked + more, seconds - more * going
    return inf if ends and asked >= ends[-1] else asked


def _fitted(pace: Pace) -> Pace:
    return replace(pace, fits=((pace.fits[-1][0], 0.0),))


def asks_endpoint(job: Job) -> bool:
    """Return whether a trial puts its questions to an endpoint."""
    return any(endpoint_name(value) is not None for value in job.trial.params.values())

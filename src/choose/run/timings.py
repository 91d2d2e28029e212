"""Forecast what every candidate's trials will take, from a rehearsal of each."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from choose.data.scenarios import drawn, place_of
from choose.errors import ChooseError
from choose.models.endpoints.settings import Endpoint
from choose.models.endpoints.spec import names_endpoint
from choose.models.here import missing
from choose.run.beginning import Pace
from choose.run.pacing import SHARED
from choose.run.purse import rows_paid_for
from choose.run.rehearsal import rehearse
from choose.run.sharing import Need, shares
from choose.sending import total_usd
from choose.strategy import find
from choose.study.behind import asked_by
from choose.study.grid import Job
from choose.study.points import FIRST_PASS
from choose.study.spending import bills_of
from choose.timings import Forecast
from choose.types import Candidate, Dataset

# Seconds that a fit may take in the rehearsal, and again its questions.
SECONDS = 2.0


def forecast(jobs: Sequence[Job], dataset: Dataset, budget: float | None) -> list[Forecast]:
    """Rehearse every candidate that runs here and add up its trials; endpoints are not asked.

    Nothing is fetched: a candidate whose weights are not here yet has no seconds.
    """
    of: dict[str, list[Job]] = {}
    for job in jobs:
        of.setdefault(job.trial.candidate, []).append(job)
    paces: dict[str, Pace] = {}
    found: dict[str, Forecast] = {}
    for name, own in of.items():
        why = _why_not(own[0])
        if why is None:
            try:
                paces[name] = rehearse(own[0], dataset, SECONDS)
            except Exception as error:
                why = str(error) if isinstance(error, ChooseError) else f"It failed: {error}"
        found[name] = Forecast(candidate=name, trials=len(own), why_not=why)
    sums = Sums(dataset, paces)
    for job in jobs:
        sums.add(job)
    for name, pace in paces.items():
        found[name] = _summed(found[name], sums, pace)
    if budget is not None:
        for name, rows in _reached(jobs, sums, budget).items():
            found[name] = replace(found[name], rows=rows)
    return list(found.values())


def priced(
    found: Sequence[Forecast],
    jobs: Sequence[Job],
    candidates: Sequence[Candidate],
    dataset: Dataset,
    endpoints: Mapping[str, Endpoint],
    limit: float | None = None,
) -> list[Forecast]:
    """Add tokens and dollars to the forecasts of candidates that ask endpoints.

    With a `limit` of dollars, also the rows that they reach.
    """
    by_name = {c.name: c for c in candidates}
    rows = {} if limit is None else rows_paid_for(jobs, dataset, endpoints, limit)
    return [
        replace(
            _priced(one, jobs, by_name[one.candidate], dataset, endpoints),
            rows=rows.get(one.candidate, one.rows),
        )
        for one in found
    ]


def _priced(
    one: Forecast,
    jobs: Sequence[Job],
    candidate: Candidate,
    dataset: Dataset,
    endpoints: Mapping[str, Endpoint],
) -> Forecast:
    own = [job for job in jobs if job.trial.candidate == candidate.name]
    if not asked_by(candidate, endpoints):
        return one
    bills = bills_of(own, [candidate], dataset, endpoints)
    return replace(
        one,
        read=sum(bill.read for bill in bills),
        written=sum(bill.written for bill in bills),
        usd=total_usd(bills),
    )


def _why_not(job: Job) -> str | None:
    if names_endpoint(job.trial.params):
        return "How fast an endpoint answers is only known once it is asked."
    for spec in job.trial.params.values():
        if isinstance(spec, str) and (why := missing(spec)):
            return why
    return None


def _summed(one: Forecast, sums: Sums, pace: Pace) -> Forecast:
    name = one.candidate
    if pace.ask is None:
        return replace(one, why_not="Its fit was stopped, and could not be asked.")
    rows, tokens = sums.asked[name], pace.tokens
    return replace(
        one,
        first=sums.first.get(name),
        seconds=sums.seconds[name],
        read=None if tokens is None else round(rows * tokens[0]),
        written=None if tokens is None else round(rows * tokens[1]),
    )


@dataclass
class Sums:
    """Seconds by candidate, in the order of the run: what is met again costs less.

    Candidates with one encoder share what it has embedded; other work is remembered by each alone.
    `early` is what runs before the first trial of a dear candidate; None while none was added.
    """

    dataset: Dataset
    paces: Mapping[str, Pace]
    seconds: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    seen: set[Hashable] = field(default_factory=set)
    early: float | None = None

    def add(self, job: Job) -> None:
        """Add a trial."""
        name = job.trial.candidate
        if self.early is None and not find(job.trial.strategy).cheap:
            self.early = sum(self.seconds.values())
        pace = self.paces.get(name)
        if pace is None:
            return
        before = pace.load if name not in self.seconds else 0.0
        took = before + self._took(job, pace)
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        if job.part == FIRST_PASS:
            self.first[name] = self.first.get(name, 0.0) + took

    def _took(self, job: Job, pace: Pace) -> float:
        trial = job.trial
        rows = drawn(self.dataset, place_of(trial, self.dataset))
        encoder = trial.params.get("encoder")
        memory: tuple[Hashable, ...] = (encoder,) if encoder else (trial.candidate, trial.variant)
        new = self._new(memory, ("pool",), [e.id for e in rows.pool])
        # A job that only adds views makes its trial again, and whoever remembers prompts remembers
        # those of its fit too.
        known = not self._new((trial.candidate,), ("trial",), [trial.key])
        same = pace.same if known else 0.0
        took = 0.0 if pace.remembers(same) else pace.fit(len(rows.pool)) + pace.text * new
        few = max(1, job.view_rows // len(self.dataset.folds))
        views = [("clean", len(rows.questions)), *((view, few) for view in job.views)]
        for view, most in views:
            ids = rows.questions[:most]
            place = ("pool",) if encoder and view == "clean" else ("asked", view)
            met = len(ids) - self._new(memory, place, ids)
            saved = max(pace.met, same if view == "clean" else 0.0)
            took += max(0.0, (pace.ask or 0.0) * len(ids) - saved * met)
            again = len(ids) if known and view == "clean" else 0
            self.asked[trial.candidate] = self.asked.get(trial.candidate, 0) + len(ids) - again
        again = min(few, len(rows.questions)) * (job.repeats - 1)
        return took + (pace.ask or 0.0) * again

    def _new(self, memory: tuple[Hashable, ...], place: tuple[str, ...], ids: Sequence[str]) -> int:
        keys = {(*memory, *place, id) for id in ids} - self.seen
        self.seen |= keys
        return len(keys)


def _reached(jobs: Sequence[Job], sums: Sums, budget: float) -> dict[str, int]:
    """Return rows of the first pass by dear candidate, where the budget does not reach all."""
    needs: dict[str, Need | None] = {}
    for job in jobs:
        name, fold = job.trial.candidate, job.trial.fold
        if job.part == FIRST_PASS and fold == 0 and not find(job.trial.strategy).cheap:
            pace, rows = sums.paces.get(name), len(sums.dataset.folds[fold].questions)
            needs[name] = None if pace is None else pace.need(rows)
    share = shares(needs, SHARED * max(0.0, budget - (sums.early or 0.0)))
    known = {name: need for name, need in needs.items() if need is not None}
    reached = {name: max(0, round(need.reaches(share[name]))) for name, need in known.items()}
    return {name: rows for name, rows in reached.items() if rows < known[name].rows}

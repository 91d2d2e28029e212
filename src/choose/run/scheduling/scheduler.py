"""Decide which trials run next: order, races, failures, groups and the time budget.

The scheduler runs nothing, writes nothing and reads no clock or strategy. It is told what time it
is and how many requests may begin, and answers with requests; it is told what came of them. So the
same scheduler serves one process, a cluster and a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from math import inf
from typing import Any

from choose.run.first_passes import FirstPassBudget, KeptFits, UnfinishedPass, UnfinishedPasses
from choose.run.predict_test_rows import MIN_ROWS
from choose.run.run_records import GroupRequest, GroupResult, Limits, Pace, RunSummary, StudyFacts
from choose.run.scheduling.next_trial import Choice, Flight, Now, TrialOrder, WaitingJobs
from choose.run.scheduling.race import NextSteps, Race, TrialHistory
from choose.schema.plan import Job
from choose.study.grid_points import FIRST_PASS
from choose.types import Run

# Trials that are fitted together at most; more would save little and lose more if interrupted.
MAX_BATCH = 10

# Share of the budget by which a fit or prediction may overrun its end.
GRACE = 0.05

# How often a trial is begun whose worker did not survive it.
ATTEMPTS = 2


class Scheduler:
    """The state of a run: what waits, what is under way, and what is known of each candidate.

    A candidate without any answers gets one trial unless its fit alone is forecast to overrun the
    remaining time, so that a small budget leaves out repetitions rather than candidates. Under a
    budget, slow candidates answer 25 rows at first. Those in contention then answer more; where no
    question is open, all do, the fewest answers first.

    Attributes:
        summary: what did not run, and why.
    """

    def __init__(
        self, jobs: Sequence[Job], facts: StudyFacts, limits: Limits, workers: int = 1
    ) -> None:
        self.facts, self.limits = facts, limits
        race = Race(facts.targets, limits.margin, facts.clusters)
        self.history = TrialHistory(race, limits.racing, facts.closed_book, facts.fast)
        self._priced = frozenset(facts.remote) if limits.money else frozenset()
        self.summary = RunSummary(priced=self._priced, dropped=race.dropped)
        self._waiting = WaitingJobs(jobs)
        self._numbers = count()
        self._flying: dict[int, Flight] = {}
        self._order = TrialOrder(facts.fast, facts.folds, facts.baseline, limits.stated)
        self._cut, self._workers = set[str](), workers
        self._kept = KeptFits(facts.folds)
        slow = {n: job for n, job in self._waiting.first_jobs.items() if n not in facts.fast}
        self._slow, self._by_value = frozenset(slow), limits.racing and bool(slow)
        self.unfinished = UnfinishedPasses()
        self.first_passes = FirstPassBudget(limits.seconds or 0.0, slow, facts.remote, facts.late)

    def recall(self, stored: Callable[[Job], Run | None]) -> list[tuple[Job, Run]]:
        """Take over and return what an earlier command finished, which does not run again.

        A first pass that it left unfinished is fitted again if its other rows are worth that.
        """
        ended: list[tuple[Job, Run]] = []
        for place, job in list(self._waiting.at.items()):
            if place in self._waiting.at and (run := stored(job)) is not None:
                del self._waiting.at[place]
                ended += self._add(job, run, earlier=True)
                if job.part == FIRST_PASS:
                    self.unfinished.record(job, run, open=True, fit=run.fit_seconds or 0.0)
        return ended

    @property
    def busy(self) -> bool:
        """Return whether requests are under way."""
        return bool(self._flying)

    @property
    def asks(self) -> bool:
        """Return whether the order depends on what is open: every candidate had its first trial."""
        return self._by_value and not self._waiting.first_places

    @property
    def unanswered(self) -> list[str]:
        """Return the candidates whose first trial waits or is under way."""
        jobs = [self._waiting.at[place] for place in self._waiting.first_places]
        jobs += [j for f in self._flying.values() if f.request.begins for j in f.request.jobs]
        return [name for name, first in self._waiting.first_jobs.items() if first in jobs]

    def tells_verdict(self, now: Now) -> bool:
        """Return whether a verdict is told: all have answered but those who will be late."""
        return self._by_value and self.first_passes.answers_late(self.unanswered, now.elapsed)

    def next(self, now: Now, free: int) -> list[GroupRequest]:
        """Return at most `free` requests that should begin now; none where all is done or busy."""
        requests: list[GroupRequest] = []
        while len(requests) < free:
            if (request := self._pick(now)) is None:
                if not self._flying and self.asks and now.question is not None:
                    self.unfinished.settle(now.question)
                    self.summary.settle(self._waiting.at.values(), self.history.worked)
                    self._waiting.at.clear()
                break
            requests.append(request)
        return requests

    def on_result(self, result: GroupResult) -> list[tuple[Job, Run]]:
        """Take what came of a request, its runs as the store holds them; return the jobs that end.

        Those are its own, and others that the same answers serve.
        """
        flight, ended = self._flying[result.number], list[tuple[Job, Run]]()
        request = flight.request
        if request.action == "measure":
            self.first_passes.record(request.candidate, result.speed, bool(result.kept))
        self._kept.record(request, result)
        for run, _ in result.runs:
            flight.ended[run.trial.key] = run
            (job,) = (j for j in request.jobs if j.trial.key == run.trial.key)
            further = request.begins or run.unasked < getattr(request.earlier, "unasked", 0)
            self.unfinished.record(job, run, further and run.trial.key in result.kept)
            ended += self._add(job, run) if request.begins else []
            if request.action != "run" and run.error is None:
                self.history.extend(run)
        if result.last:
            del self._flying[result.number]
            self._end(flight, result)
        return ended

    def hopeless(self, number: int) -> list[Job]:
        """Return the jobs of a lost request that are not tried again."""
        lost, missing = self._waiting.lost, self._flying[number].missing
        return [job for job in missing if lost[job.trial.key] >= ATTEMPTS - 1]

    def interrupt(self) -> None:
        """Record that the user ends the run."""
        self.summary.stopped += [j for flight in self._flying.values() for j in flight.missing]
        self.summary.stopped += self._waiting.at.values()
        self.summary.interrupted = True

    def conclude(self) -> RunSummary:
        """Return the summary, with the rows that first passes left unanswered."""
        self.unfinished.conclude(self.summary)
        return self.summary

    def later_first_passes(self, job: Job) -> list[Job]:
        """Return the first passes that wait while a job of one runs."""
        later = [j for j in self._waiting.at.values() if j.part == FIRST_PASS and j is not job]
        return [j for j in later if not self.history.futile(j)]

    # --- what next ------------------------------------------------------------------------------

    def _left(self, now: Now) -> float:
        """Return the seconds until the budget ends."""
        return inf if self.limits.seconds is None else self.limits.seconds - now.elapsed

    def _pick(self, now: Now) -> GroupRequest | None:
        """Return the next request in order, and settle on the way what need not run."""
        blocked: set[int] = set()
        while (found := self._first_choice(blocked, now)) is not None:
            choice, unfinished = found
            if unfinished is not None or choice.place is None:
                return None if unfinished is None else self._extension(unfinished, now, choice.why)
            place, job = choice.place, self._waiting.at[choice.place]
            if self.history.only_fails(job):
                self.summary.skipped.append(self._leave(place))
            elif self.history.futile(job):
                self.history.skip(self._leave(place))
            elif self._blocked(job):
                blocked.add(place)
            elif self.first_passes.needs_probes(job, self._left(now)):
                if (order := self.first_passes.next_probe(job, self._left(now))) is not None:
                    return self._send(*order, action="measure", keep_fit=True)
                if any(f.request.action == "measure" for f in self._flying.values()):
                    blocked.add(place)
                else:
                    self._waiting.exchange(self.first_passes.fastest_first())
                    self.first_passes.ordered = True
            elif (request := self._request(place, now, choice.why)) is not None:
                return request
        return None

    def _first_choice(
        self, blocked: set[int], now: Now
    ) -> tuple[Choice, UnfinishedPass | None] | None:
        """Return the first choice that is possible, with the first pass that it goes on with."""
        for choice in self._choices(now):
            unfinished = self._unfinished(choice, now) if choice.rows_of else None
            if unfinished or not (choice.place is None or choice.place in blocked):
                return choice, unfinished
        return None

    def _choices(self, now: Now) -> Iterator[Choice]:
        """Yield what may run, the first one first."""
        waiting, question, rows = self._waiting.at, now.question, Choice(None, rows_of=self._slow)
        if self.asks and question is not None:
            worth = NextSteps(self.history, self.unfinished, self.facts.rows).worth
            yield from self._order.choices(waiting, question, worth, self._kept.answers)
            yield from () if question.final else (rows,)
            return
        yield from (rows,) if self.first_passes.go_on(now.elapsed) else ()
        early = self.history.early(self._waiting.first_jobs, self.facts.folds, self.limits.seconds)
        room = partial(self._has_room, now)
        firsts = self._waiting.early_places(room, early) if self._by_value else []
        crowds = partial(self.first_passes.crowds_out, self._left(now), self.history.futile)
        yield from self._order.planned(waiting, firsts, rows, crowds)

    def _blocked(self, job: Job) -> bool:
        """Return whether a job has to wait for one of its candidate that is under way.

        A trial is not begun twice at once. And until a candidate's first trial has ended, its cost
        is unknown, and whether it only fails. Those at endpoints share a driver, and its dollars.
        """
        name, flying = job.trial.candidate, [flight.request for flight in self._flying.values()]
        if self.first_passes.waiting.get(name, job) is not job or self._queues(job):
            return True
        begun = any(j.trial.key == job.trial.key for request in flying for j in request.jobs)
        return begun or (name not in self.history.cost and any(r.candidate == name for r in flying))

    def _queues(self, job: Job) -> bool:
        """Return whether a job calls an endpoint while another does: one decides what is left."""
        busy = any(f.request.candidate in self.facts.remote for f in self._flying.values())
        return busy and job.trial.candidate in self.facts.remote

    def _has_room(self, now: Now, job: Job) -> bool:
        """Return whether controls leave the first passes that wait the time for their fits."""
        seconds = self._kept.seconds(job, self.history.cost.get(job.trial.candidate, 0.0))
        return self.first_passes.has_room(seconds, self._left(now), self.history.futile)

    def _leave(self, place: int) -> Job:
        """Take a job that does not run."""
        job = self._waiting.at.pop(place)
        self.first_passes.take(job.trial.candidate)
        return job

    def _request(self, place: int, now: Now, why: str) -> GroupRequest | None:
        """Return the request of a job; leave it out where the time that is left cannot hold it."""
        job, left = self._waiting.at[place], self._left(now)
        if how := self._kept.request(job, left):
            return self._send([self._waiting.at.pop(place)], left, (place,), why=why, **how)
        name, timed = job.trial.candidate, self.limits.seconds is not None
        first = name not in self.history.cost
        # Baselines always get a first trial, but one that the budget cut short no second one: other
        # candidates are compared with them.
        fits = self.history.cost.get(name, 0.0) < left or name in self.first_passes.fitted
        if not (first and name in self.facts.baselines and name not in self._cut) and not fits:
            self.summary.left_out.append(self._leave(place))
            return None
        most, pace = 1.0, None
        if timed and self.first_passes.waiting.get(name) is job:
            if (fit := self.first_passes.overrun(name, left)) is not None:
                self.summary.too_long[name] = self.history.cost[name] = fit
                self.summary.left_out.append(self._leave(place))
                return None
            pace = self.first_passes.pace(left, name in self._priced)
        elif name in self._priced and job.part == FIRST_PASS:
            pace = Pace(end=left)  # answers in chunks, so that paid answers count
        elif not first and name in self.facts.grouped:
            cost = self.history.cost[name]
            own = sum(job.trial.candidate == name for job in self._waiting.at.values())
            most = min(MAX_BATCH, left / cost if cost > 0 else inf, own / self._workers)
        seconds = left + GRACE * (self.limits.seconds or 0.0)
        keep = timed and pace is not None and not self._closed(job)
        batch = self._waiting.take_batch(place, int(most), self._blocked)
        self.first_passes.begin(name, now.elapsed)
        return self._send(batch.values(), seconds, tuple(batch), pace=pace, keep_fit=keep, why=why)

    def _unfinished(self, choice: Choice, now: Now) -> UnfinishedPass | None:
        """Return the first pass with the fewest answers that a choice goes on with, if any."""
        if (left := self._left(now)) <= 0:
            return None
        busy = {key for flight in self._flying.values() for key in flight.request.keys}

        def skip(job: Job) -> bool:
            others = job.trial.candidate not in choice.rows_of
            return others or self._closed(job) or self._queues(job)

        return self.unfinished.shortest(left, skip, busy, inf if choice.place is None else MIN_ROWS)

    def _extension(self, one: UnfinishedPass, now: Now, why: str) -> GroupRequest:
        """Return a request for more test rows of a first pass: as many as it has answered.

        Without a question, for a few, so that all first passes answer the same number of rows.
        """
        least = 2 * one.answered if self.asks and now.question is not None else 0
        why = f"{one.job.trial.candidate}, more rows" + (f": {why}" if why else "")
        pace = Pace(share=0.0, end=self._left(now), least=least)
        more: dict[str, Any] = {"earlier": one.run, "why": why, "keep_fit": True}
        return self._send((one.job,), self._left(now), action="extend", pace=pace, **more)

    def _send(
        self, jobs: Iterable[Job], seconds: float, places: Sequence[int] = (), **how: Any
    ) -> GroupRequest:
        number, data, jobs = next(self._numbers), self.facts.data, tuple(jobs)
        how["keep_whole"] = any(map(self._waiting.needs_fit, jobs))
        request = GroupRequest(number=number, jobs=jobs, data=data, seconds=seconds, **how)
        self._flying[request.number] = Flight(request, places)
        return request

    def _closed(self, job: Job) -> bool:
        """Return whether a first pass gets no more rows: dollars for it are fully allocated."""
        return self.history.futile(job) or job.trial.candidate in self._priced

    # --- what came of it ------------------------------------------------------------------------

    def _add(self, job: Job, run: Run, earlier: bool = False) -> list[tuple[Job, Run]]:
        """Take a run into account, and return its job and those that it serves as well.

        The jobs of candidates that rejoin the race because of it wait again.
        """
        ended = [(job, run)]
        for freed in self.history.add(job, run, earlier):
            self._waiting.append(freed)
        if earlier and self.first_passes.waiting.get(job.trial.candidate) is job:
            self.first_passes.take(job.trial.candidate)
        for other, same in self._waiting.served(run):
            ended += self._add(other, same, earlier=True)
        return ended

    def _end(self, flight: Flight, result: GroupResult) -> None:
        request, missing = flight.request, flight.missing
        if request.action == "extend" and not flight.ended:
            self.unfinished.shut(request.jobs[0].trial.key)
        elif result.lost or (request.action == "views" and missing):
            self._again(flight, missing)
        elif result.stopped:
            left = [job for job in request.jobs if job in missing or not self._whole(job, flight)]
            self.summary.leave(left, result)
            if result.stopped == "time":
                self._cut |= {job.trial.candidate for job in left}

    def _whole(self, job: Job, flight: Flight) -> bool:
        run = flight.ended[job.trial.key]
        return run.error is None and not run.unasked and self._waiting.answers(job)

    def _again(self, flight: Flight, missing: Sequence[Job]) -> None:
        """Let the jobs wait again whose worker did not survive them."""
        # Probes and further rows have no place: what they are about waits, or has answered.
        placed = zip(flight.places, flight.request.jobs, strict=True) if missing else ()
        self._waiting.put_back(again := [one for one in placed if one[1] in missing])
        for _, job in again:
            if flight.request.pace is not None and job.trial.candidate not in self.history.cost:
                self.first_passes.waiting.setdefault(job.trial.candidate, job)

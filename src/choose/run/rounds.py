"""Run the rounds of a study within a budget, and keep who can still be the one to use.

This process alone writes the store. It hands requests to an executor: this process, or a cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple, Protocol

from choose.data.scenarios import Pools
from choose.formatting import duration, plural
from choose.judge.decision.chance import Chances
from choose.judge.scores.joint_distribution import Whole
from choose.run.forecast import Pace
from choose.run.predict_test_rows import FIRST_CHUNK
from choose.run.records import Executor, GroupRequest, GroupResult
from choose.run.spending_limit import Budget
from choose.run.trial import CLEAN, answers, versions
from choose.run.worker import LocalExecutor, Worker
from choose.schema.plan import COMPARISON, REPETITIONS, Job, LeftOut, Reason, Round, Standing
from choose.store.store import Store
from choose.strategy import Strategy, find
from choose.study.rounds import CONTROLS, DRILLS
from choose.types import STANDARD, Family, Run

# A candidate takes part in the next round while its chance of being the one to use is above it.
LEAST_CHANCE = 0.02

# Test rows that the likeliest member of every family answers before it can be left behind.
ROWS_OF_A_FAMILY = 100

# An answer of every family is aimed at by this share of the budget, and so many seconds: the first
# verdict comes a little later.
FIRST_SHARE, FIRST_SECONDS = 0.16, 45.0

# Share of the seconds of a candidate's first request in which its fit should end, and the most of
# these; a candidate of the first verdict has a few seconds at least.
FIT_OF_SHARE, FIRST_FIT, LEAST_SECONDS = 0.6, 20.0, 4.0

# A slow candidate is fitted again on so many times the rows where that is sure to end in time: all
# its fits then take a third more than the last one, and not twice as long.
GROWTH, AMPLE = 4, 0.5

# Share of the budget that fits of the comparison leave for the rounds after it.
RESERVE = 0.1

# Share of the time that other candidates leave in which the fit of a candidate should end, and how
# many times its forecast it may take in any case: what is repeated must not be made shorter.
SLOW_SHARE, FAST_SHARE, SLOWER = 0.7, 0.05, 1.3

# Trials that are fitted together at most, and attempts at one that a worker does not survive.
MOST_TOGETHER, ATTEMPTS = 10, 2


class Watch(Protocol):
    """Receives the events of a run."""

    def job(self, job: Job, run: Run | None) -> None:
        """Handle the start of a job (no run) or its end."""

    def standing(self, standing: Standing) -> None:
        """Handle what is known after a round, or once every family has answered."""


# What the judge says of the runs so far, and of what is planned of each candidate.
Judged = Callable[[Sequence[Run], Mapping[str, Whole]], Chances | None]


@dataclass
class Summary:
    """What a run left out, by candidate and reason."""

    interrupted: bool = False
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    not_run: dict[tuple[str, Reason | None], Counter[str]] = field(default_factory=dict)

    def leave(self, job: Job, reason: Reason | None) -> None:
        """Count a job that did not run."""
        self.not_run.setdefault((job.trial.candidate, reason), Counter())[job.part] += 1

    def all(self) -> list[LeftOut]:
        """Return everything that was left out, as reports list it."""
        return [*self.left_out.values(), *(_not_run(*at, n) for at, n in self.not_run.items())]


_WHY: Mapping[Reason | None, str] = {
    "dropped": "not run, since it is behind",
    "not-needed": "not run, since they are unlikely to change which family is named",
    "out-of-time": "the budget was used up",
    "out-of-money": "--max-usd was used up; run again with a higher limit to continue, no answer "
    "is paid for twice",
    None: "all its trials until then had failed, or you stopped the run",
}


def _not_run(candidate: str, reason: Reason | None, trials: Counter[str]) -> LeftOut:
    parts = (f"{part} ({plural(count, 'trial')})" for part, count in trials.items())
    text = f"{', '.join(parts)}: {_WHY[reason]}."
    return LeftOut(candidate=candidate, reason=reason, text=text, trials=dict(trials))


def run_rounds(
    rounds: Sequence[Round],
    pools: Pools,
    store: Store,
    budget: Budget,
    *,
    watch: Watch,
    judged: Judged | None = None,
    executor: Executor | None = None,
    spent: Callable[[], float] = lambda: 0.0,
) -> Summary:
    """Run what the store does not hold yet and the budget allows.

    Args:
        rounds: in their order.
        pools: the pools of the study.
        store: where runs are written.
        budget: seconds and dollars.
        watch: is told what happens.
        judged: asks the judge, which alone decides who goes on; without it, all do.
        executor: runs the trials, and is closed at the end; without it, this process does.
        spent: returns the dollars that the command has spent.
    """
    loop = _Loop(rounds, pools, store, budget, watch, judged, spent)
    loop.executor = executor or LocalExecutor(Worker(pools))
    return loop.run()


class Needed(NamedTuple):
    """The forecast of some jobs: seconds of each fit, of all answers, and of a few; dollars."""

    fits: list[float]
    answers: float
    chunk: float
    dollars: float

    @property
    def seconds(self) -> float:
        """Return the seconds of all."""
        return sum(self.fits) + self.answers


class Limits(NamedTuple):
    """The seconds after which a request ends, its fit should, and no further rows are begun."""

    all: float
    fit: float
    answers: float = inf


@dataclass
class _Loop:
    rounds: Sequence[Round]
    pools: Pools
    store: Store
    budget: Budget
    watch: Watch
    judged: Judged | None
    spent: Callable[[], float]
    executor: Executor = field(init=False)
    summary: Summary = field(default_factory=Summary)
    runs: dict[str, Run] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)
    chances: Chances | None = None
    # Candidates that take part no more, and why; and those that keep an earlier fit.
    out: dict[str, Reason | None] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    _compared: dict[str, dict[int, Job]] = field(default_factory=dict)
    _aims: dict[str, float] = field(default_factory=dict)
    _numbers: int = 0
    _ran: bool = False
    _told: bool = False

    def __post_init__(self) -> None:
        self.classes: dict[str, type[Strategy]] = {
            job.trial.candidate: find(job.trial.strategy) for r in self.rounds for job in r.jobs
        }
        self._data = self.pools.dataset.fingerprint
        compared = [r for r in self.rounds if r.part == COMPARISON]
        self._whole = max((r.rows for r in compared), default=0)
        self._last_round = compared[-1] if compared else Round(0, COMPARISON, 0, 0, ())

    def run(self) -> Summary:
        done = 0
        try:
            for round in self.rounds:
                self._round(round)
                done += 1
        except KeyboardInterrupt:
            self.summary.interrupted = True
            for round in self.rounds[done:]:
                for job in round.jobs:
                    if job.trial.key not in self.runs:
                        self.summary.leave(job, None)
        finally:
            self.executor.close()
        return self.summary

    def _round(self, round: Round) -> None:
        wanted: dict[str, list[Job]] = {}
        self._told, self._ran = bool(round.number), False
        for job in {(j.trial.key, j.ask, j.views): j for j in self._jobs(round)}.values():
            if not self._reuse(job):
                wanted.setdefault(job.trial.candidate, []).append(job)
        self._execute(round, wanted)
        if round.part == COMPARISON and self._ran:
            self._execute(round, self._beside())
            self._tell(round, ended=True)
            self._leave_behind()

    def _jobs(self, round: Round) -> Iterator[Job]:
        """Yield the jobs of candidates that take part."""
        for job in round.jobs:
            name = job.trial.candidate
            if name in self.out:
                self.summary.leave(job, self.out[name])
            elif round.part == COMPARISON:
                last = self._last(name)
                if last is None or not (name in self.held or self._waits(last, job)):
                    yield job
                elif job.trial.fold == 0:
                    yield replace(last, ask=max(job.ask, last.ask))
            elif (later := self._later(job)) is not None:
                yield later

    def _waits(self, last: Job, job: Job) -> bool:
        """Return whether a slow candidate keeps its last fit, as a later one on more rows fits."""
        name, size = job.trial.candidate, job.trial.train_size
        least = GROWTH * last.trial.train_size
        most = least if 2 * least < self._whole else self._whole
        if not self._is_slow(name) or not last.trial.train_size < size < most:
            return False
        return (self.paces[name].fit(most) or 0.0) <= AMPLE * self.budget.left()

    def _beside(self) -> dict[str, list[Job]]:
        """Return what fast candidates lack of the rows that slow ones answered after a pool.

        Only answers after the same pool are compared.
        """
        asked: dict[int, int] = {}
        for last in filter(None, map(self._last, filter(self._is_slow, self._compared))):
            size = last.trial.train_size
            asked[size] = max(asked.get(size, 0), self._had(last))
        lacking: dict[str, list[Job]] = {}
        for one in (job for r in self.rounds if r.part == COMPARISON for job in r.jobs):
            name, ask = one.trial.candidate, asked.get(one.trial.train_size, 0)
            if name in self.out or self._is_slow(name) or one.trial.fold or one.ask >= ask:
                continue
            if not self._reuse(job := replace(one, ask=ask)):
                lacking.setdefault(name, []).append(job)
        return lacking

    def _later(self, job: Job) -> Job | None:
        """Return a job after the comparison, on the rows that its candidate answered there."""
        name, trial = job.trial.candidate, job.trial
        always = job.part in (CONTROLS, DRILLS)  # what reading loses is told of all that read
        if name in self.held or not (always or self._takes_part(name)):
            self.summary.leave(job, "out-of-time" if name in self.held else "not-needed")
            return None
        if trial.scenario.kind not in ("standard", "noise"):
            return job
        last = self._compared.get(name, {}).get(trial.fold)
        run = self.runs.get(last.trial.key) if last else None
        rows = len(run.asked.get(CLEAN, ())) if run else 0
        return replace(job, ask=rows) if rows else None

    def _takes_part(self, name: str) -> bool:
        chance = self.chances.candidates if self.chances and self.chances.named else {}
        fast = [n for n in chance if n in self.classes and self.classes[n].cheap]
        best = max(fast, key=lambda n: chance[n], default="")
        return not chance or name == best or chance.get(name, 0.0) > LEAST_CHANCE

    def _reuse(self, job: Job) -> bool:
        """Take a run that the store holds; return whether it answers all that the job asks."""
        known = self.runs.get(job.trial.key)
        if known is not None and answers(job, known):
            return True
        run = self.store.get(job.trial)
        if run is None or run.error is not None:
            return False
        self._add(job, run)
        if not answers(job, run):
            return False
        self.watch.job(job, run)
        self._ran = True
        return True

    def _execute(self, round: Round, wanted: Mapping[str, Sequence[Job]]) -> None:
        """Run requests as workers become free, and take their results."""
        waiting = [*wanted.values()]
        flying: dict[int, tuple[GroupRequest, int]] = {}
        while waiting or flying:
            while waiting and self.executor.free:
                jobs, *waiting = self._sorted(round, waiting)
                name = jobs[0].trial.candidate
                together = MOST_TOGETHER if hasattr(self.classes[name], "fit_group") else 1
                if rest := jobs[together:]:
                    waiting.append(rest)
                if (request := self._request(round, jobs[:together], waiting)) is not None:
                    flying[request.number] = request, 1
                    self.watch.job(jobs[0], None)
                    self.executor.submit(request)
            if not flying:
                continue
            with closing(self.executor.results()) as results:
                for result in results:
                    if cut := self._take(round, result, flying):
                        waiting.append(cut)

    def _sorted(self, round: Round, waiting: Iterable[Sequence[Job]]) -> list[Sequence[Job]]:
        """Return jobs by candidate in the order of their turns; fast ones come first.

        In the first round a family with fewer answers precedes others, by the same member until it
        has all. Later the cheaper one comes first.
        """

        def turn(jobs: Sequence[Job]) -> tuple[float, ...]:
            name = jobs[0].trial.candidate
            if not self._is_slow(name):
                return (0,)
            if round.number:
                return 1, self._needed(jobs).seconds
            own = self._rows_answered(name)
            family = [
                n for n in self._compared if self.classes[n].family == self.classes[name].family
            ]
            most = min(round.ask, max(map(self._rows_answered, family), default=0))
            return 1, most, own if most == round.ask else -own

        order = list(self.classes)  # of equal ones the first of the plan
        return sorted(waiting, key=lambda jobs: (turn(jobs), order.index(jobs[0].trial.candidate)))

    def _needed(self, jobs: Sequence[Job]) -> Needed:
        """Return the forecast of some jobs of a candidate."""
        pace = self.paces.get(jobs[0].trial.candidate)
        if pace is None:  # begun in any case: nothing is known of it
            return Needed([0.0] * len(jobs), 0.0, 0.0, 0.0)
        fits = [pace.fit_seconds(job) if self._needs_fit(job) else 0.0 for job in jobs]
        more = [max(0, job.ask - self._had(job)) for job in jobs]
        answers = (pace.answer_seconds(j, self.pools.dataset, self._had(j)) for j in jobs)
        return Needed(
            fits, sum(answers), FIRST_CHUNK * (pace.answer or 0.0), pace.dollars * sum(more)
        )

    def _owed(self, name: str) -> float:
        """Return the seconds of cheaper members of a family, which answer all their rows first."""
        family, rests = self.classes[name].family, dict[str, float]()
        for n in self._compared:
            if self._is_slow(n) and self.classes[n].family == family and n not in self.out:
                more = [
                    job
                    for job in self._last_round.jobs
                    if job.trial.candidate == n and not self._answered(job)
                ]
                rests[n] = self._needed(more).seconds if more and n not in self.held else 0.0
        return sum(rest for rest in rests.values() if rest < rests.get(name, 0.0))

    def _had(self, job: Job) -> int:
        """Return how many test rows of a job are answered."""
        run = self.runs.get(job.trial.key)
        return len(run.asked.get(CLEAN, ())) if run else 0

    def _request(
        self, round: Round, jobs: Sequence[Job], waiting: Sequence[Sequence[Job]]
    ) -> GroupRequest | None:
        """Return the request of some jobs; None where it would not end in time."""
        name, left, needed = jobs[0].trial.candidate, self.budget.left(), self._needed(jobs)
        slow = round.number and round.part == COMPARISON and self._is_slow(name)
        reserve = RESERVE if slow else 0
        # What is answered until the end counts.
        seconds = needed.seconds if any(needed.fits) else min(needed.answers, needed.chunk)
        owed = self._owed(name) if slow and any(needed.fits) else 0.0
        ends = self.budget.fits(seconds + owed, dollars=needed.dollars, reserve=reserve)
        if left <= 0 or not ends:
            self._cannot(jobs, max(needed.fits), paid=self.budget.pays(needed.dollars))
            return None
        self._numbers += 1
        limits = self._limits(name, waiting, left=left, fits=needed.fits)
        new = [job.trial.key for job in jobs if not self._had(job)]
        self._aims |= dict.fromkeys(new, limits.fit)
        before = (self.runs.get(job.trial.key) for job in jobs)
        return GroupRequest(
            number=self._numbers,
            jobs=tuple(jobs),
            data=self._data,
            earlier={run.trial.key: run for run in before if run is not None},
            seconds=limits.all,
            fit_seconds=limits.fit,
            answer_seconds=limits.answers,
        )

    def _limits(
        self, name: str, waiting: Sequence[Sequence[Job]], *, left: float, fits: Sequence[float]
    ) -> Limits:
        """Return the limits of a request in seconds; `waiting` are jobs of other candidates.

        The first verdict waits for a candidate of every slow family: these share its seconds, and
        rows that take longer are answered after it. All other candidates share the remaining time.
        """
        others = {jobs[0].trial.candidate for jobs in waiting}
        slow = [n for n in {name, *others} if self._is_slow(n)]
        families = {self.classes[n].family for n in slow}
        if not self._is_slow(name) or self.budget.seconds is None:
            return Limits(left, FAST_SHARE * left)
        if name in self._compared:
            after = left - sum(self._needed(jobs).seconds for jobs in waiting)
            fit = max(SLOW_SHARE * max(after, left / 2), SLOWER * max(fits))
            return Limits(left if any(fits) else left / len(families), fit)
        share, hard = left / len(slow), left
        if unanswered := families & self._unanswered_families():
            verdict = min(FIRST_SHARE * self.budget.seconds, FIRST_SECONDS)
            least = min(LEAST_SECONDS, share)
            share = max(least, (verdict - self.budget.elapsed) / len(unanswered))
            # The last of them leaves time for those that wait.
            hard = left / len(unanswered) if len(unanswered) > 1 or len(slow) == 1 else 0.6 * left
        return Limits(hard, min(FIT_OF_SHARE * share, FIRST_FIT), share)

    def _is_slow(self, name: str) -> bool:
        return not self.classes[name].cheap

    def _needs_fit(self, job: Job) -> bool:
        """Return whether no worker should still have a job's fit."""
        last = self._compared.get(job.trial.candidate, {}).get(job.trial.fold)
        return last is None or last.trial.key != job.trial.key or last.trial.key not in self.runs

    def _cannot(self, jobs: Sequence[Job], fit: float, *, paid: bool) -> None:
        """Record jobs that would not end in time; their candidate keeps its last fit."""
        job = jobs[0]
        name, last = job.trial.candidate, self._compared.get(job.trial.candidate, {}).get(0)
        reason: Reason = "out-of-time" if paid else "out-of-money"
        for one in jobs:
            self.summary.leave(one, reason)
        if job.part != COMPARISON or name in self.held or last is None:
            return
        self.held.add(name)
        if reason == "out-of-time" and fit >= 1 and job.trial.train_size > last.trial.train_size:
            self.summary.left_out[name] = LeftOut(
                candidate=name,
                reason="too-long",
                text=f"too little time was left for a fit on {plural(job.trial.train_size, 'row')} "
                f"({duration(fit)}) and its answers. It stays with "
                f"{plural(last.trial.train_size, 'row')}.",
                seconds=fit,
            )

    def _take(
        self, round: Round, result: GroupResult, flying: dict[int, tuple[GroupRequest, int]]
    ) -> list[Job]:
        """Store what came of a request; return jobs that go on after the first verdict."""
        request, attempts = flying[result.number]
        if result.lost and attempts < ATTEMPTS:
            flying[result.number] = request, attempts + 1
            self.executor.submit(request)
            return []
        by_key = {job.trial.key: job for job in request.jobs}
        runs = list(result.runs)
        if result.lost:
            error = f"Two workers could not run it: {result.lost}"
            runs = [
                (Run(trial=j.trial, error=error, versions=versions()), None) for j in request.jobs
            ]
        for run, traceback in runs:
            before = self.runs.get(run.trial.key)
            # What the store then holds of the trial: it may have had it before.
            stored = run if self.store.add(run, traceback) else self.store.get(run.trial) or run
            self._ran = True
            self._count_dollars(stored, before)
            job = by_key[run.trial.key]
            self._add(job, stored)
            self.watch.job(job, stored)
        if result.last or result.lost:
            del flying[result.number]
            self._left_by(request, result)
        if not self._told and not self._unanswered_families():
            self._tell(round, ended=False)
            self._told = True
        if not result.last or result.stopped or request.answer_seconds == inf:
            return []
        return [j for j in request.jobs if j.trial.key in self.runs and not self._answered(j)]

    def _count_dollars(self, run: Run, before: Run | None) -> None:
        """Count what the answers of a run have cost."""
        had = len(before.asked.get(CLEAN, ())) if before else 0
        rows, spent = len(run.asked.get(CLEAN, ())) - had, self.spent() - self.budget.spent
        self.budget.spend(spent)
        if spent > 0 and rows > 0:
            self.paces.setdefault(run.trial.candidate, Pace()).dollars = spent / rows

    def _left_by(self, request: GroupRequest, result: GroupResult) -> None:
        """Record what a request that was stopped did not end."""
        missing = [job for job in request.jobs if not self._answered(job)]
        if not missing or not result.stopped:
            return
        for job in missing:
            self.summary.leave(job, "out-of-money" if result.stopped == "money" else "out-of-time")
        name = request.candidate
        if result.stopped == "money":
            self.out[name] = "out-of-money"
        elif missing[0].part == COMPARISON:
            if name in self._compared:
                self.held.add(name)
            else:
                self.out[name] = "out-of-time"
                fit = result.needed
                what = "one fit" if fit is None else f"one fit ({duration(fit)})"
                text = f"{what} did not end in its share of the time."
                self.summary.left_out[name] = LeftOut(
                    candidate=name, reason="too-long", text=text, seconds=fit
                )

    def _answered(self, job: Job) -> bool:
        run = self.runs.get(job.trial.key)
        return run is not None and (run.error is not None or answers(job, run))

    def _add(self, job: Job, run: Run) -> None:
        name = run.trial.candidate
        self.runs[run.trial.key] = run
        if run.error is not None:
            if name not in self._compared:
                self.out[name] = None
            return
        self.paces.setdefault(name, Pace()).add(run, self._aims.get(run.trial.key, inf))
        if job.part == COMPARISON:
            own = self._compared.setdefault(name, {})
            before = own.get(run.trial.fold)
            if before is None or before.trial.train_size <= run.trial.train_size:
                own[run.trial.fold] = job

    def _unanswered_families(self) -> set[Family]:
        answered = {self.classes[name].family for name in self._compared}
        return {cls.family for name, cls in self.classes.items() if name not in self.out} - answered

    def _tell(self, round: Round, ended: bool) -> None:
        """Ask the judge for the chances, and say how candidates stand."""
        runs = [
            run
            for run in self.runs.values()
            if not run.error and run.trial.scenario == STANDARD and not run.trial.variant
        ]
        if self.judged is not None and runs:
            self.chances = self.judged(runs, self._planned())
        scores = {}
        for name, jobs in self._compared.items():
            own = [self.runs[job.trial.key] for job in jobs.values()]
            most = max(run.trial.train_size for run in own)
            marks = [
                m
                for run in own
                if 2 * run.trial.train_size > most
                for m in marks_of(run, self.pools)
            ]
            if marks:
                scores[name] = sum(marks) / len(marks)
        said = self.chances
        self.watch.standing(
            Standing(
                round=round,
                named=said.named if said else None,
                chances={said.members[f]: said.families[f] for f in said.families} if said else {},
                scores=scores,
                unanswered=[name for name in self.classes if name not in scores],
                ended=ended,
            )
        )

    def _planned(self) -> dict[str, Whole]:
        """Return what candidates will have answered if all rounds that are left take place."""
        repeats = Counter(
            job.trial.candidate
            for round in self.rounds
            for job in round.jobs
            if round.part == REPETITIONS and job.trial.fold == 0
        )
        rows, labels = Counter[str](), Counter[str]()
        for job in self._last_round.jobs:
            name, last = job.trial.candidate, self._last(job.trial.candidate)
            if name in self.out or (name in self.held and job.trial.fold):
                continue
            rows[name] += job.ask
            labels[name] = (last if last and name in self.held else job).trial.train_size
        return {name: Whole(rows[name], 1 + repeats[name], labels[name]) for name in rows}

    def _last(self, name: str) -> Job | None:
        """Return a candidate's latest job of the comparison in the first fold."""
        return self._compared.get(name, {}).get(0)

    def _leave_behind(self) -> None:
        """Leave slow candidates behind that cannot be the one to use any more.

        All stop once no round that is left could move a chance across a word, but the named one
        where it has learned from all rows: its repetitions tell how much its runs vary. The
        likeliest of each family answers some rows first, and so do all prompts and models of the
        named family that may be its best: which of them to use is asked too.
        """
        if self.chances is None or self.chances.named is None:
            return
        chance, settled = self.chances.candidates, not self.chances.worth_asking
        named = self.chances.family
        # Among those that go on; of equal ones the first of the plan, whatever the clock says.
        going = [n for n in self.classes if n in chance and n not in self.out]
        best: dict[Family, str] = {}
        for name in sorted(going, key=lambda n: -chance[n]):
            best.setdefault(self.classes[name].family, name)
        for name in [n for n in self._compared if self._is_slow(n) and n not in self.out]:
            rows = self._rows_answered(name)
            family = self.classes[name].family
            behind = chance.get(name, 0.0) <= LEAST_CHANCE  # one beyond a limit has none
            open_yet = family == named and family != "fine-tuning" and not behind
            few = rows < ROWS_OF_A_FAMILY and (open_yet or name == best.get(family))
            most = max(job.trial.train_size for job in self._compared[name].values())
            stays = name == self.chances.named and most >= self._whole
            if few or not (behind or (settled and not stays)):
                continue
            self.out[name] = "dropped" if behind else "not-needed"
            if behind:
                self.summary.left_out[name] = LeftOut(
                    candidate=name,
                    reason="dropped",
                    text=f"{'behind' if name in chance else 'beyond a limit'} for certain after "
                    f"{plural(rows, 'answer')}.",
                )

    def _rows_answered(self, name: str) -> int:
        runs = (self.runs[job.trial.key] for job in self._compared.get(name, {}).values())
        return sum(len(run.asked.get(CLEAN, ())) for run in runs)


def marks_of(run: Run, pools: Pools) -> list[float]:
    """Return the scores of the clean answers of a run: 1 or 0 where answers are labels."""
    if scores := run.scores.get(CLEAN):
        found: list[float] = next(iter(scores.values())).tolist()
        return found
    rows = pools.dataset.examples
    pairs = zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    return [float(output == rows[id].target) for id, output in pairs]

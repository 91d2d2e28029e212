"""Run jobs one after another in this process, within a budget of seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

from choose.errors import MoneySpent
from choose.run.asking import Deadline
from choose.run.group import run_group
from choose.run.racing import Race
from choose.store import Store
from choose.strategy import Groups, find
from choose.study.grid import Job
from choose.types import Dataset, Run

FIRST_PASS = "the first pass"

# Of the time left, the part that first passes of dear candidates share; the rest is for what cheap
# ones still add in seconds: noise, sizes, the pool asked of itself.
SHARED = 0.75

# Trials learnt side by side; more would save little and risk more at an interruption.
MOST_TOGETHER = 10

Watch = Callable[[Job, Run | None], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to run, and whether candidates that can no longer win are spared.

    `money` is whether dollars are limited, so that a first pass may end early.
    """

    seconds: float | None = None
    racing: bool = False
    margin: float = 0.02
    money: bool = False


@dataclass
class Outcome:
    """What was not run, who was dropped and why, and whether the user stopped it.

    `unasked` counts the first-pass rows that a candidate's share of the budget did not reach;
    `unpaid` is what the limit of dollars left.
    """

    left_out: list[Job] = field(default_factory=list)
    unpaid: list[Job] = field(default_factory=list)
    unasked: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    money: bool = False
    seconds: float = 0.0


def run_jobs(
    jobs: Sequence[Job],
    dataset: Dataset,
    store: Store,
    limits: Limits,
    watch: Watch,
) -> Outcome:
    """Run what the store does not hold yet and the limits allow.

    A candidate that has not answered anything yet is always given one trial, so that a small
    budget leaves out repetitions and not candidates. A dear one answers as many rows of that trial
    as an even share of three quarters of the time left allows. `watch` is called before (without a
    run) and after each job.
    """
    outcome, start, budget = Outcome(money=limits.money), perf_counter(), limits.seconds
    race = Race({id: e.target for id, e in dataset.examples.items()}, limits.margin)
    outcome.dropped = race.out
    cost: dict[str, float] = {}
    broken: set[str] = set()
    working: set[str] = set()
    waiting = {j.trial.candidate for j in jobs if not find(j.trial.strategy).cheap}
    beside: set[int] = set()
    for number, job in enumerate(jobs):
        if number in beside:
            continue
        if store.done(job.trial, job.all_views, job.repeats):
            run = store.get(job.trial)
            _note(race, job, run)
            watch(job, run)
            waiting.discard(job.trial.candidate)
            continue
        name = job.trial.candidate
        if name in broken and name not in working:
            continue  # a candidate that has only failed so far has said what there is to say
        if limits.racing and not find(job.trial.strategy).cheap and race.drop(name):
            continue
        left = float("inf") if budget is None else budget - (perf_counter() - start)
        if name in cost and cost[name] > left:
            outcome.left_out.append(job)
            continue
        watch(job, None)
        deadline = None
        together = [job]
        if budget is not None and name in waiting:
            share = SHARED * left / len(waiting)
            deadline = Deadline(perf_counter() + share, start + budget)
            waiting.discard(name)
        elif limits.money and job.part == FIRST_PASS:
            deadline = Deadline(inf)  # in parts, so that what is paid for counts
        elif name in cost:
            together = _together(jobs[number:], store, min(MOST_TOGETHER, left // cost[name]))
            beside |= set(range(number + 1, number + len(together)))
        try:
            for run, traceback in run_group(together, dataset, deadline):
                store.add(run, traceback)
                outcome.unasked[name] += run.unasked
                cost[name] = max(run.seconds_spent or 0.0, 0.5 * cost.get(name, 0.0))
                (broken if run.error else working).add(name)
                own = next(j for j in together if j.trial.key == run.trial.key)
                _note(race, own, run)
                watch(own, run)
        except MoneySpent:
            outcome.unpaid.append(job)
        except KeyboardInterrupt:
            outcome.left_out += [
                j for j in jobs[number:] if not store.done(j.trial, j.all_views, j.repeats)
            ]
            outcome.interrupted = True
            break
    outcome.seconds = perf_counter() - start
    return outcome


def _together(jobs: Sequence[Job], store: Store, most: float) -> list[Job]:
    """Return the first job, and those right after it that can be learnt beside it."""
    first = jobs[0]
    if not issubclass(find(first.trial.strategy), Groups):
        return [first]
    found: list[Job] = []
    keys: set[str] = set()
    for job in jobs:
        alike = (job.trial.candidate, job.trial.strategy, job.part) == (
            first.trial.candidate,
            first.trial.strategy,
            first.part,
        )
        if not alike or job.trial.key in keys:
            break
        if store.done(job.trial, job.all_views, job.repeats):
            break
        found.append(job)
        keys.add(job.trial.key)
    return found[: max(1, int(most))]


def _note(race: Race, job: Job, run: Run | None) -> None:
    if run is not None and job.part == FIRST_PASS:
        race.add(run)


def left_out_sentences(outcome: Outcome) -> list[str]:
    """Say by candidate what was planned and not run, and why."""
    why = "stopped by you" if outcome.interrupted else "the budget was used up"
    dropped = [f"{candidate}: {reason}." for candidate, reason in outcome.dropped.items()]
    cut = [
        f"{candidate}: {n} rows of its first pass were not asked: its share of the budget"
        f"{' or of --max-usd' if outcome.money else ''} was used up. Whoever is asked fewer rows "
        "is compared on those."
        for candidate, n in outcome.unasked.items()
        if n
    ]
    unpaid = "--max-usd was used up; run again with more to go on, nothing is paid for twice"
    left = [*_by_candidate(outcome.left_out, why), *_by_candidate(outcome.unpaid, unpaid)]
    return [*dropped, *cut, *left]


def _by_candidate(jobs: Sequence[Job], why: str) -> list[str]:
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.trial.candidate, Counter())[job.part] += 1
    return [
        f"{candidate}: {', '.join(_trials(part, n) for part, n in parts.items())}: {why}."
        for candidate, parts in counts.items()
    ]


def _trials(part: str, count: int) -> str:
    return f"{part} ({count} {'trial' if count == 1 else 'trials'})"

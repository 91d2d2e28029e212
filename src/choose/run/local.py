"""Run jobs one after another in this process, within a budget of seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from choose.run.group import run_group
from choose.store import Store
from choose.study.grid import Job
from choose.types import Dataset, Run

Watch = Callable[[Job, Run | None], None]


@dataclass
class Outcome:
    """What was not run, and whether the user stopped it."""

    left_out: list[Job] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0


def run_jobs(
    jobs: Sequence[Job], dataset: Dataset, store: Store, budget: float | None, watch: Watch
) -> Outcome:
    """Run what the store does not hold yet and the budget allows.

    A candidate that has not answered anything yet is always given one trial, so that a small
    budget leaves out repetitions and not candidates. `watch` is called before (without a run) and
    after each job.
    """
    outcome, start = Outcome(), perf_counter()
    cost: dict[str, float] = {}
    broken: set[str] = set()
    working: set[str] = set()
    for number, job in enumerate(jobs):
        if store.done(job.trial, job.all_views):
            watch(job, store.get(job.trial))
            continue
        name = job.trial.candidate
        if name in broken and name not in working:
            continue  # a candidate that has only failed so far has said what there is to say
        left = float("inf") if budget is None else budget - (perf_counter() - start)
        if name in cost and cost[name] > left:
            outcome.left_out.append(job)
            continue
        watch(job, None)
        try:
            for run, traceback in run_group([job], dataset):
                store.add(run, traceback)
                cost[name] = max(run.seconds_spent or 0.0, 0.5 * cost.get(name, 0.0))
                (broken if run.error else working).add(name)
                watch(job, run)
        except KeyboardInterrupt:
            outcome.left_out += [j for j in jobs[number:] if not store.done(j.trial, j.all_views)]
            outcome.interrupted = True
            break
    outcome.seconds = perf_counter() - start
    return outcome


def left_out_sentences(outcome: Outcome) -> list[str]:
    """Say by candidate what was planned and not run, and why."""
    why = "stopped by you" if outcome.interrupted else "the budget was used up"
    counts: dict[str, Counter[str]] = {}
    for job in outcome.left_out:
        counts.setdefault(job.trial.candidate, Counter())[job.part] += 1
    return [
        f"{candidate}: {', '.join(f'{part} ({n} trials)' for part, n in parts.items())}: {why}."
        for candidate, parts in counts.items()
    ]

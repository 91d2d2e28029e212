"""What a study of many trials costs beside its trials.

    python benchmarks/scale.py                    all parts: some seven minutes
    python benchmarks/scale.py --part overhead    seconds a trial costs beside itself, by executor
    python benchmarks/scale.py --part trials      10,000 trials of majority and tfidf on 1,000 rows
    python benchmarks/scale.py --quick            a tenth of the trials

Prints a table; exits with 1
where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

import choose.run.trial  # noqa: E402
from choose.api.compare import decide  # noqa: E402
from choose.conformance import pool  # noqa: E402
from choose.data.scenarios import Pools  # noqa: E402
from choose.data.splits import build_dataset  # noqa: E402
from choose.run.budget import Budget  # noqa: E402
from choose.run.loop import Loop  # noqa: E402
from choose.run.worker import (  # noqa: E402
    GroupRequest,
    LocalExecutor,
    Worker,
)
from choose.schema.plan import COMPARISON, Job, Round, Standing  # noqa: E402
from choose.store.store import Store  # noqa: E402
from choose.study.candidates import describe_candidates  # noqa: E402
from choose.types import Candidate, Dataset, Run  # noqa: E402
from machine import machine  # noqa: E402
from support.studies import jobs_of, study  # noqa: E402

# Seconds beside a trial that the executors may take, and that the judge may.
MOST_LOCAL, MOST_RAY, MOST_JUDGE = 0.020, 0.050, 30.0

# Growth of memory over the second half of the trials, in MB.
MOST_GROWTH = 50.0

TRIALS, ROWS = 10_000, 1_000

# Every how many trials one is of tfidf, which takes some fifty times as long as one of majority.
EACH_TFIDF = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=("overhead", "trials"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    choice = parser.parse_args(arguments)
    os.environ["CHOOSE_KEEP_GB"] = "0"
    print(f"Many trials{' (quick)' if choice.quick else ''}; {machine(1)}\n", flush=True)
    parts = {"overhead": overheads, "trials": many_trials}
    misses = list[str]()
    for name, part in parts.items():
        if choice.part in (None, name):
            for line in part(choice.quick):
                print(line, flush=True)
                misses += [line] if "MISSED" in line else []
            print(flush=True)
    print("Missed targets: " + str(len(misses)) if misses else "All targets are met.")
    return 1 if misses else 0


def against(value: float, most: float) -> str:
    """Say whether a figure meets its target."""
    return f"(asked {most:g})" if value <= most else f"(asked {most:g}) MISSED"


# --- overhead -------------------------------------------------------------------------------------


def overheads(quick: bool) -> Iterator[str]:
    """Time trials of majority one after another, and take off what they say they took."""
    data = rows(ROWS)
    jobs = trials_of(data, 50 if quick else 500, each_tfidf=10**9)
    yield f"Seconds beside a trial of majority on {ROWS:,} rows, one after another, median"
    local = beside(LocalExecutor(Worker(Pools(data))), jobs)
    yield f"local  {local:.4f}  {against(local, MOST_LOCAL)}"
    with on_ray(data) as executor:
        if executor is None:
            yield "ray    not measured: Ray is not installed"
            return
        there = beside(executor, jobs)
        yield f"ray    {there:.4f}  {against(there, MOST_RAY)}"


def beside(executor: Any, jobs: Sequence[Job]) -> float:
    """Return the median of the seconds from request to result, less those of the trial."""
    found = []
    for number, job in enumerate(jobs):
        start = perf_counter()
        executor.submit(GroupRequest(number=number, jobs=(job,)))
        runs = [run for result in executor.results() for run, _ in result.runs]
        while not runs:
            runs = [run for result in executor.results() for run, _ in result.runs]
        found.append(perf_counter() - start - (runs[0].seconds_spent or 0.0))
    return median(found)


@contextmanager
def on_ray(data: Dataset) -> Iterator[Any]:
    """Start a cluster of two nodes as a user does, and yield an executor on it."""
    from choose.run.cluster import RayExecutor, connect, sizes_of
    from choose.schema.study_sections import RunSection
    from choose.types import Candidate
    from support.ray_nodes import cluster

    try:
        import ray  # noqa: F401
    except ModuleNotFoundError:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder)) as nodes:
        section = RunSection(executor="ray", address=nodes.address)
        joined = connect(section, data_may_leave=True)
        candidates = [Candidate(name=name, strategy=name) for name in ("majority", "tfidf")]
        sizes = sizes_of(candidates, joined.nodes(), nodes.address)
        executor = RayExecutor(joined, Pools(data), sizes, candidates, print)
        try:
            executor.begin()
            yield executor
        finally:
            executor.close()


def rows(count: int) -> Dataset:
    """Return short labelled rows in five folds."""
    return build_dataset("words", pool(seed=3, rows=count))


def trials_of(data: Dataset, count: int, each_tfidf: int = EACH_TFIDF) -> list[Job]:
    """Return so many different trials: other folds, draws and seeds of the same two candidates."""
    planned = jobs_of(study("majority", "tfidf", wordings=False, views=()), data)
    first = {job.trial.candidate: job for job in reversed(planned)}
    found, own = list[Job](), dict.fromkeys(first, 0)
    for number in range(count):
        job = first[name := "majority" if (number + 1) % each_tfidf else "tfidf"]
        draw, fold = divmod(own[name], len(data.folds))  # both candidates answer all folds
        own[name] += 1
        found.append(replace(job, trial=replace(job.trial, fold=fold, draw=draw, seed=number)))
    return found


# --- many trials ----------------------------------------------------------------------------------


def many_trials(quick: bool) -> Iterator[str]:
    """Run and store trials by the thousand, then judge them.

    Seconds are the processor's on one thread, which programs beside this one do not change; those
    of the clock stand beside them.
    """
    choose.run.trial.perf_counter = process_time  # what a trial says it took
    data = rows(ROWS)
    jobs = trials_of(data, TRIALS // (10 if quick else 1))
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "study")
        settings = study("majority", "tfidf")
        store.begin(settings.model_dump(mode="json", exclude_none=True), data)
        candidates = [Candidate(name=name, strategy=name) for name in ("majority", "tfidf")]
        store.plan((job.trial for job in jobs), describe_candidates(settings, candidates))
        yield from run_all(store, data, jobs)
        start, began = process_time(), perf_counter()
        decide(store)
        judged, clock = process_time() - start, perf_counter() - began
        yield f"judged in        {judged:7.1f} s  {against(judged, MOST_JUDGE)}"
        yield f"by the clock     {clock:7.1f} s"
        yield f"memory           {resident_mb():7.0f} MB after the judge"


class Watch:
    """Notes what each trial took by itself, in seconds, and the memory after it, in MB."""

    def __init__(self) -> None:
        self.own, self.memory = list[float](), list[float]()

    def job(self, job: Job, run: Run | None) -> None:
        if run is not None:
            self.own.append(run.seconds_spent or 0.0)
            self.memory.append(resident_mb())

    def standing(self, standing: Standing) -> None:
        """Say nothing."""


def run_all(store: Store, data: Dataset, jobs: Sequence[Job]) -> Iterator[str]:
    """Run and store trials in one round, and say what that took."""
    count, watch = len(jobs), Watch()
    tfidf = sum(job.trial.candidate == "tfidf" for job in jobs)
    plan = [Round(0, COMPARISON, ROWS, 0, tuple(jobs))]
    start, began = process_time(), perf_counter()
    Loop(rounds=plan, pools=Pools(data), store=store, budget=Budget(), observer=watch).run()
    seconds, clock = process_time() - start, perf_counter() - began
    own, half, last = sum(watch.own), watch.memory[count // 2], watch.memory[-1]
    each = (seconds - own) / count
    yield f"{count:,} trials ({tfidf:,} of tfidf) on {ROWS:,} rows, scheduled, run and stored"
    yield f"in all           {seconds:7.1f} s, of which the trials took {own:.1f}"
    yield f"by the clock     {clock:7.1f} s"
    yield f"beside a trial   {each:7.4f} s  {against(each, MOST_LOCAL)}"
    grown = against(last - half, MOST_GROWTH)
    yield f"memory           {half:7.0f} MB after half of them, {last:.0f} after all  {grown}"


def resident_mb() -> float:
    """Return the memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())

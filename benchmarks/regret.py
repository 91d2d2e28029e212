"""What a team gives up by following the judge on seven real sets, against rules of thumb.

    python benchmarks/regret.py               thousands of small-budget decisions
    python benchmarks/regret.py --quick       some seconds
    python benchmarks/regret.py --json        the figures as JSON

No model runs: the scores of each candidate's answers are stored (regret_answers.py gathers them).
Sets whose answers are labels, right or wrong, and sets whose answers are records, with a field-F1
from 0 to 1, are reported one after the other.
Exits with 1 and the list of missed targets where there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

# Each process has one core to itself; threads of a linear algebra library would fight over it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import reliability
from reliability import Stated
from replay.answers import Answered, changed, read_all
from replay.grading import Grade, play, rules_of
from replay.summary import contents, lines, missed, tally

HERE = Path(__file__).resolve().parent
# Decisions on each set; on all of them in a job.
FULL, QUICK, CHUNK = 400, 20, 10


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--decisions", type=int, help=f"in all (default {FULL} a set)")
    parser.add_argument("--first", type=int, default=0, help="number of the first decision")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} decisions on each set")
    parser.add_argument("--answers", type=Path, default=HERE / "replay" / "answers")
    data = HERE.parents[1] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="to check the files' hashes")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(arguments)


@cache
def _sets(folder: Path) -> dict[str, Answered]:
    return read_all(folder)


def _chunk(job: tuple[Path, bool, int, int]) -> list[Grade]:
    folder, of_records, first, last = job
    sets = list(_alike(_sets(folder), of_records).values())
    return [play(sets[number % len(sets)], number) for number in range(first, last)]


def _alike(sets: Mapping[str, Answered], of_records: bool) -> dict[str, Answered]:
    """Return the sets whose answers are records, or those whose answers are labels."""
    return {name: found for name, found in sets.items() if (found.metric is not None) == of_records}


def replay(
    folder: Path, decisions: int, processes: int, of_records: bool = False, first: int = 0
) -> list[Grade]:
    """Judge and grade decisions, taking in turn the sets whose answers are labels, or records."""
    starts, end = range(first, first + decisions, CHUNK), first + decisions
    jobs = [(folder, of_records, n, min(n + CHUNK, end)) for n in starts]
    if processes == 1:
        parts = list(map(_chunk, jobs))
    else:
        with get_context("spawn").Pool(processes, partial(os.nice, 5)) as pool:
            parts = pool.map(_chunk, jobs, chunksize=2)
    return [grade for part in parts for grade in part]


def shared_out(sets: Mapping[str, Answered], decisions: int) -> Iterator[tuple[bool, int]]:
    """Yield whether answers are records, and how many of the decisions are on such sets."""
    records = len(_alike(sets, True))
    on_records = round(decisions * records / len(sets))
    for of_records, count in ((False, decisions - on_records), (True, on_records)):
        if count:
            yield of_records, count


@dataclass(frozen=True)
class Report:
    """The decisions on sets with labels, or with records: printed lines, JSON, missed targets."""

    lines: list[str]
    record: dict[str, Any]
    misses: list[str]


def report(choice: argparse.Namespace, of_records: bool, decisions: int) -> Report:
    """Replay decisions on the sets with labels, or with records, and report them."""
    sets = _alike(_sets(choice.answers), of_records)
    start = perf_counter()
    grades = replay(choice.answers, decisions, choice.processes, of_records, choice.first)
    seconds = perf_counter() - start
    found = tally(grades, rules_of(next(iter(sets.values()))))
    stated = [Stated(grade.chance, grade.one, grade.naive_one) for grade in grades]
    misses = [*missed(found), *reliability.missed(stated)]
    head = (
        f"{decisions:,} decisions on {', '.join(sets)} in {seconds:.0f} s "
        f"({1000 * seconds / decisions:.0f} ms each) in {choice.processes} processes"
    )
    score = "field-F1" if of_records else "accuracy"
    ends = ["Missed targets:", *misses] if misses else ["All targets are met."]
    return Report(
        [head, "", *contents(sets), "", *lines(found, grades, score), "", *ends],
        {"run": head, **found.record(), "missed": misses},
        misses,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay, print, and return 1 where a target is missed."""
    choice = options(arguments)
    sets = _sets(choice.answers)
    if not sets:
        print(f"There are no packed answers in {choice.answers}.", file=sys.stderr)
        return 2
    for sentence in changed(sets, choice.data):
        print(sentence, file=sys.stderr)
    decisions = choice.decisions or (QUICK if choice.quick else FULL) * len(sets)
    reports = {
        of_records: report(choice, of_records, count)
        for of_records, count in shared_out(sets, decisions)
    }
    if choice.json:
        found = {
            "records" if of_records else "labels": r.record for of_records, r in reports.items()
        }
        print(json.dumps(found, indent=1))
    else:
        print("\n\n\n".join("\n".join(one.lines) for one in reports.values()))
    return 1 if any(one.misses for one in reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

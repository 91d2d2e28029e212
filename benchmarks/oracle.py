"""How often the judge is right on simulated studies whose truth is known.

    python benchmarks/oracle.py                     2,000 studies of each world
    python benchmarks/oracle.py --quick             about five minutes of one core
    python benchmarks/oracle.py --split tune        the split on which thresholds were chosen
    python benchmarks/oracle.py --losses            what a reading candidate loses, by cause:
                                                    1,000 studies of each of its worlds

Exits with 1 and the list of missed targets where there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

# Each process has one core to itself; threads of a linear algebra library would fight over it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


import choose
from choose.files import digest_rows
from choose.judge.goal import RULE
from simulation import losses
from simulation.grading import NAMES, AskedMore, Choice, Grade, play
from simulation.summary import Tally, lines, missed, tally

FULL, QUICK, CHUNK, LOSSES = 2000, 50, 10, 1000

# World, split, number of the first study, number after the last.
Job = tuple[str, Any, int, int]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, help=f"of each world (default {FULL})")
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} studies of each world")
    parser.add_argument("--split", choices=("tune", "report"), default="report")
    parser.add_argument("--worlds", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--losses", action="store_true", help="the split of what readers lose")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--keep", type=Path, help="file of graded studies, to go on from")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(arguments)


def run(choice: argparse.Namespace, studies: int) -> tuple[dict[str, list[Grade]], float]:
    """Judge and grade the studies that `--keep` does not hold yet; return all with the seconds."""
    end = choice.first + studies
    starts = [(world, n) for world in choice.worlds for n in range(choice.first, end, CHUNK)]
    jobs = [(world, choice.split, n, min(n + CHUNK, end)) for world, n in starts]
    done = load(choice.keep) if choice.keep else {}
    for job, seconds, part in _played([job for job in jobs if job not in done], choice.processes):
        done[job] = seconds, part
        if choice.keep:
            save(choice.keep, job, seconds, part)
    found: dict[str, list[Grade]] = {world: [] for world in choice.worlds}
    for job in jobs:
        found[job[0]] += done[job][1]
    return found, sum(done[job][0] for job in jobs)


def _played(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, float, list[Grade]]]:
    if processes == 1:
        yield from map(_chunk, jobs)
        return
    with get_context("spawn").Pool(processes, partial(os.nice, 5)) as pool:
        yield from pool.imap_unordered(_chunk, jobs, chunksize=4)


def _chunk(job: Job) -> tuple[Job, float, list[Grade]]:
    (world, split, first, last), start = job, perf_counter()
    grades = [play(world, split, number) for number in range(first, last)]
    return job, perf_counter() - start, grades


def save(path: Path, job: Job, seconds: float, grades: list[Grade]) -> None:
    """Append the grades of a job to a file, as one line of JSON."""
    line = {
        "code": code(),
        "job": job,
        "seconds": seconds,
        "grades": [asdict(grade) for grade in grades],
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def load(path: Path) -> dict[Job, tuple[float, list[Grade]]]:
    """Return saved jobs of the current code; an incomplete line is skipped."""
    return dict(_saved(path)) if path.exists() else {}


@cache
def code() -> str:
    """Return a digest of all code and stored answers that a grade depends on."""
    here = Path(__file__).resolve().parent
    folders = (here / "simulation", here / "replay", Path(choose.__file__).parent)
    files = [file for folder in folders for file in folder.rglob("*.py")]
    files = sorted([*files, *(here / "replay" / "answers").glob("*.json")])
    return digest_rows([[file.name, file.read_text(encoding="utf-8")] for file in files])


def _saved(path: Path) -> Iterator[tuple[Job, tuple[float, list[Grade]]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["code"] == code():
            world, split, first, last = record["job"]
            grades = [_grade(fields) for fields in record["grades"]]
            yield (world, split, first, last), (record["seconds"], grades)


def _grade(fields: dict[str, Any]) -> Grade:
    choices = {name: Choice(**fields[name]) for name in ("meanwhile", "highest", "one_error")}
    return Grade(**{**fields, **choices, "more": AskedMore(**fields["more"])})


def processor() -> str:
    """Return the processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(
            line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def header(choice: argparse.Namespace, studies: int, seconds: float, stored: int) -> Iterator[str]:
    """Yield lines on the run: worlds, studies, seconds, machine."""
    total = studies * len(choice.worlds)
    yield (
        f"{len(choice.worlds)} known worlds, split {choice.split!r}: {studies:,} studies of each, "
        f"decision rule {RULE}"
    )
    yield (
        f"{total:,} studies in {seconds:.0f} s of one core ({1000 * seconds / total:.0f} ms each), "
        f"{choice.processes} at a time on {processor()}"
    )
    yield (
        f"{stored:,} of them were also written into a store on disk and judged from there: the "
        "same decisions"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return 1 where a target is missed."""
    choice = options(arguments)
    if choice.losses:
        return _losses(choice.studies or (QUICK if choice.quick else LOSSES))
    studies = choice.studies or (QUICK if choice.quick else FULL)
    grades, seconds = run(choice, studies)
    worlds: dict[str, Tally] = {name: tally(part) for name, part in grades.items()}
    overall = tally(list(chain.from_iterable(grades.values())))
    misses = missed(worlds, overall)
    head = list(header(choice, studies, seconds, overall.stored))
    if choice.json:
        figures = {name: found.record() for name, found in worlds.items()}
        record = {"run": head, "worlds": figures, "overall": overall.record(), "missed": misses}
        print(json.dumps(record, indent=1))
    else:
        print("\n".join([*head, "", *lines(worlds, overall), ""]))
        print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


def _losses(studies: int) -> int:
    """Judge the worlds of planted losses, print, and return 1 where a target is missed."""
    start = process_time()
    tallies = [losses.tally(name, studies) for name in losses.WORLDS]
    print(
        f"{len(tallies)} known worlds of planted losses: {studies:,} studies of each, decision "
        f"rule {RULE}, {process_time() - start:.0f} s of one core, {processor()}\n"
    )
    print("\n".join([*losses.lines(tallies), ""]))
    misses = [line for one in tallies for line in one.missed()]
    print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())

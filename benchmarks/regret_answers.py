"""Gather the scores of candidates' answers on seven real sets; regret.py replays them.

    python benchmarks/regret_answers.py --hours 1      fit and predict for an hour
    python benchmarks/regret_answers.py --pack         write the finished fits into the repository

Each finished fit is saved on disk, so that the program can be stopped and started again at any
moment; packed fits are not repeated. Each process works on sets of its own with one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import gettempdir
from time import perf_counter, strftime

# Two processes of one thread are faster than one process of two threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CHOOSE_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from replay.answers import restore_packed, write_packed
from replay.fits import Worker
from replay.plan import DRAWS, ROWS, Fit, Place, plan, work
from replay.sources import SETS, read

HERE = Path(__file__).resolve().parent


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = HERE.parents[1] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=data, help="folder of the real sets")
    parser.add_argument("--kept", type=Path, default=Path(gettempdir()) / "choose-regret")
    parser.add_argument(
        "--hours", type=float, default=1.0, help="start no fit that would end later"
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=ROWS,
        help="test rows of slow candidates: the first part ends here, the second there",
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of slow candidates")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--pack", action="store_true", help="write the packed answers and stop")
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    return parser.parse_args(arguments)


def shares(choice: argparse.Namespace, place: Place) -> list[list[Fit]]:
    """Divide the sets among processes so that they end at about the same time."""
    fits = plan(choice.sets, choice.draws, choice.rows)
    sources = {name: read(choice.data, name) for name in choice.sets}
    work_of = dict.fromkeys(choice.sets, 0.0)
    for fit in fits:
        work_of[fit.set] += work(fit, sources[fit.set], len(place.asked(fit, sources[fit.set])))
    loads: list[tuple[float, list[str]]] = [(0.0, []) for _ in range(choice.processes)]
    for name in sorted(work_of, key=lambda name: -work_of[name]):
        load, names = min(loads, key=lambda part: part[0])
        loads[loads.index((load, names))] = (load + work_of[name], [*names, name])
    for load, names in loads:
        print(f"{', '.join(names)}: about {load / 60:.0f} min of one core in all")
    return [[fit for fit in fits if fit.set in names] for _, names in loads if names]


def _run(job: tuple[Place, list[Fit], float]) -> None:
    warnings.filterwarnings("ignore")
    place, fits, seconds = job
    for line in Worker(place, fits, perf_counter() + seconds).work():
        print(f"{strftime('%H:%M:%S')} {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather or pack."""
    choice = options(arguments)
    if not choice.data.is_dir():
        print(f"The real sets are not at {choice.data}; --data names them.", file=sys.stderr)
        return 2
    place = Place(data=choice.data, kept=choice.kept, rows=tuple(choice.rows))
    fits, packed = plan(choice.sets, choice.draws, choice.rows), HERE / "replay" / "answers"
    print(f"{restore_packed(place, fits, packed)} fits are packed already and not made again.")
    if choice.pack:
        return write_packed(place, fits, packed)
    jobs = [(place, fits, 3600 * choice.hours) for fits in shares(choice, place)]
    if choice.plan:
        return 0
    if len(jobs) == 1:
        _run(jobs[0])
    else:
        with get_context("spawn").Pool(len(jobs)) as pool:
            pool.map(_run, jobs, chunksize=1)
    print(f"Finished fits are in {choice.kept}; --pack writes them into the repository.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Stopped; finished fits are saved, and the same command continues.", file=sys.stderr)
        sys.exit(130)

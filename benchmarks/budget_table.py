"""What each family has answered when a budget is over: a Markdown table of sets and budgets.

    python benchmarks/budget_table.py OUT [--budgets 2m 5m] [--sets NAME] [--each-core] [--raise]
    python benchmarks/budget_table.py --read 5m=DIR ...     of studies that have run: nothing runs

Runs `choose compare` on the samples, and on real sets from the folder that CHOOSE_SHARED_DATA names
(those that it lacks are left out): one after another on all cores, or one on each core. A study is
kept in OUT/BUDGET/SET, and what its command said in SET.txt beside it; a set with a SET.txt is not
run again. With --raise a larger budget goes on with the study of the smaller one.

Rows answered are those of the member of a family that has answered most, and rows learned of the
fine-tuned one that has read most; references that understand nothing of the task do not count.
Studies are judged by today's rule, in a copy. Exits with 1 where a cell says "fail".
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from time import perf_counter

from choose.api.compare import report
from choose.engines.environment_settings import cache_dir
from choose.errors import ChooseError
from choose.formatting import chance
from choose.judge.decision.rule import NEARLY_ALL
from choose.outside_values import seconds
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.strategy import traits
from choose.types import FAMILIES

LABELLED = ("banking77", "trec6", "sst2", "gh_issues", "cuad_clauses", "restaurant8k", "mts_dialog")
DOCUMENTS = ("covid_qa", "xquad_en")
SAMPLES = ("tickets", "orders", "handbook")

HEAD = """
| set | budget | seconds | first verdict, s | verdict | chance | rows answered B / P / R / F | rows
 learned by F | in time | first | answers | learned | final or a step |
""".replace("\n", "")
UNKNOWN = "-"

# Seconds from which a study must have more answers and a fine-tuned candidate that has read enough
# rows, and from which its verdict must be final or name a step that makes it so.
FIVE, TEN = 300, 600


def arguments(name: str) -> list[str] | None:
    """Return what `compare` is told of a set; None where its files are absent."""
    if name in SAMPLES:
        return [f"sample:{name}"]
    folder = Path(os.environ.get("CHOOSE_SHARED_DATA", "")) / name
    if not folder.is_dir():
        return None
    if name in DOCUMENTS:
        return [f"{folder}/questions.jsonl", "--documents", f"{folder}/passages.jsonl"]
    ending = "csv" if (folder / "train.csv").exists() else "jsonl"
    return [f"{folder}/train.{ending}", "--test", f"{folder}/test.{ending}"]


def run(folder: Path, before: Path | None, name: str) -> None:
    """Run the command unless that was done, and keep what it says and its seconds on the clock.

    Models are shared; what earlier studies of the set have cached would make it faster.
    """
    given, said = arguments(name), folder / f"{name}.txt"
    if given is None or said.exists():
        return
    budget = _seconds(folder.name)
    if before is not None and (before / name).exists():
        for own in (before / name, before / f"{name}.cache"):
            if own.exists():
                copytree(own, folder / own.name, symlinks=True)
        budget -= _seconds(before.name)
    cached = folder / f"{name}.cache"
    if not cached.exists():
        cached.mkdir()
        (models := cache_dir() / "models").mkdir(parents=True, exist_ok=True)
        (cached / "models").symlink_to(models)
    options = ["--budget", f"{budget:g}s", "--out", str(folder / name)]
    begun = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "choose", "compare", *given, *options],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "160",
            "CHOOSE_CACHE": str(cached.resolve()),
        },
        check=False,
    )
    ended = f"--- exit {done.returncode} after {perf_counter() - begun:.1f} s\n"
    said.write_text(f"{done.stdout}\n--- stderr\n{done.stderr}{ended}", "utf-8")
    print(folder.name, name, ended, end="", file=sys.stderr, flush=True)


def run_all(options: argparse.Namespace) -> None:
    """Run each set under each budget, the smallest budget first."""
    if absent := [name for name in options.sets if arguments(name) is None]:
        print(f"Left out, not in CHOOSE_SHARED_DATA: {', '.join(absent)}", file=sys.stderr)
    every = os.sched_getaffinity(0)
    cores = [{core} for core in every] if options.each_core else [every]
    for smaller, budget in pairwise([None, *sorted(options.budgets, key=_seconds)]):
        before = options.out / smaller if smaller and options.go_on else None
        folder, free = options.out / str(budget), cores.copy()
        folder.mkdir(parents=True, exist_ok=True)
        # A command has the cores of the thread that starts it.
        with ThreadPoolExecutor(
            len(cores), initializer=lambda free=free: os.sched_setaffinity(0, free.pop())
        ) as pool:
            list(pool.map(partial(run, folder, before), options.sets))


def rows(budget: str, folder: Path) -> Iterator[list[str]]:
    """Yield the cells of each study in a folder."""
    for said in sorted(folder.glob("*.txt")):
        text = said.read_text("utf-8")
        try:
            with TemporaryDirectory() as copy:
                study = Path(copytree(folder / said.stem, Path(copy, said.stem)))
                own = Store.open(study).study["grid"]["budget"]
                made = cells(report(study), text, own=own, budget=_seconds(budget))
        except (OSError, ChooseError) as error:
            made = [f"fail: {error}"]
        yield [said.stem, budget, *made]


def cells(decision: Decision, said: str, *, own: float, budget: float) -> list[str]:
    """Return the cells of a study after its set and budget.

    Args:
        decision: the study, judged.
        said: what the command printed.
        own: seconds of the command: less than the budget where it went on with a study.
        budget: seconds in all.
    """
    verdict, whole = decision.verdict, decision.dataset.pool or 0
    took = re.search(r"^--- exit (\d+) after ([\d.]+ s)$", said, re.MULTILINE)
    first = re.search(r"^after ([\d.]+ [sm])(in)?: ", said, re.MULTILINE)
    cards = [c for c in decision.scorecards if not _is_reference(c.strategy)]
    answered = {f: max([0, *(c.rows for c in cards if c.family == f)]) for f in FAMILIES}
    read = max([0, *(c.learned or 0 for c in cards if c.family == "fine-tuning")])
    # A family of references alone has nothing to answer, such as the baselines of long texts.
    asked = {c.family for c in cards} | {*FAMILIES} - {c.family for c in decision.scorecards}
    least = min(decision.dataset.test_rows, 25 if budget < FIVE else 100)
    met = (
        None if took is None else took[1] == "0" and _seconds(took[2]) <= 1.05 * own + 5,
        None if own < budget else bool(first) and _seconds(first[1]) <= min(0.2 * budget, 60),
        all(answered[family] >= least for family in asked),
        None if budget < FIVE else read >= min(NEARLY_ALL * whole, 500),
        None if budget < TEN else verdict.done or bool(verdict.steps),
    )
    return [
        UNKNOWN if took is None else f"{_seconds(took[2]):.0f}",
        UNKNOWN if own < budget or first is None else f"{_seconds(first[1]):.0f}",
        f"{verdict.kind}: {decision.named}" if verdict.usable else "nothing usable",
        UNKNOWN if decision.chance is None else chance(decision.chance),
        " / ".join(map(str, answered.values())),
        f"{read} of {whole}",
        *(UNKNOWN if one is None else "pass" if one else "fail" for one in met),
    ]


def _is_reference(strategy: str) -> bool:
    own = traits(strategy)
    return own["floor"] or own["constant"]


def _seconds(budget: str) -> float:
    return float(str(seconds(budget)))


def main(given: Sequence[str] | None = None) -> int:
    """Run or read the studies, print the table, and return 1 where one misses what is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="folder of the studies")
    parser.add_argument("--budgets", nargs="+", default=["2m", "5m", "10m"], metavar="TIME")
    every = (*LABELLED, *DOCUMENTS, *SAMPLES)
    parser.add_argument("--sets", nargs="+", default=every, choices=every, metavar="NAME")
    parser.add_argument("--raise", action="store_true", dest="go_on")
    parser.add_argument("--each-core", action="store_true")
    parser.add_argument("--read", nargs="+", default=[], metavar="TIME=DIR")
    options = parser.parse_args(given)
    if options.out:
        run_all(options)
    folders = [one.split("=", 1) for one in options.read]
    folders += [[b, f"{options.out}/{b}"] for b in options.budgets if options.out]
    table = [row for budget, folder in folders for row in rows(budget, Path(folder))]
    print(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}")
    for row in sorted(table, key=lambda row: row[0]):
        print(f"| {' | '.join(row)} |")
    return int(any(cell.startswith("fail") for row in table for cell in row))


if __name__ == "__main__":
    sys.exit(main())

"""How the cost of a candidate and of a study grows with labels, rows, classes and seeds.

    python benchmarks/growth.py               about a quarter of an hour
    python benchmarks/growth.py --quick       small sizes, no memory: some minutes
    python benchmarks/growth.py --json        the figures as JSON

Costs are processor seconds of one thread, so that other programs matter little. Slow candidates use
random models of two layers: the growth is the same, in a time that one can wait for. Caches of
other studies are not used. Exits with 1 and the list of missed targets, if any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from growth_point import LONG, examples, write
from machine import machine

# A point is a number of training rows, of test rows and of classes; one of the three varies.
USUAL = {"labels": 500, "rows": 200, "classes": 8}

CHEAP = {"labels": (500, 1000, 2000, 4000), "rows": (500, 1000, 2000, 4000)}

SLOW = {"labels": (250, 500, 1000, 2000), "rows": (250, 500, 1000, 2000)}

CLASSES = (4, 8, 16, 32, 64)

SEEDS = (1, 2, 3, 5)

QUICK_SHARE, LARGE = 4, 10_000

SLOW_ONES = ("prompt", "retrieval", "lora")

# Studies of 10,000 rows whose memory is measured.
STUDIES = (
    (
        "prompt, retrieval and lora, default models, stopped after 4 minutes",
        SLOW_ONES,
        ("--set", "seeds=1", "--set", "noise=0", "--budget", "4m"),
    ),
    (
        "lora, default model, on 300 labels, stopped after 5 minutes",
        ("lora",),
        ("--set", "seeds=1", "--set", "noise=0,0.1", "--budget", "5m"),
    ),
    (
        "tfidf, probe and knn, stopped after 4 minutes",
        ("tfidf", "probe", "knn"),
        ("--set", "seeds=1", "--budget", "4m"),
    ),
)

HERE = Path(__file__).resolve().parent

# A solver takes a few more rounds for more rows, and clocks are not exact: linear within so much.
MOST_POWER = 1.15

# A repetition shares loading, embedding and judging with the others, so it must cost less than one.
MOST_SEED_POWER = 0.95

MOST_MB = 4_000.0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the sizes, no memory")
    parser.add_argument("--only-memory", action="store_true", help="the part on memory alone")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(arguments)


def candidates(folder: Path) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield strategies with their parameters, and whether they are fast."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from choose.engines.weights.spec import DEFAULT_ENCODER
    from support.tiny_models import causal_lm

    tiny = str(causal_lm(folder / "tiny-lm"))
    yield "tfidf", {}, True
    yield "probe", {"encoder": DEFAULT_ENCODER}, True
    yield "knn", {"encoder": DEFAULT_ENCODER}, True
    yield "prompt", {"model": tiny}, False
    yield "retrieval", {"model": tiny, "encoder": DEFAULT_ENCODER}, False
    yield "lora", {"base": tiny, "epochs": 1}, False


def fits(folder: Path, quick: bool) -> Iterator[Series]:
    """Yield the cost of a fit and its predictions along each axis."""
    for strategy, params, cheap in candidates(folder):
        axes = {**(CHEAP if cheap else SLOW), "classes": CLASSES}
        for axis, at in axes.items():
            sizes = tuple(n // QUICK_SHARE if quick and axis != "classes" else n for n in at)
            points = [{**USUAL, axis: size} for size in sizes]
            job = json.dumps({"strategy": strategy, "params": params, "points": points})
            took = run([str(HERE / "growth_point.py"), job])
            name = strategy if cheap else f"{strategy} (tiny)"
            print(f"{name} against {axis}: {took.processor:.0f} s", file=sys.stderr)
            yield Series(name, axis, sizes, tuple(json.loads(took.out.splitlines()[-1])))


def studies(folder: Path, quick: bool) -> Iterator[Series]:
    """Yield the cost of whole studies of the bundled tickets against the number of seeds."""
    tiny = str(folder / "tiny-lm")
    cheap = ("-s", "tfidf", "-s", "probe", "-s", "knn")
    slow = ("-s", "lora", "--set", f"tune={tiny}", "--set", "noise=0")
    for name, which in {"cheap study": cheap, "lora (tiny) study": slow}.items():
        seconds = []
        seeds = SEEDS[:3] if quick else SEEDS
        for count in seeds:
            out = folder / f"{name}-{count}".replace(" ", "-")
            arguments = ("sample:tickets", *which, "--set", f"seeds={count}", "--budget", "60m")
            seconds.append(
                run(["-m", "choose", "compare", *arguments, "--out", str(out)]).processor
            )
        print(f"{name}: {sum(seconds):.0f} s", file=sys.stderr)
        yield Series(name, "seeds", seeds, tuple(seconds))


def memories(folder: Path) -> Iterator[Memory]:
    """Yield the largest memory of studies of 10,000 rows, each of about 128 tokens of SmolLM2.

    Budgets stop them: memory peaks in a forward or backward pass, and all kinds have run by then.
    """
    data = str(write(folder / "large.csv", examples(LARGE, 20, "large", LONG)))
    for number, (what, names, how) in enumerate(STUDIES):
        chosen = [part for name in names for part in ("-s", name)]
        out = str(folder / f"large-{number}")
        took = run(["-m", "choose", "compare", data, *chosen, *how, "--out", out])
        print(f"{what}: {took.peak_mb:.0f} MB", file=sys.stderr)
        yield Memory(what, LARGE, took.peak_mb, took.processor)


@dataclass(frozen=True, slots=True)
class Took:
    """Processor and wall seconds, the largest memory in megabytes, and what was printed."""

    processor: float
    wall: float
    peak_mb: float
    out: str


def run(arguments: Sequence[str], threads: int = 1) -> Took:
    """Run Python with these arguments, without caches of other runs.

    Raises:
        RuntimeError: if it fails.
    """
    own = {
        "CHOOSE_KEEP_GB": "0",
        "CHOOSE_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent / "tests")]),
    }
    start = perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *arguments], env={**os.environ, **own}, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = perf_counter() - start
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)[:200]}: {err.read()[-2000:]}")
        # Linux counts kilobytes, macOS bytes.
        unit = 1e6 if sys.platform == "darwin" else 1e3
        return Took(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / unit, out.read())


@dataclass(frozen=True, slots=True)
class Series:
    """What a candidate costs at points of an axis: labels, rows, classes or seeds."""

    candidate: str
    axis: str
    at: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def power(self) -> float:
        """Return p of cost ~ size^p over the upper half of the points.

        The start of a process matters least there.

        Half or fewer points would make it the slope of noise, so three are taken at least.
        """
        first = min(len(self.at) // 2, max(len(self.at) - 3, 0))
        if self.axis == "seeds":  # repetitions share the start
            first = 0
        xs = [log(x) for x in self.at[first:]]
        ys = [log(max(y, 1e-6)) for y in self.seconds[first:]]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum(
            (x - mean_x) ** 2 for x in xs
        )

    @property
    def most(self) -> float:
        """Return the largest power that meets the target."""
        return MOST_SEED_POWER if self.axis == "seeds" else MOST_POWER

    def record(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return {**asdict(self), "power": self.power, "target": self.most}


@dataclass(frozen=True, slots=True)
class Memory:
    """The largest memory of a study."""

    what: str
    rows: int
    peak_mb: float
    processor: float


def missed(found: Sequence[Series], memory: Sequence[Memory]) -> Iterator[str]:
    """Yield a sentence for each target that is missed."""
    for series in found:
        if series.power > series.most:
            yield (
                f"{series.candidate} against {series.axis}: power {series.power:.2f}, "
                f"at most {series.most} is allowed."
            )
    for each in memory:
        if each.peak_mb > MOST_MB:
            yield f"{each.what}: {each.peak_mb:,.0f} MB, at most {MOST_MB:,.0f} are allowed."


def lines(found: Sequence[Series], memory: Sequence[Memory]) -> Iterator[str]:
    """Yield the costs along each axis with the exponent of their growth, then the memory."""
    yield f"{'candidate':18}{'axis':10}{'power':>6}  processor seconds at each point"
    for series in found:
        costs = ", ".join(
            f"{c:.2f} at {x:,}" for x, c in zip(series.at, series.seconds, strict=True)
        )
        yield f"{series.candidate:18}{series.axis:10}{series.power:6.2f}  {costs}"
    if memory:
        yield ""
    for each in memory:
        yield (
            f"{each.what}: {each.rows:,} rows, {each.peak_mb:,.0f} MB at most, "
            f"{each.processor:.0f} processor seconds"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where a target is missed."""
    choice, start = options(arguments), perf_counter()
    with TemporaryDirectory() as name:
        folder = Path(name)
        found: list[Series] = []
        if not choice.only_memory:
            found = [*fits(folder, choice.quick), *studies(folder, choice.quick)]
        memory = [] if choice.quick else list(memories(folder))
    misses = list(missed(found, memory))
    minutes = (perf_counter() - start) / 60
    head = (
        f"Growth of costs{' (quick)' if choice.quick else ''}; {machine(1)}; {minutes:.0f} minutes"
    )
    if choice.json:
        figures = [series.record() for series in found]
        record = {"run": head, "series": figures, "memory": list(map(asdict, memory))}
        print(json.dumps({**record, "missed": misses}, indent=1))
    else:
        print("\n".join([head, "", *lines(found, memory), ""]))
        print("\n".join(["Missed targets:", *misses]) if misses else "All targets are met.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())

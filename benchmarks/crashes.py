"""Crash tests of a store, as databases have: kills, full disks, two writers, odd clocks, damage.

    python benchmarks/crashes.py               300 kills and all the rest: some ten minutes
    python benchmarks/crashes.py --quick       20 kills
    python benchmarks/crashes.py --seed 1      other moments

Every child is a fork of this process, in which libraries are imported once, and works on a study of
60 rows. Afterwards `choose report` must give a decision or one clear line, and the same command
again the figures of an undisturbed study, without running a trial again that was complete. Prints a
table and exits with 1 if a case is lost.
"""

from __future__ import annotations

import argparse
import errno
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from traceback import format_exc, print_exc
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.append(str(TESTS))

import httpx2  # noqa: E402, F401
import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
import sklearn.feature_extraction.text  # noqa: E402
import sklearn.linear_model  # noqa: E402, F401

import choose.api.compare  # noqa: E402
import choose.api.plan  # noqa: E402
import choose.api.study_evidence  # noqa: E402
import choose.judge.verdict  # noqa: E402
from choose.conformance import pool  # noqa: E402
from choose.engines.output_cache import ResultCache, caching  # noqa: E402
from choose.errors import ChooseError  # noqa: E402
from choose.report.write import write as write_report  # noqa: E402
from choose.store.store import SCORES  # noqa: E402
from machine import machine  # noqa: E402
from support.chat_server import labels_of, sent, serving  # noqa: E402

Job = Callable[[Path], Any]

# Concurrent requests of the served study: as many may be in flight, and be paid again.
CONCURRENCY = 4

LOCAL = """
[data]
path = "words.csv"
[grid]
seeds = 1
noise = [0.0]
views = []
wordings = false
scenarios = []
"""
SERVED = f"""{LOCAL}
[endpoints.big]
base_url = "URL"
model = "big"
concurrency = {CONCURRENCY}
usd_per_million_in = 1.0
usd_per_million_out = 1.0
"""


class Bench:
    """A folder for studies, the figures of undisturbed ones, and what came of each case."""

    def __init__(self, folder: Path, seed: str, server: str, asked: Path) -> None:
        self.folder, self.random, self.asked = folder, random.Random(seed), asked
        self.url, self.number = server, 0
        self.worker, self.jobs = 0, 1
        self.counts: dict[str, Counter[str]] = {}
        self.expected: dict[str, Any] = {}

    def place(self) -> Path:
        """Return a new folder with the rows of the study."""
        self.number += 1
        place = self.folder / str(self.number)
        place.mkdir()
        rows = [f'"{row.text}",{row.target}' for row in pool(seed=3, rows=60)]
        (place / "words.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        (place / "local.toml").write_text(LOCAL)
        (place / "served.toml").write_text(SERVED.replace("URL", self.url))
        return place

    def share(self, cases: Sequence[Any]) -> Sequence[Any]:
        """Return the cases of this worker."""
        return cases[self.worker :: self.jobs]

    def count(self, part: str, outcome: str, note: object = "") -> None:
        """Record the outcome of a case."""
        self.counts.setdefault(part, Counter())[outcome] += 1
        if outcome == "lost":
            print(f"LOST {part}: {note}", file=sys.stderr, flush=True)


def compare(kind: str) -> Job:
    """Return a job that runs the study and writes a report, in a folder of its own."""

    def run(place: Path) -> Any:
        strategies = ["majority", "tfidf"] if kind == "local" else ["majority", "prompt"]
        settings = {"models": {"model": "endpoint:big"}} if kind == "served" else {}
        study = choose.api.plan.resolve(None, place / f"{kind}.toml", settings, strategies)
        outcome = choose.api.compare.run_study(
            study, out=place / "store", approve=lambda spending: None
        )
        for name in ("report.md", "report.json"):
            write_report("decision", outcome.decision, place / name)
        return figures(outcome.decision)

    return run


def report(place: Path) -> Any:
    """Judge what the store holds."""
    return figures(choose.api.compare.report(place / "store"))


def figures(decision: Any) -> Any:
    """Return what no crash may change: the verdict and every figure without a clock in it."""
    verdict = decision.verdict
    return {
        "verdict": [verdict.kind, verdict.recommended, verdict.use_meanwhile],
        "accuracy": {
            c.candidate: c.model_dump(mode="json")["accuracy"] for c in decision.scorecards
        },
        "pairs": [[p.a, p.b, p.model_dump(mode="json")["difference"]] for p in decision.pairs],
        "labels": list(decision.dataset.labels),
    }


def start(job: Job, place: Path, before: Callable[[], None] = lambda: None) -> int:
    """Fork a child that runs a job and writes its result, or its one line, to `result.json`."""
    (place / "result.json").unlink(missing_ok=True)
    if child := os.fork():
        return child
    code = 1
    try:
        os.chdir(place)
        os.environ.update(CHOOSE_CACHE=str(place / "cache"), OMP_NUM_THREADS="1")
        log = (place / "stderr").open("w")
        os.dup2(log.fileno(), 2)
        warnings.simplefilter("ignore")
        with redirect_stderr(log):
            result = ended(job, place, before)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2
        )
        fd = os.open(place / "result.json", os.O_WRONLY | os.O_CREAT)
        os.write(fd, json.dumps(result).encode())
        code = 0
    finally:
        os._exit(code)


def ended(job: Job, place: Path, before: Callable[[], None]) -> dict[str, Any]:
    """Run a job; return its result, the one line of an error that is ours, or a traceback."""
    try:
        before()
        return {"result": job(place)}
    except ChooseError as error:
        line = str(error)
        return {"line": line} if "\n" not in line else {"traceback": line}
    except BaseException:
        return {"traceback": format_exc()}


def wait(child: int, place: Path, seconds: float | None = None) -> dict[str, Any]:
    """Wait for a child, killing it after `seconds`; return its result, empty if it was killed."""
    if seconds is not None:
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    # A child that was killed as it wrote its result was killed.
    with suppress(OSError, ValueError):
        return dict(json.loads((place / "result.json").read_text()))
    return {}


# --- moments -------------------------------------------------------------------------------------


def hook(moment: Callable[[str], None]) -> None:
    """Call `moment` before and after each write, rename, judgement and deletion of this process."""

    def around(owner: Any, name: str, what: str) -> None:
        real = getattr(owner, name)

        def hooked(*args: Any, **more: Any) -> Any:
            moment(f"before {what}")
            result = real(*args, **more)
            moment(f"after {what}")
            return result

        setattr(owner, name, hooked)

    text = Path.write_text

    def in_halves(self: Path, data: str, *args: Any, **more: Any) -> int:
        text(self, data[: len(data) // 2], *args, **more)
        moment("half of a write")
        return text(self, data, *args, **more)

    Path.write_text = in_halves  # type: ignore[method-assign]
    around(Path, "write_bytes", "write")
    around(os, "replace", "rename")
    around(choose.judge.verdict, "judge", "judge")
    around(Path, "unlink", "delete")


def count_moments(bench: Bench, kind: str) -> list[str]:
    """Return the names of the moments of an undisturbed run, in order, and keep its figures."""
    place = bench.place()
    log = place / "moments"

    def note(name: str) -> None:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, f"{name}\n".encode())
        os.close(fd)

    result = wait(start(compare(kind), place, lambda: hook(note)), place)
    assert "result" in result, result
    bench.expected[kind] = result["result"]
    return log.read_text().splitlines()


def at_moment(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Return a preparation of a child that acts at the moment of a number, counted from 0."""

    def prepare() -> None:
        seen = iter(range(10**9))

        def moment(name: str) -> None:
            if next(seen) == number:
                act()

        hook(moment)

    return prepare


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill(code: int) -> Callable[[], None]:
    """Return an act that raises the system's error of a number."""

    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


# --- cases ---------------------------------------------------------------------------------------


def check(bench: Bench, part: str, place: Path, kind: str, note: object) -> None:
    """Report and resume a disturbed study, and record whether anything was lost."""
    before, kept = complete(place), wait(start(clocks, place), place)["result"]
    seen = wait(start(report, place), place) if (place / "store").exists() else {"line": "none"}
    if "traceback" in seen or not seen:
        bench.count(part, "lost", f"{note}: report: {seen}")
        return
    result = wait(start(compare(kind), place), place)
    same = result.get("result") == bench.expected[kind]
    after = complete(place)
    again = [key for key, when in before.items() if after.get(key, when) != when]
    found = wait(start(clocks, place), place)["result"]
    again += [at for at, seconds in kept.items() if found.get(at, -1) != seconds]
    if not same or again:
        bench.count(part, "lost", f"{note}: {result.get('traceback') or result} again: {again}")
        return
    bench.count(part, "same decision")
    shutil.rmtree(place)


def complete(place: Path) -> dict[str, int]:
    """Return the complete trials of a store and their views with the times of writing."""
    files = (place / "store").glob("trials/*/trial.json")
    found = {}
    for file in files:
        facts = json.loads(file.read_text())
        # A later round adds views, or rows of those that were not asked yet.
        name = f"{file.parent.name} {facts['views']} {facts['unasked']}"
        found[name] = file.stat().st_mtime_ns
    return found


def clocks(place: Path) -> dict[str, float | None]:
    """Return the seconds of each stored answer, where they are measured one by one.

    No answer that is made again takes as long. For a child: polars has threads, and no process that
    has some can be forked.
    """
    found: dict[str, float | None] = {}
    for file in (place / "store").glob("trials/*/*.parquet"):
        if (file.parent / "trial.json").exists() and not file.name.endswith(SCORES):
            for row in pl.read_parquet(file).iter_rows(named=True):
                found[f"{file.parent.name} {file.stem} {row['id']}"] = row.get("latency")
    return found


def kill_at_moments(bench: Bench, kills: int, moments: list[str]) -> None:
    """Kill at writes, renames, judgements and deletions, drawn evenly by what happens there."""
    by_name: dict[str, list[int]] = {}
    for number, name in enumerate(moments):
        by_name.setdefault(name, []).append(number)
    for turn in bench.share(range(kills)):
        name = sorted(by_name)[turn % len(by_name)]
        number = bench.random.choice(by_name[name])
        place = bench.place()
        wait(start(compare("local"), place, at_moment(number, die)), place)
        check(bench, f"kill -9, {name}", place, "local", number)


def kill_at_times(bench: Bench, kills: int, kind: str, part: str) -> None:
    """Kill at times drawn evenly over the time that an undisturbed run takes."""
    began, place = time.perf_counter(), bench.place()
    wait(start(compare(kind), place), place)
    whole, paid = time.perf_counter() - began, requests(bench)
    for _ in bench.share(range(kills)):
        place, moment = bench.place(), bench.random.uniform(0.02, whole)
        bench.asked.write_text("")
        wait(start(compare(kind), place), place, moment)
        check(bench, part, place, kind, f"{moment:.2f} s")
        if kind == "served":
            more = requests(bench) - paid
            bench.count("  requests paid again (at most those in flight)", str(max(0, more)))


def requests(bench: Bench) -> int:
    """Return how many questions the server answered, without those of the handshake."""
    lines = bench.asked.read_text().split()
    bench.asked.write_text("")
    return sum(line == "row" for line in lines)


def kill_the_cache(bench: Bench, kills: int) -> None:
    """Kill a process that keeps embeddings, and read back what it kept."""
    made_by = ("crash test",)

    def keep(place: Path) -> None:
        with caching():
            for number in range(10_000):
                array = np.full(64, number, np.float32)
                ResultCache(made_by).put({str(number).encode(): (array, 0.1)})

    def read(place: Path) -> list[int]:
        with caching():
            keys = [str(number).encode() for number in range(10_000)]
            found = ResultCache(made_by).get(keys)
        wrong = [key for key, (array, _) in found.items() if not (array == float(key)).all()]
        return [len(found), len(wrong)]

    for _ in bench.share(range(kills)):
        place, moment = bench.place(), bench.random.uniform(0.02, 1.0)
        wait(start(keep, place), place, moment)
        result = wait(start(read, place), place)
        good = result.get("result", [0, 1])[1] == 0
        bench.count("kill -9, cache", "same decision" if good else "lost", result)


def fail_at_moments(bench: Bench, moments: list[str], code: int, part: str, step: int) -> None:
    """Let the system refuse one write, rename or deletion after another."""
    for number in bench.share(range(0, len(moments), step)):
        if "judge" in moments[number]:
            continue
        place = bench.place()
        result = wait(start(compare("local"), place, at_moment(number, fill(code))), place)
        if "traceback" in result:
            bench.count(part, "lost", f"{moments[number]} {number}: {result['traceback']}")
            continue
        bench.count(f"{part}: itself", "one line" if "line" in result else "same decision")
        check(bench, f"{part}: afterwards", place, "local", number)


def limit_files(bench: Bench, sizes: list[int]) -> None:
    """Let no file grow beyond a size, as on a disk that is full after so many bytes."""
    for size in bench.share(sizes):
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

        def limit(size: int = size, hard: int = hard) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

        place = bench.place()
        result = wait(start(compare("local"), place, limit), place)
        if "traceback" in result or not result:
            bench.count("full disk, small files: itself", "lost", f"{size}: {result}")
            continue
        outcome = "one line" if "line" in result else "same decision"
        bench.count("full disk, small files: itself", outcome)
        check(bench, "full disk, small files: afterwards", place, "local", size)


def read_only(bench: Bench, finished: Path, times: int) -> None:
    """Report and resume a store in which nothing can be written."""

    def refuse() -> None:
        def moment(name: str) -> None:
            if "judge" not in name and "after" not in name:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        hook(moment)

    for _ in bench.share(range(times)):
        for job in (report, compare("local")):
            place = copied(bench, finished)
            (place / "store" / "decision.state").unlink(missing_ok=True)
            result = wait(start(job, place, refuse), place)
            outcome = "one line" if "line" in result else "same decision"
            good = "line" in result or result.get("result") == bench.expected["local"]
            bench.count("read-only store", outcome if good else "lost", result)
            check(bench, "read-only store: afterwards", place, "local", "")


def copied(bench: Bench, finished: Path) -> Path:
    """Return a new folder with a copy of a finished store."""
    place = bench.place()
    shutil.copytree(finished / "store", place / "store")
    return place


def two_processes(bench: Bench, times: int) -> None:
    """Run the same command twice at once on one store; the refused one runs again afterwards."""
    for _ in bench.share(range(times)):
        place = bench.place()
        children = []
        for name in ("one", "two"):
            side = place / name
            side.mkdir()
            for file in ("words.csv", "local.toml"):
                shutil.copy(place / file, side)
            (side / "store").symlink_to(place / "store")
            children.append((start(compare("local"), side), side))
            (place / "store").mkdir(exist_ok=True)
            time.sleep(bench.random.uniform(0, 0.3))
        for result, side in [(wait(child, side), side) for child, side in children]:
            if "Another choose command" in result.get("line", ""):
                bench.count("two processes", "one line")
                result = wait(start(compare("local"), side), side)
            good = result.get("result") == bench.expected["local"]
            bench.count("two processes", "same decision" if good else "lost", result)


def odd_clocks(bench: Bench) -> None:
    """Set the clock to other years, let it stand, and let it jump back and forth."""
    real = time.time
    clocks: dict[str, Callable[[], float]] = {
        "1969": lambda: -1e6,
        "2001": lambda: 1e9,
        "2200": lambda: 7.3e9,
        "stands": lambda: 1.7e9,
        "jumps": lambda: real() + random.uniform(-1e8, 1e8),
        "backwards": lambda: 4e9 - real(),
    }
    for name, clock in bench.share(list(clocks.items())):

        def set_clock(clock: Callable[[], float] = clock) -> None:
            time.time = clock

        place = bench.place()
        result = wait(start(compare("local"), place, set_clock), place)
        good = result.get("result") == bench.expected["local"]
        bench.count("odd clocks", "same decision" if good else "lost", f"{name}: {result}")
        check(bench, "odd clocks: afterwards", place, "local", name)


def damaged(bench: Bench, finished: Path, step: int) -> None:
    """Damage one file of a finished store in each of the ways of tests/store/test_store.py."""
    spec = importlib.util.spec_from_file_location("damage", TESTS / "store" / "test_store.py")
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    key = min(complete(finished)).partition(" ")[0]
    places: dict[str, Any] = {
        **cases.NEEDED,
        **{f"trials/{key}/{file}": edits for file, edits in cases.TRIAL.items()},
        "decision.json": cases.ANY,
    }
    edits = [(file, name, edit) for file, all_ in places.items() for name, edit in all_.items()]
    for file, name, edit in bench.share(edits[::step]):
        place = copied(bench, finished)

        def spoil(_: Path, edit: Any = edit, file: str = file, place: Path = place) -> None:
            edit(place / "store" / file)

        result = wait(start(spoil, place), place)
        assert "result" in result, (file, name, result)
        for job, what in ((report, "report"), (compare("local"), "resume")):
            result = wait(start(job, place), place)
            if result.get("result") == bench.expected["local"]:
                outcome = "same decision"
            elif "line" in result:
                outcome = "one line"
            else:
                outcome = "without the trial" if "result" in result and what == "report" else "lost"
            bench.count(f"damaged store, {what}", outcome, f"{file} {name}: {result}")
        shutil.rmtree(place)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run a server in a process of its own; yield its address and the log of its answers."""
    asked, address = folder / "asked", folder / "address"
    asked.write_text("")

    def respond(body: dict[str, Any]) -> Any:
        with asked.open("a") as log:
            log.write("row\n")
        time.sleep(0.01)
        words = body["messages"][-1]["content"]
        label = labels_of(body)[sum(map(ord, words)) % 3] if "response_format" in body else "fruit"
        return sent(json.dumps({"label": label}) if "response_format" in body else label)

    if not (child := os.fork()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with serving(respond) as server:
            (folder / "address.new").write_text(server.url)
            os.replace(folder / "address.new", address)
            signal.pause()
        os._exit(0)
    try:
        while not address.exists():
            time.sleep(0.02)
        yield address.read_text(), asked
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def run(bench: Bench, kills: int, quick: bool) -> None:
    """Run all parts; a tenth of the kills are in the cache, a fifth in requests."""
    moments = count_moments(bench, "local")
    count_moments(bench, "served")
    finished = bench.place()
    wait(start(compare("local"), finished), finished)
    kill_at_moments(bench, kills // 2, moments)
    kill_at_times(bench, kills // 5, "local", "kill -9, any time")
    kill_at_times(bench, kills // 5, "served", "kill -9, answers in flight")
    kill_the_cache(bench, kills // 10)
    fail_at_moments(bench, moments, errno.ENOSPC, "full disk, at a write", 20 if quick else 2)
    limit_files(bench, [0, 50, 200, 500, 1_000, 2_000, 3_000, 5_000, 10_000][:: 3 if quick else 1])
    read_only(bench, finished, 1 if quick else 3)
    two_processes(bench, 2 if quick else 10)
    odd_clocks(bench)
    # The fast tests try each of these, in one process.
    damaged(bench, finished, 18 if quick else 1)


def table(all_counts: dict[str, Counter[str]], kills: int, seconds: float) -> str:
    """Return the outcomes as a table."""
    lines = [f"{'case':48}{'cases':>7}  outcome"]
    for part, counts in all_counts.items():
        outcome = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        if part.startswith(" "):
            outcome = ", ".join(f"{name} in {count}" for name, count in sorted(counts.items()))
        lines.append(f"{part:48}{sum(counts.values()):>7}  {outcome}")
    killed = sum(sum(c.values()) for part, c in all_counts.items() if part.startswith("kill"))
    lost = sum(counts["lost"] for counts in all_counts.values())
    total = f"{killed} of {kills} kills, {lost} cases lost, {seconds / 60:.0f} minutes"
    return "\n".join([f"Machine: {machine(1)}", "", *lines, "", total])


def main() -> None:
    """Parse the arguments, run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 kills and a sample of the rest")
    parser.add_argument("--kills", type=int, help="default: 300, or 20 with --quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: the cores")
    given = parser.parse_args()
    kills = given.kills or (20 if given.quick else 300)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        parts = [Path(folder) / str(worker) for worker in range(given.jobs)]
        children = [start_worker(part, given, kills) for part in parts]
        codes = [os.waitpid(child, 0)[1] for child in children]
        counts = merged([json.loads((part / "counts").read_text()) for part in parts])
    print(table(counts, kills, time.perf_counter() - began))
    sys.exit(any(codes) or any(part["lost"] for part in counts.values()))


def start_worker(folder: Path, given: argparse.Namespace, kills: int) -> int:
    """Fork a process that runs its share of the cases and writes what came of them."""
    folder.mkdir()
    if child := os.fork():
        return child
    code = 1
    try:
        with served(folder) as (url, asked):
            bench = Bench(folder, f"{given.seed} {folder.name}", url, asked)
            bench.worker, bench.jobs = int(folder.name), given.jobs
            try:
                run(bench, kills, given.quick)
                code = 0
            finally:
                (folder / "counts").write_text(json.dumps(bench.counts))
    except BaseException:
        print_exc()
    os._exit(code)


def merged(parts: Sequence[dict[str, dict[str, int]]]) -> dict[str, Counter[str]]:
    """Add the counts of all workers."""
    counts: dict[str, Counter[str]] = {}
    for part in parts:
        for name, outcomes in part.items():
            counts.setdefault(name, Counter()).update(outcomes)
    return counts


if __name__ == "__main__":
    main()

"""How fast label log-probabilities are scored, against lm-evaluation-harness on the same prompts.

    python benchmarks/label_scoring.py [--quick] [--sets banking77] [--json]
    python benchmarks/label_scoring.py --part embeddings [--threads 1]

The second command embeds short texts with MiniLM, against sentence-transformers as it comes, in
turns in one process. With one thread it counts seconds of the processor rather than of the clock,
so that other programs disturb it less.

"open" labels are scored without the token that ends an answer, which no study does; the harness
answers all open labels of one token from one pass, so that this is where it is fastest.

Both sides read the same token ids with the same model, number type and threads, in turns, each turn
in a process of its own; loading is not timed. The harness gets the batch size that suits it best of
those tried. The prompt is choose's own zero-shot prompt. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np

from choose.engines.weights.resolve import resolve
from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.models.prompting.local_prompter import LocalPrompter
from choose.models.prompting.prompts import PromptSettings
from choose.tasks.labels import task_from
from choose.types import Example, Item
from machine import environment, machine, operations
from scoring_choose import peak_of_products

HERE = Path(__file__).resolve().parent

TARGETS = {"trec6": 12.0, "banking77": 100.0}

PEAK_SHARE = 0.60

SUFFIXES = (300, 600)

BATCHES = (1, 8, 32)

# Questions of a turn for each side: some seconds of work. The first set is also scored
# without the token that ends a label: no study does, but the harness then answers all labels of one
# token from one pass.
OURS = {"trec6": 150, "banking77": 20, "trec6 open": 150}

PEERS = {"trec6": 16, "banking77": 1, "trec6 open": 16}

SETS = ("trec6", "banking77")

PEER = "lm-eval==0.4.*"


# Texts of a set that are embedded; how much faster than sentence-transformers, and how far apart.
EMBEDDED, EMBEDDING_TARGET, EMBEDDING_APART = 640, 2.0, 1e-5


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One set: milliseconds a question of either side, and how well the scores agree."""

    name: str
    labels: int
    ours_ms: float
    peer_ms: float
    peer_batch: int
    same_best: float
    apart: float

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is."""
        return self.peer_ms / self.ours_ms


class Processes:
    """Run processes of either side one after another."""

    def __init__(self, folder: Path, peers: Path, dtype: str, threads: int) -> None:
        self.folder, self.dtype, self.threads = folder, dtype, threads
        self.peer_python = python(peers)

    def ours(self, asked: Questions, first: int, last: int) -> dict[str, Any]:
        """Return seconds and log-probabilities of choose for some of the questions."""
        return self._run(Path(sys.executable), "choose", asked, first=first, last=last)

    def peer(self, asked: Questions, first: int, last: int, batch: int) -> dict[str, Any]:
        """Return seconds and log-probabilities of the harness for some of the questions."""
        return self._run(self.peer_python, "peer", asked, first=first, last=last, batch=batch)

    def peak(self, asked: Questions) -> dict[str, Any]:
        """Return GFLOP/s of matrix products and of scoring."""
        return self._run(Path(sys.executable), "choose", asked, suffixes=SUFFIXES)

    def _run(self, interpreter: Path, side: str, asked: Questions, **how: Any) -> dict[str, Any]:
        job = self.folder / "job.json"
        about = {**asked.as_json(), "dtype": self.dtype, "threads": self.threads, **how}
        job.write_text(json.dumps(about), encoding="utf-8")
        given = environment(side, self.threads)
        command = [interpreter, HERE / f"scoring_{side}.py", job]
        done = subprocess.run(command, env=given, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def compare(processes: Processes, asked: Questions, rounds: int) -> Compared:
    """Time both sides in turns, and return the medians."""
    ours, peers = OURS[asked.name], PEERS[asked.name]
    tried = {b: processes.peer(asked, 0, peers, b)["seconds"] for b in BATCHES}
    batch = min(tried, key=lambda size: tried[size])
    our_ms, peer_ms, same, apart = [], [], [], []
    for turn in range(rounds):
        first = turn * peers
        mine = processes.ours(asked, first, first + ours)
        theirs = processes.peer(asked, first, first + peers, batch)
        our_ms.append(1000 * mine["seconds"] / ours)
        peer_ms.append(1000 * theirs["seconds"] / peers)
        one, other = np.array(mine["logprobs"][:peers]), np.array(theirs["logprobs"])
        same.append((one.argmax(1) == other.argmax(1)).mean())
        apart.append(np.abs(one - other).max())
    return Compared(
        name=asked.name,
        labels=len(asked.labels),
        ours_ms=median(our_ms),
        peer_ms=median(peer_ms),
        peer_batch=batch,
        same_best=float(np.mean(same)),
        apart=float(max(apart)),
    )


def agreement(processes: Processes, asked: Questions) -> float:
    """Return the largest difference of a log-probability in float32."""
    exact = copy(processes)
    exact.dtype = "float32"
    count = PEERS[asked.name]
    one = np.array(exact.ours(asked, 0, count)["logprobs"])
    other = np.array(exact.peer(asked, 0, count, 8)["logprobs"])
    return float(np.abs(one - other).max())


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--peers", type=Path, default=Path(gettempdir()) / "choose-peers")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, help="only these")
    parser.add_argument("--quick", action="store_true", help="one round of trec6 only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=("labels", "embeddings"), default="labels")
    choice = parser.parse_args()
    if choice.quick:
        choice.sets, choice.rounds = SETS[:1], 1
    return choice


def vars_of(row: Compared) -> dict[str, Any]:
    """Return a row's fields by name."""
    return {name: getattr(row, name) for name in Compared.__dataclass_fields__}


def _report(
    choice: argparse.Namespace,
    rows: list[Compared],
    exact: dict[str, float],
    peak: dict[str, Any],
    missed: list[str],
) -> list[str]:
    lines = [
        f"Label scoring against {PEER} (hf backend), {choice.dtype}, {machine(choice.threads)}.",
        f"Medians of {choice.rounds} turns; milliseconds a question.",
        "",
        f"{'set':10} {'labels':>6} {'choose':>8} {'peer':>9} {'batch':>5} {'ratio':>7} "
        f"{'asked':>6} {'same best':>9} {'apart':>6} {'apart in float32':>16}",
    ]
    lines += [
        f"{row.name:10} {row.labels:6} {row.ours_ms:8.1f} {row.peer_ms:9.1f} "
        f"{row.peer_batch:5} {row.ratio:6.1f}x {_asked(row.name):>6} {row.same_best:9.2f} "
        f"{row.apart:6.2f} {exact[row.name]:16.1e}"
        for row in rows
    ]
    lines += ["", f"Matrix products: {peak['peak']:.0f} GFLOP/s at best."]
    for length, rate in peak["suffixes"].items():
        lines.append(
            f"Scoring, {length} tokens a suffix: {rate:.0f} GFLOP/s, "
            f"{rate / peak['peak']:.0%} of that; {PEAK_SHARE:.0%} asked."
        )
    return [*lines, "", f"Missed: {'; '.join(missed)}." if missed else "All targets met."]


def _asked(name: str) -> str:
    return f"{TARGETS[name]:.0f}x" if name in TARGETS else "-"


@dataclass(frozen=True)
class Questions:
    """Prompts of one set, each as (prefix shared by all, rest), and the labels with their end."""

    name: str
    model: str
    prompts: list[tuple[list[int], list[int]]]
    labels: list[list[int]]

    def without_end(self) -> Questions:
        """Return the same questions with labels that do not end."""
        labels = [label[:-1] for label in self.labels]
        return replace(self, name=f"{self.name} open", labels=labels)

    def as_json(self) -> dict[str, Any]:
        """Return what `Questions(**…)` takes."""
        return asdict(self)


def questions(data: Path, name: str, count: int) -> Questions:
    """Return zero-shot questions of a set, as `choose compare` prompts them."""
    train, test = (_rows(data / name / f"{part}.csv") for part in ("train", "test"))
    settings = PromptSettings(model=DEFAULT_LM, wording="labels", calibrate=False, max_tokens=256)
    prompter = LocalPrompter(settings, task_from(train))
    prompts = [prompter._build(Item(id=row.id, text=row.text), ()) for row in test[:count]]
    trie = prompter.trie
    labels = [trie.step_token[trie.step_label == n].tolist() for n in range(len(trie.lengths))]
    return Questions(
        name=name,
        model=str(resolve(DEFAULT_LM)),
        prompts=[(list(p.prefix), list(p.rest)) for p in prompts],
        labels=labels,
    )


def _rows(path: Path) -> tuple[Example, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Example(id=f"r{n}", text=row["text"], target=row["label"])
            for n, row in enumerate(csv.DictReader(file))
        )


def python(folder: Path) -> Path:
    """Return the interpreter of an environment with the peer; create it if there is none."""
    home = folder / PEER.split("=")[0]
    interpreter = home / "bin" / "python"
    ready = home / "ready"
    if ready.is_file():
        return interpreter
    venv.create(home, with_pip=True)
    packages = next((home / "lib").glob("python*/site-packages"))
    # Both sides compute with the packages installed here; pip adds only what the peer lacks.
    shared = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "shared.pth").write_text("\n".join(shared) + "\n", encoding="utf-8")
    command = [
        str(interpreter),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PEER,
    ]
    subprocess.run(command, check=True, stdout=sys.stderr)
    ready.touch()
    return interpreter


@dataclass(frozen=True)
class Embedded:
    """Seconds and vectors of a set, and those of sentence-transformers."""

    name: str
    seconds: float
    peer_seconds: float
    apart: float
    gflops: float

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is."""
        return self.peer_seconds / self.seconds


def embedded(texts: list[str], name: str, rounds: int, threads: int) -> Embedded:
    """Embed texts with both sides in turns; the median of each side's seconds counts."""
    import torch
    from sentence_transformers import SentenceTransformer

    from choose.engines.embeddings import load_encoder

    os.environ["CHOOSE_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    peer = SentenceTransformer(str(resolve(DEFAULT_ENCODER)))
    sides: dict[str, Callable[[], Any]] = {
        "peer": lambda: peer.encode(texts, normalize_embeddings=True, show_progress_bar=False),
        "ours": partial(_embed_anew, load_encoder(DEFAULT_ENCODER).model, texts),
    }
    clock = time.process_time if threads == 1 else time.perf_counter
    vectors = {side: work() for side, work in sides.items()}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, work in sides.items():
            start = clock()
            work()
            seconds[side].append(clock() - start)
    return Embedded(
        name,
        median(seconds["ours"]),
        median(seconds["peer"]),
        float(np.abs(vectors["ours"] - vectors["peer"]).max()),
        operations(sides["ours"]) / median(seconds["ours"]) / 1e9,
    )


def _embed_anew(model: Any, texts: list[str]) -> Any:
    from choose.engines.embeddings import Encoder

    return Encoder(model, None).embed(texts)


def embeddings_part(choice: argparse.Namespace) -> int:
    """Measure embeddings, print, and return 1 where a target is missed."""
    from sentence_transformers import __version__

    rows: list[Embedded] = []
    for name in choice.sets:
        known = [row.text for row in _rows(choice.data / name / "train.csv")]
        texts = [*dict.fromkeys(known)][:EMBEDDED]
        rows.append(embedded(texts, name, choice.rounds, choice.threads))
    clock = time.process_time if choice.threads == 1 else time.perf_counter
    peak = peak_of_products("float32", clock)
    missed = [
        *(f"{r.name}: {r.ratio:.1f}x" for r in rows if r.ratio < EMBEDDING_TARGET),
        *(f"{r.name}: {r.apart:.1e} apart" for r in rows if r.apart > EMBEDDING_APART),
    ]
    if choice.json:
        sets = [{**asdict(row), "ratio": row.ratio} for row in rows]
        found = {"machine": machine(choice.threads), "sets": sets, "peak": peak, "missed": missed}
        print(json.dumps(found, indent=2))
        return int(bool(missed))
    kind = "seconds of the processor" if choice.threads == 1 else "seconds"
    print(f"Embeddings by MiniLM against sentence-transformers {__version__}'s encode(texts),")
    print(f"{machine(choice.threads)}. Medians of {choice.rounds} turns; {kind} a 1,000 texts.\n")
    print(f"{'set':10} {'choose':>7} {'peer':>7} {'ratio':>6} {'apart':>8} of peak")
    for row in rows:
        ours, theirs = (1000 * s / EMBEDDED for s in (row.seconds, row.peer_seconds))
        print(
            f"{row.name:10} {ours:7.2f} {theirs:7.2f} {row.ratio:5.2f}x "
            f"{row.apart:8.1e} {row.gflops / peak:7.0%}"
        )
    print(f"\nMatrix products: {peak:.0f} GFLOP/s in float32 at best.")
    print(f"Missed: {'; '.join(missed)}." if missed else "All targets met.")
    return int(bool(missed))


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    choice = options()
    if choice.part == "embeddings":
        return embeddings_part(choice)
    with TemporaryDirectory() as folder:
        processes = Processes(Path(folder), choice.peers, choice.dtype, choice.threads)
        asked = {
            n: questions(choice.data, n, OURS[n] + PEERS[n] * choice.rounds) for n in choice.sets
        }
        if SETS[0] in asked:
            asked[f"{SETS[0]} open"] = asked[SETS[0]].without_end()
        rows = [compare(processes, one, choice.rounds) for one in asked.values()]
        exact = {name: agreement(processes, one) for name, one in asked.items()}
        peak = processes.peak(questions(choice.data, "trec6", 300))
    shares = {length: rate / peak["peak"] for length, rate in peak["suffixes"].items()}
    missed = [
        *(
            f"{row.name}: {row.ratio:.1f}x"
            for row in rows
            if row.ratio < TARGETS.get(row.name, 0.0)
        ),
        *(f"suffix {n}: {share:.0%}" for n, share in shares.items() if share < PEAK_SHARE),
        *(
            f"{row.name}: another best label in {1 - row.same_best:.0%}"
            for row in rows
            if row.same_best < 1 and choice.dtype == "float32"
        ),
        *(f"{name}: {apart:.1g} apart in float32" for name, apart in exact.items() if apart > 1e-3),
    ]
    if choice.json:
        found = {
            "machine": machine(choice.threads),
            "dtype": choice.dtype,
            "peer": PEER,
            "sets": [{**vars_of(row), "ratio": row.ratio} for row in rows],
            "float32_apart": exact,
            **peak,
            "missed": missed,
        }
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(_report(choice, rows, exact, peak, missed)))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

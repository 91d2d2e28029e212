"""How fast LoRA trains, against Hugging Face's Trainer with PEFT on the same rows and settings.

    python benchmarks/lora.py [--quick] [--roofline] [--dtype float32] [--json] [--keep FILE]

Both sides take the same model, labels, learning rate, rank, targets, dropout, batch size, steps,
schedule and seeds, in turns, each turn in a process of its own; loading is not timed. Speed is
measured over the same number of steps on both sides, accuracy over whole trials on all test rows.
A trial of a grid costs the peer as much as a single trial. In float32 the peer draws its batches at
random, Trainer's default, and once more with lengths grouped, as choose does: that form is the fair
one, and the other has no target. `--keep` saves finished measurements in a file. choose computes in
bfloat16 where the processor multiplies it; with `--dtype float32` both sides are in float32, as on
a processor that does not.
`--roofline` compares a step of ours with the least that this machine could take instead.
With `--encoder` both adapt MiniLM.
Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import choose
from choose.engines.environment_settings import DTYPES
from choose.engines.hardware.device_and_dtype import trains_in_bfloat16
from choose.engines.lora.classifier import schedule_for
from choose.engines.weights.resolve import resolve, weights_digest
from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.files import digest
from machine import environment, machine

HERE = Path(__file__).resolve().parent

# Trials of the grid that choose trains together.
GRID = 10

# Target ratios of one trial, and of each of a grid of ten, by the form of the peer, where choose
# computes in bfloat16. In float32, where no product is faster than the peer's, less is asked.
TARGETS = {
    ("one", "fp32"): None,
    ("one", "fp32 grouped"): 3.0,
    ("one", "bf16"): 2.5,
    ("grid", "fp32"): None,
    ("grid", "fp32 grouped"): 4.5,
    ("grid", "bf16"): 3.5,
}

TARGETS_IN_FLOAT32 = {"one": 2.0, "grid": 2.5}

TARGETS_OF_ENCODER = {("one", "fp32 grouped"): 2.5, ("one", "bf16"): 1.7}

# The share of what the machine can do that makes up for a missed ratio.
ROOFLINE = 0.8

ACCURACY, APART = 0.85, 0.01

# The training rows: 50 of each of the six classes of TREC-6.
PER_CLASS, ROWS, CLASSES, RATE = 50, 300, 6, 1e-3

# The base, with the names of its linear layers that are adapted: query and value.
BASES = {
    "SmolLM2-135M": (DEFAULT_LM, ["q_proj", "v_proj"]),
    "MiniLM (an encoder)": (DEFAULT_ENCODER, ["query", "value"]),
}

PACKAGES = ("torch", "transformers", "peft")

# How the peer trains. A step has 101 tokens with padding where lengths are grouped, as in choose,
# and 148 with random batches, Trainer's default: "fp32 grouped" shows what that costs.
PEERS = {
    "fp32": {"bf16": False, "grouped": False},
    "fp32 grouped": {"bf16": False, "grouped": True},
    "bf16": {"bf16": True, "grouped": True},
}


def timed(processes: Processes, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return seconds a step and trial of each side, round by round.

    The peer in bfloat16 is left out where our side computes in float32.
    """
    half = processes.settings["dtype"] == "bfloat16"
    kinds = [kind for kind, how in PEERS.items() if half or not how["bf16"]]
    found: dict[str, list[float]] = {kind: [] for kind in (*kinds, "one", "grid")}
    grid = list(range(GRID))
    for n in range(rounds):
        for kind in kinds:
            peer = processes.run(f"{kind} {n}", "peer", steps, [0], **PEERS[kind])
            found[kind].append(peer["step_seconds"])
        found["one"].append(processes.run(f"one {n}", "choose", steps, [0])["step_seconds"])
        several = processes.run(f"grid {n}", "choose", max(4, steps // 4), grid)
        found["grid"].append(several["step_seconds"] / GRID)
    return {kind: seconds for kind, seconds in found.items() if seconds}


def whole(processes: Processes, seeds: int, peer_seeds: int) -> dict[str, list[float]]:
    """Return accuracies on the test rows, those of choose trained together.

    The peer computes in the number type of our side.
    """
    how = PEERS["bf16" if processes.settings["dtype"] == "bfloat16" else "fp32"]
    ours = processes.run("accuracy ours", "choose", 0, list(range(seeds)))["accuracy"]
    peer = [
        processes.run(f"accuracy peer {seed}", "peer", 0, [seed], **how)["accuracy"][0]
        for seed in range(peer_seeds)
    ]
    return {"ours": ours, "peer": peer}


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="timed steps of a trial in a round")
    parser.add_argument("--seeds", type=int, default=5, help="whole trials for the accuracy")
    parser.add_argument("--peer-seeds", type=int, default=5)
    parser.add_argument("--part", choices=("all", "time", "accuracy"), default="all")
    parser.add_argument("--encoder", action="store_true", help="adapt MiniLM")
    parser.add_argument("--dtype", choices=DTYPES, help="of our side; else as the processor can")
    parser.add_argument("--keep", type=Path, help="file of finished measurements, to go on from")
    parser.add_argument("--quick", action="store_true", help="one short round, no accuracy")
    parser.add_argument("--roofline", action="store_true", help="our steps against the machine")
    parser.add_argument("--json", action="store_true")
    choice = parser.parse_args()
    if choice.quick:
        choice.rounds, choice.steps, choice.part = 1, 8, "time"
    return choice


def roofline(processes: Processes, steps: int) -> list[str]:
    """Return what a step takes, and the least that products and memory allow, as sentences."""
    about = f"{processes.settings['dtype']}; {machine(processes.threads)}"
    lines = [f"Roofline of a LoRA step in {about}; CPU ms a step and trial:"]
    for name, trials in (("one trial", 1), (f"{GRID} trials together", GRID)):
        found = processes.run(
            f"roofline {name}", "choose", max(2, steps // trials), list(range(trials)), roofline=1
        )
        step, products, memory = (
            1000 * found[part] / trials for part in ("step", "products", "memory")
        )
        share = (products + memory) / step
        lines.append(
            f"  {name}: {step:.0f} for {found['tokens'] / trials:.0f} tokens; its products alone "
            f"{products:.0f} ({found['gflops']:.0f} GFLOP/s a thread), what it saves for backward "
            f"{memory:.0f}: {share:.0%} of what the machine can do, {ROOFLINE:.0%} asked"
        )
    return lines


def asked_of(ours: str, peer: str, settings: dict[str, Any]) -> float | None:
    """Return the ratio that is asked for of our side under some settings, if there is one."""
    half = settings["dtype"] == "bfloat16"
    if settings["base"] != next(iter(BASES)):
        return TARGETS_OF_ENCODER.get((ours, peer)) if half else None
    asked = TARGETS[ours, peer]
    return asked if asked is None or half else TARGETS_IN_FLOAT32[ours]


def _slow(ratios: dict[tuple[str, str], float], settings: dict[str, Any]) -> list[str]:
    return [
        f"{ours} trial against {peer}: {ratio:.2f}x of {asked:g}x"
        for (ours, peer), ratio in ratios.items()
        if (asked := asked_of(ours, peer, settings)) is not None and ratio < asked
    ]


def _wrong(right: dict[str, list[float]]) -> list[str]:
    if not right:
        return []
    ours, peer = mean(right["ours"]), mean(right["peer"])
    missed = [] if ours >= ACCURACY else [f"accuracy {ours:.3f} of {ACCURACY}"]
    if ours < peer - APART:
        missed.append(f"accuracy {ours:.3f} against the peer's {peer:.3f}")
    return missed


def _report(
    choice: argparse.Namespace,
    settings: dict[str, Any],
    seconds: dict[str, list[float]],
    ratios: dict[tuple[str, str], float],
    right: dict[str, list[float]],
    missed: list[str],
) -> list[str]:
    versions = ", ".join(f"{p} {version(p)}" for p in PACKAGES)
    lines = [
        f"LoRA against transformers.Trainer with PEFT; {machine(choice.threads)}; {versions}.",
        f"Our side computes in {settings['dtype']}.",
        f"{settings['base']}, {ROWS} rows of TREC-6, rank {settings['rank']} on query and value, "
        f"batch {settings['batch']}, {settings['plan_steps']} steps, rate {settings['rate']:g}.",
        "",
    ]
    names = {
        "fp32": "Trainer, fp32",
        "fp32 grouped": "Trainer, fp32, lengths grouped",
        "bf16": "Trainer, bf16, lengths grouped",
        "one": "choose, one trial",
        "grid": f"choose, {GRID} trials together, each",
    }
    if seconds:
        lines.append(f"Milliseconds a step, the median of {choice.rounds} rounds (and each):")
    for name, rounds in seconds.items():
        each = ", ".join(f"{1000 * s:.0f}" for s in rounds)
        lines.append(f"  {names[name]:34} {1000 * median(rounds):6.0f}   ({each})")
    for (ours, peer), ratio in ratios.items():
        asked = asked_of(ours, peer, settings)
        wanted = "nothing asked" if asked is None else f"{asked:g}x asked"
        lines.append(f"  {names[ours]}, against {names[peer]}: {ratio:.2f}x; {wanted}")
    for side, values in right.items():
        each = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"Accuracy, {len(values)} seeds, {side}: {mean(values):.3f}   ({each})")
    return [*lines, "", f"Missed: {'; '.join(missed)}." if missed else "All targets met."]


class Processes:
    """Run processes of either side one after another; `--keep` saves their results."""

    def __init__(self, choice: argparse.Namespace, folder: Path) -> None:
        self.folder, self.threads, self.keep = folder, choice.threads, choice.keep
        learnt = schedule_for(ROWS, CLASSES, RATE)
        base = [*BASES][choice.encoder]
        model, targets = BASES[base]
        self.rows = rows_of(choice.data)
        self.settings = {
            "base": base,
            "model": model,
            "targets_of_peer": targets,
            "folder": str(resolve(model)),
            "rank": 16,
            "dropout": 0.05,
            "rate": learnt.learning_rate,
            "batch": learnt.batch_size,
            "plan_steps": learnt.steps,
            "max_tokens": 128,
            "dtype": choice.dtype or ("bfloat16" if trains_in_bfloat16() else "float32"),
        }
        kept = self.keep is not None and self.keep.exists()
        self.done: dict[str, Any] = json.loads(self.keep.read_text()) if kept else {}

    def run(self, name: str, side: str, steps: int, seeds: list[int], **how: Any) -> dict[str, Any]:
        """Return the result of a side, or the one saved under the same conditions."""
        name = f"{name} {digest([self._conditions(side), side, steps, seeds, how])[:8]}"
        if name not in self.done:
            self.done[name] = self._run(side, steps=steps, seeds=seeds, **how)
            if self.keep is not None:
                self.keep.write_text(json.dumps(self.done, indent=1))
        found: dict[str, Any] = self.done[name]
        return found

    def _conditions(self, side: str) -> list[Any]:
        """Return everything that a measurement of a side depends on, but for its own settings."""
        same = {k: v for k, v in self.settings.items() if k != "folder"}
        if side == "peer":
            del same["dtype"]
        versions = [version(package) for package in PACKAGES]
        weights, rows = weights_digest(self.settings["model"]), digest(self.rows)
        on = machine(self.threads)
        return [same, rows, weights, self.threads, on, versions, sources(side)]

    def _run(self, side: str, **how: Any) -> dict[str, Any]:
        job = self.folder / "job.json"
        job.write_text(json.dumps({**self.settings, **self.rows, **how}), encoding="utf-8")
        given = environment(side, self.threads, CHOOSE_DTYPE=self.settings["dtype"])
        command = [sys.executable, HERE / f"lora_{side}.py", job]
        done = subprocess.run(command, env=given, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def sources(side: str) -> list[str]:
    """Return digests of the code of this project that a side runs."""
    files = [HERE / f"lora_{side}.py"]
    if side == "choose":
        files += sorted((Path(choose.__file__).parent / "engines").rglob("*.py"))
    return [digest(file.read_text(encoding="utf-8")) for file in files]


def rows_of(data: Path) -> dict[str, Any]:
    """Return the training and test rows of TREC-6; the same for every seed of either side."""
    train, test = _read(data / "trec6" / "train.csv"), _read(data / "trec6" / "test.csv")
    labels = sorted({label for _, label in train})
    random.Random("draw0").shuffle(train)
    pool = [row for label in labels for row in [r for r in train if r[1] == label][:PER_CLASS]]
    return {
        "labels": labels,
        "texts": [text for text, _ in pool],
        "targets": [labels.index(label) for _, label in pool],
        "test_texts": [text for text, _ in test],
        "test_targets": [labels.index(label) for _, label in test],
    }


def _read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [(row["text"], row["label"]) for row in csv.DictReader(stream)]


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    choice = options()
    seconds: dict[str, list[float]] = {}
    right: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        processes = Processes(choice, Path(folder))
        if choice.roofline:
            print("\n".join(roofline(processes, choice.steps)))
            return 0
        if choice.part != "accuracy":
            seconds = timed(processes, choice.rounds, choice.steps)
        if choice.part != "time":
            right = whole(processes, choice.seeds, choice.peer_seeds)
    medians = {name: median(rounds) for name, rounds in seconds.items()}
    ratios = {
        (ours, peer): medians[peer] / medians[ours]
        for ours, peer in TARGETS
        if peer in medians and ours in medians
    }
    missed = [*_slow(ratios, processes.settings), *_wrong(right)]
    if choice.json:
        about = {
            "machine": machine(choice.threads),
            "settings": processes.settings,
            "missed": missed,
        }
        named = {f"{ours} against {peer}": ratio for (ours, peer), ratio in ratios.items()}
        found = {**about, "step_seconds": seconds, "ratios": named, "accuracy": right}
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(_report(choice, processes.settings, seconds, ratios, right, missed)))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())

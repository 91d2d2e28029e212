"""How fast LoRA trains, against Hugging Face's Trainer with PEFT on the same rows and settings.

    python benchmarks/lora.py [--quick] [--json] [--keep FILE]

Both sides take the same model, labels, learning rate, rank, targets, dropout, batch size, steps,
schedule and seeds, in turns, each turn in a process of its own; loading is not timed. Time is taken
over some steps of a trial, whose number is the same on both sides; accuracy over whole trials on
all test rows. A trial of a grid costs the peer what a trial alone does. `--keep` holds finished
measurements, so that the slow ones need not share a quiet hour with the timed ones. `--upper 0.5`
gives our side adapters in the upper half of the layers only, and the peer in all of them as before.
Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

from choose.digests import digest
from choose.models.machine import halves_fast
from choose.models.schedule import plan
from choose.models.weights import DEFAULT_LM, resolve
from machine import machine

HERE = Path(__file__).resolve().parent
GRID, ROWS, CLASSES, RATE = 10, 300, 6, 1e-3

# Ratios asked for: of one trial, and of each of a grid of ten, by the peer's number type.
TARGETS = {("one", "fp32"): 4.0, ("one", "bf16"): 1.5, ("grid", "fp32"): 5.0, ("grid", "bf16"): 2.0}
ACCURACY, APART = 0.85, 0.01


class Turns:
    """Processes of either side, one after another; what is finished is kept."""

    def __init__(self, choice: argparse.Namespace, folder: Path) -> None:
        self.folder, self.threads, self.keep = folder, choice.threads, choice.keep
        learnt = plan(ROWS, CLASSES, RATE)
        self.settings = {
            "data": str(choice.data),
            "model": DEFAULT_LM,
            "folder": str(resolve(DEFAULT_LM)),
            "rank": 16,
            "dropout": 0.05,
            "rate": learnt.rate,
            "batch": learnt.batch,
            "plan_steps": learnt.steps,
            "max_tokens": 128,
            "upper": choice.upper,
        }
        kept = self.keep is not None and self.keep.exists()
        self.done: dict[str, Any] = json.loads(self.keep.read_text()) if kept else {}

    def run(self, name: str, side: str, steps: int, seeds: list[int], **how: Any) -> dict[str, Any]:
        """Return what a side found, or had found before in the same settings."""
        same = {k: v for k, v in self.settings.items() if k not in ("data", "folder")}
        if side == "peer":
            del same["upper"]
        name = f"{name} {digest([same, side, steps, seeds, how])[:8]}"
        if name not in self.done:
            self.done[name] = self._run(side, steps=steps, seeds=seeds, **how)
            if self.keep is not None:
                self.keep.write_text(json.dumps(self.done, indent=1))
        found: dict[str, Any] = self.done[name]
        return found

    def _run(self, side: str, **how: Any) -> dict[str, Any]:
        job = self.folder / "job.json"
        job.write_text(json.dumps({**self.settings, **how}), encoding="utf-8")
        count = str(self.threads)
        threads = {"OMP_NUM_THREADS": count, "CHOOSE_THREADS": count, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, HERE / "tuned" / f"{side}.py", job]
        done = subprocess.run(
            command, env={**os.environ, **threads}, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def timed(turns: Turns, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return seconds a step and trial of each side, round by round.

    Where the machine does not multiply bfloat16 fast, nobody would train in it: it is left out.
    """
    kinds = ("fp32", "bf16") if halves_fast() else ("fp32",)
    found: dict[str, list[float]] = {kind: [] for kind in (*kinds, "one", "grid")}
    grid = list(range(GRID))
    for n in range(rounds):
        for kind in kinds:
            peer = turns.run(f"{kind} {n}", "peer", steps, [0], bf16=kind == "bf16")
            found[kind].append(peer["step_seconds"])
        found["one"].append(turns.run(f"one {n}", "ours", steps, [0])["step_seconds"])
        several = turns.run(f"grid {n}", "ours", max(4, steps // 4), grid)["step_seconds"]
        found["grid"].append(several / GRID)
    return found


def whole(turns: Turns, seeds: int, peer_seeds: int) -> dict[str, list[float]]:
    """Return accuracies on the test rows, ours trained together.

    The peer computes in bfloat16 where this machine multiplies it faster, as ours does.
    """
    bf16 = halves_fast()
    ours = turns.run("accuracy ours", "ours", 0, list(range(seeds)))["accuracy"]
    peer = [
        turns.run(f"accuracy peer {seed}", "peer", 0, [seed], bf16=bf16)["accuracy"][0]
        for seed in range(peer_seeds)
    ]
    return {"ours": ours, "peer": peer}


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24, help="timed steps of a trial in a round")
    parser.add_argument("--seeds", type=int, default=5, help="whole trials for the accuracy")
    parser.add_argument("--peer-seeds", type=int, default=5)
    parser.add_argument("--part", choices=("all", "time", "accuracy"), default="all")
    parser.add_argument("--upper", type=float, default=1.0, help="share of layers of our side")
    parser.add_argument("--keep", type=Path, help="file of finished measurements, to go on from")
    parser.add_argument("--quick", action="store_true", help="one short round, no accuracy")
    parser.add_argument("--json", action="store_true")
    choice = parser.parse_args()
    if choice.quick:
        choice.rounds, choice.steps, choice.part = 1, 8, "time"
    return choice


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    choice = options()
    seconds: dict[str, list[float]] = {}
    right: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        turns = Turns(choice, Path(folder))
        if choice.part != "accuracy":
            seconds = timed(turns, choice.rounds, choice.steps)
        if choice.part != "time":
            right = whole(turns, choice.seeds, choice.peer_seeds)
    medians = {name: median(rounds) for name, rounds in seconds.items()}
    ratios = {
        (ours, peer): medians[peer] / medians[ours] for ours, peer in TARGETS if peer in medians
    }
    missed = [*_slow(ratios), *_wrong(right)]
    if choice.json:
        about = {"machine": machine(choice.threads), "settings": turns.settings, "missed": missed}
        named = {f"{ours} against {peer}": ratio for (ours, peer), ratio in ratios.items()}
        found = {**about, "step_seconds": seconds, "ratios": named, "accuracy": right}
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(_report(choice, turns.settings, seconds, ratios, right, missed)))
    return int(bool(missed))


def _slow(ratios: dict[tuple[str, str], float]) -> list[str]:
    return [
        f"{ours} trial against {peer}: {ratio:.2f}x of {TARGETS[ours, peer]:g}x"
        for (ours, peer), ratio in ratios.items()
        if ratio < TARGETS[ours, peer]
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
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "peft"))
    lines = [
        f"LoRA against transformers.Trainer with PEFT; {machine(choice.threads)}; {versions}.",
        f"SmolLM2-135M, {ROWS} rows of TREC-6, rank {settings['rank']} on query and value, batch "
        f"{settings['batch']}, {settings['plan_steps']} steps, rate {settings['rate']:g}.",
        f"Adapters of our side in the upper {100 * settings['upper']:.0f} % of the layers, of the "
        "peer in all.",
        "",
    ]
    names = {
        "fp32": "Trainer, fp32",
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
        asked = TARGETS[ours, peer]
        lines.append(f"  {names[ours]}, against {names[peer]}: {ratio:.2f}x; {asked:g}x asked")
    for side, values in right.items():
        each = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"Accuracy, {len(values)} seeds, {side}: {mean(values):.3f}   ({each})")
    return [*lines, "", f"Missed: {'; '.join(missed)}." if missed else "All targets met."]


if __name__ == "__main__":
    sys.exit(main())

"""How fast LoRA trains, against Hugging Face's Trainer with PEFT on the same rows and settings.

    python benchmarks/lora.py [--quick] [--json] [--keep FILE]

Both sides take the same model, labels, learning rate, rank, targets, dropout, batch size, steps,
schedule and seeds, in turns, each turn in a process of its own; loading is not timed. Time is taken
over some steps of a trial, whose number is the same on both sides; accuracy over whole trials on
all test rows. A trial of a grid costs the peer what a trial alone does. In float32 the peer draws
its batches at random, as Trainer does unasked, and once more with lengths grouped, as ours are:
that form has no target and tells how much of a ratio is padding. `--keep` holds finished
measurements, so that the slow ones need not share a quiet hour with the timed ones. `--upper 0.5`
gives our side adapters in the upper half of the layers only, and the peer in all of them as before.
Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

from choose.models.hardware.speed_test import halves_fast
from machine import machine
from tuned.turns import PACKAGES, PEERS, ROWS, Turns

HERE = Path(__file__).resolve().parent
GRID = 10

# Ratios asked for: of one trial, and of each of a grid of ten, by the form of the peer.
TARGETS = {
    ("one", "fp32"): 4.0,
    ("one", "fp32 grouped"): None,
    ("one", "bf16"): 1.5,
    ("grid", "fp32"): 5.0,
    ("grid", "fp32 grouped"): None,
    ("grid", "bf16"): 2.0,
}
ACCURACY, APART = 0.85, 0.01


def timed(turns: Turns, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return seconds a step and trial of each side, round by round.

    Where the machine does not multiply bfloat16 fast, nobody would train in it: it is left out.
    """
    kinds = [kind for kind, how in PEERS.items() if halves_fast() or not how["bf16"]]
    found: dict[str, list[float]] = {kind: [] for kind in (*kinds, "one", "grid")}
    grid = list(range(GRID))
    for n in range(rounds):
        for kind in kinds:
            peer = turns.run(f"{kind} {n}", "peer", steps, [0], **PEERS[kind])
            found[kind].append(peer["step_seconds"])
        found["one"].append(turns.run(f"one {n}", "ours", steps, [0])["step_seconds"])
        several = turns.run(f"grid {n}", "ours", max(4, steps // 4), grid)["step_seconds"]
        found["grid"].append(several / GRID)
    return found


def whole(turns: Turns, seeds: int, peer_seeds: int) -> dict[str, list[float]]:
    """Return accuracies on the test rows, ours trained together.

    The peer computes in bfloat16 where this machine multiplies it faster, as ours does.
    """
    how = PEERS["bf16" if halves_fast() else "fp32"]
    ours = turns.run("accuracy ours", "ours", 0, list(range(seeds)))["accuracy"]
    peer = [
        turns.run(f"accuracy peer {seed}", "peer", 0, [seed], **how)["accuracy"][0]
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
        f"{ours} trial against {peer}: {ratio:.2f}x of {asked:g}x"
        for (ours, peer), ratio in ratios.items()
        if (asked := TARGETS[ours, peer]) is not None and ratio < asked
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
        f"SmolLM2-135M, {ROWS} rows of TREC-6, rank {settings['rank']} on query and value, batch "
        f"{settings['batch']}, {settings['plan_steps']} steps, rate {settings['rate']:g}.",
        f"Adapters of our side in the upper {100 * settings['upper']:.0f} % of the layers, of the "
        "peer in all.",
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
        asked = TARGETS[ours, peer]
        wanted = "nothing asked" if asked is None else f"{asked:g}x asked"
        lines.append(f"  {names[ours]}, against {names[peer]}: {ratio:.2f}x; {wanted}")
    for side, values in right.items():
        each = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"Accuracy, {len(values)} seeds, {side}: {mean(values):.3f}   ({each})")
    return [*lines, "", f"Missed: {'; '.join(missed)}." if missed else "All targets met."]


if __name__ == "__main__":
    sys.exit(main())

"""How fast LoRA learns to write answers, against TRL's SFTTrainer on the same rows and settings.

    python benchmarks/lora_text.py --data FOLDER --peer PYTHON [--steps 12] [--rounds 2]

FOLDER has a train.jsonl with `text` and `target`; PYTHON is an interpreter that can import trl.
Both sides take the same model, rows, prompts, batch size, rank, targets, dropout and threads, and
the loss of the answers' tokens only. TRL trains in bfloat16 and in float32, each with batches that
are padded and with batches that are not, of which the faster counts; choose trains in the number
type that it chooses. Adapters are in every linear layer, or with --targets attention in the query
and value projections. Sides take turns, each turn in a process of its
own; loading is not timed. Exits with 1 where a target is missed: a step no slower than TRL's in
bfloat16, and half of its in float32.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from choose.engines.environment_settings import cores
from choose.engines.lora.answer_tuning import AnswerRun, untrained_answers
from choose.engines.lora.fit import training_step
from choose.engines.lora.model import AdapterSpec, load_base, seeded
from choose.engines.lora.training_run import Schedule
from choose.engines.weights.resolve import resolve
from choose.engines.weights.spec import DEFAULT_LM
from choose.models.prompting.answer_writer import AnswerPrompts
from choose.tasks.writing import Writing
from choose.types import Example
from machine import environment, machine

HERE = Path(__file__).resolve().parent

INSTRUCTION = "Extract the booking as JSON."

# Seconds of a step of choose over one of the peer: at most.
TARGETS = {"trl bf16": 1.0, "trl fp32": 0.5}

# How the peer lays out a batch.
LAYOUTS = ("padded", "unpadded")


def main() -> int:
    """Time both sides in turns and print the medians."""
    choice = _options()
    if choice.job:
        print(json.dumps(_timed(json.loads(choice.job.read_text(encoding="utf-8")))))
        return 0
    peers = [f"{name} {layout}" for name in TARGETS for layout in LAYOUTS]
    seconds: dict[str, list[float]] = {"choose": [], **{name: [] for name in peers}}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        for turn in range(choice.rounds):
            for name, found in seconds.items():
                job = _job(choice, turn)
                job |= {"bf16": "bf16" in name, "padded": name.endswith(" padded")}
                file.write_text(json.dumps(job), encoding="utf-8")
                found.append(_run(choice, name, file))
                print(f"{name} {1000 * found[-1]:.0f} ms", file=sys.stderr, flush=True)
    print(machine(cores()))
    ours, missed = median(seconds["choose"]), False
    print(f"choose     {1000 * ours:7.0f} ms a step")
    for name, most in TARGETS.items():
        times = {layout: median(seconds[f"{name} {layout}"]) for layout in LAYOUTS}
        layout = min(times, key=lambda layout: times[layout])
        missed |= ours > most * times[layout]
        told = ", ".join(f"{each} {1000 * time:.0f}" for each, time in times.items())
        print(
            f"{name:10} {1000 * times[layout]:7.0f} ms a step ({told}), "
            f"{times[layout] / ours:.2f} times as long; {1 / most:.0f} asked"
        )
    return int(missed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--targets", choices=("attention", "all"), default="all")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _job(choice: argparse.Namespace, seed: int) -> dict[str, Any]:
    lines = (choice.data / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in random.Random(0).sample(lines, 300)]
    return {
        "rows": [[row["text"], json.dumps(row["target"], sort_keys=True)] for row in rows],
        "instruction": INSTRUCTION,
        "folder": str(resolve(DEFAULT_LM)),
        "steps": choice.steps,
        "seed": seed,
        "batch": 8,
        "rank": 16,
        "targets": choice.targets,
        "dropout": 0.05,
        "rate": 2e-3,
    }


def _run(choice: argparse.Namespace, name: str, job: Path) -> float:
    ours = [sys.executable, str(HERE / "lora_text.py"), "--job", str(job)]
    theirs = [choice.peer, str(HERE / "lora_text_peer.py"), str(job)]
    command, given = ours if name == "choose" else theirs, environment(name, cores())
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["step_seconds"])


def _timed(job: dict[str, Any]) -> dict[str, float]:
    base = load_base(DEFAULT_LM, writes=True)
    with seeded(job["seed"], base.device):
        spec = AdapterSpec(job["rank"], job["targets"], job["dropout"])
        model = untrained_answers(base, spec, DEFAULT_LM)
    prompts = AnswerPrompts(model.template, Writing(instruction=job["instruction"]), 512, 1024)
    examples = [
        Example(id=str(i), text=text, target=target) for i, (text, target) in enumerate(job["rows"])
    ]
    plan = Schedule(1000, job["batch"], job["rate"], 0)
    run = AnswerRun(model, prompts.opening, prompts.rows(examples, 256), plan, job["seed"])
    ends = []
    with training_step([run]) as step:
        for _ in range(job["steps"] + 2):  # the first is the warm-up
            step([(run, run.next_batch())])
            run.apply_gradients()
            ends.append(perf_counter())
    return {"step_seconds": median(after - before for before, after in pairwise(ends[1:]))}


if __name__ == "__main__":
    sys.exit(main())

"""The side of choose in lora.py: time steps of some trials, or train them and measure accuracy.

python benchmarks/lora_choose.py JOB.json     prints a line of JSON
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from choose.models.lora.batching import tokenise
from choose.models.lora.classifier import AdaptedModel, ClassifierRun, untrained_model
from choose.models.lora.fit import train_together, training_step
from choose.models.lora.model import AdapterSpec, load_base, seeded
from choose.models.lora.training_run import Schedule


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Return seconds a step where the job names a number of steps, else accuracies."""
    runs = [_training_run(job, seed) for seed in job["seeds"]]
    if job["steps"]:
        return {"step_seconds": _timed(runs, job["steps"])}
    start = perf_counter()
    train_together(runs)
    seconds = perf_counter() - start
    accuracies = [_accuracy(run.model, job) for run in runs]
    return {"fit_seconds": seconds, "accuracy": accuracies}


def _training_run(job: dict[str, Any], seed: int) -> ClassifierRun:
    base = load_base(job["model"])
    rows = tokenise(base.tokenizer, job["texts"], job["max_tokens"]).ids
    spec = AdapterSpec(job["rank"], "attention", job["dropout"], job["upper"])
    with seeded(seed, base.device):
        model = untrained_model(base, spec, len(job["labels"]), job["model"])
    schedule = Schedule(job["plan_steps"], job["batch"], job["rate"], 0)
    return ClassifierRun(model, rows, job["targets"], schedule, seed)


def _timed(runs: list[ClassifierRun], steps: int) -> float:
    """Return the median seconds of a step of all trials together."""
    ends = []
    with training_step(runs) as step:
        for _ in range(steps + 2):  # the first is the warm-up
            step([(run, run.next_batch()) for run in runs])
            for run in runs:
                run.apply_gradients()
            ends.append(perf_counter())
    return median(after - before for before, after in pairwise(ends[1:]))


def _accuracy(model: AdaptedModel, job: dict[str, Any]) -> float:
    rows = tokenise(model.base.tokenizer, job["test_texts"], 128).ids
    predicted, targets = model.predict_logits(rows).argmax(1).tolist(), job["test_targets"]
    return sum(a == b for a, b in zip(predicted, targets, strict=True)) / len(targets)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

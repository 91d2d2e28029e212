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
from choose.models.lora.fit import train_several
from choose.models.lora.fused.engine import lane
from choose.models.lora.model import Shape, Tuned, fresh, load_base, own_randomness
from choose.models.lora.training import Course, Plan


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Return seconds a step where the job names a number of steps, else accuracies."""
    courses = [_course(job, seed) for seed in job["seeds"]]
    if job["steps"]:
        return {"step_seconds": _timed(courses, job["steps"])}
    start = perf_counter()
    train_several(courses)
    seconds = perf_counter() - start
    accuracies = [_accuracy(course.tuned, job) for course in courses]
    return {"fit_seconds": seconds, "accuracy": accuracies}


def _course(job: dict[str, Any], seed: int) -> Course:
    base = load_base(job["model"])
    rows = tokenise(base.tokenizer, job["texts"], job["max_tokens"]).ids
    shape = Shape(job["rank"], "attention", job["dropout"], job["upper"])
    with own_randomness(seed, base.device):
        tuned = fresh(base, shape, len(job["labels"]), job["model"])
    plan = Plan(job["plan_steps"], job["batch"], job["rate"], 0)
    return Course(tuned, rows, job["targets"], plan, seed)


def _timed(courses: list[Course], steps: int) -> float:
    """Return the median seconds of a step of all trials together."""
    ends = []
    with lane(courses) as step:
        for _ in range(steps + 2):  # the first is the warm-up
            step([(course, course.take()) for course in courses])
            for course in courses:
                course.move()
            ends.append(perf_counter())
    return median(after - before for before, after in pairwise(ends[1:]))


def _accuracy(tuned: Tuned, job: dict[str, Any]) -> float:
    rows = tokenise(tuned.base.tokenizer, job["test_texts"], 128).ids
    predicted, targets = tuned.ask(rows).argmax(1).tolist(), job["test_targets"]
    return sum(a == b for a, b in zip(predicted, targets, strict=True)) / len(targets)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

"""choose's side: time steps of one trial or of several, or fit seeds and answer the test rows.

Reads a JSON job (a file named on the command line) and prints JSON on its last line.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tuned.pool import Pool, pool


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Do what the job says."""
    known = pool(Path(job["data"]))
    courses = [_course(known, job, seed) for seed in job["seeds"]]
    if job["steps"]:
        return {"step_seconds": _timed(courses, job["steps"])}
    start = perf_counter()
    train_several(courses)
    seconds = perf_counter() - start
    return {"fit_seconds": seconds, "accuracy": [_right(course.tuned, known) for course in courses]}


def _course(known: Pool, job: dict[str, Any], seed: int) -> Course:
    base = load_base(job["model"])
    rows = tokenise(base.tokenizer, known.texts, job["max_tokens"]).ids
    shape = Shape(job["rank"], "attention", job["dropout"], job["upper"])
    with own_randomness(seed, base.device):
        tuned = fresh(base, shape, len(known.labels), job["model"])
    plan = Plan(job["plan_steps"], job["batch"], job["rate"], 0)
    return Course(tuned, rows, known.targets, plan, seed)


def _timed(courses: list[Course], steps: int) -> float:
    """Return the median seconds of a step, over all courses together."""
    ends = []
    with lane(courses) as step:
        for _ in range(steps + 2):  # the first is the warm-up
            step([(course, course.take()) for course in courses])
            for course in courses:
                course.move()
            ends.append(perf_counter())
    return median(after - before for before, after in pairwise(ends[1:]))


def _right(tuned: Tuned, known: Pool) -> float:
    rows = tokenise(tuned.base.tokenizer, known.asked, 128).ids
    found = tuned.ask(rows).argmax(1).tolist()
    return sum(a == b for a, b in zip(found, known.truth, strict=True)) / len(found)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))

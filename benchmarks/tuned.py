"""Candidates that choose their settings against given ones, and fine-tuning beyond one LoRA.

    python benchmarks/tuned.py DIR --part cheap       knn and probe against k = 5 and C = 10
    python benchmarks/tuned.py DIR --part fine-tuning setfit, full fine-tuning and lora
    python benchmarks/tuned.py DIR --part sets        the same and the probe, on sets of labels
    python benchmarks/tuned.py DIR --part prompting   tuned-prompt against prompt and few-shot

DIR holds labelled sets as folders with train.csv and test.csv. Every draw takes its own training
rows (eight rows a label, or a number of rows); the test rows of a set are the same for all draws.
Both sides of a difference learn from the same rows and answer the same. Differences are in points,
with 95 % intervals over rows and draws together, as those of a study; of one draw, over rows alone.
`--set NAME.KEY=VALUE` overrides a hyperparameter.

The defaults fit a CPU: each set and number of rows has `--cpu-minutes` (8) of processor time, and
draws that would overrun it are left out, which is said; with 0 there is no limit. Each fit prints
a line when it is done, so a run that is stopped has shown what it did.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import numpy as np

from choose.engines.environment_settings import cores
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.stats.paired import paired_difference
from choose.strategy import Prepares, build, hyperparameters
from choose.tasks.labels import Classification
from choose.tasks.multilabel import Multilabel, read_set, set_text
from choose.types import Example, Floats
from machine import machine

CHEAP = (("probe", "probe C=10"), ("knn", "knn k=5"))
GIVEN: Mapping[str, Mapping[str, Any]] = {"probe C=10": {"C": 10.0}, "knn k=5": {"k": 5}}
PROMPTS = (("tuned-prompt", "prompt"), ("tuned-prompt", "few-shot"))
A_LABEL = "8 a label"


@dataclass(frozen=True, slots=True)
class Draw:
    """Training and test rows of one draw."""

    task: Classification | Multilabel
    pool: list[Example]
    asked: list[Example]


def read(folder: Path) -> list[Example]:
    """Return the rows of a set's train.csv or train.jsonl, then those of its test file."""
    rows = []
    for part in ("train", "test"):
        if (file := folder / f"{part}.jsonl").exists():
            found = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            rows += [(part, row["text"], set_text(row["labels"])) for row in found]
            continue
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as stream:
            rows += [(part, row["text"], row["label"]) for row in csv.DictReader(stream)]
    return [
        Example(id=f"{part}{i}", text=t, target=label) for i, (part, t, label) in enumerate(rows)
    ]


def draw(
    rows: Sequence[Example], size: int | str, asked: int, seed: int, mixed: bool = False
) -> Draw:
    """Draw training rows from the first part and test rows from the second.

    Where the parts are `mixed`, both come from all rows, so that they are of one kind.
    """
    rng = Random(f"tuned-{seed}")
    train = [e for e in rows if e.id.startswith("train")]
    test = [e for e in rows if e.id.startswith("test")]
    if mixed:
        train = list(rows)
    rng.shuffle(train)
    if size == A_LABEL:
        by_label: dict[str, list[Example]] = defaultdict(list)
        for example in train:
            by_label[example.target].append(example)
        pool = [e for label in sorted(by_label) for e in by_label[label][:8]]
        rng.shuffle(pool)
    else:
        pool = train[: int(size)]
    task: Classification | Multilabel
    if rows[0].target.startswith("["):
        labels = tuple(sorted({label for e in rows for label in read_set(e.target)}))
        task = Multilabel(choices=labels, choice_names=labels)
    else:
        labels = tuple(sorted({e.target for e in rows}))
        task = Classification(labels=labels, names=labels)
    if mixed:
        learnt = {e.id for e in pool}
        test = [e for e in train if e.id not in learnt]
    # The same test rows for all draws, unless the parts are mixed.
    chosen = test[:asked] if mixed else Random("tuned").sample(test, min(asked, len(test)))
    return Draw(task, pool, chosen)


@dataclass(frozen=True, slots=True)
class Result:
    """Which test rows were right (of sets, their example-F1), and what the fit took and left.

    Attributes:
        seconds: processor-seconds of the fit.
    """

    right: Floats
    seconds: float
    strategy: Any


def answered(name: str, drawn: Draw, seed: int, params: Mapping[str, Any]) -> Result:
    """Fit and answer."""
    strategy: Any = build(name, seed=seed, **params)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    start = process_time()
    strategy.fit(drawn.task, drawn.pool)
    seconds = process_time() - start
    answers = strategy.predict([e.item() for e in drawn.asked])
    right = np.array(
        [
            drawn.task.score(output, e.targets)[drawn.task.metrics[0]]
            for output, e in zip(answers.outputs, drawn.asked, strict=True)
        ]
    )
    return Result(right.astype(np.float64), seconds, strategy)


def table(
    rows: Sequence[Example],
    size: int | str,
    names: Sequence[str],
    options: argparse.Namespace,
    params: Mapping[str, Mapping[str, Any]],
) -> dict[str, Floats]:
    """Print a line a candidate, and return (test rows, draws) of right answers of each."""
    right: dict[str, list[Floats]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for seed in within(options, options.seeds):
        drawn = draw(rows, size, options.test, seed)
        for name in names:
            result = answered(name.partition(" ")[0], drawn, seed, params.get(name, {}))
            right[name].append(result.right)
            seconds[name].append(result.seconds)
            shown = f"{100 * result.right.mean():6.1f}{result.seconds:10.2f} processor-s"
            print(f"    draw {seed}  {name:18}{shown}{_chosen(result)}", flush=True)
    for name in names:
        figures = np.stack(right[name], axis=1)
        low, high = figures.mean(axis=0).min(), figures.mean(axis=0).max()
        fit = np.mean(seconds[name])
        shown = f"{100 * figures.mean():6.1f}  ({100 * low:.1f} to {100 * high:.1f})"
        print(f"  {name:18}{shown:26}{fit:8.2f} processor-s a fit", flush=True)
    return {name: np.stack(right[name], axis=1) for name in names}


def _chosen(result: Result) -> str:
    """Return the first notes of a fit that chose its settings."""
    if not getattr(result.strategy, "on_request", False):
        return ""
    return "  " + " ".join(result.strategy.facts().get("notes", ())[:2])


def within(options: argparse.Namespace, most: int) -> Iterator[int]:
    """Yield the numbers of draws, as long as another one fits in the processor time."""
    begun, longest = process_time(), 0.0
    for number in range(most):
        start = process_time()
        if number and options.cpu_minutes and start - begun + longest > 60 * options.cpu_minutes:
            limit = f"{options.cpu_minutes:g} CPU-minutes"
            print(f"  {number} of {most} draws: another exceeds {limit}", flush=True)
            return
        yield number
        longest = max(longest, process_time() - start)


def difference(right: Mapping[str, Floats], a: str, b: str) -> None:
    """Print a minus b with its interval; draws are paired, test rows are the same for all."""
    found = paired_difference(right[a], right[b])
    value, low, high = (100 * end for end in (found.value, found.low, found.high))
    one = ", one draw" if right[a].shape[1] == 1 else ""
    print(f"  {a} - {b}: {value:+.1f} ({low:+.1f} to {high:+.1f}){one}", flush=True)


def cheap(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare baselines that choose a setting with the same at a given one."""
    in_pairs(CHEAP, options, {**params, **GIVEN})


def prompting(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the tuned prompts with the usual ones."""
    pairs = [pair for pair in PROMPTS if {*pair} <= {*options.candidates}]
    if not pairs:
        known = " or ".join(f"{a} with {b}" for a, b in PROMPTS)
        sys.exit(f"--candidates has no pair that is compared. Name {known}.")
    in_pairs(pairs, options, params)


def in_pairs(
    pairs: Sequence[tuple[str, str]],
    options: argparse.Namespace,
    params: Mapping[str, Mapping[str, Any]],
) -> None:
    """Compare the first of each pair with the second."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    for name in options.sets:
        rows = read(options.folder / name)
        for size in options.rows:
            print(f"{name}, {_rows(size)}")
            right = table(rows, size, names, options, params)
            for pair in pairs:
                difference(right, *pair)


def fine_tuning(options: argparse.Namespace, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the ways to fine-tune with one another and with the probe."""
    for name in options.sets:
        rows = read(options.folder / name)
        for size in options.rows:
            print(f"{name}, {_rows(size)}")
            right = table(rows, size, options.candidates, options, params)
            for other in options.candidates[1:]:
                difference(right, options.candidates[0], other)


def _rows(size: int | str) -> str:
    return size if isinstance(size, str) else f"{size} rows"


# By part: what it runs, its sets, pools and candidates.
PARTS: Mapping[str, tuple[Any, tuple[str, ...], tuple[int | str, ...], tuple[str, ...]]] = {
    "cheap": (cheap, ("trec6", "fin_phrasebank", "tweet_emotion"), (A_LABEL, 400), ()),
    "prompting": (
        prompting,
        ("trec6",),
        (200,),
        ("tuned-prompt", "prompt"),
    ),
    "fine-tuning": (fine_tuning, ("trec6",), (A_LABEL, 500), ("setfit", "lora")),
    "sets": (
        fine_tuning,
        ("nlupp_banking",),
        (100, 500),
        ("setfit", "full-fine-tuning", "lora", "probe"),
    ),
}


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=list(PARTS), required=True)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--rows", nargs="+", help="'label' for eight rows a label, or numbers")
    parser.add_argument("--candidates", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=150)
    parser.add_argument("--cpu-minutes", type=float, default=8)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    run, sets, sizes, candidates = PARTS[options.part]
    options.sets, options.candidates = options.sets or sets, options.candidates or candidates
    given = [A_LABEL if r == "label" else int(r) for r in options.rows or ()]
    options.rows = given or sizes
    params: dict[str, dict[str, Any]] = defaultdict(dict)
    if options.part == "sets":
        for name in options.candidates:
            if "base" in hyperparameters(name):
                params[name]["base"] = DEFAULT_ENCODER
    for text in options.set:
        key, value = text.split("=", 1)
        name, setting = key.split(".", 1)
        params[name][setting] = ast.literal_eval(value)
    print(f"{options.part}; {machine(cores())}")
    begun = process_time()
    run(options, params)
    print(f"{process_time() - begun:.0f} processor-seconds")


if __name__ == "__main__":
    main()

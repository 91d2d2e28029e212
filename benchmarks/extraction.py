"""How well candidates read fields out of texts: a labelled set of records, several seeds.

    python benchmarks/extraction.py FOLDER [--field NAME] [--rows 300] [--test 200] [--seeds 3]
        [--candidates tagger lora ...] [--set lora.epochs=5 ...]

FOLDER has a train.jsonl and a test.jsonl with `text` and `target`. Each seed draws its own rows of
each. Printed for each candidate are means over the seeds, and the range of the field-F1: field-F1
(an item's), micro-F1 (over all values), whole records right, answers in valid JSON, field-F1 once
values are dropped that do not occur in the text, and the seconds of a fit and of its answers.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from choose.engines.environment_settings import cores
from choose.schema.study_sections import TaskSection
from choose.strategy import Prepares, build, kind_settings
from choose.tasks.extraction import Extraction, as_text, extraction_from
from choose.types import Example
from machine import machine

COLUMNS = ("field-F1", "micro-F1", "exact", "valid", "stands", "fit s", "answer s")


def main() -> None:
    """Print a line a candidate."""
    choice = _options()
    settings: dict[str, dict[str, Any]] = {}
    for text in choice.set:
        name, value = text.split("=", 1)
        candidate, setting = name.split(".", 1)
        settings.setdefault(candidate, {})[setting] = _value(value)
    print(machine(cores()))
    print(
        f"{choice.folder.name}: {choice.rows} rows to learn from, {choice.test} to answer, "
        f"{choice.seeds} seeds; {' '.join(choice.set)}"
    )
    print(f"{'':12}{''.join(f'{name:>10}' for name in COLUMNS)}  range of field-F1")
    for name in choice.candidates:
        figures = []
        for seed in range(choice.seeds):
            figures.append(_figures(name, settings.get(name, {}), choice, seed))
            print(f"{name} {seed}: {figures[-1]}", file=sys.stderr, flush=True)
        means = [fmean(one[column] for one in figures) for column in COLUMNS]
        shown = "".join(
            f"{x:10.1f}" if column.endswith(" s") else f"{x:10.3f}"
            for column, x in zip(COLUMNS, means, strict=True)
        )
        scores = [one["field-F1"] for one in figures]
        print(f"{name:12}{shown}  {min(scores):.3f} to {max(scores):.3f}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--field", action="append", default=[])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--candidates",
        nargs="+",
        default=[
            "empty",
            "gazetteer",
            "pattern",
            "nearest",
            "tagger",
            "prompt",
            "few-shot",
            "retrieval",
            "lora",
        ],
    )
    parser.add_argument("--set", nargs="*", default=[], help="CANDIDATE.SETTING=VALUE")
    return parser.parse_args()


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _rows(choice: argparse.Namespace, name: str, count: int, seed: int) -> list[Example]:
    lines = (choice.folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    some = random.Random(seed).sample([json.loads(line) for line in lines], count)
    return [
        Example(
            id=str(row["id"]),
            text=row["text"],
            target=as_text(row["target"]),
            fields={field: str(row[field]) for field in choice.field},
        )
        for row in some
    ]


def _figures(
    name: str, settings: dict[str, Any], choice: argparse.Namespace, seed: int
) -> dict[str, float]:
    pool = _rows(choice, "train", choice.rows, seed)
    test = _rows(choice, "test", choice.test, seed)
    task = extraction_from(pool, test, TaskSection())
    usual = kind_settings(name, task.kind)
    strategy = build(name, seed=seed, **{**usual, **settings})
    if isinstance(strategy, Prepares):
        strategy.prepare()
    start = perf_counter()
    strategy.fit(task, pool)
    fitted = perf_counter()
    answers = strategy.predict([example.item() for example in test])
    ended = perf_counter()
    outputs = list(answers.outputs)
    standing = [_standing(task, output, row) for output, row in zip(outputs, test, strict=True)]
    return {
        **_scores(task, outputs, test),
        "valid": fmean(status == "ok" for status in answers.status),
        "stands": _scores(task, standing, test)["field-F1"],
        "fit s": fitted - start,
        "answer s": ended - fitted,
    }


def _standing(task: Extraction, output: str | None, row: Example) -> str | None:
    if output is None:
        return None
    values = task.values(output, row.item())
    return task.without(output, {key for key, (_, stands) in values.items() if not stands})


def _scores(
    task: Extraction, outputs: Sequence[str | None], rows: Sequence[Example]
) -> dict[str, float]:
    scores = [task.score(o, row.targets) for o, row in zip(outputs, rows, strict=True)]
    right = answered = expected = 0
    for output, row in zip(outputs, rows, strict=True):
        for some in task.counts(output, row.target).values():
            right, answered, expected = right + some[0], answered + some[1], expected + some[2]
    return {
        "field-F1": fmean(score["field-f1"] for score in scores),
        "micro-F1": 2 * right / max(1, answered + expected),
        "exact": fmean(score["exact-record"] for score in scores),
    }


if __name__ == "__main__":
    main()

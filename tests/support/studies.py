"""Small studies for tests: real strategies on rows that anything can learn."""

import io
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

import choose
from choose.api.compare import run_study
from choose.api.plan import plan_trials, resolve
from choose.conformance import TASK as TOY
from choose.conformance import pool
from choose.data.dataset import dataset_from, read_rows
from choose.data.scenarios import Pools
from choose.data.splits import build_dataset
from choose.export.exported_model import Model
from choose.judge.evidence import CandidateInfo
from choose.schema.plan import Job
from choose.schema.study_sections import DataSection, TaskSection
from choose.strategy import build
from choose.study.config import CandidateSection, Grid, Study
from choose.tasks.multilabel import Multilabel, set_text
from choose.types import Dataset, Example, Item, Trial

# A study file with rows held out and first passes alone; [grid] is open at its end.
HELD_OUT = """
[data]
path = "words.csv"
test = "held_out.csv"
[grid]
seeds = 1
noise = [0.0]
views = []
wordings = false
scenarios = []
"""

# A candidate behind an endpoint of its name, in a study file.
SERVED = """
[endpoints.{name}]
base_url = "{url}"
model = "{name}"
usd_per_million_in = {price}
usd_per_million_out = {price}
[[candidates]]
strategy = "{strategy}"
name = "{name}"
model = "endpoint:{name}"
params = {{ {params} }}
"""

# One pass over the rows and nothing else.
ONCE: dict[str, Any] = {"seeds": 1, "noise": [0.0], "views": [], "scenarios": [], "wordings": False}


def planned(name: str, strategy: str, **params: Any) -> dict[str, Any]:
    info = CandidateInfo(name=name, strategy=strategy, family="baseline")
    return {"params": params, **asdict(info)}


def dataset(rows: int = 60) -> Dataset:
    return build_dataset("words", pool(seed=3, rows=rows))


def fit_strategy(name, rows=None, task=TOY, *, seed=0, **params):
    """Return a strategy that is fitted to rows: to those of the toy task, if none are given."""
    strategy = build(name, seed=seed, **params)
    strategy.fit(task, pool() if rows is None else rows)
    return strategy


def study(*strategies: str, **grid: object) -> Study:
    return Study(
        candidates=tuple(CandidateSection(strategy=s) for s in strategies or ("tfidf",)),
        grid=Grid.model_validate({"seeds": 2, "noise": (0.0,), **grid}),
    )


def jobs_of(study: Study, data: Dataset) -> list[Job]:
    return plan_trials(study, Pools(data)).jobs


def compare(data=None, *, study_file=None, overrides=None, strategies=(), **settings):
    """Resolve and run a study as the command line does; `settings` go to `run_study`."""
    return run_study(resolve(data, study_file, overrides, strategies), **settings)


def compare_once(data, store, *strategies, **settings):
    """Run a study without repetitions and noise from Python."""
    usual = {"seeds": 1, "noise": [0.0], "progress": False}
    return choose.compare(data, out=store, strategies=strategies, **usual | settings)


def load(path: str | Path, task: dict[str, Any] | None = None, **data: Any) -> Dataset:
    """Read and divide a file; `task` and `data` are keys of the study file."""
    return load_dataset(DataSection(path=str(path), **data), TaskSection(**(task or {})))


def load_dataset(section: DataSection, task: TaskSection, metric: str = "accuracy") -> Dataset:
    return dataset_from(read_rows(section, kind=task.kind), section, task, metric)


def write_lines(path: str | Path, rows: Iterable[object]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def write_csv(path: Path, rows: Sequence[tuple[str, str]] | None = None) -> Path:
    rows = rows or [(e.text, e.target) for e in pool(seed=3, rows=60)]
    lines = ["text,label", *(f'"{text}",{label}' for text, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def special(path: Path, kind: str) -> None:
    """Put a pipe, a device or a folder in the place of a file."""
    path.unlink()
    {"pipe": os.mkfifo, "folder": Path.mkdir}.get(kind, lambda at: at.symlink_to("/dev/zero"))(path)


def sample_table(name: str) -> pl.DataFrame:
    """Return a table of the sample tickets; the labels of `truth.csv` are right."""
    file = files("choose.data") / "samples" / "tickets" / name
    return pl.read_csv(file.read_bytes(), infer_schema=False)


def json_lines(model: Model, *texts: str) -> list[dict[str, Any]]:
    lines, items = io.StringIO(), [Item(id=str(n), text=text) for n, text in enumerate(texts, 1)]
    model.write(lines, model.stream(items), with_text=False, as_json=True)
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def plain_trial(candidate: str, draw: int = 0, **facts: Any) -> Trial:
    """Return a trial of a candidate that is its own strategy; the draw is its seed."""
    usual = {"strategy": candidate, "revision": 1, "train_size": 50, "seed": draw, "task": ""}
    return Trial(candidate=candidate, draw=draw, **{**usual, **facts})


SAYS = {
    "card": ("my card", "the debit card", "a new card"),
    "lost": ("is lost", "has gone missing", "was stolen"),
    "pin": ("the pin", "my code", "a pin number"),
    "refund": ("give me my money back", "I want a refund", "pay it back"),
    "thanks": ("thank you", "thanks a lot", "cheers"),
}
LABELS = tuple(sorted(SAYS))
TASK = Multilabel(choices=LABELS, choice_names=LABELS)


def label_rows(count: int = 120, seed: int = 0) -> list[Example]:
    """Return texts that say up to three things, each with its label; some say nothing of these."""
    rng, found = random.Random(f"label sets {seed}"), []
    for number in range(count):
        own = rng.sample(LABELS, rng.choice((0, 1, 1, 2, 2, 3)))
        said = [rng.choice(SAYS[label]) for label in own] or ["good morning to you"]
        text = f"{', '.join(said)} (case {number * 7919})"
        found.append(Example(id=f"m{number:03}", text=text, target=set_text(own)))
    return found


def label_file(path: Path, rows: list[Example]) -> str:
    lines = ({"id": e.id, "text": e.text, "labels": json.loads(e.target)} for e in rows)
    return write_lines(path, lines)


STRATEGIES = ("tfidf", "probe", "knn", "prompt", "few-shot", "retrieval", "lora")


def small_study(folder: Path, *strategies: str) -> Path:
    """Run a study of 60 rows in five folds and return its store; the rows are ``words.csv``."""
    from support import tiny_models as tiny

    data = write_csv(folder / "words.csv")
    lm, encoder = tiny.causal_lm(folder / "lm"), tiny.encoder(folder / "encoder")
    # Answers after a third of LoRA's usual steps are stored, exported and made again as any are.
    candidates = [
        {"strategy": name, "params": {"epochs": 8.0} if name == "lora" else {}}
        for name in strategies or STRATEGIES
    ]
    outcome = compare(
        data,
        study_file={"candidates": candidates},
        overrides={
            "models": {"model": str(lm), "tune": str(lm), "encoder": str(encoder)},
            "grid": ONCE,
        },
        out=folder / "st",
    )
    return outcome.store


def shared_study(places: pytest.TempPathFactory) -> Path:
    """Return the study of every kind of strategy; whoever needs it first runs it for all workers.

    It takes many seconds. Tests must leave it as it is.
    """
    own = places.getbasetemp()
    root = own.parent if own.name.startswith("popen-") else own
    with FileLock(root / "shared_study.lock"):
        folder = root / "shared_study"
        if not (folder / "st" / "decision.json").exists():
            folder.mkdir()
            small_study(folder)
    return folder / "st"

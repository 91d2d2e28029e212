"""Answers and labelled rows as Parquet tables that any tool can query, and checks of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from choose.errors import StoreError
from choose.files import read_text
from choose.tasks.kinds import read_task
from choose.types import Answers, Dataset, Example, Fold, Run, Status

_COLUMNS = ("id", "text", "target", "fold", "group", "timestamp", "annotator", "cluster")

# polars panics on some damaged files; a panic is no Exception.
UNREADABLE = (Exception, pl.exceptions.PanicException)

_COUNTS = ("tokens_in", "tokens_cached", "tokens_out")


def answers_table(answers: Answers, ids: Sequence[str]) -> pl.DataFrame:
    """Return a table with one row for each item; columns that were not measured are absent."""
    columns: dict[str, Any] = {
        "id": pl.Series(list(ids), dtype=pl.String),
        "output": pl.Series(list(answers.outputs), dtype=pl.String),
        "status": pl.Series(list(answers.status), dtype=pl.String),
    }
    if answers.scores is not None:
        columns["scores"] = pl.Series(answers.scores.tolist(), dtype=pl.List(pl.Float64))
    if answers.evidence is not None:
        rows = [list(row) for row in answers.evidence]
        columns["evidence"] = pl.Series(rows, dtype=pl.List(pl.String))
    for name in _COUNTS:
        if (counts := getattr(answers, name)) is not None:
            columns[name] = pl.Series(counts.tolist(), dtype=pl.Int64)
    if answers.latency is not None:
        columns["latency"] = pl.Series(answers.latency.tolist(), dtype=pl.Float64)
    return pl.DataFrame(columns)


def answers_from(table: pl.DataFrame) -> tuple[Answers, tuple[str, ...]]:
    """Return the answers and row ids of a table that `answers_table` wrote."""
    facts: dict[str, Any] = {}
    if "scores" in table.columns:
        rows = table["scores"].to_list()
        facts["scores"] = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    if "evidence" in table.columns:
        facts["evidence"] = tuple(tuple(row) for row in table["evidence"].to_list())
    for name in (*_COUNTS, "latency"):
        if name in table.columns:
            facts[name] = table[name].to_numpy()
    answers = Answers(outputs=tuple(table["output"]), status=tuple(table["status"]), **facts)
    return answers, tuple(table["id"])


def check_answers(answers: Answers, ids: Sequence[str], dataset: Dataset) -> None:
    """Check stored answers against the rows and the labels of a study.

    Raises:
        ValueError: if row ids are missing, repeated or unknown, or an answer is not a label.
    """
    if not ids:
        raise ValueError("it holds no rows")
    if len(set(ids)) < len(ids) or not all(id in dataset.examples for id in ids):
        raise ValueError("it holds rows of another study")
    if any(
        dataset.task.problem_with(output) for output in {*answers.outputs} if output is not None
    ):
        raise ValueError("it holds answers of another study")
    if not {*answers.status} <= set(get_args(Status)):
        raise ValueError("it holds an unknown status")
    width = len(dataset.task.labels)
    if answers.scores is not None and answers.scores.shape != (len(ids), width):
        raise ValueError(f"its scores are not of {width} labels")


def check_study(study: Mapping[str, Any]) -> None:
    """Raise ValueError if a stored study lacks its goal or grid, or its goal has a wrong type."""
    for section in ("goal", "grid"):
        if not isinstance(study.get(section), dict):
            raise ValueError(f"it lacks [{section}]")
    for key in ("margin", "target"):
        if not isinstance(study["goal"].get(key, 0), int | float):
            raise ValueError(f"goal.{key} is not a number")
    if not isinstance(study["goal"].get("metric", ""), str):
        raise ValueError("goal.metric is not a text")


RUN_FACTS = (
    "fit_seconds",
    "predict_seconds",
    "seconds_alone",
    "seconds_spent",
    "group_size",
    "versions",
    "threads",
    "dtype",
    "artefact_mb",
    "base_mb",
    "notes",
    "unasked",
    "error",
)


def run_facts(run: Run) -> dict[str, Any]:
    """Return the content of a run's `trial.json`."""
    facts = {name: getattr(run, name) for name in RUN_FACTS}
    return {"trial": asdict(run.trial), "views": [list(view) for view in run.answers], **facts}


def check_facts(run: Run) -> None:
    """Raise ValueError if the stored facts of a run are of the wrong kind."""
    seconds = (run.fit_seconds, run.predict_seconds, run.seconds_alone, run.seconds_spent)
    numbers = (*seconds, run.artefact_mb, run.base_mb, run.threads, run.unasked, run.group_size)
    if not all(isinstance(n, int | float | None) for n in numbers):
        raise ValueError("a number is of another type")
    texts = (run.error, run.dtype)
    if not all(isinstance(t, str | None) for t in texts) or not isinstance(run.versions, dict):
        raise ValueError("a text is of another type")
    if run.error is None and ("clean", 0) not in run.answers:
        raise ValueError("it names no answers")


def dataset_tables(dataset: Dataset) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the rows (``fold`` is null for rows that are only used for training) and the facts."""
    fold_of = {id: f for f, fold in enumerate(dataset.folds) for id in fold.questions}
    rows = list(dataset.examples.values())
    table = pl.DataFrame(
        {
            "id": [e.id for e in rows],
            "text": [e.text for e in rows],
            "target": [e.target for e in rows],
            "fold": [fold_of.get(e.id) for e in rows],
            "group": [e.group for e in rows],
            "timestamp": [e.timestamp.isoformat() if e.timestamp else None for e in rows],
            "annotator": [e.annotator for e in rows],
            "cluster": [dataset.clusters.get(e.id) for e in rows],
        },
        schema={column: pl.Int64 if column == "fold" else pl.String for column in _COLUMNS},
    )
    task = dataset.task
    facts = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "division": dataset.division,
        "findings": list(dataset.findings),
        "task": {"kind": task.kind, **task.facts()},
        # The order of a pool decides its prefixes, so it is stored with the division.
        "folds": [{"pool": list(f.pool), "questions": list(f.questions)} for f in dataset.folds],
        "difficulty": dict(dataset.difficulty),
    }
    return table, facts


def dataset_from(table: pl.DataFrame, facts: Mapping[str, Any]) -> Dataset:
    """Return the dataset that `dataset_tables` wrote; texts that were left out are empty.

    Raises:
        ValueError: if the facts name rows or labels that the table or the task lacks.
    """
    examples = {
        row["id"]: Example(
            id=row["id"],
            text=row["text"] or "",
            target=row["target"],
            group=row["group"],
            timestamp=datetime.fromisoformat(row["timestamp"]) if row["timestamp"] else None,
            annotator=row["annotator"],
        )
        for row in table.iter_rows(named=True)
    }
    task = read_task(facts["task"])
    named = {id for fold in facts["folds"] for part in fold.values() for id in part}
    if not facts["folds"] or not named <= examples.keys():
        raise ValueError("its folds name rows that data.parquet lacks")
    if any(task.problem_with(target) for target in {e.target for e in examples.values()}):
        raise ValueError("data.parquet holds other answers than those of its task")
    return Dataset(
        name=facts["name"],
        task=task,
        examples=examples,
        folds=_folds(facts),
        division=facts["division"],
        clusters={r["id"]: r["cluster"] for r in table.iter_rows(named=True) if r["cluster"]},
        difficulty=_difficulty(facts),
        findings=tuple(facts["findings"]),
    )


def divided_as(file: Path, dataset: Dataset) -> Dataset | None:
    """Divide rows as the study of a data.json does; None where that holds other rows.

    Its table is not read, so that a damaged one is written anew with the same folds.
    """
    try:
        facts = json.loads(read_text(file))
        known, division = str(facts["fingerprint"]), facts["division"]
        found = replace(dataset, folds=_folds(facts), difficulty=_difficulty(facts))
    except UNREADABLE:
        return None
    if (division, len(found.folds)) != (dataset.division, len(dataset.folds)):
        return None
    same = {*found.asked} == {*dataset.asked} and found.fingerprint == known
    return found if same else None


def _folds(facts: Mapping[str, Any]) -> tuple[Fold, ...]:
    return tuple(
        Fold(pool=tuple(f["pool"]), questions=tuple(f["questions"])) for f in facts["folds"]
    )


def _difficulty(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the stored difficulties by id; none in a store of an earlier version."""
    return {str(id): float(value) for id, value in facts.get("difficulty", {}).items()}


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn any error of a damaged file of a store into one line.

    Raises:
        StoreError: if reading or interpreting `file` fails.
    """
    try:
        yield
    except StoreError:
        raise
    except UNREADABLE as error:
        if file.is_dir():
            raise StoreError(
                f"{str(file)!r} is a folder. Move it away; then run choose compare again with the "
                "same data and --out: it writes this file anew."
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise StoreError(
            f"Cannot read {str(file)!r}: {reason}. Run choose compare again with the same data "
            "and --out: it writes this file anew and repeats no finished trial."
        ) from error


def damage_sentences(damage: Mapping[str, str]) -> Iterator[str]:
    """Name the damaged files (file -> reason), at most five."""
    for file, reason in list(damage.items())[:5]:
        yield f"{file} cannot be read ({reason}); the same command with --out repeats its trial"
    if len(damage) > 5:
        yield f"{len(damage) - 5} more files cannot be read"

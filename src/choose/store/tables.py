"""Answers and labelled rows as Parquet tables that any tool can query, and checks of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from choose.corpus import Corpus, Document, Span
from choose.errors import StoreError
from choose.schema.plan import LeftOut
from choose.tasks.kinds import read_task
from choose.types import Dataset, Example, Fold

# The documents of a task, beside its rows.
DOCUMENTS = "documents.parquet"

_COLUMNS = ("id", "text", "target", "fold", "group", "timestamp", "cluster")

# polars panics on some damaged files; a panic is no Exception.
UNREADABLE = (Exception, pl.exceptions.PanicException)


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
            "cluster": [dataset.clusters.get(e.id) for e in rows],
        },
        schema={column: pl.Int64 if column == "fold" else pl.String for column in _COLUMNS},
    )
    if any(e.fields or e.accepted for e in rows):
        table = table.with_columns(
            pl.Series("fields", [_json(dict(e.fields)) for e in rows], dtype=pl.String),
            pl.Series("accepted", [_json(e.accepted) for e in rows], dtype=pl.String),
        )
    if any(e.source for e in rows):
        table = table.with_columns(pl.Series("source", [e.source for e in rows], dtype=pl.String))
    if any(e.evidence for e in rows):
        spans = [_json([list(span) for span in e.evidence]) for e in rows]
        table = table.with_columns(pl.Series("evidence", spans, dtype=pl.String))
    task = dataset.task
    facts = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "division": dataset.division,
        "findings": list(dataset.findings),
        "leaked": dataset.leaked,
        "task": {"kind": task.kind, **task.facts()},
        # The order of a pool decides its prefixes, so it is stored with the division.
        "folds": [{"pool": list(f.pool), "questions": list(f.questions)} for f in dataset.folds],
        "difficulty": dict(dataset.difficulty),
    }
    return table, facts


def _json(value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


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
            fields=json.loads(fields) if (fields := row.get("fields")) else {},
            accepted=tuple(json.loads(more)) if (more := row.get("accepted")) else (),
            evidence=tuple(Span(*one) for one in json.loads(row.get("evidence") or "[]")),
            group=row["group"],
            source=row.get("source"),
            timestamp=datetime.fromisoformat(row["timestamp"]) if row["timestamp"] else None,
        )
        for row in table.iter_rows(named=True)
    }
    task = read_task(facts["task"])
    named = {id for fold in facts["folds"] for part in fold.values() for id in part}
    if not facts["folds"] or not named <= examples.keys():
        raise ValueError("its folds name rows that data.parquet lacks")
    if any(map(task.problem_with, {target for e in examples.values() for target in e.targets})):
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
        leaked=int(facts["leaked"]),
    )


def documents_table(corpus: Corpus) -> pl.DataFrame:
    """Return the documents as rows, in their order."""
    rows = corpus.documents
    return pl.DataFrame(
        {
            "id": [d.id for d in rows],
            "title": [d.title for d in rows],
            "text": [d.text for d in rows],
            "timestamp": [d.timestamp.isoformat() if d.timestamp else None for d in rows],
            "url": [d.url for d in rows],
        },
        schema=dict.fromkeys(("id", "title", "text", "timestamp", "url"), pl.String),
    )


def corpus_from(table: pl.DataFrame, digest: str) -> Corpus:
    """Return the documents that `documents_table` wrote.

    Raises:
        ValueError: if they are not those of this digest.
    """
    corpus = Corpus(
        tuple(
            Document(
                id=row["id"],
                title=row["title"],
                text=row["text"],
                timestamp=datetime.fromisoformat(row["timestamp"]) if row["timestamp"] else None,
                url=row["url"],
            )
            for row in table.iter_rows(named=True)
        )
    )
    if corpus.digest != digest:
        raise ValueError("it holds other documents than those of this study")
    return corpus


def _folds(facts: Mapping[str, Any]) -> tuple[Fold, ...]:
    return tuple(
        Fold(pool=tuple(f["pool"]), questions=tuple(f["questions"])) for f in facts["folds"]
    )


def _difficulty(facts: Mapping[str, Any]) -> dict[str, float]:
    return {str(id): float(value) for id, value in facts["difficulty"].items()}


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
        reason = "it is missing" if isinstance(error, FileNotFoundError) else reason
        raise StoreError(
            f"Cannot read {str(file)!r}: {reason}. Run choose compare again with the same data "
            "and --out: it writes this file anew and repeats no finished trial."
        ) from error


def damaged_files(damage: Mapping[str, str]) -> Iterator[LeftOut]:
    """Name the damaged files (file -> reason), at most five."""
    for file, reason in list(damage.items())[:5]:
        repair = "writes it anew" if file == DOCUMENTS else "repeats its trial"
        yield LeftOut(
            text=f"{file} cannot be read ({reason}); the same command with --out {repair}"
        )
    if len(damage) > 5:
        yield LeftOut(text=f"{len(damage) - 5} more files cannot be read")

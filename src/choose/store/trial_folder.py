"""The files of one trial: its facts, and the answers and scores of each view as Parquet tables.

Scores are computed from the answers anew where they are missing or their scoring has changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from choose.corpus import CONDITIONS, is_drill
from choose.errors import StoreError
from choose.files import check_regular, read_text, write_json, write_table
from choose.store.tables import UNREADABLE
from choose.tasks.scoring import scored, scoring_digest
from choose.types import Answers, Dataset, Floats, Run, Status, Trial

_PASSAGES = ("evidence", "dropped", "further")
_COUNTS = ("tokens_in", "tokens_cached", "tokens_out")
_MEASURES = ("confidence", "latency")

# What ends the name of a file with the scores of a view.
SCORES = ".scores.parquet"

# The column that names the rule and the targets with which the scores were computed.
SCORING = "scoring"


def write_run(folder: Path, run: Run, dataset: Dataset | None, traceback: str | None) -> None:
    """Write a run; `trial.json` comes last, so that its presence means that all is there.

    Raises:
        StoreError: if the folder cannot be written.
    """
    for (view, repeat), answers in run.answers.items():
        table = answers_table(answers, run.asked[view, repeat])
        write_table(folder / f"{view}-{repeat}.parquet", table)
    if dataset is not None:
        write_scores(folder, run, dataset)
    write_json(folder / "trial.json", {**run_facts(run), "traceback": traceback})


def read_run(
    folder: Path,
    trial: Trial,
    dataset: Dataset | None,
    note: Callable[[Path, BaseException], None],
) -> Run | None:
    """Return a run without its scores; None, with a note on the file, where one is damaged."""
    file = folder / "trial.json"
    answers, ids = {}, {}
    try:
        facts = json.loads(read_text(file))
        known = {name: facts[name] for name in RUN_FACTS if name in facts}
        for view, repeat in facts["views"]:
            file = folder / f"{view}-{repeat}.parquet"
            check_regular(file)
            table = pl.read_parquet(file, glob=False)
            answers[view, repeat], ids[view, repeat] = answers_from(table)
            if dataset is not None:
                check_answers(answers[view, repeat], ids[view, repeat], dataset, view)
        file = folder / "trial.json"
        known |= {"notes": tuple(facts["notes"])}
        run = Run(trial=trial, answers=answers, asked=ids, **known)
        check_facts(run)
    except UNREADABLE as error:
        note(file, error)
        return None
    return run


def write_scores(folder: Path, run: Run, dataset: Dataset) -> None:
    """Write the scores of a run, a file for each view and repeat, into the folder of its trial.

    Raises:
        StoreError: if the folder cannot be written.
    """
    for (view, repeat), scores in run.scores.items():
        columns = {name: pl.Series(v.tolist(), dtype=pl.Float64) for name, v in scores.items()}
        scoring = pl.lit(scoring_digest(dataset, run.asked[view, repeat])).alias(SCORING)
        table = pl.DataFrame(columns).with_columns(scoring)
        write_table(folder / f"{view}-{repeat}{SCORES}", table)


def with_scores(folder: Path, run: Run, dataset: Dataset) -> Run:
    """Return a run with its stored scores, and its answers scored where these are missing.

    Scores by another rule or against other targets count as missing. Labels need no scores.

    Raises:
        StudyError: if a metric fails.
    """
    if dataset.task.labels:
        return run
    known = {
        (view, repeat): found
        for (view, repeat), ids in run.asked.items()
        if (found := _read(folder / f"{view}-{repeat}{SCORES}", dataset, ids)) is not None
    }
    complete = scored(replace(run, scores=known), dataset)
    if complete.scores.keys() != known.keys():
        with suppress(StoreError):  # a store that can only be read
            write_scores(folder, complete, dataset)
    return complete


def _read(file: Path, dataset: Dataset, ids: tuple[str, ...]) -> dict[str, Floats] | None:
    try:
        check_regular(file)
        table = pl.read_parquet(file, glob=False)
        if len(table) != len(ids) or not {*table[SCORING]} <= {scoring_digest(dataset, ids)}:
            return None
        scores = {name: table[name].to_numpy() for name in table.columns if name != SCORING}
        return scores if all(((v >= 0) & (v <= 1)).all() for v in scores.values()) else None
    except UNREADABLE:
        return None


def answers_table(answers: Answers, ids: Sequence[str]) -> pl.DataFrame:
    """Return a table with one row for each item; columns that were not measured are absent."""
    columns: dict[str, Any] = {
        "id": pl.Series(list(ids), dtype=pl.String),
        "output": pl.Series(list(answers.outputs), dtype=pl.String),
        "status": pl.Series(list(answers.status), dtype=pl.String),
    }
    if answers.raw is not None:
        columns["raw"] = pl.Series(list(answers.raw), dtype=pl.String)
    if answers.scores is not None:
        columns["scores"] = pl.Series(answers.scores.tolist(), dtype=pl.List(pl.Float64))
    for name in _PASSAGES:
        if (shown := getattr(answers, name)) is not None:
            columns[name] = pl.Series([list(row) for row in shown], dtype=pl.List(pl.String))
    for name in _COUNTS:
        if (counts := getattr(answers, name)) is not None:
            columns[name] = pl.Series(counts.tolist(), dtype=pl.Int64)
    for name in _MEASURES:
        if (values := getattr(answers, name)) is not None:
            columns[name] = pl.Series(values.tolist(), dtype=pl.Float64)
    return pl.DataFrame(columns)


def answers_from(table: pl.DataFrame) -> tuple[Answers, tuple[str, ...]]:
    """Return the answers and row ids of a table that `answers_table` wrote."""
    facts: dict[str, Any] = {}
    if "scores" in table.columns:
        rows = table["scores"].to_list()
        facts["scores"] = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    for name in _PASSAGES:
        if name in table.columns:
            facts[name] = tuple(tuple(row) for row in table[name].to_list())
    if "raw" in table.columns:
        facts["raw"] = tuple(table["raw"])
    for name in (*_COUNTS, *_MEASURES):
        if name in table.columns:
            facts[name] = table[name].to_numpy()
    answers = Answers(outputs=tuple(table["output"]), status=tuple(table["status"]), **facts)
    return answers, tuple(table["id"])


def check_answers(answers: Answers, ids: Sequence[str], dataset: Dataset, view: str) -> None:
    """Check stored answers against the rows and the labels of a study.

    Raises:
        ValueError: if row ids are missing, repeated or unknown, or an answer is not a label.
    """
    # A fold may hold none of the rows with evidence, or of those whose documents changed.
    if not ids and view not in CONDITIONS and not is_drill(view):
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
    "reread_seconds",
    "notes",
    "shortened",
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
    numbers = (
        *seconds,
        *run.shortened.values(),
        run.reread_seconds,
        run.artefact_mb,
        run.base_mb,
        run.threads,
        run.unasked,
        run.group_size,
    )
    if not all(isinstance(n, int | float | None) for n in numbers):
        raise ValueError("a number is of another type")
    texts, tables = (run.error, run.dtype), (run.versions, run.shortened)
    if not all(isinstance(t, str | None) for t in texts) or not all(
        isinstance(table, dict) for table in tables
    ):
        raise ValueError("a text is of another type")
    if run.error is None and ("clean", 0) not in run.answers:
        raise ValueError("it names no answers")

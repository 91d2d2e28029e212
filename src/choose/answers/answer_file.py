"""Files of answers: tables, and what evaluation tools and batch services write, as one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from choose.data.readers.delimited import ROW
from choose.data.readers.json_and_parquet import series_of
from choose.errors import DataError
from choose.formatting import plural
from choose.tasks.values import scalar_text
from choose.untrusted import finite

# Figures of an answer that a tool may have measured.
FIGURES = ("seconds", "tokens_in", "tokens_out", "usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer in the file of a tool.

    Attributes:
        row: id of the question.
        candidate: who answered; `draw` counts repeated answers to one question.
        answer: as the model wrote it; None where it gave none.
        text: the question.
        failed: whether the request failed, so that the question was not asked.
        gold: the right answer; None where the file has none.
        score: of this answer by the tool, from 0 to 1; None where it gave none.
        seconds: that the answer took; so tokens and dollars, None where not measured.
    """

    row: str
    candidate: str
    answer: str | None
    draw: int = 0
    text: str | None = None
    failed: bool = False
    gold: Any = None
    score: float | None = None
    seconds: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFile:
    """A file as a table with a row a question.

    Attributes:
        path: of the file.
        tool: which tool wrote it; empty for a table.
        answers: the columns of answers where the tool says which; else they are to be found.
        scores: whether cells are scores from 0 to 1 in place of answers.
        unasked: by column, the places of rows that the tool did not ask, or in vain.
        figures: by column, then by figure, of each row; None where one was not measured.
        notes: what was remarkable in reading it.
    """

    path: str
    table: pl.DataFrame
    tool: str = ""
    answers: tuple[str, ...] = ()
    scores: bool = False
    unasked: Mapping[str, frozenset[int]] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def laid_out(path: str, tool: str, answers: Iterable[Answered], scores: bool) -> AnswerFile:
    """Lay answers out with a row a question and a column a candidate and draw.

    Where no question has a right answer, the tool's own scores are taken.

    Raises:
        DataError: if there are no answers, or two to one question of one draw.
    """
    rows: dict[str, Answered] = {}
    columns: dict[str, dict[str, Answered]] = {}
    for one in answers:
        rows.setdefault(one.row, one)
        column = columns.setdefault(f"{_column(one.candidate)}#{one.draw}", {})
        if column.setdefault(one.row, one) is not one:
            raise DataError(f"{path!r} answers the question {one.row!r} twice for {one.candidate}.")
    every = [one for column in columns.values() for one in column.values() if not one.failed]
    if not every:
        raise DataError(f"{path!r} holds no answers: every request failed, or there was none.")
    graded = all(finite(one.score, 0, 1) is not None for one in every)
    if scores and not graded:
        raise DataError(f"{path!r} holds no scores from 0 to 1. Leave --scores out.")
    scores |= graded and all(one.gold is None for one in rows.values())
    by_row = {_shown(n, columns): [own.get(id) for id in rows] for n, own in columns.items()}
    return AnswerFile(
        path=path,
        table=_table(path, rows, by_row, scores),
        tool=tool,
        answers=tuple(by_row),
        scores=scores,
        unasked={
            name: frozenset(i for i, one in enumerate(column) if one is None or one.failed)
            for name, column in by_row.items()
        },
        figures={
            name: {f: [finite(getattr(one, f, None), 0) for one in column] for f in FIGURES}
            for name, column in by_row.items()
        },
        notes=(_said(path, tool, columns, len(every), scores),),
    )


def _column(candidate: str) -> str:
    """Return the name of a candidate's column, which is that of no other."""
    taken = candidate in ("", ROW, "id", "text", "label")
    return f"{candidate} answers".strip() if taken else candidate


def _shown(name: str, columns: Mapping[str, object]) -> str:
    """Return the name of a column; that of a single draw says no number."""
    plain = name.removesuffix("#0")
    return name if f"{plain}#1" in columns else plain


def _said(
    path: str, tool: str, columns: Mapping[str, Mapping[str, Answered]], answers: int, scores: bool
) -> str:
    rows, asked = {id for c in columns.values() for id in c}, sum(map(len, columns.values()))
    failed = f"; {plural(asked - answers, 'request')} failed and are left out"
    graded = f"; no right answers, so figures are the scores by {tool}"
    return (
        f"{Path(path).name}, by {tool}: {plural(answers, 'answer')} of "
        f"{plural(len(columns), 'run')} to {plural(len(rows), 'question')}"
        f"{failed * (asked > answers)}{graded * scores}."
    )


def _table(
    path: str,
    rows: Mapping[str, Answered],
    columns: Mapping[str, Sequence[Answered | None]],
    scores: bool,
) -> pl.DataFrame:
    numbers, places = list(range(1, len(rows) + 1)), list(range(len(rows)))
    cells: dict[str, list[Any]] = {
        "id": list(rows),
        "text": [as_text(one.text) or id for id, one in rows.items()],
        "label": [one.gold for one in rows.values()],
    }
    for name, column in columns.items():
        taken = ((one.score if scores else one.answer) if one else None for one in column)
        cells[name] = [as_text(value) for value in taken]
    made = [series_of(Path(path), name, v, numbers, places) for name, v in cells.items()]
    return pl.DataFrame([pl.Series(ROW, numbers, dtype=pl.Int64), *made])


def json_lines(path: str) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of each line that is not blank.

    Raises:
        DataError: naming the line that is no object.
    """
    with Path(path).open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise DataError(
                    f"Line {number} of {path!r} is no JSON object: the file was cut off or edited. "
                    "Write it again."
                )
            yield number, found


def as_text(value: Any) -> str | None:
    """Return what a model wrote as text: JSON where it is a list or an object."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return scalar_text(value)

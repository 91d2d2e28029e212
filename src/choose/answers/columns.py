"""Which columns hold right answers and answers, which family a candidate is of, what it costs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import polars as pl

from choose.data.columns import GROUP, Roles, column_named
from choose.data.readers.column_guess import LABEL, QUESTION, TEXT, TIME, usual
from choose.data.readers.json_and_parquet import ROW
from choose.errors import DataError, StudyError, did_you_mean, quoted, quoted_list
from choose.formatting import plural
from choose.models.endpoints.ledger import PaidAnswer
from choose.models.endpoints.responses import LabelParser
from choose.models.prompting.prompts import judged_answer
from choose.schema.study_sections import AnswersSection, DataSection
from choose.tasks.multilabel import Multilabel
from choose.tasks.values import scalar_text
from choose.types import FAMILIES, Family, Status, Task
from choose.untrusted import finite, shown

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
        told: by column what a tool wrote for each row; empty where columns are to be found.
        scores: whether cells are scores from 0 to 1 in place of answers.
        notes: what was remarkable in reading it.
    """

    path: str
    table: pl.DataFrame
    tool: str = ""
    told: Mapping[str, Sequence[Answered | None]] = field(default_factory=dict)
    scores: bool = False
    notes: tuple[str, ...] = ()


def laid_out(path: str, tool: str, answers: Iterable[Answered], scores: bool) -> AnswerFile:
    """Lay answers out with a row a question and a column a candidate and draw.

    Where no question has a right answer, the tool's own scores are taken.
    """
    rows: dict[str, Answered] = {}
    columns: dict[str, dict[int, dict[str, Answered]]] = {}
    for one in answers:
        rows.setdefault(one.row, one)
        taken = one.candidate in ("", ROW, "id", "text", "label")
        name = f"{one.candidate} answers".strip() if taken else one.candidate
        column = columns.setdefault(name, {}).setdefault(one.draw, {})
        if column.setdefault(one.row, one) is not one:
            raise DataError(f"{path!r} answers the question {one.row!r} twice for {one.candidate}.")
    told = {
        f"{name}#{draw}" if len(draws) > 1 else name: [*map(own.get, rows)]
        for name, draws in columns.items()
        for draw, own in draws.items()
    }
    asked = [one for column in told.values() for one in column if one]
    every = [one for one in asked if not one.failed]
    if not every:
        raise DataError(f"{path!r} holds no answers: every request failed, or there was none.")
    graded = all(finite(one.score, 0, 1) is not None for one in every)
    if scores and not graded:
        raise DataError(f"{path!r} holds no scores from 0 to 1. Leave --scores out.")
    scores |= graded and all(one.gold is None for one in rows.values())
    failed = f", {plural(len(asked) - len(every), 'request')} failed" * (len(asked) > len(every))
    graders = f"; no right answers, so figures are the scores by {tool}" * scores
    return AnswerFile(
        path=path,
        table=_table(rows, told, scores),
        tool=tool,
        told=told,
        scores=scores,
        notes=(f"{Path(path).name}, by {tool}: {plural(len(every), 'answer')}{failed}{graders}.",),
    )


def _table(
    rows: Mapping[str, Answered], told: Mapping[str, Sequence[Answered | None]], scores: bool
) -> pl.DataFrame:
    cells = {
        "id": list(rows),
        "text": [as_text(one.text) or id for id, one in rows.items()],
        "label": [as_text(one.gold) for one in rows.values()],
    }
    for name, column in told.items():
        taken = ((one.score if scores else one.answer) if one else None for one in column)
        cells[name] = [as_text(value) for value in taken]
    table = pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))
    return table.with_row_index(ROW, 1).with_columns(pl.col(ROW).cast(pl.Int64))


def as_text(value: Any) -> str | None:
    """Return what a model wrote as text: JSON where it is a list or an object."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return scalar_text(value)


_RIGHT = ("gold", "gold_label", "gold_answer", "expected", "expected_output", "ground_truth")
GOLD = (*_RIGHT, "truth", *LABEL, "reference", "answer", "answers")
ID = ("id", "row_id", "example_id", "item_id", "question_id", "custom_id", "doc_id", "uid", "row")
TEXTS = (*TEXT, *QUESTION, "prompt")
# Columns about answers, whose values may look like labels such as 0 and 1.
NEITHER = (
    "run",
    "draw",
    "repetition",
    "repeat",
    "seed",
    "correct",
    "is_correct",
    "right",
    "match",
    "score",
    "fold",
    "split",
    "difficulty",
)
ANSWER = ("answer", "prediction", "predicted", "pred", "output", "response", "completion", "label")

# Share of the answers of a column that must be labels, unless a flag names it as answers.
MOST = 0.5

# Cells by which a column is judged.
SAMPLE = 500

# Words in the names of candidates by family, the most telling first.
_TELLING: Mapping[Family, str] = {
    "fine-tuning": r"ft|sft|dpo|q?lora|peft|adapter|(fine)?-?tun(ed|ing|e)|setfit|distill?ed|"
    r"trained",
    "retrieval": r"rag|retriev(al|ed|e|er)|k?nn-?shot|icl-?knn",
    "baseline": r"svm|tf-?idf|log(istic|reg)\w*|(naive-?)?bayes|(random-?)?forest|xgb\w*|lightgbm|"
    r"catboost|k-?nn|majority|random|regex|rules?|keywords?|probe|fasttext|bm25|baseline",
}
# Names of models that only their makers serve.
_HOSTED = re.compile(
    r"(?:^|-)(?:gpt-?[3-9]|chatgpt|claude|gemini|grok|o[134]|davinci|curie|babbage|haiku|sonnet|"
    r"opus)(?=-|\d|o|$)"
)
# Names that only language models have, of those that anyone may serve.
_OPEN = re.compile(r"(?:^|-)(?:gpt|llama|qwen|mi[sx]tral|gemma|deepseek|llm)(?=-|\d|$)")
_ENCODER = re.compile(r"(ro|de|distil|al|fin|mo?dern)?berta?|electra|xlnet|xlm", re.IGNORECASE)
_PRICE = re.compile(r"\$?\s*(\d+(?:\.\d+)?)\s*/\s*(?:1k|1000|k)", re.IGNORECASE)
_FILE = re.compile(r".+\.(csv|tsv|tab|txt|jsonl?|ndjson|parquet|pq|eval)", re.IGNORECASE)
_DRAW = re.compile(r"(.+)#(\d{1,4})")


class AnswerReader:
    """Reads answers as those of an endpoint are read; each different text once."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._labels = LabelParser(task) if task.labels else None
        self._known: dict[str, tuple[str | None, Status]] = {}

    def read(self, cell: str | None) -> tuple[str | None, Status]:
        """Return the answer in the form of the task, or None, with its status."""
        if cell is None:
            return None, "empty"
        if cell not in self._known:
            self._known[cell] = self._read(cell)
        return self._known[cell]

    def _read(self, cell: str) -> tuple[str | None, Status]:
        if isinstance(self.task, Multilabel) and (found := self.task.parted(cell)) is not None:
            return found, "ok"
        if self._labels is None:
            return judged_answer(self.task, cell, cut=False)
        if cell in self.task.labels:
            return cell, "ok"
        return self._labels.parse(PaidAnswer(content=cell))

    def share(self, cells: Sequence[str | None]) -> float:
        """Return the share of filled cells that are answers and little else; 0 without any.

        A column of explanations mentions labels too.
        """
        filled = [cell for cell in cells if cell]
        words = max((len(name.split()) for name in self.task.names), default=sys.maxsize - 1)
        short = [cell for cell in filled if len(cell.split()) <= words + 1]
        return sum(self.read(cell)[0] is not None for cell in short) / max(len(filled), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `--answers` says: columns by name, files (by the name of a candidate, or ""), prices."""

    columns: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    prices: Mapping[str, float] = field(default_factory=dict)


def wanted(section: AnswersSection) -> Wanted:
    columns: list[str] = []
    files: list[tuple[str, str]] = []
    prices: dict[str, float] = {}
    for part in _parts(section.answers):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and _FILE.fullmatch(part):
            files.append(("", part))
        elif not equals:
            columns.append(part)
        elif _FILE.fullmatch(value):
            files.append((name, value))
        else:
            prices[name] = price(value, name)
            columns.append(name)
    named = {name for name, _ in files}
    kept = [name for name in dict.fromkeys(columns) if name not in named]
    return Wanted(columns=tuple(kept), files=tuple(files), prices=prices)


def _parts(texts: Iterable[str]) -> list[str]:
    parts = (part.strip() for text in texts for part in text.split(","))
    return [part for part in parts if part]


def price(text: str, name: str) -> float:
    """Read ``2.50/1k`` as dollars for 1,000 answers."""
    if (match := _PRICE.fullmatch(text)) is None:
        raise StudyError(
            f"--answers {name}={shown(text)} is neither a file nor a price. Write a price as "
            f"{name}=2.50/1k, dollars for 1,000 answers without a $, or a file as "
            f"{name}=answers.jsonl."
        )
    return float(match[1])


def family_of(name: str, said: Mapping[str, Family]) -> Family:
    """Return the family of a candidate, as said or as its name suggests."""
    if name in said:
        return said[name]
    words = _words(name)
    for family, telling in _TELLING.items():
        if re.search(rf"(?:^|-)(?:{telling})(?=-|\d|$)", words):
            return family
    return "fine-tuning" if _ENCODER.search(words) else "prompting"


def hosted(name: str) -> bool:
    """Return whether a candidate's name is that of a model that only its maker serves."""
    return _HOSTED.search(_words(name)) is not None


def is_model(name: str) -> bool:
    """Return whether a column of labels is named after a language model, whose answers it holds."""
    return hosted(name) or _OPEN.search(_words(name)) is not None


def _words(name: str) -> str:
    return "-".join(re.split(r"[\W_]+", name.casefold()))


def families_said(texts: Iterable[str]) -> dict[str, Family]:
    """Read ``my_model=fine-tuning``."""
    found: dict[str, Family] = {}
    for part in _parts(texts):
        name, equals, family = (piece.strip() for piece in part.partition("="))
        if not equals or family not in FAMILIES:
            raise StudyError(
                f"--set family={part!r} names no family.{did_you_mean(family, FAMILIES)} Write "
                f"{name or 'NAME'}=fine-tuning; families are {', '.join(get_args(Family))}."
            )
        found[name] = family
    return found


def gold_column(file: AnswerFile, section: DataSection, answers: Sequence[str]) -> str:
    columns = [name for name in file.table.columns if name != ROW]
    if section.label_column is not None:
        found = column_named(columns, section.label_column, "gold")
        assert found is not None
        return found
    free = [name for name in columns if name not in answers]
    if (usually := usual(free, GOLD)) is not None:
        return usually
    plain = [name for name in free if not usual([name], (*ID, *TEXT, *QUESTION))]
    other = next(iter((*answers, *plain)), "NAME")
    raise DataError(
        f"No column of right answers in {file.path!r}: none of {quoted_list(columns)} is called "
        f"{', '.join(GOLD[:4])} or label. Name it with --gold, or add --scores if columns hold "
        f"scores from 0 to 1. Without right answers, --gold {other!r} measures agreement with "
        f"{other}, which says nothing of who is right."
    )


def roles_of(file: AnswerFile, section: DataSection, answers: Sequence[str], gold: str) -> Roles:
    """Return the columns by role; the text is that of the id where no column holds texts."""
    columns = [n for n in file.table.columns if n not in (ROW, gold, *answers)]
    text, id = section.text_column or usual(columns, TEXTS), usual(columns, ID)
    id = None if id is None or None in cells_of(file.table[id]) else id
    return Roles(
        text=tuple(_texts(columns, text)) if text else (id or ROW,),
        label=gold,
        time=column_named(columns, section.time_column, "time") or usual(columns, TIME),
        group=column_named(columns, section.group_column, "group") or usual(columns, GROUP),
        id=id,
        by_content=frozenset({"time"}),
    )


def _texts(columns: Sequence[str], named: str) -> list[str]:
    parts = [named] if named in columns else [part.strip() for part in named.split(",")]
    return [found for part in parts if (found := column_named(columns, part, "text"))]


def answer_columns(
    table: pl.DataFrame, taken: Sequence[str | None], reader: AnswerReader
) -> tuple[str, ...]:
    """Return the columns that hold answers by their content: half of their cells can be read."""
    free = [n for n in table.columns if n != ROW and n not in taken and not usual([n], NEITHER)]
    return tuple(name for name in free if reader.share(cells_of(table[name])[:SAMPLE]) >= MOST)


def cells_of(column: pl.Series) -> list[str | None]:
    """Return the cells of a column as text without blanks around it; None where one is empty."""
    if column.dtype != pl.String:
        column = pl.Series(column.name, map(as_text, column.to_list()), dtype=pl.String)
    return [cell or None for cell in column.str.strip_chars().to_list()]


def drawn(column: str) -> tuple[str, int]:
    """Return the candidate of a column and the number of its draw: ``gpt-4o#2``."""
    match = _DRAW.fullmatch(column)
    return (match[1], int(match[2])) if match else (column, 0)


def check_ids(file: AnswerFile, key: str | None) -> None:
    """Refuse a file that names a question twice."""
    if key is None or not file.table[key].is_duplicated().any():
        return
    id = file.table.filter(file.table[key].is_duplicated())[key][0]
    rows = file.table.filter(pl.col(key).eq_missing(id))[ROW].to_list()
    raise DataError(
        f"The id {quoted(str(id))} stands in rows {rows[0]} and {rows[1]}. Give each question one "
        "id; repeated answers go into columns NAME#1, NAME#2."
    )


def with_files(specs: Iterable[str], change: Callable[[str], str]) -> list[str]:
    """Return parts of `--answers` with another name for each file that they name."""

    def changed(part: str) -> str:
        name, equals, value = part.rpartition("=")
        return f"{name}{equals}{change(value)}" if _FILE.fullmatch(value) else part

    return [changed(part) for part in _parts(specs)]


def named_answers(table: pl.DataFrame, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of answers that the user names; draws of a name are several."""
    columns = [name for name in table.columns if name != ROW]
    found: list[str] = []
    for name in wanted:
        draws = [column for column in columns if drawn(column) == (name, drawn(column)[1])]
        found += draws or [column_named(columns, name, "answers") or name]
    return tuple(dict.fromkeys(found))

"""From files of answers to rows and candidates whose answers exist, and to runs in a store."""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, get_args

import numpy as np
import polars as pl

from choose.answers.files import FIGURES, GOLD, ID, TEXTS, AnswerFile, as_text, read_answers
from choose.data.columns import GROUP, Roles, text_columns
from choose.data.dataset import Rows, Tables
from choose.data.duplicates import clusters_of, index_texts
from choose.data.examples import examples_from, kind_of
from choose.data.readers.column_guess import QUESTION, TEXT, TIME, column_named, usual
from choose.data.readers.json_and_parquet import ROW
from choose.data.readers.labelled_file import dataset_name
from choose.errors import DataError, StudyError, did_you_mean, quoted, quoted_list
from choose.files import digest
from choose.formatting import clean, listed, normalised, plural
from choose.judge.evidence import GIVEN, CandidateInfo
from choose.models.endpoints.ledger import PaidAnswer
from choose.models.endpoints.responses import LabelParser
from choose.models.prompting.prompts import judged_answer
from choose.outside_values import finite, shown
from choose.schema.study_sections import AnswersSection, DataSection
from choose.study.candidates import names_of
from choose.study.config import RESERVED, Study
from choose.tasks.kinds import make_task, with_metric
from choose.tasks.metrics import SCORES
from choose.tasks.multilabel import Multilabel
from choose.tasks.scoring import scored
from choose.types import (
    CLEAN,
    FAMILIES,
    Answers,
    Dataset,
    Example,
    Family,
    Fold,
    Run,
    Status,
    Task,
    Trial,
)

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
        self.read = cache(self._read)

    def _read(self, cell: str | None) -> tuple[str | None, Status]:
        if cell is None:
            return None, "empty"
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
    for part in section.answers:
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
    kept = [name for name in dict.fromkeys(columns) if name not in dict(files)]
    return Wanted(columns=tuple(kept), files=tuple(files), prices=prices)


def price(text: str, name: str) -> float:
    """Read ``2.50/1k`` as dollars for 1,000 answers."""
    match = _PRICE.fullmatch(text)
    usd = finite(match[1]) if match else None
    if usd is None:
        raise StudyError(
            f"--answers {name}={shown(text)} is neither a file nor a price. Write a price as "
            f"{name}=2.50/1k, dollars for 1,000 answers without a $, or a file as "
            f"{name}=answers.jsonl."
        )
    return usd


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
    for part in texts:
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
        text=text_columns(columns, text) or (id or ROW,),
        label=gold,
        time=column_named(columns, section.time_column, "time") or usual(columns, TIME),
        group=column_named(columns, section.group_column, "group") or usual(columns, GROUP),
        id=id,
        by_content=frozenset({"time"}),
    )


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

    return [changed(part) for part in specs]


def named_answers(table: pl.DataFrame, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of answers that the user names; draws of a name are several."""
    columns = [name for name in table.columns if name != ROW]
    found: list[str] = []
    for name in wanted:
        draws = [column for column in columns if drawn(column) == (name, drawn(column)[1])]
        found += draws or [column_named(columns, name, "answers") or name]
    return tuple(dict.fromkeys(found))


STOPPED = 0.5  # A draw that answered a smaller share of the rows was not asked the others.


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Cells of answers to rows, by their ids in order, and what each took, by `FIGURES`."""

    ids: Sequence[str]
    cells: Sequence[str | None]
    figures: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    def unasked(self, asked: Container[str]) -> frozenset[str]:
        """Return the rows that it was not asked: before its first answer and after its last.

        Where most cells are empty it was asked none of these; else they are answers that cannot be
        used.
        """
        rows = [(id, cell) for id, cell in zip(self.ids, self.cells, strict=True) if id in asked]
        told = [place for place, (_, cell) in enumerate(rows) if cell is not None]
        ends = (told[0], told[-1]) if len(told) >= STOPPED * len(rows) and told else (0, -1)
        return frozenset(
            id
            for place, (id, cell) in enumerate(rows)
            if cell is None and not ends[0] < place < ends[1]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A candidate whose answers exist.

    Attributes:
        draws: its answers, by the number of the draw.
        usd_per_1k: dollars for 1,000 answers, as stated or measured; None where not known.
        notes: on the further file that holds its answers.
        teaches: whether candidates learn from them.
        ends: whether its model ends, so that it is a reference and never named.
    """

    name: str
    family: Family
    draws: Mapping[int, Draw]
    usd_per_1k: float | None = None
    notes: tuple[str, ...] = ()
    teaches: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """Rows with right answers, the candidates that answered them, and what is to be said of both.

    `table` holds the rows with the columns of `roles`, for candidates that run beside them;
    `columns` are those of answers in it.
    """

    dataset: Dataset
    table: pl.DataFrame
    roles: Roles
    columns: tuple[str, ...] = ()
    given: tuple[Given, ...] = ()
    notes: tuple[str, ...] = ()


def read_set(study: Study, tables: Tables | None = None) -> AnswerSet:
    """Read the rows and the answers that a study names; `tables` replace its file."""
    asked, section = wanted(study.given), study.data
    file = _main_file(study, tables)
    columns = tuple(file.told) or named_answers(file.table, asked.columns)
    gold = SCORES if file.scores else gold_column(file, section, columns)
    roles = roles_of(file, section, columns, gold)
    check_ids(file, roles.id)
    kind = SCORES if file.scores else study.task.kind or kind_of(file.table, section, roles)[0]
    rows = _examples(file, study, roles, kind)
    task = make_task(kind, rows, (), study.task)
    reader = AnswerReader(with_metric(task, study.goal.metric, rows[0].target))
    columns = columns or answer_columns(file.table, roles.named, reader)
    if not columns and not asked.files:
        raise _no_answers(file, roles)
    dataset = Dataset(  # all rows are asked
        name=tables.name if tables and tables.pool is not None else dataset_name(file.path),
        task=reader.task,
        examples={e.id: e for e in rows},
        folds=(Fold(pool=(), questions=tuple(e.id for e in rows)),),
        division="held-out",
        clusters=clusters_of(rows, index_texts(rows)),
    )
    return _with_answers(study, file, columns, AnswerSet(dataset, file.table, roles))


def _with_answers(
    study: Study, file: AnswerFile, columns: Sequence[str], found: AnswerSet
) -> AnswerSet:
    """Return a set with the candidates in some columns of its file, and in further files."""
    asked, roles, dataset = wanted(study.given), found.roles, found.dataset
    ids = cells_of(file.table[roles.id]) if roles.id else list(map(str, file.table[ROW]))
    places = [[id] if id is not None and id in dataset.examples else [] for id in ids]
    given = [*_given(file, columns, places, asked), *_from_files(asked, dataset)]
    checked, notes = _checked(given, study), [*file.notes, *which_columns(roles, columns)]
    notes += dict.fromkeys(note for one in checked for note in one.notes)
    if left := len(ids) - len(dataset.examples):
        notes.append(f"{plural(left, 'row')} without a right answer or a text left out.")
    notes += remarks(checked, dataset, families_said(study.given.family))
    return replace(
        found,
        dataset=replace(dataset, findings=tuple(notes)),
        columns=tuple(dict.fromkeys(drawn(column)[0] for column in columns)),
        given=checked,
        notes=tuple(notes),
    )


def given_beside(study: Study, dataset: Dataset) -> tuple[Given, ...]:
    """Return the candidates whose answers a study names beside those that it runs.

    A column is one of the test file, or else of the labelled set. Rows are joined by id or text.
    """
    asked, own = wanted(study.given), study.data.test or study.data.path
    given = [*_from_files(asked, dataset)]
    if asked.columns and own:
        file = read_answers(own, dataset.task.kind == SCORES)
        columns = named_answers(file.table, asked.columns)
        given = [*_given(file, columns, _joined(file, dataset), asked), *given]
    if dataset.teacher not in {one.name for one in given}:
        given += _taught(dataset, asked)
    given = [replace(one, teaches=one.name == dataset.teacher) for one in given]
    return _checked(given, study, names_of(study))


def _main_file(study: Study, tables: Tables | None) -> AnswerFile:
    scores = study.task.kind == SCORES
    if tables is not None and tables.pool is not None:
        file = AnswerFile(path="the rows given", table=tables.pool, scores=scores)
    elif study.data.path is None:
        raise StudyError("No file of answers is named. Give one: choose score answers.csv.")
    else:
        file = read_answers(study.data.path, scores)
    if file.scores:  # every score says how much of a whole answer there is
        file = replace(file, table=file.table.with_columns(pl.lit("1").alias(SCORES)))
    return file


def with_teacher(read: Rows, study: Study) -> Rows:
    """Read a teacher's answers as answers of the task; they are the targets of unlabelled rows."""
    column = read.roles.teacher
    if column is None:
        return read
    if read.corpus is not None:
        raise StudyError("--teacher-column is for answers without documents. Leave it out.")
    labelled = [e for e in [*read.pool, *(read.test or ())] if e.target and e.text.strip()]
    if not labelled:
        raise DataError(f"No row has a label in {quoted(read.roles.label)}: nothing can be scored.")
    reader = AnswerReader(make_task(read.kind, labelled, (), study.task))
    cells = Counter(e.taught for e in read.pool if e.taught)
    unread = Counter({cell: n for cell, n in cells.items() if reader.read(cell)[0] is None})
    such = [f"{quoted(cell, LONGEST)} ({n:,} times)" for cell, n in unread.most_common(LISTED)]
    if 2 * unread.total() >= cells.total():
        labels = quoted_list(reader.task.labels, 4) if reader.task.labels else "answers"
        raise DataError(
            f"{unread.total():,} of {cells.total():,} answers in the teacher column "
            f"{quoted(column)} are none of {labels} in {quoted(read.roles.label)}"
            f"{f', such as {listed(such)}' * bool(such)}. Name the column of an LLM's answers with "
            "--teacher-column, and write its labels as yours."
        )
    notes = list(read.notes)
    if unread:
        notes.append(
            f"{unread.total():,} of {cells.total():,} answers of the teacher {quoted(column)} are "
            f"none of the labels, such as {listed(such)}: they teach nothing."
        )
    pool = [_read(e, reader) for e in read.pool]
    test = None if read.test is None else [_read(e, reader) for e in read.test]
    if alone := sum(not row.labelled for row in pool):
        notes.append(f"{plural(alone, 'row')} without a label: the teacher's answer is learned.")
    return replace(read, pool=pool, test=test, notes=tuple(notes))


def _read(row: Example, reader: AnswerReader) -> Example:
    said = reader.read(row.taught)[0]
    if said is None:
        return row
    return replace(row, taught=said, target=row.target or said, labelled=bool(row.target))


def _taught(dataset: Dataset, asked: Wanted) -> Iterator[Given]:
    cells = [dataset.examples[id].taught for id in dataset.asked]
    if dataset.teacher and any(cells):
        yield Given(
            name=dataset.teacher,
            family=family_of(dataset.teacher, {}),
            draws={0: Draw(ids=dataset.asked, cells=cells)},
            usd_per_1k=asked.prices.get(dataset.teacher),
        )


def _examples(file: AnswerFile, study: Study, roles: Roles, kind: str) -> list[Example]:
    rows = examples_from(file.table, study.data, roles, kind)
    if rows := [row for row in rows if row.target and row.text.strip()]:
        return rows
    hint = f" Name a file that has them, and this one with --answers {file.path}." * bool(file.tool)
    raise DataError(f"No row of {file.path!r} has a right answer in {quoted(roles.label)}.{hint}")


def _no_answers(file: AnswerFile, roles: Roles) -> DataError:
    free = [n for n in file.table.columns if n != ROW and n not in roles.named]
    seen = f" Other columns are {quoted_list(free)}." if free else " There is no other column."
    if file.scores:
        return DataError(f"No column of {file.path!r} holds numbers from 0 to 1.{seen}")
    return DataError(
        f"No column of {file.path!r} holds answers that read like those in "
        f"{quoted(roles.label)}.{seen} Name them: --answers {(free or ['NAME'])[0]}; if they are "
        "scores from 0 to 1, add --scores."
    )


def _given(
    file: AnswerFile,
    columns: Sequence[str],
    places: Sequence[Sequence[str]],
    asked: Wanted,
    name: str = "",
) -> Iterator[Given]:
    """Yield the candidates in columns of a file; `name` is that of the only one, if it has one.

    `places` are the ids of the rows that each row of the file answers.
    """
    by_name = defaultdict[str, dict[int, Draw]](dict)
    for column in columns:
        candidate, draw = drawn(column)
        by_name[name or candidate][draw] = _draw(file, column, places)
    for called, draws in by_name.items():
        usd = [u for d in draws.values() for u in d.figures.get("usd", (None,))]
        known = [u for u in usd if u is not None]
        measured = 1000 * sum(known) / len(known) if known and len(known) == len(usd) else None
        price = asked.prices.get(called, measured)
        yield Given(name=called, family=family_of(called, {}), draws=draws, usd_per_1k=price)


def _draw(file: AnswerFile, column: str, places: Sequence[Sequence[str]]) -> Draw:
    cells, told = cells_of(file.table[column]), file.told.get(column)
    asked_of = [
        (row, id)
        for row, ids in enumerate(places)
        if told is None or ((one := told[row]) is not None and not one.failed)
        for id in ids
    ]
    return Draw(
        ids=[id for _, id in asked_of],
        cells=[cells[row] for row, _ in asked_of],
        figures={}
        if told is None
        else {f: [finite(getattr(told[row], f), 0) for row, _ in asked_of] for f in FIGURES},
    )


def _from_files(asked: Wanted, dataset: Dataset) -> Iterator[Given]:
    reader = AnswerReader(dataset.task)
    for name, path in asked.files:
        file = read_answers(path, reader.task.kind == SCORES)
        found = tuple(file.told) or _answers_in(file, name, reader)
        check_ids(file, usual(file.table.columns, ID))
        if name and len({drawn(column)[0] for column in found}) > 1:
            raise StudyError(
                f"{path!r} holds answers of {quoted_list(found)}, and {name!r} is one candidate. "
                f"Name the file alone, --answers {path}, to judge all."
            )
        for one in _given(file, found, _joined(file, dataset), asked, name):
            yield replace(one, notes=file.notes)


def _answers_in(file: AnswerFile, name: str, reader: AnswerReader) -> tuple[str, ...]:
    """Return the columns of answers of a further file: one of a usual name, or all that read so."""
    columns = [n for n in file.table.columns if n != ROW]
    if name and (usually := usual(columns, (name.casefold(), *ANSWER))) is not None:
        return (usually,)
    if found := answer_columns(file.table, [usual(columns, ID), usual(columns, GOLD)], reader):
        return found
    raise DataError(
        f"No column of {file.path!r} holds answers that read like those of the rows; its columns "
        f"are {quoted_list(columns)}. Call one answer."
    )


def _joined(file: AnswerFile, dataset: Dataset) -> list[Sequence[str]]:
    key, text = usual(file.table.columns, ID), usual(file.table.columns, TEXTS)
    found: list[Sequence[str]] = []
    if key is not None:  # ids of a test file may have a prefix
        ids = cells_of(file.table[key])
        found = [[i for i in (f"test:{id}", str(id)) if i in dataset.examples][:1] for id in ids]
    if not any(found) and text is not None:
        by_text: dict[str, list[str]] = defaultdict(list)
        for example in dataset.examples.values():
            by_text[normalised(example.text)].append(example.id)
        found = [by_text.get(normalised(cell or ""), []) for cell in cells_of(file.table[text])]
    if not any(found):
        raise DataError(
            f"No row of {file.path!r} is one of {dataset.name!r}: neither an id nor a text is the "
            "same in both. Give both files the column id, or the texts."
        )
    return found


def _checked(given: Sequence[Given], study: Study, taken: Sequence[str] = ()) -> tuple[Given, ...]:
    """Return candidates with their stated families, and names that a report can show."""
    said, prices = families_said(study.given.family), wanted(study.given).prices
    names = [one.name for one in given]
    for flag, name in [
        *(("The setting family", n) for n in said),
        *(("The setting ends", n) for n in study.given.ends),
        *(("--answers", n) for n in prices),
    ]:
        if name not in names:
            raise StudyError(
                f"{flag} names {name!r}, and there are no answers of that name."
                f"{did_you_mean(name, names)} There are answers of {quoted_list(names)}."
            )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise StudyError(
            f"Two candidates are named {twice[0]!r}. Name the file of one of them: "
            f"--answers OTHER={twice[0]}.csv."
        )
    checked = []
    for one in given:
        name = clean(one.name).strip().rpartition("/")[2].replace("\\", "-")[:90] or "answers"
        if name.casefold() in (*RESERVED, *taken):  # a word of --expect, or a candidate that runs
            name = f"{name} given"
        ends = one.name in study.given.ends
        checked.append(replace(one, name=name, family=family_of(one.name, said), ends=ends))
    return tuple(checked)


def runs_of(given: Given, dataset: Dataset, reader: AnswerReader) -> Iterator[Run]:
    """Yield the runs of a candidate: one a draw and fold, on the rows that it was asked."""
    asked = set(dataset.asked)
    for number, draw in given.draws.items():
        place = {id: i for i, id in enumerate(draw.ids) if id in dataset.examples}
        unasked = draw.unasked(asked)
        for fold, division in enumerate(dataset.folds):
            ids = [id for id in division.questions if id in place and id not in unasked]
            if ids:
                answers = _answers(draw, [place[id] for id in ids], reader)
                trial = Trial(
                    candidate=given.name,
                    strategy=GIVEN,
                    revision=1,
                    fold=fold,
                    draw=number,
                    seed=number,
                    weights=digest([answers.outputs, answers.raw]),
                    task=reader.task.digest,
                    questions=digest(ids),
                )
                took = None if answers.latency is None else float(answers.latency.sum())
                yield Run(
                    trial=trial,
                    answers={CLEAN: answers},
                    asked={CLEAN: tuple(ids)},
                    predict_seconds=took,
                )


def _answers(draw: Draw, rows: Sequence[int], reader: AnswerReader) -> Answers:
    cells = [draw.cells[row] for row in rows]
    read = [reader.read(cell) for cell in cells]
    return Answers(
        outputs=tuple(output for output, _ in read),
        status=tuple(status for _, status in read),
        raw=tuple(c if o is None else None for c, (o, _) in zip(cells, read, strict=True)),
        latency=_measured(draw, "seconds", rows),
        tokens_in=_measured(draw, "tokens_in", rows, np.int64),
        tokens_out=_measured(draw, "tokens_out", rows, np.int64),
    )


def _measured(draw: Draw, figure: str, rows: Sequence[int], kind: Any = np.float64) -> Any:
    values = draw.figures.get(figure)
    known = [found for row in rows if values and (found := values[row]) is not None]
    return np.array(known, dtype=kind) if known and len(known) == len(rows) else None


@dataclass(frozen=True, slots=True)
class GivenRuns:
    """The trials of candidates whose answers exist, what a store keeps of them, and their runs."""

    candidates: tuple[dict[str, Any], ...]
    runs: tuple[Run, ...]


def given_runs(given: Sequence[Given], dataset: Dataset) -> GivenRuns:
    reader = AnswerReader(dataset.task)
    runs = tuple(scored(run, dataset) for one in given for run in runs_of(one, dataset, reader))
    answered = {one.name: set[str | None]() for one in given}
    for run in runs:
        answered[run.trial.candidate].update(run.answers[CLEAN].outputs)
    return GivenRuns(tuple(_describe(one, len(answered[one.name])) for one in given), runs)


def _describe(given: Given, different: int) -> dict[str, Any]:
    """Return what a store keeps of a candidate with so many different answers.

    Another draw shows how much answers vary; without one they stand for this model alone.
    """
    several, baseline = len(given.draws) > 1, given.family == "baseline"
    info = CandidateInfo(
        name=given.name,
        strategy=GIVEN,
        family=given.family,
        model=given.name,
        cheap=baseline,
        seeded=several,
        learns=several,
        constant=baseline and different == 1,
        usd_per_1k=given.usd_per_1k,
        hosted=hosted(given.name),
        teaches=given.teaches,
        ends=given.ends,
    )
    return {"params": {}, **asdict(info)}


# Unread answers that a note shows, and characters of one.
LISTED, LONGEST = 3, 30


def which_columns(roles: Roles, columns: Sequence[str]) -> list[str]:
    named = {
        "right answers": [roles.label] if roles.label != SCORES else [],
        "answers": list(dict.fromkeys(drawn(column)[0] for column in columns)),
        "text": [name for name in roles.text if name not in (ROW, roles.id)],
        "group": [name for name in (roles.group,) if name],
    }
    found = (f"{role} {', '.join(map(quoted, names))}" for role, names in named.items() if names)
    return [
        f"Columns: {'; '.join(found)}. To name others: --gold, --answers, --set group_column=NAME."
    ]


def remarks(given: Sequence[Given], dataset: Dataset, said: Mapping[str, Family]) -> Iterator[str]:
    if guessed := [one for one in given if one.name not in said]:
        families = ", ".join(f"{one.name} {one.family}" for one in guessed)
        yield f"Families, by names: {families}. To say: --set family={guessed[0].name}=FAMILY."
    trained = [one.name for one in given if one.family in ("baseline", "fine-tuning")]
    if trained:
        yield f"Make sure that {listed(trained)} learned from no row here: choose cannot see it."
    asked, reader = set(dataset.asked), AnswerReader(dataset.task)
    for one in given:
        yield from _unread(one, reader, asked)


def _unread(one: Given, reader: AnswerReader, asked: set[str]) -> Iterator[str]:
    """Say what could not be read as an answer, and which rows a candidate was not asked."""
    cells = [
        cell
        for draw in one.draws.values()
        for id, cell in zip(draw.ids, draw.cells, strict=True)
        if id in asked
    ]
    filled = [cell for cell in cells if cell]
    unread = Counter(cell for cell in filled if reader.read(cell)[0] is None)
    if filled and unread.total() == len(filled):
        labels = f" Labels are {quoted_list(reader.task.labels, 4)}." if reader.task.labels else ""
        raise DataError(
            f"No answer of {one.name} can be read, such as {quoted(filled[0])}.{labels}"
        )
    if unread and reader.task.kind == SCORES:
        raise DataError(
            f"{one.name} has the score {quoted(next(iter(unread)))}, which is no number from 0 to "
            "1. Divide scores by the largest, and leave a cell empty where there is none."
        )
    if unread:
        most = [f"{quoted(cell, LONGEST)} ({n:,} times)" for cell, n in unread.most_common(LISTED)]
        of = f"{unread.total():,} of {len(filled):,} answers of {one.name}"
        yield f"{of} are none of the task and count as wrong, such as {listed(most)}."
    most_rows = len(asked) * len(one.draws)
    left = sum(len(draw.unasked(asked)) for draw in one.draws.values())
    if (those := len(cells) - left) < most_rows:
        yield f"{one.name} answered {those:,} of {most_rows:,} rows; it is compared on those."
    if len(filled) < those:
        yield f"{one.name} gave no answer to {those - len(filled):,} rows; these are wrong."

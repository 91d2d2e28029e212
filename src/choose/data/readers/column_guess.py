"""Guess which columns hold the text, the label and the date, by their names and by what they hold.

A usual name decides alone. Else the label is a column of few values that repeat, the text one of
phrases that mostly differ; names say which of several. Where they do not, nothing is guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from choose.data.readers.column_kinds import SHAPES, Column, column_of
from choose.data.readers.delimited import ROW
from choose.data.readers.table_file import JSON, PARQUET
from choose.errors import DataError, quoted, quoted_list
from choose.schema.study_sections import DataSection

# Columns whose content is looked at.
WIDEST = 200

# In the order of preference; compared without regard to case.
TEXT = ("text", "utterance", "sentence", "query", "input")
LABEL = ("label", "labels", "intent", "target", "category")
QUESTION = ("question", "questions", "query")
ANSWER = ("answers", "answer")
TIME = ("timestamp", "time", "date", "created_at", "datetime")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KINDS = {"text": "texts", "category": "values that repeat", "code": "few numbers", "id": "ids"}

# Words in the names of columns, in some languages. A title is read together with the body.
_BODY = _words(
    "text texts body description message messages content contents comment comments review question"
    " prompt document article post tweet email mail request complaint feedback transcript ticket"
    " problem details inquiry enquiry utterances sentences verbatim narrative phrase statement"
    " abstract paragraph passage snippet conversation contenu"
    " nachricht beschreibung inhalt anfrage frage bewertung kommentar texte commentaire avis"
    " mensaje descripcion texto comentario pregunta mensagem descricao pergunta messaggio testo"
    " 本文 内容 テキスト 文 文章 質問 文本 句子 评论 问题 텍스트 내용 текст сообщение"
)
_TITLE = _words("subject title headline betreff titel objet asunto assunto oggetto 件名")
_LABEL = _words(
    "label labels intent intents target category categories class classes topic topics tag tags"
    " team queue department sentiment stars rating emotion polarity type route completion"
    " output annotation gold y spam fraud toxic toxicity"
    " kategorie kategorien klasse thema abteilung etikett categorie catégorie classe thème"
    " categoria categoría clase tema etiqueta sentimiento sentimento"
    " ラベル カテゴリ カテゴリー 分類 标签 类别 分类 레이블 분류 метка категория класс"
)
_DATED = (
    *("created", "opened", "received", "submitted", "sent", "posted", "reported", "date", "datum"),
    *("timestamp", "time", "day", "erstellt", "eingang", "fecha", "data", "日付", "日時"),
)

# Words of columns that describe a row and are seldom what a model should predict or read.
_ABOUT = _words(
    "priority severity status state channel source language lang locale country region city gender"
    " platform device os browser version plan tier currency owner agent assignee split fold set"
    " partition year month customer user author company account brand name username annotator group"
    " thread session uuid url link address phone updated closed resolved resolution reply response"
    " answer note notes kunde sprache status prioritaet priorität"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """The columns that may hold the text and the label.

    One entry is an answer, several are as likely as each other, none is no candidate. An entry of
    `text` are columns that belong together.
    """

    text: tuple[tuple[str, ...], ...]
    label: tuple[str, ...]


def usual(columns: Sequence[str], names: Iterable[str]) -> str | None:
    """Return the first column of these names, whatever its case."""
    lower = {column.strip().lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def guess(columns: Sequence[Column], text: tuple[str, ...], label: str | None) -> Guess:
    """Guess the columns of the text and of the label; those that are known are kept.

    `columns` are those that have no other role, such as the time.
    """
    free = [column for column in columns if column.name not in (*text, label)]
    if label is None and (pair := _question_and_answer(free, text)) is not None:
        return pair
    if not text and label is None and len(free) == 2:
        return _of_two(*free)
    labels = (label,) if label else _labels(free, only=bool(text) and len(free) == 1)
    if text:
        return Guess((text,), labels)
    rest = [column for column in free if labels != (column.name,)]
    return Guess(_texts(rest, only=label is not None and len(free) == 1), labels)


def _question_and_answer(free: Sequence[Column], text: tuple[str, ...]) -> Guess | None:
    """Return columns that are called question and answer, unless a column of labels is there."""
    asked = usual(text or [c.name for c in free], QUESTION)
    answers = [c for c in free if c.name.strip().lower() in ANSWER]
    repeats = any(c.kind in ("category", "code") and _is(c, _LABEL) for c in free)
    if asked is None or not answers or repeats or answers[0].kind in ("category", "code", "empty"):
        return None
    return Guess((text or (asked,),), (answers[0].name,))


def _of_two(one: Column, two: Column) -> Guess:
    """Tell text and label of two columns apart: the label is what repeats, or repeats more."""
    readable = [c for c in (one, two) if c.kind in ("text", "words", "category", "id")]
    labels = [c for c in (one, two) if c.kind in ("category", "code")]
    labels = labels or [c for c in (one, two) if c.kind == "constant"]
    pairs = [(t, c) for t in readable for c in labels if t is not c]
    named = [(t, c) for t, c in pairs if _is(t, _BODY | _TITLE) or _is(c, _LABEL)]
    clear = [(t, c) for t, c in pairs if t.distinct > 1.5 * c.distinct or t.words > c.words + 2]
    for chosen in (pairs, named, clear):
        if len(chosen) == 1:
            [(t, c)] = chosen
            return Guess(((t.name,),), (c.name,))
    if not pairs:
        return Guess(_texts([one, two], only=False), _labels([one, two], only=False))
    return Guess(((one.name,), (two.name,)), (one.name, two.name))


def _labels(free: Sequence[Column], only: bool) -> tuple[str, ...]:
    """Return the likeliest labels; `only`: no other column is left, so that a rare value may do."""
    if only:
        return tuple(c.name for c in free if c.distinct > 1 and c.distinct < c.filled)
    found = [c for c in free if c.kind in ("category", "code")]
    return tuple(c.name for c in _best(found, _label_rank))


def _label_rank(column: Column) -> float:
    if _is(column, _ABOUT):
        return 4.0
    if _is(column, _LABEL):
        return 1.0
    return 2.0 if column.kind == "category" else 3.0


def _texts(free: Sequence[Column], only: bool) -> tuple[tuple[str, ...], ...]:
    """Return the likeliest texts; a title and a body belong together."""
    if only:
        return tuple((c.name,) for c in free if c.kind != "nested")
    found = [c for c in free if c.kind in ("text", "words")]
    long = [c for c in found if c.kind == "text"]
    titles = [c for c in found if _is(c, _TITLE)]
    bodies = [c for c in found if _is(c, _BODY) and c not in titles]
    if len(bodies) == 1 and len(titles) <= 1:
        return (tuple(c.name for c in (*titles, *bodies)),)
    return tuple((c.name,) for c in bodies or _best(long or found, _text_rank))


def _text_rank(column: Column) -> float:
    return 3.0 if _is(column, _ABOUT) else 1.0 if _is(column, _TITLE) else 2.0


def _best(columns: Sequence[Column], rank: Callable[[Column], float]) -> list[Column]:
    best = min(map(rank, columns), default=0.0)
    return [column for column in columns if rank(column) == best]


def _is(column: Column, words: Iterable[str]) -> bool:
    """Return whether a column's name, or a word in it, is one of these."""
    name = column.name.strip().casefold()
    return name in words or not set(re.split(r"[\W_]+", _split_case(column.name))).isdisjoint(words)


def _split_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()


def guess_time(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the columns of dates, the one that says when a row came to be first."""

    def place(column: Column) -> int:
        words = re.split(r"[\W_]+", _split_case(column.name))
        return next((i for i, word in enumerate(_DATED) if word in words), len(_DATED))

    return tuple(c.name for c in sorted(columns, key=place) if c.kind == "date")


def chat_of(known: Sequence[str]) -> str | None:
    """Return the column that holds the turns of chats, if there is one."""
    roots = [name.removesuffix(".user") for name in known if name.endswith(".user")]
    chats = [root for root in roots if f"{root}.assistant" in known]
    return chats[0] if len(chats) == 1 else None


def undecided(found: Guess, columns: Sequence[Column], section: DataSection) -> DataError:
    """Say what may be the text and what the label, and give the command that names them."""
    texts = [",".join(names) for names in found.text]
    parts = [
        _choice("text", texts, "there is no column of texts"),
        _choice("label", found.label, "there is no column of labels, which repeat"),
    ]
    listed = ", ".join(f"{quoted(c.name)} ({_KINDS.get(c.kind, c.kind)})" for c in columns[:8])
    more = f" and {len(columns) - 8:,} more" if len(columns) > 8 else ""
    text = section.text_column or next(iter(texts), "NAME")
    label = section.label_column or next((n for n in found.label if n != text), "NAME")
    return DataError(
        f"The columns are not clear: {'; '.join(filter(None, parts))}. There are "
        f"{listed or 'no others'}{more}. Name them: {naming(section, text, label)}"
    )


def _choice(role: str, names: Sequence[str], none: str) -> str | None:
    if len(names) == 1:
        return None
    return f"the {role} may be {' or '.join(map(quoted, names[:4]))}" if names else none


def naming(
    section: DataSection,
    text: str,
    label: str,
    path: str | None = None,
    time: str | None = None,
) -> str:
    """Return the command, or the arguments in Python, that name the text, the label and dates."""
    path = path or section.path
    if path is None:
        return f"text_column={text!r}, label_column={label!r}" + (
            f", time_column={time!r}" if time else ""
        )
    documents = () if section.documents is None else ("--documents", section.documents)
    dates = ("--time-column", time) if time else ()
    columns = ("--text-column", text, "--label-column", label, *dates)
    return shlex.join(("choose", "check", path, *documents, *columns))


def guess_notes(
    text: tuple[str, ...],
    label: str,
    time: str | None,
    by_content: Collection[str],
    section: DataSection,
) -> Iterator[str]:
    """Say which columns were guessed, and how to name others."""
    found = {"text": " and ".join(map(quoted, text)), "label": quoted(label)}
    if time is not None:
        found["time"] = quoted(time)
    parts = [f"{role} {found[role]}" for role in ("text", "label", "time") if role in by_content]
    if label.endswith(".assistant"):
        yield (
            "Of each chat, the last turn of the assistant is the label, and the turns of the user "
            "are the text; earlier turns of the assistant are not used."
        )
    if parts:
        dates = time if "time" in by_content else None
        command = naming(section, ",".join(text), label, time=dates)
        yield f"Columns found by their content: {', '.join(parts)}. To name others: {command}"


def kind_note(kind: str, why: str, path: str | None) -> str:
    """Say which kind of task the targets make and why, and how to state another."""
    command = shlex.join(("choose", "check", path, "--kind", "NAME")) if path else 'kind="NAME"'
    return f"The task is {kind}: {why}. To state another kind: {command}"


def separator_note(separator: str, column: str, path: str | None) -> str:
    """Say what was taken to part the labels of a cell, and how to confirm it or to name another."""
    words = ("--kind", "multilabel", "--set", f"separator={separator}")
    command = shlex.join(("choose", "check", path, *words)) if path else f"separator={separator!r}"
    return (
        f"{quoted(separator)} parts the labels in cells of {quoted(column)}. To confirm: {command}"
    )


def joined_note(separator: str, cell: str, column: str, path: str | None) -> str:
    """Say that cells may hold several labels that were read as one, and how to part them."""
    words = ("--kind", "multilabel", "--set", f"separator={separator}")
    command = shlex.join(("choose", "check", path, *words)) if path else f"separator={separator!r}"
    return (
        f"Cells of {quoted(column)} such as {quoted(cell)} are read as one label each. If they "
        f"hold several: {command}"
    )


def passage_note(column: str) -> str:
    """Name a column that looks like passages but is not read, and the flag that reads it."""
    return (
        f"The column {quoted(column)} is not read: questions are answered without it. If it holds "
        f"the passage of each question, name it: --set {shlex.quote(f'fields={column}')}"
    )


def looks_headerless(table: pl.DataFrame) -> bool:
    """Return whether the names of a table's columns look like a row of data.

    A label, date, number or address in the header shows it, unless a column of texts has a name of
    one word, as columns have.
    """
    names = [name for name in table.columns if name != ROW]
    if usual(names, (*TEXT, *LABEL, "id")) or all(map(str.isdigit, names)) or len(names) > WIDEST:
        return False
    columns = [column_of(table[name]) for name in names]
    if any(c.kind in ("text", "words") and len(c.name.split()) == 1 < c.words for c in columns):
        return False
    return any(
        (c.repeats and table[c.name].str.strip_chars().eq(c.name.strip()).any())
        or (c.kind in SHAPES and SHAPES[c.kind](c.name))
        for c in columns
    )


def with_header(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose header is its first row; its columns are numbered from 1."""
    first = pl.DataFrame(
        {name: [1 if name == ROW else name] for name in table.columns}, schema=table.schema
    )
    names = {name: f"column {i}" for i, name in enumerate(table.columns) if name != ROW}
    return pl.concat([first, table]).rename(names)


def headed(table: pl.DataFrame, path: str | None, section: DataSection) -> pl.DataFrame:
    """Return the table of a file; one without a header needs the numbers of its columns.

    Raises:
        DataError: saying so, with the command.
    """
    named = (section.text_column, section.label_column)
    delimited = path is not None and not path.lower().endswith((*JSON, *PARQUET))
    if not delimited or any(name in table.columns for name in named):
        return table
    if not looks_headerless(table):
        return table
    if any(name and name.replace(",", "").strip().isdigit() for name in named):
        return with_header(table)
    first = [name for name in table.columns if name != ROW]
    raise DataError(
        f"{path!r} has no header: its first row ({quoted_list(first, 4)}) looks like data. Add a "
        "header, such as text,label, or number the columns: "
        f"{naming(section, '1', '2' if len(first) < 3 else 'N', path)}"
    )

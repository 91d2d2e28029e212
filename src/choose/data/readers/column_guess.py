"""Guess which columns hold the text, the label and the date, by their names and by what they hold.

A usual name decides alone. Else the label is a column of few values that repeat, the text one of
phrases that mostly differ; names say which of several. Where they do not, nothing is guessed.
"""

import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from statistics import fmean
from typing import Literal

import polars as pl

from choose.data.readers.json_and_parquet import ROW
from choose.data.readers.labelled_file import JSON, PARQUET
from choose.errors import DataError, did_you_mean, quoted, quoted_list
from choose.schema.study_sections import DataSection
from choose.tasks.value_parsing import UNSPACED

_NUMERIC = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ ,T]+(\d{1,2}):(\d\d)(?::(\d\d))?(?: ?([AP])M)?)?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"\d{9,10}(?:\.\d+)?|\d{12,13}")
_BARE = re.compile(r"\d+(?:\.\d+)?")
_YEAR_FIRST = re.compile(r"(\d{4})/(\d\d?)/(\d\d?)")
_MONTH = re.compile(r"(?<![a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
# Characters of the longest date, with the names of its day and zone.
LONGEST = 80
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s*[+-]\d\d:?\d\d)?")

# Hours from UTC of the zones that RFC 5322 names; `dateutil` would take other names for UTC.
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}


def parse_dates(cells: Sequence[str]) -> list[datetime | None]:
    """Return times in UTC, None for a cell that is no complete date; a time without a zone is UTC.

    Accepts ISO 8601, seconds or milliseconds since 1970, dates with the month in English letters,
    and day-month-year or month-day-year where some cell of the column shows which of the two it is.
    """
    day_first = _day_first(cells)
    stripped = (cell.strip() for cell in cells)
    return [_parse(cell, day_first) if len(cell) <= LONGEST else None for cell in stripped]


def _day_first(cells: Sequence[str]) -> bool | None:
    """Return whether days come first in the whole column; None where no cell decides it."""
    matches = [m for cell in cells if (m := _NUMERIC.fullmatch(cell.strip()))]
    days = any(int(m[1]) > 12 or "." in m[0].split(" ")[0] for m in matches)
    months = any(int(m[2]) > 12 for m in matches)
    return None if days == months else days


def _parse(cell: str, day_first: bool | None) -> datetime | None:
    try:
        if numeric := _NUMERIC.fullmatch(cell):
            moment = _from_numbers(numeric, day_first)
        elif _EPOCH.fullmatch(cell):
            seconds = float(cell)
            moment = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        else:
            moment = _written(cell) if _MONTH.search(cell) else _iso(cell)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, ArithmeticError):  # years and zones beyond all calendars
        return None


def _from_numbers(match: re.Match[str], day_first: bool | None) -> datetime:
    if day_first is None:
        raise ValueError("days and months cannot be distinguished")
    day, month = (match[1], match[2]) if day_first else (match[2], match[1])
    hour = int(match[4] or 0)
    if match[7]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a 12-hour clock")
        hour = hour % 12 + (12 if match[7] in "Pp" else 0)
    minute, second = int(match[5] or 0), int(match[6] or 0)
    return datetime(int(match[3]), int(month), int(day), hour, minute, second)


def _iso(cell: str) -> datetime:
    if cell.isdigit() and len(cell) != 8:
        raise ValueError("of bare numbers, only YYYYMMDD is a date")
    cell = _YEAR_FIRST.sub(lambda m: f"{m[1]}-{m[2]:0>2}-{m[3]:0>2}", cell)
    # "... UTC" is common and not ISO.
    return datetime.fromisoformat(re.sub(r" ?(?:UTC|GMT)$", "+00:00", cell))


def _written(cell: str) -> datetime:
    """Parse a date whose month is a word; a four-digit year and a day must be there."""
    from dateutil import parser

    numbers = re.findall(r"\d+", _TIME.sub("", cell))
    if sorted(min(len(number), 3) for number in numbers) not in ([1, 3], [2, 3]):
        raise ValueError("no complete date")
    moment: datetime = parser.parse(cell, tzinfos=_zone)
    return moment


def _zone(name: str | None, offset: int | None) -> timezone | None:
    if name is None and offset is None:
        return None
    if offset is None and name not in _ZONES:
        raise ValueError(f"unknown time zone {name}")
    shift = timedelta(hours=_ZONES[name or ""]) if offset is None else timedelta(seconds=offset)
    return timezone(shift)


def date_like(cell: str) -> bool:
    """Return whether a cell is written as a date, though its day and month may be ambiguous.

    Bare digits, which may be seconds since 1970, are as likely a number.
    """
    cell = cell.strip()
    if len(cell) > LONGEST or _BARE.fullmatch(cell):
        return False
    if match := _NUMERIC.fullmatch(cell):
        return 1 <= int(match[1]) <= 31 and 1 <= int(match[2]) <= 31
    return _parse(cell, None) is not None


# text: phrases and sentences, mostly different. category: few short values that repeat.
# code: few whole numbers that repeat, such as stars and 0/1. words: short and mostly different.
Kind = Literal[
    "text", "category", "code", "words", "number", "date", "link", "e-mail", "id", "nested",
    "constant", "empty",
]  # fmt: skip

# Cells that are looked at; and the share of them that must have a shape.
SAMPLE, MOST = 500, 0.9

# Words of a text, on average. Scripts without spaces count two characters as a word.
TEXT_WORDS, LONG_WORDS = 2.5, 8.0

# A value of a category or code occurs at least so often on average, and has at most so many
# characters; a code has at most so many values.
REPEATS, LONGEST_LABEL, CODES = 2.0, 120, 30

# Share of different cells from which they identify their rows.
UNIQUE = 0.98

_NUMBER = re.compile(r"[-+]?[$€£¥]?\s?\d[\d.,'\s]*(?:[eE][-+]?\d{1,3})?\s?[%$€£¥]?")
_WHOLE = re.compile(r"[-+]?\d{1,9}(?:\.0)?")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M)?", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MAIL = re.compile(r"[^@\s]{1,100}@[^@\s]{1,100}\.[^@\s.]{1,30}")
_ID = re.compile(r"(?=\S*\d)[\w#:./-]{1,80}", re.ASCII)
# Longer cells have none of these shapes, and need not be searched.
_SHORT = 200


SHAPES: dict[Kind, Callable[[str], object]] = {
    "link": _LINK.fullmatch,
    "e-mail": _MAIL.fullmatch,
    "date": date_like,
    "number": lambda cell: _NUMBER.fullmatch(cell) or _CLOCK.fullmatch(cell),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column holds.

    Attributes:
        kind: the kind of its cells.
        filled: cells that are not blank.
        distinct: different cells among them.
        words: mean number of words in a cell.
        repeats: whether few short values occur again and again, as labels do.
    """

    name: str
    kind: Kind
    filled: int
    distinct: int = 0
    words: float = 0.0
    repeats: bool = False

    @property
    def parts(self) -> list[str]:
        """Return the words of its name: those of ``createdAt`` are ``created`` and ``at``."""
        return re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name).casefold())


def column_of(series: pl.Series) -> Column:
    """Return what a column holds; it must be of strings, or of nested or mixed values."""
    name = series.name
    if series.dtype != pl.String:
        return Column(name=name, kind="nested", filled=len(series) - series.null_count())
    cells = series.drop_nulls().str.strip_chars()
    cells = cells.filter(cells != "")
    filled, distinct = len(cells), cells.n_unique()
    sample = cells.gather_every(max(1, filled // SAMPLE)).to_list()
    words = fmean(map(_count_words, sample)) if sample else 0.0
    if distinct < 2:
        kind: Kind = "constant" if filled > 1 else "text" if filled else "empty"
        return Column(name=name, kind=kind, filled=filled, distinct=distinct, words=words)
    longest = max(map(len, cells.unique().head(1_000).to_list()))
    repeats = filled >= REPEATS * distinct and longest <= LONGEST_LABEL and words < LONG_WORDS
    kind = _kind(sample, filled, distinct, words, repeats)
    return Column(
        name=name, kind=kind, filled=filled, distinct=distinct, words=words, repeats=repeats
    )


def _kind(sample: Sequence[str], filled: int, distinct: int, words: float, repeats: bool) -> Kind:
    if _most(sample, _WHOLE.fullmatch) and repeats and distinct <= CODES:
        return "code"
    for kind, matches in SHAPES.items():
        if _most(sample, matches):
            unique_numbers = kind == "number" and distinct >= UNIQUE * filled
            return "id" if unique_numbers and _most(sample, str.isdigit) else kind
    if distinct >= UNIQUE * filled and _most(sample, _ID.fullmatch):
        return "id"
    if repeats and (words < TEXT_WORDS or filled >= 4 * distinct):
        return "category"
    return "text" if words >= TEXT_WORDS else "words"


def _most(sample: Sequence[str], matches: Callable[[str], object]) -> bool:
    return sum(len(cell) <= _SHORT and bool(matches(cell)) for cell in sample) >= MOST * len(sample)


def _count_words(cell: str) -> float:
    text = unicodedata.normalize("NFC", cell[:2_000])
    return len(UNSPACED.sub(" ", text).split()) + len(UNSPACED.findall(text)) / 2


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


def column_named(columns: Sequence[str], wanted: str | None, role: str) -> str | None:
    """Return the column that a flag names, whatever its case."""
    if wanted is None:
        return None
    column = wanted if wanted in columns else usual(columns, [wanted.strip().lower()])
    if column is None:
        hint = (
            " Change fields, under [data] or with --set fields=COLUMN." if role == "field" else ""
        )
        raise DataError(
            f"No {role} column {wanted!r}.{did_you_mean(wanted, columns)} "
            f"The columns are {quoted_list(columns)}.{hint}"
        )
    return column


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
    ranked = _best(long or found, lambda c: 3 if _is(c, _ABOUT) else 1 if _is(c, _TITLE) else 2)
    return tuple((c.name,) for c in bodies or ranked)


def _best(columns: Sequence[Column], rank: Callable[[Column], float]) -> list[Column]:
    best = min(map(rank, columns), default=0.0)
    return [column for column in columns if rank(column) == best]


def _is(column: Column, words: Iterable[str]) -> bool:
    return column.name.strip().casefold() in words or not set(column.parts).isdisjoint(words)


def guess_time(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the columns of dates, the one that says when a row came to be first."""

    def place(column: Column) -> int:
        return next((i for i, word in enumerate(_DATED) if word in column.parts), len(_DATED))

    return tuple(c.name for c in sorted(columns, key=place) if c.kind == "date")


def chat_of(known: Sequence[str]) -> str | None:
    """Return the column that holds the turns of chats, if there is one."""
    roots = [name.removesuffix(".user") for name in known if name.endswith(".user")]
    chats = [root for root in roots if f"{root}.assistant" in known]
    return chats[0] if len(chats) == 1 else None


def undecided(found: Guess, columns: Sequence[Column], section: DataSection) -> DataError:
    """Say what may be the text and what the label, and give the flags that name them."""
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
        f"{listed or 'no others'}{more}. Name them: {naming(text, label)}"
    )


def _choice(role: str, names: Sequence[str], none: str) -> str | None:
    if len(names) == 1:
        return None
    return f"the {role} may be {' or '.join(map(quoted, names[:4]))}" if names else none


def naming(text: str, label: str, time: str | None = None) -> str:
    """Return the flags that name columns; Python's errors make keywords of them."""
    dates = f" --set time_column={quote(time)}" if time else ""
    return f"--text-column {quote(text)} --label-column {quote(label)}{dates}"


def quote(value: str) -> str:
    """Quote a value in any case, so that it can be told from words behind a flag."""
    plain = shlex.quote(value)
    return plain if plain != value else f"'{value}'"


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


def check_headed(table: pl.DataFrame, path: str | None, section: DataSection) -> None:
    named = (section.text_column, section.label_column)
    delimited = path is not None and not path.lower().endswith((*JSON, *PARQUET))
    if delimited and not any(name in table.columns for name in named) and looks_headerless(table):
        first = [name for name in table.columns if name != ROW]
        raise DataError(
            f"{path!r} has no header: its first row ({quoted_list(first, 4)}) looks like data. Add "
            "a first line with the names of the columns, such as text,label."
        )

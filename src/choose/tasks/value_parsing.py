"""Values of cells and records: how they read, their types, and a form that equal ones share."""

import json
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from choose.schema.study_sections import FieldType

# A field is of dates if so large a share of its values is written as 2025-01-31.
DATES = 0.9

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")

# A number inside a text, with its decimal, thousands, time or date marks.
_NUMBERS = re.compile(r"\d+(?:[.,:/]\d+)*")

# Letters of scripts without spaces between words.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")

_ARTICLES = re.compile(r"\b(a|an|the)\b")

_PUNCTUATION = str.maketrans("", "", string.punctuation)

# A whole number of thousands with commas, or a plain one, with a sign and a currency.
_NUMBER = re.compile(r"([+-]?)\W?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\W?")

_UNUSUAL = {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2018": "'", "\u2019": "'"}


def scalar_text(value: Any) -> str | None:
    """Return a scalar as a CSV would hold it: 1.0 as ``1``, true as ``true``; null as None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def json_in(text: str, *signs: str) -> Any:
    """Return what a text holds that begins with one of some signs and is JSON; else the text."""
    if not text.lstrip().startswith(signs):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def distinct_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raise ValueError if it names a key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it names {max(names, key=names.count)!r} twice")
    return found


def type_name(value: Any) -> str:
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def squad_normal(text: str) -> str:
    """Return a text as the evaluation script of SQuAD 2.0 compares it.

    It deletes punctuation, so "1.5 million" equals "15 million": `canonical` does not.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def occurs(answers: Iterable[str], passage: str) -> bool:
    """Return whether one of some answers occurs in a passage, but for case and punctuation.

    Its words may be parts of others there that marks part, as "seven" is of "seven-layer".
    """
    wanted = list(answers)
    for form in (squad_normal, lambda text: " ".join(re.findall(r"\w+", text.lower()))):
        text = f" {form(passage)} "
        if any(f" {found} " in text for answer in wanted if (found := form(answer))):
            return True
    return any(UNSPACED.search(answer) and answer in passage for answer in wanted)


def canonical(value: Any, kind: FieldType, day_first: bool = True) -> str:
    """Return the form in which a value of a field is compared.

    A number or date that cannot be read as one is compared as a text.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == "number" or isinstance(value, int | float):
        if (number := as_number(value)) is not None:
            return f"{number.normalize():f}"
    elif kind == "date" and (day := as_date(str(value), day_first)) is not None:
        return day
    return _text(str(value))


def as_number(value: Any) -> Decimal | None:
    """Return a number, also one written as ``$1,200.50``; None if it is none."""
    written = unicodedata.normalize("NFKC", str(value)).strip()
    written = "".join(_UNUSUAL.get(c, c) for c in written)
    try:
        if (match := _NUMBER.fullmatch(written)) is not None:
            found = Decimal(match[1] + match[2].replace(",", ""))
        else:
            found = Decimal(written)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 100 else None


def as_date(text: str, day_first: bool = True) -> str | None:
    """Return a complete date as 2025-01-31; None if it is none, or lacks its day, month or year."""
    from dateutil import parser

    written = text.strip()
    if len(written) > 60 or not any(c.isdigit() for c in written):
        return None
    if _ISO.match(written):
        day_first = False
    try:
        # Parts that are missing come from the default: two defaults give two dates.
        found = {
            parser.parse(written, dayfirst=day_first, default=default).date()
            for default in (datetime(2000, 1, 1), datetime(2001, 2, 2))
        }
    except (ValueError, OverflowError, TypeError):
        return None
    return found.pop().isoformat() if len(found) == 1 else None


def type_of(values: Sequence[Any]) -> FieldType:
    if any(isinstance(value, list) for value in values):
        return "list"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "number"
    dates = sum(isinstance(v, str) and bool(_ISO.fullmatch(v)) for v in values)
    return "date" if dates and dates >= DATES * len(values) else "text"


def _text(text: str) -> str:
    plain = "".join(_UNUSUAL.get(c, c) for c in unicodedata.normalize("NFKC", text))
    numbers = " ".join(_NUMBERS.findall(plain))
    words = squad_normal(plain) or " ".join(plain.casefold().split())
    return f"{words}\x00{numbers}" if any(c in numbers for c in ".,:/") else words

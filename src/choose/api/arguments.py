"""Arguments of Python calls: rows in memory, and errors that speak of keywords, not of flags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from choose.errors import ChooseError, DataError, StudyError
from choose.study.resolve_study import keywords

if TYPE_CHECKING:
    from choose.data.dataset import Tables

# Flags with another form in Python.
_FLAGS = {"strategy": "strategies=", "yes": "yes=True"}

# Keywords that no study file has.
_OWN = {"out", "test", "name", "study", "candidate", "gold", "scores", "baseline"}

# A flag, and the blank before what is its value.
_FLAG = re.compile(
    r"(?<![\w-])--([a-z][a-z-]*)(?: (?=[A-Z]{2,}|[.\d'\"]|[a-z]+:|\S+ cannot be used))?"
)


@contextmanager
def keyword_errors() -> Iterator[None]:
    """Let errors of the calls inside name keywords (``out=``) where they name flags (``--out``)."""
    try:
        yield
    except ChooseError as error:
        error.args = tuple(in_keywords(a) if isinstance(a, str) else a for a in error.args)
        raise


def in_keywords(message: str) -> str:
    """Return a message with keywords in place of the flags that they are called on a terminal."""
    known = {name: f"{name}=" for name in _OWN | set(keywords())} | _FLAGS

    def keyword(flag: re.Match[str]) -> str:
        return known.get(flag[1].replace("-", "_"), flag[0])

    message = re.sub(r"(?<![\w-])--set\s+(?=[a-z_]+=)", "", message)
    message = re.sub(r"(?<![\w-])-s (?=NAME|all\b)", "strategies=", message)
    message = re.sub(r"(?<![\w-])-c (?=[A-Z])|(?<![\w-])-c\b", "study=", message)
    return _FLAG.sub(keyword, message)


def names_of(strategies: object) -> tuple[str, ...]:
    """Return the names of candidates; one text is one name.

    Raises:
        StudyError: for anything but a text or a list of texts.
    """
    if isinstance(strategies, str):
        return (strategies,)
    names = tuple(strategies) if isinstance(strategies, Sequence | set | frozenset) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise StudyError(
            f"strategies is {strategies!r}; it must be a list of names, such as "
            '["tfidf", "prompt"], or one name.'
        )
    return tuple(map(str, names))


def tables_of(data: Any, labels: Any, test: Any, name: str) -> Tables:
    """Return rows that were passed in memory; None for files.

    Raises:
        DataError: if texts and labels do not fit together, or the objects hold no rows.
    """
    from choose.data.dataset import Tables
    from choose.data.readers.json_and_parquet import is_rows, table_of

    if labels is not None:
        data = _pairs(data, labels)
    if isinstance(test, tuple) and len(test) == 2 and not isinstance(test[0], str | Mapping):
        test = _pairs(*test)
    return Tables(
        pool=table_of(data) if is_rows(data) else None,
        test=table_of(test) if is_rows(test) else None,
        name=name,
    )


def _pairs(texts: Any, labels: Any) -> list[dict[str, Any]]:
    """Return rows of aligned texts and labels: lists, arrays, Series of pandas or polars."""
    for what, given in (("texts", texts), ("labels", labels)):
        if isinstance(given, str | Mapping) or not hasattr(given, "__len__"):
            raise DataError(
                f"The {what} are {type(given).__name__}; they must be a list, an array or a "
                "Series, as long as the other."
            )
    if getattr(texts, "ndim", 1) != 1 or hasattr(texts, "columns"):
        raise DataError(
            "The texts are a table. Name its columns, as in compare(table, "
            'text_column="body", label_column="team"), or give one column.'
        )
    if len(texts) != len(labels):
        raise DataError(
            f"There are {len(texts):,} texts and {len(labels):,} labels. Give one label a text."
        )
    return [
        {"text": _cell(text), "label": _cell(label)}
        for text, label in zip(texts, labels, strict=True)
    ]


def _cell(value: Any) -> Any:
    """Return a value; None for what pandas and numpy have for missing ones."""
    if type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, float) and value != value
    ):
        return None
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value

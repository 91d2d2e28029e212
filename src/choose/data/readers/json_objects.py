"""Read JSON objects one at a time, and reach into their nested values.

Objects are one a line, in one array, or in an array within one object. A nested value has a
dotted path, such as ``ticket.body``. The turns of OpenAI's fine-tuning format,
``{"messages": [{"role": "user", "content": ...}, ...]}``, have paths of their own:
``messages.user``, ``messages.assistant`` and ``messages.system``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from choose.data.readers.delimited import LINE_LIMIT, TOO_LONG
from choose.data.readers.encodings import UTF8, Encoding
from choose.errors import DataError

# Characters of a document that is held in memory as a whole; lines are read one at a time.
LARGEST_JSON = 200_000_000

# Levels of a value that is read.
DEEPEST = 100

# Levels and number of the paths that are looked for.
LEVELS, MOST_PATHS = 4, 200

# Names of the roles in the formats of OpenAI, ShareGPT and Gemini.
ROLES = {
    "system": {"system", "developer"},
    "user": {"user", "human"},
    "assistant": {"assistant", "gpt", "model", "bot"},
}

_BLANK = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


def json_records(path: Path, encoding: Encoding = UTF8) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a file with the number of its line or item, one at a time.

    Raises:
        DataError: naming the line or item that is no object, when it is reached.
    """
    with path.open(encoding=encoding.name, errors=encoding.errors) as text:
        start = text.read(10_000).lstrip()[:1]
        if start == "[" or (start == "{" and path.suffix.lower() == ".json"):
            text.seek(0)
            document = text.read(LARGEST_JSON + 1)
            if len(document) > LARGEST_JSON:
                raise DataError(
                    f"{str(path)!r} has more than {LARGEST_JSON:,} characters of JSON. Write one "
                    "object per line and name the file .jsonl; that is read at any size."
                )
            yield from _document_records(path, document.lstrip("\ufeff"))
            return
    if encoding == UTF8:
        with path.open("rb") as file:
            yield from records_in(file, path)
        return
    with path.open(encoding=encoding.name) as text:
        yield from records_in(_AsUtf8(text), path)


class _AsUtf8:
    """A text stream that gives its lines in UTF-8."""

    def __init__(self, text: TextIO) -> None:
        self._text = text

    def readline(self, limit: int) -> bytes:
        return self._text.readline(limit).encode("utf-8", "surrogatepass")


class Lines(Protocol):
    """A stream of lines in bytes."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, its end included, or its first `limit` bytes."""


def records_in(file: Lines, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of an open stream with the number of its line; `path` names it."""
    number = 0
    while line := file.readline(LINE_LIMIT):
        number += 1
        where = f"Line {number} of {str(path)!r}"
        if len(line) >= LINE_LIMIT:
            raise DataError(f"{where} {TOO_LONG}")
        bare = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if bare:
            try:
                text = bare.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{where} is not UTF-8 text. Save the file again as UTF-8."
                ) from error
            record, end = _parsed(text, 0, where)
            if text[end:].strip():
                raise _not_json(where, "something follows its object")
            yield number, record


def _document_records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of one array, of the only array in one object, or one after another."""
    at, number = _BLANK.match(text).end(), 0  # type: ignore[union-attr]
    if text[at : at + 1] == "{":
        first, end = _parsed(text, at, f"{str(path)!r}")
        if not text[end:].strip():
            yield from enumerate(_rows_within(path, first), start=1)
            return
    inside = text[at] == "["
    at += inside
    while True:
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        if inside and text[at : at + 1] == "]":
            if text[at + 1 :].strip():
                raise _not_json(f"{str(path)!r}", "something follows its array")
            return
        if not inside and at == len(text):
            return
        number += 1
        where = f"Item {number} of {str(path)!r}"
        record, at = _parsed(text, at, where)
        yield number, record
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        if inside and text[at : at + 1] == ",":
            at += 1
        elif inside and text[at : at + 1] != "]":
            raise _not_json(where, "a comma or ] must follow it")


def _rows_within(path: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of ``{"data": [{...}, ...]}``, whatever the key is called."""
    lists = [
        value
        for value in document.values()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    ]
    if not any(isinstance(value, list | dict) for value in document.values()):
        return [document]
    if len(lists) != 1:
        raise DataError(
            f"{str(path)!r} is one JSON object. Write an array of objects, one for each row: "
            '[{"text": "...", "label": "..."}, ...].'
        )
    return lists[0]


def _parsed(text: str, at: int, where: str) -> tuple[dict[str, Any], int]:
    """Return the object at a place in a text, and the place where it ends."""
    try:
        record, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = (
            "it is nested too deeply" if deep else getattr(error, "msg", "a number is too long")
        )
        raise _not_json(where, reason) from error
    if text.count("[", at, end) + text.count("{", at, end) > DEEPEST and _deep(record):
        raise _not_json(where, "it is nested too deeply")
    if not isinstance(record, dict):
        raise DataError(f'{where} is no JSON object. It must look like {{"text": "...", ...}}.')
    return record, end


def _deep(value: Any) -> bool:
    """Return whether lists and objects are nested more than `DEEPEST` levels."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in level)


def _not_json(where: str, reason: str) -> DataError:
    return DataError(
        f"{where} is not JSON: {reason}. Each line or item must be one whole object, such as "
        '{"text": "...", "label": "..."}.'
    )


def unit(path: Path) -> str:
    """Return what a row of a file is called in messages."""
    return "Item" if path.suffix.lower() == ".json" else "Line"


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """Return the cell of a key or of a dotted path; None where there is none."""
    if name in record:
        return record[name]
    value: Any = record
    parts = name.split(".")
    for place, part in enumerate(parts):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif place == len(parts) - 1 and (chat := turns(value)):
            return said_by(chat, part)
        else:
            return None
    return value


def turns(value: Any) -> list[tuple[str, str]] | None:
    """Return the turns of a chat as (role, text); None for another value.

    Roles of tools and unknown roles keep their names. A turn without text, such as a call of a
    function, is empty.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return None
    chat = []
    for turn in value:
        if not isinstance(turn, Mapping):
            return None
        role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if not isinstance(role, str):
            return None
        name = next((name for name, names in ROLES.items() if role in names), role)
        chat.append((name, _text(content)))
    return chat


def _text(content: Any) -> str:
    """Return the text of a turn, which may come in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))


def said_by(chat: Sequence[tuple[str, str]], role: str) -> str | None:
    """Return what a role says in a chat.

    The answer is the last turn, if it is the assistant's; the user's turns before it are the text.
    The assistant's earlier turns are neither.
    """
    if role == "assistant":
        return chat[-1][1] if chat[-1][0] == role else None
    said = [text for name, text in chat if name == role and text.strip()]
    return "\n\n".join(said) if said else None


def paths_in(name: str, values: Sequence[Any]) -> list[str]:
    """Return the dotted paths of the scalars in the values of a column, in the order found."""
    found: dict[str, None] = {}
    for value in values:
        for path in _paths(name, value, LEVELS):
            if len(found) >= MOST_PATHS:
                return list(found)
            found[path] = None
    return list(found)


def _paths(name: str, value: Any, levels: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if levels and isinstance(key, str):
                yield from _paths(f"{name}.{key}", inner, levels - 1)
    elif chat := turns(value):
        roles = {role for role, _ in chat}
        yield from (f"{name}.{role}" for role in ROLES if role in roles)
    elif value is not None and not isinstance(value, list | bytes):
        yield name

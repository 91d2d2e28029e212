"""Read CSV and TSV in bounded memory; quote cells and name rows in messages."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import polars as pl

from choose.errors import DataError, quoted
from choose.untrusted import check_text

CHUNK = 1 << 20

# Bytes from which bare UTF-16 is recognised, and from which Windows-1252 is judged.
HEAD, SAMPLE = 4_096, 4_000_000

_UTF32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

# Sequences of UTF-8 for two or three bytes, and the share of the bytes beyond ASCII that they may
# be of a file in Windows-1252, where they spell nothing.
_SEQUENCE, MIXED = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}"), 0.05

# Share of the words with letters beyond ASCII that must also have letters of ASCII.
_WORD, _ASCII, WESTERN = re.compile(r"[^\W\d_]+"), re.compile("[A-Za-z]"), 0.8


@dataclass(frozen=True, slots=True)
class Encoding:
    """The name of a codec; `note` says so where it is not UTF-8."""

    name: str = "utf-8-sig"
    note: str | None = None

    @property
    def errors(self) -> str:
        """How undecodable bytes are read: kept in UTF-8, so that their row can be named."""
        return "surrogateescape" if self.name == "utf-8-sig" else "strict"


UTF8 = Encoding()


def encoding_of(path: Path) -> Encoding:
    """Return the encoding of a text file; UTF-8 where no other one is plausible.

    Raises:
        DataError: for UTF-32, and for UTF-16 that is damaged.
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(_UTF32):
        raise DataError(f"{str(path)!r} is UTF-32 text. Save it again as UTF-8.")
    if name := _utf16(head):
        if not _decodes(path, name):
            raise DataError(f"{str(path)!r} is UTF-16 text, and damaged. Save it again as UTF-8.")
        return Encoding(name, f"{str(path)!r} was read as UTF-16 text.")
    if _decodes(path, "utf-8"):
        return UTF8
    if (word := _western(path)) is None:
        return UTF8
    return Encoding(
        "cp1252",
        f"{str(path)!r} is not UTF-8 and was read as Windows-1252, with words such as "
        f"{quoted(word)}. If letters look wrong, save it again as UTF-8.",
    )


def _utf16(head: bytes) -> str | None:
    if head.startswith(_UTF16):
        return "utf-16"
    zeros = [head[start::2].count(0) for start in (0, 1)]
    half = len(head) // 2
    if half < 2 or min(zeros) > 0.05 * half or max(zeros) < 0.7 * half:
        return None
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _chunks(path: Path, most: float = float("inf")) -> Iterator[bytes]:
    with path.open("rb") as file:
        read = 0
        while read < most and (chunk := file.read(CHUNK)):
            read += len(chunk)
            yield chunk


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _western(path: Path) -> str | None:
    """Return a word that shows Windows-1252; None where its words are of another encoding.

    Files in UTF-8 with some broken rows, and texts in Cyrillic, Chinese or Japanese encodings, have
    bytes that Windows-1252 reads as well, but as no words.
    """
    from charset_normalizer import from_bytes

    lines = b"".join(_chunks(path, SAMPLE)).splitlines()
    sample = b"\n".join(line for line in lines if not line.isascii())
    high = sum(byte > 127 for byte in sample)
    if sum(map(len, _SEQUENCE.findall(sample))) > MIXED * high:
        return None
    if (found := from_bytes(sample, cp_isolation=["cp1252"]).best()) is None:
        return None
    words = [word for word in _WORD.findall(str(found)) if not word.isascii()]
    western = [word for word in words if _ASCII.search(word)]
    if len(western) < WESTERN * len(words):
        return None
    return str(max(western or [c for c in str(found) if not c.isascii()], key=len))


# The number of each row, as a spreadsheet or an editor shows it: the header of a CSV is row 1.
ROW = "__row__"

# Characters of one cell and of one line; a page of text has about 3,000.
FIELD_LIMIT = 1_000_000

LINE_LIMIT = 8_000_000

# Columns of a table; wide exports have some hundreds.
MOST_COLUMNS = 10_000

TOO_LONG = (
    f"holds a cell of more than {FIELD_LIMIT:,} characters. Truncate "
    "the text, or look for a quote that is never closed."
)


def check_header(path: Path, names: Sequence[str]) -> list[str]:
    """Return the column names, those without one numbered."""
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{str(path)!r} has {len(names):,} columns; at most {MOST_COLUMNS:,} are read. Keep "
            "those of the text, the label and what else the study needs."
        )
    seen = {ROW}
    named = [name or f"column {i + 1}" for i, name in enumerate(names)]
    for name in named:
        if name in seen:
            raise DataError(
                f"{str(path)!r} has more than one column {quoted(name)}. Give each its own name."
            )
        check_text(name, f"In {str(path)!r} the column name", DataError)
        seen.add(name)
    return named


_DELIMITERS = (",", ";", "\t", "|")

# Bytes that are not UTF-8 are read as lone surrogates, so that the row can be named.
_UNREADABLE = re.compile("[\ud800-\udfff]")


class _Unusable(Exception):
    """An invalid line; the message completes ``Row N ...``."""


def read_delimited(path: Path, encoding: Encoding = UTF8) -> pl.DataFrame:
    """Read a CSV or TSV file; quoted cells may hold line breaks, the delimiter is detected."""
    rows = delimited_rows(path, encoding)
    header = next(rows)[1]
    columns: list[list[str]] = [[] for _ in header]
    numbers = []
    for number, cells in rows:
        numbers.append(number)
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    data = {
        name: pl.Series(column, dtype=pl.String)
        for name, column in zip(header, columns, strict=True)
    }
    return pl.DataFrame({ROW: pl.Series(numbers, dtype=pl.Int64), **data})


def delimited_rows(path: Path, encoding: Encoding = UTF8) -> Iterator[tuple[int, list[str]]]:
    """Yield the header, then each row that is not empty, with its number, one at a time.

    Raises:
        DataError: naming a broken row, when it is reached.
    """
    with (
        path.open(encoding=encoding.name, errors=encoding.errors, newline="") as file,
        _field_limit(),
    ):
        delimiter = _delimiter(file, path)
        rows = _rows(path, csv.reader(_lines(file), delimiter=delimiter, strict=True))
        number, cells = next(rows)
        header = check_header(path, [cell.strip() for cell in cells])
        yield number, header
        for number, cells in rows:
            if any(cells):
                _check_width(path, number, cells, header)
                yield number, cells


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _Unusable as unusable:
            raise DataError(f"Row {number} of {str(path)!r} {unusable}") from unusable
        except csv.Error as error:
            raise DataError(f"Row {number} of {str(path)!r} {_reason(error)}") from error
        yield number, cells


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(LINE_LIMIT):
        if len(line) == LINE_LIMIT:
            raise _Unusable(TOO_LONG)
        if "\0" in line:
            raise _Unusable(
                "holds a NUL byte: the file is binary or damaged. Export it again as CSV (UTF-8)."
            )
        if not line.isascii() and _UNREADABLE.search(line):
            raise _Unusable(
                "is neither UTF-8 text nor plausible as Windows-1252. Save the file again as UTF-8 "
                "('CSV UTF-8' in Excel), or convert it: iconv -f ITS-ENCODING -t UTF-8."
            )
        yield line


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "field larger" in text:
        return TOO_LONG
    if "unexpected end" in text:
        return "opens a quoted cell that is never closed. Close the quote, or write it twice."
    if "expected after" in text:
        return "has text after a closing quote. Inside a quoted cell, write a quote twice."
    return f"cannot be read: {text}."


def _delimiter(file: TextIO, path: Path) -> str:
    first = file.readline(LINE_LIMIT)
    file.seek(0)
    counts = {delimiter: first.count(delimiter) for delimiter in _DELIMITERS}
    if path.suffix.lower() != ".csv" and counts["\t"]:
        return "\t"
    return max(_DELIMITERS, key=lambda delimiter: counts[delimiter])


def _check_width(path: Path, number: int, cells: list[str], header: list[str]) -> None:
    if len(cells) != len(header):
        raise DataError(
            f"Row {number} of {str(path)!r} has {len(cells)} cells, the header has {len(header)}. "
            "A cell that holds the delimiter or a line break must be in double quotes."
        )


@contextmanager
def _field_limit() -> Iterator[None]:
    before = csv.field_size_limit(FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)

"""Read the documents of a task: a folder of texts, one text, or a table with a row a document."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from choose.corpus import Corpus, Document
from choose.data.examples import cells_of
from choose.data.readers.column_guess import usual
from choose.data.readers.json_and_parquet import ROW, TOO_LONG
from choose.data.readers.labelled_file import JSON, LARGEST, PARQUET, FileText, read_source, text_of
from choose.errors import DataError, did_you_mean, quoted, quoted_list, rows_named, told_of
from choose.files import NotRegularError, neighbours
from choose.formatting import plural
from choose.outside_values import check_text

TEXTS = (".md", ".markdown", ".txt")
TABLES = (".csv", ".tsv", ".tab", *JSON, *PARQUET)

# Names of columns, in the order of preference; compared without regard to case.
_TEXT = ("text", "content", "contents", "body", "passage", "paragraph", "page_content", "document")
_ID = (
    *("id", "doc_id", "document_id", "passage_id", "doc", "docid", "document", "_id", "key"),
    "file",
)
_TITLE = ("title", "heading", "headline", "name", "subject")

# Endings of documents that have a text, which other programs take out of them.
_CONVERTIBLE = {
    *(".pdf", ".docx", ".doc", ".odt", ".rtf", ".pptx", ".ppt", ".xlsx"),
    *(".html", ".htm", ".epub", ".eml", ".msg", ".tex", ".rst"),
}

_CONVERT = (
    "Convert them to Markdown first, for example with markitdown (pip install markitdown; "
    "markitdown FILE -o FILE.md) or, for scanned pages and tables, docling."
)

_ALLOWED = (
    "Give a folder of .txt and .md files, or a JSONL, JSON, CSV, TSV or Parquet file with the "
    "columns id, title and text."
)

# Characters of a title that are kept, and names that a message lists.
_LONGEST_TITLE, _NAMED = 200, 5

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DocumentFiles:
    """The documents that can be read, what was remarkable in it, and what was left out."""

    corpus: Corpus
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def read_documents(name: str) -> DocumentFiles:
    """Read a folder, a file, or ``sample:NAME``; count and leave out documents without text."""
    check_text(name, "The name of the documents", DataError)
    dropped: list[str] = []
    with _located(name) as path:
        if _is_folder(path):
            documents, notes = _folder(path, dropped)
        elif path.suffix.lower() in TEXTS:
            unreadable: list[str] = []
            documents, notes = _texts([(path, path.name)], unreadable)
            if unreadable:
                raise DataError(unreadable[0])
        elif path.suffix.lower() in _CONVERTIBLE:
            raise DataError(f"{str(path)!r} cannot be read as it is. {_CONVERT} {_ALLOWED}")
        else:
            documents, notes = _table(path)
    return _checked(documents, notes, dropped, name=name)


def _checked(
    documents: Sequence[Document], notes: list[str], dropped: list[str], *, name: str
) -> DocumentFiles:
    ids = Counter(document.id for document in documents)
    if twice := [id for id, count in ids.items() if count > 1]:
        raise DataError(
            f"In {name!r} more than one document has the id {quoted_list(twice, _NAMED)}. Ids must "
            "be unique: evidence names documents by them."
        )
    filled = [document for document in documents if document.text.strip()]
    if not filled:
        raise DataError(f"No document in {name!r} has a text, of {len(documents):,}. {_ALLOWED}")
    if empty := [document.id for document in documents if not document.text.strip()]:
        named = quoted_list(empty, _NAMED)
        dropped.append(f"{plural(len(empty), 'document')} without a text left out: {named}.")
    if len(filled) == 1:
        notes.append(
            "There is one document: whatever is retrieved comes from it, so that retrieval only "
            "chooses among its passages."
        )
    return DocumentFiles(Corpus(tuple(filled)), tuple(notes), tuple(dropped))


def _located(name: str) -> AbstractContextManager[Path]:
    """Return the place of documents; those of a bundled sample are beside its rows."""
    if not name.startswith("sample:"):
        return nullcontext(Path(name))
    sample, _, inner = name.removeprefix("sample:").partition("/")
    root = files("choose.data").joinpath("samples")
    if sample.isidentifier() and ".." not in inner:
        names = [inner] if inner else ["documents", *(f"documents{end}" for end in TABLES)]
        for place in (root.joinpath(sample, entry) for entry in names):
            if place.is_dir() or place.is_file():
                return as_file(place)
    raise DataError(f"No bundled documents {name!r}. {_ALLOWED}")


def _is_folder(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        near = did_you_mean(path.name, neighbours(path))
        raise DataError(f"No documents {quoted(str(path), 200)}.{near} {_ALLOWED}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"Cannot read {quoted(str(path), 200)}: {reason}. {_ALLOWED}") from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise DataError(f"{str(path)!r} is a pipe or device. {_ALLOWED}")
    return stat.S_ISDIR(mode)


def _folder(folder: Path, dropped: list[str]) -> tuple[list[Document], list[str]]:
    """Read the texts in a folder and below.

    Hidden files, links out of the folder and links to folders are not followed; what cannot be read
    is left out and counted.
    """
    readable, others, outside = [], Counter[str](), []
    unreadable: list[str] = []
    inside = os.path.realpath(folder)
    for path in _walk(folder, unreadable):
        if not Path(os.path.realpath(path)).is_relative_to(inside):
            outside.append(_id(path.relative_to(folder)))
        elif path.suffix.lower() in TEXTS and _is_file(path):
            readable.append((path, _id(path.relative_to(folder))))
        else:
            others[path.suffix.lower() or "without ending"] += 1
    if not readable and not unreadable:
        found = quoted_list([end for end, _ in others.most_common(_NAMED)])
        but = f", but {found}" if found else ""
        then = _CONVERT if _CONVERTIBLE & others.keys() else _ALLOWED
        raise DataError(f"The folder {str(folder)!r} holds no .txt or .md file{but}. {then}")
    documents, notes = _texts(readable, unreadable)
    if unreadable and not documents:
        raise DataError(unreadable[0])
    if unreadable:
        more = f" The same holds of {plural(len(unreadable) - 1, 'other file')}."
        notes.append(f"Left out: {unreadable[0]}{more if len(unreadable) > 1 else ''}")
    if outside:
        named = quoted_list(outside, _NAMED)
        dropped.append(f"{plural(len(outside), 'link')} out of the folder left out: {named}.")
    if others:
        most = sorted(others.items(), key=lambda one: (-one[1], one[0]))[:_NAMED]
        kinds = ", ".join(f"{count:,} {quoted(end)[1:-1]}" for end, count in most)
        text = f"{plural(others.total(), 'file')} left out, since .txt and .md are read: {kinds}."
        notes.append(f"{text} {_CONVERT}" if _CONVERTIBLE & others.keys() else text)
    return documents, notes


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return isinstance(error, PermissionError)


def _walk(folder: Path, unreadable: list[str]) -> Iterator[Path]:
    """Yield the files below a folder in order; errors on folders are added to `unreadable`."""

    def note(error: OSError) -> None:
        unreadable.append(f"Cannot read {error.filename!r}: {error.strerror}.")

    for root, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def _id(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")  # a name may be no UTF-8


def _texts(
    found: Sequence[tuple[Path, str]], unreadable: list[str]
) -> tuple[list[Document], list[str]]:
    """Read files with their ids; errors on single files are added to `unreadable`."""
    documents, recoded, size = list[Document](), list[str](), 0
    for path, id in found:
        try:
            read = _text(path)
        except DataError as error:
            unreadable.append(str(error))
            continue
        size += len(read.text)
        if size > LARGEST:
            raise DataError(f"The documents have more than {LARGEST / 1e9:g} GB. Give fewer.")
        recoded += read.notes
        documents.append(Document(id=id, text=read.text, title=_title(path, read.text)))
    more = f" The same holds of {plural(len(recoded) - 1, 'other file')}."
    return documents, [recoded[0] + (more if len(recoded) > 1 else "")] if recoded else []


def _text(path: Path) -> FileText:
    try:
        read = text_of(path)
    except OSError as error:
        reason = str(error) if isinstance(error, NotRegularError) else error.strerror
        raise DataError(f"Cannot read {str(path)!r}: {reason}.") from error
    return replace(read, text=read.text.replace("\r\n", "\n").replace("\r", "\n"))


def _title(path: Path, text: str) -> str:
    heading = None if path.suffix.lower() == ".txt" else _HEADING.search(text)
    if heading is not None:
        line = text[heading.end() : heading.end() + _LONGEST_TITLE].partition("\n")[0]
        if title := line.strip().rstrip("#").strip():
            return title
    return _id(Path(re.sub(r"[-_]+", " ", path.stem).strip()))


def _table(path: Path) -> tuple[list[Document], list[str]]:
    try:
        source = read_source(path)
    except DataError as error:
        if TOO_LONG not in str(error):
            raise
        raise DataError(f"{error} A longer document can be a .txt file in a folder.") from error
    table = source.table
    columns = [name for name in table.columns if name != ROW]
    rows = [int(number) for number in table[ROW]]
    text = usual(columns, _TEXT)
    if text is None:
        raise DataError(
            f"{str(path)!r} has no column of texts: none of {quoted_list(columns)} is called "
            f"{', '.join(_TEXT)}. Rename one."
        )
    others = [name for name in columns if name != text]
    id, title = (usual(others, names) for names in (_ID, _TITLE))
    with told_of(f"In {str(path)!r}: "):
        cells = {name: cells_of(table, name, rows) for name in (text, id, title) if name}
    ids = [cell.strip() for cell in cells[id]] if id else list(map(str, rows))
    if nameless := [row for row, own in zip(rows, ids, strict=True) if not own]:
        raise DataError(
            f"In {str(path)!r}, {rows_named(nameless)} have no id. Evidence names documents by "
            "their ids: write one, or leave the column out."
        )
    heads = cells[title] if title else [""] * len(rows)
    documents = [
        Document(id=own, text=body, title=" ".join(head.split())[:_LONGEST_TITLE])
        for own, body, head in zip(ids, cells[text], heads, strict=True)
    ]
    return documents, [*source.notes]

"""Write a decision, an audit or a comparison to a file; its ending says in which form."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from choose.errors import StudyError
from choose.files import csv_cell, write_text
from choose.formatting import harmless_json
from choose.report import check_words as words
from choose.report.blocks import Block, check_blocks, comparison_blocks, decision_blocks
from choose.report.markdown import markdown_page
from choose.schema.check import Check
from choose.schema.decision import Decision

Kind = Literal["decision", "check", "comparison"]
Texts = Mapping[str, str]

FORMS: dict[Kind, tuple[str, ...]] = {
    "decision": (".html", ".md", ".json"),
    "check": (".csv", ".json", ".md"),
    "comparison": (".html", ".md", ".json"),
}

COLUMNS = ("row", "kind", "label", "suggested", "other_row", "says", "text")


def write(
    kind: Kind,
    record: Any,
    path: Path,
    texts: Texts | None = None,
    store: Path | None = None,
) -> None:
    """Write a record to a file, atomically.

    The ending of `path` names the form. The record is a `Decision`, a `Check` or a `Versus`;
    `texts` of rows, by id, are for forms that show them, and commands name the folder of the study,
    `store`.

    Raises:
        StudyError: if the ending names no form.
        StoreError: if the file cannot be written.
    """
    ending = check_output(kind, path).suffix.lower()
    if ending == ".json":
        text = harmless_json(record.model_dump_json(by_alias=True, indent=1)) + "\n"
    elif ending == ".csv":
        text = render_issues(record, texts or {})
    elif kind == "decision":
        html = ending == ".html"
        text = render_html(record, texts, store) if html else render_markdown(record, store)
    else:
        blocks = check_blocks(record) if kind == "check" else comparison_blocks(record)
        text = markdown_page(blocks) if ending == ".md" else _html_page(blocks)
    write_text(path, text)


def check_output(kind: Kind, path: Path) -> Path:
    """Return the path if a record of this kind can be written in the form that its ending names.

    Raises:
        StudyError: naming the forms that are allowed.
    """
    example = {"decision": "report.html", "check": "issues.csv", "comparison": "versus.html"}[kind]
    if path.suffix.lower() not in FORMS[kind]:
        raise StudyError(
            f"Cannot tell the form of {str(path)!r} from its ending. "
            f"Allowed: {', '.join(FORMS[kind])}, such as -o {example}."
        )
    if path.is_dir():
        raise StudyError(f"{str(path)!r} is a folder. Name a file, such as -o {example}.")
    return path


def render_issues(check: Check, texts: Mapping[str, str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in check.issues:
        cells = (one.row, one.kind, one.label, one.suggested, one.other, words.issue(one))
        writer.writerow([csv_cell(cell or "") for cell in (*cells, texts.get(one.row, ""))])
    return out.getvalue()


def render_html(decision: Decision, texts: Texts | None = None, store: Path | None = None) -> str:
    """Return the report as a self-contained HTML page; `texts` are those of rows, by id."""
    return _html_page(decision_blocks(decision, texts, store=store))


def _html_page(blocks: Sequence[Block]) -> str:
    # A page is drawn by a library that other forms need not import.
    from choose.report.html.page import html_page

    return html_page(blocks)


def render_markdown(decision: Decision, store: Path | None = None) -> str:
    """Return a decision as Markdown, without texts of rows."""
    return markdown_page(decision_blocks(decision, store=store))

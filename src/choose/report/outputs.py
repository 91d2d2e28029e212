"""Write a report to a file; the ending of its name says in which form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from choose.errors import StudyError
from choose.files import write_text
from choose.judge.record import Decision

Texts = Mapping[str, str]


def _html(decision: Decision, texts: Texts) -> str:
    from choose.report.html import render_html

    return render_html(decision, texts)


def _markdown(decision: Decision, texts: Texts) -> str:
    from choose.report.markdown import render_markdown

    return render_markdown(decision)


def _json(decision: Decision, texts: Texts) -> str:
    return decision.model_dump_json(by_alias=True, indent=1) + "\n"


FORMS: dict[str, Callable[[Decision, Texts], str]] = {
    ".html": _html,
    ".md": _markdown,
    ".json": _json,
}


def check_output(path: Path) -> Path:
    """Return the path if a report can be written in the form that its ending names.

    Raises:
        StudyError: before anything is run, so that no study ends without its report.
    """
    return check_ending(path, FORMS, "report.html")


def check_ending(path: Path, forms: Collection[str], example: str) -> Path:
    """Return the path if its ending is one of these forms and it is no folder.

    Raises:
        StudyError: naming what is allowed.
    """
    if path.suffix.lower() not in forms:
        raise StudyError(
            f"Cannot tell the form of {str(path)!r} from its ending. "
            f"Allowed: {', '.join(forms)}, such as -o {example}."
        )
    if path.is_dir():
        raise StudyError(f"{str(path)!r} is a folder. Name a file, such as -o {example}.")
    return path


def write_report(decision: Decision, path: Path, texts: Texts | None = None) -> None:
    """Write the report, whole or not at all.

    Raises:
        StudyError: if the ending names no form.
        StoreError: if the file cannot be written.
    """
    write_text(path, FORMS[check_output(path).suffix.lower()](decision, texts or {}))

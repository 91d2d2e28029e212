"""Write a comparison of two studies to a file; the ending of its name says in which form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from choose.files import write_text
from choose.judge.versus import Versus
from choose.report.outputs import check_ending
from choose.report.versus.markdown import render_versus_markdown


def _html(versus: Versus) -> str:
    from choose.report.html.versus import render_versus_html

    return render_versus_html(versus)


def _json(versus: Versus) -> str:
    return versus.model_dump_json(by_alias=True, indent=1) + "\n"


FORMS: dict[str, Callable[[Versus], str]] = {
    ".html": _html,
    ".md": render_versus_markdown,
    ".json": _json,
}


def check_versus_output(path: Path) -> Path:
    """Return the path if a comparison can be written there.

    Raises:
        StudyError: if its ending names no form, or it is a folder.
    """
    return check_ending(path, FORMS, "versus.html")


def write_versus(versus: Versus, path: Path) -> None:
    """Write the comparison, whole or not at all.

    Raises:
        StoreError: if the file cannot be written.
    """
    write_text(path, FORMS[check_versus_output(path).suffix.lower()](versus))

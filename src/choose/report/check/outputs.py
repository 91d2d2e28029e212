"""Write an audit to a file; the ending of its name says in which form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from choose.check.record import Check
from choose.files import write_text
from choose.report.check.markdown import render_check_markdown
from choose.report.check.rows import render_issues
from choose.report.outputs import check_ending

Texts = Mapping[str, str]


def _json(check: Check, texts: Texts) -> str:
    return check.model_dump_json(by_alias=True, indent=1) + "\n"


def _markdown(check: Check, texts: Texts) -> str:
    return render_check_markdown(check)


FORMS: dict[str, Callable[[Check, Texts], str]] = {
    ".csv": render_issues,
    ".json": _json,
    ".md": _markdown,
}


def check_audit_output(path: Path) -> Path:
    """Return the path if an audit can be written there.

    Raises:
        StudyError: if its ending names no form, or it is a folder.
    """
    return check_ending(path, FORMS, "issues.csv")


def write_audit(check: Check, path: Path, texts: Texts) -> None:
    """Write the audit, whole or not at all.

    Raises:
        StoreError: if the file cannot be written.
    """
    write_text(path, FORMS[check_audit_output(path).suffix.lower()](check, texts))

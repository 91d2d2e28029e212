"""Write a report to a file; the ending of its name says in which form."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from choose.errors import StudyError
from choose.files import write_text
from choose.formatting import clean, csv_cell
from choose.report.markdown import render_check_markdown, render_versus_markdown
from choose.schema.check import Check
from choose.schema.decision import Decision, Expectation, Gate, Versus

COLUMNS = ("row", "kind", "label", "suggested", "other_row", "says", "text")


def render_issues(check: Check, texts: Mapping[str, str]) -> str:
    """Return one line an issue; a row with hints of personal data is named without its text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    hidden = {issue.row for issue in check.issues if issue.kind == "personal"}
    for issue in check.issues:
        text = "" if issue.row in hidden else texts.get(issue.row, "")
        cells = (issue.row, issue.kind, issue.label, issue.suggested, issue.other, issue.says, text)
        writer.writerow([csv_cell(cell or "") for cell in cells])
    return out.getvalue()


# What XML 1.0 cannot hold, escaped or not, beyond what `clean` takes away.
_ILLEGAL = re.compile("[\ufffe\uffff]")


def render_junit(decision: Decision, checks: Sequence[Expectation] = ()) -> str:
    """Return one test case for each expectation and each check of the verdict.

    Only an expectation can fail. A check that does not pass is skipped, with its evidence: it says
    something of the data and the candidates, and may be what was to be expected.
    """
    root = Xml.Element("testsuites", name="choose")
    _suite(root, "expectations", [_expectation(check) for check in checks])
    _suite(root, "checks", [_gate(gate) for gate in decision.gates])
    for key in ("tests", "failures", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: Xml.Element, name: str, cases: Sequence[Xml.Element]) -> None:
    suite = Xml.SubElement(root, "testsuite", name=f"choose {name}", tests=str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", "0")
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.extend(cases)


def _expectation(check: Expectation) -> Xml.Element:
    case = _case("expectations", check.name)
    if not check.met:
        Xml.SubElement(case, "failure", message=_legal(check.sentence), type="expectation")
    return case


def _gate(gate: Gate) -> Xml.Element:
    case = _case("checks", gate.name)
    if gate.status == "pass":
        Xml.SubElement(case, "system-out").text = _legal(gate.evidence)
    else:
        Xml.SubElement(case, "skipped", message=_legal(f"{gate.status}: {gate.evidence}"))
    return case


def _case(group: str, name: str) -> Xml.Element:
    return Xml.Element("testcase", classname=f"choose.{group}", name=_legal(name), time="0")


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", clean(text))


DecisionTexts = Mapping[str, str]


Checks = Sequence[Expectation]


def _decision_html(decision: Decision, texts: DecisionTexts, checks: Checks) -> str:
    from choose.report.html.page import render_html

    return render_html(decision, texts)


def _decision_markdown(decision: Decision, texts: DecisionTexts, checks: Checks) -> str:
    from choose.report.markdown import render_markdown

    return render_markdown(decision, checks)


def _junit(decision: Decision, texts: DecisionTexts, checks: Checks) -> str:

    return render_junit(decision, checks)


def _decision_json(decision: Decision, texts: DecisionTexts, checks: Checks) -> str:
    return decision.model_dump_json(by_alias=True, indent=1) + "\n"


DECISION_FORMS: dict[str, Callable[[Decision, DecisionTexts, Checks], str]] = {
    ".html": _decision_html,
    ".md": _decision_markdown,
    ".json": _decision_json,
    ".xml": _junit,
}


def check_output(path: Path) -> Path:
    """Return the path if a report can be written in the form that its ending names.

    Raises:
        StudyError: before anything is run, so that no study ends without its report.
    """
    return check_ending(path, DECISION_FORMS, "report.html")


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


def write_report(
    decision: Decision, path: Path, texts: DecisionTexts | None = None, checks: Checks = ()
) -> None:
    """Write the report, whole or not at all; `checks` are what a build expected.

    Raises:
        StudyError: if the ending names no form.
        StoreError: if the file cannot be written.
    """
    write_text(
        path, DECISION_FORMS[check_output(path).suffix.lower()](decision, texts or {}, checks)
    )


CheckTexts = Mapping[str, str]


def _check_json(check: Check, texts: CheckTexts) -> str:
    return check.model_dump_json(by_alias=True, indent=1) + "\n"


def _check_markdown(check: Check, texts: CheckTexts) -> str:
    return render_check_markdown(check)


CHECK_FORMS: dict[str, Callable[[Check, CheckTexts], str]] = {
    ".csv": render_issues,
    ".json": _check_json,
    ".md": _check_markdown,
}


def check_audit_output(path: Path) -> Path:
    """Return the path if an audit can be written there.

    Raises:
        StudyError: if its ending names no form, or it is a folder.
    """
    return check_ending(path, CHECK_FORMS, "issues.csv")


def write_audit(check: Check, path: Path, texts: CheckTexts) -> None:
    """Write the audit, whole or not at all.

    Raises:
        StoreError: if the file cannot be written.
    """
    write_text(path, CHECK_FORMS[check_audit_output(path).suffix.lower()](check, texts))


def _comparison_html(versus: Versus) -> str:
    from choose.report.html.page import render_versus_html

    return render_versus_html(versus)


def _comparison_json(versus: Versus) -> str:
    return versus.model_dump_json(by_alias=True, indent=1) + "\n"


COMPARISON_FORMS: dict[str, Callable[[Versus], str]] = {
    ".html": _comparison_html,
    ".md": render_versus_markdown,
    ".json": _comparison_json,
}


def check_versus_output(path: Path) -> Path:
    """Return the path if a comparison can be written there.

    Raises:
        StudyError: if its ending names no form, or it is a folder.
    """
    return check_ending(path, COMPARISON_FORMS, "versus.html")


def write_versus(versus: Versus, path: Path) -> None:
    """Write the comparison, whole or not at all.

    Raises:
        StoreError: if the file cannot be written.
    """
    write_text(path, COMPARISON_FORMS[check_versus_output(path).suffix.lower()](versus))

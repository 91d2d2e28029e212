"""Facts that change bar a candidate that knows them by heart: from a file to every report."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import choose
from choose.api.compare import decide
from choose.api.notebook_views import printed
from choose.corpus import UPDATED
from choose.report.html.page import render_html
from choose.report.markdown import render_markdown
from choose.report.terminal.decision_page import render, render_section
from choose.schema.decision import Decision, Gate
from choose.store.store import Store
from support import fake_strategies as fakes

# Names stand apart in some, so that the most similar question is about another bridge.
WORDINGS = (
    "When was the {0}{1} bridge opened?",
    "Year of the opening of the bridge at {0} ({1})?",
    "In which year did the bridge of the {1} near {0} open?",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Write a document about each bridge, and three questions on its year."""
    folder, documents, questions = tmp_path_factory.mktemp("bridges"), [], []
    for n, parts in enumerate(fakes.BRIDGES):
        bridge = "".join(parts)
        year = 1700 + 3 * n
        text = f"A page on the county. The {bridge} bridge opened in {year}. A fair is in May."
        documents.append({"id": f"d{n}", "title": bridge, "text": text})
        for k, asked in enumerate(WORDINGS):
            row = {
                "id": f"q{n}-{k}",
                "question": asked.format(*parts),
                "answers": [str(year)],
            }
            questions.append(row)
    paths = {}
    for name, rows in (("documents", documents), ("questions", questions)):
        paths[name] = str(folder / f"{name}.jsonl")
        Path(paths[name]).write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return folder, paths


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch)


def compare(files: tuple[Path, dict[str, str]], changed: float | None) -> Decision:
    """Run the study, which says how often documents change."""
    folder, paths = files
    choose.compare(
        paths["questions"],
        documents=paths["documents"],
        strategies=["memory", "finder"],
        scenarios=[UPDATED],
        views=[],
        noise=[0.1],
        sizes=[1.0],
        budget=600,
        documents_changed_per_month=changed,
        out=folder / f"study-{changed}",
        progress=False,
    )
    return decide(Store.open(folder / f"study-{changed}"))


def gate(decision: Decision) -> Gate:
    [found] = [one for one in decision.gates if one.name == "keeps up with documents"]
    return found


def screen(decision: Decision, height: int) -> str:
    """Return the first screen of a terminal of 80 columns."""
    text = StringIO()
    size: dict[str, Any] = {"width": 80, "height": height, "force_terminal": True}
    Console(file=text, color_system=None, highlight=False, _environ={}, **size).print(
        render(decision, Path("study"))
    )
    return text.getvalue()


@pytest.mark.usefixtures("known")
def test_what_is_known_by_heart_is_barred_where_documents_change_and_used_where_not(
    files: tuple[Path, dict[str, str]],
) -> None:
    often = compare(files, 0.1)
    assert (often.verdict.kind, often.verdict.recommended) == ("adopt", "finder")
    [own] = [one for one in often.old_facts if one.candidate == "memory"]
    assert (own.reader, own.status, own.barred) == ("finder", "fail", True)
    assert own.rows >= 50
    assert own.lead is not None
    assert own.left is not None
    assert own.lead.value > 0.1
    assert own.left.high is not None
    assert own.left.high < 0
    # All documents change within the year, at 10 % a month: 1 - 1 / 2.4 of the facts are old.
    assert own.old == pytest.approx(1 - 1 / 2.4)
    [family] = [one for one in often.verdict.families if one.family == "fine-tuning"]
    assert (family.status, family.best) == ("barred", "memory")
    [refused] = [one.why for one in often.verdict.rejected if one.candidate == "memory"]
    short, _, figures = refused.partition(". ")
    assert short.startswith("memory is not used: it is ")
    assert short.endswith(" points behind over 12 months")
    assert gate(often).evidence == refused
    assert any(one.startswith("Trained again every") for one in often.verdict.flips)
    for height in (24, 40):
        lines = screen(often, height).splitlines()
        assert len(lines) <= height - 2
        assert short in " ".join(" ".join(lines).split())
    checks = " ".join(printed(render_section(often, "checks")).split())
    page = " ".join(render_html(often).split())
    for text in (checks, page, " ".join(render_markdown(often).split())):
        assert "keeps up with documents" in text
        assert figures in text
    assert "keeps old facts" in page

    seldom = compare(files, 0.0)
    assert (seldom.verdict.kind, seldom.verdict.recommended) == ("adopt", "memory")
    assert gate(seldom).status == "pass"
    assert gate(seldom).evidence.startswith("No document changes, as the study says")
    unknown = compare(files, None)
    assert (unknown.verdict.use_meanwhile, gate(unknown).status) == ("memory", "unknown")
    assert "how often documents change is not known" in gate(unknown).evidence
    assert unknown.verdict.confidence != "high"

"""Every form of a report says the same: the answer, and what reading candidates lose."""

import html
import io
import re
from typing import get_args

import pytest
from rich.console import Console

from choose.api.compare_studies import summary_of
from choose.api.notebook import Decision as Shown
from choose.formatting import DASH
from choose.report import words
from choose.report.blocks import Table, reading_losses
from choose.report.terminal.pages import render_full
from choose.report.write import render_html, render_markdown
from choose.schema.decision import Decision, FamilyResult
from choose.schema.diagnosis import LossSplit
from choose.stats import Estimate
from choose.types import Kind
from support import decisions
from support.html import page_of


def plain(text: str) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\\", "").replace("`", "")
    return " ".join(text.split())


def forms(decision: Decision) -> dict[str, str]:
    shown = Shown.of(decision, None)
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=True, color_system=None, _environ={}).print(
        render_full(decision, None)
    )
    page = render_html(decision, {})
    return {
        "str": plain(str(shown)),
        "repr": plain(repr(shown)),
        "terminal": plain(out.getvalue()),
        "markdown": plain(render_markdown(decision)),
        "page": plain(page),
        "title": plain(page[page.index("<h1") : page.index("</h1>")]),
        "brief": summary_of(decision).answer,
    }


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_form_says_the_answer(kind: Kind) -> None:
    decision = decisions.decision(kind)
    said = forms(decision)
    for form, text in said.items():
        assert words.answer(decision).rstrip(".") in text, form
    for form in ("markdown", "page"):
        for sentence in (*words.doubts(decision), *words.caveats(decision)):
            assert plain(sentence) in said[form], form
    assert said["title"] == words.answer(decision)


def test_a_reference_is_never_what_to_use() -> None:
    """A copy of the input was what to use for now, where no model had answered."""
    families = (FamilyResult(family="prompting"),)
    said = words.answer(decisions.changed(decisions.alone(), families=families))
    assert ". The best reference is " in said
    assert "use" not in said


@pytest.mark.parametrize(("share", "use"), [(0.9, "retrieval"), (0.7, "a cheap baseline (tfidf)")])
def test_until_it_is_decided_what_has_more_so_far_is_used(share: float, use: str) -> None:
    """ "For now, use lora: 39 % right" stood over a probe with 72 % on the same rows."""
    seen = decisions.decision("incomplete")
    ahead = {"accuracy": Estimate(value=share), "difference": Estimate(value=0.1, low=0.05)}
    cards = (c.model_copy(update=ahead if c.family == "retrieval" else {}) for c in seen.scorecards)
    said = words.answer(seen.model_copy(update={"scorecards": (*cards,)}))
    assert f"For now, use {use}: " in said


def with_splits(*splits: LossSplit) -> Decision:
    return decisions.reading().model_copy(update={"loss_splits": splits})


def two() -> Decision:
    """Return a study of two candidates that read, the second of which reads one passage."""
    own = decisions.loss_split()
    gaps = tuple(gap for gap in own.gaps if gap.name != "distraction")
    return with_splits(decisions.loss_split("lora-rag", among_others=None, gaps=gaps), own)


def tables(decision: Decision) -> list[Table]:
    return [block for block in reading_losses(decision) if isinstance(block, Table)]


@pytest.mark.parametrize("render", [page_of, render_markdown], ids=["page", "Markdown"])
def test_every_form_has_every_row(render) -> None:
    decision = two()
    # The text alone: no tags, no escapes, single spaces.
    said = " ".join(re.sub(r"<[^>]+>", " ", render(decision)).replace("\\", "").split())
    cells = [cell for table in tables(decision) for row in table.rows for cell in row]
    assert len(cells) == 26
    for cell in cells:
        assert cell in said, cell


def test_the_chosen_candidate_comes_first_and_the_best_of_the_others_next() -> None:
    decision = two()
    for table in tables(decision):
        assert [row[0] for row in table.rows] == ["rag", "lora-rag"]
    other = decisions.changed(decision, recommended=None, use_meanwhile="sentence")
    assert [row[0] for row in tables(other)[0].rows] == ["lora-rag", "rag"]


def test_what_was_not_measured_is_a_dash() -> None:
    losses, *_ = tables(two())
    rag, tuned = (dict(zip(losses.heads, row, strict=True)) for row in losses.rows)
    assert rag["retrieval (95 % CI)"] == "+8.1 (+4.9 to +13.3)"
    assert tuned["other passages (95 % CI)"] == DASH, "it reads one passage"
    assert "evidence found" not in tables(with_splits(decisions.loss_split(found=None)))[1].heads

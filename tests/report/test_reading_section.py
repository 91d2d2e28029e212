"""What candidates that read documents lose: the same on the page and in Markdown."""

import re

import pytest

from choose.formatting import DASH
from choose.report.blocks import Table, reading_losses
from choose.report.write import render_markdown
from choose.schema.decision import Decision
from choose.schema.diagnosis import LossSplit
from support import decisions
from support.html import page_of


def with_splits(*splits: LossSplit) -> Decision:
    return decisions.reading().model_copy(update={"loss_splits": splits})


def two() -> Decision:
    """Return a study of two candidates that read, the second of which reads one passage."""
    own = decisions.loss_split()
    gaps = tuple(gap for gap in own.gaps if gap.name != "distraction")
    tuned = decisions.loss_split("lora-rag", among_others=None, gaps=gaps)
    return with_splits(tuned, own)


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
    scores = tables(with_splits(decisions.loss_split(found=None)))[1]
    assert "evidence found" not in scores.heads

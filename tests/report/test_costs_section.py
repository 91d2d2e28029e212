"""Money in the three reports: there where it is priced, and what is missing where it is not."""

import pytest

from choose.formatting import dollars
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.report.write import render_markdown
from choose.schema.decision import Decision
from support.html import page_of
from support.simulated_studies import rule, world


@pytest.fixture(scope="module")
def priced() -> Decision:
    return judge(world(0.86, 0.8, rows=900), rule())


@pytest.mark.parametrize("form", [render_markdown, page_of])
def test_every_report_says_what_it_costs(priced, form):
    text = " ".join(form(priced).replace("\\", "").split())
    cost = next(card.cost for card in priced.scorecards if card.candidate == "lora")
    for usd in (cost.training_usd, cost.usd_per_1k, cost.total_usd):
        assert dollars(usd) in text


@pytest.mark.parametrize("form", [render_markdown, page_of])
def test_unpriced_there_is_no_dollar(form):
    found = judge(world(rows=300), Rule())
    text = " ".join(form(found).split())
    assert "$ a year" not in text
    assert "Add prices to see dollars" in text

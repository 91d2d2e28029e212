"""Money in the three reports: there where it is priced, and what is missing where it is not."""

import pytest

from choose.formatting import dollars
from choose.judge.verdict import judge
from choose.report.words import data_risk, where
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


def test_a_report_with_dollars_does_not_ask_for_prices(priced: Decision) -> None:
    """Bought answers have dollars, and no training that was paid for."""
    cards = [
        card.model_copy(update={"cost": card.cost.model_copy(update={"training_usd": None})})
        for card in priced.scorecards
    ]
    bought = priced.model_copy(update={"scorecards": tuple(cards)})
    assert "Add prices" not in render_markdown(bought)


def test_where_texts_of_given_answers_went_is_not_known(priced: Decision) -> None:
    """All candidates "ran on this machine" where gpt-4o's answers were given."""
    first, *others = priced.scorecards
    given = first.model_copy(update={"strategy": "given"})
    found = priced.model_copy(update={"scorecards": (given, *others)})
    assert data_risk(found) == f"Where the texts of {given.candidate} went is not known."
    assert where(given) == "not known (answers were given)"
    assert "no text left it" in data_risk(priced)

"""Documents that change: their share by dates, and what it costs each month."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from choose.corpus import Corpus, Document
from choose.judge.goal import DAYS, Deployment, Rule
from choose.judge.measures.changed_documents import document_drills
from choose.judge.measures.document_churn import document_churn, monthly_share
from choose.judge.scores.score_tables import study_scores
from choose.report.cost_notes import notes
from choose.schema.reading import Churn, ChurnCost
from choose.tasks.answering import Answering, with_corpus
from support.changed_documents import LORA, RAG, evidence
from support.decisions import decision

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULE = Rule(usd_per_machine_hour=3.6)


def months_ago(months: float) -> datetime:
    return NOW - timedelta(days=months * DAYS)


def churn(rule: Rule, *times: datetime | None) -> Churn | None:
    own = evidence(RAG, LORA)
    corpus = Corpus(
        tuple(Document(id=str(n), text="x", timestamp=time) for n, time in enumerate(times))
    )
    own = replace(own, task=with_corpus(Answering(), corpus))
    return document_churn(own, document_drills(own, study_scores(own)), rule)


def test_the_share_is_that_of_the_last_year() -> None:
    # Of 24 documents, one a month: 12 in the last 12 months.
    assert monthly_share([months_ago(n) for n in range(24)]) == pytest.approx(1 / 24)
    # Dates of half a year, 10 of 20 documents; the oldest marks the beginning.
    half = [*(months_ago(6 * n / 9) for n in range(10)), *[None] * 10]
    assert monthly_share(half) == pytest.approx(9 / 20 / 6)


def test_documents_that_change_at_a_known_rate_are_told_at_least() -> None:
    rate, ages = 0.03, np.random.default_rng(0).exponential(1 / 0.03, 20_000)
    share = monthly_share([NOW, *(months_ago(float(age)) for age in ages)])
    # Of several changes within a year, dates show the last one.
    assert share == pytest.approx((1 - np.exp(-12 * rate)) / 12, rel=0.03)
    assert share < rate


@pytest.mark.parametrize(
    "times",
    [
        [],
        [NOW] * 20,  # the day on which they were exported
        [months_ago(n) for n in range(7)],
        [*(months_ago(n) for n in range(9)), *[None] * 10],
    ],
)
def test_few_dates_tell_nothing(times: list[datetime | None]) -> None:
    assert monthly_share(times) is None


def test_costs_are_those_counted_by_hand() -> None:
    found = churn(RULE, *(months_ago(n) for n in range(24)))
    assert found is not None
    assert (found.share, found.stated, found.documents) == (pytest.approx(1 / 24), False, 24)
    costs = {cost.candidate: cost for cost in found.costs}
    # lora scores 3 of 12 before, and half a point each of 3 after: half of a quarter is lost.
    assert costs["lora"].loss == pytest.approx(0.125 / 24)
    assert costs["lora"].index_usd is None
    # One change a month, half a second each, at 3.6 dollars an hour.
    assert costs["rag"].index_usd == pytest.approx(0.5 * 3.6 / 3600)


def test_the_study_file_comes_first_and_indexes_are_made_once_a_day() -> None:
    plan = Deployment(documents_changed_per_month=0.5)
    found = churn(replace(RULE, deployment=plan), *[None] * 200)
    assert found is not None
    assert (found.share, found.stated) == (0.5, True)
    costs = {cost.candidate: cost for cost in found.costs}
    assert costs["rag"].index_usd == pytest.approx(DAYS * 0.5 * 3.6 / 3600)
    assert costs["lora"].loss == pytest.approx(0.5 * 0.125)
    unpriced = churn(Rule(deployment=plan), *[None] * 200)
    assert unpriced is not None
    assert {cost.index_usd for cost in unpriced.costs} == {None}
    free = churn(Rule(deployment=plan, usd_per_machine_hour=0.0), *[None] * 200)
    assert free is not None
    assert {cost.candidate: cost.index_usd for cost in free.costs} == {"rag": 0.0, "lora": None}
    never = Deployment(documents_changed_per_month=0.0)
    assert churn(replace(RULE, deployment=never), *(months_ago(n) for n in range(24))) is None
    assert churn(RULE, *[None] * 20) is None


def test_the_notes_on_costs_say_it_and_escape_names() -> None:
    costs = (
        ChurnCost(candidate="rag\x1b[31m", reads=True, loss=0.0, index_usd=1.5),
        ChurnCost(candidate="lora", reads=False, loss=0.005),
        ChurnCost(candidate="nearest", reads=False, loss=0.0),
    )
    shown = decision().model_copy(
        update={"churn": Churn(share=0.04, stated=False, documents=60, costs=costs)}
    )
    margin = shown.goal["margin"]
    said = [*notes(shown)][:4]
    assert said[0] == "4.0 % of the documents change in a month, at least, as their dates tell."
    assert said[1].endswith("indexing after every change, once a day at most, costs $1.50 a month.")
    assert "\x1b" not in said[1]
    assert said[2] == (
        f"lora loses 0.5 points a month and the margin in {margin / 0.005:g} months, until it is "
        "trained again."
    )
    assert said[3].startswith("Passages are paid with every answer")

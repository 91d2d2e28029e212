"""Dollars are shared so that all who ask priced endpoints are asked the same number of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from choose.api.plan import plan_study
from choose.conformance import _WORDS, pool
from choose.models.endpoints.ledger import Ledger
from choose.run.spending_limit import DollarCost, DollarShare
from choose.store.store import Store
from support.chat_server import Http, Server, by_words, serving
from support.studies import HELD_OUT, compare, write_csv

RIGHT = by_words(_WORDS)

ENDPOINT = """
[endpoints.{name}]
base_url = "{url}"
model = "{name}"
usd_per_million_in = {price}
usd_per_million_out = {price}
[[candidates]]
strategy = "prompt"
name = "{name}"
model = "endpoint:{name}"
"""

PRICES = {"dear": 8.0, "cheap": 1.0, "wordy": 1.0}


def wordy(body: dict[str, object]) -> Http:
    """Answer rightly; one of the models thinks in many tokens, which no forecast knows of."""
    status, headers, content = RIGHT(body)
    answer = json.loads(content)
    if body["model"] == "wordy":
        answer["usage"] = {"prompt_tokens": 50, "completion_tokens": 350, "total_tokens": 400}
    return status, headers, json.dumps(answer).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(wordy) as running:
        yield running


def write(server: Server, limit: float) -> None:
    rows = [(e.text, e.target) for e in pool(seed=3, rows=300)]
    write_csv(Path("words.csv"), rows[:100])
    write_csv(Path("held_out.csv"), rows[100:])
    ends = (
        ENDPOINT.format(name=name, url=server.url, price=price) for name, price in PRICES.items()
    )
    Path("choose.toml").write_text(HELD_OUT + f"max_usd = {limit}\n" + "".join(ends))


def rows_asked(store: Path) -> dict[str, int]:
    kept = Store.open(store)
    runs = [run for trial in kept.grid()[1] if (run := kept.get(trial)) is not None]
    asked = {run.trial.candidate: len(run.asked["clean", 0]) for run in runs}
    return {name: asked[name] for name in PRICES}


@pytest.mark.slow
def test_all_candidates_get_the_same_rows_at_any_price(server: Server) -> None:
    write(server, limit=0.1)
    found = compare(study_file="choose.toml", out="st", approve=lambda spending: None)
    asked = rows_asked(found.store)
    # dear 8 x 55 tokens, cheap 55, wordy 400 a row: $0.1 pays for 111 rows of each, in parts of 25.
    assert set(asked.values()) == {100}, asked


@pytest.mark.slow
def test_enough_money_covers_all_rows(server: Server) -> None:
    write(server, limit=1.0)
    found = compare(study_file="choose.toml", out="st", approve=lambda spending: None)
    assert set(rows_asked(found.store).values()) == {200}


def test_a_plan_says_how_many_rows_the_dollars_reach(server: Server) -> None:
    write(server, limit=0.05)
    found = {
        one.candidate: one for one in plan_study(study_file="choose.toml", rehearse=True).forecasts
    }
    assert not server.asked
    reached = {name: found[name].rows for name in PRICES}
    assert all(rows is None or 25 <= rows < 200 for rows in reached.values()), reached
    assert reached["dear"] is not None


def test_measured_prices_replace_forecast_prices() -> None:
    ledger = Ledger(limit=10.0)
    share = DollarShare(ledger, 0.0, 0, DollarCost(0.01, 200), {"other": DollarCost(0.1, 200)})
    assert share.covers(0, 25)
    # A row costs 0.1 and not 0.01: fifty for each is what ten dollars buy.
    ledger.spent, ledger.requests = 2.5, 25
    assert share.covers(25, 25)
    ledger.spent, ledger.requests = 5.0, 50
    assert not share.covers(50, 25)


def test_rows_from_disk_do_not_make_the_others_cheaper() -> None:
    ledger = Ledger(limit=10.0)
    share = DollarShare(ledger, 0.0, 0, DollarCost(0.1, 200), {"other": DollarCost(0.1, 200)})
    ledger.spent, ledger.requests = 1.0, 10  # ninety more were paid for by an earlier command
    # What is left pays for 95 rows between a hundred and nothing: the other one's turn.
    assert not share.covers(100, 25)


def test_requests_that_may_be_billed_count_against_the_share() -> None:
    ledger = Ledger(limit=10.0)
    share = DollarShare(ledger, 0.0, 0, DollarCost(0.1, 200), {"other": DollarCost(0.1, 200)})
    ledger.maybe_billed = 5.0
    assert not share.covers(50, 25)


def test_answers_without_counts_are_taken_at_what_is_held_for_them() -> None:
    ledger = Ledger(limit=1.0)
    share = DollarShare(ledger, 0.0, 0, DollarCost(0.01, 200), {"other": DollarCost(0.01, 200)})
    ledger.maybe_billed, ledger.requests = 0.5, 50
    assert not share.covers(50, 25)

"""The forecast of what endpoints are sent, against what they are sent."""

from __future__ import annotations

import random
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from choose.conformance import _WORDS, pool
from choose.models.endpoints.handshake import PROBE_TEXT
from choose.schema.plan import Spending
from support.chat_server import Http, by_words, serving
from support.studies import HELD_OUT, compare, write_csv

ENDPOINT = """
[endpoints.{name}]
base_url = "{url}"
model = "{name}"
usd_per_million_in = 1.0
usd_per_million_out = 1.0
[[candidates]]
strategy = "{strategy}"
name = "{name}"
model = "endpoint:{name}"
params = {{ {params} }}
"""

# Each with its own length to which texts are cut: its strategy's, or the study's.
ASKING = {
    "shown": ("few-shot", ""),
    "shown-less": ("few-shot", "max_tokens = 64"),
    "alone": ("prompt", "max_tokens = 1000"),
    "served": ("served", ""),
}


def long(seed: str) -> str:
    """Return about eight kilobytes that no other row has."""
    chooser = random.Random(seed)
    return " ".join("".join(chooser.choices(ascii_lowercase, k=7)) for _ in range(1_000))


@pytest.mark.slow
def test_texts_that_are_cut_are_forecast_as_they_are_sent() -> None:
    sent: dict[str, list[int]] = {name: [] for name in ASKING}
    answer = by_words(_WORDS)

    def respond(body: dict[str, Any]) -> Http:
        if PROBE_TEXT not in body["messages"][-1]["content"]:
            told = sum(len(m["content"].encode()) for m in body["messages"])
            sent[body["model"]].append(told // 4)
        return answer(body)

    found = [(f"{e.text} {long(e.id)}", e.target) for e in pool(seed=3, rows=60)]
    write_csv(Path("words.csv"), found[:40])
    write_csv(Path("held_out.csv"), found[40:])
    plans: list[Spending] = []
    with serving(respond) as server:
        ends = (
            ENDPOINT.format(name=name, url=server.url, strategy=strategy, params=params)
            for name, (strategy, params) in ASKING.items()
        )
        Path("choose.toml").write_text(HELD_OUT + "".join(ends))
        compare(study_file="choose.toml", out="st", approve=plans.append)
    bills = {bill.name: bill for bill in plans[0].bills}
    assert set(bills) == set(ASKING)
    for name, told in sent.items():
        assert len(told) == bills[name].requests == 20
        # The frame of messages and the schema are in the forecast alone.
        assert sum(told) <= bills[name].read <= 1.3 * sum(told) + 150 * len(told), name

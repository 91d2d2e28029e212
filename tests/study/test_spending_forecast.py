"""The forecast of what endpoints are sent, against what they are sent."""

import json
import random
import re
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from choose.conformance import pool
from choose.errors import StudyError
from choose.models.endpoints.handshake import PROBE_TEXT
from choose.report.terminal.plan_page import plan_lines
from choose.schema.plan import Spending
from support.chat_server import RIGHT, Http, serving
from support.chat_server import sent as sent_back
from support.studies import HELD_OUT, SERVED, compare, write_csv

COLOURS = ("red", "blue", "green", "brown")

# Each with its own length to which texts are cut: its strategy's, or the study's.
ASKING = {
    "shown": ("few-shot", ""),
    "shown-less": ("few-shot", "max_tokens = 64"),
    "alone": ("prompt", "max_tokens = 1000"),
    "served": ("served", ""),
}


def long(seed: str) -> str:
    chooser = random.Random(seed)
    return " ".join("".join(chooser.choices(ascii_lowercase, k=7)) for _ in range(1_000))


@pytest.mark.slow
def test_texts_that_are_cut_are_forecast_as_they_are_sent() -> None:
    sent: dict[str, list[int]] = {name: [] for name in ASKING}

    def respond(body: dict[str, Any]) -> Http:
        if PROBE_TEXT not in body["messages"][-1]["content"]:
            told = sum(len(m["content"].encode()) for m in body["messages"])
            sent[body["model"]].append(told // 4)
        return RIGHT(body)

    found = [(f"{e.text} {long(e.id)}", e.target) for e in pool(seed=3, rows=60)]
    write_csv(Path("words.csv"), found[:40])
    write_csv(Path("held_out.csv"), found[40:])
    plans: list[Spending] = []
    with serving(respond) as server:
        ends = (
            SERVED.format(name=name, url=server.url, price=1.0, strategy=strategy, params=params)
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


# Ways to ask: passages alone, and with a demonstration that has its own.
READING = {"reads": "k = 2", "shown": "k = 1, shots = 1", "alone": ""}


@pytest.mark.slow
@pytest.mark.parametrize("name", READING)
def test_passages_are_forecast_as_they_are_sent(name: str) -> None:
    told = list[int]()
    chooser = random.Random(5)
    things = [f"thing{n}" for n in range(24)]
    documents = [
        {
            "id": thing,
            "text": f"The colour of {thing} is {chooser.choice(COLOURS)} today. "
            + " ".join("".join(chooser.choices(ascii_lowercase, k=6)) for _ in range(80)),
        }
        for thing in things
    ]
    rows = [
        {"question": f"What colour is {d['id']}?", "answers": [d["text"].split()[5]]}
        for d in documents
    ]

    def respond(body: dict[str, Any]) -> Http:
        text = body["messages"][-1]["content"]
        if PROBE_TEXT not in text:
            told.append(sum(len(m["content"].encode()) for m in body["messages"]) // 4)
        thing = re.findall(r"What colour is (thing\d+)", text)[-1:]
        found = re.findall(rf"colour of {thing[0]} is (\w+)", text) if thing else []
        return sent_back(found[0] if found else "blue")

    for file, some in (("docs", documents), ("rows", rows[:12]), ("held_out", rows[12:])):
        Path(f"{file}.jsonl").write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    plans: list[Spending] = []
    with serving(respond) as server:
        reads = name != "alone"
        end = SERVED.format(
            name=name,
            url=server.url,
            price=1.0,
            strategy="rag" if reads else "prompt",
            params=f'retriever = "bm25", {READING[name]}' if reads else "",
        )
        head = (
            '[data]\npath = "rows.jsonl"\ntest = "held_out.jsonl"\ndocuments = "docs.jsonl"\n'
            "[grid]\nseeds = 1\nnoise = [0.0]\nviews = []\nscenarios = []\n"
        )
        Path("choose.toml").write_text(head + end)
        compare(study_file="choose.toml", out="st", approve=plans.append)
    (bill,) = plans[0].bills
    # What is found first is often the passage with the evidence: a request that was sent. Few
    # documents can be changed without doubt.
    assert 0.3 * bill.requests <= len(told) <= bill.requests
    each = sum(told) / len(told)
    assert each <= bill.read / bill.requests <= 1.3 * each + 150
    # Clean rows, the control among others and the drill show two, the gold passage one.
    assert bill.passages == {"reads": (2 + 0 + 1 + 2 + 2) * 12, "alone": 0}.get(name, bill.passages)
    if name == "reads":
        assert bill.requests == 5 * 12
        [line] = [line for line in plan_lines(plans[0]) if line.startswith("reads:")]
        assert "and up to 84 passages of the documents" in line


def coloured(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    texts = {f"thing{n}": f"The colour of thing{n} is blue{n}." for n in range(count)}
    rows = [
        {"question": f"What colour is {name}?", "answers": [f"blue{n}"]}
        for n, name in enumerate(texts)
    ]
    return [{"id": f"d{n}", "text": text} for n, text in enumerate(texts.values())], rows


def test_passages_of_documents_are_sent_only_with_consent() -> None:
    documents, rows = coloured(20)
    for name, some in (("docs", documents), ("rows", rows)):
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    facts = {"price": 1.0, "strategy": "rag", "params": 'retriever = "bm25"'}
    end = SERVED.format(name="reads", url="http://127.0.0.1:9", **facts)
    head = '[data]\npath = "rows.jsonl"\ndocuments = "docs.jsonl"\n[grid]\nseeds = 1\nviews = []\n'
    Path("choose.toml").write_text(head + end)
    with pytest.raises(StudyError, match="with your rows and passages of your documents would be"):
        compare(study_file="choose.toml", out="st")

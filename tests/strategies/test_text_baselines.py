"""The cheap baselines of records and texts."""

import json
from functools import cache
from typing import Any

import pytest

from choose.strategy import Strategy, build
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import Extraction, as_text, fields_of
from choose.tasks.writing import Writing
from choose.types import Example, Item
from support.studies import fit_strategy

RECORDS = ("empty", "gazetteer", "pattern", "tagger", "nearest")


def rows() -> list[Example]:
    """Orders of which each says who, how many, which day and whether it hurries."""
    people, goods = ["Ann Lee", "Bo Day", "Cy Orr", "Di Fox"], ["mops", "tape", "bolts"]
    found = []
    for n in range(48):
        who, what, count = people[n % 4], goods[n % 3], n % 9 + 2
        text = f"{who} here, please send {count} boxes of {what} by {n % 27 + 1} May"
        record = {
            "name": who,
            "items": [f"{count} boxes {what}"],
            "day": f"2025-05-{n % 27 + 1:02}",
        }
        if n % 4 == 1:
            text, record["urgent"] = f"{text}, as soon as you can", "yes"
        found.append(
            Example(
                id=f"r{n}", text=text, target=as_text(record), fields={"received": "2025-04-30"}
            )
        )
    return found


ROWS = rows()
TASK = Extraction(fields=fields_of(row.target for row in ROWS))
NEW = Item(
    id="new",
    text="Di Fox here, please send 5 boxes of bolts by 12 May, as soon as you can",
    fields={"received": "2025-05-01"},
)


@cache
def fitted(name: str) -> Strategy:
    return fit_strategy(name, ROWS, TASK if name in RECORDS else Writing())


def answer(name: str, item: Item = NEW) -> dict[str, object]:
    return dict(json.loads(str(fitted(name).predict([item]).outputs[0])))


def test_the_tagger_finds_new_values_and_writes_them_as_the_pool_does() -> None:
    assert answer("tagger") == {
        "name": "Di Fox",
        "items": ["5 boxes bolts"],
        "day": "2025-05-12",
        "urgent": "yes",
    }


def test_the_tagger_leaves_out_what_is_not_there() -> None:
    quiet = Item(
        id="q", text="Cy Orr here, please send 4 boxes of tape", fields={"received": "2025-05-01"}
    )
    assert answer("tagger", quiet) == {"name": "Cy Orr", "items": ["4 boxes tape"]}


def test_a_pattern_fills_the_fields_whose_values_have_a_form() -> None:
    assert answer("pattern")["day"] == "2025-05-12"


def test_the_gazetteer_knows_values_of_the_pool_alone() -> None:
    assert answer("gazetteer")["name"] == "Di Fox"
    assert answer("gazetteer", Item(id="s", text="Eve Moss here", fields={})) == {}


def test_empty_and_nearest() -> None:
    assert answer("empty") == {}
    assert answer("nearest", ROWS[5].item()) == json.loads(ROWS[5].target)


@pytest.mark.parametrize("name", RECORDS)
def test_a_pool_of_one_row_and_of_empty_records(name: str) -> None:
    strategy = build(name, seed=0)
    for pool in (ROWS[:1], [Example(id="a", text="", target="{}")]):
        strategy.fit(Extraction(fields={"name": "text"}), pool)
        assert len(strategy.predict([NEW])) == 1


def test_lead_takes_as_many_sentences_as_score_best_on_the_pool() -> None:
    examples = [
        Example(id=str(n), text=f"One {n}. Two {n}! Three {n}? Four.", target=f"One {n}. Two {n}!")
        for n in range(9)
    ]
    strategy = fit_strategy("lead", examples, Writing())
    assert strategy.predict([Item(id="q", text="A b. C d. E f.")]).outputs == ("A b. C d.",)
    assert strategy.predict([Item(id="q", text=" ")]).status == ("empty",)


PASSAGE = "The town lies in Kent. Its bridge opened in 1912. A fair is held in May."
QUESTIONS = [
    Example(
        id=str(n),
        text=f"When did the bridge {n} open?",
        target="1912" if n % 3 else NO_ANSWER,
        fields={"passage": PASSAGE},
    )
    for n in range(9)
]
READ = Answering(passage="passage", unanswerable=True)


def test_the_best_sentence_shares_rare_words_with_the_question() -> None:
    strategy = fit_strategy("sentence", QUESTIONS, READ)
    items = [
        Item(id="a", text="When did its bridge open?", fields={"passage": PASSAGE}),
        Item(id="b", text="In which month is a fair held?", fields={"passage": PASSAGE}),
        Item(id="c", text="Where is it?", fields={"passage": " "}),
        Item(id="d", text="What \x00\ud800?", fields={"passage": "One\n\nTwo"}),
    ]
    answers = strategy.predict(items)
    assert answers.outputs == ("Its bridge opened in 1912.", "A fair is held in May.", None, "One")
    assert answers.status == ("ok", "ok", "empty", "ok")
    assert strategy.refuses(READ) is None
    assert "no passage" in strategy.refuses(Answering())


def test_always_nothing_is_for_questions_of_which_some_have_no_answer() -> None:
    strategy: Any = build("empty", seed=0)
    assert strategy.refuses(READ) is None
    assert strategy.refuses(TASK) is None
    assert strategy.refuses(Answering()) == "every question has an answer."
    strategy.fit(READ, QUESTIONS)
    assert strategy.predict([QUESTIONS[0].item()]).outputs == (NO_ANSWER,)

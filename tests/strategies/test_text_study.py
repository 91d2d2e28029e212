"""Real studies of records and texts with the cheap baselines, from a file to the decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import choose

pytestmark = pytest.mark.slow

PEOPLE = ("Ann Lee", "Bo Day", "Cy Orr", "Di Fox", "Eve Moss", "Flo Kay")
GOODS = ("mops", "blue tape", "bolts M8", "bin bags", "gloves")


def orders(rows: int = 180) -> list[dict[str, object]]:
    """Orders with a record each; every third one hurries."""
    found = []
    for n in range(rows):
        record: dict[str, object] = {
            "name": PEOPLE[n % 6],
            "items": [f"{n % 9 + 2} {GOODS[n % 5]}"],
        }
        text = f"{record['name']} writes ({n}): {n % 9 + 2} {GOODS[n % 5]} please"
        if n % 4:
            record["day"] = f"2025-05-{n % 27 + 1:02}"
            text += f" by {n % 27 + 1} May"
        if n % 3 == 2:
            record["urgent"], text = "yes", f"{text}, it hurries"
        found.append({"id": f"o{n}", "text": text, "received": "2025-04-30", "target": record})
    return found


def test_records_are_compared_from_a_file_to_the_decision(tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in orders()))
    decision = choose.compare(
        str(file),
        strategies=["tagger"],
        fields=["received"],
        scenarios=["new-class"],
        noise=[],
        views=[],
        budget=600,
        out=tmp_path / "study",
    )
    found = {card.candidate: card for card in decision.scorecards}
    assert decision.best == "tagger"
    assert set(found) == {"empty", "gazetteer", "nearest", "pattern", "tagger"}
    assert found["tagger"].accuracy is not None
    assert found["tagger"].accuracy.value > 0.95
    assert found["tagger"].stability.new_class is not None  # a field that appears later
    assert found["tagger"].macro_f1 is None


def test_texts_are_compared_from_a_file_to_the_decision(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    rows = [
        {
            "text": f"The {GOODS[n % 5]} for {PEOPLE[n % 6]} came on day {n}. Nothing else. Bye.",
            "target": f"{GOODS[n % 5]} for {PEOPLE[n % 6]} came on day {n}.",
        }
        for n in range(60)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    decision = choose.compare(str(file), strategies=["lead"], budget=600, out=tmp_path / "study")
    found = {card.candidate: card for card in decision.scorecards}
    assert set(found) == {"copy", "lead", "nearest"}
    assert decision.best == "lead"
    assert found["lead"].macro_f1 is None


@pytest.mark.parametrize("name", ["copy", "tagger"])
def test_a_strategy_of_another_kind_is_refused_by_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "text,label\n" + "".join(f"row {n} of words,{'ab'[n % 2]}\n" for n in range(40))
    )
    decision = choose.compare(
        str(file), strategies=["tfidf", name], budget=30, out=tmp_path / "study"
    )
    assert any(left.sentence.startswith(f"{name}: it answers") for left in decision.left_out)

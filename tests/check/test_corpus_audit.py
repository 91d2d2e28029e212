"""What `choose check` says of the documents that questions are answered from."""

from pathlib import Path
from typing import Any

import pytest

from choose.api.plan import check
from choose.report import check_words as words
from choose.schema.check import Check, CorpusFacts
from support.studies import write_lines as lines

GOODS = ["lamps", "chairs", "ropes", "bells", "books", "boats", "clocks", "coats", "drums", "flags"]


def shop(n: int) -> dict[str, Any]:
    goods, other = GOODS[n % 10], GOODS[n * 3 % 10 - 1]
    name = f"{goods}{GOODS[n // 10]}"
    return {
        "id": f"shop-{name}",
        "title": f"Shop {name}",
        "text": f"This place sells {goods} beside {other}, number {n * 7919 % 10_007}. "
        f"Whoever buys {n + 300} {goods} at once gets one more.",
    }


def asked(n: int) -> dict[str, Any]:
    document = shop(n)
    question = f"How many give one more at {document['title'].lower()}?"
    return {"id": f"q{n}", "question": question, "answers": [str(n + 300)]}


def checked(folder, rows, documents, **data):
    data["documents"] = lines(folder / "documents.jsonl", documents)
    return check(lines(folder / "questions.jsonl", rows), overrides={"data": data}).record


def says(record: Check, topic: str) -> str:
    [line] = [line for line in record.lines if words.topic(line) == topic]
    return f"{line.status}: {words.line(record, line)}"


def facts(record: Check) -> CorpusFacts:
    assert record.targets.answers.corpus is not None
    return record.targets.answers.corpus


def test_answers_in_other_words_are_told_from_missing_documents(tmp_path: Path) -> None:
    rows = [{**asked(n), "evidence": [shop(n)["id"]]} for n in range(60)]
    rows[7]["answers"] = ["three hundred and seven"]
    record = checked(tmp_path, rows, [shop(n) for n in range(60)])
    assert not record.named("not in documents")
    assert says(record, "Evidence").startswith("good: ")
    assert "for 1 it has other words than its document (row q7)" in says(record, "Evidence")


def test_one_document_is_said_and_names_are_escaped(tmp_path: Path) -> None:
    text = " ".join(shop(n)["text"] for n in range(60))
    one = [{"id": "all\x1b[31m<b>", "title": "\x1b]0;x\x07", "text": text}]
    record = checked(tmp_path, [asked(n) for n in range(60)], one)
    assert says(record, "Documents").startswith("look: 1 document with ")
    assert "Whatever is retrieved comes from this one." in says(record, "Documents")
    assert "\x1b" not in record.model_dump_json().encode().decode("unicode_escape")


@pytest.mark.slow
def test_real_sets_have_the_gaps_that_are_known_of_them(shared_data: Path) -> None:
    for name, documents, reworded in (("xquad_en", 240, 1), ("pubmedqa_l", 740, 740)):
        folder = shared_data / name
        data = {"documents": str(folder / "passages.jsonl")}
        record = check(str(folder / "questions.jsonl"), overrides={"data": data})
        assert facts(record.record).documents == documents
        assert len(record.record.named("reworded")) == reworded

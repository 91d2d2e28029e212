"""What `choose check` says of targets that are records or texts."""

from pathlib import Path
from typing import Any

import pytest

from choose.api.plan import check, resolve
from choose.report import check_words as words
from choose.schema.check import Check
from support.studies import write_lines as lines

TREES = ["oak", "pine", "elm", "ash", "fir", "yew", "lime", "plum", "pear", "beech", "box", "alder"]


def booking(i: int) -> dict[str, Any]:
    people, tree = i % 5 + 2, TREES[i % 12]
    text = f"Table {i} for {people} at the {tree} on day {i % 28 + 1}, call {i * 7919 % 10_007}"
    day = f"2025-03-{i % 28 + 1:02d}"
    return {"text": text, "target": {"people": people, "tree": tree, "day": day}}


def summary(i: int) -> dict[str, Any]:
    tree = TREES[i % 12]
    text = f"They talked about {tree} number {i} and about {TREES[i * 5 % 12]} {i * 7919 % 10_007}"
    return {"text": text, "target": f"Talk of a {tree}, {i} in all"}


def checked(folder: Path, rows: list[dict[str, Any]], **more: Any) -> Check:
    return check(resolve(lines(folder / "rows.jsonl", rows), None, more)).record


def says(record: Check, topic: str) -> str:
    [line] = [line for line in record.lines if words.topic(line) == topic]
    return f"{line.status}: {words.line(record, line)}"


def test_records_are_described_by_field_and_nothing_of_labels_is_shown(tmp_path: Path) -> None:
    record = checked(tmp_path, [booking(i) for i in range(120)])
    assert (record.kind, record.balance, record.conflicts, record.audit) == ("extraction",) + (
        None,
    ) * 3
    by_name = {f.name: f for f in record.targets.fields}
    assert {n: (f.type, f.filled) for n, f in by_name.items()} == {
        "people": ("number", 120),
        "tree": ("text", 120),
        "day": ("date", 120),
    }
    assert by_name["people"].in_text == by_name["tree"].in_text == 1.0
    assert by_name["day"].in_text == 0.0
    assert not set(map(words.topic, record.lines)) & {"Balance", "Wrong labels", "Conflicts"}


def test_a_line_says_how_many_fields_it_does_not_name(tmp_path: Path) -> None:
    rows = [booking(i) for i in range(40)]
    for row in rows:
        row["target"] |= {f"copy {k}": row["target"]["tree"] for k in range(9)}
    assert says(checked(tmp_path, rows), "Fields").count(" and 4 others.") == 2


def test_like_inputs_may_differ_in_a_value_but_not_in_their_fields(tmp_path: Path) -> None:
    """`Table for 6` and `Table for 4` are near-duplicates with different right records."""
    long = "we would love to have the big round table beside the window under the old lamp again"
    rows = [booking(i) for i in range(60)]
    rows += [{"text": f"{long} for {n}", "target": {"people": n}} for n in (4, 6)]
    rows.append({"text": f"{long} for 8", "target": {"tree": "oak", "day": "2025-03-01"}})
    record = checked(tmp_path, rows)
    assert record.within.near == 3
    assert {(u.row, u.other) for u in record.named("unlike target")} == {("61", "63"), ("62", "63")}


def test_further_input_tells_like_texts_apart(tmp_path: Path) -> None:
    rows = [{**booking(i), "asked": "people" if i % 2 else "day"} for i in range(60)]
    rows.append({"text": "13", "asked": "people", "target": {"people": 13}})
    rows.append({"text": "13", "asked": "day", "target": {"day": "2025-03-13"}})
    bare = checked(tmp_path, rows)
    assert len(bare.named("unlike target")) == bare.within.exact - 1 == 1
    told = checked(tmp_path, rows, data={"fields": ("asked",)})
    assert not told.named("unlike target")
    assert told.within.all == 0


def test_texts_for_other_further_input_do_not_contradict(tmp_path: Path) -> None:
    """Nearly the same input is one of another word, not one for another audience."""
    rows = [{**summary(i), "reader": "child" if i % 2 else "expert"} for i in range(60)]
    long = "the big round table beside the window under the old lamp was sold to the neighbours"
    for reader, wrote in (("expert", "Sold it."), ("child", "Our table is gone!"), ("child", "?")):
        rows.append({"text": long, "reader": reader, "target": wrote})
    bare, told = (checked(tmp_path, rows, data={"fields": f}) for f in ((), ("reader",)))
    assert [(u.row, u.other) for u in bare.named("unlike target")] == [("61", "62"), ("61", "63")]
    assert [(u.row, u.other) for u in told.named("unlike target")] == [("62", "63")]


def test_a_field_of_the_test_file_alone_is_named(tmp_path: Path) -> None:
    rows = [booking(i) for i in range(80)]
    test = [booking(i) for i in range(100, 120)]
    test[0]["target"]["po"] = "17"
    record = checked(tmp_path, rows, data={"test": lines(tmp_path / "test.jsonl", test)})
    assert "Only in the test file: 'po'." in says(record, "Fields")


def question(i: int) -> dict[str, Any]:
    town = TREES[i % 12].capitalize()
    people = (i + 1) * 7919 % 10_007
    passage = f"Page {i // 3}. {town}ville-{i} has a fair and {people} people."
    return {
        "id": f"q{i}",
        "question": f"How many people live in town number {i * 31 % 997} of page {i // 3}?",
        "answers": [str(people)],
        "passage": passage + f" Of it {TREES[i * 5 % 12]} and {TREES[i * 7 % 12]} are known." * 3,
    }


def test_questions_that_are_alike_with_their_passages_should_have_like_answers(tmp_path):
    rows = [question(i) for i in range(120)]
    rows[9] = {**rows[8], "id": "q9", "answers": ["a lot"]}
    rows[11] = {**rows[10], "id": "q11", "passage": rows[11]["passage"]}  # another town, no twin
    rows[13] = {**rows[12], "id": "q13", "answers": ["none", *rows[12]["answers"]]}  # they agree
    record = checked(tmp_path, rows, data={"fields": ["passage"]})
    assert [(u.row, u.other) for u in record.named("unlike target")] == [("q8", "q9")]
    assert "contradictions" in [step.code for step in record.first]


GOODS = ["lamps", "chairs", "ropes", "bells", "books", "boats", "clocks", "coats", "drums", "flags"]


def shop(n: int) -> dict[str, Any]:
    goods, other = GOODS[n % 10], GOODS[n * 3 % 10 - 1]
    name = f"{goods}{GOODS[n // 10]}"
    return {
        "id": f"shop-{name}",
        "title": f"Shop {name}",
        "text": f"This place sells {goods} beside {other}, number {n * 7919 % 10_007}. "
        f"An order of {n + 300} {goods} at once brings one more.",
    }


def asked(n: int) -> dict[str, Any]:
    document = shop(n)
    question = f"How many give one more at {document['title'].lower()}?"
    return {"id": f"q{n}", "question": question, "answers": [str(n + 300)]}


def with_documents(folder, rows, documents, **data):
    data["documents"] = lines(folder / "documents.jsonl", documents)
    return check(resolve(lines(folder / "questions.jsonl", rows), None, {"data": data})).record


def test_answers_in_other_words_are_told_from_missing_documents(tmp_path: Path) -> None:
    rows = [{**asked(n), "evidence": [shop(n)["id"]]} for n in range(60)]
    rows[7]["answers"] = ["three hundred and seven"]
    record = with_documents(tmp_path, rows, [shop(n) for n in range(60)])
    assert not record.named("not in documents")
    assert says(record, "Evidence").startswith("good: ")
    assert "For 1, it has other words than its document (row q7)" in says(record, "Evidence")


def test_one_document_is_said_and_names_are_escaped(tmp_path: Path) -> None:
    text = " ".join(shop(n)["text"] for n in range(60))
    one = [{"id": "all\x1b[31m<b>", "title": "\x1b]0;x\x07", "text": text}]
    record = with_documents(tmp_path, [asked(n) for n in range(60)], one)
    assert says(record, "Documents").startswith("look: 1 document with ")
    assert "Whatever is retrieved comes from this one." in says(record, "Documents")
    assert "\x1b" not in record.model_dump_json().encode().decode("unicode_escape")


@pytest.mark.slow
def test_real_sets_have_the_gaps_that_are_known_of_them(shared_data: Path) -> None:
    for name, documents, reworded in (("xquad_en", 240, 1), ("pubmedqa_l", 740, 740)):
        folder = shared_data / name
        data = {"documents": str(folder / "passages.jsonl")}
        record = check(resolve(str(folder / "questions.jsonl"), None, {"data": data})).record
        assert record.targets.corpus.documents == documents
        assert len(record.named("reworded")) == reworded

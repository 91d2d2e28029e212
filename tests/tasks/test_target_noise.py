"""Noise in targets that are records or texts: nested, paired, from other rows of the pool."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from choose.corpus import Corpus, Document, Span
from choose.data.noise_injection import noisy
from choose.errors import StudyError
from choose.tasks.answering import NO_ANSWER, Answering, with_corpus
from choose.tasks.extraction import Extraction, as_text, parse
from choose.tasks.target_noise import (
    IN_DOCUMENT,
    IN_PASSAGE,
    OF_ANSWERS,
    OF_RECORDS,
    OF_TEXTS,
    form,
    other_spans,
)
from choose.tasks.writing import Writing
from choose.types import Example

TASK = Extraction(fields={"people": "number", "day": "date", "items": "list", "name": "text"})


def pool(rows: int = 200) -> list[Example]:
    found = []
    for i in range(rows):
        record: dict[str, object] = {"items": [f"{i} bolts", f"{i % 9} nuts"]}
        if i % 2:
            record["people"] = i
        if i % 3:
            record["day"] = f"2025-03-{i % 28 + 1:02d}"
        if i % 5 == 0:
            record["name"] = f"Ann {i}"
        found.append(Example(id=f"r{i}", text=f"t{i}", target=as_text(record)))
    return found


def changed(rate: float, kind: str, rows: list[Example] | None = None) -> dict[str, str]:
    rows = rows or pool()
    after = noisy(rows, TASK, kind, rate, seed=1, donors=pool())
    assert [e.id for e in after] == [e.id for e in rows]
    return {a.id: a.target for b, a in zip(rows, after, strict=True) if a.target != b.target}


@pytest.mark.parametrize("kind", OF_RECORDS)
def test_more_noise_disturbs_a_superset_in_the_same_way(kind: str) -> None:
    few, many = changed(0.1, kind), changed(0.3, kind)
    assert few.items() <= many.items()
    assert 10 <= len(few) <= 30
    assert 45 <= len(many) <= 75
    assert changed(0.0, kind) == {}
    part = pool()[:50]
    assert changed(0.3, kind, part) == {
        id: target for id, target in many.items() if id in {e.id for e in part}
    }


@pytest.mark.parametrize("kind", OF_RECORDS)
def test_each_kind_changes_what_its_name_says(kind: str) -> None:
    before = {e.id: parse(e.target) for e in pool()}
    known = [parse(e.target) for e in pool()]
    for id, target in changed(0.5, kind).items():
        old, new = before[id], parse(target)
        differ = {n for n in old.keys() | new.keys() if old.get(n) != new.get(n)}
        if kind == "symmetric":
            assert new in known
            continue
        [name] = differ
        if kind == "value-dropped":
            assert name not in new or len(new[name]) == len(old[name]) - 1
        elif kind == "value-invented":
            assert name not in old
            assert any(record.get(name) == new[name] for record in known)
        elif kind == "value-swapped":
            assert old.keys() == new.keys()
            assert any(record.get(name) == new[name] for record in known)
        else:
            assert old.keys() == new.keys()
            assert len(json.dumps(old[name])) == len(json.dumps(new[name]))
            assert type(old[name]) is type(new[name])


def test_the_rows_disturbed_are_the_same_for_every_seed_of_a_strategy_and_differ_by_draw() -> None:
    rows = pool()
    one, again = (noisy(rows, TASK, "symmetric", 0.2, seed=1) for _ in range(2))
    assert one == again
    assert one != noisy(rows, TASK, "symmetric", 0.2, seed=2)


def test_texts_are_swapped_or_get_another_number() -> None:
    task = Writing()
    rows = [Example(id=str(i), text="t", target=f"Took {i + 10} pills of M8") for i in range(100)]
    rows.append(Example(id="none", text="t", target="Took no pills"))
    for kind in OF_TEXTS:
        after = noisy(rows, task, kind, 0.9, seed=0)
        differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
        assert len(differ) > 70
        if kind == "number-changed":
            assert all(a.target.endswith("pills of M8") for _, a in differ)
            assert after[-1] == rows[-1]


def test_answers_are_swapped_truncated_or_get_another_number() -> None:
    rows = [Example(id=str(i), text="t", target=f"the {i} of May") for i in range(10, 90)]
    rows += [Example(id=f"n{i}", text="t", target=NO_ANSWER) for i in range(20)]
    rows.append(Example(id="one", text="t", target="May"))
    for kind in OF_ANSWERS.keys() - {IN_DOCUMENT, IN_PASSAGE}:
        after = noisy(rows, Answering(), kind, 0.99, seed=0)
        differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
        assert len(differ) > 70
        if kind == "symmetric":
            assert {a.target for _, a in differ} <= {row.target for row in rows}
            assert any(b.target == NO_ANSWER for b, _ in differ)
            continue
        assert after[80:] == rows[80:]  # nothing to cut off, and no number
        for before, now in differ:
            words = before.target.split()
            if kind == "truncated":
                kept = now.target.split()
                assert 0 < len(kept) < len(words)
                assert kept in (words[: len(kept)], words[-len(kept) :])
            else:
                assert sum(a != b for a, b in zip(words, now.target.split(), strict=True)) == 1


def test_answers_are_swapped_within_their_document() -> None:
    rows = [
        Example(id=f"{d}-{n}", text="?", target=f"{d} {n}", evidence=(Span(d, 0, 1),))
        for d in "abcdefgh"
        for n in range(10)
    ]
    rows += [Example(id="alone", text="?", target="z 1", evidence=(Span("z", 0, 1),))]
    rows += [Example(id="nowhere", text="?", target="none")]
    half, most = (noisy(rows, Answering(), IN_DOCUMENT, rate, seed=0) for rate in (0.5, 0.95))
    for after in (half, most):
        assert after[-2:] == rows[-2:]
        assert all(new.target[0] == old.target[0] for old, new in zip(rows, after, strict=True))
    changed = [
        {old.id: new.target for old, new in zip(rows, after, strict=True) if old != new}
        for after in (half, most)
    ]
    assert changed[0].items() <= changed[1].items()  # nested
    assert 28 <= len(changed[0]) <= 52 <= len(changed[1])
    # Donors differ: no answer of a document replaces most of the others.
    assert max(Counter(changed[1].values()).values()) <= 6


PAGE = (
    "King Henry opened the Iron Bridge in 1742. Duke Robert of Wick closed it in 1801. It had "
    "cost 300 pounds. Repairs of the old arches took 14 months, and Miss Ada Lane paid for them."
)


def on_pages(pages: int = 30) -> tuple[Answering, list[Example]]:
    """Return two questions on each page, and some without an answer."""
    answers = ("1742", "King Henry", "Duke Robert", "the old arches", "14 months")
    documents, rows = [], []
    for n in range(pages):
        text = f"{PAGE} Page {n} ends."
        documents.append(Document(id=f"p{n}", text=text))
        for part in (0, 1):
            answer = answers[(n + part) % len(answers)]
            start = text.index(answer)
            evidence = (Span(f"p{n}", start, start + len(answer)),)
            rows.append(Example(id=f"q{n}-{part}", text="?", target=answer, evidence=evidence))
    rows += [Example(id=f"n{n}", text="?", target=NO_ANSWER) for n in range(20)]
    task = with_corpus(Answering(unanswerable=True), Corpus(tuple(documents)))
    assert isinstance(task, Answering)
    return task, rows


def test_a_wrong_span_is_as_many_words_of_the_same_passage_and_type() -> None:
    task, rows = on_pages()
    few, many = (noisy(rows, task, IN_PASSAGE, rate, seed=0) for rate in (0.3, 0.9))
    changed = [
        {old.id: new for old, new in zip(rows, after, strict=True) if old != new}
        for after in (few, many)
    ]
    assert changed[0].items() <= changed[1].items()  # nested
    assert 10 <= len(changed[0]) <= 26
    assert 46 <= len(changed[1]) <= 60  # questions without an answer have no passage
    assert not any(id.startswith("n") for id in changed[1])
    assert task.corpus is not None
    for row in rows:
        if (new := changed[1].get(row.id)) is None:
            continue
        assert form(new.target) == form(row.target)
        assert len(new.target.split()) == len(row.target.split())
        for span in new.evidence:  # it goes where the answer is now
            text = task.corpus.by_id[span.document].text
            assert text[span.start : span.end].lower() == new.target.lower()
            assert not span.overlaps(row.evidence[0])
    got = {row.target: set[str]() for row in rows[:10]}
    for row in rows:
        if row.id in changed[1]:
            got[row.target].add(changed[1][row.id].target)
    assert {"1801", "300"} <= got["1742"]
    assert {"Duke Robert", "Iron Bridge"} <= got["King Henry"]


def test_wrong_spans_come_from_the_passage_of_a_row_too() -> None:
    fields = {"page": PAGE}
    rows = [
        Example(id=f"q{n}", text="?", target=target, fields=fields)
        for n, target in enumerate(["1742", "King Henry"] * 40)
    ]
    task = Answering(passage="page")
    for kind, allowed in (
        (IN_PASSAGE, other_spans(PAGE, ["1742"]) + other_spans(PAGE, ["King Henry"])),
        (IN_DOCUMENT, ["1742", "King Henry"]),
    ):
        after = noisy(rows, task, kind, 0.9, seed=0)
        differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
        assert len(differ) > 60
        assert {a.target for _, a in differ} <= set(allowed)


def test_words_that_could_be_marked_in_place_of_an_answer() -> None:
    assert other_spans(PAGE, ["1742"]) == ["1801", "300", "14"]
    assert other_spans(PAGE, ["King Henry"]) == [
        "Iron Bridge",
        "Duke Robert",
        "Miss Ada",
        "Ada Lane",
    ]
    spans = other_spans(PAGE, ["the old arches"])
    assert "cost 300 pounds" not in spans  # a phrase has no number
    assert "paid for them" in spans
    assert not any("arches" in span for span in spans)
    assert other_spans("No more words.", ["a much longer answer"]) == []
    assert other_spans("\u6771\u4eac\u306b\u3042\u308b", ["\u6771\u4eac"]) == []


@pytest.mark.parametrize("kind", ["symmetric", "truncated", IN_DOCUMENT])
def test_evidence_does_not_give_the_right_answer_of_a_disturbed_row_away(kind: str) -> None:
    task, rows = on_pages()
    after = noisy(rows, task, kind, 0.9, seed=0)
    assert task.corpus is not None
    differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
    differ = [(b, a) for b, a in differ if b.evidence]
    assert len(differ) > 15
    for before, now in differ:
        [old] = before.evidence
        if now.target == NO_ANSWER:
            assert now.evidence == ()
            continue
        assert {span.document for span in now.evidence} == {old.document}
        text = task.corpus.by_id[old.document].text
        said = {text[span.start : span.end].lower() for span in now.evidence}
        inside = now.target.lower() in text.lower()
        assert said == ({now.target.lower()} if inside else {text.lower()})
        if kind == "truncated":
            assert all(old.overlaps(span) for span in now.evidence)


def test_an_unknown_kind_of_noise_is_refused_with_those_of_the_task() -> None:
    with pytest.raises(StudyError, match=r"No label noise 'value-droped'. Did you mean"):
        noisy(pool(), TASK, "value-droped", 0.1, seed=0)
    with pytest.raises(StudyError, match="Allowed: symmetric, number-changed"):
        noisy(pool(), Writing(), "confused-pair", 0.1, seed=0)


def test_accepted_answers_of_a_disturbed_row_go_too() -> None:
    rows = [Example(id=str(i), text="t", target=f"a {i}", accepted=(f"b {i}",)) for i in range(50)]
    for row, after in zip(rows, noisy(rows, Writing(), "symmetric", 0.5, seed=0), strict=True):
        assert after.accepted == (row.accepted if after.target == row.target else ())

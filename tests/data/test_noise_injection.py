"""Noise in targets, nested and paired, and typos in texts."""

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.corpus import Corpus, Document, Span
from choose.data.readers.labelled_file import read_source
from choose.data.scenarios import noisy, typos, with_typos
from choose.tasks.answering import NO_ANSWER, Answering, with_corpus
from choose.tasks.extraction import Extraction, as_text
from choose.tasks.labels import Classification
from choose.types import Example, Item

LABELS = ("a", "b", "c")
TASK = Classification(labels=LABELS, names=LABELS)
MANY = [Example(id=str(i), text=f"t {LABELS[i % 3]}", target=LABELS[i % 3]) for i in range(6_000)]
RECORDS = Extraction(fields={"people": "number", "items": "list"})
ORDERS = [
    Example(id=f"r{i}", text=f"t{i}", target=as_text({"items": [f"{i} bolts"], "people": i}))
    for i in range(200)
]


def flips(before: list[Example], after: list[Example]) -> dict[str, str]:
    return {
        old.id: new.target
        for old, new in zip(before, after, strict=True)
        if old.target != new.target
    }


@settings(max_examples=40)
@given(st.floats(0, 0.95), st.floats(0, 0.95), st.integers(0, 99), st.integers(1, 300))
def test_a_higher_rate_flips_a_superset_and_a_smaller_pool_shares_the_flips(low, high, seed, size):
    low, high, pool = min(low, high), max(low, high), MANY[:300]
    few = flips(pool, noisy(pool, TASK, low, seed))
    more = flips(pool, noisy(pool, TASK, high, seed))
    assert few.items() <= more.items()
    part = flips(pool[:size], noisy(pool[:size], TASK, high, seed))
    assert part == {id: new for id, new in more.items() if int(id) < size}


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_the_rate_is_what_was_asked_for(rate: float) -> None:
    flipped = flips(MANY, noisy(MANY, TASK, rate, 0))
    assert abs(len(flipped) / len(MANY) - rate) < 4 * np.sqrt(rate * (1 - rate) / len(MANY))


def test_noise_is_uniform_over_the_other_labels() -> None:
    flipped = flips(MANY, noisy(MANY, TASK, 0.5, 1))
    pairs = Counter((LABELS[int(id) % 3], new) for id, new in flipped.items())
    assert len(pairs) == 6
    assert max(pairs.values()) - min(pairs.values()) < 120


def test_nothing_but_labels_changes_and_the_order_stays() -> None:
    after = noisy(MANY[:50], TASK, 0.5, 0)
    assert [(e.id, e.text) for e in after] == [(e.id, e.text) for e in MANY[:50]]
    assert noisy(MANY[:50], TASK, 0, 0) == MANY[:50]
    assert noisy([], TASK, 0.4, 0) == []


def test_seeds_flip_different_rows() -> None:
    one, two = (flips(MANY, noisy(MANY, TASK, 0.2, seed)) for seed in (0, 1))
    assert abs(len(one.keys() & two.keys()) / len(MANY) - 0.04) < 0.02


def test_records_swap_rows_and_a_smaller_pool_gets_the_same() -> None:
    few, many = (flips(ORDERS, noisy(ORDERS, RECORDS, rate, 1)) for rate in (0.1, 0.3))
    assert few.items() <= many.items()
    assert 10 <= len(few) <= 30
    assert 45 <= len(many) <= 75
    assert {*many.values()} <= {row.target for row in ORDERS}
    part = ORDERS[:50]
    assert flips(part, noisy(part, RECORDS, 0.3, 1, donors=ORDERS)) == {
        id: target for id, target in many.items() if id in {e.id for e in part}
    }


def test_answers_are_swapped_also_for_none_and_accepted_ones_go() -> None:
    rows = [
        Example(id=str(i), text="t", target=f"the {i} of May", accepted=(f"May {i}",))
        for i in range(10, 90)
    ]
    rows += [Example(id=f"n{i}", text="t", target=NO_ANSWER) for i in range(20)]
    after = noisy(rows, Answering(), 0.99, 0)
    differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
    assert len(differ) > 70
    assert {a.target for _, a in differ} <= {row.target for row in rows}
    assert any(b.target == NO_ANSWER for b, _ in differ)
    assert not any(a.accepted for _, a in differ)


PAGE = (
    "King Henry opened the Iron Bridge in 1742. Duke Robert of Wick closed it in 1801. It had "
    "cost 300 pounds. Repairs of the old arches took 14 months, and Miss Ada Lane paid for them."
)


def on_pages(pages: int = 30) -> tuple[Answering, list[Example]]:
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


def test_evidence_does_not_give_the_right_answer_of_a_disturbed_row_away() -> None:
    task, rows = on_pages()
    after = noisy(rows, task, 0.9, seed=0)
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


TEXTS = st.text(min_size=1).filter(str.strip) | st.sampled_from(
    ["[bold red]x[/]", "=cmd()", "\x1b[31mred", "don't", "a", "https://a.example/Where?x=letter"]
)


def seen(text: str, id: str = "1") -> str:
    return with_typos([Item(id=id, text=text)])[0].text


@given(TEXTS, st.text(max_size=5))
def test_typos_depend_on_id_and_text_alone_and_keep_the_letters(text: str, id: str) -> None:
    among = with_typos([Item(id="x", text="other"), Item(id=id, text=text)])[1]
    assert among == Item(id=id, text=seen(text, id))
    assert Counter(among.text) == Counter(text)


def test_typos_leave_names_links_codes_and_negations_alone() -> None:
    kept = (
        "never @someone #topic https://example.com/path a.b@example.com file_name v1.2 from can't"
    )
    assert {typos(kept, Random(seed)) for seed in range(50)} == {kept}
    changed = seen("transfer")
    assert changed != "transfer"
    assert (changed[0], changed[-1]) == ("t", "r")


def test_items_differ() -> None:
    text = "Where in the world is the transfer that was promised yesterday afternoon"
    assert len({seen(text, id=str(id)) for id in range(8)}) > 4


def test_most_real_texts_are_changed(shared_data: Path) -> None:
    texts = read_source(shared_data / "banking77" / "test.csv").table["text"].to_list()
    items = [Item(id=str(i), text=text) for i, text in enumerate(texts)]
    changed = sum(a.text != b.text for a, b in zip(items, with_typos(items), strict=True))
    assert changed / len(items) >= 0.97

"""Facts are exchanged, and evidence taken out, so that only that changes and all can be found."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.corpus import MISSING, UPDATED, Corpus, Document, Span, is_drill
from choose.tasks.answering import NO_ANSWER, Answering, with_corpus
from choose.tasks.drills import document_drills
from choose.tasks.drills.document_drills import arriving, drills_of, missing, updated
from choose.tasks.drills.document_faults import faults_of
from choose.tasks.target_noise import form, renumbered
from choose.tasks.values import as_date, as_number, occurs
from choose.types import Dataset, Example, Fold

# Few of each, so that answers repeat in and across documents.
ANSWERS = (
    *("Mara Quist", "Otto Brandt", "Lena", "Iris Vale"),
    *("42", "1,250", "17.5", "1947", "14 March 2019", "2025-03-01", "09:30", "seven days"),
    *("by post", "in cash", "the side door"),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Example], Corpus]:
    """Draw documents of sentences with answers, and questions of which some share a place."""
    rows: list[Example] = []
    documents = []
    for d in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from(["", "An introduction. "]))
        for s in range(draw(st.integers(1, 5))):
            answer = draw(st.sampled_from(ANSWERS))
            text += f"Line {'abcde'[s]}{'pqrs'[d]} says: "
            span = Span(f"d{d}", len(text), len(text) + len(answer))
            text += f"{answer}. "
            begin = text.rindex("Line", 0, span.start)
            for k in range(draw(st.integers(0, 2))):
                whole = draw(st.booleans())  # evidence is the answer or the sentence with it
                place = Span(f"d{d}", begin, len(text) - 1) if whole else span
                rows.append(
                    Example(
                        id=f"q{d}{s}{k}",
                        text=f"What says line {s} of {d}?",
                        target=answer,
                        accepted=draw(st.sampled_from([(), (f"it is {answer}",)])),
                        evidence=(place,),
                    )
                )
        documents.append(Document(id=f"d{d}", text=text, title=f"Page {d}"))
    rows.append(Example(id="none", text="What else?", target=NO_ANSWER))
    return rows, Corpus(tuple(documents))


def asked(rows: Sequence[Example]) -> list[str]:
    return [row.id for row in rows]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3))
def test_the_new_fact_stands_where_the_old_one_stood_and_nowhere_else(
    world: tuple[list[Example], Corpus], seed: int
) -> None:
    rows, corpus = world
    drill = updated(rows, corpus, asked(rows), seed)
    if drill is None:
        return
    before = {row.id: row for row in rows}
    for id in drill.ids:
        old, new = before[id], drill.rows[id]
        text = drill.corpus.by_id[new.evidence[0].document].text
        assert new.target in text[new.evidence[0].start : new.evidence[0].end]
        assert len(re.findall(rf"(?<!\w){re.escape(new.target)}(?!\w)", text)) == 1
        assert not occurs(old.targets, text)
        assert form(new.target) == form(old.target)
        assert new.accepted == ()


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3))
def test_nothing_else_of_the_documents_changes(
    world: tuple[list[Example], Corpus], seed: int
) -> None:
    rows, corpus = world
    drill = updated(rows, corpus, asked(rows), seed)
    if drill is None:
        return
    before = {row.id: row for row in rows}
    assert [(d.id, d.title) for d in drill.corpus.documents] == [
        (d.id, d.title) for d in corpus.documents
    ]
    changed = {id for id, row in drill.rows.items() if row.target != before[id].target}
    assert changed == set(drill.ids)
    back = {d.id: d.text for d in drill.corpus.documents}
    for id in changed:  # each new fact occurs once, so that the old one can be put back
        new, name = drill.rows[id].target, drill.rows[id].evidence[0].document
        whole = rf"(?<!\w){re.escape(new)}(?!\w|\.\d)"  # 23 is not in 23.0
        back[name] = re.sub(whole, before[id].target, back[name])
    assert back == {d.id: d.text for d in corpus.documents}
    for id, row in drill.rows.items():
        if id not in changed:
            now, then = (text_at(c, r) for c, r in ((drill.corpus, row), (corpus, before[id])))
            assert now == then


def text_at(corpus: Corpus, row: Example) -> str:
    span = row.evidence[0]
    return corpus.by_id[span.document].text[span.start : span.end]


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_same_rows_and_seed_give_the_same_change_in_any_order(
    world: tuple[list[Example], Corpus], seed: int, order: random.Random
) -> None:
    rows, corpus = world
    again = list(rows)
    order.shuffle(again)
    for make in (updated, missing):
        one, two = make(rows, corpus, asked(rows), seed), make(again, corpus, asked(again), seed)
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert (one.view, one.ids, one.facts, one.rows) == (
                two.view,
                two.ids,
                two.facts,
                {id: two.rows[id] for id in one.rows},
            )


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3))
def test_evidence_that_is_gone_leaves_no_answer_and_all_other_text(
    world: tuple[list[Example], Corpus], seed: int
) -> None:
    rows, corpus = world
    drill = missing(rows, corpus, asked(rows), seed)
    if drill is None:
        return
    before = {row.id: row for row in rows}
    for id in drill.ids:
        document = drill.corpus.by_id.get(before[id].evidence[0].document)
        assert document is None or not occurs(before[id].targets, document.text)
    for document in corpus.documents:
        after = drill.corpus.by_id.get(document.id)
        left = iter(re.findall(r"\S+", document.text))
        assert after is None or all(word in left for word in re.findall(r"\S+", after.text))
    for id, row in drill.rows.items():
        if row.evidence:  # it is still there
            assert text_at(drill.corpus, row) in text_at(corpus, before[id])
            assert id not in drill.ids


def two_pages(first: str, second: str = "Nothing is here.") -> Corpus:
    return Corpus((Document(id="a", text=first), Document(id="b", text=second, title="B")))


def row(text: str, target: str, corpus: Corpus, *accepted: str, id: str = "q") -> Example:
    start = corpus.documents[0].text.index(target)
    span = Span("a", start, start + len(target))
    return Example(id=id, text=text, target=target, accepted=accepted, evidence=(span,))


@pytest.mark.parametrize(
    ("first", "second", "question", "accepted"),
    [
        ("It opened in 1901. It closed in 1901.", "", "When?", ()),  # occurs twice
        ("It opened in 1901.", "Here: It opened in 1901. So.", "When?", ()),  # in another document
        ("It opened in 1901.", "", "Did it open in 1901?", ()),  # in the question
        ("It opened in 1901, in spring.", "", "When?", ("spring",)),  # another answer stays
        ("It opened in 1901-1905.", "", "When?", ()),  # a part of a longer one
        ("It opened in 1901.", "", "Did it open?", ("yes",)),  # implied
    ],
)
def test_what_is_not_clear_is_left(
    first: str, second: str, question: str, accepted: tuple[str, ...]
) -> None:
    corpus = two_pages(first, second)
    assert updated([row(question, "1901", corpus, *accepted)], corpus, ["q"], 0) is None


def test_a_clear_fact_is_exchanged_for_all_questions_that_share_it() -> None:
    corpus = two_pages("Long ago. It opened in 1901. It is old.")
    rows = [row("When?", "1901", corpus, id=id) for id in ("q", "r")]
    rows.append(Example(id="s", text="Old?", target="old", evidence=(Span("a", 35, 38),)))
    drill = updated(rows, corpus, ["q"], 0)
    assert drill is not None
    assert (drill.ids, drill.facts) == (("q",), 1)
    year = drill.rows["q"].target
    assert drill.rows["r"].target == year != "1901"
    assert drill.corpus.documents[0].text == f"Long ago. It opened in {year}. It is old."
    assert drill.corpus.documents[1] == corpus.documents[1]
    assert text_at(drill.corpus, drill.rows["s"]) == "old"


def test_training_rows_are_not_asked() -> None:
    corpus = two_pages("It opened in 1901. Mara came in 1944.")
    rows = [
        row("When?", "1901", corpus, id="train"),
        row("When did she come?", "1944", corpus, id="test"),
    ]
    for make in (updated, missing):
        drill = make(rows, corpus, ["test"], 0)
        assert drill is not None
        assert drill.ids == ("test",)


def test_a_document_of_which_nothing_is_left_goes() -> None:
    corpus = two_pages("It opened in 1901.")
    drill = missing([row("When?", "1901", corpus)], corpus, ["q"], 0)
    assert drill is not None
    assert [d.id for d in drill.corpus.documents] == ["b"]
    assert drill.rows["q"].evidence == ()


def test_there_are_as_many_as_the_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"Shop {n} sells {1000 + 7 * n} things." for n in range(200))
    corpus = two_pages(text)
    rows = [row(f"How many in {n}?", f"{1000 + 7 * n}", corpus, id=f"q{n}") for n in range(200)]
    ids = [r.id for r in rows]
    for make in (updated, missing):
        drill = make(rows, corpus, ids, 0)
        assert drill is not None
        assert len(drill.ids) == 50
    monkeypatch.setattr(document_drills, "SHARE", 0.6)
    drill = updated(rows, corpus, ids, 0)
    assert drill is not None
    assert len(drill.ids) == 100
    assert set(drill.ids) == {
        id for id in ids if drill.rows[id].target != f"{1000 + 7 * int(id[1:])}"
    }


def test_the_views_are_named_by_what_changed() -> None:
    corpus = two_pages("It opened in 1901.")
    examples = {"q": row("When?", "1901", corpus)}
    task = with_corpus(Answering(), corpus)
    folds = (Fold(pool=(), questions=("q",)),)
    data = Dataset(name="d", task=task, examples=examples, folds=folds, division="held-out")
    drills = drills_of(data)
    assert [drill.kind for drill in drills] == [UPDATED, MISSING]
    assert all(is_drill(drill.view) and drill.view.startswith(drill.kind) for drill in drills)
    assert {d.view for d in drills}.isdisjoint(d.view for d in drills_of(data, seed=1)[:1])
    bare = Dataset(name="d", task=Answering(), examples=examples, folds=folds, division="held-out")
    assert drills_of(bare) == ()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("1947", r"19[345]\d"),
        ("in March 2019", r"in March 20[12]\d"),
        ("2025-03-01", r"20[123]\d-03-01"),
        ("14 March 2019", r"\d{1,2} March 20[12]\d"),
        ("£1,250 a year", r"£[\d,]{3,5} a year"),
        ("17.5 %", r"\d{2}\.\d %"),
        ("5.1.20", r"5\.1\.\d\d"),
        ("09:30", r"\d\d:30"),
        ("on the 28th", r"on the \d{1,2}(st|nd|rd|th)"),
        ("Seven days", r"[A-Z][a-z]+ days"),
    ],
)
def test_numbers_stay_of_their_kind(text: str, pattern: str) -> None:
    found = {renumbered(text, random.Random(n)) for n in range(200)} - {None}
    assert len(found) > 3
    assert text not in found
    assert all(re.fullmatch(pattern, new or "") for new in found), found
    if as_date(text):
        assert all(date.fromisoformat(as_date(new or "") or "") for new in found)


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_numbers_are_near(value: int, seed: int) -> None:
    written = f"{value:,} items"
    new = renumbered(written, random.Random(seed))
    assert new is not None
    number = as_number(new.removesuffix(" items"))
    assert number is not None
    if re.match(r"1\d{3}|20\d\d", written):
        return
    assert number != value
    assert abs(number - value) <= max(1, value * 0.5 + 1)
    assert abs(number - value) >= min(value, max(1, value * 0.1 - 1))


def test_a_text_without_numbers_has_no_other_one() -> None:
    assert renumbered("by post", random.Random(0)) is None
    assert [form(t) for t in ("by post", "Bank of Rye", "12 cats", "two")] == [
        "phrase",
        "name",
        "number",
        "number",
    ]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3))
def test_documents_that_arrive_hold_all_evidence_of_the_rows_that_are_asked(
    world: tuple[list[Example], Corpus], seed: int
) -> None:
    rows, corpus = world
    drill = arriving(rows, corpus, asked(rows), seed)
    if drill is None:
        return
    assert drill.before is not None
    before, new = {d.id: d for d in drill.before.documents}, drill.arrived
    assert {**before, **{name: corpus.by_id[name] for name in new}} == {**corpus.by_id}
    assert drill.corpus is corpus
    assert drill.facts == len(new) > 0
    known = {span.document for row in rows for span in row.evidence}
    assert 2 * len(new) <= len(known)
    by_id = {row.id: row for row in rows}
    assert all({s.document for s in by_id[id].evidence} <= new for id in drill.ids)
    again = arriving(rows[::-1], corpus, asked(rows), seed)
    assert again is not None
    assert (again.view, again.ids) == (drill.view, drill.ids)


def test_documents_arrive_until_enough_rows_are_on_them() -> None:
    documents = tuple(Document(id=f"d{n}", text=f"The year is {1000 + n}.") for n in range(400))
    corpus = Corpus(documents)
    rows = [
        Example(id=f"q{n}", text="When?", target=f"{1000 + n}", evidence=(Span(f"d{n}", 12, 16),))
        for n in range(400)
    ]
    drill = arriving(rows, corpus, [row.id for row in rows], 0)
    assert drill is not None
    assert len(drill.ids) == drill.facts == 80
    # Of 60, the least is 50, but not more than half of the documents are withheld.
    few = arriving(rows[:60], corpus, [row.id for row in rows[:60]], 0)
    assert few is not None
    assert len(few.ids) == few.facts == 30
    assert arriving(rows[:1], corpus, ["q0"], 0) is None
    # A row with evidence in a document that stays is not asked.
    both = [replace(row, evidence=(*row.evidence, Span("d399", 12, 16))) for row in rows[:60]]
    some = arriving(both, corpus, [row.id for row in both], 0)
    assert some is None or some.ids == () or "d399" in some.arrived


def test_facts_in_a_book_are_left_and_those_of_other_documents_change() -> None:
    """Every fact that was tried in it took seconds, and there are up to a hundred."""
    filler = "The ferry leaves at noon. " * 45_000
    same = "The Elm door is red since May. "
    corpus = Corpus(
        (
            Document(id="book", text=f"{filler}The hall has 51 seats. {same}{filler}"),
            Document(id="a", text=f"A page. {same}It closes at 18. "),
            Document(id="b", text="A page. The Fir door is blue since June. It closes at 19. "),
        )
    )

    def row(id: str, asks: str, target: str, document: str) -> Example:
        start = corpus.by_id[document].text.index(target)
        span = Span(document, start, start + len(target))
        return Example(id=id, text=asks, target=target, evidence=(span,))

    rows = [
        row("seats", "How many seats has the hall?", "51", "book"),
        row("elm", "Which colour has the Elm door?", "red", "a"),
        row("fir", "Which colour has the Fir door?", "blue", "b"),
        row("closes", "When does it close?", "19", "b"),
    ]
    began = process_time()
    found = updated(rows, corpus, asked(rows), 0)
    gone = missing(rows, corpus, asked(rows), 0)
    assert found is not None
    assert gone is not None
    # The sentence on the Elm door is in the book as well.
    assert set(found.ids) == set(gone.ids) == {"fir", "closes"}
    assert found.corpus.by_id["book"] is corpus.by_id["book"]
    task = with_corpus(Answering(), corpus)
    folds = (Fold(pool=(), questions=tuple(asked(rows))),)
    examples = {one.id: one for one in rows}
    everything = Dataset(name="d", task=task, examples=examples, folds=folds, division="held-out")
    faults = faults_of(everything)
    assert faults
    assert all(one.corpus.by_id["book"] is corpus.by_id["book"] for one in faults)
    assert all("seats" not in one.ids for one in faults)
    assert process_time() - began < 5

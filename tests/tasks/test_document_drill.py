"""Facts are exchanged so that only they change and all can be found."""

import random
import re
from datetime import date
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.corpus import Corpus, Document, Span, is_drill
from choose.tasks import document_drill
from choose.tasks.answering import NO_ANSWER, Answering, with_corpus
from choose.tasks.document_drill import drill_of, exchange_facts, form, renumbered
from choose.tasks.value_parsing import as_date, occurs
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


def exchanged(rows, corpus, asked=None, seed=0):
    """Exchange facts of rows, all of which are asked unless some are named."""
    ids = [row.id for row in rows] if asked is None else asked
    return exchange_facts(rows, corpus, asked=ids, seed=seed)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3))
def test_the_new_fact_stands_where_the_old_one_stood_and_nowhere_else(world, seed):
    rows, corpus = world
    drill = exchanged(rows, corpus, seed=seed)
    if drill is None:
        return
    before = {row.id: row for row in rows}
    back = {d.id: d.text for d in drill.corpus.documents}
    for id, new in drill.targets.items():
        old, name = before[id], before[id].evidence[0].document
        text = drill.corpus.by_id[name].text
        assert len(re.findall(rf"(?<!\w){re.escape(new)}(?!\w|\.\d)", text)) == 1
        assert not occurs(old.targets, text)
        assert form(new) == form(old.target)
        # Each new fact occurs once, so that the old one can be put back.
        back[name] = re.sub(rf"(?<!\w){re.escape(new)}(?!\w|\.\d)", old.target, back[name])
    assert back == {d.id: d.text for d in corpus.documents}
    assert [d.title for d in drill.corpus.documents] == [d.title for d in corpus.documents]


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_same_rows_and_seed_give_the_same_change_in_any_order(world, seed, order):
    rows, corpus = world
    again = list(rows)
    order.shuffle(again)
    one, two = exchanged(rows, corpus, seed=seed), exchanged(again, corpus, seed=seed)
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert (one.view, one.facts, one.targets) == (two.view, two.facts, two.targets)


def two_pages(first: str, second: str = "Nothing is here.") -> Corpus:
    return Corpus((Document(id="a", text=first), Document(id="b", text=second, title="B")))


def row(text, target, corpus, *accepted, id="q", document="a"):
    start = corpus.by_id[document].text.index(target)
    span = Span(document, start, start + len(target))
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
def test_what_is_not_clear_is_left(first, second, question, accepted):
    corpus = two_pages(first, second)
    assert exchanged([row(question, "1901", corpus, *accepted)], corpus) is None


def test_a_clear_fact_is_exchanged_for_all_questions_that_share_it() -> None:
    corpus = two_pages("Long ago. It opened in 1901. It is old.")
    rows = [row("When?", "1901", corpus, id=id) for id in ("q", "r", "train")]
    drill = exchanged(rows, corpus, ["q", "r"])
    assert (drill.ids, drill.facts) == (("q", "r"), 1), "training rows are not asked"
    year = drill.targets["q"]
    assert drill.targets["r"] == year != "1901"
    assert drill.corpus.documents[0].text == f"Long ago. It opened in {year}. It is old."
    assert drill.corpus.documents[1] == corpus.documents[1]


def test_there_are_as_many_as_the_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = two_pages(" ".join(f"Shop {n} sells {1000 + 7 * n} things." for n in range(200)))
    rows = [row(f"How many in {n}?", f"{1000 + 7 * n}", corpus, id=f"q{n}") for n in range(200)]
    ids = [r.id for r in rows]
    drill = exchanged(rows, corpus, ids)
    assert len(drill.ids) == 50
    monkeypatch.setattr(document_drill, "SHARE", 0.6)
    drill = exchanged(rows, corpus, ids)
    assert len(drill.ids) == 100
    assert all(drill.targets[id] != f"{1000 + 7 * int(id[1:])}" for id in drill.ids)


def test_the_view_is_named_by_what_changed() -> None:
    corpus = two_pages("It opened in 1901.")
    examples = {"q": row("When?", "1901", corpus)}
    task = with_corpus(Answering(), corpus)
    folds = (Fold(pool=(), questions=("q",)),)
    data = Dataset(name="d", task=task, examples=examples, folds=folds, division="held-out")
    drill, other = drill_of(data), exchanged([*examples.values()], corpus, seed=1)
    assert is_drill(drill.view)
    assert drill.view != other.view
    bare = Dataset(name="d", task=Answering(), examples=examples, folds=folds, division="held-out")
    assert drill_of(bare) is None


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("1947", r"19[34]\d"),
        ("in March 2019", r"in March 201\d"),
        ("2025-03-01", r"20[12]\d-0[12]-0\d"),
        ("14 March 2019", r"\d{2} March 201\d"),
        ("£1,250 a year", r"£\d,24\d a year"),
        ("17.5 %", r"1\d\.\d %"),
        ("5.1.20", r"\d\.\d\.\d\d"),
        ("09:30", r"0\d:2\d"),
        ("on the 28th", r"on the (19|2[04567])th|on the (21st|22nd|23rd)"),
        ("1st prize", r"(2nd|3rd|[4-9]th) prize"),
        ("111th and 30min", r"1(0[2-9]|10)(nd|rd|th) and 30min"),
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
def test_numbers_are_near_and_have_as_many_digits(value: int, seed: int) -> None:
    new = int(renumbered(f"{value} items", random.Random(seed)).removesuffix(" items"))
    assert 1 <= abs(new - value) <= 9
    assert len(str(new)) == len(str(value))


def test_a_text_without_numbers_has_no_other_one() -> None:
    assert renumbered("by post", random.Random(0)) is None


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

    rows = [
        row("How many seats has the hall?", "51", corpus, id="seats", document="book"),
        row("Which colour has the Elm door?", "red", corpus, id="elm"),
        row("Which colour has the Fir door?", "blue", corpus, id="fir", document="b"),
        row("When does it close?", "19", corpus, id="closes", document="b"),
    ]
    began = process_time()
    found = exchanged(rows, corpus)
    # The sentence on the Elm door is in the book as well.
    assert found.ids == ("closes", "fir")
    assert found.corpus.by_id["book"] is corpus.by_id["book"]
    assert process_time() - began < 5

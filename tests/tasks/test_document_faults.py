"""Errors in documents: as many as stated, nested, and each of its kind alone."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from choose.corpus import FAULTY, Corpus, Document, Fault, Span, is_drill
from choose.tasks.answering import Answering, with_corpus
from choose.tasks.drills import document_faults
from choose.tasks.drills.document_faults import (
    FAULTS,
    FaultyDocuments,
    faults_of,
    misread,
    most_of_each,
)
from choose.tasks.values import occurs
from choose.types import Dataset, Example, Fold

NAMES = [f"{a}{b}" for a in ("Ash", "Birch", "Cedar", "Elm", "Fir") for b in ("ford", "ham", "ton")]


def dataset(places: int = 40, extra: int = 5) -> Dataset:
    """Return a document about each place with two questions, and some that no question needs."""
    documents, rows = [], {}
    for n in range(places):
        name = f"{NAMES[n % len(NAMES)]} {n}"
        text = f"A page on {name}. The bridge opened in {1700 + 3 * n}. The mayor is Al{n} Ray."
        documents.append(Document(id=f"d{n}", title=name, text=text))
        for kind, target in (("year", f"{1700 + 3 * n}"), ("mayor", f"Al{n} Ray")):
            start = text.index(target)
            span = Span(f"d{n}", start, start + len(target))
            id = f"{kind}-{n}"
            rows[id] = Example(id=id, text=f"The {kind}?", target=target, evidence=(span,))
    documents += [Document(id=f"x{n}", text=f"Nothing {n} is here.") for n in range(extra)]
    ids = tuple(rows)
    return Dataset(
        name="d",
        task=with_corpus(Answering(), Corpus(tuple(documents))),
        examples=rows,
        folds=(Fold(pool=(), questions=ids),),
        division="held-out",
    )


DATA = dataset()
CORPUS = {d.id: d for d in DATA.task.corpus.documents}  # type: ignore[attr-defined]


def of_kind(kind: Fault) -> tuple[FaultyDocuments, FaultyDocuments]:
    few, many = (found for found in faults_of(DATA) if found.fault == kind)
    return few, many


def hit(found: FaultyDocuments) -> set[str]:
    """Return the original documents that have the error."""
    now = found.corpus.by_id
    if found.fault in ("older-version", "copy-without-answers"):
        return {id.split(" ")[0] for id in now.keys() - CORPUS.keys()}
    return {id for id in CORPUS if id not in now or now[id] != CORPUS[id]}


@pytest.mark.parametrize("kind", FAULTS)
def test_the_share_is_as_stated_and_a_higher_one_holds_a_lower_one(kind: Fault) -> None:
    few, many = of_kind(kind)
    assert (few.rate, many.rate, few.known, many.known) == (0.1, 0.2, 40, 40)
    assert (few.documents, many.documents) == (4, 8)
    assert (len(hit(few)), len(hit(many))) == (4, 8)
    assert hit(few) < hit(many)
    assert few.ids == many.ids
    assert len(few.ids) == 80
    assert few.view.startswith(f"{FAULTY}-")
    assert is_drill(few.view)


def test_all_kinds_of_errors_are_in_the_same_documents_where_they_can_be() -> None:
    every = {kind: hit(of_kind(kind)[1]) for kind in FAULTS}
    assert every["gone"] == every["copy-without-answers"]
    # Another document has the error where no fact can be exchanged, or no word was misread.
    assert len(every["gone"] & every["older-version"]) >= 7
    assert len(every["gone"] & every["scanned"]) >= 7


def test_nothing_else_changes_and_the_draw_is_the_same_again() -> None:
    for found in faults_of(DATA):
        own, now = hit(found), found.corpus.by_id
        assert {id: d for id, d in now.items() if id in CORPUS.keys() - own} == {
            id: d for id, d in CORPUS.items() if id not in own
        }
    assert [f.view for f in faults_of(dataset())] == [f.view for f in faults_of(DATA)]
    assert {f.view for f in faults_of(DATA, seed=1)}.isdisjoint(f.view for f in faults_of(DATA))


def test_an_older_version_has_other_facts_under_the_same_title() -> None:
    _, found = of_kind("older-version")
    older = [d for d in found.corpus.documents if d.id not in CORPUS]
    assert all(d.id.endswith(" (older)") for d in older)
    assert len(found.older) == 16  # both facts of eight documents
    for document in older:
        now = CORPUS[document.id.removesuffix(" (older)")]
        assert document.title == now.title
        assert found.corpus.by_id[now.id] == now
        for row in DATA.examples.values():
            if row.evidence[0].document == now.id:
                assert occurs([found.older[row.id]], document.text)
                assert not occurs([row.target], document.text)
                assert occurs([row.target], now.text)


def test_the_older_version_of_a_document_of_the_first_year_has_no_date() -> None:
    data = dataset(places=10, extra=0)
    corpus = data.task.corpus  # type: ignore[attr-defined]
    for year, older in ((1, {None}), (2001, {2000})):
        when = datetime(year, 1, 1, tzinfo=UTC)
        dated = Corpus(tuple(replace(d, timestamp=when) for d in corpus.documents))
        changed = replace(data, task=with_corpus(Answering(), dated))
        found = next(f for f in faults_of(changed) if f.fault == "older-version")
        times = [d.timestamp for d in found.corpus.documents if d.id not in dated.by_id]
        assert {t and t.year for t in times} == older


def test_rivals_stand_before_and_after_their_documents() -> None:
    for kind in ("older-version", "copy-without-answers"):
        ids = [d.id for d in of_kind(kind)[1].corpus.documents]
        rivals = [place for place, id in enumerate(ids) if id not in CORPUS]
        first = [ids[place].split(" ")[0] == ids[place + 1] for place in rivals]
        assert 0 < sum(first) < len(first)


def test_a_copy_lacks_the_answers_and_keeps_the_rest() -> None:
    _, found = of_kind("copy-without-answers")
    for document in found.corpus.documents:
        if document.id not in CORPUS:
            now = CORPUS[document.id.removesuffix(" (copy)")]
            assert document.text.strip() == now.text.partition(" The bridge")[0]


def test_scanners_take_letters_for_others_that_look_alike() -> None:
    text = " ".join(["corner", "mill", "dial", "1805", "Sole", "xxx"] * 500)
    after = misread(text, random.Random(0))
    words = list(zip(text.split(), after.split(), strict=True))
    slips = {(old, new) for old, new in words if old != new}
    share = sum(old != new for old, new in words) / len(words)
    assert 0.1 < share < 0.15  # of 15 %, one word in six has no such letter
    assert {("corner", "comer"), ("mill", "rnill"), ("1805", "18O5"), ("dial", "clial")} <= slips
    assert not any(old == "xxx" for old, _ in slips)
    assert len(re.findall(r"\s", after)) == len(re.findall(r"\s", text))
    assert misread(text, random.Random(0)) == after


def test_few_documents_get_one_error_and_many_none(monkeypatch: pytest.MonkeyPatch) -> None:
    small = faults_of(dataset(places=3, extra=0))
    assert [(f.fault, f.rate, f.documents) for f in small] == [(k, 0.1, 1) for k in FAULTS]
    assert [f.view for f in most_of_each(small)] == [f.view for f in small]
    assert {f.rate for f in most_of_each(faults_of(DATA))} == {0.2}
    monkeypatch.setattr(document_faults, "MOST_DOCUMENTS", 44)
    assert faults_of(dataset(places=40, extra=5)) == ()
    bare = Dataset(
        name="d", task=Answering(), examples=DATA.examples, folds=DATA.folds, division="held-out"
    )
    assert faults_of(bare) == ()


def test_names_are_not_taken_twice() -> None:
    data = dataset(places=20, extra=0)
    corpus = data.task.corpus  # type: ignore[attr-defined]
    taken = [Document(id=f"{d.id} (older)", text=f"Taken {d.id}.") for d in corpus.documents]
    both = Corpus((*corpus.documents, *taken))
    rivals = Dataset(
        name="d",
        task=with_corpus(Answering(), both),
        examples=data.examples,
        folds=data.folds,
        division="held-out",
    )
    for found in faults_of(rivals):
        ids = [d.id for d in found.corpus.documents]
        assert len(set(ids)) == len(ids)

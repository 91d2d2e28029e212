"""Errors in documents and other words of a question: golden values, paired, on the same rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from choose.corpus import FAULTY, Corpus, Document, Span
from choose.judge.evidence import Evidence, FaultRows
from choose.judge.measures.reading_measures import document_faults, paraphrases
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.stats.paired import imaginary
from choose.report.changed_documents_text import drill_tables
from choose.schema.reading_documents import DocumentFault, ParaphraseOutcome, Paraphrases
from choose.tasks.answering import Answering, with_corpus
from choose.tasks.scoring import scores_of
from choose.types import Example, Item, Run
from support.changed_documents import IDS, NEW, OLD, answers, evidence, run
from support.decisions import decision

VIEW = f"{FAULTY}-abc"
RIGHT, OLDER = list(OLD.values()), list(NEW.values())
OTHER = {id: NEW[id] for id in IDS[:9]}


def study(*runs: object, older: dict[str, str] | None = None) -> Evidence:
    rows = FaultRows(
        fault="older-version",
        rate=0.2,
        view=VIEW,
        ids=IDS,
        documents=3,
        known=4,
        older=OTHER if older is None else older,
    )
    return replace(evidence(*runs), drills=(), faults=(rows,))  # type: ignore[arg-type]


def faults(*runs: object, older: dict[str, str] | None = None) -> tuple[DocumentFault, ...]:
    found = study(*runs, older=older)
    return document_faults(found, study_scores(found))


# Ten right before. After: six right, three older facts, one of both, two as wrong as before.
BEFORE = [*RIGHT[:10], "x", "y"]
AFTER = [*RIGHT[:5], *OLDER[5:8], f"{OLDER[8]} or {RIGHT[8]}", RIGHT[9], "x", "y"]
RAG = run("rag", {"clean": BEFORE, VIEW: AFTER})


def test_changes_are_those_counted_by_hand_and_clustered_by_document() -> None:
    [fault] = faults(RAG, run("lora", {"clean": RIGHT}))
    assert (fault.kind, fault.rate, fault.documents, fault.known) == ("older-version", 0.2, 3, 4)
    assert fault.rows == 12
    [found] = fault.outcomes  # those that do not read are not asked
    assert found.clean.value == pytest.approx(10 / 12)
    # "days" is in both facts; of "58 days or 18 days" two of five words are shared.
    after = [1.0] * 5 + [0.5] * 3 + [4 / 7, 1, 0, 0]
    assert found.faulty.value == pytest.approx(sum(after) / 12)
    changes = np.array(after)[:, None] - np.array([1.0] * 10 + [0, 0])[:, None]
    expected = two_way_interval(
        changes, [f"d{n // 3}" for n in range(12)], pseudo=imaginary(changes)
    )
    assert found.change.value == pytest.approx(expected.value)
    assert (found.change.low, found.change.high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )
    assert found.older is not None
    assert (found.older.value, found.older_rows) == (pytest.approx(3 / 9), 9)


def test_the_report_says_how_many_documents_have_the_error() -> None:
    [fault] = faults(RAG)
    for found, odd in ((fault, True), (fault.model_copy(update={"known": 15}), False)):
        shown = decision().model_copy(update={"document_faults": (found,)})
        [table] = drill_tables(shown)
        assert f"an older version beside 3 of {found.known} documents" in table.says
        assert ("could not be had: older version 3 of 4." in table.note) == odd


def test_shares_of_few_rows_are_not_given() -> None:
    [fault] = faults(RAG, older={id: NEW[id] for id in IDS[:7]})
    assert (fault.outcomes[0].older, fault.outcomes[0].older_rows) == (None, 7)


def test_candidates_are_compared_on_the_rows_that_each_answered() -> None:
    short = run("rag2", {"clean": RIGHT, VIEW: AFTER[:9]})
    both = study(RAG, short)
    infos = tuple(replace(info, reads=True) for info in both.candidates)
    found = replace(both, candidates=infos)
    [fault] = document_faults(found, study_scores(found))
    assert fault.rows == 9
    assert {o.clean.row_set for o in fault.outcomes} == {fault.outcomes[0].change.row_set}
    assert [o.candidate for o in fault.outcomes] == ["rag", "rag2"]


def test_nothing_is_said_without_answers_or_with_few() -> None:
    assert faults(run("rag", {"clean": BEFORE})) == ()
    assert faults(run("rag", {"clean": BEFORE, VIEW: AFTER[:7]})) == ()


def test_the_worst_of_several_kinds_of_errors_is_said_to_be_chosen() -> None:
    [one] = faults(RAG)
    more = one.model_copy(update={"kind": "gone", "rows": 9})
    shown = decision().model_copy(update={"document_faults": (one,)})
    [table] = drill_tables(shown)
    assert "kinds" not in table.says
    assert "answers of 12 rows," in table.note
    [table] = drill_tables(shown.model_copy(update={"document_faults": (one, more)}))
    assert table.says.endswith("; of 2 kinds of errors, that is the lowest figure.")
    assert "answers of 9 to 12 rows," in table.note


def paraphrased(groups: int, right: dict[str, list[bool]], ask: int | None = None) -> Evidence:
    """Return a study with so many groups of two wordings of a question, two on each document."""
    ids = tuple(f"g{n}-{k}" for n in range(groups) for k in (0, 1))
    targets = tuple(f"fact {id[1:].partition('-')[0]}" for id in ids)
    rows = [Example(id=id, text=id, target=t) for id, t in zip(ids, targets, strict=True)]

    def own(name: str, hits: list[bool]) -> Run:
        some = rows[: ask if name == "short" else None]
        said = answers([r.target if hit else "x" for r, hit in zip(some, hits, strict=False)])
        scored = scores_of(Answering(), said, some)
        return replace(
            run(name, {"clean": []}),
            answers={("clean", 0): said},
            asked={("clean", 0): tuple(r.id for r in some)},
            scores={("clean", 0): scored},
        )

    base = evidence(*(own(name, hits) for name, hits in right.items()))
    places = {id: (Span(f"d{n // 4}", n // 2, n // 2 + 5),) for n, id in enumerate(ids)}
    items = replace(
        base.items, ids=ids, targets=targets, clusters=ids, evidence=places, accepted={}
    )
    inputs = {id: Item(id=id, text=f"Wording {id[-1]} of {id[:-2]}?") for id in ids}
    return replace(base, items=items, inputs=inputs, drills=())


def found(of: Evidence) -> dict[str, ParaphraseOutcome]:
    got = paraphrases(of, study_scores(of))
    assert isinstance(got, Paraphrases)
    return {outcome.candidate: outcome for outcome in got.outcomes}


def test_shares_are_those_counted_by_hand_and_clustered_by_document() -> None:
    # Of ten groups: five right on both, three on one, two on none.
    hits = [True] * 10 + [True, False] * 3 + [False] * 4
    own = paraphrased(10, {"rag": hits})
    got = found(own)["rag"]
    assert (got.score.value, got.both.value, got.one.value) == pytest.approx((0.65, 0.5, 0.3))
    documents = [f"d{n // 2}" for n in range(10)]
    ones = [[float(5 <= n < 8)] for n in range(10)]
    expected = two_way_interval(ones, documents, pseudo=AGRESTI_COULL)
    assert got.one.high == pytest.approx(expected.high)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, whole.rows, whole.documents) == (10, 20, 5)


def test_a_candidate_that_answers_by_chance_changes_with_the_wording() -> None:
    random = np.random.default_rng(0)
    p, groups = 0.6, 400
    chance = (random.random(2 * groups) < p).tolist()
    steady = np.repeat(random.random(groups) < p, 2).tolist()
    got = found(paraphrased(groups, {"rag": chance, "lora": steady}))
    # Within four standard errors.
    assert got["rag"].one.value == pytest.approx(2 * p * (1 - p), abs=0.1)
    assert got["rag"].both.value == pytest.approx(p * p, abs=0.1)
    one = np.mean(np.array(chance[::2]) != np.array(chance[1::2]))
    assert got["rag"].one.value == pytest.approx(one)
    assert got["lora"].one.value == 0
    assert got["lora"].both.value == pytest.approx(p, abs=0.1)


def test_candidates_share_their_groups_and_one_with_few_is_left_out() -> None:
    full = [True] * 40
    own = paraphrased(20, {"rag": full, "short": full}, ask=30)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, len(whole.outcomes)) == (15, 2)
    own = paraphrased(20, {"rag": full, "short": full}, ask=14)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, [o.candidate for o in whole.outcomes]) == (20, ["rag"])


def test_groups_that_all_candidates_were_asked_count_though_most_were_not() -> None:
    own = paraphrased(40, {"short": [True] * 80}, ask=20)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, [o.candidate for o in whole.outcomes]) == (10, ["short"])


def test_there_are_none_without_questions_that_share_answer_and_place() -> None:
    own = paraphrased(7, {"rag": [True] * 14})
    assert paraphrases(own, study_scores(own)) is None
    many = paraphrased(10, {"rag": [True] * 20})
    places = many.items.evidence
    apart = {id: (Span(id, 0, 5),) for id in many.items.ids}
    for items in (
        replace(many.items, evidence=apart),
        replace(many.items, evidence={}),
        replace(many.items, targets=many.items.ids),
    ):
        other = replace(many, items=items)
        assert paraphrases(other, study_scores(other)) is None
    # "Is it open?" and "Is it warm?" are both answered by yes, from one document.
    for kept, text, targets in (
        (False, "Yes, it is.", tuple("Yes" for _ in many.items.ids)),
        (False, "Open and warm.", many.items.targets),
        (True, " ".join(many.items.targets), many.items.targets),
    ):
        ids = {f"d{n}" for n in range(5)}
        corpus = Corpus(tuple(Document(id=id, text=text) for id in sorted(ids)))
        whole = {id: (s._replace(start=0, end=len(text)),) for id, (s,) in places.items()}
        other = replace(
            many,
            items=replace(many.items, targets=targets, evidence=whole),
            task=with_corpus(Answering(), corpus),
        )
        assert (paraphrases(other, study_scores(other)) is not None) == kept
    # The same words are no other wording.
    same = {id: Item(id=id, text=f"About {id[:-2]}") for id in many.items.ids}
    other = replace(many, inputs=same)
    assert paraphrases(other, study_scores(other)) is None


def test_a_column_says_which_rows_ask_the_same() -> None:
    # Of twenty groups the first half, and of these only one wording is answered.
    own = paraphrased(20, {"rag": [True, False] * 20})
    ids = own.items.ids
    asks = {id: id[:-2] for id in ids[:20]}
    stated = replace(own, items=replace(own.items, asks=asks, evidence={}))
    whole = paraphrases(stated, study_scores(stated))
    assert whole is not None
    assert (whole.groups, whole.rows, whole.stated) == (10, 20, True)
    assert found(stated)["rag"].one.value == 1
    assert (paraphrases(own, study_scores(own)) or whole).stated is False
    # The same words are no other wording.
    same = {id: replace(item, text="One?") for id, item in stated.inputs.items()}
    assert paraphrases(replace(stated, inputs=same), study_scores(stated)) is None

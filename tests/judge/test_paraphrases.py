"""Questions in other words: groups, golden values, a simulated candidate, and none without data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from choose.corpus import Corpus, Document, Span
from choose.judge.evidence import Evidence
from choose.judge.measures.paraphrases import paraphrases
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.schema.reading import ParaphraseOutcome, Paraphrases
from choose.tasks.answering import Answering, with_corpus
from choose.tasks.scoring import scores_of
from choose.types import Example, Item, Run
from support.changed_documents import answers, evidence, run


def study(groups: int, right: dict[str, list[bool]], ask: int | None = None) -> Evidence:
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
    own = study(10, {"rag": hits})
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
    got = found(study(groups, {"rag": chance, "lora": steady}))
    # Within four standard errors.
    assert got["rag"].one.value == pytest.approx(2 * p * (1 - p), abs=0.1)
    assert got["rag"].both.value == pytest.approx(p * p, abs=0.1)
    one = np.mean(np.array(chance[::2]) != np.array(chance[1::2]))
    assert got["rag"].one.value == pytest.approx(one)
    assert got["lora"].one.value == 0
    assert got["lora"].both.value == pytest.approx(p, abs=0.1)


def test_candidates_share_their_groups_and_one_with_few_is_left_out() -> None:
    full = [True] * 40
    own = study(20, {"rag": full, "short": full}, ask=30)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, len(whole.outcomes)) == (15, 2)
    own = study(20, {"rag": full, "short": full}, ask=14)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, [o.candidate for o in whole.outcomes]) == (20, ["rag"])


def test_groups_that_all_candidates_were_asked_count_though_most_were_not() -> None:
    own = study(40, {"short": [True] * 80}, ask=20)
    whole = paraphrases(own, study_scores(own))
    assert whole is not None
    assert (whole.groups, [o.candidate for o in whole.outcomes]) == (10, ["short"])


def test_there_are_none_without_questions_that_share_answer_and_place() -> None:
    own = study(7, {"rag": [True] * 14})
    assert paraphrases(own, study_scores(own)) is None
    many = study(10, {"rag": [True] * 20})
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

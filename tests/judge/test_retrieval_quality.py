"""Measures of retrieval equal those of trec_eval, and do not depend on how documents are cut."""

import random

import pytest
import pytrec_eval

from choose.corpus import Corpus, Document, Span
from choose.judge.measures.reading_measures import retrieval_quality


def test_random_rankings_score_as_in_trec_eval() -> None:
    rng = random.Random("rankings")
    spans = [Span(f"d{n // 3}", n % 3 * 50, n % 3 * 50 + 50) for n in range(60)]
    shown, gold = [], []
    for _ in range(300):
        shown.append([span.id for span in rng.sample(spans, rng.choice([1, 4, 10, 10, 30]))])
        gold.append(rng.sample(spans, rng.choice([1, 1, 2, 5, 14])))
    measures = {"success.1,5,10", "recall.1,5,10", "ndcg_cut.10", "recip_rank"}
    qrels = {str(n): {span.id: 1 for span in row} for n, row in enumerate(gold)}

    def oracle(depth: int) -> dict[str, dict[str, float]]:
        runs = {
            str(n): {id: -float(rank) for rank, id in enumerate(row[:depth])}
            for n, row in enumerate(shown)
        }
        found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(
            qrels, measures
        ).evaluate(runs)
        return found

    whole, first_ten = oracle(99), oracle(10)
    quality = retrieval_quality(shown, gold)
    assert quality.questions == tuple(range(300))
    names = {f"hit@{k}": f"success_{k}" for k in (1, 5, 10)}
    names |= {f"recall@{k}": f"recall_{k}" for k in (1, 5, 10)}
    names["ndcg@10"] = "ndcg_cut_10"
    for ours, theirs in names.items():
        expected = [whole[str(n)][theirs] for n in range(300)]
        assert quality.scores[ours] == pytest.approx(expected, abs=1e-12), ours
    # trec_eval looks at all that is shown for the reciprocal rank.
    expected = [first_ten[str(n)]["recip_rank"] for n in range(300)]
    assert quality.scores["mrr@10"] == pytest.approx(expected, abs=1e-12)
    assert quality.means["hit@1"] == pytest.approx(float(quality.scores["hit@1"].mean()))


def test_questions_without_evidence_are_left_out_and_counted() -> None:
    quality = retrieval_quality(
        [["d:0-9"], ["d:0-9"], []], [[], [Span("d", 8, 12)], [Span("d", 0, 1)]]
    )
    assert quality.questions == (1, 2)
    assert quality.without_evidence == 1
    assert quality.scores["hit@1"].tolist() == [1, 0]
    assert quality.scores["ndcg@10"].tolist() == [1, 0]


def test_nothing_is_measured_where_no_question_has_evidence() -> None:
    quality = retrieval_quality([["d:0-9"]], [[]])
    assert quality.without_evidence == 1
    assert set(quality.means.values()) == {None}


def test_figures_do_not_depend_on_how_documents_are_cut() -> None:
    text = "One two three four. Five six seven eight. Nine ten eleven twelve."
    corpus = Corpus((Document(id="d", text=text), Document(id="e", text=text)))
    answer = Span("d", text.index("seven"), text.index("seven") + 5)
    for words in (2, 4, 8, 100):
        passages = corpus.passages(words)
        [holder] = [p.id for p in passages if p.span.overlaps(answer)]
        others = [p.id for p in passages if p.id != holder]
        first = retrieval_quality([[holder, *others]], [[answer]])
        assert set(first.means.values()) == {1.0}
        second = retrieval_quality([[others[0], holder]], [[answer]])
        assert second.means["hit@1"] == 0
        assert second.means["mrr@10"] == 0.5


def test_an_answer_across_two_passages_is_found_with_either() -> None:
    span = Span("d", 40, 60)
    quality = retrieval_quality([["d:0-50", "d:50-90"], ["d:50-90", "x:0-9"]], [[span], [span]])
    for name, values in quality.scores.items():
        assert values.tolist() == [1, 1], name


def test_one_passage_with_two_places_of_the_evidence_is_enough() -> None:
    places = [Span("d", 0, 5), Span("d", 10, 15)]
    together = retrieval_quality([["d:0-50", "x:0-9"]], [places])
    assert together.means["ndcg@10"] == together.means["recall@1"] == 1
    apart = retrieval_quality([["d:0-8", "x:0-9"]], [places])
    assert apart.means["recall@1"] == 0.5
    assert apart.means["ndcg@10"] == pytest.approx(1 / (1 + 0.6309297535714575))


def test_an_id_that_is_no_passage_is_refused() -> None:
    with pytest.raises(ValueError):
        retrieval_quality([["row 7"]], [[Span("d", 0, 1)]])

"""Rankings of documents: scores against those of others, cells, noise, and what readers see."""

import math
import random
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from sklearn.metrics import ndcg_score

from choose.corpus import Corpus, Document
from choose.data.scenarios import noisy
from choose.errors import DataError
from choose.tasks.answering import corpus_of, with_corpus
from choose.tasks.kinds import read_targets, read_task
from choose.tasks.ranking import (
    Ranking,
    ids_in,
    rank_scores,
    ranking_text,
    read_scores,
    relevance_text,
)
from choose.types import Example

SHELF = Corpus(
    tuple(Document(id=f"d{n}", title=f"part {n // 3}", text=f"text {n}") for n in range(12))
)
TASK = with_corpus(Ranking(), SHELF)


def test_scores_of_nothing_and_below_the_tenth_rank() -> None:
    assert rank_scores(["a"], {"a": 1}) == dict.fromkeys(Ranking.own, 1.0)
    assert rank_scores([], {"a": 1}) == rank_scores(["a"], {}) == dict.fromkeys(Ranking.own, 0.0)
    # What stands below the tenth rank counts for nothing.
    assert rank_scores([*"bcdefghijk", "a"], {"a": 1}) == dict.fromkeys(Ranking.own, 0.0)


def test_scores_are_those_of_trec_eval_and_scikit_learn() -> None:
    draw, docs = random.Random("golden"), [f"d{n}" for n in range(30)]
    measures = {"ndcg_cut.10", "recip_rank", "recall.10", "success.1,5"}
    for _ in range(60):
        grades = {d: draw.choice((1, 1, 2, 3)) for d in draw.sample(docs, draw.randint(1, 14))}
        run = draw.sample(docs, draw.randint(1, 12))
        own = rank_scores(run, grades)
        scores = {d: 100.0 - rank for rank, d in enumerate(run)}
        evaluator = pytrec_eval.RelevanceEvaluator({"q": grades}, measures)
        theirs = evaluator.evaluate({"q": scores})["q"]
        assert own["ndcg@10"] == pytest.approx(theirs["ndcg_cut_10"])
        assert own["recall@10"] == pytest.approx(theirs["recall_10"])
        assert (own["hit@1"], own["hit@5"]) == (theirs["success_1"], theirs["success_5"])
        first = theirs["recip_rank"]
        assert own["mrr@10"] == pytest.approx(first if first > 1 / 10.5 else 0.0)
        if len(run) >= 10:
            right = np.array([[grades.get(d, 0) for d in docs]])
            given = np.array([[scores.get(d, -1.0) for d in docs]])
            assert own["ndcg@10"] == pytest.approx(ndcg_score(right, given, k=10))


@pytest.mark.parametrize(
    ("cell", "grades"),
    [
        ("d1", {"d1": 1}),
        (7, {"7": 1}),
        (["d1", "d2"], {"d1": 1, "d2": 1}),
        ('["d1", "d2", "d1"]', {"d1": 1, "d2": 1}),
        ('{"d1": 2, "d2": 0, "d3": null}', {"d1": 2}),
        ({"d1": 0.5, "d2": -1}, {"d1": 0.5}),
        ([["d1", 4, 9], ["d1", 12, 20]], {"d1": 1}),
        ("", {}),
        ([], {}),
        (None, {}),
    ],
)
def test_cells_name_documents_with_grades(cell: Any, grades: dict[str, float]) -> None:
    [found] = read_targets("ranking", [cell], [1], "relevant", None)
    assert found == ((relevance_text(grades),) if grades else ())
    assert not found or read_scores(found[0]) == grades


@pytest.mark.parametrize(
    "cell",
    [
        {"d1": "much"},
        [True],
        [[1, 2]],
        [{"name": "d1"}],
        {"d1": math.inf},
        {"d1": 10**400},
        [{"id": ""}],
    ],
)
def test_other_cells_are_refused_with_their_row(cell: Any) -> None:
    with pytest.raises(DataError, match=r"Row 7, column 'relevant': .*Allowed: the id of a"):
        read_targets("ranking", [cell], [7], "relevant", None)


def test_a_cell_may_name_several_documents_between_signs() -> None:
    known = {"d1", "d2", "d 3"}
    assert ids_in("d1; d 3", known) == ["d1", "d 3"]
    assert ids_in("d1 d2", known) == ["d1", "d2"]
    assert ids_in("d1,d9", known) == ["d1,d9"]
    assert ids_in("d 3", known) == ["d 3"]


def test_an_answer_is_a_ranking_of_these_documents() -> None:
    assert TASK.problem_with(ranking_text({"d2": 0.9, "d1": 0.1})) is None
    assert TASK.problem_with("{}") is None
    for text, said in (
        ('["d1"]', "no JSON object"),
        ("d1", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"d1": "high"}', "no JSON object"),
        ('{"d1": NaN}', "no JSON object"),
        ('{"d1": 1, "d1": 2}', "twice"),
        ('{"d99": 1}', "it names 'd99', which is no document"),
    ):
        assert said in str(TASK.problem_with(text)), text
    assert TASK.score(None, ['{"d1": 1}']) == dict.fromkeys(TASK.metrics, 0.0)
    assert TASK.score('{"d2": 3, "d1": 2}', ['{"d1": 1}'])["mrr@10"] == 0.5


def test_the_task_is_made_again_from_its_facts(refusal: Any) -> None:
    again = read_task({"kind": "ranking", **TASK.facts()})
    assert (again.digest, again.scoring) == (TASK.digest, TASK.scoring)
    assert corpus_of(TASK) is SHELF
    assert "documents of this task are missing" in refusal(DataError, corpus_of, again)
    other = with_corpus(Ranking(headline="mrr@10"), SHELF)
    assert other.metrics[0] == "mrr@10"
    assert other.digest != TASK.digest
    with pytest.raises(ValueError):
        read_task({"kind": "ranking", **TASK.facts(), "headline": "accuracy"})


def _pool(count: int = 120) -> list[Example]:
    draw = random.Random("pool")
    return [
        Example(
            id=f"q{n}",
            text=f"question {n}",
            target=relevance_text({f"d{k}": 1 for k in draw.sample(range(12), 1 + n % 2)}),
        )
        for n in range(count)
    ]


def test_noise_swaps_a_relevant_document() -> None:
    pool = _pool()
    changed = {e.id: e for e in noisy(pool, TASK, 0.3, seed=1)}
    more = {e.id: e for e in noisy(pool, TASK, 0.6, seed=1)}
    different = [e for e in pool if changed[e.id].target != e.target]
    assert 0.15 < len(different) / len(pool) < 0.45
    for row in different:
        assert more[row.id].target == changed[row.id].target, "a higher rate disturbs a superset"
        old, new = read_scores(row.target), read_scores(changed[row.id].target)
        assert len(old.keys() - new.keys()) == 1
        assert len(new.keys() - old.keys()) == 1


def test_readers_see_ranks_in_place_of_json() -> None:
    target = relevance_text({"d4": 2, "d7": 1})
    ranked = ranking_text({f"d{n}": 1.0 - n / 20 for n in range(10)})
    task = Ranking()
    assert task.shown(target, target) == "d4 (grade 2), d7"
    assert task.shown(ranked, target) == ("1. d0; 2. d1; 3. d2; 5. d4; 8. d7 (relevant: 5, 8)")
    assert task.shown("{}", target) == "nothing (relevant: none of the first 10)"

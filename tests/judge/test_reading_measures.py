"""Measures of retrieval equal those of trec_eval; what is answered after documents changed."""

import random
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import pytrec_eval

from choose.corpus import UPDATED, Corpus, Document, Span
from choose.judge.evidence import CandidateInfo, DrillRows, Evidence, Items
from choose.judge.measures.changed_documents import document_drill, on_common_rows
from choose.judge.measures.reading_measures import retrieval_quality
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.report.words import after_changes
from choose.schema.diagnosis import DocumentDrill, DrillOutcome
from choose.tasks.answering import Answering
from choose.tasks.scoring import scores_of
from choose.types import Answers, Example, Run
from support.answered_studies import laid_out
from support.studies import plain_trial


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
        return pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(runs)

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


VIEW = f"{UPDATED}-abc"
IDS = tuple(f"q{n}" for n in range(12))
OLD = {id: f"{10 + n} days" for n, id in enumerate(IDS)}
NEW = {id: f"{50 + n} days" for n, id in enumerate(IDS)}


def answers(outputs: Sequence[str | None]) -> Answers:
    status = tuple("ok" if output is not None else "empty" for output in outputs)
    return Answers(outputs=tuple(outputs), status=status)


def run(name, views, draw=0):
    trial = plain_trial(name, draw)
    given = {(view, 0): answers(outputs) for view, outputs in views.items()}
    rows = [Example(id=id, text=id, target=OLD[id]) for id in IDS]
    clean = given["clean", 0]
    return Run(
        trial=trial,
        answers=given,
        asked={view: IDS[: len(found)] for view, found in given.items()},
        scores={("clean", 0): scores_of(Answering(), clean, rows[: len(clean)])},
        fit_seconds=60.0 + 30 * draw,
        reread_seconds=0.5 if len(views) > 1 else None,
    )


def evidence(*runs: Run) -> Evidence:
    items = Items(
        ids=IDS,
        targets=tuple(OLD[id] for id in IDS),
        clusters=IDS,
        evidence={id: (Span(f"d{n // 3}", 0, 9),) for n, id in enumerate(IDS)},
    )
    infos = [
        CandidateInfo(
            name=name,
            strategy=name,
            family="retrieval" if name == "rag" else "fine-tuning",
            seeded=True,
            reads=name == "rag",
        )
        for name in dict.fromkeys(run.trial.candidate for run in runs)
    ]
    drill = DrillRows(view=VIEW, facts=9, targets=NEW)
    return laid_out(items, infos, runs, task=Answering(), drill=drill)


OLDS, NEWS = [*OLD.values()], [*NEW.values()]
BEFORE = [*OLDS[:10], "x", "y"]
# Nine new facts, three of them in other words; one old one; one of both; one of neither.
AFTER = [*NEWS[:6], "It is 56.", "57", f"in {NEWS[8]}", OLDS[9], f"{OLDS[10]} or {NEWS[10]}", None]
RAG = run("rag", {"clean": BEFORE, VIEW: AFTER})
LORA = run("lora", {"clean": [*OLDS[:3], *["nothing"] * 9]})


def drilled(*runs: Run) -> DocumentDrill:
    study = evidence(*runs)
    found = document_drill(study, study_scores(study))
    assert found is not None
    return found


def outcome(drill: DocumentDrill, name: str) -> DrillOutcome:
    return next(found for found in drill.outcomes if found.candidate == name)


def test_shares_are_those_counted_by_hand() -> None:
    found = outcome(drilled(RAG, LORA), "rag")
    assert found.clean.value == pytest.approx(10 / 12)
    # 6 whole; "It is 56." shares one of three words with "56 days", "57" one of one, and so on.
    updated = [1.0] * 6 + [2 / 5, 2 / 3, 4 / 5, 1 / 2, 4 / 7, 0]
    assert found.updated.value == pytest.approx(sum(updated) / 12)
    assert found.lost.value == pytest.approx((10 - sum(updated)) / 12)
    assert found.stale.value == pytest.approx(1 / 12)


def test_intervals_are_by_documents() -> None:
    found = outcome(drilled(RAG, LORA), "rag").stale
    values = [[float(n == 9)] for n in range(12)]
    documents = [f"d{n // 3}" for n in range(12)]
    expected = two_way_interval(values, documents, pseudo=AGRESTI_COULL)
    assert (found.low, found.high) == (pytest.approx(max(0.0, expected.low)), expected.high)
    assert found.row_set.startswith("12:")


def test_candidates_that_do_not_read_answer_as_before() -> None:
    found = outcome(drilled(RAG, LORA), "lora")
    assert found.clean.value == pytest.approx(3 / 12)
    assert found.stale.value == pytest.approx(3 / 12)
    assert found.updated.value == pytest.approx(3 * 0.5 / 12)  # "days" is in both


def test_all_candidates_are_compared_on_the_rows_that_each_answered() -> None:
    drill = drilled(RAG, run("lora", {"clean": OLDS[:9]}))
    assert (drill.rows, drill.documents) == (9, 3)
    assert len({part.row_set for o in drill.outcomes for part in (o.clean, o.stale)}) == 1
    assert outcome(drill, "rag").clean.value == 1
    # A candidate with too few of the rows takes none from the others.
    drill = drilled(RAG, run("lora", {"clean": OLDS[:5]}))
    assert [o.candidate for o in drill.outcomes] == ["rag"]
    assert drill.rows == 12


def test_candidates_that_ran_out_of_time_take_no_more_than_half_of_the_rows_together() -> None:
    parts = [range(50), range(26), range(5, 31), range(14)]
    every: list[Any] = [SimpleNamespace(rows=frozenset(str(n) for n in part)) for part in parts]
    chosen, common = on_common_rows(every)
    assert (chosen, common) == (every[:2], every[1].rows)


def test_repetitions_without_all_rows_are_left_out() -> None:
    again = run("lora", {"clean": OLDS[:4]}, draw=1)
    whole = run("lora", {"clean": OLDS}, draw=2)
    found = outcome(drilled(RAG, LORA, again, whole), "lora")
    assert found.stale.value == pytest.approx((3 / 12 + 1) / 2)


@pytest.mark.parametrize(
    "runs",
    [
        (run("rag", {"clean": BEFORE}), LORA),
        (replace(RAG, answers={("clean", 0): RAG.answers["clean", 0]}), LORA),
        (LORA,),
    ],
)
def test_nothing_is_said_of_what_was_not_asked(runs: tuple[Run, ...]) -> None:
    study = evidence(*runs)
    assert document_drill(study, study_scores(study)) is None


def test_the_sentence_names_the_reader_and_who_knows_the_old_facts() -> None:
    assert after_changes(drilled(RAG, LORA)) == (
        "After 9 facts changed in the documents, rag scores 74 on 12 questions about them (83 "
        "before), without retraining, and gives the old answer to 8 %; lora gives it to 25 %."
    )

"""What candidates answer after documents changed: golden values, the same rows for all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from choose.corpus import ARRIVED, MISSING, UPDATED, Corpus, Document
from choose.judge.goal import DAYS, Deployment, Measure, Rule
from choose.judge.measures.changed_documents import document_drills, on_common_rows
from choose.judge.measures.drift_and_new_class import document_churn, monthly_share, until
from choose.judge.prose.loss_sentences import with_sentence
from choose.judge.scores.score_tables import study_scores
from choose.judge.stats.intervals import AGRESTI_COULL, two_way_interval
from choose.judge.verdict import judge
from choose.report.cost_notes import notes
from choose.schema.base import Interval
from choose.schema.costs import Churn, ChurnCost
from choose.schema.decision import Verdict
from choose.schema.reading_documents import DocumentDrill, DrillOutcome
from choose.tasks.answering import Answering, with_corpus
from choose.types import Run
from support.changed_documents import (
    AGAIN,
    BEFORE,
    BEFOREHAND,
    LATER,
    LORA,
    NEWS,
    OLDS,
    RAG,
    evidence,
    run,
)
from support.decisions import decision


def share(interval: Interval | None) -> float:
    assert interval is not None
    return interval.value


def drills(*runs: Run, unanswerable: bool = False) -> dict[str, DocumentDrill]:
    study = evidence(*runs, unanswerable=unanswerable)
    found = document_drills(study, study_scores(study))
    return {drill.kind: with_sentence(drill) for drill in found}


def outcome(drill: DocumentDrill, name: str) -> DrillOutcome:
    return next(found for found in drill.outcomes if found.candidate == name)


def test_shares_are_those_counted_by_hand() -> None:
    found = outcome(drills(RAG, LORA)[UPDATED], "rag")
    assert found.clean.value == pytest.approx(10 / 12)
    # 6 whole; "It is 56." shares one of three words with "56 days", "57" one of one, and so on.
    updated = [1.0] * 6 + [2 / 5, 2 / 3, 4 / 5, 1 / 2, 4 / 7, 0]
    assert found.updated is not None
    assert found.updated.value == pytest.approx(sum(updated) / 12)
    assert found.new is not None
    assert found.new.value == pytest.approx(8 / 12)  # "It is 56." is less than half of it
    assert share(found.stale) == pytest.approx(1 / 12)
    assert found.abstained.value == pytest.approx(1 / 12)
    assert found.seconds == 0.5


def test_intervals_are_by_documents() -> None:
    found = outcome(drills(RAG, LORA)[UPDATED], "rag").stale
    assert found is not None
    values = [[float(n == 9)] for n in range(12)]
    documents = [f"d{n // 3}" for n in range(12)]
    expected = two_way_interval(values, documents, pseudo=AGRESTI_COULL)
    assert (found.low, found.high) == (pytest.approx(max(0.0, expected.low)), expected.high)
    assert found.row_set is not None
    assert found.row_set.startswith("12:")


def test_candidates_that_do_not_read_answer_as_before() -> None:
    found = outcome(drills(RAG, LORA)[UPDATED], "lora")
    assert found.clean.value == pytest.approx(3 / 12)
    assert share(found.stale) == pytest.approx(3 / 12)
    assert found.new is not None
    assert found.new.value == 0
    assert found.updated is not None
    assert found.updated.value == pytest.approx(3 * 0.5 / 12)  # "days" is in both
    assert found.seconds is None  # it was not trained again


def test_training_again_is_timed_and_scored_on_the_rows_that_it_answered() -> None:
    # Trained again, it gives the new fact to 4 rows, the old one to 1, both to one, none to 6.
    said = [*NEWS[:4], OLDS[4], f"{OLDS[5]} or {NEWS[5]}", *["nothing"] * 6]
    again = run("lora", {"clean": said}, scenario=AGAIN)
    drill = drills(RAG, LORA, again)[UPDATED]
    found = outcome(drill, "lora")
    assert share(found.renewed_new) == pytest.approx(4 / 12)
    assert share(found.renewed) == pytest.approx((4 + 1 / 2 + 4 / 7) / 12)
    assert (found.seconds, found.renewed_rows) == (60, 12)
    assert (found.clean.value, share(found.stale)) == (pytest.approx(3 / 12), pytest.approx(3 / 12))
    assert drill.says.endswith(
        "Indexing the documents takes 0.5 s, training lora again 60 s, after which it gives the "
        "new answer to 33 %."
    )
    few = outcome(
        drills(RAG, LORA, run("lora", {"clean": said[:9]}, scenario=AGAIN))[UPDATED], "lora"
    )
    assert (few.renewed_rows, share(few.renewed_new)) == (9, pytest.approx(4 / 9))
    none = outcome(
        drills(RAG, LORA, run("lora", {"clean": said[:7]}, scenario=AGAIN))[UPDATED], "lora"
    )
    assert (none.renewed_rows, none.renewed, none.renewed_new) == (0, None, None)
    failed = replace(again, error="E: x", answers={})
    assert outcome(drills(RAG, LORA, failed)[UPDATED], "lora").seconds is None


def test_documents_that_arrive_are_read_or_learnt_later() -> None:
    # Fitted without these documents, rag knows 1 of 12, 9 once it reads them; lora knows 2.
    rag = run("rag", {"clean": [OLDS[0], *["x"] * 11], LATER: [*OLDS[:9], *"xyz"]}, 0, BEFOREHAND)
    lora = run("lora", {"clean": [*OLDS[:2], *["x"] * 10]}, 0, BEFOREHAND)
    drill = drills(RAG, LORA, rag, lora)[ARRIVED]
    assert (drill.rows, drill.facts, drill.documents) == (12, 4, 4)
    reads, learns = outcome(drill, "rag"), outcome(drill, "lora")
    assert (reads.clean.value, share(reads.updated)) == (
        pytest.approx(1 / 12),
        pytest.approx(9 / 12),
    )
    assert share(reads.renewed) == pytest.approx(10 / 12)
    assert (learns.clean.value, share(learns.updated)) == (pytest.approx(2 / 12),) * 2
    assert share(learns.renewed) == pytest.approx(3 / 12)
    assert (reads.seconds, learns.seconds) == (0.5, 60)
    assert {o.stale for o in drill.outcomes} | {o.new for o in drill.outcomes} == {None}
    assert drill.says == (
        "12 questions are about 4 documents that arrived after training: rag scores 8 before it "
        "can read them and 75 without retraining once it can; lora scores 17, and 25 after "
        "training with them."
    )
    assert ARRIVED not in drills(RAG, LORA, lora)  # no candidate read them


def test_all_candidates_are_compared_on_the_rows_that_each_answered() -> None:
    short = run("lora", {"clean": OLDS[:9]})
    drill = drills(RAG, short)[UPDATED]
    assert (drill.rows, drill.documents) == (9, 3)
    sets = {part.row_set for o in drill.outcomes for part in (o.clean, o.stale) if part}
    assert len(sets) == 1
    rag = outcome(drill, "rag")
    assert rag.clean.value == 1
    # A candidate with too few of the rows takes none from the others.
    drill = drills(RAG, run("lora", {"clean": OLDS[:5]}))[UPDATED]
    assert [o.candidate for o in drill.outcomes] == ["rag"]
    assert drill.rows == 12


def test_candidates_that_ran_out_of_time_take_no_more_than_half_of_the_rows_together() -> None:
    """On covid_qa 50 rows had shrunk to 14, as each of three took half of what was left."""
    parts = [range(50), range(26), range(5, 31), range(14)]
    every = [SimpleNamespace(rows=frozenset(str(n) for n in part)) for part in parts]
    chosen, common = on_common_rows(every)
    assert (chosen, common) == (every[:2], every[1].rows)


def test_repetitions_without_all_rows_are_left_out() -> None:
    again = run("lora", {"clean": OLDS[:4]}, draw=1)
    whole = run("lora", {"clean": OLDS}, draw=2)
    found = outcome(drills(RAG, LORA, again, whole)[UPDATED], "lora")
    assert share(found.stale) == pytest.approx((3 / 12 + 1) / 2)


def test_evidence_that_is_gone() -> None:
    drill = drills(RAG, LORA)[MISSING]
    found = outcome(drill, "rag")
    assert (drill.rows, drill.facts) == (10, 10)
    assert (found.updated, found.new) == (None, None)
    assert share(found.stale) == pytest.approx(0.2)
    assert found.abstained.value == pytest.approx(0.8)
    assert share(outcome(drill, "lora").stale) == pytest.approx(0.3)


def test_nothing_is_said_of_what_was_not_asked() -> None:
    assert drills(run("rag", {"clean": BEFORE}), LORA) == {}
    other = replace(RAG, answers={("clean", 0): RAG.answers["clean", 0]})
    assert drills(other, LORA) == {}
    assert drills(LORA) == {}


def test_the_sentences_name_the_reader_and_who_knows_the_old_facts() -> None:
    found = drills(RAG, LORA)
    assert found[UPDATED].says == (
        "After 9 facts changed in the documents, rag gives the new answer to 67 % of 12 questions "
        "without retraining and the old one to 8 %; lora gives the old one to 25 %. Indexing the "
        "documents takes 0.5 s."
    )
    assert found[MISSING].says == (
        "With the sentences gone that answer 10 questions, rag gives the answer all the same to "
        "20 % of them; lora to 30 %."
    )
    assert drills(RAG, unanswerable=True)[MISSING].says == (
        "With the sentences gone that answer 10 questions, rag does not answer 80 % of them and "
        "gives the answer all the same to 20 %."
    )


NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULE = Rule(usd_per_machine_hour=3.6)


def months_ago(months: float) -> datetime:
    return NOW - timedelta(days=months * DAYS)


def churn(rule: Rule, *times: datetime | None) -> Churn | None:
    own = evidence(RAG, LORA)
    corpus = Corpus(
        tuple(Document(id=str(n), text="x", timestamp=time) for n, time in enumerate(times))
    )
    own = replace(own, task=with_corpus(Answering(), corpus))
    return document_churn(own, document_drills(own, study_scores(own)), rule)


def test_the_share_is_that_of_the_last_year() -> None:
    # Of 24 documents, one a month: 12 in the last 12 months.
    assert monthly_share([months_ago(n) for n in range(24)]) == pytest.approx(1 / 24)
    # Dates of half a year, 10 of 20 documents; the oldest marks the beginning.
    half = [*(months_ago(6 * n / 9) for n in range(10)), *[None] * 10]
    assert monthly_share(half) == pytest.approx(9 / 20 / 6)


def test_documents_that_change_at_a_known_rate_are_told_at_least() -> None:
    rate, ages = 0.03, np.random.default_rng(0).exponential(1 / 0.03, 20_000)
    share = monthly_share([NOW, *(months_ago(float(age)) for age in ages)])
    # Of several changes within a year, dates show the last one.
    assert share == pytest.approx((1 - np.exp(-12 * rate)) / 12, rel=0.03)
    assert share < rate


@pytest.mark.parametrize(
    "times",
    [
        [],
        [NOW] * 20,  # the day on which they were exported
        [months_ago(n) for n in range(7)],
        [*(months_ago(n) for n in range(9)), *[None] * 10],
    ],
)
def test_few_dates_tell_nothing(times: list[datetime | None]) -> None:
    assert monthly_share(times) is None


def test_costs_are_those_counted_by_hand() -> None:
    found = churn(RULE, *(months_ago(n) for n in range(24)))
    assert found is not None
    assert (found.share, found.stated, found.documents) == (pytest.approx(1 / 24), False, 24)
    costs = {cost.candidate: cost for cost in found.costs}
    # lora scores 3 of 12 before, and half a point each of 3 after: half of a quarter is lost.
    assert costs["lora"].loss == pytest.approx(0.125 / 24)
    assert costs["lora"].index_usd is None
    # One change a month, half a second each, at 3.6 dollars an hour.
    assert costs["rag"].index_usd == pytest.approx(0.5 * 3.6 / 3600)


def test_the_study_file_comes_first_and_indexes_are_made_once_a_day() -> None:
    plan = Deployment(documents_changed_per_month=0.5)
    found = churn(replace(RULE, deployment=plan), *[None] * 200)
    assert found is not None
    assert (found.share, found.stated) == (0.5, True)
    costs = {cost.candidate: cost for cost in found.costs}
    assert costs["rag"].index_usd == pytest.approx(DAYS * 0.5 * 3.6 / 3600)
    assert costs["lora"].loss == pytest.approx(0.5 * 0.125)
    unpriced = churn(Rule(deployment=plan), *[None] * 200)
    assert unpriced is not None
    assert {cost.index_usd for cost in unpriced.costs} == {None}
    free = churn(Rule(deployment=plan, usd_per_machine_hour=0.0), *[None] * 200)
    assert free is not None
    assert {cost.candidate: cost.index_usd for cost in free.costs} == {"rag": 0.0, "lora": None}
    never = Deployment(documents_changed_per_month=0.0)
    assert churn(replace(RULE, deployment=never), *(months_ago(n) for n in range(24))) is None
    assert churn(RULE, *[None] * 20) is None


def test_the_notes_on_costs_say_it_and_escape_names() -> None:
    costs = (
        ChurnCost(candidate="rag\x1b[31m", reads=True, loss=0.0, index_usd=1.5),
        ChurnCost(candidate="lora", reads=False, loss=0.005),
        ChurnCost(candidate="nearest", reads=False, loss=0.0),
    )
    shown = decision().model_copy(
        update={"churn": Churn(share=0.04, stated=False, documents=60, costs=costs)}
    )
    margin = shown.goal["margin"]
    said = [*notes(shown)][:4]
    assert said[0] == "4.0 % of the documents change in a month, at least, as their dates tell."
    assert said[1].endswith("indexing after every change, once a day at most, costs $1.50 a month.")
    assert "\x1b" not in said[1]
    assert said[2] == (
        f"lora loses 0.5 points a month and the margin in {margin / 0.005:g} months, until it is "
        "trained again."
    )
    assert said[3].startswith("Passages are paid with every answer")


def test_dates_after_the_day_of_the_study_do_not_count() -> None:
    times = [months_ago(n) for n in range(24)]
    late = [*times, NOW + timedelta(days=3), NOW + timedelta(days=9_000)]
    # The far date alone would leave no document of its last year but itself.
    assert monthly_share(late) == pytest.approx(1 / 26 / 12)
    own = evidence(RAG, LORA)
    corpus = Corpus(
        tuple(Document(id=str(n), text="x", timestamp=time) for n, time in enumerate(late))
    )
    own = replace(
        own, task=with_corpus(Answering(), corpus), documents_as_of=NOW.date().isoformat()
    )
    drills = document_drills(own, study_scores(own))
    found = document_churn(own, drills, RULE)
    assert found is not None
    assert (found.share, found.future) == (pytest.approx(1 / 26), 2)
    said = [*notes(decision().model_copy(update={"churn": found}))]
    assert said[1] == ("2 documents are dated after the day of the study; such dates do not count.")
    # What is on its way around the world on that day has begun.
    assert until([NOW + timedelta(hours=30)], NOW.date().isoformat()) != [None]


def test_a_verdict_says_when_documents_leave_its_candidate_behind() -> None:
    good = run("lora", {"clean": OLDS})  # as good as it gets, by heart
    own = evidence(RAG, good)
    corpus = Corpus(tuple(Document(id=f"d{n}", text="x") for n in range(4)))
    own = replace(own, task=with_corpus(Answering(), corpus))

    def verdict(share: float, **plan: float) -> Verdict:
        deployment = Deployment(documents_changed_per_month=share, **plan)
        measure = Measure(metric="token-f1")
        return judge(own, Rule(measure=measure, deployment=deployment)).verdict

    often = verdict(0.1)
    assert often.use_meanwhile == "rag"
    [said] = [one for one in often.reasons if "change in a month" in one]
    # It scores 12 of 12 before and half a point each after, rag 10 and about 9: 41 points are lost
    # more of a changed fact, and 58 % of facts are old on average within the year.
    assert said.startswith(
        "Whether lora keeps up with rag is open: it is 16.7 points ahead today, and 7.3 points "
        "behind over 12 months. 10 % of the documents change in a month, and it then gives the old "
        "answer to 92 of 100 questions more than rag (22 to 100, 12 asked); without training, "
    )
    seldom = verdict(0.0001)
    assert seldom.use_meanwhile == "lora"
    assert not any("of the documents change" in one for one in seldom.reasons)
    # What is trained again before it is behind stays right.
    again = verdict(0.1, refresh_months=0.3)
    assert again.use_meanwhile == "lora"
    assert not any("as documents change" in reason for reason in again.reasons)
    assert not any("still gave the old answer" in one for one in often.open)


def test_what_changed_facts_do_is_open_where_no_rate_of_changes_is_known() -> None:
    measure = Measure(metric="token-f1")
    closed = judge(evidence(RAG, run("lora", {"clean": OLDS})), Rule(measure=measure)).verdict
    assert closed.use_meanwhile == "lora"
    [said] = [one for one in closed.open if "facts change" in one]
    assert "lora still gave the old answer to 100 % of 12 questions, and rag the new one" in said
    # A candidate that reads is not told to be behind, nor one that seldom gives an old answer.
    reads = judge(evidence(RAG, run("lora", {"clean": NEWS})), Rule(measure=measure)).verdict
    assert not any("facts change" in one for one in reads.open)

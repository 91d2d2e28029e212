"""What a reading candidate loses is split by cause, with intervals that keep their promise."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from choose.corpus import AMONG_OTHERS, CONDITIONS, GOLD, NOTHING
from choose.judge.diagnosis.documents import largest_shares, loss_splits
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.paired_comparison import view_tables
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.diagnosis import LossSplit
from choose.stats import Estimate
from choose.types import Answers, Floats, Run
from simulation.losses import RETRIEVAL, RIGHT, evidence, tally, with_others, world
from support import decisions

MIXED = {"reading": 0.4, "distraction": 0.1, "retrieval": 0.2}


def split(scores: Mapping[str, Floats], documents: list[str], rank: int = 1) -> LossSplit | None:
    study = evidence(scores, documents, rank)
    return next(iter(loss_splits(study, study_scores(study))), None)


def test_the_gaps_add_up_to_the_whole_loss() -> None:
    scores, documents = world(np.random.default_rng(1), MIXED)
    found = split(scores, documents)
    assert sum(gap.loss.value for gap in found.gaps) == pytest.approx(1 - found.retrieved.value)
    assert sum(gap.largest for gap in found.gaps) == pytest.approx(1)
    assert found.gaps[0].name == "reading"
    assert found.gaps[0].loss.value == max(gap.loss.value for gap in found.gaps)
    assert found.knowledge.value == pytest.approx(found.gold.value - found.nothing.value)
    assert (found.rows, found.documents) == (384, 48)
    for rank in (1, 3):
        again = split(scores, documents, rank)
        assert (again.found.value, again.missed) == (1, ())
    table = study_scores(evidence(scores, documents))["rag"].main
    assert view_tables(table) == {}, "controls are no perturbations of the questions"
    assert set(view_tables(table, controls=True)) == set(CONDITIONS)


def test_with_one_passage_distraction_is_not_measured_and_sums_stay_right() -> None:
    scores, documents = world(np.random.default_rng(1), MIXED)
    scores[AMONG_OTHERS] = scores[GOLD]  # the same prompts
    study = evidence(scores, documents, others=0)
    [found] = loss_splits(study, study_scores(study))
    assert found.among_others is None
    assert {gap.name for gap in found.gaps} == {"reading", "retrieval"}
    assert found.gap("retrieval").loss.value == pytest.approx(
        found.gold.value - found.retrieved.value
    )
    assert sum(gap.loss.value for gap in found.gaps) == pytest.approx(1 - found.retrieved.value)
    with_others = split(scores, documents)
    assert with_others.gap("distraction").loss.value == 0  # measured, and none
    assert with_others.gap("reading") == found.gap("reading")
    assert found.passages == "help"


def test_f6_part_scores_of_missed_rows_take_nothing_from_a_perfect_reader() -> None:
    """75 rows were read with evidence, at 20 % right, and "a perfect reader" gained 0.0 points."""
    scores, documents = world(np.random.default_rng(1), MIXED)
    scores["clean"] = np.maximum(scores["clean"], 0.5)  # some words are right by chance
    reading = split(scores, documents).gap("reading").loss
    assert reading.value == pytest.approx(1 - scores[GOLD].mean())
    assert (reading.low or 0.0) > 0


def test_the_rows_are_those_that_were_answered_under_every_control() -> None:
    scores, documents = world(np.random.default_rng(2), MIXED)
    scores[GOLD][:100] = np.nan
    study = evidence(scores, documents)
    runs = []
    for run in study.runs:  # a view names the rows that it asked
        asked = {view: ids[100:] if view[0] == GOLD else ids for view, ids in run.asked.items()}
        ids = asked[GOLD, 0]
        answers = run.answers | {(GOLD, 0): Answers(outputs=ids, status=("ok",) * len(ids))}
        own = {
            view: {n: s[100:] if view[0] == GOLD else s for n, s in by.items()}
            for view, by in run.scores.items()
        }
        runs.append(Run(trial=run.trial, answers=answers, asked=asked, scores=own))
    part = replace(study, runs=tuple(runs))
    [found] = loss_splits(part, study_scores(part))
    assert found.rows == 284
    assert len({found.gold.row_set, found.nothing.row_set, found.retrieved.row_set}) == 1
    assert found.gap("reading").loss.value == pytest.approx(np.mean(1 - scores[GOLD][100:]))


def test_without_every_control_nothing_is_split() -> None:
    scores, documents = world(np.random.default_rng(3), MIXED)
    for control in CONDITIONS:
        rest = {view: by for view, by in scores.items() if view != control}
        assert split(rest, documents) is None


def test_shares_of_resamples_follow_the_documents() -> None:
    # All the loss of b is in one document, which a resample lacks with chance 1/e.
    losses = {"a": np.full(40, 0.02), "b": np.r_[0.9, np.zeros(39)]}
    shares = largest_shares(losses, [f"d{i}" for i in range(40)])
    assert shares["a"] == pytest.approx((1 - 1 / 40) ** 40, abs=0.03)
    assert largest_shares(losses, ["d"] * 40) == {"a": 0.0, "b": 1.0}


def test_what_is_lost_most_is_named_where_it_is_sure() -> None:
    scores, documents = world(
        np.random.default_rng(6), {"reading": 0.5, "distraction": 0.05, "retrieval": 0.1}
    )
    found = split(scores, documents)
    assert (found.passages, found.most) == ("help", "reading")
    unsure = (found.gaps[0].model_copy(update={"largest": 0.7}), *found.gaps[1:])
    assert found.model_copy(update={"gaps": unsure}).most == "open"
    found = split({view: np.ones_like(rows) for view, rows in scores.items()}, documents)
    assert (found.passages, found.most) == ("not shown", "nothing")
    worse = Estimate(value=-0.1, low=-0.15, high=-0.05)
    assert found.model_copy(update={"knowledge": worse}).passages == "mislead"


def test_retrieval_that_adds_nothing_does_not_bring_the_knowledge() -> None:
    """The right passage helps, and what is retrieved does not: the first says nothing of this."""
    scores, documents = world(
        np.random.default_rng(6), {"reading": 0.4, "distraction": 0.02, "retrieval": 0.01}
    )
    scores["clean"] = scores[NOTHING]
    found = split(scores, documents)
    assert found.knowledge.low > 0
    assert found.brought.value == 0
    assert found.passages == "right one helps"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reading", "retrieval", "distraction", "drawn"])
def test_intervals_cover_and_the_named_loss_is_the_planted_one(name: str) -> None:
    """The committed run of `oracle.py --losses` in small, with what 150 studies allow beside."""
    found = tally(name, 150)
    assert 0.92 <= np.mean([one.value for one in found.covered.values()]) <= 0.98
    named = found.right["named"]
    assert named.value >= RIGHT
    assert named.count >= (100 if name == "drawn" else 148)


def test_rows_whose_evidence_was_not_found_are_listed() -> None:
    scores, documents = world(np.random.default_rng(8), RETRIEVAL)
    study = with_others(evidence(scores, documents), scores)
    runs = []
    for run in study.runs:
        found = run.answers["clean", 0]
        if found.evidence is not None:
            found = replace(found, evidence=(("z:0-1",),) * 9 + found.evidence[9:])
        runs.append(replace(run, answers={**run.answers, ("clean", 0): found}))
    judged = judge(replace(study, runs=tuple(runs)), Rule(metric="token-f1"))
    assert judged.loss_splits[0].missed == tuple(f"q{n:03}" for n in range(9))
    assert judged.verdict.steps[0].kind == "fix-retrieval"


def test_documents_come_first_where_most_answers_stand_nowhere() -> None:
    found = decisions.decision("fix-documents")
    ids = found.without_evidence
    assert len(ids) == 150
    first = found.verdict.steps[0]
    assert first.kind == "fix-documents"
    assert first.names == ids


def with_reader(study: Evidence) -> Evidence:
    """Add a candidate that reads and answers alike."""
    [info] = study.candidates
    runs = [
        replace(run, trial=replace(run.trial, candidate="reader", strategy="reader"))
        for run in study.runs
    ]
    infos = (replace(info, reads=True), replace(info, name="reader", strategy="reader", reads=True))
    return replace(study, candidates=infos, runs=(*study.runs, *runs))


BOTH = {"reading": 0.5, "distraction": 0.02, "retrieval": 0.35}


def test_the_gain_that_is_shown_is_in_retrieval_though_reading_loses_most() -> None:
    scores, documents = world(np.random.default_rng(9), BOTH)
    decision = judge(with_reader(evidence(scores, documents)), Rule(metric="token-f1"))
    split = next(s for s in decision.loss_splits if s.candidate == "rag")
    loss, among = split.gap("retrieval").loss, split.among_others
    assert split.retrieval_part == pytest.approx(loss.value / among.value)
    assert split.most == "retrieval first"
    assert split.gap("reading").loss.value > loss.value
    (step,) = [step for step in decision.verdict.steps if step.kind == "fix-retrieval"]
    assert decision.verdict.kind != "fix-retrieval"
    assert (step.names, step.value) == (("rag",), loss)


def test_a_step_says_whose_loss_it_states_where_it_is_not_that_of_the_candidate_to_use() -> None:
    scores, documents = world(np.random.default_rng(9), BOTH)
    study = with_reader(evidence(scores, documents))
    runs = []
    for run in study.runs:
        if run.trial.candidate == "reader":  # it scores more, and was given no other passages yet
            better = {
                view: {metric: np.clip(x + 0.2, 0, 1) for metric, x in by.items()}
                for view, by in run.scores.items()
            }
            parts = {"scores": better, "asked": run.asked, "answers": run.answers}
            own = {
                part: {view: x for view, x in by.items() if view[0] not in CONDITIONS}
                for part, by in parts.items()
            }
            run = replace(run, **own)
        runs.append(run)
    decision = judge(replace(study, runs=tuple(runs)), Rule(metric="token-f1"))
    assert [split.candidate for split in decision.loss_splits] == ["rag"]
    assert (decision.verdict.recommended or decision.verdict.use_meanwhile) == "reader"
    [step] = [step for step in decision.verdict.steps if step.kind == "fix-retrieval"]
    assert step.names == ("rag",)
    assert step.value == decision.loss_splits[0].gap("retrieval").loss


def test_retrieval_that_loses_little_is_no_advice_whoever_reads_best() -> None:
    scores, documents = world(np.random.default_rng(9), {**BOTH, "retrieval": 0.03})
    decision = judge(with_reader(evidence(scores, documents)), Rule(metric="token-f1"))
    assert "fix-retrieval" not in [step.kind for step in decision.verdict.steps]
    assert next(s for s in decision.loss_splits if s.candidate == "rag").most == "reading"

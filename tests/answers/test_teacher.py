"""A teacher's answers: what is learned from them, who is scored, and what a bad column says."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import choose
from choose.api.plan import plan_trials, read_study
from choose.data.dataset import Tables
from choose.data.readers.json_and_parquet import table_of
from choose.errors import DataError, StudyError
from choose.report import words
from choose.study.resolve_study import load_study

FINANCE = Path(__file__).resolve().parents[3] / "shared" / "verdicts" / "fin_sentiment"
WORDS = {"red": "crimson scarlet ruby", "blue": "navy azure cobalt", "green": "olive lime jade"}


def table(rows=240, right=0.8, blank=0):
    """Return texts whose words tell the label, with a teacher that is right on a share of them."""
    rng = np.random.default_rng(4)
    gold = rng.choice(list(WORDS), rows)
    texts = [
        f"{rng.choice(WORDS[g].split())} thing {i} {i * 7919 % 997}" for i, g in enumerate(gold)
    ]
    other = np.array([rng.choice([w for w in WORDS if w != g]) for g in gold])
    said = np.where(rng.random(rows) < right, gold, other)
    label = [None if i < blank else g for i, g in enumerate(gold)]
    return pl.DataFrame({"text": texts, "label": label, "gpt-4o": said})


def study(**data):
    settings = {"data": {"teacher_column": "gpt-4o", **data}, "candidates": [{"strategy": "tfidf"}]}
    return load_study(settings)


def planned(pool, test=None, **data):
    tables = Tables(pool=table_of(pool), test=None if test is None else table_of(test))
    read = read_study(study(**data), tables)
    return plan_trials(read.study, read.pools), read


def compared(frame, out):
    """Compare tfidf, taught by the column gpt-4o and by labels, in one draw without scenarios."""
    settings = {"noise": [0.0], "views": [], "scenarios": [], "wordings": False, "seeds": 1}
    settings |= {"teacher_column": "gpt-4o", "strategies": ["tfidf"], "progress": False}
    return choose.compare(frame, out=out, **settings)


def targets_of(plan, name):
    trial = next(job.trial for job in plan.jobs if job.trial.candidate == name)
    return {row.id: row.target for row in plan.pools.of(trial).pool}


def test_a_candidate_learns_what_the_teacher_says_and_its_twin_the_labels():
    plan, read = planned(table())
    rows = read.pools.dataset.examples
    taught, labels = (targets_of(plan, name) for name in ("tfidf", "tfidf-on-labels"))
    assert taught == {id: rows[id].taught for id in taught}
    assert labels == {id: rows[id].target for id in labels}
    assert taught.keys() == labels.keys(), "both learn from the same rows"
    assert taught != labels
    assert {c.name for c in plan.candidates if not c.taught} == {"tfidf-on-labels", "majority"}


def test_answers_that_are_no_label_teach_nothing_and_are_listed():
    frame = table()
    said = ["no idea" if i % 10 == 0 else x for i, x in enumerate(frame["gpt-4o"])]
    plan, read = planned(frame.with_columns(pl.Series("gpt-4o", said)))
    assert set(targets_of(plan, "tfidf").values()) == set(WORDS)
    assert len(targets_of(plan, "tfidf")) < len(targets_of(plan, "tfidf-on-labels"))
    assert any("24 of 240 answers of the teacher" in note for note in read.notes)


def test_rows_without_a_label_teach_and_are_never_test_rows():
    plan, read = planned(table(blank=160))
    dataset = read.pools.dataset
    assert len(dataset.examples) == 240
    assert len(dataset.asked) == 80
    assert all(dataset.examples[id].labelled for id in dataset.asked)
    taught, labels = (targets_of(plan, name) for name in ("tfidf", "tfidf-on-labels"))
    assert (len(taught), len(labels)) == (222, 62), "all rows without a label teach in each fold"


def test_training_rows_may_have_the_teachers_answers_alone():
    whole = table()
    plan, read = planned(whole[:180].drop("label"), whole[180:].drop("gpt-4o"))
    assert len(targets_of(plan, "tfidf")) == 180
    assert [c.name for c in plan.candidates if c.taught] == ["majority", "tfidf"]
    assert len(read.pools.dataset.asked) == 60


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["A", "B", "C"], "240 of 240 answers in the teacher column 'gpt-4o' are none of"),
        ([None], "0 of 0 answers in the teacher column"),
    ],
)
def test_a_teacher_with_other_labels_than_the_rows_is_refused(said, message):
    frame = table()
    column = pl.Series("gpt-4o", [said[i % len(said)] for i in range(240)], dtype=pl.String)
    with pytest.raises(DataError, match=message):
        planned(frame.with_columns(column))


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="No teacher column 'gpt-40'"):
        planned(table(), teacher_column="gpt-40")


def test_learning_from_answers_is_compared_with_labels_and_with_the_teacher(tmp_path):
    decision = compared(table(400, right=0.7), tmp_path / "st")
    found = {card.candidate: card.accuracy.value for card in decision.scorecards if card.accuracy}
    assert found["tfidf-on-labels"] > found["tfidf"] > found["gpt-4o"]
    assert 0.6 < found["gpt-4o"] < 0.8
    # An export of the taught candidate learns what the teacher says, too.
    decision.export(tmp_path / "taught", candidate="tfidf")
    assert choose.load(tmp_path / "taught").manifest.teacher == "gpt-4o"
    assert "answers of gpt" in (tmp_path / "taught" / "README.md").read_text()


def test_a_router_marks_the_rows_that_it_leaves_to_the_model(tmp_path):
    decision = compared(table(700, right=0.98), tmp_path / "st")
    assert decision.takeover.threshold is not None
    decision.export(tmp_path / "router", router=True)
    model = choose.load(tmp_path / "router")
    assert model.manifest.router.to == "gpt-4o"
    least = model.manifest.router.threshold
    found = model.table(["navy thing", "zzz qqq", "crimson thing", ""])
    for label, confidence, status in found.rows():
        expected = (
            "no text" if confidence is None else "ok" if confidence >= least else "ask gpt-4o"
        )
        assert (status, label is not None) == (expected, expected == "ok")


def test_without_a_share_that_is_safe_there_is_no_router(tmp_path):
    decision = choose.compare(
        table(60).drop("gpt-4o"),
        strategies=["tfidf"],
        out=tmp_path / "st",
        quick=True,
        progress=False,
    )
    with pytest.raises(StudyError, match=r"\(this study has tfidf\).* it has none\)"):
        decision.export(tmp_path / "router", router=True)
    decision = compared(table(100), tmp_path / "few")
    with pytest.raises(StudyError, match=r"no router to export\. No share of the rows is shown"):
        decision.export(tmp_path / "router", router=True)


def test_without_labels_every_score_is_agreement(tmp_path):
    decision = compared(table(200).drop("label"), tmp_path / "st")
    assert "% agreement with gpt-4o" in words.answer(decision)
    [caveat] = [c for c in decision.verdict.caveats if c.code == "agreement"]
    assert caveat.names == ("gpt-4o", "tfidf")
    wrong = round((1 - decision.score) * 200)
    assert caveat.rows == wrong
    assert caveat.whole > wrong
    assert " right" not in str(decision).replace("taken as right", "").replace("who is right", "")


@pytest.mark.data
def test_what_published_answers_teach_on_finance_sentences(tmp_path):
    if not FINANCE.is_dir():
        pytest.skip("the published sets are not here")
    frame = pl.read_csv(FINANCE / "answers.csv").select("text", "label", "gpt-4o")
    decision = compared(frame, tmp_path / "st")
    found = {card.candidate: card.accuracy.value for card in decision.scorecards if card.accuracy}
    assert found["gpt-4o"] == pytest.approx(0.798, abs=0.001)
    assert found["tfidf-on-labels"] > found["tfidf"] > 0.5

"""Answers that are texts: scores are facts, stored once, and decide as labels do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from choose.api.compare import decide
from choose.api.study_evidence import evidence_of, rule_of
from choose.errors import StudyError
from choose.judge.scores.score_tables import study_scores
from choose.run.race import Race
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.store.trial_folder import SCORES
from choose.tasks.extraction import Extraction
from choose.tasks.scoring import LENIENT, score
from support import text_studies
from support.text_studies import compared, dataset, rows

CLEAN = ("clean", 0)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decision, Store]:
    with pytest.MonkeyPatch.context() as patch:
        text_studies.install(patch)
        folder = tmp_path_factory.mktemp("tables") / "store"
        return compared(dataset(rows()), folder, "empty", "reader", "chatty", "good")


def card(decision: Decision, name: str):
    return next(card for card in decision.scorecards if card.candidate == name)


def test_candidates_are_compared_from_start_to_end(stored: tuple[Decision, Store]) -> None:
    decision, store = stored
    assert (decision.verdict.kind, decision.verdict.recommended) == ("adopt", "good")
    assert decision.goal["measure"]["metric"] == "field-f1"
    runs = [run for run in evidence_of(store).runs if run.trial.candidate == "reader"]
    mean = np.mean([s for run in runs for s in run.scores[CLEAN]["field-f1"]])
    assert card(decision, "reader").accuracy.value == pytest.approx(mean)
    expected = [
        score(store.dataset.task, output, store.dataset.examples[id].targets)["field-f1"]
        for run in runs
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    ]
    assert mean == pytest.approx(np.mean(expected))


def test_what_needs_labels_is_null(stored: tuple[Decision, Store]) -> None:
    decision, _ = stored
    assert decision.audit is None
    assert decision.failures is None
    assert decision.overlap is None
    assert decision.verdict.rare == ()
    for one in decision.scorecards:
        assert (one.macro_f1, one.per_class, one.calibration_error) == (None, (), None)
        assert one.stability.new_class is None
    names = {gate.name for gate in decision.gates}
    assert {"labelled set adequate", "baselines beaten", "gap closed", "robust"} <= names
    assert not names & {"labels clean enough", "failures data-driven", "task closed and measurable"}


def test_methods_for_right_and_wrong_are_not_used(stored: tuple[Decision, Store]) -> None:
    decision, _ = stored
    assert all(pair.method != "McNemar mid-p" for pair in decision.pairs)
    pair = next(p for p in decision.pairs if {p.a, p.b} == {"reader", "chatty"})
    assert pair.method == "paired t"  # one fit a side, no seed


def test_stored_scores_are_read_not_computed(
    stored: tuple[Decision, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = stored
    trial = store.grid()[1][0]
    monkeypatch.setattr(Extraction, "score", None)
    run = Store.open(store.path).get(trial)
    assert run is not None
    assert {"field-f1", "exact-record", LENIENT} == run.scores[CLEAN].keys()


@pytest.mark.parametrize("damage", ["absent", "zeros", "others"])
def test_scores_are_computed_anew_without_asking_any_model(
    stored: tuple[Decision, Store], tmp_path: Path, damage: str
) -> None:
    decision, store = stored
    for file in store.path.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(store.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    files = sorted(tmp_path.rglob(f"*{SCORES}"))
    assert files
    for file in files:
        if damage == "absent":
            file.unlink()
        elif damage == "zeros":
            file.write_bytes(bytes(file.stat().st_size))
        else:  # as another rule scored them
            table = pl.read_parquet(file).with_columns(scoring=pl.lit("other"), **{LENIENT: 0.0})
            table.write_parquet(file)
    again = decide(Store.open(tmp_path))
    assert again.scorecards == decision.scorecards
    assert sorted(tmp_path.rglob(f"*{SCORES}")) == files
    assert all((pl.read_parquet(f)["scoring"] != "other").all() for f in files)


def test_malformed_answers_count_as_wrong_and_have_a_lenient_score(
    stored: tuple[Decision, Store],
) -> None:
    _, store = stored
    run = next(r for r in evidence_of(store).runs if r.trial.candidate == "chatty")
    answers, scores = run.answers[CLEAN], run.scores[CLEAN]
    bad = np.array([status == "malformed" for status in answers.status])
    assert bad.any()
    assert (scores["field-f1"][bad] == 0).all()
    assert scores[LENIENT][bad].mean() > 0.5
    assert (scores[LENIENT][~bad] == scores["field-f1"][~bad]).all()
    assert answers.raw is not None
    assert all((r is not None) == b for r, b in zip(answers.raw, bad, strict=True))


def test_equal_texts_have_equal_codes(stored: tuple[Decision, Store]) -> None:
    _, store = stored
    evidence = evidence_of(store)
    panel = study_scores(evidence, rule_of(store.study, store.dataset.task).measure)
    table = panel["good"].main
    assert table is not None
    same = table.outputs == panel.rows.targets[:, None]
    assert (table.right[same] == 1).all()
    assert 0 < same.mean() < 1


def test_a_race_counts_scores(stored: tuple[Decision, Store]) -> None:
    _, store = stored
    race = Race({}, 0.02)
    run = next(r for r in evidence_of(store).runs if r.trial.candidate == "reader")
    race.add(run)
    assert 0 < sum(race.right["reader"].values()) / len(race.right["reader"]) < 1
    assert set(race.right["reader"].values()) - {0.0, 1.0}


@pytest.mark.parametrize("value", [3.2, float("nan"), "good", None])
def test_a_metric_that_gives_no_score_is_one_line(
    value: object, stored: tuple[Decision, Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text_studies.install(monkeypatch)
    monkeypatch.setattr(Extraction, "score", lambda *_: {"field-f1": value, "exact-record": 1.0})
    with pytest.raises(StudyError, match=r"'field-f1' gave .*; it must give a number from 0 to 1"):
        compared(dataset(rows(40)), tmp_path / "store", "empty", "reader")
    assert list(tmp_path.rglob("clean-0.parquet"))  # the answers are kept


def test_a_metric_that_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Extraction(fields={"a": "text"})
    monkeypatch.setattr(Extraction, "score", lambda *_: 1 / 0)
    with pytest.raises(StudyError, match=r"failed \(ZeroDivisionError: .*\)\. Mend it"):
        score(task, "{}", ["{}"])


def test_rows_with_fields_and_several_right_answers_come_back(tmp_path: Path) -> None:
    first, *rest = rows(10)
    rich = replace(first, fields={"day": "Monday", "von": "x"}, accepted=('{"people": 2}', "{}"))
    data = dataset([rich, *rest], folds=2)
    store = Store.create(tmp_path / "store")
    store.begin({"goal": {}, "grid": {}}, data)
    assert Store.open(store.path).dataset.examples == data.examples

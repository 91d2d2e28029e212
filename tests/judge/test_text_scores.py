"""Answers that are texts: scores are facts, stored once, and decide as labels do."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from choose.api.compare import decide
from choose.api.study_evidence import evidence_of, rule_of
from choose.errors import StudyError
from choose.judge.evidence import items_of
from choose.judge.scores.score_tables import study_scores
from choose.report.words import headline
from choose.schema.decision import Decision
from choose.store.store import SCORES, Store
from choose.tasks.extraction import Extraction
from choose.types import CLEAN, Item
from support import text_studies
from support.text_studies import compared, dataset, rows


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
    assert decision.goal["metric"] == "field-f1"
    runs = [run for run in evidence_of(store).runs if run.trial.candidate == "reader"]
    mean = np.mean([s for run in runs for s in run.scores[CLEAN]["field-f1"]])
    assert card(decision, "reader").accuracy.value == pytest.approx(mean)
    expected = [
        store.dataset.task.score(output, store.dataset.examples[id].targets)["field-f1"]
        for run in runs
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    ]
    assert mean == pytest.approx(np.mean(expected))


def test_what_needs_labels_is_null_and_methods_for_right_and_wrong_are_not_used(
    stored: tuple[Decision, Store],
) -> None:
    decision, _ = stored
    assert decision.audit is None
    assert decision.overlap is None
    assert decision.verdict.rare == ()
    for one in decision.scorecards:
        assert (one.macro_f1, one.per_class) == (None, ())
        assert one.stability.new_class is None
    names = {gate.name for gate in decision.gates}
    assert "labelled set adequate" in names
    assert "labels clean enough" not in names
    assert all(pair.method != "McNemar mid-p" for pair in decision.pairs)
    pair = next(p for p in decision.pairs if {p.a, p.b} == {"reader", "chatty"})
    assert pair.method == "paired t"  # one fit a side, no seed


def test_stored_scores_are_read_not_computed(stored, monkeypatch):
    _, store = stored
    trial = store.grid()[1][0]
    monkeypatch.setattr(Extraction, "score", None)
    assert {*Extraction.own} == Store.open(store.path).get(trial).scores[CLEAN].keys()


@pytest.mark.parametrize("damage", ["absent", "zeros", "others"])
def test_scores_are_computed_anew_without_asking_any_model(stored, tmp_path, damage):
    decision, store = stored
    shutil.copytree(store.path, tmp_path, copy_function=shutil.copyfile, dirs_exist_ok=True)
    files = sorted(tmp_path.rglob(f"*{SCORES}"))
    assert files
    for file in files:
        if damage == "absent":
            file.unlink()
        elif damage == "zeros":
            file.write_bytes(bytes(file.stat().st_size))
        else:  # as another rule scored them
            table = pl.read_parquet(file).with_columns(
                **{"scoring": pl.lit("other"), "field-f1": 0.0}
            )
            table.write_parquet(file)
    assert decide(Store.open(tmp_path)).scorecards == decision.scorecards
    assert sorted(tmp_path.rglob(f"*{SCORES}")) == files
    assert all((pl.read_parquet(f)["scoring"] != "other").all() for f in files)


def test_malformed_answers_count_as_wrong_and_are_kept(stored):
    _, store = stored
    run = next(r for r in evidence_of(store).runs if r.trial.candidate == "chatty")
    answers, scores = run.answers[CLEAN], run.scores[CLEAN]
    bad = np.array([status == "malformed" for status in answers.status])
    assert bad.any()
    assert (scores["field-f1"][bad] == 0).all()
    assert answers.raw is not None
    assert all((r is not None) == b for r, b in zip(answers.raw, bad, strict=True))


def test_equal_texts_have_equal_codes(stored: tuple[Decision, Store]) -> None:
    _, store = stored
    scores = study_scores(evidence_of(store), rule_of(store.study, store.dataset.task).metric)
    table = scores["good"].main
    same = table.outputs == scores.rows.targets[:, None]
    assert (table.right[same] == 1).all()
    assert 0 < same.mean() < 1


def test_the_answers_are_kept_where_a_metric_fails(stored, monkeypatch, tmp_path):
    def fails(*_):
        raise StudyError("no luck")

    text_studies.install(monkeypatch)
    monkeypatch.setattr(Extraction, "score", fails)
    with pytest.raises(StudyError, match="no luck"):
        compared(dataset(rows(40)), tmp_path / "store", "empty", "reader")
    assert list(tmp_path.rglob("clean-0.parquet"))


def test_rows_with_fields_and_several_right_answers_come_back(tmp_path: Path) -> None:
    first, *rest = rows(10)
    rich = replace(first, fields={"day": "Monday", "von": "x"}, accepted=('{"people": 2}', "{}"))
    data = dataset([rich, *rest], folds=2)
    store = Store.create(tmp_path / "store")
    store.begin({"goal": {}, "grid": {}}, data)
    assert Store.open(store.path).dataset.examples == data.examples


def test_equal_texts_with_unlike_further_input_are_other_questions() -> None:
    examples = rows(8)
    for number, (text, day, target) in enumerate(
        [("As usual", "1", "{}"), ("as  usual", "2", '{"people": 2}'), ("As usual", "2", "{}")]
    ):
        examples[number] = replace(examples[number], text=text, fields={"day": day}, target=target)
    known = dataset(examples)
    assert items_of(known, tuple(known.examples)).conflicting == {"r001", "r002"}
    bare = dataset([replace(e, fields={}) for e in examples])
    assert items_of(bare, tuple(bare.examples)).conflicting == {"r000", "r001", "r002"}


def test_what_stands_beside_the_score(stored: tuple[Decision, Store]) -> None:
    decision, store = stored
    task, rows_ = store.dataset.task, store.dataset.examples
    reader, chatty = card(decision, "reader"), card(decision, "chatty")
    runs = [r for r in evidence_of(store).runs if r.trial.candidate == "reader"]
    said = [
        (i, o) for r in runs for i, o in zip(r.asked[CLEAN], r.answers[CLEAN].outputs, strict=True)
    ]
    counts = [task.counts(o, rows_[i].target) for i, o in said]
    right, given, wanted = (sum(c[f][k] for c in counts for f in c) for k in range(3))
    assert reader.text.micro_f1 == pytest.approx(2 * right / (given + wanted))
    exact = [s for r in runs for s in r.scores[CLEAN]["exact-record"]]
    assert reader.text.metrics["exact-record"].value == pytest.approx(np.mean(exact))
    assert chatty.format_valid < 0.7
    people = next(f for f in reader.text.fields if f.name == "people")
    hits, of, expected = (sum(c.get("people", (0, 0, 0))[k] for c in counts) for k in range(3))
    assert (people.precision, people.recall) == (hits / of, hits / expected)


def test_rows_stand_side_by_side(stored: tuple[Decision, Store]) -> None:
    decision, store = stored
    rows_ = decision.side_by_side
    assert [answer.candidate for answer in rows_[0].answers][:2] == ["good", "reader"]
    assert all(row.target == store.dataset.examples[row.id].target for row in rows_)
    assert any(a.output is None and a.raw for row in rows_ for a in row.answers)
    assert sum(row.answers[0].score > row.answers[1].score for row in rows_) >= len(rows_) / 2
    written = decision.model_dump_json()
    assert not any(store.dataset.examples[row.id].text in written for row in rows_)


def test_a_value_stands_in_the_input_if_its_words_do() -> None:
    task = Extraction(fields={"a": "text", "n": "number"})
    item = Item(id="1", text="Table for 12, name's Bo LIND!", fields={"day": "Monday"})
    found = task.values('{"a": ["bo lind", "Monday", "lind bo", "2"], "n": 12}', item)
    assert [occurs for _, occurs in found.values()] == [True, True, False, False, True]
    drop = {key for key, (_, occurs) in found.items() if not occurs}
    assert task.without('{"a": ["bo lind", "lind bo"], "n": 12}', drop) == (
        '{"a": ["bo lind"], "n": 12}'
    )


def test_the_share_of_right_records_can_decide(tmp_path, monkeypatch):
    """The verdict, its margin and each figure are those of the named score."""
    text_studies.install(monkeypatch)
    data = dataset(rows())
    exact = replace(data, task=replace(data.task, headline="exact-record"))
    decision, store = compared(exact, tmp_path / "exact", "empty", "reader", "good")
    runs = [run for run in evidence_of(store).runs if run.trial.candidate == "reader"]
    mean = np.mean([s for run in runs for s in run.scores[CLEAN]["exact-record"]])
    reader = card(decision, "reader")
    assert reader.accuracy.value == pytest.approx(mean)
    assert "% of records right. " in headline(decision)
    assert "the share of records that are right as a whole." in headline(decision)
    assert 0.5 < mean < reader.text.metrics["field-f1"].value

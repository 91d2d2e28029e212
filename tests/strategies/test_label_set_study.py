"""A study of sets of labels, from a file to the decision, its reports, and an export."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

import choose
from choose.api.plan import check, resolve
from choose.export.exported_model import Model
from choose.store.store import Store
from choose.tasks.multilabel import Multilabel, read_set, set_text
from support.studies import LABELS, TASK, compare_once, json_lines, label_file, label_rows

pytestmark = pytest.mark.slow

PLANTED = {"m010": "dropped", "m033": "dropped", "m051": "added", "m077": "added"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[choose.Decision, Path]:
    folder, rows = tmp_path_factory.mktemp("sets"), []
    for row in label_rows(200):
        own = list(TASK.classes(row.target))
        if PLANTED.get(row.id) == "dropped":
            row = replace(row, text=f"my card, {row.text}", target=set_text({*own} - {"card"}))
        if PLANTED.get(row.id) == "added" and not {"refund", "money"} & {*own}:
            row = replace(row, target=set_text([*own, "refund"]))
        rows.append(row)
    data, names = label_file(folder / "sets.jsonl", rows), ("tfidf", "probe", "knn")
    settings = {"scenarios": ["new-class"], "noise": [0.0, 0.2], "views": [], "budget": 600}
    return compare_once(data, folder / "store", *names, **settings), folder


def test_the_verdict_stands_on_example_f1_with_the_others_beside_it(study):
    decision, _ = study
    found = {card.candidate: card for card in decision.scorecards}
    assert decision.goal["metric"] == "example-f1"
    assert set(found) == {"majority", "tfidf", "probe", "knn"}
    tfidf, constant = found["tfidf"], found["majority"]
    assert tfidf.accuracy.value > 0.85 > 0.5 > constant.accuracy.value
    assert tfidf.text.metrics.keys() == {*Multilabel.own[1:]}
    assert {record.name for record in tfidf.text.fields} == set(LABELS)
    assert tfidf.stability.new_class.label in LABELS
    assert [point.rate for point in tfidf.noise] == [0.2]


def test_micro_and_macro_f1_are_those_of_scikit_learn(study):
    decision, folder = study
    store = Store.open(folder / "store")
    _, trials = store.grid()
    rows = store.dataset.examples
    given, right = [], []
    for trial in {t.key: t for t in trials}.values():  # further rounds ask it for more rows
        standard = trial.scenario.kind == "standard" and not trial.variant
        if trial.candidate == "tfidf" and standard and (run := store.get(trial)) is not None:
            for id, output in zip(
                run.asked["clean", 0], run.answers["clean", 0].outputs, strict=True
            ):
                given.append(read_set(output or "[]"))
                right.append(read_set(rows[id].target))
    assert len(given) == len(rows)
    given_in, right_in = (
        np.array([[label in own for label in LABELS] for own in sets]) for sets in (given, right)
    )
    text = next(c.text for c in decision.scorecards if c.candidate == "tfidf")
    assert text.micro_f1 == pytest.approx(f1_score(right_in, given_in, average="micro"))
    assert text.macro_f1 == pytest.approx(f1_score(right_in, given_in, average="macro"))
    accuracy = next(c.accuracy for c in decision.scorecards if c.candidate == "tfidf")
    theirs = f1_score(right_in, given_in, average="samples", zero_division=1)
    assert accuracy.value == pytest.approx(theirs)


def test_an_export_writes_lists(study: tuple[choose.Decision, Path]) -> None:
    decision, folder = study
    decision.export(folder / "model", candidate="tfidf")
    first, second = json_lines(Model.load(folder / "model"), "my card was stolen", "")
    assert first["answer"] == ["card", "lost"]
    assert second == {"id": "2", "answer": None, "confidence": None, "status": "no text"}
    assert 0 < first["confidence"] <= 1
    card = (folder / "model/README.md").read_text("utf-8")
    assert "Gives each text the labels that apply." in card


def test_check_says_what_sets_hold(study: tuple[choose.Decision, Path]) -> None:
    _, folder = study
    record = check(resolve(str(folder / "sets.jsonl"))).record
    assert {label for label, _ in record.targets.labels} == {*LABELS}

"""A study of questions with passages: from a file to the decision, the reports and an export."""

from pathlib import Path

import pytest

import choose
from choose.api.compare import decide
from choose.api.study_evidence import evidence_of
from choose.report.write import render_html
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.tasks.answering import Answering
from choose.types import CLEAN
from support.studies import write_lines

TOWNS = ("Bern", "Oslo", "Lima", "Rome", "Riga", "Kyiv", "Doha", "Cork", "Nice", "Bonn")


def questions(rows: int = 60) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for n in range(rows):
        page, town = n // 3, TOWNS[n % 10]
        facts = [
            f"{TOWNS[(3 * page + k) % 10]} bridge {3 * page + k} opened in {1800 + 3 * page + k}."
            for k in range(3)
        ]
        asked = f"{town} bridge {n}" if n % 5 else f"{town} tower {n}"
        year = 1800 + n
        found.append(
            {
                "id": f"q{n}",
                "question": f"When was the {asked} opened?",
                "answers": [str(year), f"in {year}"] if n % 5 else [],
                "page": " ".join(["A page about towns.", *facts, "The fair is held in May."]),
            }
        )
    return found


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decision, Path]:
    folder = tmp_path_factory.mktemp("questions")
    choose.compare(
        write_lines(folder / "questions.jsonl", questions()),
        strategies=["sentence"],
        fields=["page"],
        scenarios=[],
        views=[],
        noise=[0.2],
        budget=600,
        out=folder / "study",
    )
    return decide(Store.open(folder / "study")), folder / "study"


def test_baselines_are_scored_by_the_accepted_answers(studied: tuple[Decision, Path]) -> None:
    decision, folder = studied
    found = {card.candidate: card for card in decision.scorecards}
    assert set(found) == {"empty", "nearest", "sentence"}
    assert decision.goal["metric"] == "token-f1"
    store = Store.open(folder)
    task = store.dataset.task
    assert isinstance(task, Answering)
    assert (task.passage, task.unanswerable) == ("page", True)
    runs = [r for r in evidence_of(store).runs if r.trial.candidate == "sentence"]
    runs = [r for r in runs if r.trial.scenario.kind == "standard"]
    scores = [s for run in runs for s in run.scores[CLEAN]["token-f1"]]
    expected = [
        task.score(output, store.dataset.examples[id].targets)["token-f1"]
        for run in runs
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    ]
    assert scores == expected
    # "Bern bridge 0 opened in 1800." has six words, two of them those of "in 1800".
    assert found["sentence"].accuracy.value == pytest.approx(0.8 * 2 * 2 / (6 + 2), abs=0.05)
    assert found["empty"].accuracy.value == pytest.approx(0.2)
    assert any(r.trial.scenario.rate for r in evidence_of(store).runs)


def test_a_page_shows_every_accepted_answer(studied: tuple[Decision, Path]) -> None:
    decision, _ = studied
    page = " ".join(render_html(decision).split())
    row = next(row for row in decision.side_by_side if row.accepted)
    assert row.accepted == (f"in {row.target}",)
    assert f">{row.target}; in {row.target}</td>" in page


def test_an_export_answers_with_its_passage(studied: tuple[Decision, Path], tmp_path: Path) -> None:
    _, folder = studied
    choose.read(folder).export(tmp_path / "model", candidate="sentence")
    model = choose.Model.load(tmp_path / "model")
    page = {"page": "Riga bridge 4 opened. May is wet."}
    answers = model.predict(["When did Riga bridge 4 open?"], fields=[page])
    assert answers.tolist() == ["Riga bridge 4 opened."]

"""Documents change after training: from a file to the store, the decision and its reports."""

import json
from pathlib import Path
from typing import Any

import pytest

import choose
from choose.api.compare import decide
from choose.api.study_evidence import evidence_of
from choose.corpus import CONDITIONS, GOLD, UPDATED, is_drill
from choose.data.scenarios import Pools
from choose.report.words import after_changes
from choose.report.write import render_html, render_markdown
from choose.run.predict_test_rows import asking_order
from choose.run.trial import run_trials
from choose.run.worker import GroupRequest, Worker
from choose.schema.decision import Decision
from choose.schema.plan import Job
from choose.store.store import Store
from choose.strategy import find
from choose.study.rounds import CONTROLS
from choose.tasks.answering import corpus_of
from choose.tasks.document_drill import drill_of
from choose.types import STANDARD, Answers
from support.studies import write_lines

STEMS = ("Ash", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel")
PLACES = [f"{stem}{end}" for stem in STEMS for end in ("ford", "ham", "wick", "bury", "ton")]


def files(folder: Path) -> tuple[str, str]:
    """Write a document about each place, and two questions on the year of its bridge."""
    documents, questions = [], []
    for n, place in enumerate(PLACES):
        year = 1700 + 3 * n
        text = f"A page on the county. The {place} bridge opened in {year}. A fair is in May."
        documents.append({"id": f"d{n}", "title": place, "text": text})
        for k, asked in enumerate(("When was the {} bridge opened?", "Year of the {} bridge?")):
            questions.append(
                {"id": f"q{n}-{k}", "question": asked.format(place), "answers": [str(year)]}
            )
    asked = write_lines(folder / "questions.jsonl", questions)
    return asked, write_lines(folder / "documents.jsonl", documents)


GRID: dict[str, Any] = {"strategies": ["sentence"], "scenarios": [], "views": [], "noise": []}


def compare(folder: Path) -> Decision:
    """Run the study in a folder, or go on with it."""
    questions, documents = files(folder)
    choose.compare(questions, documents=documents, **GRID, budget=600, out=folder / "study")
    return decide(Store.open(folder / "study"))


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decision, Path]:
    folder = tmp_path_factory.mktemp("drills")
    return compare(folder), folder


def test_a_reader_gives_the_new_facts_and_others_the_old_ones(studied):
    drill = studied[0].document_drill
    outcomes = {outcome.candidate: outcome for outcome in drill.outcomes}
    assert set(outcomes) == {"nearest", "sentence"}
    assert drill.rows >= 50
    assert drill.documents == drill.facts == drill.rows / 2
    reader, other = outcomes["sentence"], outcomes["nearest"]
    assert (reader.reads, other.reads) == (True, False)
    assert reader.stale.value == 0
    assert reader.updated.value == pytest.approx(reader.clean.value)
    assert other.stale.value == pytest.approx(other.clean.value)
    assert after_changes(drill).startswith(
        f"After {drill.facts} facts changed in the documents, sentence "
    )


def test_the_views_are_asked_once_and_have_no_scores(studied: tuple[Decision, Path]) -> None:
    store = Store.open(studied[1] / "study")
    drill, asked = drill_of(store.dataset), list[str]()
    runs = [r for r in evidence_of(store).runs if r.trial.scenario == STANDARD]
    for run in (run for run in runs if run.trial.draw == 0):
        found = {view for view, _ in run.answers if is_drill(view)}
        assert found == ({drill.view} if run.trial.candidate == "sentence" else set())
        assert all(not is_drill(view) for view, _ in run.scores)
        asked += run.asked[drill.view, 0] if found else ()
    assert tuple(sorted(asked)) == drill.ids
    assert not [*store.path.glob("trials/*/*-documents-*.scores.parquet")]


def test_a_fit_that_is_kept_answers_other_views_as_another_would(studied, monkeypatch):
    store = Store.open(studied[1] / "study")
    data, drill = store.dataset, drill_of(store.dataset)
    trial = next(trial for trial in store.grid()[1] if trial.candidate == "sentence")
    control = Job(trial, (*CONDITIONS, drill.view), CONTROLS, view_rows=30)
    alone, worker = next(run_trials([control], Pools(data))).run, Worker(Pools(data))
    facts: dict[str, Any] = {"number": 0}
    begun = worker.run_group(GroupRequest(jobs=(Job(trial),), **facts))
    ((clean, _),) = begun.runs
    assert begun.kept == (trial.key,)
    monkeypatch.setattr(find("sentence"), "fit", None)  # it is fitted
    wanted = GroupRequest(jobs=(control,), earlier={trial.key: clean}, **facts)
    ((run, _),) = worker.run_group(wanted).runs
    assert (run.asked, run.scores.keys()) == (alone.asked, alone.scores.keys())
    assert {view: found.outputs for view, found in run.answers.items()} == {
        view: found.outputs for view, found in alone.answers.items()
    }
    rows = asking_order(data.folds[trial.fold].questions, data)[: 30 // len(data.folds)]
    assert {*run.asked[GOLD, 0]} == {*rows}, "controls are on the rows that are answered first"


def test_perturbations_do_not_show_them(studied: tuple[Decision, Path]) -> None:
    decision, _ = studied
    assert all(not card.stability.views for card in decision.scorecards)
    assert f"{UPDATED}-" not in render_html(decision)


def test_a_finished_study_asks_nothing_again(studied, monkeypatch):
    decision, folder = studied
    for name in ("sentence", "nearest"):
        monkeypatch.setattr(find(name), "fit", None)  # a fit would fail
    before = {path: path.stat().st_mtime_ns for path in folder.glob("study/trials/*/*")}
    again = compare(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("study/trials/*/*")} == before
    assert again.document_drill == decision.document_drill


def test_the_original_documents_are_read_again(studied, monkeypatch):
    store = Store.open(studied[1] / "study")
    data, read = store.dataset, list[Any]()
    trial = next(t for t in store.grid()[1] if t.candidate == "sentence")
    cls: Any = find("sentence")
    reread = cls.reread
    monkeypatch.setattr(cls, "reread", lambda self, c: (read.append(c), reread(self, c))[1])
    drill = drill_of(store.dataset)
    run = next(run_trials([Job(trial, (*CONDITIONS, drill.view))], Pools(data))).run
    corpus = corpus_of(data.task)
    assert [one.digest for one in read] == [drill.corpus.digest, corpus.digest]
    assert [view for view, _ in run.answers] == ["clean", *CONDITIONS, drill.view]

    def fails(self: Any, items: Any) -> Answers:
        if read:
            raise KeyboardInterrupt
        return predict(self, items)

    read.clear()
    predict = cls.predict
    monkeypatch.setattr(cls, "predict", fails)
    with pytest.raises(KeyboardInterrupt):
        next(run_trials([Job(trial, (drill.view,))], Pools(data)))
    assert [one.digest for one in read] == [drill.corpus.digest, corpus.digest]


def test_controls_are_as_long_as_the_passages_that_a_fit_chose(studied, monkeypatch):
    store = Store.open(studied[1] / "study")
    corpus = corpus_of(store.dataset.task)
    trial = next(t for t in store.grid()[1] if t.candidate == "sentence")
    monkeypatch.setattr(find("sentence"), "passages", lambda self: (1, 4), raising=False)
    run = next(run_trials([Job(trial, (GOLD,))], Pools(store.dataset))).run
    shown = {ids[0] for ids in run.answers[GOLD, 0].evidence or () if ids}
    assert shown
    assert shown <= {passage.id for passage in corpus.passages(4)}
    assert not shown <= {passage.id for passage in corpus.passages()}


def test_every_form_of_the_report_says_it_and_escapes_it(studied: tuple[Decision, Path]) -> None:
    decision, _ = studied
    drill = decision.document_drill
    assert after_changes(drill) in " ".join(render_markdown(decision).split())
    assert after_changes(drill) in " ".join(render_html(decision).split())
    hostile = "\x1b[31m<script>|x"
    outcomes = tuple(o.model_copy(update={"candidate": hostile}) for o in drill.outcomes)
    odd = drill.model_copy(update={"outcomes": outcomes})
    shown = decision.model_copy(update={"document_drill": odd})
    for text in (render_markdown(shown), render_html(shown)):
        assert "\x1b" not in text
        assert "<script>|x" not in text


def test_a_fold_without_rows_with_evidence_is_stored_whole(tmp_path, monkeypatch):
    questions, documents = files(tmp_path)
    rows = [json.loads(line) for line in Path(questions).read_text("utf-8").splitlines()[:20]]
    for n, row in enumerate(rows):
        row["evidence"] = f"d{n // 2}" if n < 3 else ""
    write_lines(questions, rows)
    asked, cls = list[int](), find("sentence")
    predict: Any = cls.predict
    monkeypatch.setattr(cls, "predict", lambda self, i: (asked.append(len(i)), predict(self, i))[1])
    grid = {**GRID, "seeds": 1, "documents": documents}
    choose.compare(questions, out=tmp_path / "study", **grid)
    store = Store.open(tmp_path / "study")
    every = evidence_of(store).runs
    runs = [r for r in every if (GOLD, 0) in r.answers and r.trial.scenario == STANDARD]
    assert not store.damage
    assert sum(len(run.asked["clean", 0]) for run in runs) == len(rows)
    for view in runs[0].asked.keys() - {("clean", 0)}:
        sizes = [len(run.asked[view]) for run in runs]
        assert 0 in sizes, "a fold has none of these rows"
        assert 0 < sum(sizes) <= 3
    assert 0 not in asked, "no strategy is given an empty list"
    before = len(asked)
    choose.compare(questions, out=tmp_path / "study", **grid)
    assert len(asked) == before > 0

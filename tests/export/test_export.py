"""Exported folders predict as the study did, in a new process, and have a model card."""

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from choose.api.compare import export, report
from choose.conformance import PICKLES, pool
from choose.data.scenarios import Pools
from choose.errors import ChooseError, StoreError, StrategyError, StudyError
from choose.export.exported_model import CHUNK, Model
from choose.export.write_folder import Exported, atomic_folder, doubtful_below, select, write_export
from choose.run.trial import Limits, run_trials
from choose.schema.plan import Job
from choose.store.store import Store
from choose.types import CLEAN, Answers, Item, Run, Trial
from support import fake_strategies as fakes
from support.commands import run_command, run_python
from support.studies import HELD_OUT, STRATEGIES, compare, shared_study, small_study, write_csv


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_study(tmp_path_factory)


def export_again(store: Store, trial: Trial, folder: Path) -> Exported:
    """Make a fit of a study again, on its rows, and export it."""
    decision = report(store.path)
    rows = Pools(store.dataset).of(trial).pool
    choice = select(store, decision, trial.candidate)
    about = choice.about.model_copy(update={"rows": len(rows), "seed": trial.seed})
    own = {"about": about, "rows": rows, "shortened": store.get(trial).shortened}
    return write_export(store, decision, replace(choice, **own), folder)


def asked_in_a_fresh_process(folders: list[Path], data: Path) -> dict[str, dict[str, list]]:
    """Return {folder: {row id: [label, confidence]}}."""
    code = (
        "import json, sys\n"
        "from choose.export.exported_model import Model\n"
        "from choose.data.readers.unlabelled_texts import file_items\n"
        "found = {}\n"
        "for folder in sys.argv[2:]:\n"
        "    answers = Model.load(folder).stream(file_items(sys.argv[1], None))\n"
        "    found[folder] = {p.id: [p.label, p.confidence] for p in answers}\n"
        "print(json.dumps(found))\n"
    )
    return json.loads(run_python(code, data, *folders))


@pytest.mark.slow
def test_a_trial_made_again_answers_as_stored_in_a_fresh_process(study, tmp_path):
    store = Store.open(study)
    _, trials = store.grid()
    stored = {t.strategy: store.get(t) for t in trials if t.fold == 0}
    assert set(stored) == {"majority", *STRATEGIES}
    folders = {}
    for name, run in stored.items():
        made = export_again(store, run.trial, tmp_path / name)
        assert made.manifest.rows == run.trial.train_size < 60
        folders[name] = made.folder
    answers = asked_in_a_fresh_process(list(folders.values()), study.parent / "words.csv")
    for name, run in stored.items():
        found = answers[str(folders[name])]
        asked, kept = run.asked["clean", 0], run.answers["clean", 0]
        assert len(asked) == 12
        assert [found[id][0] for id in asked] == list(kept.outputs), name
        assert kept.scores is not None
        confidence = np.exp(kept.scores).max(axis=1)
        np.testing.assert_allclose([found[id][1] for id in asked], confidence, atol=1e-3)


@pytest.mark.slow
def test_a_trial_whose_prompt_was_chosen_answers_as_stored(model, encoder, tmp_path):
    """The search runs again at export, and has to choose the same."""
    rows = [(e.text, e.target) for e in pool(seed=3, rows=60)]
    write_csv(tmp_path / "words.csv", rows[:40])
    write_csv(tmp_path / "held_out.csv", rows[40:])
    (tmp_path / "choose.toml").write_text(
        f'{HELD_OUT}[models]\nmodel = "{model}"\nencoder = "{encoder}"\n'
        + '[[candidates]]\nstrategy = "tuned-prompt"\nparams = { calls = 160 }\n'
    )
    store = Store.open(compare(study_file=tmp_path / "choose.toml", out=tmp_path / "st").store)
    runs = [run for trial in store.grid()[1] if (run := store.get(trial)) is not None]
    tuned = [run for run in runs if run.trial.strategy.startswith("tuned")]
    assert len(tuned) == 1
    assert all("The search compared" in run.notes[1] for run in tuned), "other than the usual"
    for number, run in enumerate(tuned):
        made = export_again(store, run.trial, tmp_path / f"model-{number}")
        asked, kept = run.asked["clean", 0], run.answers["clean", 0]
        found = Model.load(made.folder)._strategy.predict(
            [store.dataset.examples[id].item() for id in asked]
        )
        assert found.outputs == kept.outputs
        assert found.scores is not None
        assert kept.scores is not None
        np.testing.assert_allclose(found.scores, kept.scores, atol=1e-6)


def test_a_fit_that_time_cut_short_is_made_again_alike(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "st")
    store = Store.open(tmp_path / "st")
    trial = next(t for t in store.grid()[1] if t.candidate == "lora" and t.fold == 0)
    [ended] = run_trials([Job(trial)], Pools(store.dataset), limits=Limits(fit=1e-3))
    assert f"on {trial.train_size} of {trial.train_size} rows" in " ".join(ended.run.notes)
    shutil.rmtree(store.path / "trials" / trial.key)  # a run that read more stays
    assert store.add(ended.run)
    export_again(store, trial, tmp_path / "again")
    kept, asked = ended.run.answers["clean", 0], ended.run.asked["clean", 0]
    items = [store.dataset.examples[id].item() for id in asked]
    np.testing.assert_allclose(
        Model.load(tmp_path / "again")._strategy.predict(items).scores, kept.scores, atol=1e-6
    )
    choice = select(store, report(store.path), "lora")
    assert not choice.shortened, "what is used is trained to its end, on all rows"


def test_every_label_is_learnt_and_the_card_says_what_was_measured(study, tmp_path):
    decision = report(study)
    made = export(study, tmp_path / "out")
    wanted = decision.verdict.recommended or decision.verdict.use_meanwhile
    assert made.manifest.candidate == wanted
    assert made.manifest.rows == 60
    assert made.manifest.why == ("recommended" if decision.verdict.recommended else "meanwhile")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "was not measured on this fit" in card
    assert decision.dataset.fingerprint in card
    whole = json.loads((tmp_path / "out" / "decision.json").read_text(encoding="utf-8"))
    assert whole == decision.model_dump(mode="json", by_alias=True)


def test_nothing_asks_a_package_index_for_choose_which_none_has(study, tmp_path):
    """D12: an export's requirements could not be installed, since choose is not published."""
    export(study, tmp_path / "out", candidate="tfidf")
    lines = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in pinned)
    assert any(line.startswith("scikit-learn==") for line in pinned)
    assert not any(line.startswith("choose-llm") for line in pinned)
    assert any("pip install PATH-TO-CHOOSE" in line for line in lines)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.index("pip install PATH-TO-CHOOSE") < card.index("pip install -r requirements.txt")


def half_filled(place: Path) -> None:
    with atomic_folder(place) as beside:
        (beside / "half").write_text("x")
        (beside / "broken").write_text(str(1 / 0))


def test_a_folder_is_whole_or_not_there(refusal, study: Path, tmp_path: Path) -> None:
    place = tmp_path / "deep" / "out"
    with pytest.raises(ZeroDivisionError):
        half_filled(place)
    assert not place.exists()
    assert not list(place.parent.iterdir())
    export(study, place, candidate="majority")
    before = (place / "export.json").read_text()
    for taken in (place, place / "export.json"):
        assert "exists already" in refusal(StoreError, export, study, taken, candidate="tfidf")
    assert (place / "export.json").read_text() == before
    assert [p.name for p in place.parent.iterdir()] == ["out"]
    (tmp_path / "empty").mkdir()
    assert export(study, tmp_path / "empty", candidate="majority").manifest.rows == 60


def filled_meanwhile(place: Path) -> None:
    with atomic_folder(place):
        place.mkdir()
        (place / "README.md").write_text("mine")


def test_what_is_put_into_the_folder_meanwhile_is_not_lost(refusal, tmp_path: Path) -> None:
    place = tmp_path / "out"
    assert "out" in refusal(StoreError, filled_meanwhile, place)
    assert (place / "README.md").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_changed_since_the_study_is_refused(study, tmp_path, monkeypatch):
    from choose_strategies.baselines import Majority, Probe

    # Its hyperparameters of then may be unknown now.
    monkeypatch.setattr(Majority, "revision", 99)
    monkeypatch.setattr(Majority, "__init__", None)
    with pytest.raises(StudyError, match="has changed since the study"):
        export(study, tmp_path / "out", candidate="majority")
    monkeypatch.setattr(Probe, "weights", lambda self: "0" * 64)
    with pytest.raises(StudyError, match="weights of 'probe'"):
        export(study, tmp_path / "out", candidate="probe")
    assert not (tmp_path / "out").exists()


def test_a_strategy_that_cannot_be_saved_says_so(tmp_path, monkeypatch):
    fakes.install(monkeypatch)
    store = small_study(tmp_path, "mute")
    with pytest.raises(StudyError, match="no save and load methods"):
        export(store, tmp_path / "out", candidate="mute")


def test_a_bug_in_load_is_found_before_anybody_ships_it(study, tmp_path, monkeypatch):
    from choose_strategies.baselines import Tfidf

    load = Tfidf.load

    def wrong(self: Tfidf, folder: Path) -> None:
        load(self, folder)
        self.head.weights = -self.head.weights

    monkeypatch.setattr(Tfidf, "load", wrong)
    with pytest.raises(ChooseError, match="rows differently"):
        export(study, tmp_path / "out", candidate="tfidf")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--candidate", "tfdif"], "'tfidf'"),
        (["--candidate", "tfidf", "--router"], "Leave one out"),
    ],
)
def test_a_bad_choice_is_one_red_line(refused, study, arguments: list[str], says: str) -> None:
    assert says in refused("export", study, "out", *arguments)
    assert not Path("out").exists()


def test_the_command_says_what_it_did(choose, study: Path) -> None:
    result = choose("export", study, "out", "--candidate", "knn", "--json")
    assert result.code == 0
    about = json.loads(result.out)
    assert (about["candidate"], about["why"], about["rows_inside"]) == ("knn", "named", 60)
    assert "labelled texts" in result.err
    assert choose("export", "out", "again").code == 2


def test_an_export_neither_overwrites_nor_fills_a_store(study: Path, tmp_path: Path) -> None:
    """H2: nor does predict overwrite its rows or the export."""
    before = sorted(study.rglob("*"))
    for place in (study, study / "export", study / "trials" / "x"):
        with pytest.raises(ChooseError):
            export(study, place, candidate="majority")
    assert sorted(study.rglob("*")) == before
    out, rows = tmp_path / "out", tmp_path / "a.csv"
    export(study, out, candidate="majority")
    rows.write_text("text\na\n")
    for output in (rows, out / "export.json", out / "new.csv"):
        assert run_command("predict", out, rows, "-o", output).code == 2
    assert rows.read_text() == "text\na\n"
    assert not (out / "new.csv").exists()


@pytest.mark.slow
def test_a_folder_says_when_it_holds_the_rows(study: Path, tmp_path: Path) -> None:
    inside = {n: export(study, tmp_path / n, candidate=n).rows_inside for n in STRATEGIES}
    assert inside["tfidf"] == inside["probe"] == inside["prompt"] == inside["lora"] == 0
    assert inside["knn"] == inside["retrieval"] == 60
    assert inside["few-shot"] == 6
    holds = "contains labelled texts word for word"
    assert holds in (tmp_path / "knn" / "README.md").read_text(encoding="utf-8")
    assert holds not in (tmp_path / "tfidf" / "README.md").read_text(encoding="utf-8")
    assert not [p for p in tmp_path.rglob("*") if p.suffix in PICKLES]


TEXTS = ("apple pear plum", "", "hammer drill saw", 'rain, "snow" and fog', "=cmd|' /C calc'!A0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("predict")
    return export(small_study(place, "tfidf"), place / "out", candidate="tfidf").folder


def rows(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_every_format_gets_the_same_answers(choose, folder, monkeypatch):
    table = pl.DataFrame({"text": TEXTS, "other": range(len(TEXTS))})
    table.write_csv("t.csv")
    table.write_csv("t.tsv", separator="\t")
    table.write_ndjson("t.jsonl")
    table.write_parquet("t.parquet")
    pipe(monkeypatch, "\n".join(TEXTS).encode())
    expected = rows(choose("predict", folder, "-").out)
    assert [row["label"] for row in expected] == ["fruit", "", "tool", "weather", "weather"]
    assert [row["status"] for row in expected] == ["ok", "no text", "ok", "ok", "ok"]
    assert [row["id"] for row in expected] == ["1", "2", "3", "4", "5"]
    for name in ("t.csv", "t.tsv", "t.jsonl", "t.parquet"):
        found = rows(choose("predict", folder, name).out)
        assert [r["label"] for r in found] == [r["label"] for r in expected], name
        assert [r["confidence"] for r in found] == [r["confidence"] for r in expected], name


def test_json_lines_in_and_out(choose, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"id": "=a", "utterance": "apple pear"}, {"id": "b\x1b[31m", "utterance": None}]
    pipe(monkeypatch, "\n".join(map(json.dumps, lines)).encode())
    result = choose("predict", folder, "-", "--json")
    assert result.code == 0
    first, second = map(json.loads, result.out.splitlines())
    assert (first["id"], first["label"], first["status"]) == ("=a", "fruit", "ok")
    assert 0 < first["confidence"] <= 1
    assert second == {"id": "b\x1b[31m", "label": None, "confidence": None, "status": "no text"}
    assert "\x1b" not in result.out


def test_below_the_threshold_it_abstains(choose, folder: Path) -> None:
    pl.DataFrame({"text": ["apple pear plum", "nothing known here"]}).write_csv("t.csv")
    sure, unsure = rows(choose("predict", folder, "t.csv", "--min-confidence", "0.7").out)
    assert (sure["label"], sure["status"]) == ("fruit", "ok")
    assert (unsure["label"], unsure["status"]) == ("", "unsure")
    assert float(unsure["confidence"]) < 0.7


def test_u28_an_answer_of_which_most_like_it_were_wrong_is_doubtful(folder: Path) -> None:
    """ "what does it mean to be alive" was ``calculator``, 0.20, ``ok``."""
    model, texts = Model.load(folder), ["apple pear plum", "nothing known here"]
    chances = model.table(texts)["confidence"].to_list()
    model.manifest = model.manifest.model_copy(update={"doubtful": sum(chances) / 2})
    assert model.table(texts)["status"].to_list() == ["ok", "doubtful"]


def test_what_is_doubtful_was_measured_on_the_answers_of_the_study(folder: Path) -> None:
    """Of 60 answers the 30 of least confidence are wrong: half of all are below the last of 60."""
    store = Store.open(folder.parent / "st")
    ids, labels = tuple(store.dataset.examples), store.dataset.task.labels
    right = [labels.index(store.dataset.examples[id].target) for id in ids]
    sure = np.linspace(0.4, 0.9, len(ids))
    said = [(place + (n < 30)) % len(labels) for n, place in enumerate(right)]
    scores = np.repeat((1 - sure)[:, None] / (len(labels) - 1), len(labels), axis=1)
    scores[np.arange(len(ids)), said] = sure
    trial = Trial(candidate="tfidf", strategy="tfidf", revision=1, task="t")
    answers = {CLEAN: Answers.from_scores(labels, np.log(scores))}
    run = Run(trial=trial, answers=answers, asked={CLEAN: ids})
    stored = SimpleNamespace(dataset=store.dataset, get=lambda _: run)
    assert doubtful_below(stored, [trial]) == pytest.approx(sure[58])


def test_memory_does_not_grow_with_the_stream(folder: Path) -> None:
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield Item(id=str(read), text=f"apple {read}")

    answers = Model.load(folder).stream(endless())
    assert next(answers).id == "1"
    assert read == 1
    for done in range(2, 2_000):
        next(answers)
        assert read - done < CHUNK


def test_a_file_is_written_whole_or_not_at_all(choose, refused, folder: Path) -> None:
    Path("bad.csv").write_text("text,x\n" + "apple,1\n" * 600 + "pear\n")
    assert "Row 602" in refused("predict", folder, "bad.csv", "-o", "found.csv")
    assert sorted(p.name for p in Path().iterdir()) == ["bad.csv"]
    Path("good.csv").write_text("text\napple\n")
    assert choose("predict", folder, "good.csv", "-o", "found.csv").out == ""
    assert Path("found.csv").read_text() == choose("predict", folder, "good.csv").out
    Path("none.csv").write_text("text\n")
    assert choose("predict", folder, "none.csv").out == "id,label,confidence,status\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["t.xlsx"], "ending"),
        (["two.csv"], "--text-column"),
        (["two.csv", "--text-column", "alhpa"], "alpha"),
        (["t.csv", "--min-confidence", "80"], "from 0 to 1"),
        (["t.csv", "-o", "no/such/../../t.csv/x"], "t.csv"),
        (["binary.csv"], "NUL"),
    ],
)
def test_bad_input_is_one_red_line(refused, folder: Path, arguments: list[str], says: str) -> None:
    Path("t.csv").write_text("text\napple\n")
    Path("t.xlsx").write_text("text\napple\n")
    Path("two.csv").write_text("alpha,beta\na,b\n")
    Path("binary.csv").write_bytes(b"text\n\x00\x01\n")
    assert says in refused("predict", folder, *arguments)


def test_a_folder_that_is_no_export_or_a_broken_one(refused, tmp_path: Path) -> None:
    Path("t.csv").write_text("text\napple\n")
    assert "not an export" in refused("predict", tmp_path, "t.csv")
    (tmp_path / "export.json").write_text("{")
    assert "export.json" in refused("predict", tmp_path, "t.csv")


def test_the_study_s_columns_are_the_default(choose, folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    about = json.loads((folder / "export.json").read_text()) | {"text_column": "subject,body"}
    (moved / "export.json").write_text(json.dumps(about))
    (moved / "model").symlink_to(folder / "model")
    pl.DataFrame({"subject": ["rain"], "body": ["snow and fog"], "text": ["apple"]}).write_csv(
        "t.csv"
    )
    found = rows(choose("predict", moved, "t.csv", "--with-text").out)
    assert [(row["text"], row["label"]) for row in found] == [("rain  snow and fog", "weather")]


def test_from_python(refusal, folder: Path) -> None:
    model = Model.load(str(folder))
    found = model.table(["apple pear plum", " ", "who knows"], min_confidence=0.7)
    assert found.columns == ["label", "confidence", "status"]
    assert found["label"].to_list() == ["fruit", None, None]
    assert found["status"].to_list() == ["ok", "no text", "unsure"]
    assert model.table([]).height == 0
    assert model.labels == ("fruit", "tool", "weather")
    assert "between 0 and 1" in refusal(StudyError, model.table, ["a"], min_confidence=-1)


def test_a_strategy_without_scores_cannot_abstain(folder: Path) -> None:
    class Mute:
        def predict(self, items: list[Item]) -> Answers:
            return Answers(outputs=("fruit",) * len(items), status=("ok",) * len(items))

    model = Model(folder, Model.load(folder).manifest, Mute())
    assert model.table(["a"]).row(0) == ("fruit", None, "ok")
    with pytest.raises(StrategyError, match="without a confidence"):
        model.table(["a"], min_confidence=0.5)

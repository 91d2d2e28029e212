"""What a record says of how it was measured, and what it must not say."""

from __future__ import annotations

import tomllib
from pathlib import Path

from choose import api
from choose.provenance import method_of, settings
from choose.report.html import render_html
from choose.report.html.tables import measured
from choose.report.words import DASH
from choose.store import Store
from choose.study.study import Study
from choose.types import Task
from studies import write_csv


def test_settings_name_no_folder_and_no_password() -> None:
    shown = settings(
        {
            "data": {"path": "/home/ann/secret/rows.csv", "test": "C:\\Users\\ann\\test.csv"},
            "task": {"instruction": "Is it a refund? Yes or no."},
            "endpoints": {"one": {"base_url": "https://ann:pass@host/v1?key=abc"}},
        }
    )
    assert shown["data"] == {"path": "rows.csv", "test": "test.csv"}
    assert shown["endpoints"]["one"]["base_url"] == "https://host/v1"
    assert shown["task"]["instruction"] == "Is it a refund? Yes or no."
    assert settings({"data": {"path": "sample:tickets"}})["data"]["path"] == "sample:tickets"


def test_the_settings_of_a_record_are_a_study_file(tmp_path: Path) -> None:
    grid = {"seeds": 1, "sizes": (1.0,), "noise": (0.0,), "views": (), "scenarios": ()}
    outcome = api.compare(
        write_csv(tmp_path / "w.csv"), overrides={"grid": grid}, strategies=["tfidf"],
        out=tmp_path / "st",
    )  # fmt: skip
    method = outcome.decision.method
    assert method is not None
    study = Study.model_validate(tomllib.loads(method.settings))
    assert (study.grid.seeds, study.data.path) == (1, "w.csv")
    assert str(tmp_path) not in method.settings
    assert len(method.looks) == outcome.decision.looks == 1
    assert method == method_of(Store.open(outcome.store))
    page = render_html(outcome.decision)
    assert "pip install choose-llm==" in page
    assert "seeds = 1" in page


def test_prompts_are_what_the_strategies_say() -> None:
    from choose.strategy import Prompts, build

    task = Task(labels=("a", "b"), names=("apple", "bread"), instruction="Sort <this>.")
    few, none = build("few-shot", seed=0, shots=8), build("tfidf", seed=0)
    assert isinstance(few, Prompts)
    assert not isinstance(none, Prompts)
    text = few.prompt(task)
    assert text.startswith("[system]\nSort <this>.\n")
    assert "apple, bread" in text
    assert "4 of each label" in text


def test_what_was_not_measured_leaves_the_table_and_is_named() -> None:
    kept = measured(["name", "x", "y"], [["a", "1", DASH], ["b", DASH, DASH]])
    assert kept == (["name", "x"], [["a", "1"]], ["y", "b"])

"""`import choose` in a notebook: the same options, the same decision, in milliseconds."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import choose
from choose.api.compare import report
from choose.api.notebook import Decision
from choose.api.plan import resolve
from choose.report import words
from choose.study.config import Study
from choose.study.study_file import keywords, load_study, overrides_of
from support import decisions
from support.studies import write_csv

QUICK = {"strategies": ["tfidf"], "seeds": 1, "noise": [0.0], "progress": False}


@pytest.fixture(scope="module")
def decision(tmp_path_factory: pytest.TempPathFactory) -> Decision:
    folder = tmp_path_factory.mktemp("notebook")
    return choose.compare(write_csv(folder / "words.csv"), **QUICK, out=folder / "st")


def test_a_decision_holds_the_record_and_where_it_lies(decision: Decision) -> None:
    assert decision.verdict.use_meanwhile in {c.candidate for c in decision.scorecards}
    assert decision.store.name == "st"
    assert decision.model_dump() == report(decision.store).model_dump()
    assert str(decision) == repr(decision)
    assert words.answer(decision) in " ".join(repr(decision).split())
    again = choose.read(decision.store)
    assert again.verdict == decision.verdict
    assert again.store == decision.store


def test_a_notebook_shows_one_screen_and_a_link_and_nothing_in_it_runs(decision: Decision) -> None:
    shown = decision._repr_html_()
    assert shown.count("\n") < 40
    assert "<iframe" not in shown
    assert "<script" not in shown
    assert words.answer(decision) in " ".join(shown.split())
    assert "\x1b" not in shown
    page = decision.store / "report.html"
    assert f'href="{page.absolute().as_uri()}"' in shown
    assert page.is_file()
    gone = Decision.of(decisions.decision("adopt"), Path("gone"))
    assert "href" not in gone._repr_html_()
    assert gone.table().filter("recommended").height == 1
    assert gone.table()["accuracy"].drop_nulls().is_sorted(descending=True)


def test_missing_values_of_pandas_are_empty_cells(tmp_path: Path) -> None:
    from choose.data.readers.json_and_parquet import table_of

    pandas = pytest.importorskip("pandas")
    times = pandas.to_datetime(["2026-01-01", None])
    frame = pandas.DataFrame(
        {"text": ["a", None], "label": [1, 2], "time": times, "x": [0.5, None]}
    )
    table = table_of(frame)
    assert table["text"].to_list() == ["a", None]
    assert table["label"].to_list() == ["1", "2"]
    assert table["time"].to_list() == ["2026-01-01 00:00:00", None]
    assert table["x"].to_list() == ["0.5", None]


@pytest.mark.parametrize("wrong", [3, {"text": "a"}, [], [1, 2], ["a"], b"x"])
def test_what_holds_no_rows_is_refused(wrong: object, tmp_path: Path) -> None:
    with pytest.raises(choose.ChooseError, match=r"rows given|No labelled rows|no lists"):
        choose.compare(wrong, **QUICK, out=tmp_path / "st")
    assert not (tmp_path / "st").exists()


def test_every_key_of_a_study_is_a_keyword_once() -> None:
    keys = [
        name
        for section, field in Study.model_fields.items()
        if hasattr(field.annotation, "model_fields")
        for name in field.annotation.model_fields
        if (section, name) != ("task", "fields")  # types, in a study file alone
    ]
    assert len(keys) == len(set(keys))
    known = set(inspect.signature(choose.compare).parameters)
    assert set(keys) - known == {"path"}
    assert {"data", "test", "strategies", "study", "out", "budget"} <= known
    assert "goal" not in keywords()


def test_keywords_find_their_sections() -> None:
    found = overrides_of({"target": 0.9, "budget": "2m", "tune": "x", "folds": None})
    assert found == {
        "goal": {"target": 0.9},
        "grid": {"budget": "2m"},
        "models": {"tune": "x"},
    }
    for budget, seconds in (("2m", 120), (90, 90), ("90", 90)):
        assert load_study(None, overrides_of({"budget": budget})).grid.budget == seconds
    for wrong in ({"buget": 1}, {"budget": "soon"}, {"budget": 0}, {"path": "x"}):
        with pytest.raises(choose.ChooseError):
            load_study(None, overrides_of(wrong))


def test_a_study_may_be_given_as_dictionaries(tmp_path: Path) -> None:
    study = {"goal": {"target": 0.5, "margin": 0.1}, "candidates": [{"strategy": "tfidf"}]}
    assert resolve("x.csv", study).goal.margin == 0.1
    data = write_csv(tmp_path / "words.csv")
    quick = {k: v for k, v in QUICK.items() if k != "strategies"}
    made = choose.compare(data, study=study, margin=0.05, **quick, out=tmp_path / "st")
    assert made.goal["margin"] == 0.05
    assert made.goal["target"] == 0.5


def test_importing_loads_nothing_that_is_not_asked_for() -> None:
    code = (
        "import sys, choose\n"
        "assert 'compare' in dir(choose)\n"
        "print(sorted(m for m in sys.modules if m.startswith('choose')), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['choose'] False"
    with pytest.raises(AttributeError, match="comprae"):
        choose.comprae  # noqa: B018

"""No study is overwritten, and its HTML report is never older than its decision (D1)."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from choose.api import compare as api
from choose.api.plan import resolve
from choose.schema.plan import LeftOut
from choose.store.store import PAGE, Store
from choose.strategy import find
from choose.study.find_study_folder import settings_of, stored_studies
from support.studies import compare

ONCE = ("--set", "seeds=1", "--set", "noise=0")
QUICK = ("-s", "majority", *ONCE, "--budget", "30s")


@pytest.fixture(autouse=True)
def without_other_baselines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("choose.study.candidates._always_compared", lambda name: False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def studies() -> list[str]:
    return sorted(study.path for study in stored_studies())


def settings(**grid: Any) -> dict[str, dict[str, Any]]:
    once = {"seeds": 1, "noise": (0.0,), "views": (), "wordings": False}
    return {"grid": {**once, "scenarios": (), **grid}}


def test_a_quick_second_look_leaves_the_finished_study_alone(choose: Callable, data: Path) -> None:
    assert choose("compare", data, *QUICK).code == 0
    [first] = studies()
    before = contents(Path(first))
    assert choose("compare", data, *QUICK, "--target", "0.5").code == 0
    assert len(studies()) == 2
    assert contents(Path(first)) == before


def test_a_changed_budget_goes_on_in_the_same_folder(choose: Callable, data: Path) -> None:
    for more in (("--budget", "20s"), ("--budget", "5m"), ("--max-usd", "3", "-o", "r.md")):
        assert choose("compare", data, *QUICK, *more).code == 0
    [folder] = studies()
    name, rows, digest = Path(folder).name.split("-")
    assert (name, len(rows), len(digest)) == ("words", 8, 6)


OTHERS = {
    ("--set", "seeds=2"): "grid.seeds: 1 there, 2 here",
    ("-s", "tfidf"): "candidates: 'majority' there, 'majority, tfidf' here",
    ("-c", "other.toml"): "other rows, or another division",
    ("--target", "0.9"): "goal.target: the default there, 0.9 here",
}


def test_an_out_that_holds_another_study_is_refused(choose, refused, data):
    """The folder is named with what differs, exit 2, and nothing in it is touched."""
    assert choose("compare", data, *QUICK, "--out", "mine").code == 0
    before = contents(Path("mine"))
    Path("other.toml").write_text("[data]\nfolds = 3\n")
    for more, says in OTHERS.items():
        said = refused("compare", data, *QUICK, *more, "--out", "mine")
        assert "'mine' holds another study" in said
        assert says in said
        assert "--out NAME" in said
        assert contents(Path("mine")) == before
    assert choose("compare", data, *QUICK, "--budget", "9s", "--out", "mine").code == 0


def test_settings_that_cannot_change_a_result_make_no_other_study() -> None:
    server = {"base_url": "http://localhost:1/v1", "model": "m"}
    one = resolve("a.csv", {"endpoints": {"e": server}, "grid": {"budget": 3.0}})
    fast = {**server, "concurrency": 2, "timeout": 5.0, "api_key_env": "MY_KEY"}
    two = resolve("b.csv", {"endpoints": {"e": fast}, "data": {"text_column": "body"}})
    assert settings_of(one) == settings_of(two)
    other = resolve("a.csv", {"endpoints": {"e": {**server, "model": "n"}}})
    assert settings_of(one) != settings_of(other)


def test_the_order_of_candidates_makes_no_other_study() -> None:
    one, two = (
        resolve("a.csv", None, None, names) for names in (["knn", "probe"], ["probe", "knn"])
    )
    assert settings_of(one) == settings_of(two)


def counted(name: str, fit: Callable[..., None], fitted: list[str]) -> Callable[..., None]:
    def counting(self: object, *arguments: object, **more: object) -> None:
        fitted.append(name)
        fit(self, *arguments, **more)

    return counting


def test_finished_trials_and_looks_are_taken_over_from_studies_of_the_same_rows(data, monkeypatch):
    """A further candidate repeats no trial; a look at the same rows counts in any folder."""
    first = compare(data, overrides=settings(), strategies=["majority"]).store
    fitted: list[str] = []
    for name in ("majority", "tfidf"):
        monkeypatch.setattr(find(name), "fit", counted(name, find(name).fit, fitted))
    second = compare(data, overrides=settings(), strategies=["majority", "tfidf"])
    assert second.store != first
    assert set(fitted) == {"tfidf"}
    assert {card.candidate for card in second.decision.scorecards} == {"majority", "tfidf"}
    assert len(Store(first).looks()) == 1
    assert len(Store(second.store).looks()) == 2
    fitted.clear()
    compare(data, overrides=settings(), strategies=["majority"], out="elsewhere")
    assert set(fitted) == {"majority"}


def test_the_page_is_written_and_its_path_is_the_last_line(choose: Callable, data: Path) -> None:
    ran = choose("compare", data, *QUICK, "-o", "also.md")
    [folder] = studies()
    page = Path(folder) / PAGE
    assert page.read_text().startswith("<!doctype html>")
    assert ran.err.splitlines()[-1] == f"Report: {page}"
    page.unlink()
    shown = choose("report", folder, "--expect", "fine-tuning")
    assert shown.code == 3
    assert shown.err.splitlines()[-1] == f"Report: {page}"
    assert page.is_file()


@pytest.mark.slow
def test_a_page_is_never_older_than_the_decision(choose: Callable, data: Path) -> None:
    choose("compare", data, *QUICK, "--out", "st")
    store = Store(Path("st"))
    page, decision = store.path / PAGE, store.path / "decision.json"
    store.leave_out([LeftOut(text="something else was left out")])  # judged anew
    api.report(store.path)  # as a crash between the decision and the page leaves it
    assert decision.is_file()
    assert not page.exists()
    choose("report", "st")
    assert "something else was left out" in page.read_text()


def test_report_without_a_path_takes_the_newest_study_and_says_which(choose, refused, data):
    assert "no study in '.choose'" in refused("report")
    choose("compare", data, *QUICK)
    [old] = studies()
    choose("compare", data, *QUICK, "--target", "0.9")
    for name in ("study.toml", "grid.json", "decision.json"):
        os.utime(Path(old) / name, (0, 0))
    [new] = set(studies()) - {old}
    shown = choose("report", "--json")
    assert json.loads(shown.out)["goal"]["target"] == 0.9
    assert shown.err.splitlines()[0] == f"The newest study in .choose: {new}"
    listed = json.loads(choose("report", ".choose", "--json").out)
    assert [study["path"] for study in listed] == [new, old]
    decision = json.loads(choose("report", "1", "--json").out)
    (card,) = [c for c in decision["scorecards"] if c["candidate"] == listed[0]["candidate"]]
    assert listed[0]["score"] == card["accuracy"]["value"]
    assert [line.split()[0] for line in choose("report").out.splitlines()[1:3]] == ["1", "2"]
    assert json.loads(choose("report", "2", "--json").out)["goal"]["target"] is None
    assert "no study 3 in '.choose', which holds 2" in choose("report", "3").err
    assert choose("report", "2", "1").code == choose("export", "1", "router").code == 0


def test_a_list_says_no_chance_where_nothing_is_usable(choose: Callable, data: Path) -> None:
    choose("compare", data, *QUICK)
    [folder] = studies()
    file = Path(folder) / "decision.json"
    decision = json.loads(file.read_text())
    for usable, chance in ((True, 0.9), (False, None)):
        decision["verdict"] |= {"usable": usable, "chance": {"baseline": 0.9}}
        file.write_text(json.dumps(decision))
        assert stored_studies()[0].chance == chance


def test_continue_takes_the_newest_study_and_open_its_page(choose, refused, data, monkeypatch):
    assert choose("compare", data, *QUICK).code == 0
    [first] = studies()
    assert choose("continue", "--budget", "3m").code == 0
    assert studies() == [first]  # more time, the same study
    assert choose("continue", "--set", "seeds=2").code == 0
    assert "a study keeps its rows" in refused("continue", "--set", "label_column=text")
    [second] = set(studies()) - {first}
    assert "seeds = 2" in (Path(second) / "study.toml").read_text()
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert choose("open").code == 0
    [page] = opened
    assert Path(page.removeprefix("file://")).is_file()


def test_a_report_of_a_half_written_store_says_so_in_one_line(choose, refused, data):
    choose("compare", data, *QUICK, "--out", "st")
    (Path("st") / "left_out.json").unlink()  # written as a run ends
    trials = sorted(Path("st/trials").iterdir())
    for trial in trials[1:]:
        shutil.rmtree(trial)
    shown = choose("report", "st")
    assert shown.code == 0
    # A run that goes on beside the report was said to have been "broken off".
    said = f"The run has not ended, after 1 of {len(trials)} planned trials; if it was stopped"
    assert shown.err.splitlines()[0].startswith(said)
    assert said in json.loads(Path("st/decision.json").read_text())["left_out"][0]["text"]
    shutil.rmtree(trials[0])
    assert choose("report", "st").code in (0, 2)
    (Path("st") / "grid.json").unlink()
    assert "stopped before its trials were planned" in refused("report", "st")

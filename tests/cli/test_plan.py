"""`choose plan`, `strategies` and `models`."""

import json
from pathlib import Path

import pytest

from report.test_approved import approve
from support import fake_strategies as fakes
from support import tiny_models

KNOWN = "--classes 8 --gain 3 --hourly-rate 30"
PRICED = f"{KNOWN} --volume 1000000 --usd-per-million 1,4 --usd-per-hour 0.5 --tokens 952"


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("guessed", "--volume 100000"),
        ("known", f"{KNOWN} --target 90%"),
        ("priced", PRICED),
        ("unpriced", f"{KNOWN} --volume 5000/day --minutes-per-label 2"),
        ("cheap", f"{KNOWN} --volume 9 --usd-per-million 0,0 --usd-per-hour 1"),
    ],
)
def test_plans_without_data_are_those_that_were_approved(choose, name: str, flags: str) -> None:
    approve(f"plan-{name}", choose("plan", "--no-data", *flags.split()).out)


def test_the_record_of_a_plan_without_data_has_its_figures(choose) -> None:
    record = json.loads(choose("plan", "--no-data", *PRICED.split(), "--json").out)
    assert (record["test"]["usual"], record["usd"]["usual"]) == (1742, 871)
    # A million requests of 952 and 12 tokens; 0.02 s an answer; 160 and 1,742 labels at $0.50.
    found = record["running"]
    assert found["api_usd"] == pytest.approx(1000)
    assert found["machine_usd"] == pytest.approx(1e6 * 0.02 / 3600 * 0.5)
    assert found["months"] == pytest.approx(80 / (1000 - found["machine_usd"]))
    record = json.loads(choose("plan", "--no-data", "--json").out)
    assert (record["classes"], record["training"]["usual"]) == (5, 100)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--classes", "1"), "--classes"),
        (("--classes", "3", "--gain", "0.03"), "in points"),
        (("--classes", "3", "--target", "90"), "write 0.9 or 90%"),
        (("--classes", "3", "--target", "900"), "cannot be used: it must be between 0 and 1"),
        (("--classes", "3", "--minutes-per-label", "0"), "--minutes-per-label"),
        (("--classes", "3", "--hourly-rate", "nan"), "--hourly-rate"),
        (
            ("--classes", "3", "--volume", "0"),
            "--volume 0.0 cannot be used: input should be greater",
        ),
        (("--classes", "3", "--volume", "many"), "write the answers you need: 200000/month"),
        (("--classes", "3", "--tokens", "0"), "--tokens"),
        (("words.csv", "--classes", "3"), "words.csv"),
    ],
)
def test_a_wish_that_cannot_be_is_one_red_line(refused, flags, says: str) -> None:
    assert says in refused("plan", "--no-data", *flags)


def test_a_plan_lists_the_rounds_that_compare_runs(choose, data: Path) -> None:
    flags = ("-s", "tfidf", "--set", "seeds=2", "--set", "noise=0")
    record = json.loads(choose("plan", data, *flags, "--json").out)
    assert not Path(".choose").exists()
    choose("compare", data, *flags, "--out", "st")
    planned = json.loads(Path("st/grid.json").read_text(encoding="utf-8"))["trials"]
    assert sum(sum(one["trials"].values()) for one in record["rounds"]) == len(planned)
    first = record["rounds"][0]
    assert (first["part"], first["rows"], first["ask"]) == ("the comparison", 48, 25)
    assert first["trials"] == {"majority": 3, "tfidf": 3}
    assert first["seconds"]["tfidf"] > 0
    assert record["answered"] == {"majority": 60, "tfidf": 60}
    assert (record["stored"], record["measured"]) == (0, False)
    plain = " ".join(choose("plan", data, *flags).out.split())
    assert "nothing was run or downloaded" in plain
    assert "Forecast for 10 min: cheap baselines answer all rows." in plain
    # What a study has stored gives the seconds of its plan.
    again = json.loads(choose("plan", "-c", "st", "--json").out)
    apart = ("strategy", "params", "pool", "questions", "seed")
    assert again["stored"] == len({json.dumps([one[k] for k in apart]) for one in planned})
    assert again["measured"]


def test_a_plan_names_each_round_once_with_its_seconds_in_all(choose, data: Path) -> None:
    lines = choose("plan", data, "-s", "tfidf,lora").out.splitlines()
    assert any("in all" in line for line in lines)
    names = [line[:15].strip() for line in lines if line.startswith(("  round", "  repetition"))]
    # The table has two parts on 80 columns.
    assert names == ["round 0", "round 1", "round 2", "repetition 1", "repetition 2"] * 2


def test_a_candidate_for_other_tasks_is_left_out_with_the_reason(choose, data: Path) -> None:
    flags = ("-s", "tfidf", "-s", "copy")
    [copy] = json.loads(choose("plan", data, *flags, "--json").out)["left_out"]
    assert (copy["candidate"], copy["reason"], copy["trials"]) == ("copy", "refused", {})
    assert copy["text"] == "it answers writing, and the task is classification."
    assert f"Left out • copy: {copy['text']}" in " ".join(choose("plan", data, *flags).out.split())


def test_flags_of_the_other_plan_are_refused(refused, data: Path) -> None:
    assert "--no-data" in refused("plan", data, "--classes", "3")


def test_strategies_as_json(choose) -> None:
    found = {s["name"]: s for s in json.loads(choose("strategies", "--json").out)["strategies"]}
    assert found["tfidf"]["family"] == "baseline"
    assert found["tfidf"]["hyperparameters"]["C"] == 10.0
    assert found["tfidf"]["variants"]["regularised"] == {"C": 1.0}
    assert found["served"]["hyperparameters"]["model"] is None
    assert found["lora"]["origin"].startswith("choose-llm ")
    assert all(s["error"] is None for s in found.values())


def test_a_strategy_that_cannot_be_loaded_is_listed_with_its_reason(choose, monkeypatch):
    fakes.install(monkeypatch)
    from importlib.metadata import EntryPoint

    from choose import strategy

    known = dict(strategy.available())
    known["gone"] = EntryPoint("gone", "no_such_module_[red]:X", strategy.GROUP)
    monkeypatch.setattr(strategy, "available", lambda: known)
    result = choose("strategies")
    assert result.code == 0
    assert "no_such_module_[red]" in result.out
    assert "tfidf" in result.out


def test_models_say_what_is_here_without_paths(choose, tmp_path, monkeypatch):
    from choose.engines.weights.spec import DEFAULT_ENCODER, parse_wheel

    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    first = {m["name"]: m for m in json.loads(choose("models", "--json").out)["models"]}
    assert first["all-MiniLM-L6-v2"]["cached_mb"] is None
    assert "not cached yet (83.5 MB to download)" in choose("models").out
    wheel = parse_wheel(DEFAULT_ENCODER)
    assert wheel is not None
    tiny_models.encoder(wheel.folder)
    (tmp_path / "cache" / "models" / "another").mkdir()
    by = {m["name"]: m for m in json.loads(choose("models", "--json").out)["models"]}
    assert by["all-MiniLM-L6-v2"]["cached_mb"] > 0.01
    assert by["another"]["spec"] is None
    assert str(tmp_path) not in choose("models", "--json").out + choose("models").out


def test_fetching_names_what_is_here_and_refuses_what_is_no_spec(choose, refused, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    assert "Cached: model" in choose("models", "fetch", "model").err
    assert "nowhere" in refused("models", "fetch", "./nowhere")

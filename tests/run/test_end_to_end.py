"""Whole studies by the command line: real models, kills, interruptions."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from choose.engines.weights.spec import DEFAULT_ENCODER
from support.endpoint_studies import ONCE
from support.studies import write_csv

pytestmark = pytest.mark.slow(seconds=14)

CHOOSE = (sys.executable, "-m", "choose")
FAMILIES_OF_MODELS = ("tfidf", "knn", "probe", "prompt", "few-shot", "retrieval", "lora")
# Trials of more noise: a study that takes longer.
LONG = ("-s", "tfidf", "--set", f"noise={','.join(f'{rate / 100:g}' for rate in range(0, 48, 2))}")
GRID = ("-s", "tfidf", "--set", "seeds=3", "--set", "noise=0,0.1,0.2,0.3")


def start(*arguments: object) -> subprocess.Popen[str]:
    # A shell that runs tests in the background has Ctrl-C ignored, and children inherit that.
    return subprocess.Popen(
        [*CHOOSE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def finish(*arguments: object) -> str:
    process = start(*arguments)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return out


def wait_for_trials(store: Path, count: int, process: subprocess.Popen[str]) -> list[Path]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = sorted(store.glob("trials/*/trial.json"))
        if len(done) >= count or process.poll() is not None:
            return done
        time.sleep(0.01)
    raise AssertionError("no trial was finished within a minute")


def without_times(record: dict[str, Any]) -> Any:
    """Leave out what the clock decides, and the sentences that speak of it."""
    cards = [{k: v for k, v in card.items() if k != "cost"} for card in record["scorecards"]]
    verdict = {k: record["verdict"][k] for k in ("kind", "recommended", "use_meanwhile")}
    return cards, record["pairs"], verdict, record["looks"]


def test_kill_at_any_moment_loses_only_the_trials_in_flight(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "words.csv")
    whole = json.loads(finish("compare", data, *GRID, "--json", "--out", tmp_path / "whole"))
    store, seen = tmp_path / "killed", 0
    for _ in range(3):
        process = start("compare", data, *GRID, "--json", "--out", store)
        before = {p: p.stat().st_mtime_ns for p in wait_for_trials(store, seen + 4, process)}
        seen = len(before)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in store.rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))
    for left in store.rglob(".*"):
        os.utime(left, (0, 0))  # nobody resumes within a minute
    resumed = json.loads(finish("compare", data, *GRID, "--json", "--out", store))
    assert seen >= 4
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert without_times(resumed) == without_times(whole)
    assert {path.name for path in store.rglob(".*")} == {".choose-study", ".lock"}


def test_a_second_command_on_a_study_that_runs_ends_with_one_line(choose, tmp_path):
    data, store = write_csv(tmp_path / "words.csv"), tmp_path / "st"
    process = start("compare", data, *LONG, "--out", store)
    wait_for_trials(store, 1, process)
    second = choose("compare", data, *LONG, "--out", store)
    assert process.poll() is None
    assert second.code == 2
    assert "Another choose command is running the study" in second.err
    assert choose("report", store).code == 0
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert choose("compare", data, *LONG, "--out", store).code == 0


def test_ctrl_c_ends_at_once_and_keeps_what_is_finished(choose: Any, tmp_path: Path) -> None:
    data, store = write_csv(tmp_path / "words.csv"), tmp_path / "st"
    process = start("compare", data, *GRID, "--out", store)
    wait_for_trials(store, 12, process)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 3
    assert (process.returncode, out) == (130, "")
    assert err.endswith(
        f"Interrupted. The finished trials are stored: choose report {store} judges them, and the "
        "same command goes on.\n"
    )
    record = json.loads(choose("report", store, "--json").out)
    assert record["left_out"]
    again = json.loads(choose("compare", data, *GRID, "--out", store, "--json").out)
    assert again["left_out"] == []
    assert again["looks"] == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_store_is_refused_before_anything_runs(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    process = start("compare", write_csv(tmp_path / "words.csv"), "--out", closed / "st")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(err.strip().splitlines()) == 1


def test_every_family_answers_a_real_set_with_the_real_models(tmp_path, shared_data):
    """What is asked of changed texts and other wordings is tested with small models."""
    trec = shared_data / "trec6"
    study = {
        "data": {"path": str(trec / "train.csv"), "test": str(trec / "test.csv"), "test_rows": 60},
        "grid": {**ONCE, "rounds": 1},
        # The default base would take the time of all the others where bfloat16 is slow.
        "models": {"tune": DEFAULT_ENCODER},
        "candidates": [{"strategy": name} for name in FAMILIES_OF_MODELS],
    }
    (tmp_path / "choose.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
    record = json.loads(
        finish("compare", "-c", tmp_path / "choose.toml", "--json", "--out", tmp_path / "st")
    )
    cards = {card["candidate"]: card for card in record["scorecards"]}
    assert set(cards) == {"majority", *FAMILIES_OF_MODELS}
    assert {name: card["errors"] for name, card in cards.items() if card["errors"]} == {}
    assert all(card["accuracy"]["value"] > 0.1 for card in cards.values())
    assert cards["lora"]["accuracy"]["value"] > cards["majority"]["accuracy"]["value"] + 0.2
    assert cards["prompt"]["cost"]["tokens_in"] > 0
    assert record["verdict"]["use_meanwhile"] in cards

"""Whole studies by the command line: Ctrl-C, and real models.

Kills, two writers and stores that cannot be written are the crash tests of `benchmarks/crashes.py`.
"""

import json
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


def test_every_family_answers_a_real_set_with_the_real_models(tmp_path, shared_data):
    """What is asked of changed texts and other wordings is tested with small models."""
    trec = shared_data / "trec6"
    study = {
        "data": {"path": str(trec / "train.csv"), "test": str(trec / "test.csv")},
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

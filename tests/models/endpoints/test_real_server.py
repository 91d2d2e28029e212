"""A real model behind a real server, compared with what runs here, by the command line."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import tomli_w

import choose
from choose.models.environment_settings import cache_dir
from choose.models.weights.resolve import resolve
from choose.models.weights.spec import DEFAULT_LM
from support.serving.real import Served, transformers_serve
from support.serving.studies import ONCE, Bench

pytestmark = pytest.mark.slow(seconds=60)

ROWS = 12
TICKETS = Path(choose.__file__).parent / "data" / "samples" / "tickets" / "tickets.csv"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """SmolLM2-135M behind `transformers serve`."""
    with transformers_serve(resolve(DEFAULT_LM), tmp_path_factory.mktemp("server")) as up:
        yield up


def tickets(folder: Path, served: Served) -> Bench:
    """Write a study of one model in two places: behind the server, and here."""
    cache = folder / "cache"
    cache.mkdir()
    (cache / "models").symlink_to(cache_dir() / "models", target_is_directory=True)
    rows = pl.read_csv(TICKETS)
    rows[:ROWS].write_csv(folder / "test.csv")
    rows[ROWS:].write_csv(folder / "rows.csv")
    # Both answer all test rows in round 0: later, one of them may be left behind.
    study = {
        "data": {"path": "rows.csv", "test": "test.csv"},
        "grid": {**ONCE, "rounds": 1},
        "candidates": [
            {"strategy": "prompt", "name": "served", "params": {"model": "endpoint:small"}},
            {"strategy": "prompt", "name": "local"},
        ],
        "endpoints": {"small": {"base_url": served.url, "model": served.model, "concurrency": 2}},
    }
    (folder / "choose.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
    return Bench(folder, {**os.environ, "CHOOSE_CACHE": str(cache), "OMP_NUM_THREADS": "1"})


def test_a_served_model_is_compared_with_what_runs_here(tmp_path: Path, served: Served) -> None:
    bench = tickets(tmp_path, served)
    record = bench.compare()
    cards = {card["candidate"]: card for card in record["scorecards"]}
    assert {"majority", "tfidf", "served", "local"} == set(cards)
    assert {name: card["errors"] for name, card in cards.items() if card["errors"]} == {}
    answers = bench.answers("served")
    assert len(answers) == len(bench.answers("local")) == ROWS
    usable = sum(output is not None for output, _ in answers.values())
    assert cards["served"]["format_valid"] == pytest.approx(usable / ROWS)
    assert cards["served"]["model"] == "endpoint:small"
    assert cards["served"]["cost"]["tokens_in"] > 20
    assert cards["served"]["cost"]["usd_per_1k"] is None
    assert ("served", "local") in {(pair["a"], pair["b"]) for pair in record["pairs"]} | {
        (pair["b"], pair["a"]) for pair in record["pairs"]
    }
    asked = served.requests()
    assert ROWS <= asked <= 2 * ROWS + 10
    # The answers are kept apart from the trials: made again, those ask the server nothing.
    for facts in (tmp_path / "st").glob("trials/*/trial.json"):
        if json.loads(facts.read_text())["trial"]["candidate"] == "served":
            shutil.rmtree(facts.parent)
    bench.compare()
    assert bench.answers("served") == answers
    assert served.requests() == asked

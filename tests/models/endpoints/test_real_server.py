"""Real servers with real models, started on loopback and stopped again."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import tomli_w

import choose
from choose.engines.environment_settings import cache_dir
from choose.engines.weights.resolve import resolve
from choose.engines.weights.spec import DEFAULT_LM
from support.endpoint_studies import Bench
from support.studies import ONCE

NAME = "smollm2"


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is up: its base URL, and its log."""

    url: str
    log: Path

    def requests(self) -> int:
        told = self.log.read_text(errors="replace")
        return told.count('"POST /v1/chat/completions HTTP/1.1" 200')


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """SmolLM2-135M behind `transformers serve`, offline."""
    folder = tmp_path_factory.mktemp("server")
    # The server calls the model by the path it was given: a short one, relative to its folder.
    (folder / NAME).symlink_to(resolve(DEFAULT_LM), target_is_directory=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address, log = f"127.0.0.1:{listener.getsockname()[1]}", folder / "server.log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", NAME]
    command += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--device", "cpu"]
    own = {"cwd": folder, "env": {**os.environ, "HF_HUB_OFFLINE": "1"}}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, **own) as process:
        try:
            deadline = time.monotonic() + 300  # a busy machine; alone it takes five
            while not healthy(f"http://{address}/health"):
                told = log.read_text(errors="replace")[-2000:]
                assert process.poll() is None, f"the server did not come up:\n{told}"
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield Served(f"http://{address}/v1", log)
        finally:
            process.kill()


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


pytestmark = pytest.mark.slow(seconds=60)

ROWS = 12
TICKETS = Path(choose.__file__).parent / "data" / "samples" / "tickets" / "tickets.csv"


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
        "endpoints": {"small": {"base_url": served.url, "model": NAME, "concurrency": 2}},
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

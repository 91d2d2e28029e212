"""Fixtures of all tests: a toy dataset, the real datasets, the command line, isolation."""

import csv
import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.commands import refusal_of, run_command


def _pin_to_cores() -> None:
    """Give each pytest worker cores of its own: workers that share cores are much slower."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        own = cores[int(worker.removeprefix("gw")) :: workers]
        os.sched_setaffinity(0, own or cores)


# Before anything imports NumPy: its threads are as many as there are cores when it is imported, and
# a thread that waits for its core makes a fit take ten times as long.
_pin_to_cores()

# Settings of the user that tests may use: the cache of weights and the folder of the real sets.
_KEPT = frozenset({"CHOOSE_CACHE", "CHOOSE_SHARED_DATA", "CHOOSE_KEEP_GB"})

# Keep no results between studies: neither the user's nor those of other tests may answer.
os.environ["CHOOSE_KEEP_GB"] = "0"

# What is imported stays; to look through all of it for garbage takes longer than many a test.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that take longest first: a long one begun last keeps one core waiting."""
    seconds: Counter[Path] = Counter()
    for item in items:
        for mark in item.iter_markers("slow"):
            seconds[item.path] += mark.kwargs.get("seconds", 0)
    items.sort(key=lambda item: -seconds[item.path])


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# A busy machine is no reason to fail, nor is a new draw: each run has the same examples, unless
# HYPOTHESIS_PROFILE=anew asks for others.
settings.register_profile(
    "anew", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("same", settings.get_profile("anew"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def toy():
    """Forty rows of four labels, divided into five folds."""
    from choose.data.splits import build_dataset
    from choose.types import Example

    with (Path(__file__).parent / "fixtures" / "toy.csv").open(encoding="utf-8") as file:
        rows = [
            Example(id=f"{row['label']}-{n // 4}", text=row["text"], target=row["label"])
            for n, row in enumerate(csv.DictReader(file))
        ]
    return build_dataset("toy", rows)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sets; skips where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CHOOSE_SHARED_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("the real sets are not beside the project; CHOOSE_SHARED_DATA names them")
    return folder


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """Make the command line's parser once, not for each command."""
    import typer.main

    make = typer.main.get_command
    typer.main.get_command = cache(make)
    yield
    typer.main.get_command = make


_numbers = count()


@pytest.fixture
def tmp_path(request, tmp_path_factory):
    """An empty folder. That of pytest reads all folders of the run to find a free number."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    folder = tmp_path_factory.getbasetemp() / f"{name}-{next(_numbers)}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without network hubs and without the user's settings."""
    for name in [name for name in os.environ if name.startswith("CHOOSE_")]:
        if name not in _KEPT:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Answers of test servers must not lie in the user's cache, where the weights are.
    monkeypatch.setattr(
        "choose.models.endpoints.request_session.cache_dir", lambda: tmp_path / "cache"
    )
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    from support import tiny_models

    return str(tiny_models.causal_lm(tmp_path_factory.mktemp("tiny") / "lm"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    from support import tiny_models

    return str(tiny_models.encoder(tmp_path_factory.mktemp("tiny") / "encoder"))


@pytest.fixture(scope="session")
def stored_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small study of two baselines, to be copied and not changed."""
    from support.studies import compare_once

    data = Path(__file__).parent / "fixtures" / "tickets.csv"
    return compare_once(data, tmp_path_factory.mktemp("stored") / "st", "majority", "tfidf").store


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sixty rows of three labels, in words.csv."""
    from support.studies import write_csv

    return write_csv(tmp_path / "words.csv")


@pytest.fixture
def refused(choose):
    """Run a command that must be refused in one line, with nothing printed; return that line."""

    def run(*arguments: object) -> str:
        code, out, err = choose(*arguments)
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1), err
        assert err.startswith("Error: ")
        return err

    return run


@pytest.fixture
def refusal():
    """Call what must be refused in one line, and return that line."""
    return refusal_of


@pytest.fixture
def choose():
    """Run the command line in this process and return its exit code, output and messages."""
    return run_command

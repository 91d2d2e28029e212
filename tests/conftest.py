"""What every test shares: a toy set, the real sets where they are, and an isolated process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from choose.cli import main
from choose.data.splits import build_dataset
from choose.types import Dataset, Example

# The user's own cache of weights and the real sets may be used; no other setting may leak in.
_KEPT = frozenset({"CHOOSE_CACHE", "CHOOSE_SHARED_DATA", "CHOOSE_KEEP_GB"})

# What the user's studies or other tests computed must not answer here; set before any fixture runs.
os.environ["CHOOSE_KEEP_GB"] = "0"


def _own_cores() -> None:
    """Give each of several workers cores of its own: two that share theirs crawl."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores, workers = (
            sorted(os.sched_getaffinity(0)),
            int(os.environ["PYTEST_XDIST_WORKER_COUNT"]),
        )
        own = cores[int(worker.removeprefix("gw")) :: workers]
        os.sched_setaffinity(0, own or cores)


_own_cores()

TOY = {
    "card_arrival": (
        "When will my new card arrive?",
        "My card still has not come in the post",
        "How long does delivery of the card take?",
        "Track the delivery of my card please",
        "I ordered a card two weeks ago and nothing came",
        "Where is the card that you posted?",
        "The post has not brought my card yet",
        "Has my card been posted already?",
        "Which day does the card get delivered?",
        "Still waiting for the card you mailed",
    ),
    "exchange_rate": (
        "Which exchange rate do you use for euros?",
        "The rate for dollars looks wrong",
        "How is the exchange rate worked out?",
        "What rate did I get for pounds abroad?",
        "Your currency rate differs from the bank's rate",
        "Do you add a margin to the exchange rate?",
        "The currency conversion gave a bad rate",
        "Is the rate for yen fixed at weekends?",
        "I was charged the wrong currency rate in Norway",
        "Where can I see the current exchange rates?",
    ),
    "lost_card": (
        "I lost my wallet, block everything",
        "Someone stole my purse and my card",
        "Please freeze it, I cannot find my card",
        "My card was stolen last night",
        "I have lost my card in a taxi",
        "Block my stolen card now",
        "A thief took my card, freeze the account",
        "My card is missing since Monday, it may be stolen",
        "I think I lost it at the airport, please block",
        "Report a lost or stolen card",
    ),
    "refund": (
        "I want my money back for this purchase",
        "The shop promised a refund that never showed",
        "How do I get a refund?",
        "Refund the payment to the merchant please",
        "When is the refund booked to my account?",
        "The seller refunded me but the money is not there",
        "Cancel the purchase and give the money back",
        "My refund is missing from the statement",
        "A refund from the hotel is late",
        "Can you reverse the purchase and refund it?",
    ),
}


@pytest.fixture(scope="session")
def toy() -> Dataset:
    """Forty rows of four labels, divided into five folds."""
    rows = [
        Example(id=f"{label}-{i}", text=text, target=label)
        for i, texts in enumerate(zip(*TOY.values(), strict=True))
        for label, text in zip(TOY, texts, strict=True)
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


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without network hubs and without the user's settings."""
    for name in [name for name in os.environ if name.startswith("CHOOSE_")]:
        if name not in _KEPT:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Answers of test servers must not lie in the user's cache, where the weights are.
    monkeypatch.setattr("choose.models.endpoints.session.cache_dir", lambda: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


class Result:
    """What a command left: its exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the command line in this process and return its exit code, output and messages."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["choose", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run

"""The figures of the data card, recomputed; `truth.csv` is read here and nowhere else."""

from importlib.resources import files

import polars as pl
import pytest

FOLDER = files("choose.data") / "samples" / "tickets"
QUEUES = {
    "access",
    "billing",
    "calendar",
    "data",
    "frontdesk",
    "integrations",
    "messaging",
    "mobile",
    "payouts",
}


def table(name: str) -> pl.DataFrame:
    return pl.read_csv((FOLDER / name).read_bytes(), infer_schema=False)


@pytest.fixture(scope="module")
def tickets() -> pl.DataFrame:
    return table("tickets.csv")


@pytest.fixture(scope="module")
def truth(tickets: pl.DataFrame) -> pl.DataFrame:
    return tickets.select("id").join(table("truth.csv"), on="id", maintain_order="left")


def test_about_600_dated_tickets_in_nine_queues(tickets: pl.DataFrame) -> None:
    assert tickets.columns == ["id", "text", "label", "timestamp"]
    assert 580 <= len(tickets) <= 620
    assert tickets["id"].is_unique().all()
    assert set(tickets["label"]) == QUEUES
    times = tickets["timestamp"].str.to_datetime()
    assert times.is_sorted()
    assert (times.dt.year() == 2025).all()
    assert tickets["text"].str.strip_chars().str.len_chars().min() > 0


def test_one_label_in_twenty_is_wrong_half_of_them_in_the_confused_pair(tickets, truth):
    wrong = [(a, b) for a, b in zip(truth["label"], tickets["label"], strict=True) if a != b]
    assert 0.045 <= len(wrong) / len(tickets) <= 0.055
    confused = sum({a, b} == {"billing", "payouts"} for a, b in wrong)
    assert confused == len(wrong) / 2


def test_no_code_but_these_tests_reads_the_truth() -> None:
    root = files("choose")
    sources = list(root.rglob("*.py"))
    assert sources
    assert not [p for p in sources if "truth.csv" in p.read_text(encoding="utf-8")]

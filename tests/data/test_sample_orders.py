"""The figures of the data card of sample:orders, recomputed; `truth.jsonl` is read here alone."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from choose.api.plan import resolve
from choose.data.dataset import load_dataset
from choose.data.scenarios import new_class, origins
from choose.types import Dataset

FOLDER = files("choose.data") / "samples" / "orders"
KEYS = {"customer", "items", "delivery", "address", "urgent", "po"}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def orders() -> list[dict[str, Any]]:
    return rows("orders.jsonl")


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[str, Any]]:
    return {row["id"]: row["target"] for row in rows("truth.jsonl")}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    study = resolve("sample:orders")
    return load_dataset(study.data, study.task)


def test_about_400_dated_mails_with_records_of_six_fields(orders: list[dict[str, Any]]) -> None:
    assert 380 <= len(orders) <= 420
    assert len({row["id"] for row in orders}) == len(orders)
    times = [row["timestamp"] for row in orders]
    assert times == sorted(times)
    assert {time[:7] for time in times} == {f"2025-{month:02d}" for month in range(1, 13)}
    assert all(row["timestamp"].startswith(row["received"]) for row in orders)
    assert {name for row in orders for name in row["target"]} == KEYS


def test_one_record_in_twenty_five_is_wrong_in_one_field(orders, truth):
    wrong = [
        (row["target"], truth[row["id"]]) for row in orders if row["target"] != truth[row["id"]]
    ]
    assert len(wrong) == 16
    assert all(shipped.keys() == right.keys() for shipped, right in wrong)
    fields = [next(n for n in right if shipped[n] != right[n]) for shipped, right in wrong]
    assert sorted(fields) == sorted(
        ["items"] * 8 + ["customer"] * 3 + ["delivery"] * 3 + ["address"] * 2
    )


def test_the_study_reads_it_and_finds_the_field_that_appears(dataset: Dataset) -> None:
    assert dataset.task.kind == "extraction"
    assert next(iter(dataset.examples.values())).fields.keys() == {"received"}
    assert new_class(dataset) == "po"
    assert origins(dataset)


def test_it_knows_its_further_input_without_a_flag(choose, dataset: Dataset) -> None:
    """Each command that takes a bundled sample reads the day on which a mail came."""
    assert resolve("sample:orders").data.fields == ("received",)
    assert resolve("sample:orders", overrides={"data": {"fields": ("id",)}}).data.fields == ("id",)
    assert resolve("sample:tickets").data.fields == ()
    settings = {"data": {"path": "sample:orders"}}
    assert resolve(None, settings).data.fields == (), "a stored study stays as it was run"
    assert planned(choose, "sample:orders") == dataset.fingerprint


def test_a_flag_that_is_not_given_leaves_the_further_input_of_a_study_file(choose, dataset):
    Path("my.toml").write_text('[data]\npath = "sample:orders"\nfields = ["received"]\n')
    assert planned(choose, "-c", "my.toml") == dataset.fingerprint
    assert planned(choose, "-c", "my.toml", "--set", "fields=id") != dataset.fingerprint


def planned(choose: Any, *words: str) -> str:
    """Return the digest of the rows that a plan reads."""
    result = choose("plan", *words, "--json")
    assert result.code == 0
    fingerprint: str = json.loads(result.out)["fingerprint"]
    return fingerprint

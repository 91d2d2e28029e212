"""The figures of the data card of sample:orders, recomputed; `truth.jsonl` is read here alone."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.api.plan import check, resolve
from choose.data.dataset import load_dataset
from choose.data.scenarios import new_class, origins
from choose.strategy import build
from choose.tasks.extraction import as_text
from choose.types import Dataset

FOLDER = files("choose.data") / "samples" / "orders"
KEYS = {"customer", "items", "delivery", "address", "urgent", "po"}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def stated(row: str) -> float:
    """Return the first figure that the data card states in a row of its table."""
    card = (FOLDER / "CARD.md").read_text("utf-8")
    line = next(line for line in card.splitlines() if line.startswith(f"| {row}"))
    found = re.search(r"\d+(\.\d+)?", line.split("|")[2])
    assert found is not None
    return float(found.group())


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


def test_records_have_the_forms_that_the_card_says(orders: list[dict[str, Any]]) -> None:
    for row in orders:
        record = row["target"]
        assert re.fullmatch(r"TS-\d{5}", record.get("customer", "TS-00000"))
        assert re.fullmatch(r"2025-\d\d-\d\d|2026-01-\d\d", record.get("delivery", "2025-01-01"))
        assert record.get("urgent", "yes") == "yes"
        assert all(re.match(r"\d", item) for item in record.get("items", ())), row["id"]
        assert "po" not in record or row["received"] >= "2025-07-01"


def test_one_record_in_twenty_five_is_wrong_in_one_field(
    orders: list[dict[str, Any]], truth: dict[str, dict[str, Any]]
) -> None:
    wrong = [
        (row["target"], truth[row["id"]]) for row in orders if row["target"] != truth[row["id"]]
    ]
    assert len(wrong) == 16
    assert all(shipped.keys() == right.keys() for shipped, right in wrong)
    fields = [next(n for n in right if shipped[n] != right[n]) for shipped, right in wrong]
    assert sorted(fields) == sorted(
        ["items"] * 8 + ["customer"] * 3 + ["delivery"] * 3 + ["address"] * 2
    )


def test_no_run_of_five_words_is_a_template(orders: list[dict[str, Any]]) -> None:
    counts: dict[tuple[str, ...], int] = {}
    for row in orders:
        words = re.findall(r"\w+", row["text"].lower())
        for run in {tuple(words[i : i + 5]) for i in range(len(words) - 4)}:
            counts[run] = counts.get(run, 0) + 1
    worst = max(counts, key=counts.__getitem__)
    assert counts[worst] <= 0.03 * len(orders), worst


def test_the_study_reads_it_and_finds_the_field_that_appears(dataset: Dataset) -> None:
    assert dataset.task.kind == "extraction"
    assert next(iter(dataset.examples.values())).fields.keys() == {"received"}
    assert new_class(dataset) == "po"
    assert origins(dataset)


def test_the_audit_finds_the_addresses_of_other_customers() -> None:
    record = check("sample:orders").record
    assert {i.row for i in record.issues if i.kind == "not in text"} == {"O100", "O165"}
    assert "rows O100 and O165" in record.first[0].says
    assert record.drift is not None
    assert record.drift.appeared == ("po",)


def five_folds(name: str, dataset: Dataset, targets: dict[str, str]) -> float:
    scores = []
    for fold in dataset.folds:
        strategy = build(name, seed=0)
        strategy.fit(dataset.task, [dataset.examples[id] for id in fold.pool])
        answers = strategy.predict([dataset.examples[id].item() for id in fold.questions])
        scores += [
            dataset.task.score(output, [targets[id]])["field-f1"]
            for id, output in zip(fold.questions, answers.outputs, strict=True)
        ]
    return float(np.mean(scores))


def test_the_figures_that_cost_nothing(dataset: Dataset, truth: dict[str, dict[str, Any]]) -> None:
    shipped = {id: e.target for id, e in dataset.examples.items()}
    assert five_folds("empty", dataset, shipped) == pytest.approx(stated("always empty"), abs=5e-4)
    right = {id: as_text(record) for id, record in truth.items()}
    scores = [dataset.task.score(shipped[id], [right[id]])["field-f1"] for id in shipped]
    assert np.mean(scores) == pytest.approx(stated("shipped records"), abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("nearest", "record of the most"),
        ("gazetteer", "values seen"),
        ("tagger", "linear tagger"),
    ],
)
def test_the_figures_of_baselines(name: str, row: str, dataset: Dataset) -> None:
    shipped = {id: e.target for id, e in dataset.examples.items()}
    assert five_folds(name, dataset, shipped) == pytest.approx(stated(row), abs=0.02)


def test_it_knows_its_further_input_without_a_flag(choose, dataset: Dataset) -> None:  # type: ignore[no-untyped-def]
    """Each command that takes a bundled sample reads the day on which a mail came."""
    assert resolve("sample:orders").data.fields == ("received",)
    assert resolve("sample:orders", overrides={"data": {"fields": ("id",)}}).data.fields == ("id",)
    assert resolve("sample:tickets").data.fields == ()
    settings = {"data": {"path": "sample:orders"}}
    assert resolve(None, settings).data.fields == (), "a stored study stays as it was run"
    assert planned(choose, "sample:orders") == dataset.fingerprint


def test_a_flag_that_is_not_given_leaves_the_further_input_of_a_study_file(
    choose, dataset: Dataset
) -> None:  # type: ignore[no-untyped-def]
    Path("my.toml").write_text('[data]\npath = "sample:orders"\nfields = ["received"]\n')
    assert planned(choose, "-c", "my.toml") == dataset.fingerprint
    assert planned(choose, "-c", "my.toml", "--field", "id") != dataset.fingerprint


def planned(choose: Any, *words: str) -> str:
    """Return the digest of the rows that a plan reads."""
    result = choose("plan", *words, "--json")
    assert result.code == 0
    fingerprint: str = json.loads(result.out)["fingerprint"]
    return fingerprint

"""Exports of candidates whose answers are texts: the task in the manifest, records predicted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from choose.api.compare import export
from choose.data.readers.text_stream import json_items
from choose.errors import DataError, StoreError
from choose.export.exported_model import Model
from choose.export.manifest import read_manifest
from choose.tasks.extraction import Extraction
from choose.types import Item
from support.text_studies import compared, dataset, read, rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("texts")
    _, store = compared(dataset(rows(60)), here / "store", "empty", "gazetteer", seeds=1)
    export(store.path, here / "model", candidate="gazetteer")
    return here / "model"


def test_the_manifest_holds_the_task(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert isinstance(manifest.task, Extraction)
    assert set(manifest.task.fields) == {"people", "time", "name"}
    assert manifest.labels == ()
    assert not (folder / "labels.json").exists()


def test_records_are_predicted_and_written_as_objects(folder: Path) -> None:
    model = Model.load(folder)
    texts = [row.text for row in rows(60)[:5]]
    items = [Item(id=str(i), text=text) for i, text in enumerate([*texts, ""])]
    lines, cells = io.StringIO(), io.StringIO()
    model.write(lines, model.stream(items), with_text=False, as_json=True)
    model.write(cells, model.stream(items), with_text=False, as_json=False)
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [row["status"] for row in found] == ["ok"] * 5 + ["no text"]
    pairs = zip(found, texts, strict=False)
    assert any(row["answer"].get("name") == read(text).get("name") for row, text in pairs)
    assert found[-1]["answer"] is None
    assert cells.getvalue().startswith("id,answer,confidence,status\n")
    table = model.predict(texts)
    assert table.columns == ["answer", "confidence", "status"]
    assert [json.loads(text) for text in table["answer"]] == [row["answer"] for row in found[:5]]
    assert "; records of people, " in repr(model)


def test_the_card_speaks_of_fields(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    assert "Writes a record of each text." in card
    assert "Field F1 in the study" in card
    assert "| people |" in card
    assert "accuracy" not in card.lower()


@pytest.mark.parametrize(
    "facts", [{"kind": "poem"}, {"kind": "extraction"}, {"kind": "extraction", "fields": 3}]
)
def test_a_manifest_with_another_task_is_one_line(
    folder: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    about = json.loads((folder / "export.json").read_text("utf-8"))
    (tmp_path / "export.json").write_text(json.dumps({**about, "task": facts}), encoding="utf-8")
    with pytest.raises(StoreError, match="task: "):
        read_manifest(tmp_path)


def test_further_input_columns_are_read_or_asked_for() -> None:
    row = b'{"id": "a", "text": "for two", "day": "Monday"}\n'
    (item,) = json_items(io.BytesIO(row), None, ("day",))
    assert item == Item(id="a", text="for two", fields={"day": "Monday"})
    with pytest.raises(DataError, match="no column 'von'"):
        list(json_items(io.BytesIO(row), None, ("von",)))

"""Exports of candidates whose answers are texts: the task in the manifest, records predicted."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from choose.api.compare import export
from choose.data.readers.unlabelled_texts import json_items
from choose.errors import DataError, StoreError
from choose.export.exported_model import Model, read_manifest
from choose.tasks.extraction import Extraction, as_text
from choose.types import Item
from support.studies import json_lines
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
    assert manifest.task.labels == ()


def test_records_are_predicted_and_written_as_objects(folder: Path) -> None:
    model = Model.load(folder)
    texts = [row.text for row in rows(60)[:5]]
    items = [Item(id=str(i), text=text) for i, text in enumerate([*texts, ""])]
    found, cells = json_lines(model, *texts, ""), io.StringIO()
    model.write(cells, model.stream(items), with_text=False, as_json=False)
    assert [row["status"] for row in found] == ["ok"] * 5 + ["no text"]
    pairs = zip(found, texts, strict=False)
    assert any(row["answer"].get("name") == read(text).get("name") for row, text in pairs)
    assert found[-1]["answer"] is None
    assert cells.getvalue().startswith("id,answer,confidence,status\n")
    table = model.table(texts)
    assert table.columns == ["answer", "confidence", "status"]
    assert [json.loads(text) for text in table["answer"]] == [row["answer"] for row in found[:5]]
    assert list(model.predict(texts)) == [row["answer"] for row in found[:5]]


def test_the_card_speaks_of_fields(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    assert "Writes a record of each text." in card
    assert "Field F1 in the study" in card
    assert "accuracy" not in card.lower()


@pytest.mark.parametrize(
    "facts", [{"kind": "poem"}, {"kind": "extraction"}, {"kind": "extraction", "fields": 3}]
)
def test_a_manifest_with_another_task_is_one_line(refusal, folder, tmp_path, facts):
    about = json.loads((folder / "export.json").read_text("utf-8"))
    (tmp_path / "export.json").write_text(json.dumps({**about, "task": facts}), encoding="utf-8")
    assert "task: " in refusal(StoreError, read_manifest, tmp_path)


def test_further_input_columns_are_read_or_asked_for() -> None:
    row = b'{"id": "a", "text": "for two", "day": "Monday", "by": {"name": null}}\n'
    (item,) = json_items(io.BytesIO(row), None, ("day", "by.name"))
    assert item == Item(id="a", text="for two", fields={"day": "Monday", "by.name": ""})
    with pytest.raises(DataError, match="No column 'von', which the model reads"):
        list(json_items(io.BytesIO(row), None, ("von",)))
    assert list(json_items(io.BytesIO(b""), None, ("day",))) == []


DAYS = ("Monday", "Tuesday", "Friday")


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("dated")
    known = [
        replace(row, target=as_text({"day": DAYS[i % 3]}), fields={"day": DAYS[i % 3]})
        for i, row in enumerate(rows(60))
    ]
    _, store = compared(dataset(known), here / "store", "empty", "tagger", seeds=1)
    export(store.path, here / "model", candidate="tagger")
    return here / "model"


def test_a_row_gives_its_fields_to_the_model(choose, dated: Path) -> None:
    assert read_manifest(dated).fields == ("day",)
    inputs = [{"text": "Hello there.", "day": day} for day in DAYS]
    Path("new.jsonl").write_text("\n".join(map(json.dumps, inputs)), encoding="utf-8")
    found = [
        json.loads(line)
        for line in choose("predict", dated, "new.jsonl", "--json").out.splitlines()
    ]
    assert [row["answer"] for row in found] == [{"day": day} for day in DAYS]
    Path("new.csv").write_text("text,day\n" + "".join(f"Hello there.,{d}\n" for d in DAYS))
    cells = choose("predict", dated, "new.csv").out.splitlines()[1:]
    assert all(day in line for day, line in zip(DAYS, cells, strict=True))
    table = Model.load(dated).table([row["text"] for row in inputs], fields=inputs)
    assert [json.loads(text) for text in table["answer"]] == [{"day": day} for day in DAYS]


def test_a_row_without_a_field_is_one_line(refused, dated: Path) -> None:
    Path("none.csv").write_text("text\nHello there.\n")
    Path("one.jsonl").write_text('{"text": "a", "day": "Friday"}\n{"text": "b"}\n')
    for name, said in (
        ("none.csv", "No column 'day', which the model reads beside the text."),
        ("one.jsonl", "Row 2 has no field 'day', which the model reads beside the text."),
    ):
        assert said in refused("predict", dated, name, "--json")
    model = Model.load(dated)
    with pytest.raises(DataError, match=r"reads day beside the text.*fields=\[\{'day': \.\.\.\}"):
        model.predict(["a"])
    with pytest.raises(DataError, match="Row 2 has no field 'day'"):
        model.predict(["a", "b"], fields=[{"day": "Friday"}, {"days": "Friday"}])
    with pytest.raises(DataError, match="Fields of 1 row are given for 2 texts"):
        model.predict(["a", "b"], fields=[{"day": "Friday"}])
    with pytest.raises(DataError, match="holds a list in the column 'day'"):
        model.predict(["a"], fields=[{"day": ["Friday"]}])
    assert model.table([]).is_empty()


def test_the_card_shows_how_fields_are_given(choose, dated: Path) -> None:
    card = (dated / "README.md").read_text("utf-8")
    assert """echo '{"text": "a text", "day": "..."}' | choose predict model - --json""" in card
    assert """model.predict(["a text"], fields=[{'day': '...'}])""" in card

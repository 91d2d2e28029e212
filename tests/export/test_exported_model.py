"""Predictions of exported folders for files and pipes: memory, safe CSV cells, errors."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from choose.api.compare import export
from choose.errors import StrategyError, StudyError
from choose.export.exported_model import CHUNK, Model
from choose.types import Answers, Item
from support.exported_studies import small_study

TEXTS = ("apple pear plum", "", "hammer drill saw", 'rain, "snow" and fog', "=cmd|' /C calc'!A0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("predict")
    return export(small_study(place, "tfidf"), place / "out", candidate="tfidf").folder


def rows(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out)))


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_every_format_gets_the_same_answers(choose, folder, monkeypatch):
    table = pl.DataFrame({"text": TEXTS, "other": range(len(TEXTS))})
    table.write_csv("t.csv")
    table.write_csv("t.tsv", separator="\t")
    table.write_ndjson("t.jsonl")
    table.write_parquet("t.parquet")
    pipe(monkeypatch, "\n".join(TEXTS).encode())
    expected = rows(choose("predict", folder, "-").out)
    assert [row["label"] for row in expected] == ["fruit", "", "tool", "weather", "weather"]
    assert [row["status"] for row in expected] == ["ok", "no text", "ok", "ok", "ok"]
    assert [row["id"] for row in expected] == ["1", "2", "3", "4", "5"]
    for name in ("t.csv", "t.tsv", "t.jsonl", "t.parquet"):
        found = rows(choose("predict", folder, name).out)
        assert [r["label"] for r in found] == [r["label"] for r in expected], name
        assert [r["confidence"] for r in found] == [r["confidence"] for r in expected], name


def test_json_lines_in_and_out(choose, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"id": "=a", "utterance": "apple pear"}, {"id": "b\x1b[31m", "utterance": None}]
    pipe(monkeypatch, "\n".join(map(json.dumps, lines)).encode())
    result = choose("predict", folder, "-", "--json")
    assert result.code == 0
    first, second = map(json.loads, result.out.splitlines())
    assert (first["id"], first["label"], first["status"]) == ("=a", "fruit", "ok")
    assert 0 < first["confidence"] <= 1
    assert second == {
        "id": "b\x1b[31m",
        "label": None,
        "confidence": None,
        "status": "no text",
    }
    assert "\x1b" not in result.out


def test_formulas_and_control_codes_are_defused_in_csv(choose, folder: Path) -> None:
    pl.DataFrame(
        {"id": ["=1+1", "-5", "@x"], "text": ["=HYPERLINK(1)", "a\x1b[2J\nb", "plum"]}
    ).write_csv("t.csv")
    result = choose("predict", folder, "t.csv", "--with-text")
    found = rows(result.out)
    assert [row["id"] for row in found] == ["'=1+1", "-5", "'@x"]
    assert [row["text"] for row in found] == ["'=HYPERLINK(1)", "a[2J b", "plum"]
    assert "\x1b" not in result.out


def test_below_the_threshold_it_abstains(choose, folder: Path) -> None:
    pl.DataFrame({"text": ["apple pear plum", "nothing known here"]}).write_csv("t.csv")
    sure, unsure = rows(choose("predict", folder, "t.csv", "--min-confidence", "0.7").out)
    assert (sure["label"], sure["status"]) == ("fruit", "ok")
    assert (unsure["label"], unsure["status"]) == ("", "unsure")
    assert float(unsure["confidence"]) < 0.7


def test_a_label_less_confident_than_wrong_ones_of_the_study_is_doubtful(folder: Path) -> None:
    """A confidence of 0.20 had the status "ok"."""
    model = Model.load(folder)
    asked = ["apple pear plum", "nothing known here"]
    confident, guessed = model.table(asked)["confidence"]
    low = model.manifest.model_copy(update={"doubtful_below": guessed + 0.01})
    told = Model(folder, low, model._strategy).table(asked)
    assert confident > guessed + 0.01
    assert told["status"].to_list() == ["ok", "doubtful"]
    assert None not in told["label"]
    abstains = Model(folder, low, model._strategy).table(asked, min_confidence=guessed + 0.005)
    assert abstains["status"].to_list() == ["ok", "unsure"]


def test_memory_does_not_grow_with_the_stream(folder: Path) -> None:
    read = 0

    def endless() -> Iterator[Item]:
        nonlocal read
        while True:
            read += 1
            yield Item(id=str(read), text=f"apple {read}")

    answers = Model.load(folder).stream(endless())
    assert next(answers).id == "1"
    assert read == 1
    for done in range(2, 2_000):
        next(answers)
        assert read - done < CHUNK


def test_files_are_read_as_they_are_answered(folder: Path, tmp_path: Path) -> None:
    from choose.data.readers.unlabelled_texts import file_items

    path = tmp_path / "t.csv"
    path.write_text("text\n" + "apple\n" * 3_000 + 'pear,"broken\n')
    with file_items(str(path), None) as items:
        answers = Model.load(folder).stream(items)
        assert [next(answers).label for _ in range(300)] == ["fruit"] * 300


def test_a_file_is_written_whole_or_not_at_all(choose, folder: Path) -> None:
    Path("bad.csv").write_text("text,x\n" + "apple,1\n" * 600 + "pear\n")
    result = choose("predict", folder, "bad.csv", "-o", "found.csv")
    assert result.code == 2
    assert "Row 602" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert sorted(p.name for p in Path().iterdir()) == ["bad.csv"]
    Path("good.csv").write_text("text\napple\n")
    assert choose("predict", folder, "good.csv", "-o", "found.csv").out == ""
    assert Path("found.csv").read_text() == choose("predict", folder, "good.csv").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["t.xlsx"], "ending"),
        (["two.csv"], "--text-column"),
        (["two.csv", "--text-column", "alhpa"], "alpha"),
        (["t.csv", "--min-confidence", "80"], "from 0 to 1"),
        (["t.csv", "-o", "no/such/../../t.csv/x"], "t.csv"),
        (["binary.csv"], "NUL"),
    ],
)
def test_bad_input_is_one_red_line(choose, folder: Path, arguments: list[str], says: str) -> None:
    Path("t.csv").write_text("text\napple\n")
    Path("t.xlsx").write_text("text\napple\n")
    Path("two.csv").write_text("alpha,beta\na,b\n")
    Path("binary.csv").write_bytes(b"text\n\x00\x01\n")
    result = choose("predict", folder, *arguments)
    assert result.code == 2
    assert "80" not in arguments or result.out == ""
    assert says in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_folder_that_is_no_export_or_a_broken_one(choose, folder: Path, tmp_path: Path) -> None:
    Path("t.csv").write_text("text\napple\n")
    assert "not an export" in choose("predict", tmp_path, "t.csv").err
    for name, content, says in (
        ("export.json", "{", "export.json"),
        ("export.json", '{"schema": 2}', "schema"),
        ("model/fitted.json", "{}", "fitted.json"),
        ("model/fitted.json", "[]", "fitted.json"),
        ("model/fitted.safetensors", "junk", "fitted.safetensors"),
    ):
        broken = tmp_path / "broken"
        for part in ("export.json", "model/fitted.json", "model/fitted.safetensors"):
            (broken / part).parent.mkdir(parents=True, exist_ok=True)
            (broken / part).write_bytes((folder / part).read_bytes())
        (broken / name).write_text(content)
        result = choose("predict", broken, "t.csv")
        assert (result.code, result.out) == (2, ""), name
        assert says in result.err
        assert len(result.err.strip().splitlines()) == 1


def test_the_study_s_columns_are_the_default(choose, folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    about = json.loads((folder / "export.json").read_text()) | {"text_column": "subject,body"}
    (moved / "export.json").write_text(json.dumps(about))
    (moved / "model").symlink_to(folder / "model")
    pl.DataFrame({"subject": ["rain"], "body": ["snow and fog"], "text": ["apple"]}).write_csv(
        "t.csv"
    )
    found = rows(choose("predict", moved, "t.csv", "--with-text").out)
    assert [(row["text"], row["label"]) for row in found] == [("rain  snow and fog", "weather")]


def test_from_python(folder: Path) -> None:
    model = Model.load(str(folder))
    found = model.table(["apple pear plum", " ", "who knows"], min_confidence=0.7)
    assert found.columns == ["label", "confidence", "status"]
    assert found["label"].to_list() == ["fruit", None, None]
    assert found["status"].to_list() == ["ok", "no text", "unsure"]
    assert model.table([]).height == 0
    assert model.labels == ("fruit", "tool", "weather")
    with pytest.raises(StudyError, match="between 0 and 1"):
        model.table(["a"], min_confidence=-1)


def test_a_strategy_without_scores_cannot_abstain(folder: Path) -> None:
    class Mute:
        def predict(self, items: list[Item]) -> Answers:
            return Answers(outputs=("fruit",) * len(items), status=("ok",) * len(items))

    model = Model(folder, Model.load(folder).manifest, Mute())
    assert model.table(["a"]).row(0) == ("fruit", None, "ok")
    with pytest.raises(StrategyError, match="without a confidence"):
        model.table(["a"], min_confidence=0.5)

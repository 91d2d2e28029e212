import csv
import json
import os
import tracemalloc
from cProfile import Profile
from pathlib import Path
from pstats import Stats

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from choose.data.readers import labelled_file as read
from choose.data.readers.column_guess import parse_dates
from choose.data.readers.json_and_parquet import ROW
from choose.data.readers.labelled_file import read_source
from choose.errors import DataError
from support.commands import refusal_of

HOSTILE = [
    "[bold red]stop[/]",
    "=cmd()|' /C calc'!A0",
    "\x1b[31mred\x1b[0m\x07",
    'a "b" ,c\nd',
    "{x}",
]


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path | str) -> str:
    return refusal_of(DataError, read_source, path)


def test_a_csv_gives_strings_and_the_rows_a_spreadsheet_shows() -> None:
    table = read_source(write("a.csv", 'text,label\n"two\nlines",007\n\nx,true\n')).table
    assert table["text"].to_list() == ["two\nlines", "x"]
    assert table["label"].to_list() == ["007", "true"]
    assert table[ROW].to_list() == [2, 4]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "\ufefftext,label\nä,b\n"),
        ("a.csv", "text;label\nä;b\n"),
        ("a.csv", "text\tlabel\nä\tb\n"),
        ("a.csv", "text|label\nä|b\n"),
        ("a.csv", "text,label\r\nä,b\r\n"),
        ("a.csv", "text,label\rä,b\r"),
        ("a.csv", "text,label\nä,b\n,\n"),
        ("a.CSV", "text,label\nä,b"),
        ("a.tsv", "text\tlabel\nä\tb\n"),
        ("a.jsonl", '{"text": "ä", "label": "b"}\n\n'),
        ("a.ndjson", '\ufeff{"label": "b", "text": "\\u00e4"}\n'),
        ("a.json", '[{"text": "ä", "label": "b"}]'),
        ("a.json", '\ufeff [ {"text": "ä",\n "label": "b"} ,\n]'),
        ("a.json", '{"version": 1, "data": [{"text": "ä", "label": "b"}]}'),
        ("a.json", '{"text": "ä", "label": "b"}\n'),
        ("a.jsonl", '[{"text": "ä", "label": "b"}]'),
        ("a.txt", "text\tlabel\nä\tb\n"),
    ],
)
def test_common_ways_to_write_the_same_table(name: str, content: str) -> None:
    assert read_source(write(name, content)).table.select("text", "label").rows() == [("ä", "b")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "\ufeff\n \n", "empty"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.jsonl", "\n\n", "empty"),
        ("a.csv", "text,label\na,b\nc,d,e\n", "Row 3 of 'a.csv' has 3 cells, the header has 2"),
        ("a.csv", 'text,label\n"a\nb",c\nd\n', "Row 3 of 'a.csv' has 1 cells"),
        ("a.csv", "text,text\na,b\n", "more than one column 'text'"),
        ("a.csv", 'text,label\n"a,b\nc,d\n', "Row 2 of 'a.csv' opens a quoted cell"),
        ("a.csv", 'text,label\n"a"b,c\n', "Row 2 of 'a.csv' has text after a closing quote"),
        ("a.csv", b"text,label\na,b\nc,d\0\n", "Line 3 of 'a.csv' holds a NUL byte"),
        ("a.csv", "text,label\na,b\n日本,d\n".encode("shift-jis"), "Line 3 of 'a.csv' is neither"),
        (
            "a.csv",
            "text,label\n\u043f\u0440\u0438\u0432\u0435\u0442,b\n".encode("cp1251"),
            "Line 2 of 'a.csv' is neither",
        ),
        (
            "a.csv",
            b"text,label\na,b\n\n" + b"caf\xe9,d\n" * 9 + "ä,b".encode(),
            "Line 4 of 'a.csv' is neither",
        ),
        ("a.csv", "text,label\na,b\n".encode("utf-16")[:-1], "UTF-16 text, and damaged"),
        ("a.csv", b"\xff\xfea\x00\x00\xd8,\x00b\x00\n\x00", "UTF-16 text, and damaged"),
        ("a.csv", "text,label\na,b\n".encode("utf-32"), "UTF-32"),
        ("a.csv", b"\x1f\x8b\x08\x00junk", "gzip"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel"),
        ("a.csv", b"\x00\x01\x02\xff" * 50, "NUL byte"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "UTF-16 without a byte-order mark"),
        ("a.csv", b"%PDF-1.7 x", "PDF"),
        ("a.csv", "<!DOCTYPE html><html>", "web page"),
        ("a.csv", "version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull"),
        ("a.csv", '{"text": "a", "label": "b"}\n', ".jsonl"),
        ("a.csv", '[\n{"text": "a"}]\n', "Rename it to .json"),
        ("a.json", '[{"text": "a"}, {"text"]', "'a.json' is not JSON: Expecting ':' delimiter at"),
        ("a.json", '[{"text": "a"}\n {"text": "b"}]', "Expecting ',' delimiter in line 2"),
        ("a.json", '[{"text": "a"}, 3]', "Item 2 of 'a.json' is no JSON object"),
        ("a.json", '[{"text": "a"}', "'a.json' is not JSON"),
        ("a.json", '[{"text": "a"}] x', "Extra data at character 17"),
        ("a.json", '[{"text": "cut off"},', "is not JSON"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"a": [{"b": 1}], "c": [{"d": 1}]}', "one JSON object"),
        ("a.json", '{"text": {"0": "a"}, "label": {"0": "b"}}', "one JSON object"),
        ("a.json", "[]", "no rows"),
        ("a.csv", b"PAR1xxxxPAR1", "is Parquet"),
        ("a.parquet", b"PAR1xxxxPAR1", "cannot be read as Parquet"),
        ("a.parquet", "text,label\na,b\n", "is not Parquet"),
        ("a.txt", "text,label\na,b\n", "'.txt'"),
        ("a.xlsx", b"PK\x03\x04rest", "Excel"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "Line 2 of 'a.jsonl' is not JSON"),
        ("a.jsonl", '{"text": "a"}\n["a"]\n', "Line 2 of 'a.jsonl' is no JSON object"),
        ("a.jsonl", "[" * 100_000 + "\n", "'a.jsonl' is not JSON: it is nested"),
        ("a.jsonl", '{"text": ' + "[" * 100_000 + "\n", "Line 1 of 'a.jsonl' is not JSON"),
        ("a.jsonl", b'{"text": "\x93\xfa\x96{"}\n', "Line 1 of 'a.jsonl' is neither UTF-8 text"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', "Line 1 of 'a.jsonl' holds half of a Unicode"),
        ("a.jsonl", b'{"text": "a\0"}\n', "Line 1 of 'a.jsonl' holds a NUL byte"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_row(name, content, says):
    assert says in refused(write(name, content))


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "was read as UTF-16"),
        ("cp1252", "read as Windows-1252, with words such as 'Grüße'"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl", "a.json"])
def test_encodings_of_windows_are_read_with_a_note(name: str, encoding: str, says: str) -> None:
    """German Excel saves CSV as Windows-1252 and "Unicode text" as UTF-16."""
    rows = [("Grüße, „wo“ ist es? 5 €", "Wo"), ("naïve \u2013 ça va", "Ça")] * 40
    if name.endswith("json"):
        content = json.dumps([{"text": t, "label": c} for t, c in rows], ensure_ascii=False)
    elif name.endswith("jsonl"):
        lines = [json.dumps({"text": t, "label": c}, ensure_ascii=False) for t, c in rows]
        content = "\n".join(lines)
    else:
        content = "\n".join(["text\tlabel", *("\t".join(row) for row in rows)])
    source = read_source(write(name, content.encode(encoding)))
    assert source.table.select("text", "label").rows() == rows
    assert len(source.notes) == (says is not None)
    assert all(says in note for note in source.notes)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет, где моя посылка", "cp1251"),
        ("Где счёт", "koi8-r"),
        ("我的卡在哪里", "gbk"),
        ("カードはどこですか", "shift-jis"),
        ("내 카드는 어디에", "euc-kr"),
        ("zażółć gęślą jaźń", "cp1250"),
        ("où est ma carte reçue", "mac-roman"),
        ("πού είναι η κάρτα", "cp1253"),
    ],
)
def test_bytes_of_other_encodings_are_not_read_as_western_words(text: str, encoding: str) -> None:
    lines = ["text,label", *(f"{text} {i},plain words" for i in range(30))]
    assert "is neither UTF-8 text nor" in refused(write("a.csv", "\n".join(lines).encode(encoding)))


def test_missing_files_and_folders_say_what_to_do() -> None:
    write("tickets.csv", "text,label\na,b\n")
    assert "Did you mean 'tickets.csv'?" in refused("ticket.csv")
    Path("folder.csv").mkdir()
    assert "is a folder" in refused("folder.csv")
    assert "No file" in refused("x" * 5_000 + ".csv")
    assert "No file" in refused("a\0b.csv")


def test_files_that_do_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "LARGEST", 10)
    assert "GB" in refused(write("a.csv", "text,label\na,b\n"))


def test_samples_are_found_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("samples/tiny").mkdir(parents=True)
    write("samples/tiny/tiny.csv", "text,label\na,b\n")
    monkeypatch.setattr(read, "files", lambda _: Path())
    assert read_source("sample:tiny").table["text"].to_list() == ["a"]
    Path("samples/read").mkdir()
    write("samples/read/documents.jsonl", '{"id": "d", "text": "Lime is wet."}\n')
    write("samples/read/questions.jsonl", '{"question": "Wet?", "answers": ["Lime"]}\n')
    assert read_source("sample:read").table["question"].to_list() == ["Wet?"]
    assert "Did you mean 'tiny'?" in refused("sample:tinny")
    assert "No bundled sample" in refused("sample:../tiny")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("newline_every", [0, 80])
def test_a_field_of_10_mb_is_refused_in_little_memory(ending: str, newline_every: int) -> None:
    line = "x" * newline_every + "\n" if newline_every else "x" * 80
    with Path(f"big.{ending}").open("w") as file:
        file.write('text,label\n"' if ending == "csv" else '{"text": "')
        file.write(line * (10_000_000 // len(line)))
    tracemalloc.start()
    message = refused(f"big.{ending}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "1,000,000 characters" in message or "is not JSON" in message
    assert peak < 8 * Path(f"big.{ending}").stat().st_size


def test_jsonl_keeps_mixed_and_nested_columns_as_they_are() -> None:
    lines = [{"text": "a", "n": 1, "meta": {"x": 1}}, {"text": "b", "n": "1"}, {"n": None}]
    table = read_source(write("a.jsonl", "\n".join(map(json.dumps, lines)))).table
    assert table["text"].to_list() == ["a", "b", None]
    assert table["n"].to_list() == [1, "1", None]
    assert table["meta"].to_list() == [{"x": 1}, None, None]


def test_numbers_and_truth_values_read_the_same_in_every_format() -> None:
    pl.DataFrame({"i": [1, None], "f": [1.0, 2.5], "b": [True, None]}).write_parquet("a.parquet")
    write("a.jsonl", '{"i": 1, "f": 1.0, "b": true}\n{"i": null, "f": 2.5}\n')
    for name in ("a.parquet", "a.jsonl"):
        rows = read_source(name).table.select("i", "f", "b").rows()
        assert rows == [("1", "1", "true"), (None, "2.5", None)]


def test_class_labels_of_hugging_face_become_names() -> None:
    features = {"label": {"names": ["lost", "found"], "_type": "ClassLabel"}}
    pl.DataFrame({"text": ["a", "b"], "label": [1, 0]}).write_parquet(
        "a.parquet", metadata={"huggingface": json.dumps({"info": {"features": features}})}
    )
    assert read_source("a.parquet").table["label"].to_list() == ["found", "lost"]


# Lone surrogates are not text and NUL is refused; everything else must come back as it was.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(TEXTS.filter(str.strip) | st.sampled_from(HOSTILE), min_size=1, max_size=5))
def test_any_text_comes_back_as_it_was_written(texts: list[str]) -> None:
    with Path("a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], *([t] for t in texts)])
    write("a.jsonl", "\n".join(json.dumps({"text": t}) for t in texts))
    pl.DataFrame({"text": texts}).write_parquet("a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert read_source(name).table["text"].to_list() == texts


def test_a_header_is_checked_in_one_pass() -> None:
    """M3: each name was counted, 126 seconds for 100,000 columns."""
    names = [f"c{i}" for i in range(100_000)]
    assert "100,000 columns" in refused(write("a.csv", ",".join(names) + "\n"))
    wide = ["text", "label", *names[:1_900]]
    lines = [",".join(wide), ",".join("x" for _ in wide), ",".join("y" for _ in wide)]
    assert read_source(write("b.csv", "\n".join(lines))).table.height == 2
    twice = ",".join([*wide, "c7"])
    assert "more than one column 'c7'" in refused(write("c.csv", f"{twice}\n{twice}\n"))


def test_lines_with_keys_of_their_own_take_bounded_memory() -> None:
    """M3: a megabyte of 20,000 rows with a key each took 10 GB."""
    rows = ({"text": "x", "label": "y", f"k{i}": 1} for i in range(20_000))
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    tracemalloc.start()
    assert "different keys" in refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


def test_lines_with_keys_of_their_own_are_read_in_steps_that_grow_as_their_values() -> None:
    """Each empty cell was looked at several times: 3,000 lines took 9 million of each look."""

    def steps(lines: int) -> int:
        rows = [{"text": "x", f"k{i}": 1, f"n{i}": [i]} for i in range(lines)]
        path, calls = write("a.jsonl", "\n".join(map(json.dumps, rows))), Profile()
        table = calls.runcall(read_source, path).table
        assert table["k1"].to_list() == [None, "1", *[None] * (lines - 2)]
        assert table["n1"].to_list() == [None, [1], *[None] * (lines - 2)]
        return Stats(calls).total_calls

    assert steps(240) < 3 * steps(120)


def test_columns_of_json_are_in_the_order_of_the_file() -> None:
    """New keys of a line were in the order of their hashes, which each process draws."""
    names = [f"key {n * 7919 % 1009}" for n in range(30)]
    table = read_source(write("a.jsonl", json.dumps(dict.fromkeys(names, "x")) + "\n")).table
    assert table.columns == [ROW, *names]


def test_dates_and_decimals_are_text_also_beyond_the_calendar_and_within_records() -> None:
    """N3: polars panics on dates that Python has none for, and JSON has no times."""
    days, time = pl.Series([0, 2**31 - 1], dtype=pl.Int32).cast(pl.Date), pl.Series([0, None])
    table = pl.DataFrame(
        {
            "day": days,
            "at": pl.Series([0, 2**60]).cast(pl.Datetime("ms")),
            "within": pl.DataFrame({"day": days, "time": time.cast(pl.Time)}).to_struct(),
            "all": pl.Series([[1, 2**62], None]).cast(pl.List(pl.Duration("ms"))),
            "price": pl.Series(["1.50", None]).cast(pl.Decimal(10, 2)),
        }
    )
    table.write_parquet("a.parquet")
    assert read_source("a.parquet").table.drop(ROW).to_dict(as_series=False) == {
        "day": ["1970-01-01", "2147483647 days since 1970"],
        "at": ["1970-01-01 00:00:00.000", f"{2**60} ms since 1970"],
        "within": [
            {"day": "1970-01-01", "time": "00:00:00"},
            {"day": "2147483647 days since 1970", "time": None},
        ],
        "all": [["PT0.001S", "P53375995583DT15H36M27.904S"], None],
        "price": ["1.50", None],
    }


@pytest.mark.parametrize("deep", [101, 900])
def test_values_nested_too_deeply_are_refused(deep: int) -> None:
    """N3: 900 levels were a RecursionError; the parser of JSON alone refuses 1,000."""
    line = f'{{"text": "a", "label": "b", "more": {"[" * deep}{"]" * deep}}}\n'
    assert "Line 1 of 'a.jsonl' is not JSON: it is nested" in refused(write("a.jsonl", line))
    shallow = line.replace("[" * deep, "[" * 90).replace("]" * deep, "]" * 90)
    assert read_source(write("a.jsonl", shallow)).table.height == 1


@given(st.lists(st.sampled_from(["Jan", "1", "2024", "9" * 30, ":", "+", " ", ",", "Z", "1.5"])))
@settings(deadline=None)
def test_no_cell_makes_the_reader_of_dates_fail(parts: list[str]) -> None:
    parse_dates(["".join(parts)])


def test_labelled_data_is_a_regular_file(tmp_path: Path) -> None:
    """SECURITY.md: a pipe would be waited for without end."""
    os.mkfifo(tmp_path / "rows.csv")
    assert "not a regular file" in refused(tmp_path / "rows.csv")

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from choose.data.columns import group_hint
from choose.data.examples import examples_from
from choose.data.readers.column_kinds import parse_dates
from choose.data.readers.table_file import read_table
from choose.errors import DataError
from choose.schema.study_sections import DataSection
from choose.types import Example


def rows(content: str, name: str = "a.csv", **columns: str) -> list[Example]:
    Path(name).write_text(content, encoding="utf-8")
    return examples_from(read_table(name), DataSection(**columns))


def refused(content: str, name: str = "a.csv", **columns: str) -> str:
    with pytest.raises(DataError) as caught:
        rows(content, name, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", ["text", "Utterance", "SENTENCE", " query ", "input"])
@pytest.mark.parametrize("label", ["label", "Labels", "INTENT", "target", "category"])
def test_usual_names_are_found_whatever_their_case(text: str, label: str) -> None:
    [row] = rows(f"x,{label},{text}\nno,yes,hello\n")
    assert (row.text, row.target, row.id) == ("hello", "yes", "2")


def test_every_part_can_be_found_or_named() -> None:
    header = "id,text,label,created_at,conversation_id"
    [row] = rows(f"{header}\n7,hi,a,2024-01-02,c1\n")
    assert row == Example(
        id="7",
        text="hi",
        target="a",
        timestamp=datetime(2024, 1, 2, tzinfo=UTC),
        group="c1",
    )
    [row] = rows(
        "body,kind,when,who,text\nhi,a,2024-01-02,c1,no\n",
        text_column="Body",
        label_column="kind",
        time_column="when",
        group_column="who",
    )
    assert (row.text, row.target, row.group) == ("hi", "a", "c1")


def test_text_columns_are_joined_with_a_blank_line() -> None:
    found = rows("subject,body,label\nHi,there,a\n,there,a\n", text_column="subject, body")
    assert [row.text for row in found] == ["Hi\n\nthere", "there"]
    [row] = rows('"a,b",label\nx,y\n', text_column="a,b")
    assert row.text == "x"


def test_authors_are_suggested_and_not_taken_for_groups() -> None:
    [row] = rows("text,label,author\nhi,a,ann\n")
    assert row.group is None
    assert group_hint(read_table("a.csv")) == "author"


def test_ids_that_repeat_or_lack_are_replaced_by_row_numbers() -> None:
    assert [row.id for row in rows("id,text,label\n7,a,x\n7,b,y\n")] == ["2", "3"]
    assert [row.id for row in rows("id,text,label\n7,a,x\n,b,y\n")] == ["2", "3"]
    assert [row.id for row in rows('{"text":"a","label":"b"}\n', "a.jsonl")] == ["1"]


def test_texts_stay_as_they_are_and_labels_are_trimmed() -> None:
    [row] = rows('text,label\n"  [bold]a\t ", b \n')
    assert (row.text, row.target) == ("  [bold]a\t ", "b")


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        ("id,label\n1,b\n2,b\n", {}, "there is no column of texts"),
        ("text,class\na,b\nc,d\n", {}, "there is no column of labels"),
        ("text,label\na,b\n", {"text_column": "txt"}, "Did you mean 'text'?"),
        ("text,label\na,b\n", {"text_column": "text,bdy"}, "No text column 'bdy'"),
        ("text,label\na,b\n", {"label_column": "text"}, "both the text and the label"),
        ("text,label\na,b\n", {"time_column": "when"}, "The columns are 'text', 'label'"),
        ("text,label\n" + "b,y\na,x\n" * 20 + "c,x;y\n", {}, "in one cell (row 42)"),
        ("text,label\n" + "b,y\na,x\n" * 20 + "c,x | y\n", {}, "'x | y'"),
        ("text,label\n" + "b,y\na,x\n" * 20 + "c,x | y\n", {}, "say so: --kind multilabel"),
        ("text,label,when\na,b,soon\n", {"time_column": "when"}, "(row 2), such as 'soon'"),
        ("text,label,date\na,b,2024-01-02\nc,d,2024-13-02\n", {}, "(row 3)"),
    ],
)
def test_columns_that_cannot_be_used(content: str, columns: dict[str, str], says: str) -> None:
    assert says in refused(content, **columns)


def test_separators_inside_a_label_are_no_second_label() -> None:
    found = rows('text,label\na,"Food, drink"\nb,Food\nc,AC/DC\nd,a;b\n')
    assert [row.target for row in found] == ["Food, drink", "Food", "AC/DC", "a;b"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, "1"], "mixed type: a number (row 1) and text (row 2)"),
        ([True, 1], "mixed type: true or false (row 1) and a number (row 2)"),
        (["a", ["a", "b"]], "lists or objects (row 2)"),
        (["a", "b", ["a"]], "state --kind multilabel"),
    ],
)
def test_mixed_and_nested_labels_are_refused(values: list[object], says: str) -> None:
    lines = [json.dumps({"text": "t", "label": value}) for value in values]
    assert says in refused("\n".join(lines), "a.jsonl")


def test_list_labels_in_parquet_are_refused_where_each_row_has_one() -> None:
    pl.DataFrame({"text": ["a", "b"], "label": [["x"], ["y"]]}).write_parquet("a.parquet")
    with pytest.raises(DataError, match=r"lists or objects \(rows 1 and 2\)"):
        examples_from(read_table("a.parquet"), DataSection(), kind="classification")


def test_whole_numbers_are_one_label_however_they_are_written() -> None:
    found = rows('{"text":"a","label":1}\n{"text":"b","label":1.0}\n', "a.jsonl")
    assert {row.target for row in found} == {"1"}


def test_nested_values_matter_only_where_they_are_asked_for() -> None:
    content = '{"text":"a","label":"x","meta":{"k":1}}\n{"text":"b","label":"y"}\n'
    assert len(rows(content, "a.jsonl")) == 2
    assert "Row 1 holds an object in the column 'meta'" in refused(
        content, "a.jsonl", text_column="meta"
    )


def test_a_usual_time_column_that_holds_no_dates_is_left_alone() -> None:
    assert [row.timestamp for row in rows("text,label,time\na,b,soon\nc,d,later\n")] == [None] * 2


@pytest.mark.parametrize(
    "written",
    [
        "2024-03-05T14:07:00Z",
        "2024-03-05T15:07:00+01:00",
        "2024-03-05 14:07",
        "2024-03-05 14:07:00 UTC",
        "20240305T140700",
        "2024/03/05 14:07",
        "05.03.2024 14:07",
        "Tue, 05 Mar 2024 14:07:00 +0000",
        "05.03.2024 2:07 PM",
        "5 March 2024 14:07",
        "5-Mar-2024 14:07",
        "5th of March 2024 at 14:07",
        "Tue, 05 Mar 2024 09:07:00 EST",
        "Tue Mar  5 14:07:00 2024",
        "Mar 5, 2024 14:07",
        "Tue Mar 05 14:07:00 +0000 2024",
        "1709647620",
        "1709647620000",
    ],
)
def test_common_dates_are_read_as_utc(written: str) -> None:
    assert parse_dates([written]) == [datetime(2024, 3, 5, 14, 7, tzinfo=UTC)]


def test_the_whole_column_says_whether_days_come_first() -> None:
    assert [d and (d.day, d.month) for d in parse_dates(["05/03/2024", "25/03/2024"])] == [
        (5, 3),
        (25, 3),
    ]
    assert [d and (d.day, d.month) for d in parse_dates(["03/05/2024", "03/25/2024"])] == [
        (5, 3),
        (25, 3),
    ]
    assert parse_dates(["05/03/2024"]) == [None]
    assert parse_dates(["25/03/2024", "03/25/2024"]) == [None, None]


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "soon",
        "3",
        "2024",
        "31.02.2024",
        "31 Feb 2024",
        "March 2024",
        "5 March",
        "5 Mar 24",
        "24 10 May 2024",
        "May 5 2024 10",
        "05.03.2024 14:07 PM",
        "5 Mar 2024 14:07 XYZ",
        "14:07",
        "2024/13/05",
        "may I have 2 of 2024",
        "²",
        "2024-02-30",
        "Mon, 99 x",
        "1e9",
        "0001-01-01T00:00+14:00",
    ],
)
def test_what_is_no_date_is_none(junk: str) -> None:
    assert parse_dates([junk]) == [None]


def test_real_timestamps_are_read(shared_data: Path) -> None:
    table = read_table(shared_data / "gh_issues" / "train.csv")
    found = examples_from(table, DataSection())
    assert all(row.timestamp is not None for row in found)
    assert found[0].id.startswith("facebook/react#")

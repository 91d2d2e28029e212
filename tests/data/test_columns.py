"""Text, label and dates are found by name and by content; what is unclear is asked (D13, D15)."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl
import pytest

import choose
from choose.data.columns import roles_of
from choose.data.dataset import dataset_from, read_rows
from choose.data.examples import examples_from
from choose.data.readers.column_guess import column_of, looks_headerless, parse_dates
from choose.data.readers.json_and_parquet import ROW, table_of
from choose.data.readers.labelled_file import read_source
from choose.errors import ChooseError, DataError
from choose.report.words import caveats
from choose.run.worker import Silent
from choose.schema.study_sections import DataSection, TaskSection
from choose.types import Example
from support.commands import refusal_of
from support.studies import write_lines


def rows(content: str, name: str = "a.csv", **columns: str) -> list[Example]:
    Path(name).write_text(content, encoding="utf-8")
    return examples_from(read_source(name).table, DataSection(**columns))


def refused(content: str, name: str = "a.csv", **columns: str) -> str:
    return refusal_of(DataError, rows, content, name, **columns)


@pytest.mark.parametrize("text", ["text", "Utterance", "SENTENCE", " query ", "input"])
@pytest.mark.parametrize("label", ["label", "Labels", "INTENT", "target", "category"])
def test_usual_names_are_found_whatever_their_case(text: str, label: str) -> None:
    [row] = rows(f"x,{label},{text}\nno,yes,hello\n")
    assert (row.text, row.target, row.id) == ("hello", "yes", "2")


def test_every_part_can_be_found_or_named() -> None:
    header = "id,text,label,created_at,conversation_id"
    row, _ = rows(f"{header}\n7,hi,a,2024-01-02,c1\n8,ho,b,2024-01-02,c2\n")
    assert row == Example(
        id="7", text="hi", target="a", timestamp=datetime(2024, 1, 2, tzinfo=UTC), group="c1"
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
    for cells in (["05/03/2024", "25/03/2024"], ["03/05/2024", "03/25/2024"]):
        assert [d and (d.day, d.month) for d in parse_dates(cells)] == [(5, 3), (25, 3)]
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
        "Mon, 1 Jan 99999999999 00:00:00 +0000",
        "Mon, 1 Jan 2024 00:00:00 +99999999999999",
        "1 Jan 2024 1.5:" + "9" * 40,
        "0:0" + "9" * 5_000 + " Jan",
    ],
)
def test_what_is_no_date_is_none(junk: str) -> None:
    assert parse_dates([junk]) == [None]


# Files as teams have them, written from a few sentences: nothing of a real person is in them.
FILES = Path(__file__).parents[1] / "fixtures" / "files"

WORDS = [
    *("where", "is", "my", "parcel", "card", "account", "refund", "order"),
    *("late", "charged", "twice", "please", "help", "sign", "in"),
]


def sentences(n: int, seed: int = 0) -> list[str]:
    made = random.Random(f"sentences-{seed}")
    return [" ".join(made.choices(WORDS, k=made.randint(4, 12))) + f" {i}" for i in range(n)]


def each(values: list[str], n: int) -> list[str]:
    return [values[i % len(values)] for i in range(n)]


SHAPES: dict[str, tuple[str, list[str]]] = {
    "sentences": ("text", sentences(60)),
    "long texts": ("text", [" ".join(sentences(9, seed=i)) for i in range(60)]),
    "texts that repeat": ("text", each(sentences(20), 60)),
    "texts with blanks": ("text", [*sentences(40), *[""] * 20]),
    "texts with line breaks": ("text", [s.replace(" ", "\n", 1) for s in sentences(60)]),
    "Japanese": ("text", [f"荷物{i}はどこですか教えてください" for i in range(60)]),
    "Thai": ("text", [f"พัสดุของฉันอยู่ที่ไหน{i}" for i in range(60)]),
    "Arabic": ("text", [f"أين طردي رقم {i} من فضلك" for i in range(60)]),
    "teams": ("category", each(["billing", "access", "data"], 60)),
    "teams of two words": ("category", each(["Front desk", "Back office"], 60)),
    "77 intents": ("category", each([f"card_issue_{i}" for i in range(77)], 770)),
    "labels of five words": ("category", each(["Does not work at all", "Is far too late"], 60)),
    "yes and no": ("category", each(["yes", "no"], 60)),
    "booleans": ("category", each(["true", "false"], 60)),
    "Japanese labels": ("category", each(["配送", "請求", "口座"], 60)),
    "rare label": ("category", ["fraud", "fraud", *["fine"] * 398]),
    "emoji": ("category", each(["👍", "👎"], 60)),
    "stars": ("code", each(["1", "2", "3", "4", "5"], 60)),
    "0 and 1": ("code", each(["0", "1"], 60)),
    "floats of a code": ("code", each(["0.0", "1.0"], 60)),
    "-1, 0 and 1": ("code", each(["-1", "0", "1"], 60)),
    "counting": ("id", [str(i) for i in range(60)]),
    "case numbers": ("id", [f"C-{1000 + i}" for i in range(60)]),
    "uuids": ("id", [f"{i:08x}-12ab-4000-8000-{i:012x}" for i in range(60)]),
    "digests": ("id", [f"a{i:031x}" for i in range(60)]),
    "prices": ("number", [f"${i * 1.7 + 3:,.2f}" for i in range(600)]),
    "percentages": ("number", [f"{i / 7:.2f} %" for i in range(60)]),
    "floats": ("number", [repr(i / 7) for i in range(60)]),
    "scores": ("number", [f"{i % 40 / 40:.3f}" for i in range(90)]),
    "clock": ("number", [f"{i % 24}:{i % 60:02d}" for i in range(60)]),
    "ISO dates": ("date", [f"2024-01-{i % 28 + 1:02d}" for i in range(60)]),
    "ISO times": ("date", [f"2024-01-{i % 28 + 1:02d}T14:05:{i:02d}Z" for i in range(60)]),
    "American dates": ("date", [f"{i % 12 + 1}/{i % 28 + 1}/2024 2:05 PM" for i in range(60)]),
    "German dates": ("date", [f"{i % 28 + 1}.3.2024" for i in range(60)]),
    "written dates": ("date", [f"{i % 28 + 1} Mar 2024" for i in range(60)]),
    "ambiguous dates": ("date", [f"{i % 12 + 1}/{i % 12 + 1}/2024" for i in range(60)]),
    "links": ("link", [f"https://a.example/t/{i}?q=x" for i in range(60)]),
    "e-mail": ("e-mail", [f"ann{i}@mail.example" for i in range(60)]),
    "e-mail of few agents": ("e-mail", each(["ann@a.example", "bob@a.example"], 60)),
    "first names": ("words", [f"{a}{b}a" for a in "ABCDEFGH" for b in "lmnrst"]),
    "companies": ("words", [f"Acme {a}{b}" for a in "abcdefgh" for b in "lmnrst"]),
    "one value": ("constant", ["en"] * 60),
    "blank": ("empty", [" "] * 60),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_column_is_told_by_what_it_holds(shape: str) -> None:
    kind, cells = SHAPES[shape]
    assert column_of(pl.Series("x", cells, dtype=pl.String)).kind == kind
    mixed = [*cells, *[None, ""] * 5]
    random.Random("order").shuffle(mixed)
    assert column_of(pl.Series("x", mixed, dtype=pl.String)).kind == kind


def table(**columns: list[str]) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    named = {name.replace("__", " "): pl.Series(cells) for name, cells in columns.items()}
    return pl.DataFrame({ROW: list(range(2, n + 2)), **named})


TEXT, TEAM, STARS = sentences(60), each(["billing", "access", "data"], 60), each(list("12345"), 60)
TITLES = [f"About my order {i}" for i in range(60)]
NAMES = [f"Customer {i % 17}" for i in range(60)]
LEVEL, DAYS = each(["low", "high"], 60), [f"2024-01-{i % 28 + 1:02d}" for i in range(60)]


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"text": TEXT, "tags": TEAM}, "text", "tags"),
        ({"a": TEAM, "b": TEXT}, "b", "a"),
        ({"x1": TEXT, "x2": STARS}, "x1", "x2"),
        ({"0": TEXT, "1": TEAM}, "0", "1"),
        ({"answer": TEAM, "prompt": TEXT}, "prompt", "answer"),
        ({"id": [str(i) for i in range(60)], "a": TEXT, "b": TEAM}, "a", "b"),
        ({"created": DAYS, "a": TEXT, "b": TEAM}, "a", "b"),
        ({"Priority": LEVEL, "Body": TEXT, "Team": TEAM}, "Body", "Team"),
        ({"language": LEVEL, "Freitext": TEXT, "Art": TEAM}, "Freitext", "Art"),
        ({"text": TEXT, "n_replies": STARS, "kind": TEAM}, "text", "kind"),
        ({"title": TITLES, "body": TEXT, "kind": TEAM}, "title,body", "kind"),
        ({"title": TITLES, "text": TEXT, "label": TEAM}, "text", "label"),
        ({"resolution": sentences(60, 1), "question": TEXT, "topic": TEAM}, "question", "topic"),
        ({"Customer": NAMES, "complaint": TEXT, "issueType": TEAM}, "complaint", "issueType"),
        ({"prompt": TEXT, "completion": TEAM}, "prompt", "completion"),
        ({"name": [a + b for a in "ABCDEFGHIJ" for b in "lmnrst"], "sex": LEVEL}, "name", "sex"),
    ],
)  # fmt: skip
def test_text_and_label_are_found(columns: dict[str, list[str]], text: str, label: str) -> None:
    """D13: columns were found only under five names each."""
    roles = roles_of(table(**columns), DataSection())
    assert (",".join(roles.text), roles.label) == (text, label)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            {"a": TEXT, "b": sentences(60, 1), "c": TEAM, "d": each(["x", "y"], 60)},
            "the text may be 'a' or 'b'; the label may be 'c' or 'd'",
        ),
        (
            {"message": TEXT, "comment": sentences(60, 1), "team": TEAM},
            "may be 'message' or 'comment'",
        ),
        ({"message": TEXT, "team": TEAM, "queue": LEVEL}, "the label may be 'team' or 'queue'"),
        ({"message": TEXT, "when": DAYS}, "there is no column of labels"),
        ({"team": TEAM, "stars": STARS, "when": DAYS}, "there is no column of texts"),
        ({"priority": LEVEL, "status": TEAM, "body": TEXT}, "may be 'priority' or 'status'"),
    ],
)
def test_what_is_unclear_is_refused_in_one_message_with_flags(refusal, columns, says):
    """D13: the text error hid the label error, and there was no command to copy."""
    message = refusal(DataError, roles_of, table(**columns), DataSection(path="my file.csv"))
    assert says in message
    assert "Name them: --text-column '" in message


def test_a_usual_name_and_a_flag_come_before_content() -> None:
    rows = table(label=STARS, message=TEXT, team=TEAM)
    assert roles_of(rows, DataSection()).label == "label"
    assert roles_of(rows, DataSection(label_column="team")).label == "team"
    assert roles_of(rows, DataSection()).by_content == {"text"}
    assert roles_of(table(text=TEXT, label=TEAM), DataSection()).by_content == set()


def test_a_conversation_of_phrases_is_the_text_and_one_of_ids_a_group() -> None:
    """The running number was read as the text, since the texts were taken for a group."""
    columns = {"Nr": [str(i) for i in range(60)], "Verdict": TEAM}
    roles = roles_of(table(**columns, Conversation=TEXT), DataSection())
    assert (roles.text, roles.group) == (("Conversation",), None)
    roles = roles_of(
        table(text=TEXT, label=TEAM, conversation=each(["c1", "c2"], 60)), DataSection()
    )
    assert roles.group == "conversation"


def test_dates_are_found_by_content() -> None:
    """D15: the column "Created At" was not found, and "the rows bear no dates" was said."""
    american = [f"{i % 12 + 1}/{i % 28 + 1}/2024 2:05 PM" for i in range(60)]
    rows = table(Closed__At=DAYS, text=TEXT, label=TEAM, Created__At=american)
    assert roles_of(rows, DataSection()).time == "Created At"
    undated = table(text=TEXT, label=TEAM, when=[*DAYS[:57], "soon", "later", ""])
    assert roles_of(undated, DataSection()).time == "when"
    assert sum(e.timestamp is None for e in examples_from(undated, DataSection())) == 3
    with pytest.raises(DataError, match="dates that cannot be read"):
        examples_from(undated, DataSection(time_column="when"))
    either = table(text=TEXT, label=TEAM, when=[f"{i % 12 + 1}/3/2024" for i in range(60)])
    assert roles_of(either, DataSection()).time is None


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"where is my parcel": TEXT, "billing": TEAM}, True),
        ({"where is my parcel": TEXT, "other": TEAM}, False),
        ({"message": TEXT, "billing": TEAM}, False),
        ({"text": TEXT, "label": TEAM}, False),
        ({"What is your question to us?": TEXT, "Department": TEAM}, False),
        ({"0": TEXT, "1": each(["0", "1"], 60)}, False),
        ({"where is it": TEXT, "2024-01-01": DAYS}, True),
    ],
)
def test_a_header_that_is_data_is_noticed(columns: dict[str, list[str]], expected: bool) -> None:
    assert looks_headerless(table(**columns)) == expected


def test_the_test_file_has_its_text_and_label_where_the_pool_has_them() -> None:
    pl.DataFrame({"note": TEXT, "team": TEAM}).write_csv("a.csv")
    few = [(TEXT[i] + " again", TEAM[i]) for i in range(6)]
    pl.DataFrame({"team": TEAM[:6], "note": [t for t, _ in few]}).write_csv("b.csv")
    test = read_rows(DataSection(path="a.csv", test="b.csv")).test
    assert [(e.text, e.target) for e in test] == few


def chat(*turns: tuple[str, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def chats(system: Callable[[int], str] | None = None) -> list[dict[str, object]]:
    rows = []
    for i, (text, team) in enumerate(zip(TEXT, TEAM, strict=True)):
        first = [("system", system(i))] if system else []
        rows.append(chat(*first, ("user", text), ("assistant", team)))
    return rows


def test_the_last_turn_of_the_assistant_is_the_label() -> None:
    write_lines("a.jsonl", chats(lambda i: "Route it."))
    rows = read_rows(DataSection(path="a.jsonl"))
    assert [(e.text, e.target) for e in rows.pool] == list(zip(TEXT, TEAM, strict=True))
    assert "last turn of the assistant is the label" in " ".join(rows.notes)
    assert dataset_from(rows, DataSection(), TaskSection()).task.instruction == "Route it."
    mine = TaskSection(instruction="Mine.")
    assert dataset_from(rows, DataSection(), mine).task.instruction == "Mine."
    both = DataSection(path="a.jsonl", text_column="messages.system,messages.user")
    assert read_rows(both).pool[0].text == f"Route it.\n\n{TEXT[0]}"
    assert read_rows(both).instruction is None


@pytest.mark.parametrize(
    ("system", "says"),
    [
        (lambda i: f"Ticket {i}", "The system turns differ between chats, and are not used."),
        (lambda i: "a" * 100_000, "The system turns are too long for an instruction, and are"),
    ],
)
def test_system_turns_that_are_no_instruction_are_told(system: Any, says: str) -> None:
    Path("a.json").write_text(json.dumps(chats(system)))
    rows = read_rows(DataSection(path="a.json"))
    assert rows.instruction is None
    [note] = [note for note in rows.notes if "system turn" in note]
    assert says in note
    assert note.endswith("--text-column messages.system,messages.user")


def test_chats_without_a_system_turn_say_nothing_of_one() -> None:
    Path("a.json").write_text(json.dumps(chats()))
    assert "system" not in " ".join(read_rows(DataSection(path="a.json")).notes)


@pytest.mark.parametrize(
    ("row", "text", "label"),
    [
        (chat(("user", "a"), ("assistant", "x"), ("user", "b"), ("assistant", "y")), "a\n\nb", "y"),
        (chat(("user", [{"type": "text", "text": "a"}]), ("assistant", "x")), "a", "x"),
        (chat(("user", "a"), ("assistant", None)), "a", ""),
        (chat(("user", "a")), "a", ""),
        (chat(("assistant", "x")), "", "x"),
        (chat(("developer", "z"), ("user", "a"), ("tool", "t"), ("assistant", "x")), "a", "x"),
        ({"messages": []}, "", ""),
        ({"messages": None}, "", ""),
    ],
)
def test_unusual_chats(row: dict[str, object], text: str, label: str) -> None:
    [last] = examples_from(table_of([*chats(), row]), DataSection())[60:]
    assert (last.text, last.target) == (text, label)


def test_chats_of_other_formats_and_of_parquet_are_read() -> None:
    share = [
        {"conversations": [{"from": "human", "value": t}, {"from": "gpt", "value": c}]}
        for t, c in zip(TEXT, TEAM, strict=True)
    ]
    pl.DataFrame(chats()).write_parquet("a.parquet")
    for rows in (table_of(share), table_of(pl.read_parquet("a.parquet"))):
        found = examples_from(rows, DataSection())
        assert [(e.text, e.target) for e in found] == list(zip(TEXT, TEAM, strict=True))


def test_dotted_paths_reach_into_objects() -> None:
    nested = [
        {"ticket": {"body": t, "lang": "en"}, "meta": {"label": c, "deep": {"n": i}}}
        for i, (t, c) in enumerate(zip(TEXT, TEAM, strict=True))
    ]
    found = examples_from(table_of(nested), DataSection())
    assert [(e.text, e.target) for e in found] == list(zip(TEXT, TEAM, strict=True))
    named = DataSection(text_column="ticket.body", label_column="META.label")
    assert examples_from(table_of(nested), named) == found
    with pytest.raises(DataError, match=r"No label column 'meta.lable'. Did you mean 'meta.label'"):
        roles_of(table_of(nested), DataSection(label_column="meta.lable"))


def test_the_guess_takes_no_longer_for_100_000_rows_than_reading_them() -> None:
    n = 100_000
    rows = table(
        Case=[f"C-{i}" for i in range(n)], Created=[f"2024-01-{i % 28 + 1:02d}" for i in range(n)],
        Priority=each(["low", "high"], n), Subject=[f"About order {i}" for i in range(n)],
        Description=[f"Hello, where is my parcel number {i}? Thank you." for i in range(n)],
        Team=each(["billing", "access", "data"], n),
    )  # fmt: skip
    start = perf_counter()
    roles = roles_of(rows, DataSection())
    assert perf_counter() - start < 10
    assert (roles.text, roles.label) == (("Subject", "Description"), "Team")


# What happens to the files of a new user, without a flag (review, part 4).
OUTCOMES: dict[str, tuple[str, str] | str] = {
    "german.csv": ("Nachricht", "Kategorie"),
    "quoted.csv": "Row 27 of 'quoted.csv' has 4 cells",
    "excel_utf8.csv": ("Nachricht", "Kategorie"),
    "excel_ansi.csv": ("Nachricht", "Kategorie"),
    "excel_unicode.txt": ("Nachricht", "Kategorie"),
    "intents.tsv": ("utterance", "intent"),
    "nested.jsonl": ("ticket.body", "meta.label"),
    "messages.jsonl": ("messages.user", "messages.assistant"),
    "array.json": ("message", "team"),
    "tags.csv": "names the label 'billing' twice",
    "stars.csv": ("review", "stars"),
    "rare.csv": ("message", "is_fraud"),
    "japanese.csv": ("本文", "ラベル"),
    "dirty.csv": "'CALLS' and 'Calls'",
    "near_spelling.csv": ("message", "topic"),
    "headerless.csv": "has no header",
    "crm.csv": ("Subject,Description", "Team"),
    "twelve.csv": ("text", "label"),
    "fake.xlsx": "Excel workbook",
    "empty.csv": "is empty",
    "one_label.csv": "at least two labels",
    "team.csv": ("message", "team"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_file_of_a_team_just_works_or_says_why_not(refusal, name: str) -> None:
    """D13: of 17 small files 2 ran without flags."""
    Path(name).write_bytes((FILES / name).read_bytes())
    section, expected = DataSection(path=name), OUTCOMES[name]
    if isinstance(expected, tuple):
        rows = read_rows(section)
        assert len(dataset_from(rows, section, TaskSection()).examples) == len(rows.pool)
        assert (",".join(rows.roles.text), rows.roles.label) == expected
        guessed = bool(rows.roles.by_content)
        assert guessed == any("To name others: --text-column" in note for note in rows.notes)
    else:
        assert expected in refusal(
            ChooseError, lambda: dataset_from(read_rows(section), section, TaskSection())
        )


def of_sources(column: str, *values: str, **section: str) -> tuple[str | None, str | None, str]:
    """Return the group, the source and what is said of rows with labels a and b in turn."""
    cells = [(f"word {n}", "ab"[n % 2], value) for n, value in enumerate(values)]
    table = pl.DataFrame(cells, schema=["text", "label", column], orient="row").with_row_index(ROW)
    found = roles_of(table, DataSection(**section))
    return found.group, found.source, " ".join(found.told)


def test_a_column_that_labels_cross_is_the_source_or_the_group() -> None:
    halves = [*["x"] * 50, *["y"] * 50]
    assert of_sources("Channel", *halves) == (None, "Channel", "")
    assert of_sources("group", *halves) == ("group", None, "")
    assert of_sources("customer", *halves) == (None, None, "")
    assert of_sources("source", *["x"] * 100) == (None, None, "")


@pytest.mark.parametrize("column", ["group", "source"])
def test_a_column_that_no_label_crosses_is_not_taken_silently(column: str) -> None:
    group, source, told = of_sources(column, *["x", "y"] * 50)
    assert (group, source) == (None, None)
    assert f"Column '{column}' is not taken as the {column}: each label is in one" in told
    assert f"--set group_column={column}." in told


def test_u9_columns_that_hold_labels_alone_are_said_to_be_scored(tmp_path: Path) -> None:
    """The answers of gpt4 lay beside the labels, and `compare` was silent on them."""
    rows = [(f"word {n}", "ab"[n % 2], "ab"[n % 3 % 2], "bx"[n % 2], n % 2) for n in range(40)]
    table = pl.DataFrame(rows, schema=["text", "label", "gpt4", "other", "flag"], orient="row")
    table.write_csv(tmp_path / "rows.csv")
    section = DataSection(path=str(tmp_path / "rows.csv"))
    told = (
        "Column 'gpt4' holds only labels. If these are a model's answers, score them: choose score"
    )
    assert f"{told} {section.path} --answers gpt4" in read_rows(section).notes
    table.rename({"label": "team", "gpt4": "a,b"}).write_csv(section.path)
    section = section.model_copy(update={"label_column": "team"})
    assert any(note.endswith(f" {section.path} --gold team") for note in read_rows(section).notes)


def test_labels_that_no_training_row_has_are_a_caveat_with_their_rows(tmp_path: Path) -> None:
    cells = [(f"word {n % 7} {n}", f"label {n // 10}", f"part {n // 10}") for n in range(200)]
    table = pl.DataFrame(cells, schema=["text", "label", "part"], orient="row")
    settings = {"group_column": "part", "strategies": "tfidf", "out": tmp_path, "seeds": 1}
    decision = choose.compare(table, noise=0, progress=False, **settings)
    [caveat] = [one for one in decision.verdict.caveats if one.code == "unseen-labels"]
    assert (caveat.rows, caveat.whole) == (200, 20)


def test_labels_without_a_row_in_the_first_round_are_named(tmp_path: Path, monkeypatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(Silent, "noted", lambda _, said: heard.extend(said))
    texts, labels = sentences(810), each([f"label {n:03}" for n in range(270)], 810)
    usual = {"strategies": "tfidf", "rounds": 1, "progress": False, "out": tmp_path}
    decision = choose.compare(texts, labels, **usual)
    said = "20 labels without a row among the 250 training rows of the first round: 'label"
    assert any(one.startswith(said) for one in heard)
    said = "20 of 270 labels have no row in the part that tfidf learned from."
    assert said in caveats(decision)

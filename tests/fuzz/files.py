"""Malformed files, and the commands that read them.

A new kind of file is a row of `FILES`; a new command that reads one is a row of `READERS`.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache

import polars as pl

from fuzz.runner import Case

WORDS = [("alpha beta", "x"), ("gamma delta", "y"), ("epsilon zeta", "z")]


def rows(*cells: str, header: str = "text,label", n: int = 18, end: str = "\n") -> str:
    """Return a usable CSV with more lines at its end."""
    body = [f"{text} {i},{label}" for i in range(n // 3) for text, label in WORDS]
    return end.join([header, *body, *cells]) + end


def labelled(*labels: str) -> bytes:
    """Return a CSV with these labels in turn."""
    n = len(labels)
    return rows(*[f"word {i},{labels[i % n]}" for i in range(6 * n)], n=0).encode()


def jsonl(*lines: str, n: int = 18) -> bytes:
    """Return usable JSON Lines with more lines at their end."""
    body = [
        json.dumps({"text": f"{text} {i}", "label": label})
        for i in range(n // 3)
        for text, label in WORDS
    ]
    return ("\n".join([*body, *lines]) + "\n").encode("utf-8", "surrogatepass")


def timed(*cells: str) -> bytes:
    """Return a CSV with a time column that ends in these cells."""
    good = [f"word {i},{'xyz'[i % 3]},2024-01-{1 + i:02d}" for i in range(18)]
    bad = [f"word {90 + i},x,{cell}" for i, cell in enumerate(cells)]
    return "\n".join(["text,label,time", *good, *bad]).encode("utf-8", "surrogatepass") + b"\n"


def parquet(**columns: object) -> bytes:
    """Return Parquet with text, label and further columns."""
    n = 18
    frame = pl.DataFrame(
        {
            "text": [f"{WORDS[i % 3][0]} {i}" for i in range(n)],
            "label": [WORDS[i % 3][1] for i in range(n)],
            **columns,
        }
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _array(n: int) -> bytes:
    """Return a JSON array of usable rows."""
    body = [{"text": f"{WORDS[i % 3][0]} {i}", "label": WORDS[i % 3][1]} for i in range(n)]
    return json.dumps(body).encode()


def _chats(*last: object) -> bytes:
    """Return chats in OpenAI's format; the last one has these turns after its first."""
    body = []
    for i in range(18):
        text, label = WORDS[i % 3]
        body.append(
            [{"role": "user", "content": f"{text} {i}"}, {"role": "assistant", "content": label}]
        )
    if last:
        body.append([{"role": "user", "content": "alpha"}, *last])
    return "".join(json.dumps({"messages": turns}) + "\n" for turns in body).encode()


@cache
def files() -> dict[str, bytes]:
    good, n = rows().encode(), 18
    dates = [datetime(2024, 1, 1) + timedelta(days=i) for i in range(n)]
    return {
        "empty.csv": b"",
        "blank.csv": b"\n\n \n",
        "newline.csv": b"\n",
        "comma.csv": b",",
        "header.csv": b"text,label\n",
        "one_row.csv": b"text,label\nalpha,x\n",
        "one_class.csv": rows().replace(",y", ",x").replace(",z", ",x").encode(),
        "all_labels_differ.csv": rows(*[f"t {i},l{i}" for i in range(30)], n=0).encode(),
        "no_label.csv": b"text\n" + b"alpha\n" * 20,
        "no_text.csv": b"label\n" + b"x\ny\n" * 20,
        "other_columns.csv": good.replace(b"text,label", b"alpha,beta"),
        "no_header.csv": good.split(b"\n", 1)[1],
        "ragged_long.csv": rows("a,b,c,d").encode(),
        "ragged_short.csv": rows("a").encode(),
        "quote_open.csv": rows('"never closed,x').encode(),
        "quote_inside.csv": rows('a "quoted" word,x').encode(),
        "quote_after.csv": rows('"a"b,x').encode(),
        "cr.csv": rows(end="\r").encode(),
        "crlf_mixed.csv": rows("a,x\r", "b,y\r\r").encode(),
        "nul.csv": rows("a\0b,x").encode(),
        "nul_all.csv": b"\0" * 4000,
        "nul_header.csv": good.replace(b"text", b"te\0xt"),
        "binary.csv": bytes(range(256)) * 40,
        "bom.csv": b"\xef\xbb\xbf" + good,
        "bom_twice.csv": b"\xef\xbb\xbf\xef\xbb\xbf" + good,
        "bom_utf16.csv": b"\xff\xfe" + rows().encode("utf-16-le"),
        "utf16_be.csv": b"\xfe\xff" + rows().encode("utf-16-be"),
        "utf16_bare.csv": rows().encode("utf-16-le"),
        "utf32.csv": rows().encode("utf-32"),
        "utf7.csv": rows("caf+AOk-,x").encode(),
        "latin.csv": rows("caf\xe9,x").encode("latin-1"),
        "shift_jis.csv": rows("日本,x").encode("shift-jis"),
        "overlong.csv": good + b"\xc0\xaf,x\n",
        "surrogate_utf8.csv": good + b"\xed\xa0\x80,x\n",
        "truncated_utf8.csv": good + b"caf\xc3",
        "escape.csv": rows("\x1b[31mred\x1b[0m,x", "\x1b]0;title\x07,x").encode(),
        "escape_header.csv": good.replace(b"text,label", b"\x1b[31mtext,la\x1b[0mbel"),
        "escape_label.csv": rows("a,\x1b[31mx", "b,\x1b[31mx").encode(),
        "bidi_label.csv": rows("a,\u202ex", "b,\u202ex").encode(),
        "control_label.csv": rows(*[f"a {i},\x07" for i in range(6)]).encode(),
        "zero_width_label.csv": rows(*[f"a {i},x\u200b" for i in range(6)]).encode(),
        "decomposed_label.csv": rows(
            *[f"a {i},cafe\u0301" for i in range(6)], *[f"b {i},caf\xe9" for i in range(6)]
        ).encode(),
        "case_label.csv": rows("a,X", "b,X").encode(),
        "html.csv": rows("<script>alert(1)</script>,<b>x").encode(),
        "formula.csv": rows("=1+1,=1+1", "b,=1+1").encode(),
        "duplicate_header.csv": good.replace(b"text,label", b"text,text"),
        "duplicate_header_blank.csv": b"text,label,,\n" + b"a,x,,\nb,y,,\n" * 9,
        "reserved_header.csv": good.replace(b"text,label", b"__row__,label"),
        "long_header.csv": good.replace(b"text,label", b"t" * 100_000 + b",label"),
        "many_columns.csv": b",".join(b"c%d" % i for i in range(20_000)) + b"\n",
        "same_columns.csv": b",".join([b"c"] * 20_000) + b"\n",
        "huge_field.csv": rows("a" * 1_200_000 + ",x").encode(),
        "huge_label.csv": rows("a," + "x" * 100_000, "b," + "x" * 100_000).encode(),
        "huge_line.csv": rows("a" * 9_000_000 + ",x").encode(),
        "digits_label.csv": rows("a," + "9" * 5_000, "b," + "8" * 5_000).encode(),
        "digits_labels.csv": labelled("1" * 5000, "2" * 5000, "3" * 5000),
        "huge_numbers.csv": labelled("1e308", "1e309", "1e310"),
        "superscript_labels.csv": labelled("²", "³", "¹"),
        "nan_labels.csv": labelled("nan", "inf", "-inf"),
        "empty_texts.csv": b"text,label\n" + b",x\n,y\n" * 12,
        "blank_labels.csv": b"text,label\n" + b"a, \nb,\n" * 12,
        "same_text.csv": b"text,label\n" + b"alpha,x\nalpha,y\n" * 12,
        "semicolon.csv": good.replace(b",", b";"),
        "pipe.csv": good.replace(b",", b"|"),
        "tab_in_csv.csv": good.replace(b",", b"\t"),
        "comma_in_tsv.tsv": good,
        "open.tsv": rows('"a\tx').replace(",", "\t").encode(),
        "nul.tsv": b"text\tlabel\n\0\tx\n",
        "gzip.csv": gzip.compress(good),
        "gzip.parquet": gzip.compress(parquet()),
        "gzip.jsonl": gzip.compress(jsonl()),
        "zip.csv": b"PK\x03\x04" + b"\0" * 200,
        "csv.parquet": good,
        "parquet.csv": parquet(),
        "json.csv": jsonl(),
        "pdf.csv": b"%PDF-1.7\n\xff\xff\n",
        "excel.xlsx": b"PK\x03\x04" + b"\0" * 200,
        "no_ending": good,
        "dots...csv": good,
        "caps.CSV": good,
        "txt.txt": good,
        "array.json": b'[{"text": "a", "label": "x"}]',
        "\udcff.csv": good,
        "new\nline.csv": good,
        "\x1b[31m.csv": good,
        "-dash.csv": good,
        " .csv": good,
        "empty.jsonl": b"",
        "blank.jsonl": b"\n\n",
        "array.jsonl": b"[1, 2]\n" * 20,
        "scalar.jsonl": b"1\n" * 20,
        "null.jsonl": b"null\n" * 20,
        "broken.jsonl": jsonl('{"text": "a", "label": '),
        "trailing.jsonl": jsonl('{"text": "a", "label": "x"} {}'),
        "nan.jsonl": jsonl('{"text": "a", "label": NaN}'),
        "huge_number.jsonl": jsonl('{"text": "a", "label": 1e999}'),
        "huge_integer.jsonl": jsonl('{"text": "a", "label": ' + "9" * 5000 + "}"),
        "integers.jsonl": b"".join(
            b'{"text": "a %d", "label": %d%s}\n' % (i, i % 3, b"0" * 4000) for i in range(18)
        ),
        "deep.jsonl": jsonl('{"text": "a", "label": ' + "[" * 5_000 + "]" * 5_000 + "}"),
        "nested_text.jsonl": jsonl('{"text": {"a": 1}, "label": "x"}'),
        "nested_label.jsonl": jsonl('{"text": "a", "label": ["x"]}'),
        "mixed_label.jsonl": jsonl('{"text": "a", "label": 1}'),
        "bool_label.jsonl": jsonl('{"text": "a", "label": true}'),
        "null_label.jsonl": jsonl('{"text": "a", "label": null}'),
        "missing_key.jsonl": jsonl('{"text": "a"}'),
        "twice_key.jsonl": jsonl('{"text": "a", "text": "b", "label": "x"}'),
        "surrogate.jsonl": jsonl('{"text": "\\ud800", "label": "x"}'),
        "surrogate_label.jsonl": jsonl(*6 * ['{"text": "a", "label": "\\ud800"}']),
        "surrogate_key.jsonl": jsonl('{"text": "a", "label": "x", "\\ud800": 1}'),
        "surrogate_id.jsonl": jsonl('{"id": "\ud800", "text": "a", "label": "x"}'),
        "nul_text.jsonl": jsonl('{"text": "a\\u0000b", "label": "x"}'),
        "nul_label.jsonl": jsonl(*6 * ['{"text": "a", "label": "\\u0000"}']),
        "own_keys.jsonl": b"".join(b'{"k%d": 1}\n' % i for i in range(1_000)),
        "reserved_key.jsonl": jsonl('{"text": "a", "label": "x", "__row__": 1}'),
        "empty_key.jsonl": jsonl('{"text": "a", "label": "x", "": 1}'),
        "escape_key.jsonl": b'{"\\u001b[31mt": "a", "\\u001b[31ml": "x"}\n' * 20,
        "bom.jsonl": b"\xef\xbb\xbf" + jsonl(),
        "utf16.jsonl": jsonl().decode().encode("utf-16"),
        "latin.jsonl": '{"text": "caf\xe9", "label": "x"}\n'.encode("latin-1"),
        "long_line.jsonl": jsonl('{"text": "' + "a" * 1_200_000 + '", "label": "x"}'),
        "utf16_odd.csv": ("\ufeff" + rows()).encode("utf-16-le") + b"a",
        "utf16_half.csv": b"\xff\xfe" + rows().encode("utf-16-le") + b"\x00\xd8,\x00x\x00\n\x00",
        "utf16_nul.csv": ("\ufeff" + rows("a\0b,x")).encode("utf-16-le"),
        "utf16_bare_be.csv": rows().encode("utf-16-be"),
        "utf16_jsonl.jsonl": ("\ufeff" + jsonl().decode()).encode("utf-16-be"),
        "western.csv": rows(*[f"Gr\xfc\xdfe {i},x" for i in range(9)]).encode("cp1252"),
        "western_undefined.csv": rows().encode() + b"caf\xe9 \x81\x8d,x\n",
        "cyrillic.csv": rows("\u043f\u0440\u0438\u0432\u0435\u0442,x").encode("cp1251"),
        "mixed_encodings.csv": rows("Gr\xfc\xdfe,x").encode() + "caf\xe9,x\n".encode("cp1252"),
        "western.json": json.dumps(
            [{"text": f"Gr\xfc\xdfe {i}", "label": "xy"[i % 2]} for i in range(18)],
            ensure_ascii=False,
        ).encode("cp1252"),
        "tabs.txt": rows().replace(",", "\t").encode(),
        "array_good.json": _array(18),
        "array_bomb.json": b"[" + b"{}," * 300_000 + b"{}]",
        "array_of_arrays.json": b"[[1, 2], [3, 4]]",
        "array_deep.json": b"[" * 100_000,
        "array_deep_item.json": b'[{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]",
        "array_deep_objects.json": b'[{"text": ' + b'{"a": ' * 5_000 + b"1" + b"}" * 5_001 + b"]",
        "array_open.json": _array(18)[:-1],
        "array_cut.json": _array(18)[:-30],
        "array_twice.json": _array(18) + _array(18),
        "array_comma.json": _array(18)[:-1] + b",]",
        "array_keys.json": json.dumps([{f"k{i}": 1} for i in range(1_000)]).encode(),
        "array_empty.json": b"[]",
        "array_null.json": b"[null]",
        "array_nan.json": b'[{"text": "a", "label": NaN}]',
        "array_huge_number.json": b"[" + b"9" * 5_000 + b"]",
        "array_surrogate.json": b'[{"text": "\\ud800", "label": "x"}]',
        "object.json": b'{"text": ["a", "b"], "label": ["x", "y"]}',
        "object_of_rows.json": b'{"data": ' + _array(18) + b"}",
        "object_of_columns.json": b'{"text": {"0": "a"}, "label": {"0": "x"}}',
        "lines.json": jsonl(),
        "scalar.json": b"1",
        "blank.json": b" \n",
        "csv.json": good,
        "chats.jsonl": _chats(),
        "chats_no_answer.jsonl": _chats({"role": "user", "content": "a"}),
        "chats_null.jsonl": _chats({"role": "assistant", "content": None}),
        "chats_no_role.jsonl": _chats({"content": "a"}),
        "chats_number.jsonl": _chats({"role": "assistant", "content": 7}),
        "chats_parts.jsonl": _chats({"role": "assistant", "content": [{"text": 7}, 8, None]}),
        "chats_escape.jsonl": _chats({"role": "assistant", "content": "\x1b[31mred"}),
        "chats_surrogate.jsonl": _chats({"role": "assistant", "content": "\ud800"}),
        "chats_long.jsonl": _chats({"role": "user", "content": "a" * 1_200_000}),
        "chats_many_turns.jsonl": _chats(*[{"role": "user", "content": "a"}] * 50_000),
        "chats_not_turns.jsonl": b'{"messages": "a"}\n{"messages": [1]}\n{"messages": {}}\n' * 6,
        "nested_many_keys.jsonl": b'{"a": {%s}, "b": {"c": 1}}\n'
        % b",".join(b'"k%d": {"x": {"y": 1}}' % i for i in range(3_000)),
        "nested_deep.jsonl": b'{"a": %s1%s, "label": "x"}\n' % (b'{"a": ' * 900, b"}" * 900) * 9,
        "dotted_key.jsonl": b'{"a.b": "text of %d", "a": {"b": "x"}}\n' * 9,
        "numbered_header.csv": good.replace(b"text,label", b"1,2"),
        "escape_guess.csv": good.replace(b"text,label", b"\x1b[31mmessage,te\x1b[0mam"),
        "quotes_header.csv": good.replace(b"text,label", b"my ' message,$(team)"),
        "three_texts.csv": b"a,b,c\n" + b"one two three,four five six,x\n" * 9,
        "empty.parquet": b"",
        "magic.parquet": b"PAR1",
        "magic_twice.parquet": b"PAR1PAR1",
        "truncated.parquet": parquet()[:-30],
        "half.parquet": parquet()[: len(parquet()) // 2],
        "garbage.parquet": parquet()[:40] + b"\xff" * 200 + parquet()[240:],
        "footer.parquet": parquet()[:-8] + b"\xff\xff\xff\x7fPAR1",
        "no_rows.parquet": _written(pl.DataFrame({"text": [], "label": []})),
        "no_columns.parquet": _written(pl.DataFrame()),
        "duration.parquet": parquet(label=[timedelta(days=i % 3) for i in range(n)]),
        "duration_time.parquet": parquet(time=[timedelta(days=i % 3) for i in range(n)]),
        "duration_text.parquet": parquet(text=[timedelta(days=i) for i in range(n)]),
        "duration_extra.parquet": parquet(other=[timedelta(days=i) for i in range(n)]),
        "dates.parquet": parquet(time=dates),
        "date_label.parquet": parquet(label=[date(2024, 1, 1 + i % 3) for i in range(n)]),
        "binary_label.parquet": parquet(label=[bytes([i % 3, 255]) for i in range(n)]),
        "binary_text.parquet": parquet(text=[bytes([i, 255]) for i in range(n)]),
        "list_label.parquet": parquet(label=[["x"]] * n),
        "struct_text.parquet": parquet(text=[{"a": i} for i in range(n)]),
        "null_label.parquet": parquet(label=[None] * n),
        "float_label.parquet": parquet(label=[float("nan"), 1.0, float("inf")] * 6),
        "bool_label.parquet": parquet(label=[True, False, None] * 6),
        "category.parquet": parquet(label=pl.Series(["a", "b", "c"] * 6, dtype=pl.Categorical)),
        "decimal.parquet": parquet(label=pl.Series([1.5, 2.5, 3.5] * 6).cast(pl.Decimal(9, 2))),
        "time.parquet": parquet(label=pl.Series([1, 2, 3] * 6).cast(pl.Time)),
        "row_column.parquet": parquet(__row__=list(range(n))),
        "mail_year.csv": timed('"Mon, 1 Jan 99999999999 00:00:00 +0000"'),
        "mail_zone.csv": timed('"Mon, 1 Jan 2024 00:00:00 +99999999999999"'),
        "year_zero.csv": timed("0000-01-01"),
        "year_five.csv": timed("10000-01-01"),
        "first_day.csv": timed("0001-01-01T00:00:00+14:00"),
        "last_day.csv": timed("9999-12-31T23:59:59-14:00"),
        "epoch.csv": timed("9999999999999"),
        "epoch_long.csv": timed("9" * 400),
        "february.csv": timed("2024-02-31"),
        "hour.csv": timed("2024-01-01T99:99:99Z"),
        "words_time.csv": timed("yesterday"),
        "arabic_time.csv": timed("\u0662\u0660\u0662\u0664-\u0660\u0661-\u0660\u0661"),
        "superscript_time.csv": timed("²⁰²⁴-01-01"),
        "month_words.csv": timed('"Jan Jan 2024 Jan 99999999999999999999"'),
        "time_surrogate.csv": timed("\x1b[31m"),
    }  # fmt: skip


def _written(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


QUICK = ("-s", "majority", "--seeds", "1", "--sizes", "1", "--noise", "0")

# Commands that read a labelled set or texts; {} is the file.
READERS: dict[str, tuple[str, ...]] = {
    "compare": ("compare", "{}", *QUICK, "--out", "new"),
    "predict": ("predict", "ex", "{}", "-o", "new.csv"),
    "test": ("plan", "words.csv", "--test", "{}", "-s", "majority", "--no-forecast"),
    "check": ("check", "{}", "--json", "-o", "new.csv", "-o", "new.md"),
}

# Files that are not regular: the command must neither wait nor read for ever.
DEVICES = ("/dev/zero", "/dev/null", "/dev/full", ".", "st", "nowhere.csv", "~nosuchuser/x.csv", "")

# Damaged study files, as a whole; keys are in the table of `settings`.
STUDY_FILES: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)),
    "latin": '[data]\npath = "caf\xe9.csv"\n'.encode("latin-1"),
    "nul": b'[data]\npath = "a\0.csv"\n',
    "utf16": '[data]\npath = "words.csv"\n'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf[data]\npath = "words.csv"\n',
    "open string": b'[data]\npath = "words.csv\n',
    "open table": b"[data\n",
    "twice": b'[data]\npath = "words.csv"\n[data]\npath = "words.csv"\n',
    "key twice": b'[data]\npath = "a.csv"\npath = "b.csv"\n',
    "deep array": b"a = " + b"[" * 5_000 + b"]" * 5_000,
    "deep table": b"[" + b"a." * 5_000 + b"a]\n",
    "deep inline": b"a = " + b"{a = " * 5_000 + b"1" + b"}" * 5_000,
    "long": b'[task]\ninstruction = "' + b"a" * 3_000_000 + b'"\n',
    "huge integer": b"[grid]\nseeds = " + b"9" * 5_000 + b"\n",
    "huge date": b"[costs]\nstart = 99999-01-01\n",
    "unknown section": b"[nope]\na = 1\n",
    "escape key": b'["\\u001b[31m"]\na = 1\n',
    "escape unknown": b'[grid]\n"\\u001b[31mseeds" = 1\n',
    "section as list": b"grid = []\n",
    "array of tables": b"[[grid]]\nseeds = 1\n",
    "json": b'{"grid": {"seeds": 1}}',
}


def file_cases() -> Iterator[Case]:
    for name, content in files().items():
        for reader, arguments in READERS.items():
            if reader == "check" and len(content) > 1_000_000:
                continue
            given = f"./{name}" if name.startswith("-") else name
            filled = tuple(given if a == "{}" else a for a in arguments)
            extra = ("--time-column", "time") if content.startswith(b"text,label,time") else ()
            if reader == "predict":
                extra = ()
            yield Case("files", f"{reader} {name[:40]!r}", (*filled, *extra), (), {name: content})
    for device in DEVICES:
        for reader, arguments in READERS.items():
            filled = tuple(device if a == "{}" else a for a in arguments)
            yield Case("files", f"{reader} {device}", filled, ())


def study_file_cases() -> Iterator[Case]:
    for name, content in STUDY_FILES.items():
        yield Case(
            "study files",
            name,
            ("plan", "words.csv", "-c", "study.toml", "-s", "majority", "--no-forecast"),
            (),
            {"study.toml": content},
        )
    for device in DEVICES:
        arguments = ("plan", "words.csv", "-c", device, "-s", "majority", "--no-forecast")
        yield Case("study files", device, arguments)

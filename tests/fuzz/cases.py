"""About a hundred malformed inputs, a few of each kind.

A new kind of file, target, folder or cell is one more row; flags come from the application and take
the bad values in turn, so that a new one is tried by itself.
"""

import gzip
import io
import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any, get_args

import polars as pl
import typer.main

from choose.cli.app import app
from choose.study.resolve_study import fields_of, keywords
from fuzz.runner import Case

WORDS = [("alpha beta", "x"), ("gamma delta", "y"), ("epsilon zeta", "z")]
ROWS = [(f"{text} {i}", label) for i in range(6) for text, label in WORDS]


def csv(*lines: str, header: str = "text,label") -> str:
    return "\n".join([header, *map(",".join, ROWS), *lines]) + "\n"


def jsonl(*lines: str) -> bytes:
    body = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    return ("\n".join([*body, *lines]) + "\n").encode("utf-8", "surrogatepass")


def parquet(**columns: object) -> bytes:
    table = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS], **columns}
    buffer = io.BytesIO()
    pl.DataFrame(table).write_parquet(buffer)
    return buffer.getvalue()


def chats(*turns: object) -> bytes:
    """Return chats in OpenAI's format; the last one has these turns after its first."""
    users = [{"role": "user", "content": text} for text, _ in ROWS]
    body: list[list[object]] = [
        [user, {"role": "assistant", "content": label}]
        for user, (_, label) in zip(users, ROWS, strict=True)
    ]
    body.append([users[0], *turns])
    return "".join(json.dumps({"messages": one}) + "\n" for one in body).encode()


FILES: dict[str, bytes] = {
    # nothing, or nothing to learn from
    "empty.csv": b"",
    "header.csv": b"text,label\n",
    "one_class.csv": csv().replace(",y", ",x").replace(",z", ",x").encode(),
    "no_label.csv": b"text\n" + b"alpha\n" * 20,
    "other_columns.csv": csv(header="alpha,beta").encode(),
    # the form of a table
    "ragged.csv": csv("a,b,c,d").encode(),
    "quote_open.csv": csv('"never closed,x').encode(),
    "duplicate_header.csv": csv(header="text,text").encode(),
    "many_columns.csv": b",".join(b"c%d" % i for i in range(20_000)) + b"\n",
    "huge_field.csv": csv("a" * 1_200_000 + ",x").encode(),
    "huge_label.csv": csv("a," + "x" * 100_000, "b," + "x" * 100_000).encode(),
    "digits.csv": csv("a," + "9" * 5_000, "b," + "8" * 5_000).encode(),
    "printed_lists.csv": csv("a,[{[]: 1}]", "b,['a\\d']").encode(),
    # bytes and encodings
    "nul.csv": csv("a\0b,x").encode(),
    "binary.csv": bytes(range(256)) * 40,
    "utf16.csv": csv().encode("utf-16-le"),
    "western.csv": csv(*[f"Gr\xfc\xdfe {i},x" for i in range(9)]).encode("cp1252"),
    "cut_letter.csv": csv().encode() + b"caf\xc3",
    "escape.csv": csv(
        "\x1b[31mred\x1b[0m,\x1b[31mx", "b,\x1b[31mx", header="text,la\x1b[0mbel"
    ).encode(),
    "bidi.csv": csv("a,\u202ex", "b,\u202ex").encode(),
    "formula.csv": csv("=1+1,=1+1", "b,=1+1").encode(),
    # endings and other formats
    "gzip.csv": gzip.compress(csv().encode()),
    "zip.csv": b"PK\x03\x04" + bytes(200),
    "csv.parquet": csv().encode(),
    "no_ending": csv().encode(),
    "\udcff.csv": csv().encode(),
    "-dash.csv": csv().encode(),
    # JSON
    "scalar.jsonl": b"1\n" * 20,
    "broken.jsonl": jsonl('{"text": "a", "label": '),
    "huge_integer.jsonl": jsonl('{"text": "a", "label": ' + "9" * 5000 + "}"),
    "deep.jsonl": jsonl('{"text": "a", "label": ' + "[" * 900 + "]" * 900 + "}"),
    "deep_batch.jsonl": b'{"custom_id": "a", "response": null}\n' + b"[" * 50_000 + b"\n",
    "nested_text.jsonl": jsonl('{"text": {"a": 1}, "label": "x"}'),
    "mixed_label.jsonl": jsonl('{"text": "a", "label": 1}'),
    "surrogate.jsonl": jsonl('{"text": "\\ud800", "label": "x"}'),
    "escape_key.jsonl": b'{"\\u001b[31mt": "a", "\\u001b[31ml": "x"}\n' * 20,
    "bomb.json": b"[" + b"{}," * 300_000 + b"{}]",
    "open.json": b"[" + b"{}," * 20,
    "chats_null.jsonl": chats({"role": "assistant", "content": None}),
    "chats_parts.jsonl": chats({"role": "assistant", "content": [{"text": 7}, 8, None]}),
    # Parquet; its types are in `test_arrow`
    "half.parquet": parquet()[:400],
    "footer.parquet": parquet()[:-8] + b"\xff\xff\xff\x7fPAR1",
    "row.parquet": parquet(__row__=list(range(len(ROWS)))),
}

# Cells of a time column.
TIMES = ("Mon, 1 Jan 99999999999 00:00:00 +0000", "0000-01-01", "9" * 400, "\x1b[31m")

# No regular files: the command must neither wait nor read for ever.
DEVICES = ("/dev/zero", ".", "~nosuchuser/x.csv", "")

STUDY_FILES: dict[str, bytes] = {
    "binary": bytes(range(256)),
    "nul": b'[data]\npath = "a\0.csv"\n',
    "open": b"[data\n",
    "deep": b"a = " + b"[" * 5_000 + b"]" * 5_000,
    "long": b'[task]\ninstruction = "' + b"a" * 3_000_000 + b'"\n',
    "unknown": b'["\\u001b[31m"]\na = 1\n',
    "section as list": b"grid = []\n",
}

# Targets of the last of 19 rows, by the kind of task, and a text that a refusal must contain.
TARGETS: dict[str, tuple[str, object, str]] = {
    "broken record": ("extraction", '{"day": "2025', "Row 19"),
    "number for a record": ("extraction", 3, "Row 19"),
    "nested record": ("extraction", {"who": {"name": "Ann"}}, "Row 19"),
    "list with null": ("extraction", {"who": ["Ann", None]}, "Row 19"),
    "half a character": ("extraction", {"who\ud800": "Ann"}, "Line 19"),
    "1,000 fields": ("extraction", {f"f{i}": "x" for i in range(1_000)}, "fields"),
    "blank text": ("writing", " \n\t ", ""),
    "object for a text": ("writing", {"a": 1}, "Row 19"),
    "blank answers": ("answering", ["", " "], ""),
    "list of lists": ("answering", [["day 1"]], "Row 19"),
}

# Documents in a folder, and cells that name the relevant ones.
FOLDERS: dict[str, dict[str, bytes]] = {
    "empty": {"a.md": b"", "b.txt": b" \n\t"},
    "nothing readable": {"a.pdf": b"%PDF-1.7", "c.png": b"\x89PNG"},
    "binary": {"a.txt": bytes(range(256)) * 20},
    "codes": {"a\x1b[31m.md": b"# \x1b[2J\x07<script>alert(1)</script>\nRoom 1 has 51 seats."},
}
CELLS: dict[str, tuple[object, str]] = {
    "unknown": ("d99", "Row 1"),
    "codes": ("\x1b[2J\u202e", "Row 1"),
    "huge": ([["d1", 10**40, 10**41]], "Row 1"),
    "grade": ({"d1": 10**400}, "Row 1"),
    "deep": ("[" * 50_000, "Row 1"),
}

NUMBERS = ("nan", "-1", "1e308", "9" * 5000, "", "x", "\x1b[31m")
TEXTS = ("", "\x1b[31mred", "a" * 10_000, "\udcff", "nan", "~nosuchuser/x", "\r\n")
TABLES = ("", "x", "{a = ", "[" * 5_000, "1", '{"\\ud800" = 1}', "{a = {b = nan}}")
PATHS = ("/dev/full", "words.csv", "st/data.json", "\udcff.html", "words.csv/x.html", ".html")

PLAN = ("plan", "words.csv", "-s", "majority")

# What each command starts from; the flag under test is added at the end.
COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "words.csv"),
    "plan": PLAN,
    "report": ("report", "st"),
    "export": ("export", "st", "new", "--candidate", "majority"),
    "predict": ("predict", "ex", "words.csv"),
    "score": ("score", "words.csv"),
}


def cases() -> Iterator[Case]:
    """Yield every case."""
    for name, content in FILES.items():
        given = f"./{name}" if name.startswith("-") else name
        command = ("plan", given, *PLAN[2:]) if len(content) > 1e6 else ("check", given, "--json")
        yield Case("files", ascii(name), command, (), {name: content})
    for name in ("utf16.csv", "broken.jsonl", "half.parquet"):
        command = ("predict", "ex", name, "-o", "new.csv")
        yield Case("files", f"predict {name}", command, (), {name: FILES[name]})
    for cell in TIMES:
        dated = [f"{text},{label},2024-01-{i + 1:02d}" for i, (text, label) in enumerate(ROWS)]
        content = "\n".join(["text,label,time", *dated, f'a,x,"{cell}"', ""]).encode()
        command = ("check", "a.csv", "--set", "time_column=time", "--json")
        yield Case("files", f"time {cell[:20]!a}", command, ("time",), {"a.csv": content})
    for device in DEVICES:
        yield Case("files", f"device {device}", ("plan", device, *PLAN[2:]))
        yield Case("study files", f"device {device}", (*PLAN, "-c", device))
    for name, content in STUDY_FILES.items():
        yield Case("study files", name, (*PLAN, "-c", "a.toml"), (), {"a.toml": content})
    yield from _target_cases()
    yield from _document_cases()
    yield from _flag_cases()
    yield from _answer_cases()


def _target_cases() -> Iterator[Case]:
    good: dict[str, Any] = {
        "extraction": {"day": "2025-01-01", "who": "Ann"},
        "writing": "Ann comes on that day",
        "answering": ["day 1", "the 1st"],
    }
    for name, (kind, target, says) in TARGETS.items():
        targets = [*[good[kind]] * 18, target]
        lines = [{"text": f"Ann {i} on {i}", "target": one} for i, one in enumerate(targets)]
        for line in lines[:18]:
            line["target"] = json.loads(json.dumps(good[kind]).replace("1", str(lines.index(line))))
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        command = ("check", "a.jsonl", "--kind", kind)
        yield Case("targets", name, command, (says,), {"a.jsonl": content})


def _document_cases() -> Iterator[Case]:
    pages = [{"id": f"d{i}", "text": f"Room {i} has {i + 50} seats."} for i in range(18)]
    written = "".join(json.dumps(page) + "\n" for page in pages).encode()

    def asked(first: object) -> bytes:
        rows = [
            {"question": f"Seats of room {i}?", "answers": [str(i + 50)], "evidence": f"d{i}"}
            for i in range(18)
        ]
        return "".join(
            json.dumps(r) + "\n" for r in [{**rows[0], "evidence": first}, *rows[1:]]
        ).encode()

    for name, inside in FOLDERS.items():
        files = {"asked.jsonl": asked("d0"), **{f"book/{n}": text for n, text in inside.items()}}
        yield Case("documents", name, ("check", "asked.jsonl", "--documents", "book"), (), files)
    for name, (cell, says) in CELLS.items():
        files = {"asked.jsonl": asked(cell), "pages.jsonl": written}
        command = ("check", "asked.jsonl", "--documents", "pages.jsonl", "--kind", "ranking")
        yield Case("documents", f"evidence {name}", command, (says,), files)


def _answer_cases() -> Iterator[Case]:
    """Files of answers alone, and beside a good one that they are joined to."""
    told = [f"{i},{text},{label},{label}" for i, (text, label) in enumerate(ROWS)]
    good = "\n".join(["id,text,label,gpt", *told, ""]).encode()
    for name, content in FILES.items():
        if len(content) < 1e6 and not name.startswith("-"):
            files = {"good.csv": good, name: content}
            yield Case("answers", ascii(name), ("score", name), (), files)
            command = ("score", "good.csv", "--answers", f"gpt,x={name}")
            yield Case("answers", f"beside {name!a}", command, (), files)


def _flag_cases() -> Iterator[Case]:
    root: Any = typer.main.get_command(app)
    tried: set[str] = set()
    values = {"int": cycle(NUMBERS), "float": cycle(NUMBERS), "Path": cycle(PATHS)}
    texts = cycle(TEXTS)
    for name, start in COMMANDS.items():
        for param in root.commands[name].params:
            long = max(param.opts, key=len)
            if param.param_type_name != "option" or param.name == "help" or long in tried:
                continue
            tried.add(long)
            kind = _type(param)
            value = "5" if param.is_flag else next(values.get(kind, texts))
            yield Case("flags", f"{name} {long} {value[:20]!a}", (*start, f"{long}={value}"))
    kinds = [("int", NUMBERS), ("float", NUMBERS), ("Mapping", TABLES), ("", TEXTS)]
    for key, section in keywords().items():
        wanted = str(fields_of(section).get(key))
        some = next(values for kind, values in kinds if kind in wanted)
        for value in {some[len(key) % len(some)], some[(len(key) + 3) % len(some)]}:
            yield Case("settings", f"{key}={value[:20]!a}", (*PLAN, "--set", f"{key}={value}"))


def _type(param: Any) -> str:
    """Return the name of the Python type of a flag; Typer keeps it in a descriptor."""
    annotation = param.type_descriptor.annotation
    inner = [part for part in get_args(annotation) if part is not type(None)]
    return getattr(inner[0] if inner else annotation, "__name__", "str")

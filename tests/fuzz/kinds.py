"""Malformed records, texts and answers, metrics of a user's own, and kinds that do not fit.

A new bad target is a row of `TARGETS`; a new metric is a function of `METRICS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fuzz.runner import Case

CHECK = ("check",)
QUICK = ("--no-forecast", "-s", "empty")


def lines(*targets: object, kind: str = "record", n: int = 18) -> bytes:
    """Return usable JSON Lines with rows of these targets at their end; a text is written as is."""
    good = [
        {
            "record": {"day": f"2025-01-{i + 1:02d}", "who": f"Ann {i}"},
            "text": f"Ann {i} comes on day {i}",
            "answer": [f"day {i}", f"the {i}th"],
        }[kind]
        for i in range(n)
    ]
    text, label = ("question", "answers") if kind == "answer" else ("text", "target")
    rows = [{text: f"Ann {i} on {i}", label: target} for i, target in enumerate([*good, *targets])]
    return "\n".join(map(json.dumps, rows)).encode("utf-8", "surrogatepass") + b"\n"


# By name: the targets of some rows, and texts of which a refusal must contain one.
TARGETS: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {
    "broken JSON": (('{"day": "2025',), ("Row 19",)),
    "half of a text": (("Ann",), ("Row 19",)),
    "a number": ((3,), ("Row 19",)),
    "nested": (({"who": {"name": "Ann"}},), ("Row 19",)),
    "a list of lists": (({"who": [["Ann"]]},), ("Row 19",)),
    "a list with null": (({"who": ["Ann", None]},), ("Row 19",)),
    "a field twice": (('{"who": "a", "who": "b"}',), ("Row 19",)),
    "NaN": (('{"who": NaN}',), ("Row 19",)),
    "deep": (("[" * 100_000,), ("Row 19",)),
    "deep object": (('{"a":' * 50_000,), ("Row 19",)),
    "digits": (('{"who": ' + "9" * 10_000 + "}",), ("Row 19",)),
    "empty record": (({},), ()),
    "null": ((None,), ()),
    "several right": ((({"who": "a"}), [{"who": "a"}, {"who": "b"}]), ()),
    "200 fields": (({f"f{i}": "x" for i in range(200)},), ()),
    "1,000 fields": (({f"f{i}": "x" for i in range(1_000)},), ("fields",)),
    "long value": (({"who": "x" * 10_000},), ()),
    "control characters": (({"who": "\x1b[31m\u202e", "\x1b[2J": "a"},), ()),
    "half a character": (({"who": "\ud800"},), ("character", "Row 19", "Line 19")),
    "empty name": (({"": "a"},), ()),
}

TEXTS: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {
    "empty text": (("",), ("Row 19", "row 19")),
    "blank text": ((" \n\t ",), ("Row 19", "row 19")),
    "null": ((None,), ("Row 19", "row 19")),
    "an object": (({"a": 1},), ("Row 19",)),
    "several right": ((["a right answer", "another right one"],), ()),
    "list of objects": (([{"a": 1}],), ("row 19",)),
    "long text": (("word " * 2_000,), ()),
    "control characters": (("\x1b[31m says so\u202e",), ()),
}

ANSWERS: dict[str, tuple[tuple[object, ...], tuple[str, ...]]] = {
    "empty text": (("",), ("Row 19", "row 19")),
    "blank text": ((" \n\t ",), ("Row 19", "row 19")),
    "blank texts": ((["", " "],), ("Row 19", "row 19")),
    "null": ((None,), ()),
    "no answer": (([], "no answer", "[]", {"text": [], "answer_start": []}), ()),
    "SQuAD": (({"text": ["day 1"], "answer_start": [3]}, [{"text": "day 1"}]), ()),
    "SQuAD without texts": (({"text": [{}], "answer_start": [3]},), ("Row 19",)),
    "an object": (({"a": 1},), ("Row 19",)),
    "list of lists": (([["day 1"]],), ("Row 19",)),
    "a list with null": ((["day 1", None],), ()),
    "1,000 accepted": (([f"day {i}" for i in range(1_000)],), ()),
    "deep": (("[" * 100_000,), ()),
    "broken JSON": (('["day',), ()),
    "a number": ((3,), ()),
    "long answer": (("word " * 5_000,), ()),
    "control characters": (("\x1b[31m says so\u202e",), ()),
    "half a character": (("\ud800",), ("character", "Row 19", "Line 19")),
}

METRICS = b"""
def good(output, targets): return 1.0
def raises(output, targets): raise ValueError("a\\nb \\x1b[31m")
def large(output, targets): return 3.2
def nan(output, targets): return float("nan")
def text(output, targets): return "0.5"
def nothing(output, targets): return None
def wrong(): return 1
def quits(output, targets): raise SystemExit(0)
value = 3
"""


def kind_cases() -> Iterator[Case]:
    for kind, table in (("record", TARGETS), ("text", TEXTS), ("answer", ANSWERS)):
        for name, (targets, names) in table.items():
            files = {"a.jsonl": lines(*targets, kind=kind)}
            yield Case("kinds", f"{kind}: {name}", (*CHECK, "a.jsonl"), names, files)
    records = {"a.jsonl": lines()}
    for stated in ("classification", "writing", "answering", "extract", "", "\x1b[31m"):
        yield Case(
            "kinds",
            f"--kind {stated!a}",
            (*CHECK, "a.jsonl", "--kind", stated),
            ("kind", "objects", "object"),
            records,
        )
    for column in ("text", "target", "absent", "", "\x1b[31m"):
        yield Case(
            "kinds",
            f"--field {column!a}",
            (*CHECK, "a.jsonl", "--field", column),
            ("field", "column", "--field"),
            records,
        )
    scored = {**records, "mine.py": METRICS}
    for function in (
        "good",
        "raises",
        "large",
        "nan",
        "text",
        "nothing",
        "wrong",
        "quits",
        "value",
        "absent",
    ):
        names = () if function == "good" else (f"mine:{function}",)
        yield Case(
            "kinds",
            f"--metric mine:{function}",
            ("plan", "a.jsonl", *QUICK, "--metric", f"mine:{function}"),
            names,
            scored,
        )
    for metric in (
        "balanced",
        "exact-match",
        "os:system",
        "absent:f",
        "a:b:c",
        ":",
        "",
        "\x1b[31m:f",
    ):
        yield Case(
            "kinds",
            f"--metric {metric!a}",
            ("plan", "a.jsonl", *QUICK, "--metric", metric),
            ("metric",),
            scored,
        )

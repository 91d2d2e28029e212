"""The page in three screens: answer, labels to check, evidence; nothing occurs there twice."""

import re
import shlex
from html import unescape

import pytest

from choose.formatting import MINUS
from choose.judge.verdict import judge
from choose.report import words
from choose.report.blocks import (
    PRICES,
    Table,
    candidates,
    contending,
    labels,
    learning_curve,
    titles,
)
from choose.report.html.drawings import draw_bar, draw_chart, nice_ticks
from choose.report.write import render_markdown
from choose.schema.base import Command
from choose.schema.candidate_scorecard import ComparedRow, GivenAnswer
from choose.schema.decision import Decision, Step
from choose.schema.diagnosis import Audit, WeakAuditor
from choose.stats import Estimate
from support import decisions
from support.commands import run_command
from support.html import page_of, parsed
from support.simulated_studies import rule, world


def answered(**facts: object) -> Decision:
    return decisions.answered().model_copy(update=facts)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_first_screen_answers_the_title_and_says_why_and_what_to_do() -> None:
    command = Command(verb="compare", study="st", options={"seeds": "2"})
    step = Step(kind="add-candidate", code="add", names=("c",), command=command)
    stepped = decisions.changed(answered(), steps=(step,) * 5)
    page = page_of(stepped)
    (title,) = re.findall(r"<h1[^>]*>(.*?)</h1>", page)
    assert title == words.answer(stepped).replace(" %", "&nbsp;%")
    first = page[page.index('id="decision"') : page.index('id="labels"')]
    said = text_of(first)
    places = [said.index(part) for part in ("78 % sure", "points against probe", "Do next")]
    assert places == sorted(places)
    assert "choose continue st --seeds 2" in said
    assert first.index('class="bar"') < first.index("Do next")
    assert "<details><summary>2 more steps</summary>" in first


def test_everything_else_is_folded_without_a_script_and_said_once() -> None:
    page = page_of(answered())
    tags = parsed(page).seen
    assert [a["id"] for tag, a in tags if tag == "section"] == [
        *("decision", "see", "labels", "money", "evidence")
    ]
    assert not [a for tag, a in tags if tag == "details" and "open" in a]
    assert not [tag for tag, _ in tags if tag == "script"]
    assert sum(tag == "details" for tag, _ in tags) > 8
    assert page.count("Add prices to see dollars") == 1
    assert "$ a year" not in page
    assert not re.search(r"Not measured:[^<]*\$ per 1,000", page)


def test_names_are_readable_and_fewer_rows_are_marked() -> None:
    """D9: a candidate that answered 121 of 602 rows stood second without a mark."""
    decision = answered()
    assert titles(decision)["tfidf"] == "words + logistic regression (tfidf)"
    table, *_ = candidates(decision)
    names = [card.candidate for card in decision.scorecards]
    cells = {name: row[1:] for name, row in zip(names, table.rows, strict=True)}
    assert "242 of 602" in cells["lora"]
    assert f"+0.4 ({MINUS}7.6 to +8.4)" in cells["lora"]
    assert table.mark == "embeddings + logistic regression (probe)"
    assert "Hollow: compared on fewer rows." in table.drawn
    hollow = [n for n, bar in zip(names, table.bars, strict=True) if "paper" in draw_bar(bar)]
    assert hollow == ["lora"]
    assert {row[-1] for row in cells.values()} == {"open", "use for now", "behind", "reference"}


@pytest.mark.parametrize("form", [render_markdown, page_of])
def test_u7_a_pair_has_one_range_on_a_page(form):
    """One pair had four ranges, and two of them contradicted each other."""
    assert re.findall(r"\+0\.4 \([^)]*\)", form(answered())) == [f"+0.4 ({MINUS}7.6 to +8.4)"] * 2
    assert "Not measured: fine-tuning (23 % chance)." in form(decisions.decision("incomplete"))


def test_rows_are_marked_where_every_candidate_answered_a_part() -> None:
    """The chart said "290" of 1,451 rows: all candidates had answered the same part."""
    few = tuple(c.model_copy(update={"common": 121, "rows": 121}) for c in answered().scorecards)
    table, *_ = candidates(answered(scorecards=few))
    assert all("121 of 602" in row for row in table.rows)
    assert "Hollow" not in table.drawn


def test_bars_span_the_contenders_and_the_rest_is_an_arrow_at_their_edge() -> None:
    decision = answered()
    near = ["lora", "probe", "tfidf", "retrieval"]
    assert contending(decision) == near
    table, *_ = candidates(decision)
    names = [card.candidate for card in decision.scorecards]
    bars = {name: draw_bar(bar) for name, bar in zip(names, table.bars, strict=True)}
    assert [name for name, bar in bars.items() if "<circle" not in bar] == ["prompt", "majority"]
    places = [float(x) for bar in bars.values() for x in re.findall(r'cx="([\d.]+)"', bar)]
    assert all(0 < place < 240 for place in places)
    assert f"from {MINUS}17 to +8" in table.drawn
    assert {*next(learning_curve(decision)).lines} <= {*near}


def test_lines_differ_in_colour_and_dash_and_have_their_name_at_the_end() -> None:
    wide, narrow = draw_chart(next(learning_curve(decisions.answered()))).split("</svg>")[:2]
    for drawing in (wide, narrow):
        lines = re.findall(
            r'<polyline [^>]*stroke="(#\w+)"[^>]*stroke-dasharray="([^"]+)"', drawing
        )
        assert (
            len({colour for colour, _ in lines}) == len({dash for _, dash in lines}) == len(lines)
        )
        for name in ("probe", "tfidf", "lora"):
            assert f'text-anchor="start">{name}</text>' in drawing


def test_ticks_are_round() -> None:
    assert nice_ticks(52.3, 90.1) == [60.0, 70.0, 80.0, 90.0]
    assert nice_ticks(81.2, 83.4) == [81.5, 82.0, 82.5, 83.0]


def test_the_labels_to_check_are_one_list() -> None:
    """Nine of the fifteen rows that all get wrong stood in the list of doubted labels already."""
    decision = decisions.audited()
    doubted, missed = [one for one in labels(decision, {}) if isinstance(one, Table)][:2]
    ids = {row[0] for row in doubted.rows}
    assert len(ids) == 20
    assert ids & {row.id for row in decision.overlap.doubtful}
    assert not ids & {row[0] for row in missed.rows}
    page = page_of(decision)
    assert page.index('id="labels"') < page.index('id="evidence"')
    # What candidates agree on is no suggestion: the audit doubts none of these labels.
    missed = page[page.index("Wrong in all, and not among") :]
    assert "most answer" in missed
    assert "suggested label" not in missed


def test_an_auditor_that_cannot_know_leaves_no_list_but_its_reason() -> None:
    weak = WeakAuditor(by_chance=0.4, needed=0.8)
    silent = Audit(auditors=("tfidf",), rows=60, accuracy=Estimate(value=0.52), weak=weak)
    section = text_of(page_of(answered(audit=silent)))
    assert "tfidf predicts 52 % of 60 labels" in section
    assert "most doubted" not in section


def test_rows_where_the_contenders_differ_are_shown_escaped_and_cut() -> None:
    said = {"T1": ("a", "<b>b</b>"), "T2": (None, "a"), "T3": ("a", "b")}
    found = tuple(
        ComparedRow(
            id=id,
            target="a",
            answers=tuple(
                GivenAnswer(candidate=name, output=given, score=0.0)
                for name, given in zip(("probe", "tfidf"), both, strict=True)
            ),
        )
        for id, both in said.items()
    )
    texts = {"T1": "<script>x</script>" + "y" * 900, "T2": "second", "T3": "third"}
    page = page_of(answered(side_by_side=found), texts)
    assert "tfidf says" in text_of(page)
    assert "no usable answer" in text_of(page)
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "y" * 301 not in page


def test_money_time_and_data_say_where_texts_go_and_how_to_see_dollars() -> None:
    assert words.data_risk(decisions.served()) == "prompt sends every text to api.example.com."
    assert words.typed(PRICES) in unescape(page_of(answered()))
    typed = shlex.split(words.typed(PRICES))
    known = run_command(typed[1], "--help-all").out
    assert all(flag in known for flag in typed if flag.startswith("--"))


@pytest.fixture(scope="module")
def priced() -> Decision:
    return judge(world(0.86, 0.8, rows=900), rule())


def test_a_report_with_dollars_does_not_ask_for_prices(priced: Decision) -> None:
    """Bought answers have dollars, and no training that was paid for."""
    cards = [
        card.model_copy(update={"cost": card.cost.model_copy(update={"training_usd": None})})
        for card in priced.scorecards
    ]
    bought = priced.model_copy(update={"scorecards": tuple(cards)})
    assert "Add prices" not in render_markdown(bought)


def test_where_texts_of_given_answers_went_is_not_known(priced: Decision) -> None:
    """All candidates "ran on this machine" where gpt-4o's answers were given."""
    first, *others = priced.scorecards
    given = first.model_copy(update={"strategy": "given"})
    found = priced.model_copy(update={"scorecards": (given, *others)})
    assert words.data_risk(found) == f"Where the texts of {given.candidate} went is not known."
    assert words.where(given) == "not known (answers were given)"
    assert "no text left it" in words.data_risk(priced)

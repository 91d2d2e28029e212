"""What candidates that read documents lose: the same on the page and in Markdown."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest

from choose.formatting import MINUS
from choose.report.markdown import render_markdown
from choose.report.text_answers import (
    answer_parts,
    loss_steps,
    notes_on_reading,
    reading_notes,
    reading_tables,
    tables_on_reading,
)
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.diagnosis import LossSplit
from support import decisions
from support.html import page_of


def with_splits(*splits: LossSplit) -> Decision:
    return decisions.reading().model_copy(update={"loss_splits": splits})


def words(text: str) -> str:
    """Return the text alone: no tags, no escapes, single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", text).replace("\\", "").split())


def cells(decision: Decision) -> Sequence[str]:
    tables = [part for part in tables_on_reading(decision) if part.heads[-1] != "details"]
    return [cell for part in tables for row in part.rows for cell in row]


@pytest.mark.parametrize("render", [page_of, render_markdown], ids=["page", "Markdown"])
def test_every_form_has_every_row(render) -> None:
    decision = decisions.reading()
    said = words(render(decision))
    assert len(cells(decision)) == 80
    for cell in cells(decision):
        assert cell in said, cell
    for sentence in notes_on_reading(decision):
        assert sentence.replace("'", "&#39;") in said or sentence in said


def test_the_chosen_candidate_comes_first_and_the_best_of_the_others_next() -> None:
    decision = decisions.reading()
    first, losses = list(reading_tables(decision))[:2]
    assert first.titled == "From what is reached to every answer right: rag"
    assert [row[0] for row in losses.rows] == ["rag", "lora-rag"]
    verdict = decision.verdict.model_copy(update={"use_meanwhile": "sentence"})
    other = decision.model_copy(update={"verdict": verdict})
    assert [row[0] for row in list(reading_tables(other))[1].rows] == ["lora-rag", "rag"]


def test_the_steps_lead_from_what_is_reached_to_100() -> None:
    steps = loss_steps(decisions.loss_split())
    assert [step.name for step in steps] == [
        *("as written", "+ format", "reached", "+ retrieval", "+ other passages", "+ reading"),
        *("ceiling", "+ labels in doubt", "all right"),
    ]
    for below, above in pairwise(steps):
        assert (above.start if above.is_loss else above.end) == pytest.approx(below.end)
    assert (steps[-1].start, steps[-1].end) == (0.0, 1.0)


def test_only_a_loss_whose_whole_interval_is_above_0_is_shown() -> None:
    """A loss that may be none, and one that is negative, are no sure losses in any form."""
    sure = {step.name: step.shown for step in loss_steps(decisions.loss_split())}
    assert sure == {
        "as written": None,
        "+ format": True,
        "reached": None,
        "+ retrieval": False,  # 3.9 (-0.5 to 8.3)
        "+ other passages": False,  # negative
        "+ reading": True,
        "ceiling": None,
        "+ labels in doubt": True,
        "all right": None,
    }
    [table] = [part for part in reading_tables(decisions.reading()) if part.about]
    assert [row[3] for row in table.rows] == [
        *("\u2013", "yes", "\u2013", "no", "no", "yes", "\u2013", "yes", "\u2013")
    ]


def test_what_was_not_measured_is_a_dash_and_no_interval_shows_nothing() -> None:
    gap = decisions.loss("retrieval", 0.2, 0.05, 0.9)
    bare = gap.model_copy(update={"loss": Interval(value=0.2)})
    split = decisions.loss_split()
    gaps = tuple(bare if g.name == "retrieval" else g for g in split.gaps)
    decision = with_splits(split.model_copy(update={"gaps": gaps, "found": None}))
    tables = list(reading_tables(decision))
    assert len(tables) == 2  # of one candidate, without retrieved passages
    assert tables[0].rows[3] == ["+ retrieval", "+20.0", "90", "\u2013"]


@pytest.mark.parametrize("render", [page_of, render_markdown], ids=["page", "Markdown"])
def test_no_fix_and_one_passage_are_said_and_are_no_figures(render) -> None:
    tuned = decisions.reading().loss_splits[0]
    decision = with_splits(tuned)
    steps = {step.name: step for step in loss_steps(tuned)}
    assert (steps["+ format"].start, steps["+ format"].end) == (0.436, 0.436)
    assert steps["+ other passages"].start == steps["+ other passages"].end
    lost = sum(step.end - step.start for step in steps.values() if step.is_loss)
    assert steps["reached"].end + lost == pytest.approx(1)
    assert {"ceiling", "+ labels in doubt", "as written"}.isdisjoint(steps)
    said = words(render(decision))
    for part in ("0.0, answers unchanged", "not measured"):
        assert part in said, part
    assert "+0.0" not in said


def test_the_best_of_the_other_readers_is_told() -> None:
    said = list(reading_notes(decisions.reading()))
    told = "lora-rag scores 11.3 points higher than rag (+5.0 to +17.6)."
    assert f"Best of the other candidates with the right passage, on common rows: {told}" in said
    older = decisions.loss_split(best_reader=None, reader_gain=None)
    assert "other candidates with" not in " ".join(reading_notes(with_splits(older)))


def test_shortened_answers_are_told_with_what_is_sure() -> None:
    sure = " ".join(reading_notes(decisions.reading()))
    assert "by +14.2 points (+10.1 to +18.3), which its scores include." in sure
    open_ = Interval(value=0.01, low=-0.02, high=0.04)
    split = decisions.loss_split(shortened=open_)
    said = " ".join(reading_notes(with_splits(split)))
    assert f"by +1.0 points ({MINUS}2.0 to +4.0), which may be chance." in said
    split = decisions.loss_split(shortened=None)
    assert "words of the question" not in " ".join(reading_notes(with_splits(split)))


def test_studies_without_documents_have_no_such_section() -> None:
    decision = decisions.decision()
    assert 'id="reading"' not in page_of(decision)
    assert "About these figures" not in render_markdown(decision)


def test_an_answer_that_shares_little_with_the_right_one_is_shown_as_it_is() -> None:
    """A copied dialogue beside a note was words struck through and underlined in turn."""
    decision = decisions.reading()
    assert answer_parts(decision, "in May 1912", "by ship, from Cork") == [
        ("by ship, from Cork", "same")
    ]
    assert answer_parts(decision, "in May 1912", "in May 1913") == [
        ("in May ", "same"), ("1912", "missing"), ("1913", "added"),
    ]  # fmt: skip

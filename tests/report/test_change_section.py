"""The section on a changing world: figures of the record, and nothing that was not measured."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from choose.formatting import MINUS
from choose.report.terminal.decision_page import render_full
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import CoveragePoint, NewClass, NewClassPoint, NoiseKindPoint, Origin
from support.decisions import HOSTILE, bare, decision


def shown(what: Decision, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width, height=500)
    console.print(render_full(what))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def interval(value: float) -> Interval:
    return Interval(value=value, low=value - 0.02, high=value + 0.02)


def changing(label: str) -> Decision:
    base = decision()
    card = next(c for c in base.scorecards if c.candidate == "probe")
    point = NewClassPoint(
        examples=5, recall=interval(0.613), recall_rows=40, loss=interval(0.017), fit_seconds=0.31
    )
    origin = Origin(
        cut=0.5,
        rows=60,
        labels=300,
        past=interval(0.6),
        any_time=interval(0.7),
        drop=interval(0.1),
    )
    stability = card.stability.model_copy(
        update={
            "temporal_drop": interval(0.083),
            "origins": (origin,),
            "new_class": NewClass(label=label, points=(point,)),
        }
    )
    noise = card.noise.model_copy(
        update={
            "kinds": (
                NoiseKindPoint(
                    kind="confused-pair", rate=0.2, accuracy=interval(0.7), loss=interval(0.123)
                ),
            )
        }
    )
    full = card.model_copy(
        update={
            "stability": stability,
            "noise": noise,
            "selective": (CoveragePoint(coverage=0.8, accuracy=interval(0.957)),),
            "out_of_scope_recall": 0.444,
        }
    )
    cards = tuple(full if c is card else c for c in base.scorecards)
    return base.model_copy(update={"scorecards": cards})


def test_every_figure_that_was_measured_is_shown() -> None:
    text = shown(changing("frontdesk"))
    assert "Changing data" in text
    # A loss is a change with a minus sign.
    losses = (f"{MINUS}8.3 ({MINUS}10.3 to {MINUS}6.3)", f"{MINUS}1.7", f"{MINUS}12.3")
    for figure in (*losses, "61.3", "95.7", "44.4", "frontdesk"):
        assert figure in text
    assert "+8.3" not in text, "what is lost has a minus sign everywhere"
    assert "5 rows" in text
    assert "20 rows" not in text


def test_nothing_is_said_where_nothing_was_measured() -> None:
    assert "Changing data" not in shown(bare())
    assert "Changing data" not in shown(decision())


def test_a_label_from_the_data_cannot_write_to_the_terminal() -> None:
    text = shown(changing(HOSTILE), width=80)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "The new label is [bold red]x[/]" in text


def test_old_records_still_load_and_new_ones_come_back() -> None:
    new = changing("frontdesk")
    assert Decision.model_validate_json(new.model_dump_json(by_alias=True)) == new
    old = decision().model_dump(mode="json", by_alias=True)
    for card in old["scorecards"]:
        for part, names in (("stability", ("origins", "new_class")), ("noise", ("kinds",))):
            for name in names:
                del card[part][name]
        del card["selective"]
    base = decision()
    cards = tuple(
        c.model_copy(update={"noise": c.noise.model_copy(update={"kinds": ()})})
        for c in base.scorecards
    )
    loaded = Decision.model_validate(old)
    assert loaded == base.model_copy(update={"scorecards": cards})
    assert shown(loaded)

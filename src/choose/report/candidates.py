"""The table of candidates: what each got right, drawn on one axis, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from choose.judge.record import Decision, Scorecard
from choose.report.asked import WARNING, uneven
from choose.report.bars import Axis, Band, Scale, axis_for
from choose.report.layout import Column, note, section, sheet
from choose.report.safe import clean, literal, shorten
from choose.report.words import DASH, figure, percent, quantity, short_models, span

ONE_TABLE = 132
NARROW = 72
NAME = 24


@dataclass(frozen=True)
class Field:
    """The candidates of a decision, the most accurate first and the failed last."""

    decision: Decision
    shown: Callable[[Scorecard], bool] = lambda card: card.accuracy is not None

    @property
    def cards(self) -> list[Scorecard]:
        """Return the scorecards to show."""
        cards = filter(self.shown, self.decision.scorecards)
        return sorted(cards, key=lambda card: -card.accuracy.value if card.accuracy else 1.0)

    def style(self, card: Scorecard) -> str:
        """Return how a candidate's row is set off."""
        return "bold green" if card.candidate == self.decision.verdict.recommended else ""

    def names(self) -> Column:
        """Return the column of names, with a mark before the one to use."""
        return Column("  candidate", [self._name(card) for card in self.cards], figures=False)

    def column(self, head: str, cell: Callable[[Scorecard], str], figures: bool = True) -> Column:
        """Return a column with a cell for each candidate."""
        return Column(
            head,
            [literal(shorten(clean(cell(card)), NAME), self.style(card)) for card in self.cards],
            figures=figures,
        )

    def _name(self, card: Scorecard) -> Text:
        verdict = self.decision.verdict
        mark = " "
        if card.candidate == (verdict.recommended or verdict.use_meanwhile):
            mark = "▶" if verdict.recommended else "▷"
        return Text(f"{mark} {shorten(clean(card.candidate), NAME)}", style=self.style(card))


def candidates(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on the candidates: one table, or two where one would not fit."""
    field = Field(decision, lambda _: True)
    axis = axis_for((card.accuracy for card in field.cards), quantity(decision.goal, "target"))
    names, measured, facts = field.names(), _measured(field, axis, width), _facts(field)
    if width >= ONE_TABLE:
        tables = [*sheet([names, *facts[:2], *measured, *facts[2:]], width)]
    else:
        tables = [*sheet([names, *measured], width), Text(), *sheet([names, *facts], width)]
    yield section("Candidates", *tables, Text(), *_legend(decision, axis), *_failures(field))


def _measured(field: Field, axis: Axis, width: int) -> list[Column]:
    columns = [
        *_rows(field),
        field.column(
            "right\nof 100", lambda card: percent(card.accuracy.value) if card.accuracy else DASH
        ),
        field.column("95 %\ninterval", lambda card: span(card.accuracy)),
        Column(Scale(axis), _bands(field, axis), figures=False, drawn=True),
    ]
    return columns if width >= NARROW else [c for c in columns if c is not columns[-2]]


def _rows(field: Field) -> list[Column]:
    """Return the column of rows asked, where candidates answered different ones."""
    if not uneven(field.decision):
        return []
    return [field.column("asked\nrows", lambda card: str(card.rows) if card.rows else DASH)]


def _bands(field: Field, axis: Axis) -> list[RenderableType]:
    return [Band(axis, card.accuracy, field.style(card) or "cyan") for card in field.cards]


def _facts(field: Field) -> list[Column]:
    models = short_models(card.model for card in field.cards)
    column = field.column
    facts = [
        column("family", lambda card: card.family, figures=False),
        column("model", lambda card: models[card.model], figures=False),
        column("macro\nF1", lambda card: percent(card.macro_f1.value) if card.macro_f1 else DASH),
        column("seeds", lambda card: str(card.repetitions) if card.repetitions else DASH),
        column("ms per\nitem", lambda card: figure(card.cost.ms_per_item)),
        column("fit\nseconds", lambda card: figure(card.cost.fit_seconds)),
    ]
    if any(card.cost.usd_per_1k is not None for card in field.cards):
        facts.append(column("$ per\n1,000", lambda card: figure(card.cost.usd_per_1k)))
    if any(card.format_valid is not None and card.format_valid < 1 for card in field.cards):
        facts.append(column("usable\nof 100", lambda card: percent(card.format_valid)))
    return facts


def _legend(decision: Decision, axis: Axis) -> Iterator[RenderableType]:
    verdict = decision.verdict
    marks = ["▶ recommended" if verdict.recommended else "▷ use meanwhile", "├─●─┤ 95 % interval"]
    known = [card.accuracy for card in decision.scorecards if card.accuracy]
    if axis.target is not None:
        marks.append("┊ target")
    if any(accuracy.value < axis.low for accuracy in known):
        marks.append("◂ further left")
    yield note("  ".join([*marks, f"{DASH} not measured"]))
    if uneven(decision):
        yield note(WARNING)
    estimands = {clean(accuracy.estimand) for accuracy in known if accuracy.estimand}
    if estimands:
        yield note(f"Each interval is about: {'; '.join(sorted(estimands))}.")


def _failures(field: Field) -> Iterator[RenderableType]:
    for card in field.cards:
        for error in card.errors:
            yield literal(f"{shorten(clean(card.candidate), NAME)} failed: {clean(error)}", "red")

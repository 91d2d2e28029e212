"""The table of candidates: what each got right, drawn on one axis, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from choose.judge.record import Decision, Scorecard
from choose.report.bars import Band, Scale, axis_for
from choose.report.layout import Column, note, section, table
from choose.report.safe import clean, literal, shorten
from choose.report.words import DASH, figure, percent, short_models, span

ONE_TABLE = 130
NARROW = 72
NAME = 44

Cells = Callable[[Scorecard], RenderableType]


@dataclass(frozen=True)
class Field:
    """The candidates of a decision, the most accurate first, as they are shown."""

    decision: Decision

    @property
    def cards(self) -> list[Scorecard]:
        """Return the scorecards, the most accurate first and the failed last."""
        return sorted(self.decision.scorecards, reverse=True,
                      key=lambda card: card.accuracy.value if card.accuracy else -1.0)

    def style(self, card: Scorecard) -> str:
        """Return how a candidate's row is set off."""
        return "bold green" if card.candidate == self.decision.verdict.recommended else ""

    def name(self, card: Scorecard) -> Text:
        """Return a candidate's name behind the mark of the recommended one."""
        verdict = self.decision.verdict
        mark = "▶ " if card.candidate == verdict.recommended else "  "
        if verdict.recommended is None and card.candidate == verdict.use_meanwhile:
            mark = "• "
        return Text(mark + shorten(clean(card.candidate), NAME), style=self.style(card))


def candidates(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on the candidates: one table, or two where one would not fit."""
    field = Field(decision)
    measured, facts = _measured(field, width), _facts(field)
    if width >= ONE_TABLE:
        tables: list[RenderableType] = [_lay(field, [*measured[:1], *facts[:2], *measured[1:],
                                                     *facts[2:]])]
    else:
        tables = [_lay(field, measured), Text(), _lay(field, [measured[0], *facts])]
    yield section("Candidates", note(_legend(decision)), Text(), *tables, *_failures(field))


def _lay(field: Field, columns: list[tuple[Column, Cells]]) -> RenderableType:
    rows = [[cell(card) for _, cell in columns] for card in field.cards]
    return table([column for column, _ in columns], rows)


def _measured(field: Field, width: int) -> list[tuple[Column, Cells]]:
    goal = field.decision.goal.get("target")
    target = goal if isinstance(goal, float) else None
    axis = axis_for((card.accuracy for card in field.cards), target)
    columns: list[tuple[Column, Cells]] = [
        (Column("candidate", figures=False), field.name),
        (Column("right\nof 100"), lambda card: Text(
            percent(card.accuracy.value) if card.accuracy else DASH, style=field.style(card))),
        (Column("95 %\ninterval"), lambda card: Text(span(card.accuracy))),
        (Column(Scale(axis), figures=False, wide=True), lambda card: Band(
            axis, card.accuracy, field.style(card) or "cyan")),
    ]
    return columns if width >= NARROW else [*columns[:2], columns[3]]


def _facts(field: Field) -> list[tuple[Column, Cells]]:
    models = short_models(card.model for card in field.cards)
    columns: list[tuple[Column, Cells]] = [
        (Column("family", figures=False), lambda card: literal(shorten(card.family, NAME))),
        (Column("model", figures=False), lambda card: literal(shorten(models[card.model], NAME))),
        (Column("macro\nF1"), lambda card: Text(
            percent(card.macro_f1.value) if card.macro_f1 else DASH)),
        (Column("seeds"), lambda card: Text(str(card.repetitions) if card.repetitions else DASH)),
        (Column("ms per\nitem"), lambda card: Text(figure(card.cost.ms_per_item))),
        (Column("fit\nseconds"), lambda card: Text(figure(card.cost.fit_seconds))),
    ]
    if any(card.cost.usd_per_1k is not None for card in field.cards):
        columns.append((Column("$ per\n1,000"), lambda card: Text(figure(card.cost.usd_per_1k))))
    if any((card.format_valid or 1.0) < 1 or card.format_valid == 0 for card in field.cards):
        columns.append((Column("usable\nof 100"), lambda card: Text(percent(card.format_valid))))
    return columns


def _legend(decision: Decision) -> str:
    verdict = decision.verdict
    estimands = {clean(card.accuracy.estimand) for card in decision.scorecards
                 if card.accuracy and card.accuracy.estimand}
    marks = "▶ recommended" if verdict.recommended else "• use meanwhile"
    parts = [f"{marks}; ├─●─┤ accuracy with its 95 % interval"]
    if estimands:
        parts.append(f"intervals are about {' / '.join(sorted(estimands))}")
    if isinstance(decision.goal.get("target"), float):
        parts.append("┊ target")
    return "; ".join([*parts, f"{DASH} not measured"])


def _failures(field: Field) -> Iterator[RenderableType]:
    for card in field.cards:
        for error in card.errors:
            yield literal(f"{shorten(clean(card.candidate), NAME)} failed: {error}", style="red")

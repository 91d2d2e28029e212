"""What candidates take and cost, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.judge.record import Decision
from choose.report import money
from choose.report.candidates import Field
from choose.report.layout import Column, bullets, note, section, sheet
from choose.report.safe import clean, literal
from choose.report.words import figure


def costs(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield what each candidate takes, what it costs in all, and when a dearer one pays."""
    field = Field(decision)
    parts: list[RenderableType] = [*sheet([field.names(), *_taken(field)], width)]
    if money.totals(decision):
        parts += [Text(), *sheet([field.names(), *_priced(field)], width)]
    said = [*money.breakevens(decision), *money.shelf_life(decision), *money.serving(decision)]
    parts += [bullets(said)] if said else []
    if rows := money.moves(decision):
        parts += [Text(), *sheet(_moves(rows), width)]
    parts += [note(sentence) for sentence in money.notes(decision)]
    machine = ", ".join(
        f"{clean(k)} {clean(v)}"
        for k, v in decision.machine.items()
        if isinstance(v, str | int | float)
    )
    parts += [note(f"Measured on: {machine}.")] if machine else []
    yield section("What it costs", *parts)


def _taken(field: Field) -> list[Column]:
    column = field.column
    return [
        column("fit\nseconds", lambda card: figure(card.cost.fit_seconds)),
        column("seconds after a\nchanged label", lambda card: figure(card.cost.turnaround_seconds)),
        column("ms per\nitem", lambda card: figure(card.cost.ms_per_item)),
        column("tokens in\nper item", lambda card: figure(card.cost.tokens_in)),
        column("tokens out\nper item", lambda card: figure(card.cost.tokens_out)),
        column("$ per\n1,000", lambda card: figure(card.cost.usd_per_1k)),
        column("MB to\nkeep", lambda card: figure(card.cost.artefact_mb)),
    ]


def _priced(field: Field) -> list[Column]:
    column = field.column
    return [
        column("engineer\nhours", lambda card: figure(card.cost.engineer_hours)),
        column("labelling\nhours", lambda card: figure(card.cost.labelling_hours)),
        column("$ to\nbuild", lambda card: figure(card.cost.build_usd)),
        column("$ a\nrefresh", lambda card: figure(card.cost.refresh_usd)),
        column("$ in\nall", lambda card: figure(card.cost.total_usd)),
        column("retires", lambda card: card.cost.retires or money.NO_DATE, figures=False),
    ]


def _moves(rows: list[list[str]]) -> list[Column]:
    heads = ["\n".join(head.rsplit(" ", 1)) for head in money.MOVE_HEADS]
    return [
        Column(head, [literal(row[i]) for row in rows], figures=i > 0)
        for i, head in enumerate(heads)
    ]

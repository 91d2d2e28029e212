"""What would be sent to endpoints, to be confirmed, and what has been, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Protocol

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import clean, compact, dollars, duration, figure, plural
from choose.report.cost_notes import (
    MOVE_HEADS,
    NO_DATE,
    breakevens,
    moves,
    notes,
    serving,
    shelf_life,
    totals,
)
from choose.report.format import literal
from choose.report.terminal.candidate_table import Field
from choose.report.terminal.layout import Column, bullets, note, section, sheet
from choose.schema.decision import Decision
from choose.schema.plan import Bill, Spending


def costs(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield what each candidate takes, what it costs in all, and when a dearer one pays."""
    field = Field(decision)
    parts: list[RenderableType] = [*sheet([field.names(), *_taken(field)], width)]
    if totals(decision):
        parts += [Text(), *sheet([field.names(), *_priced(field)], width)]
    said = [*breakevens(decision), *shelf_life(decision), *serving(decision)]
    parts += [bullets(said)] if said else []
    if rows := moves(decision):
        parts += [Text(), *sheet(_moves(rows), width)]
    parts += [note(sentence) for sentence in notes(decision)]
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
        column("retires", lambda card: card.cost.retires or NO_DATE, figures=False),
    ]


def _moves(rows: list[list[str]]) -> list[Column]:
    heads = ["\n".join(head.rsplit(" ", 1)) for head in MOVE_HEADS]
    return [
        Column(head, [literal(row[i]) for row in rows], figures=i > 0)
        for i, head in enumerate(heads)
    ]


class Counted(Protocol):
    """The counts of a ledger."""

    limit: float | None
    spent: float
    maybe_billed: float
    requests: int
    read: int
    cached: int
    written: int
    unpriced: bool


class Sent(Protocol):
    """Requests as they stand."""

    @property
    def planned(self) -> int:
        """Return how many are forecast at most."""

    @property
    def ledger(self) -> Counted:
        """Return the counts."""

    @property
    def reused(self) -> int:
        """Return how many answers had been paid for before."""

    @property
    def retried(self) -> int:
        """Return how many requests were put again."""


def plan_lines(spending: Spending) -> Iterator[str]:
    """Yield the plan that is confirmed before the first request."""
    for bill in spending.bills:
        yield _bill(bill)
    if len(spending.bills) > 1:
        yield f"All together: {_price(spending.usd, len(spending.bills))}."
    if spending.limit is not None:
        yield (
            f"No more than {dollars(spending.limit)} is spent: the highest possible price of each "
            "request is reserved before it is sent."
        )
    if spending.hints:
        found = ", ".join(f"{kind} in {plural(n, 'row')}" for kind, n in spending.hints.items())
        yield f"In what is sent, something looks like: {found}."
    elif spending.bills:
        yield "Nothing in what is sent looks like an e-mail address, a number of a person or a key."


def sending_record(spending: Spending) -> dict[str, Any] | None:
    """Return the same for a program; None where nothing would be sent."""
    if not spending.bills:
        return None
    return {
        "endpoints": [asdict(bill) for bill in spending.bills],
        "usd": spending.usd,
        "max_usd": spending.limit,
        "personal_data_hints": dict(spending.hints),
    }


def _bill(bill: Bill) -> str:
    stays = " (this machine)" if bill.here else ""
    return (
        f"{clean(bill.name)}: up to {plural(bill.requests, 'request')} to {clean(bill.host)}"
        f"{stays} for {clean(bill.model)}, about {compact(bill.read)} tokens in and "
        f"{compact(bill.written)} "
        f"out, {_price(bill.usd, 1)}; {plural(bill.rows, 'row')} of the data, for "
        f"{clean(', '.join(bill.candidates))}."
    )


def _price(usd: float | None, bills: int) -> str:
    if usd is None:
        why = "it has no prices" if bills == 1 else "not all of them have prices"
        return f"dollars unknown, since {why}"
    return f"about {dollars(usd)} and hidden reasoning on top, if the model reasons"


def traffic_line(sent: Sent, seconds: float) -> str:
    """Return one line on requests, tokens, dollars and the time left."""
    ledger = sent.ledger
    parts = [f"{ledger.requests:,} of up to {sent.planned:,} requests"]
    parts.append(f"{compact(ledger.read)} tokens in, {compact(ledger.written)} out")
    parts.append(spent(ledger))
    done = ledger.requests + sent.reused
    if ledger.requests >= 5 and sent.planned > done and seconds > 0:
        left = (sent.planned - done) * seconds / ledger.requests
        parts.append(f"at most {duration(left)} left")
    return " · ".join(parts)


def spent(ledger: Counted) -> str:
    """Return the dollars spent, or that they are not known."""
    if ledger.unpriced:
        return "dollars unknown"
    of = f" of {dollars(ledger.limit)}" if ledger.limit is not None else ""
    more = (
        f" (up to {dollars(ledger.maybe_billed)} more for failed requests)"
        if ledger.maybe_billed
        else ""
    )
    return f"{dollars(ledger.spent)}{of}{more}"


def traffic_summary(sent: Sent) -> str:
    """Return what was sent in all, as a sentence."""
    ledger = sent.ledger
    again = f", {plural(sent.retried, 'request')} put again" if sent.retried else ""
    before = f"; {plural(sent.reused, 'answer')} had been paid for before" if sent.reused else ""
    cached = f" ({compact(ledger.cached)} cached)" if ledger.cached else ""
    return (
        f"Endpoints: {plural(ledger.requests, 'request')}{again}, {compact(ledger.read)} tokens "
        f"in{cached}, {compact(ledger.written)} out, {spent(ledger)}{before}."
    )

"""Requests to endpoints in sentences: planned, in progress and in total."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Protocol

from choose.formatting import clean, compact, dollars, duration, plural
from choose.schema.plan import ONCE, Bill, Spending


class Counted(Protocol):
    """Counts of requests, tokens and dollars so far."""

    limit: float | None
    spent: float
    maybe_billed: float
    requests: int
    read: int
    cached: int
    written: int
    unpriced: bool


class Sent(Protocol):
    """Requests to endpoints so far."""

    @property
    def planned(self) -> int:
        """Return the most requests that are forecast."""

    @property
    def ledger(self) -> Counted:
        """Return the counts."""

    @property
    def reused(self) -> int:
        """Return the number of answers that needed no request."""

    @property
    def earlier(self) -> int:
        """Return how many of them were paid for by earlier commands."""

    @property
    def retried(self) -> int:
        """Return the number of retries."""


def plan_lines(spending: Spending) -> Iterator[str]:
    """Yield the plan of requests that a user confirms before the first one."""
    for bill in spending.bills:
        yield _bill(bill)
        if len(bill.parts) > 1:
            yield _why(bill)
    if len(spending.bills) > 1:
        yield f"In total: {_price(spending.usd, len(spending.bills))}."
    if spending.limit is not None:
        yield (
            f"No more than {dollars(spending.limit)} is spent: the highest possible price of each "
            "request is reserved before it is sent."
        )
    if spending.hints:
        hints = ", ".join(f"{kind} in {plural(n, 'row')}" for kind, n in spending.hints.items())
        yield f"The requests seem to contain: {hints}."
    elif spending.bills:
        yield "The requests seem to contain no e-mail address, personal number or key."


def sending_record(spending: Spending) -> dict[str, Any] | None:
    """Return the plan of requests as a record; None without requests."""
    if not spending.bills:
        return None
    return {
        "endpoints": [asdict(bill) for bill in spending.bills],
        "usd": spending.usd,
        "max_usd": spending.limit,
        "personal_data_hints": dict(spending.hints),
    }


def _bill(bill: Bill) -> str:
    where = " (this machine)" if bill.here else ""
    return (
        f"{clean(bill.name)}: up to {plural(bill.requests, 'request')} to {clean(bill.host)}"
        f"{where} for {clean(bill.model)}, about {compact(bill.read)} tokens in and "
        f"{compact(bill.written)} "
        f"out, {_price(bill.usd, 1)}; {plural(bill.rows, 'row')} of the data{_read(bill)}, for "
        f"{clean(', '.join(bill.candidates))}."
    )


def _read(bill: Bill) -> str:
    """Say that passages of documents are sent, where they are."""
    passages = plural(bill.passages, "passage")
    return f" and up to {passages} of the documents" if bill.passages else ""


def _why(bill: Bill) -> str:
    """Say what so many requests are for, and how to send fewer."""
    parts = ", ".join(f"{count:,} for {clean(why)}" for why, count in bill.parts.items())
    once = bill.parts.get(ONCE)
    fewer = f" --quick sends at most {once:,}." if once else ""
    return f"Why {bill.requests:,}: {parts}.{fewer}"


def _price(usd: float | None, bills: int) -> str:
    if usd is None:
        why = "it has no prices" if bills == 1 else "not all of them have prices"
        return f"dollars unknown: {why}"
    return f"about {dollars(usd)} plus hidden reasoning, if the model reasons"


def traffic_line(sent: Sent, seconds: float) -> str:
    """Return requests, tokens, dollars and the remaining time on one line."""
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
    """Return the total of requests, tokens and dollars as a sentence."""
    ledger = sent.ledger
    again = f", {sent.retried:,} retried" if sent.retried else ""
    repeated, before = sent.reused - sent.earlier, ""
    if repeated:
        before = f"; {plural(repeated, 'more question')} equal to one of this run, not sent again"
    if sent.earlier:
        before += f"; {plural(sent.earlier, 'answer')} from earlier runs, not paid for again"
    cached = f" ({compact(ledger.cached)} cached)" if ledger.cached else ""
    return (
        f"Endpoints: {plural(ledger.requests, 'request')}{again}, {compact(ledger.read)} tokens "
        f"in{cached}, {compact(ledger.written)} out, {spent(ledger)}{before}."
    )

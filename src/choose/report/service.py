"""What a report says of models behind endpoints: how fast, how steady, how they fail."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from choose.judge.record import Decision, Scorecard
from choose.judge.record_service import Service
from choose.report.candidates import Field
from choose.report.layout import bullets, note, section, sheet
from choose.report.safe import clean
from choose.report.words import DASH, figure, percent, plural

_FAILED = ("refused", "empty", "cut", "off_list")


ABOUT = (
    "From a request to its answer; waits for one's turn and requests that failed are left "
    "out. Change: another answer to the very same question."
)
HEADS = (
    "candidate",
    "seconds, median",
    "seconds, 95 of 100",
    "in flight at once",
    "tokens in",
    "tokens out",
    "of 100 tokens from a cache",
    "of 100 answers unusable",
    "of 100 answers that change",
)


def rows(decision: Decision) -> list[list[str]]:
    """Return a row of cells under `HEADS` for each candidate that asks an endpoint."""
    return [_cells(card) for card in Field(decision, _served).cards]


def sentences(decision: Decision) -> list[str]:
    """Return what is said of the candidates that ask endpoints."""
    cards = Field(decision, _served).cards
    return [*dict.fromkeys(sentence for card in cards for sentence in _sentences(card))]


def _served(card: Scorecard) -> bool:
    return card.service is not None


def _cells(card: Scorecard) -> list[str]:
    found = _of(card)
    unusable = sum(getattr(found, kind) for kind in _FAILED)
    return [
        card.candidate,
        figure(found.latency_p50),
        figure(found.latency_p95),
        str(found.concurrency or DASH),
        figure(card.cost.tokens_in),
        figure(card.cost.tokens_out),
        percent(found.cached_share),
        percent(unusable),
        percent(found.instability),
    ]


def services(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on endpoints, where there are any."""
    field = Field(decision, _served)
    if not field.cards:
        return
    columns = [
        field.names(),
        field.column("seconds\nmedian", lambda card: figure(_of(card).latency_p50)),
        field.column("seconds\n95 of 100", lambda card: figure(_of(card).latency_p95)),
        field.column("in flight\nat once", lambda card: str(_of(card).concurrency or DASH)),
        field.column("of 100 tokens\nfrom a cache", lambda card: percent(_of(card).cached_share)),
        field.column("of 100 answers\nthat change", lambda card: percent(_of(card).instability)),
    ]
    yield section(
        "Behind endpoints",
        *sheet(columns, width),
        bullets(sentences(decision)),
        note(ABOUT),
    )


def _of(card: Scorecard) -> Service:
    assert card.service is not None
    return card.service


def _sentences(card: Scorecard) -> Iterator[str]:
    name, found = clean(card.candidate), _of(card)
    yield f"{name} asks {clean(found.behind)}."
    parts = [
        f"{percent(share)} {kind.replace('_', '-')}"
        for kind in _FAILED
        if (share := getattr(found, kind))
    ]
    if parts:
        yield f"{name}: of 100 answers {', '.join(parts)}; they count as wrong."
    if found.instability is not None:
        yield (
            f"{name} was asked {plural(found.repeated_rows, 'row')} {found.repeats} times; "
            f"{percent(found.instability)} of 100 got different answers."
        )

"""Sentences and rows on money and endpoints that every form of a report shares."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import (
    DASH,
    chance,
    clean,
    dollars,
    duration,
    figure,
    percent,
    plural,
    rough,
)
from choose.report.candidate_order import ranked
from choose.report.decision_text import quantity
from choose.report.words import payback
from choose.schema.decision import Decision
from choose.schema.scorecard import RANKING_METRICS, Breakeven, Requests, Scorecard, Service


def has_totals(decision: Decision) -> bool:
    """Return whether the cost of training is known for some candidate."""
    return any(card.cost.training_usd is not None for card in decision.scorecards)


def breakevens(decision: Decision) -> Iterator[str]:
    """Yield when the chosen candidate pays off against each other one, or the other way round."""
    pick = decision.pick
    for breakeven in decision.breakeven:
        if pick in (breakeven.a, breakeven.b):
            yield _breakeven(breakeven)


def _breakeven(breakeven: Breakeven) -> str:
    a, b, needed = clean(breakeven.a), clean(breakeven.b), breakeven.requests
    expected = f"{rough(breakeven.expected)} are expected in a year"
    costs = f"{a} costs {dollars(breakeven.extra_usd)} more to train than {b}"
    if needed.value is None and needed.low is None:
        return f"{costs} and never pays off: it gains and saves too little per answer."
    if needed.high is not None and needed.high < 1:
        return f"{a} pays off against {b} from the first answer."
    when = f"about {rough(needed.value)}" if needed.value is not None else "an unknown number of"
    return (
        f"{costs} and pays off after {when} answers{_bounds(needed)}; {expected}. "
        f"It pays off with {chance(breakeven.probability)} probability."
    )


def _bounds(needed: Requests) -> str:
    low = rough(needed.low) if needed.low is not None else DASH
    high = rough(needed.high) if needed.high is not None else "unbounded"
    return f" ({low} to {high})"


def serving(decision: Decision) -> Iterator[str]:
    """Yield the memory of one more task on the same base model."""
    for card in decision.scorecards:
        cost, name = card.cost, clean(card.candidate)
        if cost.artefact_mb is not None and cost.base_mb is not None:
            # A model that is saved whole stands on no base.
            base = f"on one base of {figure(cost.base_mb)} MB, " if cost.base_mb else ""
            yield f"{name}: {base}each further task adds {figure(cost.artefact_mb)} MB."


def notes(decision: Decision) -> Iterator[str]:
    """Yield what a month costs, how costs were counted, or which prices the study file lacks."""
    yield from filter(None, [payback(decision)])
    yield from _indexes(decision)
    if decision.breakeven:
        yield _counted(decision)
    lacks = list(dict.fromkeys(key for card in decision.scorecards for key in card.cost.missing))
    if decision.breakeven:
        return
    if has_totals(decision):
        lacks = lacks or ["costs.value_per_right_answer"]
        yield f"No break-even: the study file lacks {', '.join(map(clean, lacks))}."


def _indexes(decision: Decision) -> Iterator[str]:
    """Yield how long indexing all documents takes, where answers are rankings of them."""
    timed = [card for card in decision.scorecards if card.cost.index_seconds is not None]
    if (decision.goal.get("measure") or {}).get("metric") in RANKING_METRICS and timed:
        each = (f"{clean(c.candidate)} {duration(c.cost.index_seconds or 0.0)}" for c in timed)
        yield (
            f"Indexing all documents, as after a change of them, takes: {', '.join(each)}. "
            "Milliseconds per item are those of a search."
        )


def _counted(decision: Decision) -> str:
    text = "The labels of this study count as already paid."
    value, volume = (
        quantity(decision.goal, key) for key in ("value_per_right_answer", "volume_per_month")
    )
    if value is None or volume is None:
        return text
    return (
        f"Counted over a year at {rough(volume)} answers a month; a right answer is worth "
        f"{dollars(value)}. {text}"
    )


_FAILED = ("refused", "empty", "cut", "off_list")

ENDPOINT_NOTE = (
    "Seconds from request to answer, without queueing and failed requests. Change: a different "
    "answer to the same question."
)

ENDPOINT_HEADS = (
    "candidate",
    "seconds, median",
    "seconds, 95th percentile",
    "concurrent requests",
    "tokens in",
    "tokens out",
    "% of tokens cached",
    "% of answers unusable",
    "% of answers that change",
)


def endpoint_rows(decision: Decision) -> list[list[str]]:
    """Return a row of cells under `ENDPOINT_HEADS` for each candidate behind an endpoint."""
    return [_cells(card) for card in ranked(decision, is_served)]


def endpoint_sentences(decision: Decision) -> list[str]:
    """Return the sentences on candidates behind endpoints."""
    cards = ranked(decision, is_served)
    return [*dict.fromkeys(sentence for card in cards for sentence in _sentences(card))]


def is_served(card: Scorecard) -> bool:
    """Return whether an endpoint answers for a candidate."""
    return card.service is not None


def _cells(card: Scorecard) -> list[str]:
    service = service_of(card)
    unusable = sum(getattr(service, kind) for kind in _FAILED)
    return [
        card.candidate,
        figure(service.latency_p50),
        figure(service.latency_p95),
        str(service.concurrency or DASH),
        figure(card.cost.tokens_in),
        figure(card.cost.tokens_out),
        percent(service.cached_share),
        percent(unusable),
        percent(service.instability),
    ]


def service_of(card: Scorecard) -> Service:
    """Return the measurements of a candidate's endpoint."""
    assert card.service is not None
    return card.service


def _sentences(card: Scorecard) -> Iterator[str]:
    name, service = clean(card.candidate), service_of(card)
    yield f"{name} uses {clean(service.behind)}."
    parts = [
        f"{percent(share)} % {kind.replace('_', '-')}"
        for kind in _FAILED
        if (share := getattr(service, kind))
    ]
    if parts:
        yield f"{name}: unusable answers count as wrong ({', '.join(parts)})."
    if service.instability is not None:
        yield (
            f"{name} answered {plural(service.repeated_rows, 'row')} {service.repeats} times; "
            f"{percent(service.instability)} % of them got different answers."
        )

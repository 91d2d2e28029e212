"""The label audit: how many labels may be wrong, and which rows to look at first."""

from __future__ import annotations

from collections.abc import Iterator

from choose.formatting import DASH, clean, figure, per_cent, percent, plural, span
from choose.report.format import shorten
from choose.report.terminal.candidate_table import Field
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.diagnosis import (
    Agreement,
    Audit,
    ErrorOverlap,
    LabelOverlap,
    RelabelGain,
)
from choose.schema.plan import ASSUMPTION
from choose.schema.scorecard import CurveForecast, ForecastPoint, Needed, Scorecard, Service

DIVISIONS = {
    "cross-fit": "compare asks each row once, by a fit that never saw it",
    "held-out": "compare learns from one part and asks another",
}


LIMITS = (
    f"Gains assume {ASSUMPTION}. No label was changed and no row left out: only a person can tell "
    "a wrong label from a hard row. Languages are identified by py3langid; names and "
    "postal addresses have no pattern and were not looked for."
)


MEANING = {
    "format": "no usable answer",
    "suspect label": "the label is doubted by several",
    "ambiguous": "two labels fit",
    "not covered": "nothing of this label retrieved",
    "learnable": "learnt from the labels",
    "unknown": "none of these",
}


def shared(found: ErrorOverlap) -> Iterator[str]:
    """Yield which errors candidates share, a sentence each."""
    yield (
        f"{found.wrong_in_all:,} of {found.rows:,} rows are wrong in all of "
        f"{len(found.candidates)} candidates; at least one is right on "
        f"{_with_span(found.oracle)} of 100."
    )
    if found.both_wrong is not None and found.both_expected is not None:
        yield (
            f"{found.cheap} and {found.strong} are both wrong on {found.both_wrong:,} rows "
            f"({found.both_expected:,.0f} if their errors had nothing to do with each other); "
            f"only {found.cheap} on {found.only_cheap_wrong:,}, only {found.strong} on "
            f"{found.only_strong_wrong:,}."
        )
    if found.cascade is not None:
        yield f"A cascade would {found.cascade.sentence}."


def _with_span(interval: Interval) -> str:
    return f"{percent(interval.value)} ({span(interval)})"


def forecast_lines(decision: Decision) -> Iterator[str]:
    """Yield a sentence for each candidate that a curve was fitted to, and why others have none."""
    fitted = [forecast for forecast in decision.forecasts if forecast.points]
    for forecast in fitted:
        yield f"{clean(forecast.candidate)}: {_line(forecast)}"
    if not fitted:
        refused: dict[str, list[str]] = {}
        for f in decision.forecasts:
            if f.refused and "learns nothing" not in f.refused:
                refused.setdefault(clean(f.refused), []).append(clean(f.candidate))
        for why, names in refused.items():
            yield f"Not extrapolated: {', '.join(names)}. {why}"


def _line(forecast: CurveForecast) -> str:
    parts = [", ".join(map(_point, forecast.points))]
    if forecast.target is not None:
        parts.append(_needed(forecast.target))
    if forecast.apart:
        parts.append("ways to extend the curve exclude each other, so this holds all of them")
    return f"{'; '.join(parts)}."


def _point(point: ForecastPoint) -> str:
    found = point.accuracy
    ends = (
        f" ({percent(found.low)} to {percent(found.high)})"
        if found.low is not None and found.high is not None
        else ""
    )
    return f"{percent(found.value)} right of 100{ends} with {point.labels:,} labels"


def _needed(needed: Needed) -> str:
    target = f"{per_cent(needed.accuracy)} of 100" if needed.accuracy is not None else "the goal"
    chance = f"{needed.probability:.2f}" if needed.probability >= 0.01 else "below 0.01"
    sure = f"probability {chance}"
    if needed.labels is None:
        return f"{target} not within {needed.within:,} ({sure} that it is)"
    return f"{target} from about {needed.labels.value:,.0f} ({sure} within {needed.within:,})"


OVERLAPS = 3


LABEL_WIDTH = 28


def label_sentences(found: Audit) -> Iterator[str]:
    """Yield what the audit says, a sentence each."""
    if found.noise is not None and found.ceiling is not None:
        yield (
            f"Between {per_cent(found.noise.low)} and {per_cent(found.noise.high)} of 100 labels "
            f"may be wrong; confident learning says {per_cent(found.noise.confident_learning)}, "
            "and it takes the auditor's own mistakes for wrong labels. Perfect answers would get "
            f"{span(found.ceiling)} of 100 right on labels like these. {found.noise.assumption}"
        )
    elif found.no_estimate:
        yield f"How many labels are wrong is not known. {found.no_estimate}"
    if found.gain is not None:
        yield _worth(found.gain)
    yield from map(_overlap, found.overlaps[:OVERLAPS])
    if found.agreement is not None:
        yield _agreement(found.agreement)


def _worth(found: RelabelGain) -> str:
    return (
        f"Settling the {plural(found.rows, 'most doubted row')} would add about "
        f"{per_cent(found.gain.value)} points ({span(found.gain)}) to what {found.candidate} gets "
        "right."
    )


def _overlap(found: LabelOverlap) -> str:
    names = f"{shorten(clean(found.a), LABEL_WIDTH)} and {shorten(clean(found.b), LABEL_WIDTH)}"
    return (
        f"{names} are taken for each other: {plural(found.doubted, 'doubted row')} of "
        f"{found.rows:,}."
    )


def _agreement(found: Agreement) -> str:
    beyond = (
        f"; beyond chance, Krippendorff's alpha is {found.alpha.value:.2f}" if found.alpha else ""
    )
    return (
        f"Two of {found.annotators:,} annotators agree on {per_cent(found.pairwise.value)} of 100 "
        f"({span(found.pairwise)}), on {plural(found.questions, 'row')}{beyond}."
    )


def source(found: Audit) -> str:
    """Say where the suspects come from, and that nothing was done about them."""
    accuracy = percent(found.accuracy.value) if found.accuracy else ""
    return (
        f"The out-of-fold answers of {' + '.join(found.auditors)} ({accuracy} of 100 right) "
        f"contradict {found.contradicted:,} labels; {found.suspected:,} are worth a look, these "
        "first. No row was left out and no label changed: only a "
        "person can tell a wrong label from a hard row. The others are in decision.json."
    )


_FAILED = ("refused", "empty", "cut", "off_list")


ABOUT = (
    "From a request to its answer; waits for one's turn and requests that failed are left "
    "out. Change: another answer to the very same question."
)


ENDPOINT_HEADS = (
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


def endpoint_sentences(decision: Decision) -> list[str]:
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

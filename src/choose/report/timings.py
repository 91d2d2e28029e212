"""What a study would take, candidate by candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from choose.report.layout import Column
from choose.report.safe import clean, literal, shorten
from choose.report.spending import money
from choose.report.words import DASH, duration, plural
from choose.timings import Forecast

NAME = 24

# Columns whose sum is more where a candidate is not forecast.
SECONDS = ("first pass", "all of it")


def forecast_table(found: Sequence[Forecast]) -> list[Column]:
    """Return trials, seconds, tokens and dollars by candidate."""
    names = [literal(shorten(clean(one.candidate), NAME)) for one in found]
    return [
        Column("candidate", [*names, literal("all", "bold")], figures=False),
        _column("trials", found, lambda one: one.trials, lambda n: f"{n:,.0f}"),
        _column("first pass", found, lambda one: one.first, duration),
        _column("all of it", found, lambda one: one.seconds, duration),
        _column("tokens in", found, lambda one: one.read, lambda n: f"{n:,.0f}"),
        _column("tokens out", found, lambda one: one.written, lambda n: f"{n:,.0f}"),
        _column("dollars", found, lambda one: one.usd, money),
    ]


def forecast_lines(found: Sequence[Forecast], budget: float | None) -> Iterator[str]:
    """Yield what the figures mean, and what a budget leaves out."""
    known = [one.seconds for one in found if one.seconds is not None]
    unknown = [clean(one.candidate) for one in found if one.seconds is None]
    if budget is not None and sum(known) > budget:
        yield f"The budget of {duration(budget)} ends it early, in the order above."
    elif budget is not None:
        others = f"; what {', '.join(unknown)} take is not known" if unknown else ""
        what = "what was forecast" if unknown else "all of it"
        yield f"The budget of {duration(budget)} suffices for {what}{others}."
    for one in found:
        if one.rows is not None:
            yield (
                f"{clean(one.candidate)}: about {plural(one.rows, 'row')} of its first pass can be "
                "asked before the budget or --max-usd is used up."
            )
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.why_not:
            reasons.setdefault(clean(one.why_not), []).append(clean(one.candidate))
    for reason, names in reasons.items():
        yield f"{', '.join(names)}: seconds are not forecast. {reason}"
    yield (
        "Seconds are for this machine, as busy as it is now. Where they were held against runs, "
        "whole studies were right to a factor of 1.5, and most candidates."
    )


def _column(
    head: str,
    found: Sequence[Forecast],
    value: Callable[[Forecast], float | None],
    written: Callable[[float], str],
) -> Column:
    values = [value(one) for one in found]
    known = [v for v in values if v is not None]
    cells = [literal(DASH if v is None else written(v)) for v in values]
    least = "> " if known and len(known) < len(values) and head in SECONDS else ""
    total = literal(f"{least}{written(sum(known))}" if known else DASH, "bold")
    return Column(head, [*cells, total])

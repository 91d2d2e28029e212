"""The trials that a comparison would run, for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import (
    DASH,
    clean,
    dollars,
    duration,
    figure,
    number,
    of_100,
    plural,
    points,
    rounded,
)
from choose.report.format import literal, shorten
from choose.report.terminal.cost_tables import plan_lines
from choose.report.terminal.layout import Column, Fitted, bullets, note, section, sheet
from choose.report.terminal.live_progress import Planned
from choose.schema.plan import LEARNT, BeforeData, Spending, Three, TimeForecast
from choose.types import Candidate, Dataset


def before_data_page(plan: BeforeData) -> Fitted:
    """Return the plan; it fits the console that it is printed on."""
    return Fitted(lambda width: _before_data_parts(plan, width))


def _before_data_parts(plan: BeforeData, width: int) -> Iterator[RenderableType]:
    yield literal(headline(plan), style="bold")
    yield Text()
    yield from sheet(_before_data_table(plan), width)
    if plan.affordable is not None:
        found = plan.affordable
        shows = f"show a gain of {points(found.gain)}" if found.gain else "show no gain at all"
        yield Text()
        yield literal(
            f"${figure(found.usd)} buy {plural(found.rows, 'label')}, which {shows} as a rule."
        )
    yield section("Assumed", bullets(plan.assumptions))
    first = rounded(plan.training.low / LEARNT)
    yield section(
        "Then",
        bullets(
            (
                f"Label about {first:,} rows, drawn at random from real traffic, and run "
                "choose check: it knows the rows that your own data need.",
                "Have a second person label the same first 100 rows: where the two differ, no "
                "model can be right, and the guideline is what to work on.",
            )
        ),
    )
    yield Text()
    yield note("Nothing was measured: these figures come from formulas and published studies.")


def headline(plan: BeforeData) -> str:
    """Say rows, hours and dollars in one sentence."""
    rows = plan.rows
    cost = f", about ${figure(plan.usd.usual)}" if plan.usd else ""
    return (
        f"Label about {rounded(rows.usual):,} rows ({rounded(rows.low):,} to "
        f"{rounded(rows.high):,}) to tell candidates apart that differ by "
        f"{points(plan.wishes.gain)}: about {_hours(plan.hours.usual)}{cost}."
    )


def _before_data_table(plan: BeforeData) -> list[Column]:
    wishes = plan.wishes
    lines: list[tuple[str, tuple[str, str, str]]] = [
        (f"to show a gain of {points(wishes.gain)}", _cells(plan.test))
    ]
    if wishes.target is not None and plan.target_rows is not None:
        told = f"{plan.target_rows:,}"
        lines.append((f"to show that {of_100(wishes.target)} are reached", (told, told, told)))
    lines += [
        (f"to learn {wishes.classes} classes from", _cells(plan.training)),
        ("rows to label", _cells(plan.rows)),
        ("hours", _amounts(plan.hours)),
    ]
    if plan.usd is not None:
        lines.append(("dollars", _amounts(plan.usd)))
    heads = ("if all\ngoes well", "as a rule", "to be\nsafe")
    return [
        Column("", [literal(name) for name, _ in lines], figures=False),
        *(
            Column(head, [literal(cells[place]) for _, cells in lines])
            for place, head in enumerate(heads)
        ),
    ]


def _cells(found: Three) -> tuple[str, str, str]:
    return (f"{found.low:,.0f}", f"{found.usual:,.0f}", f"{found.high:,.0f}")


def _amounts(found: Three) -> tuple[str, str, str]:
    return figure(found.low), figure(found.usual), figure(found.high)


def _hours(hours: float) -> str:
    return f"{number(hours, 0)} hours" if hours >= 1.5 else f"{60 * hours:,.0f} minutes"


NAME = 24


# Columns whose sum is more where a candidate is not forecast.
SECONDS = ("first pass", "all of it")


def forecast_table(found: Sequence[TimeForecast]) -> list[Column]:
    """Return trials, seconds, tokens and dollars by candidate."""
    names = [literal(shorten(clean(one.candidate), NAME)) for one in found]
    return [
        Column("candidate", [*names, literal("all", "bold")], figures=False),
        _column("trials", found, lambda one: one.trials, lambda n: f"{n:,.0f}"),
        _column("first pass", found, lambda one: one.first, duration),
        _column("all of it", found, lambda one: one.seconds, duration),
        _column("tokens in", found, lambda one: one.read, lambda n: f"{n:,.0f}"),
        _column("tokens out", found, lambda one: one.written, lambda n: f"{n:,.0f}"),
        _column("dollars", found, lambda one: one.usd, dollars),
    ]


def forecast_lines(found: Sequence[TimeForecast], budget: float | None) -> Iterator[str]:
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
    found: Sequence[TimeForecast],
    value: Callable[[TimeForecast], float | None],
    written: Callable[[float], str],
) -> Column:
    values = [value(one) for one in found]
    known = [v for v in values if v is not None]
    cells = [literal(DASH if v is None else written(v)) for v in values]
    least = "> " if known and len(known) < len(values) and head in SECONDS else ""
    total = literal(f"{least}{written(sum(known))}" if known else DASH, "bold")
    return Column(head, [*cells, total])


class Plan(Protocol):
    """What would run, in the order in which it would."""

    @property
    def dataset(self) -> Dataset:
        """Return the rows and their division."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Return who takes part."""

    @property
    def refusals(self) -> Sequence[str]:
        """Return why others do not."""

    @property
    def jobs(self) -> Sequence[Planned]:
        """Return the trials in order."""

    @property
    def budget(self) -> float | None:
        """Return the seconds that may be spent."""

    @property
    def spending(self) -> Spending:
        """Return what endpoints would be sent."""

    @property
    def forecasts(self) -> Sequence[TimeForecast]:
        """Return what each candidate would take, if that was rehearsed."""


def grid_page(plan: Plan) -> Fitted:
    """Return the trials by part and candidate; it fits the console that it is printed on."""
    return Fitted(lambda width: _grid_parts(plan, width))


def trials_by_part(jobs: Sequence[Planned]) -> dict[str, dict[str, int]]:
    """Return the trials by part of the study, in order, and by candidate."""
    found: dict[str, dict[str, int]] = {}
    for job in jobs:
        by = found.setdefault(job.part, {})
        by[job.trial.candidate] = by.get(job.trial.candidate, 0) + 1
    return found


def _grid_parts(plan: Plan, width: int) -> Iterator[RenderableType]:
    data, jobs = plan.dataset, plan.jobs
    yield literal(
        f"{clean(data.name)}: compare would run {plural(len(jobs), 'trial')} of "
        f"{plural(len(plan.candidates), 'candidate')} on {plural(len(data.asked), 'row')} to ask.",
        style="bold",
    )
    yield literal(_division(data), "dim")
    yield Text()
    yield from sheet(_grid_table(plan), width)
    if plan.forecasts:
        yield Text()
        yield from sheet(forecast_table(plan.forecasts), width)
        yield Text()
        yield bullets(forecast_lines(plan.forecasts, plan.budget))
    if plan.spending.bills:
        yield section("What would be sent", bullets(plan_lines(plan.spending)))
    if plan.refusals:
        yield section("Left out", bullets(plan.refusals))
    yield Text()
    budget = f"a budget of {duration(plan.budget)} may cut" if plan.budget else "no budget cuts"
    rehearsed = (
        "Each candidate was rehearsed for some seconds, and nothing of that is kept."
        if plan.forecasts
        else "Nothing was run or fetched."
    )
    yield note(
        f"Parts run about in this order, cheap candidates first; {budget} it short. A trial is one "
        f"fit and its answers. {rehearsed}"
    )


def _division(data: Dataset) -> str:
    pools = [len(fold.pool) for fold in data.folds]
    how = f"{len(data.folds)} folds" if data.division == "cross-fit" else "a held-out part"
    return (
        f"{plural(len(data.examples), 'row')}, {plural(len(data.task.labels), 'label')}; {how}, "
        f"each fit on up to {plural(max(pools), 'row')}"
    )


def _grid_table(plan: Plan) -> list[Column]:
    parts = trials_by_part(plan.jobs)
    totals = Counter(job.trial.candidate for job in plan.jobs)
    columns = [Column("part", [*map(literal, parts), literal("all", "bold")], figures=False)]
    for candidate in plan.candidates:
        counts = [str(by.get(candidate.name, DASH)) for by in parts.values()]
        cells: list[RenderableType] = [
            *map(literal, counts),
            literal(f"{totals[candidate.name]:,}", "bold"),
        ]
        columns.append(Column(literal(shorten(clean(candidate.name), NAME)), cells))
    return columns

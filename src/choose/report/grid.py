"""The trials that a comparison would run, for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import RenderableType
from rich.text import Text

from choose.report.fitted import Fitted
from choose.report.layout import Column, bullets, note, section, sheet
from choose.report.safe import clean, literal, shorten
from choose.report.spending import plan_lines
from choose.report.standing import Planned
from choose.report.timings import forecast_lines, forecast_table
from choose.report.words import DASH, duration, plural
from choose.sending import Spending
from choose.timings import Forecast
from choose.types import Candidate, Dataset

NAME = 24


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
    def forecasts(self) -> Sequence[Forecast]:
        """Return what each candidate would take, if that was rehearsed."""


def grid_page(plan: Plan) -> Fitted:
    """Return the trials by part and candidate; it fits the console that it is printed on."""
    return Fitted(lambda width: _parts(plan, width))


def trials_by_part(jobs: Sequence[Planned]) -> dict[str, dict[str, int]]:
    """Return the trials by part of the study, in order, and by candidate."""
    found: dict[str, dict[str, int]] = {}
    for job in jobs:
        by = found.setdefault(job.part, {})
        by[job.trial.candidate] = by.get(job.trial.candidate, 0) + 1
    return found


def _parts(plan: Plan, width: int) -> Iterator[RenderableType]:
    data, jobs = plan.dataset, plan.jobs
    yield literal(
        f"{clean(data.name)}: compare would run {plural(len(jobs), 'trial')} of "
        f"{plural(len(plan.candidates), 'candidate')} on {plural(len(data.asked), 'row')} to ask.",
        style="bold",
    )
    yield literal(_division(data), "dim")
    yield Text()
    yield from sheet(_table(plan), width)
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


def _table(plan: Plan) -> list[Column]:
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

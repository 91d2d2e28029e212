"""Plans for the terminal: the trials that compare would run, and what to label before data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import (
    DASH,
    clean,
    dollars,
    duration,
    figure,
    in_percent,
    listed,
    number,
    plural,
    points,
    rounded,
)
from choose.report.screen_text import literal, shorten
from choose.report.terminal.cost_tables import plan_lines
from choose.report.terminal.layout import Column, Page, bullets, note, section, split_table
from choose.schema.plan import (
    LARGE_MODEL,
    TRAINING_SHARE,
    BeforeData,
    Job,
    ModelFit,
    Planning,
    Three,
    TimeForecast,
)
from choose.types import Dataset


def before_data_page(plan: BeforeData) -> Page:
    """Return the plan of labelling as a page."""
    return Page(lambda width: _before_data_parts(plan, width))


def _before_data_parts(plan: BeforeData, width: int) -> Iterator[RenderableType]:
    yield literal(headline(plan), style="bold")
    yield Text()
    yield from split_table(_before_data_table(plan), width)
    if plan.affordable is not None:
        affordable = plan.affordable
        detects = (
            f"detect a gain of {points(affordable.gain)}" if affordable.gain else "detect no gain"
        )
        yield Text()
        yield literal(
            f"${figure(affordable.usd)} buy {plural(affordable.rows, 'label')}, "
            f"which usually {detects}."
        )
    yield section("Assumed", bullets(plan.assumptions))
    first = rounded(plan.training.low / TRAINING_SHARE)
    yield section(
        "Next steps",
        bullets(
            (
                f"Label about {first:,} rows, sampled at random from real traffic, and run "
                "choose check: it estimates the rows that your data need.",
                "Have a second person label the same first 100 rows. Where the two disagree, no "
                "model can be right: clarify the labelling guide first.",
            )
        ),
    )
    yield Text()
    yield note("Nothing was measured: the figures come from formulas and published studies.")


def headline(plan: BeforeData) -> str:
    """Return rows, hours and dollars as one sentence."""
    rows = plan.rows
    cost = f", about ${figure(plan.usd.usual)}" if plan.usd else ""
    return (
        f"Label about {rounded(rows.usual):,} rows ({rounded(rows.low):,} to "
        f"{rounded(rows.high):,}) to distinguish candidates that differ by "
        f"{points(plan.wishes.gain)}: about {_hours(plan.hours.usual)}{cost}."
    )


def _before_data_table(plan: BeforeData) -> list[Column]:
    wishes = plan.wishes
    lines: list[tuple[str, tuple[str, str, str]]] = [
        (f"to detect a gain of {points(wishes.gain)}", _cells(plan.test))
    ]
    if wishes.target is not None and plan.target_rows is not None:
        rows = f"{plan.target_rows:,}"
        lines.append((f"to show an accuracy of {in_percent(wishes.target)}", (rows, rows, rows)))
    lines += [
        (f"to train on {wishes.classes} labels", _cells(plan.training)),
        ("rows to label", _cells(plan.rows)),
        ("hours", _amounts(plan.hours)),
    ]
    if plan.usd is not None:
        lines.append(("dollars", _amounts(plan.usd)))
    heads = ("best\ncase", "usual", "worst\ncase")
    return [
        Column("", [literal(name) for name, _ in lines], figures=False),
        *(
            Column(head, [literal(cells[place]) for _, cells in lines])
            for place, head in enumerate(heads)
        ),
    ]


def _cells(interval: Three) -> tuple[str, str, str]:
    return (f"{interval.low:,.0f}", f"{interval.usual:,.0f}", f"{interval.high:,.0f}")


def _amounts(interval: Three) -> tuple[str, str, str]:
    return figure(interval.low), figure(interval.usual), figure(interval.high)


def _hours(hours: float) -> str:
    return f"{number(hours, 0)} hours" if hours >= 1.5 else f"{60 * hours:,.0f} minutes"


NAME = 24

# Columns whose sum is a lower bound if a candidate has no forecast.
SECONDS = ("first pass", "all")


def forecast_table(forecasts: Sequence[TimeForecast]) -> list[Column]:
    """Return trials, seconds, tokens and dollars by candidate."""
    names = [literal(shorten(clean(one.candidate), NAME)) for one in forecasts]
    return [
        Column("candidate", [*names, literal("total", "bold")], figures=False),
        _column("trials", forecasts, lambda one: one.trials, lambda n: f"{n:,.0f}"),
        _column("first pass", forecasts, lambda one: one.first, duration),
        _column("all", forecasts, lambda one: one.seconds, duration),
        _column("tokens in", forecasts, lambda one: one.read, lambda n: f"{n:,.0f}"),
        _column("tokens out", forecasts, lambda one: one.written, lambda n: f"{n:,.0f}"),
        _column("dollars", forecasts, lambda one: one.usd, dollars),
    ]


def forecast_lines(forecasts: Sequence[TimeForecast], budget: float | None) -> Iterator[str]:
    """Yield what the forecasts mean, and what exceeds the budget."""
    known = [one.seconds for one in forecasts if one.seconds is not None]
    unknown = [clean(one.candidate) for one in forecasts if one.seconds is None]
    if budget is not None and sum(known) > budget:
        yield f"The run exceeds the budget of {duration(budget)}: the last trials above are cut."
    elif budget is not None:
        others = f"; the time of {', '.join(unknown)} is unknown" if unknown else ""
        what = "all candidates with a forecast" if unknown else "all trials"
        yield f"The budget of {duration(budget)} suffices for {what}{others}."
    covered: dict[str, list[str]] = {}
    for one in forecasts:
        if one.rows is not None:
            covered.setdefault(_reached(one), []).append(clean(one.candidate))
    for rows, names in covered.items():
        which = f"{listed(names)}: " if len(names) < len(forecasts) else "All candidates: "
        each = " of each" if len(names) > 1 else ""
        yield (
            f"{which}the budget or --max-usd covers about {rows} of the first pass{each}, fewer if "
            "a candidate is dropped because it can no longer win."
        )
    reasons: dict[str, list[str]] = {}
    for one in forecasts:
        if one.why_not:
            reasons.setdefault(clean(one.why_not), []).append(clean(one.candidate))
    for reason, names in reasons.items():
        yield f"{', '.join(names)}: no forecast of seconds. {reason}"
    if ages := {clean(one.candidate): one.age for one in forecasts if one.age > 0}:
        who = "All speeds" if len(ages) == len(known) else f"The speeds of {listed([*ages])}"
        yield (
            f"{who} were measured up to {duration(max(ages.values()))} ago, on these rows and this "
            "machine; CHOOSE_KEEP_GB=0 measures them again."
        )
    yield (
        "Seconds are for this machine at its current load. In tests, most candidates that take "
        "five seconds or more took half to twice their forecast, a few 2.4 times."
    )


def _reached(one: TimeForecast) -> str:
    rows = one.rows or 0
    return plural(rows, "row") if one.all_rows is None else f"{rows:,} of {one.all_rows:,} rows"


def _column(
    head: str,
    forecasts: Sequence[TimeForecast],
    value: Callable[[TimeForecast], float | None],
    written: Callable[[float], str],
) -> Column:
    values = [value(one) for one in forecasts]
    known = [v for v in values if v is not None]
    cells = [literal(DASH if v is None else written(v)) for v in values]
    least = "> " if known and len(known) < len(values) and head in SECONDS else ""
    total = literal(f"{least}{written(sum(known))}" if known else DASH, "bold")
    return Column(head, [*cells, total])


def model_lines(models: Sequence[ModelFit]) -> Iterator[str]:
    """Yield whether each large model fits, how long it takes, and what a rented card would."""
    told = [
        one for one in models if one.fits is False or (one.parameters or LARGE_MODEL) >= LARGE_MODEL
    ]
    for one in told:
        yield f"{clean(one.model)} ({listed([clean(name) for name in one.candidates])}): " + (
            one.why_not or " ".join(_model_sentences(one))
        )
    if any(one.parameters for one in told):
        yield (
            "These are estimates from sizes and published peaks, 30 % of which are assumed; on "
            "GPUs nothing was measured."
        )


def _model_sentences(one: ModelFit) -> Iterator[str]:
    what = "is tuned" if one.tuned else "is prompted"
    yield f"{number((one.parameters or 0) / 1e9, 1)} billion weights; {what}."
    if one.fits is None:
        yield f"It needs about {_gb(one.needed)}; what is free here is unknown."
    elif one.fits:
        time = f", and about {duration(one.seconds)} at most" if one.seconds else ""
        yield f"It fits: about {_gb(one.needed)} of {_gb(one.free)} that are free{time}."
    else:
        yield f"It does not fit: about {_gb(one.needed)}, and {_gb(one.free)} are free."
        if one.four_bit is not None and one.free is not None and one.four_bit <= one.free:
            yield f"In 4 bits (models.quantise) it would: about {_gb(one.four_bit)}."
    if one.card_gb is None:
        yield "No single card of up to 141 GB holds it."
        return
    usd = "name costs.usd_per_machine_hour for dollars"
    if one.card_usd is not None:
        usd = f"about {dollars(one.card_usd)}"
    time = duration(one.card_seconds or 0.0)
    yield f"A rented card of {one.card_gb} GB would take about {time} ({usd})."


def _gb(count: int | None) -> str:
    return f"{number((count or 0) / 1e9, 1)} GB"


def grid_page(plan: Planning) -> Page:
    """Return the trials by part and candidate as a page."""
    return Page(lambda width: _grid_parts(plan, width))


def trials_by_part(jobs: Sequence[Job]) -> dict[str, dict[str, int]]:
    """Return the trials by part of the study, in order, and by candidate."""
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        by = counts.setdefault(job.part, {})
        by[job.trial.candidate] = by.get(job.trial.candidate, 0) + 1
    return counts


def _grid_parts(plan: Planning, width: int) -> Iterator[RenderableType]:
    data, jobs = plan.dataset, plan.jobs
    kept = f"; {plural(plan.stored, 'other trial')} of the study are stored" if plan.stored else ""
    yield literal(
        f"{clean(data.name)}: compare would run {plural(len(jobs), 'trial')} of "
        f"{plural(len(plan.candidates), 'candidate')} on {plural(len(data.asked), 'test row')}"
        f"{kept}.",
        style="bold",
    )
    yield literal(_division(data), "dim")
    yield Text()
    yield from split_table(_grid_table(plan), width)
    if plan.forecasts:
        yield Text()
        yield from split_table(forecast_table(plan.forecasts), width)
        yield Text()
        yield bullets(forecast_lines(plan.forecasts, plan.budget))
    if lines := list(model_lines(plan.models)):
        yield section("Models on this machine", bullets(lines))
    if plan.spending.bills:
        yield section("Requests to endpoints", bullets(plan_lines(plan.spending)))
    if plan.refusals:
        yield section("Left out", bullets(one.sentence for one in plan.refusals))
    yield Text()
    budget = (
        f"a budget of {duration(plan.budget)} may stop them early"
        if plan.budget
        else "no budget stops them early"
    )
    timed = (
        "Each candidate was timed for a few seconds; speeds are kept for a week."
        if plan.forecasts
        else "Nothing was run or downloaded."
    )
    yield note(
        f"Parts run roughly in this order, fast candidates first; {budget}. A trial trains one "
        f"candidate and evaluates test rows. {timed}"
    )


def _division(data: Dataset) -> str:
    pools = [len(fold.pool) for fold in data.folds]
    how = f"{len(data.folds)} folds" if data.division == "cross-fit" else "a held-out part"
    labels = data.task.labels
    kind = plural(len(labels), "label") if labels else data.task.kind
    return (
        f"{plural(len(data.examples), 'row')}, {kind}; {how}, "
        f"each trained on up to {plural(max(pools), 'row')}"
    )


# Parts of a study that are called otherwise where answers are no labels.
WITHOUT_LABELS = {"added label noise": "added noise", "a new class": "a new field"}


def _grid_table(plan: Planning) -> list[Column]:
    parts = trials_by_part(plan.jobs)
    totals = Counter(job.trial.candidate for job in plan.jobs)
    called = {} if plan.dataset.task.labels else WITHOUT_LABELS
    if plan.dataset.task.kind == "multilabel":
        called = {**called, "a new class": "a new label"}
    names = [literal(called.get(part, part)) for part in parts]
    columns = [Column("part", [*names, literal("all", "bold")], figures=False)]
    for candidate in plan.candidates:
        counts = [str(by.get(candidate.name, DASH)) for by in parts.values()]
        cells: list[RenderableType] = [
            *map(literal, counts),
            literal(f"{totals[candidate.name]:,}", "bold"),
        ]
        columns.append(Column(literal(shorten(clean(candidate.name), NAME)), cells))
    return columns

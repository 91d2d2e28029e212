"""What to label before there is any data, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.judge.before_data import LEARNT, BeforeData, Three
from choose.judge.words import number, of_100, points, rounded
from choose.report.fitted import Fitted
from choose.report.layout import Column, bullets, note, section, sheet
from choose.report.safe import literal
from choose.report.words import figure, plural


def before_data_page(plan: BeforeData) -> Fitted:
    """Return the plan; it fits the console that it is printed on."""
    return Fitted(lambda width: _parts(plan, width))


def _parts(plan: BeforeData, width: int) -> Iterator[RenderableType]:
    yield literal(headline(plan), style="bold")
    yield Text()
    yield from sheet(_table(plan), width)
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


def _table(plan: BeforeData) -> list[Column]:
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

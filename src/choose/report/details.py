"""What an engineer reads after the candidates: noise, stability, curves, differences, cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from choose.judge.record import Crossing, Decision, LabelRecord, Pair, Scorecard
from choose.report.candidates import NAME, Field
from choose.report.forecasts import forecast_lines
from choose.report.layout import Column, bullets, note, section, sheet
from choose.report.safe import clean, literal, shorten
from choose.report.words import DASH, MINUS, chance, change, percent, plural

SIZES = 6
WEAKEST = 5
LABEL = 40
METHOD = 36


def steadiness(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield how accuracy moves with label noise, with the question's form and by chance."""
    field = Field(decision)
    columns = [
        field.names(),
        field.column("with 10 % more\nwrong labels", lambda card: change(card.noise.slope)),
        field.column("answers\nkept", lambda card: percent(card.stability.agreement)),
        field.column("weakest\nview", _worst_view),
        field.column("sd of\nrows", lambda card: percent(card.variance.test_rows)),
        field.column("sd of\ndraw", lambda card: percent(card.variance.draw)),
        field.column("sd of\nseed", lambda card: percent(card.variance.seed)),
        field.column("sd of\nwording", lambda card: percent(card.variance.wording)),
        field.column("churn", lambda card: percent(card.churn)),
    ]
    yield section(
        "Noise and stability",
        *sheet(columns, width),
        note(
            "In points or of 100. Kept: the same answer when the question is typed differently. "
            "Sd: how much accuracy moves with that source alone. Churn: answers that change on "
            f"retraining. {DASH} is not measured, never zero."
        ),
    )


def _worst_view(card: Scorecard) -> str:
    if not card.stability.views:
        return DASH
    worst = min(card.stability.views, key=lambda view: view.agreement)
    return f"{shorten(clean(worst.view), 16)} {percent(worst.agreement)}"


def curves(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield accuracy by number of labels, and where one candidate overtakes another."""
    field = Field(decision, lambda card: len(card.curve) > 1)
    sizes = sorted({point.labels for card in field.cards for point in card.curve})
    if len(sizes) < 2:
        return
    if len(sizes) > SIZES:
        sizes = [sizes[round(i * (len(sizes) - 1) / (SIZES - 1))] for i in range(SIZES)]
    columns = [
        field.column(f"{size:,}\nlabels", lambda card, size=size: _at(card, size))  # type: ignore[misc]
        for size in sizes
    ]
    said = [*map(_crossing, decision.crossings), *forecast_lines(decision)]
    crossings = [bullets([sentence]) for sentence in said]
    yield section(
        "Right of 100, by number of labels learnt from",
        *sheet([field.names(), *columns], width),
        *crossings,
    )


def _at(card: Scorecard, size: int) -> str:
    return next((percent(point.value) for point in card.curve if point.labels == size), DASH)


def _crossing(crossing: Crossing) -> str:
    labels = crossing.labels
    where = f"at about {labels.value:,.0f} labels" if labels else "at a number that is not known"
    if labels and labels.low is not None and labels.high is not None:
        where += f" ({labels.low:,.0f} to {labels.high:,.0f})"
    sure = f", probability {crossing.probability:.2f}" if crossing.probability is not None else ""
    return f"{crossing.a} overtakes {crossing.b} {where}{sure}."


def differences(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the declared paired differences, corrected together, and count the others."""
    declared = [pair for pair in decision.pairs if pair.declared]
    others = len(decision.pairs) - len(declared)
    parts: list[RenderableType] = []
    if declared:
        parts += sheet(_differences(declared), width)
        about = sorted({clean(p.difference.estimand) for p in declared if p.difference.estimand})
        estimand = f" Intervals are about: {'; '.join(about)}." if about else ""
        parts.append(
            note(
                "Points of accuracy, on the same rows, between candidates fixed before "
                "the test rows were looked at. P (Holm) is corrected for all of them "
                f"together.{estimand}"
            )
        )
    if others:
        parts.append(note(f"{plural(others, 'other pair')}, exploratory: in decision.json."))
    if parts:
        yield section("Differences", *parts)


def _differences(pairs: list[Pair]) -> list[Column]:
    names = [
        literal(f"{shorten(clean(p.a), NAME)} {MINUS} {shorten(clean(p.b), NAME)}") for p in pairs
    ]
    return [
        Column("pair", names, figures=False),
        Column("95 % interval", [literal(change(p.difference)) for p in pairs]),
        Column("p (Holm)", [literal(chance(p.p_holm)) for p in pairs]),
        Column("p", [literal(chance(p.p)) for p in pairs]),
        Column("rows", [literal(f"{p.rows:,}") for p in pairs]),
        Column("method", [literal(shorten(clean(p.method), METHOD)) for p in pairs], figures=False),
    ]


def weakest(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the labels that the candidate in use finds least often."""
    name = decision.verdict.recommended or decision.verdict.use_meanwhile
    card = next((card for card in decision.scorecards if card.candidate == name), None)
    found = [(row.recall, row) for row in card.per_class if row.recall is not None] if card else []
    if len(found) < 2 or all(recall == 1 for recall, _ in found):
        return
    rows: list[LabelRecord] = [row for _, row in sorted(found, key=lambda pair: pair[0])[:WEAKEST]]
    columns = [
        Column("label", [literal(shorten(clean(row.label), LABEL)) for row in rows], figures=False),
        Column("found\nof 100", [literal(percent(row.recall)) for row in rows]),
        Column("right of 100\nso labelled", [literal(percent(row.precision)) for row in rows]),
        Column("rows", [literal(f"{row.support:,}") for row in rows]),
    ]
    yield section(f"Where {shorten(clean(name), NAME)} errs most", *sheet(columns, width))

"""What an engineer reads after the candidates: noise, stability, curves, differences, cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.judge.record import Crossing, Decision, Pair, Scorecard
from choose.report.candidates import NAME, Field
from choose.report.layout import Column, bullets, note, section, table
from choose.report.safe import clean, literal, shorten
from choose.report.words import DASH, MINUS, chance, change, figure, percent, plural

SIZES = 6
WEAKEST = 5


def steadiness(decision: Decision) -> Iterator[RenderableType]:
    """Yield how accuracy moves with label noise, with the question's form and by chance."""
    rows = [
        [field_name, Text(change(card.noise.slope)), Text(percent(card.stability.agreement)),
         Text(_worst_view(card)), *(Text(percent(sd)) for sd in _spreads(card)),
         Text(percent(card.churn))]
        for card, field_name in _named(decision)
    ]
    heads = ("per 10 points of added label noise", "answers kept under views", "weakest view",
             "sd test rows", "sd draw", "sd seed", "sd wording", "churn")
    columns = [Column("candidate", figures=False), *map(Column, heads)]
    yield section("Noise and stability", note("Points of accuracy; sd is a standard deviation by "
                                              f"its source; {DASH} not measured, which is not 0"),
                  table(columns, rows))


def _spreads(card: Scorecard) -> tuple[float | None, ...]:
    by = card.variance
    return by.test_rows, by.draw, by.seed, by.wording


def _worst_view(card: Scorecard) -> str:
    if not card.stability.views:
        return DASH
    worst = min(card.stability.views, key=lambda view: view.agreement)
    return f"{shorten(clean(worst.view), 16)} {percent(worst.agreement)}"


def curves(decision: Decision) -> Iterator[RenderableType]:
    """Yield accuracy by number of labels, and where one candidate overtakes another."""
    sizes = sorted({point.labels for card in decision.scorecards for point in card.curve})
    if len(sizes) < 2:
        return
    if len(sizes) > SIZES:
        sizes = [sizes[round(i * (len(sizes) - 1) / (SIZES - 1))] for i in range(SIZES)]
    rows = []
    for card, name in _named(decision):
        at = {point.labels: point.value for point in card.curve}
        if at:
            rows.append([name, *(Text(percent(at.get(size))) for size in sizes)])
    columns = [Column("labels", figures=False), *(Column(f"{size:,}") for size in sizes)]
    crossings = [_crossing(crossing) for crossing in decision.crossings]
    yield section("Right of 100 by number of labels", table(columns, rows), bullets(crossings))


def _crossing(crossing: Crossing) -> str:
    labels = crossing.labels
    where = f"at about {labels.value:,.0f} labels" if labels else "at a number not known"
    if labels and labels.low is not None and labels.high is not None:
        where += f" ({labels.low:,.0f} to {labels.high:,.0f})"
    sure = f", probability {crossing.probability:.2f}" if crossing.probability is not None else ""
    return f"{crossing.a} overtakes {crossing.b} {where}{sure}."


def differences(decision: Decision) -> Iterator[RenderableType]:
    """Yield the declared paired differences, corrected together, and count the others."""
    declared = [pair for pair in decision.pairs if pair.declared]
    if not decision.pairs:
        return
    rows = [_difference(pair) for pair in declared]
    columns = [Column("pair", figures=False), Column("points (95 % interval)"),
               Column("p\n(Holm)"), Column("p"), Column("rows"), Column("test", figures=False)]
    others = len(decision.pairs) - len(declared)
    notes = [f"Pairs fixed before the run, answered on the same rows; {_estimands(declared)}"
             "p is corrected for all of them together (Holm)."] if declared else []
    if others:
        notes.append(f"{plural(others, 'more pair')} exploratory, in decision.json.")
    tables = [table(columns, rows)] if rows else []
    yield section("Differences in pairs", *tables, *map(note, notes))


def _difference(pair: Pair) -> list[RenderableType]:
    sides = literal(f"{shorten(clean(pair.a), NAME)} {MINUS} {shorten(clean(pair.b), NAME)}")
    return [sides, Text(change(pair.difference)), Text(chance(pair.p_holm)), Text(chance(pair.p)),
            Text(f"{pair.rows:,}"), literal(shorten(clean(pair.method), NAME))]


def _estimands(pairs: list[Pair]) -> str:
    named = sorted({clean(p.difference.estimand) for p in pairs if p.difference.estimand})
    return f"intervals are about {' / '.join(named)}; " if named else ""


def costs(decision: Decision) -> Iterator[RenderableType]:
    """Yield what each candidate takes to fit, to change and to ask."""
    heads = ("fit seconds", "seconds after a changed label", "ms per item", "tokens in per item",
             "tokens out per item", "$ per 1,000", "MB to keep")
    rows = [
        [name, *(Text(figure(value)) for value in (
            card.cost.fit_seconds, card.cost.turnaround_seconds, card.cost.ms_per_item,
            card.cost.tokens_in, card.cost.tokens_out, card.cost.usd_per_1k,
            card.cost.artefact_mb))]
        for card, name in _named(decision)
    ]
    columns = [Column("candidate", figures=False), *map(Column, heads)]
    machine = ", ".join(f"{clean(k)} {clean(v)}" for k, v in decision.machine.items()
                        if isinstance(v, str | int | float))
    where = [note(f"Measured on: {machine}.")] if machine else []
    yield section("What it costs", table(columns, rows), *where)


def weakest(decision: Decision) -> Iterator[RenderableType]:
    """Yield the labels that the candidate in use finds least often."""
    verdict = decision.verdict
    name = verdict.recommended or verdict.use_meanwhile
    for card in decision.scorecards:
        found = [(row.recall, row) for row in card.per_class if row.recall is not None]
        if card.candidate == name and len(found) > 1:
            worst = sorted(found, key=lambda pair: pair[0])[:WEAKEST]
            rows = [[literal(shorten(clean(row.label), NAME)), Text(percent(row.recall)),
                     Text(percent(row.precision)), Text(f"{row.support:,}")] for _, row in worst]
            columns = [Column("label", figures=False), Column("found\nof 100"),
                       Column("right when\nnamed, of 100"), Column("rows")]
            yield section(f"Where {shorten(clean(name), NAME)} errs most", table(columns, rows))


def _named(decision: Decision) -> Iterator[tuple[Scorecard, Text]]:
    field = Field(decision)
    for card in field.cards:
        if card.accuracy is not None:
            yield card, field.name(card)



"""What an engineer reads after the candidates: noise, stability, curves, differences, cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import DASH, MINUS, clean, difference, figure, p_value, percent, plural, span
from choose.report.findings import (
    ABOUT,
    LABEL_WIDTH,
    MEANING,
    _of,
    _served,
    _with_span,
    endpoint_sentences,
    forecast_lines,
    label_sentences,
    shared,
    source,
)
from choose.report.format import literal, shorten
from choose.report.terminal.candidate_table import NAME, Field
from choose.report.terminal.layout import Column, bullets, note, section, sheet
from choose.schema.base import Interval
from choose.schema.decision import Crossing, Decision, Pair
from choose.schema.diagnosis import (
    ErrorClass,
    Failures,
    Suspect,
)
from choose.schema.scorecard import LabelRecord, NewClassPoint, Scorecard

SIZES = 6


WEAKEST = 5


LABEL = 40


METHOD = 36


def steadiness(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield how accuracy moves with label noise, with the question's form and by chance."""
    field = Field(decision)
    columns = [
        field.names(),
        field.column("with 10 % more\nwrong labels", lambda card: difference(card.noise.slope)),
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
        Column("95 % interval", [literal(difference(p.difference)) for p in pairs]),
        Column("p (Holm)", [literal(p_value(p.p_holm)) for p in pairs]),
        Column("p", [literal(p_value(p.p)) for p in pairs]),
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


def failures(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the kinds of errors of the analysed candidate, and what data can fix of them."""
    found = decision.failures
    if found is None or not found.errors:
        return
    kinds = found.classes
    columns = [
        Column("kind", [literal(kind.name) for kind in kinds], figures=False),
        Column("errors", [literal(_count(kind.count)) for kind in kinds]),
        Column("of 100\nerrors", [literal(_share(kind)) for kind in kinds]),
        Column("95 %\ninterval", [literal(span(kind.share)) for kind in kinds]),
        Column("fixed by\nlearning", [literal(_count(kind.fixed)) for kind in kinds]),
        Column("meaning", [literal(MEANING.get(kind.name, "")) for kind in kinds], figures=False),
    ]
    name = shorten(clean(found.candidate), NAME)
    yield section(f"What goes wrong with {name}", *sheet(columns, width), *_fixable(found))


def overlap(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield which errors candidates share, and what a cascade of two would reach."""
    found = decision.overlap
    if found is None:
        return
    parts: list[RenderableType] = [bullets(shared(found))]
    if found.cascade is not None:
        parts.append(
            note(
                "From which confidence on the cheap one answers was chosen on other rows than "
                "those it is measured on."
            )
        )
    yield section("Errors in common", *parts)


def _fixable(found: Failures) -> Iterator[RenderableType]:
    if found.fixable is None or found.reachable is None:
        yield note("Nothing that learns from the labels was asked the same rows.")
        return
    by = shorten(clean(found.supervised), NAME)
    yield note(
        f"Fixed by learning: {by}, which learns from the labels, has the row right. Data can fix "
        f"{_with_span(found.fixable)} of 100 errors, chance fixes taken out; that is up to "
        f"{_with_span(found.reachable)} of 100 rows."
    )


def _share(kind: ErrorClass) -> str:
    return DASH if kind.share is None else percent(kind.share.value)


def _count(count: int | None) -> str:
    return DASH if count is None else f"{count:,}"


SUSPECTS = 10


def labels(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the band of wrong labels, overlapping labels, agreement and the top suspects."""
    found = decision.audit
    if found is None:
        return
    parts: list[RenderableType] = [bullets(label_sentences(found))]
    if found.suspects:
        parts += [*sheet(_columns(found.suspects[:SUSPECTS]), width), note(source(found))]
    yield section("Labels to look at", *parts)


def _columns(suspects: tuple[Suspect, ...]) -> list[Column]:
    def cells(values: Iterator[str]) -> list[RenderableType]:
        return [literal(shorten(clean(value), LABEL_WIDTH)) for value in values]

    return [
        Column("row", cells(s.id for s in suspects), figures=False),
        Column("label as given", cells(s.label for s in suspects), figures=False),
        Column("rather", cells(s.suggested for s in suspects), figures=False),
        Column("candidates\nthat say so", cells(f"{s.agree} of {s.answered}" for s in suspects)),
    ]


def scenes(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield the section on scenarios, as far as any was measured."""
    field = Field(decision)
    later = field.column(
        "lost when asked\nwhat comes later", lambda card: difference(card.stability.temporal_drop)
    )
    topics = ([later, *_noise(field)], _arrival(field), _abstaining(field))
    tables: list[RenderableType] = []
    for columns in topics:
        if known := [column for column in columns if column.known]:
            tables += [*([Text()] if tables else []), *sheet([field.names(), *known], width)]
    if tables:
        yield section("When the world changes", *tables, *map(note, _notes(field)))


def _noise(field: Field) -> list[Column]:
    kinds = {(p.kind, p.rate) for c in field.cards for p in c.noise.kinds}
    return [
        field.column(
            f"lost to {100 * rate:g} %\n{kind} noise",
            lambda card, at=(kind, rate): difference(_noisy(card, *at)),  # type: ignore[misc]
        )
        # Symmetric noise stands beside the others where these were tried.
        for kind, rate in sorted(kinds)
        if rate == max(other for _, other in kinds)
    ]


def _arrival(field: Field) -> list[Column]:
    counts = sorted({p.examples for c in field.cards for p in _points(c)})
    columns = [
        field.column(
            f"after\n{plural(count, 'row')}",
            lambda card, count=count: _recall(card, count),  # type: ignore[misc]
        )
        for count in counts
    ]
    columns.append(field.column("lost on\nothers", _others))
    columns.append(field.column("seconds to\ntake it up", _seconds))
    return columns


def _abstaining(field: Field) -> list[Column]:
    coverages = sorted({p.coverage for c in field.cards for p in c.selective})
    columns = [
        field.column(
            f"right of 100 in\nits surest {100 * coverage:g} %",
            lambda card, coverage=coverage: _surest(card, coverage),  # type: ignore[misc]
        )
        for coverage in coverages
    ]
    return [*columns, field.column("none of\nthese found", _out_of_scope)]


def _notes(field: Field) -> Iterator[str]:
    cards = field.cards
    if any(card.stability.origins for card in cards):
        yield (
            "Lost over time: accuracy after learning from as many rows of any time, minus after "
            "learning from the past only, on the same later rows; with its 95 % interval."
        )
    labels = {c.stability.new_class.label for c in cards if c.stability.new_class is not None}
    for label in sorted(labels):
        yield (
            f"The new class is {shorten(clean(label), LABEL)}, withheld before; after so many of "
            "its rows, how many of 100 are found. Lost on others: against none of its rows, at "
            "the most rows."
        )


def _noisy(card: Scorecard, kind: str, rate: float) -> Interval | None:
    found = (p.loss for p in card.noise.kinds if (p.kind, p.rate) == (kind, rate))
    return next(found, None)


def _points(card: Scorecard) -> tuple[NewClassPoint, ...]:
    return card.stability.new_class.points if card.stability.new_class is not None else ()


def _recall(card: Scorecard, examples: int) -> str:
    found = (percent(p.recall.value) for p in _points(card) if p.examples == examples)
    return next(found, DASH)


def _others(card: Scorecard) -> str:
    return difference(_points(card)[-1].loss) if _points(card) else DASH


def _seconds(card: Scorecard) -> str:
    return figure(_points(card)[-1].fit_seconds) if _points(card) else DASH


def _surest(card: Scorecard, coverage: float) -> str:
    found = (percent(p.accuracy.value) for p in card.selective if p.coverage == coverage)
    return next(found, DASH)


def _out_of_scope(card: Scorecard) -> str:
    return percent(card.out_of_scope_recall)


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
        bullets(endpoint_sentences(decision)),
        note(ABOUT),
    )

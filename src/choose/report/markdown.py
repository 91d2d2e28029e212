"""The decision as Markdown, short enough for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from choose.judge.expectations import Expectation
from choose.judge.record import Cost, Decision, Scorecard
from choose.report import asked, money, service, words
from choose.report.noted import noted
from choose.report.safe import clean
from choose.report.words import DASH, KINDS, chance, change, figure, percent, span

# Whatever Markdown or the HTML inside it could obey.
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:-])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def render_markdown(decision: Decision, checks: Sequence[Expectation] = ()) -> str:
    """Return the report as GitHub-flavoured Markdown; text from data is escaped.

    `checks` are what a build expected.
    """
    return "\n".join(_lines(decision, checks)).rstrip() + "\n"


def literal(text: object) -> str:
    """Return text that Markdown shows and does not follow: no link, no mention, no HTML."""
    return _ACTIVE.sub(lambda found: _ENTITIES.get(found[1], f"\\{found[1]}"), clean(text))


def sentence(text: str) -> str:
    """Escape a sentence of the judge's, in which only names come from outside.

    Hyphens, brackets and colons inside a sentence do nothing, so they stay readable.
    """
    return re.sub(
        r"([\\`*_\[\]<>#|~&@])",
        lambda found: _ENTITIES.get(found[1], f"\\{found[1]}"),
        clean(text).replace("://", ":\u200b//"),
    )


def _lines(decision: Decision, checks: Sequence[Expectation]) -> Iterator[str]:
    verdict, data = decision.verdict, decision.dataset
    yield f"## {sentence(verdict.headline)}"
    yield ""
    which = f": **{literal(verdict.recommended)}**" if verdict.recommended else ""
    meanwhile = (
        f" · use meanwhile: **{literal(verdict.use_meanwhile)}**"
        if verdict.use_meanwhile != verdict.recommended
        else ""
    )
    yield f"{KINDS[verdict.kind]}{which} · confidence {verdict.confidence}{meanwhile}"
    yield ""
    yield (
        f"{literal(data.name)}: {words.plural(data.rows, 'labelled row')}, "
        f"{words.plural(len(data.labels), 'label')}, {data.test_rows:,} rows asked "
        f"({literal(data.division)}){words.learnt(data)}."
    )
    marks = [f"{'met' if check.met else 'NOT MET'}: {check.sentence}" for check in checks]
    yield from _list("What the build expected", marks)
    yield from _list("Why", verdict.reasons)
    yield from _list("What would change this", verdict.flips)
    yield from _list("Where the next hour buys most", verdict.next)
    yield from _section("Candidates", _candidates(decision))
    yield from _section("What it costs", _costs(decision))
    yield from _section("Behind endpoints", _services(decision))
    yield from _section("Declared differences", _pairs(decision))
    yield from _list(
        "Checks", [f"{gate.status}: {gate.name}. {gate.evidence}" for gate in decision.gates]
    )
    yield from _list("Left out", decision.left_out)
    notes = decision.method.notes if decision.method else ()
    yield from _list("What the fits noted", [f"{n.candidate}: {noted(n)}" for n in notes])
    yield ""
    yield (
        f"choose {literal(decision.choose)}, rule {literal(decision.rule)}, data "
        f"`{clean(data.fingerprint)}`, looks {decision.looks}. {DASH} was not measured."
    )


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from _section(title, [f"- {sentence(text)}" for text in sentences])


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"### {title}", "", *lines)


def _candidates(decision: Decision) -> list[str]:
    cards = sorted(decision.scorecards, key=lambda c: -c.accuracy.value if c.accuracy else 1.0)
    models = words.short_models(card.model for card in cards)
    heads = ["candidate", "family", "model", "right of 100", "95 % interval", "rows", "seeds"]
    heads += ["ms an item", "fit seconds"]
    rows = table(heads, (_row(card, models[card.model]) for card in cards))
    return [*rows, "", asked.WARNING] if asked.uneven(decision) else rows


def _row(card: Scorecard, model: str) -> list[str]:
    return [
        literal(card.candidate),
        literal(card.family),
        literal(model),
        percent(card.accuracy.value) if card.accuracy else DASH,
        span(card.accuracy),
        str(card.rows or DASH),
        str(card.repetitions or DASH),
        figure(card.cost.ms_per_item),
        figure(card.cost.fit_seconds),
    ]


def _costs(decision: Decision) -> list[str]:
    """Return the section on money, only where something is priced."""
    if not money.totals(decision):
        return []
    heads = ["candidate", "$ per 1,000", "engineer hours", "$ to build", "$ a refresh", "$ in all"]
    rows = (
        [literal(card.candidate), *(figure(value) for value in _dollars(card.cost))]
        for card in decision.scorecards
    )
    said = [*money.breakevens(decision), *money.shelf_life(decision), *money.serving(decision)]
    notes = [sentence(text) for text in money.notes(decision)]
    return [*table(heads, rows), "", *(f"- {sentence(text)}" for text in said), "", *notes]


def _services(decision: Decision) -> list[str]:
    """Return the section on endpoints, where there are any."""
    rows = service.rows(decision)
    if not rows:
        return []
    said = [f"- {sentence(text)}" for text in service.sentences(decision)]
    cells = ([literal(name), *figures] for name, *figures in rows)
    return [*table(service.HEADS, cells), "", *said, "", service.ABOUT]


def _dollars(cost: Cost) -> tuple[float | None, ...]:
    return (
        cost.usd_per_1k,
        cost.engineer_hours,
        cost.build_usd,
        cost.refresh_usd,
        cost.total_usd,
    )


def _pairs(decision: Decision) -> list[str]:
    rows = [
        [f"{literal(p.a)} against {literal(p.b)}", change(p.difference), chance(p.p_holm)]
        for p in decision.pairs
        if p.declared
    ]
    return table(("pair", "points (95 % interval)", "p (Holm)"), rows) if rows else []


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the cells are escaped already."""
    return [
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' for _ in heads)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]

"""The decision as Markdown, short enough for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from choose.formatting import (
    DASH,
    clean,
    difference,
    figure,
    number,
    p_value,
    percent,
    plural,
    points,
    short_models,
    span,
)
from choose.report import comparison_text, cost_notes, findings
from choose.report.comparison_text import (
    CHANGE_HEADS,
    COMPARISON_HEADS,
    about,
    cells,
    headline,
    others,
    verdict,
)
from choose.report.cost_notes import breakevens, serving, shelf_life, totals
from choose.report.findings import ABOUT, DIVISIONS, ENDPOINT_HEADS, LIMITS, endpoint_sentences
from choose.report.format import KINDS, WARNING, learnt, noted, shorten, uneven
from choose.schema.check import Check
from choose.schema.costs import Cost
from choose.schema.decision import Decision, Expectation, Versus
from choose.schema.scorecard import Scorecard

# Whatever Markdown or the HTML inside it could obey.
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:-])")


_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def render_markdown(decision: Decision, checks: Sequence[Expectation] = ()) -> str:
    """Return the report as GitHub-flavoured Markdown; text from data is escaped.

    `checks` are what a build expected.
    """
    return "\n".join(_decision_lines(decision, checks)).rstrip() + "\n"


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


def _decision_lines(decision: Decision, checks: Sequence[Expectation]) -> Iterator[str]:
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
        f"{literal(data.name)}: {plural(data.rows, 'labelled row')}, "
        f"{plural(len(data.labels), 'label')}, {data.test_rows:,} rows asked "
        f"({literal(data.division)}){learnt(data)}."
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
    models = short_models(card.model for card in cards)
    heads = ["candidate", "family", "model", "right of 100", "95 % interval", "rows", "seeds"]
    heads += ["ms an item", "fit seconds"]
    rows = table(heads, (_row(card, models[card.model]) for card in cards))
    return [*rows, "", WARNING] if uneven(decision) else rows


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
    if not totals(decision):
        return []
    heads = ["candidate", "$ per 1,000", "engineer hours", "$ to build", "$ a refresh", "$ in all"]
    rows = (
        [literal(card.candidate), *(figure(value) for value in _dollars(card.cost))]
        for card in decision.scorecards
    )
    said = [*breakevens(decision), *shelf_life(decision), *serving(decision)]
    notes = [sentence(text) for text in cost_notes.notes(decision)]
    return [*table(heads, rows), "", *(f"- {sentence(text)}" for text in said), "", *notes]


def _services(decision: Decision) -> list[str]:
    """Return the section on endpoints, where there are any."""
    rows = findings.rows(decision)
    if not rows:
        return []
    said = [f"- {sentence(text)}" for text in endpoint_sentences(decision)]
    cells = ([literal(name), *figures] for name, *figures in rows)
    return [*table(ENDPOINT_HEADS, cells), "", *said, "", ABOUT]


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
        [f"{literal(p.a)} against {literal(p.b)}", difference(p.difference), p_value(p.p_holm)]
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


_STATUS = {"good": "good", "look": "**look**", "unknown": "not measured"}


SUSPECTS = 20


def render_check_markdown(check: Check) -> str:
    """Return GitHub-flavoured Markdown; text from data is escaped."""
    return "\n".join(_check_lines(check)).rstrip() + "\n"


def _check_lines(check: Check) -> Iterator[str]:
    yield f"## {sentence(check.headline)}"
    yield ""
    yield (
        f"{literal(check.name)}: {plural(check.rows, 'row')}, "
        f"{plural(len(check.balance.counts), 'label')}; {DIVISIONS[check.division]}."
    )
    if check.first:
        yield from ("", "### Do first", "")
        yield from (f"{i}. {sentence(step.says)}" for i, step in enumerate(check.first, 1))
    yield from ("", "### What was looked at", "", "| | | |", "| --- | --- | --- |")
    for line in check.lines:
        yield f"| {sentence(line.topic)} | {_STATUS[line.status]} | {sentence(line.says)} |"
    yield from _suspects(check)
    yield from _needed(check)
    yield from ("", sentence(LIMITS), "", f"choose {check.choose}, data `{check.fingerprint}`.")


def _suspects(check: Check) -> Iterator[str]:
    if not check.audit or not check.audit.suspected:
        return
    yield from ("", "### Labels to look at first", "")
    yield from ("| row | label as given | rather |", "| --- | --- | --- |")
    for s in check.audit.suspects[: min(SUSPECTS, check.audit.suspected)]:
        yield f"| {literal(s.id)} | {literal(s.label)} | {literal(s.suggested)} |"


def _needed(check: Check) -> Iterator[str]:
    heads = [f"differ on {number(100 * d)} of 100" for d in check.reach.discordances]
    yield from ("", "### Rows that a gain takes", "")
    yield f"| gain | {' | '.join(heads)} |"
    yield "| --- | ---: | ---: | ---: |"
    for row in check.reach.needed:
        yield f"| {points(row.gain)} | {' | '.join(f'{n:,}' for n in row.rows)} |"


LONGEST = 200


def render_versus_markdown(versus: Versus) -> str:
    """Return the comparison as GitHub-flavoured Markdown; text from data is escaped."""
    return "\n".join(_comparison_lines(versus)).rstrip() + "\n"


def _comparison_lines(versus: Versus) -> Iterator[str]:
    yield f"## {sentence(headline(versus))}"
    yield ""
    for name, side in (("Before", versus.before), ("Now", versus.after)):
        data = f"{literal(side.name)}, data {literal(side.fingerprint)}"
        yield f"- {name}: {literal(verdict(side))}, confidence {side.confidence} ({data})"
    rows = [[literal(cell) for cell in cells(shift)] for shift in versus.shifts]
    yield from _comparison_section(
        "Candidates on the common rows", table(COMPARISON_HEADS, rows) if rows else []
    )
    yield from ("", sentence(about(versus)))
    yield from _comparison_list("Why", versus.why)
    yield from _comparison_list("Rows", list(comparison_text.rows(versus.rows)))
    yield from _comparison_list("In one study only", list(others(versus)))
    changed = [[literal(_cut(v)) for v in (c.what, c.before, c.after)] for c in versus.changes]
    yield from _comparison_section("What changed", table(CHANGE_HEADS, changed) if changed else [])


def _cut(value: str | None) -> str:
    return DASH if value is None else shorten(clean(value), LONGEST)


def _comparison_list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    yield from _comparison_section(title, [f"- {sentence(text)}" for text in sentences])


def _comparison_section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"### {title}", "", *lines)

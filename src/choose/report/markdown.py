"""A decision, an audit and a comparison as short Markdown; text from data is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from choose.formatting import (
    DASH,
    clean,
    difference,
    figure,
    p_value,
    percent,
    plural,
    short_models,
    span,
)
from choose.report import check_words, cost_notes, words
from choose.report import study_comparison_text as comparison_text
from choose.report.candidate_order import family_table, fewer_rows, pair_name, ranked
from choose.report.cost_notes import (
    ENDPOINT_HEADS,
    ENDPOINT_NOTE,
    breakevens,
    endpoint_rows,
    endpoint_sentences,
    has_totals,
    serving,
)
from choose.report.decision_text import (
    DIVISIONS,
    LIMITS,
    fit_notes,
    forecast_lines,
    goal_line,
    label_sentences,
    pool_note,
    score_head,
    suspects_note,
)
from choose.report.screen_text import shorten
from choose.report.study_comparison_text import CHANGE_HEADS, COMPARISON_HEADS
from choose.report.text_answers import (
    notes_on_reading,
    other_metrics_table,
    tables_on_reading,
    text_notes,
)
from choose.schema.base import Expectation
from choose.schema.check import Check
from choose.schema.decision import Decision
from choose.schema.scorecard import Cost, Scorecard
from choose.schema.study_changes import Versus

STATUS = {"good": "good", "look": "**look**", "unknown": "not measured"}

# The most doubted rows that an audit lists.
SUSPECTS = 20

# The same of a decision, whose page lists more.
DOUBTED = 10

# Characters of a value that changed.
LONGEST = 200

# Characters with a meaning in Markdown or in HTML inside it.
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:-])")

# The same, but for what a sentence needs and is harmless inside one.
_ACTIVE_IN_SENTENCE = re.compile(r"([\\`*_\[\]<>#|~&@])")

_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}

# Words that GitHub links without any markup: www.a.b, http://a.b, a@b.c, @user, #1, GH-1.
_LINKED = re.compile(r"[^\s|]*(?:www\.|://|@|#\w|\bGH-\d|(?:mailto|xmpp):)[^\s|]*", re.IGNORECASE)


def render_markdown(decision: Decision, checks: Sequence[Expectation] = ()) -> str:
    """Return a decision as Markdown; `checks` are the gates of a build."""
    return "\n".join(_decision_lines(decision, checks)).rstrip() + "\n"


def literal(text: object) -> str:
    """Return text that Markdown shows and does not follow: no link, no mention, no HTML.

    A backslash does not keep GitHub from linking what it finds in the rendered text, so names of
    hosts, addresses and mentions are code spans.
    """
    return _escaped(text, _ACTIVE)


def sentence(text: str) -> str:
    """Escape a sentence that choose wrote, in which only names come from outside.

    Hyphens, parentheses and colons have no meaning inside a sentence, so they stay readable.
    """
    return _escaped(text, _ACTIVE_IN_SENTENCE)


def code(text: object) -> str:
    """Return text as a code span that text cannot close."""
    return f"`{clean(text).replace('`', chr(39))}`"


def _escaped(text: object, active: re.Pattern[str]) -> str:
    text, shown, last = clean(text), "", 0
    for word in _LINKED.finditer(text):
        shown += _inactive(text[last : word.start()], active) + code(word[0])
        last = word.end()
    return shown + _inactive(text[last:], active)


def _inactive(text: str, active: re.Pattern[str]) -> str:
    return active.sub(lambda match: _ENTITIES.get(match[1], f"\\{match[1]}"), text)


def _decision_lines(decision: Decision, checks: Sequence[Expectation]) -> Iterator[str]:
    yield from _first_screen(decision, checks)
    yield from _list("What else matters", list(words.what_else(decision)))
    yield from _section("Candidates", _candidates(decision))
    for part in (other_metrics_table(decision), *tables_on_reading(decision)):
        cells = [[literal(cell) for cell in row] for row in part.rows]
        yield from _section(sentence(part.titled), table(part.heads, cells) if cells else [])
    yield from _list("About these figures", notes_on_reading(decision))
    yield from _list("What would raise a score", list(text_notes(decision)))
    yield from _section("What it costs", _costs(decision))
    yield from _section("Behind endpoints", _services(decision))
    yield from _list("Learning curves", list(forecast_lines(decision)))
    yield from _section("Labels to check", _doubted(decision))
    yield from _section("Planned comparisons", _pairs(decision))
    yield from _list(
        "Checks",
        [
            f"{gate.status}: {gate.name}. {words.evidence(decision, gate)}"
            for gate in decision.gates
        ],
    )
    yield from _list("About the data", decision.dataset.findings)
    yield from _list("Left out", [one.sentence for one in decision.left_out])
    yield from _list("Notes from training", list(fit_notes(decision)))
    yield ""
    yield (
        f"choose {literal(decision.choose)}, rule {literal(decision.rule)}, data "
        f"{code(decision.dataset.fingerprint)}, judged {plural(decision.looks, 'time')}. "
        f"{DASH}: not measured."
    )


def _first_screen(decision: Decision, checks: Sequence[Expectation]) -> Iterator[str]:
    verdict, data = decision.verdict, decision.dataset
    sure = words.how_sure(decision)
    yield from (f"## {sentence(words.answer(decision))}", "")
    yield f"**{sentence(sure)}**" if sure else ""
    doubts = [*words.doubts(decision), *words.caveats(decision)]
    yield from ("", " ".join(map(sentence, doubts)), "")
    labels = f"{plural(len(data.labels), 'label')}, " * bool(data.labels)
    yield (
        f"{literal(data.name)}: {plural(data.rows, 'labelled row')}, "
        f"{labels}{plural(data.test_rows, 'test row')} "
        f"({literal(data.division)}){pool_note(data)}."
    )
    yield from ("", sentence(goal_line(decision.goal)))
    marks = [f"{'met' if check.met else 'NOT MET'}: {check.sentence}" for check in checks]
    yield from _list("Gates of the build", marks)
    families = family_table(decision)
    cells = [[literal(cell) for cell in row] for row in families.rows]
    if families.mark.strip():
        cells[0][0] = f"**{cells[0][0]}**"
    yield from _section("Families", table(families.heads, cells) if cells else [])
    for text in filter(None, (families.compared, words.beyond_limits(decision))):
        yield from ("", sentence(text))
    yield from _list("Rare labels", [words.rare_sentence(rare) for rare in verdict.rare])
    yield from _list("What reading loses", list(words.reading(decision)))
    yield from _section("What to do next", _steps(decision))


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from _section(title, [f"- {sentence(text)}" for text in sentences])


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"### {title}", "", *lines)


def _steps(decision: Decision) -> list[str]:
    told = ((words.step_text(decision, step), step) for step in decision.verdict.steps)
    return [
        f"{place}. {sentence(text)}" + (f" {code(step.command)}" if step.command else "")
        for place, (text, step) in enumerate(told, 1)
    ]


def _candidates(decision: Decision) -> list[str]:
    cards = ranked(decision)
    models = short_models(card.model for card in cards)
    scored = score_head(decision.goal)
    heads = ["candidate", "family", "model", scored, "95 % CI", "rows", "seeds"]
    heads += ["ms per item", "training seconds"]
    return table(heads, (_row(decision, card, models[card.model]) for card in cards))


def _row(decision: Decision, card: Scorecard, model: str) -> list[str]:
    return [
        *map(literal, (card.candidate, card.family, model)),
        percent(card.accuracy.value) if card.accuracy else DASH,
        span(card.accuracy),
        fewer_rows(decision, card) or str(card.rows or DASH),
        str(card.repetitions or DASH),
        *map(figure, (card.cost.ms_per_item, card.cost.fit_seconds)),
    ]


def _costs(decision: Decision) -> list[str]:
    """Return the section on costs; empty without prices."""
    if not has_totals(decision):
        return []
    heads = ["candidate", "$ per 1,000", "$ to train", "$ a year"]
    rows = (
        [literal(card.candidate), *(figure(value) for value in _dollars(card.cost))]
        for card in decision.scorecards
    )
    sentences = [*breakevens(decision), *serving(decision)]
    notes = [sentence(text) for text in cost_notes.notes(decision)]
    return [*table(heads, rows), "", *(f"- {sentence(text)}" for text in sentences), "", *notes]


def _services(decision: Decision) -> list[str]:
    """Return the section on endpoints; empty without any."""
    rows = endpoint_rows(decision)
    if not rows:
        return []
    sentences = [f"- {sentence(text)}" for text in endpoint_sentences(decision)]
    cells = ([literal(name), *figures] for name, *figures in rows)
    return [*table(ENDPOINT_HEADS, cells), "", *sentences, "", ENDPOINT_NOTE]


def _dollars(cost: Cost) -> tuple[float | None, ...]:
    return (cost.usd_per_1k, cost.training_usd, cost.total_usd)


def _doubted(decision: Decision) -> list[str]:
    """Return what the label audit found, with its most doubted rows; empty without an audit."""
    if (audit := decision.audit) is None:
        return []
    silent = filter(None, [words.silent(audit)])
    found = [f"- {sentence(text)}" for text in (*silent, *label_sentences(audit))]
    if not audit.suspects:
        return found
    cells = [
        [*map(literal, (s.id, s.label, s.suggested)), f"{s.agree} of {s.answered}"]
        for s in audit.suspects[:DOUBTED]
    ]
    heads = ("row", "given label", "suggested label", "candidates that agree")
    return [*found, "", *table(heads, cells), "", sentence(suspects_note(audit))]


def _pairs(decision: Decision) -> list[str]:
    rows = [
        [literal(pair_name(p, decision)), difference(p.difference), p_value(p.p_holm)]
        for p in decision.pairs
        if p.declared
    ]
    return table(("pair", "points (95 % CI)", "p (Holm)"), rows) if rows else []


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the cells are escaped already."""
    return [
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' for _ in heads)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def render_check_markdown(check: Check) -> str:
    """Return an audit as Markdown."""
    return "\n".join(_check_lines(check)).rstrip() + "\n"


def _check_lines(check: Check) -> Iterator[str]:
    yield from (f"## {sentence(check_words.headline(check))}", "")
    yield (
        f"{literal(check.name)}: {plural(check.rows, 'row')}, "
        f"{check.answers}; {DIVISIONS[check.division]}."
    )
    yield from (f"\n{sentence(left)}" for left in check.dropped)
    for title, urgent in (("Do first", True), ("Can wait", False)):
        says = [check_words.step(check, s) for s in check.first if s.first is urgent]
        if says:
            yield from ("", f"### {title}", "")
            yield from (f"{i}. {sentence(text)}" for i, text in enumerate(says, 1))
    yield from ("", "### Checks", "", "| | | |", "| --- | --- | --- |")
    for line in check.lines:
        found = sentence(check_words.line(check, line))
        yield f"| {check_words.topic(line)} | {STATUS[line.status]} | {found} |"
    yield from _suspects(check)
    about = f"choose {literal(check.choose)}, data {code(check.fingerprint)}."
    yield from ("", sentence(LIMITS), "", about)


def _suspects(check: Check) -> Iterator[str]:
    if not check.audit or not check.audit.doubted:
        return
    first = check.audit.doubted[:SUSPECTS]
    cells = [[literal(cell) for cell in (s.id, s.label, s.suggested)] for s in first]
    heads = ("row", "given label", "suggested label")
    yield from ("", "### Labels to check first", "", *table(heads, cells))


def render_versus_markdown(versus: Versus) -> str:
    """Return a comparison of two studies as Markdown."""
    return "\n".join(_comparison_lines(versus)).rstrip() + "\n"


def _comparison_lines(versus: Versus) -> Iterator[str]:
    yield from (f"## {sentence(comparison_text.headline(versus))}", "")
    for name, side in (("Before", versus.before), ("Now", versus.after)):
        data = f"{literal(side.name)}, data {literal(side.fingerprint)}"
        yield f"- {name}: {sentence(side.headline)} ({data})"
    rows = [[literal(cell) for cell in comparison_text.cells(shift)] for shift in versus.shifts]
    yield from _section(
        "Candidates on the common rows", table(COMPARISON_HEADS, rows) if rows else []
    )
    yield from ("", sentence(comparison_text.about(versus)))
    yield from _list("Why", comparison_text.why(versus))
    yield from _list("Rows", list(comparison_text.rows(versus)))
    yield from _list("In one study only", list(comparison_text.others(versus)))
    changed = [[literal(_cut(v)) for v in (c.what, c.before, c.after)] for c in versus.changes]
    yield from _section("What changed", table(CHANGE_HEADS, changed) if changed else [])


def _cut(value: str | None) -> str:
    return DASH if value is None else shorten(clean(value), LONGEST)

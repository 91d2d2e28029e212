"""A decision or a comparison as one self-contained HTML page: no script, request or font."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from choose.formatting import (
    DASH,
    clean,
    difference,
    duration,
    figure,
    moment,
    p_value,
    percent,
    percent_interval,
    plural,
    short_models,
    signed_points,
    span,
)
from choose.report import candidate_order
from choose.report import study_comparison_text as words
from choose.report import words as sentences
from choose.report.candidate_order import marked, of_rows, ranked, titles
from choose.report.cost_notes import (
    ENDPOINT_HEADS,
    ENDPOINT_NOTE,
    breakevens,
    endpoint_rows,
    endpoint_sentences,
    has_totals,
    notes,
    serving,
)
from choose.report.decision_text import (
    coverage_line,
    division_line,
    forecast_lines,
    found_head,
    goal_line,
    label_sentences,
    looks_line,
    noted,
    others_named,
    pool_note,
    score_head,
    suspects_note,
    words_in,
)
from choose.report.html.drawings import answers_alike, curves, scores_by
from choose.report.html.page_tables import (
    COST_HEADS,
    LABEL_HEADS,
    PRICES,
    REPLY_HEADS,
    anchor,
    confusion_table,
    cost_rows,
    data_risk,
    differing,
    label_rows,
    measured,
    prompts_used,
    reply_rows,
    shifts_table,
    standings_table,
)
from choose.report.text_answers import text_sections, with_inputs
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.study_changes import Versus

LONGEST = 300  # characters of a row's text on the page; the record has all of it
STATUS = {"pass": ("✓", "pass"), "fail": ("✗", "fail"), "unknown": ("?", "unknown")}

# The parts of the page in its contents, which stay in sight.
CONTENTS = {
    "decision": "Decision",
    "see": "See",
    "reading": "Reading",
    "labels": "Labels",
    "rows": "Rows",
    "money": "Money",
    "evidence": "For reviewers",
    "method": "Method",
    "again": "Reproduce",
}


def render_html(decision: Decision, texts: Mapping[str, str] | None = None) -> str:
    """Return the report as a self-contained HTML page.

    Args:
        decision: the record with everything on the page.
        texts: row id -> text, for the sections that show rows; None where no text was stored.
    """
    template = environment().get_template("page.html.j2")
    return template.render(
        d=decision,
        v=decision.verdict,
        curves=curves(decision),
        **_first_screen(decision),
        **(_labels(decision, texts or {}) if decision.dataset.labels else {"replies": []}),
        **text_sections(with_inputs(decision, texts or {})),
        w=words_in(decision),
        score_head=score_head(decision.goal),
        found_head=found_head(decision),
        others_named="other labels" if decision.dataset.labels else others_named(decision),
        **_evidence(decision, texts or {}),
    )


def _first_screen(decision: Decision) -> dict[str, Any]:
    verdict = decision.verdict
    return {
        "answer": sentences.answer(decision),
        "sure": sentences.how_sure(decision),
        "doubts": list(sentences.doubts(decision)),
        "remarks": list(sentences.what_else(decision)),
        "reading": list(sentences.reading(decision)),
        "caveats": list(sentences.caveats(decision)),
        "standings": standings_table(decision),
        "steps": [(sentences.step_text(decision, s), s) for s in verdict.steps],
        "rare": list(map(sentences.rare_sentence, verdict.rare)),
        "mark": decision.pick,
        "titles": titles(decision),
        "cost_heads": COST_HEADS,
        "cost_rows": cost_rows(decision),
        "data_risk": data_risk(decision),
        "prices": PRICES,
        "money": _money(decision),
    }


def _labels(decision: Decision, texts: Mapping[str, str]) -> dict[str, Any]:
    audit, name = decision.audit, decision.pick
    pick = next((card for card in decision.scorecards if card.candidate == name), None)
    return {
        "labels": label_rows(decision, texts),
        "label_heads": LABEL_HEADS,
        "no_labels": sentences.silent(audit) or "No label is doubted.",
        "suspects_note": suspects_note(audit) if audit else "",
        "audited": list(label_sentences(audit)) if audit and not audit.weak else [],
        "confusion": confusion_table(decision),
        "low_confidence": sentences.low_confidence(decision, pick) if pick else "",
        "reply_heads": REPLY_HEADS,
        "replies": reply_rows(decision, texts),
        "shared_errors": list(sentences.shared_errors(decision)),
        "pick": pick,
    }


def _evidence(decision: Decision, texts: Mapping[str, str]) -> dict[str, Any]:
    counts = Counter(gate.status for gate in decision.gates)
    cards = ranked(decision)
    # What never changes says nothing of noise, typos or new labels.
    readers = [card for card in cards if not answers_alike(card)]
    return {
        "cards": cards,
        "marked": {card.candidate: marked(decision, card) for card in cards},
        "models": short_models(card.model for card in decision.scorecards),
        "differing": differing(decision, texts),
        "prompts": prompts_used(decision),
        "service": {
            "heads": ENDPOINT_HEADS,
            "rows": endpoint_rows(decision),
            "sentences": endpoint_sentences(decision),
            "note": ENDPOINT_NOTE,
        },
        "readers": readers,
        "forecasts": list(forecast_lines(decision)),
        "coverage": coverage_line(decision),
        "evidence": {gate.name: sentences.evidence(decision, gate) for gate in decision.gates},
        "checks": ", ".join(f"{count} {name}" for name, count in counts.most_common()),
        "division": division_line(decision.dataset),
        "goal": goal_line(decision.goal),
        "looks": looks_line(decision),
    }


def _money(decision: Decision) -> dict[str, Any]:
    return {
        "charts": [scores_by(decision, "usd_per_1k"), scores_by(decision, "ms_per_answer")],
        "priced": has_totals(decision),
        "breakevens": list(breakevens(decision)),
        "serving": list(serving(decision)),
        "notes": list(notes(decision)),
    }


@cache
def environment() -> Environment:
    """Return an environment that escapes everything it prints."""
    environment = Environment(
        loader=PackageLoader("choose.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Text of data and models is made one harmless line before it is escaped.
        finalize=_harmless,
    )
    filters: tuple[Callable[..., object], ...] = (
        *(prompt, cut, percent, span, difference, figure, p_value, plural),
        *(continued, pool_note, anchor, moment, noted, change, duration, of_rows, percent_interval),
    )
    named = {function.__name__: function for function in filters}
    environment.filters.update(named, points=signed_points, pair_name=candidate_order.pair_name)
    environment.globals.update(
        status=STATUS,
        dash=DASH,
        measured=measured,
        contents=list(CONTENTS.items()),
    )
    return environment


def _harmless(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = clean(value)
    return text if len(text) <= LONGEST * 4 else f"{text[: LONGEST * 4]}…"


def cut(text: str) -> str:
    """Shorten a row's text to what a table can hold."""
    line = clean(text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def continued(command: str) -> str:
    """Return the command that gives a stored study more time in its short form."""
    return re.sub(r"^choose compare -c (?!\S*\.toml)", "choose continue ", command)


def prompt(text: str) -> Markup:
    """Return a text of several lines, each one cleaned and escaped."""
    lines = text.split("\n")
    return Markup("\n").join(escape(clean(line)) for line in lines)


def change(loss: Interval | None) -> str:
    """Return a loss as a change with its interval, in points: a loss is negative."""
    return difference(loss.negated() if loss else None)


def render_versus_html(versus: Versus) -> str:
    """Return the comparison as a self-contained HTML page; text from data is escaped."""
    template = environment().get_template("versus.html.j2")
    return template.render(v=versus, words=words, shifts=shifts_table(versus))

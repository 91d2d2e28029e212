"""A decision or a comparison as one self-contained HTML page: no script, request or font."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from choose.formatting import (
    DASH,
    clean,
    difference,
    figure,
    moment,
    p_value,
    percent,
    plural,
    short_models,
    signed_points,
    span,
)
from choose.report import study_comparison_text as words
from choose.report.cost_notes import (
    ENDPOINT_HEADS,
    ENDPOINT_NOTE,
    MOVE_HEADS,
    breakevens,
    endpoint_rows,
    endpoint_sentences,
    has_totals,
    moves,
    notes,
    serving,
    shelf_life,
)
from choose.report.decision_text import (
    COLOURS,
    KINDS,
    MEANING,
    UNEVEN,
    chance_line,
    chosen,
    coverage_line,
    division_line,
    forecast_lines,
    goal_line,
    label_sentences,
    looks_line,
    noted,
    pool_note,
    ranked,
    shared_errors,
    suspects_note,
    uneven,
)
from choose.report.html import line_charts as lines
from choose.report.html.chart_style import FAMILY_COLOURS, FAMILY_SIGNS, Figure
from choose.report.html.charts import accuracy, differences, intervals, new_label, price, views
from choose.report.html.line_charts import volumes
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard
from choose.schema.study_changes import Versus

# Words that a figure may hold: ``83.0 to 90.1``, ``2 of 3``.
_LETTERS = re.compile(r"\b(?!(?:to|of)\b)[^\W\d_]+")


class MeasuredTable(NamedTuple):
    """The measured part of a table, which columns hold figures, and the names of the rest."""

    heads: list[str]
    rows: list[list[object]]
    figures: list[bool]
    missing: list[str]


def measured(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> MeasuredTable:
    """Remove columns and rows of dashes, except for the first column, which names the rows.

    Without any measurement nothing is listed as missing: the section says so itself.
    """
    places = [i for i in range(1, len(heads)) if any(row[i] != DASH for row in rows)]
    known = [row for row in rows if any(row[i] != DASH for i in places)]
    if not known:
        return MeasuredTable([], [], [], [])
    missing = [str(head) for i, head in enumerate(heads) if i and i not in places]
    missing += [str(row[0]) for row in rows if row not in known]
    return MeasuredTable(
        [heads[i] for i in (0, *places)],
        [[row[i] for i in (0, *places)] for row in known],
        [False, *(all(_is_figure(row[i]) for row in known) for i in places)],
        missing,
    )


def _is_figure(cell: object) -> bool:
    """Return whether a cell holds a figure, a range or a dash, which are right-aligned."""
    text = str(cell)
    return text == DASH or (any(map(str.isdigit, text)) and not _LETTERS.search(text))


def anchor(caption: str) -> str:
    """Return an id for a table from its caption, which never comes from data."""
    return "table-" + "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8])


# Characters of a row's text on the page; the record has all of it.
LONGEST = 300
_RANGE = re.compile(r"95 % (?:interval|CI) (\S+) to (?=\S*\d|more than)")
STATUS = {"pass": ("✓", "pass"), "fail": ("✗", "fail"), "unknown": ("?", "unknown")}

# Names of the sections in the table of contents.
CONTENTS = {
    "candidates": "Candidates",
    "differences": "Differences",
    "cost": "Cost",
    "endpoints": "Endpoints",
    "labels": "Label by label",
    "curves": "More labels",
    "noise": "Label noise",
    "stability": "Stability",
    "suspects": "Labels to check",
    "errors": "Errors",
    "checks": "Checks",
    "method": "Method",
    "again": "Reproduce",
}

CHARTS: dict[str, Callable[[Decision], Figure | None]] = {
    "accuracy": accuracy,
    "differences": differences,
    "curves": lines.curves,
    "noise": lines.noise,
    "views": views,
    "new_label": new_label,
    "price": price,
    "volumes": volumes,
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
        doubt=next((r for r in decision.verdict.reasons if r.startswith("Confidence is")), None),
        cards=ranked(decision),
        models=short_models(card.model for card in decision.scorecards),
        pick=_pick(decision),
        figures={name: draw(decision) for name, draw in CHARTS.items()},
        texts=texts or {},
        service={
            "heads": ENDPOINT_HEADS,
            "rows": endpoint_rows(decision),
            "sentences": endpoint_sentences(decision),
            "note": ENDPOINT_NOTE,
        },
        uneven=UNEVEN if uneven(decision) else "",
        audited=list(label_sentences(decision.audit)) if decision.audit else [],
        suspects_note=suspects_note(decision.audit) if decision.audit else "",
        shared_errors=list(shared_errors(decision.overlap)) if decision.overlap else [],
        forecasts=list(forecast_lines(decision)),
        money=_money(decision),
        meanings=MEANING,
        coverage=coverage_line(decision),
        division=division_line(decision.dataset),
        goal=goal_line(decision.goal),
        looks=looks_line(decision),
        chance=chance_line(decision.verdict),
    )


def _money(decision: Decision) -> dict[str, Any]:
    return {
        "priced": has_totals(decision),
        "breakevens": list(breakevens(decision)),
        "serving": [*shelf_life(decision), *serving(decision)],
        "heads": MOVE_HEADS,
        "moves": moves(decision),
        "notes": list(notes(decision)),
    }


def _pick(decision: Decision) -> Scorecard | None:
    name = chosen(decision.verdict)
    return next((card for card in decision.scorecards if card.candidate == name), None)


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
        *(prompt, plainly, cut, percent, span, difference, figure, p_value, plural),
        *(pool_note, anchor, moment, noted),
    )
    environment.filters.update({function.__name__: function for function in filters})
    environment.filters["points"] = signed_points
    environment.globals.update(
        kinds=KINDS,
        colours=COLOURS,
        status=STATUS,
        dash=DASH,
        measured=measured,
        contents=list(CONTENTS.items()),
        family_colours=FAMILY_COLOURS,
        family_signs=FAMILY_SIGNS,
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


def prompt(text: str) -> Markup:
    """Return a text of several lines, each one cleaned and escaped."""
    lines = text.split("\n")
    return Markup("\n").join(escape(clean(line)) for line in lines)


def plainly(sentence: str) -> str:
    """Replace statistical terms in a sentence by plain ones."""
    between = _RANGE.sub(r"likely between \1 and ", sentence)
    between = between.replace("upper 95 % bound", "upper end of the likely range")
    return re.sub("95 % (?:interval|CI)", "likely range", between)


def render_versus_html(versus: Versus) -> str:
    """Return the comparison as a self-contained HTML page; text from data is escaped."""
    template = environment().get_template("versus.html.j2")
    return template.render(
        v=versus, words=words, figure=_figure(versus), heads=words.COMPARISON_HEADS
    )


def _figure(versus: Versus) -> Figure | None:
    """Draw the change of each candidate against zero and the margin."""
    rows = [(words.who(s), s.difference) for s in versus.shifts if not s.same_fits]
    if not rows:
        return None
    caption = (
        "Right of the line is better now, left of it worse. A range that contains zero shows no "
        "change; one inside the shaded band shows that no change matters."
    )
    return intervals(rows, versus.margin, "Change of each candidate", caption)

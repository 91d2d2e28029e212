"""Lay a decision out as one page that needs nothing else: no script, no request, no font."""

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
    per_cent,
    percent,
    plural,
    short_models,
    signed_points,
    span,
)
from choose.report import comparison_text as words
from choose.report.cost_notes import (
    MOVE_HEADS,
    breakevens,
    margin_of,
    moves,
    notes,
    serving,
    shelf_life,
    totals,
)
from choose.report.findings import (
    ABOUT,
    ENDPOINT_HEADS,
    MEANING,
    endpoint_sentences,
    forecast_lines,
    label_sentences,
    rows,
    shared,
    source,
)
from choose.report.format import (
    COLOURS,
    KINDS,
    WARNING,
    counted_by,
    learnt,
    noted,
    quantity,
    uneven,
)
from choose.report.html import line_charts as lines
from choose.report.html.charts import accuracy, differences, intervals, new_label, price, views
from choose.report.html.line_charts import volumes
from choose.report.html.style import FAMILY_COLOURS, FAMILY_SIGNS, Figure
from choose.schema.decision import Decision, Versus
from choose.schema.scorecard import Scorecard

# Words that a figure may hold: ``83.0 to 90.1``, ``2 of 3``.
_LETTERS = re.compile(r"\b(?!(?:to|of)\b)[^\W\d_]+")


class Kept(NamedTuple):
    """What is left of a table, which of its columns hold figures, and the names of what is not."""

    heads: list[str]
    rows: list[list[object]]
    figures: list[bool]
    missing: list[str]


def measured(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Kept:
    """Leave out columns and rows of dashes; the first column names the rows and stays.

    Where nothing is left there is nothing to name: the section says that it was not measured.
    """
    places = [i for i in range(1, len(heads)) if any(row[i] != DASH for row in rows)]
    known = [row for row in rows if any(row[i] != DASH for i in places)]
    if not known:
        return Kept([], [], [], [])
    missing = [str(head) for i, head in enumerate(heads) if i and i not in places]
    missing += [str(row[0]) for row in rows if row not in known]
    return Kept(
        [heads[i] for i in (0, *places)],
        [[row[i] for i in (0, *places)] for row in known],
        [False, *(all(_is_figure(row[i]) for row in known) for i in places)],
        missing,
    )


def _is_figure(cell: object) -> bool:
    """Return whether a cell holds a figure, a range or a dash, which line up on the right."""
    text = str(cell)
    return text == DASH or (any(map(str.isdigit, text)) and not _LETTERS.search(text))


def anchor(caption: str) -> str:
    """Return an id for a table from its caption, which we wrote."""
    return "table-" + "-".join(re.findall(r"[a-z0-9]+", caption.lower())[:8])


# What a label or an error may take of the page; the record has the whole.
LONGEST = 300


_RANGE = re.compile(r"95 % (?:interval|CI) (\S+) to (?=\S*\d|more than)")


STATUS = {"pass": ("✓", "pass"), "fail": ("✗", "fail"), "unknown": ("?", "unknown")}


# What the sections are called in the list that leads to them.
CONTENTS = {
    "candidates": "Candidates",
    "differences": "Differences",
    "cost": "Cost",
    "endpoints": "Endpoints",
    "labels": "Label by label",
    "curves": "More labels",
    "noise": "Wrong labels",
    "stability": "Change",
    "suspects": "Labels to look at",
    "errors": "Errors",
    "checks": "Checks",
    "method": "How it was measured",
    "again": "Do it again",
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
        decision: the record; everything on the page stands in it.
        texts: row id -> text, for the sections that show rows; None where no text was kept.
    """
    template = environment().get_template("page.html.j2")
    return template.render(
        d=decision,
        v=decision.verdict,
        doubt=next((r for r in decision.verdict.reasons if r.startswith("Confidence is")), None),
        cards=_ranked(decision),
        models=short_models(card.model for card in decision.scorecards),
        pick=_pick(decision),
        figures={name: draw(decision) for name, draw in CHARTS.items()},
        texts=texts or {},
        service={
            "heads": ENDPOINT_HEADS,
            "rows": rows(decision),
            "said": endpoint_sentences(decision),
            "about": ABOUT,
        },
        uneven=WARNING if uneven(decision) else "",
        audited=list(label_sentences(decision.audit)) if decision.audit else [],
        audit_source=source(decision.audit) if decision.audit else "",
        common=list(shared(decision.overlap)) if decision.overlap else [],
        forecasts=list(forecast_lines(decision)),
        money=_money(decision),
        meanings=MEANING,
        target=quantity(decision.goal, "target"),
        margin=quantity(decision.goal, "margin"),
        counted=counted_by(decision.goal),
    )


def _money(decision: Decision) -> dict[str, Any]:
    return {
        "priced": totals(decision),
        "breakevens": list(breakevens(decision)),
        "serving": [*shelf_life(decision), *serving(decision)],
        "heads": MOVE_HEADS,
        "moves": moves(decision),
        "notes": list(notes(decision)),
        "margin": margin_of(decision.goal),
    }


def _ranked(decision: Decision) -> list[Scorecard]:
    return sorted(
        decision.scorecards,
        key=lambda card: -card.accuracy.value if card.accuracy else 1.0,
    )


def _pick(decision: Decision) -> Scorecard | None:
    name = decision.verdict.recommended or decision.verdict.use_meanwhile
    return next((card for card in decision.scorecards if card.candidate == name), None)


@cache
def environment() -> Environment:
    """Return an environment that escapes whatever it prints."""
    environment = Environment(
        loader=PackageLoader("choose.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Text of data and models is made one harmless line before it is escaped.
        finalize=_harmless,
    )
    environment.filters.update(
        prompt=prompt,
        percent=percent,
        number=per_cent,
        points=signed_points,
        span=span,
        change=difference,
        figure=figure,
        chance=p_value,
        learnt=learnt,
        plural=plural,
        plainly=plainly,
        cut=cut,
        anchor=anchor,
        moment=moment,
        noted=noted,
    )
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
    """Show a text of several lines as it is, each line made harmless and escaped."""
    lines = text.split("\n")
    return Markup("\n").join(escape(clean(line)) for line in lines)


def plainly(sentence: str) -> str:
    """Say a sentence without the statistician's word; the page explains what a range is."""
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
    """Draw what every candidate gained, against zero and the margin."""
    rows = [(words.who(s), s.difference) for s in versus.shifts if not s.same_fits]
    if not rows:
        return None
    caption = (
        "Right of the line is better now, left of it worse; a range that touches the line shows no "
        "change, and one wholly inside the shaded band shows that there is none that matters."
    )
    return intervals(rows, versus.margin, "What each candidate gained", caption)

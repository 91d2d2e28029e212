"""Lay a decision out as one page that needs nothing else: no script, no request, no font."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from choose.judge.record import Decision, Scorecard
from choose.report import asked, failures, labels, money, service, words
from choose.report.forecasts import forecast_lines
from choose.report.html import charts, lines, steadiness
from choose.report.html.figures import Figure
from choose.report.html.tables import anchor, measured
from choose.report.html.theme import FAMILY_COLOURS, FAMILY_SIGNS
from choose.report.html.volumes import volumes
from choose.report.noted import noted
from choose.report.safe import clean

# What a label or an error may take of the page; the record has the whole.
LONGEST = 300

_RANGE = re.compile(r"95 % interval (\S+) to (?=\S*\d|more than)")

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
    "accuracy": charts.accuracy,
    "differences": charts.differences,
    "curves": lines.curves,
    "noise": lines.noise,
    "views": steadiness.views,
    "new_label": steadiness.new_label,
    "price": charts.price,
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
        models=words.short_models(card.model for card in decision.scorecards),
        pick=_pick(decision),
        figures={name: draw(decision) for name, draw in CHARTS.items()},
        texts=texts or {},
        service={
            "heads": service.HEADS,
            "rows": service.rows(decision),
            "said": service.sentences(decision),
            "about": service.ABOUT,
        },
        uneven=asked.WARNING if asked.uneven(decision) else "",
        audited=list(labels.sentences(decision.audit)) if decision.audit else [],
        audit_source=labels.source(decision.audit) if decision.audit else "",
        common=list(failures.shared(decision.overlap)) if decision.overlap else [],
        forecasts=list(forecast_lines(decision)),
        money=_money(decision),
        meanings=failures.MEANING,
        target=words.quantity(decision.goal, "target"),
        margin=words.quantity(decision.goal, "margin"),
        counted=words.counted_by(decision.goal),
    )


def _money(decision: Decision) -> dict[str, Any]:
    return {
        "priced": money.totals(decision),
        "breakevens": list(money.breakevens(decision)),
        "serving": [*money.shelf_life(decision), *money.serving(decision)],
        "heads": money.MOVE_HEADS,
        "moves": money.moves(decision),
        "notes": list(money.notes(decision)),
        "margin": money.margin_of(decision.goal),
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
        percent=words.percent,
        number=words.number,
        points=words.points,
        span=words.span,
        change=words.change,
        figure=words.figure,
        chance=words.chance,
        learnt=words.learnt,
        plural=words.plural,
        plainly=plainly,
        cut=cut,
        anchor=anchor,
        moment=words.moment,
        noted=noted,
    )
    environment.globals.update(
        kinds=words.KINDS,
        colours=words.COLOURS,
        status=STATUS,
        dash=words.DASH,
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
    return between.replace("95 % interval", "likely range").replace(
        "whole interval", "whole likely range"
    )

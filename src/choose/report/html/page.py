"""Lay a decision out as one page that needs nothing else: no script, no request, no font."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from choose.judge.record import Decision, Scorecard
from choose.report import failures, labels, money, words
from choose.report.forecasts import forecast_lines
from choose.report.html import charts, lines
from choose.report.html.figures import Figure
from choose.report.html.volumes import volumes
from choose.report.safe import clean

# What a label or an error may take of the page; the record has the whole.
LONGEST = 300

STATUS = {"pass": ("✓", "pass"), "fail": ("✗", "fail"), "unknown": ("?", "unknown")}
CHARTS: dict[str, Callable[[Decision], Figure | None]] = {
    "accuracy": charts.accuracy,
    "differences": charts.differences,
    "curves": lines.curves,
    "noise": lines.noise,
    "price": charts.price,
    "volumes": volumes,
}


def render_html(decision: Decision, texts: Mapping[str, str] | None = None) -> str:
    """Return the report as a self-contained HTML page.

    Args:
        decision: the record; everything on the page stands in it.
        texts: row id -> text, for the sections that show rows; None where no text was kept.
    """
    template = _environment().get_template("page.html.j2")
    return template.render(
        d=decision,
        v=decision.verdict,
        cards=_ranked(decision),
        models=words.short_models(card.model for card in decision.scorecards),
        pick=_pick(decision),
        figures={name: draw(decision) for name, draw in CHARTS.items()},
        texts=texts or {},
        audited=list(labels.sentences(decision.audit)) if decision.audit else [],
        audit_source=labels.source(decision.audit) if decision.audit else "",
        common=list(failures.shared(decision.overlap)) if decision.overlap else [],
        forecasts=list(forecast_lines(decision)),
        money=_money(decision),
        meanings=failures.MEANING,
        target=words.quantity(decision.goal, "target"),
        margin=words.quantity(decision.goal, "margin"),
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
def _environment() -> Environment:
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
        percent=words.percent,
        number=words.number,
        points=words.points,
        span=words.span,
        change=words.change,
        figure=words.figure,
        chance=words.chance,
        plural=words.plural,
        plainly=plainly,
        cut=cut,
    )
    environment.globals.update(
        kinds=words.KINDS, colours=words.COLOURS, status=STATUS, dash=words.DASH
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


def plainly(sentence: str) -> str:
    """Say a sentence without the statistician's word; the page explains what a range is."""
    return sentence.replace("95 % interval ", "likely between ").replace(
        "whole interval", "whole likely range"
    )

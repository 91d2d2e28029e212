"""Sections of the page on what noise, perturbed rows, time and a new label or field change."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from choose.formatting import DASH, clean, difference, figure, percent, plural
from choose.report.candidate_order import with_rows
from choose.report.decision_text import (
    found_head,
    found_meaning,
    others_named,
    score_head,
    words_in,
)
from choose.report.screen_text import shorten
from choose.report.terminal.candidate_table import CandidateRows
from choose.report.terminal.layout import Column, note, section, split_table
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.scorecard import NewClassPoint, Scorecard, ViewPoint

# The rate of label noise that is shown first.
TEN_PERCENT = 0.1

# Characters of a label, and of a change with its interval and rows.
LABEL = 40
FULL = 44


def stability(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield how accuracy varies with label noise, perturbed test rows and chance."""
    rows, score = CandidateRows(decision), words_in(decision).score
    columns = [
        rows.names(),
        _ten_percent(rows),
        rows.column("weakest view:\nchange", lambda card: _worst_view(rows, card), width=FULL),
        rows.column("answers\nkept", lambda card: percent(_kept(card))),
        rows.column("sd of\nrows", lambda card: percent(card.variance.test_rows)),
        rows.column("sd of\ndraw", lambda card: percent(card.variance.draw)),
        rows.column("sd of\nseed", lambda card: percent(card.variance.seed)),
        rows.column("sd of\nwording", lambda card: percent(card.variance.wording)),
        rows.column("sd of\nsettings", lambda card: percent(card.variance.settings)),
        rows.column("churn", lambda card: percent(card.churn)),
    ]
    yield section(
        "Noise and stability",
        *split_table(columns, width),
        note(
            f"In points or %. Changes of {score} are measured on the same rows with and without "
            "(95 % CI). Kept: the same answer in that view. Sd: standard deviation of "
            f"{score} from that source alone. Churn: answers that change on retraining. "
            f"{DASH}: not measured."
        ),
    )


def _ten_percent(rows: CandidateRows) -> Column:
    """Return the change of accuracy with 10 % of the labels wrong, or the nearest rate measured."""

    def cell(card: Scorecard) -> str:
        if (point := card.noise.near(TEN_PERCENT)) is None:
            return DASH
        text = difference(point.loss.negated())
        text += "" if point.rate == TEN_PERCENT else f" at {100 * point.rate:g} %"
        return with_rows(rows.decision, text, point.loss.row_set)

    return rows.column(
        f"10 % of the {words_in(rows.decision).target}s\nwrong: change", cell, width=FULL
    )


def _kept(card: Scorecard) -> float | None:
    """Return the share of answers that stay the same in the weakest view, else in all of them."""
    weakest = _weakest(card)
    return weakest[0].agreement if weakest else card.stability.agreement


def _weakest(card: Scorecard) -> tuple[ViewPoint, Interval] | None:
    changes = [(view, view.change) for view in card.stability.views if view.change]
    return min(changes, key=lambda pair: pair[1].value, default=None)


def _worst_view(rows: CandidateRows, card: Scorecard) -> str:
    if (found := _weakest(card)) is None:
        return DASH
    worst, change = found
    text = f"{difference(change)} {shorten(clean(worst.view), 16)}"
    return with_rows(rows.decision, text, change.row_set)


def scenarios(decision: Decision, width: int) -> Iterator[RenderableType]:
    """Yield what was measured: later rows, kinds of noise, a new label or field, abstaining."""
    rows = CandidateRows(decision)
    later = rows.column("change on\nlater rows", lambda card: _change(card.stability.temporal_drop))
    topics = ([later, *_noise(rows)], _arrival(rows), _abstaining(rows))
    tables: list[RenderableType] = []
    for columns in topics:
        if measured := [column for column in columns if column.measured]:
            tables += [
                *([Text()] if tables else []),
                *split_table([rows.names(), *measured], width),
            ]
    if tables:
        yield section("Changing data", *tables, *map(note, _notes(rows)))


def _noise(rows: CandidateRows) -> list[Column]:
    kinds = {(p.kind, p.rate) for c in rows.cards for p in c.noise.kinds}
    return [
        rows.column(
            f"change with {100 * rate:g} %\n{kind} noise",
            lambda card, at=(kind, rate): _noisy(rows, card, *at),  # type: ignore[misc]
            width=FULL,
        )
        for kind, rate in sorted(kinds)
        if (kind, rate) != ("symmetric", TEN_PERCENT)
        and rate == max(other for which, other in kinds if which == kind)
    ]


def _arrival(rows: CandidateRows) -> list[Column]:
    counts = sorted({p.examples for c in rows.cards for p in _points(c)})
    found = found_head(rows.decision)
    columns = [
        rows.column(
            f"{found} after\n{plural(count, 'row')}",
            lambda card, count=count: _recall(card, count),  # type: ignore[misc]
        )
        for count in counts
    ]
    columns.append(rows.column("change on\nothers", _others))
    columns.append(rows.column("training\nseconds", _seconds))
    return columns


def _abstaining(rows: CandidateRows) -> list[Column]:
    coverages = sorted({p.coverage for c in rows.cards for p in c.selective})
    head = "% right" if rows.decision.dataset.labels else score_head(rows.decision.goal)
    columns = [
        rows.column(
            f"{head} in the\nsurest {100 * coverage:g} %",
            lambda card, coverage=coverage: next(  # type: ignore[misc]
                (percent(p.accuracy.value) for p in card.selective if p.coverage == coverage), DASH
            ),
        )
        for coverage in coverages
    ]
    return [
        *columns,
        rows.column("out of scope\nfound", lambda card: percent(card.out_of_scope_recall)),
    ]


def _notes(rows: CandidateRows) -> Iterator[str]:
    cards, score, new = rows.cards, words_in(rows.decision).score, words_in(rows.decision).new
    if any(card.stability.origins for card in cards):
        yield (
            f"Change on later rows: {score} after training on earlier rows, minus {score} after "
            "training on as many rows of any time, on the same later rows (95 % CI)."
        )
    labels = {c.stability.new_class.label for c in cards if c.stability.new_class is not None}
    for label in sorted(labels):
        yield (
            f"The new {new} is {shorten(clean(label), LABEL)}, withheld at first; "
            f"{found_meaning(rows.decision)} after so many of its rows. Change on others: points "
            f"gained or lost on {others_named(rows.decision)}, at the most rows."
        )


def _noisy(rows: CandidateRows, card: Scorecard, kind: str, rate: float) -> str:
    loss = next((p.loss for p in card.noise.kinds if (p.kind, p.rate) == (kind, rate)), None)
    return with_rows(rows.decision, _change(loss), loss.row_set if loss else None)


def _change(loss: Interval | None) -> str:
    """Return a loss as a change, so that a minus sign is a loss everywhere."""
    return difference(loss.negated() if loss else None)


def _points(card: Scorecard) -> tuple[NewClassPoint, ...]:
    return card.stability.new_class.points if card.stability.new_class is not None else ()


def _recall(card: Scorecard, examples: int) -> str:
    recalls = (percent(p.recall.value) for p in _points(card) if p.examples == examples)
    return next(recalls, DASH)


def _others(card: Scorecard) -> str:
    return _change(_points(card)[-1].loss) if _points(card) else DASH


def _seconds(card: Scorecard) -> str:
    return figure(_points(card)[-1].fit_seconds) if _points(card) else DASH

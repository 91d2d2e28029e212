"""One line for each family: score, difference on the same rows, rows won and lost, costs."""

from __future__ import annotations

from dataclasses import dataclass

from choose.formatting import (
    DASH,
    clean,
    figure,
    in_percent,
    in_points,
    interval,
    signed_points,
)
from choose.report.candidate_order import standings
from choose.report.decision_text import quantity, score_noun, words_in
from choose.report.score_words import is_share
from choose.report.screen_text import shorten
from choose.report.words import best_reference, called, recall_of, won_and_lost
from choose.schema.decision import Decision
from choose.schema.standings import FamilyResult, Standing

# Columns of a member's name, and of the label in a head.
NAME, LABEL = 20, 8


@dataclass(frozen=True, slots=True)
class FamilyTable:
    """Heads and rows of cells; the first row is of the candidate at the mark, if there is one."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    mark: str
    unmeasured: tuple[str, ...]


def family_table(decision: Decision, bounds: bool = True) -> FamilyTable:
    """Return the families that were measured, each by the member that represents it.

    Where none is usable, the reference that none beats has a row, too.

    Args:
        decision: the record.
        bounds: whether a difference has its interval, or half its width where that says as much.
    """
    known = {standing.candidate: standing for standing in standings(decision)}
    families, usable = decision.verdict.families, decision.verdict.usable
    if not usable and (floor := best_reference(decision)):
        families = (*families, FamilyResult(family="reference", best=floor))
    shown = [(family, known[family.best or ""]) for family in families if family.best in known]
    rows = [_row(decision, family, standing, bounds) for family, standing in shown]
    heads = _heads(decision)
    kept = [i for i, head in enumerate(heads) if head and any(row[i] != DASH for row in rows)]
    return FamilyTable(
        heads=tuple(heads[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in rows),
        mark=_mark(decision) if usable and shown and _used(shown[0][1]) else " ",
        unmeasured=tuple(called(decision, f) for f in decision.verdict.unmeasured),
    )


def _used(standing: Standing) -> bool:
    return standing.chosen and not standing.beyond


def _mark(decision: Decision) -> str:
    return "▶" if decision.verdict.recommended else "▷"


def _heads(decision: Decision) -> tuple[str, ...]:
    noun = score_noun(decision.goal)
    rare = decision.verdict.rare[:1]
    return (
        "family",
        noun if noun == "right" else "score",
        "rows",
        f"“{shorten(clean(rare[0].label), LABEL)}”" if rare else "",
        f"vs {shorten(clean(decision.pick), LABEL)}",
        "won:lost",
        "s/1,000",
        "$/month" if _volume(decision) else "$/1,000",
        "chance",
    )


def _row(
    decision: Decision, family: FamilyResult, standing: Standing, bounds: bool
) -> tuple[str, ...]:
    noun = words_in(decision).baseline if family.family == "baseline" else clean(family.family)
    member = shorten(clean(standing.candidate), NAME)
    told = decision.verdict.chance.get(family.family)
    total = decision.dataset.test_rows
    return (
        noun if member == noun else f"{noun}: {member}",
        _score(decision, standing),
        f"{standing.common:,} of {total:,}" if 0 < standing.common < total else DASH,
        recall_of(decision, standing.candidate) or DASH,
        _difference(standing, bounds),
        won_and_lost(standing) or DASH,
        figure(standing.ms_per_answer),
        _usd(decision, standing),
        DASH if told is None or decision.chance is None else _short(told),
    )


def _volume(decision: Decision) -> float | None:
    return quantity(decision.goal, "volume_per_month")


def _usd(decision: Decision, standing: Standing) -> str:
    """Return dollars of a month's answers, or of 1,000 where their number is not known."""
    usd, volume = standing.usd_per_1k, _volume(decision)
    return figure(usd) if usd is None or volume is None else figure(usd * volume / 1000)


def _short(chance: float) -> str:
    return ">99 %" if chance > 0.99 else "<1 %" if chance < 0.01 else f"{100 * chance:.0f} %"


def _score(decision: Decision, standing: Standing) -> str:
    if standing.accuracy is None:
        return DASH
    value = standing.accuracy.value
    return in_percent(value) if is_share(score_noun(decision.goal)) else f"{value:.2f}"


def _difference(standing: Standing, bounds: bool) -> str:
    gap = standing.difference
    if gap is None:
        return DASH
    if bounds or gap.low is None or gap.high is None:
        return in_points(gap)
    half = max(gap.high - gap.value, gap.value - gap.low)
    if abs(gap.value) + half > 1:  # no difference is that large
        return interval(gap)
    return f"{signed_points(gap.value)} ±{100 * half:.1f}"

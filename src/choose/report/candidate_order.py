"""Candidates as a report orders, names and marks them: standings, titles, rows, contenders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from choose.formatting import (
    DASH,
    MINUS,
    clean,
    figure,
    in_percent,
    in_points,
    interval,
    listed,
    plural,
    short_model,
    signed_points,
)
from choose.report.decision_text import quantity, score_noun
from choose.report.score_words import is_share
from choose.report.screen_text import shorten
from choose.report.words import (
    POSSIBLE,
    apart,
    best_reference,
    compared_on,
    recall_of,
    won_and_lost,
    wrong_and_right,
)
from choose.schema.base import Interval
from choose.schema.decision import Decision, Pair
from choose.schema.scorecard import Scorecard
from choose.schema.standings import FamilyResult, Standing

# Points behind the chosen candidate from which on a candidate is no contender: it is an arrow at
# the edge of the chart.
BEHIND = 15.0


def ranked(
    decision: Decision, include: Callable[[Scorecard], bool] = lambda card: True
) -> list[Scorecard]:
    """Return the candidates, ranked by their differences to the chosen one on common rows.

    Those that share no row with it, and those without an accuracy, come last.
    """
    places = {s.candidate: place for place, s in enumerate(standings(decision))}
    known = (card for card in decision.scorecards if include(card))
    return sorted(known, key=lambda card: (card.accuracy is None, places.get(card.candidate, 0)))


def standings(decision: Decision) -> tuple[Standing, ...]:
    """Return every candidate that has a card against the chosen one, on the rows of both.

    Ranked by that difference; candidates that share no row with the chosen one come last.
    """
    known = {card.candidate for card in decision.scorecards}
    return tuple(s for s in decision.standings if s.candidate in known)


def measured(decision: Decision) -> list[Scorecard]:
    """Return the candidates that have an accuracy, in the order of `ranked`."""
    return ranked(decision, lambda card: card.accuracy is not None)


def titles(decision: Decision) -> dict[str, str]:
    """Return the readable name of each candidate: ``words + logistic regression (tfidf)``."""
    stored = {s.candidate: clean(s.title) for s in decision.standings}
    found = {}
    for card in decision.scorecards:
        name, title = clean(card.candidate), stored.get(card.candidate, "")
        if not title and card.model:
            title = short_model(card.model)
        found[card.candidate] = f"{title} ({name})" if title and title != name else name
    return found


def pair_name(pair: Pair, decision: Decision, longest: int = 60) -> str:
    """Name both sides of a pair."""
    sides = [clean(pair.a), clean(pair.b)]
    return f" {MINUS} ".join(shorten(side, longest) for side in sides)


def contending(decision: Decision) -> list[str]:
    """Return the chosen candidate and those less than `BEHIND` points behind it, the best first.

    If none is that close, the closest one is shown instead.
    """
    placed = [s for s in standings(decision) if s.chosen or s.difference is not None]
    near = [s.candidate for s in placed if s.chosen or points_ahead(s) > -BEHIND]
    return near if len(near) > 1 else [s.candidate for s in placed[:2]]


def points_ahead(standing: Standing) -> float:
    """Return the points by which a candidate is ahead of the chosen one, 0 for that one."""
    return 100 * standing.difference.value if standing.difference else 0.0


def fewer_rows(decision: Decision, card: Scorecard) -> str:
    """Return ``121 of 602``, the test rows of a candidate that did not answer all of them."""
    most = max((c.rows for c in decision.scorecards), default=0)
    most = max(most, decision.dataset.test_rows)
    return out_of(card.rows, most) if 0 < card.rows < most else ""


def out_of(count: int, total: int) -> str:
    """Return ``602``, or ``121 of 602`` where that is not all."""
    return f"{count:,} of {total:,}" if count < total else f"{count:,}"


def marked(decision: Decision, card: Scorecard) -> str:
    """Return a candidate's name, with the rows that it answered if they are not all."""
    few = fewer_rows(decision, card)
    return f"{clean(card.candidate)} ({few})" if few else clean(card.candidate)


def of_rows(estimate: Interval, decision: Decision) -> str:
    """Return the number of rows behind a figure: ``602``, or ``121 of 602`` if it is not all."""
    if estimate.row_set is None:
        return DASH
    return out_of(rows_in(estimate.row_set), decision.dataset.test_rows)


def rows_in(row_set: str) -> int:
    """Return the number of rows behind a figure, which the record names with a checksum of them."""
    return int(row_set.partition(":")[0])


def rows_noted(decision: Decision, sets: Mapping[str, str | None]) -> str:
    """Say on how many test rows each of some candidates was measured; empty if on all of them.

    Args:
        decision: with the number of test rows.
        sets: candidate -> the rows behind its figures.
    """
    total = decision.dataset.test_rows
    by_count: dict[int, list[str]] = {}
    for name, row_set in sets.items():
        if row_set is not None:
            by_count.setdefault(rows_in(row_set), []).append(clean(name))
    if not by_count or set(by_count) == {total}:
        return ""
    if len(by_count) == 1:
        return f"On {next(iter(by_count)):,} of {total:,} test rows."
    said = [f"{listed(names)} on {count:,}" for count, names in sorted(by_count.items())]
    return f"Test rows: {listed(said)} of {total:,}."


def differing_line(decision: Decision) -> str:
    """Say on how many rows the choice and its rival differ, and which of them is right."""
    if (found := decision.disagreement) is None:
        return ""
    wrong, right = wrong_and_right(decision)
    both = found.differing - found.only_chosen_right - found.only_rival_right
    parts = [c for c in decision.verdict.caveats if c.code == "part-of-labels"]
    pools = {name: part.rows for part in parts for name in part.names}
    unlike = "; they were trained on unequal numbers of rows"
    unlike *= pools.get(found.chosen) != pools.get(found.rival)
    return (
        f"{found.differing:,} of {plural(found.rows, 'common row')}: only {clean(found.chosen)} is "
        f"{right} on {found.only_chosen_right:,}, only {clean(found.rival)} on "
        f"{found.only_rival_right:,}, both are {wrong} on {both:,}{unlike}."
    )


# Columns of a member's name, and of the label in a head.
NAME, LABEL = 20, 8


@dataclass(frozen=True, slots=True)
class FamilyTable:
    """Heads and rows of cells, and what differences are of.

    The first row is of the candidate at the mark, if there is one.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    mark: str
    compared: str


def family_table(decision: Decision, bounds: bool = True) -> FamilyTable:
    """Return the families, each by its member to use; those that were not measured come last.

    Where none is usable, the reference that none beats is the first row.

    Args:
        decision: the record.
        bounds: whether a difference has its interval, or half its width where that says as much.
    """
    known = {standing.candidate: standing for standing in standings(decision)}
    families, usable = decision.verdict.families, decision.verdict.usable
    if not usable and (floor := best_reference(decision)):
        families = (FamilyResult(family="reference", best=floor), *families)
    shown = [(family, known[family.best or ""]) for family in families if family.best in known]
    rows = [_row(decision, family, standing, bounds) for family, standing in shown]
    rows += _not_measured(decision) if rows else ()
    first = shown[0][1] if shown else None
    heads = _heads(decision, bool(first and first.chosen))
    mark = "▶" if decision.verdict.recommended else "▷"
    kept = [i for i, head in enumerate(heads) if head and any(row[i] != DASH for row in rows)]
    return FamilyTable(
        heads=tuple(heads[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in rows),
        mark=mark if usable and first and first.chosen and not first.beyond else " ",
        compared=compared_on(decision, [s.candidate for _, s in shown]) if shown[1:] else "",
    )


def _not_measured(decision: Decision) -> Iterator[tuple[str, ...]]:
    """Yield the rows of chances without a figure: what was not measured, and that none will do."""
    chances, blank = decision.verdict.chance, (DASH,) * 5
    for family in decision.verdict.unmeasured:
        told = _chance(decision, chances.get(family))
        yield clean(family), DASH, "not measured", *blank, told
    rest = 1 - sum(chances.values())
    if decision.chance is not None and rest >= POSSIBLE:
        yield "none of these", DASH, DASH, *blank, _chance(decision, rest)


def _heads(decision: Decision, is_first: bool) -> tuple[str, ...]:
    """Return the heads; a long name of the chosen one, if it is the first row, is not cut."""
    noun, pick = score_noun(decision.goal), clean(decision.pick)
    rare = decision.verdict.rare[:1]
    return (
        "family",
        noun if noun == "right" else "score",
        "rows",
        f"“{shorten(clean(rare[0].label), LABEL)}”" if rare else "",
        "vs first" if is_first and len(pick) > LABEL else f"vs {shorten(pick, LABEL)}",
        "won:lost",
        "s/1,000",
        "$/month" if _volume(decision) else "$/1,000",
        "chance",
    )


def _row(
    decision: Decision, family: FamilyResult, standing: Standing, bounds: bool
) -> tuple[str, ...]:
    noun = clean(family.family)
    member = shorten(clean(standing.candidate), NAME)
    total = decision.dataset.test_rows
    return (
        noun if member == noun else f"{noun}: {member}",
        _score(decision, standing) + "*" * apart(decision, standing),
        out_of(standing.common, total) if 0 < standing.common < total else DASH,
        recall_of(decision, standing.candidate) or DASH,
        _difference(standing, bounds),
        won_and_lost(standing) or DASH,
        figure(standing.ms_per_answer),
        _usd(decision, standing),
        _chance(decision, decision.verdict.chance.get(family.family)),
    )


def _volume(decision: Decision) -> float | None:
    return quantity(decision.goal, "volume_per_month")


def _usd(decision: Decision, standing: Standing) -> str:
    """Return dollars of a month's answers, or of 1,000 where their number is not known."""
    usd, volume = standing.usd_per_1k, _volume(decision)
    return figure(usd) if usd is None or volume is None else figure(usd * volume / 1000)


def _chance(decision: Decision, chance: float | None) -> str:
    if chance is None or decision.chance is None:
        return DASH
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

"""What to do first, ranked by how many points of accuracy are at stake."""

from __future__ import annotations

from collections.abc import Iterator

from choose.check.looked import Looked
from choose.check.record import Step
from choose.data.cells import listed, rows_named, short
from choose.data.conflicts import counted
from choose.judge.label_limit import CONFIRMED
from choose.judge.words import plural, points, rounded

MOST = 3
# Less than this at stake does not make the list.
LEAST = 0.002
# Kinds of hints that give whoever reads them access or money.
SECRETS = ("key or token", "payment card number")
# Rows that a rare label should have at least before anything is said about it.
WANTED = 20


def steps_of(looked: Looked) -> tuple[Step, ...]:
    """Return at most three steps; secrets come before everything."""
    found = [step for step in _all(looked) if step.points >= LEAST]
    found.sort(key=lambda step: -step.points)
    return (*_secrets(looked), *found)[:MOST]


def _all(looked: Looked) -> Iterator[Step]:
    yield from _leaks(looked)
    yield from _conflicts(looked)
    yield from _suspects(looked)
    yield from _size(looked)
    yield from _rare(looked)


def _secrets(looked: Looked) -> Iterator[Step]:
    rows = {id for id, kind in looked.personal if kind in SECRETS}
    if rows:
        yield Step(
            says=(
                f"Take what looks like keys or card numbers out of {plural(len(rows), 'row')} "
                f"({rows_named(sorted(rows))}) before any text leaves this machine; revoke keys."
            ),
            points=0.0,
        )


def _leaks(looked: Looked) -> Iterator[Step]:
    if not looked.across or looked.test is None:
        return
    share = len(looked.across) / len(looked.test)
    yield Step(
        says=(
            f"Replace the {plural(len(looked.across), 'test row')} that repeat rows to learn from "
            f"({rows_named(r.id for r in looked.across)}), or divide again by group: elsewhere, "
            f"they flatter by up to {points(share)}."
        ),
        points=share,
    )


def _conflicts(looked: Looked) -> Iterator[Step]:
    found = counted(looked.torn)
    if not found.texts:
        return
    share = found.lost / len(looked.all)
    ids = [e.id for same in looked.torn for e in same]
    yield Step(
        says=(
            f"Settle the {plural(found.texts, 'text')} with more than one label "
            f"({rows_named(ids)}): {points(share)} that nobody can get."
        ),
        points=share,
    )


def _suspects(looked: Looked) -> Iterator[Step]:
    found = looked.audit
    if found is None or not found.suspected:
        return
    share = CONFIRMED * found.suspected / found.rows
    first = [s.id for s in found.suspects[: min(found.suspected, 3)]]
    where = ""
    if found.overlaps and len(looked.balance.counts) > 2:
        pair = found.overlaps[0]
        where = (
            f" Write down first where {short(pair.a, 28)} ends and {short(pair.b, 28)} begins: "
            f"{pair.doubted:,} of them lie between the two."
        )
    yield Step(
        says=(
            f"Look at the labels of the {plural(found.suspected, 'most doubted row')}, "
            f"{rows_named(first)} first. As a rule half of such rows are wrong: about "
            f"{points(share)}.{where}"
        ),
        points=share,
    )


def _size(looked: Looked) -> Iterator[Step]:
    found = looked.reach
    short_of = (found.usual if found.usual is not None else 1.0) - found.margin
    if short_of <= 0:
        return
    all_rows = len(looked.all)
    worth = found.independent / max(found.rows, 1) * all_rows
    if looked.test is None and found.rows < all_rows and worth >= found.margin_rows:
        yield Step(
            says=(
                f"Ask every row instead of a part (--folds 5, five fits): {found.rows:,} rows show "
                f"no gain below {points(found.usual or 1)}, all {all_rows:,} would show the "
                f"{points(found.margin)} that matter."
            ),
            points=short_of,
        )
        return
    missing = rounded(found.margin_rows - found.independent)
    kind = "rows" if looked.test is None else "test rows"
    shows = f"show no gain below {points(found.usual)}" if found.usual else "show no gain at all"
    yield Step(
        says=(
            f"Label about {missing:,} more {kind}, or settle for larger gains: now they {shows}, "
            f"and {points(found.margin)} would matter."
        ),
        points=short_of,
    )


def _rare(looked: Looked) -> Iterator[Step]:
    few = looked.balance.few
    if not few:
        return
    rows = sum(c.rows for c in looked.balance.counts if c.label in few)
    yield Step(
        says=(
            f"Label rows of the rare labels up to about {WANTED} each ({listed(few, 5)}), or "
            "merge them: nothing can be learnt or measured about them."
        ),
        points=max(rows / len(looked.all), LEAST),
    )

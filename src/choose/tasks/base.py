"""What kinds of tasks share: how cells of targets are read, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from choose.errors import DataError, StudyError, did_you_mean, quoted, quoted_list, rows_named
from choose.types import Example


def read_cells(
    values: Sequence[Any],
    rows: Sequence[int],
    column: str,
    *,
    cell: Callable[[Any], tuple[str, ...]],
    expected: str,
) -> list[tuple[str, ...]]:
    """Return the right answers in each cell of a column; none of an empty one.

    `cell` reads one, and raises ValueError saying what is wrong with it.
    """
    found: list[tuple[str, ...]] = []
    wrong: dict[int, str] = {}
    for row, value in zip(rows, values, strict=True):
        try:
            found.append(cell(value))
        except ValueError as error:
            wrong[row] = str(error)
    if wrong:
        [(first, why), *others] = wrong.items()
        named = rows_named(row for row, _ in others)
        more = f" {named.capitalize()} cannot be read either." if others else ""
        raise DataError(f"Row {first}, column {column!r}: {why}.{more} {expected}")
    return found


# Draws a number in [0, 1) for a purpose, always the same for a row.
Draw = Callable[[str], float]

# A target, those of other rows, and a draw give a noisy target.
Disturbance = Callable[[str, Iterable[str], Draw], str]


def swapped(target: str, others: Iterable[str], draw: Draw) -> str:
    """Return the first other target that differs."""
    return next((other for other in others if other != target), target)


def check_differ(pool: Sequence[Example], same: str, verb: str) -> None:
    """Refuse a pool whose targets are all the `same`, so that there is nothing to `verb`."""
    if len({e.targets for e in pool}) == 1:
        raise DataError(
            f"All {len(pool):,} {same} {quoted(pool[0].target)}: there is nothing to {verb}. Name "
            "the right column with --label-column."
        )


def check_named(key: str, given: Mapping[str, str], known: Sequence[str], noun: str) -> None:
    """Refuse a table [task.`key`] with an empty text, or about a label or field that no row has."""
    for name, text in given.items():
        if name not in known:
            raise StudyError(
                f"[task.{key}] has a {noun} {name!r} that no row has.{did_you_mean(name, known)} "
                f"The {noun}s are {quoted_list(known)}."
            )
        if not text.strip():
            raise StudyError(
                f"[task.{key}] is empty for the {noun} {name!r}. Write it, or leave it out."
            )

"""Refuse labelled rows that nothing can be learnt from or asked of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from choose.data.labels import check_classes
from choose.errors import DataError
from choose.types import Example

MINIMUM = 8


def check_rows(pool: Sequence[Example], test: Sequence[Example] | None) -> None:
    """Refuse too few rows or classes, repeated ids, and test labels foreign to the pool.

    Raises:
        DataError: saying what is needed.
    """
    ids = Counter(e.id for e in [*pool, *(test or ())])
    if twice := [id for id, n in ids.items() if n > 1]:
        raise DataError(f"More than one row has the id {twice[0]!r}. Ids must be unique.")
    if len(pool) < MINIMUM:
        raise DataError(
            f"Rows with a text and a label to learn from: {len(pool)}. At least "
            f"{MINIMUM} are needed, and a verdict takes a few hundred."
        )
    _check_numbers({e.target for e in [*pool, *(test or ())]})
    if len({e.target for e in pool}) == 1:
        check_classes([e.target for e in pool])
    check_classes([e.target for e in [*pool, *(test or ())]])
    if test is not None:
        _check_test(pool, test)


def _check_numbers(labels: Collection[str]) -> None:
    """Refuse one number that is written in two ways."""
    written: dict[float, str] = {}
    for label in sorted(labels):
        try:
            other = written.setdefault(float(label), label)
        except ValueError:
            continue
        if other != label:
            raise DataError(
                f"The labels {other!r} and {label!r} are the same number. Write it in one way."
            )


def _check_test(pool: Sequence[Example], test: Sequence[Example]) -> None:
    if len(test) < 2:
        raise DataError(
            f"Rows of the test file with a text and a label: {len(test)}. At least 2 are needed, "
            "and a verdict takes a few hundred."
        )
    known, asked = {e.target for e in pool}, {e.target for e in test}
    if not known & asked:
        raise DataError(
            f"No label of the test file occurs in the pool: {sorted(asked)[0]!r} there, "
            f"{sorted(known)[0]!r} here. Write the labels of both files in one way."
        )

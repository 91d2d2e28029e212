"""Refuse label columns that are not one label a row."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from choose.data.cells import rows_named, short
from choose.errors import DataError

_SEPARATORS = (";", "|", ",")
_LIST = re.compile(r"""\[\s*(['"]).*\1\s*\]""", re.DOTALL)


def check_labels(labels: Sequence[str], rows: Sequence[int], column: str) -> None:
    """Refuse cells that hold several labels, such as ``a;b`` beside ``a`` and ``b``.

    Raises:
        DataError: naming the rows.
    """
    known = set(labels) - {""}
    several = {label for label in known if _is_list(label) or _is_joined(label, known)}
    if several:
        found = [row for row, label in zip(rows, labels, strict=True) if label in several]
        raise DataError(
            f"The label column {column!r} holds several labels in one cell ({rows_named(found)}), "
            f"such as {short(min(several))}. Each row must have one label: choose compares "
            "single-label classification. Keep the main label, or make the pair a label of its own."
        )


def check_classes(labels: Sequence[str]) -> None:
    """Refuse labels among which nothing can be chosen.

    Raises:
        DataError: if there is one class, or nearly as many classes as rows.
    """
    distinct = set(labels)
    if len(distinct) == 1:
        raise DataError(
            f"All {len(labels):,} labelled rows have the label {short(labels[0])}. "
            "There must be at least two labels."
        )
    if 2 * len(distinct) > len(labels):
        raise DataError(
            f"There are {len(distinct):,} different labels in {len(labels):,} labelled rows: the "
            "label column looks like an id or free text. There must be at least two rows a label "
            "on average. Name the right column with --label-column."
        )


def _is_list(label: str) -> bool:
    return _LIST.fullmatch(label) is not None


def _is_joined(label: str, known: Collection[str]) -> bool:
    for separator in _SEPARATORS:
        parts = [part.strip() for part in label.split(separator)]
        if len(parts) > 1 and all(part in known for part in parts):
            return True
    return False

"""From what was paid for to the columns of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from choose.models.endpoints.journal import Paid
from choose.models.endpoints.odds import label_scores
from choose.types import Answers, Counts, Floats, Status


class Row(NamedTuple):
    """What became of one item; `paid` is None where no answer could be had."""

    label: str | None
    status: Status
    paid: Paid | None = None


def answers_of(
    rows: Sequence[Row], labels: Sequence[str], names: Sequence[str], **facts: Any
) -> Answers:
    """Lay the rows out as columns; a column that the server did not fill is None.

    A row without an answer has read and written nothing, and has no latency (NaN).
    """
    usages = [row.paid.usage if row.paid else None for row in rows]
    return Answers(
        outputs=tuple(row.label for row in rows),
        status=tuple(row.status for row in rows),
        scores=_scores(rows, labels, names),
        tokens_in=_counts([u.read if u else 0 for u in usages]),
        # Servers without a prefix cache do not speak of it.
        tokens_cached=_cached([u.cached if u else 0 for u in usages]),
        tokens_out=_counts([u.written if u else 0 for u in usages]),
        latency=np.array([row.paid.seconds if row.paid else np.nan for row in rows]),
        **facts,
    )


def _counts(counts: Sequence[int | None]) -> Counts | None:
    known = [count for count in counts if count is not None]
    return np.array(known, dtype=np.int64) if len(known) == len(counts) else None


def _cached(counts: Sequence[int | None]) -> Counts | None:
    if all(count is None for count in counts):
        return None
    return np.array([count or 0 for count in counts], dtype=np.int64)


def _scores(rows: Sequence[Row], labels: Sequence[str], names: Sequence[str]) -> Floats | None:
    """Return (rows, labels) scores where the server gives any; equal ones where a row has none."""
    found = [_score(row, labels, names) for row in rows]
    if all(score is None for score in found):
        return None
    equal = np.full(len(labels), -np.log(len(labels)))
    return np.stack([equal if score is None else score for score in found])


def _score(row: Row, labels: Sequence[str], names: Sequence[str]) -> Floats | None:
    if row.label is None or row.paid is None or row.paid.odds is None:
        return None
    chosen, content = labels.index(row.label), row.paid.content
    for ways in (names, labels):
        place = content.lower().rfind(ways[chosen].lower())
        if place >= 0:
            written = content[place : place + len(ways[chosen])]
            return label_scores(row.paid.odds, content, written, ways, chosen)
    return None

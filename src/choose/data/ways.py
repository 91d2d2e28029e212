"""The three ways to divide: by a test file, by a held-out part, by cross-fitting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from choose.data.duplicates import Twins, clusters_of, twins_of
from choose.data.findings import chained, not_asked, shared_with_test
from choose.data.parts import folds_of, held_out
from choose.data.pools import sample
from choose.errors import DataError, StudyError
from choose.types import Example

FOLDS = 5
HELD_OUT_SHARE = 0.2
HELD_OUT_MOST = 3_000


@dataclass(frozen=True, slots=True)
class Division:
    """Rows, and for each fold the ids that are asked and those that are kept from the pool."""

    kind: Literal["held-out", "cross-fit"]
    rows: Sequence[Example]
    asked: Sequence[Sequence[str]]
    kept: Sequence[Collection[str]]
    clusters: Mapping[str, str]
    twins: Twins
    findings: Sequence[str]


def by_test(
    pool: Sequence[Example], test: Sequence[Example], limit: int | None, seed: int
) -> Division:
    """Ask a stratified sample of the test rows; leave out pool rows that one of them shadows.

    Raises:
        DataError: if nothing is left to learn from.
    """
    targets = {e.id: e.target for e in test}
    chosen = set(sample(list(targets), targets, limit or len(test), f"test-{seed}"))
    asked = [e for e in test if e.id in chosen]
    twins = twins_of([*pool, *asked])
    kept, removed, concerned = _unshadowed(pool, asked, twins)
    if len({e.target for e in kept}) < 2:
        raise DataError(
            f"{len(removed):,} of {len(pool):,} rows to learn from stand in the test file too, so "
            "nothing is left to learn. Give a test file that holds other rows."
        )
    rows = [*kept, *asked]
    finding = not_asked(len(test), len(asked))
    finding += shared_with_test(removed, concerned, len(asked))
    ids = [e.id for e in asked]
    return Division("held-out", rows, [ids], [chosen], clusters_of(rows, twins), twins, finding)


def by_part(rows: Sequence[Example], limit: int | None, seed: int) -> Division:
    """Hold out one stratified part: 20 % but at most 3,000 rows, or `limit` rows.

    Raises:
        DataError: if rows belong together in a way that leaves nothing to ask.
        StudyError: if the part would be larger than the rest.
    """
    count = limit or min(HELD_OUT_MOST, round(HELD_OUT_SHARE * len(rows)))
    if 2 * count > len(rows):
        raise StudyError(
            f"{count:,} test rows of {len(rows):,} leave too little to learn from. "
            f"Allowed here: 2 to {len(rows) // 2:,}."
        )
    twins, clusters, finding = _together(rows, len(rows) // 2)
    targets = {e.id: e.target for e in rows}
    asked = held_out(list(targets), targets, clusters, count, seed)
    if len(asked) < 2:
        raise _indivisible(rows, clusters, "a held-out part")
    return Division("held-out", rows, [asked], [set(asked)], clusters, twins, finding)


def by_folds(rows: Sequence[Example], folds: int | None, limit: int | None, seed: int) -> Division:
    """Divide into folds, each asked once; with a limit, a stratified sample of the rows is asked.

    Raises:
        DataError: if rows belong together in a way that folds cannot divide.
    """
    count = folds or FOLDS
    twins, clusters, finding = _together(rows, len(rows) // count)
    if len({clusters.get(e.id, f"alone {e.id}") for e in rows}) < count:
        raise _indivisible(rows, clusters, f"{count} folds")
    targets = {e.id: e.target for e in rows}
    ids = list(targets)
    chosen = set(sample(ids, targets, limit or len(ids), f"test-{seed}"))
    parts = [
        part
        for part in folds_of(ids, targets, clusters, count, seed)
        if not chosen.isdisjoint(part)
    ]
    asked = [[id for id in part if id in chosen] for part in parts]
    finding = [*finding, *not_asked(len(ids), len(chosen))]
    return Division(
        "cross-fit", rows, asked, [set(part) for part in parts], clusters, twins, finding
    )


def _unshadowed(
    pool: Sequence[Example], asked: Sequence[Example], twins: Twins
) -> tuple[list[Example], list[Example], list[str]]:
    """Split the pool by whether a test row is nearly the same or of the same group.

    Also returns the ids of the test rows concerned.
    """
    texts = twins.near([e.id for e in asked])
    groups = {e.group for e in asked} - {None}
    removed = [e for e in pool if twins.text_of[e.id] in texts or e.group in groups]
    out = {e.id for e in removed}
    shadows = twins.near(out)
    theirs = {e.group for e in removed} - {None}
    concerned = [e.id for e in asked if twins.text_of[e.id] in shadows or e.group in theirs]
    return [e for e in pool if e.id not in out], removed, concerned


def _together(rows: Sequence[Example], limit: int) -> tuple[Twins, dict[str, str], list[str]]:
    """Find what belongs together; near-duplicates that chain up to over `limit` rows do not."""
    twins = twins_of(rows)
    clusters = clusters_of(rows, twins)
    big = {cluster for cluster, n in Counter(clusters.values()).items() if n > limit}
    texts = {twins.text_of[id] for id, cluster in clusters.items() if cluster in big}
    loose = ~np.isin(twins.pairs[:, 0], list(texts))
    if loose.all():
        return twins, clusters, []
    apart = replace(twins, pairs=twins.pairs[loose])
    count = sum(cluster in big for cluster in clusters.values())
    return twins, clusters_of(rows, apart), chained(count)


def _indivisible(rows: Sequence[Example], clusters: Mapping[str, str], into: str) -> DataError:
    units = len({clusters.get(e.id, f"alone {e.id}") for e in rows})
    return DataError(
        f"{len(rows):,} rows fall into {units:,} sets that belong together, by group or because "
        f"they repeat a text, and {into} cannot divide them. Name another --group-column, ask for "
        "fewer --folds, or give a test file with --test."
    )

"""Stratified folds, samples and orders of rows; folds never separate a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from random import Random

from choose.types import Dataset, Example


def stratified_folds(
    ids: Sequence[str],
    targets: Mapping[str, str],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
) -> list[list[str]]:
    """Deal all rows into `count` parts of similar size and classes.

    Large clusters come first, each to the part with the smallest share of its classes; single
    rows then even the parts out. No part is empty if there are at least `count` clusters.
    """
    totals = Counter(targets[id] for id in ids)
    have = {target: [0] * count for target in totals}
    sizes = [0] * count
    part_of: dict[str, int] = {}
    for unit in sorted(_units(ids, clusters, Random(f"folds-{seed}")), key=len, reverse=True):
        if len(unit) == 1:  # nearly all are, so they are dealt without counting classes
            _, _, part = min(zip(have[targets[unit[0]]], sizes, range(count), strict=True))
        else:
            part = _least(Counter(targets[id] for id in unit), have, totals, sizes)
        for id in unit:
            have[targets[id]][part] += 1
            part_of[id] = part
        sizes[part] += len(unit)
    parts: list[list[str]] = [[] for _ in range(count)]
    for id in ids:
        parts[part_of[id]].append(id)
    return parts


def _least(
    classes: Counter[str], have: Mapping[str, list[int]], totals: Counter[str], sizes: list[int]
) -> int:
    """Return the part with the smallest share of these classes; of equal ones the smallest part."""

    def load(part: int) -> tuple[float, int]:
        return sum(n * have[c][part] / totals[c] for c, n in classes.items()), sizes[part]

    return min(range(len(sizes)), key=load)


def hold_out(
    ids: Sequence[str],
    targets: Mapping[str, str],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
) -> list[str]:
    """Choose at most `count` rows, stratified, without separating a cluster."""
    quota = _quotas(Counter(targets[id] for id in ids), count)
    chosen: set[str] = set()
    for unit in _units(ids, clusters, Random(f"held-out-{seed}")):
        classes = Counter(targets[id] for id in unit)
        if all(n <= quota[c] for c, n in classes.items()):
            quota.subtract(classes)
            chosen.update(unit)
    return [id for id in ids if id in chosen]


def _units(ids: Sequence[str], clusters: Mapping[str, str], random: Random) -> list[list[str]]:
    """Return the clusters in random order; a row in no cluster is one of its own."""
    units: dict[tuple[str, str], list[str]] = {}
    for id in ids:
        key = ("cluster", clusters[id]) if id in clusters else ("row", id)
        units.setdefault(key, []).append(id)
    order = list(units.values())
    random.shuffle(order)
    return order


def _quotas(totals: Counter[str], count: int) -> Counter[str]:
    """Allocate `count` rows to the classes in proportion, by the largest remainders."""
    rows = sum(totals.values())
    exact = {c: n * count / rows for c, n in totals.items()}
    quota = Counter({c: int(share) for c, share in exact.items()})
    rest = sorted(exact, key=lambda c: (int(exact[c]) - exact[c], c))
    quota.update(rest[: count - sum(quota.values())])
    return quota


def sampling_order(
    pool_ids: Iterable[str], targets: Mapping[str, str], draw: int
) -> tuple[str, ...]:
    """Return the ids in the order in which a draw takes them.

    One row of each class comes first, then the classes interleave in proportion to their rows, so
    that every prefix is stratified. The order of `pool_ids` does not matter.
    """
    ids = tuple(sorted(pool_ids))
    return _ordered(ids, tuple(targets[id] for id in ids), draw)


def training_pool(dataset: Dataset, fold: int, draw: int, size: int | None) -> list[Example]:
    """Return the first `size` rows (None: all) of a fold's pool in the order of a draw."""
    pool = dataset.folds[fold].pool
    targets = tuple(dataset.examples[id].target for id in pool)
    order = _order_of_pool(pool, targets, draw)
    return [dataset.examples[id] for id in order[:size]]


def stratified_order(ids: Sequence[str], targets: Mapping[str, str], seed: str) -> tuple[str, ...]:
    """Order the ids so that every prefix holds each class close to its share of the rows."""
    return tuple(id for _, _, id in _positions(ids, [targets[id] for id in ids], seed))


def stratified_sample(
    ids: Sequence[str], targets: Mapping[str, str], limit: int, seed: str
) -> tuple[str, ...]:
    """Return at most `limit` ids, stratified, in the given order."""
    if len(ids) <= limit:
        return tuple(ids)
    chosen = set(stratified_order(sorted(ids), targets, seed)[:limit])
    return tuple(id for id in ids if id in chosen)


def disjoint_from(
    rows: Iterable[Example], test: Collection[str], clusters: Mapping[str, str]
) -> list[Example]:
    """Return the rows that are no test row and in no cluster with one."""
    excluded = {clusters[id] for id in test if id in clusters}
    return [e for e in rows if e.id not in test and clusters.get(e.id) not in excluded]


@lru_cache(maxsize=128)
def _order_of_pool(pool: tuple[str, ...], targets: tuple[str, ...], draw: int) -> tuple[str, ...]:
    return sampling_order(pool, dict(zip(pool, targets, strict=True)), draw)


def _ordered(ids: tuple[str, ...], targets: tuple[str, ...], draw: int) -> tuple[str, ...]:
    positions = _positions(ids, targets, f"pool-{draw}")
    head = [id for _, first, id in positions if first]
    Random(f"head-{draw}").shuffle(head)
    return (*head, *(id for _, first, id in positions if not first))


def _positions(
    ids: Sequence[str], targets: Sequence[str], seed: str
) -> list[tuple[float, bool, str]]:
    """Return (position, is first of its class, id), sorted by position in [0, 1).

    The j-th of a class's n shuffled rows is at (j + u) / n, with one random u in [0, 1) per class.
    """
    rows: dict[str, list[str]] = {}
    for id, target in zip(ids, targets, strict=True):
        rows.setdefault(target, []).append(id)
    positions = []
    for target in sorted(rows):
        random = Random(f"{seed}-{target}")
        random.shuffle(rows[target])
        start = random.random()
        count = len(rows[target])
        positions += [((j + start) / count, j == 0, id) for j, id in enumerate(rows[target])]
    return sorted(positions)

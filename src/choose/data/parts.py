"""Deal rows into parts that are stratified and never separate a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random


def folds_of(
    ids: Sequence[str],
    targets: Mapping[str, str],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
) -> list[list[str]]:
    """Deal all rows into `count` parts that are alike in size and in classes.

    Large clusters are dealt first, each to the part that has least of its classes; single rows
    then even the parts out. No part stays empty if there are at least `count` clusters.
    """
    totals = Counter(targets[id] for id in ids)
    have: list[Counter[str]] = [Counter() for _ in range(count)]
    sizes = [0] * count
    parts: list[set[str]] = [set() for _ in range(count)]
    for unit in sorted(_units(ids, clusters, Random(f"folds-{seed}")), key=len, reverse=True):
        classes = Counter(targets[id] for id in unit)
        part = min(
            range(count),
            key=lambda p: (sum(n * have[p][c] / totals[c] for c, n in classes.items()), sizes[p]),
        )
        have[part].update(classes)
        sizes[part] += len(unit)
        parts[part].update(unit)
    return [[id for id in ids if id in part] for part in parts]


def held_out(
    ids: Sequence[str],
    targets: Mapping[str, str],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
) -> list[str]:
    """Choose at most `count` rows, stratified, so that every cluster is in whole or out whole."""
    quota = _quotas(Counter(targets[id] for id in ids), count)
    chosen: set[str] = set()
    for unit in _units(ids, clusters, Random(f"held-out-{seed}")):
        classes = Counter(targets[id] for id in unit)
        if all(n <= quota[c] for c, n in classes.items()):
            quota.subtract(classes)
            chosen.update(unit)
    return [id for id in ids if id in chosen]


def _units(ids: Sequence[str], clusters: Mapping[str, str], random: Random) -> list[list[str]]:
    """Return the clusters, rows that stand alone being one each, in random order."""
    units: dict[tuple[str, str], list[str]] = {}
    for id in ids:
        key = ("cluster", clusters[id]) if id in clusters else ("row", id)
        units.setdefault(key, []).append(id)
    order = list(units.values())
    random.shuffle(order)
    return order


def _quotas(totals: Counter[str], count: int) -> Counter[str]:
    """Share `count` among the classes in proportion, by the largest remainders."""
    rows = sum(totals.values())
    exact = {c: n * count / rows for c, n in totals.items()}
    quota = Counter({c: int(share) for c, share in exact.items()})
    rest = sorted(exact, key=lambda c: (int(exact[c]) - exact[c], c))
    quota.update(rest[: count - sum(quota.values())])
    return quota

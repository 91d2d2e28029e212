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
    """Return the part that has least of these classes; of equal ones the smallest."""

    def had(part: int) -> tuple[float, int]:
        return sum(n * have[c][part] / totals[c] for c, n in classes.items()), sizes[part]

    return min(range(len(sizes)), key=had)


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

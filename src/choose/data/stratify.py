"""Stratified folds, samples and orders of rows; folds never separate a cluster."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random

from choose.tasks.multilabel import Multilabel
from choose.types import Dataset, Example, Task


def strata_of(task: Task, rows: Iterable[Example]) -> dict[str, str]:
    """Return the class of each row by id: its label, or what its task says of other targets.

    Of a set it is the label that fewest of these rows have; an empty set is a class too.
    """
    rows = list(rows)
    if not isinstance(task, Multilabel):
        return {e.id: task.stratum(e.target) for e in rows}
    sets = {e.id: task.classes(e.target) for e in rows}
    rows_with = Counter(label for labels in sets.values() for label in labels)
    return {id: min(own, key=lambda a: (rows_with[a], a), default="") for id, own in sets.items()}


def folds_of(
    task: Task, rows: Iterable[Example], clusters: Mapping[str, str], count: int
) -> list[list[str]]:
    """Deal rows into parts of similar size and classes; sets of labels evenly in every label."""
    rows = list(rows)
    if isinstance(task, Multilabel):
        classes = {e.id: task.classes(e.target) for e in rows}
    else:
        classes = {id: (name,) for id, name in strata_of(task, rows).items()}
    return stratified_folds(classes, clusters, count, seed=0)


def stratified_folds(
    classes: Mapping[str, Sequence[str]], clusters: Mapping[str, str], count: int, seed: int
) -> list[list[str]]:
    """Deal rows, given with their classes, into `count` parts with similar numbers of each class.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): rows of the class with the
    fewest left come first, each to the part that lacks most of it. Clusters are dealt whole, large
    ones first, which libraries cannot. No part is empty if there are `count` clusters.
    """
    units = sorted(_units(list(classes), clusters, Random(f"folds-{seed}")), key=len, reverse=True)
    held = [Counter(name for id in unit for name in classes[id]) for unit in units]
    left = Counter(name for names in held for name in names.elements())
    lacks = [{name: rows / count for name, rows in left.items()} for _ in range(count)]
    room = [len(classes) / count] * count
    parts: list[list[int]] = [[] for _ in range(count)]
    for number, name in _rarest_first(held):
        part = max(range(count), key=lambda p: (lacks[p].get(name, 0.0), room[p]))
        parts[part].append(number)
        room[part] -= len(units[number])
        for own, rows in held[number].items():
            lacks[part][own] -= rows
    for part in range(count):
        if not parts[part]:
            parts[part].append(max(parts, key=len).pop())
    place = {id: n for n, part in enumerate(parts) for number in part for id in units[number]}
    found: list[list[str]] = [[] for _ in range(count)]
    for id in classes:
        found[place[id]].append(id)
    return found


def _rarest_first(held: Sequence[Counter[str]]) -> Iterator[tuple[int, str]]:
    """Yield the place of each unit with the class for which it is dealt, "" if it has none."""
    with_class: dict[str, list[int]] = {}
    for number, names in enumerate(held):
        for name in names:
            with_class.setdefault(name, []).append(number)
    left = Counter(name for names in held for name in names.elements())
    waiting = dict.fromkeys(range(len(held)))
    while rest := [name for name, rows in left.items() if rows > 0]:
        rarest = min(rest, key=lambda name: (left[name], name))
        for number in with_class[rarest]:
            if number in waiting:
                del waiting[number]
                left.subtract(held[number])
                yield number, rarest
    yield from ((number, "") for number in waiting)


def hold_out(
    ids: Sequence[str],
    targets: Mapping[str, str],
    clusters: Mapping[str, str],
    count: int,
) -> list[str]:
    """Choose at most `count` rows, stratified, without separating a cluster."""
    quota = _quotas(Counter(targets[id] for id in ids), count)
    chosen: set[str] = set()
    for unit in _units(ids, clusters, Random("held-out-0")):
        classes = Counter(targets[id] for id in unit)
        if all(n <= quota[c] for c, n in classes.items()):
            quota.subtract(classes)
            chosen.update(unit)
    return [id for id in ids if id in chosen]


def _units(ids: Sequence[str], clusters: Mapping[str, str], random: Random) -> list[list[str]]:
    units: dict[tuple[str, str], list[str]] = {}
    for id in ids:
        key = ("cluster", clusters[id]) if id in clusters else ("row", id)
        units.setdefault(key, []).append(id)
    order = list(units.values())
    random.shuffle(order)
    return order


def _quotas(totals: Counter[str], count: int) -> Counter[str]:
    rows = sum(totals.values())
    exact = {c: n * count / rows for c, n in totals.items()}
    quota = Counter({c: int(share) for c, share in exact.items()})
    rest = sorted(exact, key=lambda c: (int(exact[c]) - exact[c], c))  # largest remainders
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
    targets = strata_of(dataset.task, (dataset.examples[id] for id in pool))
    return [dataset.examples[id] for id in sampling_order(pool, targets, draw)[:size]]


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

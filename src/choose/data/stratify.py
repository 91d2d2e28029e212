"""Stratified folds, samples and orders of rows; folds never separate a cluster.

Strata are the classes and, where it is given, how hard each row is for a cheap baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random

from choose.tasks.multilabel import Multilabel
from choose.types import Dataset, Example, Task

# Levels of difficulty within a class.
LEVELS = 3


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
    task: Task,
    rows: Iterable[Example],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
    difficulty: Mapping[str, float] | None = None,
) -> list[list[str]]:
    """Deal rows into parts of similar size and classes; sets of labels evenly in every label."""
    rows = list(rows)
    if isinstance(task, Multilabel):
        sets = {e.id: task.classes(e.target) for e in rows}
        return label_by_label(sets, clusters, count, seed, difficulty or {})
    targets = strata_of(task, rows)
    return stratified_folds(list(targets), targets, clusters, count, seed, difficulty)


def label_by_label(
    sets: Mapping[str, Sequence[str]],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
    difficulty: Mapping[str, float],
) -> list[list[str]]:
    """Deal rows with sets of labels into `count` parts with similar numbers of every label.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): rows of the label with the
    fewest left come first, each to the part that lacks most of it. Clusters are dealt whole, large
    ones first, which libraries cannot. No part is empty if there are `count` clusters.
    """
    units = sorted(_units(list(sets), clusters, Random(f"folds-{seed}")), key=len, reverse=True)
    dealt = _Dealt(units, [Counter(label for id in unit for label in sets[id]) for unit in units])
    dealt.difficulty = [sum(difficulty.get(id, 0.0) for id in unit) for unit in units]
    parts = dealt.into(count)
    place = {id: n for n, part in enumerate(parts) for number in part for id in units[number]}
    return [[id for id in sets if place[id] == part] for part in range(count)]


class _Dealt:
    """Units of rows with the number of rows of each label in each."""

    def __init__(self, units: Sequence[Sequence[str]], held: Sequence[Counter[str]]) -> None:
        self.sizes, self.held = [len(unit) for unit in units], held
        self.difficulty = [0.0] * len(units)
        self.left = Counter(label for labels in held for label in labels.elements())
        self.with_label: dict[str, list[int]] = {}
        for number, labels in enumerate(held):
            for label in labels:
                self.with_label.setdefault(label, []).append(number)

    def into(self, count: int) -> list[list[int]]:
        """Deal the units, the rarest label first; return the numbers of those in each part."""
        lacks = [{label: rows / count for label, rows in self.left.items()} for _ in range(count)]
        room, hard = [sum(self.sizes) / count] * count, [0.0] * count
        parts: list[list[int]] = [[] for _ in range(count)]
        for number, label in self._in_order():
            part = max(range(count), key=lambda p: (lacks[p].get(label, 0.0), room[p], -hard[p]))
            parts[part].append(number)
            room[part] -= self.sizes[number]
            hard[part] += self.difficulty[number]
            for own, rows in self.held[number].items():
                lacks[part][own] -= rows
        for part in range(count):
            if not parts[part]:
                parts[part].append(max(parts, key=len).pop())
        return parts

    def _in_order(self) -> Iterator[tuple[int, str]]:
        """Yield each unit with the label for which it is dealt, "" for units without labels."""
        left, waiting = Counter(self.left), dict.fromkeys(range(len(self.held)))
        while rest := [label for label, rows in left.items() if rows > 0]:
            rarest = min(rest, key=lambda label: (left[label], label))
            for number in self.with_label[rarest]:
                if number in waiting:
                    del waiting[number]
                    left.subtract(self.held[number])
                    yield number, rarest
        yield from ((number, "") for number in waiting)


def stratified_folds(
    ids: Sequence[str],
    targets: Mapping[str, str],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
    difficulty: Mapping[str, float] | None = None,
) -> list[list[str]]:
    """Deal all rows into `count` parts of similar size, classes and difficulty.

    Large clusters come first, each to the part with the smallest share of its classes; single
    rows then even the parts out. With `difficulty`, the hardest third of a class is dealt first,
    then the next, each row to a part that has had the easiest rows. No part is empty if there are
    at least `count` clusters.
    """
    parts = _Parts(Counter(targets[id] for id in ids), count, difficulty or {})
    units = _units(ids, clusters, Random(f"folds-{seed}"))
    for unit in sorted((u for u in units if len(u) > 1), key=len, reverse=True):
        parts.add(unit, parts.least(unit, targets), targets)
    singles = [unit[0] for unit in units if len(unit) == 1]
    if difficulty is not None:
        by_class: dict[str, list[str]] = {}
        for id in singles:
            by_class.setdefault(targets[id], []).append(id)
        singles = [
            id for target in sorted(by_class) for id in parts.in_rounds(target, by_class[target])
        ]
    to_come = Counter(targets[id] for id in singles)
    for id in singles:
        target = targets[id]
        parts.add([id], parts.next(target, to_come[target]), targets)
        to_come[target] -= 1
    found: list[list[str]] = [[] for _ in range(count)]
    for id in ids:
        found[parts.of[id]].append(id)
    return found


class _Parts:
    """The rows that each part holds so far: by class, in number, and their summed difficulty."""

    def __init__(
        self, totals: Mapping[str, int], count: int, difficulty: Mapping[str, float]
    ) -> None:
        self.totals, self.difficulty = totals, difficulty
        self.hardness = sum(difficulty.values())
        self.have = {target: [0] * count for target in totals}
        self.sizes, self.hard = [0] * count, [0.0] * count
        self.of: dict[str, int] = {}

    def add(self, unit: Sequence[str], part: int, targets: Mapping[str, str]) -> None:
        for id in unit:
            self.have[targets[id]][part] += 1
            self.hard[part] += self.difficulty.get(id, 0.0)
            self.of[id] = part
        self.sizes[part] += len(unit)

    def in_rounds(self, target: str, ids: Sequence[str]) -> list[str]:
        """Order the single rows of a class: those that even the parts out, then third by third.

        The former are taken from all ranks alike, or the parts with few rows would get the hardest.
        Within a third of the class, from the hardest to the easiest, rows keep their random order:
        sorted rows would part like ones for certain, which raised accuracies by 0.2 points or so.
        """
        ranked = sorted(ids, key=lambda id: -self.difficulty[id])
        have = self.have[target]
        missing = min(len(ids), sum(max(have) - rows for rows in have))
        chosen = {ranked[int((n + 0.5) * len(ranked) / missing)] for n in range(missing)}
        first = _spread(sorted(chosen), self.difficulty, Random(f"even-{target}"))
        third = {id: LEVELS * rank // len(ranked) for rank, id in enumerate(ranked)}
        return [*first, *sorted((id for id in ids if id not in chosen), key=third.__getitem__)]

    def next(self, target: str, to_come: int) -> int:
        """Return the part of the next single row of a class, of which `to_come` are left.

        While every part gets one, the parts' sizes stay as they are; the last rows even them out.
        """
        have = self.have[target]
        fewest = min(have)
        tied = [part for part, rows in enumerate(have) if rows == fewest]
        if to_come >= len(tied):
            return min(tied, key=lambda part: (self.hard[part], self.sizes[part]))
        return min(tied, key=lambda part: (self.sizes[part], self.hard[part]))

    def least(self, unit: Sequence[str], targets: Mapping[str, str]) -> int:
        """Return the part with the smallest share of a cluster's classes and of its difficulty."""
        classes = Counter(targets[id] for id in unit)
        own = sum(self.difficulty.get(id, 0.0) for id in unit)

        def load(part: int) -> tuple[float, int]:
            share = sum(n * self.have[c][part] / self.totals[c] for c, n in classes.items())
            hard = own * self.hard[part] / self.hardness if self.hardness else 0.0
            return share + hard, self.sizes[part]

        return min(range(len(self.sizes)), key=load)


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
    targets = tuple(strata_of(dataset.task, (dataset.examples[id] for id in pool)).values())
    order = _order_of_pool(pool, targets, draw)
    return [dataset.examples[id] for id in order[:size]]


def stratified_order(
    ids: Sequence[str],
    targets: Mapping[str, str],
    seed: str,
    difficulty: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """Order the ids so that every prefix holds each class close to its share of the rows.

    With `difficulty`, every prefix also holds easy and hard rows of each class in proportion.
    """
    found = _positions(ids, [targets[id] for id in ids], seed, difficulty)
    return tuple(id for _, _, id in found)


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
    ids: Sequence[str],
    targets: Sequence[str],
    seed: str,
    difficulty: Mapping[str, float] | None = None,
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
        if difficulty is not None:
            rows[target] = _spread(rows[target], difficulty, random)
        start = random.random()
        count = len(rows[target])
        positions += [((j + start) / count, j == 0, id) for j, id in enumerate(rows[target])]
    return sorted(positions)


def _spread(ids: Sequence[str], difficulty: Mapping[str, float], random: Random) -> list[str]:
    """Order ids so that every prefix is spread over the difficulty, which a random one opens.

    Ranks are taken in the order of their reversed bits (van der Corput), after a random shift of
    the bits: the first two are of different halves, the first four of different quarters.
    """
    bits = max(1, (len(ids) - 1).bit_length())
    shift = random.randrange(2**bits)
    ranked = sorted(ids, key=lambda id: difficulty.get(id, 1.0))
    reversed_bits = [int(f"{rank ^ shift:0{bits}b}"[::-1], 2) for rank in range(len(ids))]
    return [ranked[rank] for rank in sorted(range(len(ids)), key=reversed_bits.__getitem__)]

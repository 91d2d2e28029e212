"""How long, in what order and with what weights a pool is learnt; what is kept to check on."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from choose.models.batches import shuffled

if TYPE_CHECKING:
    import torch

# Below this many rows every label is worth more as a lesson than as a check.
EARLY_STOPPING_FROM = 1500
WARM_UP = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """A training schedule: `steps` batches of `batch` rows; `held_out` rows only checked on."""

    steps: int
    batch: int
    rate: float
    held_out: int


def plan(rows: int, classes: int, rate: float, epochs: float | None = None) -> Plan:
    """Return a schedule for a pool of `rows` labels, from a handful to tens of thousands.

    The number of epochs falls with the square root of the pool, and the number of steps never
    under what a head with that many classes needs to move at all.
    """
    held_out = min(500, rows // 10) if rows >= EARLY_STOPPING_FROM else 0
    learnt = max(1, rows - held_out)
    batch = max(2, min(8 if learnt < 500 else 16 if learnt < 1000 else 32, learnt // 2))
    passes = min(30.0, max(3.0, 7 * math.sqrt(300 / learnt))) if epochs is None else epochs
    least = 40 + 2 * min(classes, 100) if epochs is None else 1
    return Plan(max(least, math.ceil(passes * learnt / batch)), batch, rate, held_out)


def batches(
    rows: Sequence[Sequence[int]], plan: Plan, chooser: random.Random
) -> Iterator[list[int]]:
    """Yield places of rows batch by batch, epoch after epoch, for ever."""
    lengths = [len(row) for row in rows]
    while True:
        yield from shuffled(lengths, plan.batch, chooser)


def factor(step: int, steps: int) -> float:
    """Rise linearly, then fall along a cosine to nothing."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def class_weights(targets: Sequence[int], classes: int) -> torch.Tensor:
    """Return (classes,) weights that fall with the square root of a class's size, mean 1 a row.

    The root is the middle between accuracy, which wants none, and recall of rare classes.
    """
    import torch

    counts = Counter(targets)
    raw = torch.tensor([max(1, counts[c]) ** -0.5 for c in range(classes)])
    return raw / raw[list(targets)].mean()


def split(
    targets: Sequence[int], held_out: int, chooser: random.Random
) -> tuple[list[int], list[int]]:
    """Divide places into learnt and checked, each class in its share, one left to learn from.

    Where too many classes have a single row, fewer are checked than were to be held out.
    """
    places = list(range(len(targets)))
    chooser.shuffle(places)
    if not held_out:
        return places, []
    carried = _carried([targets[place] for place in places], held_out)
    seen: Counter[int] = Counter()
    learnt: list[int] = []
    checked: list[int] = []
    for place in places:
        kind = targets[place]
        before, after = (seen[kind] + n for n in (0, 1))
        seen[kind] = after
        due = [(n * held_out + carried[kind]) // len(targets) for n in (before, after)]
        (checked if due[1] > due[0] else learnt).append(place)
    return learnt, checked


def _carried(targets: Sequence[int], held_out: int) -> Counter[int]:
    """Return what classes start with towards their next checked row, in parts of the whole.

    Shares are rounded down, then those with the largest remainders get one row more until as many
    are checked as were to be held out; of equal ones those that come first.
    """
    counts, whole = Counter(targets), len(targets)
    short = held_out - sum(count * held_out // whole for count in counts.values())
    remainders = {kind: count * held_out % whole for kind, count in counts.items() if count > 1}
    largest = sorted((kind for kind, r in remainders.items() if r), key=lambda k: -remainders[k])
    return Counter({kind: whole - remainders[kind] for kind in largest[:short]})

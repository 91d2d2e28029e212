"""Add noise to the targets of a training pool, nested by rate and equal in pools of any size."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b

from choose.errors import StudyError
from choose.tasks.answering import corpus_of
from choose.tasks.evidence_spans import evidence_of_another
from choose.tasks.kinds import KINDS
from choose.types import Example, Task

# Other rows that are tried, in the order of a ring, for a target that differs.
DONORS = 200


def noisy(
    pool: Sequence[Example],
    task: Task,
    rate: float,
    seed: int,
    donors: Sequence[Example] | None = None,
) -> list[Example]:
    """Return a pool in which each row has another target with probability `rate`, in its order.

    A label becomes any of the others, a set loses or gains a label, a ranking gets the document of
    another question, and records and texts swap rows; evidence follows the answer
    (`evidence_of_another`). Whether a row changes, and to what, depends on its id, its target and
    the seed alone, so that a higher rate changes a superset of the rows in the same way. What a row
    takes from other rows, it takes from `donors` (by default the pool), which should be the whole
    pool of a fold, so that smaller pools get the same noise.

    Raises:
        StudyError: if the rate is no share below 1.
    """
    if not 0 <= rate < 1:
        raise StudyError(
            f"A noise rate of {rate:g} cannot be used: it is the share of labels that are "
            "flipped. Allowed: 0 up to (not including) 1, for example 0.1."
        )
    if not rate:
        return list(pool)
    flips = [row for row in pool if _uniform("flip", seed, row.id) < rate]
    changed = {row.id: row for row in _disturbed(flips, task, seed, donors or pool)}
    return [changed.get(row.id, row) for row in pool]


def _disturbed(
    rows: Sequence[Example], task: Task, seed: int, donors: Sequence[Example]
) -> Iterator[Example]:
    kind = KINDS[task.kind]
    if kind.disturb is None:
        yield from (_flipped(row, task.labels, seed) for row in rows)
        return
    ring = sorted(donors, key=lambda e: (_uniform("donor", seed, e.id), e.id))
    places = [_uniform("donor", seed, row.id) for row in ring]
    follows = corpus_of(task) if kind.reads_passages else None
    for row in rows:
        draw = partial(_uniform, seed=seed, id=row.id)
        target = kind.disturb(row.target, _in_ring(ring, places, seed, row), draw)
        if target != row.target:
            row = replace(row, target=target, accepted=())
            if row.evidence and follows is not None:
                row = replace(row, evidence=evidence_of_another(row, follows))
        yield row


def _flipped(row: Example, labels: Sequence[str], seed: int) -> Example:
    """Give a row one of the other labels, each as often."""
    others = [label for label in labels if label != row.target]
    return replace(row, target=others[int(_uniform("label", seed, row.id) * len(others))])


def _in_ring(
    ring: Sequence[Example], places: Sequence[float], seed: int, row: Example
) -> Iterator[str]:
    """Yield the targets of the rows after a row's place in an order that the seed decides."""
    start = bisect_right(places, _uniform("donor", seed, row.id))
    return (ring[(start + i) % len(ring)].target for i in range(min(DONORS, len(ring))))


def _uniform(purpose: str, seed: int, id: str) -> float:
    hashed = blake2b(f"{purpose} {seed} {id}".encode("utf-8", "surrogatepass"), digest_size=7)
    return int.from_bytes(hashed.digest(), "big") / 2**56

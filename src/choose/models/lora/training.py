"""How long, in what order and with what weights a pool is learnt; what is kept to check on."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.models.lora.batching import shuffled
from choose.models.lora.model import Tuned, restore, state_of

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


# The loop that a budget follows.
TRAINING = "training"


# Losing so much on the rows that are only checked on means that what follows only memorises.
WORSE = 1.2


class Course:
    """Rows of token ids with their classes, learnt by one adapter under one schedule.

    `learns` are the adapter's tensors that the optimiser moves; `learnt` and `checked` the places
    of the rows that are learnt and that are only checked on; `cached_seconds` is what others had
    spent on work that this training uses, `reading` what it does before its first step, in steps.
    """

    def __init__(
        self,
        tuned: Tuned,
        rows: Sequence[Sequence[int]],
        targets: Sequence[int],
        plan: Plan,
        seed: int,
    ) -> None:
        import torch

        chooser = random.Random(f"lora-{seed}")
        learnt, self.checked = split(targets, plan.held_out, chooser)
        self.tuned, self.plan, self.seed, self.step = tuned, plan, seed, 0
        self.all_rows, self.all_targets, self.learnt = rows, targets, learnt
        self.rows = [rows[i] for i in learnt]
        own = [targets[i] for i in learnt]
        self.targets = torch.tensor(own, device=tuned.base.device)
        self.weights = class_weights(own, tuned.head.out_features).to(tuned.base.device)
        self._order = batches(self.rows, plan, chooser)
        self._epoch = math.ceil(len(learnt) / plan.batch)
        self._best: tuple[float, dict[str, Any]] | None = None
        self.over, self.cached_seconds, self.reading = False, 0.0, 0.0

    def start(self, learns: Sequence[torch.nn.Parameter]) -> None:
        """Set up what moves the adapter and the head."""
        import torch

        head = list(self.tuned.head.parameters())
        rate, steps = self.plan.rate, self.plan.steps
        self._parameters = [*learns, *head]
        self._optimiser = torch.optim.AdamW(
            self._parameters,
            lr=rate,
            weight_decay=0.01,
            # Left to torch elsewhere: saying no would also choose its slowest way.
            fused=True if self.tuned.base.device in ("cpu", "cuda") else None,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: factor(step, steps)
        )

    def take(self) -> list[int]:
        """Return places of the next batch among `rows`."""
        return next(self._order)

    def move(self) -> None:
        """Take the step that the gradients point to, and see whether to go on."""
        import torch

        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._schedule.step()
        self.step += 1
        self.over = self.step == self.plan.steps
        if self.checked and (self.over or self.step % self._epoch == 0):
            self._check()

    def _check(self) -> None:
        rows = [self.all_rows[i] for i in self.checked]
        loss = self.tuned.loss(rows, [self.all_targets[i] for i in self.checked])
        if self._best is not None and loss > self._best[0] * WORSE:
            self.over = True
        elif self._best is None or loss < self._best[0]:
            self._best = loss, state_of(self.tuned)

    def end(self) -> None:
        """Put back what did best on the rows that were only checked on."""
        if self._best is not None:
            restore(self.tuned, self._best[1])

"""One trial's training as it goes: its batches, its optimiser, and when it is better to stop."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from choose.models.adapters import Tuned, restore, state_of
from choose.models.schedule import Plan, batches, class_weights, factor, split

if TYPE_CHECKING:
    import torch

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

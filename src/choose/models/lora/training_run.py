"""One training run: its schedule, its batches, its optimiser and early stopping."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.models.lora.batching import shuffled_batches
from choose.models.lora.model import AdaptedModel, restore_state, trained_state

if TYPE_CHECKING:
    import torch

# Smaller pools train on every row, since a label helps more there than in validation.
EARLY_STOPPING_MIN_ROWS = 1500

# The share of steps in which the learning rate rises.
WARM_UP = 0.1

# Training stops once the validation loss exceeds the best by this factor: what follows memorises.
OVERFITTING_RATIO = 1.2

# The name under which a time limit follows the loop.
PROGRESS_LABEL = "training"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and on what a run trains: `steps` batches, `validation_rows` rows held out."""

    steps: int
    batch_size: int
    learning_rate: float
    validation_rows: int


def schedule_for(
    rows: int, classes: int, learning_rate: float, epochs: float | None = None
) -> Schedule:
    """Return a schedule for a pool of `rows` labels, from a handful to tens of thousands.

    The number of epochs falls with the square root of the pool, and the number of steps never
    under what a head with that many classes needs to move at all.
    """
    validation = min(500, rows // 10) if rows >= EARLY_STOPPING_MIN_ROWS else 0
    training = max(1, rows - validation)
    batch = max(2, min(8 if training < 500 else 16 if training < 1000 else 32, training // 2))
    passes = min(30.0, max(3.0, 7 * math.sqrt(300 / training))) if epochs is None else epochs
    least = 40 + 2 * min(classes, 100) if epochs is None else 1
    steps = max(least, math.ceil(passes * training / batch))
    return Schedule(steps, batch, learning_rate, validation)


def endless_batches(
    rows: Sequence[Sequence[int]], batch_size: int, chooser: random.Random
) -> Iterator[list[int]]:
    """Yield row indices batch by batch, epoch after epoch, without end."""
    lengths = [len(row) for row in rows]
    while True:
        yield from shuffled_batches(lengths, batch_size, chooser)


def learning_rate_factor(step: int, steps: int) -> float:
    """Rise linearly, then fall along a cosine to zero."""
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


def split_validation(
    targets: Sequence[int], validation_rows: int, chooser: random.Random
) -> tuple[list[int], list[int]]:
    """Divide row indices into training and validation, stratified, a training row in each class.

    Where too many classes have a single row, fewer than `validation_rows` are held out.
    """
    indices = list(range(len(targets)))
    chooser.shuffle(indices)
    if not validation_rows:
        return indices, []
    carried = _initial_remainders([targets[i] for i in indices], validation_rows)
    seen: Counter[int] = Counter()
    training: list[int] = []
    validation: list[int] = []
    for i in indices:
        kind = targets[i]
        before, after = (seen[kind] + n for n in (0, 1))
        seen[kind] = after
        due = [(n * validation_rows + carried[kind]) // len(targets) for n in (before, after)]
        (validation if due[1] > due[0] else training).append(i)
    return training, validation


def _initial_remainders(targets: Sequence[int], validation_rows: int) -> Counter[int]:
    """Return each class's head start towards its next validation row, in parts of the whole.

    Shares are rounded down, then the classes with the largest remainders get one row more until
    `validation_rows` are held out; among equal remainders the classes that come first.
    """
    counts, whole = Counter(targets), len(targets)
    short = validation_rows - sum(count * validation_rows // whole for count in counts.values())
    remainders = {
        kind: count * validation_rows % whole for kind, count in counts.items() if count > 1
    }
    largest = sorted((kind for kind, r in remainders.items() if r), key=lambda k: -remainders[k])
    return Counter({kind: whole - remainders[kind] for kind in largest[:short]})


class TrainingRun:
    """Rows of token ids with their classes, and one adapted model trained on them.

    Attributes:
        training_indices: the rows of `all_rows` that are trained on; `rows` are these rows.
        validation_indices: the rows that early stopping is decided on.
        step: steps done.
        finished: whether the schedule has ended or early stopping has.
        cached_seconds: what activations that were in the cache had taken.
        setup_steps: the work before the first step, in steps.
    """

    def __init__(
        self,
        model: AdaptedModel,
        rows: Sequence[Sequence[int]],
        targets: Sequence[int],
        schedule: Schedule,
        seed: int,
    ) -> None:
        import torch

        chooser = random.Random(f"lora-{seed}")
        training, validation = split_validation(targets, schedule.validation_rows, chooser)
        self.training_indices, self.validation_indices = training, validation
        self.model, self.schedule, self.seed, self.step = model, schedule, seed, 0
        self.all_rows, self.all_targets = rows, targets
        self.rows = [rows[i] for i in training]
        own = [targets[i] for i in training]
        self.targets = torch.tensor(own, device=model.base.device)
        self.weights = class_weights(own, model.head.out_features).to(model.base.device)
        self._batches = endless_batches(self.rows, schedule.batch_size, chooser)
        self._steps_per_epoch = math.ceil(len(training) / schedule.batch_size)
        self._best: tuple[float, dict[str, Any]] | None = None
        self.finished, self.cached_seconds, self.setup_steps = False, 0.0, 0.0

    def create_optimiser(self, adapter_parameters: Sequence[torch.nn.Parameter]) -> None:
        """Set up the optimiser of the adapter and the head."""
        import torch

        rate, steps = self.schedule.learning_rate, self.schedule.steps
        self._parameters = [*adapter_parameters, *self.model.head.parameters()]
        self._optimiser = torch.optim.AdamW(
            self._parameters,
            lr=rate,
            weight_decay=0.01,
            # None lets torch choose elsewhere; False would force its slowest implementation.
            fused=True if self.model.base.device in ("cpu", "cuda") else None,
        )
        self._learning_rates = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: learning_rate_factor(step, steps)
        )

    def next_batch(self) -> list[int]:
        """Return the indices of the next batch among `rows`."""
        return next(self._batches)

    def apply_gradients(self) -> None:
        """Update the parameters from their gradients, and decide whether to go on."""
        import torch

        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._learning_rates.step()
        self.step += 1
        self.finished = self.step == self.schedule.steps
        if self.validation_indices and (self.finished or self.step % self._steps_per_epoch == 0):
            self._validate()

    def _validate(self) -> None:
        rows = [self.all_rows[i] for i in self.validation_indices]
        loss = self.model.loss(rows, [self.all_targets[i] for i in self.validation_indices])
        if self._best is not None and loss > self._best[0] * OVERFITTING_RATIO:
            self.finished = True
        elif self._best is None or loss < self._best[0]:
            self._best = loss, trained_state(self.model)

    def restore_best(self) -> None:
        """Put back the weights with the lowest validation loss."""
        if self._best is not None:
            restore_state(self.model, self._best[1])


# Some of the runs, each with the indices of its batch among its `rows`.
RunBatches = Sequence[tuple[TrainingRun, list[int]]]

# Leaves the gradients of a batch of each run where its optimiser reads them.
Step = Callable[[RunBatches], None]

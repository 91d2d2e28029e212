"""One training run: schedule, batches, optimiser, early stopping, and the state of its weights."""

import math
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch

from choose.engines.hardware.device_and_dtype import megabytes, trains_in_bfloat16
from choose.engines.hardware.timed_steps import threads_in_use
from choose.engines.lora.batching import shuffled_batches
from choose.engines.lora.model import Adapted, Base
from choose.errors import StrategyError

T = TypeVar("T")

# The share of steps in which the learning rate rises.
WARM_UP = 0.1

# Training stops once the validation loss exceeds the best by this factor: what follows memorises.
OVERFITTING_RATIO = 1.2

# Training rows on which the loss is compared before and after; fewer, but so many at least, where
# they have more tokens together: reading these twice took longer than a short fit.
CHECK_ROWS, CHECK_TOKENS, FEWEST_CHECKED = 48, 1_024, 3

# The name under which a time limit follows the loop.
PROGRESS_LABEL = "training"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and on what a run trains: `steps` batches, `validation_rows` rows held out."""

    steps: int
    batch_size: int
    learning_rate: float
    validation_rows: int


def learning_rate_factor(step: int, steps: int) -> float:
    """Rise linearly, then fall along a cosine to zero."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Objective(Protocol):
    """What the states of some rows of a batch lose, and the gradients."""

    def places(self, starts: torch.Tensor) -> torch.Tensor:
        """Return the tokens whose states are read, given (rows,) each row's first token."""

    def gradients(
        self, states: torch.Tensor, vocabulary: Any
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the gradients of normed states (places, width), and those of the head.

        `vocabulary` is the packed product of the language-model head, where the base has one.
        """


class TrainingRun(ABC):
    """Rows of token ids, and one adapted model trained on them.

    Attributes:
        rows: the tokens of the rows that are trained on, after what they share: `prefix`, or more.
        strata: the class of each of them, by which a first pass that time cuts stays stratified.
        training_indices: which of the pool's rows these are.
        validation_indices: the rows that early stopping is decided on.
        step: steps done.
        finished: whether the schedule has ended or early stopping has.
        planned_steps: the schedule's own, where time made it shorter; else 0.
        steps_per_pass: batches that hold every row once.
    """

    # What is trained and what it changes, in notes.
    trained, output = "an adapter trained", "a logit"
    prefix: tuple[int, ...] = ()
    embeds_after = False  # all rows, once trained
    strata: Sequence[int] = ()

    def __init__(
        self,
        model: Adapted,
        rows: Sequence[Sequence[int]],
        division: tuple[list[int], list[int]],
        schedule: Schedule,
        seed: int,
        chooser: random.Random,
    ) -> None:
        self.training_indices, self.validation_indices = division
        self.model, self.schedule, self.seed, self.step = model, schedule, seed, 0
        self.rows = [rows[i] for i in self.training_indices]
        self._chooser, self._read = chooser, list[int]()
        self._batches = self._endless_batches(chooser)
        self.steps_per_pass = math.ceil(len(self.rows) / schedule.batch_size)
        self._best: tuple[float, dict[str, Any]] | None = None
        self.finished, self.planned_steps = False, 0

    def prefix_of(self, index: int) -> tuple[int, ...]:
        """Return the tokens before one of `rows`, which other rows may share."""
        return self.prefix

    def _endless_batches(self, chooser: random.Random) -> Iterator[list[int]]:
        """Yield row indices batch by batch, epoch after epoch, without end."""
        lengths = [len(row) for row in self.rows]
        while True:
            yield from shuffled_batches(lengths, self.schedule.batch_size, chooser)

    def _rest_of_first_pass(self) -> Iterator[list[int]]:
        """Yield batches of the rows that there is time for, chosen as a draw of a pool is.

        Classes of which no row was read come first, then each has its share.
        """
        sizes, had = Counter(self.strata), Counter(self.strata[i] for i in self._read)
        places = dict[int, tuple[bool, float]]()
        for row in sorted({*range(len(self.rows))} - {*self._read}):
            own = self.strata[row]
            places[row] = had[own] > 0, (had[own] + 0.5) / sizes[own]
            had[own] += 1
        size = self.schedule.batch_size
        chosen = sorted(places, key=places.__getitem__)[: size * (self.schedule.steps - self.step)]
        for batch in shuffled_batches([len(self.rows[row]) for row in chosen], size, self._chooser):
            yield [chosen[place] for place in batch]

    @abstractmethod
    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> Objective:
        """Return the loss of some rows of a batch, the mean of which is taken over all of it."""

    @abstractmethod
    def losses(self, batch: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield losses that autograd can follow, one part of a batch after another."""

    @abstractmethod
    def validation_loss(self) -> float:
        """Return what early stopping keeps low."""

    @abstractmethod
    def start_check(self) -> None:
        """Remember the loss on some training rows before training."""

    @abstractmethod
    def finish_check(self) -> None:
        """Set the model's `learning` after training."""

    def check_sample(self) -> list[int]:
        """Return evenly spread training rows of the pool, fewer where these are long."""
        places = [*range(0, len(self.rows), max(1, len(self.rows) // CHECK_ROWS))][:CHECK_ROWS]
        tokens = len(self.prefix) + sum(len(self.rows[place]) for place in places)
        most = max(FEWEST_CHECKED, CHECK_TOKENS * len(places) // max(1, tokens))
        step = max(1, math.ceil(len(places) / most))
        return [self.training_indices[place] for place in places[::step]]

    def create_optimiser(self, adapter_parameters: Sequence[torch.nn.Parameter]) -> None:
        self._parameters = [*adapter_parameters, *self.model.head_parameters.values()]
        self._optimiser = torch.optim.AdamW(
            self.parameter_groups(adapter_parameters),
            lr=self.schedule.learning_rate,
            weight_decay=0.01,
            # None lets torch choose elsewhere; False would force its slowest implementation.
            fused=True if self.model.base.device in ("cpu", "cuda") else None,
        )
        self._learning_rates = [group["lr"] for group in self._optimiser.param_groups]

    def parameter_groups(self, adapter_parameters: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the groups of parameters, each with a learning rate if not the schedule's."""
        return [{"params": [*adapter_parameters, *self.model.head_parameters.values()]}]

    def shorten(self, steps: int) -> None:
        """End after so many steps, if that is sooner: the learning rate falls to zero by then."""
        if steps < self.schedule.steps:
            self.planned_steps = self.planned_steps or self.schedule.steps
            self.schedule = replace(self.schedule, steps=max(self.step + 1, steps))
            if self.strata and self.schedule.steps < self.steps_per_pass:
                self._batches = self._rest_of_first_pass()

    def next_batch(self) -> list[int]:
        batch = next(self._batches)
        self._read += batch
        return batch

    @property
    def rows_read(self) -> int:
        """Return how many rows of the pool it has trained on, or validated on, so far."""
        return len({*self._read}) + (len(self.validation_indices) if self._best else 0)

    def apply_gradients(self) -> None:
        """Update the parameters from their gradients, and decide whether to go on.

        Raises:
            StrategyError: if a gradient is NaN or infinite, as where the loss is.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, 1.0))
        if not math.isfinite(norm):
            raise StrategyError(
                f"The loss or its gradient is NaN or infinite at step {self.step + 1} of "
                f"{self.schedule.steps}, so training was stopped. Try a lower learning_rate (it is "
                f"{self.schedule.learning_rate:g}), or another base."
            )
        factor = learning_rate_factor(self.step, self.schedule.steps)
        for group, rate in zip(self._optimiser.param_groups, self._learning_rates, strict=True):
            group["lr"] = rate * factor
        self._optimiser.step()
        self._optimiser.zero_grad()
        self.step += 1
        self.finished = self.step == self.schedule.steps
        # With its first pass at most it has one state only, and to rate texts takes long.
        ends = self.finished and (self._best is not None or bool(self.strata))
        passed = not self.finished and self.step % self.steps_per_pass == 0
        if self.validation_indices and (ends or passed):
            loss = self.validation_loss()
            if self._best is not None and loss > self._best[0] * OVERFITTING_RATIO:
                self.finished = True
            elif self._best is None or loss < self._best[0]:
                self._best = loss, trained_state(self.model)

    def notes(self) -> list[str]:
        """Return sentences on a finished training: its schedule, and what it changed."""
        schedule, learning = self.schedule, self.model.learning
        assert learning is not None
        checked = "no early stopping"
        if self._best:
            end = f"stopped after {self.step}" if self.step < schedule.steps else "taken to the end"
            checked = f"checked on {len(self.validation_indices)} rows, {end}"
        shorter = (
            f"Shortened to {schedule.steps} of {self.planned_steps} steps, to end in time: "
            f"trained on {len({*self._read}):,} of {len(self.rows):,} rows."
        )
        return [
            *([shorter] if self.planned_steps else ()),
            f"Steps planned: {schedule.steps}, of {schedule.batch_size} rows each, at learning "
            f"rate {schedule.learning_rate:g}, {self.trained}; {checked}.",
            f"Loss {learning.loss_before:.3f} before and {learning.loss_after:.3f} after training; "
            f"the largest change of {self.output} is {learning.largest_change:.2f}.",
        ]

    def restore_best(self) -> None:
        if self._best is not None:
            with torch.no_grad():
                for name, tensor in trained_tensors(self.model).items():
                    tensor.copy_(self._best[1][name])


# Some of the runs, each with the indices of its batch among its `rows`.
RunBatches = Sequence[tuple[TrainingRun, list[int]]]

# Leaves the gradients of a batch of each run where its optimiser reads them.
Step = Callable[[RunBatches], None]


def trained_tensors(model: Adapted) -> dict[str, torch.Tensor]:
    parts = {n: p for n, p in model.adapter.named_parameters() if p.requires_grad}
    return parts | {f"head.{n}": p for n, p in model.head_parameters.items()}


def trained_state(model: Adapted) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trained_tensors(model).items()}


def training_facts(model: Adapted) -> dict[str, Any]:
    """Return threads, number type, and MB of what is trained."""
    return {
        "threads": threads_in_use(),
        "dtype": "bfloat16" if trains_in_bfloat16() else "float32",
        "artefact_mb": megabytes(trained_tensors(model).values()),
    }


def compute_for_training(passes: Iterator[T], base: Base) -> Iterator[T]:
    """Yield what passes compute, in the number type of training."""
    half, kind = trains_in_bfloat16(), torch.device(base.device).type
    while True:
        # Opened anew for each pass: autocast keeps cast weights until its context ends, so one
        # context around the loop would train against the first step's adapter for ever.
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            found = next(passes, None)
        if found is None:
            return
        yield found

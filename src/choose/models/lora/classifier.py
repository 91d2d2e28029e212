"""Adapters with classification heads, and how they are trained."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.models.hardware.memory import halvings, limits_of, within_memory
from choose.models.lora.batching import batches_by_length, pad
from choose.models.lora.model import (
    Adapted,
    AdapterSpec,
    Base,
    LearningCheck,
    Pooling,
    attach_adapter,
)
from choose.models.lora.training_run import Schedule, TrainingRun
from choose.progress import report_progress

if TYPE_CHECKING:
    import torch


def pooled_states(model: Any, base: Base, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return pooled hidden states (B, hidden size) float32 of ids padded on the right."""
    import torch

    if base.causal:
        # Padding on the right comes after all that a causal model's tokens look at, so no mask is
        # needed, and the attention kernel without one is the faster.
        states = model(input_ids=ids, use_cache=False).last_hidden_state.float()
        last: torch.Tensor = states[torch.arange(len(lengths), device=states.device), lengths - 1]
        return last
    mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    if base.pooling == "first":
        pooled: torch.Tensor = states[:, 0]
    else:
        pooled = (states * mask[..., None]).sum(1) / lengths[:, None]
    return pooled


def head_logits(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return (rows, classes) from pooled hidden states.

    States are normalised, since models differ in scale a hundredfold and the head's learning rate
    should not.
    """
    import torch

    scaled = torch.nn.functional.layer_norm(states, states.shape[-1:])
    return torch.nn.functional.linear(scaled, weight, bias)


@dataclass
class AdaptedModel(Adapted):
    """An adapter and its head over a base."""

    head: torch.nn.Linear

    @property
    def head_parameters(self) -> dict[str, Any]:
        """Return the head's parameters by name."""
        return dict(self.head.named_parameters())

    def logits(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) float32."""
        states = pooled_states(self.adapter, self.base, ids, lengths)
        return head_logits(states, self.head.weight, self.head.bias)

    def loss(self, rows: Sequence[Sequence[int]], targets: Sequence[int]) -> float:
        """Return the mean cross-entropy in nats."""
        import torch

        logits = self.predict_logits(rows)
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(list(targets))))

    def predict_logits(
        self, rows: Sequence[Sequence[int]], progress: str = "", adapted: bool = True
    ) -> torch.Tensor:
        """Return (n, classes) logits in the order of the rows, in the base's number type.

        If not `adapted`, the head is on the bare base.

        On a CPU that is float32: bfloat16 would be faster, but its rounding depends on the batch's
        shape, so an answer would depend on the other rows. Progress is reported under the name
        `progress`, if there is one.
        """
        import torch

        logits, device = torch.zeros(len(rows), self.head.out_features), self.base.device
        left, reader = list(range(len(rows))), self._reader(adapted)
        self.adapter.eval()

        def predict() -> None:
            most = limits_of(device).prediction_tokens
            asked = [*left]
            for indices in batches_by_length([len(rows[i]) for i in asked], most):
                some = [asked[i] for i in indices]
                texts = [rows[i] for i in some]
                with self.base.steps["predicting"].step(sum(map(len, texts))):
                    found = self.logits(*pad(texts, device)) if reader is None else reader(texts)
                logits[some] = found.float().cpu()
                left[:] = sorted({*left} - {*some})
                if progress:
                    report_progress(len(rows) - len(left), len(rows), progress)

        bare = not adapted and reader is None
        with torch.inference_mode(), self.adapter.disable_adapter() if bare else nullcontext():
            within_memory(device, predict)
        return logits

    def _reader(self, adapted: bool) -> Callable[[Sequence[Sequence[int]]], torch.Tensor] | None:
        """Return what computes logits of rows without padding, where the engine has the layers."""
        import torch

        from choose.models.lora.fused import training_step as fused

        peft = hasattr(self.adapter, "peft_config")
        if self.base.causal or not peft or not fused.supports(self.base, [self.adapter]):
            return None
        reader = fused.Reader(self.base, self.adapter if adapted else None)

        def read(rows: Sequence[Sequence[int]]) -> torch.Tensor:
            lengths = torch.tensor([len(row) for row in rows], device=self.base.device)
            pooled = pool_rows(reader.states(rows), lengths, self.base.pooling)
            return head_logits(pooled, self.head.weight, self.head.bias)

        return read


def pool_rows(states: torch.Tensor, lengths: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Return (rows, width) from the states (tokens, width) of rows, one after another."""
    import torch

    starts = lengths.cumsum(0) - lengths
    if pooling != "mean":
        return states[starts if pooling == "first" else starts + lengths - 1]
    rows = torch.arange(len(lengths), device=states.device).repeat_interleave(lengths)
    pooled = states.new_zeros(len(lengths), states.shape[1]).index_add(0, rows, states)
    return pooled / lengths[:, None]


def untrained_model(base: Base, spec: AdapterSpec, classes: int, name: str) -> AdaptedModel:
    """Return an untrained adapter under a head that gives every class the same logit."""
    head = untrained_head(base, classes)
    return AdaptedModel(base, attach_adapter(base, spec, name), head)


def untrained_head(base: Base, classes: int) -> torch.nn.Linear:
    """Return a head that gives every class the same logit."""
    import torch

    head = torch.nn.Linear(base.hidden_size, classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return head.to(base.device)


# Smaller pools train on every row, since a label helps more there than in validation.
EARLY_STOPPING_MIN_ROWS = 1500


# Epochs for 300 rows that have one label each, and for rows with sets of labels: example-F1 with
# 497 rows of NLU++ was 0.70 with seven times the root, and 0.75 with fifteen.
EPOCHS, SET_EPOCHS = 7.0, 15.0


def schedule_for(
    rows: int,
    classes: int,
    learning_rate: float,
    epochs: float | None = None,
    usual: float = EPOCHS,
) -> Schedule:
    """Return a schedule for a pool of `rows` labels, from a handful to tens of thousands.

    The number of epochs, `usual` for 300 rows, falls with the square root of the pool, and the
    number of steps never under what a head with that many classes needs to move at all.
    """
    validation = min(500, rows // 10) if rows >= EARLY_STOPPING_MIN_ROWS else 0
    training = max(1, rows - validation)
    batch = max(2, min(8 if training < 500 else 16 if training < 1000 else 32, training // 2))
    passes = min(30.0, max(3.0, usual * math.sqrt(300 / training))) if epochs is None else epochs
    least = 40 + 2 * min(classes, 100) if epochs is None else 1
    steps = max(least, math.ceil(passes * training / batch))
    return Schedule(steps, batch, learning_rate, validation)


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


@dataclass(frozen=True, slots=True)
class HeadObjective:
    """The weighted cross-entropy of rows' classes, read from each row's pooled states.

    `lengths`, `targets` and `weights` are (rows,).
    """

    lengths: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    head: torch.nn.Linear
    pooling: Pooling = "last"

    def places(self, starts: torch.Tensor) -> torch.Tensor:
        """Return each row's first or last token, or all of them."""
        import torch

        if self.pooling == "mean":
            before = self.lengths.cumsum(0) - self.lengths
            steps = torch.arange(int(self.lengths.sum()), device=starts.device)
            return (starts - before).repeat_interleave(self.lengths) + steps
        return starts if self.pooling == "first" else starts + self.lengths - 1

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """Return (rows, width) from the states at `places`."""
        return pool_rows(states, self.lengths, "mean") if self.pooling == "mean" else states

    def row_losses(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row."""
        import torch

        return torch.nn.functional.cross_entropy(logits, self.targets, reduction="none")

    def gradients(
        self, states: torch.Tensor, vocabulary: Any
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the gradients of the states (rows, width), and of the head."""
        import torch

        with torch.enable_grad():
            # Copies, since parts of one batch in one pass each need their own gradient.
            head = [p.detach().requires_grad_() for p in self.head.parameters()]
            states = states.detach().requires_grad_()
            logits = head_logits(self.pool(states), *head)
            losses = self.row_losses(logits)
            to_states, *rest = torch.autograd.grad((losses * self.weights).sum(), [states, *head])
        return to_states, tuple(rest)


class ClassifierRun(TrainingRun):
    """Rows of token ids with their classes, and a model with a head for these."""

    model: AdaptedModel

    def __init__(
        self,
        model: AdaptedModel,
        rows: Sequence[Sequence[int]],
        targets: Sequence[int],
        schedule: Schedule,
        seed: int,
        division: tuple[list[int], list[int]] | None = None,
    ) -> None:
        import torch

        chooser = random.Random(f"lora-{seed}")
        division = division or split_validation(targets, schedule.validation_rows, chooser)
        super().__init__(model, rows, division, schedule, seed, chooser)
        self.all_rows, self.all_targets, self._loss_before = rows, targets, math.inf
        own = [targets[i] for i in self.training_indices]
        self.targets = torch.tensor(own, device=model.base.device)
        self.weights = class_weights(own, model.head.out_features).to(model.base.device)

    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> HeadObjective:
        """Return the loss of some rows of a batch."""
        import torch

        targets = self.targets[list(indices)]
        lengths = torch.tensor([len(self.rows[i]) for i in indices], device=targets.device)
        weights = self.weights[targets] / len(batch)
        return HeadObjective(lengths, targets, weights, self.model.head, self.model.base.pooling)

    def losses(self, batch: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the losses of parts of a batch, which add up to its: one, unless memory ran out."""
        size = max(1, len(batch) >> halvings(self.model.base.device))
        for start in range(0, len(batch), size):
            part = list(batch[start : start + size])
            ids, lengths = pad([self.rows[i] for i in part], self.model.base.device)
            loss = self.row_losses(self.model.logits(ids, lengths), part).mean()
            yield loss if len(part) == len(batch) else loss * len(part) / len(batch)

    def row_losses(self, logits: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        """Return the weighted loss of each of some training rows."""
        import torch

        wanted = self.targets[list(indices)]
        losses = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="none")
        return losses * self.weights[wanted]

    def validation_loss(self) -> float:
        """Return the mean cross-entropy of the rows held out."""
        return self._loss(self.validation_indices)

    def start_check(self) -> None:
        """Remember the loss on some training rows before training."""
        self._loss_before = self._loss(self.check_sample())

    def finish_check(self) -> None:
        """Compare the loss, and the logits with those without the adapter."""
        sample = self.check_sample()
        rows = [self.all_rows[i] for i in sample]
        logits = self.model.predict_logits(rows)
        without = self.model.predict_logits(rows, adapted=False)
        after = self.mean_loss(logits, sample)
        change = float((logits - without).abs().max())
        self.model.learning = LearningCheck(self._loss_before, after, change)

    def each_loss(self, logits: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        """Return the cross-entropy of each of some rows of the pool with these logits."""
        import torch

        targets = torch.tensor([self.all_targets[i] for i in indices])
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none")

    def _loss(self, indices: Sequence[int]) -> float:
        rows = [self.all_rows[i] for i in indices]
        return self.mean_loss(self.model.predict_logits(rows), indices)

    def mean_loss(self, logits: torch.Tensor, indices: Sequence[int]) -> float:
        """Return the mean cross-entropy of rows of the pool with these logits."""
        import torch

        targets = torch.tensor([self.all_targets[i] for i in indices])
        return float(torch.nn.functional.cross_entropy(logits, targets))

"""Adapters with heads for labels or sets of labels, and how they are trained."""

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from choose.engines.hardware.batch_limits import halvings, limits_of, within_memory
from choose.engines.lora.batching import batches_by_length, pad
from choose.engines.lora.model import (
    Adapted,
    AdapterSpec,
    Base,
    LearningCheck,
    Pooling,
    attach_adapter,
)
from choose.engines.lora.training_run import Schedule, TrainingRun
from choose.progress import report_progress
from choose.types import Bools


def pooled_states(model: Any, base: Base, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return pooled hidden states (B, hidden size) float32 of ids padded on the right."""
    tokens = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    # Padding on the right comes after all that a causal model's tokens look at, so no mask is
    # needed, and the attention kernel without one is the faster.
    more = {"use_cache": False} if base.causal else {"attention_mask": tokens.long()}
    states = model(input_ids=ids, **more).last_hidden_state.float()
    return pool_rows(states[tokens], lengths, base.pooling)


def head_logits(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return (rows, classes) from pooled hidden states.

    States are normalised, since models differ in scale a hundredfold and the head's learning rate
    should not.
    """
    scaled = torch.nn.functional.layer_norm(states, states.shape[-1:])
    return torch.nn.functional.linear(scaled, weight, bias)


@dataclass
class AdaptedModel(Adapted):
    """An adapter and its head over a base."""

    head: torch.nn.Linear

    @property
    def head_parameters(self) -> dict[str, Any]:
        return dict(self.head.named_parameters())

    def logits(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) float32."""
        states = pooled_states(self.adapter, self.base, ids, lengths)
        return head_logits(states, self.head.weight, self.head.bias)

    def predict_logits(
        self, rows: Sequence[Sequence[int]], progress: str = "", adapted: bool = True
    ) -> torch.Tensor:
        """Return (n, classes) logits in the order of the rows; see `read_pooled`.

        If not `adapted`, the head is on the bare base.
        """
        states = read_pooled(self, rows, progress, adapted=adapted)
        with torch.no_grad():
            logits = head_logits(states.to(self.base.device), self.head.weight, self.head.bias)
        return logits.float().cpu()


def read_pooled(
    model: Adapted, rows: Sequence[Sequence[int]], progress: str = "", adapted: bool = True
) -> torch.Tensor:
    """Return pooled states (n, width) of rows of token ids, in their order.

    They are read in batches of similar lengths, without padding where the engine has the layers,
    and in the base's number type. On a CPU that is float32: bfloat16 would be faster, but its
    rounding depends on the batch's shape, so an answer would depend on the other rows. Progress is
    reported under the name `progress`, if there is one.
    """
    from choose.engines.lora.fused import training_step as fused

    base = model.base
    found, left = torch.zeros(len(rows), base.hidden_size), list(range(len(rows)))
    reader = fused.reader_of(model, adapted)

    def read(texts: Sequence[Sequence[int]]) -> torch.Tensor:
        if reader is None:
            return pooled_states(model.adapter, base, *pad(texts, base.device))
        lengths = torch.tensor([len(text) for text in texts])
        return pool_rows(torch.cat(reader.states_by_row(texts)), lengths, base.pooling)

    def work() -> None:
        asked, most = [*left], limits_of(base.device).prediction_tokens
        for indices in batches_by_length([len(rows[i]) for i in asked], most):
            some = [asked[i] for i in indices]
            texts = [rows[i] for i in some]
            with base.steps["predicting"].step(sum(map(len, texts))):
                found[some] = read(texts).cpu()
            left[:] = sorted({*left} - {*some})
            if progress:
                report_progress(len(rows) - len(left), len(rows), progress)

    model.adapter.eval()
    bare = not adapted and reader is None
    with torch.inference_mode(), model.adapter.disable_adapter() if bare else nullcontext():
        within_memory(base.device, work)
    return found


def pool_rows(states: torch.Tensor, lengths: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Return (rows, width) from the states (tokens, width) of rows, one after another."""
    starts = lengths.cumsum(0) - lengths
    if pooling != "mean":
        return states[starts if pooling == "first" else starts + lengths - 1]
    rows = torch.arange(len(lengths), device=states.device).repeat_interleave(lengths)
    pooled = states.new_zeros(len(lengths), states.shape[1]).index_add(0, rows, states)
    return pooled / lengths[:, None]


def untrained_model(base: Base, spec: AdapterSpec, classes: int, name: str) -> AdaptedModel:
    """Return an untrained adapter under a head; call it inside `seeded`."""
    head = untrained_head(base, classes)
    return AdaptedModel(base, attach_adapter(base, spec, name), head)


def untrained_head(base: Base, classes: int) -> torch.nn.Linear:
    """Return a head that gives every class the same logit."""
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
    counts = Counter(targets)
    raw = torch.tensor([max(1, counts[c]) ** -0.5 for c in range(classes)])
    return raw / raw[list(targets)].mean()


def split_validation(
    targets: Sequence[int], validation_rows: int, chooser: random.Random
) -> tuple[list[int], list[int]]:
    """Divide row indices into training and validation, stratified, a training row in each class.

    Every so many rows one is held out, class after class, of classes with two rows and more.
    """
    indices = list(range(len(targets)))
    chooser.shuffle(indices)
    sizes = Counter(targets)
    spared = sorted((i for i in indices if sizes[targets[i]] > 1), key=lambda i: targets[i])
    count = min(validation_rows, len(spared) // 2)
    held_out = [spared[(2 * n + 1) * len(spared) // (2 * count)] for n in range(count)]
    held = set(held_out)
    return [i for i in indices if i not in held], held_out


def row_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return (rows,) losses of classes (rows,), or of members (rows, labels) of sets.

    That of a set is the sum of all labels' binary cross-entropies, as large as a softmax's.
    """
    if targets.dim() == 1:
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.float(), targets, reduction="none"
    )
    return each.sum(dim=1)


@dataclass(frozen=True, slots=True)
class HeadObjective:
    """The weighted losses of rows' targets, read from each row's pooled states.

    `lengths` and `weights` are (rows,); `targets` are as those of `row_losses`.
    """

    lengths: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    head: torch.nn.Linear
    pooling: Pooling = "last"

    def places(self, starts: torch.Tensor) -> torch.Tensor:
        if self.pooling == "mean":
            before = self.lengths.cumsum(0) - self.lengths
            steps = torch.arange(int(self.lengths.sum()), device=starts.device)
            return (starts - before).repeat_interleave(self.lengths) + steps
        return starts if self.pooling == "first" else starts + self.lengths - 1

    def gradients(
        self, states: torch.Tensor, vocabulary: Any
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        with torch.enable_grad():
            # Copies, since parts of one batch in one pass each need their own gradient.
            head = [p.detach().requires_grad_() for p in self.head.parameters()]
            states = states.detach().requires_grad_()
            pooled = pool_rows(states, self.lengths, "mean") if self.pooling == "mean" else states
            losses = row_losses(head_logits(pooled, *head), self.targets)
            to_states, *rest = torch.autograd.grad((losses * self.weights).sum(), [states, *head])
        return to_states, tuple(rest)


class ClassifierRun(TrainingRun):
    """Rows of token ids with their targets, and a model with a head for these.

    Targets are classes, or (rows, labels) members of sets, which get a logit for each label.
    """

    model: AdaptedModel

    def __init__(
        self,
        model: AdaptedModel,
        rows: Sequence[Sequence[int]],
        targets: Sequence[int] | Bools,
        schedule: Schedule,
        seed: int,
    ) -> None:
        chooser, device = random.Random(f"lora-{seed}"), model.base.device
        sets = isinstance(targets, np.ndarray)
        codes = _rarest_labels(targets) if isinstance(targets, np.ndarray) else targets
        division = split_validation(codes, schedule.validation_rows, chooser)
        super().__init__(model, rows, division, schedule, seed, chooser)
        self.all_rows, self._loss_before = rows, math.inf
        self.all_targets = torch.tensor(targets, dtype=torch.float32 if sets else torch.long)
        self.targets = self.all_targets[self.training_indices].to(device)
        self.strata = own = [codes[i] for i in self.training_indices]
        weights = class_weights(own, model.head.out_features)[own]
        self.weights = (torch.ones_like(weights) if sets else weights).to(device)

    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> HeadObjective:
        some, base = list(indices), self.model.base
        lengths = torch.tensor([len(self.rows[i]) for i in some], device=base.device)
        weights = self.weights[some] / len(batch)
        return HeadObjective(lengths, self.targets[some], weights, self.model.head, base.pooling)

    def losses(self, batch: Sequence[int]) -> Iterator[torch.Tensor]:
        size = max(1, len(batch) >> halvings(self.model.base.device))
        for start in range(0, len(batch), size):
            part = list(batch[start : start + size])
            ids, lengths = pad([self.rows[i] for i in part], self.model.base.device)
            each = row_losses(self.model.logits(ids, lengths), self.targets[part])
            loss = (each * self.weights[part]).mean()
            yield loss if len(part) == len(batch) else loss * len(part) / len(batch)

    def validation_loss(self) -> float:
        return self._loss(self.validation_indices)

    def start_check(self) -> None:
        self._loss_before = self._loss(self.check_sample())

    def finish_check(self) -> None:
        sample = self.check_sample()
        rows = [self.all_rows[i] for i in sample]
        logits = self.model.predict_logits(rows)
        after = float(row_losses(logits, self.all_targets[sample]).mean())
        change = float((logits - self._untrained_logits(rows)).abs().max())
        self.model.learning = LearningCheck(self._loss_before, after, change)

    def _untrained_logits(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        return self.model.predict_logits(rows, adapted=False)

    def _loss(self, indices: Sequence[int]) -> float:
        logits = self.model.predict_logits([self.all_rows[i] for i in indices])
        return float(row_losses(logits, self.all_targets[list(indices)]).mean())


def _rarest_labels(members: Bools) -> list[int]:
    rarity = np.argsort(members.sum(axis=0), kind="stable")
    return [int(rarity[row[rarity].argmax()]) for row in members]


def start_from_counts(model: AdaptedModel, codes: Sequence[int]) -> None:
    """Set the head's bias to the probabilities of Laplace's rule of succession."""
    classes = model.head.out_features
    counts = torch.bincount(torch.tensor(codes, dtype=torch.long), minlength=classes)
    with torch.no_grad():
        model.head.bias.copy_((counts + 1.0).log())


def start_from_shares(model: AdaptedModel, members: Bools) -> None:
    """Set the head's bias so that each label is as likely as its share of (rows, labels) members.

    From a half for every label, a short training mostly learns that labels are rare.
    """
    chances = (members.sum(axis=0) + 1.0) / (len(members) + 2.0)
    with torch.no_grad():
        model.head.bias.copy_(torch.from_numpy(np.log(chances / (1 - chances))))

"""Training objectives other than one label a text: the tokens of written answers, label sets."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from choose.models.classical.label_set_head import Members, Thresholds
from choose.models.lora.answering_model import AnsweringModel, AnswerRow, AnswerScore, answer_tokens
from choose.models.lora.batching import batches_of_units, shared_beginnings
from choose.models.lora.classifier import AdaptedModel, ClassifierRun, HeadObjective
from choose.models.lora.model import (
    LearningCheck,
)
from choose.models.lora.training_run import Schedule, TrainingRun

if TYPE_CHECKING:
    import torch


# Rows of logits at a time: a vocabulary has up to a quarter of a million tokens.
LOGIT_ROWS = 128

# Tokens, and fewest rows, on which the loss is compared before and after training.
CHECK_TOKENS, FEWEST_CHECKED = 4_096, 12

# Smaller pools train on every row, since a row helps more there than in validation.
EARLY_STOPPING_MIN_ROWS = 400


def answer_schedule(
    rows: int,
    learning_rate: float,
    epochs: float | None = None,
    least: int = EARLY_STOPPING_MIN_ROWS,
) -> Schedule:
    """Return a schedule for a pool of `rows` rows, from 8 to tens of thousands.

    Pools of fewer than `least` rows are trained on whole, without early stopping.
    """
    validation = min(200, rows // 10) if rows >= least else 0
    training = max(1, rows - validation)
    batch = max(2, min(8 if training < 500 else 16 if training < 2000 else 32, training // 2))
    passes = min(20.0, max(2.0, 4 * math.sqrt(300 / training))) if epochs is None else epochs
    fewest = 30 if epochs is None else 1
    return Schedule(
        max(fewest, math.ceil(passes * training / batch)), batch, learning_rate, validation
    )


@dataclass(frozen=True, slots=True)
class AnswerObjective:
    """The cross-entropy of rows' answers, each token weighted alike.

    `tokens` (rows,) are how many of each row the model reads; `answers` (rows,) how many of its
    last states say a token of the answer, and `targets` these tokens, row by row. `weight` is one
    over the answer tokens of the whole batch.
    """

    tokens: torch.Tensor
    answers: torch.Tensor
    targets: torch.Tensor
    weight: float

    def places(self, starts: torch.Tensor) -> torch.Tensor:
        """Return the tokens after each of which a token of an answer comes."""
        import torch

        ends = starts + self.tokens
        first = torch.repeat_interleave(ends - self.answers, self.answers)
        before = torch.repeat_interleave(self.answers.cumsum(0) - self.answers, self.answers)
        return first + torch.arange(len(first), device=first.device) - before

    def gradients(
        self, states: torch.Tensor, vocabulary: Any
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the gradients of the states (answer tokens, width); no head learns."""
        import torch

        to_states, dtype = [], vocabulary.dtype
        for start in range(0, len(states), LOGIT_ROWS):
            some = slice(start, start + LOGIT_ROWS)
            targets = self.targets[some]
            to_logits = vocabulary.forward(states[some].to(dtype)).float().softmax(-1)
            to_logits[torch.arange(len(targets), device=targets.device), targets] -= 1
            to_logits *= self.weight
            to_states.append(vocabulary.backward(to_logits.to(dtype)).float())
        return torch.cat(to_states), ()


class AnswerRun(TrainingRun):
    """Rows with their answers, and a model that learns to write these after one prefix."""

    model: AnsweringModel

    def __init__(
        self,
        model: AnsweringModel,
        prefix: tuple[int, ...],
        rows: Sequence[AnswerRow],
        schedule: Schedule,
        seed: int,
    ) -> None:
        chooser = random.Random(f"lora-{seed}")
        order = list(range(len(rows)))
        chooser.shuffle(order)
        held = schedule.validation_rows
        self.all_rows = rows
        training, held_out = order[held:], order[:held]
        # What a row does not share is at least the token after which its answer comes.
        units = shared_beginnings([rows[i].prompt[:-1] for i in training])
        shared = {place: tokens for unit, tokens in units for place in unit}
        self._units = [unit for unit, _ in units] if any(shared.values()) else []
        tokens = [tuple(row.tokens) for row in rows]
        self._passages = [tokens[i][: shared[place]] for place, i in enumerate(training)]
        for place, i in enumerate(training):
            tokens[i] = tokens[i][shared[place] :]
        super().__init__(model, tokens, (training, held_out), schedule, seed, chooser)
        self.prefix = prefix
        self.answered = [rows[i] for i in self.training_indices]
        self._before: list[AnswerScore] = []

    def prefix_of(self, index: int) -> tuple[int, ...]:
        """Return the tokens before a row: those of all rows, and a passage of several questions."""
        return (*self.prefix, *self._passages[index])

    def _endless_batches(self, chooser: random.Random) -> Iterator[list[int]]:
        """Yield batches in which questions on one passage follow each other, where there are any.

        Its tokens are then read once for all of them.
        """
        if not self._units:
            return super()._endless_batches(chooser)
        return batches_of_units(self._units, self.schedule.batch_size, chooser)

    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> AnswerObjective:
        """Return the loss of some rows of a batch."""
        import torch

        device = self.model.base.device
        rows = [self.answered[i] for i in indices]
        return AnswerObjective(
            torch.tensor([len(self.rows[i]) for i in indices], device=device),
            torch.tensor([len(row.answer) for row in rows], device=device),
            answer_tokens(rows, device),
            1 / sum(len(self.answered[i].answer) for i in batch),
        )

    def losses(self, batch: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the losses of passes that each hold some rows of a batch; they add up to its."""
        import torch

        rows = [self.answered[i] for i in batch]
        whole = sum(len(row.answer) for row in rows)
        for some, logits in self.model.logits(self.prefix, rows):
            targets = answer_tokens([rows[i] for i in some], logits.device)
            loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
            yield loss / whole

    def validation_loss(self) -> float:
        """Return the mean loss of a token held out, plus the share of answers not written exactly.

        The loss alone rises with the model's confidence while more answers still become right.
        """
        scores = self._scores(self.validation_indices)
        return _loss(scores) + 1 - sum(score.greedy for score in scores) / len(scores)

    def check_sample(self) -> list[int]:
        """Return fewer rows where these are long: reading many twice takes a tenth of a fit."""
        rows = super().check_sample()
        tokens = len(self.prefix) + sum(len(self.all_rows[i].tokens) for i in rows)
        most = max(FEWEST_CHECKED, CHECK_TOKENS * len(rows) // max(1, tokens))
        return rows[:: max(1, math.ceil(len(rows) / most))]

    def start_check(self) -> None:
        """Remember how some training rows' answers are rated before training."""
        self._before = self._scores(self.check_sample())

    def finish_check(self) -> None:
        """Compare the loss, and the log-probabilities, with those before training."""
        after = self._scores(self.check_sample())
        pairs = zip(after, self._before, strict=False)
        change = max(
            (float((new.logprobs - old.logprobs).abs().max()) for new, old in pairs),
            default=math.inf,
        )
        self.model.learning = LearningCheck(_loss(self._before), _loss(after), change)

    def _scores(self, indices: Sequence[int]) -> list[AnswerScore]:
        return self.model.score(self.prefix, [self.all_rows[i] for i in indices])


def _loss(scores: Sequence[AnswerScore]) -> float:
    """Return the mean loss of a token in nats; infinity without any."""
    if not scores:
        return math.inf
    return -float(sum(s.logprobs.sum() for s in scores) / sum(len(s.logprobs) for s in scores))


# The threshold that is best for F1 is half of the F1 reached (Lipton, Elkan and Naryanaswamy 2014);
# pools without validation rows take that of an F1 of 0.8.
USUAL_THRESHOLD = 0.4


def set_losses(logits: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """Return (rows,) the binary cross-entropies of all labels, summed as a softmax's is."""
    import torch

    each = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.float(), members, reduction="none"
    )
    return each.sum(dim=1)


@dataclass(frozen=True, slots=True)
class SetObjective(HeadObjective):
    """The loss of sets, read from each row's last token; `targets` are (rows, labels) members."""

    def row_losses(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row."""
        return set_losses(logits, self.targets)


def start_from_shares(model: AdaptedModel, members: Members) -> None:
    """Set the head's bias so that each label is as likely as its share of (rows, labels) members.

    From a half for every label, a short training mostly learns that labels are rare.
    """
    import torch

    chances = (members.sum(axis=0) + 1.0) / (len(members) + 2.0)
    with torch.no_grad():
        model.head.bias.copy_(torch.from_numpy(np.log(chances / (1 - chances))))


class SetRun(ClassifierRun):
    """Rows of token ids with (rows, labels) members, and a model with a logit for each label."""

    def __init__(
        self,
        model: AdaptedModel,
        rows: Sequence[Sequence[int]],
        members: Members,
        schedule: Schedule,
        seed: int,
        division: tuple[list[int], list[int]] | None = None,
    ) -> None:
        import torch

        # Validation rows are stratified by the rarest label of each row.
        rarity = np.argsort(members.sum(axis=0), kind="stable")
        codes = [int(rarity[row[rarity].argmax()]) for row in members]
        super().__init__(model, rows, codes, schedule, seed, division)
        self.all_members = torch.from_numpy(members.astype(np.float32))
        self.members = self.all_members[self.training_indices].to(model.base.device)

    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> SetObjective:
        """Return the loss of some rows of a batch."""
        import torch

        members = self.members[list(indices)]
        lengths = torch.tensor([len(self.rows[i]) for i in indices], device=members.device)
        weights = torch.full((len(members),), 1 / len(batch), device=members.device)
        return SetObjective(lengths, members, weights, self.model.head, self.model.base.pooling)

    def row_losses(self, logits: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        """Return the loss of each of some training rows."""
        return set_losses(logits, self.members[list(indices)])

    def mean_loss(self, logits: torch.Tensor, indices: Sequence[int]) -> float:
        """Return the mean loss of rows of the pool with these logits."""
        return float(self.each_loss(logits, indices).mean())

    def each_loss(self, logits: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        """Return the loss of each of some rows of the pool with these logits."""
        return set_losses(logits, self.all_members[list(indices)])

    def thresholds(self) -> Thresholds:
        """Return thresholds chosen on the validation rows; the usual one without any."""
        members = self.all_members.numpy() > 0.5
        if not self.validation_indices:
            usual = np.full(members.shape[1], USUAL_THRESHOLD)
            return Thresholds(usual, bool(members.any(axis=1).all()))
        rows = [self.all_rows[i] for i in self.validation_indices]
        chances = self.model.predict_logits(rows).double().sigmoid().numpy()
        return Thresholds.chosen(chances, members[self.validation_indices])

"""A causal LM with an adapter that learns to write answers: rows, logits, objective and run."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from choose.engines.causal.chat_template import ChatTemplate
from choose.engines.causal.packed_attention import shared_beginnings
from choose.engines.hardware.batch_limits import limits_of
from choose.engines.lora.batching import batches_by_length, batches_of_units, pad
from choose.engines.lora.fused import training_step as fused
from choose.engines.lora.model import (
    Adapted,
    AdapterSpec,
    Base,
    LearningCheck,
    attach_adapter,
    shared_copy,
)
from choose.engines.lora.training_run import Schedule, TrainingRun, compute_for_training


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """The tokens of a prompt after what all prompts share, and those of its answer.

    Only the answer's tokens are learnt, the one that closes it included.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        return (*self.prompt, *self.answer[:-1])


class AnswerScore(NamedTuple):
    """How a model that is told the answer so far rates it.

    Attributes:
        logprobs: (tokens,) log-probability of each token of the answer.
        greedy: whether each is the likeliest, so that greedy generation writes this very answer.
    """

    logprobs: torch.Tensor
    greedy: bool


@dataclass
class AnsweringModel(Adapted):
    """An adapter over a causal LM, with the chat template of its prompts."""

    template: ChatTemplate

    @property
    def lm(self) -> Any:
        """Return the causal LM that holds the adapter's layers."""
        return self.adapter.get_base_model()

    def logits(
        self, prefix: Sequence[int], rows: Sequence[AnswerRow]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield rows of a batch with (answer tokens, vocabulary) logits, row by row.

        Autograd can follow the logits. Padding comes after all that a row's tokens attend to.
        """
        texts = [(*prefix, *row.tokens) for row in rows]
        most = limits_of(self.base.device).training_tokens
        for some in batches_by_length([len(text) for text in texts], most):
            ids, lengths = pad([texts[i] for i in some], self.base.device)
            padding = (ids.shape[1] - lengths).tolist()
            ends = [(len(rows[i].answer), -n or None) for i, n in zip(some, padding, strict=True)]
            kept = max(count - (stop or 0) for count, stop in ends)
            output = self.lm(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
            parts = [row[:stop][-n:] for row, (n, stop) in zip(output, ends, strict=True)]
            yield some, torch.cat(parts)

    def _read(
        self, prefix: Sequence[int], rows: Sequence[AnswerRow]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield what `logits` does, computed by the fused engine, which reads the prefix once."""
        layers = fused.training_layers(self.base)
        reader = fused.Reader(layers, self.adapter)
        most, before = limits_of("cpu").training_tokens, [prefix] if prefix else []
        for some in batches_by_length([len(row.tokens) for row in rows], most):
            texts = [*before, *(rows[i].tokens for i in some)]
            states = reader.states(texts, [-1] * len(before) + [len(before) - 1] * len(some))
            each = torch.split(states, [len(text) for text in texts])[len(before) :]
            ends = [own[-len(rows[i].answer) :] for i, own in zip(some, each, strict=True)]
            yield some, layers.vocabulary.forward(torch.cat(ends).to(layers.dtype))

    def score(self, prefix: Sequence[int], rows: Sequence[AnswerRow]) -> list[AnswerScore]:
        """Return how the model rates the rows' answers, with products as in training."""
        scores: dict[int, AnswerScore] = {}
        self.adapter.eval()
        if fused.supports(self.base.model):
            passes = self._read(prefix, rows)
        else:
            passes = compute_for_training(self.logits(prefix, rows), self.base)
        step = self.base.steps["rating"].step(sum(len(row.tokens) for row in rows))
        with step, torch.inference_mode():
            for some, logits in passes:
                targets = answer_tokens([rows[i] for i in some], logits.device)
                chosen = logits.float().log_softmax(-1).gather(1, targets[:, None])[:, 0].cpu()
                right, start = (logits.argmax(-1) == targets).cpu(), 0
                for i in some:
                    own = slice(start, start + len(rows[i].answer))
                    scores[i] = AnswerScore(chosen[own], bool(right[own].all()))
                    start = own.stop
        return [scores[i] for i in range(len(rows))]


def answer_tokens(rows: Sequence[AnswerRow], device: Any) -> torch.Tensor:
    """Return (tokens,) the answers' tokens, row by row."""
    return torch.tensor([token for row in rows for token in row.answer], device=device)


def untrained_answers(base: Base, spec: AdapterSpec, name: str) -> AnsweringModel:
    """Return an untrained adapter over a base that writes; call it inside `seeded`."""
    return AnsweringModel(base, attach_adapter(base, spec, name), ChatTemplate(base.tokenizer))


def merge_adapter(adapter: Any, model: Any) -> Any:
    """Return a copy of a causal LM, of any number type, with an adapter merged into its weights.

    The copy shares all tensors that the adapter does not change.
    """
    copy = shared_copy(model)
    for name, module in adapter.get_base_model().named_modules():
        if hasattr(module, "get_delta_weight"):
            target = copy.get_submodule(name)
            with torch.no_grad():
                whole = module.base_layer.weight.float() + module.get_delta_weight("default")
            target.weight = torch.nn.Parameter(whole.to(target.weight.dtype), requires_grad=False)
    return copy


# Rows of logits at a time: a vocabulary has up to a quarter of a million tokens.
LOGIT_ROWS = 128

# Tokens that rows must have in common for these to be read once: a passage has more, and the first
# words of two texts fewer.
SHORTEST_SHARED = 48

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
        ends = starts + self.tokens
        first = torch.repeat_interleave(ends - self.answers, self.answers)
        before = torch.repeat_interleave(self.answers.cumsum(0) - self.answers, self.answers)
        return first + torch.arange(len(first), device=first.device) - before

    def gradients(
        self, states: torch.Tensor, vocabulary: Any
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        to_states, dtype = [], vocabulary.to_outputs.dtype
        for start in range(0, len(states), LOGIT_ROWS):
            some = slice(start, start + LOGIT_ROWS)
            targets = self.targets[some]
            logits = vocabulary.forward(states[some].to(dtype))
            to_logits = logits.float().softmax(-1)
            to_logits[torch.arange(len(targets), device=targets.device), targets] -= 1
            to_states.append(vocabulary.backward(logits.copy_(to_logits)).float())
        return torch.cat(to_states) * self.weight, ()


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
        units = shared_beginnings([rows[i].prompt[:-1] for i in training], SHORTEST_SHARED)
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
        device = self.model.base.device
        rows = [self.answered[i] for i in indices]
        return AnswerObjective(
            torch.tensor([len(self.rows[i]) for i in indices], device=device),
            torch.tensor([len(row.answer) for row in rows], device=device),
            answer_tokens(rows, device),
            1 / sum(len(self.answered[i].answer) for i in batch),
        )

    def losses(self, batch: Sequence[int]) -> Iterator[torch.Tensor]:
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

    def start_check(self) -> None:
        self._before = self._scores(self.check_sample())

    def finish_check(self) -> None:
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
    if not scores:
        return math.inf
    return -float(sum(s.logprobs.sum() for s in scores) / sum(len(s.logprobs) for s in scores))

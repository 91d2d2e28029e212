"""Encoders with all weights trained: under a head, or by contrasting rows of different labels.

The base that a process shares, and its cached embeddings, are never touched: a run trains a copy.
"""

import copy
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from choose.engines.hardware.batch_limits import limits_of
from choose.engines.lora.batching import batches_by_length, pad
from choose.engines.lora.classifier import AdaptedModel, ClassifierRun, pooled_states, read_pooled
from choose.engines.lora.model import Adapted, Base, LearningCheck
from choose.engines.lora.training_run import Objective, Schedule, TrainingRun
from choose.engines.weights.safe_folders import read_tensors
from choose.types import Bools

WEIGHTS_FILE = "encoder.safetensors"

# The head starts from nothing, the encoder from what it knows.
HEAD_RATE = 1e-3

# Rows of a contrastive batch, and the temperature of their cosines.
CONTRASTED_ROWS, TEMPERATURE = 32, 0.1

# Steps of a contrastive training: passes over the pool, but neither few nor many.
CONTRASTIVE_PASSES, FEWEST_STEPS, MOST_STEPS = 4.0, 60, 400


class TunedEncoder(Adapted):
    """A base with a copy of its model, `adapter`, all of whose weights are trained."""

    def embed(self, rows: Sequence[Sequence[int]], progress: str = "") -> npt.NDArray[np.float32]:
        """Return (n, width) unit vectors of rows of token ids, in their order."""
        return torch.nn.functional.normalize(read_pooled(self, rows, progress), dim=1).numpy()

    def pooled(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return pooled states (rows, width); autograd follows them."""
        return pooled_states(self.adapter, self.base, *pad(rows, self.base.device))


def own_copy(base: Base) -> Any:
    """Return a copy of a base's modules with weights of its own, all of them trained."""
    return copy.deepcopy(base.model).requires_grad_(True)


def save_weights(model: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {n: p.detach().cpu().contiguous() for n, p in model.named_parameters()}
    save_file(tensors, folder / WEIGHTS_FILE)


def load_weights(model: Any, folder: Path) -> None:
    """Read a model's weights.

    Raises:
        StrategyError: if the file is damaged or is that of another model.
    """
    expected = dict(model.named_parameters())
    tensors = read_tensors(folder / WEIGHTS_FILE, expected)
    with torch.no_grad():
        for name, parameter in expected.items():
            parameter.copy_(tensors[name])


class WholeRun(ClassifierRun):
    """A run that trains all weights of an encoder under a head."""

    trained = "all weights of the encoder trained"

    def parameter_groups(self, adapter_parameters: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the encoder's weights, and the head's with a higher learning rate."""
        head = list(self.model.head_parameters.values())
        rate = max(HEAD_RATE, self.schedule.learning_rate)
        return [{"params": list(adapter_parameters)}, {"params": head, "lr": rate}]

    def _untrained_logits(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        base = self.model.base
        return AdaptedModel(base, base.model, self.model.head).predict_logits(rows)


class ContrastiveRun(TrainingRun):
    """A run that draws rows of one label together and others apart; `members` are (rows, labels).

    The loss is the supervised contrastive one (Khosla et al. 2020, arXiv 2004.11362): every batch
    compares all its rows with one another. SetFit (Tunstall et al. 2022, arXiv 2209.11055) draws
    pairs instead, of which as many rows give far fewer a step. Rows with sets of labels are drawn
    together by the overlap of their sets (see `overlaps`).
    """

    trained, output = "all weights of the encoder trained", "a component of an embedding"
    embeds_after = True

    def __init__(
        self,
        model: TunedEncoder,
        rows: Sequence[Sequence[int]],
        members: Bools,
        schedule: Schedule,
        seed: int,
    ) -> None:
        self._members = members
        self._loss_before = math.inf
        chooser = random.Random(f"contrastive-{seed}")
        division: tuple[list[int], list[int]] = (list(range(len(rows))), [])
        super().__init__(model, rows, division, schedule, seed, chooser)
        self.encoder = model

    def _endless_batches(self, chooser: random.Random) -> Iterator[list[int]]:
        return balanced_batches(self._members, self.schedule.batch_size, chooser)

    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> Objective:
        raise TypeError("a contrastive loss is about a whole batch; autograd follows it")

    def losses(self, batch: Sequence[int]) -> Iterator[torch.Tensor]:
        most = limits_of(self.model.base.device).training_tokens
        # Rows of a batch are of all lengths: together, half of what is read would be padding.
        parts = batches_by_length([len(self.rows[i]) for i in batch], most)
        groups = [[batch[n] for n in part] for part in parts]
        states = [self.encoder.pooled([self.rows[i] for i in group]) for group in groups]
        vectors = torch.nn.functional.normalize(torch.cat(states), dim=1)
        yield self._loss(vectors, [i for group in groups for i in group])

    def validation_loss(self) -> float:
        sample = next(balanced_batches(self._members, 2 * CONTRASTED_ROWS, random.Random("check")))
        vectors = torch.from_numpy(self.encoder.embed([self.rows[i] for i in sample]))
        return float(self._loss(vectors, sample))

    def _loss(self, vectors: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        alike = torch.from_numpy(overlaps(self._members[list(indices)]))
        return contrastive_loss(vectors, alike.to(vectors.device))

    def start_check(self) -> None:
        self._loss_before = self.validation_loss()

    def finish_check(self) -> None:
        untrained = TunedEncoder(self.model.base, self.model.base.model)
        rows = [self.rows[i] for i in self.check_sample()]
        moved = float(np.abs(self.encoder.embed(rows) - untrained.embed(rows)).max())
        self.model.learning = LearningCheck(self._loss_before, self.validation_loss(), moved)


def overlaps(members: Bools) -> npt.NDArray[np.float32]:
    """Return (rows, rows) how much sets of labels have in common: what they share of their union.

    It weighs pairs as in Lin et al. 2023 (arXiv 2212.00552). Of single labels it is 1 or 0; two
    empty sets are alike.
    """
    shared = members.astype(np.float32) @ members.T.astype(np.float32)
    sizes = members.sum(axis=1)
    union = sizes[:, None] + sizes - shared
    found: npt.NDArray[np.float32] = np.where(union > 0, shared / np.maximum(union, 1), 1.0)
    return found.astype(np.float32)


def contrastive_loss(vectors: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
    """Return the supervised contrastive loss of (B, width) unit vectors.

    `alike` (B, B) says how much the labels of two rows have in common, from 0 to 1. Rows that have
    nothing in common with another are only contrasted with.
    """
    cosines = vectors @ vectors.T / TEMPERATURE
    own = torch.eye(len(alike), dtype=torch.bool, device=alike.device)
    chances = torch.log_softmax(cosines.masked_fill(own, -math.inf), dim=1)
    weights = alike.masked_fill(own, 0.0).to(chances.dtype)
    total, any_alike = weights.sum(dim=1), (weights > 0).any(dim=1)
    loss = -(chances.masked_fill(own, 0.0) * weights).sum(dim=1)
    loss = loss / torch.where(any_alike, total, torch.ones_like(total))
    return loss.sum() / any_alike.sum().clamp(min=1)


def balanced_batches(members: Bools, size: int, chooser: random.Random) -> Iterator[list[int]]:
    """Yield batches of rows without end: several labels, as many rows of each, at least two.

    The rows of a label come in turn, in a new order each time round; a label with one row gives it
    twice, which dropout makes a pair. Rows without a label are those of one more; rows with several
    may come twice.
    """
    rows: dict[int, list[int]] = {}
    for index, row in enumerate(members):
        for label in np.flatnonzero(row).tolist() or [members.shape[1]]:
            rows.setdefault(label, []).append(index)
    turns = {label: _in_turn(own, chooser) for label, own in rows.items()}
    labels = _in_turn(sorted(rows), chooser)
    while True:
        drawn = list(dict.fromkeys(next(labels) for _ in range(min(len(rows), size // 2))))
        each = max(2, size // len(drawn))
        yield [next(turns[label]) for label in drawn for _ in range(each)]


def _in_turn(values: Sequence[int], chooser: random.Random) -> Iterator[int]:
    while True:
        yield from chooser.sample(list(values), len(values))


def contrastive_schedule(rows: int, rate: float, passes: float | None) -> Schedule:
    """Return how many batches a contrastive training of `rows` takes."""
    steps = math.ceil((passes or CONTRASTIVE_PASSES) * rows / CONTRASTED_ROWS)
    if passes is None:
        steps = min(MOST_STEPS, max(FEWEST_STEPS, steps))
    return Schedule(max(1, steps), CONTRASTED_ROWS, rate, 0)

"""Train an adapter under a head with one sigmoid a label, for sets of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from choose.models.classical.label_set_head import Members, Thresholds
from choose.models.lora.classifier import AdaptedModel, ClassifierRun, HeadObjective
from choose.models.lora.training_run import Schedule

if TYPE_CHECKING:
    import torch

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


class SetRun(ClassifierRun):
    """Rows of token ids with (rows, labels) members, and a model with a logit for each label."""

    def __init__(
        self,
        model: AdaptedModel,
        rows: Sequence[Sequence[int]],
        members: Members,
        schedule: Schedule,
        seed: int,
    ) -> None:
        import torch

        # Validation rows are stratified by the rarest label of each row.
        rarity = np.argsort(members.sum(axis=0), kind="stable")
        codes = [int(rarity[row[rarity].argmax()]) for row in members]
        super().__init__(model, rows, codes, schedule, seed)
        self.all_members = torch.from_numpy(members.astype(np.float32))
        self.members = self.all_members[self.training_indices].to(model.base.device)

    def objective(self, indices: Sequence[int], batch: Sequence[int]) -> SetObjective:
        """Return the loss of some rows of a batch."""
        import torch

        members = self.members[list(indices)]
        lengths = torch.tensor([len(self.rows[i]) for i in indices], device=members.device)
        weights = torch.full((len(members),), 1 / len(batch), device=members.device)
        return SetObjective(lengths, members, weights, self.model.head)

    def row_losses(self, logits: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
        """Return the loss of each of some training rows."""
        return set_losses(logits, self.members[list(indices)])

    def mean_loss(self, logits: torch.Tensor, indices: Sequence[int]) -> float:
        """Return the mean loss of rows of the pool with these logits."""
        return float(set_losses(logits, self.all_members[list(indices)]).mean())

    def thresholds(self) -> Thresholds:
        """Return thresholds chosen on the validation rows; the usual one without any."""
        members = self.all_members.numpy() > 0.5
        if not self.validation_indices:
            usual = np.full(members.shape[1], USUAL_THRESHOLD)
            return Thresholds(usual, bool(members.any(axis=1).all()))
        rows = [self.all_rows[i] for i in self.validation_indices]
        chances = self.model.predict_logits(rows).double().sigmoid().numpy()
        return Thresholds.chosen(chances, members[self.validation_indices])

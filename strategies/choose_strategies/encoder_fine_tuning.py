"""Fine-tuning all weights of an encoder: contrastively, or under a head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from choose.engines.weights.resolve import weights_digest
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.models.saving import read_fitted, write_fitted
from choose.models.tfidf_and_logistic import head_for, head_from, members_of
from choose.types import Answers, Example, Item, Task
from choose_strategies.baselines import KINDS, labels_and_choices
from choose_strategies.lora import UNTRAINED, FineTuned, HeadTuning, thresholds_of


@dataclass(kw_only=True, eq=False)
class _TunedEncoder(FineTuned):
    """The base of `setfit` and `full-fine-tuning`: an encoder, all of whose weights are trained."""

    kinds: ClassVar[tuple[str, ...]] = KINDS
    revision: ClassVar[int] = 3
    on_request: ClassVar[bool] = True

    seed: int
    encoder: str = DEFAULT_ENCODER
    learning_rate: float = 1e-4  # for few million weights; larger encoders take less
    epochs: float | None = None
    max_tokens: int = 128

    def weights(self) -> str:
        return weights_digest(self.encoder)

    def prepare(self) -> None:
        self._base()

    def _base(self) -> Any:
        from choose.engines.lora.model import load_base

        return load_base(self.encoder)

    def _tokens(self, texts: Sequence[str]) -> Any:
        from choose.engines.lora.batching import tokenise

        base = self._base()
        return tokenise(base.tokenizer, texts, min(self.max_tokens, base.max_tokens))

    def _cut(self, truncated: int) -> list[str]:
        return [f"Texts cut to {self.max_tokens} tokens: {truncated}."] if truncated else []

    def save(self: Any, folder: Path) -> None:
        from choose.engines.lora.encoder_tuning import save_weights

        write_fitted(folder, self, *self._head_state())
        save_weights(self._model.adapter, folder)

    def load(self: Any, folder: Path) -> None:
        from choose.engines.lora.encoder_tuning import load_weights

        facts, arrays = read_fitted(folder, self)
        self._notes = list(facts["notes"])
        if "head" not in facts:
            self.labels, self.choices = tuple(facts["labels"]), tuple(facts["choices"])
        self._untrained()
        load_weights(self._model.adapter, folder)
        self._restore_head(facts, arrays)


class SetFit(_TunedEncoder):
    """Contrastive tuning of a sentence encoder, then logistic regression on its embeddings.

    After SetFit (Tunstall et al. 2022, arXiv 2209.11055): training draws rows of one label together
    and others apart, so that few rows make many comparisons. Batches hold as many rows of each
    label and are compared whole, by the supervised contrastive loss (Khosla et al. 2020); rows with
    sets of labels count as alike by the overlap of their sets, and get a regression for each label.
    """

    on_request: ClassVar[bool] = False
    title: ClassVar[str] = "contrastive fine-tuning"
    good_for: ClassVar[str] = "few rows a label, in a language that the encoder reads"
    needs: ClassVar[str] = "labelled rows, from eight a label; an encoder (encoder)"

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Tune the encoder, then learn the head; a pool with one class tunes nothing."""
        from choose.engines.lora.encoder_tuning import ContrastiveRun, contrastive_schedule
        from choose.engines.lora.fit import train

        self._untrained()
        tokens = self._tokens([e.text for e in examples])
        targets, self._notes = [e.target for e in examples], [UNTRAINED]
        if len(set(targets)) > 1:
            labels, choices = labels_and_choices(task)
            members = members_of(choices, targets) if choices else np.equal.outer(targets, labels)
            schedule = contrastive_schedule(len(members), self.learning_rate, self.epochs)
            run = ContrastiveRun(self._model, tokens.ids, members, schedule, self.seed)
            train(run)
            self._notes = [*run.notes(), *self._cut(tokens.truncated)]
        self.head = head_for(task, 10.0)
        self.head.fit(self._model.embed(tokens.ids), targets)

    def _untrained(self) -> None:
        from choose.engines.lora.encoder_tuning import TunedEncoder, own_copy

        self._model = TunedEncoder(self._base(), own_copy(self._base()))

    def predict(self, items: Sequence[Item]) -> Answers:
        tokens = self._tokens([item.text for item in items])
        return self.head.answers(self._model.embed(tokens.ids, "predicting"))

    def _head_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        head, weights = self.head.state()
        return {"head": head, "notes": self._notes}, weights

    def _restore_head(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self.head = head_from(facts["head"], arrays)


class FullFineTuning(HeadTuning, _TunedEncoder):
    """All weights of an encoder trained under a head, with a sigmoid a label where rows have sets.

    The number of steps depends on the pool as in `lora`; from 1,500 rows on, training stops early
    by the loss on rows held out. The head learns at ten times the encoder's rate.
    """

    title: ClassVar[str] = "full fine-tuning of an encoder"
    good_for: ClassVar[str] = "hundreds of rows and more; a small model that answers fast"
    needs: ClassVar[str] = "labelled rows, usually hundreds; an encoder (encoder)"

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Train; a pool with one class, or none, sets the head's bias and nothing else."""
        from choose.engines.lora.encoder_tuning import WholeRun
        from choose.engines.lora.fit import train

        self.labels, self.choices = labels_and_choices(task)
        self._untrained()
        tokens = self._tokens([e.text for e in examples])
        run = self._head_run(WholeRun, examples, tokens.ids, rate=self.learning_rate)
        if run is not None:
            train(run)
            self._notes = [*run.notes(), *self._cut(tokens.truncated)]
            self.thresholds = thresholds_of(run) if self.choices else None

    def _untrained(self) -> None:
        from choose.engines.lora.classifier import AdaptedModel, untrained_head
        from choose.engines.lora.encoder_tuning import own_copy
        from choose.engines.lora.model import seeded

        base = self._base()
        with seeded(self.seed, base.device):
            head = untrained_head(base, len(self.labels or self.choices))
        self._model = AdaptedModel(base, own_copy(base), head)

    def predict(self, items: Sequence[Item]) -> Answers:
        return self._answers(self._tokens([item.text for item in items]))

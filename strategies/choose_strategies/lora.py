"""Fine-tuning: a PEFT LoRA adapter, with a head for labels or on a causal LM that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from choose.engines.weights.resolve import weights_digest
from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM
from choose.errors import StrategyError
from choose.models.prompting.base_strategy import PromptedStrategy
from choose.models.records.values_in_text import dropped_note
from choose.models.saving import read_fitted, write_fitted
from choose.models.tfidf_and_logistic import Thresholds, members_of, set_answers
from choose.progress import decided_in_time, seconds_to_aim
from choose.types import Answers, Example, Family, Item, Task
from choose_strategies.baselines import labels_and_choices

if TYPE_CHECKING:
    from choose.engines.lora.classifier import ClassifierRun
    from choose.engines.lora.training_run import TrainingRun
    from choose.models.prompting.answer_writer import AnswerWriter

# Learning rates of a classification head with its adapter, and of an adapter that writes.
RATE, WRITING_RATE = 1e-3, 2e-3

# A fit on so many texts that should end within so many seconds for each trains the last half of the
# layers only. After 400 dialogues chrf is .19, and .18 with all layers in 1.7 times the time. After
# 100 dialogues a model with half of the layers trained does not end its texts yet.
MANY_TEXTS, SECONDS_A_TEXT = 400, 0.5

# The threshold that is best for F1 is half of the F1 reached (Lipton, Elkan and Naryanaswamy 2014);
# pools without validation rows take that of an F1 of 0.8.
USUAL_THRESHOLD = 0.4
UNTRAINED = "All rows of the pool have the same answer, so nothing was trained."


class FineTuned:
    """The base of strategies that train the weights of a model."""

    family: ClassVar[Family] = "fine-tuning"
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    cheap: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "learning_rate": (1e-9, 10),
        "epochs": (1e-3, 10_000),
        "max_tokens": (4, 1_000_000),
    }

    seed: int
    epochs: float | None
    _model: Any
    _notes: list[str]

    def facts(self) -> Mapping[str, Any]:
        from choose.engines.lora.training_run import training_facts

        return {**training_facts(self._model), "notes": self._notes}


class HeadTuning(FineTuned):
    """The base of strategies that train a model under a head, of labels or of sets of labels."""

    labels: tuple[str, ...]
    choices: tuple[str, ...]
    # Of sets of labels: from which probability on each label is in a set.
    thresholds: Thresholds | None = None

    def _head_run(self, run: Any, examples: Sequence[Example], rows: Any, *, rate: float) -> Any:
        """Return a run over rows of token ids, or None where all rows have the same answer."""
        from choose.engines.lora.classifier import (
            EPOCHS,
            SET_EPOCHS,
            schedule_for,
            start_from_counts,
            start_from_shares,
        )

        targets, self.thresholds = [example.target for example in examples], None
        usual = SET_EPOCHS if self.choices else EPOCHS
        classes = len(self.labels or self.choices)
        schedule = schedule_for(len(rows), classes, rate, self.epochs, usual)
        if self.choices:
            members = members_of(self.choices, targets)
            start_from_shares(self._model, members)
            if len(set(targets)) > 1:
                return run(self._model, rows, members, schedule, self.seed)
            self.thresholds = Thresholds(np.full(classes, 0.5), never_empty=False)
        else:
            codes = [self.labels.index(target) for target in targets]
            if len(set(codes)) > 1:
                return run(self._model, rows, codes, schedule, self.seed)
            start_from_counts(self._model, codes)
        self._notes = [UNTRAINED]
        return None

    def _answers(self, tokens: Any) -> Answers:
        import torch

        logits = self._model.predict_logits(tokens.ids, "predicting").double()
        read = np.array(tokens.lengths, dtype=np.int64)
        if self.thresholds is not None:
            chances = logits.sigmoid().numpy()
            return set_answers(self.choices, self.thresholds(chances), chances, tokens_in=read)
        scores = torch.log_softmax(logits, dim=1).numpy()
        return Answers.from_scores(self.labels, scores, tokens_in=read)

    def _head_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        facts = dict[str, Any](labels=self.labels, choices=self.choices, notes=self._notes)
        arrays = {n: p.detach().cpu().numpy() for n, p in self._model.head.named_parameters()}
        if self.thresholds is not None:
            arrays["least"] = self.thresholds.least
            facts["never_empty"] = self.thresholds.never_empty
        return facts, arrays

    def _restore_head(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        import torch

        self.thresholds = None
        if self.choices:
            self.thresholds = Thresholds(arrays["least"], bool(facts["never_empty"]))
        head = {name: torch.from_numpy(arrays[name]) for name in ("weight", "bias")}
        self._model.head.load_state_dict(head)  # refuses other shapes


@dataclass(kw_only=True, eq=False)
class Lora(HeadTuning):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) that label texts or write answers.

    Labels come from a linear head over the adapted model. Where answers are records or texts, a
    causal LM learns to write them, and reads texts of eight times `max_tokens`.

    `learning_rate` and `epochs` default to a schedule that depends on the pool; `targets` are the
    query and value projections ("attention") or every linear layer ("all"). Studies take "all" and
    no dropout where answers are written. `layers` is the share of layers, counted from the last,
    that get adapters: all, or half in short fits on many texts.
    """

    title: ClassVar[str] = "LoRA fine-tuning"
    good_for: ClassVar[str] = "a stable task with many clean labels, answered often"
    needs: ClassVar[str] = "labelled rows, usually hundreds; a model to tune (tune)"
    kinds: ClassVar[tuple[str, ...]] = PromptedStrategy.kinds
    revision: ClassVar[int] = 15
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **{kind: {"base": DEFAULT_ENCODER} for kind in kinds[:2]},
        # Dropout costs 10 to 20 % of a step. Of orders 58 and 60 % are right after one pass without
        # it, 56 and 59 % with it; of three sets of questions as many (+1.1, -0.7 and -1.0 points).
        **{kind: {"targets": "all", "dropout": 0.0} for kind in kinds[2:]},
    }
    # Passes over a pool, and rows from which on early stopping is decided; None: what suits lora.
    writing_epochs: ClassVar[float | None] = None
    least_checked: ClassVar[int | None] = None
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rank 4": {"rank": 4},
        "all layers": {"targets": "all"},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **FineTuned.limits,
        "rank": (1, 1_024),  # a small model's hidden size, beyond which no adapter says more
        "dropout": (0, 0.99),
        "layers": (0.01, 1),
    }

    seed: int
    base: str = DEFAULT_LM
    rank: int = 16
    targets: Literal["attention", "all"] = "attention"
    layers: float | None = None
    dropout: float = 0.05
    learning_rate: float | None = None
    epochs: float | None = None
    max_tokens: int = 128

    def prepare(self) -> None:
        import peft  # noqa: F401

        from choose.engines.lora.model import load_base

        load_base(self.base)

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Train; a pool with one class, or none, sets the head's bias and nothing else."""
        from choose.engines.lora.fit import verify_learning

        if (run := self._prepare_run(task, examples)) is not None:
            self._train([self], [run])
            verify_learning(run)

    def side_by_side(self) -> bool:
        from choose.engines.lora.fit import trains_together
        from choose.engines.lora.model import load_base

        return trains_together(load_base(self.base))

    @classmethod
    def fit_group(
        cls, strategies: Sequence[Lora], task: Task, pools: Sequence[Sequence[Example]]
    ) -> list[int]:
        """Train several together; each gets the weights of a fit alone, but for rounding.

        Return the indices of strategies that failed to train.
        """
        from choose.engines.lora.fit import verify_learning

        runs = [one._prepare_run(task, pool) for one, pool in zip(strategies, pools, strict=True)]
        cls._train(strategies, runs)
        failed = []
        for index, run in enumerate(runs):
            try:
                if run is not None:
                    verify_learning(run)
            except StrategyError:
                failed.append(index)
        return failed

    @staticmethod
    def _train(strategies: Sequence[Lora], runs: Sequence[TrainingRun | None]) -> None:
        from choose.engines.lora.classifier import ClassifierRun
        from choose.engines.lora.fit import engine_notes, train_together

        groups: dict[Any, list[TrainingRun]] = {}
        for strategy, one in zip(strategies, runs, strict=True):
            if one is not None:
                groups.setdefault((id(one.model.base), strategy._share), []).append(one)
        for group in groups.values():
            train_together(group)
        for strategy, run in zip(strategies, runs, strict=True):
            if isinstance(run, ClassifierRun) and strategy.choices:
                strategy.thresholds = thresholds_of(run)
            if run is not None:
                engine = engine_notes(run.model.base, strategy.targets)
                strategy._notes = [*run.notes(), *strategy._limits_noted(), *engine]

    def _limits_noted(self) -> list[str]:
        notes = []
        if self._truncated:
            notes.append(f"Texts cut to {self._limit} tokens: {self._truncated}.")
        if self._share < 1:
            notes.append(f"Adapters are in the last {100 * self._share:.0f} % of the layers.")
        if self._writer is not None and (dropped := dropped_note(self._writer.literal)):
            notes.append(dropped)
        return notes

    def _prepare_run(self, task: Task, examples: Sequence[Example]) -> TrainingRun | None:
        from choose.engines.lora.batching import tokenise
        from choose.engines.lora.classifier import ClassifierRun
        from choose.models.prompting.answer_writer import AnswerWriter

        self.labels, self.choices = labels_and_choices(task)
        self._writer: AnswerWriter | None = None
        self._share = self.layers or 1.0
        if self.layers is None and task.kind == "writing" and len(examples) >= MANY_TEXTS:
            hurries = seconds_to_aim() < SECONDS_A_TEXT * len(examples)
            self._share = decided_in_time("share of the layers", 0.5 if hurries else 1.0, 1.0)
        if not (self.labels or self.choices):
            model = self._untrained(writes=True)
            self._writer = AnswerWriter(model, task, self.base, self._limit)
            rate = self.learning_rate or WRITING_RATE
            epochs = self.writing_epochs if self.epochs is None else self.epochs
            least = {} if self.least_checked is None else {"least": self.least_checked}
            answers = self._writer.training_run(examples, rate, epochs, self.seed, **least)
            self._truncated = len(self._writer.prompts.cut_ids)
            self._notes = [] if answers else [UNTRAINED]
            return answers
        model, self._notes = self._untrained(), []
        rows = tokenise(model.base.tokenizer, [e.text for e in examples], self._limit)
        self._truncated = rows.truncated
        return self._head_run(ClassifierRun, examples, rows.ids, rate=self.learning_rate or RATE)

    def _untrained(self, writes: bool = False) -> Any:
        from choose.engines.lora.answer_tuning import untrained_answers
        from choose.engines.lora.classifier import untrained_model
        from choose.engines.lora.model import AdapterSpec, load_base, seeded
        from choose.models.prompting.answer_writer import TEXT_FACTOR

        if self.targets not in ("attention", "all"):
            raise StrategyError(
                f"LoRA's targets is {self.targets!r}; it must be 'attention' or 'all'."
            )
        base = load_base(self.base, writes)
        self._limit = min(self.max_tokens * (TEXT_FACTOR if writes else 1), base.max_tokens)
        spec = AdapterSpec(self.rank, self.targets, self.dropout, self._share)
        with seeded(self.seed, base.device):
            self._model = (
                untrained_answers(base, spec, self.base)
                if writes
                else untrained_model(base, spec, len(self.labels or self.choices), self.base)
            )
        return self._model

    def predict(self, items: Sequence[Item]) -> Answers:
        from choose.engines.lora.batching import tokenise

        if self._writer is not None:
            return self._writer.predict(items)
        start = perf_counter()
        rows = tokenise(self._model.base.tokenizer, [item.text for item in items], self._limit)
        answers, lengths = self._answers(rows), np.array(rows.lengths, dtype=np.float64)
        share = lengths / max(1.0, lengths.sum())
        return replace(answers, latency=(perf_counter() - start) * share)

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does, and what it takes to use it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._model.adapter.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty template
        write_fitted(folder, self, *self._state())

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._writer is None:
            return self._head_state()
        return {**self._writer.facts(), "notes": self._notes, "layers": self._share}, {}

    def load(self, folder: Path) -> None:
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        from choose.engines.weights.safe_folders import read_tensors
        from choose.models.prompting.answer_writer import writer_from

        facts, arrays = read_fitted(folder, self)
        self._notes, writes = list(facts["notes"]), "task" in facts
        self._share = float(facts["layers"] if writes else self.layers or 1)
        self.labels, self.choices = (tuple(facts.get(n, ())) for n in ("labels", "choices"))
        model = self._untrained(writes)
        wanted = get_peft_model_state_dict(model.adapter, save_embedding_layers=False)
        tensors = read_tensors(folder / "adapter_model.safetensors", wanted)
        set_peft_model_state_dict(model.adapter, tensors)
        self._writer = writer_from(model, self.base, self._limit, facts) if writes else None
        if not writes:
            self._restore_head(facts, arrays)

    def weights(self) -> str:
        return weights_digest(self.base)


def thresholds_of(run: ClassifierRun) -> Thresholds:
    """Return thresholds of sets chosen on the validation rows; the usual one without any."""
    members = run.all_targets.numpy() > 0.5
    if not run.validation_indices:
        usual = np.full(members.shape[1], USUAL_THRESHOLD)
        return Thresholds(usual, bool(members.any(axis=1).all()))
    rows = [run.all_rows[i] for i in run.validation_indices]
    chances = run.model.predict_logits(rows).double().sigmoid().numpy()
    return Thresholds.chosen(chances, members[run.validation_indices])
